//! Finding a pattern in a program, and making the right side.

use super::term::{AttrPattern, AttrTerm, Condition, Names, NodePattern, Number, Pattern, Term};
use super::view::View;
use gradloom_ir::{
    Attr, DType, Error, Literal, Op, ReduceKind, Result, Type, Value,
    eval::{ScalarOps, eval_op},
    infer, with_element,
};
use smallvec::SmallVec;

/// What the names of a rule stand for in a program.
#[derive(Clone, Debug, Default)]
pub(super) struct Bindings {
    pub values: SmallVec<[Option<Value>; 6]>,
    pub attrs: SmallVec<[Option<Attr>; 4]>,
}

/// A place where the left side of a rule was found: its names by what they stand for.
pub struct Match<'a> {
    pub(super) view: &'a View<'a>,
    pub(super) names: &'a Names,
    pub(super) bindings: &'a Bindings,
}

impl Match<'_> {
    /// The value of that name.
    pub fn value(&self, name: &str) -> Option<Value> {
        let i = self.names.values.iter().position(|n| n == name)?;
        self.bindings.values[i]
    }

    /// The type of the value of that name.
    pub fn ty(&self, name: &str) -> Option<&Type> {
        self.value(name).map(|x| self.view.ty(x))
    }

    /// The attribute of that name.
    pub fn attr(&self, name: &str) -> Option<&Attr> {
        let i = self.names.attrs.iter().position(|n| n == name)?;
        self.bindings.attrs[i].as_ref()
    }

    /// The number that every element of the value of that name is.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.value(name).and_then(|x| self.view.splat_f64(x))
    }

    /// The program so far.
    pub fn view(&self) -> &View<'_> {
        self.view
    }
}

/// The neutral element of a reduction: of `Max` the least number, of `Min` the greatest, of `And` all ones.
pub(crate) fn identity(kind: ReduceKind, dtype: DType) -> Option<Literal> {
    with_element!(dtype, T => <T as ScalarOps>::identity(kind).map(|x| Literal::new(&[], &[x])))
}

impl Number {
    /// The number as a scalar of a dtype; `None` if that has no such number.
    pub(super) fn literal_of(self, dtype: DType) -> Option<Literal> {
        match self {
            Number::Is(x) => Some(Literal::scalar(dtype, x)),
            Number::Zero { negative } => Some(Literal::scalar(dtype, if negative { -0.0 } else { 0.0 })),
            Number::Least => identity(ReduceKind::Max, dtype),
            Number::Greatest => identity(ReduceKind::Min, dtype),
            Number::Ones => identity(ReduceKind::And, dtype),
        }
    }

    /// Whether every element of `x` is this number.
    pub(super) fn matches(self, v: &View, x: Value) -> bool {
        let Some(c) = v.splat(x) else { return false };
        match self {
            Number::Is(n) => c.splat_f64() == Some(n),
            Number::Zero { negative } => c.splat_f64().is_some_and(|c| c == 0.0 && c.is_sign_negative() == negative),
            _ => self.literal_of(v.dtype(x)).as_ref() == Some(c),
        }
    }

    /// An array of that type full of this number.
    pub(super) fn full(self, v: &mut View, ty: &Type) -> Option<Value> {
        let c = self.literal_of(ty.dtype)?;
        let c = v.literal(c);
        Some(v.broadcast(c, &ty.shape, &[]))
    }
}

/// Whether `op` on `args` has the form of the pattern. The names are bound so far as it does.
pub(super) fn matches(v: &View, p: &NodePattern, op: &Op, args: &[Value], b: &mut Bindings) -> bool {
    if !p.ops.contains(&op.name()) || p.args.len() != args.len() {
        return false;
    }
    if !p.args.iter().zip(args).all(|(p, &x)| value_matches(v, p, x, b)) {
        return false;
    }
    if p.attrs.is_empty() {
        return true;
    }
    let attrs = op.attrs();
    p.attrs.iter().all(|(name, p)| {
        let Some((_, attr)) = attrs.iter().find(|(n, _)| n == name) else { return false };
        match p {
            AttrPattern::Is(a) => a == attr,
            AttrPattern::Capture(i) => match &b.attrs[*i] {
                Some(bound) => bound == attr,
                None => {
                    b.attrs[*i] = Some(attr.clone());
                    true
                }
            },
        }
    })
}

