//! Loop fusion: scans that go through the same steps as one scan.

use crate::context::PassContext;
use crate::count_loops;
use crate::manager::{Changed, Pass};
use gradloom_ir::{Builder, Error, Graph, Node, Op, Result, Value, Values};
use smallvec::SmallVec;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Makes one `scan` of two of equal length and direction, neither of which needs what the other has only at its end: the
/// rows that the first stacks are handed to the second step by step, and are not stacked if nobody else reads them.
///
/// ```text
/// a, ys = scan(f, a0, xs)                c, zs = scan(g, b0, ws)
/// b, zs = scan(g, b0, ys)                b, ys = scan(f, a0, xs)
/// =                                      =
/// a, b, zs = scan(g after f, a0, b0, xs)        b, c, ys, zs = scan(f and g, a0, b0, xs, ws)
/// ```
///
/// With `counted`, [`count_loops`] is run first, so that `while` loops take part.
///
/// **Ensures** the same bits, and effects in the same number and order. **Never** fuses two loops that both have effects,
/// nor one that carries a value with one that carries none: the steps of the latter may run at the same time. Idempotent.
///
/// ```
/// use gradloom_passes::{FuseLoops, Pipeline};
/// let mut g = gradloom_ir::parse(
///     "graph(%0: f32[5, 2]) {
///         %1 = scan(%0) {body = graph(%0: f32[2]) { %1 = sine(%0) : f32[2] return %1 },
///             length = 5, reverse = false, consts = 0, carry = 0} : f32[5, 2]
///         %2 = scan(%1) {body = graph(%0: f32[2]) { %1 = tanh(%0) : f32[2] return %1 },
///             length = 5, reverse = false, consts = 0, carry = 0} : f32[5, 2]
///         return %2
///     }",
/// )?;
/// Pipeline::empty().push(FuseLoops::default()).run(&mut g)?;
/// assert_eq!(g.nodes().len(), 1);
/// # Ok::<(), gradloom_ir::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FuseLoops {
    /// Whether `while` loops whose number of iterations is known become scans.
    pub counted: bool,
}

impl Default for FuseLoops {
    fn default() -> FuseLoops {
        FuseLoops { counted: true }
    }
}

impl Pass for FuseLoops {
    fn name(&self) -> &str {
        "fuse_loops"
    }

    fn run(&self, g: &mut Graph, _: &mut PassContext) -> Result<Changed> {
        let counted = if self.counted { count_loops(g)? } else { Changed::No };
        Ok(counted | fuse(g)?)
    }
}

/// Fuses pairs of scans until there are none. Rows handed over come first: loops that are fused for no more than their
/// length may then not be in the way.
fn fuse(g: &mut Graph) -> Result<Changed> {
    let mut changed = Changed::No;
    for hands_over in [true, false] {
        while let Some(pair) = find(g, hands_over) {
            *g = pair.join(g)?;
            changed = Changed::Yes;
        }
    }
    Ok(changed)
}

/// A scan, and what it says of itself.
struct Loop<'a> {
    node: &'a Node,
    body: &'a Graph,
    consts: usize,
    carry: usize,
    /// What two must have in common: length, direction, whether they carry anything.
    form: (usize, bool, bool),
}

impl<'a> Loop<'a> {
    fn of(node: &'a Node) -> Option<Loop<'a>> {
        let Op::Scan { body, length, reverse, consts, carry } = &node.op else { return None };
        let form = (*length, *reverse, *carry > 0);
        Some(Loop { node, body, consts: *consts, carry: *carry, form })
    }

    /// The arrays that it goes through row by row.
    fn xs(&self) -> &'a [Value] {
        &self.node.args[self.consts + self.carry..]
    }

    /// What it stacks.
    fn ys(&self) -> &'a [Value] {
        &self.node.results[self.carry..]
    }
}

/// Two scans that may become one.
struct Pair {
    first: usize,
    second: usize,
    /// By node from the first on, to the second: whether it must come after the first.
    late: Vec<bool>,
}

