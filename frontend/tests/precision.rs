//! Mixed precision as a transform: against conversions written out, and nested with the others.

use gradloom_frontend::passes::{MixedPrecision, cost::graph_cost};
use gradloom_frontend::prelude::*;
use gradloom_frontend::{Tensor, Tree, jacrev};

#[derive(Tree, Clone)]
struct Net {
    w: Tensor,
    b: Tensor,
    v: Tensor,
}

fn net() -> Net {
    let normal = |seed, shape: [usize; 2]| random::normal(&Key::new(seed), shape) * 0.5;
    Net { w: normal(1, [5, 7]), b: normal(2, [1, 7]).i(0), v: normal(3, [7, 3]) }
}

fn x() -> Tensor {
    random::normal(&Key::new(4), [4, 5])
}

fn forward(n: &Net, x: &Tensor) -> Tensor {
    (x.matmul(&n.w) + &n.b).tanh().matmul(&n.v)
}

fn loss(n: &Net) -> Tensor {
    forward(n, &x()).square().mean(..)
}

/// What the transform makes of [`loss`], by hand.
fn written_out(n: &Net, d: DType) -> Tensor {
    let h = (x().to(d).matmul(&n.w.to(d)) + n.b.to(d)).tanh();
    h.matmul(&n.v.to(d)).to(DType::F32).square().mean(..)
}

fn bits<T: Tree>(x: &T) -> Vec<u32> {
    x.leaves().iter().flat_map(|t| t.to_vec::<f32>().unwrap()).map(f32::to_bits).collect()
}

#[test]
fn value_and_gradient_are_those_of_conversions_written_out() {
    for d in [DType::BF16, DType::F16] {
        let by_hand = jit(move |n: &Net| value_and_grad(|n: &Net| written_out(n, d))(n)).call(&net()).unwrap();
        let lowered = jit(move |n: &Net| value_and_grad(mixed_precision(loss, d))(n));
        let got = lowered.call(&net()).unwrap();
        assert_eq!(bits(&got), bits(&by_hand), "{d}");
        assert!(got.leaves().iter().all(|t| t.dtype() == DType::F32));
        assert_ne!(bits(&got), bits(&jit(value_and_grad(loss)).call(&net()).unwrap()));
        // what is not compiled as a whole rounds at the same places
        assert_eq!(bits(&value_and_grad(mixed_precision(loss, d))(&net()).0), bits(&by_hand.0));
    }
}

#[test]
fn it_nests_with_the_other_transforms() {
    let d = DType::BF16;
    let f = |n: &Net| jacrev(mixed_precision(|x: &Tensor| forward(n, x), d))(&x().i((0..2, ..)));
    let want = jit(|n: &Net| {
        jacrev(|x: &Tensor| ((x.to(d).matmul(&n.w.to(d)) + n.b.to(d)).tanh().matmul(&n.v.to(d))).to(DType::F32))(
            &x().i((0..2, ..)),
        )
    });
    assert_eq!(bits(&jit(f).call(&net()).unwrap()), bits(&want.call(&net()).unwrap()));

    // the rows of a batch one by one
    let n = net();
    let rows = vmap(mixed_precision(|x: &Tensor| forward(&n, x), d))(&x());
    let (rows, whole) = (rows.to_vec::<f32>().unwrap(), mixed_precision(|x: &Tensor| forward(&n, x), d)(&x()));
    let whole = whole.to_vec::<f32>().unwrap();
    assert!(rows.iter().zip(&whole).all(|(a, b)| (a - b).abs() <= 0.02 * b.abs().max(0.5)), "{rows:?}\n{whole:?}");

    let kept = jit(value_and_grad(mixed_precision(loss, d))).call(&n).unwrap();
    let again = jit(value_and_grad(checkpoint(mixed_precision(loss, d)))).call(&n).unwrap();
    assert_eq!(bits(&kept), bits(&again));
    let inside = jit(value_and_grad(mixed_precision(checkpoint(loss), d))).call(&n).unwrap();
    assert_eq!(bits(&kept), bits(&inside));

    // forward mode, and over reverse mode
    let low = mixed_precision(|w: &Tensor| loss(&Net { w: w.clone(), ..net() }), d);
    let (slope, turned) = (jvp(&low, &n.w, &n.w).1, (grad(&low)(&n.w) * &n.w).sum(..));
    let [slope, turned] = [slope, turned].map(|t| t.item::<f32>().unwrap());
    assert!((slope - turned).abs() < 0.02 * slope.abs(), "{slope} {turned}");
    let second = jvp(grad(&low), &n.w, &n.w).1;
    let exact = jvp(grad(|w: &Tensor| loss(&Net { w: w.clone(), ..net() })), &n.w, &n.w).1;
    let off = (&second - &exact).norm(..).item::<f32>().unwrap() / exact.norm(..).item::<f32>().unwrap();
    assert!(off < 0.03, "{off}");
}

