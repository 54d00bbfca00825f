//! Ops of the user's own.

use crate::tensor::{Tensor, Traced, apply_n, checks};
use crate::trace;
use gradloom_backends::kernel::{self, LoopNest};
use gradloom_ir::{Builder, Error, Graph, Literal, Loc, Op, Primitive, PrimitiveRules, Result, Type};
use std::any::Any;
use std::cell::Cell;

/// An op of one's own, by what the transforms and the compiler ask of it. It stays one node of programs, which passes and
/// rules see by its name, until it is compiled.
///
/// Every rule is written with tensors. Those that are left out (`None`) are what [`CustomOp::eval`] and the other rules
/// make up for: without `lower` and `kernel` compiled code calls `eval`, without `batch` rows are computed one after the other, without
/// `jvp` reverse mode alone has a derivative, by `vjp`. Without both there is none.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{Result, CustomOp, custom_op, ir::Type, prelude::*};
/// /// x³, whose derivative is 3x².
/// struct Cube;
/// impl CustomOp for Cube {
///     fn name(&self) -> &str {
///         "cube"
///     }
///     fn shape(&self, args: &[Type]) -> Result<Vec<Type>> {
///         Ok(args.to_vec())
///     }
///     fn lower(&self, x: &[Tensor]) -> Option<Vec<Tensor>> {
///         Some(vec![&x[0] * &x[0] * &x[0]])
///     }
///     fn jvp(&self, x: &[Tensor], _y: &[Tensor], dx: &[Tensor]) -> Option<Vec<Tensor>> {
///         Some(vec![x[0].square() * 3.0 * &dx[0]])
///     }
/// }
/// let cube = custom_op(Cube);
/// let f = |x: &Tensor| cube.call(&[x]).remove(0).sum(..);
/// let x = Tensor::from([1.0f32, 2.0]);
/// assert_eq!(jit(grad(f)).call(&x)?.to_vec::<f32>()?, [3.0, 12.0]);
/// assert!(jit(f).lower(&x)?.traced_text().contains("cube"));
/// # Ok::<(), gradloom::Error>(())
/// ```
pub trait CustomOp: Send + Sync + 'static {
    /// The name in the text form and in messages.
    fn name(&self) -> &str;

    /// The result types on operands of these types, or why there are none.
    fn shape(&self, args: &[Type]) -> Result<Vec<Type>>;

    /// The results of operands that are at hand. Unless it is written, what [`CustomOp::kernel`] or [`CustomOp::lower`]
    /// computes.
    fn eval(&self, x: &[Tensor]) -> Result<Vec<Tensor>> {
        let types: Vec<Type> = x.iter().map(Tensor::ty).collect();
        if let Some(nest) = self.kernel(&types) {
            let args: Vec<Literal> = x.iter().map(Tensor::to_literal).collect::<Result<_>>()?;
            let named = |e: Error| Error::user(self.name(), e.message());
            let results = kernel::evaluate(&nest, &args, &self.shape(&types)?).map_err(named)?;
            return Ok(results.iter().map(Tensor::from_literal).collect());
        }
        let what = "has neither a function `eval` nor a `kernel` nor a program `lower`";
        self.lower(x).ok_or_else(|| Error::user(self.name(), what))
    }

    /// The results by other ops: the compiler fuses them with what is around.
    fn lower(&self, _x: &[Tensor]) -> Option<Vec<Tensor>> {
        None
    }

    /// The code of the op on operands of these types, where there is no `lower`: a loop nest whose params are the operands,
    /// then the results, and that writes every element of the results. It is checked before it is compiled.
    fn kernel(&self, _args: &[Type]) -> Option<LoopNest> {
        None
    }

    /// Tangents of the results `y`, linear in the tangents `dx` of the operands `x`.
    fn jvp(&self, _x: &[Tensor], _y: &[Tensor], _dx: &[Tensor]) -> Option<Vec<Tensor>> {
        None
    }

    /// Cotangents of the operands `x` by those of the results `y`.
    fn vjp(&self, _x: &[Tensor], _y: &[Tensor], _ct: &[Tensor]) -> Option<Vec<Tensor>> {
        None
    }

    /// The results over a batch: operands that are `batched` have the batch as their first axis, and so must all results.
    fn batch(&self, _x: &[Tensor], _batched: &[bool]) -> Option<Vec<Tensor>> {
        None
    }
}

