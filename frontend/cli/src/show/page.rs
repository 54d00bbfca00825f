//! The page: the programs, their layouts and the kernels as JSON, in a page that draws them.
//!
//! ```text
//! { title, message,
//!   strings: [..],                       // all texts; numbers below that stand for texts are positions here
//!   sources: { line: text },             // lines of the file that nodes come from
//!   families: { op: family },
//!   stages: [{ pass, ms, before, after, message, graph }],  // graph: position in `graphs`, or null if nothing changed
//!   graphs: [graph],
//!   kernels: [{ path, kind, name, flops, bytes, times, lanes, split, grain, live, nest, form, code }] }
//!
//! graph = { inputs:  [[name, label, type]],
//!           nodes:   [[op, args, results, types, file, line, attributes, flops, bytes, kernels, [graph]]],
//!           outputs: [value],            // values count through inputs, then results
//!           groups:  [[title, kernel or -1, rows]],
//!           rows:    [[[kind, index, x, width]]] }   // kind: 0 input, 1 node, 2 output, 3 group
//! ```
//!
//! Every node is in exactly one row, that of its graph or of a group. What is not drawn is said in `message`.

use super::history::{History, Stage};
use super::kernels::{Placed, name, short, steps};
use super::layout::{layout, topological};
use super::{ELEMENTS, family::family};
use gradloom_backends::cpu::StepInfo;
use gradloom_backends::cpu::codegen::Listing;
use gradloom_ir::{Graph, Names, Value};
use gradloom_passes::cost::node_cost;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, HashMap};

/// Programs of more nodes are not drawn.
const MAX_NODES: usize = 100_000;
/// Programs between passes are left out once those drawn have more nodes than this together.
const MAX_TOTAL: usize = 60_000;
/// A list of more boxes is drawn as blocks that unfold.
const MAX_BOXES: usize = 6_000;
/// Code beyond this many bytes is left out.
const MAX_CODE: usize = 16 << 20;
/// Longest line of the file that is shown.
const MAX_LINE: usize = 400;
// Widths of boxes, of their characters, and of the triangle that folds them, in pixels.
const NARROWEST: f64 = 64.0;
const WIDEST: f64 = 300.0;
const CHARACTER: f64 = 7.0;
const TRIANGLE: f64 = 16.0;

/// The whole page; `file` is only a title.
pub fn page(file: &str, source: &str, history: &History) -> String {
    let data = Writer::default().data(file, source, history);
    // in a script element text ends at `</`, and `<!--` would start a comment
    let data = data.to_string().replace('<', "\\u003c");
    include_str!("page.html")
        .replace("{{style}}", include_str!("page.css"))
        .replace("{{script}}", include_str!("page.js"))
        .replace("{{data}}", &data)
}

#[derive(Default)]
struct Writer {
    strings: Vec<String>,
    known: HashMap<String, usize>,
    families: BTreeMap<&'static str, &'static str>,
    /// Lines of files that nodes come from.
    lines: std::collections::BTreeSet<(String, u32)>,
    /// The number of each step, by path.
    kernels: HashMap<String, usize>,
}

/// A box, or boxes that fold into one.
enum Item {
    Input(usize),
    Node(usize),
    Output(usize),
    Group(String, Option<usize>, Vec<Item>),
}

impl Item {
    fn leaves(&self, g: &Graph, each: &mut dyn FnMut(usize)) {
        match self {
            Item::Input(i) => each(*i),
            Item::Node(i) => each(g.num_inputs() + i),
            Item::Output(i) => each(g.num_inputs() + g.nodes().len() + i),
            Item::Group(.., items) => items.iter().for_each(|i| i.leaves(g, each)),
        }
    }
}

/// The steps of a program, and what goes before their numbers.
type Steps<'a> = Option<(&'a [StepInfo], String)>;

/// A program being written.
struct Scope<'a> {
    g: &'a Graph,
    names: Option<&'a Names>,
    /// Of boxes; see [`Item::leaves`].
    edges: Vec<(usize, usize)>,
    groups: Vec<Json>,
}

