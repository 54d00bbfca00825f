//! What of JAX's answers is comparable, and how closely.

use crate::compare::{Floor, Numbers, Tolerance};
use gradloom_ir::{Complex, DType};

/// Relative error allowed, by dtype. Integers and bools are equal.
const TOLERANCES: &[(&str, f64)] =
    &[("f64", 1e-11), ("c128", 1e-11), ("f32", 2e-5), ("c64", 2e-5), ("f16", 4e-3), ("bf16", 3e-2)];

/// The same for whole programs (`tests/jax/models.py`), as absolute error too.
const LOOSE: &[(&str, f64)] =
    &[("f64", 1e-6), ("c128", 1e-6), ("f32", 1e-4), ("c64", 1e-4), ("f16", 2e-3), ("bf16", 2e-2)];

/// Of a whole program, whose group is `model` or `model_bf16`: the error its narrowest dtype allows, if that is named.
fn model(group: &str) -> Option<f64> {
    let narrow = group.strip_prefix("model")?.strip_prefix('_').and_then(DType::from_name);
    Some(narrow.map_or(0.0, |dtype| entry(LOOSE, dtype)))
}

/// What is allowed more: group, transforms, part of the case's name, the factor, and why.
const LOOSER: &[(&str, &[&str], &str, f64, &str)] = &[
    ("cholesky", &["jvp", "vjp"], "200_200", 2000.0, "conditions of 1e5 to 1e7"),
    ("cholesky", ALL, "", 20.0, "conditions of 1e4 and more"),
    ("pow", &["jvp"], "float16", 4.0, "a sum of two terms that cancel"),
    ("scatter_max", &["jvp", "vjp"], "float16", 4.0, "the mean of tangents that cancel"),
    ("scatter_min", &["jvp", "vjp"], "float16", 4.0, "the mean of tangents that cancel"),
    ("igamma", &["jvp", "vjp"], "float64", 10.0, "a series of hundreds of terms, differentiated"),
    ("igammac", &["jvp", "vjp"], "float64", 10.0, "a series of hundreds of terms, differentiated"),
];

const ALL: &[&str] = &["value", "jvp", "vjp", "vmap"];

/// Groups of which a transform is as accurate as a 16-bit float at best, and why.
const COARSE: &[(&str, &[&str], &str)] =
    &[("reduce_precision", &["jvp", "vjp"], "JAX rounds tangents too, gradloom passes them through")];

/// Groups whose results are sums in an order of the machine's choosing: errors are relative to the largest element.
const SUMS: &[&str] = &[
    "dot_general",
    "conv_general_dilated",
    "reduce_sum",
    "reduce_window_add",
    "reduce_window_mul",
    "cumsum",
    "cumprod",
    "cumlogsumexp",
    "triangular_solve",
    "custom_linear_solve",
    "tridiagonal_solve",
    "fft",
    "cholesky",
    "lu",
    "qr",
    "svd",
    "eigh",
    "eig",
];

/// How close results of one dtype must be; `narrowest` is the tolerance of the least accurate dtype of the program, as
/// what is converted on the way is no more accurate.
pub fn tolerance(group: &str, transform: &str, name: &str, dtype: DType, narrowest: f64) -> Tolerance {
    if let Some(narrow) = model(group) {
        let mut t = loose(dtype);
        if t.relative > 0.0 {
            t.relative = t.relative.max(narrow);
        }
        return t;
    }
    let mut relative = relative(dtype);
    if relative > 0.0 {
        relative = narrowest.max(relative);
        if COARSE.iter().any(|(g, ts, _)| *g == group && ts.contains(&transform)) {
            relative = relative.max(4e-3);
        }
    }
    let looser = LOOSER.iter().find(|(g, ts, part, ..)| *g == group && ts.contains(&transform) && name.contains(part));
    let factor = looser.map_or(1.0, |(.., f, _)| *f);
    let floor = if SUMS.contains(&group) { Floor::Largest } else { Floor::OneOrLargest };
    Tolerance { relative: relative * factor, floor }
}

