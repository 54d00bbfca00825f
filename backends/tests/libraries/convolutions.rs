//! Convolutions by cuDNN.

use super::products::tolerance;
use super::{SETTINGS, check, gpu, graph, oracle, run};
use gradloom_backends::cuda::{Gpu, ProductPrecision, set_deterministic_products, set_product_precision};
use gradloom_ir::eval::eval;
use gradloom_ir::{Builder, DType, Graph, Op, Type, infer};
use gradloom_passes::transform::transpose;

/// A convolution: lengths in the order batch, features (of the filter: those of the result, those of the operand), space.
#[derive(Clone, Debug)]
struct Form {
    lhs: Vec<usize>,
    rhs: Vec<usize>,
    dims: [Vec<usize>; 3],
    strides: Vec<usize>,
    padding: Vec<(i64, i64)>,
    lhs_dilation: Vec<usize>,
    rhs_dilation: Vec<usize>,
    groups: (usize, usize),
}

impl Form {
    fn new(lhs: &[usize], rhs: &[usize]) -> Form {
        let axes = lhs.len() - 2;
        let dims: Vec<usize> = (0..lhs.len()).collect();
        Form {
            lhs: lhs.to_vec(),
            rhs: rhs.to_vec(),
            dims: [dims.clone(), dims.clone(), dims],
            strides: vec![1; axes],
            padding: vec![(0, 0); axes],
            lhs_dilation: vec![1; axes],
            rhs_dilation: vec![1; axes],
            groups: (1, 1),
        }
    }

    fn padding(mut self, padding: &[(i64, i64)]) -> Form {
        self.padding = padding.to_vec();
        self
    }

    fn strides(mut self, strides: &[usize]) -> Form {
        self.strides = strides.to_vec();
        self
    }

    fn dilation(mut self, lhs: &[usize], rhs: &[usize]) -> Form {
        (self.lhs_dilation, self.rhs_dilation) = (lhs.to_vec(), rhs.to_vec());
        self
    }

    fn groups(mut self, of_features: usize, of_batch: usize) -> Form {
        self.groups = (of_features, of_batch);
        self
    }

    fn dims(mut self, lhs: &[usize], rhs: &[usize], out: &[usize]) -> Form {
        self.dims = [lhs.to_vec(), rhs.to_vec(), out.to_vec()];
        self
    }

    fn op(&self) -> Op {
        Op::Convolution {
            lhs_dims: self.dims[0][..].into(),
            rhs_dims: self.dims[1][..].into(),
            out_dims: self.dims[2][..].into(),
            strides: self.strides[..].into(),
            padding: self.padding[..].into(),
            lhs_dilation: self.lhs_dilation[..].into(),
            rhs_dilation: self.rhs_dilation[..].into(),
            feature_groups: self.groups.0,
            batch_groups: self.groups.1,
        }
    }

    fn types(&self, dtype: DType) -> [Type; 2] {
        [(&self.lhs, &self.dims[0]), (&self.rhs, &self.dims[1])].map(|(lengths, dims)| {
            let mut shape = vec![0; lengths.len()];
            dims.iter().zip(lengths).for_each(|(&d, &n)| shape[d] = n);
            Type::new(dtype, &shape)
        })
    }

    fn graph(&self, dtype: DType) -> Graph {
        let (mut b, x) = Builder::with_inputs(&self.types(dtype));
        let y = b.op(self.op(), &x);
        b.finish(&[y]).unwrap_or_else(|e| panic!("{e}\n{self:?}"))
    }

    /// The gradients with respect to the operand, then the filter.
    fn gradients(&self, dtype: DType) -> [Graph; 2] {
        let g = self.graph(dtype);
        [[true, false], [false, true]].map(|linear| transpose(&g, &linear).unwrap_or_else(|e| panic!("{e}\n{g}")).graph)
    }
}

const DTYPES: [(DType, &str); 4] =
    [(DType::F32, "f32"), (DType::F64, "f64"), (DType::F16, "f16"), (DType::BF16, "bf16")];

#[track_caller]
fn check_graph(gpu: &'static Gpu, g: &Graph, dtype: &str) -> String {
    check(gpu, g, &oracle::inputs(1, g, false), tolerance(dtype))
}

