//! Memory of a GPU: arrays from a pool, what a program needs meanwhile from an arena.

use super::gpu::{Gpu, Queue, driver_error};
use crate::Buffer;
use crate::grid::{ALIGNMENT, Address};
use cudarc::driver::DriverError;
use gradloom_ir::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// An array's memory on a GPU. When it is dropped the memory is given back; work that was queued before may still use it.
pub struct GpuBuffer {
    gpu: &'static Gpu,
    at: Address,
    /// Bytes asked for.
    len: usize,
    /// Bytes taken.
    capacity: usize,
}

/// Rounds up so that arrays of nearly one size share pieces (at most 1/8 is wasted).
fn round_up(bytes: usize) -> Option<usize> {
    let step = (bytes.checked_next_power_of_two()? / 16).max(2 * ALIGNMENT);
    bytes.max(1).checked_next_multiple_of(step)
}

impl GpuBuffer {
    /// Memory of `len` bytes with arbitrary contents.
    ///
    /// # Errors
    /// If the GPU does not have that much.
    pub fn new(gpu: &'static Gpu, len: usize) -> Result<GpuBuffer> {
        let capacity = round_up(len).ok_or_else(|| Error::limit("allocate", format!("no GPU has {len} bytes")))?;
        let kept = gpu.memory().take(capacity);
        let at = match kept {
            Some(at) => at,
            None => {
                let mut queue = gpu.queue()?;
                let at = gpu.fresh(&mut queue, capacity)?;
                gpu.memory().used += capacity;
                at
            }
        };
        Ok(GpuBuffer { gpu, at, len, capacity })
    }

    /// A copy of `bytes`, which are read before this returns.
    ///
    /// # Errors
    /// If the GPU has no memory for it, or cannot be used.
    pub fn upload(gpu: &'static Gpu, bytes: &[u8]) -> Result<GpuBuffer> {
        let b = GpuBuffer::new(gpu, bytes.len())?;
        let mut queue = gpu.queue()?;
        queue.write(gpu, b.at, bytes)?;
        Ok(b)
    }

    /// Copies the bytes to `to`, when all that was queued is done.
    ///
    /// # Errors
    /// What went wrong in the queue; a destination of another size.
    pub fn download(&self, to: &mut [u8]) -> Result<()> {
        if to.len() != self.len {
            return Err(Error::internal("download", format!("{} bytes for {}", to.len(), self.len)));
        }
        let mut queue = self.gpu.queue()?;
        queue.read(self.gpu, self.at, to)
    }

    /// A copy in the host's memory, when all that was queued is done.
    ///
    /// # Errors
    /// What went wrong in the queue; no memory.
    pub fn to_host(&self) -> Result<Arc<Buffer>> {
        let buffer = Buffer::try_uninit(self.len)?;
        let mut queue = self.gpu.queue()?;
        // SAFETY: the block is this function's alone and has so many bytes.
        let done = unsafe { queue.staging.read(self.gpu.stream, self.at, buffer.as_mut_ptr(), self.len) };
        done.map(|()| Arc::new(buffer)).map_err(read_error)
    }

    /// The GPU it is on.
    pub fn gpu(&self) -> &'static Gpu {
        self.gpu
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where it begins in the GPU's memory.
    pub(super) fn address(&self) -> Address {
        self.at
    }
}

impl Drop for GpuBuffer {
    fn drop(&mut self) {
        self.gpu.memory().give(self.at, self.capacity);
    }
}

/// A copy on another GPU or on the same, through the host's memory where they differ.
///
/// # Errors
/// As [`GpuBuffer::upload`] and [`GpuBuffer::download`].
pub fn moved(from: &Arc<GpuBuffer>, to: &'static Gpu) -> Result<Arc<GpuBuffer>> {
    if std::ptr::eq(from.gpu, to) {
        return Ok(from.clone());
    }
    let mut bytes = vec![0; from.len];
    from.download(&mut bytes)?;
    GpuBuffer::upload(to, &bytes).map(Arc::new)
}

fn read_error(e: DriverError) -> Error {
    driver_error("what was queued before a read failed", e)
}

/// Pieces of memory that arrays have given back, by size. The first in memory is taken first: so the arrays of a loop's steps
/// alternate between few addresses, for which a program is captured.
#[derive(Default)]
pub(super) struct Pool {
    free: BTreeMap<usize, BTreeSet<Address>>,
    /// Bytes that arrays take.
    used: usize,
}

impl Pool {
    fn take(&mut self, capacity: usize) -> Option<Address> {
        let at = self.free.get_mut(&capacity)?.pop_first()?;
        self.used += capacity;
        Some(at)
    }

    fn give(&mut self, at: Address, capacity: usize) {
        self.used -= capacity;
        self.free.entry(capacity).or_default().insert(at);
    }

    /// All pieces that nobody uses, which are no longer the pool's.
    pub(super) fn release(&mut self) -> Vec<Address> {
        std::mem::take(&mut self.free).into_values().flatten().collect()
    }

    pub(super) fn used(&self) -> usize {
        self.used
    }
}

/// The least that the arena asks of the driver at once.
const CHUNK: usize = 32 << 20;

/// Scratch memory: pieces of a few large chunks, the one that fits best first. The same requests after the arena was empty get
/// the same addresses, so that captured work may be replayed.
#[derive(Default)]
pub(super) struct Arena {
    chunks: Vec<(Address, usize)>,
    /// Free pieces: where, and how long.
    free: BTreeMap<Address, usize>,
    /// Taken pieces.
    taken: BTreeMap<Address, usize>,
    /// Counts how often chunks were given to the driver: addresses from before are void.
    pub(super) generation: usize,
}