/// The op, made of its rules.
pub fn custom_op(op: impl CustomOp) -> UserOp {
    UserOp(Primitive::new(Rules(op)))
}

/// An op of one's own, by [`custom_op`].
#[derive(Clone, Debug)]
pub struct UserOp(Primitive);

impl UserOp {
    /// The op on these operands. Errors travel in the results.
    #[track_caller]
    pub fn call(&self, operands: &[&Tensor]) -> Vec<Tensor> {
        let types: Vec<Type> = operands.iter().map(|t| t.ty()).collect();
        let count = self.0.infer(&types).map_or(1, |types| types.len());
        let outs = apply_n(self.op(), operands, &Loc::caller()).map(|r| r.into_vec());
        checks::settled_list(count, outs)
    }

    /// The op as it stands in programs.
    pub fn op(&self) -> Op {
        Op::Custom { primitive: self.0.clone() }
    }
}

/// A user's op as the compiler asks of it.
struct Rules<T>(T);

/// A rule on tensors as a program for operands of these types. Tensors that the rule uses besides become constants.
fn program(types: &[Type], rule: impl FnOnce(&[Tensor]) -> Option<Vec<Tensor>>) -> Result<Option<Graph>> {
    let args: Vec<Tensor> = types.iter().map(|ty| Tensor::from_traced(Traced::placeholder(ty))).collect();
    let there = Cell::new(true);
    let run = |x: &Vec<Tensor>| {
        rule(x).unwrap_or_else(|| {
            there.set(false);
            Vec::new()
        })
    };
    // rules do not see what is traced around them
    let traced = trace::suspended(|| trace::trace(&args, run))?.program;
    if !there.get() {
        return Ok(None);
    }
    let mut b = Builder::new();
    let constants: Vec<Literal> = traced.captures.iter().map(Tensor::to_literal).collect::<Result<_>>()?;
    let mut inputs: Vec<_> = constants.into_iter().map(|c| b.literal(c)).collect();
    inputs.extend(types.iter().map(|ty| b.input(ty.clone(), "")));
    let outputs = b.inline(&traced.graph, &inputs)?;
    b.finish(&outputs).map(Some)
}

impl<T: CustomOp> PrimitiveRules for Rules<T> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn infer(&self, args: &[Type]) -> Result<Vec<Type>> {
        self.0.shape(args)
    }

    fn eval(&self, args: &[Literal]) -> Result<Vec<Literal>> {
        let x: Vec<Tensor> = args.iter().map(Tensor::from_literal).collect();
        trace::suspended(|| self.0.eval(&x))?.iter().map(Tensor::to_literal).collect()
    }

    fn program(&self, args: &[Type]) -> Result<Option<Graph>> {
        program(args, |x| self.0.lower(x))
    }

    fn kernel(&self, args: &[Type]) -> Result<Option<Box<dyn Any>>> {
        Ok(self.0.kernel(args).map(|nest| Box::new(nest) as Box<dyn Any>))
    }

    fn jvp(&self, args: &[Type]) -> Result<Option<Graph>> {
        let results = self.0.shape(args)?;
        program(&[args, &results, args].concat(), |all| {
            let (x, rest) = all.split_at(args.len());
            let (y, dx) = rest.split_at(results.len());
            self.0.jvp(x, y, dx)
        })
    }

    fn vjp(&self, args: &[Type]) -> Result<Option<Graph>> {
        let results = self.0.shape(args)?;
        program(&[args, &results, &results].concat(), |all| {
            let (x, rest) = all.split_at(args.len());
            let (y, ct) = rest.split_at(results.len());
            self.0.vjp(x, y, ct)
        })
    }

    fn batch(&self, args: &[Type], batched: &[bool], size: usize) -> Result<Option<Graph>> {
        let rows = |(ty, &batched): (&Type, &bool)| {
            let mut shape = ty.shape.clone();
            if batched {
                shape.insert(0, size);
            }
            ty.with_shape(&shape)
        };
        let types: Vec<Type> = args.iter().zip(batched).map(rows).collect();
        program(&types, |x| self.0.batch(x, batched))
    }
}
