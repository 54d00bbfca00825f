//! The algebraic simplifier.
//!
//! [`table`] lists the rules. A legal rule:
//! - gives the same bits on every input, NaNs counting as equal, unless it says that it reassociates: then results may
//!   differ by rounding or in the sign of a zero; or that it is of finite numbers: then infinities and NaN may come out
//!   elsewhere, too;
//! - is never worse on the right: no more work, and no more memory read or written. Where the left side's parts live
//!   on because others use them, a rule must not do their work twice (`once`, [`View::single_use`]);
//! - gets closer to the canonical form: constants that repeat one element are broadcast scalars, broadcasts stand
//!   outermost and have no operand axes of length 1, constants stand right of commutative ops.
//!
//! Rules whose right side is computed from shapes stand in files by subject, each with its equation as a comment. A test
//! proves every rule on random programs; `tests/computed` makes those of computed rules.

mod contractions;
mod control;
mod converting;
mod cutting;
mod indexing;
mod lifting;
mod reductions;
mod scaled;
mod shaping;
mod table;

use crate::manager::Changed;
use crate::rewriting::{RuleSet, View, apply};
use gradloom_ir::{Graph, Op, Result, Type, Value};
use std::sync::LazyLock;

static RULES: LazyLock<Result<RuleSet>> = LazyLock::new(|| Ok(RuleSet::unchecked("simplify", table::rules()?)));

/// Applies the rules until none applies.
///
/// **Ensures** the same results, up to what the rules that reassociate may change. Where a rule applied, the program has
/// no dead nodes.
pub fn simplify(g: &mut Graph) -> Result<Changed> {
    match &*RULES {
        Ok(rules) => apply(g, rules, special),
        Err(e) => Err(e.clone()),
    }
}

/// The rules of [`simplify`], in the order in which they are tried.
///
/// # Errors
/// None: the table is tested.
pub fn simplification_rules() -> Result<&'static RuleSet> {
    RULES.as_ref().map_err(Clone::clone)
}

/// What is no rule: arrays without elements, and ops with bodies.
fn special(v: &mut View, op: &Op, args: &[Value], types: &[Type]) -> Result<Option<Vec<Value>>> {
    let keep = matches!(op, Op::Barrier {} | Op::Constant { .. }) || op.has_effect();
    // no elements = an empty constant
    if !keep && !types.is_empty() && types.iter().all(|t| t.numel() == 0) {
        let empty = |t: &Type| v.raw(|b| crate::inline_bodies::empty(b, t.dtype, t.shape.to_vec()));
        return Ok(Some(types.iter().map(empty).collect()));
    }
    if op.has_body() { control::rewrite(v, op, args) } else { Ok(None) }
}
