//! The text as it grows: values by number, ops in the generic form, regions, functions.

use super::super::source::MAX_DEPTH;
use super::super::types::element_name;
use super::constant::dense;
use gradloom_ir::{Builder, Comparison, DType, Error, Graph, Literal, Op, Result, Type, Value, Values};
use std::collections::HashMap;
use std::fmt::Write;

/// What an op's region computes from its parameters.
pub(super) type Body<'r> = Box<dyn FnOnce(&mut Writer, &[Value]) -> Result<Vec<Value>> + 'r>;

/// A region of an op: the types of its parameters, and what it computes.
pub(super) struct Region<'r> {
    params: Vec<Type>,
    body: Body<'r>,
}

impl<'r> Region<'r> {
    pub(super) fn new(
        params: Vec<Type>,
        body: impl FnOnce(&mut Writer, &[Value]) -> Result<Vec<Value>> + 'r,
    ) -> Region<'r> {
        Region { params, body: Box::new(body) }
    }
}

/// The text of a module. Values are numbered through all of it.
pub(super) struct Writer {
    /// The function being written.
    out: String,
    /// The functions that are finished.
    functions: Vec<String>,
    /// Functions that stand for ops, by the op and what it is applied to.
    helpers: HashMap<(Op, Vec<Type>), String>,
    types: Vec<Type>,
    /// Arrays that are known to be full of one scalar.
    known: HashMap<Value, Literal>,
    depth: usize,
}

/// `[a, b, ..]`
pub(super) fn list(items: &[usize]) -> String {
    format!("{items:?}")
}

/// `array<i64: a, b, ..>`
pub(super) fn array<T: std::fmt::Display>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(T::to_string).collect();
    if items.is_empty() { "array<i64>".to_string() } else { format!("array<i64: {}>", items.join(", ")) }
}

/// `dense<[[a, b], ..]> : tensor<nx2xi64>`
pub(super) fn pairs(items: &[(i64, i64)]) -> String {
    let rows: Vec<String> = items.iter().map(|(a, b)| format!("[{a}, {b}]")).collect();
    let rows = if rows.is_empty() { String::new() } else { format!("[{}]", rows.join(", ")) };
    format!("dense<{rows}> : tensor<{}x2xi64>", items.len())
}

impl Writer {
    pub(super) fn new() -> Writer {
        Writer {
            out: String::new(),
            functions: Vec::new(),
            helpers: HashMap::new(),
            types: Vec::new(),
            known: HashMap::new(),
            depth: 1,
        }
    }

    pub(super) fn ty(&self, v: Value) -> &Type {
        &self.types[v.index()]
    }

    pub(super) fn dtype(&self, v: Value) -> DType {
        self.ty(v).dtype
    }

    fn fresh(&mut self, ty: Type) -> Value {
        self.types.push(ty);
        Value::from_index(self.types.len() - 1)
    }

    fn put(&mut self, args: std::fmt::Arguments<'_>) {
        self.out.write_fmt(args).expect("a string takes any text");
    }

    fn indent(&mut self) {
        for _ in 0..self.depth {
            self.out.push_str("  ");
        }
    }

    fn write_type(&mut self, ty: &Type) {
        self.out.push_str("tensor<");
        for n in &ty.shape {
            self.put(format_args!("{n}x"));
        }
        self.out.push_str(element_name(ty.dtype));
        self.out.push('>');
    }

    fn write_types(&mut self, values: &[Value]) {
        self.out.push('(');
        for (i, v) in values.iter().enumerate() {
            if i > 0 {
                self.out.push_str(", ");
            }
            let ty = self.ty(*v).clone();
            self.write_type(&ty);
        }
        self.out.push(')');
    }

    fn write_values(&mut self, values: &[Value]) {
        for (i, v) in values.iter().enumerate() {
            self.put(format_args!("{}{v}", if i > 0 { ", " } else { "" }));
        }
    }

    fn write_params(&mut self, params: &[Value]) {
        for (i, &v) in params.iter().enumerate() {
            self.put(format_args!("{}{v}: ", if i > 0 { ", " } else { "" }));
            let ty = self.ty(v).clone();
            self.write_type(&ty);
        }
    }

    /// One level deeper, if that is not too deep.
    pub(super) fn nested<T>(&mut self, f: impl FnOnce(&mut Writer) -> Result<T>) -> Result<T> {
        if self.depth >= MAX_DEPTH {
            return Err(Error::limit("stablehlo", format!("programs nest more than {MAX_DEPTH} deep")));
        }
        self.depth += 1;
        let result = f(self);
        self.depth -= 1;
        result
    }

