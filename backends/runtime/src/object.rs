//! Programs in object files: what the compiler writes, and how it is loaded and called from Rust and C.

use crate::{Buffer, CpuProgram, KernelFn, Program};
use gradloom_ir::{DType, Error, Literal, Result, Type};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::ffi::{CString, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicPtr, Ordering};

/// Version of the form of objects; a runtime loads those of its own version.
pub const VERSION: u64 = 4;

/// What an object file holds under the symbol `NAME_object`. See [`object!`].
#[repr(C)]
pub struct Object {
    /// [`VERSION`] of the compiler that wrote it.
    pub version: u64,
    /// The [`Contents`], written with `postcard`.
    pub contents: *const u8,
    /// Their bytes.
    pub contents_bytes: u64,
    /// The constants, one after the other, each aligned to [`crate::ALIGN`].
    pub constants: *const u8,
    /// The kernels, by their ids.
    pub kernels: *const KernelFn,
    /// How many.
    pub kernel_count: u64,
    /// The loaded program, once it has been asked for.
    pub model: AtomicPtr<Model>,
}

// SAFETY: what the pointers lead to is never written; the model is set once, atomically.
unsafe impl Sync for Object {}

/// A program in an object file, but for its code and constants.
#[derive(Serialize, Deserialize)]
pub struct Contents {
    /// Types of the inputs.
    #[serde(with = "types")]
    pub inputs: Vec<Type>,
    /// Types of the outputs.
    #[serde(with = "types")]
    pub outputs: Vec<Type>,
    /// What the processor must have for the code to run, by the names of Rust's feature detection.
    pub features: Vec<String>,
    /// The steps.
    pub program: Program,
}

/// Types as dtype names and shapes.
mod types {
    use super::*;

    pub fn serialize<S: serde::Serializer>(types: &[Type], s: S) -> std::result::Result<S::Ok, S::Error> {
        types.iter().map(|t| (t.dtype.name(), &t.shape[..])).collect::<Vec<_>>().serialize(s)
    }

    pub fn deserialize<'de, D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Vec<Type>, D::Error> {
        let pairs = Vec::<(String, Vec<usize>)>::deserialize(d)?;
        let ty = |(name, shape): (String, Vec<usize>)| {
            let dtype =
                DType::from_name(&name).ok_or_else(|| serde::de::Error::custom(format!("no dtype `{name}`")))?;
            Ok(Type::new(dtype, &shape))
        };
        pairs.into_iter().map(ty).collect()
    }
}

/// A feature of `features` that this processor lacks; one this runtime does not know counts as lacking.
pub fn missing_feature(features: &[String]) -> Option<&str> {
    features.iter().map(String::as_str).find(|f| !detected(f))
}

#[cfg(target_arch = "x86_64")]
fn detected(feature: &str) -> bool {
    macro_rules! table {
        ($($name:tt)*) => {
            match feature {
                $($name => is_x86_feature_detected!($name),)*
                _ => false,
            }
        };
    }
    table!["sse3" "ssse3" "sse4.1" "sse4.2" "popcnt" "avx" "avx2" "fma" "bmi1" "bmi2" "lzcnt" "f16c" "cmpxchg16b"
        "avx512f" "avx512bw" "avx512cd" "avx512dq" "avx512vl" "avx512bitalg" "avx512vbmi" "avx512vnni" "avx512bf16" "avxvnni"]
}

#[cfg(not(target_arch = "x86_64"))]
fn detected(_: &str) -> bool {
    // objects for other processors use what all of their kind have, and ask for no feature
    false
}

/// A program from an object file, ready to run, on any thread.
pub struct Model {
    program: CpuProgram,
    inputs: Vec<Type>,
    outputs: Vec<Type>,
}

