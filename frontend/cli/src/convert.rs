//! `gradloom convert`

use crate::program::load;
use clap::Args;
use gradloom_frontend::{io, stablehlo};
use gradloom_ir::{Error, Graph, Result};
use std::path::{Path, PathBuf};

/// Writes a program in the other language: StableHLO text, which XLA compiles, or gradloom's own.
///
/// What the input is written in shows from its content; the output's ending says what is wanted.
#[derive(Args)]
pub struct Convert {
    /// StableHLO text, or a program as gradloom prints it.
    input: PathBuf,
    /// Where to write: `.mlir` or `.stablehlo` for StableHLO, `.txt` or `.gradloom` for gradloom's own text.
    output: PathBuf,
}

/// How a program is written in a file of this ending.
const LANGUAGES: &[(&[&str], fn(&Graph) -> Result<String>)] =
    &[(&["mlir", "stablehlo"], stablehlo::export), (&["txt", "gradloom"], |g| Ok(format!("{g}\n")))];

impl Convert {
    /// Always true, or an error.
    pub fn execute(&self) -> Result<bool> {
        let write = language(&self.output)?;
        let text = write(&load(&self.input)?)?;
        io::write_atomically(&self.output, text.as_bytes())?;
        Ok(true)
    }
}

fn language(path: &Path) -> Result<fn(&Graph) -> Result<String>> {
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    let known = LANGUAGES.iter().find(|(endings, _)| endings.contains(&&*ending));
    known.map(|(_, write)| *write).ok_or_else(|| {
        Error::user("convert", format!("the ending of {} names no language", path.display()))
            .help("`.mlir` and `.stablehlo` are StableHLO, `.txt` and `.gradloom` gradloom's own text")
    })
}
