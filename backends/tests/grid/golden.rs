//! What programs become on a GPU, as text: `golden/<case>.txt` is a program, a line `----`, and the CUDA C of its loop nests
//! without the prelude. `UPDATE=1` rewrites the second halves.

use super::aligned;
use gradloom_backends::cuda::source;
use gradloom_backends::grid::{loop_nests, lower};
use gradloom_ir::parse;
use std::path::Path;

fn cuda_c(program: &str) -> String {
    let g = parse(program).unwrap_or_else(|e| panic!("{e}\n{program}"));
    let nests = loop_nests(&g).unwrap_or_else(|e| panic!("{e}\n{program}"));
    let text = |nest| {
        let kernel = lower(nest, &aligned).unwrap_or_else(|e| panic!("{e}\n{nest}"));
        let source = source(&kernel).unwrap_or_else(|e| panic!("{e}\n{nest}")).text;
        source.split_once("// ----\n").expect("the prelude has an end").1.to_string()
    };
    nests.iter().map(text).collect()
}

#[test]
fn programs_as_cuda_c() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/grid/golden");
    let mut cases = 0;
    for entry in std::fs::read_dir(&folder).expect("the folder of cases") {
        let path = entry.expect("an entry of the folder").path();
        let text = std::fs::read_to_string(&path).expect("a case");
        let (program, expected) = text.split_once("----\n").expect("a line of dashes");
        let seen = cuda_c(program);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, format!("{program}----\n{seen}")).expect("a case can be written");
        } else {
            assert!(seen == expected, "{}: now\n{seen}", path.display());
        }
        cases += 1;
    }
    assert!(cases >= 6, "{cases}");
}
