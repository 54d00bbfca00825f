//! Where functions have their edges: integers that wrap, conversions out of range, NaN and ties, positions out of range,
//! reading backwards, arrays of no element and of one.

use super::Table;
use gradloom_frontend::prelude::*;
use gradloom_frontend::{ReduceKind, Side, TakeMode, Tensor};

const INTS: [DType; 8] = [DType::I8, DType::I16, DType::I32, DType::I64, DType::U8, DType::U16, DType::U32, DType::U64];

/// 64-bit integers as two words, which text holds exactly.
fn words(x: Tensor) -> Vec<Tensor> {
    match x.dtype() {
        DType::I64 | DType::U64 => {
            let unsigned = x.bitcast(DType::U64);
            let high = x.floor_divide(Tensor::full((), 2.0f64.powi(32), x.dtype()));
            vec![high.to(DType::I32), unsigned.to(DType::U32)]
        }
        _ => vec![x],
    }
}

pub fn integers(t: &mut Table) {
    for dtype in INTS {
        let mut push = |name: &str, f: fn(&[Tensor]) -> Tensor| {
            t.many(format!("{name}_edges_{dtype}"), move |a| words(f(a)));
        };
        push("add", |a| &a[0] + &a[1]);
        push("subtract", |a| &a[0] - &a[1]);
        push("multiply", |a| &a[0] * &a[1]);
        push("maximum", |a| a[0].maximum(&a[1]));
        push("minimum", |a| a[0].minimum(&a[1]));
        push("bitwise_and", |a| &a[0] & &a[1]);
        push("bitwise_xor", |a| &a[0] ^ &a[1]);
        push("div", |a| &a[0] / &a[1]);
        push("rem", |a| &a[0] % &a[1]);
        push("floor_divide", |a| a[0].floor_divide(&a[1]));
        push("remainder", |a| a[0].remainder(&a[1]));
        push("power", |a| a[0].pow(&a[1]));
        push("negate", |a| -&a[0]);
        push("abs", |a| a[0].abs());
        push("sum", |a| a[0].sum(0));
        push("prod", |a| a[0].prod(0));
        push("cumsum", |a| a[0].cumsum(0));
        push("shift_left", |a| a[0].shift_left(&a[1]));
        push("shift_right_logical", |a| a[0].shift_right_logical(&a[1]));
    }
}

pub fn conversions(t: &mut Table) {
    for to in INTS {
        for from in [DType::F32, DType::F64, DType::Bool].into_iter().chain(INTS) {
            t.many(format!("convert_{from}_{to}"), move |a| words(a[0].to(to)));
        }
        t.plain(format!("convert_{to}_bool"), |a| a[0].to(DType::Bool));
        t.plain(format!("convert_{to}_f32"), |a| a[0].to(DType::F32));
    }
    for half in [DType::F16, DType::BF16] {
        t.exact(format!("convert_f32_{half}"), move |a| a[0].to(half));
        t.exact(format!("convert_f64_{half}"), move |a| a[0].to(half));
        t.exact(format!("convert_{half}_f32"), |a| a[0].to(DType::F32));
        t.plain(format!("convert_{half}_i8"), |a| a[0].to(DType::I8));
        t.plain(format!("convert_{half}_u16"), |a| a[0].to(DType::U16));
    }
    t.exact("convert_f64_f32", |a| a[0].to(DType::F32));
    t.plain("convert_f64_bool", |a| a[0].to(DType::Bool));
}

