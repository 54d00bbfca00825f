//! What is composed of integer arithmetic.

use super::super::import::combine::identity;
use gradloom_ir::{Binary, Builder, Comparison, Literal, ReduceKind, Unary, Value};

/// One lane of threefry-2x32, 20 rounds (Salmon et al. 2011), on `(key0, key1, count0, count1)`.
pub(super) fn threefry(b: &mut Builder, lane: u8, args: &[Value]) -> Value {
    const ROTATIONS: [[u32; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];
    let shape = b.ty(args[0]).shape.clone();
    let constant = |b: &mut Builder, x: u32| {
        let x = b.literal(Literal::new(&[], &[x]));
        b.broadcast(x, &shape, &[])
    };
    let parity = constant(b, 0x1bd1_1bda);
    let both = b.binary(Binary::Xor, args[0], args[1]);
    let keys = [args[0], args[1], b.binary(Binary::Xor, both, parity)];
    let (mut x, mut y) = (b.add(args[2], keys[0]), b.add(args[3], keys[1]));
    for round in 0..5u32 {
        for by in ROTATIONS[round as usize % 2] {
            x = b.add(x, y);
            let (up, down) = (constant(b, by), constant(b, 32 - by));
            let (high, low) = (b.binary(Binary::ShiftLeft, y, up), b.binary(Binary::ShiftRightLogical, y, down));
            let turned = b.binary(Binary::Or, high, low);
            y = b.binary(Binary::Xor, turned, x);
        }
        let at = round as usize + 1;
        x = b.add(x, keys[at % 3]);
        let step = constant(b, round + 1);
        let key = b.add(keys[(at + 1) % 3], step);
        y = b.add(y, key);
    }
    if lane == 0 { x } else { y }
}

/// For a quotient or remainder, which may trap in XLA's code: a divisor that does not, where the true one is 0, and what
/// the result is there, -1 or x. The least number over -1 wraps: by 1 it stays what it is, and nothing remains.
pub(super) fn divisor(b: &mut Builder, f: Binary, x: Value, y: Value) -> [Value; 3] {
    let ty = b.ty(x).clone();
    let (zero, one) = (b.full(&ty, 0.0), b.full(&ty, 1.0));
    let by_zero = b.compare(Comparison::Eq, y, zero);
    let mut traps = by_zero;
    let all_bits = b.unary(Unary::Not, zero);
    if let (true, Some(least)) = (ty.dtype.is_signed_int(), identity(ReduceKind::Max, ty.dtype)) {
        let least = b.literal(least);
        let least = b.broadcast(least, &ty.shape, &[]);
        let (is_least, by_minus) = (b.compare(Comparison::Eq, x, least), b.compare(Comparison::Eq, y, all_bits));
        let wraps = b.binary(Binary::And, is_least, by_minus);
        traps = b.binary(Binary::Or, by_zero, wraps);
    }
    [b.select(traps, one, y), by_zero, if f == Binary::Div { all_bits } else { x }]
}
