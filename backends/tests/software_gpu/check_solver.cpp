// Factorisations, eigenvalues and singular values.
#include "check_dense.h"

static const char* const SOLVER = "libcusolver.so.11";

static void* handle() {
    void* h = nullptr;
    OK(call(SOLVER, "cusolverDnCreate", &h));
    return h;
}
static void* params() {
    void* p = nullptr;
    OK(call(SOLVER, "cusolverDnCreateParams", &p));
    return p;
}
static Matrix positive(int n, const Type& t, unsigned state) {
    const Matrix a = random_matrix(n, n, t, state);
    Matrix h = a * turned(a, true);
    for (int i = 0; i < n; i++) h(i, i) += 1.0;
    return as(h, t);
}
static Matrix triangle(const Matrix& a, bool upper, bool one) {
    Matrix t(a.rows, a.cols);
    for (int i = 0; i < a.rows; i++)
        for (int j = 0; j < a.cols; j++)
            if (upper ? i <= j : i >= j) t(i, j) = i == j && one ? 1.0 : a(i, j);
    return t;
}
static Matrix part(const Matrix& a, int rows, int cols) {
    Matrix b(rows, cols);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) b(i, j) = a(i, j);
    return b;
}
static Matrix diagonal(const Matrix& values, int rows, int cols) {
    Matrix d(rows, cols);
    for (int i = 0; i < rows && i < cols; i++) d(i, i) = values(i, 0);
    return d;
}

// a workspace on the device and one on the host
struct Room {
    size_t device = 0, host = 0;
    CUdeviceptr at = 0;
    std::vector<char> mine;
    void take() {
        CHECK(device > 0);
        at = room(device);
        mine.resize(host + 1);
    }
};

static void cholesky() {
    void *h = handle(), *p = params();
    for (const Type& t : types)
        for (int uplo : {0, 1}) {
            const int n = 5, ld = 7;
            const Matrix a = positive(n, t, 3);
            Matrix half = triangle(a, uplo == 1, false);
            for (int i = 0; i < n; i++)
                for (int j = 0; j < n; j++)
                    if (uplo == 1 ? i > j : i < j) half(i, j) = 77;
            const CUdeviceptr d = upload(half, t, ld), info = room(4);
            Room w;
            OK(call(SOLVER, "cusolverDnXpotrf_bufferSize", h, p, uplo, (long long)n, t.number, (const void*)d, (long long)ld, t.number, &w.device, &w.host));
            w.take();
            OK(call(SOLVER, "cusolverDnXpotrf", h, p, uplo, (long long)n, t.number, (void*)d, (long long)ld, t.number, (void*)w.at, w.device,
                    (void*)w.mine.data(), w.host, (int*)info));
            EQUAL(download<int>(info, 1)[0], 0);
            const Matrix f = download(d, n, n, t.number, ld), l = triangle(f, uplo == 1, false);
            NEAR(distance(uplo == 1 ? turned(l, true) * l : l * turned(l, true), a), 0, 10 * t.exact);
            CHECK(uplo == 1 ? f(4, 0) == 77.0 : f(0, 4) == 77.0);
            // not positive from the third on; and many of them
            Matrix bad = a;
            bad(2, 2) = -1;
            const CUdeviceptr good = upload(a, t), worse = upload(bad, t), both = upload(std::vector<uint64_t>{good, worse}), infos = room(8);
            OK(call(SOLVER, named("cusolverDn", t, "potrfBatched").c_str(), h, uplo, n, (void*)both, n, (int*)infos, 2));
            EQUAL(download<int>(infos, 2)[0], 0);
            EQUAL(download<int>(infos, 2)[1], 3);
            NEAR(distance(triangle(download(good, n, n, t.number), uplo == 1, false), l), 0, 0);
            EQUAL(call(SOLVER, "cusolverDnXpotrf", h, p, uplo, (long long)n, t.number, (void*)d, (long long)ld, t.number, (void*)w.at, w.device - 1,
                       (void*)w.mine.data(), w.host, (int*)info), 3);
        }
}

