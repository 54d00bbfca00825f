//! Products of arrays: matmul, einsum and their kin, all lowered to `dot_general`.

use super::arithmetic::binary_at;
use super::axes::{IntoAxes, resolve_axes, settle};
use super::checks::same_dtype;
use super::path::{Contraction, EinsumPath, Label};
use super::shaping::{diagonal_at, reshape_at, transpose_at};
use super::{Tensor, apply};
use gradloom_ir::{Binary, DType, Error, Loc, Op, ReduceKind, Result, Shape, Type};
use std::collections::HashMap;

/// An index of an einsum is named by its letter, or, from here up, by an axis under the ellipsis, counted from the end.
const ELLIPSIS: Label = 1 << 24;

/// An operand with a label an axis, no label twice.
struct Labelled {
    x: Tensor,
    labels: Vec<Label>,
}

impl Labelled {
    fn axis(&self, l: Label) -> Option<usize> {
        self.labels.iter().position(|&m| m == l)
    }

    fn axes(&self, ls: &[Label]) -> Shape {
        ls.iter().filter_map(|&l| self.axis(l)).collect()
    }

    fn len(&self, l: Label) -> usize {
        self.axis(l).and_then(|a| self.x.shape().get(a).copied()).unwrap_or(1)
    }

    /// The same with axes of the given labels summed.
    fn sum(self, gone: impl Fn(Label) -> bool, loc: &Loc) -> Labelled {
        let axes: Shape = (0..self.labels.len()).filter(|&a| gone(self.labels[a])).collect();
        if axes.is_empty() {
            return self;
        }
        let x = apply(Op::Reduce { kind: ReduceKind::Sum, axes }, &[&self.x], loc);
        Labelled { x, labels: self.labels.into_iter().filter(|&l| !gone(l)).collect() }
    }

    /// Axes in the order of `labels`; axes it lacks come in with length 1.
    fn arranged(&self, labels: &[Label], loc: &Loc) -> Tensor {
        let x = transpose_at(&self.x, &self.axes(labels), loc);
        let shape: Shape = labels.iter().map(|&l| self.len(l)).collect();
        reshape_at(&x, &shape, loc)
    }
}

/// The product of two operands, summed over the labels that `needed` does not want.
fn contract(l: Labelled, r: Labelled, needed: &impl Fn(Label) -> bool, loc: &Loc) -> Result<Labelled> {
    let (in_l, in_r) = (l.labels.clone(), r.labels.clone());
    let l = l.sum(|m| !needed(m) && !in_r.contains(&m), loc);
    let r = r.sum(|m| !needed(m) && !in_l.contains(&m), loc);
    let shared = |m: &Label| r.labels.contains(m);
    let batch: Vec<Label> = l.labels.iter().copied().filter(|m| shared(m) && needed(*m)).collect();
    let inner: Vec<Label> = l.labels.iter().copied().filter(|m| shared(m) && !needed(*m)).collect();
    let free_l = l.labels.iter().copied().filter(|m| !shared(m));
    let free_r = r.labels.iter().copied().filter(|m| !l.labels.contains(m));
    let labels: Vec<Label> = batch.iter().copied().chain(free_l).chain(free_r).collect();
    let x = if inner.is_empty() {
        binary_at(Binary::Mul, &l.arranged(&labels, loc), &r.arranged(&labels, loc), loc)
    } else {
        let op = Op::DotGeneral {
            lhs_batch: l.axes(&batch),
            rhs_batch: r.axes(&batch),
            lhs_contract: l.axes(&inner),
            rhs_contract: r.axes(&inner),
        };
        apply(op, &[&l.x, &r.x], loc)
    };
    // a tensor that holds an error has no axes for the labels
    x.check()?;
    Ok(Labelled { x, labels })
}

