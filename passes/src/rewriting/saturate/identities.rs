//! Equations that go both ways.
//!
//! The simplifier cannot hold them: it would turn them round for ever, or would have to know beforehand which side is the
//! better one. Operands of commutative ops match in either order.

use super::super::rule::Rule;
use gradloom_ir::{Attr, Result};

/// Of integers bit by bit, of floats and complex numbers up to rounding, infinities and NaN as operands included. What
/// comes up on the way may leave the dtype's range on one side alone.
const OF_ALL: &[&str] = &[
    // ---- associativity ----
    "add(add(x, y), z) => add(x, add(y, z))",
    "multiply(multiply(x, y), z) => multiply(x, multiply(y, z)) if not complex(x)",
    "maximum(maximum(x, y), z) => maximum(x, maximum(y, z))",
    "minimum(minimum(x, y), z) => minimum(x, minimum(y, z))",
    "and(and(x, y), z) => and(x, and(y, z))",
    "or(or(x, y), z) => or(x, or(y, z))",
    "xor(xor(x, y), z) => xor(x, xor(y, z))",
    // ---- differences ----
    "subtract(x, y) => add(x, negate(y))",
    "subtract(x, add(y, z)) => subtract(subtract(x, y), z)",
    "subtract(subtract(x, y), z) => subtract(x, add(y, z))",
    "negate(subtract(x, y)) => subtract(y, x)",
    "negate(multiply(x, y)) => multiply(negate(x), y)",
    "multiply(negate(x), y) => negate(multiply(x, y))",
    "add(x, x) => multiply(x, 2) if not complex(x)",
    // ---- logic ----
    "and(x, or(y, z)) => or(and(x, y), and(x, z))",
    "or(and(x, y), and(x, z)) => and(x, or(y, z))",
    "or(x, and(y, z)) => and(or(x, y), or(x, z))",
    "and(or(x, y), or(x, z)) => or(x, and(y, z))",
    "not(and(x, y)) => or(not(x), not(y))",
    "or(not(x), not(y)) => not(and(x, y))",
    "not(or(x, y)) => and(not(x), not(y))",
    "and(not(x), not(y)) => not(or(x, y))",
    // ---- extrema ----
    "maximum(x, minimum(x, y)) => x if int(x) or bool(x)",
    "maximum(negate(x), negate(y)) => negate(minimum(x, y)) if float(x)",
    "minimum(negate(x), negate(y)) => negate(maximum(x, y)) if float(x)",
    // ---- exponentials, roots, symmetries ----
    "divide(1, exponential(x)) => exponential(negate(x)) if float(x)",
    "divide(1, sqrt(x)) => rsqrt(x) if float(x)",
    "cosine(negate(x)) => cosine(x) if float(x)",
    "sine(negate(x)) => negate(sine(x)) if float(x)",
    "tanh(negate(x)) => negate(tanh(x)) if float(x)",
    "negate(tanh(x)) => tanh(negate(x)) if float(x)",
    "logistic(negate(x)) => subtract(1, logistic(x)) if float(x)",
    // ---- choices ----
    "add(select(p, x, y), select(p, z, w)) => select(p, add(x, z), add(y, w))",
    "multiply(select(p, x, y), select(p, z, w)) => select(p, multiply(x, z), multiply(y, w))",
];

