//! Random programs of ops of every theme on one float dtype, its complex partner, one integer dtype and bool.
//!
//! Floats stay near the unit ball, no op magnifies errors much, and what jumps (comparisons, conversions to integers, the
//! order of elements) is asked only of values that no op has rounded: so rounding can be told from a mistake.
#![allow(dead_code)] // each test file uses a part

mod structured;

use super::{Random, array, unit_array};
use gradloom_ir::{Binary, Builder, Comparison, DType, Graph, Literal, Op, ReduceKind, Shape, Type, Unary, Value};
use std::collections::HashSet;

/// More elements than this no value has.
const MOST_ELEMENTS: usize = 200;

/// What a program is made of.
#[derive(Clone, Copy)]
pub struct Palette {
    pub float: DType,
    pub int: DType,
    /// Whether all of it is differentiable everywhere.
    pub smooth: bool,
}

impl Palette {
    /// The `i`-th of all pairs of dtypes.
    pub fn nth(i: usize, smooth: bool) -> Palette {
        let floats: Vec<DType> = DType::ALL.into_iter().filter(|d| d.is_float()).collect();
        let ints: Vec<DType> = DType::ALL.into_iter().filter(|d| d.is_int()).collect();
        Palette { float: floats[i % floats.len()], int: ints[i / floats.len() % ints.len()], smooth }
    }

    /// How far results of two ways to compute a program of these dtypes may be apart.
    pub fn tolerance(&self) -> f64 {
        match self.float {
            DType::F16 => 0.05,
            DType::BF16 => 0.3,
            DType::F32 => 2e-4,
            _ => 1e-10,
        }
    }
}

/// Input types of a program.
pub fn types(r: &mut Random, p: &Palette) -> Vec<Type> {
    let shapes: [&[usize]; 9] = [&[], &[3], &[2, 3], &[3, 3], &[1, 3], &[2, 1, 3], &[2, 2, 4], &[2, 2, 2], &[5]];
    let mut all: Vec<Type> = (0..1 + r.below(3))
        .map(|_| {
            let dtype = [p.float, p.float, p.float.complex().unwrap_or(p.float), p.int, DType::Bool][r.below(5)];
            Type::new(dtype, shapes[r.below(shapes.len())])
        })
        .collect();
    // some are always floats
    all.push(Type::new(p.float, shapes[r.below(shapes.len())]));
    all
}

/// Inputs that programs of this file are made for.
pub fn inputs(seed: u64, g: &Graph) -> Vec<Literal> {
    let mut r = Random(seed);
    g.input_types().iter().map(|t| unit_array(&mut r, t)).collect()
}

/// A program of 5 to 60 ops.
pub fn program(r: &mut Random, palette: Palette) -> Graph {
    let inputs = types(r, &palette);
    let steps = 5 + r.below(56);
    grown(r, palette, &inputs, steps)
}

/// [`program`] of `steps` steps.
pub fn program_of(r: &mut Random, palette: Palette, steps: usize) -> Graph {
    let inputs = types(r, &palette);
    grown(r, palette, &inputs, steps)
}

fn grown(r: &mut Random, palette: Palette, inputs: &[Type], steps: usize) -> Graph {
    let mut g = Generator::new(r, palette, inputs, true, 0);
    while g.b.nodes().len() < steps {
        g.step();
    }
    // what nothing uses is returned, so that everything is alive, and now and then something that is used
    let used: HashSet<Value> = g.b.nodes().iter().flat_map(|n| n.args.iter().copied()).collect();
    let mut outs: Vec<Value> = g.values.iter().copied().filter(|v| !used.contains(v)).collect();
    if g.r.below(3) == 0 {
        outs.push(g.any());
    }
    g.b.finish(&outs).expect("generated programs are well-formed")
}

struct Generator<'a> {
    r: &'a mut Random,
    b: Builder,
    values: Vec<Value>,
    /// Floats that no op has rounded.
    exact: HashSet<Value>,
    palette: Palette,
    /// How many programs this one is inside of.
    depth: usize,
}

