//! The pass manager: what a pass is, and pipelines of them.
//!
//! - A pass is run on every nested program first, innermost first, then on the program that holds it.
//! - After a user's pass, and in debug builds after every pass, the verifier runs.
//! - A pass that panics, returns a malformed program, changes a program's input or output types or never reaches a
//!   fixpoint is contained: [`Pipeline::run`] returns an error that names it and the input program is untouched.
//!   Only a pass that never returns cannot be helped.

use crate::context::PassContext;
use gradloom_ir::{Builder, Error, Graph, Node, Result, Type, Value, Values, verify};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Whether a pass changed the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Changed {
    /// It did.
    Yes,
    /// The program is as it was.
    No,
}

impl From<bool> for Changed {
    fn from(changed: bool) -> Changed {
        if changed { Changed::Yes } else { Changed::No }
    }
}

impl std::ops::BitOr for Changed {
    type Output = Changed;
    fn bitor(self, other: Changed) -> Changed {
        Changed::from(self == Changed::Yes || other == Changed::Yes)
    }
}

/// A step from a program to an equivalent one.
///
/// **Requires** nothing beyond a verified graph. **Ensures** a verified graph of the same input and output types.
/// **Never** looks into nested programs on its own account: the manager has run it there already.
pub trait Pass: Send + Sync {
    /// The name by which pipelines refer to it.
    fn name(&self) -> &str;
    /// Rewrites `g` in place and says whether that changed anything.
    fn run(&self, g: &mut Graph, cx: &mut PassContext) -> Result<Changed>;
}

impl Pass for Arc<dyn Pass> {
    fn name(&self) -> &str {
        (**self).name()
    }
    fn run(&self, g: &mut Graph, cx: &mut PassContext) -> Result<Changed> {
        (**self).run(g, cx)
    }
}

/// A closure as a pass.
pub fn pass_fn<F>(name: &str, run: F) -> impl Pass + use<F>
where
    F: Fn(&mut Graph, &mut PassContext) -> Result<Changed> + Send + Sync + 'static,
{
    struct Function<F>(String, F);
    impl<F: Fn(&mut Graph, &mut PassContext) -> Result<Changed> + Send + Sync> Pass for Function<F> {
        fn name(&self) -> &str {
            &self.0
        }
        fn run(&self, g: &mut Graph, cx: &mut PassContext) -> Result<Changed> {
            (self.1)(g, cx)
        }
    }
    Function(name.to_string(), run)
}

/// Sweeps of a fixpoint group in which a user's pass still finds something to do, before it is taken to never end.
const MAX_SWEEPS: usize = 32;

/// How many times its size (or [`SMALL`]) a program may become in a fixpoint group after the first sweep.
const MAX_GROWTH: usize = 16;

/// Programs below this many nodes may grow by [`MAX_GROWTH`] times this.
const SMALL: usize = 1000;

/// Sweeps of the standard fixpoint group. Each pass is near its fixpoint after one; more only mop up.
const STANDARD_SWEEPS: usize = 4;

#[derive(Clone)]
struct Entry {
    pass: Arc<dyn Pass>,
    standard: bool,
}

#[derive(Clone)]
struct Stage {
    entries: Vec<Entry>,
    /// How often the entries are gone through at most.
    sweeps: usize,
}

/// A list of passes, some of them in groups that repeat until nothing changes.
///
/// ```
/// use gradloom_passes::{Changed, PassContext, Pipeline, pass_fn};
/// let quiet = pass_fn("quiet", |_, _| Ok(Changed::No));
/// let p = Pipeline::standard().after("simplify", quiet).disable("hoist");
/// let text = "graph(%0: f32[]) { %1 = negate(%0) : f32[] %2 = negate(%1) : f32[] return %2 }";
/// let mut g = gradloom_ir::parse(text).unwrap();
/// p.run(&mut g).unwrap();
/// assert_eq!(g.nodes().len(), 0);
/// ```
#[derive(Clone)]
pub struct Pipeline {
    stages: Vec<Stage>,
    error: Option<Error>,
}

