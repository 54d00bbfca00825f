//! Where NVIDIA's libraries are found.

use super::gpu::locked;
use gradloom_ir::{Error, Result};
use std::path::PathBuf;
use std::sync::Mutex;

/// Folders with NVIDIA's libraries, where they are not where the system looks; as in `PATH`, several are told apart by `:`.
const FOLDERS: &str = "GRADLOOM_CUDA_LIBRARIES";

/// A folder that this program names, before those of the environment.
static NAMED: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Looks for NVIDIA's libraries in `folder` first, then where the environment variable `GRADLOOM_CUDA_LIBRARIES` says, then
/// where the system looks. Libraries that were found before stay.
pub fn look_in(folder: impl Into<PathBuf>) {
    *locked(&NAMED) = Some(folder.into());
}

/// A library of NVIDIA's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Library {
    Driver,
    Compiler,
    CublasLt,
    Cudnn,
    Cufft,
    Cublas,
    Cusolver,
}

impl Library {
    /// The stem of its file's name, and what it is called in messages.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Library::Driver => ("cuda", "NVIDIA's driver"),
            Library::Compiler => ("nvrtc", "NVIDIA's compiler NVRTC"),
            Library::CublasLt => ("cublasLt", "NVIDIA's library cuBLASLt"),
            Library::Cudnn => ("cudnn", "NVIDIA's library cuDNN"),
            Library::Cufft => ("cufft", "NVIDIA's library cuFFT"),
            Library::Cublas => ("cublas", "NVIDIA's library cuBLAS"),
            Library::Cusolver => ("cusolver", "NVIDIA's library cuSOLVER"),
        }
    }

    fn present(self) -> bool {
        // SAFETY: loading a library runs NVIDIA's initialisers, which ask for nothing.
        unsafe {
            match self {
                Library::Driver => cudarc::driver::sys::is_culib_present(),
                Library::Compiler => cudarc::nvrtc::sys::is_culib_present(),
                Library::CublasLt => cudarc::cublaslt::sys::is_culib_present(),
                Library::Cudnn => cudarc::cudnn::sys::is_culib_present(),
                Library::Cufft => cudarc::cufft::sys::is_culib_present(),
                Library::Cublas => cudarc::cublas::sys::is_culib_present(),
                Library::Cusolver => cudarc::cusolver::sys::is_culib_present(),
            }
        }
    }

    /// Loads the library, so that its functions can be called.
    ///
    /// # Errors
    /// If it is not there: the names and folders that were looked for.
    pub(super) fn load(self) -> Result<()> {
        self.load_for("device")
    }

    /// As [`Library::load`], for an op that needs it.
    ///
    /// # Errors
    /// As [`Library::load`]; the error names the op.
    pub(super) fn load_for(self, op: &str) -> Result<()> {
        let (stem, what) = self.names();
        let folders = folders();
        let files = cudarc::get_lib_name_candidates(stem);
        if preload(&folders, &files) || self.present() {
            return Ok(());
        }
        let mut looked: Vec<String> = folders.iter().map(|f| f.display().to_string()).collect();
        looked.push("where the system looks".into());
        let message = format!(
            "{what} was not found under any of the names {}; looked in: {}",
            files.join(", "),
            looked.join(", ")
        );
        Err(Error::limit(op, message).help(match self {
            Library::Driver => "install NVIDIA's driver, or use Device::cpu()".to_string(),
            Library::Cudnn => format!("install cuDNN 9, or set {FOLDERS} to the folder that holds it"),
            _ => format!("install CUDA 12, or set {FOLDERS} to the folders that hold its libraries"),
        }))
    }
}

fn folders() -> Vec<PathBuf> {
    let named = locked(&NAMED).clone();
    let environment = std::env::var_os(FOLDERS);
    named.into_iter().chain(environment.iter().flat_map(std::env::split_paths)).collect()
}

/// Loads a library from the user's folders, so that it is there when it is asked for by name; whether it was.
fn preload(folders: &[PathBuf], files: &[String]) -> bool {
    let paths = folders.iter().flat_map(|folder| files.iter().map(|f| folder.join(f)));
    paths.filter(|p| p.is_file()).any(|path| {
        // SAFETY: as in `present`; the library stays loaded.
        unsafe { libloading::Library::new(path) }.map(std::mem::forget).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a library is not there, the error names the op that needs it, the names that were looked for, and what to do.
    #[test]
    fn what_is_missing_is_named() {
        for library in [Library::Cufft, Library::Cusolver, Library::Cublas, Library::Cudnn] {
            if let Err(e) = library.load_for("the_op") {
                let text = e.to_string();
                let (stem, what) = library.names();
                assert!(["the_op", stem, what, "looked in", FOLDERS].iter().all(|part| text.contains(part)), "{text}");
            }
        }
    }
}
