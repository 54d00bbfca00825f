// The memory of devices. Its addresses are those of a range where nothing is mapped; the bytes lie at a fixed distance. An
// allocation ends where a page ends, and its pages are only there while it lives, so an access behind it faults at once.
#include "driver.h"
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>

static const u64 SPACE = 1ull << 41, PAGE = 4096, ALIGN = 256;
static const uint8_t FRESH = 0xa5, ZONE = 0x5a;

static char *addresses = nullptr, *bytes_at = nullptr;
static u64 next_address = PAGE;
static auto& allocations = *new std::map<u64, Allocation>;
static auto& touched = *new std::vector<u64>;

static bool reserve() {
    if (addresses != nullptr) return true;
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* a = mmap(nullptr, SPACE, PROT_NONE, flags, -1, 0);
    void* b = mmap(nullptr, SPACE, PROT_NONE, flags, -1, 0);
    if (a == MAP_FAILED || b == MAP_FAILED) {
        complain("no room for device addresses");
        return false;
    }
    addresses = (char*)a;
    bytes_at = (char*)b;
    return true;
}

bool is_device_address(u64 a) { return addresses != nullptr && a >= (u64)addresses && a < (u64)addresses + SPACE; }
char* host_of(u64 a) { return bytes_at + (a - (u64)addresses); }
u64 device_of_host(const void* p) {
    const char* q = (const char*)p;
    return bytes_at != nullptr && q >= bytes_at && q < bytes_at + SPACE ? (u64)addresses + (u64)(q - bytes_at) : 0;
}

Allocation* allocation_at(u64 a) {
    auto after = allocations.upper_bound(a);
    if (after == allocations.begin()) return nullptr;
    Allocation& found = std::prev(after)->second;
    return a <= found.address + found.bytes ? &found : nullptr;
}

std::string describe(u64 a) {
    if (a == 0) return "the null pointer";
    if (!is_device_address(a)) return text("0x%llx, which is no device address", a);
    auto after = allocations.upper_bound(a);
    if (after != allocations.begin()) {
        const Allocation& m = std::prev(after)->second;
        static const char* states[] = {"not yet allocated in the order of its stream", "live", "freed"};
        if (a < m.address + m.bytes)
            return text("0x%llx, %llu bytes into an allocation of %llu bytes that is %s", a, a - m.address, m.bytes, states[m.state]);
        if (a < m.to + PAGE)
            return text("0x%llx, %llu bytes behind the end of an allocation of %llu bytes that is %s", a, a - m.address - m.bytes,
                        m.bytes, states[m.state]);
    }
    if (after != allocations.end() && a >= after->second.from - PAGE)
        return text("0x%llx, %llu bytes before an allocation of %llu bytes", a, after->first - a, after->second.bytes);
    return text("0x%llx, which is in no allocation", a);
}

static void touch(Allocation& m) {
    if (!m.touched) touched.push_back(m.address);
    m.touched = true;
}

char* range(Context* c, u64 a, u64 n, const char* what) {
    Allocation* m = allocation_at(a);
    if (m != nullptr && m->state == Allocation::LIVE && m->context == c && a + n <= m->address + m->bytes) {
        touch(*m);
        return host_of(a);
    }
    if (m != nullptr && m->state == Allocation::LIVE && m->context == c)
        complain("%s: %llu bytes from %s", what, n, describe(a).c_str());
    else if (m != nullptr && m->state == Allocation::LIVE)
        complain("%s: memory of another device: %s", what, describe(a).c_str());
    else
        complain("%s: %s", what, describe(a).c_str());
    lose(c, CUDA_ERROR_ILLEGAL_ADDRESS);
    return nullptr;
}

static u64 in_pages(u64 n) { return (n + PAGE - 1) / PAGE * PAGE; }
static u64 in_blocks(u64 n) { return (n + 511) / 512 * 512; }

static bool wake(Allocation& m) {
    char* from = host_of(m.from);
    if (mprotect(from, m.to - m.from, PROT_READ | PROT_WRITE) != 0) {
        complain("the system has no %llu bytes for an allocation", m.bytes);
        return false;
    }
    memset(from, ZONE, m.address - m.from);
    memset(host_of(m.address), FRESH, m.bytes);
    memset(host_of(m.address + m.bytes), ZONE, m.to - m.address - m.bytes);
    m.state = Allocation::LIVE;
    return true;
}

