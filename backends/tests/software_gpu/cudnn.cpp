// cuDNN: convolutions, as loops over all that is multiplied; added up in f64.
#include "library.h"
#include <algorithm>
#include <mutex>
#include <set>

enum Status {
    SUCCESS = 0,
    NOT_INITIALIZED = 1001,
    BAD_PARAM = 2000,
    BAD_PARAM_NULL_POINTER = 2002,
    BAD_PARAM_MISALIGNED_POINTER = 2003,
    BAD_PARAM_OUT_OF_BOUND = 2005,
    BAD_PARAM_SIZE_INSUFFICIENT = 2006,
    BAD_PARAM_SHAPE_MISMATCH = 2008,
    NOT_SUPPORTED = 3000,
    NOT_SUPPORTED_DATA_TYPE = 3003,
    NOT_SUPPORTED_LAYOUT = 3004,
    EXECUTION_FAILED = 5000,
};
enum Data { FLOAT = 0, DOUBLE = 1, HALF = 2, BFLOAT16 = 9 };
enum Format { NCHW = 0, NHWC = 1 };
enum Mode { CONVOLUTION = 0, CROSS_CORRELATION = 1 };
enum Math { DEFAULT_MATH = 0, TENSOR_OP_MATH = 1, ALLOW_CONVERSION = 2, FMA_MATH = 3 };
enum Direction { FORWARD, BACKWARD_DATA, BACKWARD_FILTER };
enum { MOST_DIMS = 8, MOST_AXES = MOST_DIMS - 2 };

struct Handle {
    void* stream;
};
struct Tensor {
    int type, dims, size[MOST_DIMS], stride[MOST_DIMS];
};
struct Filter {
    int type, format, dims, size[MOST_DIMS];
};
struct Convolution {
    int axes, pad[MOST_AXES], stride[MOST_AXES], dilation[MOST_AXES], mode, compute, groups, math;
};
// as the header has it, for all three functions
struct Perf {
    int algo, status;
    float time;
    size_t memory;
    int determinism, math, reserved[3];
};

#define REFUSE(status, ...) \
    do {                    \
        SAY(__VA_ARGS__);   \
        return status;      \
    } while (0)

// ---- handles and descriptions

static std::mutex the_lock;
static auto& alive = *new std::set<const void*>;

template <class T> static bool known(T* p) {
    std::lock_guard<std::mutex> lock(the_lock);
    return alive.count(p) != 0;
}
template <class T> static int create(T** made) {
    if (made == nullptr) return BAD_PARAM_NULL_POINTER;
    *made = new T();
    std::lock_guard<std::mutex> lock(the_lock);
    alive.insert(*made);
    return SUCCESS;
}
template <class T> static int destroy(T* p) {
    std::lock_guard<std::mutex> lock(the_lock);
    if (alive.erase(p) == 0) return BAD_PARAM;
    delete p;
    return SUCCESS;
}

EXPORT size_t cudnnGetVersion() { return 91002; }
EXPORT int cudnnCreate(Handle** handle) {
    if (!has_context()) REFUSE(NOT_INITIALIZED, "cudnnCreate without a context");
    return create(handle);
}
EXPORT int cudnnDestroy(Handle* handle) { return destroy(handle); }
EXPORT int cudnnSetStream(Handle* handle, void* stream) {
    if (!known(handle)) return BAD_PARAM;
    handle->stream = stream;
    return SUCCESS;
}
EXPORT int cudnnCreateTensorDescriptor(Tensor** t) { return create(t); }
EXPORT int cudnnDestroyTensorDescriptor(Tensor* t) { return destroy(t); }
EXPORT int cudnnCreateFilterDescriptor(Filter** f) { return create(f); }
EXPORT int cudnnDestroyFilterDescriptor(Filter* f) { return destroy(f); }
EXPORT int cudnnCreateConvolutionDescriptor(Convolution** c) {
    const int result = create(c);
    if (result == SUCCESS) (*c)->groups = 1;
    return result;
}
EXPORT int cudnnDestroyConvolutionDescriptor(Convolution* c) { return destroy(c); }

