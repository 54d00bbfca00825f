//! Arrays and programs on a GPU, in software where there is none: where things are, what moves, what is an error.

#[path = "../../backends/tests/software/mod.rs"]
mod software;

use gradloom_frontend as gradloom;
use gradloom_frontend::prelude::*;

fn close(a: &Tensor, b: &Tensor) -> bool {
    let (a, b) = (a.to_f64_vec().unwrap(), b.to_f64_vec().unwrap());
    a.len() == b.len() && a.iter().zip(&b).all(|(x, y)| (x - y).abs() <= 1e-5 * y.abs().max(1.0))
}

#[test]
fn programs_run_where_their_arguments_are() -> gradloom::Result<()> {
    let Some(gpu) = software::device() else { return Ok(()) };
    let key = Key::new(3);
    let (x, w) = (random::normal(&key, [40, 16]), random::normal(&key.fold_in(1), [16, 8]));
    let loss = |(w, x): &(Tensor, Tensor)| (x.matmul(w).tanh() * 2.0).square().mean(..);
    let step = jit(move |p: &(Tensor, Tensor)| {
        let (l, g) = value_and_grad(loss)(p);
        (l, p.zip_map(&g, |p, g| p - g * 0.1))
    });
    let here = step.call(&(w.clone(), x.clone()))?;
    assert_eq!((here.0.device(), x.device()), (Device::cpu(), Device::cpu()));
    let mut there = (w.clone(), x.clone()).to_device(gpu)?;
    let mut expected = (w, x);
    for _ in 0..5 {
        let (l, next) = step.call(&expected)?;
        let (l2, next2) = step.run(there)?;
        assert_eq!((l2.device(), next2.0.device()), (gpu, gpu));
        assert!(close(&l2, &l) && close(&next2.0, &next.0), "{l} {l2}");
        (expected, there) = (next, next2);
    }
    // op by op, with numbers from the host
    let y = (&there.0 * 2.0 + 1.0).exp().sum(0);
    assert_eq!(y.device(), gpu);
    assert!(close(&y, &(&expected.0 * 2.0 + 1.0).exp().sum(0)));
    // back
    let back = there.to_device(Device::cpu())?;
    assert_eq!(back.0.device(), Device::cpu());
    assert!(there.to_device(gpu)?.0.to_vec::<f32>()? == back.0.to_vec::<f32>()?);
    assert_eq!(format!("{}", there.0.sum(..).round()), format!("{}", back.0.sum(..).round()));
    Ok(())
}

#[test]
fn captured_tensors_go_along() -> gradloom::Result<()> {
    let Some(gpu) = software::device() else { return Ok(()) };
    let w = random::normal(&Key::new(5), [16, 4]);
    let f = jit({
        let w = w.clone();
        move |x: &Tensor| x.matmul(&w).sort(0)
    });
    let x = random::normal(&Key::new(6), [10, 16]);
    let expected = f.call(&x)?;
    // one function, compiled for each place
    assert!(close(&f.call(&x.to_device(gpu)?)?, &expected));
    assert!(close(&f.call(&x)?, &expected));
    let on = jit(move |x: &Tensor| x.matmul(&w).sort(0)).on(gpu);
    assert!(close(&on.call(&x.to_device(gpu)?)?, &expected));
    let e = on.call(&x).unwrap_err().to_string();
    assert!(e.contains("the program runs on cuda:0") && e.contains("to_device"), "{e}");
    Ok(())
}

#[test]
fn arrays_on_several_devices() -> gradloom::Result<()> {
    let Some(gpu) = software::device() else { return Ok(()) };
    let (x, y) = (Tensor::ones([3]).to_device(gpu)?, Tensor::ones([3]));
    // one by one, operations take arrays of the host along
    let z = &x + &y;
    assert_eq!((z.device(), z.to_vec::<f32>()?), (gpu, vec![2.0; 3]));
    let e = jit(|(x, y): &(Tensor, Tensor)| x + y).call(&(x.clone(), y)).unwrap_err().to_string();
    assert!(e.contains("f32[3] is on cuda:0") && e.contains("to_device") && e.contains("device.rs"), "{e}");
    // numbers without axes go where they are needed
    let sum = x.sum(..);
    assert_eq!((&sum * 2.0).device(), gpu);
    assert_eq!((&Tensor::from(2.0f32) * &x).device(), gpu);
    let e = jit(move |t: &Tensor| t.to_device(gpu).unwrap_or_else(Tensor::failed)).call(&x).unwrap_err().to_string();
    assert!(e.contains("outside the traced function"), "{e}");
    Ok(())
}

/// A function of the host that a program calls may use the same GPU, and call the same program.
#[test]
fn host_functions_use_the_gpu_themselves() -> gradloom::Result<()> {
    let Some(gpu) = software::device() else { return Ok(()) };
    fn sorted(x: &Tensor, depth: usize, gpu: Device) -> gradloom::Result<Tensor> {
        let inner = move |v: &[Tensor]| -> gradloom::Result<Vec<Tensor>> {
            let v = v[0].to_device(gpu)?;
            let (mut y, twice) = (v.sort(0), jit(|x: &Tensor| x.sort(0).cumsum(0).sort(0)));
            for _ in 0..3 {
                y = twice.call(&y)? / 100.0;
            }
            if depth > 0 {
                y = sorted(&y, depth - 1, gpu)?;
            }
            Ok(vec![y.to_device(Device::cpu())?])
        };
        let f = jit(move |x: &Tensor| {
            let y = (x * 2.0).sort(0).cumsum(0);
            let z = debug::call(inner, &[&y], &[y.ty()]).remove(0);
            (z + y).sort(0)
        });
        f.call(x)
    }
    let x = random::uniform(&Key::new(8), [300]);
    let expected = sorted(&x, 2, Device::cpu())?;
    let there = x.to_device(gpu)?;
    for _ in 0..3 {
        assert!(close(&sorted(&there, 2, gpu)?, &expected));
    }
    Ok(())
}

/// Loops whose length depends on values, functions of the host, profiles, and what a program costs.
#[test]
fn loops_host_calls_and_profiles() -> gradloom::Result<()> {
    let Some(gpu) = software::device() else { return Ok(()) };
    let f = |x: &Tensor| {
        let halve = while_loop(|x: &Tensor| x.max(..).gt(1.0), |x: &Tensor| (x * 0.5).sort(0), x);
        let _ = debug::print("halved to {}", &[&halve.max(..)]);
        halve.cumsum(0)
    };
    let x = random::uniform(&Key::new(1), [50]) * 9.0;
    let there = x.to_device(gpu)?;
    assert!(close(&jit(f).call(&there)?, &jit(f).call(&x)?));
    let compiled = jit(|x: &Tensor| x.sort(0).cumsum(0).exp()).lower(&there)?.compile()?;
    let profile = compiled.profile(&there)?;
    assert!(profile.steps.iter().any(|s| s.runs == 1 && s.name.contains("sort")), "{profile:?}");
    let cost = compiled.cost();
    assert!(cost.kernels >= 2 && cost.bytes > 0 && cost.peak_bytes > 0, "{cost}");
    assert!(compiled.schedule().contains("threads"));
    Ok(())
}
