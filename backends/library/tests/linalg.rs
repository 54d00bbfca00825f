//! Linear algebra against the reference evaluator, which shares no code with it.

use super::{Random, run};
use gradloom_ir::eval::eval_op;
use gradloom_ir::{DType, Literal, Op, Transposition, Type, infer};

const DTYPES: [(DType, f64); 4] = [(DType::F32, 2e-4), (DType::F64, 1e-11), (DType::C64, 4e-4), (DType::C128, 2e-11)];

/// An array of these numbers, two for a complex element.
fn array(ty: &Type, numbers: impl IntoIterator<Item = f64>) -> Literal {
    let bytes = numbers.into_iter().flat_map(|x| Literal::scalar(ty.dtype.real(), x).bytes().to_vec()).collect();
    Literal::from_bytes(ty.clone(), bytes).expect("as many bytes as the type has")
}

/// Numbers in -2..2.
fn any(rng: &mut Random, ty: &Type) -> Literal {
    let parts = if ty.dtype.is_complex() { 2 } else { 1 };
    array(ty, rng.literal(&Type::new(DType::F64, &[parts * ty.numel()])).to_f64())
}

/// A batch of matrices; of square ones the diagonal outweighs the rest if `dominant`.
fn matrices(rng: &mut Random, dtype: DType, shape: &[usize], dominant: bool) -> Literal {
    let ty = Type::new(dtype, shape);
    let (m, n) = (shape[shape.len() - 2], shape[shape.len() - 1]);
    let parts = if dtype.is_complex() { 2 } else { 1 };
    let weight = |i: usize| if dominant { 4.0 * m.max(n) as f64 + 30.0 * i as f64 } else { 0.0 };
    let entry = |(k, x): (usize, f64)| {
        let (i, j) = (k / parts % (m * n).max(1) / n.max(1), k / parts % n.max(1));
        if i == j && k % parts == 0 { x + weight(i) } else { x }
    };
    array(&ty, any(rng, &ty).to_numbers().into_iter().enumerate().map(entry))
}

/// Both evaluations; each result within the tolerance, relative to the greatest element.
#[track_caller]
fn check(op: &Op, args: &[Literal], tolerance: f64) {
    let types: Vec<Type> = args.iter().map(|a| a.ty().clone()).collect();
    let results = infer(op, &types).unwrap_or_else(|e| panic!("{op:?} {types:?}: {e}"));
    let want = eval_op(op, args, &results).unwrap_or_else(|e| panic!("{op:?} {types:?}: {e}"));
    for (i, (got, want)) in run(op, args).iter().zip(&want).enumerate() {
        assert_eq!(got.ty(), want.ty());
        let top = want.to_numbers().iter().filter(|x| x.is_finite()).fold(1.0, |m: f64, x| m.max(x.abs()));
        for (k, (g, w)) in got.to_numbers().iter().zip(want.to_numbers()).enumerate() {
            let same = *g == w || (g.is_nan() && w.is_nan());
            let what = || format!("{op:?} on {types:?}, result {i}, number {k}: {g}, not {w}");
            assert!(same || (g - w).abs() <= tolerance * top, "{}", what());
        }
    }
}

const SHAPES: [&[usize]; 12] = [
    &[1, 1],
    &[2, 2],
    &[5, 5],
    &[9, 9],
    &[40, 40],
    &[3, 4, 4],
    &[2, 3, 6, 6],
    &[7, 3],
    &[3, 7],
    &[2, 50, 20],
    &[2, 20, 50],
    &[300, 2, 2],
];

const EMPTY: [&[usize]; 5] = [&[0, 0], &[0, 3, 3], &[4, 0], &[0, 4], &[2, 0, 0]];

fn is_square(shape: &[usize]) -> bool {
    shape[shape.len() - 1] == shape[shape.len() - 2]
}

/// Every op of one matrix that takes matrices of this shape.
fn ops_of(shape: &[usize]) -> Vec<Op> {
    let mut ops = vec![Op::Lu {}];
    for full in [false, true] {
        ops.push(Op::Qr { full });
        ops.extend([true, false].map(|vectors| Op::Svd { full, vectors }));
    }
    if is_square(shape) {
        ops.extend([true, false].map(|lower| Op::Cholesky { lower }));
        ops.extend([true, false].map(|vectors| Op::Eigh { vectors }));
        ops.extend([true, false].map(|vectors| Op::Eig { vectors }));
    }
    ops
}

/// Whether the null space has more than one basis up to signs.
fn ambiguous(op: &Op, shape: &[usize]) -> bool {
    let (m, n) = (shape[shape.len() - 2], shape[shape.len() - 1]);
    matches!(op, Op::Svd { full: true, vectors: true }) && m.abs_diff(n) > 1
}

