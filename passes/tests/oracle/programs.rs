//! Random well-formed programs.
#![allow(dead_code)] // each test file uses a part

use super::{Random, array};
use gradloom_ir::{Binary, Builder, Comparison, DType, Graph, Literal, Op, ReduceKind, Shape, Type, Unary, Value};
use std::sync::Arc;

/// What programs are made of. The first kind has no op that a reassociating rule applies to.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Exact,
    Sums,
}

struct Generator<'a> {
    r: &'a mut Random,
    b: Builder,
    values: Vec<Value>,
    kind: Kind,
    /// The float and the integer dtype it is on.
    dtypes: [DType; 2],
}

impl Generator<'_> {
    fn any(&mut self) -> Value {
        // recent values more often, so that programs become deep
        let n = self.values.len();
        let i = if self.r.below(3) == 0 { self.r.below(n) } else { n - 1 - self.r.below(n.min(3)) };
        self.values[i]
    }

    /// A value of type `ty`: one there is, or a constant.
    fn of_type(&mut self, ty: &Type) -> Value {
        let fits: Vec<Value> = self.values.iter().copied().filter(|&v| self.b.ty(v) == ty).collect();
        if !fits.is_empty() && self.r.below(4) > 0 {
            return fits[self.r.below(fits.len())];
        }
        if self.r.below(2) == 0 {
            let value = array(self.r, ty, false);
            return self.b.literal(value);
        }
        let c: f64 = [0.0, 1.0, -1.0, 2.0, 0.5][self.r.below(5)];
        self.b.full(ty, if ty.dtype == DType::Bool { c.abs().floor() } else { c })
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.r.below(of.len())]
    }

    fn permutation(&mut self, n: usize) -> Shape {
        let mut p: Shape = (0..n).collect();
        (1..n).for_each(|i| p.swap(i, self.r.below(i + 1)));
        p
    }

    fn axes(&mut self, n: usize) -> Shape {
        (0..n).filter(|_| self.r.below(2) == 0).collect()
    }

    fn step(&mut self) {
        let x = self.any();
        let ty = self.b.ty(x).clone();
        let rank = ty.rank();
        let [float, int] = self.dtypes;
        let y = match self.r.below(17) {
            0 | 1 => self.unary(x, &ty),
            2..=4 => self.binary(x, &ty),
            5 => {
                let y = self.of_type(&ty);
                let c = self.pick(Comparison::ALL);
                let p = self.b.compare(c, x, y);
                let z = self.of_type(&ty);
                self.values.push(p);
                self.b.select(p, x, z)
            }
            6 => {
                let dtype = self.pick(&[float, int, DType::Bool, DType::I8, DType::U16, DType::F32]);
                let y = self.b.op(Op::Convert { dtype }, &[x]);
                // back to the dtypes that most ops take
                let back = if dtype == DType::F32 { float } else { int };
                self.b.op(Op::Convert { dtype: back }, &[y])
            }
            7 if rank < 3 => {
                // a broadcast with one new axis, the old ones permuted
                let mut shape: Shape = Shape::from_elem(0, rank + 1);
                let places = self.permutation(rank + 1);
                shape[places[rank]] = 1 + self.r.below(3);
                let dims: Shape = places[..rank].into();
                dims.iter().zip(&ty.shape).for_each(|(&d, &n)| shape[d] = if n == 1 { 1 + self.r.below(3) } else { n });
                self.b.op(Op::Broadcast { shape, dims }, &[x])
            }
            8 => {
                let mut shape: Shape = ty.shape.clone();
                match self.r.below(3) {
                    0 => shape = Shape::from_elem(ty.numel(), 1),
                    1 if rank < 4 => shape.insert(self.r.below(rank + 1), 1),
                    _ => shape.retain(|n| *n != 1),
                }
                self.b.op(Op::Reshape { shape }, &[x])
            }
            9 => {
                let perm = self.permutation(rank);
                self.b.op(Op::Transpose { perm }, &[x])
            }
            10 => self.slice(x, &ty),
            11 if rank > 0 => {
                let value =
                    if self.r.below(2) == 0 { Literal::scalar(ty.dtype, 0.0) } else { Literal::scalar(ty.dtype, 1.0) };
                let c = self.b.literal(value);
                let low = ty.shape.iter().map(|&n| self.r.below(3) as i64 - i64::from(n > 2)).collect();
                let high = ty.shape.iter().map(|_| self.r.below(2) as i64).collect();
                let interior = ty.shape.iter().map(|_| self.r.below(4) / 3).collect();
                self.b.op(Op::Pad { low, high, interior }, &[x, c])
            }
            12 if rank > 0 => {
                let axis = self.r.below(rank);
                let y = self.of_type(&ty);
                let z = if self.r.below(2) == 0 { x } else { self.of_type(&ty) };
                self.b.op(Op::Concatenate { axis }, &[x, y, z])
            }
            13 => {
                let axes = self.axes(rank);
                self.b.op(Op::Reverse { axes }, &[x])
            }
            14 => {
                let axes = self.axes(rank);
                let kinds: &[ReduceKind] = match (self.kind, ty.dtype) {
                    (_, DType::Bool) => &[ReduceKind::And, ReduceKind::Or, ReduceKind::Max],
                    (_, d) if d.is_int() => &[ReduceKind::Sum, ReduceKind::Max, ReduceKind::Prod, ReduceKind::Or],
                    (Kind::Exact, _) => &[ReduceKind::Max, ReduceKind::Min],
                    (Kind::Sums, _) => &[ReduceKind::Sum, ReduceKind::Max],
                };
                let kind = self.pick(kinds);
                self.b.op(Op::Reduce { kind, axes }, &[x])
            }
            15 if rank == 2 && ty.dtype != DType::Bool => {
                let z = self.of_type(&ty);
                let c: Shape = [self.r.below(2)].into_iter().collect();
                let op = Op::DotGeneral {
                    lhs_batch: Shape::new(),
                    rhs_batch: Shape::new(),
                    lhs_contract: c.clone(),
                    rhs_contract: c,
                };
                self.b.op(op, &[x, z])
            }
            16 if rank > 0 => self.indexed(x, &ty),
            _ => self.binary(x, &ty),
        };
        if self.b.ty(y).numel() <= 300 {
            self.values.push(y);
        }
    }

    fn unary(&mut self, x: Value, ty: &Type) -> Value {
        let op = match ty.dtype {
            DType::Bool => Unary::Not,
            d if d.is_int() => self.pick(&[
                Unary::Neg,
                Unary::Abs,
                Unary::Not,
                Unary::Sign,
                Unary::PopulationCount,
                Unary::LeadingZeros,
            ]),
            _ => self.pick(&[Unary::Neg, Unary::Neg, Unary::Abs, Unary::Floor, Unary::Ceil, Unary::Tanh, Unary::Sign]),
        };
        self.b.unary(op, x)
    }

    fn binary(&mut self, x: Value, ty: &Type) -> Value {
        let y = if self.r.below(5) == 0 { x } else { self.of_type(ty) };
        let ops: &[Binary] = match (ty.dtype, self.kind) {
            (DType::Bool, _) => &[Binary::And, Binary::Or, Binary::Xor, Binary::Max],
            (d, _) if d.is_int() => &[
                Binary::Add,
                Binary::Sub,
                Binary::Mul,
                Binary::Div,
                Binary::Rem,
                Binary::Max,
                Binary::And,
                Binary::Xor,
                Binary::ShiftLeft,
                Binary::ShiftRightLogical,
                Binary::ShiftRightArithmetic,
                Binary::Pow,
            ],
            (_, Kind::Exact) => &[Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Max, Binary::Min],
            // no quotients: they blow rounding up
            (_, Kind::Sums) => &[Binary::Add, Binary::Sub, Binary::Mul, Binary::Max],
        };
        let op = self.pick(ops);
        let (x, y) = if self.r.below(2) == 0 { (x, y) } else { (y, x) };
        let z = self.b.binary(op, x, y);
        // keep numbers of a size at which rounding can be told from error
        if self.kind == Kind::Sums && ty.dtype.is_float() { self.b.unary(Unary::Tanh, z) } else { z }
    }

    /// A dynamic slice or update at constant, partly too large starts.
    fn indexed(&mut self, x: Value, ty: &Type) -> Value {
        let sizes: Shape = ty.shape.iter().map(|&n| n - self.r.below(2).min(n)).collect();
        let starts: Vec<Value> =
            sizes.iter().map(|_| self.r.below(4) as f64 - 1.0).map(|s| self.b.scalar(self.dtypes[1], s)).collect();
        if self.r.below(2) == 0 {
            return self.b.op(Op::DynamicSlice { sizes }, &[&[x], &starts[..]].concat());
        }
        let base = self.b.full(ty, 1.0);
        let update = self.of_type(&ty.with_shape(&sizes));
        let base = if self.r.below(2) == 0 { base } else { x };
        self.b.op(Op::DynamicUpdateSlice {}, &[&[base, update], &starts[..]].concat())
    }

    fn slice(&mut self, x: Value, ty: &Type) -> Value {
        let (mut start, mut limit, mut stride) = (Shape::new(), Shape::new(), Shape::new());
        for &n in &ty.shape {
            let (s, len) = match self.r.below(12) {
                0 => (n / 2, 0),
                1..6 if n > 1 => (self.r.below(2), 1 + self.r.below(n - 1)),
                _ => (0, n),
            };
            start.push(s);
            limit.push((s + len).min(n));
            stride.push(1 + self.r.below(2));
        }
        self.b.op(Op::Slice { start, limit, stride }, &[x])
    }
}

