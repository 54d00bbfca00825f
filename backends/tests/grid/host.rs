//! The CUDA C of kernels, compiled for this machine by a C++ compiler and run: `host.cuh` is a GPU in small.

use gradloom_backends::cuda::{KernelSource, source};
use gradloom_backends::grid::GridKernel;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;

/// A library of kernels for this machine.
pub struct Host {
    library: libloading::Library,
    kernels: Vec<GridKernel>,
    _folder: Folder,
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // what is left over in the temporary folder harms nobody
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The C++ compiler; `None` where there is none.
fn compiler() -> Option<&'static str> {
    ["c++", "g++", "clang++"].into_iter().find(|c| Command::new(c).arg("--version").output().is_ok())
}

impl Host {
    /// Compiles the kernels of the test `name`; `None` on a machine without a C++ compiler.
    pub fn new(name: &str, kernels: Vec<GridKernel>) -> Option<Host> {
        let Some(compiler) = compiler() else {
            eprintln!("there is no C++ compiler: the text of kernels is not run");
            return None;
        };
        let folder = std::env::temp_dir().join(format!("gradloom-grid-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let mut text = String::from(include_str!("host.cuh"));
        for (i, k) in kernels.iter().enumerate() {
            let KernelSource { text: code, name } = source(k).unwrap_or_else(|e| panic!("{e}\n{k:?}"));
            let code = code.replace("extern \"C\" ", "");
            let params: Vec<String> =
                (0..k.params.len()).map(|p| format!("(decltype(Params{i}::p{p}))params[{p}]")).collect();
            let types = code.lines().find(|l| l.contains("__global__")).expect("a kernel has a first line");
            let fields = types.split_once(&format!("{name}(")).expect("it names the kernel").1.replace(") {", "");
            let fields = fields.split(", ").filter(|f| !f.is_empty()).fold(String::new(), |all, f| all + f + "; ");
            // writing to a string does not fail
            let _ = write!(
                text,
                "namespace n{i} {{\n{code}\nstruct Params{i} {{ {fields} }};\nvoid entry(void** params) {{ {name}({}); }}\n}}\n\
                 extern \"C\" int run{i}(void** params) {{ return launch(n{i}::entry, params, {}, {}); }}\n",
                params.join(", "),
                k.blocks,
                k.threads
            );
        }
        let (from, to) = (folder.join("kernels.cpp"), folder.join("kernels.so"));
        std::fs::write(&from, text).expect("the folder can be written");
        let out = Command::new(compiler)
            .args(["-std=c++17", "-O0", "-w", "-shared", "-fPIC", "-ffp-contract=off", "-fno-strict-aliasing", "-o"])
            .args([&to, &from])
            .output()
            .expect("the compiler runs");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        // SAFETY: the library was just made; it has no initialisers but those of the C++ library.
        let library = unsafe { libloading::Library::new(&to) }.expect("the library loads");
        Some(Host { library, kernels, _folder: Folder(folder) })
    }

    /// Runs kernel `i` on one buffer a param.
    pub fn run(&self, i: usize, buffers: &mut [Vec<u8>]) {
        let kernel = &self.kernels[i];
        // a buffer begins at 16 bytes, as a GPU's do at 256
        let mut aligned: Vec<Vec<u128>> = buffers.iter().map(|b| vec![0; b.len().div_ceil(16).max(1)]).collect();
        let mut pointers: Vec<*mut u8> = aligned.iter_mut().map(|a| a.as_mut_ptr().cast()).collect();
        for (b, &p) in buffers.iter().zip(&pointers) {
            // SAFETY: the copy has room for the buffer.
            unsafe { p.copy_from_nonoverlapping(b.as_ptr(), b.len()) };
        }
        // SAFETY: the kernel was emulated on such buffers, which it does not leave.
        let stuck = unsafe {
            let run: libloading::Symbol<unsafe extern "C" fn(*mut *mut u8) -> i32> =
                self.library.get(format!("run{i}").as_bytes()).expect("every kernel has an entry");
            run(pointers.as_mut_ptr())
        };
        assert_eq!(stuck, 0, "threads of {kernel:?} wait for ever");
        for (b, &p) in buffers.iter_mut().zip(&pointers) {
            // SAFETY: as above.
            unsafe { b.as_mut_ptr().copy_from_nonoverlapping(p, b.len()) };
        }
    }
}
