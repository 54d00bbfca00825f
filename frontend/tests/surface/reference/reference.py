"""Writes reference.txt: what JAX and NumPy compute for the cases of the surface tests.

    python reference.py > reference.txt

A line a case: name | inputs | results, arrays separated by `;`, an array as `dtype shape : elements`.
Made with JAX 0.10.2, NumPy 2.4 and opt_einsum 3.4 on a CPU.
"""

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
from jax import lax, ops

CODES = {"bool": "bool", "bfloat16": "bf16"}
CODES |= {f"int{n}": f"i{n}" for n in [8, 16, 32, 64]} | {f"uint{n}": f"u{n}" for n in [8, 16, 32, 64]}
CODES |= {f"float{n}": f"f{n}" for n in [16, 32, 64]}
rng = np.random.default_rng(20)


def text(array):
    array = np.asarray(array)
    shape = ",".join(map(str, array.shape)) or "-"
    if array.dtype == np.bool_:
        array = array.astype(np.uint8)
        code = "bool"
    else:
        code = CODES[str(array.dtype)]
    if code in ["f16", "bf16"]:
        array = array.astype(np.float32)
    return f"{code} {shape} : " + " ".join(repr(v) for v in array.reshape(-1).tolist())


def case(name, function, *inputs):
    outputs = function(*[jnp.asarray(x) for x in inputs])
    if not isinstance(outputs, (tuple, list)):
        outputs = [outputs]
    print(f"{name} | {' ; '.join(map(text, inputs))} | {' ; '.join(map(text, outputs))}")


def u(*shape):
    """Distinct numbers in (-2, 2), apart from each other and from zero, rounded so that they print short."""
    n = int(np.prod(shape, dtype=int))
    grid = (np.arange(n) - n / 2 + 0.37) * (3.9 / max(n, 1))
    return np.round(rng.permutation(grid), 3).reshape(shape)


def p(*shape):
    return np.round(np.abs(u(*shape)) + 0.1, 3)


def i(low, high, *shape):
    return rng.integers(low, high, shape).astype(np.int32)


inf, nan = np.inf, np.nan
special = np.array([0.0, -0.0, 1.0, -1.0, inf, -inf, nan, 1e300, -1e300, 1e-300, 2.5, -2.5, 0.5, -0.5])

# ---- elementwise ----
for name in ["isnan", "isinf", "isfinite", "signbit", "trunc", "rint", "nan_to_num", "isposinf", "isneginf"]:
    case(name, getattr(jnp, name), special)
for name in ["exp2", "deg2rad", "rad2deg", "sinc", "reciprocal"]:
    case(name, getattr(jnp, name), u(5))
for name in ["log2", "log10", "cbrt"]:
    case(name, getattr(jnp, name), p(5))
case("sinc_near_zero", jnp.sinc, np.array([0.0, 1e-9, -1e-4, 0.1, 0.15915, -0.2]))
case("nan_to_num_with", lambda x: jnp.nan_to_num(x, nan=7.0, posinf=8.0, neginf=9.0), special)
case("nan_to_num_i32", jnp.nan_to_num, i(-5, 5, 3))
case("round_to", lambda x: jnp.round(x, 1), u(6))
fd = np.array([7.0, -7.0, 7.0, -7.0, 6.0, -6.0, 0.0, 5.5, -5.5]), np.array([3.0, 3.0, -3.0, -3.0, 3.0, 3.0, 3.0, 0.5, 2.0])
id_ = np.array([7, -7, 7, -7, 6, -6, 0, -8, 9], np.int32), np.array([3, 3, -3, -3, 3, 3, 3, 4, -4], np.int32)
for name in ["fmod", "remainder", "floor_divide", "divmod"]:
    case(name, getattr(jnp, name), *fd)
    case(name + "_i32", getattr(jnp, name), *id_)
    case(name + "_u8", getattr(jnp, name), np.array([7, 250, 9], np.uint8), np.array([3, 7, 200], np.uint8))
case("remainder_smooth", lambda x, y: jnp.remainder(x, y), u(2, 3) * 3, p(3))
case("hypot", jnp.hypot, u(2, 4), u(4))
case("hypot_special", jnp.hypot, np.array([0.0, 1e200, inf, -inf, nan, 0.0, 3.0]), np.array([0.0, 1e200, 1.0, inf, 1.0, -2.0, 4.0]))
case("logaddexp", jnp.logaddexp, u(2, 4) * 9, u(4))
case("logaddexp2", jnp.logaddexp2, u(2, 4) * 9, u(4))
la = np.array([-inf, -inf, inf, inf, inf, 1e308, -1e308, nan, 700.0])
lb = np.array([-inf, 1.0, inf, -inf, 0.0, 1e308, -1e308, 0.0, 710.0])
case("logaddexp_special", jnp.logaddexp, la, lb)
case("heaviside", jnp.heaviside, special, np.float64(0.25))
case("copysign", jnp.copysign, special, special[::-1].copy())
case("ldexp", jnp.ldexp, np.array([1.0, -0.75, 3.0, 0.0, inf, 1.5, 1.0]), np.array([3, -2, 1000, 5, -3, -1060, 1023], np.int32))
case("gcd", jnp.gcd, np.array([12, -18, 0, 0, 7, 2147483647], np.int32), np.array([8, 12, 5, 0, 13, 3], np.int32))
case("lcm", jnp.lcm, np.array([12, -18, 0, 0, 7], np.int32), np.array([8, 12, 5, 0, 13], np.int32))
case("isclose", lambda x, y: jnp.isclose(x, y), np.array([1.0, 1.0, inf, inf, nan, 0.0]), np.array([1.0 + 1e-6, 1.1, inf, -inf, nan, 1e-9]))
case("allclose", lambda x, y: jnp.allclose(x, y, rtol=0.1, atol=0.0), p(4), p(4))
case("polyval", jnp.polyval, u(4), u(2, 3))
case("polyval_long", jnp.polyval, u(40), u(3))
case("polyval_empty", jnp.polyval, np.zeros(0), u(3))
case("where", lambda c, x, y: jnp.where(c, x, y), np.array([[True], [False]]), u(3), np.float64(7.0))

