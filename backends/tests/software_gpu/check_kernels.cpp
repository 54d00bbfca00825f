// Kernels: what they find, what they compute, what they may not do.
#include "check.h"

static void compiler() {
    int major = 0, minor = 0;
    OK(call("libnvrtc.so.12", "nvrtcVersion", &major, &minor));
    EQUAL(major * 100 + minor, 1299);
    std::string log, code;
    EQUAL(compile("int x = ;", {"--gpu-architecture=sm_90"}, log, code), 6);
    CHECK(log.find("error") != std::string::npos);
    EQUAL(compile("", {"--gpu-architecture=sm_91"}, log, code), 5);
    EQUAL(compile("", {"--gpu-architecture=90"}, log, code), 5);
    EQUAL(compile("", {"--fast"}, log, code), 5);
    OK(compile("extern \"C\" __global__ void k(float* p) { __shared__ float s[8]; s[threadIdx.x] = 1; __syncthreads(); p[0] = s[1]; }",
               {"--gpu-architecture=sm_90", "--std=c++17", "--fmad=false", "--ptxas-options=--verbose"}, log, code));
    CHECK(log.find("Used 32 registers") != std::string::npos && log.find("32 bytes smem") != std::string::npos &&
          log.find("0 bytes spill stores") != std::string::npos);
    EQUAL(compile("extern \"C\" __global__ void k(float* p) { __shared__ float s[20000]; s[threadIdx.x] = 1; p[0] = s[1]; }",
                  {"--gpu-architecture=sm_90"}, log, code), 6);
    CHECK(log.find("too much shared data") != std::string::npos);
    // signed 64-bit sums have no atomic form
    EQUAL(compile("extern \"C\" __global__ void k(long long* p) { atomicAdd(p, 1ll); }", {"--gpu-architecture=sm_90"}, log, code), 6);
    // code for another architecture is not loaded; virtual code of an older one is
    CUmodule m;
    OK(compile("extern \"C\" __global__ void k() {}", {"--gpu-architecture=sm_80"}, log, code));
    EQUAL(cu("cuModuleLoadData", &m, (const void*)code.data()), CUDA_ERROR_NO_BINARY_FOR_GPU);
    OK(compile("extern \"C\" __global__ void k() {}", {"--gpu-architecture=compute_80"}, log, code));
    OK(cu("cuModuleLoadData", &m, (const void*)code.data()));
    CUfunction f;
    OK(cu("cuModuleGetFunction", &f, m, "k"));
    EQUAL(cu("cuModuleGetFunction", &f, m, "l"), CUDA_ERROR_NOT_FOUND);
    EQUAL(cu("cuModuleLoadData", &m, (const void*)"\177ELF and more of it that is no image"), CUDA_ERROR_INVALID_IMAGE);
}

