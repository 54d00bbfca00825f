//! Compiled programs against the interpreter.

use gradloom_backends::{Buffer, Device, compile_for};
use gradloom_ir::{Literal, Result, Type, parse};
use std::sync::Arc;

fn pseudo_random(ty: &Type, seed: u64) -> Literal {
    let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 40) as f64 / (1u64 << 24) as f64 * 4.0 - 2.0
    };
    let mut bytes = Vec::new();
    for _ in 0..ty.numel() {
        bytes.extend_from_slice(Literal::scalar(ty.dtype, next()).bytes());
    }
    Literal::from_bytes(ty.clone(), bytes).expect("as many bytes as the type has")
}

/// Runs a program both ways; sums may round differently.
#[track_caller]
fn check(text: &str) {
    let run = || -> Result<()> {
        let g = parse(text)?;
        let args: Vec<Arc<Buffer>> = g
            .input_types()
            .iter()
            .enumerate()
            .map(|(i, t)| Arc::new(Buffer::from_bytes(pseudo_random(t, i as u64 + 1).bytes())))
            .collect();
        let expected = compile_for(&g, Device::Interp)?.run(&args)?;
        let exe = compile_for(&g, Device::Cpu)?;
        let owned = || args.iter().map(|a| Arc::new(Buffer::from_bytes(a.bytes()))).collect();
        for got in [exe.run(&args)?, exe.run(&args)?, exe.run_donating(owned(), 0)?] {
            for ((e, a), t) in expected.iter().zip(&got).zip(g.output_types()) {
                let e = Literal::from_bytes(t.clone(), e.bytes().to_vec()).expect("fits").to_f64();
                let a = Literal::from_bytes(t.clone(), a.bytes().to_vec()).expect("fits").to_f64();
                for (x, y) in e.iter().zip(&a) {
                    let close = (x - y).abs() <= 1e-5 * x.abs().max(1.0) || x.to_bits() == y.to_bits();
                    assert!(close, "{text}\nexpected {e:?}\ngot {a:?}\n{}", exe.schedule());
                }
            }
        }
        Ok(())
    };
    run().unwrap_or_else(|e| panic!("{e}\n{text}"));
}

#[test]
fn elementwise_chains_with_broadcasts_transposes_and_slices() {
    check(
        "graph(%0: f32[5,7], %1: f32[7]) {
        %2 = broadcast_in_dim(%1) {shape = [5, 7], dims = [1]} : f32[5,7]
        %3 = add(%0, %2) : f32[5,7]
        %4 = tanh(%3) : f32[5,7]
        %5 = transpose(%4) {perm = [1, 0]} : f32[7,5]
        %6 = slice(%5) {start = [1, 0], limit = [7, 5], stride = [2, 1]} : f32[3,5]
        %7 = reverse(%6) {axes = [1]} : f32[3,5]
        %8 = reshape(%7) {shape = [15]} : f32[15]
        %9 = multiply(%8, %8) : f32[15]
        return %4, %9, %8, %0
    }",
    );
}

