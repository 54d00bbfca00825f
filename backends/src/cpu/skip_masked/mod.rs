//! Scores that a mask hides are not computed.
//!
//! Causal attention multiplies all queries with all keys, and then half of the scores give way to a constant: the mask compares the
//! number of a query with that of a key, so that it is known before the program runs where. Here the queries are cut into
//! blocks. The scores of a block are those of the keys that some query of the block sees; the scores of all other keys
//! are the same number in each row, and stay so through everything that is done to them element by element. What sums them up, or
//! multiplies them with the values of those keys, takes that number times what there is of it:
//!
//! `sum_k p[q, k] v[k] = sum_(k seen) p[q, k] v[k] + p[q] sum_(k hidden) v[k]`
//!
//! Nothing is assumed of what the mask puts in their place, so a row whose hidden scores count (they are finite, and so are its others)
//! has the same result as before. The gradients are in the same program and are cut along with it.

mod contract;
mod cut;
mod hidden;
mod known;
mod region;

use cut::Cutter;
use gradloom_ir::{Graph, Node, Op, Result, Value};
use gradloom_passes::{Changed, cse, map_bodies};
use known::Known;
use region::Region;
use std::collections::HashMap;
use std::ops::Range;

/// Of the scores, one in this many must be hidden.
const MIN_HIDDEN: usize = 5;

/// When cutting pays, and how fine it is.
#[derive(Clone, Copy, Debug)]
pub struct Cutting {
    /// Fewer queries or keys than this are not cut.
    pub min_length: usize,
    /// Arrays of scores of fewer bytes are not cut.
    pub min_bytes: usize,
    /// Queries of a block, unless that makes more blocks than there may be.
    pub block: usize,
    /// Most blocks: each is code of its own.
    pub max_blocks: usize,
    /// What is computed of a block begins and ends at multiples of this many keys.
    pub step: usize,
}

impl Default for Cutting {
    /// Arrays that fit a second-level cache twice over are not worth the loops of each block.
    fn default() -> Cutting {
        Cutting { min_length: 192, min_bytes: 1 << 20, block: 64, max_blocks: 8, step: 16 }
    }
}

/// How an array of scores `[.., queries, keys]` is cut.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Cut {
    /// The shape of the array.
    shape: Vec<usize>,
    /// The queries of each block.
    rows: Vec<Range<usize>>,
    /// The keys of each block that are not hidden.
    columns: Vec<Range<usize>>,
}

impl Cut {
    /// How many axes lie before that of the queries.
    fn batch(&self) -> usize {
        self.shape.len() - 2
    }

    fn keys(&self) -> usize {
        self.shape[self.batch() + 1]
    }

    /// The keys of a block that are hidden.
    fn hidden(&self, block: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let seen = &self.columns[block];
        [0..seen.start, seen.end..self.keys()].into_iter().filter(|r| !r.is_empty())
    }

    /// The part of the array that is a block of queries and some keys.
    fn part(&self, block: usize, keys: Range<usize>) -> Vec<Range<usize>> {
        let batch = self.shape[..self.batch()].iter().map(|&n| 0..n);
        batch.chain([self.rows[block].clone(), keys]).collect()
    }
}

/// How the arrays of this shape are cut of which the predicate hides what it is `hides` for, if that is enough.
fn cut_by(known: &mut Known, predicate: Value, hides: bool, shape: &[usize], with: Cutting) -> Option<Cut> {
    let [.., queries, keys] = *shape else { return None };
    let step = with.step.max(1);
    let block = with.block.max(queries.div_ceil(with.max_blocks.max(1))).max(1);
    let rows: Vec<Range<usize>> = (0..queries).step_by(block).map(|from| from..queries.min(from + block)).collect();
    let mut cut = Cut { shape: shape.to_vec(), columns: vec![0..keys; rows.len()], rows };
    for i in 0..cut.rows.len() {
        let mut hidden = |keys: Range<usize>| known.always(predicate, &cut.part(i, keys)) == Some(hides);
        let before = |to: usize| (to - 1) / step * step;
        let (mut from, mut to) = (0, keys);
        while to > 0 && hidden(before(to)..to) {
            to = before(to);
        }
        while from + step <= to && hidden(from..from + step) {
            from += step;
        }
        // a block of no keys would be arrays without elements
        if from == to {
            return None;
        }
        cut.columns[i] = from..to;
    }
    let seen: usize = cut.rows.iter().zip(&cut.columns).map(|(r, c)| r.len() * c.len()).sum();
    (seen <= queries * keys / MIN_HIDDEN * (MIN_HIDDEN - 1)).then_some(cut)
}

