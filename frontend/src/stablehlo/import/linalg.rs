//! Contractions, Fourier transforms, linear algebra.

use super::super::syntax::Attr;
use super::indexing::parts;
use super::{Call, Lower};
use gradloom_ir::{DType, FftKind, Op, Result, Shape, Transposition, Value, Values};
use smallvec::smallvec;

pub(super) const RULES: &[(&str, Lower)] = &[
    ("dot_general", dot_general),
    ("dot", dot),
    ("convolution", convolution),
    ("fft", fft),
    ("cholesky", |c| {
        let lower = c.flag(&["lower"]);
        c.emit(Op::Cholesky { lower }, 1)
    }),
    ("triangular_solve", triangular_solve),
];

/// Both operands in the wider of their dtypes and the result's, as the product accumulates in the result's dtype.
fn widened(c: &mut Call<'_, '_>, x: Value, y: Value) -> Result<(Value, Value, DType)> {
    let result = c.result(0)?.dtype;
    let (tx, ty) = (c.ty(x).dtype, c.ty(y).dtype);
    let wide = [tx, ty, result].into_iter().max_by_key(|d| d.size()).unwrap_or(result);
    let dtype = if tx == ty && tx.size() >= result.size() { tx } else { wide };
    Ok((c.b().convert(x, dtype), c.b().convert(y, dtype), result))
}

fn dot_general(c: &mut Call<'_, '_>) -> Result<Values> {
    // `contracting_dims = [1] x [0]`
    let sides = |c: &Call<'_, '_>, name: &str| -> Result<(Shape, Shape)> {
        match c.attr(&[name]) {
            None => Ok((Shape::new(), Shape::new())),
            Some(Attr::Cross(sides)) if sides.len() == 2 => {
                Ok((c.to_shape(&c.integers(&sides[0])?)?, c.to_shape(&c.integers(&sides[1])?)?))
            }
            Some(_) => Err(c.error(format!("`{name}` is written [..] x [..]"))),
        }
    };
    let ((lhs_batch, rhs_batch), (lhs_contract, rhs_contract)) = if c.attr(&["dot_dimension_numbers"]).is_some() {
        let p = parts(c, &["dot_dimension_numbers"])?;
        (
            (c.part(p, "lhs_batching_dimensions")?, c.part(p, "rhs_batching_dimensions")?),
            (c.part(p, "lhs_contracting_dimensions")?, c.part(p, "rhs_contracting_dimensions")?),
        )
    } else {
        (sides(c, "batching_dims")?, sides(c, "contracting_dims")?)
    };
    product(c, Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract })
}

pub(super) fn product(c: &mut Call<'_, '_>, op: Op) -> Result<Values> {
    let [x, y] = c.args()?;
    if [x, y].iter().all(|&v| c.ty(v).dtype == DType::Bool) && c.result(0)?.dtype == DType::Bool {
        // whether any pair is true: a count of those that are
        let (x, y) = (c.b().convert(x, DType::I32), c.b().convert(y, DType::I32));
        let z = c.node(op, &[x, y])?[0];
        return Ok(smallvec![c.b().convert(z, DType::Bool)]);
    }
    let (x, y, dtype) = widened(c, x, y)?;
    let z = c.node(op, &[x, y])?[0];
    Ok(smallvec![c.b().convert(z, dtype)])
}

/// The last axis of lhs with the first of rhs.
fn dot(c: &mut Call<'_, '_>) -> Result<Values> {
    let [x, _] = c.args()?;
    let rank = c.ty(x).rank();
    let last = rank.checked_sub(1).ok_or_else(|| c.error("takes vectors or matrices"))?;
    let none = Shape::new();
    product(
        c,
        Op::DotGeneral {
            lhs_batch: none.clone(),
            rhs_batch: none,
            lhs_contract: smallvec![last],
            rhs_contract: smallvec![0],
        },
    )
}

fn triangular_solve(c: &mut Call<'_, '_>) -> Result<Values> {
    let transpose_a = match c.word(&["transpose_a"], 0) {
        None | Some("NO_TRANSPOSE") => Transposition::None,
        Some("TRANSPOSE") => Transposition::Transpose,
        Some("ADJOINT") => Transposition::Adjoint,
        Some(other) => return Err(c.error(format!("`{other}` is no transposition"))),
    };
    let op = Op::TriangularSolve {
        left_side: c.flag(&["left_side"]),
        lower: c.flag(&["lower"]),
        unit_diagonal: c.flag(&["unit_diagonal"]),
        transpose_a,
    };
    // 16-bit floats are solved in f32
    let [a, b] = c.args()?;
    let dtype = c.ty(b).dtype;
    let (a, b) = (c.b().convert(a, dtype.accumulator()), c.b().convert(b, dtype.accumulator()));
    let x = c.node(op, &[a, b])?[0];
    Ok(smallvec![c.b().convert(x, dtype)])
}