static bool is_data(int type) { return type == FLOAT || type == DOUBLE || type == HALF || type == BFLOAT16; }
static int stored(int type) { return type == FLOAT ? R_32F : type == DOUBLE ? R_64F : type == HALF ? R_16F : R_16BF; }

EXPORT int cudnnSetTensorNdDescriptor(Tensor* t, int type, int dims, const int* size, const int* stride) {
    if (!known(t)) return BAD_PARAM;
    if (size == nullptr || stride == nullptr) return BAD_PARAM_NULL_POINTER;
    if (!is_data(type)) return NOT_SUPPORTED_DATA_TYPE;
    if (dims < 4 || dims > MOST_DIMS) REFUSE(dims < 4 ? BAD_PARAM : NOT_SUPPORTED, "cudnnSetTensorNdDescriptor: %d dimensions", dims);
    long long extent = 1;
    for (int d = 0; d < dims; d++) {
        if (size[d] < 1 || stride[d] < 1) REFUSE(BAD_PARAM, "cudnnSetTensorNdDescriptor: %d elements, %d apart", size[d], stride[d]);
        extent += (long long)(size[d] - 1) * stride[d];
    }
    if (extent > INT32_MAX) REFUSE(NOT_SUPPORTED, "cudnnSetTensorNdDescriptor: %lld elements", extent);
    t->type = type, t->dims = dims;
    std::copy_n(size, dims, t->size);
    std::copy_n(stride, dims, t->stride);
    return SUCCESS;
}
EXPORT int cudnnSetFilterNdDescriptor(Filter* f, int type, int format, int dims, const int* size) {
    if (!known(f)) return BAD_PARAM;
    if (size == nullptr) return BAD_PARAM_NULL_POINTER;
    if (!is_data(type)) return NOT_SUPPORTED_DATA_TYPE;
    if (dims < 3 || dims > MOST_DIMS || (format != NCHW && format != NHWC)) REFUSE(BAD_PARAM, "cudnnSetFilterNdDescriptor: %d dimensions, format %d", dims, format);
    if (std::any_of(size, size + dims, [](int n) { return n < 1; })) REFUSE(BAD_PARAM, "cudnnSetFilterNdDescriptor: a size that is not positive");
    f->type = type, f->format = format, f->dims = dims;
    std::copy_n(size, dims, f->size);
    return SUCCESS;
}
EXPORT int cudnnSetConvolutionNdDescriptor(Convolution* c, int axes, const int* pad, const int* stride, const int* dilation, int mode, int compute) {
    if (!known(c)) return BAD_PARAM;
    if (pad == nullptr || stride == nullptr || dilation == nullptr) return BAD_PARAM_NULL_POINTER;
    if (axes > MOST_AXES) return NOT_SUPPORTED;
    if (axes < 2 || (mode != CONVOLUTION && mode != CROSS_CORRELATION)) REFUSE(BAD_PARAM, "cudnnSetConvolutionNdDescriptor: %d axes, mode %d", axes, mode);
    if (compute != FLOAT && compute != DOUBLE && compute != HALF) return BAD_PARAM;
    for (int a = 0; a < axes; a++)
        if (pad[a] < 0 || stride[a] < 1 || dilation[a] < 1)
            REFUSE(BAD_PARAM, "cudnnSetConvolutionNdDescriptor: padding %d, stride %d, dilation %d", pad[a], stride[a], dilation[a]);
    c->axes = axes, c->mode = mode, c->compute = compute;
    std::copy_n(pad, axes, c->pad);
    std::copy_n(stride, axes, c->stride);
    std::copy_n(dilation, axes, c->dilation);
    return SUCCESS;
}
EXPORT int cudnnSetConvolutionGroupCount(Convolution* c, int groups) {
    if (!known(c) || groups < 1) return BAD_PARAM;
    c->groups = groups;
    return SUCCESS;
}
EXPORT int cudnnSetConvolutionMathType(Convolution* c, int math) {
    if (!known(c) || math < DEFAULT_MATH || math > FMA_MATH) return BAD_PARAM;
    c->math = math;
    return SUCCESS;
}

// ---- what is computed, and how

