"""Linear algebra."""
import jax
import jax.numpy as jnp
import jax.scipy.linalg as sl
from jax import lax

from . import program

la = jnp.linalg


def rebuilt_qr(q, r):
    return q @ r, jnp.abs(r), jnp.swapaxes(q, -1, -2).conj() @ q


@program(lambda g: (g.f(3, 6, 4), g.f(3, 4, 6), g.c(5, 5)))
def qr_of_every_shape(tall, wide, square):
    out = [rebuilt_qr(*la.qr(a)) for a in (tall, wide, square)] + [rebuilt_qr(*la.qr(tall, mode="complete"))]
    out.append(jnp.abs(la.qr(wide, mode="r")))
    out.append(jax.grad(lambda a: jnp.abs(la.qr(a)[1]).sum())(tall))
    out.append(sl.qr_multiply(tall[0], jnp.ones((4, 2)), mode="left")[0] ** 2)
    return out


@program(lambda g: (g.f(2, 5, 3), g.c(4, 4)))
def svd_of_every_shape(a, z):
    rebuilt = lambda u, s, v: (u[..., : s.shape[-1]] * s[..., None, :]) @ v[..., : s.shape[-1], :]
    out = [s for m in (a, a.swapaxes(1, 2), z) for u, s, v in [la.svd(m, full_matrices=False)] for s in (s, rebuilt(u, s, v))]
    full = la.svd(a)
    nuclear = lambda a: la.svd(a, compute_uv=False).sum()
    return out, rebuilt(*full), jnp.abs(full[0] @ full[0].swapaxes(1, 2)), jax.grad(nuclear)(a), la.pinv(a), la.matrix_rank(a), la.cond(a), jax.jvp(la.pinv, (a,), (a * 0.1,))[1]


@program(lambda g: (g.spd(2, 4, 4), g.c(4, 4), g.f(5), g.f(4)))
def symmetric_eigenproblems(a, z, d, e):
    z = z + z.conj().T
    w, v = la.eigh(a)
    f = lambda a: (la.eigh(a)[0] ** 2).sum() + jnp.log(la.eigvalsh(a)).sum()
    project = lambda a: (lambda v: v[..., :2] @ v[..., :2].swapaxes(-1, -2))(la.eigh(a)[1])
    return w, (v * w[..., None, :]) @ v.swapaxes(1, 2), la.eigvalsh(z), la.eigh(z, UPLO="U")[0], jax.grad(f)(a), jax.grad(lambda a: (project(a) ** 3).sum())(a), sl.eigh_tridiagonal(d, e, eigvals_only=True)


@program(lambda g: (g.f(5, 5), g.c(4, 4)))
def general_eigenproblems(a, z):
    key = lambda w: w[jnp.lexsort((jnp.round(w.imag, 3), jnp.round(w.real, 3)))]
    w, v = la.eig(a)
    wz, vz = la.eig(z)
    return key(w), key(la.eigvals(z)), jnp.abs(a @ v - v * w) < 1e-4, jnp.abs(z @ vz - vz * wz) < 1e-4, jnp.abs(jax.grad(lambda a: jnp.abs(la.eigvals(a)).sum())(a)) < 1e3


@program(lambda g: (g.f(3, 4, 4) + 2 * jnp.eye(4), g.f(3, 4, 2), g.f(6, 3), g.f(6), g.c(4, 4)))
def solves(a, b, tall, y, z):
    lu, piv, perm = lax.linalg.lu(a)
    p, l, u = sl.lu(a[0])
    fit, residual, rank, s = la.lstsq(tall, y)
    return (la.solve(a, b), la.inv(a), la.det(a), la.slogdet(a), lu, piv, perm, p @ l @ u, sl.lu_solve(sl.lu_factor(a[0]), b[0], trans=1), fit, residual, rank, s,
            la.solve(z, z.T), la.det(z), jax.grad(lambda a: la.solve(a, b).sum())(a), jax.grad(lambda a: la.slogdet(a)[1].sum())(a), jax.jacobian(la.inv)(a[0]), jax.hessian(la.det)(a[0]))


