// Convolutions: of numbers whose result is known, and by what makes each of the three the transposed of the others.
#include "check.h"

static const char* const DNN = "libcudnn.so.9";
enum { FLOAT = 0, DOUBLE = 1, HALF = 2, BFLOAT16 = 9 };
enum { NCHW = 0, NHWC = 1 };
enum { CONVOLUTION = 0, CROSS_CORRELATION = 1 };
enum { DEFAULT_MATH = 0, TENSOR_OP_MATH = 1, FMA_MATH = 3 };
typedef std::vector<int> Ints;

struct Perf {
    int algo, status;
    float time;
    size_t memory;
    int determinism, math, reserved[3];
};

static void* handle() {
    static void* h = nullptr;
    if (h == nullptr) OK(call(DNN, "cudnnCreate", &h));
    return h;
}

static size_t product(const Ints& n) {
    size_t all = 1;
    for (int d : n) all *= (size_t)d;
    return all;
}
static Ints dense(const Ints& n, int format) {
    Ints stride(n.size());
    int next = 1;
    auto take = [&](size_t d) { stride[d] = next, next *= n[d]; };
    if (format == NHWC) take(1);
    for (size_t d = n.size(); d-- > 2;) take(d);
    if (format == NCHW) take(1);
    take(0);
    return stride;
}

// A convolution and the descriptions of it.
struct Case {
    Ints x, w, y, pad, stride, dilation;
    int groups = 1, format = NCHW, type = FLOAT, mode = CROSS_CORRELATION, math = FMA_MATH;
    void *xd = nullptr, *wd = nullptr, *yd = nullptr, *cd = nullptr;

    int describe() {
        OK(call(DNN, "cudnnCreateTensorDescriptor", &xd));
        OK(call(DNN, "cudnnCreateTensorDescriptor", &yd));
        OK(call(DNN, "cudnnCreateFilterDescriptor", &wd));
        OK(call(DNN, "cudnnCreateConvolutionDescriptor", &cd));
        const Ints xs = dense(x, format), ys = dense(y, format);
        int said = call(DNN, "cudnnSetTensorNdDescriptor", xd, type, (int)x.size(), (const int*)x.data(), (const int*)xs.data());
        if (said == 0) said = call(DNN, "cudnnSetTensorNdDescriptor", yd, type, (int)y.size(), (const int*)y.data(), (const int*)ys.data());
        if (said == 0) said = call(DNN, "cudnnSetFilterNdDescriptor", wd, type, format, (int)w.size(), (const int*)w.data());
        if (said == 0)
            said = call(DNN, "cudnnSetConvolutionNdDescriptor", cd, (int)pad.size(), (const int*)pad.data(), (const int*)stride.data(), (const int*)dilation.data(), mode,
                        type == DOUBLE ? DOUBLE : FLOAT);
        if (said == 0) said = call(DNN, "cudnnSetConvolutionGroupCount", cd, groups);
        if (said == 0) said = call(DNN, "cudnnSetConvolutionMathType", cd, math);
        return said;
    }
    int ask(int direction, std::vector<Perf>& found) {
        found.resize(8);
        int count = 0, said = 0;
        if (direction == 0) said = call(DNN, "cudnnGetConvolutionForwardAlgorithm_v7", handle(), xd, wd, cd, yd, 8, &count, found.data());
        if (direction == 1) said = call(DNN, "cudnnGetConvolutionBackwardDataAlgorithm_v7", handle(), wd, yd, cd, xd, 8, &count, found.data());
        if (direction == 2) said = call(DNN, "cudnnGetConvolutionBackwardFilterAlgorithm_v7", handle(), xd, yd, cd, wd, 8, &count, found.data());
        found.resize((size_t)count);
        return said;
    }
    int size(int direction, int algo, size_t& bytes) {
        if (direction == 0) return call(DNN, "cudnnGetConvolutionForwardWorkspaceSize", handle(), xd, wd, cd, yd, algo, &bytes);
        if (direction == 1) return call(DNN, "cudnnGetConvolutionBackwardDataWorkspaceSize", handle(), wd, yd, cd, xd, algo, &bytes);
        return call(DNN, "cudnnGetConvolutionBackwardFilterWorkspaceSize", handle(), xd, yd, cd, wd, algo, &bytes);
    }
    int run(int direction, int algo, CUdeviceptr px, CUdeviceptr pw, CUdeviceptr py, CUdeviceptr work, size_t bytes, double alpha, double beta) {
        const float singles[] = {(float)alpha, (float)beta};
        const double doubles[] = {alpha, beta};
        const void *a = type == DOUBLE ? (const void*)doubles : singles, *b = type == DOUBLE ? (const void*)(doubles + 1) : singles + 1, *h = handle();
        if (direction == 0) return call(DNN, "cudnnConvolutionForward", h, a, xd, (void*)px, wd, (void*)pw, cd, algo, (void*)work, bytes, b, yd, (void*)py);
        if (direction == 1) return call(DNN, "cudnnConvolutionBackwardData", h, a, wd, (void*)pw, yd, (void*)py, cd, algo, (void*)work, bytes, b, xd, (void*)px);
        return call(DNN, "cudnnConvolutionBackwardFilter", h, a, xd, (void*)px, yd, (void*)py, cd, algo, (void*)work, bytes, b, wd, (void*)pw);
    }
    // by each algorithm that there is, which must agree
    template <class T> std::vector<T> compute(int direction, std::vector<T> vx, std::vector<T> vw, std::vector<T> vy) {
        std::vector<Perf> found;
        OK(ask(direction, found));
        std::vector<T> first;
        for (const Perf& f : found) {
            size_t bytes = 0;
            if (f.status != 0 || f.memory > (1u << 30)) continue;
            OK(size(direction, f.algo, bytes));
            EQUAL(bytes, f.memory);
            const CUdeviceptr px = upload(vx), pw = upload(vw), py = upload(vy), work = bytes > 0 ? room(bytes) : 0;
            OK(run(direction, f.algo, px, pw, py, work, bytes, 1, 0));
            const std::vector<T> out = direction == 0 ? download<T>(py, vy.size()) : direction == 1 ? download<T>(px, vx.size()) : download<T>(pw, vw.size());
            if (first.empty()) first = out;
            CHECK(out == first);
        }
        CHECK(!first.empty());
        return first;
    }
};

