// Triangular systems and factorisations of many matrices.
#include "check_dense.h"

static const char* const BLAS = "libcublas.so.12";

static void* handle() {
    void* h = nullptr;
    OK(call(BLAS, "cublasCreate_v2", &h));
    return h;
}

static Matrix triangle(const Matrix& a, bool upper, bool one) {
    Matrix t(a.rows, a.cols);
    for (int i = 0; i < a.rows; i++)
        for (int j = 0; j < a.cols; j++)
            if (upper ? i <= j : i >= j) t(i, j) = i == j && one ? 1.0 : a(i, j);
    return t;
}

static void systems() {
    void* h = handle();
    for (const Type& t : types)
        for (int v = 0; v < 24; v++) {
            const int side = v & 1, uplo = v >> 1 & 1, diag = v >> 2 & 1, trans = v >> 3, m = 4, n = 3, order = side ? n : m;
            Matrix a = as(random_matrix(order, order, t, 17 + v), t);
            for (int i = 0; i < order; i++) a(i, i) += 3.0;
            const Matrix b = as(random_matrix(m, n, t, 99), t);
            const CUdeviceptr da = upload(a, t, order + 2), db = upload(b, t, m + 1);
            double alpha[2] = {2, 0};
            float alpha32[2] = {2, 0};
            const void* by = t.real == 0 ? (const void*)alpha32 : (const void*)alpha;
            OK(call(BLAS, named("cublas", t, "trsm_v2").c_str(), h, side, uplo, trans, diag, m, n, by, (const void*)da, order + 2, (void*)db, m + 1));
            const Matrix x = download(db, m, n, t.number, m + 1);
            Matrix op = triangle(a, uplo == 1, diag == 1);
            if (trans != 0) op = turned(op, trans == 2);
            Matrix back = side ? x * op : op * x;
            for (complex& c : back.x) c *= 0.5;
            NEAR(distance(back, b), 0, t.exact);
            // of many, and with alpha on the device
            const CUdeviceptr as = upload(std::vector<uint64_t>{da, da}), b1 = upload(b, t, m + 1), b2 = upload(b, t, m + 1);
            const CUdeviceptr bs = upload(std::vector<uint64_t>{b1, b2}), dalpha = upload(by, 16 / (t.real == 0 ? 2 : 1));
            OK(call(BLAS, "cublasSetPointerMode_v2", h, 1));
            OK(call(BLAS, named("cublas", t, "trsmBatched").c_str(), h, side, uplo, trans, diag, m, n, (const void*)dalpha, (const void*)as, order + 2,
                    (const void*)bs, m + 1, 2));
            NEAR(distance(download(b2, m, n, t.number, m + 1), x), 0, 0);
            NEAR(distance(download(b1, m, n, t.number, m + 1), x), 0, 0);
            OK(call(BLAS, "cublasSetPointerMode_v2", h, 0));
        }
}

