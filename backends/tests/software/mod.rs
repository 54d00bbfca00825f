//! The GPU in software (`tests/software_gpu`), built for the tests that use it.

use gradloom_backends::Device;
use gradloom_backends::cuda::{keep_kernels_in, look_in};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The device, or why there is none: no C++ compiler, or another system than the one it is written for.
pub fn device() -> Option<Device> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = BUILT.get_or_init(|| build(&[])).as_ref()?;
    look_in(folder);
    Some(Device::cuda(0).unwrap_or_else(|e| panic!("{e}")))
}

/// Runs the device's own test program: each of its interfaces against closed forms, without this project's code.
#[allow(dead_code, reason = "only one of the test programs that have this module calls it")]
pub fn check() {
    build(&["--check"]);
}

fn build(options: &[&str]) -> Option<PathBuf> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        eprintln!("the GPU in software is for Linux on x86-64: nothing is run on it");
        return None;
    }
    if Command::new("c++").arg("--version").output().is_err() {
        eprintln!("there is no C++ compiler: nothing is run on the GPU in software");
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("software_gpu");
    std::fs::create_dir_all(&folder).expect("the build folder can be written");
    // one test binary builds it, the others wait
    let lock = std::fs::File::create(folder.join("lock")).expect("the build folder can be written");
    lock.lock().expect("a file can be locked");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../backends/tests/software_gpu/build.sh");
    let out = Command::new("sh").arg(script).arg(&folder).args(options).output().expect("there is a shell");
    let said = String::from_utf8_lossy;
    assert!(out.status.success(), "{}{}", said(&out.stdout), said(&out.stderr));
    // what another version has compiled is not this one's
    let built = std::fs::metadata(folder.join("libnvrtc.so.12")).and_then(|m| m.modified()).expect("it was built");
    let age = built.duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    keep_kernels_in(folder.join(format!("kept-{age}")));
    Some(folder)
}
