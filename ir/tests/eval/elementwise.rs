//! Elementwise ops on every dtype.

use super::*;
use gradloom_ir::Unary;
use gradloom_ir::eval::threefry2x32;

#[test]
fn unary_ops_on_integers() {
    check("negate(%0)", &[lit("i8[3]", &[1.0, -128.0, 0.0])], &[lit("i8[3]", &[-1.0, -128.0, 0.0])]);
    check("negate(%0)", &[lit("u8[2]", &[1.0, 0.0])], &[lit("u8[2]", &[255.0, 0.0])]);
    check("abs(%0)", &[lit("i8[3]", &[1.0, -128.0, -5.0])], &[lit("i8[3]", &[1.0, -128.0, 5.0])]);
    check("sign(%0)", &[lit("i64[3]", &[9.0, -9.0, 0.0])], &[lit("i64[3]", &[1.0, -1.0, 0.0])]);
    check("sign(%0)", &[lit("u16[2]", &[9.0, 0.0])], &[lit("u16[2]", &[1.0, 0.0])]);
    check("not(%0)", &[lit("i32[2]", &[0.0, 5.0])], &[lit("i32[2]", &[-1.0, -6.0])]);
    check("not(%0)", &[lit("u8[1]", &[1.0])], &[lit("u8[1]", &[254.0])]);
    check("not(%0)", &[lit("bool[2]", &[0.0, 1.0])], &[lit("bool[2]", &[1.0, 0.0])]);
}

#[test]
fn unary_ops_on_floats() {
    for ty in ["f32[4]", "f64[4]"] {
        let x = lit(ty, &[-0.0, 2.5, -3.5, NAN]);
        check("negate(%0)", &[x.clone()], &[lit(ty, &[0.0, -2.5, 3.5, NAN])]);
        check("abs(%0)", &[x.clone()], &[lit(ty, &[0.0, 2.5, 3.5, NAN])]);
        check("sign(%0)", &[x.clone()], &[lit(ty, &[-0.0, 1.0, -1.0, NAN])]);
        check("floor(%0)", &[x.clone()], &[lit(ty, &[-0.0, 2.0, -4.0, NAN])]);
        check("ceil(%0)", &[x.clone()], &[lit(ty, &[-0.0, 3.0, -3.0, NAN])]);
        check("round_nearest_even(%0)", &[x.clone()], &[lit(ty, &[-0.0, 2.0, -4.0, NAN])]);
        let x = lit(ty, &[1.0, INF, -INF, NAN]);
        check("is_finite(%0)", &[x], &[lit("bool[4]", &[1.0, 0.0, 0.0, 0.0])]);
        let x = lit(ty, &[0.0, 1.0, 4.0, -1.0]);
        check("sqrt(%0)", &[x.clone()], &[lit(ty, &[0.0, 1.0, 2.0, NAN])]);
        check("rsqrt(%0)", &[x.clone()], &[lit(ty, &[INF, 1.0, 0.5, NAN])]);
        check("log(%0)", &[lit(ty, &[0.0, 1.0, INF, -1.0])], &[lit(ty, &[-INF, 0.0, INF, NAN])]);
        check("cbrt(%0)", &[lit(ty, &[8.0, -27.0, -0.0, INF])], &[lit(ty, &[2.0, -3.0, -0.0, INF])]);
    }
}

/// True values; XLA's formula is 8 units in the last place off at the first.
#[test]
fn the_inverse_error_function_is_accurate_near_one() {
    let x = lit("f32[4]", &[-0.9990000128746033, -0.7492499947547913, -0.49950000643730164, 0.24975000321865082]);
    let want = [-2.3267563267961546, -0.8121330608678677, -0.4763801384370041, 0.22507897569102997];
    let g = parse("graph(%0: f32[4]) { %1 = erf_inv(%0) : f32[4] return %1 }").unwrap();
    for (got, want) in eval(&g, &[x]).unwrap()[0].to_f64().iter().zip(want) {
        assert!((got - want).abs() <= 2.0 * f64::from(f32::EPSILON) * want.abs(), "{got} {want}");
    }
    let x = lit("f32[8]", &[1.0, -1.0, 1.0 + f64::from(f32::EPSILON), -INF, INF, NAN, 0.0, -0.0]);
    check("erf_inv(%0)", &[x], &[lit("f32[8]", &[INF, -INF, NAN, NAN, NAN, NAN, 0.0, -0.0])]);
}

