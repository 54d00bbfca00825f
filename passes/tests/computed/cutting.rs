//! Slices, pads, concatenations, reversals, and dynamic slices whose starts are known.

use super::source::Source;
use super::{Proof, form};
use gradloom_ir::{Binary, DType, Literal, Op, Shape, Value};

/// Two arrays with zeros around them, in either order, of which one begins where the other ends.
fn neighbours(s: &mut Source) -> [Value; 2] {
    let (dtype, shape) = (s.dtype_that(|d| d != DType::Bool), s.shape([1, 3], 1..=3));
    let axis = s.below(shape.len());
    let lengths = [1 + s.below(3), 1 + s.below(3)];
    let around: Vec<[usize; 2]> = shape.iter().map(|_| [s.below(3), s.below(3)]).collect();
    let mut padded = [0, 1].map(|k| {
        let mut own = shape.clone();
        own[axis] = lengths[k];
        let x = s.input(dtype, &own);
        let zero = s.b.literal(Literal::scalar(dtype, 0.0));
        let side = |end: usize| -> Vec<i64> {
            let other = |a: usize| if a == axis && end != k { lengths[1 - k] } else { 0 };
            (0..shape.len()).map(|a| (around[a][end] + other(a)) as i64).collect()
        };
        s.b.op(Op::Pad { low: side(0), high: side(1), interior: Shape::from_elem(0, shape.len()) }, &[x, zero])
    });
    if s.flip() {
        padded.reverse();
    }
    padded
}