/// Contracts all operands to `out`, pair by pair in the order of least cost.
fn contract_all(xs: Vec<Labelled>, out: &[Label], lengths: &HashMap<Label, usize>, loc: &Loc) -> Tensor {
    let groups: Vec<Vec<Label>> = xs.iter().map(|x| x.labels.clone()).collect();
    let operands: Vec<Vec<Label>> = (0..xs.len()).map(|i| shared_labels(&groups, i, out)).collect();
    let path = Contraction { operands: &operands, out, lengths }.path();
    let mut xs: Vec<Labelled> =
        xs.into_iter().zip(&operands).map(|(x, keep)| x.sum(|l| !keep.contains(&l), loc)).collect();
    for (i, j) in path.order {
        let r = xs.remove(j);
        let l = xs.remove(i);
        let needed = |m: Label| out.contains(&m) || xs.iter().any(|x| x.labels.contains(&m));
        match contract(l, r, &needed, loc) {
            Ok(product) => xs.push(product),
            Err(e) => return Tensor::failed(e),
        }
    }
    match xs.pop() {
        Some(x) => x.sum(|l| !out.contains(&l), loc).arranged(out, loc),
        None => Tensor::failed(Error::internal("einsum", "no operands").at(loc)),
    }
}

/// The labels of group `i` that the result or another group has; the others are summed before anything else.
fn shared_labels(groups: &[Vec<Label>], i: usize, out: &[Label]) -> Vec<Label> {
    let elsewhere = |l: &Label| groups.iter().enumerate().any(|(k, g)| k != i && g.contains(l));
    groups[i].iter().copied().filter(|l| out.contains(l) || elsewhere(l)).collect()
}

fn bad_spec(spec: &str, what: impl std::fmt::Display) -> Error {
    Error::user("einsum", format!("\"{spec}\": {what}"))
        .help("write one group of letters an operand and one for the result, e.g. \"ij,jk->ik\" or \"...i,i->...\"")
}

/// The labels of one group; the ellipsis stands for the axes `0..under`, aligned at the end.
fn group(spec: &str, text: &str, under: usize) -> Result<Vec<Label>> {
    let ellipsis = (0..under).rev().map(|k| ELLIPSIS + k as Label);
    let mut labels = Vec::new();
    let mut parts = text.split("...");
    let head = parts.next().unwrap_or_default();
    let tail = parts.next();
    if parts.next().is_some() {
        return Err(bad_spec(spec, "a group has more than one ellipsis"));
    }
    for (i, part) in [Some(head), tail].into_iter().flatten().enumerate() {
        if i == 1 {
            labels.extend(ellipsis.clone());
        }
        for c in part.chars().filter(|c| !c.is_whitespace()) {
            if !c.is_alphabetic() {
                return Err(bad_spec(spec, format!("`{c}` is not a letter")));
            }
            labels.push(c as Label);
        }
    }
    Ok(labels)
}

/// The result's group when the spec has no arrow: the ellipsis, then the letters that occur once, in order.
fn implicit_output(inputs: &[&str]) -> String {
    let all: Vec<char> = inputs.iter().flat_map(|g| g.chars()).filter(|c| c.is_alphabetic()).collect();
    let mut once: Vec<char> = all.iter().copied().filter(|c| all.iter().filter(|d| *d == c).count() == 1).collect();
    once.sort_unstable();
    let dots = if inputs.iter().any(|g| g.contains("...")) { "..." } else { "" };
    format!("{dots}{}", once.into_iter().collect::<String>())
}

/// An einsum's labels.
struct Spec {
    /// One label an axis of each operand.
    groups: Vec<Vec<Label>>,
    out: Vec<Label>,
    lengths: HashMap<Label, usize>,
}