#[test]
fn recurrent_weights_are_rounded_once_before_the_loop() {
    let rnn = |(w, xs): &(Tensor, Tensor)| {
        let step = |h: &Tensor, x: &Tensor| ((h.matmul(w) + x).tanh(), ());
        scan(step, &Tensor::zeros([3, 4]), xs).0.sum(..)
    };
    let w = random::normal(&Key::new(0), [4, 4]) * 0.4;
    let xs = random::normal(&Key::new(1), [6, 3, 4]);
    let f = jit(mixed_precision(rnn, DType::BF16));
    let text = f.lower(&(w.clone(), xs.clone())).unwrap().text();
    assert!(text.find("= convert").unwrap() < text.find("scan(").unwrap(), "{text}");
    let (low, exact) = (f.call(&(w.clone(), xs.clone())).unwrap(), rnn(&(w, xs)));
    assert!((low - &exact).abs().item::<f32>().unwrap() < 0.05 * exact.abs().item::<f32>().unwrap().max(1.0));
}

#[test]
fn the_pass_in_a_pipeline_computes_the_same() {
    let n = net();
    let by_pass = jit(loss).pipeline(|p| p.before("simplify", MixedPrecision::default())).call(&n).unwrap();
    let with = jit(loss).pipeline(|p| p.with(MixedPrecision::default())).call(&n).unwrap();
    let by_transform = jit(mixed_precision(loss, DType::BF16)).call(&n).unwrap();
    assert_eq!(bits(&by_pass), bits(&by_transform));
    assert_eq!(bits(&with), bits(&by_transform));
}

/// What a training step reads and writes op by op: products and what is kept for the way back have two bytes a number.
#[test]
fn a_step_moves_fewer_bytes() {
    let net = |seed| random::normal(&Key::new(seed), [64, 64]) * 0.1;
    let (w, x) = (vec![net(0), net(1), net(2)], random::normal(&Key::new(3), [1024, 64]));
    let loss = |ws: &Vec<Tensor>| ws.iter().fold(x.clone(), |h, w| h.matmul(w).tanh()).square().mean(..);
    let moved = |f: &dyn Fn(&Vec<Tensor>) -> (Tensor, Vec<Tensor>)| graph_cost(jit(f).lower(&w).unwrap().graph()).bytes;
    let (wide, low) = (moved(&value_and_grad(loss)), moved(&value_and_grad(mixed_precision(loss, DType::BF16))));
    assert!(low * 10 < wide * 8, "{low} of {wide}");
}

#[test]
fn mistakes_are_errors_at_the_users_line() {
    let e = mixed_precision(|x: &Tensor| x.matmul(&x.t()), DType::F64)(&x()).check().unwrap_err();
    assert!(e.to_string().starts_with("mixed_precision: f64 is no float of 16 bits\n"), "{e}");
    assert!(e.loc().to_string().contains("precision.rs"), "{e}");
    let e = mixed_precision(|x: &Tensor| x.matmul(&x.reshape([2, 10])), DType::BF16)(&x()).check().unwrap_err();
    assert!(e.to_string().contains("precision.rs"), "{e}");
}
