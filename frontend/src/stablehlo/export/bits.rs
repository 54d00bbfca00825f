//! What is composed of integer arithmetic.

use gradloom_ir::{Binary, Builder, Literal, Value};

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
