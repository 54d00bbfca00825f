//! Work on the leaves of several trees at once, and what all optimizers need of a leaf.

use crate::checks::{failed, require};
use gradloom_frontend::tree::same_structure;
use gradloom_frontend::{DType, Error, Result, Tensor, Tree};

/// `f` of the leaves at each position of `N` trees, as `M` trees.
///
/// Where the first tree's leaf is no number to train, leaf `j` of the results is that of tree `j`. If structures differ,
/// every leaf holds the error.
#[track_caller]
pub(crate) fn leafwise<P: Tree + Clone, const N: usize, const M: usize>(
    trees: [&P; N],
    f: impl Fn([&Tensor; N]) -> [Tensor; M],
) -> [P; M] {
    const { assert!(0 < M && M <= N) };
    if let Some(e) = trees[1..].iter().find_map(|t| same_structure("optim", trees[0], t).err()) {
        let failed = failed(trees[0], e);
        return std::array::from_fn(|_| failed.clone());
    }
    by_rows(&trees.map(|t| t.leaves()), &f).map(|leaves| replace(trees[0], leaves))
}

/// What of [`leafwise`] does not depend on the trees.
fn by_rows<const N: usize, const M: usize>(
    columns: &[Vec<Tensor>; N],
    f: &dyn Fn([&Tensor; N]) -> [Tensor; M],
) -> [Vec<Tensor>; M] {
    let mut results = std::array::from_fn(|_| Vec::with_capacity(columns[0].len()));
    for (i, first) in columns[0].iter().enumerate() {
        let row: [&Tensor; N] = std::array::from_fn(|j| &columns[j][i]);
        let row = if first.dtype().is_inexact() { f(row) } else { std::array::from_fn(|j| row[j].clone()) };
        results.iter_mut().zip(row).for_each(|(to, t)| to.push(t));
    }
    results
}

/// All numbers of the tree must be real.
pub(crate) fn all_real<P: Tree>(op: &str, tree: &P) -> Result<()> {
    match tree.leaves().iter().find(|t| t.dtype().is_complex()) {
        None => Ok(()),
        Some(z) => Err(Error::user(op, format!("a leaf is {}; this works on real parameters only", z.ty()))
            .help("keep real and imaginary part as two leaves, and make the complex tensor of them in the model")),
    }
}

/// The tree with these leaves, as many as it has.
pub(crate) fn replace<P: Tree>(tree: &P, leaves: impl IntoIterator<Item = Tensor>) -> P {
    tree.map_leaves(&mut one_by_one(leaves.into_iter()))
}

fn one_by_one(mut leaves: impl Iterator<Item = Tensor>) -> impl FnMut(&Tensor) -> Tensor {
    move |t| leaves.next().unwrap_or_else(|| t.clone())
}

/// The state must be one that this optimizer made.
pub(crate) fn own_state(op: &str, own: bool) -> Result<()> {
    require(op, own, || "the state is not one that `init` of the same optimizer made".into())
}

/// A decay must lie in [0, 1).
pub(crate) fn decay(op: &str, name: &str, b: f64) -> Result<()> {
    require(op, (0.0..1.0).contains(&b), || format!("{name} is {b}; a decay is at least 0 and below 1"))
}

/// The leaves that are floats, or complex.
pub(crate) fn numbers<P: Tree>(tree: &P) -> Vec<Tensor> {
    tree.leaves().into_iter().filter(|t| t.dtype().is_inexact()).collect()
}

/// The leaves that are floats.
pub(crate) fn floats<P: Tree>(tree: &P) -> Vec<Tensor> {
    // one that holds an error counts too, so that the error shows
    tree.leaves().into_iter().filter(|t| t.dtype().is_float()).collect()
}

/// A tree like `params` with `f` of the leaves that are floats or complex.
pub(crate) fn map_numbers<P: Tree>(params: &P, f: impl Fn(&Tensor) -> Tensor) -> P {
    params.map(|p| if p.dtype().is_inexact() { f(p) } else { p.clone() })
}

/// The conjugates of complex leaves: of gradients df/dx - i df/dy of a real f, the directions in which f grows fastest.
#[track_caller]
pub(crate) fn conjugate<P: Tree + Clone>(grads: &P) -> P {
    if grads.leaves().iter().any(|g| g.dtype().is_complex()) { grads.map(Tensor::conj) } else { grads.clone() }
}

