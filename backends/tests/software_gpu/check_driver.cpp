// Devices, contexts, memory, copies, streams and events: what they do, and what they refuse.
#include "check.h"
#include <thread>
#include <unistd.h>

static const char* const SCALE =
    "extern \"C\" __global__ void scale(float* p, float by, int n) { for (int i = threadIdx.x; i < n; i += blockDim.x) p[i] *= by; }";

static CUstream stream(unsigned flags = 1) {
    CUstream s = nullptr;
    OK(cu("cuStreamCreate", &s, flags));
    return s;
}
static CUevent event(unsigned flags = 0) {
    CUevent e = nullptr;
    OK(cu("cuEventCreate", &e, flags));
    return e;
}
static CUdeviceptr room_async(size_t n, CUstream s) {
    CUdeviceptr p = 0;
    OK(cu("cuMemAllocAsync", &p, n, s));
    return p;
}
template <class T> static T* pinned(size_t n) {
    void* p = nullptr;
    OK(cu("cuMemHostAlloc", &p, n * sizeof(T), 0u));
    return (T*)p;
}
static int sync(CUstream s) { return cu("cuStreamSynchronize", s); }

static void devices() {
    int n = 0, v = 0;
    EQUAL(cu("cuDeviceGetCount", &n), CUDA_ERROR_NOT_INITIALIZED);
    OK(cu("cuDriverGetVersion", &v));
    EQUAL(v, 12080);
    setenv("SOFTWARE_GPU_COUNT", "2", 1);
    setenv("SOFTWARE_GPU_MEMORY", "1000000", 1);
    OK(cu("cuInit", 0u));
    OK(cu("cuDeviceGetCount", &n));
    EQUAL(n, 2);
    CUdevice d;
    OK(cu("cuDeviceGet", &d, 1));
    EQUAL(cu("cuDeviceGet", &d, 2), CUDA_ERROR_INVALID_DEVICE);
    char name[64];
    OK(cu("cuDeviceGetName", name, 64, d));
    CHECK(strcmp(name, "Software GPU 1") == 0);
    const struct {
        int attribute, value;
    } all[] = {{75, 9}, {76, 0}, {16, 132}, {10, 32}, {8, 49152}, {97, 232448}, {115, 1}, {1, 1024}};
    for (auto& a : all) {
        OK(cu("cuDeviceGetAttribute", &v, a.attribute, d));
        EQUAL(v, a.value);
    }
    EQUAL(cu("cuDeviceGetAttribute", &v, 0, d), CUDA_ERROR_INVALID_VALUE);
    size_t bytes = 0, free = 0;
    OK(cu("cuDeviceTotalMem_v2", &bytes, d));
    EQUAL(bytes, 1000000);
    CUuuid a, b;
    OK(cu("cuDeviceGetUuid", &a, 0));
    OK(cu("cuDeviceGetUuid_v2", &b, 1));
    CHECK(memcmp(&a, &b, 16) != 0);
    // no context yet
    CUdeviceptr p;
    CUcontext c0 = nullptr, c1 = nullptr, c = nullptr;
    EQUAL(cu("cuMemAlloc_v2", &p, (size_t)16), CUDA_ERROR_INVALID_CONTEXT);
    OK(cu("cuDevicePrimaryCtxSetFlags_v2", 1, 4u));
    OK(cu("cuDevicePrimaryCtxRetain", &c0, 0));
    OK(cu("cuDevicePrimaryCtxRetain", &c1, 1));
    EQUAL(cu("cuCtxSetCurrent", (CUcontext)(void*)&v), CUDA_ERROR_INVALID_CONTEXT);
    OK(cu("cuCtxSetCurrent", c1));
    OK(cu("cuCtxGetCurrent", &c));
    CHECK(c == c1);
    OK(cu("cuCtxGetDevice", &d));
    EQUAL(d, 1);
    // another thread has none
    std::thread([&] { EQUAL(cu("cuMemAlloc_v2", &p, (size_t)16), CUDA_ERROR_INVALID_CONTEXT); }).join();
    // memory ends
    CUdeviceptr q;
    OK(cu("cuMemAlloc_v2", &p, (size_t)600000));
    EQUAL(cu("cuMemAlloc_v2", &q, (size_t)600000), CUDA_ERROR_OUT_OF_MEMORY);
    CUstream s = stream();
    EQUAL(cu("cuMemAllocAsync", &q, (size_t)600000, s), CUDA_ERROR_OUT_OF_MEMORY);
    OK(cu("cuMemGetInfo_v2", &free, &bytes));
    CHECK(free <= 400000 && free > 390000 && bytes == 1000000);
    OK(cu("cuMemFree_v2", p));
    OK(cu("cuMemAlloc_v2", &q, (size_t)600000));
    EQUAL(cu("cuMemAlloc_v2", &p, (size_t)0), CUDA_ERROR_INVALID_VALUE);
    // a stream of one context is none of another's
    OK(cu("cuCtxSetCurrent", c0));
    EQUAL(cu("cuMemsetD8Async", q, (unsigned char)1, (size_t)1, s), CUDA_ERROR_INVALID_HANDLE);
    const char* text = nullptr;
    OK(cu("cuGetErrorName", 700, &text));
    CHECK(strcmp(text, "CUDA_ERROR_ILLEGAL_ADDRESS") == 0);
    OK(cu("cuGetErrorString", 2, &text));
    CHECK(strcmp(text, "out of memory") == 0);
    EQUAL(cu("cuGetErrorName", 12345, &text), CUDA_ERROR_INVALID_VALUE);
    void* f = nullptr;
    int status = -1;
    OK(cu("cuGetProcAddress_v2", "cuMemAlloc", &f, 12080, 0ull, &status));
    CHECK(f == dlsym(library("libcuda.so.1"), "cuMemAlloc_v2") && status == 0);
    EQUAL(cu("cuGetProcAddress_v2", "cuNothing", &f, 12080, 0ull, &status), CUDA_ERROR_NOT_FOUND);
    // the context ends with its last owner, and a new one begins anew
    OK(cu("cuDevicePrimaryCtxRelease_v2", 1));
    EQUAL(cu("cuDevicePrimaryCtxRelease_v2", 1), CUDA_ERROR_INVALID_CONTEXT);
    EQUAL(cu("cuCtxSetCurrent", c1), CUDA_ERROR_INVALID_CONTEXT);
    EQUAL(cu("cuInit", 1u), CUDA_ERROR_INVALID_VALUE);
}

