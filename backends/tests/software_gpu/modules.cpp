// Modules of kernels, and launches of them.
#include "driver.h"
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <unistd.h>

extern const SoftwareGpuRuntime the_runtime;

static const int ARCHITECTURE = 90;

Function::Function(Module* m, const SoftwareGpuKernel* k) : Handle("function"), module(m), kernel(k) {
    max_dynamic = SHARED_PER_BLOCK > static_shared() ? SHARED_PER_BLOCK - static_shared() : 0;
}

// the bytes of the shared object in what stands for a cubin, or for PTX, where they are written in letters
static CUresult image_bytes(const void* image, SoftwareGpuImage& head, std::vector<char>& bytes) {
    static const char text_magic[] = "//\n// " SOFTWARE_GPU_MAGIC "\n";
    const char* p = (const char*)image;
    std::vector<char> decoded;
    if (strncmp(p, text_magic, sizeof text_magic - 1) == 0) {
        p = strstr(p, "\n// code ");
        if (p == nullptr) return CUDA_ERROR_INVALID_PTX;
        for (p += 9; p[0] >= 'a' && p[0] <= 'p' && p[1] >= 'a' && p[1] <= 'p'; p += 2)
            decoded.push_back((char)((p[0] - 'a') * 16 + (p[1] - 'a')));
        if (decoded.size() < sizeof head) return CUDA_ERROR_INVALID_PTX;
        p = decoded.data();
    }
    if (memcmp(p, SOFTWARE_GPU_MAGIC, sizeof SOFTWARE_GPU_MAGIC) != 0) return CUDA_ERROR_INVALID_IMAGE;
    memcpy(&head, p, sizeof head);
    bytes.assign(p + sizeof head, p + sizeof head + head.bytes);
    return CUDA_SUCCESS;
}

static std::shared_ptr<void> open_library(const std::vector<char>& bytes) {
    // a file of its own for each, since libraries of one name are one library
    const char* folder = getenv("TMPDIR");
    std::string path = std::string(folder != nullptr && *folder != 0 ? folder : "/tmp") + "/software-gpu-XXXXXX";
    const int file = mkstemp(&path[0]);
    if (file < 0) return nullptr;
    size_t at = 0;
    while (at < bytes.size()) {
        const ssize_t n = write(file, bytes.data() + at, bytes.size() - at);
        if (n <= 0) break;
        at += (size_t)n;
    }
    close(file);
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) complain("a module that cannot be loaded: %s", dlerror());
    unlink(path.c_str());
    if (library == nullptr) return nullptr;
    return std::shared_ptr<void>(library, [](void* l) { dlclose(l); });
}

