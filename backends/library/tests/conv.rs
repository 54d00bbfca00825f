use super::{Random, assert_close, run, wrapped};
use gradloom_ir::{DType, Literal, Op, Shape, Type, conv_geometry, row_major_strides};

/// The definition, element by element.
fn naive(op: &Op, l: &Literal, r: &Literal) -> Literal {
    let Op::Convolution {
        lhs_dims,
        rhs_dims,
        out_dims,
        strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        feature_groups,
        batch_groups,
    } = op
    else {
        panic!()
    };
    let g = conv_geometry(op, l.ty(), r.ty()).unwrap();
    let (ls, rs, os) =
        (row_major_strides(&l.ty().shape), row_major_strides(&r.ty().shape), row_major_strides(&g.out.shape));
    let (lv, rv) = (l.to_f64(), r.to_f64());
    let taps: usize = g.rhs_spatial.iter().product();
    let mut bytes = Vec::new();
    for at in 0..g.out.numel() {
        let c = |d: usize| at / os[out_dims[d]] % g.out.shape[out_dims[d]];
        let (b, o) = (c(0), c(1));
        let fg = o / (g.out_features / feature_groups);
        let bg = o / (g.out_features / batch_groups);
        let batch = b + bg * (g.batch / batch_groups);
        let (mut sum, mut exact) = (0.0, 0i128);
        for i in 0..g.group_features {
            'tap: for t in 0..taps {
                let mut li = batch * ls[lhs_dims[0]] + (fg * g.group_features + i) * ls[lhs_dims[1]];
                let mut ri = o * rs[rhs_dims[0]] + i * rs[rhs_dims[1]];
                let mut rest = t;
                for d in (0..strides.len()).rev() {
                    let w = rest % g.rhs_spatial[d];
                    rest /= g.rhs_spatial[d];
                    ri += w * rs[rhs_dims[2 + d]];
                    let h = (c(2 + d) * strides[d] + w * rhs_dilation[d]) as i64 - padding[d].0;
                    if h < 0 || h % lhs_dilation[d] as i64 != 0 || h as usize / lhs_dilation[d] >= g.lhs_spatial[d] {
                        continue 'tap;
                    }
                    li += h as usize / lhs_dilation[d] * ls[lhs_dims[2 + d]];
                }
                sum += lv[li] * rv[ri];
                exact += lv[li] as i128 * rv[ri] as i128;
            }
        }
        bytes.extend(wrapped(g.out.dtype, sum, exact));
    }
    Literal::from_bytes(g.out, bytes).unwrap()
}

#[track_caller]
fn check(op: &Op, l: &Type, r: &Type, rng: &mut Random) {
    let (l, r) = (rng.literal(l), rng.literal(r));
    let what = format!("{op:?} on {} and {}", l.ty(), r.ty());
    let terms = (r.ty().numel() as f64).sqrt().clamp(1.0, 100.0);
    let tolerance = if l.ty().dtype == DType::F32 { 2e-6 } else { 1e-14 };
    assert_close(&run(op, &[l.clone(), r.clone()])[0], &naive(op, &l, &r), tolerance * terms, &what);
}

fn s(x: &[usize]) -> Shape {
    Shape::from_slice(x)
}

fn conv(dims: [[usize; 4]; 3], strides: usize, padding: (i64, i64), dilation: [usize; 2], groups: [usize; 2]) -> Op {
    Op::Convolution {
        lhs_dims: s(&dims[0]),
        rhs_dims: s(&dims[1]),
        out_dims: s(&dims[2]),
        strides: s(&[strides; 2]),
        padding: vec![padding; 2],
        lhs_dilation: s(&[dilation[0]; 2]),
        rhs_dilation: s(&[dilation[1]; 2]),
        feature_groups: groups[0],
        batch_groups: groups[1],
    }
}

const NHWC: [usize; 4] = [0, 3, 1, 2];
const HWIO: [usize; 4] = [3, 2, 0, 1];
const NCHW: [usize; 4] = [0, 1, 2, 3];

