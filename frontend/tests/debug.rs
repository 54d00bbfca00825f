//! Effects: how often and in which order they happen under every transform, how they fail, and what is said then.

use gradloom_frontend::prelude::*;
use gradloom_frontend::{Error, Result, debug};
use std::sync::{Arc, Mutex};

/// What callbacks have seen: all elements of all operands, call by call.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<Vec<f64>>>>);

impl Sink {
    #[track_caller]
    fn see(&self, values: &[&Tensor]) {
        let sink = self.0.clone();
        let push = move |values: &[Tensor]| -> Result<()> {
            let all: Result<Vec<Vec<f64>>> = values.iter().map(Tensor::to_f64_vec).collect();
            sink.lock().unwrap().push(all?.concat());
            Ok(())
        };
        debug::callback(push, values);
    }

    fn take(&self) -> Vec<Vec<f64>> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// The first operand of each call.
    fn firsts(&self) -> Vec<f64> {
        self.take().iter().map(|v| v[0]).collect()
    }
}

fn scalar(x: f32) -> Tensor {
    Tensor::from(x)
}

fn vector(x: &[f32]) -> Tensor {
    Tensor::from_slice([x.len()], x)
}

const DEVICES: [fn() -> Device; 2] = [Device::cpu, Device::interp];

/// The effects of `f` at `x`, on every device and outside `jit`, must be `expected`.
#[track_caller]
fn effects<A: Tree + Clone, B: Tree>(f: impl Fn(&A, &Sink) -> B, x: &A, expected: &[f64]) {
    let sink = Sink::default();
    for device in DEVICES {
        let compiled = jit(|x: &A| f(x, &sink)).on(device());
        for run in 0..2 {
            compiled.call(x).unwrap();
            assert_eq!(sink.firsts(), expected, "{:?}, run {run}", device());
        }
        compiled.run(x.clone()).unwrap();
        assert_eq!(sink.firsts(), expected, "{:?}, run", device());
    }
    f(x, &sink).leaves().iter().for_each(|t| t.check().unwrap());
    assert_eq!(sink.firsts(), expected, "outside jit");
}

#[test]
fn effects_happen_in_program_order_used_or_not() {
    effects(
        |x: &Tensor, s| {
            s.see(&[x]);
            let y = x * 2.0;
            s.see(&[&y, x]);
            s.see(&[&y, x]);
            s.see(&[&scalar(7.0)]);
            let unused = y.sin();
            s.see(&[&(&unused * 0.0 + 3.0)]);
            x + 1.0
        },
        &scalar(1.0),
        &[1.0, 2.0, 2.0, 7.0, 3.0],
    );
}

#[test]
fn a_function_with_effects_and_no_results() {
    effects(
        |x: &Tensor, s| {
            scan(|(): &(), row: &Tensor| (s.see(&[row]), ()), &(), x);
        },
        &vector(&[3.0, 1.0, 2.0]),
        &[3.0, 1.0, 2.0],
    );
}

#[test]
fn in_loops_and_branches() {
    let xs = vector(&[1.0, 2.0, 3.0]);
    let body = |s: &Sink, c: &Tensor, x: &Tensor| {
        s.see(&[x]);
        let c = c + x;
        s.see(&[&c]);
        c
    };
    effects(
        |xs: &Tensor, s| scan(|c, x: &Tensor| (body(s, c, x), ()), &scalar(0.0), xs).0,
        &xs,
        &[1.0, 1.0, 2.0, 3.0, 3.0, 6.0],
    );
    effects(
        |xs: &Tensor, s| scan_reverse(|c, x: &Tensor| (body(s, c, x), ()), &scalar(0.0), xs).0,
        &xs,
        &[3.0, 3.0, 2.0, 5.0, 1.0, 6.0],
    );
    // what depends on no step happens in every step all the same, and with a carry that nobody wants
    effects(
        |xs: &Tensor, s| {
            let total = xs.sum(..);
            fori_loop(0..3, |_, c: &Tensor| (s.see(&[&total]), c + 1.0).1, &scalar(0.0));
            fori_loop(0..1, |_, c: &Tensor| (s.see(&[c]), c + 1.0).1, &scalar(5.0));
            fori_loop(0..0, |_, c: &Tensor| (s.see(&[c]), c + 1.0).1, &scalar(8.0));
            total
        },
        &xs,
        &[6.0, 6.0, 6.0, 5.0],
    );
    effects(
        |x: &Tensor, s| {
            while_loop(
                |c: &Tensor| {
                    s.see(&[c]);
                    c.lt(3.0)
                },
                |c| {
                    s.see(&[&(c * 10.0)]);
                    c + 1.0
                },
                x,
            )
        },
        &scalar(1.0),
        &[1.0, 10.0, 2.0, 20.0, 3.0],
    );
    for (x, expected) in [(1.0, -1.0), (-4.0, 4.0)] {
        effects(
            |x: &Tensor, s| {
                let saying = |y: Tensor| (s.see(&[&y]), y).1;
                cond(&x.gt(0.0), |x: &Tensor| saying(-x), |x| saying(x.abs()), x)
            },
            &scalar(x),
            &[expected],
        );
    }
}