# ---- creation ----
case("arange_down", lambda: jnp.arange(5.0, -3.0, -1.5))
case("arange_i32", lambda: jnp.arange(-3, 9, 4))
case("linspace", lambda: jnp.linspace(-2.0, 3.0, 7))
case("linspace_open", lambda: jnp.linspace(-2.0, 3.0, 5, endpoint=False))
case("linspace_one", lambda: jnp.linspace(-2.0, 3.0, 1))
case("logspace", lambda: jnp.logspace(-2.0, 3.0, 6))
case("geomspace", lambda: jnp.geomspace(-1.0, -1000.0, 7))
case("tri", lambda: jnp.tri(3, 5, 1))
case("vander", lambda x: jnp.vander(x, 4), u(3))
case("vander_increasing", lambda x: jnp.vander(x, 3, increasing=True), u(3))
case("vander_none", lambda x: jnp.vander(x, 0), u(3))
case("meshgrid_xy", lambda x, y, z: jnp.meshgrid(x, y, z), u(2), u(3), u(4))
case("meshgrid_ij", lambda x, y: jnp.meshgrid(x, y, indexing="ij"), u(2), u(3))

# ---- rearranging ----
for mode in ["edge", "reflect", "symmetric", "wrap"]:
    case(f"pad_{mode}", lambda x: jnp.pad(x, ((2, 1), (0, 3)), mode=mode), u(3, 4))
    case(f"pad_{mode}_far", lambda x: jnp.pad(x, ((7, 8),), mode=mode), u(3))
    case(f"pad_{mode}_one", lambda x: jnp.pad(x, ((2, 3),), mode=mode), u(1))
case("roll_axes", lambda x: jnp.roll(x, (1, -2), (0, 1)), u(3, 4))
case("roll_same", lambda x: jnp.roll(x, 5, (0, 1)), u(3, 4))
case("roll_empty", lambda x: jnp.roll(x, 5, 0), np.zeros((0, 2)))
case("moveaxis", lambda x: jnp.moveaxis(x, (0, 2), (-1, 0)), u(2, 3, 4))
for k in range(-1, 4):
    case(f"rot90_{k}", lambda x: jnp.rot90(x, k), u(2, 3))
case("rot90_axes", lambda x: jnp.rot90(x, 1, (2, 0)), u(2, 3, 4))
for k in [-5, -2, 0, 1, 3, 9]:
    case(f"diag_of_{k}", lambda x: jnp.diag(x, k), u(3, 4))
    case(f"diag_to_{k}", lambda x: jnp.diag(x, k), u(3))
case("diagonal", lambda x: jnp.diagonal(x, -1, 2, 0), u(3, 2, 4))
case("diag_embed", lambda x: jnp.stack([jnp.diag(r, -1) for r in x]), u(2, 3))
case("trace", lambda x: jnp.trace(x, axis1=-2, axis2=-1), u(2, 3, 4))
case("repeat_counts", lambda x, c: jnp.repeat(x, c, axis=1, total_repeat_length=7), u(2, 4), np.array([2, 0, 3, 2], np.int32))
case("repeat_counts_more", lambda x, c: jnp.repeat(x, c, axis=0, total_repeat_length=6), u(3, 2), np.array([1, 2, 0], np.int32))
case("repeat_counts_less", lambda x, c: jnp.repeat(x, c, axis=0, total_repeat_length=3), u(3), np.array([2, 2, 2], np.int32))
case("array_split", lambda x: jnp.array_split(x, 3, axis=1), u(2, 7))
case("array_split_many", lambda x: jnp.array_split(x, 5), u(3))
case("atleast_2d", jnp.atleast_2d, u(3))
case("atleast_3d", jnp.atleast_3d, u(2, 3))
case("kron", jnp.kron, u(2, 3), u(2, 2))
case("kron_ranks", jnp.kron, u(2), u(3, 1, 2))
case("broadcast_arrays", lambda x, y: jnp.broadcast_arrays(x, y), u(2, 1), u(3))
case("take_wrap", lambda x, t: jnp.take(x, t, axis=1, mode="wrap"), u(2, 3, 2), np.array([[-7, 0], [5, 2]], np.int32))
case("take_fill", lambda x, t: jnp.take(x, t, axis=0, mode="fill", fill_value=9.0), u(3, 2), np.array([-4, -3, -1, 0, 2, 3], np.int32))
case("take_clip", lambda x, t: jnp.take(x, t, axis=0, mode="clip"), u(3, 2), np.array([0, 2, 9], np.int32))

