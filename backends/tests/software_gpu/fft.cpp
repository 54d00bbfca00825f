// cuFFT: Fourier transforms, in f64 inside.
#include "library.h"
#include <algorithm>
#include <map>
#include <mutex>

enum Result {
    SUCCESS = 0,
    INVALID_PLAN = 1,
    ALLOC_FAILED = 2,
    INVALID_TYPE = 3,
    INVALID_VALUE = 4,
    EXEC_FAILED = 6,
    SETUP_FAILED = 7,
    INVALID_SIZE = 8,
    NO_WORKSPACE = 13,
};
enum Type { R2C = 42, C2R = 44, C2C = 41, D2Z = 106, Z2D = 108, Z2Z = 105 };

extern "C" int cuMemAlloc_v2(u64* p, size_t n);
extern "C" int cuMemFree_v2(u64 p);

// where the elements of one side lie
struct Side {
    long long embed[3], stride, dist;
    bool real;
    long long at(const long long* i, int rank, long long batch) const {
        long long place = i[0];
        for (int d = 1; d < rank; d++) place = place * embed[d] + i[d];
        return place * stride + batch * dist;
    }
};

// It is never freed: work that is still to be done, and graphs, point to it.
struct Plan {
    bool alive = true, made = false, automatic = true, basic = false;
    int rank = 0, type = 0;
    long long n[3] = {1, 1, 1}, batch = 0;
    Side in, out;
    void* stream = nullptr;
    u64 work = 0, own_work = 0;
    size_t work_bytes = 0;
    bool single() const { return type < 100; }
    size_t element(const Side& s) const { return (single() ? 4u : 8u) * (s.real ? 1u : 2u); }
    // how many elements of a dimension a side has
    long long count(const Side& s, int d) const { return d == rank - 1 && !s.real && in.real != out.real ? n[d] / 2 + 1 : n[d]; }
};

static std::mutex the_lock;
static auto& plans = *new std::map<int, Plan*>;
static int plan_count = 0;

static Plan* plan_of(int handle) {
    std::lock_guard<std::mutex> lock(the_lock);
    auto found = plans.find(handle);
    return found == plans.end() || !found->second->alive ? nullptr : found->second;
}

#define REFUSE(status, ...) \
    do {                    \
        SAY(__VA_ARGS__);   \
        return status;      \
    } while (0)

EXPORT int cufftCreate(int* handle) {
    if (handle == nullptr) return INVALID_VALUE;
    if (!has_context()) return SETUP_FAILED;
    std::lock_guard<std::mutex> lock(the_lock);
    *handle = ++plan_count;
    plans[*handle] = new Plan;
    return SUCCESS;
}
EXPORT int cufftDestroy(int handle) {
    Plan* p = plan_of(handle);
    if (p == nullptr) return INVALID_PLAN;
    p->alive = false;
    if (p->own_work != 0) cuMemFree_v2(p->own_work);
    return SUCCESS;
}
EXPORT int cufftGetVersion(int* version) {
    if (version == nullptr) return INVALID_VALUE;
    *version = 11303;
    return SUCCESS;
}
EXPORT int cufftSetStream(int handle, void* stream) {
    Plan* p = plan_of(handle);
    if (p == nullptr) return INVALID_PLAN;
    p->stream = stream;
    return SUCCESS;
}
EXPORT int cufftSetAutoAllocation(int handle, int automatic) {
    Plan* p = plan_of(handle);
    if (p == nullptr) return INVALID_PLAN;
    if (p->made) REFUSE(INVALID_PLAN, "cufftSetAutoAllocation of a plan that is made already");
    p->automatic = automatic != 0;
    return SUCCESS;
}
EXPORT int cufftSetWorkArea(int handle, void* work) {
    Plan* p = plan_of(handle);
    if (p == nullptr || !p->made) return INVALID_PLAN;
    if (work != nullptr && !softwareGpuIsMemory((u64)work, p->work_bytes))
        REFUSE(INVALID_VALUE, "cufftSetWorkArea: no device memory of %zu bytes", p->work_bytes);
    if (p->own_work != 0) cuMemFree_v2(p->own_work);
    p->own_work = 0;
    p->work = (u64)work;
    return SUCCESS;
}
EXPORT int cufftGetSize(int handle, size_t* bytes) {
    Plan* p = plan_of(handle);
    if (p == nullptr || !p->made) return INVALID_PLAN;
    if (bytes == nullptr) return INVALID_VALUE;
    *bytes = p->work_bytes;
    return SUCCESS;
}

