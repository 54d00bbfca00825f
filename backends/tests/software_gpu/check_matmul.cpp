// Products of matrices.
#include "check.h"

static const char* const LT = "libcublasLt.so.12";

struct Matrix {
    int type;
    long long rows, cols, ld;
    int order = 0, batch = 1;
    long long offset = 0;
};

static void* layout(const Matrix& m) {
    void* l = nullptr;
    OK(call(LT, "cublasLtMatrixLayoutCreate", &l, m.type, (unsigned long long)m.rows, (unsigned long long)m.cols, m.ld));
    OK(call(LT, "cublasLtMatrixLayoutSetAttribute", l, 1, (const void*)&m.order, (size_t)4));
    OK(call(LT, "cublasLtMatrixLayoutSetAttribute", l, 5, (const void*)&m.batch, (size_t)4));
    OK(call(LT, "cublasLtMatrixLayoutSetAttribute", l, 6, (const void*)&m.offset, (size_t)8));
    return l;
}

static void* handle() {
    void* h = nullptr;
    OK(call(LT, "cublasLtCreate", &h));
    return h;
}

struct Product {
    void *handle = ::handle(), *desc = nullptr, *a = nullptr, *b = nullptr, *c = nullptr, *d = nullptr;
    Product(int compute, int scale, int ta, int tb, Matrix ma, Matrix mb, Matrix mc, Matrix md) {
        OK(call(LT, "cublasLtMatmulDescCreate", &desc, compute, scale));
        set(3, &ta, 4);
        set(4, &tb, 4);
        a = layout(ma), b = layout(mb), c = layout(mc), d = layout(md);
    }
    int set(int attribute, const void* p, size_t n) { return call(LT, "cublasLtMatmulDescSetAttribute", desc, attribute, p, n); }
    int run(const void* alpha, CUdeviceptr pa, CUdeviceptr pb, const void* beta, CUdeviceptr pc, CUdeviceptr pd, const void* algorithm = nullptr,
            CUdeviceptr workspace = 0, size_t bytes = 0, CUstream s = nullptr) {
        return call(LT, "cublasLtMatmul", handle, desc, alpha, (const void*)pa, a, (const void*)pb, b, beta, (const void*)pc, c, (void*)pd, d, algorithm,
                    (void*)workspace, bytes, s);
    }
};

struct Heuristic {
    unsigned long long algorithm[8];
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
};

static int found(Product& p, size_t most, std::vector<Heuristic>& all, unsigned alignment = 256) {
    void* preference = nullptr;
    OK(call(LT, "cublasLtMatmulPreferenceCreate", &preference));
    OK(call(LT, "cublasLtMatmulPreferenceSetAttribute", preference, 1, (const void*)&most, (size_t)8));
    for (int i = 5; i < 9; i++) OK(call(LT, "cublasLtMatmulPreferenceSetAttribute", preference, i, (const void*)&alignment, (size_t)4));
    all.resize(8);
    int count = 0;
    const int result = call(LT, "cublasLtMatmulAlgoGetHeuristic", p.handle, p.desc, p.a, p.b, p.c, p.d, preference, 8, (void*)all.data(), &count);
    all.resize((size_t)count);
    OK(call(LT, "cublasLtMatmulPreferenceDestroy", preference));
    return result;
}

static std::vector<float> numbers(size_t n, unsigned state) {
    std::vector<float> v(n);
    for (float& x : v) {
        state = state * 1664525u + 1013904223u;
        x = (float)((int)(state >> 24) - 128) / 16.0f;
    }
    return v;
}