static void lu() {
    void *h = handle(), *p = params();
    for (const Type& t : types) {
        const int n = 5;
        const Matrix a = as(random_matrix(n, n, t, 8), t), b = as(random_matrix(n, 2, t, 9), t);
        const CUdeviceptr d = upload(a, t), info = room(4), pivots = room(40);
        Room w;
        OK(call(SOLVER, "cusolverDnXgetrf_bufferSize", h, p, (long long)n, (long long)n, t.number, (const void*)d, (long long)n, t.number, &w.device, &w.host));
        w.take();
        OK(call(SOLVER, "cusolverDnXgetrf", h, p, (long long)n, (long long)n, t.number, (void*)d, (long long)n, (long long*)pivots, t.number, (void*)w.at,
                w.device, (void*)w.mine.data(), w.host, (int*)info));
        EQUAL(download<int>(info, 1)[0], 0);
        const auto rows = download<long long>(pivots, n);
        const Matrix f = download(d, n, n, t.number);
        Matrix pa = a;
        for (int k = 0; k < n; k++)
            for (int j = 0; j < n; j++) std::swap(pa(k, j), pa((int)rows[k] - 1, j));
        NEAR(distance(triangle(f, false, true) * triangle(f, true, false), pa), 0, t.exact);
        for (int trans : {0, 1, 2}) {
            const CUdeviceptr x = upload(b, t);
            OK(call(SOLVER, "cusolverDnXgetrs", h, p, trans, (long long)n, 2ll, t.number, (const void*)d, (long long)n, (const long long*)pivots, t.number, (void*)x,
                    (long long)n, (int*)info));
            NEAR(distance((trans == 0 ? a : turned(a, trans == 2)) * download(x, n, 2, t.number), b), 0, 100 * t.exact);
        }
        // of more rows than columns, the second of which is zero
        Matrix tall = as(random_matrix(4, 3, t, 10), t);
        for (int i = 0; i < 4; i++) tall(i, 1) = 0;
        const CUdeviceptr dt = upload(tall, t);
        OK(call(SOLVER, "cusolverDnXgetrf", h, p, 4ll, 3ll, t.number, (void*)dt, 4ll, (long long*)pivots, t.number, (void*)w.at, w.device, (void*)w.mine.data(),
                w.host, (int*)info));
        EQUAL(download<int>(info, 1)[0], 2);
    }
}

static void qr() {
    void *h = handle(), *p = params();
    for (const Type& t : types)
        for (int n : {3, 5, 7}) {
            const int m = 5, k = m < n ? m : n, ld = 6;
            const Matrix a = as(random_matrix(m, n, t, 21), t);
            const CUdeviceptr d = upload(a, t, ld), tau = room(k * t.bytes()), info = room(4);
            Room w;
            OK(call(SOLVER, "cusolverDnXgeqrf_bufferSize", h, p, (long long)m, (long long)n, t.number, (const void*)d, (long long)ld, t.number, (const void*)tau,
                    t.number, &w.device, &w.host));
            w.take();
            OK(call(SOLVER, "cusolverDnXgeqrf", h, p, (long long)m, (long long)n, t.number, (void*)d, (long long)ld, t.number, (void*)tau, t.number, (void*)w.at,
                    w.device, (void*)w.mine.data(), w.host, (int*)info));
            const Matrix r = part(triangle(download(d, m, n, t.number, ld), true, false), k, n);
            for (int i = 0; i < k; i++) NEAR(r(i, i).imag(), 0, 0);
            int lwork = 0;
            OK(call(SOLVER, (named("cusolverDn", t, t.complex() ? "ungqr" : "orgqr") + "_bufferSize").c_str(), h, m, k, k, (const void*)d, ld, (const void*)tau, &lwork));
            const CUdeviceptr work = room((size_t)lwork * t.bytes());
            EQUAL(call(SOLVER, named("cusolverDn", t, t.complex() ? "ungqr" : "orgqr").c_str(), h, m, k, k, (void*)d, ld, (const void*)tau, (void*)work, lwork - 1,
                       (int*)info), 3);
            OK(call(SOLVER, named("cusolverDn", t, t.complex() ? "ungqr" : "orgqr").c_str(), h, m, k, k, (void*)d, ld, (const void*)tau, (void*)work, lwork, (int*)info));
            EQUAL(download<int>(info, 1)[0], 0);
            const Matrix q = download(d, m, k, t.number, ld);
            NEAR(not_orthonormal(q), 0, t.exact);
            NEAR(distance(q * r, a), 0, t.exact);
        }
}

