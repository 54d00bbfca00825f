// cuSOLVER: the functions that have the type of numbers in their names.
#include "solver.h"


EXPORT int cusolverDnCreateGesvdjInfo(void** info) { return give(info, 'g'); }
EXPORT int cusolverDnDestroyGesvdjInfo(void* info) { return take_back(info, 'g'); }
EXPORT int cusolverDnCreateSyevjInfo(void** info) { return give(info, 'e'); }
EXPORT int cusolverDnDestroySyevjInfo(void* info) { return take_back(info, 'e'); }
// The rotations here go on until nothing is left to do, which is within any tolerance; results are sorted.
static int setting(void* info, char kind, bool valid) { return known(info, kind) && valid ? SUCCESS : INVALID_VALUE; }
EXPORT int cusolverDnXgesvdjSetTolerance(void* info, double tolerance) { return setting(info, 'g', tolerance >= 0); }
EXPORT int cusolverDnXgesvdjSetMaxSweeps(void* info, int sweeps) { return setting(info, 'g', sweeps >= 0); }
EXPORT int cusolverDnXgesvdjSetSortEig(void* info, int sort) { return setting(info, 'g', sort == 0 || sort == 1); }
EXPORT int cusolverDnXsyevjSetTolerance(void* info, double tolerance) { return setting(info, 'e', tolerance >= 0); }
EXPORT int cusolverDnXsyevjSetMaxSweeps(void* info, int sweeps) { return setting(info, 'e', sweeps >= 0); }
EXPORT int cusolverDnXsyevjSetSortEig(void* info, int sort) { return setting(info, 'e', sort == 0 || sort == 1); }

// ---- Q of a QR

static int orgqr_room(int n) { return n * 32 + 32; }
static int orgqr_check(void* h, int m, int n, int k, const Place& a) {
    if (!known(h, 'h')) return NOT_INITIALIZED;
    if (k < 0 || n < k || m < n || !a.valid()) REFUSE(INVALID_VALUE, "cusolver orgqr: %d columns of %d numbers of %d reflections", n, m, k);
    return SUCCESS;
}
static int orgqr_size(void* h, int m, int n, int k, const Place& a, int* lwork) {
    const int result = orgqr_check(h, m, n, k, a);
    if (result == SUCCESS && lwork == nullptr) return INVALID_VALUE;
    if (result == SUCCESS) *lwork = orgqr_room(n);
    return result;
}
static int orgqr(void* h, int m, int n, int k, const Place& a, const void* tau, void* work, int lwork, int* info) {
    const int result = orgqr_check(h, m, n, k, a);
    if (result != SUCCESS) return result;
    if (lwork < orgqr_room(n) || work == nullptr || info == nullptr || (tau == nullptr && k > 0))
        REFUSE(INVALID_VALUE, "cusolver orgqr: a workspace of %d numbers, not %d", lwork, orgqr_room(n));
    const Place taus = {(u64)tau, k, 1, std::max(1, k), a.type};
    return queued(enqueue(((Solver*)h)->stream, "cusolverDnOrgqr", [=] {
        int* said = info_at((u64)info, "cusolver orgqr: info");
        char *p = a.host("cusolver orgqr: A"), *t = taus.host("cusolver orgqr: tau");
        if (said == nullptr || p == nullptr || t == nullptr) return;
        if (!use_workspace((u64)work, (size_t)orgqr_room(n) * bytes_of(a.type), "cusolver orgqr: workspace")) return;
        std::vector<complex> factors;
        for (int i = 0; i < k; i++) factors.push_back(load(t, a.type, (size_t)i));
        write(orthogonal(read(a, p), factors, (size_t)n), a, p);
        *said = 0;
    }));
}

// ---- Cholesky of many

static int potrf_batched(void* h, int uplo, int n, const void* array, int lda, int type, int* info, int batch) {
    if (!known(h, 'h')) return NOT_INITIALIZED;
    if ((uplo != 0 && uplo != 1) || n < 0 || lda < std::max(1, n) || batch < 0 || array == nullptr || info == nullptr)
        REFUSE(INVALID_VALUE, "cusolver potrfBatched: n = %d, leading dimension %d, %d of them", n, lda, batch);
    return queued(enqueue(((Solver*)h)->stream, "cusolverDnPotrfBatched", [=] {
        const u64* all = (const u64*)softwareGpuTranslate((u64)array, (size_t)batch * 8, "cusolver potrfBatched: the array of A");
        int* said = info_at((u64)info, "cusolver potrfBatched: info", (size_t)batch);
        if (all == nullptr || said == nullptr) return;
        for (int i = 0; i < batch; i++) {
            const Place a = {all[i], n, n, lda, type};
            char* p = a.host("cusolver potrfBatched: A");
            if (p == nullptr) return;
            Dense x = hermitian(read(a, p), uplo == 1);
            said[i] = cholesky(x);
            write_triangle(uplo == 1 ? adjoint(x) : x, p, type, (size_t)lda, uplo == 1);
        }
    }));
}

