//! Kernels as machine code: compiled once, kept on disk by what they are made of, loaded once.

use super::gpu::{Gpu, driver_error, locked};
use super::nvrtc::{Architecture, Nvrtc, options};
use super::print::{KernelSource, source};
use crate::grid::GridKernel;
use cudarc::driver::{DriverError, result, sys};
use gradloom_ir::{Error, Result};
use rayon::prelude::*;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_void};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// A loaded kernel. It stays loaded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Function(sys::CUfunction);

// SAFETY: a handle that may be used from all threads.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}

impl Function {
    /// Queues a launch of `blocks` blocks of `threads` threads.
    ///
    /// # Safety
    /// `params` point to the kernel's params, one each, and what those point to holds what the kernel reads and writes until it
    /// has run; the stream is the context's.
    pub(super) unsafe fn launch(
        self,
        blocks: u32,
        threads: u32,
        stream: sys::CUstream,
        params: &mut [*mut c_void],
    ) -> Result<(), DriverError> {
        // SAFETY: the module is never unloaded; the rest is handed on.
        unsafe { result::launch_kernel(self.0, (blocks, 1, 1), (threads, 1, 1), 0, stream, params) }
    }
}

/// A param for a launch, which reads it before it returns.
pub(super) fn param<T>(x: &T) -> *mut c_void {
    std::ptr::from_ref(x).cast_mut().cast()
}

/// Kernels of a module, in the thread's current context; it is never unloaded.
///
/// # Safety
/// The code is a whole module; PTX ends with a zero byte.
pub(super) unsafe fn load<const N: usize>(code: &[u8], names: [&CStr; N]) -> Result<[Function; N], DriverError> {
    // SAFETY: the code is read while this runs, and the module stays.
    let module = unsafe { result::module::load_data(code.as_ptr().cast())? };
    let mut functions = [Function(std::ptr::null_mut()); N];
    for (function, name) in functions.iter_mut().zip(names) {
        // SAFETY: the module was just loaded.
        *function = Function(unsafe { result::module::get_function(module, name.into())? });
    }
    Ok(functions)
}

/// The kernels that a GPU has loaded.
#[derive(Default)]
pub(super) struct Modules(Mutex<HashMap<u128, Function>>);

/// What names a text among all others: 128 bits make a collision by accident impossible in practice.
pub(super) fn fingerprint(parts: &[&str]) -> u128 {
    let half = |seed: u64| {
        let mut h = DefaultHasher::new();
        seed.hash(&mut h);
        parts.hash(&mut h);
        h.finish()
    };
    u128::from(half(1)) << 64 | u128::from(half(2))
}

impl Gpu {
    /// The kernels, loaded; those that are new are compiled on all cores.
    ///
    /// # Errors
    /// An instruction without a form on GPUs, no compiler, or what compiler or driver do not accept.
    pub(super) fn functions(&self, kernels: &[GridKernel]) -> Result<Vec<Function>> {
        let sources: Vec<KernelSource> = kernels.par_iter().map(source).collect::<Result<_>>()?;
        self.loaded_from(&sources)
    }

    /// The kernel of a text that was written by hand.
    ///
    /// # Errors
    /// No compiler, or what compiler or driver do not accept.
    pub(super) fn function(&self, name: &str, text: &str) -> Result<Function> {
        let loaded = self.loaded_from(&[KernelSource { text: text.into(), name: name.into() }])?;
        loaded.first().copied().ok_or_else(|| Error::internal("cuda", "a kernel was lost"))
    }

    fn loaded_from(&self, sources: &[KernelSource]) -> Result<Vec<Function>> {
        let keys: Vec<u128> = sources.iter().map(|s| fingerprint(&[&s.text])).collect();
        let missing: Vec<usize> = {
            let loaded = locked(&self.modules.0);
            (0..keys.len()).filter(|&i| !loaded.contains_key(&keys[i])).collect()
        };
        let architecture = self.architecture();
        let code: Vec<Vec<u8>> =
            missing.par_iter().map(|&i| machine_code(&sources[i].text, architecture)).collect::<Result<_>>()?;
        self.enter()?;
        let mut loaded = locked(&self.modules.0);
        for (&i, code) in missing.iter().zip(&code) {
            if loaded.contains_key(&keys[i]) {
                continue;
            }
            let name = CString::new(sources[i].name.as_str())
                .map_err(|_| Error::internal("cuda", "the name of a kernel holds a zero byte"))?;
            // SAFETY: the code is a whole module.
            let [function] = unsafe { load(code, [&name]) }
                .map_err(|e| driver_error(&format!("the kernel {} cannot be loaded", sources[i].name), e))?;
            loaded.insert(keys[i], function);
        }
        keys.iter()
            .map(|k| loaded.get(k).copied().ok_or_else(|| Error::internal("cuda", "a kernel was lost")))
            .collect()
    }
}

