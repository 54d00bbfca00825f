"""Physics, differential equations, graphs, spectra."""
import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental.ode import odeint

from . import program


@program(lambda g: (jnp.array([1.0, 0.5]), jnp.array([1.5, 0.8, 1.0, 0.4])))
def ordinary_differential_equation(y0, theta):
    def field(y, t, a, b, c, d):
        return jnp.stack([a * y[0] - b * y[0] * y[1], -c * y[1] + d * y[0] * y[1] + 0.1 * jnp.sin(t)])

    t = jnp.linspace(0.0, 2.0, 5)
    run = lambda y0, theta: odeint(field, y0, t, *theta, rtol=1e-5, atol=1e-5)
    return run(y0, theta), jax.grad(lambda th: run(y0, th)[-1].sum())(theta)


@program(lambda g: (g.f(3), g.f(6, 3), g.u(6, low=0.5)))
def trajectories(x, bodies, mass):
    lorenz = lambda s: jnp.stack([10 * (s[1] - s[0]), s[0] * (28 - s[2]) - s[1], s[0] * s[1] - 8 / 3 * s[2]])

    def rk4(s, _):
        h = 0.01
        k1 = lorenz(s)
        k2 = lorenz(s + h / 2 * k1)
        k3 = lorenz(s + h / 2 * k2)
        k4 = lorenz(s + h * k3)
        s = s + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return s, s

    def force(x):
        d = x[:, None] - x
        return -(mass[None, :, None] * d / ((d**2).sum(-1) + 0.1)[..., None] ** 1.5).sum(1)

    def leapfrog(s, _):
        x, v = s
        v = v + 0.05 * force(x)
        x = x + 0.1 * v
        return (x, v + 0.05 * force(x)), 0.5 * (mass[:, None] * v**2).sum()

    jac = jax.jacfwd(lambda x: lax.scan(rk4, x, None, length=10)[0])(x)
    return lax.scan(rk4, x, None, length=30)[1], jac, lax.scan(leapfrog, (bodies, bodies * 0.1), None, length=8)


@program(lambda g: (g.f(16, 16), g.f(9, 12, 12, scale=0.1)))
def fields_on_grids(u, f):
    def heat(u, _):
        p = jnp.pad(u, 1, mode="wrap")
        return u + 0.1 * (p[2:, 1:-1] + p[:-2, 1:-1] + p[1:-1, 2:] + p[1:-1, :-2] - 4 * u), None

    def wave(s, _):
        a, b = s
        lap = sum(jnp.roll(a, s, ax) for s in (1, -1) for ax in (0, 1)) - 4 * a
        return (2 * a - b + 0.1 * lap, a), None

    weights = jnp.array([4 / 9] + [1 / 9] * 4 + [1 / 36] * 4)
    dirs = jnp.array([(0, 0), (1, 0), (0, 1), (-1, 0), (0, -1), (1, 1), (-1, 1), (-1, -1), (1, -1)])

    def lattice(f, _):
        rho = f.sum(0)
        vel = jnp.einsum("ia,ixy->axy", dirs.astype(jnp.float32), f) / rho
        cu = jnp.einsum("ia,axy->ixy", dirs.astype(jnp.float32), vel)
        eq = weights[:, None, None] * rho * (1 + 3 * cu + 4.5 * cu**2 - 1.5 * (vel**2).sum(0))
        f = f - (f - eq) / 0.8
        return jnp.stack([jnp.roll(f[i], tuple(d), (0, 1)) for i, d in enumerate([(0, 0), (1, 0), (0, 1), (-1, 0), (0, -1), (1, 1), (-1, 1), (-1, -1), (1, -1)])]), rho.mean()

    jacobi = lax.while_loop(lambda s: s[1] > 1e-3, lambda s: (lambda n: (n, jnp.abs(n - s[0]).max()))(jnp.pad((s[0][2:, 1:-1] + s[0][:-2, 1:-1] + s[0][1:-1, 2:] + s[0][1:-1, :-2]) / 4, 1, constant_values=1.0)), (jnp.zeros((8, 8)), jnp.inf))[0]
    return lax.scan(heat, u, None, length=10)[0], lax.scan(wave, (u, u), None, length=10)[0], lax.scan(lattice, f * 0.2 + weights[:, None, None], None, length=4), jacobi


@program(lambda g: (g.f(2, 16, 16, 3), g.w(3, 8), g.c(2, 8, 8, 5, 4) * 0.1, g.w(2, 8, 8), g.w(8, 1)))
def fourier_operator(x, lift, spectral, local, head):
    def f(spectral, local):
        h = x @ lift
        for w, l in zip(spectral, local):
            z = jnp.fft.rfft2(h, axes=(1, 2))
            top = jnp.einsum("bxyi,ioxy->bxyo", z[:, :5, :4], w)
            low = jnp.einsum("bxyi,ioxy->bxyo", z[:, -5:, :4], w.conj())
            full = jnp.zeros_like(z).at[:, :5, :4].set(top).at[:, -5:, :4].set(low)
            h = jax.nn.gelu(jnp.fft.irfft2(full, s=(16, 16), axes=(1, 2)) + h @ l)
        return h @ head

    g = jax.grad(lambda s, l: (f(s, l) ** 2).mean(), (0, 1))(spectral, local)
    return f(spectral, local), g


