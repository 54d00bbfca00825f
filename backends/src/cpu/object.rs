//! A program as an object file, to be linked into programs that have the runtime and no compiler.
//!
//! The file defines the data `NAME_object` (a [`gradloom_runtime::Object`]) and the function `NAME`, and needs
//! `gradloom_run` and the functions of [`gradloom_runtime::functions`] from the runtime.

use super::codegen::{Codegen, Output, Vectors, libcall_names, no_code, target};
use super::compile::compile_into;
use cranelift_codegen::ir::{AbiParam, InstBuilder};
use cranelift_codegen::isa::{OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::Configurable;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::{DataDescription, DataId, FuncId, Linkage, Module};
use cranelift_object::{ObjectBuilder, ObjectModule};
use gradloom_ir::{DType, Error, Graph, Result, Type};
use gradloom_runtime::{ALIGN, Contents, Object, Program, Step, VERSION, missing_feature};
use std::fmt::Write;
use std::mem::offset_of;

/// Which processors an object file is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Processor {
    /// This machine's and those that have all it has. Loading on another is an error that says what it lacks.
    #[default]
    Native,
    /// The level of the x86-64 psABI with AVX2 and FMA: nearly every server and desktop since 2015. Elsewhere, the
    /// plainest processor of this machine's kind.
    Baseline,
}

/// An object file and its C header.
pub struct ObjectFile {
    /// The object file.
    pub object: Vec<u8>,
    /// The header.
    pub header: String,
}

/// Compiles an optimised graph into an object file that defines the function `name`.
///
/// # Errors
/// As [`super::compile`]; if `name` is no C identifier, or the program calls functions of the host.
pub fn compile_object(g: &Graph, name: &str, processor: Processor) -> Result<ObjectFile> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !name.starts_with(|c: char| is_word(c) && !c.is_ascii_digit()) || !name.chars().all(is_word) {
        let what = format!("{name:?} cannot be the name of a function in C");
        return Err(
            Error::user("compile", what).help("give it a name (`--name`) of letters, digits and `_`, no digit first")
        );
    }
    let isa = isa(processor)?;
    let vectors = if processor == Processor::Native { Vectors::Widest } else { Vectors::Bits128 };
    let features = features(&*isa, vectors);
    if let Some(feature) = missing_feature(&features) {
        return Err(Error::internal("compile", format!("the runtime does not know the processor's {feature}")));
    }
    let builder = ObjectBuilder::new(isa, name, libcall_names()).map_err(internal)?;
    let mut code = Codegen::with_output(File(ObjectModule::new(builder)), vectors);
    let program = compile_into(g, &mut code)?;
    refuse_host_calls(&program)?;
    let contents = Contents { inputs: g.input_types(), outputs: g.output_types(), features, program };
    let bytes = postcard::to_stdvec(&contents).map_err(internal)?;
    let (kernels, File(mut module)) = code.into_parts();
    let object = define_object(&mut module, name, bytes, constants(&contents.program), &kernels)?;
    define_entry(&mut module, name, object)?;
    let object = module.finish().emit().map_err(internal)?;
    Ok(ObjectFile { object, header: header(g, name)? })
}

struct File(ObjectModule);

impl Output for File {
    fn module(&mut self) -> &mut dyn Module {
        &mut self.0
    }
}

fn internal(e: impl std::fmt::Display) -> Error {
    Error::internal("compile", format!("the object file cannot be written: {e}"))
}

fn isa(processor: Processor) -> Result<OwnedTargetIsa> {
    // processors other than x64 have nothing that the runtime could ask for before the code runs
    let native = processor == Processor::Native && cfg!(target_arch = "x86_64");
    let mut builder = cranelift_native::builder_with_options(native).map_err(|e| no_code(&e))?;
    if !native && cfg!(target_arch = "x86_64") {
        for flag in ["sse3", "ssse3", "sse41", "sse42", "popcnt", "avx", "avx2", "fma", "bmi1", "bmi2", "lzcnt"] {
            builder.enable(&format!("has_{flag}")).map_err(internal)?;
        }
    }
    target(builder, &[("is_pic", "true")])
}

/// What code for this target may use, by the names of Rust's feature detection.
fn features(isa: &dyn TargetIsa, vectors: Vectors) -> Vec<String> {
    if isa.name() != "x64" {
        return Vec::new();
    }
    let flags = isa.isa_flags().into_iter().filter(|f| f.as_bool() == Some(true));
    let mut features: Vec<String> = flags
        .filter_map(|f| f.name.strip_prefix("has_").map(str::to_string))
        .map(|f| match &*f {
            "sse41" => "sse4.1".into(),
            "sse42" => "sse4.2".into(),
            "avx_vnni" => "avxvnni".into(),
            _ => f,
        })
        .collect();
    if vectors == Vectors::Widest && features.iter().any(|f| f == "avx512f") {
        features.extend(["avx512bw", "avx512cd"].map(String::from));
    }
    features
}

