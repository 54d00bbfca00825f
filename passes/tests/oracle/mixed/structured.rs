//! Ops on the places of elements, products, linear algebra, and ops with bodies.

use super::{Generator, array, unit_array};
use gradloom_ir::{
    Binary, Builder, Comparison, DType, FftKind, Graph, Literal, Op, ScatterKind, Shape, Transposition, Type, Unary,
    Value, Values,
};
use gradloom_passes::transform::jvp;
use std::sync::Arc;

fn axis(a: usize) -> Shape {
    [a].into_iter().collect()
}

impl Generator<'_> {
    fn permutation(&mut self, n: usize) -> Shape {
        let mut p: Shape = (0..n).collect();
        (1..n).for_each(|i| p.swap(i, self.r.below(i + 1)));
        p
    }

    /// The same elements in other places, or some of them.
    pub(super) fn moved(&mut self, x: Value, ty: &Type) -> Option<()> {
        let rank = ty.rank();
        let mut exact = self.is_exact(x);
        let y = match self.r.below(8) {
            0 if rank < 4 => {
                // one new axis, the old ones permuted
                let mut shape: Shape = Shape::from_elem(0, rank + 1);
                let places = self.permutation(rank + 1);
                shape[places[rank]] = 1 + self.r.below(3);
                let dims: Shape = places[..rank].into();
                dims.iter().zip(&ty.shape).for_each(|(&d, &n)| shape[d] = if n == 1 { 1 + self.r.below(3) } else { n });
                self.emit(Op::Broadcast { shape, dims }, &[x])?
            }
            1 => {
                let mut shape: Shape = ty.shape.clone();
                match self.r.below(3) {
                    0 => shape = axis(ty.numel()),
                    1 if rank < 5 => shape.insert(self.r.below(rank + 1), 1),
                    _ => shape.retain(|n| *n != 1),
                }
                self.emit(Op::Reshape { shape }, &[x])?
            }
            2 => {
                let perm = self.permutation(rank);
                self.emit(Op::Transpose { perm }, &[x])?
            }
            3 | 4 => {
                let (mut start, mut limit, mut stride) = (Shape::new(), Shape::new(), Shape::new());
                for &n in &ty.shape {
                    let (s, len) = match self.r.below(20) {
                        0 => (n / 2, 0),
                        1..7 if n > 1 => (self.r.below(2), 1 + self.r.below(n - 1)),
                        _ => (0, n),
                    };
                    start.push(s);
                    limit.push((s + len).min(n));
                    stride.push(1 + self.r.below(2));
                }
                self.emit(Op::Slice { start, limit, stride }, &[x])?
            }
            5 if rank > 0 => {
                let c = self.of_type(&Type::scalar(ty.dtype));
                exact &= self.is_exact(c);
                let low = ty.shape.iter().map(|&n| self.r.below(3) as i64 - i64::from(n > 2)).collect();
                let high = ty.shape.iter().map(|_| self.r.below(2) as i64).collect();
                let interior = ty.shape.iter().map(|_| self.r.below(4) / 3).collect();
                self.emit(Op::Pad { low, high, interior }, &[x, c])?
            }
            6 if rank > 0 => {
                let y = self.of_type(ty);
                exact &= self.is_exact(y);
                let axis = self.r.below(rank);
                self.emit(Op::Concatenate { axis }, &[x, y])?
            }
            _ => {
                let axes: Shape = (0..rank).filter(|_| self.flip()).collect();
                self.emit(Op::Reverse { axes }, &[x])?
            }
        };
        self.push(y, exact);
        Some(())
    }

    /// A dynamic slice or update, partly out of range.
    pub(super) fn indexed(&mut self, x: Value, ty: &Type) -> Option<()> {
        let sizes: Shape = ty.shape.iter().map(|&n| n - self.r.below(2).min(n)).collect();
        let start = Type::scalar(self.palette.int);
        let starts: Vec<Value> = sizes.iter().map(|_| self.of_type(&start)).collect();
        let exact = self.is_exact(x);
        if self.flip() {
            let y = self.emit(Op::DynamicSlice { sizes }, &[&[x], &starts[..]].concat())?;
            self.push(y, exact);
            return Some(());
        }
        let update = self.of_type(&ty.with_shape(&sizes));
        let exact = exact && self.is_exact(update);
        let y = self.emit(Op::DynamicUpdateSlice {}, &[&[x, update], &starts[..]].concat())?;
        self.push(y, exact);
        Some(())
    }

    /// Indices into an axis, some of them out of range.
    fn indices(&mut self) -> Value {
        let int = self.palette.int;
        if self.flip()
            && let Some(v) = self.find(|t| t.dtype == int && t.rank() == 1 && (1..9).contains(&t.shape[0]))
        {
            return v;
        }
        let ty = Type::new(int, &[1 + self.r.below(4)]);
        let value = array(self.r, &ty, false);
        self.b.literal(value)
    }

    pub(super) fn gathered(&mut self, x: Value, ty: &Type) -> Option<()> {
        let mut slice_sizes = ty.shape.clone();
        *slice_sizes.first_mut()? = 1;
        let at = self.indices();
        let op = Op::Gather {
            offset_dims: (1..ty.rank()).collect(),
            collapsed_slice_dims: [0].into_iter().collect(),
            operand_batching_dims: Shape::new(),
            start_indices_batching_dims: Shape::new(),
            start_index_map: [0].into_iter().collect(),
            index_vector_dim: 1,
            slice_sizes,
        };
        let exact = self.is_exact(x);
        let y = self.emit(op, &[x, at])?;
        self.push(y, exact);
        Some(())
    }

    pub(super) fn scattered(&mut self, x: Value, ty: &Type) -> Option<()> {
        use ScatterKind::*;
        let at = self.indices();
        let mut shape = ty.shape.clone();
        *shape.first_mut()? = self.b.ty(at).shape[0];
        let updates = self.of_type(&ty.with_shape(&shape));
        let jumps: &[ScatterKind] =
            if ty.dtype.is_complex() || (ty.dtype.is_float() && self.palette.smooth) { &[] } else { &[Min, Max] };
        let kind = if ty.dtype == DType::Bool { Set } else { self.pick(&[&[Set, Add, Mul], jumps].concat()) };
        let op = Op::Scatter {
            update_window_dims: (1..ty.rank()).collect(),
            inserted_window_dims: [0].into_iter().collect(),
            input_batching_dims: Shape::new(),
            scatter_indices_batching_dims: Shape::new(),
            scatter_dims_to_operand_dims: [0].into_iter().collect(),
            index_vector_dim: 1,
            kind,
        };
        let exact = self.is_exact(x) && self.is_exact(updates) && !matches!(kind, Add | Mul);
        let y = self.emit(op, &[x, at, updates])?;
        let y = if kind == Add { self.shrink(y, 0.4) } else { y };
        self.push(y, exact);
        Some(())
    }

    pub(super) fn transformed(&mut self, x: Value, ty: &Type) -> Option<()> {
        let axes = 1 + self.r.below(2);
        if ty.rank() < axes || ty.numel() == 0 {
            return None;
        }
        let mut lengths: Shape = ty.shape[ty.rank() - axes..].into();
        let n: usize = lengths.iter().product();
        let (kind, c) = match ty.dtype {
            d if !d.is_inexact() => return None,
            d if !d.is_complex() => (FftKind::Rfft, 1.0 / n as f64),
            _ => match self.r.below(3) {
                0 => (FftKind::Fft, 1.0 / n as f64),
                1 => (FftKind::Ifft, 1.0),
                _ => {
                    let m = lengths[axes - 1];
                    lengths[axes - 1] = (2 * m - 1 - self.r.below(2)).max(1);
                    (FftKind::Irfft, 0.6)
                }
            },
        };
        let y = self.emit(Op::Fft { kind, lengths }, &[x])?;
        let y = self.b.scale(y, c);
        self.push(y, false);
        Some(())
    }

    pub(super) fn contracted(&mut self, x: Value, ty: &Type) -> Option<()> {
        let rank = ty.rank();
        if rank == 0 || ty.dtype == DType::Bool {
            return None;
        }
        let y = self.of_type(ty);
        let mut axes = self.permutation(rank);
        let contract = axes.pop()?;
        let batch: Shape = if rank > 2 || (rank > 1 && self.flip()) { axis(axes[0]) } else { Shape::new() };
        let op = Op::DotGeneral {
            lhs_batch: batch.clone(),
            rhs_batch: batch,
            lhs_contract: axis(contract),
            rhs_contract: axis(contract),
        };
        let z = self.emit(op, &[x, y])?;
        let z = self.shrink(z, 1.0 / ty.shape[contract].max(1) as f64);
        self.push(z, false);
        Some(())
    }

    pub(super) fn convolved(&mut self, x: Value, ty: &Type) -> Option<()> {
        let rank = ty.rank();
        if rank < 2 || ty.dtype == DType::Bool || ty.numel() == 0 {
            return None;
        }
        let channels = ty.shape[1];
        let spatial = rank - 2;
        let groups = if channels.is_multiple_of(2) && self.flip() { 2 } else { 1 };
        let mut shape: Shape = [2, channels / groups].into_iter().collect();
        shape.extend(ty.shape[2..].iter().map(|&n| 1 + self.r.below(n.min(3))));
        let kernel = self.of_type(&ty.with_shape(&shape));
        let mut some = |n: usize| -> Shape { (0..spatial).map(|_| 1 + self.r.below(n)).collect() };
        let (strides, lhs_dilation, rhs_dilation) = (some(2), some(2), some(2));
        let padding = (0..spatial).map(|_| (self.r.below(3) as i64 - 1, self.r.below(3) as i64)).collect();
        let dims: Shape = (0..rank).collect();
        let out_dims = if self.flip() { dims.clone() } else { dims.iter().rev().copied().collect() };
        let op = Op::Convolution {
            lhs_dims: dims.clone(),
            rhs_dims: dims,
            out_dims,
            strides,
            padding,
            lhs_dilation,
            rhs_dilation,
            feature_groups: groups,
            batch_groups: 1,
        };
        let y = self.emit(op, &[x, kernel])?;
        let y = self.shrink(y, 1.0 / shape[1..].iter().product::<usize>() as f64);
        self.push(y, false);
        Some(())
    }

    /// A matrix with the diagonal 1, 2, .. and small entries elsewhere, of the elements of `x`; x becomes square.
    fn dominant(&mut self, x: Value, ty: &Type) -> Option<(Value, Type)> {
        let (x, ty) = match *ty.shape {
            [.., m, n] if m == n && n > 0 => (x, ty.clone()),
            _ => {
                let n = 1 + self.r.below(4);
                let square = Type::new(ty.dtype, &[n, n]);
                let v = self.of_type(&square);
                (v, square)
            }
        };
        let n = ty.shape[ty.rank() - 1];
        let mut bytes = Vec::new();
        for k in 0..ty.numel() {
            let at = k % (n * n);
            let entry = if at / n == at % n { 1.0 + (at / n) as f64 } else { 0.0 };
            bytes.extend_from_slice(Literal::scalar(ty.dtype, entry).bytes());
        }
        let d = self.b.literal(Literal::from_bytes(ty.clone(), bytes)?);
        let small = self.b.scale(x, 0.1);
        Some((self.b.add(d, small), ty))
    }

    fn adjoint(&mut self, x: Value, ty: &Type) -> Value {
        let rank = ty.rank();
        let mut perm: Vec<usize> = (0..rank).collect();
        perm.swap(rank - 1, rank - 2);
        let y = self.b.transpose(x, &perm);
        if !ty.dtype.is_complex() {
            return y;
        }
        let (re, im) = (self.b.unary(Unary::Real, y), self.b.unary(Unary::Imag, y));
        let im = self.b.neg(im);
        self.b.complex(re, Some(im))
    }

    fn matmul(&mut self, x: Value, y: Value) -> Option<Value> {
        let rank = self.b.ty(x).rank();
        let batch: Shape = (0..rank - 2).collect();
        let op = Op::DotGeneral {
            lhs_batch: batch.clone(),
            rhs_batch: batch,
            lhs_contract: axis(rank - 1),
            rhs_contract: axis(rank - 2),
        };
        self.emit(op, &[x, y])
    }

    pub(super) fn linear_algebra(&mut self, x: Value, ty: &Type) -> Option<()> {
        if !ty.dtype.is_inexact() || ty.dtype.size() < 4 {
            return None;
        }
        let (a, ty) = self.dominant(x, ty)?;
        let n = ty.shape[ty.rank() - 1];
        let right_side = |g: &mut Self, left: bool| {
            let mut shape = ty.shape.clone();
            let at = shape.len() - usize::from(left);
            shape[at - usize::from(!left)] = 1 + g.r.below(3);
            g.of_type(&ty.with_shape(&shape))
        };
        let hermitian = |g: &mut Self| {
            let t = g.adjoint(a, &ty);
            let sum = g.b.add(a, t);
            g.b.scale(sum, 0.5)
        };
        let transpose_a = self.pick(Transposition::ALL);
        let [lower, flag] = [self.flip(), self.flip()];
        let got: Values = match self.r.below(9) {
            0 => {
                let h = hermitian(self);
                self.b.emit(Op::Cholesky { lower }, &[h]).ok()?
            }
            1 => {
                let left_side = self.flip();
                let b = right_side(self, left_side);
                let op = Op::TriangularSolve { left_side, lower, transpose_a, unit_diagonal: flag };
                self.b.emit(op, &[a, b]).ok()?
            }
            2 | 3 => {
                let lu = self.b.emit(Op::Lu {}, &[a]).ok()?;
                let b = right_side(self, true);
                let x = self.emit(Op::LuSolve { transpose_a }, &[a, lu[0], lu[2], b])?;
                [x, lu[0], lu[1]].into_iter().collect()
            }
            4 => self.b.emit(Op::Qr { full: flag }, &[a]).ok()?,
            5 => {
                let h = hermitian(self);
                let w = self.b.emit(Op::Eigh { vectors: true }, &[h]).ok()?;
                let vt = self.adjoint(w[1], &ty);
                let same = self.matmul(w[1], vt)?;
                w.iter().copied().chain([same]).collect()
            }
            6 => self.b.emit(Op::Svd { full: false, vectors: flag }, &[a]).ok()?,
            7 => self.b.emit(Op::Eig { vectors: flag }, &[a]).ok()?,
            _ => {
                let tolerance = self.b.scalar(ty.dtype.real(), 1e-3);
                self.b.emit(Op::Pinv {}, &[a, tolerance]).ok()?
            }
        };
        for y in got {
            let small = self.shrink(y, 1.0 / (n as f64 + 0.5));
            self.push(small, false);
        }
        Some(())
    }

    /// A program of a few ops on these inputs that returns values of the types `wanted`, and then one more.
    fn body(&mut self, inputs: &[Type], wanted: &[Type], more: bool) -> Option<Graph> {
        let steps = 2 + self.r.below(5);
        let mut g = Generator::new(self.r, self.palette, inputs, false, self.depth + 1);
        while g.b.nodes().len() < steps {
            g.step();
        }
        let mut outs = Vec::new();
        for ty in wanted {
            let last = g.values.iter().rev().copied().find(|&v| g.b.ty(v) == ty);
            outs.push(match last {
                Some(v) => v,
                None => {
                    let value = unit_array(g.r, ty);
                    g.b.literal(value)
                }
            });
        }
        if more {
            outs.push(g.any());
        }
        g.b.finish(&outs).ok()
    }

    pub(super) fn scan(&mut self, x: Value, ty: &Type) -> Option<()> {
        let rows = self.find(|t| t.rank() > 0 && t.shape[0] < 5)?;
        let row = self.b.ty(rows).clone();
        let length = row.shape[0];
        let row = row.with_shape(&row.shape[1..]);
        let fixed = self.any();
        let fixed_ty = self.b.ty(fixed).clone();
        let body = self.body(&[fixed_ty, ty.clone(), row], std::slice::from_ref(ty), true)?;
        let op = Op::Scan { body: Arc::new(body), length, reverse: self.flip(), consts: 1, carry: 1 };
        let got = self.b.emit(op, &[fixed, x, rows]).ok()?;
        got.iter().for_each(|&y| self.push(y, false));
        Some(())
    }

    pub(super) fn switch(&mut self, x: Value, ty: &Type) -> Option<()> {
        let n = 1 + self.r.below(3);
        let out = self.any();
        let wanted = [self.b.ty(out).clone()];
        let branches: Option<Vec<Arc<Graph>>> =
            (0..n).map(|_| self.body(std::slice::from_ref(ty), &wanted, false).map(Arc::new)).collect();
        let index = self.of_type(&Type::scalar(DType::I32));
        let y = self.emit(Op::Switch { branches: branches? }, &[index, x])?;
        self.push(y, false);
        Some(())
    }

    /// A few turns, counted.
    pub(super) fn while_loop(&mut self, x: Value, ty: &Type) -> Option<()> {
        let counter = Type::scalar(DType::I32);
        let turns = self.r.below(4) as f64;
        let types = [counter.clone(), ty.clone()];
        let (mut c, args) = Builder::with_inputs(&types);
        let most = c.scalar(DType::I32, turns);
        let more = c.compare(Comparison::Lt, args[0], most);
        let cond = c.finish(&[more]).ok()?;
        let step = self.body(std::slice::from_ref(ty), std::slice::from_ref(ty), false)?;
        let (mut b, args) = Builder::with_inputs(&types);
        let one = b.scalar(DType::I32, 1.0);
        let next = b.binary(Binary::Add, args[0], one);
        let state = b.inline(&step, &args[1..]).ok()?;
        let body = b.finish(&[next, state[0]]).ok()?;
        let start = self.b.scalar(DType::I32, 0.0);
        let op = Op::While { cond: Arc::new(cond), body: Arc::new(body), cond_consts: 0, body_consts: 0 };
        let got = self.b.emit(op, &[start, x]).ok()?;
        self.push(got[1], false);
        Some(())
    }

    pub(super) fn remat(&mut self, x: Value, ty: &Type) -> Option<()> {
        let body = self.body(std::slice::from_ref(ty), &[], true)?;
        let y = self.emit(Op::Remat { body: Arc::new(body) }, &[x])?;
        self.push(y, false);
        Some(())
    }

    /// A function with its own derivative as the rule.
    pub(super) fn custom_jvp(&mut self, x: Value, ty: &Type) -> Option<()> {
        if !ty.dtype.is_inexact() {
            return None;
        }
        let primal = self.body(std::slice::from_ref(ty), &[], true)?;
        let rule = jvp(&primal, &[true], None).ok().filter(|j| j.active_outputs[..] == [true])?.graph;
        let op = Op::CustomJvp { primal: Arc::new(primal), rule: Arc::new(rule), consts: 0 };
        let y = self.emit(op, &[x])?;
        self.push(y, false);
        Some(())
    }
}
