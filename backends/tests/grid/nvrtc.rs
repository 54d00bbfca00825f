//! NVIDIA's compiler accepts the kernels. It needs no GPU; where it is not installed, nothing is checked and the test says so.

use super::{aligned, random};
use crate::ops;
use gradloom_backends::cuda::{Architecture, Nvrtc, source};
use gradloom_backends::grid::{GridKernel, lower};
use random::{Rng, Sums};

/// GPUs that code is made for: A100 and H100/H200.
const ARCHITECTURES: [Architecture; 2] = [Architecture(80), Architecture(90)];

#[test]
fn kernels_compile_to_machine_code() {
    let compiler = match Nvrtc::find() {
        Ok(compiler) => compiler,
        Err(e) => return eprintln!("not checked: {e}"),
    };
    let nest = |seed: u64| {
        let sums = if seed % 3 == 2 { Sums::Float } else { Sums::Exact };
        lower(&random::nest(&mut Rng(3 << 32 | seed), sums), &aligned).expect("the nest is well formed")
    };
    // functions without a form on GPUs are refused before
    let kernels: Vec<GridKernel> = (0..60).map(nest).chain(ops::kernels()).collect();
    let mut refused = Vec::new();
    for (i, kernel) in kernels.iter().enumerate() {
        let text = match source(kernel) {
            Ok(source) => source.text,
            Err(e) => {
                refused.push(e.to_string());
                continue;
            }
        };
        let architecture = ARCHITECTURES[i % ARCHITECTURES.len()];
        let binary = compiler.compile(&text, architecture).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert!(binary.cubin.starts_with(b"\x7fELF"), "{}", binary.log);
        let usage = binary.usage().unwrap_or_else(|| panic!("{}", binary.log));
        // a thread of 256 may have 255 registers; what does not fit goes through memory
        assert!(usage.spilled_bytes == 0 && usage.registers <= 255, "{usage:?}\n{text}");
    }
    assert!(refused.len() * 5 < kernels.len() && refused.iter().all(|e| e.contains("no form on GPUs")), "{refused:?}");
}
