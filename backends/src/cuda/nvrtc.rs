//! NVIDIA's compiler at run time: CUDA C in, machine code out. It needs no GPU.

use super::libraries::Library;
use cudarc::nvrtc::{result, sys};
use gradloom_ir::{Error, Result};
use std::ffi::CString;
use std::sync::OnceLock;

/// The GPUs that code is made for, by compute capability: `Architecture(90)` is Hopper's sm_90.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Architecture(pub u32);

/// Machine code for GPUs of one architecture.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binary {
    /// The code, as the driver loads it.
    pub cubin: Vec<u8>,
    /// What the compiler said of registers, memory and spills, a line a fact.
    pub log: String,
}

/// What a thread of a kernel takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Usage {
    /// Registers of 32 bits.
    pub registers: usize,
    /// Bytes that registers are written to memory for want of more.
    pub spilled_bytes: usize,
    /// Bytes of the shared memory of a block.
    pub shared_bytes: usize,
}

impl Binary {
    /// What the compiler says that the kernel takes; `None` if it says nothing of it.
    pub fn usage(&self) -> Option<Usage> {
        // "Used 40 registers, 2048 bytes smem, 376 bytes cmem[0]", "0 bytes stack frame, 0 bytes spill stores, .."
        let before = |what: &str| {
            let text = self.log.split_once(what)?.0.trim_end();
            text.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        };
        Some(Usage {
            registers: before(" registers")?,
            spilled_bytes: before(" bytes spill stores")?,
            shared_bytes: before(" bytes smem").unwrap_or(0),
        })
    }
}

/// The compiler, found on this machine.
#[derive(Clone, Copy, Debug)]
pub struct Nvrtc(());

impl Nvrtc {
    /// Looks for the library, in the folders that the environment variable `GRADLOOM_CUDA_LIBRARIES` names and where the
    /// system looks.
    ///
    /// # Errors
    /// If it is not there: the names that were looked for.
    pub fn find() -> Result<Nvrtc> {
        static FOUND: OnceLock<Result<Nvrtc>> = OnceLock::new();
        FOUND.get_or_init(|| Library::Compiler.load().map(|()| Nvrtc(()))).clone()
    }

    /// The compiler's version: major, minor.
    pub fn version(self) -> (i32, i32) {
        let (mut major, mut minor) = (0, 0);
        // SAFETY: the library was found; both places are written. A compiler that does not know is version 0.
        let _ = unsafe { sys::nvrtcVersion(&mut major, &mut minor) };
        (major, minor)
    }

    /// Compiles a source to machine code.
    ///
    /// # Errors
    /// What the compiler does not accept, in its words.
    pub fn compile(self, source: &str, architecture: Architecture) -> Result<Binary> {
        let (program, log) = Program::compiled(source, &options(architecture))?;
        let mut size = 0;
        // SAFETY: the program lives until the end of this function, and the code has the size that it says.
        let cubin = unsafe {
            sys::nvrtcGetCUBINSize(program.0, &mut size).result().map_err(|e| failed("no code", e))?;
            let mut cubin = vec![0u8; size];
            sys::nvrtcGetCUBIN(program.0, cubin.as_mut_ptr().cast()).result().map_err(|e| failed("no code", e))?;
            cubin
        };
        Ok(Binary { cubin, log })
    }

    /// Compiles a source that calls functions of the driver's to PTX, which the driver links when it loads it: text that ends
    /// with a zero byte.
    ///
    /// # Errors
    /// As [`Nvrtc::compile`].
    pub(super) fn compile_for_linking(self, source: &str, architecture: Architecture) -> Result<Vec<u8>> {
        let options =
            [format!("--gpu-architecture=compute_{}", architecture.0), "--relocatable-device-code=true".into()];
        let (program, _) = Program::compiled(source, &options)?;
        let mut size = 0;
        // SAFETY: as above.
        unsafe {
            sys::nvrtcGetPTXSize(program.0, &mut size).result().map_err(|e| failed("no code", e))?;
            let mut ptx = vec![0u8; size];
            sys::nvrtcGetPTX(program.0, ptx.as_mut_ptr().cast()).result().map_err(|e| failed("no code", e))?;
            Ok(ptx)
        }
    }
}

fn failed(what: &str, e: result::NvrtcError) -> Error {
    Error::internal("nvrtc", format!("{what}: {e}"))
}

/// What the compiler is told.
pub(super) fn options(architecture: Architecture) -> [String; 4] {
    [
        format!("--gpu-architecture=sm_{}", architecture.0),
        "--std=c++17".into(),
        // results are those of the interpreter: sums and products are rounded one by one
        "--fmad=false".into(),
        "--ptxas-options=--verbose".into(),
    ]
}

/// A program of the compiler's, given back at the end.
struct Program(sys::nvrtcProgram);

impl Program {
    /// Compiles a source; the program, and what the compiler said.
    fn compiled(source: &str, options: &[String]) -> Result<(Program, String)> {
        let text = CString::new(source).map_err(|_| Error::internal("nvrtc", "the source holds a zero byte"))?;
        let program = Program(result::create_program(&text, None).map_err(|e| failed("no program", e))?);
        // SAFETY: the program was created above and lives.
        let (done, log) = unsafe {
            (
                result::compile_program(program.0, options),
                result::get_program_log(program.0).map_err(|e| failed("no log", e))?,
            )
        };
        let log: Vec<u8> = log.into_iter().map(|c| c as u8).take_while(|c| *c != 0).collect();
        let log = String::from_utf8_lossy(&log).into_owned();
        done.map_err(|e| failed(&log, e))?;
        Ok((program, log))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: it was created once and is not used any more. That it cannot be destroyed helps nobody to know.
        let _ = unsafe { result::destroy_program(self.0) };
    }
}
