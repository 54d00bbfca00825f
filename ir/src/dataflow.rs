//! The graph as petgraph sees it: nodes are [`Node`](crate::Node)s, an edge leads from a node to each node that uses a result of it.

use crate::{Graph, Op};
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

    /// The graph in Graphviz DOT.
    pub fn to_dot(&self) -> String {
        let mut s = String::from("digraph gradloom {\n  node [shape=box, fontname=\"monospace\"];\n");
        for v in self.inputs() {
            let name = &self.input_names()[v.index()];
            s += &format!(
                "  v{} [shape=ellipse, label=\"{v} {}\\n{}\"];\n",
                v.index(),
                name.escape_default(),
                self.ty(v)
            );
        }
        for (i, n) in self.nodes().iter().enumerate() {
            let types: Vec<String> = n.results.iter().map(|&r| self.ty(r).to_string()).collect();
            let detail = match &n.op {
                Op::Constant { value } if value.ty().numel() <= 4 => format!(" {value}"),
                _ => String::new(),
            };
            s += &format!("  n{i} [label=\"{}{detail}\\n{}\"];\n", n.op.name(), types.join(", "));
        }
        let defs = self.definitions();
        let source = |v: crate::Value| match defs[v.index()] {
            Some(d) => format!("n{d}"),
            None => format!("v{}", v.index()),
        };
        for (i, n) in self.nodes().iter().enumerate() {
            for a in &n.args {
                s += &format!("  {} -> n{i};\n", source(*a));
            }
        }
        for (k, o) in self.outputs().iter().enumerate() {
            s += &format!("  out{k} [shape=ellipse, label=\"result {k}\"];\n  {} -> out{k};\n", source(*o));
        }
        s + "}\n"
    }
}
