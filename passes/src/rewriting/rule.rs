//! Rules, and sets of them.

use super::instances;
use super::matching::{
    ATTR_PROPERTIES, Bindings, FUNCTIONS, Function, Known, Maker, Match, PROPERTIES, Property, holds, matches,
};
use super::parse::parse;
use super::term::{AttrTerm, Condition, Names, NodePattern, Pattern, Term};
use super::view::View;
use gradloom_ir::{Attr, Binary, Comparison, Error, Graph, Op, Result, Type, Value, infer};
use smallvec::SmallVec;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, RwLock};

/// A right side as a function: what stands for the op on these operands, or `None` where the rule does not apply.
pub type Rewrite = fn(&mut View, &Op, &[Value]) -> Option<Value>;

#[derive(Clone)]
enum Right {
    Term(Term),
    Computed(Rewrite),
}

/// How alike both sides of a rule are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Accuracy {
    Bits,
    Rounding,
    /// Up to rounding, where all numbers are finite.
    Finite,
}

type Predicate = dyn Fn(&Match) -> bool + Send + Sync;

/// One rewrite: where its left side stands, its right side may.
///
/// ```
/// use gradloom_passes::rewriting::{Rule, RuleSet};
/// use gradloom_passes::Pass;
/// let rules = RuleSet::new("tangents", vec![
///     Rule::parse("divide(sine(x), cosine(x)) => tan(x) if float(x)")?.reassociates(),
/// ])?;
/// let mut g = gradloom_ir::parse(
///     "graph(%0: f32[3]) { %1 = sine(%0) : f32[3] %2 = cosine(%0) : f32[3] %3 = divide(%1, %2) : f32[3] return %3 }",
/// )?;
/// rules.run(&mut g, &mut Default::default())?;
/// assert!(g.to_string().contains("tan(%0)"));
/// # Ok::<(), gradloom_ir::Error>(())
/// ```
#[derive(Clone)]
pub struct Rule {
    text: String,
    /// The pattern, and its forms with the operands of commutative ops exchanged.
    patterns: Vec<NodePattern>,
    right: Right,
    condition: Condition,
    pub(super) names: Names,
    predicate: Option<Arc<Predicate>>,
    functions: BTreeMap<String, Arc<Function>>,
    properties: BTreeMap<String, Property>,
    accuracy: Accuracy,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rule({})", self.text)
    }
}

impl Known for Rule {
    fn property(&self, name: &str) -> Option<Property> {
        self.properties.get(name).copied()
    }
    fn function(&self, name: &str) -> Option<&Function> {
        self.functions.get(name).map(|f| &**f)
    }
}

impl Rule {
    /// A rule from its text, as `add(x, negate(y)) => subtract(x, y)`; the module shows the grammar.
    ///
    /// # Errors
    /// Text that is none of a rule, an op or attribute that there is not, a name that stands on the right side alone.
    pub fn parse(text: &str) -> Result<Rule> {
        let parsed = parse(text).map_err(|(at, what)| wrong(text, at, what))?;
        let end = text.len();
        let term = parsed.term.ok_or_else(|| wrong(text, end, "`=>` and the right side are missing".into()))?;
        Ok(Rule {
            text: text.to_string(),
            patterns: exchanged(&parsed.pattern),
            right: Right::Term(term),
            condition: parsed.condition,
            names: parsed.names,
            predicate: None,
            functions: BTreeMap::new(),
            properties: BTreeMap::new(),
            accuracy: Accuracy::Bits,
        })
    }