#[test]
fn decompositions() {
    let mut rng = Random::new(1);
    for (dtype, tolerance) in DTYPES {
        for shape in SHAPES {
            let a = matrices(&mut rng, dtype, shape, true);
            for op in ops_of(shape) {
                if !ambiguous(&op, shape) {
                    check(&op, std::slice::from_ref(&a), tolerance);
                }
            }
            let b = matrices(&mut rng, dtype, shape, false);
            for op in [Op::Lu {}, Op::Qr { full: true }, Op::Svd { full: false, vectors: false }] {
                check(&op, std::slice::from_ref(&b), 30.0 * tolerance);
            }
            let batch = Type::new(dtype.real(), &shape[..shape.len() - 2]);
            let cut = array(&batch, vec![1e-4; batch.numel()]);
            check(&Op::Pinv {}, &[a, cut], tolerance);
        }
    }
}

#[test]
fn empty_matrices() {
    let mut rng = Random::new(2);
    for shape in EMPTY {
        let a = matrices(&mut rng, DType::F64, shape, false);
        for op in ops_of(shape) {
            check(&op, std::slice::from_ref(&a), 1e-12);
        }
    }
}

#[test]
fn solves() {
    let mut rng = Random::new(3);
    for (dtype, tolerance) in DTYPES {
        for (batch, n, k) in
            [(&[][..], 1, 1), (&[], 4, 3), (&[3], 7, 1), (&[2, 2], 20, 9), (&[], 70, 33), (&[2], 0, 3), (&[], 3, 0)]
        {
            let a = matrices(&mut rng, dtype, &[batch, &[n, n]].concat(), true);
            for &transpose_a in Transposition::ALL {
                for bits in 0..8 {
                    let (left_side, lower, unit_diagonal) = (bits & 1 == 0, bits & 2 == 0, bits & 4 == 0);
                    // a unit diagonal needs a small triangle
                    let small = any(&mut rng, a.ty()).to_numbers().into_iter().map(|x| x / (1.0 + 2.0 * n as f64));
                    let small = array(a.ty(), small);
                    let rest = if left_side { [n, k] } else { [k, n] };
                    let b = any(&mut rng, &Type::new(dtype, &[batch, &rest].concat()));
                    let op = Op::TriangularSolve { left_side, lower, transpose_a, unit_diagonal };
                    check(&op, &[if unit_diagonal { small } else { a.clone() }, b], tolerance);
                }
                let general = matrices(&mut rng, dtype, &[batch, &[n, n]].concat(), false);
                let b = any(&mut rng, &Type::new(dtype, &[batch, &[n, k]].concat()));
                let factors = run(&Op::Lu {}, std::slice::from_ref(&a));
                check(&Op::LuSolve { transpose_a }, &[general, factors[0].clone(), factors[2].clone(), b], tolerance);
            }
        }
    }
}

#[test]
fn forms() {
    let mut rng = Random::new(4);
    for (dtype, tolerance) in DTYPES {
        for (batch, n) in [(&[][..], 1), (&[], 4), (&[3], 3), (&[2], 0), (&[0], 2)] {
            let square = Type::new(dtype, &[batch, &[n, n]].concat());
            for order in 0..4 {
                let mut args = vec![any(&mut rng, &square), any(&mut rng, &square)];
                for k in order..order + 2 {
                    args.push(any(&mut rng, &Type::new(dtype.real(), &[batch, &vec![n; k + 1]].concat())));
                }
                args.extend((0..order).map(|_| any(&mut rng, &square)));
                check(&Op::SpectralForm { order }, &args, 10.0 * tolerance);
            }
        }
    }
}

