//! What the passes make of a program, one after the other.

use super::names;
use gradloom_backends::cpu::{Explained, explain};
use gradloom_ir::{Error, Graph, Names, Result};
use gradloom_passes::{Changed, Event, PassContext, PassRecord, Pipeline};
use similar::TextDiff;
use std::fmt::Write;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// A diff of very different texts need not be the shortest: it may take this long.
const DIFF_TIME: Duration = Duration::from_secs(2);

/// A program between two passes.
pub struct Stage {
    /// The pass that left it so; nothing for the program as read.
    pub record: Option<PassRecord>,
    /// The program, if the pass changed it.
    pub graph: Option<Graph>,
    /// The names of its values.
    pub names: Names,
}

/// The program as read, then after each pass of a pipeline and each that the processor adds.
pub struct History {
    /// In order; the first is the program as read.
    pub stages: Vec<Stage>,
    /// What it is compiled to, or why it is not.
    pub compiled: Result<Explained, Error>,
}

/// A context that hands out what each pass leaves.
fn observed() -> (PassContext, Receiver<(PassRecord, Option<Graph>)>) {
    let (tell, told) = channel();
    let cx = PassContext::from_env().observed_by(move |event| {
        if let Event::After { record, graph } = event {
            let changed = record.changed == Changed::Yes;
            // nobody listens any more only if nobody wants to know
            let _ = tell.send((record.clone(), changed.then(|| graph.clone())));
        }
        Ok(())
    });
    (cx, told)
}

impl History {
    /// Runs a pipeline on a program, and compiles it.
    ///
    /// # Errors
    /// If a pass fails. That the program has no compiled form is no error here.
    pub fn of(g: &Graph, pipeline: &Pipeline) -> Result<History> {
        let (mut cx, told) = observed();
        let mut optimised = g.clone();
        pipeline.run_with(&mut optimised, &mut cx)?;
        let compiled = explain(&optimised, &mut cx);
        drop(cx);
        let first = names::numbered(g);
        let mut next = names::next_number(&first);
        let mut stages = vec![Stage { record: None, graph: Some(g.clone()), names: first }];
        for (record, graph) in told {
            let (before, known) = last(&stages);
            let names = match &graph {
                Some(new) => names::carried(before, known, new, &mut next),
                None => known.clone(),
            };
            stages.push(Stage { record: Some(record), graph, names });
        }
        Ok(History { stages, compiled })
    }

    /// The names of values in what is compiled.
    pub fn names(&self) -> &Names {
        last(&self.stages).1
    }

    /// The program as read, and what each pass changed.
    pub fn diffs(&self, text: &dyn Fn(&Graph, &Names) -> String) -> String {
        let mut out = String::new();
        let mut before = String::new();
        for stage in &self.stages {
            let new = stage.graph.as_ref().map(|g| text(g, &stage.names));
            let _ = match (&stage.record, &new) {
                (None, new) => write!(out, "{}", new.as_deref().unwrap_or_default()),
                (Some(r), None) => writeln!(out, "{r}, no change"),
                (Some(r), Some(new)) if *new == before => writeln!(out, "{r}, no change that shows"),
                (Some(r), Some(new)) => {
                    let diff = TextDiff::configure().timeout(DIFF_TIME).diff_lines(before.as_str(), new);
                    write!(out, "{r}\n{}", diff.unified_diff().context_radius(2))
                }
            };
            before = new.unwrap_or(before);
        }
        if let Err(e) = &self.compiled {
            let _ = writeln!(out, "not compiled: {e}");
        }
        out
    }
}

/// The latest program and its names.
fn last(stages: &[Stage]) -> (&Graph, &Names) {
    let changed = stages.iter().rev().find_map(|s| s.graph.as_ref().map(|g| (g, &s.names)));
    changed.expect("the program as read is there")
}