#[test]
fn softmax_with_shared_exponentials() {
    check(
        "graph(%0: f32[9,33]) {
        %1 = reduce(%0) {kind = \"max\", axes = [1]} : f32[9]
        %2 = broadcast_in_dim(%1) {shape = [9, 33], dims = [0]} : f32[9,33]
        %3 = subtract(%0, %2) : f32[9,33]
        %4 = exponential(%3) : f32[9,33]
        %5 = reduce(%4) {kind = \"sum\", axes = [1]} : f32[9]
        %6 = broadcast_in_dim(%5) {shape = [9, 33], dims = [0]} : f32[9,33]
        %7 = divide(%4, %6) : f32[9,33]
        return %7
    }",
    );
}

#[test]
fn reductions_share_a_pass_and_have_epilogues() {
    check(
        "graph(%0: f32[8,16,4]) {
        %1 = multiply(%0, %0) : f32[8,16,4]
        %2 = reduce(%0) {kind = \"sum\", axes = [1]} : f32[8,4]
        %3 = reduce(%1) {kind = \"sum\", axes = [1]} : f32[8,4]
        %4 = constant() {value = dense<0.0625 : f32[]>} : f32[]
        %5 = broadcast_in_dim(%4) {shape = [8, 4], dims = []} : f32[8,4]
        %6 = multiply(%2, %5) : f32[8,4]
        %7 = multiply(%6, %6) : f32[8,4]
        %8 = multiply(%3, %5) : f32[8,4]
        %9 = subtract(%8, %7) : f32[8,4]
        %10 = reduce(%0) {kind = \"max\", axes = [0, 1, 2]} : f32[]
        %11 = reduce(%0) {kind = \"sum\", axes = [0, 2]} : f32[16]
        return %6, %9, %10, %11
    }",
    );
}

#[test]
fn matrix_products_with_bias_and_mask() {
    check(
        "graph(%0: f32[6,5], %1: f32[5,4], %2: f32[4]) {
        %3 = dot_general(%0, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[6,4]
        %4 = broadcast_in_dim(%2) {shape = [6, 4], dims = [1]} : f32[6,4]
        %5 = add(%3, %4) : f32[6,4]
        %6 = constant() {value = dense<0.0 : f32[]>} : f32[]
        %7 = broadcast_in_dim(%6) {shape = [6, 4], dims = []} : f32[6,4]
        %8 = maximum(%5, %7) : f32[6,4]
        %9 = greater(%5, %7) : bool[6,4]
        %10 = select(%9, %8, %7) : f32[6,4]
        return %8, %10, %9
    }",
    );
}

#[test]
fn scans_carry_stack_and_reverse() {
    for reverse in ["true", "false"] {
        for length in [0, 1, 2, 5] {
            check(&format!(
                "graph(%0: f32[3], %1: f32[3], %2: f32[{length},3]) {{
                %3, %4, %5 = scan(%0, %1, %1, %2) {{body = graph(%0: f32[3], %1: f32[3], %2: f32[3], %3: f32[3]) {{
                    %4 = multiply(%1, %0) : f32[3]
                    %5 = add(%4, %3) : f32[3]
                    %6 = sine(%5) : f32[3]
                    return %2, %5, %6
                }}, length = {length}, reverse = {reverse}, consts = 1, carry = 2}} : f32[3], f32[3], f32[{length},3]
                return %3, %4, %5
            }}"
            ));
        }
    }
}

#[test]
fn loops_run_until_their_condition_fails() {
    check(
        "graph(%0: f32[], %1: f32[4]) {
        %2, %3 = while(%0, %1) {cond = graph(%0: f32[], %1: f32[4]) {
            %2 = constant() {value = dense<10.0 : f32[]>} : f32[]
            %3 = less(%0, %2) : bool[]
            return %3
        }, body = graph(%0: f32[], %1: f32[4]) {
            %2 = constant() {value = dense<1.5 : f32[]>} : f32[]
            %3 = add(%0, %2) : f32[]
            %4 = cosine(%1) : f32[4]
            return %3, %4
        }, cond_consts = 0, body_consts = 0} : f32[], f32[4]
        return %2, %3
    }",
    );
}

#[test]
fn branches_are_chosen_and_updates_happen_in_place() {
    check(
        "graph(%0: i32[], %1: f32[4], %2: f32[2]) {
        %3 = switch(%0, %1) {branches = [graph(%0: f32[4]) {
            %1 = sine(%0) : f32[4]
            return %1
        }, graph(%0: f32[4]) {
            return %0
        }]} : f32[4]
        %4 = dynamic_update_slice(%3, %2, %0) : f32[4]
        %5 = dynamic_update_slice(%4, %2, %0) : f32[4]
        return %5
    }",
    );
}

#[test]
fn empty_arrays_and_scalars() {
    check(
        "graph(%0: f32[0,3], %1: f32[]) {
        %2 = reduce(%0) {kind = \"sum\", axes = [0]} : f32[3]
        %3 = broadcast_in_dim(%1) {shape = [0, 3], dims = []} : f32[0,3]
        %4 = add(%0, %3) : f32[0,3]
        %5 = exponential(%1) : f32[]
        %6 = reshape(%5) {shape = [1, 1]} : f32[1,1]
        return %2, %4, %5, %6
    }",
    );
}

