//! What of a program is cut along with scores.

use super::Cut;
use crate::cpu::divide_reductions::is_elementwise;
use gradloom_ir::{Graph, Node, Op, Value};

/// Where more values than this are made one of the other, a program is left as it is: they are made recursively.
const MAX_DEPTH: usize = 128;

/// What a value of the region is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Not cut.
    Whole,
    /// An array of scores, made block by block.
    Scores,
    /// An array of scores that is made as a whole, by an op that is not cut.
    WholeScores,
    /// Numbers a row, of each row of scores: `[.., queries]`, or with axes of length 1 behind that.
    Rows,
}

/// The arrays of one shape that a cut divides, and what is computed of their rows.
pub(super) struct Region {
    pub cut: Cut,
    /// By value.
    kinds: Vec<Kind>,
    /// By value; arrays of scores that are computed of each other element by element have one number.
    components: Vec<usize>,
}

/// What an axis of a product's operand is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// One of the batch, the first axes of the result.
    Batch(usize),
    /// One that is summed over.
    Contracted(usize),
    /// This axis of the result.
    Free(usize),
}

/// What each axis of both operands of a product is for.
pub(super) fn places(g: &Graph, node: &Node) -> Option<[Vec<Place>; 2]> {
    let Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } = &node.op else { return None };
    let mut next = lhs_batch.len();
    let mut of = |side: usize, batch: &[usize], contract: &[usize]| -> Vec<Place> {
        let at = |axes: &[usize], a: usize| axes.iter().position(|&b| b == a);
        let place = |a: usize| match (at(batch, a), at(contract, a)) {
            (Some(k), _) => Place::Batch(k),
            (_, Some(k)) => Place::Contracted(k),
            _ => {
                next += 1;
                Place::Free(next - 1)
            }
        };
        (0..g.ty(node.args[side]).rank()).map(place).collect()
    };
    Some([of(0, lhs_batch, lhs_contract), of(1, rhs_batch, rhs_contract)])
}

/// Which operand, and which axis of it, the last two axes of a product are: if they are of two operands.
pub(super) fn factors(g: &Graph, node: &Node) -> Option<[(usize, usize); 2]> {
    let (places, rank) = (places(g, node)?, g.ty(node.results[0]).rank());
    let find = |axis: usize| {
        let at = |side: usize| Some((side, places[side].iter().position(|&p| p == Place::Free(axis))?));
        at(0).or_else(|| at(1))
    };
    let [query, key] = [find(rank.checked_sub(2)?)?, find(rank - 1)?];
    (query.0 != key.0).then_some([query, key])
}

impl Cut {
    /// Whether an array of this shape has a number for each row of scores.
    pub fn is_rows(&self, shape: &[usize]) -> bool {
        let k = self.batch() + 1;
        shape.len() >= k && shape[..k] == self.shape[..k] && shape[k..].iter().all(|&n| n == 1)
    }
}

