//! Random numbers from explicit keys: the same key always gives the same numbers.
//!
//! The generator is threefry-2x32, a block cipher run on counters (Salmon, Moraes, Dror and Shaw 2011, "Parallel random
//! numbers: as easy as 1, 2, 3"), with the counters laid out as JAX's default generator has them, so that [`bits`],
//! [`Key::split`] and [`Key::fold_in`] agree with JAX bit by bit. Use a key once: [`Key::split`] it for more.
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

use crate::tensor::arithmetic::{binary_at, broadcast_at, compare_at, unary_at};
use crate::tensor::axes::{resolve_axis, settle};
use crate::tensor::convert::{plain_shape, scalar_at};
use crate::tensor::shaping::{concatenate_at, reshape_at, slice_axis_at};
use crate::tensor::sorting::sort_many;
use crate::tensor::{IntoShape, Operand, Tensor, apply};
use crate::tree::{Tree, Visitor};
use gradloom_ir::{Binary, Comparison, DType, Error, Loc, Op, ReduceKind, Result, Shape, Unary};

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

/// Uniform bits: u32, or u64 where `wide`.
fn bits_at(key: &Key, shape: &[usize], wide: bool, loc: &Loc) -> Result<Tensor> {
    let [a, b] = lanes(key, elements("bits", shape)?, loc)?;
    if !wide {
        return Ok(reshape_at(&binary_at(Binary::Xor, &a, &b, loc), shape, loc));
    }
    let word = |t: &Tensor| apply(Op::Convert { dtype: DType::U64 }, &[t], loc);
    let high = binary_at(Binary::ShiftLeft, &word(&a), &scalar_at(DType::U64, 32.0, loc), loc);
    Ok(reshape_at(&binary_at(Binary::Or, &high, &word(&b), loc), shape, loc))
}

/// Uniform in [0, 1): the leading bits as the mantissa of a number in [1, 2), less 1.
fn unit_at(key: &Key, shape: &[usize], dtype: DType, loc: &Loc) -> Result<Tensor> {
    let (wide, uint, drop) = match dtype {
        DType::F32 => (false, DType::U32, 9.0),
        DType::F64 => (true, DType::U64, 12.0),
        other => return Err(Error::bad_dtype("uniform", other, "a float")),
    };
    let one = scalar_at(dtype, 1.0, loc);
    let bits = bits_at(key, shape, wide, loc)?;
    let mantissa = binary_at(Binary::ShiftRightLogical, &bits, &scalar_at(uint, drop, loc), loc);
    let exponent = apply(Op::Bitcast { dtype: uint }, &[&one], loc);
    let x = apply(Op::Bitcast { dtype }, &[&binary_at(Binary::Or, &mantissa, &exponent, loc)], loc);
    Ok(binary_at(Binary::Sub, &x, &one, loc))
}

/// Uniform in [lo, hi), both of one float dtype, broadcast to the shape.
fn uniform_at(key: &Key, shape: &[usize], lo: &Tensor, hi: &Tensor, loc: &Loc) -> Result<Tensor> {
    lo.check()?;
    let [lo, hi] = [lo, hi].map(|t| broadcast_at(t, shape, loc));
    let x = unit_at(key, shape, lo.dtype(), loc)?;
    let span = binary_at(Binary::Sub, &hi, &lo, loc);
    let x = binary_at(Binary::Add, &binary_at(Binary::Mul, &x, &span, loc), &lo, loc);
    Ok(binary_at(Binary::Max, &lo, &x, loc))
}

/// Two bounds in one dtype: that of the one that is a tensor, else `default`.
fn bounds(lo: &impl Operand, hi: &impl Operand, default: DType, loc: &Loc) -> (Tensor, Tensor) {
    let probe = hi.with_dtype(default, &Loc::Unknown);
    let lo = lo.with_dtype(probe.dtype(), loc);
    let hi = hi.with_dtype(lo.dtype(), loc);
    (lo, hi)
}

fn normal_at(key: &Key, shape: &[usize], dtype: DType, loc: &Loc) -> Result<Tensor> {
    let above = if dtype == DType::F64 { (-1f64).next_up() } else { f64::from((-1f32).next_up()) };
    let u = uniform_at(key, shape, &scalar_at(dtype, above, loc), &scalar_at(dtype, 1.0, loc), loc)?;
    let root = scalar_at(dtype, std::f64::consts::SQRT_2, loc);
    Ok(binary_at(Binary::Mul, &root, &unary_at(Unary::ErfInv, &u, loc), loc))
}