#[test]
fn arithmetic() {
    let (x, y) = (lit("i8[2]", &[100.0, -7.0]), lit("i8[2]", &[100.0, 2.0]));
    check("add(%0, %1)", &[x.clone(), y.clone()], &[lit("i8[2]", &[-56.0, -5.0])]);
    check("subtract(%0, %1)", &[x.clone(), y.clone()], &[lit("i8[2]", &[0.0, -9.0])]);
    check("multiply(%0, %1)", &[x, y], &[lit("i8[2]", &[16.0, -14.0])]);
    let (x, y) = (lit("i32[4]", &[7.0, -7.0, 5.0, -2147483648.0]), lit("i32[4]", &[-2.0, 2.0, 0.0, -1.0]));
    check("divide(%0, %1)", &[x.clone(), y.clone()], &[lit("i32[4]", &[-3.0, -3.0, -1.0, -2147483648.0])]);
    check("remainder(%0, %1)", &[x, y], &[lit("i32[4]", &[1.0, -1.0, 5.0, 0.0])]);
    let (x, y) = (lit("u8[2]", &[7.0, 5.0]), lit("u8[2]", &[2.0, 0.0]));
    check("divide(%0, %1)", &[x.clone(), y.clone()], &[lit("u8[2]", &[3.0, 255.0])]);
    check("remainder(%0, %1)", &[x, y], &[lit("u8[2]", &[1.0, 5.0])]);
    for ty in ["f32[5]", "f64[5]"] {
        let (x, y) = (lit(ty, &[5.5, -5.5, 1.0, INF, 3.0]), lit(ty, &[2.0, 2.0, 0.0, 1.0, INF]));
        check("divide(%0, %1)", &[x.clone(), y.clone()], &[lit(ty, &[2.75, -2.75, INF, INF, 0.0])]);
        check("remainder(%0, %1)", &[x, y], &[lit(ty, &[1.5, -1.5, NAN, NAN, 3.0])]);
    }
}

#[test]
fn powers() {
    let x = lit("i32[9]", &[2.0, 3.0, -1.0, -1.0, 2.0, 0.0, 1.0, 0.0, -2.0]);
    let y = lit("i32[9]", &[10.0, 25.0, -3.0, -4.0, -1.0, -1.0, -7.0, 0.0, 3.0]);
    let three_to_25 = f64::from(3i32.wrapping_pow(25));
    check("power(%0, %1)", &[x, y], &[lit("i32[9]", &[1024.0, three_to_25, -1.0, 1.0, 0.0, 0.0, 1.0, 1.0, -8.0])]);
    check(
        "power(%0, %1)",
        &[lit("u8[3]", &[3.0, 2.0, 255.0]), lit("u8[3]", &[5.0, 8.0, 255.0])],
        &[lit("u8[3]", &[243.0, 0.0, 255.0])],
    );
    check(
        "power(%0, %1)",
        &[lit("i8[2]", &[-1.0, -1.0]), lit("i8[2]", &[-128.0, -127.0])],
        &[lit("i8[2]", &[1.0, -1.0])],
    );
    for ty in ["f32[6]", "f64[6]"] {
        let (x, y) = (lit(ty, &[2.0, -2.0, -2.0, 0.0, NAN, 4.0]), lit(ty, &[10.0, 3.0, 0.5, -1.0, 0.0, -0.5]));
        check("power(%0, %1)", &[x, y], &[lit(ty, &[1024.0, -8.0, NAN, INF, 1.0, 0.5])]);
        let (y, x) = (lit(ty, &[0.0, 0.0, -0.0, 1.0, NAN, 0.0]), lit(ty, &[1.0, 0.0, 0.0, 0.0, 1.0, 5.0]));
        let quarter = if ty == "f32[6]" { std::f32::consts::FRAC_PI_2.into() } else { std::f64::consts::FRAC_PI_2 };
        check("atan2(%0, %1)", &[y, x], &[lit(ty, &[0.0, 0.0, -0.0, quarter, NAN, 0.0])]);
    }
}

