//! Copies between the host and a GPU, through memory that the system does not move: only from such memory the GPU copies by
//! itself, while the host goes on.

use crate::grid::Address;
use cudarc::driver::{DriverError, result, sys};
use std::collections::VecDeque;

/// Bytes of pinned memory.
const RING: usize = 32 << 20;

/// The most that one copy takes: a part is copied by the GPU while the host copies the next.
const PART: usize = 8 << 20;

/// A ring of pinned memory, of which the parts that the GPU still copies are known.
pub(super) struct Staging {
    memory: *mut u8,
    /// Where the next part begins.
    next: usize,
    /// Parts in use, oldest first: from, to, and what happens when the GPU is done.
    parts: VecDeque<(usize, usize, sys::CUevent)>,
    /// Events to use again.
    events: Vec<sys::CUevent>,
}

impl Staging {
    /// In the thread's current context.
    pub(super) fn new() -> Result<Staging, DriverError> {
        // SAFETY: memory of the driver's, which is never freed.
        let memory = unsafe { result::malloc_host(RING, 0)? }.cast::<u8>();
        Ok(Staging { memory, next: 0, parts: VecDeque::new(), events: Vec::new() })
    }

    fn wait_for_oldest(&mut self) -> Result<(), DriverError> {
        if let Some((.., event)) = self.parts.pop_front() {
            self.events.push(event);
            // SAFETY: the event was recorded when the part was queued.
            unsafe { result::event::synchronize(event)? };
        }
        Ok(())
    }

    /// A part of the ring that nothing uses; at most [`PART`] bytes.
    fn part(&mut self, bytes: usize) -> Result<usize, DriverError> {
        let from = if self.next + bytes > RING { 0 } else { self.next };
        let to = from + bytes;
        // parts are used in order, so what is in the way is among the oldest
        while self.parts.iter().any(|&(f, t, _)| f < to && from < t) {
            self.wait_for_oldest()?;
        }
        self.next = to.next_multiple_of(64);
        Ok(from)
    }

    fn queued(&mut self, from: usize, bytes: usize, stream: sys::CUstream) -> Result<(), DriverError> {
        let event = match self.events.pop() {
            Some(event) => event,
            None => result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING)?,
        };
        // SAFETY: both were created by the driver and are never destroyed.
        unsafe { result::event::record(event, stream)? };
        self.parts.push_back((from, from + bytes, event));
        Ok(())
    }

    /// Queues a copy to the GPU; `from` is read before this returns.
    pub(super) fn write(&mut self, stream: sys::CUstream, to: Address, from: &[u8]) -> Result<(), DriverError> {
        let mut at = to;
        for bytes in from.chunks(PART) {
            let part = self.part(bytes.len())?;
            // SAFETY: the part is in the ring and nothing else uses it; the GPU reads it after the copy.
            unsafe {
                let memory = self.memory.add(part);
                memory.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
                sys::cuMemcpyHtoDAsync_v2(at, memory.cast(), bytes.len(), stream).result()?;
            }
            self.queued(part, bytes.len(), stream)?;
            at += bytes.len() as Address;
        }
        Ok(())
    }

    /// Waits for what was queued, and copies from the GPU.
    ///
    /// # Safety
    /// `to` may be written for `len` bytes.
    pub(super) unsafe fn read(
        &mut self,
        stream: sys::CUstream,
        from: Address,
        to: *mut u8,
        len: usize,
    ) -> Result<(), DriverError> {
        while !self.parts.is_empty() {
            self.wait_for_oldest()?;
        }
        self.next = 0;
        // parts that the GPU writes: where they are, where they go
        let mut under_way: VecDeque<(usize, usize)> = VecDeque::new();
        for at in (0..len).step_by(PART) {
            if under_way.len() == RING / PART - 1 {
                // SAFETY: handed on.
                unsafe { self.arrived(&mut under_way, to, len)? };
            }
            let bytes = PART.min(len - at);
            let part = self.part(bytes)?;
            let from = from + at as Address;
            // SAFETY: the part is in the ring, and is read when the copy's event has happened.
            unsafe { sys::cuMemcpyDtoHAsync_v2(self.memory.add(part).cast(), from, bytes, stream).result()? };
            self.queued(part, bytes, stream)?;
            under_way.push_back((part, at));
        }
        while !under_way.is_empty() {
            // SAFETY: handed on.
            unsafe { self.arrived(&mut under_way, to, len)? };
        }
        Ok(())
    }

    /// Waits for the oldest part, and copies it on.
    ///
    /// # Safety
    /// As [`Staging::read`].
    unsafe fn arrived(
        &mut self,
        under_way: &mut VecDeque<(usize, usize)>,
        to: *mut u8,
        len: usize,
    ) -> Result<(), DriverError> {
        self.wait_for_oldest()?;
        if let Some((part, at)) = under_way.pop_front() {
            // SAFETY: the GPU has written the part, and nothing uses it until it is queued again.
            unsafe { to.add(at).copy_from_nonoverlapping(self.memory.add(part), PART.min(len - at)) };
        }
        Ok(())
    }
}
