//! Analyses: what follows from a graph, computed when first asked for and kept with it.
//!
//! A graph never changes once it is built, so what is known of it never becomes wrong: passes that leave a graph as it is
//! find what those before them asked for, and a new graph starts without.

use crate::Graph;
use std::any::{Any, TypeId};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};

/// Something that follows from a graph. [`Graph::analysis`] computes it once.
///
/// ```
/// use gradloom_ir::{Analysis, Graph, parse};
/// /// Positions of the products.
/// struct Products(Vec<usize>);
/// impl Analysis for Products {
///     fn of(g: &Graph) -> Products {
///         let is = |i: &usize| g.nodes()[*i].op.name() == "dot_general";
///         Products((0..g.nodes().len()).filter(is).collect())
///     }
/// }
/// let g = parse("graph(%0: f32[3]) { %1 = negate(%0) : f32[3] return %1 }")?;
/// assert!(g.analysis::<Products>().0.is_empty());
/// assert!(std::sync::Arc::ptr_eq(&g.analysis::<Products>(), &g.clone().analysis::<Products>()));
/// # Ok::<(), gradloom_ir::Error>(())
/// ```
pub trait Analysis: Send + Sync + 'static {
    /// What follows from `g`.
    fn of(g: &Graph) -> Self;
}

type Fact = (TypeId, Arc<dyn Any + Send + Sync>);

/// The analyses of one graph so far. It takes no part in what a graph is: equality and hash ignore it.
#[derive(Default)]
pub(crate) struct Known(Mutex<Vec<Fact>>);

impl Known {
    fn find<A: Analysis>(&self) -> Option<Arc<A>> {
        // a panic in an analysis happens outside of the lock
        let facts = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let (_, fact) = facts.iter().find(|(id, _)| *id == TypeId::of::<A>())?;
        fact.clone().downcast().ok()
    }

    fn add<A: Analysis>(&self, fact: Arc<A>) {
        let mut facts = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        facts.push((TypeId::of::<A>(), fact));
    }
}

impl Clone for Known {
    fn clone(&self) -> Known {
        Known(Mutex::new(self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()))
    }
}

impl PartialEq for Known {
    fn eq(&self, _: &Known) -> bool {
        true
    }
}

impl Eq for Known {}

impl Hash for Known {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Known")
    }
}

impl Graph {
    /// An analysis of this graph: computed the first time, kept as long as the graph and its clones live.
    pub fn analysis<A: Analysis>(&self) -> Arc<A> {
        if let Some(found) = self.known.find() {
            return found;
        }
        let fact = Arc::new(A::of(self));
        self.known.add(fact.clone());
        fact
    }
}

/// The node that defines each value; `None` for inputs.
pub(crate) struct Definitions(pub Arc<[Option<usize>]>);

impl Analysis for Definitions {
    fn of(g: &Graph) -> Definitions {
        let mut defs = vec![None; g.num_values()];
        for (i, node) in g.nodes().iter().enumerate() {
            node.results.iter().for_each(|r| defs[r.index()] = Some(i));
        }
        Definitions(defs.into())
    }
}

/// How often each value is used, as an operand or an output.
pub(crate) struct UseCounts(pub Arc<[u32]>);

impl Analysis for UseCounts {
    fn of(g: &Graph) -> UseCounts {
        let mut uses = vec![0; g.num_values()];
        g.nodes().iter().flat_map(|n| &n.args).chain(g.outputs()).for_each(|v| uses[v.index()] += 1);
        UseCounts(uses.into())
    }
}
