//! Where in the user's source a node came from.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::panic::Location;
use std::sync::Arc;

/// A source position. Positions never take part in equality or hashing: two programs that differ only in
/// where they were written are the same program.
#[derive(Clone, Default)]
pub enum Loc {
    /// Made by a pass or rule with no user line behind it.
    #[default]
    Unknown,
    /// Captured by `#[track_caller]`.
    Caller(&'static Location<'static>),
    /// Read from the text form.
    Parsed(Arc<str>, u32),
}

impl Loc {
    /// The position of the caller of the function that calls this.
    #[track_caller]
    pub fn caller() -> Loc {
        Loc::Caller(Location::caller())
    }

    /// File and line, when known.
    pub fn file_line(&self) -> Option<(&str, u32)> {
        match self {
            Loc::Unknown => None,
            Loc::Caller(l) => Some((l.file(), l.line())),
            Loc::Parsed(file, line) => Some((file, *line)),
        }
    }

    /// Whether a position is known.
    pub fn is_known(&self) -> bool {
        !matches!(self, Loc::Unknown)
    }
}

impl PartialEq for Loc {
    fn eq(&self, _: &Loc) -> bool {
        true
    }
}

impl Eq for Loc {}

impl Hash for Loc {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl fmt::Display for Loc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.file_line() {
            Some((file, line)) => write!(f, "{file}:{line}"),
            None => f.write_str("unknown"),
        }
    }
}

impl fmt::Debug for Loc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