impl<'a> Generator<'a> {
    fn new(r: &'a mut Random, palette: Palette, inputs: &[Type], exact: bool, depth: usize) -> Generator<'a> {
        let (b, values) = Builder::with_inputs(inputs);
        let exact = if exact { values.iter().copied().collect() } else { HashSet::new() };
        Generator { r, b, values, exact, palette, depth }
    }

    fn any(&mut self) -> Value {
        // recent values more often, so that programs become deep
        let n = self.values.len();
        let i = if self.r.below(3) == 0 { self.r.below(n) } else { n - 1 - self.r.below(n.min(4)) };
        self.values[i]
    }

    /// A random one of the values of which this holds.
    fn find(&mut self, is: impl Fn(&Type) -> bool) -> Option<Value> {
        let fits: Vec<Value> = self.values.iter().copied().filter(|&v| is(self.b.ty(v))).collect();
        (!fits.is_empty()).then(|| fits[self.r.below(fits.len())])
    }

    /// A value of type `ty`: one there is, or a constant.
    fn of_type(&mut self, ty: &Type) -> Value {
        if self.r.below(4) > 0
            && let Some(v) = self.find(|t| t == ty)
        {
            return v;
        }
        let value = if self.r.below(8) == 0 { array(self.r, ty, ty.dtype.is_int()) } else { unit_array(self.r, ty) };
        // exponents of powers stay small
        let value = if ty.dtype.is_inexact() { unit_array(self.r, ty) } else { value };
        let v = self.b.literal(value);
        self.exact.insert(v);
        v
    }

    fn is_exact(&self, v: Value) -> bool {
        !self.b.ty(v).dtype.is_inexact() || self.exact.contains(&v)
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.r.below(of.len())]
    }

    fn flip(&mut self) -> bool {
        self.r.below(2) == 0
    }

    /// The op, or `None` where it has no meaning.
    fn emit(&mut self, op: Op, args: &[Value]) -> Option<Value> {
        Some(self.b.emit(op, args).ok()?[0])
    }

    /// c x of a float or complex value, x of another.
    fn shrink(&mut self, x: Value, c: f64) -> Value {
        if self.b.ty(x).dtype.is_inexact() { self.b.scale(x, c) } else { x }
    }

    fn push(&mut self, v: Value, exact: bool) {
        if self.b.ty(v).numel() > MOST_ELEMENTS || self.values.contains(&v) {
            return;
        }
        self.values.push(v);
        if exact {
            self.exact.insert(v);
        }
    }

    fn step(&mut self) {
        let x = self.any();
        let ty = self.b.ty(x).clone();
        let nested = if self.depth < 2 { 36 } else { 31 };
        let done = match self.r.below(nested) {
            0..=2 => self.unary(x, &ty),
            3..=6 => self.binary(x, &ty),
            7 => self.choice(x, &ty),
            8 | 9 => self.conversion(x, &ty),
            10..=14 => self.moved(x, &ty),
            15 => self.reduction(x, &ty),
            16 | 17 => self.indexed(x, &ty),
            18 => self.gathered(x, &ty),
            19 => self.scattered(x, &ty),
            20 => self.running(x, &ty),
            21 | 22 => self.windowed(x, &ty),
            23 => self.sorted(x, &ty),
            24 => self.contracted(x, &ty),
            25 => self.convolved(x, &ty),
            26 => self.transformed(x, &ty),
            27..=29 => self.linear_algebra(x, &ty),
            30 => self.made(x, &ty),
            31 => self.scan(x, &ty),
            32 => self.switch(x, &ty),
            33 => self.while_loop(x, &ty),
            34 => self.remat(x, &ty),
            _ => self.custom_jvp(x, &ty),
        };
        if done.is_none() {
            self.binary(x, &ty);
        }
    }

