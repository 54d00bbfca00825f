// cublasLt: products of matrices. It refuses what the tables of its manual do not have.
#include "library.h"
#include <algorithm>
#include <mutex>
#include <unordered_set>

enum Status {
    SUCCESS = 0,
    NOT_INITIALIZED = 1,
    INVALID_VALUE = 7,
    EXECUTION_FAILED = 13,
    NOT_SUPPORTED = 15,
};
enum Compute {
    COMPUTE_16F = 64,
    COMPUTE_16F_PEDANTIC = 65,
    COMPUTE_32F = 68,
    COMPUTE_32F_PEDANTIC = 69,
    COMPUTE_64F = 70,
    COMPUTE_64F_PEDANTIC = 71,
    COMPUTE_32I = 72,
    COMPUTE_32I_PEDANTIC = 73,
    COMPUTE_32F_FAST_16F = 74,
    COMPUTE_32F_FAST_16BF = 75,
    COMPUTE_32F_FAST_TF32 = 77,
};
enum { RELU = 2, BIAS = 4, GELU = 32 };
enum { ORDER_COL = 0, ORDER_ROW = 1 };

struct Kind {
    char kind;
};
struct Desc : Kind {
    int compute, scale;
    int pointer_mode = 0, trans_a = 0, trans_b = 0, trans_c = 0, fill = 2;
    unsigned epilogue = 1;
    u64 bias = 0;
    long long bias_stride = 0;
    int bias_type = -1, sm_count = 0;
    int8_t fast_accumulation = 0;
};
struct Layout : Kind {
    int type, order = ORDER_COL;
    u64 rows, cols;
    long long ld;
    int batch = 1;
    long long offset = 0, plane = 0;
};
struct Preference : Kind {
    int search = 0;
    u64 workspace = 0;
    unsigned reductions = ~0u, alignment[4] = {256, 256, 256, 256};
    float waves = 0;
    u64 implementations = ~0ull;
};
struct Algorithm {
    u64 data[8];  // the number of the problem, which it is, its workspace, the alignment it counts on
};
struct Heuristic {
    Algorithm algorithm;
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
};

static std::mutex the_lock;
static auto& live = *new std::unordered_set<const void*>;

static void* given(Kind* k, char kind) {
    k->kind = kind;
    std::lock_guard<std::mutex> lock(the_lock);
    live.insert(k);
    return k;
}
static bool known(const void* p, char kind) {
    std::lock_guard<std::mutex> lock(the_lock);
    return live.count(p) != 0 && ((const Kind*)p)->kind == kind;
}
// what is given back is kept, so that its place is not used again and stale uses are seen
static int taken_back(const void* p, char kind) {
    if (!known(p, kind)) return INVALID_VALUE;
    std::lock_guard<std::mutex> lock(the_lock);
    live.erase(p);
    return SUCCESS;
}

EXPORT int cublasLtCreate(void** handle) {
    if (handle == nullptr) return INVALID_VALUE;
    if (!has_context()) return NOT_INITIALIZED;
    *handle = given(new Kind, 'h');
    return SUCCESS;
}
EXPORT int cublasLtDestroy(void* handle) { return taken_back(handle, 'h') == SUCCESS ? SUCCESS : NOT_INITIALIZED; }
EXPORT size_t cublasLtGetVersion() { return 120804; }
EXPORT size_t cublasLtGetCudartVersion() { return 12080; }

static const char* status_name(int s) {
    switch (s) {
        case SUCCESS: return "CUBLAS_STATUS_SUCCESS";
        case NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
        case 3: return "CUBLAS_STATUS_ALLOC_FAILED";
        case INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
        case 8: return "CUBLAS_STATUS_ARCH_MISMATCH";
        case 11: return "CUBLAS_STATUS_MAPPING_ERROR";
        case EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
        case 14: return "CUBLAS_STATUS_INTERNAL_ERROR";
        case NOT_SUPPORTED: return "CUBLAS_STATUS_NOT_SUPPORTED";
        case 16: return "CUBLAS_STATUS_LICENSE_ERROR";
        default: return "CUBLAS_STATUS_UNKNOWN";
    }
}
EXPORT const char* cublasLtGetStatusName(int s) { return status_name(s); }
EXPORT const char* cublasLtGetStatusString(int s) { return status_name(s); }

