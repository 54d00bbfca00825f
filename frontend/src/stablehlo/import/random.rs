//! Random bits, in the order in which XLA lays them out.
//!
//! The state is a key and a count, or for Philox also a key and both halves of a count of 128 bits.

use super::{Call, Lower};
use gradloom_ir::{Binary, Builder, Comparison, DType, Literal, Op, Result, Shape, Type, Unary, Value, Values};
use smallvec::smallvec;

pub(super) const RULES: &[(&str, Lower)] = &[("rng_bit_generator", rng_bit_generator), ("rng", rng)];

/// The low and the high half of 64-bit numbers.
fn halves(b: &mut Builder, x: Value) -> (Value, Value) {
    let amount = b.full_like(x, 32.0);
    let high = b.binary(Binary::ShiftRightLogical, x, amount);
    (b.convert(x, DType::U32), b.convert(high, DType::U32))
}

/// 64-bit numbers of two 32-bit halves.
fn joined(b: &mut Builder, low: Value, high: Value) -> Value {
    let (low, high) = (b.convert(low, DType::U64), b.convert(high, DType::U64));
    let amount = b.full_like(high, 32.0);
    let high = b.binary(Binary::ShiftLeft, high, amount);
    b.binary(Binary::Or, low, high)
}

/// An exact constant in an array like `like`, of dtype u32 or u64.
fn constant(b: &mut Builder, like: Value, x: u64) -> Value {
    let ty = b.ty(like).clone();
    let literal = if ty.dtype == DType::U32 { Literal::new(&[], &[x as u32]) } else { Literal::new(&[], &[x]) };
    let x = b.literal(literal);
    b.broadcast(x, &ty.shape, &[])
}

/// Element `i` of the state.
fn part(b: &mut Builder, state: Value, i: usize) -> Value {
    let x = b.slice_axis(state, 0, i, i + 1);
    b.reshape(x, &[])
}

