//! Tracing: while a closure runs under a transform, every op on tensors is recorded in the innermost trace.
//!
//! Traces form a stack, one a thread. A tensor of an outer trace, or a concrete one, that is used in an inner trace is
//! *captured*: it becomes an input of the inner program, and the transform binds the outer tensor to it.

use crate::tensor::axes::placed;
use crate::tensor::{Repr, Tensor, Traced};
use crate::tree::Tree;
use gradloom_ir::{Builder, Error, Graph, Loc, Op, Result, Type, Value};
use smallvec::SmallVec;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

struct Trace {
    id: u64,
    builder: Builder,
    /// Outer tensors and the inputs that stand for them; the position of that input among all inputs.
    captures: Vec<(Tensor, usize)>,
    by_identity: HashMap<Identity, Value>,
    inputs: usize,
    error: Option<Error>,
}

#[derive(PartialEq, Eq, Hash)]
enum Identity {
    Array(usize),
    Traced(u64, u32),
}

thread_local! {
    static STACK: RefCell<Vec<Trace>> = const { RefCell::new(Vec::new()) };
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Whether a trace is active on this thread.
pub(crate) fn active() -> bool {
    STACK.with_borrow(|s| !s.is_empty())
}

/// Records an error that has no tensor to travel in.
pub(crate) fn record_error(e: &Error) {
    STACK.with_borrow_mut(|s| {
        if let Some(t) = s.last_mut() {
            // the first one stays, but for a better position of it
            match &mut t.error {
                Some(first) if first.op() == e.op() && first.message() == e.message() => *first = e.clone(),
                Some(_) => {}
                none => *none = Some(e.clone()),
            }
        }
    });
}

/// Removes the trace it started when dropped, also when the user's closure panics.
struct Guard(u64);

impl Guard {
    fn start() -> Guard {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let trace = Trace {
            id,
            builder: Builder::new(),
            captures: Vec::new(),
            by_identity: HashMap::new(),
            inputs: 0,
            error: None,
        };
        STACK.with_borrow_mut(|s| s.push(trace));
        Guard(id)
    }

    fn take(&self) -> Option<Trace> {
        STACK.with_borrow_mut(|s| match s.last() {
            Some(t) if t.id == self.0 => s.pop(),
            _ => None,
        })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // dropped after the borrow ends: a trace holds functions of the user, and those may hold anything
        let _dropped = STACK.with_borrow_mut(|s| s.iter().position(|t| t.id == self.0).map(|i| s.split_off(i)));
    }
}

/// Runs `f` as if nothing were traced on this thread.
pub(crate) fn suspended<T>(f: impl FnOnce() -> T) -> T {
    struct Restore(Vec<Trace>);
    impl Drop for Restore {
        fn drop(&mut self) {
            let before = std::mem::take(&mut self.0);
            let _dropped = STACK.with_borrow_mut(|s| std::mem::replace(s, before));
        }
    }
    let _restore = Restore(STACK.with_borrow_mut(std::mem::take));
    f()
}

impl Trace {
    fn input(&mut self, ty: Type, name: &str) -> Value {
        self.inputs += 1;
        self.builder.input(ty, name)
    }

    fn tensor(&self, v: Value) -> Tensor {
        Tensor::from_traced(Traced { trace: self.id, value: v.index() as u32, ty: self.builder.ty(v).clone() })
    }
}

/// The value of `t` in the innermost trace.
fn lift(stack: &mut [Trace], t: &Tensor) -> Result<Value> {
    let identity = match t.repr() {
        Repr::Error(e) => return Err((**e).clone()),
        Repr::Array(a) => Identity::Array(Arc::as_ptr(a) as usize),
        Repr::Traced(tr) => {
            if stack.last().is_some_and(|c| c.id == tr.trace) {
                return Ok(Value::from_index(tr.value as usize));
            }
            if !stack.iter().any(|c| c.id == tr.trace) {
                return Err(leaked(&tr.ty));
            }
            Identity::Traced(tr.trace, tr.value)
        }
    };
    let current = stack.last_mut().ok_or_else(|| Error::internal("trace", "no active trace"))?;
    if let Some(&v) = current.by_identity.get(&identity) {
        return Ok(v);
    }
    let position = current.inputs;
    let v = current.input(t.ty_ref().clone(), "");
    current.captures.push((t.clone(), position));
    current.by_identity.insert(identity, v);
    Ok(v)
}

/// The error of a traced tensor used after its trace ended.
pub(crate) fn leaked(ty: &Type) -> Error {
    Error::user("trace", format!("a traced {ty} is used outside the function it was traced in"))
        .help("return it from the function, instead of storing it in a cell, a global or another thread")
}

/// Records one op in the innermost trace.
pub(crate) fn record(op: Op, operands: &[&Tensor], loc: &Loc) -> Result<SmallVec<[Tensor; 2]>> {
    STACK.with_borrow_mut(|stack| {
        let result = (|| {
            let args: Result<SmallVec<[Value; 4]>> = operands.iter().map(|t| lift(stack, t)).collect();
            let args = args?;
            let current = stack.last_mut().ok_or_else(|| Error::internal("trace", "no active trace"))?;
            current.builder.set_loc(loc);
            let results = current.builder.emit(op, &args)?;
            Ok(results.iter().map(|&v| current.tensor(v)).collect())
        })();
        note_failure(stack, result, loc)
    })
}

/// Records a whole program in the innermost trace.
pub(crate) fn record_graph(g: &Graph, operands: &[Tensor], loc: &Loc) -> Result<Vec<Tensor>> {
    STACK.with_borrow_mut(|stack| {
        let result = (|| {
            let args: Result<Vec<Value>> = operands.iter().map(|t| lift(stack, t)).collect();
            let args = args?;
            let current = stack.last_mut().ok_or_else(|| Error::internal("trace", "no active trace"))?;
            current.builder.set_loc(loc);
            let results = current.builder.inline(g, &args)?;
            Ok(results.iter().map(|&v| current.tensor(v)).collect())
        })();
        note_failure(stack, result, loc)
    })
}

fn note_failure<T>(stack: &mut [Trace], result: Result<T>, loc: &Loc) -> Result<T> {
    result.map_err(|e| {
        let e = e.at(loc);
        if let Some(t) = stack.last_mut() {
            t.error.get_or_insert_with(|| e.clone());
        }
        e
    })
}

/// What of a traced function does not depend on the types of its trees: what transforms work on. They are generic in the
/// function and its trees, and compiled for each function of the user; what they can do with this alone is compiled once.
pub(crate) struct Program {
    /// Captures followed by the arguments' leaves, to the results' leaves.
    pub graph: Graph,
    /// What the first inputs stand for.
    pub captures: Vec<Tensor>,
}

impl Program {
    /// The operands of the graph: captures, then the arguments' leaves.
    pub fn operands(&self, leaves: Vec<Tensor>) -> Vec<Tensor> {
        self.captures.iter().cloned().chain(leaves).collect()
    }
}

/// A traced function.
pub(crate) struct TracedFn<B> {
    pub program: Program,
    /// The result as the closure returned it; only its structure and types are of use.
    pub out: B,
}

/// A trace whose function has not run yet.
struct Started {
    guard: Guard,
    types: Vec<Type>,
}

impl Started {
    fn new(leaves: &[Tensor], leaf_ty: &mut dyn FnMut(usize, &Type) -> Result<Type>) -> Result<Started> {
        let mut types = Vec::with_capacity(leaves.len());
        for (i, t) in leaves.iter().enumerate() {
            if let Repr::Error(e) = t.repr() {
                return Err((**e).clone());
            }
            types.push(leaf_ty(i, t.ty_ref())?);
        }
        Ok(Started { guard: Guard::start(), types })
    }

    fn finish(self, outs: &[Tensor]) -> Result<Program> {
        let lifted: Result<Vec<Value>> = STACK.with_borrow_mut(|stack| outs.iter().map(|t| lift(stack, t)).collect());
        let trace = self.guard.take().ok_or_else(|| Error::internal("trace", "the trace stack is out of order"))?;
        if let Some(e) = trace.error {
            return Err(e);
        }
        let outputs = lifted?;
        let order: Vec<usize> = trace.captures.iter().map(|(_, i)| *i).chain(0..self.types.len()).collect();
        let graph = trace.builder.finish_ordered(&outputs, &order)?;
        Ok(Program { graph, captures: trace.captures.into_iter().map(|(t, _)| t).collect() })
    }
}

/// Runs `f` on tracers shaped like the leaves of `args`, each type changed by `leaf_ty`.
pub(crate) fn trace_with<A: Tree, B: Tree>(
    args: &A,
    leaf_ty: &mut dyn FnMut(usize, &Type) -> Result<Type>,
    f: impl FnOnce(&A) -> B,
) -> Result<TracedFn<B>> {
    let started = Started::new(&args.leaves(), leaf_ty)?;
    let out = f(&args.map_leaves(&mut tracers(&started.types, &args.paths())));
    Ok(TracedFn { program: started.finish(&out.leaves())?, out })
}

/// Tracers of these types in the innermost trace, one after the other.
fn tracers<'a>(types: &'a [Type], paths: &'a [String]) -> impl FnMut(&Tensor) -> Tensor + 'a {
    let mut next = types.iter().zip(paths);
    move |_| {
        STACK.with_borrow_mut(|s| match (next.next(), s.last_mut()) {
            (Some((ty, path)), Some(current)) => {
                let v = current.input(ty.clone(), path);
                current.tensor(v)
            }
            _ => Tensor::from_error(Error::internal("trace", "a tree changed its number of leaves")),
        })
    }
}

/// What `f` returns, for its structure only: `f` runs in a trace that is thrown away.
pub(crate) fn template<A: Tree, B: Tree>(args: &A, f: impl FnOnce(&A) -> B) -> B {
    let _guard = Guard::start();
    f(&args.map_leaves(&mut tracers(&types(&args.leaves()), &args.paths())))
}

fn types(leaves: &[Tensor]) -> Vec<Type> {
    leaves.iter().map(Tensor::ty).collect()
}

/// Runs `f` on tracers like the leaves of `args`.
pub(crate) fn trace<A: Tree, B: Tree>(args: &A, f: impl FnOnce(&A) -> B) -> Result<TracedFn<B>> {
    trace_with(args, &mut |_, t| Ok(t.clone()), f)
}

/// A tree like `template` with the given leaves.
pub(crate) fn fill<B: Tree>(template: &B, leaves: impl IntoIterator<Item = Tensor>) -> B {
    template.map_leaves(&mut one_by_one(leaves.into_iter()))
}

fn one_by_one(mut leaves: impl Iterator<Item = Tensor>) -> impl FnMut(&Tensor) -> Tensor {
    move |_| {
        leaves
            .next()
            .unwrap_or_else(|| Tensor::from_error(Error::internal("tree", "fewer leaves than its structure says")))
    }
}

/// A tree like `template` whose every leaf is the error. The error also fails the enclosing trace.
pub(crate) fn fill_error<B: Tree>(template: &B, e: Error, loc: &Loc) -> B {
    template.map_leaves(&mut always(Tensor::failed(placed(e, loc))))
}

fn always(t: Tensor) -> impl FnMut(&Tensor) -> Tensor {
    move |_| t.clone()
}
