//! NumPy's array files: one array (`.npy`), or a zip archive of several (`.npz`).

use super::{decode, encode, named_leaves, read, write_atomically};
use crate::tensor::Tensor;
use crate::tree::Tree;
use gradloom_ir::{DType, Error, Result};
use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::path::Path;

const MAGIC: &[u8] = b"\x93NUMPY";

/// NumPy's name of a dtype. It has none for bf16, which is written as f32.
fn descr(d: DType) -> &'static str {
    match d {
        DType::Bool => "|b1",
        DType::I8 => "|i1",
        DType::I16 => "<i2",
        DType::I32 => "<i4",
        DType::I64 => "<i8",
        DType::U8 => "|u1",
        DType::U16 => "<u2",
        DType::U32 => "<u4",
        DType::U64 => "<u8",
        DType::F16 => "<f2",
        DType::F32 | DType::BF16 => "<f4",
        DType::F64 => "<f8",
        DType::C64 => "<c8",
        DType::C128 => "<c16",
    }
}

/// The array as a `.npy` file, format 1.0.
fn npy_bytes(t: &Tensor) -> Result<Vec<u8>> {
    let data = encode(&if t.dtype() == DType::BF16 { t.to(DType::F32) } else { t.clone() })?;
    let lengths: String = t.shape().iter().map(|n| format!("{n}, ")).collect();
    // a tuple of one keeps its comma; longer ones may end without
    let lengths = if t.ndim() == 1 { lengths.trim_end() } else { lengths.trim_end_matches(", ") };
    let mut header = format!("{{'descr': '{}', 'fortran_order': False, 'shape': ({lengths}), }}", descr(t.dtype()));
    // the elements start at a multiple of 64 bytes: magic, version and length take 10, the header ends with a newline
    let end = (MAGIC.len() + 4 + header.len() + 1).next_multiple_of(64);
    while MAGIC.len() + 4 + header.len() + 1 < end {
        header.push(' ');
    }
    header.push('\n');
    let length = u16::try_from(header.len())
        .map_err(|_| Error::limit("save_npy", format!("{} has too many axes for a header", t.ty_ref())))?;
    let mut out = MAGIC.to_vec();
    out.extend([1, 0]);
    out.extend(length.to_le_bytes());
    out.extend(header.as_bytes());
    out.extend(data);
    Ok(out)
}

/// What the header of a `.npy` file says.
struct Header {
    dtype: DType,
    little_endian: bool,
    fortran: bool,
    shape: Vec<usize>,
}

/// The text after `'key':` in a header, which is a Python dictionary.
fn entry<'a>(header: &'a str, key: &str) -> Result<&'a str, String> {
    let at = ['\'', '"'].iter().find_map(|q| header.split_once(&format!("{q}{key}{q}")));
    let value = at.and_then(|(_, rest)| rest.trim_start().strip_prefix(':'));
    value.map(str::trim_start).ok_or_else(|| format!("the header has no {key}: {header}"))
}

fn parse_header(header: &str) -> Result<Header, String> {
    let text = entry(header, "descr")?;
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'));
    let descr = quote.and_then(|q| text[1..].split_once(q)).map(|(d, _)| d);
    let descr = descr.ok_or_else(|| format!("records are not supported: {text}"))?;
    let (order, kind) = match descr.as_bytes().first() {
        Some(b'<' | b'>' | b'|' | b'=') => descr.split_at(1),
        _ => ("=", descr),
    };
    let own = DType::ALL.into_iter().find(|&d| d != DType::BF16 && self::descr(d)[1..] == *kind);
    let dtype = own.ok_or_else(|| format!("dtype '{descr}' is not one gradloom has"))?;
    let fortran = entry(header, "fortran_order")?.starts_with("True");
    let shape = entry(header, "shape")?;
    let inner = shape.strip_prefix('(').and_then(|s| s.split_once(')')).map(|(s, _)| s);
    let inner = inner.ok_or_else(|| format!("the shape is no tuple: {shape}"))?;
    let lengths = inner.split(',').map(str::trim).filter(|s| !s.is_empty());
    let shape = lengths.map(|s| s.parse().map_err(|_| format!("`{s}` is no length"))).collect::<Result<_, _>>()?;
    let little_endian = order == "<" || (order != ">" && cfg!(target_endian = "little"));
    Ok(Header { dtype, little_endian, fortran, shape })
}

