//! Compiled kernels against the interpreter, on random nests.

mod memory;
mod oracle;
mod random;

use gradloom_backends::cpu::codegen::{Jit, Kernel, Vectors};
use gradloom_backends::kernel::{Affine, Axis, Inst, LoopNest, Param, Reduction, Store};
use gradloom_ir::{Binary, DType, Literal, ReduceKind, Unary};
use memory::Guarded;
use oracle::{difference, interpreted, sum_error};
use random::{Rng, Sums, content};

fn at(offset: i64, strides: &[i64]) -> Affine {
    Affine { offset, strides: strides.into() }
}

/// The buffers after running the pieces between `cuts`.
fn run(kernel: Kernel, inputs: &[Vec<u8>], cuts: &[usize], at_end: bool) -> Vec<Vec<u8>> {
    let mut buffers: Vec<Guarded> = inputs.iter().map(|b| Guarded::new(b, at_end)).collect();
    let pointers: Vec<*mut u8> = buffers.iter_mut().map(|b| b.pointer()).collect();
    for piece in cuts.windows(2) {
        // SAFETY: a buffer of the declared length a param, aligned because it starts or ends at a page, and cuts at
        // multiples of the grain.
        unsafe { (kernel.func)(pointers.as_ptr(), piece[0] as i64, piece[1] as i64) };
    }
    buffers.iter_mut().map(|b| b.content()).collect()
}

fn compile(nest: &LoopNest, vectors: Vectors) -> (gradloom_backends::cpu::codegen::Code, Kernel) {
    let mut jit = Jit::with_vectors(vectors).expect("this machine has code");
    let id = jit.define(nest).unwrap_or_else(|e| panic!("{e}\n{nest}"));
    let code = jit.finish().expect("memory can be made executable");
    let kernel = code.kernel(id);
    (code, kernel)
}

/// Compiled with vectors of either width, whole and in pieces, equals interpreted up to `allowed`.
/// Gives the number of lanes of the widest.
#[track_caller]
fn check(nest: &LoopNest, inputs: &[Vec<u8>], rng: &mut Rng, allowed: &dyn Fn(usize, usize) -> f64) -> usize {
    let expected = interpreted(nest, inputs);
    check_compiled(nest, Vectors::Bits128, inputs, &expected, rng, allowed);
    check_compiled(nest, Vectors::Widest, inputs, &expected, rng, allowed)
}

#[track_caller]
fn check_compiled(
    nest: &LoopNest,
    vectors: Vectors,
    inputs: &[Vec<u8>],
    expected: &[Vec<u8>],
    rng: &mut Rng,
    allowed: &dyn Fn(usize, usize) -> f64,
) -> usize {
    let (_code, kernel) = compile(nest, vectors);
    let whole = run(kernel, inputs, &[0, kernel.split], true);
    if let Some(what) = difference(nest, &whole, expected, allowed) {
        panic!("compiled with {vectors:?} is not interpreted: {what}\n{nest}\ncollapsed: {}", nest.collapse());
    }
    let cut = rng.below(kernel.split / kernel.grain + 1) * kernel.grain;
    let pieces = run(kernel, inputs, &[0, cut, cut, kernel.split], false);
    if let Some(what) = difference(nest, &pieces, &whole, &|_, _| 0.0) {
        panic!("0..{cut}..{} is not the whole: {what}\n{nest}", kernel.split);
    }
    kernel.lanes
}

/// Of the kernels with these numbers of lanes enough have wide vectors to be a test of them, where there are any.
fn some_are_wide(lanes: &[usize]) {
    let wide = lanes.iter().filter(|l| **l > 4).count();
    let none_at_all = compile(&map(Unary::Exp, 1000), Vectors::Widest).1.lanes <= 4;
    assert!(none_at_all || wide * 10 > lanes.len(), "{wide} of {} kernels are wide", lanes.len());
}

#[test]
fn random_nests_without_float_sums_are_exact() {
    let mut lanes = Vec::new();
    for seed in 0..2500 {
        let mut rng = Rng(seed);
        let nest = random::nest(&mut rng, Sums::Exact);
        let inputs: Vec<Vec<u8>> = nest.params.iter().map(|p| content(&mut rng, p.dtype, p.len, false)).collect();
        lanes.push(check(&nest, &inputs, &mut rng, &|_, _| 0.0));
    }
    some_are_wide(&lanes);
}

#[test]
fn random_float_sums_are_close() {
    let mut lanes = Vec::new();
    for seed in 0..800 {
        let mut rng = Rng(1 << 32 | seed);
        let nest = random::nest(&mut rng, Sums::Float);
        let inputs: Vec<Vec<u8>> = nest.params.iter().map(|p| content(&mut rng, p.dtype, p.len, true)).collect();
        let expected = interpreted(&nest, &inputs);
        let allowed = |p: usize, i: usize| sum_error(&nest, &expected, p, i);
        lanes.push(check(&nest, &inputs, &mut rng, &allowed));
    }
    some_are_wide(&lanes);
}