/// NaN and infinities end at once, in NaN; zeros and rank one have results; very large and very small numbers too.
#[test]
fn awkward_matrices() {
    let mut rng = Random::new(5);
    for (dtype, tolerance) in DTYPES {
        for shape in [&[1, 1][..], &[4, 4], &[5, 3], &[3, 5], &[60, 60], &[40, 3]] {
            let ty = Type::new(dtype, shape);
            let parts = if dtype.is_complex() { 2 } else { 1 };
            // complex numbers with equal parts
            let fill = |f: &dyn Fn(usize) -> f64| array(&ty, (0..parts * ty.numel()).map(|k| f(k / parts)));
            for op in ops_of(shape) {
                for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                    check(&op, &[fill(&|i| if i == 0 { bad } else { 1.0 })], 0.0);
                }
                let awkward = rng.awkward(&Type::new(DType::F64, &[parts * ty.numel()]));
                run(&op, &[array(&ty, awkward.to_f64())]);
                run(&op, &[fill(&|_| 0.0)]);
                run(&op, &[fill(&|_| 1.0)]);
            }
            for op in [Op::Lu {}, Op::Qr { full: true }, Op::Svd { full: false, vectors: false }] {
                check(&op, &[fill(&|_| 0.0)], 0.0);
                check(&op, &[fill(&|i| if i == 0 { 2.0 } else { 0.0 })], tolerance);
            }
            let n = shape[1];
            let (rows, columns) = (|i: usize| (i / n + 1) as f64, |i: usize| (i % n) as f64 - 1.5);
            check(&Op::Svd { full: false, vectors: false }, &[fill(&|i| rows(i) * columns(i))], tolerance);
            let size = if dtype.real() == DType::F32 { 1e30 } else { 1e200 };
            for size in [size, 1.0 / size] {
                let x = any(&mut rng, &ty).to_f64();
                let a = fill(&|i| x[i] * size);
                for (got, unit) in [Op::Svd { full: false, vectors: false }, Op::Eigh { vectors: false }]
                    .iter()
                    .filter(|op| matches!(op, Op::Svd { .. }) || is_square(shape))
                    .map(|op| (run(op, std::slice::from_ref(&a)), run(op, &[fill(&|i| x[i])])))
                {
                    for (g, u) in got[0].to_f64().iter().zip(unit[0].to_f64()) {
                        assert!((g / size - u).abs() <= 10.0 * tolerance * (1.0 + u.abs()), "{g} against {u}");
                    }
                }
            }
        }
    }
}

/// Repeated values and dependent columns: the factors are not unique, what they are factors of is.
#[test]
fn degenerate_matrices() {
    for n in [2, 5, 33, 60] {
        let of = |f: &dyn Fn(usize, usize) -> f64, m: usize| {
            Literal::new(&[m, n], &(0..m * n).map(|k| f(k / n, k % n)).collect::<Vec<f64>>())
        };
        let block = |i: usize, j: usize| if i / 3 == j / 3 { 1.0 + f64::from(u8::from(i == j)) } else { 0.0 };
        let rank_two = |i: usize, j: usize| (i + 1) as f64 * (j as f64).sin() + (i as f64).cos();
        for (f, m) in [
            (&block as &dyn Fn(usize, usize) -> f64, n),
            (&rank_two, n),
            (&rank_two, 3 * n + 1),
            (&|i: usize, j: usize| f64::from(u8::from(i == j)), n),
            (&|_, j: usize| j as f64, 20 * n),
        ] {
            let a = of(f, m);
            let k = m.min(n);
            let usv = run(&Op::Svd { full: false, vectors: true }, std::slice::from_ref(&a));
            let (s, u, vt) = (usv[0].to_f64(), usv[1].to_f64(), usv[2].to_f64());
            let scaled: Vec<f64> = u.iter().enumerate().map(|(at, u)| u * s[at % k]).collect();
            same(&product(&scaled, &vt, m, k, n), &a.to_f64(), "u s v");
            orthonormal(&u, m, k);
            let qr = run(&Op::Qr { full: false }, std::slice::from_ref(&a));
            same(&product(&qr[0].to_f64(), &qr[1].to_f64(), m, k, n), &a.to_f64(), "q r");
            orthonormal(&qr[0].to_f64(), m, k);
            let full = run(&Op::Svd { full: true, vectors: true }, std::slice::from_ref(&a));
            orthonormal(&full[1].to_f64(), m, m);
            orthonormal(&full[2].to_f64(), n, n);
            if m == n {
                let symmetric = of(&|i, j| f(i.max(j), i.min(j)), n);
                let wv = run(&Op::Eigh { vectors: true }, std::slice::from_ref(&symmetric));
                let (w, v) = (wv[0].to_f64(), wv[1].to_f64());
                let scaled: Vec<f64> = v.iter().enumerate().map(|(at, v)| v * w[at % n]).collect();
                let vt: Vec<f64> = (0..n * n).map(|at| v[at % n * n + at / n]).collect();
                same(&product(&scaled, &vt, n, n, n), &symmetric.to_f64(), "v w v^T");
                orthonormal(&v, n, n);
            }
        }
    }
}

fn product(x: &[f64], y: &[f64], m: usize, k: usize, n: usize) -> Vec<f64> {
    (0..m * n).map(|at| (0..k).map(|p| x[at / n * k + p] * y[p * n + at % n]).sum()).collect()
}