/// Which of the library's functions compute a program.
fn directions(schedule: &str) -> Vec<&str> {
    let calls = schedule.lines().filter(|l| l.starts_with("library convolution"));
    calls.filter_map(|l| l.split("direction: ").nth(1)?.split([',', ' ']).next()).collect()
}

/// How many kernels lay arrays out.
fn copies(schedule: &str) -> usize {
    schedule.lines().filter(|l| l.contains("kernel lay_")).count()
}

/// One, two, three axes and none; strides, dilation, padding of all kinds.
fn forms() -> Vec<Form> {
    vec![
        Form::new(&[2, 3, 9], &[4, 3, 3]),
        Form::new(&[2, 3, 9], &[4, 3, 3]).strides(&[2]).padding(&[(1, 1)]),
        Form::new(&[2, 3, 9], &[4, 3, 3]).padding(&[(2, 0)]).dilation(&[1], &[2]),
        Form::new(&[2, 3, 6, 7], &[4, 3, 3, 2]).padding(&[(1, 1), (0, 0)]),
        Form::new(&[2, 3, 6, 7], &[4, 3, 3, 3]).strides(&[2, 2]).padding(&[(0, 1), (1, 1)]),
        Form::new(&[2, 3, 8, 8], &[4, 3, 2, 3]).strides(&[3, 2]).dilation(&[1, 1], &[2, 1]),
        Form::new(&[2, 3, 6, 7], &[4, 3, 3, 3]).padding(&[(-1, 2), (0, -2)]),
        Form::new(&[2, 3, 7, 7], &[4, 3, 5, 5]).padding(&[(2, 2), (2, 2)]),
        Form::new(&[2, 3, 4, 5, 4], &[2, 3, 2, 3, 2]).strides(&[1, 2, 1]).padding(&[(0, 0), (1, 1), (1, 0)]),
        Form::new(&[3, 4], &[5, 4]),
    ]
}

#[test]
fn forward_on_every_float() {
    let Some(gpu) = gpu() else { return };
    for (dtype, name) in DTYPES {
        for form in forms() {
            let schedule = check_graph(gpu, &form.graph(dtype), name);
            assert_eq!(directions(&schedule), ["Forward"], "{form:?}\n{schedule}");
        }
    }
}

/// With respect to the operand and the filter, as the rules of transposition write them.
#[test]
fn gradients() {
    let Some(gpu) = gpu() else { return };
    for (dtype, name) in DTYPES {
        // the window of the one that is left out is as long as its operand
        for form in forms().into_iter().filter(|f| f.lhs.len() > 2) {
            let [of_operand, of_filter] = form.gradients(dtype);
            let schedule = check_graph(gpu, &of_operand, name);
            let has_gaps = form.strides.iter().any(|&s| s > 1);
            let expected = if has_gaps { "BackwardData" } else { "Forward" };
            assert_eq!(directions(&schedule), [expected], "{form:?}\n{schedule}");
            let schedule = check_graph(gpu, &of_filter, name);
            assert_eq!(directions(&schedule), ["BackwardFilter"], "{form:?}\n{schedule}");
        }
    }
}

/// Groups of features, as many as there are features, and groups of the batch; and their gradients.
#[test]
fn groups() {
    let Some(gpu) = gpu() else { return };
    let two = [(1, 1), (1, 1)];
    for form in [
        Form::new(&[2, 4, 5, 5], &[6, 2, 3, 3]).groups(2, 1).padding(&two),
        Form::new(&[2, 4, 5, 6], &[4, 1, 3, 2]).groups(4, 1).strides(&[2, 1]),
        Form::new(&[2, 3, 8], &[6, 1, 3]).groups(3, 1).padding(&[(2, 0)]),
        Form::new(&[4, 3, 5, 5], &[6, 3, 3, 3]).groups(1, 2).padding(&two),
        Form::new(&[4, 3, 5, 6], &[4, 3, 3, 2]).groups(1, 4).strides(&[2, 2]).padding(&[(1, 0), (0, 0)]),
    ] {
        let [of_operand, of_filter] = form.gradients(DType::F32);
        for g in [form.graph(DType::F32), of_operand, of_filter] {
            let schedule = check_graph(gpu, &g, "f32");
            assert_eq!(directions(&schedule).len(), 1, "{g}\n{schedule}");
        }
    }
}

