//! Tokens to the tree of [`super::syntax`]: functions, regions, ops. Attributes and types are read in [`super::attrs`].

use super::lex::{Tok, Token, lex};
use super::source::Source;
use super::syntax::{Attr, Function, Module, Operand, Operation, Region, Signature, Type};
use gradloom_ir::{Error, Result};

pub(super) struct Parser<'s, 'a> {
    pub(super) source: &'s Source<'a>,
    tokens: Vec<Token<'a>>,
    pos: usize,
    depth: usize,
}

/// Reads a file.
pub(super) fn parse<'a>(source: &Source<'a>) -> Result<Module<'a>> {
    let mut p = Parser { source, tokens: lex(source)?, pos: 0, depth: 0 };
    let mut module = Module::default();
    p.items(&mut module)?;
    match p.peek() {
        Tok::End => Ok(module),
        _ => Err(p.unexpected("the end of the file")),
    }
}

impl<'a> Parser<'_, 'a> {
    pub(super) fn peek(&self) -> Tok<'a> {
        self.tokens[self.pos].tok
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Tok<'a> {
        self.tokens.get(self.pos + ahead).map_or(Tok::End, |t| t.tok)
    }

    /// The byte the next token starts at.
    pub(super) fn at(&self) -> usize {
        self.tokens[self.pos].at
    }

    pub(super) fn next(&mut self) -> Tok<'a> {
        let tok = self.peek();
        if tok != Tok::End {
            self.pos += 1;
        }
        tok
    }

    pub(super) fn is(&self, c: char) -> bool {
        self.peek() == Tok::Punct(c)
    }

    pub(super) fn eat(&mut self, c: char) -> bool {
        let yes = self.is(c);
        if yes {
            self.pos += 1;
        }
        yes
    }

    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let yes = self.peek() == Tok::Word(word);
        if yes {
            self.pos += 1;
        }
        yes
    }

    pub(super) fn expect(&mut self, c: char) -> Result<()> {
        if self.eat(c) { Ok(()) } else { Err(self.unexpected(&format!("`{c}`"))) }
    }

    pub(super) fn unexpected(&self, wanted: &str) -> Error {
        let got = match self.peek() {
            Tok::End => "the end of the text".to_string(),
            Tok::Word(s) | Tok::Number(s) => format!("`{s}`"),
            Tok::Value(s, _) => format!("`%{s}`"),
            Tok::Symbol(s) => format!("`@{s}`"),
            Tok::Block(s) => format!("`^{s}`"),
            Tok::Hash(s) => format!("`#{s}`"),
            Tok::Bang(s) => format!("`!{s}`"),
            Tok::Shaped(s, _) => format!("`{s}<`"),
            Tok::Dense(_) => "`dense<`".to_string(),
            Tok::Str(_) => "a string".to_string(),
            Tok::Arrow => "`->`".to_string(),
            Tok::Punct(c) => format!("`{c}`"),
        };
        self.source.error(self.at(), format!("expected {wanted}, found {got}"))
    }

    /// Runs `f` one level deeper.
    pub(super) fn nested<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.source.check_depth(self.depth, self.at())?;
        self.depth += 1;
        let result = f(self);
        self.depth -= 1;
        result
    }

    /// `open item, item close`
    pub(super) fn list<T>(
        &mut self,
        open: char,
        close: char,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.expect(open)?;
        let mut items = Vec::new();
        if self.eat(close) {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if self.eat(close) {
                return Ok(items);
            }
            self.expect(',')?;
        }
    }

    /// `loc(..)` if it stands here.
    pub(super) fn skip_loc(&mut self) -> Result<()> {
        if self.peek() == Tok::Word("loc") && self.peek_at(1) == Tok::Punct('(') {
            self.pos += 1;
            self.skip_balanced()?;
        }
        Ok(())
    }

    /// From an opening bracket of any kind to behind the one that closes it.
    pub(super) fn skip_balanced(&mut self) -> Result<()> {
        let open = self.at();
        let mut closers = Vec::new();
        loop {
            match self.next() {
                Tok::Punct('(') => closers.push(')'),
                Tok::Punct('[') => closers.push(']'),
                Tok::Punct('{') => closers.push('}'),
                Tok::Punct('<') => closers.push('>'),
                Tok::Punct(c @ (')' | ']' | '}' | '>')) if closers.pop() != Some(c) => {
                    return Err(self.source.error(open, "brackets do not match"));
                }
                Tok::End => return Err(self.source.error(open, "a bracket is not closed")),
                _ => {}
            }
            if closers.is_empty() {
                return Ok(());
            }
        }
    }

    /// What a module holds, up to its end.
    fn items(&mut self, module: &mut Module<'a>) -> Result<()> {
        loop {
            match self.peek() {
                Tok::End | Tok::Punct('}') => return Ok(()),
                Tok::Word("module" | "builtin.module") => {
                    self.pos += 1;
                    if let Tok::Symbol(_) = self.peek() {
                        self.pos += 1;
                    }
                    if self.eat_word("attributes") {
                        self.skip_balanced()?;
                    }
                    self.expect('{')?;
                    self.nested(|p| p.items(module))?;
                    self.expect('}')?;
                    self.skip_loc()?;
                }
                Tok::Word("func.func") => module.functions.push(self.function()?),
                Tok::Str("builtin.module") | Tok::Str("func.func") => {
                    let op = self.operation()?;
                    self.generic_item(op, module)?;
                }
                _ => self.skip_item()?,
            }
        }
    }

    /// A module or function written in the generic form.
    fn generic_item(&self, op: Operation<'a>, module: &mut Module<'a>) -> Result<()> {
        let at = op.at;
        match op.name {
            "builtin.module" => {
                for inner in op.regions.into_iter().flat_map(|r| r.ops) {
                    self.generic_item(inner, module)?;
                }
            }
            "func.func" => {
                let (Some(&Attr::Str(name)), Some(Attr::Type(Type::Function(_, results)))) =
                    (op.attr("sym_name"), op.attr("function_type"))
                else {
                    return Err(self.source.error(at, "func.func needs sym_name and function_type"));
                };
                let results = results.clone();
                let body = op.regions.into_iter().next().filter(|r| !r.ops.is_empty());
                module.functions.push(Function { name, at, results, body });
            }
            _ => {} // meshes and the like: nothing that computes
        }
        Ok(())
    }

    /// Something in a module that is no function: an alias, a mesh.
    fn skip_item(&mut self) -> Result<()> {
        self.pos += 1;
        loop {
            match self.peek() {
                Tok::End | Tok::Punct('}') | Tok::Word("module" | "func.func" | "builtin.module") => return Ok(()),
                Tok::Str("builtin.module" | "func.func") => return Ok(()),
                Tok::Hash(_) | Tok::Bang(_) if self.peek_at(1) == Tok::Punct('=') => return Ok(()),
                Tok::Punct('(' | '[' | '{' | '<') => self.skip_balanced()?,
                _ => self.pos += 1,
            }
        }
    }

    fn function(&mut self) -> Result<Function<'a>> {
        let at = self.at();
        self.pos += 1;
        while let Tok::Word(_) = self.peek() {
            self.pos += 1; // public, private, nested
        }
        let Tok::Symbol(name) = self.peek() else { return Err(self.unexpected("the function's name, `@..`")) };
        self.pos += 1;
        // a declaration lists types alone
        let params = self.list('(', ')', |p| {
            if let Tok::Value(name, _) = p.peek() {
                p.pos += 1;
                p.expect(':')?;
                let ty = p.attributed_type()?;
                return Ok((name, ty));
            }
            Ok(("", p.attributed_type()?))
        })?;
        let mut results = Vec::new();
        if self.peek() == Tok::Arrow {
            self.pos += 1;
            if self.is('(') {
                results = self.list('(', ')', Self::attributed_type)?;
            } else {
                results.push(self.ty()?); // attributes need the parentheses
            }
        }
        if self.eat_word("attributes") {
            self.skip_balanced()?;
        }
        let mut body = None;
        if self.is('{') {
            let mut region = self.region()?;
            region.params = params;
            body = Some(region);
        }
        self.skip_loc()?;
        Ok(Function { name, at, results, body })
    }

    /// A type, then attributes and a position, which say nothing about values.
    fn attributed_type(&mut self) -> Result<Type<'a>> {
        let ty = self.ty()?;
        if self.is('{') {
            self.skip_balanced()?;
        }
        self.skip_loc()?;
        Ok(ty)
    }

    /// `{ ^bb0(%a: T): ops }`
    fn region(&mut self) -> Result<Region<'a>> {
        self.nested(|p| {
            let mut region = Region { at: p.at(), ..Region::default() };
            p.expect('{')?;
            if let Tok::Block(_) = p.peek() {
                p.pos += 1;
                if p.is('(') {
                    region.params = p.list('(', ')', Self::param)?;
                }
                p.expect(':')?;
            }
            while !p.eat('}') {
                if let Tok::Block(_) = p.peek() {
                    return Err(p.source.unsupported(p.at(), "regions of several blocks are not supported"));
                }
                region.ops.push(p.operation()?);
            }
            Ok(region)
        })
    }

    fn param(&mut self) -> Result<(&'a str, Type<'a>)> {
        let Tok::Value(name, _) = self.peek() else { return Err(self.unexpected("a parameter, `%..`")) };
        self.pos += 1;
        self.expect(':')?;
        Ok((name, self.attributed_type()?))
    }

    fn operation(&mut self) -> Result<Operation<'a>> {
        let mut op = Operation { at: self.at(), ..Operation::default() };
        while let Tok::Value(name, _) = self.peek() {
            self.pos += 1;
            let mut count = 1;
            if self.eat(':') {
                let Tok::Number(n) = self.peek() else { return Err(self.unexpected("a number of results")) };
                let parsed = n.parse().ok().filter(|&n| n <= 1 << 20);
                count = parsed.ok_or_else(|| self.unexpected("a number of results"))?;
                self.pos += 1;
            }
            op.results.push((name, count));
            if !self.eat(',') {
                self.expect('=')?;
                break;
            }
        }
        op.at = self.at();
        match self.peek() {
            Tok::Str(name) => {
                self.pos += 1;
                op.name = name;
                self.generic(&mut op)?;
            }
            Tok::Word("sdy.manual_computation") => {
                let why = "sdy.manual_computation: operations between devices are not supported";
                return Err(self.source.unsupported(op.at, why));
            }
            Tok::Word(name) => {
                self.pos += 1;
                op.name = name;
                self.pretty(&mut op)?;
            }
            _ => return Err(self.unexpected("an op")),
        }
        self.skip_loc()?;
        Ok(op)
    }

    fn operand(&mut self) -> Result<Operand<'a>> {
        let at = self.at();
        match self.peek() {
            Tok::Value(name, index) => {
                self.pos += 1;
                Ok(Operand { name, index, at })
            }
            _ => Err(self.unexpected("an operand, `%..`")),
        }
    }

    /// `(%a, %b) <{..}> ({..}, {..}) {..} : (T, T) -> T`, after the quoted name.
    fn generic(&mut self, op: &mut Operation<'a>) -> Result<()> {
        op.operands = self.list('(', ')', Self::operand)?;
        if self.is('[') {
            return Err(self.source.unsupported(self.at(), format!("{}: branches are not supported", op.name)));
        }
        if self.is('<') {
            self.pos += 1;
            op.attrs = self.dictionary()?;
            self.expect('>')?;
        }
        if self.is('(') {
            op.regions = self.list('(', ')', Self::region)?;
        }
        if self.is('{') {
            let more = self.dictionary()?;
            op.attrs.extend(more);
        }
        if let Some(&Attr::Symbol(name)) = op.attr("callee").or(op.attr("call_target_name")) {
            op.symbol = Some(name);
        } else if let Some(&Attr::Str(name)) = op.attr("call_target_name") {
            op.symbol = Some(name);
        }
        self.expect(':')?;
        op.signature = self.signature()?;
        Ok(())
    }

    fn signature(&mut self) -> Result<Signature<'a>> {
        let mut types = Vec::new();
        if self.is('(') {
            types = self.list('(', ')', Self::ty)?;
        } else {
            types.push(self.ty()?);
            while self.eat(',') {
                types.push(self.ty()?);
            }
        }
        if self.peek() != Tok::Arrow {
            return Ok(Signature::List(types));
        }
        self.pos += 1;
        let results = if self.is('(') { self.list('(', ')', Self::ty)? } else { vec![self.ty()?] };
        Ok(Signature::Function(types, results))
    }

    /// Whatever a pretty form holds up to its colon: operands, `name = attribute`, words, brackets.
    fn pretty(&mut self, op: &mut Operation<'a>) -> Result<()> {
        let mut open = 0usize;
        let mut bindings = Vec::new();
        let mut inits = 0;
        loop {
            match self.peek() {
                Tok::Value(name, _) if self.peek_at(1) == Tok::Punct('=') => {
                    self.pos += 2; // `%iterArg = %0`
                    bindings.push(name);
                    op.operands.push(self.operand()?);
                }
                Tok::Value(..) => op.operands.push(self.operand()?),
                Tok::Symbol(name) => {
                    self.pos += 1;
                    op.symbol = Some(name);
                }
                Tok::Punct('(') => {
                    self.pos += 1;
                    open += 1;
                }
                Tok::Punct(')') if open > 0 => {
                    self.pos += 1;
                    open -= 1;
                }
                Tok::Punct(',') => self.pos += 1,
                Tok::Punct('[') => {
                    let ranges = self.attr(false)?;
                    op.attrs.push(("", ranges));
                }
                Tok::Punct('{') if matches!(op.name, "return" | "func.return" | "stablehlo.return") => break,
                Tok::Punct('{') => {
                    let more = self.dictionary()?;
                    op.attrs.extend(more);
                }
                Tok::Punct('<') => self.skip_balanced()?,
                Tok::Word("init") if self.peek_at(1) == Tok::Punct(':') => {
                    self.pos += 2;
                    inits += 1;
                }
                Tok::Word("applies") => {
                    self.pos += 1;
                    let Tok::Word(name) = self.peek() else { return Err(self.unexpected("an op's name")) };
                    self.pos += 1;
                    op.attrs.push(("applies", Attr::Word(name)));
                }
                Tok::Word(name) if self.peek_at(1) == Tok::Punct('=') => {
                    self.pos += 2;
                    let value = self.attr(false)?;
                    op.attrs.push((name, value));
                }
                Tok::Word(word) if !self.ends_operation(word) => {
                    self.pos += 1;
                    op.words.push(word);
                }
                Tok::Str(_) | Tok::Dense(_) | Tok::Hash(_) | Tok::Number(_) => {
                    let value = self.attr(false)?;
                    op.attrs.push(("value", value));
                }
                Tok::Punct(':') if open == 0 => {
                    self.pos += 1;
                    op.signature = self.signature()?;
                    break;
                }
                _ if open == 0 => break,
                _ => return Err(self.unexpected("`)`")),
            }
        }
        if inits > 0 {
            // `(%x init: %a), (%y init: %b)` lists in pairs what the op takes one after the other
            if op.operands.len() != 2 * inits {
                return Err(self.source.error(op.at, format!("{}: every operand needs an `init:`", op.name)));
            }
            let pairs = std::mem::take(&mut op.operands);
            op.operands = pairs.iter().step_by(2).chain(pairs.iter().skip(1).step_by(2)).copied().collect();
        }
        match op.name {
            "stablehlo.reduce" => self.reducer(op),
            "stablehlo.while" => self.loop_regions(op, &bindings),
            _ => Ok(()),
        }
    }

    /// A bare word that begins the next op or closes the region cannot belong to this one.
    fn ends_operation(&self, word: &str) -> bool {
        word == "loc" || word == "return" || word == "call" || word.contains('.')
    }

    /// `reducer(%a: T, %b: T) (%c: U, %d: U) { .. }`: a pair an operand; the region takes all left ones first.
    fn reducer(&mut self, op: &mut Operation<'a>) -> Result<()> {
        if !self.eat_word("reducer") {
            return Ok(());
        }
        let (mut left, mut right) = (Vec::new(), Vec::new());
        while self.is('(') {
            let mut pair = self.list('(', ')', Self::param)?;
            if pair.len() != 2 {
                return Err(self.unexpected("pairs of parameters"));
            }
            right.extend(pair.pop());
            left.extend(pair.pop());
        }
        let mut region = self.region()?;
        left.append(&mut right);
        region.params = left;
        op.regions.push(region);
        Ok(())
    }

    /// `cond { .. } do { .. }`, both taking the bound names.
    fn loop_regions(&mut self, op: &mut Operation<'a>, names: &[&'a str]) -> Result<()> {
        let Signature::List(types) = &op.signature else { return Err(self.unexpected("the types of the loop")) };
        if types.len() != names.len() {
            return Err(self.source.error(op.at, format!("{} types for {} loop values", types.len(), names.len())));
        }
        let params: Vec<_> = names.iter().copied().zip(types.iter().cloned()).collect();
        if self.eat_word("attributes") {
            self.skip_balanced()?;
        }
        for word in ["cond", "do"] {
            if !self.eat_word(word) {
                return Err(self.unexpected(&format!("`{word}`")));
            }
            let mut region = self.region()?;
            region.params = params.clone();
            op.regions.push(region);
        }
        Ok(())
    }
}