static void factors() {
    void* h = handle();
    for (const Type& t : types) {
        const int n = 4;
        std::vector<Matrix> given;
        std::vector<uint64_t> at, right, inverse;
        const Matrix b = as(random_matrix(n, 2, t, 5), t);
        for (int i = 0; i < 3; i++) {
            given.push_back(as(random_matrix(n, n, t, 40 + i), t));
            if (i == 2)
                for (int k = 0; k < n; k++) given[2](k, 2) = 0;
            at.push_back(upload(given[i], t));
            right.push_back(upload(b, t));
            inverse.push_back(room(16 * t.bytes()));
        }
        const CUdeviceptr as = upload(at), bs = upload(right), cs = upload(inverse), pivots = room(48), info = room(12);
        OK(call(BLAS, named("cublas", t, "getrfBatched").c_str(), h, n, (void*)as, n, (int*)pivots, (int*)info, 3));
        const auto p = download<int>(pivots, 12), said = download<int>(info, 3);
        EQUAL(said[0], 0);
        EQUAL(said[2], 3);
        for (int i = 0; i < 2; i++) {
            const Matrix f = download(at[i], n, n, t.number);
            Matrix pa = given[i];
            for (int k = 0; k < n; k++)
                for (int j = 0; j < n; j++) std::swap(pa(k, j), pa(p[i * n + k] - 1, j));
            NEAR(distance(triangle(f, false, true) * triangle(f, true, false), pa), 0, t.exact);
            for (int k = 0; k < n; k++)
                for (int r = k + 1; r < n; r++) CHECK(std::abs(f(r, k)) <= 1.5);
        }
        int host = -1;
        OK(call(BLAS, named("cublas", t, "getrsBatched").c_str(), h, 2, n, 2, (const void*)as, n, (const int*)pivots, (void*)bs, n, &host, 2));
        EQUAL(host, 0);
        NEAR(distance(turned(given[1], true) * download(right[1], n, 2, t.number), b), 0, 20 * t.exact);
        OK(call(BLAS, named("cublas", t, "getriBatched").c_str(), h, n, (const void*)as, n, (const int*)pivots, (void*)cs, n, (int*)info, 3));
        NEAR(distance(given[0] * download(inverse[0], n, n, t.number), unit(n)), 0, 20 * t.exact);
        EQUAL(download<int>(info, 3)[2], 3);
        // without pivots, and QR
        at[0] = upload(given[0], t);
        const CUdeviceptr one = upload(std::vector<uint64_t>{at[0]}), tau = upload(std::vector<uint64_t>{room(4 * t.bytes())});
        OK(call(BLAS, named("cublas", t, "getrfBatched").c_str(), h, n, (void*)one, n, (int*)nullptr, (int*)info, 1));
        const Matrix f = download(at[0], n, n, t.number);
        NEAR(distance(triangle(f, false, true) * triangle(f, true, false), given[0]), 0, 100 * t.exact);
        const CUdeviceptr again = upload(given[1], t), array = upload(std::vector<uint64_t>{again});
        OK(call(BLAS, named("cublas", t, "geqrfBatched").c_str(), h, n, n, (void*)array, n, (void*)tau, &host, 1));
        // R^H R = A^H A
        const Matrix r = triangle(download(again, n, n, t.number), true, false);
        NEAR(distance(turned(r, true) * r, turned(given[1], true) * given[1]), 0, 10 * t.exact);
    }
}

static void refused() {
    void *h = handle(), *s = nullptr;
    int version = 0;
    const float one = 1;
    const CUdeviceptr d = room(256);
    OK(call(BLAS, "cublasGetVersion_v2", h, &version));
    CHECK(version >= 120000);
    auto trsm = [&](int side, int m, int lda, int ldb) {
        return call(BLAS, "cublasStrsm_v2", h, side, 0, 0, 0, m, 2, &one, (const void*)d, lda, (void*)d, ldb);
    };
    EQUAL(trsm(2, 2, 2, 2), 7);
    EQUAL(trsm(0, -1, 2, 2), 7);
    EQUAL(trsm(0, 3, 2, 3), 7);
    EQUAL(trsm(0, 3, 3, 2), 7);
    EQUAL(call(BLAS, "cublasSetWorkspace_v2", h, (void*)d, (size_t)512), 7);
    OK(call(BLAS, "cublasSetWorkspace_v2", h, (void*)d, (size_t)256));
    CUstream mine = nullptr;
    OK(cu("cuStreamCreate", &mine, 1u));
    OK(call(BLAS, "cublasSetStream_v2", h, (void*)mine));
    OK(call(BLAS, "cublasGetStream_v2", h, &s));
    CHECK(s == (void*)mine);
    int mode = -1;
    OK(call(BLAS, "cublasGetPointerMode_v2", h, &mode));
    EQUAL(mode, 0);
    EQUAL(call(BLAS, "cublasSetPointerMode_v2", h, 2), 7);
    OK(call(BLAS, "cublasSetMathMode", h, 3));
    // an array of pointers of the host's
    void* pointers[] = {(void*)d};
    OK(call(BLAS, "cublasSgetrfBatched", h, 2, (void*)pointers, 2, (int*)nullptr, (int*)d, 1));
    EQUAL(cu("cuStreamSynchronize", mine), 700);
    OK(call(BLAS, "cublasDestroy_v2", h));
    EQUAL(call(BLAS, "cublasDestroy_v2", h), 1);
    EQUAL(trsm(0, 2, 2, 2), 1);
}

void check_triangular() {
    apart("triangular systems", [] { begin(); systems(); });
    apart("factors of many", [] { begin(); factors(); });
    apart("refused triangles", [] { begin(); refused(); });
}