/// Features before or behind the spatial axes are read where they lie; of other orders what does not fit is laid out.
#[test]
fn orders_of_axes() {
    let Some(gpu) = gpu() else { return };
    let form = |l: &[usize], r: &[usize], o: &[usize]| {
        Form::new(&[3, 4, 6, 5], &[8, 4, 3, 3]).padding(&[(1, 1), (1, 1)]).strides(&[2, 1]).dims(l, r, o)
    };
    let (first, last) = ([0, 1, 2, 3], [0, 3, 1, 2]);
    let (input_last, batch_last, swapped) = ([3, 2, 0, 1], [3, 0, 1, 2], [2, 1, 3, 0]);
    for (l, r, o, [forward, of_operand, of_filter]) in [
        (first, first, first, [0, 1, 0]),
        (last, last, last, [0, 1, 0]),
        (last, input_last, last, [1, 1, 1]),
        (batch_last, first, batch_last, [2, 3, 2]),
        (swapped, input_last, last, [2, 2, 2]),
    ] {
        let form = form(&l, &r, &o);
        let [with_operand, with_filter] = form.gradients(DType::F32);
        for (g, expected) in [(form.graph(DType::F32), forward), (with_operand, of_operand), (with_filter, of_filter)] {
            let schedule = check_graph(gpu, &g, "f32");
            assert_eq!((directions(&schedule).len(), copies(&schedule)), (1, expected), "{g}\n{schedule}");
        }
    }
}

/// A library that refuses the first order of axes is asked for another.
#[test]
fn refused_orders_are_laid_out() {
    let Some(gpu) = gpu() else { return };
    let last = [0, 3, 1, 2];
    let form = Form::new(&[2, 3, 6, 5], &[4, 3, 3, 3]).dims(&last, &last, &last);
    let schedule = check_graph(gpu, &form.graph(DType::F64), "f64");
    assert!(schedule.contains("features_last: false"), "{schedule}");
    assert_eq!(copies(&schedule), 3, "{schedule}");
    let schedule = check_graph(gpu, &form.graph(DType::F16), "f16");
    assert!(schedule.contains("features_last: true") && copies(&schedule) == 0, "{schedule}");
}

#[test]
fn what_the_library_does_not_take_is_computed_by_kernels() {
    let Some(gpu) = gpu() else { return };
    for (form, dtype) in [
        (Form::new(&[1, 2, 3, 3, 3, 2], &[2, 2, 2, 2, 2, 2]), DType::F32),
        (Form::new(&[2, 3, 6], &[4, 3, 3]), DType::I32),
        (Form::new(&[2, 3, 2], &[4, 3, 3]), DType::F32),
        (Form::new(&[2, 0, 6], &[4, 0, 3]), DType::F32),
    ] {
        let g = form.graph(dtype);
        let schedule = check_graph(gpu, &g, "f32");
        assert!(!schedule.contains("library"), "{form:?}\n{schedule}");
    }
}

/// Numbers below `n` that repeat with every run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % n
    }

    fn order(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        (1..n).for_each(|i| order.swap(i, self.below(i + 1)));
        order
    }
}

