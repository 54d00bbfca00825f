//! `dense<..>`: nested lists, splats, bit patterns and hexadecimal blobs, of any dtype.

use super::source::{MAX_DEPTH, Source};
use gradloom_ir::{DType, Literal, Result, Type};
use half::{bf16, f16};

/// Reads what stands inside `dense<..>` as an array of type `ty`; `at` is where `dense` stands.
pub(super) fn dense(source: &Source<'_>, inside: &str, at: usize, ty: &Type) -> Result<Literal> {
    let start = at + "dense<".len();
    let mut r = Reader { source, text: inside, pos: 0, start, dtype: ty.dtype, bytes: Vec::new() };
    r.skip_blank();
    let bytes = if r.peek() == b'"' {
        r.blob(ty)?
    } else if r.pos == inside.len() {
        Vec::new()
    } else {
        let mut shape = Vec::new();
        r.elements(&mut shape, 0)?;
        r.skip_blank();
        if r.pos != inside.len() {
            return Err(r.error("the constant goes on where it should end"));
        }
        // a single element fills the array
        if !shape.is_empty() && shape[..] != ty.shape[..] {
            return Err(source.error(at, format!("a list of shape {shape:?} for a constant of type {ty}")));
        }
        r.bytes
    };
    let size = ty.dtype.size();
    let bytes = if bytes.len() == size && ty.numel() != 1 { fill(source, at, &bytes, ty)? } else { bytes };
    let found = bytes.len() / size;
    Literal::from_bytes(ty.clone(), bytes)
        .ok_or_else(|| source.error(at, format!("{found} elements for a constant of type {ty}")))
}

/// The one element that fills an array of type `ty`, if that is how the constant is written and the array is not a scalar.
pub(super) fn splat(source: &Source<'_>, inside: &str, at: usize, ty: &Type) -> Result<Option<Literal>> {
    let listed = inside.trim_start().starts_with(['[', '"']) || inside.trim().is_empty();
    if listed || ty.rank() == 0 {
        return Ok(None);
    }
    dense(source, inside, at, &Type::scalar(ty.dtype)).map(Some)
}

/// Largest array one element of a blob is repeated for.
const MAX_FILL: usize = 1 << 28;

fn fill(source: &Source<'_>, at: usize, element: &[u8], ty: &Type) -> Result<Vec<u8>> {
    if ty.bytes() > MAX_FILL {
        return Err(source.unsupported(at, format!("a constant of type {ty} is too large")));
    }
    Ok(element.repeat(ty.numel()))
}

struct Reader<'s, 'a> {
    source: &'s Source<'a>,
    text: &'s str,
    pos: usize,
    /// Where `text` begins in the source.
    start: usize,
    dtype: DType,
    bytes: Vec<u8>,
}

/// One part of a number of the text, as bytes of its dtype; `None` if it has no such value.
fn element(dtype: DType, text: &str) -> Option<Vec<u8>> {
    if let Some(hex) = text.strip_prefix("0x") {
        return bit_pattern(dtype, hex);
    }
    macro_rules! number {
        ($t:ty) => {
            text.parse::<$t>().ok().map(|x| x.to_ne_bytes().to_vec())
        };
    }
    match dtype {
        DType::Bool => match text {
            "true" | "1" | "-1" => Some(vec![1]),
            "false" | "0" => Some(vec![0]),
            _ => None,
        },
        DType::I8 => number!(i8),
        DType::I16 => number!(i16),
        DType::I32 => number!(i32),
        DType::I64 => number!(i64),
        DType::U8 => number!(u8),
        DType::U16 => number!(u16),
        DType::U32 => number!(u32),
        DType::U64 => number!(u64),
        // through f64: what a half is printed as has too few digits to be rounded twice
        DType::F16 => text.parse().ok().map(|x| f16::from_f64(x).to_ne_bytes().to_vec()),
        DType::BF16 => text.parse().ok().map(|x| bf16::from_f64(x).to_ne_bytes().to_vec()),
        DType::F32 | DType::C64 => number!(f32),
        DType::F64 | DType::C128 => number!(f64),
    }
}

fn bit_pattern(dtype: DType, hex: &str) -> Option<Vec<u8>> {
    let bits = u64::from_str_radix(hex, 16).ok()?;
    let size = dtype.real().size();
    if size < 8 && bits >> (8 * size) != 0 {
        return None;
    }
    Some(native(&bits.to_le_bytes()[..size]))
}

