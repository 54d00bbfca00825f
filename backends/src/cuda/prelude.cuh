// What every kernel may use. Integers wrap as the op table says, so arithmetic is done on unsigned numbers of at least 32 bits.
typedef signed char i8;
typedef short i16;
typedef int i32;
typedef long long i64;
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

template <class T, int N> struct alignas(sizeof(T) * N) Pack { T e[N]; };

template <class T> struct Word { typedef u32 U; typedef i32 S; };
template <> struct Word<i64> { typedef u64 U; typedef i64 S; };
template <> struct Word<u64> { typedef u64 U; typedef i64 S; };
template <class T> struct Own { typedef T U; typedef T S; };
template <> struct Own<i8> { typedef u8 U; typedef i8 S; };
template <> struct Own<i16> { typedef u16 U; typedef i16 S; };
template <> struct Own<i32> { typedef u32 U; typedef i32 S; };
template <> struct Own<i64> { typedef u64 U; typedef i64 S; };
template <> struct Own<u8> { typedef u8 U; typedef i8 S; };
template <> struct Own<u16> { typedef u16 U; typedef i16 S; };
template <> struct Own<u32> { typedef u32 U; typedef i32 S; };
template <> struct Own<u64> { typedef u64 U; typedef i64 S; };

template <class To, class From> __device__ inline To bits(From x) {
    static_assert(sizeof(To) == sizeof(From), "the same number of bits");
    To y;
    memcpy(&y, &x, sizeof(To));
    return y;
}

template <class T> __device__ inline T add(T x, T y) { return (T)((typename Word<T>::U)x + (typename Word<T>::U)y); }
template <class T> __device__ inline T sub(T x, T y) { return (T)((typename Word<T>::U)x - (typename Word<T>::U)y); }
template <class T> __device__ inline T mul(T x, T y) { return (T)((typename Word<T>::U)x * (typename Word<T>::U)y); }
template <class T> __device__ inline T neg(T x) { return (T)((typename Word<T>::U)0 - (typename Word<T>::U)x); }
template <class T> __device__ inline bool below_zero(T x) { return (typename Own<T>::S)x < 0 && (T)-1 < (T)1; }
template <class T> __device__ inline T magnitude(T x) { return below_zero(x) ? neg(x) : x; }
template <class T> __device__ inline T sign(T x) { return below_zero(x) ? (T)-1 : (T)(x != 0); }
template <class T> __device__ inline T least(T x, T y) { return y < x ? y : x; }
template <class T> __device__ inline T greatest(T x, T y) { return x < y ? y : x; }
// by 0: all bits set; by -1: the negated dividend, which may wrap
template <class T> __device__ inline T quotient(T x, T y) {
    if (y == 0) return (T)~(T)0;
    if (below_zero(y) && y == (T)-1) return neg(x);
    return (T)(x / y);
}
// by 0: the dividend
template <class T> __device__ inline T remainder_of(T x, T y) {
    if (y == 0) return x;
    if (below_zero(y) && y == (T)-1) return 0;
    return (T)(x % y);
}
// by repeated squaring; negative powers are 0 but for those of 1 and -1
template <class T> __device__ inline T power(T x, T n) {
    if (below_zero(n)) {
        if (x != (T)1 && x != (T)-1) return 0;
        n = (T)(n & 1);
    }
    T y = 1;
    while (n != 0) {
        if (n & 1) y = mul(y, x);
        x = mul(x, x);
        n = (T)((typename Own<T>::U)n >> 1);
    }
    return y;
}
template <class T> __device__ inline bool within(T n) { return (typename Own<T>::U)n < 8 * sizeof(T); }
template <class T> __device__ inline T shift_left(T x, T n) { return within(n) ? (T)((typename Word<T>::U)x << n) : (T)0; }
template <class T> __device__ inline T shift_right(T x, T n) { return within(n) ? (T)((typename Own<T>::U)x >> n) : (T)0; }
template <class T> __device__ inline T shift_right_arithmetic(T x, T n) {
    return (T)((typename Own<T>::S)x >> (within(n) ? (int)n : 8 * (int)sizeof(T) - 1));
}
template <class T> __device__ inline T ones(T x) {
    u64 b = (u64)(typename Own<T>::U)x;
    int n = 0;
    for (; b != 0; b &= b - 1) n += 1;
    return (T)n;
}
template <class T> __device__ inline T leading_zeros(T x) {
    typename Own<T>::U b = (typename Own<T>::U)x;
    int n = 8 * (int)sizeof(T);
    for (; b != 0; b = (typename Own<T>::U)(b >> 1)) n -= 1;
    return (T)n;
}