fn f32_bytes(x: impl IntoIterator<Item = f32>) -> Vec<u8> {
    x.into_iter().flat_map(f32::to_ne_bytes).collect()
}

/// Every function of f32 on edges and ordinary values, in vectors and in the rest.
#[test]
fn every_unary_of_f32_is_exact() {
    let edges = [0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45];
    let ordinary = (0..4000).map(|i| (i as f32 - 2000.0) * 0.037);
    let wide = (0..250).flat_map(|e| [1.3f32, -1.7].map(|m| m * 2f32.powi(e - 125)));
    let x: Vec<f32> = edges.into_iter().chain(ordinary).chain(wide).chain([0.5, 1.0, -1.0]).collect();
    let n = x.len();
    assert_eq!(n % 4, 0, "a rest of points is wanted below");
    for op in Unary::ALL.iter().filter(|op| op.accepts(DType::F32) && **op != Unary::IsFinite) {
        for n in [n, n - 1] {
            let nest = map(*op, n);
            let inputs = [f32_bytes(x[..n].iter().copied()), f32_bytes(vec![7.0; n])];
            check(&nest, &inputs, &mut Rng(n as u64), &|_, _| 0.0);
        }
    }
}

fn map(op: Unary, n: usize) -> LoopNest {
    LoopNest {
        name: op.name().into(),
        params: vec![Param { dtype: DType::F32, len: n }; 2],
        axes: vec![Axis { extent: n, reduce: false }],
        body: vec![Inst::Load { param: 0, at: at(0, &[1]) }, Inst::Unary(op, 0)],
        reductions: vec![],
        epilogue: vec![],
        stores: vec![Store { param: 1, value: 1, at: at(0, &[1]) }],
    }
}

/// Elements that are some way apart, forwards and backwards, under a function that is worth vectors.
#[test]
fn elements_apart_from_each_other() {
    for dtype in [DType::F32, DType::I32, DType::U32, DType::F64, DType::I64] {
        for step in [2i64, 3, 17, 1000, -1, -5] {
            for n in [64usize, 77] {
                let len = (n - 1) * step.unsigned_abs() as usize + 1;
                let first = if step < 0 { len as i64 - 1 } else { 0 };
                let function = if dtype.is_float() { Unary::Sqrt } else { Unary::Abs };
                let nest = LoopNest {
                    name: "apart".into(),
                    params: vec![Param { dtype, len }, Param { dtype, len: n }, Param { dtype, len: n }],
                    axes: vec![Axis { extent: n, reduce: false }],
                    body: vec![
                        Inst::Load { param: 0, at: at(first, &[step]) },
                        Inst::Unary(function, 0),
                        Inst::Load { param: 1, at: at(0, &[1]) },
                        Inst::Binary(Binary::Add, 1, 2),
                        Inst::Binary(Binary::Mul, 3, 2),
                    ],
                    reductions: vec![],
                    epilogue: vec![],
                    stores: vec![Store { param: 2, value: 4, at: at(0, &[1]) }],
                };
                let mut rng = Rng(n as u64);
                let inputs: Vec<Vec<u8>> = nest.params.iter().map(|p| content(&mut rng, dtype, p.len, true)).collect();
                check(&nest, &inputs, &mut rng, &|_, _| 0.0);
            }
        }
    }
}

#[test]
fn an_operation_in_place() {
    let (_code, kernel) = compile(&map(Unary::Neg, 1003), Vectors::Widest);
    let mut x: Vec<f32> = (0..1003).map(|i| i as f32).collect();
    let pointer: *mut u8 = x.as_mut_ptr().cast();
    // SAFETY: both params are this buffer; each point loads only the element it stores.
    unsafe { (kernel.func)([pointer, pointer].as_ptr(), 0, kernel.split as i64) };
    assert!(x.iter().enumerate().all(|(i, x)| *x == -(i as f32)));
}

#[test]
fn equal_nests_are_compiled_once() {
    let mut jit = Jit::new().expect("this machine has code");
    let nest = map(Unary::Exp, 100);
    let a = jit.define(&nest).expect("well formed");
    let b = jit.define(&LoopNest { name: "other".into(), ..nest.clone() }).expect("well formed");
    let c = jit.define(&map(Unary::Log, 100)).expect("well formed");
    assert_eq!(a, b);
    assert_ne!(a, c);
    let code = std::sync::Arc::new(jit.finish().expect("memory can be made executable"));
    let kernel = code.kernel(c);
    let thread = std::thread::spawn(move || {
        let mut x = vec![1f32; 100];
        let mut y = vec![7f32; 100];
        let pointers = [x.as_mut_ptr().cast(), y.as_mut_ptr().cast()];
        // SAFETY: two buffers of 100 f32.
        unsafe { (code.kernel(c).func)(pointers.as_ptr(), 0, 100) };
        y
    });
    assert_eq!(kernel.split, 100);
    assert_eq!(thread.join().expect("the kernel returns"), vec![0.0; 100]);
}