/// What is allowed of whole programs.
pub fn loose(dtype: DType) -> Tolerance {
    Tolerance { relative: entry(LOOSE, dtype), floor: Floor::One }
}

/// Relative error allowed for a dtype.
pub fn relative(dtype: DType) -> f64 {
    entry(TOLERANCES, dtype)
}

fn entry(table: &[(&str, f64)], dtype: DType) -> f64 {
    table.iter().find(|(d, _)| *d == dtype.name()).map_or(0.0, |(_, r)| *r)
}

type Z = Complex<f64>;

/// Which elements of a result JAX has no comparable answer for.
enum Open {
    /// All.
    All,
    /// Those at elements of the inputs for which this holds.
    Where(fn(&[Z]) -> bool),
    /// Those at which JAX's answer overflowed.
    Overflowed,
    /// Of the greatest of each row, those that the row has more than once: which of them is found is open.
    Ties,
}

/// What is not compared: group, transforms, part of the case's name, which elements, and why.
const OPEN: &[(&str, &[&str], &str, Open, &str)] = &[
    (
        "random_gamma",
        &["jvp", "vjp"],
        "",
        Open::All,
        "the text is a loop of rejections; JAX differentiates the quantile",
    ),
    ("stop_gradient", &["jvp", "vjp"], "", Open::All, "the text is the identity"),
    ("rng_bit_generator", &["vmap"], "", Open::All, "JAX draws the whole batch from the first key"),
    (
        "acosh",
        &["jvp", "vjp"],
        "complex",
        Open::Where(|x| x[0].re < 0.0),
        "JAX's derivative has the sign of the other branch there",
    ),
    ("approx_top_k", ALL, "", Open::Ties, "the fallback for the CPU leaves it open which of equal elements is found"),
    (
        "igamma",
        &["jvp", "vjp"],
        "",
        Open::Where(outside_gamma),
        "outside of its domain it is NaN, and JAX's derivative NaN or 0",
    ),
    (
        "igammac",
        &["jvp", "vjp"],
        "",
        Open::Where(outside_gamma),
        "outside of its domain it is NaN, and JAX's derivative NaN or 0",
    ),
    ("digamma", &["jvp", "vjp"], "", Open::Where(|x| x[0].re < 0.0), "JAX's derivative loses its digits there"),
    (
        "clamp",
        &["jvp", "vjp"],
        "",
        Open::Where(|x| x[0].re > x[2].re),
        "JAX's derivative takes the bounds to be in order",
    ),
    (
        "max",
        &["jvp", "vjp"],
        "nan",
        Open::Where(|x| x.iter().any(|z| z.re.is_nan())),
        "JAX's derivative where NaN wins is 0",
    ),
    (
        "min",
        &["jvp", "vjp"],
        "nan",
        Open::Where(|x| x.iter().any(|z| z.re.is_nan())),
        "JAX's derivative where NaN wins is 0",
    ),
    (
        "max",
        &["jvp", "vjp"],
        "complex",
        Open::Where(|x| x[0] == x[1]),
        "JAX shares it among equals, the text selects one",
    ),
    (
        "min",
        &["jvp", "vjp"],
        "complex",
        Open::Where(|x| x[0] == x[1]),
        "JAX shares it among equals, the text selects one",
    ),
    ("sign", &["jvp", "vjp"], "complex", Open::All, "JAX takes z / |z| to be constant"),
    ("pow", &["jvp", "vjp"], "float16", Open::Overflowed, "JAX's intermediate results overflow"),
    (
        "pow",
        &["jvp", "vjp"],
        "float16",
        Open::Where(|x| x[0].re < 0.0 && x[1].re != x[1].re.trunc()),
        "the power is NaN, but JAX's derivative is not where the exponent less 1 is rounded to an integer",
    ),
    ("integer_pow", &["jvp", "vjp"], "float16", Open::Overflowed, "JAX's intermediate results overflow"),
    ("tan", &["jvp", "vjp"], "float16", Open::Overflowed, "JAX's intermediate results overflow"),
];

