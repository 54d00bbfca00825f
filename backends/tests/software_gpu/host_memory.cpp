// Pinned host memory, copies and fills.
#include "driver.h"
#include <cstring>
#include <sys/mman.h>

struct Pinned {
    u64 from, bytes, mapped;
    Context* context;
};
static auto& pinned = *new std::map<u64, Pinned>;

bool is_pinned(const void* p, u64 n) {
    auto after = pinned.upper_bound((u64)p);
    if (after == pinned.begin()) return false;
    const Pinned& m = std::prev(after)->second;
    return (u64)p + n <= m.from + m.bytes;
}

static CUresult pin(void** p, size_t n) {
    TRY(ready());
    TRY(unsafe_call("cuMemHostAlloc"));
    if (p == nullptr || n == 0) return CUDA_ERROR_INVALID_VALUE;
    // pages of its own, so that a host that uses it when it is freed faults
    const u64 mapped = (n + 4095) / 4096 * 4096;
    void* m = mmap(nullptr, mapped + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m == MAP_FAILED) return CUDA_ERROR_OUT_OF_MEMORY;
    mprotect((char*)m + mapped, 4096, PROT_NONE);
    memset(m, 0xa5, n);
    pinned[(u64)m] = {(u64)m, n, mapped + 4096, current};
    *p = m;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuMemHostAlloc(void** p, size_t n, unsigned flags) {
    Call call("cuMemHostAlloc %zu %u", n, flags);
    TRY(ready());
    // portable, mapped in the device's addresses, write-combined
    if ((flags & ~7u) != 0) return CUDA_ERROR_INVALID_VALUE;
    return pin(p, n);
}

EXPORT CUresult cuMemAllocHost_v2(void** p, size_t n) {
    Call call("cuMemAllocHost_v2 %zu", n);
    return pin(p, n);
}

EXPORT CUresult cuMemFreeHost(void* p) {
    Call call("cuMemFreeHost %p", p);
    TRY(ready());
    TRY(unsafe_call("cuMemFreeHost"));
    auto found = pinned.find((u64)p);
    if (found == pinned.end()) REFUSE(CUDA_ERROR_INVALID_VALUE, "cuMemFreeHost of what is no pinned memory: %p", p);
    munmap(p, found->second.mapped);
    pinned.erase(found);
    return CUDA_SUCCESS;
}

// ---- copies

typedef std::shared_ptr<std::vector<char>> Staging;

static Op copy_operation(u64 to, u64 from, u64 n, Staging staging) {
    const bool to_device = is_device_address(to), from_device = is_device_address(from);
    const bool to_pinned = !to_device && is_pinned((void*)to, n);
    const bool from_pinned = !from_device && staging == nullptr && is_pinned((void*)from, n);
    auto run = [=](Context* c) {
        if (n == 0) return;
        if ((to_pinned && !is_pinned((void*)to, n)) || (from_pinned && !is_pinned((void*)from, n))) {
            complain("pinned memory was freed before the copy of %llu bytes that uses it was done", n);
            return lose(c, CUDA_ERROR_ILLEGAL_ADDRESS);
        }
        const char* source = staging != nullptr ? staging->data() : (const char*)from;
        char* destination = (char*)to;
        if (from_device) source = range(c, from, n, "a copy reads");
        if (source != nullptr && to_device) destination = range(c, to, n, "a copy writes");
        if (source != nullptr && destination != nullptr) memmove(destination, source, n);
    };
    auto op = std::make_shared<Operation>(NODE_MEMCPY, text("copy of %llu bytes", n), run);
    op->fingerprint = {(uint8_t)to_device, (uint8_t)from_device};
    return op;
}

// what a stream does for a copy; copies of pageable memory are over, as far as the host sees, when it returns
static CUresult copy(Stream* s, u64 to, u64 from, u64 n) {
    const bool to_device = is_device_address(to), from_device = is_device_address(from);
    if (capturing(s)) return submit(s, copy_operation(to, from, n, nullptr));
    Staging staging;
    if (!from_device && !is_pinned((void*)from, n)) {
        staging = std::make_shared<std::vector<char>>((const char*)from, (const char*)from + n);
        if (!to_device && !is_pinned((void*)to, n)) run_to(s, s->submitted);
    }
    TRY(submit(s, copy_operation(to, from, n, staging)));
    if (to_device || is_pinned((void*)to, n)) return CUDA_SUCCESS;
    run_to(s, s->submitted);
    return after_wait(s->context);
}

static CUresult checked_copy(CUstream stream, u64 to, u64 from, u64 n, bool to_device, bool from_device) {
    TRY(ready());
    Stream* s;
    TRY(stream_of(stream, s));
    if (n == 0) return CUDA_SUCCESS;
    if (to == 0 || from == 0) return CUDA_ERROR_INVALID_VALUE;
    if (to_device != is_device_address(to) && !(to_device && is_pinned((void*)to, n)))
        REFUSE(CUDA_ERROR_INVALID_VALUE, "a copy to what is %s: 0x%llx", to_device ? "no device memory" : "device memory", to);
    if (from_device != is_device_address(from) && !(from_device && is_pinned((void*)from, n)))
        REFUSE(CUDA_ERROR_INVALID_VALUE, "a copy from what is %s: 0x%llx", from_device ? "no device memory" : "device memory", from);
    return copy(s, to, from, n);
}

EXPORT CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t n, CUstream s) {
    Call call("cuMemcpyHtoDAsync_v2 0x%llx %zu %p", to, n, (void*)s);
    return checked_copy(s, to, (u64)from, n, true, false);
}
EXPORT CUresult cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t n, CUstream s) {
    Call call("cuMemcpyDtoHAsync_v2 0x%llx %zu %p", from, n, (void*)s);
    return checked_copy(s, (u64)to, from, n, false, true);
}
EXPORT CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t n, CUstream s) {
    Call call("cuMemcpyDtoDAsync_v2 0x%llx 0x%llx %zu %p", to, from, n, (void*)s);
    return checked_copy(s, to, from, n, true, true);
}
EXPORT CUresult cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t n, CUstream s) {
    Call call("cuMemcpyAsync 0x%llx 0x%llx %zu %p", to, from, n, (void*)s);
    return checked_copy(s, to, from, n, is_device_address(to), is_device_address(from));
}

