//! The cheapest program in an e-graph: one way to compute each class that is needed.

use super::space::{Application, Head, Space};
use crate::manager::copy_inputs;
use egg::{Id, Language};
use gradloom_ir::{Error, Graph, Op, Result, Type, Value, Values};
use smallvec::SmallVec;
use std::collections::HashMap;

/// What an op costs on operands and results of these types.
pub type Price = fn(&Op, &[&Type], &[&Type]) -> u64;

/// Programs that are compared in looking for a better one.
const TRIALS: usize = 4000;

/// Values that all the trials together may go through.
const STEPS: usize = 2_000_000;

/// By class, which of its applications computes it.
#[derive(Clone)]
struct Choice(Vec<Option<u32>>);

impl Choice {
    fn get(&self, class: Id) -> Option<usize> {
        self.0[usize::from(class)].map(|k| k as usize)
    }
    fn set(&mut self, class: Id, k: usize) {
        self.0[usize::from(class)] = Some(k as u32);
    }
}

pub(super) struct Extraction<'a> {
    space: &'a Space,
    /// By class, what each of its applications costs by itself. Numbers of classes that are no more have none.
    costs: Vec<Vec<u64>>,
    /// Classes in the order of the e-graph.
    classes: Vec<Id>,
}

/// What is left to do of a class on the stack of a walk.
enum Visit {
    Enter(Id),
    Leave(Id),
}

impl<'a> Extraction<'a> {
    pub fn new(space: &'a Space, price: Price) -> Extraction<'a> {
        let cost = |class: Id, a: &Application| -> u64 {
            let args = |a: &Application| a.args.iter().filter_map(|&x| space.ty(x)).collect::<Vec<_>>();
            // one more for the node itself, so that a way round in a circle is never the cheapest
            1 + match space.head_of(a) {
                Head::Input(_) | Head::Result(_) => 0,
                Head::Op(o) => price(&o.op, &args(a), &space.ty(class).into_iter().collect::<Vec<_>>()),
                Head::Node(i) => {
                    let node = &space.view.nodes()[*i];
                    let results: Vec<&Type> = node.results.iter().map(|&r| space.view.ty(r)).collect();
                    price(&node.op, &args(a), &results)
                }
            }
        };
        let classes: Vec<Id> = space.egraph.classes().map(|c| c.id).collect();
        let mut costs = vec![Vec::new(); space.egraph.nodes().len()];
        for &id in &classes {
            costs[usize::from(id)] = space.egraph[id].nodes.iter().map(|a| cost(id, a)).collect();
        }
        Extraction { space, costs, classes }
    }

    /// The program, in the cheapest way that was found; `None` if none can be written down. It is looked for by the cost
    /// of each class alone first, and then class by class by that of the whole, in which what is shared counts once.
    pub fn program(&self, g: &Graph) -> Result<Option<Graph>> {
        let start = [self.by_trees(), self.as_written()].into_iter().filter_map(|choice| {
            let order = self.order(&choice)?;
            Some((self.total(&choice, &order), order, choice))
        });
        let Some((mut best, mut order, mut choice)) = start.min_by_key(|s| s.0) else { return Ok(None) };
        let (mut trials, mut steps) = (0, 0);
        let mut better = true;
        while better {
            better = false;
            for class in order.clone() {
                for other in 0..self.applications(class).len() {
                    let Some(now) = choice.get(class) else { continue };
                    if other == now || trials >= TRIALS || steps >= STEPS {
                        continue;
                    }
                    choice.set(class, other);
                    trials += 1;
                    steps += order.len();
                    let found = self.order(&choice).map(|o| (self.total(&choice, &o), o));
                    match found {
                        Some((total, o)) if total < best => (best, order, better) = (total, o, true),
                        _ => {
                            choice.set(class, now);
                        }
                    }
                }
            }
        }
        self.emit(g, &choice)
    }

    fn none(&self) -> Choice {
        Choice(vec![None; self.costs.len()])
    }

    fn applications(&self, class: Id) -> &'a [Application] {
        &self.space.egraph[class].nodes
    }

