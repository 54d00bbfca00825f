//! Second thoughts on values that several loop nests use, once it is known what else is stored and which nests there are.

use super::{Clustered, MAX_RECOMPUTE, Reason, Step, Users, is_fusible, own_cost};
use gradloom_ir::{Graph, Op, Value};
use smallvec::SmallVec;

/// Smaller arrays stay in the cache, whoever reads them.
const MIN_BYTES: usize = 1 << 16;

/// An operand this many times smaller than a value counts for nothing beside it.
const SMALL: usize = 4;

/// What a value is computed from, in a loop nest that inlines it.
#[derive(Clone, Default)]
struct Made {
    cost: u32,
    /// Stored values, a few of them at most.
    from: SmallVec<[Value; 4]>,
    /// Whether the large ones are read at the value's own index.
    at_index: bool,
}

/// Changes what is stored where that moves fewer bytes, or as many, and keeps fewer:
/// - a shared value that is cheaply made of one stored array is made again, so that the one array is kept, not both;
/// - a value that several loop nests make of two or more arrays is stored, so that it is kept, not they.
///
/// Returns whether anything changed.
pub(super) fn reconsider(g: &Graph, c: &Clustered, reasons: &mut [Option<Reason>]) -> bool {
    let inlined = inlined_into(g, c);
    let mut has_alias = vec![false; g.num_values()];
    c.alias.iter().flatten().for_each(|m| has_alias[m.index()] = true);
    let mut made: Vec<Made> = vec![Made { at_index: true, ..Made::default() }; g.num_values()];
    let mut changed = false;
    for node in g.nodes().iter().filter(|n| is_fusible(g, n)) {
        let r = node.results[0];
        let mut now = Made { cost: own_cost(&node.op), at_index: true, ..Made::default() };
        for &a in &node.args {
            let memory = c.alias[a.index()].or(reasons[a.index()].is_some().then_some(a));
            let (from, cost, at_index) = match memory {
                Some(m) => (&[m][..], 0, c.alias[a.index()].is_none()),
                None => (&made[a.index()].from[..], made[a.index()].cost, made[a.index()].at_index),
            };
            now.cost = now.cost.saturating_add(cost);
            let large = from.iter().any(|m| g.ty(*m).bytes() * SMALL > g.ty(r).bytes());
            now.at_index &= !large || (at_index && is_elementwise(&node.op));
            for &m in from {
                if now.from.len() < 4 && !now.from.contains(&m) {
                    now.from.push(m);
                }
            }
        }
        let bytes = g.ty(r).bytes();
        let count = |least: usize| now.from.iter().filter(|m| g.ty(**m).bytes() >= least).count();
        if is_elementwise(&node.op) && bytes >= MIN_BYTES && c.alias[r.index()].is_none() && !has_alias[r.index()] {
            match reasons[r.index()] {
                Some(Reason::Shared(_)) if now.cost <= MAX_RECOMPUTE && now.at_index && count(bytes / SMALL) <= 1 => {
                    (reasons[r.index()], changed) = (None, true);
                }
                None if inlined[r.index()] == Users::Many && count(bytes) >= 2 => {
                    (reasons[r.index()], changed) = (Some(Reason::Shared(now.cost)), true);
                }
                _ => {}
            }
        }
        made[r.index()] = now;
    }
    changed
}

fn is_elementwise(op: &Op) -> bool {
    matches!(op, Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select {} | Op::Convert { .. })
}

/// By value, the loop nests it is inlined into.
fn inlined_into(g: &Graph, c: &Clustered) -> Vec<Users> {
    let definitions = g.definitions();
    let mut users = vec![Users::None; g.num_values()];
    // the last step that came by each value
    let mut seen = vec![None; g.num_values()];
    for (s, step) in c.steps.iter().enumerate() {
        let Step::Cluster(cluster) = step else { continue };
        let operands = |v: Value| definitions[v.index()].map_or(&[][..], |i| &g.nodes()[i].args);
        let mut open: Vec<Value> = cluster.roots.iter().flat_map(|&r| operands(r)).copied().collect();
        while let Some(v) = open.pop() {
            let in_memory = c.stored[v.index()] || c.alias[v.index()].is_some();
            if !in_memory && seen[v.index()].replace(s) != Some(s) {
                users[v.index()] = users[v.index()].join(Users::One(s as u32));
                open.extend(operands(v));
            }
        }
    }
    users
}
