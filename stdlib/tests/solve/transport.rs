//! Sinkhorn's plans and their derivatives against closed forms, differences, and the search through all permutations.

use gradloom_frontend::prelude::*;
use gradloom_stdlib::solve::{Sinkhorn, sinkhorn};

fn noise(seed: u64, shape: &[usize]) -> Tensor {
    random::normal_as(&Key::new(seed), shape, DType::F64)
}

fn exact() -> Sinkhorn {
    Sinkhorn { tolerance: 1e-13, max_steps: 100_000 }
}

fn ones(n: usize) -> Tensor {
    Tensor::full([n], 1.0, DType::F64)
}

fn greatest(x: &Tensor) -> f64 {
    x.abs().max(..).item::<f64>().unwrap()
}

/// Masses of total 1.
fn masses(seed: u64, shape: &[usize]) -> Tensor {
    noise(seed, shape).softmax(-1)
}

#[test]
fn plans_are_those_of_steps_in_the_domain_of_numbers() {
    let l = noise(1, &[3, 4, 4]);
    let one = Tensor::full([3, 4], 1.0, DType::F64);
    let found = exact().solve(&l, &one, &one);
    assert!(greatest(&(&found.plan - sinkhorn(&l, 300))) < 1e-12);
    assert!(found.error.item::<f64>().unwrap() < 1e-12 && found.steps.item::<i32>().unwrap() < 300);
    // 2 by 2: the odds ratio of L stays
    let l = Tensor::from([[0.3f64, -1.0], [2.0, 0.7]]);
    let p = exact().solve(&l, &ones(2), &ones(2)).plan.to_vec::<f64>().unwrap();
    let half = ((0.3 + 0.7 + 1.0 - 2.0) / 2f64).exp();
    assert!((p[0] - half / (1.0 + half)).abs() < 1e-12 && (p[1] - p[2]).abs() < 1e-12);
}

#[test]
fn sums_are_the_masses() {
    let (l, a, b) = (noise(2, &[2, 5, 3]) * 4.0, masses(3, &[2, 5]), masses(4, &[2, 3]));
    let solve = |(l, a, b): &(Tensor, Tensor, Tensor)| exact().solve(l, a, b).plan;
    let plan = jit(solve).call(&(l.clone(), a.clone(), b.clone())).unwrap();
    assert!(greatest(&(plan.sum(-1) - &a)) < 1e-12 && greatest(&(plan.sum(-2) - &b)) < 1e-12);
    // batched axes and vmap are the same
    let mapped = vmap(solve)(&(l, a, b));
    assert!(greatest(&(mapped - plan)) < 1e-11);
}

/// All orders of 0..n.
fn permutations(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let insert = |p: Vec<usize>| (0..n).map(move |at| [&p[..at], &[n - 1], &p[at..]].concat());
    permutations(n - 1).into_iter().flat_map(insert).collect()
}

#[test]
fn small_epsilon_gives_the_best_assignment() {
    let cost = random::uniform_as(&Key::new(5), [5, 5], DType::F64);
    let c = cost.to_vec::<f64>().unwrap();
    let price = |p: &Vec<usize>| p.iter().enumerate().map(|(i, j)| c[i * 5 + j]).sum::<f64>();
    let best = permutations(5).into_iter().min_by(|p, q| price(p).total_cmp(&price(q))).unwrap();
    let expected: Vec<f64> = best.iter().flat_map(|&j| (0..5).map(move |k| f64::from(u8::from(k == j)))).collect();
    let expected = Tensor::from_slice([5, 5], &expected);
    let l = -cost / 1e-3;
    for dtype in [DType::F64, DType::F32] {
        let one = ones(5).to(dtype);
        let method = Sinkhorn { tolerance: 1e-6, max_steps: 100_000 };
        let plan = method.solve(&l.to(dtype), &one, &one).plan.to(DType::F64);
        assert!(greatest(&(plan - &expected)) < 1e-4, "{dtype}");
    }
    // where numbers themselves are scaled, all vanish
    assert!(!greatest(&sinkhorn(&(&l.to(DType::F32) * 10.0), 100).to(DType::F64)).is_finite());
    // a permutation does not move, though the system of its derivative is singular in as many directions as it has rows
    let clear = (1.0 - expected) * -1e3;
    let g = grad(|l: &Tensor| (exact().solve(l, &ones(5), &ones(5)).plan * noise(6, &[5, 5])).sum(..))(&clear);
    assert!(greatest(&g) < 1e-12, "{g}");
}

