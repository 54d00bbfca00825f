"""Random numbers, samplers, filters, densities."""
import jax
import jax.numpy as jnp
from jax import lax, random
from jax.scipy import stats

from . import program


@program(lambda g: (g.key(1), g.u(4, low=0.5, high=3.0), g.u(4, low=0.2, high=0.8)))
def random_continuous(key, a, p):
    k = iter(random.split(key, 40))
    return [
        random.uniform(next(k), (5,), minval=-1, maxval=2), random.normal(next(k), (3, 2)), random.beta(next(k), a, 2.0), random.cauchy(next(k), (5,)),
        random.chisquare(next(k), a), random.dirichlet(next(k), a), random.double_sided_maxwell(next(k), 1.0, 2.0, (4,)), random.exponential(next(k), (5,)),
        random.f(next(k), 3.0, 4.0, (4,)), random.gamma(next(k), a), random.loggamma(next(k), a), random.generalized_normal(next(k), 1.5, (4,)),
        random.gumbel(next(k), (5,)), random.laplace(next(k), (5,)), random.logistic(next(k), (5,)), random.lognormal(next(k), p, (4,)),
        random.maxwell(next(k), (5,)), random.pareto(next(k), a), random.rayleigh(next(k), a), random.t(next(k), a), random.triangular(next(k), 0.0, p, 1.0),
        random.truncated_normal(next(k), -1.0, 2.0, (5,)), random.wald(next(k), a), random.weibull_min(next(k), 2.0, a), random.ball(next(k), 3, 2.0, (2,)),
        random.multivariate_normal(next(k), a, jnp.eye(4) + 0.2, (2,)),
    ]


@program(lambda g: (g.key(2), g.u(4, low=0.5, high=30.0), g.u(4, low=0.2, high=0.8), g.f(6)))
def random_discrete(key, rate, p, x):
    k = iter(random.split(key, 40))
    return [
        random.bits(next(k), (5,)), random.bits(next(k), (5,), "uint8"), random.bits(next(k), (5,), "uint16"), random.bernoulli(next(k), p),
        random.binomial(next(k), 20, p), random.categorical(next(k), x, shape=(4,)), random.categorical(next(k), x, shape=(3,), replace=False),
        random.choice(next(k), 9, (4,)), random.choice(next(k), x, (4,), replace=False), random.choice(next(k), x, (4,), p=jax.nn.softmax(x)),
        random.choice(next(k), x, (3,), replace=False, p=jax.nn.softmax(x)), random.geometric(next(k), p), random.multinomial(next(k), 12, jnp.full(4, 0.25)),
        random.permutation(next(k), 11), random.permutation(next(k), jnp.arange(12).reshape(4, 3), axis=1, independent=True), random.poisson(next(k), rate),
        random.rademacher(next(k), (6,)), random.randint(next(k), (6,), -5, 9), random.randint(next(k), (6,), 0, 200, "uint8"),
        random.fold_in(next(k), 7), random.key_data(random.split(random.wrap_key_data(next(k)), 2)),
    ]


@program(lambda g: (g.key(3),), x64=True)
def random_double(key):
    k = random.split(key, 8)
    return (random.uniform(k[0], (5,)), random.normal(k[1], (5,)), random.randint(k[2], (5,), 0, 10**12), random.bits(k[3], (3,), "uint64"), random.gamma(k[4], 2.5, (4,)),
            random.orthogonal(k[5], 3) ** 2, random.normal(k[6], (3,), jnp.complex128), random.uniform(k[7], (3,), jnp.bfloat16), random.normal(k[7], (3,), jnp.float16))


@program(lambda g: (g.i(2**31 - 1, 4, dtype="uint32"),))
def random_other_generators(data):
    out = []
    for impl in ("rbg", "unsafe_rbg"):
        key = random.wrap_key_data(data, impl=impl)
        a, b = random.split(key)
        out += [random.key_data(a), random.uniform(b, (3, 4)), random.normal(random.fold_in(key, 3), (5,)), random.bits(a, (3,), "uint8")]
    state, bits = lax.rng_bit_generator(data, (4, 3))
    return out, state, bits


