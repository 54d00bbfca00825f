//! Which of several algorithms is the fastest: timed once, and remembered on disk.

use super::trial::Trial;
use crate::cuda::gpu::{Gpu, driver_error};
use crate::cuda::modules::{cache_folder, fingerprint, read, write};
use crate::grid::Address;
use cudarc::driver::{result, sys};
use gradloom_ir::Result;
use std::path::Path;

/// What is made of fewer multiplications takes less time than it takes to queue it.
const MIN_TIMED: usize = 1 << 22;

/// Runs of which the time is taken, after one that is not.
const RUNS: usize = 5;

/// An algorithm as the library names it, and the scratch memory that it takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Choice {
    pub(super) algorithm: [u64; 8],
    pub(super) workspace: usize,
}

impl Choice {
    /// On disk: eight words of the algorithm, then the bytes of scratch memory.
    fn to_bytes(self) -> Vec<u8> {
        self.algorithm.iter().copied().chain([self.workspace as u64]).flat_map(u64::to_le_bytes).collect()
    }
}

/// What is to be timed.
pub(super) struct Work<'a> {
    /// What it is, on which GPU and by which version of the library.
    pub(super) key: &'a str,
    /// Factors of the number of multiplications.
    pub(super) size: &'a [usize],
    /// Bytes of each of its buffers, but for scratch memory.
    pub(super) bytes: &'a [usize],
}

/// The position of the choice that is to be taken; `run` queues one, by its position, on buffers of its own. What is asked for
/// under one key is timed once. Where it cannot be timed, the library's first choice is taken.
pub(super) fn choose<E: std::fmt::Display>(
    gpu: &'static Gpu,
    work: &Work,
    choices: &[Choice],
    run: impl Fn(usize, &[Address]) -> Result<(), E>,
) -> usize {
    let key = work.key;
    if work.size.iter().fold(1usize, |n, &m| n.saturating_mul(m)) < MIN_TIMED {
        return 0;
    }
    let path = cache_folder().map(|f| f.join(format!("{:032x}.algorithm", fingerprint(&[key]))));
    if let Some(kept) = path.as_deref().and_then(|path| kept(path, choices)) {
        return kept;
    }
    let fastest = match time(gpu, work, choices, run) {
        Ok(fastest) => fastest,
        Err(e) => {
            tracing::warn!(key, error = %e, "algorithms could not be timed: the library's first is taken");
            return 0;
        }
    };
    if let Some(path) = path
        && let Err(e) = write(&path, &choices[fastest].to_bytes())
    {
        tracing::warn!(path = %path.display(), error = %e, "the choice of an algorithm could not be kept");
    }
    fastest
}

/// Which of the choices a file holds; the library may not name it any more.
fn kept(path: &Path, choices: &[Choice]) -> Option<usize> {
    let bytes = read(path)?;
    choices.iter().position(|c| c.to_bytes() == bytes)
}

/// Times each choice on zeros.
fn time<E: std::fmt::Display>(
    gpu: &'static Gpu,
    work: &Work,
    choices: &[Choice],
    run: impl Fn(usize, &[Address]) -> Result<(), E>,
) -> Result<usize> {
    let trial = Trial::new(gpu, work.bytes, choices)?;
    let addresses = trial.addresses();
    // nobody else queues while this is timed
    let mut queue = gpu.queue()?;
    trial.fill(gpu, &mut queue, 0)?;
    let fail = |e| driver_error("algorithms cannot be timed", e);
    let events = Events::new().map_err(fail)?;
    let mut fastest = (f32::INFINITY, 0);
    for (i, choice) in choices.iter().enumerate() {
        // one that cannot run is none
        if let Err(e) = run(i, &addresses) {
            tracing::info!(choice = ?choice, error = %e, "an algorithm does not run");
            continue;
        }
        let queued = events.around(gpu.stream, || (0..RUNS).try_for_each(|_| run(i, &addresses))).map_err(fail)?;
        if let (Ok(()), time) = queued
            && time < fastest.0
        {
            fastest = (time, i);
        }
    }
    tracing::debug!(
        key = work.key,
        chosen = fastest.1,
        of = choices.len(),
        milliseconds = fastest.0 / RUNS as f32,
        "timed"
    );
    Ok(fastest.1)
}

/// Two events of the driver's, given back at the end.
struct Events([sys::CUevent; 2]);

impl Events {
    fn new() -> Result<Events, cudarc::driver::DriverError> {
        let create = || result::event::create(sys::CUevent_flags::CU_EVENT_DEFAULT);
        Ok(Events([create()?, create()?]))
    }

    /// What `queue` returns, and the milliseconds that what it has queued takes.
    fn around<T>(
        &self,
        stream: sys::CUstream,
        queue: impl FnOnce() -> T,
    ) -> Result<(T, f32), cudarc::driver::DriverError> {
        let [begin, end] = self.0;
        // SAFETY: both events live, and are recorded before they are waited for.
        unsafe {
            result::event::record(begin, stream)?;
            let queued = queue();
            result::event::record(end, stream)?;
            result::event::synchronize(end)?;
            Ok((queued, result::event::elapsed(begin, end)?))
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        for event in self.0 {
            // SAFETY: it was made once. That it cannot be destroyed helps nobody to know.
            let _ = unsafe { result::event::destroy(event) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_choices_are_found_again() {
        let choice = |n: u64| Choice { algorithm: [n; 8], workspace: 1 << n };
        let choices = [choice(1), choice(2), choice(3)];
        let folder = std::env::temp_dir().join(format!("gradloom-tuning-{}", std::process::id()));
        let path = folder.join("a.algorithm");
        assert_eq!(kept(&path, &choices), None);
        write(&path, &choices[2].to_bytes()).unwrap();
        assert_eq!(kept(&path, &choices), Some(2));
        assert_eq!(kept(&path, &choices[..2]), None);
        std::fs::write(&path, choices[2].to_bytes()).unwrap();
        assert_eq!(kept(&path, &choices), None, "without its check a file is damaged");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
