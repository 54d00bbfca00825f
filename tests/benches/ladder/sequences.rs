//! Sequence models.

use crate::Size;
use crate::arrays::layernorm;
use crate::inputs::{init, labels, u, u_in};
use crate::measure::{Workload, trained};
use gradloom::losses::cross_entropy;
use gradloom::nn::gelu;
use gradloom::prelude::*;

#[derive(Tree, Clone)]
struct Transformer {
    e: Tensor,
    pos: Tensor,
    out: Tensor,
    blocks: Vec<Block>,
    #[tree(skip)]
    heads: usize,
}

#[derive(Tree, Clone)]
struct Block {
    n1: Tensor,
    qkv: Tensor,
    o: Tensor,
    n2: Tensor,
    up: Tensor,
    down: Tensor,
}

fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Tensor {
    let (b, t, d) = (q.dim(0), q.dim(1), q.dim(2));
    let [q, k, v] = [q, k, v].map(|z| z.reshape([b, t, heads, d / heads]));
    let scores = einsum("bqhd,bkhd->bhqk", &[&q, &k]) / ((d / heads) as f64).sqrt();
    let (row, column) = (Tensor::iota([t, t], 0, DType::I32), Tensor::iota([t, t], 1, DType::I32));
    let causal = row.ge(&column).select(&scores, -1e30);
    einsum("bhqk,bkhd->bqhd", &[&causal.softmax(-1), &v]).reshape([b, t, d])
}

impl Transformer {
    /// Scores `[batch, time, vocabulary]` of the next token, for tokens `[batch, time]`.
    fn forward(&self, tokens: &Tensor) -> Tensor {
        let mut h = self.e.i(tokens) + &self.pos;
        for b in &self.blocks {
            let qkv = layernorm(&h, &b.n1).matmul(&b.qkv).split(3, -1);
            h = &h + attention(&qkv[0], &qkv[1], &qkv[2], self.heads).matmul(&b.o);
            h = &h + gelu(&layernorm(&h, &b.n2).matmul(&b.up)).matmul(&b.down);
        }
        h.matmul(&self.out)
    }
}

pub fn transformer_train(size: Size) -> Box<dyn Workload> {
    let (d, layers, vocabulary, time, batch, heads) = size.pick((256, 4, 512, 256, 4, 8), (1024, 8, 8192, 1024, 8, 16));
    let block = |i: u64| Block {
        n1: Tensor::ones([d]),
        qkv: init(&[d, 3 * d], 10 + i),
        o: init(&[d, d], 20 + i),
        n2: Tensor::ones([d]),
        up: init(&[d, 4 * d], 30 + i),
        down: init(&[4 * d, d], 40 + i),
    };
    let params = Transformer {
        e: u_in(&[vocabulary, d], 1, -0.02, 0.02),
        pos: u_in(&[time, d], 2, -0.02, 0.02),
        out: init(&[d, vocabulary], 3),
        blocks: (0..layers).map(block).collect(),
        heads,
    };
    let tokens = |k| Tensor::from_slice([batch, time], &labels(batch * time, vocabulary, k));
    trained(params, (tokens(5), tokens(6)), |p, (x, y)| cross_entropy(&p.forward(x), y))
}

#[derive(Tree, Clone)]
struct Lstm {
    wx: Tensor,
    wh: Tensor,
    b: Tensor,
    o: Tensor,
}

pub fn lstm_train(size: Size) -> Box<dyn Workload> {
    let (hidden, inputs, time, batch) = size.pick((256, 64, 128, 32), (1024, 64, 128, 256));
    let params = Lstm {
        wx: init(&[inputs, 4 * hidden], 1),
        wh: init(&[hidden, 4 * hidden], 2),
        b: Tensor::zeros([4 * hidden]),
        o: init(&[hidden, 1], 3),
    };
    let loss = |p: &Lstm, (x, y): &(Tensor, Tensor)| {
        let cell = |(h, s): &(Tensor, Tensor), x: &Tensor| {
            let gates = (x.matmul(&p.wx) + h.matmul(&p.wh) + &p.b).split(4, -1);
            let s = (&gates[1] + 1.0).sigmoid() * s + gates[0].sigmoid() * gates[2].tanh();
            let h = gates[3].sigmoid() * s.tanh();
            ((h, s), ())
        };
        let zero = Tensor::zeros([x.dim(1), p.wh.dim(0)]);
        let ((h, _), ()) = scan(cell, &(zero.clone(), zero), x);
        (h.matmul(&p.o) - y).square().mean(..)
    };
    trained(params, (u(&[time, batch, inputs], 4), u(&[batch, 1], 5)), loss)
}
