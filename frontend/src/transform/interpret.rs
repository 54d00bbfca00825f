//! Transforms of the user's own: a program walked with another meaning of its values.

use crate::tensor::{Tensor, apply_n};
use crate::trace::trace;
use crate::tree::Tree;
use gradloom_ir::{Error, Graph, Loc, Op, Result, Shape, Type};
use std::sync::Arc;

/// A meaning of programs: what stands for each value, and what ops do to it.
///
/// With values made of tensors it is a transform as `grad` and `vmap` are: what it does is recorded where it is called inside
/// of other transforms, so that it can be compiled, differentiated and mapped ([`Tensor::apply`] runs an op as it is). With
/// other values it is an analysis.
///
/// Functions with rules of their own and recomputed ones are walked as what they compute, and scans step by step; for
/// branches and other loops see [`Interpreter::control`].
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{Interpreter, Result, interpret, ir::{Op, Type}, prelude::*};
/// /// Counts the elementwise operations on numbers that are not known beforehand.
/// struct Counter(usize);
/// impl Interpreter for Counter {
///     type Value = ();
///     fn constant(&mut self, _: &Tensor) -> Result<()> {
///         Ok(())
///     }
///     fn apply(&mut self, op: &Op, _: &[()], results: &[Type]) -> Result<Vec<()>> {
///         if matches!(op, Op::Unary(_) | Op::Binary(_)) {
///             self.0 += results[0].numel();
///         }
///         Ok(vec![(); results.len()])
///     }
/// }
/// let mut counter = Counter(0);
/// interpret(&mut counter, |x: &Tensor| (x * x).sin(), &Tensor::zeros([10]), vec![()])?;
/// assert_eq!(counter.0, 20);
/// # Ok::<(), gradloom::Error>(())
/// ```
pub trait Interpreter {
    /// What stands for a value of the program.
    type Value: Clone;

    /// What stands for a number or an array that is at hand.
    fn constant(&mut self, x: &Tensor) -> Result<Self::Value>;

    /// What stands for the results of an op, which have the types `results`.
    fn apply(&mut self, op: &Op, args: &[Self::Value], results: &[Type]) -> Result<Vec<Self::Value>>;

    /// What stands for the results of an op with nested programs; `None` leaves it to the walk, which has no answer for
    /// `while` and `switch`. [`walk`] goes through a nested program.
    fn control(&mut self, _op: &Op, _args: &[Self::Value], _results: &[Type]) -> Option<Result<Vec<Self::Value>>> {
        None
    }
}

/// Walks through what `f` computes on arguments like `x`, whose leaves `inputs` stand for; returns what stands for the leaves
/// of the result.
///
/// # Errors
/// Those of `f` and of the interpreter, with the line of the op at fault.
pub fn interpret<I: Interpreter, A: Tree, B: Tree>(
    i: &mut I,
    f: impl FnOnce(&A) -> B,
    x: &A,
    inputs: Vec<I::Value>,
) -> Result<Vec<I::Value>> {
    let traced = trace(x, f)?.program;
    let mut values = traced.captures.iter().map(|t| i.constant(t)).collect::<Result<Vec<_>>>()?;
    values.extend(inputs);
    walk(i, &traced.graph, values)
}

/// Walks through a program.
///
/// # Errors
/// Those of the interpreter, with the line of the op at fault; another number of inputs than the program has.
pub fn walk<I: Interpreter>(i: &mut I, g: &Graph, inputs: Vec<I::Value>) -> Result<Vec<I::Value>> {
    if inputs.len() != g.num_inputs() {
        let what = format!("{} values for the {} inputs of a program", inputs.len(), g.num_inputs());
        return Err(Error::user("interpret", what));
    }
    let mut values = inputs;
    for node in g.nodes() {
        let args: Vec<I::Value> = node.args.iter().map(|a| values[a.index()].clone()).collect();
        let types: Vec<Type> = node.results.iter().map(|&r| g.ty(r).clone()).collect();
        let results = step(i, &node.op, &args, &types).map_err(|e| e.at(&node.loc))?;
        if results.len() != types.len() {
            let what = format!("{} values for the {} results of `{}`", results.len(), types.len(), node.op.name());
            return Err(Error::user("interpret", what).at(&node.loc));
        }
        values.extend(results);
    }
    Ok(g.outputs().iter().map(|o| values[o.index()].clone()).collect())
}