// It is copied when work is queued.
struct Problem {
    Tensor x, y;
    Filter w;
    Convolution c;
    int axes() const { return c.axes; }
    size_t bytes() const {
        const auto count = [](const int* size, int dims) {
            size_t n = 1;
            for (int d = 0; d < dims; d++) n *= (size_t)size[d];
            return n;
        };
        return (count(x.size, x.dims) + count(w.size, w.dims)) * bytes_of(stored(x.type));
    }
    bool is_filter(int n) const { return std::all_of(w.size + 2, w.size + w.dims, [n](int size) { return size == n; }); }
};

// whether a tensor lies as dense as a filter of the format
static bool lies(const Tensor& t, int format) {
    int order[MOST_DIMS], n = 0, next = 1;
    if (format == NHWC) order[n++] = 1;
    for (int d = t.dims - 1; d >= 2; d--) order[n++] = d;
    if (format == NCHW) order[n++] = 1;
    order[n++] = 0;
    for (int i = 0; i < n; i++) {
        if (t.size[order[i]] != 1 && t.stride[order[i]] != next) return false;
        next *= t.size[order[i]];
    }
    return true;
}

static int check(Handle* h, const Tensor* x, const Filter* w, const Tensor* y, const Convolution* c, Problem& p) {
    if (!known(h) || !known(x) || !known(w) || !known(y) || !known(c)) return BAD_PARAM;
    if (x->dims == 0 || w->dims == 0 || y->dims == 0 || c->axes == 0) REFUSE(BAD_PARAM, "cuDNN: a description that was not set");
    p = {*x, *y, *w, *c};
    if (x->dims != c->axes + 2 || w->dims != x->dims || y->dims != x->dims)
        REFUSE(BAD_PARAM, "cuDNN: arrays of %d, %d and %d dimensions, a convolution of %d", x->dims, w->dims, y->dims, c->axes);
    if (w->type != x->type || y->type != x->type) REFUSE(BAD_PARAM, "cuDNN: dtypes %d, %d and %d", x->type, w->type, y->type);
    const bool computes = x->type == DOUBLE ? c->compute == DOUBLE : c->compute == FLOAT || (c->compute == HALF && x->type == HALF);
    if (!computes) REFUSE(NOT_SUPPORTED_DATA_TYPE, "cuDNN: dtype %d computed as %d", x->type, c->compute);
    const int groups = c->groups;
    if (x->size[1] != w->size[1] * groups || y->size[1] != w->size[0] || w->size[0] % groups != 0 || x->size[0] != y->size[0])
        REFUSE(BAD_PARAM_SHAPE_MISMATCH, "cuDNN: features %d and %d, a filter from %d to %d, %d groups; batches %d and %d", x->size[1], y->size[1], w->size[1], w->size[0], groups,
               x->size[0], y->size[0]);
    for (int a = 0; a < c->axes; a++) {
        const long long room = x->size[2 + a] + 2ll * c->pad[a] - ((w->size[2 + a] - 1ll) * c->dilation[a] + 1);
        if (room < 0 || room / c->stride[a] + 1 != y->size[2 + a])
            REFUSE(BAD_PARAM_SHAPE_MISMATCH, "cuDNN: along axis %d, from %d by %d to %d; padding %d, stride %d, dilation %d", a, x->size[2 + a], w->size[2 + a], y->size[2 + a],
                   c->pad[a], c->stride[a], c->dilation[a]);
    }
    if (c->axes > 3) return NOT_SUPPORTED;
    if (!lies(*x, w->format) || !lies(*y, w->format)) return NOT_SUPPORTED_LAYOUT;
    // features behind the spatial axes are for tensor cores
    if (w->format == NHWC && (x->type == DOUBLE || c->mode != CROSS_CORRELATION)) return NOT_SUPPORTED_LAYOUT;
    return SUCCESS;
}

