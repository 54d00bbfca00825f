// Fourier transforms, beside the sums that they are.
#include "check.h"
#include <complex>

typedef std::complex<double> complex;
static const char* const FFT = "libcufft.so.11";
static const double TAU = 6.283185307179586;

static int plan(int type, std::vector<long long> n, long long batch) {
    int p = 0;
    size_t bytes = 0;
    OK(call(FFT, "cufftCreate", &p));
    OK(call(FFT, "cufftMakePlanMany64", p, (int)n.size(), n.data(), (long long*)nullptr, 1ll, 0ll, (long long*)nullptr, 1ll, 0ll, type, batch, &bytes));
    CHECK(bytes > 0);
    return p;
}

static std::vector<double> numbers(size_t n) {
    std::vector<double> v(n);
    unsigned state = 7;
    for (double& x : v) {
        state = state * 1664525u + 1013904223u;
        x = (double)(int)(state >> 8) / 8388608.0 - 1.0;
    }
    return v;
}

// the transform as it is defined
static std::vector<complex> sums(const std::vector<complex>& x, const std::vector<long long>& n, int sign) {
    std::vector<complex> y(x.size());
    for (size_t k = 0; k < x.size(); k++)
        for (size_t i = 0; i < x.size(); i++) {
            double phase = 0;
            size_t a = k, b = i;
            for (size_t d = n.size(); d-- > 0;) {
                phase += (double)(a % n[d] * (b % n[d]) % n[d]) / (double)n[d];
                a /= n[d], b /= n[d];
            }
            y[k] += x[i] * std::polar(1.0, sign * TAU * phase);
        }
    return y;
}

static void complex_numbers() {
    for (const std::vector<long long>& n : std::vector<std::vector<long long>>{{1}, {2}, {7}, {8}, {30}, {97}, {128}, {3, 5}, {4, 6, 5}, {1, 9}})
        for (int sign : {-1, 1}) {
            size_t total = 1;
            for (long long d : n) total *= (size_t)d;
            const auto v = numbers(total * 4);
            CUdeviceptr in = upload(v), out = room(v.size() * 8);
            const int p = plan(105, n, 2);
            OK(call(FFT, "cufftExecZ2Z", p, (void*)in, (void*)out, sign));
            const auto y = download<double>(out, total * 4);
            for (size_t b = 0; b < 2; b++) {
                std::vector<complex> x(total);
                for (size_t i = 0; i < total; i++) x[i] = complex(v[2 * (b * total + i)], v[2 * (b * total + i) + 1]);
                const auto expected = sums(x, n, sign);
                double worst = 0;
                for (size_t i = 0; i < total; i++) worst = std::fmax(worst, std::abs(expected[i] - complex(y[2 * (b * total + i)], y[2 * (b * total + i) + 1])));
                NEAR(worst, 0, 1e-11);
            }
            CHECK(download<double>(in, v.size()) == v);
            OK(call(FFT, "cufftDestroy", p));
        }
    // in f32, in place
    std::vector<float> x = {1, 0, 2, 0, 3, 0, 4, 0};
    const CUdeviceptr d = upload(x);
    const int p = plan(41, {4}, 1);
    OK(call(FFT, "cufftExecC2C", p, (void*)d, (void*)d, -1));
    const auto y = download<float>(d, 8);
    const float expected[] = {10, 0, -2, 2, -2, 0, -2, -2};
    for (int i = 0; i < 8; i++) NEAR(y[i], expected[i], 1e-6);
}

static void real_numbers() {
    for (const std::vector<long long>& n : std::vector<std::vector<long long>>{{1}, {6}, {7}, {4, 6}, {3, 5}, {2, 3, 4}}) {
        size_t total = 1;
        for (long long d : n) total *= (size_t)d;
        const size_t last = (size_t)n.back(), half = last / 2 + 1, rows = total / last;
        const auto v = numbers(total * 3);
        CUdeviceptr in = upload(v), out = room(rows * half * 16 * 3), back = room(v.size() * 8);
        const int p = plan(106, n, 3), q = plan(108, n, 3);
        OK(call(FFT, "cufftExecD2Z", p, (void*)in, (void*)out));
        const auto y = download<double>(out, rows * half * 6);
        for (size_t b = 0; b < 3; b++) {
            std::vector<complex> x(total);
            for (size_t i = 0; i < total; i++) x[i] = v[b * total + i];
            const auto expected = sums(x, n, -1);
            for (size_t r = 0; r < rows; r++)
                for (size_t k = 0; k < half; k++) {
                    const size_t at = 2 * ((b * rows + r) * half + k);
                    NEAR(std::abs(expected[r * last + k] - complex(y[at], y[at + 1])), 0, 1e-12);
                }
        }
        OK(call(FFT, "cufftExecZ2D", q, (void*)out, (void*)back));
        const auto w = download<double>(back, v.size());
        for (size_t i = 0; i < v.size(); i++) NEAR(w[i], v[i] * (double)total, 1e-12);
        // what it read is gone
        CHECK(download<double>(out, 1)[0] == -7e7);
    }
    // in place, where rows have room
    std::vector<float> x = {1, 2, 3, 4, 5, 0, 5, 4, 3, 2, 1, 0};
    const CUdeviceptr d = upload(x);
    OK(call(FFT, "cufftExecR2C", plan(42, {2, 5}, 1), (void*)d, (void*)d));
    NEAR(download<float>(d, 1)[0], 30, 1e-5);
    OK(call(FFT, "cufftExecC2R", plan(44, {2, 5}, 1), (void*)d, (void*)d));
    const auto y = download<float>(d, 12);
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 5; j++) NEAR(y[i * 6 + j], 10 * x[i * 6 + j], 1e-4);
}

