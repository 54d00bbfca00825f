//! Reverse mode: pulls cotangents back through a linear program.

use super::split;
use super::while_loop::transpose_while;
use crate::rules::{self, Operand};
use gradloom_ir::{Builder, Error, Graph, Node, Op, Result, Type, Value};
use std::sync::Arc;

/// The transpose of a linear program.
#[derive(Clone, Debug)]
pub struct Transposed {
    /// Known inputs followed by cotangents of the outputs, to cotangents of the linear inputs.
    pub graph: Graph,
    /// Which linear inputs' cotangents are zero by structure (zeros are written out all the same).
    pub zero: Vec<bool>,
}

/// Transposes `g`, which is linear in its `linear` inputs.
///
/// **Requires** every output to depend on linear inputs linearly (an output that does not depend on them at all
/// contributes nothing). **Ensures** one cotangent a linear input, of its type.
pub fn transpose(g: &Graph, linear: &[bool]) -> Result<Transposed> {
    let mut b = Builder::new();
    let mut known: Vec<Option<Value>> = vec![None; g.num_values()];
    for v in g.inputs() {
        if !linear[v.index()] {
            known[v.index()] = Some(b.input(g.ty(v).clone(), ""));
        }
    }
    let mut cts: Vec<Option<Value>> = vec![None; g.num_values()];
    let out_cts: Vec<Value> = g.outputs().iter().map(|&v| b.input(g.ty(v).clone(), "")).collect();

    let mut backward: Vec<&Node> = Vec::new();
    for node in g.nodes() {
        let args: Option<Vec<Value>> = node.args.iter().map(|a| known[a.index()]).collect();
        match args {
            Some(args) => {
                b.set_loc(&node.loc);
                let results = b.emit(node.op.clone(), &args)?;
                node.results.iter().zip(results).for_each(|(o, n)| known[o.index()] = Some(n));
            }
            None => backward.push(node),
        }
    }
    for (v, ct) in g.outputs().iter().zip(out_cts) {
        if known[v.index()].is_none() {
            accumulate(&mut b, &mut cts[v.index()], ct);
        }
    }
    for node in backward.into_iter().rev() {
        let ct: Vec<Option<Value>> = node.results.iter().map(|r| cts[r.index()]).collect();
        if ct.iter().all(Option::is_none) {
            continue;
        }
        b.set_loc(&node.loc);
        let args: Vec<Operand> = node
            .args
            .iter()
            .map(|a| known[a.index()].map_or_else(|| Operand::Linear(g.ty(*a).clone()), Operand::Known))
            .collect();
        let outs: Vec<Type> = node.results.iter().map(|&r| g.ty(r).clone()).collect();
        let pulled = transpose_node(&mut b, node, &args, &outs, &ct).map_err(|e| e.at(&node.loc))?;
        for ((a, arg), ct) in node.args.iter().zip(&args).zip(pulled) {
            if let (true, Some(ct)) = (arg.is_linear(), ct) {
                accumulate(&mut b, &mut cts[a.index()], ct);
            }
        }
    }
    let (mut outputs, mut zero) = (Vec::new(), Vec::new());
    for v in g.inputs().filter(|v| linear[v.index()]) {
        zero.push(cts[v.index()].is_none());
        outputs.push(match cts[v.index()] {
            Some(ct) => ct,
            None => b.full(g.ty(v), 0.0),
        });
    }
    Ok(Transposed { graph: crate::dce::dead_code(&b.finish(&outputs)?), zero })
}

fn accumulate(b: &mut Builder, slot: &mut Option<Value>, ct: Value) {
    *slot = Some(match *slot {
        Some(old) => b.add(old, ct),
        None => ct,
    });
}

fn transpose_node(
    b: &mut Builder,
    node: &Node,
    args: &[Operand],
    outs: &[Type],
    ct: &[Option<Value>],
) -> Result<Vec<Option<Value>>> {
    match &node.op {
        Op::Scan { .. } => transpose_scan(b, &node.op, args, outs, ct),
        Op::Switch { branches } => transpose_switch(b, branches, args, outs, ct),
        Op::Remat { body } => transpose_remat(b, body, args, outs, ct),
        Op::CustomLinear { bwd, residuals } => {
            let mut operands = Vec::new();
            for a in &args[..*residuals] {
                match a.known() {
                    Some(v) => operands.push(v),
                    None => return Err(super::jvp::captured("custom_vjp")),
                }
            }
            operands.extend(instantiate(b, outs, ct));
            let pulled = b.inline(bwd, &operands)?;
            Ok(vec![None; *residuals].into_iter().chain(pulled.into_iter().map(Some)).collect())
        }
        Op::While { .. } => transpose_while(b, &node.op, args, outs, ct),
        op => Ok(rules::transpose(b, op, args, outs, ct)?.into_vec()),
    }
}

fn instantiate(b: &mut Builder, types: &[Type], ct: &[Option<Value>]) -> Vec<Value> {
    types.iter().zip(ct).map(|(t, c)| c.unwrap_or_else(|| b.full(t, 0.0))).collect()
}