fn parse(spec: &str, operands: &[&Tensor]) -> Result<Spec> {
    let (inputs, output) = match spec.split_once("->") {
        Some((i, o)) => (i, Some(o.to_string())),
        None => (spec, None),
    };
    let inputs: Vec<&str> = inputs.split(',').collect();
    if inputs.len() != operands.len() {
        return Err(bad_spec(spec, format!("{} groups for {} operands", inputs.len(), operands.len())));
    }
    let output = output.unwrap_or_else(|| implicit_output(&inputs));
    let mut groups = Vec::with_capacity(operands.len());
    let mut most_under = 0;
    for (&x, text) in operands.iter().zip(&inputs) {
        x.check()?;
        if x.dtype() != operands[0].dtype() {
            return Err(Error::dtype_mismatch("einsum", operands[0].dtype(), x.dtype()));
        }
        let named = group(spec, text, 0)?.len();
        let under = x.ndim().saturating_sub(named);
        if named > x.ndim() || (under > 0 && !text.contains("...")) {
            return Err(bad_spec(spec, format!("group \"{text}\" names {named} axes of {}", x.ty_ref())));
        }
        most_under = most_under.max(under);
        groups.push(group(spec, text, under)?);
    }
    let out = group(spec, &output, most_under)?;
    let lengths = label_lengths(spec, operands.iter().map(|x| x.ty_ref()).zip(&groups))?;
    if let Some(l) = out.iter().find(|l| !lengths.contains_key(l)) {
        let name = char::from_u32(*l).unwrap_or('.');
        return Err(bad_spec(spec, format!("the result's index `{name}` is in no operand")));
    }
    if let Some(l) = out.iter().enumerate().find(|(i, l)| out[..*i].contains(l)).map(|(_, l)| *l) {
        let name = char::from_u32(l).unwrap_or('.');
        return Err(bad_spec(spec, format!("the result names index `{name}` twice")));
    }
    if most_under > 0 && !output.contains("...") {
        return Err(bad_spec(spec, "the operands have an ellipsis, the result has none"));
    }
    Ok(Spec { groups, out, lengths })
}

fn einsum_at(spec: &str, operands: &[&Tensor], loc: &Loc) -> Result<Tensor> {
    let Spec { groups, out, lengths } = parse(spec, operands)?;
    let pairs = operands.iter().zip(groups);
    let xs = pairs.map(|(&x, labels)| distinct(x.clone(), labels, &lengths, loc)).collect::<Result<Vec<_>>>()?;
    Ok(contract_all(xs, &out, &lengths, loc))
}

/// The order in which [`einsum`] contracts these operands, and what that costs once every index that one operand alone
/// has is summed. Nothing is computed: traced tensors do.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{einsum_path, prelude::*};
/// let (a, b, v) = (Tensor::ones([8, 9]), Tensor::ones([9, 10]), Tensor::ones([10]));
/// let path = einsum_path("ij,jk,k->i", &[&a, &b, &v]).unwrap();
/// assert_eq!(path.order, [(1, 2), (0, 1)]);
/// assert_eq!(path.flops, 2.0 * 90.0 + 2.0 * 72.0);
/// ```
///
/// # Errors
/// Where [`einsum`] would give one.
#[track_caller]
pub fn einsum_path(spec: &str, operands: &[&Tensor]) -> Result<EinsumPath> {
    let loc = Loc::caller();
    let Spec { mut groups, out, lengths } = parse(spec, operands).map_err(|e| e.at(&loc))?;
    for (x, group) in operands.iter().zip(&mut groups) {
        let mut seen = Vec::new();
        for (&l, &n) in group.iter().zip(x.shape()) {
            let stretches = l >= ELLIPSIS && n == 1 && lengths[&l] != 1;
            if !seen.contains(&l) && !stretches {
                seen.push(l);
            }
        }
        *group = seen;
    }
    let operands: Vec<Vec<Label>> = (0..groups.len()).map(|i| shared_labels(&groups, i, &out)).collect();
    Ok(Contraction { operands: &operands, out: &out, lengths: &lengths }.path())
}