#[test]
fn vmap_goes_row_by_row() {
    let xs = vector(&[3.0, 1.0, 2.0]);
    effects(
        |xs: &Tensor, s| {
            vmap(|x: &Tensor| {
                s.see(&[x]);
                s.see(&[&scalar(9.0)]); // the same for all rows: once
                s.see(&[&scalar(0.5), x]);
                x * 2.0
            })(xs)
        },
        &xs,
        &[3.0, 1.0, 2.0, 9.0, 0.5, 0.5, 0.5],
    );
    // rows that take different ways have the effects of their own way
    effects(
        |xs: &Tensor, s| {
            let saying = |y: Tensor| (s.see(&[&y]), y).1;
            vmap(|x: &Tensor| cond(&x.gt(1.5), |x: &Tensor| saying(x * 10.0), |x| saying(-x), x))(xs)
        },
        &xs,
        &[30.0, -1.0, 20.0],
    );
    effects(
        |xs: &Tensor, s| {
            let down = |x: &Tensor| while_loop(|c: &Tensor| c.gt(0.0), |c| (s.see(&[c]), c - 1.0).1, x);
            vmap(down)(xs)
        },
        &xs,
        &[3.0, 2.0, 1.0, 1.0, 2.0, 1.0],
    );
    let grid = Tensor::from_slice([2, 2], &[1.0f32, 2.0, 3.0, 4.0]);
    effects(|g: &Tensor, s| vmap(vmap(|x: &Tensor| (s.see(&[x]), x + 1.0).1))(g), &grid, &[1.0, 2.0, 3.0, 4.0]);
    let y = jit(vmap(|x: &Tensor| cond(&x.gt(1.5), |x: &Tensor| (Sink::default().see(&[x]), x * 10.0).1, |x| -x, x)));
    assert_eq!(y.call(&xs).unwrap().to_vec::<f32>().unwrap(), [30.0, -1.0, 20.0]);
}

#[test]
fn effects_and_collectives_do_not_mix_where_rows_part() {
    let f = |x: &Tensor| {
        let branch = |x: &Tensor| (Sink::default().see(&[x]), psum(x, "i")).1;
        cond(&x.gt(0.0), branch, |x| x.clone(), x)
    };
    let e = jit(vmap_with(Vmap::new().axis_name("i"), f)).call(&vector(&[1.0, -1.0])).unwrap_err();
    assert!(e.message().contains("collectives over \"i\""), "{e}");
}

