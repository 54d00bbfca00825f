use super::{COMPUTED, Random, check_exact, run, run_call};
use gradloom_ir::{DType, Literal, Op, ReduceKind, Type, infer};
use gradloom_library::{Reads, prepare_for};

fn kinds(dtype: DType) -> impl Iterator<Item = ReduceKind> {
    ReduceKind::ALL.iter().copied().filter(move |k| match k {
        ReduceKind::Sum | ReduceKind::Prod => dtype != DType::Bool,
        ReduceKind::Max | ReduceKind::Min => true,
        ReduceKind::And | ReduceKind::Or => !dtype.is_float(),
    })
}

const SHAPES: [&[usize]; 11] =
    [&[1], &[0], &[13], &[5, 7], &[7, 1], &[3, 5, 4], &[2, 0, 3], &[1, 300], &[300, 70], &[3, 70, 65], &[37, 20]];

#[test]
fn arg_reduce_and_cumulative_of_every_dtype_kind_and_axis() {
    let mut rng = Random::new(1);
    for dtype in COMPUTED {
        for shape in SHAPES {
            let ty = Type::new(dtype, shape);
            for x in [rng.literal(&ty), rng.awkward(&ty)] {
                for (axis, &len) in shape.iter().enumerate() {
                    for kind in kinds(dtype) {
                        for reverse in [false, true] {
                            check_exact(&Op::Cumulative { kind, axis, reverse }, std::slice::from_ref(&x));
                        }
                    }
                    for kind in [ReduceKind::Max, ReduceKind::Min].into_iter().filter(|_| len > 0) {
                        check_exact(&Op::ArgReduce { kind, axis }, std::slice::from_ref(&x));
                    }
                }
            }
        }
    }
}

#[test]
fn reductions_on_several_threads() {
    let mut rng = Random::new(2);
    for shape in [&[400, 301][..], &[1, 301, 401]] {
        let x = rng.literal(&Type::new(DType::F32, shape));
        for axis in 0..shape.len() {
            check_exact(&Op::Cumulative { kind: ReduceKind::Sum, axis, reverse: false }, std::slice::from_ref(&x));
            check_exact(&Op::ArgReduce { kind: ReduceKind::Max, axis }, std::slice::from_ref(&x));
        }
    }
}

#[test]
fn sorts_of_every_dtype_axis_and_number_of_keys() {
    let mut rng = Random::new(3);
    for dtype in COMPUTED {
        for shape in SHAPES {
            let ty = Type::new(dtype, shape);
            for x in [rng.literal(&ty), rng.awkward(&ty)] {
                for axis in 0..shape.len() {
                    check_exact(&Op::Sort { axis, num_keys: 1 }, std::slice::from_ref(&x));
                    let other = rng.pick(&COMPUTED);
                    let second = rng.awkward(&Type::new(other, shape));
                    let positions: Vec<i32> = (0..ty.numel() as i32).collect();
                    let args = [x.clone(), second, Literal::new(shape, &positions)];
                    for num_keys in 1..=3 {
                        check_exact(&Op::Sort { axis, num_keys }, &args);
                    }
                }
            }
        }
    }
}

#[test]
fn positions_in_long_rows() {
    let mut rng = Random::new(4);
    for (rows, n) in [(1, 65_536), (1, 65_537), (3, 100_003), (15, 65_539), (16, 65_536)] {
        for dtype in [DType::F32, DType::I8, DType::F64] {
            let ty = Type::new(dtype, &[rows, n]);
            for x in [rng.literal(&ty), rng.awkward(&ty), Literal::from_bytes(ty.clone(), vec![0; ty.bytes()]).unwrap()]
            {
                for kind in [ReduceKind::Max, ReduceKind::Min] {
                    check_exact(&Op::ArgReduce { kind, axis: 1 }, std::slice::from_ref(&x));
                }
            }
        }
    }
}

/// The part of a sorted array that is read is that of the whole sort, whichever part it is.
#[test]
fn parts_of_sorted_lanes() {
    let mut rng = Random::new(5);
    for dtype in COMPUTED {
        for (outer, n, inner) in [
            (2, 0, 3),
            (3, 1, 1),
            (2, 7, 3),
            (2, 31, 1),
            (2, 32, 2),
            (3, 33, 1),
            (2, 257, 2),
            (3, 1021, 1),
            (40, 3000, 1),
        ] {
            let shape = [outer, n, inner];
            let ty = Type::new(dtype, &shape);
            let positions: Vec<i32> = (0..ty.numel() as i32).collect();
            let positions = Literal::new(&shape, &positions);
            let (mut ascending, mut descending) = (rng.awkward(&ty), rng.awkward(&ty));
            for (x, flip) in [(&mut ascending, false), (&mut descending, true)] {
                let sorted = run(&Op::Sort { axis: 1, num_keys: 1 }, std::slice::from_ref(x)).remove(0);
                *x = if flip {
                    run(&Op::Reverse { axes: [1].into_iter().collect() }, &[sorted]).remove(0)
                } else {
                    sorted
                };
            }
            for x in [rng.literal(&ty), rng.awkward(&ty), ascending, descending] {
                for num_keys in [1, 2] {
                    let op = Op::Sort { axis: 1, num_keys };
                    let args = [x.clone(), positions.clone()];
                    let whole = run(&op, &args);
                    let types = [ty.clone(), positions.ty().clone()];
                    let few = (n / 9).min(20);
                    let (a, b) = (rng.below(n + 1), rng.below(n + 1));
                    for part in [0..few, n - few..n, 0..n / 8, n - n / 8..n, a.min(b)..a.max(b), 0..n, n..n] {
                        let reads = Reads { results: [true, true].into_iter().collect(), part: Some(part.clone()) };
                        let call = prepare_for(&op, &types, &infer(&op, &types).unwrap(), reads).unwrap().unwrap();
                        let got = run_call(&call, &op, &args, &types, 0x55);
                        for (got, want) in got.iter().zip(&whole) {
                            let size = got.ty().dtype.size();
                            for row in 0..outer {
                                let bytes = (row * n + part.start) * inner * size..(row * n + part.end) * inner * size;
                                assert_eq!(got.bytes()[bytes.clone()], want.bytes()[bytes], "{ty} {part:?}");
                            }
                        }
                    }
                }
            }
        }
    }
}