    fn unary(&mut self, x: Value, ty: &Type) -> Option<()> {
        use Unary::*;
        let exact = self.is_exact(x);
        let b = &mut self.b;
        let op = match ty.dtype {
            DType::Bool => Not,
            d if d.is_int() => [Neg, Abs, Not, Sign, PopulationCount, LeadingZeros][self.r.below(6)],
            d if d.is_complex() => {
                // an operand around 2, where logarithms and roots have no cut
                let shifted = b.offset(x, 2.5);
                let (y, c) = match self.r.below(9) {
                    0 => (b.unary(Sin, x), 0.4),
                    1 => (b.unary(Cos, x), 0.4),
                    2 => (b.unary(Exp, x), 0.3),
                    3 => (b.unary(Log, shifted), 0.6),
                    4 => (b.unary(Sqrt, shifted), 0.5),
                    5 => (b.unary(Tanh, shifted), 0.7),
                    6 => (b.unary(Rsqrt, shifted), 1.0),
                    7 => (b.unary(Expm1, x), 0.3),
                    _ => (b.unary(Neg, x), 1.0),
                };
                let y = b.scale(y, c);
                self.push(y, false);
                return Some(());
            }
            _ if exact && !self.palette.smooth && self.r.below(3) == 0 => {
                [Floor, Ceil, Round, RoundAway, Sign, Abs, IsFinite][self.r.below(7)]
            }
            _ => {
                let half = b.scale(x, 0.5);
                let square = b.mul(x, x);
                let (one, up) = (b.offset(square, 1.0), b.offset(square, 1.5));
                let (y, c) = match self.r.below(27) {
                    0 => (b.unary(Tanh, x), 1.0),
                    1 => (b.unary(Sin, x), 1.0),
                    2 => (b.unary(Cos, x), 1.0),
                    3 => (b.unary(Tan, half), 1.0),
                    4 => (b.unary(Asin, half), 1.0),
                    5 => (b.unary(Acos, half), 0.5),
                    6 => (b.unary(Atan, x), 1.0),
                    7 => (b.unary(Sinh, half), 1.0),
                    8 => (b.unary(Cosh, half), 0.7),
                    9 => (b.unary(Asinh, x), 1.0),
                    10 => (b.unary(Acosh, up), 0.7),
                    11 => (b.unary(Atanh, half), 1.0),
                    12 => (b.unary(Logistic, x), 1.0),
                    13 => (b.unary(Exp, x), 0.3),
                    14 => (b.unary(Expm1, x), 0.4),
                    15 => (b.unary(Log, one), 1.0),
                    16 => (b.unary(Log1p, square), 1.0),
                    17 => (b.unary(Sqrt, one), 0.6),
                    18 => (b.unary(Rsqrt, one), 1.0),
                    19 => (b.unary(Cbrt, one), 0.7),
                    20 => (b.unary(Erf, x), 0.9),
                    21 => (b.unary(ErfInv, half), 0.8),
                    22 => (b.unary(Erfc, x), 0.5),
                    23 => (b.unary(Lgamma, up), 1.0),
                    24 => (b.unary(Digamma, up), 0.6),
                    25 => (b.unary(BesselI0e, x), 1.0),
                    _ => (b.unary(BesselI1e, x), 1.0),
                };
                let y = b.scale(y, c);
                self.push(y, false);
                return Some(());
            }
        };
        let y = self.b.unary(op, x);
        self.push(y, exact);
        Some(())
    }

