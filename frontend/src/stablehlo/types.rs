//! Types of the text as types of gradloom.

use super::source::Source;
use super::syntax::Type;
use gradloom_ir::{self as ir, DType, Result, Shape};

/// Most elements an array may have; also what keeps byte counts from overflowing.
const MAX_ELEMENTS: usize = 1 << 40;

/// Reads what stands inside `tensor<..>`.
pub(super) fn tensor<'a>(source: &Source<'a>, inside: &'a str, at: usize) -> Result<Type<'a>> {
    // an encoding may follow the element type; it says how the array is laid out and changes no value
    let inside = inside.split_once(',').map_or(inside, |(t, _)| t).trim();
    let mut dims = Vec::new();
    let mut rest = inside;
    loop {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (dim, after) = if rest.starts_with('?') { rest.split_at(1) } else { rest.split_at(digits) };
        let Some(after) = after.strip_prefix('x').filter(|_| !dim.is_empty()) else { break };
        let length = match dim {
            "?" => None,
            digits => Some(digits.parse().map_err(|_| source.error(at, format!("`{digits}` is no axis length")))?),
        };
        dims.push(length);
        rest = after;
    }
    if rest.starts_with("*x") {
        return Err(source.unsupported(at, format!("tensor<{inside}>: arrays of unknown rank are not supported")));
    }
    if rest.is_empty() {
        return Err(source.error(at, format!("tensor<{inside}> has no element type")));
    }
    Ok(Type::Tensor { dims, element: rest })
}

/// Element types as the text names them, where gradloom's name differs.
const ELEMENTS: &[(&str, &str)] = &[
    ("i1", "bool"),
    ("ui8", "u8"),
    ("ui16", "u16"),
    ("ui32", "u32"),
    ("ui64", "u64"),
    ("complex<f32>", "c64"),
    ("complex<f64>", "c128"),
];

/// The dtype of an element type, if gradloom has it.
pub(super) fn dtype(element: &str) -> Option<DType> {
    let name = ELEMENTS.iter().find(|(text, _)| *text == element).map_or(element, |(_, name)| name);
    // `u8` and `bool` are our names, not the text's
    let ours = ELEMENTS.iter().any(|(_, name)| *name == element);
    if ours { None } else { DType::from_name(name) }
}

/// The type of an array of static shape.
pub(super) fn array(source: &Source<'_>, ty: &Type<'_>, at: usize) -> Result<ir::Type> {
    let (dims, element) = match ty {
        Type::Tensor { dims, element } => (dims, element),
        Type::Function(..) => return Err(source.error(at, "a function type stands where an array's is expected")),
        Type::Other(text) => return Err(source.unsupported(at, format!("values of type {text} are not supported"))),
    };
    let dtype = dtype(element).ok_or_else(|| source.unsupported(at, format!("dtype {element} is not supported")))?;
    let shape: Option<Shape> = dims.iter().copied().collect();
    let shape = shape.ok_or_else(|| {
        source.unsupported(at, "dynamic shapes are not supported: lower the program for the shapes it will run on")
    })?;
    let count = shape.iter().filter(|&&d| d != 0).try_fold(1usize, |n, &d| n.checked_mul(d));
    match count {
        Some(n) if n <= MAX_ELEMENTS => Ok(ir::Type { dtype, shape }),
        _ => Err(source.unsupported(at, format!("an array of shape {shape:?} is too large"))),
    }
}

/// The element type of a dtype.
pub(super) fn element_name(dtype: DType) -> &'static str {
    ELEMENTS.iter().find(|(_, name)| *name == dtype.name()).map_or(dtype.name(), |(text, _)| text)
}