/// The length each label stands for; under the ellipsis 1 stretches.
fn label_lengths<'a>(
    spec: &str,
    xs: impl Iterator<Item = (&'a Type, &'a Vec<Label>)>,
) -> Result<HashMap<Label, usize>> {
    let mut lengths: HashMap<Label, usize> = HashMap::new();
    for (x, labels) in xs {
        for (&l, &n) in labels.iter().zip(&x.shape) {
            let known = lengths.entry(l).or_insert(n);
            if *known == n || (l >= ELLIPSIS && n == 1) {
                continue;
            }
            if l < ELLIPSIS || *known != 1 {
                let name = char::from_u32(l).filter(|_| l < ELLIPSIS).unwrap_or('.');
                return Err(bad_spec(spec, format!("index `{name}` has length {known} and, in {x}, {n}")));
            }
            *known = n;
        }
    }
    Ok(lengths)
}

/// Takes the diagonal of labels that occur twice, and drops axes that stretch.
fn distinct(mut x: Tensor, mut labels: Vec<Label>, lengths: &HashMap<Label, usize>, loc: &Loc) -> Result<Labelled> {
    while let Some((a, b)) =
        (0..labels.len()).find_map(|b| labels[..b].iter().position(|l| *l == labels[b]).map(|a| (a, b)))
    {
        x = diagonal_at(&x, a, b, loc)?;
        let l = labels.remove(b);
        labels.remove(a);
        labels.push(l);
    }
    x.check()?;
    let stretches = |i: usize| labels[i] >= ELLIPSIS && x.shape()[i] == 1;
    let keep: Vec<usize> = (0..labels.len()).filter(|&i| !stretches(i) || lengths[&labels[i]] == 1).collect();
    let shape: Shape = keep.iter().map(|&i| x.shape()[i]).collect();
    Ok(Labelled { x: reshape_at(&x, &shape, loc), labels: keep.iter().map(|&i| labels[i]).collect() })
}

/// Sums of products by index names (Einstein's convention): `einsum("ij,jk->ik", &[&a, &b])` is the matrix product.
///
/// Any number of operands is contracted pair by pair. A letter twice in one group takes the diagonal, a letter that the
/// result lacks is summed, `...` stands for axes that broadcast; without `->` the result has the letters that occur
/// once, in alphabetical order.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{einsum, prelude::*};
/// let q = Tensor::ones([2, 5, 3, 4]);
/// let k = Tensor::ones([2, 7, 3, 4]);
/// let scores = einsum("bqhd,bkhd->bhqk", &[&q, &k]);
/// assert_eq!(scores.shape(), [2, 3, 5, 7]);
/// assert_eq!(scores.max(..).item::<f32>().unwrap(), 4.0);
/// ```
#[track_caller]
pub fn einsum(spec: &str, operands: &[&Tensor]) -> Tensor {
    let loc = Loc::caller();
    settle(&loc, einsum_at(spec, operands, &loc))
}

/// [`einsum`] computed and returned in another dtype, as [`Tensor::matmul_as`].
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{einsum_as, prelude::*};
/// let x = Tensor::full([5000], 1.0, DType::F16);
/// assert_eq!(einsum_as("i,i->", &[&x, &x], DType::F32).item::<f32>()?, 5000.0);
/// # Ok::<(), gradloom::Error>(())
/// ```
#[track_caller]
pub fn einsum_as(spec: &str, operands: &[&Tensor], dtype: DType) -> Tensor {
    let loc = Loc::caller();
    settle(&loc, in_dtype("einsum_as", operands, dtype, &loc, |x| einsum_at(spec, &x.iter().collect::<Vec<_>>(), &loc)))
}