// ---- singular values of many

struct Svds {
    int job, m, n, batch;
    Place a, s, u, v;
    int room() const { return batch * (4 * m + 4 * n + 32); }
};
static Svds svds(int job, int m, int n, int batch, int type, const void* a, int lda, const void* s, const void* u, int ldu, const void* v, int ldv) {
    const int k = std::min(m, n);
    return {job, m, n, batch, {(u64)a, m, n, lda, type}, {(u64)s, k, 1, std::max(1, k), real_of(type)}, {(u64)u, m, m, ldu, type}, {(u64)v, n, n, ldv, type}};
}
static int check(void* h, const Svds& d, const void* params) {
    if (!known(h, 'h')) return NOT_INITIALIZED;
    if (!known(params, 'g')) return INVALID_VALUE;
    if (d.m > 32 || d.n > 32) REFUSE(INVALID_VALUE, "cusolver gesvdjBatched: %d x %d; there is room for 32", d.m, d.n);
    if ((d.job != NO_VECTORS && d.job != VECTORS) || d.batch < 0 || d.m < 0 || d.n < 0 || d.a.ld < std::max(1, d.m)) return INVALID_VALUE;
    if (d.job == VECTORS && (d.u.ld < std::max(1, d.m) || d.v.ld < std::max(1, d.n))) return INVALID_VALUE;
    return SUCCESS;
}
static int gesvdj_size(void* h, const Svds& d, const void* params, int* lwork) {
    const int result = check(h, d, params);
    if (result == SUCCESS && lwork == nullptr) return INVALID_VALUE;
    if (result == SUCCESS) *lwork = d.room();
    return result;
}
static int gesvdj(void* h, const Svds& d, const void* params, void* work, int lwork, int* info) {
    const int result = check(h, d, params);
    if (result != SUCCESS) return result;
    if (lwork < d.room() || work == nullptr || info == nullptr || !d.a.valid() || !d.s.valid() || (d.job == VECTORS && (!d.u.valid() || !d.v.valid())))
        REFUSE(INVALID_VALUE, "cusolver gesvdjBatched: a workspace of %d numbers, not %d, or memory that is missing", lwork, d.room());
    return queued(enqueue(((Solver*)h)->stream, "cusolverDnGesvdjBatched", [=] {
        int* said = info_at((u64)info, "cusolver gesvdjBatched: info", (size_t)d.batch);
        if (said == nullptr || !use_workspace((u64)work, (size_t)d.room() * bytes_of(d.a.type), "cusolver gesvdjBatched: workspace")) return;
        for (size_t i = 0; i < (size_t)d.batch; i++) {
            char *pa = d.a.host("cusolver gesvdjBatched: A", i * (size_t)(d.a.ld * d.n)), *ps = d.s.host("cusolver gesvdjBatched: S", i * (size_t)d.s.rows);
            if (pa == nullptr || ps == nullptr) return;
            Dense a = read(d.a, pa), u(0, 0), v(0, 0);
            std::vector<double> values;
            said[i] = singular(a, u, values, v) ? 0 : std::min(d.m, d.n) + 1;
            for (size_t k = 0; k < values.size(); k++) store(ps, d.s.type, k, values[k]);
            for (complex& x : a.x) x = -7e7;
            write(a, d.a, pa);
            if (d.job != VECTORS) continue;
            char *pu = d.u.host("cusolver gesvdjBatched: U", i * (size_t)(d.u.ld * d.m)), *pv = d.v.host("cusolver gesvdjBatched: V", i * (size_t)(d.v.ld * d.n));
            if (pu == nullptr || pv == nullptr) return;
            write(u, d.u, pu);
            write(v, d.v, pv);
        }
    }));
}

// ---- eigenvalues of many Hermitian matrices

