//! Buffers that fault when touched beyond one end and hold canaries beyond the other.

const PAGE: usize = 4096;
const CANARY: u8 = 0xA5;

unsafe extern "C" {
    fn mmap(address: *mut u8, length: usize, protection: i32, flags: i32, file: i32, offset: i64) -> *mut u8;
    fn mprotect(address: *mut u8, length: usize, protection: i32) -> i32;
    fn munmap(address: *mut u8, length: usize) -> i32;
}

/// Pages between two that may not be touched, with `len` bytes at their start or end.
pub struct Guarded {
    pages: *mut u8,
    mapped: usize,
    start: usize,
    len: usize,
}

impl Guarded {
    pub fn new(content: &[u8], at_end: bool) -> Guarded {
        let inner = content.len().div_ceil(PAGE).max(1) * PAGE;
        let mapped = inner + 2 * PAGE;
        // SAFETY: a private anonymous mapping (flags 0x22) of fresh pages, writable (protection 3).
        let pages = unsafe { mmap(std::ptr::null_mut(), mapped, 3, 0x22, -1, 0) };
        assert!(pages as isize != -1, "no memory");
        let start = PAGE + if at_end { inner - content.len() } else { 0 };
        let mut buffer = Guarded { pages, mapped, start, len: content.len() };
        let all = buffer.between_guards();
        all.fill(CANARY);
        all[start - PAGE..start - PAGE + content.len()].copy_from_slice(content);
        for guard in [0, mapped - PAGE] {
            // SAFETY: the first and last page of the mapping, which nothing refers to.
            assert_eq!(unsafe { mprotect(pages.add(guard), PAGE, 0) }, 0, "a page can be protected");
        }
        buffer
    }

    fn between_guards(&mut self) -> &mut [u8] {
        // SAFETY: these bytes are mapped, writable, initialised by the system to 0 and borrowed from `self`.
        unsafe { std::slice::from_raw_parts_mut(self.pages.add(PAGE), self.mapped - 2 * PAGE) }
    }

    pub fn pointer(&mut self) -> *mut u8 {
        self.pages.wrapping_add(self.start)
    }

    /// The content; checks that nothing was written beside it.
    #[track_caller]
    pub fn content(&mut self) -> Vec<u8> {
        let (start, len) = (self.start - PAGE, self.len);
        let all = self.between_guards();
        assert!(all[..start].iter().chain(&all[start + len..]).all(|b| *b == CANARY), "a stray write");
        all[start..start + len].to_vec()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping of `new`, which nothing uses any more.
        unsafe { munmap(self.pages, self.mapped) };
    }
}
