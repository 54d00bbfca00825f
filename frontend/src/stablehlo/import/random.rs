//! Random bits.

use super::{Call, Lower};
use gradloom_ir::{Binary, Builder, DType, Op, Result, Shape, Value, Values};
use smallvec::smallvec;

pub(super) const RULES: &[(&str, Lower)] = &[("rng_bit_generator", rng_bit_generator)];

/// The low and the high half of 64-bit numbers.
fn halves(b: &mut Builder, x: Value) -> (Value, Value) {
    let amount = b.full_like(x, 32.0);
    let high = b.binary(Binary::ShiftRightLogical, x, amount);
    (b.convert(x, DType::U32), b.convert(high, DType::U32))
}

/// The two lanes of threefry on `count` counts from `start`.
fn lanes(b: &mut Builder, key: Value, start: Value, count: usize) -> (Value, Value) {
    let steps = b.iota(DType::U64, &[count], 0);
    let first = b.broadcast(start, &[count], &[]);
    let counts = b.add(first, steps);
    let (c0, c1) = halves(b, counts);
    let (k0, k1) = halves(b, key);
    let (k0, k1) = (b.broadcast(k0, &[count], &[]), b.broadcast(k1, &[count], &[]));
    let mut lane = |lane: u8| b.op(Op::Threefry { lane }, &[k0, k1, c0, c1]);
    (lane(0), lane(1))
}

/// The axis that 32-bit results are cut along: the first of even length, or the longest.
fn split_axis(shape: &[usize]) -> usize {
    let longest = || (0..shape.len()).rev().max_by_key(|&a| shape[a]).unwrap_or(0);
    shape.iter().position(|n| n % 2 == 0).unwrap_or_else(longest)
}

/// Threefry on the running count in the state `(key, count)`, as XLA lays it out: 64-bit results take both lanes of one
/// count; of 32-bit results along one axis the even ones take the first lane and the odd ones the second.
fn rng_bit_generator(c: &mut Call<'_, '_>) -> Result<Values> {
    match c.word(&["algorithm", "rng_algorithm"], 0) {
        Some("THREE_FRY" | "DEFAULT") => {}
        other => return Err(c.unsupported(format!("the algorithm {} is not supported", other.unwrap_or("")))),
    }
    let [state] = c.args()?;
    let (ty, out) = (c.ty(state), c.result(1)?);
    if ty.dtype != DType::U64 || ty.shape[..] != [2] {
        return Err(c.unsupported(format!("a state of type {ty} is not supported")));
    }
    if !out.dtype.is_int() {
        return Err(c.unsupported(format!("bits of dtype {} are not supported", out.dtype)));
    }
    let b = c.b();
    let part = |b: &mut Builder, i: usize| {
        let x = b.slice_axis(state, 0, i, i + 1);
        b.reshape(x, &[])
    };
    let (key, start) = (part(b, 0), part(b, 1));
    let (bits, used) = if out.dtype.size() == 8 {
        let count = out.numel();
        let (low, high) = lanes(b, key, start, count);
        let (low, high) = (b.convert(low, DType::U64), b.convert(high, DType::U64));
        let amount = b.full_like(high, 32.0);
        let high = b.binary(Binary::ShiftLeft, high, amount);
        (b.binary(Binary::Or, low, high), count)
    } else {
        // a scalar is one of two
        let shape = if out.rank() == 0 { Shape::from_elem(1, 1) } else { out.shape.clone() };
        let axis = split_axis(&shape);
        let mut half = shape.clone();
        half[axis] = shape[axis].div_ceil(2);
        let count = half.iter().product();
        let (even, odd) = lanes(b, key, start, count);
        half.insert(axis + 1, 1);
        let (even, odd) = (b.reshape(even, &half), b.reshape(odd, &half));
        let pairs = b.concatenate(&[even, odd], axis + 1);
        let mut whole = shape.clone();
        whole[axis] = 2 * half[axis];
        let whole = b.reshape(pairs, &whole);
        (b.slice_axis(whole, axis, 0, shape[axis]), count)
    };
    let bits = b.convert(bits, out.dtype);
    let bits = b.reshape(bits, &out.shape);
    let used = u64::try_from(used).unwrap_or(u64::MAX);
    let used = b.literal(gradloom_ir::Literal::new(&[], &[used]));
    let next = b.add(start, used);
    let parts = [key, next].map(|x| b.reshape(x, &[1]));
    let state = b.concatenate(&parts, 0);
    Ok(smallvec![state, bits])
}
