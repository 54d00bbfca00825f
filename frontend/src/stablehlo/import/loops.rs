//! Loops that count, as scans: what JAX's `scan` and `fori_loop` become in text, read back.
//!
//! A `while` runs forward only; a scan has derivatives in both modes. So a loop whose number of rounds is known becomes
//! one, and what it does with its counter tells the rest: a value that never changes is no carry, the row `x[i]` of such a
//! value is scanned over, and a value that only has row `i` written is a stack of results.

use super::{Call, Closure};
use gradloom_ir::{Binary, Builder, Comparison, Error, Graph, Node, Op, Result, Shape, Value, Values};
use gradloom_passes::Counter;
use smallvec::SmallVec;
use std::sync::Arc;

/// A small program whose values are looked up by what defines them.
struct Definitions<'g> {
    g: &'g Graph,
    nodes: Arc<[Option<usize>]>,
}

impl<'g> Definitions<'g> {
    fn new(g: &'g Graph) -> Definitions<'g> {
        Definitions { nodes: g.definitions(), g }
    }

    fn node(&self, v: Value) -> Option<&'g Node> {
        self.nodes[v.index()].map(|i| &self.g.nodes()[i])
    }

    /// An integer scalar constant.
    fn integer(&self, v: Value) -> Option<i64> {
        let mut node = self.node(v)?;
        if let Op::Convert { .. } = node.op {
            node = self.node(node.args[0])?;
        }
        match &node.op {
            Op::Constant { value } if value.ty().rank() == 0 && value.ty().dtype.is_int() => {
                let x = value.get_f64(0);
                (x.abs() < LARGEST).then_some(x as i64)
            }
            _ => None,
        }
    }
}

/// Integers up to here are exact as f64, and sums of a few of them fit in i64.
const LARGEST: f64 = 1e15;

/// A counted loop as a scan; `None` if the loop does not count.
pub(super) fn scan(c: &mut Call<'_, '_>, cond: &Closure, body: &Closure, init: &[Value]) -> Result<Option<Values>> {
    let operands = [&cond.captures[..], &body.captures, init].concat();
    let consts = [cond.captures.len(), body.captures.len()];
    let Some(counter) = Counter::of(&cond.graph, &body.graph, consts, &|k| c.literal(*operands.get(k)?)) else {
        return Ok(None);
    };
    let plan = Plan::new(body, init.len(), &counter);
    plan.emit(c, body, init).map(Some)
}

/// What becomes of a loop value.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    Carry,
    /// Never changes.
    Constant,
    /// Has one row written each round: the update.
    Stack(Value),
}

/// How the loop is made a scan.
struct Plan {
    length: usize,
    reverse: bool,
    roles: Vec<Role>,
    /// Nodes of the body that read the row of this round: the array they read.
    rows: Vec<Option<Value>>,
    /// Nodes of the body that write a stack.
    writes: Vec<bool>,
}

impl Plan {
    fn new(body: &Closure, carry: usize, counter: &Counter) -> Plan {
        let g = &body.graph;
        let captures = body.captures.len();
        let mut plan = Plan {
            length: counter.trips,
            reverse: false,
            roles: vec![Role::Carry; carry],
            rows: vec![None; g.nodes().len()],
            writes: vec![false; g.nodes().len()],
        };
        for (j, role) in plan.roles.iter_mut().enumerate() {
            if g.outputs()[j].index() == captures + j {
                *role = Role::Constant;
            }
        }
        if counter.start != 0 || counter.step != 1 || counter.trips == 0 {
            return plan; // rows are numbered otherwise
        }
        let definitions = Definitions::new(g);
        let own = Value::from_index(captures + counter.index);
        // the direction of the first row that is read or written decides
        let mut direction = None;
        let mut fits = |start: &[Value], shape: &[usize], row: &[usize]| {
            let whole = shape[0] == counter.trips && row[0] == 1 && shape[1..] == row[1..];
            let rest = start[1..].iter().all(|&s| definitions.integer(s) == Some(0));
            let reverse = match definitions.row(start[0], own, counter.trips, MAX_INDEX_DEPTH) {
                Some((1, 0)) => false,
                Some((-1, b)) if b == counter.trips as i64 - 1 => true,
                _ => return false,
            };
            whole && rest && *direction.get_or_insert(reverse) == reverse
        };
        let uses = g.use_counts();
        for (i, node) in g.nodes().iter().enumerate() {
            match &node.op {
                Op::DynamicSlice { sizes } if !sizes.is_empty() => {
                    let x = node.args[0];
                    let constant = x.index() < captures
                        || x.index().checked_sub(captures).is_some_and(|j| plan.roles.get(j) == Some(&Role::Constant));
                    if constant && fits(&node.args[1..], &g.ty(x).shape, sizes) {
                        plan.rows[i] = Some(x);
                    }
                }
                Op::DynamicUpdateSlice {} if node.args.len() > 2 => {
                    let (x, update) = (node.args[0], node.args[1]);
                    let Some(j) = x.index().checked_sub(captures).filter(|&j| j < carry) else { continue };
                    let alone = uses[x.index()] == 1 && uses[node.results[0].index()] == 1;
                    let written = g.outputs()[j] == node.results[0];
                    if alone && written && fits(&node.args[2..], &g.ty(x).shape, &g.ty(update).shape) {
                        plan.roles[j] = Role::Stack(update);
                        plan.writes[i] = true;
                    }
                }
                _ => {}
            }
        }
        plan.reverse = direction == Some(true);
        plan
    }

