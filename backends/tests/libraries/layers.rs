//! Linear layers by cuBLASLt: products with what is done to their numbers before they are stored.

use super::{check, check_text, gpu, graph, oracle};
use gradloom_ir::{Builder, Graph, Literal, Value, eval::eval};
use gradloom_passes::Pipeline;
use gradloom_passes::transform::{linearize, transpose};

/// Relative to the larger of 1 and the result; the interpreter rounds after each op.
fn tolerance(dtype: &str) -> f64 {
    match dtype {
        "f32" => 2e-5,
        "f16" => 2e-2,
        _ => 1e-1,
    }
}

/// Shapes of left, right, bias and result, the axes of the product, and those of the result that the bias has.
type Form = (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str);

const MATRICES: &str = "lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]";
const BATCHES: &str = "lhs_batch = [0], rhs_batch = [0], lhs_contract = [2], rhs_contract = [1]";

/// Forms of which a library computes all.
const TAKEN: &[Form] = &[
    ("5,7", "7,6", "6", "5,6", MATRICES, "1"),
    ("5,7", "6,7", "6", "5,6", "lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [1]", "1"),
    ("7,5", "7,6", "6", "5,6", "lhs_batch = [], rhs_batch = [], lhs_contract = [0], rhs_contract = [0]", "1"),
    ("2,5,7", "7,6", "6", "2,5,6", "lhs_batch = [], rhs_batch = [], lhs_contract = [2], rhs_contract = [0]", "2"),
    ("5,7", "7,3,2", "3,2", "5,3,2", MATRICES, "1, 2"),
    // one row, one column
    ("1,7", "7,6", "6", "1,6", MATRICES, "1"),
    ("5,7", "7,1", "1", "5,1", MATRICES, "1"),
    // the same numbers for a batch, and others for each of its products
    ("3,5,7", "3,7,6", "6", "3,5,6", BATCHES, "2"),
    ("3,5,7", "3,7,6", "3,6", "3,5,6", BATCHES, "0, 2"),
    // a factor that is laid out before
    ("5,7,3", "3,7,6", "6", "3,5,6", "lhs_batch = [2], rhs_batch = [0], lhs_contract = [1], rhs_contract = [1]", "2"),
];

/// Forms whose bias is none for a library: along the rows, a matrix, one number for all.
const LEFT: &[Form] = &[
    ("5,7", "7,6", "5", "5,6", MATRICES, "0"),
    ("5,7", "7,6", "5,6", "5,6", MATRICES, "0, 1"),
    ("5,7", "7,6", "", "5,6", MATRICES, ""),
    ("3,5,7", "3,7,6", "3", "3,5,6", BATCHES, "0"),
];

/// How a rectifier of `%x` is written: as `stdlib` has it, otherwise, and as the maximum.
const RELUS: &[&str] = &[
    "%c = less_equal(%x, %z) : bool[S] %y = select(%c, %z, %x) : D[S]",
    "%c = greater(%z, %x) : bool[S] %y = select(%c, %z, %x) : D[S]",
    "%y = maximum(%x, %z) : D[S]",
];

/// A layer of a form, with or without bias, and with what follows.
fn layer(&(l, r, bias, out, axes, dims): &Form, dtype: &str, has_bias: bool, relu: Option<&str>) -> String {
    let sum = match has_bias {
        true => format!(
            "%4 = broadcast_in_dim(%2) {{shape = [{out}], dims = [{dims}]}} : {dtype}[{out}]
             %5 = add(%3, %4) : {dtype}[{out}]"
        ),
        false => String::new(),
    };
    let x = if has_bias { 5 } else { 3 };
    let rest = match relu {
        Some(relu) => {
            let value = |i: usize| format!("%{}", x + i);
            let relu = relu.replace("%x", &value(0)).replace("%z", &value(2)).replace("%c", &value(3));
            let last = if relu.contains("select") { 4 } else { 3 };
            let relu = relu.replace("%y", &value(last)).replace('S', out).replace('D', dtype);
            format!(
                "{} = constant() {{value = dense<0.0 : {dtype}[]>}} : {dtype}[]
                 {} = broadcast_in_dim({}) {{shape = [{out}], dims = []}} : {dtype}[{out}]
                 {relu}
                 return {}",
                value(1),
                value(2),
                value(1),
                value(last)
            )
        }
        None => format!("return %{x}"),
    };
    format!(
        "graph(%0: {dtype}[{l}], %1: {dtype}[{r}], %2: {dtype}[{bias}]) {{
            %3 = dot_general(%0, %1) {{{axes}}} : {dtype}[{out}]
            {sum}
            {rest} }}"
    )
}