// ---- descriptions

struct Field {
    int attribute;
    void* at;
    size_t bytes;
};

static int set(const std::vector<Field>& fields, int attribute, const void* from, size_t n) {
    for (const Field& f : fields)
        if (f.attribute == attribute) {
            if (from == nullptr || n != f.bytes) return INVALID_VALUE;
            memcpy(f.at, from, n);
            return SUCCESS;
        }
    SAY("attribute %d of cublasLt is not here", attribute);
    return INVALID_VALUE;
}
static int get(const std::vector<Field>& fields, int attribute, void* to, size_t n, size_t* written) {
    for (const Field& f : fields)
        if (f.attribute == attribute) {
            if (written != nullptr) *written = f.bytes;
            if (n == 0 && written != nullptr) return SUCCESS;
            if (to == nullptr || n != f.bytes) return INVALID_VALUE;
            memcpy(to, f.at, n);
            return SUCCESS;
        }
    return INVALID_VALUE;
}

static std::vector<Field> fields(Desc& d) {
    return {{0, &d.compute, 4}, {1, &d.scale, 4}, {2, &d.pointer_mode, 4}, {3, &d.trans_a, 4}, {4, &d.trans_b, 4}, {5, &d.trans_c, 4},
            {6, &d.fill, 4}, {7, &d.epilogue, 4}, {8, &d.bias, 8}, {10, &d.bias_stride, 8}, {15, &d.sm_count, 4},
            {25, &d.fast_accumulation, 1}, {26, &d.bias_type, 4}};
}
static std::vector<Field> fields(Layout& l) {
    return {{0, &l.type, 4}, {1, &l.order, 4}, {2, &l.rows, 8}, {3, &l.cols, 8}, {4, &l.ld, 8}, {5, &l.batch, 4}, {6, &l.offset, 8}, {7, &l.plane, 8}};
}
static std::vector<Field> fields(Preference& p) {
    return {{0, &p.search, 4}, {1, &p.workspace, 8}, {3, &p.reductions, 4}, {5, &p.alignment[0], 4}, {6, &p.alignment[1], 4},
            {7, &p.alignment[2], 4}, {8, &p.alignment[3], 4}, {9, &p.waves, 4}, {12, &p.implementations, 8}};
}

