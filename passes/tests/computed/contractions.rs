//! Products, and ops with operands that are there for derivatives.

use super::source::Source;
use super::{Proof, form};
use gradloom_ir::{DType, Literal, Op, Shape, Transposition, Type, Value};

pub const PROOFS: &[Proof] = &[
    (
        "products of transposes and reshapes",
        &[
            form("dot(transpose(x), y) = dot(x, y)", "dot_general", |s| {
                let (op, [x, y]) = Product::any(s, 3).operands(s);
                let [x, y] = [x, y].map(|(dtype, shape)| {
                    let turned = s.flip();
                    if !turned {
                        return s.input(dtype, &shape);
                    }
                    let perm = s.permutation(shape.len());
                    let mut from = shape.clone();
                    perm.iter().zip(&shape).for_each(|(&p, &n)| from[p] = n);
                    let x = s.input(dtype, &from);
                    s.b.transpose(x, &perm)
                });
                s.b.op(op, &[x, y])
            }),
            form("dot(transpose(x), y) = transpose(dot(x, y))", "dot_general transpose", |s| {
                let dtype = s.dtype_that(|d| d != DType::Bool);
                let (batch, free) = (s.shape([0, 1], 2..=3), s.shape([2, 2], 2..=3));
                let (k, few) = (8 + s.below(3), s.shape([0, 1], 1..=2));
                let x = s.input(dtype, &[&batch[..], &[k], &free].concat());
                let b = batch.len();
                let perm: Vec<usize> = (0..b).chain([b + 2, b, b + 1]).collect();
                let x = s.b.transpose(x, &perm);
                let y = s.input(dtype, &[&batch[..], &few, &[k]].concat());
                let from = |at: usize, n: usize| (at..at + n).collect::<Shape>();
                let first = s.flip();
                let [of_x, of_y] = [from(b + 1, 1), from(b + few.len(), 1)];
                let (lhs_contract, rhs_contract) = if first { (of_x, of_y) } else { (of_y, of_x) };
                let op = Op::DotGeneral { lhs_batch: from(0, b), rhs_batch: from(0, b), lhs_contract, rhs_contract };
                s.b.op(op, &if first { [x, y] } else { [y, x] })
            }),
            form("dot(reshape(x), reshape(y)) = dot(x, y)", "dot_general", |s| {
                let mut p = Product::any(s, 3);
                let parts = s.shape([2, 3], 1..=3);
                p.contract = [parts.iter().product()].into_iter().collect();
                let (op, sides) = p.operands(s);
                let Op::DotGeneral { lhs_contract, rhs_contract, .. } = &op else { unreachable!("a product") };
                let axes = [lhs_contract[0], rhs_contract[0]];
                let mut args = Vec::new();
                for ((dtype, shape), axis) in sides.into_iter().zip(axes) {
                    let mut parts = parts.clone();
                    if s.below(6) == 0 {
                        parts.reverse();
                    }
                    let from = [&shape[..axis], &parts, &shape[axis + 1..]].concat();
                    let x = s.input(dtype, &from);
                    args.push(s.b.reshape(x, &shape));
                }
                s.b.op(op, &args)
            }),
        ],
    ),
    (
        "products of outer products",
        &[form(
            "sum_pq (a_np b_nq) (c_mp d_mq) = (sum_p a_np c_mp) (sum_q b_nq d_mq)",
            "dot_general dot_general multiply",
            |s| {
                let dtype = s.dtype_that(|d| d != DType::Bool && !d.is_half());
                let lengths = [2 + s.below(2), 2 + s.below(2)];
                let swapped = s.flip();
                let outer = |s: &mut Source, swap: bool| {
                    let common = s.shape([0, 1], 1..=3);
                    let [p, q] = if swap { [lengths[1], lengths[0]] } else { lengths };
                    let [a, b] = [p, q].map(|n| s.input(dtype, &[&common[..], &[n]].concat()));
                    let lead: Shape = (0..common.len()).collect();
                    let op = Op::DotGeneral {
                        lhs_batch: lead.clone(),
                        rhs_batch: lead,
                        lhs_contract: Shape::new(),
                        rhs_contract: Shape::new(),
                    };
                    (s.b.op(op, &[a, b]), common.len())
                };
                let ((x, m), (y, n)) = (outer(s, false), outer(s, swapped));
                let (mut lhs, mut rhs): (Shape, Shape) = ((m..m + 2).collect(), (n..n + 2).collect());
                if swapped {
                    rhs.reverse();
                }
                if s.flip() {
                    lhs.reverse();
                    rhs.reverse();
                }
                let none = Shape::new();
                let op =
                    Op::DotGeneral { lhs_batch: none.clone(), rhs_batch: none, lhs_contract: lhs, rhs_contract: rhs };
                s.b.op(op, &[x, y])
            },
        )],
    ),
    (
        "operands of a form that are there for derivatives",
        &[form("form(a, v, d_k, d_k+1, .., e..) = form(v, v, d_k, e..)", "spectral_form", |s| {
            let dtype = s.dtype_that(|d| d.is_inexact() && !d.is_half());
            let (batch, n, order) = (s.shape([0, 1], 1..=2), 1 + s.below(3), s.below(3));
            let table = |k: usize| [&batch[..], &vec![n; k + 1]].concat();
            let tables = 1 + s.below(2);
            let mut args: Vec<Value> = (0..2).map(|_| s.input(dtype, &table(1))).collect();
            args.extend((order..order + tables).map(|k| s.input(dtype.real(), &table(k))).collect::<Vec<_>>());
            args.extend((0..order).map(|_| s.input(dtype, &table(1))).collect::<Vec<_>>());
            s.b.op(Op::SpectralForm { order }, &args)
        })],
    ),
    (
        "operands of a solution that are there for derivatives",
        &[form("solve(a, lu, p, b) = solve(lu, lu, p, b)", "constant lu_solve", |s| {
            let dtype = s.dtype_that(|d| d.is_inexact() && !d.is_half());
            let (batch, n) = (s.shape([0, 1], 1..=2), 1 + s.below(3));
            let matrix = |m: usize| [&batch[..], &[n, m]].concat();
            let [a, lu] = [(); 2].map(|()| s.input(dtype, &matrix(n)));
            let columns = 1 + s.below(2);
            let b = s.input(dtype, &matrix(columns));
            let ty = Type::new(DType::I32, &[&batch[..], &[n]].concat());
            let mut rows = Vec::new();
            for _ in 0..ty.numel() / n {
                rows.extend(s.permutation(n).iter().flat_map(|&p| (p as i32).to_ne_bytes()));
            }
            let p = s.b.literal(Literal::from_bytes(ty, rows).expect("a permutation for each matrix"));
            let transpose_a = s.pick(&[Transposition::None, Transposition::Transpose, Transposition::Adjoint]);
            s.b.op(Op::LuSolve { transpose_a }, &[a, lu, p, b])
        })],
    ),
];

