//! The command `papers`: lists, checks and reproduces the published systems.

use crate::papers::{self, Figure, Paper, Results, Run};
use clap::{Parser, Subcommand};
use gradloom_frontend::io::write_atomically;
use gradloom_frontend::{Device, Result};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Lists, checks and reproduces the published systems of gradloom.
#[derive(Parser)]
#[command(name = "papers", version, arg_required_else_help = true)]
struct Cli {
    /// Where to run: `cpu`, or a GPU, `cuda:0`.
    #[arg(long, global = true, default_value_t = Device::Cpu)]
    device: Device,
    #[command(subcommand)]
    command: Command,
}

/// Systems, and where their results are kept.
#[derive(clap::Args)]
struct Kept {
    /// Numbers (P025) or names (EGNN), or `all`.
    #[arg(required = true)]
    papers: Vec<String>,
    /// The folder of results and pictures.
    #[arg(long, default_value = "stdlib/results")]
    results: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// All systems, one a line.
    List,
    /// What a system must hold and what its experiment is.
    Show {
        /// Numbers (P025) or names (EGNN), or `all`.
        #[arg(required = true)]
        papers: Vec<String>,
    },
    /// Measures what must hold. Fails if anything does not.
    Check {
        /// Numbers (P025) or names (EGNN), or `all`.
        #[arg(required = true)]
        papers: Vec<String>,
    },
    /// Runs the experiment, prints its figures beside their bounds, and keeps them with the pictures.
    Reproduce(Kept),
    /// Writes the table of all kept results.
    Table {
        /// The folder of results and pictures.
        #[arg(long, default_value = "stdlib/results")]
        results: PathBuf,
        /// The file to write.
        #[arg(long, default_value = "stdlib/RESULTS.md")]
        out: PathBuf,
    },
}

/// The command, on these arguments: the first is what the program is called.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = Cli::parse_from(args);
    gradloom_frontend::set_default_device(cli.device);
    let done = match cli.command {
        Command::List => list(),
        Command::Show { papers } => show(&papers),
        Command::Check { papers } => check(&papers),
        Command::Reproduce(kept) => reproduce(&kept),
        Command::Table { results, out } => table(&results, &out),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

fn heading(paper: &Paper) {
    println!("{}  {}: {}", paper.id, paper.name, paper.title);
}

fn list() -> Result<bool> {
    papers::ALL.iter().for_each(|p| println!("{}  {:<14}  {:<36}  {}", p.id, p.family, p.name, p.title));
    Ok(true)
}

fn show(names: &[String]) -> Result<bool> {
    for paper in papers::find(names)? {
        heading(paper);
        println!("  in gradloom_stdlib::{}\n  must hold:", paper.family);
        paper.checks.iter().for_each(|c| println!("    {}", c.claim));
        println!("  reproduces: {}", paper.experiment.what);
        paper.remarks.iter().for_each(|r| println!("  {r}"));
        println!();
    }
    Ok(true)
}

/// Prints figures; whether all hold.
fn print(figures: &[Figure]) -> bool {
    figures.iter().for_each(|f| println!("    {f}"));
    figures.iter().all(Figure::holds)
}

fn check(names: &[String]) -> Result<bool> {
    let start = Instant::now();
    let (mut done, mut failed) = (0, 0);
    for paper in papers::find(names)? {
        heading(paper);
        for (claim, figures) in paper.check() {
            println!("  {claim}");
            let held = match &figures {
                Ok(figures) => print(figures),
                Err(e) => {
                    println!("    error: {e}");
                    false
                }
            };
            done += 1;
            failed += usize::from(!held);
        }
    }
    println!("{done} properties, {failed} do not hold, {:.1} s", start.elapsed().as_secs_f64());
    Ok(failed == 0)
}

fn reproduce(kept: &Kept) -> Result<bool> {
    let results = Results::at(&kept.results);
    let mut all = true;
    for paper in papers::find(&kept.papers)? {
        heading(paper);
        println!("  {}", paper.experiment.what);
        let start = Instant::now();
        let report = (paper.experiment.run)(&Run::full())?;
        let seconds = start.elapsed().as_secs_f64();
        all &= print(&report.figures);
        paper.remarks.iter().for_each(|r| println!("    {r}"));
        let files = results.save(paper, &report, seconds)?;
        let files = files.iter().map(|f| f.display().to_string()).collect::<Vec<_>>();
        println!("    {seconds:.0} s; wrote {}", files.join(", "));
    }
    Ok(all)
}

fn table(results: &Path, out: &Path) -> Result<bool> {
    let folder = out.parent().unwrap_or(Path::new(""));
    let pictures = results.strip_prefix(folder).unwrap_or(results).display().to_string();
    let text = papers::table(&Results::at(results), &pictures)?;
    write_atomically(out, text.as_bytes())?;
    println!("wrote {}", out.display());
    Ok(true)
}
