//! Dense linear algebra, plainly: every matrix of a batch by itself, in complex f64 whatever the dtype, rounded once at the end.

mod direct;
mod general;
mod matrix;
mod spectral;

use super::strided::{elements, undefined};
use crate::{DType, Literal, Op, Result, Type};
use matrix::{Cx, Matrix};

/// The elements of a float or complex array.
fn read(x: &Literal) -> Vec<Cx> {
    match x.ty().dtype.is_complex() {
        true => x.to_numbers().chunks_exact(2).map(|z| Cx { re: z[0], im: z[1] }).collect(),
        false => x.to_f64().into_iter().map(Cx::real).collect(),
    }
}

/// An array of a float or complex type from its elements.
fn write(ty: &Type, data: &[Cx]) -> Result<Literal> {
    fn of<T: crate::Element>(ty: &Type, data: &[Cx], f: impl Fn(&Cx) -> T) -> Literal {
        Literal::new(&ty.shape, &data.iter().map(f).collect::<Vec<T>>())
    }
    match ty.dtype {
        DType::F32 => Ok(of(ty, data, |x| x.re as f32)),
        DType::F64 => Ok(of(ty, data, |x| x.re)),
        DType::C64 => Ok(of(ty, data, |x| crate::Complex::new(x.re as f32, x.im as f32))),
        DType::C128 => Ok(of(ty, data, |x| crate::Complex::new(x.re, x.im))),
        _ => Err(undefined("linear algebra", ty)),
    }
}

/// Results of one matrix: floats, one list a float result, then integers, one list an integer result.
#[derive(Default)]
struct Parts {
    floats: Vec<Vec<Cx>>,
    ints: Vec<Vec<i32>>,
}

impl Parts {
    fn floats(floats: Vec<Vec<Cx>>) -> Parts {
        Parts { floats, ints: Vec::new() }
    }
}

/// The parts of the operands that belong to one matrix of the batch.
struct Slices<'a> {
    floats: &'a [Vec<Cx>],
    ints: &'a [Vec<i32>],
    args: &'a [Literal],
    at: usize,
    batch: usize,
}

impl Slices<'_> {
    fn floats(&self, i: usize) -> &[Cx] {
        let n = self.floats[i].len() / self.batch;
        &self.floats[i][self.at * n..][..n]
    }

    fn ints(&self, i: usize) -> &[i32] {
        let n = self.ints[i].len() / self.batch;
        &self.ints[i][self.at * n..][..n]
    }

    fn matrix(&self, i: usize) -> Matrix {
        let shape = &self.args[i].ty().shape;
        let (m, n) = (shape[shape.len() - 2], shape[shape.len() - 1]);
        Matrix { m, n, data: self.floats(i).to_vec() }
    }
}

/// Any of the ops of linear algebra, with the result types that its shape rule gave.
pub(super) fn eval(op: &Op, args: &[Literal], results: &[Type]) -> Result<Vec<Literal>> {
    let rank = args[0].ty().rank();
    let batch: usize = args[0].ty().shape[..rank - 2].iter().product();
    let is_int = |x: &&Literal| x.ty().dtype == DType::I32;
    let floats: Vec<Vec<Cx>> = args.iter().map(|x| if is_int(&x) { Vec::new() } else { read(x) }).collect();
    let ints: Vec<Vec<i32>> =
        args.iter().map(|x| if is_int(&x) { elements(x) } else { Ok(Vec::new()) }).collect::<Result<_>>()?;
    let mut all = Parts::default();
    all.floats.resize(results.iter().filter(|t| t.dtype != DType::I32).count(), Vec::new());
    all.ints.resize(results.iter().filter(|t| t.dtype == DType::I32).count(), Vec::new());
    for at in 0..batch {
        let s = Slices { floats: &floats, ints: &ints, args, at, batch };
        let parts = one(op, &s, results)?;
        all.floats.iter_mut().zip(parts.floats).for_each(|(all, part)| all.extend(part));
        all.ints.iter_mut().zip(parts.ints).for_each(|(all, part)| all.extend(part));
    }
    let (mut floats, mut ints) = (all.floats.into_iter(), all.ints.into_iter());
    results
        .iter()
        .map(|ty| match ty.dtype {
            DType::I32 => Ok(Literal::new(&ty.shape, &ints.next().unwrap_or_default())),
            _ => write(ty, &floats.next().unwrap_or_default()),
        })
        .collect()
}

