// What kernels find: CUDA C's words as C++ for this machine. Kernels are compiled behind this text and that of module.h.
#define GRADLOOM_SOFTWARE_GPU 1
#define __CUDACC__ 1
#define __CUDACC_RTC__ 1
#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)
#define __grid_constant__
#define __shared__ static __attribute__((section("gpu_shared")))
#define software_gpu_shared(i) static __attribute__((section("gpu_shared_" #i)))

typedef unsigned long size_t;
typedef long ptrdiff_t;
typedef unsigned long long software_gpu_u64;

static SoftwareGpuThread software_gpu_thread;
static const SoftwareGpuRuntime* software_gpu_runtime;

extern "C" int printf(const char*, ...);
static inline void* memcpy(void* a, const void* b, size_t n) { return __builtin_memcpy(a, b, n); }
static inline void* memset(void* a, int b, size_t n) { return __builtin_memset(a, b, n); }
static inline int memcmp(const void* a, const void* b, size_t n) { return __builtin_memcmp(a, b, n); }
#define assert(x) ((x) ? (void)0 : software_gpu_runtime->trap(710, "assertion failed: " #x, __FILE__, __LINE__))
static inline void __trap() { software_gpu_runtime->trap(719, "a trap", "", 0); }

// what the compiler puts in where an address is not aligned to its type, and where an index is out of its array
struct software_gpu_place {
    const char* file;
    unsigned line, column;
};
extern "C" __attribute__((used)) void __ubsan_handle_type_mismatch_v1_abort(software_gpu_place* p, unsigned long) {
    software_gpu_runtime->trap(716, "an address that is not aligned to its type", p->file, p->line);
}
extern "C" __attribute__((used)) void __ubsan_handle_out_of_bounds_abort(software_gpu_place* p, unsigned long) {
    software_gpu_runtime->trap(700, "an index that is out of its array", p->file, p->line);
}

// ---- vectors

#define VECTOR(T, name, a1, a2, a3, a4)                                                   \
    struct __attribute__((aligned(a1))) name##1 { T x; };                                  \
    struct __attribute__((aligned(a2))) name##2 { T x, y; };                               \
    struct __attribute__((aligned(a3))) name##3 { T x, y, z; };                            \
    struct __attribute__((aligned(a4))) name##4 { T x, y, z, w; };                         \
    static inline name##1 make_##name##1(T x) { return {x}; }                              \
    static inline name##2 make_##name##2(T x, T y) { return {x, y}; }                      \
    static inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }              \
    static inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
VECTOR(signed char, char, 1, 2, 1, 4)
VECTOR(unsigned char, uchar, 1, 2, 1, 4)
VECTOR(short, short, 2, 4, 2, 8)
VECTOR(unsigned short, ushort, 2, 4, 2, 8)
VECTOR(int, int, 4, 8, 4, 16)
VECTOR(unsigned, uint, 4, 8, 4, 16)
VECTOR(long, long, 8, 16, 8, 16)
VECTOR(unsigned long, ulong, 8, 16, 8, 16)
VECTOR(long long, longlong, 8, 16, 8, 16)
VECTOR(unsigned long long, ulonglong, 8, 16, 8, 16)
VECTOR(float, float, 4, 8, 4, 16)
VECTOR(double, double, 8, 16, 8, 16)
#undef VECTOR
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
#define threadIdx ((const uint3&)software_gpu_thread.thread)
#define blockIdx ((const uint3&)software_gpu_thread.block)
#define blockDim ((const dim3&)software_gpu_thread.block_dim)
#define gridDim ((const dim3&)software_gpu_thread.grid_dim)
#define warpSize 32

// ---- threads that wait for each other

// a mark in the object where anything is used that waits: its section is there or not
#define SOFTWARE_GPU_WAITS asm volatile(".pushsection gpu_waits,\"a\",@progbits\n.byte 1\n.popsection")

