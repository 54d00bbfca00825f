//! The rules of the simplifier. Where several apply, the first does.

use super::converting::keeps_numbers;
use super::{contractions, cutting, indexing, lifting, reductions, scaled, shaping};
use crate::rewriting::{Rule, View};
use gradloom_ir::{Attr, Binary, DType, Literal, Op, ReduceKind, Result, Unary, Value};

/// Rules that hold bit by bit.
const EXACT: &[&str] = &[
    // ---- negation ----
    "negate(negate(x)) => x",
    // of floats x = y would give -0 on the left and 0 on the right
    "negate(subtract(x, y)) => subtract(y, x) if int(x)",
    "negate(p@multiply(x, c)) => multiply(x, negate(c)) if float(x) and const(c) and once(p)",
    "negate(p@divide(x, c)) => divide(x, negate(c)) if float(x) and const(c) and once(p)",
    "add(x, negate(y)) => subtract(x, y)",
    "subtract(x, negate(y)) => add(x, y)",
    "multiply(negate(x), negate(y)) => multiply(x, y)",
    "divide(negate(x), negate(y)) => divide(x, y) if float(x)",
    "multiply(x, -1) => negate(x)",
    "multiply(negate(x), c) => multiply(x, negate(c)) if float(x) and const(c)",
    // ---- functions of one operand ----
    "abs(y@abs(x)) => y",
    // unsigned integers are their own magnitudes
    "abs(negate(x)) => abs(x) if not unsigned(x)",
    "floor|ceil|round_nearest_even(y@floor|ceil|round_nearest_even(x)) => y",
    "floor|ceil|round_nearest_even(y@convert(x)) => y if not inexact(x)",
    "real(complex(x, y)) => x",
    "imag(complex(x, y)) => y",
    "complex(real(z), imag(z)) => z",
    // ---- sums and differences: of floats only -0 adds nothing, and only +0 takes nothing away ----
    "add(x, 0) => x if int(x)",
    "add(x, -0) => x if float(x)",
    "add(x, 0) => x if float(x) and never_negative_zero(x)",
    "add(add(x, c), d) => add(x, add(c, d)) if int(x) and const(c) and const(d) and not const(x)",
    "subtract(x, 0) => x if int(x)",
    "subtract(x, +0) => x if float(x)",
    "subtract(0, x) => negate(x) if int(x)",
    "subtract(-0, x) => negate(x) if float(x)",
    "subtract(x, x) => 0 if int(x)",
    // ---- products, quotients, powers ----
    "multiply(x, 1) => x",
    "multiply(x, 0) => 0 if int(x)",
    "multiply(multiply(x, c), d) => multiply(x, multiply(c, d)) if int(x) and const(c) and const(d) and not const(x)",
    "divide(x, 1) => x",
    "divide(x, c) => multiply(x, divide(1, c)) if float(x) and const(c) and exact_reciprocal(c)",
    "remainder(x, 1) => 0 if int(x)",
    "power(x, 0) => 1",
    "power(x, 1) => x if not complex(x)",
    "power(x, 2) => multiply(x, x) if int(x)",
    "power(x, 3) => multiply(multiply(x, x), x) if int(x)",
    "power(x, 4) => multiply(multiply(x, x), multiply(x, x)) if int(x)",
    // ---- extrema: NaN wins, so the greatest number absorbs integers only ----
    "maximum(x, x) => x",
    "minimum(x, x) => x",
    "maximum(x, least) => x",
    "maximum(least, x) => x",
    "minimum(x, greatest) => x",
    "minimum(greatest, x) => x",
    "maximum(x, greatest) => greatest if int(x)",
    "maximum(greatest, x) => greatest if int(x)",
    "minimum(x, least) => least if int(x)",
    "minimum(least, x) => least if int(x)",
    // ---- bits ----
    "not(not(x)) => x",
    "and(x, x) => x",
    "or(x, x) => x",
    "xor(x, x) => 0",
    "and(x, ones) => x",
    "and(x, 0) => 0",
    "or(x, 0) => x",
    "or(x, ones) => ones",
    "xor(x, 0) => x",
    "xor(x, ones) => not(x)",
    "shift_left|shift_right_logical|shift_right_arithmetic(x, 0) => x",
    // ---- comparisons: of floats the negation of < is not >=, because of NaN ----
    "not(equal(x, y)) => not_equal(x, y)",
    "not(not_equal(x, y)) => equal(x, y)",
    "not(less(x, y)) => greater_equal(x, y) if not inexact(x)",
    "not(less_equal(x, y)) => greater(x, y) if not inexact(x)",
    "not(greater(x, y)) => less_equal(x, y) if not inexact(x)",
    "not(greater_equal(x, y)) => less(x, y) if not inexact(x)",
    "less|greater(x, x) => false",
    "equal|less_equal|greater_equal(x, x) => true if not inexact(x)",
    "not_equal(x, x) => false if not inexact(x)",
    "equal(x, true) => x if bool(x)",
    "equal(x, false) => not(x) if bool(x)",
    "not_equal(x, false) => x if bool(x)",
    "not_equal(x, true) => not(x) if bool(x)",
    // ---- choices ----
    "select(p, x, x) => x",
    "select(true, x, y) => x",
    "select(false, x, y) => y",
    "select(not(p), x, y) => select(p, y, x)",
    "select(p, q@true, false) => p if bool(q)",
    "select(p, q@false, true) => not(p) if bool(q)",
    "select(p, select(p, x, y), z) => select(p, x, z)",
    "select(p, x, select(p, y, z)) => select(p, x, z)",
    // ---- dtypes ----
    "convert(x, dtype=d) => x if d == dtype(x)",
    "convert(y@convert(x), dtype=d) => convert(x, dtype=d) if keeps_numbers(dtype(x), dtype(y), d)",
    "bitcast_convert(x, dtype=d) => x if d == dtype(x)",
    "bitcast_convert(bitcast_convert(x), dtype=d) => bitcast_convert(x, dtype=d)",
    // ---- shapes ----
    "broadcast_in_dim(x, shape=s, dims=d) => x if s == shape(x) and identity(d)",
    "broadcast_in_dim(broadcast_in_dim(x, dims=d), shape=s, dims=e) => broadcast_in_dim(x, shape=s, dims=compose(e, d))",
    "reshape(x, shape=s) => x if s == shape(x)",
    "reshape(x, shape=s) => broadcast_in_dim(x, shape=s, dims=[]) if scalar(x)",
    "reshape(reshape(x), shape=s) => reshape(x, shape=s)",
    "reshape(broadcast_in_dim(x), shape=s) => broadcast_in_dim(x, shape=s, dims=[]) if scalar(x)",
    "transpose(x, perm=p) => x if identity(p)",
    "transpose(transpose(x, perm=p), perm=q) => transpose(x, perm=compose(p, q))",
    // ---- reductions ----
    "reduce(x, axes=[]) => x",
    "reduce(x, kind=k, axes=a) => reduce(x, kind=k, axes=sorted(a)) if not ascending(a)",
];

