//! Ops that are grid kernels of their own, emulated, against the interpreter.

use super::host::Host;
use gradloom_backends::grid::ops::{Launches, Operand, launches};
use gradloom_backends::grid::{GridKernel, emulate};
use gradloom_ir::{DType, Graph, Literal, Type, eval, parse};

/// Programs of one op each. `T` stands for every dtype the op is defined on of `dtypes`.
struct Case {
    program: &'static str,
    dtypes: &'static [DType],
    /// How far results may be from the interpreter's, relative to the greatest.
    tolerance: f64,
}

const MOVED: &[DType] = &[DType::Bool, DType::I8, DType::F16, DType::F32, DType::I64, DType::C64, DType::C128];

const CASES: &[Case] = &[
    Case {
        program: "graph(%0: T[3,5], %1: T[]) {
            %2 = pad(%0, %1) {low = [2, -1], high = [-1, 3], interior = [1, 2]} : T[6,15] return %2 }",
        dtypes: MOVED,
        tolerance: 0.0,
    },
    Case {
        program: "graph(%0: T[0,2], %1: T[]) { %2 = pad(%0, %1) {low = [3, 0], high = [0, 0], interior = [0, 0]} : T[3,2] return %2 }",
        dtypes: MOVED,
        tolerance: 0.0,
    },
    Case {
        program: "graph(%0: T[2,3,4], %1: T[2,1,4], %2: T[2,0,4]) { %3 = concatenate(%0, %1, %2) {axis = 1} : T[2,4,4] return %3 }",
        dtypes: MOVED,
        tolerance: 0.0,
    },
    Case {
        program: "graph(%0: T[5,7], %1: u64[], %2: u64[]) { %3 = dynamic_slice(%0, %1, %2) {sizes = [2, 3]} : T[2,3] return %3 }",
        dtypes: MOVED,
        tolerance: 0.0,
    },
    Case {
        program: "graph(%0: T[5,7], %1: T[3,2], %2: i32[], %3: i32[]) { %4 = dynamic_update_slice(%0, %1, %2, %3) : T[5,7] return %4 }",
        dtypes: MOVED,
        tolerance: 0.0,
    },
    Case {
        program: "graph(%0: T[9,4], %1: i32[6,1]) {
            %2 = gather(%0, %1) {offset_dims = [1], collapsed_slice_dims = [0], operand_batching_dims = [],
              start_indices_batching_dims = [], start_index_map = [0], index_vector_dim = 1, slice_sizes = [1, 4]} : T[6,4]
            return %2 }",
        dtypes: MOVED,
        tolerance: 0.0,
    },
    Case {
        program: "graph(%0: T[3,6,5], %1: i64[3,4,2]) {
            %2 = gather(%0, %1) {offset_dims = [2, 3], collapsed_slice_dims = [], operand_batching_dims = [0],
              start_indices_batching_dims = [0], start_index_map = [2, 1], index_vector_dim = 2, slice_sizes = [1, 2, 3]} : T[3,4,2,3]
            return %2 }",
        dtypes: &[DType::F32, DType::C128],
        tolerance: 0.0,
    },
    Case {
        program: "graph(%0: T[4,7,3]) { %1 = arg_reduce(%0) {kind = \"max\", axis = 1} : i32[4,3] return %1 }",
        dtypes: ORDERED,
        tolerance: 0.0,
    },
    Case {
        program: "graph(%0: T[5,700]) { %1 = arg_reduce(%0) {kind = \"min\", axis = 1} : i32[5] return %1 }",
        dtypes: ORDERED,
        tolerance: 0.0,
    },
    Case {
        program: "graph(%0: T[4,7,3]) { %1 = cumulative(%0) {kind = \"sum\", axis = 1, reverse = true} : T[4,7,3] return %1 }",
        dtypes: SUMMED,
        tolerance: 1e-12,
    },
    Case {
        program: "graph(%0: T[2,3001]) { %1 = cumulative(%0) {kind = \"sum\", axis = 1, reverse = false} : T[2,3001] return %1 }",
        dtypes: SUMMED,
        tolerance: 1e-12,
    },
    Case {
        program: "graph(%0: T[2,1025]) { %1 = cumulative(%0) {kind = \"max\", axis = 1, reverse = true} : T[2,1025] return %1 }",
        dtypes: ORDERED,
        tolerance: 0.0,
    },
    Case {
        program: "graph(%0: T[2,9001]) { %1 = cumulative(%0) {kind = \"sum\", axis = 1, reverse = false} : T[2,9001] return %1 }",
        dtypes: &[DType::F64, DType::I8],
        tolerance: 1e-12,
    },
    Case {
        program: "graph(%0: T[12289]) { %1 = cumulative(%0) {kind = \"min\", axis = 0, reverse = true} : T[12289] return %1 }",
        dtypes: &[DType::F32, DType::U16],
        tolerance: 0.0,
    },
    Case {
        program: "graph(%0: T[2,9,8]) {
            %1 = reduce_window(%0) {kind = \"sum\", window = [1, 3, 2], strides = [1, 2, 3], padding = [(0, 0), (2, -1), (-1, 3)],
              base_dilation = [1, 2, 1], window_dilation = [1, 2, 1]} : T[2,7,3] return %1 }",
        dtypes: SUMMED,
        tolerance: 0.0,
    },
    Case {
        program: "graph(%0: T[2,9,8]) {
            %1 = reduce_window(%0) {kind = \"max\", window = [1, 3, 3], strides = [1, 2, 2], padding = [(0, 0), (1, 1), (0, 0)],
              base_dilation = [1, 1, 1], window_dilation = [1, 1, 1]} : T[2,5,3] return %1 }",
        dtypes: ORDERED,
        tolerance: 0.0,
    },
    Case {
        program: "graph(%0: T[2,7,6], %1: T[2,7,6]) {
            %2 = select_and_gather(%0, %1) {kind = \"max\", window = [1, 3, 2], strides = [1, 2, 2], padding = [(0, 0), (1, 1), (0, 1)]} : T[2,4,3]
            return %2 }",
        dtypes: ORDERED,
        tolerance: 0.0,
    },
    Case {
        program: "graph(%0: T[2,4,3], %1: T[2,7,6]) {
            %2 = select_and_scatter(%0, %1) {kind = \"min\", window = [1, 3, 2], strides = [1, 2, 2], padding = [(0, 0), (1, 1), (0, 1)]} : T[2,7,6]
            return %2 }",
        dtypes: SUMMED,
        tolerance: 0.0,
    },
    Case {
        program: "graph(%0: T[3,37,2], %1: i32[3,37,2]) {
            %2, %3 = sort(%0, %1) {axis = 1, num_keys = 1} : T[3,37,2], i32[3,37,2] return %2, %3 }",
        dtypes: SORTED,
        tolerance: 0.0,
    },
    Case {
        program: "graph(%0: T[2,1500], %1: i8[2,1500], %2: f32[2,1500]) {
            %3, %4, %5 = sort(%1, %0, %2) {axis = 1, num_keys = 2} : i8[2,1500], T[2,1500], f32[2,1500] return %3, %4, %5 }",
        dtypes: &[DType::Bool, DType::F16, DType::F64],
        tolerance: 0.0,
    },
    Case {
        program: "graph(%0: T[1030]) { %1 = sort(%0) {axis = 0, num_keys = 1} : T[1030] return %1 }",
        dtypes: &[DType::I8, DType::U64, DType::F32, DType::C64],
        tolerance: 0.0,
    },
    Case {
        program: "graph(%0: T[9,4], %1: i32[30,1], %2: T[30,4]) {
            %3 = scatter(%0, %1, %2) {update_window_dims = [1], inserted_window_dims = [0], input_batching_dims = [],
              scatter_indices_batching_dims = [], scatter_dims_to_operand_dims = [0], index_vector_dim = 1, kind = \"add\"} : T[9,4]
            return %3 }",
        dtypes: &[DType::I8, DType::F16, DType::F32, DType::F64, DType::C64],
        tolerance: 0.0,
    },
    Case {
        program: "graph(%0: T[40], %1: u8[1200], %2: T[1200]) {
            %3 = scatter(%0, %1, %2) {update_window_dims = [], inserted_window_dims = [0], input_batching_dims = [],
              scatter_indices_batching_dims = [], scatter_dims_to_operand_dims = [0], index_vector_dim = 1, kind = \"set\"} : T[40]
            return %3 }",
        dtypes: &[DType::F32, DType::C128],
        tolerance: 0.0,
    },
    Case {
        program: "graph(%0: T[3,6,5], %1: i64[3,4,2], %2: T[3,4,2,3]) {
            %3 = scatter(%0, %1, %2) {update_window_dims = [2, 3], inserted_window_dims = [], input_batching_dims = [0],
              scatter_indices_batching_dims = [0], scatter_dims_to_operand_dims = [2, 1], index_vector_dim = 2, kind = \"mul\"} : T[3,6,5]
            return %3 }",
        dtypes: &[DType::U16, DType::F32],
        tolerance: 0.0,
    },
    Case {
        program: "graph(%0: T[3,70,33], %1: T[33,3,5,14]) {
            %2 = dot_general(%0, %1) {lhs_batch = [0], rhs_batch = [1], lhs_contract = [2], rhs_contract = [0]} : T[3,70,5,14]
            return %2 }",
        dtypes: PRODUCTS,
        tolerance: 1e-6,
    },
    Case {
        program: "graph(%0: T[4,0], %1: T[0,3]) {
            %2 = dot_general(%0, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : T[4,3] return %2 }",
        dtypes: PRODUCTS,
        tolerance: 0.0,
    },
    Case {
        program: "graph(%0: T[2,4,7,6], %1: T[6,2,3,2]) {
            %2 = convolution(%0, %1) {lhs_dims = [0, 1, 2, 3], rhs_dims = [0, 1, 2, 3], out_dims = [0, 1, 2, 3], strides = [2, 1],
              padding = [(1, 2), (-1, 3)], lhs_dilation = [1, 2], rhs_dilation = [2, 1], feature_groups = 2, batch_groups = 1} : T[2,6,3,12]
            return %2 }",
        dtypes: PRODUCTS,
        tolerance: 1e-6,
    },
    Case {
        program: "graph(%0: T[4,9,3], %1: T[2,3,6]) {
            %2 = convolution(%0, %1) {lhs_dims = [0, 2, 1], rhs_dims = [2, 1, 0], out_dims = [1, 0, 2], strides = [1],
              padding = [(0, 0)], lhs_dilation = [1], rhs_dilation = [3], feature_groups = 1, batch_groups = 2} : T[6,2,6]
            return %2 }",
        dtypes: PRODUCTS,
        tolerance: 1e-6,
    },
];

