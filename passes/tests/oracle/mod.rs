//! Programs before and after a pass, run side by side on the interpreter.
#![allow(dead_code)] // each test file uses a part

pub mod mixed;
pub mod programs;

use gradloom_ir::{DType, Element, Graph, Literal, Type, eval::eval, with_element};

/// splitmix64
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `0..n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// Uniform in -2..2.
    pub fn float(&mut self) -> f64 {
        self.next() as f64 / 2f64.powi(62) - 2.0
    }
}

/// Numbers that break careless rules.
const SPECIAL: [f64; 8] = [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.0, -1.0, 1e300];

/// A random array; of floats, a third are special if `special`.
pub fn array(r: &mut Random, ty: &Type, special: bool) -> Literal {
    scaled(r, ty, special, 1.0)
}

/// A random array whose floats, or their parts, are in -1..1.
pub fn unit_array(r: &mut Random, ty: &Type) -> Literal {
    scaled(r, ty, false, 0.5)
}

fn scaled(r: &mut Random, ty: &Type, special: bool, scale: f64) -> Literal {
    let mut bytes = Vec::new();
    for _ in 0..ty.numel() {
        let (x, n) = if special && r.below(3) == 0 {
            (SPECIAL[r.below(SPECIAL.len())], r.next() as i64)
        } else {
            (r.float() * scale, r.below(8) as i64 - 3)
        };
        match ty.dtype {
            DType::Bool => (n & 1 == 0).push_bytes(&mut bytes),
            DType::F32 => (x as f32).push_bytes(&mut bytes),
            DType::F64 => x.push_bytes(&mut bytes),
            d if d.is_inexact() => {
                bytes.extend_from_slice(Literal::scalar(d.real(), x).bytes());
                if d.is_complex() {
                    bytes.extend_from_slice(Literal::scalar(d.real(), r.float() * scale).bytes());
                }
            }
            d => bytes.extend_from_slice(&n.to_ne_bytes()[..d.size()]), // little-endian machines
        }
    }
    Literal::from_bytes(ty.clone(), bytes).expect("as many bytes as the type has")
}

pub fn inputs(seed: u64, g: &Graph, special: bool) -> Vec<Literal> {
    let mut r = Random(seed);
    g.input_types().iter().map(|t| array(&mut r, t, special)).collect()
}

/// Whether two arrays agree: bit for bit (NaNs are equal) without a tolerance, else floats within `tolerance`
/// relative to the larger of 1 and their size.
pub fn agree(x: &Literal, y: &Literal, tolerance: Option<f64>) -> bool {
    let close = |a: f64, b: f64| match tolerance {
        _ if a.is_nan() || b.is_nan() => a.is_nan() && b.is_nan(),
        None => a.to_bits() == b.to_bits(),
        Some(t) => a == b || (a - b).abs() <= t * a.abs().max(b.abs()).max(1.0),
    };
    if x.ty() != y.ty() {
        return false;
    }
    if !x.ty().dtype.is_inexact() {
        return with_element!(x.ty().dtype, T => x.to_vec::<T>() == y.to_vec::<T>());
    }
    x.to_numbers().into_iter().zip(y.to_numbers()).all(|(a, b)| close(a, b))
}

/// Runs both programs on several random inputs and says where they differ.
#[track_caller]
pub fn assert_equivalent(name: &str, before: &Graph, after: &Graph, tolerance: Option<f64>) {
    for seed in 0..6 {
        let inputs = inputs(seed, before, tolerance.is_none() && seed % 2 == 0);
        let (x, y) = match (eval(before, &inputs), eval(after, &inputs)) {
            (Ok(x), Ok(y)) => (x, y),
            (x, y) => panic!("{name}: {:?} against {:?}\n{before}\n{after}", x.err(), y.err()),
        };
        for (i, (x, y)) in x.iter().zip(&y).enumerate() {
            assert!(agree(x, y, tolerance), "{name}: seed {seed}, output {i}: {x:?} became {y:?}\n{before}\n{after}");
        }
    }
}
