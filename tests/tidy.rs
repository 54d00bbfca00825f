//! What every source file keeps to.

use std::path::{Path, PathBuf};

/// Libraries whose tests are in `tests/`: in their manifests `test = false`, so that tests inside would not run.
const TESTED_FROM_OUTSIDE: [&str; 5] =
    ["ir/src/", "passes/src/", "backends/library/src/", "backends/linalg/src/", "frontend/src/"];

const MAX_LINES: usize = 700;

/// Longer files, each with its reason.
const LONG: &[(&str, &str)] = &[];

fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("the project's folders are readable").flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

#[test]
fn files_are_short_finished_and_safe() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 100, "only {} files found", files.len());
    let unfinished = ["todo!(", "unimplemented!(", "#[ignore", "#[should_panic"].map(|w| w.to_string());
    let mut wrong = Vec::new();
    for path in files {
        let name = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
        let text = std::fs::read_to_string(&path).expect("sources are text");
        let lines = text.lines().count();
        if lines > MAX_LINES && !LONG.iter().any(|(l, _)| name.ends_with(l)) {
            wrong.push(format!("{name}: {lines} lines"));
        }
        if name.ends_with("tests/tidy.rs") {
            continue;
        }
        wrong.extend(unfinished.iter().filter(|w| text.contains(&***w)).map(|w| format!("{name}: {w}")));
        if TESTED_FROM_OUTSIDE.iter().any(|crate_| name.starts_with(crate_)) && text.contains("#[test]") {
            wrong.push(format!("{name}: tests that do not run"));
        }
        if !name.contains("backends/") && text.lines().any(|l| l.trim_start().starts_with("unsafe ")) {
            wrong.push(format!("{name}: unsafe outside backends"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