    fn binary(&mut self, x: Value, ty: &Type) -> Option<()> {
        use Binary::*;
        let y = if self.r.below(5) == 0 { x } else { self.of_type(ty) };
        let (x, y) = if self.flip() { (x, y) } else { (y, x) };
        let exact = self.is_exact(x) && self.is_exact(y);
        let z = match ty.dtype {
            DType::Bool => {
                let op = self.pick(&[And, Or, Xor, Max, Min]);
                self.b.binary(op, x, y)
            }
            d if d.is_int() => {
                let shifts = [ShiftLeft, ShiftRightLogical, ShiftRightArithmetic];
                let ops = [Add, Sub, Mul, Div, Rem, Pow, Max, Min, And, Or, Xor];
                let op = if self.r.below(5) == 0 { self.pick(&shifts) } else { self.pick(&ops) };
                self.b.binary(op, x, y)
            }
            _ => {
                let real = ty.dtype.is_float();
                if real && exact && !self.palette.smooth && self.flip() {
                    let op = self.pick(&[Max, Min, Rem]);
                    let z = self.b.binary(op, x, y);
                    self.push(z, op != Rem);
                    return Some(());
                }
                let kinds = if !real {
                    4
                } else if self.palette.smooth {
                    6
                } else {
                    8
                };
                let b = &mut self.b;
                let mut away = |y: Value| {
                    let small = b.scale(y, 0.3);
                    b.offset(small, 2.0)
                };
                match self.r.below(kinds) {
                    0 => {
                        let s = self.b.add(x, y);
                        self.b.scale(s, 0.5)
                    }
                    1 => {
                        let s = self.b.sub(x, y);
                        self.b.scale(s, 0.5)
                    }
                    2 => {
                        let p = self.b.mul(x, y);
                        self.b.scale(p, if real { 0.9 } else { 0.7 })
                    }
                    3 => {
                        let d = away(y);
                        self.b.div(x, d)
                    }
                    4 => {
                        let d = away(x);
                        let p = self.b.binary(Pow, d, y);
                        self.b.scale(p, 0.4)
                    }
                    5 => {
                        let d = away(y);
                        self.b.binary(Atan2, x, d)
                    }
                    6 => self.b.binary(Max, x, y),
                    _ => self.b.binary(Min, x, y),
                }
            }
        };
        self.push(z, false);
        Some(())
    }

    /// Counts, bits of the cipher, neighbours, values behind a barrier.
    fn made(&mut self, x: Value, ty: &Type) -> Option<()> {
        let exact = self.is_exact(x);
        match ty.dtype {
            d if ty.rank() > 0 && !d.is_complex() && d != DType::Bool && self.flip() => {
                let axis = self.r.below(ty.rank());
                let y = self.emit(Op::Iota { dtype: d, shape: ty.shape.clone(), axis }, &[])?;
                // a power of two keeps floats exact
                let y = self.shrink(y, 0.125);
                self.push(y, true);
            }
            d if d.is_int() => {
                let word = self.b.convert(x, DType::U32);
                let lane = self.r.below(2) as u8;
                let bits = self.emit(Op::Threefry { lane }, &[word; 4])?;
                let y = self.b.convert(bits, d);
                self.push(y, true);
            }
            DType::F32 | DType::F64 if exact && self.flip() => {
                let to = self.of_type(ty);
                let y = self.b.binary(Binary::NextAfter, x, to);
                self.push(y, false);
            }
            d if d.is_float() && self.flip() => {
                let square = self.b.mul(x, x);
                let [s, q] = [2.5, 1.5].map(|c| self.b.offset(square, c));
                // its derivative in the first operand is not defined
                let s = if self.palette.smooth { self.b.full(ty, 2.5) } else { s };
                let y = self.b.binary(Binary::Zeta, s, q);
                let y = self.b.scale(y, 0.5);
                self.push(y, false);
            }
            _ => {
                let y = self.any();
                let other = self.is_exact(y);
                let got = self.b.emit(Op::Barrier {}, &[x, y]).ok()?;
                self.push(got[0], exact);
                self.push(got[1], other);
            }
        }
        Some(())
    }

    fn choice(&mut self, x: Value, ty: &Type) -> Option<()> {
        let y = self.of_type(ty);
        if self.is_exact(x) && self.is_exact(y) {
            let all = if ty.dtype.is_complex() { &Comparison::ALL[..2] } else { Comparison::ALL };
            let op = self.pick(all);
            let p = self.b.compare(op, x, y);
            self.push(p, true);
        }
        let p = self.of_type(&ty.with_dtype(DType::Bool));
        let exact = self.is_exact(x) && self.is_exact(y);
        let z = self.b.select(p, x, y);
        self.push(z, exact);
        Some(())
    }