    /// A rule whose right side is computed. `equation` says in words what it does; it is looked at wherever one of `ops`
    /// stands.
    pub fn computed(equation: &str, ops: &[&'static str], rewrite: Rewrite) -> Rule {
        let pattern = NodePattern { ops: ops.to_vec(), args: Vec::new(), attrs: Vec::new(), result: None };
        Rule {
            text: equation.to_string(),
            patterns: vec![pattern],
            right: Right::Computed(rewrite),
            condition: Condition::All(Vec::new()),
            names: Names::default(),
            predicate: None,
            functions: BTreeMap::new(),
            properties: BTreeMap::new(),
            accuracy: Accuracy::Bits,
        }
    }

    /// The rule only where `holds` of what it found.
    pub fn when(mut self, holds: impl Fn(&Match) -> bool + Send + Sync + 'static) -> Rule {
        self.predicate = Some(Arc::new(holds));
        self
    }

    /// A function of attributes that the right side and the condition may call; in a condition alone it says `true` where
    /// it holds.
    pub fn function(mut self, name: &str, f: impl Fn(&[Attr]) -> Option<Attr> + Send + Sync + 'static) -> Rule {
        self.functions.insert(name.to_string(), Arc::new(f));
        self
    }

    /// A property of values that the condition may ask for.
    pub fn property(mut self, name: &str, p: fn(&View, Value) -> bool) -> Rule {
        self.properties.insert(name.to_string(), p);
        self
    }

    /// Both sides are equal up to rounding, or but for the sign of a zero.
    pub fn reassociates(mut self) -> Rule {
        self.accuracy = Accuracy::Rounding;
        self
    }

    /// Both sides are equal up to rounding as long as all numbers that come up on either are finite.
    ///
    /// ```
    /// let rule = gradloom_passes::rule!("add(multiply(x, y), multiply(x, z)) => multiply(x, add(y, z))")?;
    /// assert!(rule.clone().reassociates().prove(200, 1).is_err()); // inf 2 + inf -1 is NaN
    /// assert_eq!(rule.of_finite_numbers().prove(200, 1)?, 200);
    /// # Ok::<(), gradloom_ir::Error>(())
    /// ```
    pub fn of_finite_numbers(mut self) -> Rule {
        self.accuracy = Accuracy::Finite;
        self
    }

    /// Whether both sides are equal bit by bit.
    pub fn is_exact(&self) -> bool {
        self.accuracy == Accuracy::Bits
    }

    /// Whether both sides are equal, or equal up to rounding, for infinities and NaN as well.
    pub fn holds_of_all_numbers(&self) -> bool {
        self.accuracy != Accuracy::Finite
    }

    pub(super) fn accuracy(&self) -> Accuracy {
        self.accuracy
    }

    /// The rule as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The left side as a pattern; `None` if the rule is computed from any operands.
    pub(super) fn pattern(&self) -> Option<&NodePattern> {
        matches!(self.right, Right::Term(_)).then(|| &self.patterns[0])
    }

    pub(super) fn condition(&self) -> &Condition {
        &self.condition
    }

    /// Evaluates both sides on random programs of the left side's form, with random operands among which are zeros of both
    /// signs, infinities and NaN; returns on how many programs. For a rule that [`Rule::reassociates`] results may differ by
    /// 1e-9 of their size in f64, and other dtypes accordingly; one [`Rule::of_finite_numbers`] is tried on these, and where
    /// the left side gives one. Of complex numbers the signs of zeros, and the parts of
    /// what is not finite, are not compared.
    ///
    /// # Errors
    /// A program on which the sides differ, or on which the right side is ill-typed; no program to be found at all.
    pub fn prove(&self, programs: usize, seed: u64) -> Result<usize> {
        instances::prove(self, programs, seed)
    }

    /// What the rule makes of a program, tried at each of its nodes once, after both were evaluated as [`Rule::prove`] does;
    /// `None` if it applies nowhere. This is how rules are proved that are [`Rule::computed`]: they have no left side of which
    /// programs can be made.
    ///
    /// # Errors
    /// Results that differ; a right side that is ill-typed.
    ///
    /// ```
    /// use gradloom_ir::{Op, parse};
    /// use gradloom_passes::rewriting::Rule;
    /// let rule = Rule::computed("reverse(x) = x along no axes", &["reverse"], |_, op, args| match op {
    ///     Op::Reverse { axes } if axes.is_empty() => Some(args[0]),
    ///     _ => None,
    /// });
    /// let of = |axes| parse(&format!("graph(%0: f32[3]) {{ %1 = reverse(%0) {{axes = {axes}}} : f32[3] return %1 }}"));
    /// assert_eq!(rule.prove_on(&of("[]")?, 1)?, Some(parse("graph(%0: f32[3]) { return %0 }")?));
    /// assert_eq!(rule.prove_on(&of("[0]")?, 1)?, None);
    /// # Ok::<(), gradloom_ir::Error>(())
    /// ```
    pub fn prove_on(&self, program: &Graph, seed: u64) -> Result<Option<Graph>> {
        instances::prove_on(self, program, seed)
    }

    /// Whether the right side is computed.
    pub fn is_computed(&self) -> bool {
        matches!(self.right, Right::Computed(_))
    }

    /// What the rule makes of `op` on `args`.
    fn apply(&self, v: &mut View, op: &Op, args: &[Value]) -> Option<Value> {
        if let Right::Computed(rewrite) = &self.right {
            return rewrite(v, op, args);
        }
        let bindings = self.patterns.iter().find_map(|p| {
            let mut b = self.no_bindings();
            (matches(v, p, op, args, &mut b) && self.accepts(v, &b)).then_some(b)
        })?;
        let types: SmallVec<[Type; 4]> = args.iter().map(|&x| v.ty(x).clone()).collect();
        let ty = infer(op, &types).ok()?.pop()?;
        self.make(v, &bindings, &ty)
    }

    /// The function that a computed rule is.
    pub(super) fn rewrite(&self) -> Option<Rewrite> {
        match self.right {
            Right::Computed(rewrite) => Some(rewrite),
            Right::Term(_) => None,
        }
    }

    /// The ops that the left side begins with.
    pub(super) fn ops(&self) -> &[&'static str] {
        &self.patterns[0].ops
    }

    pub(super) fn no_bindings(&self) -> Bindings {
        let mut b = Bindings::default();
        b.values.resize(self.names.values.len(), None);
        b.attrs.resize(self.names.attrs.len(), None);
        b
    }

    /// Whether what must hold beside the pattern does.
    pub(super) fn accepts(&self, v: &View, b: &Bindings) -> bool {
        let m = Match { view: v, names: &self.names, bindings: b };
        holds(v, &self.condition, b, self) && self.predicate.as_ref().is_none_or(|p| p(&m))
    }

    /// Whether the condition asks for more than types: how values are made, or what only Rust code tells.
    pub(super) fn looks_closer(&self) -> bool {
        let (mut calls, mut properties) = (Vec::new(), Vec::new());
        condition_calls(&self.condition, &mut calls, &mut properties);
        self.predicate.is_some() || properties.iter().any(|p| self.properties.contains_key(*p))
    }

    /// The right side, which is of type `ty`; an error becomes the view's.
    pub(super) fn make(&self, v: &mut View, bindings: &Bindings, ty: &Type) -> Option<Value> {
        let Right::Term(term) = &self.right else { return None };
        let made = Maker { bindings, known: self, made: Vec::new() }.make(v, term, ty);
        let why = match made {
            Ok(x) if v.ty(x) == ty => return Some(x),
            Ok(x) => format!("the left side is {ty} and the right side {}", v.ty(x)),
            Err(e) => e.message().to_string(),
        };
        v.fail(
            Error::user("rule", format!("`{}`: {why}", self.text))
                .help("a rule's sides must have one type wherever it applies"),
        );
        None
    }

    /// Names of functions and properties that nobody knows.
    fn unknown(&self) -> Option<String> {
        let mut calls = Vec::new();
        let mut properties = Vec::new();
        if let Right::Term(t) = &self.right {
            term_calls(t, &mut calls);
        }
        condition_calls(&self.condition, &mut calls, &mut properties);
        let call =
            calls.into_iter().find(|n| !FUNCTIONS.iter().any(|(f, _)| f == n) && !self.functions.contains_key(*n));
        let known = |n: &str| {
            PROPERTIES.iter().any(|(p, _)| *p == n)
                || ATTR_PROPERTIES.iter().any(|(p, _)| *p == n)
                || self.properties.contains_key(n)
                || self.functions.contains_key(n)
        };
        call.or_else(|| properties.into_iter().find(|n| !known(n))).map(str::to_string)
    }
}

/// An error in a rule's text, shown there.
fn wrong(text: &str, at: usize, what: String) -> Error {
    let column = text[..at.min(text.len())].chars().count();
    Error::user("rule", format!("{what}\n  {text}\n  {}^", " ".repeat(column)))
}

fn attr_calls<'a>(t: &'a AttrTerm, calls: &mut Vec<&'a str>) {
    if let AttrTerm::Call(name, args) = t {
        calls.push(name);
        args.iter().for_each(|a| attr_calls(a, calls));
    }
}

