//! Differential equations and particles.

use crate::Size;
use crate::inputs::{dense, init, u, u_in};
use crate::measure::{Workload, case, sum_of_squares, trained};
use gradloom::nn::silu;
use gradloom::prelude::*;

type Dense = Vec<(Tensor, Tensor)>;

pub fn pinn_burgers(size: Size) -> Box<dyn Workload> {
    fn net(layers: &Dense, x: &Tensor, t: &Tensor) -> Tensor {
        let Some(((w, b), hidden)) = layers.split_last() else { return x.clone() };
        let h = Tensor::stack(&[x.clone(), t.clone()], 0);
        let h = hidden.iter().fold(h, |h, (w, b)| (h.matmul(w) + b).tanh());
        (h.matmul(w) + b).sum(..)
    }
    /// u_t + u u_x - 0.01/π u_xx
    fn residual(p: &Dense, x: &Tensor, t: &Tensor) -> Tensor {
        let u_x = |x: &Tensor| grad(|x: &Tensor| net(p, x, t))(x);
        let u_t = grad(|t: &Tensor| net(p, x, t))(t);
        u_t + net(p, x, t) * u_x(x) - 0.01 / std::f64::consts::PI * grad(u_x)(x)
    }
    let n = size.pick(4096, 262_144);
    let loss = |p: &Dense, points: &(Tensor, Tensor)| {
        vmap(|(x, t): &(Tensor, Tensor)| residual(p, x, t))(points).square().mean(..)
    };
    trained(dense(&[2, 64, 64, 64, 64, 1], 0), (u(&[n], 8), u_in(&[n], 9, 0.0, 1.0)), loss)
}

#[derive(Tree, Clone)]
struct Egnn {
    e1: Tensor,
    e2: Tensor,
    x: Tensor,
    h: Tensor,
}

/// A batch of graphs: nodes of all graphs one after the other, edges as pairs of node numbers.
#[derive(Tree, Clone)]
struct Graphs {
    h: Tensor,
    x: Tensor,
    y: Tensor,
    senders: Tensor,
    receivers: Tensor,
}

pub fn egnn_train(size: Size) -> Box<dyn Workload> {
    const NODES: usize = 24;
    const WIDTH: usize = 64;
    let graphs = size.pick(32, 2048);
    let edges = (0..graphs).flat_map(|g| {
        let pairs = (0..NODES).flat_map(|s| (0..NODES).filter(move |&r| r != s).map(move |r| (s, r)));
        pairs.map(move |(s, r)| ((s + NODES * g) as i32, (r + NODES * g) as i32))
    });
    let (senders, receivers): (Vec<i32>, Vec<i32>) = edges.unzip();
    let layer = |i: u64| Egnn {
        e1: init(&[2 * WIDTH + 1, WIDTH], 10 + i),
        e2: init(&[WIDTH, WIDTH], 20 + i),
        x: init(&[WIDTH, 1], 30 + i),
        h: init(&[2 * WIDTH, WIDTH], 40 + i),
    };
    let n = graphs * NODES;
    let data = Graphs {
        h: u(&[n, WIDTH], 1),
        x: u(&[n, 3], 2),
        y: u(&[n, 3], 3),
        senders: Tensor::from_vec(senders),
        receivers: Tensor::from_vec(receivers),
    };
    let loss = |layers: &Vec<Egnn>, data: &Graphs| {
        let (s, r) = (&data.senders, &data.receivers);
        let gather = |a: &Tensor, rows: &Tensor| a.i(rows);
        let collect = |like: &Tensor, rows: Tensor| like.zeros_like().at(r).add(rows);
        let (mut h, mut x) = (data.h.clone(), data.x.clone());
        for l in layers {
            let d = gather(&x, r) - gather(&x, s);
            let d2 = d.square().sum_keepdims(-1);
            let pairs = Tensor::concatenate(&[gather(&h, r), gather(&h, s), d2.clone()], -1);
            let m = silu(&silu(&pairs.matmul(&l.e1)).matmul(&l.e2));
            let push = d / ((d2 + 1e-8).sqrt() + 1.0) * m.matmul(&l.x);
            x = &x + collect(&x, push) / (NODES as f64 - 1.0);
            let heard = collect(&h, m);
            h = &h + silu(&Tensor::concatenate(&[h.clone(), heard], -1).matmul(&l.h));
        }
        (x - &data.y).square().mean(..)
    };
    trained((0..4).map(layer).collect::<Vec<_>>(), data, loss)
}

pub fn rk4_loop(_: Size) -> Box<dyn Workload> {
    /// The Lorenz system with σ = 10, ρ = 14, β = 8/3: it settles, so the end state is a check.
    fn lorenz(s: &Tensor) -> Tensor {
        let (x, y, z) = (s.i(0), s.i(1), s.i(2));
        Tensor::stack(&[10.0 * (&y - &x), &x * (14.0 - &z) - &y, &x * &y - 8.0 / 3.0 * &z], 0)
    }
    let step = |_: &Tensor, s: &Tensor| {
        let h = 1e-3;
        let a = lorenz(s);
        let b = lorenz(&(s + h / 2.0 * &a));
        let c = lorenz(&(s + h / 2.0 * &b));
        let d = lorenz(&(s + h * &c));
        s + h / 6.0 * (a + 2.0 * b + 2.0 * c + d)
    };
    case(Tensor::ones([3]), move |s: &Tensor| fori_loop(0..20_000, step, s), sum_of_squares)
}
