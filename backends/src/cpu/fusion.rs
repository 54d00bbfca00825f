//! Why two ops of a program run together, or why they do not.

use super::cluster::{Clustered, Obstacle, Reason, Step, cluster, obstacle, reasons};
use super::divide_reductions::For;
use super::explain::computed;
use gradloom_ir::{Error, Graph, Result, Value};

/// Says why the values `a` and `b` of a program are computed by one loop nest, or what stands between: why one of them is
/// stored, or what keeps what is stored for them out of one loop nest. The program is one that the passes for this machine
/// have left, as [`super::Explained`] has it; `name` says what values are called.
///
/// # Errors
/// If there are no such values.
pub fn why_apart(g: &Graph, a: Value, b: Value, name: &dyn Fn(Value) -> String) -> Result<String> {
    if let Some(v) = [a, b].into_iter().find(|v| v.index() >= g.num_values()) {
        return Err(Error::user("explain", format!("the program has no value {v}")));
    }
    let [a, b] = if a <= b { [a, b] } else { [b, a] };
    let why = Why { g, c: cluster(g, For::Processor), reasons: reasons(g), name };
    Ok(why.say(a, b))
}

struct Why<'a> {
    g: &'a Graph,
    c: Clustered,
    reasons: Vec<Option<Reason>>,
    name: &'a dyn Fn(Value) -> String,
}

