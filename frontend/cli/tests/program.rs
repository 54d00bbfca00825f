//! The command line program, run as its users run it.

use gradloom_frontend::{Tensor, io};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn gradloom(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gradloom")).args(args).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn programs() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/stablehlo/programs").display().to_string()
}

/// A folder of this test's own, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let dir = std::env::temp_dir().join(format!("gradloom-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a temporary folder");
        Scratch(dir)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.0.join(name), text).expect("a temporary file");
        self.path(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn check_passes_the_programs_made_by_hand() {
    for device in ["cpu", "interp"] {
        let out = gradloom(&["check", "--device", device, &programs()]);
        let said = text(&out.stdout);
        let count = std::fs::read_dir(programs()).expect("the folder is there").count();
        assert!(out.status.success(), "{device}: {said}");
        assert!(said.ends_with(&format!("{count} passed, 0 failed, 0 skipped\n")), "{device}: {said}");
    }
}

#[test]
fn check_fails_a_wrong_expectation_and_skips_what_is_not_supported() {
    let dir = Scratch::new("check");
    let program = |op: &str, expected: &str| {
        format!(
            "func.func @main() {{
               %0 = call @inputs() : () -> tensor<2xf32>
               %1 = call @expected() : () -> tensor<2xf32>
               %2 = {op} %0 : tensor<2xf32>
               stablehlo.custom_call @check.expect_close(%2, %1) : (tensor<2xf32>, tensor<2xf32>) -> ()
               return
             }}
             func.func private @inputs() -> tensor<2xf32> {{
               %0 = stablehlo.constant dense<[4.0, 9.0]> : tensor<2xf32>
               return %0 : tensor<2xf32>
             }}
             func.func private @expected() -> tensor<2xf32> {{
               %0 = stablehlo.constant dense<[2.0, {expected}]> : tensor<2xf32>
               return %0 : tensor<2xf32>
             }}"
        )
    };
    let right = dir.write("a.mlir", &program("stablehlo.sqrt", "3.0"));
    let wrong = dir.write("b.mlir", &program("stablehlo.sqrt", "3.000001"));
    let strange = dir.write("c.mlir", &program("stablehlo.quux", "3.0"));
    let broken = dir.write("d.mlir", "func.func @main(");
    let out = gradloom(&["check", &right, &wrong, &strange, &broken]);
    let said = text(&out.stdout);
    assert_eq!(out.status.code(), Some(1));
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "ok   a.mlir");
    assert_eq!(
        lines[1],
        "FAIL b.mlir: wrong value: 1 of 2 differ, first at 1: 3 not 3.0000009536743164, at most 4 ulp apart"
    );
    assert_eq!(lines[2], "skip c.mlir: stablehlo: c.mlir:4:21: stablehlo.quux: this op is not supported");
    assert!(lines[3].starts_with("FAIL d.mlir: stablehlo: d.mlir:1:17: expected"), "{said}");
    assert_eq!(lines.last(), Some(&"1 passed, 2 failed, 1 skipped"));
}

/// Programs of the suite that are not met to the letter, and why.
const KNOWN: &[(&str, &str)] = &[(
    "triangular_solve_float32_2_8_8_float32_2_10_8.mlir",
    "up to 40 units where a system is ill-conditioned; XLA misses it too",
)];

/// The StableHLO project's test data, where a folder of it is named: everything that gradloom has ops for passes.
#[test]
fn check_passes_the_suite() {
    let Ok(dir) = std::env::var("GRADLOOM_STABLEHLO_SUITE") else {
        eprintln!("skipped: GRADLOOM_STABLEHLO_SUITE names no folder of test programs");
        return;
    };
    for device in ["cpu", "interp"] {
        let out = gradloom(&["check", "--device", device, &dir]);
        let said = text(&out.stdout);
        let failed = said.lines().filter_map(|l| l.strip_prefix("FAIL "));
        let new: Vec<&str> = failed.filter(|l| !KNOWN.iter().any(|(name, _)| l.starts_with(name))).collect();
        assert!(new.is_empty(), "{device}: {new:#?}\n{}", text(&out.stderr));
        assert!(said.contains("passed, "), "{device}: {said}");
    }
}

const SQUARES: &str = "func.func @main(%x: tensor<3xf32>, %y: tensor<i32>) -> (tensor<3xf32>, tensor<i32>) {
  %0 = stablehlo.multiply %x, %x : tensor<3xf32>
  return %0, %y : tensor<3xf32>, tensor<i32>
}";

