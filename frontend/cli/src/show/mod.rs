//! `gradloom show`

mod family;
mod history;
mod kernels;
mod layout;
mod memory;
mod names;
mod page;
mod wrap;

use crate::program::{load, read};
use clap::Args;
use gradloom_frontend::io::write_atomically;
use gradloom_frontend::stablehlo::import_test;
use gradloom_ir::{Graph, Names, Result};
use gradloom_passes::{Pipeline, offer};
use history::History;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Constants of more elements are written in short.
const ELEMENTS: usize = 16;

/// Shows a program, what the passes make of it, and what it is compiled to.
///
/// Without options it prints the program as read, in gradloom's own text.
#[derive(Args)]
pub struct Show {
    /// StableHLO text, or a program as gradloom prints it.
    file: PathBuf,
    /// Print the program, then what each pass changes, as a diff in which values keep their names.
    #[arg(long)]
    passes: bool,
    /// Run these optional passes too, in this order; `gradloom passes` lists them.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    with: Vec<String>,
    /// Print what is compiled, step by step: which ops run together, their loops, their code, operations and bytes.
    #[arg(long)]
    kernels: bool,
    /// Say why two values, named as `--passes` and `--kernels` name them, are computed together or are not.
    #[arg(long, num_args = 2, value_names = ["A", "B"])]
    explain: Vec<String>,
    /// Print constants of any size in full, so that the text can be read back.
    #[arg(long)]
    full: bool,
    /// Write the program as a Graphviz file, the bodies of loops and branches as clusters.
    #[arg(long, value_name = "FILE")]
    dot: Option<PathBuf>,
    /// Write one page for a browser: the graph to zoom, fold and search, before and after each pass, with costs and kernels.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write a plot of the intermediate memory in use at each step.
    #[arg(long, value_name = "FILE")]
    memory: Option<PathBuf>,
}

impl Show {
    /// Always true, or an error.
    pub fn execute(&self) -> Result<bool> {
        let g = program(&self.file)?;
        let elements = if self.full { usize::MAX } else { ELEMENTS };
        let text =
            |g: &Graph, names: &Names| wrap::wrap(&g.text().names(names).elements(elements).to_string(), wrap::WIDTH);
        if let Some(path) = &self.dot {
            write(path, g.to_dot().as_bytes())?;
        }
        let compiled = self.kernels || self.html.is_some() || self.memory.is_some() || !self.explain.is_empty();
        let passes = self.passes || (!self.with.is_empty() && !compiled);
        if !(passes || compiled) {
            if self.dot.is_none() {
                print(&text(&g, &names::numbered(&g)));
            }
            return Ok(true);
        }
        let add = |p: Pipeline, name: &String| Ok(p.with(offer(name)?.pass()));
        let pipeline = self.with.iter().try_fold(Pipeline::standard(), add)?;
        let history = History::of(&g, &pipeline)?;
        if passes {
            print(&history.diffs(&text));
        }
        if let Some(path) = &self.html {
            let source = read(&self.file)?;
            write(path, page::page(&self.file.display().to_string(), &source, &history).as_bytes())?;
            if let Err(e) = &history.compiled {
                eprintln!("the page shows no kernels: {e}");
            }
        }
        if self.kernels || self.memory.is_some() || !self.explain.is_empty() {
            let compiled = history.compiled.as_ref().map_err(Clone::clone)?;
            if self.kernels {
                print(&wrap::wrap(&kernels::text(compiled, history.names()), wrap::WIDTH));
            }
            if let [a, b] = &self.explain[..] {
                print(&format!("{}\n", kernels::why_apart(compiled, history.names(), a, b)?));
            }
            if let Some(path) = &self.memory {
                write(path, memory::plot(compiled)?.as_bytes())?;
            }
        }
        Ok(true)
    }
}

/// The program of a file; of one that checks itself the program without its checks.
fn program(path: &Path) -> Result<Graph> {
    let text = read(path)?;
    if text.contains("custom_call @check.") {
        return Ok(import_test(&text, &path.display().to_string())?.graph);
    }
    load(path)
}

/// Writes a whole file or none.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomically(path, bytes)
}

/// To the terminal, as long as anybody reads it.
fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}