fn parse_npy(bytes: &[u8]) -> Result<Tensor, String> {
    let rest = bytes.strip_prefix(MAGIC).ok_or("it does not begin as a .npy file does")?;
    let (version, rest) = rest.split_at_checked(2).ok_or("it ends within the header")?;
    let width = if version[0] == 1 { 2 } else { 4 };
    let (length, rest) = rest.split_at_checked(width).ok_or("it ends within the header")?;
    let length = length.iter().rev().fold(0usize, |n, &b| n << 8 | usize::from(b));
    let (header, data) = rest.split_at_checked(length).ok_or("it ends within the header")?;
    let header = std::str::from_utf8(header).map_err(|_| "the header is no text")?;
    let h = parse_header(header)?;
    let lying: Vec<usize> = if h.fortran { h.shape.iter().rev().copied().collect() } else { h.shape.clone() };
    let t = decode(h.dtype, &lying, data, h.little_endian)
        .ok_or_else(|| format!("{} bytes of elements do not make the shape {:?}", data.len(), h.shape))?;
    Ok(if h.fortran { t.t() } else { t })
}

/// Writes one array as a `.npy` file. NumPy has no bf16: such an array is written as f32.
///
/// # Errors
/// If the tensor is traced or holds an error, or the file cannot be written.
pub fn save_npy(path: impl AsRef<Path>, t: &Tensor) -> Result<()> {
    write_atomically(path.as_ref(), &npy_bytes(t)?)
}

/// Reads a `.npy` file: any byte order, C or Fortran order.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{io, prelude::*};
/// # let path = std::env::temp_dir().join(format!("gradloom-doc-{}.npy", std::process::id()));
/// io::save_npy(&path, &Tensor::arange(3))?;
/// assert_eq!(io::load_npy(&path)?.to_vec::<i32>()?, [0, 1, 2]);
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), gradloom::Error>(())
/// ```
///
/// # Errors
/// If the file cannot be read, is no `.npy` file, or holds a dtype that gradloom does not have.
pub fn load_npy(path: impl AsRef<Path>) -> Result<Tensor> {
    let path = path.as_ref();
    let t = parse_npy(&read(path)?).map_err(|e| Error::user("load_npy", format!("{}: {e}", path.display())))?;
    t.check().map(|()| t)
}

/// Writes the leaves of a tree under their paths as a `.npz` file (not compressed, as `numpy.savez`).
///
/// # Errors
/// As [`save_npy`].
pub fn save_npz<T: Tree>(path: impl AsRef<Path>, tree: &T) -> Result<()> {
    let op = "save_npz";
    let failed = |e: &dyn std::fmt::Display| Error::io(op, e);
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, t) in named_leaves(op, tree)? {
        let bytes = npy_bytes(&t)?;
        let options = stored.large_file(bytes.len() as u64 >= u64::from(u32::MAX));
        zip.start_file(format!("{name}.npy"), options).map_err(|e| failed(&e))?;
        zip.write_all(&bytes).map_err(|e| failed(&e))?;
    }
    let bytes = zip.finish().map_err(|e| failed(&e))?.into_inner();
    write_atomically(path.as_ref(), &bytes)
}

/// Reads every array of a `.npz` file by name, compressed or not.
///
/// # Errors
/// As [`load_npy`].
pub fn load_npz(path: impl AsRef<Path>) -> Result<BTreeMap<String, Tensor>> {
    let path = path.as_ref();
    let wrong = |what: String| Error::user("load_npz", format!("{}: {what}", path.display()));
    let mut zip = zip::ZipArchive::new(Cursor::new(read(path)?)).map_err(|e| wrong(e.to_string()))?;
    let mut out = BTreeMap::new();
    for i in 0..zip.len() {
        let mut member = zip.by_index(i).map_err(|e| wrong(e.to_string()))?;
        let name = member.name().map_err(|e| wrong(e.to_string()))?.into_owned();
        let name = name.strip_suffix(".npy").unwrap_or(&name).to_string();
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).map_err(|e| wrong(format!("`{name}`: {e}")))?;
        let t = parse_npy(&bytes).map_err(|e| wrong(format!("`{name}`: {e}")))?;
        t.check()?;
        out.insert(name, t);
    }
    Ok(out)
}