impl Writer {
    fn data(mut self, file: &str, source: &str, history: &History) -> Json {
        let mut messages = Vec::new();
        let compiled = history.compiled.as_ref();
        if let Err(e) = &compiled {
            messages.push(format!("Not compiled: {e}"));
        }
        let placed = compiled.map(|c| steps(c, history.names())).unwrap_or_default();
        self.kernels = placed.iter().enumerate().map(|(i, p)| (p.path.clone(), i)).collect();
        let kernels = self.kernel_table(&placed, &mut messages);
        let (mut stages, mut graphs) = (Vec::new(), Vec::new());
        let drawn = drawn(&history.stages);
        let last = history.stages.iter().rposition(|s| s.graph.is_some());
        for (i, stage) in history.stages.iter().enumerate() {
            let mut message = String::new();
            let mut graph = Json::Null;
            if let Some(g) = &stage.graph {
                if drawn[i] {
                    // positions in steps are those of the program that was compiled, the last
                    let steps =
                        compiled.as_ref().ok().filter(|_| last == Some(i)).map(|c| (&c.steps[..], String::new()));
                    graph = json!(graphs.len());
                    graphs.push(self.graph(g, Some(&stage.names), steps));
                } else {
                    message = format!("not drawn: {} nodes are too many", g.total_nodes());
                }
            }
            let nodes = stage.graph.as_ref().map_or(0, Graph::total_nodes);
            stages.push(match &stage.record {
                None => json!({"pass": "as read", "ms": Json::Null, "before": nodes, "after": nodes, "message": message, "graph": graph}),
                Some(r) => json!({
                    "pass": r.pass, "ms": r.time.as_secs_f64() * 1e3, "before": r.nodes_before, "after": r.nodes_after,
                    "message": message, "graph": graph,
                }),
            });
        }
        if history.stages.iter().zip(&drawn).any(|(s, drawn)| s.graph.is_some() && !drawn) {
            messages.push("Some programs between passes are too large to be drawn too.".into());
        }
        // Only the file itself is quoted: a program may name any file as where it comes from.
        let lines: Vec<&str> = source.lines().collect();
        let quote = |(from, line): &(String, u32)| {
            let text = lines.get((*line as usize).checked_sub(1)?).filter(|_| from == file)?;
            Some((line.to_string(), json!(text.trim().chars().take(MAX_LINE).collect::<String>())))
        };
        let sources: serde_json::Map<String, Json> = self.lines.iter().filter_map(quote).collect();
        json!({
            "title": file, "message": messages.join(" "), "strings": self.strings, "sources": sources,
            "families": self.families, "stages": stages, "graphs": graphs, "kernels": kernels,
        })
    }

    fn string(&mut self, text: impl Into<String>) -> usize {
        let text = text.into();
        if let Some(&i) = self.known.get(&text) {
            return i;
        }
        self.strings.push(text.clone());
        self.known.insert(text, self.strings.len() - 1);
        self.strings.len() - 1
    }

    fn kernel_table(&mut self, placed: &[Placed], messages: &mut Vec<String>) -> Vec<Json> {
        let (mut room, mut left_out) = (MAX_CODE, false);
        let mut table = Vec::with_capacity(placed.len());
        for p in placed {
            let s = p.step;
            let (form, mut code) = match &s.code {
                Some(Listing::Cranelift(code)) => ("Cranelift code", code.as_str()),
                Some(Listing::Assembly(code)) => ("assembly", code.as_str()),
                None => ("", ""),
            };
            let mut nest = s.nest.as_str();
            // equal texts are there once
            let size: usize = [nest, code].iter().filter(|t| !self.known.contains_key(**t)).map(|t| t.len()).sum();
            if size <= room {
                room -= size;
            } else {
                (nest, code, left_out) = ("", "left out: `gradloom show --kernels` prints it", true);
            }
            table.push(json!({
                "path": p.path, "kind": s.kind.name(), "name": self.string(s.name.as_str()), "times": p.times,
                "flops": s.flops, "bytes": s.bytes, "lanes": s.lanes, "split": s.split.0, "grain": s.split.1,
                "live": s.live_bytes, "nest": self.string(nest), "form": form, "code": self.string(code),
            }));
        }
        if left_out {
            messages.push("The code of some kernels is left out.".into());
        }
        table
    }

    fn graph(&mut self, g: &Graph, names: Option<&Names>, steps: Steps) -> Json {
        let value = |v: Value| name(names, v);
        let kernels = self.kernels_of(g, &steps);
        let inputs: Vec<Json> = g
            .inputs()
            .map(|v| json!([value(v), &*g.input_names()[v.index()], self.string(g.ty(v).to_string())]))
            .collect();
        let mut nodes = Vec::with_capacity(g.nodes().len());
        for (i, node) in g.nodes().iter().enumerate() {
            let op = node.op.name();
            self.families.insert(op, family(&node.op));
            let bodies = node.op.bodies();
            let mut inside = Vec::new();
            for (k, body) in bodies.iter().enumerate() {
                let names = names.and_then(|n| n.bodies.get(&i)).and_then(|n| n.get(k));
                inside.push(self.graph(body, names, steps_of_body(&steps, i, k)));
            }
            let text = g.text().elements(ELEMENTS).node(i);
            // the text is `results = op(args) {attributes} : types`
            let attributes =
                text.split_once(") {").and_then(|(_, rest)| rest.rsplit_once("} : ").or(rest.rsplit_once('}')));
            let attributes = attributes.map_or("", |(a, _)| a).to_string();
            let (file, line) = node.loc.file_line().unwrap_or(("", 0));
            if line > 0 {
                self.lines.insert((file.to_string(), line));
            }
            let types: Vec<usize> = node.results.iter().map(|&r| self.string(g.ty(r).to_string())).collect();
            let cost = node_cost(g, node);
            let args: Vec<usize> = node.args.iter().map(|a| a.index()).collect();
            let results: Vec<String> = node.results.iter().map(|&r| value(r)).collect();
            nodes.push(json!([
                self.string(op),
                args,
                results,
                types,
                self.string(file),
                line,
                self.string(attributes),
                cost.flops,
                cost.bytes,
                kernels[i],
                inside,
            ]));
        }
        let items = self.items(g, &steps, &kernels);
        let mut scope = Scope { g, names, edges: edges(g), groups: Vec::new() };
        let all = std::mem::take(&mut scope.edges);
        let rows = scope.rows(items, &all);
        let outputs: Vec<usize> = g.outputs().iter().map(|v| v.index()).collect();
        json!({"inputs": inputs, "nodes": nodes, "outputs": outputs, "groups": scope.groups, "rows": rows})
    }

