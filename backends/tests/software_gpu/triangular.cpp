// cuBLAS: triangular systems, and factorisations of many small matrices.
#include "dense.h"
#include <mutex>
#include <unordered_set>

enum Status {
    SUCCESS = 0,
    NOT_INITIALIZED = 1,
    INVALID_VALUE = 7,
    EXECUTION_FAILED = 13,
    NOT_SUPPORTED = 15,
};

struct Handle {
    void* stream = nullptr;
    int pointer_mode = 0, math_mode = 0;
};

static std::mutex the_lock;
static auto& handles = *new std::unordered_set<Handle*>;

static bool known(Handle* h) {
    std::lock_guard<std::mutex> lock(the_lock);
    return handles.count(h) != 0;
}

#define REFUSE(status, ...) \
    do {                    \
        SAY(__VA_ARGS__);   \
        return status;      \
    } while (0)

EXPORT int cublasCreate_v2(Handle** h) {
    if (h == nullptr) return INVALID_VALUE;
    if (!has_context()) return NOT_INITIALIZED;
    *h = new Handle;
    std::lock_guard<std::mutex> lock(the_lock);
    handles.insert(*h);
    return SUCCESS;
}
EXPORT int cublasDestroy_v2(Handle* h) {
    if (!known(h)) return NOT_INITIALIZED;
    std::lock_guard<std::mutex> lock(the_lock);
    handles.erase(h);
    return SUCCESS;
}
EXPORT int cublasGetVersion_v2(Handle* h, int* version) {
    if (version == nullptr) return INVALID_VALUE;
    *version = 120804;
    return SUCCESS;
}
EXPORT int cublasSetStream_v2(Handle* h, void* stream) {
    if (!known(h)) return NOT_INITIALIZED;
    h->stream = stream;
    return SUCCESS;
}
EXPORT int cublasGetStream_v2(Handle* h, void** stream) {
    if (!known(h)) return NOT_INITIALIZED;
    if (stream == nullptr) return INVALID_VALUE;
    *stream = h->stream;
    return SUCCESS;
}
EXPORT int cublasSetPointerMode_v2(Handle* h, int mode) {
    if (!known(h)) return NOT_INITIALIZED;
    if (mode != 0 && mode != 1) return INVALID_VALUE;
    h->pointer_mode = mode;
    return SUCCESS;
}
EXPORT int cublasGetPointerMode_v2(Handle* h, int* mode) {
    if (!known(h)) return NOT_INITIALIZED;
    if (mode == nullptr) return INVALID_VALUE;
    *mode = h->pointer_mode;
    return SUCCESS;
}
EXPORT int cublasSetMathMode(Handle* h, int mode) {
    if (!known(h)) return NOT_INITIALIZED;
    if (mode < 0) return INVALID_VALUE;
    h->math_mode = mode;
    return SUCCESS;
}
EXPORT int cublasSetWorkspace_v2(Handle* h, void* workspace, size_t bytes) {
    if (!known(h)) return NOT_INITIALIZED;
    if ((u64)workspace % 256 != 0 || (bytes > 0 && !softwareGpuIsMemory((u64)workspace, bytes)))
        REFUSE(INVALID_VALUE, "cublasSetWorkspace: no device memory of %zu bytes that is aligned to 256", bytes);
    return SUCCESS;
}

static int queued(int result) { return result == 0 ? SUCCESS : EXECUTION_FAILED; }

static size_t extent(int rows, int cols, int ld, int type) {
    return rows == 0 || cols == 0 ? 0 : ((size_t)(cols - 1) * (size_t)ld + (size_t)rows) * bytes_of(type);
}
static char* place(u64 at, int rows, int cols, int ld, int type, const char* what) { return (char*)softwareGpuTranslate(at, extent(rows, cols, ld, type), what); }

// ---- trsm

struct Triangle {
    int side, uplo, trans, diag, m, n, lda, ldb, type;
    complex alpha;
    u64 alpha_at;
    int order() const { return side == 0 ? m : n; }
};