// The algorithms of a problem, those that are thought to be fast first.
static std::vector<Perf> algorithms(Direction d, const Problem& p) {
    const auto perf = [&](int algo, int status, size_t memory, bool same) {
        const int math = p.c.math == DEFAULT_MATH && p.x.type == FLOAT ? TENSOR_OP_MATH : p.c.math;
        return Perf{algo, status, status == SUCCESS ? 1.0f : -1.0f, memory, same, math, {0, 0, 0}};
    };
    const size_t work = p.bytes();
    const bool flat = p.axes() == 2 && p.w.format == NCHW;
    const auto only = [&](bool condition) { return condition ? SUCCESS : NOT_SUPPORTED; };
    bool unit = true;
    for (int a = 0; a < p.axes(); a++) unit = unit && p.c.stride[a] == 1 && p.c.dilation[a] == 1;
    if (d == FORWARD)
        return {perf(4, only(flat && unit && p.is_filter(5)), (size_t)3 << 30, true), perf(1, SUCCESS, work, true), perf(0, SUCCESS, 0, true),
                perf(7, only(flat && unit && p.is_filter(3)), 2 * work, true), perf(3, NOT_SUPPORTED, 0, true)};
    if (d == BACKWARD_DATA)
        return {perf(2, only(flat && unit && p.is_filter(5)), (size_t)3 << 30, true), perf(0, SUCCESS, 0, false), perf(1, SUCCESS, work, true), perf(4, NOT_SUPPORTED, 0, true)};
    return {perf(2, only(flat && unit && p.is_filter(5)), (size_t)3 << 30, true), perf(0, SUCCESS, 0, false), perf(1, SUCCESS, work, true), perf(3, only(flat), work, false)};
}

static int ask(Direction d, Handle* h, Tensor* x, Filter* w, Tensor* y, Convolution* c, int asked, int* count, Perf* found) {
    Problem p;
    const int result = check(h, x, w, y, c, p);
    if (result != SUCCESS) return result;
    if (count == nullptr || found == nullptr) return BAD_PARAM_NULL_POINTER;
    if (asked < 1) return BAD_PARAM;
    const std::vector<Perf> all = algorithms(d, p);
    *count = std::min(asked, (int)all.size());
    std::copy_n(all.begin(), *count, found);
    return SUCCESS;
}

static int size_of(Direction d, Handle* h, Tensor* x, Filter* w, Tensor* y, Convolution* c, int algo, size_t* bytes) {
    Problem p;
    const int result = check(h, x, w, y, c, p);
    if (result != SUCCESS) return result;
    if (bytes == nullptr) return BAD_PARAM_NULL_POINTER;
    for (const Perf& f : algorithms(d, p))
        if (f.algo == algo && f.status == SUCCESS) {
            *bytes = f.memory;
            return SUCCESS;
        }
    REFUSE(NOT_SUPPORTED, "cuDNN: algorithm %d is none for this convolution", algo);
}

// ---- the work

// The numbers of an array in the order n c h w, and how they lie.
struct Numbers {
    std::vector<double> v;
    std::vector<size_t> at;
    int type;
    char* memory;

    Numbers(const int* size, const int* stride, int dims, int type, u64 address, const char* what) : type(type) {
        size_t extent = 1, count = 1;
        for (int d = 0; d < dims; d++) extent += (size_t)(size[d] - 1) * (size_t)stride[d], count *= (size_t)size[d];
        memory = (char*)softwareGpuTranslate(address, extent * bytes_of(type), what);
        at.resize(count);
        v.resize(count);
        for (size_t i = 0; i < count; i++) {
            size_t rest = i;
            for (int d = dims - 1; d >= 0; d--) at[i] += rest % (size_t)size[d] * (size_t)stride[d], rest /= (size_t)size[d];
        }
    }
    void read(bool rounds) {
        for (size_t i = 0; i < v.size(); i++) {
            v[i] = load(memory, type, at[i]).real();
            if (rounds) v[i] = drop_bits((float)v[i], 13);
        }
    }
    // alpha times what was computed, and beta times what was there, which is not read where beta is 0
    void write(double alpha, double beta) {
        for (size_t i = 0; i < v.size(); i++) {
            const double before = beta == 0 ? 0 : beta * load(memory, type, at[i]).real();
            store(memory, type, at[i], alpha * v[i] + before);
        }
    }
};

