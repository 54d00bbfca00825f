//! Text to tokens. Shaped types and dense constants are one token each: their insides have a syntax of their own
//! (`2x3xf32` is no number), and a constant of a million elements should not become a million tokens.

use super::source::Source;
use gradloom_ir::Result;

/// One token.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Tok<'a> {
    /// `stablehlo.add`, `loc`, `true`, `x`
    Word(&'a str),
    /// `%0`, and `%0#1`
    Value(&'a str, usize),
    /// `@main`, `@"<lambda>"`
    Symbol(&'a str),
    /// `^bb0`
    Block(&'a str),
    /// `#stablehlo.gather`, `#loc1`
    Hash(&'a str),
    /// `!stablehlo.token`
    Bang(&'a str),
    /// `tensor<2x3xf32>`: the word before the bracket, and what stands inside
    Shaped(&'a str, &'a str),
    /// `dense<[1, 2]>`: what stands inside
    Dense(&'a str),
    /// A string without its quotes, escapes as they are.
    Str(&'a str),
    /// `-1`, `1.5e+00`, `0x7FC0`
    Number(&'a str),
    /// `->`
    Arrow,
    /// Any other character.
    Punct(char),
    /// After the last token.
    End,
}

/// A token and the byte it starts at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) tok: Tok<'a>,
    pub(super) at: usize,
}

/// Words whose angle brackets are lexed with them.
const SHAPED: &[&str] = &["tensor", "vector", "memref", "tuple", "complex"];

fn is_word_start(c: u8) -> bool {
    c.is_ascii_alphabetic() || c == b'_'
}

fn is_word(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.' | b'$')
}

/// Symbols and values may also hold `-`.
fn is_name(c: u8) -> bool {
    is_word(c) || c == b'-'
}

struct Lexer<'s, 'a> {
    source: &'s Source<'a>,
    bytes: &'a [u8],
    pos: usize,
}

/// All tokens of a text, the last of them [`Tok::End`].
pub(super) fn lex<'a>(source: &Source<'a>) -> Result<Vec<Token<'a>>> {
    let mut lexer = Lexer { source, bytes: source.text.as_bytes(), pos: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blank()?;
        let at = lexer.pos;
        let tok = lexer.token()?;
        tokens.push(Token { tok, at });
        if tok == Tok::End {
            return Ok(tokens);
        }
    }
}

impl<'a> Lexer<'_, 'a> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.pos + ahead).copied().unwrap_or(0)
    }

    /// Spaces, comments, and the resource section `{-# .. #-}` that may end a file.
    fn skip_blank(&mut self) -> Result<()> {
        loop {
            let rest = &self.bytes[self.pos..];
            if rest.first().is_some_and(u8::is_ascii_whitespace) {
                self.pos += 1;
            } else if rest.starts_with(b"//") {
                self.pos += rest.iter().position(|&c| c == b'\n').unwrap_or(rest.len());
            } else if rest.starts_with(b"{-#") {
                let end = rest.windows(3).position(|w| w == b"#-}");
                self.pos += 3 + end.ok_or_else(|| self.source.error(self.pos, "`{-#` is not closed by `#-}`"))?;
            } else {
                return Ok(());
            }
        }
    }

    fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> &'a str {
        let start = self.pos;
        while self.pos < self.bytes.len() && accept(self.bytes[self.pos]) {
            self.pos += 1;
        }
        // only ASCII bytes are accepted, so both ends are character boundaries
        &self.source.text[start..self.pos]
    }

    /// From an opening quote to behind the closing one; what stands between.
    fn string(&mut self) -> Result<&'a str> {
        let open = self.pos;
        self.pos += 1;
        loop {
            match self.peek(0) {
                b'"' => break,
                b'\\' => self.pos += 2,
                _ => self.pos += 1,
            }
            if self.pos >= self.bytes.len() {
                return Err(self.source.error(open, "a string has no closing quote"));
            }
        }
        self.pos += 1;
        self.source
            .text
            .get(open + 1..self.pos - 1)
            .ok_or_else(|| self.source.error(open, "a string breaks a character in two"))
    }

    /// From an opening `<` to behind the matching `>`; what stands between.
    fn bracketed(&mut self) -> Result<&'a str> {
        let open = self.pos;
        let mut depth = 0usize;
        loop {
            match self.peek(0) {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'<' => depth += 1,
                b'>' if self.bytes[self.pos - 1] != b'-' => depth -= 1,
                _ => {}
            }
            self.pos += 1;
            if depth == 0 {
                let inside = self.source.text.get(open + 1..self.pos - 1);
                return inside.ok_or_else(|| self.source.error(open, "`<` breaks a character in two"));
            }
            if self.pos >= self.bytes.len() {
                return Err(self.source.error(open, "`<` is not closed"));
            }
        }
    }

    fn name(&mut self) -> Result<&'a str> {
        if self.peek(0) == b'"' { self.string() } else { Ok(self.take_while(is_name)) }
    }

    fn number(&mut self) -> &'a str {
        let start = self.pos;
        if self.peek(0) == b'-' {
            self.pos += 1;
        }
        if self.peek(0) == b'0' && self.peek(1) == b'x' && self.peek(2).is_ascii_hexdigit() {
            self.pos += 2;
            self.take_while(|c| c.is_ascii_hexdigit());
            return &self.source.text[start..self.pos];
        }
        self.take_while(|c| c.is_ascii_digit());
        if self.peek(0) == b'.' {
            self.pos += 1;
            self.take_while(|c| c.is_ascii_digit());
        }
        let signed = matches!(self.peek(1), b'+' | b'-') && self.peek(2).is_ascii_digit();
        if matches!(self.peek(0), b'e' | b'E') && (signed || self.peek(1).is_ascii_digit()) {
            self.pos += 2;
            self.take_while(|c| c.is_ascii_digit());
        }
        &self.source.text[start..self.pos]
    }

    fn token(&mut self) -> Result<Tok<'a>> {
        let c = self.peek(0);
        if self.pos >= self.bytes.len() {
            return Ok(Tok::End);
        }
        if is_word_start(c) {
            let word = self.take_while(is_word);
            return match self.peek(0) {
                b'<' if SHAPED.contains(&word) => Ok(Tok::Shaped(word, self.bracketed()?)),
                b'<' if word == "dense" => Ok(Tok::Dense(self.bracketed()?)),
                _ => Ok(Tok::Word(word)),
            };
        }
        if c.is_ascii_digit() || (c == b'-' && self.peek(1).is_ascii_digit()) {
            return Ok(Tok::Number(self.number()));
        }
        if c == b'-' && self.peek(1) == b'>' {
            self.pos += 2;
            return Ok(Tok::Arrow);
        }
        if c == b'"' {
            return self.string().map(Tok::Str);
        }
        let at = self.pos;
        match c {
            b'%' | b'@' | b'^' | b'#' | b'!' => self.pos += 1,
            _ => {
                let c = self.source.text[self.pos..].chars().next().unwrap_or(' ');
                self.pos += c.len_utf8();
                return Ok(Tok::Punct(c));
            }
        }
        let name = self.name()?;
        if name.is_empty() {
            return Err(self.source.error(at, format!("a name should follow `{}`", c as char)));
        }
        Ok(match c {
            b'%' => Tok::Value(name, self.result_number(at)?),
            b'@' => Tok::Symbol(name),
            b'^' => Tok::Block(name),
            b'#' => Tok::Hash(name),
            _ => Tok::Bang(name),
        })
    }

    /// The `1` of `%0#1`.
    fn result_number(&mut self, at: usize) -> Result<usize> {
        if self.peek(0) != b'#' || !self.peek(1).is_ascii_digit() {
            return Ok(0);
        }
        self.pos += 1;
        let digits = self.take_while(|c| c.is_ascii_digit());
        digits.parse().map_err(|_| self.source.error(at, format!("`{digits}` is no result number")))
    }
}