static std::vector<double> numbers(size_t n, unsigned state) {
    std::vector<double> v(n);
    for (double& x : v) {
        state = state * 1664525u + 1013904223u;
        x = (double)(int)(state >> 8) / 8388608.0 - 1.0;
    }
    return v;
}

// The coefficients of (1 + 2t)(3 + t + 5t^2), and what a filter that is not reversed makes of them.
static void polynomials() {
    Case c{{1, 1, 1, 3}, {1, 1, 1, 2}, {1, 1, 1, 4}, {0, 1}, {1, 1}, {1, 1}};
    c.mode = CONVOLUTION;
    OK(c.describe());
    const std::vector<float> zeros(4);
    CHECK((c.compute<float>(0, {3, 1, 5}, {1, 2}, zeros) == std::vector<float>{3, 7, 7, 10}));
    c.mode = CROSS_CORRELATION;
    OK(c.describe());
    CHECK((c.compute<float>(0, {3, 1, 5}, {1, 2}, zeros) == std::vector<float>{6, 5, 11, 5}));
    // each place once: the input's gradient of ones is how much of the filter reaches it
    CHECK((c.compute<float>(1, {0, 0, 0}, {1, 2}, {1, 1, 1, 1}) == std::vector<float>{3, 3, 3}));
    CHECK((c.compute<float>(2, {3, 1, 5}, {0, 0}, {1, 0, 0, 0}) == std::vector<float>{0, 3}));
}

// Ones meet ones as often as a filter's elements lie inside.
static void counts() {
    Case c{{1, 2, 3, 3}, {1, 2, 3, 3}, {1, 1, 3, 3}, {1, 1}, {1, 1}, {1, 1}};
    OK(c.describe());
    const std::vector<float> y = c.compute<float>(0, std::vector<float>(18, 1), std::vector<float>(18, 1), std::vector<float>(9));
    CHECK((y == std::vector<float>{8, 12, 8, 12, 18, 12, 8, 12, 8}));
    // with a stride and gaps only the corners of the filter count
    Case d{{1, 1, 5, 5}, {1, 1, 3, 3}, {1, 1, 2, 2}, {1, 1}, {2, 2}, {2, 2}};
    OK(d.describe());
    CHECK((d.compute<float>(0, std::vector<float>(25, 1), std::vector<float>(9, 1), std::vector<float>(4)) == std::vector<float>{4, 4, 4, 4}));
    // a sum on top of what was there
    const CUdeviceptr x = upload(std::vector<float>(18, 1)), w = upload(std::vector<float>(18, 1)), out = upload(std::vector<float>(9, 10));
    OK(c.run(0, 0, x, w, out, 0, 0, 2, 3));
    NEAR(download<float>(out, 9)[4], 2 * 18 + 3 * 10, 0);
}