/// Anything at once: all orders of axes, strides where the operand has gaps, padding that cuts off.
#[test]
fn drawn_by_chance() {
    let Some(gpu) = gpu() else { return };
    let mut r = Draw(11);
    let mut called = 0;
    for _ in 0..40 {
        let axes = 1 + r.below(3);
        let (of_features, of_batch) = [(1, 1), (1, 1), (2, 1), (1, 2)][r.below(4)];
        let (inputs, outputs) = (1 + r.below(3), of_features * of_batch * (1 + r.below(2)));
        let mut lhs = vec![of_batch * (1 + r.below(2)), of_features * inputs];
        let mut rhs = vec![outputs, inputs];
        lhs.extend((0..axes).map(|_| 1 + r.below(6)));
        rhs.extend((0..axes).map(|_| 1 + r.below(3)));
        let mut form = Form::new(&lhs, &rhs).groups(of_features, of_batch);
        for a in 0..axes {
            form.strides[a] = [1, 1, 2, 3][r.below(4)];
            form.lhs_dilation[a] = [1, 1, 2, 3][r.below(4)];
            form.rhs_dilation[a] = [1, 1, 2][r.below(3)];
            form.padding[a] = (r.below(6) as i64 - 2, r.below(6) as i64 - 2);
        }
        if r.below(2) == 0 {
            form.strides = vec![1; axes];
        }
        form.dims = [(); 3].map(|()| r.order(axes + 2));
        let empty = infer(&form.op(), &form.types(DType::F32)).is_ok_and(|out| out[0].numel() == 0);
        let schedule = check_graph(gpu, &form.graph(DType::F32), "f32");
        assert_eq!(directions(&schedule).len(), usize::from(!empty), "{form:?}\n{schedule}");
        called += usize::from(!empty);
    }
    assert!(called > 20, "{called}");
}

/// Rows of a loop begin where tensor cores do not read: they are laid out before, and what is written after.
#[test]
fn rows_of_a_loop() {
    let Some(gpu) = gpu() else { return };
    let text = "graph(%0: f32[2,3,3], %1: f32[4,1,3,7]) {
        %2 = scan(%0, %1) {body = graph(%0: f32[2,3,3], %1: f32[1,3,7]) {
            %2 = convolution(%1, %0) {lhs_dims = [0, 1, 2], rhs_dims = [0, 1, 2], out_dims = [0, 1, 2], strides = [1],
                padding = [(0, 0)], lhs_dilation = [1], rhs_dilation = [1], feature_groups = 1, batch_groups = 1} : f32[1,2,5]
            return %2
        }, length = 4, reverse = false, consts = 1, carry = 0} : f32[4,1,2,5]
        return %2 }";
    let schedule = check_graph(gpu, &graph(text), "f32");
    assert_eq!((directions(&schedule), copies(&schedule)), (vec!["Forward"], 2), "{schedule}");
}

/// The settings of the process, one after the other: TF32 is only used where it is asked for.
#[test]
fn settings() {
    let Some(gpu) = gpu() else { return };
    let _settings = SETTINGS.write().unwrap_or_else(|e| e.into_inner());
    let form = Form::new(&[2, 8, 9, 9], &[4, 8, 3, 3]).strides(&[2, 2]).padding(&[(1, 1), (1, 1)]);
    let [of_operand, of_filter] = form.gradients(DType::F32);
    for g in [form.graph(DType::F32), of_operand, of_filter] {
        let inputs = oracle::inputs(3, &g, false);
        let expected = eval(&g, &inputs).unwrap_or_else(|e| panic!("{e}")).remove(0).to_f64();
        let error = || {
            let (program, outs) = run(gpu, &g, &inputs);
            assert_eq!(directions(&program.schedule()).len(), 1, "{g}");
            outs[0].to_f64().iter().zip(&expected).fold(0f64, |m, (x, y)| m.max((x - y).abs()))
        };
        let exact = error();
        assert!(exact < 1e-4, "{exact}");
        set_deterministic_products(true);
        let exact = error();
        set_deterministic_products(false);
        assert!(exact < 1e-4, "{exact}");
        set_product_precision(ProductPrecision::Tf32);
        let rounded = error();
        set_product_precision(ProductPrecision::Full);
        assert!(rounded > 1e-4 && rounded < 0.1, "{rounded}");
    }
}

/// What takes longer than to queue it is timed, and its result is that of any algorithm.
#[test]
fn timed() {
    let Some(gpu) = gpu() else { return };
    let form = Form::new(&[2, 16, 24, 24], &[32, 16, 3, 3]).padding(&[(1, 1), (1, 1)]);
    let [_, of_filter] = form.gradients(DType::F32);
    for g in [form.graph(DType::F32), of_filter] {
        let schedule = check(gpu, &g, &oracle::inputs(1, &g, false), 2e-4);
        assert_eq!(directions(&schedule).len(), 1, "{g}");
    }
}