impl Why<'_> {
    /// `a` is computed before `b`.
    fn say(&self, a: Value, b: Value) -> String {
        let name = |v: Value| (self.name)(v);
        let definitions = self.g.definitions();
        let (Some(first), Some(second)) = (definitions[a.index()], definitions[b.index()]) else {
            let input = if definitions[a.index()].is_none() { a } else { b };
            return format!("{} is an argument: it is in memory before anything runs", name(input));
        };
        let runs = |node: usize| -> Vec<usize> {
            let of = |s: &usize| computed(self.g, &definitions, &self.c, &self.c.steps[*s]).contains(&node);
            (0..self.c.steps.len()).filter(of).collect()
        };
        let (of_a, of_b) = (runs(first), runs(second));
        if let Some(step) = of_a.iter().find(|s| of_b.contains(s)) {
            return format!("{} and {} run together, in step {step}", name(a), name(b));
        }
        for (v, steps) in [(a, &of_a), (b, &of_b)] {
            if steps.is_empty() {
                return format!(
                    "{} is not computed by a step: it is a constant, or the same memory as another",
                    name(v)
                );
            }
            if let Some(what) = self.is_no_loop_nest(steps[0]) {
                return format!("{} is computed by {what}, and only loop nests take other ops in", name(v));
            }
        }
        let between = self.stored_between(a, second);
        let stored = between.map(|v| format!("{} is stored: {}", name(v), self.reason(v))).unwrap_or_default();
        // what step of b it is that would have to join
        let Step::Cluster(later) = &self.c.steps[of_b[0]] else { return stored };
        let joins = obstacle(self.g, &self.c, of_a[0], later.roots[0]);
        let nests =
            format!("the loop nest of {} (step {}) does not take in {}", name(a), of_a[0], name(later.roots[0]));
        let why = match joins {
            Some(obstacle) => self.obstacle(obstacle),
            None => "steps between them have to run first, or nearer loop nests were preferred".to_string(),
        };
        [stored, format!("{nests}: {why}")].into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join("; ")
    }

    fn is_no_loop_nest(&self, step: usize) -> Option<String> {
        match &self.c.steps[step] {
            Step::Cluster(_) => None,
            Step::Library(i) => Some(format!("a library call (`{}`)", self.g.nodes()[*i].op.name())),
            Step::Control(i) => Some(format!("a nested program (`{}`)", self.g.nodes()[*i].op.name())),
        }
    }

    /// The first value in memory on the way from `a` to the node `to`.
    fn stored_between(&self, a: Value, to: usize) -> Option<Value> {
        let nodes = &self.g.nodes()[..=to];
        let has = |set: &[bool], values: &[Value]| values.iter().any(|v| set[v.index()]);
        let mut from_a = vec![false; self.g.num_values()];
        from_a[a.index()] = true;
        for node in nodes {
            if has(&from_a, &node.args) {
                node.results.iter().for_each(|r| from_a[r.index()] = true);
            }
        }
        let mut to_it = vec![false; self.g.num_values()];
        nodes[to].args.iter().for_each(|x| to_it[x.index()] = true);
        for node in nodes.iter().rev() {
            if has(&to_it, &node.results) {
                node.args.iter().for_each(|x| to_it[x.index()] = true);
            }
        }
        let on_the_way = |v: &usize| from_a[*v] && to_it[*v] && self.reasons[*v].is_some();
        (a.index()..self.g.num_values()).find(on_the_way).map(Value::from_index)
    }

    fn reason(&self, v: Value) -> String {
        let node = |i: usize| {
            let node = &self.g.nodes()[i];
            format!("{} (`{}`)", node.results.first().map_or_else(String::new, |&r| (self.name)(r)), node.op.name())
        };
        match self.reasons[v.index()] {
            Some(Reason::Interface) => "it is a result".to_string(),
            Some(Reason::Made) => "what computes it is no loop over elements".to_string(),
            Some(Reason::Read(i)) => format!("{} reads it from memory", node(i)),
            Some(Reason::Shared(cost)) => {
                format!(
                    "several loop nests use it, and computing it in each would cost {cost} simple operations an element"
                )
            }
            Some(Reason::Repeated(i, cost)) => {
                format!("{} repeats it, and computing it for each copy would cost {cost} simple operations", node(i))
            }
            Some(Reason::Exchanged) => {
                "it is a transpose of much, or read often, which is fast only by itself".to_string()
            }
            Some(Reason::Large) => "its expression would make the code of one loop too large".to_string(),
            None => "it is not".to_string(),
        }
    }

    fn obstacle(&self, obstacle: Obstacle) -> String {
        match obstacle {
            Obstacle::Roots => "it stores as many values as one may",
            Obstacle::Size => "together they would be more operations than registers can hold",
            Obstacle::Space => "they loop over different shapes, or reduce other axes",
            Obstacle::Index => "an element would be read that another iteration computes",
            Obstacle::Stages => "a reduction has to end before its result is reduced again",
            Obstacle::Apart => "they read nothing large in common, so that nothing would be gained",
        }
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::super::cluster::storage;
    use super::*;
    use gradloom_ir::parse;

    #[track_caller]
    fn says(text: &str, a: usize, b: usize, words: &[&str]) {
        let g = parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let [a, b] = [a, b].map(Value::from_index);
        let got = why_apart(&g, a, b, &|v| v.to_string()).expect("values of the program");
        assert_eq!(got, why_apart(&g, b, a, &|v| v.to_string()).expect("in either order"));
        words.iter().for_each(|w| assert!(got.contains(w), "`{w}` in: {got}"));
    }

    const SOFTMAX: &str = "graph(%0: f32[64,128]) {
        %1 = exponential(%0) : f32[64,128]
        %2 = reduce(%1) {kind = \"sum\", axes = [1]} : f32[64]
        %3 = broadcast_in_dim(%2) {shape = [64, 128], dims = [0]} : f32[64,128]
        %4 = divide(%1, %3) : f32[64,128]
        %5 = sort(%4) {axis = 1, num_keys = 1} : f32[64,128]
        %6 = negate(%5) : f32[64,128]
        return %4, %6 }";

    #[test]
    fn ops_of_one_loop_nest() {
        says(SOFTMAX, 3, 4, &["%3 and %4 run together"]);
    }

    #[test]
    fn a_value_that_is_stored_says_why() {
        says(SOFTMAX, 2, 4, &["%2 is stored: what computes it is no loop", "does not take in %4", "different shapes"]);
        says(SOFTMAX, 4, 6, &["%6", "read"]);
        says(SOFTMAX, 5, 6, &["%5 is computed by a library call (`sort`)"]);
        says(SOFTMAX, 0, 4, &["%0 is an argument"]);
    }

    /// Two nests of other shapes use the broadcast; only the scalar that is dear to compute has memory.
    #[test]
    fn a_broadcast_of_what_is_stored_is_not() {
        const SHARED: &str = "graph(%0: f32[], %1: f32[512], %2: f32[512]) {
            %3 = exponential(%0) : f32[]
            %4 = broadcast_in_dim(%3) {shape = [512], dims = []} : f32[512]
            %5 = multiply(%1, %4) : f32[512]
            %6 = sort(%5) {axis = 0, num_keys = 1} : f32[512]
            %7 = add(%6, %2) : f32[512]
            %8 = multiply(%7, %4) : f32[512]
            return %8 }";
        says(SHARED, 3, 5, &["%3 is stored"]);
        let g = parse(SHARED).expect("a program");
        let stored = |v: usize| storage(&g)[v] == Some(Value::from_index(v));
        assert!(stored(3) && stored(5) && !stored(4) && !stored(7));
    }

    #[test]
    fn loop_nests_with_nothing_in_common() {
        let text = "graph(%0: f32[64], %1: f32[64]) { %2 = sine(%0) : f32[64] %3 = sine(%1) : f32[64] return %2, %3 }";
        says(text, 2, 3, &["%2 (step 0) does not take in %3", "nothing large in common"]);
    }

    #[test]
    fn values_that_are_not_there_are_an_error() {
        let g = parse("graph(%0: f32[64]) { return %0 }").expect("a program");
        let v = Value::from_index;
        assert!(why_apart(&g, v(0), v(7), &|v| v.to_string()).is_err());
    }
}
