//! Complex arrays as pairs of real ones, for backends that compute on real numbers alone.

use crate::manager::{Changed, copy_inputs, replace};
use gradloom_ir::math::{RealMachine, complex_abs, complex_binary, complex_unary};
use gradloom_ir::{
    Binary, Builder, Comparison, DType, Element, Graph, Literal, Node, Op, ReduceKind, Result, ScatterKind, Shape,
    Type, Unary, Value, Values,
};
use smallvec::SmallVec;

/// Rewrites ops on complex arrays as ops on their real and imaginary parts.
///
/// **Ensures** that complex values are only inputs, outputs, operands and results of nested programs, and operands and
/// results of the ops listed in `is_whole`; between those they are taken apart by `real` and `imag` and put together
/// by `complex`. **Never** changes results: the functions are those of [`gradloom_ir::math`], which the interpreter
/// runs too; sums may be associated otherwise.
pub fn split_complex(g: &mut Graph) -> Result<Changed> {
    if !g.types().iter().any(|t| t.dtype.is_complex()) {
        return Ok(Changed::No);
    }
    let (b, map) = copy_inputs(g);
    let whole = map.into_iter().map(Some).collect();
    let mut s = Splitter { b, whole, parts: vec![None; g.num_inputs()] };
    for node in g.nodes() {
        s.b.set_loc(&node.loc);
        s.node(g, node)?;
    }
    let outputs: Vec<Value> = g.outputs().iter().map(|&v| s.whole(v)).collect();
    let new = s.b.finish(&outputs)?;
    Ok(replace(g, new))
}

/// Whether the op keeps complex operands as they are: it has a kernel for them, or nested programs.
fn is_whole(op: &Op) -> bool {
    match op {
        Op::Cumulative { kind: ReduceKind::Prod, .. } | Op::ReduceWindow { kind: ReduceKind::Prod, .. } => true,
        Op::Scatter { kind: ScatterKind::Mul, .. } => true,
        Op::Fft { .. } | Op::HostCall { .. } | Op::Custom { .. } | gradloom_ir::linalg_ops!() => true,
        op => op.has_body(),
    }
}

struct Splitter {
    b: Builder,
    /// By value of the old program: its value in the new one, if it has been made.
    whole: Vec<Option<Value>>,
    /// The parts of a complex value, if they have been made.
    parts: Vec<Option<[Value; 2]>>,
}

impl Splitter {
    fn whole(&mut self, v: Value) -> Value {
        if let Some(x) = self.whole[v.index()] {
            return x;
        }
        let [re, im] = self.parts[v.index()].expect("a value is known whole or by its parts");
        let z = self.b.complex(re, Some(im));
        self.whole[v.index()] = Some(z);
        z
    }

    fn parts(&mut self, v: Value) -> [Value; 2] {
        if let Some(p) = self.parts[v.index()] {
            return p;
        }
        let z = self.whole(v);
        let p = [self.b.unary(Unary::Real, z), self.b.unary(Unary::Imag, z)];
        self.parts[v.index()] = Some(p);
        p
    }

    fn set_whole(&mut self, results: &[Value]) {
        self.whole.extend(results.iter().map(|&r| Some(r)));
        self.parts.extend(results.iter().map(|_| None));
    }

    fn set_parts(&mut self, parts: [Value; 2]) {
        self.whole.push(None);
        self.parts.push(Some(parts));
    }

    /// The op on each part of its complex operands, the others shared.
    fn on_each(&mut self, op: &Op, args: &[Value], is_complex: &[bool]) -> Result<[Values; 2]> {
        let on = |s: &mut Splitter, part: usize| {
            let args: SmallVec<[Value; 4]> =
                args.iter().zip(is_complex).map(|(&a, &c)| if c { s.parts(a)[part] } else { s.whole(a) }).collect();
            s.b.emit(op.clone(), &args)
        };
        Ok([on(self, 0)?, on(self, 1)?])
    }

