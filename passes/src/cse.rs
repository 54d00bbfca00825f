//! Common subexpression elimination.

use crate::manager::{Changed, copy_inputs, finish};
use gradloom_ir::{Comparison, Graph, Op, Result, Type, Value, Values};
use smallvec::{SmallVec, smallvec};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

type Operands = SmallVec<[Value; 4]>;

/// Computes each `op(operands)` once.
///
/// **Ensures** no two nodes have equal ops (bodies included) and equal operands; `f(a, b)` and `f(b, a)` count as
/// equal where f is commutative, and so do `a < b` and `b > a`.
/// **Never** merges barriers, so what was tied to different barriers stays apart, nor what has effects.
pub fn cse(g: &mut Graph) -> Result<Changed> {
    // by value: the first value equal to it
    let mut first: Vec<Value> = g.inputs().collect();
    let mut seen: HashMap<u64, SmallVec<[u32; 1]>> = HashMap::with_capacity(g.nodes().len());
    // by node: the application as it is compared, and whether an earlier node is equal
    let mut keys: Vec<(Option<Op>, Operands)> = Vec::with_capacity(g.nodes().len());
    let mut again = vec![false; g.nodes().len()];
    for (i, node) in g.nodes().iter().enumerate() {
        let args: Operands = node.args.iter().map(|a| first[a.index()]).collect();
        let (key_op, key_args) = canonical(&node.op, &args);
        let op = key_op.as_ref().unwrap_or(&node.op);
        let same = |&j: &u32| {
            let (other, other_args) = &keys[j as usize];
            *other_args == key_args && other.as_ref().unwrap_or(&g.nodes()[j as usize].op) == op
        };
        let candidates = seen.entry(fingerprint(op, &key_args)).or_default();
        match candidates.iter().find(|j| !stays(&node.op) && same(j)) {
            Some(&j) => {
                again[i] = true;
                first.extend_from_slice(&g.nodes()[j as usize].results);
            }
            None => {
                candidates.push(i as u32);
                first.extend_from_slice(&node.results);
            }
        }
        keys.push((key_op, key_args));
    }
    if !again.contains(&true) {
        return Ok(Changed::No);
    }
    let (mut b, mut map) = copy_inputs(g);
    for (node, again) in g.nodes().iter().zip(again) {
        if again {
            map.extend(node.results.iter().map(|r| map[first[r.index()].index()]).collect::<Values>());
            continue;
        }
        let args: Operands = node.args.iter().map(|a| map[a.index()]).collect();
        let types: SmallVec<[Type; 2]> = node.results.iter().map(|&r| g.ty(r).clone()).collect();
        b.set_loc(&node.loc);
        map.extend(b.emit_typed(node.op.clone(), &args, types));
    }
    *g = finish(b, g, &map)?;
    Ok(Changed::Yes)
}

/// Ops that are not the same if they happen once instead of twice.
fn stays(op: &Op) -> bool {
    matches!(op, Op::Barrier {}) || op.has_effect()
}

/// The one among equal ways to write an application: the op if it is another one, and the operands.
fn canonical(op: &Op, args: &[Value]) -> (Option<Op>, Operands) {
    let swapped = || -> Operands { smallvec![args[1], args[0]] };
    match op {
        Op::Binary(f) if f.is_commutative() && args[0] > args[1] => (None, swapped()),
        Op::Compare(Comparison::Eq | Comparison::Ne) if args[0] > args[1] => (None, swapped()),
        Op::Compare(Comparison::Gt) => (Some(Op::Compare(Comparison::Lt)), swapped()),
        Op::Compare(Comparison::Ge) => (Some(Op::Compare(Comparison::Le)), swapped()),
        _ => (None, args.into()),
    }
}

/// Bytes of a constant that take part in its hash: enough to tell most apart without reading large ones whole.
const HASHED_BYTES: usize = 128;

/// A hash that is equal for equal applications and cheap where the op holds much data.
fn fingerprint(op: &Op, args: &[Value]) -> u64 {
    let mut h = DefaultHasher::new();
    args.hash(&mut h);
    match op {
        Op::Constant { value } => {
            value.ty().hash(&mut h);
            let bytes = value.bytes();
            bytes[..bytes.len().min(HASHED_BYTES)].hash(&mut h);
            bytes[bytes.len().saturating_sub(HASHED_BYTES)..].hash(&mut h);
        }
        op if op.has_body() => {
            op.name().hash(&mut h);
            op.bodies().iter().for_each(|b| (b.nodes().len(), b.outputs()).hash(&mut h));
        }
        op => op.hash(&mut h),
    }
    h.finish()
}
