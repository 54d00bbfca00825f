//! Captured graphs of a program: what is queued for one set of addresses, to be queued again by one call.

use super::gpu::{Gpu, Queue, driver_error};
use super::program::Captured;
use crate::grid::Address;
use cudarc::driver::{result, sys};
use gradloom_ir::Result;
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Graphs that are kept for a program: a loop of training steps alternates between few sets of addresses.
const KEPT: usize = 8;

/// Sets of addresses that are remembered without a graph.
const REMEMBERED: usize = 64;

/// A program of more launches is queued one by one: a graph takes about a kilobyte of the GPU's memory for each.
const MOST_LAUNCHES: usize = 1 << 16;

/// What a program does with a set of addresses.
pub(super) enum Plan<'g> {
    /// Its graph is there.
    Replay(&'g Captured),
    /// They are new, or the program cannot be captured.
    Queue,
    /// They come for the second time.
    Capture,
}

/// The graphs of a program.
#[derive(Default)]
pub(super) struct Graphs {
    /// Most recently used last, with the generation of the scratch memory that they use.
    kept: Vec<(Vec<Address>, usize, Captured)>,
    seen: VecDeque<u64>,
    /// Whether the program could not be captured: a library may refuse what its kernels would not.
    refused: bool,
}

fn hash(addresses: &[Address]) -> u64 {
    let mut h = DefaultHasher::new();
    addresses.hash(&mut h);
    h.finish()
}

impl Graphs {
    /// What to do with these addresses; `launches` is what is queued for them, if that is the same each time.
    pub(super) fn plan(&mut self, addresses: &[Address], generation: usize, launches: Option<usize>) -> Plan<'_> {
        if self.refused || launches.is_none_or(|n| !(2..=MOST_LAUNCHES).contains(&n)) {
            return Plan::Queue;
        }
        self.kept.retain(|(_, of, _)| *of == generation);
        if let Some(i) = self.kept.iter().position(|(of, ..)| of == addresses) {
            let found = self.kept.remove(i);
            self.kept.push(found);
            return Plan::Replay(&self.kept[self.kept.len() - 1].2);
        }
        let hash = hash(addresses);
        if self.seen.contains(&hash) {
            return Plan::Capture;
        }
        if self.seen.len() == REMEMBERED {
            self.seen.pop_front();
        }
        self.seen.push_back(hash);
        Plan::Queue
    }

    /// From now on the program is queued one by one.
    pub(super) fn refuse(&mut self) {
        self.refused = true;
    }

    /// Keeps a graph.
    pub(super) fn keep(&mut self, addresses: Vec<Address>, generation: usize, graph: Captured) -> &Captured {
        if self.kept.len() == KEPT {
            self.kept.remove(0);
        }
        self.kept.push((addresses, generation, graph));
        &self.kept[self.kept.len() - 1].2
    }
}

/// Captures what `enqueue` queues; `None` if it cannot be captured: it waits for something, or needs memory of the driver's.
pub(super) fn capture(
    gpu: &Gpu,
    queue: &mut Queue,
    enqueue: impl FnOnce(&mut Queue) -> Result<()>,
) -> Result<Option<Captured>> {
    let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
    // SAFETY: the stream lives as long as the process and is not captured: whoever captures holds the queue.
    unsafe { result::stream::begin_capture(gpu.stream, mode) }.map_err(|e| driver_error("capture", e))?;
    queue.capturing = true;
    let queued = enqueue(queue);
    queue.capturing = false;
    // SAFETY: the capture was begun above, and ends whatever came of it.
    let graph = unsafe { result::stream::end_capture(gpu.stream) };
    let (graph, queued) = match (graph, queued) {
        (Ok(graph), queued) => (graph, queued),
        (Err(e), queued) => {
            tracing::warn!(error = %e, enqueued = ?queued.err(), "a program could not be captured");
            return Ok(None);
        }
    };
    // SAFETY: the graph was captured above; the executable one does not need it.
    let exec = unsafe {
        let exec = match &queued {
            Ok(()) => Some(result::graph::instantiate(graph, sys::CUgraphInstantiate_flags(0))),
            Err(_) => None,
        };
        result::graph::destroy(graph).map_err(|e| driver_error("capture", e))?;
        exec
    };
    match exec {
        Some(Ok(exec)) => Ok(Some(Captured(exec))),
        Some(Err(e)) => Err(driver_error("a captured program cannot be made ready", e)),
        None => {
            tracing::warn!(enqueued = ?queued.err(), "a program could not be captured");
            Ok(None)
        }
    }
}
