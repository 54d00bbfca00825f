use super::{COMPUTED, Random, assert_close, run, run_call, wrapped};
use gradloom_ir::{DType, Literal, Op, Shape, Type, bf16, infer, row_major_strides};
use gradloom_library::prepare;

/// The definition, element by element.
fn naive(op: &Op, l: &Literal, r: &Literal) -> Literal {
    let Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } = op else { panic!() };
    let out = infer(op, &[l.ty().clone(), r.ty().clone()]).unwrap()[0].clone();
    let (ls, rs) = (row_major_strides(&l.ty().shape), row_major_strides(&r.ty().shape));
    let free = |rank: usize, b: &Shape, c: &Shape| -> Vec<usize> {
        (0..rank).filter(|a| !b.contains(a) && !c.contains(a)).collect()
    };
    let (lf, rf) = (free(l.ty().rank(), lhs_batch, lhs_contract), free(r.ty().rank(), rhs_batch, rhs_contract));
    let os = row_major_strides(&out.shape);
    let (lv, rv) = (l.to_f64(), r.to_f64());
    let k: Vec<usize> = lhs_contract.iter().map(|&a| l.ty().shape[a]).collect();
    let mut bytes = Vec::new();
    for o in 0..out.numel() {
        let at = |d: usize| o / os[d] % out.shape[d];
        let (mut li, mut ri) = (0, 0);
        for d in 0..lhs_batch.len() {
            li += at(d) * ls[lhs_batch[d]];
            ri += at(d) * rs[rhs_batch[d]];
        }
        lf.iter().enumerate().for_each(|(i, &a)| li += at(lhs_batch.len() + i) * ls[a]);
        rf.iter().enumerate().for_each(|(i, &a)| ri += at(lhs_batch.len() + lf.len() + i) * rs[a]);
        let (mut sum, mut exact) = (0.0, 0i128);
        for t in 0..k.iter().product::<usize>() {
            let (mut rest, mut a, mut b) = (t, li, ri);
            for d in (0..k.len()).rev() {
                a += rest % k[d] * ls[lhs_contract[d]];
                b += rest % k[d] * rs[rhs_contract[d]];
                rest /= k[d];
            }
            sum += lv[a] * rv[b];
            exact += lv[a] as i128 * rv[b] as i128;
        }
        bytes.extend(wrapped(out.dtype, sum, exact));
    }
    Literal::from_bytes(out, bytes).unwrap()
}

#[track_caller]
fn check(op: &Op, l: &Literal, r: &Literal) {
    let what = format!("{op:?} on {} and {}", l.ty(), r.ty());
    let tolerance = if l.ty().dtype == DType::F32 { 2e-5 } else { 1e-13 };
    let k = l.ty().numel() as f64;
    assert_close(&run(op, &[l.clone(), r.clone()])[0], &naive(op, l, r), tolerance * k.sqrt().clamp(1.0, 30.0), &what);
}

fn matmul(lc: usize, rc: usize) -> Op {
    let s = Shape::from_slice;
    Op::DotGeneral { lhs_batch: s(&[]), rhs_batch: s(&[]), lhs_contract: s(&[lc]), rhs_contract: s(&[rc]) }
}

/// Transposed matrices are laid out anew; on several threads, and of f64, 256 of which are as far apart as 512 of f32.
#[test]
fn transposed_matrices() {
    let mut rng = Random::new(8);
    for (dtype, k) in [(DType::F32, 512), (DType::F64, 256), (DType::F64, 17)] {
        for (m, n) in [(8, 40), (129, 65), (150, 130), (33, 400)] {
            let l = rng.literal(&Type::new(dtype, &[m, k]));
            let r = rng.literal(&Type::new(dtype, &[n, k]));
            check(&matmul(1, 1), &l, &r);
        }
    }
}

