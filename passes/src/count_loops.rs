//! Loops that count to a bound known beforehand, as scans.

use crate::manager::{Changed, rewrite_nodes};
use gradloom_ir::eval::{ScalarOps, Wide};
use gradloom_ir::{Binary, Comparison, DType, Graph, Literal, Node, Op, Result, Value, with_element};

/// Makes a `scan` of each `while` whose number of iterations is known: one of its values starts at an integer constant,
/// grows or shrinks by a constant, and is compared with a constant.
///
/// ```text
/// while(i < 10; i + 2, f(x)) = scan(i + 2, f(x)) of 5 steps, from i = 0
/// ```
///
/// All values are carries of the scan. **Ensures** the same bits, and effects in the same number and order. **Never**
/// touches a loop whose condition has effects, whose counter would leave the range of its dtype, or that would not end.
/// Idempotent.
///
/// ```
/// let mut g = gradloom_ir::parse(
///     "graph(%0: f32[]) {
///         %1 = constant() {value = dense<0 : i32[]>} : i32[]
///         %2, %3 = while(%1, %0) {cond = graph(%0: i32[], %1: f32[]) {
///             %2 = constant() {value = dense<10 : i32[]>} : i32[]
///             %3 = less(%0, %2) : bool[]
///             return %3
///         }, body = graph(%0: i32[], %1: f32[]) {
///             %2 = constant() {value = dense<2 : i32[]>} : i32[]
///             %3 = add(%0, %2) : i32[]
///             %4 = sine(%1) : f32[]
///             return %3, %4
///         }, cond_consts = 0, body_consts = 0} : i32[], f32[]
///         return %3
///     }",
/// )?;
/// gradloom_passes::count_loops(&mut g)?;
/// assert!(g.to_string().contains("length = 5"));
/// # Ok::<(), gradloom_ir::Error>(())
/// ```
pub fn count_loops(g: &mut Graph) -> Result<Changed> {
    if !g.nodes().iter().any(|n| matches!(n.op, Op::While { .. })) {
        return Ok(Changed::No);
    }
    let definitions = g.definitions();
    let constant = |v: Value| match &g.nodes()[definitions[v.index()]?].op {
        Op::Constant { value } => Some(value.clone()),
        _ => None,
    };
    let mut any = false;
    let new = rewrite_nodes(g, |b, i, node, args| {
        let Op::While { cond, body, cond_consts, body_consts } = &node.op else { return Ok(None) };
        let known = |k: usize| constant(g.nodes()[i].args[k]);
        let Some(counter) = Counter::of(cond, body, [*cond_consts, *body_consts], &known) else { return Ok(None) };
        let length = counter.trips;
        any = true;
        let (consts, init) = args[*cond_consts..].split_at(*body_consts);
        if length == 0 {
            return Ok(Some(init.into()));
        }
        let op = Op::Scan { body: body.clone(), length, reverse: false, consts: *body_consts, carry: init.len() };
        b.emit(op, &[consts, init].concat()).map(Some)
    })?;
    if any {
        *g = new;
    }
    Ok(any.into())
}

/// The value of a `while` that counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counter {
    /// Which of the loop's values it is.
    pub index: usize,
    /// What it is at first.
    pub start: i64,
    /// What is added to it each time.
    pub step: i64,
    /// How often the body runs.
    pub trips: usize,
}

