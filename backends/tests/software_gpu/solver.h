// What the files of cuSOLVER share.
#pragma once
#include "dense.h"
#include "schur.h"

enum Status {
    SUCCESS = 0,
    NOT_INITIALIZED = 1,
    INVALID_VALUE = 3,
    EXECUTION_FAILED = 6,
    INTERNAL_ERROR = 7,
    NOT_SUPPORTED = 9,
};
enum { NO_VECTORS = 0, VECTORS = 1 };

struct Solver {
    char kind;
    void* stream;
};
// a handle ('h'), parameters ('p'), settings of rotations for singular values ('g') and eigenvalues ('e')
bool known(const void* p, char kind);
int give(void** out, char kind);
int take_back(void* p, char kind);

#define REFUSE(status, ...) \
    do {                    \
        SAY(__VA_ARGS__);   \
        return status;      \
    } while (0)

inline int queued(int result) { return result == 0 ? SUCCESS : EXECUTION_FAILED; }
inline int real_of(int type) { return type == C_32F ? R_32F : type == C_64F ? R_64F : type; }
inline bool computes(int type) { return type == R_32F || type == R_64F || type == C_32F || type == C_64F; }

// a matrix in device memory
struct Place {
    u64 at;
    long long rows, cols, ld;
    int type;
    size_t bytes() const { return rows <= 0 || cols <= 0 ? 0 : (size_t)((cols - 1) * ld + rows) * bytes_of(type); }
    bool valid() const { return rows >= 0 && cols >= 0 && ld >= std::max(1ll, rows) && (at != 0 || bytes() == 0); }
    char* host(const char* what, size_t offset = 0) const {
        static char nothing[16];
        return bytes() == 0 ? nothing : (char*)softwareGpuTranslate(at + offset * bytes_of(type), bytes(), what);
    }
};
inline Dense read(const Place& p, const char* from) { return read(from, p.type, (size_t)p.rows, (size_t)p.cols, (size_t)p.ld); }
inline void write(const Dense& a, const Place& p, char* to) { write(a, to, p.type, (size_t)p.ld); }

// where results say how it went
inline int* info_at(u64 info, const char* what, size_t count = 1) { return (int*)softwareGpuTranslate(info, 4 * count, what); }
// a workspace, in which nothing is left of what was there
inline bool use_workspace(u64 at, size_t bytes, const char* what) {
    if (bytes == 0) return true;
    void* p = softwareGpuTranslate(at, bytes, what);
    if (p != nullptr) memset(p, 0xee, bytes);
    return p != nullptr;
}