fn value_matches(v: &View, p: &Pattern, x: Value, b: &mut Bindings) -> bool {
    let mut bind = |i: usize| *b.values[i].get_or_insert(x) == x;
    match p {
        Pattern::Value(i) => bind(*i),
        Pattern::Number(n, name) => n.matches(v, x) && name.is_none_or(bind),
        Pattern::Node(p) => {
            if p.result.is_some_and(|i| !bind(i)) {
                return false;
            }
            let node = v.def(x).filter(|n| n.results.len() == 1);
            node.is_some_and(|n| matches(v, p, &n.op, &n.args, b))
        }
    }
}

/// What a rule knows of properties and functions beside the built-in ones.
pub(super) trait Known {
    fn property(&self, name: &str) -> Option<Property>;
    fn function(&self, name: &str) -> Option<&Function>;
}

/// A property of values.
pub(super) type Property = fn(&View, Value) -> bool;

/// A function of attributes.
pub(super) type Function = dyn Fn(&[Attr]) -> Option<Attr> + Send + Sync;

/// Properties of values that every rule knows.
pub(super) const PROPERTIES: &[(&str, Property)] = &[
    ("float", |v, x| v.dtype(x).is_float()),
    ("int", |v, x| v.dtype(x).is_int()),
    ("unsigned", |v, x| v.dtype(x).is_unsigned_int()),
    ("complex", |v, x| v.dtype(x).is_complex()),
    ("inexact", |v, x| v.dtype(x).is_inexact()),
    ("half", |v, x| v.dtype(x).is_half()),
    ("bool", |v, x| v.dtype(x) == DType::Bool),
    ("scalar", |v, x| v.shape(x).is_empty()),
    ("const", |v, x| v.splat(x).is_some()),
    ("once", |v, x| v.single_use(x)),
];

/// Functions of lists that every rule knows.
pub(super) const FUNCTIONS: &[(&str, fn(&[Attr]) -> Option<Attr>)] = &[
    // compose(p, q)[i] = p[q[i]]
    ("compose", |args| {
        let [Attr::Ints(p), Attr::Ints(q)] = args else { return None };
        let at = |&i: &i64| p.get(usize::try_from(i).ok()?).copied();
        q.iter().map(at).collect::<Option<_>>().map(Attr::Ints)
    }),
    // the axes 0, 1, .. of a rank
    ("axes", |args| {
        let [Attr::Int(n)] = args else { return None };
        Some(Attr::Ints((0..*n).collect()))
    }),
    ("sorted", |args| {
        let [Attr::Ints(p)] = args else { return None };
        let mut p = p.clone();
        p.sort_unstable();
        Some(Attr::Ints(p))
    }),
];

/// Properties of attributes that every rule knows.
pub(super) const ATTR_PROPERTIES: &[(&str, fn(&[Attr]) -> bool)] = &[
    // a list 0, 1, 2, ..
    ("identity", |args| matches!(args, [Attr::Ints(p)] if p.iter().copied().eq(0..p.len() as i64))),
    ("ascending", |args| matches!(args, [Attr::Ints(p)] if p.is_sorted())),
];

fn attr(v: &View, t: &AttrTerm, b: &Bindings, known: &dyn Known) -> Option<Attr> {
    let list = |shape: &[usize]| Attr::Ints(shape.iter().map(|&n| n as i64).collect());
    match t {
        AttrTerm::Capture(i) => b.attrs[*i].clone(),
        AttrTerm::Is(a) => Some(a.clone()),
        AttrTerm::Shape(i) => b.values[*i].map(|x| list(v.shape(x))),
        AttrTerm::Rank(i) => b.values[*i].map(|x| Attr::Int(v.shape(x).len() as i64)),
        AttrTerm::DType(i) => b.values[*i].map(|x| Attr::DType(v.dtype(x))),
        AttrTerm::Call(name, args) => {
            let args: Vec<Attr> = args.iter().map(|a| attr(v, a, b, known)).collect::<Option<_>>()?;
            match FUNCTIONS.iter().find(|(n, _)| n == name) {
                Some((_, f)) => f(&args),
                None => known.function(name)?(&args),
            }
        }
    }
}

