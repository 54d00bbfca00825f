//! Forward mode: pushes tangents through a program.

use super::{pick_outputs, reorder_inputs};
use crate::rules;
use gradloom_ir::{Builder, Error, Graph, Node, Op, Result, Value, Values};
use std::sync::Arc;

/// A program with its tangents.
#[derive(Clone, Debug)]
pub struct Jvp {
    /// Inputs followed by tangents of the active inputs, to outputs followed by tangents of the active outputs.
    pub graph: Graph,
    /// Which outputs have a tangent; the others' are zero.
    pub active_outputs: Vec<bool>,
}

/// Pushes tangents of the `active` inputs through `g`.
///
/// **Requires** active inputs to be floats or complex. **Ensures** the outputs named by `instantiate` are active, with zeros
/// written out where their tangent is zero by structure (only such outputs can be).
pub fn jvp(g: &Graph, active: &[bool], instantiate: Option<&[bool]>) -> Result<Jvp> {
    let mut b = Builder::new();
    let mut values: Vec<Value> = Vec::with_capacity(g.num_values());
    let mut tangents: Vec<Option<Value>> = Vec::with_capacity(g.num_values());
    for v in g.inputs() {
        values.push(b.input(g.ty(v).clone(), &g.input_names()[v.index()]));
    }
    for v in g.inputs() {
        if active[v.index()] && !g.ty(v).dtype.is_inexact() {
            return Err(Error::user("jvp", format!("input {v} of type {} has no derivative", g.ty(v)))
                .help("only floats and complex numbers can be differentiated"));
        }
        tangents.push(active[v.index()].then(|| b.input(g.ty(v).clone(), "")));
    }
    for node in g.nodes() {
        b.set_loc(&node.loc);
        let x: Vec<Value> = node.args.iter().map(|a| values[a.index()]).collect();
        let t: Vec<Option<Value>> = node.args.iter().map(|a| tangents[a.index()]).collect();
        let (y, t_y) = jvp_node(&mut b, node, &x, &t).map_err(|e| e.at(&node.loc))?;
        values.extend(y);
        tangents.extend(t_y);
    }
    let mut outputs: Vec<Value> = g.outputs().iter().map(|v| values[v.index()]).collect();
    let mut active_outputs = Vec::with_capacity(outputs.len());
    for (i, v) in g.outputs().iter().enumerate() {
        let forced = instantiate.is_some_and(|m| m[i]) && g.ty(*v).dtype.is_inexact();
        let t = match tangents[v.index()] {
            None if forced => Some(b.full(g.ty(*v), 0.0)),
            t => t,
        };
        active_outputs.push(t.is_some());
        outputs.extend(t);
    }
    Ok(Jvp { graph: b.finish(&outputs)?, active_outputs })
}

type Tangents = Vec<Option<Value>>;

fn jvp_node(b: &mut Builder, node: &Node, x: &[Value], t: &[Option<Value>]) -> Result<(Values, Tangents)> {
    if t.iter().all(Option::is_none) {
        let y = b.emit(node.op.clone(), x)?;
        let n = y.len();
        return Ok((y, vec![None; n]));
    }
    match &node.op {
        Op::Scan { .. } => jvp_scan(b, &node.op, x, t),
        Op::While { .. } => jvp_while(b, &node.op, x, t),
        Op::Switch { branches } => jvp_switch(b, branches, x, t),
        Op::CustomJvp { rule, consts, .. } => jvp_custom(b, rule, *consts, x, t),
        Op::CustomVjp { fwd, bwd, consts, residuals, .. } => {
            if t[..*consts].iter().any(Option::is_some) {
                return Err(captured("custom_vjp"));
            }
            let outs = b.inline(fwd, x)?;
            let (y, res) = outs.split_at(outs.len() - residuals);
            let mut args = res.to_vec();
            args.extend(instantiate(b, &x[*consts..], &t[*consts..]));
            let t_y = b.emit(Op::CustomLinear { bwd: bwd.clone(), residuals: *residuals }, &args)?;
            let t_y = t_y.iter().map(|&v| b.ty(v).dtype.is_inexact().then_some(v)).collect();
            Ok((y.into(), t_y))
        }
        Op::CustomLinear { .. } => Err(Error::reverse_mode_only()),
        Op::Remat { body } => {
            let active: Vec<bool> = t.iter().map(Option::is_some).collect();
            let j = jvp(body, &active, None)?;
            let args: Vec<Value> = x.iter().copied().chain(t.iter().flatten().copied()).collect();
            let outs = b.emit(Op::Remat { body: Arc::new(j.graph) }, &args)?;
            Ok(unzip(&outs, &j.active_outputs))
        }
        op => {
            let y = b.emit(op.clone(), x)?;
            let t_y = rules::jvp(b, op, x, &y, t)?;
            Ok((y, t_y.into_vec()))
        }
    }
}

