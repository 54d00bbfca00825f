//! Random programs of many loops, some with effects: the passes over loops keep every bit, and each effect in its place.

use crate::oracle::{Random, agree, inputs};
use gradloom_ir::{
    Binary, Builder, Callback, Comparison, DType, Graph, Literal, Op, Type, Unary, Value, eval::eval, verify,
};
use gradloom_passes::{FuseLoops, Pass, Pipeline, UnrollScans, count_loops, pass_fn};
use std::sync::{Arc, Mutex};

/// Steps of most loops.
const LENGTH: usize = 5;

const F: DType = DType::F64;

/// A program under way: its numbers, and its rows of numbers.
struct Program<'a> {
    r: &'a mut Random,
    b: Builder,
    numbers: Vec<Value>,
    rows: Vec<Value>,
    see: Op,
}

impl Program<'_> {
    fn pick(&mut self, from: &[Value]) -> Value {
        // recent ones more often
        let n = from.len();
        from[if self.r.below(2) == 0 { self.r.below(n) } else { n - 1 - self.r.below(n.min(3)) }]
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.r.below(n) == 0
    }

    /// The body of a loop of `inputs` numbers with `outputs` results.
    fn body(&mut self, inputs: usize, outputs: usize) -> Graph {
        let (mut b, mut values) = Builder::with_inputs(&vec![Type::scalar(F); inputs]);
        for _ in 0..1 + self.r.below(4) {
            let (x, y) = (self.pick(&values), self.pick(&values));
            values.push(match self.r.below(4) {
                0 => b.unary(Unary::Tanh, x),
                1 => b.sub(x, y),
                2 => b.binary(Binary::Max, x, y),
                _ => b.mul(x, y),
            });
        }
        if self.one_in(5) {
            b.emit(self.see.clone(), &[values[values.len() - 1]]).expect("it takes anything");
        }
        let out: Vec<Value> = (0..outputs).map(|_| self.pick(&values)).collect();
        b.finish(&out).expect("well-formed")
    }

    fn scan(&mut self) {
        let length = if self.one_in(4) { LENGTH - 1 } else { LENGTH };
        let fits: Vec<Value> = self.rows.iter().copied().filter(|&v| self.b.ty(v).shape[0] == length).collect();
        let (consts, carry, stacks) = (self.r.below(3), self.r.below(3), self.r.below(3));
        let xs = if fits.is_empty() { 0 } else { self.r.below(3) };
        if consts + carry + xs == 0 || carry + stacks == 0 {
            return;
        }
        let body = self.body(consts + carry + xs, carry + stacks);
        let numbers = self.numbers.clone();
        let mut args: Vec<Value> = (0..consts + carry).map(|_| self.pick(&numbers)).collect();
        args.extend((0..xs).map(|_| self.pick(&fits)));
        let op = Op::Scan { body: Arc::new(body), length, reverse: self.one_in(3), consts, carry };
        let results = self.b.emit(op, &args).expect("well-typed");
        self.numbers.extend(&results[..carry]);
        self.rows.extend(&results[carry..]);
    }

    fn counted(&mut self) {
        let carry = 1 + self.r.below(2);
        let dtype = [DType::I32, DType::U8, DType::I64][self.r.below(3)];
        let types = [vec![Type::scalar(dtype)], vec![Type::scalar(F); carry]].concat();
        let up = self.one_in(2);
        let step = 1 + self.r.below(2);
        let (from, to) = if up { (3, 3 + LENGTH * step) } else { (LENGTH * step, 0) };
        let (mut c, args) = Builder::with_inputs(&types);
        let bound = c.scalar(dtype, to as f64);
        let test = match (up, self.one_in(2)) {
            (true, true) => c.compare(Comparison::Lt, args[0], bound),
            (false, true) => c.compare(Comparison::Lt, bound, args[0]),
            (_, false) => c.compare(Comparison::Ne, args[0], bound),
        };
        let cond = c.finish(&[test]).expect("well-formed");
        let inner = self.body(carry, carry);
        let (mut b, args) = Builder::with_inputs(&types);
        let by = b.scalar(dtype, step as f64);
        let next = b.binary(if up { Binary::Add } else { Binary::Sub }, args[0], by);
        let state = b.inline(&inner, &args[1..]).expect("well-typed");
        let body = b.finish(&[vec![next], state].concat()).expect("well-formed");
        let op = Op::While { cond: Arc::new(cond), body: Arc::new(body), cond_consts: 0, body_consts: 0 };
        let numbers = self.numbers.clone();
        let mut args = vec![self.b.scalar(dtype, from as f64)];
        args.extend((0..carry).map(|_| self.pick(&numbers)));
        let results = self.b.emit(op, &args).expect("well-typed");
        self.numbers.extend(&results[1..]);
    }

    fn step(&mut self) {
        let (numbers, rows) = (self.numbers.clone(), self.rows.clone());
        match self.r.below(12) {
            0 => {
                let (x, y) = (self.pick(&numbers), self.pick(&numbers));
                let z = self.b.sub(x, y);
                self.numbers.push(z);
            }
            1 => {
                let x = self.pick(&rows);
                let y = self.b.unary(Unary::Tanh, x);
                self.rows.push(y);
            }
            2 if self.one_in(2) => {
                let x = self.pick(&numbers);
                self.b.emit(self.see.clone(), &[x]).expect("it takes anything");
            }
            3 | 4 => self.counted(),
            _ => self.scan(),
        }
    }
}