struct Eigens {
    int job, uplo, batch;
    Place a, w;
    int room() const { return (int)(batch * (4 * a.rows + 32)); }
};
static int check(void* h, const Eigens& d, const void* params) {
    if (!known(h, 'h')) return NOT_INITIALIZED;
    if (!known(params, 'e') || d.batch < 0 || (d.job != NO_VECTORS && d.job != VECTORS) || (d.uplo != 0 && d.uplo != 1)) return INVALID_VALUE;
    return d.a.rows >= 0 && d.a.ld >= std::max(1ll, d.a.rows) ? SUCCESS : INVALID_VALUE;
}
static int syevj_size(void* h, const Eigens& d, const void* params, int* lwork) {
    const int result = check(h, d, params);
    if (result == SUCCESS && lwork == nullptr) return INVALID_VALUE;
    if (result == SUCCESS) *lwork = d.room();
    return result;
}
static int syevj(void* h, const Eigens& d, const void* params, void* work, int lwork, int* info) {
    const int result = check(h, d, params);
    if (result != SUCCESS) return result;
    if (lwork < d.room() || work == nullptr || info == nullptr || !d.a.valid() || !d.w.valid())
        REFUSE(INVALID_VALUE, "cusolver syevjBatched: a workspace of %d numbers, not %d, or memory that is missing", lwork, d.room());
    return queued(enqueue(((Solver*)h)->stream, "cusolverDnSyevjBatched", [=] {
        int* said = info_at((u64)info, "cusolver syevjBatched: info", (size_t)d.batch);
        if (said == nullptr || !use_workspace((u64)work, (size_t)d.room() * bytes_of(d.a.type), "cusolver syevjBatched: workspace")) return;
        for (size_t i = 0; i < (size_t)d.batch; i++) {
            char *pa = d.a.host("cusolver syevjBatched: A", i * (size_t)(d.a.ld * d.a.rows)), *pw = d.w.host("cusolver syevjBatched: W", i * (size_t)d.w.rows);
            if (pa == nullptr || pw == nullptr) return;
            Dense a = hermitian(read(d.a, pa), d.uplo == 1);
            std::vector<double> values;
            said[i] = eigen(a, values) ? 0 : (int)d.a.rows + 1;
            if (d.job != VECTORS)
                for (complex& x : a.x) x = -7e7;
            write(a, d.a, pa);
            for (size_t k = 0; k < values.size(); k++) store(pw, d.w.type, k, values[k]);
        }
    }));
}

#define FOR_TYPE(X, type, or_un, sy_he)                                                                                                          \
    EXPORT int cusolverDn##X##or_un##qr_bufferSize(void* h, int m, int n, int k, const void* a, int lda, const void* tau, int* lwork) {          \
        return orgqr_size(h, m, n, k, {(u64)a, m, n, lda, type}, lwork);                                                                         \
    }                                                                                                                                            \
    EXPORT int cusolverDn##X##or_un##qr(void* h, int m, int n, int k, void* a, int lda, const void* tau, void* work, int lwork, int* info) {     \
        return orgqr(h, m, n, k, {(u64)a, m, n, lda, type}, tau, work, lwork, info);                                                             \
    }                                                                                                                                            \
    EXPORT int cusolverDn##X##potrfBatched(void* h, int uplo, int n, void* a, int lda, int* info, int batch) {                                   \
        return potrf_batched(h, uplo, n, a, lda, type, info, batch);                                                                             \
    }                                                                                                                                            \
    EXPORT int cusolverDn##X##gesvdjBatched_bufferSize(void* h, int job, int m, int n, const void* a, int lda, const void* s, const void* u,     \
                                                       int ldu, const void* v, int ldv, int* lwork, void* params, int batch) {                   \
        return gesvdj_size(h, svds(job, m, n, batch, type, a, lda, s, u, ldu, v, ldv), params, lwork);                                           \
    }                                                                                                                                            \
    EXPORT int cusolverDn##X##gesvdjBatched(void* h, int job, int m, int n, void* a, int lda, void* s, void* u, int ldu, void* v, int ldv,       \
                                            void* work, int lwork, int* info, void* params, int batch) {                                         \
        return gesvdj(h, svds(job, m, n, batch, type, a, lda, s, u, ldu, v, ldv), params, work, lwork, info);                                    \
    }                                                                                                                                            \
    EXPORT int cusolverDn##X##sy_he##evjBatched_bufferSize(void* h, int job, int uplo, int n, const void* a, int lda, const void* w, int* lwork, \
                                                           void* params, int batch) {                                                            \
        return syevj_size(h, {job, uplo, batch, {(u64)a, n, n, lda, type}, {(u64)w, n, 1, std::max(1, n), real_of(type)}}, params, lwork);       \
    }                                                                                                                                            \
    EXPORT int cusolverDn##X##sy_he##evjBatched(void* h, int job, int uplo, int n, void* a, int lda, void* w, void* work, int lwork, int* info,  \
                                                void* params, int batch) {                                                                       \
        return syevj(h, {job, uplo, batch, {(u64)a, n, n, lda, type}, {(u64)w, n, 1, std::max(1, n), real_of(type)}}, params, work, lwork, info); \
    }
FOR_TYPE(S, R_32F, org, sy)
FOR_TYPE(D, R_64F, org, sy)
FOR_TYPE(C, C_32F, ung, he)
FOR_TYPE(Z, C_64F, ung, he)