// kernels that are templates, headers, macros, and the names of errors
static void programs() {
    const char* lib = "libnvrtc.so.12";
    auto text = (const char* (*)(int))dlsym(library(lib), "nvrtcGetErrorString");
    CHECK(strcmp(text(6), "NVRTC_ERROR_COMPILATION") == 0);
    int n = 0;
    OK(call(lib, "nvrtcGetNumSupportedArchs", &n));
    CHECK(n > 10);
    void* p = nullptr;
    const char *headers[] = {"#define TWICE(x) (2 * (x))\n"}, *names[] = {"twice.h"};
    const char* source = "#include \"twice.h\"\n"
                         "template <class T, int n> __global__ void __launch_bounds__(n, 1) scaled(T* p) { __shared__ T s[n]; s[threadIdx.x] = TWICE(p[threadIdx.x]) + ADD;\n"
                         "    __syncthreads(); p[threadIdx.x] = s[n - 1 - threadIdx.x]; }\n"
                         "static __device__ __forceinline__ float half(float x) { return x / 2; }\n"
                         "/* __global__ void nothing(); */ extern \"C\" __global__ void __launch_bounds__((32 + 32), 2) other(float* p) { p[threadIdx.x] = half(p[threadIdx.x]); }\n";
    OK(call(lib, "nvrtcCreateProgram", &p, source, "named.cu", 1, (const char* const*)headers, (const char* const*)names));
    OK(call(lib, "nvrtcAddNameExpression", p, "scaled<double, 4>"));
    const char* lowered = nullptr;
    EQUAL(call(lib, "nvrtcGetLoweredName", p, "scaled<double, 4>", &lowered), 9);
    size_t bytes = 0;
    EQUAL(call(lib, "nvrtcGetCUBINSize", p, &bytes), 4);
    const char* options[] = {"-arch=sm_90", "-DADD=1", "--use_fast_math"};
    OK(call(lib, "nvrtcCompileProgram", p, 3, (const char* const*)options));
    OK(call(lib, "nvrtcGetLoweredName", p, "scaled<double, 4>", &lowered));
    EQUAL(call(lib, "nvrtcGetLoweredName", p, "scaled<int, 4>", &lowered), 10);
    EQUAL(call(lib, "nvrtcAddNameExpression", p, "other"), 8);
    OK(call(lib, "nvrtcGetCUBINSize", p, &bytes));
    std::string code(bytes, 0);
    OK(call(lib, "nvrtcGetCUBIN", p, &code[0]));
    CUmodule m = nullptr;
    CUfunction f = nullptr, g = nullptr;
    OK(cu("cuModuleLoadDataEx", &m, (const void*)code.data(), 0u, (int*)nullptr, (void**)nullptr));
    OK(cu("cuModuleGetFunction", &f, m, lowered));
    OK(cu("cuModuleGetFunction", &g, m, "other"));
    CUdeviceptr d = upload(std::vector<double>{1, 2, 3, 4}), e = upload(std::vector<float>{6});
    OK(launch(f, 1, 4, {&d}));
    OK(launch(g, 1, 1, {&e}));
    NEAR(download<double>(d, 4)[0], 9, 0);
    NEAR(download<double>(d, 4)[3], 3, 0);
    NEAR(download<float>(e, 1)[0], 3, 0);
    int most = 0;
    OK(cu("cuFuncGetAttribute", &most, 0, g));
    EQUAL(most, 64);
    OK(cu("cuFuncGetAttribute", &most, 0, f));
    OK(call(lib, "nvrtcDestroyProgram", &p));
    CHECK(p == nullptr);
    EQUAL(call(lib, "nvrtcDestroyProgram", &p), 4);
}

static void simple() {
    const CUfunction f = kernel("extern \"C\" __global__ void __launch_bounds__(256) add(const float* __restrict__ a, const float* b, float* c, int n) {\n"
                                "    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) c[i] = a[i] + b[i];\n}", "add");
    std::vector<float> a(1000), b(1000);
    for (int i = 0; i < 1000; i++) a[i] = i * 0.5f, b[i] = 3.0f * i;
    CUdeviceptr da = upload(a), db = upload(b), dc = room(4000);
    int n = 1000;
    OK(launch(f, 2, 256, {&da, &db, &dc, &n}));
    const auto c = download<float>(dc, 1000);
    bool right = true;
    for (int i = 0; i < 1000; i++) right = right && c[i] == a[i] + b[i];
    CHECK(right);
    EQUAL(launch(f, 0, 256, {&da, &db, &dc, &n}), CUDA_ERROR_INVALID_VALUE);
    EQUAL(launch(f, 1, 0, {&da, &db, &dc, &n}), CUDA_ERROR_INVALID_VALUE);
    EQUAL(launch(f, 1, 257, {&da, &db, &dc, &n}), CUDA_ERROR_INVALID_VALUE);
    EQUAL(launch(f, 1, 1025, {&da, &db, &dc, &n}), CUDA_ERROR_INVALID_VALUE);
    EQUAL(launch(f, 1, 32, {&da, &db, &dc, &n}, nullptr, 50000), CUDA_ERROR_INVALID_VALUE);
    EQUAL(launch((CUfunction)(void*)&n, 1, 32, {&da}), CUDA_ERROR_INVALID_HANDLE);
    int most = 0, blocks = 0;
    OK(cu("cuFuncGetAttribute", &most, 0, f));
    EQUAL(most, 256);
    OK(cu("cuOccupancyMaxActiveBlocksPerMultiprocessor", &blocks, f, 256, (size_t)0));
    EQUAL(blocks, 8);
    CUlaunchConfig g = {2, 1, 1, 256, 1, 1, 0, nullptr, nullptr, 0};
    void* params[] = {&db, &db, &dc, &n};
    OK(cu("cuLaunchKernelEx", (const CUlaunchConfig*)&g, f, (void**)params, (void**)nullptr));
    CHECK(download<float>(dc, 1000)[7] == 42.0f);
}