/// Rules of floats and complex numbers that hold up to rounding or the sign of a zero.
const REASSOCIATING: &[&str] = &[
    "sign(y@sign(x)) => y",
    "power(x, 1) => x",
    "power(x, -1) => divide(1, x) if float(x)",
    "power(x, 2) => multiply(x, x)",
    "power(x, 3) => multiply(multiply(x, x), x)",
    "power(x, 4) => multiply(multiply(x, x), multiply(x, x))",
    "power(x, -2) => divide(1, multiply(x, x)) if float(x)",
    "power(x, -3) => divide(1, multiply(multiply(x, x), x)) if float(x)",
    // of -inf there are powers, but no roots; roots of -0, which the sum with 0 makes 0, are negative
    "power(x, 0.5) => select(equal(x, least), greatest, sqrt(add(x, 0))) if float(x)",
    "power(x, -0.5) => select(equal(x, least), 0, rsqrt(add(x, 0))) if float(x)",
    "power(x, 1.5) => select(equal(x, least), greatest, multiply(x, sqrt(x))) if float(x)",
    "power(x, -1.5) => select(equal(x, least), 0, divide(1, multiply(x, sqrt(x)))) if float(x)",
    "power(x, 2.5) => select(equal(x, least), greatest, multiply(multiply(x, x), sqrt(add(x, 0)))) if float(x)",
    "power(x, -2.5) => select(equal(x, least), 0, divide(1, multiply(multiply(x, x), sqrt(add(x, 0))))) if float(x)",
    "reduce(y@negate(x), kind=\"sum\", axes=a) => negate(reduce(x, kind=\"sum\", axes=a)) if once(y)",
];

