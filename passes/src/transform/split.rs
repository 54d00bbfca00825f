//! Partial evaluation: splits a program into what known inputs alone determine, and the rest.

use super::residuals::spare_residuals;
use super::{pick_outputs, reorder_inputs};
use crate::dce::{dead_code, without_effects};
use gradloom_ir::{Builder, Graph, Node, Op, Result, Type, Value, Values};
use smallvec::SmallVec;
use std::sync::Arc;

/// A program in two halves.
#[derive(Clone, Debug)]
pub struct Split {
    /// Known inputs to known outputs followed by residuals.
    pub known: Graph,
    /// Residuals followed by unknown inputs, to unknown outputs.
    pub unknown: Graph,
    /// How many residuals there are.
    pub residuals: usize,
    /// Which outputs are known.
    pub known_outputs: Vec<bool>,
}

/// Splits `g` by which inputs are known.
///
/// **Ensures** running `known`, then `unknown` on its residuals, equals running `g`. Values that depend on no input
/// are computed again in `unknown` rather than handed over.
pub fn split(g: &Graph, known_inputs: &[bool]) -> Result<Split> {
    split_forced(g, known_inputs, &vec![false; g.num_outputs()])
}

/// [`split`] with some outputs made unknown even where they are known.
fn split_forced(g: &Graph, known_inputs: &[bool], force_unknown: &[bool]) -> Result<Split> {
    let mut s = Splitter {
        g,
        definitions: g.definitions(),
        known: Builder::new(),
        unknown: Builder::new(),
        in_known: vec![None; g.num_values()],
        in_unknown: vec![None; g.num_values()],
        closed: vec![false; g.num_values()],
        residuals: Vec::new(),
        residual_inputs: Vec::new(),
        unknown_inputs: 0,
    };
    for v in g.inputs() {
        let ty = g.ty(v).clone();
        if known_inputs[v.index()] {
            s.in_known[v.index()] = Some(s.known.input(ty, ""));
        } else {
            s.in_unknown[v.index()] = Some(s.unknown.input(ty, ""));
            s.unknown_inputs += 1;
        }
    }
    for node in g.nodes() {
        s.known.set_loc(&node.loc);
        s.unknown.set_loc(&node.loc);
        s.node(node)?;
    }
    let mut known_outputs = Vec::with_capacity(g.num_outputs());
    let (mut k_outs, mut u_outs) = (Vec::new(), Vec::new());
    for (&v, &forced) in g.outputs().iter().zip(force_unknown) {
        let known = s.is_known(v) && !forced;
        known_outputs.push(known);
        if known {
            k_outs.push(s.in_known[v.index()].expect("a known value is in the known program"));
        } else {
            u_outs.push(s.need(v)?);
        }
    }
    let residuals = s.residuals.len();
    k_outs.extend(&s.residuals);
    // inputs of `unknown` were added as: unknown inputs, then residuals as they were met, in any interleaving
    let total = s.unknown_inputs + residuals;
    let order: Vec<usize> = s.residual_inputs.iter().copied().chain(0..s.unknown_inputs).collect();
    debug_assert_eq!(order.len(), total);
    Ok(Split {
        known: dead_code(&s.known.finish(&k_outs)?),
        unknown: dead_code(&s.unknown.finish_ordered(&u_outs, &order)?),
        residuals,
        known_outputs,
    })
}

/// Which outputs depend on known inputs only.
fn known_outputs(g: &Graph, known_inputs: &[bool]) -> Vec<bool> {
    let mut known = known_inputs.to_vec();
    known.resize(g.num_values(), false);
    for node in g.nodes() {
        let args: Vec<bool> = node.args.iter().map(|a| known[a.index()]).collect();
        for (r, k) in node.results.iter().zip(known_results(node, &args)) {
            known[r.index()] = k;
        }
    }
    g.outputs().iter().map(|v| known[v.index()]).collect()
}

