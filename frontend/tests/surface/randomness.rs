//! Every expected number is JAX's (`jax_threefry_partitionable`, its default) for the same key.

use super::{near, read};
use gradloom_frontend::prelude::*;
use gradloom_frontend::{Tensor, random};

fn key(seed: u64) -> Key {
    Key::new(seed)
}

fn words(k: &Key) -> Vec<u32> {
    k.to_tensor().to_vec().unwrap()
}

#[test]
fn keys() {
    assert_eq!(words(&key(0)), [0, 0]);
    assert_eq!(words(&key(42)), [0, 42]);
    assert_eq!(words(&key(0x1234_5678_9abc_def0)), [0x1234_5678, 0x9abc_def0]);
    let rows: Vec<u32> = key(0).split(3).iter().flat_map(words).collect();
    assert_eq!(rows, [1797259609, 2579123966, 928981903, 3453687069, 4146024105, 2718843009]);
    let rows = key(2147483647).split_tensor(2);
    assert_eq!(rows.to_vec::<u32>().unwrap(), [3894554595, 3657610310, 2391852627, 3342111533]);
    assert_eq!(words(&key(0).fold_in(0)), [1797259609, 2579123966]);
    assert_eq!(words(&key(0).fold_in(1)), [928981903, 3453687069]);
    assert_eq!(words(&key(0).fold_in(&Tensor::from(7u32))), [2716826189, 292468403]);
    assert_eq!(words(&key(0).fold_in(-1)), [743310391, 3789761811]);
    assert_eq!(words(&key(0).fold_in(u32::MAX)), [743310391, 3789761811]);
}

#[test]
fn bits() {
    let expected = [2098992034, 2919706841, 2646866425, 2409546199, 1935504149, 2516274904];
    assert_eq!(random::bits(&key(42), [2, 3]).to_vec::<u32>().unwrap(), expected);
    assert_eq!(random::bits(&key(9), ()).to_vec::<u32>().unwrap(), [175140440]);
    assert_eq!(random::bits(&key(9), [3, 0]).shape(), [3, 0]);
}

#[test]
fn uniform() {
    let u = random::uniform(&key(42), [5]).to_vec::<f32>().unwrap();
    assert_eq!(u, [0.48870957, 0.6797972, 0.6162715, 0.5610161, 0.4506446]);
    let u = random::uniform_as(&key(42), [3], DType::F64).to_vec::<f64>().unwrap();
    assert_eq!(u, [0.4267275666499091, 0.015010069515314584, 0.5741444178995352]);
    let u = random::uniform_range(&key(1), [4], -2.0, 3.0);
    near(&u, &[4], &[0.19316244, 0.6687646, 0.22959161, 0.19198167], 1e-6);
}

#[test]
fn distributions() {
    let n = random::normal(&key(42), [6]);
    near(&n, &[6], &[-0.028304616, 0.46713185, 0.29570296, 0.15354592, -0.12403282, 0.21692315], 1e-6);
    let n = random::normal_as(&key(42), [3], DType::F64);
    near(&n, &[3], &[-0.18471174528191162, -2.169824560397754, 0.18693555179382582], 1e-14);
    let g = random::gumbel(&key(2), [4]);
    near(&g, &[4], &[0.8095645, 2.256734, -0.38494107, 2.0714312], 1e-6);
    let t = random::truncated_normal(&key(2), -1.0, 2.0, [5]);
    near(&t, &[5], &[0.47667542, 1.2584372, -0.39354113, 1.1766709, 0.0025504408], 1e-6);
    let e = random::exponential(&key(2), [4]);
    near(&e, &[4], &[1.023851, 2.308623, 0.26140907, 2.1337724], 1e-6);
    let b = random::bernoulli(&key(8), 0.3, [12]);
    near(&b, &[12], &[1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0], 0.0);
}

#[test]
fn integers() {
    let r = random::randint(&key(5), [8], 1, 7).to_vec::<i32>().unwrap();
    assert_eq!(r, [4, 1, 4, 1, 3, 2, 2, 2]);
    let r = random::randint(&key(5), [4], i32::MIN, i32::MAX).to_vec::<i32>().unwrap();
    assert_eq!(r, [-1787507967, -1163020224, -1664956169, -994140664]);
    let r = random::randint(&key(6), [6], -1000, 1000).to_vec::<i32>().unwrap();
    assert_eq!(r, [-618, -658, 148, 31, -48, -652]);
    assert_eq!(random::randint(&key(6), [2], 3, 3).to_vec::<i32>().unwrap(), [3, 3]);
}

#[test]
fn orders_and_choices() {
    assert_eq!(random::permutation(&key(3), 10).to_vec::<i32>().unwrap(), [0, 5, 6, 7, 4, 2, 1, 3, 9, 8]);
    let long = random::permutation(&key(3), 2000).to_vec::<i32>().unwrap();
    assert_eq!(long[..6], [1883, 819, 811, 456, 1123, 377]);
    let rows = random::shuffle(&key(4), &Tensor::arange(8).reshape([4, 2]));
    assert_eq!(rows.to_vec::<i32>().unwrap(), [2, 3, 6, 7, 0, 1, 4, 5]);
    assert_eq!(random::permutation(&key(0), 1).to_vec::<i32>().unwrap(), [0]);
    assert_eq!(random::permutation(&key(0), 0).shape(), [0]);
    let logits = [0.0f32, 1.0, 2.0, -1.0, 3.0, 0.0, 0.0, 0.0, -1.0, -1.0, 2.0, 2.0];
    let logits = Tensor::from_slice([3, 4], &logits);
    assert_eq!(random::categorical(&key(11), &logits, -1).to_vec::<i32>().unwrap(), [2, 0, 1]);
    assert_eq!(random::categorical(&key(11), &logits, 0).to_vec::<i32>().unwrap(), [1, 2, 0, 2]);
}

#[test]
fn moments_of_many() {
    let x = random::normal(&key(7), [100_000]);
    let (mean, std) = (x.mean(..).item::<f32>().unwrap(), x.std(..).item::<f32>().unwrap());
    assert!(mean.abs() < 0.01 && (std - 1.0).abs() < 0.01, "{mean} {std}");
    let u = random::uniform(&key(7), [100_000]);
    let (lo, hi) = (u.min(..).item::<f32>().unwrap(), u.max(..).item::<f32>().unwrap());
    assert!((0.0..1e-3).contains(&lo) && (0.999..1.0).contains(&hi));
}

#[test]
fn keys_under_transforms() {
    let draw = |k: &Key| {
        let pair = k.split(2);
        (random::normal(&pair[0], [3]), random::randint(&pair[1].fold_in(5), [2], 0, 100))
    };
    let keys = key(1).split(4);
    let (n, r) = vmap(draw)(&key(1).split_batch(4));
    let (jn, jr) = jit(vmap(draw)).call(&key(1).split_batch(4)).unwrap();
    for (i, k) in keys.iter().enumerate() {
        let (n1, r1) = draw(k);
        assert_eq!(read(&n.i(i)), read(&n1));
        assert_eq!(read(&jn.i(i)), read(&n1));
        assert_eq!(read(&r.i(i)), read(&r1));
        assert_eq!(read(&jr.i(i)), read(&r1));
    }
    let shuffled = vmap(|k: &Key| random::permutation(k, 6))(&key(1).split_batch(3));
    for (i, k) in key(1).split(3).iter().enumerate() {
        assert_eq!(read(&shuffled.i(i)), read(&random::permutation(k, 6)));
    }
}
