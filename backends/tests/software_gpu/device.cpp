// Calls, devices and contexts.
#include "driver.h"
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

std::mutex the_lock;
std::condition_variable& work_done = *new std::condition_variable;
thread_local std::unique_lock<std::mutex>* held = nullptr;
thread_local bool in_host_function = false;
std::vector<Device>& devices = *new std::vector<Device>;
thread_local Context* current = nullptr;

static bool initialized = false;

static std::string format_text(const char* format, va_list args) {
    char line[2048];
    vsnprintf(line, sizeof line, format, args);
    return line;
}

std::string text(const char* format, ...) {
    va_list args;
    va_start(args, format);
    std::string t = format_text(format, args);
    va_end(args);
    return t;
}

void complain(const char* format, ...) {
    va_list args;
    va_start(args, format);
    const std::string line = "software GPU: " + format_text(format, args) + "\n";
    va_end(args);
    // one write, so that lines of several threads stay whole
    if (write(2, line.data(), line.size()) < 0) return;
}

Call::Call(const char* format, ...) : lock(the_lock) {
    held = &lock;
    static const char* path = getenv("SOFTWARE_GPU_TRACE");
    if (path == nullptr || *path == 0) return;
    static const int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    va_list args;
    va_start(args, format);
    const std::string line = format_text(format, args) + "\n";
    va_end(args);
    if (file >= 0 && write(file, line.data(), line.size()) < 0) return;
}

Call::~Call() { held = nullptr; }

CUresult Call::permitted() const {
    if (!initialized) return CUDA_ERROR_NOT_INITIALIZED;
    if (in_host_function) REFUSE(CUDA_ERROR_NOT_PERMITTED, "a function that a stream called calls the driver");
    return CUDA_SUCCESS;
}

static std::unordered_map<const void*, Handle*>& handles() {
    static auto* all = new std::unordered_map<const void*, Handle*>;
    return *all;
}

Handle::Handle(const char* k) : kind(k) { handles()[this] = this; }

bool known(const void* h, const char* kind) {
    auto found = handles().find(h);
    return found != handles().end() && found->second->alive && strcmp(found->second->kind, kind) == 0;
}

u64 this_thread() {
    static thread_local const u64 id = (u64)syscall(SYS_gettid);
    return id;
}

double now_ms() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static u64 number_from(const char* variable, u64 otherwise) {
    const char* value = getenv(variable);
    return value != nullptr && *value != 0 ? strtoull(value, nullptr, 0) : otherwise;
}

Context::Context(CUdevice d) : Handle("context"), device(d) {
    legacy = new Stream(this, 0, 0);
}

Device& device_of(Context* c) { return devices[(size_t)c->device]; }