/// 16-bit floats are multiplied with sums in f32, which a pass says.
const PRODUCTS: &[DType] = &[DType::I8, DType::U32, DType::I64, DType::F32, DType::F64];
const SORTED: &[DType] = &[
    DType::Bool,
    DType::I8,
    DType::U16,
    DType::I64,
    DType::U64,
    DType::F16,
    DType::BF16,
    DType::F32,
    DType::F64,
    DType::C64,
];
const ORDERED: &[DType] = &[DType::I8, DType::U16, DType::I64, DType::F16, DType::BF16, DType::F32, DType::F64];
/// 16-bit floats are summed as f32, which a pass says.
const SUMMED: &[DType] = &[DType::I8, DType::U32, DType::I64, DType::F64];

/// Numbers of both signs, a share `special` of the floats zeros, infinities and NaN; integers that also lie outside of small
/// arrays.
fn literal(t: &Type, special: f64, seed: &mut u64) -> Literal {
    let mut next = || {
        *seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (*seed >> 33) as f64 / f64::from(1u32 << 31)
    };
    let parts = if t.dtype.is_complex() { 2 } else { 1 };
    let numbers: Vec<f64> = (0..t.numel() * parts)
        .map(|_| match t.dtype {
            DType::Bool => f64::from(u8::from(next() > 0.5)),
            d if (d.is_float() || d.is_complex()) && next() < special => {
                [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0][(next() * 5.0) as usize]
            }
            d if d.is_float() || d.is_complex() => next() * 4.0 - 2.0,
            d if d.is_signed_int() => (next() * 16.0 - 4.0).floor(),
            _ => (next() * 12.0).floor(),
        })
        .collect();
    let real = t.dtype.real();
    let bytes = numbers.iter().flat_map(|&x| Literal::scalar(real, x).bytes().to_vec()).collect();
    Literal::from_bytes(t.clone(), bytes).expect("as many numbers as the type has")
}

