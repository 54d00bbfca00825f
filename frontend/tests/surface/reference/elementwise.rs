//! Elementwise functions, and arrays made from nothing.

use super::Table;
use gradloom_frontend::prelude::*;
use gradloom_frontend::{Grid, Tensor, broadcast_arrays, meshgrid, polyval};

pub fn cases(t: &mut Table) {
    t.plain("isnan", |a| a[0].is_nan());
    t.plain("isinf", |a| a[0].is_inf());
    t.plain("isfinite", |a| a[0].is_finite());
    t.plain("isposinf", |a| a[0].is_pos_inf());
    t.plain("isneginf", |a| a[0].is_neg_inf());
    t.plain("signbit", |a| a[0].sign_bit());
    t.exact("trunc", |a| a[0].trunc());
    t.exact("rint", |a| a[0].rint());
    t.plain("nan_to_num", |a| a[0].nan_to_num());
    t.plain("nan_to_num_with", |a| a[0].nan_to_num_with(7.0, 8.0, 9.0));
    t.plain("nan_to_num_i32", |a| a[0].nan_to_num());
    t.smooth("exp2", |a| a[0].exp2());
    t.smooth("deg2rad", |a| a[0].deg2rad());
    t.smooth("rad2deg", |a| a[0].rad2deg());
    t.smooth("sinc", |a| a[0].sinc());
    t.smooth("sinc_near_zero", |a| a[0].sinc());
    t.smooth("reciprocal", |a| a[0].reciprocal());
    t.smooth("log2", |a| a[0].log2());
    t.smooth("log10", |a| a[0].log10());
    t.smooth("cbrt", |a| a[0].cbrt());
    t.plain("round_to", |a| a[0].round_to(1));
    for suffix in ["", "_i32", "_u8"] {
        t.plain(format!("fmod{suffix}"), |a| a[0].fmod(&a[1]));
        t.plain(format!("remainder{suffix}"), |a| a[0].remainder(&a[1]));
        t.plain(format!("floor_divide{suffix}"), |a| a[0].floor_divide(&a[1]));
        t.many(format!("divmod{suffix}"), |a| {
            let (q, r) = a[0].divmod(&a[1]);
            vec![q, r]
        });
    }
    t.smooth("remainder_smooth", |a| a[0].remainder(&a[1]));
    t.smooth("hypot", |a| a[0].hypot(&a[1]));
    t.plain("hypot_special", |a| a[0].hypot(&a[1]));
    t.smooth("logaddexp", |a| a[0].logaddexp(&a[1]));
    t.smooth("logaddexp2", |a| a[0].logaddexp2(&a[1]));
    t.plain("logaddexp_special", |a| a[0].logaddexp(&a[1]));
    t.plain("heaviside", |a| a[0].heaviside(&a[1]));
    t.exact("copysign", |a| a[0].copysign(&a[1]));
    t.plain("ldexp", |a| a[0].ldexp(&a[1]));
    t.plain("gcd", |a| a[0].gcd(&a[1]));
    t.plain("lcm", |a| a[0].lcm(&a[1]));
    t.plain("isclose", |a| a[0].is_close(&a[1], 1e-5, 1e-8));
    t.plain("allclose", |a| a[0].all_close(&a[1], 0.1, 0.0));
    t.smooth("polyval", |a| polyval(&a[0], &a[1]));
    t.smooth("polyval_long", |a| polyval(&a[0], &a[1]));
    t.plain("polyval_empty", |a| polyval(&a[0], &a[1]));
    t.plain("where", |a| where_(&a[0], &a[1], &a[2]));
    t.many("broadcast_arrays", |a| broadcast_arrays(&[&a[0], &a[1]]));

    t.plain("arange_down", |_| Tensor::arange_from(5.0, -3.0, -1.5, DType::F64));
    t.plain("arange_i32", |_| Tensor::arange_from(-3.0, 9.0, 4.0, DType::I32));
    t.plain("linspace", |_| Tensor::linspace_as(-2.0, 3.0, 7, DType::F64));
    t.plain("linspace_open", |_| Tensor::linspace_open(-2.0, 3.0, 5));
    t.plain("linspace_one", |_| Tensor::linspace(-2.0, 3.0, 1));
    t.plain("logspace", |_| Tensor::logspace(-2.0, 3.0, 6));
    t.plain("geomspace", |_| Tensor::geomspace(-1.0, -1000.0, 7));
    t.plain("tri", |_| Tensor::tri(3, 5, 1));
    t.smooth("vander", |a| a[0].vander(4, false));
    t.smooth("vander_increasing", |a| a[0].vander(3, true));
    t.plain("vander_none", |a| a[0].vander(0, false));
    t.many("meshgrid_xy", |a| meshgrid(&[&a[0], &a[1], &a[2]], Grid::Xy));
    t.many("meshgrid_ij", |a| meshgrid(&[&a[0], &a[1]], Grid::Ij));
}
