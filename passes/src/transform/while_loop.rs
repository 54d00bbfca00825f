//! Reverse mode of `while`: the states of a loop whose length only the run knows.
//!
//! The known half runs once to count its iterations, n. The cotangents then go through the iterations from the last to the
//! first, and each needs the state its iteration began with. States are kept at the starts of at most [`KEPT`] equal
//! segments, and inside a segment again, to a depth of [`LEVELS`]; inside the smallest segments they are computed again
//! from their start (Griewank, "Achieving logarithmic growth of temporal and spatial complexity in reverse automatic
//! differentiation", 1992, with a fixed number of levels). Memory is `KEPT * LEVELS` states whatever n is; the loop runs
//! forward `1 + LEVELS` times, and `n / (2 KEPT^LEVELS)` times more where n is beyond `KEPT^LEVELS`.

use super::split::known_part;
use super::{pick_outputs, split, transpose};
use crate::dce::without_effects;
use crate::rules::Operand;
use gradloom_ir::{Binary, Builder, Comparison, DType, Error, Graph, Op, Result, Type, Value};
use std::sync::Arc;

/// States kept a level.
const KEPT: usize = 16;
/// Levels of segments.
const LEVELS: usize = 2;

/// The programs a reversed loop is made of. States are the known carries; consts the known consts of the body.
struct Reversal {
    consts: Vec<Type>,
    state: Vec<Type>,
    /// Types of what goes backwards: cotangents of the linear consts, then of the linear carries.
    cotangents: Vec<Type>,
    /// How many of those are of consts.
    linear_consts: usize,
    /// Consts, state to the next state.
    step: Graph,
    /// Consts, state, cotangents of the carries to cotangents of the linear consts and carries.
    pull: Graph,
}

/// Cotangents of a while loop's linear operands; `args` are condition consts, body consts and carries.
pub(super) fn transpose_while(
    b: &mut Builder,
    op: &Op,
    args: &[Operand],
    outs: &[Type],
    ct: &[Option<Value>],
) -> Result<Vec<Option<Value>>> {
    let Op::While { cond, body, cond_consts, body_consts } = op else { unreachable!("caller matched a while") };
    let (cc, bc) = (*cond_consts, *body_consts);
    let known: Vec<bool> = args.iter().map(|a| !a.is_linear()).collect();
    let carry = super::split::while_mask(body, &known[cc..], bc);
    let body_mask = [&known[cc..cc + bc], &carry].concat();
    let cond_mask = [&known[..cc], &carry].concat();
    let of = |mask: &[bool], wanted: bool| -> Vec<usize> { (0..mask.len()).filter(|&i| mask[i] == wanted).collect() };
    let (state, linear) = (of(&carry, true), of(&carry, false));
    let linear_consts = of(&known[cc..cc + bc], false);
    let cond = known_part(cond, &cond_mask, &[true])?;
    if cond.num_outputs() != 1 {
        return Err(Error::internal("while_loop", "the condition depends on a tangent"));
    }
    let step = without_effects(&known_part(body, &body_mask, &carry)?)?;
    let linear_body = separated(&pick_outputs(&without_effects(body)?, &linear)?, &body_mask)?;
    let not_known: Vec<bool> = body_mask.iter().map(|k| !k).collect();
    let types = |indices: &[usize], skip: usize| -> Vec<Type> {
        indices.iter().map(|i| body.types()[skip + i].clone()).collect()
    };
    let known_consts = of(&known[cc..cc + bc], true);
    let r = Reversal {
        consts: types(&known_consts, 0),
        state: types(&state, bc),
        cotangents: [types(&linear_consts, 0), types(&linear, bc)].concat(),
        linear_consts: linear_consts.len(),
        step,
        pull: transpose(&linear_body, &not_known)?.graph,
    };
    let value = |i: usize| args[i].known().ok_or_else(|| Error::internal("while_loop", "a known operand is linear"));
    let consts: Vec<Value> = known_consts.iter().map(|i| value(cc + i)).collect::<Result<_>>()?;
    let start: Vec<Value> = state.iter().map(|i| value(cc + bc + i)).collect::<Result<_>>()?;
    let cond_consts: Vec<Value> = of(&known[..cc], true).into_iter().map(value).collect::<Result<_>>()?;
    let n = r.count(b, &cond, &cond_consts, &consts, &start)?;
    let mut cotangents: Vec<Value> = r.cotangents[..r.linear_consts].iter().map(|t| b.full(t, 0.0)).collect();
    cotangents.extend(linear.iter().map(|&i| ct[i].unwrap_or_else(|| b.full(&outs[i], 0.0))));
    let pulled = r.reverse(b, LEVELS, &consts, &start, n, &cotangents)?;
    let mut result = vec![None; args.len()];
    let positions = linear_consts.iter().map(|i| cc + i).chain(linear.iter().map(|i| cc + bc + i));
    positions.zip(pulled).for_each(|(i, v)| result[i] = Some(v));
    Ok(result)
}

