//! Linear algebra, matrix after matrix of a batch. Libraries count columns first and work in place, so operands are laid out
//! into scratch memory before, and results are read out of it after.
//!
//! A matrix with an element that is not finite never reaches an iteration: it is handed over as zeros, and a flag on the machine
//! says that its results are not numbers. Where a library finds that there is no result, it says so in memory of the machine as
//! well, which the kernels after it read: nobody waits for it.

mod decompose;
mod element;
mod factor;
mod forms;
mod general;
mod solve;
mod spectral;

use super::{Plan, Site};
use crate::grid::ops::{Operand, Words, each, load_words, store_words, words};
use crate::grid::{Build, Memory, Reg, Source, Stmt};
use crate::kernel::Inst;
use element::Number;
use gradloom_ir::{Binary, Comparison, DType, Error, Literal, Op, ReduceKind, Result, Transposition, Type, Unary};

/// Matrices of at most this order are worked on side by side, where a library has a form of that: larger ones fill the machine
/// by themselves.
pub const SMALL: usize = 256;

/// What is done with each matrix of a batch. Matrices lie column after column, one after the other.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Linear {
    /// f32, f64, c64 or c128.
    pub dtype: DType,
    /// How many.
    pub batch: usize,
    /// What.
    pub what: Method,
}

/// What is done with a matrix, and the buffers that it is done on. `info` is an i32 a matrix: not 0 where there is no result.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Method {
    /// On `a`, `info`: the upper (or lower) triangle of `a` becomes U of `a = U^H U` (L of `a = L L^H`).
    Cholesky {
        /// The order.
        n: usize,
        /// Which triangle.
        upper: bool,
    },
    /// On `a`, `b`: `b` becomes the solution of `op(a) x = b`, or of `x op(a) = b`.
    Solve {
        /// Rows of `b`.
        rows: usize,
        /// Columns of `b`.
        columns: usize,
        /// Whether `a` stands on the left.
        left: bool,
        /// Which triangle of `a` is read.
        upper: bool,
        /// What `op` is.
        op: Transposition,
        /// Whether the diagonal of `a` counts as ones.
        unit: bool,
    },
    /// On `a`, `pivots`, `info`: `a` becomes its factors; pivots are i64, counted from 1. A singular matrix has factors, too.
    Lu {
        /// Rows of `a`.
        rows: usize,
        /// Columns of `a`.
        columns: usize,
    },
    /// As [`Method::Lu`], of many square matrices; pivots are i32.
    SmallLu {
        /// The order.
        n: usize,
    },
    /// On `a`, `tau`, `info`: `a` becomes R, and reflections below it.
    Qr {
        /// Rows of `a`.
        rows: usize,
        /// Columns of `a`.
        columns: usize,
        /// Elements from a matrix to the next.
        stride: usize,
    },
    /// On `a`, `tau`, `info`, as [`Method::Qr`] has left them: `a` becomes the first columns of Q.
    Q {
        /// Rows of `a`.
        rows: usize,
        /// Columns of Q.
        columns: usize,
        /// How many reflections there are.
        reflections: usize,
        /// Elements from a matrix to the next.
        stride: usize,
    },
    /// On `a`, `values`, `info`: the eigenvalues of the Hermitian matrix whose lower triangle `a` holds, ascending; `a` becomes
    /// the eigenvectors, or anything.
    Eigh {
        /// The order.
        n: usize,
        /// Whether eigenvectors are wanted.
        vectors: bool,
    },
    /// On `a`, `values`, `u`, `vh`, `info`: the singular values, descending, and the vectors; `a` becomes anything. Without
    /// vectors `u` and `vh` are not touched.
    Svd {
        /// Rows of `a`, no fewer than columns.
        rows: usize,
        /// Columns of `a`.
        columns: usize,
        /// Which vectors are wanted.
        vectors: Vectors,
    },
    /// On `a`, `values`, `vectors`, `info`: the eigenvalues, complex, in any order; `a` becomes anything. Of a real matrix conjugate
    /// pairs stand together, the one with the positive imaginary part first, and their two columns of vectors are the real and
    /// the imaginary part of the first's.
    Eig {
        /// The order.
        n: usize,
        /// Whether eigenvectors are wanted; else `vectors` is not touched.
        vectors: bool,
    },
}