#[test]
fn extrema() {
    for ty in ["f32[4]", "f64[4]"] {
        let (x, y) = (lit(ty, &[0.0, -0.0, NAN, 1.0]), lit(ty, &[-0.0, 0.0, 1.0, NAN]));
        check("maximum(%0, %1)", &[x.clone(), y.clone()], &[lit(ty, &[0.0, 0.0, NAN, NAN])]);
        check("minimum(%0, %1)", &[x, y], &[lit(ty, &[-0.0, -0.0, NAN, NAN])]);
    }
    let (x, y) = (lit("bool[4]", &[0.0, 0.0, 1.0, 1.0]), lit("bool[4]", &[0.0, 1.0, 0.0, 1.0]));
    check("maximum(%0, %1)", &[x.clone(), y.clone()], &[lit("bool[4]", &[0.0, 1.0, 1.0, 1.0])]);
    check("minimum(%0, %1)", &[x, y], &[lit("bool[4]", &[0.0, 0.0, 0.0, 1.0])]);
    check("maximum(%0, %1)", &[lit("u8[1]", &[200.0]), lit("u8[1]", &[100.0])], &[lit("u8[1]", &[200.0])]);
    check("minimum(%0, %1)", &[lit("i8[1]", &[-100.0]), lit("i8[1]", &[100.0])], &[lit("i8[1]", &[-100.0])]);
}

#[test]
fn bits_and_shifts() {
    for (op, ints, bools) in [
        ("and", 0b1000, [0.0, 0.0, 0.0, 1.0]),
        ("or", 0b1110, [0.0, 1.0, 1.0, 1.0]),
        ("xor", 0b0110, [0.0, 1.0, 1.0, 0.0]),
    ] {
        let node = format!("{op}(%0, %1)");
        check(&node, &[lit("u32[]", &[12.0]), lit("u32[]", &[10.0])], &[lit("u32[]", &[ints.into()])]);
        let (x, y) = (lit("bool[4]", &[0.0, 0.0, 1.0, 1.0]), lit("bool[4]", &[0.0, 1.0, 0.0, 1.0]));
        check(&node, &[x, y], &[lit("bool[4]", &bools)]);
    }
    let (x, y) = (lit("i8[4]", &[-8.0, 100.0, 1.0, 1.0]), lit("i8[4]", &[1.0, 1.0, -1.0, 8.0]));
    check("shift_left(%0, %1)", &[x, y], &[lit("i8[4]", &[-16.0, -56.0, 0.0, 0.0])]);
    let (x, y) = (lit("i8[4]", &[-8.0, 8.0, -8.0, -8.0]), lit("i8[4]", &[1.0, 1.0, 8.0, -3.0]));
    check("shift_right_logical(%0, %1)", &[x.clone(), y.clone()], &[lit("i8[4]", &[124.0, 4.0, 0.0, 0.0])]);
    check("shift_right_arithmetic(%0, %1)", &[x, y], &[lit("i8[4]", &[-4.0, 4.0, -1.0, -1.0])]);
    let (x, y) = (lit("u8[3]", &[200.0, 8.0, 200.0]), lit("u8[3]", &[1.0, 1.0, 9.0]));
    check("shift_right_logical(%0, %1)", &[x.clone(), y.clone()], &[lit("u8[3]", &[100.0, 4.0, 0.0])]);
    check("shift_right_arithmetic(%0, %1)", &[x, y], &[lit("u8[3]", &[228.0, 4.0, 255.0])]);
}

#[test]
fn comparisons_and_selection() {
    let table = [
        ("equal", [0.0, 1.0, 0.0, 0.0]),
        ("not_equal", [1.0, 0.0, 1.0, 1.0]),
        ("less", [1.0, 0.0, 0.0, 0.0]),
        ("less_equal", [1.0, 1.0, 0.0, 0.0]),
        ("greater", [0.0, 0.0, 1.0, 0.0]),
        ("greater_equal", [0.0, 1.0, 1.0, 0.0]),
    ];
    for (op, want) in table {
        let node = format!("{op}(%0, %1)");
        for ty in ["f32", "f64"] {
            let x = lit(&format!("{ty}[4]"), &[1.0, -0.0, 3.0, NAN]);
            let y = lit(&format!("{ty}[4]"), &[2.0, 0.0, 2.0, NAN]);
            check(&node, &[x, y], &[lit("bool[4]", &want)]);
        }
        for ty in ["i8", "u64", "bool"] {
            let x = lit(&format!("{ty}[3]"), &[0.0, 1.0, 1.0]);
            let y = lit(&format!("{ty}[3]"), &[1.0, 1.0, 0.0]);
            check(&node, &[x, y], &[lit("bool[3]", &want[..3])]);
        }
    }
    let p = lit("bool[2]", &[1.0, 0.0]);
    check("select(%0, %1, %1)", &[p.clone(), lit("u8[2]", &[1.0, 2.0])], &[lit("u8[2]", &[1.0, 2.0])]);
    check(
        "select(%0, %1, %2)",
        &[p, lit("f64[2]", &[1.0, 2.0]), lit("f64[2]", &[3.0, 4.0])],
        &[lit("f64[2]", &[1.0, 4.0])],
    );
}

