//! Blocks of rows: ops that treat the rows of their arrays alike run together on a block of rows that stays in the cache.
//!
//! A softmax over the last axis is several loop nests, each of which passes over the whole array. Nothing in one row
//! needs another row, so all of them can run on a few rows, then on the next: what they hand to each other is then as
//! large as a block and never leaves the cache, and threads take blocks. The same holds for the products, the mask and
//! the softmax of attention (the rows being the heads of all examples), or for a product with a small matrix and the
//! elementwise ops after it.
//!
//! In the program this is a `scan` without carries whose steps are the blocks: its body is compiled like any program.

mod by_rows;
mod grouping;
mod outline;
mod remake;

use gradloom_ir::{Graph, Result, Type};
use gradloom_passes::{Changed, dead_code, map_bodies};
use grouping::Grouping;

/// When blocks pay, and how large they are.
#[derive(Clone, Copy, Debug)]
pub struct Blocking {
    /// Bytes a group must keep from going through memory.
    pub min_saved: usize,
    /// Bytes of a block, all values together.
    pub block: usize,
    /// Least number of blocks, for threads to share.
    pub min_blocks: usize,
}

impl Default for Blocking {
    /// A block takes half of a second-level cache of 512 KiB, or less; what is saved was more than such a cache.
    fn default() -> Blocking {
        Blocking { min_saved: 1 << 20, block: 1 << 18, min_blocks: 8 }
    }
}

/// Whether [`block_rows`] may find anything, here or in a nested program: whether arrays are large enough.
pub(super) fn has_rows_to_block(g: &Graph) -> bool {
    let with = Blocking::default();
    let large = |t: &Type| t.bytes() >= with.min_saved / 4;
    !grouping::numbers_of_rows(g).is_empty() && g.types().iter().any(large)
        || g.nodes().iter().any(|n| n.op.bodies().iter().any(|b| has_rows_to_block(b)))
}

/// Rewrites groups of ops on the same rows as scans over blocks of rows.
///
/// **Requires** real arrays, no remat and no custom derivative ops. **Ensures** that the size of a block depends on
/// shapes alone. **Never** changes what is computed: each row goes through the same ops as before.
///
/// ```
/// use gradloom_backends::cpu::{Blocking, block_rows};
/// let mut g = gradloom_ir::parse("graph(%0: f32[2048,512]) {
///     %1 = exponential(%0) : f32[2048,512]
///     %2 = reduce(%1) {kind = \"sum\", axes = [1]} : f32[2048]
///     %3 = broadcast_in_dim(%2) {shape = [2048, 512], dims = [0]} : f32[2048,512]
///     %4 = divide(%1, %3) : f32[2048,512]
///     return %4
/// }")?;
/// block_rows(&mut g, Blocking::default())?;
/// // 32 rows at a time
/// assert!(g.to_string().contains("scan") && g.to_string().contains("f32[64,32,512]"), "{g}");
/// # Ok::<(), gradloom_ir::Error>(())
/// ```
///
/// # Errors
/// Internal ones only.
pub fn block_rows(g: &mut Graph, with: Blocking) -> Result<Changed> {
    let inside = map_bodies(g, &mut |body| block_rows(body, with))?;
    let mut any = inside;
    for rows in grouping::numbers_of_rows(g) {
        let grouping = Grouping::new(g, rows, with);
        let mut groups = grouping.groups();
        if let Some(new) = remake::remade(g, &grouping, &groups)? {
            *g = dead_code(&new);
            groups = Grouping::new(g, rows, with).groups();
        }
        if let Some(new) = outline::outlined(g, rows, &groups)? {
            *g = dead_code(&new);
            any = Changed::Yes;
        }
    }
    Ok(any)
}