fn refuse_host_calls(p: &Program) -> Result<()> {
    p.steps.iter().try_for_each(|step| match step {
        Step::Host(call) => Err(Error::limit("compile", "functions of this process cannot go into an object file")
            .help("leave out `debug::print`, `debug::callback` and `debug::call`")
            .at(&call.loc)),
        Step::Control(c) => c.bodies().into_iter().try_for_each(|(_, body)| refuse_host_calls(body)),
        _ => Ok(()),
    })
}

/// The constants one after the other, each at a multiple of the alignment.
fn constants(p: &Program) -> Vec<u8> {
    let mut bytes = Vec::new();
    for c in p.all_constants() {
        bytes.extend_from_slice(c.bytes());
        bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
    }
    bytes
}

/// Defines `NAME_object` and what it points to.
fn define_object(
    module: &mut ObjectModule,
    name: &str,
    contents: Vec<u8>,
    constants: Vec<u8>,
    kernels: &[FuncId],
) -> Result<DataId> {
    let word = size_of::<usize>();
    let part = |module: &mut ObjectModule, what: &str, bytes: Vec<u8>| -> Result<DataId> {
        let id = module.declare_data(&format!("{name}_{what}"), Linkage::Local, false, false).map_err(internal)?;
        let mut data = DataDescription::new();
        data.define(bytes.into());
        data.set_align(ALIGN as u64);
        module.define_data(id, &data).map_err(internal)?;
        Ok(id)
    };
    let contents_bytes = contents.len();
    // data of no bytes cannot be defined
    let constants = if constants.is_empty() { vec![0; ALIGN] } else { constants };
    let (contents, constants) = (part(module, "contents", contents)?, part(module, "constants", constants)?);

    let table = module.declare_data(&format!("{name}_kernels"), Linkage::Local, true, false).map_err(internal)?;
    let mut data = DataDescription::new();
    data.define(vec![0; word * kernels.len().max(1)].into());
    data.set_align(word as u64);
    for (i, &k) in kernels.iter().enumerate() {
        let function = module.declare_func_in_data(k, &mut data);
        data.write_function_addr((i * word) as u32, function);
    }
    module.define_data(table, &data).map_err(internal)?;

    let object = module.declare_data(&format!("{name}_object"), Linkage::Export, true, false).map_err(internal)?;
    let mut bytes = vec![0; size_of::<Object>()];
    for (at, x) in [
        (offset_of!(Object, version), VERSION),
        (offset_of!(Object, contents_bytes), contents_bytes as u64),
        (offset_of!(Object, kernel_count), kernels.len() as u64),
    ] {
        bytes[at..at + 8].copy_from_slice(&x.to_ne_bytes());
    }
    let mut data = DataDescription::new();
    data.define(bytes.into());
    data.set_align(word as u64);
    for (at, part) in [
        (offset_of!(Object, contents), contents),
        (offset_of!(Object, constants), constants),
        (offset_of!(Object, kernels), table),
    ] {
        let address = module.declare_data_in_data(part, &mut data);
        data.write_data_addr(at as u32, address, 0);
    }
    module.define_data(object, &data).map_err(internal)?;
    Ok(object)
}

/// Defines the function `NAME(inputs, outputs)`, which calls `gradloom_run` on the object.
fn define_entry(module: &mut ObjectModule, name: &str, object: DataId) -> Result<()> {
    let config = module.target_config();
    let pointer = config.pointer_type();
    let mut signature = module.make_signature();
    signature.params = vec![AbiParam::new(pointer); 2];
    signature.returns = vec![AbiParam::new(cranelift_codegen::ir::types::I32)];
    let entry = module.declare_function(name, Linkage::Export, &signature).map_err(internal)?;
    // the object, then what the entry got
    let mut runtime = signature.clone();
    runtime.params.push(AbiParam::new(pointer));
    let run = module.declare_function("gradloom_run", Linkage::Import, &runtime).map_err(internal)?;

    let mut context = module.make_context();
    context.func.signature = signature;
    let mut builder_context = FunctionBuilderContext::new();
    let mut b = FunctionBuilder::new(&mut context.func, &mut builder_context);
    let block = b.create_block();
    b.append_block_params_for_function_params(block);
    b.switch_to_block(block);
    let params = b.block_params(block).to_vec();
    let object = module.declare_data_in_func(object, b.func);
    let object = b.ins().symbol_value(pointer, object);
    let run = module.declare_func_in_func(run, b.func);
    let call = b.ins().call(run, &[object, params[0], params[1]]);
    let result = b.inst_results(call)[0];
    b.ins().return_(&[result]);
    b.seal_all_blocks();
    b.finalize(config);
    module.define_function(entry, &mut context).map_err(internal)
}