static void hermitian() {
    void *h = handle(), *p = params(), *settings = nullptr;
    OK(call(SOLVER, "cusolverDnCreateSyevjInfo", &settings));
    OK(call(SOLVER, "cusolverDnXsyevjSetTolerance", settings, 1e-7));
    OK(call(SOLVER, "cusolverDnXsyevjSetMaxSweeps", settings, 15));
    for (const Type& t : types)
        for (int uplo : {0, 1}) {
            const int n = 6;
            const Matrix x = random_matrix(n, n, t, 31), y = turned(x, true);
            Matrix a(n, n);
            for (size_t i = 0; i < a.x.size(); i++) a.x[i] = x.x[i] + y.x[i];
            a = as(a, t);
            const CUdeviceptr d = upload(triangle(a, uplo == 1, false), t), w = room(n * 8), info = room(4);
            Room r;
            OK(call(SOLVER, "cusolverDnXsyevd_bufferSize", h, p, 1, uplo, (long long)n, t.number, (const void*)d, (long long)n, t.real, (const void*)w, t.number,
                    &r.device, &r.host));
            r.take();
            OK(call(SOLVER, "cusolverDnXsyevd", h, p, 1, uplo, (long long)n, t.number, (void*)d, (long long)n, t.real, (void*)w, t.number, (void*)r.at, r.device,
                    (void*)r.mine.data(), r.host, (int*)info));
            EQUAL(download<int>(info, 1)[0], 0);
            const Matrix v = download(d, n, n, t.number), values = download(w, n, 1, t.real);
            NEAR(not_orthonormal(v), 0, t.exact);
            NEAR(distance(a * v, v * diagonal(values, n, n)), 0, 10 * t.exact);
            for (int i = 1; i < n; i++) CHECK(values(i, 0).real() >= values(i - 1, 0).real());
            // two of them one after the other
            const auto bytes = packed(triangle(a, uplo == 1, false), t.number, n);
            std::vector<char> twice = bytes;
            twice.insert(twice.end(), bytes.begin(), bytes.end());
            const CUdeviceptr d2 = upload(twice), w2 = room(n * 16), info2 = room(8), d3 = upload(twice);
            Room r2;
            OK(call(SOLVER, "cusolverDnXsyevBatched_bufferSize", h, p, 1, uplo, (long long)n, t.number, (const void*)d2, (long long)n, t.real, (const void*)w2,
                    t.number, &r2.device, &r2.host, 2ll));
            r2.take();
            OK(call(SOLVER, "cusolverDnXsyevBatched", h, p, 1, uplo, (long long)n, t.number, (void*)d2, (long long)n, t.real, (void*)w2, t.number, (void*)r2.at,
                    r2.device, (void*)r2.mine.data(), r2.host, (int*)info2, 2ll));
            EQUAL(download<int>(info2, 2)[1], 0);
            NEAR(distance(download(d2 + bytes.size(), n, n, t.number), v), 0, 0);
            NEAR(distance(download(w2, 2 * n, 1, t.real), [&] {
                Matrix two(2 * n, 1);
                for (int i = 0; i < 2 * n; i++) two(i, 0) = values(i % n, 0);
                return two;
            }()), 0, 0);
            const std::string name = named("cusolverDn", t, t.complex() ? "heevjBatched" : "syevjBatched");
            int lwork = 0;
            OK(call(SOLVER, (name + "_bufferSize").c_str(), h, 1, uplo, n, (const void*)d3, n, (const void*)w2, &lwork, settings, 2));
            const CUdeviceptr work = room((size_t)lwork * t.bytes());
            OK(call(SOLVER, name.c_str(), h, 1, uplo, n, (void*)d3, n, (void*)w2, (void*)work, lwork, (int*)info2, settings, 2));
            NEAR(distance(download(d3 + bytes.size(), n, n, t.number), v), 0, 0);
        }
    OK(call(SOLVER, "cusolverDnDestroySyevjInfo", settings));
}