#[test]
fn derivatives_have_the_effects_of_the_function_once() {
    let cube = |s: &Sink, x: &Tensor| {
        s.see(&[x]);
        let y = x * x * x;
        s.see(&[&y]);
        y
    };
    let x = scalar(2.0);
    effects(|x: &Tensor, s| grad(|x: &Tensor| cube(s, x))(x), &x, &[2.0, 8.0]);
    effects(|x: &Tensor, s| grad(grad(|x: &Tensor| cube(s, x)))(x), &x, &[2.0, 8.0]);
    effects(|x: &Tensor, s| jvp(|x: &Tensor| cube(s, x), x, &scalar(1.0)), &x, &[2.0, 8.0]);
    effects(|x: &Tensor, s| linearize(|x: &Tensor| cube(s, x), x).1(&scalar(1.0)), &x, &[2.0, 8.0]);
    effects(|x: &Tensor, s| vjp(|x: &Tensor| cube(s, x), x).1(&scalar(1.0)), &x, &[2.0, 8.0]);
    effects(|x: &Tensor, s| hessian(|x: &Tensor| cube(s, x))(x), &x, &[2.0, 8.0]);
    effects(|x: &Tensor, s| grad(checkpoint(|x: &Tensor| cube(s, &x.sin())))(x), &scalar(0.0), &[0.0, 0.0]);
    let xs = vector(&[1.0, 2.0]);
    let total = |s: &Sink, xs: &Tensor| {
        let step = |c: &Tensor, x: &Tensor| (s.see(&[c]), (c + x) * c.cos()).1;
        scan(|c, x: &Tensor| (step(c, x), ()), &scalar(0.0), xs).0
    };
    effects(|xs: &Tensor, s| grad(|xs: &Tensor| total(s, xs))(xs), &xs, &[0.0, 1.0]);
    effects(|xs: &Tensor, s| vmap(grad(|xs: &Tensor| total(s, xs)))(&xs.expand_dims(0)), &xs, &[0.0, 1.0]);
    let checkpointed = |s: &Sink, xs: &Tensor| {
        let step = checkpoint(|(c, x): &(Tensor, Tensor)| (s.see(&[c]), (c + x) * c.cos()).1);
        scan(|c: &Tensor, x: &Tensor| (step(&(c.clone(), x.clone())), ()), &scalar(0.0), xs).0
    };
    effects(|xs: &Tensor, s| grad(|xs: &Tensor| checkpointed(s, xs))(xs), &xs, &[0.0, 1.0]);
    let branch = |s: &Sink, x: &Tensor| {
        cond(&x.gt(0.0), |x: &Tensor| (s.see(&[&(x * 3.0)]), x.sin()).1, |x: &Tensor| (s.see(&[x]), x.cos()).1, x)
    };
    effects(|x: &Tensor, s| grad(|x: &Tensor| branch(s, x))(x), &x, &[6.0]);
    effects(|xs: &Tensor, s| vmap(grad(|x: &Tensor| branch(s, x)))(xs), &vector(&[2.0, -1.0]), &[6.0, -1.0]);
    let twice = |s: &Sink, x: &Tensor| {
        let state = (scalar(0.0), x.clone());
        let body = |(i, x): &(Tensor, Tensor)| {
            s.see(&[i]);
            s.see(&[x]);
            (i + 1.0, x * x)
        };
        while_loop(|(i, _): &(Tensor, Tensor)| i.lt(2.0), body, &state).1
    };
    effects(|x: &Tensor, s| linearize(|x: &Tensor| twice(s, x), x).1(&scalar(1.0)), &x, &[0.0, 2.0, 1.0, 4.0]);
    effects(|x: &Tensor, s| jvp(|x: &Tensor| twice(s, x), x, &scalar(1.0)), &x, &[0.0, 2.0, 1.0, 4.0]);
}

#[test]
fn values_are_those_without_effects() {
    let plain = |xs: &Tensor| scan(|c: &Tensor, x: &Tensor| ((c + x) * c.cos(), c * x), &scalar(0.3), xs).1.sum(..);
    let seen = |xs: &Tensor| {
        let s = Sink::default();
        let body = |c: &Tensor, x: &Tensor| (s.see(&[c, x]), ((c + x) * c.cos(), c * x)).1;
        scan(body, &scalar(0.3), xs).1.sum(..)
    };
    let xs = vector(&[0.5, -1.0, 2.0, 0.25]);
    for device in DEVICES {
        let a = jit(grad(plain)).on(device()).call(&xs).unwrap().to_vec::<f32>().unwrap();
        let b = jit(grad(seen)).on(device()).call(&xs).unwrap().to_vec::<f32>().unwrap();
        a.iter().zip(&b).for_each(|(a, b)| assert!((a - b).abs() <= 1e-6 * a.abs().max(1.0), "{a} {b}"));
    }
}

