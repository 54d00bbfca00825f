//! Eigenvalues of general matrices: libraries give them in any order, the op by real part, those of one real part up to rounding
//! by imaginary part.

use super::element::{Lines, Number, phases, times};
use super::{
    Array, Linear, Method, Part, Place, Plan, Result, Site, Target, Verdict, element, load, run, sizes, write,
};
use crate::grid::library::Routine;
use crate::grid::ops::load_words;
use crate::grid::{Build, Memory, Reg};
use gradloom_ir::{Binary, Comparison, DType, Literal};

/// Real parts of eigenvalues that differ by less than this part of the greatest count as one.
const SAME_REAL_PART: f64 = 1e-5;

pub(super) fn eig(site: &Site) -> Result<Plan> {
    let mut plan = Plan::default();
    let (batch, n, _) = sizes(&site.args[0]);
    let (dtype, complex) = (site.args[0].dtype, site.results[0].dtype);
    let wants_vectors = site.results.len() == 2;
    let verdict = Verdict::new(&mut plan, batch)?;
    let place = Place::by_columns(n, n);
    let a = load(&mut plan, &Array::arg(site, 0), Part::All, place, batch * n * n, &verdict)?;
    let (verdict, info) = verdict.with_info(&mut plan, batch);
    let values = Array::scratch(&mut plan, complex, batch * n);
    let vectors = Array::scratch(&mut plan, dtype, if wants_vectors { batch * n * n } else { 0 });
    let what = Method::Eig { n, vectors: wants_vectors };
    let buffers = vec![a.at, values.at, vectors.at, info.at];
    plan.routine(Routine::Linear(Linear { dtype, batch, what }), buffers);
    let order = order(&mut plan, &values, batch, n)?;
    let w = values.words();
    write(&mut plan, &Target::vectors(site, 0), &verdict, &[&values, &order], |b, params, [matrix, _, i]| {
        let from = source(b, params[1], [matrix, i], n);
        let at = b.place(&[matrix, from], &[n, 1]);
        load_words(b, w, params[0], at)
    })?;
    if wants_vectors {
        let vectors = if dtype == complex { vectors } else { joined(&mut plan, &vectors, &values, batch, n)? };
        let lines = Lines { matrices: batch, count: n, n, element: 1, line: n, matrix: n * n };
        let signs = phases(&mut plan, &vectors, lines, true)?;
        let sources = [&vectors, &signs, &order];
        write(&mut plan, &Target::matrices(site, 1), &verdict, &sources, |b, params, [matrix, i, j]| {
            let from = source(b, params[2], [matrix, j], n);
            let at = place.at(b, matrix, i, from);
            let x = load_words(b, w, params[0], at);
            let at = b.place(&[matrix, from], &[n, 1]);
            let sign = load_words(b, w, params[1], at);
            times(b, &x, &sign)
        })?;
    }
    Ok(plan)
}

/// Which value stands at a position. Where an iteration has found no numbers there is no order: any value will do.
fn source(b: &mut Build, order: Memory, [matrix, i]: [Reg; 2], n: usize) -> Reg {
    let at = b.place(&[matrix, i], &[n, 1]);
    let from = b.load(order, at);
    let from = b.as_index(from);
    let last = b.index(n as i64 - 1);
    b.binary(Binary::Min, from, last)
}

/// The eigenvectors of real matrices as complex numbers: of a conjugate pair two columns hold the real and the imaginary part.
fn joined(plan: &mut Plan, columns: &Array, values: &Array, batch: usize, n: usize) -> Result<Array> {
    let whole = Array::scratch(plan, values.ty.dtype, batch * n * n);
    let (w, w_values) = (whole.words(), values.words());
    run(plan, "join_pairs", &[columns, values, &whole], batch * n * n, |b, params, number| {
        let point = b.point(number, &[batch, n, n]);
        let (matrix, column, i) = (point[0], point[1], point[2]);
        let at = b.place(&[matrix, column], &[n, 1]);
        let value = load_words(b, w_values, params[1], at);
        let zero = b.constant(Literal::scalar(w.dtype, 0.0));
        let (first, second) = (b.compare(Comparison::Gt, value[1], zero), b.compare(Comparison::Lt, value[1], zero));
        // the columns of the parts: its own where it is real or the first of a pair, the one before where it is the second
        let (before, after) = (b.plus(column, -1), b.plus(column, 1));
        let of_real = b.select(second, before, column);
        let of_imaginary = b.select(first, after, column);
        let [re, im] = [of_real, of_imaginary].map(|column| {
            let at = b.place(&[matrix, column, i], &[n * n, n, 1]);
            b.load(params[0], at)
        });
        let minus = element::negated(b, im);
        let im = b.select(second, minus, im);
        let paired = b.either(first, second);
        let im = b.select(paired, im, zero);
        let z: Number = [re, im].into_iter().collect();
        crate::grid::ops::store_words(b, w, params[2], number, z);
    })?;
    Ok(whole)
}

