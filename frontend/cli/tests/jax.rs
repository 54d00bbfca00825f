//! A sample of JAX's own harness, stored with JAX's results: what is on the list of what passes does.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use zip::ZipArchive;

fn stored(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/jax").join(name)
}

/// A folder of this test's own, removed at the end.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The cases of a stored file, unpacked into a folder of this name.
fn unpacked(file: &str, name: &str) -> Scratch {
    let dir = std::env::temp_dir().join(format!("gradloom-jax-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a temporary folder");
    let file = File::open(stored(file)).expect("the cases are stored");
    ZipArchive::new(file).expect("a zip file").extract(&dir).expect("it is whole");
    Scratch(dir)
}

/// Where the interpreter, which rounds 16-bit floats at every step, is not where compiled code is.
const ROUNDED: &[(&str, &str)] =
    &[("logistic_shape_float16_20_20_ ", "the derivative of 1 / (1 + e^13) is 0 times infinity where e^13 overflows")];

#[track_caller]
fn check(device: &str, except: &[(&str, &str)]) {
    let dir = unpacked("sample.zip", device);
    let list = dir.0.join("passed.txt");
    let before = std::fs::read_to_string(stored("passed.txt")).expect("the list is stored");
    std::fs::write(&list, &before).expect("a temporary file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_gradloom"));
    command.arg("harness").arg(&dir.0).arg("--passed").arg(&list).args(["--device", device, "--verbose"]);
    let out = command.output().expect("the program starts");
    let said = String::from_utf8_lossy(&out.stdout);
    let lost = said.lines().filter_map(|l| l.strip_prefix("LOST "));
    let lost: Vec<&str> = lost.filter(|l| !except.iter().any(|(case, _)| l.starts_with(case))).collect();
    assert!(lost.is_empty(), "{lost:#?}\n{said}");
    assert!(out.status.success() || !except.is_empty(), "{said}{}", String::from_utf8_lossy(&out.stderr));
    let after = std::fs::read_to_string(&list).expect("the list is written");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(stored("passed.txt"), &after).expect("the list is written");
    } else {
        assert_eq!(before, after, "what passes newly belongs on tests/jax/passed.txt (UPDATE=1 adds it):\n{said}");
    }
    // every group is there
    let table = said.lines().skip_while(|l| !l.starts_with("passed/failed")).skip(1);
    assert_eq!(table.take_while(|l| !l.starts_with("all ")).count(), 132, "{said}");
}

#[test]
fn the_sample_passes_compiled() {
    check("cpu", &[]);
}

#[test]
fn the_sample_passes_interpreted() {
    check("interp", ROUNDED);
}

/// A list with a line of what does not pass is refused, and keeps the line.
#[test]
fn the_list_does_not_shrink() {
    let dir = unpacked("sample.zip", "list");
    let list = dir.0.join("passed.txt");
    let line = "igamma_dtypes_lhs_float32_20_20_rhs_float32_20_20_ jvp value vjp vmap";
    let text = "func.func @main(%x: tensor<20x20xf32>, %y: tensor<20x20xf32>) -> tensor<20x20xf32> {
      return %x : tensor<20x20xf32>
    }";
    std::fs::write(dir.0.join("igamma_dtypes_lhs_float32_20_20_rhs_float32_20_20_.mlir"), text).expect("a file");
    std::fs::write(&list, format!("{line}\n")).expect("a temporary file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_gradloom"));
    command.arg("harness").arg(&dir.0).arg("--passed").arg(&list).args(["--only", "igamma_"]);
    let out = command.output().expect("the program starts");
    assert_eq!(out.status.code(), Some(1), "{}", String::from_utf8_lossy(&out.stderr));
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(said.contains("LOST igamma_dtypes_lhs_float32_20_20_rhs_float32_20_20_ value"), "{said}");
    let after = std::fs::read_to_string(&list).expect("the list is written");
    assert!(after.lines().any(|l| l == line), "{after}");
}

/// Whole programs (`tests/jax/models.py`) give JAX's results.
#[test]
fn models_give_the_results_of_jax() {
    let dir = unpacked("models.zip", "models");
    let index = std::fs::read_to_string(dir.0.join("index.jsonl")).expect("the index is stored");
    let count = index.lines().count();
    assert!(count >= 100, "{count} programs");
    let out = Command::new(env!("CARGO_BIN_EXE_gradloom")).arg("harness").arg(&dir.0).arg("--verbose").output();
    let out = out.expect("the program starts");
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{said}{}", String::from_utf8_lossy(&out.stderr));
    assert!(said.contains(&format!("value {count} of {count}, 100.00 %")), "{said}");
}