fn term_calls<'a>(t: &'a Term, calls: &mut Vec<&'a str>) {
    if let Term::Node { args, attrs, .. } = t {
        attrs.iter().for_each(|(_, a)| attr_calls(a, calls));
        args.iter().for_each(|t| term_calls(t, calls));
    }
}

fn condition_calls<'a>(c: &'a Condition, calls: &mut Vec<&'a str>, properties: &mut Vec<&'a str>) {
    match c {
        Condition::Not(c) => condition_calls(c, calls, properties),
        Condition::All(cs) | Condition::Any(cs) => cs.iter().for_each(|c| condition_calls(c, calls, properties)),
        Condition::Property(name, _) => properties.push(name),
        Condition::Equal(l, r) => [l, r].into_iter().for_each(|a| attr_calls(a, calls)),
        Condition::AttrProperty(name, args) => {
            properties.push(name);
            args.iter().for_each(|a| attr_calls(a, calls));
        }
    }
}

/// Whether the operands of all these ops may be exchanged.
pub(super) fn commutes(ops: &[&str]) -> bool {
    let one = |name: &&str| {
        Binary::from_name(name).is_some_and(Binary::is_commutative)
            || matches!(Comparison::from_name(name), Some(Comparison::Eq | Comparison::Ne))
    };
    ops.iter().all(one)
}

