//! Classifies two flowers with the program that `gradloom compile classifier.mlir -o classifier.o` wrote.

use gradloom_runtime::{Literal, Result, object};

fn main() -> Result<()> {
    let classifier = object!(classifier)?;
    let flowers = Literal::new(&[2, 4], &[0.5f32, -1.0, 2.0, 0.25, 1.0, 1.0, -0.5, 0.0]);
    let chances = classifier.run(&[flowers])?[0].to_vec::<f32>().expect("the program returns f32");
    for row in chances.chunks(3) {
        println!("{:.6} {:.6} {:.6}", row[0], row[1], row[2]);
    }
    Ok(())
}
