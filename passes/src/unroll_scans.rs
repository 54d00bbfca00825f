//! Scans with fewer, longer steps, and short ones as straight code.

use crate::context::PassContext;
use crate::manager::{Changed, Pass, rewrite_nodes};
use gradloom_ir::{Builder, Error, Graph, Op, Result, Shape, Value, Values};
use std::sync::Arc;

/// Unrolls every `scan`: one of at most `straight` steps becomes its steps one after the other, a longer one does `factor`
/// of its steps a step, what is left over following as straight code.
///
/// ```text
/// scan(f, c, x[6]) = f(f(.. x[0]) .. x[5])                        straight >= 6
/// scan(f, c, x[9]) = f(scan(f after f, c, x[0..8] as [4, 2]), x[8])      factor = 2
/// ```
///
/// **Ensures** the same bits, and effects in the same number and order. **Never** makes more than `max_nodes` nodes of a
/// scan, nested programs included: such a scan stays as it is. Scans without steps stay too.
///
/// Not idempotent: what a longer step is made of is not seen in it, so a second run makes it longer again, until it would
/// have more than `max_nodes` nodes.
///
/// ```
/// use gradloom_passes::{Pipeline, UnrollScans};
/// let mut g = gradloom_ir::parse(
///     "graph(%0: f32[], %1: f32[3]) {
///         %2 = scan(%0, %1) {body = graph(%0: f32[], %1: f32[]) { %2 = multiply(%0, %1) : f32[] return %2 },
///             length = 3, reverse = false, consts = 0, carry = 1} : f32[]
///         return %2
///     }",
/// )?;
/// Pipeline::empty().push(UnrollScans::default()).run(&mut g)?;
/// assert_eq!(g.to_string().matches("multiply").count(), 3);
/// # Ok::<(), gradloom_ir::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnrollScans {
    /// Scans of so many steps or fewer become straight code.
    pub straight: usize,
    /// How many steps a step of a longer scan does; 1 leaves them as they are.
    pub factor: usize,
    /// The most nodes that a scan may become.
    pub max_nodes: usize,
}

impl Default for UnrollScans {
    /// Four steps a step, up to eight as straight code, 512 nodes.
    fn default() -> UnrollScans {
        UnrollScans { straight: 8, factor: 4, max_nodes: 512 }
    }
}

impl Pass for UnrollScans {
    fn name(&self) -> &str {
        "unroll_scans"
    }

