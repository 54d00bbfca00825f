//! The tree of a text to a program. Ops are rows of tables by theme; here is the walk: scopes, calls, regions.

mod call;
pub(super) mod combine;
mod composed;
mod control;
mod devices;
mod dynamic;
mod einsum;
mod elementwise;
mod indexing;
mod lapack;
mod linalg;
mod loops;
mod normalisation;
mod random;
mod reduction;
mod shaping;
mod sort;

use super::parse::parse;
use super::source::Source;
use super::syntax::{Attr, Function, Operand, Operation, Region, Signature};
use super::types::array;
use super::{Check, Rule, TestProgram};
pub(super) use call::Call;
use gradloom_ir::eval::eval;
use gradloom_ir::{Binary, Builder, Error, Graph, Literal, Loc, Op, Result, Shape, Type, Unary, Value, Values};
use smallvec::smallvec;
use std::collections::HashMap;
use std::sync::LazyLock;

/// How one op of the text becomes nodes.
type Lower = for<'m> fn(&mut Call<'_, 'm>) -> Result<Values>;

/// The ops that are more than a row of gradloom's own elementwise tables, by name without the dialect.
static RULES: LazyLock<HashMap<&'static str, Lower>> = LazyLock::new(|| {
    let themes = [
        elementwise::RULES,
        shaping::RULES,
        indexing::RULES,
        reduction::RULES,
        sort::RULES,
        control::RULES,
        linalg::RULES,
        einsum::RULES,
        normalisation::RULES,
        devices::RULES,
        dynamic::RULES,
        random::RULES,
    ];
    themes.iter().flat_map(|t| t.iter().copied()).collect()
});

/// Why sizes that are not constants are refused.
const DYNAMIC: &str = "dynamic shapes are not supported: lower the program for the shapes it will run on";

/// Ops that have no meaning here, by a part of their name, and why.
const REFUSED: &[(&str, &str)] = &[
    ("dynamic", DYNAMIC),
    ("uniform_", "quantised types are not supported"),
    ("infeed", "tokens and feeds are not supported"),
    ("outfeed", "tokens and feeds are not supported"),
    ("token", "tokens and feeds are not supported"),
    ("after_all", "tokens and feeds are not supported"),
    ("send", "operations between devices are not supported"),
    ("recv", "operations between devices are not supported"),
    ("async", "operations between devices are not supported"),
    ("manual_computation", "operations between devices are not supported"),
];

/// Most ops a program may have once its calls are part of it.
const MAX_OPS: usize = 1 << 20;

/// Most bytes the inputs of a test program may have.
const MAX_INPUTS: usize = 1 << 28;

/// A program under construction: the whole, or one with a scope of its own inside an op.
struct Body {
    b: Builder,
    /// Values of the body around this one, and the inputs that stand for them here.
    captures: Vec<(Value, Value)>,
    /// The same, to be looked up.
    captured: HashMap<Value, Value>,
    /// Constants, which regions make anew rather than capture.
    constants: HashMap<Value, Constant>,
    /// By reflectors of `geqrf`: the matrix and its Q, and where the call stands.
    factored: HashMap<Value, (Value, Value, usize)>,
}

/// A constant array: a literal, or a scalar spread over a shape.
#[derive(Clone)]
struct Constant {
    literal: Literal,
    shape: Option<Shape>,
}

/// Names of a function or region.
struct Scope<'m> {
    names: HashMap<&'m str, Values>,
    /// Index of the body the values are of.
    body: usize,
    /// Whether the names around it are visible: in regions, not in functions.
    sees_outer: bool,
}

/// A region as a program: its inputs are the captured values, then the region's parameters.
struct Closure {
    graph: Graph,
    captures: Vec<Value>,
}

struct Importer<'m> {
    source: &'m Source<'m>,
    functions: HashMap<&'m str, &'m Function<'m>>,
    bodies: Vec<Body>,
    scopes: Vec<Scope<'m>>,
    calls: Vec<&'m str>,
    ops: usize,
    /// Whether `@inputs` and `@check.*` have their meaning.
    test: bool,
    inputs: Vec<Literal>,
    checks: Vec<(Rule, Value, Value, Loc)>,
}

