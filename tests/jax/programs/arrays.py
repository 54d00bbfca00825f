"""Arrays sorted, searched, indexed, cut and joined, as with NumPy."""
import functools

import jax
import jax.numpy as jnp
from jax import lax

from . import program


@program(lambda g: (g.f(6, 7), g.i(9, 20), g.i(5, 8), g.i(4, 8), g.f(8, dtype="bfloat16")))
def sorting(x, n, a, b, h):
    values, inverse, counts = jnp.unique(n, return_inverse=True, return_counts=True, size=10, fill_value=-1)[:3]
    return (jnp.sort(x, 0), jnp.argsort(x, 1), jnp.sort(x, descending=True), jnp.argsort(n, stable=True, descending=True), values, inverse, counts, jnp.lexsort((a, b)), lax.sort((a, b, jnp.arange(8)), num_keys=2),
            jnp.partition(x, 3)[:, 3], jnp.argpartition(x[0], 2)[2], lax.top_k(x, 3), jnp.sort(h), jnp.sort_complex(x[0] + 1j * x[1]), jnp.median(x, 0), jnp.percentile(x, jnp.array([5, 50, 90]), axis=1),
            jnp.quantile(x, 0.3, method="lower"), jnp.nanmedian(jnp.where(x > 1, jnp.nan, x), 1), jax.grad(lambda x: (jnp.sort(x, 1)[:, :2] ** 2).sum())(x), jax.grad(lambda x: jnp.median(x))(x))


@program(lambda g: (jnp.sort(g.f(12)), g.f(7), g.f(30), g.i(6, 20), g.i(9, 11), g.i(9, 5)))
def searching(s, q, x, n, a, b):
    methods = [jnp.searchsorted(s, q, side=side, method=m) for side in ("left", "right") for m in ("scan", "scan_unrolled", "sort", "compare_all")]
    sets = jnp.union1d(a, b, size=12), jnp.intersect1d(a, b, size=6, fill_value=-1), jnp.setdiff1d(a, b, size=8, fill_value=-1), jnp.isin(a, b)
    counts = jnp.histogram(x, 8), jnp.histogram(x, 5, range=(-1, 1), weights=x), jnp.histogram2d(x[:15], x[15:], 4)[0], jnp.bincount(n, length=6), jnp.bincount(n, weights=x[:20], length=7), jnp.digitize(q, s)
    where = jnp.nonzero(n > 2, size=9, fill_value=0), jnp.argwhere(x > 0, size=8), jnp.flatnonzero(n == 1, size=4), jnp.where(n > 3, size=5)
    return methods, sets, counts, where, jnp.interp(q, s, s**2), jnp.interp(q, s, s, left=-1, right=1), jnp.argmax(x), jnp.nanargmin(jnp.where(x < -1, jnp.nan, x)), jnp.extract(n > 2, n, size=6)


@program(lambda g: (g.f(5, 6), g.i(5, 4), g.i(6, 4), g.f(4), g.b(5, 6), g.f(5, 6, 3)))
def indexing(x, i, j, v, m, t):
    x1 = x.at[i, j].add(v), x.at[i].multiply(2.0), x.at[i, j].max(v), x.at[i].set(v[:, None]), x.at[:, ::2].set(0), x.at[1:4, -2].min(0), x.at[i, j].apply(jnp.sin), x.at[i, j].power(2.0), x.at[i].divide(3.0)
    out = x.at[i + 3].add(1, mode="drop"), x.at[i + 3].get(mode="fill", fill_value=-1.0), x.at[i + 3].get(mode="clip"), x[i - 2], x.at[i - 9].set(5, mode="promise_in_bounds") * 0
    reads = x[i], x[:, j], x[i, j], x[i][:, j], x[..., None, 2], x[jnp.ix_(i, j)], t[i, :, 1], t[:, j, i % 3], jnp.where(m, x, 0)[m.argmax(0)], x[::-2, 1:5:3], jnp.take(x, i, axis=1, mode="wrap"), jnp.take_along_axis(x, jnp.argsort(x, 1), 1)
    grads = jax.grad(lambda x: (x[i, j] * v).sum() + (x[:, j] ** 2).sum())(x), jax.grad(lambda v: (x.at[i, j].set(v) ** 2).sum())(v), jax.grad(lambda x: x.at[i].max(0.5).sum())(x)
    mapped = jax.vmap(lambda r, k: r[k])(x[:4], j), jax.vmap(lambda r, k, u: r.at[k].add(u))(x[:4], j, v), jax.vmap(lambda r, k: lax.dynamic_slice(r, (k,), (3,)))(x[:4], j)
    return x1, out[:4], reads, grads, mapped, jnp.choose(i % 3, [v, v * 2, v * 3], mode="clip"), jnp.select([v > 1, v > 0], [v, v * 10], -1.0), jnp.piecewise(v, [v < 0, v > 1], [lambda a: -a, lambda a: a * a, 0.0])


