//! Object files: linked into C and Rust programs without the compiler, they compute what the process computes.

#[path = "../passes/tests/oracle/mod.rs"]
mod oracle;
#[path = "../passes/tests/rules/rows.rs"]
mod rows;

use gradloom::prelude::*;
use gradloom::stablehlo;
use gradloom_backends::cpu::{Processor, compile_object};
use gradloom_backends::{Buffer, Device, compile_for};
use gradloom_ir::eval::eval;
use gradloom_ir::{Graph, Literal};
use gradloom_passes::Pipeline;
use oracle::mixed::{self, Palette};
use oracle::programs::looped;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::SystemTime;

/// A folder of a test's own, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let dir = std::env::temp_dir().join(format!("gradloom-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a temporary folder");
        Scratch(dir)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.0.join(name), bytes).expect("a temporary file");
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The newest build of the runtime beside this test, as a library for C (`a`) or Rust (`rlib`).
fn runtime(extension: &str) -> PathBuf {
    let exe = std::env::current_exe().expect("a test has a path");
    let builds = std::fs::read_dir(exe.parent().expect("in a folder")).expect("which is readable").flatten();
    let is_runtime = |p: &Path| {
        p.extension().is_some_and(|e| e == extension)
            && p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("libgradloom_runtime"))
    };
    let written = |p: &PathBuf| p.metadata().and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let newest = builds.map(|e| e.path()).filter(|p| is_runtime(p)).max_by_key(written);
    newest.unwrap_or_else(|| panic!("no libgradloom_runtime.{extension} beside {}", exe.display()))
}

/// Runs a command in `dir` and gives what it printed.
fn run(dir: &Path, command: &mut Command) -> String {
    let out = command.current_dir(dir).output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{command:?}\n{said}\n{}", String::from_utf8_lossy(&out.stderr));
    said
}

/// Links C with objects and the runtime into the program `main`.
fn link(dir: &Scratch, source: &str, objects: impl IntoIterator<Item = String>) {
    let mut cc = Command::new("cc");
    cc.args(["-Wall", "-Wextra", "-Werror", source]).args(objects).arg(runtime("a"));
    run(&dir.0, cc.args(["-lm", "-lpthread", "-ldl", "-o", "main"]));
}

/// The same for Rust, into the program `main_rs`.
fn link_rust(dir: &Scratch, source: &Path, object: &str) {
    let library = runtime("rlib");
    let mut rustc = Command::new("rustc");
    rustc.args(["--edition", "2024", "-C", &format!("link-arg={object}"), "-o", "main_rs"]);
    rustc.arg("--extern").arg(format!("gradloom_runtime={}", library.display()));
    rustc.arg("-L").arg(format!("dependency={}", library.parent().expect("in a folder").display()));
    run(&dir.0, rustc.arg(source));
}

fn optimised(g: &Graph) -> Graph {
    let mut g = g.clone();
    Pipeline::standard().run(&mut g).unwrap_or_else(|e| panic!("{e}\n{g}"));
    g
}

fn write_object(dir: &Scratch, g: &Graph, name: &str, processor: Processor) {
    let o = compile_object(g, name, processor).unwrap_or_else(|e| panic!("{e}\n{g}"));
    dir.write(&format!("{name}.o"), o.object);
    dir.write(&format!("{name}.h"), o.header);
}

#[test]
fn the_example_runs_from_c_and_from_rust() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../frontend/cli/examples/deploy");
    let readme = std::fs::read_to_string(example.join("README.md")).expect("the example has a README");
    let printed =
        readme.split("```text\n").nth(1).and_then(|r| r.split("```").next()).expect("which says what is printed");
    let program = stablehlo::load(example.join("classifier.mlir")).unwrap_or_else(|e| panic!("{e}"));
    let dir = Scratch::new("deploy");
    for processor in [Processor::Native, Processor::Baseline] {
        write_object(&dir, &optimised(program.graph()), "classifier", processor);
        dir.write("main.c", std::fs::read(example.join("main.c")).expect("the example has a C program"));
        link(&dir, "main.c", ["classifier.o".to_string()]);
        assert_eq!(run(&dir.0, &mut Command::new("./main")), printed);
        let source = example.join("rust/src/main.rs");
        link_rust(&dir, &source, "classifier.o");
        assert_eq!(run(&dir.0, &mut Command::new("./main_rs")), printed);
    }
}

/// The table's ops, loops, and programs of every theme and dtype.
fn programs() -> Vec<(String, Graph, Vec<Literal>)> {
    let mut programs = Vec::new();
    for row in rows::table() {
        let point = rows::Random(11).point(&row);
        programs.push((row.text.to_string(), row.graph, point));
    }
    for seed in 0..40 {
        let g = looped(&mut oracle::Random(seed));
        let point = oracle::inputs(seed, &g, false);
        programs.push((format!("loop {seed}"), g, point));
    }
    for seed in 0..100 {
        let g = mixed::program(&mut oracle::Random(5000 + seed), Palette::nth(seed as usize, false));
        let point = mixed::inputs(seed, &g);
        programs.push((format!("mixed {seed}"), g, point));
    }
    programs
}

