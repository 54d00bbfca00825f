//! A pass of one's own: `cargo run --release --example custom_pass`.
//!
//! It replaces every `tanh` by the cheaper x (27 + x²) / (27 + 9 x²), which is close for small x.
use gradloom::ir::{Builder, Graph, Op, Unary};
use gradloom::passes::{Changed, Pass, PassContext};
use gradloom::prelude::*;

struct RationalTanh;

impl Pass for RationalTanh {
    fn name(&self) -> &str {
        "rational_tanh"
    }

    fn run(&self, g: &mut Graph, _cx: &mut PassContext) -> gradloom::Result<Changed> {
        let mut b = Builder::new();
        let mut new: Vec<_> = g.inputs().map(|v| b.input(g.ty(v).clone(), &g.input_names()[v.index()])).collect();
        let mut changed = false;
        for node in g.nodes() {
            b.set_loc(&node.loc); // errors and dumps keep pointing at the user's line
            let args: Vec<_> = node.args.iter().map(|a| new[a.index()]).collect();
            if node.op == Op::Unary(Unary::Tanh) {
                let x = args[0];
                let x2 = b.mul(x, x);
                let top = b.offset(x2, 27.0);
                let nine = b.scale(x2, 9.0);
                let bottom = b.offset(nine, 27.0);
                let ratio = b.div(top, bottom);
                new.push(b.mul(x, ratio));
                changed = true;
            } else {
                new.extend(b.emit(node.op.clone(), &args)?);
            }
        }
        let outputs: Vec<_> = g.outputs().iter().map(|o| new[o.index()]).collect();
        *g = b.finish(&outputs)?;
        Ok(Changed::from(changed))
    }
}

fn main() -> gradloom::Result<()> {
    let f = |x: &Tensor| (x * 0.5).tanh();
    let x = Tensor::from_slice([3], &[-0.5f32, 0.1, 1.0]);
    let fast = jit(f).pipeline(|p| p.after("simplify", RationalTanh));
    println!("{}", fast.lower(&x)?.text());
    println!("exact {}\nfast  {}", jit(f).call(&x)?, fast.call(&x)?);
    Ok(())
}