    fn children(&self, class: Id, choice: &Choice) -> Option<impl Iterator<Item = Id> + use<'a>> {
        let a = &self.applications(class)[choice.get(class)?];
        let space = self.space;
        Some(a.children().iter().map(move |&x| space.egraph.find(x)))
    }

    /// The choice in which each class is cheapest as a tree, in which what is shared counts each time.
    fn by_trees(&self) -> Choice {
        let mut cheapest = vec![f64::INFINITY; self.costs.len()];
        let mut choice = self.none();
        loop {
            let mut changed = false;
            for &class in &self.classes {
                for (k, a) in self.applications(class).iter().enumerate() {
                    let parts: f64 = a.args.iter().map(|&x| cheapest[usize::from(self.space.egraph.find(x))]).sum();
                    let total = parts + self.costs[usize::from(class)][k] as f64;
                    if total < cheapest[usize::from(class)] {
                        cheapest[usize::from(class)] = total;
                        choice.set(class, k);
                        changed = true;
                    }
                }
            }
            if !changed {
                return choice;
            }
        }
    }

    /// Each class as it was first made. As operands are made before what they are for, nothing goes round in a circle.
    fn as_written(&self) -> Choice {
        let mut choice = self.none();
        for (id, a) in self.space.written() {
            let same = |b: &Application| {
                let find = |x: &Id| self.space.egraph.find(*x);
                b.head == a.head && b.args.iter().map(find).eq(a.args.iter().map(find))
            };
            if choice.get(id).is_none()
                && let Some(k) = self.applications(id).iter().position(same)
            {
                choice.set(id, k);
            }
        }
        choice
    }

    /// What the program needs, operands first; `None` if it goes round in a circle.
    fn order(&self, choice: &Choice) -> Option<Vec<Id>> {
        let roots = self.space.effects.iter().chain(&self.space.outputs);
        let mut stack: Vec<Visit> = roots.rev().map(|&id| Visit::Enter(self.space.egraph.find(id))).collect();
        // whether a class has been left, once it was entered
        let mut done: Vec<Option<bool>> = vec![None; self.costs.len()];
        let mut order = Vec::new();
        while let Some(visit) = stack.pop() {
            match visit {
                Visit::Leave(class) => {
                    done[usize::from(class)] = Some(true);
                    order.push(class);
                }
                Visit::Enter(class) => match done[usize::from(class)] {
                    Some(true) => {}
                    Some(false) => return None,
                    None => {
                        done[usize::from(class)] = Some(false);
                        stack.push(Visit::Leave(class));
                        let children = self.children(class, choice)?;
                        stack.extend(children.filter(|&x| done[usize::from(x)] != Some(true)).map(Visit::Enter));
                    }
                },
            }
        }
        Some(order)
    }

    fn total(&self, choice: &Choice, order: &[Id]) -> u128 {
        let cost = |&id: &Id| choice.get(id).map_or(0, |k| self.costs[usize::from(id)][k]);
        order.iter().map(|id| u128::from(cost(id))).sum()
    }

    /// The program written down; `None` if effects would be in another order.
    fn emit(&self, g: &Graph, choice: &Choice) -> Result<Option<Graph>> {
        let lost = || Error::internal("saturate", "a value is not there");
        let Some(order) = self.order(choice) else { return Ok(None) };
        let (mut b, inputs) = copy_inputs(g);
        let mut made: HashMap<Id, Values> = HashMap::new();
        let mut effects = self.space.effects.iter().map(|&id| self.space.egraph.find(id));
        for class in order {
            let a = &self.applications(class)[choice.get(class).ok_or_else(lost)?];
            let parts: Vec<&Values> =
                a.args.iter().map(|&x| made.get(&self.space.egraph.find(x)).ok_or_else(lost)).collect::<Result<_>>()?;
            let first: SmallVec<[Value; 4]> = parts.iter().filter_map(|p| p.first().copied()).collect();
            b.set_loc(&self.space.egraph[class].data.loc);
            let values = match self.space.head_of(a) {
                Head::Input(i) => Values::from_slice(&[inputs[*i]]),
                Head::Result(k) => {
                    let whole = parts.first().and_then(|p| p.get(*k)).ok_or_else(lost)?;
                    Values::from_slice(&[*whole])
                }
                Head::Op(o) => b.emit(o.op.clone(), &first)?,
                Head::Node(i) => {
                    let node = &self.space.view.nodes()[*i];
                    if node.op.has_effect() && effects.next() != Some(class) {
                        return Ok(None);
                    }
                    b.emit(node.op.clone(), &first)?
                }
            };
            made.insert(class, values);
        }
        let output = |&id: &Id| made.get(&self.space.egraph.find(id)).and_then(|v| v.first().copied()).ok_or_else(lost);
        let outputs: Vec<Value> = self.space.outputs.iter().map(output).collect::<Result<_>>()?;
        b.finish(&outputs).map(Some)
    }
}