/// The derivatives by L and by both masses, along directions that keep the totals, against differences.
#[test]
fn derivatives_are_those_of_the_limit() {
    type Inputs = (Tensor, Tensor, Tensor);
    let centred = |x: Tensor| &x - x.mean_keepdims(-1);
    for (scale, step) in [(1.0, 1e-4), (8.0, 1e-5), (30.0, 1e-6)] {
        let x: Inputs = (noise(7, &[4, 3]) * scale, masses(8, &[4]), masses(9, &[3]));
        let total = noise(12, &[1]);
        let d: Inputs =
            (noise(10, &[4, 3]), centred(noise(11, &[4])) + &total / 4.0, centred(noise(13, &[3])) + total / 3.0);
        let f = |(l, a, b): &Inputs| (exact().solve(l, a, b).plan * noise(14, &[4, 3])).sum(..);
        let at = |h: f64| f(&x.zip_map(&d, |x, d| x + d * h)).item::<f64>().unwrap();
        let want = (8.0 * (at(step) - at(-step)) - (at(2.0 * step) - at(-2.0 * step))) / (12.0 * step);
        for g in [grad(f)(&x), jit(grad(f)).call(&x).unwrap()] {
            let got: f64 = g.leaves().iter().zip(d.leaves()).map(|(g, d)| (g * d).sum(..).item::<f64>().unwrap()).sum();
            assert!((got - want).abs() < 1e-6 * want.abs().max(1.0), "scale {scale}: {got} is not {want}");
        }
    }
}

#[test]
fn pairs_that_are_forbidden_and_places_without_mass() {
    let never = f64::NEG_INFINITY;
    let l = Tensor::from([[0.1f64, never, 0.4], [never, never, never], [1.0, 0.3, never]]);
    let (a, b) = (Tensor::from([0.5f64, 0.0, 0.5]), Tensor::from([0.3f64, 0.4, 0.3]));
    let solve = |(l, a, b): &(Tensor, Tensor, Tensor)| exact().solve(l, a, b).plan;
    let args = (l, a, b);
    let plan = solve(&args);
    // what is not forbidden is decided by the masses
    let expected = Tensor::from([[0.2f64, 0.0, 0.3], [0.0, 0.0, 0.0], [0.1, 0.4, 0.0]]);
    assert!(greatest(&(&plan - expected)) < 1e-12, "{plan}");
    let g = grad(|x: &(Tensor, Tensor, Tensor)| solve(x).square().sum(..))(&args);
    assert!(g.leaves().iter().all(|g| g.to_vec::<f64>().unwrap().iter().all(|g| g.is_finite())), "{}", g.0);
}

#[test]
fn what_does_not_fit() {
    let (l, a) = (noise(1, &[3, 2]), ones(3));
    let says = |t: &Tensor, part: &str| {
        let e = t.check().expect_err(part).to_string();
        assert!(e.contains(part), "{e}");
    };
    says(&exact().solve(&l, &a, &a).plan, "should be [.., n, m], [.., n] and [.., m]");
    says(&exact().solve(&a, &a, &a).error, "should be [.., n, m], [.., n] and [.., m]");
    says(&exact().solve(&l, &a, &ones(2).to(DType::F32)).plan, "should be of one float dtype");
    says(&Sinkhorn { tolerance: f64::NAN, ..exact() }.solve(&l, &a, &ones(2)).plan, "the tolerance is NaN");
    // totals that differ: columns are right, and the error says how far rows are off
    let found = Sinkhorn { max_steps: 50, ..exact() }.solve(&l, &a, &ones(2));
    assert_eq!(found.steps.item::<i32>().unwrap(), 50);
    assert!((found.error - 1.0 / 3.0).abs().item::<f64>().unwrap() < 1e-12);
}