@program(lambda g: (g.spd(3, 4, 4), g.f(3, 4, 2), g.f(4, 4)))
def triangular_and_cholesky(a, b, t):
    l = la.cholesky(a)
    f = lambda a: sl.cho_solve((la.cholesky(a), True), b[0]).sum()
    solve = lambda t, **kw: sl.solve_triangular(t + 4 * jnp.eye(4), b[0], **kw)
    return l, la.cholesky(a, upper=True), jax.vmap(jax.grad(f))(a), solve(t), solve(t, trans=1), solve(t, lower=True, trans="T"), solve(t, lower=True, unit_diagonal=True), jax.grad(lambda t: (solve(t) ** 2).sum())(t), sl.solve(a[0], b[0], assume_a="pos"), lax.linalg.triangular_solve(l, b.swapaxes(1, 2), left_side=False, lower=True, transpose_a=True), lax.linalg.cholesky_update(l[0], t[0])


@program(lambda g: (g.f(4, 4), g.spd(4, 4), g.f(3, 3)))
def functions_of_matrices(a, s, b):
    return sl.expm(a), jax.vmap(sl.expm)(jnp.stack([a, 5 * a])), jax.grad(lambda a: sl.expm(a).sum())(a), sl.expm_frechet(a, s)[1], la.matrix_power(a, 5), la.matrix_power(s, -2), sl.polar(s)[0], jnp.abs(sl.solve_sylvester(s, b, jnp.ones((4, 3)), method="eigen"))


@program(lambda g: (g.f(5, 4), g.f(4, 4, 4), g.f(3), g.f(3)))
def norms_and_products(a, t, x, y):
    norms = [la.norm(a, o) for o in (None, "fro", "nuc", 1, -1, 2, -2, jnp.inf, -jnp.inf)] + [la.norm(x, o) for o in (0, 1, 2, 3, jnp.inf, -jnp.inf)]
    return norms, la.multi_dot([a, a.T, a, t[0]]), la.tensorsolve((t[1] + 3 * jnp.eye(4)).reshape(2, 2, 4), a[0].reshape(2, 2)), la.tensorinv(t[0] + 3 * jnp.eye(4), 1), jnp.kron(a, t[0]), jnp.cross(x, y), jnp.vander(x), jnp.cov(a), jnp.corrcoef(a, rowvar=False), la.vecdot(t, t), la.vector_norm(t, axis=(0, 2)), la.matrix_norm(t), jnp.trace(t, axis1=1, axis2=2), jnp.vdot(a, a), jnp.inner(a, a), jnp.outer(x, y), la.diagonal(t, offset=1)


@program(lambda g: (g.f(4), g.f(4)))
def special_matrices(c, r):
    return sl.toeplitz(c, r), sl.hankel(c, r), sl.circulant(c), sl.block_diag(c[:, None], jnp.outer(c, r)), sl.companion(c), sl.hilbert(4), sl.pascal(4), sl.hadamard(4), sl.dft(4), sl.fiedler(c), sl.helmert(4), sl.leslie(c, r[:3]), sl.convolution_matrix(c, 3)


@program(lambda g: (g.f(3, 5, 5), g.f(6), g.f(6), g.f(6), g.f(6, 2)), x64=True)
def decompositions_in_double(a, dl, d, du, b):
    a, dl, d, du, b = (x.astype(jnp.float64) for x in (a, dl, d, du, b))
    t = lax.linalg.tridiagonal_solve(dl.at[0].set(0), d + 5, du.at[-1].set(0), b)
    q, r = la.qr(a)
    w = la.eigvalsh(a @ a.swapaxes(1, 2))
    return t, q @ r, w, la.svd(a, compute_uv=False), la.inv(a), sl.expm(a), la.det(a), jnp.sort_complex(la.eigvals(a[0]).round(6))


@program(lambda g: (g.f(5, 4), g.f(3, 6, 3), g.c(4, 4)))
def reflections(a, b, z):
    q = lambda m: lax.linalg.householder_product(m, m[..., 0, :] * 0.3)
    return q(a), jax.vmap(q)(b), q(b), q(z)


@program(lambda g: (g.f(5, 5), g.spd(4, 4), g.f(5, 3)))
def other_routines(a, s, b):
    u, w, v = lax.linalg.svd(b, full_matrices=False, algorithm=lax.linalg.SvdAlgorithm.QR)
    return w, (u * w) @ v, jnp.abs(lax.linalg.svd(b, compute_uv=False, algorithm=lax.linalg.SvdAlgorithm.QR))