static void pools() {
    CUmemoryPool pool = nullptr;
    OK(cu("cuDeviceGetDefaultMemPool", &pool, 0));
    unsigned long long v = ~0ull, used = 0;
    OK(cu("cuMemPoolSetAttribute", pool, 4, (void*)&v));
    v = 0;
    OK(cu("cuMemPoolGetAttribute", pool, 4, (void*)&v));
    CHECK(v == ~0ull);
    CUstream s = stream();
    const CUdeviceptr p = room_async(1000, s);
    OK(cu("cuMemPoolGetAttribute", pool, 7, (void*)&used));
    EQUAL(used, 1024);
    OK(cu("cuMemFreeAsync", p, s));
    OK(cu("cuMemPoolGetAttribute", pool, 7, (void*)&used));
    EQUAL(used, 0);
    OK(cu("cuMemPoolTrimTo", pool, (size_t)0));
    EQUAL(cu("cuMemPoolGetAttribute", pool, 99, (void*)&used), CUDA_ERROR_INVALID_VALUE);
    OK(sync(s));
}

// a host that does not wait reads what was there before; one that waits reads what was computed
static void waiting() {
    const CUfunction f = kernel(SCALE, "scale");
    CUstream s = stream();
    float* host = pinned<float>(100);
    for (int i = 0; i < 100; i++) host[i] = (float)i;
    CUdeviceptr p = room_async(400, s);
    float by = 3;
    int n = 100;
    OK(cu("cuMemcpyHtoDAsync_v2", p, (const void*)host, (size_t)400, s));
    OK(launch(f, 1, 32, {&p, &by, &n}, s));
    by = 100;  // parameters are read at the launch
    OK(cu("cuMemcpyDtoHAsync_v2", (void*)host, p, (size_t)400, s));
    EQUAL(host[50], 50);
    EQUAL(cu("cuStreamQuery", s), CUDA_ERROR_NOT_READY);
    OK(cu("cuStreamQuery", s));
    EQUAL(host[50], 150);
    // pinned memory is read when the copy is done, pageable memory at the call
    float pageable[2] = {1, 2};
    host[0] = 1;
    OK(cu("cuMemcpyHtoDAsync_v2", p, (const void*)host, (size_t)4, s));
    OK(cu("cuMemcpyHtoDAsync_v2", p + 4, (const void*)pageable, (size_t)8, s));
    host[0] = 77;
    pageable[0] = 77;
    float back[2];
    OK(cu("cuMemcpyDtoHAsync_v2", (void*)back, p, (size_t)8, s));
    EQUAL(back[0], 77);
    EQUAL(back[1], 1);
    // memory holds nothing in particular at first
    const CUdeviceptr q = room_async(8, s);
    unsigned fresh[2];
    OK(cu("cuMemcpyDtoHAsync_v2", (void*)fresh, q, (size_t)8, s));
    EQUAL(fresh[0], 0xa5a5a5a5u);
    OK(cu("cuMemsetD32Async", q, 7u, (size_t)2, s));
    OK(cu("cuMemsetD8Async", q + 5, (unsigned char)1, (size_t)1, s));
    OK(cu("cuMemcpyAsync", (CUdeviceptr)(size_t)fresh, q, (size_t)8, s));
    EQUAL(fresh[0], 7);
    EQUAL(fresh[1], 0x107);
    OK(cu("cuMemcpyDtoDAsync_v2", q, q + 4, (size_t)4, s));
    OK(cu("cuMemcpyDtoD_v2", q + 4, q, (size_t)0));
    OK(sync(s));
    CHECK(download<unsigned>(q, 1)[0] == 0x107);
    EQUAL(cu("cuMemcpyHtoD_v2", (CUdeviceptr)(size_t)fresh, (const void*)fresh, (size_t)4), CUDA_ERROR_INVALID_VALUE);
    EQUAL(cu("cuMemsetD32Async", q + 1, 0u, (size_t)1, s), CUDA_ERROR_INVALID_VALUE);
    OK(cu("cuMemFreeAsync", p, s));
    OK(cu("cuMemFree_v2", q));
    OK(cu("cuMemFreeHost", (void*)host));
    EQUAL(cu("cuMemFreeHost", (void*)host), CUDA_ERROR_INVALID_VALUE);
}