    /// The numbers of the steps that compute each node.
    fn kernels_of(&self, g: &Graph, steps: &Steps) -> Vec<Vec<usize>> {
        let mut kernels = vec![Vec::new(); g.nodes().len()];
        if let Some((steps, prefix)) = steps {
            for (i, step) in steps.iter().enumerate() {
                let number = self.kernels.get(&format!("{prefix}{i}"));
                step.nodes.iter().for_each(|&n| kernels[n].extend(number));
            }
        }
        kernels
    }

    /// The boxes of a program: the nodes that run as one kernel are a group, each in the first kernel that computes it.
    fn items(&self, g: &Graph, steps: &Steps, kernels: &[Vec<usize>]) -> Vec<Item> {
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (i, k) in kernels.iter().enumerate() {
            if let Some(&first) = k.first() {
                groups.entry(first).or_default().push(i);
            }
        }
        let title: HashMap<usize, &str> = steps
            .iter()
            .flat_map(|(steps, prefix)| {
                let number = move |i: usize| self.kernels.get(&format!("{prefix}{i}")).copied();
                steps.iter().enumerate().filter_map(move |(i, s)| Some((number(i)?, s.name.as_str())))
            })
            .collect();
        let mut items: Vec<Item> = (0..g.num_inputs()).map(Item::Input).collect();
        for (i, k) in kernels.iter().enumerate() {
            match k.first().and_then(|first| groups.get(first).map(|nodes| (first, nodes))) {
                Some((first, nodes)) if nodes.len() > 1 => {
                    if nodes[0] == i {
                        let title = title.get(first).copied().unwrap_or_default().to_string();
                        items.push(Item::Group(title, Some(*first), nodes.iter().map(|&n| Item::Node(n)).collect()));
                    }
                }
                _ => items.push(Item::Node(i)),
            }
        }
        items.extend((0..g.num_outputs()).map(Item::Output));
        items
    }
}

/// The steps of the body of a node.
fn steps_of_body<'a>(steps: &Steps<'a>, node: usize, body: usize) -> Steps<'a> {
    let (steps, prefix) = steps.as_ref()?;
    let i = steps.iter().position(|s| !s.bodies.is_empty() && s.nodes.first() == Some(&node))?;
    Some((steps[i].bodies.get(body)?, format!("{prefix}{i}.body{body}.")))
}

/// From box to box, by the numbers of [`Item::leaves`].
fn edges(g: &Graph) -> Vec<(usize, usize)> {
    let definitions = g.definitions();
    let source = |v: Value| definitions[v.index()].map_or(v.index(), |n| g.num_inputs() + n);
    let into = |(i, n): (usize, &gradloom_ir::Node)| -> Vec<(usize, usize)> {
        n.args.iter().map(|&a| (source(a), g.num_inputs() + i)).collect()
    };
    let mut edges: Vec<_> = g.nodes().iter().enumerate().flat_map(into).collect();
    let first = g.num_inputs() + g.nodes().len();
    edges.extend(g.outputs().iter().enumerate().map(|(i, &o)| (source(o), first + i)));
    edges
}