static void solve(const Triangle& t, complex alpha, u64 a_at, u64 b_at) {
    const char* pa = place(a_at, t.order(), t.order(), t.lda, t.type, "cublas trsm: A");
    char* pb = place(b_at, t.m, t.n, t.ldb, t.type, "cublas trsm: B");
    if (pa == nullptr || pb == nullptr) return;
    const Dense a = read(pa, t.type, (size_t)t.order(), (size_t)t.order(), (size_t)t.lda);
    Dense b = read(pb, t.type, (size_t)t.m, (size_t)t.n, (size_t)t.ldb);
    for (complex& x : b.x) x = alpha == 0.0 ? 0.0 : alpha * x;
    const bool upper = t.uplo == 1, unit = t.diag == 1;
    if (t.side == 0) {
        solve_triangle(a, upper, t.trans, unit, b);
    } else {
        // X op(A) = B: op(A)^T X^T = B^T
        Dense bt = transposed(b, 1);
        if (t.trans == 2) {
            // conj(A) X^T = B^T
            Dense conjugate = a;
            for (complex& x : conjugate.x) x = std::conj(x);
            solve_triangle(conjugate, upper, 0, unit, bt);
        } else {
            solve_triangle(a, upper, t.trans == 0 ? 1 : 0, unit, bt);
        }
        b = transposed(bt, 1);
    }
    write(b, pb, t.type, (size_t)t.ldb);
}

static int check(Handle* h, Triangle& t, const void* alpha, const void* a, const void* b) {
    if (!known(h)) return NOT_INITIALIZED;
    if (t.side < 0 || t.side > 1 || t.uplo < 0 || t.uplo > 1 || t.trans < 0 || t.trans > 2 || t.diag < 0 || t.diag > 1) return INVALID_VALUE;
    if (t.m < 0 || t.n < 0 || t.lda < std::max(1, t.order()) || t.ldb < std::max(1, t.m))
        REFUSE(INVALID_VALUE, "cublas trsm: %d x %d with leading dimensions %d and %d", t.m, t.n, t.lda, t.ldb);
    if (alpha == nullptr || a == nullptr || b == nullptr) return INVALID_VALUE;
    t.alpha_at = h->pointer_mode == 1 ? (u64)alpha : 0;
    if (t.alpha_at == 0) t.alpha = load(alpha, t.type, 0);
    return SUCCESS;
}
static bool scale(const Triangle& t, complex& alpha) {
    alpha = t.alpha;
    if (t.alpha_at == 0) return true;
    const void* p = softwareGpuTranslate(t.alpha_at, bytes_of(t.type), "cublas trsm: alpha");
    if (p != nullptr) alpha = load(p, t.type, 0);
    return p != nullptr;
}

static int trsm(Handle* h, Triangle t, const void* alpha, const void* a, void* b) {
    const int result = check(h, t, alpha, a, b);
    if (result != SUCCESS || t.m == 0 || t.n == 0) return result;
    return queued(enqueue(h->stream, "cublasTrsm", [t, a, b] {
        complex by;
        if (scale(t, by)) solve(t, by, (u64)a, (u64)b);
    }));
}

// the addresses that an array in device memory holds
static const u64* addresses(const void* at, int count, const char* what) { return (const u64*)softwareGpuTranslate((u64)at, (size_t)count * 8, what); }

static int trsm_batched(Handle* h, Triangle t, const void* alpha, const void* a, const void* b, int batch) {
    const int result = check(h, t, alpha, a, b);
    if (batch < 0) return INVALID_VALUE;
    if (result != SUCCESS || t.m == 0 || t.n == 0 || batch == 0) return result;
    return queued(enqueue(h->stream, "cublasTrsmBatched", [t, a, b, batch] {
        complex by;
        const u64 *as = addresses(a, batch, "cublas trsmBatched: the array of A"), *bs = addresses(b, batch, "cublas trsmBatched: the array of B");
        if (as == nullptr || bs == nullptr || !scale(t, by)) return;
        for (int i = 0; i < batch; i++) solve(t, by, as[i], bs[i]);
    }));
}

// ---- LU and QR of many matrices

struct Many {
    int n, lda, batch, type;
    u64 a, pivots, info;
};

static int check(Handle* h, const Many& m, const char* name) {
    if (!known(h)) return NOT_INITIALIZED;
    if (m.n < 0 || m.batch < 0 || m.lda < std::max(1, m.n)) REFUSE(INVALID_VALUE, "%s: n = %d, leading dimension %d, %d of them", name, m.n, m.lda, m.batch);
    if (m.a == 0) return INVALID_VALUE;
    return SUCCESS;
}