    /// A product of the parts by a bilinear op: (ac - bd, ad + bc).
    fn bilinear(&mut self, op: &Op, x: Value, y: Value) -> [Value; 2] {
        let ([a, b], [c, d]) = (self.parts(x), self.parts(y));
        let [ac, bd, ad, bc] = [(a, c), (b, d), (a, d), (b, c)].map(|(x, y)| self.b.op(op.clone(), &[x, y]));
        [self.b.sub(ac, bd), self.b.add(ad, bc)]
    }

    fn machine(&mut self, like: Value) -> Arrays<'_> {
        let ty = self.b.ty(like).clone();
        Arrays { b: &mut self.b, ty }
    }

    fn node(&mut self, g: &Graph, node: &Node) -> Result<()> {
        let is_complex: SmallVec<[bool; 4]> = node.args.iter().map(|&a| g.ty(a).dtype.is_complex()).collect();
        let gives_complex = node.results.iter().any(|&r| g.ty(r).dtype.is_complex());
        let untouched = !gives_complex && !is_complex.contains(&true);
        if untouched || is_whole(&node.op) {
            let args: SmallVec<[Value; 4]> = node.args.iter().map(|&a| self.whole(a)).collect();
            let results = self.b.emit(node.op.clone(), &args)?;
            self.set_whole(&results);
            return Ok(());
        }
        let args = &node.args;
        match &node.op {
            Op::Unary(f) => {
                let z = self.parts(args[0]);
                let real = match f {
                    Unary::Real => Some(z[0]),
                    Unary::Imag => Some(z[1]),
                    Unary::Abs => Some(complex_abs(&mut self.machine(z[0]), z)),
                    _ => None,
                };
                match real {
                    Some(x) => self.set_whole(&[x]),
                    None => {
                        let y = complex_unary(&mut self.machine(z[0]), *f, z);
                        self.set_parts(y.ok_or_else(|| undefined(&node.op))?);
                    }
                }
            }
            Op::Binary(Binary::Complex) => {
                let p = [self.whole(args[0]), self.whole(args[1])];
                self.set_parts(p);
            }
            Op::Binary(f) => {
                let (z, w) = (self.parts(args[0]), self.parts(args[1]));
                let y = complex_binary(&mut self.machine(z[0]), *f, z, w);
                self.set_parts(y.ok_or_else(|| undefined(&node.op))?);
            }
            Op::Compare(c) => {
                let (z, w) = (self.parts(args[0]), self.parts(args[1]));
                let [re, im] = [0, 1].map(|i| self.b.compare(*c, z[i], w[i]));
                let both = if *c == Comparison::Eq { Binary::And } else { Binary::Or };
                let y = self.b.binary(both, re, im);
                self.set_whole(&[y]);
            }
            Op::Convert { dtype } => {
                let re = if is_complex[0] { self.parts(args[0])[0] } else { self.whole(args[0]) };
                let im = is_complex[0].then(|| self.parts(args[0])[1]);
                let re = self.b.convert(re, dtype.real());
                let im = match im {
                    Some(im) => self.b.convert(im, dtype.real()),
                    None => self.b.full_like(re, 0.0),
                };
                self.set_parts([re, im]);
            }
            Op::Constant { value } => {
                let p = split_literal(value).map(|part| self.b.literal(part));
                self.set_parts(p);
            }
            Op::Iota { dtype, shape, axis } => {
                let re = self.b.iota(dtype.real(), shape, *axis);
                let im = self.b.full_like(re, 0.0);
                self.set_parts([re, im]);
            }
            Op::DotGeneral { .. } | Op::Convolution { .. } => {
                let p = self.bilinear(&node.op, args[0], args[1]);
                self.set_parts(p);
            }
            Op::Reduce { kind: ReduceKind::Prod, axes } => {
                let z = self.parts(args[0]);
                let p = self.product(z, axes);
                self.set_parts(p);
            }
            Op::Sort { axis, num_keys } => self.sort(node, &is_complex, *axis, *num_keys)?,
            op => {
                let [re, im] = self.on_each(op, args, &is_complex)?;
                for (k, &r) in node.results.iter().enumerate() {
                    if g.ty(r).dtype.is_complex() { self.set_parts([re[k], im[k]]) } else { self.set_whole(&[re[k]]) }
                }
            }
        }
        Ok(())
    }

    /// The product along axes, by halves.
    fn product(&mut self, mut z: [Value; 2], axes: &[usize]) -> [Value; 2] {
        for &axis in axes {
            loop {
                let n = self.b.ty(z[0]).shape[axis];
                if n == 0 {
                    let mut shape = self.b.ty(z[0]).shape.clone();
                    shape[axis] = 1;
                    let ty = self.b.ty(z[0]).with_shape(&shape);
                    z = [self.b.full(&ty, 1.0), self.b.full(&ty, 0.0)];
                }
                if n <= 1 {
                    break;
                }
                let half = n / 2;
                let first = z.map(|x| self.b.slice_axis(x, axis, 0, half));
                let second = z.map(|x| self.b.slice_axis(x, axis, half, 2 * half));
                let y = complex_binary(&mut self.machine(first[0]), Binary::Mul, first, second);
                let y = y.expect("complex numbers have products");
                z = if n.is_multiple_of(2) {
                    y
                } else {
                    let rest = z.map(|x| self.b.slice_axis(x, axis, n - 1, n));
                    [0, 1].map(|i| self.b.concatenate(&[y[i], rest[i]], axis))
                };
            }
        }
        let shape = &self.b.ty(z[0]).shape;
        let kept: Shape = (0..shape.len()).filter(|a| !axes.contains(a)).map(|a| shape[a]).collect();
        z.map(|x| self.b.reshape(x, &kept))
    }

    /// Each complex operand as two; a complex key as two keys.
    fn sort(&mut self, node: &Node, is_complex: &[bool], axis: usize, num_keys: usize) -> Result<()> {
        let mut flat: SmallVec<[Value; 4]> = SmallVec::new();
        let mut first: SmallVec<[usize; 4]> = SmallVec::new();
        let mut keys = 0;
        for (i, (&a, &c)) in node.args.iter().zip(is_complex).enumerate() {
            first.push(flat.len());
            if c {
                flat.extend(self.parts(a))
            } else {
                flat.push(self.whole(a))
            }
            if i < num_keys {
                keys = flat.len();
            }
        }
        let sorted = self.b.emit(Op::Sort { axis, num_keys: keys }, &flat)?;
        for (&at, &c) in first.iter().zip(is_complex) {
            if c { self.set_parts([sorted[at], sorted[at + 1]]) } else { self.set_whole(&[sorted[at]]) }
        }
        Ok(())
    }
}

