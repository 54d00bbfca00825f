//! Equality saturation: rules add what is equal instead of replacing it, and the cheapest of all the programs found is
//! written down (Tate, Stepp, Tatlock and Lerner, "Equality saturation: a new approach to optimization", 2009; Willsey et
//! al., "egg: Fast and extensible equality saturation", 2021).

mod extract;
mod identities;
mod search;
mod space;

use super::rule::Rule;
use crate::context::PassContext;
use crate::cost;
use crate::manager::{Changed, Pass};
use extract::Extraction;
use gradloom_ir::{Graph, Op, Result, Type, Value};
use smallvec::SmallVec;
use space::{Head, Space};
use std::collections::HashSet;
use std::sync::Arc;

pub use extract::Price;
pub use identities::identities;

/// Looks for a cheaper program by rules in all directions: associativity, distributivity, laws of exponentials and
/// others that go both ways, beside those of the simplifier.
///
/// ```text
/// a x + b x + c x = (a + b + c) x                exp(x) exp(y) = exp(x + y)                A B + A C = A (B + C)
/// ```
///
/// The order in which rules are applied does not matter, as none of them takes anything away. Which program is cheapest
/// is a matter of `price`: by default arithmetic operations and bytes together ([`crate::cost`]); what several ops use
/// counts once.
///
/// **Ensures** the same results up to rounding, for integers the same bits, and a program that is cheaper, or the one it
/// was given. Nested programs, effects and barriers stay what they are. **Never** looks at the clock: it ends by the numbers
/// of `iterations`, `matches` and `nodes`, and the same program gives the same result.
///
/// Not idempotent: the search is cut off, and begins anew from the program it found.
///
/// A rule that is computed, or whose condition asks how a value is made, is asked about one of the ways in which it is
/// made ([`Saturate::narrowed`]). That a value is used once is taken to hold: the price says what is not worth it.
///
/// ```
/// use gradloom_passes::{Pipeline, Saturate};
/// let mut g = gradloom_ir::parse(
///     "graph(%0: f32[8], %1: f32[8], %2: f32[8]) {
///         %3 = multiply(%0, %2) : f32[8]
///         %4 = multiply(%2, %1) : f32[8]
///         %5 = add(%3, %4) : f32[8]
///         return %5
///     }",
/// )?;
/// Pipeline::empty().push(Saturate::of_finite_numbers()).run(&mut g)?;
/// assert_eq!(g.nodes().len(), 2);
/// # Ok::<(), gradloom_ir::Error>(())
/// ```
#[derive(Clone)]
pub struct Saturate {
    /// What may stand for what.
    pub rules: Arc<[Rule]>,
    /// How often all rules are applied to all that was found.
    pub iterations: usize,
    /// Places at which a rule is applied in an iteration.
    pub matches: usize,
    /// Ops that are found, in all ways to compute the program, before the search ends; twice as many as it has if that is
    /// more.
    pub nodes: usize,
    /// Whether no infinity and no NaN comes up: rules that hold of finite numbers alone ([`Rule::of_finite_numbers`]) then
    /// apply to floats and complex numbers too, not only to integers.
    pub finite: bool,
    /// What an op costs on operands and results of these types.
    pub price: Price,
}

impl Saturate {
    /// By these rules, within the limits that are the default.
    pub fn new(rules: Vec<Rule>) -> Saturate {
        Saturate {
            rules: rules.into(),
            iterations: 8,
            matches: 400,
            nodes: 4000,
            finite: false,
            price: flops_and_bytes,
        }
    }

    /// By [`identities`] and the rules of the simplifier, those that hold for infinities and NaN as well. It is the default.
    pub fn of_all_numbers() -> Saturate {
        let identities = identities().expect("every identity is proved by a test");
        let simple = crate::simplification_rules().expect("every rule of the simplifier is proved by a test");
        Saturate::new(identities.into_iter().chain(simple.rules().iter().cloned()).collect())
    }

    /// By all of [`identities`] and the rules of the simplifier. Where an infinity or NaN comes up the result may be
    /// another: x y + x z = x (y + z) does not hold for x infinite and y, z of different signs.
    pub fn of_finite_numbers() -> Saturate {
        Saturate { finite: true, ..Saturate::of_all_numbers() }
    }

