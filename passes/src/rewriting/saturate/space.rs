//! A program as an e-graph: classes of values that are known to be equal, each with all the ways to compute it.

use super::super::matching::constant;
use super::super::rule::{RuleSet, commutes};
use super::super::view::View;
use egg::{Analysis, DidMerge, EGraph, Id, Language};
use gradloom_ir::{Attr, Error, Graph, Loc, Op, Result, Type, Value};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::sync::LazyLock;

/// What a class is computed by.
#[derive(Clone)]
pub(super) enum Head {
    /// This input of the program.
    Input(usize),
    /// An op of one result.
    Op(Box<Operation>),
    /// The node at this position of the view, which no rule sees into and which equals no other: of several results, with
    /// bodies, effects or a barrier.
    Node(usize),
    /// This result of such a node.
    Result(usize),
}

/// An op and what rules ask of it.
#[derive(Clone)]
pub(super) struct Operation {
    pub op: Op,
    pub attrs: Vec<(&'static str, Attr)>,
    /// Whether its two operands may be exchanged.
    pub commutes: bool,
}

/// A head, by its number, on classes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Application {
    pub name: &'static str,
    pub head: u32,
    pub args: SmallVec<[Id; 4]>,
}

impl Language for Application {
    type Discriminant = &'static str;

    fn discriminant(&self) -> &'static str {
        self.name
    }
    fn matches(&self, other: &Self) -> bool {
        self.head == other.head && self.args.len() == other.args.len()
    }
    fn children(&self) -> &[Id] {
        &self.args
    }
    fn children_mut(&mut self) -> &mut [Id] {
        &mut self.args
    }
}

/// What is known of a class.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// A value of the view that is equal to it: a number if it is known to be one. `None` of a node.
    pub value: Option<Value>,
    number: bool,
    pub loc: Loc,
}

/// The analysis of classes. What is known of a new class is laid down here just before it is made.
#[derive(Default)]
pub(super) struct Notes {
    next: Option<Known>,
}

impl Analysis<Application> for Notes {
    type Data = Known;

    fn make(egraph: &mut EGraph<Application, Notes>, _: &Application, id: Id) -> Known {
        egraph.analysis.next.take().unwrap_or_else(|| egraph[id].data.clone())
    }

    fn merge(&mut self, a: &mut Known, b: Known) -> DidMerge {
        let rank = |k: &Known| (!k.number, k.value);
        if rank(&b) < rank(a) {
            *a = b;
        }
        // nothing of a class is computed from what is known of others
        DidMerge(false, false)
    }
}

static NO_RULES: LazyLock<RuleSet> = LazyLock::new(|| RuleSet::unchecked("saturate", Vec::new()));

/// The e-graph, and beside it a view in which each class has a value: what rules ask of values they ask of these.
pub(super) struct Space {
    pub egraph: EGraph<Application, Notes>,
    pub view: View<'static>,
    heads: Vec<Head>,
    numbers: HashMap<Op, u32>,
    /// By value of the view.
    classes: Vec<Option<Id>>,
    /// Nodes of the view that are in the e-graph.
    imported: usize,
    /// What must be computed: nodes with effects in order, then the outputs.
    pub effects: Vec<Id>,
    pub outputs: Vec<Id>,
}

/// Ops that rules neither see into nor merge.
fn is_opaque(op: &Op, results: usize) -> bool {
    results != 1 || op.has_body() || op.has_effect() || matches!(op, Op::Barrier {})
}

impl Space {
    /// The classes of a program as it stands.
    pub fn new(g: &Graph) -> Result<Space> {
        let mut space = Space {
            egraph: EGraph::default(),
            view: View::sharing(&NO_RULES),
            heads: Vec::new(),
            numbers: HashMap::new(),
            classes: Vec::new(),
            imported: 0,
            effects: Vec::new(),
            outputs: Vec::new(),
        };
        let mut map = Vec::with_capacity(g.num_values());
        for v in g.inputs() {
            let x = space.view.input(g.ty(v).clone(), &g.input_names()[v.index()]);
            let head = space.head(Head::Input(v.index()));
            let known = Known { value: Some(x), number: false, loc: Loc::default() };
            let class = space.add(Application { name: "", head, args: SmallVec::new() }, known);
            space.set_class(x, class);
            map.push(x);
        }
        for node in g.nodes() {
            let args: SmallVec<[Value; 4]> = node.args.iter().map(|a| map[a.index()]).collect();
            let types: SmallVec<[Type; 2]> = node.results.iter().map(|&r| g.ty(r).clone()).collect();
            space.view.set_loc(&node.loc);
            map.extend(space.view.raw(|b| b.emit_typed(node.op.clone(), &args, types)));
            space.import()?;
        }
        for o in g.outputs() {
            let class = space.class(map[o.index()])?;
            space.outputs.push(class);
        }
        space.egraph.rebuild();
        Ok(space)
    }

