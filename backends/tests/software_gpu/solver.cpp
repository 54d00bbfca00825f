// cuSOLVER: the functions that take the type of numbers as an argument.
#include "solver.h"
#include <map>
#include <mutex>

static std::mutex the_lock;
static auto& live = *new std::map<const void*, char>;

extern "C" int cuStreamIsCapturing(void* stream, int* status);
extern "C" int cuStreamSynchronize(void* stream);

bool known(const void* p, char kind) {
    std::lock_guard<std::mutex> lock(the_lock);
    auto found = live.find(p);
    return found != live.end() && found->second == kind;
}
int give(void** out, char kind) {
    if (out == nullptr) return INVALID_VALUE;
    *out = new Solver{kind, nullptr};
    std::lock_guard<std::mutex> lock(the_lock);
    live[*out] = kind;
    return SUCCESS;
}
// its place is not used again, so that stale uses are seen
int take_back(void* p, char kind) {
    if (!known(p, kind)) return kind == 'h' ? NOT_INITIALIZED : INVALID_VALUE;
    std::lock_guard<std::mutex> lock(the_lock);
    live.erase(p);
    return SUCCESS;
}

EXPORT int cusolverGetVersion(int* version) {
    if (version == nullptr) return INVALID_VALUE;
    *version = 11703;
    return SUCCESS;
}
EXPORT int cusolverDnCreate(void** h) { return has_context() ? give(h, 'h') : NOT_INITIALIZED; }
EXPORT int cusolverDnDestroy(void* h) { return take_back(h, 'h'); }
EXPORT int cusolverDnCreateParams(void** p) { return give(p, 'p'); }
EXPORT int cusolverDnDestroyParams(void* p) { return take_back(p, 'p'); }
EXPORT int cusolverDnSetAdvOptions(void* p, int function, int algorithm) {
    return known(p, 'p') && function >= 0 && function <= 2 && algorithm >= 0 && algorithm <= 2 ? SUCCESS : INVALID_VALUE;
}
EXPORT int cusolverDnSetStream(void* h, void* stream) {
    if (!known(h, 'h')) return NOT_INITIALIZED;
    ((Solver*)h)->stream = stream;
    return SUCCESS;
}
EXPORT int cusolverDnGetStream(void* h, void** stream) {
    if (!known(h, 'h')) return NOT_INITIALIZED;
    if (stream == nullptr) return INVALID_VALUE;
    *stream = ((Solver*)h)->stream;
    return SUCCESS;
}

// Those that work on the host, too, wait for the stream, which one that is captured does not allow.
static int not_captured(void* h, const char* name) {
    int status = 0;
    if (cuStreamIsCapturing(((Solver*)h)->stream, &status) != 0) return EXECUTION_FAILED;
    if (status == 0) return SUCCESS;
    cuStreamSynchronize(((Solver*)h)->stream);
    REFUSE(INTERNAL_ERROR, "%s in a stream that is captured", name);
}

struct Room {
    size_t device, host;
};
struct Given {
    void* device;
    size_t device_bytes;
    void* host;
    size_t host_bytes;
};

static int check_params(void* h, void* params) {
    if (!known(h, 'h')) return NOT_INITIALIZED;
    return params == nullptr || known(params, 'p') ? SUCCESS : INVALID_VALUE;
}
static int say_room(const Room& r, size_t* device, size_t* host) {
    if (device == nullptr || host == nullptr) return INVALID_VALUE;
    *device = r.device;
    *host = r.host;
    return SUCCESS;
}
static int check_room(const char* name, const Room& r, const Given& g, const void* info) {
    if (g.device_bytes < r.device || (r.device > 0 && g.device == nullptr))
        REFUSE(INVALID_VALUE, "%s: a workspace of %zu bytes on the device, not %zu", name, g.device_bytes, r.device);
    if (g.host_bytes < r.host || (r.host > 0 && g.host == nullptr))
        REFUSE(INVALID_VALUE, "%s: a workspace of %zu bytes on the host, not %zu", name, g.host_bytes, r.host);
    if (r.host > 0) memset(g.host, 0xee, r.host);
    return info != nullptr ? SUCCESS : INVALID_VALUE;
}

#define TRY(x)                          \
    do {                                \
        const int result_ = (x);        \
        if (result_ != SUCCESS) return result_; \
    } while (0)