@program(lambda g: (g.f(4, 5), g.i(50, 6)))
def rearranging(x, n):
    pads = [jnp.pad(x, ((1, 2), (3, 1)), mode=m) for m in ("constant", "edge", "reflect", "symmetric", "wrap", "linear_ramp", "maximum", "mean", "empty")[:-1]]
    joined = jnp.concatenate([x, x * 2], 1), jnp.stack([x, x], 2), jnp.block([[x, x], [x * 0, x]]), jnp.hstack([n, n]), jnp.tile(x, (2, 1, 2)), jnp.repeat(x, 2, 0), jnp.repeat(n, n % 3, total_repeat_length=8), jnp.append(n, 3), jnp.insert(n, 2, 9), jnp.delete(n, 1)
    turned = jnp.roll(x, (1, -2), (0, 1)), jnp.rot90(x), jnp.flip(x, 1), jnp.moveaxis(x[None], 0, 2), x.T.reshape(2, 10), jnp.tril(x, 1), jnp.triu(x), jnp.diag(x), jnp.diag(n), jnp.diagflat(n[:3], 1), jnp.swapaxes(x, 0, 1), jnp.array_split(n, 4), jnp.resize(n, (3, 5))
    made = jnp.meshgrid(n, n[:2], indexing="ij"), jnp.eye(3, 4, 1), jnp.linspace(0, 1, 7), jnp.logspace(0, 2, 5), jnp.geomspace(1, 8, 4), jnp.tri(3), jnp.indices((2, 3)), jnp.tril_indices(3), jnp.unravel_index(n, (8, 8)), jnp.ravel_multi_index((n % 3, n % 4), (3, 4), mode="clip"), jnp.fill_diagonal(x, 0, inplace=False)
    return pads, joined, turned, made, lax.pad(x, 9.0, ((1, -1, 2), (-1, 2, 0)))


@program(lambda g: (g.f(4, 5, 3), g.f(4, 5), g.f(5, 3), g.f(3, 3), g.c(4, 5)))
def contractions(t, a, b, s, z):
    e = jnp.einsum
    paths = [e("ijk,ij,jk->i", t, a, b), e("ijk,lk->lji", t, s), e("ii->i", s), e("ii", s), e("ij,jk,kl->il", a, b, s, optimize="optimal"), e("...k,kl", t, s), e("ij->ji", a), e("ijk->k", t), e("ij,ij", z, z.conj()), e("bij,bkj->bik", t, t), e("i,j", a[:, 0], b[:, 0])]
    f = lambda a, b: e("ij,jk,ik->", a, b, a @ b)
    return paths, jnp.tensordot(t, a, ((0, 1), (0, 1))), jnp.matmul(t, s, precision="highest"), jnp.dot(a, b), lax.dot(a.astype(jnp.bfloat16), b.astype(jnp.bfloat16), preferred_element_type=jnp.float32), lax.batch_matmul(t, t.swapaxes(1, 2)), jax.grad(f, (0, 1))(a, b), jnp.matvec(t, s[0]), jnp.vecmat(a[0], t)


