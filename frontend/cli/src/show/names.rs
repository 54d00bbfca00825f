//! Names of values that last from pass to pass.
//!
//! A pass builds its program anew, with values numbered by position: removing one node renumbers all that follow, and a
//! diff of the texts as they are would show every line. So values of the program as read are named by their numbers,
//! and each later program takes over the names of the one before, node by node: a node that computes the same from
//! operands of the same names is the same node; of the rest, one with the same op, types and source line is likely
//! to be it with other operands. What is left is new, and gets a number that nothing had before.

use gradloom_ir::{Graph, Names, Node, Op, Value};
use std::collections::{BTreeMap, HashMap};

/// How many nodes of the old program are looked at as likely to be a node of the new one.
const CANDIDATES: usize = 32;

/// The names of a program in the order of its numbers.
pub fn numbered(g: &Graph) -> Names {
    let bodies = g.nodes().iter().enumerate().filter(|(_, n)| n.op.has_body());
    Names {
        values: (0..g.num_values() as u32).collect(),
        bodies: bodies.map(|(i, n)| (i, n.op.bodies().iter().map(|b| numbered(b)).collect())).collect(),
    }
}

/// One more than the greatest number in use.
pub fn next_number(names: &Names) -> u32 {
    let inside = names.bodies.values().flatten().map(next_number);
    inside.chain(names.values.iter().map(|n| n + 1)).max().unwrap_or(0)
}

/// The names of `new`, which a pass made of `old`; new values are numbered from `next` on.
pub fn carried(old: &Graph, names: &Names, new: &Graph, next: &mut u32) -> Names {
    // the interface of a program stays as it is
    let inputs = (0..new.num_inputs()).map(|i| names.values.get(i).copied()).collect();
    Matching::new(old, names, new, next).run(inputs)
}

/// File and line.
type Line<'a> = Option<(&'a str, u32)>;

/// What makes a node likely to be another.
type Likeness<'a> = (&'a str, Vec<&'a gradloom_ir::Type>, Line<'a>);

fn likeness<'a>(g: &'a Graph, node: &'a Node) -> Likeness<'a> {
    (node.op.name(), node.results.iter().map(|&r| g.ty(r)).collect(), node.loc.file_line())
}

struct Matching<'a> {
    old: &'a Graph,
    names: &'a Names,
    new: &'a Graph,
    next: &'a mut u32,
    /// Names of the new program's values so far.
    known: Vec<Option<u32>>,
    /// The old node that each new node is.
    origin: Vec<Option<usize>>,
    claimed: Vec<bool>,
    /// By what is computed, and where that is known by source line.
    same: HashMap<(&'a Op, Vec<u32>, Line<'a>), Vec<usize>>,
    alike: HashMap<Likeness<'a>, Vec<usize>>,
}