    /// Between dtypes, and complex numbers and their parts.
    fn conversion(&mut self, x: Value, ty: &Type) -> Option<()> {
        let Palette { float, int, smooth } = self.palette;
        let exact = self.is_exact(x);
        if ty.dtype.is_complex() {
            let op = [Unary::Real, Unary::Imag, Unary::Abs][self.r.below(if smooth { 2 } else { 3 })];
            let y = self.b.unary(op, x);
            self.push(y, exact && op != Unary::Abs);
            return Some(());
        }
        let y = match ty.dtype {
            d if d.is_float() && d.complex().is_some() && self.flip() => {
                let im = self.of_type(ty);
                let exact = exact && self.is_exact(im);
                let z = self.b.complex(x, Some(im));
                self.push(z, exact);
                return Some(());
            }
            d if d.is_float() && exact && !smooth && self.flip() => {
                let dtype = self.pick(&[int, DType::Bool, DType::U8]);
                self.emit(Op::Convert { dtype }, &[x])?
            }
            d if d.is_float() => {
                // there and back by way of another float dtype
                let dtype = self.pick(&[DType::F16, DType::BF16, DType::F32, DType::F64]);
                let y = self.b.convert(x, dtype);
                if d.size() > dtype.size() || d.size() == 2 {
                    // what is lost is more than the tolerance, unless nothing had been rounded before
                    let y = if exact && !smooth { y } else { return None };
                    let y = self.b.convert(y, d);
                    self.push(y, true);
                    return Some(());
                }
                let y = self.b.unary(Unary::Sin, y);
                self.b.convert(y, d)
            }
            DType::Bool => {
                let dtype = self.pick(&[float, int, DType::I32]);
                self.b.convert(x, dtype)
            }
            _ if self.flip() => {
                // integers may be large
                let y = self.b.convert(x, float);
                let y = self.b.unary(Unary::Tanh, y);
                self.push(y, false);
                return Some(());
            }
            d => {
                let mut sized: Vec<DType> = DType::ALL.into_iter().filter(|t| t.is_int()).collect();
                if self.flip() {
                    sized.retain(|t| t.size() == d.size());
                    let dtype = self.pick(&sized);
                    let y = self.emit(Op::Bitcast { dtype }, &[x])?;
                    self.push(y, true);
                    return Some(());
                }
                sized.push(DType::Bool);
                let dtype = self.pick(&sized);
                let y = self.b.convert(x, dtype);
                self.b.convert(y, int)
            }
        };
        let exact = !self.b.ty(y).dtype.is_inexact() || ty.dtype == DType::Bool;
        self.push(y, exact);
        Some(())
    }

    fn reduction(&mut self, x: Value, ty: &Type) -> Option<()> {
        use ReduceKind::*;
        let axes: Shape = (0..ty.rank()).filter(|_| self.flip()).collect();
        let n: usize = axes.iter().map(|&a| ty.shape[a]).product();
        let exact = self.is_exact(x);
        if exact && ty.rank() > 0 && !ty.dtype.is_complex() && self.r.below(3) == 0 {
            let axis = self.r.below(ty.rank());
            let kind = self.pick(&[Max, Min]);
            let y = self.emit(Op::ArgReduce { kind, axis }, &[x])?;
            self.push(y, true);
            return Some(());
        }
        let kinds: &[ReduceKind] = match ty.dtype {
            DType::Bool => &[And, Or, Max, Min],
            d if d.is_int() => &[Sum, Prod, Max, Min, And, Or],
            d if d.is_complex() || self.palette.smooth || n == 0 => &[Sum, Prod],
            _ => &[Sum, Prod, Max, Min],
        };
        let kind = self.pick(kinds);
        if kind == Prod && n > 4 {
            return None;
        }
        let y = self.emit(Op::Reduce { kind, axes }, &[x])?;
        let y = if kind == Sum { self.shrink(y, 1.0 / n.max(1) as f64) } else { y };
        self.push(y, exact && matches!(kind, Max | Min));
        Some(())
    }

