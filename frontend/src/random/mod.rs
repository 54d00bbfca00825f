//! Random numbers from explicit keys: the same key always gives the same numbers.
//!
//! The generator is threefry-2x32, a block cipher run on counters (Salmon, Moraes, Dror and Shaw 2011, "Parallel random
//! numbers: as easy as 1, 2, 3"), with the counters laid out as JAX's default generator has them, so that [`bits`],
//! [`Key::split`] and [`Key::fold_in`] agree with JAX bit by bit. Use a key once: [`Key::split`] it for more.
//!
//! The distributions consume bits as JAX's do, so that samples agree with JAX up to the rounding of logarithms and their
//! like. Parameters are numbers (f32) or tensors, whose dtype the sample takes; they broadcast to the shape.
//!
//! ```
//! # use gradloom_frontend as gradloom;
//! use gradloom::{Key, random};
//! let key = Key::new(0);
//! let keys = key.split(2);
//! let w = random::normal(&keys[0], [3, 4]);
//! let b = random::uniform(&keys[1], [4]);
//! assert_eq!((w.shape(), b.shape()), (&[3, 4][..], &[4][..]));
//! ```

mod continuous;
mod counts;
mod gamma;
mod normal;
mod order;
mod uniform;

pub use continuous::*;
pub use counts::{binomial, geometric, poisson};
pub use gamma::{ball, beta, chisquare, dirichlet, f_ratio, gamma, generalized_normal, loggamma, student_t};
pub use normal::{
    Factor, lognormal, maxwell, maxwell_as, multivariate_normal, multivariate_normal_by, multivariate_normal_of_factor,
    normal, normal_as, orthogonal, orthogonal_as, truncated_normal, wald,
};
pub use order::{Choice, categorical, categorical_many, choice, permutation, shuffle};
pub use uniform::{
    bernoulli, rademacher, rademacher_as, randint, randint_as, triangular, uniform, uniform_as, uniform_range,
};

use crate::tensor::arithmetic::{binary_at, broadcast_at};
use crate::tensor::axes::settle;
use crate::tensor::convert::{plain_shape, scalar_at};
use crate::tensor::shaping::{concatenate_at, reshape_at, slice_axis_at};
use crate::tensor::{IntoShape, Operand, Tensor, apply};
use crate::tree::{Tree, Visitor};
use gradloom_ir::{Binary, DType, Error, Loc, Op, Result, Shape};

/// The seed of a stream of random numbers: two u32 words.
#[derive(Clone, Debug)]
pub struct Key(Tensor);

impl Tree for Key {
    fn visit(&self, v: &mut dyn Visitor) {
        v.leaf(&self.0);
    }
    fn map_leaves(&self, f: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
        Key(f(&self.0))
    }
}

impl Key {
    /// The key of a seed, as JAX's `PRNGKey` has it.
    pub fn new(seed: u64) -> Key {
        Key(Tensor::from_vec(vec![(seed >> 32) as u32, seed as u32]))
    }

    /// A key from its two words, u32\[2\]; or several keys, u32\[n, 2\], to be mapped over with `vmap`.
    pub fn from_tensor(words: Tensor) -> Key {
        Key(words)
    }

    /// The two words.
    pub fn to_tensor(&self) -> Tensor {
        self.0.clone()
    }

    /// `n` keys whose numbers are independent of each other and of this key's.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::Key;
    /// let keys = Key::new(0).split(2);
    /// assert_eq!(keys[0].to_tensor().to_vec::<u32>().unwrap(), [1797259609, 2579123966]);
    /// ```
    #[track_caller]
    pub fn split(&self, n: usize) -> Vec<Key> {
        let loc = Loc::caller();
        split_rows(self, n, &loc).unwrap_or_else(|e| vec![Key(Tensor::failed(e.at(&loc))); n.clamp(1, 4096)])
    }

    /// The `n` keys of [`Key::split`] as rows of a u32\[n, 2\].
    #[track_caller]
    pub fn split_tensor(&self, n: usize) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, split_at(self, n, &loc))
    }

    /// The `n` keys of [`Key::split`] in one, to be mapped over with `vmap`.
    #[track_caller]
    pub fn split_batch(&self, n: usize) -> Key {
        Key(self.split_tensor(n))
    }

    /// The key of this stream that belongs to a number, such as the step of a loop.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::Key;
    /// let key = Key::new(0).fold_in(7);
    /// assert_eq!(key.to_tensor().shape(), [2]);
    /// ```
    #[track_caller]
    pub fn fold_in(&self, data: impl Operand) -> Key {
        let loc = Loc::caller();
        let run = || {
            let data = data.with_dtype(DType::I64, &loc);
            data.check()?;
            if data.ndim() != 0 || !data.dtype().is_int() {
                return Err(Error::user(
                    "fold_in",
                    format!("the number must be an integer scalar, it is {}", data.ty_ref()),
                ));
            }
            let low = apply(Op::Convert { dtype: DType::U32 }, &[&data], &loc);
            let [a, b] = cipher(self, &scalar_at(DType::U32, 0.0, &loc), &low, &loc)?;
            let word = |t: &Tensor| reshape_at(t, &[1], &loc);
            Ok(concatenate_at(&[word(&a), word(&b)], 0, &loc))
        };
        Key(settle(&loc, run()))
    }

    /// The two keys of `split(2)`.
    fn pair(&self, loc: &Loc) -> Result<[Key; 2]> {
        let keys = split_rows(self, 2, loc)?;
        keys.try_into().map_err(|_| Error::internal("split", "gave another number of keys"))
    }
}