fn outside_gamma(x: &[Z]) -> bool {
    x[0].re <= 0.0 || x[1].re < 0.0
}

/// The entries for a transform of a case.
fn entries<'a>(
    group: &'a str,
    transform: &'a str,
    name: &'a str,
) -> impl Iterator<Item = (&'static Open, &'static str)> {
    let fits = move |(g, ts, part, ..): &&'static (&str, &[&str], &str, Open, &str)| {
        *g == group && ts.contains(&transform) && name.contains(part)
    };
    OPEN.iter().filter(fits).map(|(.., open, why)| (open, *why))
}

/// Why a transform of a case is not judged, if it is not.
pub fn not_judged(group: &str, transform: &str, name: &str) -> Option<&'static str> {
    entries(group, transform, name).find(|(open, _)| matches!(open, Open::All)).map(|(_, why)| why)
}

/// Arrays of JAX's by name: `in0`, `out1`, ..
pub type Known<'a> = &'a dyn Fn(&str) -> Option<Numbers>;

/// Infinite leeway for the elements of result `i` that are not compared, by the inputs and results that there are.
pub fn leeway(
    (group, transform, name): (&str, &str, &str),
    i: usize,
    inputs: &[Numbers],
    known: Known<'_>,
    want: &Numbers,
) -> Vec<f64> {
    let mut leeway = vec![1.0; want.ty().numel()];
    for (open, _) in entries(group, transform, name) {
        let which = match open {
            Open::All => vec![true; leeway.len()],
            Open::Overflowed => want.complex().iter().map(|z| !(z.re.is_finite() && z.im.is_finite())).collect(),
            Open::Where(holds) => at_inputs(inputs, *holds, want),
            Open::Ties => ties(transform, i, known, want),
        };
        leeway.iter_mut().zip(which).filter(|(_, open)| *open).for_each(|(l, _)| *l = f64::INFINITY);
    }
    leeway
}

/// Whether it holds of the inputs at each element; of one that is repeated, whether it does anywhere.
fn at_inputs(inputs: &[Numbers], holds: fn(&[Z]) -> bool, want: &Numbers) -> Vec<bool> {
    let mut open = vec![false; want.ty().numel()];
    let inputs: Vec<(&[usize], Vec<Z>)> = inputs.iter().map(|x| (&x.ty().shape[..], x.complex())).collect();
    let rank = inputs.iter().map(|(s, _)| s.len()).max().unwrap_or(0);
    let length = |axis: usize| inputs.iter().filter_map(|(s, _)| s.get(axis)).max().copied().unwrap_or(1);
    let whole: Vec<usize> = (0..rank).map(length).collect();
    for i in 0..whole.iter().product() {
        let at: Vec<Z> = inputs.iter().filter_map(|(s, x)| x.get(offset(&whole, s, i)).copied()).collect();
        if at.len() == inputs.len() && holds(&at) {
            open[offset(&whole, &want.ty().shape, i)] = true;
        }
    }
    open
}

/// Of the places and tangents of the greatest along the last axis, those whose value the row has more than once; of
/// gradients, those at such elements of the row.
fn ties(transform: &str, i: usize, known: Known<'_>, want: &Numbers) -> Vec<bool> {
    let prefix = if transform == "vmap" { "v" } else { "" };
    let (x, best) = (known(&format!("{prefix}in0")), known(&format!("{prefix}out0")));
    let (Some(x), Some(best), true) = (x, best, i == 1 || matches!(transform, "jvp" | "vjp")) else {
        return vec![false; want.ty().numel()];
    };
    let values = if transform == "vjp" { x.complex() } else { best.complex() };
    let (n, k) = (x.ty().shape.last().copied().unwrap_or(1), want.ty().shape.last().copied().unwrap_or(1));
    let x = x.complex();
    let often = |(e, v): (usize, &Z)| x[e / k * n..(e / k + 1) * n].iter().filter(|u| *u == v).count() > 1;
    values.iter().enumerate().map(often).collect()
}