// towards zero; what does not fit becomes the nearest that does, NaN becomes 0
template <class T> struct Range;
template <> struct Range<i8> { static constexpr i8 low = -128, high = 127; };
template <> struct Range<i16> { static constexpr i16 low = -32768, high = 32767; };
template <> struct Range<i32> { static constexpr i32 low = -2147483647 - 1, high = 2147483647; };
template <> struct Range<i64> { static constexpr i64 low = -9223372036854775807ll - 1, high = 9223372036854775807ll; };
template <> struct Range<u8> { static constexpr u8 low = 0, high = 255; };
template <> struct Range<u16> { static constexpr u16 low = 0, high = 65535; };
template <> struct Range<u32> { static constexpr u32 low = 0, high = 4294967295u; };
template <> struct Range<u64> { static constexpr u64 low = 0, high = 18446744073709551615ull; };
template <class T, class F> __device__ inline T truncated(F x) {
    if (x != x) return 0;
    if (x <= (F)Range<T>::low) return Range<T>::low;
    if (x >= (F)Range<T>::high) return Range<T>::high;
    return (T)x;
}

template <class F> __device__ inline bool is_finite(F x) { return x - x == 0; }

// maximum and minimum of f64: NaN wins, 0 is above -0
__device__ inline double greatest64(double x, double y) {
    if (x != x || y != y) return x != x ? x : y;
    if (x == y) return bits<i64>(x) < 0 ? y : x;
    return x < y ? y : x;
}
__device__ inline double least64(double x, double y) {
    if (x != x || y != y) return x != x ? x : y;
    if (x == y) return bits<i64>(x) < 0 ? x : y;
    return y < x ? y : x;
}
__device__ inline double sign64(double x) { return x == 0 || x != x ? x : copysign(1.0, x); }
__device__ inline double logistic64(double x) {
    const double e = exp(-fabs(x));
    return x < 0 ? e / (1.0 + e) : 1.0 / (1.0 + e);
}

// f64 as f32, inexact results with their last bit set: a second rounding to fewer digits is then the only one
__device__ inline float to_odd(double x) {
    float y = (float)x;
    if (!is_finite(x) || (double)y == x) return y;
    u32 b = bits<u32>(y);
    if (fabs((double)y) > fabs(x)) b -= 1;
    return bits<float>(b | 1);
}

// Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (2011): threefry-2x32, 20 rounds
__device__ inline u32 threefry(int lane, u32 k0, u32 k1, u32 x, u32 y) {
    const u32 keys[3] = {k0, k1, k0 ^ k1 ^ 0x1bd11bdau};
    const int rotations[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
    x += keys[0];
    y += keys[1];
#pragma unroll
    for (int i = 0; i < 5; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int r = rotations[i % 2][j];
            x += y;
            y = ((y << r) | (y >> (32 - r))) ^ x;
        }
        x += keys[(i + 1) % 3];
        y += keys[(i + 2) % 3] + (u32)(i + 1);
    }
    return lane == 0 ? x : y;
}

__device__ inline u32 pair(u16 low, u16 high) { return (u32)low | (u32)high << 16; }

// a warp's product of matrices by tensor cores; one in software may stand in for them
#ifdef GRADLOOM_SOFTWARE_GPU
#define MULTIPLY(name, software, instruction)                                                                            \
    __device__ inline void name(float& d0, float& d1, float& d2, float& d3, u32 a0, u32 a1, u32 a2, u32 a3, u32 b0,      \
                                u32 b1) {                                                                                \
        const u32 a[4] = {a0, a1, a2, a3}, b[2] = {b0, b1};                                                              \
        const float c[4] = {d0, d1, d2, d3};                                                                             \
        float d[4];                                                                                                      \
        software(d, a, b, c);                                                                                            \
        d0 = d[0], d1 = d[1], d2 = d[2], d3 = d[3];                                                                      \
    }
#else
#define MULTIPLY(name, software, instruction)                                                                            \
    __device__ inline void name(float& d0, float& d1, float& d2, float& d3, u32 a0, u32 a1, u32 a2, u32 a3, u32 b0,      \
                                u32 b1) {                                                                                \
        asm volatile("mma.sync.aligned." instruction " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"           \
            : "+f"(d0), "+f"(d1), "+f"(d2), "+f"(d3)                                                                     \
            : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));                                                     \
    }
#endif
MULTIPLY(multiply_f16, gradloom_mma_f16, "m16n8k16.row.col.f32.f16.f16.f32")
MULTIPLY(multiply_bf16, gradloom_mma_bf16, "m16n8k16.row.col.f32.bf16.bf16.f32")
MULTIPLY(multiply_tf32, gradloom_mma_tf32, "m16n8k8.row.col.f32.tf32.tf32.f32")

template <class T> __device__ inline T exchange(T x, int mask) { return (T)__shfl_xor_sync(0xffffffffu, x, mask); }
// ----