/// Of integers bit by bit, of floats and complex numbers up to rounding where all are finite.
const OF_FINITE: &[&str] = &[
    // ---- distributivity ----
    "multiply(x, add(y, z)) => add(multiply(x, y), multiply(x, z))",
    "add(multiply(x, y), multiply(x, z)) => multiply(x, add(y, z))",
    "subtract(multiply(x, y), multiply(x, z)) => multiply(x, subtract(y, z))",
    "add(multiply(x, y), x) => multiply(x, add(y, 1))",
    "subtract(multiply(x, y), x) => multiply(x, subtract(y, 1))",
    "subtract(x, multiply(x, y)) => multiply(x, subtract(1, y))",
    "subtract(x, x) => 0",
    "add(x, negate(x)) => 0",
    "subtract(add(x, y), x) => y",
    // ---- quotients ----
    "add(divide(x, z), divide(y, z)) => divide(add(x, y), z) if inexact(x)",
    "subtract(divide(x, z), divide(y, z)) => divide(subtract(x, y), z) if inexact(x)",
    "divide(multiply(x, y), z) => multiply(x, divide(y, z)) if inexact(x)",
    "multiply(x, divide(y, z)) => divide(multiply(x, y), z) if inexact(x)",
    "divide(divide(x, y), z) => divide(x, multiply(y, z)) if inexact(x)",
    "divide(x, divide(y, z)) => divide(multiply(x, z), y) if inexact(x)",
    "divide(x, sqrt(y)) => multiply(x, rsqrt(y)) if float(x)",
    "multiply(x, 0) => 0 if inexact(x)",
    // ---- exponentials and logarithms ----
    "multiply(exponential(x), exponential(y)) => exponential(add(x, y)) if float(x)",
    "exponential(add(x, y)) => multiply(exponential(x), exponential(y)) if float(x)",
    "divide(exponential(x), exponential(y)) => exponential(subtract(x, y)) if float(x)",
    "power(exponential(x), y) => exponential(multiply(x, y)) if float(x)",
    "log(exponential(x)) => x if float(x)",
    "log(multiply(exponential(x), y)) => add(x, log(y)) if float(x)",
    "log(divide(exponential(x), y)) => subtract(x, log(y)) if float(x)",
    "log(divide(y, exponential(x))) => subtract(log(y), x) if float(x)",
    "add(multiply(sine(x), sine(x)), multiply(cosine(x), cosine(x))) => 1 if float(x)",
    "multiply(logistic(x), exponential(negate(x))) => logistic(negate(x)) if float(x)",
    // ---- sums along axes ----
    "reduce(add(x, y), kind=\"sum\", axes=a) => add(reduce(x, kind=\"sum\", axes=a), reduce(y, kind=\"sum\", axes=a))",
    "add(reduce(x, kind=\"sum\", axes=a), reduce(y, kind=\"sum\", axes=a)) => reduce(add(x, y), kind=\"sum\", axes=a) \
     if shape(x) == shape(y)",
    "reduce(multiply(x, broadcast_in_dim(s, shape=n, dims=[])), kind=\"sum\", axes=a) => \
     multiply(reduce(x, kind=\"sum\", axes=a), broadcast_in_dim(s, shape=without(n, a), dims=[])) if scalar(s)",
    // ---- products of matrices ----
    "dot_general(dot_general(x, y, lhs_batch=[], rhs_batch=[], lhs_contract=[1], rhs_contract=[0]), z, lhs_batch=[], \
     rhs_batch=[], lhs_contract=[1], rhs_contract=[0]) => dot_general(x, dot_general(y, z, lhs_batch=[], rhs_batch=[], \
     lhs_contract=[1], rhs_contract=[0]), lhs_batch=[], rhs_batch=[], lhs_contract=[1], rhs_contract=[0]) \
     if rank(x) == 2 and rank(y) == 2",
    "dot_general(x, dot_general(y, z, lhs_batch=[], rhs_batch=[], lhs_contract=[1], rhs_contract=[0]), lhs_batch=[], \
     rhs_batch=[], lhs_contract=[1], rhs_contract=[0]) => dot_general(dot_general(x, y, lhs_batch=[], rhs_batch=[], \
     lhs_contract=[1], rhs_contract=[0]), z, lhs_batch=[], rhs_batch=[], lhs_contract=[1], rhs_contract=[0]) \
     if rank(x) == 2 and rank(y) == 2",
    "dot_general(negate(x), y, lhs_batch=a, rhs_batch=b, lhs_contract=c, rhs_contract=d) => \
     negate(dot_general(x, y, lhs_batch=a, rhs_batch=b, lhs_contract=c, rhs_contract=d))",
    "dot_general(x, negate(y), lhs_batch=a, rhs_batch=b, lhs_contract=c, rhs_contract=d) => \
     negate(dot_general(x, y, lhs_batch=a, rhs_batch=b, lhs_contract=c, rhs_contract=d))",
];

/// Sums and differences of products of matrices with a common factor.
fn products_of_sums() -> impl Iterator<Item = String> {
    const AXES: &str = "lhs_batch=a, rhs_batch=b, lhs_contract=c, rhs_contract=d";
    const EQUATIONS: &[(&str, &str, &str)] = &[
        (
            "F(dot_general(x, y, AXES), dot_general(x, z, AXES))",
            "dot_general(x, F(y, z), AXES)",
            "shape(y) == shape(z)",
        ),
        (
            "F(dot_general(x, z, AXES), dot_general(y, z, AXES))",
            "dot_general(F(x, y), z, AXES)",
            "shape(x) == shape(y)",
        ),
    ];
    let both_ways = |(sum, product, shapes): &(&str, &str, &str)| {
        [format!("{sum} => {product} if {shapes}"), format!("{product} => {sum}")]
    };
    let of = move |f: &'static str| {
        let fill = move |text: String| text.replace("AXES", AXES).replace('F', f);
        EQUATIONS.iter().flat_map(both_ways).map(fill)
    };
    ["add", "subtract"].into_iter().flat_map(of)
}

/// Equations that [`super::Saturate`] adds to the simplifier's. Those that hold of finite numbers alone say so
/// ([`Rule::holds_of_all_numbers`]).
///
/// # Errors
/// None: the table is tested.
pub fn identities() -> Result<Vec<Rule>> {
    // the axes that are left
    let without = |args: &[Attr]| {
        let [Attr::Ints(of), Attr::Ints(gone)] = args else { return None };
        let left = of.iter().enumerate().filter(|(i, _)| !gone.contains(&(*i as i64)));
        Some(Attr::Ints(left.map(|(_, &n)| n).collect()))
    };
    let all = OF_ALL.iter().map(|t| Ok(Rule::parse(t)?.reassociates()));
    let finite = OF_FINITE.iter().map(|t| t.to_string()).chain(products_of_sums());
    let finite = finite.map(|t| Ok(Rule::parse(&t)?.function("without", without).of_finite_numbers()));
    all.chain(finite).collect()
}