#[test]
fn rules_of_the_users_own() {
    // in forward mode a tangent can be seen; in reverse mode there is none
    let f = |s: &Sink, x: &Tensor| {
        let rule = |x: &Tensor, dx: &Tensor| {
            s.see(&[x]);
            s.see(&[dx]);
            (x.sin(), dx * x.cos())
        };
        custom_jvp(|x: &Tensor| x.sin(), rule)(x)
    };
    let x = scalar(2.0);
    effects(|x: &Tensor, s| jvp(|x: &Tensor| f(s, x), x, &scalar(5.0)), &x, &[2.0, 5.0]);
    effects(|x: &Tensor, s| grad(|x: &Tensor| f(s, x))(x), &x, &[2.0]);
    let g = |s: &Sink, x: &Tensor| {
        let forward = |x: &Tensor| (s.see(&[x]), (x.sin(), x.clone())).1;
        custom_vjp(|x: &Tensor| x.sin(), forward, |x: &Tensor, ct: &Tensor| (s.see(&[ct]), ct * x.cos()).1)(x)
    };
    effects(|x: &Tensor, s| grad(|x: &Tensor| g(s, x) * 3.0)(x), &x, &[2.0, 3.0]);
}

fn double(x: &Tensor) -> Tensor {
    let f = |v: &[Tensor]| {
        let y: Vec<f32> = v[0].to_vec::<f32>()?.iter().map(|x| 2.0 * x).collect();
        Ok(vec![Tensor::from_slice(v[0].shape(), &y)])
    };
    debug::call(f, &[x], &[x.ty()]).remove(0)
}

#[test]
fn calls_return_values() {
    let xs = vector(&[1.0, 2.0, 3.0]);
    let run = |f: &dyn Fn(&Tensor) -> Tensor| -> Vec<Vec<f32>> {
        let compiled = DEVICES.map(|d| jit(f).on(d()).call(&xs).unwrap());
        compiled.iter().chain([&f(&xs)]).map(|t| t.to_vec().unwrap()).collect()
    };
    assert_eq!(run(&|x| double(&(x + 1.0)) * 10.0), vec![vec![40.0, 60.0, 80.0]; 3]);
    assert_eq!(run(&|x| vmap(|x: &Tensor| double(x) + 1.0)(x)), vec![vec![3.0, 5.0, 7.0]; 3]);
    assert_eq!(run(&|x| map(|x: &Tensor| double(x) + 1.0, x)), vec![vec![3.0, 5.0, 7.0]; 3]);
    let rule = |x: &Tensor, dx: &Tensor| (double(x), dx * 2.0);
    let f = |x: &Tensor| custom_jvp(double, rule)(x).square().sum(..);
    assert_eq!(run(&|x| grad(f)(x)), vec![vec![8.0, 16.0, 24.0]; 3]);
    assert_eq!(run(&|x| (double(&stop_gradient(x)) * x).sum(..) + grad(f)(x)), vec![vec![36.0, 44.0, 52.0]; 3]);
    assert_eq!(
        run(&|x| x + scan(|c: &Tensor, x: &Tensor| (double(c) + x, ()), &scalar(0.0), x).0),
        vec![vec![12.0, 13.0, 14.0]; 3]
    );
    let outs = debug::call(
        |_| Ok(vec![Tensor::arange(2), scalar(1.0)]),
        &[],
        &[debug::Type::new(DType::I32, &[2]), debug::Type::new(DType::F32, &[])],
    );
    assert_eq!(outs[0].to_vec::<i32>().unwrap(), [0, 1]);
    // one that nobody uses need not be called
    jit(|x: &Tensor| (debug::call(|_| Err(Error::user("f", "called")), &[x], &[x.ty()]), x + 1.0).1).call(&xs).unwrap();
}