    fn begin(&mut self, name: &str, args: &[Value], results: &[Type]) -> Values {
        let values: Values = results.iter().map(|t| self.fresh(t.clone())).collect();
        self.indent();
        self.write_values(&values);
        let equals = if values.is_empty() { "" } else { " = " };
        let dialect = if name.contains('.') { "" } else { "stablehlo." };
        self.put(format_args!("{equals}\"{dialect}{name}\"("));
        self.write_values(args);
        self.out.push(')');
        values
    }

    fn finish(&mut self, args: &[Value], results: &[Value]) {
        self.out.push_str(" : ");
        self.write_types(args);
        self.out.push_str(" -> ");
        match results {
            [one] => {
                let ty = self.ty(*one).clone();
                self.write_type(&ty);
            }
            _ => self.write_types(results),
        }
        self.out.push('\n');
    }

    /// An op of any number of results; a name without a dialect is StableHLO's.
    pub(super) fn op(&mut self, name: &str, args: &[Value], attrs: &str, results: &[Type]) -> Values {
        self.call(name, args, attrs, "", results)
    }

    /// [`Writer::op`], with attributes outside those the op itself knows.
    pub(super) fn call(&mut self, name: &str, args: &[Value], attrs: &str, others: &str, results: &[Type]) -> Values {
        let values = self.begin(name, args, results);
        if !attrs.is_empty() {
            self.put(format_args!(" <{{{attrs}}}>"));
        }
        if !others.is_empty() {
            self.put(format_args!(" {{{others}}}"));
        }
        self.finish(args, &values);
        values
    }

    /// An op of one result.
    pub(super) fn one(&mut self, name: &str, args: &[Value], attrs: &str, result: &Type) -> Value {
        self.op(name, args, attrs, std::slice::from_ref(result))[0]
    }

    /// An op with regions.
    pub(super) fn op_with(
        &mut self,
        name: &str,
        args: &[Value],
        attrs: &str,
        regions: Vec<Region<'_>>,
        results: &[Type],
    ) -> Result<Values> {
        let values = self.begin(name, args, results);
        if !attrs.is_empty() {
            self.put(format_args!(" <{{{attrs}}}>"));
        }
        self.out.push_str(" (");
        for (i, region) in regions.into_iter().enumerate() {
            self.out.push_str(if i > 0 { ", {\n" } else { "{\n" });
            let params: Vec<Value> = region.params.into_iter().map(|t| self.fresh(t)).collect();
            if !params.is_empty() {
                self.indent();
                self.out.push_str("^bb0(");
                self.write_params(&params);
                self.out.push_str("):\n");
            }
            self.nested(|w| {
                let outs = (region.body)(w, &params)?;
                w.op("return", &outs, "", &[]);
                Ok(())
            })?;
            self.indent();
            self.out.push('}');
        }
        self.out.push(')');
        self.finish(args, &values);
        Ok(values)
    }

    /// An op with one region that combines scalars.
    pub(super) fn combining(
        &mut self,
        name: &str,
        args: &[Value],
        attrs: &str,
        params: Vec<Type>,
        results: &[Type],
        body: impl FnOnce(&mut Writer, &[Value]) -> Result<Vec<Value>>,
    ) -> Result<Values> {
        self.op_with(name, args, attrs, vec![Region::new(params, body)], results)
    }

    pub(super) fn constant(&mut self, x: &Literal) -> Value {
        let results = self.begin("constant", &[], std::slice::from_ref(x.ty()));
        self.out.push_str(" <{value = ");
        dense(&mut self.out, x);
        self.out.push_str(" : ");
        self.write_type(x.ty());
        self.out.push_str("}>");
        self.finish(&[], &results);
        if let Some(scalar) = x.splat_value() {
            self.know(results[0], scalar);
        }
        results[0]
    }

    /// Remembers that an array is full of a scalar.
    pub(super) fn know(&mut self, v: Value, scalar: Literal) {
        self.known.insert(v, scalar);
    }

    /// The scalar the array is full of, if that is known.
    pub(super) fn known(&self, v: Value) -> Option<&Literal> {
        self.known.get(&v)
    }

    /// An array full of `x`, which its dtype has exactly.
    pub(super) fn full(&mut self, ty: &Type, x: f64) -> Value {
        self.splat(&Literal::scalar(ty.dtype, x), ty)
    }

    /// An array full of a scalar.
    pub(super) fn splat(&mut self, scalar: &Literal, ty: &Type) -> Value {
        if ty.rank() == 0 {
            return self.constant(scalar);
        }
        let scalar = self.constant(scalar);
        self.broadcast(scalar, &ty.shape, &[])
    }

    /// An op whose result has its first operand's type.
    pub(super) fn same(&mut self, name: &str, args: &[Value]) -> Value {
        let ty = self.ty(args[0]).clone();
        self.one(name, args, "", &ty)
    }

    pub(super) fn convert(&mut self, x: Value, dtype: DType) -> Value {
        let ty = self.ty(x).with_dtype(dtype);
        if *self.ty(x) == ty { x } else { self.one("convert", &[x], "", &ty) }
    }

