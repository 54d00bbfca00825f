"""Writes values of functions of f64, computed with 40 digits, for the accuracy test.

    python reference.py > ../../tests/accuracy/reference.txt        (needs mpmath)

A line: function, operands as hexadecimal bits, value as hexadecimal bits, what the value misses in units of its last
place.
"""

import random
import struct

import mpmath as mp

mp.mp.dps = 40
random.seed(1)


def bits(x):
    return f"{struct.unpack('<Q', struct.pack('<d', x))[0]:016x}"


def ulp(x):
    m, e = mp.frexp(abs(mp.mpf(x)))
    return mp.mpf(2) ** max(int(e) - 53, -1074)


def line(name, f, *args):
    y = f(*[mp.mpf(a) for a in args])
    if isinstance(y, mp.mpc):
        y = y.real
    near = float(y)
    if near in (float("inf"), float("-inf")) or near == 0:
        return
    miss = (y - mp.mpf(near)) / ulp(near)
    print(name, *[bits(a) for a in args], bits(near), f"{float(miss):.2f}")


def spread(low, high, n):
    """Half of them evenly, half of them by size."""
    return [random.uniform(low, high) for _ in range(n // 2)] + [
        random.choice([-1, 1] if low < 0 else [1]) * min(high, abs(high) * 10 ** random.uniform(-12, 0))
        for _ in range(n // 2)
    ]


def bessel(n):
    return lambda x: mp.besseli(n, x) * mp.exp(-abs(x))


FUNCTIONS = {
    "exponential": (mp.exp, spread(-700, 700, 60)),
    "exponential_minus_one": (mp.expm1, spread(-40, 700, 60)),
    "log": (mp.log, [10 ** random.uniform(-300, 300) for _ in range(30)] + spread(0, 3, 30)),
    "log_plus_one": (mp.log1p, spread(-0.999, 100, 60)),
    "sine": (mp.sin, spread(-1e5, 1e5, 60)),
    "cosine": (mp.cos, spread(-1e5, 1e5, 60)),
    "tan": (mp.tan, spread(-1e5, 1e5, 60)),
    "tanh": (mp.tanh, spread(-15, 15, 60)),
    "logistic": (lambda x: 1 / (1 + mp.exp(-x)), spread(-50, 50, 60)),
    "erf": (mp.erf, spread(-5, 5, 80)),
    "erfc": (mp.erfc, spread(-5, 26, 80)),
    "erf_inv": (mp.erfinv, spread(-1, 1, 60) + [1 - 10 ** random.uniform(-15, -1) for _ in range(40)]),
    "lgamma": (lambda x: mp.log(abs(mp.gamma(x))), spread(-20, 50, 120) + [1 + 1e-9, 2 - 1e-9, 1e9, 1e300]),
    "digamma": (mp.digamma, spread(-20, 50, 120) + [1.4616321449683622, 1.46, 1.47, 1e9, 1e300]),
    "bessel_i0e": (bessel(0), spread(-60, 60, 80) + [19.99, 20.01, 1e5, 1e300]),
    "bessel_i1e": (bessel(1), spread(-60, 60, 80) + [19.99, 20.01, 1e5, 1e300]),
    "cbrt": (lambda x: mp.sign(x) * mp.cbrt(abs(x)), spread(-1e5, 1e5, 40)),
}

if __name__ == "__main__":
    for name, (f, points) in FUNCTIONS.items():
        for x in points:
            line(name, f, x)
    # its error is absolute
    mp.mp.dps = 150
    for _ in range(120):
        line("zeta", mp.zeta, 1 + 10 ** random.uniform(-3, 1.5), 10 ** random.uniform(-2, 3))
    # left of 0: derivatives of digamma give the sum
    for _ in range(40):
        s = random.randint(2, 6)
        f = lambda s, q: mp.polygamma(int(s) - 1, q) * (-1) ** int(s) / mp.factorial(int(s) - 1)
        line("zeta", f, float(s), random.uniform(-15, 0))