EXPORT int cublasLtMatmulDescCreate(void** desc, int compute, int scale) {
    if (desc == nullptr || compute < COMPUTE_16F || compute > COMPUTE_32F_FAST_TF32 || bytes_of(scale) == 0) return INVALID_VALUE;
    auto* d = new Desc;
    d->compute = compute;
    d->scale = scale;
    *desc = given(d, 'd');
    return SUCCESS;
}
EXPORT int cublasLtMatmulDescDestroy(void* d) { return taken_back(d, 'd'); }
EXPORT int cublasLtMatmulDescSetAttribute(void* d, int attribute, const void* from, size_t n) {
    if (!known(d, 'd')) return INVALID_VALUE;
    const int result = set(fields(*(Desc*)d), attribute, from, n);
    const Desc& now = *(Desc*)d;
    const bool valid = now.trans_a >= 0 && now.trans_a <= 2 && now.trans_b >= 0 && now.trans_b <= 2 && now.trans_c == 0;
    return result == SUCCESS && !valid ? INVALID_VALUE : result;
}
EXPORT int cublasLtMatmulDescGetAttribute(void* d, int attribute, void* to, size_t n, size_t* written) {
    return known(d, 'd') ? get(fields(*(Desc*)d), attribute, to, n, written) : INVALID_VALUE;
}
EXPORT int cublasLtMatrixLayoutCreate(void** layout, int type, u64 rows, u64 cols, long long ld) {
    if (layout == nullptr || bytes_of(type) == 0) return INVALID_VALUE;
    auto* l = new Layout;
    l->type = type;
    l->rows = rows;
    l->cols = cols;
    l->ld = ld;
    *layout = given(l, 'l');
    return SUCCESS;
}
EXPORT int cublasLtMatrixLayoutDestroy(void* l) { return taken_back(l, 'l'); }
EXPORT int cublasLtMatrixLayoutSetAttribute(void* l, int attribute, const void* from, size_t n) {
    return known(l, 'l') ? set(fields(*(Layout*)l), attribute, from, n) : INVALID_VALUE;
}
EXPORT int cublasLtMatrixLayoutGetAttribute(void* l, int attribute, void* to, size_t n, size_t* written) {
    return known(l, 'l') ? get(fields(*(Layout*)l), attribute, to, n, written) : INVALID_VALUE;
}
EXPORT int cublasLtMatmulPreferenceCreate(void** preference) {
    if (preference == nullptr) return INVALID_VALUE;
    *preference = given(new Preference, 'p');
    return SUCCESS;
}
EXPORT int cublasLtMatmulPreferenceDestroy(void* p) { return taken_back(p, 'p'); }
EXPORT int cublasLtMatmulPreferenceSetAttribute(void* p, int attribute, const void* from, size_t n) {
    return known(p, 'p') ? set(fields(*(Preference*)p), attribute, from, n) : INVALID_VALUE;
}
EXPORT int cublasLtMatmulPreferenceGetAttribute(void* p, int attribute, void* to, size_t n, size_t* written) {
    return known(p, 'p') ? get(fields(*(Preference*)p), attribute, to, n, written) : INVALID_VALUE;
}

// ---- problems

struct Problem {
    Desc desc;
    Layout a, b, c, d;
    u64 m() const { return d.rows; }
    u64 n() const { return d.cols; }
    u64 k() const { return desc.trans_a == 0 ? a.cols : a.rows; }
};

static bool fits(const Layout& l) {
    if (l.order != ORDER_COL && l.order != ORDER_ROW) return false;
    return l.rows > 0 && l.cols > 0 && l.ld >= (long long)(l.order == ORDER_COL ? l.rows : l.cols) && l.batch > 0;
}

// whether types go together, by the tables of the manual
static bool types_go(const Problem& p) {
    const int ab = p.a.type, c = p.c.type, s = p.desc.scale;
    if (p.b.type != ab || p.d.type != c) return false;
    switch (p.desc.compute) {
        case COMPUTE_16F:
        case COMPUTE_16F_PEDANTIC: return s == R_16F && ab == R_16F && c == R_16F;
        case COMPUTE_32I:
        case COMPUTE_32I_PEDANTIC: return ab == R_8I && ((s == R_32I && c == R_32I) || (s == R_32F && c == R_8I));
        case COMPUTE_32F:
        case COMPUTE_32F_PEDANTIC:
            if (s == C_32F) return ab == C_32F && c == C_32F;
            return s == R_32F && ((ab == R_16BF && (c == R_16BF || c == R_32F)) || (ab == R_16F && (c == R_16F || c == R_32F)) ||
                                  (ab == R_8I && c == R_32F) || (ab == R_32F && c == R_32F));
        case COMPUTE_32F_FAST_16F:
        case COMPUTE_32F_FAST_16BF:
        case COMPUTE_32F_FAST_TF32: return (s == R_32F && ab == R_32F && c == R_32F) || (s == C_32F && ab == C_32F && c == C_32F);
        case COMPUTE_64F:
        case COMPUTE_64F_PEDANTIC: return (s == R_64F && ab == R_64F && c == R_64F) || (s == C_64F && ab == C_64F && c == C_64F);
        default: return false;
    }
}

#define REFUSE(status, ...) \
    do {                    \
        SAY(__VA_ARGS__);   \
        return status;      \
    } while (0)

