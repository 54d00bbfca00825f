//! Triangular systems. What lies row after row is to the library the transpose: `op(a) x = b` is `x^T op(a)^T = b^T`, so that
//! nothing is laid out anew.

use super::{Array, Linear, Method, Plan, Result, Site, element, run, sizes};
use crate::grid::library::Routine;
use crate::grid::ops::{Operand, load_words, store_words};
use crate::grid::{Build, Memory, Reg};
use gradloom_ir::{Binary, DType, Literal, Transposition};

fn copy(plan: &mut Plan, from: &Array, to: &Array) -> Result<()> {
    let w = from.words();
    run(plan, "copy", &[from, to], from.ty.numel(), |b, params, number| {
        let x = load_words(b, w, params[0], number);
        store_words(b, w, params[1], number, x);
    })
}

/// The triangular system of the matrices at `a`, as the op has it, in place of `b`.
struct System {
    dtype: DType,
    batch: usize,
    /// Of the right-hand sides, as the op has them.
    rows: usize,
    columns: usize,
    left: bool,
    lower: bool,
    op: Transposition,
    unit: bool,
}

impl System {
    fn solve(self, plan: &mut Plan, a: Operand, b: Operand) {
        let what = Method::Solve {
            rows: self.columns,
            columns: self.rows,
            left: !self.left,
            upper: self.lower,
            // op(a)^T is the same op of what lies there
            op: self.op,
            unit: self.unit,
        };
        plan.routine(Routine::Linear(Linear { dtype: self.dtype, batch: self.batch, what }), vec![a, b]);
    }
}

pub(super) fn triangular_solve(site: &Site, left: bool, lower: bool, op: Transposition, unit: bool) -> Result<Plan> {
    let mut plan = Plan::default();
    let (batch, rows, columns) = sizes(&site.args[1]);
    let (b, x) = (Array::arg(site, 1), Array::result(site, 0));
    copy(&mut plan, &b, &x)?;
    let system = System { dtype: b.ty.dtype, batch, rows, columns, left, lower, op, unit };
    system.solve(&mut plan, Operand::Arg(0), x.at);
    Ok(plan)
}

/// The row that element `i` of a permutation of `n` rows names.
fn row(b: &mut Build, permutation: Memory, [matrix, i]: [Reg; 2], n: usize) -> Reg {
    let at = b.place(&[matrix, i], &[n, 1]);
    let row = b.load(permutation, at);
    let [first, last] = [0, n as i64 - 1].map(|x| b.constant(Literal::scalar(DType::I32, x as f64)));
    let row = b.binary(Binary::Max, row, first);
    let row = b.binary(Binary::Min, row, last);
    b.as_index(row)
}

pub(super) fn lu_solve(site: &Site, op: Transposition) -> Result<Plan> {
    let mut plan = Plan::default();
    let (lu, permutation, b, x) = (Operand::Arg(1), Array::arg(site, 2), Array::arg(site, 3), Array::result(site, 0));
    let (batch, n, columns) = sizes(&b.ty);
    let dtype = b.ty.dtype;
    let unit = || System { dtype, batch, rows: n, columns, left: true, lower: true, op, unit: true };
    let upper = || System { lower: false, unit: false, ..unit() };
    let w = b.words();
    if op == Transposition::None {
        run(&mut plan, "permute_rows", &[&b, &permutation, &x], b.ty.numel(), |b, params, number| {
            let point = b.point(number, &[usize::MAX, n, columns]);
            let row = row(b, params[1], [point[0], point[1]], n);
            let at = b.place(&[point[0], row, point[2]], &[n * columns, columns, 1]);
            let element = load_words(b, w, params[0], at);
            store_words(b, w, params[2], number, element);
        })?;
        unit().solve(&mut plan, lu, x.at);
        upper().solve(&mut plan, lu, x.at);
        return Ok(plan);
    }
    // a^T = u^T l^T p
    let y = Array::scratch(&mut plan, dtype, b.ty.numel());
    copy(&mut plan, &Array { at: b.at, ty: y.ty.clone() }, &y)?;
    upper().solve(&mut plan, lu, y.at);
    unit().solve(&mut plan, lu, y.at);
    // rows that nothing goes to are 0
    run(&mut plan, "zeros", &[&x], x.ty.numel(), |b, params, number| {
        let zero = element::zero(b, w);
        store_words(b, w, params[0], number, zero);
    })?;
    run(&mut plan, "permute_rows", &[&y, &permutation, &x], x.ty.numel(), |b, params, number| {
        let point = b.point(number, &[usize::MAX, n, columns]);
        let element = load_words(b, w, params[0], number);
        let row = row(b, params[1], [point[0], point[1]], n);
        let at = b.place(&[point[0], row, point[2]], &[n * columns, columns, 1]);
        store_words(b, w, params[2], at, element);
    })?;
    Ok(plan)
}