    /// The rules that do not see all ways in which a value is computed, only one: they are computed, or have a condition
    /// that is.
    pub fn narrowed(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|r| r.pattern().is_none() || r.looks_closer())
    }

    fn cost(&self, g: &Graph) -> u128 {
        let types = |vs: &[Value]| vs.iter().map(|&v| g.ty(v)).collect::<SmallVec<[&Type; 4]>>();
        g.nodes().iter().map(|n| u128::from((self.price)(&n.op, &types(&n.args), &types(&n.results)))).sum()
    }

    /// Adds what all rules say of what there is. `tried` are the applications that computed rules have seen.
    fn step(
        &self,
        space: &mut Space,
        limit: usize,
        tried: &mut HashSet<(usize, u32, SmallVec<[Value; 4]>)>,
    ) -> Result<()> {
        for (i, rule) in self.rules.iter().enumerate() {
            match rule.pattern() {
                Some(p) => {
                    for (class, found) in search::matches(space, rule, p, self.matches) {
                        let bindings = found.bindings(space);
                        let Some(ty) = space.ty(class).cloned() else { continue };
                        if !self.holds(rule, &ty) || !rule.accepts(&space.view, &bindings) {
                            continue;
                        }
                        let loc = space.egraph[class].data.loc.clone();
                        space.view.set_loc(&loc);
                        let made = rule.make(&mut space.view, &bindings, &ty);
                        space.accept(class, made)?;
                    }
                }
                None => self.compute(space, i, rule, tried)?,
            }
            if space.egraph.total_size() > limit {
                break;
            }
        }
        space.egraph.rebuild();
        Ok(())
    }

    /// Whether a rule may be applied to values of that type.
    fn holds(&self, rule: &Rule, ty: &Type) -> bool {
        self.finite || rule.holds_of_all_numbers() || !ty.dtype.is_inexact()
    }

    /// Adds what a computed rule says of applications it has not seen.
    fn compute(
        &self,
        space: &mut Space,
        i: usize,
        rule: &Rule,
        tried: &mut HashSet<(usize, u32, SmallVec<[Value; 4]>)>,
    ) -> Result<()> {
        let Some(rewrite) = rule.rewrite() else { return Ok(()) };
        let mut new = Vec::new();
        for &name in rule.ops() {
            let classes = space.egraph.classes_for_op(&name).into_iter().flatten();
            // computed rules are not asked about arrays without elements
            for class in classes.filter(|&c| space.ty(c).is_some_and(|t| t.numel() > 0 && self.holds(rule, t))) {
                for a in space.egraph[class].nodes.iter().filter(|a| a.name == name) {
                    let args: Option<SmallVec<[Value; 4]>> = a.args.iter().map(|&x| space.value(x)).collect();
                    let (Head::Op(o), Some(args)) = (space.head_of(a), args) else { continue };
                    if new.len() < self.matches && tried.insert((i, a.head, args.clone())) {
                        new.push((class, o.op.clone(), args));
                    }
                }
            }
        }
        for (class, op, args) in new {
            let loc = space.egraph[class].data.loc.clone();
            space.view.set_loc(&loc);
            let made = rewrite(&mut space.view, &op, &args);
            space.accept(class, made)?;
        }
        Ok(())
    }
}

impl Default for Saturate {
    fn default() -> Saturate {
        Saturate::of_all_numbers()
    }
}

impl Pass for Saturate {
    fn name(&self) -> &str {
        "saturate"
    }

    fn run(&self, g: &mut Graph, _: &mut PassContext) -> Result<Changed> {
        let plain = crate::dead_code(g);
        let mut space = Space::new(&plain)?;
        let limit = self.nodes.max(2 * space.egraph.total_size());
        let mut tried = HashSet::new();
        for _ in 0..self.iterations {
            let before = (space.egraph.total_size(), space.egraph.number_of_classes());
            self.step(&mut space, limit, &mut tried)?;
            space.fold()?;
            let now = (space.egraph.total_size(), space.egraph.number_of_classes());
            if now == before || now.0 > limit {
                break;
            }
        }
        match Extraction::new(&space, self.price).program(&plain)? {
            Some(new) if self.cost(&new) < self.cost(&plain) => {
                *g = new;
                Ok(Changed::Yes)
            }
            _ => Ok(Changed::No),
        }
    }
}

/// Arithmetic operations, and bytes read and written.
fn flops_and_bytes(op: &Op, args: &[&Type], results: &[&Type]) -> u64 {
    let c = cost::cost(op, args, results);
    c.flops.saturating_add(c.bytes)
}