/// Little-endian bytes of one number in the machine's order.
fn native(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if cfg!(target_endian = "big") {
        bytes.reverse();
    }
    bytes
}

impl Reader<'_, '_> {
    fn error(&self, message: &str) -> gradloom_ir::Error {
        self.source.error(self.start + self.pos, message)
    }

    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.pos).copied().unwrap_or(0)
    }

    fn skip_blank(&mut self) {
        while self.peek().is_ascii_whitespace() {
            self.pos += 1;
        }
    }

    /// `[a, b]`, `(re, im)` or a number; appends the elements and puts the lengths of the lists into `shape`.
    fn elements(&mut self, shape: &mut Vec<usize>, depth: usize) -> Result<()> {
        self.skip_blank();
        if self.peek() != b'[' {
            return self.number();
        }
        if depth == MAX_DEPTH {
            return Err(self.error("a constant has too many axes"));
        }
        self.pos += 1;
        let mut inner: Option<Vec<usize>> = None;
        let mut count = 0;
        self.skip_blank();
        while self.peek() != b']' {
            let mut lengths = Vec::new();
            self.elements(&mut lengths, depth + 1)?;
            if inner.get_or_insert_with(|| lengths.clone()) != &lengths {
                return Err(self.error("the lists of a constant differ in length"));
            }
            count += 1;
            self.skip_blank();
            match self.peek() {
                b',' => self.pos += 1,
                b']' => break,
                _ => return Err(self.error("expected `,` or `]` in a constant")),
            }
            self.skip_blank();
        }
        self.pos += 1;
        shape.push(count);
        shape.extend(inner.unwrap_or_default());
        Ok(())
    }

    fn number(&mut self) -> Result<()> {
        if !self.dtype.is_complex() {
            return self.part();
        }
        if self.peek() != b'(' {
            return Err(self.error("a complex number is written `(re, im)`"));
        }
        self.pos += 1;
        self.part()?;
        self.skip_blank();
        if self.peek() != b',' {
            return Err(self.error("a complex number is written `(re, im)`"));
        }
        self.pos += 1;
        self.part()?;
        self.skip_blank();
        if self.peek() != b')' {
            return Err(self.error("a complex number is written `(re, im)`"));
        }
        self.pos += 1;
        Ok(())
    }

    fn part(&mut self) -> Result<()> {
        self.skip_blank();
        let rest = &self.text[self.pos..];
        let end = rest.bytes().position(|c| !(c.is_ascii_alphanumeric() || matches!(c, b'.' | b'+' | b'-')));
        let word = &rest[..end.unwrap_or(rest.len())];
        let bytes = element(self.dtype, word)
            .ok_or_else(|| self.error(&format!("`{word}` is no element of type {}", self.dtype)))?;
        self.bytes.extend(bytes);
        self.pos += word.len();
        Ok(())
    }

    /// `"0x.."`: the elements' little-endian bytes.
    fn blob(&self, ty: &Type) -> Result<Vec<u8>> {
        let wrong = || self.error("a blob is written \"0x..\" with two hexadecimal digits a byte");
        let text = self.text.trim().trim_matches('"');
        let digits = text.strip_prefix("0x").filter(|d| d.is_ascii() && d.len() % 2 == 0).ok_or_else(wrong)?;
        let digit = |c: u8| (c as char).to_digit(16);
        let bytes = digits.as_bytes().chunks_exact(2).map(|d| Some((digit(d[0])? << 4 | digit(d[1])?) as u8));
        let bytes: Vec<u8> = bytes.collect::<Option<_>>().ok_or_else(wrong)?;
        if self.dtype == DType::Bool {
            let n = ty.numel();
            // eight to a byte, lowest bit first, or one a byte
            return Ok(match bytes.len() {
                len if len == n => bytes.iter().map(|&b| u8::from(b != 0)).collect(),
                len if len == n.div_ceil(8) => (0..n).map(|i| bytes[i / 8] >> (i % 8) & 1).collect(),
                1 => vec![u8::from(bytes[0] != 0)],
                _ => return Err(self.error(&format!("a blob of {} bytes for {ty}", bytes.len()))),
            });
        }
        Ok(bytes.chunks(self.dtype.real().size()).flat_map(native).collect())
    }
}