fn known_results(node: &Node, args: &[bool]) -> Vec<bool> {
    if args.iter().all(|&k| k) {
        return vec![true; node.results.len()];
    }
    match &node.op {
        Op::Scan { body, consts, carry, .. } => {
            let mask = scan_mask(body, args, *consts, *carry);
            let mut outs = known_outputs(body, &mask);
            outs[..*carry].copy_from_slice(&mask[*consts..*consts + *carry]);
            outs
        }
        Op::While { cond, body, cond_consts, body_consts } => {
            let (cc, bc) = (*cond_consts, *body_consts);
            let carry = while_mask(body, &args[cc..], bc);
            let pred_known = known_outputs(cond, &[&args[..cc], &carry].concat())[0];
            if pred_known { carry } else { vec![false; carry.len()] }
        }
        Op::Switch { branches } if args[0] => {
            let mut outs = vec![true; node.results.len()];
            for g in branches {
                outs.iter_mut().zip(known_outputs(g, &args[1..])).for_each(|(o, k)| *o &= k);
            }
            outs
        }
        Op::Remat { body } => known_outputs(body, args),
        _ => vec![false; node.results.len()],
    }
}

/// The known mask of a scan body's inputs once carries that become unknown are unknown from the start.
fn scan_mask(body: &Graph, args: &[bool], consts: usize, carry: usize) -> Vec<bool> {
    let mut mask = args.to_vec();
    loop {
        let outs = known_outputs(body, &mask);
        let mut changed = false;
        for i in 0..carry {
            if mask[consts + i] && !outs[i] {
                mask[consts + i] = false;
                changed = true;
            }
        }
        if !changed {
            return mask;
        }
    }
}

/// The known mask of a while loop's carries; `args` are body consts and carries.
pub(super) fn while_mask(body: &Graph, args: &[bool], consts: usize) -> Vec<bool> {
    scan_mask(body, args, consts, args.len() - consts)[consts..].to_vec()
}

struct Splitter<'g> {
    g: &'g Graph,
    definitions: Arc<[Option<usize>]>,
    known: Builder,
    unknown: Builder,
    in_known: Vec<Option<Value>>,
    in_unknown: Vec<Option<Value>>,
    /// Depends on no input at all.
    closed: Vec<bool>,
    /// Residuals as values of `known`, and their positions among the inputs of `unknown`.
    residuals: Vec<Value>,
    residual_inputs: Vec<usize>,
    unknown_inputs: usize,
}