    fn run(&self, g: &mut Graph, _: &mut PassContext) -> Result<Changed> {
        let plan = |op: &Op| Some(self.steps(Loop::of(op)?));
        if !g.nodes().iter().any(|n| plan(&n.op).is_some_and(|s| s != Steps::Kept)) {
            return Ok(Changed::No);
        }
        *g = rewrite_nodes(g, |b, _, node, args| {
            let Some(l) = Loop::of(&node.op) else { return Ok(None) };
            match self.steps(l) {
                Steps::Kept => Ok(None),
                Steps::Straight => l.straight(b, args).map(Some),
                Steps::Longer => l.longer(b, args, self.factor).map(Some),
            }
        })?;
        Ok(Changed::Yes)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Steps {
    Kept,
    Straight,
    Longer,
}

impl UnrollScans {
    fn steps(&self, l: Loop) -> Steps {
        let copies = |n: usize| l.body.total_nodes().saturating_mul(n) <= self.max_nodes;
        match l.length {
            0 => Steps::Kept,
            n if n <= self.straight && copies(n) => Steps::Straight,
            n if self.factor > 1
                && n / self.factor > 1
                && n > self.straight
                && copies(self.factor + n % self.factor) =>
            {
                Steps::Longer
            }
            _ => Steps::Kept,
        }
    }
}

/// A scan as its steps one after the other. It must have one.
pub(crate) fn straight(b: &mut Builder, op: &Op, args: &[Value]) -> Result<Vec<Value>> {
    let l = Loop::of(op).ok_or_else(|| Error::internal("unroll_scans", "not a scan"))?;
    l.straight(b, args).map(|results| results.to_vec())
}

/// A scan's attributes.
#[derive(Clone, Copy)]
struct Loop<'a> {
    body: &'a Graph,
    length: usize,
    reverse: bool,
    consts: usize,
    carry: usize,
}

impl<'a> Loop<'a> {
    fn of(op: &'a Op) -> Option<Loop<'a>> {
        let Op::Scan { body, length, reverse, consts, carry } = op else { return None };
        Some(Loop { body, length: *length, reverse: *reverse, consts: *consts, carry: *carry })
    }

    /// The rows `0..n` in the order in which steps take them.
    fn order(&self, n: usize) -> impl Iterator<Item = usize> + use<> {
        let reverse = self.reverse;
        (0..n).map(move |i| if reverse { n - 1 - i } else { i })
    }

    /// The steps on the rows `rows` one after the other. Gives the carry and, by row, what is stacked.
    fn steps(
        &self,
        b: &mut Builder,
        consts: &[Value],
        carry: &[Value],
        xs: &[Value],
        rows: std::ops::Range<usize>,
    ) -> Result<(Vec<Value>, Vec<Vec<Value>>)> {
        let mut carry = carry.to_vec();
        let mut ys = vec![Vec::new(); rows.len()];
        for i in self.order(rows.len()) {
            let x: Vec<Value> = xs.iter().map(|&x| row(b, x, rows.start + i)).collect();
            carry = b.inline(self.body, &[consts, &carry, &x].concat())?;
            ys[i] = carry.split_off(self.carry);
        }
        Ok((carry, ys))
    }

    fn straight(&self, b: &mut Builder, args: &[Value]) -> Result<Values> {
        let (consts, rest) = args.split_at(self.consts);
        let (init, xs) = rest.split_at(self.carry);
        let (mut results, ys) = self.steps(b, consts, init, xs, 0..self.length)?;
        results.extend(stack(b, &ys));
        Ok(Values::from_vec(results))
    }

    /// `factor` steps a step, from the end at which the scan begins; the rest follows.
    fn longer(&self, b: &mut Builder, args: &[Value], factor: usize) -> Result<Values> {
        let (consts, xs) = (&args[..self.consts], &args[self.consts + self.carry..]);
        let (count, left) = (self.length / factor, self.length % factor);
        let (whole, over) = if self.reverse {
            (left..self.length, 0..left)
        } else {
            (0..self.length - left, self.length - left..self.length)
        };
        let mut operands = args[..self.consts + self.carry].to_vec();
        for &x in xs {
            let part = if left > 0 { b.slice_axis(x, 0, whole.start, whole.end) } else { x };
            let shape = [&[count, factor], &b.ty(x).shape[1..]].concat();
            operands.push(b.reshape(part, &shape));
        }
        let op = Op::Scan {
            body: Arc::new(self.longer_body(factor)?),
            length: count,
            reverse: self.reverse,
            consts: self.consts,
            carry: self.carry,
        };
        let mut done = b.emit(op, &operands)?.to_vec();
        let mut ys = done.split_off(self.carry);
        for y in &mut ys {
            let shape = [&[count * factor], &b.ty(*y).shape[2..]].concat();
            *y = b.reshape(*y, &shape);
        }
        if left > 0 {
            let (carry, rows) = self.steps(b, consts, &done, xs, over)?;
            done = carry;
            for (y, rest) in ys.iter_mut().zip(stack(b, &rows)) {
                *y = b.concatenate(&if self.reverse { [rest, *y] } else { [*y, rest] }, 0);
            }
        }
        done.extend(ys);
        Ok(Values::from_vec(done))
    }

    fn longer_body(&self, factor: usize) -> Result<Graph> {
        let mut b = Builder::new();
        let inputs: Vec<Value> = self
            .body
            .inputs()
            .map(|v| {
                let ty = self.body.ty(v);
                let block: Shape = if v.index() < self.consts + self.carry {
                    ty.shape.clone()
                } else {
                    [factor].into_iter().chain(ty.shape.iter().copied()).collect()
                };
                b.input(ty.with_shape(&block), &self.body.input_names()[v.index()])
            })
            .collect();
        let (consts, rest) = inputs.split_at(self.consts);
        let (init, xs) = rest.split_at(self.carry);
        let (mut outputs, ys) = self.steps(&mut b, consts, init, xs, 0..factor)?;
        outputs.extend(stack(&mut b, &ys));
        b.finish(&outputs)
    }
}

/// Row `i` of an array along its leading axis.
fn row(b: &mut Builder, x: Value, i: usize) -> Value {
    let shape = b.ty(x).shape[1..].to_vec();
    let part = if b.ty(x).shape[0] == 1 { x } else { b.slice_axis(x, 0, i, i + 1) };
    b.reshape(part, &shape)
}

/// By output, its rows one on the other.
fn stack(b: &mut Builder, rows: &[Vec<Value>]) -> Vec<Value> {
    let outputs = rows.first().map_or(0, Vec::len);
    let one = |b: &mut Builder, y: Value| {
        let shape = [&[1], &b.ty(y).shape[..]].concat();
        b.reshape(y, &shape)
    };
    let stacked = |k: usize| {
        let parts: Vec<Value> = rows.iter().map(|row| one(b, row[k])).collect();
        b.concatenate(&parts, 0)
    };
    (0..outputs).map(stacked).collect()
}