#[test]
fn layers_and_their_gradients() {
    let mut rng = Random::new(1);
    let f = |s: &[usize]| Type::new(DType::F32, s);
    // Sizes that need several blocks, tasks and splits.
    for (b, hw, i, o) in [(5, 14, 32, 16), (9, 28, 1, 8), (3, 9, 7, 5), (2, 6, 130, 20)] {
        let (x, w, y) = (f(&[b, hw, hw, i]), f(&[3, 3, i, o]), f(&[b, hw, hw, o]));
        check(&conv([NHWC, HWIO, NHWC], 1, (1, 1), [1, 1], [1, 1]), &x, &w, &mut rng);
        check(&conv([NHWC, [2, 3, 0, 1], NHWC], 1, (1, 1), [1, 1], [1, 1]), &y, &w, &mut rng);
        check(&conv([[3, 0, 1, 2], [3, 0, 1, 2], [2, 3, 0, 1]], 1, (1, 1), [1, 1], [1, 1]), &x, &y, &mut rng);
        let (x, w, y) = (f(&[b, i, hw, hw]), f(&[o, i, 3, 3]), f(&[b, o, hw, hw]));
        check(&conv([NCHW, NCHW, NCHW], 1, (1, 1), [1, 1], [1, 1]), &x, &w, &mut rng);
        check(&conv([NCHW, [1, 0, 2, 3], NCHW], 1, (1, 1), [1, 1], [1, 1]), &y, &w, &mut rng);
        let kernel = conv([[1, 0, 2, 3], [1, 0, 2, 3], [1, 0, 2, 3]], 1, (1, 1), [1, 1], [1, 1]);
        check(&kernel, &x, &y, &mut rng);
    }
}

/// Sizes at the edges of vectors, strips, blocks of rows and runs of channels, with the features in any place.
#[test]
fn channels_side_by_side() {
    let mut rng = Random::new(11);
    let f = |s: &[usize]| Type::new(DType::F32, s);
    for (b, hw, i, o) in [(3, 5, 8, 8), (2, 7, 9, 17), (2, 6, 13, 33), (1, 9, 16, 50), (2, 4, 10, 112), (40, 5, 11, 64)]
    {
        for (stride, pad, dilation) in
            [(1, (1, 1), [1, 1]), (2, (0, 2), [1, 1]), (1, (2, 1), [2, 1]), (1, (2, 2), [1, 2])]
        {
            let (x, w) = (f(&[b, hw, hw, i]), f(&[3, 2, i, o]));
            let layer = conv([NHWC, HWIO, NHWC], stride, pad, dilation, [1, 1]);
            check(&layer, &x, &w, &mut rng);
            check(&conv([NHWC, HWIO, NCHW], stride, pad, dilation, [1, 1]), &x, &w, &mut rng);
            check(&conv([NHWC, NCHW, NHWC], stride, pad, dilation, [1, 1]), &x, &f(&[o, i, 3, 2]), &mut rng);
            let y = conv_geometry(&layer, &x, &w).unwrap().out;
            let kernel = conv([[3, 0, 1, 2], [3, 0, 1, 2], [2, 3, 0, 1]], 1, pad, [dilation[0], stride], [1, 1]);
            check(&kernel, &x, &y, &mut rng);
        }
        let (x, w) = (f(&[b, hw, hw, 3 * i]), f(&[2, 3, i, 3 * o]));
        check(&conv([NHWC, HWIO, NHWC], 1, (1, 1), [1, 1], [3, 1]), &x, &w, &mut rng);
        let (x, w) = (f(&[2 * b, hw, hw, i]), f(&[2, 3, i, 2 * o]));
        check(&conv([NHWC, HWIO, NHWC], 1, (1, 1), [1, 1], [1, 2]), &x, &w, &mut rng);
    }
}

