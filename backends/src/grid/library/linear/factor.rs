//! Factorisations with triangles on both sides: Cholesky, LU.

use super::{Array, Linear, Method, Part, Place, Plan, Result, SMALL, Site, Target, Verdict, load, run, sizes, write};
use crate::grid::library::Routine;
use crate::grid::ops::load_words;
use gradloom_ir::{Binary, DType, Literal};

/// What lies row after row is to the library the transpose, which of a Hermitian matrix is its conjugate: the lower triangle is
/// its upper one, and `conj(a) = u^H u` is `a = l l^H` with the `l` that lies there row after row.
pub(super) fn cholesky(site: &Site, lower: bool) -> Result<Plan> {
    let mut plan = Plan::default();
    let (batch, n, _) = sizes(&site.args[0]);
    let verdict = Verdict::new(&mut plan, batch)?;
    let part = if lower { Part::Lower } else { Part::Upper };
    let by_rows = Place::by_rows(n, n);
    let a = load(&mut plan, &Array::arg(site, 0), part, by_rows, batch * n * n, &verdict)?;
    let (verdict, info) = verdict.with_info(&mut plan, batch);
    let dtype = site.args[0].dtype;
    let what = Method::Cholesky { n, upper: lower };
    plan.routine(Routine::Linear(Linear { dtype, batch, what }), vec![a.at, info.at]);
    let w = a.words();
    write(&mut plan, &Target::triangles(site, 0, part), &verdict, &[&a], |b, params, [matrix, i, j]| {
        let at = by_rows.at(b, matrix, i, j);
        load_words(b, w, params[0], at)
    })?;
    Ok(plan)
}

pub(super) fn lu(site: &Site) -> Result<Plan> {
    let mut plan = Plan::default();
    let (batch, m, n) = sizes(&site.args[0]);
    let k = m.min(n);
    let verdict = Verdict::new(&mut plan, batch)?;
    let permutation = Array::result(site, 2);
    run(&mut plan, "iota", &[&permutation], permutation.ty.numel(), |b, params, number| {
        let point = b.point(number, &[usize::MAX, m]);
        let i = b.converted(point[1], DType::I32);
        b.store(params[0], number, i);
    })?;
    if k == 0 {
        return Ok(plan);
    }
    let by_columns = Place::by_columns(m, n);
    let a = load(&mut plan, &Array::arg(site, 0), Part::All, by_columns, batch * m * n, &verdict)?;
    let info = Array::scratch(&mut plan, DType::I32, batch);
    let (what, counted) = match batch > 1 && m == n && n <= SMALL {
        true => (Method::SmallLu { n }, DType::I32),
        false => (Method::Lu { rows: m, columns: n }, DType::I64),
    };
    let pivots = Array::scratch(&mut plan, counted, batch * k);
    let routine = Routine::Linear(Linear { dtype: site.args[0].dtype, batch, what });
    plan.routine(routine, vec![a.at, pivots.at, info.at]);
    let w = a.words();
    write(&mut plan, &Target::matrices(site, 0), &verdict, &[&a], |b, params, [matrix, i, j]| {
        let at = by_columns.at(b, matrix, i, j);
        load_words(b, w, params[0], at)
    })?;
    let own_pivots = Target::vectors(site, 1);
    write(&mut plan, &own_pivots, &verdict, &[&pivots], |b, params, [matrix, _, i]| {
        let at = b.place(&[matrix, i], &[k, 1]);
        let pivot = b.load(params[0], at);
        let one = b.constant(Literal::scalar(counted, 1.0));
        let pivot = b.binary(Binary::Sub, pivot, one);
        [b.converted(pivot, DType::I32)].into_iter().collect()
    })?;
    // rows are exchanged one after the other
    run(&mut plan, "exchange_rows", &[&own_pivots.array, &permutation], batch, |b, params, matrix| {
        b.times_over(k, |b, i| {
            let at = b.place(&[matrix, i], &[k, 1]);
            let pivot = b.load(params[0], at);
            let pivot = b.as_index(pivot);
            let places = [b.place(&[matrix, i], &[m, 1]), b.place(&[matrix, pivot], &[m, 1])];
            let rows = places.map(|at| b.load(params[1], at));
            b.store(params[1], places[0], rows[1]);
            b.store(params[1], places[1], rows[0]);
        });
    })?;
    Ok(plan)
}
