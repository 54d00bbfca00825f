//! Looking into running programs: printing, functions of the host, checks, and where NaNs come from.
//!
//! Effects ([`print`], [`callback`], [`check`]) happen each time the program comes by, in program order, in compiled and
//! in eager code, in loops and branches too, and no pass drops, merges or moves them:
//! - `grad` and its like have them once, with the values of the function, not of its derivative. What depends on a
//!   tangent (in a rule of `custom_jvp`) happens in forward mode only;
//! - `vmap` has each once a row, in row order, before the next one; once in all where the operands are the same for all
//!   rows. Inside a loop that means step by step, and in each step row by row;
//! - `checkpoint` has them once. A function of [`call`] may be called again where values are computed again;
//! - functions with a derivative rule of their own have the effects of what runs: of the rule where it takes the
//!   function's place.
//!
//! Functions run on the thread that calls the program. They may run programs themselves. A function that returns an
//! error or panics ends the run, whose caller gets the error; the compiled program may be called again.
//!
//! To find the op behind a NaN, see [`Jit::nan_check`](crate::Jit::nan_check).
//!
//! ```
//! # use gradloom_frontend as gradloom;
//! use gradloom::{debug, prelude::*};
//! let f = jit(|x: &Tensor| {
//!     let y = x.square().sum(..);
//!     debug::print("{} has the square {}", &[x, &y]);
//!     debug::check(&y, &y.lt(100.0), "the square is {}, too large")
//! });
//! assert!(f.call(&Tensor::from([1.0f32, 2.0])).is_ok()); // prints: [1.0, 2.0] has the square 5.0
//! let e = f.call(&Tensor::from([10.0f32, 2.0])).unwrap_err();
//! assert_eq!(e.message(), "the square is 104.0, too large");
//! ```

use crate::Tensor;
use crate::tensor::{Elements, apply_n, checks};
use crate::trace;
use gradloom_ir::{Callback, DType, Error, Graph, Literal, Loc, Op, Result};
use gradloom_passes::{Pipeline, pass_fn};
use std::cell::Cell;
use std::io::Write;
use std::sync::LazyLock;

pub use gradloom_ir::Type;

/// How an effect ended, for code outside of transforms. Inside, where it has not happened yet, errors belong to the run
/// and this may be dropped; outside, an error nobody asks for goes to stderr.
#[derive(Debug)]
pub struct Effect {
    outcome: Result<()>,
    seen: Cell<bool>,
}

impl Effect {
    fn new(outcome: Result<()>) -> Effect {
        Effect { outcome, seen: Cell::new(trace::active()) }
    }

    /// The error, if there was one.
    ///
    /// # Errors
    /// That of the function, or of the operands.
    pub fn check(&self) -> Result<()> {
        self.seen.set(true);
        self.outcome.clone()
    }
}

impl Drop for Effect {
    fn drop(&mut self) {
        if let (Err(e), false) = (&self.outcome, self.seen.get()) {
            let _ = std::io::stderr().write_all(format!("{e}\n").as_bytes());
        }
    }
}

fn effect(callback: Callback, values: &[&Tensor], loc: &Loc) -> Result<()> {
    let op = Op::HostCall { callback, results: Vec::new(), effect: true };
    apply_n(op, values, loc).map(drop).map_err(|e| e.at(loc))
}

/// An error that also fails the enclosing trace.
fn failed(e: Error, loc: &Loc) -> Error {
    let e = e.at(loc);
    trace::record_error(&e);
    e
}

/// The text around the placeholders `{}` of a format.
fn pieces(op: &str, format: &str) -> Result<Vec<String>> {
    let mut pieces = vec![String::new()];
    let mut rest = format.chars().peekable();
    while let Some(c) = rest.next() {
        let next = rest.next_if(|&n| matches!((c, n), ('{', '{' | '}') | ('}', '}')));
        match (c, next) {
            ('{', Some('}')) => pieces.push(String::new()),
            ('{' | '}', None) => {
                let what = format!("in the format {format:?} a brace is neither a placeholder `{{}}` nor doubled");
                return Err(Error::user(op, what));
            }
            _ => pieces.last_mut().into_iter().for_each(|p| p.push(c)),
        }
    }
    Ok(pieces)
}