static int check(const Problem& p) {
    const Desc& d = p.desc;
    for (const Layout* l : {&p.a, &p.b, &p.c, &p.d})
        if (!fits(*l))
            REFUSE(INVALID_VALUE, "cublasLt: a matrix of %llu x %llu with leading dimension %lld, order %d, %d of them", l->rows, l->cols, l->ld,
                   l->order, l->batch);
    const u64 m = d.trans_a == 0 ? p.a.rows : p.a.cols, n = d.trans_b == 0 ? p.b.cols : p.b.rows, kb = d.trans_b == 0 ? p.b.rows : p.b.cols;
    if (m != p.m() || n != p.n() || kb != p.k() || p.c.rows != m || p.c.cols != n)
        REFUSE(INVALID_VALUE, "cublasLt: the product of %llu x %llu and %llu x %llu as %llu x %llu (transposed: %d, %d)", p.a.rows, p.a.cols, p.b.rows,
               p.b.cols, p.d.rows, p.d.cols, d.trans_a, d.trans_b);
    if (p.a.batch != p.d.batch || p.b.batch != p.d.batch || p.c.batch != p.d.batch)
        REFUSE(INVALID_VALUE, "cublasLt: %d, %d, %d and %d matrices", p.a.batch, p.b.batch, p.c.batch, p.d.batch);
    if (p.d.batch > 1 && p.d.offset == 0) REFUSE(INVALID_VALUE, "cublasLt: %d results at one place", p.d.batch);
    if (!types_go(p))
        REFUSE(NOT_SUPPORTED, "cublasLt: compute type %d, scale type %d, of types %d and %d to %d and %d", d.compute, d.scale, p.a.type, p.b.type,
               p.c.type, p.d.type);
    if (p.c.order != p.d.order) REFUSE(NOT_SUPPORTED, "cublasLt: C and D of different orders");
    if (d.fill != 2) REFUSE(NOT_SUPPORTED, "cublasLt: a fill mode");
    if (d.pointer_mode != 0 && d.pointer_mode != 1) REFUSE(NOT_SUPPORTED, "cublasLt: pointer mode %d", d.pointer_mode);
    const bool integers = d.compute == COMPUTE_32I || d.compute == COMPUTE_32I_PEDANTIC;
    if (integers) {
        const bool fours = p.m() % 4 == 0 && p.k() % 4 == 0 && p.a.ld % 4 == 0 && p.b.ld % 4 == 0 && p.d.ld % 4 == 0;
        for (const Layout* l : {&p.a, &p.b, &p.c, &p.d})
            if (l->order != ORDER_COL) REFUSE(NOT_SUPPORTED, "cublasLt: integers in row order");
        if (d.trans_a == 0 || d.trans_b != 0 || !fours)
            REFUSE(NOT_SUPPORTED, "cublasLt: integers need A transposed, B not, and m, k and leading dimensions that are multiples of 4");
    }
    const unsigned e = d.epilogue;
    if (e != 1 && e != RELU && e != BIAS && e != (RELU | BIAS) && e != GELU && e != (GELU | BIAS)) REFUSE(NOT_SUPPORTED, "cublasLt: epilogue %u", e);
    if (e != 1) {
        if (d.compute == COMPUTE_64F || d.compute == COMPUTE_64F_PEDANTIC || is_complex(p.d.type) || d.scale == R_32I)
            REFUSE(NOT_SUPPORTED, "cublasLt: epilogue %u of type %d", e, p.d.type);
        if ((e & BIAS) && p.d.order != ORDER_COL) REFUSE(NOT_SUPPORTED, "cublasLt: a bias of a result in row order");
        if ((e & BIAS) && d.bias_type >= 0 && d.bias_type != p.d.type && !(p.d.type == R_8I && d.bias_type == R_32F))
            REFUSE(NOT_SUPPORTED, "cublasLt: a bias of type %d for a result of type %d", d.bias_type, p.d.type);
    }
    return SUCCESS;
}

