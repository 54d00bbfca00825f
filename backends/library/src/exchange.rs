//! Exchanging two axes: the axis that is contiguous in the source against the one that is contiguous in the
//! destination.
//!
//! Memory moves by whole cache lines: a tile of lines is read, exchanged in registers and written as lines. With
//! strides that are powers of two the lines of a tile compete for the same few places of the cache, so none of them
//! may be needed twice. Results too large for the cache are written past it.

/// Bytes of a cache line: the side of the square tiles in which axes are exchanged.
pub(super) const LINE: usize = 64;

/// Results of this many bytes are written past the cache, which would first have to read them.
const STREAMED: usize = 8 << 20;

/// Two axes of a box of elements. The first has stride 1 in the source, the second in the destination.
#[derive(Clone, Copy)]
pub(super) struct Exchange {
    /// Extents.
    pub(super) n: [usize; 2],
    /// Stride of the second axis in the source, in elements.
    pub(super) src: isize,
    /// Stride of the first axis in the destination.
    pub(super) dst: isize,
}

impl Exchange {
    /// Copies; `bytes` is the size of the whole result of which this box may be a part.
    ///
    /// # Safety
    /// Every element of the box at `src` is readable and every one at `dst` writable, and they do not overlap.
    pub(super) unsafe fn run<T: Copy>(self, src: *const T, dst: *mut T, bytes: usize) {
        let size = size_of::<T>() as isize;
        let lines = dst.addr().is_multiple_of(LINE) && (self.dst * size).unsigned_abs().is_multiple_of(LINE);
        let streamed = lines && bytes >= STREAMED;
        let side = LINE / size_of::<T>();
        let whole = self.n.map(|n| n / side * side);
        // SAFETY: the caller's promise; tiles and the strips beside them are parts of the box.
        unsafe {
            for j in (0..whole[1]).step_by(side) {
                let (src, dst) = (src.offset(j as isize * self.src), dst.add(j));
                tiles(self, whole[0], src, dst, streamed);
            }
            if whole[1] < self.n[1] {
                let strip = Exchange { n: [whole[0], self.n[1] - whole[1]], ..self };
                strip.part(src.offset(whole[1] as isize * self.src), dst.add(whole[1]));
            }
            if whole[0] < self.n[0] {
                let strip = Exchange { n: [self.n[0] - whole[0], self.n[1]], ..self };
                strip.part(src.add(whole[0]), dst.offset(whole[0] as isize * self.dst));
            }
        }
        #[cfg(target_arch = "x86_64")]
        if streamed {
            // SAFETY: every x86-64 has the instruction. Stores past the cache are ordered before what follows.
            unsafe { std::arch::x86_64::_mm_sfence() }
        }
    }

    /// Copies what is narrower than a tile on one side, in blocks, so that lines of the source are used up while they
    /// are cached.
    unsafe fn part<T: Copy>(self, src: *const T, dst: *mut T) {
        let block = 4 * LINE / size_of::<T>();
        for start in (0..self.n[1]).step_by(block) {
            for i in 0..self.n[0] {
                // SAFETY: the caller's promise.
                unsafe {
                    let from = src.offset(i as isize + start as isize * self.src);
                    let to = dst.offset(i as isize * self.dst + start as isize);
                    for j in 0..block.min(self.n[1] - start) {
                        *to.add(j) = *from.offset(j as isize * self.src);
                    }
                }
            }
        }
    }
}