/// The text with values in the place of the placeholders.
fn fill(pieces: &[String], values: &[String]) -> String {
    let none = String::new();
    let after = values.iter().chain(std::iter::repeat(&none));
    pieces.iter().zip(after).fold(String::new(), |text, (piece, value)| text + piece + value)
}

fn shown(x: &Literal) -> String {
    Elements { ty: x.ty(), bytes: x.bytes() }.to_string()
}

/// Prints a line to stdout: the format with the values in the place of its `{}`, in order. `{{` and `}}` are braces.
/// The number of placeholders is checked at once, the line is written when the program comes by.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{debug, prelude::*};
/// let x = Tensor::from([1.0f32, 2.0]);
/// debug::print("x = {}, its sum is {}", &[&x, &x.sum(..)]); // x = [1.0, 2.0], its sum is 3.0
/// assert!(debug::print("{} and {}", &[&x]).check().is_err());
/// ```
#[track_caller]
pub fn print(format: &str, values: &[&Tensor]) -> Effect {
    let loc = Loc::caller();
    let run = || {
        let pieces = pieces("debug::print", format)?;
        let (holes, n) = (pieces.len() - 1, values.len());
        if holes != n {
            let what = format!("the format {format:?} has placeholders for {holes} values, {n} are given");
            return Err(Error::user("debug::print", what));
        }
        let write = move |values: &[Literal]| {
            let line = fill(&pieces, &values.iter().map(shown).collect::<Vec<_>>()) + "\n";
            // one write under the lock, so that lines of several threads stay whole
            std::io::stdout().lock().write_all(line.as_bytes()).map_err(|e| Error::io("debug::print", &e))?;
            Ok(Vec::new())
        };
        effect(Callback::new("debug::print", write), values, &loc)
    };
    Effect::new(run().map_err(|e| failed(e, &loc)))
}

/// A function of tensors as one of literals. It runs outside of whatever is being traced on its thread.
fn host(name: &str, f: impl Fn(&[Tensor]) -> Result<Vec<Tensor>> + Send + Sync + 'static) -> Callback {
    Callback::new(name, move |args| {
        let args: Vec<Tensor> = args.iter().map(Tensor::from_literal).collect();
        let results = trace::suspended(|| f(&args))?;
        results.iter().map(Tensor::to_literal).collect()
    })
}

/// Calls a function of the host with the values, for its effect. An error it returns is the error of the run.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{debug, prelude::*};
/// use std::sync::{Arc, Mutex};
/// let seen = Arc::new(Mutex::new(Vec::new()));
/// let sink = seen.clone();
/// let f = jit(move |xs: &Tensor| {
///     let sink = sink.clone();
///     let body = move |c: &Tensor, x: &Tensor| {
///         let sink = sink.clone();
///         let push = move |v: &[Tensor]| v[0].item::<f32>().map(|v| sink.lock().unwrap().push(v));
///         debug::callback(push, &[&(c + x)]);
///         (c + x, ())
///     };
///     scan(body, &Tensor::from(0.0f32), xs).0
/// });
/// f.call(&Tensor::from([1.0f32, 2.0, 3.0])).unwrap();
/// assert_eq!(*seen.lock().unwrap(), [1.0, 3.0, 6.0]);
/// ```
#[track_caller]
pub fn callback(f: impl Fn(&[Tensor]) -> Result<()> + Send + Sync + 'static, values: &[&Tensor]) -> Effect {
    let loc = Loc::caller();
    Effect::new(effect(host("debug::callback", move |v| f(v).map(|()| Vec::new())), values, &loc))
}

