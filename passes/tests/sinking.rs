//! Transpositions sink and layouts are chosen in random programs made of little else.

use crate::oracle;
use crate::oracle::Random;
use gradloom_ir::{Binary, Builder, DType, Graph, Op, ReduceKind, Shape, Type, Unary, Value};
use gradloom_passes::{choose_layouts, sink_transposes};

struct Generator {
    r: Random,
    b: Builder,
    values: Vec<Value>,
}

impl Generator {
    fn new(seed: u64, inputs: &[Type]) -> Generator {
        let (b, values) = Builder::with_inputs(inputs);
        Generator { r: Random(seed), b, values }
    }

    fn any(&mut self) -> Value {
        let n = self.values.len();
        self.values[n - 1 - self.r.below(n.min(5))]
    }

    fn permutation(&mut self, n: usize) -> Shape {
        let mut p: Shape = (0..n).collect();
        (1..n).for_each(|i| p.swap(i, self.r.below(i + 1)));
        p
    }

    /// A value of this type: one there is, or something repeated.
    fn like(&mut self, ty: &Type) -> Value {
        let fits: Vec<Value> = self.values.iter().copied().filter(|&v| self.b.ty(v) == ty).collect();
        if !fits.is_empty() && self.r.below(3) > 0 {
            return fits[self.r.below(fits.len())];
        }
        let vectors = self.values.iter().filter(|&&v| self.b.ty(v).rank() == 1).copied();
        for v in vectors.collect::<Vec<_>>() {
            let n = self.b.ty(v).shape[0];
            if let Some(d) = ty.shape.iter().position(|&m| m == n) {
                return self.b.broadcast(v, &ty.shape, &[d]);
            }
        }
        self.b.full(ty, 0.5)
    }

    fn step(&mut self) {
        let x = self.any();
        let ty = self.b.ty(x).clone();
        let rank = ty.rank();
        let y = match self.r.below(11) {
            0..3 => {
                let perm = self.permutation(rank);
                self.b.transpose(x, &perm)
            }
            3 if rank > 0 => {
                let shape =
                    if rank > 1 { Shape::from_elem(ty.numel(), 1) } else { [ty.shape[0], 1].into_iter().collect() };
                self.b.reshape(x, &shape)
            }
            4 => self.b.unary(Unary::Tanh, x),
            5 | 6 => {
                let z = self.like(&ty);
                let f = [Binary::Sub, Binary::Max][self.r.below(2)];
                self.b.binary(f, x, z)
            }
            7 if rank > 0 => {
                let z = self.like(&ty);
                let axis = self.r.below(rank);
                let y = self.b.concatenate(&[x, z], axis);
                self.b.slice_axis(y, axis, 1, 1 + ty.shape[axis])
            }
            8 if rank > 1 => {
                let axis = self.r.below(rank);
                self.b.reduce(ReduceKind::Max, x, &[axis])
            }
            9 if rank > 1 => {
                let z = self.like(&ty);
                let (axis, batched) = (self.r.below(rank), self.r.below(2) == 0);
                let batch: Shape = (0..rank).filter(|&a| batched && a != axis).take(1).collect();
                let contract = Shape::from_elem(axis, 1);
                let op = Op::DotGeneral {
                    lhs_batch: batch.clone(),
                    rhs_batch: batch,
                    lhs_contract: contract.clone(),
                    rhs_contract: contract,
                };
                let y = self.b.op(op, &[x, z]);
                self.b.scale(y, 0.1)
            }
            _ => {
                let low = ty.shape.iter().map(|_| self.r.below(2) as i64).collect();
                let c = self.b.scalar(ty.dtype, 1.0);
                let none = ty.shape.iter().map(|_| 0).collect();
                let high = ty.shape.iter().map(|_| -(self.r.below(2) as i64) * i64::from(rank > 2)).collect();
                self.b.op(Op::Pad { low, high, interior: none }, &[x, c])
            }
        };
        if (1..400).contains(&self.b.ty(y).numel()) && self.b.ty(y).rank() < 5 {
            self.values.push(y);
        }
    }

    /// The program that returns what nothing uses.
    fn finish(self) -> Graph {
        let used: Vec<Value> = self.b.nodes().iter().flat_map(|n| n.args.iter().copied()).collect();
        let outputs: Vec<Value> = self.values.iter().copied().filter(|v| !used.contains(v)).collect();
        gradloom_passes::dead_code(&self.b.finish(&outputs).expect("generated programs are well-formed"))
    }
}