/// Whether a program is one call, without kernels but those that lay factors out.
fn is_one_call(schedule: &str) -> bool {
    let of = |what: &str| schedule.lines().filter(|l| l.starts_with(what)).count();
    of("library dot_general") == 1 && of("kernel") == of("kernel lay_out")
}

#[test]
fn layers_of_every_float_are_one_call() {
    let Some(gpu) = gpu() else { return };
    for dtype in ["f32", "f16", "bf16"] {
        for form in TAKEN {
            for (has_bias, relu) in [(true, None), (true, Some(RELUS[0])), (false, Some(RELUS[0]))] {
                let text = layer(form, dtype, has_bias, relu);
                let schedule = check_text(gpu, &text, tolerance(dtype));
                assert!(is_one_call(&schedule), "{text}\n{schedule}");
            }
        }
    }
    for relu in RELUS {
        let text = layer(&TAKEN[0], "f32", true, Some(relu));
        let schedule = check_text(gpu, &text, 2e-5);
        assert!(is_one_call(&schedule), "{text}\n{schedule}");
    }
}

#[test]
fn other_sums_stay_kernels() {
    let Some(gpu) = gpu() else { return };
    for form in LEFT {
        let text = layer(form, "f32", true, None);
        let schedule = check_text(gpu, &text, 2e-5);
        assert!(!is_one_call(&schedule) && schedule.contains("bias: None"), "{text}\n{schedule}");
    }
    // no library does this in f64
    let text = layer(&TAKEN[0], "f64", true, Some(RELUS[0]));
    let schedule = check_text(gpu, &text, 1e-13);
    assert!(!is_one_call(&schedule), "{text}\n{schedule}");
    // what is 0 where its argument is NaN is no rectifier of the library's
    let other = "%c = greater(%x, %z) : bool[S] %y = select(%c, %x, %z) : D[S]";
    let text = layer(&TAKEN[0], "f32", true, Some(other));
    let schedule = check_text(gpu, &text, 2e-5);
    assert!(schedule.contains("relu: false") && schedule.contains("bias: Some"), "{text}\n{schedule}");
}

/// A sum that others read, too, is stored: the bias is absorbed, and the rectifier is not. What only asks where it is above 0 asks
/// the rectifier's result.
#[test]
fn other_readers() {
    let Some(gpu) = gpu() else { return };
    for (rest, relu) in
        [("return %9, %5", false), ("%10 = tanh(%5) : f32[5,6] return %9, %10", false), ("return %9, %8", true)]
    {
        let text = layer(&TAKEN[0], "f32", true, Some(RELUS[0])).replace("return %9", rest);
        let schedule = check_text(gpu, &text, 2e-5);
        let of = format!("relu: {relu}");
        assert!(schedule.contains("bias: Some") && schedule.contains(&of), "{text}\n{schedule}");
    }
    let text = layer(&TAKEN[0], "f32", true, None).replace("return %5", "return %5, %3");
    let schedule = check_text(gpu, &text, 2e-5);
    assert!(schedule.contains("bias: None"), "{text}\n{schedule}");
}

/// The library's algorithms that make 0 of NaN are not taken, whether there is one choice or several.
#[test]
fn nan_stays_nan() {
    let Some(gpu) = gpu() else { return };
    for form in [&TAKEN[0], &("170,170", "170,170", "170", "170,170", MATRICES, "1")] {
        let g = graph(&layer(form, "f32", true, Some(RELUS[0])));
        let mut inputs = oracle::inputs(7, &g, false);
        let ty = inputs[2].ty().clone();
        let mut bias = inputs[2].to_f64();
        bias[3] = f64::NAN;
        let bytes = bias.iter().flat_map(|&x| (x as f32).to_ne_bytes()).collect();
        inputs[2] = Literal::from_bytes(ty, bytes).unwrap_or_else(|| panic!("a bias"));
        let expected = eval(&g, &inputs).unwrap_or_else(|e| panic!("{e}"));
        assert!(expected[0].to_f64()[3].is_nan());
        assert!(is_one_call(&check(gpu, &g, &inputs, 1e-4)));
    }
}