# ---- searching ----
ties = np.array([-1.0, 0.0, 0.0, 2.0, 2.0, 2.0, 5.0])
probes = np.array([[-3.0, -1.0, -0.5], [0.0, 2.0, 5.0], [6.0, inf, nan]])
for side in ["left", "right"]:
    case(f"searchsorted_{side}", lambda s, v: jnp.searchsorted(s, v, side=side), ties, probes)
    case(f"searchsorted_{side}_nan", lambda s, v: jnp.searchsorted(s, v, side=side), np.array([1.0, inf, nan, nan]), probes)
    case(f"searchsorted_{side}_one", lambda s, v: jnp.searchsorted(s, v, side=side), np.array([1.0]), np.array([0.0, 1.0, 2.0]))
    case(f"searchsorted_{side}_none", lambda s, v: jnp.searchsorted(s, v, side=side), np.zeros(0), np.array(3.0))
    case(f"searchsorted_{side}_i32", lambda s, v: jnp.searchsorted(s, v, side=side), np.sort(i(0, 50, 33)), i(-5, 60, 20))
xp, fp = np.array([-1.5, -0.4, 0.3, 1.7]), u(4)
case("interp", jnp.interp, np.array([-9.0, -1.5, -1.0, 0.0, 0.3, 1.0, 1.7, 3.0, nan]), xp, fp)
case("interp_smooth", jnp.interp, np.array([[-9.0, -1.1, 0.1], [1.0, 1.6, 3.0]]), xp, fp)
case("interp_points", lambda xp, x, fp: jnp.interp(x, xp, fp), xp, np.array([-9.0, -1.1, 0.1, 1.0, 3.0]), fp)
case("interp_values", lambda fp, x, xp: jnp.interp(x, xp, fp), fp, np.array([-9.0, -1.1, 0.1, 1.0, 3.0]), xp)
case("interp_fill", lambda x, xp, fp: jnp.interp(x, xp, fp, left=-7.0, right=8.0), np.array([-9.0, -1.5, 1.7, 3.0]), xp, fp)
case("interp_period", lambda x, xp, fp: jnp.interp(x, xp, fp, period=2.5), np.array([-8.7, -1.3, 1.6, 3.0, 0.1]), xp, fp)
case("interp_equal", jnp.interp, np.array([0.5, 1.0, 1.5]), np.array([0.0, 1.0, 1.0, 2.0]), u(4))
case("interp_one_point", jnp.interp, np.array([0.5, 1.0, 1.5]), np.array([1.0]), np.array([4.0]))
case("histogram", lambda x: jnp.histogram(x, bins=5), u(30))
case("histogram_range", lambda x: jnp.histogram(x, bins=4, range=(-1.0, 1.0)), np.append(u(20), [-1.0, 1.0, nan, inf]))
case("histogram_weights", lambda x, w: jnp.histogram(x, bins=3, weights=w), u(4, 3), u(4, 3))
case("histogram_point", lambda x: jnp.histogram(x, bins=3), np.array([2.0, 2.0]))
case("bincount", lambda x: jnp.bincount(x, length=5), np.array([0, 3, 3, 9, -2, 4], np.int32))
case("bincount_weights", lambda x, w: jnp.bincount(x, w, length=4), np.array([0, 3, 3, 9], np.int32), u(4))


def unique(x, **kwargs):
    v, a, b, c = jnp.unique(x, return_index=True, return_inverse=True, return_counts=True, **kwargs)
    return v, a, b.reshape(x.shape), c


repeated = np.array([[3.0, 1.0, 3.0], [nan, 1.0, nan], [-2.0, 3.0, 7.0]])
case("unique", lambda x: unique(x, size=5), repeated)
case("unique_more", lambda x: unique(x, size=7), repeated)
case("unique_fill", lambda x: unique(x, size=7, fill_value=9.0), repeated)
case("unique_i32", lambda x: unique(x, size=4), i(0, 4, 20))
case("nonzero", lambda x: jnp.nonzero(x, size=5, fill_value=-1), np.array([[0.0, 2.0, 0.0], [nan, 0.0, -1.0]]))
case("nonzero_less", lambda x: jnp.nonzero(x, size=2), i(0, 3, 2, 2, 3))
case("nonzero_bool", lambda x: jnp.nonzero(x, size=3), np.array([True, False, True, True]))
case("argwhere", lambda x: jnp.argwhere(x, size=4, fill_value=7), np.array([[0, 2, 0], [1, 0, 1]], np.int32))

# ---- running ----
for name in ["cumsum", "cumprod"]:
    case(name, lambda x: getattr(jnp, name)(x, axis=1), u(2, 5))
case("cummax", lambda x: lax.cummax(x, axis=0), u(5, 2))
case("cummin", lambda x: lax.cummin(x, axis=1), u(2, 5))
case("logcumsumexp", lambda x: lax.cumlogsumexp(x, axis=1), u(3, 7) * 20)
case("logcumsumexp_front", lambda x: lax.cumlogsumexp(x, axis=0), u(6, 2))
wide = np.array([-inf, -inf, -800.0, 0.0, 800.0, -5.0, 1e5, 1e5])
case("logcumsumexp_special", lambda x: lax.cumlogsumexp(x, axis=0), wide)
case("diff", lambda x: jnp.diff(x, axis=0), u(4, 2))
case("diff_3", lambda x: jnp.diff(x, n=3, axis=1), u(2, 5))
case("diff_all", lambda x: jnp.diff(x, n=3, axis=0), u(2, 2))
case("diff_bool", lambda x: jnp.diff(x), np.array([True, True, False]))