static bool known_type(int t) { return t == R2C || t == C2R || t == C2C || t == D2Z || t == Z2D || t == Z2Z; }

// fills in a plan, but for its work area
template <class I>
static int describe(Plan& p, int rank, const I* n, const I* inembed, I istride, I idist, const I* onembed, I ostride, I odist, int type, I batch) {
    if (rank < 1 || rank > 3 || n == nullptr) return INVALID_VALUE;
    if (!known_type(type)) return INVALID_TYPE;
    p.rank = rank;
    p.type = type;
    p.batch = batch;
    long long total = batch;
    for (int d = 0; d < rank; d++) {
        if (n[d] <= 0) REFUSE(INVALID_SIZE, "cuFFT: a dimension of %lld", (long long)n[d]);
        p.n[d] = n[d];
        total *= n[d];
    }
    if (batch <= 0) REFUSE(INVALID_SIZE, "cuFFT: a batch of %lld", (long long)batch);
    p.in.real = type == R2C || type == D2Z;
    p.out.real = type == C2R || type == Z2D;
    p.basic = inembed == nullptr || onembed == nullptr;
    for (Side* s : {&p.in, &p.out}) {
        const I* embed = s == &p.in ? inembed : onembed;
        s->stride = p.basic ? 1 : s == &p.in ? istride : ostride;
        s->dist = p.basic ? 1 : s == &p.in ? idist : odist;
        for (int d = 0; d < rank; d++) {
            s->embed[d] = p.basic ? p.count(*s, d) : embed[d];
            if (p.basic) s->dist *= s->embed[d];
            if (d > 0 && s->embed[d] < p.count(*s, d)) REFUSE(INVALID_SIZE, "cuFFT: dimension %d of %lld in room for %lld", d, p.count(*s, d), s->embed[d]);
        }
        if (s->stride <= 0 || (batch > 1 && s->dist <= 0)) REFUSE(INVALID_VALUE, "cuFFT: a stride of %lld, a distance of %lld", s->stride, s->dist);
    }
    p.work_bytes = (size_t)total * (p.single() ? 8 : 16);
    return SUCCESS;
}

template <class I>
static int make(int handle, int rank, const I* n, const I* inembed, I istride, I idist, const I* onembed, I ostride, I odist, int type, I batch, size_t* bytes) {
    Plan* p = plan_of(handle);
    if (p == nullptr) return INVALID_PLAN;
    if (p->made) REFUSE(INVALID_PLAN, "cuFFT: the plan is made already");
    const int result = describe(*p, rank, n, inembed, istride, idist, onembed, ostride, odist, type, batch);
    if (result != SUCCESS) return result;
    if (p->automatic) {
        if (cuMemAlloc_v2(&p->own_work, p->work_bytes) != 0) return ALLOC_FAILED;
        p->work = p->own_work;
    }
    p->made = true;
    if (bytes != nullptr) *bytes = p->work_bytes;
    return SUCCESS;
}

EXPORT int cufftMakePlanMany(int handle, int rank, int* n, int* inembed, int istride, int idist, int* onembed, int ostride, int odist, int type, int batch,
                             size_t* bytes) {
    return make(handle, rank, n, inembed, istride, idist, onembed, ostride, odist, type, batch, bytes);
}
EXPORT int cufftMakePlanMany64(int handle, int rank, long long* n, long long* inembed, long long istride, long long idist, long long* onembed,
                               long long ostride, long long odist, int type, long long batch, size_t* bytes) {
    return make(handle, rank, n, inembed, istride, idist, onembed, ostride, odist, type, batch, bytes);
}
EXPORT int cufftPlanMany(int* handle, int rank, int* n, int* inembed, int istride, int idist, int* onembed, int ostride, int odist, int type, int batch) {
    const int created = cufftCreate(handle);
    if (created != SUCCESS) return created;
    const int result = make(*handle, rank, n, inembed, istride, idist, onembed, ostride, odist, type, batch, nullptr);
    if (result != SUCCESS) cufftDestroy(*handle);
    return result;
}
EXPORT int cufftPlan1d(int* handle, int n, int type, int batch) {
    return cufftPlanMany(handle, 1, &n, nullptr, 1, 0, nullptr, 1, 0, type, batch);
}
EXPORT int cufftEstimateMany(int rank, int* n, int* inembed, int istride, int idist, int* onembed, int ostride, int odist, int type, int batch, size_t* bytes) {
    if (bytes == nullptr) return INVALID_VALUE;
    Plan p;
    const int result = describe(p, rank, n, inembed, istride, idist, onembed, ostride, odist, type, batch);
    if (result == SUCCESS) *bytes = p.work_bytes;
    return result;
}
EXPORT int cufftGetSizeMany64(int handle, int rank, long long* n, long long* inembed, long long istride, long long idist, long long* onembed,
                              long long ostride, long long odist, int type, long long batch, size_t* bytes) {
    if (plan_of(handle) == nullptr) return INVALID_PLAN;
    if (bytes == nullptr) return INVALID_VALUE;
    Plan p;
    const int result = describe(p, rank, n, inembed, istride, idist, onembed, ostride, odist, type, batch);
    if (result == SUCCESS) *bytes = p.work_bytes;
    return result;
}