static u64 number_of(const Problem& p) {
    const Layout* all[] = {&p.a, &p.b, &p.c, &p.d};
    u64 h = 1469598103934665603ull;
    auto mix = [&](u64 x) { h = (h ^ x) * 1099511628211ull; };
    for (const Layout* l : all) {
        for (u64 x : {(u64)l->type, (u64)l->order, l->rows, l->cols, (u64)l->ld, (u64)l->batch, (u64)l->offset}) mix(x);
    }
    for (u64 x : {(u64)p.desc.compute, (u64)p.desc.scale, (u64)p.desc.trans_a, (u64)p.desc.trans_b, (u64)p.desc.epilogue, (u64)p.desc.pointer_mode}) mix(x);
    return h;
}

static int problem(void* handle, void* desc, void* a, void* b, void* c, void* d, Problem& p) {
    if (!known(handle, 'h')) return NOT_INITIALIZED;
    if (!known(desc, 'd') || !known(a, 'l') || !known(b, 'l') || !known(c, 'l') || !known(d, 'l')) return INVALID_VALUE;
    p = {*(Desc*)desc, *(Layout*)a, *(Layout*)b, *(Layout*)c, *(Layout*)d};
    return check(p);
}

EXPORT int cublasLtMatmulAlgoGetHeuristic(void* handle, void* desc, void* a, void* b, void* c, void* d, void* preference, int wanted, Heuristic* results,
                                          int* count) {
    if (count == nullptr || results == nullptr || wanted <= 0 || !known(preference, 'p')) return INVALID_VALUE;
    *count = 0;
    Problem p;
    const int status = problem(handle, desc, a, b, c, d, p);
    if (status != SUCCESS) return status;
    const Preference& want = *(Preference*)preference;
    // those that split the sum need room
    static const size_t rooms[] = {4 << 20, 0, 1 << 20, 64 << 10};
    for (int i = 0; i < 4 && *count < wanted; i++) {
        if (rooms[i] > want.workspace) continue;
        Heuristic h = {};
        u64 alignments = 0;
        for (int j = 0; j < 4; j++) alignments |= (u64)std::min(16u, std::max(1u, want.alignment[j])) << (8 * j);
        h.algorithm.data[0] = number_of(p);
        h.algorithm.data[1] = (u64)i + 1;
        h.algorithm.data[2] = rooms[i];
        h.algorithm.data[3] = alignments;
        h.workspace = rooms[i];
        h.waves = 1.0f;
        results[(*count)++] = h;
    }
    return SUCCESS;
}

// ---- products

struct Work {
    Problem p;
    u64 alpha_at, beta_at;  // where they are, on the device
    complex alpha, beta;
    u64 a, b, c, d, workspace, workspace_bytes;
    bool loses_nan;
};

static u64 index(const Layout& l, u64 i, u64 j) { return l.order == ORDER_COL ? i + j * (u64)l.ld : i * (u64)l.ld + j; }
static u64 extent(const Layout& l) { return (index(l, l.rows - 1, l.cols - 1) + 1) * bytes_of(l.type); }

static complex rounded(complex x, int compute) {
    switch (compute) {
        case COMPUTE_32F_FAST_TF32: return complex(drop_bits((float)x.real(), 13), drop_bits((float)x.imag(), 13));
        case COMPUTE_32F_FAST_16BF: return complex(drop_bits((float)x.real(), 16), drop_bits((float)x.imag(), 16));
        case COMPUTE_32F_FAST_16F: return complex(f16_to_float(double_to_f16(x.real())), f16_to_float(double_to_f16(x.imag())));
        default: return x;
    }
}

// op(X) of one matrix, in row order
template <class T> static std::vector<T> operand(const void* at, const Layout& l, int trans, int compute) {
    const u64 rows = trans == 0 ? l.rows : l.cols, cols = trans == 0 ? l.cols : l.rows;
    std::vector<T> x(rows * cols);
    for (u64 i = 0; i < rows; i++)
        for (u64 j = 0; j < cols; j++) {
            complex v = rounded(load(at, l.type, trans == 0 ? index(l, i, j) : index(l, j, i)), compute);
            if (trans == 2) v = std::conj(v);
            if constexpr (std::is_same<T, complex>::value)
                x[i * cols + j] = v;
            else
                x[i * cols + j] = v.real();
        }
    return x;
}