# ---- statistics ----
holes = np.array([[1.5, nan, -0.5, 2.0], [nan, nan, nan, nan], [0.25, 0.75, nan, -1.25]])
for method in ["linear", "lower", "higher", "nearest", "midpoint"]:
    case(f"quantile_{method}", lambda x, q: jnp.quantile(x, q, axis=1, method=method), u(3, 6), np.array([0.0, 0.1, 0.5, 0.77, 1.0]))
    case(f"nanquantile_{method}", lambda x: jnp.nanquantile(x, 0.4, axis=1, method=method), holes)
case("quantile_smooth", lambda x: jnp.quantile(x, 0.3, axis=(0, 2)), u(2, 3, 4))
case("quantile_nan", lambda x: jnp.quantile(x, 0.3, axis=0), holes)
case("quantile_all", lambda x: np.quantile(np.asarray(x), [[0.2], [0.9]]), u(7))
case("median", lambda x: jnp.median(x, axis=0), u(5, 2))
case("median_even", lambda x: jnp.median(x), u(2, 3))
case("nanmedian", lambda x: jnp.nanmedian(x, axis=1), holes)
case("var_ddof", lambda x: jnp.var(x, axis=1, ddof=1), u(2, 5))
case("std_ddof", lambda x: jnp.std(x, axis=(0, 1), ddof=1), u(2, 5))
case("var_one", lambda x: jnp.var(x, ddof=1), u(1))
case("average", lambda x, w: jnp.average(x, axis=1, weights=w), u(2, 4), p(4))
case("average_full", lambda x, w: jnp.average(x, weights=w), u(2, 4), p(2, 4))
case("cov", lambda x: jnp.cov(x), u(3, 5))
case("cov_0", lambda x: jnp.cov(x, ddof=0), u(2, 5))
case("cov_vector", lambda x: jnp.cov(x), u(5))
case("corrcoef", lambda x: jnp.corrcoef(x), u(3, 5))
for order in [0.0, 1.0, 2.0, 3.0, 0.5, inf, -inf, -1.0]:
    name = str(order).replace(".", "_").replace("-", "m")
    case(f"norm_{name}", lambda x: jnp.linalg.norm(x, ord=order, axis=1), u(2, 4))
case("norm", lambda x: jnp.linalg.norm(x), u(2, 4))
case("logsumexp", lambda x: jax.nn.logsumexp(x, axis=1), u(2, 4) * 400)
case("logsumexp_special", lambda x: jax.nn.logsumexp(x, axis=1), np.array([[-inf, -inf], [inf, 1.0], [-inf, 3.0], [1e308, 1e308], [nan, 0.0], [inf, -inf]]))
case("logsumexp_b", lambda x, b: jax.nn.logsumexp(x, axis=1, b=b), u(2, 4) * 400, p(4))
case("logsumexp_b_special", lambda x, b: jax.nn.logsumexp(x, axis=1, b=b), np.array([[inf, 1.0], [2.0, 5.0], [3.0, 3.0], [1.0, 2.0]]), np.array([[0.0, 2.0], [-1.0, 1.0], [0.0, 0.0], [1.0, -9.0]]))
case("softmax", lambda x: jax.nn.softmax(x, axis=(0, 1)), u(2, 4) * 300)
case("log_softmax", lambda x: jax.nn.log_softmax(x, axis=0), u(2, 4) * 300)
for name in ["nansum", "nanprod", "nanmean", "nanvar", "nanstd", "nanmax", "nanmin"]:
    case(name, lambda x: getattr(jnp, name)(x, axis=1), holes)
    case(name + "_all", lambda x: getattr(jnp, name)(x, keepdims=True), holes)
case("nanargmax", lambda x: jnp.nanargmax(x, axis=1), holes)
case("nanargmin", lambda x: jnp.nanargmin(x, axis=1), holes)
case("count_nonzero", lambda x: jnp.count_nonzero(x, axis=0), i(0, 2, 3, 4))
case("ptp", lambda x: jnp.ptp(x, axis=1), u(2, 4))
case("argsort_descending", lambda x: jnp.argsort(x, axis=1, stable=True, descending=True), np.array([[1.0, 3.0, 3.0, nan], [0.0, 0.0, -inf, 2.0]]))
case("sort_descending", lambda x: jnp.sort(x, axis=0, descending=True), u(5, 2))
case("lexsort", lambda a, b: jnp.lexsort((a, b)), i(0, 3, 12), i(0, 3, 12))
case("lexsort_axis", lambda a, b: jnp.lexsort((a, b), axis=0), i(0, 3, 6, 2), i(0, 2, 6, 2))
case("top_k", lambda x: lax.top_k(x, 3), u(2, 6))

# ---- products ----
for mode in ["full", "same", "valid"]:
    for n, m in [(6, 3), (3, 6), (5, 4), (4, 4), (1, 3)]:
        case(f"convolve_{mode}_{n}_{m}", lambda a, b: jnp.convolve(a, b, mode=mode), u(n), u(m))
        case(f"correlate_{mode}_{n}_{m}", lambda a, b: jnp.correlate(a, b, mode=mode), u(n), u(m))