static void events() {
    CUstream a = stream(), b = stream(), blocking = stream(0);
    CUevent done = event(), begun = event(), quiet = event(2);
    float ms = -1;
    OK(cu("cuEventQuery", done));
    OK(cu("cuEventSynchronize", done));
    EQUAL(cu("cuEventElapsedTime", &ms, begun, done), CUDA_ERROR_INVALID_HANDLE);
    CUdeviceptr p = room(4);
    OK(cu("cuEventRecord", begun, a));
    OK(cu("cuMemsetD32Async", p, 5u, (size_t)1, a));
    OK(cu("cuEventRecord", done, a));
    EQUAL(cu("cuEventElapsedTime", &ms, begun, done), CUDA_ERROR_NOT_READY);
    OK(cu("cuStreamWaitEvent", b, done, 0u));
    OK(cu("cuEventRecord", quiet, a));
    int* host = pinned<int>(1);
    *host = 0;
    OK(cu("cuMemcpyDtoHAsync_v2", (void*)host, p, (size_t)4, b));
    OK(sync(b));
    EQUAL(*host, 5);
    OK(cu("cuEventQuery", done));
    OK(cu("cuEventElapsedTime_v2", &ms, begun, done));
    CHECK(ms >= 0 && ms < 1000);
    EQUAL(cu("cuEventElapsedTime", &ms, begun, quiet), CUDA_ERROR_INVALID_HANDLE);
    EQUAL(cu("cuEventQuery", quiet), CUDA_ERROR_NOT_READY);
    OK(cu("cuEventQuery", quiet));
    // without an event the other stream is later; with the legacy stream between them not
    OK(cu("cuMemsetD32Async", p, 6u, (size_t)1, a));
    OK(cu("cuMemcpyDtoHAsync_v2", (void*)host, p, (size_t)4, b));
    OK(sync(b));
    EQUAL(*host, 5);
    OK(sync(a));
    OK(cu("cuMemsetD32Async", p, 8u, (size_t)1, blocking));
    EQUAL(download<int>(p, 1)[0], 8);
    CUstream own = (CUstream)2;
    OK(cu("cuMemsetD32Async", p, 9u, (size_t)1, own));
    OK(sync(own));
    EQUAL(download<int>(p, 1)[0], 9);
    OK(cu("cuStreamDestroy_v2", a));
    EQUAL(sync(a), CUDA_ERROR_INVALID_HANDLE);
    OK(cu("cuEventDestroy_v2", done));
    EQUAL(cu("cuEventQuery", done), CUDA_ERROR_INVALID_HANDLE);
    EQUAL(cu("cuStreamCreate", &a, 7u), CUDA_ERROR_INVALID_VALUE);
    OK(cu("cuStreamCreateWithPriority", &a, 1u, -1));
    OK(cu("cuCtxSynchronize"));
}

