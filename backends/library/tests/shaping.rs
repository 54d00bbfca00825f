use super::{Random, check_exact};
use gradloom_ir::{DType, Op, Shape, Type};

fn lengths(rng: &mut Random, rank: usize) -> Vec<usize> {
    (0..rank).map(|_| rng.pick(&[0, 1, 1, 2, 3, 3, 5, 7, 7])).collect()
}

fn shape(it: impl IntoIterator<Item = usize>) -> Shape {
    it.into_iter().collect()
}

#[test]
fn random_attributes_of_every_dtype() {
    let mut rng = Random::new(1);
    for case in 0..600 {
        let dtype = DType::ALL[case % DType::ALL.len()];
        let rank = rng.below(5);
        let n = lengths(&mut rng, rank);
        let x = rng.literal(&Type::new(dtype, &n));
        let mut perm: Vec<usize> = (0..rank).collect();
        rng.shuffle(&mut perm);
        check_exact(&Op::Transpose { perm: shape(perm.clone()) }, std::slice::from_ref(&x));
        check_exact(
            &Op::Reverse { axes: shape(perm.iter().copied().take(rng.below(rank + 1))) },
            std::slice::from_ref(&x),
        );
        let limit: Shape = n.iter().map(|&n| rng.below(n + 1)).collect();
        let start: Shape = limit.iter().map(|&l| rng.below(l + 1)).collect();
        let stride: Shape = n.iter().map(|_| rng.pick(&[1, 1, 2, 3, 100, usize::MAX])).collect();
        check_exact(&Op::Slice { start, limit, stride }, std::slice::from_ref(&x));
        // A broadcast: the operand's axes, permuted, among others.
        let extra = rng.below(3);
        let mut dims: Vec<usize> = (0..rank + extra).collect();
        rng.shuffle(&mut dims);
        let mut to = lengths(&mut rng, rank + extra);
        (0..rank).filter(|&a| n[a] != 1).for_each(|a| to[dims[a]] = n[a]);
        check_exact(&Op::Broadcast { shape: shape(to), dims: shape(dims[..rank].to_vec()) }, std::slice::from_ref(&x));
        // Padding, where no axis becomes negative.
        let value = rng.literal(&Type::scalar(dtype));
        let interior: Shape = n.iter().map(|_| rng.pick(&[0, 0, 1, 2])).collect();
        let low: Vec<i64> = n.iter().map(|_| rng.range(-3, 3)).collect();
        let high = (0..rank)
            .map(|a| {
                let len = (n[a] + n[a].saturating_sub(1) * interior[a]) as i64 + low[a];
                rng.range(-3, 3).max(-len)
            })
            .collect();
        check_exact(&Op::Pad { low, high, interior }, &[x.clone(), value]);
        if rank > 0 {
            let axis = rng.below(rank);
            let mut parts = vec![x];
            for _ in 0..rng.below(4) {
                let mut m = n.clone();
                m[axis] = rng.below(4);
                parts.push(rng.literal(&Type::new(dtype, &m)));
            }
            check_exact(&Op::Concatenate { axis }, &parts);
        }
    }
}

#[test]
fn sizes_that_run_on_several_threads() {
    let mut rng = Random::new(2);
    for dtype in [DType::U8, DType::I16, DType::F32, DType::F64] {
        let x = rng.literal(&Type::new(dtype, &[67, 33, 41]));
        for perm in [[2, 1, 0], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]] {
            check_exact(&Op::Transpose { perm: shape(perm) }, std::slice::from_ref(&x));
        }
        check_exact(&Op::Reverse { axes: shape([0, 2]) }, std::slice::from_ref(&x));
        check_exact(&Op::Concatenate { axis: 1 }, &[x.clone(), x.clone()]);
        let value = rng.literal(&Type::scalar(dtype));
        let op = Op::Pad { low: vec![1, -2, 3], high: vec![0, 5, 1], interior: shape([0, 0, 0]) };
        check_exact(&op, &[x.clone(), value.clone()]);
        let op = Op::Pad { low: vec![0, 2, 0], high: vec![0, 0, 0], interior: shape([0, 1, 0]) };
        check_exact(&op, &[x, value.clone()]);
        check_exact(&Op::Broadcast { shape: shape([300, 257]), dims: shape([]) }, &[value]);
        let row = rng.literal(&Type::new(dtype, &[257]));
        check_exact(&Op::Broadcast { shape: shape([257, 300]), dims: shape([0]) }, std::slice::from_ref(&row));
        check_exact(&Op::Broadcast { shape: shape([300, 257]), dims: shape([1]) }, &[row]);
    }
}

#[test]
fn huge_paddings_that_cancel() {
    let mut rng = Random::new(3);
    let x = rng.literal(&Type::new(DType::I32, &[5]));
    let value = rng.literal(&Type::scalar(DType::I32));
    for (low, high) in [(1 << 62, -(1 << 62)), (-(1 << 62), 1 << 62)] {
        check_exact(&Op::Pad { low: vec![low], high: vec![high], interior: shape([0]) }, &[x.clone(), value.clone()]);
    }
}

/// Sizes around those of tiles, and results that are written past the cache, some of whose lines are not aligned.
#[test]
fn exchanges_of_axes() {
    let mut rng = Random::new(4);
    const SIDES: [usize; 12] = [1, 2, 7, 8, 15, 16, 17, 63, 64, 65, 129, 300];
    for dtype in [DType::Bool, DType::I16, DType::F32, DType::F64, DType::C128] {
        for rows in SIDES {
            for columns in SIDES {
                let x = rng.literal(&Type::new(dtype, &[rows, columns]));
                check_exact(&Op::Transpose { perm: shape([1, 0]) }, &[x]);
            }
        }
        let bytes = 9 << 20;
        for rows in [1024, 1031] {
            let columns = (bytes / dtype.size() / rows).next_multiple_of(64);
            for (rows, columns) in [(rows, columns), (columns, rows), (rows, columns + 3)] {
                let x = rng.literal(&Type::new(dtype, &[rows, columns]));
                check_exact(&Op::Transpose { perm: shape([1, 0]) }, &[x]);
            }
        }
    }
}