fn undefined(op: &Op) -> gradloom_ir::Error {
    gradloom_ir::Error::internal(op.name(), "is not defined on complex numbers")
}

fn split_literal(z: &Literal) -> [Literal; 2] {
    fn split<T: Element>(z: &Literal) -> [Literal; 2] {
        let parts: Vec<T> = z.bytes().chunks_exact(T::DTYPE.size()).map(T::from_bytes).collect();
        let of = |i: usize| parts.iter().skip(i).step_by(2).copied().collect::<Vec<T>>();
        [0, 1].map(|i| Literal::new(&z.ty().shape, &of(i)))
    }
    if z.ty().dtype == DType::C64 { split::<f32>(z) } else { split::<f64>(z) }
}

/// Emits real ops on arrays of one type.
struct Arrays<'a> {
    b: &'a mut Builder,
    ty: Type,
}

impl RealMachine for Arrays<'_> {
    type V = Value;
    type M = Value;

    fn constant(&mut self, x: f64) -> Value {
        self.b.full(&self.ty, x)
    }
    fn unary(&mut self, op: Unary, x: Value) -> Value {
        self.b.unary(op, x)
    }
    fn binary(&mut self, op: Binary, x: Value, y: Value) -> Value {
        self.b.binary(op, x, y)
    }
    fn compare(&mut self, op: Comparison, x: Value, y: Value) -> Value {
        self.b.compare(op, x, y)
    }
    fn or(&mut self, x: Value, y: Value) -> Value {
        self.b.binary(Binary::Or, x, y)
    }
    fn and(&mut self, x: Value, y: Value) -> Value {
        self.b.binary(Binary::And, x, y)
    }
    fn select(&mut self, m: Value, x: Value, y: Value) -> Value {
        self.b.select(m, x, y)
    }
}