#[track_caller]
fn says(e: &Error, parts: &[&str], line: u32) {
    let text = e.to_string();
    for p in parts {
        assert!(text.contains(p), "`{p}` is missing from:\n{text}");
    }
    assert_eq!(e.loc().file_line(), Some(("frontend/tests/debug.rs", line)), "{text}");
}

#[test]
fn calls_with_wrong_results_and_without_derivative() {
    let x = vector(&[1.0, 2.0]);
    let wrong = |x: &Tensor| debug::call(|_| Ok(vec![scalar(1.0)]), &[x], &[x.ty()]).remove(0);
    let line = line!() - 1;
    for e in [jit(wrong).call(&x).unwrap_err(), jit(wrong).on(Device::interp()).call(&x).unwrap_err()] {
        says(&e, &["debug::call", "returned f32[] as value 0, f32[2] was stated"], line);
    }
    says(&wrong(&x).check().unwrap_err(), &["f32[] as value 0"], line);
    let few = |x: &Tensor| debug::call(|_| Ok(vec![]), &[x], &[x.ty()]).remove(0);
    says(&jit(few).call(&x).unwrap_err(), &["returned 0 values, 1 were stated"], line!() - 1);
    let e = jit(grad(|x: &Tensor| double(x).sum(..))).call(&x).unwrap_err();
    assert!(e.to_string().contains("custom_jvp"), "{e}");
    // results that are no floats have no derivative to be unknown
    let count = |x: &Tensor| debug::call(|_| Ok(vec![Tensor::from(3i32)]), &[x], &[debug::Type::new(DType::I32, &[])]);
    let g = grad(move |x: &Tensor| (x * count(x)[0].to(DType::F32)).sum(..));
    assert_eq!(jit(g).call(&x).unwrap().to_vec::<f32>().unwrap(), [3.0, 3.0]);
}

#[test]
fn functions_may_run_programs() {
    let inner = Arc::new(jit(|x: &Tensor| x * 2.0 + 1.0));
    let big = Tensor::full([300, 300], 0.5f32, DType::F32);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (program, sink) = (inner.clone(), seen.clone());
    let outer = jit(move |x: &Tensor| {
        let (own, sink) = (program.clone(), sink.clone());
        let f = move |v: &[Tensor]| {
            // compiled, eager and transformed code, on as many threads as it likes
            let y = own.call(&v[0])?;
            let z = grad(|x: &Tensor| x.matmul(&v[0]).square().sum(..))(&y);
            sink.lock().unwrap().push((&y.matmul(&y) + &z).sum(..).item::<f32>()?);
            Ok(())
        };
        debug::callback(f, &[x]);
        (x.matmul(x).tanh() + program.call(x).unwrap()).sum(..)
    });
    outer.call(&big).unwrap();
    outer.call(&big).unwrap();
    let seen = seen.lock().unwrap();
    assert!(seen.len() == 2 && seen[0] == seen[1] && seen[0].is_finite(), "{seen:?}");
    // a compiled program inside a trace runs at once, and its functions are no part of the trace
    let x = scalar(3.0);
    let nested = jit(|x: &Tensor| (double(&(x + 1.0)), ()).0);
    let compiled = nested.lower(&x).unwrap().compile().unwrap();
    let one = scalar(1.0);
    let y = jit(|x: &Tensor| x + compiled.call(&one).unwrap()).call(&x).unwrap();
    assert_eq!(y.item::<f32>().unwrap(), 7.0);
}

#[test]
fn a_program_may_call_itself() {
    static COUNT: Mutex<Vec<f32>> = Mutex::new(Vec::new());
    fn factorial(x: &Tensor) -> Result<Tensor> {
        let f = jit(|x: &Tensor| {
            let go = |v: &[Tensor]| {
                let n = v[0].item::<f32>()?;
                COUNT.lock().unwrap().push(n);
                Ok(vec![if n <= 1.0 { scalar(1.0) } else { factorial(&(&v[0] - 1.0))? }])
            };
            x * debug::call(go, &[x], &[x.ty()]).remove(0)
        });
        f.call(x)
    }
    assert_eq!(factorial(&scalar(5.0)).unwrap().item::<f32>().unwrap(), 120.0);
    assert_eq!(*COUNT.lock().unwrap(), [5.0, 4.0, 3.0, 2.0, 1.0]);
}

