//! Running reductions, statistics, sorting.

use super::Table;
use gradloom_frontend::{Between, Tensor};

pub fn cases(t: &mut Table) {
    t.smooth("cumsum", |a| a[0].cumsum(1));
    t.smooth("cumprod", |a| a[0].cumprod(1));
    t.smooth("cummax", |a| a[0].cummax(0));
    t.smooth("cummin", |a| a[0].cummin(1));
    t.smooth("logcumsumexp", |a| a[0].logcumsumexp(1));
    t.smooth("logcumsumexp_front", |a| a[0].logcumsumexp(0));
    t.plain("logcumsumexp_special", |a| a[0].logcumsumexp(0));
    t.smooth("diff", |a| a[0].diff(1, 0));
    t.smooth("diff_3", |a| a[0].diff(3, 1));
    t.plain("diff_all", |a| a[0].diff(3, 0));
    t.plain("diff_bool", |a| a[0].diff(1, -1));

    let between = [
        ("linear", Between::Linear),
        ("lower", Between::Lower),
        ("higher", Between::Higher),
        ("nearest", Between::Nearest),
        ("midpoint", Between::Midpoint),
    ];
    for (name, between) in between {
        t.plain(format!("quantile_{name}"), move |a| a[0].quantile(&a[1], 1, between).clone());
        t.plain(format!("nanquantile_{name}"), move |a| a[0].nanquantile(0.4, 1, between));
    }
    t.smooth("quantile_smooth", |a| a[0].quantile(0.3, [0, 2], Between::Linear));
    t.plain("quantile_nan", |a| a[0].quantile(0.3, 0, Between::Linear));
    t.smooth("quantile_all", |a| a[0].quantile(Tensor::from_slice([2, 1], &[0.2f64, 0.9]), .., Between::Linear));
    t.smooth("median", |a| a[0].median(0));
    t.smooth("median_even", |a| a[0].median(..));
    t.plain("nanmedian", |a| a[0].nanmedian(1));
    t.smooth("var_ddof", |a| a[0].var_ddof(1, 1.0));
    t.smooth("std_ddof", |a| a[0].std_ddof(.., 1.0));
    t.plain("var_one", |a| a[0].var_ddof(.., 1.0));
    t.smooth("average", |a| a[0].average(1, &a[1]));
    t.smooth("average_full", |a| a[0].average(.., &a[1]));
    t.smooth("cov", |a| a[0].cov(1.0));
    t.smooth("cov_0", |a| a[0].cov(0.0));
    t.smooth("cov_vector", |a| a[0].cov(1.0));
    t.plain("corrcoef", |a| a[0].corrcoef());
    let orders = [("0_0", 0.0), ("1_0", 1.0), ("2_0", 2.0), ("3_0", 3.0), ("0_5", 0.5), ("m1_0", -1.0)];
    for (name, order) in orders.into_iter().chain([("inf", f64::INFINITY), ("minf", f64::NEG_INFINITY)]) {
        t.smooth(format!("norm_{name}"), move |a| a[0].norm_order(order, 1));
    }
    t.smooth("norm", |a| a[0].norm(..));
    t.smooth("logsumexp", |a| a[0].logsumexp(1));
    t.plain("logsumexp_special", |a| a[0].logsumexp(1));
    t.smooth("logsumexp_b", |a| a[0].logsumexp_weighted(&a[1], 1));
    t.plain("logsumexp_b_special", |a| a[0].logsumexp_weighted(&a[1], 1));
    t.smooth("softmax", |a| a[0].softmax(..));
    t.smooth("log_softmax", |a| a[0].log_softmax(0));
    t.plain("nansum", |a| a[0].nansum(1));
    t.plain("nansum_all", |a| a[0].nansum_keepdims(..));
    t.plain("nanprod", |a| a[0].nanprod(1));
    t.plain("nanprod_all", |a| a[0].nanprod_keepdims(..));
    t.plain("nanmean", |a| a[0].nanmean(1));
    t.plain("nanmean_all", |a| a[0].nanmean_keepdims(..));
    t.plain("nanvar", |a| a[0].nanvar(1));
    t.plain("nanvar_all", |a| a[0].nanvar_keepdims(..));
    t.plain("nanstd", |a| a[0].nanstd(1));
    t.plain("nanstd_all", |a| a[0].nanstd_keepdims(..));
    t.plain("nanmax", |a| a[0].nanmax(1));
    t.plain("nanmax_all", |a| a[0].nanmax_keepdims(..));
    t.plain("nanmin", |a| a[0].nanmin(1));
    t.plain("nanmin_all", |a| a[0].nanmin_keepdims(..));
    t.plain("nanargmax", |a| a[0].nanargmax(1));
    t.plain("nanargmin", |a| a[0].nanargmin(1));
    t.plain("count_nonzero", |a| a[0].count_nonzero(0));
    t.smooth("ptp", |a| a[0].ptp(1));
    t.plain("argsort_descending", |a| a[0].argsort_descending(1));
    t.smooth("sort_descending", |a| a[0].sort_descending(0));
    t.plain("lexsort", |a| Tensor::lexsort(&[&a[0], &a[1]], -1));
    t.plain("lexsort_axis", |a| Tensor::lexsort(&[&a[0], &a[1]], 0));
    t.many("top_k", |a| {
        let (values, at) = a[0].top_k(3);
        vec![values, at]
    });
}