impl<'a> Matching<'a> {
    fn new(old: &'a Graph, names: &'a Names, new: &'a Graph, next: &'a mut u32) -> Matching<'a> {
        let (mut same, mut alike) = (HashMap::<_, Vec<usize>>::new(), HashMap::<_, Vec<usize>>::new());
        // from the back, so that the first of equals is taken first
        for (i, node) in old.nodes().iter().enumerate().rev() {
            let args: Vec<u32> = node.args.iter().map(|a| names.values[a.index()]).collect();
            let line = node.loc.file_line();
            // at its line first, so that equals are told apart by it
            if line.is_some() {
                same.entry((&node.op, args.clone(), line)).or_default().push(i);
            }
            same.entry((&node.op, args, None)).or_default().push(i);
            alike.entry(likeness(old, node)).or_default().push(i);
        }
        let (values, nodes) = (new.num_values(), new.nodes().len());
        let (claimed, origin) = (vec![false; old.nodes().len()], vec![None; nodes]);
        Matching { old, names, new, next, known: vec![None; values], origin, claimed, same, alike }
    }

    fn run(mut self, inputs: Vec<Option<u32>>) -> Names {
        for (i, name) in inputs.into_iter().enumerate() {
            self.known[i] = Some(name.unwrap_or_else(|| self.fresh()));
        }
        // what is the same first, so that nothing takes its name
        for i in 0..self.new.nodes().len() {
            let line = self.new.nodes()[i].loc.file_line();
            if let Some(from) = self.the_same(i, line) {
                self.claim(i, from);
            }
        }
        let mut bodies = BTreeMap::new();
        for i in 0..self.new.nodes().len() {
            if self.origin[i].is_none() {
                let line = self.new.nodes()[i].loc.file_line();
                let same = self.the_same(i, line).or_else(|| self.the_same(i, None));
                match same.or_else(|| self.the_like(i)) {
                    Some(from) => self.claim(i, from),
                    None => {
                        for r in &self.new.nodes()[i].results {
                            self.known[r.index()] = Some(self.fresh());
                        }
                    }
                }
            }
            if self.new.nodes()[i].op.has_body() {
                bodies.insert(i, self.bodies(i));
            }
        }
        let values = self.known.iter().map(|n| n.unwrap_or_default()).collect();
        Names { values, bodies }
    }

    fn fresh(&mut self) -> u32 {
        *self.next += 1;
        *self.next - 1
    }

    fn claim(&mut self, new: usize, old: usize) {
        self.claimed[old] = true;
        self.origin[new] = Some(old);
        for (r, from) in self.new.nodes()[new].results.iter().zip(&self.old.nodes()[old].results) {
            self.known[r.index()] = Some(self.names.values[from.index()]);
        }
    }

    fn args(&self, node: &Node) -> Option<Vec<u32>> {
        node.args.iter().map(|a| self.known[a.index()]).collect()
    }

    /// The old node that computes the same, at a line if one is given.
    fn the_same(&mut self, new: usize, line: Line<'a>) -> Option<usize> {
        let node = &self.new.nodes()[new];
        let list = self.same.get_mut(&(&node.op, self.args(node)?, line))?;
        while let Some(i) = list.pop() {
            if !self.claimed[i] {
                return Some(i);
            }
        }
        None
    }

    /// The old node of the same likeness that shares most operands; without a source line it must share one.
    fn the_like(&mut self, new: usize) -> Option<usize> {
        let node = &self.new.nodes()[new];
        let args = self.args(node)?;
        let list = self.alike.get_mut(&likeness(self.new, node))?;
        while list.last().is_some_and(|&i| self.claimed[i]) {
            list.pop();
        }
        let shared = |i: usize| {
            let theirs = self.old.nodes()[i].args.iter().map(|a| self.names.values[a.index()]);
            theirs.filter(|name| args.contains(name)).count()
        };
        let near: Vec<usize> = list.iter().rev().take(CANDIDATES).copied().filter(|&i| !self.claimed[i]).collect();
        // of equals the last of the list, which is the first of the program
        let (shares, best) = near.into_iter().rev().map(|i| (shared(i), i)).max_by_key(|(shares, _)| *shares)?;
        let sure = shares > 0 || node.loc.is_known() || node.args.is_empty();
        (sure && self.old.nodes()[best].results.len() == node.results.len()).then_some(best)
    }

    /// Names in the nested programs of a node.
    fn bodies(&mut self, new: usize) -> Vec<Names> {
        let node = &self.new.nodes()[new];
        let programs = node.op.bodies();
        let origin = self.origin[new].map(|i| (i, &self.old.nodes()[i]));
        let Some((i, before)) = origin.filter(|(_, n)| n.op.bodies().len() == programs.len()) else {
            return programs.iter().map(|b| numbered(b)).collect();
        };
        let Some(names) = self.names.bodies.get(&i) else { return programs.iter().map(|b| numbered(b)).collect() };
        let mut all = Vec::new();
        for (k, (body, old)) in programs.iter().zip(before.op.bodies()).enumerate() {
            let outer = |node: &Node, name: &dyn Fn(Value) -> u32| -> Vec<u32> {
                body_args(node, k).iter().map(|&v| name(v)).collect()
            };
            let ours = outer(node, &|v| self.known[v.index()].unwrap_or(u32::MAX));
            let theirs = outer(before, &|v| self.names.values[v.index()]);
            let inputs = inputs(body, &ours, old, &theirs, &names[k]);
            all.push(Matching::new(old, &names[k], body, self.next).run(inputs));
        }
        all
    }
}

/// The operands that the inputs of a nested program stand for, as far as they stand for operands.
fn body_args(node: &Node, body: usize) -> Vec<Value> {
    let args = &node.args;
    match &node.op {
        Op::While { cond_consts, body_consts, .. } if body == 0 => {
            args[..*cond_consts].iter().chain(&args[cond_consts + body_consts..]).copied().collect()
        }
        Op::While { cond_consts, .. } => args[*cond_consts..].to_vec(),
        Op::Switch { .. } => args[1..].to_vec(),
        _ => args.to_vec(),
    }
}