static void singular() {
    void *h = handle(), *p = params(), *settings = nullptr;
    OK(call(SOLVER, "cusolverDnCreateGesvdjInfo", &settings));
    for (const Type& t : types)
        for (int rank : {4, 2}) {
            const int m = 6, n = 4;
            Matrix a = as(random_matrix(m, n, t, 51), t);
            for (int i = 0; i < m && rank == 2; i++) a(i, 2) = a(i, 0), a(i, 3) = 0;
            auto svd = [&](signed char ju, signed char jv, CUdeviceptr d, CUdeviceptr s, CUdeviceptr u, CUdeviceptr v, int ldv) {
                const CUdeviceptr info = room(4);
                Room r;
                OK(call(SOLVER, "cusolverDnXgesvd_bufferSize", h, p, ju, jv, (long long)m, (long long)n, t.number, (const void*)d, (long long)m, t.real, (const void*)s,
                        t.number, (const void*)u, (long long)m, t.number, (const void*)v, (long long)ldv, t.number, &r.device, &r.host));
                r.take();
                OK(call(SOLVER, "cusolverDnXgesvd", h, p, ju, jv, (long long)m, (long long)n, t.number, (void*)d, (long long)m, t.real, (void*)s, t.number, (void*)u,
                        (long long)m, t.number, (void*)v, (long long)ldv, t.number, (void*)r.at, r.device, (void*)r.mine.data(), r.host, (int*)info));
                EQUAL(download<int>(info, 1)[0], 0);
            };
            const CUdeviceptr d = upload(a, t), s = room(n * 8), u = room(m * m * t.bytes()), v = room(n * n * t.bytes());
            svd('A', 'A', d, s, u, v, n);
            const Matrix values = download(s, n, 1, t.real), fu = download(u, m, m, t.number), fv = download(v, n, n, t.number);
            NEAR(not_orthonormal(fu), 0, t.exact);
            NEAR(not_orthonormal(turned(fv, true)), 0, t.exact);
            NEAR(distance(fu * diagonal(values, m, n) * fv, a), 0, t.exact);
            for (int i = 1; i < n; i++) CHECK(values(i, 0).real() <= values(i - 1, 0).real());
            NEAR(values(3, 0).real() * (rank == 2), 0, t.exact);
            const CUdeviceptr d2 = upload(a, t), u2 = room(m * n * t.bytes());
            svd('S', 'O', d2, s, u2, 0, n);
            NEAR(distance(download(u2, m, n, t.number) * diagonal(values, n, n) * part(download(d2, m, n, t.number), n, n), a), 0, t.exact);
            // of many, wide and tall
            for (int turn : {0, 1}) {
                const Matrix b = turn ? turned(a, false) : a;
                const auto bytes = packed(b, t.number, b.rows);
                std::vector<char> twice = bytes;
                twice.insert(twice.end(), bytes.begin(), bytes.end());
                const CUdeviceptr db = upload(twice), sb = room(n * 16), ub = room(2 * b.rows * b.rows * t.bytes()), vb = room(2 * b.cols * b.cols * t.bytes()), info = room(8);
                int lwork = 0;
                const std::string name = named("cusolverDn", t, "gesvdjBatched");
                OK(call(SOLVER, (name + "_bufferSize").c_str(), h, 1, b.rows, b.cols, (const void*)db, b.rows, (const void*)sb, (const void*)ub, b.rows, (const void*)vb,
                        b.cols, &lwork, settings, 2));
                const CUdeviceptr work = room((size_t)lwork * t.bytes());
                OK(call(SOLVER, name.c_str(), h, 1, b.rows, b.cols, (void*)db, b.rows, (void*)sb, (void*)ub, b.rows, (void*)vb, b.cols, (void*)work, lwork, (int*)info,
                        settings, 2));
                EQUAL(download<int>(info, 2)[1], 0);
                const Matrix ub1 = download(ub + b.rows * b.rows * t.bytes(), b.rows, b.rows, t.number), vb1 = download(vb + b.cols * b.cols * t.bytes(), b.cols, b.cols, t.number);
                const Matrix s1 = part(download(sb, 2 * n, 1, t.real), n, 1);
                NEAR(distance(ub1 * diagonal(s1, b.rows, b.cols) * turned(vb1, true), b), 0, t.exact);
                NEAR(not_orthonormal(ub1), 0, t.exact);
            }
        }
}

