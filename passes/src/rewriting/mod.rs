//! Rewrite rules: equations as text, applied wherever their left side stands.
//!
//! ```text
//! add(x, negate(y)) => subtract(x, y)
//! transpose(transpose(x, perm=p), perm=q) => transpose(x, perm=compose(p, q))
//! multiply(x, 0) => 0 if int(x)
//! reduce(y@negate(x), kind="sum", axes=a) => negate(reduce(x, kind="sum", axes=a)) if once(y)
//! ```
//!
//! A name stands for any value, the same one wherever it stands; a number for an array all of whose elements it is; `y@`
//! names the result of what follows. Operands of commutative ops match in either order. Attributes that are left out on
//! the left may be anything; on the right none may be left out. Conditions ask for properties of values (`float`, `int`,
//! `unsigned`, `complex`, `inexact`, `half`, `bool`, `scalar`, `const`: a number; `once`: used nowhere else) and of
//! attributes (`identity`, `ascending`), and compare attributes, also `shape(x)`, `rank(x)`, `dtype(x)`. Functions of
//! attributes are `compose(p, q)[i] = p[q[i]]`, `axes(n)` = 0, .., n - 1, and `sorted`.
//!
//! [`Rule::when`], [`Rule::function`] and [`Rule::property`] add what a rule needs beyond that, [`Rule::computed`] makes a
//! rule of a function. [`Rule::prove`] and [`Rule::prove_on`] evaluate both sides on random operands. Rules are applied to
//! the operands first and then to what they feed, to what rules make as well, until none applies. [`Saturate`] is another
//! way to apply rules, for those that go both ways.

mod instances;
mod matching;
mod parse;
mod rule;
mod saturate;
mod term;
mod view;

pub use matching::Match;
pub(crate) use matching::identity;
pub use rule::{Rewrite, Rule, RuleSet};
pub use saturate::{Price, Saturate, identities};
pub use view::View;

use crate::context::PassContext;
use crate::manager::{Changed, Pass};
use gradloom_ir::{Graph, Op, Result, Type, Value};
use smallvec::SmallVec;

/// A [`Rule`] from its text, with a condition in Rust if need be.
///
/// ```
/// use gradloom_passes::rule;
/// let halves = rule!("divide(x, 2) => multiply(x, 0.5)" if |m| m.ty("x").is_some_and(|t| t.dtype.is_float()))?;
/// assert_eq!(halves.prove(20, 1)?, 20);
/// let unknown = rule!("twice(x) => add(x, x)").unwrap_err();
/// assert!(unknown.message().contains("there is no op `twice`"));
/// # Ok::<(), gradloom_ir::Error>(())
/// ```
#[macro_export]
macro_rules! rule {
    ($text:expr) => {
        $crate::rewriting::Rule::parse($text)
    };
    ($text:literal if $holds:expr) => {
        $crate::rewriting::Rule::parse($text).map(|rule| rule.when($holds))
    };
}

/// Sweeps after which a set of rules stops even if some still apply. Two is what programs need.
const MAX_SWEEPS: usize = 8;

/// What stands for a node beside the rules, if anything: for ops whose rewrite needs more than [`View`].
pub(crate) type Special = fn(&mut View, &Op, &[Value], &[Type]) -> Result<Option<Vec<Value>>>;

impl Pass for RuleSet {
    fn name(&self) -> &str {
        RuleSet::name(self)
    }
    fn run(&self, g: &mut Graph, _: &mut PassContext) -> Result<Changed> {
        apply(g, self, |_, _, _, _| Ok(None))
    }
}

/// Applies rules until none applies. Where one applied, the program has no dead nodes.
pub(crate) fn apply(g: &mut Graph, rules: &RuleSet, special: Special) -> Result<Changed> {
    let mut changed = Changed::No;
    for _ in 0..MAX_SWEEPS {
        let Some(new) = sweep(g, rules, special)? else { break };
        let new = crate::dead_code(&new);
        if new == *g {
            break;
        }
        *g = new;
        changed = Changed::Yes;
    }
    Ok(changed)
}

/// Rebuilds the program node by node, each through the rules; `None` if none applies.
fn sweep(g: &Graph, rules: &RuleSet, special: Special) -> Result<Option<Graph>> {
    let mut v = View::new(rules);
    v.expect(g.nodes().len());
    let uses = g.use_counts();
    let mut map: Vec<Value> = Vec::with_capacity(g.num_values());
    map.extend(g.inputs().map(|i| v.input(g.ty(i).clone(), &g.input_names()[i.index()])));
    for i in g.inputs() {
        v.add_uses(map[i.index()], uses[i.index()]);
    }
    for node in g.nodes() {
        let args: SmallVec<[Value; 4]> = node.args.iter().map(|a| map[a.index()]).collect();
        v.set_loc(&node.loc);
        let types: SmallVec<[Type; 2]> = node.results.iter().map(|&r| g.ty(r).clone()).collect();
        let results = match special(&mut v, &node.op, &args, &types)? {
            Some(results) => Some(results),
            None if types.len() == 1 && !node.op.has_effect() => v.try_rules(&node.op, &args).map(|x| vec![x]),
            None => None,
        };
        v.any |= results.is_some();
        let results = results.unwrap_or_else(|| v.raw(|b| b.emit_typed(node.op.clone(), &args, types)).to_vec());
        for (old, &new) in node.results.iter().zip(&results) {
            v.add_uses(new, uses[old.index()]);
        }
        map.extend(results);
    }
    if !v.any && !v.failed() {
        return Ok(None);
    }
    let outputs: Vec<Value> = g.outputs().iter().map(|o| map[o.index()]).collect();
    v.finish(&outputs).map(Some)
}
