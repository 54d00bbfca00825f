//! Calls, branches, loops, and ops that are the identity here.

use super::super::Rule;
use super::super::syntax::Attr;
use super::{Call, Closure, Lower, lapack, loops, sort};
use gradloom_ir::{Builder, Comparison, DType, Graph, Op, Result, Type, Value, Values};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) const RULES: &[(&str, Lower)] = &[
    ("call", call),
    ("composite", composite),
    ("custom_call", custom_call),
    ("case", case),
    ("if", if_then_else),
    ("while", while_loop),
    ("optimization_barrier", |c| {
        let n = c.args.len();
        c.emit(Op::Barrier {}, n)
    }),
    ("sharding_constraint", identity),
    ("sdy.sharding_constraint", identity),
    ("sdy.propagation_barrier", identity),
    ("sdy.reshard", identity),
];

fn identity(c: &mut Call<'_, '_>) -> Result<Values> {
    Ok(std::mem::take(&mut c.args).into_iter().collect())
}

fn function(c: &mut Call<'_, '_>, name: &str) -> Result<Values> {
    let (f, at) = (c.im.functions.get(name).copied(), c.op.at);
    let f = f.ok_or_else(|| c.error(format!("there is no function @{name}")))?;
    if c.im.test && name == "inputs" && c.im.inputs.is_empty() && c.im.bodies.len() == 1 {
        return Ok(c.im.test_inputs(f, at)?.into_iter().collect());
    }
    let args = std::mem::take(&mut c.args);
    Ok(c.im.function(f, &args, at)?.into_iter().collect())
}

fn call(c: &mut Call<'_, '_>) -> Result<Values> {
    let name = c.op.symbol.ok_or_else(|| c.error("names no function"))?;
    function(c, name)
}

/// An op known by a function that computes the same.
fn composite(c: &mut Call<'_, '_>) -> Result<Values> {
    match c.attr(&["decomposition"]) {
        Some(Attr::Symbol(name)) => function(c, name),
        _ => Err(c.error("the attribute `decomposition` is missing")),
    }
}

/// Calls of functions outside the program that change no value on one device.
const IDENTITIES: &[&str] = &[
    "Sharding",
    "SPMDFullToShardShape",
    "SPMDShardToFullShape",
    "annotate_device_placement",
    "xla.sdy.FuncResultSharding",
];

/// The comparisons of test programs.
const CHECKS: &[(&str, Rule)] =
    &[("check.expect_eq", Rule::Eq), ("check.expect_close", Rule::Close), ("check.expect_almost_eq", Rule::AlmostEq)];

fn custom_call(c: &mut Call<'_, '_>) -> Result<Values> {
    let name = c.op.symbol.ok_or_else(|| c.error("names no function"))?;
    if IDENTITIES.contains(&name) {
        return identity(c);
    }
    if let (Some(&(_, rule)), true) = (CHECKS.iter().find(|(n, _)| *n == name), c.im.test) {
        let [got, want] = c.args()?;
        if c.im.bodies.len() != 1 {
            return Err(c.unsupported("comparisons inside regions are not supported"));
        }
        if c.ty(got) != c.ty(want) {
            return Err(c.error(format!("compares {} with {}", c.ty(got), c.ty(want))));
        }
        let loc = c.im.source.loc(c.op.at);
        c.im.checks.push((rule, got, want, loc));
        return Ok(Values::new());
    }
    if let Some(rule) = lapack::routine(name) {
        return rule(c);
    }
    if name == "ApproxTopK" {
        return sort::approx_top_k(c);
    }
    Err(c.unsupported(format!("a call of @{name}, which is outside the program, is not supported")))
}

/// The closures with one list of captures, which all of them take.
fn with_shared_captures(closures: &[Closure]) -> Result<(Vec<Arc<Graph>>, Vec<Value>)> {
    let mut captures: Vec<Value> = Vec::new();
    let mut types: Vec<Type> = Vec::new();
    let mut places: HashMap<Value, usize> = HashMap::new();
    for c in closures {
        for (i, &v) in c.captures.iter().enumerate() {
            places.entry(v).or_insert_with(|| {
                captures.push(v);
                types.push(c.graph.types()[i].clone());
                captures.len() - 1
            });
        }
    }
    let mut graphs = Vec::new();
    for c in closures {
        let params = &c.graph.input_types()[c.captures.len()..];
        let (mut b, inputs) = Builder::with_inputs(&[&types, params].concat());
        let own = c.captures.iter().filter_map(|v| places.get(v)).map(|&i| inputs[i]);
        let args: Vec<Value> = own.chain(inputs[captures.len()..].iter().copied()).collect();
        let outs = b.inline(&c.graph, &args)?;
        graphs.push(Arc::new(b.finish(&outs)?));
    }
    Ok((graphs, captures))
}

/// All regions as branches that take what they capture.
fn branches(c: &mut Call<'_, '_>, index: Value, order: &[usize]) -> Result<Values> {
    let mut closures = Vec::new();
    for &i in order {
        closures.push(c.closure(i)?);
    }
    let (branches, captures) = with_shared_captures(&closures)?;
    c.node(Op::Switch { branches }, &[&[index], &captures[..]].concat())
}

/// An index outside the branches means the last one, negative ones too.
fn case(c: &mut Call<'_, '_>) -> Result<Values> {
    let [index] = c.args()?;
    let n = c.op.regions.len();
    let last = n.checked_sub(1).ok_or_else(|| c.error("needs at least one branch"))?;
    let b = c.b();
    let (zero, last) = (b.full_like(index, 0.0), b.full_like(index, last as f64));
    let negative = b.compare(Comparison::Lt, index, zero);
    let index = b.select(negative, last, index);
    let order: Vec<usize> = (0..n).collect();
    branches(c, index, &order)
}

fn if_then_else(c: &mut Call<'_, '_>) -> Result<Values> {
    let [pred] = c.args()?;
    if c.op.regions.len() != 2 {
        return Err(c.error("needs two branches"));
    }
    let index = c.b().convert(pred, DType::I32);
    branches(c, index, &[1, 0])
}

fn while_loop(c: &mut Call<'_, '_>) -> Result<Values> {
    if c.op.regions.len() != 2 {
        return Err(c.error("needs a condition and a body"));
    }
    let (cond, body) = (c.closure(0)?, c.closure(1)?);
    let init = std::mem::take(&mut c.args);
    let counts = [&cond, &body].map(|x| x.graph.num_inputs().checked_sub(x.captures.len()));
    if counts != [Some(init.len()); 2] || body.graph.num_outputs() != init.len() || cond.graph.num_outputs() != 1 {
        return Err(c.error(format!("{} loop values do not fit the regions", init.len())));
    }
    if let Some(results) = loops::scan(c, &cond, &body, &init)? {
        return Ok(results);
    }
    let op = Op::While {
        cond_consts: cond.captures.len(),
        body_consts: body.captures.len(),
        cond: Arc::new(cond.graph),
        body: Arc::new(body.graph),
    };
    c.node(op, &[&cond.captures[..], &body.captures, &init].concat())
}