case("convolve_i32", jnp.convolve, i(-4, 5, 5), i(-4, 5, 3))
case("inner", jnp.inner, u(2, 3), u(4, 3))
case("vdot", jnp.vdot, u(2, 3), u(3, 2))
case("cross", jnp.cross, u(2, 3), u(2, 3))
case("cross_axis", lambda a, b: jnp.cross(a, b, axis=0), u(3, 4), u(3, 1))
case("cross_2_3", jnp.cross, u(2, 2), u(3))
case("cross_3_2", jnp.cross, u(3), u(2, 2))
case("cross_2_2", jnp.cross, u(5, 2), u(5, 2))
case("tensordot", lambda a, b: jnp.tensordot(a, b, axes=([0, 2], [1, 0])), u(2, 3, 4), u(4, 2))
case("sq_distances", lambda a, b: ((a[:, None] - b[None]) ** 2).sum(-1), u(3, 2), u(4, 2))
case("distances", lambda a, b: jnp.linalg.norm(a[:, :, None] - b[None, None], axis=-1), u(2, 3, 2), u(4, 2))

# ---- segments ----
ids = np.array([2, 0, 2, 5, -1, 0, 3, -9], np.int32)
rows = u(8, 2)
case("segment_sum", lambda x, t: ops.segment_sum(x, t, 4), rows, ids)
case("segment_prod", lambda x, t: ops.segment_prod(x, t, 4), rows, ids)
case("segment_max", lambda x, t: ops.segment_max(x, t, 4), rows, ids)
case("segment_min", lambda x, t: ops.segment_min(x, t, 4), rows, ids)
case("segment_max_i32", lambda x, t: ops.segment_max(x, t, 4), i(-9, 9, 8), ids)
case("segment_min_i32", lambda x, t: ops.segment_min(x, t, 4), i(-9, 9, 8), ids)


def by_hand(x, t, n, reduce, none):
    x, t = np.asarray(x), np.asarray(t)
    return np.stack([reduce(x[t == k]) if (t == k).any() else np.full(x.shape[1:], none) for k in range(n)])


case("segment_mean", lambda x, t: by_hand(x, t, 4, lambda r: r.mean(0), 0.0), rows, ids)
case("segment_logsumexp", lambda x, t: by_hand(x, t, 4, lambda r: np.logaddexp.reduce(r, 0), -inf), rows * 300, ids)


def segment_softmax(x, t, n):
    x, t = np.asarray(x), np.asarray(t)
    y = np.zeros_like(x)
    for k in range(n):
        if (t == k).any():
            e = np.exp(x[t == k] - x[t == k].max(0))
            y[t == k] = e / e.sum(0)
    return y


case("segment_softmax", lambda x, t: segment_softmax(x, t, 4), rows * 300, ids)

# ---- images ----
for method in ["nearest", "linear", "cubic", "lanczos3", "lanczos5"]:
    for shape in [(3, 9), (8, 3), (2, 5)]:
        name = f"resize_{method}_{shape[0]}_{shape[1]}"
        case(name, lambda x: jax.image.resize(x, shape, method), u(4, 6))
    case(f"resize_{method}_plain", lambda x: jax.image.resize(x, (2, 4), method, antialias=False), u(5, 7))


def patches(x, window, strides, padding):
    n = len(window)
    layout = {1: ("NWC", "WIO", "NWC"), 2: ("NHWC", "HWIO", "NHWC")}[n]
    return lax.conv_general_dilated_patches(x, window, strides, padding, dimension_numbers=layout)


case("unfold", lambda x: patches(x, (2, 3), (1, 2), "SAME"), u(2, 3, 5, 2))
case("unfold_valid", lambda x: patches(x, (3,), (2,), "VALID"), u(2, 8, 2))
case("unfold_crop", lambda x: patches(x, (2, 2), (2, 1), [(-1, 2), (0, -1)]), u(1, 4, 4, 1))


def fold(y, shape, *how):
    return jax.vjp(lambda x: patches(x, *how), jnp.zeros(shape))[1](y)[0]


case("fold", lambda y: fold(y, (2, 3, 5, 2), (2, 3), (1, 2), "SAME"), u(2, 3, 3, 12))
case("fold_valid", lambda y: fold(y, (2, 8, 2), (3,), (2,), "VALID"), u(2, 3, 6))
case("fold_crop", lambda y: fold(y, (1, 4, 4, 1), (2, 2), (2, 1), [(-1, 2), (0, -1)]), u(1, 2, 2, 4))


