//! The program under construction as rules see it: how a value was made, and constructors that apply the rules.

use super::rule::RuleSet;
use gradloom_ir::{
    Binary, Builder, DType, Error, Graph, Literal, Loc, Node, Op, ReduceKind, Result, Shape, Type, Unary, Value,
};

use smallvec::SmallVec;
use std::collections::HashMap;

/// How deep rules may call constructors that apply rules. No chain of ours comes near it.
const MAX_DEPTH: u32 = 32;

const INPUT: u32 = u32::MAX;

/// A program under construction: a builder that knows the node behind each value, and applies a set of rules to all that
/// is made.
pub struct View<'r> {
    rules: &'r RuleSet,
    b: Builder,
    /// By value: the defining node.
    defs: Vec<u32>,
    /// By value: uses in the old program; 0 for values made by rules.
    uses: Vec<u32>,
    seen: usize,
    depth: u32,
    /// Whether any rule applied.
    pub(super) any: bool,
    /// Where equal applications are made once: those there are.
    made: Option<HashMap<(Op, SmallVec<[Value; 4]>), Value>>,
    /// How many more may apply: rules that only make each other work must come to an end.
    left: usize,
}

/// Rules that may apply in one sweep, for each node of the program and beyond.
const APPLICATIONS: (usize, usize) = (64, 4096);

impl<'r> View<'r> {
    pub(super) fn new(rules: &'r RuleSet) -> View<'r> {
        View {
            rules,
            b: Builder::new(),
            defs: Vec::new(),
            uses: Vec::new(),
            seen: 0,
            depth: 0,
            any: false,
            made: None,
            left: APPLICATIONS.1,
        }
    }

    /// A view that makes equal applications once.
    pub(super) fn sharing(rules: &'r RuleSet) -> View<'r> {
        View { made: Some(HashMap::new()), ..View::new(rules) }
    }

    /// The nodes so far.
    pub(super) fn nodes(&self) -> &[Node] {
        self.b.nodes()
    }

    /// Allows for the rules that apply at `nodes` nodes.
    pub(super) fn expect(&mut self, nodes: usize) {
        self.left += nodes * APPLICATIONS.0;
    }

    pub(super) fn failed(&self) -> bool {
        self.b.has_error()
    }

    /// Makes the rewrite fail.
    pub(super) fn fail(&mut self, e: Error) {
        self.b.fail(e);
    }

    pub(super) fn input(&mut self, ty: Type, name: &str) -> Value {
        self.b.input(ty, name)
    }

    pub(super) fn set_loc(&mut self, loc: &Loc) {
        self.b.set_loc(loc);
    }

    pub(super) fn finish(self, outputs: &[Value]) -> Result<Graph> {
        self.b.finish(outputs)
    }

    /// The builder, for emitting whole programs to which the rules are not applied.
    pub(crate) fn raw<T>(&mut self, f: impl FnOnce(&mut Builder) -> T) -> T {
        let result = f(&mut self.b);
        self.note();
        result
    }

    /// Takes note of the nodes emitted since.
    fn note(&mut self) {
        for (i, node) in self.b.nodes().iter().enumerate().skip(self.seen) {
            for r in &node.results {
                if self.defs.len() <= r.index() {
                    self.defs.resize(r.index() + 1, INPUT);
                }
                self.defs[r.index()] = i as u32;
            }
            if let (Some(made), [result]) = (&mut self.made, &node.results[..]) {
                made.entry((node.op.clone(), node.args.clone())).or_insert(*result);
            }
        }
        self.seen = self.b.nodes().len();
    }

    pub(super) fn add_uses(&mut self, x: Value, n: u32) {
        if self.uses.len() <= x.index() {
            self.uses.resize(x.index() + 1, 0);
        }
        self.uses[x.index()] += n;
    }
}

/// Asking.
impl View<'_> {
    /// The type of a value.
    pub fn ty(&self, x: Value) -> &Type {
        self.b.ty(x)
    }

    /// The shape of a value.
    pub fn shape(&self, x: Value) -> &Shape {
        &self.b.ty(x).shape
    }

    /// The dtype of a value.
    pub fn dtype(&self, x: Value) -> DType {
        self.b.ty(x).dtype
    }

    /// The number of elements of a value.
    pub fn numel(&self, x: Value) -> usize {
        self.b.ty(x).numel()
    }

    /// The node that makes `x`; `None` for inputs.
    pub fn def(&self, x: Value) -> Option<&Node> {
        let &i = self.defs.get(x.index()).filter(|&&i| i != INPUT)?;
        Some(&self.b.nodes()[i as usize])
    }

    /// `y` if `x` = op(y).
    pub fn unary_of(&self, op: Unary, x: Value) -> Option<Value> {
        self.def(x).filter(|n| n.op == Op::Unary(op)).map(|n| n.args[0])
    }

    /// `(y, z)` if `x` = op(y, z).
    pub fn binary_of(&self, op: Binary, x: Value) -> Option<(Value, Value)> {
        self.def(x).filter(|n| n.op == Op::Binary(op)).map(|n| (n.args[0], n.args[1]))
    }

    /// `(y, shape, dims)` if `x` = broadcast(y).
    pub fn broadcast_of(&self, x: Value) -> Option<(Value, &Shape, &Shape)> {
        match self.def(x)? {
            Node { op: Op::Broadcast { shape, dims }, args, .. } => Some((args[0], shape, dims)),
            _ => None,
        }
    }

    /// The scalar constant that every element of `x` is.
    pub fn splat(&self, x: Value) -> Option<&Literal> {
        match self.def(x)? {
            Node { op: Op::Constant { value }, .. } if value.ty().rank() == 0 => Some(value),
            Node { op: Op::Broadcast { .. }, args, .. } if self.shape(args[0]).is_empty() => self.splat(args[0]),
            _ => None,
        }
    }

    /// The number that every element of `x` is.
    pub fn splat_f64(&self, x: Value) -> Option<f64> {
        self.splat(x).and_then(Literal::splat_f64)
    }

    /// Whether every element of `x` is `c`; 0 stands for both zeros.
    pub fn is_splat(&self, x: Value, c: f64) -> bool {
        self.splat_f64(x) == Some(c)
    }

    /// Whether every element of `x` has all bits set (for bool: is true).
    pub fn is_all_ones(&self, x: Value) -> bool {
        let Some(l) = self.splat(x) else { return false };
        if l.ty().dtype == DType::Bool { l.get_f64(0) == 1.0 } else { l.bytes().iter().all(|&b| b == 0xFF) }
    }

    /// Whether replacing the only use of `x` makes it dead.
    pub fn single_use(&self, x: Value) -> bool {
        self.uses.get(x.index()).is_none_or(|&n| n <= 1)
    }
}

/// Making. The rules are applied to everything made, so that a rule's right side is in its simplest form at once.
impl View<'_> {
    /// An application of an op; ill-typed ones become the rewrite's error.
    pub fn op(&mut self, op: Op, args: &[Value]) -> Value {
        if let Some(made) = &self.made {
            let key = (op, SmallVec::from(args));
            return made.get(&key).copied().unwrap_or_else(|| self.raw(|b| b.op(key.0, args)));
        }
        self.try_rules(&op, args).unwrap_or_else(|| self.raw(|b| b.op(op, args)))
    }