/// The first two scans of a program that may become one; with `hands_over` only if the second reads rows of the first.
fn find(g: &Graph, hands_over: bool) -> Option<Pair> {
    let scans: Vec<(usize, Loop)> = g.nodes().iter().enumerate().filter_map(|(i, n)| Some((i, Loop::of(n)?))).collect();
    for (k, (first, l)) in scans.iter().enumerate() {
        let reads_rows = |m: &Loop| m.xs().iter().any(|x| l.ys().contains(x));
        // what the second is handed may be rows; nothing else of the first is there in time
        let reads_more = |m: &Loop| {
            let xs = m.xs();
            let whole = &m.node.args[..m.consts + m.carry];
            let in_time = |x: &Value| !l.node.results.contains(x);
            !whole.iter().all(in_time) || !xs.iter().all(|x| in_time(x) || l.ys().contains(x))
        };
        let may = |m: &Loop| {
            l.form == m.form
                && !(l.node.op.has_effect() && m.node.op.has_effect())
                && (!hands_over || reads_rows(m))
                && !reads_more(m)
        };
        let partners: Vec<usize> = scans[k + 1..].iter().filter(|(_, m)| may(m)).map(|(j, _)| *j).collect();
        let Some(&last) = partners.last() else { continue };
        let Order { mut late, by_others } = order(g, *first, last);
        if let Some(second) = partners.into_iter().find(|j| !by_others[j - first]) {
            late.truncate(second - first);
            return Some(Pair { first: *first, second, late });
        }
    }
    None
}

/// What must come after a node, by node from there on.
struct Order {
    /// At all: it reads a result, or has an effect after an effect, or follows such a node.
    late: Vec<bool>,
    /// Not only because it reads a result of the node itself.
    by_others: Vec<bool>,
}

fn order(g: &Graph, first: usize, last: usize) -> Order {
    let nodes = &g.nodes()[first..=last];
    let mut effect = nodes[0].op.has_effect();
    let mut of_late: HashSet<Value> = HashSet::new();
    let mut order = Order { late: vec![false; nodes.len()], by_others: vec![false; nodes.len()] };
    for (k, node) in nodes.iter().enumerate().skip(1) {
        let follows = (effect && node.op.has_effect()) || node.args.iter().any(|a| of_late.contains(a));
        order.by_others[k] = follows;
        order.late[k] = follows || node.args.iter().any(|a| nodes[0].results.contains(a));
        if order.late[k] {
            of_late.extend(&node.results);
            effect |= node.op.has_effect();
        }
    }
    order
}

impl Pair {
    /// The program with one loop, at the place of the second; what must come after the first follows it.
    fn join(&self, g: &Graph) -> Result<Graph> {
        let lost = || Error::internal("fuse_loops", "a value is used before it is there");
        let fused = self.fused(g)?;
        let mut b = Builder::new();
        let mut map: Vec<Option<Value>> = vec![None; g.num_values()];
        for v in g.inputs() {
            map[v.index()] = Some(b.input(g.ty(v).clone(), &g.input_names()[v.index()]));
        }
        let between = |late: bool| (self.first + 1..self.second).filter(move |i| self.late[i - self.first] == late);
        let before = (0..self.first).chain(between(false)).map(|i| (&g.nodes()[i], false));
        let after = between(true).chain(self.second + 1..g.nodes().len()).map(|i| (&g.nodes()[i], false));
        for (node, new) in before.chain([(&fused, true)]).chain(after) {
            let args: SmallVec<[Value; 4]> =
                node.args.iter().map(|a| map[a.index()].ok_or_else(lost)).collect::<Result<_>>()?;
            b.set_loc(&node.loc);
            let results = if new {
                b.emit(node.op.clone(), &args)?
            } else {
                b.emit_typed(node.op.clone(), &args, node.results.iter().map(|&r| g.ty(r).clone()))
            };
            node.results.iter().zip(results).for_each(|(old, new)| map[old.index()] = Some(new));
        }
        let outputs: Option<Vec<Value>> = g.outputs().iter().map(|v| map[v.index()]).collect();
        b.finish(&outputs.ok_or_else(lost)?)
    }

