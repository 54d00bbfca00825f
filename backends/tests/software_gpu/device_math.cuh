// The functions of numbers that kernels find. Those that CUDA computes in fewer bits are exact here.

#define UNARY(name)                                                              \
    static inline double name(double x) { return __builtin_##name(x); }          \
    static inline float name(float x) { return __builtin_##name##f(x); }         \
    static inline float name##f(float x) { return __builtin_##name##f(x); }
UNARY(acos) UNARY(acosh) UNARY(asin) UNARY(asinh) UNARY(atan) UNARY(atanh) UNARY(cbrt) UNARY(ceil) UNARY(cos) UNARY(cosh) UNARY(erf)
UNARY(erfc) UNARY(exp) UNARY(exp2) UNARY(expm1) UNARY(fabs) UNARY(floor) UNARY(lgamma) UNARY(log) UNARY(log10) UNARY(log1p) UNARY(log2)
UNARY(logb) UNARY(nearbyint) UNARY(rint) UNARY(round) UNARY(sin) UNARY(sinh) UNARY(sqrt) UNARY(tan) UNARY(tanh) UNARY(tgamma) UNARY(trunc)
#undef UNARY
#define BINARY(name)                                                                         \
    static inline double name(double x, double y) { return __builtin_##name(x, y); }         \
    static inline float name(float x, float y) { return __builtin_##name##f(x, y); }         \
    static inline float name##f(float x, float y) { return __builtin_##name##f(x, y); }
BINARY(atan2) BINARY(copysign) BINARY(fdim) BINARY(fmax) BINARY(fmin) BINARY(fmod) BINARY(hypot) BINARY(nextafter) BINARY(pow) BINARY(remainder)
#undef BINARY
static inline double pow(double x, int y) { return __builtin_pow(x, (double)y); }
static inline float pow(float x, int y) { return __builtin_powf(x, (float)y); }
static inline double fma(double x, double y, double z) { return __builtin_fma(x, y, z); }
static inline float fma(float x, float y, float z) { return __builtin_fmaf(x, y, z); }
static inline float fmaf(float x, float y, float z) { return __builtin_fmaf(x, y, z); }
static inline double ldexp(double x, int n) { return __builtin_ldexp(x, n); }
static inline float ldexpf(float x, int n) { return __builtin_ldexpf(x, n); }
static inline double scalbn(double x, int n) { return __builtin_ldexp(x, n); }
static inline float scalbnf(float x, int n) { return __builtin_ldexpf(x, n); }
static inline double frexp(double x, int* n) { return __builtin_frexp(x, n); }
static inline float frexpf(float x, int* n) { return __builtin_frexpf(x, n); }
static inline double modf(double x, double* n) { return __builtin_modf(x, n); }
static inline float modff(float x, float* n) { return __builtin_modff(x, n); }
static inline int ilogb(double x) { return __builtin_ilogb(x); }
static inline int ilogbf(float x) { return __builtin_ilogbf(x); }
static inline long long llrint(double x) { return __builtin_llrint(x); }
static inline long long llrintf(float x) { return __builtin_llrintf(x); }
static inline long lrint(double x) { return __builtin_lrint(x); }
static inline long lrintf(float x) { return __builtin_lrintf(x); }
static inline long long llround(double x) { return __builtin_llround(x); }
static inline long long llroundf(float x) { return __builtin_llroundf(x); }
static inline double j0(double x) { return __builtin_j0(x); }
static inline double j1(double x) { return __builtin_j1(x); }
static inline double rsqrt(double x) { return 1.0 / __builtin_sqrt(x); }
static inline float rsqrtf(float x) { return (float)(1.0 / __builtin_sqrt((double)x)); }
static inline float rsqrt(float x) { return rsqrtf(x); }
static inline double rcbrt(double x) { return 1.0 / __builtin_cbrt(x); }
static inline float rcbrtf(float x) { return (float)(1.0 / __builtin_cbrt((double)x)); }
static inline double exp10(double x) { return __builtin_pow(10.0, x); }
static inline float exp10f(float x) { return (float)__builtin_pow(10.0, (double)x); }
static inline float fdividef(float x, float y) { return x / y; }
static inline void sincos(double x, double* s, double* c) { *s = __builtin_sin(x), *c = __builtin_cos(x); }
static inline void sincosf(float x, float* s, float* c) { *s = __builtin_sinf(x), *c = __builtin_cosf(x); }
static inline double sinpi(double x) {
    const double r = x - 2.0 * __builtin_rint(0.5 * x);
    if (__builtin_fabs(r) == 1.0) return 0.0 * r;
    return __builtin_fabs(r) <= 0.25 ? __builtin_sin(r * 3.141592653589793)
         : __builtin_copysign(__builtin_cos((__builtin_fabs(r) - 0.5) * 3.141592653589793), r);
}
static inline double cospi(double x) {
    const double r = __builtin_fabs(x - 2.0 * __builtin_rint(0.5 * x));
    return r <= 0.25 ? __builtin_cos(r * 3.141592653589793) : -__builtin_sin((r - 0.5) * 3.141592653589793);
}
static inline float sinpif(float x) { return (float)sinpi((double)x); }
static inline float cospif(float x) { return (float)cospi((double)x); }

// a rational first guess of few digits, then steps of Halley's on erf, or on erfc where that loses nothing
static inline double software_gpu_erfinv(double x, double rest) {
    const double a = __builtin_fabs(x);
    if (!(a <= 1.0)) return __builtin_nan("");
    if (rest == 0.0 || x == 0.0) return x == 0.0 ? x : __builtin_copysign(__builtin_inf(), x);
    const double l = __builtin_log(rest) + __builtin_log1p(a), t = 4.3307467508 + 0.5 * l;
    double y = __builtin_sqrt(__builtin_sqrt(t * t - l / 0.147) - t);
    for (int i = 0; i < 3; i++) {
        const double off = a < 0.5 ? __builtin_erf(y) - a : rest - __builtin_erfc(y);
        const double step = off / (1.1283791670955126 * __builtin_exp(-y * y));
        y -= step / (1.0 + y * step);
    }
    return __builtin_copysign(y, x);
}
static inline double erfinv(double x) { return software_gpu_erfinv(x, 1.0 - __builtin_fabs(x)); }
static inline float erfinvf(float x) { return (float)erfinv((double)x); }
static inline double erfcinv(double x) { return x < 1.0 ? software_gpu_erfinv(1.0 - x, x) : -software_gpu_erfinv(x - 1.0, 2.0 - x); }
static inline float erfcinvf(float x) { return (float)erfcinv((double)x); }
static inline double normcdf(double x) { return 0.5 * __builtin_erfc(-0.7071067811865476 * x); }
static inline float normcdff(float x) { return (float)normcdf((double)x); }
static inline double normcdfinv(double x) { return -1.4142135623730951 * erfcinv(2.0 * x); }
static inline float normcdfinvf(float x) { return (float)normcdfinv((double)x); }

static inline bool isnan(double x) { return x != x; }
static inline bool isnan(float x) { return x != x; }
static inline bool isinf(double x) { return __builtin_isinf(x); }
static inline bool isinf(float x) { return __builtin_isinf(x); }
static inline bool isfinite(double x) { return __builtin_isfinite(x); }
static inline bool isfinite(float x) { return __builtin_isfinite(x); }
static inline bool signbit(double x) { return __builtin_signbit(x); }
static inline bool signbit(float x) { return __builtin_signbit(x); }

static inline int abs(int x) { return x < 0 ? (int)(0u - (unsigned)x) : x; }
static inline long abs(long x) { return x < 0 ? (long)(0ul - (unsigned long)x) : x; }
static inline long long abs(long long x) { return x < 0 ? (long long)(0ull - (unsigned long long)x) : x; }
static inline long long llabs(long long x) { return abs(x); }
static inline double abs(double x) { return __builtin_fabs(x); }
static inline float abs(float x) { return __builtin_fabsf(x); }
#define LEAST(A, B, T)                                                                \
    static inline T min(A x, B y) { return (T)y < (T)x ? (T)y : (T)x; }               \
    static inline T max(A x, B y) { return (T)x < (T)y ? (T)y : (T)x; }
LEAST(int, int, int) LEAST(unsigned, unsigned, unsigned) LEAST(int, unsigned, unsigned) LEAST(unsigned, int, unsigned)
LEAST(long, long, long) LEAST(unsigned long, unsigned long, unsigned long)
LEAST(long long, long long, long long) LEAST(unsigned long long, unsigned long long, unsigned long long)
LEAST(long long, unsigned long long, unsigned long long) LEAST(unsigned long long, long long, unsigned long long)
#undef LEAST
static inline float min(float x, float y) { return __builtin_fminf(x, y); }
static inline float max(float x, float y) { return __builtin_fmaxf(x, y); }
static inline double min(double x, double y) { return __builtin_fmin(x, y); }
static inline double max(double x, double y) { return __builtin_fmax(x, y); }
static inline double min(float x, double y) { return __builtin_fmin(x, y); }
static inline double max(float x, double y) { return __builtin_fmax(x, y); }
static inline double min(double x, float y) { return __builtin_fmin(x, y); }
static inline double max(double x, float y) { return __builtin_fmax(x, y); }
static inline int umin(unsigned x, unsigned y) { return min(x, y); }
static inline int umax(unsigned x, unsigned y) { return max(x, y); }

// ---- quick ones

static inline float __expf(float x) { return __builtin_expf(x); }
static inline float __exp10f(float x) { return exp10f(x); }
static inline float __logf(float x) { return __builtin_logf(x); }
static inline float __log2f(float x) { return __builtin_log2f(x); }
static inline float __log10f(float x) { return __builtin_log10f(x); }
static inline float __sinf(float x) { return __builtin_sinf(x); }
static inline float __cosf(float x) { return __builtin_cosf(x); }
static inline float __tanf(float x) { return __builtin_tanf(x); }
static inline float __powf(float x, float y) { return __builtin_powf(x, y); }
static inline float __fdividef(float x, float y) { return x / y; }
static inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }
static inline float __fadd_rn(float x, float y) { return x + y; }
static inline float __fsub_rn(float x, float y) { return x - y; }
static inline float __fmul_rn(float x, float y) { return x * y; }
static inline float __fdiv_rn(float x, float y) { return x / y; }
static inline float __fmaf_rn(float x, float y, float z) { return __builtin_fmaf(x, y, z); }
static inline float __frcp_rn(float x) { return 1.0f / x; }
static inline float __fsqrt_rn(float x) { return __builtin_sqrtf(x); }
static inline float __frsqrt_rn(float x) { return rsqrtf(x); }
static inline double __dadd_rn(double x, double y) { return x + y; }
static inline double __dsub_rn(double x, double y) { return x - y; }
static inline double __dmul_rn(double x, double y) { return x * y; }
static inline double __ddiv_rn(double x, double y) { return x / y; }
static inline double __drcp_rn(double x) { return 1.0 / x; }
static inline double __dsqrt_rn(double x) { return __builtin_sqrt(x); }
static inline double __fma_rn(double x, double y, double z) { return __builtin_fma(x, y, z); }

// ---- bits and conversions

template <class To, class From> static inline To software_gpu_bits(From x) {
    To y;
    __builtin_memcpy(&y, &x, sizeof y);
    return y;
}
static inline int __float_as_int(float x) { return software_gpu_bits<int>(x); }
static inline unsigned __float_as_uint(float x) { return software_gpu_bits<unsigned>(x); }
static inline float __int_as_float(int x) { return software_gpu_bits<float>(x); }
static inline float __uint_as_float(unsigned x) { return software_gpu_bits<float>(x); }
static inline long long __double_as_longlong(double x) { return software_gpu_bits<long long>(x); }
static inline double __longlong_as_double(long long x) { return software_gpu_bits<double>(x); }
static inline int __double2hiint(double x) { return (int)(software_gpu_bits<unsigned long long>(x) >> 32); }
static inline int __double2loint(double x) { return (int)software_gpu_bits<unsigned long long>(x); }
static inline double __hiloint2double(int h, int l) {
    return software_gpu_bits<double>((unsigned long long)(unsigned)h << 32 | (unsigned)l);
}

// what does not fit becomes the nearest that does, NaN becomes 0
template <class T, class F> static inline T software_gpu_to(F x, F low, F high, T least, T most) {
    return x != x ? 0 : x <= low ? least : x >= high ? most : (T)x;
}
#define CONVERSION(from, F, name, T, suffix, round, low, high, least, most)      \
    static inline T __##from##2##name##_##suffix(F x) { return software_gpu_to<T, F>(round(x), (F)low, (F)high, least, most); }
#define CONVERSIONS(from, F, name, T, low, high, least, most)                                   \
    CONVERSION(from, F, name, T, rn, rint, low, high, least, most)                              \
    CONVERSION(from, F, name, T, rz, trunc, low, high, least, most)                             \
    CONVERSION(from, F, name, T, ru, ceil, low, high, least, most)                              \
    CONVERSION(from, F, name, T, rd, floor, low, high, least, most)
#define BOTH(from, F)                                                                           \
    CONVERSIONS(from, F, int, int, -2147483648.0, 2147483648.0, -2147483647 - 1, 2147483647)    \
    CONVERSIONS(from, F, uint, unsigned, 0, 4294967296.0, 0u, 4294967295u)                      \
    CONVERSIONS(from, F, ll, long long, -9223372036854775808.0, 9223372036854775808.0, -9223372036854775807ll - 1, 9223372036854775807ll) \
    CONVERSIONS(from, F, ull, unsigned long long, 0, 18446744073709551616.0, 0ull, 18446744073709551615ull)
BOTH(float, float)
BOTH(double, double)
#undef BOTH
#undef CONVERSIONS
#undef CONVERSION
static inline float __int2float_rn(int x) { return (float)x; }
static inline float __uint2float_rn(unsigned x) { return (float)x; }
static inline float __ll2float_rn(long long x) { return (float)x; }
static inline float __ull2float_rn(unsigned long long x) { return (float)x; }
static inline double __int2double_rn(int x) { return (double)x; }
static inline double __uint2double_rn(unsigned x) { return (double)x; }
static inline double __ll2double_rn(long long x) { return (double)x; }
static inline double __ull2double_rn(unsigned long long x) { return (double)x; }
static inline float __double2float_rn(double x) { return (float)x; }

static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz((unsigned)x); }
static inline int __clzll(long long x) { return x == 0 ? 64 : __builtin_clzll((unsigned long long)x); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __ffsll(long long x) { return __builtin_ffsll(x); }
static inline unsigned __brev(unsigned x) {
    unsigned y = 0;
    for (int i = 0; i < 32; i++) y |= (x >> i & 1u) << (31 - i);
    return y;
}
static inline unsigned long long __brevll(unsigned long long x) { return (unsigned long long)__brev((unsigned)x) << 32 | __brev((unsigned)(x >> 32)); }
static inline int __mulhi(int x, int y) { return (int)((long long)x * y >> 32); }
static inline unsigned __umulhi(unsigned x, unsigned y) { return (unsigned)((unsigned long long)x * y >> 32); }
static inline long long __mul64hi(long long x, long long y) { return (long long)((__int128)x * y >> 64); }
static inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
    return (unsigned long long)((unsigned __int128)x * y >> 64);
}
static inline int __mul24(int x, int y) { return (int)((unsigned)(x << 8 >> 8) * (unsigned)(y << 8 >> 8)); }
static inline unsigned __umul24(unsigned x, unsigned y) { return (x & 0xffffffu) * (y & 0xffffffu); }
static inline unsigned __byte_perm(unsigned x, unsigned y, unsigned s) {
    const unsigned long long all = (unsigned long long)y << 32 | x;
    unsigned r = 0;
    for (int i = 0; i < 4; i++) r |= (unsigned)(all >> (8 * (s >> (4 * i) & 7u)) & 0xff) << (8 * i);
    return r;
}
static inline unsigned __funnelshift_l(unsigned lo, unsigned hi, unsigned n) {
    return (unsigned)(((unsigned long long)hi << 32 | lo) << (n & 31) >> 32);
}
static inline unsigned __funnelshift_r(unsigned lo, unsigned hi, unsigned n) { return (unsigned)(((unsigned long long)hi << 32 | lo) >> (n & 31)); }
static inline unsigned __funnelshift_lc(unsigned lo, unsigned hi, unsigned n) { return n >= 32 ? lo : __funnelshift_l(lo, hi, n); }
static inline unsigned __funnelshift_rc(unsigned lo, unsigned hi, unsigned n) { return n >= 32 ? hi : __funnelshift_r(lo, hi, n); }
static inline int __dp4a(int a, int b, int c) {
    for (int i = 0; i < 4; i++) c += (int)(signed char)(a >> (8 * i)) * (int)(signed char)(b >> (8 * i));
    return c;
}

// ---- products by tensor cores: the pieces of the operands as the lanes of a warp hold them

static inline float software_gpu_f16(unsigned h) {
    const unsigned s = (h & 0x8000u) << 16, e = h >> 10 & 31, m = h & 1023;
    if (e == 31) return __uint_as_float(s | 0x7f800000u | m << 13);
    if (e != 0) return __uint_as_float(s | (e + 112) << 23 | m << 13);
    const float x = (float)m * 5.9604644775390625e-8f;
    return s != 0 ? -x : x;
}
static inline float software_gpu_bf16(unsigned b) { return __uint_as_float(b << 16); }
static inline float software_gpu_tf32(unsigned x) { return __uint_as_float(x & 0xffffe000u); }

// What lane l holds: of A (rows l/4 and l/4 + 8), of B (column l/4) and of D (rows as A, columns 2 (l%4) and the next); `per` numbers are
// in a register, 8 per register along the sum.
template <int per, float (*number)(unsigned)>
static inline void software_gpu_mma(float* d, const unsigned* a, const unsigned* b, const float* c) {
    const unsigned lane = software_gpu_lane(), row = lane / 4, column = lane % 4;
    unsigned all_a[32][4], all_b[32][2];
    for (int half = 0; half < 3; half++) {
        const unsigned* from = half < 2 ? a + 2 * half : b;
        const software_gpu_u64* all = software_gpu_exchange(SOFTWARE_GPU_MMA, 0xffffffffu, (software_gpu_u64)from[1] << 32 | from[0]);
        for (int l = 0; l < 32; l++) {
            unsigned* to = half < 2 ? all_a[l] + 2 * half : all_b[l];
            to[0] = (unsigned)all[l];
            to[1] = (unsigned)(all[l] >> 32);
        }
    }
    for (int i = 0; i < 4; i++) {
        const unsigned r = row, n = 2 * column + (i & 1), below = i >= 2 ? 1 : 0;
        double sum = 0;
        for (unsigned k = 0; k < 8 * per; k++) {
            // the lane of its four, the register, and the place in the register
            const unsigned l = k / per % 4, half = k / (4 * per), shift = per == 2 ? 16 * (k % 2) : 0;
            const unsigned keep = per == 2 ? 0xffffu : 0xffffffffu;
            const float x = number(all_a[4 * r + l][2 * half + below] >> shift & keep);
            const float y = number(all_b[4 * n + l][half] >> shift & keep);
            sum += (double)x * (double)y;
        }
        d[i] = (float)(sum + (double)c[i]);
    }
}
static inline void gradloom_mma_f16(float d[4], const unsigned a[4], const unsigned b[2], const float c[4]) {
    software_gpu_mma<2, software_gpu_f16>(d, a, b, c);
}
static inline void gradloom_mma_bf16(float d[4], const unsigned a[4], const unsigned b[2], const float c[4]) {
    software_gpu_mma<2, software_gpu_bf16>(d, a, b, c);
}
static inline void gradloom_mma_tf32(float d[4], const unsigned a[4], const unsigned b[2], const float c[4]) {
    software_gpu_mma<1, software_gpu_tf32>(d, a, b, c);
}

// ---- entries: a kernel by its parameters in an array

template <class T> struct software_gpu_type { enum { pointer = 0 }; };
template <class T> struct software_gpu_type<T*> { enum { pointer = 1 }; };
template <int... I> struct software_gpu_numbers {};
#if defined(__clang__)
template <class T, T... I> struct software_gpu_sequence { typedef software_gpu_numbers<I...> type; };
template <int n> using software_gpu_upto = typename __make_integer_seq<software_gpu_sequence, int, n>::type;
#else
template <int n> using software_gpu_upto = software_gpu_numbers<__integer_pack(n)...>;
#endif
template <auto F> struct software_gpu_entry;
template <class... A, void (*F)(A...)> struct software_gpu_entry<F> {
    template <int... I> static void call(void** p, software_gpu_numbers<I...>) { F(*(A*)p[I]...); }
    static void thread(void** p) { call(p, software_gpu_upto<(int)sizeof...(A)>()); }
    static void block(void** p, int down) {
        SoftwareGpuThread& s = software_gpu_thread;
        const unsigned n = s.block_dim[0] * s.block_dim[1] * s.block_dim[2];
        for (unsigned i = 0; i < n; i++) {
            const unsigned t = down ? n - 1 - i : i;
            s.thread[0] = t % s.block_dim[0];
            s.thread[1] = t / s.block_dim[0] % s.block_dim[1];
            s.thread[2] = t / s.block_dim[0] / s.block_dim[1];
            s.lane = t % 32;
            thread(p);
        }
    }
    static constexpr SoftwareGpuParam params[sizeof...(A) + 1] = {{sizeof(A), software_gpu_type<A>::pointer}..., {0, 0}};
};
// from where to where a section goes; nowhere if there is none
#define SOFTWARE_GPU_SECTION(name)                                                     \
    extern "C" char __start_##name[] __attribute__((weak, visibility("hidden")));      \
    extern "C" char __stop_##name[] __attribute__((weak, visibility("hidden")));
SOFTWARE_GPU_SECTION(gpu_waits)
SOFTWARE_GPU_SECTION(gpu_shared)