// Groups are convolutions side by side: features that are multiplied by 1 and 10, of two groups.
static void groups() {
    for (int format : {NCHW, NHWC}) {
        Case c{{1, 2, 1, 2}, {2, 1, 1, 1}, {1, 2, 1, 2}, {0, 0}, {1, 1}, {1, 1}};
        c.groups = 2;
        c.format = format;
        OK(c.describe());
        const std::vector<float> y = c.compute<float>(0, {1, 2, 3, 4}, {1, 10}, std::vector<float>(4));
        CHECK((y == (format == NCHW ? std::vector<float>{1, 2, 30, 40} : std::vector<float>{1, 20, 3, 40})));
    }
}

static double inner(const std::vector<double>& x, const std::vector<double>& y) {
    double sum = 0;
    for (size_t i = 0; i < x.size(); i++) sum += x[i] * y[i];
    return sum;
}

// <y, conv(x, w)> = <x, data(y, w)> = <w, filter(x, y)>, for any numbers.
static void transposed() {
    std::vector<Case> cases = {
        {{2, 4, 5, 6}, {6, 4, 3, 2}, {2, 6, 3, 5}, {1, 0}, {2, 1}, {1, 1}},
        {{2, 4, 7, 6}, {6, 2, 2, 3}, {2, 6, 2, 3}, {0, 1}, {2, 2}, {3, 1}},
        {{1, 2, 4, 3, 5}, {3, 2, 2, 3, 2}, {1, 3, 3, 3, 3}, {0, 1, 1}, {1, 1, 2}, {1, 1, 2}},
    };
    cases[1].groups = 2;
    for (Case& c : cases)
        for (int mode : {CONVOLUTION, CROSS_CORRELATION}) {
            c.type = DOUBLE;
            c.mode = mode;
            OK(c.describe());
            const auto x = numbers(product(c.x), 1), w = numbers(product(c.w), 2), y = numbers(product(c.y), 3);
            const double forward = inner(y, c.compute<double>(0, x, w, y));
            CHECK(std::fabs(forward) > 1e-3);
            NEAR(inner(x, c.compute<double>(1, x, w, y)), forward, 1e-12);
            NEAR(inner(w, c.compute<double>(2, x, w, y)), forward, 1e-12);
        }
}

// The two formats hold the same numbers in another order; 16-bit floats and TF32 are rounded.
static void formats_and_dtypes() {
    Case c{{2, 3, 4, 5}, {2, 3, 3, 3}, {2, 2, 4, 5}, {1, 1}, {1, 1}, {1, 1}}, d = c;
    d.format = NHWC;
    OK(c.describe());
    OK(d.describe());
    auto single = [](const std::vector<double>& v) { return std::vector<float>(v.begin(), v.end()); };
    auto moved = [](const std::vector<float>& v, const Ints& n) {
        std::vector<float> to(v.size());
        const Ints from = dense(n, NCHW), s = dense(n, NHWC);
        for (size_t i = 0; i < v.size(); i++) {
            size_t at = 0;
            for (size_t a = 0; a < n.size(); a++) at += i / (size_t)from[a] % (size_t)n[a] * (size_t)s[a];
            to[at] = v[i];
        }
        return to;
    };
    const auto x = single(numbers(product(c.x), 4)), w = single(numbers(product(c.w), 5)), y = single(numbers(product(c.y), 6));
    const auto exact = c.compute<float>(0, x, w, y);
    CHECK(moved(exact, c.y) == d.compute<float>(0, moved(x, c.x), moved(w, c.w), y));
    CHECK(moved(c.compute<float>(1, x, w, y), c.x) == d.compute<float>(1, x, moved(w, c.w), moved(y, c.y)));
    CHECK(moved(c.compute<float>(2, x, w, y), c.w) == d.compute<float>(2, moved(x, c.x), w, moved(y, c.y)));
    c.math = DEFAULT_MATH;
    OK(c.describe());
    const auto rounded = c.compute<float>(0, x, w, y);
    CHECK(rounded != exact);
    for (size_t i = 0; i < exact.size(); i++) NEAR(rounded[i], exact[i], 1e-2);
    // 1.5 * 2 + 0.25 in both kinds of 16 bits
    for (int type : {HALF, BFLOAT16}) {
        Case h{{1, 2, 1, 1}, {1, 2, 1, 1}, {1, 1, 1, 1}, {0, 0}, {1, 1}, {1, 1}};
        h.type = type;
        OK(h.describe());
        const uint16_t one = type == HALF ? 0x3c00 : 0x3f80, half = type == HALF ? 0x3800 : 0x3f00;
        const std::vector<uint16_t> out = h.compute<uint16_t>(0, {one, half}, {one, half}, {0});
        EQUAL(out[0], type == HALF ? 0x3d00 : 0x3fa0);
    }
}