impl Counter {
    /// The counter of the `while` of this condition and this body; `None` if it has none, or none that ends within the
    /// range of its dtype. `consts` counts the consts of both, `known` says what an operand of the loop is where it is
    /// constant.
    pub fn of(
        cond: &Graph,
        body: &Graph,
        consts: [usize; 2],
        known: &dyn Fn(usize) -> Option<Literal>,
    ) -> Option<Counter> {
        if cond.has_effect() {
            return None;
        }
        let [for_cond, for_body] = consts;
        let carry = body.num_outputs();
        let operand = |k: usize| integer(&known(k)?);
        // a number in the condition, or in the body; their consts are operands of the loop
        let in_cond = |v: Value| constant(cond, v, &|i| operand(Some(i).filter(|&i| i < for_cond)?));
        let in_body = |v: Value| constant(body, v, &|i| operand(Some(for_cond + i).filter(|_| i < for_body)?));

        let test = definition(cond, *cond.outputs().first()?)?;
        let Op::Compare(comparison) = test.op else { return None };
        let value = |i: usize| test.args[i].index().checked_sub(for_cond).filter(|&k| k < carry);
        let (index, comparison, bound) = match (value(0), value(1)) {
            (Some(k), _) if in_cond(test.args[1]).is_some() => (k, comparison, in_cond(test.args[1])?),
            (_, Some(k)) => (k, exchanged(comparison), in_cond(test.args[0])?),
            _ => return None,
        };
        let start = operand(for_cond + for_body + index)?;
        let own = Value::from_index(for_body + index);
        let next = body.outputs()[index];
        let step = match definition(body, next).map(|n| (&n.op, &n.args[..])) {
            Some((Op::Binary(Binary::Add), &[x, y])) if x == own => in_body(y)?,
            Some((Op::Binary(Binary::Add), &[x, y])) if y == own => in_body(x)?,
            Some((Op::Binary(Binary::Sub), &[x, y])) if x == own => -in_body(y)?,
            _ => return None,
        };
        let trips = steps(start, step, comparison, bound)?;
        // the last state must be a number of the dtype: counters wrap
        let last = start.checked_add(step.checked_mul(trips)?)?;
        if !fits(body.ty(next).dtype, last) {
            return None;
        }
        let (start, step) = (i64::try_from(start).ok()?, i64::try_from(step).ok()?);
        Some(Counter { index, start, step, trips: usize::try_from(trips).ok()? })
    }
}

/// Whether an integer is a number of that dtype.
fn fits(dtype: DType, x: i128) -> bool {
    with_element!(dtype, T => <T as ScalarOps>::narrow(Wide::Int(x)).widen() == Wide::Int(x))
}

/// How many of `start`, `start + step`, .. come before the first of which the comparison with `bound` does not hold; `None`
/// if there is no such.
fn steps(start: i128, step: i128, comparison: Comparison, bound: i128) -> Option<i128> {
    // numbers below a bound, going up
    let below = |start: i128, step: i128, bound: i128| match bound - start {
        d if d <= 0 => Some(0),
        d if step > 0 => Some((d + step - 1) / step),
        _ => None,
    };
    match comparison {
        Comparison::Lt => below(start, step, bound),
        Comparison::Le => below(start, step, bound + 1),
        Comparison::Gt => below(-start, -step, -bound),
        Comparison::Ge => below(-start, -step, 1 - bound),
        Comparison::Ne if start == bound => Some(0),
        Comparison::Ne if step != 0 && (bound - start) % step == 0 => Some((bound - start) / step).filter(|&n| n > 0),
        Comparison::Eq if start != bound => Some(0),
        Comparison::Eq if step != 0 => Some(1),
        Comparison::Ne | Comparison::Eq => None,
    }
}

/// The comparison with its operands exchanged.
fn exchanged(c: Comparison) -> Comparison {
    match c {
        Comparison::Lt => Comparison::Gt,
        Comparison::Le => Comparison::Ge,
        Comparison::Gt => Comparison::Lt,
        Comparison::Ge => Comparison::Le,
        Comparison::Eq | Comparison::Ne => c,
    }
}

/// The node that makes a value.
fn definition(g: &Graph, v: Value) -> Option<&Node> {
    g.definitions()[v.index()].map(|i| &g.nodes()[i])
}

/// The integer that a scalar of a program is; `input` says what inputs are.
fn constant(g: &Graph, v: Value, input: &dyn Fn(usize) -> Option<i128>) -> Option<i128> {
    let Some(node) = definition(g, v) else { return input(v.index()) };
    match &node.op {
        Op::Constant { value } => integer(value),
        Op::Convert { dtype } if dtype.is_int() => {
            let inner = node.args[0];
            let again = definition(g, inner).is_some_and(|n| matches!(n.op, Op::Convert { .. }));
            let x = if again { None } else { constant(g, inner, input) };
            x.filter(|&x| fits(*dtype, x))
        }
        _ => None,
    }
}

/// The integer that a scalar is.
fn integer(value: &Literal) -> Option<i128> {
    if value.ty().rank() > 0 || !value.ty().dtype.is_int() {
        return None;
    }
    with_element!(value.ty().dtype, T => match value.to_vec::<T>()?.first()?.widen() {
        Wide::Int(i) => Some(i),
        _ => None,
    })
}