    /// The loop that both become. Its operands and results are values of the old program; rows stacked for the second alone
    /// are not among the results.
    fn fused(&self, g: &Graph) -> Result<Node> {
        let lost = || Error::internal("fuse_loops", "a value of the loop is lost");
        let one = Loop::of(&g.nodes()[self.first]).ok_or_else(lost)?;
        let two = Loop::of(&g.nodes()[self.second]).ok_or_else(lost)?;
        let loops = [&one, &two];
        let mut b = Builder::new();
        let mut operands: Vec<Value> = Vec::new();
        // by loop, the inputs of its body in the new one; the second's rows that the first makes are not there yet
        let mut inner = loops.map(|l| vec![None; l.body.num_inputs()]);
        let mut input = |p: usize, i: usize| {
            operands.push(loops[p].node.args[i]);
            b.input(loops[p].body.types()[i].clone(), &loops[p].body.input_names()[i])
        };
        let mut given: HashMap<Value, Value> = HashMap::new();
        for (p, l) in loops.iter().enumerate() {
            for (i, slot) in inner[p].iter_mut().enumerate().take(l.consts) {
                *slot = Some(*given.entry(l.node.args[i]).or_insert_with(|| input(p, i)));
            }
        }
        let consts = given.len();
        for (p, l) in loops.iter().enumerate() {
            for (i, slot) in inner[p].iter_mut().enumerate().skip(l.consts).take(l.carry) {
                *slot = Some(input(p, i));
            }
        }
        given.clear();
        for (p, l) in loops.iter().enumerate() {
            for (i, slot) in inner[p].iter_mut().enumerate().skip(l.consts + l.carry) {
                let x = l.node.args[i];
                if p == 0 || !one.ys().contains(&x) {
                    *slot = Some(*given.entry(x).or_insert_with(|| input(p, i)));
                }
            }
        }
        let [of_one, of_two] = inner;
        let of_one: Vec<Value> = of_one.into_iter().collect::<Option<_>>().ok_or_else(lost)?;
        let from_one = b.inline(one.body, &of_one)?;
        let row = |x: &Value| one.ys().iter().position(|y| y == x).map(|k| from_one[one.carry + k]);
        let of_two: Option<Vec<Value>> =
            of_two.into_iter().zip(&two.node.args).map(|(v, x)| v.or_else(|| row(x))).collect();
        let from_two = b.inline(two.body, &of_two.ok_or_else(lost)?)?;

        let uses = g.use_counts();
        let others = |y: &Value| uses[y.index()] as usize > two.xs().iter().filter(|x| *x == y).count();
        let kept: Vec<usize> = (0..one.ys().len()).filter(|&k| others(&one.ys()[k])).collect();
        let gather = |of_one: &[Value], of_two: &[Value]| -> Vec<Value> {
            let (carry_one, ys_one) = of_one.split_at(one.carry);
            let (carry_two, ys_two) = of_two.split_at(two.carry);
            let ys_one = kept.iter().map(|&k| ys_one[k]);
            carry_one.iter().chain(carry_two).copied().chain(ys_one).chain(ys_two.iter().copied()).collect()
        };
        let mut body = b.finish(&gather(&from_one, &from_two))?;
        // loops inside of one and the other may have become neighbours
        fuse(&mut body)?;
        let (length, reverse, _) = one.form;
        let op = Op::Scan { body: Arc::new(body), length, reverse, consts, carry: one.carry + two.carry };
        let results = Values::from_vec(gather(&one.node.results, &two.node.results));
        Ok(Node { op, args: operands.into(), results, loc: two.node.loc.clone() })
    }
}
