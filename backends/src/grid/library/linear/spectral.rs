//! Eigenvalues of Hermitian matrices, singular values.

use super::element::{Lines, Number, conjugate, phases, times};
use super::{
    Array, Linear, Method, Part, Place, Plan, Result, Site, Target, Vectors, Verdict, identity, load, sizes, write,
};
use crate::grid::library::Routine;
use crate::grid::ops::load_words;
use crate::grid::{Build, Memory, Reg};
use gradloom_ir::{Binary, Comparison, Literal};

/// Writes the values, an array of so many a matrix.
fn write_values(plan: &mut Plan, site: &Site, values: &Array, count: usize, verdict: &Verdict) -> Result<()> {
    write(plan, &Target::vectors(site, 0), verdict, &[values], |b, params, [matrix, _, i]| {
        let at = b.place(&[matrix, i], &[count, 1]);
        [b.load(params[0], at)].into_iter().collect()
    })
}

pub(super) fn eigh(site: &Site) -> Result<Plan> {
    let mut plan = Plan::default();
    let (batch, n, _) = sizes(&site.args[0]);
    let dtype = site.args[0].dtype;
    let vectors = site.results.len() == 2;
    let verdict = Verdict::new(&mut plan, batch)?;
    let place = Place::by_columns(n, n);
    let a = load(&mut plan, &Array::arg(site, 0), Part::Lower, place, batch * n * n, &verdict)?;
    let (verdict, info) = verdict.with_info(&mut plan, batch);
    let values = Array::scratch(&mut plan, dtype.real(), batch * n);
    let what = Method::Eigh { n, vectors };
    plan.routine(Routine::Linear(Linear { dtype, batch, what }), vec![a.at, values.at, info.at]);
    write_values(&mut plan, site, &values, n, &verdict)?;
    if vectors {
        let lines = Lines { matrices: batch, count: n, n, element: 1, line: n, matrix: n * n };
        let signs = phases(&mut plan, &a, lines, false)?;
        let w = a.words();
        write(&mut plan, &Target::matrices(site, 1), &verdict, &[&a, &signs], |b, params, [matrix, i, j]| {
            let at = place.at(b, matrix, i, j);
            let x = load_words(b, w, params[0], at);
            let at = b.place(&[matrix, j], &[n, 1]);
            let sign = load_words(b, w, params[1], at);
            times(b, &x, &sign)
        })?;
    }
    Ok(plan)
}

/// The left vectors of a matrix, or the right ones, in the library's memory: vector `j` has its elements `element` apart.
pub(super) struct Basis {
    pub array: Array,
    /// How many, and of what length.
    count: usize,
    n: usize,
    element: usize,
    line: usize,
}

impl Basis {
    fn lines(&self, matrices: usize) -> Lines {
        let (count, n) = (self.count, self.n);
        Lines { matrices, count, n, element: self.element, line: self.line, matrix: count * n }
    }

    pub fn at(&self, b: &mut Build, matrix: Reg, vector: Reg, element: Reg) -> Reg {
        b.place(&[matrix, vector, element], &[self.count * self.n, self.line, self.element])
    }
}

/// A decomposition as the library has left it.
pub(super) struct Parts {
    pub values: Array,
    /// Columns of u.
    pub left: Basis,
    /// Rows of v^H.
    pub right: Basis,
}

