// Tests of the libraries, which it loads as programs load NVIDIA's: check FOLDER
#include "check.h"
#include <map>
#include <sys/wait.h>
#include <unistd.h>

int failures = 0;
std::string folder;

void* library(const char* name) {
    static std::map<std::string, void*> loaded;
    void*& l = loaded[name];
    if (l == nullptr) l = dlopen((folder + "/" + name).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (l == nullptr) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    return l;
}

int compile(const std::string& source, std::vector<const char*> options, std::string& log, std::string& code) {
    const char* lib = "libnvrtc.so.12";
    void* p = nullptr;
    OK(call(lib, "nvrtcCreateProgram", &p, source.c_str(), (const char*)nullptr, 0, (const char* const*)nullptr, (const char* const*)nullptr));
    const int result = call(lib, "nvrtcCompileProgram", p, (int)options.size(), options.data());
    size_t n = 0;
    OK(call(lib, "nvrtcGetProgramLogSize", p, &n));
    log.resize(n);
    OK(call(lib, "nvrtcGetProgramLog", p, &log[0]));
    if (result == 0) {
        OK(call(lib, "nvrtcGetCUBINSize", p, &n));
        code.resize(n);
        if (n > 0) OK(call(lib, "nvrtcGetCUBIN", p, &code[0]));
        if (n == 0) {
            OK(call(lib, "nvrtcGetPTXSize", p, &n));
            code.resize(n);
            OK(call(lib, "nvrtcGetPTX", p, &code[0]));
        }
    }
    OK(call(lib, "nvrtcDestroyProgram", &p));
    return result;
}

CUfunction kernel(const std::string& source, const char* name) {
    std::string log, code;
    const int result = compile(source, {"--gpu-architecture=sm_90", "--ptxas-options=--verbose"}, log, code);
    if (result != 0) fprintf(stderr, "%s\n", log.c_str());
    OK(result);
    CUmodule m = nullptr;
    CUfunction f = nullptr;
    OK(cu("cuModuleLoadData", &m, (const void*)code.data()));
    OK(cu("cuModuleGetFunction", &f, m, name));
    return f;
}

CUdeviceptr room(size_t n) {
    CUdeviceptr d = 0;
    OK(cu("cuMemAlloc_v2", &d, n));
    return d;
}

CUdeviceptr upload(const void* p, size_t n) {
    const CUdeviceptr d = room(n);
    OK(cu("cuMemcpyHtoD_v2", d, p, n));
    return d;
}

int launch(CUfunction f, unsigned blocks, unsigned threads, std::vector<void*> params, CUstream s, unsigned shared) {
    return cu("cuLaunchKernel", f, blocks, 1u, 1u, threads, 1u, 1u, shared, s, params.data(), (void**)nullptr);
}

void begin() {
    CUcontext c = nullptr;
    OK(cu("cuInit", 0u));
    OK(cu("cuDevicePrimaryCtxRetain", &c, 0));
    OK(cu("cuCtxSetCurrent", c));
}

void apart(const char* what, const std::function<void()>& run) {
    fflush(nullptr);
    const pid_t child = fork();
    if (child == 0) {
        // what it says of wrong uses is expected; what fails is said by the parent
        failures = 0;
        if (getenv("CHECK_ALOUD") == nullptr && freopen((folder + "/said").c_str(), "w", stderr) == nullptr) _exit(99);
        run();
        fflush(nullptr);
        _exit(failures > 98 ? 98 : failures);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
    failures++;
    fprintf(stderr, "%s: failed\n", what);
    if (FILE* f = fopen((folder + "/said").c_str(), "r")) {
        for (int c; (c = fgetc(f)) != EOF;) fputc(c, stderr);
        fclose(f);
    }
}

int main(int count, char** args) {
    if (count < 2) return 2;
    folder = args[1];
    check_driver();
    check_kernels();
    check_graphs();
    check_printed();
    check_matmul();
    check_fft();
    check_cudnn();
    check_triangular();
    check_solver();
    printf(failures == 0 ? "all checks hold\n" : "%d checks do not hold\n", failures);
    return failures != 0;
}