/// The programs of a case, one a dtype.
fn programs(case: &Case) -> impl Iterator<Item = Graph> {
    case.dtypes.iter().map(|dtype| {
        let text = case.program.replace("T[", &format!("{dtype}["));
        parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"))
    })
}

fn launches_of(g: &Graph) -> Launches {
    let node = &g.nodes()[0];
    let args: Vec<Type> = node.args.iter().map(|&a| g.ty(a).clone()).collect();
    let results: Vec<Type> = node.results.iter().map(|&r| g.ty(r).clone()).collect();
    launches(&node.op, &args, &results).unwrap_or_else(|e| panic!("{e}")).expect("the op has kernels")
}

/// The kernels of every case on its first dtype.
pub fn kernels() -> Vec<GridKernel> {
    let first = CASES.iter().filter_map(|case| programs(case).next());
    first.flat_map(|g| launches_of(&g).launches).map(|l| l.kernel).collect()
}

/// What the kernels of a program of one op make of its inputs, each run by `run` on its buffers.
fn results(g: &Graph, inputs: &[Literal], run: &mut dyn FnMut(&GridKernel, &mut [Vec<u8>])) -> Vec<Vec<u8>> {
    let node = &g.nodes()[0];
    let results: Vec<Type> = node.results.iter().map(|&r| g.ty(r).clone()).collect();
    let Launches { launches, scratch } = launches_of(g);
    let mut arrays: Vec<Vec<u8>> = inputs.iter().map(|x| x.bytes().to_vec()).collect();
    // memory that nobody has written holds anything
    arrays.extend(results.iter().map(|t| vec![0xA5; t.bytes()]));
    arrays.extend(scratch.iter().map(|&n| vec![0xA5; n]));
    for launch in &launches {
        let place = |o: &Operand| match *o {
            Operand::Arg(i) => node.args[i].index(),
            Operand::Result(i) => inputs.len() + i,
            Operand::Scratch(i) => inputs.len() + results.len() + i,
        };
        let places: Vec<usize> = launch.operands.iter().map(place).collect();
        let mut buffers: Vec<Vec<u8>> = places.iter().map(|&p| arrays[p].clone()).collect();
        run(&launch.kernel, &mut buffers);
        for (p, b) in places.into_iter().zip(buffers) {
            arrays[p] = b;
        }
    }
    arrays[inputs.len()..inputs.len() + results.len()].to_vec()
}