/// For each position the value that stands there: i32.
///
/// A value's rank by real part is how many come before it. In that order, neighbours whose real parts are one up to rounding are
/// a group; a value comes behind those of its group with a smaller imaginary part.
fn order(plan: &mut Plan, values: &Array, batch: usize, n: usize) -> Result<Array> {
    let w = values.words();
    let by_real = Array::scratch(plan, DType::I32, batch * n);
    let order = Array::scratch(plan, DType::I32, batch * n);
    let read = move |b: &mut Build, from: Memory, matrix: Reg, i: Reg| {
        let at = b.place(&[matrix, i], &[n, 1]);
        load_words(b, w, from, at)
    };
    // puts value `number` where `rank` says
    let put = move |b: &mut Build, to: Memory, matrix: Reg, rank: Reg, value: Reg| {
        let at = b.place(&[matrix, rank], &[n, 1]);
        let value = b.converted(value, DType::I32);
        b.store(to, at, value);
    };
    run(plan, "rank_real_parts", &[values, &by_real], batch * n, |b, params, number| {
        let point = b.point(number, &[batch, n]);
        let (matrix, own) = (point[0], point[1]);
        let x = read(b, params[0], matrix, own);
        let zero = b.index(0);
        let rank = b.variable(zero);
        b.times_over(n, |b, i| {
            let y = read(b, params[0], matrix, i);
            let before = precedes(b, (y[0], i), (x[0], own));
            b.when(before, |b| {
                let next = b.plus(rank, 1);
                b.assign(rank, next);
            });
        });
        put(b, params[1], matrix, rank, own);
    })?;
    run(plan, "rank_in_groups", &[values, &by_real, &order], batch * n, |b, params, number| {
        let point = b.point(number, &[batch, n]);
        let (matrix, position) = (point[0], point[1]);
        let own = source(b, params[1], [matrix, position], n);
        let x = read(b, params[0], matrix, own);
        let zero = b.constant(Literal::scalar(w.dtype, 0.0));
        let greatest = b.variable(zero);
        b.times_over(n, |b, i| {
            let y = read(b, params[0], matrix, i);
            let size = element::square(b, &y);
            let most = b.binary(Binary::Max, greatest, size);
            b.assign(greatest, most);
        });
        let share = b.constant(Literal::scalar(w.dtype, SAME_REAL_PART));
        let greatest = element::root(b, greatest);
        let gap = b.binary(Binary::Mul, greatest, share);
        // the group's first position, and how many of the group come before this one: groups are walked over in order, and a
        // count begins anew where one begins, until the value's own has ended
        let first = b.index(0);
        let (start, rank) = (b.variable(first), b.variable(first));
        let before = b.variable(x[0]);
        let done = b.truth(false);
        let done = b.variable(done);
        b.times_over(n, |b, i| {
            let other = source(b, params[1], [matrix, i], n);
            let y = read(b, params[0], matrix, other);
            let step = b.binary(Binary::Sub, y[0], before);
            b.assign(before, y[0]);
            let far = b.compare(Comparison::Gt, step, gap);
            let at_first = b.compare(Comparison::Eq, i, first);
            let begins = b.either(far, at_first);
            let behind = b.compare(Comparison::Gt, i, position);
            b.when(begins, |b| {
                let ended = b.either(done, behind);
                b.assign(done, ended);
                let open = b.negated(done);
                b.when(open, |b| {
                    b.assign(start, i);
                    b.assign(rank, first);
                });
            });
            let precedes = precedes(b, (y[1], i), (x[1], position));
            let open = b.negated(done);
            let counts = b.both(precedes, open);
            b.when(counts, |b| {
                let next = b.plus(rank, 1);
                b.assign(rank, next);
            });
        });
        let rank = b.binary(Binary::Add, start, rank);
        put(b, params[2], matrix, rank, own);
    })?;
    Ok(order)
}

/// Whether a number with its position comes before another.
fn precedes(b: &mut Build, (x, i): (Reg, Reg), (y, j): (Reg, Reg)) -> Reg {
    let less = b.compare(Comparison::Lt, x, y);
    let same = b.compare(Comparison::Eq, x, y);
    let earlier = b.compare(Comparison::Lt, i, j);
    let tie = b.both(same, earlier);
    b.either(less, tie)
}
