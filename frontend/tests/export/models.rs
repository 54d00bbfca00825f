//! Training steps and loops, as a user writes them.

use super::case::{Case, Rule};
use gradloom_frontend::Tree;
use gradloom_frontend::prelude::*;
use gradloom_ir::{Literal, with_element};

fn literals<T: Tree>(x: &T) -> Vec<Literal> {
    let one = |t: &Tensor| {
        with_element!(t.dtype(), T => {
            Literal::new(t.shape(), &t.to_vec::<T>().unwrap_or_else(|e| panic!("{e}")))
        })
    };
    x.leaves().iter().map(one).collect()
}

/// A compiled function: its text takes the leaves of the argument alone.
fn case<A: Tree, B: Tree>(name: &str, f: impl Fn(&A) -> B, args: &A) -> Case {
    let f = jit(f);
    let text = f.lower(args).and_then(|l| l.stablehlo()).unwrap_or_else(|e| panic!("{name}: {e}"));
    let expected = literals(&f.call(args).unwrap_or_else(|e| panic!("{name}: {e}")));
    // errors of sums are amplified by steps of training, by roots and quotients
    Case {
        name: name.to_string(),
        text,
        inputs: literals(args),
        expected,
        rule: Rule { ulps: 2000.0, scaled: true, floor: 0.0 },
    }
}

fn normal(seed: u64, shape: &[usize]) -> Tensor {
    random::normal(&Key::new(seed), shape) * 0.5
}

type Layers = Vec<(Tensor, Tensor)>;

fn mlp(layers: &Layers, x: &Tensor) -> Tensor {
    layers.iter().enumerate().fold(x.clone(), |h, (i, (w, b))| {
        let y = h.matmul(w) + b;
        if i + 1 < layers.len() { y.tanh() } else { y }
    })
}

fn attention(x: &Tensor, [q, k, v]: [&Tensor; 3]) -> Tensor {
    let (q, k, v) = (x.matmul(q), x.matmul(k), x.matmul(v));
    let scores = q.matmul(&k.t()) * 0.35;
    scores.softmax(-1).matmul(&v)
}

pub fn cases() -> Vec<Case> {
    let layers: Layers = [(5usize, 8usize), (8, 8), (8, 3)]
        .iter()
        .zip(0..)
        .map(|(&(i, o), s)| (normal(s, &[i, o]), normal(s + 9, &[o])))
        .collect();
    let (x, y) = (normal(20, &[7, 5]), normal(21, &[7, 3]));
    let adam = |(m, s, v, x, y): &(Layers, Layers, Layers, Tensor, Tensor)| {
        let (loss, g) = value_and_grad(|m: &Layers| (mlp(m, x) - y).square().mean(..))(m);
        let s = s.zip_map(&g, |s, g| s * 0.9 + g * 0.1);
        let v = v.zip_map(&g, |v, g| v * 0.999 + g.square() * 0.001);
        let step = s.zip_map(&v, |s, v| s / (v.sqrt() + 1e-3) * 0.01);
        (loss, m.zip_map(&step, |p, d| p - d), s, v)
    };
    let zeros = layers.map(|p| p * 0.0);
    let images = normal(30, &[2, 8, 8, 1]);
    let cnn = |(c, d, x): &(Tensor, Tensor, Tensor)| {
        grad(|(c, d): &(Tensor, Tensor)| {
            let h = x.conv2d(c, &Conv::new().padding(Padding::Same)).tanh();
            let h = h.max_pool(&[2, 2], &[2, 2], &Padding::Valid).reshape([2, -1]);
            h.matmul(d).square().sum(..)
        })(&(c.clone(), d.clone()))
    };
    let heads = |(p, x): &(Vec<Tensor>, Tensor)| {
        value_and_grad(|p: &Vec<Tensor>| {
            let h = x + attention(x, [&p[0], &p[1], &p[2]]);
            (&h + h.matmul(&p[3]).tanh().matmul(&p[4])).square().mean(..)
        })(p)
    };
    let lstm = |(w, u, xs): &(Tensor, Tensor, Tensor)| {
        value_and_grad(|(w, u): &(Tensor, Tensor)| {
            let zero = Tensor::zeros([4]);
            let step = |(h, c): &(Tensor, Tensor), x: &Tensor| {
                let gates = x.matmul(w) + h.matmul(u);
                let part = |i: i64| gates.i(i * 4..(i + 1) * 4);
                let c = c * part(0).sigmoid() + part(1).sigmoid() * part(2).tanh();
                let h = part(3).sigmoid() * c.tanh();
                ((h.clone(), c), h)
            };
            let (_, ys) = scan(step, &(zero.clone(), zero), xs);
            ys.square().sum(..)
        })(&(w.clone(), u.clone()))
    };
    let newton = |x: &Tensor| {
        let go = |(r, _): &(Tensor, Tensor)| (r * r - x).abs().gt(1e-5);
        while_loop(go, |(r, n): &(Tensor, Tensor)| ((r + x / r) * 0.5, n + 1), &(x.clone(), Tensor::from(0i32)))
    };
    let captured = normal(40, &[6, 6]);
    let table = normal(41, &[40, 3]);
    let capturing = move |(x, i): &(Tensor, Tensor)| x.matmul(&captured).sum(..) + table.take(i, 0).sum(..);
    vec![
        case("mlp with adam", adam, &(layers.clone(), zeros.clone(), zeros, x, y)),
        case("cnn", cnn, &(normal(31, &[3, 3, 1, 4]), normal(32, &[64, 3]), images)),
        case("transformer", heads, &((0..5).map(|s| normal(50 + s, &[8, 8])).collect(), normal(60, &[6, 8]))),
        case("lstm", lstm, &(normal(70, &[3, 16]), normal(71, &[4, 16]), normal(72, &[5, 3]))),
        case("newton", newton, &Tensor::from(3.0f32)),
        case("captured tensors", capturing, &(normal(42, &[2, 6]), Tensor::from_vec(vec![0i32, 39, 7]))),
        case("hessian", jacfwd(jacrev(|x: &Tensor| (x.sin() * x).sum(..))), &normal(80, &[4])),
        case("random", |s: &Tensor| random::normal(&Key::new(5), [33]) * s, &Tensor::from(2.0f32)),
    ]
}
