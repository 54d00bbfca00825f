//! Everything on a GPU by default, in software where there is none: arrays are made there, and ops run there one by one.

#[path = "../../backends/tests/software/mod.rs"]
mod software;

use gradloom_frontend as gradloom;
use gradloom_frontend::prelude::*;
use gradloom_frontend::{default_device, set_default_device};

#[test]
fn a_model_on_the_default_device() -> gradloom::Result<()> {
    let Some(gpu) = software::device() else { return Ok(()) };
    let train = || -> gradloom::Result<(Vec<f32>, Tensor)> {
        let key = Key::new(11);
        let x = random::normal(&key.fold_in(0), [64, 4]);
        let y = x.slice_axis(1, 0, 1).sin() + Tensor::from_slice([1], &[0.5f32]);
        let mut params = (
            random::normal(&key.fold_in(1), [4, 16]) * 0.5,
            Tensor::zeros([16]),
            Tensor::full([16, 1], 0.1, DType::F32),
        );
        let loss = |(w, b, v): &(Tensor, Tensor, Tensor), x: &Tensor, y: &Tensor| {
            ((x.matmul(w) + b).tanh().matmul(v) - y).square().mean(..)
        };
        let step = jit(move |(p, x, y): &((Tensor, Tensor, Tensor), Tensor, Tensor)| {
            let (l, g) = value_and_grad(|p: &(Tensor, Tensor, Tensor)| loss(p, x, y))(p);
            (l, p.zip_map(&g, |p, g| p - g * 0.2))
        });
        let mut losses = Vec::new();
        for _ in 0..10 {
            let (l, next) = step.run((params, x.clone(), y.clone()))?;
            losses.push(l.item::<f32>()?);
            params = next;
        }
        Ok((losses, random::bits(&key, [1000])))
    };
    let (expected, bits) = train()?;
    set_default_device(gpu);
    assert_eq!(default_device()?, gpu);
    let (losses, bits_there) = train()?;
    assert_eq!(bits_there.device(), gpu);
    assert_eq!(bits_there.to_vec::<u32>()?, bits.to_vec::<u32>()?);
    assert!(losses.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs()), "{losses:?} {expected:?}");
    assert!(losses[9] < losses[0] * 0.9, "{losses:?}");
    assert_eq!(Tensor::ones([2, 2]).device(), gpu);
    assert_eq!(vmap(|x: &Tensor| x.cumsum(0))(&Tensor::ones([3, 4])).device(), gpu);
    // arrays that were moved away stay away
    let here = Tensor::ones([4]).to_device(Device::cpu())?;
    assert_eq!((&here + 1.0).device(), Device::cpu());
    set_default_device(Device::cpu());
    Ok(())
}
