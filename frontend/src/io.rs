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

/// How a file holds its elements: as one of our dtypes, or in a half precision that is widened to f32 (exactly).
#[derive(Clone, Copy, PartialEq, Debug)]
enum Stored {
    As(DType),
    F16,
    Bf16,
}

impl Stored {
    fn size(self) -> usize {
        match self {
            Stored::As(d) => d.size(),
            Stored::F16 | Stored::Bf16 => 2,
        }
    }

    fn dtype(self) -> DType {
        match self {
            Stored::As(d) => d,
            Stored::F16 | Stored::Bf16 => DType::F32,
        }
    }
}

/// A tensor of elements as a file holds them; `None` if their number does not fit the shape.
fn decode(stored: Stored, shape: &[usize], bytes: &[u8], little_endian: bool) -> Option<Tensor> {
    let size = stored.size();
    let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
    if count.checked_mul(size)? != bytes.len() {
        return None;
    }
    let mut native = bytes.to_vec();
    if little_endian != cfg!(target_endian = "little") {
        native.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
    let halves = || native.chunks_exact(2).map(|b| u16::from_ne_bytes([b[0], b[1]]));
    let widened = |values: Vec<f32>| values.iter().flat_map(|v| v.to_ne_bytes()).collect::<Vec<u8>>();
    let native = match stored {
        Stored::As(DType::Bool) => native.iter().map(|&b| u8::from(b != 0)).collect(),
        Stored::As(_) => native,
        Stored::F16 => widened(halves().map(|b| half::f16::from_bits(b).to_f32()).collect()),
        Stored::Bf16 => widened(halves().map(|b| half::bf16::from_bits(b).to_f32()).collect()),
    };
    Some(Tensor::from_buffer(Type::new(stored.dtype(), shape), Arc::new(Buffer::from_bytes(&native))))
}

/// The elements in little-endian order.
fn encode(t: &Tensor) -> Result<Vec<u8>> {
    let mut bytes = t.array()?.buffer.bytes().to_vec();
    if cfg!(target_endian = "big") {
        bytes.chunks_exact_mut(t.dtype().size()).for_each(<[u8]>::reverse);
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
