//! 8-bit integers with a scale.

use super::contractions::Product;
use super::source::Source;
use super::{Proof, form};
use gradloom_ir::{DType, Op, Shape, Value};

pub const PROOFS: &[Proof] = &[
    (
        "dot_general(x, convert(q) * s) = dot_general(x, convert(q)) * s or = dot_general(x * s, convert(q)) where q has 8 bits",
        &[
            form("a scale of axes of the result", "convert dot_general broadcast_in_dim multiply", product),
            form("a scale of contracted axes", "convert broadcast_in_dim multiply dot_general", product),
        ],
    ),
    (
        "convolution(x, convert(q) * s) = convolution(x, convert(q)) * s where q has 8 bits",
        &[form("a scale of features", "convert convolution broadcast_in_dim multiply", |s| {
            let spatial = s.below(3);
            let rank = spatial + 2;
            let [lhs_dims, rhs_dims, out_dims] = [(); 3].map(|()| s.permutation(rank));
            let (groups, each) = (1 + s.below(2), 1 + s.below(2));
            let features = groups * (1 + s.below(2));
            let (mut image, mut window) = (Shape::from_elem(0, rank), Shape::from_elem(0, rank));
            let from = [1 + s.below(2), groups * each].into_iter().chain((0..spatial).map(|_| 3));
            from.zip(&lhs_dims).for_each(|(n, &d)| image[d] = n);
            let from = [features, each].into_iter().chain((0..spatial).map(|i| 1 + i % 2));
            from.zip(&rhs_dims).for_each(|(n, &d)| window[d] = n);
            let dtype = s.pick(&[DType::F32, DType::F64]);
            let x = s.input(dtype, &image);
            let axes: Shape = if s.below(4) == 0 { s.axes(rank) } else { [rhs_dims[0]].into_iter().collect() };
            let w = scaled(s, dtype, &window, &axes);
            let ones = Shape::from_elem(1, spatial);
            let op = Op::Convolution {
                lhs_dims,
                rhs_dims,
                out_dims,
                strides: ones.clone(),
                padding: vec![(1, 0); spatial],
                lhs_dilation: ones.clone(),
                rhs_dilation: ones,
                feature_groups: groups,
                batch_groups: 1,
            };
            s.b.op(op, &[x, w])
        })],
    ),
    (
        "gather(convert(q) * s) = convert(gather(q)) * s where q has 8 bits",
        &[form("a scale of axes that are taken whole", "gather convert broadcast_in_dim multiply", |s| {
            let dtype = s.pick(&[DType::F32, DType::F64]);
            let shape = s.shape([2, 3], 2..=4);
            let row = s.below(shape.len());
            let axes = (0..shape.len()).filter(|&a| a != row && s.below(3) > 0).collect();
            let table = scaled(s, dtype, &shape, &axes);
            let (count, at_front) = (1 + s.below(4), s.flip());
            let at = s.input(DType::I32, &[count]);
            let kept = shape.len() - 1;
            let slice_sizes = (0..shape.len()).map(|a| if a == row { 1 } else { shape[a] - s.below(6) / 5 }).collect();
            let op = Op::Gather {
                offset_dims: if at_front { (0..kept).collect() } else { (1..=kept).collect() },
                collapsed_slice_dims: [row].into_iter().collect(),
                operand_batching_dims: Shape::new(),
                start_indices_batching_dims: Shape::new(),
                start_index_map: [row].into_iter().collect(),
                index_vector_dim: 1,
                slice_sizes,
            };
            s.b.op(op, &[table, at])
        })],
    ),
];

/// `convert(q) * s`, the scale along these axes.
fn scaled(s: &mut Source, dtype: DType, shape: &[usize], axes: &Shape) -> Value {
    let narrow = s.pick(&[DType::I8, DType::U8]);
    let q = s.input(narrow, shape);
    let lengths: Shape = axes.iter().map(|&a| shape[a]).collect();
    let scale = s.input(dtype, &lengths);
    let (wide, scale) = (s.b.convert(q, dtype), s.b.broadcast(scale, shape, axes));
    if s.flip() { s.b.mul(wide, scale) } else { s.b.mul(scale, wide) }
}

/// A product with such a matrix on either side, its scale along any axes.
fn product(s: &mut Source) -> Value {
    let mut p = Product::any(s, 3);
    p.dtype = s.pick(&[DType::F32, DType::F64]);
    let (op, sides) = p.operands(s);
    let (narrow, mut args) = (s.below(2), Vec::new());
    for (side, (dtype, shape)) in sides.into_iter().enumerate() {
        args.push(if side == narrow {
            let axes = s.axes(shape.len());
            scaled(s, dtype, &shape, &axes)
        } else {
            s.input(dtype, &shape)
        });
    }
    s.b.op(op, &args)
}
