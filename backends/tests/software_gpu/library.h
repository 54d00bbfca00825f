// What the libraries need of the driver, and numbers as they store them.
#pragma once
#include <cmath>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <type_traits>
#include <vector>

#define EXPORT extern "C" __attribute__((visibility("default")))

typedef unsigned long long u64;
typedef std::complex<double> complex;

extern "C" {
int softwareGpuEnqueue(void* stream, const char* name, void (*run)(void*), const void* data, size_t bytes);
void* softwareGpuTranslate(u64 address, size_t bytes, const char* what);
int softwareGpuIsMemory(u64 address, size_t bytes);
int cuCtxGetCurrent(void** context);
}

// Queues work; what it captures is copied, and used again at each launch where it becomes part of a graph.
template <class F> int enqueue(void* stream, const char* name, F work) {
    static_assert(std::is_trivially_copyable<F>::value, "it is copied as bytes");
    return softwareGpuEnqueue(stream, name, [](void* data) { (*(F*)data)(); }, &work, sizeof work);
}

inline bool has_context() {
    void* c = nullptr;
    return cuCtxGetCurrent(&c) == 0 && c != nullptr;
}

#define SAY(...)                                  \
    do {                                          \
        fprintf(stderr, "software GPU: " __VA_ARGS__); \
        fputc('\n', stderr);                      \
    } while (0)

// ---- numbers

enum DataType {
    R_32F = 0,
    R_64F = 1,
    R_16F = 2,
    R_8I = 3,
    C_32F = 4,
    C_64F = 5,
    R_32I = 10,
    R_16BF = 14,
};

inline size_t bytes_of(int type) {
    switch (type) {
        case R_8I: return 1;
        case R_16F:
        case R_16BF: return 2;
        case R_32F:
        case R_32I: return 4;
        case R_64F:
        case C_32F: return 8;
        case C_64F: return 16;
        default: return 0;
    }
}
inline bool is_complex(int type) { return type == C_32F || type == C_64F; }

inline float bf16_to_float(uint16_t b) {
    const uint32_t u = (uint32_t)b << 16;
    float x;
    memcpy(&x, &u, 4);
    return x;
}
// to the nearest, halfway cases to even, of which `bits` are dropped
inline float drop_bits(float x, int bits) {
    uint32_t u;
    memcpy(&u, &x, 4);
    if ((u & 0x7f800000u) != 0x7f800000u) {
        const uint32_t half = 1u << (bits - 1);
        u += half - 1 + (u >> bits & 1u);
        u &= ~((1u << bits) - 1);
    }
    memcpy(&x, &u, 4);
    return x;
}
inline uint16_t float_to_bf16(float x) {
    uint32_t u;
    const float y = drop_bits(x, 16);
    memcpy(&u, &y, 4);
    if (x != x) return (uint16_t)(u >> 16 | 0x40u);
    return (uint16_t)(u >> 16);
}
inline float f16_to_float(uint16_t h) {
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16, e = h >> 10 & 31, m = h & 1023;
    uint32_t u = sign | (e + 112) << 23 | m << 13;
    float x;
    if (e == 31) u = sign | 0x7f800000u | m << 13;
    if (e == 0) {
        x = (float)m * 5.9604644775390625e-8f;
        return sign != 0 ? -x : x;
    }
    memcpy(&x, &u, 4);
    return x;
}
inline uint16_t double_to_f16(double d) {
    const uint16_t sign = std::signbit(d) ? 0x8000u : 0;
    const double a = std::fabs(d);
    if (d != d) return (uint16_t)(sign | 0x7e00u);
    if (a >= 65520.0) return (uint16_t)(sign | 0x7c00u);
    int e;
    std::frexp(a, &e);
    // the distance of neighbours at this size
    const int exponent = a < 6.103515625e-5 ? -24 : e - 11;
    const long long units = std::llrint(std::ldexp(a, -exponent));
    if (a < 6.103515625e-5) return (uint16_t)(sign | units);
    return (uint16_t)(sign | (((long long)(exponent + 24) << 10) + units));
}

inline complex load(const void* p, int type, size_t i) {
    switch (type) {
        case R_8I: return ((const int8_t*)p)[i];
        case R_16F: return f16_to_float(((const uint16_t*)p)[i]);
        case R_16BF: return bf16_to_float(((const uint16_t*)p)[i]);
        case R_32I: return ((const int32_t*)p)[i];
        case R_32F: return ((const float*)p)[i];
        case R_64F: return ((const double*)p)[i];
        case C_32F: return complex(((const float*)p)[2 * i], ((const float*)p)[2 * i + 1]);
        case C_64F: return complex(((const double*)p)[2 * i], ((const double*)p)[2 * i + 1]);
        default: return 0;
    }
}
inline void store(void* p, int type, size_t i, complex x) {
    switch (type) {
        case R_8I: {
            const double r = std::nearbyint(x.real());
            ((int8_t*)p)[i] = (int8_t)(r < -128 ? -128 : r > 127 ? 127 : r);
            break;
        }
        case R_16F: ((uint16_t*)p)[i] = double_to_f16(x.real()); break;
        case R_16BF: ((uint16_t*)p)[i] = float_to_bf16((float)x.real()); break;
        case R_32I: ((int32_t*)p)[i] = (int32_t)(uint32_t)(int64_t)x.real(); break;
        case R_32F: ((float*)p)[i] = (float)x.real(); break;
        case R_64F: ((double*)p)[i] = x.real(); break;
        case C_32F:
            ((float*)p)[2 * i] = (float)x.real();
            ((float*)p)[2 * i + 1] = (float)x.imag();
            break;
        case C_64F:
            ((double*)p)[2 * i] = x.real();
            ((double*)p)[2 * i + 1] = x.imag();
            break;
    }
}