// column and row order, transpositions, batches, room between columns, alpha and beta
static void plain() {
    const int m = 5, n = 7, k = 3, batch = 2;
    for (int variant = 0; variant < 32; variant++) {
        const int ta = variant & 1, tb = variant >> 1 & 1, oa = variant >> 2 & 1, ob = variant >> 3 & 1, od = variant >> 4 & 1;
        auto matrix = [&](int rows, int cols, int order) {
            Matrix x{0, rows, cols, (order ? cols : rows) + 2};
            x.order = order, x.batch = batch, x.offset = x.ld * (order ? rows : cols) + 1;
            return x;
        };
        const Matrix ma = matrix(ta ? k : m, ta ? m : k, oa), mb = matrix(tb ? n : k, tb ? k : n, ob), md = matrix(m, n, od);
        const auto a = numbers((size_t)ma.offset * 2, 1), b = numbers((size_t)mb.offset * 2, 2), c = numbers((size_t)md.offset * 2, 3);
        Product p(68, 0, ta, tb, ma, mb, md, md);
        const CUdeviceptr da = upload(a), db = upload(b), dc = upload(c), dd = upload(c);
        const float alpha = 0.5f, beta = -2.0f;
        OK(p.run(&alpha, da, db, &beta, dc, dd));
        const auto d = download<float>(dd, c.size());
        auto at = [](const std::vector<float>& x, const Matrix& l, int t, int i, int j, int q) {
            if (t) std::swap(i, j);
            return x[(size_t)(q * l.offset + (l.order ? i * l.ld + j : i + j * l.ld))];
        };
        size_t touched = 0;
        for (int q = 0; q < batch; q++)
            for (int i = 0; i < m; i++)
                for (int j = 0; j < n; j++) {
                    double sum = 0;
                    for (int l = 0; l < k; l++) sum += (double)at(a, ma, ta, i, l, q) * at(b, mb, tb, l, j, q);
                    NEAR(at(d, md, 0, i, j, q), 0.5 * sum - 2.0 * at(c, md, 0, i, j, q), 1e-4);
                }
        for (size_t i = 0; i < c.size(); i++) touched += c[i] != d[i];
        CHECK(touched <= (size_t)(m * n * batch));
    }
}

static uint16_t bf16(float x) {
    unsigned u;
    memcpy(&u, &x, 4);
    return (uint16_t)(u >> 16);
}