#[test]
fn conversions() {
    let x = lit("f32[7]", &[1.9, -1.9, 3e9, -3e9, NAN, INF, -0.0]);
    let (max, min) = (2147483647.0, -2147483648.0);
    check("convert(%0) {dtype = i32}", &[x.clone()], &[lit("i32[7]", &[1.0, -1.0, max, min, 0.0, max, 0.0])]);
    check("convert(%0) {dtype = u8}", &[x.clone()], &[lit("u8[7]", &[1.0, 0.0, 255.0, 0.0, 0.0, 255.0, 0.0])]);
    check("convert(%0) {dtype = bool}", &[x.clone()], &[lit("bool[7]", &[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0])]);
    check("convert(%0) {dtype = i8}", &[lit("i32[3]", &[300.0, -129.0, 5.0])], &[lit("i8[3]", &[44.0, 127.0, 5.0])]);
    check("convert(%0) {dtype = u64}", &[lit("i8[1]", &[-1.0])], &[Literal::new(&[1], &[u64::MAX])]);
    check("convert(%0) {dtype = f32}", &[Literal::new(&[1], &[u64::MAX])], &[lit("f32[1]", &[18446744073709551616.0])]);
    // rounded once: by way of f64 this would be 2^60
    check(
        "convert(%0) {dtype = f32}",
        &[Literal::new(&[1], &[(1i64 << 60) + (1 << 36) + 1])],
        &[Literal::new(&[1], &[1.1529216e18f32])],
    );
    check("convert(%0) {dtype = f32}", &[lit("f64[2]", &[1e300, 0.1])], &[lit("f32[2]", &[INF, 0.1])]);
    check("convert(%0) {dtype = i32}", &[lit("bool[2]", &[0.0, 1.0])], &[lit("i32[2]", &[0.0, 1.0])]);
    check("convert(%0) {dtype = bool}", &[lit("i8[2]", &[0.0, -4.0])], &[lit("bool[2]", &[0.0, 1.0])]);
    check("bitcast_convert(%0) {dtype = u32}", &[lit("f32[1]", &[1.0])], &[lit("u32[1]", &[f64::from(0x3f80_0000)])]);
    check("bitcast_convert(%0) {dtype = i8}", &[lit("u8[1]", &[255.0])], &[lit("i8[1]", &[-1.0])]);
}

/// Known answers of the authors' Random123.
#[test]
fn threefry_known_answers() {
    let all = u32::MAX;
    assert_eq!(threefry2x32([0, 0], [0, 0]), [0x6b20_0159, 0x99ba_4efe]);
    assert_eq!(threefry2x32([all, all], [all, all]), [0x1cb9_96fc, 0xbb00_2be7]);
    assert_eq!(threefry2x32([0x1319_8a2e, 0x0370_7344], [0x243f_6a88, 0x85a3_08d3]), [0xc492_3a9c, 0x483d_f7a0]);
    let args = [0x1319_8a2eu32, 0x0370_7344, 0x243f_6a88, 0x85a3_08d3].map(|x| Literal::new(&[1], &[x]));
    check("threefry2x32(%0, %1, %2, %3) {lane = 0}", &args, &[Literal::new(&[1], &[0xc492_3a9cu32])]);
    check("threefry2x32(%0, %1, %2, %3) {lane = 1}", &args, &[Literal::new(&[1], &[0x483d_f7a0u32])]);
}

/// The interpreter takes exactly the dtypes the op table accepts.
#[test]
fn every_accepted_dtype_is_computed() {
    for dtype in DType::ALL {
        with_element!(dtype, T => {
            let one = <T as ScalarOps>::narrow(Wide::Int(1));
            // ops into another dtype are no functions of `ScalarOps`
            let same = |accepts: bool, result: DType| !accepts || result == dtype;
            for &op in Unary::ALL.iter().filter(|op| same(op.accepts(dtype), op.result(dtype))) {
                assert_eq!(<T as ScalarOps>::unary(op, one).is_some(), op.accepts(dtype), "{op:?} {dtype}");
            }
            for &op in Binary::ALL.iter().filter(|op| same(op.accepts(dtype), op.result(dtype))) {
                let defined = <T as ScalarOps>::binary(op, one, one).is_some();
                // sums and products of bool serve scatter
                let extra = dtype == DType::Bool && matches!(op, Binary::Add | Binary::Mul);
                assert_eq!(defined, op.accepts(dtype) || extra, "{op:?} {dtype}");
            }
        });
    }
}