/// One matrix.
fn one(op: &Op, s: &Slices, results: &[Type]) -> Result<Parts> {
    let decomposes = matches!(
        op,
        Op::Lu {}
            | Op::Qr { .. }
            | Op::Svd { .. }
            | Op::Eigh { .. }
            | Op::Eig { .. }
            | Op::Pinv {}
            | Op::Cholesky { .. }
    );
    if decomposes && !used(op, &s.matrix(0)).iter().all(|x| x.is_finite()) {
        return Ok(not_a_number(op, results, s.batch));
    }
    Ok(match op {
        Op::Cholesky { lower } => Parts::floats(vec![direct::cholesky(&s.matrix(0), *lower).data]),
        Op::TriangularSolve { left_side, lower, transpose_a, unit_diagonal } => {
            let a = direct::triangle(&s.matrix(0), *lower, *unit_diagonal);
            Parts::floats(vec![direct::triangular_solve(&a, &s.matrix(1), *left_side, *lower, *transpose_a).data])
        }
        Op::Lu {} => {
            let (lu, pivots, permutation) = direct::lu(s.matrix(0));
            Parts { floats: vec![lu.data], ints: vec![pivots, permutation] }
        }
        Op::LuSolve { transpose_a } => {
            Parts::floats(vec![direct::lu_solve(&s.matrix(1), s.ints(2), &s.matrix(3), *transpose_a).data])
        }
        Op::Qr { full } => {
            let (q, r) = direct::qr(s.matrix(0), *full);
            Parts::floats(vec![q.data, r.data])
        }
        Op::Svd { full, vectors } => {
            let (sigma, u, vt) = spectral::svd(&s.matrix(0), *full && *vectors);
            let sigma = sigma.into_iter().map(Cx::real).collect();
            Parts::floats(if *vectors { vec![sigma, u.data, vt.data] } else { vec![sigma] })
        }
        Op::Eigh { vectors } => {
            let (values, v) = spectral::eigh(&s.matrix(0));
            let values = values.into_iter().map(Cx::real).collect();
            Parts::floats(if *vectors { vec![values, v.data] } else { vec![values] })
        }
        Op::Eig { vectors } => match general::eig(&s.matrix(0)) {
            Some((values, v)) => Parts::floats(if *vectors { vec![values, v.data] } else { vec![values] }),
            None => not_a_number(op, results, s.batch),
        },
        Op::Pinv {} => Parts::floats(vec![spectral::pinv(&s.matrix(0), s.floats(1)[0].re).data]),
        Op::SpectralForm { order } => {
            let count = s.args.len();
            let directions: Vec<Matrix> = (count - order..count).map(|i| s.matrix(i)).collect();
            Parts::floats(vec![spectral::spectral_form(&s.matrix(1), s.floats(2), &directions).data])
        }
        _ => return Err(undefined(op.name(), s.args[0].ty())),
    })
}

/// The elements the op reads.
fn used(op: &Op, a: &Matrix) -> Vec<Cx> {
    match op {
        Op::Cholesky { lower: true } | Op::Eigh { .. } => direct::triangle(a, true, false).data,
        Op::Cholesky { lower: false } => direct::triangle(a, false, false).data,
        _ => a.data.clone(),
    }
}

/// What a decomposition gives for a matrix that is not finite.
fn not_a_number(op: &Op, results: &[Type], batch: usize) -> Parts {
    let mut parts = Parts::default();
    for ty in results {
        let n = ty.numel() / batch;
        match ty.dtype {
            DType::I32 => parts.ints.push((0..n as i32).collect()),
            _ => parts.floats.push(vec![Cx::NAN; n]),
        }
    }
    if let Op::Cholesky { lower } = op
        && let Some(last) = results[0].shape.last()
    {
        let full = Matrix { m: *last, n: *last, data: vec![Cx::NAN; last * last] };
        parts.floats = vec![direct::triangle(&full, *lower, false).data];
    }
    parts
}