static void types() {
    const float one = 1, zero = 0;
    const double one64 = 1, zero64 = 0;
    // f16: 1.5 * 2 + 0.5 * 4, overflow and the smallest numbers
    {
        Product p(68, 0, 0, 0, {2, 2, 2, 2}, {2, 2, 1, 2}, {2, 2, 1, 2}, {2, 2, 1, 2});
        const CUdeviceptr a = upload(std::vector<uint16_t>{0x3e00, 0x7bff, 0x3800, 0x7bff}), b = upload(std::vector<uint16_t>{0x4000, 0x4400}), d = room(4);
        OK(p.run(&one, a, b, &zero, 0, d));
        const auto x = download<uint16_t>(d, 2);
        EQUAL(x[0], 0x4500);
        EQUAL(x[1], 0x7c00);
        const float small = 5.9604644775390625e-8f / 4;
        OK(p.run(&small, a, b, &zero, 0, d));
        EQUAL(download<uint16_t>(d, 1)[0], 1);
    }
    // bf16 to f32 and to bf16, ties to even
    {
        Product p(68, 0, 0, 0, {14, 1, 1, 1}, {14, 1, 1, 1}, {0, 1, 1, 1}, {0, 1, 1, 1});
        const CUdeviceptr a = upload(std::vector<uint16_t>{bf16(1.5f)}), b = upload(std::vector<uint16_t>{bf16(-3.0f)}), d = room(4);
        OK(p.run(&one, a, b, &zero, 0, d));
        NEAR(download<float>(d, 1)[0], -4.5, 0);
        Product q(68, 0, 0, 0, {14, 1, 1, 1}, {14, 1, 1, 1}, {14, 1, 1, 1}, {14, 1, 1, 1});
        const float scale = (1.0f + 1.0f / 256) / -4.5f;
        OK(q.run(&scale, a, b, &zero, 0, d));
        EQUAL(download<uint16_t>(d, 1)[0], 0x3f80);
    }
    // the operands of TF32 have 10 bits behind the point, those of bf16 7
    {
        const float x = 1.0f + 1.0f / 1024 + 1.0f / 4096, y = 1.0f + 1.0f / 256 + 1.0f / 512;
        const struct {
            int compute;
            float in;
            double out;
        } all[] = {{68, x, x}, {77, x, 1.0 + 1.0 / 1024}, {75, y, 1.0 + 1.0 / 128}, {74, x, 1.0 + 1.0 / 1024}};
        for (auto& each : all) {
            Product p(each.compute, 0, 0, 0, {0, 1, 1, 1}, {0, 1, 1, 1}, {0, 1, 1, 1}, {0, 1, 1, 1});
            const CUdeviceptr a = upload(&each.in, 4), b = upload(&one, 4), d = room(4);
            OK(p.run(&one, a, b, &zero, 0, d));
            NEAR(download<float>(d, 1)[0], each.out, 0);
        }
    }
    // f64, and complex numbers with the conjugate transposed
    {
        Product p(70, 1, 0, 0, {1, 1, 2, 1}, {1, 2, 1, 2}, {1, 1, 1, 1}, {1, 1, 1, 1});
        const CUdeviceptr a = upload(std::vector<double>{1.0 / 3, 1e-20}), b = upload(std::vector<double>{3, 1e20}), d = room(8);
        OK(p.run(&one64, a, b, &zero64, 0, d));
        NEAR(download<double>(d, 1)[0], 2, 1e-15);
        Product q(68, 4, 2, 0, {4, 1, 1, 1}, {4, 1, 1, 1}, {4, 1, 1, 1}, {4, 1, 1, 1});
        const float i2[2] = {0, 2}, none[2] = {0, 0};
        const CUdeviceptr ca = upload(std::vector<float>{1, 2}), cb = upload(std::vector<float>{3, 5}), cd = room(8);
        OK(q.run(i2, ca, cb, none, 0, cd));
        // (1 - 2i) (3 + 5i) = 13 - i, times 2i
        const auto x = download<float>(cd, 2);
        NEAR(x[0], 2, 0);
        NEAR(x[1], 26, 0);
    }
    // 8-bit integers
    {
        Product p(72, 10, 1, 0, {3, 4, 4, 4}, {3, 4, 1, 4}, {10, 4, 1, 4}, {10, 4, 1, 4});
        const int one32 = 1, zero32 = 0;
        std::vector<int8_t> a(16, -128);
        a[0] = 127;
        const CUdeviceptr da = upload(a), db = upload(std::vector<int8_t>{1, 2, 3, -4}), d = room(16);
        OK(p.run(&one32, da, db, &zero32, 0, d));
        const auto x = download<int>(d, 4);
        EQUAL(x[0], 127 - 256 - 384 + 512);
        EQUAL(x[1], -256);
    }
}

static void epilogues() {
    const float one = 1, zero = 0;
    const int m = 4, n = 3;
    const auto a = numbers(m * 2, 5), b = numbers(2 * n, 6), bias = numbers(m, 7);
    const CUdeviceptr da = upload(a), db = upload(b), dd = room(48), dbias = upload(bias);
    for (unsigned e : {1u, 2u, 4u, 6u, 32u, 36u}) {
        Product p(68, 0, 0, 0, {0, m, 2, m}, {0, 2, n, 2}, {0, m, n, m}, {0, m, n, m});
        OK(p.set(7, &e, 4));
        OK(p.set(8, &dbias, 8));
        OK(p.run(&one, da, db, &zero, 0, dd));
        const auto d = download<float>(dd, 12);
        for (int i = 0; i < m; i++)
            for (int j = 0; j < n; j++) {
                double x = (double)a[i] * b[2 * j] + (double)a[m + i] * b[2 * j + 1];
                if (e != 1 && (e & 4)) x += bias[i];
                if (e & 2) x = x > 0 ? x : 0;
                if (e & 32) x = 0.5 * x * (1 + std::tanh(std::sqrt(2 / 3.141592653589793) * (x + 0.044715 * x * x * x)));
                NEAR(d[i + j * m], x, 1e-4);
            }
    }
}