impl Arena {
    fn take(&mut self, bytes: usize) -> Option<Address> {
        let (&at, &len) = self.free.iter().filter(|&(_, &len)| len >= bytes).min_by_key(|&(&at, &len)| (len, at))?;
        self.free.remove(&at);
        if len > bytes {
            self.free.insert(at + bytes as Address, len - bytes);
        }
        self.taken.insert(at, bytes);
        Some(at)
    }

    /// Gives a piece back; neighbours of one chunk become one piece.
    fn give(&mut self, at: Address) {
        let Some(mut len) = self.taken.remove(&at) else { return };
        let mut at = at;
        let starts_chunk = |at: Address| self.chunks.iter().any(|&(start, _)| start == at);
        if let Some(&next) = self.free.get(&(at + len as Address))
            && !starts_chunk(at + len as Address)
        {
            self.free.remove(&(at + len as Address));
            len += next;
        }
        if let Some((&before, &its)) = self.free.range(..at).next_back()
            && before + its as Address == at
            && !starts_chunk(at)
        {
            at = before;
            len += its;
        }
        self.free.insert(at, len);
    }

    fn grow(&mut self, at: Address, bytes: usize) {
        self.chunks.push((at, bytes));
        self.free.insert(at, bytes);
    }

    /// Whether nothing is taken.
    pub(super) fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// Bytes of all chunks.
    pub(super) fn bytes(&self) -> usize {
        self.chunks.iter().map(|c| c.1).sum()
    }

    /// The chunks of which nothing is taken, which are no longer the arena's.
    pub(super) fn release(&mut self) -> Vec<Address> {
        let free = &mut self.free;
        let unused: Vec<(Address, usize)> =
            self.chunks.iter().copied().filter(|(at, bytes)| free.get(at) == Some(bytes)).collect();
        self.chunks.retain(|c| !unused.contains(c));
        free.retain(|at, _| !unused.iter().any(|(chunk, _)| chunk == at));
        self.generation += usize::from(!unused.is_empty());
        unused.into_iter().map(|(at, _)| at).collect()
    }
}

impl Queue {
    /// Scratch memory.
    pub(super) fn take(&mut self, gpu: &Gpu, bytes: usize) -> Result<Address> {
        let rounded = bytes.max(1).checked_next_multiple_of(ALIGNMENT);
        let bytes = rounded.ok_or_else(|| Error::limit("allocate", format!("no GPU has {bytes} bytes")))?;
        if let Some(at) = self.arena.take(bytes) {
            return Ok(at);
        }
        let chunk = bytes.max(CHUNK).next_multiple_of(2 << 20);
        // a chunk as large as all before leaves few of them, but must not be what does not fit
        let generous = chunk.max(self.arena.bytes());
        let at = match (generous > chunk && !self.capturing).then(|| self.quick(gpu, generous)).flatten() {
            Some(at) => {
                self.arena.grow(at, generous);
                return Ok(self.arena.take(bytes).unwrap_or(at));
            }
            None => gpu.fresh(self, chunk)?,
        };
        self.arena.grow(at, chunk);
        self.arena.take(bytes).ok_or_else(|| Error::internal("allocate", "the arena has lost a chunk"))
    }

    /// Memory of the driver's if it has it at once.
    fn quick(&self, gpu: &Gpu, bytes: usize) -> Option<Address> {
        // SAFETY: the stream lives as long as the process, and all uses are on it.
        unsafe { cudarc::driver::result::malloc_async(gpu.stream, bytes) }.ok()
    }

    pub(super) fn give(&mut self, at: Address) {
        self.arena.give(at);
    }

    /// Copies to the GPU; `from` is read before this returns.
    pub(super) fn write(&mut self, gpu: &Gpu, to: Address, from: &[u8]) -> Result<()> {
        self.staging.write(gpu.stream, to, from).map_err(|e| driver_error("a copy to the GPU failed", e))
    }

    /// Waits for what was queued, and copies from the GPU.
    pub(super) fn read(&mut self, gpu: &Gpu, from: Address, to: &mut [u8]) -> Result<()> {
        // SAFETY: the slice may be written.
        unsafe { self.staging.read(gpu.stream, from, to.as_mut_ptr(), to.len()) }.map_err(read_error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces do not overlap, are joined again, and come in the same places each time.
    #[test]
    fn the_arena() {
        let mut arena = Arena::default();
        arena.grow(1 << 20, 4096);
        // a chunk that begins where the other ends stays one of its own
        arena.grow((1 << 20) + 4096, 4096);
        let mut runs = Vec::new();
        for _ in 0..3 {
            let a = arena.take(1024).unwrap();
            let b = arena.take(2048).unwrap();
            let c = arena.take(4096).unwrap();
            assert!(arena.take(2048).is_none());
            arena.give(a);
            let d = arena.take(512).unwrap();
            let e = arena.take(1024).unwrap();
            assert!([b, c, d].iter().all(|&x| x != e));
            runs.push([a, b, c, d, e]);
            for at in [e, b, c, d] {
                arena.give(at);
            }
            assert_eq!(arena.free, BTreeMap::from([(1 << 20, 4096), ((1 << 20) + 4096, 4096)]));
        }
        assert!(runs.iter().all(|r| *r == runs[0]));
        let held = arena.take(100).unwrap();
        assert_eq!(arena.release(), [(1 << 20) + 4096]);
        assert_eq!((arena.bytes(), arena.generation), (4096, 1));
        arena.give(held);
    }

    #[test]
    fn sizes_are_rounded_up_by_little() {
        for n in [0usize, 1, 511, 512, 513, 100_000, (1 << 30) + 1] {
            let r = round_up(n).unwrap();
            assert!(r >= n.max(1) && r <= n + n / 8 + 512 && r.is_multiple_of(ALIGNMENT), "{n} {r}");
        }
        assert_eq!(round_up(usize::MAX), None);
    }
}
