//! Loops that count to a bound known beforehand, as scans.

use crate::manager::{Changed, rewrite_nodes};
use gradloom_ir::{Binary, Comparison, Graph, Literal, Op, Result, Value, eval::ScalarOps, eval::Wide, with_element};

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
    let outside = Constants::new(g);
    let mut any = false;
    let new = rewrite_nodes(g, |b, i, node, args| {
        let Op::While { cond, body, cond_consts, body_consts } = &node.op else { return Ok(None) };
        let Some(length) = trip_count(&outside, &node.op, &g.nodes()[i].args) else { return Ok(None) };
        any = true;
        let (consts, init) = args[*cond_consts..].split_at(*body_consts);
        if length == 0 {
            return Ok(Some(init.into()));
        }
        debug_assert!(!cond.has_effect());
        let op = Op::Scan { body: body.clone(), length, reverse: false, consts: *body_consts, carry: init.len() };
        b.emit(op, &[consts, init].concat()).map(Some)
    })?;
    if any {
        *g = new;
    }
    Ok(any.into())
}

/// How often a `while` on these operands of a program runs its body, where constants tell.
fn trip_count(outside: &Constants, op: &Op, args: &[Value]) -> Option<usize> {
    let Op::While { cond, body, cond_consts, body_consts } = op else { return None };
    if cond.has_effect() {
        return None;
    }
    let (for_cond, rest) = args.split_at(*cond_consts);
    let (for_body, init) = rest.split_at(*body_consts);
    let in_cond = Constants { g: cond, definitions: cond.definitions(), outer: Some((outside, for_cond)) };
    let in_body = Constants { g: body, definitions: body.definitions(), outer: Some((outside, for_body)) };

    let test = in_cond.node(cond.outputs()[0])?;
    let Op::Compare(comparison) = test.op else { return None };
    let counter_at = |i: usize| test.args[i].index().checked_sub(*cond_consts).filter(|&k| k < init.len());
    let (k, comparison, bound) = match (counter_at(0), counter_at(1)) {
        (Some(k), _) if in_cond.integer(test.args[1]).is_some() => (k, comparison, in_cond.integer(test.args[1])?),
        (_, Some(k)) => (k, exchanged(comparison), in_cond.integer(test.args[0])?),
        _ => return None,
    };
    let start = outside.integer(init[k])?;
    let own = Value::from_index(body_consts + k);
    let next = body.outputs()[k];
    let step = match in_body.node(next).map(|n| (&n.op, &n.args[..])) {
        Some((Op::Binary(Binary::Add), &[x, y])) if x == own => in_body.integer(y)?,
        Some((Op::Binary(Binary::Add), &[x, y])) if y == own => in_body.integer(x)?,
        Some((Op::Binary(Binary::Sub), &[x, y])) if x == own => -in_body.integer(y)?,
        _ => return None,
    };
    let n = steps(start, step, comparison, bound)?;
    // the last state must be a number of the dtype: counters wrap
    let dtype = body.ty(next).dtype;
    let last = start.checked_add(step.checked_mul(n)?)?;
    let fits = with_element!(dtype, T => <T as ScalarOps>::narrow(Wide::Int(last)).widen() == Wide::Int(last));
    if fits { usize::try_from(n).ok() } else { None }
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

/// A program whose constants are looked up, those that it is handed included.
struct Constants<'a> {
    g: &'a Graph,
    definitions: Vec<Option<usize>>,
    /// What the first inputs are in the program outside.
    outer: Option<(&'a Constants<'a>, &'a [Value])>,
}

impl<'a> Constants<'a> {
    fn new(g: &'a Graph) -> Constants<'a> {
        Constants { g, definitions: g.definitions(), outer: None }
    }

    fn node(&self, v: Value) -> Option<&'a gradloom_ir::Node> {
        self.definitions[v.index()].map(|i| &self.g.nodes()[i])
    }

    /// The integer that a scalar is.
    fn integer(&self, v: Value) -> Option<i128> {
        match self.node(v).map(|n| &n.op) {
            Some(Op::Constant { value }) => integer(value),
            Some(_) => None,
            None => {
                let (outer, operands) = self.outer?;
                outer.integer(*operands.get(v.index())?)
            }
        }
    }
}

fn integer(value: &Literal) -> Option<i128> {
    if value.ty().rank() > 0 || !value.ty().dtype.is_int() {
        return None;
    }
    with_element!(value.ty().dtype, T => match value.to_vec::<T>()?.first()?.widen() {
        Wide::Int(i) => Some(i),
        _ => None,
    })
}
