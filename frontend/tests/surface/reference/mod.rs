//! Values computed by JAX and NumPy (`reference.txt`, written by `reference.py`): each line against the expression it
//! belongs to, run at once, compiled, mapped, and, where it is smooth, differentiated.

mod edges;
mod elementwise;
mod filters;
mod moving;
mod statistics;

use super::transformed::holds;
use super::{near, read};
use gradloom_frontend::Tensor;
use gradloom_frontend::prelude::*;
use std::collections::BTreeMap;

type Call = Box<dyn Fn(&[Tensor]) -> Vec<Tensor>>;

/// How much is asked of a case.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Values, compiled and mapped.
    Plain,
    /// The signs of zeros as well.
    Exact,
    /// Derivatives in the first argument as well.
    Smooth,
}

#[derive(Default)]
struct Table(Vec<(String, Kind, Call)>);

impl Table {
    fn push(&mut self, name: impl Into<String>, kind: Kind, f: impl Fn(&[Tensor]) -> Vec<Tensor> + 'static) {
        self.0.push((name.into(), kind, Box::new(f)));
    }

    fn plain(&mut self, name: impl Into<String>, f: impl Fn(&[Tensor]) -> Tensor + 'static) {
        self.push(name, Kind::Plain, move |a| vec![f(a)]);
    }

    fn exact(&mut self, name: impl Into<String>, f: impl Fn(&[Tensor]) -> Tensor + 'static) {
        self.push(name, Kind::Exact, move |a| vec![f(a)]);
    }

    fn smooth(&mut self, name: impl Into<String>, f: impl Fn(&[Tensor]) -> Tensor + 'static) {
        self.push(name, Kind::Smooth, move |a| vec![f(a)]);
    }

    fn many(&mut self, name: impl Into<String>, f: impl Fn(&[Tensor]) -> Vec<Tensor> + 'static) {
        self.push(name, Kind::Plain, f);
    }
}

struct Line {
    inputs: Vec<Tensor>,
    outputs: Vec<(Vec<usize>, Vec<f64>)>,
}

fn array(text: &str) -> (String, Vec<usize>, Vec<f64>) {
    let (ty, data) = text.split_once(':').unwrap();
    let (dtype, shape) = ty.trim().split_once(' ').unwrap();
    let shape = shape.split(',').filter(|n| *n != "-").map(|n| n.parse().unwrap()).collect();
    (dtype.into(), shape, data.split_whitespace().map(|v| v.parse().unwrap()).collect())
}

fn tensor(text: &str) -> Tensor {
    let (dtype, shape, data) = array(text);
    let dtype = DType::from_name(&dtype).unwrap();
    Tensor::from_slice(shape, &data).to(dtype)
}

fn lines() -> BTreeMap<String, Line> {
    let arrays =
        |text: &str| text.split(';').map(str::trim).filter(|t| !t.is_empty()).map(String::from).collect::<Vec<_>>();
    include_str!("reference.txt")
        .lines()
        .map(|line| {
            let parts: Vec<&str> = line.split('|').collect();
            let inputs = arrays(parts[1]).iter().map(|t| tensor(t)).collect();
            let outputs = arrays(parts[2]).iter().map(|t| array(t)).map(|(_, s, d)| (s, d)).collect();
            (parts[0].trim().to_string(), Line { inputs, outputs })
        })
        .collect()
}

fn tolerance(t: &Tensor) -> f64 {
    if t.dtype() == DType::F32 { 2e-6 } else { 1e-11 }
}

fn run(cases: fn(&mut Table)) {
    let lines = lines();
    let mut table = Table::default();
    cases(&mut table);
    for (name, kind, f) in &table.0 {
        println!("{name}"); // names the case when it fails
        let line = lines.get(name).unwrap_or_else(|| panic!("{name} is not in reference.txt"));
        let got = f(&line.inputs);
        assert_eq!(got.len(), line.outputs.len());
        for (g, (shape, data)) in got.iter().zip(&line.outputs) {
            near(g, shape, data, tolerance(g));
            let signs = |v: &[f64]| v.iter().map(|x| x.is_sign_negative() && !x.is_nan()).collect::<Vec<_>>();
            assert!(*kind != Kind::Exact || signs(&read(g).1) == signs(data));
        }
        let compiled = jit(|a: &Vec<Tensor>| f(a)).call(&line.inputs).unwrap_or_else(|e| panic!("{e}"));
        for (c, g) in compiled.iter().zip(&got) {
            near(c, g.shape(), &read(g).1, tolerance(g));
        }
        let Some((x, rest)) = line.inputs.split_first() else { continue };
        let with = |x: &Tensor| f(&[std::slice::from_ref(x), rest].concat());
        if *kind == Kind::Smooth {
            holds(|x| with(x).remove(0), x);
            continue;
        }
        let other = x.flip(..);
        let mapped = vmap(with)(&Tensor::stack(&[x.clone(), other.clone()], 0));
        for (m, (a, b)) in mapped.iter().zip(got.iter().zip(with(&other))) {
            near(&m.i(0), a.shape(), &read(a).1, tolerance(a));
            near(&m.i(1), b.shape(), &read(&b).1, tolerance(&b));
        }
    }
}

#[test]
fn elementwise_and_creation() {
    run(elementwise::cases);
}

#[test]
fn moving_and_searching() {
    run(moving::cases);
}

#[test]
fn statistics_and_running() {
    run(statistics::cases);
}

#[test]
fn products_segments_images() {
    run(filters::cases);
}

#[test]
fn edges_of_integers() {
    run(edges::integers);
}

#[test]
fn edges_of_conversions() {
    run(edges::conversions);
}

#[test]
fn edges_of_order() {
    run(edges::oddities);
}

#[test]
fn edges_of_positions() {
    run(edges::positions);
}

#[test]
fn edges_of_size() {
    run(edges::nothing_and_one);
}

#[test]
fn every_line_is_run() {
    let mut table = Table::default();
    let all = [
        elementwise::cases,
        moving::cases,
        statistics::cases,
        filters::cases,
        edges::integers,
        edges::conversions,
        edges::oddities,
        edges::positions,
        edges::nothing_and_one,
    ];
    for cases in all {
        cases(&mut table);
    }
    let mut run: Vec<&String> = table.0.iter().map(|(name, _, _)| name).collect();
    run.sort();
    let lines = lines();
    assert_eq!(run, lines.keys().collect::<Vec<_>>());
}