    pub(super) fn reshape(&mut self, x: Value, shape: &[usize]) -> Value {
        let ty = self.ty(x).with_shape(shape);
        if *self.ty(x) == ty { x } else { self.one("reshape", &[x], "", &ty) }
    }

    pub(super) fn compare(&mut self, op: Comparison, x: Value, y: Value) -> Value {
        let kind = match self.dtype(x) {
            DType::Bool => "UNSIGNED",
            d if d.is_unsigned_int() => "UNSIGNED",
            d if d.is_signed_int() => "SIGNED",
            _ => "FLOAT",
        };
        self.compare_as(op, x, y, kind)
    }

    pub(super) fn compare_as(&mut self, op: Comparison, x: Value, y: Value, kind: &str) -> Value {
        let direction = match op {
            Comparison::Eq => "EQ",
            Comparison::Ne => "NE",
            Comparison::Lt => "LT",
            Comparison::Le => "LE",
            Comparison::Gt => "GT",
            Comparison::Ge => "GE",
        };
        let attrs = format!(
            "comparison_direction = #stablehlo<comparison_direction {direction}>, \
             compare_type = #stablehlo<comparison_type {kind}>"
        );
        let ty = self.ty(x).with_dtype(DType::Bool);
        self.one("compare", &[x, y], &attrs, &ty)
    }

    pub(super) fn select(&mut self, p: Value, x: Value, y: Value) -> Value {
        let ty = self.ty(x).clone();
        self.one("select", &[p, x, y], "", &ty)
    }

    /// A small program, written here.
    pub(super) fn composed(
        &mut self,
        args: &[Value],
        build: impl FnOnce(&mut Builder, &[Value]) -> Result<Vec<Value>>,
    ) -> Result<Values> {
        let g = self.program(args, build)?;
        Ok(self.graph(&g, args)?.into_iter().collect())
    }

    fn program(
        &self,
        args: &[Value],
        build: impl FnOnce(&mut Builder, &[Value]) -> Result<Vec<Value>>,
    ) -> Result<Graph> {
        let types: Vec<Type> = args.iter().map(|&a| self.ty(a).clone()).collect();
        let (mut b, inputs) = Builder::with_inputs(&types);
        let outs = build(&mut b, &inputs)?;
        b.finish(&outs)
    }

    /// A small program that stands for `op`, as a function that is written once.
    pub(super) fn helper(
        &mut self,
        op: &Op,
        args: &[Value],
        build: impl FnOnce(&mut Builder, &[Value]) -> Result<Vec<Value>>,
    ) -> Result<Values> {
        let types: Vec<Type> = args.iter().map(|&a| self.ty(a).clone()).collect();
        let g = self.program(args, build)?;
        let key = (op.clone(), types);
        let name = match self.helpers.get(&key) {
            Some(name) => name.clone(),
            None => {
                let name = format!("{}_{}", op.name(), self.helpers.len());
                let (outer, depth) = (std::mem::take(&mut self.out), std::mem::replace(&mut self.depth, 1));
                let written = self.function("private", &name, &g);
                (self.out, self.depth) = (outer, depth);
                written?;
                self.helpers.insert(key, name.clone());
                name
            }
        };
        Ok(self.op("func.call", args, &format!("callee = @{name}"), &g.output_types()))
    }

    /// A function of the program's inputs.
    pub(super) fn function(&mut self, visibility: &str, name: &str, g: &Graph) -> Result<()> {
        let params: Vec<Value> = g.input_types().iter().map(|t| self.fresh(t.clone())).collect();
        for (v, input) in params.iter().zip(g.input_names()) {
            if !input.is_empty() {
                self.put(format_args!("  // {v} is {:?}\n", input.as_ref()));
            }
        }
        self.put(format_args!("  func.func {visibility} @{name}("));
        self.write_params(&params);
        self.out.push_str(") -> (");
        for (i, ty) in g.output_types().iter().enumerate() {
            self.out.push_str(if i > 0 { ", " } else { "" });
            self.write_type(ty);
        }
        self.out.push_str(") {\n");
        self.nested(|w| {
            let outs = w.graph(g, &params)?;
            w.op("func.return", &outs, "", &[]);
            Ok(())
        })?;
        self.out.push_str("  }\n");
        let text = std::mem::take(&mut self.out);
        self.functions.push(text);
        Ok(())
    }

    /// The module of all functions, the last one first.
    pub(super) fn module(self) -> String {
        let size: usize = self.functions.iter().map(|f| f.len()).sum();
        let mut text = String::with_capacity(size + 16);
        text.push_str("module {\n");
        for function in self.functions.iter().rev() {
            text.push_str(function);
        }
        text.push_str("}\n");
        text
    }
}
