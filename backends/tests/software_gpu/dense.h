// Factorisations of small dense matrices, as textbooks have them, in complex f64: real matrices stay real.
#pragma once
#include "library.h"
#include <algorithm>

struct Dense {
    size_t rows, cols;
    std::vector<complex> x;  // in column order
    Dense(size_t r, size_t c) : rows(r), cols(c), x(r * c) {}
    complex& operator()(size_t i, size_t j) { return x[i + j * rows]; }
    const complex& operator()(size_t i, size_t j) const { return x[i + j * rows]; }
};

inline Dense identity(size_t n) {
    Dense e(n, n);
    for (size_t i = 0; i < n; i++) e(i, i) = 1;
    return e;
}
inline Dense adjoint(const Dense& a) {
    Dense b(a.cols, a.rows);
    for (size_t i = 0; i < a.rows; i++)
        for (size_t j = 0; j < a.cols; j++) b(j, i) = std::conj(a(i, j));
    return b;
}
// N, T, C
inline Dense transposed(const Dense& a, int op) {
    if (op == 0) return a;
    Dense b = adjoint(a);
    if (op == 1)
        for (complex& v : b.x) v = std::conj(v);
    return b;
}

inline Dense read(const void* p, int type, size_t rows, size_t cols, size_t ld) {
    Dense a(rows, cols);
    for (size_t j = 0; j < cols; j++)
        for (size_t i = 0; i < rows; i++) a(i, j) = load(p, type, i + j * ld);
    return a;
}
inline void write(const Dense& a, void* p, int type, size_t ld) {
    for (size_t j = 0; j < a.cols; j++)
        for (size_t i = 0; i < a.rows; i++) store(p, type, i + j * ld, a(i, j));
}
// one triangle with the diagonal
inline void write_triangle(const Dense& a, void* p, int type, size_t ld, bool upper) {
    for (size_t j = 0; j < a.cols; j++)
        for (size_t i = upper ? 0 : j; i < (upper ? j + 1 : a.rows); i++) store(p, type, i + j * ld, a(i, j));
}
// a Hermitian matrix of which one triangle is there
inline Dense hermitian(const Dense& a, bool upper) {
    Dense h(a.rows, a.rows);
    for (size_t j = 0; j < a.rows; j++) {
        h(j, j) = a(j, j).real();
        for (size_t i = j + 1; i < a.rows; i++) {
            h(i, j) = upper ? std::conj(a(j, i)) : a(i, j);
            h(j, i) = std::conj(h(i, j));
        }
    }
    return h;
}

// ---- triangles and their products

// op(A) X = B in place of B; A is a triangle, its other half is not read
inline void solve_triangle(const Dense& a, bool upper, int op, bool unit, Dense& b) {
    const size_t n = a.rows;
    const bool forward = upper == (op != 0);
    auto at = [&](size_t i, size_t j) { return op == 0 ? a(i, j) : op == 1 ? a(j, i) : std::conj(a(j, i)); };
    for (size_t c = 0; c < b.cols; c++)
        for (size_t s = 0; s < n; s++) {
            const size_t i = forward ? s : n - 1 - s;
            complex v = b(i, c);
            for (size_t j = forward ? 0 : i + 1; j < (forward ? i : n); j++) v -= at(i, j) * b(j, c);
            b(i, c) = unit ? v : v / at(i, i);
        }
}

// A = L L^H in place of the lower triangle; 0, or which leading minor is not positive
inline int cholesky(Dense& a) {
    const size_t n = a.rows;
    for (size_t j = 0; j < n; j++) {
        double d = a(j, j).real();
        for (size_t k = 0; k < j; k++) d -= std::norm(a(j, k));
        if (!(d > 0)) return (int)j + 1;
        const double root = std::sqrt(d);
        a(j, j) = root;
        for (size_t i = j + 1; i < n; i++) {
            complex v = a(i, j);
            for (size_t k = 0; k < j; k++) v -= a(i, k) * std::conj(a(j, k));
            a(i, j) = v / root;
        }
    }
    return 0;
}

// P A = L U in place; the row that each was exchanged with, from 0; 0, or which pivot is zero
inline int lu(Dense& a, std::vector<size_t>& pivots, bool pivoting) {
    int info = 0;
    const size_t n = std::min(a.rows, a.cols);
    pivots.assign(n, 0);
    for (size_t k = 0; k < n; k++) {
        size_t p = k;
        // as cabs1 of LAPACK orders them
        auto size = [&](size_t i) { return std::fabs(a(i, k).real()) + std::fabs(a(i, k).imag()); };
        for (size_t i = k + 1; i < a.rows && pivoting; i++)
            if (size(i) > size(p)) p = i;
        pivots[k] = p;
        for (size_t j = 0; j < a.cols && p != k; j++) std::swap(a(k, j), a(p, j));
        if (a(k, k) == 0.0) {
            if (info == 0) info = (int)k + 1;
            continue;
        }
        for (size_t i = k + 1; i < a.rows; i++) {
            a(i, k) /= a(k, k);
            for (size_t j = k + 1; j < a.cols; j++) a(i, j) -= a(i, k) * a(k, j);
        }
    }
    return info;
}

