//! Programs: nodes in SSA order.

use crate::analysis::{Definitions, Known, UseCounts};
use crate::{Loc, Op, Type};
use smallvec::SmallVec;
use std::fmt;
use std::sync::Arc;

/// A value of a [`Graph`]: an input or a result of a node. Values are numbered densely: inputs first, then the
/// results of each node in order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(pub(crate) u32);

impl Value {
    /// Position in [`Graph::types`].
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// The value at `index`.
    pub fn from_index(index: usize) -> Value {
        Value(u32::try_from(index).expect("a graph has fewer than 2^32 values"))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.0)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A short list of values.
pub type Values = SmallVec<[Value; 2]>;

/// One application of an op.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Node {
    /// What is computed.
    pub op: Op,
    /// The operands, all defined earlier.
    pub args: SmallVec<[Value; 4]>,
    /// The results.
    pub results: Values,
    /// The user's line behind it.
    pub loc: Loc,
}

/// A program: typed inputs, nodes in SSA order, outputs. Immutable once built; passes build a new one with
/// [`crate::Builder`].
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Graph {
    pub(crate) types: Vec<Type>,
    pub(crate) input_names: Vec<Arc<str>>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) outputs: Vec<Value>,
    pub(crate) known: Known,
}

impl Graph {
    /// The type of every value, by [`Value::index`].
    pub fn types(&self) -> &[Type] {
        &self.types
    }

    /// The type of a value.
    pub fn ty(&self, v: Value) -> &Type {
        &self.types[v.index()]
    }

    /// Number of inputs.
    pub fn num_inputs(&self) -> usize {
        self.input_names.len()
    }

    /// Number of outputs.
    pub fn num_outputs(&self) -> usize {
        self.outputs.len()
    }

    /// Number of values.
    pub fn num_values(&self) -> usize {
        self.types.len()
    }

    /// The inputs, values `0..num_inputs`.
    pub fn inputs(&self) -> impl ExactSizeIterator<Item = Value> + use<> {
        (0..self.input_names.len()).map(Value::from_index)
    }

    /// Names of the inputs for people (tree paths); may be empty.
    pub fn input_names(&self) -> &[Arc<str>] {
        &self.input_names
    }

    /// The nodes in SSA order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The outputs.
    pub fn outputs(&self) -> &[Value] {
        &self.outputs
    }

    /// The types of the inputs.
    pub fn input_types(&self) -> Vec<Type> {
        self.types[..self.num_inputs()].to_vec()
    }

    /// The types of the outputs.
    pub fn output_types(&self) -> Vec<Type> {
        self.outputs.iter().map(|&v| self.ty(v).clone()).collect()
    }

    /// The node that defines each value; `None` for inputs.
    pub fn definitions(&self) -> Arc<[Option<usize>]> {
        self.analysis::<Definitions>().0.clone()
    }

    /// How often each value is used, as an operand or an output.
    pub fn use_counts(&self) -> Arc<[u32]> {
        self.analysis::<UseCounts>().0.clone()
    }

    /// Whether any node here or in a nested program has an effect; see [`Op::has_effect`].
    pub fn has_effect(&self) -> bool {
        self.nodes.iter().any(|n| n.op.has_effect())
    }

    /// Whether any node here or in a nested program is a host call.
    pub fn calls_host(&self) -> bool {
        let calls = |op: &Op| matches!(op, Op::HostCall { .. }) || op.bodies().iter().any(|b| b.calls_host());
        self.nodes.iter().any(|n| calls(&n.op))
    }

    /// Number of nodes here and in all nested programs.
    pub fn total_nodes(&self) -> usize {
        self.nodes.iter().map(|n| 1 + n.op.bodies().iter().map(|b| b.total_nodes()).sum::<usize>()).sum()
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
