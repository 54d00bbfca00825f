//! The list of what passes. It may only grow.

use crate::program::read;
use gradloom_frontend::io;
use gradloom_ir::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const HEADER: &str = "# What passes of JAX's own harness: a case and its transforms a line. Written by `gradloom harness DIR --passed FILE`.
# This list may only grow: a change that takes a line, or a word of one, away is refused.
";

/// Cases with the transforms that pass.
#[derive(Default)]
pub struct Passed(BTreeMap<String, BTreeSet<String>>);

impl Passed {
    /// The list in a file; empty if there is none yet.
    pub fn read(path: &Path) -> Result<Passed> {
        let text = if path.exists() { read(path)? } else { String::new() };
        let mut list = Passed::default();
        for line in text.lines().filter(|l| !l.starts_with('#')) {
            if let Some((name, transforms)) = line.split_once(' ') {
                transforms.split(' ').for_each(|t| list.add(name, t));
            }
        }
        Ok(list)
    }

    /// Writes the list, sorted.
    pub fn write(&self, path: &Path) -> Result<()> {
        let line = |(name, transforms): (&String, &BTreeSet<String>)| {
            let transforms: Vec<&str> = transforms.iter().map(String::as_str).collect();
            format!("{name} {}\n", transforms.join(" "))
        };
        let text: String = std::iter::once(HEADER.to_string()).chain(self.0.iter().map(line)).collect();
        io::write_atomically(path, text.as_bytes())
    }

    /// Adds what passed.
    pub fn add(&mut self, name: &str, transform: &str) {
        self.0.entry(name.to_string()).or_default().insert(transform.to_string());
    }

    /// Whether it is on the list.
    pub fn has(&self, name: &str, transform: &str) -> bool {
        self.0.get(name).is_some_and(|t| t.contains(transform))
    }
}