// rows of zeros leave columns that rotations make smaller and smaller
static void few_directions() {
    void *h = handle(), *p = params();
    const int m = 30, n = 10;
    for (const Type& t : types) {
        Matrix a = as(random_matrix(m, n, t, 52), t);
        for (int i = 0; i < m; i++)
            for (int j = 0; j < n && i % 15 >= 3; j++) a(i, j) = 0;
        const CUdeviceptr d = upload(a, t), s = room(n * 8), info = room(4);
        const CUdeviceptr u = room(m * m * t.bytes()), v = room(n * n * t.bytes());
        Room r;
        OK(call(SOLVER, "cusolverDnXgesvd_bufferSize", h, p, 'A', 'A', (long long)m, (long long)n, t.number, (const void*)d, (long long)m, t.real, (const void*)s,
                t.number, (const void*)u, (long long)m, t.number, (const void*)v, (long long)n, t.number, &r.device, &r.host));
        r.take();
        OK(call(SOLVER, "cusolverDnXgesvd", h, p, 'A', 'A', (long long)m, (long long)n, t.number, (void*)d, (long long)m, t.real, (void*)s, t.number, (void*)u,
                (long long)m, t.number, (void*)v, (long long)n, t.number, (void*)r.at, r.device, (void*)r.mine.data(), r.host, (int*)info));
        EQUAL(download<int>(info, 1)[0], 0);
        const Matrix values = download(s, n, 1, t.real);
        CHECK(values(5, 0).real() > 0.01);
        for (int i = 6; i < n; i++) NEAR(values(i, 0).real(), 0, t.exact);
        NEAR(distance(download(u, m, m, t.number) * diagonal(values, m, n) * download(v, n, n, t.number), a), 0, 30 * t.exact);
    }
}

static void general() {
    void *h = handle(), *p = params();
    for (const Type& t : types)
        for (int n : {1, 2, 3, 6, 9})
            for (int wide : {0, 1}) {
                Matrix a = as(random_matrix(n, n, t, 61 + n), t);
                // a rotation, whose values are not real
                if (n == 2) a(0, 0) = a(1, 1) = 0.0, a(0, 1) = -1.0, a(1, 0) = 1.0;
                const int type_w = t.complex() || !wide ? t.number : t.number + 4;
                const CUdeviceptr d = upload(a, t), w = room(n * 16), v = room(n * n * t.bytes()), info = room(4);
                Room r;
                OK(call(SOLVER, "cusolverDnXgeev_bufferSize", h, p, 0, 1, (long long)n, t.number, (const void*)d, (long long)n, type_w, (const void*)w, t.number,
                        (const void*)nullptr, 1ll, t.number, (const void*)v, (long long)n, t.number, &r.device, &r.host));
                r.take();
                CHECK(r.host > 0);
                OK(call(SOLVER, "cusolverDnXgeev", h, p, 0, 1, (long long)n, t.number, (void*)d, (long long)n, type_w, (void*)w, t.number, (void*)nullptr, 1ll, t.number,
                        (void*)v, (long long)n, t.number, (void*)r.at, r.device, (void*)r.mine.data(), r.host, (int*)info));
                EQUAL(download<int>(info, 1)[0], 0);
                Matrix values(n, 1), vectors = download(v, n, n, t.number);
                if (type_w > 3) {
                    values = download(w, n, 1, type_w);
                } else {
                    const Matrix both = download(w, 2 * n, 1, type_w);
                    for (int i = 0; i < n; i++) values(i, 0) = complex(both(i, 0).real(), both(n + i, 0).real());
                }
                for (int j = 0; j < n && !t.complex(); j++) {
                    if (values(j, 0).imag() == 0) continue;
                    CHECK(j + 1 < n && values(j, 0).imag() > 0 && values(j + 1, 0) == std::conj(values(j, 0)));
                    for (int i = 0; i < n && j + 1 < n; i++) {
                        const complex z(vectors(i, j).real(), vectors(i, j + 1).real());
                        vectors(i, j) = z, vectors(i, j + 1) = std::conj(z);
                    }
                    j++;
                }
                NEAR(distance(a * vectors, vectors * diagonal(values, n, n)), 0, 10 * t.exact);
                complex trace = 0, sum = 0;
                for (int j = 0; j < n; j++) {
                    double length = 0;
                    for (int i = 0; i < n; i++) length += std::norm(vectors(i, j));
                    NEAR(length, 1, t.exact);
                    trace += a(j, j), sum += values(j, 0);
                }
                NEAR(std::abs(trace - sum), 0, 10 * t.exact);
            }
    // left vectors, and captures
    size_t x, y;
    EQUAL(call(SOLVER, "cusolverDnXgeev_bufferSize", h, p, 1, 1, 2ll, 0, (const void*)nullptr, 2ll, 4, (const void*)nullptr, 0, (const void*)nullptr, 2ll, 0,
               (const void*)nullptr, 2ll, 0, &x, &y), 3);
}

