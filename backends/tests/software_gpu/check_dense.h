// Matrices of tests, of all four types: in complex f64 here, as the type has them on the device.
#pragma once
#include "check.h"
#include <complex>

typedef std::complex<double> complex;

struct Matrix {
    int rows, cols;
    std::vector<complex> x;
    Matrix(int r, int c) : rows(r), cols(c), x((size_t)(r * c)) {}
    complex& operator()(int i, int j) { return x[(size_t)(i + j * rows)]; }
    const complex& operator()(int i, int j) const { return x[(size_t)(i + j * rows)]; }
};

// the four types: their names in functions, their numbers, and how exact they are
struct Type {
    char name;
    int number, real;
    double exact;
    bool complex() const { return number > 3; }
    size_t bytes() const { return number == 0 ? 4 : number == 5 ? 16 : 8; }
};
static const Type types[] = {{'S', 0, 0, 2e-5}, {'D', 1, 1, 1e-12}, {'C', 4, 0, 2e-5}, {'Z', 5, 1, 1e-12}};

static inline Matrix random_matrix(int rows, int cols, const Type& t, unsigned state) {
    Matrix a(rows, cols);
    auto next = [&] {
        state = state * 1664525u + 1013904223u;
        return (double)((int)(state >> 16) - 32768) / 32768.0;
    };
    for (complex& x : a.x) {
        x = next();
        if (t.complex()) x += complex(0, next());
    }
    return a;
}
static inline Matrix operator*(const Matrix& a, const Matrix& b) {
    Matrix c(a.rows, b.cols);
    for (int i = 0; i < a.rows; i++)
        for (int j = 0; j < b.cols; j++)
            for (int k = 0; k < a.cols; k++) c(i, j) += a(i, k) * b(k, j);
    return c;
}
static inline Matrix turned(const Matrix& a, bool conjugate) {
    Matrix b(a.cols, a.rows);
    for (int i = 0; i < a.rows; i++)
        for (int j = 0; j < a.cols; j++) b(j, i) = conjugate ? std::conj(a(i, j)) : a(i, j);
    return b;
}
static inline double distance(const Matrix& a, const Matrix& b) {
    double d = a.rows == b.rows && a.cols == b.cols ? 0 : 1e9;
    for (size_t i = 0; i < a.x.size() && d < 1e9; i++) d = std::fmax(d, std::abs(a.x[i] - b.x[i]));
    return d;
}
static inline Matrix unit(int n) {
    Matrix e(n, n);
    for (int i = 0; i < n; i++) e(i, i) = 1;
    return e;
}
static inline double not_orthonormal(const Matrix& a) { return distance(turned(a, true) * a, unit(a.cols)); }

// bytes as the type has them, with columns `ld` apart and something in between
static inline std::vector<char> packed(const Matrix& a, int number, int ld) {
    const size_t size = number == 0 ? 4 : number == 5 ? 16 : 8;
    std::vector<char> bytes((size_t)ld * (size_t)a.cols * size, 0x11);
    for (int j = 0; j < a.cols; j++)
        for (int i = 0; i < a.rows; i++) {
            char* p = &bytes[((size_t)i + (size_t)j * (size_t)ld) * size];
            const double d[2] = {a(i, j).real(), a(i, j).imag()};
            const float f[2] = {(float)d[0], (float)d[1]};
            memcpy(p, number == 0 || number == 4 ? (const void*)f : (const void*)d, size);
        }
    return bytes;
}
static inline CUdeviceptr upload(const Matrix& a, const Type& t, int ld = 0) {
    const auto bytes = packed(a, t.number, ld == 0 ? a.rows : ld);
    return upload(bytes.data(), bytes.size());
}
static inline Matrix download(CUdeviceptr p, int rows, int cols, int number, int ld = 0) {
    const size_t size = number == 0 ? 4 : number == 5 ? 16 : 8;
    if (ld == 0) ld = rows;
    const auto bytes = download<char>(p, ((size_t)ld * (size_t)(cols - 1) + (size_t)rows) * size);
    Matrix a(rows, cols);
    for (int j = 0; j < cols; j++)
        for (int i = 0; i < rows; i++) {
            const char* from = &bytes[((size_t)i + (size_t)j * (size_t)ld) * size];
            float f[2] = {0, 0};
            double d[2] = {0, 0};
            memcpy(number == 0 || number == 4 ? (void*)f : (void*)d, from, size);
            a(i, j) = number == 0 || number == 4 ? complex(f[0], f[1]) : complex(d[0], d[1]);
        }
    return a;
}
// the numbers in f32, where the type has no more
static inline Matrix as(const Matrix& a, const Type& t) {
    Matrix b = a;
    for (complex& x : b.x)
        if (t.real == 0) x = complex((float)x.real(), (float)x.imag());
    return b;
}
static inline std::string named(const char* before, const Type& t, const char* after) { return std::string(before) + t.name + after; }
