"""Functions of numbers."""
import jax
import jax.numpy as jnp
import jax.scipy.special as sp
from jax import lax, nn

from . import program


@program(lambda g: (g.f(9, scale=2.0), g.f(9, dtype="bfloat16"), g.f(9, dtype="float16")))
def activations(x, b, h):
    fs = [nn.relu, nn.relu6, nn.sigmoid, nn.softplus, nn.sparse_plus, nn.sparse_sigmoid, nn.soft_sign, nn.silu, nn.log_sigmoid, nn.leaky_relu, nn.hard_sigmoid, nn.hard_silu, nn.hard_tanh, nn.elu, nn.celu, nn.selu,
          nn.gelu, lambda x: nn.gelu(x, approximate=False), nn.squareplus, nn.mish, nn.softmax, nn.log_softmax, nn.standardize, nn.logsumexp, nn.identity, lambda x: nn.softmax(x, where=x > 0, axis=0)]
    return [f(x) for f in fs], [f(b) for f in fs], [f(h) for f in fs], [jax.grad(lambda x: f(x).sum() + (f(x) ** 2).sum())(x) for f in fs[:25]], nn.glu(x[:8]), nn.one_hot(jnp.arange(3), 4), nn.logmeanexp(x), nn.log1mexp(jnp.abs(x))


@program(lambda g: (g.u(8, low=0.1, high=5.0), g.u(8, low=0.5, high=3.0), g.u(8, low=0.05, high=0.95), g.i(5, 8, low=1)))
def special_functions(x, a, p, n):
    values = [sp.gammaln(x), sp.gamma(x), sp.digamma(x), sp.polygamma(n, x), sp.polygamma(1, x), sp.zeta(x + 1.5, a), sp.gammainc(a, x), sp.gammaincc(a, x), sp.betainc(a, x, p), sp.beta(a, x), sp.betaln(a, x), sp.erf(x), sp.erfc(x), sp.erfinv(p),
              sp.expi(x), sp.exp1(x), sp.expn(n, x), sp.i0(x), sp.i0e(x), sp.i1(x), sp.i1e(x), sp.ndtr(x), sp.ndtri(p), sp.log_ndtr(-x * 3), sp.xlogy(x, a), sp.xlog1py(x, a), sp.entr(p), sp.kl_div(a, x), sp.rel_entr(a, x), sp.logit(p), sp.expit(x),
              sp.spence(x), sp.multigammaln(x + 3, 3), sp.factorial(n), sp.bernoulli(6), sp.poch(a, x), sp.hyp1f1(a, a + 1, p), sp.gammasgn(-x), sp.dawsn(x), sp.fresnel(x), sp.sici(x), sp.erfcx(x), sp.owens_t(x, a), sp.boxcox(x, p), sp.comb(n + 3, 2)]
    slopes = [jax.vmap(jax.grad(f))(x) for f in (sp.gammaln, sp.digamma, sp.erf, sp.i0e, sp.i1, sp.expi, sp.spence, sp.ndtr, sp.log_ndtr, lambda t: sp.gammainc(1.5, t), lambda t: sp.gammainc(t, 1.5), lambda t: sp.zeta(t + 1.5, 2.0))]
    return values, slopes, jax.vmap(jax.grad(sp.erfinv))(p), jax.vmap(jax.grad(lambda p: sp.betainc(1.5, 2.5, p)))(p), sp.bessel_jn(x, v=3)