@program(lambda g: (g.f(4, 6), g.i(100, 4, 6), g.b(4, 6), g.c(4, 6)))
def reductions(x, n, m, z):
    y = jnp.where(x > 1, jnp.nan, x)
    plain = x.sum(), x.mean(0), x.std(1, ddof=1), x.var(), x.prod(1), x.max(0), x.argmin(1), n.sum(1), n.max(), m.all(0), m.any(1), z.sum(0), z.mean(), z.prod(1), jnp.ptp(x, 0), jnp.average(x, 1, weights=jnp.arange(6.0)), jnp.count_nonzero(m, 1), jnp.linalg.norm(z), z.var(0), m.sum(0), m.mean()
    nans = jnp.nansum(y), jnp.nanmean(y, 0), jnp.nanstd(y), jnp.nanmax(y, 1), jnp.nanprod(y, 0), jnp.nanvar(y, 1), jnp.nancumsum(y, 1), y.max(0), y.argmax(1), jnp.nan_to_num(y)
    running = jnp.cumsum(x, 1), jnp.cumprod(x, 0), lax.cummax(x, 1), lax.cummin(x, 0, reverse=True), lax.cumlogsumexp(x, 1), jnp.cumsum(n, 1), jnp.cumsum(z, 1), jnp.cumsum(m, 0), jnp.diff(x, 2), jnp.gradient(x)
    own = lax.reduce(n, 0, lax.bitwise_xor, (1,)), lax.reduce(x, 1.0, lambda a, b: a * b + a, (0, 1)), lax.reduce((x, n), (-jnp.inf, 0), lambda a, b: (jnp.where(b[0] > a[0], b[0], a[0]), jnp.where(b[0] > a[0], b[1], a[1])), (1,)), lax.reduce_window(x, 0.0, lambda a, b: jnp.maximum(jnp.abs(a), jnp.abs(b)), (2, 2), (1, 2), "SAME"), lax.reduce(m, False, lax.bitwise_or, (0,)), lax.reduce_xor(m, (1,))
    return plain, nans, running, own, jax.nn.logsumexp(x, 1, b=n % 3), jnp.trapezoid(x, dx=0.1), jax.grad(lambda x: x.prod() + x.max() + x.std() + jnp.cumprod(x).sum())(x), jnp.ufunc(jnp.add, 2, 1).reduce(x) if False else jnp.add.reduce(x, 1), jnp.add.at(x, jnp.array([1, 1]), 2.0, inplace=False), jnp.multiply.accumulate(x, 1)


