//! Loop distribution: products inside a `scan` that need not wait for each other leave it and become one large product.

use crate::hoist::{cheap, pinned};
use crate::manager::{Changed, copy_inputs, replace, rewrite_nodes};
use crate::transform::batch;
use gradloom_ir::{Binary, Builder, Error, Graph, Node, Op, ReduceKind, Result, Shape, Type, Unary, Value, Values};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::sync::Arc;

/// Bytes that a loop's distribution may keep in memory beyond what the loop kept.
const MAX_STACKED: usize = 1 << 27;

/// Multiplications from which on a product is as fast alone as with those of the other steps.
const LARGE_PRODUCT: usize = 1 << 26;

/// Splits each `scan` into what can be computed for all steps at once before it, the loop, and what can be summed up
/// after it.
///
/// - before: a product or convolution of consts and rows of `xs`, with what it is computed from and what follows it
///   elementwise. Its results become rows of `xs`.
/// - after: a term `dot(a, b)` or `sum(a)` that is only added to a carry. The loop hands out the rows of `a` and `b`; the sum
///   over the steps is one more contracted axis. Such are the gradients of weights that every step uses.
///
/// **Ensures** the same results, but for the order in which floats are summed. **Never** keeps more than 128 MB more, and
/// leaves large products alone, and loops with barriers or without carries: their author has chosen memory over time.
pub fn distribute(g: &mut Graph) -> Result<Changed> {
    if !g.nodes().iter().any(|n| matches!(n.op, Op::Scan { .. })) {
        return Ok(Changed::No);
    }
    let mut any = false;
    let new = rewrite_nodes(g, |b, _, node, args| match Loop::new(&node.op, args).and_then(Loop::split) {
        Some(split) => {
            any = true;
            split.rebuild(b).map(Some)
        }
        None => Ok(None),
    })?;
    if !any {
        return Ok(Changed::No);
    }
    let mut new = crate::dead_code(&new);
    // consts, rows and results that the loop no longer needs
    crate::hoist(&mut new)?;
    Ok(replace(g, crate::dead_code(&new)))
}

fn is_contraction(op: &Op) -> bool {
    matches!(op, Op::DotGeneral { .. } | Op::Convolution { .. })
}

/// Whether a step's product gains from being computed with those of the other steps.
fn is_small(g: &Graph, node: &Node) -> bool {
    let result = g.ty(node.results[0]).numel();
    let contracted: usize = match &node.op {
        Op::DotGeneral { lhs_contract, .. } => lhs_contract.iter().map(|&a| g.ty(node.args[0]).shape[a]).product(),
        // the kernel's elements, of which a result reads at most all
        _ => g.ty(node.args[1]).numel(),
    };
    result.saturating_mul(contracted) < LARGE_PRODUCT
}

fn is_elementwise(op: &Op) -> bool {
    matches!(op, Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select {} | Op::Convert { .. })
}

/// What a value of the body depends on.
#[derive(Clone, Copy, Default, PartialEq)]
struct Depends {
    /// On a row of `xs`.
    row: bool,
    /// On a carry, or on what must stay in the loop.
    carry: bool,
}

/// A product or sum that is added to a carry: linear nodes and their root, by index.
struct Term {
    /// From the carry to the root.
    chain: Vec<usize>,
    root: usize,
}

/// A carry that terms are taken from.
struct Sum {
    carry: usize,
    /// What is still added in the loop.
    inside: Vec<Value>,
    after: Vec<Term>,
}

struct Loop<'a> {
    body: &'a Graph,
    length: usize,
    reverse: bool,
    consts: usize,
    carry: usize,
    /// The operands outside.
    args: &'a [Value],
    definitions: Arc<[Option<usize>]>,
    uses: Arc<[u32]>,
    /// By value of the body.
    depends: Vec<Depends>,
    /// Values computed before the loop that the loop reads.
    before: Vec<Value>,
    /// Values of the body that the loop hands out beyond its outputs.
    stacked: Vec<Value>,
    sums: Vec<Sum>,
}

