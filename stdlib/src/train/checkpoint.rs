//! Checkpoints that survive the end of the process at any moment.

use gradloom_frontend::{Error, Result, Tensor, Tree, io};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Checkpoints in a directory of their own, as safetensors files named by their step.
///
/// A file is written under another name, flushed to the disk and renamed: whatever has the name of a checkpoint is whole.
/// One process at a time writes to a directory.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// use gradloom_stdlib::train::Checkpoints;
/// # let dir = std::env::temp_dir().join(format!("gradloom-checkpoints-{}", std::process::id()));
/// let checkpoints = Checkpoints::open(&dir, 2)?;
/// let state = (Tensor::ones([2]), Tensor::from(3));
/// for step in [10, 20, 30] {
///     checkpoints.save(step, &state)?;
/// }
/// assert_eq!(checkpoints.steps()?, [20, 30]);
/// let (step, (x, n)) = checkpoints.load_latest(&state)?.unwrap();
/// assert_eq!((step, x.size(), n.item::<i32>()?), (30, 2, 3));
/// # std::fs::remove_dir_all(&dir).unwrap();
/// # Ok::<(), gradloom::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Checkpoints {
    dir: PathBuf,
    keep: usize,
}

const PREFIX: &str = "step-";
const SUFFIX: &str = ".safetensors";

impl Checkpoints {
    /// The checkpoints of a directory, made if it is not there, of which the last `keep` (at least 1) stay. What an
    /// interrupted save left is removed.
    ///
    /// # Errors
    /// If the directory cannot be made or read.
    pub fn open(dir: impl AsRef<Path>, keep: usize) -> Result<Checkpoints> {
        let dir = dir.as_ref().to_path_buf();
        std::fs::create_dir_all(&dir).map_err(|e| failed("create", &dir, &e))?;
        let checkpoints = Checkpoints { dir, keep: keep.max(1) };
        for name in checkpoints.names()? {
            if name.starts_with(&format!(".{PREFIX}")) && name.ends_with(".tmp") {
                remove(&checkpoints.dir.join(name))?;
            }
        }
        Ok(checkpoints)
    }

    fn names(&self) -> Result<Vec<String>> {
        let entries = std::fs::read_dir(&self.dir).map_err(|e| failed("read", &self.dir, &e))?;
        let name = |e: std::io::Result<std::fs::DirEntry>| {
            e.map(|e| e.file_name().to_string_lossy().into_owned()).map_err(|e| failed("read", &self.dir, &e))
        };
        entries.map(name).collect()
    }

    /// The file of a step.
    pub fn path(&self, step: u64) -> PathBuf {
        self.dir.join(format!("{PREFIX}{step:012}{SUFFIX}"))
    }

    /// The steps of which there are checkpoints, rising.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn steps(&self) -> Result<Vec<u64>> {
        let step = |name: String| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok();
        let mut steps: Vec<u64> = self.names()?.into_iter().filter_map(step).collect();
        steps.sort_unstable();
        Ok(steps)
    }

    /// Writes a checkpoint, then removes those that are too many.
    ///
    /// # Errors
    /// If a leaf is traced or holds an error, or the file cannot be written.
    pub fn save<T: Tree>(&self, step: u64, state: &T) -> Result<()> {
        io::save_safetensors(self.path(step), state)?;
        self.sync()?;
        let steps = self.steps()?;
        steps.iter().rev().skip(self.keep).try_for_each(|&old| remove(&self.path(old)))
    }

    /// The new name reaches the disk before older checkpoints go.
    #[cfg(unix)]
    fn sync(&self) -> Result<()> {
        let sync = || std::fs::File::open(&self.dir)?.sync_all();
        sync().map_err(|e| failed("write", &self.dir, &e))
    }

    #[cfg(not(unix))]
    fn sync(&self) -> Result<()> {
        Ok(())
    }

    /// The last checkpoint, if there is one: its step and its state, of the template's structure.
    ///
    /// # Errors
    /// If the file cannot be read, or the state is of another structure.
    pub fn load_latest<T: Tree>(&self, template: &T) -> Result<Option<(u64, T)>> {
        let Some(&step) = self.steps()?.last() else { return Ok(None) };
        Ok(Some((step, io::load_safetensors(self.path(step), template)?)))
    }

    /// The last checkpoint as tensors by name.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn load_latest_all(&self) -> Result<Option<(u64, BTreeMap<String, Tensor>)>> {
        let Some(&step) = self.steps()?.last() else { return Ok(None) };
        Ok(Some((step, io::load_safetensors_all(self.path(step))?)))
    }
}

fn failed(what: &str, path: &Path, e: &std::io::Error) -> Error {
    Error::io(format!("{what} {}", path.display()), e)
}

/// Removes a file that may be gone already.
fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(failed("remove", path, &e)),
        _ => Ok(()),
    }
}