/// What the effects of a program have seen.
type Log = Arc<Mutex<Vec<String>>>;

fn program(seed: u64) -> (Graph, Log) {
    let log = Log::default();
    let sink = log.clone();
    let callback = Callback::new("see", move |x| {
        sink.lock().expect("no panic").push(format!("{x:?}"));
        Ok(Vec::new())
    });
    let see = Op::HostCall { callback, results: Vec::new(), effect: true };
    let types = [vec![Type::scalar(F); 3], vec![Type::new(F, &[LENGTH]), Type::new(F, &[LENGTH - 1])]].concat();
    let (b, args) = Builder::with_inputs(&types);
    let r = &mut Random(seed);
    let (numbers, rows) = (args[..3].to_vec(), args[3..].to_vec());
    let mut p = Program { r, b, numbers, rows, see };
    for _ in 0..4 + p.r.below(12) {
        p.step();
    }
    let mut out: Vec<Value> = p.numbers.iter().chain(&p.rows).copied().collect();
    out.retain(|_| p.r.below(3) > 0);
    (p.b.finish(&out).expect("well-formed"), log)
}

fn run(g: &Graph, x: &[Literal], log: &Log) -> (Vec<Literal>, Vec<String>) {
    let out = eval(g, x).unwrap_or_else(|e| panic!("{e}\n{g}"));
    (out, std::mem::take(&mut log.lock().expect("no panic")))
}

/// Loops of a program, those inside others not counted.
fn loops(g: &Graph) -> usize {
    g.nodes().iter().filter(|n| matches!(n.op, Op::Scan { .. } | Op::While { .. })).count()
}

/// Runs a pipeline on many programs and gives how many of their loops it left.
#[track_caller]
fn check(name: &str, p: &Pipeline, idempotent: bool) -> (usize, usize) {
    let (mut before, mut after) = (0, 0);
    for seed in 0..500 {
        let (g, log) = program(seed);
        let mut new = g.clone();
        p.run_with(&mut new, &mut Default::default()).unwrap_or_else(|e| panic!("{name}, {seed}: {e}\n{g}"));
        verify(&new).unwrap_or_else(|e| panic!("{name}, {seed}: {e}\n{g}\n{new}"));
        for k in 0..2 {
            let x = inputs(seed + k, &g, k == 0);
            let (old, seen) = run(&g, &x, &log);
            let (got, also) = run(&new, &x, &log);
            let same = old.iter().zip(&got).all(|(a, b)| agree(a, b, None)) && seen == also;
            assert!(same, "{name}, {seed}: {old:?} {seen:?} became {got:?} {also:?}\n{g}\n{new}");
        }
        if idempotent {
            let mut again = new.clone();
            p.run_with(&mut again, &mut Default::default()).expect("it ran before");
            assert_eq!(again, new, "{name}, {seed}: not idempotent");
        }
        (before, after) = (before + loops(&g), after + loops(&new));
    }
    (before, after)
}

