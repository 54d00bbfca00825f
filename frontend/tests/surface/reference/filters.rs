//! Products, segments, images, transposed convolutions.

use super::Table;
use gradloom_frontend::prelude::*;
use gradloom_frontend::{Overlap, Resize, Tensor};
use gradloom_frontend::{
    segment_logsumexp, segment_max, segment_mean, segment_min, segment_prod, segment_softmax, segment_sum,
};

fn crop() -> Padding {
    Padding::Explicit(vec![(-1, 2), (0, -1)])
}

pub fn cases(t: &mut Table) {
    for (name, overlap) in [("full", Overlap::Full), ("same", Overlap::Same), ("valid", Overlap::Valid)] {
        for sizes in ["6_3", "3_6", "5_4", "4_4", "1_3"] {
            t.smooth(format!("convolve_{name}_{sizes}"), move |a| a[0].convolve(&a[1], overlap));
            t.smooth(format!("correlate_{name}_{sizes}"), move |a| a[0].correlate(&a[1], overlap));
        }
    }
    t.plain("convolve_i32", |a| a[0].convolve(&a[1], Overlap::Full));
    t.smooth("inner", |a| a[0].inner(&a[1]));
    t.smooth("vdot", |a| a[0].vdot(&a[1]));
    t.smooth("cross", |a| a[0].cross(&a[1], -1));
    t.smooth("cross_axis", |a| a[0].cross(&a[1], 0));
    t.smooth("cross_2_3", |a| a[0].cross(&a[1], -1));
    t.smooth("cross_3_2", |a| a[0].cross(&a[1], -1));
    t.smooth("cross_2_2", |a| a[0].cross(&a[1], -1));
    t.smooth("tensordot", |a| a[0].tensordot(&a[1], [0, 2], [1, 0]));
    t.smooth("sq_distances", |a| a[0].sq_distances(&a[1]));
    t.smooth("distances", |a| a[0].distances(&a[1]));

    t.smooth("segment_sum", |a| segment_sum(&a[0], &a[1], 4));
    t.smooth("segment_prod", |a| segment_prod(&a[0], &a[1], 4));
    t.plain("segment_max", |a| segment_max(&a[0], &a[1], 4));
    t.plain("segment_min", |a| segment_min(&a[0], &a[1], 4));
    t.plain("segment_max_i32", |a| segment_max(&a[0], &a[1], 4));
    t.plain("segment_min_i32", |a| segment_min(&a[0], &a[1], 4));
    t.smooth("segment_mean", |a| segment_mean(&a[0], &a[1], 4));
    t.plain("segment_logsumexp", |a| segment_logsumexp(&a[0], &a[1], 4));
    t.smooth("segment_softmax", |a| segment_softmax(&a[0], &a[1], 4));

    let kernels = [
        ("nearest", Resize::nearest()),
        ("linear", Resize::bilinear()),
        ("cubic", Resize::bicubic()),
        ("lanczos3", Resize::lanczos3()),
        ("lanczos5", Resize::lanczos5()),
    ];
    for (name, how) in kernels {
        for shape in [[3, 9], [8, 3], [2, 5]] {
            t.smooth(format!("resize_{name}_{}_{}", shape[0], shape[1]), move |a| a[0].resize(shape, how));
        }
        t.smooth(format!("resize_{name}_plain"), move |a| a[0].resize([2, 4], how.plain()));
    }
    t.smooth("unfold", |a| a[0].unfold(&[2, 3], &[1, 2], &Padding::Same));
    t.smooth("unfold_valid", |a| a[0].unfold(&[3], &[2], &Padding::Valid));
    t.smooth("unfold_crop", |a| a[0].unfold(&[2, 2], &[2, 1], &crop()));
    t.smooth("fold", |a| a[0].fold(&[3, 5], &[2, 3], &[1, 2], &Padding::Same));
    t.smooth("fold_valid", |a| a[0].fold(&[8], &[3], &[2], &Padding::Valid));
    t.smooth("fold_crop", |a| a[0].fold(&[4, 4], &[2, 2], &[2, 1], &crop()));
    t.smooth("pixel_shuffle", |a| a[0].pixel_shuffle(2));
    for rank in ["1d", "2d", "3d"] {
        for (name, padding) in [("same", Padding::Same), ("valid", Padding::Valid)] {
            for (stride, dilation) in [(1, 1), (2, 1), (3, 1), (2, 2)] {
                let conv = Conv::new().strides([stride]).dilation([dilation]).padding(padding.clone());
                let call = move |a: &[Tensor]| a[0].conv_transpose(&a[1], &conv);
                t.smooth(format!("conv_transpose_{rank}_{name}_{stride}_{dilation}"), call);
            }
        }
    }
    let explicit = Conv::new().strides([2]).padding(Padding::Explicit(vec![(1, 2)]));
    t.smooth("conv_transpose_explicit", move |a| a[0].conv_transpose(&a[1], &explicit));
}
