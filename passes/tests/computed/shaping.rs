//! Broadcasts, reshapes and transposes, and elementwise ops before broadcasts.

use super::source::Source;
use super::{Form, Proof, form};
use gradloom_ir::{Binary, Comparison, DType, Literal, Op, Shape, Type, Unary, Value};

pub const PROOFS: &[Proof] = &[
    ("f(broadcast(x), ..) = broadcast(f(x, ..))", LIFTING),
    (
        "p ? broadcast(x) : broadcast(y) = broadcast(p ? x : y)",
        &[form("of three", "select broadcast_in_dim", |s| {
            let dtype = s.dtype();
            lifted(s, &[DType::Bool, dtype, dtype], |_, _| Op::Select {})
        })],
    ),
    (
        "convert(broadcast(x)) = broadcast(convert(x))",
        &[form("of one", "convert broadcast_in_dim", |s| {
            let [from, to] = [s.dtype(), s.dtype()];
            let to = if from.is_complex() && !to.is_complex() { DType::C64 } else { to };
            let x = repeated(s, from);
            s.b.op(Op::Convert { dtype: to }, &[x])
        })],
    ),
    (
        "bitcast(broadcast(x)) = broadcast(bitcast(x))",
        &[form("of one", "bitcast_convert broadcast_in_dim", |s| {
            let from = s.dtype_that(|d| d != DType::Bool && !d.is_complex());
            let alike: Vec<DType> = DType::ALL
                .into_iter()
                .filter(|d| d.size() == from.size() && *d != DType::Bool && !d.is_complex())
                .collect();
            let dtype = s.pick(&alike);
            let x = repeated(s, from);
            s.b.op(Op::Bitcast { dtype }, &[x])
        })],
    ),
    (
        "[c, c, ..] = broadcast(c)",
        &[form("a constant", "constant broadcast_in_dim", |s| {
            let (dtype, shape) = (s.dtype(), s.shape([1, 3], 1..=3));
            let c = s.number(dtype);
            let ty = Type::new(dtype, &shape);
            let bytes = c.bytes().repeat(ty.numel());
            s.b.literal(Literal::from_bytes(ty, bytes).expect("as many as the type has"))
        })],
    ),
    (
        "broadcasts without axes of length 1; those that repeat nothing are transposes",
        &[
            form("broadcast(x) = broadcast(reshape(x))", "reshape broadcast_in_dim", |s| {
                let (dtype, mut shape) = (s.dtype(), s.shape([1, 3], 1..=3));
                let one = s.below(shape.len());
                shape[one] = 1;
                let x = s.input(dtype, &shape);
                let more = s.below(2);
                let (mut out, dims) = s.repeated(&shape, more);
                for (i, &d) in dims.iter().enumerate() {
                    out[d] = if shape[i] == 1 { 1 + s.below(3) } else { out[d] };
                }
                s.b.broadcast(x, &out, &dims)
            }),
            form("broadcast(x) = reshape(transpose(x))", "transpose reshape", |s| {
                let (dtype, shape) = (s.dtype(), s.shape([1, 3], 2..=3));
                let x = s.input(dtype, &shape);
                let ones = s.below(3);
                let (mut out, dims) = s.repeated(&shape, ones);
                (0..out.len()).filter(|d| !dims.contains(d)).for_each(|d| out[d] = 1);
                s.b.broadcast(x, &out, &dims)
            }),
        ],
    ),
    (
        "reshape(broadcast(x)) = broadcast(x) where only axes of length 1 come and go",
        &[form("of one", "broadcast_in_dim", |s| {
            let (dtype, shape) = (s.dtype(), s.shape([1, 2], 2..=3));
            let x = s.input(dtype, &shape);
            let (mut out, dims) = s.repeated(&shape, 2);
            for d in 0..out.len() {
                if !dims.contains(&d) && s.flip() {
                    out[d] = 1;
                }
            }
            let y = s.b.broadcast(x, &out, &dims);
            out.retain(|n| *n != 1);
            for _ in 0..s.below(3) {
                let at = s.below(out.len() + 1);
                out.insert(at, 1);
            }
            s.b.reshape(y, &out)
        })],
    ),
    (
        "transposes that are reshapes, and of broadcasts and products",
        &[
            form("transpose(x) = reshape(x)", "reshape", |s| {
                // of axes in order, those of length 1 go elsewhere
                let (dtype, long) = (s.dtype(), s.shape([0, 2], 2..=3));
                let (ones, before) = (1 + s.below(2), s.permutation(long.len() + 2));
                let rank = long.len() + ones;
                let mut at: Vec<usize> = before.into_iter().filter(|&p| p < rank).take(long.len()).collect();
                at.sort_unstable();
                let mut shape = Shape::from_elem(1, rank);
                at.iter().zip(&long).for_each(|(&a, &n)| shape[a] = n);
                let mut perm: Vec<usize> = at.clone();
                for a in (0..rank).filter(|a| !at.contains(a)) {
                    let to = s.below(perm.len() + 1);
                    perm.insert(to, a);
                }
                let x = s.input(dtype, &shape);
                s.b.transpose(x, &perm)
            }),
            form("transpose(broadcast(x)) = broadcast(x)", "broadcast_in_dim", |s| {
                let dtype = s.dtype();
                let x = repeated(s, dtype);
                let perm = s.permutation(s.b.ty(x).rank());
                s.b.transpose(x, &perm)
            }),
            form("transpose(a b) = b a", "dot_general", |s| {
                let dtype = s.dtype_that(|d| d != DType::Bool);
                let batch = s.shape([0, 1], 1..=3);
                let [l, r] = [s.shape([0, 2], 2..=3), s.shape([0, 2], 2..=3)];
                let k = s.shape([0, 2], 1..=3);
                // the batch axes of y are its last
                let x = s.input(dtype, &[&batch[..], &l, &k].concat());
                let y = s.input(dtype, &[&r[..], &k, &batch].concat());
                let from = |at: usize, n: usize| (at..at + n).collect::<Shape>();
                let op = Op::DotGeneral {
                    lhs_batch: from(0, batch.len()),
                    rhs_batch: from(r.len() + k.len(), batch.len()),
                    lhs_contract: from(batch.len() + l.len(), k.len()),
                    rhs_contract: from(r.len(), k.len()),
                };
                let z = s.b.op(op, &[x, y]);
                let (b, n) = (batch.len(), batch.len() + l.len() + r.len());
                let perm: Vec<usize> = (0..b).chain(b + l.len()..n).chain(b..b + l.len()).collect();
                s.b.transpose(z, &perm)
            }),
            form("transpose(a b) = transpose(a) b, or the other way round", "transpose dot_general", |s| {
                let dtype = s.dtype_that(|d| d != DType::Bool);
                let (batch, few) = (s.shape([0, 1], 2..=3), s.shape([2, 2], 2..=3));
                let (k, many) = (1 + s.below(2), 8 + s.below(3));
                let x = s.input(dtype, &[&batch[..], &few, &[k]].concat());
                let y = s.input(dtype, &[&batch[..], &[k, many]].concat());
                let b = batch.len();
                let from = |at: usize, n: usize| (at..at + n).collect::<Shape>();
                let first = s.flip();
                let [left, right] = [from(b + 2, 1), from(b, 1)];
                let (lhs_contract, rhs_contract) = if first { (left, right) } else { (right, left) };
                let op = Op::DotGeneral { lhs_batch: from(0, b), rhs_batch: from(0, b), lhs_contract, rhs_contract };
                let z = s.b.op(op, &if first { [x, y] } else { [y, x] });
                // those of the small factor change places, before or behind that of the other
                let (few, many) = if first { ([b + 1, b], b + 2) } else { ([b + 2, b + 1], b) };
                let free = if s.flip() { [few[0], few[1], many] } else { [many, few[0], few[1]] };
                let perm: Vec<usize> = (0..b).chain(free).collect();
                s.b.transpose(z, &perm)
            }),
        ],
    ),
];

