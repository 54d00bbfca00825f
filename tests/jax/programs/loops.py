"""Loops and branches within each other, on integers, bits and complex numbers."""
import jax
import jax.numpy as jnp
from jax import lax

from . import program


@program(lambda g: ())
def mandelbrot():
    c = jnp.linspace(-2, 0.5, 20) + 1j * jnp.linspace(-1.2, 1.2, 16)[:, None]

    def one(c):
        s = lax.while_loop(lambda s: (jnp.abs(s[0]) < 2) & (s[1] < 40), lambda s: (s[0] ** 2 + c, s[1] + 1), (jnp.zeros_like(c), 0))
        return s[1]

    z, n = lax.fori_loop(0, 12, lambda i, s: (jnp.where(jnp.abs(s[0]) < 4, s[0] ** 2 + c, s[0]), s[1] + (jnp.abs(s[0]) < 2)), (jnp.zeros_like(c), jnp.zeros(c.shape, jnp.int32)))
    return jax.vmap(jax.vmap(one))(c), n


@program(lambda g: (g.c(6, 6) + 4 * jnp.eye(6), g.c(6)))
def power_iteration(a, x):
    def body(s):
        x, old, _, i = s
        y = a @ x
        y = y / jnp.linalg.norm(y)
        value = jnp.vdot(y, a @ y)
        return y, value, old, i + 1

    x, value, _, i = lax.while_loop(lambda s: (jnp.abs(s[1] - s[2]) > 1e-6) & (s[3] < 400), body, (x, jnp.complex64(0), jnp.complex64(1), 0))
    return value, jnp.abs(a @ x - value * x) < 5e-3


@program(lambda g: (g.c(8) * 2,), x64=True)
def newton_fractal(z):
    z = z.astype(jnp.complex128)
    f = lambda z: z**3 - 1
    step = lambda i, z: z - f(z) / jax.grad(f, holomorphic=True)(z)
    z = jax.vmap(lambda z: lax.fori_loop(0, 60, step, z))(z)
    roots = jnp.exp(2j * jnp.pi * jnp.arange(3) / 3)
    return jnp.argmin(jnp.abs(z[:, None] - roots), 1), jnp.round(z, 6)