fn fft(c: &mut Call<'_, '_>) -> Result<Values> {
    let name = c.word(&["type", "fft_type"], 0).unwrap_or_default();
    let kind = FftKind::from_name(&name.to_ascii_lowercase());
    let kind = kind.ok_or_else(|| c.error(format!("`{name}` is no Fourier transform")))?;
    let lengths = c.shape(&["length", "fft_length"])?;
    c.emit(Op::Fft { kind, lengths }, 1)
}

/// Where the axes named by `first`, `second` and `0, 1, ..` stand in `[b, 0, 1, f]`.
fn layout(c: &Call<'_, '_>, attr: &Attr<'_>, first: &str, second: &str) -> Result<Shape> {
    let Attr::List(names) = attr else { return Err(c.error("dimension numbers are written [b, 0, f]")) };
    let position = |name: &str| names.iter().position(|n| matches!(n, Attr::Word(w) | Attr::Number(w) if *w == name));
    let spatial = names.len().saturating_sub(2);
    let wanted = [first.to_string(), second.to_string()].into_iter().chain((0..spatial).map(|i| i.to_string()));
    let positions: Option<Shape> = wanted.map(|w| position(&w)).collect();
    positions.ok_or_else(|| c.error(format!("dimension numbers should name {first}, {second} and spatial axes")))
}

fn convolution(c: &mut Call<'_, '_>) -> Result<Values> {
    convolution_with(c, None)
}

/// A convolution, with this padding if its attributes do not say it.
pub(super) fn convolution_with(c: &mut Call<'_, '_>, padding: Option<Vec<i64>>) -> Result<Values> {
    let dims = match c.attr(&["dim_numbers", "dimension_numbers"]) {
        Some(Attr::Named(_, others)) => others.first(),
        other => other,
    };
    let Some(Attr::Cross(dims)) = dims else { return Err(c.error("the dimension numbers are missing")) };
    let [lhs, rhs, out] = &dims[..] else { return Err(c.error("dimension numbers are written [..]x[..]->[..]")) };
    let lhs_dims = layout(c, lhs, "b", "f")?;
    let rhs_dims = layout(c, rhs, "o", "i")?;
    let out_dims = layout(c, out, "b", "f")?;
    let n = lhs_dims.len() - 2;
    // `window = {stride = [..], pad = [[..]]}` or attributes of the op
    let entry = |short: &str, long: &str| match c.attr(&["window"]) {
        Some(Attr::Dict(entries)) => entries.iter().find(|(name, _)| *name == short).map(|(_, a)| a),
        _ => c.attr(&[long]),
    };
    let lengths = |short: &str, long: &str, default: usize| -> Result<Shape> {
        match entry(short, long) {
            Some(a) => c.to_shape(&c.integers(a)?),
            None => Ok(Shape::from_elem(default, n)),
        }
    };
    let strides = lengths("stride", "window_strides", 1)?;
    let lhs_dilation = lengths("lhs_dilate", "lhs_dilation", 1)?;
    let rhs_dilation = lengths("rhs_dilate", "rhs_dilation", 1)?;
    let reversal = lengths("reverse", "window_reversal", 0)?;
    let padding = match (padding, entry("pad", "padding")) {
        (Some(padding), _) => padding,
        (None, Some(a)) => c.integers(a)?,
        (None, None) => vec![0; 2 * n],
    };
    if padding.len() != 2 * n || reversal.len() != n {
        return Err(c.error(format!("padding and reversal need entries for {n} axes")));
    }
    let groups = |name: &str| -> Result<usize> {
        match c.ints_if_any(&[name])?.as_deref() {
            None => Ok(1),
            Some(&[g]) => usize::try_from(g).map_err(|_| c.error(format!("`{name}` is negative"))),
            Some(_) => Err(c.error(format!("`{name}` should be one integer"))),
        }
    };
    let op = Op::Convolution {
        feature_groups: groups("feature_group_count")?,
        batch_groups: groups("batch_group_count")?,
        strides,
        padding: padding.chunks_exact(2).map(|p| (p[0], p[1])).collect(),
        lhs_dilation,
        rhs_dilation,
        lhs_dims,
        rhs_dims: rhs_dims.clone(),
        out_dims,
    };
    let turned: Shape = (0..n).filter(|&i| reversal[i] != 0).map(|i| rhs_dims[2 + i]).collect();
    if !turned.is_empty() {
        let [x, k] = c.args()?;
        let k = c.node(Op::Reverse { axes: turned }, &[k])?[0];
        c.args = vec![x, k];
    }
    product(c, op)
}