/// Reads the inputs of all programs from the file `in`, writes their outputs to the file `out`. Memory is as unaligned as
/// it can be for every other program.
const DRIVER: &str = r#"
#include <stdio.h>
#include <stdlib.h>

static FILE *in, *out;

static void run(const char *name, int (*program)(const void *const *, void *const *), size_t inputs,
                const size_t *input_bytes, size_t outputs, const size_t *output_bytes, size_t offset) {
    char *arrays[200];
    for (size_t i = 0; i < inputs + outputs; i++) {
        size_t n = i < inputs ? input_bytes[i] : output_bytes[i - inputs];
        arrays[i] = (char *)malloc(n + 64) + offset;
        if (i < inputs && fread(arrays[i], 1, n, in) != n) {
            fprintf(stderr, "%s: short input\n", name);
            exit(1);
        }
    }
    if (program((const void *const *)arrays, (void *const *)(arrays + inputs)) != 0) {
        fprintf(stderr, "%s: %s\n", name, gradloom_error());
        exit(1);
    }
    for (size_t i = 0; i < outputs; i++) {
        fwrite(arrays[inputs + i], 1, output_bytes[i], out);
    }
    for (size_t i = 0; i < inputs + outputs; i++) {
        free(arrays[i] - offset);
    }
}
"#;

#[test]
fn objects_compute_what_the_process_computes() {
    let dir = Scratch::new("objects");
    let programs = programs();
    let (mut includes, mut calls, mut input) = (String::new(), String::new(), Vec::new());
    let mut expected = Vec::new();
    for (i, (name, g, point)) in programs.iter().enumerate() {
        let processor = if i % 3 == 0 { Processor::Baseline } else { Processor::Native };
        let h = optimised(g);
        write_object(&dir, &h, &format!("p{i}"), processor);
        includes += &format!("#include \"p{i}.h\"\n");
        let sizes = |kind: &str, n: usize| if n == 0 { "NULL".to_string() } else { format!("p{i}_{kind}_bytes") };
        calls += &format!(
            "    run(\"p{i}\", p{i}, P{i}_INPUTS, {}, P{i}_OUTPUTS, {}, {});\n",
            sizes("input", g.num_inputs()),
            sizes("output", g.num_outputs()),
            i % 2
        );
        point.iter().for_each(|x| input.extend_from_slice(x.bytes()));
        expected.push(if processor == Processor::Native {
            let exe = compile_for(&h, Device::Cpu).unwrap_or_else(|e| panic!("{name}: {e}"));
            let args: Vec<_> = point.iter().map(|x| Arc::new(Buffer::from_bytes(x.bytes()))).collect();
            let outs = exe.run(&args).unwrap_or_else(|e| panic!("{name}: {e}"));
            let literal = |(t, b): (_, &Arc<Buffer>)| Literal::from_bytes(t, b.bytes().to_vec()).expect("of its size");
            g.output_types().into_iter().zip(&outs).map(literal).collect()
        } else {
            eval(g, point).unwrap_or_else(|e| panic!("{name}: {e}"))
        });
    }
    let main = "int main(void) {\n    in = fopen(\"in\", \"rb\");\n    out = fopen(\"out\", \"wb\");\n    if (!in || !out) return 1;\n";
    dir.write("main.c", format!("{includes}{DRIVER}\n{main}{calls}    return fclose(out);\n}}\n"));
    dir.write("in", &input);
    link(&dir, "main.c", (0..programs.len()).map(|i| format!("p{i}.o")));
    run(&dir.0, &mut Command::new("./main"));

    let output = std::fs::read(dir.0.join("out")).expect("the program wrote its results");
    let mut rest = &output[..];
    for (i, ((name, g, _), expected)) in programs.iter().zip(expected).enumerate() {
        for (ty, want) in g.output_types().into_iter().zip(expected) {
            let (bytes, after) = rest.split_at(ty.bytes());
            rest = after;
            let got = Literal::from_bytes(ty.clone(), bytes.to_vec()).expect("of its size");
            // the same code gives the same bits; other code may sum in another order
            let narrow = g.types().iter().any(|t| t.dtype.is_inexact() && t.dtype.size() < 8);
            let same = match i % 3 {
                0 => oracle::agree(&want, &got, Some(if narrow { 0.15 } else { 1e-9 })),
                _ => want.bytes() == got.bytes(),
            };
            assert!(same, "p{i}, {name}\n{g}\nexpected {want:?}\ngot {got:?}");
        }
    }
    assert!(rest.is_empty(), "{} bytes too many", rest.len());
    println!("{} programs", programs.len());
}

/// An object of x where the flag holds, else -x.
fn chosen(test: &str) -> Scratch {
    let dir = Scratch::new(test);
    let text = "graph(%0: bool[3], %1: f64[3]) {
        %2 = negate(%1) : f64[3]
        %3 = select(%0, %1, %2) : f64[3]
        return %3
    }";
    let g = gradloom_ir::parse(text).unwrap_or_else(|e| panic!("{e}"));
    write_object(&dir, &g, "chosen", Processor::Baseline);
    dir
}