// the synchronous ones run in the legacy stream, and wait for it
static CUresult copy_now(const char* name, u64 to, u64 from, u64 n, bool to_device, bool from_device) {
    TRY(ready());
    TRY(implicit_wait(current, name));
    TRY(checked_copy(nullptr, to, from, n, to_device, from_device));
    if (to_device && from_device) return CUDA_SUCCESS;  // between places on the device the host does not wait
    run_to(current->legacy, current->legacy->submitted);
    return after_wait(current);
}
EXPORT CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void* from, size_t n) {
    Call call("cuMemcpyHtoD_v2 0x%llx %zu", to, n);
    return copy_now("cuMemcpyHtoD", to, (u64)from, n, true, false);
}
EXPORT CUresult cuMemcpyDtoH_v2(void* to, CUdeviceptr from, size_t n) {
    Call call("cuMemcpyDtoH_v2 0x%llx %zu", from, n);
    return copy_now("cuMemcpyDtoH", (u64)to, from, n, false, true);
}
EXPORT CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t n) {
    Call call("cuMemcpyDtoD_v2 0x%llx 0x%llx %zu", to, from, n);
    return copy_now("cuMemcpyDtoD", to, from, n, true, true);
}

// ---- fills

static CUresult fill(CUstream stream, CUdeviceptr to, unsigned value, u64 count, unsigned width) {
    TRY(ready());
    Stream* s;
    TRY(stream_of(stream, s));
    if (count == 0) return CUDA_SUCCESS;
    if (to == 0 || to % width != 0) return CUDA_ERROR_INVALID_VALUE;
    auto run = [=](Context* c) {
        char* p = range(c, to, count * width, "a fill writes");
        if (p == nullptr) return;
        if (width == 1) memset(p, (int)value, count);
        for (u64 i = 0; width == 4 && i < count; i++) memcpy(p + 4 * i, &value, 4);
    };
    return submit(s, std::make_shared<Operation>(NODE_MEMSET, text("fill of %llu bytes", count * width), run));
}
EXPORT CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t n, CUstream s) {
    Call call("cuMemsetD8Async 0x%llx %zu %p", to, n, (void*)s);
    return fill(s, to, value, n, 1);
}
EXPORT CUresult cuMemsetD32Async(CUdeviceptr to, unsigned value, size_t n, CUstream s) {
    Call call("cuMemsetD32Async 0x%llx %zu %p", to, n, (void*)s);
    return fill(s, to, value, n, 4);
}
EXPORT CUresult cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t n) {
    Call call("cuMemsetD8_v2 0x%llx %zu", to, n);
    TRY(ready());
    TRY(implicit_wait(current, "cuMemsetD8"));
    return fill(nullptr, to, value, n, 1);
}
EXPORT CUresult cuMemsetD32_v2(CUdeviceptr to, unsigned value, size_t n) {
    Call call("cuMemsetD32_v2 0x%llx %zu", to, n);
    TRY(ready());
    TRY(implicit_wait(current, "cuMemsetD32"));
    return fill(nullptr, to, value, n, 4);
}