#[test]
fn an_op_without_compiled_form_is_named() {
    let g = parse("graph(%0: f32[2]) { %1 = all_reduce(%0) {kind = \"sum\", axis_name = \"i\"} : f32[2] return %1 }");
    let e = compile_for(&g.expect("parses"), Device::Cpu).err().expect("refused");
    assert!(e.to_string().contains("no mapped axis is named \"i\""), "{e}");
}

/// Every op that loops are taken apart at, forwards and backwards, with rows read and written.
#[test]
fn loops_over_few_numbers_are_one_kernel() {
    for reverse in [false, true] {
        let scan = format!(
            "graph(%0: f32[2,3], %1: f32[3], %2: i32[], %3: f32[5,3], %4: f64[5,2]) {{
            %5, %6, %7, %8 = scan(%0, %1, %2, %3, %4) {{body = graph(%0: f32[2,3], %1: f32[3], %2: i32[], %3: f32[3], %4: f64[2]) {{
                %5 = dot_general(%0, %1) {{lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]}} : f32[2]
                %6 = constant() {{value = dense<0.25 : f32[]>}} : f32[]
                %7 = pad(%5, %6) {{low = [1], high = [2], interior = [1]}} : f32[6]
                %8 = slice(%7) {{start = [0], limit = [6], stride = [2]}} : f32[3]
                %9 = reverse(%3) {{axes = [0]}} : f32[3]
                %10 = add(%8, %9) : f32[3]
                %11 = tanh(%10) : f32[3]
                %12 = broadcast_in_dim(%11) {{shape = [2, 3], dims = [1]}} : f32[2,3]
                %13 = multiply(%12, %0) : f32[2,3]
                %14 = transpose(%13) {{perm = [1, 0]}} : f32[3,2]
                %15 = reduce(%14) {{kind = \"max\", axes = [1]}} : f32[3]
                %16 = reduce(%14) {{kind = \"sum\", axes = [0, 1]}} : f32[]
                %17 = broadcast_in_dim(%16) {{shape = [3], dims = []}} : f32[3]
                %18 = less(%15, %17) : bool[3]
                %19 = select(%18, %11, %15) : f32[3]
                %20 = constant() {{value = dense<1 : i32[]>}} : i32[]
                %21 = add(%2, %20) : i32[]
                %22 = convert(%21) {{dtype = f64}} : f64[]
                %23 = broadcast_in_dim(%22) {{shape = [2], dims = []}} : f64[2]
                %24 = iota() {{dtype = f64, shape = [2], axis = 0}} : f64[2]
                %25 = multiply(%23, %4) : f64[2]
                %26 = add(%25, %24) : f64[2]
                %27 = concatenate(%26, %4) {{axis = 0}} : f64[4]
                %28 = reshape(%27) {{shape = [2, 2]}} : f64[2,2]
                return %19, %21, %28, %18
            }}, length = 5, reverse = {reverse}, consts = 1, carry = 2}} : f32[3], i32[], f64[5,2,2], bool[5,3]
            return %5, %6, %7, %8
            }}"
        );
        check(&scan);
        assert!(schedule(&scan).contains("kernel scan"), "{}", schedule(&scan));
    }
    let newton = "graph(%0: f64[], %1: f64[2]) {
        %2, %3 = while(%0, %0, %1, %0) {cond = graph(%0: f64[], %1: f64[2], %2: f64[]) {
            %3 = multiply(%1, %1) : f64[2]
            %4 = reduce(%3) {kind = \"sum\", axes = [0]} : f64[]
            %5 = constant() {value = dense<1000.0 : f64[]>} : f64[]
            %6 = less(%4, %5) : bool[]
            return %6
        }, body = graph(%0: f64[], %1: f64[2], %2: f64[]) {
            %3 = broadcast_in_dim(%0) {shape = [2], dims = []} : f64[2]
            %4 = abs(%3) : f64[2]
            %5 = add(%1, %4) : f64[2]
            %6 = constant() {value = dense<1.0 : f64[]>} : f64[]
            %7 = add(%2, %6) : f64[]
            %8 = broadcast_in_dim(%6) {shape = [2], dims = []} : f64[2]
            %9 = add(%5, %8) : f64[2]
            return %9, %7
        }, cond_consts = 1, body_consts = 1} : f64[2], f64[]
        return %2, %3
        }";
    check(newton);
    assert!(schedule(newton).contains("kernel while"), "{}", schedule(newton));
}

fn schedule(text: &str) -> String {
    let g = parse(text).unwrap_or_else(|e| panic!("{e}"));
    compile_for(&g, Device::Cpu).unwrap_or_else(|e| panic!("{e}")).schedule()
}

#[test]
fn transposes_of_what_is_stored_and_of_what_is_not() {
    check(
        "graph(%0: f32[40,33], %1: f32[3,40,20]) {
        %2 = transpose(%0) {perm = [1, 0]} : f32[33,40]
        %3 = exponential(%2) : f32[33,40]
        %4 = transpose(%3) {perm = [1, 0]} : f32[40,33]
        %5 = add(%4, %0) : f32[40,33]
        %6 = transpose(%1) {perm = [2, 0, 1]} : f32[20,3,40]
        %7 = transpose(%1) {perm = [1, 0, 2]} : f32[40,3,20]
        %8 = reshape(%0) {shape = [20, 66]} : f32[20,66]
        %9 = transpose(%8) {perm = [1, 0]} : f32[66,20]
        return %2, %3, %5, %6, %7, %9
    }",
    );
}