fn alone(pass: impl Pass + 'static) -> Pipeline {
    Pipeline::empty().push(pass)
}

#[test]
fn fusion_keeps_bits_and_effects() {
    let (before, after) = check("fuse_loops", &alone(FuseLoops::default()), true);
    assert!(before > 2000 && after + 500 < before, "{before} loops, {after} of them left");
    check("fuse_loops", &alone(FuseLoops { counted: false }), true);
}

#[test]
fn counting_keeps_bits_and_effects() {
    let p = alone(pass_fn("count_loops", |g, _| count_loops(g)));
    check("count_loops", &p, true);
    let (g, _) = program(3);
    let mut new = g.clone();
    p.run(&mut new).expect("it runs");
    assert!(g.to_string().contains("while") && !new.to_string().contains("while"), "{g}\n{new}");
}

#[test]
fn unrolling_keeps_bits_and_effects() {
    for (straight, factor) in [(8, 4), (0, 2), (4, 2), (0, 1), (1, 3), (0, 0)] {
        let unroll = UnrollScans { straight, factor, max_nodes: 200 };
        let (before, after) = check("unroll_scans", &alone(unroll), false);
        assert!(straight < LENGTH || after < before / 2, "{before} loops, {after} of them left");
    }
    let none = UnrollScans { straight: 100, factor: 4, max_nodes: 0 };
    assert_eq!(check("unroll_scans", &alone(none), true).0, check("nothing", &Pipeline::empty(), true).1);
}

#[test]
fn all_together_keep_bits_and_effects() {
    let fuse_first = Pipeline::standard().with(FuseLoops::default()).with(UnrollScans::default());
    let unroll_first = Pipeline::standard().with(UnrollScans { straight: 0, ..Default::default() });
    for p in [fuse_first, unroll_first.with(FuseLoops::default())] {
        // `distribute` sums in another order; no loop here adds
        check(&p.names().join(", "), &p, false);
    }
}

/// A pipeline that repeats the pass that is not idempotent comes to an end.
#[test]
fn unrolling_again_and_again_ends() {
    let text = "graph(%0: f64[], %1: f64[1000]) {
        %2 = scan(%0, %1) {body = graph(%0: f64[], %1: f64[]) { %2 = multiply(%0, %1) : f64[] return %2 },
            length = 1000, reverse = false, consts = 0, carry = 1} : f64[]
        return %2
    }";
    let mut g = gradloom_ir::parse(text).expect("a program");
    let limits = UnrollScans { straight: 8, factor: 2, max_nodes: 100 };
    Pipeline::empty().push_fixpoint(vec![Arc::new(limits)], 10).run(&mut g).expect("it ends");
    assert!(g.total_nodes() < 1000, "{g}");
}

/// The derivative of the logistic function is made of its value, which the product needs anyway.
#[test]
fn a_derivative_made_of_a_residual_is_none() {
    let g = gradloom_ir::parse(
        "graph(%0: f32[3], %1: f32[9,3]) {
           %2 = scan(%0, %1) {body = graph(%0: f32[3], %1: f32[3]) {
             %2 = add(%0, %1) : f32[3]
             %3 = logistic(%2) : f32[3]
             %4 = multiply(%3, %0) : f32[3]
             return %4
           }, length = 9, reverse = false, consts = 0, carry = 1} : f32[3]
           return %2 }",
    )
    .expect("a program");
    let l = gradloom_passes::transform::linearize(&g, &[true, false]).expect("its derivative");
    let stacked = l.linear.input_types().iter().filter(|t| t.shape[..] == [9, 3]).count();
    assert_eq!(stacked, 2, "the value and the carry\n{}\n{}", l.primal, l.linear);
}
