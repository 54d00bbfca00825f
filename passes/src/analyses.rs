//! What passes ask of programs. [`Graph::analysis`] computes each once a program: `g.analysis::<Uses>()`.

pub use crate::cost::Costs;
use gradloom_ir::{Analysis, Graph, Op, Value};
use petgraph::algo::dominators::{self, simple_fast};
use petgraph::graph::{DiGraph, NodeIndex};
use smallvec::SmallVec;

/// The nodes that use each value as an operand, by [`Value::index`]; one that uses it twice is there twice.
pub struct Uses(Vec<SmallVec<[usize; 4]>>);

impl Uses {
    /// The positions of the nodes that use `v`, in order.
    pub fn of(&self, v: Value) -> &[usize] {
        &self.0[v.index()]
    }
}

impl Analysis for Uses {
    fn of(g: &Graph) -> Uses {
        let mut users = vec![SmallVec::new(); g.num_values()];
        for (i, node) in g.nodes().iter().enumerate() {
            node.args.iter().for_each(|a| users[a.index()].push(i));
        }
        Uses(users)
    }
}

/// For each value the stored value whose memory it is: itself, another one, or none if it is computed where it is used.
pub type Storage = Vec<Option<Value>>;

/// The storage of a backend that stores what is no elementwise op, what is used by what is none, and what is used twice.
pub fn fused_storage(g: &Graph) -> Storage {
    let fusible = |op: &Op| {
        matches!(
            op,
            Op::Unary(_)
                | Op::Binary(_)
                | Op::Compare(_)
                | Op::Select {}
                | Op::Convert { .. }
                | Op::Iota { .. }
                | Op::Broadcast { .. }
        )
    };
    let mut uses = g.use_counts().to_vec();
    for node in g.nodes().iter().filter(|n| !fusible(&n.op)) {
        node.args.iter().for_each(|a| uses[a.index()] += 2);
    }
    g.outputs().iter().for_each(|o| uses[o.index()] += 2);
    let mut storage: Storage = g.types().iter().enumerate().map(|(v, _)| Some(Value::from_index(v))).collect();
    for node in g.nodes() {
        match &node.op {
            Op::Reshape { .. } | Op::Barrier {} => {
                for (r, a) in node.results.iter().zip(&node.args) {
                    storage[r.index()] = storage[a.index()];
                }
            }
            Op::Constant { value } if value.ty().rank() == 0 => storage[node.results[0].index()] = None,
            Op::Iota { .. } | Op::Broadcast { .. } if uses[node.results[0].index()] <= 2 => {
                storage[node.results[0].index()] = None;
            }
            op if fusible(op) && uses[node.results[0].index()] <= 1 => storage[node.results[0].index()] = None,
            _ => {}
        }
    }
    storage
}

/// Which values share memory: for each the one whose bytes it is, as a backend that fuses elementwise ops stores them.
pub struct Aliases(pub Storage);

impl Analysis for Aliases {
    fn of(g: &Graph) -> Aliases {
        Aliases(fused_storage(g))
    }
}

/// Data-flow dominance: a node dominates another if whatever reaches that one from the inputs or constants has gone through
/// it.
pub struct Dominance {
    dominators: dominators::Dominators<NodeIndex>,
    root: NodeIndex,
}

impl Dominance {
    /// The nearest node that dominates the node at `node`; `None` if several independent ways lead there.
    pub fn immediate(&self, node: usize) -> Option<usize> {
        self.dominators.immediate_dominator(NodeIndex::new(node)).filter(|&d| d != self.root).map(|d| d.index())
    }

    /// Whether all that reaches the node at `later` goes through the node at `earlier`. A node dominates itself.
    pub fn dominates(&self, earlier: usize, later: usize) -> bool {
        let mut above = self.dominators.dominators(NodeIndex::new(later)).into_iter().flatten();
        above.any(|d| d == NodeIndex::new(earlier) && d != self.root)
    }
}