/// Calls a pure function of the host, whose results have the types `results` (others are an error of the run).
///
/// It is called as often as its results are needed, which may be never. Its derivative is not known: wrap it in
/// `custom_jvp` or `custom_vjp` where one is asked for.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{debug, prelude::*};
/// let sorted = |x: &Tensor| {
///     let sort = |v: &[Tensor]| {
///         let mut x = v[0].to_vec::<f32>()?;
///         x.sort_by(f32::total_cmp);
///         Ok(vec![Tensor::from_slice([x.len()], &x)])
///     };
///     debug::call(sort, &[x], &[x.ty()]).remove(0)
/// };
/// let y = jit(sorted).call(&Tensor::from([3.0f32, 1.0, 2.0])).unwrap();
/// assert_eq!(y.to_vec::<f32>().unwrap(), [1.0, 2.0, 3.0]);
/// ```
#[track_caller]
pub fn call(
    f: impl Fn(&[Tensor]) -> Result<Vec<Tensor>> + Send + Sync + 'static,
    values: &[&Tensor],
    results: &[Type],
) -> Vec<Tensor> {
    let op = Op::HostCall { callback: host("debug::call", f), results: results.to_vec(), effect: false };
    let outs = apply_n(op, values, &Loc::caller()).map(|r| r.into_vec());
    checks::settled_list(results.len(), outs)
}

/// `x`, where all of `pred` is true. Where the run meets a false element it ends in an error with the message, in which
/// one `{}` stands for the element of `x` there, with its index and the caller's line.
///
/// `pred` broadcasts against `x`; a scalar one speaks of all of `x`.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{debug, prelude::*};
/// let log = jit(|x: &Tensor| debug::check(x, &x.gt(0.0), "no logarithm of {}").log());
/// let e = log.call(&Tensor::from([2.0f32, -1.0, -3.0])).unwrap_err();
/// assert_eq!(e.message(), "no logarithm of -1.0 (at index [1])");
/// ```
#[track_caller]
pub fn check(x: &Tensor, pred: &Tensor, message: &str) -> Tensor {
    checks::settled(check_run(x, pred, message))
}

#[track_caller]
fn check_run(x: &Tensor, pred: &Tensor, message: &str) -> Result<Tensor> {
    let op = "debug::check";
    x.check()?;
    pred.check()?;
    let pieces = pieces(op, message)?;
    if pieces.len() > 2 {
        let what = format!("the message {message:?} has {} placeholders, there is one value to show", pieces.len() - 1);
        return Err(Error::user(op, what));
    }
    if pred.dtype() != DType::Bool {
        return Err(Error::bad_dtype(op, pred.dtype(), "bool").help("compare, e.g. `x.ge(0.0)`"));
    }
    let pred = if pred.ndim() == 0 { pred.clone() } else { pred.broadcast_to(x.shape()) };
    let examine = move |values: &[Literal]| match values {
        [x, pred] => match pred.bytes().iter().position(|&b| b == 0) {
            Some(at) => Err(violation(op, &pieces, x, pred, at)),
            None => Ok(Vec::new()),
        },
        _ => Err(Error::internal(op, "called without its operands")),
    };
    effect(Callback::new(op, examine), &[x, &pred], &Loc::caller())?;
    Ok(x.clone())
}

fn violation(op: &str, pieces: &[String], x: &Literal, pred: &Literal, at: usize) -> Error {
    if pred.ty().rank() == 0 {
        return Error::user(op, fill(pieces, &[shown(x)]));
    }
    let n = x.ty().dtype.size();
    let bytes = x.bytes().get(at * n..(at + 1) * n).unwrap_or_default();
    let value = Elements { ty: &Type::scalar(x.ty().dtype), bytes }.to_string();
    Error::user(op, format!("{} (at index {:?})", fill(pieces, &[value]), x.ty().index_of(at)))
}

/// Whether the environment asks for NaN checks of everything.
pub(crate) fn nan_check_everywhere() -> bool {
    static ASKED: LazyLock<bool> =
        LazyLock::new(|| std::env::var_os("GRADLOOM_NAN_CHECK").is_some_and(|v| !v.is_empty() && v != "0"));
    *ASKED
}

/// The program with NaN checks, nested programs included.
pub(crate) fn with_nan_checks(g: &Graph) -> Result<Graph> {
    let mut g = g.clone();
    Pipeline::empty().push(pass_fn("nan_check", |g, _| gradloom_passes::nan_check(g))).run(&mut g)?;
    Ok(g)
}