/// The ways in which arrays of a program may be cut, and the selects that say so.
fn cuts(g: &Graph, with: Cutting) -> Vec<(Cut, Vec<Value>)> {
    let mut known = Known::new(g);
    let definitions = g.definitions();
    // whether an array is the same for all keys
    let is_constant = |v: Value| match definitions[v.index()].map(|i| &g.nodes()[i]) {
        Some(Node { op: Op::Broadcast { dims, .. }, args, .. }) => {
            let keys = g.ty(v).rank() - 1;
            dims.iter().zip(&g.ty(args[0]).shape).all(|(&d, &n)| d != keys || n == 1)
        }
        Some(Node { op: Op::Constant { value }, .. }) => value.splat_value().is_some(),
        _ => false,
    };
    let mut by_predicate: HashMap<(Value, bool), Option<Cut>> = HashMap::new();
    let mut cuts: Vec<(Cut, Vec<Value>)> = Vec::new();
    for node in g.nodes().iter().filter(|n| n.op == Op::Select {}) {
        let ty = g.ty(node.results[0]);
        let [.., queries, keys] = ty.shape[..] else { continue };
        if !ty.dtype.is_float() || queries.min(keys) < with.min_length.max(1) || ty.bytes() < with.min_bytes {
            continue;
        }
        let [predicate, on_true, on_false] = node.args[..] else { continue };
        let hides = match (is_constant(on_true), is_constant(on_false)) {
            (_, true) => false,
            (true, false) => true,
            (false, false) => continue,
        };
        let cut = by_predicate.entry((predicate, hides));
        let cut = cut.or_insert_with(|| cut_by(&mut known, predicate, hides, &ty.shape, with));
        let Some(cut) = cut else { continue };
        match cuts.iter_mut().find(|(c, _)| c == cut) {
            Some((_, selects)) => selects.push(node.results[0]),
            None => cuts.push((cut.clone(), vec![node.results[0]])),
        }
    }
    cuts
}

/// What each cut takes part of.
fn regions(g: &Graph, with: Cutting) -> impl Iterator<Item = Region> {
    cuts(g, with).into_iter().filter_map(|(cut, selects)| Region::new(g, cut, &selects))
}

/// Whether [`skip_masked`] may have anything to do here or in a nested program.
pub(super) fn has_mask(g: &Graph) -> bool {
    regions(g, Cutting::default()).next().is_some()
        || g.nodes().iter().any(|n| n.op.bodies().iter().any(|b| has_mask(b)))
}

/// Computes the products of attention only where a mask that is known beforehand (causal, a sliding window, any constant) lets
/// them through, block by block of the queries.
///
/// **Ensures** the same result up to the order of additions, for any mask and any numbers whose sums stay in the dtype's range. **Never**
/// cuts what another part of the program needs and cannot have put together again.
///
/// ```
/// use gradloom_backends::cpu::{Cutting, skip_masked};
/// let mut g = gradloom_ir::parse("graph(%0: f32[8,256,16], %1: f32[8,256,16]) {
///     %2 = dot_general(%0, %1) {lhs_batch = [0], rhs_batch = [0], lhs_contract = [2], rhs_contract = [2]} : f32[8,256,256]
///     %3 = iota() {dtype = i32, shape = [8, 256, 256], axis = 1} : i32[8,256,256]
///     %4 = iota() {dtype = i32, shape = [8, 256, 256], axis = 2} : i32[8,256,256]
///     %5 = greater_equal(%3, %4) : bool[8,256,256]
///     %6 = constant() {value = dense<0.0 : f32[]>} : f32[]
///     %7 = broadcast_in_dim(%6) {shape = [8, 256, 256], dims = []} : f32[8,256,256]
///     %8 = select(%5, %2, %7) : f32[8,256,256]
///     %9 = dot_general(%8, %1) {lhs_batch = [0], rhs_batch = [0], lhs_contract = [2], rhs_contract = [1]} : f32[8,256,16]
///     return %9
/// }")?;
/// skip_masked(&mut g, Cutting::default())?;
/// // the first 64 queries see 64 keys, the last see all
/// let text = g.to_string();
/// assert!(text.contains(": f32[8,64,64]") && text.contains(": f32[8,64,256]") && !text.contains(": f32[8,256,256]"));
/// # Ok::<(), gradloom_ir::Error>(())
/// ```
///
/// # Errors
/// Internal ones only.
pub fn skip_masked(g: &mut Graph, with: Cutting) -> Result<Changed> {
    let mut any = map_bodies(g, &mut |body| skip_masked(body, with))?;
    while let Some(new) = cut_once(g, with)? {
        *g = new;
        any = Changed::Yes;
    }
    if any == Changed::Yes {
        // each op that is cut has asked for the blocks of what it reads
        cse(g)?;
    }
    Ok(any)
}

/// The program with the first of its arrays cut that can be.
fn cut_once(g: &Graph, with: Cutting) -> Result<Option<Graph>> {
    for region in regions(g, with) {
        if let Some(new) = Cutter::new(g, &region).cut()? {
            return Ok(Some(new));
        }
    }
    Ok(None)
}