static void algorithms() {
    const float one = 1, zero = 0;
    Product p(68, 0, 0, 0, {0, 4, 4, 4}, {0, 4, 4, 4}, {0, 4, 4, 4}, {0, 4, 4, 4});
    std::vector<Heuristic> all;
    OK(found(p, 8 << 20, all));
    EQUAL(all.size(), 4);
    CHECK(all[0].workspace == 4 << 20 && all[1].workspace == 0);
    std::vector<Heuristic> small;
    OK(found(p, 0, small));
    EQUAL(small.size(), 1);
    const auto a = numbers(16, 8);
    std::vector<float> unit(16);
    for (int i = 0; i < 4; i++) unit[i * 5] = 1;
    const CUdeviceptr da = upload(a), db = upload(unit), dd = room(64), room4 = room(4 << 20);
    OK(p.run(&one, da, db, &zero, 0, dd, all[0].algorithm, room4, 4 << 20));
    CHECK(download<float>(dd, 16) == a);
    // the workspace was used
    EQUAL(download<unsigned>(room4, 1)[0], 0xeeeeeeeeu);
    EQUAL(p.run(&one, da, db, &zero, 0, dd, all[0].algorithm, room4, 1 << 20), 7);
    EQUAL(p.run(&one, da, db, &zero, 0, dd, all[0].algorithm, room4, 8 << 20), 7);
    EQUAL(p.run(&one, da, db, &zero, 0, dd, all[0].algorithm, (CUdeviceptr)(size_t)&one, 4 << 20), 7);
    Product q(68, 0, 1, 0, {0, 4, 4, 4}, {0, 4, 4, 4}, {0, 4, 4, 4}, {0, 4, 4, 4});
    EQUAL(q.run(&one, da, db, &zero, 0, dd, all[1].algorithm), 7);
    // addresses that are less aligned than was said
    Product r(68, 0, 0, 0, {0, 1, 1, 1}, {0, 1, 1, 1}, {0, 1, 1, 1}, {0, 1, 1, 1});
    OK(found(r, 0, all));
    EQUAL(r.run(&one, da + 4, db, &zero, 0, dd, all[0].algorithm), 15);
    OK(found(r, 0, all, 4));
    OK(r.run(&one, da + 4, db, &zero, 0, dd, all[0].algorithm));
    NEAR(download<float>(dd, 1)[0], a[1], 0);
    // in place, and captured
    CUstream s = nullptr;
    OK(cu("cuStreamCreate", &s, 1u));
    OK(cu("cuStreamBeginCapture_v2", s, 0));
    const float two = 2;
    OK(p.run(&one, da, db, &two, dd, dd, nullptr, 0, 0, s));
    CUgraph g = nullptr;
    CUgraphExec e = nullptr;
    OK(cu("cuStreamEndCapture", s, &g));
    OK(cu("cuGraphInstantiateWithFlags", &e, g, 0ull));
    OK(cu("cuMemsetD8Async", dd, (unsigned char)0, (size_t)64, s));
    OK(cu("cuGraphLaunch", e, s));
    OK(cu("cuGraphLaunch", e, s));
    OK(cu("cuStreamSynchronize", s));
    NEAR(download<float>(dd, 16)[5], 3 * a[5], 0);
    // alpha and beta on the device
    const int mode = 1;
    OK(p.set(2, &mode, 4));
    const CUdeviceptr on_device = upload(std::vector<float>{3, 0});
    OK(p.run((const void*)on_device, da, db, (const void*)(on_device + 4), dd, dd));
    NEAR(download<float>(dd, 16)[5], 3 * a[5], 0);
}