#[test]
fn strided_dilated_valid_and_pointwise() {
    let mut rng = Random::new(2);
    for dtype in [DType::F32, DType::F64, DType::I32, DType::U8] {
        let t = |s: &[usize]| Type::new(dtype, s);
        for (stride, pad, dilation) in [
            (2, (0, 1), [1, 1]),
            (1, (2, 2), [2, 1]),
            (3, (2, 2), [1, 2]),
            (2, (3, 1), [3, 2]),
            (1, (-1, -2), [1, 1]),
            (1, (0, 0), [1, 1]),
        ] {
            check(
                &conv([NHWC, HWIO, NHWC], stride, pad, dilation, [1, 1]),
                &t(&[3, 11, 9, 6]),
                &t(&[3, 2, 6, 4]),
                &mut rng,
            );
        }
        check(&conv([NHWC, HWIO, NHWC], 1, (0, 0), [1, 1], [1, 1]), &t(&[4, 12, 12, 16]), &t(&[1, 1, 16, 8]), &mut rng);
        check(&conv([NHWC, HWIO, NHWC], 2, (0, 0), [1, 1], [1, 1]), &t(&[4, 12, 12, 16]), &t(&[1, 1, 16, 8]), &mut rng);
    }
}

#[test]
fn groups_and_depthwise() {
    let mut rng = Random::new(3);
    for dtype in [DType::F32, DType::I16] {
        let t = |s: &[usize]| Type::new(dtype, s);
        let same = |g: [usize; 2], dims| conv(dims, 1, (1, 1), [1, 1], g);
        let nhwc = [NHWC, HWIO, NHWC];
        check(&same([24, 1], nhwc), &t(&[6, 10, 10, 24]), &t(&[3, 3, 1, 24]), &mut rng);
        check(&same([24, 1], nhwc), &t(&[2, 5, 6, 24]), &t(&[3, 3, 1, 48]), &mut rng);
        check(&same([12, 1], nhwc), &t(&[2, 5, 6, 24]), &t(&[3, 3, 2, 24]), &mut rng);
        check(&same([2, 1], nhwc), &t(&[2, 5, 6, 24]), &t(&[3, 3, 12, 14]), &mut rng);
        check(&same([8, 1], [NCHW; 3]), &t(&[2, 8, 6, 7]), &t(&[8, 1, 3, 3]), &mut rng);
        // The kernel gradient of a depthwise layer.
        let dims = [[3, 0, 1, 2], [3, 0, 1, 2], [2, 3, 0, 1]];
        check(&same([1, 24], dims), &t(&[6, 10, 10, 24]), &t(&[6, 10, 10, 24]), &mut rng);
        check(&same([1, 3], nhwc), &t(&[6, 5, 4, 4]), &t(&[3, 3, 4, 9]), &mut rng);
    }
}

/// Numbers of groups at the edges of vectors, layers with their gradients, one and several features a group.
#[test]
fn groups_side_by_side() {
    let mut rng = Random::new(12);
    let cases = [(8, 3, 5), (9, 1, 6), (15, 2, 4), (16, 3, 7), (17, 2, 5), (33, 2, 4), (50, 1, 9), (64, 40, 5)];
    for (dtype, (c, b, hw)) in [DType::F32, DType::F64].into_iter().flat_map(|d| cases.map(|c| (d, c))) {
        let t = |s: &[usize]| Type::new(dtype, s);
        for (stride, pad, dilation) in
            [(1, (1, 1), [1, 1]), (2, (0, 2), [1, 1]), (1, (2, 1), [2, 1]), (1, (2, 2), [1, 2])]
        {
            let x = t(&[b, hw, hw, c]);
            for features in [1, 3] {
                let w = t(&[3, 2, 1, features * c]);
                check(&conv([NHWC, HWIO, NHWC], stride, pad, dilation, [c, 1]), &x, &w, &mut rng);
            }
            let layer = conv([NHWC, HWIO, NHWC], stride, pad, dilation, [c, 1]);
            let y = conv_geometry(&layer, &x, &t(&[3, 2, 1, c])).unwrap().out;
            let kernel = conv([[3, 0, 1, 2], [3, 0, 1, 2], [2, 3, 0, 1]], 1, pad, [dilation[0], stride], [1, c]);
            check(&kernel, &x, &y, &mut rng);
        }
    }
}