/// The same program with what the known inputs determine computed by nodes that have no other operands: a loop inside
/// may carry known and linear values at once.
fn separated(g: &Graph, known: &[bool]) -> Result<Graph> {
    let s = split(g, known)?;
    let (mut b, inputs) = Builder::with_inputs(&g.input_types());
    let of = |wanted: bool| (0..inputs.len()).filter(move |&i| known[i] == wanted).map(|i| inputs[i]);
    let known_inputs: Vec<Value> = of(true).collect();
    let mut from_known = b.inline(&s.known, &known_inputs)?;
    let residuals = from_known.split_off(from_known.len() - s.residuals);
    let operands: Vec<Value> = residuals.into_iter().chain(of(false)).collect();
    let from_unknown = b.inline(&s.unknown, &operands)?;
    let (mut from_known, mut from_unknown) = (from_known.into_iter(), from_unknown.into_iter());
    let outputs: Option<Vec<Value>> =
        s.known_outputs.iter().map(|&k| if k { from_known.next() } else { from_unknown.next() }).collect();
    b.finish(&outputs.ok_or_else(|| Error::internal("while_loop", "an output is in neither half"))?)
}

fn number() -> Type {
    Type::scalar(DType::I32)
}

fn scalar(b: &mut Builder, x: usize) -> Value {
    b.scalar(DType::I32, x as f64)
}

/// `while carry[last] < limit` (or, counting down, `> 0`): `step` gets consts and the carry without its counter.
///
/// The counter is the last carry; `step` is told its value during the iteration.
fn counted(
    b: &mut Builder,
    down: bool,
    consts: &[Value],
    carry: &[Value],
    limit: Value,
    step: &mut dyn FnMut(&mut Builder, &[Value], &[Value], Value) -> Result<Vec<Value>>,
) -> Result<Vec<Value>> {
    let types = |b: &Builder, values: &[Value]| -> Vec<Type> { values.iter().map(|v| b.ty(*v).clone()).collect() };
    let carry_types = [types(b, carry), vec![number()]].concat();
    let (mut cb, inputs) = Builder::with_inputs(&[vec![number()], carry_types.clone()].concat());
    let counter = inputs[inputs.len() - 1];
    let zero = scalar(&mut cb, 0);
    let more =
        if down { cb.compare(Comparison::Gt, counter, zero) } else { cb.compare(Comparison::Lt, counter, inputs[0]) };
    let cond = cb.finish(&[more])?;
    let (mut bb, inputs) = Builder::with_inputs(&[types(b, consts), carry_types].concat());
    bb.set_loc(b.loc());
    let (c, rest) = inputs.split_at(consts.len());
    let (carried, counter) = rest.split_at(carry.len());
    let one = scalar(&mut bb, 1);
    let after = if down { bb.sub(counter[0], one) } else { bb.add(counter[0], one) };
    let mut next = step(&mut bb, c, carried, if down { after } else { counter[0] })?;
    next.push(after);
    let body = bb.finish(&next)?;
    let start = if down { limit } else { scalar(b, 0) };
    let operands = [&[limit], consts, carry, &[start]].concat();
    let op = Op::While { cond: Arc::new(cond), body: Arc::new(body), cond_consts: 1, body_consts: consts.len() };
    let mut results = b.emit(op, &operands)?.into_vec();
    results.pop();
    Ok(results)
}

/// Row `i` of an array, or the array with the row replaced.
fn row(b: &mut Builder, rows: Value, i: Value, new: Option<Value>) -> Result<Value> {
    let shape = b.ty(rows).shape.clone();
    let mut sizes = shape.clone();
    sizes[0] = 1;
    let zero = scalar(b, 0);
    let at = std::iter::once(i).chain(std::iter::repeat_n(zero, shape.len() - 1));
    Ok(match new {
        Some(x) => {
            let x = b.reshape(x, &sizes);
            let args: Vec<Value> = [rows, x].into_iter().chain(at).collect();
            b.op(Op::DynamicUpdateSlice {}, &args)
        }
        None => {
            let args: Vec<Value> = std::iter::once(rows).chain(at).collect();
            let x = b.op(Op::DynamicSlice { sizes: sizes.clone() }, &args);
            b.reshape(x, &shape[1..])
        }
    })
}