@program(lambda g: (g.i(60, 12, low=1), g.i(50, 12, low=1)))
def integers_in_loops(n, m):
    collatz = lambda n: lax.while_loop(lambda s: s[0] != 1, lambda s: (jnp.where(s[0] % 2 == 0, s[0] // 2, 3 * s[0] + 1), s[1] + 1), (n, 0))[1]
    euclid = lambda a, b: lax.while_loop(lambda s: s[1] != 0, lambda s: (s[1], s[0] % s[1]), (a, b))[0]
    power = lambda b, e: lax.while_loop(lambda s: s[1] > 0, lambda s: (s[0] * s[0] % 1009, s[1] // 2, jnp.where(s[1] % 2 == 1, s[2] * s[0] % 1009, s[2])), (b, e, 1))[2]
    sieve = lax.fori_loop(2, 10, lambda i, p: jnp.where((jnp.arange(100) % i == 0) & (jnp.arange(100) > i), False, p), jnp.arange(100) > 1)
    return jax.vmap(collatz)(n), jax.vmap(euclid)(n, m), jax.vmap(power)(n, m), jnp.nonzero(sieve, size=30)[0], jnp.gcd(n, m), jnp.lcm(n, m)


@program(lambda g: (g.i(3, 5), g.f(5, 4), g.i(6, 5)))
def branches(which, x, rounds):
    fs = [jnp.sin, lambda x: x * 2 + x.sum(), lambda x: jnp.sort(x)]
    one = lambda i, x: lax.switch(i, fs, x)
    nested = lambda i, x: lax.cond(i > 0, lambda x: lax.cond(x[0] > 0, jnp.exp, jnp.abs, x), lambda x: one(i, x) - 1, x)
    loop = lambda n, x: lax.fori_loop(0, n, lambda j, x: lax.cond(j % 2 == 0, lambda x: x * 1.1, lambda x: x - 0.3, x), x)
    outside = lax.switch(which[0] - 5, fs, x[0]), lax.switch(which[0] + 50, fs, x[0])
    grads = jax.vmap(jax.grad(lambda x, i: one(i, x).sum() * x[0]))(x, which)
    return jax.vmap(one)(which, x), one(which[1], x[1]), nested(which[2], x[2]), jax.vmap(nested)(which, x), jax.vmap(loop)(rounds, x), loop(rounds[0], x[0]), outside, grads


@program(lambda g: (g.f(3, 4), jnp.int32(5)))
def nested_loops(x, n):
    def outer(i, s):
        x, count = s

        def inner(t):
            y, j = t
            return lax.cond(j % 3 == 0, lambda y: y * 0.9, lambda y: y + i, y), j + 1

        x, j = lax.while_loop(lambda t: (t[1] < i + 2) & (t[0].sum() < 50), inner, (x, 0))
        return lax.fori_loop(0, j, lambda k, y: y.at[k % 3].add(1.0), x), count + j

    scanned = lax.scan(lambda c, r: lax.scan(lambda c, v: (c + v, c * v), c, r), 0.0, x)
    tri = lax.fori_loop(0, 4, lambda i, a: lax.fori_loop(0, i, lambda j, a: a.at[i, j].set(i * 10 + j), a), jnp.zeros((4, 4), jnp.int32))
    return lax.fori_loop(0, n, outer, (x, 0)), scanned, tri


@program(lambda g: (g.u(16, 16),))
def cellular_automata(x):
    def life(board, _):
        n = sum(jnp.roll(board, (a, b), (0, 1)) for a in (-1, 0, 1) for b in (-1, 0, 1) if a or b)
        board = (n == 3) | (board & (n == 2))
        return board, board.sum()

    def rule(row, _):
        code = 4 * jnp.roll(row, 1) + 2 * row + jnp.roll(row, -1)
        return (jnp.uint8(110) >> code) & 1, row

    return lax.scan(life, x > 0.6, None, length=8), lax.scan(rule, jnp.zeros(31, jnp.uint8).at[15].set(1), None, length=10)[1]


@program(lambda g: (g.i(256, 20, dtype="uint8"), g.i(2**31 - 1, 4, dtype="uint32")))
def hashes(data, seed):
    def bit(i, c):
        return jnp.where(c & 1, (c >> 1) ^ jnp.uint32(0xEDB88320), c >> 1)

    crc = lax.fori_loop(0, 20, lambda i, c: lax.fori_loop(0, 8, bit, c ^ data[i].astype(jnp.uint32)), jnp.uint32(0xFFFFFFFF)) ^ jnp.uint32(0xFFFFFFFF)
    fnv = lax.scan(lambda h, b: ((h ^ b.astype(jnp.uint32)) * jnp.uint32(16777619), None), jnp.uint32(2166136261), data)[0]

    def xorshift(s, _):
        s = s ^ (s << 13)
        s = s ^ (s >> 17)
        s = s ^ (s << 5)
        return s, s

    adler = lax.scan(lambda s, b: (((s[0] + b) % 65521, (s[1] + s[0] + b) % 65521), None), (jnp.int32(1), jnp.int32(0)), data.astype(jnp.int32))[0]
    bits = jnp.unpackbits(data), jnp.packbits(jnp.unpackbits(data)), lax.population_count(seed), lax.clz(seed), jnp.bitwise_count(data)
    return crc, fnv, lax.scan(xorshift, seed, None, length=6), adler, bits


@program(lambda g: (g.i(30, 8, low=1), g.i(20, 8, low=1), g.u(6, 6)))
def dynamic_programs(values, weights, graph):
    def item(best, vw):
        v, w = vw
        moved = jnp.where(jnp.arange(41) >= w, jnp.roll(best, w) + v, 0)
        return jnp.maximum(best, moved), None

    knapsack = lax.scan(item, jnp.zeros(41, jnp.int32), (values, weights))[0]
    d = jnp.where(graph < 0.4, graph, jnp.inf)
    paths = lax.fori_loop(0, 6, lambda k, d: jnp.minimum(d, d[:, k, None] + d[k]), d)
    link = (graph > 0.5) / jnp.maximum((graph > 0.5).sum(0), 1)
    rank = lax.while_loop(lambda s: jnp.abs(s[0] - s[1]).sum() > 1e-6, lambda s: (0.15 / 6 + 0.85 * link @ s[0], s[0]), (jnp.ones(6) / 6, jnp.zeros(6)))[0]
    longest = lax.scan(lambda s, v: (jnp.where(s[1] < v, s[0] + 1, 1), v) and ((jnp.where(s[1] < v, s[0] + 1, 1), v), s[0]), (0, 0), values)
    return knapsack, paths, rank, longest


@program(lambda g: (g.f(7, 3), g.f(5)))
def maps_and_scans(x, y):
    each = lax.map(lambda r: jnp.outer(r, r).sum(0), x), lax.map(jnp.sum, x, batch_size=3)
    bisect = lax.while_loop(lambda s: s[1] - s[0] > 1e-5, lambda s: (lambda m: (jnp.where(m**3 < 2, m, s[0]), jnp.where(m**3 < 2, s[1], m)))((s[0] + s[1]) / 2), (0.0, 2.0))
    many = jax.vmap(lambda a: lax.while_loop(lambda s: s[0] < 10 + a, lambda s: (s[0] * 1.5 + 1, s[1] + 1), (jnp.abs(a), 0)))(y)
    scan = lax.scan(lambda c, r: (c * 0.5 + r, {"sum": r.sum(), "carry": c}), jnp.zeros(3), x, reverse=True, unroll=2)
    running = [lax.associative_scan(op, x, axis=0) for op in (jnp.add, jnp.multiply, jnp.maximum, lambda a, b: a + b + a * b)]
    none = lax.scan(lambda c, _: (c + 1, c), 0, None, length=0)
    return each, bisect, many, scan, running, none


@program(lambda g: (jnp.arange(6, dtype=jnp.int32), g.i(1000, 9)))
def sorting_by_hand(perm, x):
    def bubble(i, x):
        def swap(j, x):
            a, b = x[j], x[j + 1]
            return x.at[j].set(jnp.minimum(a, b)).at[j + 1].set(jnp.maximum(a, b))

        return lax.fori_loop(0, 8 - i, swap, x)

    def next_perm(p, _):
        i = jnp.max(jnp.where(p[:-1] < p[1:], jnp.arange(5), -1))
        j = jnp.max(jnp.where((p > p[i]) & (jnp.arange(6) > i), jnp.arange(6), -1))
        q = p.at[i].set(p[j]).at[j].set(p[i])
        at = jnp.arange(6)
        return jnp.where(at <= i, q, q[(5 + i + 1 - at) % 6]), p

    return lax.fori_loop(0, 8, bubble, x), lax.scan(next_perm, perm, None, length=9)[1]