impl Object {
    /// The program, loaded on the first call.
    ///
    /// # Errors
    /// If the object was written for another version, or for a processor that has what this one lacks.
    ///
    /// # Safety
    /// The object was written by gradloom's compiler.
    pub unsafe fn model(&'static self) -> Result<&'static Model> {
        // SAFETY: only models made below are stored, and they are never freed.
        if let Some(model) = unsafe { self.model.load(Ordering::Acquire).as_ref() } {
            return Ok(model);
        }
        // SAFETY: the caller's promise.
        let made = Box::into_raw(Box::new(unsafe { self.load()? }));
        match self.model.compare_exchange(std::ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: stored for good.
            Ok(_) => Ok(unsafe { &*made }),
            Err(first) => {
                // SAFETY: `made` was not stored; `first` was, by another thread.
                unsafe {
                    drop(Box::from_raw(made));
                    Ok(&*first)
                }
            }
        }
    }

    unsafe fn load(&self) -> Result<Model> {
        if self.version != VERSION {
            let what = format!("the object has version {}, this runtime loads {VERSION}", self.version);
            return Err(Error::user("load", what).help("compile and link with one version of gradloom"));
        }
        // SAFETY: the compiler wrote these addresses and sizes.
        let (bytes, kernels) = unsafe {
            (
                std::slice::from_raw_parts(self.contents, self.contents_bytes as usize),
                match self.kernel_count {
                    0 => &[][..],
                    n => std::slice::from_raw_parts(self.kernels, n as usize),
                },
            )
        };
        let contents: Contents = postcard::from_bytes(bytes)
            .map_err(|e| Error::user("load", format!("the object's contents cannot be read: {e}")))?;
        if let Some(feature) = missing_feature(&contents.features) {
            let what = format!("the object was compiled for processors with {feature}, which this one has not");
            return Err(Error::limit("load", what).help("compile it for an older processor: `gradloom compile --cpu`"));
        }
        let Contents { inputs, outputs, mut program, .. } = contents;
        let mut at = 0;
        program.place_constants(&mut |n| {
            // SAFETY: the constants lie in this order, at multiples of the alignment, for good.
            let constant = unsafe { Buffer::borrowed(self.constants.add(at), n) };
            at += n.next_multiple_of(crate::ALIGN);
            constant
        });
        program.place(&|id| kernels[id.0]);
        let output_bytes = outputs.iter().map(Type::bytes).collect();
        // SAFETY: the contents are those the compiler wrote for these kernels, which are part of the program for good.
        let program = unsafe { CpuProgram::new(program, output_bytes, Box::new(())) };
        Ok(Model { program, inputs, outputs })
    }
}

impl Model {
    /// Types of the inputs.
    pub fn inputs(&self) -> &[Type] {
        &self.inputs
    }

    /// Types of the outputs.
    pub fn outputs(&self) -> &[Type] {
        &self.outputs
    }

    /// Runs on arrays.
    ///
    /// # Errors
    /// If they do not have the types of the inputs.
    pub fn run(&self, inputs: &[Literal]) -> Result<Vec<Literal>> {
        if inputs.len() != self.inputs.len() {
            return Err(wrong_number("inputs", self.inputs.len(), inputs.len()));
        }
        for (i, (x, ty)) in inputs.iter().zip(&self.inputs).enumerate() {
            if x.ty() != ty {
                return Err(Error::user("run", format!("input {i} should be {ty} but is {}", x.ty())));
            }
        }
        let args: Vec<Buffer> = inputs.iter().map(|x| Buffer::from_bytes(x.bytes())).collect();
        let outs = self.outputs.iter().map(|t| Buffer::try_uninit(t.bytes())).collect::<Result<Vec<_>>>()?;
        // SAFETY: types are checked, buffers aligned; outputs are fresh.
        unsafe { self.program.run_at(args.iter().map(Buffer::as_mut_ptr), outs.iter().map(Buffer::as_mut_ptr))? };
        let literal = |(ty, b): (&Type, &Buffer)| Literal::from_bytes(ty.clone(), b.bytes().to_vec());
        let outs: Option<Vec<Literal>> = self.outputs.iter().zip(&outs).map(literal).collect();
        outs.ok_or_else(|| Error::internal("run", "a buffer does not fit its type"))
    }

    /// Runs on memory: the elements of each array in row-major order, complex numbers as two, halves as their bits.
    /// Slices that are not aligned to their elements are copied.
    ///
    /// # Errors
    /// If slices are not as many and as large as the program's inputs and outputs, or a bool is neither 0 nor 1.
    pub fn run_bytes(&self, inputs: &[&[u8]], outputs: &mut [&mut [u8]]) -> Result<()> {
        if inputs.len() != self.inputs.len() {
            return Err(wrong_number("inputs", self.inputs.len(), inputs.len()));
        }
        if outputs.len() != self.outputs.len() {
            return Err(wrong_number("outputs", self.outputs.len(), outputs.len()));
        }
        for (i, (x, ty)) in inputs.iter().zip(&self.inputs).enumerate() {
            check_size("input", i, ty, x.len())?;
            if ty.dtype == DType::Bool && x.iter().any(|&b| b > 1) {
                return Err(Error::user("run", format!("input {i} is {ty} and holds a byte that is neither 0 nor 1")));
            }
        }
        for (i, (x, ty)) in outputs.iter().zip(&self.outputs).enumerate() {
            check_size("output", i, ty, x.len())?;
        }
        let inputs: Vec<*const u8> = inputs.iter().map(|x| x.as_ptr()).collect();
        let outputs: Vec<*mut u8> = outputs.iter_mut().map(|x| x.as_mut_ptr()).collect();
        // SAFETY: numbers and sizes are checked; `&mut` slices overlap nothing.
        unsafe { self.run_unaligned(&inputs, &outputs) }
    }