static int getrf_batched(Handle* h, Many m) {
    const int result = check(h, m, "cublas getrfBatched");
    if (result != SUCCESS || m.n == 0 || m.batch == 0) return result;
    if (m.info == 0) return INVALID_VALUE;
    return queued(enqueue(h->stream, "cublasGetrfBatched", [m] {
        const u64* as = addresses((void*)m.a, m.batch, "cublas getrfBatched: the array of A");
        int* info = (int*)softwareGpuTranslate(m.info, (size_t)m.batch * 4, "cublas getrfBatched: info");
        int* pivots = m.pivots != 0 ? (int*)softwareGpuTranslate(m.pivots, (size_t)m.batch * (size_t)m.n * 4, "cublas getrfBatched: pivots") : nullptr;
        if (as == nullptr || info == nullptr || (m.pivots != 0 && pivots == nullptr)) return;
        for (int i = 0; i < m.batch; i++) {
            char* p = place(as[i], m.n, m.n, m.lda, m.type, "cublas getrfBatched: A");
            if (p == nullptr) return;
            Dense a = read(p, m.type, (size_t)m.n, (size_t)m.n, (size_t)m.lda);
            std::vector<size_t> rows;
            info[i] = lu(a, rows, pivots != nullptr);
            for (size_t k = 0; k < rows.size() && pivots != nullptr; k++) pivots[(size_t)i * rows.size() + k] = (int)rows[k] + 1;
            write(a, p, m.type, (size_t)m.lda);
        }
    }));
}

// the pivots of one matrix, from 0; whether they are such
static bool pivots_of(const Many& m, int i, std::vector<size_t>& rows) {
    rows.resize((size_t)m.n);
    for (size_t k = 0; k < rows.size(); k++) rows[k] = k;
    if (m.pivots == 0) return true;
    const int* p = (const int*)softwareGpuTranslate(m.pivots + (u64)i * (u64)m.n * 4, (size_t)m.n * 4, "cublas: pivots");
    if (p == nullptr) return false;
    for (size_t k = 0; k < rows.size(); k++) {
        if (p[k] < 1 || p[k] > m.n) {
            SAY("cublas: row %d of %d is a pivot", p[k], m.n);
            return false;
        }
        rows[k] = (size_t)p[k] - 1;
    }
    return true;
}

static int getrs_batched(Handle* h, Many m, int trans, int columns, u64 b, int ldb, int* info) {
    const int result = check(h, m, "cublas getrsBatched");
    if (result != SUCCESS) return result;
    if (info == nullptr || trans < 0 || trans > 2 || columns < 0 || ldb < std::max(1, m.n) || b == 0) return INVALID_VALUE;
    // this one is the host's, and says whether the call was right
    *info = 0;
    if (m.n == 0 || m.batch == 0 || columns == 0) return SUCCESS;
    return queued(enqueue(h->stream, "cublasGetrsBatched", [=] {
        const u64 *as = addresses((void*)m.a, m.batch, "cublas getrsBatched: the array of A"), *bs = addresses((void*)b, m.batch, "cublas getrsBatched: the array of B");
        if (as == nullptr || bs == nullptr) return;
        for (int i = 0; i < m.batch; i++) {
            const char* pa = place(as[i], m.n, m.n, m.lda, m.type, "cublas getrsBatched: A");
            char* pb = place(bs[i], m.n, columns, ldb, m.type, "cublas getrsBatched: B");
            std::vector<size_t> rows;
            if (pa == nullptr || pb == nullptr || !pivots_of(m, i, rows)) return;
            Dense x = read(pb, m.type, (size_t)m.n, (size_t)columns, (size_t)ldb);
            lu_solve(read(pa, m.type, (size_t)m.n, (size_t)m.n, (size_t)m.lda), rows, trans, x);
            write(x, pb, m.type, (size_t)ldb);
        }
    }));
}

static int getri_batched(Handle* h, Many m, u64 c, int ldc) {
    const int result = check(h, m, "cublas getriBatched");
    if (result != SUCCESS || m.n == 0 || m.batch == 0) return result;
    if (m.info == 0 || c == 0 || ldc < std::max(1, m.n)) return INVALID_VALUE;
    return queued(enqueue(h->stream, "cublasGetriBatched", [=] {
        const u64 *as = addresses((void*)m.a, m.batch, "cublas getriBatched: the array of A"), *cs = addresses((void*)c, m.batch, "cublas getriBatched: the array of C");
        int* info = (int*)softwareGpuTranslate(m.info, (size_t)m.batch * 4, "cublas getriBatched: info");
        if (as == nullptr || cs == nullptr || info == nullptr) return;
        for (int i = 0; i < m.batch; i++) {
            const char* pa = place(as[i], m.n, m.n, m.lda, m.type, "cublas getriBatched: A");
            char* pc = place(cs[i], m.n, m.n, ldc, m.type, "cublas getriBatched: C");
            std::vector<size_t> rows;
            if (pa == nullptr || pc == nullptr || !pivots_of(m, i, rows)) return;
            const Dense a = read(pa, m.type, (size_t)m.n, (size_t)m.n, (size_t)m.lda);
            info[i] = 0;
            for (size_t k = a.rows; k-- > 0;)
                if (a(k, k) == 0.0) info[i] = (int)k + 1;
            if (info[i] != 0) continue;
            Dense x = identity((size_t)m.n);
            lu_solve(a, rows, 0, x);
            write(x, pc, m.type, (size_t)ldc);
        }
    }));
}