static int host_calls = 0;
static void host_functions() {
    CUstream s = stream();
    CUdeviceptr p = room(4);
    static int* host;
    host = pinned<int>(1);
    *host = 0;
    OK(cu("cuMemsetD32Async", p, 42u, (size_t)1, s));
    OK(cu("cuMemcpyDtoHAsync_v2", (void*)host, p, (size_t)4, s));
    CUhostFn f = [](void* data) {
        int n;
        // it may not call the driver
        host_calls = *(int*)data == 42 && cu("cuDeviceGetCount", &n) == CUDA_ERROR_NOT_PERMITTED ? 1 : -1;
    };
    OK(cu("cuLaunchHostFunc", s, f, (void*)host));
    EQUAL(host_calls, 0);
    OK(sync(s));
    EQUAL(host_calls, 1);
    // it is called also if nobody waits for the stream
    host_calls = 0;
    OK(cu("cuLaunchHostFunc", s, f, (void*)host));
    for (int i = 0; i < 1000 && *(volatile int*)&host_calls == 0; i++) usleep(1000);
    EQUAL(host_calls, 1);
}

static void threads() {
    const CUfunction f = kernel(SCALE, "scale");
    CUcontext c = nullptr;
    OK(cu("cuCtxGetCurrent", &c));
    std::vector<std::thread> all;
    for (int t = 0; t < 4; t++)
        all.emplace_back([=] {
            OK(cu("cuCtxSetCurrent", c));
            CUstream s = stream();
            for (int i = 0; i < 50; i++) {
                CUdeviceptr p = room_async(400, s);
                std::vector<float> v(100, 2);
                float by = (float)t;
                int n = 100;
                OK(cu("cuMemcpyHtoDAsync_v2", p, (const void*)v.data(), (size_t)400, s));
                OK(launch(f, 1, 64, {&p, &by, &n}, s));
                OK(cu("cuMemcpyDtoHAsync_v2", (void*)v.data(), p, (size_t)400, s));
                EQUAL(v[99], 2 * t);
                OK(cu("cuMemFreeAsync", p, s));
            }
            OK(sync(s));
        });
    for (auto& t : all) t.join();
}

static void trace() {
    const std::string path = folder + "/trace";
    unlink(path.c_str());
    setenv("SOFTWARE_GPU_TRACE", path.c_str(), 1);
    begin();
    CUstream s = stream();
    CUdeviceptr p = room_async(123, s);
    OK(cu("cuMemFreeAsync", p, s));
    OK(sync(s));
    std::string text;
    FILE* f = fopen(path.c_str(), "r");
    CHECK(f != nullptr);
    for (int c; f != nullptr && (c = fgetc(f)) != EOF;) text += (char)c;
    CHECK(text.find("\ncuMemAllocAsync 123 ") != std::string::npos && text.find("\ncuStreamSynchronize ") != std::string::npos);
}