// For each pair of elements of input and filter that meet: their positions and that of the output.
template <class F> static void each(const Problem& p, F visit) {
    const int axes = p.axes(), groups = p.c.groups, features = p.w.size[1], of_group = p.w.size[0] / groups;
    size_t places = 1, taps = 1, inputs = 1;
    for (int a = 0; a < axes; a++) places *= (size_t)p.y.size[2 + a], taps *= (size_t)p.w.size[2 + a], inputs *= (size_t)p.x.size[2 + a];
    for (size_t o = 0; o < places; o++)
        for (size_t f = 0; f < taps; f++) {
            size_t i = 0, o_rest = o, f_rest = f, scale = 1;
            bool inside = true;
            for (int a = axes - 1; a >= 0; a--) {
                const long long n = p.x.size[2 + a], size = p.w.size[2 + a];
                long long tap = (long long)(f_rest % (size_t)size);
                if (p.c.mode == CONVOLUTION) tap = size - 1 - tap;
                const long long at = (long long)(o_rest % (size_t)p.y.size[2 + a]) * p.c.stride[a] + tap * p.c.dilation[a] - p.c.pad[a];
                inside = inside && at >= 0 && at < n;
                i += (size_t)at * scale, scale *= (size_t)n;
                o_rest /= (size_t)p.y.size[2 + a], f_rest /= (size_t)size;
            }
            if (!inside) continue;
            for (int n = 0; n < p.x.size[0]; n++)
                for (int k = 0; k < p.w.size[0]; k++)
                    for (int c = 0; c < features; c++) {
                        const size_t input = (size_t)n * (size_t)p.x.size[1] + (size_t)(k / of_group * features + c);
                        visit(input * inputs + i, ((size_t)k * (size_t)features + (size_t)c) * taps + f, ((size_t)n * (size_t)p.w.size[0] + (size_t)k) * places + o);
                    }
        }
}

struct Work {
    Problem p;
    Direction direction;
    double alpha, beta;
    u64 x, w, y, workspace;
    size_t bytes;
};

static void run(const Work& work) {
    const Problem& p = work.p;
    const int type = stored(p.x.type), dims = p.x.dims;
    int stride[MOST_DIMS], next = 1;
    if (p.w.format == NHWC) stride[1] = 1, next = p.w.size[1];
    for (int d = dims - 1; d >= 2; d--) stride[d] = next, next *= p.w.size[d];
    if (p.w.format == NCHW) stride[1] = next, next *= p.w.size[1];
    stride[0] = next;
    Numbers x(p.x.size, p.x.stride, dims, type, work.x, "cuDNN: x"), y(p.y.size, p.y.stride, dims, type, work.y, "cuDNN: y"), w(p.w.size, stride, dims, type, work.w, "cuDNN: w");
    if (x.memory == nullptr || y.memory == nullptr || w.memory == nullptr) return;
    if (work.bytes > 0) {
        void* workspace = softwareGpuTranslate(work.workspace, work.bytes, "cuDNN: workspace");
        if (workspace == nullptr) return;
        memset(workspace, 0xee, work.bytes);
    }
    const bool rounds = p.x.type == FLOAT && p.c.math != FMA_MATH;
    if (work.direction != FORWARD) y.read(rounds);
    if (work.direction != BACKWARD_DATA) x.read(rounds);
    if (work.direction != BACKWARD_FILTER) w.read(rounds);
    switch (work.direction) {
        case FORWARD: each(p, [&](size_t i, size_t f, size_t o) { y.v[o] += x.v[i] * w.v[f]; }); break;
        case BACKWARD_DATA: each(p, [&](size_t i, size_t f, size_t o) { x.v[i] += y.v[o] * w.v[f]; }); break;
        case BACKWARD_FILTER: each(p, [&](size_t i, size_t f, size_t o) { w.v[f] += x.v[i] * y.v[o]; }); break;
    }
    (work.direction == FORWARD ? y : work.direction == BACKWARD_DATA ? x : w).write(work.alpha, work.beta);
}

