//! The graph as petgraph sees it: nodes are [`Node`](crate::Node)s, an edge leads from a node to each node that uses a result of it.

use crate::{Graph, Op, Value};
use petgraph::graph::{DiGraph, NodeIndex};

impl Graph {
    /// The data-flow graph: node weights are positions in [`Graph::nodes`], edge weights the operand position.
    /// Its node indices equal its weights, so all of petgraph's algorithms apply directly.
    pub fn data_flow(&self) -> DiGraph<usize, usize> {
        let mut g = DiGraph::with_capacity(self.nodes().len(), self.nodes().len() * 2);
        let defs = self.definitions();
        for (i, node) in self.nodes().iter().enumerate() {
            g.add_node(i);
            for (k, a) in node.args.iter().enumerate() {
                if let Some(d) = defs[a.index()] {
                    g.add_edge(NodeIndex::new(d), NodeIndex::new(i), k);
                }
            }
        }
        g
    }

    /// The graph in Graphviz DOT; nested programs are clusters.
    pub fn to_dot(&self) -> String {
        let mut s = String::from("digraph gradloom {\n  node [shape=box, fontname=\"monospace\"];\n");
        self.dot_scope(&mut s, "", "  ");
        s + "}\n"
    }

    /// The statements of the program; `scope` goes before the names of its nodes, `indent` before its lines.
    fn dot_scope(&self, s: &mut String, scope: &str, indent: &str) {
        for v in self.inputs() {
            let name = self.input_names()[v.index()].escape_default();
            let ty = self.ty(v);
            *s += &format!("{indent}{scope}v{} [shape=ellipse, label=\"{v} {name}\\n{ty}\"];\n", v.index());
        }
        let defs = self.definitions();
        let source = |v: Value| match defs[v.index()] {
            Some(d) => format!("{scope}n{d}"),
            None => format!("{scope}v{}", v.index()),
        };
        for (i, n) in self.nodes().iter().enumerate() {
            let types: Vec<String> = n.results.iter().map(|&r| self.ty(r).to_string()).collect();
            let detail = match &n.op {
                Op::Constant { value } if value.ty().numel() <= 4 => format!(" {value}"),
                _ => String::new(),
            };
            let label = format!("{}{detail}\\n{}", n.op.name(), types.join(", "));
            let bodies = n.op.bodies();
            let (inner, deeper) = (format!("{indent}  "), format!("{indent}    "));
            if !bodies.is_empty() {
                *s += &format!("{indent}subgraph cluster_{scope}n{i} {{\n{inner}label=\"{}\";\n", n.op.name());
            }
            *s += &format!("{}{scope}n{i} [label=\"{label}\"];\n", if bodies.is_empty() { indent } else { &inner });
            for (k, body) in bodies.iter().enumerate() {
                let inside = format!("{scope}n{i}b{k}");
                *s += &format!("{inner}subgraph cluster_{inside} {{\n{deeper}label=\"body {k}\";\n");
                body.dot_scope(s, &format!("{inside}_"), &deeper);
                *s += &format!("{inner}}}\n");
            }
            if !bodies.is_empty() {
                *s += &format!("{indent}}}\n");
            }
        }
        for (i, n) in self.nodes().iter().enumerate() {
            for a in &n.args {
                *s += &format!("{indent}{} -> {scope}n{i};\n", source(*a));
            }
        }
        for (k, o) in self.outputs().iter().enumerate() {
            *s += &format!("{indent}{scope}out{k} [shape=ellipse, label=\"result {k}\"];\n");
            *s += &format!("{indent}{} -> {scope}out{k};\n", source(*o));
        }
    }
}
