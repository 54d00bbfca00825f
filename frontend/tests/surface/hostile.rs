//! The composed functions on arrays that are empty, of no axis or of eight: an error or the right answer, never a panic.

use gradloom_frontend::prelude::*;
use gradloom_frontend::{
    Between, Grid, Outside, Overlap, PadMode, Resize, Side, TakeMode, Tensor, broadcast_arrays, einsum_path, interp,
    meshgrid, polyval, segment_logsumexp, segment_max, segment_mean, segment_prod, segment_softmax, segment_sum,
    where_,
};

type Function = Box<dyn Fn(&Tensor) -> Vec<Tensor>>;

fn one(f: impl Fn(&Tensor) -> Tensor + 'static) -> Function {
    Box::new(move |x| vec![f(x)])
}

/// Every function of the surface with every axis argument in question.
fn functions() -> Vec<Function> {
    let mut all: Vec<Function> = vec![
        one(|x| x.is_nan()),
        one(|x| x.is_inf()),
        one(|x| x.sign_bit()),
        one(|x| x.trunc()),
        one(|x| x.exp2()),
        one(|x| x.log2()),
        one(|x| x.sinc()),
        one(|x| x.round_to(i32::MAX)),
        one(|x| x.nan_to_num()),
        one(|x| x.remainder(x)),
        one(|x| x.floor_divide(0)),
        one(|x| x.hypot(x)),
        one(|x| x.logaddexp(x)),
        one(|x| x.heaviside(1)),
        one(|x| x.copysign(x)),
        one(|x| x.ldexp(i32::MIN)),
        one(|x| x.gcd(x)),
        one(|x| x.lcm(0)),
        one(|x| x.all_close(x, 0.0, 0.0)),
        one(|x| polyval(x, x)),
        one(|x| where_(&x.ne(0), x, x)),
        one(|x| x.vander(3, true)),
        one(|x| x.diag()),
        one(|x| x.diag_offset(i64::MAX)),
        one(|x| x.diag_offset(i64::MIN)),
        one(|x| x.diag_embed(-1)),
        one(|x| x.trace()),
        one(|x| x.atleast_1d()),
        one(|x| x.atleast_2d()),
        one(|x| x.atleast_3d()),
        one(|x| x.kron(x)),
        one(|x| x.kron(&Tensor::from(2))),
        one(|x| x.searchsorted(x, Side::Left)),
        one(|x| interp(x, x, x, Outside::Nearest)),
        one(|x| interp(x, x, x, Outside::Period(0.0))),
        one(|x| interp(x, x, x, Outside::Period(1.0))),
        one(|x| x.histogram(3, None, Some(x)).0),
        one(|x| x.histogram(0, None, None).0),
        one(|x| x.histogram(usize::MAX, Some((0.0, 1.0)), None).1),
        one(|x| x.bincount(Some(x), 0)),
        one(|x| x.bincount(None, usize::MAX)),
        one(|x| x.argwhere(3, i64::MIN)),
        one(|x| x.argwhere(0, 0)),
        one(|x| x.unique(2, Some(0)).values),
        one(|x| x.unique(0, None::<i32>).inverse),
        one(|x| x.unique(usize::MAX, None::<i32>).counts),
        one(|x| x.corrcoef()),
        one(|x| x.cov(f64::NAN)),
        one(|x| x.norm_order(f64::NAN, ..)),
        one(|x| x.norm_order(0.0, ..)),
        one(|x| x.norm_order(f64::NEG_INFINITY, ..)),
        one(|x| x.logsumexp_weighted(x, ..)),
        one(|x| x.quantile(x, .., Between::Nearest)),
        one(|x| x.nanmedian(..)),
        one(|x| x.nanmean(..)),
        one(|x| x.nanmax(..)),
        one(|x| x.nanstd_keepdims(..)),
        one(|x| x.inner(x)),
        one(|x| x.vdot(x)),
        one(|x| x.convolve(x, Overlap::Same)),
        one(|x| x.correlate(x, Overlap::Full)),
        one(|x| x.sq_distances(x)),
        one(|x| x.distances(x)),
        one(|x| x.top_k(1).0),
        one(|x| x.resize([2, 2], Resize::bicubic())),
        one(|x| x.resize(x.shape(), Resize::nearest())),
        one(|x| x.resize(vec![0usize; x.ndim()], Resize::nearest())),
        one(|x| x.resize(vec![0usize; x.ndim()], Resize::lanczos3())),
        one(|x| x.resize(vec![1usize << 60; x.ndim()], Resize::bilinear())),
        one(|x| x.unfold(&[1], &[1], &Padding::Same)),
        one(|x| x.unfold(&[9, 9], &[1], &Padding::Valid)),
        one(|x| x.unfold(&[1 << 30, 1 << 30], &[1], &Padding::Valid)),
        one(|x| x.unfold(&[0], &[0], &Padding::Valid)),
        one(|x| x.fold(&[1], &[1], &[1], &Padding::Valid)),
        one(|x| x.fold(&[1, 1], &[usize::MAX, 3], &[1], &Padding::Valid)),
        one(|x| x.pixel_shuffle(1)),
        one(|x| x.pixel_shuffle(0)),
        one(|x| x.pixel_unshuffle(2)),
        one(|x| x.conv_transpose(x, &Conv::new().strides([0]))),
        one(|x| x.conv_transpose(x, &Conv::new())),
        Box::new(|x| x.nonzero(2, 0)),
        Box::new(|x| meshgrid(&[x, x], Grid::Xy)),
        Box::new(|x| meshgrid(&[x], Grid::Xy)),
        Box::new(|x| broadcast_arrays(&[x, &Tensor::zeros([3, 1])])),
    ];
    for axis in [0, -1, 3, 9, i64::MIN, i64::MAX] {
        all.extend([
            one(move |x| x.roll(i64::MIN, axis)),
            one(move |x| x.roll([1, 2], [axis, 0])),
            one(move |x| x.move_axis(axis, 0)),
            one(move |x| x.rot90(i64::MIN, (axis, 0))),
            one(move |x| x.diagonal(1, axis, 0)),
            one(move |x| x.repeat_counts(&Tensor::from([1, i32::MAX]), axis, 3)),
            one(move |x| x.take_with(&Tensor::from([0, i32::MIN]), axis, TakeMode::Wrap)),
            one(move |x| x.take_with(&Tensor::from([u64::MAX, 1]), axis, TakeMode::Fill(1.0))),
            one(move |x| x.take_with(x, axis, TakeMode::Clip)),
            one(move |x| x.logcumsumexp(axis)),
            one(move |x| x.diff(usize::MAX, axis)),
            one(move |x| x.median(axis)),
            one(move |x| x.average(axis, x)),
            one(move |x| x.average(axis, &Tensor::from([1.0f32, 2.0]))),
            one(move |x| x.var_ddof(axis, 99.0)),
            one(move |x| x.std_ddof(axis, f64::INFINITY)),
            one(move |x| x.norm(axis)),
            one(move |x| x.nansum(axis)),
            one(move |x| x.nanargmin(axis)),
            one(move |x| x.count_nonzero(axis)),
            one(move |x| x.ptp(axis)),
            one(move |x| x.cross(x, axis)),
            one(move |x| x.sort_descending(axis)),
            one(move |x| x.argsort_descending(axis)),
            one(move |x| Tensor::lexsort(&[x, x], axis)),
            Box::new(move |x| x.array_split(3, axis)),
            Box::new(move |x| x.array_split(usize::MAX, axis)),
        ]);
    }
    for mode in [PadMode::Edge, PadMode::Reflect, PadMode::Symmetric, PadMode::Wrap] {
        all.push(one(move |x| x.pad_with(&vec![(1, 2); x.ndim()], mode)));
        all.push(one(move |x| x.pad_with(&[(usize::MAX, 0)], mode)));
    }
    for segments in [0, 2, usize::MAX] {
        for ids in [Tensor::from([5, 0]), Tensor::from([u64::MAX, 1]), Tensor::from([1.0f32]), Tensor::from(1)] {
            let with = |f: fn(&Tensor, &Tensor, usize) -> Tensor| {
                let ids = ids.clone();
                one(move |x| f(x, &ids, segments))
            };
            all.extend([
                with(|x, at, n| segment_sum(x, at, n)),
                with(|x, at, n| segment_prod(x, at, n)),
                with(|x, at, n| segment_max(x, at, n)),
                with(|x, at, n| segment_mean(x, at, n)),
                with(|x, at, n| segment_softmax(x, at, n)),
                with(|x, at, n| segment_logsumexp(x, at, n)),
            ]);
        }
    }
    all
}

