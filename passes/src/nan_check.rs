//! Where NaNs come from.

use crate::manager::{Changed, copy_inputs, finish};
use gradloom_ir::{Callback, Error, Graph, Literal, Node, Op, Result, Type, Value};
use smallvec::SmallVec;

/// Puts a check after every op with float or complex results: the run ends in an error at the first op that gives a
/// NaN where none of its operands holds one. The error names the op, its operand types, those that are infinite, and
/// the user's line.
///
/// Inputs and constants may be NaN, and what only moves their bits; ops with bodies are checked inside.
/// **Ensures** the same results where there is no error. **Never** removes or changes a node, but what is checked is
/// stored, so little is fused.
pub fn nan_check(g: &mut Graph) -> Result<Changed> {
    if !g.nodes().iter().any(|n| is_checked(g, n)) {
        return Ok(Changed::No);
    }
    let (mut b, mut map) = copy_inputs(g);
    for node in g.nodes() {
        let args: SmallVec<[Value; 4]> = node.args.iter().map(|a| map[a.index()]).collect();
        let types: SmallVec<[Type; 2]> = node.results.iter().map(|&r| g.ty(r).clone()).collect();
        b.set_loc(&node.loc);
        map.extend(b.emit_typed(node.op.clone(), &args, types));
        if !is_checked(g, node) {
            continue;
        }
        let (name, results) = (node.op.name(), node.results.len());
        let callback = Callback::new("nan_check", move |values| {
            let (results, operands) = values.split_at(results);
            examine(name, results, operands).map(|()| Vec::new())
        });
        let values: Vec<Value> = node.results.iter().chain(&node.args).map(|v| map[v.index()]).collect();
        b.emit(Op::HostCall { callback, results: Vec::new(), effect: true }, &values)?;
    }
    *g = finish(b, g, &map)?;
    Ok(Changed::Yes)
}

/// Whether a NaN among the results would be the op's own doing.
fn is_checked(g: &Graph, node: &Node) -> bool {
    let moves_bits = matches!(node.op, Op::Constant { .. } | Op::Bitcast { .. } | Op::Barrier {});
    !moves_bits && !node.op.has_body() && node.results.iter().any(|&r| g.ty(r).dtype.is_inexact())
}

/// The position of the first element that `is` holds for, if the array is of floats or complex numbers.
fn find(x: &Literal, is: impl Fn(f64) -> bool) -> Option<usize> {
    if !x.ty().dtype.is_inexact() {
        return None;
    }
    let at = x.to_numbers().into_iter().position(is)?;
    Some(if x.ty().dtype.is_complex() { at / 2 } else { at })
}

fn examine(name: &str, results: &[Literal], operands: &[Literal]) -> Result<()> {
    let Some((at, y)) = results.iter().find_map(|y| find(y, f64::is_nan).map(|at| (at, y))) else { return Ok(()) };
    if operands.iter().any(|x| find(x, f64::is_nan).is_some()) {
        return Ok(());
    }
    let describe = |x: &Literal| match find(x, f64::is_infinite) {
        Some(at) => format!("{} (infinite at {:?})", x.ty(), x.ty().index_of(at)),
        None => x.ty().to_string(),
    };
    let given = match operands {
        [] => "no operands".to_string(),
        _ => operands.iter().map(describe).collect::<Vec<_>>().join(", "),
    };
    let index = y.ty().index_of(at);
    Err(Error::user(name, format!("gives the first NaN, at {index:?} of its result {}, from {given}", y.ty())))
}
