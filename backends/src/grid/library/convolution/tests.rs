use super::*;
use crate::grid::emulate;
use crate::grid::library::Does;
use gradloom_ir::eval::eval;
use gradloom_ir::{Graph, parse};

fn graph([l, r, out]: [&str; 3], attributes: &str) -> Graph {
    let text = format!("graph(%0: {l}, %1: {r}) {{ %2 = convolution(%0, %1) {{{attributes}}} : {out} return %2 }}");
    parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// The best plan of the only op of a program: its convolution, and the names of its kernels.
fn planned(types: [&str; 3], attributes: &str) -> (Convolution, Vec<String>) {
    let g = graph(types, attributes);
    let (args, results) = (g.input_types(), g.output_types());
    let site = Site { op: &g.nodes()[0].op, args: &args, results: &results, alignment: vec![256; 3] };
    let plan = convolution(&site).unwrap_or_else(|e| panic!("{e}")).remove(0);
    let kernels = plan.steps.iter().filter_map(|(does, _)| match does {
        Does::Kernel(k) => Some(k.name.to_string()),
        Does::Routine(_) => None,
    });
    let convolution = plan.routines().find_map(|r| match r {
        Routine::Convolution(c) => Some(c.clone()),
        _ => None,
    });
    (convolution.unwrap_or_else(|| panic!("no convolution\n{g}")), kernels.collect())
}

const IN_ORDER: &str = "lhs_dims = [0, 1, 2, 3], rhs_dims = [0, 1, 2, 3], out_dims = [0, 1, 2, 3]";

/// A stride that steps over the end needs no zeros there: padding of one end only is no copy.
#[test]
fn padding_of_one_end_that_no_stride_reaches() {
    let rest = "lhs_dilation = [1, 1], rhs_dilation = [1, 1], feature_groups = 1, batch_groups = 1";
    let types = ["f32[2,3,8,8]", "f32[4,3,3,3]", "f32[2,4,4,4]"];
    let attributes = format!("{IN_ORDER}, strides = [2, 2], padding = [(1, 0), (1, 0)], {rest}");
    let (c, kernels) = planned(types, &attributes);
    assert_eq!((&c.padding[..], kernels.len()), (&[1, 1][..], 0));
    let attributes = format!("{IN_ORDER}, strides = [2, 2], padding = [(0, 1), (0, 1)], {rest}");
    let (c, kernels) = planned(types, &attributes);
    assert_eq!((&c.padding[..], &c.input[..], kernels), (&[0, 0][..], &[9, 9][..], vec!["lay_out".to_string()]));
}

/// A window that is larger than its result, with batch and features in each other's places, is a filter's gradient; one
/// that lies like any other is not.
#[test]
fn large_windows() {
    let rest = "strides = [1, 1], padding = [(1, 1), (1, 1)], lhs_dilation = [1, 1], rhs_dilation = [1, 1], \
                feature_groups = 1, batch_groups = 1";
    let swapped = "lhs_dims = [1, 0, 2, 3], rhs_dims = [1, 0, 2, 3], out_dims = [1, 0, 2, 3]";
    let (c, kernels) = planned(["f32[9,5,6,6]", "f32[9,4,6,6]", "f32[4,5,3,3]"], &format!("{swapped}, {rest}"));
    assert_eq!((c.direction, kernels.len()), (Direction::BackwardFilter, 0));
    assert_eq!((c.batch, c.inputs, c.outputs, &c.filter[..]), (9, 5, 4, &[3, 3][..]));
    let (c, _) = planned(["f32[5,9,6,6]", "f32[4,9,6,6]", "f32[5,4,3,3]"], &format!("{IN_ORDER}, {rest}"));
    assert_eq!(c.direction, Direction::Forward);
}

/// What a stride has left out is zero, and so is what lies beyond all that is reached.
#[test]
fn gradients_longer_than_what_is_reached() {
    let rest = "strides = [1, 1], lhs_dilation = [2, 2], rhs_dilation = [1, 1], feature_groups = 1, batch_groups = 1";
    let attributes = format!("{IN_ORDER}, padding = [(2, 3), (1, 2)], {rest}");
    let (c, kernels) = planned(["f32[2,3,4,4]", "f32[5,3,3,3]", "f32[2,5,10,8]"], &attributes);
    assert_eq!((c.direction, &c.input[..], &c.padding[..]), (Direction::BackwardData, &[10, 8][..], &[0, 1][..]));
    assert_eq!(kernels, ["lay_out"]);
    let attributes = format!("{IN_ORDER}, padding = [(4, 4), (2, 2)], {rest}");
    let (c, kernels) = planned(["f32[2,3,4,4]", "f32[5,3,3,3]", "f32[2,5,13,9]"], &attributes);
    assert_eq!((&c.input[..], &c.padding[..]), (&[9, 9][..], &[0, 0][..]));
    assert_eq!(kernels, ["lay_out", "lay_back"]);
}

/// The indices of a point, the last axis fastest.
fn index(mut point: usize, lengths: &[usize]) -> Vec<usize> {
    let mut at = vec![0; lengths.len()];
    for (i, &n) in at.iter_mut().zip(lengths).rev() {
        (*i, point) = (point % n, point / n);
    }
    at
}

/// A library's convolution, as it is defined.
fn computed(c: &Convolution, a: &[f32], b: &[f32]) -> Vec<f32> {
    let count = |of: &[usize]| of.iter().product::<usize>();
    let place = |first: usize, (feature, features): (usize, usize), at: usize, lengths: &[usize]| match c.features_last
    {
        true => (first * count(lengths) + at) * features + feature,
        false => (first * features + feature) * count(lengths) + at,
    };
    let (of_input, of_output) = (c.inputs / c.groups, c.outputs / c.groups);
    let mut to = vec![0.0; c.lengths()[2]];
    for (p, f) in (0..count(&c.output)).flat_map(|p| (0..count(&c.filter)).map(move |f| (p, f))) {
        let (at, tap) = (index(p, &c.output), index(f, &c.filter));
        let read = (0..at.len()).map(|i| (at[i] * c.strides[i] + tap[i] * c.dilation[i]).wrapping_sub(c.padding[i]));
        let read: Vec<usize> = read.collect();
        if read.iter().zip(&c.input).any(|(i, n)| i >= n) {
            continue;
        }
        let x = read.iter().zip(&c.input).fold(0, |sum, (i, n)| sum * n + i);
        for m in 0..c.batch * c.outputs * of_input {
            let (n, k, i) = (m / of_input / c.outputs, m / of_input % c.outputs, m % of_input);
            let x = place(n, (k / of_output * of_input + i, c.inputs), x, &c.input);
            let w = place(k, (i, of_input), f, &c.filter);
            let y = place(n, (k, c.outputs), p, &c.output);
            match c.direction {
                Direction::Forward => to[y] += a[x] * b[w],
                Direction::BackwardData => to[x] += a[y] * b[w],
                Direction::BackwardFilter => to[w] += a[x] * b[y],
            }
        }
    }
    to
}

fn numbers(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// Runs a plan on the emulator; the result's bytes.
fn run(plan: &Plan, args: [&Literal; 2], result: usize) -> Vec<u8> {
    let mut scratch: Vec<Vec<u8>> = plan.scratch.iter().map(|&n| vec![0xa5; n]).collect();
    let mut out = vec![0xa5; result];
    for (does, operands) in &plan.steps {
        let mut buffers: Vec<Vec<u8>> = operands
            .iter()
            .map(|o| match *o {
                Operand::Arg(i) => args[i].bytes().to_vec(),
                Operand::Result(_) => out.clone(),
                Operand::Scratch(i) => scratch[i].clone(),
            })
            .collect();
        match does {
            Does::Kernel(k) => {
                let mut buffers: Vec<&mut [u8]> = buffers.iter_mut().map(|b| &mut b[..]).collect();
                emulate(k, &mut buffers).unwrap_or_else(|e| panic!("{e}"));
            }
            Does::Routine(Routine::Convolution(c)) => {
                let y = computed(c, &numbers(&buffers[0]), &numbers(&buffers[1]));
                buffers[2] = y.iter().flat_map(|y| y.to_le_bytes()).collect();
            }
            Does::Routine(other) => panic!("{other:?}"),
        }
        match (operands.last(), buffers.pop()) {
            (Some(Operand::Scratch(i)), Some(written)) => scratch[*i] = written,
            (Some(Operand::Result(_)), Some(written)) => out = written,
            other => panic!("{other:?}"),
        }
    }
    out
}

/// All ways to compute an op give what the interpreter gives, its kernels on the emulator: also those that are only taken where
/// a library refuses a better one.
#[test]
fn every_way() {
    for (types, attributes, ways) in [
        (
            ["f32[2,4,5,6]", "f32[6,2,3,2]", "f32[6,5,2,2]"],
            "lhs_dims = [0, 1, 2, 3], rhs_dims = [0, 1, 2, 3], out_dims = [3, 0, 2, 1], strides = [2, 1],
             padding = [(1, 0), (-1, 2)], lhs_dilation = [1, 1], rhs_dilation = [1, 2], feature_groups = 2, batch_groups = 1",
            4,
        ),
        (
            ["f32[4,5,6,2]", "f32[3,2,4,2]", "f32[2,14,14,4]"],
            "lhs_dims = [0, 3, 1, 2], rhs_dims = [2, 3, 0, 1], out_dims = [0, 3, 1, 2], strides = [1, 1],
             padding = [(3, 4), (1, -1)], lhs_dilation = [2, 3], rhs_dilation = [1, 2], feature_groups = 1, batch_groups = 2",
            6,
        ),
        (
            ["f32[2,3,7]", "f32[4,3,3]", "f32[2,4,7]"],
            "lhs_dims = [0, 1, 2], rhs_dims = [0, 1, 2], out_dims = [0, 1, 2], strides = [2],
             padding = [(2, 1)], lhs_dilation = [2], rhs_dilation = [1], feature_groups = 1, batch_groups = 1",
            4,
        ),
    ] {
        let g = graph(types, attributes);
        let (args, results) = (g.input_types(), g.output_types());
        let op = &g.nodes()[0].op;
        // small integers: whatever the order of sums, they are exact
        let input = |t: &Type| {
            let x: Vec<f32> = (0..t.numel()).map(|i| (i * 7919 % 13) as f32 - 6.0).collect();
            Literal::new(&t.shape, &x)
        };
        let inputs: Vec<Literal> = args.iter().map(input).collect();
        let expected = eval(&g, &inputs).unwrap_or_else(|e| panic!("{e}"));
        for alignment in [vec![256; 3], vec![4; 3]] {
            let site = Site { op, args: &args, results: &results, alignment };
            let plans = convolution(&site).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(plans.len(), ways, "{attributes}");
            for plan in plans {
                let got = run(&plan, [&inputs[0], &inputs[1]], results[0].bytes());
                let routine = plan.routines().next();
                assert_eq!(numbers(&got), numbers(expected[0].bytes()), "{attributes}\n{routine:?}");
            }
        }
    }
}