/// Building pipelines. The name of a pass that is not there becomes the error of [`Pipeline::run`].
impl Pipeline {
    /// No passes.
    pub fn empty() -> Pipeline {
        Pipeline { stages: Vec::new(), error: None }
    }

    /// What every program goes through: `inline_bodies`, `dce`, then `simplify`, `fold`, `cse`, `dce` until nothing
    /// changes, then `hoist`, `distribute`, `cse`, `dce`.
    pub fn standard() -> Pipeline {
        let mut stages = vec![once("inline_bodies"), once("dce"), cleanup(), once("hoist"), once("distribute")];
        stages.extend([once("cse"), once("dce")]);
        Pipeline { stages, error: None }
    }

    /// What a backend that computes on real numbers, and sums in the operands' dtype, runs before it compiles a program
    /// with complex numbers or 16-bit floats: `split_complex`, `widen_sums`, then `simplify`, `cse`, `dce`.
    pub fn lowering() -> Pipeline {
        let stages = vec![group(&["split_complex", "widen_sums"], 1), group(&["simplify", "cse", "dce"], 2)];
        Pipeline { stages, error: None }
    }

    /// What a backend runs before it compiles a program with ops of the user's own: `expand_primitives`, then `simplify`,
    /// `cse`, `dce`.
    pub fn primitives() -> Pipeline {
        let stages = ["expand_primitives", "simplify", "cse", "dce"].map(once).into();
        Pipeline { stages, error: None }
    }

    /// Adds a pass where programs are simplified but loops are not rearranged yet: in front of `hoist`, or at the end if
    /// there is no `hoist`. What it leaves is simplified again. Passes added so run in the order in which they were added.
    ///
    /// ```
    /// use gradloom_passes::{Pipeline, pass_fn, Changed};
    /// let p = Pipeline::standard().with(pass_fn("mine", |_, _| Ok(Changed::No)));
    /// let mine = p.names().iter().position(|&n| n == "mine");
    /// assert!(mine < p.names().iter().position(|&n| n == "hoist"));
    /// ```
    pub fn with(mut self, pass: impl Pass + 'static) -> Pipeline {
        let is_hoist = |s: &Stage| s.entries.iter().any(|e| e.pass.name() == "hoist");
        let at = self.stages.iter().position(is_hoist).unwrap_or(self.stages.len());
        self.stages.splice(at..at, [Stage { entries: vec![user(pass)], sweeps: 1 }, cleanup()]);
        self
    }

    /// Adds a pass at the end.
    pub fn push(mut self, pass: impl Pass + 'static) -> Pipeline {
        self.stages.push(Stage { entries: vec![user(pass)], sweeps: 1 });
        self
    }

    /// Adds a group at the end that repeats until nothing changes, `sweeps` times at most.
    pub fn push_fixpoint(mut self, passes: Vec<Arc<dyn Pass>>, sweeps: usize) -> Pipeline {
        let entries = passes.into_iter().map(|pass| Entry { pass, standard: false }).collect();
        self.stages.push(Stage { entries, sweeps });
        self
    }

    /// Adds a pass before the first pass called `name`, in the same group if that is in one.
    pub fn before(mut self, name: &str, pass: impl Pass + 'static) -> Pipeline {
        if let Some((s, e)) = self.positions(name).first().copied() {
            self.stages[s].entries.insert(e, user(pass));
        }
        self
    }

    /// Adds a pass after the last pass called `name`, in the same group if that is in one.
    pub fn after(mut self, name: &str, pass: impl Pass + 'static) -> Pipeline {
        if let Some((s, e)) = self.positions(name).last().copied() {
            self.stages[s].entries.insert(e + 1, user(pass));
        }
        self
    }

