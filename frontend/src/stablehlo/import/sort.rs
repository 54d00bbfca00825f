//! Sorting by a comparator, and the greatest of each row.

use super::super::syntax::Attr;
use super::combine::mapped;
use super::elementwise::total_order;
use super::{Call, Closure, Lower};
use gradloom_ir::{Binary, Builder, Comparison, DType, Graph, Node, Op, Result, Unary, Value, Values};
use gradloom_passes::{cse, dead_code};
use smallvec::smallvec;
use std::cell::Cell;

pub(super) const RULES: &[(&str, Lower)] = &[("sort", sort), ("top_k", top_k)];

/// One key of a lexicographic comparator: the value computed from the left elements, and whether greater ones come first.
struct Key {
    left: Value,
    descending: bool,
}

/// A comparator's program: parameters come in pairs, the left and the right element of each operand.
struct Comparator<'g> {
    g: &'g Graph,
    definitions: std::sync::Arc<[Option<usize>]>,
    /// Steps left before the comparator counts as not recognised: what is shared is looked at once a use.
    patience: Cell<u32>,
}

/// Real comparators take a few dozen steps; these also fit the stack.
const PATIENCE: u32 = 2000;

impl Comparator<'_> {
    fn step(&self) -> Option<()> {
        self.patience.set(self.patience.get().checked_sub(1)?);
        Some(())
    }

    fn node(&self, v: Value) -> Option<&Node> {
        self.definitions[v.index()].map(|i| &self.g.nodes()[i])
    }

    /// Whether `r` is computed from the right elements just as `l` is from the left ones.
    fn mirrored(&self, l: Value, r: Value) -> bool {
        if self.step().is_none() {
            return false;
        }
        match (self.node(l), self.node(r)) {
            (Some(x), Some(y)) => {
                x.op == y.op
                    && x.args.len() == y.args.len()
                    && x.args.iter().zip(&y.args).all(|(&a, &b)| self.mirrored(a, b))
            }
            (None, None) => l.index().is_multiple_of(2) && r.index() == l.index() + 1,
            _ => false,
        }
    }

    /// A comparison of a left value with its mirror image, as (left value, comparison with it on the left).
    fn comparison(&self, v: Value) -> Option<(Value, Comparison)> {
        let node = self.node(v)?;
        let Op::Compare(op) = node.op else { return None };
        let (a, b) = (node.args[0], node.args[1]);
        let turned = match op {
            Comparison::Lt => Comparison::Gt,
            Comparison::Gt => Comparison::Lt,
            Comparison::Le => Comparison::Ge,
            Comparison::Ge => Comparison::Le,
            Comparison::Eq | Comparison::Ne => op,
        };
        if self.mirrored(a, b) {
            Some((a, op))
        } else if self.mirrored(b, a) {
            Some((b, turned))
        } else {
            None
        }
    }

    fn strict(&self, v: Value) -> Option<Key> {
        match self.comparison(v)? {
            (left, Comparison::Lt) => Some(Key { left, descending: false }),
            (left, Comparison::Gt) => Some(Key { left, descending: true }),
            _ => None,
        }
    }

    /// `first`, and where the two sides are equal by `equal`, `rest`.
    fn then(&self, first: Value, equal: Value, rest: Value) -> Option<Vec<Key>> {
        let key = self.strict(first)?;
        let (left, Comparison::Eq) = self.comparison(equal)? else { return None };
        // the same key, though it may have been computed twice
        if left != key.left {
            return None;
        }
        let mut keys = vec![key];
        keys.extend(self.keys(rest)?);
        Some(keys)
    }

    /// The keys of a lexicographic comparison: `a < a'`, `a < a' or (a = a' and rest)`, `a = a' ? rest : a < a'`.
    fn keys(&self, v: Value) -> Option<Vec<Key>> {
        self.step()?;
        if let Some(key) = self.strict(v) {
            return Some(vec![key]);
        }
        let node = self.node(v)?;
        match node.op {
            Op::Binary(Binary::Or) => [(0, 1), (1, 0)].into_iter().find_map(|(i, j)| {
                let both = self.node(node.args[j]).filter(|n| n.op == Op::Binary(Binary::And))?;
                [(0, 1), (1, 0)].into_iter().find_map(|(k, l)| self.then(node.args[i], both.args[k], both.args[l]))
            }),
            Op::Select {} => self.then(node.args[2], node.args[0], node.args[1]),
            _ => None,
        }
    }
}

/// The program that computes the keys from the left elements; inputs are the comparator's.
fn key_graph(g: &Graph, keys: &[Key]) -> Result<Graph> {
    let (mut b, args) = Builder::with_inputs(&g.input_types());
    let mut map = args;
    for node in g.nodes() {
        let operands: Vec<Value> = node.args.iter().map(|a| map[a.index()]).collect();
        map.extend(b.emit(node.op.clone(), &operands)?);
    }
    let outs: Vec<Value> = keys.iter().map(|k| map[k.left.index()]).collect();
    Ok(dead_code(&b.finish(&outs)?))
}

fn sort(c: &mut Call<'_, '_>) -> Result<Values> {
    let axis = match c.ints_if_any(&["dimension"])?.as_deref() {
        Some(&[a]) => a,
        _ => -1,
    };
    let xs = std::mem::take(&mut c.args);
    let Some(&first) = xs.first() else { return Err(c.error("takes at least one operand")) };
    let ty = c.ty(first);
    let axis = usize::try_from(if axis < 0 { axis + ty.rank() as i64 } else { axis });
    let axis = axis.ok().filter(|&a| a < ty.rank()).ok_or_else(|| c.error(format!("no such axis of {ty}")))?;
    let closure = c.closure(0)?;
    sorted_by(c, closure, xs, axis)
}