/// Reads a program; a test program if `test`.
pub(super) fn import(text: &str, file: &str, test: bool) -> Result<TestProgram> {
    let source = Source::new(text, file);
    let module = parse(&source)?;
    let main = module.functions.iter().find(|f| f.name == "main").or(match &module.functions[..] {
        [only] => Some(only),
        _ => None,
    });
    let main = main.ok_or_else(|| source.error(0, "there is no function `main`"))?;
    let mut im = Importer {
        source: &source,
        functions: module.functions.iter().map(|f| (f.name, f)).collect(),
        bodies: vec![Body::new(Builder::new())],
        scopes: Vec::new(),
        calls: Vec::new(),
        ops: 0,
        test,
        inputs: Vec::new(),
        checks: Vec::new(),
    };
    let params = im.body_of(main)?.params.iter().map(|(name, ty)| Ok((*name, array(&source, ty, main.at)?)));
    let params: Vec<(&str, Type)> = params.collect::<Result<_>>()?;
    if test && !params.is_empty() {
        return Err(source.error(main.at, "a test program takes no inputs: it calls `@inputs`"));
    }
    let args: Vec<Value> = params.iter().map(|(name, ty)| im.bodies[0].b.input(ty.clone(), name)).collect();
    let mut outputs = im.function(main, &args, main.at)?;
    let mut checks = Vec::new();
    for (rule, got, want, loc) in std::mem::take(&mut im.checks) {
        checks.push(Check { rule, got: outputs.len(), want: outputs.len() + 1, loc });
        outputs.extend([got, want]);
    }
    im.check_unread(&outputs)?;
    let body = im.bodies.pop().ok_or_else(|| Error::internal("stablehlo", "the program is lost"))?;
    Ok(TestProgram { graph: body.b.finish(&outputs)?, inputs: im.inputs, checks })
}

impl<'m> Importer<'m> {
    fn body(&mut self) -> &mut Body {
        self.bodies.last_mut().expect("the outermost body stays until the end")
    }

    fn body_ref(&self) -> &Body {
        self.bodies.last().expect("the outermost body stays until the end")
    }

    fn body_of(&self, f: &'m Function<'m>) -> Result<&'m Region<'m>> {
        f.body.as_ref().ok_or_else(|| self.source.error(f.at, format!("function @{} has no body", f.name)))
    }

    /// A function's ops in place of a call, on values of the current body.
    fn function(&mut self, f: &'m Function<'m>, args: &[Value], at: usize) -> Result<Vec<Value>> {
        let region = self.body_of(f)?;
        if self.calls.contains(&f.name) {
            return Err(self.source.error(at, format!("function @{} calls itself", f.name)));
        }
        self.check_depth(at)?;
        self.calls.push(f.name);
        let outs = self.scoped(region, args, false, at)?;
        self.calls.pop();
        if outs.len() != f.results.len() {
            let what = format!("@{} returns {} values where it says {}", f.name, outs.len(), f.results.len());
            return Err(self.source.error(f.at, what));
        }
        for (i, (&v, ty)) in outs.iter().zip(&f.results).enumerate() {
            let (got, want) = (self.body().b.ty(v).clone(), array(self.source, ty, f.at)?);
            if got != want {
                return Err(self.source.error(f.at, format!("@{} returns {got} as result {i}, not {want}", f.name)));
            }
        }
        Ok(outs)
    }

    fn check_depth(&self, at: usize) -> Result<()> {
        self.source.check_depth(self.scopes.len(), at)
    }

    /// A region's ops in the current body, its parameters standing for `args`.
    fn scoped(&mut self, region: &'m Region<'m>, args: &[Value], sees_outer: bool, at: usize) -> Result<Vec<Value>> {
        if region.params.len() != args.len() {
            let what = format!("{} arguments for {} parameters", args.len(), region.params.len());
            return Err(self.source.error(at, what));
        }
        let mut names = HashMap::new();
        for ((name, ty), &v) in region.params.iter().zip(args) {
            let (got, want) = (self.body().b.ty(v).clone(), array(self.source, ty, region.at)?);
            if got != want {
                return Err(self.source.error(at, format!("the argument for %{name} is {got}, not {want}")));
            }
            names.insert(*name, smallvec![v]);
        }
        let body = self.bodies.len() - 1;
        self.scopes.push(Scope { names, body, sees_outer });
        let outs = self.block(region);
        self.scopes.pop();
        outs
    }

    /// A region as a program of its own. What it uses from around it becomes captures, constants excepted.
    fn closure(&mut self, region: &'m Region<'m>) -> Result<Closure> {
        self.check_depth(region.at)?;
        let mut b = Builder::new();
        let mut args = Vec::new();
        for (_, ty) in &region.params {
            args.push(b.input(array(self.source, ty, region.at)?, ""));
        }
        self.bodies.push(Body::new(b));
        let outs = self.scoped(region, &args, true, region.at);
        self.check_unread(outs.as_deref().unwrap_or_default())?;
        let body = self.bodies.pop().ok_or_else(|| Error::internal("stablehlo", "a region is lost"))?;
        let (n, captured) = (args.len(), body.captures.len());
        let order: Vec<usize> = (n..n + captured).chain(0..n).collect();
        let graph = body.b.finish_ordered(&outs?, &order)?;
        Ok(Closure { graph, captures: body.captures.into_iter().map(|(outer, _)| outer).collect() })
    }