pub const PROOFS: &[Proof] = &[
    (
        "slices of slices, broadcasts, concatenations and pads",
        &[
            form("slice(x) = x", "", |s| {
                let (dtype, shape) = (s.dtype(), s.shape([0, 3], 0..=3));
                let x = s.input(dtype, &shape);
                let stride = shape.iter().map(|&n| if n <= 1 { 1 + s.below(2) } else { 1 }).collect();
                s.b.op(Op::Slice { start: Shape::from_elem(0, shape.len()), limit: shape, stride }, &[x])
            }),
            form("slice(slice(x)) = slice(x)", "slice", |s| {
                let (dtype, shape) = (s.dtype(), s.shape([1, 3], 2..=7));
                let x = s.input(dtype, &shape);
                let y = cut(s, x);
                cut(s, y)
            }),
            form("slice(broadcast(x)) = broadcast(slice(x))", "slice broadcast_in_dim", |s| {
                let (dtype, shape) = (s.dtype(), s.shape([1, 2], 1..=5));
                let x = s.input(dtype, &shape);
                let more = s.below(2);
                let (mut out, dims) = s.repeated(&shape, more);
                // an axis of length 1 may be repeated, which the rule leaves alone
                for (i, &d) in dims.iter().enumerate() {
                    out[d] = if shape[i] == 1 && s.below(4) == 0 { 3 } else { out[d] };
                }
                let y = s.b.broadcast(x, &out, &dims);
                cut(s, y)
            }),
            form("slice(broadcast(scalar)) = broadcast(scalar)", "broadcast_in_dim", |s| {
                let (dtype, shape) = (s.dtype(), s.shape([1, 3], 1..=4));
                let x = s.input(dtype, &[]);
                let y = s.b.broadcast(x, &shape, &[]);
                cut(s, y)
            }),
            form("slice(concatenate(.., x, ..)) = slice(x)", "slice", |s| {
                let (x, _) = pieces(s, 3);
                cut(s, x)
            }),
            form("slice(pad(x)) = slice(x)", "slice", |s| {
                let x = padded(s, 0..=3);
                cut(s, x)
            }),
            form("slice(pad(x)) = broadcast(padding)", "broadcast_in_dim", |s| {
                let x = padded(s, 0..=2);
                cut(s, x)
            }),
        ],
    ),
    (
        "pad(x, 0) + pad(y, 0) = pad(concatenate(x, y), 0)",
        &[
            form("pad(x, 0) + pad(y, 0) = pad(concatenate(x, y), 0)", "constant concatenate pad", |s| {
                let [x, y] = neighbours(s);
                s.b.binary(Binary::Add, x, y)
            }),
            form("pad(x, 0) + z + pad(y, 0) = pad(concatenate(x, y), 0) + z", "constant concatenate pad add", |s| {
                let [x, y] = neighbours(s);
                let (dtype, shape) = (s.b.ty(x).dtype, s.b.ty(x).shape.clone());
                let z = s.input(dtype, &shape);
                let sum = s.b.binary(Binary::Add, x, z);
                s.b.binary(Binary::Add, sum, y)
            }),
        ],
    ),
    (
        "pads of nothing and of pads",
        &[
            form("pad(x) = x", "", |s| {
                let (dtype, shape) = (s.dtype(), s.shape([0, 3], 0..=3));
                let [x, c] = [s.input(dtype, &shape), s.input(dtype, &[])];
                let none = vec![0; shape.len()];
                let interior = shape.iter().map(|&n| if n <= 1 { s.below(3) } else { 0 }).collect();
                s.b.op(Op::Pad { low: none.clone(), high: none, interior }, &[x, c])
            }),
            form("pad(x) = slice(x)", "slice", |s| {
                let (dtype, shape) = (s.dtype(), s.shape([1, 3], 1..=4));
                let [x, c] = [s.input(dtype, &shape), s.input(dtype, &[])];
                let (mut low, mut high) = (Vec::new(), Vec::new());
                for &n in &shape {
                    let l = s.below(n + 1);
                    low.push(-(l as i64));
                    high.push(-(s.below(n - l + 1) as i64));
                }
                let interior = shape.iter().map(|&n| if n == 1 { s.below(2) } else { 0 }).collect();
                s.b.op(Op::Pad { low, high, interior }, &[x, c])
            }),
            form("pad(broadcast(c), c) = broadcast(c)", "constant broadcast_in_dim", |s| {
                let (dtype, shape) = (s.dtype(), s.shape([1, 2], 1..=3));
                let value = s.number(dtype);
                let c = s.b.literal(value);
                let x = s.b.broadcast(c, &shape, &[]);
                let op = padding(s, &shape, -1, 1);
                s.b.op(op, &[x, c])
            }),
            form("pad(empty) = broadcast(padding)", "broadcast_in_dim", |s| {
                let (dtype, mut shape) = (s.dtype(), s.shape([1, 3], 0..=3));
                let at = s.below(shape.len());
                shape[at] = 0;
                let [x, c] = [s.input(dtype, &shape), s.input(dtype, &[])];
                let op = padding(s, &shape, 0, 1);
                s.b.op(op, &[x, c])
            }),
            form("pad(pad(x, c), c) = pad(x, c)", "pad", |s| twice_padded(s, true)),
            form("pad(pad(x, 1), 1) = pad(x, 1)", "constant pad", |s| twice_padded(s, false)),
        ],
    ),
    (
        "concatenations of concatenations, of neighbouring slices and of equal constants",
        &[
            form("concatenate(x) = x", "", |s| pieces(s, 1).0),
            form("concatenate(x, empty) = x", "", |s| {
                let (x, axis) = pieces(s, 1);
                let mut ty = s.b.ty(x).clone();
                ty.shape[axis] = 0;
                let empty = s.input(ty.dtype, &ty.shape);
                let xs = if s.flip() { [x, empty] } else { [empty, x] };
                s.b.concatenate(&xs, axis)
            }),
            form("concatenate(concatenate(x, y), z) = concatenate(x, y, z)", "concatenate", |s| {
                let (x, axis) = pieces(s, 2);
                let ty = s.b.ty(x).clone();
                let z = s.input(ty.dtype, &ty.shape);
                let xs = if s.flip() { [x, z] } else { [z, x] };
                s.b.concatenate(&xs, axis)
            }),
            form("concatenate(broadcast(c), broadcast(c)) = broadcast(c)", "constant broadcast_in_dim", |s| {
                let (dtype, shape) = (s.dtype(), s.shape([1, 3], 1..=3));
                let [x, y] = [(); 2].map(|()| s.splat(dtype, &shape));
                let axis = s.below(shape.len());
                s.b.concatenate(&[x, y, x], axis)
            }),
            form("concatenate(x[a..b], x[b..c]) = x[a..c]", "slice", |s| {
                let (dtype, shape) = (s.dtype(), s.shape([1, 3], 2..=5));
                let x = s.input(dtype, &shape);
                let axis = s.below(shape.len());
                let Op::Slice { start, limit, stride } = s.cut(&shape, 2) else { unreachable!("a slice") };
                let middle = start[axis] + s.below(limit[axis] - start[axis] + 1);
                let strides = [s.below(8) / 7, s.below(8) / 7].map(|more| {
                    let mut stride = stride.clone();
                    stride[axis] = 1 + more;
                    stride
                });
                let [mut end, mut begin] = [limit.clone(), start.clone()];
                (end[axis], begin[axis]) = (middle, middle + s.below(8) / 7 * usize::from(middle < limit[axis]));
                let [first, second] = strides;
                let low = s.b.op(Op::Slice { start, limit: end, stride: first }, &[x]);
                let high = s.b.op(Op::Slice { start: begin, limit, stride: second }, &[x]);
                s.b.concatenate(&[low, high], axis)
            }),
        ],
    ),
    (
        "reversals of short axes, of reversals and of broadcasts",
        &[
            form("reverse(x) = x along axes of length 1", "", |s| {
                let (dtype, shape) = (s.dtype(), s.shape([0, 3], 0..=1));
                let x = s.input(dtype, &shape);
                reversed(s, x)
            }),
            form("reverse(x) = reverse(x) without the axes of length 1", "reverse", |s| {
                let (dtype, mut shape) = (s.dtype(), s.shape([2, 3], 2..=3));
                shape[0] = 1;
                let x = s.input(dtype, &shape);
                let axes = (0..shape.len()).filter(|&a| a < 2 || s.flip()).collect();
                s.b.op(Op::Reverse { axes }, &[x])
            }),
            form("reverse(reverse(x)) = reverse(x)", "reverse", |s| {
                let (dtype, shape) = (s.dtype(), s.shape([1, 3], 1..=3));
                let x = s.input(dtype, &shape);
                let y = reversed(s, x);
                reversed(s, y)
            }),
            form("reverse(broadcast(x)) = broadcast(x)", "broadcast_in_dim", |s| {
                let x = repeated(s);
                reversed(s, x)
            }),
            form("reverse(broadcast(x)) = broadcast(reverse(x))", "reverse broadcast_in_dim", |s| {
                let x = repeated(s);
                reversed(s, x)
            }),
        ],
    ),
    (
        "dynamic_slice(x) = slice(x) where the starts are known",
        &[form("of known starts, and of axes kept whole", "slice", |s| {
            let (dtype, shape) = (s.dtype(), s.shape([1, 3], 1..=5));
            let x = s.input(dtype, &shape);
            let sizes: Shape = shape.iter().map(|&n| if s.flip() { n } else { s.below(n + 1) }).collect();
            let starts = starts(s, &shape, &sizes);
            s.b.op(Op::DynamicSlice { sizes }, &[&[x], &starts[..]].concat())
        })],
    ),
    (
        "dynamic_update_slice(x, y) = y, = x or = pad(y)",
        &[
            form("= y where y covers x, = x where y is empty", "", |s| {
                let (dtype, shape) = (s.dtype(), s.shape([0, 3], 0..=3));
                let x = s.input(dtype, &shape);
                let mut sizes = shape.clone();
                if !sizes.is_empty() && s.flip() {
                    let at = s.below(sizes.len());
                    sizes[at] = 0;
                }
                let starts = starts(s, &shape, &sizes);
                let y = s.input(dtype, &sizes);
                s.b.op(Op::DynamicUpdateSlice {}, &[&[x, y], &starts[..]].concat())
            }),
            form("dynamic_update_slice(broadcast(c), y) = pad(y, c)", "constant pad", |s| {
                let (dtype, shape) = (s.dtype(), s.shape([1, 3], 1..=5));
                let sizes: Shape = shape.iter().map(|&n| 1 + s.below(n)).collect();
                let [x, y] = [s.splat(dtype, &shape), s.input(dtype, &sizes)];
                let dtype = s.dtype_that(DType::is_int);
                let starts: Vec<Value> = shape.iter().map(|_| known_start(s, dtype)).collect();
                s.b.op(Op::DynamicUpdateSlice {}, &[&[x, y], &starts[..]].concat())
            }),
        ],
    ),
];