/// To few features, and the gradient by such a kernel: channels at the edges of vectors, features in any place, groups.
#[test]
fn few_features() {
    let mut rng = Random::new(13);
    let cases =
        [(8, 1, 3, 5), (9, 2, 2, 6), (15, 7, 1, 7), (16, 1, 4, 9), (20, 3, 2, 5), (33, 1, 30, 6), (40, 5, 2, 4)];
    for (dtype, (i, o, b, hw)) in [DType::F32, DType::F64].into_iter().flat_map(|d| cases.map(|c| (d, c))) {
        let t = |s: &[usize]| Type::new(dtype, s);
        for (stride, pad, dilation) in
            [(1, (1, 1), [1, 1]), (2, (0, 2), [1, 1]), (1, (2, 1), [2, 1]), (1, (2, 2), [1, 2])]
        {
            let (x, w) = (t(&[b, hw, hw, i]), t(&[3, 2, i, o]));
            let layer = conv([NHWC, HWIO, NHWC], stride, pad, dilation, [1, 1]);
            check(&layer, &x, &w, &mut rng);
            check(&conv([NHWC, HWIO, NCHW], stride, pad, dilation, [1, 1]), &x, &w, &mut rng);
            check(&conv([NHWC, NCHW, NHWC], stride, pad, dilation, [1, 1]), &x, &t(&[o, i, 3, 2]), &mut rng);
            let y = conv_geometry(&layer, &x, &w).unwrap().out;
            let kernel = conv([[3, 0, 1, 2], [3, 0, 1, 2], [2, 3, 0, 1]], 1, pad, [dilation[0], stride], [1, 1]);
            check(&kernel, &x, &y, &mut rng);
        }
        let (x, w) = (t(&[b, hw, hw, 3 * i]), t(&[2, 3, i, 3 * o]));
        check(&conv([NHWC, HWIO, NHWC], 1, (1, 1), [1, 1], [3, 1]), &x, &w, &mut rng);
    }
}

#[test]
fn empty_sizes_give_empty_results_or_zeros() {
    let mut rng = Random::new(4);
    for (x, w) in [
        ([0, 4, 4, 2], [3, 3, 2, 3]),
        ([2, 4, 4, 0], [3, 3, 0, 3]),
        ([2, 0, 4, 2], [3, 3, 2, 3]),
        ([2, 4, 4, 2], [3, 3, 2, 0]),
    ] {
        let op = conv([NHWC, HWIO, NHWC], 1, (1, 1), [1, 1], [1, 1]);
        check(&op, &Type::new(DType::F32, &x), &Type::new(DType::F32, &w), &mut rng);
    }
}

#[test]
fn random_attributes() {
    let mut rng = Random::new(5);
    let mut done = 0;
    while done < 500 {
        let spatial = rng.below(4);
        let rank = spatial + 2;
        let mut dims = [0; 3].map(|_| {
            let mut d: Vec<usize> = (0..rank).collect();
            rng.shuffle(&mut d);
            d
        });
        let (fg, bg) = rng.pick(&[(1, 1), (1, 1), (2, 1), (3, 1), (1, 2), (1, 3), (9, 1), (1, 9)]);
        let (batch, gf) = (bg * (1 + rng.below(3)), 1 + rng.below(4));
        let features = fg * bg * (1 + rng.below(3));
        let (mut ls, mut rs) = (vec![0; rank], vec![0; rank]);
        ls[dims[0][0]] = batch;
        ls[dims[0][1]] = gf * fg;
        rs[dims[1][0]] = features;
        rs[dims[1][1]] = gf;
        let mut attr = |n: usize| -> Shape { (0..spatial).map(|_| 1 + rng.below(n)).collect() };
        let (strides, lhs_dilation, rhs_dilation) = (attr(3), attr(3), attr(2));
        let mut padding = Vec::new();
        for d in 0..spatial {
            ls[dims[0][2 + d]] = 1 + rng.below(7);
            rs[dims[1][2 + d]] = 1 + rng.below(4);
            padding.push((rng.range(-2, 3), rng.range(-2, 3)));
        }
        let [a, b, c] = &mut dims;
        let op = Op::Convolution {
            lhs_dims: s(a),
            rhs_dims: s(b),
            out_dims: s(c),
            strides,
            padding,
            lhs_dilation,
            rhs_dilation,
            feature_groups: fg,
            batch_groups: bg,
        };
        let dtype = rng.pick(&[DType::F32, DType::F64, DType::I8, DType::I64]);
        check(&op, &Type::new(dtype, &ls), &Type::new(dtype, &rs), &mut rng);
        done += 1;
    }
}