/// Whether a condition holds; what is not known of does not.
pub(super) fn holds(v: &View, c: &Condition, b: &Bindings, known: &dyn Known) -> bool {
    match c {
        Condition::Not(c) => !holds(v, c, b, known),
        Condition::All(all) => all.iter().all(|c| holds(v, c, b, known)),
        Condition::Any(any) => any.iter().any(|c| holds(v, c, b, known)),
        Condition::Property(name, i) => {
            let built_in = PROPERTIES.iter().find(|(n, _)| n == name).map(|(_, p)| *p);
            let property = built_in.or_else(|| known.property(name));
            property.zip(b.values[*i]).is_some_and(|(p, x)| p(v, x))
        }
        Condition::Equal(l, r) => {
            let (l, r) = (attr(v, l, b, known), attr(v, r, b, known));
            l.is_some() && l == r
        }
        Condition::AttrProperty(name, args) => {
            let args: Option<Vec<Attr>> = args.iter().map(|a| attr(v, a, b, known)).collect();
            let Some(args) = args else { return false };
            match ATTR_PROPERTIES.iter().find(|(n, _)| n == name) {
                Some((_, p)) => p(&args),
                None => known.function(name).and_then(|f| f(&args)) == Some(Attr::Bool(true)),
            }
        }
    }
}

/// Makes right sides. What stands there twice is made once.
pub(super) struct Maker<'a> {
    pub bindings: &'a Bindings,
    pub known: &'a dyn Known,
    pub made: Vec<(&'a Term, Value)>,
}

impl<'a> Maker<'a> {
    /// The value of a term; a number alone is an array of type `like`.
    pub(super) fn make(&mut self, v: &mut View, t: &'a Term, like: &Type) -> Result<Value> {
        let wrong = |what: String| Error::user("rule", what);
        match t {
            Term::Value(i) => self.bindings.values[*i].ok_or_else(|| wrong("a name stands for nothing".into())),
            Term::Number(n) => n.full(v, like).ok_or_else(|| wrong(format!("{} has no such number", like.dtype))),
            Term::Node { op, args, attrs } => {
                if let Some((_, x)) = self.made.iter().find(|(made, _)| *made == t) {
                    return Ok(*x);
                }
                let mut values: SmallVec<[Option<Value>; 4]> = SmallVec::new();
                for a in args {
                    values.push(if matches!(a, Term::Number(_)) { None } else { Some(self.make(v, a, like)?) });
                }
                // a number has the type of its neighbours; the first operand of a select is none of them
                let first = usize::from(*op == "select");
                let like = values.iter().skip(first).flatten().next().map_or(like, |&x| v.ty(x)).clone();
                let mut operands: SmallVec<[Value; 4]> = SmallVec::new();
                for (value, a) in values.into_iter().zip(args) {
                    operands.push(match value {
                        Some(x) => x,
                        None => self.make(v, a, &like)?,
                    });
                }
                let mut found = Vec::new();
                for (name, t) in attrs {
                    let a = attr(v, t, self.bindings, self.known);
                    found.push((name, a.ok_or_else(|| wrong(format!("the attribute `{name}` cannot be computed")))?));
                }
                let take = |name: &str| found.iter().find(|(n, _)| *n == name).map(|(_, a)| a.clone());
                let op = Op::from_attrs(op, take).map_err(wrong)?;
                let x = match constant(v, &op, &operands) {
                    Some(x) => x,
                    None => {
                        let types: SmallVec<[Type; 4]> = operands.iter().map(|&x| v.ty(x).clone()).collect();
                        infer(&op, &types)?;
                        v.op(op, &operands)
                    }
                };
                self.made.push((t, x));
                Ok(x)
            }
        }
    }
}

/// What an elementwise op makes of numbers is a number.
pub(super) fn constant(v: &mut View, op: &Op, args: &[Value]) -> Option<Value> {
    if !matches!(op, Op::Unary(_) | Op::Binary(_)) {
        return None;
    }
    let numbers: Vec<Literal> = args.iter().map(|&x| v.splat(x).cloned()).collect::<Option<_>>()?;
    let ty = v.ty(args[0]).clone();
    let results = infer(op, &numbers.iter().map(|n| n.ty().clone()).collect::<Vec<_>>()).ok()?;
    let c = eval_op(op, &numbers, &results).ok()?.pop()?;
    let c = v.literal(c);
    Some(v.broadcast(c, &ty.shape, &[]))
}