/// Both lanes of the cipher on counters (hi, lo) of one shape.
fn cipher(key: &Key, hi: &Tensor, lo: &Tensor, loc: &Loc) -> Result<[Tensor; 2]> {
    let words = &key.0;
    words.check()?;
    if words.dtype() != DType::U32 || words.shape() != [2] {
        return Err(Error::user("random", format!("a key is u32[2], this one is {}", words.ty_ref()))
            .help("several keys in one are mapped over: `vmap(|key: &Key| ..)(&keys)`"));
    }
    let word =
        |i| Ok(broadcast_at(&reshape_at(&slice_axis_at(words, 0, i, i + 1, 1, loc)?, &[], loc), lo.shape(), loc));
    let (k0, k1): (Tensor, Tensor) = (word(0)?, word(1)?);
    Ok([0, 1].map(|lane| apply(Op::Threefry { lane }, &[&k0, &k1, hi, lo], loc)))
}

/// Both lanes of the cipher on the counters 0, 1, .. n - 1.
fn lanes(key: &Key, n: usize, loc: &Loc) -> Result<[Tensor; 2]> {
    if n as u64 > 1 << 32 {
        return Err(Error::limit("random", format!("{n} numbers from one key")).help("split the key"));
    }
    let lo = apply(Op::Iota { dtype: DType::U32, shape: Shape::from_elem(n, 1), axis: 0 }, &[], loc);
    let zero = broadcast_at(&scalar_at(DType::U32, 0.0, loc), &[n], loc);
    cipher(key, &zero, &lo, loc)
}

fn split_at(key: &Key, n: usize, loc: &Loc) -> Result<Tensor> {
    let [a, b] = lanes(key, n, loc)?.map(|t| reshape_at(&t, &[n, 1], loc));
    Ok(concatenate_at(&[a, b], 1, loc))
}

fn split_rows(key: &Key, n: usize, loc: &Loc) -> Result<Vec<Key>> {
    let keys = split_at(key, n, loc)?;
    (0..n).map(|i| Ok(Key(reshape_at(&slice_axis_at(&keys, 0, i, i + 1, 1, loc)?, &[2], loc)))).collect()
}

fn elements(op: &str, shape: &[usize]) -> Result<usize> {
    let n = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    n.ok_or_else(|| Error::limit(op, format!("shape {shape:?} has too many elements")))
}

/// Uniform bits of an unsigned integer dtype.
fn bits_at(key: &Key, shape: &[usize], dtype: DType, loc: &Loc) -> Result<Tensor> {
    if !dtype.is_unsigned_int() {
        return Err(Error::bad_dtype("bits", dtype, "an unsigned integer"));
    }
    let [a, b] = lanes(key, elements("bits", shape)?, loc)?;
    let word = |t: &Tensor| apply(Op::Convert { dtype }, &[t], loc);
    let words = if dtype == DType::U64 {
        let high = binary_at(Binary::ShiftLeft, &word(&a), &scalar_at(dtype, 32.0, loc), loc);
        binary_at(Binary::Or, &high, &word(&b), loc)
    } else {
        let x = binary_at(Binary::Xor, &a, &b, loc);
        if dtype == DType::U32 { x } else { word(&x) }
    };
    Ok(reshape_at(&words, shape, loc))
}

/// Two bounds in one dtype: that of the one that is a tensor, else `default`.
fn bounds(lo: &impl Operand, hi: &impl Operand, default: DType, loc: &Loc) -> (Tensor, Tensor) {
    let probe = hi.with_dtype(default, &Loc::Unknown);
    let lo = lo.with_dtype(probe.dtype(), loc);
    let hi = hi.with_dtype(lo.dtype(), loc);
    (lo, hi)
}

/// A parameter of a distribution, f32 where it is a number, broadcast to the shape of the sample.
fn parameter(op: &str, x: &impl Operand, shape: &[usize], loc: &Loc) -> Result<Tensor> {
    let x = x.with_dtype(DType::F32, loc);
    x.check()?;
    if !x.dtype().is_float() {
        return Err(Error::bad_dtype(op, x.dtype(), "a float as parameter"));
    }
    let x = broadcast_at(&x, shape, loc);
    x.check()?;
    Ok(x)
}

/// Two parameters of one dtype.
fn parameters(op: &str, a: &impl Operand, b: &impl Operand, shape: &[usize], loc: &Loc) -> Result<[Tensor; 2]> {
    let (a, b) = bounds(a, b, DType::F32, loc);
    let pair = [parameter(op, &a, shape, loc)?, parameter(op, &b, shape, loc)?];
    if pair[0].dtype() != pair[1].dtype() {
        return Err(Error::dtype_mismatch(op, pair[0].dtype(), pair[1].dtype()));
    }
    Ok(pair)
}

/// Uniform u32 bits.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{Key, random};
/// let b = random::bits(&Key::new(0), [2]);
/// assert_eq!(b.to_vec::<u32>().unwrap(), [4070199207, 4202968722]);
/// ```
#[track_caller]
pub fn bits(key: &Key, shape: impl IntoShape) -> Tensor {
    let loc = Loc::caller();
    settle(&loc, plain_shape("bits", shape).and_then(|s| bits_at(key, &s, DType::U32, &loc)))
}

/// Uniform bits of u8, u16, u32 or u64.
#[track_caller]
pub fn bits_as(key: &Key, shape: impl IntoShape, dtype: DType) -> Tensor {
    let loc = Loc::caller();
    settle(&loc, plain_shape("bits", shape).and_then(|s| bits_at(key, &s, dtype, &loc)))
}