fn gumbel_at(key: &Key, shape: &[usize], dtype: DType, loc: &Loc) -> Result<Tensor> {
    let tiny = if dtype == DType::F64 { f64::MIN_POSITIVE } else { f64::from(f32::MIN_POSITIVE) };
    let u = uniform_at(key, shape, &scalar_at(dtype, tiny, loc), &scalar_at(dtype, 1.0, loc), loc)?;
    let minus_log = |t: &Tensor| unary_at(Unary::Neg, &unary_at(Unary::Log, t, loc), loc);
    Ok(minus_log(&minus_log(&u)))
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
    settle(&loc, plain_shape("bits", shape).and_then(|s| bits_at(key, &s, false, &loc)))
}

/// Uniform f32 in [0, 1).
#[track_caller]
pub fn uniform(key: &Key, shape: impl IntoShape) -> Tensor {
    uniform_as(key, shape, DType::F32)
}

/// Uniform in [0, 1), f32 or f64.
#[track_caller]
pub fn uniform_as(key: &Key, shape: impl IntoShape, dtype: DType) -> Tensor {
    let loc = Loc::caller();
    settle(&loc, plain_shape("uniform", shape).and_then(|s| unit_at(key, &s, dtype, &loc)))
}

/// Uniform in [lo, hi); the bounds are numbers (f32) or tensors that broadcast to the shape.
#[track_caller]
pub fn uniform_range(key: &Key, shape: impl IntoShape, lo: impl Operand, hi: impl Operand) -> Tensor {
    let loc = Loc::caller();
    let (lo, hi) = bounds(&lo, &hi, DType::F32, &loc);
    settle(&loc, plain_shape("uniform_range", shape).and_then(|s| uniform_at(key, &s, &lo, &hi, &loc)))
}

/// f32 of the standard normal distribution.
#[track_caller]
pub fn normal(key: &Key, shape: impl IntoShape) -> Tensor {
    normal_as(key, shape, DType::F32)
}

/// The standard normal distribution in f32 or f64.
#[track_caller]
pub fn normal_as(key: &Key, shape: impl IntoShape, dtype: DType) -> Tensor {
    let loc = Loc::caller();
    settle(&loc, plain_shape("normal", shape).and_then(|s| normal_at(key, &s, dtype, &loc)))
}

/// The standard normal distribution (f32) cut off outside (lower, upper).
#[track_caller]
pub fn truncated_normal(key: &Key, lower: f64, upper: f64, shape: impl IntoShape) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let shape = plain_shape("truncated_normal", shape)?;
        let number = |v: f64| scalar_at(DType::F32, v, &loc);
        let root = number(std::f64::consts::SQRT_2);
        let edge = |v: f64| unary_at(Unary::Erf, &binary_at(Binary::Div, &number(v), &root, &loc), &loc);
        let u = uniform_at(key, &shape, &edge(lower), &edge(upper), &loc)?;
        let x = binary_at(Binary::Mul, &root, &unary_at(Unary::ErfInv, &u, &loc), &loc);
        // rounding must not reach the bounds themselves
        let x = binary_at(Binary::Max, &x, &number(f64::from((lower as f32).next_up())), &loc);
        Ok(binary_at(Binary::Min, &x, &number(f64::from((upper as f32).next_down())), &loc))
    };
    settle(&loc, run())
}

/// f32 of the exponential distribution of rate 1.
#[track_caller]
pub fn exponential(key: &Key, shape: impl IntoShape) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let u = unit_at(key, &plain_shape("exponential", shape)?, DType::F32, &loc)?;
        Ok(unary_at(Unary::Neg, &unary_at(Unary::Log1p, &unary_at(Unary::Neg, &u, &loc), &loc), &loc))
    };
    settle(&loc, run())
}

/// f32 of the standard Gumbel distribution.
#[track_caller]
pub fn gumbel(key: &Key, shape: impl IntoShape) -> Tensor {
    let loc = Loc::caller();
    settle(&loc, plain_shape("gumbel", shape).and_then(|s| gumbel_at(key, &s, DType::F32, &loc)))
}

/// Bools that are true with probability `p`, a number or a float tensor that broadcasts to the shape.
#[track_caller]
pub fn bernoulli(key: &Key, p: impl Operand, shape: impl IntoShape) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        let p = p.with_dtype(DType::F32, &loc);
        p.check()?;
        let shape = plain_shape("bernoulli", shape)?;
        let u = unit_at(key, &shape, p.dtype(), &loc)?;
        Ok(compare_at(Comparison::Lt, &u, &broadcast_at(&p, &shape, &loc), &loc))
    };
    settle(&loc, run())
}

