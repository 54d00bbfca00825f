//! Building graphs.

use crate::graph::Values;
use crate::{
    Binary, Comparison, DType, Error, Graph, Literal, Loc, Node, Op, ReduceKind, Result, Shape, Type, Unary, Value,
    infer,
};
use smallvec::SmallVec;
use std::sync::Arc;

/// Builds a [`Graph`] node by node, inferring types.
///
/// The convenience methods that return a bare [`Value`] record the first error and go on with a value that must
/// not be relied on; [`Builder::finish`] returns that error. So rules read like equations.
#[derive(Default)]
pub struct Builder {
    types: Vec<Type>,
    inputs: Vec<(Value, Arc<str>)>,
    nodes: Vec<Node>,
    loc: Loc,
    error: Option<Error>,
}

impl Builder {
    /// An empty program.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// An empty program with unnamed inputs of these types.
    pub fn with_inputs(types: &[Type]) -> (Builder, Vec<Value>) {
        let mut b = Builder::new();
        let inputs = types.iter().map(|t| b.input(t.clone(), "")).collect();
        (b, inputs)
    }

    /// Adds an input. Inputs may be added at any time; [`Builder::finish`] renumbers them to the front.
    pub fn input(&mut self, ty: Type, name: &str) -> Value {
        let v = self.fresh(ty);
        self.inputs.push((v, name.into()));
        v
    }

    fn fresh(&mut self, ty: Type) -> Value {
        let v = Value::from_index(self.types.len());
        self.types.push(ty);
        v
    }

    /// Sets the position given to the nodes that follow.
    pub fn set_loc(&mut self, loc: &Loc) {
        self.loc = loc.clone();
    }

    /// The position given to the nodes that follow.
    pub fn loc(&self) -> &Loc {
        &self.loc
    }

    /// The type of a value.
    pub fn ty(&self, v: Value) -> &Type {
        &self.types[v.index()]
    }

    /// The nodes so far.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Whether an error has been recorded.
    pub fn has_error(&self) -> bool {
        self.error.is_some()
    }

    /// The recorded error, if any.
    pub fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// Records an error, unless there is one already.
    pub fn fail(&mut self, error: Error) {
        let error = error.at(&self.loc);
        self.error.get_or_insert(error);
    }

    /// Records `error` and returns a value of type `ty` to go on with.
    pub fn poison(&mut self, error: Error, ty: Type) -> Value {
        self.fail(error);
        self.fresh(ty)
    }

    /// Adds a node.
    pub fn emit(&mut self, op: Op, args: &[Value]) -> Result<Values> {
        let arg_types: SmallVec<[Type; 4]> = args.iter().map(|&v| self.ty(v).clone()).collect();
        let types = infer(&op, &arg_types).map_err(|e| e.at(&self.loc))?;
        let results: Values = types.into_iter().map(|t| self.fresh(t)).collect();
        self.nodes.push(Node { op, args: args.into(), results: results.clone(), loc: self.loc.clone() });
        Ok(results)
    }

    /// Adds a node whose result types are known already, as when copying from another graph.
    pub fn emit_typed(&mut self, op: Op, args: &[Value], types: impl IntoIterator<Item = Type>) -> Values {
        let results: Values = types.into_iter().map(|t| self.fresh(t)).collect();
        self.nodes.push(Node { op, args: args.into(), results: results.clone(), loc: self.loc.clone() });
        results
    }

    /// Adds a node with one result; an error is recorded.
    pub fn op(&mut self, op: Op, args: &[Value]) -> Value {
        match self.emit(op, args) {
            Ok(r) if r.len() == 1 => r[0],
            Ok(r) => {
                let e = Error::internal("builder", format!("one result expected, got {}", r.len()));
                self.poison(e, Type::scalar(DType::F32))
            }
            Err(e) => self.poison(e, Type::scalar(DType::F32)),
        }
    }