/// The C type of an element, and how many make one.
fn c_type(dtype: DType) -> (&'static str, usize) {
    match dtype {
        DType::Bool => ("bool", 1),
        DType::I8 => ("int8_t", 1),
        DType::I16 => ("int16_t", 1),
        DType::I32 => ("int32_t", 1),
        DType::I64 => ("int64_t", 1),
        DType::U8 => ("uint8_t", 1),
        DType::U16 | DType::F16 | DType::BF16 => ("uint16_t", 1),
        DType::U32 => ("uint32_t", 1),
        DType::U64 => ("uint64_t", 1),
        DType::F32 => ("float", 1),
        DType::F64 => ("double", 1),
        DType::C64 => ("float", 2),
        DType::C128 => ("double", 2),
    }
}

/// The header: the function on tables of pointers, and one on typed pointers that calls it.
fn header(g: &Graph, name: &str) -> Result<String> {
    let upper = name.to_uppercase();
    let (inputs, outputs) = (g.input_types(), g.output_types());
    let list = |kind: &str, types: &[Type], qualifier: &str| -> Vec<String> {
        let param = |(i, t): (usize, &Type)| format!("{qualifier}{} *{kind}{i}", c_type(t.dtype).0);
        types.iter().enumerate().map(param).collect()
    };
    let describe = |kind: &str, types: &[Type]| -> String {
        let line = |(i, t): (usize, &Type)| {
            let note = match t.dtype {
                DType::F16 => ", elements as the bits of IEEE half precision",
                DType::BF16 => ", elements as the upper 16 bits of a float",
                DType::C64 | DType::C128 => ", elements as real and imaginary part",
                _ => "",
            };
            format!(" * {kind}{i}: {t}, {} bytes{note}\n", t.bytes())
        };
        types.iter().enumerate().map(line).collect()
    };
    let names = |kind: &str, n: usize| (0..n).map(|i| format!("{kind}{i}")).collect::<Vec<_>>().join(", ");
    let sizes = |types: &[Type]| types.iter().map(|t| t.bytes().to_string()).collect::<Vec<_>>().join(", ");
    let mut params = list("in", &inputs, "const ");
    params.extend(list("out", &outputs, ""));
    let mut s = String::new();
    write!(
        s,
        "/* Written by gradloom. Link with the object file beside it and libgradloom_runtime.a.\n *\n{}{} */\n\
         #ifndef GRADLOOM_{upper}_H\n#define GRADLOOM_{upper}_H\n\n\
         #include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n\n\
         #ifdef __cplusplus\nextern \"C\" {{\n#endif\n\n\
         enum {{ {upper}_INPUTS = {}, {upper}_OUTPUTS = {} }};\n",
        describe("in", &inputs),
        describe("out", &outputs),
        inputs.len(),
        outputs.len()
    )
    .and_then(|()| {
        for (kind, types) in [("input", &inputs), ("output", &outputs)] {
            if !types.is_empty() {
                let n = format!("{upper}_{}S", kind.to_uppercase());
                writeln!(s, "static const size_t {name}_{kind}_bytes[{n}] = {{ {} }};", sizes(types))?;
            }
        }
        write!(
            s,
            "\n/* Runs the program on arrays in row-major order. Outputs must overlap nothing. Any number of threads may\n \
             * call it at once. Returns 0, or 1: gradloom_error() says what went wrong. */\n\
             int {name}(const void *const *inputs, void *const *outputs);\n\n\
             /* The last error on this thread; valid until the next call on it. */\n\
             const char *gradloom_error(void);\n\n\
             /* Limits the threads that programs run on, before the first call. Returns 0, or 1 if it is too late. */\n\
             int gradloom_set_threads(int threads);\n\n\
             #ifdef __cplusplus\n}}\n#endif\n\n\
             /* As {name}, with one argument for each array. */\n\
             static inline int {name}_run({}) {{\n",
            if params.is_empty() { "void".to_string() } else { params.join(", ") }
        )?;
        for (kind, short, n, qualifier) in
            [("inputs", "in", inputs.len(), "const void *"), ("outputs", "out", outputs.len(), "void *")]
        {
            let values = if n == 0 { "NULL".to_string() } else { names(short, n) };
            writeln!(s, "    {qualifier}{kind}[] = {{ {values} }};")?;
        }
        write!(s, "    return {name}((const void *const *)inputs, (void *const *)outputs);\n}}\n\n#endif\n")
    })
    .map_err(internal)?;
    Ok(s)
}
