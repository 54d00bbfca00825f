//! Attributes and types.

use super::lex::Tok;
use super::parse::Parser;
use super::syntax::{Attr, Type};
use super::types;
use gradloom_ir::Result;

/// Dialects whose attributes say something about values.
const KNOWN: &[&str] = &["stablehlo", "chlo", "mhlo"];

impl<'a> Parser<'_, 'a> {
    pub(super) fn ty(&mut self) -> Result<Type<'a>> {
        self.nested(|p| {
            let at = p.at();
            match p.peek() {
                Tok::Shaped("tensor", inside) => {
                    p.next();
                    types::tensor(p.source, inside, at)
                }
                Tok::Shaped(word, _) | Tok::Word(word) => {
                    p.next();
                    Ok(Type::Other(word))
                }
                Tok::Bang(name) => {
                    p.next();
                    if p.is('<') {
                        p.skip_balanced()?;
                    }
                    Ok(Type::Other(name))
                }
                Tok::Punct('(') => {
                    let params = p.list('(', ')', Self::ty)?;
                    if p.next() != Tok::Arrow {
                        return Err(p.source.error(at, "a function type has no `->`"));
                    }
                    let results = if p.is('(') { p.list('(', ')', Self::ty)? } else { vec![p.ty()?] };
                    Ok(Type::Function(params, results))
                }
                _ => Err(p.unexpected("a type")),
            }
        })
    }

    /// `{a = 1, b}`
    pub(super) fn dictionary(&mut self) -> Result<Vec<(&'a str, Attr<'a>)>> {
        self.nested(|p| p.list('{', '}', Self::entry))
    }

    fn entry(&mut self) -> Result<(&'a str, Attr<'a>)> {
        let (Tok::Word(name) | Tok::Str(name)) = self.peek() else {
            return Err(self.unexpected("an attribute's name"));
        };
        self.next();
        Ok((name, if self.eat('=') { self.attr(true)? } else { Attr::Unit }))
    }

    /// An attribute; with its type if `typed` (in a pretty form the colon after it belongs to the op).
    pub(super) fn attr(&mut self, typed: bool) -> Result<Attr<'a>> {
        self.nested(|p| {
            let first = p.one_attr(typed)?;
            if p.peek() != Tok::Word("x") {
                return Ok(first);
            }
            // `[1] x [0]`, `[b, f]x[o, i]->[b, f]`
            let mut parts = vec![first];
            while p.peek() == Tok::Word("x") || p.peek() == Tok::Arrow {
                p.next();
                parts.push(p.one_attr(false)?);
            }
            Ok(Attr::Cross(parts))
        })
    }

    fn one_attr(&mut self, typed: bool) -> Result<Attr<'a>> {
        let at = self.at();
        let attr = match self.peek() {
            Tok::Number(text) => {
                self.next();
                if self.is(':') && matches!(self.peek_at(1), Tok::Number(_)) {
                    let mut parts = vec![text];
                    while let (true, Tok::Number(n)) = (self.is(':'), self.peek_at(1)) {
                        self.next();
                        self.next();
                        parts.push(n);
                    }
                    return Ok(Attr::Range(parts));
                }
                Attr::Number(text)
            }
            Tok::Str(text) => {
                self.next();
                Attr::Str(text)
            }
            Tok::Dense(inside) => {
                self.next();
                let ty = if typed && self.eat(':') { Some(self.ty()?) } else { None };
                return Ok(Attr::Dense(inside, at, ty));
            }
            Tok::Punct('[') => Attr::List(self.list('[', ']', |p| p.attr(true))?),
            Tok::Punct('{') => Attr::Dict(self.dictionary()?),
            Tok::Punct('<') => {
                self.skip_balanced()?;
                Attr::Opaque
            }
            Tok::Punct('(') | Tok::Shaped(..) | Tok::Bang(_) => return Ok(Attr::Type(self.ty()?)),
            Tok::Symbol(name) => {
                self.next();
                while self.is(':') && self.peek_at(1) == Tok::Punct(':') {
                    self.next();
                    self.next();
                    self.next(); // `@a::@b`
                }
                Attr::Symbol(name)
            }
            Tok::Hash(name) => {
                self.next();
                self.hash_attr(name)?
            }
            Tok::Word("array") => {
                self.next();
                self.array_attr()?
            }
            Tok::Word("dense_resource") => {
                return Err(self
                    .source
                    .unsupported(at, "constants kept outside the text (dense_resource) are not supported"));
            }
            Tok::Word("loc") if self.peek_at(1) == Tok::Punct('(') => {
                self.skip_loc()?;
                Attr::Opaque
            }
            Tok::Word(word) => {
                self.next();
                Attr::Word(word)
            }
            _ => return Err(self.unexpected("an attribute")),
        };
        if typed && self.is(':') && !matches!(self.peek_at(1), Tok::Punct(':')) {
            self.next();
            self.ty()?;
        }
        Ok(attr)
    }

    /// `array<i64: 1, 2>`, after the word.
    fn array_attr(&mut self) -> Result<Attr<'a>> {
        self.expect('<')?;
        self.ty()?;
        let mut items = Vec::new();
        if self.eat(':') && !self.is('>') {
            items.push(self.attr(false)?);
            while self.eat(',') {
                items.push(self.attr(false)?);
            }
        }
        self.expect('>')?;
        Ok(Attr::List(items))
    }

    /// What follows `#dialect.name`.
    fn hash_attr(&mut self, name: &'a str) -> Result<Attr<'a>> {
        if !self.is('<') {
            return Ok(Attr::Opaque);
        }
        let dialect = name.split('.').next().unwrap_or(name);
        if !KNOWN.contains(&dialect) {
            self.skip_balanced()?;
            return Ok(Attr::Opaque);
        }
        self.next();
        let (mut named, mut others) = (Vec::new(), Vec::new());
        while !self.eat('>') {
            match self.peek() {
                Tok::Punct(',') => {
                    self.next();
                }
                Tok::Word(key) if self.peek_at(1) == Tok::Punct('=') => {
                    self.next();
                    self.next();
                    named.push((key, self.attr(true)?));
                }
                _ => others.push(self.attr(true)?),
            }
        }
        Ok(Attr::Named(named, others))
    }
}