    /// As [`CpuProgram::run_at`], on memory of any alignment.
    unsafe fn run_unaligned(&self, inputs: &[*const u8], outputs: &[*mut u8]) -> Result<()> {
        let aligned = |p: *const u8, ty: &Type| {
            let parts = if ty.dtype.is_complex() { 2 } else { 1 };
            p.addr().is_multiple_of(ty.dtype.size() / parts)
        };
        // a copy for each input and output that needs one
        let mut copies = Vec::new();
        let mut args = Vec::with_capacity(inputs.len());
        for (&p, ty) in inputs.iter().zip(&self.inputs) {
            args.push(if aligned(p, ty) {
                p.cast_mut()
            } else {
                // SAFETY: the input has as many bytes as its type.
                let copy = Buffer::from_bytes(unsafe { std::slice::from_raw_parts(p, ty.bytes()) });
                copies.push(copy);
                copies[copies.len() - 1].as_mut_ptr()
            });
        }
        let mut outs = Vec::with_capacity(outputs.len());
        let mut back = Vec::new();
        for (&p, ty) in outputs.iter().zip(&self.outputs) {
            outs.push(if aligned(p, ty) {
                p
            } else {
                let copy = Buffer::try_uninit(ty.bytes())?;
                back.push((p, copy));
                back[back.len() - 1].1.as_mut_ptr()
            });
        }
        // SAFETY: the caller's promise, and alignment is seen to.
        unsafe { self.program.run_at(args.into_iter(), outs.into_iter())? };
        for (p, copy) in back {
            // SAFETY: the output has as many bytes as its copy.
            unsafe { p.copy_from_nonoverlapping(copy.as_ptr(), copy.len()) };
        }
        Ok(())
    }
}

fn wrong_number(what: &str, want: usize, got: usize) -> Error {
    Error::user("run", format!("the program has {want} {what}, got {got}"))
}

fn check_size(what: &str, i: usize, ty: &Type, got: usize) -> Result<()> {
    if got == ty.bytes() {
        return Ok(());
    }
    Err(Error::user("run", format!("{what} {i} is {ty}, {} bytes, but has {got}", ty.bytes())))
}

/// The program of an object file that is linked in, written by `gradloom compile --name NAME` (the name is by default that
/// of the file): `gradloom_runtime::object!(NAME)` is a `Result<&'static Model>`.
/// `frontend/cli/examples/deploy/rust` is a program that does so; the tests build and run it.
#[macro_export]
macro_rules! object {
    ($name:ident) => {{
        unsafe extern "C" {
            #[link_name = concat!(stringify!($name), "_object")]
            static OBJECT: $crate::Object;
        }
        // SAFETY: symbols of this form are written by gradloom's compiler.
        unsafe { OBJECT.model() }
    }};
}

thread_local! {
    /// The last error on this thread, for C.
    static LAST_ERROR: RefCell<CString> = RefCell::default();
}

/// Runs the program of an object on memory. 0, or 1 and [`gradloom_error`] says why. Object files call it: their function
/// `NAME` has the object as its first argument already.
///
/// # Safety
/// The object was written by gradloom's compiler. `inputs` and `outputs` are as many pointers as the program has inputs
/// and outputs, each to as many bytes as its type takes; bools are 0 or 1. Outputs overlap nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradloom_run(
    object: &'static Object,
    inputs: *const *const u8,
    outputs: *const *mut u8,
) -> c_int {
    let run = || -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe {
            let model = object.model()?;
            let inputs = pointers(inputs, model.inputs.len());
            let outputs = pointers(outputs, model.outputs.len());
            model.run_unaligned(inputs, outputs)
        }
    };
    // a panic must not unwind into C
    let outcome = catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_| Err(Error::internal("run", "the program panicked; its message is on stderr")));
    match outcome {
        Ok(()) => 0,
        Err(e) => {
            let text = e.to_string().replace('\0', " ");
            LAST_ERROR.with(|last| *last.borrow_mut() = CString::new(text).unwrap_or_default());
            1
        }
    }
}

unsafe fn pointers<'a, P>(p: *const P, n: usize) -> &'a [P] {
    // a program without inputs may be given no table
    if n == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(p, n) }
}

/// What went wrong in the last call on this thread that did not return 0. Valid until the next call on this thread.
#[unsafe(no_mangle)]
pub extern "C" fn gradloom_error() -> *const c_char {
    LAST_ERROR.with(|last| last.borrow().as_ptr())
}

/// Limits the threads that programs run on; by default there are as many as the machine has processors. 0, or 1 if
/// programs have run already.
#[unsafe(no_mangle)]
pub extern "C" fn gradloom_set_threads(threads: c_int) -> c_int {
    let built = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1) as usize).build_global();
    c_int::from(built.is_err())
}