    pub fn head_of(&self, a: &Application) -> &Head {
        &self.heads[a.head as usize]
    }

    /// The class of a value of the view.
    pub fn class(&self, x: Value) -> Result<Id> {
        let class = self.classes.get(x.index()).copied().flatten();
        class.map(|id| self.egraph.find(id)).ok_or_else(|| Error::internal("saturate", "a value has no class"))
    }

    /// A value of the view equal to a class; none if the class is a node.
    pub fn value(&self, class: Id) -> Option<Value> {
        self.egraph[class].data.value
    }

    /// The type of a class; none if it is a node.
    pub fn ty(&self, class: Id) -> Option<&Type> {
        self.value(class).map(|x| self.view.ty(x))
    }

    /// Makes classes of the nodes that were added to the view.
    pub fn import(&mut self) -> Result<()> {
        for i in self.imported..self.view.nodes().len() {
            let node = self.view.nodes()[i].clone();
            let mut args: SmallVec<[Id; 4]> = node.args.iter().map(|&a| self.class(a)).collect::<Result<_>>()?;
            let known = |value: Option<Value>, number: bool| Known { value, number, loc: node.loc.clone() };
            if is_opaque(&node.op, node.results.len()) {
                let head = self.head(Head::Node(i));
                let whole = self.add(Application { name: "", head, args }, known(None, false));
                if node.op.has_effect() {
                    self.effects.push(whole);
                }
                for (k, &r) in node.results.iter().enumerate() {
                    let head = self.head(Head::Result(k));
                    let part = Application { name: "", head, args: SmallVec::from_slice(&[whole]) };
                    let class = self.add(part, known(Some(r), false));
                    self.set_class(r, class);
                }
            } else {
                let name = node.op.name();
                let head = self.number(&node.op);
                if matches!(&self.heads[head as usize], Head::Op(o) if o.commutes) {
                    args.sort();
                }
                let result = node.results[0];
                let number = self.view.splat(result).is_some();
                let class = self.add(Application { name, head, args }, known(Some(result), number));
                self.set_class(result, class);
            }
        }
        self.imported = self.view.nodes().len();
        Ok(())
    }

    /// What elementwise ops make of numbers is a number.
    pub fn fold(&mut self) -> Result<()> {
        let number = |id: Id| -> Option<Value> { Some(&self.egraph[id].data).filter(|k| k.number)?.value };
        let mut found = Vec::new();
        for class in self.egraph.classes().filter(|c| !c.data.number) {
            for a in &class.nodes {
                if let (Head::Op(o), Some(args)) =
                    (self.head_of(a), a.args.iter().map(|&x| number(x)).collect::<Option<Vec<Value>>>())
                    && !args.is_empty()
                {
                    found.push((class.id, o.op.clone(), args));
                    break;
                }
            }
        }
        for (class, op, args) in found {
            let loc = self.egraph[class].data.loc.clone();
            self.view.set_loc(&loc);
            let made = constant(&mut self.view, &op, &args);
            self.accept(class, made)?;
        }
        self.egraph.rebuild();
        Ok(())
    }

    /// Takes up what a rule made of a class, if anything.
    pub fn accept(&mut self, class: Id, made: Option<Value>) -> Result<()> {
        if let Some(e) = self.view.raw(|b| b.error().cloned()) {
            return Err(e);
        }
        self.import()?;
        if let Some(x) = made {
            let other = self.class(x)?;
            if self.ty(class) != Some(self.view.ty(x)) {
                return Err(Error::internal("saturate", "a rule's sides have different types"));
            }
            self.egraph.union(class, other);
        }
        Ok(())
    }

    /// The applications in the order in which they were made, with their classes.
    pub fn written(&self) -> impl Iterator<Item = (Id, &Application)> {
        self.egraph.nodes().iter().enumerate().map(|(i, a)| (self.egraph.find(Id::from(i)), a))
    }

    fn add(&mut self, a: Application, known: Known) -> Id {
        self.egraph.analysis.next = Some(known);
        let id = self.egraph.add(a);
        self.egraph.analysis.next = None;
        id
    }

    fn head(&mut self, head: Head) -> u32 {
        self.heads.push(head);
        self.heads.len() as u32 - 1
    }

    /// The number of an op as head: the same one for equal ops.
    fn number(&mut self, op: &Op) -> u32 {
        if let Some(&n) = self.numbers.get(op) {
            return n;
        }
        let known = Operation { op: op.clone(), attrs: op.attrs(), commutes: commutes(&[op.name()]) };
        let n = self.head(Head::Op(Box::new(known)));
        self.numbers.insert(op.clone(), n);
        n
    }

    fn set_class(&mut self, x: Value, class: Id) {
        if self.classes.len() <= x.index() {
            self.classes.resize(x.index() + 1, None);
        }
        self.classes[x.index()] = Some(class);
    }
}