static CUresult load(CUmodule* module, const void* image) {
    TRY(ready());
    TRY(unsafe_call("cuModuleLoadData"));
    if (module == nullptr || image == nullptr) return CUDA_ERROR_INVALID_VALUE;
    SoftwareGpuImage head;
    std::vector<char> bytes;
    TRY(image_bytes(image, head, bytes));
    const int made_for = (int)head.architecture;
    const bool runs = head.binary != 0 ? made_for / 10 == ARCHITECTURE / 10 && made_for <= ARCHITECTURE : made_for <= ARCHITECTURE;
    if (!runs) REFUSE(CUDA_ERROR_NO_BINARY_FOR_GPU, "code for %s_%d on a GPU of capability 9.0", head.binary ? "sm" : "compute", made_for);
    auto library = open_library(bytes);
    if (library == nullptr) return CUDA_ERROR_INVALID_IMAGE;
    auto* code = (SoftwareGpuModule*)dlsym(library.get(), "software_gpu_module");
    if (code == nullptr || code->version != SOFTWARE_GPU_VERSION) return CUDA_ERROR_INVALID_IMAGE;
    *code->runtime = &the_runtime;
    Module* m = new Module(current);
    m->library = library;
    m->code = code;
    for (unsigned i = 0; i < code->kernel_count; i++) m->functions[code->kernels[i].name] = new Function(m, &code->kernels[i]);
    *module = m;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuModuleLoadData(CUmodule* module, const void* image) {
    Call call("cuModuleLoadData");
    return load(module, image);
}

EXPORT CUresult cuModuleLoadDataEx(CUmodule* module, const void* image, unsigned, int*, void**) {
    Call call("cuModuleLoadDataEx");
    return load(module, image);
}

EXPORT CUresult cuModuleUnload(CUmodule module) {
    Call call("cuModuleUnload");
    TRY(ready());
    TRY(unsafe_call("cuModuleUnload"));
    if (!known(module, "module")) REFUSE(CUDA_ERROR_INVALID_HANDLE, "%p is no module", (void*)module);
    module->alive = false;
    for (auto& each : module->functions) each.second->alive = false;
    module->library = nullptr;
    module->code = nullptr;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
    Call call("cuModuleGetFunction %s", name != nullptr ? name : "");
    TRY(ready());
    if (function == nullptr || name == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (!known(module, "module")) REFUSE(CUDA_ERROR_INVALID_HANDLE, "%p is no module", (void*)module);
    auto found = module->functions.find(name);
    if (found == module->functions.end()) return CUDA_ERROR_NOT_FOUND;
    *function = found->second;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuFuncGetAttribute(int* value, int attribute, CUfunction f) {
    Call call("cuFuncGetAttribute %d", attribute);
    TRY(ready());
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (!known(f, "function")) REFUSE(CUDA_ERROR_INVALID_HANDLE, "%p is no function", (void*)f);
    switch (attribute) {
        case FUNCTION_MAX_THREADS_PER_BLOCK: *value = f->kernel->max_threads; return CUDA_SUCCESS;
        case FUNCTION_SHARED_SIZE_BYTES: *value = (int)f->static_shared(); return CUDA_SUCCESS;
        case FUNCTION_CONST_SIZE_BYTES:
        case FUNCTION_LOCAL_SIZE_BYTES:
        case FUNCTION_CACHE_MODE_CA: *value = 0; return CUDA_SUCCESS;
        case FUNCTION_NUM_REGS: *value = 32; return CUDA_SUCCESS;
        case FUNCTION_PTX_VERSION:
        case FUNCTION_BINARY_VERSION: *value = ARCHITECTURE; return CUDA_SUCCESS;
        case FUNCTION_MAX_DYNAMIC_SHARED_SIZE_BYTES: *value = (int)f->max_dynamic; return CUDA_SUCCESS;
        case FUNCTION_PREFERRED_SHARED_MEMORY_CARVEOUT: *value = -1; return CUDA_SUCCESS;
        default: return CUDA_ERROR_INVALID_VALUE;
    }
}

EXPORT CUresult cuFuncSetAttribute(CUfunction f, int attribute, int value) {
    Call call("cuFuncSetAttribute %d %d", attribute, value);
    TRY(ready());
    if (!known(f, "function")) REFUSE(CUDA_ERROR_INVALID_HANDLE, "%p is no function", (void*)f);
    if (attribute == FUNCTION_MAX_DYNAMIC_SHARED_SIZE_BYTES) {
        if (value < 0 || (unsigned)value + f->static_shared() > SHARED_PER_BLOCK_OPTIN) return CUDA_ERROR_INVALID_VALUE;
        f->max_dynamic = (unsigned)value;
        return CUDA_SUCCESS;
    }
    if (attribute == FUNCTION_PREFERRED_SHARED_MEMORY_CARVEOUT && value >= -1 && value <= 100) return CUDA_SUCCESS;
    return CUDA_ERROR_INVALID_VALUE;
}

EXPORT CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction f, int threads, size_t dynamic) {
    Call call("cuOccupancyMaxActiveBlocksPerMultiprocessor %d %zu", threads, dynamic);
    TRY(ready());
    if (blocks == nullptr || threads <= 0) return CUDA_ERROR_INVALID_VALUE;
    if (!known(f, "function")) REFUSE(CUDA_ERROR_INVALID_HANDLE, "%p is no function", (void*)f);
    *blocks = 0;
    if (threads > f->kernel->max_threads || dynamic > f->max_dynamic) return CUDA_SUCCESS;
    const size_t warps = ((size_t)threads + 31) / 32, shared = dynamic + f->static_shared() + 1024;
    const size_t most = std::min<size_t>(std::min<size_t>(64 / warps, 233472 / shared), std::min<size_t>(65536 / (warps * 32 * 32), 32));
    *blocks = (int)most;
    return CUDA_SUCCESS;
}

// ---- launches

// the parameters as the launch had them, in one piece
struct Parameters {
    std::vector<char> bytes;
    std::vector<size_t> at;
};

static bool pass_pointers(Context* c, const Launch& l, Parameters& p) {
    const SoftwareGpuKernel& k = *l.function->kernel;
    for (unsigned i = 0; i < k.param_count; i++) {
        if (k.params[i].pointer == 0) continue;
        u64 a;
        memcpy(&a, &p.bytes[p.at[i]], sizeof a);
        if (a == 0) continue;
        const std::string what = text("parameter %u of kernel %s", i, k.name);
        if (!is_device_address(a) && is_pinned((void*)a, 1)) continue;
        const char* host = range(c, a, 0, what.c_str());
        if (host == nullptr) return false;
        memcpy(&p.bytes[p.at[i]], &host, sizeof host);
    }
    return true;
}

CUresult kernel_operation(const Launch& l, void** params, void** extra, Op& out) {
    Function* f = l.function;
    if (!known(f, "function")) REFUSE(CUDA_ERROR_INVALID_HANDLE, "%p is no function", (void*)f);
    if (f->module->context != current) REFUSE(CUDA_ERROR_INVALID_HANDLE, "a function of a context that is not current");
    const SoftwareGpuKernel& k = *f->kernel;
    const u64 threads = (u64)l.block[0] * l.block[1] * l.block[2];
    if (l.grid[0] == 0 || l.grid[1] == 0 || l.grid[2] == 0 || l.grid[0] > 2147483647u || l.grid[1] > 65535 || l.grid[2] > 65535)
        REFUSE(CUDA_ERROR_INVALID_VALUE, "kernel %s: a grid of %u x %u x %u blocks", k.name, l.grid[0], l.grid[1], l.grid[2]);
    if (threads == 0 || l.block[0] > 1024 || l.block[1] > 1024 || l.block[2] > 64 || threads > 1024)
        REFUSE(CUDA_ERROR_INVALID_VALUE, "kernel %s: a block of %u x %u x %u threads", k.name, l.block[0], l.block[1], l.block[2]);
    if (threads > (u64)k.max_threads)
        REFUSE(CUDA_ERROR_INVALID_VALUE, "kernel %s: %llu threads, of which it was compiled for %d", k.name, threads, k.max_threads);
    if (l.shared > f->max_dynamic)
        REFUSE(CUDA_ERROR_INVALID_VALUE, "kernel %s: %u bytes of dynamic shared memory, of which %u are allowed", k.name, l.shared, f->max_dynamic);
    if (extra != nullptr) REFUSE(CUDA_ERROR_NOT_SUPPORTED, "kernel %s: parameters in a buffer", k.name);
    if (k.param_count > 0 && params == nullptr) REFUSE(CUDA_ERROR_INVALID_VALUE, "kernel %s: no parameters", k.name);
    Parameters given;
    for (unsigned i = 0; i < k.param_count; i++) {
        if (params[i] == nullptr) REFUSE(CUDA_ERROR_INVALID_VALUE, "kernel %s: parameter %u is missing", k.name, i);
        const size_t at = (given.bytes.size() + 15) / 16 * 16;
        given.at.push_back(at);
        given.bytes.resize(at + k.params[i].bytes);
        memcpy(&given.bytes[at], params[i], k.params[i].bytes);
    }
    // a module that is given back while work of it is left stays until that is done
    const std::shared_ptr<void> library = f->module->library;
    SoftwareGpuModule* code = f->module->code;
    out = std::make_shared<Operation>(NODE_KERNEL, k.name, [l, given, library, code](Context* c) {
        Parameters p = given;
        if (!pass_pointers(c, l, p)) return;
        std::vector<void*> pointers;
        for (size_t at : p.at) pointers.push_back(&p.bytes[at]);
        run_kernel(c, l, code, pointers.data());
    });
    return CUDA_SUCCESS;
}

static CUresult launch(const Launch& l, CUstream stream, void** params, void** extra) {
    TRY(ready());
    Stream* s;
    TRY(stream_of(stream, s));
    Op op;
    TRY(kernel_operation(l, params, extra, op));
    return submit(s, op);
}

EXPORT CUresult cuLaunchKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                               CUstream stream, void** params, void** extra) {
    Call call("cuLaunchKernel %s %u %u %u %u %u %u %u %p", known(f, "function") ? f->kernel->name : "?", gx, gy, gz, bx, by, bz, shared,
              (void*)stream);
    return launch({f, {gx, gy, gz}, {bx, by, bz}, shared}, stream, params, extra);
}

EXPORT CUresult cuLaunchKernelEx(const CUlaunchConfig* g, CUfunction f, void** params, void** extra) {
    if (g == nullptr) return CUDA_ERROR_INVALID_VALUE;
    Call call("cuLaunchKernelEx %s %u %u %u %u %u %u %u %p", known(f, "function") ? f->kernel->name : "?", g->gridDimX, g->gridDimY,
              g->gridDimZ, g->blockDimX, g->blockDimY, g->blockDimZ, g->sharedMemBytes, (void*)g->hStream);
    if (g->numAttrs > 0 && g->attrs == nullptr) return CUDA_ERROR_INVALID_VALUE;
    // ignored, or hints: access windows, waiting, scheduling, overlap with what comes before, priority, domains, carve-outs
    for (unsigned i = 0; i < g->numAttrs; i++) {
        const int id = g->attrs[i].id;
        if (id == 2 || id == 4 || id == 7 || id > 14 || id == 12 || id == 13)
            REFUSE(CUDA_ERROR_NOT_SUPPORTED, "kernel %s: launch attribute %d", known(f, "function") ? f->kernel->name : "?", id);
    }
    return launch({f, {g->gridDimX, g->gridDimY, g->gridDimZ}, {g->blockDimX, g->blockDimY, g->blockDimZ}, g->sharedMemBytes}, g->hStream,
                  params, extra);
}

// ---- symbols

EXPORT CUresult cuGetProcAddress_v2(const char* symbol, void** function, int version, u64, int* status) {
    Call call("cuGetProcAddress_v2 %s %d", symbol != nullptr ? symbol : "", version);
    if (symbol == nullptr || function == nullptr) return CUDA_ERROR_INVALID_VALUE;
    Dl_info self;
    *function = nullptr;
    if (dladdr((void*)&cuGetProcAddress_v2, &self) != 0) {
        void* library = dlopen(self.dli_fname, RTLD_NOW | RTLD_NOLOAD);
        for (const char* suffix : {"_v3", "_v2", ""})
            if (*function == nullptr && library != nullptr) *function = dlsym(library, (std::string(symbol) + suffix).c_str());
        if (library != nullptr) dlclose(library);
    }
    if (status != nullptr) *status = *function != nullptr ? 0 : 1;
    return *function != nullptr ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}