@program(lambda g: (g.spd(3, 3) * 0.1, g.f(2, 3), g.f(12, 2)))
def kalman_filter(q, h, ys):
    """Filter by Cholesky solves, then the smoother of Rauch, Tung and Striebel."""
    f = jnp.eye(3) + 0.1 * jnp.eye(3, k=1)
    r = 0.5 * jnp.eye(2)

    def run(ys):
        def step(carry, y):
            m, p = carry
            m, p = f @ m, f @ p @ f.T + q
            s = h @ p @ h.T + r
            chol = jax.scipy.linalg.cho_factor(s, lower=True)
            gain = jax.scipy.linalg.cho_solve(chol, h @ p).T
            e = y - h @ m
            ll = -0.5 * (e @ jax.scipy.linalg.cho_solve(chol, e)) - jnp.log(jnp.diag(chol[0])).sum() - jnp.log(2 * jnp.pi)
            new = (m + gain @ e, p - gain @ s @ gain.T)
            return new, (new, (m, p), ll)

        _, (post, prior, ll) = lax.scan(step, (jnp.zeros(3), jnp.eye(3)), ys)
        return post, prior, ll.sum()

    (ms, ps), (mp, pp), ll = run(ys)

    def back(carry, x):
        (m, p), (m0, p0, m1, p1) = carry, x
        gain = jnp.linalg.solve(p1, f @ p0).T
        new = (m0 + gain @ (m - m1), p0 + gain @ (p - p1) @ gain.T)
        return new, new

    _, smooth = lax.scan(back, (ms[-1], ps[-1]), (ms[:-1], ps[:-1], mp[1:], pp[1:]), reverse=True)
    return ms, ps, ll, smooth, jax.grad(lambda y: run(y)[2])(ys)


@program(lambda g: (g.f(8), g.key(6)))
def particle_filter(ys, key):
    def step(carry, y):
        x, key = carry
        key, k1, k2 = random.split(key, 3)
        x = 0.9 * x + random.normal(k1, x.shape)
        logw = stats.norm.logpdf(y, x, 0.7)
        w = jax.nn.softmax(logw)
        ess = 1 / (w**2).sum()
        at = jnp.searchsorted(jnp.cumsum(w), (jnp.arange(32) + random.uniform(k2)) / 32)
        picked = lax.cond(ess < 20, lambda: x[jnp.clip(at, 0, 31)], lambda: x)
        return (picked, key), (w @ x, jax.nn.logsumexp(logw) - jnp.log(32.0), ess)

    return lax.scan(step, (jnp.zeros(32), key), ys)


@program(lambda g: (jnp.array([0.1, -0.3, -1.5]), g.u(10, 1, high=4.0), g.f(10), g.u(5, 1, high=4.0)))
def gaussian_process(theta, x, y, xs):
    def kernel(t, a, b):
        d = jnp.abs(a[:, None] - b).sum(-1) / jnp.exp(t[0])
        return jnp.exp(t[1]) * (1 + jnp.sqrt(5.0) * d + 5 / 3 * d**2) * jnp.exp(-jnp.sqrt(5.0) * d)

    def nll(t):
        l = jnp.linalg.cholesky(kernel(t, x, x) + (jnp.exp(t[2]) + 1e-4) * jnp.eye(10))
        a = jax.scipy.linalg.solve_triangular(l, y, lower=True)
        return 0.5 * a @ a + jnp.log(jnp.diag(l)).sum()

    l = jax.scipy.linalg.cho_factor(kernel(theta, x, x) + jnp.exp(theta[2]) * jnp.eye(10))
    cross = kernel(theta, xs, x)
    mean = cross @ jax.scipy.linalg.cho_solve(l, y)
    cov = kernel(theta, xs, xs) - cross @ jax.scipy.linalg.cho_solve(l, cross.T)
    return jax.value_and_grad(nll)(theta), mean, cov