/// Two to four input types: f64, i32 and bool.
pub fn types(r: &mut Random) -> Vec<Type> {
    types_of(r, [DType::F64, DType::I32])
}

/// Two to four input types: a float dtype, an integer dtype and bool.
pub fn types_of(r: &mut Random, [float, int]: [DType; 2]) -> Vec<Type> {
    let shapes: [&[usize]; 6] = [&[], &[3], &[2, 3], &[3, 3], &[1, 3], &[2, 1, 3]];
    (0..2 + r.below(3))
        .map(|_| {
            let dtype = [float, float, int, DType::Bool][r.below(4)];
            Type::new(dtype, shapes[r.below(shapes.len())])
        })
        .collect()
}

/// A program of 5 to 40 ops.
pub fn program(r: &mut Random, inputs: &[Type], kind: Kind) -> Graph {
    let (b, values) = Builder::with_inputs(inputs);
    let of = |is: fn(DType) -> bool, or| inputs.iter().map(|t| t.dtype).find(|&d| is(d)).unwrap_or(or);
    let dtypes = [of(DType::is_float, DType::F64), of(DType::is_int, DType::I32)];
    let mut g = Generator { r, b, values, kind, dtypes };
    for _ in 0..5 + g.r.below(36) {
        g.step();
    }
    // what nothing uses is returned, so that everything is alive, and now and then something that is used
    let used: Vec<Value> = g.b.nodes().iter().flat_map(|n| n.args.iter().copied()).collect();
    let mut outs: Vec<Value> = g.values.iter().copied().filter(|v| !used.contains(v)).collect();
    if g.r.below(3) == 0 {
        outs.push(g.any());
    }
    g.b.finish(&outs).expect("generated programs are well-formed")
}

