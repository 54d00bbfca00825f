//! The CUDA C of all programs that a process compiles, for whatever device, as files: what they would be on a GPU, to be read or
//! to be compiled for GPUs that are not there (the example `gpu_kernels`).

use super::modules::fingerprint;
use super::print::source;
use crate::grid::library::Routine;
use crate::grid::{Fusing, Libraries, compile_with};
use gradloom_ir::{Error, Graph, Result};
use std::path::Path;

/// The environment variable that names the folder.
pub const FOLDER: &str = "GRADLOOM_KERNEL_SOURCES";

/// Libraries that compute whatever kernels do not, and what nothing computes: so the rest of a program is printed all the same.
struct WhatKernelsDoNot;

impl Libraries for WhatKernelsDoNot {
    fn takes(&self, routine: &Routine) -> Result<Option<usize>> {
        Ok(match routine {
            Routine::Product(_) | Routine::Convolution(_) => None,
            _ => Some(0),
        })
    }

    fn leaves_out(&self) -> bool {
        true
    }
}

/// Writes the program's kernels, if the environment variable [`FOLDER`] names a folder.
///
/// # Errors
/// If a file cannot be written. A kernel that has no text is left out; the log says so.
pub(crate) fn write(g: &Graph) -> Result<()> {
    match std::env::var_os(FOLDER) {
        Some(folder) if !folder.is_empty() => write_in(g, Path::new(&folder)),
        _ => Ok(()),
    }
}

fn write_in(g: &Graph, folder: &Path) -> Result<()> {
    let program = match compile_with(g, Fusing::default(), &WhatKernelsDoNot) {
        Ok(program) => program,
        Err(e) => {
            tracing::warn!(error = %e, "a program has no form on GPUs");
            return Ok(());
        }
    };
    let failed = |e: std::io::Error| Error::io(format!("write {}", folder.display()), &e);
    std::fs::create_dir_all(folder).map_err(failed)?;
    for kernel in &program.kernels {
        let source = match source(kernel) {
            Ok(source) => source,
            Err(e) => {
                tracing::warn!(error = %e, kernel = kernel.name, "a kernel has no form on GPUs");
                continue;
            }
        };
        let path = folder.join(format!("{}-{:032x}.cu", source.name, fingerprint(&[&source.text])));
        if !path.exists() {
            let part = path.with_extension(format!("{}.part", std::process::id()));
            std::fs::write(&part, source.text).and_then(|()| std::fs::rename(&part, &path)).map_err(failed)?;
        }
    }
    Ok(())
}