static void warps() {
    const CUfunction f = kernel(R"(
__device__ inline float sum(float x) {
    for (int m = 16; m > 0; m /= 2) x += __shfl_xor_sync(0xffffffffu, x, m);
    return x;
}
extern "C" __global__ void k(const float* in, float* out, unsigned* bits) {
    __shared__ float s[8];
    extern __shared__ __align__(16) unsigned char raw[];
    unsigned* order = reinterpret_cast<unsigned*>(raw);
    const unsigned t = threadIdx.x;
    const float w = sum(in[blockIdx.x * blockDim.x + t]);
    if (t % 32 == 0) s[t / 32] = w;
    order[t] = t * t;
    __syncthreads();
    float all = 0;
    for (int i = 0; i < 8; i++) all += s[i];
    if (t == 0) out[blockIdx.x] = all;
    const unsigned next = order[(t + 1) % blockDim.x];
    const unsigned up = __shfl_up_sync(0xffffffffu, t, 1), down = __shfl_down_sync(0xffffffffu, t, 1, 16), first = __shfl_sync(0xffffffffu, t, 3);
    const unsigned odd = __ballot_sync(0xffffffffu, t & 1);
    const int any = __any_sync(0xffffffffu, t == 5), every = __all_sync(0xffffffffu, t < 64);
    unsigned low = 0;
    if (t % 32 < 16) low = __shfl_xor_sync(0x0000ffffu, t, 15);
    __syncwarp();
    bits[t * 8 + 0] = next, bits[t * 8 + 1] = up, bits[t * 8 + 2] = down, bits[t * 8 + 3] = first;
    bits[t * 8 + 4] = odd, bits[t * 8 + 5] = any, bits[t * 8 + 6] = every, bits[t * 8 + 7] = low;
})", "k");
    std::vector<float> in(512);
    for (int i = 0; i < 512; i++) in[i] = (float)i;
    CUdeviceptr di = upload(in), dout = room(8), db = room(256 * 32);
    OK(launch(f, 2, 256, {&di, &dout, &db}, nullptr, 1024));
    const auto out = download<float>(dout, 2);
    NEAR(out[0], 32640, 0);
    NEAR(out[1], 98176, 0);
    const auto bits = download<unsigned>(db, 2048);
    bool right = true;
    for (unsigned t = 0; t < 256; t++) {
        const unsigned* b = &bits[t * 8];
        right = right && b[0] == (t + 1) % 256 * ((t + 1) % 256) && b[1] == (t % 32 == 0 ? t : t - 1) && b[2] == (t % 16 == 15 ? t : t + 1);
        right = right && b[3] == t / 32 * 32 + 3 && b[4] == 0xaaaaaaaau && b[5] == (t < 32) && b[6] == (t < 64);
        right = right && b[7] == (t % 32 < 16 ? t / 32 * 32 + (15 - t % 32) : 0);
    }
    CHECK(right);
    // more dynamic shared memory than is allowed, until it is
    OK(cu("cuFuncSetAttribute", f, 8, 100000));
    OK(launch(f, 2, 256, {&di, &dout, &db}, nullptr, 100000));
    EQUAL(launch(f, 2, 256, {&di, &dout, &db}, nullptr, 100001), CUDA_ERROR_INVALID_VALUE);
    EQUAL(cu("cuFuncSetAttribute", f, 8, 232449), CUDA_ERROR_INVALID_VALUE);
    OK(cu("cuCtxSynchronize"));
}