const LIFTING: &[Form] = &[
    form("of one", "* broadcast_in_dim", |s| {
        let ops: Vec<Op> = Unary::ALL.iter().map(|&f| Op::Unary(f)).collect();
        let dtype = s.dtype();
        let x = repeated(s, dtype);
        s.op_for(&ops, &[x]).map_or(x, |op| s.b.op(op, &[x]))
    }),
    form("of two", "* broadcast_in_dim", |s| {
        let of_two = Binary::ALL.iter().filter(|f| **f != Binary::Complex).map(|&f| Op::Binary(f));
        let ops: Vec<Op> = of_two.chain(Comparison::ALL.iter().map(|&c| Op::Compare(c))).collect();
        let dtype = s.dtype();
        lifted(s, &[dtype, dtype], |s, args| s.op_for(&ops, args).expect("every dtype has one"))
    }),
    form("of scalars", "* broadcast_in_dim", |s| {
        let (dtype, shape) = (s.dtype(), s.shape([1, 3], 1..=3));
        let [x, y] = [(); 2].map(|()| s.input(dtype, &[]));
        let [x, y] = [x, y].map(|x| s.b.broadcast(x, &shape, &[]));
        s.b.compare(Comparison::Eq, x, y)
    }),
    form("of an array and a scalar", "broadcast_in_dim * broadcast_in_dim", |s| {
        let (dtype, shape) = (s.dtype_that(|d| d != DType::Bool), s.shape([1, 2], 1..=3));
        let [x, y] = [s.input(dtype, &shape), s.input(dtype, &[])];
        let (out, dims) = s.repeated(&shape, 1);
        let [x, y] = [s.b.broadcast(x, &out, &dims), s.b.broadcast(y, &out, &[])];
        let f = s.pick(&[Binary::Add, Binary::Sub, Binary::Mul]);
        if s.flip() { s.b.binary(f, x, y) } else { s.b.binary(f, y, x) }
    }),
    form("of four", "threefry2x32 broadcast_in_dim", |s| {
        lifted(s, &[DType::U32; 4], |s, _| Op::Threefry { lane: s.below(2) as u8 })
    }),
];

/// An array that is repeated.
fn repeated(s: &mut Source, dtype: DType) -> Value {
    let shape = s.shape([0, 2], 1..=3);
    let x = s.input(dtype, &shape);
    let more = 1 + s.below(2);
    let (out, dims) = s.repeated(&shape, more);
    s.b.broadcast(x, &out, &dims)
}

/// An op of arrays that are mostly repeated alike.
fn lifted(s: &mut Source, dtypes: &[DType], op: impl Fn(&mut Source, &[Value]) -> Op) -> Value {
    let shape = s.shape([0, 2], 1..=3);
    let (out, dims) = s.repeated(&shape, 1);
    let args: Vec<Value> = dtypes
        .iter()
        .map(|&d| {
            let (mut shape, mut dims) = (shape.clone(), dims.clone());
            if s.below(4) == 0 {
                (shape, dims) = (shape.into_iter().rev().collect(), dims.into_iter().rev().collect());
            }
            let x = s.input(d, &shape);
            s.b.broadcast(x, &out, &dims)
        })
        .collect();
    let op = op(s, &args);
    s.b.op(op, &args)
}