#[test]
fn run_reads_and_writes_arrays() {
    let dir = Scratch::new("run");
    let (file, inputs, outputs) = (dir.write("f.mlir", SQUARES), dir.path("in.npz"), dir.path("out.npz"));
    let x = Tensor::from_slice([3], &[1.0f32, -2.0, 3.0]);
    io::save_npz(&inputs, &vec![x, Tensor::from(7i32)]).expect("inputs are written");
    for device in ["cpu", "interp"] {
        let out =
            gradloom(&["run", &file, "--inputs", &inputs, "--outputs", &outputs, "--repeat", "3", "--device", device]);
        assert!(out.status.success(), "{}", text(&out.stderr));
        let said = text(&out.stdout);
        let line: serde_json::Value = serde_json::from_str(&said).expect("one line of JSON");
        for key in ["compile_ms", "step_ms", "peak_bytes", "flops"] {
            assert!(line[key].is_number(), "{said}");
        }
        let got = io::load_npz(&outputs).expect("outputs are written");
        assert_eq!(got["0"].to_vec::<f32>().expect("f32"), [1.0, 4.0, 9.0]);
        assert_eq!(got["1"].item::<i32>().expect("i32"), 7);
    }
}

/// 16-bit floats travel as f32, both ways.
#[test]
fn run_stores_halves_as_f32() {
    let dir = Scratch::new("halves");
    let program = "func.func @main(%x: tensor<3xf16>, %y: tensor<2xbf16>) -> (tensor<3xf16>, tensor<2xbf16>) {
  %0 = stablehlo.add %x, %x : tensor<3xf16>
  return %0, %y : tensor<3xf16>, tensor<2xbf16>
}";
    let (file, inputs, outputs) = (dir.write("f.mlir", program), dir.path("in.npz"), dir.path("out.npz"));
    let x = Tensor::from_slice([3], &[1.0f32, -0.0, 1e6]);
    io::save_npz(&inputs, &vec![x, Tensor::from_slice([2], &[1.5f32, 3.00001])]).expect("inputs are written");
    let out = gradloom(&["run", &file, "--inputs", &inputs, "--outputs", &outputs]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let got = io::load_npz(&outputs).expect("outputs are written");
    assert_eq!(got["0"].to_vec::<f32>().expect("f32"), [2.0, -0.0, f32::INFINITY]);
    assert_eq!(got["1"].to_vec::<f32>().expect("f32"), [1.5, 3.0]);
}

#[test]
fn run_makes_inputs_and_takes_gradlooms_own_text() {
    let dir = Scratch::new("own");
    let file = dir.write("f.txt", "graph(%0: f32[2]) { %1 = add(%0, %0) : f32[2] return %1 }");
    let (one, two) = (dir.path("1.npz"), dir.path("2.npz"));
    for path in [&one, &two] {
        let out = gradloom(&["run", &file, "--outputs", path]);
        assert!(out.status.success(), "{}", text(&out.stderr));
        assert_eq!(text(&out.stderr), "no --inputs given: 1 random ones, seed 0\n");
    }
    let read = |p: &str| io::load_npz(p).expect("outputs")["0"].to_vec::<f32>().expect("f32");
    assert_eq!(read(&one), read(&two));
}

#[test]
fn mistakes_are_told_on_stderr_with_exit_code_1() {
    let dir = Scratch::new("mistakes");
    let file = dir.write("f.mlir", SQUARES);
    let inputs = dir.path("in.npz");
    io::save_npz(&inputs, &vec![Tensor::from_slice([2], &[1.0f32, 2.0]), Tensor::from(7i32)]).expect("inputs");
    let check = |args: &[&str], expected: &str| {
        let out = gradloom(args);
        let said = text(&out.stderr);
        assert_eq!(out.status.code(), Some(1), "{said}");
        assert!(said.contains(expected), "{said}");
        assert!(out.stdout.is_empty());
    };
    check(&["run", &file, "--inputs", &inputs], "input 0 should be f32[3], the file has f32[2]");
    check(&["run", &dir.path("none.mlir")], "none.mlir");
    check(&["run", &dir.write("bad.mlir", "func.func @main(")], "bad.mlir:1:17: expected a type");
    check(&["harness", &dir.path("none")], "index.jsonl");
}