static void refused() {
    const float one = 1, zero = 0;
    const CUdeviceptr a = room(4096), d = room(4096);
    const Matrix f{0, 4, 4, 4}, h{2, 4, 4, 4}, z{4, 4, 4, 4}, i8{3, 4, 4, 4}, i32{10, 4, 4, 4}, d64{1, 4, 4, 4};
    auto result = [&](int compute, int scale, Matrix ma, Matrix mb, Matrix mc, Matrix md, int ta = 0) {
        Product p(compute, scale, ta, 0, ma, mb, mc, md);
        std::vector<Heuristic> all;
        const int r = found(p, 0, all);
        CHECK((r == 0) == !all.empty());
        EQUAL(p.run(&one, a, a, &zero, 0, d), r);
        return r;
    };
    EQUAL(result(68, 0, f, f, f, f), 0);
    EQUAL(result(68, 1, f, f, f, f), 15);
    EQUAL(result(68, 0, f, h, f, f), 15);
    EQUAL(result(68, 0, f, f, f, h), 15);
    EQUAL(result(68, 0, d64, d64, d64, d64), 15);
    EQUAL(result(77, 0, h, h, h, h), 15);
    EQUAL(result(68, 0, z, z, z, z), 15);
    EQUAL(result(72, 10, i8, i8, i32, i32), 15);
    EQUAL(result(72, 10, i8, i8, i32, i32, 1), 0);
    EQUAL(result(72, 0, i8, i8, i32, i32, 1), 15);
    Matrix x = f;
    x.ld = 3;
    EQUAL(result(68, 0, x, f, f, f), 7);
    x = f, x.rows = 3;
    EQUAL(result(68, 0, x, f, f, f), 7);
    x = f, x.batch = 2;
    EQUAL(result(68, 0, x, f, f, f), 7);
    x = f, x.order = 1;
    EQUAL(result(68, 0, f, f, f, x), 15);
    Product p(68, 0, 0, 0, f, f, f, f);
    EQUAL(p.run(&one, a, a, &one, 0, d), 7);
    EQUAL(p.run(&one, a, d, &zero, 0, d), 7);
    EQUAL(p.run(&one, a + 2, a, &zero, 0, d), 7);
    const unsigned e = 4;
    OK(p.set(7, &e, 4));
    EQUAL(p.run(&one, a, a, &zero, 0, d), 7);
    const unsigned unknown = 64;
    OK(p.set(7, &unknown, 4));
    EQUAL(p.run(&one, a, a, &zero, 0, d), 15);
    EQUAL(p.set(7, &e, 8), 7);
    EQUAL(p.set(99, &e, 4), 7);
    size_t written = 0;
    unsigned seen = 0;
    OK(call(LT, "cublasLtMatmulDescGetAttribute", p.desc, 7, (void*)&seen, (size_t)4, &written));
    CHECK(seen == 64 && written == 4);
    long long ld = 0;
    OK(call(LT, "cublasLtMatrixLayoutGetAttribute", p.a, 4, (void*)&ld, (size_t)8, &written));
    EQUAL(ld, 4);
    void* preference = nullptr;
    unsigned alignment = 0;
    OK(call(LT, "cublasLtMatmulPreferenceCreate", &preference));
    OK(call(LT, "cublasLtMatmulPreferenceGetAttribute", preference, 5, (void*)&alignment, (size_t)4, &written));
    EQUAL(alignment, 256);
    CHECK(((size_t(*)())dlsym(library(LT), "cublasLtGetVersion"))() >= 120000);
    CHECK(((size_t(*)())dlsym(library(LT), "cublasLtGetCudartVersion"))() == 12080);
    for (const char* name : {"cublasLtGetStatusName", "cublasLtGetStatusString"})
        CHECK(strcmp(((const char* (*)(int))dlsym(library(LT), name))(15), "CUBLAS_STATUS_NOT_SUPPORTED") == 0);
    OK(call(LT, "cublasLtMatmulDescDestroy", p.desc));
    EQUAL(p.run(&one, a, a, &zero, 0, d), 7);
    OK(call(LT, "cublasLtMatrixLayoutDestroy", p.a));
    EQUAL(call(LT, "cublasLtMatrixLayoutDestroy", p.a), 7);
    OK(call(LT, "cublasLtDestroy", p.handle));
    EQUAL(p.run(&one, a, a, &zero, 0, d), 1);
}

static void out_of_bounds() {
    const float one = 1, zero = 0;
    const Matrix f{0, 4, 4, 4};
    Product p(68, 0, 0, 0, f, f, f, f);
    OK(p.run(&one, room(64), room(60), &zero, 0, room(64)));
    EQUAL(cu("cuCtxSynchronize"), 700);
}

void check_matmul() {
    apart("products", [] { begin(); plain(); });
    apart("types of products", [] { begin(); types(); });
    apart("epilogues", [] { begin(); epilogues(); });
    apart("algorithms", [] { begin(); algorithms(); });
    apart("refused products", [] { begin(); refused(); });
    apart("a product out of bounds", [] { begin(); out_of_bounds(); });
}