/// Bytes that a program transposes or reshapes.
fn moved(g: &Graph) -> usize {
    let moves = g.nodes().iter().filter(|n| matches!(n.op, Op::Transpose { .. } | Op::Reshape { .. }));
    moves.map(|n| g.ty(n.results[0]).bytes()).sum()
}

#[test]
fn transpositions_sink_and_never_move_more() {
    let mut gained = 0;
    for seed in 0..1500 {
        let types = [&[2, 3][..], &[3], &[2, 3, 2], &[4]].map(|s| Type::new(DType::F64, s));
        let mut p = Generator::new(seed, &types);
        let steps = 5 + p.r.below(25);
        (0..steps).for_each(|_| p.step());
        let g = p.finish();
        let mut after = g.clone();
        sink_transposes(&mut after).expect("sinks");
        oracle::assert_equivalent(&format!("seed {seed}"), &g, &after, Some(1e-9));
        assert!(moved(&after) <= moved(&g), "seed {seed}: {} bytes became {}\n{g}\n{after}", moved(&g), moved(&after));
        gained += usize::from(moved(&after) < moved(&g));
        let again = after.clone();
        sink_transposes(&mut after).expect("sinks");
        assert_eq!(after, again, "seed {seed}: not idempotent on\n{g}");
    }
    assert!(gained > 400, "of 1500 programs {gained} gained");
}

/// Two convolutions and what is between them, in any layouts.
fn images(seed: u64) -> Graph {
    let spatial = [5, 6];
    let channels = 8;
    let mut p = Generator::new(seed, &[]);
    let place = |p: &mut Generator, lengths: &[usize]| {
        let dims = p.permutation(lengths.len());
        let mut shape = Shape::from_elem(0, lengths.len());
        dims.iter().zip(lengths).for_each(|(&d, &n)| shape[d] = n);
        (dims, p.b.input(Type::new(DType::F64, &shape), ""))
    };
    let (lhs_dims, mut x) = place(&mut p, &[2, channels, spatial[0], spatial[1]]);
    let kernels = [(); 2].map(|()| place(&mut p, &[channels, channels, 3, 3]));
    let bias = p.b.input(Type::new(DType::F64, &[channels]), "");
    let mut dims = lhs_dims;
    for (rhs_dims, w) in kernels {
        let out_dims = p.permutation(4);
        let ones = Shape::from_elem(1, 2);
        let op = Op::Convolution {
            lhs_dims: dims,
            rhs_dims,
            out_dims: out_dims.clone(),
            strides: ones.clone(),
            padding: vec![(1, 1); 2],
            lhs_dilation: ones.clone(),
            rhs_dilation: ones,
            feature_groups: 1,
            batch_groups: 1,
        };
        x = p.b.op(op, &[x, w]);
        let shape = p.b.ty(x).shape.clone();
        let bias = p.b.broadcast(bias, &shape, &[out_dims[1]]);
        x = p.b.add(x, bias);
        x = p.b.scale(x, 0.05);
        x = p.b.unary(Unary::Tanh, x);
        p.values.push(x);
        let perm = p.permutation(4);
        x = if p.r.below(2) == 0 { p.b.transpose(x, &perm) } else { x };
        let moved = |d: &usize| perm.iter().position(|p| p == d).expect("a permutation");
        let turned = matches!(p.b.nodes().last().map(|n| &n.op), Some(Op::Transpose { .. }));
        dims = if turned { out_dims.iter().map(moved).collect() } else { out_dims };
    }
    p.values.push(x);
    p.finish()
}

#[test]
fn convolutions_get_channels_last() {
    for seed in 0..150 {
        let g = images(seed);
        let mut after = g.clone();
        choose_layouts(&mut after).expect("chooses");
        oracle::assert_equivalent(&format!("seed {seed}"), &g, &after, Some(1e-9));
        for node in after.nodes() {
            let Op::Convolution { lhs_dims, out_dims, .. } = &node.op else { continue };
            assert_eq!((lhs_dims[1], out_dims[1]), (3, 3), "seed {seed}: channels are not last\n{g}\n{after}");
        }
        let again = after.clone();
        choose_layouts(&mut after).expect("chooses");
        assert_eq!(after, again, "seed {seed}: not idempotent on\n{g}");
    }
}