/// Where element `i` of an array of shape `whole` comes from in one that is repeated along axes of length 1, or in a scalar.
fn offset(whole: &[usize], shape: &[usize], mut i: usize) -> usize {
    let (mut offset, mut stride) = (0, 1);
    for axis in (0..whole.len()).rev() {
        let at = i % whole[axis];
        i /= whole[axis];
        if let Some(&n) = shape.get(axis)
            && n > 1
        {
            offset += at * stride;
            stride *= n;
        }
    }
    offset
}

/// Whether only the Hermitian part of a gradient is one: of these inputs one triangle is read.
pub fn reads_one_triangle(group: &str) -> bool {
    group == "cholesky"
}

/// `(x + x^H) / 2` of each matrix.
pub fn hermitian_part(x: &Numbers) -> Numbers {
    let n = x.ty().shape.last().copied().unwrap_or(1).max(1);
    let elements = x.complex();
    let half = |(i, z): (usize, &Z)| {
        let (row, column) = (i / n % n, i % n);
        (z + elements[i - row * n - column + column * n + row].conj()) / 2.0
    };
    let all: Vec<Z> = elements.iter().enumerate().map(half).collect();
    x.with(&all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradloom_ir::Literal;

    #[test]
    fn elements_at_inputs() {
        let numbers = |shape: &[usize], x: &[f64]| Numbers::of(&Literal::new(shape, x));
        let none = |_: &str| None;
        let x = numbers(&[2, 2], &[-1.0, 2.0, 3.0, -4.0]);
        let inf = f64::INFINITY;
        let of = |group: &str, transform: &str, inputs: &[Numbers]| {
            leeway((group, transform, group), 0, inputs, &none, &inputs[0])
        };
        assert_eq!(of("digamma", "jvp", std::slice::from_ref(&x)), [inf, 1.0, 1.0, inf]);
        assert_eq!(of("digamma", "value", &[x]), [1.0; 4]);
        assert_eq!(not_judged("digamma", "jvp", "digamma_f64"), None);
        assert!(not_judged("stop_gradient", "vjp", "stop_gradient_f32").is_some());
        // the gradient of the bound that is repeated sums over a row with an open element
        let bounds = [numbers(&[1], &[2.0]), numbers(&[2], &[0.0, 0.0]), numbers(&[2], &[1.0, 3.0])];
        assert_eq!(of("clamp", "vjp", &bounds), [inf]);
    }

    #[test]
    fn equal_elements() {
        let numbers = |x: &[f64]| Numbers::of(&Literal::new(&[2, x.len() / 2], x));
        let (x, best) = (numbers(&[3.0, 1.0, 3.0, 5.0, 4.0, 4.0]), numbers(&[3.0, 3.0, 5.0, 4.0]));
        let known = |name: &str| if name == "in0" { Some(x.clone()) } else { Some(best.clone()) };
        let inf = f64::INFINITY;
        let of =
            |transform: &str, i: usize, want: &Numbers| leeway(("approx_top_k", transform, ""), i, &[], &known, want);
        assert_eq!(of("value", 0, &best), [1.0; 4]);
        assert_eq!(of("value", 1, &best), [inf, inf, 1.0, inf]);
        assert_eq!(of("vjp", 0, &x), [inf, 1.0, inf, 1.0, inf, inf]);
    }

    #[test]
    fn hermitian() {
        let x = Numbers::of(&Literal::new(&[2, 2], &[1.0, 2.0, 4.0, 3.0]));
        let real: Vec<f64> = hermitian_part(&x).complex().iter().map(|z| z.re).collect();
        assert_eq!(real, [1.0, 3.0, 3.0, 3.0]);
    }
}
