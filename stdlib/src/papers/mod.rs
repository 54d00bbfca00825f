//! The published systems: what each must hold, its experiment, and what was measured.
//!
//! A system is a [`Paper`]: constants beside its model. [`ALL`] lists them; the `papers` command and the tests read that
//! table and know no system by name.

pub mod command;
mod figure;
mod results;
mod run;

pub use figure::{Bound, Figure};
pub use results::{Results, table};
pub use run::Run;

use crate::train::plot::Plot;
use gradloom_frontend::{Error, Result};

/// One published system.
#[derive(Debug)]
pub struct Paper {
    /// Its number in the catalog, `P025`.
    pub id: &'static str,
    /// What it is called.
    pub name: &'static str,
    /// The title of the paper.
    pub title: &'static str,
    /// The module of this crate that it lives in.
    pub family: &'static str,
    /// What must hold.
    pub checks: &'static [Check],
    /// What is reproduced.
    pub experiment: Experiment,
    /// Where a published or expected figure proved wrong: what was measured, and why.
    pub remarks: &'static [&'static str],
}

/// One property that must hold.
#[derive(Debug)]
pub struct Check {
    /// The property, as a sentence.
    pub claim: &'static str,
    /// Measures it.
    pub run: fn() -> Result<Vec<Figure>>,
}

/// What a paper found, at a size for two cores and two minutes.
#[derive(Debug)]
pub struct Experiment {
    /// Data, sizes, baseline.
    pub what: &'static str,
    /// Trains and measures.
    pub run: fn(&Run) -> Result<Report>,
}

/// What an experiment measured.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its figures, in the order in which they are shown.
    pub figures: Vec<Figure>,
    /// Its pictures by name.
    pub plots: Vec<(String, Plot)>,
}

impl Report {
    /// Figures without pictures.
    pub fn new(figures: Vec<Figure>) -> Report {
        Report { figures, plots: Vec::new() }
    }

    /// With a picture; its file is `ID-name.svg`.
    pub fn plot(mut self, name: &str, plot: Plot) -> Report {
        self.plots.push((name.to_string(), plot));
        self
    }
}

impl Paper {
    /// Every check with its figures, or the error that stopped it.
    pub fn check(&self) -> impl Iterator<Item = (&'static str, Result<Vec<Figure>>)> {
        self.checks.iter().map(|c| (c.claim, (c.run)()))
    }
}

/// Every system, in the order of their numbers.
pub const ALL: &[&Paper] = &[
    &crate::manifolds::hybonet::PAPER,
    &crate::sequence::spacetime::PAPER,
    &crate::equivariance::egnn::PAPER,
    &crate::graphs::pointnet2::PAPER,
    &crate::operators::neural_operator::PAPER,
    &crate::architectures::mps::PAPER,
    &crate::architectures::kan::PAPER,
    &crate::architectures::ngpt::PAPER,
    &crate::physics::pinnsformer::PAPER,
    &crate::physics::neural_de::PAPER,
    &crate::operators::deeponet::PAPER,
    &crate::architectures::hyper_connections::SHC,
    &crate::architectures::hyper_connections::KROM,
    &crate::architectures::hyper_connections::LITE,
    &crate::architectures::hyper_connections::JPMHC,
    &crate::analysis::ntk::PAPER,
];

/// The systems that `names` (numbers, names without regard to case, or `all`) stand for.
///
/// # Errors
/// A name that is none of a system.
pub fn find(names: &[String]) -> Result<Vec<&'static Paper>> {
    let mut found = Vec::new();
    for name in names {
        let matches = |p: &&&Paper| {
            name.eq_ignore_ascii_case("all") || p.id.eq_ignore_ascii_case(name) || p.name.eq_ignore_ascii_case(name)
        };
        let papers: Vec<&Paper> = ALL.iter().filter(matches).copied().collect();
        if papers.is_empty() {
            return Err(Error::user("papers", format!("there is no system `{name}`")).help("`papers list` shows all"));
        }
        found.extend(papers);
    }
    Ok(found)
}