// the synchronous fills, and pinned memory by its other name
static void fills() {
    void* host = nullptr;
    OK(cu("cuMemAllocHost_v2", &host, (size_t)8));
    EQUAL(*(unsigned*)host, 0xa5a5a5a5u);
    const CUdeviceptr p = room(8);
    OK(cu("cuMemsetD32_v2", p, 0x01020304u, (size_t)2));
    OK(cu("cuMemsetD8_v2", p + 4, (unsigned char)9, (size_t)2));
    EQUAL(download<unsigned>(p, 2)[0], 0x01020304u);
    EQUAL(download<unsigned>(p, 2)[1], 0x01020909u);
    *(unsigned*)host = 5;
    OK(cu("cuMemcpyHtoD_v2", p, (const void*)host, (size_t)4));
    EQUAL(download<unsigned>(p, 1)[0], 5);
    OK(cu("cuMemFreeHost", host));
    // a kernel may use pinned memory by its address
    unsigned* mine = pinned<unsigned>(4);
    const CUfunction f = kernel("extern \"C\" __global__ void k(unsigned* p) { p[threadIdx.x] = threadIdx.x; }", "k");
    OK(launch(f, 1, 4, {&mine}));
    EQUAL(mine[3], 0xa5a5a5a5u);
    OK(cu("cuCtxSynchronize"));
    EQUAL(mine[3], 3);
    EQUAL(cu("cuMemAllocHost_v2", &host, (size_t)0), CUDA_ERROR_INVALID_VALUE);
}

// what libraries use of the driver
static void library_work() {
    static int done = 0;
    static CUdeviceptr p;
    p = room(8);
    CUstream s = stream();
    typedef void* (*Translate)(CUdeviceptr, size_t, const char*);
    void (*work)(void*) = [](void* data) {
        const auto translate = (Translate)dlsym(library("libcuda.so.1"), "softwareGpuTranslate");
        int* q = (int*)translate(p, 8, "a test");
        q[1] = *(int*)data;
        done++;
    };
    int number = 12;
    OK(cu("softwareGpuEnqueue", s, "test", work, (const void*)&number, sizeof number));
    number = 13;
    EQUAL(done, 0);
    OK(sync(s));
    EQUAL(done, 1);
    EQUAL(download<int>(p, 2)[1], 12);
    EQUAL(cu("softwareGpuIsMemory", p, (size_t)8), 1);
    EQUAL(cu("softwareGpuIsMemory", p, (size_t)9), 0);
    OK(cu("cuMemFree_v2", p));
    EQUAL(cu("softwareGpuIsMemory", p, (size_t)8), 0);
}

// each in a process of its own: the result of the call itself, and of the next synchronisation
static void wrong(const char* what, int result, int later, const std::function<int(CUstream)>& run) {
    apart(what, [&] {
        begin();
        CUstream s = stream();
        EQUAL(run(s), result);
        EQUAL(sync(s), later);
        size_t a, b;
        EQUAL(cu("cuMemGetInfo_v2", &a, &b), later);
    });
}

