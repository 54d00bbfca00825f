//! Derivatives of products of many factors, right also where factors are zero.
//!
//! A product of factors with tangents is a fold of pairs `(p, t)`: `(a, ta) (b, tb) = (a b, ta b + a tb)`. The fold
//! only multiplies and adds, so it is exact at zeros, linear in the tangents, and can itself be differentiated to
//! any order; dividing the whole product by one factor is none of these.

use gradloom_ir::{Binary, Builder, Comparison, DType, Op, Shape, Value};

/// `x` with `fill` in the first `by` places along `axis` and its elements moved back by as much (the last fall off);
/// from the other end if `reverse`.
pub(super) fn shift(b: &mut Builder, x: Value, axis: usize, by: usize, fill: f64, reverse: bool) -> Value {
    let ty = b.ty(x).clone();
    let mut low = vec![0; ty.rank()];
    let mut high = vec![0; ty.rank()];
    let by = by as i64;
    (low[axis], high[axis]) = if reverse { (-by, by) } else { (by, -by) };
    let fill = b.scalar(ty.dtype, fill);
    b.op(Op::Pad { low, high, interior: Shape::from_elem(0, ty.rank()) }, &[x, fill])
}

/// The tangent of the running product of `x` along `axis`, by doubling: after step k place i holds the fold of the
/// 2^k places that end there.
pub(super) fn running_product_tangent(b: &mut Builder, x: Value, t: Value, axis: usize, reverse: bool) -> Value {
    let n = b.ty(x).shape[axis];
    let (mut p, mut t) = (x, t);
    let mut by = 1;
    while by < n {
        let before = shift(b, p, axis, by, 1.0, reverse);
        let before_dot = shift(b, t, axis, by, 0.0, reverse);
        let (left, right) = (b.mul(before_dot, p), b.mul(t, before));
        t = b.add(left, right);
        p = b.mul(p, before);
        by *= 2;
    }
    t
}

/// The tangent of the product of `x` along `axes`, by folding the axis in halves.
pub(super) fn product_tangent(b: &mut Builder, x: Value, t: Value, axes: &[usize]) -> Value {
    let ty = b.ty(x).clone();
    let kept: Shape = (0..ty.rank()).filter(|a| !axes.contains(a)).collect();
    let n: usize = axes.iter().map(|&a| ty.shape[a]).product();
    let perm: Shape = axes.iter().chain(&kept).copied().collect();
    let mut flat: Shape = kept.iter().map(|&a| ty.shape[a]).collect();
    let out = flat.clone();
    flat.insert(0, n);
    let [mut p, mut t] = [x, t].map(|v| {
        let v = b.transpose(v, &perm);
        b.reshape(v, &flat)
    });
    let mut n = n;
    while n > 1 {
        let half = n / 2;
        let [(p0, p1, p_odd), (t0, t1, t_odd)] = [p, t].map(|v| {
            let (lo, hi) = (b.slice_axis(v, 0, 0, half), b.slice_axis(v, 0, half, 2 * half));
            (lo, hi, (n % 2 == 1).then(|| b.slice_axis(v, 0, n - 1, n)))
        });
        let (left, right) = (b.mul(t0, p1), b.mul(t1, p0));
        t = b.add(left, right);
        p = b.mul(p0, p1);
        if let (Some(p_odd), Some(t_odd)) = (p_odd, t_odd) {
            p = b.concatenate(&[p, p_odd], 0);
            t = b.concatenate(&[t, t_odd], 0);
        }
        n = half + n % 2;
    }
    b.reshape(t, &out)
}

/// For a vector `u` sorted so that equal `keys` stand together: the product of the other elements with the same key.
pub(super) fn product_of_others(b: &mut Builder, u: Value, keys: Value) -> Value {
    let left = running_product_before(b, u, keys, false);
    let right = running_product_before(b, u, keys, true);
    b.mul(left, right)
}

/// The product of the elements before each place that have its key, by doubling.
fn running_product_before(b: &mut Builder, u: Value, keys: Value, reverse: bool) -> Value {
    let n = b.ty(u).shape[0];
    let one = b.full_like(u, 1.0);
    // place i starts with element i - 1; a place that has no such element has the factor 1
    let earlier = shift(b, u, 0, 1, 1.0, reverse);
    let same = same_key(b, keys, 1, reverse);
    let mut p = b.select(same, earlier, one);
    let mut by = 1;
    while by < n {
        let before = shift(b, p, 0, by, 1.0, reverse);
        let same = same_key(b, keys, by, reverse);
        let factor = b.select(same, before, one);
        p = b.mul(p, factor);
        by *= 2;
    }
    p
}

/// Where the element `by` places before exists and has the same key.
fn same_key(b: &mut Builder, keys: Value, by: usize, reverse: bool) -> Value {
    let earlier = shift(b, keys, 0, by, 0.0, reverse);
    let equal = b.compare(Comparison::Eq, keys, earlier);
    let ty = b.ty(keys).with_dtype(DType::Bool);
    let all = b.full(&ty, 1.0);
    let exists = shift(b, all, 0, by, 0.0, reverse);
    b.binary(Binary::And, equal, exists)
}