// op(A) X = B with the factors of A
inline void lu_solve(const Dense& f, const std::vector<size_t>& pivots, int op, Dense& b) {
    auto exchange = [&](size_t k) {
        for (size_t j = 0; j < b.cols; j++) std::swap(b(k, j), b(pivots[k], j));
    };
    if (op == 0) {
        for (size_t k = 0; k < pivots.size(); k++) exchange(k);
        solve_triangle(f, false, 0, true, b);
        solve_triangle(f, true, 0, false, b);
    } else {
        solve_triangle(f, true, op, false, b);
        solve_triangle(f, false, op, true, b);
        for (size_t k = pivots.size(); k-- > 0;) exchange(k);
    }
}

// ---- reflections

// B = (I - tau v v^H) B for the rows from `first`, v = (1, below)
inline void reflect(Dense& b, size_t first, size_t from_column, const std::vector<complex>& v, complex tau) {
    for (size_t j = from_column; j < b.cols; j++) {
        complex sum = 0;
        for (size_t i = 0; i < v.size(); i++) sum += std::conj(v[i]) * b(first + i, j);
        for (size_t i = 0; i < v.size(); i++) b(first + i, j) -= tau * sum * v[i];
    }
}

// A = Q R in place, as LAPACK leaves it: R above, the reflections below, their factors apart
inline std::vector<complex> qr(Dense& a) {
    const size_t k = std::min(a.rows, a.cols);
    std::vector<complex> taus(k);
    for (size_t c = 0; c < k; c++) {
        double below = 0;
        for (size_t i = c + 1; i < a.rows; i++) below += std::norm(a(i, c));
        const complex alpha = a(c, c);
        if (below == 0 && alpha.imag() == 0) continue;
        const double beta = -std::copysign(std::sqrt(below + std::norm(alpha)), alpha.real());
        const complex tau = complex((beta - alpha.real()) / beta, -alpha.imag() / beta);
        std::vector<complex> v(a.rows - c, 1);
        for (size_t i = c + 1; i < a.rows; i++) v[i - c] = a(i, c) / (alpha - beta);
        reflect(a, c, c + 1, v, std::conj(tau));
        a(c, c) = beta;
        for (size_t i = c + 1; i < a.rows; i++) a(i, c) = v[i - c];
        taus[c] = tau;
    }
    return taus;
}

// the first `columns` of Q, of the reflections that qr left in the first columns of A
inline Dense orthogonal(const Dense& a, const std::vector<complex>& taus, size_t columns) {
    Dense q(a.rows, columns);
    for (size_t i = 0; i < columns; i++) q(i, i) = 1;
    for (size_t c = taus.size(); c-- > 0;) {
        std::vector<complex> v(a.rows - c, 1);
        for (size_t i = c + 1; i < a.rows; i++) v[i - c] = a(i, c);
        reflect(q, c, 0, v, taus[c]);
    }
    return q;
}

// ---- eigenvalues of Hermitian matrices, by rotations

// The values ascend; the vectors take the place of A. Whether it came to an end.
inline bool eigen(Dense& a, std::vector<double>& values) {
    const size_t n = a.rows;
    Dense v = identity(n);
    bool done = n < 2;
    for (int sweep = 0; sweep < 60 && !done; sweep++) {
        double off = 0, all = 0;
        for (size_t j = 0; j < n; j++)
            for (size_t i = 0; i < n; i++) (i == j ? all : off) += std::norm(a(i, j));
        done = off <= 1e-32 * (all + off);
        if (done || off != off) break;
        for (size_t p = 0; p < n; p++)
            for (size_t q = p + 1; q < n; q++) {
                const double size = std::abs(a(p, q));
                if (size == 0) continue;
                const complex phase = a(p, q) / size;
                const double theta = (a(q, q).real() - a(p, p).real()) / (2 * size);
                const double t = (theta >= 0 ? 1.0 : -1.0) / (std::fabs(theta) + std::sqrt(theta * theta + 1));
                const double c = 1 / std::sqrt(t * t + 1), s = t * c;
                // columns, then rows: (p, q) times ((c, s phase), (-s conj(phase), c))
                auto columns = [&](Dense& m) {
                    for (size_t i = 0; i < n; i++) {
                        const complex x = m(i, p), y = m(i, q);
                        m(i, p) = c * x - s * std::conj(phase) * y;
                        m(i, q) = s * phase * x + c * y;
                    }
                };
                columns(a);
                columns(v);
                for (size_t j = 0; j < n; j++) {
                    const complex x = a(p, j), y = a(q, j);
                    a(p, j) = c * x - s * phase * y;
                    a(q, j) = s * std::conj(phase) * x + c * y;
                }
                a(p, q) = a(q, p) = 0;
            }
    }
    std::vector<size_t> order(n);
    for (size_t i = 0; i < n; i++) order[i] = i;
    std::stable_sort(order.begin(), order.end(), [&](size_t i, size_t j) { return a(i, i).real() < a(j, j).real(); });
    values.resize(n);
    Dense sorted(n, n);
    for (size_t j = 0; j < n; j++) {
        values[j] = a(order[j], order[j]).real();
        for (size_t i = 0; i < n; i++) sorted(i, j) = v(i, order[j]);
    }
    a = sorted;
    return done;
}