    /// Copies another graph's nodes here, its inputs standing for `args`; returns its outputs.
    pub fn inline(&mut self, g: &Graph, args: &[Value]) -> Result<Vec<Value>> {
        if args.len() != g.num_inputs() {
            return Err(Error::internal("inline", format!("{} arguments for {} inputs", args.len(), g.num_inputs())));
        }
        for (i, &a) in args.iter().enumerate() {
            if self.ty(a) != &g.types()[i] {
                let msg = format!("argument {i} is {} where the program takes {}", self.ty(a), g.types()[i]);
                return Err(Error::internal("inline", msg));
            }
        }
        let mut map: Vec<Value> = args.to_vec();
        let outer = self.loc.clone();
        for node in g.nodes() {
            let operands: SmallVec<[Value; 4]> = node.args.iter().map(|v| map[v.index()]).collect();
            let loc = if node.loc.is_known() { node.loc.clone() } else { outer.clone() };
            let results: Values = node.results.iter().map(|&r| self.fresh(g.ty(r).clone())).collect();
            map.extend_from_slice(&results);
            self.nodes.push(Node { op: node.op.clone(), args: operands, results, loc });
        }
        Ok(g.outputs().iter().map(|v| map[v.index()]).collect())
    }

    /// The finished program with its inputs in the order they were added, or the first recorded error.
    pub fn finish(self, outputs: &[Value]) -> Result<Graph> {
        let order: Vec<usize> = (0..self.inputs.len()).collect();
        self.finish_ordered(outputs, &order)
    }

    /// The finished program with its inputs in the order `order` (indices into the inputs as they were added).
    pub fn finish_ordered(self, outputs: &[Value], order: &[usize]) -> Result<Graph> {
        if let Some(e) = self.error {
            return Err(e);
        }
        debug_assert_eq!(order.len(), self.inputs.len());
        const UNSET: Value = Value(u32::MAX);
        let mut map = vec![UNSET; self.types.len()];
        let mut types = Vec::with_capacity(self.types.len());
        let mut number = |v: Value, map: &mut Vec<Value>| {
            map[v.index()] = Value::from_index(types.len());
            types.push(self.types[v.index()].clone());
        };
        for &i in order {
            number(self.inputs[i].0, &mut map);
        }
        let mut nodes = self.nodes;
        for node in &mut nodes {
            node.args.iter_mut().for_each(|a| *a = map[a.index()]);
            for r in &mut node.results {
                number(*r, &mut map);
                *r = map[r.index()];
            }
        }
        let outputs: Vec<Value> = outputs.iter().map(|v| map[v.index()]).collect();
        if outputs.contains(&UNSET) || nodes.iter().any(|n| n.args.contains(&UNSET)) {
            return Err(Error::internal("builder", "a value is used that no node defines"));
        }
        let input_names = order.iter().map(|&i| self.inputs[i].1.clone()).collect();
        Ok(Graph { types, input_names, nodes, outputs, known: Default::default() })
    }
}

/// Conveniences for rules and passes: no implicit broadcasting, all operands of one type.
impl Builder {
    /// An elementwise function.
    pub fn unary(&mut self, op: Unary, x: Value) -> Value {
        self.op(Op::Unary(op), &[x])
    }

    /// An elementwise function of two operands.
    pub fn binary(&mut self, op: Binary, x: Value, y: Value) -> Value {
        self.op(Op::Binary(op), &[x, y])
    }

    /// x + y
    pub fn add(&mut self, x: Value, y: Value) -> Value {
        self.binary(Binary::Add, x, y)
    }

    /// x - y
    pub fn sub(&mut self, x: Value, y: Value) -> Value {
        self.binary(Binary::Sub, x, y)
    }

    /// x y
    pub fn mul(&mut self, x: Value, y: Value) -> Value {
        self.binary(Binary::Mul, x, y)
    }

    /// x / y
    pub fn div(&mut self, x: Value, y: Value) -> Value {
        self.binary(Binary::Div, x, y)
    }

    /// -x
    pub fn neg(&mut self, x: Value) -> Value {
        self.unary(Unary::Neg, x)
    }

    /// re + i im; without `im` the imaginary part is 0.
    pub fn complex(&mut self, re: Value, im: Option<Value>) -> Value {
        let im = im.unwrap_or_else(|| self.full_like(re, 0.0));
        self.binary(Binary::Complex, re, im)
    }

    /// An elementwise comparison.
    pub fn compare(&mut self, op: Comparison, x: Value, y: Value) -> Value {
        self.op(Op::Compare(op), &[x, y])
    }

