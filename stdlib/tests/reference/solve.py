"""Initial value problems by scipy's RK45, and tables of quadrature by numpy and scipy, for tests/solve.rs.

    python solve.py solve.npz
"""

import sys

import numpy as np
import scipy.integrate
import scipy.special

out = {}

FIELDS = {
    "decay": (lambda t, y: -0.7 * y, [1.0, -2.0], np.linspace(0, 3, 7)),
    "van_der_pol": (lambda t, y: [y[1], 2.0 * (1 - y[0] ** 2) * y[1] - y[0]], [2.0, 0.0], np.linspace(0, 6, 9)),
    "lorenz": (
        lambda t, y: [10 * (y[1] - y[0]), y[0] * (28 - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]],
        [1.0, 1.0, 1.0],
        np.linspace(0, 1.5, 6),
    ),
    "forced": (lambda t, y: np.cos(t) * y + np.sin(3 * t), [0.5], np.array([0.0, 0.1, 0.11, 2.0, 5.0])),
    "backwards": (lambda t, y: np.cos(t) * y + np.sin(3 * t), [0.5], np.linspace(4, 1, 5)),
}
for name, (f, y0, ts) in FIELDS.items():
    for tolerance in (1e-4, 1e-8):
        s = scipy.integrate.solve_ivp(f, (ts[0], ts[-1]), y0, t_eval=ts, rtol=tolerance, atol=tolerance / 100)
        key = f"{name}.{tolerance:.0e}"
        out[f"{key}.ys"], out[f"{key}.nfev"] = s.y.T, np.array(float(s.nfev))
    out[f"{name}.y0"], out[f"{name}.ts"] = np.array(y0), ts

for n in (1, 2, 3, 8, 33):
    out[f"legendre.{n}.x"], out[f"legendre.{n}.w"] = scipy.special.roots_legendre(n)
    out[f"hermite.{n}.x"], out[f"hermite.{n}.w"] = scipy.special.roots_hermite(n)

np.savez_compressed(sys.argv[1], **out)
