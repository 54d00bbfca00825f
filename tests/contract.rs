//! The user's API as DESIGN writes it: every line compiles and runs as it stands.

use gradloom::passes::{Changed, Pass, PassContext};
use gradloom::prelude::*;

#[derive(Clone, Copy)]
struct Act; // static data without Hash or Debug

#[derive(Tree, Clone)]
struct Mlp {
    layers: Vec<Linear>,
    #[tree(skip)]
    act: Act,
}

#[derive(Tree, Clone)]
struct Linear {
    w: Tensor,
    b: Tensor,
}

fn forward(m: &Mlp, x: &Tensor) -> Tensor {
    let Act = m.act;
    let (last, hidden) = m.layers.split_last().unwrap();
    let h = hidden.iter().fold(x.clone(), |h, l| (h.matmul(&l.w) + &l.b).tanh());
    h.matmul(&last.w) + &last.b
}

struct MyPass;

impl Pass for MyPass {
    fn name(&self) -> &str {
        "mine"
    }
    fn run(&self, _: &mut gradloom::ir::Graph, _: &mut PassContext) -> gradloom::Result<Changed> {
        Ok(Changed::No)
    }
}

fn values(t: &Tensor) -> Vec<f32> {
    t.to_vec::<f32>().unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn training_step() -> gradloom::Result<()> {
    let key = Key::new(0);
    let linear =
        |i: u32, n: usize, o: usize| Linear { w: random::normal(&key.fold_in(i), [n, o]), b: Tensor::zeros([o]) };
    let m = Mlp { layers: vec![linear(0, 2, 8), linear(1, 8, 1)], act: Act };
    let (x, y) = (random::normal(&key.fold_in(9), [16, 2]), Tensor::ones([16, 1]));
    let step = jit(|(m, x, y): &(Mlp, Tensor, Tensor)| {
        let (loss, g) = value_and_grad(|m: &Mlp| (forward(m, x) - y).square().mean(..))(m);
        (loss, m.zip_map(&g, |p, g| p - g * 0.1))
    });
    let (first, mut m) = step.run((m, x.clone(), y.clone()))?;
    let mut loss = first.clone();
    for _ in 0..50 {
        (loss, m) = step.run((m, x.clone(), y.clone()))?;
    }
    assert!(loss.item::<f32>()? < 0.5 * first.item::<f32>()?);
    Ok(())
}

#[test]
fn transforms_and_control_flow() {
    let (x, dx) = (Tensor::from_slice([2], &[0.5f32, 1.0]), Tensor::ones([2]));
    let batch = Tensor::from_slice([2, 2], &[1.0f32, 2.0, 3.0, 4.0]);
    let (c0, s0, xs) = (Tensor::from(0.0f32), Tensor::from(1.0f32), x.clone());
    let p = Tensor::from(true);

    let hess = jacfwd(jacrev(|x: &Tensor| (x.sin() * x).sum(..)))(&x);
    assert_eq!(hess.shape(), [2, 2]);
    let per_example = vmap(|x: &Tensor| grad(|v: &Tensor| v.square().sum(..))(x))(&batch);
    assert_eq!(values(&per_example), [2.0, 4.0, 6.0, 8.0]);
    let (y, dy) = jvp(|x: &Tensor| x.exp(), &x, &dx);
    assert_eq!(values(&y), values(&dy));
    let (y, pull) = vjp(|x: &Tensor| x.exp(), &x);
    let ct = pull(&y);
    assert_eq!(values(&ct), values(&(&y * &y)));
    let (carry, ys) = scan(|c: &Tensor, x: &Tensor| (c + x, c * x), &c0, &xs);
    assert_eq!((values(&carry), values(&ys)), (vec![1.5], vec![0.0, 0.5]));
    let r = while_loop(|s: &Tensor| s.lt(10.0), |s: &Tensor| s * 2.0, &s0);
    assert_eq!(values(&r), [16.0]);
    let z = cond(&p, |x: &Tensor| x.sin(), |x: &Tensor| x.cos(), &x);
    assert_eq!(values(&z), values(&x.sin()));
    let safe = custom_vjp(
        |x: &Tensor| x.sqrt(),
        |x: &Tensor| {
            let y = x.sqrt();
            (y.clone(), y)
        },
        |y: &Tensor, ct: &Tensor| ct / (y * 2.0),
    );
    assert_eq!(values(&grad(|x: &Tensor| safe(x).sum(..))(&Tensor::ones([1]))), [0.5]);
}

#[test]
fn indexing_einsum_and_random() {
    let key = Key::new(0);
    let (q, k) = (Tensor::ones([2, 3, 4, 5]), Tensor::ones([2, 6, 4, 5]));
    let e = einsum("bqhd,bkhd->bhqk", &[&q, &k]);
    assert_eq!((e.shape(), values(&e)[0]), (&[2, 4, 3, 6][..], 5.0));
    let rows = Tensor::from_vec(vec![1, 0]);
    let x = Tensor::zeros([4, 3]);
    let u = Tensor::ones([3, 2]);
    let t = x.at((0..3, &rows)).add(&u);
    assert_eq!(values(&t), [1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    let x = Tensor::iota([2, 4, 3, 2], 1, DType::F32);
    let s = x.i((.., 0..3, -1, &rows));
    assert_eq!(s.size(), 2 * 3 * 2);
    let n = random::normal(&key.fold_in(1), [3, 4]);
    assert_eq!(n.shape(), [3, 4]);
}

#[test]
fn lowering_compiling_and_devices() -> gradloom::Result<()> {
    let f = |x: &Tensor| x.sin() + 1.0;
    let args = Tensor::ones([4]);
    let low = jit(f).lower(&args)?;
    assert!(low.text().contains("sine"));
    let dot = std::env::temp_dir().join(format!("gradloom-contract-{}.dot", std::process::id()));
    low.write_dot(&dot)?;
    assert!(std::fs::read_to_string(&dot).unwrap().starts_with("digraph"));
    std::fs::remove_file(&dot).unwrap();
    let exe = low.compile()?;
    assert!(exe.cost().to_string().contains("kernels"));
    assert_eq!(exe.call(&args)?.size(), 4);
    let same = jit(f).pipeline(|p| p.after("simplify", MyPass)).on(Device::interp());
    assert_eq!(values(&same.call(&args)?), values(&jit(f).call(&args)?));
    let e = Device::cuda(0).unwrap_err().to_string();
    assert!(e.contains("cuda") && e.contains("help:"), "{e}");
    Ok(())
}
