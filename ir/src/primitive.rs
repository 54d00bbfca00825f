//! Ops of the user's own.

use crate::callback::contained;
use crate::registry::Registry;
use crate::{Callback, Error, Graph, Literal, Result, Type};
use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What the compiler asks of an op of the user's own. All but a name, the result types and the values may be left out:
/// `None` says that there is no such rule.
///
/// Rules are programs for operands of the types they are asked for. They must not depend on anything else: the compiler
/// asks as often as it likes.
pub trait PrimitiveRules: Send + Sync {
    /// The name in the text form and in messages.
    fn name(&self) -> &str;

    /// The result types on operands of these types, or why there are none.
    fn infer(&self, args: &[Type]) -> Result<Vec<Type>>;

    /// The results: what the interpreter computes, and compiled code too where there is no [`PrimitiveRules::program`].
    fn eval(&self, args: &[Literal]) -> Result<Vec<Literal>>;

    /// The same in other ops: compiled code fuses it with what is around it.
    fn program(&self, _args: &[Type]) -> Result<Option<Graph>> {
        Ok(None)
    }

    /// Code that one backend understands, for where there is no program: of the CPU a `gradloom_backends::kernel::LoopNest`
    /// whose params are `args`, then the results.
    fn kernel(&self, _args: &[Type]) -> Result<Option<Box<dyn Any>>> {
        Ok(None)
    }

    /// `args.., results.., tangents of args..` to tangents of the results, linear in the tangents.
    fn jvp(&self, _args: &[Type]) -> Result<Option<Graph>> {
        Ok(None)
    }

    /// `args.., results.., cotangents of results..` to cotangents of `args`: reverse mode, where there is no `jvp`.
    fn vjp(&self, _args: &[Type]) -> Result<Option<Graph>> {
        Ok(None)
    }

    /// The results over a batch of `size` rows. `args` are the types of a row; operands that are `batched` have the batch
    /// axis in front, and so have all results. Without it rows are computed one after the other.
    fn batch(&self, _args: &[Type], _batched: &[bool], _size: usize) -> Result<Option<Graph>> {
        Ok(None)
    }
}

/// An op of the user's own. Two are equal if they are the same object: clones of one [`Primitive::new`].
///
/// The text form names it by number, `primitive<3 "logdet">`, which can be read back in the process that wrote it as long as
/// the op lives.
#[derive(Clone)]
pub struct Primitive(Arc<Inner>);

struct Inner {
    id: u64,
    rules: Box<dyn PrimitiveRules>,
}

static ALIVE: Registry<Inner> = Registry::new();

impl Primitive {
    /// An op with these rules.
    pub fn new(rules: impl PrimitiveRules + 'static) -> Primitive {
        Primitive(ALIVE.insert(|id| Inner { id, rules: Box::new(rules) }))
    }

    /// The op of this number and name, if it is still alive in this process.
    pub fn find(id: u64, name: &str) -> Option<Primitive> {
        ALIVE.find(id).filter(|p| p.rules.name() == name).map(Primitive)
    }

    /// The number the text form has.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// The name for people.
    pub fn name(&self) -> &str {
        self.0.rules.name()
    }

    fn ask<T>(&self, what: &str, f: impl FnOnce(&dyn PrimitiveRules) -> Result<T>) -> Result<T> {
        contained(self.name(), what, || f(&*self.0.rules))
    }

    /// See [`PrimitiveRules::infer`].
    ///
    /// # Errors
    /// What the rule returns; that it panicked.
    pub fn infer(&self, args: &[Type]) -> Result<Vec<Type>> {
        self.ask("the rule of types", |r| r.infer(args))
    }

    /// See [`PrimitiveRules::eval`]; the results have the types that `infer` gives.
    ///
    /// # Errors
    /// What the function returns; that it panicked; results of other types.
    pub fn eval(&self, args: &[Literal]) -> Result<Vec<Literal>> {
        let types: Vec<Type> = args.iter().map(|a| a.ty().clone()).collect();
        let stated = self.infer(&types)?;
        let got = self.ask("the function", |r| r.eval(args))?;
        let types: Vec<Type> = got.iter().map(|g| g.ty().clone()).collect();
        if types == stated { Ok(got) } else { Err(self.wrong("the function", &types, &stated)) }
    }

    /// The function as a host function.
    pub fn callback(&self) -> Callback {
        let op = self.clone();
        Callback::new(self.name(), move |args| op.eval(args))
    }

    /// See [`PrimitiveRules::program`].
    ///
    /// # Errors
    /// As [`Primitive::infer`], and a program of other types.
    pub fn program(&self, args: &[Type]) -> Result<Option<Graph>> {
        let g = self.ask("the program", |r| r.program(args))?;
        self.checked("the program", g, args.to_vec(), self.infer(args)?)
    }

    /// See [`PrimitiveRules::kernel`].
    ///
    /// # Errors
    /// What the rule returns; that it panicked.
    pub fn kernel(&self, args: &[Type]) -> Result<Option<Box<dyn Any>>> {
        self.ask("the kernel", |r| r.kernel(args))
    }

    /// See [`PrimitiveRules::jvp`].
    ///
    /// # Errors
    /// As [`Primitive::program`].
    pub fn jvp(&self, args: &[Type]) -> Result<Option<Graph>> {
        let results = self.infer(args)?;
        let g = self.ask("the jvp rule", |r| r.jvp(args))?;
        self.checked("the jvp rule", g, [args, &results, args].concat(), results)
    }

    /// See [`PrimitiveRules::vjp`].
    ///
    /// # Errors
    /// As [`Primitive::program`].
    pub fn vjp(&self, args: &[Type]) -> Result<Option<Graph>> {
        let results = self.infer(args)?;
        let g = self.ask("the vjp rule", |r| r.vjp(args))?;
        self.checked("the vjp rule", g, [args, &results, &results].concat(), args.to_vec())
    }

    /// See [`PrimitiveRules::batch`].
    ///
    /// # Errors
    /// As [`Primitive::program`].
    pub fn batch(&self, args: &[Type], batched: &[bool], size: usize) -> Result<Option<Graph>> {
        let g = self.ask("the batching rule", |r| r.batch(args, batched, size))?;
        let rows = |ty: &Type| {
            let mut shape = ty.shape.clone();
            shape.insert(0, size);
            ty.with_shape(&shape)
        };
        let inputs = args.iter().zip(batched).map(|(t, &b)| if b { rows(t) } else { t.clone() }).collect();
        self.checked("the batching rule", g, inputs, self.infer(args)?.iter().map(rows).collect())
    }

    fn wrong(&self, what: &str, got: &[Type], expected: &[Type]) -> Error {
        Error::user(self.name(), format!("{what} gives {got:?} where {expected:?} is due"))
    }

    fn checked(&self, what: &str, g: Option<Graph>, inputs: Vec<Type>, outputs: Vec<Type>) -> Result<Option<Graph>> {
        let Some(g) = g else { return Ok(None) };
        if g.input_types() != inputs {
            return Err(Error::user(
                self.name(),
                format!("{what} takes {:?} where there is {inputs:?}", g.input_types()),
            ));
        }
        if g.output_types() != outputs {
            return Err(self.wrong(what, &g.output_types(), &outputs));
        }
        Ok(Some(g))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        ALIVE.remove(self.id);
    }
}

impl PartialEq for Primitive {
    fn eq(&self, other: &Primitive) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for Primitive {}

impl Hash for Primitive {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

impl fmt::Display for Primitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "primitive<{} {:?}>", self.id(), self.name())
    }
}

impl fmt::Debug for Primitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