fn step<I: Interpreter>(i: &mut I, op: &Op, args: &[I::Value], types: &[Type]) -> Result<Vec<I::Value>> {
    if let Op::Constant { value } = op {
        return Ok(vec![i.constant(&Tensor::from_literal(value))?]);
    }
    if !op.has_body() {
        return i.apply(op, args, types);
    }
    if let Some(results) = i.control(op, args, types) {
        return results;
    }
    match op {
        Op::CustomJvp { primal: body, .. } | Op::CustomVjp { primal: body, .. } | Op::Remat { body } => {
            walk(i, body, args.to_vec())
        }
        Op::Scan { body, length, reverse, consts, carry } => {
            scan(i, body, *length, *reverse, [*consts, *carry], args, types)
        }
        _ => Err(Error::user(op.name(), "this interpretation has no rule for it").help("write `Interpreter::control`")),
    }
}

/// A scan step by step: rows are cut out of its operands and put together again by ops that the interpreter sees.
fn scan<I: Interpreter>(
    i: &mut I,
    body: &Arc<Graph>,
    length: usize,
    reverse: bool,
    [consts, carry]: [usize; 2],
    args: &[I::Value],
    types: &[Type],
) -> Result<Vec<I::Value>> {
    let row_types: Vec<Type> = body.input_types().split_off(consts + carry);
    let mut state = args[consts..consts + carry].to_vec();
    let mut rows: Vec<Vec<I::Value>> = vec![Vec::new(); types.len() - carry];
    for t in 0..length {
        let t = if reverse { length - 1 - t } else { t };
        let mut inputs = args[..consts].to_vec();
        inputs.append(&mut state);
        for (xs, ty) in args[consts + carry..].iter().zip(&row_types) {
            inputs.push(row(i, xs, ty, t)?);
        }
        let mut outs = walk(i, body, inputs)?;
        let ys = outs.split_off(carry);
        state = outs;
        for ((rows, y), ty) in rows.iter_mut().zip(ys).zip(&types[carry..]) {
            let mut shape = ty.shape.clone();
            shape[0] = 1;
            let row = ty.with_shape(&shape);
            rows.push(one(i, &Op::Reshape { shape }, &[y], row)?);
        }
    }
    for (mut rows, ty) in rows.into_iter().zip(&types[carry..]) {
        if reverse {
            rows.reverse();
        }
        state.push(if rows.is_empty() {
            i.constant(&Tensor::full_of(ty))?
        } else {
            one(i, &Op::Concatenate { axis: 0 }, &rows, ty.clone())?
        });
    }
    Ok(state)
}

/// Row `t`, of type `ty`.
fn row<I: Interpreter>(i: &mut I, xs: &I::Value, ty: &Type, t: usize) -> Result<I::Value> {
    let with = |first: usize| [&[first], &ty.shape[..]].concat();
    let mut start = vec![0; ty.rank() + 1];
    start[0] = t;
    let stride = Shape::from_elem(1, ty.rank() + 1);
    let cut = Op::Slice { start: Shape::from_vec(start), limit: Shape::from_vec(with(t + 1)), stride };
    let x = one(i, &cut, std::slice::from_ref(xs), ty.with_shape(&with(1)))?;
    one(i, &Op::Reshape { shape: ty.shape.clone() }, &[x], ty.clone())
}

fn one<I: Interpreter>(i: &mut I, op: &Op, args: &[I::Value], ty: Type) -> Result<I::Value> {
    let mut results = i.apply(op, args, &[ty])?;
    results.pop().ok_or_else(|| Error::user("interpret", format!("no value for the result of `{}`", op.name())))
}

impl Tensor {
    /// The results of an op of the compiler on these operands; what an [`Interpreter`] does with ops that it leaves as they
    /// are.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::{ir::{Op, Unary}, prelude::*};
    /// let y = Tensor::apply(&Op::Unary(Unary::Exp), &[&Tensor::from(0.0f32)])?;
    /// assert_eq!(y[0].item::<f32>()?, 1.0);
    /// # Ok::<(), gradloom::Error>(())
    /// ```
    ///
    /// # Errors
    /// Operands that the op does not take.
    #[track_caller]
    pub fn apply(op: &Op, operands: &[&Tensor]) -> Result<Vec<Tensor>> {
        apply_n(op.clone(), operands, &Loc::caller()).map(|results| results.into_vec())
    }

    /// Zeros of a type.
    fn full_of(ty: &Type) -> Tensor {
        let zero = gradloom_ir::Literal::scalar(ty.dtype, 0.0);
        Tensor::from_literal(&zero).broadcast_to(ty.shape.to_vec())
    }
}
