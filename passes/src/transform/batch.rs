//! `vmap`: maps a program over a batch axis.

use crate::rules::{self, BatchArgs, repeat};
use gradloom_ir::{
    Binary, Builder, Comparison, DType, Error, Graph, Node, Op, ReduceKind, Result, Type, Value, Values,
};
use std::sync::Arc;

/// A program over a batch.
#[derive(Clone, Debug)]
pub struct Batched {
    /// Batched inputs and outputs have the batch axis in front.
    pub graph: Graph,
    /// Which outputs are batched.
    pub outputs: Vec<bool>,
}

/// Maps `g` over `size` instances. Batched inputs have the batch axis in front; the others are shared.
/// `axis_name` is the name by which collectives inside `g` refer to the axis. Outputs named by `force` are
/// batched even if all instances give the same.
pub fn batch(
    g: &Graph,
    batched: &[bool],
    size: usize,
    axis_name: Option<&str>,
    force: Option<&[bool]>,
) -> Result<Batched> {
    let mut cx = Batcher { b: Builder::new(), size, axis_name };
    let mut values: Vec<(Value, bool)> = Vec::with_capacity(g.num_values());
    for v in g.inputs() {
        let mut ty = g.ty(v).clone();
        if batched[v.index()] {
            ty.shape.insert(0, size);
        }
        values.push((cx.b.input(ty, &g.input_names()[v.index()]), batched[v.index()]));
    }
    for node in g.nodes() {
        cx.b.set_loc(&node.loc);
        let (args, mask): (Vec<Value>, Vec<bool>) = node.args.iter().map(|a| values[a.index()]).unzip();
        let (outs, out_mask) = cx.node(node, &args, &mask).map_err(|e| e.at(&node.loc))?;
        values.extend(outs.into_iter().zip(out_mask));
    }
    let (mut outputs, mut out_mask) = (Vec::new(), Vec::new());
    for (i, v) in g.outputs().iter().enumerate() {
        let (v, is) = values[v.index()];
        let forced = force.is_some_and(|f| f[i]);
        outputs.push(if forced && !is { repeat(&mut cx.b, v, size) } else { v });
        out_mask.push(is || forced);
    }
    Ok(Batched { graph: cx.b.finish(&outputs)?, outputs: out_mask })
}

/// Whether a collective anywhere in `g` refers to `axis`.
fn mentions(g: &Graph, axis: &str) -> bool {
    g.nodes().iter().any(|n| match &n.op {
        Op::AllReduce { axis_name, .. } | Op::AxisIndex { axis_name } => **axis_name == *axis,
        op => op.bodies().iter().any(|b| mentions(b, axis)),
    })
}

/// Whether the program is what [`rules::by_rows`] makes of a host call: of nested rows the outer ones go first.
fn only_calls_host(g: &Graph) -> bool {
    let only = |op: &Op| match op {
        Op::HostCall { .. } => true,
        Op::Scan { body, .. } => only_calls_host(body),
        _ => false,
    };
    !g.nodes().is_empty() && g.nodes().iter().all(|n| only(&n.op))
}

struct Batcher<'a> {
    b: Builder,
    size: usize,
    axis_name: Option<&'a str>,
}

type Outs = (Values, Vec<bool>);