pub(super) fn captured(op: &str) -> Error {
    Error::user(op, "the function captures a value that is being differentiated, and its rule says nothing about it")
        .help("pass the captured value as part of the argument, or wrap it in stop_gradient")
}

/// Tangents with zeros written out; those of values that are not floats are zeros of their own type.
fn instantiate(b: &mut Builder, x: &[Value], t: &[Option<Value>]) -> Vec<Value> {
    x.iter().zip(t).map(|(&x, t)| t.unwrap_or_else(|| b.full_like(x, 0.0))).collect()
}

/// Splits `outputs.., tangents of active outputs..`.
fn unzip(outs: &[Value], active: &[bool]) -> (Values, Tangents) {
    let (y, t) = outs.split_at(active.len());
    let mut t = t.iter().copied();
    (y.into(), active.iter().map(|&a| if a { t.next() } else { None }).collect())
}

/// Positions that list, for each of `groups` (a length and its active mask), first the members, then the active
/// members' tangents, given that all members come before all tangents.
fn interleave(groups: &[&[bool]]) -> Vec<usize> {
    let total: usize = groups.iter().map(|g| g.len()).sum();
    let (mut order, mut member, mut tangent) = (Vec::new(), 0, total);
    for g in groups {
        order.extend(member..member + g.len());
        member += g.len();
        let n = g.iter().filter(|&&a| a).count();
        order.extend(tangent..tangent + n);
        tangent += n;
    }
    order
}

/// `x` with the tangents of one group behind it.
fn with_tangents(b: &mut Builder, out: &mut Vec<Value>, x: &[Value], t: &[Option<Value>], active: &[bool]) {
    out.extend_from_slice(x);
    for i in 0..x.len() {
        if active[i] {
            out.push(t[i].unwrap_or_else(|| b.full_like(x[i], 0.0)));
        }
    }
}

/// Grows `carry_active` until the body maps active carries to active carries only.
fn fixpoint(carry_active: &mut [bool], mut outputs: impl FnMut(&[bool]) -> Result<Vec<bool>>) -> Result<()> {
    loop {
        let out = outputs(carry_active)?;
        let grown: Vec<bool> = carry_active.iter().zip(&out).map(|(&a, &o)| a | o).collect();
        if grown == carry_active {
            return Ok(());
        }
        carry_active.copy_from_slice(&grown);
    }
}

fn jvp_scan(b: &mut Builder, op: &Op, x: &[Value], t: &[Option<Value>]) -> Result<(Values, Tangents)> {
    let Op::Scan { body, length, reverse, consts, carry } = op else { unreachable!("caller matched a scan") };
    let (consts, carry) = (*consts, *carry);
    let active: Vec<bool> = t.iter().map(Option::is_some).collect();
    let mut carry_active = active[consts..consts + carry].to_vec();
    let mask = |carry_active: &[bool]| [&active[..consts], carry_active, &active[consts + carry..]].concat();
    fixpoint(&mut carry_active, |c| Ok(jvp(body, &mask(c), None)?.active_outputs[..carry].to_vec()))?;
    let in_active = mask(&carry_active);
    let mut force = vec![false; body.num_outputs()];
    force[..carry].copy_from_slice(&carry_active);
    let j = jvp(body, &in_active, Some(&force))?;
    let (c, rest) = in_active.split_at(consts);
    let (k, xs) = rest.split_at(carry);
    let (out_k, out_y) = j.active_outputs.split_at(carry);
    let j_body = reorder_inputs(&j.graph, &interleave(&[c, k, xs]))?;
    let j_body = pick_outputs(&j_body, &interleave(&[out_k, out_y]))?;
    let mut args = Vec::new();
    with_tangents(b, &mut args, &x[..consts], &t[..consts], c);
    let n_consts = args.len();
    with_tangents(b, &mut args, &x[consts..consts + carry], &t[consts..consts + carry], k);
    let n_carry = args.len() - n_consts;
    with_tangents(b, &mut args, &x[consts + carry..], &t[consts + carry..], xs);
    let outs = b.emit(
        Op::Scan { body: Arc::new(j_body), length: *length, reverse: *reverse, consts: n_consts, carry: n_carry },
        &args,
    )?;
    let (ks, ys) = outs.split_at(n_carry);
    let (mut y, mut t_y) = unzip(ks, out_k);
    let (y2, t2) = unzip(ys, out_y);
    y.extend(y2);
    t_y.extend(t2);
    Ok((y, t_y))
}