/// Constants stand right of commutative ops.
fn constants_right() -> impl Iterator<Item = String> {
    let ops = Binary::ALL.iter().filter(|f| f.is_commutative());
    ops.map(|f| format!("{f}(c, x) => {f}(x, c) if const(c) and not const(x)", f = f.name()))
}

/// All rules in order.
pub(super) fn rules() -> Result<Vec<Rule>> {
    let known = |rule: Rule| {
        rule.property("never_negative_zero", never_negative_zero)
            .property("exact_reciprocal", |v, c| v.splat(c).is_some_and(exact_reciprocal))
            .function("keeps_numbers", |args| {
                let [Attr::DType(from), Attr::DType(via), Attr::DType(to)] = *args else { return None };
                Some(Attr::Bool(keeps_numbers(from, via, to)))
            })
    };
    let text = |text: &str| Rule::parse(text).map(known);
    let mut rules = lifting();
    for rule in constants_right() {
        rules.push(text(&rule)?);
    }
    for rule in EXACT {
        rules.push(text(rule)?);
    }
    for rule in REASSOCIATING {
        rules.push(text(rule)?.reassociates());
    }
    rules.extend(computed());
    rules.extend(computed_reassociating().into_iter().map(Rule::reassociates));
    rules.extend(computed_of_finite_numbers().into_iter().map(Rule::of_finite_numbers));
    Ok(rules)
}

/// Elementwise ops, all of whose operands are broadcast alike, before the broadcasts.
fn lifting() -> Vec<Rule> {
    let families = Unary::ALL.iter().map(|f| f.name()).chain(Binary::ALL.iter().map(|f| f.name()));
    let comparisons = gradloom_ir::Comparison::ALL.iter().map(|c| c.name());
    let ops: Vec<&'static str> = families.chain(comparisons).chain(["threefry2x32"]).collect();
    vec![Rule::computed("f(broadcast(x), ..) = broadcast(f(x, ..))", &ops, lifting::lift)]
}

macro_rules! computed {
    ($($equation:literal $name:literal $op:pat, $v:ident, $args:ident => $rewrite:expr;)*) => {
        vec![$(Rule::computed($equation, &[$name], |$v, op, $args| match op {
            $op => $rewrite,
            _ => None,
        })),*]
    };
}

/// Rules whose right side is computed from shapes; `tests/computed` has the forms on which they are proved.
fn computed() -> Vec<Rule> {
    computed! {
        "p ? broadcast(x) : broadcast(y) = broadcast(p ? x : y)"
            "select" op @ Op::Select {}, v, args => lifting::lift(v, op, args);
        "convert(broadcast(x)) = broadcast(convert(x))"
            "convert" op @ Op::Convert { .. }, v, args => lifting::lift(v, op, args);
        "bitcast(broadcast(x)) = broadcast(bitcast(x))"
            "bitcast_convert" op @ Op::Bitcast { .. }, v, args => lifting::lift(v, op, args);
        "[c, c, ..] = broadcast(c)"
            "constant" Op::Constant { value }, v, _args => shaping::constant(v, value);
        "broadcasts without axes of length 1; those that repeat nothing are transposes"
            "broadcast_in_dim" Op::Broadcast { shape, dims }, v, args => shaping::broadcast(v, args[0], shape, dims);
        "reshape(broadcast(x)) = broadcast(x) where only axes of length 1 come and go"
            "reshape" Op::Reshape { shape }, v, args => shaping::reshape(v, args[0], shape);
        "transposes that are reshapes, and of broadcasts and products"
            "transpose" Op::Transpose { perm }, v, args => shaping::transpose(v, args[0], perm);
        "slices of slices, broadcasts, concatenations and pads"
            "slice" Op::Slice { start, limit, stride }, v, args => cutting::slice(v, args[0], start, limit, stride);
        "pads of nothing and of pads"
            "pad" Op::Pad { low, high, interior }, v, args => cutting::pad(v, args, low, high, interior);
        "concatenations of concatenations, of neighbouring slices and of equal constants"
            "concatenate" Op::Concatenate { axis }, v, args => cutting::concatenate(v, args, *axis);
        "reversals of short axes, of reversals and of broadcasts"
            "reverse" Op::Reverse { axes }, v, args => cutting::reverse(v, args[0], axes);
        "dynamic_slice(x) = slice(x) where the starts are known"
            "dynamic_slice" Op::DynamicSlice { sizes }, v, args => indexing::dynamic_slice(v, args, sizes);
        "dynamic_update_slice(x, y) = y, = x or = pad(y)"
            "dynamic_update_slice" Op::DynamicUpdateSlice {}, v, args => indexing::dynamic_update_slice(v, args);
        "products of transposes and reshapes"
            "dot_general" Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract }, v, args =>
                contractions::dot_general(v, args, [lhs_batch, rhs_batch], [lhs_contract, rhs_contract]);
        "operands of a form that are there for derivatives"
            "spectral_form" Op::SpectralForm { order }, v, args => contractions::spectral_form(v, args, *order);
        "operands of a solution that are there for derivatives"
            "lu_solve" Op::LuSolve { transpose_a }, v, args => contractions::lu_solve(v, args, *transpose_a);
    }
}