static bool zones_hold(Allocation& m) {
    static const std::vector<uint8_t> zone(PAGE, ZONE);
    const u64 before = m.address - m.from, behind = m.to - m.address - m.bytes;
    m.touched = false;
    const bool front = memcmp(host_of(m.from), zone.data(), before) == 0;
    const bool back = memcmp(host_of(m.address + m.bytes), zone.data(), behind) == 0;
    if (!front || !back)
        complain("something wrote %s an allocation of %llu bytes at 0x%llx", front ? "behind" : "before", m.bytes, m.address);
    if (!front || !back) lose(m.context, CUDA_ERROR_ILLEGAL_ADDRESS);
    return front && back;
}

// gives the pages back: what still uses the address faults. Addresses are not handed out again.
static void sleep(Allocation& m) {
    if (m.state == Allocation::LIVE) zones_hold(m);
    void* from = host_of(m.from);
    mmap(from, m.to - m.from, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    m.state = Allocation::FREED;
}

void check_red_zones() {
    for (u64 a : touched) {
        Allocation& m = allocations.at(a);
        if (m.touched && m.state == Allocation::LIVE) zones_hold(m);
    }
    touched.clear();
}

void drop_memory(Context* c) {
    for (auto& each : allocations)
        if (each.second.context == c && each.second.state != Allocation::FREED) {
            sleep(each.second);
            each.second.given_back = true;
        }
    touched.clear();
}

static CUresult new_allocation(u64 n, bool async, Allocation*& out) {
    Device& d = device_of(current);
    if (in_blocks(n) > d.limit || d.used + in_blocks(n) > d.limit) return CUDA_ERROR_OUT_OF_MEMORY;
    if (!reserve()) return CUDA_ERROR_OUT_OF_MEMORY;
    // at the end of its pages, a page of nothing behind it
    const u64 aligned = (n + ALIGN - 1) / ALIGN * ALIGN, pages = in_pages(aligned);
    if (next_address + pages + PAGE > SPACE) REFUSE(CUDA_ERROR_OUT_OF_MEMORY, "all device addresses were handed out");
    const u64 from = (u64)addresses + next_address;
    next_address += pages + PAGE;
    const u64 address = from + pages - aligned;
    Allocation m = {address, n, from, from + pages, Allocation::PENDING, async, false, false, current};
    out = &allocations.emplace(address, m).first->second;
    d.used += in_blocks(n);
    return CUDA_SUCCESS;
}

static void account_free(Allocation& m) {
    m.given_back = true;
    device_of(m.context).used -= in_blocks(m.bytes);
    if (m.async) device_of(m.context).pool->used -= in_blocks(m.bytes);
}

EXPORT CUresult cuMemAlloc_v2(CUdeviceptr* p, size_t n) {
    Call call("cuMemAlloc_v2 %zu", n);
    TRY(ready());
    TRY(unsafe_call("cuMemAlloc"));
    if (p == nullptr || n == 0) return CUDA_ERROR_INVALID_VALUE;
    Allocation* m;
    TRY(new_allocation(n, false, m));
    if (!wake(*m)) return CUDA_ERROR_OUT_OF_MEMORY;
    *p = m->address;
    return CUDA_SUCCESS;
}

static CUresult to_free(const char* name, CUdeviceptr p, Allocation*& m) {
    m = allocation_at(p);
    if (m != nullptr && m->address == p && !m->given_back && m->context == current) return CUDA_SUCCESS;
    if (m != nullptr && m->address == p && m->given_back)
        complain("%s: 0x%llx was freed before", name, p);
    else
        complain("%s of %s", name, describe(p).c_str());
    lose(current, CUDA_ERROR_ILLEGAL_ADDRESS);
    return CUDA_ERROR_INVALID_VALUE;
}

EXPORT CUresult cuMemFree_v2(CUdeviceptr p) {
    Call call("cuMemFree_v2 0x%llx", p);
    TRY(ready());
    TRY(unsafe_call("cuMemFree"));
    if (p == 0) return CUDA_SUCCESS;
    Allocation* m;
    TRY(to_free("cuMemFree", p, m));
    // it waits for the device, except for memory of pools, of which the caller says that nothing uses it any more
    if (!m->async) run_all(current);
    account_free(*m);
    sleep(*m);
    return current->lost;
}

EXPORT CUresult cuMemAllocAsync(CUdeviceptr* p, size_t n, CUstream stream) {
    Call call("cuMemAllocAsync %zu %p", n, (void*)stream);
    TRY(ready());
    Stream* s;
    TRY(stream_of(stream, s));
    if (p == nullptr || n == 0) return CUDA_ERROR_INVALID_VALUE;
    if (capturing(s)) {
        invalidate(s->capture);
        REFUSE(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "cuMemAllocAsync in a stream that is captured");
    }
    Allocation* m;
    TRY(new_allocation(n, true, m));
    Pool& pool = *device_of(current).pool;
    pool.used += in_blocks(n);
    if (pool.used > pool.used_high) pool.used_high = pool.used;
    *p = m->address;
    return submit(s, std::make_shared<Operation>(NODE_EMPTY, "allocation", [m](Context* c) {
        if (m->state == Allocation::PENDING && !wake(*m)) lose(c, CUDA_ERROR_OUT_OF_MEMORY);
    }));
}

EXPORT CUresult cuMemFreeAsync(CUdeviceptr p, CUstream stream) {
    Call call("cuMemFreeAsync 0x%llx %p", p, (void*)stream);
    TRY(ready());
    Stream* s;
    TRY(stream_of(stream, s));
    if (capturing(s)) {
        invalidate(s->capture);
        REFUSE(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "cuMemFreeAsync in a stream that is captured");
    }
    if (p == 0) return CUDA_ERROR_INVALID_VALUE;
    Allocation* m;
    TRY(to_free("cuMemFreeAsync", p, m));
    if (!m->async) REFUSE(CUDA_ERROR_INVALID_VALUE, "cuMemFreeAsync of memory of cuMemAlloc");
    account_free(*m);
    return submit(s, std::make_shared<Operation>(NODE_EMPTY, "free", [m](Context* c) {
        if (m->state == Allocation::LIVE) return sleep(*m);
        complain("memory is freed that is %s", describe(m->address).c_str());
        lose(c, CUDA_ERROR_ILLEGAL_ADDRESS);
    }));
}

EXPORT CUresult cuMemGetInfo_v2(size_t* free, size_t* total) {
    Call call("cuMemGetInfo_v2");
    TRY(ready());
    if (free == nullptr || total == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *total = device_of(current).limit;
    *free = *total - device_of(current).used;
    return CUDA_SUCCESS;
}

// ---- pools

EXPORT CUresult cuMemPoolSetAttribute(CUmemoryPool pool, int attribute, void* value) {
    Call call("cuMemPoolSetAttribute %d", attribute);
    TRY(call.permitted());
    if (!known(pool, "pool") || value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    switch (attribute) {
        case POOL_REUSE_FOLLOW_EVENT_DEPENDENCIES:
        case POOL_REUSE_ALLOW_OPPORTUNISTIC:
        case POOL_REUSE_ALLOW_INTERNAL_DEPENDENCIES: pool->reuse[attribute] = *(int*)value; return CUDA_SUCCESS;
        case POOL_RELEASE_THRESHOLD: pool->threshold = *(u64*)value; return CUDA_SUCCESS;
        case POOL_RESERVED_MEM_HIGH:
        case POOL_USED_MEM_HIGH:
            if (*(u64*)value != 0) return CUDA_ERROR_INVALID_VALUE;
            pool->used_high = pool->used;
            return CUDA_SUCCESS;
        default: return CUDA_ERROR_INVALID_VALUE;
    }
}

EXPORT CUresult cuMemPoolGetAttribute(CUmemoryPool pool, int attribute, void* value) {
    Call call("cuMemPoolGetAttribute %d", attribute);
    TRY(call.permitted());
    if (!known(pool, "pool") || value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    switch (attribute) {
        case POOL_REUSE_FOLLOW_EVENT_DEPENDENCIES:
        case POOL_REUSE_ALLOW_OPPORTUNISTIC:
        case POOL_REUSE_ALLOW_INTERNAL_DEPENDENCIES: *(int*)value = pool->reuse[attribute]; return CUDA_SUCCESS;
        case POOL_RELEASE_THRESHOLD: *(u64*)value = pool->threshold; return CUDA_SUCCESS;
        case POOL_RESERVED_MEM_CURRENT:
        case POOL_USED_MEM_CURRENT: *(u64*)value = pool->used; return CUDA_SUCCESS;
        case POOL_RESERVED_MEM_HIGH:
        case POOL_USED_MEM_HIGH: *(u64*)value = pool->used_high; return CUDA_SUCCESS;
        default: return CUDA_ERROR_INVALID_VALUE;
    }
}

EXPORT CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t keep) {
    Call call("cuMemPoolTrimTo %zu", keep);
    TRY(call.permitted());
    return known(pool, "pool") ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