/// Machine code for a text: from disk, or from the compiler.
fn machine_code(text: &str, architecture: Architecture) -> Result<Vec<u8>> {
    let compiler = Nvrtc::find();
    // without a compiler, what any version made is good
    let version = compiler.as_ref().map_or_else(|_| String::new(), |c| format!("{:?}", c.version()));
    let folder = cache_folder();
    let key = fingerprint(&[text, &version, &options(architecture).join(" ")]);
    let path = folder.as_ref().map(|f| f.join(format!("{key:032x}.cubin")));
    if let Some(code) = path.as_deref().and_then(read) {
        return Ok(code);
    }
    let code = compiler?.compile(text, architecture)?.cubin;
    if let Some(path) = path
        && let Err(e) = write(&path, &code)
    {
        tracing::warn!(path = %path.display(), error = %e, "a compiled kernel could not be kept");
    }
    Ok(code)
}

/// The folder that this program names.
static NAMED: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Keeps compiled kernels in `folder` from now on; an empty path keeps none. Else they are where the environment variable
/// `GRADLOOM_CACHE` says, or in the user's folder for what can be made again.
pub fn keep_kernels_in(folder: impl Into<PathBuf>) {
    *locked(&NAMED) = Some(folder.into());
}

/// Where kernels are kept, if they are.
pub(super) fn cache_folder() -> Option<PathBuf> {
    let named = locked(&NAMED).clone();
    let named = named.or_else(|| std::env::var_os("GRADLOOM_CACHE").map(PathBuf::from));
    let user = || {
        let home = |var: &str| std::env::var_os(var).map(PathBuf::from).filter(|p| p.is_absolute());
        home("XDG_CACHE_HOME").or_else(|| Some(home("HOME")?.join(".cache")))
    };
    let folder = match named {
        Some(folder) => Some(folder).filter(|f| !f.as_os_str().is_empty()),
        None => user().map(|u| u.join("gradloom")),
    };
    folder.map(|f| f.join("kernels"))
}

/// What a file holds, if it is whole: its last eight bytes are the hash of the others.
pub(super) fn read(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = std::fs::read(path).ok()?;
    let (code, check) = bytes.split_last_chunk::<8>()?;
    if checksum(code) != u64::from_le_bytes(*check) {
        tracing::warn!(path = %path.display(), "a kept kernel is damaged and is compiled again");
        return None;
    }
    bytes.truncate(bytes.len() - 8);
    Some(bytes)
}

fn checksum(bytes: &[u8]) -> u64 {
    let mut h = DefaultHasher::new();
    bytes.hash(&mut h);
    h.finish()
}

/// Writes a file under another name and renames it, so that nobody reads half of it.
pub(super) fn write(path: &Path, code: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let own = format!("{}-{:?}.part", std::process::id(), std::thread::current().id());
    let part = path.with_extension(own.replace(['(', ')'], ""));
    let mut file = std::fs::File::create(&part)?;
    let done = file.write_all(code).and_then(|()| file.write_all(&checksum(code).to_le_bytes()));
    drop(file);
    let done = done.and_then(|()| std::fs::rename(&part, path));
    if done.is_err() {
        // what is left over harms nobody
        let _ = std::fs::remove_file(&part);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_files_are_not_read() {
        let folder = std::env::temp_dir().join(format!("gradloom-modules-{}", std::process::id()));
        let path = folder.join("a.cubin");
        write(&path, b"machine code").unwrap();
        assert_eq!(read(&path).as_deref(), Some(&b"machine code"[..]));
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[3] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(read(&path), None);
        std::fs::write(&path, b"short").unwrap();
        assert_eq!(read(&path), None);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn fingerprints_tell_parts_apart() {
        assert_ne!(fingerprint(&["ab", "c"]), fingerprint(&["a", "bc"]));
    }
}