static complex finished(complex x, const Work& w, complex bias) {
    const unsigned e = w.p.desc.epilogue;
    if (e == 1) return x;
    double y = x.real();
    if (e & BIAS) y += bias.real();
    if (e & RELU) y = y > 0 || (y != y && !w.loses_nan) ? y : 0;
    if (e & GELU) y = 0.5 * y * (1.0 + std::tanh(0.7978845608028654 * (y + 0.044715 * y * y * y)));
    return y;
}

template <class T> static void multiply(const Work& w, u64 batch, const char* bias) {
    const Problem& p = w.p;
    const u64 m = p.m(), n = p.n(), k = p.k();
    auto place = [&](u64 at, const Layout& l, const char* what) {
        return (char*)softwareGpuTranslate(at + batch * (u64)l.offset * bytes_of(l.type), extent(l), what);
    };
    const char *pa = place(w.a, p.a, "cublasLtMatmul: A"), *pb = place(w.b, p.b, "cublasLtMatmul: B");
    const char* pc = w.beta != 0.0 ? place(w.c, p.c, "cublasLtMatmul: C") : nullptr;
    char* pd = place(w.d, p.d, "cublasLtMatmul: D");
    if (pa == nullptr || pb == nullptr || pd == nullptr || (w.beta != 0.0 && pc == nullptr)) return;
    const std::vector<T> a = operand<T>(pa, p.a, p.desc.trans_a, p.desc.compute), b = operand<T>(pb, p.b, p.desc.trans_b, p.desc.compute);
    std::vector<T> row(n);
    for (u64 i = 0; i < m; i++) {
        std::fill(row.begin(), row.end(), T(0));
        for (u64 l = 0; l < k; l++)
            for (u64 j = 0; j < n; j++) row[j] += a[i * k + l] * b[l * n + j];
        for (u64 j = 0; j < n; j++) {
            complex x = w.alpha * complex(row[j]);
            if (w.beta != 0.0) x += w.beta * load(pc, p.c.type, index(p.c, i, j));
            if (p.desc.epilogue & BIAS) x = finished(x, w, load(bias, p.desc.bias_type >= 0 ? p.desc.bias_type : p.d.type, i));
            else x = finished(x, w, 0);
            store(pd, p.d.type, index(p.d, i, j), x);
        }
    }
}

static void run(Work w) {
    const Problem& p = w.p;
    if (p.desc.pointer_mode == 1) {
        const void* alpha = softwareGpuTranslate(w.alpha_at, bytes_of(p.desc.scale), "cublasLtMatmul: alpha");
        const void* beta = softwareGpuTranslate(w.beta_at, bytes_of(p.desc.scale), "cublasLtMatmul: beta");
        if (alpha == nullptr || beta == nullptr) return;
        w.alpha = load(alpha, p.desc.scale, 0);
        w.beta = load(beta, p.desc.scale, 0);
    }
    // what was in the workspace is lost
    if (w.workspace_bytes > 0) {
        void* room = softwareGpuTranslate(w.workspace, w.workspace_bytes, "cublasLtMatmul: workspace");
        if (room == nullptr) return;
        memset(room, 0xee, w.workspace_bytes);
    }
    const int bias_type = p.desc.bias_type >= 0 ? p.desc.bias_type : p.d.type;
    for (u64 batch = 0; batch < (u64)p.d.batch; batch++) {
        const char* bias = nullptr;
        if ((p.desc.epilogue & BIAS) && p.desc.epilogue != 1) {
            const u64 at = p.desc.bias + batch * (u64)p.desc.bias_stride * bytes_of(bias_type);
            bias = (const char*)softwareGpuTranslate(at, p.m() * bytes_of(bias_type), "cublasLtMatmul: bias");
            if (bias == nullptr) return;
        }
        if (is_complex(p.a.type))
            multiply<complex>(w, batch, bias);
        else
            multiply<double>(w, batch, bias);
    }
}