impl Splitter<'_> {
    fn is_known(&self, v: Value) -> bool {
        self.in_known[v.index()].is_some()
    }

    /// The value in the unknown program: there already, computed again if closed, else a residual.
    fn need(&mut self, v: Value) -> Result<Value> {
        if let Some(u) = self.in_unknown[v.index()] {
            return Ok(u);
        }
        if self.closed[v.index()] {
            let g = self.g;
            let node = &g.nodes()[self.definitions[v.index()].expect("a closed value is no input")];
            let args: Result<SmallVec<[Value; 4]>> = node.args.iter().map(|&a| self.need(a)).collect();
            let results = self.unknown.emit(node.op.clone(), &args?)?;
            for (old, new) in node.results.iter().zip(results) {
                self.in_unknown[old.index()].get_or_insert(new);
            }
            return Ok(self.in_unknown[v.index()].expect("just emitted"));
        }
        let source = self.in_known[v.index()].expect("a value is in one of the two programs");
        let u = self.residual(source);
        self.in_unknown[v.index()] = Some(u);
        Ok(u)
    }

    /// Hands a value of the known program over to the unknown one.
    fn residual(&mut self, source: Value) -> Value {
        let ty = self.known.ty(source).clone();
        self.residual_inputs.push(self.unknown_inputs + self.residuals.len());
        self.residuals.push(source);
        self.unknown.input(ty, "")
    }

    fn needs(&mut self, vs: &[Value]) -> Result<Vec<Value>> {
        vs.iter().map(|&v| self.need(v)).collect()
    }

    fn set_unknown(&mut self, old: &[Value], new: &[Value]) {
        old.iter().zip(new).for_each(|(o, n)| self.in_unknown[o.index()] = Some(*n));
    }

    fn set_known(&mut self, old: &[Value], new: &[Value]) {
        old.iter().zip(new).for_each(|(o, n)| self.in_known[o.index()] = Some(*n));
    }

    fn known_args(&self, args: &[Value]) -> Vec<Value> {
        args.iter().filter_map(|a| self.in_known[a.index()]).collect()
    }

    fn node(&mut self, node: &Node) -> Result<()> {
        let args: Vec<bool> = node.args.iter().map(|&a| self.is_known(a)).collect();
        if args.iter().all(|&k| k) {
            let operands = self.known_args(&node.args);
            let results = self.known.emit(node.op.clone(), &operands)?;
            self.set_known(&node.results, &results);
            let repeatable = !node.op.has_body() && !matches!(node.op, Op::HostCall { .. });
            let closed = repeatable && node.args.iter().all(|a| self.closed[a.index()]);
            node.results.iter().for_each(|r| self.closed[r.index()] = closed);
            return Ok(());
        }
        let results = known_results(node, &args);
        if results.iter().any(|&k| k) || matches!(node.op, Op::Scan { .. }) {
            match &node.op {
                Op::Scan { .. } => return self.scan(node, &args),
                Op::While { .. } => return self.while_loop(node, &args, &results),
                Op::Switch { branches } => return self.switch(node, branches, &args, &results),
                Op::Remat { body } => return self.remat(node, body, &args, &results),
                _ => {}
            }
        }
        if let (Op::Switch { branches }, true) = (&node.op, args[0]) {
            return self.switch(node, branches, &args, &results);
        }
        self.all_unknown(node)
    }

    fn all_unknown(&mut self, node: &Node) -> Result<()> {
        let operands = self.needs(&node.args)?;
        let results = self.unknown.emit(node.op.clone(), &operands)?;
        self.set_unknown(&node.results, &results);
        Ok(())
    }

    fn scan(&mut self, node: &Node, args: &[bool]) -> Result<()> {
        let Op::Scan { body, length, reverse, consts, carry } = &node.op else { unreachable!("caller matched a scan") };
        let (consts, carry, length, reverse) = (*consts, *carry, *length, *reverse);
        let mask = scan_mask(body, args, consts, carry);
        let mut force = vec![false; body.num_outputs()];
        (0..carry).for_each(|i| force[i] = !mask[consts + i]);
        let s = split_forced(body, &mask, &force)?;
        // rows of known operands are there already, and what does not vary is kept once
        let known_inputs = (0..mask.len()).filter(|&i| mask[i]);
        let at_hand: Vec<bool> = known_inputs.map(|i| i < consts || i >= consts + carry).collect();
        let s = spare_residuals(s, &at_hand)?;

        // The known half: known carries and ys as before, each residual that varies stacked as one more ys.
        let kind = classify_residuals(&s.known, s.residuals, &mask, consts, carry);
        let n_known_outs = s.known.num_outputs() - s.residuals;
        let stacked: Vec<usize> =
            (0..s.residuals).filter(|&r| matches!(kind[r], Residual::Varying)).map(|r| n_known_outs + r).collect();
        let keep: Vec<usize> = (0..n_known_outs).chain(stacked).collect();
        let known_body = pick_outputs(&s.known, &keep)?;
        let known_of = |range: std::ops::Range<usize>| -> Vec<usize> { range.filter(|&i| mask[i]).collect() };
        let (kc, kk) = (known_of(0..consts), known_of(consts..consts + carry));
        let k_args: Vec<Value> = (0..mask.len()).filter(|&i| mask[i]).map(|i| node.args[i]).collect();
        let k_args = self.known_args(&k_args);
        let k_outs = self.known.emit(
            Op::Scan { body: Arc::new(known_body), length, reverse, consts: kc.len(), carry: kk.len() },
            &k_args,
        )?;
        let known_results: Vec<Value> =
            (0..node.results.len()).filter(|&i| s.known_outputs[i]).map(|i| node.results[i]).collect();
        self.set_known(&known_results, &k_outs[..n_known_outs]);

        // The unknown half: invariant residuals are consts, varying ones xs.
        let invariants: Vec<usize> =
            (0..s.residuals).filter(|&r| matches!(kind[r], Residual::Invariant)).map(|r| n_known_outs + r).collect();
        let hoisted = extract(&s.known, &invariants, kc.len())?;
        let hoisted = self.known.inline(&hoisted, &k_args[..kc.len()])?;
        let (mut hoisted, mut varying) = (hoisted.into_iter(), k_outs[n_known_outs..].iter());
        let (mut res_consts, mut res_xs, mut order_c, mut order_x) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (r, k) in kind.iter().enumerate() {
            match k {
                Residual::Invariant => {
                    let v = hoisted.next().expect("one hoisted value an invariant residual");
                    res_consts.push(self.residual(v));
                    order_c.push(r);
                }
                Residual::Varying => {
                    let v = *varying.next().expect("one stacked output a varying residual");
                    res_xs.push(self.residual(v));
                    order_x.push(r);
                }
                Residual::Row(i) => {
                    let v = self.need(node.args[*i])?;
                    res_xs.push(v);
                    order_x.push(r);
                }
            }
        }
        let unknown_of = |range: std::ops::Range<usize>| -> Vec<usize> { range.filter(|&i| !mask[i]).collect() };
        let (uc, uk, ux) =
            (unknown_of(0..consts), unknown_of(consts..consts + carry), unknown_of(consts + carry..mask.len()));
        let at =
            |group: &[usize], skip: usize| -> Vec<usize> { (0..group.len()).map(|i| s.residuals + skip + i).collect() };
        let order = [order_c, at(&uc, 0), at(&uk, uc.len()), order_x, at(&ux, uc.len() + uk.len())].concat();
        let body = reorder_inputs(&s.unknown, &order)?;
        let pick = |group: &[usize]| -> Vec<Value> { group.iter().map(|&i| node.args[i]).collect() };
        let mut operands = res_consts;
        operands.extend(self.needs(&pick(&uc))?);
        let n_consts = operands.len();
        operands.extend(self.needs(&pick(&uk))?);
        operands.extend(res_xs);
        operands.extend(self.needs(&pick(&ux))?);
        let outs = self
            .unknown
            .emit(Op::Scan { body: Arc::new(body), length, reverse, consts: n_consts, carry: uk.len() }, &operands)?;
        let unknown_results: Vec<Value> =
            (0..node.results.len()).filter(|&i| !s.known_outputs[i]).map(|i| node.results[i]).collect();
        self.set_unknown(&unknown_results, &outs);
        Ok(())
    }

    /// The known carries run alone, with the effects; the unknown half runs the whole loop again without: how
    /// many residuals there would be is not known.
    fn while_loop(&mut self, node: &Node, args: &[bool], results: &[bool]) -> Result<()> {
        let Op::While { cond, body, cond_consts, body_consts } = &node.op else {
            unreachable!("caller matched a while")
        };
        let (cc, bc) = (*cond_consts, *body_consts);
        let (cond_mask, body_mask) = ([&args[..cc], results].concat(), [&args[cc..cc + bc], results].concat());
        let k_body = known_part(body, &body_mask, results)?;
        let k_cond = known_part(cond, &cond_mask, &[true])?;
        let carry_in: Vec<usize> = (0..results.len()).filter(|&i| results[i]).collect();
        let operands: Vec<Value> = (0..cc + bc)
            .filter(|&i| args[i])
            .chain(carry_in.iter().map(|i| cc + bc + i))
            .map(|i| self.in_known[node.args[i].index()].expect("inputs of known results are known"))
            .collect();
        let count = |mask: &[bool]| mask.iter().filter(|&&k| k).count();
        let op = Op::While {
            cond: Arc::new(k_cond),
            body: Arc::new(k_body),
            cond_consts: count(&args[..cc]),
            body_consts: count(&args[cc..cc + bc]),
        };
        let outs = self.known.emit(op, &operands)?;
        let old: Vec<Value> = carry_in.iter().map(|&i| node.results[i]).collect();
        self.set_known(&old, &outs);
        let operands = self.needs(&node.args)?;
        let again = node.op.map_bodies(&mut |body| without_effects(body).map(Arc::new))?;
        let outs = self.unknown.emit(again, &operands)?;
        for i in (0..results.len()).filter(|&i| !results[i]) {
            self.in_unknown[node.results[i].index()] = Some(outs[i]);
        }
        Ok(())
    }

    /// Every branch hands over its own residuals, and zeros in place of the others'.
    fn switch(&mut self, node: &Node, branches: &[Arc<Graph>], args: &[bool], results: &[bool]) -> Result<()> {
        let force: Vec<bool> = results.iter().map(|k| !k).collect();
        let splits: Result<Vec<Split>> = branches.iter().map(|g| split_forced(g, &args[1..], &force)).collect();
        let splits = splits?;
        let n_known = results.iter().filter(|&&k| k).count();
        let residual_types: Vec<Vec<Type>> =
            splits.iter().map(|s| s.known.output_types()[n_known..].to_vec()).collect();
        let all_types = residual_types.concat();
        let (mut k_branches, mut u_branches, mut before) = (Vec::new(), Vec::new(), 0);
        for (s, own) in splits.iter().zip(&residual_types) {
            let (mut b, inputs) = Builder::with_inputs(&s.known.input_types());
            let outs = b.inline(&s.known, &inputs)?;
            let mut all = outs[..n_known].to_vec();
            for (i, t) in all_types.iter().enumerate() {
                let mine = i >= before && i < before + own.len();
                all.push(if mine { outs[n_known + i - before] } else { b.full(t, 0.0) });
            }
            k_branches.push(Arc::new(b.finish(&all)?));
            let unknown_types = s.unknown.input_types()[s.residuals..].to_vec();
            let (mut b, inputs) = Builder::with_inputs(&[all_types.clone(), unknown_types].concat());
            let operands: Vec<Value> =
                inputs[before..before + own.len()].iter().chain(&inputs[all_types.len()..]).copied().collect();
            let outs = b.inline(&s.unknown, &operands)?;
            u_branches.push(Arc::new(b.finish(&outs)?));
            before += own.len();
        }
        let operands = self.known_args(&node.args);
        let outs = self.known.emit(Op::Switch { branches: k_branches }, &operands)?;
        let of = |known: bool| -> Vec<Value> {
            (0..results.len()).filter(|&i| results[i] == known).map(|i| node.results[i]).collect()
        };
        self.set_known(&of(true), &outs[..n_known]);
        let mut operands = vec![self.need(node.args[0])?];
        for &r in &outs[n_known..] {
            operands.push(self.residual(r));
        }
        let unknown_args: Vec<Value> = (1..args.len()).filter(|&i| !args[i]).map(|i| node.args[i]).collect();
        operands.extend(self.needs(&unknown_args)?);
        let outs = self.unknown.emit(Op::Switch { branches: u_branches }, &operands)?;
        self.set_unknown(&of(false), &outs);
        Ok(())
    }

    /// Nothing inside is handed over: the unknown half recomputes it from the operands, without the effects.
    fn remat(&mut self, node: &Node, body: &Graph, args: &[bool], results: &[bool]) -> Result<()> {
        let outs_of = |known: bool| -> Vec<usize> { (0..results.len()).filter(|&i| results[i] == known).collect() };
        let values = |idx: &[usize]| -> Values { idx.iter().map(|&i| node.results[i]).collect() };
        let k_body = known_part(body, args, results)?;
        let operands = self.known_args(&node.args);
        let outs: Values = self.known.emit(Op::Remat { body: Arc::new(k_body) }, &operands)?;
        self.set_known(&values(&outs_of(true)), &outs);
        let u_body = without_effects(&pick_outputs(body, &outs_of(false))?)?;
        let operands = self.needs(&node.args)?;
        let outs = self.unknown.emit(Op::Remat { body: Arc::new(u_body) }, &operands)?;
        self.set_unknown(&values(&outs_of(false)), &outs);
        Ok(())
    }
}