    fn running(&mut self, x: Value, ty: &Type) -> Option<()> {
        use ReduceKind::*;
        if ty.rank() == 0 || ty.dtype == DType::Bool {
            return None;
        }
        let axis = self.r.below(ty.rank());
        let jumps: &[ReduceKind] = if ty.dtype.is_complex() || self.palette.smooth { &[] } else { &[Max, Min] };
        let kind = self.pick(&[&[Sum, Prod], jumps].concat());
        let exact = self.is_exact(x) && matches!(kind, Max | Min);
        let reverse = self.flip();
        let y = self.emit(Op::Cumulative { kind, axis, reverse }, &[x])?;
        let y = if kind == Sum { self.shrink(y, 1.0 / ty.shape[axis].max(1) as f64) } else { y };
        self.push(y, exact);
        Some(())
    }

    fn windowed(&mut self, x: Value, ty: &Type) -> Option<()> {
        use ReduceKind::*;
        if ty.rank() == 0 || ty.dtype == DType::Bool {
            return None;
        }
        let mut some = |n: usize| -> Shape { ty.shape.iter().map(|_| 1 + self.r.below(n)).collect() };
        let (window, strides) = (some(3), some(2));
        let (base_dilation, window_dilation) = (some(2), some(2));
        let padding: Vec<(i64, i64)> =
            window.iter().map(|&w| (self.r.below(w) as i64, self.r.below(w) as i64 - 1)).collect();
        let y = if self.r.below(3) == 0 {
            // the elements of one array at the extremes of another
            let kind = self.pick(&[Max, Min]);
            let key_ty = if ty.dtype.is_complex() { ty.with_dtype(self.palette.int) } else { ty.clone() };
            let key = self.of_type(&key_ty);
            if !self.is_exact(key) {
                return None;
            }
            let (w, s) = (window.clone(), strides.clone());
            let gather = Op::SelectAndGather { kind, window: w, strides: s, padding: padding.clone() };
            let y = self.emit(gather, &[x, key])?;
            if self.flip() {
                let exact = self.is_exact(x);
                self.push(y, exact);
                return Some(());
            }
            let source = self.b.ty(y).clone();
            let source = self.of_type(&source);
            let n: usize = window.iter().product();
            let y = self.emit(Op::SelectAndScatter { kind, window, strides, padding }, &[source, key])?;
            self.shrink(y, 1.0 / n as f64)
        } else {
            let jumps: &[ReduceKind] = if ty.dtype.is_complex() || self.palette.smooth { &[] } else { &[Max, Min] };
            let kind = self.pick(&[&[Sum, Sum, Prod], jumps].concat());
            let n: usize = window.iter().product();
            if kind == Prod && n > 4 {
                return None;
            }
            let op = Op::ReduceWindow { kind, window, strides, padding, base_dilation, window_dilation };
            let y = self.emit(op, &[x])?;
            match kind {
                Sum => self.shrink(y, 1.0 / n as f64),
                // windows of padding alone are infinite
                Max | Min if ty.dtype.is_float() => {
                    let (one, less) = (self.b.full_like(y, 1.0), self.b.full_like(y, -1.0));
                    let y = self.b.binary(Binary::Min, y, one);
                    self.b.binary(Binary::Max, y, less)
                }
                _ => y,
            }
        };
        self.push(y, false);
        Some(())
    }

    fn sorted(&mut self, x: Value, ty: &Type) -> Option<()> {
        if ty.rank() == 0 {
            return None;
        }
        let axis = self.r.below(ty.rank());
        let int = self.palette.int;
        let mut operands = vec![self.of_type(&ty.with_dtype(int))];
        let mut num_keys = 1;
        if !ty.dtype.is_complex() && self.is_exact(x) {
            let at = self.r.below(2);
            operands.insert(at, x);
            num_keys += self.r.below(2);
        } else {
            operands.push(x);
        }
        let payload = self.of_type(ty);
        operands.push(payload);
        let exact: Vec<bool> = operands.iter().map(|&v| self.is_exact(v)).collect();
        let sorted = self.b.emit(Op::Sort { axis, num_keys }, &operands).ok()?;
        for (&y, exact) in sorted.iter().zip(exact) {
            self.push(y, exact);
        }
        Some(())
    }
}