static int geqrf_batched(Handle* h, int rows, const Many& m, int* info) {
    if (!known(h)) return NOT_INITIALIZED;
    if (info == nullptr || rows < 0 || m.n < 0 || m.batch < 0 || m.lda < std::max(1, rows) || m.a == 0 || m.pivots == 0) return INVALID_VALUE;
    *info = 0;
    if (rows == 0 || m.n == 0 || m.batch == 0) return SUCCESS;
    return queued(enqueue(h->stream, "cublasGeqrfBatched", [=] {
        const u64 *as = addresses((void*)m.a, m.batch, "cublas geqrfBatched: the array of A"), *ts = addresses((void*)m.pivots, m.batch, "cublas geqrfBatched: the array of tau");
        if (as == nullptr || ts == nullptr) return;
        for (int i = 0; i < m.batch; i++) {
            const int k = std::min(rows, m.n);
            char *pa = place(as[i], rows, m.n, m.lda, m.type, "cublas geqrfBatched: A"), *pt = place(ts[i], k, 1, k, m.type, "cublas geqrfBatched: tau");
            if (pa == nullptr || pt == nullptr) return;
            Dense a = read(pa, m.type, (size_t)rows, (size_t)m.n, (size_t)m.lda);
            const std::vector<complex> taus = qr(a);
            write(a, pa, m.type, (size_t)m.lda);
            for (size_t j = 0; j < taus.size(); j++) store(pt, m.type, j, taus[j]);
        }
    }));
}

#define FOR_TYPE(X, type)                                                                                                                   \
    EXPORT int cublas##X##trsm_v2(Handle* h, int side, int uplo, int trans, int diag, int m, int n, const void* alpha, const void* a, int lda, \
                                  void* b, int ldb) {                                                                                       \
        return trsm(h, {side, uplo, trans, diag, m, n, lda, ldb, type, 0, 0}, alpha, a, b);                                                 \
    }                                                                                                                                       \
    EXPORT int cublas##X##trsmBatched(Handle* h, int side, int uplo, int trans, int diag, int m, int n, const void* alpha, const void* a,   \
                                      int lda, const void* b, int ldb, int batch) {                                                         \
        return trsm_batched(h, {side, uplo, trans, diag, m, n, lda, ldb, type, 0, 0}, alpha, a, b, batch);                                  \
    }                                                                                                                                       \
    EXPORT int cublas##X##getrfBatched(Handle* h, int n, void* a, int lda, int* pivots, int* info, int batch) {                             \
        return getrf_batched(h, {n, lda, batch, type, (u64)a, (u64)pivots, (u64)info});                                                     \
    }                                                                                                                                       \
    EXPORT int cublas##X##getrsBatched(Handle* h, int trans, int n, int columns, const void* a, int lda, const int* pivots, void* b, int ldb, \
                                       int* info, int batch) {                                                                              \
        return getrs_batched(h, {n, lda, batch, type, (u64)a, (u64)pivots, 0}, trans, columns, (u64)b, ldb, info);                          \
    }                                                                                                                                       \
    EXPORT int cublas##X##getriBatched(Handle* h, int n, const void* a, int lda, const int* pivots, void* c, int ldc, int* info, int batch) { \
        return getri_batched(h, {n, lda, batch, type, (u64)a, (u64)pivots, (u64)info}, (u64)c, ldc);                                        \
    }                                                                                                                                       \
    EXPORT int cublas##X##geqrfBatched(Handle* h, int m, int n, void* a, int lda, void* tau, int* info, int batch) {                        \
        return geqrf_batched(h, m, {n, lda, batch, type, (u64)a, (u64)tau, 0}, info);                                                       \
    }
FOR_TYPE(S, R_32F)
FOR_TYPE(D, R_64F)
FOR_TYPE(C, C_32F)
FOR_TYPE(Z, C_64F)