/// The pattern with the operands of its commutative ops in either order; forms that are the same but for names once.
fn exchanged(p: &NodePattern) -> Vec<NodePattern> {
    let mut forms: Vec<Vec<Pattern>> = vec![Vec::new()];
    for a in &p.args {
        let of_arg: Vec<Pattern> = match a {
            Pattern::Node(n) => exchanged(n).into_iter().map(Pattern::Node).collect(),
            other => vec![other.clone()],
        };
        let longer = |form: &Vec<Pattern>| {
            let with = |a: &Pattern| form.iter().cloned().chain([a.clone()]).collect();
            of_arg.iter().map(with).collect::<Vec<Vec<Pattern>>>()
        };
        forms = forms.iter().flat_map(longer).collect();
    }
    // two names that stand nowhere else are alike; where both are names the match binds them either way
    if commutes(&p.ops) && !matches!(&p.args[..], [Pattern::Value(_), Pattern::Value(_)]) {
        let turned = forms.iter().map(|f| f.iter().rev().cloned().collect()).collect::<Vec<Vec<Pattern>>>();
        for t in turned {
            if !forms.contains(&t) {
                forms.push(t);
            }
        }
    }
    forms.into_iter().map(|args| NodePattern { args, ..p.clone() }).collect()
}

/// What an operand is at first sight: the op that makes it (none for inputs), and whether it is a number.
type Head = (&'static str, bool);

/// Rules that are applied together, each wherever an op stands for which it was made.
///
/// Where several apply, the first in order does. A table from an op and the ops of its first two operands to the rules
/// that can match at all makes the cost of a program independent of the number of rules.
///
/// A set is a [`crate::Pass`] of its name: `Pipeline::standard().after("simplify", rules)`.
pub struct RuleSet {
    name: String,
    rules: Vec<Rule>,
    /// Positions of the rules by the root op.
    by_op: HashMap<&'static str, Vec<u32>>,
    /// Those of them that can match operands with such heads; filled as programs ask.
    by_heads: RwLock<HashMap<(&'static str, [Head; 2]), Arc<[u32]>>>,
}

impl fmt::Debug for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuleSet").field("name", &self.name).field("rules", &self.rules).finish()
    }
}