impl Reversal {
    /// How often the loop runs.
    fn count(
        &self,
        b: &mut Builder,
        cond: &Graph,
        cond_consts: &[Value],
        consts: &[Value],
        start: &[Value],
    ) -> Result<Value> {
        let (mut cb, inputs) = Builder::with_inputs(&[cond.input_types(), vec![number()]].concat());
        let more = cb.inline(cond, &inputs[..inputs.len() - 1])?;
        let cond = cb.finish(&more)?;
        let (mut bb, inputs) = Builder::with_inputs(&[&self.consts[..], &self.state, &[number()]].concat());
        let (before, n) = inputs.split_at(inputs.len() - 1);
        let mut next = bb.inline(&self.step, before)?;
        let one = scalar(&mut bb, 1);
        next.push(bb.add(n[0], one));
        let body = bb.finish(&next)?;
        let zero = scalar(b, 0);
        let operands = [cond_consts, consts, start, &[zero]].concat();
        let op = Op::While {
            cond: Arc::new(cond),
            body: Arc::new(body),
            cond_consts: cond_consts.len(),
            body_consts: consts.len(),
        };
        let results = b.emit(op, &operands)?;
        results.last().copied().ok_or_else(|| Error::internal("while_loop", "has no carry"))
    }

    /// The state `n` iterations later.
    fn forward(&self, b: &mut Builder, consts: &[Value], state: &[Value], n: Value) -> Result<Vec<Value>> {
        counted(b, false, consts, state, n, &mut |b, c, s, _| b.inline(&self.step, &[c, s].concat()))
    }

    /// The cotangents before `n` iterations that begin at `state`, from those after.
    fn reverse(
        &self,
        b: &mut Builder,
        level: usize,
        consts: &[Value],
        state: &[Value],
        n: Value,
        cotangents: &[Value],
    ) -> Result<Vec<Value>> {
        let nc = consts.len();
        if level == 0 {
            let held = [consts, state].concat();
            return counted(b, true, &held, cotangents, n, &mut |b, held, cotangents, i| {
                let (consts, start) = held.split_at(nc);
                let state = self.forward(b, consts, start, i)?;
                self.pulled(b, consts, &state, cotangents)
            });
        }
        // segments of equal length, at most KEPT of them; the last may be shorter
        let kept = scalar(b, KEPT);
        let most = b.scalar(DType::I32, (KEPT - 1) as f64);
        let length = b.add(n, most);
        let length = b.div(length, kept);
        let one = scalar(b, 1);
        let length = b.binary(Binary::Max, length, one);
        let before = b.sub(length, one);
        let count = b.add(n, before);
        let count = b.div(count, length);
        let segment = |b: &mut Builder, i: Value, length: Value, n: Value| {
            let begin = b.mul(i, length);
            let left = b.sub(n, begin);
            b.binary(Binary::Min, left, length)
        };
        let starts: Vec<Value> = self
            .state
            .iter()
            .map(|t| {
                let shape: Vec<usize> = std::iter::once(KEPT).chain(t.shape.iter().copied()).collect();
                b.full(&Type::new(t.dtype, &shape), 0.0)
            })
            .collect();
        let ns = state.len();
        let held = [consts, &[length, n]].concat();
        let carry = [state, &starts].concat();
        let filled = counted(b, false, &held, &carry, count, &mut |b, held, carry, i| {
            let (consts, sizes) = held.split_at(nc);
            let (state, starts) = carry.split_at(ns);
            let mut kept = Vec::new();
            for (rows, s) in starts.iter().zip(state) {
                kept.push(row(b, *rows, i, Some(*s))?);
            }
            let steps = segment(b, i, sizes[0], sizes[1]);
            let mut next = self.forward(b, consts, state, steps)?;
            next.extend(kept);
            Ok(next)
        })?;
        let held = [consts, &filled[ns..], &[length, n]].concat();
        counted(b, true, &held, cotangents, count, &mut |b, held, cotangents, i| {
            let (consts, rest) = held.split_at(nc);
            let (starts, sizes) = rest.split_at(ns);
            let mut state = Vec::new();
            for rows in starts {
                state.push(row(b, *rows, i, None)?);
            }
            let steps = segment(b, i, sizes[0], sizes[1]);
            self.reverse(b, level - 1, consts, &state, steps, cotangents)
        })
    }

    /// The cotangents before one iteration that begins at `state`.
    fn pulled(&self, b: &mut Builder, consts: &[Value], state: &[Value], cotangents: &[Value]) -> Result<Vec<Value>> {
        let (sums, carries) = cotangents.split_at(self.linear_consts);
        let mut pulled = b.inline(&self.pull, &[consts, state, carries].concat())?;
        for (new, sum) in pulled.iter_mut().zip(sums) {
            *new = b.add(*sum, *new);
        }
        Ok(pulled)
    }
}
