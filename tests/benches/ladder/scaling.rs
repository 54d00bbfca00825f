//! How time grows with size: five programs at three sizes each, and programs of many ops.

use crate::inputs::{dense, init, u};
use crate::measure::{Workload, case, sum_of_squares};
use gradloom::prelude::*;

/// A program, what its size counts, and the sizes.
pub struct Scaled {
    pub name: &'static str,
    pub counts: &'static str,
    pub sizes: &'static [usize],
    pub make: fn(usize) -> Box<dyn Workload>,
}

/// Work grows with the size as `counts` says.
pub const SCALED: &[Scaled] = &[
    Scaled {
        name: "mlp",
        counts: "examples of a 784-512-512-10 network and its gradient",
        sizes: &[128, 256, 512],
        make: mlp,
    },
    Scaled {
        name: "attention",
        counts: "places, of which each sees each: the square counts",
        sizes: &[256, 512, 1024],
        make: attention,
    },
    Scaled {
        name: "convolution",
        counts: "channels in and out of a 3x3 convolution of 32 images of 28x28: the square counts",
        sizes: &[16, 32, 64],
        make: convolution,
    },
    Scaled {
        name: "recurrent",
        counts: "steps of a tanh network of 256 units, with its gradient",
        sizes: &[64, 128, 256],
        make: recurrent,
    },
    Scaled { name: "softmax", counts: "rows of 1024", sizes: &[2048, 4096, 8192], make: softmax },
    Scaled {
        name: "ops",
        counts: "ops of a chain on 8 elements, none of which can be left out",
        sizes: &[1000, 10_000, 50_000],
        make: ops,
    },
];

fn mlp(batch: usize) -> Box<dyn Workload> {
    let loss = |layers: &Vec<(Tensor, Tensor)>, x: &Tensor| {
        let y = layers.iter().fold(x.clone(), |h, (w, b)| (h.matmul(w) + b).tanh());
        y.square().mean(..)
    };
    let args = (dense(&[784, 512, 512, 10], 0), u(&[batch, 784], 9));
    let f = move |(layers, x): &(Vec<(Tensor, Tensor)>, Tensor)| {
        value_and_grad(|p: &Vec<(Tensor, Tensor)>| loss(p, x))(layers)
    };
    case(args, f, |(l, _)| Ok(f64::from(l.item::<f32>()?)))
}

fn attention(places: usize) -> Box<dyn Workload> {
    let heads = |k| u(&[8, places, 64], k);
    let f = |(q, k, v): &(Tensor, Tensor, Tensor)| (q.matmul(&k.swapaxes(-1, -2)) * 0.125).softmax(-1).matmul(v);
    case((heads(1), heads(2), heads(3)), f, sum_of_squares)
}

fn convolution(channels: usize) -> Box<dyn Workload> {
    let args = (u(&[32, 28, 28, channels], 1), init(&[3, 3, channels, channels], 2));
    let f = |(x, w): &(Tensor, Tensor)| x.conv2d(w, &Conv::new().padding(Padding::Same));
    case(args, f, sum_of_squares)
}

fn recurrent(steps: usize) -> Box<dyn Workload> {
    let loss = |w: &Tensor, x: &Tensor| {
        let cell = |h: &Tensor, x: &Tensor| ((h.matmul(w) + x).tanh(), ());
        let (h, ()) = scan(cell, &Tensor::zeros([32, 256]), x);
        h.square().mean(..)
    };
    let f = move |(w, x): &(Tensor, Tensor)| value_and_grad(|w: &Tensor| loss(w, x))(w);
    case((init(&[256, 256], 1), u(&[steps, 32, 256], 2)), f, |(l, _)| Ok(f64::from(l.item::<f32>()?)))
}

fn softmax(rows: usize) -> Box<dyn Workload> {
    case(u(&[rows, 1024], 1), |x: &Tensor| x.softmax(-1), sum_of_squares)
}

fn ops(count: usize) -> Box<dyn Workload> {
    let f = move |x: &Tensor| (0..count / 2).fold(x.clone(), |y, i| (y * (1.0 - 1e-6 * i as f64)).sin());
    case(u(&[8], 1), f, sum_of_squares)
}