/// Uniform integers (i32) in [lo, hi); `lo` itself where that is empty.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{Key, random};
/// let dice = random::randint(&Key::new(3), [100], 1, 7);
/// assert_eq!((dice.min(..).item::<i32>().unwrap(), dice.max(..).item::<i32>().unwrap()), (1, 6));
/// ```
#[track_caller]
pub fn randint(key: &Key, shape: impl IntoShape, lo: impl Operand, hi: impl Operand) -> Tensor {
    let loc = Loc::caller();
    let (lo, hi) = bounds(&lo, &hi, DType::I32, &loc);
    settle(&loc, plain_shape("randint", shape).and_then(|s| randint_at(key, &s, &lo, &hi, &loc)))
}

fn randint_at(key: &Key, shape: &[usize], lo: &Tensor, hi: &Tensor, loc: &Loc) -> Result<Tensor> {
    for t in [lo, hi] {
        t.check()?;
        if t.dtype() != DType::I32 {
            return Err(Error::bad_dtype("randint", t.dtype(), "i32 as bound"));
        }
    }
    let [lo, hi] = [lo, hi].map(|t| broadcast_at(t, shape, loc));
    let keys = split_rows(key, 2, loc)?;
    let (high, low) = (bits_at(&keys[0], shape, false, loc)?, bits_at(&keys[1], shape, false, loc)?);
    let op = |op, a: &Tensor, b: &Tensor| binary_at(op, a, b, loc);
    let number = |v: f64| broadcast_at(&scalar_at(DType::U32, v, loc), shape, loc);
    let span = apply(Op::Convert { dtype: DType::U32 }, &[&op(Binary::Sub, &hi, &lo)], loc);
    let span = apply(Op::Select {}, &[&compare_at(Comparison::Le, &hi, &lo, loc), &number(1.0), &span], loc);
    // 2^32 mod span, by squaring 2^16 mod span
    let m = op(Binary::Rem, &number(65536.0), &span);
    let m = op(Binary::Rem, &op(Binary::Mul, &m, &m), &span);
    let sum = op(Binary::Add, &op(Binary::Mul, &op(Binary::Rem, &high, &span), &m), &op(Binary::Rem, &low, &span));
    let offset = apply(Op::Convert { dtype: DType::I32 }, &[&op(Binary::Rem, &sum, &span)], loc);
    Ok(op(Binary::Add, &lo, &offset))
}

/// Class numbers (i32) drawn with the probabilities `softmax(logits)` along an axis, which disappears (by the Gumbel
/// maximum).
#[track_caller]
pub fn categorical(key: &Key, logits: &Tensor, axis: i64) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        logits.check()?;
        let axis = resolve_axis("categorical", axis, logits.ty_ref())?;
        let noise = gumbel_at(key, logits.shape(), logits.dtype(), &loc)?;
        let sum = binary_at(Binary::Add, &noise, logits, &loc);
        Ok(apply(Op::ArgReduce { kind: ReduceKind::Max, axis }, &[&sum], &loc))
    };
    settle(&loc, run())
}

/// The numbers 0 to n - 1 (i32) in random order.
#[track_caller]
pub fn permutation(key: &Key, n: usize) -> Tensor {
    let loc = Loc::caller();
    settle(&loc, permutation_at(key, n, &loc))
}

fn permutation_at(key: &Key, n: usize, loc: &Loc) -> Result<Tensor> {
    if n > i32::MAX as usize {
        return Err(Error::limit("permutation", format!("{n} elements are more than an i32 counts")));
    }
    let mut x = apply(Op::Iota { dtype: DType::I32, shape: Shape::from_elem(n, 1), axis: 0 }, &[], loc);
    // sorting by random words once leaves equal words in order; so many rounds make that negligible
    let rounds = (3.0 * (n.max(1) as f64).ln() / f64::from(u32::MAX).ln()).ceil() as usize;
    let mut key = key.clone();
    for _ in 0..rounds {
        let pair = split_rows(&key, 2, loc)?;
        let words = bits_at(&pair[1], &[n], false, loc)?;
        key = pair[0].clone();
        x = sort_many(&[&words, &x], 0, loc)?
            .pop()
            .ok_or_else(|| Error::internal("permutation", "sort has no result"))?;
    }
    Ok(x)
}

/// The rows of `x` in random order.
#[track_caller]
pub fn shuffle(key: &Key, x: &Tensor) -> Tensor {
    let loc = Loc::caller();
    let run = || {
        x.check()?;
        let Some(&n) = x.shape().first() else {
            return Err(Error::user("shuffle", format!("{} has no rows", x.ty_ref())));
        };
        Ok(x.take(&permutation_at(key, n, &loc)?, 0))
    };
    settle(&loc, run())
}
