//! Sliding windows.

use super::super::import::combine::binary_of;
use super::reduction::{combined, neutral};
use super::writer::{Region, Writer, array, pairs};
use gradloom_ir::{
    Comparison, DType, Error, Literal, Op, ReduceKind, Result, ScatterKind, Shape, Type, Value, Values, WindowGeometry,
};
use smallvec::smallvec;

/// The attributes of a windowed op.
pub(super) struct Window {
    pub(super) lengths: Shape,
    pub(super) padding: Vec<(i64, i64)>,
    strides: Shape,
    base_dilation: Shape,
    dilation: Shape,
}

pub(super) fn lower(w: &mut Writer, op: &Op, args: &[Value], ty: &Type) -> Result<Values> {
    match op {
        Op::ReduceWindow { kind, .. } => {
            let geometry = WindowGeometry::new(op, w.ty(args[0]))?;
            Window::new(&geometry).reduce(w, *kind, args[0], ty)
        }
        Op::SelectAndGather { kind, .. } => {
            let [x, key] = [args[0], args[1]];
            let geometry = WindowGeometry::new(op, w.ty(key))?;
            let best = Window::new(&geometry).winners(w, *kind, key, Some(x), &ty.shape)?;
            Ok(smallvec![best[2]])
        }
        Op::SelectAndScatter { kind, .. } => {
            let geometry = WindowGeometry::new(op, w.ty(args[1]))?;
            select_and_scatter(w, *kind, &geometry, args[0], args[1], ty)
        }
        _ => Err(Error::internal(op.name(), "has no window")),
    }
}

impl Window {
    /// Windows of one element.
    pub(super) fn ones(rank: usize) -> Window {
        let ones = Shape::from_elem(1, rank);
        Window {
            lengths: ones.clone(),
            padding: vec![(0, 0); rank],
            strides: ones.clone(),
            base_dilation: ones.clone(),
            dilation: ones,
        }
    }

    fn new(g: &WindowGeometry) -> Window {
        Window {
            lengths: g.window.clone(),
            padding: g.padding.clone(),
            strides: g.strides.clone(),
            base_dilation: g.base_dilation.clone(),
            dilation: g.window_dilation.clone(),
        }
    }

    fn attrs(&self) -> String {
        format!(
            "window_dimensions = {}, window_strides = {}, base_dilations = {}, window_dilations = {}, padding = {}",
            array(&self.lengths),
            array(&self.strides),
            array(&self.base_dilation),
            array(&self.dilation),
            pairs(&self.padding)
        )
    }

    pub(super) fn reduce(&self, w: &mut Writer, kind: ReduceKind, x: Value, ty: &Type) -> Result<Values> {
        let name = binary_of(kind).name();
        combined(w, kind, x, ty, |w, x, init, ty| {
            if ty.rank() == 0 {
                return Ok(smallvec![w.same(name, &[init, x])]);
            }
            if self.lengths.iter().all(|&n| n == 1) {
                return self.picked(w, x, init, ty);
            }
            let params = vec![Type::scalar(ty.dtype); 2];
            let attrs = self.attrs();
            let result = std::slice::from_ref(ty);
            w.combining("reduce_window", &[x, init], &attrs, params, result, |w, p| Ok(vec![w.same(name, p)]))
        })
    }

    /// Windows of one element: what padding, holes and strides make of the array. (XLA refuses its own op if padding is
    /// negative.)
    fn picked(&self, w: &mut Writer, x: Value, init: Value, ty: &Type) -> Result<Values> {
        let rank = ty.rank();
        let interior: Shape = self.base_dilation.iter().map(|d| d - 1).collect();
        let (low, high): (Vec<i64>, Vec<i64>) = self.padding.iter().copied().unzip();
        let limit: Shape = (0..rank).map(|a| (ty.shape[a] - 1) * self.strides[a] + 1).collect();
        w.composed(&[x, init], |b, v| {
            let whole = b.op(Op::Pad { low, high, interior }, v);
            let start = Shape::from_elem(0, rank);
            Ok(vec![b.op(Op::Slice { start, limit, stride: self.strides.clone() }, &[whole])])
        })
    }

