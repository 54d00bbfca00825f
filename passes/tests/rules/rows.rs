//! Op instances as data: reads `table.txt` and draws points from the domains it names.
#![allow(dead_code)] // each test file uses a part

use gradloom_ir::{DType, Graph, Literal, Type, parse};

/// One line of the table.
pub struct Row {
    pub text: &'static str,
    pub graph: Graph,
    pub domains: Vec<Domain>,
}

#[derive(Clone, Debug)]
pub enum Domain {
    Uniform(f64, f64),
    Distinct,
    /// Matrices with a diagonal of distinct greatest elements.
    Dominant,
    List(Vec<f64>),
}

pub fn table() -> Vec<Row> {
    include_str!("table.txt")
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with("//"))
        .map(|l| row(l).unwrap_or_else(|e| panic!("{l}: {e}")))
        .collect()
}

pub fn row(text: &'static str) -> Result<Row, String> {
    let [inputs, node, results] = text.split(" | ").collect::<Vec<_>>().try_into().map_err(|_| "three columns")?;
    let (mut types, mut domains) = (Vec::new(), Vec::new());
    for input in inputs.split("; ") {
        let (ty, from) = input.split_once(' ').ok_or("an input needs a domain")?;
        types.push(ty);
        let number = |s: &str| s.parse::<f64>().map_err(|e| format!("{s}: {e}"));
        domains.push(match from.split_once(' ') {
            Some(("in", range)) => {
                let (a, b) = range.split_once("..").ok_or("range")?;
                Domain::Uniform(number(a)?, number(b)?)
            }
            Some(("=", list)) => Domain::List(list.split(' ').map(number).collect::<Result<_, _>>()?),
            _ if from == "distinct" => Domain::Distinct,
            _ if from == "dominant" => Domain::Dominant,
            _ => return Err(format!("domain `{from}`")),
        });
    }
    let params: Vec<String> = types.iter().enumerate().map(|(i, t)| format!("%{i}: {t}")).collect();
    let n = results.split(", ").count();
    let values: Vec<String> = (0..n).map(|i| format!("%{}", types.len() + i)).collect();
    let values = values.join(", ");
    let program = format!("graph({}) {{ {values} = {node} : {results} return {values} }}", params.join(", "));
    let graph = parse(&program).map_err(|e| e.to_string())?;
    Ok(Row { text, graph, domains })
}

/// A row with its dtype replaced.
pub enum Instance {
    Row(Row),
    /// The op is not defined on the dtype.
    Refused,
    /// The row has no dtype to replace.
    None,
}

/// The parts of messages by which an op refuses a dtype.
const REFUSALS: &[&str] = &[
    "is not allowed",
    // the row is of real numbers
    " gives [",
    "the tolerance should be",
    "differ in size",
    "is not a",
    "different dtypes",
    "results of type",
    "takes",
];

/// The row on another dtype than f64 or c128.
pub fn on_dtype(row: &Row, dtype: DType) -> Instance {
    let Some(text) = text_on_dtype(row.text, dtype) else { return Instance::None };
    let text: &'static str = Box::leak(text.into_boxed_str());
    match self::row(text) {
        Ok(row) => Instance::Row(row),
        Err(e) => {
            assert!(REFUSALS.iter().any(|k| e.contains(k)), "{text}: {e}");
            Instance::Refused
        }
    }
}

/// `None` if the row has no dtype to replace.
fn text_on_dtype(text: &str, dtype: DType) -> Option<String> {
    // a row that names f32 converts between the two and is run as it is, with f64
    if text.contains("f32") {
        return (dtype == DType::F64).then(|| text.to_string());
    }
    let bits = |d: DType| format!("u{}", d.size() * 8);
    match (dtype.is_complex(), text.contains("c128")) {
        (true, true) => Some(text.replace("c128", dtype.name()).replace("f64", dtype.real().name())),
        (false, true) => None,
        _ if !text.contains("f64") => (dtype == DType::F64).then(|| text.to_string()),
        _ => Some(text.replace("u64", &bits(dtype)).replace("f64", dtype.name())),
    }
}

/// A small generator (Knuth's MMIX constants), so that the points are the same in every run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn below(&mut self, n: usize) -> usize {
        ((self.next() * n as f64) as usize).min(n.saturating_sub(1))
    }

    pub fn literal(&mut self, ty: &Type, domain: &Domain, input: usize) -> Literal {
        let n = ty.numel() * if ty.dtype.is_complex() { 2 } else { 1 };
        let data: Vec<f64> = match domain {
            Domain::Uniform(a, b) if ty.dtype.is_inexact() => (0..n).map(|_| a + (b - a) * self.next()).collect(),
            Domain::Uniform(a, b) => (0..n).map(|_| a + self.below((b - a) as usize + 1) as f64).collect(),
            // inputs get grids of their own, so that elements of different inputs differ too
            Domain::Distinct => {
                let mut grid: Vec<f64> =
                    (0..n).map(|i| (i as f64 - n as f64 / 2.0) * 0.3 + 0.1 * input as f64).collect();
                (1..n).rev().for_each(|i| grid.swap(i, self.below(i + 1)));
                grid
            }
            Domain::Dominant => {
                let parts = n / ty.numel().max(1);
                let columns = ty.shape[ty.rank() - 1];
                let per_matrix = columns * ty.shape[ty.rank() - 2];
                let weight = |k: usize| match (k / parts % per_matrix / columns, k / parts % columns) {
                    (i, j) if i == j && k.is_multiple_of(parts) => 3.0 + 2.0 * i as f64,
                    _ => 0.0,
                };
                (0..n).map(|k| self.next() - 0.5 + weight(k)).collect()
            }
            // real parts alone
            Domain::List(list) if list.len() < n => list.iter().flat_map(|x| [*x, 1.0 - x]).collect(),
            Domain::List(list) => list.clone(),
        };
        literal(ty, &data)
    }

    pub fn point(&mut self, row: &Row) -> Vec<Literal> {
        let types = row.graph.input_types();
        types.iter().zip(&row.domains).enumerate().map(|(i, (t, d))| self.literal(t, d, i)).collect()
    }

    /// A direction: for each type, numbers in -1..1.
    pub fn direction<'a>(&mut self, types: impl IntoIterator<Item = &'a Type>) -> Vec<Literal> {
        types.into_iter().map(|t| self.literal(t, &Domain::Uniform(-1.0, 1.0), 0)).collect()
    }
}

/// An array of these numbers, two for a complex element.
pub fn literal(ty: &Type, data: &[f64]) -> Literal {
    assert_eq!(data.len(), ty.numel() * if ty.dtype.is_complex() { 2 } else { 1 }, "{ty}");
    let bytes = data.iter().flat_map(|&x| Literal::scalar(ty.dtype.real(), x).bytes().to_vec()).collect();
    Literal::from_bytes(ty.clone(), bytes).unwrap()
}