#[track_caller]
fn same(x: &[f64], y: &[f64], what: &str) {
    let top = y.iter().fold(1.0, |m: f64, x| m.max(x.abs()));
    for (x, y) in x.iter().zip(y) {
        assert!((x - y).abs() <= 1e-12 * top, "{what}: {x} instead of {y}");
    }
}

#[track_caller]
fn orthonormal(x: &[f64], m: usize, n: usize) {
    let xt: Vec<f64> = (0..m * n).map(|at| x[at % m * n + at / m]).collect();
    let one: Vec<f64> = (0..n * n).map(|at| f64::from(u8::from(at / n == at % n))).collect();
    same(&product(&xt, x, n, m, n), &one, "orthonormal columns");
}

/// Eigenvalues that are complex, repeated, or those of a defective matrix; of a conjugate pair the lower one first.
#[test]
fn general_eigenvalues() {
    let eig = |n: usize, a: &[f64]| {
        let got = run(&Op::Eig { vectors: true }, &[Literal::new(&[n, n], a)]);
        let (w, v) = (got[0].to_numbers(), got[1].to_numbers());
        for j in 0..n {
            let entry = |i: usize| (v[2 * (i * n + j)], v[2 * (i * n + j) + 1]);
            for i in 0..n {
                // a v - w v
                let av = |part: fn((f64, f64)) -> f64| (0..n).map(|k| a[i * n + k] * part(entry(k))).sum::<f64>();
                let (x, y) = entry(i);
                let wv = (w[2 * j] * x - w[2 * j + 1] * y, w[2 * j] * y + w[2 * j + 1] * x);
                assert!((av(|z| z.0) - wv.0).abs() < 1e-7 && (av(|z| z.1) - wv.1).abs() < 1e-7, "{a:?} {w:?} {v:?}");
            }
        }
        w
    };
    let near = |w: Vec<f64>, want: &[f64]| {
        w.iter().zip(want).for_each(|(w, e)| assert!((w - e).abs() < 1e-7, "{w} instead of {e}"));
    };
    near(eig(2, &[0.0, -1.0, 1.0, 0.0]), &[0.0, -1.0, 0.0, 1.0]);
    near(
        eig(3, &[0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
        &[-0.5, -0.75f64.sqrt(), -0.5, 0.75f64.sqrt(), 1.0, 0.0],
    );
    near(eig(2, &[1.0, 1.0, 0.0, 1.0]), &[1.0, 0.0, 1.0, 0.0]);
    near(eig(3, &[2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 2.0]), &[2.0, 0.0, 2.0, 0.0, 2.0, 0.0]);
    let mut rng = Random::new(7);
    for n in [5, 12, 40, 90] {
        let a = rng.literal(&Type::new(DType::F64, &[n, n]));
        eig(n, &a.to_f64());
        check(&Op::Eig { vectors: false }, std::slice::from_ref(&a), 1e-10);
        check(&Op::Eig { vectors: true }, &[a], 1e-9);
    }
}

/// Of several rows of the greatest magnitude the first is the pivot, as in LAPACK.
#[test]
fn ties_between_pivots() {
    let mut rng = Random::new(6);
    for (m, n) in [(3, 3), (12, 12), (40, 30), (17, 40)] {
        let x: Vec<f64> = (0..m * n).map(|_| rng.range(-1, 1) as f64).collect();
        let a = Literal::new(&[m, n], &x);
        let got = run(&Op::Lu {}, std::slice::from_ref(&a));
        let p = got[2].to_vec::<i32>().expect("i32");
        let (f, k) = (got[0].to_f64(), m.min(n));
        let l: Vec<f64> = (0..m * k)
            .map(|at| match (at / k).cmp(&(at % k)) {
                std::cmp::Ordering::Greater => f[at / k * n + at % k],
                std::cmp::Ordering::Equal => 1.0,
                std::cmp::Ordering::Less => 0.0,
            })
            .collect();
        let u: Vec<f64> = (0..k * n).map(|at| if at / n <= at % n { f[at] } else { 0.0 }).collect();
        let permuted: Vec<f64> = p.iter().flat_map(|&i| x[i as usize * n..][..n].to_vec()).collect();
        same(&product(&l, &u, m, k, n), &permuted, "l u");
        assert!(l.iter().all(|x| x.abs() <= 1.0));
    }
    // no rounding in these: the two evaluations must choose alike
    for n in [2usize, 4, 8] {
        let odd = |k: usize| ((k / n) & (k % n)).count_ones() % 2 == 1;
        let hadamard: Vec<f64> = (0..n * n).map(|k| if odd(k) { -1.0 } else { 1.0 }).collect();
        check(&Op::Lu {}, &[Literal::new(&[n, n], &hadamard)], 0.0);
    }
}
