//! The one error type: what was expected, what came, where in the user's code, and what to do.

use crate::{DType, Loc, Type};
use std::fmt;

/// `std::result::Result` with gradloom's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who has to act on an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorKind {
    /// The program asked for something that has no meaning; the message says how to change it.
    User,
    /// A documented limit of gradloom; the message says the way around.
    Limit,
    /// A bug in gradloom (or in a user's pass or rule): please report it with the program's text.
    Internal,
    /// The operating system refused a file or a resource.
    Io,
}

/// An error of any stage, from tracing to running.
#[derive(Clone, PartialEq)]
pub struct Error(Box<Inner>);

#[derive(Clone, PartialEq)]
struct Inner {
    kind: ErrorKind,
    op: String,
    message: String,
    help: String,
    loc: Loc,
}

impl Error {
    /// An error of `kind` raised by the operation named `op`.
    pub fn new(kind: ErrorKind, op: impl Into<String>, message: impl Into<String>) -> Error {
        Error(Box::new(Inner { kind, op: op.into(), message: message.into(), help: String::new(), loc: Loc::Unknown }))
    }

    /// The user's program is wrong.
    pub fn user(op: impl Into<String>, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::User, op, message)
    }

    /// The program is right but beyond what gradloom does.
    pub fn limit(op: impl Into<String>, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Limit, op, message)
    }

    /// An invariant of the compiler does not hold.
    pub fn internal(op: impl Into<String>, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Internal, op, message)
            .help("this is a bug in gradloom or in a custom pass; report it with the program's text")
    }

    /// A file or resource could not be used.
    pub fn io(what: impl Into<String>, error: &dyn fmt::Display) -> Error {
        Error::new(ErrorKind::Io, what, error.to_string())
    }

    /// Operands whose shapes cannot be combined.
    pub fn shape_mismatch(op: &str, lhs: &Type, rhs: &Type, why: &str) -> Error {
        Error::user(op, format!("shapes of {lhs} and {rhs} do not fit: {why}"))
    }

    /// Operands of different dtypes.
    pub fn dtype_mismatch(op: &str, lhs: DType, rhs: DType) -> Error {
        Error::user(op, format!("operands have different dtypes, {lhs} and {rhs}"))
            .help(format!("there is no silent promotion: convert one side, e.g. `.to({rhs:?})`"))
    }

    /// A dtype the operation has no meaning for.
    pub fn bad_dtype(op: &str, got: DType, expected: &str) -> Error {
        Error::user(op, format!("dtype {got} is not allowed, expected {expected}"))
            .help("convert the operand with `.to(dtype)` first")
    }

    /// An axis outside the operand's rank.
    pub fn bad_axis(op: &str, axis: i64, ty: &Type) -> Error {
        let r = ty.rank() as i64;
        Error::user(op, format!("axis {axis} is out of range for {ty} of rank {r}")).help(if r == 0 {
            "the operand is a scalar and has no axes".to_string()
        } else {
            format!("valid axes are {}..={}", -r, r - 1)
        })
    }

    /// A collective over an axis that no enclosing `vmap` names.
    pub fn unmapped_axis(op: &str, axis_name: &str) -> Error {
        Error::user(op, format!("no mapped axis is named \"{axis_name}\" here"))
            .help("wrap the function in vmap with this axis name")
    }

    /// A forward-mode derivative of a function that has a reverse-mode rule only.
    pub fn reverse_mode_only() -> Error {
        Error::user("custom_vjp", "a function with custom_vjp cannot be differentiated in forward mode")
            .help("use reverse mode (`grad`, `vjp`), or give the function a custom_jvp rule instead")
    }

    /// Adds what the user can do about it.
    pub fn help(mut self, help: impl Into<String>) -> Error {
        self.0.help = help.into();
        self
    }

    /// Sets the source position unless one is already known.
    pub fn at(mut self, loc: &Loc) -> Error {
        if !self.0.loc.is_known() {
            self.0.loc = loc.clone();
        }
        self
    }

    /// Sets the source position, also where one is known.
    pub fn moved(mut self, loc: &Loc) -> Error {
        self.0.loc = loc.clone();
        self
    }

    /// Prepends what was being done, e.g. `while tracing the body of scan`.
    pub fn context(mut self, what: &str) -> Error {
        self.0.message = format!("{} ({what})", self.0.message);
        self
    }

    /// Who has to act.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The operation that raised the error.
    pub fn op(&self) -> &str {
        &self.0.op
    }

    /// What went wrong, without position and help.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where in the user's code.
    pub fn loc(&self) -> &Loc {
        &self.0.loc
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.kind == ErrorKind::Internal {
            f.write_str("internal error: ")?;
        }
        write!(f, "{}: {}", self.0.op, self.0.message)?;
        if self.0.loc.is_known() {
            write!(f, "\n  at {}", self.0.loc)?;
        }
        if !self.0.help.is_empty() {
            write!(f, "\n  help: {}", self.0.help)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}
