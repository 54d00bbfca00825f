//! Attention as a program, and its gradient.

use gradloom_ir::eval::eval;
use gradloom_ir::{Builder, Comparison, DType, Graph, Literal, Op, ReduceKind, Type, Unary, Value};
use gradloom_passes::Pipeline;
use gradloom_passes::transform::{linearize, transpose};

/// What is done to scores.
#[derive(Clone, Copy, PartialEq, Debug)]
#[allow(dead_code, reason = "not every test program has all")]
pub enum Mask {
    None,
    /// A query sees no later key.
    Causal,
    /// A query sees the keys for which a bool is true, and weights are 0 where there are none.
    Keys,
    /// An array of the scores' size is added to them.
    Bias,
    /// Weights are multiplied by an array of their size.
    Dropout,
}

/// Attention of `t` queries and `s` keys of `d` numbers, with values of `e`.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    pub batch: usize,
    pub heads: usize,
    pub t: usize,
    pub s: usize,
    pub d: usize,
    pub e: usize,
    pub dtype: DType,
    pub mask: Mask,
}

impl Attention {
    /// Queries, keys and values `[batch, place, head, number]`, and what the mask takes, to `[batch, place, head, number]`.
    pub fn graph(self) -> Graph {
        let Attention { batch, heads, t, s, d, e, dtype, mask } = self;
        let array = |n: usize, last: usize| Type::new(dtype, &[batch, n, heads, last]);
        let shape = [batch, heads, t, s];
        let mut types = vec![array(t, d), array(s, d), array(s, e)];
        match mask {
            Mask::Keys => types.push(Type::new(DType::Bool, &[batch, s])),
            Mask::Bias | Mask::Dropout => types.push(Type::new(dtype, &shape)),
            Mask::None | Mask::Causal => {}
        }
        let (mut b, x) = Builder::with_inputs(&types);
        let scores = Op::DotGeneral {
            lhs_batch: [0, 2].into_iter().collect(),
            rhs_batch: [0, 2].into_iter().collect(),
            lhs_contract: [3].into_iter().collect(),
            rhs_contract: [3].into_iter().collect(),
        };
        let scores = b.op(scores, &[x[0], x[1]]);
        let mut scores = b.scale(scores, 1.0 / (d as f64).sqrt());
        let lowest = b.full_like(scores, if dtype == DType::F16 { -6e4 } else { -1e30 });
        let seen = match mask {
            Mask::Causal => {
                let (row, column) = (b.iota(DType::I32, &[t, s], 0), b.iota(DType::I32, &[t, s], 1));
                let seen = b.compare(Comparison::Ge, row, column);
                Some(b.broadcast(seen, &shape, &[2, 3]))
            }
            Mask::Keys => Some(b.broadcast(x[3], &shape, &[0, 3])),
            Mask::Bias => {
                scores = b.add(scores, x[3]);
                None
            }
            Mask::None | Mask::Dropout => None,
        };
        if let Some(seen) = seen {
            scores = b.select(seen, scores, lowest);
        }
        let spread = |b: &mut Builder, x: Value| b.broadcast(x, &shape, &[0, 1, 2]);
        let greatest = b.reduce(ReduceKind::Max, scores, &[3]);
        // no derivative passes an integer
        let bits = if dtype == DType::F32 { DType::I32 } else { DType::I16 };
        let greatest = b.op(Op::Bitcast { dtype: bits }, &[greatest]);
        let greatest = b.op(Op::Bitcast { dtype }, &[greatest]);
        let greatest = spread(&mut b, greatest);
        let less = b.sub(scores, greatest);
        let exponentials = b.unary(Unary::Exp, less);
        let sum = b.sum(exponentials, &[3]);
        let sum = spread(&mut b, sum);
        let mut weights = b.div(exponentials, sum);
        if mask == Mask::Keys {
            let zero = b.full_like(weights, 0.0);
            weights = b.select(seen.unwrap_or(zero), weights, zero);
        }
        if mask == Mask::Dropout {
            weights = b.mul(weights, x[3]);
        }
        let sums = Op::DotGeneral {
            lhs_batch: [0, 1].into_iter().collect(),
            rhs_batch: [0, 2].into_iter().collect(),
            lhs_contract: [3].into_iter().collect(),
            rhs_contract: [1].into_iter().collect(),
        };
        let out = b.op(sums, &[weights, x[2]]);
        let out = b.transpose(out, &[0, 2, 1, 3]);
        b.finish(&[out]).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Whether results with their gradient on 16-bit floats are as near to what exact arithmetic gives as ops that round each result are.
    pub fn is_near(self, inputs: &[Literal], outs: &[Literal]) {
        let run = |g: &Graph, inputs: &[Literal]| eval(&with_gradient(g), inputs).unwrap_or_else(|e| panic!("{e}"));
        let wide: Vec<Literal> = inputs.iter().map(|x| as_dtype(x, DType::F32)).collect();
        let exact = run(&Attention { dtype: DType::F32, ..self }.graph(), &wide);
        let rounded = run(&self.graph(), inputs);
        for ((e, r), o) in exact.iter().zip(&rounded).zip(outs) {
            let (of_ops, ours) = (distance(e, r), distance(e, o));
            assert!(ours < 1.2 * of_ops + 1e-3, "{self:?}: {ours} where ops have {of_ops}");
        }
    }
}

/// The same numbers in another dtype.
pub fn as_dtype(x: &Literal, dtype: DType) -> Literal {
    if !x.ty().dtype.is_float() {
        return x.clone();
    }
    let (mut b, inputs) = Builder::with_inputs(&[x.ty().clone()]);
    let y = b.convert(inputs[0], dtype);
    let g = b.finish(&[y]).unwrap_or_else(|e| panic!("{e}"));
    eval(&g, std::slice::from_ref(x)).unwrap_or_else(|e| panic!("{e}")).remove(0)
}

/// How far results are from others, in parts of their length.
pub fn distance(exact: &Literal, x: &Literal) -> f64 {
    let numbers = |x: &Literal| -> Vec<f64> {
        as_dtype(x, DType::F64)
            .bytes()
            .chunks(8)
            .map(|c| f64::from_ne_bytes(c.try_into().expect("eight bytes")))
            .collect()
    };
    let (exact, x) = (numbers(exact), numbers(x));
    let length = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>().sqrt();
    length(&mut exact.iter().zip(&x).map(|(e, x)| e - x)) / length(&mut exact.iter().copied()).max(1e-30)
}

/// A program's results and the gradient of the sum of their squares with respect to its floats.
pub fn with_gradient(g: &Graph) -> Graph {
    let active: Vec<bool> = g.input_types().iter().map(|t| t.dtype.is_float()).collect();
    let lin = linearize(g, &active).unwrap_or_else(|e| panic!("{e}"));
    let linear: Vec<bool> = (0..lin.linear.num_inputs()).map(|i| i >= lin.residuals).collect();
    let back = transpose(&lin.linear, &linear).unwrap_or_else(|e| panic!("{e}")).graph;
    let (mut b, inputs) = Builder::with_inputs(&g.input_types());
    let made = b.inline(&lin.primal, &inputs).unwrap_or_else(|e| panic!("{e}"));
    let (results, residuals) = made.split_at(made.len() - lin.residuals);
    let twice: Vec<Value> = results.iter().map(|&r| b.add(r, r)).collect();
    let gradient = b.inline(&back, &[residuals, &twice].concat()).unwrap_or_else(|e| panic!("{e}"));
    b.finish(&[results, &gradient].concat()).unwrap_or_else(|e| panic!("{e}"))
}

/// What the backend is given.
pub fn optimised(g: &Graph) -> Graph {
    let mut h = g.clone();
    Pipeline::standard().run(&mut h).unwrap_or_else(|e| panic!("{e}"));
    h
}