impl Batcher<'_> {
    fn is_axis(&self, name: &str) -> bool {
        self.axis_name == Some(name)
    }

    fn sub(&self, g: &Graph, batched: &[bool], force: Option<&[bool]>) -> Result<Batched> {
        batch(g, batched, self.size, self.axis_name, force)
    }

    fn all(&mut self, args: &[Value], batched: &[bool]) -> Vec<Value> {
        BatchArgs { args, batched, size: self.size }.materialise_all(&mut self.b)
    }

    fn node(&mut self, node: &Node, args: &[Value], batched: &[bool]) -> Result<Outs> {
        match &node.op {
            Op::AxisIndex { axis_name } if self.is_axis(axis_name) => {
                Ok((Values::from_slice(&[self.b.iota(DType::I32, &[self.size], 0)]), vec![true]))
            }
            Op::AllReduce { kind, axis_name } if self.is_axis(axis_name) => {
                let x = BatchArgs { args, batched, size: self.size }.materialise(&mut self.b, 0);
                Ok((Values::from_slice(&[self.b.reduce(*kind, x, &[0])]), vec![false]))
            }
            op if !batched.contains(&true)
                && !op.bodies().iter().any(|g| self.axis_name.is_some_and(|a| mentions(g, a))) =>
            {
                let outs = self.b.emit(op.clone(), args)?;
                let n = outs.len();
                Ok((outs, vec![false; n]))
            }
            Op::Scan { body, .. } if only_calls_host(body) => self.by_rows(&node.op, args, batched),
            Op::Scan { .. } => self.scan(&node.op, args, batched),
            Op::While { .. } => self.while_loop(&node.op, args, batched),
            Op::Switch { .. } if batched[0] && node.op.has_effect() => self.by_rows(&node.op, args, batched),
            Op::Switch { branches } => self.switch(branches, args, batched),
            Op::CustomJvp { primal, rule, consts } => {
                let args = self.all(args, batched);
                let primal = self.everything(primal)?;
                let op = Op::CustomJvp { primal, rule: self.everything(rule)?, consts: *consts };
                self.emit_batched(op, &args)
            }
            Op::CustomVjp { primal, fwd, bwd, consts, residuals } => {
                let args = self.all(args, batched);
                let op = Op::CustomVjp {
                    primal: self.everything(primal)?,
                    fwd: self.everything(fwd)?,
                    bwd: self.everything(bwd)?,
                    consts: *consts,
                    residuals: *residuals,
                };
                self.emit_batched(op, &args)
            }
            Op::CustomLinear { bwd, residuals } => {
                let args = self.all(args, batched);
                let op = Op::CustomLinear { bwd: self.everything(bwd)?, residuals: *residuals };
                self.emit_batched(op, &args)
            }
            Op::Remat { body } => {
                let body = self.sub(body, batched, None)?;
                let outs = self.b.emit(Op::Remat { body: Arc::new(body.graph) }, args)?;
                Ok((outs, body.outputs))
            }
            op => {
                let outs = rules::batch(&mut self.b, op, &BatchArgs { args, batched, size: self.size })?;
                let n = outs.len();
                Ok((outs, vec![true; n]))
            }
        }
    }

    /// The body with every input and output batched.
    fn everything(&self, g: &Graph) -> Result<Arc<Graph>> {
        let g = self.sub(g, &vec![true; g.num_inputs()], Some(&vec![true; g.num_outputs()]))?;
        Ok(Arc::new(g.graph))
    }

    fn emit_batched(&mut self, op: Op, args: &[Value]) -> Result<Outs> {
        let outs = self.b.emit(op, args)?;
        let n = outs.len();
        Ok((outs, vec![true; n]))
    }

    /// One row after the other: where rows take different ways, each has the effects of its own way only.
    fn by_rows(&mut self, op: &Op, args: &[Value], batched: &[bool]) -> Result<Outs> {
        if let Some(axis) = self.axis_name.filter(|a| op.bodies().iter().any(|g| mentions(g, a))) {
            let what = format!("rows take different ways, with effects and with collectives over \"{axis}\"");
            return Err(
                Error::limit(op.name(), what).help("move the collective or the effect out of the branch or loop")
            );
        }
        let outs = rules::by_rows(&mut self.b, op, &BatchArgs { args, batched, size: self.size })?;
        let n = outs.len();
        Ok((outs, vec![true; n]))
    }

    /// Swaps the first two axes: batch and loop step.
    fn swap(&mut self, x: Value) -> Value {
        let mut perm: Vec<usize> = (0..self.b.ty(x).rank()).collect();
        perm.swap(0, 1);
        self.b.transpose(x, &perm)
    }

    fn scan(&mut self, op: &Op, args: &[Value], batched: &[bool]) -> Result<Outs> {
        let Op::Scan { body, length, reverse, consts, carry } = op else { unreachable!("caller matched a scan") };
        let (consts, carry) = (*consts, *carry);
        let mut mask = batched.to_vec();
        let body = loop {
            let mut force = vec![false; body.num_outputs()];
            force[..carry].copy_from_slice(&mask[consts..consts + carry]);
            let g = self.sub(body, &mask, Some(&force))?;
            if g.outputs[..carry] == mask[consts..consts + carry] {
                break g;
            }
            mask[consts..consts + carry].copy_from_slice(&g.outputs[..carry]);
        };
        let mut operands = args.to_vec();
        for i in consts..consts + carry {
            if mask[i] && !batched[i] {
                operands[i] = repeat(&mut self.b, args[i], self.size);
            }
        }
        for i in consts + carry..args.len() {
            if batched[i] {
                operands[i] = self.swap(args[i]);
            }
        }
        let op = Op::Scan { body: Arc::new(body.graph), length: *length, reverse: *reverse, consts, carry };
        let mut outs = self.b.emit(op, &operands)?;
        for i in carry..outs.len() {
            if body.outputs[i] {
                outs[i] = self.swap(outs[i]);
            }
        }
        Ok((outs, body.outputs))
    }

    /// With a batched condition every instance runs until the last is done; those that are done keep their carry.
    fn while_loop(&mut self, op: &Op, args: &[Value], batched: &[bool]) -> Result<Outs> {
        let Op::While { cond, body, cond_consts, body_consts } = op else { unreachable!("caller matched a while") };
        let (cc, bc) = (*cond_consts, *body_consts);
        let n = args.len() - cc - bc;
        let mut carry = batched[cc + bc..].to_vec();
        let (new_body, pred_batched) = loop {
            let g = self.sub(body, &[&batched[cc..cc + bc], &carry].concat(), Some(&carry))?;
            let pred = self.sub(cond, &[&batched[..cc], &carry].concat(), None)?.outputs[0];
            let grown = if pred { vec![true; n] } else { g.outputs.clone() };
            if grown == carry {
                break (g.graph, pred);
            }
            carry = grown;
        };
        if pred_batched && op.has_effect() {
            return self.by_rows(op, args, batched);
        }
        let new_cond = self.sub(cond, &[&batched[..cc], &carry].concat(), None)?.graph;
        let mut operands = args.to_vec();
        for i in 0..n {
            if carry[i] && !batched[cc + bc + i] {
                operands[cc + bc + i] = repeat(&mut self.b, args[cc + bc + i], self.size);
            }
        }
        if !pred_batched {
            let op = Op::While { cond: Arc::new(new_cond), body: Arc::new(new_body), cond_consts: cc, body_consts: bc };
            return Ok((self.b.emit(op, &operands)?, carry));
        }
        let any = {
            let (mut b, inputs) = Builder::with_inputs(&new_cond.input_types());
            let p = b.inline(&new_cond, &inputs)?[0];
            let any = b.reduce(ReduceKind::Or, p, &[0]);
            b.finish(&[any])?
        };
        // the body needs the condition's consts too, to know who is done
        let cond_types = new_cond.input_types();
        let types = [&cond_types[..cc], &new_body.input_types()].concat();
        let (mut b, inputs) = Builder::with_inputs(&types);
        let (old_cc, rest) = inputs.split_at(cc);
        let old = &rest[bc..];
        let p = b.inline(&new_cond, &[old_cc, old].concat())?[0];
        let new = b.inline(&new_body, rest)?;
        let mut outs = Vec::new();
        for (&o, &v) in old.iter().zip(&new) {
            let shape = b.ty(o).shape.clone();
            let p = b.broadcast(p, &shape, &[0]);
            outs.push(b.select(p, v, o));
        }
        let step = b.finish(&outs)?;
        let mut with_cond = operands[..cc].to_vec();
        with_cond.extend_from_slice(&operands[..cc]);
        with_cond.extend_from_slice(&operands[cc..]);
        let op = Op::While { cond: Arc::new(any), body: Arc::new(step), cond_consts: cc, body_consts: cc + bc };
        Ok((self.b.emit(op, &with_cond)?, carry))
    }

    /// A batched index runs every branch and selects.
    fn switch(&mut self, branches: &[Arc<Graph>], args: &[Value], batched: &[bool]) -> Result<Outs> {
        if batched[0] {
            let last = branches.len() - 1;
            let index = self.b.full_like(args[0], last as f64);
            let zero = self.b.full_like(args[0], 0.0);
            let index = self.b.binary(Binary::Min, args[0], index);
            let index = self.b.binary(Binary::Max, index, zero);
            let mut result: Option<Vec<Value>> = None;
            for (i, g) in branches.iter().enumerate() {
                let g = self.sub(g, &batched[1..], Some(&vec![true; g.num_outputs()]))?;
                let outs = self.b.inline(&g.graph, &args[1..])?;
                let i = self.b.full_like(index, i as f64);
                let here = self.b.compare(Comparison::Eq, index, i);
                result = Some(match result {
                    None => outs,
                    Some(old) => {
                        let mut chosen = Vec::new();
                        for (new, old) in outs.into_iter().zip(old) {
                            let shape = self.b.ty(new).shape.clone();
                            let here = self.b.broadcast(here, &shape, &[0]);
                            chosen.push(self.b.select(here, new, old));
                        }
                        chosen
                    }
                });
            }
            let outs: Values = result.unwrap_or_default().into();
            let n = outs.len();
            return Ok((outs, vec![true; n]));
        }
        let mut force = vec![false; branches[0].num_outputs()];
        for g in branches {
            let outs = self.sub(g, &batched[1..], None)?.outputs;
            force.iter_mut().zip(outs).for_each(|(f, o)| *f |= o);
        }
        let new: Result<Vec<Arc<Graph>>> =
            branches.iter().map(|g| Ok(Arc::new(self.sub(g, &batched[1..], Some(&force))?.graph))).collect();
        Ok((self.b.emit(Op::Switch { branches: new? }, args)?, force))
    }
}

/// Moves one axis of `x`, keeping the order of the others.
pub fn move_axis(b: &mut Builder, x: Value, from: usize, to: usize) -> Result<Value> {
    let ty: Type = b.ty(x).clone();
    if from >= ty.rank() || to >= ty.rank() {
        return Err(Error::bad_axis("vmap", from.max(to) as i64, &ty));
    }
    let mut perm: Vec<usize> = (0..ty.rank()).filter(|&a| a != from).collect();
    perm.insert(to, from);
    Ok(b.transpose(x, &perm))
}