#[test]
fn errors_and_panics_end_the_run_and_nothing_else() {
    let f = |x: &Tensor| {
        let refuse = |v: &[Tensor]| match v[0].item::<f32>()? {
            3.0 => Err(Error::user("mine", "three")),
            4.0 => panic!("four"),
            _ => Ok(()),
        };
        let body = |c: &Tensor, x: &Tensor| {
            debug::callback(refuse, &[x]);
            (c + x, c * x)
        };
        scan(body, &scalar(0.0), x)
    };
    let line = line!() - 5;
    let good = vector(&[1.0, 2.0, 5.0]);
    for device in DEVICES {
        let f = jit(f).on(device());
        for (bad, parts) in [(3.0, ["mine", "three"]), (4.0, ["debug::callback", "panicked: four"])] {
            says(&f.call(&vector(&[1.0, bad, 2.0])).unwrap_err(), &parts, line);
            says(&f.run(vector(&[1.0, bad, 2.0])).unwrap_err(), &parts, line);
            let (sum, products) = f.call(&good).unwrap();
            assert_eq!(sum.item::<f32>().unwrap(), 8.0);
            assert_eq!(products.to_vec::<f32>().unwrap(), [0.0, 2.0, 15.0]);
        }
    }
    says(&f(&vector(&[3.0])).0.check().unwrap_err(), &["three"], line);
    let e = debug::callback(|_| Err(Error::user("mine", "no")), &[]).check().unwrap_err();
    says(&e, &["mine: no"], line!() - 1);
}

#[test]
fn formats_are_checked_at_once() {
    let x = scalar(1.0);
    let says_of =
        |format: &str, values: &[&Tensor]| debug::print(format, values).check().unwrap_err().message().to_string();
    assert!(says_of("{} {}", &[&x]).contains("placeholders for 2 values, 1 are given"));
    assert!(says_of("none", &[&x]).contains("placeholders for 0 values, 1 are given"));
    for bad in ["{", "}", "{:?}", "{0}", "a } b"] {
        let text = says_of(bad, &[&x]);
        assert!(text.contains("brace") && !text.contains('\n'), "{bad}: {text}");
    }
    debug::print("{{}} {}", &[&x]).check().unwrap();
    let e = jit(|x: &Tensor| (debug::print("{} {}", &[x]), x + 1.0).1).call(&x).unwrap_err();
    says(&e, &["debug::print", "2 values"], line!() - 1);
    let e = jit(|x: &Tensor| debug::check(x, &x.gt(0.0), "{} {}")).call(&x).unwrap_err();
    says(&e, &["2 placeholders"], line!() - 1);
    says(&debug::check(&x, &x, "").check().unwrap_err(), &["f32", "bool"], line!());
    let bad = &vector(&[1.0]) + &vector(&[1.0, 2.0, 3.0]).reshape([3, 1]).squeeze(..).reshape([2]);
    assert!(debug::print("{}", &[&bad]).check().is_err());
    assert!(debug::check(&bad, &Tensor::from(true), "").check().is_err());
}