/// A random program as the body of a scan, its consts partly constants, one carry per output that fits.
pub fn looped(r: &mut Random) -> Graph {
    let types = types(r);
    let body = program(r, &types, Kind::Exact);
    let length = 1 + r.below(3);
    let consts = r.below(types.len());
    // the carry: an input of a random type that the body hands on, changed or not
    let carry = types[consts].clone();
    let next = match body.outputs().iter().find(|&&o| *body.ty(o) == carry) {
        Some(&o) if r.below(3) > 0 => o,
        _ => Value::from_index(consts),
    };
    let (mut b, args) = Builder::with_inputs(&types);
    let picked: Vec<Value> = [next].into_iter().chain(body.outputs().iter().copied()).collect();
    let body = {
        let mut whole = Builder::new();
        let ins: Vec<Value> = types.iter().map(|t| whole.input(t.clone(), "")).collect();
        let mut map = ins.clone();
        for n in body.nodes() {
            let a: Vec<Value> = n.args.iter().map(|a| map[a.index()]).collect();
            map.extend(whole.emit(n.op.clone(), &a).expect("it was well-formed"));
        }
        let outs: Vec<Value> = picked.iter().map(|o| map[o.index()]).collect();
        whole.finish(&outs).expect("well-formed")
    };
    let mut operands = Vec::new();
    for (i, &a) in args.iter().enumerate() {
        let ty = b.ty(a).clone();
        operands.push(if i < consts && r.below(2) == 0 {
            b.full(&ty, 1.0)
        } else if i > consts {
            let shape: Shape = [length].into_iter().chain(ty.shape.iter().copied()).collect();
            let dims: Shape = (1..shape.len()).collect();
            b.op(Op::Broadcast { shape, dims }, &[a])
        } else {
            a
        });
    }
    let op = Op::Scan { body: Arc::new(body), length, reverse: r.below(2) == 0, consts, carry: 1 };
    let results = b.emit(op, &operands).expect("the scan is well-typed");
    let outs: Vec<Value> = results.iter().copied().filter(|_| r.below(3) > 0).collect();
    b.finish(&outs).expect("well-formed")
}