#[test]
fn large_transposes_stand_by_themselves() {
    let program = |rows: usize| {
        format!(
            "graph(%0: f32[{rows},64], %1: f32[64,{rows}]) {{
            %2 = transpose(%0) {{perm = [1, 0]}} : f32[64,{rows}]
            %3 = exponential(%2) : f32[64,{rows}]
            %4 = add(%3, %1) : f32[64,{rows}]
            %5 = tanh(%0) : f32[{rows},64]
            %6 = transpose(%5) {{perm = [1, 0]}} : f32[64,{rows}]
            %7 = multiply(%6, %1) : f32[64,{rows}]
            return %4, %7 }}"
        )
    };
    for (rows, alone) in [(80, 2), (8, 0)] {
        check(&program(rows));
        let schedule = schedule(&program(rows));
        assert_eq!(schedule.matches("library transpose").count(), alone, "{schedule}");
    }
}

#[test]
fn pairs_of_points() {
    for (axis, out) in [(2, "300,40"), (1, "300,3"), (0, "40,3")] {
        let program = format!(
            "graph(%0: f32[300,3], %1: f32[40,3]) {{
            %2 = broadcast_in_dim(%0) {{shape = [300, 40, 3], dims = [0, 2]}} : f32[300,40,3]
            %3 = broadcast_in_dim(%1) {{shape = [300, 40, 3], dims = [1, 2]}} : f32[300,40,3]
            %4 = subtract(%2, %3) : f32[300,40,3]
            %5 = multiply(%4, %4) : f32[300,40,3]
            %6 = reduce(%5) {{kind = \"sum\", axes = [{axis}]}} : f32[{out}]
            %7 = sqrt(%6) : f32[{out}]
            return %7 }}"
        );
        check(&program);
        let schedule = schedule(&program);
        assert!(schedule.contains("transpose"), "{schedule}");
    }
}

/// The rows of `%0` sorted; what the program after it reads of them is all that has to be right.
#[test]
fn sorts_of_which_a_part_is_read() {
    for rest in [
        "%4 = slice(%2) {start = [0, 90], limit = [7, 100], stride = [1, 1]} : f32[7,10]
         %5 = slice(%3) {start = [0, 95], limit = [7, 100], stride = [1, 2]} : i32[7,3]
         return %4, %5",
        "%4 = slice(%2) {start = [1, 0], limit = [3, 9], stride = [1, 1]} : f32[2,9]
         %5 = exponential(%4) : f32[2,9]
         return %5",
        "%4 = slice(%3) {start = [0, 40], limit = [7, 60], stride = [1, 1]} : i32[7,20]
         return %4",
        "%4 = slice(%2) {start = [0, 0], limit = [7, 1], stride = [1, 1]} : f32[7,1]
         %5 = reduce(%2) {kind = \"max\", axes = [1]} : f32[7]
         return %4, %5",
        "%4 = slice(%2) {start = [0, 0], limit = [7, 1], stride = [1, 1]} : f32[7,1]
         return %4, %3",
        "return %2",
        "return %0",
    ] {
        check(&format!(
            "graph(%0: f32[7,100], %1: i32[7,100]) {{
                %2, %3 = sort(%0, %1) {{axis = 1, num_keys = 1}} : f32[7,100], i32[7,100]
                {rest}
            }}"
        ));
    }
}