    /// For each window its first greatest or least key, where that is in the flat array (beyond its end if there is
    /// only padding), and what `x`, if given, has there.
    fn winners(&self, w: &mut Writer, kind: ReduceKind, key: Value, x: Option<Value>, out: &[usize]) -> Result<Values> {
        let key_ty = w.ty(key).clone();
        let count = key_ty.numel();
        let index = if i32::try_from(count).is_ok() { DType::I32 } else { DType::I64 };
        let end = Literal::scalar(index, count as f64);
        let places = w.iota(&Type::new(index, &[count]), 0);
        let places = w.reshape(places, &key_ty.shape);
        let mut args = vec![key, places];
        let mut inits = vec![neutral(kind, key_ty.dtype)?, end.clone()];
        if let Some(x) = x {
            args.push(x);
            inits.push(Literal::scalar(w.dtype(x), 0.0));
        }
        let scalars: Vec<Type> = inits.iter().map(|i| i.ty().clone()).collect();
        let results: Vec<Type> = scalars.iter().map(|t| t.with_shape(out)).collect();
        let n = args.len();
        if out.is_empty() {
            return Ok(args.into_iter().collect()); // a scalar is its own window
        }
        args.extend(inits.iter().map(|i| w.constant(i)).collect::<Vec<_>>());
        let attrs = self.attrs();
        w.combining("reduce_window", &args, &attrs, [&scalars[..], &scalars].concat(), &results, |w, p| {
            let ([k, i], [l, j]) = ([p[0], p[1]], [p[n], p[n + 1]]);
            let end = w.constant(&end);
            let (here, there) = (w.compare(Comparison::Lt, i, end), w.compare(Comparison::Ge, j, end));
            let (left, right) = (w.beats(kind, k, l), w.beats(kind, l, k));
            // neither or, being NaN, both: the earlier one
            let tie = w.compare(Comparison::Eq, left, right);
            let earlier = w.compare(Comparison::Lt, i, j);
            let left = w.select(tie, earlier, left);
            let left = w.same("or", &[there, left]);
            let left = w.same("and", &[here, left]);
            Ok((0..n).map(|a| w.select(left, p[a], p[n + a])).collect())
        })
    }
}

/// Whether every window holds an element. (XLA's own op writes somewhere for those that do not.)
fn all_hold_elements(g: &WindowGeometry, base: &[usize]) -> bool {
    (0..base.len()).all(|a| {
        let (n, length, stride, pad) = (base[a] as i64, g.window[a] as i64, g.strides[a] as i64, g.padding[a].0);
        let last = (g.out[a] as i64 - 1) * stride - pad;
        -pad + length > 0 && last < n && n > 0
    })
}

fn select_and_scatter(
    w: &mut Writer,
    kind: ReduceKind,
    g: &WindowGeometry,
    source: Value,
    key: Value,
    ty: &Type,
) -> Result<Values> {
    // sums of 16-bit floats are made in f32
    let dtype = ty.dtype.accumulator();
    let wide = w.convert(source, dtype);
    let key_dtype = w.dtype(key).accumulator();
    let window = Window::new(g);
    let y = if key_dtype == dtype && ty.rank() > 0 && all_hold_elements(g, &ty.shape) {
        let key = w.convert(key, dtype);
        let init = w.constant(&Literal::scalar(dtype, 0.0));
        let scalars = || vec![Type::scalar(dtype); 2];
        let select = Region::new(scalars(), |w, p| {
            let op = if kind == ReduceKind::Max { Comparison::Ge } else { Comparison::Le };
            let stays = w.compare(op, p[0], p[1]);
            if !dtype.is_float() {
                return Ok(vec![stays]);
            }
            let unknown = w.compare(Comparison::Ne, p[0], p[0]);
            Ok(vec![w.same("or", &[stays, unknown])])
        });
        let add = Region::new(scalars(), |w, p| Ok(vec![w.same("add", p)]));
        let attrs = format!(
            "window_dimensions = {}, window_strides = {}, padding = {}",
            array(&window.lengths),
            array(&window.strides),
            pairs(&window.padding)
        );
        w.op_with("select_and_scatter", &[key, wide, init], &attrs, vec![select, add], &[ty.with_dtype(dtype)])?[0]
    } else {
        let best = window.winners(w, kind, key, None, &g.out)?[1];
        let sum = |b: &mut gradloom_ir::Builder, v: &[Value]| {
            let windows: usize = g.out.iter().product();
            let (at, updates) = (b.reshape(v[0], &[windows, 1]), b.reshape(v[1], &[windows]));
            let zeros = b.full(&Type::new(dtype, &[ty.numel()]), 0.0);
            let add = Op::Scatter {
                update_window_dims: Shape::new(),
                inserted_window_dims: smallvec![0],
                input_batching_dims: Shape::new(),
                scatter_indices_batching_dims: Shape::new(),
                scatter_dims_to_operand_dims: smallvec![0],
                index_vector_dim: 1,
                kind: ScatterKind::Add,
            };
            let sum = b.op(add, &[zeros, at, updates]);
            Ok(vec![b.reshape(sum, &ty.shape)])
        };
        w.composed(&[best, wide], sum)?[0]
    };
    Ok(smallvec![w.convert(y, ty.dtype)])
}