/// Which singular vectors are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Vectors {
    /// None.
    No,
    /// As many as there are singular values.
    Thin,
    /// A whole basis on both sides.
    Full,
}

impl Method {
    /// The op that it is the work of, by name.
    pub fn name(&self) -> &'static str {
        match self {
            Method::Cholesky { .. } => "cholesky",
            Method::Solve { .. } => "triangular_solve",
            Method::Lu { .. } | Method::SmallLu { .. } => "lu",
            Method::Qr { .. } | Method::Q { .. } => "qr",
            Method::Eigh { .. } => "eigh",
            Method::Svd { .. } => "svd",
            Method::Eig { .. } => "eig",
        }
    }

    /// Whether it never waits for the machine: an iteration may look at how far it has come.
    pub(super) fn is_queued(&self) -> bool {
        !matches!(self, Method::Eigh { .. } | Method::Svd { .. } | Method::Eig { .. })
    }
}

/// Plans any op of linear algebra.
pub(super) fn linear(site: &Site) -> Result<Option<Plan>> {
    if site.results.iter().all(|t| t.numel() == 0) {
        return Ok(Some(Plan::default()));
    }
    // libraries count in 32 bits
    let large = |t: &&Type| t.shape.iter().any(|&n| i32::try_from(n).is_err()) || i32::try_from(sizes(t).0).is_err();
    if let Some(t) = site.args.iter().filter(|t| t.rank() >= 2).find(large) {
        let what = format!("{t}: libraries take batches, rows and columns below 2^31");
        return Err(Error::limit(site.op.name(), what).help("cut the batch into parts"));
    }
    Ok(Some(match site.op {
        Op::Cholesky { lower } => factor::cholesky(site, *lower)?,
        Op::TriangularSolve { left_side, lower, transpose_a, unit_diagonal } => {
            solve::triangular_solve(site, *left_side, *lower, *transpose_a, *unit_diagonal)?
        }
        Op::Lu {} => factor::lu(site)?,
        Op::LuSolve { transpose_a } => solve::lu_solve(site, *transpose_a)?,
        Op::Qr { .. } => decompose::qr(site)?,
        Op::Eigh { .. } => spectral::eigh(site)?,
        Op::Svd { .. } => spectral::svd(site)?,
        Op::Eig { .. } => general::eig(site)?,
        Op::Pinv {} => forms::pinv(site)?,
        Op::SpectralForm { order } if *order <= forms::MOST_ORDER => forms::spectral_form(site, *order)?,
        _ => return Ok(None),
    }))
}

/// Batch, rows and columns of an operand or result.
fn sizes(t: &Type) -> (usize, usize, usize) {
    let rank = t.rank();
    (t.shape[..rank - 2].iter().product(), t.shape[rank - 2], t.shape[rank - 1])
}

/// An array of a plan: where it is and what it holds.
#[derive(Clone)]
struct Array {
    at: Operand,
    ty: Type,
}

impl Array {
    fn arg(site: &Site, i: usize) -> Array {
        Array { at: Operand::Arg(i), ty: site.args[i].clone() }
    }

    fn result(site: &Site, i: usize) -> Array {
        Array { at: Operand::Result(i), ty: site.results[i].clone() }
    }

    /// Scratch memory for so many elements.
    fn scratch(plan: &mut Plan, dtype: DType, len: usize) -> Array {
        let ty = Type::new(dtype, &[len]);
        Array { at: plan.take(ty.bytes()), ty }
    }

    fn words(&self) -> Words {
        words(&self.ty)
    }
}

