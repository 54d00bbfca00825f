//! The text being read, and errors that point into it.

use gradloom_ir::{Error, Loc, Result};
use std::sync::Arc;

/// A text and the name people know it by.
pub(super) struct Source<'a> {
    pub(super) text: &'a str,
    pub(super) file: Arc<str>,
    /// The byte each line starts at.
    lines: Vec<usize>,
}

/// Longest message, in characters: what stands in the text may be quoted.
const MAX_MESSAGE: usize = 400;

/// The message without line breaks and other control characters, which what it quotes may hold, and cut where it is long.
fn one_line(message: &str) -> String {
    let mut chars = message.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut line: String = chars.by_ref().take(MAX_MESSAGE).collect();
    if chars.next().is_some() {
        line += " ..";
    }
    line
}

/// How deep regions, attributes and calls may nest: far beyond any real program, and well within a thread's stack.
pub(super) const MAX_DEPTH: usize = 64;

impl<'a> Source<'a> {
    pub(super) fn new(text: &'a str, file: &str) -> Source<'a> {
        let starts = text.bytes().enumerate().filter(|(_, c)| *c == b'\n').map(|(i, _)| i + 1);
        Source { text, file: file.into(), lines: std::iter::once(0).chain(starts).collect() }
    }

    /// The line, from 1, of a byte.
    fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|&start| start <= at).max(1)
    }

    /// Line and column, from 1, of a byte.
    fn line_column(&self, at: usize) -> (usize, usize) {
        let line = self.line(at);
        let start = self.lines[line - 1];
        let column = self.text.get(start..at).map_or(at - start, |s| s.chars().count());
        (line, column + 1)
    }

    /// The position for nodes that come from here.
    pub(super) fn loc(&self, at: usize) -> Loc {
        Loc::Parsed(self.file.clone(), u32::try_from(self.line(at)).unwrap_or(u32::MAX))
    }

    fn at(&self, at: usize, message: &str) -> String {
        let (line, column) = self.line_column(at);
        format!("{}:{line}:{column}: {}", self.file, one_line(message))
    }

    /// The text is wrong here.
    pub(super) fn error(&self, at: usize, message: impl AsRef<str>) -> Error {
        Error::user("stablehlo", self.at(at, message.as_ref()))
    }

    /// The text is right but asks for what gradloom does not have.
    pub(super) fn unsupported(&self, at: usize, message: impl AsRef<str>) -> Error {
        Error::limit("stablehlo", self.at(at, message.as_ref()))
    }

    /// An error of the program being built, told as one of the text.
    pub(super) fn wrap(&self, at: usize, op: &str, e: &Error) -> Error {
        let what = if e.op() == "stablehlo" { e.message().to_string() } else { format!("{}: {}", e.op(), e.message()) };
        Error::new(e.kind(), "stablehlo", self.at(at, &format!("{op}: {what}")))
    }

    /// An error if `depth` is too deep.
    pub(super) fn check_depth(&self, depth: usize, at: usize) -> Result<()> {
        if depth < MAX_DEPTH {
            return Ok(());
        }
        Err(self.unsupported(at, format!("regions, attributes and calls nest more than {MAX_DEPTH} deep")))
    }
}