/// The lengths of a product's axes.
pub struct Product {
    pub dtype: DType,
    pub batch: Shape,
    pub contract: Shape,
    pub free: [Shape; 2],
}

impl Product {
    /// Any product of numbers, its axes of lengths up to `most`.
    pub fn any(s: &mut Source, most: usize) -> Product {
        Product {
            dtype: s.dtype_that(|d| d != DType::Bool),
            batch: s.shape([0, 2], 1..=most),
            contract: s.shape([0, 2], 1..=most),
            free: [s.shape([0, 2], 1..=most), s.shape([0, 2], 1..=most)],
        }
    }

    /// The product with its axes in random places, and its operands' types.
    pub fn operands(&self, s: &mut Source) -> (Op, [(DType, Shape); 2]) {
        let (b, c) = (self.batch.len(), self.contract.len());
        let mut axes: [[Shape; 2]; 2] = Default::default();
        let sides = [0, 1].map(|side| {
            let lengths = [&self.batch[..], &self.contract, &self.free[side]].concat();
            let at = s.permutation(lengths.len());
            let mut shape = Shape::from_elem(0, lengths.len());
            at.iter().zip(&lengths).for_each(|(&a, &n)| shape[a] = n);
            axes[side] = [at[..b].into(), at[b..b + c].into()];
            (self.dtype, shape)
        });
        let [[lhs_batch, lhs_contract], [rhs_batch, rhs_contract]] = axes;
        (Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract }, sides)
    }
}