static int queue(const char* name, Direction d, Handle* h, const void* alpha, Tensor* xd, const void* x, Filter* wd, const void* w, Convolution* c, int algo, void* workspace,
                 size_t bytes, const void* beta, Tensor* yd, const void* y) {
    size_t needed = 0;
    const int result = size_of(d, h, xd, wd, yd, c, algo, &needed);
    if (result != SUCCESS) return result;
    if (alpha == nullptr || beta == nullptr || x == nullptr || w == nullptr || y == nullptr) return BAD_PARAM_NULL_POINTER;
    for (const void* at : {x, w, y, (const void*)workspace})
        if ((u64)at % 16 != 0) REFUSE(BAD_PARAM_MISALIGNED_POINTER, "%s: an address that is not a multiple of 16", name);
    if (bytes < needed || (needed > 0 && workspace == nullptr)) REFUSE(BAD_PARAM_SIZE_INSUFFICIENT, "%s: %zu bytes of workspace, not %zu", name, bytes, needed);
    const auto factor = [&](const void* at) { return xd->type == DOUBLE ? *(const double*)at : (double)*(const float*)at; };
    // what the queue keeps of it is a pointer: the descriptions are those of the call, and graphs use them again
    const Work* work = new Work{{*xd, *yd, *wd, *c}, d, factor(alpha), factor(beta), (u64)x, (u64)w, (u64)y, (u64)workspace, needed};
    return enqueue(h->stream, name, [work] { run(*work); }) == 0 ? SUCCESS : EXECUTION_FAILED;
}

// ---- each function has an order of its own

EXPORT int cudnnGetConvolutionForwardAlgorithm_v7(Handle* h, Tensor* x, Filter* w, Convolution* c, Tensor* y, int asked, int* count, Perf* found) {
    return ask(FORWARD, h, x, w, y, c, asked, count, found);
}
EXPORT int cudnnGetConvolutionBackwardDataAlgorithm_v7(Handle* h, Filter* w, Tensor* dy, Convolution* c, Tensor* dx, int asked, int* count, Perf* found) {
    return ask(BACKWARD_DATA, h, dx, w, dy, c, asked, count, found);
}
EXPORT int cudnnGetConvolutionBackwardFilterAlgorithm_v7(Handle* h, Tensor* x, Tensor* dy, Convolution* c, Filter* dw, int asked, int* count, Perf* found) {
    return ask(BACKWARD_FILTER, h, x, dw, dy, c, asked, count, found);
}
EXPORT int cudnnGetConvolutionForwardWorkspaceSize(Handle* h, Tensor* x, Filter* w, Convolution* c, Tensor* y, int algo, size_t* bytes) {
    return size_of(FORWARD, h, x, w, y, c, algo, bytes);
}
EXPORT int cudnnGetConvolutionBackwardDataWorkspaceSize(Handle* h, Filter* w, Tensor* dy, Convolution* c, Tensor* dx, int algo, size_t* bytes) {
    return size_of(BACKWARD_DATA, h, dx, w, dy, c, algo, bytes);
}
EXPORT int cudnnGetConvolutionBackwardFilterWorkspaceSize(Handle* h, Tensor* x, Tensor* dy, Convolution* c, Filter* dw, int algo, size_t* bytes) {
    return size_of(BACKWARD_FILTER, h, x, dw, dy, c, algo, bytes);
}
EXPORT int cudnnConvolutionForward(Handle* h, const void* alpha, Tensor* xd, const void* x, Filter* wd, const void* w, Convolution* c, int algo, void* workspace, size_t bytes,
                                   const void* beta, Tensor* yd, void* y) {
    return queue("cudnnConvolutionForward", FORWARD, h, alpha, xd, x, wd, w, c, algo, workspace, bytes, beta, yd, y);
}
EXPORT int cudnnConvolutionBackwardData(Handle* h, const void* alpha, Filter* wd, const void* w, Tensor* dyd, const void* dy, Convolution* c, int algo, void* workspace,
                                        size_t bytes, const void* beta, Tensor* dxd, void* dx) {
    return queue("cudnnConvolutionBackwardData", BACKWARD_DATA, h, alpha, dxd, dx, wd, w, c, algo, workspace, bytes, beta, dyd, dy);
}
EXPORT int cudnnConvolutionBackwardFilter(Handle* h, const void* alpha, Tensor* xd, const void* x, Tensor* dyd, const void* dy, Convolution* c, int algo, void* workspace,
                                          size_t bytes, const void* beta, Filter* dwd, void* dw) {
    return queue("cudnnConvolutionBackwardFilter", BACKWARD_FILTER, h, alpha, xd, x, dwd, dw, c, algo, workspace, bytes, beta, dyd, dy);
}