@program(lambda g: (g.i(120, 6, low=-120, dtype="int8"), g.i(250, 6, dtype="uint8"), g.i(30000, 6, low=-30000, dtype="int16"), g.i(10**9, 6, low=-(10**9)), g.i(2**31, 6, dtype="uint32")))
def integers(a, b, c, d, e):
    out = []
    for x in (a, b, c, d, e):
        y = jnp.asarray([3, 5, 7, 2, 9, 1], x.dtype)
        out += [x + y, x * x, x // y, x % y, x & y, x | y, x ^ y, ~x, x << (y % 4), x >> (y % 4), lax.shift_right_logical(x, y % 4), lax.population_count(x), lax.clz(x), -x, jnp.abs(x), jnp.sign(x), x.sum(), jnp.minimum(x, y), x > y, x.astype(jnp.float32), lax.div(x, y), lax.rem(x, y), jnp.floor_divide(x, y), jnp.power(y, 3), lax.mulhi(x, y) if x.dtype.itemsize >= 4 else x]
    mixed = a.astype(jnp.uint8), d.astype(jnp.int8), (c / 7), lax.bitcast_convert_type(d, jnp.float32), lax.bitcast_convert_type(d, jnp.uint8), lax.bitcast_convert_type(b[:4], jnp.uint32), jnp.float32(3e9).astype(jnp.int32), jnp.array([jnp.nan, -1.5, 300.7, jnp.inf]).astype(jnp.uint8)
    return out, mixed, jnp.left_shift(d, 40), jnp.right_shift(d, 40), lax.dot(a, a, preferred_element_type=jnp.int32), jnp.bitwise_count(d), jnp.divmod(d, 1000), jnp.invert(e)


@program(lambda g: (g.i(10**12, 5, low=-(10**12), dtype="int64"), g.i(2**62, 5, dtype="uint64"), g.f(5, dtype="float64"), g.c(5, dtype="complex128"), g.f(4, 4, dtype="float64")), x64=True)
def wide_types(a, b, x, z, m):
    ints = a * a, a // 7, a % 1000, a >> 3, b ^ (b << 7), b // 3, lax.clz(b), a.sum(), jnp.sort(a), jnp.cumsum(a), a.astype(jnp.float64), x.astype(jnp.int64), lax.population_count(b), b.astype(jnp.float32)
    return ints, jnp.sin(x), jnp.exp(z), z**2.5, jax.scipy.special.gammaln(jnp.abs(x) + 1), m @ m, jnp.linalg.inv(m), jax.hessian(lambda x: (x**3).sum() * x[0])(x), jnp.fft.fft(x), jax.scipy.special.erf(x), jnp.where(a > 0, x, 0), a[jnp.argsort(x)], lax.scan(lambda c, v: (c * 1.1 + v, c), 0.0, x)


@program(lambda g: (g.f(5, 6), g.f(3, 4), g.i(5, 7), g.f(7, 6), g.f(6, 7, 2)))
def low_level(x, y, i, u, t):
    dn = lax.ScatterDimensionNumbers((1,), (0,), (0,))
    at = i[:, None]
    apply = lax.scatter_apply(x, at, jnp.cos, dn, update_shape=(7, 6))
    ops = [f(x, at, u, dn) for f in (lax.scatter, lax.scatter_add, lax.scatter_mul, lax.scatter_min, lax.scatter_max, lax.scatter_sub)]
    gdn = lax.GatherDimensionNumbers((1,), (0,), (0,))
    gathered = [lax.gather(x, at + 2, gdn, (1, 3), mode=m) for m in ("clip", "fill", "promise_in_bounds")[:2]]
    part = lax.dynamic_slice(x, (i[0], i[1]), (2, 3)), lax.dynamic_update_slice(x, y, (i[2], -1)), lax.dynamic_index_in_dim(x, i[3], 0), lax.slice(x, (1, 0), (5, 6), (2, 3)), lax.rev(x, (0,)), lax.expand_dims(x, (1,)), lax.collapse(t, 0, 2)
    misc = lax.reduce_precision(x, 5, 10), lax.clamp(-1.0, x, 1.0), lax.select(x > 0, x, -x), lax.iota(jnp.int32, 5), lax.broadcasted_iota(jnp.uint8, (2, 3), 1), lax.nextafter(x, x + 1), lax.rng_uniform(0.0, 1.0, (2,)) * 0, lax.optimization_barrier(x), lax.integer_pow(x, -3), lax.square(x), lax.cbrt(x), lax.rsqrt(jnp.abs(x))
    return apply, ops, gathered, part, misc[:6], misc[7:], lax.approx_max_k(x, 2)[0], lax.split(x, (2, 3, 1), 1), lax.stop_gradient(x), lax.top_k(i, 3), lax.conv(t.transpose(2, 0, 1)[None], jnp.ones((1, 2, 2, 2)), (1, 1), "SAME"), lax.reduce_and(i, (0,)), lax.reduce_or(i, (0,))


@program(lambda g: (g.f(6), g.f(6), g.f(20)))
def polynomials(p, x, y):
    fit = jnp.polyfit(jnp.linspace(-1, 1, 20), y, 3)
    return jnp.polyval(p, x), jnp.polyadd(p, x[:3]), jnp.polymul(p, x), jnp.polyder(p), jnp.polyint(p), fit, jnp.polydiv(p, x[:3]), jnp.poly(x), jnp.sort(jnp.abs(jnp.roots(p, strip_zeros=False)))


@program(lambda g: (g.f(8), g.b(8), g.b(8)))
def logic(x, a, b):
    return a & b, a | ~b, a ^ b, jnp.logical_not(x > 0), jnp.where(a, x, -x), a.astype(jnp.int32) * 3, (a * x), a + b, a == b, a < b, jnp.maximum(a, b), jnp.sort(a), jnp.cumsum(a), a[jnp.array([1, 1])], jnp.isclose(x, x + 1e-9), jnp.allclose(x, x), jnp.array_equal(a, b), jnp.signbit(x), jnp.isfinite(x / 0), jnp.isnan(x * jnp.nan), lax.select(a, b, ~b), jnp.take(a, 9, mode="fill", fill_value=True), jnp.outer(a, b), a @ b, jnp.stack([a, b]).T


@program(lambda g: (g.f(4, 3), g.f(0, 3), g.f(1, 1)))
def empty_and_single(x, none, one):
    return none.sum(0), none @ x.T, jnp.concatenate([none, x]), jnp.sort(none, 0), none.reshape(3, 0), one.squeeze(), one @ one, jnp.linalg.inv(one), jnp.cumsum(none, 0), x[:0], jnp.zeros((0,)).prod(), x[jnp.zeros((0,), jnp.int32)], lax.scan(lambda c, r: (c + r, c), jnp.zeros(3), none), jnp.argmax(one), jax.vmap(jnp.sin)(none), jnp.linalg.det(one), jnp.fft.fft(one)