impl<'a> Loop<'a> {
    fn new(op: &'a Op, args: &'a [Value]) -> Option<Loop<'a>> {
        let Op::Scan { body, length, reverse, consts, carry } = op else { return None };
        if *length < 2 || *carry == 0 || body.nodes().iter().any(|n| matches!(n.op, Op::Barrier {})) {
            return None;
        }
        let mut depends = vec![Depends::default(); body.num_values()];
        depends[*consts..consts + carry].iter_mut().for_each(|d| d.carry = true);
        depends[consts + carry..body.num_inputs()].iter_mut().for_each(|d| d.row = true);
        for node in body.nodes() {
            let mut d = Depends { row: false, carry: pinned(&node.op) || node.op.has_body() };
            for a in &node.args {
                d.row |= depends[a.index()].row;
                d.carry |= depends[a.index()].carry;
            }
            node.results.iter().for_each(|r| depends[r.index()] = d);
        }
        Some(Loop {
            body,
            length: *length,
            reverse: *reverse,
            consts: *consts,
            carry: *carry,
            args,
            definitions: body.definitions(),
            uses: body.use_counts(),
            depends,
            before: Vec::new(),
            stacked: Vec::new(),
            sums: Vec::new(),
        })
    }

    /// Decides what leaves the loop; `None` if nothing does.
    fn split(mut self) -> Option<Loop<'a>> {
        self.before = self.find_before();
        let mut bytes = self.before.iter().map(|&v| self.stacked_bytes(v)).sum::<usize>();
        if bytes > MAX_STACKED {
            self.before.clear();
            bytes = 0;
        }
        self.find_sums(MAX_STACKED - bytes);
        (!self.before.is_empty() || !self.sums.is_empty()).then_some(self)
    }

    fn stacked_bytes(&self, v: Value) -> usize {
        self.body.ty(v).bytes().saturating_mul(self.length)
    }

    fn is_row(&self, v: Value) -> bool {
        self.depends[v.index()] == Depends { row: true, carry: false }
    }

    /// The values that leave the loop to the front and are read in it.
    fn find_before(&self) -> Vec<Value> {
        let nodes = self.body.nodes();
        let row = |i: usize| nodes[i].results.iter().all(|&r| self.is_row(r));
        // products, what follows them elementwise, and what they are computed from
        let mut after_product = vec![false; nodes.len()];
        let made_after = |v: &Value, marks: &[bool]| self.definitions[v.index()].is_some_and(|n| marks[n]);
        for (i, node) in nodes.iter().enumerate().filter(|(i, _)| row(*i)) {
            let bytes = |vs: &[Value]| vs.iter().map(|&v| self.body.ty(v).bytes()).max().unwrap_or(0);
            let follows = is_elementwise(&node.op)
                && node.args.iter().any(|a| made_after(a, &after_product))
                && bytes(&node.results) <= bytes(&node.args);
            after_product[i] = (is_contraction(&node.op) && is_small(self.body, node)) || follows;
        }
        // by value: read by what moves, by what stays
        let mut read = vec![[false; 2]; self.body.num_values()];
        self.body.outputs().iter().for_each(|v| read[v.index()][1] = true);
        let mut before = Vec::new();
        for (i, node) in nodes.iter().enumerate().rev() {
            let moves = row(i) && (after_product[i] || node.results.iter().any(|r| read[r.index()][0]));
            if moves && !cheap(&node.op) {
                before.extend(node.results.iter().copied().filter(|r| read[r.index()][1]));
            }
            // what is cheap is computed again inside
            let again = moves && cheap(&node.op) && node.results.iter().any(|r| read[r.index()][1]);
            for a in &node.args {
                read[a.index()][0] |= moves;
                read[a.index()][1] |= !moves || again;
            }
        }
        before.reverse();
        before
    }

    /// Finds the carries that terms can be taken from, as far as `budget` bytes of rows go.
    fn find_sums(&mut self, budget: usize) {
        let mut candidates: Vec<(usize, Vec<Value>)> = Vec::new();
        for k in 0..self.carry {
            candidates.extend(self.addends(k).map(|leaves| (k, leaves)));
        }
        // products first: of sums alone only those whose operands are handed out anyway are worth it
        for products in [true, false] {
            for (k, leaves) in &mut candidates {
                leaves.retain(|&leaf| {
                    let Some(term) = self.term(leaf) else { return true };
                    let root = &self.body.nodes()[term.root];
                    if is_contraction(&root.op) != products || (products && !is_small(self.body, root)) {
                        return true;
                    }
                    let new: Vec<Value> = root.args.iter().copied().filter(|&a| !self.is_outside(a)).collect();
                    let bytes = self.stacked.iter().chain(&new).map(|&v| self.stacked_bytes(v)).sum::<usize>();
                    if (!products && !new.is_empty()) || bytes > budget {
                        return true;
                    }
                    new.into_iter().for_each(|v| {
                        if !self.stacked.contains(&v) {
                            self.stacked.push(v)
                        }
                    });
                    match self.sums.iter_mut().find(|s| s.carry == *k) {
                        Some(sum) => sum.after.push(term),
                        None => self.sums.push(Sum { carry: *k, inside: Vec::new(), after: vec![term] }),
                    }
                    false
                });
            }
        }
        for sum in &mut self.sums {
            let left = candidates.iter().find(|(k, _)| *k == sum.carry);
            sum.inside = left.map(|(_, leaves)| leaves.clone()).unwrap_or_default();
        }
    }

    /// The values whose sum a step adds to carry `k`, if that is all that happens to it.
    fn addends(&self, k: usize) -> Option<Vec<Value>> {
        let (carry, output) = (Value::from_index(self.consts + k), self.body.outputs()[k]);
        if self.uses[carry.index()] != 1 || output == carry {
            return None;
        }
        let (mut leaves, mut work, mut found) = (Vec::new(), vec![output], false);
        while let Some(v) = work.pop() {
            let node = self.definitions[v.index()].map(|n| &self.body.nodes()[n]);
            match node {
                Some(node) if node.op == Op::Binary(Binary::Add) && self.uses[v.index()] == 1 => {
                    work.extend(node.args.iter().rev());
                }
                _ if v == carry => found = true,
                _ => leaves.push(v),
            }
        }
        found.then_some(leaves)
    }

    /// The term that `leaf` is.
    fn term(&self, leaf: Value) -> Option<Term> {
        let (mut v, mut chain) = (leaf, Vec::new());
        loop {
            let i = self.definitions[v.index()].filter(|_| self.uses[v.index()] == 1)?;
            let node = &self.body.nodes()[i];
            match &node.op {
                Op::Transpose { .. } | Op::Reshape { .. } | Op::Unary(Unary::Neg) => {
                    chain.push(i);
                    v = node.args[0];
                }
                Op::DotGeneral { .. } | Op::Reduce { kind: ReduceKind::Sum, .. } => {
                    // an invariant that is no const would have to be computed outside
                    let known = |a: &Value| a.index() < self.consts || self.depends[a.index()] != Depends::default();
                    let varies = |a: &Value| self.depends[a.index()] != Depends::default();
                    let fits = node.args.iter().all(known) && node.args.iter().any(varies);
                    return fits.then_some(Term { chain, root: i });
                }
                _ => return None,
            }
        }
    }

    /// Whether the value, or its rows, are outside in any case.
    fn is_outside(&self, v: Value) -> bool {
        let is_carry = (self.consts..self.consts + self.carry).contains(&v.index());
        (v.index() < self.body.num_inputs() && !is_carry)
            || self.before.contains(&v)
            || self.stacked.contains(&v)
            || self.body.outputs()[self.carry..].contains(&v)
    }

    /// Emits the three parts; returns the results of the loop.
    fn rebuild(&self, b: &mut Builder) -> Result<Values> {
        // rows and consts outside, by value of the body
        let mut outside: HashMap<Value, Value> = HashMap::new();
        let inputs = self.body.inputs().zip(self.args);
        outside.extend(inputs.filter(|(v, _)| !self.depends[v.index()].carry).map(|(v, &a)| (v, a)));
        self.emit_before(b, &mut outside)?;

        let kept: Vec<usize> = (0..self.carry).filter(|&k| !self.leaves(k)).collect();
        let (op, ys) = self.new_scan(&kept)?;
        let mut operands = self.args[..self.consts].to_vec();
        operands.extend(kept.iter().map(|&k| self.args[self.consts + k]));
        operands.extend(&self.args[self.consts + self.carry..]);
        operands.extend(self.before.iter().map(|v| outside[v]));
        let results = match op.bodies()[0].num_outputs() > 0 || op.has_effect() {
            true => b.emit(op, &operands)?,
            false => Default::default(),
        };
        outside.extend(ys.iter().copied().zip(results[kept.len()..].iter().copied()));

        let mut carries = results[..kept.len()].iter().copied();
        let mut out = Values::new();
        for (i, v) in self.body.outputs().iter().enumerate() {
            if i >= self.carry {
                out.push(outside[v]);
                continue;
            }
            let mut x = if self.leaves(i) { Some(self.args[self.consts + i]) } else { carries.next() }
                .ok_or_else(|| Error::internal("distribute", "a carry is not there"))?;
            for term in self.sums.iter().filter(|s| s.carry == i).flat_map(|s| &s.after) {
                let sum = self.emit_term(b, term, &outside)?;
                x = b.add(x, sum);
            }
            out.push(x);
        }
        Ok(out)
    }

    /// Whether nothing is left of carry `k` in the loop.
    fn leaves(&self, k: usize) -> bool {
        self.sums.iter().any(|s| s.carry == k && s.inside.is_empty())
    }

    /// Computes for all steps what the loop reads of it.
    fn emit_before(&self, b: &mut Builder, outside: &mut HashMap<Value, Value>) -> Result<()> {
        if self.before.is_empty() {
            return Ok(());
        }
        let (mut nb, mut map) = copy_inputs(self.body);
        for node in self.body.nodes() {
            let types = node.results.iter().map(|&r| self.body.ty(r).clone());
            if node.results.iter().any(|r| self.depends[r.index()].carry) {
                // stands for a value that nothing below reads
                map.extend(node.results.iter().map(|_| Value::from_index(0)));
                continue;
            }
            let args: SmallVec<[Value; 4]> = node.args.iter().map(|a| map[a.index()]).collect();
            nb.set_loc(&node.loc);
            let types: SmallVec<[Type; 2]> = types.collect();
            map.extend(nb.emit_typed(node.op.clone(), &args, types));
        }
        let outputs: Vec<Value> = self.before.iter().map(|v| map[v.index()]).collect();
        let step = crate::dead_code(&nb.finish(&outputs)?);
        let rows: Vec<bool> = self.body.inputs().map(|v| self.depends[v.index()].row).collect();
        let all = batch(&step, &rows, self.length, None, Some(&vec![true; outputs.len()]))?;
        let loc = b.loc().clone();
        // its inputs are all of the body's, though it reads no carry
        let results = b.inline(&all.graph, self.args)?;
        b.set_loc(&loc);
        outside.extend(self.before.iter().copied().zip(results));
        Ok(())
    }

    /// The loop without what left it, and the values of the old body whose rows its results after the carries are.
    fn new_scan(&self, kept: &[usize]) -> Result<(Op, Vec<Value>)> {
        let mut nb = Builder::new();
        let names = self.body.input_names();
        let mut map: Vec<Option<Value>> = vec![None; self.body.num_values()];
        let first_row = self.consts + self.carry;
        let kept_inputs = kept.iter().map(|k| self.consts + k);
        for i in (0..self.consts).chain(kept_inputs).chain(first_row..self.body.num_inputs()) {
            map[i] = Some(nb.input(self.body.types()[i].clone(), &names[i]));
        }
        for &v in &self.before {
            map[v.index()] = Some(nb.input(self.body.ty(v).clone(), ""));
        }
        for node in self.body.nodes() {
            if node.results.iter().any(|r| self.before.contains(r)) {
                continue;
            }
            // what reads a carry that has left is dead
            let args: Option<SmallVec<[Value; 4]>> = node.args.iter().map(|a| map[a.index()]).collect();
            let Some(args) = args else { continue };
            let types: SmallVec<[Type; 2]> = node.results.iter().map(|&r| self.body.ty(r).clone()).collect();
            nb.set_loc(&node.loc);
            let results = nb.emit_typed(node.op.clone(), &args, types);
            node.results.iter().zip(results).for_each(|(old, new)| map[old.index()] = Some(new));
        }
        let missing = || Error::internal("distribute", "a value left the loop that is needed in it");
        let mut outputs = Vec::new();
        for &k in kept {
            let sum = self.sums.iter().find(|s| s.carry == k);
            outputs.push(match sum {
                None => map[self.body.outputs()[k].index()].ok_or_else(missing)?,
                Some(sum) => {
                    let mut x = map[self.consts + k].ok_or_else(missing)?;
                    for leaf in &sum.inside {
                        x = nb.add(x, map[leaf.index()].ok_or_else(missing)?);
                    }
                    x
                }
            });
        }
        let mut ys: Vec<Value> = Vec::new();
        for &v in self.body.outputs()[self.carry..].iter().chain(&self.stacked) {
            if !ys.contains(&v) && !self.before.contains(&v) {
                ys.push(v);
                outputs.push(map[v.index()].ok_or_else(missing)?);
            }
        }
        let body = Arc::new(crate::dead_code(&nb.finish(&outputs)?));
        let op = Op::Scan { body, length: self.length, reverse: self.reverse, consts: self.consts, carry: kept.len() };
        Ok((op, ys))
    }

    /// The sum of a term over all steps.
    fn emit_term(&self, b: &mut Builder, term: &Term, outside: &HashMap<Value, Value>) -> Result<Value> {
        let node = &self.body.nodes()[term.root];
        let rows = |v: Value| {
            // rows of a const, if the loop hands them out, are not what is asked for
            let varies = v.index() >= self.consts;
            let value = if varies { outside.get(&v).copied() } else { Some(self.args[v.index()]) };
            value.map(|x| (x, varies)).ok_or_else(|| Error::internal("distribute", "rows are not there"))
        };
        let later = |axes: &[usize]| -> Shape { axes.iter().map(|a| a + 1).collect() };
        let mut x = match &node.op {
            Op::Reduce { kind, axes } => {
                let mut all = Shape::from_slice(&[0]);
                all.extend(later(axes));
                b.reduce(*kind, rows(node.args[0])?.0, &all)
            }
            Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } => {
                let ((l, l_varies), (r, r_varies)) = (rows(node.args[0])?, rows(node.args[1])?);
                if l_varies && r_varies {
                    let with_steps = |axes: &[usize]| -> Shape { std::iter::once(0).chain(later(axes)).collect() };
                    let op = Op::DotGeneral {
                        lhs_batch: later(lhs_batch),
                        rhs_batch: later(rhs_batch),
                        lhs_contract: with_steps(lhs_contract),
                        rhs_contract: with_steps(rhs_contract),
                    };
                    b.emit(op, &[l, r])?[0]
                } else {
                    // the product with what stays the same is taken of the sum
                    let l = if l_varies { b.sum(l, &[0]) } else { l };
                    let r = if r_varies { b.sum(r, &[0]) } else { r };
                    b.emit(node.op.clone(), &[l, r])?[0]
                }
            }
            op => return Err(Error::internal("distribute", format!("{} is no term", op.name()))),
        };
        for &i in term.chain.iter().rev() {
            x = b.emit(self.body.nodes()[i].op.clone(), &[x])?[0];
        }
        Ok(x)
    }
}