#[test]
fn nothing_panics() {
    let shapes: [&[usize]; 8] = [&[], &[0], &[1], &[2], &[0, 3], &[2, 2], &[1, 0, 2, 1], &[1, 2, 1, 1, 2, 1, 1, 2]];
    let mut right = 0;
    for f in functions() {
        for shape in shapes {
            for dtype in [DType::F32, DType::I32, DType::Bool, DType::U8, DType::F16, DType::BF16, DType::C64] {
                for y in f(&Tensor::full(shape, 1, dtype)) {
                    match y.to_f64_vec() {
                        Ok(data) => {
                            right += 1;
                            assert_eq!(data.len(), y.size());
                        }
                        Err(e) => {
                            let text = e.to_string();
                            assert!(text.contains("hostile.rs:") && !text.contains("internal"), "{text}");
                        }
                    }
                }
            }
        }
    }
    assert!(right > 1000, "only {right} results");
}

#[test]
fn errors_go_through() {
    let bad = Tensor::zeros([2]).sum(7);
    for f in functions() {
        for y in f(&bad) {
            let text = y.check().expect_err("an error").to_string();
            assert!(text.contains("axis 7"), "{text}");
        }
    }
    assert!(einsum_path("i->i", &[&bad]).unwrap_err().to_string().contains("axis 7"));
}