    /// Puts a pass in the place of every pass called `name`.
    pub fn replace(mut self, name: &str, pass: impl Pass + 'static) -> Pipeline {
        let new = user(pass);
        for (s, e) in self.positions(name) {
            self.stages[s].entries[e] = new.clone();
        }
        self
    }

    /// Removes every pass called `name`.
    pub fn disable(mut self, name: &str) -> Pipeline {
        for (s, e) in self.positions(name).into_iter().rev() {
            self.stages[s].entries.remove(e);
        }
        self
    }

    /// The passes' names in order.
    pub fn names(&self) -> Vec<&str> {
        self.stages.iter().flat_map(|s| &s.entries).map(|e| e.pass.name()).collect()
    }

    fn positions(&mut self, name: &str) -> Vec<(usize, usize)> {
        let at = |(s, stage): (usize, &Stage)| -> Vec<(usize, usize)> {
            (0..stage.entries.len()).filter(|&e| stage.entries[e].pass.name() == name).map(|e| (s, e)).collect()
        };
        let found: Vec<_> = self.stages.iter().enumerate().flat_map(at).collect();
        if found.is_empty() && self.error.is_none() {
            let mut known = self.names();
            known.sort_unstable();
            known.dedup();
            let help = format!("the passes here are {}", known.join(", "));
            self.error = Some(Error::user("pipeline", format!("there is no pass named `{name}`")).help(help));
        }
        found
    }
}

fn user(pass: impl Pass + 'static) -> Entry {
    Entry { pass: Arc::new(pass), standard: false }
}

/// Passes of ours, gone through `sweeps` times at most. A name that the catalogue lacks is the pipeline's error when it runs.
fn group(names: &[&str], sweeps: usize) -> Stage {
    let pass = |name: &str| match crate::catalogue::offer(name) {
        Ok(offer) => offer.pass(),
        Err(e) => Arc::new(pass_fn(name, move |_, _| Err(e.clone()))),
    };
    Stage { entries: names.iter().map(|name| Entry { pass: pass(name), standard: true }).collect(), sweeps }
}

fn once(name: &str) -> Stage {
    group(&[name], 1)
}

/// What brings a program into its simplest form.
fn cleanup() -> Stage {
    group(&["simplify", "fold", "cse", "dce"], STANDARD_SWEEPS)
}

/// Puts `new` in the place of `g` if it differs.
pub(crate) fn replace(g: &mut Graph, new: Graph) -> Changed {
    let changed = *g != new;
    if changed {
        *g = new;
    }
    changed.into()
}

/// Running pipelines.
impl Pipeline {
    /// Runs every pass on `g`, which an error leaves as it was. The environment variable `GRADLOOM_DUMP` names a
    /// directory to which the program is written before and after every pass.
    pub fn run(&self, g: &mut Graph) -> Result<PassContext> {
        let mut cx = PassContext::from_env();
        self.run_with(g, &mut cx)?;
        Ok(cx)
    }

    /// [`Pipeline::run`] in a given context.
    pub fn run_with(&self, g: &mut Graph, cx: &mut PassContext) -> Result<()> {
        if let Some(e) = &self.error {
            return Err(e.clone());
        }
        let mut work = g.clone();
        for stage in &self.stages {
            match &stage.entries[..] {
                [only] if stage.sweeps <= 1 => run_entry(only, &mut work, cx).map(drop)?,
                _ => stage.run(&mut work, cx)?,
            }
        }
        *g = work;
        Ok(())
    }
}