static void numbers() {
    const CUfunction f = kernel(R"(
extern "C" __global__ void k(double* d, unsigned* u, int* a) {
    d[0] = erfinv(0.5); d[1] = erfinv(-0.999999999); d[2] = erfcinv(1e-200); d[3] = lgamma(4.5); d[4] = (double)rsqrtf(16.0f);
    d[5] = sinpi(0.75); d[6] = cospi(1.0 / 3); d[7] = normcdf(1.0); d[8] = (double)exp(1.0f); d[9] = (double)__expf(1.0f); d[10] = erfinv(1e-300);
    d[11] = normcdfinv(0.975);
    u[0] = __brev(1u); u[1] = __byte_perm(0x33221100u, 0x77665544u, 0x7250u); u[2] = __umulhi(0xffffffffu, 0xffffffffu); u[3] = __clz(1);
    u[4] = __popc(0xf0f0u); u[5] = __float_as_uint(1.0f); u[6] = (unsigned)__float2int_rn(2.5f); u[7] = (unsigned)__float2int_rz(-1e20f);
    u[8] = __funnelshift_l(0x80000000u, 1u, 1); u[9] = max(-1, 2u); u[10] = (unsigned)min(-1, 2);
    float4 v = make_float4(1, 2, 3, 4); u[11] = (unsigned)(v.x + v.w); u[12] = sizeof(float4) + alignof(float4); u[13] = sizeof(uchar4) * 16 + sizeof(float3);
    atomicAdd(&a[0], 2); atomicMax(&a[1], 7); atomicMin(&a[2], -7); atomicCAS(&a[3], 0, 9); atomicExch(&a[4], 4); atomicOr(&a[5], 6); atomicAnd(&a[6], 6);
    float x = 1; atomicAdd(&x, 0.5f); u[14] = __float_as_uint(x);
})", "k");
    CUdeviceptr d = room(96), u = room(60), a = upload(std::vector<int>{1, 1, 1, 0, 1, 1, 5});
    OK(launch(f, 1, 1, {&d, &u, &a}));
    const auto x = download<double>(d, 12);
    NEAR(x[0], 0.47693627620446987, 1e-15);
    NEAR(std::erf(x[1]), -0.999999999, 1e-15);
    NEAR(std::erfc(x[2]) * 1e200, 1, 1e-10);
    NEAR(x[3], 2.4537365708424423, 1e-15);
    NEAR(x[4], 0.25, 0);
    NEAR(x[5], 0.7071067811865476, 1e-16);
    NEAR(x[6], 0.5, 1e-15);
    NEAR(x[7], 0.8413447460685429, 1e-15);
    NEAR(x[8], 2.7182817, 1e-6);
    NEAR(x[9], 2.7182817, 1e-6);
    NEAR(x[10] * 1e300, 0.8862269254527579, 1e-14);
    NEAR(x[11], 1.959963984540054, 1e-14);
    const auto n = download<unsigned>(u, 15);
    const unsigned expected[] = {0x80000000u, 0x77225500u, 0xfffffffeu, 31, 8, 0x3f800000u, 2, 0x80000000u, 3, 0xffffffffu, 0xffffffffu, 5, 32, 76, 0x3fc00000u};
    for (int i = 0; i < 15; i++) EQUAL(n[i], expected[i]);
    const auto b = download<int>(a, 7);
    const int after[] = {3, 7, -7, 9, 4, 7, 4};
    for (int i = 0; i < 7; i++) EQUAL(b[i], after[i]);
}

