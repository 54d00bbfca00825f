//! Weights by name, in the safetensors format.

use super::{decode, encode, named_leaves, read, write_atomically};
use crate::tensor::Tensor;
use crate::tree::Tree;
use gradloom_ir::{DType, Error, Result, Type};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Most names an error lists.
const NAMES_SHOWN: usize = 10;

/// The format's name of a dtype; it has none for c128.
fn file_dtype(d: DType) -> Option<Dtype> {
    Some(match d {
        DType::Bool => Dtype::BOOL,
        DType::I8 => Dtype::I8,
        DType::I16 => Dtype::I16,
        DType::I32 => Dtype::I32,
        DType::I64 => Dtype::I64,
        DType::U8 => Dtype::U8,
        DType::U16 => Dtype::U16,
        DType::U32 => Dtype::U32,
        DType::U64 => Dtype::U64,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
        DType::C64 => Dtype::C64,
        DType::C128 => return None,
    })
}

fn dtype_of(d: Dtype) -> Option<DType> {
    DType::ALL.into_iter().find(|&own| file_dtype(own) == Some(d))
}

/// Writes the leaves of a tree under their paths.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{io, prelude::*};
/// # let path = std::env::temp_dir().join(format!("gradloom-doc-{}.safetensors", std::process::id()));
/// let model = (Tensor::ones([2, 3]), Tensor::zeros([3]));
/// io::save_safetensors(&path, &model)?;
/// let (w, b) = io::load_safetensors(&path, &model)?;
/// assert_eq!((w.shape(), b.shape()), (&[2, 3][..], &[3][..]));
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), gradloom::Error>(())
/// ```
///
/// # Errors
/// If a leaf is traced or holds an error, or the file cannot be written.
pub fn save_safetensors<T: Tree>(path: impl AsRef<Path>, tree: &T) -> Result<()> {
    let op = "save_safetensors";
    let leaves = named_leaves(op, tree)?;
    let data = leaves.iter().map(|(_, t)| encode(t)).collect::<Result<Vec<_>>>()?;
    let mut views = Vec::with_capacity(leaves.len());
    for ((name, t), bytes) in leaves.iter().zip(&data) {
        let dtype = file_dtype(t.dtype()).ok_or_else(|| {
            Error::limit(op, format!("`{name}` is {}, which the format has no name for", t.ty_ref()))
                .help("save `.real()` and `.imag()`, or use `save_npz`")
        })?;
        let view = TensorView::new(dtype, t.shape().to_vec(), bytes);
        views.push((name.as_str(), view.map_err(|e| Error::internal(op, e.to_string()))?));
    }
    let bytes = serialize(views, None).map_err(|e| Error::user(op, e.to_string()))?;
    write_atomically(path.as_ref(), &bytes)
}

/// Reads a tree of the template's structure, each leaf by its path. The template's values do not matter.
///
/// 16-bit floats are widened to f32 where the template wants f32. Every other type must be the template's.
///
/// # Errors
/// If the file cannot be read, or lacks a name, has one more, or has one with another type: one error that lists them.
pub fn load_safetensors<T: Tree>(path: impl AsRef<Path>, template: &T) -> Result<T> {
    let op = "load_safetensors";
    let path = path.as_ref();
    let wanted = named_leaves(op, template)?;
    let bytes = read(path)?;
    let file = open(op, path, &bytes)?;
    let mut problems = Problems::default();
    let mut found = Vec::with_capacity(wanted.len());
    for (name, like) in &wanted {
        let Ok(view) = file.tensor(name) else {
            problems.missing.push(name.clone());
            continue;
        };
        let like = like.ty_ref();
        let fits = |d: DType| d == like.dtype || d.is_half() && like.dtype == DType::F32;
        match dtype_of(view.dtype()) {
            Some(d) if fits(d) && view.shape() == &like.shape[..] => {
                found.push(tensor(op, path, name, d, &view)?.to(like.dtype));
            }
            _ => problems.mistyped.push(format!("`{name}` is {} where {like} is wanted", file_type(&view))),
        }
    }
    let names = wanted.iter().map(|(n, _)| n.as_str()).collect::<std::collections::HashSet<_>>();
    problems.extra = file.names().into_iter().filter(|n| !names.contains(n)).map(str::to_string).collect();
    problems.extra.sort_unstable();
    problems.check(op, path)?;
    Ok(crate::trace::fill(template, found))
}

/// Reads every tensor of a file by name.
///
/// # Errors
/// If the file cannot be read or holds a dtype that gradloom does not have.
pub fn load_safetensors_all(path: impl AsRef<Path>) -> Result<BTreeMap<String, Tensor>> {
    let op = "load_safetensors_all";
    let path = path.as_ref();
    let bytes = read(path)?;
    let file = open(op, path, &bytes)?;
    let one = |(name, view): (&str, TensorView<'_>)| {
        let dtype = dtype_of(view.dtype()).ok_or_else(|| {
            Error::limit(
                op,
                format!("{}: `{name}` is {}, a dtype gradloom does not have", path.display(), file_type(&view)),
            )
        })?;
        Ok((name.to_string(), tensor(op, path, name, dtype, &view)?))
    };
    file.iter().map(one).collect()
}

fn open<'a>(op: &str, path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>> {
    SafeTensors::deserialize(bytes)
        .map_err(|e| Error::user(op, format!("{} is not a safetensors file: {e}", path.display())))
}

fn tensor(op: &str, path: &Path, name: &str, dtype: DType, view: &TensorView<'_>) -> Result<Tensor> {
    decode(dtype, view.shape(), view.data(), true)
        .ok_or_else(|| Error::user(op, format!("{}: `{name}` has fewer bytes than its shape says", path.display())))
}

fn file_type(view: &TensorView<'_>) -> String {
    match dtype_of(view.dtype()) {
        Some(d) => Type::new(d, view.shape()).to_string(),
        _ => format!("{:?}{:?}", view.dtype(), view.shape()),
    }
}

/// Where a file and a tree differ.
#[derive(Default)]
struct Problems {
    missing: Vec<String>,
    extra: Vec<String>,
    mistyped: Vec<String>,
}

impl Problems {
    fn check(&self, op: &str, path: &Path) -> Result<()> {
        let mut parts = Vec::new();
        let lists = [("it lacks", &self.missing), ("the tree has no", &self.extra), ("", &self.mistyped)];
        for (what, names) in lists.into_iter().filter(|(_, n)| !n.is_empty()) {
            let quote = |n: &String| if what.is_empty() { n.clone() } else { format!("`{n}`") };
            let shown: Vec<String> = names.iter().take(NAMES_SHOWN).map(quote).collect();
            let more = names.len().saturating_sub(NAMES_SHOWN);
            let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
            parts.push(format!("{what} {}{rest}", shown.join(", ")).trim_start().to_string());
        }
        if parts.is_empty() {
            return Ok(());
        }
        Err(Error::user(op, format!("{} does not fit the tree: {}", path.display(), parts.join("; ")))
            .help("`load_safetensors_all` reads any file by name"))
    }
}