// ---- transforms of one line

// by the smallest factor of n: sums of transforms of every f-th number
static void line(const complex* x, long long stride, complex* y, long long n, const std::vector<complex>& roots) {
    const long long all = (long long)roots.size();
    if (n == 1) {
        y[0] = x[0];
        return;
    }
    long long f = 2;
    while (f * f <= n && n % f != 0) f++;
    if (n % f != 0) f = n;
    const long long m = n / f;
    for (long long r = 0; r < f && m > 1; r++) line(x + r * stride, stride * f, y + r * m, m, roots);
    if (m == 1)
        for (long long r = 0; r < f; r++) y[r] = x[r * stride];
    std::vector<complex> parts((size_t)f);
    for (long long k = 0; k < m; k++) {
        for (long long r = 0; r < f; r++) parts[(size_t)r] = y[r * m + k];
        for (long long q = 0; q < f; q++) {
            complex sum = 0;
            for (long long r = 0; r < f; r++) sum += parts[(size_t)r] * roots[(size_t)((k + q * m) * r % n * (all / n))];
            y[q * m + k] = sum;
        }
    }
}

static void transform(std::vector<complex>& x, const long long* n, int rank, int sign) {
    for (int d = 0; d < rank; d++) {
        const long long count = n[d];
        if (count == 1) continue;
        std::vector<complex> roots((size_t)count), from((size_t)count), to((size_t)count);
        for (long long i = 0; i < count; i++) roots[(size_t)i] = std::polar(1.0, sign * 2 * 3.141592653589793 * (double)i / (double)count);
        long long inner = 1, outer = 1;
        for (int e = d + 1; e < rank; e++) inner *= n[e];
        for (int e = 0; e < d; e++) outer *= n[e];
        for (long long o = 0; o < outer; o++)
            for (long long i = 0; i < inner; i++) {
                const long long first = o * count * inner + i;
                for (long long k = 0; k < count; k++) from[(size_t)k] = x[(size_t)(first + k * inner)];
                line(from.data(), 1, to.data(), count, roots);
                for (long long k = 0; k < count; k++) x[(size_t)(first + k * inner)] = to[(size_t)k];
            }
    }
}

// ---- execution

static complex load_at(const char* p, const Plan& plan, const Side& s, long long i) {
    return load(p, s.real ? (plan.single() ? R_32F : R_64F) : (plan.single() ? C_32F : C_64F), (size_t)i);
}
static void store_at(char* p, const Plan& plan, const Side& s, long long i, complex x) {
    store(p, s.real ? (plan.single() ? R_32F : R_64F) : (plan.single() ? C_32F : C_64F), (size_t)i, x);
}

// all indices of a side, in order
template <class F> static void each(const Plan& p, const Side& s, F visit) {
    long long i[3] = {0, 0, 0}, count[3] = {1, 1, 1};
    for (int d = 0; d < p.rank; d++) count[d] = p.count(s, d);
    for (i[0] = 0; i[0] < count[0]; i[0]++)
        for (i[1] = 0; i[1] < count[1]; i[1]++)
            for (i[2] = 0; i[2] < count[2]; i[2]++) visit(i);
}

static size_t extent(const Plan& p, const Side& s) {
    long long last[3] = {0, 0, 0};
    for (int d = 0; d < p.rank; d++) last[d] = p.count(s, d) - 1;
    return (size_t)(s.at(last, p.rank, p.batch - 1) + 1) * p.element(s);
}