impl Stage {
    fn run(&self, g: &mut Graph, cx: &mut PassContext) -> Result<()> {
        // A pass has nothing to do on the very program it last left (ours are idempotent) or found in order.
        let mut version = 0u64;
        let mut clean: Vec<Option<u64>> = vec![None; self.entries.len()];
        let mut limit = None;
        for sweep in 1.. {
            let (start, mut restless) = (version, None);
            for (entry, clean) in self.entries.iter().zip(&mut clean) {
                if *clean == Some(version) {
                    continue;
                }
                let changed = run_entry(entry, g, cx)?;
                if changed == Changed::Yes {
                    version += 1;
                    restless = (!entry.standard).then_some(entry).or(restless);
                }
                *clean = (entry.standard || changed == Changed::No).then_some(version);
            }
            let nodes = g.total_nodes();
            let limit = *limit.get_or_insert(nodes.max(SMALL) * MAX_GROWTH);
            match restless {
                _ if version == start => return Ok(()),
                None if sweep >= self.sweeps => return Ok(()),
                Some(e) if sweep >= self.sweeps.max(MAX_SWEEPS) => {
                    return Err(blame(e, format!("still changes the program after {sweep} sweeps"))
                        .help("a pass in a repeated group must come to an end; return Changed::No when done"));
                }
                Some(e) if nodes > limit => {
                    return Err(blame(e, format!("keeps growing the program, to {nodes} nodes in {sweep} sweeps"))
                        .help("a pass in a repeated group must come to an end"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn blame(entry: &Entry, message: String) -> Error {
    Error::user(format!("pass {}", entry.pass.name()), message)
}

fn run_entry(entry: &Entry, g: &mut Graph, cx: &mut PassContext) -> Result<Changed> {
    let name = entry.pass.name();
    cx.step(name, g, |g, cx| {
        let contained = catch_unwind(AssertUnwindSafe(|| {
            let changed = apply(entry, g, cx)?;
            if !entry.standard || cfg!(debug_assertions) {
                verify(g)
                    .map_err(|e| blame(entry, format!("returned a malformed program: {}", e.message())).at(e.loc()))?;
            }
            Ok(changed)
        }));
        contained.unwrap_or_else(|payload| {
            let text =
                payload.downcast_ref::<&str>().map(|s| s.to_string()).or_else(|| payload.downcast_ref().cloned());
            Err(blame(entry, format!("panicked: {}", text.unwrap_or_else(|| "no message".into()))))
        })
    })
}

/// Runs a pass on the nested programs, innermost first, then on `g`.
fn apply(entry: &Entry, g: &mut Graph, cx: &mut PassContext) -> Result<Changed> {
    let inside = map_bodies(g, &mut |body| apply(entry, body, cx))?;
    if entry.standard && !cfg!(debug_assertions) {
        return Ok(inside | entry.pass.run(g, cx)?);
    }
    // What a user's pass says of itself is checked, not believed.
    let before = g.clone();
    let claimed = entry.pass.run(g, cx)?;
    for (what, old, new) in
        [("input", before.input_types(), g.input_types()), ("output", before.output_types(), g.output_types())]
    {
        if old != new {
            return Err(blame(entry, format!("changed the program's {what} types from {old:?} to {new:?}")));
        }
    }
    let truth = Changed::from(before != *g);
    debug_assert!(!entry.standard || claimed == truth, "{} misreports changes", entry.pass.name());
    Ok(inside | truth)
}

/// Rewrites the programs nested directly in `g`. A body shared by several nodes is rewritten once and stays shared.
pub fn map_bodies(g: &mut Graph, f: &mut dyn FnMut(&mut Graph) -> Result<Changed>) -> Result<Changed> {
    if !g.nodes().iter().any(|n| n.op.has_body()) {
        return Ok(Changed::No);
    }
    let mut done: HashMap<*const Graph, Arc<Graph>> = HashMap::new();
    let mut ops = Vec::new();
    let mut any = false;
    for (i, node) in g.nodes().iter().enumerate().filter(|(_, n)| n.op.has_body()) {
        let mut changed = false;
        let op = node.op.map_bodies(&mut |body| {
            let new = match done.get(&Arc::as_ptr(body)) {
                Some(new) => new.clone(),
                None => {
                    let mut copy = Graph::clone(body);
                    let new = match f(&mut copy)? {
                        Changed::Yes => Arc::new(copy),
                        Changed::No => body.clone(),
                    };
                    done.insert(Arc::as_ptr(body), new.clone());
                    new
                }
            };
            changed |= !Arc::ptr_eq(&new, body);
            Ok(new)
        })?;
        any |= changed;
        ops.push((i, op));
    }
    if any {
        let mut ops = ops.into_iter().peekable();
        *g = rewrite_nodes(g, |b, i, node, args| match ops.next_if(|(at, _)| *at == i) {
            Some((_, op)) => {
                let types: SmallVec<[Type; 2]> = node.results.iter().map(|&r| g.ty(r).clone()).collect();
                Ok(Some(b.emit_typed(op, args, types)))
            }
            None => Ok(None),
        })?;
    }
    Ok(any.into())
}

/// The program node by node anew: `rewrite` sees each node with its position and its operands in the new program, and gives
/// what stands for its results, or `None` to keep it as it is.
///
/// ```
/// use gradloom_ir::{Op, Unary, parse};
/// use gradloom_passes::rewrite_nodes;
/// let g = parse("graph(%0: f32[3]) { %1 = sine(%0) : f32[3] return %1 }")?;
/// let doubled = rewrite_nodes(&g, |b, _, node, args| {
///     Ok((node.op == Op::Unary(Unary::Sin)).then(|| [b.add(args[0], args[0])].into_iter().collect()))
/// })?;
/// assert!(doubled.to_string().contains("add(%0, %0)"));
/// # Ok::<(), gradloom_ir::Error>(())
/// ```
///
/// # Errors
/// Those of `rewrite`, or if the new program is malformed.
pub fn rewrite_nodes(
    g: &Graph,
    mut rewrite: impl FnMut(&mut Builder, usize, &Node, &[Value]) -> Result<Option<Values>>,
) -> Result<Graph> {
    let (mut b, mut map) = copy_inputs(g);
    for (i, node) in g.nodes().iter().enumerate() {
        let args: SmallVec<[Value; 4]> = node.args.iter().map(|a| map[a.index()]).collect();
        b.set_loc(&node.loc);
        match rewrite(&mut b, i, node, &args)? {
            Some(results) if results.len() == node.results.len() => map.extend(results),
            Some(results) => {
                let what = format!("{} values for the {} results of a node", results.len(), node.results.len());
                return Err(Error::internal("rewrite_nodes", what).at(&node.loc));
            }
            None => {
                let types: SmallVec<[Type; 2]> = node.results.iter().map(|&r| g.ty(r).clone()).collect();
                map.extend(b.emit_typed(node.op.clone(), &args, types));
            }
        }
    }
    finish(b, g, &map)
}

/// A node of `g` anew, on what stands for its operands.
pub(crate) fn copy_node(b: &mut Builder, g: &Graph, node: &Node, of: impl Fn(Value) -> Value) -> Values {
    let args: SmallVec<[Value; 4]> = node.args.iter().map(|&a| of(a)).collect();
    let types: SmallVec<[Type; 2]> = node.results.iter().map(|&r| g.ty(r).clone()).collect();
    b.set_loc(&node.loc);
    b.emit_typed(node.op.clone(), &args, types)
}

/// A builder with the inputs of `g`, and the map from old values to new ones so far.
pub(crate) fn copy_inputs(g: &Graph) -> (Builder, Vec<Value>) {
    let mut b = Builder::new();
    let mut map = Vec::with_capacity(g.num_values());
    map.extend(g.inputs().map(|v| b.input(g.ty(v).clone(), &g.input_names()[v.index()])));
    (b, map)
}

/// The rebuilt program with the outputs of `g`.
pub(crate) fn finish(b: Builder, g: &Graph, map: &[Value]) -> Result<Graph> {
    let outputs: Vec<Value> = g.outputs().iter().map(|v| map[v.index()]).collect();
    b.finish(&outputs)
}