@program(lambda g: (g.f(5), g.spd(5, 5), g.key(8)))
def hamiltonian_monte_carlo(x, precision, key):
    logp = lambda x: -0.5 * x @ precision @ x - 0.1 * jnp.sum(x**4)

    def leap(i, s):
        x, v = s
        v = v + 0.05 * jax.grad(logp)(x)
        x = x + 0.1 * v
        return x, v + 0.05 * jax.grad(logp)(x)

    def step(x, key):
        k1, k2 = random.split(key)
        v = random.normal(k1, x.shape)
        x1, v1 = lax.fori_loop(0, 6, leap, (x, v))
        gain = logp(x1) - 0.5 * v1 @ v1 - logp(x) + 0.5 * v @ v
        accept = jnp.log(random.uniform(k2)) < gain
        return jnp.where(accept, x1, x), (x, accept)

    return lax.scan(step, x, random.split(key, 6))


@program(lambda g: (g.key(10),))
def ising_chain(key):
    def sweep(spins, key):
        for parity in (0, 1):
            key, sub = random.split(key)
            field = sum(jnp.roll(spins, s, a) for s in (1, -1) for a in (0, 1))
            flip = random.uniform(sub, spins.shape) < jax.nn.sigmoid(0.8 * field)
            board = (jnp.add.outer(jnp.arange(8), jnp.arange(8)) % 2) == parity
            spins = jnp.where(board, jnp.where(flip, 1, -1), spins)
        return spins, spins.sum()

    return lax.scan(sweep, jnp.ones((8, 8), jnp.int32), random.split(key, 5))


@program(lambda g: (g.f(20, 2), g.f(3, 2)))
def gaussian_mixture(x, means):
    def em(carry, _):
        mu, cov, w = carry
        logp = jax.vmap(lambda m, c: stats.multivariate_normal.logpdf(x, m, c))(mu, cov).T + jnp.log(w)
        r = jax.nn.softmax(logp)
        n = r.sum(0) + 1e-3
        mu = (r.T @ x) / n[:, None]
        d = x[:, None] - mu
        cov = jnp.einsum("nk,nki,nkj->kij", r, d, d) / n[:, None, None] + 0.1 * jnp.eye(2)
        return (mu, cov, n / n.sum()), jax.nn.logsumexp(logp, 1).sum()

    return lax.scan(em, (means, jnp.tile(jnp.eye(2), (3, 1, 1)), jnp.ones(3) / 3), None, length=4)


@program(lambda g: (g.f(24, 3), g.f(4, 3)))
def k_means(x, centres):
    def step(s):
        c, old, i = s
        at = jnp.argmin(((x[:, None] - c) ** 2).sum(-1), 1)
        n = jax.ops.segment_sum(jnp.ones(24), at, 4)
        new = jax.ops.segment_sum(x, at, 4) / jnp.maximum(n, 1)[:, None]
        return jnp.where(n[:, None] > 0, new, c), at, i + 1

    first = (centres, jnp.full(24, -1), 0)
    changed = lambda s: (s[2] < 30) & jnp.any(jnp.argmin(((x[:, None] - s[0]) ** 2).sum(-1), 1) != s[1])
    return lax.while_loop(changed, step, first)


@program(lambda g: (g.f(12, 2), g.f(9, 2), g.u(12), g.u(9)))
def sinkhorn(x, y, a, b):
    a, b, eps = a / a.sum(), b / b.sum(), 0.3
    cost = ((x[:, None] - y) ** 2).sum(-1)

    def step(s):
        f, g, _, i = s
        f = -eps * jax.nn.logsumexp((g - cost) / eps + jnp.log(b), 1)
        g = -eps * jax.nn.logsumexp((f[:, None] - cost) / eps + jnp.log(a)[:, None], 0)
        plan = jnp.exp((f[:, None] + g - cost) / eps) * a[:, None] * b
        return f, g, jnp.abs(plan.sum(1) - a).sum(), i + 1

    f, g, error, i = lax.while_loop(lambda s: (s[2] > 1e-4) & (s[3] < 500), step, (jnp.zeros(12), jnp.zeros(9), jnp.inf, 0))
    plan = jnp.exp((f[:, None] + g - cost) / eps) * a[:, None] * b
    return (plan * cost).sum(), plan, f @ a + g @ b, error < 1e-4