/// Rows in several pieces, with a rest of terms, and on several threads.
#[test]
fn vectors_and_matrices() {
    let mut rng = Random::new(7);
    for dtype in [DType::F32, DType::F64] {
        for (k, n) in [(3, 300), (8, 70), (37, 5000), (1200, 1000)] {
            for (lc, rc) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let row = rng.literal(&Type::new(dtype, &if lc == 1 { [1, k] } else { [k, 1] }));
                let right = rng.literal(&Type::new(dtype, &if rc == 1 { [n, k] } else { [k, n] }));
                check(&matmul(lc, rc), &row, &right);
                let left = rng.literal(&Type::new(dtype, &if lc == 1 { [n, k] } else { [k, n] }));
                let column = rng.literal(&Type::new(dtype, &if rc == 1 { [1, k] } else { [k, 1] }));
                check(&matmul(lc, rc), &left, &column);
            }
        }
    }
}

#[test]
fn matrices_of_every_dtype_size_and_transposition() {
    let mut rng = Random::new(1);
    for dtype in COMPUTED.into_iter().filter(|&d| d != DType::Bool) {
        for (m, k, n) in [
            (0, 3, 2),
            (2, 0, 3),
            (1, 1, 1),
            (3, 5, 7),
            (8, 8, 8),
            (1, 37, 41),
            (41, 37, 1),
            (17, 19, 23),
            (64, 300, 33),
        ] {
            for (lc, rc) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let l = rng.literal(&Type::new(dtype, &if lc == 1 { [m, k] } else { [k, m] }));
                let r = rng.literal(&Type::new(dtype, &if rc == 1 { [n, k] } else { [k, n] }));
                check(&matmul(lc, rc), &l, &r);
            }
        }
    }
}

#[test]
fn sizes_that_run_on_several_threads() {
    let mut rng = Random::new(2);
    for dtype in [DType::F32, DType::F64, DType::I32] {
        for (m, k, n) in [(131, 127, 113), (1, 1200, 1000), (1000, 1200, 1)] {
            let l = rng.literal(&Type::new(dtype, &[m, k]));
            let r = rng.literal(&Type::new(dtype, &[k, n]));
            check(&matmul(1, 0), &l, &r);
        }
    }
    let s = Shape::from_slice;
    let op = Op::DotGeneral { lhs_batch: s(&[0]), rhs_batch: s(&[1]), lhs_contract: s(&[2]), rhs_contract: s(&[2]) };
    let l = rng.literal(&Type::new(DType::F32, &[300, 9, 10]));
    let r = rng.literal(&Type::new(DType::F32, &[11, 300, 10]));
    check(&op, &l, &r);
}

#[test]
fn random_dimension_numbers() {
    let mut rng = Random::new(3);
    for case in 0..400 {
        let (nb, nc) = (rng.below(3), rng.below(4));
        let mut axes = |free: usize| {
            let mut v: Vec<usize> = (0..nb + nc + free).collect();
            rng.shuffle(&mut v);
            v
        };
        let (l, r) = (axes(case % 3), axes(case / 3 % 3));
        let mut len = || rng.pick(&[1, 2, 3, 4, 5]);
        let (mut ls, mut rs) = (vec![0; l.len()], vec![0; r.len()]);
        ls.iter_mut().chain(&mut rs).for_each(|n| *n = len());
        for i in 0..nb + nc {
            ls[l[i]] = rs[r[i]];
        }
        let dtype = rng.pick(&[DType::F32, DType::F64, DType::I8, DType::U32, DType::I64]);
        let s = Shape::from_slice;
        let op = Op::DotGeneral {
            lhs_batch: s(&l[..nb]),
            rhs_batch: s(&r[..nb]),
            lhs_contract: s(&l[nb..nb + nc]),
            rhs_contract: s(&r[nb..nb + nc]),
        };
        let l = rng.literal(&Type::new(dtype, &ls));
        let r = rng.literal(&Type::new(dtype, &rs));
        check(&op, &l, &r);
    }
}