fn jvp_while(b: &mut Builder, op: &Op, x: &[Value], t: &[Option<Value>]) -> Result<(Values, Tangents)> {
    let Op::While { cond, body, cond_consts, body_consts } = op else { unreachable!("caller matched a while") };
    let (cc, bc) = (*cond_consts, *body_consts);
    let active: Vec<bool> = t.iter().map(Option::is_some).collect();
    let body_active = &active[cc..cc + bc];
    let mut carry_active = active[cc + bc..].to_vec();
    fixpoint(&mut carry_active, |k| Ok(jvp(body, &[body_active, k].concat(), None)?.active_outputs))?;
    let in_active = [body_active, &carry_active].concat();
    let j = jvp(body, &in_active, Some(&carry_active))?;
    let j_body = reorder_inputs(&j.graph, &interleave(&[body_active, &carry_active]))?;
    let j_cond = {
        let n = carry_active.len();
        let mut types = cond.input_types();
        types.extend((0..n).filter(|&i| carry_active[i]).map(|i| body.types()[bc + i].clone()));
        let (mut cb, inputs) = Builder::with_inputs(&types);
        let outs = cb.inline(cond, &inputs[..cc + n])?;
        cb.finish(&outs)?
    };
    let mut args = x[..cc].to_vec();
    with_tangents(b, &mut args, &x[cc..cc + bc], &t[cc..cc + bc], body_active);
    let n_consts = args.len() - cc;
    with_tangents(b, &mut args, &x[cc + bc..], &t[cc + bc..], &carry_active);
    let outs = b.emit(
        Op::While { cond: Arc::new(j_cond), body: Arc::new(j_body), cond_consts: cc, body_consts: n_consts },
        &args,
    )?;
    Ok(unzip(&outs, &carry_active))
}

fn jvp_switch(
    b: &mut Builder,
    branches: &[Arc<Graph>],
    x: &[Value],
    t: &[Option<Value>],
) -> Result<(Values, Tangents)> {
    let active: Vec<bool> = t[1..].iter().map(Option::is_some).collect();
    let mut out_active = vec![false; branches[0].num_outputs()];
    for g in branches {
        for (o, a) in out_active.iter_mut().zip(jvp(g, &active, None)?.active_outputs) {
            *o |= a;
        }
    }
    let j: Result<Vec<Arc<Graph>>> =
        branches.iter().map(|g| Ok(Arc::new(jvp(g, &active, Some(&out_active))?.graph))).collect();
    let args: Vec<Value> = x.iter().copied().chain(t[1..].iter().flatten().copied()).collect();
    let outs = b.emit(Op::Switch { branches: j? }, &args)?;
    Ok(unzip(&outs, &out_active))
}

fn jvp_custom(
    b: &mut Builder,
    rule: &Graph,
    consts: usize,
    x: &[Value],
    t: &[Option<Value>],
) -> Result<(Values, Tangents)> {
    if t[..consts].iter().any(Option::is_some) {
        return Err(captured("custom_jvp"));
    }
    let mut args = x.to_vec();
    args.extend(instantiate(b, &x[consts..], &t[consts..]));
    let outs = b.inline(rule, &args)?;
    let (y, t_y) = outs.split_at(outs.len() / 2);
    let t_y = t_y.iter().map(|&v| b.ty(v).dtype.is_inexact().then_some(v)).collect();
    Ok((y.into(), t_y))
}