impl Analysis for Dominance {
    fn of(g: &Graph) -> Dominance {
        let mut flow: DiGraph<usize, usize> = g.data_flow();
        let root = flow.add_node(g.nodes().len());
        for (i, node) in g.nodes().iter().enumerate() {
            // constants do not count as a way in where there is another
            let source = node.args.is_empty() && !matches!(node.op, Op::Constant { .. });
            let from_inputs = node.args.iter().any(|a| a.index() < g.num_inputs());
            let alone = flow.edges_directed(NodeIndex::new(i), petgraph::Direction::Incoming).next().is_none();
            if source || from_inputs || alone {
                flow.add_edge(root, NodeIndex::new(i), 0);
            }
        }
        Dominance { dominators: simple_fast(&flow, root), root }
    }
}

/// Which memory is in use while each node runs, if values are stored as [`Aliases`] says and nodes run in order.
pub struct Liveness {
    /// The last node that reads the memory of each stored value, through whatever is inlined into it; results are read by
    /// the end, which is the number of nodes.
    pub last: Vec<usize>,
    /// Bytes of intermediate memory at each node: of what is neither input, result nor constant.
    pub bytes: Vec<usize>,
}

impl Liveness {
    /// The liveness of values stored in another way.
    pub fn with(g: &Graph, storage: &Storage) -> Liveness {
        let (n, end) = (g.num_values(), g.nodes().len());
        // the last reader of each value, memory or not; readers come later
        let mut reader = vec![0; n];
        g.outputs().iter().for_each(|o| reader[o.index()] = end);
        for (i, node) in g.nodes().iter().enumerate().rev() {
            let late = node.results.iter().map(|r| reader[r.index()]).max().unwrap_or(0);
            let read = if stores(storage, &node.results) { i } else { late };
            node.args.iter().for_each(|a| reader[a.index()] = reader[a.index()].max(read));
        }
        let mut last = vec![0; n];
        for v in 0..n {
            if let Some(m) = storage[v] {
                last[m.index()] = last[m.index()].max(reader[v]);
            }
        }
        let mut change = vec![0isize; end + 2];
        let definitions = g.definitions();
        for v in intermediates(g, storage) {
            if let Some(from) = definitions[v.index()] {
                change[from] += g.ty(v).bytes() as isize;
                change[last[v.index()].max(from) + 1] -= g.ty(v).bytes() as isize;
            }
        }
        let sum = |total: &mut isize, c: &isize| {
            *total += c;
            Some(*total as usize)
        };
        Liveness { last, bytes: change[..end].iter().scan(0, sum).collect() }
    }

    /// Bytes of intermediate memory where the program needs most.
    pub fn peak(&self) -> usize {
        self.bytes.iter().copied().max().unwrap_or(0)
    }
}

impl Analysis for Liveness {
    fn of(g: &Graph) -> Liveness {
        Liveness::with(g, &g.analysis::<Aliases>().0)
    }
}

/// Whether a node with these results writes memory, or none at all but acts.
pub(crate) fn stores(storage: &Storage, results: &[Value]) -> bool {
    results.is_empty() || results.iter().any(|&r| storage[r.index()] == Some(r))
}

/// The stored values that are neither inputs, results nor constants.
pub(crate) fn intermediates(g: &Graph, storage: &Storage) -> Vec<Value> {
    let mut counts: Vec<bool> = (0..g.num_values()).map(|v| storage[v] == Some(Value::from_index(v))).collect();
    g.inputs().chain(g.outputs().iter().filter_map(|o| storage[o.index()])).for_each(|v| counts[v.index()] = false);
    let constants = g.nodes().iter().filter(|n| matches!(n.op, Op::Constant { .. }));
    constants.for_each(|n| counts[n.results[0].index()] = false);
    (0..g.num_values()).filter(|&v| counts[v]).map(Value::from_index).collect()
}