/// Computed rules that hold up to rounding or the sign of a zero.
fn computed_reassociating() -> Vec<Rule> {
    computed! {
        "reductions of nothing, of broadcasts, reductions, transposes, reshapes and reversals"
            "reduce" Op::Reduce { kind, axes }, v, args => reductions::reduce(v, *kind, args[0], axes);
        "pad(x, 0) + pad(y, 0) = pad(concatenate(x, y), 0)"
            "add" Op::Binary(Binary::Add), v, args => cutting::sum_of_pads(v, args);
        "cumulative(x) = x along an axis of length 1"
            "cumulative" Op::Cumulative { axis, .. }, v, args => reductions::cumulative(v, args[0], *axis);
    }
}

/// Computed rules that hold up to rounding where all numbers are finite: a factor is applied to other numbers than it was,
/// among which infinities and zeros may meet.
fn computed_of_finite_numbers() -> Vec<Rule> {
    computed! {
        "products of outer products"
            "dot_general" Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract }, v, args =>
                contractions::of_outer_products(v, args, [lhs_batch, rhs_batch], [lhs_contract, rhs_contract]);
        "dot_general(x, convert(q) * s) = dot_general(x, convert(q)) * s or = dot_general(x * s, convert(q)) where q has 8 bits"
            "dot_general" Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract }, v, args =>
                scaled::dot_general(v, args, [lhs_batch, rhs_batch], [lhs_contract, rhs_contract]);
        "convolution(x, convert(q) * s) = convolution(x, convert(q)) * s where q has 8 bits"
            "convolution" op @ Op::Convolution { .. }, v, args => scaled::convolution(v, op, args);
        "gather(convert(q) * s) = convert(gather(q)) * s where q has 8 bits"
            "gather" op @ Op::Gather { .. }, v, args => scaled::gather(v, op, args);
    }
}

/// Whether no element of `x` can be -0.
fn never_negative_zero(v: &View, x: Value) -> bool {
    let Some(node) = v.def(x) else { return false };
    match node.op {
        Op::Unary(Unary::Exp | Unary::Abs | Unary::Logistic | Unary::Cosh) => true,
        Op::Binary(Binary::Mul) => node.args[0] == node.args[1],
        Op::Convert { .. } => !v.dtype(node.args[0]).is_float(),
        Op::Reduce { kind: ReduceKind::Sum, .. } => true, // starts from 0, and 0 + -0 = 0
        Op::Constant { ref value } => value.to_f64().iter().all(|c| *c != 0.0 || c.is_sign_positive()),
        Op::Iota { .. } => true,
        Op::Broadcast { .. } | Op::Reshape { .. } | Op::Transpose { .. } => never_negative_zero(v, node.args[0]),
        _ => false,
    }
}

/// Whether 1 / c is a number of the dtype: c is a power of two.
fn exact_reciprocal(c: &Literal) -> bool {
    let Some(x) = c.splat_f64().filter(|_| c.ty().dtype.is_float()) else { return false };
    let power_of_two = x.is_normal() && x.to_bits() & ((1 << 52) - 1) == 0;
    let r = Literal::scalar(c.ty().dtype, 1.0 / x).get_f64(0);
    let normal = if c.ty().dtype == DType::F32 { (r as f32).is_normal() } else { r.is_normal() };
    power_of_two && normal && r * x == 1.0
}