// as the manual of PTX says which lane holds what
static void tensor_cores() {
    const CUfunction f = kernel(R"(
extern "C" __global__ void k(const unsigned short* a, const unsigned short* b, const float* c, float* d, const float* a8, const float* b8, float* d8) {
    const unsigned g = threadIdx.x / 4, t = threadIdx.x % 4;
    auto two = [](const unsigned short* p, unsigned i, unsigned j) { return (unsigned)p[i] | (unsigned)p[j] << 16; };
    unsigned ra[4], rb[2];
    for (unsigned i = 0; i < 4; i++) {
        const unsigned row = g + 8 * (i % 2), column = 2 * t + 8 * (i / 2);
        ra[i] = two(a, row * 16 + column, row * 16 + column + 1);
    }
    for (unsigned i = 0; i < 2; i++) rb[i] = two(b, (2 * t + 8 * i) * 8 + g, (2 * t + 8 * i + 1) * 8 + g);
    float rc[4], rd[4];
    for (unsigned i = 0; i < 4; i++) rc[i] = c[(g + 8 * (i / 2)) * 8 + 2 * t + i % 2];
    gradloom_mma_bf16(rd, ra, rb, rc);
    for (unsigned i = 0; i < 4; i++) d[(g + 8 * (i / 2)) * 8 + 2 * t + i % 2] = rd[i];
    for (unsigned i = 0; i < 4; i++) ra[i] = __float_as_uint(a8[(g + 8 * (i % 2)) * 8 + t + 4 * (i / 2)]);
    for (unsigned i = 0; i < 2; i++) rb[i] = __float_as_uint(b8[(t + 4 * i) * 8 + g]);
    gradloom_mma_tf32(rd, ra, rb, rc);
    for (unsigned i = 0; i < 4; i++) d8[(g + 8 * (i / 2)) * 8 + 2 * t + i % 2] = rd[i];
    // 1.5 in f16 in all places
    for (unsigned i = 0; i < 4; i++) ra[i] = 0x3e003e00u;
    for (unsigned i = 0; i < 2; i++) rb[i] = 0x3e003e00u;
    gradloom_mma_f16(rd, ra, rb, rc);
    d8[128 + threadIdx.x] = rd[0] - rc[0];
})", "k");
    std::vector<unsigned short> a(256), b(128);
    std::vector<float> fa(256), fb(128), c(128), a8(128), b8(64);
    auto bf16 = [](float x) {
        unsigned u;
        memcpy(&u, &x, 4);
        return (unsigned short)(u >> 16);
    };
    for (int i = 0; i < 256; i++) fa[i] = (float)(i * 7 % 23 - 11), a[i] = bf16(fa[i]);
    for (int i = 0; i < 128; i++) fb[i] = (float)(i * 5 % 19 - 9), b[i] = bf16(fb[i]), c[i] = (float)i, a8[i] = (float)(i * 3 % 17 - 8);
    for (int i = 0; i < 64; i++) b8[i] = (float)(i * 11 % 13 - 6);
    CUdeviceptr da = upload(a), db = upload(b), dc = upload(c), dd = room(512), da8 = upload(a8), db8 = upload(b8), dd8 = room(640);
    OK(launch(f, 1, 32, {&da, &db, &dc, &dd, &da8, &db8, &dd8}));
    const auto d = download<float>(dd, 128), d8 = download<float>(dd8, 160);
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 8; j++) {
            float x = c[i * 8 + j], y = x;
            for (int k = 0; k < 16; k++) x += fa[i * 16 + k] * fb[k * 8 + j];
            for (int k = 0; k < 8; k++) y += a8[i * 8 + k] * b8[k * 8 + j];
            NEAR(d[i * 8 + j], x, 0);
            NEAR(d8[i * 8 + j], y, 0);
        }
    NEAR(d8[128 + 5], 36, 0);
}

static int result_of(const char* source, unsigned blocks, unsigned threads, size_t bytes, unsigned shared = 0) {
    const CUfunction f = kernel(source, "k");
    CUdeviceptr p = room(bytes);
    OK(launch(f, blocks, threads, {&p}, nullptr, shared));
    const int result = cu("cuCtxSynchronize");
    EQUAL(cu("cuMemFree_v2", p), result);
    return result;
}