    /// Refuses a body that reads the reflectors of `geqrf` itself: they are not computed.
    fn check_unread(&self, outputs: &[Value]) -> Result<()> {
        let body = self.body_ref();
        if body.factored.is_empty() {
            return Ok(());
        }
        let mut read = body.b.nodes().iter().flat_map(|n| &n.args).chain(outputs);
        match read.find_map(|v| body.factored.get(v)) {
            Some(&(.., at)) => {
                let why = "reflectors of geqrf are read otherwise than by orgqr and ormqr, which is not supported";
                Err(self.source.unsupported(at, why))
            }
            None => Ok(()),
        }
    }

    /// The ops of a block; what its terminator returns.
    fn block(&mut self, region: &'m Region<'m>) -> Result<Vec<Value>> {
        let Some((last, ops)) = region.ops.split_last() else {
            return Err(self.source.error(region.at, "a region ends in a return"));
        };
        for op in ops {
            self.operation(op)?;
        }
        if !last.name.ends_with("return") {
            return Err(self.source.error(last.at, format!("{}: a region ends in a return", last.name)));
        }
        last.operands.iter().map(|o| self.operand(o)).collect()
    }

    fn operation(&mut self, op: &'m Operation<'m>) -> Result<()> {
        self.ops += 1;
        if self.ops > MAX_OPS {
            return Err(self.source.unsupported(op.at, format!("the program has more than {MAX_OPS} ops")));
        }
        if let "stablehlo.tuple" | "stablehlo.get_tuple_element" = op.name {
            return self.tuple(op);
        }
        let args = op.operands.iter().map(|o| self.operand(o)).collect::<Result<Vec<_>>>()?;
        if let Signature::Function(types, _) = &op.signature {
            if types.len() != args.len() {
                let what = format!("{}: {} operands, {} types", op.name, args.len(), types.len());
                return Err(self.source.error(op.at, what));
            }
            for (&v, ty) in args.iter().zip(types) {
                let (got, want) = (self.body_ref().b.ty(v), array(self.source, ty, op.at)?);
                if *got != want {
                    let what = format!("{}: an operand is {got}, not {want}", op.name);
                    return Err(self.source.error(op.at, what));
                }
            }
        }
        let loc = self.source.loc(op.at);
        self.body().b.set_loc(&loc);
        let source = self.source;
        let results = lower(&mut Call { im: self, op, args })?;
        let body = self.body();
        if let Some(e) = body.b.error() {
            return Err(source.wrap(op.at, op.name, e));
        }
        if results.len() != op.num_results() {
            let what = format!("{}: {} results are named, the op has {}", op.name, op.num_results(), results.len());
            return Err(source.error(op.at, what));
        }
        if !results.is_empty() {
            let declared = op.result_types();
            let declared =
                declared.ok_or_else(|| source.error(op.at, format!("{}: the result types are missing", op.name)))?;
            for (&v, ty) in results.iter().zip(declared) {
                let (got, want) = (body.b.ty(v), array(source, ty, op.at)?);
                if *got != want {
                    return Err(source.error(op.at, format!("{}: the result is {got}, not {want}", op.name)));
                }
            }
        }
        let mut results = results.into_iter();
        let scope = self.scopes.last_mut().ok_or_else(|| Error::internal("stablehlo", "an op outside any scope"))?;
        for (name, count) in &op.results {
            scope.names.insert(name, results.by_ref().take(*count).collect());
        }
        Ok(())
    }

    fn operand(&mut self, o: &Operand<'m>) -> Result<Value> {
        let top = self.scopes.len().saturating_sub(1);
        let values = self.resolve(top, o.name)?;
        let values = values.ok_or_else(|| self.source.error(o.at, format!("%{} is not defined here", o.name)))?;
        let missing = || self.source.error(o.at, format!("%{} has {} values, no #{}", o.name, values.len(), o.index));
        values.get(o.index).copied().ok_or_else(missing)
    }

    /// The values of a name seen from a scope, as values of that scope's body.
    fn resolve(&mut self, scope: usize, name: &'m str) -> Result<Option<Values>> {
        let Some(here) = self.scopes.get(scope) else { return Ok(None) };
        if let Some(values) = here.names.get(name) {
            return Ok(Some(values.clone()));
        }
        if !here.sees_outer || scope == 0 {
            return Ok(None);
        }
        let (outer, inner) = (self.scopes[scope - 1].body, here.body);
        let Some(values) = self.resolve(scope - 1, name)? else { return Ok(None) };
        let values: Values =
            if outer == inner { values } else { values.iter().map(|&v| self.capture(v, outer, inner)).collect() };
        self.scopes[scope].names.insert(name, values.clone());
        Ok(Some(values))
    }

