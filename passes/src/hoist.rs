//! Loop-invariant code motion and dead loop values.

use crate::manager::{Changed, replace, rewrite_nodes};
use gradloom_ir::{Builder, Error, Graph, Node, Op, Result, Type, Value, Values};
use smallvec::SmallVec;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Computes outside of a `scan` what is the same in every step, and drops what its body computes for nobody.
///
/// - a node that depends only on consts runs once, outside, and its results become consts;
/// - a carry that the body hands on as it is becomes a const;
/// - an output that is the same in every step, or is a row of `xs`, is no longer computed by the loop;
/// - consts, carries, `xs` and outputs that nothing needs disappear; operands given twice are given once.
///
/// **Never** moves barriers, collectives, host calls or effects, nor what costs next to nothing to compute again:
/// constants, iotas, broadcasts and reshapes.
pub fn hoist(g: &mut Graph) -> Result<Changed> {
    if !g.nodes().iter().any(|n| matches!(n.op, Op::Scan { .. })) {
        return Ok(Changed::No);
    }
    let uses = g.use_counts();
    let new = rewrite_nodes(g, |b, _, node, args| {
        if !matches!(node.op, Op::Scan { .. }) {
            return Ok(None);
        }
        let used: Vec<bool> = node.results.iter().map(|r| uses[r.index()] > 0).collect();
        Loop::new(&node.op, args.to_vec(), used)?.rebuild(b, node).map(Some)
    })?;
    Ok(replace(g, new))
}

/// Ops that are better computed again in every step than kept in memory.
pub(crate) fn cheap(op: &Op) -> bool {
    matches!(op, Op::Constant { .. } | Op::Iota { .. } | Op::Broadcast { .. } | Op::Reshape { .. })
}

/// Ops that stay where they are.
pub(crate) fn pinned(op: &Op) -> bool {
    matches!(op, Op::Barrier {} | Op::AllReduce { .. } | Op::HostCall { .. }) || op.has_effect()
}

/// Where the value of an output comes from once the loop is rebuilt.
#[derive(Clone, Copy, PartialEq)]
enum Source {
    /// The loop computes it.
    Loop,
    /// It is the same in every step.
    Invariant,
    /// It is this input's row.
    Row(usize),
    /// Nobody wants it.
    Nobody,
}

struct Loop<'a> {
    body: &'a Graph,
    length: usize,
    reverse: bool,
    consts: usize,
    carry: usize,
    /// The operands outside.
    args: Vec<Value>,
    definitions: Arc<[Option<usize>]>,
    /// By value of the body: the same in every step.
    invariant: Vec<bool>,
    /// By value of the body: needed inside the new body.
    inside: Vec<bool>,
    /// By value of the body: needed outside.
    outside: Vec<bool>,
    /// By output of the body.
    sources: Vec<Source>,
}