/// Runs a kernel where what a GPU would not forgive is refused.
fn emulated(kernel: &GridKernel, buffers: &mut [Vec<u8>]) {
    let mut slices: Vec<&mut [u8]> = buffers.iter_mut().map(|b| &mut b[..]).collect();
    emulate(kernel, &mut slices).unwrap_or_else(|e| panic!("{e}"));
}

fn inputs(g: &Graph, tolerance: f64, mut seed: u64) -> Vec<Literal> {
    let special = if tolerance > 0.0 { 0.0 } else { 0.1 };
    g.input_types().iter().map(|t| literal(t, special, &mut seed)).collect()
}

fn check(g: &Graph, tolerance: f64, seed: u64) {
    let inputs = inputs(g, tolerance, seed);
    let expected = eval::eval(g, &inputs).unwrap_or_else(|e| panic!("{e}\n{g}"));
    for (want, got) in expected.iter().zip(results(g, &inputs, &mut emulated)) {
        let got = Literal::from_bytes(want.ty().clone(), got).expect("results have their types");
        if want.bytes() == got.bytes() {
            continue;
        }
        let (n, size) = (want.ty().numel(), want.ty().dtype.size());
        let scale = (0..n).map(|i| want.get_f64(i).abs()).fold(0.0, f64::max);
        for i in 0..n {
            let (x, y) = (want.get_f64(i), got.get_f64(i));
            let [bits, own] = [&want, &&got].map(|l| &l.bytes()[i * size..(i + 1) * size]);
            let close = tolerance > 0.0 && (x - y).abs() <= tolerance * scale;
            assert!(
                bits == own || close || x.is_nan() && y.is_nan(),
                "element {i} is {y}, not {x}\n{g}\ninputs {inputs:?}"
            );
        }
    }
}

#[test]
fn every_op_is_what_the_interpreter_computes() {
    for case in CASES {
        for g in programs(case) {
            // what takes long to emulate is tried once
            let elements: usize = g.input_types().iter().map(Type::numel).sum();
            (0..if elements > 500 { 1 } else { 4 }).for_each(|seed| check(&g, case.tolerance, seed));
        }
    }
}

/// Keys that a block cannot hold are sorted digit by digit.
#[test]
fn sorts_by_many_keys_fit_shared_memory() {
    let keys = |n: usize| {
        let names = |from: usize| (from..from + n).map(|i| format!("%{i}")).collect::<Vec<_>>().join(", ");
        let typed = (0..n).map(|i| format!("%{i}: f64[1000]")).collect::<Vec<_>>().join(", ");
        let types = vec!["f64[1000]"; n].join(", ");
        let text = format!(
            "graph({typed}) {{ {} = sort({}) {{axis = 0, num_keys = {n}}} : {types} return {} }}",
            names(n),
            names(0),
            names(n)
        );
        launches_of(&parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"))).launches
    };
    for n in [1, 5, 6, 9] {
        keys(n).iter().for_each(|l| l.kernel.verify().unwrap_or_else(|e| panic!("{n} keys: {e}")));
    }
    assert_eq!((keys(5).len(), keys(6).len() > 100), (6, true), "one network and five moves; digits");
}

/// The text of the kernels computes what their emulation does, bit for bit.
#[test]
fn cuda_c_of_ops_on_this_machine_is_what_is_emulated() {
    let programs: Vec<(&Case, Graph)> =
        CASES.iter().flat_map(|case| programs(case).take(2).map(move |g| (case, g))).collect();
    let kernels = programs.iter().flat_map(|(_, g)| launches_of(g).launches).map(|l| l.kernel).collect();
    let Some(host) = Host::new("ops", kernels) else { return };
    let mut next = 0;
    for (case, g) in &programs {
        let inputs = inputs(g, case.tolerance, 7);
        let expected = results(g, &inputs, &mut emulated);
        let seen = results(g, &inputs, &mut |_, buffers| {
            host.run(next, buffers);
            next += 1;
        });
        assert!(seen == expected, "{g}");
    }
}
