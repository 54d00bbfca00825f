//! Every function mapped over every axis against a loop, compiled against eager, compiled against the interpreter.

use super::{definite, numbers, one, read, same};
use gradloom_frontend::Tensor;
use gradloom_frontend::linalg::*;
use gradloom_frontend::prelude::*;

type Function = (&'static str, fn(&Tensor) -> Tensor);

/// Functions of one 3 x 3 symmetric positive definite matrix, vectors made independent of their sign.
const FUNCTIONS: [Function; 29] = [
    ("cholesky", cholesky),
    ("cholesky_upper", cholesky_upper),
    ("q", |a| qr(a).0),
    ("r", |a| qr_full(a).1),
    ("p", |a| lu(a).0),
    ("u", |a| lu(a).2),
    ("packed", |a| lu_factor(a).0),
    ("pivots", |a| lu_factor(a).1.to(DType::F64)),
    ("left", |a| svd(a).0),
    ("right", |a| svd_full(a).2),
    ("svdvals", svdvals),
    ("eigenvectors", |a| eigh(a).1),
    ("eigvalsh", eigvalsh),
    ("inv", inv),
    ("pinv", pinv),
    ("det", det),
    ("slogdet", |a| slogdet(a).1),
    ("logdet", logdet_spd),
    ("expm", expm),
    ("logm", logm_spd),
    ("sqrtm", sqrtm_spd),
    ("matrix_power", |a| matrix_power(a, -3)),
    ("nuclear", |a| matrix_norm(a, MatrixNorm::Nuclear)),
    ("rank", |a| matrix_rank(a).to(DType::F64)),
    ("kron", |a| kron(a, &a.slice_axis(0, 0, 2))),
    ("lyapunov", |a| solve_lyapunov_spd(a, &numbers(&[3, 3], 9))),
    ("sylvester", |a| solve_sylvester(a, &one(2), &numbers(&[3, 2], 9))),
    ("solve", |a| solve(a, &numbers(&[3], 9))),
    ("tridiagonal", |a| tridiagonal_solve(&a.i(0), &(a.i(1) + 9.0), &a.i(2), &a.diag())),
];

#[test]
fn mapped_against_a_loop() {
    let stack = definite(&[4, 3, 3], 2);
    let loops = |f: &dyn Fn(&Tensor) -> Tensor| Tensor::stack(&[0, 1, 2, 3].map(|i: usize| f(&stack.i(i))), 0);
    for (name, f) in FUNCTIONS {
        let want = loops(&f);
        for axis in [0, 1, 2] {
            let moved = stack.move_axis(0, axis);
            let got = vmap_with(Vmap::new().in_axes([Some(axis)]), f)(&moved);
            eprintln!("{name}");
            same(&got, &want, 1e-11);
        }
        if name != "tridiagonal" && name != "solve" && name != "sylvester" {
            eprintln!("{name} on a batch");
            let direct = if name == "lyapunov" {
                solve_lyapunov_spd(&stack, &numbers(&[3, 3], 9).broadcast_to([4, 3, 3]))
            } else if name == "kron" {
                kron(&stack, &stack.slice_axis(1, 0, 2))
            } else {
                f(&stack)
            };
            same(&direct, &want, 1e-11);
        }
        if !matches!(name, "rank" | "pivots" | "p") {
            let slope = |a: &Tensor| grad(|a: &Tensor| (f(a).square()).sum(..))(a);
            same(&vmap(slope)(&stack), &loops(&slope), 1e-9);
        }
    }
}

/// Right-hand sides alone, matrices alone, and both.
#[test]
fn mapped_systems() {
    let (a, b) = (definite(&[4, 3, 3], 2), numbers(&[4, 3, 2], 3));
    type System = (&'static str, fn(&Tensor, &Tensor) -> Tensor);
    let systems: [System; 6] = [
        ("solve", solve),
        ("cho_solve", |a, b| cho_solve(&cholesky(a), b)),
        ("lstsq", lstsq),
        ("triangular", |a, b| triangular_solve(a, b, Triangular::lower())),
        ("transposed", |a, b| triangular_solve(a, b, Triangular::upper().transposed().unit_diagonal())),
        ("lu_solve", |a, b| {
            let (packed, _, permutation) = lu_factor(a);
            lu_solve(&packed, &permutation, b)
        }),
    ];
    for (name, f) in systems {
        eprintln!("{name}");
        for (in_a, in_b) in [(true, true), (true, false), (false, true)] {
            let (x, y) = (if in_a { a.clone() } else { a.i(0) }, if in_b { b.clone() } else { b.i(0) });
            let axes = [in_a.then_some(0), in_b.then_some(0)];
            let at = |i: usize| (if in_a { a.i(i) } else { a.i(0) }, if in_b { b.i(i) } else { b.i(0) });
            let run = |(a, b): &(Tensor, Tensor)| f(a, b);
            let want = Tensor::stack(&[0, 1, 2, 3].map(|i| run(&at(i))), 0);
            same(&vmap_with(Vmap::new().in_axes(axes), run)(&(x.clone(), y.clone())), &want, 1e-12);
            same(&f(&x, &y), &want, 1e-12);
            let slope = |x: &(Tensor, Tensor)| grad(|x: &(Tensor, Tensor)| run(x).square().sum(..))(x);
            let (da, db) = vmap_with(Vmap::new().in_axes(axes), slope)(&(x, y));
            for i in 0..4 {
                let (wa, wb) = slope(&at(i));
                same(&da.i(i), &wa, 1e-10);
                same(&db.i(i), &wb, 1e-10);
            }
        }
        // a vector on the right, and many for one matrix
        same(&f(&a.i(0), &b.i((0, .., 1))), &f(&a.i(0), &b.i(0)).i((.., 1)), 1e-13);
        let many = f(&a.i(0), &numbers(&[2, 4, 3, 2], 3));
        assert_eq!(many.shape(), [2, 4, 3, 2]);
        same(&many.i((1, 2)), &f(&a.i(0), &numbers(&[2, 4, 3, 2], 3).i((1, 2))), 1e-12);
    }
}

#[test]
fn compiled_is_eager_is_interpreted() {
    let a = definite(&[3, 3], 2);
    for (name, f) in FUNCTIONS {
        eprintln!("{name}");
        let eager = f(&a);
        same(&jit(f).call(&a).unwrap(), &eager, 1e-12);
        same(&jit(f).on(Device::interp()).call(&a).unwrap(), &eager, 1e-10);
        if !matches!(name, "rank" | "pivots" | "p") {
            let slope = |a: &Tensor| grad(|a: &Tensor| f(a).square().sum(..))(a);
            let eager = slope(&a);
            same(&jit(slope).call(&a).unwrap(), &eager, 1e-10);
            same(&jit(slope).on(Device::interp()).call(&a).unwrap(), &eager, 1e-8);
        }
    }
}

/// Inside loops and branches.
#[test]
fn in_control_flow() {
    let (stack, x) = (definite(&[4, 3, 3], 2), numbers(&[3], 3));
    let f = |x: &Tensor| scan(|x: &Tensor, a: &Tensor| (solve(a, x), det(a) * x.sum(..)), x, &stack).0;
    let plain = |x: &Tensor| (0..4usize).fold(x.clone(), |x, i| solve(&stack.i(i), &x));
    same(&f(&x), &plain(&x), 1e-12);
    let slope = |f: &dyn Fn(&Tensor) -> Tensor| grad(|x: &Tensor| f(x).square().sum(..))(&x);
    same(&slope(&f), &slope(&plain), 1e-12);
    let chosen = |s: &Tensor| cond(&s.sum(..).gt(0.0), logm_spd, |s: &Tensor| s.clone(), s);
    same(
        &grad(|s: &Tensor| chosen(s).sum(..))(&stack.i(0)),
        &grad(|s: &Tensor| logm_spd(s).sum(..))(&stack.i(0)),
        1e-12,
    );
    assert!(read(&chosen(&-stack.i(1))).iter().all(|x| x.is_finite()));
}