/// A contraction of operands of one dtype in the wider of that and `dtype`, the result in `dtype`.
fn in_dtype(
    op: &str,
    operands: &[&Tensor],
    dtype: DType,
    loc: &Loc,
    run: impl Fn(&[Tensor]) -> Result<Tensor>,
) -> Result<Tensor> {
    operands.iter().try_for_each(|t| t.check())?;
    let Some(from) = operands.first().map(|t| t.dtype()) else { return run(&[]) };
    let kind = |d: DType| (d.is_float(), d.is_complex(), d.is_int());
    if kind(from) != kind(dtype) {
        return Err(Error::dtype_mismatch(op, from, dtype));
    }
    let wide = match dtype.size().cmp(&from.size()) {
        std::cmp::Ordering::Greater => dtype,
        // f16 and bf16 have room for each other in f32
        std::cmp::Ordering::Equal if dtype != from => from.accumulator(),
        _ => from,
    };
    let convert =
        |t: &Tensor, d: DType| if t.dtype() == d { t.clone() } else { apply(Op::Convert { dtype: d }, &[t], loc) };
    let y = run(&operands.iter().map(|t| convert(t, wide)).collect::<Vec<_>>())?;
    y.check()?;
    Ok(convert(&y, dtype))
}

fn mismatch(op: &str, l: &Type, r: &Type, m: usize, n: usize) -> Error {
    Error::shape_mismatch(op, l, r, &format!("the contracted axes have lengths {m} and {n}"))
        .help("transpose one side (`.t()`, `.mt()`), or name the axes with `einsum`")
}

fn matmul_at(l: &Tensor, r: &Tensor, loc: &Loc) -> Result<Tensor> {
    let op = "matmul";
    same_dtype(op, l, r)?;
    if l.ndim() == 0 || r.ndim() == 0 {
        return Err(Error::shape_mismatch(op, l.ty_ref(), r.ty_ref(), "both need at least one axis")
            .help("multiply by a scalar with `*`"));
    }
    let r_inner = r.ndim().saturating_sub(2);
    let (m, n) = (l.shape()[l.ndim() - 1], r.shape()[r_inner]);
    if m != n {
        return Err(mismatch(op, l.ty_ref(), r.ty_ref(), m, n));
    }
    if r.ndim() <= 2 {
        // no batch axes on the right: those of the left stay where they are
        let op = Op::DotGeneral {
            lhs_batch: Shape::new(),
            rhs_batch: Shape::new(),
            lhs_contract: Shape::from_elem(l.ndim() - 1, 1),
            rhs_contract: Shape::from_elem(r_inner, 1),
        };
        return Ok(apply(op, &[l, r], loc));
    }
    // labels: batch axes under the ellipsis, 0 the contracted axis, 1 the rows, 2 the columns
    let batch = |x: &Tensor, own: usize| (0..x.ndim() - own).rev().map(|k| ELLIPSIS + k as Label).collect::<Vec<_>>();
    let own_l = l.ndim().min(2);
    let mut labels_l = batch(l, own_l);
    labels_l.extend(&[1, 0][2 - own_l..]);
    let mut labels_r = batch(r, 2);
    labels_r.extend([0, 2]);
    let rank = (l.ndim() - own_l).max(r.ndim() - 2);
    let mut out: Vec<Label> = (0..rank).rev().map(|k| ELLIPSIS + k as Label).collect();
    out.extend(if own_l == 2 { &[1, 2][..] } else { &[2][..] });
    let xs = [(l.clone(), labels_l), (r.clone(), labels_r)];
    let lengths = label_lengths(op, xs.iter().map(|(x, labels)| (x.ty_ref(), labels))).map_err(|_| {
        Error::shape_mismatch(op, l.ty_ref(), r.ty_ref(), "batch axes aligned at the end must be equal or 1")
    })?;
    let xs = xs.into_iter().map(|(x, ls)| distinct(x, ls, &lengths, loc)).collect::<Result<Vec<_>>>()?;
    Ok(contract_all(xs, &out, &lengths, loc))
}

