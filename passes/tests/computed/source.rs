//! Random operands and attributes.

use crate::oracle::Random;
use gradloom_ir::{Builder, DType, Graph, Literal, Op, Shape, Type, Value, infer};

/// A program under way, and random numbers.
pub struct Source {
    r: Random,
    pub b: Builder,
}

impl Source {
    /// The program of a seed.
    pub fn program(seed: u64, make: fn(&mut Source) -> Value) -> Graph {
        let mut s = Source { r: Random(seed), b: Builder::new() };
        let x = make(&mut s);
        s.b.finish(&[x]).expect("the forms of rules are well-formed")
    }

    /// Uniform in `0..n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.r.below(n)
    }

    pub fn flip(&mut self) -> bool {
        self.r.below(2) == 0
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.r.below(of.len())]
    }

    pub fn dtype(&mut self) -> DType {
        self.pick(&DType::ALL)
    }

    /// A dtype with this property.
    pub fn dtype_that(&mut self, is: fn(DType) -> bool) -> DType {
        let all: Vec<DType> = DType::ALL.into_iter().filter(|&d| is(d)).collect();
        self.pick(&all)
    }

    /// A shape of a rank in `least..=most`, its axes of lengths in `lengths`.
    pub fn shape(&mut self, [least, most]: [usize; 2], lengths: std::ops::RangeInclusive<usize>) -> Shape {
        let rank = least + self.below(most - least + 1);
        (0..rank).map(|_| lengths.start() + self.below(lengths.end() - lengths.start() + 1)).collect()
    }

    pub fn permutation(&mut self, n: usize) -> Shape {
        let mut p: Shape = (0..n).collect();
        (1..n).for_each(|i| p.swap(i, self.below(i + 1)));
        p
    }

    /// Some axes of a rank, in order.
    pub fn axes(&mut self, rank: usize) -> Shape {
        (0..rank).filter(|_| self.flip()).collect()
    }

    /// Some axes of a rank, in order, but not none.
    pub fn some_axes(&mut self, rank: usize) -> Shape {
        let one = self.below(rank);
        (0..rank).filter(|&a| self.flip() || a == one).collect()
    }

    pub fn input(&mut self, dtype: DType, shape: &[usize]) -> Value {
        self.b.input(Type::new(dtype, shape), "")
    }

    /// An array of one constant, which may be a zero of either sign, an infinity or NaN.
    pub fn splat(&mut self, dtype: DType, shape: &[usize]) -> Value {
        let c = self.number(dtype);
        let c = self.b.literal(c);
        if shape.is_empty() { c } else { self.b.broadcast(c, shape, &[]) }
    }

    pub fn number(&mut self, dtype: DType) -> Literal {
        let x = self.pick(&[0.0, -0.0, 1.0, -1.0, 2.5, 7.0, f64::INFINITY, f64::NAN]);
        Literal::scalar(dtype, if dtype.is_inexact() || x.is_finite() { x } else { 3.0 })
    }

    /// Where the axes of an array of this shape go in a larger one, and that one's shape: `repeats` new axes among them.
    pub fn repeated(&mut self, shape: &[usize], repeats: usize) -> (Shape, Shape) {
        let rank = shape.len() + repeats;
        let places = self.permutation(rank);
        let mut out: Shape = (0..rank).map(|_| 2 + self.below(2)).collect();
        let dims: Shape = places[..shape.len()].into();
        dims.iter().zip(shape).for_each(|(&d, &n)| out[d] = n);
        (out, dims)
    }

    /// An op of these that takes the operands.
    pub fn op_for(&mut self, ops: &[Op], args: &[Value]) -> Option<Op> {
        let types: Vec<Type> = args.iter().map(|&a| self.b.ty(a).clone()).collect();
        let fit: Vec<&Op> = ops.iter().filter(|op| infer(op, &types).is_ok()).collect();
        (!fit.is_empty()).then(|| fit[self.below(fit.len())].clone())
    }

    /// A slice of an array of this shape.
    pub fn cut(&mut self, shape: &[usize], strides: usize) -> Op {
        let (mut start, mut limit, mut stride) = (Shape::new(), Shape::new(), Shape::new());
        for &n in shape {
            let from = self.below(n + 1);
            start.push(from);
            limit.push(from + self.below(n - from + 1));
            stride.push(1 + self.below(strides));
        }
        Op::Slice { start, limit, stride }
    }
}