/// A slice of `x`.
fn cut(s: &mut Source, x: Value) -> Value {
    let shape = s.b.ty(x).shape.clone();
    let op = s.cut(&shape, 3);
    s.b.op(op, &[x])
}

/// A concatenation of so many arrays, and its axis.
fn pieces(s: &mut Source, count: usize) -> (Value, usize) {
    let (dtype, shape) = (s.dtype(), s.shape([1, 3], 1..=3));
    let axis = s.below(shape.len());
    let xs: Vec<Value> = (0..count)
        .map(|_| {
            let mut shape = shape.clone();
            shape[axis] = s.below(4);
            s.input(dtype, &shape)
        })
        .collect();
    (s.b.op(Op::Concatenate { axis }, &xs), axis)
}

/// A pad of an array of this shape, by `least` to `most` and more on each side.
fn padding(s: &mut Source, shape: &[usize], least: i64, interior: usize) -> Op {
    let mut edge = |n: usize| -> i64 { (least + s.below(4) as i64).max(-(n as i64 / 2)) };
    let (low, high) = shape.iter().map(|&n| (edge(n), edge(n))).unzip();
    Op::Pad { low, high, interior: shape.iter().map(|_| s.below(interior + 1)).collect() }
}

/// A padded array, cropped now and then.
fn padded(s: &mut Source, lengths: std::ops::RangeInclusive<usize>) -> Value {
    let (dtype, shape) = (s.dtype(), s.shape([1, 2], lengths));
    let [x, c] = [s.input(dtype, &shape), s.input(dtype, &[])];
    let op = padding(s, &shape, -1, 0);
    s.b.op(op, &[x, c])
}