impl Scope<'_> {
    /// The rows of these boxes; `edges` are those between them or what is in them.
    fn rows(&mut self, items: Vec<Item>, edges: &[(usize, usize)]) -> Json {
        let (items, lifted, inside) = {
            let (lifted, inside) = self.lift(&items, edges);
            if items.len() <= MAX_BOXES {
                (items, lifted, inside)
            } else {
                let items = self.blocks(items, &lifted);
                let (lifted, inside) = self.lift(&items, edges);
                (items, lifted, inside)
            }
        };
        let widths: Vec<f64> = items.iter().map(|i| self.width(i)).collect();
        let rows = layout(&widths, &lifted);
        let mut items: Vec<Option<(Item, Vec<(usize, usize)>)>> = items.into_iter().zip(inside).map(Some).collect();
        let mut all = Vec::with_capacity(rows.len());
        for row in rows {
            let mut boxes = Vec::with_capacity(row.len());
            for p in row {
                let Some((item, inside)) = items[p.item].take() else { continue };
                let (kind, index) = match item {
                    Item::Input(i) => (0, i),
                    Item::Node(i) => (1, i),
                    Item::Output(i) => (2, i),
                    Item::Group(title, kernel, members) => {
                        let rows = self.rows(members, &inside);
                        let kernel = kernel.map_or(-1, |k| k as i64);
                        self.groups.push(json!([title, kernel, rows]));
                        (3, self.groups.len() - 1)
                    }
                };
                boxes.push(json!([kind, index, p.x as i64, widths[p.item] as i64]));
            }
            all.push(Json::Array(boxes));
        }
        Json::Array(all)
    }

    /// The edges as those between items, and for each item the edges inside it.
    fn lift(&self, items: &[Item], edges: &[(usize, usize)]) -> (Vec<(usize, usize)>, Vec<Vec<(usize, usize)>>) {
        let mut owner = HashMap::new();
        for (k, item) in items.iter().enumerate() {
            item.leaves(self.g, &mut |leaf| {
                owner.insert(leaf, k);
            });
        }
        let (mut between, mut inside) = (Vec::new(), vec![Vec::new(); items.len()]);
        for &(a, b) in edges {
            match (owner.get(&a), owner.get(&b)) {
                (Some(&i), Some(&j)) if i == j => inside[i].push((a, b)),
                (Some(&i), Some(&j)) => between.push((i, j)),
                _ => {}
            }
        }
        (between, inside)
    }

    /// About as many blocks as each has boxes, of boxes that follow each other.
    fn blocks(&self, items: Vec<Item>, edges: &[(usize, usize)]) -> Vec<Item> {
        let order = topological(items.len(), edges);
        let size = ((items.len() as f64).sqrt().ceil() as usize).max(2);
        let mut items: Vec<Option<Item>> = items.into_iter().map(Some).collect();
        let block = |chunk: &[usize]| {
            let members: Vec<Item> = chunk.iter().filter_map(|&i| items[i].take()).collect();
            let name = |i: Option<&Item>| i.map_or(String::new(), |i| self.label(i).0);
            let title = format!("{} to {}", name(members.first()), name(members.last()));
            Item::Group(title, None, members)
        };
        order.chunks(size).map(block).collect()
    }

    /// The two lines in a box.
    fn label(&self, item: &Item) -> (String, String) {
        let g = self.g;
        let types = |vs: &[Value]| vs.iter().map(|&v| g.ty(v).to_string()).collect::<Vec<_>>().join(", ");
        match item {
            Item::Input(i) => {
                let v = Value::from_index(*i);
                (format!("{} {}", name(self.names, v), g.input_names()[*i]), types(&[v]))
            }
            Item::Node(i) => {
                let node = &g.nodes()[*i];
                let result = node.results.first().map_or(String::new(), |&r| name(self.names, r));
                (format!("{result} {}", node.op.name()), types(&node.results))
            }
            Item::Output(i) => (format!("return {i}"), types(&g.outputs()[*i..=*i])),
            Item::Group(title, _, items) => (title.clone(), format!("{} ops", short(items.len() as u64))),
        }
    }

    fn width(&self, item: &Item) -> f64 {
        let (first, second) = self.label(item);
        let characters = first.chars().count().max(second.chars().count()) as f64;
        let folds = match item {
            Item::Group(..) => true,
            Item::Node(i) => self.g.nodes()[*i].op.has_body(),
            Item::Input(_) | Item::Output(_) => false,
        };
        (characters * CHARACTER + if folds { TRIANGLE } else { 0.0 } + 18.0).clamp(NARROWEST, WIDEST).round()
    }
}

/// Which programs are drawn: the first and the last before those between, as far as there is room.
fn drawn(stages: &[Stage]) -> Vec<bool> {
    let with_graph = || stages.iter().enumerate().filter_map(|(i, s)| s.graph.as_ref().map(|g| (i, g.total_nodes())));
    let (first, last) = (with_graph().next(), with_graph().next_back());
    let mut drawn = vec![false; stages.len()];
    let mut total = 0;
    for (i, nodes) in last.into_iter().chain(first).chain(with_graph()) {
        let ends = Some(i) == first.map(|f| f.0) || Some(i) == last.map(|l| l.0);
        if !drawn[i] && nodes <= MAX_NODES && (ends || total + nodes <= MAX_TOTAL) {
            drawn[i] = true;
            total += nodes;
        }
    }
    drawn
}
