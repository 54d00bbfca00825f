"""Writes values of special functions, computed with 30 digits, for special.rs:

    python special.py > special.txt        (needs mpmath and scipy)

A line: function, operands, value.
"""

import random

import mpmath as mp
from scipy.special import sph_harm_y

mp.mp.dps = 30
random.seed(2)


def line(name, f, *args):
    y = f(*[mp.mpf(a) for a in args])
    print(name, *[repr(float(a)) for a in args], "=", repr(float(mp.re(y))))


def size(low, high):
    return 10 ** random.uniform(low, high)


def start(p):
    """Near the root t of erfc(t) = 2 p."""
    if p > 0.5:
        return -start(1 - p)
    w = -2 * mp.log(p)
    return mp.sqrt(max(w - mp.log(max(2 * mp.pi * w, 1)), 0.01) / 2)


def lower(a, x):
    return mp.gammainc(a, 0, x, regularized=True)


def upper(a, x):
    return mp.gammainc(a, x, mp.inf, regularized=True)


for _ in range(60):
    a = size(-3, 3)
    x = random.choice([a * random.uniform(0.3, 2.5), size(-3, 3)])
    if lower(mp.mpf(a), mp.mpf(x)) > 1e-30:
        line("gammainc", lower, a, x)
    if upper(mp.mpf(a), mp.mpf(x)) > 1e-30:
        line("gammaincc", upper, a, x)
line("gammainc", lower, 5000.0, 5010.0)
line("gammaincc", upper, 5000.0, 5010.0)
for _ in range(40):
    a, x = size(-1, 1.5), size(-1, 1.5)
    with mp.workdps(50):
        p = mp.diff(lambda a: lower(a, mp.mpf(x)), mp.mpf(a))
        density = mp.mpf(x) ** (mp.mpf(a) - 1) * mp.exp(-mp.mpf(x)) / mp.gamma(mp.mpf(a))
    line("gammainc_a", lambda a, x: p, a, x)
    line("random_gamma_grad", lambda a, x: -p / density, a, x)
for _ in range(60):
    a, b = size(-1.5, 2.5), size(-1.5, 2.5)
    x = min(max(random.gauss(a / (a + b), 0.1), 0.001), 0.999)
    line("betainc", lambda a, b, x: mp.betainc(a, b, 0, x, regularized=True), a, b, x)
for _ in range(30):
    line("exp1", mp.e1, size(-4, 2))
    line("expi", mp.ei, random.choice([-1, 1]) * size(-3, 2))
    line("ndtr", mp.ncdf, random.uniform(-30, 8))
    line("log_ndtr", lambda x: mp.log(mp.erfc(-x / mp.sqrt(2)) / 2), random.uniform(-200, 6))
    p = random.choice([size(-300, -1), random.uniform(0, 1), 1 - size(-14, -1)])
    line("ndtri", lambda p: -mp.sqrt(2) * mp.findroot(lambda t: mp.log(mp.erfc(t) / 2) - mp.log(p), start(p)), p)
    line("log1mexp", lambda x: mp.log1p(-mp.exp(-x)), size(-8, 2))
    line("exprel", lambda x: mp.expm1(x) / x, random.choice([-1, 1]) * size(-6, 2))
    line("sinc", lambda x: mp.sinpi(x) / (mp.pi * x), random.choice([-1, 1]) * size(-6, 1))
    line("i0", lambda x: mp.besseli(0, x), random.uniform(-30, 30))
    line("i1", lambda x: mp.besseli(1, x), random.uniform(-30, 30))
    line("gamma", mp.gamma, random.uniform(-5, 12))
    line("betaln", lambda a, b: mp.log(mp.beta(a, b)), size(-2, 2), size(-2, 2))
    line("logit", lambda x: mp.log(x / (1 - x)), random.uniform(0, 1))
    line("polygamma1", lambda x: mp.polygamma(1, x), random.uniform(-6, 20))
    line("polygamma3", lambda x: mp.polygamma(3, x), random.uniform(-6, 20))
    line("multigammaln3", lambda x: 3 * mp.log(mp.pi) / 2 + sum(mp.loggamma(x - mp.mpf(j) / 2) for j in range(3)),
         random.uniform(1.1, 20))
    x = random.uniform(-1, 1)
    line("legendre7", lambda x: mp.legendre(7, x), x)
    line("assoc_legendre53", lambda x: -((1 - x * x) ** mp.mpf(1.5)) * mp.diff(lambda t: mp.legendre(5, t), x, 3), x)
for _ in range(25):
    l = random.randint(0, 10)
    m = random.randint(-l, l)
    theta, phi = random.uniform(0, 3.14), random.uniform(-3, 3)
    y = sph_harm_y(l, abs(m), theta, phi)
    part = y.real if m == 0 else (y.real if m > 0 else y.imag) * 2**0.5 * (-1) ** m
    print("harmonic", float(l), float(m), repr(theta), repr(phi), "=", repr(float(part)))