pub fn oddities(t: &mut Table) {
    for dtype in [DType::F64, DType::F32, DType::F16, DType::BF16] {
        let mut exact = |name: &str, f: fn(&[Tensor]) -> Tensor| t.exact(format!("{name}_odd_{dtype}"), f);
        exact("argmax", |a| a[0].argmax(1));
        exact("argmin", |a| a[0].argmin(1));
        exact("argsort", |a| a[0].argsort(1));
        t.exact(format!("argsort_odd_0_{dtype}"), |a| a[0].argsort(0));
        let mut exact = |name: &str, f: fn(&[Tensor]) -> Tensor| t.exact(format!("{name}_odd_{dtype}"), f);
        exact("any", |a| a[0].ne(0.0).any(1));
        exact("all", |a| a[0].ne(0.0).all(1));
        exact("equal", |a| a[0].eq(&a[1]));
        exact("less", |a| a[0].lt(&a[1]));
        exact("greater_equal", |a| a[0].ge(&a[1]));
        exact("not_equal", |a| a[0].ne(&a[1]));
        // of zeros of both signs either may come back
        let mut plain = |name: &str, f: fn(&[Tensor]) -> Tensor| t.plain(format!("{name}_odd_{dtype}"), f);
        plain("max", |a| a[0].max(1));
        plain("min", |a| a[0].min(1));
        plain("sum", |a| a[0].sum(1));
        plain("prod", |a| a[0].prod(1));
        plain("sort", |a| a[0].sort(1));
        plain("cummax", |a| a[0].cummax(1));
        plain("cummin", |a| a[0].flip(1).cummin(1).flip(1));
        plain("maximum", |a| a[0].maximum(&a[1]));
        plain("minimum", |a| a[0].minimum(&a[1]));
        plain("clip", |a| a[0].clip(-1.0, 2.0));
        if dtype.size() > 2 {
            plain("power", |a| a[0].pow(&a[1]));
            plain("divide", |a| &a[0] / &a[1]);
        }
        plain("max_pool", |a| a[0].reduce_window(ReduceKind::Max, &[1, 2], &[1, 1], &Padding::Valid));
        t.many(format!("top_k_odd_{dtype}"), |a| {
            let (values, at) = a[0].top_k(3);
            vec![values, at]
        });
    }
    t.plain("argmax_ties", |a| a[0].argmax(1));
    t.plain("argmin_ties", |a| a[0].argmin(1));
    t.plain("argsort_ties", |a| a[0].argsort(1));
    t.plain("argmax_bool", |a| a[0].argmax(0));
    t.plain("sort_bool", |a| a[0].sort(0));
    t.plain("sort_u8", |a| a[0].sort(0));
    t.many("top_k_ties", |a| {
        let (values, at) = a[0].top_k(4);
        vec![values, at]
    });
}

#[allow(clippy::reversed_empty_ranges)] // backwards, as Python writes it
pub fn positions(t: &mut Table) {
    t.smooth("gather_far", |a| a[0].i(&a[1]));
    t.smooth("gather_far_pair", |a| a[0].i((&a[1], &a[2])));
    t.smooth("gather_far_u8", |a| a[0].i(&a[1]));
    t.smooth("gather_far_i64", |a| a[0].i(&a[1]));
    t.smooth("take_far_fill", |a| a[0].take_with(&a[1], 0, TakeMode::Fill(-5.0)));
    t.smooth("take_far_clip", |a| a[0].take_with(&a[1], 0, TakeMode::Clip));
    t.smooth("take_far_wrap", |a| a[0].take_with(&a[1], 0, TakeMode::Wrap));
    t.smooth("take_along_axis_clip", |a| a[0].take_along_axis(&a[1], 0));
    type Update = fn(&Tensor, &Tensor, &Tensor) -> Tensor;
    let updates: [(&str, Update); 5] = [
        ("set", |x, at, u| x.at(at).set(u)),
        ("add", |x, at, u| x.at(at).add(u)),
        ("multiply", |x, at, u| x.at(at).mul(u)),
        ("min", |x, at, u| x.at(at).min(u)),
        ("max", |x, at, u| x.at(at).max(u)),
    ];
    for (name, update) in updates {
        for what in ["far", "twice", "i8"] {
            t.plain(format!("scatter_{what}_{name}"), move |a| update(&a[0], &a[1], &a[2]));
        }
    }
    t.smooth("scatter_one_set", |a| a[0].at((1, step(.., -1))).set(&a[1]));
    t.smooth("scatter_one_add", |a| a[0].at((1, step(.., -1))).add(&a[1]));
    t.smooth("scatter_one_multiply", |a| a[0].at((1, step(.., -1))).mul(&a[1]));
    t.smooth("scatter_one_min", |a| a[0].at((1, step(.., -1))).min(&a[1]));
    t.smooth("scatter_one_max", |a| a[0].at((1, step(.., -1))).max(&a[1]));
    for at in [(-9, -9), (0, 0), (1, 1), (9, 9), (-1, -1), (2, -2)] {
        let label = format!("{}_{}", at.0, at.1).replace('-', "m");
        t.smooth(format!("dynamic_slice_{label}"), move |a| a[0].dynamic_slice(at, [2, 1]));
        t.smooth(format!("dynamic_update_slice_{label}"), move |a| a[0].dynamic_update_slice(&a[1], at));
    }
    t.smooth("backwards", |a| a[0].i(step(.., -1)));
    t.smooth("backwards_by_2", |a| a[0].i(step(.., -2)));
    t.smooth("backwards_part", |a| a[0].i(step(5..1, -3)));
    t.smooth("backwards_to_front", |a| a[0].i(step(3.., -1)));
    t.plain("backwards_none", |a| a[0].i(step(2..5, -1)));
    t.smooth("backwards_far", |a| a[0].i(step(100..-100, -2)));
    t.smooth("backwards_both", |a| a[0].i((step(.., -1), step(.., -2))));
    t.smooth("backwards_rows_twice", |a| a[0].i(step(.., -1)).i(step(.., -2)));
    t.smooth("flip", |a| a[0].flip(..));
    t.smooth("flip_0", |a| a[0].flip(0));
    t.smooth("backwards_set", |a| a[0].at(step(.., -2)).set(&a[1]));
    t.smooth("backwards_add", |a| a[0].at((.., step(4..0, -2))).add(&a[1]));
}