impl<'a> Loop<'a> {
    fn new(op: &'a Op, args: Vec<Value>, used: Vec<bool>) -> Result<Loop<'a>> {
        let Op::Scan { body, length, reverse, consts, carry } = op else {
            return Err(Error::internal("hoist", "not a scan"));
        };
        let n = body.num_values();
        let mut l = Loop {
            body,
            length: *length,
            reverse: *reverse,
            consts: *consts,
            carry: *carry,
            args,
            definitions: body.definitions(),
            invariant: vec![false; n],
            inside: vec![false; n],
            outside: vec![false; n],
            sources: Vec::new(),
        };
        l.find_invariants();
        l.sources = (0..body.num_outputs()).map(|i| l.source(i, used[i])).collect();
        l.find_needs();
        Ok(l)
    }

    fn find_invariants(&mut self) {
        for i in 0..self.consts + self.carry {
            self.invariant[i] = i < self.consts || self.body.outputs()[i - self.consts].index() == i;
        }
        for node in self.body.nodes() {
            let same = !pinned(&node.op) && node.args.iter().all(|a| self.invariant[a.index()]);
            node.results.iter().for_each(|r| self.invariant[r.index()] = same);
        }
    }

    fn source(&self, output: usize, used: bool) -> Source {
        let v = self.body.outputs()[output].index();
        let is_carry = output < self.carry;
        match used {
            _ if is_carry && v == self.consts + output => Source::Invariant,
            false => Source::Nobody,
            true if is_carry => Source::Loop,
            true if self.invariant[v] => Source::Invariant,
            true if v >= self.consts + self.carry && v < self.body.num_inputs() => Source::Row(v),
            true => Source::Loop,
        }
    }

    /// Walks back from the outputs. What is invariant and not cheap is needed inside but made outside.
    fn find_needs(&mut self) {
        let mut work: Vec<(Value, bool)> = Vec::new();
        for (i, &v) in self.body.outputs().iter().enumerate() {
            match self.sources[i] {
                Source::Loop => work.push((v, true)),
                Source::Invariant if i >= self.carry => work.push((v, false)),
                _ => {}
            }
        }
        let effects = self.body.nodes().iter().filter(|n| n.op.has_effect());
        work.extend(effects.flat_map(|n| &n.args).map(|&a| (a, true)));
        while let Some((v, inside)) = work.pop() {
            let seen = if inside { &mut self.inside[v.index()] } else { &mut self.outside[v.index()] };
            if std::mem::replace(seen, true) {
                continue;
            }
            match self.definitions[v.index()] {
                Some(n) => {
                    let node = &self.body.nodes()[n];
                    let inside = inside && !self.is_moved(node);
                    work.extend(node.args.iter().map(|&a| (a, inside)));
                }
                None if inside && self.is_carry(v.index()) && !self.invariant[v.index()] => {
                    let k = v.index() - self.consts;
                    self.sources[k] = Source::Loop;
                    work.push((self.body.outputs()[k], true));
                }
                None => {}
            }
        }
    }

    fn is_carry(&self, input: usize) -> bool {
        (self.consts..self.consts + self.carry).contains(&input)
    }

    /// Whether the node leaves the body.
    fn is_moved(&self, node: &Node) -> bool {
        !cheap(&node.op) && node.results.iter().any(|r| self.invariant[r.index()])
    }

    /// Emits the loop anew, and in front of it what was moved out; returns its results. Those that nobody uses are
    /// arbitrary values.
    fn rebuild(&self, b: &mut Builder, node: &Node) -> Result<Values> {
        let outer = self.emit_outside(b)?;
        let (op, operands) = self.new_scan(&outer)?;
        let Op::Scan { carry, .. } = &op else { return Err(Error::internal("hoist", "not a scan")) };
        let loop_results = if op.bodies()[0].num_outputs() > 0 || op.has_effect() {
            b.set_loc(&node.loc);
            b.emit(op.clone(), &operands)?
        } else {
            Default::default()
        };
        let (carries, ys) = loop_results.split_at(*carry);
        let (mut carries, mut ys) = (carries.iter().copied(), ys.iter().copied());
        let mut stacked: HashMap<Value, Value> = HashMap::new();
        let mut results = Values::new();
        for (i, &v) in self.body.outputs().iter().enumerate() {
            let missing = || Error::internal("hoist", "a result has no source");
            results.push(match self.sources[i] {
                Source::Loop if i < self.carry => carries.next().ok_or_else(missing)?,
                Source::Loop => match stacked.get(&v) {
                    Some(&y) => y,
                    None => {
                        let y = ys.next().ok_or_else(missing)?;
                        stacked.insert(v, y);
                        y
                    }
                },
                Source::Invariant if i < self.carry => self.args[self.consts + i],
                Source::Invariant => {
                    let row = outer[v.index()].ok_or_else(missing)?;
                    crate::rules::repeat(b, row, self.length)
                }
                Source::Row(x) => self.args[x],
                Source::Nobody => Value::from_index(0),
            });
        }
        Ok(results)
    }

    /// Emits what was moved out; returns the values that exist outside, by value of the body.
    fn emit_outside(&self, b: &mut Builder) -> Result<Vec<Option<Value>>> {
        let mut outer: Vec<Option<Value>> = vec![None; self.body.num_values()];
        for ((outer, &arg), &invariant) in outer.iter_mut().zip(&self.args).zip(&self.invariant) {
            *outer = invariant.then_some(arg);
        }
        for node in self.body.nodes() {
            let wanted = |r: &Value| self.outside[r.index()] || (self.inside[r.index()] && self.is_moved(node));
            if node.results.iter().any(wanted) {
                let args: Option<SmallVec<[Value; 4]>> = node.args.iter().map(|a| outer[a.index()]).collect();
                let args = args.ok_or_else(|| Error::internal("hoist", "what is moved depends on the step"))?;
                let types: SmallVec<[Type; 2]> = node.results.iter().map(|&r| self.body.ty(r).clone()).collect();
                b.set_loc(&node.loc);
                let results = b.emit_typed(node.op.clone(), &args, types);
                node.results.iter().zip(results).for_each(|(old, new)| outer[old.index()] = Some(new));
            }
        }
        Ok(outer)
    }

    /// The new scan and its operands.
    fn new_scan(&self, outer: &[Option<Value>]) -> Result<(Op, Vec<Value>)> {
        let mut nb = Builder::new();
        let mut map: Vec<Option<Value>> = vec![None; self.body.num_values()];
        let mut operands: Vec<Value> = Vec::new();
        let name = |v: usize| self.body.input_names().get(v).cloned().unwrap_or_default();
        let ty = |v: usize| self.body.types()[v].clone();

        // consts: old ones, invariant carries, results that were moved out
        let moved = self.body.nodes().iter().filter(|n| self.is_moved(n)).flat_map(|n| &n.results).map(|r| r.index());
        let invariant = (0..self.consts + self.carry).filter(|&i| self.invariant[i]).chain(moved);
        let mut given: HashMap<Value, Value> = HashMap::new();
        for v in invariant.filter(|&v| self.inside[v]) {
            let arg = outer[v].ok_or_else(|| Error::internal("hoist", "a const is not there"))?;
            map[v] = Some(*given.entry(arg).or_insert_with(|| {
                operands.push(arg);
                nb.input(ty(v), &name(v))
            }));
        }
        let consts = operands.len();
        let carries: Vec<usize> = (0..self.carry).filter(|&k| self.sources[k] == Source::Loop).collect();
        for &k in &carries {
            let i = self.consts + k;
            operands.push(self.args[i]);
            map[i] = Some(nb.input(ty(i), &name(i)));
        }
        let mut given: HashMap<Value, Value> = HashMap::new();
        for i in (self.consts + self.carry..self.body.num_inputs()).filter(|&i| self.inside[i]) {
            map[i] = Some(*given.entry(self.args[i]).or_insert_with(|| {
                operands.push(self.args[i]);
                nb.input(ty(i), &name(i))
            }));
        }
        for node in self.body.nodes() {
            let needed = node.op.has_effect() || node.results.iter().any(|r| self.inside[r.index()]);
            if self.is_moved(node) || !needed {
                continue;
            }
            let args: Option<SmallVec<[Value; 4]>> = node.args.iter().map(|a| map[a.index()]).collect();
            let args = args.ok_or_else(|| Error::internal("hoist", "an operand is not there"))?;
            let types: SmallVec<[Type; 2]> = node.results.iter().map(|&r| self.body.ty(r).clone()).collect();
            nb.set_loc(&node.loc);
            let results = nb.emit_typed(node.op.clone(), &args, types);
            node.results.iter().zip(results).for_each(|(old, new)| map[old.index()] = Some(new));
        }
        let mut outputs: Vec<Value> = Vec::new();
        let mut listed: HashSet<Value> = HashSet::new();
        for (i, &v) in self.body.outputs().iter().enumerate() {
            if self.sources[i] == Source::Loop && (i < self.carry || listed.insert(v)) {
                outputs.push(map[v.index()].ok_or_else(|| Error::internal("hoist", "an output is not there"))?);
            }
        }
        let body = Arc::new(nb.finish(&outputs)?);
        let op = Op::Scan { body, length: self.length, reverse: self.reverse, consts, carry: carries.len() };
        Ok((op, operands))
    }
}