    fn emit(&self, c: &mut Call<'_, '_>, body: &Closure, init: &[Value]) -> Result<Values> {
        let g = &body.graph;
        let captures = body.captures.len();
        let outer = [&body.captures[..], init].concat();
        // constants that are only read row by row are scanned over and not passed whole
        let uses = g.use_counts();
        let row_reads = |x: Value| self.rows.iter().filter(|r| **r == Some(x)).count() as u32;
        let mut b = Builder::new();
        let mut map: Vec<Option<Value>> = vec![None; g.num_values()];
        let (mut consts, mut carries, mut scanned) = (Vec::new(), Vec::new(), Vec::new());
        for (i, v) in g.inputs().enumerate() {
            let constant = i < captures || self.roles[i - captures] == Role::Constant;
            // a constant loop value is also used as its own result
            let own_result = u32::from(i >= captures);
            if constant && uses[i] > row_reads(v) + own_result {
                map[i] = Some(b.input(g.ty(v).clone(), ""));
                consts.push(outer[i]);
            }
        }
        for (i, v) in g.inputs().enumerate().skip(captures) {
            if self.roles[i - captures] == Role::Carry {
                map[i] = Some(b.input(g.ty(v).clone(), ""));
                carries.push(outer[i]);
            }
        }
        let mut arrays: Vec<Value> = self.rows.iter().flatten().copied().collect();
        arrays.sort();
        arrays.dedup();
        let mut rows = Vec::new();
        for &x in &arrays {
            let ty = g.ty(x);
            rows.push(b.input(ty.with_shape(&ty.shape[1..]), ""));
            scanned.push(outer[x.index()]);
        }
        let lost = || Error::internal("while", "a value of the loop is lost");
        for (i, node) in g.nodes().iter().enumerate() {
            b.set_loc(&node.loc);
            if self.writes[i] {
                continue;
            }
            if let Some(x) = self.rows[i] {
                let at = arrays.binary_search(&x).map_err(|_| lost())?;
                let shape: Shape = g.ty(node.results[0]).shape.clone();
                map[node.results[0].index()] = Some(b.reshape(rows[at], &shape));
                continue;
            }
            let args: SmallVec<[Value; 4]> =
                node.args.iter().map(|a| map[a.index()].ok_or_else(lost)).collect::<Result<_>>()?;
            let results = b.emit(node.op.clone(), &args)?;
            for (old, new) in node.results.iter().zip(results) {
                map[old.index()] = Some(new);
            }
        }
        let mut outputs = Vec::new();
        for (j, role) in self.roles.iter().enumerate() {
            if *role == Role::Carry {
                outputs.push(map[g.outputs()[j].index()].ok_or_else(lost)?);
            }
        }
        for role in &self.roles {
            if let Role::Stack(update) = role {
                let row = g.ty(*update).shape[1..].to_vec();
                let update = map[update.index()].ok_or_else(lost)?;
                outputs.push(b.reshape(update, &row));
            }
        }
        let op = Op::Scan {
            body: Arc::new(b.finish(&outputs)?),
            length: self.length,
            reverse: self.reverse,
            consts: consts.len(),
            carry: carries.len(),
        };
        let results = c.node(op, &[consts, carries, scanned].concat())?;
        let carry = self.roles.iter().filter(|r| **r == Role::Carry).count();
        let (mut carried, mut stacked) = (results[..carry].iter(), results[carry..].iter());
        let result = |(j, role): (usize, &Role)| match role {
            Role::Constant => Ok(init[j]),
            Role::Carry => carried.next().copied().ok_or_else(lost),
            Role::Stack(_) => stacked.next().copied().ok_or_else(lost),
        };
        self.roles.iter().enumerate().map(result).collect()
    }
}

/// How many ops of an index are looked through.
const MAX_INDEX_DEPTH: u32 = 8;

impl Definitions<'_> {
    /// The value as `a i + b`, `i` being the counter, which runs from 0 to `length - 1`.
    fn row(&self, v: Value, counter: Value, length: usize, depth: u32) -> Option<(i64, i64)> {
        if v == counter {
            return Some((1, 0));
        }
        if let Some(b) = self.integer(v) {
            return Some((0, b));
        }
        let (node, depth) = (self.node(v)?, depth.checked_sub(1)?);
        let part = |i: usize| self.row(node.args[i], counter, length, depth);
        match &node.op {
            Op::Binary(Binary::Add) => part(0).zip(part(1)).map(|((a, b), (c, d))| (a + c, b + d)),
            Op::Binary(Binary::Sub) => part(0).zip(part(1)).map(|((a, b), (c, d))| (a - c, b - d)),
            Op::Convert { dtype } if dtype.is_int() && dtype.size() >= 4 => part(0),
            // `i < 0 ? i + n : i` of an index that is never negative
            Op::Select {} => {
                let test = self.node(node.args[0]).filter(|n| n.op == Op::Compare(Comparison::Lt))?;
                let zero = self.integer(test.args[1])? == 0;
                let (a, b) = self.row(test.args[0], counter, length, depth)?;
                let least = b.min(a.checked_mul(length as i64 - 1)?.checked_add(b)?);
                if zero && least >= 0 { part(2) } else { None }
            }
            _ => None,
        }
        .filter(|(a, b)| a.abs() < 1 << 40 && b.abs() < 1 << 50)
    }
}