@program(lambda g: (g.f(10, 5), g.i(10, 24), g.i(10, 24), g.w(10, 8), g.w(13, 5), g.w(5, 1)))
def graph_network(nodes, source, target, we, wn, wa):
    def layer(h, we):
        m = jax.nn.relu(jnp.concatenate([h[source], h[target]], -1) @ we)
        score = jax.nn.leaky_relu((h[source] * h[target]) @ wa)[:, 0]
        top = jax.ops.segment_max(score, target, 10)
        e = jnp.exp(score - top[target])
        att = e / jax.ops.segment_sum(e, target, 10)[target]
        total = jax.ops.segment_sum(m * att[:, None], target, 10)
        return h + jnp.tanh(jnp.concatenate([h, total], -1) @ wn)

    degree = jnp.zeros(10).at[target].add(1.0)
    laplace = jnp.diag(degree) - jnp.zeros((10, 10)).at[source, target].add(1.0)
    return layer(nodes, we), jax.grad(lambda w: (layer(layer(nodes, w), w) ** 2).mean())(we), laplace, jax.ops.segment_min(nodes[target], source, 10), jax.ops.segment_prod(nodes[source], target, 10)


@program(lambda g: (g.f(24), g.c(15), g.f(4, 6, 8)))
def transforms(x, z, v):
    fft = jnp.fft
    out = [fft.fft(z), fft.ifft(z, 20), fft.rfft(x), fft.irfft(fft.rfft(x), 23), fft.hfft(z), fft.ihfft(x), fft.fftn(v), fft.irfftn(fft.rfftn(v), v.shape), fft.fft2(v, norm="ortho"), fft.fftshift(v), fft.fftfreq(9)]
    window = jnp.hanning(8)
    stft = jax.scipy.signal.stft(x, nperseg=8)[2]
    power = jax.scipy.signal.welch(x, nperseg=8)[1]
    back = jax.scipy.signal.istft(stft, nperseg=8)[1]
    both = jax.scipy.signal.fftconvolve(x, x[:5]), jax.scipy.signal.convolve2d(v[0], v[1], mode="same"), jax.scipy.signal.correlate(x, x[:4]), jnp.convolve(x, x[:3], "same"), jax.scipy.signal.detrend(x)
    dct = jax.scipy.fft.dct(x), jax.scipy.fft.idct(x), jax.scipy.fft.dctn(v, axes=(1, 2))
    energy = jax.grad(lambda x: (jnp.abs(fft.rfft(x * jnp.pad(window, (0, 16)))) ** 2 * jnp.arange(13)).sum())(x)
    return out, stft, power, back, both, dct, energy


@program(lambda g: (g.f(5, 3), g.f(7, 3), g.f(3)))
def geometry(a, b, axis):
    d = jnp.sqrt(((a[:, None] - b) ** 2).sum(-1))
    hausdorff = jnp.maximum(d.min(1).max(), d.min(0).max())
    q = axis / jnp.linalg.norm(axis)
    k = jnp.array([[0, -q[2], q[1]], [q[2], 0, -q[0]], [-q[1], q[0], 0]])
    r = jnp.eye(3) + jnp.sin(0.7) * k + (1 - jnp.cos(0.7)) * k @ k
    u, _, v = jnp.linalg.svd((a - a.mean(0)).T @ (a @ r.T - (a @ r.T).mean(0)))
    fit = v.T @ jnp.diag(jnp.array([1.0, 1.0, jnp.sign(jnp.linalg.det(v.T @ u.T))])) @ u.T
    lengths = jax.vmap(jax.grad(lambda x: jnp.linalg.norm(x - axis)))(a)
    freq = 2.0 ** jnp.arange(4)
    encoded = jnp.concatenate([jnp.sin(a[..., None] * freq), jnp.cos(a[..., None] * freq)], -1).reshape(5, -1)
    return d, hausdorff, r, fit - r, lengths, encoded, jnp.cross(a[:, None], b[:5]), jnp.unwrap(jnp.cumsum(b[:, 0]) * 3)


@program(lambda g: (g.u(3, 32), g.f(32, 4), g.f(32)))
def volume_rendering(step, colour, density):
    def march(dt):
        alpha = 1 - jnp.exp(-jax.nn.softplus(density) * dt)
        through = jnp.cumprod(jnp.concatenate([jnp.ones(1), 1 - alpha[:-1] + 1e-10]))
        w = alpha * through
        cdf = jnp.cumsum(w + 1e-5) / (w + 1e-5).sum()
        at = jnp.searchsorted(cdf, jnp.linspace(0.05, 0.95, 7))
        return w @ colour, (w * jnp.cumsum(dt)).sum(), at, jnp.interp(jnp.linspace(0.05, 0.95, 7), cdf, jnp.cumsum(dt))

    return jax.vmap(march)(step), jax.grad(lambda c: march(step[0])[0].sum() * c.sum())(colour)