def pixel_shuffle(x, r):
    n, h, w, c = x.shape
    return x.reshape(n, h, w, c // r**2, r, r).transpose(0, 1, 4, 2, 5, 3).reshape(n, h * r, w * r, c // r**2)


case("pixel_shuffle", lambda x: pixel_shuffle(x, 2), u(1, 2, 3, 8))
for name, shape, kernel, layout in [("1d", (2, 5, 2), (3, 2, 3), ("NWC", "WIO", "NWC")), ("2d", (1, 3, 4, 2), (3, 2, 2, 2), ("NHWC", "HWIO", "NHWC")), ("3d", (1, 2, 3, 2, 1), (2, 2, 2, 1, 2), ("NDHWC", "DHWIO", "NDHWC"))]:
    n = len(shape) - 2
    for padding in ["SAME", "VALID"]:
        for stride, dilation in [(1, 1), (2, 1), (3, 1), (2, 2)]:
            label = f"conv_transpose_{name}_{padding.lower()}_{stride}_{dilation}"
            case(label, lambda x, w: lax.conv_transpose(x, w, (stride,) * n, padding, rhs_dilation=(dilation,) * n, dimension_numbers=layout), u(*shape), u(*kernel))
case("conv_transpose_explicit", lambda x, w: lax.conv_transpose(x, w, (2,), [(1, 2)], dimension_numbers=("NWC", "WIO", "NWC")), u(1, 4, 1), u(3, 1, 1))

# ---- edges: integers ----
INTS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


def words(x):
    """64-bit integers as two words, so that text holds them exactly."""
    return [(x >> 32).astype(jnp.int32), x.astype(jnp.uint32)] if x.dtype.itemsize == 8 else [x]


for dtype in INTS:
    least, most = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    some = [least, 0, 1, 2, 7, most // 3, most] + ([-1, -7] if least < 0 else [])
    if dtype.endswith("64"):
        # what an f64 holds exactly
        some = [int(float(v)) for v in some if int(float(v)) <= most]
    x, y = (np.array(a, dtype).ravel() for a in np.meshgrid(some, some))
    code = CODES[dtype]
    for name in ["add", "subtract", "multiply", "maximum", "minimum", "bitwise_and", "bitwise_xor"]:
        case(f"{name}_edges_{code}", lambda x, y: words(getattr(jnp, name)(x, y)), x, y)
    case(f"div_edges_{code}", lambda x, y: words(lax.div(x, y)), x, y)
    case(f"rem_edges_{code}", lambda x, y: words(lax.rem(x, y)), x, y)
    whole = y != 0
    case(f"floor_divide_edges_{code}", lambda x, y: words(jnp.floor_divide(x, y)), x[whole], y[whole])
    case(f"remainder_edges_{code}", lambda x, y: words(jnp.remainder(x, y)), x[whole], y[whole])
    small = (y >= 0) & (y < 8)
    case(f"power_edges_{code}", lambda x, y: words(jnp.power(x, y)), x[small], y[small])
    case(f"negate_edges_{code}", lambda x: words(-x), np.array(some, dtype))
    case(f"abs_edges_{code}", lambda x: words(jnp.abs(x)), np.array(some, dtype))
    case(f"sum_edges_{code}", lambda x: words(lax.reduce(x, jnp.zeros((), x.dtype), lax.add, (0,))), np.array(some, dtype))
    case(f"prod_edges_{code}", lambda x: words(lax.reduce(x, jnp.ones((), x.dtype), lax.mul, (0,))), np.array([v for v in some if v], dtype))
    case(f"cumsum_edges_{code}", lambda x: words(lax.cumsum(x)), np.array(some, dtype))
    bits = np.arange(16).astype(dtype)[: np.iinfo(dtype).bits]
    for name, f in [("shift_left", lax.shift_left), ("shift_right_logical", lax.shift_right_logical), ("shift_right_arithmetic", lax.shift_right_arithmetic)]:
        if name != "shift_right_arithmetic":
            case(f"{name}_edges_{code}", lambda x, y: words(f(x, y)), *(a.ravel() for a in np.meshgrid(np.array(some, dtype), bits)))

# ---- edges: conversions ----
reals = [nan, inf, -inf, 1e30, -1e30, 0.5, -0.5, -0.0, 1.99, -1.99, 126.5, 127.0, 128.0, -128.5, -129.0, 255.9, 256.0, 32767.5, 32768.0, -32769.0, 65535.0, 65536.0]
reals += [2147483520.0, 2147483648.0, -2147483648.0, -2147483904.0, 4294967040.0, 4294967296.0, 9.3e18, -9.3e18, 1.8e19, 1.9e19]
for dtype in INTS:
    for source in ["float32", "float64"]:
        with np.errstate(all="ignore"):
            values = np.array(reals, source)
        case(f"convert_{CODES[source]}_{CODES[dtype]}", lambda x: words(x.astype(dtype)), values)
    for source in INTS:
        info = np.iinfo(source)
        values = [v for v in [info.min, info.min // 2, -1, 0, 1, 100, 200, 40000, 2**20 + 77, info.max // 2 + 1] if info.min <= v <= info.max]
        case(f"convert_{CODES[source]}_{CODES[dtype]}", lambda x: words(x.astype(dtype)), np.array(values, source))
    case(f"convert_bool_{CODES[dtype]}", lambda x: words(x.astype(dtype)), np.array([False, True]))
    case(f"convert_{CODES[dtype]}_bool", lambda x: x.astype(bool), np.array([0, 1, 2], dtype))
    case(f"convert_{CODES[dtype]}_f32", lambda x: x.astype(np.float32), np.array([0, 1, 100, np.iinfo(dtype).max // 2 + 1, np.iinfo(dtype).min], dtype))
halves = [0.0, -0.0, nan, inf, -inf, 65504.0, 65519.0, 65520.0, 1e5, 6e-8, 2.9e-8, 3e-8, 1.00048828125, 1.0014648, 1.00390625, 1.01171875, 3.39e38, 1e-40, 1 / 3]
for target in [np.float16, jnp.bfloat16]:
    code = CODES[str(np.dtype(target))]
    # by NumPy, which rounds once and keeps subnormal numbers
    case(f"convert_f32_{code}", lambda x: np.asarray(x).astype(target), np.array(halves, np.float32))
    case(f"convert_f64_{code}", lambda x: np.asarray(x).astype(target), np.array(halves))
    with np.errstate(all="ignore"):
        short, real = np.array(halves, np.float32).astype(target), np.array(reals, np.float32).astype(target)
    case(f"convert_{code}_f32", lambda x: np.asarray(x).astype(np.float32), short)
    case(f"convert_{code}_i8", lambda x: x.astype(np.int8), real)
    case(f"convert_{code}_u16", lambda x: x.astype(np.uint16), real)
case("convert_f64_f32", lambda x: x.astype(np.float32), np.array(halves + [1e300, -1e300, 1e-50, 16777217.0]))
case("convert_f64_bool", lambda x: np.asarray(x).astype(bool), np.array([0.0, -0.0, nan, inf, 1e-320, 0.5]))

# ---- edges: NaN and ties ----
odd = np.array([[nan, 1.0, 3.0, 3.0, -0.0], [2.0, 2.0, -inf, inf, inf], [0.0, -0.0, 0.0, -1.0, -1.0], [nan, nan, -inf, nan, 5.0]])
for dtype in [np.float64, np.float32, np.float16, jnp.bfloat16]:
    code, x = CODES[str(np.dtype(dtype))], odd.astype(dtype)
    for name in ["max", "min", "argmax", "argmin", "argsort", "sum", "prod", "any", "all"]:
        case(f"{name}_odd_{code}", lambda x: getattr(jnp, name)(x, axis=1), x)
    case(f"sort_odd_{code}", lambda x: jnp.sort(x, axis=1), x)
    case(f"argsort_odd_0_{code}", lambda x: jnp.argsort(x, axis=0), x)
    case(f"cummax_odd_{code}", lambda x: lax.cummax(x, axis=1), x)
    case(f"cummin_odd_{code}", lambda x: lax.cummin(x, axis=1, reverse=True), x)
    a, b = (m.ravel() for m in np.meshgrid(odd[:2].ravel(), odd[:2].ravel()))
    for name in ["maximum", "minimum", "equal", "less", "greater_equal", "not_equal", "power", "divide"]:
        if name in ["power", "divide"] and code in ["f16", "bf16"]:
            continue
        case(f"{name}_odd_{code}", lambda a, b: getattr(jnp, name)(a, b), a.astype(dtype), b.astype(dtype))
    case(f"clip_odd_{code}", lambda x: jnp.clip(x, -1.0, 2.0), x)
    case(f"top_k_odd_{code}", lambda x: lax.top_k(x, 3), x)
    case(f"max_pool_odd_{code}", lambda x: lax.reduce_window(x, -jnp.asarray(inf, x.dtype), lax.max, (1, 2), (1, 1), "VALID"), x)
ties = np.array([[3, 1, 3, 1, 3], [0, 0, 0, 0, 0]], np.int32)
for name in ["argmax", "argmin", "argsort"]:
    case(f"{name}_ties", lambda x: getattr(jnp, name)(x, axis=1), ties)
case("argmax_bool", lambda x: jnp.argmax(x, axis=0), np.array([False, True, True]))
case("top_k_ties", lambda x: lax.top_k(x, 4), ties)
case("sort_bool", lambda x: jnp.sort(x), np.array([True, False, True, False]))
case("sort_u8", lambda x: jnp.sort(x), np.array([3, 255, 0, 128, 127], np.uint8))

# ---- edges: positions out of range ----
rows, far = u(3, 2), np.array([-4, -3, -1, 0, 2, 3, 100, -100], np.int32)
case("gather_far", lambda x, t: x[t], rows, far)
case("gather_far_pair", lambda x, t, v: x[t, v], rows, far, far[::-1].copy())
case("gather_far_u8", lambda x, t: x[t], rows, np.array([0, 2, 3, 255], np.uint8))
# by hand: JAX keeps the low 32 bits of positions
case("gather_far_i64", lambda x, t: x[np.clip(np.where(t < 0, t + 3, t), 0, 2)], rows, np.array([0, -1, 2**40, -(2**40)], np.int64))
case("take_far_fill", lambda x, t: jnp.take(x, t, axis=0, mode="fill", fill_value=-5.0), rows, far)
case("take_far_clip", lambda x, t: jnp.take(x, jnp.where(t < 0, t + 3, t), axis=0, mode="clip"), rows, far)
case("take_far_wrap", lambda x, t: jnp.take(x, t, axis=0, mode="wrap"), rows, far)
more = u(8, 2)
for name in ["set", "add", "multiply", "min", "max"]:
    case(f"scatter_far_{name}", lambda x, t, v: getattr(x.at[t], name)(v), rows, far, more)
    case(f"scatter_twice_{name}", lambda x, t, v: getattr(x.at[t], name)(v), rows, np.array([1, 1, 0, 1, 0, 0, 1, 0], np.int32), more)
    case(f"scatter_i8_{name}", lambda x, t, v: getattr(x.at[t], name)(v), np.array([100, -100, 7], np.int8), np.array([0, 1, 0, 5, 1], np.int32), np.array([100, -100, 3, 4, 2], np.int8))
    case(f"scatter_one_{name}", lambda x, v: getattr(x.at[1, ::-1], name)(v), rows, u(2))
case("take_along_axis_clip", lambda x, t: jnp.take_along_axis(x, t, 0, mode="clip"), rows, np.array([[0, 2], [5, 9]], np.int32))
for at in [(-9, -9), (0, 0), (1, 1), (9, 9), (-1, -1), (2, -2)]:
    label = "_".join(map(str, at)).replace("-", "m")
    case(f"dynamic_slice_{label}", lambda x: lax.dynamic_slice(x, at, (2, 1)), rows)
    case(f"dynamic_update_slice_{label}", lambda x, v: lax.dynamic_update_slice(x, v, at), rows, u(2, 1))

# ---- edges: backwards ----
line, grid = u(7), u(4, 5)
case("backwards", lambda x: x[::-1], line)
case("backwards_by_2", lambda x: x[::-2], line)
case("backwards_part", lambda x: x[5:1:-3], line)
case("backwards_to_front", lambda x: x[3::-1], line)
case("backwards_none", lambda x: x[2:5:-1], line)
case("backwards_far", lambda x: x[100:-100:-2], line)
case("backwards_both", lambda x: x[::-1, ::-2], grid)
case("backwards_rows_twice", lambda x: x[::-1][::-2], grid)
case("flip", lambda x: jnp.flip(x), grid)
case("flip_0", lambda x: jnp.flip(x, 0), grid)
case("backwards_set", lambda x, v: x.at[::-2].set(v), grid, u(2, 5))
case("backwards_add", lambda x, v: x.at[:, 4:0:-2].add(v), grid, u(4, 2))

# ---- edges: nothing and one ----
none, hollow, single = np.zeros(0), np.zeros((2, 0, 3)), u(1)
for name in ["sum", "prod", "any", "all", "mean", "std"]:
    case(f"{name}_none", lambda x: getattr(jnp, name)(x), none)
    case(f"{name}_one", lambda x: getattr(jnp, name)(x), single)
    case(f"{name}_hollow", lambda x: getattr(jnp, name)(x, axis=1), hollow)
for name in ["sort", "argsort", "cumsum", "cumprod"]:
    case(f"{name}_none", lambda x: getattr(jnp, name)(x, axis=-1), none)
    case(f"{name}_hollow", lambda x: getattr(jnp, name)(x, axis=1), hollow)
    case(f"{name}_one", lambda x: getattr(jnp, name)(x, axis=-1), single)
for name in ["max", "min", "argmax", "argmin", "median"]:
    case(f"{name}_one", lambda x: getattr(jnp, name)(x, axis=0), single)
case("max_hollow", lambda x: jnp.max(x, axis=0), hollow)
case("logsumexp_none", lambda x: jax.nn.logsumexp(x, axis=0), none)
case("softmax_hollow", lambda x: jax.nn.softmax(x, axis=1), hollow)
case("softmax_one", lambda x: jax.nn.softmax(x, axis=0), single)
case("norm_none", lambda x: jnp.linalg.norm(x), none)
case("matmul_none", lambda x, y: x @ y, np.zeros((2, 0)), np.zeros((0, 3)))
case("matmul_no_rows", lambda x, y: x @ y, np.zeros((0, 2)), u(2, 3))
case("matmul_one", lambda x, y: x @ y, u(1, 1), u(1, 1))
case("einsum_none", lambda x, y: jnp.einsum("bij,bjk->ik", x, y), np.zeros((0, 2, 3)), np.zeros((0, 3, 2)))
case("concatenate_none", lambda x, y: jnp.concatenate([x, y, x]), none, single)
case("reshape_none", lambda x: x.reshape(0, 5), hollow)
case("transpose_none", lambda x: x.transpose(2, 0, 1), hollow)
case("pad_none", lambda x: jnp.pad(x, (1, 2), constant_values=3.0), none)
case("flip_none", lambda x: jnp.flip(x), hollow)
case("gather_none", lambda x, t: x[t], rows, np.zeros(0, np.int32))
case("scatter_none", lambda x, t, v: x.at[t].add(v), rows, np.zeros(0, np.int32), np.zeros((0, 2)))
case("top_k_none", lambda x: lax.top_k(x, 0), single)
case("conv_no_batch", lambda x, w: lax.conv_general_dilated(x, w, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")), np.zeros((0, 4, 2)), u(3, 2, 1))
case("conv_no_channels", lambda x, w: lax.conv_general_dilated(x, w, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")), np.zeros((1, 4, 0)), np.zeros((3, 0, 2)))
case("fft_one", lambda x: [jnp.fft.fft(x).real, jnp.fft.fft(x).imag, jnp.fft.irfft(jnp.fft.rfft(x), 1)], single)
case("cov_one", lambda x: jnp.cov(x), u(2, 1))
case("det_none", lambda x: jnp.linalg.det(x), np.zeros((0, 0)))
case("solve_no_columns", lambda a, b: jnp.linalg.solve(a, b), np.array([[2.0, 1.0], [0.0, 1.0]]), np.zeros((2, 0)))
case("linalg_one", lambda x: [jnp.linalg.det(x), jnp.linalg.inv(x), jnp.linalg.svd(x, compute_uv=False), jnp.linalg.eigvalsh(x)], np.array([[-2.5]]))
case("cholesky_one", jnp.linalg.cholesky, np.array([[4.0]]))
case("searchsorted_empty", lambda s, v: jnp.searchsorted(s, v), single, none)
