//! Parts of a program as one unit each: what is emitted in their place is the caller's, the order is found here.

use gradloom_ir::{Builder, Error, Graph, Literal, Node, Op, Primitive, PrimitiveRules, Result, Type, Value, eval};
use std::any::Any;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A part of a program that becomes one unit.
pub(crate) struct Outlined {
    /// The nodes that it stands for. What else it computes by itself may also be computed elsewhere.
    pub roots: Vec<usize>,
    /// The values that it reads.
    pub inputs: Vec<Value>,
}

/// A part as an op: what it means, and a form that a backend knows.
struct Formed<F> {
    name: &'static str,
    meaning: Graph,
    form: F,
}

impl<F: Clone + Send + Sync + 'static> PrimitiveRules for Formed<F> {
    fn name(&self) -> &str {
        self.name
    }

    fn infer(&self, _: &[Type]) -> Result<Vec<Type>> {
        Ok(self.meaning.output_types())
    }

    fn eval(&self, args: &[Literal]) -> Result<Vec<Literal>> {
        eval::eval(&self.meaning, args)
    }

    fn program(&self, _: &[Type]) -> Result<Option<Graph>> {
        Ok(Some(self.meaning.clone()))
    }

    fn kernel(&self, _: &[Type]) -> Result<Option<Box<dyn Any>>> {
        Ok(Some(Box::new(self.form.clone())))
    }
}

/// An op that means a program, and that a backend finds this form of ([`form_of`]).
pub(crate) fn formed<F: Clone + Send + Sync + 'static>(name: &'static str, meaning: Graph, form: F) -> Op {
    Op::Custom { primitive: Primitive::new(Formed { name, meaning, form }) }
}

/// The form of this type that a node has, if it has one.
///
/// # Errors
/// What the rule of a user's op returns.
pub(crate) fn form_of<F: 'static>(g: &Graph, node: &Node) -> Result<Option<Box<F>>> {
    let Op::Custom { primitive } = &node.op else { return Ok(None) };
    let types: Vec<Type> = node.args.iter().map(|&a| g.ty(a).clone()).collect();
    Ok(primitive.kernel(&types)?.and_then(|kernel| kernel.downcast().ok()))
}

/// The program with its parts outlined: `emit` adds part number `k`, given where the old values are in the new program, and
/// says where the results of its roots are. `None` if there are no parts, or if they cannot be brought into an order that keeps that
/// of effects.
///
/// # Errors
/// Those of `emit`.
pub(crate) fn outline(
    g: &Graph,
    parts: &[Outlined],
    mut emit: impl FnMut(usize, &mut Builder, &mut [Option<Value>]) -> Result<()>,
) -> Result<Option<Graph>> {
    if parts.is_empty() {
        return Ok(None);
    }
    let Some(order) = order(g, parts) else { return Ok(None) };
    let mut b = Builder::new();
    let mut map: Vec<Option<Value>> = vec![None; g.num_values()];
    for v in g.inputs() {
        map[v.index()] = Some(b.input(g.ty(v).clone(), &g.input_names()[v.index()]));
    }
    let missing = || Error::internal("outline", "a value is used before it is computed");
    for unit in order {
        match unit {
            Unit::Node(i) => {
                let node = &g.nodes()[i];
                let args = node.args.iter().map(|a| map[a.index()].ok_or_else(missing)).collect::<Result<Vec<_>>>()?;
                b.set_loc(&node.loc);
                let types: Vec<Type> = node.results.iter().map(|&r| g.ty(r).clone()).collect();
                for (r, new) in node.results.iter().zip(b.emit_typed(node.op.clone(), &args, types)) {
                    map[r.index()] = Some(new);
                }
            }
            Unit::Part(k) => emit(k, &mut b, &mut map)?,
        }
    }
    let outputs = g.outputs().iter().map(|o| map[o.index()].ok_or_else(missing)).collect::<Result<Vec<_>>>()?;
    b.finish(&outputs).map(Some)
}

/// What is emitted at once.
#[derive(Clone, Copy)]
enum Unit {
    Node(usize),
    Part(usize),
}

/// The nodes that are not in parts, and the parts, in an order in which operands come before uses and effects stay in
/// order; close to the order of the graph.
fn order(g: &Graph, parts: &[Outlined]) -> Option<Vec<Unit>> {
    let nodes = g.nodes().len();
    // units by number: nodes, then groups; a unit's place is that of its last node
    let mut unit_of: Vec<usize> = (0..nodes).collect();
    for (k, part) in parts.iter().enumerate() {
        part.roots.iter().for_each(|&i| unit_of[i] = nodes + k);
    }
    let place = |u: usize| match u.checked_sub(nodes) {
        Some(k) => parts[k].roots.iter().copied().max().unwrap_or(0),
        None => u,
    };
    let definitions = g.definitions();
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); nodes + parts.len()];
    let mut waits = vec![0usize; nodes + parts.len()];
    let mut edge = |from: usize, to: usize| {
        if from != to {
            users[from].push(to);
            waits[to] += 1;
        }
    };
    let defined = |v: &Value| definitions[v.index()].map(|i| unit_of[i]);
    let live = live(g, parts, &definitions, &unit_of);
    let mut last_effect = None;
    for (i, node) in g.nodes().iter().enumerate().filter(|(i, _)| live[*i]) {
        node.args.iter().filter_map(defined).for_each(|from| edge(from, i));
        if node.op.has_effect()
            && let Some(before) = last_effect.replace(i)
        {
            edge(before, i);
        }
    }
    for (k, part) in parts.iter().enumerate() {
        part.inputs.iter().filter_map(defined).for_each(|from| edge(from, nodes + k));
    }
    let exists = |u: &usize| *u >= nodes || live[*u];
    let all: Vec<usize> = (0..nodes + parts.len()).filter(exists).collect();
    let mut ready: BinaryHeap<Reverse<(usize, usize)>> =
        all.iter().filter(|&&u| waits[u] == 0).map(|&u| Reverse((place(u), u))).collect();
    let mut order = Vec::with_capacity(all.len());
    while let Some(Reverse((_, u))) = ready.pop() {
        order.push(if u < nodes { Unit::Node(u) } else { Unit::Part(u - nodes) });
        for &to in &users[u] {
            waits[to] -= 1;
            if waits[to] == 0 {
                ready.push(Reverse((place(to), to)));
            }
        }
    }
    (order.len() == all.len()).then_some(order)
}

/// Nodes outside of parts that are needed. Those that were inlined into members only are not.
fn live(g: &Graph, parts: &[Outlined], definitions: &[Option<usize>], unit_of: &[usize]) -> Vec<bool> {
    let mut live = vec![false; g.nodes().len()];
    let mut open: Vec<Value> = g.outputs().to_vec();
    open.extend(parts.iter().flat_map(|part| &part.inputs));
    for (i, node) in g.nodes().iter().enumerate().filter(|(_, n)| n.op.has_effect()) {
        live[i] = true;
        open.extend(&node.args);
    }
    while let Some(v) = open.pop() {
        if let Some(i) = definitions[v.index()]
            && unit_of[i] == i
            && !live[i]
        {
            live[i] = true;
            open.extend(&g.nodes()[i].args);
        }
    }
    live
}