#[test]
fn mistakes_are_told_to_c() {
    let dir = chosen("c-mistakes");
    let main = r#"
#include <string.h>
#include "chosen.h"

extern uint64_t chosen_object[];

int main(void) {
    if (gradloom_set_threads(2) != 0 || gradloom_set_threads(1) != 1) return 1;
    unsigned char flags[3] = {1, 0, 1};
    double x[3] = {1, 2, 3}, y[3] = {0};
    const void *in[] = {flags, x};
    void *out[] = {y};
    if (*gradloom_error() != 0) return 2;
    chosen_object[0] += 1;
    if (chosen(in, out) != 1 || !strstr(gradloom_error(), "version")) return 3;
    chosen_object[0] -= 1;
    if (chosen(in, out) != 0 || y[0] != 1 || y[1] != -2 || y[2] != 3) return 4;
    return 0;
}
"#;
    dir.write("main.c", format!("#include <stdint.h>{main}"));
    link(&dir, "main.c", ["chosen.o".to_string()]);
    run(&dir.0, &mut Command::new("./main"));
}

#[test]
fn mistakes_are_told_to_rust() {
    let dir = chosen("rust-mistakes");
    let main = r#"
use gradloom_runtime::{Literal, object};

fn main() {
    let chosen = object!(chosen).unwrap();
    let flags = Literal::new(&[3], &[true, false, true]);
    let x = Literal::new(&[3], &[1.0f64, 2.0, 3.0]);
    for (inputs, told) in [
        (vec![flags.clone()], "the program has 2 inputs, got 1"),
        (vec![flags.clone(), Literal::new(&[3], &[1.0f32; 3])], "input 1 should be f64[3] but is f32[3]"),
        (vec![flags.clone(), Literal::new(&[1, 3], &[1.0f64; 3])], "input 1 should be f64[3] but is f64[1,3]"),
    ] {
        let e = chosen.run(&inputs).unwrap_err().to_string();
        assert!(e.contains(told), "{e}");
    }
    assert_eq!(chosen.run(&[flags.clone(), x.clone()]).unwrap()[0].to_vec::<f64>().unwrap(), [1.0, -2.0, 3.0]);

    let (flags, x) = (flags.bytes(), x.bytes());
    for (inputs, size, told) in [
        (vec![flags, &x[..23]], 24, "input 1 is f64[3], 24 bytes, but has 23"),
        (vec![flags, x], 25, "output 0 is f64[3], 24 bytes, but has 25"),
        (vec![&[1, 2, 0], x], 24, "input 0 is bool[3] and holds a byte that is neither 0 nor 1"),
        (vec![x], 24, "the program has 2 inputs, got 1"),
    ] {
        let e = chosen.run_bytes(&inputs, &mut [&mut vec![0; size]]).unwrap_err().to_string();
        assert!(e.contains(told), "{e}");
    }
    let e = chosen.run_bytes(&[flags, x], &mut []).unwrap_err().to_string();
    assert!(e.contains("the program has 1 outputs, got 0"), "{e}");
    for offset in 0..8 {
        let (mut input, mut output) = (vec![0; 32], vec![9; 40]);
        input[offset..offset + 24].copy_from_slice(x);
        chosen.run_bytes(&[flags, &input[offset..offset + 24]], &mut [&mut output[offset..offset + 24]]).unwrap();
        let want: Vec<u8> = [1.0f64, -2.0, 3.0].iter().flat_map(|x| x.to_ne_bytes()).collect();
        assert_eq!(output[offset..offset + 24], want);
        assert!(output[..offset].iter().chain(&output[offset + 24..]).all(|&x| x == 9));
    }
}
"#;
    dir.write("main.rs", main);
    let source = dir.0.join("main.rs");
    link_rust(&dir, &source, "chosen.o");
    run(&dir.0, &mut Command::new("./main_rs"));
}

#[test]
fn what_cannot_be_an_object_is_refused() {
    let g =
        gradloom_ir::parse("graph(%0: f32[3]) { %1 = sine(%0) : f32[3] return %1 }").unwrap_or_else(|e| panic!("{e}"));
    for name in ["", "a-b", "1st", "a b", "é", "a;b"] {
        let e = compile_object(&g, name, Processor::Native).map(|_| ()).expect_err("no C identifier").to_string();
        assert!(e.contains("--name"), "{e}");
    }
    let f = |x: &Tensor| {
        debug::print("{}", &[x]);
        x.sin()
    };
    let prints = jit(f).lower(&Tensor::ones([2])).unwrap_or_else(|e| panic!("{e}"));
    let e = compile_object(prints.graph(), "f", Processor::Native).map(|_| ()).expect_err("calls the host").to_string();
    assert!(e.contains("object file") && e.contains("object.rs:"), "{e}");
}