CUresult ready() {
    if (!initialized) return CUDA_ERROR_NOT_INITIALIZED;
    if (in_host_function) REFUSE(CUDA_ERROR_NOT_PERMITTED, "a function that a stream called calls the driver");
    if (current == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    if (!current->alive) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    return current->lost;
}

void lose(Context* c, CUresult code) {
    if (c->lost == CUDA_SUCCESS) c->lost = code;
}

// ---- the driver

EXPORT CUresult cuInit(unsigned flags) {
    Call call("cuInit %u", flags);
    if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
    if (initialized) return CUDA_SUCCESS;
    const u64 count = number_from("SOFTWARE_GPU_COUNT", 1);
    if (count == 0) return CUDA_ERROR_NO_DEVICE;
    devices.resize(count);
    for (Device& d : devices) d.limit = number_from("SOFTWARE_GPU_MEMORY", 4ull << 30);
    for (size_t i = 0; i < devices.size(); i++) devices[i].pool = new Pool((CUdevice)i);
    initialized = true;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDriverGetVersion(int* version) {
    Call call("cuDriverGetVersion");
    if (version == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *version = 12080;
    return CUDA_SUCCESS;
}

struct ErrorName {
    CUresult code;
    const char *name, *meaning;
};
static const ErrorName error_names[] = {
    {CUDA_SUCCESS, "CUDA_SUCCESS", "no error"},
    {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {CUDA_ERROR_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {CUDA_ERROR_INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {CUDA_ERROR_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {CUDA_ERROR_NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {CUDA_ERROR_INVALID_PTX, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {CUDA_ERROR_OPERATING_SYSTEM, "CUDA_ERROR_OPERATING_SYSTEM", "OS call failed or operation not supported on this OS"},
    {CUDA_ERROR_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {CUDA_ERROR_ILLEGAL_STATE, "CUDA_ERROR_ILLEGAL_STATE", "the operation cannot be performed in the present state"},
    {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {CUDA_ERROR_NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {CUDA_ERROR_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    {CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE, "CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE", "cannot set while device is active in this process"},
    {CUDA_ERROR_CONTEXT_IS_DESTROYED, "CUDA_ERROR_CONTEXT_IS_DESTROYED", "context is destroyed"},
    {CUDA_ERROR_ASSERT, "CUDA_ERROR_ASSERT", "device-side assert triggered"},
    {CUDA_ERROR_MISALIGNED_ADDRESS, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
    {CUDA_ERROR_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {CUDA_ERROR_NOT_PERMITTED, "CUDA_ERROR_NOT_PERMITTED", "operation not permitted"},
    {CUDA_ERROR_NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"},
    {CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "operation failed due to a previous error during capture"},
    {CUDA_ERROR_STREAM_CAPTURE_MERGE, "CUDA_ERROR_STREAM_CAPTURE_MERGE", "operation would result in a merge of separate capture sequences"},
    {CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED", "capture was not ended in the same stream as it began"},
    {CUDA_ERROR_STREAM_CAPTURE_UNJOINED, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED", "capturing stream has unjoined work"},
    {CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "CUDA_ERROR_STREAM_CAPTURE_ISOLATION", "dependency created on uncaptured work in another stream"},
    {CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT", "operation would make the legacy stream depend on a capturing blocking stream"},
    {CUDA_ERROR_CAPTURED_EVENT, "CUDA_ERROR_CAPTURED_EVENT", "operation not permitted on an event last recorded in a capturing stream"},
    {CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD", "attempt to terminate a thread-local capture sequence from another thread"},
    {CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, "CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE", "the graph update was not performed because it included changes which violated constraints specific to instantiated graph update"},
};

EXPORT CUresult cuGetErrorName(CUresult error, const char** name) {
    if (name == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *name = nullptr;
    for (const ErrorName& e : error_names)
        if (e.code == error) *name = e.name;
    return *name != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

EXPORT CUresult cuGetErrorString(CUresult error, const char** meaning) {
    if (meaning == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *meaning = nullptr;
    for (const ErrorName& e : error_names)
        if (e.code == error) *meaning = e.meaning;
    return *meaning != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

// ---- devices

static CUresult device_known(const Call& call, CUdevice d) {
    TRY(call.permitted());
    return d >= 0 && (size_t)d < devices.size() ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

EXPORT CUresult cuDeviceGetCount(int* count) {
    Call call("cuDeviceGetCount");
    TRY(call.permitted());
    if (count == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *count = (int)devices.size();
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDeviceGet(CUdevice* device, int ordinal) {
    Call call("cuDeviceGet %d", ordinal);
    TRY(device_known(call, ordinal));
    if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *device = ordinal;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDeviceGetName(char* name, int len, CUdevice d) {
    Call call("cuDeviceGetName %d", d);
    TRY(device_known(call, d));
    if (name == nullptr || len <= 0) return CUDA_ERROR_INVALID_VALUE;
    snprintf(name, (size_t)len, "Software GPU %d", d);
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice d) {
    Call call("cuDeviceTotalMem_v2 %d", d);
    TRY(device_known(call, d));
    if (bytes == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *bytes = devices[(size_t)d].limit;
    return CUDA_SUCCESS;
}

static CUresult uuid(const Call& call, CUuuid* id, CUdevice d) {
    TRY(device_known(call, d));
    if (id == nullptr) return CUDA_ERROR_INVALID_VALUE;
    memcpy(id->bytes, "software-gpu-000", 16);
    id->bytes[15] = (char)('0' + d % 10);
    return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGetUuid(CUuuid* id, CUdevice d) {
    Call call("cuDeviceGetUuid %d", d);
    return uuid(call, id, d);
}
EXPORT CUresult cuDeviceGetUuid_v2(CUuuid* id, CUdevice d) {
    Call call("cuDeviceGetUuid_v2 %d", d);
    return uuid(call, id, d);
}

EXPORT CUresult cuDeviceGetAttribute(int* value, int attribute, CUdevice d) {
    Call call("cuDeviceGetAttribute %d %d", attribute, d);
    TRY(device_known(call, d));
    if (value == nullptr || attribute < 1 || attribute > 150) return CUDA_ERROR_INVALID_VALUE;
    // those of Hopper; what is not here has the value 0, as what is not supported
    static const std::map<int, int> values = {
        {1, 1024},        {2, 1024},       {3, 1024},    {4, 64},      {5, 2147483647}, {6, 65535},  {7, 65535},
        {8, SHARED_PER_BLOCK},             {9, 65536},   {10, 32},     {11, 2147483647}, {12, 65536}, {13, 1980000},
        {14, 512},        {15, 1},         {16, 132},    {19, 1},      {30, 512},       {31, 1},     {32, 1},
        {36, 2619000},    {37, 5120},      {38, 52428800},             {39, 2048},      {40, 3},     {41, 1},
        {51, 32},         {75, 9},         {76, 0},      {78, 1},      {79, 1},         {80, 1},     {81, 233472},
        {82, 65536},      {87, 2},         {90, 1},      {95, 1},      {97, SHARED_PER_BLOCK_OPTIN}, {106, 32},
        {111, 1024},      {115, 1},        {119, 0},
    };
    if (attribute == 33) {
        *value = d + 1;
        return CUDA_SUCCESS;
    }
    auto found = values.find(attribute);
    *value = found == values.end() ? 0 : found->second;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDeviceGetDefaultMemPool(CUmemoryPool* pool, CUdevice d) {
    Call call("cuDeviceGetDefaultMemPool %d", d);
    TRY(device_known(call, d));
    if (pool == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *pool = devices[(size_t)d].pool;
    return CUDA_SUCCESS;
}

// ---- contexts

EXPORT CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice d) {
    Call call("cuDevicePrimaryCtxRetain %d", d);
    TRY(device_known(call, d));
    if (context == nullptr) return CUDA_ERROR_INVALID_VALUE;
    Device& device = devices[(size_t)d];
    if (device.primary == nullptr) device.primary = new Context(d);
    device.primary->retained += 1;
    *context = device.primary;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDevicePrimaryCtxRelease_v2(CUdevice d) {
    Call call("cuDevicePrimaryCtxRelease_v2 %d", d);
    TRY(device_known(call, d));
    Device& device = devices[(size_t)d];
    if (device.primary == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    if (--device.primary->retained > 0) return CUDA_SUCCESS;
    Context* c = device.primary;
    run_all(c);
    device.primary = nullptr;
    drop_memory(c);
    c->alive = false;
    for (Stream* s : c->streams) s->alive = false;
    device.used = 0;
    device.pool->used = 0;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice d, unsigned flags) {
    Call call("cuDevicePrimaryCtxSetFlags_v2 %d %u", d, flags);
    TRY(device_known(call, d));
    // ways to wait (0, 1, 2, 4), mapping of host memory, keeping local memory, dumps, and synchronous memory operations
    if ((flags & ~0xffu) != 0 || (flags & 7u) == 3 || (flags & 7u) > 4) return CUDA_ERROR_INVALID_VALUE;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuCtxSetCurrent(CUcontext context) {
    Call call("cuCtxSetCurrent %p", (void*)context);
    TRY(call.permitted());
    if (context != nullptr && !known(context, "context")) return CUDA_ERROR_INVALID_CONTEXT;
    current = context;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuCtxGetCurrent(CUcontext* context) {
    Call call("cuCtxGetCurrent");
    TRY(call.permitted());
    if (context == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *context = current;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuCtxGetDevice(CUdevice* device) {
    Call call("cuCtxGetDevice");
    TRY(ready());
    if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *device = current->device;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuCtxSynchronize() {
    Call call("cuCtxSynchronize");
    TRY(ready());
    for (Stream* s : current->streams)
        if (s->alive && capturing(s)) {
            invalidate(s->capture);
            REFUSE(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "cuCtxSynchronize while a stream of the context captures");
        }
    run_all(current);
    return after_wait(current);
}