/// Names of a nested program's inputs: those of the old inputs for the same operands, else of the next of the same type.
fn inputs(new: &Graph, ours: &[u32], old: &Graph, theirs: &[u32], names: &Names) -> Vec<Option<u32>> {
    let mut free: Vec<usize> = (0..old.num_inputs()).collect();
    let mut found: Vec<Option<u32>> = vec![None; new.num_inputs()];
    let mut take = |found: &mut Option<u32>, fits: &dyn Fn(usize) -> bool| {
        if let (None, Some(at)) = (&found, free.iter().position(|&i| fits(i))) {
            *found = names.values.get(free.remove(at)).copied();
        }
    };
    for by_operand in [true, false] {
        for (k, name) in found.iter_mut().enumerate() {
            let ty = new.ty(Value::from_index(k));
            take(name, &|i| {
                let same = ours.get(k).is_some() && ours.get(k) == theirs.get(i);
                old.ty(Value::from_index(i)) == ty && (same || !by_operand)
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradloom_ir::parse;

    #[track_caller]
    fn check(old: &str, new: &str, expected: &str) {
        let (old, new) = (parse(old).expect("a program"), parse(new).expect("a program"));
        let names = numbered(&old);
        let mut next = next_number(&names);
        let names = carried(&old, &names, &new, &mut next);
        assert_eq!(new.text().names(&names).to_string(), expected);
    }

    #[test]
    fn what_stays_keeps_its_name() {
        check(
            "graph(%0: f32[2]) { %1 = negate(%0) : f32[2] %2 = negate(%1) : f32[2] %3 = sine(%2) : f32[2]
               %4 = cosine(%3) : f32[2] return %4 }",
            "graph(%0: f32[2]) { %1 = sine(%0) : f32[2] %2 = cosine(%1) : f32[2] %3 = tan(%2) : f32[2] return %3 }",
            // nothing says that the sine of something else is the sine there was
            "graph(%0: f32[2]) {\n  %5 = sine(%0) : f32[2]\n  %6 = cosine(%5) : f32[2]\n  %7 = tan(%6) : f32[2]\n  \
             return %7\n}",
        );
        check(
            "graph(%0: f32[2]) { %1 = negate(%0) : f32[2] loc(\"a\":1) %2 = negate(%1) : f32[2] loc(\"a\":2)
               %3 = sine(%2) : f32[2] loc(\"a\":3) %4 = cosine(%3) : f32[2] loc(\"a\":4) return %4 }",
            "graph(%0: f32[2]) { %1 = sine(%0) : f32[2] loc(\"a\":3) %2 = cosine(%1) : f32[2] loc(\"a\":4) return %2 }",
            "graph(%0: f32[2]) {\n  %3 = sine(%0) : f32[2] loc(\"a\":3)\n  %4 = cosine(%3) : f32[2] loc(\"a\":4)\n  \
             return %4\n}",
        );
    }

    #[test]
    fn equals_are_told_apart_by_their_order_and_no_name_is_given_twice() {
        check(
            "graph(%0: f32[]) { %1 = sine(%0) : f32[] %2 = sine(%0) : f32[] %3 = add(%1, %2) : f32[] return %3 }",
            "graph(%0: f32[]) { %1 = sine(%0) : f32[] %2 = add(%1, %1) : f32[] %3 = sine(%0) : f32[]
               %4 = sine(%0) : f32[] return %2, %3, %4 }",
            "graph(%0: f32[]) {\n  %1 = sine(%0) : f32[]\n  %3 = add(%1, %1) : f32[]\n  %2 = sine(%0) : f32[]\n  \
             %4 = sine(%0) : f32[]\n  return %3, %2, %4\n}",
        );
    }

    #[test]
    fn equals_are_told_apart_by_their_lines() {
        check(
            "graph(%0: f32[]) { %1 = sine(%0) : f32[] loc(\"a\":1) %2 = sine(%0) : f32[] loc(\"a\":2) return %2 }",
            "graph(%0: f32[]) { %1 = sine(%0) : f32[] loc(\"a\":2) return %1 }",
            "graph(%0: f32[]) {\n  %2 = sine(%0) : f32[] loc(\"a\":2)\n  return %2\n}",
        );
    }

    #[test]
    fn nested_programs_keep_theirs() {
        let scan = |args: &str, body: &str, consts: usize| {
            format!("scan({args}) {{body = {body}, length = 3, reverse = false, consts = {consts}, carry = 1}} : f32[]")
        };
        let one = "graph(%0: f32[]) { %1 = sine(%0) : f32[] %2 = cosine(%1) : f32[] return %2 }";
        let two = "graph(%0: f32[], %1: f32[]) { %2 = cosine(%1) : f32[] %3 = add(%2, %0) : f32[] return %3 }";
        let old = format!("graph(%0: f32[], %1: f32[]) {{ %2 = {} loc(\"a\":1) return %2 }}", scan("%1", one, 0));
        let new = format!(
            "graph(%0: f32[], %1: f32[]) {{ %2 = sine(%0) : f32[] %3 = {} loc(\"a\":1) return %3 }}",
            scan("%2, %1", two, 1)
        );
        check(
            &old,
            &new,
            "graph(%0: f32[], %1: f32[]) {\n  %3 = sine(%0) : f32[]\n  %2 = scan(%3, %1) {body = graph(%4: f32[], \
             %0: f32[]) {\n    %5 = cosine(%0) : f32[]\n    %6 = add(%5, %4) : f32[]\n    return %6\n  }, length = 3, \
             reverse = false, consts = 1, carry = 1} : f32[] loc(\"a\":1)\n  return %2\n}",
        );
    }
}