// Numbers of a batch as they are, or the half that is there and what it implies.
static std::vector<complex> gather(const Plan& p, const char* from, long long batch) {
    size_t total = 1;
    for (int d = 0; d < p.rank; d++) total *= (size_t)p.n[d];
    std::vector<complex> x(total);
    auto place = [&](const long long* i) {
        long long at = i[0];
        for (int d = 1; d < p.rank; d++) at = at * p.n[d] + i[d];
        return (size_t)at;
    };
    each(p, p.in, [&](const long long* i) { x[place(i)] = load_at(from, p, p.in, p.in.at(i, p.rank, batch)); });
    if (!p.out.real) return x;
    const long long last = p.n[p.rank - 1];
    each(p, p.out, [&](const long long* i) {
        if (i[p.rank - 1] <= last / 2) return;
        long long mirror[3] = {0, 0, 0};
        for (int d = 0; d < p.rank; d++) mirror[d] = (p.n[d] - i[d]) % p.n[d];
        x[place(i)] = std::conj(x[place(mirror)]);
    });
    return x;
}

static void run(const Plan& made, u64 in, u64 out, int sign) {
    Plan p = made;
    if (in == out && p.basic && p.in.real != p.out.real) {
        // in place the rows of real numbers have the room that those of complex ones need
        Side& real = p.in.real ? p.in : p.out;
        real.embed[p.rank - 1] = 2 * (p.n[p.rank - 1] / 2 + 1);
        real.dist = 1;
        for (int d = 0; d < p.rank; d++) real.dist *= real.embed[d];
    }
    char* from = (char*)softwareGpuTranslate(in, extent(p, p.in), "cufftExec: input");
    char* to = (char*)softwareGpuTranslate(out, extent(p, p.out), "cufftExec: output");
    void* work = softwareGpuTranslate(made.work, made.work_bytes, "cufftExec: work area");
    if (from == nullptr || to == nullptr || work == nullptr) return;
    memset(work, 0xee, made.work_bytes);
    std::vector<std::vector<complex>> all;
    for (long long b = 0; b < p.batch; b++) {
        all.push_back(gather(p, from, b));
        transform(all.back(), p.n, p.rank, sign);
    }
    // a transform to real numbers may overwrite what it reads, so it does
    if (p.out.real && in != out)
        for (long long b = 0; b < p.batch; b++)
            each(p, p.in, [&](const long long* i) { store_at(from, p, p.in, p.in.at(i, p.rank, b), complex(-7e7, 7e7)); });
    for (long long b = 0; b < p.batch; b++)
        each(p, p.out, [&](const long long* i) {
            long long at = i[0];
            for (int d = 1; d < p.rank; d++) at = at * p.n[d] + i[d];
            store_at(to, p, p.out, p.out.at(i, p.rank, b), all[(size_t)b][(size_t)at]);
        });
}

static int execute(const char* name, int handle, int type, void* in, void* out, int sign) {
    Plan* p = plan_of(handle);
    if (p == nullptr || !p->made) return INVALID_PLAN;
    if (p->type != type) REFUSE(INVALID_TYPE, "%s with a plan of type %d", name, p->type);
    if (in == nullptr || out == nullptr || (sign != 1 && sign != -1)) return INVALID_VALUE;
    const size_t align = p->single() ? 8 : 16;
    if ((u64)in % align != 0 || (u64)out % align != 0) REFUSE(INVALID_VALUE, "%s: an address that is not aligned to %zu bytes", name, align);
    if (p->work == 0) REFUSE(NO_WORKSPACE, "%s without a work area", name);
    // the stream and the work area are those of the call
    const Plan* now = new Plan(*p);
    return enqueue(p->stream, name, [now, in, out, sign] { run(*now, (u64)in, (u64)out, sign); }) == 0 ? SUCCESS : EXEC_FAILED;
}

EXPORT int cufftExecC2C(int p, void* in, void* out, int sign) { return execute("cufftExecC2C", p, C2C, in, out, sign); }
EXPORT int cufftExecR2C(int p, void* in, void* out) { return execute("cufftExecR2C", p, R2C, in, out, -1); }
EXPORT int cufftExecC2R(int p, void* in, void* out) { return execute("cufftExecC2R", p, C2R, in, out, 1); }
EXPORT int cufftExecZ2Z(int p, void* in, void* out, int sign) { return execute("cufftExecZ2Z", p, Z2Z, in, out, sign); }
EXPORT int cufftExecD2Z(int p, void* in, void* out) { return execute("cufftExecD2Z", p, D2Z, in, out, -1); }
EXPORT int cufftExecZ2D(int p, void* in, void* out) { return execute("cufftExecZ2D", p, Z2D, in, out, 1); }