/// The operands sorted along an axis by a comparator.
fn sorted_by(c: &mut Call<'_, '_>, closure: Closure, xs: Vec<Value>, axis: usize) -> Result<Values> {
    let ty = c.ty(xs[0]);
    let Closure { graph, captures } = closure;
    let mut g = dead_code(&graph);
    cse(&mut g)?;
    let comparator = Comparator { definitions: g.definitions(), g: &g, patience: Cell::new(PATIENCE) };
    let keys = match g.outputs() {
        &[y] if captures.is_empty() && g.num_inputs() == 2 * xs.len() => comparator.keys(y),
        _ => None,
    };
    let keys = keys.ok_or_else(|| c.unsupported("unsupported comparator: expected LT or GT on one or more keys"))?;
    if ty.numel() == 0 {
        return Ok(xs.into_iter().collect());
    }
    for &x in &xs {
        if c.ty(x).shape != ty.shape {
            return Err(c.error("operands must have one shape"));
        }
    }
    // the keys of all elements: left parameters stand for the operands, right ones are not used
    let size = ty.numel();
    let key_graph = Closure { graph: key_graph(&g, &keys)?, captures: Vec::new() };
    let key_graph = mapped(&key_graph, size)?;
    let b = c.b();
    let flat: Vec<Value> = xs.iter().flat_map(|&x| [x, x]).map(|x| b.reshape(x, &[size])).collect();
    let computed = b.inline(&key_graph, &flat)?;
    let mut sorted = Vec::new();
    for (key, v) in keys.iter().zip(computed) {
        let v = b.reshape(v, &ty.shape);
        sorted.push(ordered(b, v, key.descending));
    }
    let n = sorted.len();
    // a key that is an operand as it stands need not be sorted twice
    let plain = keys.iter().enumerate().all(|(i, k)| k.left.index() == 2 * i && !k.descending);
    if plain && !any_float(b, &xs[..n.min(xs.len())]) {
        return b.emit(Op::Sort { axis, num_keys: n }, &xs);
    }
    sorted.extend(xs);
    Ok(b.emit(Op::Sort { axis, num_keys: n }, &sorted)?.into_iter().skip(n).collect())
}

fn any_float(b: &Builder, xs: &[Value]) -> bool {
    xs.iter().any(|&x| b.ty(x).dtype.is_float())
}

/// A key whose ascending order is the one asked for. Floats that compare equal get equal keys.
fn ordered(b: &mut Builder, key: Value, descending: bool) -> Value {
    let mut key = key;
    if b.ty(key).dtype.is_float() {
        let zero = b.full_like(key, 0.0);
        let is_zero = b.compare(Comparison::Eq, key, zero);
        key = b.select(is_zero, zero, key);
        if descending {
            key = total_order(b, key);
        }
    }
    if descending { b.unary(Unary::Not, key) } else { key }
}

/// `@ApproxTopK`: the first `top_k` along an axis by the comparator it names. All of them are found.
pub(super) fn approx_top_k(c: &mut Call<'_, '_>) -> Result<Values> {
    let [x, index, _, _] = c.args()?;
    let Some(Attr::Dict(config)) = c.attr(&["mhlo.backend_config"]) else {
        return Err(c.error("the attribute `mhlo.backend_config` is missing"));
    };
    let entry = |name: &str| config.iter().find(|(n, _)| *n == name).map(|(_, a)| a);
    let number = |name: &str| match entry(name) {
        Some(Attr::Number(n)) => n.parse::<usize>().map_err(|_| c.error(format!("`{name}` is no length"))),
        _ => Err(c.error(format!("`{name}` is missing"))),
    };
    let (k, axis) = (number("top_k")?, number("reduction_dim")?);
    let comparator = match c.attr(&["called_computations"]) {
        Some(Attr::List(names)) => match names[..] {
            [Attr::Symbol(name)] => c.im.functions.get(name).copied(),
            _ => None,
        },
        _ => None,
    };
    let comparator = comparator.ok_or_else(|| c.error("names no comparator"))?;
    if entry("aggregate_to_topk") != Some(&Attr::Word("true")) {
        return Err(c.unsupported("without aggregation to the top k it is not supported"));
    }
    let ty = c.ty(x);
    if axis >= ty.rank() || k > ty.shape[axis] {
        return Err(c.error(format!("{k} elements along axis {axis} of {ty}")));
    }
    let region = c.im.body_of(comparator)?;
    let closure = c.im.closure(region)?;
    let sorted = sorted_by(c, closure, vec![x, index], axis)?;
    Ok(sorted.into_iter().map(|v| c.b().slice_axis(v, axis, 0, k)).collect())
}

/// The `k` greatest of the last axis in the total order, and where they are; the first of equals comes first.
fn top_k(c: &mut Call<'_, '_>) -> Result<Values> {
    let [x] = c.args()?;
    let k = c.axis(&["k"])?;
    let ty = c.ty(x);
    let axis = ty.rank().checked_sub(1).ok_or_else(|| c.error("takes an array with at least one axis"))?;
    let dtype = c.result(1)?.dtype;
    if k > ty.shape[axis] || !dtype.is_int() {
        return Err(c.error(format!("{k} elements of {ty} with indices {dtype}")));
    }
    let b = c.b();
    let order = if ty.dtype.is_float() { total_order(b, x) } else { x };
    let key = b.unary(Unary::Not, order);
    let index = b.iota(DType::I32, &ty.shape, axis);
    let sorted = b.emit(Op::Sort { axis, num_keys: 1 }, &[key, x, index])?;
    let values = b.slice_axis(sorted[1], axis, 0, k);
    let at = b.slice_axis(sorted[2], axis, 0, k);
    let at = b.convert(at, dtype);
    Ok(smallvec![values, at])
}