EXPORT int cublasLtMatmul(void* handle, void* desc, const void* alpha, const void* a, void* a_layout, const void* b, void* b_layout, const void* beta,
                          const void* c, void* c_layout, void* d, void* d_layout, const Algorithm* algorithm, void* workspace, size_t workspace_bytes,
                          void* stream) {
    Work w = {};
    const int status = problem(handle, desc, a_layout, b_layout, c_layout, d_layout, w.p);
    if (status != SUCCESS) return status;
    const Problem& p = w.p;
    if (alpha == nullptr || beta == nullptr || a == nullptr || b == nullptr || d == nullptr) return INVALID_VALUE;
    w.a = (u64)a, w.b = (u64)b, w.c = (u64)c, w.d = (u64)d;
    if (p.desc.pointer_mode == 0) {
        w.alpha = load(alpha, p.desc.scale, 0);
        w.beta = load(beta, p.desc.scale, 0);
    } else {
        w.alpha_at = (u64)alpha, w.beta_at = (u64)beta;
    }
    if (c == nullptr && (p.desc.pointer_mode != 0 || w.beta != 0.0)) return INVALID_VALUE;
    if (c == d && (p.c.ld != p.d.ld || p.c.order != p.d.order || p.c.offset != p.d.offset))
        REFUSE(INVALID_VALUE, "cublasLt: C is D, and they have different layouts");
    if (d == a || d == b) REFUSE(INVALID_VALUE, "cublasLt: D is an operand");
    if ((p.desc.epilogue & BIAS) && p.desc.epilogue != 1 && p.desc.bias == 0) REFUSE(INVALID_VALUE, "cublasLt: no bias");
    const u64 pointers[] = {w.a, w.b, c != nullptr ? w.c : 0, w.d};
    const Layout* layouts[] = {&p.a, &p.b, &p.c, &p.d};
    for (int i = 0; i < 4; i++)
        if (pointers[i] % std::min<u64>(bytes_of(layouts[i]->type), 8) != 0) REFUSE(INVALID_VALUE, "cublasLt: an address that is not aligned");
    // some of the library's rectifiers are the maximum that is a number if one of two is
    w.loses_nan = algorithm != nullptr && algorithm->data[1] == 1;
    if (algorithm != nullptr) {
        if (algorithm->data[0] != number_of(p) || algorithm->data[1] == 0 || algorithm->data[1] > 4)
            REFUSE(INVALID_VALUE, "cublasLt: an algorithm that was not found for this product");
        if (algorithm->data[2] > workspace_bytes) REFUSE(INVALID_VALUE, "cublasLt: a workspace of %zu bytes, not %llu", workspace_bytes, algorithm->data[2]);
        for (int i = 0; i < 4; i++)
            if (pointers[i] % (algorithm->data[3] >> (8 * i) & 255) != 0)
                REFUSE(NOT_SUPPORTED, "cublasLt: an address that is less aligned than the algorithm was found for");
    }
    if (workspace_bytes > 0 && workspace == nullptr) REFUSE(INVALID_VALUE, "cublasLt: no workspace");
    if (workspace_bytes > 0) {
        if ((u64)workspace % 256 != 0) REFUSE(INVALID_VALUE, "cublasLt: a workspace that is not aligned to 256 bytes");
        if (!softwareGpuIsMemory((u64)workspace, workspace_bytes)) REFUSE(INVALID_VALUE, "cublasLt: a workspace that is no device memory of %zu bytes", workspace_bytes);
        w.workspace = (u64)workspace;
        w.workspace_bytes = workspace_bytes;
    }
    return enqueue(stream, "cublasLtMatmul", [w] { run(w); }) == 0 ? SUCCESS : EXECUTION_FAILED;
}
