//! Elementwise ops where they bend: zeros of both signs, infinities, NaN, ends of ranges, halves between integers.

use super::case::{Case, Rule};
use gradloom_ir::eval::{ScalarOps, Wide};
use gradloom_ir::{Binary, Builder, Comparison, DType, Literal, Op, Type, Unary, with_element};
use std::f64::consts::{E, FRAC_PI_2, FRAC_PI_4, PI};

/// Numbers of any float dtype; those beyond a dtype's range become infinite.
const FLOATS: &[f64] = &[
    0.0,
    -0.0,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    1.0,
    -1.0,
    0.5,
    -0.5,
    1.5,
    -1.5,
    2.5,
    -2.5,
    2.0,
    -2.0,
    3.0,
    -3.0,
    7.0,
    0.1,
    -0.1,
    1e-3,
    -1e-3,
    0.9,
    -0.9,
    0.99,
    1.25,
    4.0,
    5.5,
    -7.25,
    10.0,
    -10.0,
    20.5,
    88.0,
    -88.0,
    100.0,
    -100.0,
    130.7,
    255.5,
    -129.0,
    300.0,
    1e4,
    65504.0,
    -4e4,
    1e6,
    -1e6,
    2147483647.0,
    2147483648.0,
    -2147483648.0,
    -2147483649.0,
    4294967296.0,
    1e10,
    -1e10,
    9.3e18,
    -9.3e18,
    1.9e19,
    1e30,
    -1e30,
    3e38,
    1e-30,
    1e-10,
    PI,
    FRAC_PI_2,
    -FRAC_PI_4,
    E,
];

fn integers(dtype: DType) -> Vec<i128> {
    let bits = 8 * dtype.size() as u32;
    let (least, most) = if dtype.is_signed_int() {
        (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1)
    } else {
        (0, (1i128 << bits) - 1)
    };
    let some = [0, 1, 2, 3, 5, 7, 8, 13, 15, 16, 31, 32, 63, 64, 65, 100, -1, -2, -3, -7, -8, -64, -100];
    let mut all: Vec<i128> = some.into_iter().chain([least, least + 1, most, most - 1]).collect();
    all.retain(|x| (least..=most).contains(x));
    all
}

/// Every number of the list as elements of `dtype`.
fn numbers(dtype: DType) -> Vec<Literal> {
    let one = |x: Wide| with_element!(dtype, T => Literal::new(&[], &[<T as ScalarOps>::narrow(x)]));
    match dtype {
        DType::Bool => vec![one(Wide::Int(0)), one(Wide::Int(1))],
        d if d.is_int() => integers(d).into_iter().map(|i| one(Wide::Int(i))).collect(),
        d if d.is_complex() => {
            // finite, of both signs, on and off the axes
            let parts = [0.0, 0.5, -0.5, 1.0, -1.25, 3.0, -20.0];
            let pairs = parts.iter().flat_map(|&re| parts.iter().map(move |&im| (re, im)));
            pairs.map(|(re, im)| one(Wide::Complex(gradloom_ir::Complex::new(re, im)))).collect()
        }
        _ => FLOATS.iter().map(|&x| one(Wide::Float(x))).collect(),
    }
}

fn row(elements: impl Iterator<Item = Literal>, dtype: DType) -> Literal {
    let bytes: Vec<u8> = elements.flat_map(|x| x.bytes().to_vec()).collect();
    let ty = Type::new(dtype, &[bytes.len() / dtype.size()]);
    Literal::from_bytes(ty, bytes).expect("whole elements")
}

/// All pairs whose second number is such, as two rows.
fn pairs(dtype: DType, such: impl Fn(&Literal) -> bool) -> [Literal; 2] {
    let all = numbers(dtype);
    let second = || all.iter().filter(|y| such(y));
    let (x, y) =
        (all.iter().flat_map(|x| second().map(move |_| x.clone())), all.iter().flat_map(|_| second().cloned()));
    [row(x, dtype), row(y, dtype)]
}

fn case(op: Op, inputs: &[Literal]) -> Option<Case> {
    let dtype = inputs[0].ty().dtype;
    let name = match &op {
        Op::Convert { dtype: to } => format!("{dtype} to {to}"),
        op => format!("{dtype} {}", op.name()),
    };
    let types: Vec<Type> = inputs.iter().map(|x| x.ty().clone()).collect();
    let (mut b, args) = Builder::with_inputs(&types);
    let out = b.emit(op, &args).ok()?;
    let g = b.finish(&out).ok()?;
    Some(Case::of(&name, &g, inputs))
}

/// Numbers whose f32 sine gradloom computes exactly; of those far beyond it does not.
fn within_turns(x: &Literal) -> bool {
    x.to_numbers().iter().all(|x| !x.is_finite() || x.abs() < 1e9)
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for dtype in DType::ALL {
        let single = [row(numbers(dtype).into_iter(), dtype)];
        let both = pairs(dtype, |_| true);
        let turns = [row(numbers(dtype).into_iter().filter(within_turns), dtype)];
        cases.extend(Unary::ALL.iter().filter_map(|&f| {
            let bounded = matches!(f, Unary::Sin | Unary::Cos | Unary::Tan);
            case(Op::Unary(f), if bounded { &turns } else { &single })
        }));
        let others = Binary::ALL.iter().filter(|f| **f != Binary::Zeta);
        cases.extend(others.filter_map(|&f| case(Op::Binary(f), &both)));
        if dtype.is_float() {
            cases.extend(case(Op::Binary(Binary::Zeta), &pairs(dtype, |q| q.get_f64(0) > 0.0)));
            let left = case(Op::Binary(Binary::Zeta), &pairs(dtype, |q| q.get_f64(0) <= 0.0));
            // a difference of sums
            cases.extend(left.map(|c| Case { rule: Rule { floor: 16.0, ..c.rule }, ..c }));
        }
        cases.extend(Comparison::ALL.iter().filter_map(|&f| case(Op::Compare(f), &both)));
        cases.extend(DType::ALL.iter().filter_map(|&to| case(Op::Convert { dtype: to }, &single)));
        cases.extend(case(Op::Sort { axis: 0, num_keys: 1 }, &single));
        for kind in [gradloom_ir::ReduceKind::Max, gradloom_ir::ReduceKind::Min] {
            cases.extend(case(Op::ArgReduce { kind, axis: 0 }, &single));
        }
    }
    cases
}