    /// pred ? x : y
    pub fn select(&mut self, pred: Value, x: Value, y: Value) -> Value {
        self.op(Op::Select {}, &[pred, x, y])
    }

    /// A constant array.
    pub fn literal(&mut self, value: Literal) -> Value {
        self.op(Op::Constant { value }, &[])
    }

    /// A scalar constant.
    pub fn scalar(&mut self, dtype: DType, x: f64) -> Value {
        self.literal(Literal::scalar(dtype, x))
    }

    /// An array of type `ty` full of `x`.
    pub fn full(&mut self, ty: &Type, x: f64) -> Value {
        let s = self.scalar(ty.dtype, x);
        self.broadcast(s, &ty.shape, &[])
    }

    /// An array of the type of `like`, full of `x`.
    pub fn full_like(&mut self, like: Value, x: f64) -> Value {
        let ty = self.ty(like).clone();
        self.full(&ty, x)
    }

    /// c x for a constant c.
    pub fn scale(&mut self, x: Value, c: f64) -> Value {
        let c = self.full_like(x, c);
        self.mul(x, c)
    }

    /// x + c for a constant c.
    pub fn offset(&mut self, x: Value, c: f64) -> Value {
        let c = self.full_like(x, c);
        self.add(x, c)
    }

    /// Operand axis `i` becomes axis `dims[i]` of `shape`; nothing is emitted when that changes nothing.
    pub fn broadcast(&mut self, x: Value, shape: &[usize], dims: &[usize]) -> Value {
        let same = self.ty(x).shape[..] == *shape && dims.iter().enumerate().all(|(i, &d)| i == d);
        if same { x } else { self.op(Op::Broadcast { shape: shape.into(), dims: dims.into() }, &[x]) }
    }

    /// Same elements, other shape; nothing is emitted when that changes nothing.
    pub fn reshape(&mut self, x: Value, shape: &[usize]) -> Value {
        if self.ty(x).shape[..] == *shape { x } else { self.op(Op::Reshape { shape: shape.into() }, &[x]) }
    }

    /// Result axis `i` is operand axis `perm[i]`; nothing is emitted when that changes nothing.
    pub fn transpose(&mut self, x: Value, perm: &[usize]) -> Value {
        if perm.iter().enumerate().all(|(i, &p)| i == p) {
            x
        } else {
            self.op(Op::Transpose { perm: perm.into() }, &[x])
        }
    }

    /// To another dtype; nothing is emitted when it has it.
    pub fn convert(&mut self, x: Value, dtype: DType) -> Value {
        if self.ty(x).dtype == dtype { x } else { self.op(Op::Convert { dtype }, &[x]) }
    }

    /// Combines along `axes`; nothing is emitted when there are none.
    pub fn reduce(&mut self, kind: ReduceKind, x: Value, axes: &[usize]) -> Value {
        if axes.is_empty() { x } else { self.op(Op::Reduce { kind, axes: axes.into() }, &[x]) }
    }

    /// Sum along `axes`.
    pub fn sum(&mut self, x: Value, axes: &[usize]) -> Value {
        self.reduce(ReduceKind::Sum, x, axes)
    }

    /// `0, 1, 2, ..` along `axis`.
    pub fn iota(&mut self, dtype: DType, shape: &[usize], axis: usize) -> Value {
        self.op(Op::Iota { dtype, shape: shape.into(), axis }, &[])
    }

    /// Elements `start..limit` of one axis, all of the others.
    pub fn slice_axis(&mut self, x: Value, axis: usize, start: usize, limit: usize) -> Value {
        let shape = self.ty(x).shape.clone();
        let mut starts = Shape::from_elem(0, shape.len());
        let mut limits = shape.clone();
        starts[axis] = start;
        limits[axis] = limit;
        self.op(Op::Slice { start: starts, limit: limits, stride: Shape::from_elem(1, shape.len()) }, &[x])
    }

    /// The operands one after the other; a single one is returned as it is.
    pub fn concatenate(&mut self, xs: &[Value], axis: usize) -> Value {
        if let [x] = xs { *x } else { self.op(Op::Concatenate { axis }, xs) }
    }
}
