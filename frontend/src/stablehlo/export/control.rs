//! Ops with bodies.

use super::writer::{Region, Writer, array};
use gradloom_ir::{Comparison, DType, Error, Graph, Literal, Op, Result, Type, Value, Values};

pub(super) fn lower(w: &mut Writer, op: &Op, args: &[Value], types: &[Type]) -> Result<Values> {
    match op {
        Op::Remat { body: f } | Op::CustomJvp { primal: f, .. } | Op::CustomVjp { primal: f, .. } => {
            Ok(w.nested_graph(f, args)?.into_iter().collect())
        }
        Op::CustomLinear { .. } => Err(Error::reverse_mode_only()),
        Op::Scan { body, length, reverse, consts, carry } => {
            scan(w, body, Scan { length: *length, reverse: *reverse, consts: *consts, carry: *carry }, args, types)
        }
        Op::While { cond, body, cond_consts, body_consts } => {
            let (of_cond, rest) = args.split_at(*cond_consts);
            let (of_body, init) = rest.split_at(*body_consts);
            if init.is_empty() && !op.has_effect() {
                return Ok(Values::new());
            }
            let cond = Region::new(types.to_vec(), |w, p| w.graph(cond, &[of_cond, p].concat()));
            let body = Region::new(types.to_vec(), |w, p| w.graph(body, &[of_body, p].concat()));
            w.op_with("while", init, "", vec![cond, body], types)
        }
        Op::Switch { branches } => switch(w, branches, args, types),
        _ => Err(Error::internal(op.name(), "has no body")),
    }
}

impl Writer {
    /// A body in the place of its op.
    fn nested_graph(&mut self, g: &Graph, args: &[Value]) -> Result<Vec<Value>> {
        self.nested(|w| w.graph(g, args))
    }
}

/// The index is clamped to the branches there are.
fn switch(w: &mut Writer, branches: &[std::sync::Arc<Graph>], args: &[Value], types: &[Type]) -> Result<Values> {
    let (index, args) = (args[0], &args[1..]);
    if types.is_empty() && !branches.iter().any(|g| g.has_effect()) {
        return Ok(Values::new());
    }
    if let [only] = branches {
        return Ok(w.nested_graph(only, args)?.into_iter().collect());
    }
    let ty = Type::scalar(DType::I32);
    let (first, last) = (w.full(&ty, 0.0), w.full(&ty, (branches.len() - 1) as f64));
    let index = w.same("clamp", &[first, index, last]);
    let regions = branches.iter().map(|g| Region::new(Vec::new(), |w, _| w.graph(g, args))).collect();
    w.op_with("case", &[index], "", regions, types)
}

struct Scan {
    length: usize,
    reverse: bool,
    consts: usize,
    carry: usize,
}

/// A counted loop that reads rows of the arrays scanned over and writes rows of the results. The importer knows it
/// again.
fn scan(w: &mut Writer, body: &Graph, scan: Scan, args: &[Value], types: &[Type]) -> Result<Values> {
    let (consts, rest) = args.split_at(scan.consts);
    let (init, xs) = rest.split_at(scan.carry);
    if scan.length == 0 {
        let mut results: Values = init.iter().copied().collect();
        results.extend(types[scan.carry..].iter().map(|t| w.empty(t)).collect::<Vec<_>>());
        return Ok(results);
    }
    let dtype = if i32::try_from(scan.length).is_ok() { DType::I32 } else { DType::I64 };
    let scalar = Type::scalar(dtype);
    let count = |n: usize| Literal::scalar(dtype, n as f64);
    let mut start = vec![w.constant(&count(0))];
    start.extend(init);
    for ty in &types[scan.carry..] {
        start.push(w.full(ty, 0.0));
    }
    let loop_types: Vec<Type> = [scalar.clone()].into_iter().chain(types.iter().cloned()).collect();
    let cond = Region::new(loop_types.clone(), |w, p| {
        let end = w.constant(&count(scan.length));
        Ok(vec![w.compare(Comparison::Lt, p[0], end)])
    });
    let step = Region::new(loop_types.clone(), |w, p| {
        let (counter, carry, stacks) = (p[0], &p[1..=scan.carry], &p[1 + scan.carry..]);
        let one = w.constant(&count(1));
        let at = if scan.reverse {
            let last = w.constant(&count(scan.length - 1));
            w.same("subtract", &[last, counter])
        } else {
            counter
        };
        let zero = w.constant(&count(0));
        let starts = |rank: usize| std::iter::once(at).chain(std::iter::repeat_n(zero, rank - 1));
        let mut inner = [consts, carry].concat();
        for &x in xs {
            let ty = w.ty(x).clone();
            let mut sizes = ty.shape.clone();
            sizes[0] = 1;
            let args: Vec<Value> = [x].into_iter().chain(starts(ty.rank())).collect();
            let row = if ty.numel() == 0 {
                w.empty(&ty.with_shape(&sizes))
            } else {
                let attrs = format!("slice_sizes = {}", array(&sizes));
                w.one("dynamic_slice", &args, &attrs, &ty.with_shape(&sizes))
            };
            inner.push(w.reshape(row, &ty.shape[1..]));
        }
        let outs = w.graph(body, &inner)?;
        let mut next = vec![w.same("add", &[counter, one])];
        next.extend(&outs[..scan.carry]);
        for (&stack, &y) in stacks.iter().zip(&outs[scan.carry..]) {
            let ty = w.ty(stack).clone();
            if ty.numel() == 0 {
                next.push(stack);
                continue;
            }
            let mut shape = ty.shape.clone();
            shape[0] = 1;
            let row = w.reshape(y, &shape);
            let args: Vec<Value> = [stack, row].into_iter().chain(starts(ty.rank())).collect();
            next.push(w.one("dynamic_update_slice", &args, "", &ty));
        }
        Ok(next)
    });
    let results = w.op_with("while", &start, "", vec![cond, step], &loop_types)?;
    Ok(results.into_iter().skip(1).collect())
}