/// Runs the body's transpose from the other end. The cotangents of linear consts are summed in the carry.
fn transpose_scan(
    b: &mut Builder,
    op: &Op,
    args: &[Operand],
    outs: &[Type],
    ct: &[Option<Value>],
) -> Result<Vec<Option<Value>>> {
    let Op::Scan { body, length, reverse, consts, carry } = op else { unreachable!("caller matched a scan") };
    let (consts, carry) = (*consts, *carry);
    let mut linear: Vec<bool> = args.iter().map(Operand::is_linear).collect();
    // a carry that starts known but becomes linear is linear (its start is then a constant that needs no cotangent)
    linear[consts..consts + carry].fill(true);
    let n = args.len();
    let of = |range: std::ops::Range<usize>, lin: bool| -> Vec<usize> { range.filter(|&i| linear[i] == lin).collect() };
    let (c_known, c_lin) = (of(0..consts, false), of(0..consts, true));
    let (x_known, x_lin) = (of(consts + carry..n, false), of(consts + carry..n, true));

    // t: known consts, known xs, ct carry, ct ys -> ct lin consts, ct carry, ct lin xs
    let t = transpose(body, &linear)?.graph;
    let ys = outs.len() - carry;
    let (nc, nx) = (c_known.len(), x_known.len());
    // new body: consts = known consts; carry = ct lin consts, ct carry; xs = known xs, ct ys
    let mut types: Vec<Type> = t.input_types();
    let acc_types: Vec<Type> = c_lin.iter().map(|&i| body.types()[i].clone()).collect();
    let ct_types: Vec<Type> = types.split_off(nc + nx);
    let known_x_types = types.split_off(nc);
    let all: Vec<Type> =
        [types, acc_types.clone(), ct_types[..carry].to_vec(), known_x_types, ct_types[carry..].to_vec()].concat();
    let (mut nb, inputs) = Builder::with_inputs(&all);
    let (kc, rest) = inputs.split_at(nc);
    let (acc, rest) = rest.split_at(acc_types.len());
    let (ct_k, rest) = rest.split_at(carry);
    let (kx, ct_y) = rest.split_at(nx);
    let pulled = nb.inline(&t, &[kc, kx, ct_k, ct_y].concat())?;
    let mut body_outs: Vec<Value> = Vec::new();
    for (i, &a) in acc.iter().enumerate() {
        body_outs.push(nb.add(a, pulled[i]));
    }
    body_outs.extend(&pulled[acc.len()..]);
    let new_body = crate::dce::dead_code(&nb.finish(&body_outs)?);

    let known = |i: &usize| args[*i].known().expect("listed as known");
    let mut operands: Vec<Value> = c_known.iter().map(known).collect();
    for t in &acc_types {
        operands.push(b.full(t, 0.0));
    }
    let out_cts = instantiate(b, outs, ct);
    operands.extend(&out_cts[..carry]);
    operands.extend(x_known.iter().map(known));
    operands.extend(&out_cts[carry..carry + ys]);
    let results = b.emit(
        Op::Scan {
            body: Arc::new(new_body),
            length: *length,
            reverse: !reverse,
            consts: nc,
            carry: acc_types.len() + carry,
        },
        &operands,
    )?;
    let mut pulled = vec![None; n];
    let positions = c_lin.into_iter().chain(consts..consts + carry).chain(x_lin);
    positions.zip(results).for_each(|(i, r)| pulled[i] = Some(r));
    Ok(pulled)
}

fn transpose_switch(
    b: &mut Builder,
    branches: &[Arc<Graph>],
    args: &[Operand],
    outs: &[Type],
    ct: &[Option<Value>],
) -> Result<Vec<Option<Value>>> {
    let Some(index) = args[0].known() else {
        return Err(Error::internal("switch", "the index depends on a tangent"));
    };
    let linear: Vec<bool> = args[1..].iter().map(Operand::is_linear).collect();
    let ts: Result<Vec<Arc<Graph>>> = branches.iter().map(|g| Ok(Arc::new(transpose(g, &linear)?.graph))).collect();
    let mut operands = vec![index];
    operands.extend(args[1..].iter().filter_map(Operand::known));
    operands.extend(instantiate(b, outs, ct));
    let mut results = b.emit(Op::Switch { branches: ts? }, &operands)?.into_iter();
    Ok(args.iter().map(|a| if a.is_linear() { results.next() } else { None }).collect())
}

/// Recomputes what the transpose needs from the operands. The barrier ties the recomputation to the cotangents, so
/// that no pass merges it with the first computation or runs it early.
fn transpose_remat(
    b: &mut Builder,
    body: &Graph,
    args: &[Operand],
    outs: &[Type],
    ct: &[Option<Value>],
) -> Result<Vec<Option<Value>>> {
    let known: Vec<bool> = args.iter().map(|a| !a.is_linear()).collect();
    let s = split(body, &known)?;
    let out_cts = instantiate(b, outs, ct);
    let n_known = known.iter().filter(|&&k| k).count();
    let mut tied: Vec<Value> = args.iter().filter_map(Operand::known).collect();
    tied.extend(&out_cts);
    let tied = b.emit(Op::Barrier {}, &tied)?;
    let forward = b.inline(&s.known, &tied[..n_known])?;
    let residuals = &forward[forward.len() - s.residuals..];
    let linear: Vec<bool> = (0..s.unknown.num_inputs()).map(|i| i >= s.residuals).collect();
    let t = transpose(&s.unknown, &linear)?;
    let unknown_cts = (0..outs.len()).filter(|&i| !s.known_outputs[i]).map(|i| tied[n_known + i]);
    let operands: Vec<Value> = residuals.iter().copied().chain(unknown_cts).collect();
    let mut pulled = b.inline(&t.graph, &operands)?.into_iter();
    Ok(args.iter().map(|a| if a.is_linear() { pulled.next() } else { None }).collect())
}