/// Tiles side by side along the first axis, `n` elements of it.
#[inline]
unsafe fn tiles<T: Copy>(e: Exchange, n: usize, src: *const T, dst: *mut T, streamed: bool) {
    let side = LINE / size_of::<T>();
    // SAFETY: the caller's promise: each tile is a part of the box. Types of one size are moved alike.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        {
            use x86::*;
            if size_of::<T>() == 4 && has_wide() {
                return wide_tiles_4(e, n, src.cast(), dst.cast(), streamed);
            }
            if size_of::<T>() == 8 && has_wide() {
                return wide_tiles_8(e, n, src.cast(), dst.cast(), streamed);
            }
            if size_of::<T>() < 16 {
                for i in (0..n).step_by(side) {
                    tile(e, src.add(i), dst.offset(i as isize * e.dst), streamed);
                }
                return;
            }
        }
        let _ = streamed;
        for i in (0..n).step_by(side) {
            Exchange { n: [side, side], ..e }.part(src.add(i), dst.offset(i as isize * e.dst));
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use super::{Exchange, LINE};
    use std::arch::x86_64::*;

    /// Whether registers hold a whole line.
    pub(super) fn has_wide() -> bool {
        std::is_x86_feature_detected!("avx512f")
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn put(to: *mut u8, line: __m512i, streamed: bool) {
        // SAFETY: the caller's promise: room for a line, aligned if it is written past the cache.
        unsafe { if streamed { _mm512_stream_si512(to.cast(), line) } else { _mm512_storeu_si512(to.cast(), line) } }
    }

    /// The mask of the first `n` of 16 lanes, of all if there are fewer.
    #[inline]
    pub(crate) fn first_lanes(n: usize) -> u16 {
        if n < 16 { (1 << n) - 1 } else { u16::MAX }
    }

    /// Exchanges rows and columns of 16 x 16 elements of 4 bytes: four perfect shuffles of 16 registers.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(crate) fn exchange_16(mut rows: [__m512i; 16]) -> [__m512i; 16] {
        let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        let high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        for _ in 0..4 {
            let from = rows;
            for k in 0..8 {
                rows[2 * k] = _mm512_permutex2var_epi32(from[k], low, from[k + 8]);
                rows[2 * k + 1] = _mm512_permutex2var_epi32(from[k], high, from[k + 8]);
            }
        }
        rows
    }

    /// As [`super::tiles`], of 16 x 16 elements of 4 bytes.
    ///
    /// # Safety
    /// As for [`super::tiles`]; the processor has `avx512f`; lines of the destination are aligned if `streamed`.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn wide_tiles_4(e: Exchange, n: usize, src: *const u32, dst: *mut u32, streamed: bool) {
        for i in (0..n).step_by(16) {
            // SAFETY: the caller's promise.
            unsafe {
                let rows = std::array::from_fn(|j| _mm512_loadu_si512(src.add(i).offset(j as isize * e.src).cast()));
                for (k, row) in exchange_16(rows).into_iter().enumerate() {
                    put(dst.offset((i + k) as isize * e.dst).cast(), row, streamed);
                }
            }
        }
    }

    /// The same of 8 x 8 elements of 8 bytes.
    ///
    /// # Safety
    /// As for [`wide_tiles_4`].
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn wide_tiles_8(e: Exchange, n: usize, src: *const u64, dst: *mut u64, streamed: bool) {
        let low = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
        let high = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
        for i in (0..n).step_by(8) {
            // SAFETY: the caller's promise.
            unsafe {
                let mut rows: [__m512i; 8] =
                    std::array::from_fn(|j| _mm512_loadu_si512(src.add(i).offset(j as isize * e.src).cast()));
                for _ in 0..3 {
                    let from = rows;
                    for k in 0..4 {
                        rows[2 * k] = _mm512_permutex2var_epi64(from[k], low, from[k + 4]);
                        rows[2 * k + 1] = _mm512_permutex2var_epi64(from[k], high, from[k + 4]);
                    }
                }
                for (k, row) in rows.into_iter().enumerate() {
                    put(dst.offset((i + k) as isize * e.dst).cast(), row, streamed);
                }
            }
        }
    }

    #[repr(align(64))]
    struct Lines([[__m128i; 4]; LINE]);

    /// One tile of elements of 1 to 8 bytes, in blocks of a 128-bit register, which every x86-64 has.
    ///
    /// # Safety
    /// As for [`super::tiles`]; lines of the destination are aligned if `streamed`.
    pub(super) unsafe fn tile<T: Copy>(e: Exchange, src: *const T, dst: *mut T, streamed: bool) {
        let (side, lanes) = (LINE / size_of::<T>(), 16 / size_of::<T>());
        // SAFETY: the caller's promise; the first `side` lines are written before they are read.
        unsafe {
            let zero = _mm_setzero_si128();
            let mut from = std::mem::MaybeUninit::<Lines>::uninit();
            let from = &raw mut (*from.as_mut_ptr()).0;
            for j in 0..side {
                let row = src.offset(j as isize * e.src).cast::<__m128i>();
                (0..4).for_each(|q| (*from)[j][q] = _mm_loadu_si128(row.add(q)));
            }
            // a block of columns of the source is a block of rows of the result
            for q in 0..4 {
                let mut to = [[zero; 4]; 16];
                (0..4).for_each(|block| {
                    let mut rows = [zero; 16];
                    (0..lanes).for_each(|k| rows[k] = (*from)[block * lanes + k][q]);
                    exchange::<T>(&mut rows);
                    (0..lanes).for_each(|k| to[k][block] = rows[k]);
                });
                for (k, line) in to.iter().enumerate().take(lanes) {
                    let row = dst.offset((q * lanes + k) as isize * e.dst).cast::<__m128i>();
                    for (b, &part) in line.iter().enumerate() {
                        if streamed { _mm_stream_si128(row.add(b), part) } else { _mm_storeu_si128(row.add(b), part) }
                    }
                }
            }
        }
    }

    /// Exchanges rows and columns of as many registers as one of them has elements, by perfect shuffles.
    #[inline(always)]
    fn exchange<T>(rows: &mut [__m128i; 16]) {
        let lanes = 16 / size_of::<T>();
        for _ in 0..lanes.ilog2() {
            let from = *rows;
            for k in 0..lanes / 2 {
                let (x, y) = (from[k], from[k + lanes / 2]);
                // SAFETY: every x86-64 has these instructions.
                let (low, high) = unsafe {
                    match size_of::<T>() {
                        1 => (_mm_unpacklo_epi8(x, y), _mm_unpackhi_epi8(x, y)),
                        2 => (_mm_unpacklo_epi16(x, y), _mm_unpackhi_epi16(x, y)),
                        4 => (_mm_unpacklo_epi32(x, y), _mm_unpackhi_epi32(x, y)),
                        _ => (_mm_unpacklo_epi64(x, y), _mm_unpackhi_epi64(x, y)),
                    }
                };
                rows[2 * k] = low;
                rows[2 * k + 1] = high;
            }
        }
    }
}

/// One tile of elements of 1 to 8 bytes as machines without registers of a whole line exchange it: of `src`, rows of
/// `stride`, into rows of `dst_stride` from the first aligned element of `dst` on, whose position it returns. For tests, on any machine.
///
/// # Panics
/// If an array is too short, rows of the result begin no lines, or elements have another size.
#[cfg(target_arch = "x86_64")]
pub fn narrow_tile<T: Copy>(src: &[T], stride: usize, dst: &mut [T], dst_stride: usize, streamed: bool) -> usize {
    assert!(matches!(size_of::<T>(), 1 | 2 | 4 | 8));
    let side = LINE / size_of::<T>();
    let start = dst.as_ptr().align_offset(LINE);
    assert!(stride >= side && src.len() / side >= stride);
    assert!(dst_stride >= side && dst_stride.is_multiple_of(side));
    assert!(dst.len() >= start && (dst.len() - start) / side >= dst_stride);
    let e = Exchange { n: [side; 2], src: stride as isize, dst: dst_stride as isize };
    // SAFETY: both arrays have `side` rows, those of the result aligned to lines.
    unsafe { x86::tile(e, src.as_ptr(), dst.as_mut_ptr().add(start), streamed) };
    start
}