#[test]
fn compile_writes_an_object_and_a_header() {
    let dir = Scratch::new("compile");
    let program = dir.write("p.txt", "graph(%0: f32[3]) { %1 = sine(%0) : f32[3] return %1 }");
    for cpu in ["native", "baseline"] {
        let out = gradloom(&["compile", &program, "-o", &dir.path("wave.o"), "--cpu", cpu]);
        assert!(out.status.success(), "{}", text(&out.stderr));
        let said: serde_json::Value = serde_json::from_slice(&out.stdout).expect("one line of JSON");
        assert_eq!(said["function"], "wave");
        let header = std::fs::read_to_string(dir.path("wave.h")).expect("a header beside the object");
        assert!(header.contains("int wave_run(const float *in0, float *out0)"), "{header}");
        let object = std::fs::read(dir.path("wave.o")).expect("an object");
        assert_eq!(said["bytes"], object.len());
    }
    for (args, why) in [
        (vec!["compile", &program, "-o", &dir.path("a-b.o")], "--name"),
        (vec!["compile", &program, "-o", &dir.path("wave.h")], "model.o"),
        (vec!["compile", &program, "-o", &dir.path("none/wave.o")], "none/wave.o"),
        (vec!["compile", &dir.path("missing.mlir"), "-o", &dir.path("wave.o")], "missing.mlir"),
    ] {
        let out = gradloom(&args);
        assert_eq!(out.status.code(), Some(1), "{args:?}");
        assert!(text(&out.stderr).contains(why), "{args:?}: {}", text(&out.stderr));
    }
}

/// There and back: the programs compute the same, but for the last digits of functions that the text has to compose of
/// others, such as zeta.
#[test]
fn convert_keeps_what_programs_compute() {
    let dir = Scratch::new("convert");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(programs()).expect("a folder").flatten().map(|e| e.path()).collect();
    files.sort();
    assert!(files.len() >= 10);
    for file in files {
        let source = std::fs::read_to_string(&file).expect("a program");
        let program = gradloom_frontend::stablehlo::import_test(&source, "program").expect("it is read");
        let inputs: Vec<Tensor> = program.inputs.iter().map(tensor).collect();
        io::save_npz(dir.0.join("in.npz"), &inputs).expect("inputs are written");
        // StableHLO has no such op: what it is composed of rounds otherwise
        let composed = source.contains("chlo.zeta") || source.contains("chlo.polygamma");
        let own = dir.write("own.txt", &program.graph.to_string());
        let (mlir, back) = (dir.path("program.mlir"), dir.path("back.gradloom"));
        for (from, to) in [(&own, &mlir), (&mlir, &back)] {
            let out = gradloom(&["convert", from, to]);
            assert!(out.status.success(), "{}: {}", file.display(), text(&out.stderr));
        }
        let run = |program: &str, name: &str| {
            let (inputs, outputs) = (dir.path("in.npz"), dir.path(name));
            let out = gradloom(&["run", program, "--inputs", &inputs, "--outputs", &outputs, "--device", "interp"]);
            assert!(out.status.success(), "{}: {}", file.display(), text(&out.stderr));
            io::load_npz(outputs).expect("outputs are there")
        };
        let (before, after) = (run(&own, "before.npz"), run(&back, "after.npz"));
        assert_eq!(before.len(), after.len(), "{}", file.display());
        for (key, x) in before {
            let y = &after[&key];
            assert_eq!((x.shape(), x.dtype()), (y.shape(), y.dtype()), "{} {key}", file.display());
            if composed && x.dtype() == gradloom_ir::DType::F64 {
                let numbers = |x: &Tensor| x.to_vec::<f64>().expect("of this dtype");
                for (x, y) in numbers(&x).into_iter().zip(numbers(y)) {
                    let close = (x - y).abs() <= 4.0 * f64::EPSILON * x.abs() || x == y || (x.is_nan() && y.is_nan());
                    assert!(close, "{} {key}: {x:?}, {y:?}", file.display());
                }
            } else {
                // NaN is not equal to itself, its text is
                assert_eq!(format!("{x:?}"), format!("{y:?}"), "{} {key}", file.display());
            }
        }
    }
}

fn tensor(x: &gradloom_ir::Literal) -> Tensor {
    gradloom_ir::with_element!(x.ty().dtype, T => {
        Tensor::from_slice(&x.ty().shape[..], &x.to_vec::<T>().expect("the macro names the dtype's own type"))
    })
}

#[test]
fn convert_says_which_endings_it_knows() {
    let dir = Scratch::new("endings");
    let own = dir.write("own.txt", "graph(%0: f32[2]) {\n  %1 = sine(%0) : f32[2]\n  return %1\n}\n");
    let out = gradloom(&["convert", &own, &dir.path("program.onnx")]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("`.mlir` and `.stablehlo` are StableHLO"), "{}", text(&out.stderr));
    let help = text(&gradloom(&["convert", "--help"]).stdout);
    assert!(help.contains("<INPUT> <OUTPUT>") && help.contains(".stablehlo"), "{help}");
}
