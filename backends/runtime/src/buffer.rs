//! Host memory: aligned, pooled, uninitialised until written.

use gradloom_ir::{Element, Error, Result};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::Mutex;

/// Alignment of every buffer: a cache line, and the widest vector.
pub const ALIGN: usize = 64;

/// Buffers at least this large are kept for reuse when dropped: fresh pages from the system cost more than the work.
const POOL_MIN: usize = 1 << 12;

/// The pool keeps at most this many bytes.
const POOL_MAX: usize = 2 << 30;

struct Pool {
    free: std::collections::BTreeMap<usize, Vec<NonNull<u8>>>,
    bytes: usize,
}

// SAFETY: the pool holds unique pointers to blocks nobody else refers to.
unsafe impl Send for Pool {}

static POOL: Mutex<Pool> = Mutex::new(Pool { free: std::collections::BTreeMap::new(), bytes: 0 });

/// A block of host memory.
///
/// Mutation goes through raw pointers handed to kernels; whoever hands out [`Buffer::as_mut_ptr`] makes sure that
/// nobody reads meanwhile (an executable writes only buffers it allocated or was given alone).
pub struct Buffer {
    ptr: NonNull<u8>,
    /// Bytes asked for.
    len: usize,
    /// Bytes allocated; 0 if the memory is another's.
    capacity: usize,
}

// SAFETY: a buffer is plain memory; sharing is governed by the rule above.
unsafe impl Send for Buffer {}
// SAFETY: as above; `&Buffer` only reads.
unsafe impl Sync for Buffer {}

/// Rounds up so that buffers of nearly one size share a pool entry (at most 1/8 is wasted).
fn round_up(len: usize) -> usize {
    if len < POOL_MIN {
        return len.max(1).next_multiple_of(ALIGN);
    }
    let step = (len.next_power_of_two() / 16).max(ALIGN);
    len.next_multiple_of(step)
}

/// Above this many bytes the system is asked whether it has them: it grants more than it has, and ends the process later.
const ASK_FROM: usize = 1 << 30;

/// Bytes the system can hand out, where it says so.
fn available() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("MemAvailable:"))?;
    line.split_whitespace().nth(1)?.parse::<usize>().ok()?.checked_mul(1024)
}

fn too_large(len: usize) -> Error {
    Error::limit("allocate", format!("an array of {:.1} GB does not fit in memory", len as f64 / 1e9))
        .help("use smaller arrays, a smaller batch, or `checkpoint` to keep fewer intermediates")
}

impl Buffer {
    /// Memory of `len` bytes with arbitrary contents.
    ///
    /// # Errors
    /// If the system does not have that much.
    pub fn try_uninit(len: usize) -> Result<Buffer> {
        if len >= ASK_FROM && available().is_some_and(|a| len > a) {
            return Err(too_large(len));
        }
        let capacity = round_up(len);
        if capacity >= POOL_MIN {
            let mut pool = POOL.lock().unwrap_or_else(|e| e.into_inner());
            if let Some(ptr) = pool.free.get_mut(&capacity).and_then(Vec::pop) {
                pool.bytes -= capacity;
                return Ok(Buffer { ptr, len, capacity });
            }
        }
        let layout = Layout::from_size_align(capacity, ALIGN).map_err(|_| too_large(len))?;
        // SAFETY: `capacity` is at least ALIGN, so the layout is not empty.
        let ptr = unsafe { alloc(layout) };
        let ptr = NonNull::new(ptr).ok_or_else(|| too_large(len))?;
        Ok(Buffer { ptr, len, capacity })
    }

    /// Memory for a copy of something that is in memory already; ends the process, as `Vec` does, if there is none.
    fn uninit(len: usize) -> Buffer {
        Buffer::try_uninit(len)
            .unwrap_or_else(|_| handle_alloc_error(Layout::from_size_align(len, 1).unwrap_or(Layout::new::<u8>())))
    }

    /// Memory of `len` zero bytes.
    pub fn zeroed(len: usize) -> Buffer {
        let b = Buffer::uninit(len);
        // SAFETY: the block has at least `len` bytes and is ours alone.
        unsafe { b.ptr.as_ptr().write_bytes(0, len) };
        b
    }

    /// A copy of `bytes`.
    pub fn from_bytes(bytes: &[u8]) -> Buffer {
        let b = Buffer::uninit(bytes.len());
        // SAFETY: source and destination have `bytes.len()` bytes and do not overlap.
        unsafe { b.ptr.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        b
    }

    /// A copy of the elements.
    pub fn from_slice<T: Element>(data: &[T]) -> Buffer {
        // SAFETY: elements are plain numbers or bools without padding; any initialised element is valid bytes.
        let bytes = unsafe { std::slice::from_raw_parts(data.as_ptr().cast::<u8>(), size_of_val(data)) };
        Buffer::from_bytes(bytes)
    }

    /// Memory of somebody else's, which is only read.
    ///
    /// # Safety
    /// The `len` bytes at `ptr` are aligned to [`ALIGN`], and neither written nor freed while the buffer lives.
    pub unsafe fn borrowed(ptr: *const u8, len: usize) -> Buffer {
        Buffer { ptr: NonNull::new(ptr.cast_mut()).unwrap_or(NonNull::dangling()), len, capacity: 0 }
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: an executable hands a buffer out only after writing all of it.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }

    /// The bytes as elements.
    ///
    /// # Panics
    /// If the length is no multiple of the element size (an invariant of the caller).
    pub fn as_slice<T: Element>(&self) -> &[T] {
        assert_eq!(self.len % T::DTYPE.size(), 0, "a buffer holds whole elements");
        // SAFETY: the block is aligned to ALIGN, holds `len` bytes, and was written as elements of this dtype
        // (bool bytes are 0 or 1 by the kernels' contract).
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr().cast::<T>(), self.len / T::DTYPE.size()) }
    }

    /// Start of the memory.
    pub fn as_ptr(&self) -> *const u8 {
        self.ptr.as_ptr()
    }

    /// Start of the memory, for a kernel to write. See the type's rule.
    pub fn as_mut_ptr(&self) -> *mut u8 {
        self.ptr.as_ptr()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.capacity == 0 {
            return;
        }
        if self.capacity >= POOL_MIN {
            let mut pool = POOL.lock().unwrap_or_else(|e| e.into_inner());
            if pool.bytes + self.capacity <= POOL_MAX {
                pool.bytes += self.capacity;
                pool.free.entry(self.capacity).or_default().push(self.ptr);
                return;
            }
        }
        let layout = Layout::from_size_align(self.capacity, ALIGN).expect("checked when allocated");
        // SAFETY: allocated with this layout, and not in the pool.
        unsafe { dealloc(self.ptr.as_ptr(), layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_keep_their_contents_and_alignment() {
        for n in [0usize, 1, 63, 64, 5000, 100_000] {
            let data: Vec<u8> = (0..n).map(|i| i as u8).collect();
            let b = Buffer::from_slice(&data);
            assert_eq!(b.as_slice::<u8>(), &data[..]);
            assert_eq!(b.as_ptr() as usize % ALIGN, 0);
            assert!(Buffer::zeroed(n).bytes().iter().all(|&x| x == 0));
        }
    }
}