static void layouts() {
    // columns of a matrix: a stride of 3, a distance of 1; results one after the other
    std::vector<double> v = numbers(4 * 3 * 2);
    const CUdeviceptr in = upload(v), out = room(v.size() * 8), work = room(4096);
    int p = 0;
    int n[] = {4}, embed[] = {4};
    size_t bytes = 0, estimate = 0;
    OK(call(FFT, "cufftCreate", &p));
    OK(call(FFT, "cufftSetAutoAllocation", p, 0));
    OK(call(FFT, "cufftMakePlanMany", p, 1, n, embed, 3, 1, embed, 1, 4, 105, 3, &bytes));
    OK(call(FFT, "cufftEstimateMany", 1, n, embed, 3, 1, embed, 1, 4, 105, 3, &estimate));
    CHECK(bytes == estimate && bytes > 0);
    OK(call(FFT, "cufftGetSize", p, &estimate));
    EQUAL(estimate, bytes);
    EQUAL(call(FFT, "cufftExecZ2Z", p, (void*)in, (void*)out, -1), 13);
    EQUAL(call(FFT, "cufftSetWorkArea", p, (void*)(work + 4000)), 4);
    OK(call(FFT, "cufftSetWorkArea", p, (void*)work));
    CUstream s = nullptr;
    OK(cu("cuStreamCreate", &s, 1u));
    OK(call(FFT, "cufftSetStream", p, s));
    OK(call(FFT, "cufftExecZ2Z", p, (void*)in, (void*)out, -1));
    OK(cu("cuStreamSynchronize", s));
    const auto y = download<double>(out, 24);
    for (int b = 0; b < 3; b++) {
        std::vector<complex> x(4);
        for (int i = 0; i < 4; i++) x[i] = complex(v[2 * (3 * i + b)], v[2 * (3 * i + b) + 1]);
        const auto expected = sums(x, {4}, -1);
        for (int k = 0; k < 4; k++) NEAR(std::abs(expected[k] - complex(y[2 * (4 * b + k)], y[2 * (4 * b + k) + 1])), 0, 1e-13);
    }
}

static void refused() {
    int p = 0, version = 0;
    size_t bytes;
    OK(call(FFT, "cufftGetVersion", &version));
    CHECK(version >= 11000);
    OK(call(FFT, "cufftCreate", &p));
    const CUdeviceptr d = room(64);
    EQUAL(call(FFT, "cufftExecC2C", p, (void*)d, (void*)d, -1), 1);
    EQUAL(call(FFT, "cufftGetSize", p, &bytes), 1);
    auto make = [&](int rank, std::vector<long long> n, int type, long long batch) {
        return call(FFT, "cufftMakePlanMany64", p, rank, n.data(), (long long*)nullptr, 1ll, 0ll, (long long*)nullptr, 1ll, 0ll, type, batch, &bytes);
    };
    EQUAL(make(4, {2, 2, 2, 2}, 41, 1), 4);
    EQUAL(make(1, {0}, 41, 1), 8);
    EQUAL(make(1, {4}, 41, 0), 8);
    EQUAL(make(1, {4}, 40, 1), 3);
    OK(make(1, {4}, 41, 1));
    EQUAL(make(1, {4}, 41, 1), 1);
    EQUAL(call(FFT, "cufftExecC2C", p, (void*)d, (void*)d, 2), 4);
    EQUAL(call(FFT, "cufftExecC2C", p, (void*)(d + 4), (void*)d, 1), 4);
    EQUAL(call(FFT, "cufftExecZ2Z", p, (void*)d, (void*)d, 1), 3);
    OK(call(FFT, "cufftDestroy", p));
    EQUAL(call(FFT, "cufftDestroy", p), 1);
    // plans by other ways
    int n[] = {4};
    long long n64[] = {4};
    OK(call(FFT, "cufftPlan1d", &p, 4, 41, 1));
    OK(call(FFT, "cufftGetSizeMany64", p, 1, n64, (long long*)nullptr, 1ll, 0ll, (long long*)nullptr, 1ll, 0ll, 41, 3ll, &bytes));
    EQUAL(bytes, 96);
    OK(call(FFT, "cufftDestroy", p));
    OK(call(FFT, "cufftPlanMany", &p, 1, n, (int*)nullptr, 1, 0, (int*)nullptr, 1, 0, 42, 2));
    const CUdeviceptr real = upload(std::vector<float>{1, 2, 3, 4, 1, 1, 1, 1}), half = room(48);
    OK(call(FFT, "cufftExecR2C", p, (void*)real, (void*)half));
    NEAR(download<float>(half, 12)[0], 10, 1e-6);
    NEAR(download<float>(half, 12)[3], 2, 1e-6);
    NEAR(download<float>(half, 12)[6], 4, 1e-6);
    EQUAL(call(FFT, "cufftPlan1d", &p, 0, 41, 1), 8);
    // memory that is too small
    OK(call(FFT, "cufftExecC2C", plan(41, {9}, 1), (void*)d, (void*)d, -1));
    EQUAL(cu("cuCtxSynchronize"), 700);
}

void check_fft() {
    apart("transforms of complex numbers", [] { begin(); complex_numbers(); });
    apart("transforms of real numbers", [] { begin(); real_numbers(); });
    apart("layouts of transforms", [] { begin(); layouts(); });
    apart("refused transforms", [] { begin(); refused(); });
}