/// The state of these numbers.
fn state_of(b: &mut Builder, parts: &[Value]) -> Value {
    let parts: Vec<Value> = parts.iter().map(|&x| b.reshape(x, &[1])).collect();
    b.concatenate(&parts, 0)
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

/// Threefry on the running count in the state `(key, count)`: 64-bit results take both lanes of one count; of 32-bit
/// results along one axis the even ones take the first lane and the odd ones the second.
fn threefry(b: &mut Builder, state: Value, out: &Type) -> (Value, Value) {
    let (key, start) = (part(b, state, 0), part(b, state, 1));
    let (bits, used) = if out.dtype.size() == 8 {
        let count = out.numel();
        let (low, high) = lanes(b, key, start, count);
        (joined(b, low, high), count)
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
    let used = constant(b, start, u64::try_from(used).unwrap_or(u64::MAX));
    let next = b.add(start, used);
    (state_of(b, &[key, next]), bits)
}

/// The multipliers of Philox 4x32 and what its two key words grow by (Salmon et al. 2011).
const PHILOX: [(u64, u64); 2] = [(0xD251_1F53, 0x9E37_79B9), (0xCD9E_8D57, 0xBB67_AE85)];

/// Ten rounds of Philox on four words of a count: with `h_i, l_i` the halves of multiplier i times word 2i,
/// `(h1 ^ c1 ^ k0, l1, h0 ^ c3 ^ k1, l0)`.
fn philox_rounds(b: &mut Builder, key: (Value, Value), count: [Value; 4]) -> [Value; 4] {
    let ([mut c0, mut c1, mut c2, mut c3], (mut k0, mut k1)) = (count, key);
    for _ in 0..10 {
        let mut product = |x: Value, i: usize| {
            let wide = b.convert(x, DType::U64);
            let by = constant(b, wide, PHILOX[i].0);
            let wide = b.mul(wide, by);
            halves(b, wide)
        };
        let ((l0, h0), (l1, h1)) = (product(c0, 0), product(c2, 1));
        let mut mixed = |h: Value, c: Value, k: Value| {
            let x = b.binary(Binary::Xor, h, c);
            b.binary(Binary::Xor, x, k)
        };
        (c0, c1, c2, c3) = (mixed(h1, c1, k0), l1, mixed(h0, c3, k1), l0);
        let (w0, w1) = (constant(b, k0, PHILOX[0].1), constant(b, k1, PHILOX[1].1));
        (k0, k1) = (b.add(k0, w0), b.add(k1, w1));
    }
    [c0, c1, c2, c3]
}

/// `low, high` of a 128-bit count plus `steps`.
fn advanced(b: &mut Builder, (low, high): (Value, Value), steps: Value) -> (Value, Value) {
    let sum = b.add(low, steps);
    let carry = b.compare(Comparison::Lt, sum, low);
    let carry = b.convert(carry, DType::U64);
    (sum, b.add(high, carry))
}

/// Philox on a running count: four words of one count after the other, in pairs where 64 bits are asked for. In a state
/// of two the key is the upper half of the count as well.
fn philox(b: &mut Builder, state: Value, out: &Type) -> (Value, Value) {
    let (key, low) = (part(b, state, 0), part(b, state, 1));
    let whole = b.ty(state).shape[0] == 3;
    let high = if whole { part(b, state, 2) } else { key };
    let words = out.numel() * if out.dtype.size() == 8 { 2 } else { 1 };
    let count = words.div_ceil(4);
    let steps = b.iota(DType::U64, &[count], 0);
    let spread = |b: &mut Builder, x: Value| b.broadcast(x, &[count], &[]);
    let first = (spread(b, low), spread(b, high));
    let (c_low, c_high) = advanced(b, first, steps);
    let ((c0, c1), (c2, c3)) = (halves(b, c_low), halves(b, c_high));
    let (k0, k1) = halves(b, key);
    let key_words = (spread(b, k0), spread(b, k1));
    let [w0, w1, w2, w3] = philox_rounds(b, key_words, [c0, c1, c2, c3]);
    let columns = if out.dtype.size() == 8 { vec![joined(b, w0, w1), joined(b, w2, w3)] } else { vec![w0, w1, w2, w3] };
    let columns: Vec<Value> = columns.into_iter().map(|w| b.reshape(w, &[count, 1])).collect();
    let all = b.concatenate(&columns, 1);
    let all = b.reshape(all, &[count * columns.len()]);
    let bits = b.slice_axis(all, 0, 0, out.numel());
    let used = constant(b, low, u64::try_from(count).unwrap_or(u64::MAX));
    let (next_low, next_high) = advanced(b, (low, high), used);
    let parts = [key, next_low, next_high];
    (state_of(b, if whole { &parts } else { &parts[..2] }), bits)
}

/// `DEFAULT` is left to the machine: here as on XLA's CPU.
fn rng_bit_generator(c: &mut Call<'_, '_>) -> Result<Values> {
    let (rule, lengths): (fn(&mut Builder, Value, &Type) -> (Value, Value), _) =
        match c.word(&["algorithm", "rng_algorithm"], 0) {
            Some("THREE_FRY") => (threefry, 2..=2),
            Some("PHILOX" | "DEFAULT") => (philox, 2..=3),
            other => return Err(c.unsupported(format!("the algorithm {} is not supported", other.unwrap_or("")))),
        };
    let [state] = c.args()?;
    let (ty, out) = (c.ty(state), c.result(1)?);
    if ty.dtype != DType::U64 || ty.rank() != 1 || !lengths.contains(&ty.shape[0]) {
        return Err(c.unsupported(format!("a state of type {ty} is not supported")));
    }
    if !out.dtype.is_int() {
        return Err(c.unsupported(format!("bits of dtype {} are not supported", out.dtype)));
    }
    let b = c.b();
    let (state, bits) = rule(b, state, &out);
    let bits = b.convert(bits, out.dtype);
    Ok(smallvec![state, b.reshape(bits, &out.shape)])
}

/// Numbers of no state: which ones is left to the machine. Here each op of a text has its own, the same in every run.
fn rng(c: &mut Call<'_, '_>) -> Result<Values> {
    let (ty, key) = (c.result(0)?, c.op.at as u64);
    let normal = match c.word(&["distribution", "rng_distribution"], 0) {
        Some("UNIFORM") => false,
        Some("NORMAL") if ty.dtype.is_float() => true,
        other => return Err(c.unsupported(format!("the distribution \"{}\" is unknown", other.unwrap_or("")))),
    };
    let [low, high, _] = c.args()?;
    let bound = Type::scalar(ty.dtype);
    if ty.dtype.is_complex() || c.ty(low) != bound || c.ty(high) != bound {
        return Err(c.unsupported(format!("not for {ty}")));
    }
    let b = c.b();
    let state = b.literal(Literal::new(&[2], &[key, 0u64]));
    let (_, bits) = philox(b, state, &ty.with_dtype(DType::U64));
    let bits = b.reshape(bits, &ty.shape);
    let (low, high) = (b.broadcast(low, &ty.shape, &[]), b.broadcast(high, &ty.shape, &[]));
    if !ty.dtype.is_float() {
        if ty.dtype == DType::Bool {
            return Ok(smallvec![b.convert(bits, DType::Bool)]);
        }
        let range = b.sub(high, low);
        let range = b.convert(range, DType::U64);
        let offset = b.binary(Binary::Rem, bits, range);
        let offset = b.convert(offset, ty.dtype);
        return Ok(smallvec![b.add(low, offset)]);
    }
    // the middles of 2^24 or 2^52 intervals of [0, 1]; of the narrow floats as many as they tell apart
    let (wide, kept) = match ty.dtype {
        DType::F64 => (DType::F64, 52),
        DType::F32 => (DType::F32, 23),
        DType::F16 => (DType::F32, 10),
        _ => (DType::F32, 7),
    };
    let amount = b.full_like(bits, f64::from(64 - kept));
    let top = b.binary(Binary::ShiftRightLogical, bits, amount);
    let top = b.convert(top, wide);
    let middle = b.offset(top, 0.5);
    let unit = b.scale(middle, 2f64.powi(-kept));
    let (low, high) = (b.convert(low, wide), b.convert(high, wide));
    let y = if normal {
        let twice = b.scale(unit, 2.0);
        let signed = b.offset(twice, -1.0);
        let deviate = b.unary(Unary::ErfInv, signed);
        let deviate = b.scale(deviate, std::f64::consts::SQRT_2);
        let scaled = b.mul(high, deviate);
        b.add(low, scaled)
    } else {
        let range = b.sub(high, low);
        let scaled = b.mul(range, unit);
        b.add(low, scaled)
    };
    Ok(smallvec![b.convert(y, ty.dtype)])
}