/// A sort whose second result nobody reads does not make or move its second operand.
#[test]
fn idle_operands_of_sorts_are_dropped() {
    let text = "graph(%0: f32[7,100]) {
        %1 = iota() {dtype = i32, shape = [7, 100], axis = 1} : i32[7,100]
        %2, %3 = sort(%0, %1) {axis = 1, num_keys = 1} : f32[7,100], i32[7,100]
        return %2
    }";
    check(text);
    let exe = compile_for(&parse(text).expect("parses"), Device::Cpu).expect("compiles");
    assert_eq!(exe.cost().kernels, 1, "{}", exe.schedule());
}

#[test]
fn numbers_that_arrays_are_updated_with_come_first() {
    // the correction stands between the mean and the step that reads both
    let text = "graph(%0: f32[100], %1: f32[100], %2: f32[100], %3: f32[90], %4: f32[90], %5: f32[90], %6: f32[]) {
        %7 = add(%0, %1) : f32[100]
        %8 = add(%3, %4) : f32[90]
        %9 = exponential(%6) : f32[]
        %10 = broadcast_in_dim(%9) {shape = [100], dims = []} : f32[100]
        %11 = divide(%7, %10) : f32[100]
        %12 = subtract(%2, %11) : f32[100]
        %13 = broadcast_in_dim(%9) {shape = [90], dims = []} : f32[90]
        %14 = divide(%8, %13) : f32[90]
        %15 = subtract(%5, %14) : f32[90]
        return %7, %8, %9, %12, %15
    }";
    check(text);
    let schedule = schedule(text);
    assert_eq!(schedule.lines().count(), 3, "{schedule}");
}

/// What is computed of a stored value at its index joins its loop nest, however many others stand between: the update of
/// each of many parameters after the means of all of them.
#[test]
fn late_users_join_the_kernel_of_what_they_use() {
    let n = 12;
    let inputs: Vec<String> = (0..3 * n).map(|i| format!("%{i}: f32[{},8]", 16 + i % n)).collect();
    let ty = |i: usize| format!("f32[{},8]", 16 + i % n);
    let sums: Vec<String> = (0..n).map(|i| format!("%{} = add(%{i}, %{}) : {}", 3 * n + i, n + i, ty(i))).collect();
    let products: Vec<String> =
        (0..n).map(|i| format!("%{} = multiply(%{}, %{}) : {}", 4 * n + i, 2 * n + i, 3 * n + i, ty(i))).collect();
    let outputs: Vec<String> = (3 * n..5 * n).map(|i| format!("%{i}")).collect();
    let text = format!(
        "graph({}) {{\n{}\n{}\nreturn {}\n}}",
        inputs.join(", "),
        sums.join("\n"),
        products.join("\n"),
        outputs.join(", ")
    );
    check(&text);
    let exe = compile_for(&parse(&text).expect("parses"), Device::Cpu).expect("compiles");
    assert_eq!(exe.cost().kernels, n, "{}", exe.schedule());
}

const PRODUCT: &str = "lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]";

/// A product with integers, which `rest` reads too or not.
fn product_with_integers(rest: &str) -> String {
    format!(
        "graph(%0: f32[6,70], %1: i8[70,90]) {{
        %2 = convert(%1) {{dtype = f32}} : f32[70,90]
        %3 = dot_general(%0, %2) {{{PRODUCT}}} : f32[6,90]
        {rest}
    }}"
    )
}