    /// A tuple is a name for several values.
    fn tuple(&mut self, op: &'m Operation<'m>) -> Result<()> {
        let wrong = || self.source.error(op.at, format!("{}: malformed", op.name));
        let &[(name, 1)] = &op.results[..] else { return Err(wrong()) };
        let values: Values = if op.name == "stablehlo.tuple" {
            op.operands.iter().map(|o| self.operand(o)).collect::<Result<_>>()?
        } else {
            let index = match (op.attr("index"), op.attr("")) {
                (Some(Attr::Number(n)), _) => n.parse::<usize>().ok(),
                (None, Some(Attr::List(list))) => match list[..] {
                    [Attr::Number(n)] => n.parse().ok(),
                    _ => None,
                },
                _ => None,
            };
            let (&[Operand { name, index: 0, at }], Some(index)) = (&op.operands[..], index) else {
                return Err(wrong());
            };
            smallvec![self.operand(&Operand { name, index, at })?]
        };
        if let Some(scope) = self.scopes.last_mut() {
            scope.names.insert(name, values);
        }
        Ok(())
    }

    fn capture(&mut self, v: Value, outer: usize, inner: usize) -> Value {
        if let Some(constant) = self.bodies[outer].constants.get(&v).cloned() {
            return self.bodies[inner].constant(constant);
        }
        let ty = self.bodies[outer].b.ty(v).clone();
        let body = &mut self.bodies[inner];
        if let Some(&known) = body.captured.get(&v) {
            return known;
        }
        let input = body.b.input(ty, "");
        body.captures.push((v, input));
        body.captured.insert(v, input);
        input
    }

    /// What `@inputs` of a test program returns, as inputs of the program.
    fn test_inputs(&mut self, f: &'m Function<'m>, at: usize) -> Result<Vec<Value>> {
        self.bodies.push(Body::new(Builder::new()));
        let outs = self.function(f, &[], at);
        let body = self.bodies.pop().ok_or_else(|| Error::internal("stablehlo", "a function is lost"))?;
        let g = body.b.finish(&outs?)?;
        // they are computed here and now
        let bytes = g.types().iter().map(Type::bytes).fold(0, usize::saturating_add);
        if bytes > MAX_INPUTS || g.nodes().iter().any(|n| n.op.has_body()) {
            let why = format!("@{} computes more than {MAX_INPUTS} bytes, or has loops or branches", f.name);
            return Err(self.source.unsupported(f.at, why));
        }
        let values = eval(&g, &[])?;
        let b = &mut self.body().b;
        let inputs = values.iter().map(|x| b.input(x.ty().clone(), "")).collect();
        self.inputs.extend(values);
        Ok(inputs)
    }
}

impl Body {
    fn new(b: Builder) -> Body {
        Body { b, captures: Vec::new(), captured: HashMap::new(), constants: HashMap::new(), factored: HashMap::new() }
    }

    fn constant(&mut self, constant: Constant) -> Value {
        let mut v = self.b.literal(constant.literal.clone());
        if let Some(shape) = &constant.shape {
            v = self.b.op(Op::Broadcast { shape: shape.clone(), dims: Shape::new() }, &[v]);
        }
        self.constants.insert(v, constant);
        v
    }
}

/// The name of an op without its dialect.
fn plain_name(name: &str) -> &str {
    ["stablehlo.", "chlo.", "mhlo.", "func."].iter().find_map(|d| name.strip_prefix(d)).unwrap_or(name)
}

/// Whether gradloom has an elementwise op of this name for the dtype of the first operand.
fn accepted(call: &Call<'_, '_>, name: &str) -> bool {
    let Some(&x) = call.args.first() else { return false };
    let dtype = call.ty(x).dtype;
    Unary::from_name(name).is_some_and(|u| u.accepts(dtype))
        || Binary::from_name(name).is_some_and(|b| b.accepts(dtype))
}

fn lower(call: &mut Call<'_, '_>) -> Result<Values> {
    let mut name = plain_name(call.op.name);
    if let Some(plain) = name.strip_prefix("broadcast_").filter(|_| !RULES.contains_key(name)) {
        elementwise::spread_operands(call)?; // `chlo.broadcast_add`
        name = plain;
    }
    let result = if let Some(rule) = RULES.get(name) {
        rule(call)
    } else if let Some((_, rule)) = composed::RULES.iter().find(|(n, _)| *n == name && !accepted(call, name)) {
        rule(call)
    } else if let Some(u) = Unary::from_name(name) {
        call.emit(Op::Unary(u), 1)
    } else if let Some(b) = Binary::from_name(name) {
        call.emit(Op::Binary(b), 2)
    } else {
        let why = REFUSED.iter().find(|(part, _)| name.contains(part)).map_or("this op is not supported", |(_, w)| w);
        return Err(call.unsupported(why));
    };
    // errors of the importer know their place already
    result.map_err(|e| if e.op() == "stablehlo" { e } else { call.im.source.wrap(call.op.at, call.op.name, &e) })
}