/// Adds a kernel with a thread for each of `count` points; `body` gets the arrays as the kernel's params.
fn run(
    plan: &mut Plan,
    name: &str,
    arrays: &[&Array],
    count: usize,
    body: impl FnOnce(&mut Build, &[Memory], Reg),
) -> Result<()> {
    let types: Vec<&Type> = arrays.iter().map(|a| &a.ty).collect();
    let params: Vec<Memory> = (0..arrays.len() as u32).map(Memory::Param).collect();
    let kernel = each(name, &types, count, |b, number| body(b, &params, number))?;
    plan.kernel(kernel, arrays.iter().map(|a| a.at).collect());
    Ok(())
}

/// What is known of the matrices of a batch: of each, whether it was finite and whether the library found a result.
struct Verdict {
    flags: Array,
    info: Option<Array>,
}

impl Verdict {
    /// All are good so far.
    fn new(plan: &mut Plan, batch: usize) -> Result<Verdict> {
        let flags = Array::scratch(plan, DType::I32, batch);
        run(plan, "clear_flags", &[&flags], batch, |b, params, number| {
            let zero = b.constant(Literal::scalar(DType::I32, 0.0));
            b.store(params[0], number, zero);
        })?;
        Ok(Verdict { flags, info: None })
    }

    /// Memory for what the library says of each.
    fn with_info(mut self, plan: &mut Plan, batch: usize) -> (Verdict, Array) {
        let info = Array::scratch(plan, DType::I32, batch);
        self.info = Some(info.clone());
        (self, info)
    }
}

/// Which elements of a matrix count; the others are 0.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    /// A triangle of a Hermitian matrix: its diagonal is real.
    Lower,
    Upper,
}

impl Part {
    /// Whether the element in row `i` and column `j` does; `None` if all do.
    fn holds(self, b: &mut Build, i: Reg, j: Reg) -> Option<Reg> {
        match self {
            Part::All => None,
            Part::Lower => Some(b.compare(Comparison::Ge, i, j)),
            Part::Upper => Some(b.compare(Comparison::Le, i, j)),
        }
    }
}

/// Where elements of matrices lie.
#[derive(Clone, Copy)]
struct Place {
    /// Elements from a row to the next, from a column to the next, from a matrix to the next.
    row: usize,
    column: usize,
    matrix: usize,
}

impl Place {
    fn by_rows(rows: usize, columns: usize) -> Place {
        Place { row: columns, column: 1, matrix: rows * columns }
    }

    fn by_columns(rows: usize, columns: usize) -> Place {
        Place { row: 1, column: rows, matrix: rows * columns }
    }

    fn at(self, b: &mut Build, matrix: Reg, i: Reg, j: Reg) -> Reg {
        b.place(&[matrix, i, j], &[self.matrix, self.row, self.column])
    }
}

/// Copies the part of an operand that counts to scratch memory of `len` elements, and flags matrices that are not finite, which
/// become zeros.
fn load(plan: &mut Plan, from: &Array, part: Part, to: Place, len: usize, verdict: &Verdict) -> Result<Array> {
    let (_, rows, columns) = sizes(&from.ty);
    let copy = Array::scratch(plan, from.ty.dtype, len);
    let w = from.words();
    run(plan, "load_matrix", &[from, &verdict.flags, &copy], from.ty.numel(), |b, params, number| {
        let point = b.point(number, &[usize::MAX, rows, columns]);
        let (matrix, i, j) = (point[0], point[1], point[2]);
        let read = load_words(b, w, params[0], number);
        let zero = element::zero(b, w);
        let mut x: Number = match part.holds(b, i, j) {
            None => read,
            Some(holds) => element::select(b, holds, &read, &zero),
        };
        if part != Part::All && x.len() == 2 {
            let on_diagonal = b.compare(Comparison::Eq, i, j);
            x[1] = b.select(on_diagonal, zero[1], x[1]);
        }
        let finite: Vec<Reg> =
            x.iter().map(|&x| b.set(DType::Bool, Source::Scalar(Inst::Unary(Unary::IsFinite, x)))).collect();
        let finite = finite.into_iter().reduce(|p, q| b.binary(Binary::And, p, q)).unwrap_or(number);
        let bad = b.negated(finite);
        b.when(bad, |b| {
            let one = b.constant(Literal::scalar(DType::I32, 1.0));
            b.push(Stmt::Atomic { kind: ReduceKind::Max, to: params[1], at: matrix, value: one });
        });
        let x = element::select(b, finite, &x, &zero);
        let at = to.at(b, matrix, i, j);
        store_words(b, w, params[2], at, x);
    })?;
    Ok(copy)
}