impl Region {
    /// The arrays that are computed of the results of these selects, or from which those are computed, element by element:
    /// if products make some of them, and others read some.
    pub fn new(g: &Graph, cut: Cut, selects: &[Value]) -> Option<Region> {
        let is_scores = |v: Value| g.ty(v).shape[..] == cut.shape[..];
        let together = |n: &Node| is_elementwise(&n.op) && is_scores(n.results[0]);
        // scores that some elementwise op computes of each other
        let mut label: Vec<usize> = (0..g.num_values()).collect();
        fn find(label: &mut [usize], mut v: usize) -> usize {
            while label[v] != v {
                label[v] = label[label[v]];
                v = label[v];
            }
            v
        }
        for node in g.nodes().iter().filter(|n| together(n)) {
            for a in node.args.iter().filter(|&&a| is_scores(a)) {
                let (from, to) = (find(&mut label, a.index()), find(&mut label, node.results[0].index()));
                label[from] = to;
            }
        }
        // whether products make some, and read some
        let mut products = vec![[false; 2]; g.num_values()];
        for node in g.nodes() {
            if !matches!(node.op, Op::DotGeneral { .. }) {
                continue;
            }
            if is_scores(node.results[0]) && factors(g, node).is_some() {
                products[find(&mut label, node.results[0].index())][0] = true;
            }
            for a in node.args.iter().filter(|&&a| is_scores(a)) {
                products[find(&mut label, a.index())][1] = true;
            }
        }
        let mut chosen = vec![false; g.num_values()];
        for v in selects {
            let root = find(&mut label, v.index());
            chosen[root] = products[root] == [true; 2];
        }
        if !chosen.contains(&true) {
            return None;
        }
        let mut kinds = vec![Kind::Whole; g.num_values()];
        for v in g.inputs().filter(|&v| is_scores(v) && chosen[find(&mut label, v.index())]) {
            kinds[v.index()] = Kind::WholeScores;
        }
        for node in g.nodes() {
            for &r in node.results.iter().filter(|&&r| is_scores(r)) {
                if chosen[find(&mut label, r.index())] {
                    kinds[r.index()] = if is_made_by_block(g, node) { Kind::Scores } else { Kind::WholeScores };
                }
            }
        }
        rows(g, &cut, &mut kinds);
        let components = (0..g.num_values()).map(|v| find(&mut label, v)).collect();
        (depth(g, &kinds) <= MAX_DEPTH).then_some(Region { cut, kinds, components })
    }

    pub fn kind(&self, v: Value) -> Kind {
        self.kinds[v.index()]
    }

    pub fn component(&self, v: Value) -> usize {
        self.components[v.index()]
    }
}

/// The most values that are cut and made one of the other.
fn depth(g: &Graph, kinds: &[Kind]) -> usize {
    let mut depths = vec![0usize; g.num_values()];
    for node in g.nodes() {
        let below = node.args.iter().map(|a| depths[a.index()]).max().unwrap_or(0);
        for r in node.results.iter().filter(|r| matches!(kinds[r.index()], Kind::Scores | Kind::Rows)) {
            depths[r.index()] = below + 1;
        }
    }
    depths.into_iter().max().unwrap_or(0)
}

/// Whether an op that makes scores can make a block of them.
fn is_made_by_block(g: &Graph, node: &Node) -> bool {
    match &node.op {
        Op::Broadcast { .. } | Op::Iota { .. } => true,
        Op::Constant { value } => value.splat_value().is_some(),
        Op::DotGeneral { .. } => factors(g, node).is_some(),
        op => is_elementwise(op),
    }
}

/// Marks what is computed of rows of scores and goes back into scores.
fn rows(g: &Graph, cut: &Cut, kinds: &mut [Kind]) {
    let key = cut.batch() + 1;
    for node in g.nodes() {
        let [result] = node.results[..] else { continue };
        if kinds[result.index()] != Kind::Whole || !cut.is_rows(&g.ty(result).shape) {
            continue;
        }
        let is = |kind: Kind| node.args.iter().any(|a| kinds[a.index()] == kind);
        let made = match &node.op {
            Op::Reduce { axes, .. } => axes[..] == [key] && (is(Kind::Scores) || is(Kind::WholeScores)),
            Op::Reshape { .. } => is(Kind::Rows),
            Op::Broadcast { dims, .. } => is(Kind::Rows) && dims.iter().enumerate().all(|(i, &d)| i == d),
            op => is_elementwise(op) && is(Kind::Rows),
        };
        if made {
            kinds[result.index()] = Kind::Rows;
        }
    }
    // what is only computed of them does as well as a whole
    let mut comes_back = vec![false; g.num_values()];
    for node in g.nodes().iter().rev() {
        if let Op::Reduce { .. } = node.op {
            comes_back[node.results[0].index()] = true;
        }
        let back = node.results.iter().any(|r| comes_back[r.index()] || kinds[r.index()] == Kind::Scores);
        for a in node.args.iter().filter(|a| back && kinds[a.index()] == Kind::Rows) {
            comes_back[a.index()] = true;
        }
    }
    for (kind, back) in kinds.iter_mut().zip(comes_back) {
        if *kind == Kind::Rows && !back {
            *kind = Kind::Whole;
        }
    }
}