@program(lambda g: (g.f(8), g.u(8, low=-0.95, high=0.95), g.u(8, low=0.1, high=9.0), g.c(8)))
def elementary(x, p, q, z):
    real = [f(x) for f in (jnp.sin, jnp.cos, jnp.tan, jnp.arctan, jnp.sinh, jnp.cosh, jnp.tanh, jnp.arcsinh, jnp.exp, jnp.exp2, jnp.expm1, jnp.cbrt, jnp.square, jnp.abs, jnp.sign, jnp.floor, jnp.ceil, jnp.trunc, jnp.round, jnp.rint, jnp.sinc, jnp.deg2rad, jnp.i0, jnp.fabs, jnp.spacing)]
    near = [f(p) for f in (jnp.arcsin, jnp.arccos, jnp.arctanh, jnp.log1p)]
    above = [f(q) for f in (jnp.sqrt, jnp.log, jnp.log2, jnp.log10, lax.rsqrt, lambda q: jnp.arccosh(q + 1), jnp.reciprocal)]
    cx = [f(z) for f in (jnp.sin, jnp.cos, jnp.tan, jnp.sinh, jnp.cosh, jnp.tanh, jnp.exp, jnp.log, jnp.sqrt, jnp.arcsin, jnp.arccos, jnp.arctan, jnp.arcsinh, jnp.arccosh, jnp.arctanh, jnp.abs, jnp.angle, jnp.conj, jnp.real, jnp.imag, jnp.square, jnp.reciprocal, jnp.expm1, jnp.log1p, jnp.sign, lax.rsqrt, jnp.log2)]
    two = [jnp.arctan2(x, p), jnp.power(q, x), jnp.hypot(x, q), jnp.logaddexp(x, p), jnp.logaddexp2(x, p), jnp.fmod(x, p), jnp.remainder(x, p), jnp.floor_divide(x, p), jnp.copysign(x, p), jnp.nextafter(x, p), jnp.heaviside(x, p), jnp.ldexp(x, jnp.arange(8)), jnp.float_power(q, x), jnp.fmax(x, jnp.nan), z**x, z**z, x**3, x**-2, q**0.5, z / (x + 2), jnp.divmod(x, p), jnp.frexp(x), jnp.modf(x)]
    slopes = [jax.vmap(jax.grad(f))(x) for f in (jnp.tan, jnp.sinc, jnp.cbrt, jnp.expm1, jnp.arctan, jnp.abs, lambda x: jnp.where(x > 0, x**2, jnp.sin(x)), lambda x: jnp.maximum(x, 0.1), lambda x: jnp.clip(x, -0.5, 0.5), lambda x: jnp.abs(lax.complex(x, 1.0)))]
    return real, near, above, cx, two, slopes


@program(lambda g: (g.f(7, dtype="float16"), g.f(7, dtype="bfloat16"), g.f(6, 6, dtype="bfloat16"), g.f(6, 6, dtype="float16")))
def halves(h, b, m, n):
    one = [f(x) for x in (h, b) for f in (jnp.sin, jnp.exp, jnp.tanh, jnp.abs, jnp.floor, jnp.sqrt, lambda x: x.astype(jnp.float32), lambda x: x.astype(jnp.int32), jnp.sort, lambda x: x > 0, lambda x: x * x + x, jnp.max, jnp.argmax, lambda x: jnp.where(x > 0, x, 0), nn.softmax)]
    return one, m @ m.T, n @ n.T, m.sum(0), n.mean(1), m.max(1), h.astype(jnp.bfloat16), b.astype(jnp.float16), jax.grad(lambda m: (m @ m).sum().astype(jnp.float32))(m), lax.scan(lambda c, r: (c * 0.5 + r, c), jnp.zeros(6, jnp.bfloat16), m), lax.bitcast_convert_type(b, jnp.uint16), lax.reduce_precision(h, 4, 3), m[jnp.array([1, 3])], jnp.concatenate([h, h]), lax.dot(m, m, preferred_element_type=jnp.float32)


@program(lambda g: (jnp.array([0.0, -0.0, jnp.inf, -jnp.inf, jnp.nan, 1e-30, -1e38, 3e38]), jnp.array([1.0, -0.0, jnp.inf, 2.0, -1.0, 0.5, 10.0, 10.0])))
def special_values(x, y):
    z = lax.complex(x, y)
    return x + y, x * y, x / y, jnp.maximum(x, y), jnp.minimum(x, y), x == y, x < y, jnp.sort(x), jnp.argsort(x), jnp.sign(x), jnp.abs(x), jnp.exp(x), jnp.log(x), jnp.sqrt(x), jnp.arctan2(x, y), jnp.isnan(x), jnp.argmax(x), jnp.max(x), jnp.nanmax(x), x.astype(jnp.int32), jnp.cumsum(x[:2]), jnp.clip(x, -1, 1), jnp.tanh(x), nn.sigmoid(x), jnp.power(y, 2.0), jnp.abs(z), z + 1, jnp.round(x), lax.is_finite(x), jnp.hypot(x, y), jnp.logaddexp(x, y), jnp.unique(y, size=8)