/// Of small integers every sum is exact, so only the one rounding is left.
#[test]
fn products_of_16_bits_round_once() {
    let mut rng = Random::new(6);
    let s = Shape::from_slice;
    let mut check = |op: &Op, shapes: [&[usize]; 2]| {
        let floats = shapes.map(|shape| {
            let x: Vec<f32> = (0..shape.iter().product()).map(|_| rng.below(17) as f32 - 8.0).collect();
            Literal::new(shape, &x)
        });
        let rounded = |x: &Literal| {
            let x16: Vec<bf16> = x.to_f64().iter().map(|&x| bf16::from_f64(x)).collect();
            Literal::new(&x.ty().shape, &x16)
        };
        let args = floats.each_ref().map(rounded);
        assert_eq!(run(op, &args)[0], rounded(&naive(op, &floats[0], &floats[1])), "{op:?} {shapes:?}");
    };
    for (m, k, n) in [(0, 3, 2), (2, 0, 3), (2, 3, 0), (1, 1, 1), (33, 65, 34), (4, 131, 600), (150, 1100, 33)] {
        for (lc, rc) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            check(&matmul(lc, rc), [&if lc == 1 { [m, k] } else { [k, m] }, &if rc == 1 { [n, k] } else { [k, n] }]);
        }
    }
    // side by side, and in an order that must be packed
    for (lhs_batch, rhs_batch, lhs_contract, rhs_contract, shapes) in [
        (&[0][..], &[1][..], &[2][..], &[2][..], [&[300, 9, 10][..], &[11, 300, 10]]),
        (&[1], &[0], &[0, 3], &[3, 1], [&[3, 5, 4, 2], &[5, 2, 6, 3]]),
    ] {
        let op = Op::DotGeneral {
            lhs_batch: s(lhs_batch),
            rhs_batch: s(rhs_batch),
            lhs_contract: s(lhs_contract),
            rhs_contract: s(rhs_contract),
        };
        check(&op, shapes);
    }
}

/// Of small integers and floats that are small integers, too, every sum is exact.
#[test]
fn matrices_of_8_bits_are_widened() {
    let mut rng = Random::new(5);
    let s = Shape::from_slice;
    let mut check = |op: &Op, shapes: [&[usize]; 2]| {
        for side in 0..2 {
            let integers = shapes.map(|shape| rng.literal(&Type::new(DType::I8, shape)));
            let floats = integers.each_ref().map(|q| {
                let x: Vec<f32> = q.to_f64().iter().map(|&x| x as f32).collect();
                Literal::new(&q.ty().shape, &x)
            });
            let mut args = floats.clone();
            args[side] = integers[side].clone();
            let types = args.each_ref().map(|a| a.ty().clone());
            let results = infer(op, &floats.each_ref().map(|a| a.ty().clone())).unwrap();
            let call = prepare(op, &types, &results).expect("a library op").expect("prepares");
            let want = naive(op, &floats[0], &floats[1]);
            assert_eq!(run_call(&call, op, &args, &results, 0xFF)[0], want, "{op:?} {types:?}");
        }
    };
    // few rows and many, rows and columns longer than a panel
    for (m, k, n) in [
        (0, 3, 2),
        (2, 0, 3),
        (2, 3, 0),
        (1, 1, 1),
        (3, 5, 7),
        (1, 700, 90),
        (4, 131, 600),
        (5, 131, 600),
        (20, 1100, 33),
        (17, 9, 1300),
    ] {
        for (lc, rc) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            check(&matmul(lc, rc), [&if lc == 1 { [m, k] } else { [k, m] }, &if rc == 1 { [n, k] } else { [k, n] }]);
        }
    }
    // panels, on several threads
    for (m, k, n) in [(1, 300, 4000), (2, 4000, 300), (40, 1100, 700)] {
        for rc in [0, 1] {
            check(&matmul(1, rc), [&[m, k], &if rc == 1 { [n, k] } else { [k, n] }]);
        }
    }
    // batches, in an order that must be packed, and side by side
    let batched =
        |lhs_batch: &[usize], rhs_batch: &[usize], lhs_contract: &[usize], rhs_contract: &[usize]| Op::DotGeneral {
            lhs_batch: s(lhs_batch),
            rhs_batch: s(rhs_batch),
            lhs_contract: s(lhs_contract),
            rhs_contract: s(rhs_contract),
        };
    check(&batched(&[0], &[1], &[2], &[2]), [&[300, 9, 10], &[11, 300, 10]]);
    check(&batched(&[1], &[0], &[0, 3], &[3, 1]), [&[3, 5, 4, 2], &[5, 2, 6, 3]]);
}
