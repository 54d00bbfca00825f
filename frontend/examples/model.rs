//! The model of the README: `cargo run --release --example model`.
use gradloom::prelude::*;

#[derive(Tree, Clone)]
struct Linear {
    w: Tensor,
    b: Tensor,
}

#[derive(Tree, Clone)]
struct Mlp {
    hidden: Linear,
    out: Linear,
}

fn forward(m: &Mlp, x: &Tensor) -> Tensor {
    let h = (x.matmul(&m.hidden.w) + &m.hidden.b).tanh();
    h.matmul(&m.out.w) + &m.out.b
}

fn main() -> gradloom::Result<()> {
    let linear = |seed, i, o| Linear { w: random::normal(&Key::new(seed), [i, o]) * 0.5, b: Tensor::zeros([o]) };
    let mut m = Mlp { hidden: linear(1, 2, 16), out: linear(2, 16, 1) };
    let x = random::normal(&Key::new(3), [64, 2]);
    let y = x.i((.., 0..1)) * x.i((.., 1..2));

    let step = jit(|(m, x, y): &(Mlp, Tensor, Tensor)| {
        let (loss, g) = value_and_grad(|m: &Mlp| (forward(m, x) - y).square().mean(..))(m);
        (loss, m.zip_map(&g, |p, g| p - g * 0.05))
    });
    for i in 0..=400 {
        let loss;
        (loss, m) = step.run((m, x.clone(), y.clone()))?; // compiled once; updates the parameters in place
        if i % 100 == 0 {
            println!("step {i}: loss {:.4}", loss.item::<f32>()?);
        }
    }
    println!("{}", jit(|(m, x): &(Mlp, Tensor)| forward(m, x)).lower(&(m, x))?.text());
    Ok(())
}