/// Rows of a loop begin anywhere a number may; biases do, too.
#[test]
fn layers_in_loops() {
    let Some(gpu) = gpu() else { return };
    let text = "graph(%0: f32[7,5], %1: f32[5,5], %2: f32[4,5]) {
        %3, %4 = scan(%1, %0, %2) {body = graph(%0: f32[5,5], %1: f32[7,5], %2: f32[5]) {
            %3 = dot_general(%1, %0) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[7,5]
            %4 = broadcast_in_dim(%2) {shape = [7, 5], dims = [1]} : f32[7,5]
            %5 = add(%3, %4) : f32[7,5]
            %6 = tanh(%5) : f32[7,5]
            return %6, %5
        }, length = 4, reverse = false, consts = 1, carry = 1} : f32[7,5], f32[4,7,5]
        return %3, %4 }";
    let schedule = check_text(gpu, text, 1e-4);
    assert!(schedule.contains("bias: Some"), "{schedule}");
}

/// Two layers and the mean of squares, with the gradient with respect to all weights.
fn training(dtype: &str) -> Graph {
    let text = format!(
        "graph(%0: {dtype}[9,5], %1: {dtype}[5,8], %2: {dtype}[8], %3: {dtype}[8,4], %4: {dtype}[4]) {{
            %5 = dot_general(%0, %1) {{{MATRICES}}} : {dtype}[9,8]
            %6 = broadcast_in_dim(%2) {{shape = [9, 8], dims = [1]}} : {dtype}[9,8]
            %7 = add(%5, %6) : {dtype}[9,8]
            %8 = constant() {{value = dense<0.0 : {dtype}[]>}} : {dtype}[]
            %9 = broadcast_in_dim(%8) {{shape = [9, 8], dims = []}} : {dtype}[9,8]
            %10 = less_equal(%7, %9) : bool[9,8]
            %11 = select(%10, %9, %7) : {dtype}[9,8]
            %12 = dot_general(%11, %3) {{{MATRICES}}} : {dtype}[9,4]
            %13 = broadcast_in_dim(%4) {{shape = [9, 4], dims = [1]}} : {dtype}[9,4]
            %14 = add(%12, %13) : {dtype}[9,4]
            return %14 }}"
    );
    let g = graph(&text);
    let lin = linearize(&g, &[true; 5]).unwrap_or_else(|e| panic!("{e}"));
    let linear: Vec<bool> = (0..lin.linear.num_inputs()).map(|i| i >= lin.residuals).collect();
    let back = transpose(&lin.linear, &linear).unwrap_or_else(|e| panic!("{e}")).graph;
    let (mut b, inputs) = Builder::with_inputs(&g.input_types());
    let made = b.inline(&lin.primal, &inputs).unwrap_or_else(|e| panic!("{e}"));
    let (results, residuals) = made.split_at(1);
    let twice: Value = b.scale(results[0], 2.0 / 36.0);
    let gradient = b.inline(&back, &[residuals, &[twice]].concat()).unwrap_or_else(|e| panic!("{e}"));
    let mut g = b.finish(&[results, &gradient].concat()).unwrap_or_else(|e| panic!("{e}"));
    Pipeline::standard().run(&mut g).unwrap_or_else(|e| panic!("{e}"));
    g
}

/// In a step of training the gradient asks the rectifier's result where it is above 0.
#[test]
fn a_step_of_training() {
    let Some(gpu) = gpu() else { return };
    for dtype in ["f32", "f16", "bf16"] {
        let g = training(dtype);
        let schedule = check(gpu, &g, &oracle::inputs(11, &g, false), tolerance(dtype));
        let with = |what: &str| schedule.lines().filter(|l| l.contains("library") && l.contains(what)).count();
        assert_eq!((with("bias: Some"), with("relu: true")), (2, 1), "{g}\n{schedule}");
    }
}

/// What is made ready for a product is shared, and each call has its own bias, also when it is captured.
#[test]
fn layers_of_one_shape() {
    let Some(gpu) = gpu() else { return };
    let text = format!(
        "graph(%0: f32[6,6], %1: f32[6,6], %2: f32[6], %3: f32[6]) {{
            %4 = dot_general(%0, %1) {{{MATRICES}}} : f32[6,6]
            %5 = broadcast_in_dim(%2) {{shape = [6, 6], dims = [1]}} : f32[6,6]
            %6 = add(%4, %5) : f32[6,6]
            %7 = dot_general(%6, %1) {{{MATRICES}}} : f32[6,6]
            %8 = broadcast_in_dim(%3) {{shape = [6, 6], dims = [1]}} : f32[6,6]
            %9 = add(%8, %7) : f32[6,6]
            return %9 }}"
    );
    assert!(is_one_call(&check_text(gpu, &text, 1e-4)));
}
