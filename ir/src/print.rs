//! The text form, written. `parse(print(g)) == g` for every graph.
//!
//! ```text
//! graph(%0: f32[3] "x") {
//!   %1 = sine(%0) : f32[3] loc("src/main.rs":12)
//!   return %1
//! }
//! ```

use crate::attr::Attr;
use crate::{Graph, Literal, Value};
use std::fmt::{self, Write};

/// Writes text with the current indentation after every line break.
struct Indented<'a, 'b> {
    f: &'a mut fmt::Formatter<'b>,
    depth: usize,
}

impl Indented<'_, '_> {
    fn line(&mut self) -> fmt::Result {
        self.f.write_char('\n')?;
        (0..self.depth).try_for_each(|_| self.f.write_str("  "))
    }

    fn list<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T) -> fmt::Result) -> fmt::Result {
        for (i, x) in items.iter().enumerate() {
            if i > 0 {
                self.f.write_str(", ")?;
            }
            each(self, x)?;
        }
        Ok(())
    }

    fn values(&mut self, vs: &[Value]) -> fmt::Result {
        self.list(vs, |p, v| write!(p.f, "{v}"))
    }

    fn graph(&mut self, g: &Graph) -> fmt::Result {
        self.f.write_str("graph(")?;
        let inputs: Vec<Value> = g.inputs().collect();
        self.list(&inputs, |p, &v| {
            write!(p.f, "{v}: {}", g.ty(v))?;
            match &*g.input_names()[v.index()] {
                "" => Ok(()),
                name => write!(p.f, " {name:?}"),
            }
        })?;
        self.f.write_str(") {")?;
        self.depth += 1;
        for node in g.nodes() {
            self.line()?;
            self.values(&node.results)?;
            write!(self.f, " = {}(", node.op.name())?;
            self.values(&node.args)?;
            self.f.write_char(')')?;
            let attrs = node.op.attrs();
            if !attrs.is_empty() {
                self.f.write_str(" {")?;
                self.list(&attrs, |p, (name, a)| {
                    write!(p.f, "{name} = ")?;
                    p.attr(a)
                })?;
                self.f.write_char('}')?;
            }
            if !node.results.is_empty() {
                self.f.write_str(" : ")?;
                self.list(&node.results, |p, &r| write!(p.f, "{}", g.ty(r)))?;
            }
            if let Some((file, line)) = node.loc.file_line() {
                write!(self.f, " loc({file:?}:{line})")?;
            }
        }
        self.line()?;
        self.f.write_str("return")?;
        if g.num_outputs() > 0 {
            self.f.write_char(' ')?;
        }
        self.values(g.outputs())?;
        self.depth -= 1;
        self.line()?;
        self.f.write_char('}')
    }

    fn attr(&mut self, a: &Attr) -> fmt::Result {
        match a {
            Attr::Int(i) => write!(self.f, "{i}"),
            Attr::Ints(v) => write!(self.f, "{v:?}"),
            Attr::Pairs(v) => write!(self.f, "{v:?}"),
            Attr::Bool(b) => write!(self.f, "{b}"),
            Attr::DType(d) => write!(self.f, "{d}"),
            Attr::Str(s) => write!(self.f, "{s:?}"),
            Attr::Literal(l) => self.literal(l),
            Attr::Callback(c) => write!(self.f, "{c}"),
            Attr::Types(ts) => write!(self.f, "{ts:?}"),
            Attr::Graph(g) => self.graph(g),
            Attr::Graphs(gs) => {
                self.f.write_char('[')?;
                self.list(gs, |p, g| p.graph(g))?;
                self.f.write_char(']')
            }
        }
    }

    /// `dense<[1.0, 2.0] : f32[2]>`; one value for an array all of whose elements are it.
    fn literal(&mut self, l: &Literal) -> fmt::Result {
        match l.splat_value() {
            Some(s) if l.ty().numel() > 1 => write!(self.f, "dense<{s} : {}>", l.ty()),
            _ => write!(self.f, "dense<{l} : {}>", l.ty()),
        }
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Indented { f, depth: 0 }.graph(self)
    }
}