/// Programs on which a new rule's types are tried.
const TRIED: usize = 8;

impl RuleSet {
    /// A set of checked rules: each is tried on random programs of its left side's form.
    ///
    /// # Errors
    /// A rule whose sides differ in type, whose left side no program can have, or that calls what there is not.
    pub fn new(name: &str, rules: Vec<Rule>) -> Result<RuleSet> {
        for rule in &rules {
            if let Some(unknown) = rule.unknown() {
                let what = format!("`{}`: nothing is known of `{unknown}`", rule.text);
                return Err(Error::user("rule", what).help("Rule::function and Rule::property make it known"));
            }
            let tried = catch_unwind(AssertUnwindSafe(|| instances::check_types(rule, TRIED)));
            tried.unwrap_or_else(|_| {
                Err(Error::user("rule", format!("`{}`: a function of the rule panicked", rule.text)))
            })?;
        }
        Ok(RuleSet::unchecked(name, rules))
    }

    /// A set of rules that are checked elsewhere.
    pub(crate) fn unchecked(name: &str, rules: Vec<Rule>) -> RuleSet {
        let mut by_op: HashMap<&'static str, Vec<u32>> = HashMap::new();
        for (i, rule) in rules.iter().enumerate() {
            for op in &rule.patterns[0].ops {
                by_op.entry(op).or_default().push(i as u32);
            }
        }
        RuleSet { name: name.to_string(), rules, by_op, by_heads: RwLock::default() }
    }

    /// Its name as a pass.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The rules in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// How many rules are tried at each node of a program as it stands.
    pub fn candidates_of(&self, g: &Graph) -> Vec<usize> {
        let mut v = View::new(self);
        let mut map: Vec<Value> = g.inputs().map(|i| v.input(g.ty(i).clone(), "")).collect();
        let mut counts = Vec::new();
        for node in g.nodes() {
            let args: Vec<Value> = node.args.iter().map(|a| map[a.index()]).collect();
            counts.push(self.candidates(&v, &node.op, &args).map_or(0, |c| c.len()));
            let types = node.results.iter().map(|&r| g.ty(r).clone());
            map.extend(v.raw(|b| b.emit_typed(node.op.clone(), &args, types)));
        }
        counts
    }

    /// What the first rule that applies makes of `op` on `args`.
    pub(super) fn rewrite(&self, v: &mut View, op: &Op, args: &[Value]) -> Option<Value> {
        let candidates = self.candidates(v, op, args)?;
        candidates.iter().find_map(|&i| self.rules[i as usize].apply(v, op, args))
    }

    fn candidates(&self, v: &View, op: &Op, args: &[Value]) -> Option<Arc<[u32]>> {
        let name = op.name();
        let of_op = self.by_op.get(name)?;
        let head = |i: usize| -> Head {
            let Some(&x) = args.get(i) else { return ("", false) };
            (v.def(x).map_or("", |n| n.op.name()), v.splat(x).is_some())
        };
        let key = (name, [head(0), head(1)]);
        // a panic in a user's rule leaves the table as it was
        let table = self.by_heads.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(found) = table.get(&key) {
            return Some(found.clone());
        }
        drop(table);
        let fits = |p: &NodePattern| {
            p.args.iter().zip(key.1).all(|(p, (op, number))| match p {
                Pattern::Value(_) => true,
                Pattern::Number(..) => number,
                Pattern::Node(n) => n.ops.contains(&op),
            })
        };
        let can = |&&i: &&u32| self.rules[i as usize].patterns.iter().any(fits);
        let found: Arc<[u32]> = of_op.iter().filter(can).copied().collect();
        let mut table = self.by_heads.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        table.insert(key, found.clone());
        Some(found)
    }
}
