"""Fits the f32 polynomials of erfc, ln gamma, digamma and the Bessel functions; prints them as Rust.

    python fit.py        (needs mpmath and numpy)

Each is a weighted minimax fit by iteratively reweighted least squares; the coefficients are rounded to f32 one after
the other from the lowest, the rest being fitted again each time.
"""

import mpmath as mp
import numpy as np

mp.mp.dps = 40


def samples(a, b, n=400):
    t = np.cos((np.arange(n) + 0.5) * np.pi / n)
    return (a + b) / 2 + (b - a) / 2 * t


def minimax(x, y, w, powers):
    """Coefficients c of sum c_k x^k that make max |w (p - y)| least."""
    v = np.stack([x**k for k in powers], axis=1)
    scale = np.abs(v).max(axis=0)
    weight = np.ones_like(x)
    best, least = None, np.inf
    for _ in range(200):
        s = np.sqrt(weight) * w
        c = np.linalg.lstsq(v / scale * s[:, None], y * s, rcond=None)[0] / scale
        e = np.abs((v @ c - y) * w)
        if e.max() < least:
            best, least = c, e.max()
        weight *= e / e.max() + 1e-12
        weight /= weight.sum()
    return best, least


def fit(name, f, a, b, degree, weight=None):
    """Prints f on [a, b] as a polynomial; errors are relative unless there is a weight."""
    x = samples(float(a), float(b))
    y = np.array([float(f(mp.mpf(float(t)))) for t in x])
    w = 1 / np.abs(y) if weight is None else np.array([float(weight(t)) for t in x])
    fixed = []
    rest = y.copy()
    for k in range(degree + 1):
        c, e = minimax(x, rest, w, range(k, degree + 1))
        if k == 0:
            first = e
        ck = float(np.float32(c[0]))
        fixed.append(ck)
        rest = rest - ck * x**k
    e = np.abs(rest * w).max()
    print(f"/// error {first:.1e}, {e:.1e} once rounded")
    print(f"const {name}: [f32; {degree + 1}] = [{', '.join(repr(np.float32(c))[11:-1] for c in fixed)}];")


def two(x):
    """A number as the sum of two f32."""
    high = float(np.float32(float(x)))
    return high, float(np.float32(float(x - mp.mpf(high))))


def ratio(f, x):
    return f(x) / x


def double(name, f, a, b, n):
    """Prints f on [a, b] as a polynomial in f64."""
    c, e = mp.chebyfit(f, [a, b], n, error=True)
    print(f"/// error {float(e):.1e}")
    print(f"const {name}: [f64; {n}] = [{', '.join(repr(float(c)) for c in reversed(c))}];")


if __name__ == "__main__":
    z0 = mp.findroot(mp.digamma, 1.46)
    print("// digamma is 0 at", two(z0), "and one less is", two(z0 - 1))
    print("// pi^2", two(mp.pi**2), "ln(2 pi)/2 - 1/2", two(mp.log(2 * mp.pi) / 2 - mp.mpf(1) / 2))

    # erfc(x) e^(x^2) = t P(t), t = 1 / (x + 2), 1/2 <= x <= 10.2
    fit("ERFC", lambda t: mp.erfc(1 / t - 2) * mp.exp((1 / t - 2) ** 2) / t, 1 / 12.2, 1 / 2.5, 9)
    # ln gamma(2 + z) / z
    fit("LGAMMA", lambda z: ratio(lambda z: mp.loggamma(2 + z), z), -0.75, 0.5, 10)
    # what Stirling's formula leaves, times x, in 1 / x^2, x >= 2.5
    stirling = lambda x: mp.loggamma(x) - (x - 0.5) * (mp.log(x) - 1) - mp.log(2 * mp.pi) / 2 + 0.5
    fit("STIRLING", lambda u: mp.sqrt(1 / u) * stirling(mp.sqrt(1 / u)), 1e-12, 0.16, 3, lambda u: 1 / 0.0833)
    # ln(sin(pi d) / (pi d)) / d^2 in d^2, |d| <= 1/2
    fit("LOG_SINC", lambda s: mp.log(mp.sinpi(mp.sqrt(s)) / (mp.pi * mp.sqrt(s))) / s, 1e-12, 0.25, 7)
    # digamma(x) / (x - zero) on [1, 2], in x - zero
    fit("DIGAMMA", lambda z: mp.digamma(z0 + z) / z, 1 - z0, 2 - z0, 10)
    # (ln x - 1 / (2 x) - digamma(x)) x^2 in 1 / x^2, x >= 1
    fit("DIGAMMA_FAR", lambda u: (mp.log(mp.sqrt(1 / u)) - mp.sqrt(u) / 2 - mp.digamma(mp.sqrt(1 / u))) / u,
        1e-12, 1, 7, lambda u: u if u > 1e-3 else 1e-3)
    # ((1 / d - pi cot(pi d)) / d - pi^2 / 3) / d^2 in d^2, |d| <= 3/8
    fit("COT", lambda s: ((1 / mp.sqrt(s) - mp.pi * mp.cot(mp.pi * mp.sqrt(s))) / mp.sqrt(s) - mp.pi**2 / 3) / s,
        1e-9, 9 / 64, 5)
    print("// pi^2 / 3", two(mp.pi**2 / 3))
    # (pi tan(pi d) / d - pi^2) / d^2 in d^2, |d| <= 1/8
    fit("TAN", lambda s: (mp.pi * mp.tan(mp.pi * mp.sqrt(s)) / mp.sqrt(s) - mp.pi**2) / s, 1e-9, 1 / 64, 4)
    # I0(x), 2 I1(x) / x in x^2 / 4, |x| <= 6; beyond, sqrt(x) e^-x I(x) in 1 / x
    fit("I0", lambda t: mp.besseli(0, 2 * mp.sqrt(t)), 0, 9, 9)
    fit("I0_FAR", lambda t: mp.sqrt(1 / t) * mp.exp(-1 / t) * mp.besseli(0, 1 / t), 1e-5, 1 / 6, 7)
    fit("I1", lambda t: mp.besseli(1, 2 * mp.sqrt(t)) / mp.sqrt(t), 1e-12, 9, 9)
    fit("I1_FAR", lambda t: mp.sqrt(1 / t) * mp.exp(-1 / t) * mp.besseli(1, 1 / t), 1e-5, 1 / 6, 7)
    zero = mp.mpf(float(z0))
    print("// digamma is 0 at", float(z0), float(z0 - zero))
    double("DIGAMMA", lambda z: mp.digamma(z0 + z) / z if z else mp.polygamma(1, z0), 1 - z0, 2 - z0, 24)