/// |x|², real.
#[track_caller]
pub(crate) fn squares(x: &Tensor) -> Tensor {
    if x.dtype().is_complex() { x.real().square() + x.imag().square() } else { x.square() }
}

/// Zeros for means of [`squares`].
#[track_caller]
pub(crate) fn real_zeros<P: Tree>(params: &P) -> P {
    map_numbers(&params.zeros_like(), Tensor::real)
}

/// x times real numbers; the parts of a complex x each, so that a part that is 0 stays 0.
#[track_caller]
pub(crate) fn times(x: &Tensor, r: &Tensor) -> Tensor {
    if x.dtype().is_complex() { Tensor::complex(&(x.real() * r), &(x.imag() * r)) } else { x * r }
}

/// x over real numbers.
#[track_caller]
pub(crate) fn over(x: &Tensor, r: &Tensor) -> Tensor {
    if x.dtype().is_complex() { Tensor::complex(&(x.real() / r), &(x.imag() / r)) } else { x / r }
}

/// The float leaves as one vector; they must have one dtype.
#[track_caller]
pub(crate) fn flat<P: Tree>(tree: &P) -> Tensor {
    floats(tree).ravel()
}

/// The tree with its float leaves from one vector.
#[track_caller]
pub(crate) fn unflat<P: Tree>(tree: &P, x: &Tensor) -> P {
    let mut parts = floats(tree).unravel(x).into_iter();
    let leaf = |t: Tensor| if t.dtype().is_float() { parts.next().unwrap_or(t) } else { t };
    replace(tree, tree.leaves().into_iter().map(leaf))
}

/// There must be float leaves, all of one dtype, and no complex ones.
pub(crate) fn one_dtype<P: Tree>(op: &str, tree: &P) -> Result<()> {
    tree.leaves().iter().try_for_each(Tensor::check)?;
    all_real(op, tree)?;
    let floats = floats(tree);
    let first = floats.first().ok_or_else(|| Error::user(op, "the unknown has no elements of a float dtype"))?;
    match floats.iter().find(|t| t.dtype() != first.dtype()) {
        Some(other) => Err(Error::dtype_mismatch(op, first.dtype(), other.dtype())),
        None => Ok(()),
    }
}

/// √Σ |x|² over all elements of all leaves of floats or complex numbers, in the widest of their dtypes, real.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// let tree = (Tensor::from([3.0f32]), Tensor::from([4.0f32]));
/// assert_eq!(gradloom_stdlib::optim::global_norm(&tree).item::<f32>()?, 5.0);
/// # Ok::<(), gradloom::Error>(())
/// ```
#[track_caller]
pub fn global_norm<P: Tree>(tree: &P) -> Tensor {
    sum(numbers(tree).iter().map(|x| squares(x).sum(..))).sqrt()
}

/// ⟨a, b⟩ over all elements of all float leaves.
#[track_caller]
pub(crate) fn inner<P: Tree>(a: &P, b: &P) -> Tensor {
    sum(floats(a).iter().zip(&floats(b)).map(|(a, b)| (a * b).sum(..)))
}

/// The sum of scalars in the widest of their dtypes, no narrower than f32; 0 if there are none.
#[track_caller]
pub(crate) fn sum(terms: impl IntoIterator<Item = Tensor>) -> Tensor {
    let terms: Vec<Tensor> = terms.into_iter().collect();
    let dtype = if terms.iter().any(|t| t.dtype() == DType::F64) { DType::F64 } else { DType::F32 };
    let wide = terms.iter().map(|t| t.to(dtype));
    wide.reduce(|a, b| a + b).unwrap_or_else(|| Tensor::full((), 0.0, dtype))
}

/// The number of steps taken: 0.
#[track_caller]
pub(crate) fn no_steps() -> Tensor {
    Tensor::full((), 0, DType::I32)
}

/// b m + (1 - b) x, the decaying mean.
#[track_caller]
pub(crate) fn mean(b: f64, m: &Tensor, x: &Tensor) -> Tensor {
    m * b + x * (1.0 - b)
}

/// m / (1 - bᵗ): a decaying mean that started at 0, without the weight that 0 has in it.
#[track_caller]
pub(crate) fn debiased(m: &Tensor, b: f64, t: &Tensor) -> Tensor {
    // expm1 keeps the digits that 1 - bᵗ loses where bᵗ is near 1
    over(m, &-(t.to(m.dtype().real()) * b.ln()).expm1())
}