/// How a residual of a scan body reaches the unknown half.
enum Residual {
    /// Determined by the consts: computed once, outside.
    Invariant,
    /// A row of the scanned operand at this position of the node's operands.
    Row(usize),
    /// Anything else: stacked.
    Varying,
}

fn classify_residuals(known: &Graph, residuals: usize, mask: &[bool], consts: usize, carry: usize) -> Vec<Residual> {
    let positions: Vec<usize> = (0..mask.len()).filter(|&i| mask[i]).collect();
    let mut invariant: Vec<bool> = positions.iter().map(|&p| p < consts).collect();
    invariant.resize(known.num_values(), false);
    for node in known.nodes() {
        let i = node.args.iter().all(|a| invariant[a.index()]) && !calls_host(&node.op);
        node.results.iter().for_each(|r| invariant[r.index()] = i);
    }
    known.outputs()[known.num_outputs() - residuals..]
        .iter()
        .map(|v| match positions.get(v.index()) {
            _ if invariant[v.index()] => Residual::Invariant,
            Some(&p) if p >= consts + carry => Residual::Row(p),
            _ => Residual::Varying,
        })
        .collect()
}

/// Whether a host call is the op, or is in its nested programs.
fn calls_host(op: &Op) -> bool {
    matches!(op, Op::HostCall { .. }) || op.bodies().iter().any(|b| b.calls_host())
}

