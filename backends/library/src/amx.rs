//! Products of bf16 matrices by the tile registers of x86 processors (AMX-BF16), which hold 16 rows of 64 bytes: an instruction adds
//! the products of 16 x 32 by 32 x 16 numbers to 16 x 16 sums.
//!
//! Rust has no intrinsics for tiles yet, so what touches them is assembly. A thread sets them up, computes blocks and gives them up
//! again ([`Tiles`]): while they are in use, each change of threads has to save 8 KB.

use super::half_product::multiplies_bf16;
use super::half_strips::round;
use std::arch::asm;
use std::arch::x86_64::*;
use std::mem::MaybeUninit;
use std::sync::OnceLock;

/// Rows and columns of a block of the result: four tiles of sums.
pub(super) const SIDE: usize = 32;

/// Bytes of a tile's row.
const ROW_BYTES: usize = 64;

/// Whether the processor has the tiles, and the system lets this process use them.
pub(super) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        const BF16: u32 = 1 << 22;
        const TILE: u32 = 1 << 24;
        // vectors lay the operands out and round the sums; where they are, leaf 7 is, too
        multiplies_bf16() && __cpuid_count(7, 0).edx & (BF16 | TILE) == BF16 | TILE && permitted()
    })
}

/// Asks Linux for the tiles, whose state is too large to be saved for processes that do not want it.
fn permitted() -> bool {
    if !cfg!(target_os = "linux") {
        return false;
    }
    const ARCH_PRCTL: i64 = 158;
    const REQUEST_STATE: i64 = 0x1023;
    const TILE_DATA: i64 = 18;
    let failed: i64;
    // SAFETY: the call reads and writes no memory of this process; an older kernel answers with an error.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => failed,
            in("rdi") REQUEST_STATE,
            in("rsi") TILE_DATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    failed == 0
}

/// How tiles are shaped, as the processor reads it.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// The tiles of this thread, all of 16 rows, until it is dropped.
pub(super) struct Tiles(());

impl Tiles {
    /// # Safety
    /// They are [`available`], and nothing else on this thread uses them meanwhile.
    pub(super) unsafe fn set_up() -> Tiles {
        let mut shapes = Shapes { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        shapes.row_bytes[..8].fill(ROW_BYTES as u16);
        shapes.rows[..8].fill(16);
        // SAFETY: the caller's promise; the shapes are valid for the only palette there is.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const shapes, options(nostack, readonly)) }
        Tiles(())
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: the processor has tiles, or there were none to set up.
        unsafe { asm!("tilerelease", options(nostack, nomem)) }
    }
}

/// A block of the result: `rows` by `columns` of it are written.
///
/// # Safety
/// This thread has [`Tiles`]. For each of the `steps`, `l` has 32 rows of 32 numbers, `r` 16 pairs of rows of 32 columns. The block's
/// rows at `to`, `row` numbers apart, have room for `columns`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn block(
    to: *mut u16,
    row: isize,
    [rows, columns]: [usize; 2],
    l: *const u8,
    r: *const u8,
    steps: usize,
) {
    #[repr(align(64))]
    struct Sums([[f32; SIDE]; SIDE]);
    let mut sums = MaybeUninit::<Sums>::uninit();
    if steps == 0 {
        return;
    }
    // SAFETY: the caller's promise; the four tiles of sums fill the whole of `sums`. The flags are not preserved.
    let sums = unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            "tileloadd tmm6, [{r} + {r_row}]",
            "tileloadd tmm4, [{l} + {l_row}]",
            "tileloadd tmm7, [{r} + {r_row} + 64]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm5, [{l} + {l_row} + 1024]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {l}, 2048",
            "add {r}, 2048",
            "dec {steps}",
            "jnz 2b",
            "tilestored [{sums} + {r_row}], tmm0",
            "tilestored [{sums} + {r_row} + 64], tmm1",
            "tilestored [{sums} + {r_row} + 2048], tmm2",
            "tilestored [{sums} + {r_row} + 2112], tmm3",
            l = inout(reg) l => _,
            r = inout(reg) r => _,
            steps = inout(reg) steps => _,
            sums = in(reg) sums.as_mut_ptr(),
            l_row = in(reg) ROW_BYTES,
            r_row = in(reg) SIDE * 4,
            out("tmm0") _,
            out("tmm1") _,
            out("tmm2") _,
            out("tmm3") _,
            out("tmm4") _,
            out("tmm5") _,
            out("tmm6") _,
            out("tmm7") _,
            options(nostack),
        );
        sums.assume_init_ref()
    };
    for (i, sums) in sums.0.iter().enumerate().take(rows) {
        // SAFETY: a row of sums is two registers; the caller's promise.
        unsafe {
            let sums = [_mm512_load_ps(sums.as_ptr()), _mm512_load_ps(sums.as_ptr().add(16))];
            round(to.offset(i as isize * row), sums, columns);
        }
    }
}