pub fn nothing_and_one(t: &mut Table) {
    let reductions: [(&str, fn(&Tensor, i64) -> Tensor); 6] = [
        ("sum", |x, axis| x.sum(axis)),
        ("prod", |x, axis| x.prod(axis)),
        ("any", |x, axis| x.ne(0.0).any(axis)),
        ("all", |x, axis| x.ne(0.0).all(axis)),
        ("mean", |x, axis| x.mean(axis)),
        ("std", |x, axis| x.std(axis)),
    ];
    for (name, f) in reductions {
        t.plain(format!("{name}_none"), move |a| f(&a[0], 0));
        t.plain(format!("{name}_one"), move |a| f(&a[0], 0));
        t.plain(format!("{name}_hollow"), move |a| f(&a[0], 1));
    }
    let alike: [(&str, fn(&Tensor, i64) -> Tensor); 4] = [
        ("sort", |x, axis| x.sort(axis)),
        ("argsort", |x, axis| x.argsort(axis)),
        ("cumsum", |x, axis| x.cumsum(axis)),
        ("cumprod", |x, axis| x.cumprod(axis)),
    ];
    for (name, f) in alike {
        t.plain(format!("{name}_none"), move |a| f(&a[0], -1));
        t.plain(format!("{name}_hollow"), move |a| f(&a[0], 1));
        t.plain(format!("{name}_one"), move |a| f(&a[0], -1));
    }
    t.plain("max_one", |a| a[0].max(0));
    t.plain("min_one", |a| a[0].min(0));
    t.plain("argmax_one", |a| a[0].argmax(0));
    t.plain("argmin_one", |a| a[0].argmin(0));
    t.plain("median_one", |a| a[0].median(0));
    t.plain("max_hollow", |a| a[0].max(0));
    t.plain("logsumexp_none", |a| a[0].logsumexp(0));
    t.plain("softmax_hollow", |a| a[0].softmax(1));
    t.plain("softmax_one", |a| a[0].softmax(0));
    t.plain("norm_none", |a| a[0].norm(..));
    t.plain("matmul_none", |a| a[0].matmul(&a[1]));
    t.plain("matmul_no_rows", |a| a[0].matmul(&a[1]));
    t.plain("matmul_one", |a| a[0].matmul(&a[1]));
    t.plain("einsum_none", |a| einsum("bij,bjk->ik", &[&a[0], &a[1]]));
    t.plain("concatenate_none", |a| Tensor::concatenate(&[a[0].clone(), a[1].clone(), a[0].clone()], 0));
    t.plain("reshape_none", |a| a[0].reshape([0, 5]));
    t.plain("transpose_none", |a| a[0].transpose([2, 0, 1]));
    t.plain("pad_none", |a| a[0].pad(&[(1, 2)], 3.0));
    t.plain("flip_none", |a| a[0].flip(..));
    t.plain("gather_none", |a| a[0].i(&a[1]));
    t.plain("scatter_none", |a| a[0].at(&a[1]).add(&a[2]));
    t.many("top_k_none", |a| {
        let (values, at) = a[0].top_k(0);
        vec![values, at]
    });
    t.plain("conv_no_batch", |a| a[0].conv1d(&a[1], &Conv::new().padding(Padding::Same)));
    t.plain("conv_no_channels", |a| a[0].conv1d(&a[1], &Conv::new().padding(Padding::Same)));
    t.many("fft_one", |a| {
        let z = fft::fft(&a[0]);
        vec![z.real(), z.imag(), fft::Fft::over(-1).lengths(&[1]).irfft(&fft::rfft(&a[0]))]
    });
    t.plain("cov_one", |a| a[0].cov(1.0));
    t.plain("det_none", |a| linalg::det(&a[0]));
    t.plain("solve_no_columns", |a| linalg::solve(&a[0], &a[1]));
    t.many("linalg_one", |a| {
        vec![linalg::det(&a[0]), linalg::inv(&a[0]), linalg::svdvals(&a[0]), linalg::eigvalsh(&a[0])]
    });
    t.plain("cholesky_one", |a| linalg::cholesky(&a[0]));
    t.plain("searchsorted_empty", |a| a[0].searchsorted(&a[1], Side::Left));
}