#[test]
fn checks_name_the_first_offender() {
    let f = |x: &Tensor| debug::check(x, &x.ge(0.0), "no root of {}").sqrt();
    let line = line!() - 1;
    let good = Tensor::from_slice([2, 2], &[1.0f32, 4.0, 9.0, 16.0]);
    let bad = Tensor::from_slice([2, 2], &[1.0f32, 4.0, -9.0, -16.0]);
    for device in DEVICES {
        let f = jit(f).on(device());
        assert_eq!(f.call(&good).unwrap().to_vec::<f32>().unwrap(), [1.0, 2.0, 3.0, 4.0]);
        says(&f.call(&bad).unwrap_err(), &["no root of -9.0 (at index [1, 0])"], line);
    }
    says(&f(&bad).check().unwrap_err(), &["no root of -9.0 (at index [1, 0])"], line);
    says(&jit(grad(|x: &Tensor| f(x).sum(..))).call(&bad).unwrap_err(), &["no root of -9.0"], line);
    let g = jit(grad(|x: &Tensor| f(x).sum(..))).call(&good).unwrap();
    assert_eq!(g.to_vec::<f32>().unwrap()[..2], [0.5, 0.25]);
    says(&jit(vmap(f)).call(&bad).unwrap_err(), &["no root of -9.0 (at index [0])"], line);
    // a result that nobody uses is checked all the same; a scalar speaks of the whole
    let g = jit(|x: &Tensor| (debug::check(x, &x.sum(..).lt(3.0), "{} sums up to too much"), x + 1.0).1);
    assert!(g.call(&vector(&[1.0, 1.0])).is_ok());
    says(&g.call(&vector(&[1.0, 2.0])).unwrap_err(), &["[1.0, 2.0] sums up to too much\n"], line!() - 2);
    // a branch not taken does not fail, under vmap neither
    let h = |x: &Tensor| cond(&x.ge(0.0), f, |x: &Tensor| -x, x);
    assert_eq!(jit(vmap(h)).call(&vector(&[-2.0, 9.0])).unwrap().to_vec::<f32>().unwrap(), [2.0, 3.0]);
}

#[test]
fn checks_in_loops() {
    let f = |xs: &Tensor| {
        let body = |c: &Tensor, x: &Tensor| {
            let c = debug::check(&(c + x), &(c + x).lt(5.0), "the sum reaches {}");
            (c.clone(), c)
        };
        scan(body, &scalar(0.0), xs).1
    };
    let line = line!() - 5;
    for device in DEVICES {
        let f = jit(f).on(device());
        assert_eq!(f.call(&vector(&[1.0, 2.0])).unwrap().to_vec::<f32>().unwrap(), [1.0, 3.0]);
        says(&f.call(&vector(&[1.0, 2.0, 3.0, 4.0])).unwrap_err(), &["the sum reaches 6.0"], line);
    }
    let halving = |x: &Tensor| while_loop(|c: &Tensor| c.gt(1.0), |c| debug::check(&(c / 2.0), &c.lt(50.0), "{}"), x);
    assert_eq!(jit(halving).call(&scalar(40.0)).unwrap().item::<f32>().unwrap(), 0.625);
    assert!(jit(halving).call(&scalar(64.0)).is_err());
}

#[test]
fn nans_are_found_where_they_begin() {
    let f = |x: &Tensor| {
        let y = x * 2.0;
        let z = &y / &y.sum(..);
        (z + 1.0).exp().sum(..)
    };
    let line = line!() - 3;
    let zeros = vector(&[0.0, 0.0]);
    for device in DEVICES {
        let checked = jit(f).on(device()).nan_check();
        let plain = jit(f).on(device());
        let x = vector(&[1.0, 2.0]);
        assert_eq!(
            checked.call(&x).unwrap().to_vec::<f32>().unwrap(),
            plain.call(&x).unwrap().to_vec::<f32>().unwrap()
        );
        assert!(plain.call(&zeros).unwrap().item::<f32>().unwrap().is_nan());
        says(&checked.call(&zeros).unwrap_err(), &["divide: gives the first NaN, at [0]", "f32[2], f32[2]"], line);
        // a NaN that came in is nobody's doing
        assert!(checked.call(&vector(&[f32::NAN, 1.0])).is_ok());
    }
    let e = jit(|x: &Tensor| x.exp() - x.exp()).nan_check().call(&vector(&[1.0, 1e4])).unwrap_err();
    says(&e, &["subtract", "at [1] of its result f32[2]", "f32[2] (infinite at [1])"], line!() - 1);
    // in the derivative, at the line of the function
    let e = jit(grad(|x: &Tensor| (x * 0.0).sqrt().sum(..))).nan_check().call(&vector(&[1.0])).unwrap_err();
    says(&e, &["multiply", "infinite"], line!() - 1);
    let e = jit(|x: &Tensor| Tensor::complex(x, x).log() * Tensor::complex(x, &x.zeros_like())).nan_check();
    says(&e.call(&vector(&[1.0, 0.0])).unwrap_err(), &["multiply", "c64[2]", "at [1]"], line!() - 1);
}