#[test]
fn integers_that_products_widen() {
    check(&product_with_integers("return %3"));
    check(&product_with_integers("%4 = tanh(%3) : f32[6,90] return %4, %3"));
    // others read them in f32, too
    check(&product_with_integers("%4 = tanh(%2) : f32[70,90] return %3, %4"));
    check(&product_with_integers("return %3, %2"));
    // twice, once in another shape
    let by_rows = "lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [1]";
    check(&product_with_integers(&format!(
        "%4 = tanh(%3) : f32[6,90]
        %5 = dot_general(%4, %2) {{{by_rows}}} : f32[6,70]
        %6 = reshape(%1) {{shape = [90, 70]}} : i8[90,70]
        %7 = convert(%6) {{dtype = f32}} : f32[90,70]
        %8 = dot_general(%7, %0) {{{by_rows}}} : f32[90,6]
        return %5, %8"
    )));
    // computed integers, and integers on both sides
    check(&format!(
        "graph(%0: f32[6,70], %1: i8[70,90], %2: i8[6,70]) {{
        %3 = add(%1, %1) : i8[70,90]
        %4 = convert(%3) {{dtype = f32}} : f32[70,90]
        %5 = dot_general(%0, %4) {{{PRODUCT}}} : f32[6,90]
        %6 = convert(%2) {{dtype = f32}} : f32[6,70]
        %7 = dot_general(%6, %4) {{{PRODUCT}}} : f32[6,90]
        return %5, %7
    }}"
    ));
    // in a loop
    check(&format!(
        "graph(%0: f32[3,6,70], %1: i8[70,70], %2: f32[6,70]) {{
        %3 = scan(%1, %2, %0) {{body = graph(%0: i8[70,70], %1: f32[6,70], %2: f32[6,70]) {{
            %3 = convert(%0) {{dtype = f32}} : f32[70,70]
            %4 = dot_general(%1, %3) {{{PRODUCT}}} : f32[6,70]
            %5 = add(%4, %2) : f32[6,70]
            %6 = tanh(%5) : f32[6,70]
            return %6
        }}, length = 3, reverse = false, consts = 1, carry = 1}} : f32[6,70]
        return %3
    }}"
    ));
}

#[test]
fn no_copy_of_widened_integers_is_kept() {
    // a quarter of the bytes of the matrix in f32 is that of the integers themselves
    let text = "graph(%0: f32[1,2048], %1: i8[2048,2048]) {
        %2 = convert(%1) {dtype = f32} : f32[2048,2048]
        %3 = dot_general(%0, %2) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[1,2048]
        return %3
    }";
    let exe = compile_for(&parse(text).expect("a program"), Device::Cpu).expect("compiles");
    let cost = exe.cost();
    assert!(cost.peak_bytes < 1 << 19 && cost.bytes < 5 << 20, "{cost}");
}

/// How often a program copies a slice.
fn slice_kernels(text: &str) -> usize {
    schedule(text).matches("kernel slice").count()
}

