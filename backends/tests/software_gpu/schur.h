// Eigenvalues and vectors of matrices that are not Hermitian: Hessenberg form, QR steps with shifts, back substitution.
#pragma once
#include "dense.h"

// A = Q T Q^H with T upper triangular in place of A; 0, or how many values were not found
inline int schur(Dense& a, Dense& q) {
    const size_t n = a.rows;
    q = identity(n);
    // to Hessenberg form by reflections on both sides
    for (size_t c = 0; c + 2 < n; c++) {
        double below = 0;
        for (size_t i = c + 2; i < n; i++) below += std::norm(a(i, c));
        if (below == 0) continue;
        const complex alpha = a(c + 1, c);
        const double size = std::sqrt(below + std::norm(alpha));
        const complex phase = alpha == 0.0 ? complex(1) : alpha / std::abs(alpha);
        std::vector<complex> v(n - c - 1);
        for (size_t i = 0; i < v.size(); i++) v[i] = a(c + 1 + i, c);
        v[0] += phase * size;
        double length = 0;
        for (const complex& x : v) length += std::norm(x);
        for (size_t j = 0; j < n; j++) {
            complex sum = 0;
            for (size_t i = 0; i < v.size(); i++) sum += std::conj(v[i]) * a(c + 1 + i, j);
            for (size_t i = 0; i < v.size(); i++) a(c + 1 + i, j) -= 2.0 * sum / length * v[i];
        }
        for (Dense* m : {&a, &q})
            for (size_t r = 0; r < n; r++) {
                complex sum = 0;
                for (size_t i = 0; i < v.size(); i++) sum += (*m)(r, c + 1 + i) * v[i];
                for (size_t i = 0; i < v.size(); i++) (*m)(r, c + 1 + i) -= 2.0 * sum / length * std::conj(v[i]);
            }
    }
    size_t end = n;
    for (int steps = 0; end > 1;) {
        size_t from = end - 1;
        for (; from > 0; from--) {
            const double near = std::abs(a(from, from)) + std::abs(a(from - 1, from - 1));
            if (std::abs(a(from, from - 1)) <= 1e-16 * (near == 0 ? 1 : near)) break;
        }
        if (from > 0) a(from, from - 1) = 0;
        if (from == end - 1) {
            end--;
            steps = 0;
            continue;
        }
        if (++steps > 300) return (int)end;
        // the eigenvalue of the last two by two that is nearest to the last number; something else from time to time
        const complex p = a(end - 2, end - 2), s = a(end - 1, end - 1), off = a(end - 2, end - 1) * a(end - 1, end - 2);
        const complex half = (p - s) * 0.5, root = std::sqrt(half * half + off);
        complex shift = s - off / (std::abs(half + root) > std::abs(half - root) ? half + root : half - root);
        if (half == 0.0 && root == 0.0) shift = s;
        if (steps % 10 == 0) shift = s + std::abs(a(end - 1, end - 2));
        // one step by rotations of neighbours
        std::vector<std::pair<complex, complex>> rotations(end);
        for (size_t i = from; i < end; i++) a(i, i) -= shift;
        for (size_t i = from; i + 1 < end; i++) {
            const complex x = a(i, i), y = a(i + 1, i);
            const double size = std::sqrt(std::norm(x) + std::norm(y));
            const complex c = size == 0 ? complex(1) : x / size, t = size == 0 ? complex(0) : y / size;
            rotations[i] = {c, t};
            for (size_t j = i; j < n; j++) {
                const complex f = a(i, j), g = a(i + 1, j);
                a(i, j) = std::conj(c) * f + std::conj(t) * g;
                a(i + 1, j) = -t * f + c * g;
            }
        }
        for (size_t i = from; i + 1 < end; i++) {
            const complex c = rotations[i].first, t = rotations[i].second;
            auto columns = [&](Dense& m, size_t rows) {
                for (size_t r = 0; r < rows; r++) {
                    const complex f = m(r, i), g = m(r, i + 1);
                    m(r, i) = f * c + g * t;
                    m(r, i + 1) = -f * std::conj(t) + g * std::conj(c);
                }
            };
            columns(a, std::min(end, i + 2));
            columns(q, n);
        }
        for (size_t i = from; i < end; i++) a(i, i) += shift;
    }
    return 0;
}

// the vectors, each of length 1 with its largest number real
inline int eigen_general(Dense a, std::vector<complex>& values, Dense& vectors) {
    const size_t n = a.rows;
    Dense q(n, n);
    double scale = 0;
    for (const complex& x : a.x) scale = std::max(scale, std::abs(x));
    const int info = schur(a, q);
    values.resize(n);
    vectors = Dense(n, n);
    for (size_t j = 0; j < n; j++) {
        values[j] = a(j, j);
        std::vector<complex> y(n);
        y[j] = 1;
        for (size_t i = j; i-- > 0;) {
            complex sum = 0;
            for (size_t k = i + 1; k <= j; k++) sum += a(i, k) * y[k];
            complex d = a(i, i) - a(j, j);
            if (std::abs(d) < 1e-16 * scale) d = 1e-16 * (scale == 0 ? 1 : scale);
            y[i] = -sum / d;
        }
        complex largest = 0;
        double size = 0;
        for (size_t i = 0; i < n; i++) {
            complex sum = 0;
            for (size_t k = 0; k <= j; k++) sum += q(i, k) * y[k];
            vectors(i, j) = sum;
            size += std::norm(sum);
            if (std::abs(sum) > std::abs(largest)) largest = sum;
        }
        const complex by = std::conj(largest) / (std::abs(largest) * std::sqrt(size));
        for (size_t i = 0; i < n; i++) vectors(i, j) *= by;
    }
    return info;
}

// of a real matrix: pairs of conjugates are neighbours, the one above the axis first
inline int eigen_real(const Dense& a, std::vector<complex>& values, Dense& vectors) {
    const size_t n = a.rows;
    std::vector<complex> found;
    Dense all(n, n);
    const int info = eigen_general(a, found, all);
    double scale = 0;
    for (const complex& v : found) scale = std::max(scale, std::abs(v));
    std::vector<bool> used(n);
    values.clear();
    vectors = Dense(n, n);
    for (size_t j = 0; j < n; j++) {
        if (used[j]) continue;
        used[j] = true;
        // its conjugate, if that is another one
        size_t other = n;
        for (size_t k = j + 1; k < n; k++)
            if (!used[k] && (other == n || std::abs(found[k] - std::conj(found[j])) < std::abs(found[other] - std::conj(found[j])))) other = k;
        const bool pair = std::fabs(found[j].imag()) > 1e-13 * scale && other < n;
        const size_t column = values.size();
        if (!pair) {
            values.push_back(found[j].real());
            double size = 0;
            for (size_t i = 0; i < n; i++) size += all(i, j).real() * all(i, j).real();
            for (size_t i = 0; i < n; i++) vectors(i, column) = all(i, j).real() / std::sqrt(size);
            continue;
        }
        used[other] = true;
        const bool above = found[j].imag() > 0;
        values.push_back(above ? found[j] : std::conj(found[j]));
        values.push_back(std::conj(values.back()));
        for (size_t i = 0; i < n; i++) {
            const complex v = above ? all(i, j) : std::conj(all(i, j));
            vectors(i, column) = v.real();
            vectors(i, column + 1) = v.imag();
        }
    }
    return info;
}