    /// What the rules make of an application; `None` if it is in its simplest form.
    pub(crate) fn try_rules(&mut self, op: &Op, args: &[Value]) -> Option<Value> {
        if self.depth >= MAX_DEPTH || self.failed() {
            return None;
        }
        self.depth += 1;
        let rules = self.rules;
        let result = rules.rewrite(self, op, args);
        self.depth -= 1;
        if result.is_some() {
            self.any = true;
            self.left = self.left.saturating_sub(1);
            if self.left == 0 {
                let what = format!("its rules still apply after all these at `{}`", op.name());
                self.fail(
                    Error::user(rules.name(), what)
                        .help("a rule's right side must not be one that the rules turn back"),
                );
            }
        }
        result
    }

    /// An elementwise function.
    pub fn unary(&mut self, op: Unary, x: Value) -> Value {
        self.op(Op::Unary(op), &[x])
    }

    /// An elementwise function of two operands.
    pub fn binary(&mut self, op: Binary, x: Value, y: Value) -> Value {
        self.op(Op::Binary(op), &[x, y])
    }

    /// A constant.
    pub fn literal(&mut self, value: Literal) -> Value {
        self.op(Op::Constant { value }, &[])
    }

    /// An array of the type of `like` full of `c`.
    pub fn full_like(&mut self, like: Value, c: f64) -> Value {
        let ty = self.ty(like).clone();
        self.full(&ty, c)
    }

    /// An array of type `ty` full of `c`.
    pub fn full(&mut self, ty: &Type, c: f64) -> Value {
        let c = self.literal(Literal::scalar(ty.dtype, c));
        self.broadcast(c, &ty.shape, &[])
    }

    /// `x` repeated to `shape`, its axis `i` being axis `dims[i]`.
    pub fn broadcast(&mut self, x: Value, shape: &[usize], dims: &[usize]) -> Value {
        self.op(Op::Broadcast { shape: shape.into(), dims: dims.into() }, &[x])
    }

    /// `x` in another shape.
    pub fn reshape(&mut self, x: Value, shape: &[usize]) -> Value {
        self.op(Op::Reshape { shape: shape.into() }, &[x])
    }

    /// `x` with its axes in the order `perm`.
    pub fn transpose(&mut self, x: Value, perm: &[usize]) -> Value {
        self.op(Op::Transpose { perm: perm.into() }, &[x])
    }

    /// `x` combined along `axes`.
    pub fn reduce(&mut self, kind: ReduceKind, x: Value, axes: &[usize]) -> Value {
        self.op(Op::Reduce { kind, axes: axes.into() }, &[x])
    }

    /// A part of `x`.
    pub fn slice(&mut self, x: Value, start: Shape, limit: Shape, stride: Shape) -> Value {
        self.op(Op::Slice { start, limit, stride }, &[x])
    }
}
