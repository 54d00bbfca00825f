// What the parts of the test program share.
#pragma once
#include "abi.h"
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <functional>
#include <string>
#include <vector>

extern int failures;
extern std::string folder;

#define CHECK(x)                                                                \
    do {                                                                        \
        if (!(x)) {                                                             \
            failures++;                                                         \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #x); \
        }                                                                       \
    } while (0)
#define EQUAL(x, y)                                                                                                       \
    do {                                                                                                                  \
        const long long x_ = (long long)(x), y_ = (long long)(y);                                                         \
        if (x_ != y_) {                                                                                                   \
            failures++;                                                                                                   \
            fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #x, x_, y_);                              \
        }                                                                                                                 \
    } while (0)
#define OK(x) EQUAL(x, 0)
#define NEAR(x, y, by)                                                                                                    \
    do {                                                                                                                  \
        const double x_ = (double)(x), y_ = (double)(y);                                                                  \
        if (!(std::fabs(x_ - y_) <= (by))) {                                                                              \
            failures++;                                                                                                   \
            fprintf(stderr, "%s:%d: %s is %.17g, not %.17g\n", __FILE__, __LINE__, #x, x_, y_);                            \
        }                                                                                                                 \
    } while (0)

void* library(const char* name);
// a function of a library by its name
template <class... A> int call(const char* lib, const char* name, A... args) {
    void* f = dlsym(library(lib), name);
    if (f == nullptr) {
        failures++;
        fprintf(stderr, "%s has no %s\n", lib, name);
        return -1;
    }
    return ((int (*)(A...))f)(args...);
}
template <class... A> int cu(const char* name, A... args) { return call("libcuda.so.1", name, args...); }

// compiles CUDA C; the result of the compiler, its log and its code
int compile(const std::string& source, std::vector<const char*> options, std::string& log, std::string& code);
// a kernel of a text, in the current context
CUfunction kernel(const std::string& source, const char* name);
// device memory with what the host gives, and back
CUdeviceptr upload(const void* p, size_t n);
template <class T> CUdeviceptr upload(const std::vector<T>& v) { return upload(v.data(), v.size() * sizeof(T)); }
CUdeviceptr room(size_t n);
template <class T> std::vector<T> download(CUdeviceptr p, size_t n) {
    std::vector<T> v(n);
    OK(cu("cuMemcpyDtoH_v2", (void*)v.data(), p, n * sizeof(T)));
    return v;
}
int launch(CUfunction f, unsigned blocks, unsigned threads, std::vector<void*> params, CUstream s = nullptr, unsigned shared = 0);
// in a process of its own, since what goes wrong there stays wrong; what it returns is the number of its failures
void apart(const char* what, const std::function<void()>& run);
void begin();

void check_driver();
void check_kernels();
void check_graphs();
void check_printed();
void check_matmul();
void check_fft();
void check_cudnn();
void check_triangular();
void check_solver();
