use super::{COMPUTED, Random, check_exact};
use gradloom_ir::{DType, Literal, Op, ReduceKind, Type};

fn kinds(dtype: DType) -> impl Iterator<Item = ReduceKind> {
    ReduceKind::ALL.iter().copied().filter(move |k| match k {
        ReduceKind::Sum | ReduceKind::Prod => dtype != DType::Bool,
        ReduceKind::Max | ReduceKind::Min => true,
        ReduceKind::And | ReduceKind::Or => !dtype.is_float(),
    })
}

const SHAPES: [&[usize]; 10] =
    [&[1], &[0], &[13], &[5, 7], &[7, 1], &[3, 5, 4], &[2, 0, 3], &[1, 300], &[300, 70], &[3, 70, 65]];

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
