//! Links the object file beside the folder.

fn main() {
    let object = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../classifier.o");
    println!("cargo::rerun-if-changed={}", object.display());
    println!("cargo::rustc-link-arg={}", object.display());
}