static void wrong_uses() {
    wrong("freed twice", 1, 700, [](CUstream s) {
        const CUdeviceptr p = room_async(64, s);
        OK(cu("cuMemFreeAsync", p, s));
        return cu("cuMemFreeAsync", p, s);
    });
    wrong("freed twice, at once", 1, 700, [](CUstream) {
        const CUdeviceptr p = room(64);
        OK(cu("cuMemFree_v2", p));
        return cu("cuMemFree_v2", p);
    });
    wrong("freed in the middle", 1, 700, [](CUstream) { return cu("cuMemFree_v2", room(64) + 16); });
    wrong("freed what is the host's", 1, 700, [](CUstream) { return cu("cuMemFree_v2", (CUdeviceptr)(size_t)&failures); });
    wrong("freed by the wrong function", 1, 0, [](CUstream s) { return cu("cuMemFreeAsync", room(64), s); });
    wrong("used when freed", 0, 700, [](CUstream s) {
        const CUdeviceptr p = room_async(64, s);
        OK(cu("cuMemFreeAsync", p, s));
        return cu("cuMemsetD8Async", p, (unsigned char)0, (size_t)64, s);
    });
    wrong("used behind the end", 0, 700, [](CUstream s) { return cu("cuMemsetD8Async", room(64), (unsigned char)0, (size_t)65, s); });
    wrong("copied behind the end", 0, 700, [](CUstream s) { return cu("cuMemcpyDtoDAsync_v2", room(64), room(60), (size_t)64, s); });
    wrong("used before it is there", 0, 700, [](CUstream s) {
        const CUdeviceptr p = room_async(64, stream());
        return cu("cuMemsetD8Async", p, (unsigned char)0, (size_t)64, s);
    });
    wrong("freed in another stream too early", 0, 700, [](CUstream s) {
        CUstream other = stream();
        const CUdeviceptr p = room_async(64, s);
        OK(cu("cuMemsetD8Async", p, (unsigned char)0, (size_t)64, s));
        // without an event between them the free may come first, even before the allocation
        OK(cu("cuMemFreeAsync", p, other));
        cu("cuStreamQuery", other);
        return 0;
    });
    wrong("a kernel with freed memory", 0, 700, [](CUstream s) {
        const CUfunction f = kernel(SCALE, "scale");
        CUdeviceptr p = room(64);
        OK(cu("cuMemFree_v2", p));
        float by = 1;
        int n = 16;
        return launch(f, 1, 32, {&p, &by, &n}, s);
    });
    wrong("a kernel with host memory", 0, 700, [](CUstream s) {
        const CUfunction f = kernel(SCALE, "scale");
        float x[4], by = 1;
        float* p = x;
        int n = 4;
        return launch(f, 1, 32, {&p, &by, &n}, s);
    });
    wrong("a pinned page freed too early", 0, 700, [](CUstream s) {
        void* host = pinned<float>(16);
        OK(cu("cuMemcpyHtoDAsync_v2", room(64), (const void*)host, (size_t)64, s));
        return cu("cuMemFreeHost", host);
    });
    wrong("a parameter is missing", 1, 0, [](CUstream s) {
        const CUfunction f = kernel(SCALE, "scale");
        return launch(f, 1, 32, {nullptr, nullptr, nullptr}, s);
    });
    wrong("a module given back twice", 400, 0, [](CUstream) {
        std::string log, code;
        OK(compile("extern \"C\" __global__ void k() {}", {"-arch=sm_90"}, log, code));
        CUmodule m = nullptr;
        CUfunction f = nullptr;
        OK(cu("cuModuleLoadData", &m, (const void*)code.data()));
        OK(cu("cuModuleGetFunction", &f, m, "k"));
        OK(cu("cuModuleUnload", m));
        EQUAL(launch(f, 1, 1, {}), 400);
        return cu("cuModuleUnload", m);
    });
    apart("a context that is lost and retained anew", [] {
        begin();
        OK(cu("cuMemsetD8_v2", room(64), (unsigned char)0, (size_t)65));
        EQUAL(cu("cuCtxSynchronize"), 700);
        OK(cu("cuDevicePrimaryCtxRelease_v2", 0));
        EQUAL(cu("cuCtxSynchronize"), CUDA_ERROR_CONTEXT_IS_DESTROYED);
        begin();
        const CUdeviceptr p = room(64);
        OK(cu("cuMemsetD8_v2", p, (unsigned char)3, (size_t)64));
        EQUAL(download<char>(p, 64)[63], 3);
    });
    apart("the host reads device memory", [] {
        begin();
        const CUdeviceptr p = room(64);
        int ends[2];
        CHECK(pipe(ends) == 0);
        // what cannot be read is refused by the system
        CHECK(write(ends[1], (const void*)p, 4) < 0);
    });
}

void check_driver() {
    apart("devices", devices);
    apart("pools", [] { begin(); pools(); });
    apart("fills", [] { begin(); fills(); });
    apart("work of libraries", [] { begin(); library_work(); });
    apart("waiting", [] { begin(); waiting(); });
    apart("events", [] { begin(); events(); });
    apart("functions of the host's", [] { begin(); host_functions(); });
    apart("threads", [] { begin(); threads(); });
    apart("trace", trace);
    wrong_uses();
}
