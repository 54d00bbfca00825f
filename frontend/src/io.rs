//! Files: arrays (`.npy`, `.npz`) and weights (`.safetensors`).
//!
//! What is saved by tree goes by the names of [`crate::Tree::paths`]. Files are written whole or not at all.

mod arrays;
mod weights;

pub use arrays::{load_npy, load_npz, save_npy, save_npz};
pub use weights::{load_safetensors, load_safetensors_all, save_safetensors};

use crate::tensor::Tensor;
use crate::tree::Tree;
use gradloom_backends::Buffer;
use gradloom_ir::{DType, Type};
use std::sync::Arc;

use gradloom_ir::{Error, Result};
use std::io::Write;
use std::path::Path;

/// Writes a file under a temporary name beside it and renames it, so that a reader or a crash never sees half of it.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let name = path.file_name().ok_or_else(|| Error::user("write", format!("{} names no file", path.display())))?;
    let temporary = path.with_file_name(format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut f = std::fs::File::create(&temporary)?;
        f.write_all(bytes)?;
        f.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|e| {
        // the rename did not happen, so the temporary file is ours to remove; that it may not exist is no further error
        let _ = std::fs::remove_file(&temporary);
        Error::io(format!("write {}", path.display()), &e)
    })
}

/// The file's contents.
fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::io(format!("read {}", path.display()), &e))
}

/// Elements as a file holds them, or as they are in memory: their order of bytes reversed, number by number.
fn reversed(dtype: DType, bytes: &mut [u8]) {
    bytes.chunks_exact_mut(dtype.real().size()).for_each(<[u8]>::reverse);
}

/// A tensor of elements as a file holds them; `None` if their number does not fit the shape.
fn decode(dtype: DType, shape: &[usize], bytes: &[u8], little_endian: bool) -> Option<Tensor> {
    let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
    if count.checked_mul(dtype.size())? != bytes.len() {
        return None;
    }
    let mut native = bytes.to_vec();
    if little_endian != cfg!(target_endian = "little") {
        reversed(dtype, &mut native);
    }
    if dtype == DType::Bool {
        native.iter_mut().for_each(|b| *b = u8::from(*b != 0));
    }
    Some(Tensor::created(Type::new(dtype, shape), Arc::new(Buffer::from_bytes(&native))))
}

/// The elements in little-endian order.
fn encode(t: &Tensor) -> Result<Vec<u8>> {
    let mut bytes = t.array()?.data.host()?.bytes().to_vec();
    if cfg!(target_endian = "big") {
        reversed(t.dtype(), &mut bytes);
    }
    Ok(bytes)
}

/// The leaves of a tree with their names; a tree that is one tensor goes by the name `tensor`.
fn named_leaves<T: Tree>(op: &str, tree: &T) -> Result<Vec<(String, Tensor)>> {
    let names = tree.paths().into_iter().map(|p| if p.is_empty() { "tensor".to_string() } else { p });
    let named: Vec<(String, Tensor)> = names.zip(tree.leaves()).collect();
    let mut sorted: Vec<&String> = named.iter().map(|(n, _)| n).collect();
    sorted.sort_unstable();
    if let Some(w) = sorted.windows(2).find(|w| w[0] == w[1]) {
        return Err(Error::user(op, format!("two leaves have the name `{}`", w[0])).help("rename a key of the tree"));
    }
    Ok(named)
}