#define CHECK_ARGUMENT(x) \
    if (!(x)) REFUSE(INVALID_VALUE, "%s: it does not hold that %s", __func__, #x)

// ---- Cholesky

static Room potrf_room(long long n, int type) { return {(size_t)(n * std::min(n, 32ll) + 64) * bytes_of(type), 0}; }
static int potrf_check(void* h, void* params, int uplo, const Place& a, int compute) {
    TRY(check_params(h, params));
    CHECK_ARGUMENT(uplo == 0 || uplo == 1);
    CHECK_ARGUMENT(computes(a.type) && compute == a.type);
    CHECK_ARGUMENT(a.valid());
    return SUCCESS;
}
EXPORT int cusolverDnXpotrf_bufferSize(void* h, void* params, int uplo, long long n, int type, const void* a, long long lda, int compute, size_t* device,
                                       size_t* host) {
    TRY(potrf_check(h, params, uplo, {(u64)a, n, n, lda, type}, compute));
    return say_room(potrf_room(n, type), device, host);
}
static void potrf(const Place& a, bool upper, int* info) {
    char* p = a.host("cusolver potrf: A");
    if (p == nullptr) return;
    Dense x = hermitian(read(a, p), upper);
    *info = cholesky(x);
    if (upper) x = adjoint(x);
    write_triangle(x, p, a.type, (size_t)a.ld, upper);
}
EXPORT int cusolverDnXpotrf(void* h, void* params, int uplo, long long n, int type, void* a, long long lda, int compute, void* device, size_t device_bytes,
                            void* host, size_t host_bytes, int* info) {
    const Place place = {(u64)a, n, n, lda, type};
    const Room room = potrf_room(n, type);
    TRY(potrf_check(h, params, uplo, place, compute));
    TRY(check_room("cusolverDnXpotrf", room, {device, device_bytes, host, host_bytes}, info));
    return queued(enqueue(((Solver*)h)->stream, "cusolverDnXpotrf", [=] {
        int* said = info_at((u64)info, "cusolverDnXpotrf: info");
        if (said != nullptr && use_workspace((u64)device, room.device, "cusolverDnXpotrf: workspace")) potrf(place, uplo == 1, said);
    }));
}

// ---- LU

static Room getrf_room(long long m, long long n, int type) { return {(size_t)(std::min(m, n) * 32 + n + 64) * bytes_of(type), 0}; }
static int matrix_check(void* h, void* params, const Place& a, int compute) {
    TRY(check_params(h, params));
    CHECK_ARGUMENT(computes(a.type) && compute == a.type);
    CHECK_ARGUMENT(a.valid());
    return SUCCESS;
}
EXPORT int cusolverDnXgetrf_bufferSize(void* h, void* params, long long m, long long n, int type, const void* a, long long lda, int compute, size_t* device,
                                       size_t* host) {
    TRY(matrix_check(h, params, {(u64)a, m, n, lda, type}, compute));
    return say_room(getrf_room(m, n, type), device, host);
}
EXPORT int cusolverDnXgetrf(void* h, void* params, long long m, long long n, int type, void* a, long long lda, long long* pivots, int compute, void* device,
                            size_t device_bytes, void* host, size_t host_bytes, int* info) {
    const Place place = {(u64)a, m, n, lda, type};
    const Room room = getrf_room(m, n, type);
    TRY(matrix_check(h, params, place, compute));
    TRY(check_room("cusolverDnXgetrf", room, {device, device_bytes, host, host_bytes}, info));
    return queued(enqueue(((Solver*)h)->stream, "cusolverDnXgetrf", [=] {
        int* said = info_at((u64)info, "cusolverDnXgetrf: info");
        const size_t k = (size_t)std::min(m, n);
        long long* rows = pivots != nullptr ? (long long*)softwareGpuTranslate((u64)pivots, k * 8, "cusolverDnXgetrf: pivots") : nullptr;
        char* p = place.host("cusolverDnXgetrf: A");
        if (said == nullptr || p == nullptr || (pivots != nullptr && rows == nullptr)) return;
        if (!use_workspace((u64)device, room.device, "cusolverDnXgetrf: workspace")) return;
        Dense x = read(place, p);
        std::vector<size_t> found;
        *said = lu(x, found, pivots != nullptr);
        write(x, place, p);
        for (size_t i = 0; i < k && rows != nullptr; i++) rows[i] = (long long)found[i] + 1;
    }));
}
EXPORT int cusolverDnXgetrs(void* h, void* params, int trans, long long n, long long columns, int type, const void* a, long long lda, const long long* pivots,
                            int type_b, void* b, long long ldb, int* info) {
    const Place pa = {(u64)a, n, n, lda, type}, pb = {(u64)b, n, columns, ldb, type_b};
    TRY(matrix_check(h, params, pa, type));
    CHECK_ARGUMENT(type_b == type && pb.valid());
    CHECK_ARGUMENT(trans >= 0 && trans <= 2 && info != nullptr);
    return queued(enqueue(((Solver*)h)->stream, "cusolverDnXgetrs", [=] {
        int* said = info_at((u64)info, "cusolverDnXgetrs: info");
        const char* from = pa.host("cusolverDnXgetrs: A");
        char* to = pb.host("cusolverDnXgetrs: B");
        const long long* rows = pivots != nullptr ? (const long long*)softwareGpuTranslate((u64)pivots, (size_t)n * 8, "cusolverDnXgetrs: pivots") : nullptr;
        if (said == nullptr || from == nullptr || to == nullptr || (pivots != nullptr && rows == nullptr)) return;
        std::vector<size_t> order((size_t)n);
        for (size_t i = 0; i < order.size(); i++) {
            order[i] = rows != nullptr ? (size_t)(rows[i] - 1) : i;
            if (order[i] >= order.size()) {
                SAY("cusolverDnXgetrs: row %lld of %lld is a pivot", rows[i], n);
                return;
            }
        }
        Dense x = read(pb, to);
        lu_solve(read(pa, from), order, trans, x);
        write(x, pb, to);
        *said = 0;
    }));
}

// ---- QR

static Room geqrf_room(long long m, long long n, int type) { return {(size_t)(n * 32 + m + 64) * bytes_of(type), 0}; }
EXPORT int cusolverDnXgeqrf_bufferSize(void* h, void* params, long long m, long long n, int type, const void* a, long long lda, int type_tau, const void* tau,
                                       int compute, size_t* device, size_t* host) {
    TRY(matrix_check(h, params, {(u64)a, m, n, lda, type}, compute));
    CHECK_ARGUMENT(type_tau == type);
    return say_room(geqrf_room(m, n, type), device, host);
}
EXPORT int cusolverDnXgeqrf(void* h, void* params, long long m, long long n, int type, void* a, long long lda, int type_tau, void* tau, int compute,
                            void* device, size_t device_bytes, void* host, size_t host_bytes, int* info) {
    const Place place = {(u64)a, m, n, lda, type}, factors = {(u64)tau, std::min(m, n), 1, std::max(1ll, std::min(m, n)), type};
    const Room room = geqrf_room(m, n, type);
    TRY(matrix_check(h, params, place, compute));
    CHECK_ARGUMENT(type_tau == type && factors.valid());
    TRY(check_room("cusolverDnXgeqrf", room, {device, device_bytes, host, host_bytes}, info));
    return queued(enqueue(((Solver*)h)->stream, "cusolverDnXgeqrf", [=] {
        int* said = info_at((u64)info, "cusolverDnXgeqrf: info");
        char *p = place.host("cusolverDnXgeqrf: A"), *t = factors.host("cusolverDnXgeqrf: tau");
        if (said == nullptr || p == nullptr || t == nullptr || !use_workspace((u64)device, room.device, "cusolverDnXgeqrf: workspace")) return;
        Dense x = read(place, p);
        const std::vector<complex> taus = qr(x);
        write(x, place, p);
        for (size_t i = 0; i < taus.size(); i++) store(t, type, i, taus[i]);
        *said = 0;
    }));
}

// ---- eigenvalues of Hermitian matrices

static Room syevd_room(long long n, int type) { return {(size_t)(2 * n * n + 6 * n + 64) * bytes_of(type), 0}; }
static int syevd_check(void* h, void* params, int jobz, int uplo, const Place& a, int type_w, int compute) {
    TRY(matrix_check(h, params, a, compute));
    CHECK_ARGUMENT(jobz == NO_VECTORS || jobz == VECTORS);
    CHECK_ARGUMENT(uplo == 0 || uplo == 1);
    CHECK_ARGUMENT(type_w == real_of(a.type));
    return SUCCESS;
}
static void syevd(const Place& a, const Place& w, bool vectors, bool upper, size_t offset_a, size_t offset_w, int* info) {
    char *p = a.host("cusolver syevd: A", offset_a), *values = w.host("cusolver syevd: W", offset_w);
    if (p == nullptr || values == nullptr) return;
    Dense x = hermitian(read(a, p), upper);
    std::vector<double> found;
    *info = eigen(x, found) ? 0 : 1;
    // without vectors A is lost, too
    if (!vectors)
        for (complex& v : x.x) v = -7e7;
    write(x, a, p);
    for (size_t i = 0; i < found.size(); i++) store(values, w.type, i, found[i]);
}
EXPORT int cusolverDnXsyevd_bufferSize(void* h, void* params, int jobz, int uplo, long long n, int type, const void* a, long long lda, int type_w,
                                       const void* w, int compute, size_t* device, size_t* host) {
    TRY(syevd_check(h, params, jobz, uplo, {(u64)a, n, n, lda, type}, type_w, compute));
    return say_room(syevd_room(n, type), device, host);
}
EXPORT int cusolverDnXsyevd(void* h, void* params, int jobz, int uplo, long long n, int type, void* a, long long lda, int type_w, void* w, int compute,
                            void* device, size_t device_bytes, void* host, size_t host_bytes, int* info) {
    const Place place = {(u64)a, n, n, lda, type}, values = {(u64)w, n, 1, std::max(1ll, n), type_w};
    const Room room = syevd_room(n, type);
    TRY(syevd_check(h, params, jobz, uplo, place, type_w, compute));
    CHECK_ARGUMENT(values.valid());
    TRY(check_room("cusolverDnXsyevd", room, {device, device_bytes, host, host_bytes}, info));
    TRY(not_captured(h, "cusolverDnXsyevd"));
    return queued(enqueue(((Solver*)h)->stream, "cusolverDnXsyevd", [=] {
        int* said = info_at((u64)info, "cusolverDnXsyevd: info");
        if (said == nullptr || !use_workspace((u64)device, room.device, "cusolverDnXsyevd: workspace")) return;
        syevd(place, values, jobz == VECTORS, uplo == 1, 0, 0, said);
    }));
}
EXPORT int cusolverDnXsyevBatched_bufferSize(void* h, void* params, int jobz, int uplo, long long n, int type, const void* a, long long lda, int type_w,
                                             const void* w, int compute, size_t* device, size_t* host, long long batch) {
    TRY(syevd_check(h, params, jobz, uplo, {(u64)a, n, n, lda, type}, type_w, compute));
    CHECK_ARGUMENT(batch >= 0);
    return say_room({syevd_room(n, type).device * (size_t)batch, 0}, device, host);
}
EXPORT int cusolverDnXsyevBatched(void* h, void* params, int jobz, int uplo, long long n, int type, void* a, long long lda, int type_w, void* w, int compute,
                                  void* device, size_t device_bytes, void* host, size_t host_bytes, int* info, long long batch) {
    const Place place = {(u64)a, n, n, lda, type}, values = {(u64)w, n, 1, std::max(1ll, n), type_w};
    TRY(syevd_check(h, params, jobz, uplo, place, type_w, compute));
    CHECK_ARGUMENT(batch >= 0 && values.valid());
    const Room room = {syevd_room(n, type).device * (size_t)batch, 0};
    TRY(check_room("cusolverDnXsyevBatched", room, {device, device_bytes, host, host_bytes}, info));
    return queued(enqueue(((Solver*)h)->stream, "cusolverDnXsyevBatched", [=] {
        int* said = info_at((u64)info, "cusolverDnXsyevBatched: info", (size_t)batch);
        if (said == nullptr || !use_workspace((u64)device, room.device, "cusolverDnXsyevBatched: workspace")) return;
        for (size_t i = 0; i < (size_t)batch; i++) syevd(place, values, jobz == VECTORS, uplo == 1, i * (size_t)(lda * n), i * (size_t)n, said + i);
    }));
}

// ---- singular values

struct Svd {
    signed char job_u, job_v;
    Place a, s, u, v;
    bool valid() const {
        auto job = [](signed char j) { return j == 'A' || j == 'S' || j == 'O' || j == 'N'; };
        return job(job_u) && job(job_v) && !(job_u == 'O' && job_v == 'O');
    }
    // whether its memory takes what it is asked for
    bool fits() const { return ((job_u != 'A' && job_u != 'S') || u.valid()) && ((job_v != 'A' && job_v != 'S') || v.valid()) && s.valid(); }
};
static Svd svd_of(signed char job_u, signed char job_v, long long m, long long n, int type, const void* a, long long lda, int type_s, const void* s, int type_u,
                  const void* u, long long ldu, int type_v, const void* v, long long ldv) {
    const long long k = std::min(m, n);
    return {job_u, job_v, {(u64)a, m, n, lda, type}, {(u64)s, k, 1, std::max(1ll, k), type_s}, {(u64)u, m, job_u == 'A' ? m : k, ldu, type_u},
            {(u64)v, job_v == 'A' ? n : k, n, ldv, type_v}};
}
static Room gesvd_room(long long m, long long n, int type) { return {(size_t)(3 * n * n + 4 * m + 64) * bytes_of(type), (size_t)(n + 16) * 8}; }
static int gesvd_check(void* h, void* params, const Svd& d, int compute) {
    TRY(matrix_check(h, params, d.a, compute));
    CHECK_ARGUMENT(d.valid());
    CHECK_ARGUMENT(d.s.type == real_of(d.a.type) && d.u.type == d.a.type && d.v.type == d.a.type);
    if (d.a.rows < d.a.cols) REFUSE(INVALID_VALUE, "cusolverDnXgesvd: %lld x %lld; there are to be no fewer rows than columns", d.a.rows, d.a.cols);
    return SUCCESS;
}
static void gesvd(const Svd& d, int* info) {
    char *p = d.a.host("cusolverDnXgesvd: A"), *ps = d.s.host("cusolverDnXgesvd: S"), *pu = nullptr, *pv = nullptr;
    if (p == nullptr || ps == nullptr) return;
    const bool gives_u = d.job_u == 'A' || d.job_u == 'S', gives_v = d.job_v == 'A' || d.job_v == 'S';
    if (gives_u && (pu = d.u.host("cusolverDnXgesvd: U")) == nullptr) return;
    if (gives_v && (pv = d.v.host("cusolverDnXgesvd: VT")) == nullptr) return;
    Dense x = read(d.a, p), u(0, 0), v(0, 0);
    std::vector<double> values;
    *info = singular(x, u, values, v) ? 0 : 1;
    for (size_t i = 0; i < values.size(); i++) store(ps, d.s.type, i, values[i]);
    const Dense vt = adjoint(v);
    auto part = [](const Dense& a, const Place& to) {
        Dense b((size_t)to.rows, (size_t)to.cols);
        for (size_t i = 0; i < b.rows; i++)
            for (size_t j = 0; j < b.cols; j++) b(i, j) = a(i, j);
        return b;
    };
    // what is not asked for in A is lost
    for (complex& a : x.x) a = -7e7;
    for (size_t j = 0; j < values.size(); j++) {
        for (size_t i = 0; i < x.rows && d.job_u == 'O'; i++) x(i, j) = u(i, j);
        for (size_t i = 0; i < x.cols && d.job_v == 'O'; i++) x(j, i) = vt(j, i);
    }
    write(x, d.a, p);
    if (gives_u) write(part(u, d.u), d.u, pu);
    if (gives_v) write(part(vt, d.v), d.v, pv);
}
EXPORT int cusolverDnXgesvd_bufferSize(void* h, void* params, signed char job_u, signed char job_v, long long m, long long n, int type, const void* a,
                                       long long lda, int type_s, const void* s, int type_u, const void* u, long long ldu, int type_v, const void* v,
                                       long long ldv, int compute, size_t* device, size_t* host) {
    TRY(gesvd_check(h, params, svd_of(job_u, job_v, m, n, type, a, lda, type_s, s, type_u, u, ldu, type_v, v, ldv), compute));
    return say_room(gesvd_room(m, n, type), device, host);
}
EXPORT int cusolverDnXgesvd(void* h, void* params, signed char job_u, signed char job_v, long long m, long long n, int type, void* a, long long lda, int type_s,
                            void* s, int type_u, void* u, long long ldu, int type_v, void* v, long long ldv, int compute, void* device, size_t device_bytes,
                            void* host, size_t host_bytes, int* info) {
    const Svd d = svd_of(job_u, job_v, m, n, type, a, lda, type_s, s, type_u, u, ldu, type_v, v, ldv);
    const Room room = gesvd_room(m, n, type);
    TRY(gesvd_check(h, params, d, compute));
    CHECK_ARGUMENT(d.fits());
    TRY(check_room("cusolverDnXgesvd", room, {device, device_bytes, host, host_bytes}, info));
    TRY(not_captured(h, "cusolverDnXgesvd"));
    return queued(enqueue(((Solver*)h)->stream, "cusolverDnXgesvd", [=] {
        int* said = info_at((u64)info, "cusolverDnXgesvd: info");
        if (said != nullptr && use_workspace((u64)device, room.device, "cusolverDnXgesvd: workspace")) gesvd(d, said);
    }));
}

// ---- eigenvalues of any matrices

static Room geev_room(long long n, int type) { return {(size_t)(4 * n * n + 64) * bytes_of(type), (size_t)(n * n + 64) * 8}; }
static int geev_check(void* h, void* params, int job_l, int job_r, const Place& a, int type_w, const Place& v, int type_l, int compute) {
    TRY(matrix_check(h, params, a, compute));
    if (job_l != NO_VECTORS) REFUSE(INVALID_VALUE, "cusolverDnXgeev: left vectors");
    CHECK_ARGUMENT(job_r == NO_VECTORS || job_r == VECTORS);
    CHECK_ARGUMENT(type_l == a.type && v.type == a.type);
    // the values of a real matrix are complex numbers, or real parts and behind them imaginary ones
    const int wide = a.type == R_32F ? (int)C_32F : a.type == R_64F ? (int)C_64F : a.type;
    CHECK_ARGUMENT(type_w == a.type || type_w == wide);
    return SUCCESS;
}
static void geev(const Place& a, const Place& w, const Place& v, bool vectors, int* info) {
    char *p = a.host("cusolverDnXgeev: A"), *pw = w.host("cusolverDnXgeev: W"), *pv = vectors ? v.host("cusolverDnXgeev: VR") : nullptr;
    if (p == nullptr || pw == nullptr || (vectors && pv == nullptr)) return;
    Dense x = read(a, p), found(0, 0);
    std::vector<complex> values;
    *info = is_complex(a.type) ? eigen_general(x, values, found) : eigen_real(x, values, found);
    for (size_t i = 0; i < values.size(); i++) {
        store(pw, w.type, i, values[i]);
        if (!is_complex(w.type)) store(pw, w.type, i + values.size(), values[i].imag());
    }
    for (complex& e : x.x) e = -7e7;
    write(x, a, p);
    if (vectors) write(found, v, pv);
}
EXPORT int cusolverDnXgeev_bufferSize(void* h, void* params, int job_l, int job_r, long long n, int type, const void* a, long long lda, int type_w, const void* w,
                                      int type_l, const void* l, long long ldl, int type_r, const void* r, long long ldr, int compute, size_t* device,
                                      size_t* host) {
    TRY(geev_check(h, params, job_l, job_r, {(u64)a, n, n, lda, type}, type_w, {(u64)r, n, n, ldr, type_r}, type_l, compute));
    return say_room(geev_room(n, type), device, host);
}
EXPORT int cusolverDnXgeev(void* h, void* params, int job_l, int job_r, long long n, int type, void* a, long long lda, int type_w, void* w, int type_l, void* l,
                           long long ldl, int type_r, void* r, long long ldr, int compute, void* device, size_t device_bytes, void* host, size_t host_bytes,
                           int* info) {
    const long long count = is_complex(type) || is_complex(type_w) ? n : 2 * n;
    const Place place = {(u64)a, n, n, lda, type}, values = {(u64)w, count, 1, std::max(1ll, count), type_w}, vectors = {(u64)r, n, n, ldr, type_r};
    const Room room = geev_room(n, type);
    TRY(geev_check(h, params, job_l, job_r, place, type_w, vectors, type_l, compute));
    CHECK_ARGUMENT(values.valid());
    CHECK_ARGUMENT(job_r == NO_VECTORS || vectors.valid());
    TRY(check_room("cusolverDnXgeev", room, {device, device_bytes, host, host_bytes}, info));
    TRY(not_captured(h, "cusolverDnXgeev"));
    return queued(enqueue(((Solver*)h)->stream, "cusolverDnXgeev", [=] {
        int* said = info_at((u64)info, "cusolverDnXgeev: info");
        if (said != nullptr && use_workspace((u64)device, room.device, "cusolverDnXgeev: workspace"))
            geev(place, values, vectors, job_r == VECTORS, said);
    }));
}