/// A result that is written.
struct Target {
    array: Array,
    /// Which elements of its matrices are not 0; `None` if it holds vectors.
    part: Option<Part>,
}

impl Target {
    fn vectors(site: &Site, i: usize) -> Target {
        Target { array: Array::result(site, i), part: None }
    }

    fn matrices(site: &Site, i: usize) -> Target {
        Target::triangles(site, i, Part::All)
    }

    fn triangles(site: &Site, i: usize, part: Part) -> Target {
        Target { array: Array::result(site, i), part: Some(part) }
    }
}

/// Writes a result of the op: `value` gives each element from the sources, given its matrix, row and column (of vectors: 0 and
/// the element); where a matrix has no result it is NaN, of integers the element's own position.
fn write(
    plan: &mut Plan,
    to: &Target,
    verdict: &Verdict,
    sources: &[&Array],
    value: impl FnOnce(&mut Build, &[Memory], [Reg; 3]) -> Number,
) -> Result<()> {
    let ty = &to.array.ty;
    let columns = ty.shape[ty.rank() - 1];
    let rows = if to.part.is_some() { ty.shape[ty.rank() - 2] } else { 1 };
    let mut arrays: Vec<&Array> = sources.to_vec();
    arrays.push(&verdict.flags);
    arrays.extend(verdict.info.as_ref());
    arrays.push(&to.array);
    let (w, n) = (to.array.words(), sources.len());
    run(plan, "write_result", &arrays, ty.numel(), |b, params, number| {
        let point = b.point(number, &[usize::MAX, rows, columns]);
        let x = value(b, params, [point[0], point[1], point[2]]);
        let none = b.constant(Literal::scalar(DType::I32, 0.0));
        let mut bad = b.truth(false);
        for &said in &params[n..params.len() - 1] {
            let code = b.load(said, point[0]);
            let is_bad = b.compare(Comparison::Ne, code, none);
            bad = b.either(bad, is_bad);
        }
        let without: Number = if w.dtype == DType::I32 {
            std::iter::once(b.converted(point[2], DType::I32)).collect()
        } else {
            let nan = b.constant(Literal::scalar(w.dtype, f64::NAN));
            x.iter().map(|_| nan).collect()
        };
        let mut x = element::select(b, bad, &without, &x);
        if let Some(holds) = to.part.and_then(|part| part.holds(b, point[1], point[2])) {
            let zero = element::zero(b, w);
            x = element::select(b, holds, &x, &zero);
        }
        store_words(b, w, params[params.len() - 1], number, x);
    })
}

/// Writes the identity: the basis of nothing.
fn identity(plan: &mut Plan, to: &Array) -> Result<()> {
    let (_, rows, columns) = sizes(&to.ty);
    let w = to.words();
    run(plan, "identity", &[to], to.ty.numel(), |b, params, number| {
        let point = b.point(number, &[usize::MAX, rows, columns]);
        let on_diagonal = b.compare(Comparison::Eq, point[1], point[2]);
        let zero = element::zero(b, w);
        let mut one = zero.clone();
        one[0] = b.constant(Literal::scalar(w.dtype, 1.0));
        let x = element::select(b, on_diagonal, &one, &zero);
        store_words(b, w, params[0], number, x);
    })
}