static inline void __syncthreads() {
    SOFTWARE_GPU_WAITS;
    software_gpu_runtime->barrier();
}
enum { SOFTWARE_GPU_SHUFFLE = 1, SOFTWARE_GPU_VOTE, SOFTWARE_GPU_SYNC, SOFTWARE_GPU_MATCH, SOFTWARE_GPU_REDUCE, SOFTWARE_GPU_MMA };
static inline const software_gpu_u64* software_gpu_exchange(unsigned kind, unsigned mask, software_gpu_u64 value) {
    SOFTWARE_GPU_WAITS;
    return software_gpu_runtime->exchange(kind, mask, value);
}
static inline unsigned software_gpu_lane() { return software_gpu_thread.lane; }
static inline void __syncwarp(unsigned mask = 0xffffffffu) { software_gpu_exchange(SOFTWARE_GPU_SYNC, mask, 0); }
// of what is said of it nothing holds but that the thread itself is in it
static inline unsigned __activemask() { return 1u << software_gpu_lane(); }

template <class T> static inline T software_gpu_take(unsigned mask, T x, unsigned lane) {
    software_gpu_u64 value = 0;
    memcpy(&value, &x, sizeof x);
    const software_gpu_u64* all = software_gpu_exchange(SOFTWARE_GPU_SHUFFLE, mask, value);
    memcpy(&x, &all[lane], sizeof x);
    return x;
}
#define SHUFFLES(T)                                                                                        \
    static inline T __shfl_sync(unsigned mask, T x, int from, int width = 32) {                            \
        const unsigned l = software_gpu_lane(), w = (unsigned)width;                                       \
        return software_gpu_take(mask, x, (l & ~(w - 1)) | ((unsigned)from & (w - 1)));                    \
    }                                                                                                      \
    static inline T __shfl_xor_sync(unsigned mask, T x, int by, int width = 32) {                          \
        const unsigned l = software_gpu_lane(), w = (unsigned)width, from = (l ^ (unsigned)by) & 31;       \
        return software_gpu_take(mask, x, from < (l & ~(w - 1)) + w ? from : l);                           \
    }                                                                                                      \
    static inline T __shfl_up_sync(unsigned mask, T x, unsigned by, int width = 32) {                      \
        const unsigned l = software_gpu_lane(), w = (unsigned)width;                                       \
        return software_gpu_take(mask, x, (l & (w - 1)) >= by ? l - by : l);                               \
    }                                                                                                      \
    static inline T __shfl_down_sync(unsigned mask, T x, unsigned by, int width = 32) {                    \
        const unsigned l = software_gpu_lane(), w = (unsigned)width;                                       \
        return software_gpu_take(mask, x, (l & (w - 1)) + by < w ? l + by : l);                            \
    }
SHUFFLES(int) SHUFFLES(unsigned) SHUFFLES(long) SHUFFLES(unsigned long)
SHUFFLES(long long) SHUFFLES(unsigned long long) SHUFFLES(float) SHUFFLES(double)
#undef SHUFFLES

static inline unsigned __ballot_sync(unsigned mask, int p) {
    const software_gpu_u64* all = software_gpu_exchange(SOFTWARE_GPU_VOTE, mask, p != 0);
    unsigned votes = 0;
    for (unsigned i = 0; i < 32; i++)
        if (mask >> i & 1 && all[i] == 1) votes |= 1u << i;
    return votes;
}
static inline int __any_sync(unsigned mask, int p) { return __ballot_sync(mask, p) != 0; }
static inline int __all_sync(unsigned mask, int p) { return __ballot_sync(mask, !p) == 0; }
template <class T> static inline unsigned __match_any_sync(unsigned mask, T x) {
    software_gpu_u64 value = 0;
    memcpy(&value, &x, sizeof x);
    const software_gpu_u64* all = software_gpu_exchange(SOFTWARE_GPU_MATCH, mask, value);
    unsigned same = 0;
    for (unsigned i = 0; i < 32; i++)
        if (mask >> i & 1 && all[i] == value) same |= 1u << i;
    return same;
}
#define REDUCE(T, name, expression)                                                              \
    static inline T name(unsigned mask, T x) {                                                   \
        const software_gpu_u64* all = software_gpu_exchange(SOFTWARE_GPU_REDUCE, mask, (unsigned)x); \
        bool any = false;                                                                        \
        T r = 0;                                                                                 \
        for (unsigned i = 0; i < 32; i++) {                                                      \
            if (!(mask >> i & 1)) continue;                                                      \
            const T v = (T)(unsigned)all[i];                                                     \
            r = any ? (T)(expression) : v;                                                       \
            any = true;                                                                          \
        }                                                                                        \
        return r;                                                                                \
    }