#[test]
fn slices_are_read_where_they_lie() {
    // of an argument, of a product, of another slice under another shape, of numbers that products widen
    let products = format!(
        "graph(%0: f32[3,8,8], %1: f32[8,8], %2: i8[16,8]) {{
        %3 = slice(%0) {{start = [1, 2, 0], limit = [2, 8, 8], stride = [1, 1, 1]}} : f32[1,6,8]
        %4 = reshape(%3) {{shape = [6, 8]}} : f32[6,8]
        %5 = slice(%4) {{start = [1, 0], limit = [5, 8], stride = [1, 1]}} : f32[4,8]
        %6 = dot_general(%5, %1) {{{PRODUCT}}} : f32[4,8]
        %7 = dot_general(%4, %1) {{{PRODUCT}}} : f32[6,8]
        %8 = slice(%7) {{start = [2, 0], limit = [6, 8], stride = [1, 1]}} : f32[4,8]
        %9 = dot_general(%8, %1) {{{PRODUCT}}} : f32[4,8]
        %10 = slice(%2) {{start = [8, 0], limit = [16, 8], stride = [1, 1]}} : i8[8,8]
        %11 = convert(%10) {{dtype = f32}} : f32[8,8]
        %12 = dot_general(%9, %11) {{{PRODUCT}}} : f32[4,8]
        %13 = tanh(%8) : f32[4,8]
        return %6, %7, %12, %13 }}"
    );
    check(&products);
    assert_eq!(slice_kernels(&products), 0, "{}", schedule(&products));
    // what a loop begins with, goes through and holds fast, and a branch chooses from; only the result of a loop's body is copied
    let loops = "graph(%0: f32[9,16], %1: i32[]) {
        %2 = slice(%0) {start = [8, 0], limit = [9, 16], stride = [1, 1]} : f32[1,16]
        %3 = slice(%0) {start = [2, 0], limit = [5, 16], stride = [1, 1]} : f32[3,16]
        %4 = slice(%0) {start = [5, 0], limit = [6, 16], stride = [1, 1]} : f32[1,16]
        %5, %6 = scan(%4, %2, %3) {body = graph(%0: f32[1,16], %1: f32[1,16], %2: f32[16]) {
            %3 = reshape(%2) {shape = [1, 16]} : f32[1,16]
            %4 = concatenate(%0, %1, %3) {axis = 0} : f32[3,16]
            %5 = sort(%4) {axis = 0, num_keys = 1} : f32[3,16]
            %6 = slice(%5) {start = [1, 0], limit = [2, 16], stride = [1, 1]} : f32[1,16]
            %7 = slice(%5) {start = [1, 0], limit = [3, 16], stride = [1, 1]} : f32[2,16]
            %8 = sort(%7) {axis = 1, num_keys = 1} : f32[2,16]
            return %6, %8
        }, length = 3, reverse = true, consts = 1, carry = 1} : f32[1,16], f32[3,2,16]
        %7 = switch(%1, %2, %5) {branches = [graph(%0: f32[1,16], %1: f32[1,16]) {
            %2 = sort(%0) {axis = 1, num_keys = 1} : f32[1,16] return %2
        }, graph(%0: f32[1,16], %1: f32[1,16]) { return %1 }]} : f32[1,16]
        %8 = dynamic_update_slice(%3, %7, %1, %1) : f32[3,16]
        return %6, %7, %8 }";
    check(loops);
    assert_eq!(slice_kernels(loops), 1, "{}", schedule(loops));
    let complex = "graph(%0: c64[4,8]) {
        %1 = slice(%0) {start = [2, 0], limit = [4, 8], stride = [1, 1]} : c64[2,8]
        %2 = fft(%1) {kind = \"fft\", lengths = [8]} : c64[2,8]
        %3 = slice(%2) {start = [1, 0], limit = [2, 8], stride = [1, 1]} : c64[1,8]
        %4 = fft(%3) {kind = \"ifft\", lengths = [8]} : c64[1,8]
        %5 = real(%3) : f32[1,8]
        return %4, %5 }";
    check(complex);
}

/// A barrier hands over what it is given, and a result of the program has memory of its own.
#[test]
fn slices_that_are_results() {
    check(&format!(
        "graph(%0: f32[8,8], %1: f32[8,8]) {{
        %2 = dot_general(%0, %1) {{{PRODUCT}}} : f32[8,8]
        %3 = slice(%2) {{start = [2, 0], limit = [6, 8], stride = [1, 1]}} : f32[4,8]
        %4 = slice(%2) {{start = [0, 0], limit = [7, 8], stride = [1, 1]}} : f32[7,8]
        %5 = slice(%1) {{start = [3, 0], limit = [8, 8], stride = [1, 1]}} : f32[5,8]
        %6, %7, %8 = optimization_barrier(%3, %4, %5) : f32[4,8], f32[7,8], f32[5,8]
        %9 = slice(%0) {{start = [3, 0], limit = [8, 8], stride = [1, 1]}} : f32[5,8]
        %10 = reshape(%9) {{shape = [40]}} : f32[40]
        return %6, %7, %8, %2, %10 }}"
    ));
    // a result of which another slice is read, and what is sliced under another shape
    check(&format!(
        "graph(%0: f32[8,8], %1: f32[8,8]) {{
        %2 = slice(%0) {{start = [1, 0], limit = [7, 8], stride = [1, 1]}} : f32[6,8]
        %3 = slice(%2) {{start = [2, 0], limit = [6, 8], stride = [1, 1]}} : f32[4,8]
        %4 = dot_general(%3, %1) {{{PRODUCT}}} : f32[4,8]
        %5 = reshape(%4) {{shape = [2, 16]}} : f32[2,16]
        %6 = slice(%5) {{start = [1, 0], limit = [2, 16], stride = [1, 1]}} : f32[1,16]
        %7 = sort(%6) {{axis = 1, num_keys = 1}} : f32[1,16]
        return %2, %5, %6, %7 }}"
    ));
}