static void wrong_kernels() {
    const struct {
        const char *what, *source;
        unsigned threads;
        int result;
    } all[] = {
        {"a barrier for some", "extern \"C\" __global__ void k(float* p) { if (threadIdx.x < 40) __syncthreads(); p[threadIdx.x] = 1; }", 64, 719},
        {"an exchange for some", "extern \"C\" __global__ void k(float* p) { if (threadIdx.x < 20) p[threadIdx.x] = __shfl_sync(0xffffffffu, 1.0f, 0); }", 64, 719},
        {"an exchange and a barrier", "extern \"C\" __global__ void k(float* p) { if (threadIdx.x < 20) __syncwarp(); else __syncthreads(); p[threadIdx.x] = 1; }", 32, 719},
        {"a mask without oneself", "extern \"C\" __global__ void k(float* p) { p[threadIdx.x] = __shfl_sync(0xffffu, 1.0f, 0); }", 32, 719},
        {"a write behind the end", "extern \"C\" __global__ void k(float* p) { p[threadIdx.x + 64] = 1; }", 1, 700},
        {"a read far behind the end", "extern \"C\" __global__ void k(float* p) { p[0] = p[1 << 20]; }", 1, 700},
        {"a write a little behind the end", "extern \"C\" __global__ void k(char* p) { p[257] = 1; }", 1, 700},
        {"a write before the beginning", "extern \"C\" __global__ void k(float* p) { p[-1] = 1; }", 1, 700},
        {"a null pointer", "extern \"C\" __global__ void k(float* p) { *(volatile float*)nullptr = 1; }", 1, 700},
        {"too deep a recursion", "__device__ int f(int n, volatile int* p) { volatile int x[256]; x[n % 256] = n; return n == 0 ? p[0] : f(n - 1, p) + x[n % 256]; }\n"
         "extern \"C\" __global__ void k(int* p) { __syncthreads(); p[0] = f(100000, p); }", 32, 719},
        {"a division by zero", "extern \"C\" __global__ void k(int* p) { p[0] = 0; p[1] = 7 / *(volatile int*)p; }", 1, 719},
        {"dynamic shared memory", "extern \"C\" __global__ void k(int* p) { extern __shared__ int s[]; s[threadIdx.x + 1] = 1; p[0] = s[1]; }", 4, 700},
        {"a write right behind the end", "extern \"C\" __global__ void k(int* p) { p[63] = 1; }", 1, 700},
        {"shared memory out of its array", "extern \"C\" __global__ void k(int* p) { __shared__ int s[8]; s[threadIdx.x] = 1; p[0] = s[0]; }", 16, 700},
        {"four numbers that are not aligned", "struct alignas(16) F { float e[4]; };\nextern \"C\" __global__ void k(float* p) { *reinterpret_cast<F*>(p + 2) = F{{1, 2, 3, 4}}; }", 1, 716},
        {"a number that is not aligned", "extern \"C\" __global__ void k(char* p) { *reinterpret_cast<double*>(p + 4) = 1; }", 1, 716},
        {"an assertion", "extern \"C\" __global__ void k(int* p) { assert(threadIdx.x == 0); }", 4, 710},
        {"a trap", "extern \"C\" __global__ void k(int* p) { __trap(); }", 4, 719},
    };
    for (const auto& each : all)
        apart(each.what, [&] {
            begin();
            EQUAL(result_of(each.source, 1, each.threads, 252, 16), each.result);
            // and it stays so
            CUdeviceptr p;
            EQUAL(cu("cuMemAlloc_v2", &p, (size_t)4), each.result);
        });
    apart("shared memory before it is written", [] {
        begin();
        const CUfunction f = kernel("extern \"C\" __global__ void k(unsigned* p) { __shared__ unsigned s[4]; p[blockIdx.x] = s[0]; s[0] = 5; }", "k");
        CUdeviceptr p = room(8);
        OK(launch(f, 2, 1, {&p}));
        for (unsigned x : download<unsigned>(p, 2)) EQUAL(x, 0xa5a5a5a5u);
    });
}

void check_kernels() {
    apart("compiler", [] { begin(); compiler(); });
    apart("programs", [] { begin(); programs(); });
    apart("simple", [] { begin(); simple(); });
    apart("warps", [] { begin(); warps(); });
    apart("numbers", [] { begin(); numbers(); });
    apart("tensor cores", [] { begin(); tensor_cores(); });
    wrong_kernels();
}