#[test]
fn what_is_not_well_formed_is_refused() {
    let mut nest = map(Unary::Exp, 100);
    nest.axes[0].extent = 101;
    let error = Jit::new().expect("this machine has code").define(&nest).expect_err("out of bounds").to_string();
    assert!(error.contains("reaches 0..=100 of 100 elements"), "{error}");
}

/// Large enough to be tiled, with and without a rest, whole and inside an outer loop.
#[test]
fn transpositions() {
    let mut rng = Rng(6);
    for (batch, rows, columns) in [(1, 64, 512), (1, 48, 40), (2, 96, 36), (3, 50, 34), (1, 37, 41)] {
        for dtype in [DType::F32, DType::F64, DType::U8, DType::Bool] {
            let n = batch * rows * columns;
            let (page, width, height) = ((rows * columns) as i64, columns as i64, rows as i64);
            let nest = LoopNest {
                name: "transposition".into(),
                params: vec![Param { dtype, len: n }; 2],
                axes: [batch, columns, rows].map(|extent| Axis { extent, reduce: false }).to_vec(),
                body: vec![Inst::Load { param: 0, at: at(0, &[page, 1, width]) }],
                reductions: vec![],
                epilogue: vec![],
                stores: vec![Store { param: 1, value: 0, at: at(0, &[page, height, 1]) }],
            };
            let inputs = [content(&mut rng, dtype, n, false), vec![1; n * dtype.size()]];
            check(&nest, &inputs, &mut rng, &|_, _| 0.0);
        }
    }
}

/// Shapes of reductions beyond what random nests reach: many columns, long rows, several at once.
#[test]
fn large_reductions() {
    let mut rng = Rng(5);
    for (rows, columns, over_rows) in
        [(3, 1000, false), (1000, 3, false), (70, 301, true), (301, 70, true), (4096, 1, true)]
    {
        let (extents, strides) =
            if over_rows { ([columns, rows], [1, columns as i64]) } else { ([rows, columns], [columns as i64, 1]) };
        for kind in [ReduceKind::Sum, ReduceKind::Max] {
            let nest = LoopNest {
                name: "sums".into(),
                params: [rows * columns, extents[0], extents[0]].map(|len| Param { dtype: DType::F32, len }).to_vec(),
                axes: vec![Axis { extent: extents[0], reduce: false }, Axis { extent: extents[1], reduce: true }],
                body: vec![
                    Inst::Load { param: 0, at: at(0, &strides) },
                    Inst::Const(Literal::scalar(DType::F32, 0.5)),
                    Inst::Binary(Binary::Mul, 0, 1),
                ],
                reductions: vec![Reduction { kind, value: 0 }, Reduction { kind, value: 2 }],
                epilogue: vec![Inst::Acc(0), Inst::Acc(1)],
                stores: (0..2).map(|i| Store { param: 1 + i, value: 3 + i, at: at(0, &[1, 0]) }).collect(),
            };
            let inputs: Vec<Vec<u8>> = nest.params.iter().map(|p| content(&mut rng, p.dtype, p.len, true)).collect();
            // Values lie in 0.75..1.25, so a sum is below 1.25 n and its error below n epsilon times that.
            let n = extents[1] as f64;
            let bound = if kind == ReduceKind::Sum { 1.25 * n * n * f64::from(f32::EPSILON) } else { 0.0 };
            check(&nest, &inputs, &mut rng, &|p, _| if p == 0 { 0.0 } else { bound });
        }
    }
}

/// The greater and the lesser of every pair of edges, in vectors of either width and in the rest.
#[test]
fn extremes_of_edges() {
    let edges = [0.0, -0.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.0, -1.0, 1e-310, 1e-42, -1e-42];
    let pairs: Vec<(f64, f64)> = edges.iter().flat_map(|x| edges.map(|y| (*x, y))).collect();
    for (dtype, op) in [DType::F32, DType::F64].into_iter().flat_map(|d| [(d, Binary::Max), (d, Binary::Min)]) {
        let n = pairs.len();
        let nest = LoopNest {
            name: op.name().into(),
            params: vec![Param { dtype, len: n }; 3],
            axes: vec![Axis { extent: n, reduce: false }],
            body: vec![
                Inst::Load { param: 0, at: at(0, &[1]) },
                Inst::Load { param: 1, at: at(0, &[1]) },
                Inst::Binary(op, 0, 1),
            ],
            reductions: vec![],
            epilogue: vec![],
            stores: vec![Store { param: 2, value: 2, at: at(0, &[1]) }],
        };
        let bytes = |of: fn(&(f64, f64)) -> f64| -> Vec<u8> {
            pairs.iter().flat_map(|p| Literal::scalar(dtype, of(p)).bytes().to_vec()).collect()
        };
        let inputs = [bytes(|p| p.0), bytes(|p| p.1), vec![1; n * dtype.size()]];
        check(&nest, &inputs, &mut Rng(1), &|_, _| 0.0);
    }
}