@program(lambda g: (g.f(6, 4), [(g.w(2, 8), g.w(8, 4)) for _ in range(3)], g.spd(4, 4)))
def normalising_flow(x, layers, m):
    def forward(layers, x):
        total = 0.0
        for i, (w1, w2) in enumerate(layers):
            a, b = jnp.split(x if i % 2 else x[:, ::-1], 2, -1)
            s, t = jnp.split(jnp.tanh(a @ w1) @ w2, 2, -1)
            x, total = jnp.concatenate([a, b * jnp.exp(s) + t], -1), total + s.sum(-1)
        z = x @ m
        return stats.norm.logpdf(z).sum(-1) + total + jnp.linalg.slogdet(m)[1]

    return forward(layers, x), jax.grad(lambda l: -forward(l, x).mean())(layers)


@program(lambda g: (g.u(7, low=0.1, high=0.9), g.u(7, low=0.5, high=4.0), g.i(6, 7)))
def densities(x, a, n):
    s = stats
    return [
        s.norm.logpdf(x), s.norm.cdf(x), s.norm.ppf(x), s.norm.logcdf(x - 9), s.norm.sf(x), s.gamma.logpdf(x, a), s.gamma.cdf(x, a), s.beta.logpdf(x, a, 2.0), s.beta.cdf(x, a, 2.0),
        s.t.logpdf(x, a), s.cauchy.logpdf(x), s.cauchy.cdf(x), s.chi2.logpdf(x, a), s.chi2.cdf(x, a), s.expon.logpdf(x), s.laplace.cdf(x), s.logistic.ppf(x), s.pareto.logpdf(x + 1, a),
        s.poisson.logpmf(n, a), s.poisson.cdf(n, a), s.binom.logpmf(n, 6, x), s.betabinom.logpmf(n, 6, a, 2.0), s.nbinom.logpmf(n, a, x), s.geom.logpmf(n, x), s.bernoulli.logpmf(n % 2, x),
        s.gennorm.logpdf(x, a), s.truncnorm.logpdf(x, -1.0, 2.0), s.vonmises.logpdf(x, a), s.wrapcauchy.logpdf(x, 0.3), s.uniform.logpdf(x, 0.2, 0.5), s.gumbel_r.logpdf(x), s.gumbel_l.cdf(x),
        s.dirichlet.logpdf(x[:3] / x[:3].sum(), a[:3]), s.multinomial.logpmf(n[:3], n[:3].sum(), x[:3] / x[:3].sum()), s.rankdata(n), s.mode(n).mode, s.sem(x), s.gaussian_kde(x)(a),
    ]


@program(lambda g: (g.f(3), g.f(3), g.f(15, 3), g.i(2, 15), g.key(12)))
def variational_inference(mu, log_sigma, x, y, key):
    def elbo(mu, log_sigma):
        w = mu + jnp.exp(log_sigma) * random.normal(key, (8, 3))
        logits = w @ x.T
        ll = (y * jax.nn.log_sigmoid(logits) + (1 - y) * jax.nn.log_sigmoid(-logits)).sum(-1)
        return (ll + stats.norm.logpdf(w).sum(-1)).mean() + log_sigma.sum()

    return jax.value_and_grad(elbo, (0, 1))(mu, log_sigma)


@program(lambda g: (jax.nn.softmax(g.f(4, 4)), jax.nn.softmax(g.f(4, 5)), g.i(5, 12)))
def hidden_markov_model(a, b, ys):
    def forward(alpha, y):
        alpha = (alpha @ a) * b[:, y]
        return alpha / alpha.sum(), jnp.log(alpha.sum())

    ll = lambda a: lax.scan(forward, jnp.ones(4) / 4, ys)[1].sum()

    def viterbi(s, y):
        scores = s[:, None] + jnp.log(a) + jnp.log(b[:, y])
        return scores.max(0), scores.argmax(0)

    last, back = lax.scan(viterbi, jnp.zeros(4), ys)
    return ll(a), jax.grad(ll)(a), lax.scan(lambda s, p: (p[s], p[s]), last.argmax(), back, reverse=True)