/// The outputs of `g` named by `wanted`, which the known inputs determine, as a program of the known inputs.
pub(super) fn known_part(g: &Graph, known_inputs: &[bool], wanted: &[bool]) -> Result<Graph> {
    let s = split(g, known_inputs)?;
    let known = (0..g.num_outputs()).filter(|&i| s.known_outputs[i]);
    let positions: Vec<usize> = known.enumerate().filter(|&(_, i)| wanted[i]).map(|(at, _)| at).collect();
    pick_outputs(&s.known, &positions)
}

/// The outputs of `g` at `outputs`, as a program of its first `inputs` inputs, which determine every node they need.
fn extract(g: &Graph, outputs: &[usize], inputs: usize) -> Result<Graph> {
    let g = without_effects(&pick_outputs(g, outputs)?)?;
    let mut b = Builder::new();
    let mut map: Vec<Option<Value>> = vec![None; g.num_values()];
    for (i, slot) in map.iter_mut().enumerate().take(inputs) {
        *slot = Some(b.input(g.types()[i].clone(), ""));
    }
    let missing = || gradloom_ir::Error::internal("split", "an output depends on an input it should not");
    for node in g.nodes() {
        let args: Option<SmallVec<[Value; 4]>> = node.args.iter().map(|a| map[a.index()]).collect();
        b.set_loc(&node.loc);
        let results = b.emit(node.op.clone(), &args.ok_or_else(missing)?)?;
        node.results.iter().zip(results).for_each(|(o, n)| map[o.index()] = Some(n));
    }
    let outs: Option<Vec<Value>> = g.outputs().iter().map(|v| map[v.index()]).collect();
    b.finish(&outs.ok_or_else(missing)?)
}