static void refused() {
    void *h = handle(), *p = params();
    int version = 0;
    OK(call(SOLVER, "cusolverGetVersion", &version));
    CHECK(version >= 11000);
    size_t device, host;
    auto potrf = [&](int uplo, long long n, int type, long long ld, int compute) {
        return call(SOLVER, "cusolverDnXpotrf_bufferSize", h, p, uplo, n, type, (const void*)1024, ld, compute, &device, &host);
    };
    OK(potrf(0, 4, 0, 4, 0));
    EQUAL(potrf(2, 4, 0, 4, 0), 3);
    EQUAL(potrf(0, -1, 0, 4, 0), 3);
    EQUAL(potrf(0, 4, 0, 3, 0), 3);
    EQUAL(potrf(0, 4, 0, 4, 1), 3);
    EQUAL(potrf(0, 4, 2, 4, 2), 3);
    EQUAL(call(SOLVER, "cusolverDnXgesvd_bufferSize", h, p, (signed char)'A', (signed char)'A', 2ll, 3ll, 0, (const void*)1024, 2ll, 0, (const void*)nullptr, 0,
               (const void*)nullptr, 2ll, 0, (const void*)nullptr, 3ll, 0, &device, &host), 3);
    // what works on the host, too, is not captured
    CUstream s = nullptr;
    CUgraph g = nullptr;
    OK(cu("cuStreamCreate", &s, 1u));
    OK(call(SOLVER, "cusolverDnSetStream", h, (void*)s));
    void *seen = nullptr, *settings = nullptr;
    OK(call(SOLVER, "cusolverDnGetStream", h, &seen));
    CHECK(seen == (void*)s);
    OK(call(SOLVER, "cusolverDnSetAdvOptions", p, 0, 0));
    EQUAL(call(SOLVER, "cusolverDnSetAdvOptions", p, 9, 0), 3);
    OK(call(SOLVER, "cusolverDnCreateGesvdjInfo", &settings));
    OK(call(SOLVER, "cusolverDnXgesvdjSetTolerance", settings, 1e-6));
    OK(call(SOLVER, "cusolverDnXgesvdjSetMaxSweeps", settings, 10));
    OK(call(SOLVER, "cusolverDnXgesvdjSetSortEig", settings, 1));
    EQUAL(call(SOLVER, "cusolverDnXsyevjSetSortEig", settings, 1), 3);
    int lwork = 0;
    EQUAL(call(SOLVER, "cusolverDnSgesvdjBatched_bufferSize", h, 1, 33, 4, (const void*)1024, 33, (const void*)1024, (const void*)1024, 33, (const void*)1024, 4,
               &lwork, settings, 1), 3);
    OK(call(SOLVER, "cusolverDnDestroyGesvdjInfo", settings));
    EQUAL(call(SOLVER, "cusolverDnDestroyGesvdjInfo", settings), 3);
    Room r;
    const CUdeviceptr d = room(64), w = room(16), info = room(4);
    OK(call(SOLVER, "cusolverDnXsyevd_bufferSize", h, p, 1, 0, 4ll, 0, (const void*)d, 4ll, 0, (const void*)w, 0, &r.device, &r.host));
    r.take();
    OK(cu("cuStreamBeginCapture_v2", s, 0));
    EQUAL(call(SOLVER, "cusolverDnXsyevd", h, p, 1, 0, 4ll, 0, (void*)d, 4ll, 0, (void*)w, 0, (void*)r.at, r.device, (void*)r.mine.data(), r.host, (int*)info), 7);
    EQUAL(cu("cuStreamEndCapture", s, &g), 901);
    // info in the memory of the host
    int mine = 0;
    OK(call(SOLVER, "cusolverDnXsyevd", h, p, 1, 0, 4ll, 0, (void*)d, 4ll, 0, (void*)w, 0, (void*)r.at, r.device, (void*)r.mine.data(), r.host, &mine));
    EQUAL(cu("cuStreamSynchronize", s), 700);
    OK(call(SOLVER, "cusolverDnDestroyParams", p));
    EQUAL(potrf(0, 4, 0, 4, 0), 3);
    OK(call(SOLVER, "cusolverDnDestroy", h));
    EQUAL(call(SOLVER, "cusolverDnDestroy", h), 1);
}

void check_solver() {
    apart("Cholesky", [] { begin(); cholesky(); });
    apart("LU", [] { begin(); lu(); });
    apart("QR", [] { begin(); qr(); });
    apart("eigenvalues of Hermitian matrices", [] { begin(); hermitian(); });
    apart("singular values", [] { begin(); singular(); });
    apart("singular values of few directions", [] { begin(); few_directions(); });
    apart("eigenvalues of any matrices", [] { begin(); general(); });
    apart("refused factorisations", [] { begin(); refused(); });
}