#[test]
fn nans_in_loops_and_branches() {
    let root = |x: &Tensor| fori_loop(0..5, |_, c: &Tensor| (c - 1.0).sqrt(), x);
    let line = line!() - 1;
    for device in DEVICES {
        says(&jit(root).on(device()).nan_check().call(&scalar(2.0)).unwrap_err(), &["sqrt", "f32[]"], line);
    }
    let f = |x: &Tensor| cond(&x.gt(0.0), |x: &Tensor| x.log(), |x: &Tensor| (-x).log(), x);
    assert!(jit(f).nan_check().call(&scalar(-2.0)).is_ok());
    let f = checkpoint(|x: &Tensor| x.log());
    says(&jit(f).nan_check().call(&scalar(-2.0)).unwrap_err(), &["log"], line!() - 1);
    let f = |x: &Tensor| while_loop(|c: &Tensor| c.log().gt(0.0), |c: &Tensor| c - 2.0, x);
    says(&jit(f).nan_check().call(&scalar(3.5)).unwrap_err(), &["log"], line!() - 1);
}

/// Runs this binary again for one of the tests below.
fn again(test: &str, nan_check: bool) -> String {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]).env("GRADLOOM_DEBUG_TEST", "1").env_remove("GRADLOOM_NAN_CHECK");
    if nan_check {
        command.env("GRADLOOM_NAN_CHECK", "1");
    }
    let out = command.output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{text}");
    text
}

fn is_again() -> bool {
    std::env::var_os("GRADLOOM_DEBUG_TEST").is_some()
}

#[test]
fn the_environment_asks_for_nan_checks() {
    if !is_again() {
        again("the_environment_asks_for_nan_checks", true);
        return;
    }
    let x = scalar(-1.0);
    says(&jit(|x: &Tensor| x.log()).call(&x).unwrap_err(), &["log"], line!());
    says(&x.log().check().unwrap_err(), &["log"], line!());
    says(&vmap(|x: &Tensor| x.log())(&vector(&[-1.0])).check().unwrap_err(), &["log"], line!());
    assert_eq!((&x + 1.0).item::<f32>().unwrap(), 0.0);
}

#[test]
fn printed_lines() {
    if !is_again() {
        let text = again("printed_lines", false);
        let lines: Vec<&str> = text.lines().filter(|l| l.starts_with("line ")).collect();
        let counted: Vec<String> = (0..3).map(|i| format!("line {i}.0 of [[1.0, 2.0], [3.0, 4.0]]")).collect();
        assert_eq!(lines[..3], counted[..], "{text}");
        assert_eq!(lines[3], "line {} true 7 1.5-2.0i");
        assert_eq!(lines[4], "line f32[2000] (too many elements to show)");
        assert_eq!(lines.len(), 5 + 4 * 50, "{text}");
        assert!(lines[5..].iter().all(|l| *l == "line of a thread 0.5"), "{text}");
        assert!(text.contains("placeholders for 0 values, 1 are given"), "{text}");
        return;
    }
    let x = Tensor::from_slice([2, 2], &[1.0f32, 2.0, 3.0, 4.0]);
    let f =
        |x: &Tensor| fori_loop(0..3, |_, c: &Tensor| (debug::print("line {} of {}", &[c, x]), c + 1.0).1, &scalar(0.0));
    println!();
    jit(f).call(&x).unwrap();
    let z = Tensor::complex(&scalar(1.5), &scalar(-2.0));
    debug::print("line {{}} {} {} {}", &[&Tensor::from(true), &Tensor::from(7i32), &z]);
    debug::print("line {}", &[&Tensor::zeros([2000])]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let f = jit(|x: &Tensor| (debug::print("line of a thread {}", &[x]), x + 1.0).1);
                (0..50).for_each(|_| drop(f.call(&scalar(0.5)).unwrap()));
            });
        }
    });
    debug::print("no one asks", &[&x]);
}