static void refused() {
    const int bad = 2000, shape = 2008, layout = 3004;
    CHECK(call(DNN, "cudnnGetVersion") >= 90000);
    std::vector<Perf> found;
    auto asked = [&](Case c) {
        const int said = c.describe();
        return said != 0 ? said : c.ask(0, found);
    };
    const Case good{{2, 4, 5, 5}, {6, 4, 3, 3}, {2, 6, 5, 5}, {1, 1}, {1, 1}, {1, 1}};
    OK(asked(good));
    Case c = good;
    c.y[3] = 4;
    EQUAL(asked(c), shape);
    c = good, c.w[1] = 2;
    EQUAL(asked(c), shape);
    c = good, c.groups = 4;
    EQUAL(asked(c), shape);
    c = good, c.y[0] = 1;
    EQUAL(asked(c), shape);
    c = good, c.pad = {-1, 1};
    EQUAL(asked(c), bad);
    c = good, c.stride = {0, 1};
    EQUAL(asked(c), bad);
    c = good, c.x = {2, 4, 0, 5};
    EQUAL(asked(c), bad);
    c = good, c.x = {2, 4, 5};
    EQUAL(asked(c), bad);
    c = good, c.pad = c.stride = c.dilation = {1};
    EQUAL(asked(c), bad);
    c = good, c.pad = c.stride = c.dilation = Ints(7, 1);
    EQUAL(asked(c), 3000);
    c = good, c.x = Ints(9, 1);
    EQUAL(asked(c), 3000);
    c = good, c.x = {1 << 15, 1, 1 << 15, 2};
    EQUAL(asked(c), 3000);
    c = good, c.format = NHWC, c.type = DOUBLE;
    EQUAL(asked(c), layout);
    c = good, c.format = NHWC, c.mode = CONVOLUTION;
    EQUAL(asked(c), layout);
    // arrays that lie otherwise than the filter
    c = good;
    OK(c.describe());
    const Ints other = dense(c.x, NHWC);
    OK(call(DNN, "cudnnSetTensorNdDescriptor", c.xd, FLOAT, 4, (const int*)c.x.data(), (const int*)other.data()));
    EQUAL(c.ask(0, found), layout);
    c = good;
    OK(c.describe());
    OK(call(DNN, "cudnnSetTensorNdDescriptor", c.xd, HALF, 4, (const int*)c.x.data(), (const int*)dense(c.x, NCHW).data()));
    EQUAL(c.ask(0, found), bad);
    // calls
    c = good;
    OK(c.describe());
    size_t bytes = 0;
    OK(c.size(0, 1, bytes));
    CHECK(bytes > 0);
    EQUAL(c.size(0, 4, bytes), 3000);
    const CUdeviceptr x = room(4 * product(c.x)), w = room(4 * product(c.w)), y = room(4 * product(c.y)), work = room(bytes);
    EQUAL(c.run(0, 1, x, w, y, work, bytes - 1, 1, 0), 2006);
    EQUAL(c.run(0, 1, x, w, y, 0, bytes, 1, 0), 2006);
    EQUAL(c.run(0, 3, x, w, y, work, bytes, 1, 0), 3000);
    EQUAL(c.run(0, 1, x + 4, w, y, work, bytes, 1, 0), 2003);
    EQUAL(c.run(0, 1, 0, w, y, work, bytes, 1, 0), 2002);
    OK(c.run(0, 1, x, w, y, work, bytes, 1, 0));
    std::vector<unsigned char> left = download<unsigned char>(work, bytes);
    CHECK(left[0] == 0xee && left[bytes - 1] == 0xee);
    OK(call(DNN, "cudnnDestroyTensorDescriptor", c.xd));
    EQUAL(call(DNN, "cudnnDestroyTensorDescriptor", c.xd), bad);
    EQUAL(c.ask(0, found), bad);
    // memory that is too small
    Case d = good;
    OK(d.describe());
    OK(d.run(0, 0, room(64), w, y, 0, 0, 1, 0));
    EQUAL(cu("cuCtxSynchronize"), 700);
}

void check_cudnn() {
    apart("convolutions of polynomials", [] { begin(); polynomials(); });
    apart("convolutions that count", [] { begin(); counts(); });
    apart("groups of convolutions", [] { begin(); groups(); });
    apart("gradients of convolutions", [] { begin(); transposed(); });
    apart("formats and dtypes of convolutions", [] { begin(); formats_and_dtypes(); });
    apart("refused convolutions", [] { begin(); refused(); });
}