// ---- singular values, by rotations of columns

// makes the columns from `from` on orthonormal to those before
inline void complete(Dense& u, size_t from) {
    size_t next = 0;
    for (size_t c = from; c < u.cols; c++) {
        for (;; next++) {
            for (size_t i = 0; i < u.rows; i++) u(i, c) = i == next ? 1 : 0;
            for (int twice = 0; twice < 2; twice++)
                for (size_t b = 0; b < c; b++) {
                    complex along = 0;
                    for (size_t i = 0; i < u.rows; i++) along += std::conj(u(i, b)) * u(i, c);
                    for (size_t i = 0; i < u.rows; i++) u(i, c) -= along * u(i, b);
                }
            double size = 0;
            for (size_t i = 0; i < u.rows; i++) size += std::norm(u(i, c));
            if (size < 1e-3 / (double)u.rows && next + 1 < u.rows) continue;
            for (size_t i = 0; i < u.rows; i++) u(i, c) /= std::sqrt(size);
            next++;
            break;
        }
    }
}

// A = U diag(s) V^H with all columns of U and V, the values descending
inline bool singular(const Dense& given, Dense& u, std::vector<double>& values, Dense& v) {
    if (given.rows < given.cols) return singular(adjoint(given), v, values, u);
    Dense a = given;
    const size_t m = a.rows, n = a.cols;
    Dense w = identity(n);
    bool done = n < 2;
    double whole = 0;
    for (const complex& x : a.x) whole += std::norm(x);
    for (int sweep = 0; sweep < 60 && !done; sweep++) {
        done = true;
        for (size_t p = 0; p < n; p++)
            for (size_t q = p + 1; q < n; q++) {
                double x = 0, y = 0;
                complex z = 0;
                for (size_t i = 0; i < m; i++) x += std::norm(a(i, p)), y += std::norm(a(i, q)), z += std::conj(a(i, p)) * a(i, q);
                const double size = std::abs(z);
                // what is only rounding beside the matrix has no direction; it shrinks until its squares are not numbers any more
                if (size <= 1e-15 * std::sqrt(x * y) || std::min(x, y) <= 1e-32 * whole) continue;
                done = false;
                const complex phase = z / size;
                const double theta = (y - x) / (2 * size);
                const double t = (theta >= 0 ? 1.0 : -1.0) / (std::fabs(theta) + std::sqrt(theta * theta + 1));
                const double c = 1 / std::sqrt(t * t + 1), s = t * c;
                auto columns = [&](Dense& d) {
                    for (size_t i = 0; i < d.rows; i++) {
                        const complex f = d(i, p), g = d(i, q);
                        d(i, p) = c * f - s * std::conj(phase) * g;
                        d(i, q) = s * phase * f + c * g;
                    }
                };
                columns(a);
                columns(w);
            }
    }
    std::vector<double> sizes(n);
    std::vector<size_t> order(n);
    for (size_t j = 0; j < n; j++) {
        double s = 0;
        for (size_t i = 0; i < m; i++) s += std::norm(a(i, j));
        sizes[j] = std::sqrt(s);
        order[j] = j;
    }
    std::stable_sort(order.begin(), order.end(), [&](size_t i, size_t j) { return sizes[i] > sizes[j]; });
    u = Dense(m, m);
    v = Dense(n, n);
    values.resize(n);
    size_t rank = 0;
    for (size_t j = 0; j < n; j++) {
        values[j] = sizes[order[j]];
        for (size_t i = 0; i < n; i++) v(i, j) = w(i, order[j]);
        // what is as small as rounding has no direction
        if (values[j] <= 1e-15 * values[0] || values[j] == 0) continue;
        for (size_t i = 0; i < m; i++) u(i, j) = a(i, order[j]) / values[j];
        rank = j + 1;
    }
    complete(u, rank);
    return done;
}