impl Tensor {
    /// The matrix product, with batch axes in front that broadcast; a vector stands for a row on the left and a column
    /// on the right.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let a = Tensor::from_slice([2, 2], &[1.0f32, 2.0, 3.0, 4.0]);
    /// let x = Tensor::from_vec(vec![1.0f32, 1.0]);
    /// assert_eq!(a.matmul(&x).to_vec::<f32>().unwrap(), [3.0, 7.0]);
    /// ```
    #[track_caller]
    pub fn matmul(&self, rhs: &Tensor) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, matmul_at(self, rhs, &loc))
    }

    /// [`Tensor::matmul`] computed and returned in another dtype (JAX's `preferred_element_type`): sums of i8 products
    /// as i32, of bf16 products as f32. A result narrower than the operands is rounded at the end.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let x = Tensor::full([1, 300], 100, DType::I8);
    /// assert_eq!(x.matmul_as(&x.t(), DType::I32).to_vec::<i32>()?, [3_000_000]);
    /// # Ok::<(), gradloom::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Tensor::matmul`], and if one dtype is complex, float or integer and the other of another kind.
    #[track_caller]
    pub fn matmul_as(&self, rhs: &Tensor, dtype: DType) -> Tensor {
        let loc = Loc::caller();
        settle(&loc, in_dtype("matmul_as", &[self, rhs], dtype, &loc, |x| matmul_at(&x[0], &x[1], &loc)))
    }

    /// The product summed over the last axis of `self` and the last but one (or only) axis of `rhs`, all other axes
    /// side by side. A scalar multiplies.
    #[track_caller]
    pub fn dot(&self, rhs: &Tensor) -> Tensor {
        let loc = Loc::caller();
        let run = || {
            same_dtype("dot", self, rhs)?;
            if self.ndim() == 0 || rhs.ndim() == 0 {
                return Ok(binary_at(Binary::Mul, self, rhs, &loc));
            }
            let (i, j) = (self.ndim() - 1, rhs.ndim().saturating_sub(2));
            let (m, n) = (self.shape()[i], rhs.shape()[j]);
            if m != n {
                return Err(mismatch("dot", self.ty_ref(), rhs.ty_ref(), m, n));
            }
            let op = Op::DotGeneral {
                lhs_batch: Shape::new(),
                rhs_batch: Shape::new(),
                lhs_contract: Shape::from_elem(i, 1),
                rhs_contract: Shape::from_elem(j, 1),
            };
            Ok(apply(op, &[self, rhs], &loc))
        };
        settle(&loc, run())
    }

    /// Every element of `self` times every element of `rhs`, as a matrix.
    #[track_caller]
    pub fn outer(&self, rhs: &Tensor) -> Tensor {
        let loc = Loc::caller();
        let run = || {
            same_dtype("outer", self, rhs)?;
            let column = reshape_at(self, &[self.size(), 1], &loc);
            let row = reshape_at(rhs, &[1, rhs.size()], &loc);
            Ok(binary_at(Binary::Mul, &column, &row, &loc))
        };
        settle(&loc, run())
    }

    /// The product summed over `axes` of `self` paired with `rhs_axes` of `rhs`, all other axes side by side.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let (a, b) = (Tensor::ones([2, 3, 4]), Tensor::ones([4, 3, 5]));
    /// assert_eq!(a.tensordot(&b, [1, 2], [1, 0]).shape(), [2, 5]);
    /// ```
    #[track_caller]
    pub fn tensordot(&self, rhs: &Tensor, axes: impl IntoAxes, rhs_axes: impl IntoAxes) -> Tensor {
        let loc = Loc::caller();
        let run = || {
            same_dtype("tensordot", self, rhs)?;
            let op = Op::DotGeneral {
                lhs_batch: Shape::new(),
                rhs_batch: Shape::new(),
                lhs_contract: resolve_axes("tensordot", &axes.axes(), self.ty_ref())?,
                rhs_contract: resolve_axes("tensordot", &rhs_axes.axes(), rhs.ty_ref())?,
            };
            Ok(apply(op, &[self, rhs], &loc))
        };
        settle(&loc, run())
    }
}