/// Decomposes the first operand, which has rows and columns.
pub(super) fn decomposed(plan: &mut Plan, site: &Site, vectors: Vectors, verdict: Verdict) -> Result<(Parts, Verdict)> {
    let (batch, m, n) = sizes(&site.args[0]);
    let dtype = site.args[0].dtype;
    // a wide matrix is decomposed as what lies there, its transpose: a^T = u' s v'^H is a = conj(v') s u'^T
    let is_wide = m < n;
    let (rows, columns) = (m.max(n), m.min(n));
    let place = if is_wide { Place::by_rows(m, n) } else { Place::by_columns(m, n) };
    let a = load(plan, &Array::arg(site, 0), Part::All, place, batch * m * n, &verdict)?;
    let (verdict, info) = verdict.with_info(plan, batch);
    let values = Array::scratch(plan, dtype.real(), batch * columns);
    let of_u = if vectors == Vectors::Full { rows } else { columns };
    let len = |of: usize| if vectors == Vectors::No { 0 } else { batch * of };
    let u = Array::scratch(plan, dtype, len(rows * of_u));
    let vh = Array::scratch(plan, dtype, len(columns * columns));
    let what = Method::Svd { rows, columns, vectors };
    let buffers = vec![a.at, values.at, u.at, vh.at, info.at];
    plan.routine(Routine::Linear(Linear { dtype, batch, what }), buffers);
    let long = Basis { array: u, count: of_u, n: rows, element: 1, line: rows };
    let short = Basis { array: vh, count: columns, n: columns, element: columns, line: 1 };
    let (left, right) = if is_wide { (short, long) } else { (long, short) };
    Ok((Parts { values, left, right }, verdict))
}

pub(super) fn svd(site: &Site) -> Result<Plan> {
    let mut plan = Plan::default();
    let (batch, m, n) = sizes(&site.args[0]);
    let k = m.min(n);
    let vectors = match site.results {
        [_] => Vectors::No,
        [_, u, vh] if sizes(u).2 == k && sizes(vh).1 == k => Vectors::Thin,
        _ => Vectors::Full,
    };
    if k == 0 {
        for i in 1..site.results.len() {
            identity(&mut plan, &Array::result(site, i))?;
        }
        return Ok(plan);
    }
    let verdict = Verdict::new(&mut plan, batch)?;
    let (Parts { values, left, right }, verdict) = decomposed(&mut plan, site, vectors, verdict)?;
    write(&mut plan, &Target::vectors(site, 0), &verdict, &[&values], |b, params, [matrix, _, i]| {
        let at = b.place(&[matrix, i], &[k, 1]);
        let x = b.load(params[0], at);
        let zero = b.constant(Literal::scalar(values.ty.dtype, 0.0));
        [b.binary(Binary::Max, x, zero)].into_iter().collect()
    })?;
    if vectors == Vectors::No {
        return Ok(plan);
    }
    let signs = phases(&mut plan, &left.array, left.lines(batch), false)?;
    let w = left.array.words();
    write(&mut plan, &Target::matrices(site, 1), &verdict, &[&left.array, &signs], |b, params, [matrix, i, j]| {
        let at = left.at(b, matrix, j, i);
        let x = load_words(b, w, params[0], at);
        let at = b.place(&[matrix, j], &[left.count, 1]);
        let sign = load_words(b, w, params[1], at);
        times(b, &x, &sign)
    })?;
    // rows beyond the values are multiplied by phases of their own, the others by the conjugates of the left ones
    let own = phases(&mut plan, &right.array, right.lines(batch), false)?;
    let sources = [&right.array, &signs, &own];
    write(&mut plan, &Target::matrices(site, 2), &verdict, &sources, |b, params, [matrix, i, j]| {
        let at = right.at(b, matrix, i, j);
        let x = load_words(b, w, params[0], at);
        let sign = sign_of_row(b, [params[1], params[2]], [matrix, i], [left.count, right.count], k, w);
        times(b, &x, &sign)
    })?;
    Ok(plan)
}

/// The factor of a row of `v^H`.
fn sign_of_row(
    b: &mut Build,
    [left, own]: [Memory; 2],
    [matrix, i]: [Reg; 2],
    [of_left, of_own]: [usize; 2],
    k: usize,
    w: crate::grid::ops::Words,
) -> Number {
    let at = b.place(&[matrix, i], &[of_own, 1]);
    let sign = load_words(b, w, own, at);
    let sign: Number = sign.iter().map(|&x| b.variable(x)).collect();
    let end = b.index(k as i64);
    let is_paired = b.compare(Comparison::Lt, i, end);
    b.when(is_paired, |b| {
        let at = b.place(&[matrix, i], &[of_left, 1]);
        let paired = load_words(b, w, left, at);
        let paired = conjugate(b, paired);
        sign.iter().zip(paired).for_each(|(&s, x)| b.assign(s, x));
    });
    sign
}