/// Pads of a pad, by an input or by constants that are mostly equal.
fn twice_padded(s: &mut Source, by_input: bool) -> Value {
    let (dtype, shape) = (s.dtype(), s.shape([1, 3], 1..=3));
    let x = s.input(dtype, &shape);
    let c = s.input(dtype, &[]);
    let value = s.number(dtype);
    let padding_value = |s: &mut Source| match by_input {
        true => c,
        false if s.below(4) == 0 => s.splat(dtype, &[]),
        false => s.b.literal(value.clone()),
    };
    let values = [padding_value(s), padding_value(s)];
    let mut y = x;
    for c in values {
        let shape = s.b.ty(y).shape.clone();
        let least = -((s.below(4) / 3) as i64);
        let interior = s.below(4) / 3;
        let op = padding(s, &shape, least, interior);
        y = s.b.op(op, &[y, c]);
    }
    y
}

fn repeated(s: &mut Source) -> Value {
    let (dtype, shape) = (s.dtype(), s.shape([0, 2], 1..=3));
    let x = s.input(dtype, &shape);
    let (out, dims) = s.repeated(&shape, 1);
    s.b.broadcast(x, &out, &dims)
}

fn reversed(s: &mut Source, x: Value) -> Value {
    let axes = s.axes(s.b.ty(x).rank());
    s.b.op(Op::Reverse { axes }, &[x])
}

/// A constant start, perhaps out of range.
fn known_start(s: &mut Source, dtype: DType) -> Value {
    let at = s.pick(&[0.0, 1.0, 2.0, -1.0, -100.0, 3.0, 120.0, 1e30]);
    s.b.literal(Literal::scalar(dtype, at))
}

/// Starts, unknown where there is but one.
fn starts(s: &mut Source, shape: &[usize], sizes: &[usize]) -> Vec<Value> {
    let dtype = s.dtype_that(DType::is_int);
    let start = |(n, size): (&usize, &usize)| if n == size { s.input(dtype, &[]) } else { known_start(s, dtype) };
    shape.iter().zip(sizes).map(start).collect()
}
