//! Tables against numpy's and scipy's, and against the polynomials they are exact for.

use super::equations::STORED;
use gradloom_frontend::prelude::*;
use gradloom_stdlib::solve::quadrature::*;

#[track_caller]
fn same(what: &str, got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    for (g, w) in got.iter().zip(want) {
        assert!((g - w).abs() <= tolerance * w.abs().max(1.0), "{what}: {g} is not {w}");
    }
}

#[test]
fn gauss_tables_are_those_of_scipy() {
    for n in [1, 2, 3, 8, 33] {
        for (name, table) in [("legendre", gauss_legendre(n).unwrap()), ("hermite", gauss_hermite(n).unwrap())] {
            let want = |key: &str| STORED[&format!("{name}.{n}.{key}")].to_vec::<f64>().unwrap();
            same(&format!("{name} {n} nodes"), &table.nodes, &want("x"), 2e-14);
            same(&format!("{name} {n} weights"), &table.weights, &want("w"), 2e-14);
        }
    }
}

#[test]
fn tables_are_exact_for_their_polynomials() {
    for n in [2, 3, 5, 9, 16, 17, 64, 257] {
        for (name, table, degree) in
            [("gauss", gauss_legendre(n).unwrap(), 2 * n - 1), ("clenshaw", clenshaw_curtis(n).unwrap(), n - 1)]
        {
            assert!(table.nodes.is_sorted());
            for k in [0, 1, 2, degree - 1, degree].into_iter().filter(|k| *k <= degree) {
                let got: f64 = table.nodes.iter().zip(&table.weights).map(|(x, w)| w * x.powi(k as i32)).sum();
                let want = if k % 2 == 0 { 2.0 / (k + 1) as f64 } else { 0.0 };
                assert!((got - want).abs() < 1e-13, "{name} {n}, power {k}: {got}");
            }
        }
    }
    // the moments of e^(-x²): √π, √π / 2, 3 √π / 4; and large tables
    let root_pi = std::f64::consts::PI.sqrt();
    for n in [3, 20, 101, 512] {
        let table = gauss_hermite(n).unwrap();
        for (k, want) in [(0, root_pi), (2, root_pi / 2.0), (4, root_pi * 0.75)] {
            let got: f64 = table.nodes.iter().zip(&table.weights).map(|(x, w)| w * x.powi(k)).sum();
            assert!((got - want).abs() < 1e-12, "{n}, power {k}: {got}");
        }
    }
    assert_eq!(gauss_legendre(4096).unwrap().nodes.len(), 4096);
}

#[test]
fn integrals_of_tensors() {
    let f = |x: &Tensor| Tensor::stack(&[x.exp(), x.square()], 0);
    let got = clenshaw_curtis(20).unwrap().between(0.0, 2.0).integrate(DType::F64, f).to_vec::<f64>().unwrap();
    same("integrals", &got, &[2f64.exp() - 1.0, 8.0 / 3.0], 1e-14);
    let got = gauss_legendre(5).unwrap().integrate(DType::F32, |x| x.square());
    assert!((got.item::<f32>().unwrap() - 2.0 / 3.0).abs() < 1e-6);
}