REDUCE(unsigned, __reduce_add_sync, r + v) REDUCE(int, __reduce_add_sync, (unsigned)r + (unsigned)v)
REDUCE(unsigned, __reduce_min_sync, v < r ? v : r) REDUCE(int, __reduce_min_sync, v < r ? v : r)
REDUCE(unsigned, __reduce_max_sync, r < v ? v : r) REDUCE(int, __reduce_max_sync, r < v ? v : r)
REDUCE(unsigned, __reduce_and_sync, r & v) REDUCE(unsigned, __reduce_or_sync, r | v) REDUCE(unsigned, __reduce_xor_sync, r ^ v)
#undef REDUCE

// ---- memory that threads share

static inline void __threadfence() {}
static inline void __threadfence_block() {}
static inline void __threadfence_system() {}
template <class T> static inline T __ldg(const T* p) { return *p; }
template <class T> static inline T __ldca(const T* p) { return *p; }
template <class T> static inline T __ldcg(const T* p) { return *p; }
template <class T> static inline T __ldcs(const T* p) { return *p; }
template <class T> static inline T __ldlu(const T* p) { return *p; }
template <class T> static inline T __ldcv(const T* p) { return *p; }
template <class T> static inline void __stwb(T* p, T x) { *p = x; }
template <class T> static inline void __stcg(T* p, T x) { *p = x; }
template <class T> static inline void __stcs(T* p, T x) { *p = x; }
template <class T> static inline void __stwt(T* p, T x) { *p = x; }

// only the types that CUDA has them for
#define ATOMIC(T, name, expression)                \
    static inline T name(T* p, T v) {              \
        const T r = *p;                            \
        *p = (expression);                         \
        return r;                                  \
    }
#define ATOMICS(name, expression) ATOMIC(int, name, expression) ATOMIC(unsigned, name, expression) ATOMIC(unsigned long long, name, expression)
static inline int atomicAdd(int* p, int v) {
    const int r = *p;
    *p = (int)((unsigned)r + (unsigned)v);
    return r;
}
static inline int atomicSub(int* p, int v) {
    const int r = *p;
    *p = (int)((unsigned)r - (unsigned)v);
    return r;
}
ATOMIC(unsigned, atomicAdd, r + v) ATOMIC(unsigned long long, atomicAdd, r + v) ATOMIC(float, atomicAdd, r + v) ATOMIC(double, atomicAdd, r + v)
ATOMIC(unsigned, atomicSub, r - v)
ATOMICS(atomicMax, r < v ? v : r) ATOMIC(long long, atomicMax, r < v ? v : r)
ATOMICS(atomicMin, v < r ? v : r) ATOMIC(long long, atomicMin, v < r ? v : r)
ATOMICS(atomicExch, v) ATOMIC(float, atomicExch, v)
ATOMICS(atomicAnd, r & v) ATOMICS(atomicOr, r | v) ATOMICS(atomicXor, r ^ v)
ATOMIC(unsigned, atomicInc, r >= v ? 0 : r + 1) ATOMIC(unsigned, atomicDec, r == 0 || r > v ? v : r - 1)
#undef ATOMIC
#undef ATOMICS
#define CAS(T)                                             \
    static inline T atomicCAS(T* p, T expected, T v) {     \
        const T r = *p;                                    \
        if (r == expected) *p = v;                         \
        return r;                                          \
    }
CAS(int) CAS(unsigned) CAS(unsigned long long) CAS(unsigned short)
#undef CAS

typedef unsigned long long cudaGraphConditionalHandle;
static inline void cudaGraphSetConditional(cudaGraphConditionalHandle handle, unsigned value) {
    software_gpu_runtime->set_conditional(handle, value);
}
