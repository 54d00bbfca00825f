//! Elements in other places, and where elements are.

use super::Table;
use gradloom_frontend::{Outside, PadMode, Side, TakeMode, Tensor, Unique, interp};

fn parts(u: Unique) -> Vec<Tensor> {
    vec![u.values, u.indices, u.inverse, u.counts]
}

pub fn cases(t: &mut Table) {
    let modes = [
        ("edge", PadMode::Edge),
        ("reflect", PadMode::Reflect),
        ("symmetric", PadMode::Symmetric),
        ("wrap", PadMode::Wrap),
    ];
    for (name, mode) in modes {
        t.smooth(format!("pad_{name}"), move |a| a[0].pad_with(&[(2, 1), (0, 3)], mode));
        t.smooth(format!("pad_{name}_far"), move |a| a[0].pad_with(&[(7, 8)], mode));
        t.plain(format!("pad_{name}_one"), move |a| a[0].pad_with(&[(2, 3)], mode));
    }
    t.smooth("roll_axes", |a| a[0].roll([1, -2], [0, 1]));
    t.plain("roll_same", |a| a[0].roll(5, [0, 1]));
    t.plain("roll_empty", |a| a[0].roll(5, 0));
    t.smooth("moveaxis", |a| a[0].move_axis([0, 2], [-1, 0]));
    for k in -1..4 {
        t.smooth(format!("rot90_{k}"), move |a| a[0].rot90(k, (0, 1)));
    }
    t.plain("rot90_axes", |a| a[0].rot90(1, (2, 0)));
    for k in [-5, -2, 0, 1, 3, 9] {
        t.smooth(format!("diag_of_{k}"), move |a| a[0].diag_offset(k));
        t.smooth(format!("diag_to_{k}"), move |a| a[0].diag_offset(k));
    }
    t.smooth("diagonal", |a| a[0].diagonal(-1, 2, 0));
    t.smooth("diag_embed", |a| a[0].diag_embed(-1));
    t.smooth("trace", |a| a[0].trace());
    t.smooth("repeat_counts", |a| a[0].repeat_counts(&a[1], 1, 7));
    t.smooth("repeat_counts_more", |a| a[0].repeat_counts(&a[1], 0, 6));
    t.plain("repeat_counts_less", |a| a[0].repeat_counts(&a[1], 0, 3));
    t.many("array_split", |a| a[0].array_split(3, 1));
    t.many("array_split_many", |a| a[0].array_split(5, 0));
    t.plain("atleast_2d", |a| a[0].atleast_2d());
    t.plain("atleast_3d", |a| a[0].atleast_3d());
    t.smooth("kron", |a| a[0].kron(&a[1]));
    t.smooth("kron_ranks", |a| a[0].kron(&a[1]));
    t.smooth("take_wrap", |a| a[0].take_with(&a[1], 1, TakeMode::Wrap));
    t.smooth("take_fill", |a| a[0].take_with(&a[1], 0, TakeMode::Fill(9.0)));
    t.smooth("take_clip", |a| a[0].take_with(&a[1], 0, TakeMode::Clip));

    for (name, side) in [("left", Side::Left), ("right", Side::Right)] {
        for suffix in ["", "_nan", "_one", "_none", "_i32"] {
            t.plain(format!("searchsorted_{name}{suffix}"), move |a| a[0].searchsorted(&a[1], side));
        }
    }
    t.plain("interp", |a| interp(&a[0], &a[1], &a[2], Outside::Nearest));
    t.smooth("interp_smooth", |a| interp(&a[0], &a[1], &a[2], Outside::Nearest));
    t.smooth("interp_points", |a| interp(&a[1], &a[0], &a[2], Outside::Nearest));
    t.smooth("interp_values", |a| interp(&a[1], &a[2], &a[0], Outside::Nearest));
    t.plain("interp_fill", |a| interp(&a[0], &a[1], &a[2], Outside::Fill(-7.0, 8.0)));
    t.smooth("interp_period", |a| interp(&a[0], &a[1], &a[2], Outside::Period(2.5)));
    t.plain("interp_equal", |a| interp(&a[0], &a[1], &a[2], Outside::Nearest));
    t.plain("interp_one_point", |a| interp(&a[0], &a[1], &a[2], Outside::Nearest));
    let histogram = |bins: usize, range: Option<(f64, f64)>| {
        move |a: &[Tensor]| {
            let (counts, edges) = a[0].histogram(bins, range, a.get(1));
            vec![counts, edges]
        }
    };
    t.many("histogram", histogram(5, None));
    t.many("histogram_range", histogram(4, Some((-1.0, 1.0))));
    t.many("histogram_weights", histogram(3, None));
    t.many("histogram_point", histogram(3, None));
    t.plain("bincount", |a| a[0].bincount(None, 5));
    t.plain("bincount_weights", |a| a[0].bincount(Some(&a[1]), 4));
    t.many("unique", |a| parts(a[0].unique(5, None::<f64>)));
    t.many("unique_more", |a| parts(a[0].unique(7, None::<f64>)));
    t.many("unique_fill", |a| parts(a[0].unique(7, Some(9.0))));
    t.many("unique_i32", |a| parts(a[0].unique(4, None::<i32>)));
    t.many("nonzero", |a| a[0].nonzero(5, -1));
    t.many("nonzero_less", |a| a[0].nonzero(2, 0));
    t.many("nonzero_bool", |a| a[0].nonzero(3, 0));
    t.plain("argwhere", |a| a[0].argwhere(4, 7));
}
