// NVIDIA's compiler at run time, by the C++ compiler of this machine: a cubin is a shared object with a head.
#include "module.h"
#include "source.h"
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <elf.h>
#include <fcntl.h>
#include <memory>
#include <mutex>
#include <spawn.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <unordered_set>
#include <vector>

#define EXPORT extern "C" __attribute__((visibility("default")))

// the texts that kernels are compiled behind, put in as they are
#define TEXT(name, file)                                                                                            \
    asm(".section .rodata\n.local " #name "\n.local " #name "_end\n" #name ":\n.incbin \"" SOURCE_FOLDER "/" file   \
        "\"\n" #name "_end:\n.byte 0\n.previous\n");                                                                \
    extern "C" const char name[] __attribute__((visibility("hidden")));                                             \
    extern "C" const char name##_end[] __attribute__((visibility("hidden")));
TEXT(module_text, "module.h")
TEXT(device_text, "device.cuh")
TEXT(math_text, "device_math.cuh")

enum nvrtcResult {
    NVRTC_SUCCESS = 0,
    NVRTC_ERROR_OUT_OF_MEMORY = 1,
    NVRTC_ERROR_PROGRAM_CREATION_FAILURE = 2,
    NVRTC_ERROR_INVALID_INPUT = 3,
    NVRTC_ERROR_INVALID_PROGRAM = 4,
    NVRTC_ERROR_INVALID_OPTION = 5,
    NVRTC_ERROR_COMPILATION = 6,
    NVRTC_ERROR_BUILTIN_OPERATION_FAILURE = 7,
    NVRTC_ERROR_NO_NAME_EXPRESSIONS_AFTER_COMPILATION = 8,
    NVRTC_ERROR_NO_LOWERED_NAMES_BEFORE_COMPILATION = 9,
    NVRTC_ERROR_NAME_EXPRESSION_NOT_VALID = 10,
    NVRTC_ERROR_INTERNAL_ERROR = 11,
};

struct nvrtcProgram_st {
    std::string source, name;
    std::vector<std::pair<std::string, std::string>> headers;
    std::vector<std::string> expressions;
    std::string log, image, ptx;
    bool tried = false, compiled = false, binary = false;
};
typedef nvrtcProgram_st* nvrtcProgram;

static std::mutex the_lock;
static auto& programs = *new std::unordered_set<nvrtcProgram>;

static bool known(nvrtcProgram p) {
    std::lock_guard<std::mutex> lock(the_lock);
    return programs.count(p) != 0;
}

// ---- options

struct Options {
    unsigned architecture = 75;  // what the compiler takes if it is told of none
    bool binary = true, verbose = false;
    std::vector<std::string> passed;  // to the C++ compiler
    std::string standard = "-std=c++17";
};

static bool starts(const std::string& s, const char* with) { return s.compare(0, strlen(with), with) == 0; }

static bool architecture(const std::string& value, Options& o) {
    const size_t at = starts(value, "sm_") ? 3 : starts(value, "compute_") ? 8 : 0;
    if (at == 0) return false;
    const std::string number = value.substr(at, value.find_first_not_of("0123456789", at) - at);
    const std::string after = value.substr(at + number.size());
    static const char* all[] = {"50", "52", "53", "60", "61", "62", "70", "72", "75", "80", "86", "87", "89", "90", "100", "101", "103", "120", "121"};
    if (std::find(std::begin(all), std::end(all), number) == std::end(all)) return false;
    o.architecture = (unsigned)atoi(number.c_str());
    o.binary = at == 3;
    return after.empty() || (o.architecture >= 90 && (after == "a" || (o.architecture >= 100 && after == "f")));
}

static bool truth(const std::string& v) { return v == "true" || v == "false"; }

static bool option(std::string s, Options& o) {
    s.erase(0, s.find_first_not_of(' '));
    s.erase(s.find_last_not_of(' ') + 1);
    const size_t equals = s.find('=');
    const std::string name = s.substr(0, equals), value = equals == std::string::npos ? "" : s.substr(equals + 1);
    if (name == "--gpu-architecture" || name == "-arch") return architecture(value, o);
    if (name == "--std" || name == "-std") {
        if (value != "c++03" && value != "c++11" && value != "c++14" && value != "c++17" && value != "c++20") return false;
        // what kernels find is written in C++17
        o.standard = value == "c++20" ? "-std=c++20" : "-std=c++17";
        return true;
    }
    for (const char* flag : {"--fmad", "-fmad", "--ftz", "-ftz", "--prec-sqrt", "-prec-sqrt", "--prec-div", "-prec-div", "--relocatable-device-code",
                             "-rdc", "--modify-stack-limit", "-modify-stack-limit", "--builtin-move-forward", "--builtin-initializer-list"})
        if (name == flag) return truth(value);
    if (name == "--maxrregcount" || name == "-maxrregcount") return !value.empty() && value.find_first_not_of("0123456789") == std::string::npos;
    if (name == "--ptxas-options" || name == "-Xptxas") {
        o.verbose = o.verbose || value == "--verbose" || value == "-v";
        return !value.empty();
    }
    if (name == "--define-macro" || name == "--undefine-macro" || name == "--include-path") {
        if (value.empty()) return false;
        o.passed.push_back((name == "--define-macro" ? "-D" : name == "--undefine-macro" ? "-U" : "-I") + value);
        return true;
    }
    if ((starts(s, "-D") || starts(s, "-U") || starts(s, "-I")) && s.size() > 2) {
        o.passed.push_back(s);
        return true;
    }
    for (const char* flag : {"--use_fast_math", "-use_fast_math", "--device-debug", "-G", "--generate-line-info", "-lineinfo", "--disable-warnings", "-w",
                             "--restrict", "-restrict", "--device-as-default-execution-space", "-default-device", "--extra-device-vectorization",
                             "-extra-device-vectorization", "--extensible-whole-program", "-ewp", "--display-error-number", "-err-no",
                             "--no-display-error-number", "-no-err-no", "--no-source-include", "-no-source-include", "--minimal", "-minimal",
                             "--device-int128", "-device-int128"})
        if (s == flag) return true;
    return false;
}

// ---- files

struct Folder {
    std::string path;
    std::vector<std::string> files;
    Folder() {
        const char* in = getenv("TMPDIR");
        path = std::string(in != nullptr && *in != 0 ? in : "/tmp") + "/software-nvrtc-XXXXXX";
        if (mkdtemp(&path[0]) == nullptr) path.clear();
    }
    std::string file(const std::string& name) {
        files.push_back(path + "/" + name);
        return files.back();
    }
    ~Folder() {
        for (const std::string& f : files) unlink(f.c_str());
        if (!path.empty()) rmdir(path.c_str());
    }
};

static bool write_file(const std::string& path, const std::string& text) {
    FILE* f = fopen(path.c_str(), "wb");
    if (f == nullptr) return false;
    const bool whole = fwrite(text.data(), 1, text.size(), f) == text.size();
    return fclose(f) == 0 && whole;
}

static bool read_file(const std::string& path, std::string& text) {
    FILE* f = fopen(path.c_str(), "rb");
    if (f == nullptr) return false;
    char part[65536];
    text.clear();
    for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;) text.append(part, n);
    fclose(f);
    return true;
}

// runs a command with its words on stderr and stdout written to a file
static bool run(const std::vector<std::string>& words, const std::string& said) {
    std::vector<char*> args;
    for (const std::string& w : words) args.push_back(const_cast<char*>(w.c_str()));
    args.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, said.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    // the library that was preloaded for this process is none of the compiler's business
    std::vector<char*> environment;
    for (char** e = environ; *e != nullptr; e++)
        if (strncmp(*e, "LD_PRELOAD=", 11) != 0) environment.push_back(*e);
    environment.push_back(nullptr);
    pid_t child;
    const int failed = posix_spawnp(&child, args[0], &actions, nullptr, args.data(), environment.data());
    posix_spawn_file_actions_destroy(&actions);
    if (failed != 0) return false;
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return false;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static std::string compiler() {
    const char* chosen = getenv("SOFTWARE_GPU_COMPILER");
    return chosen != nullptr && *chosen != 0 ? chosen : "c++";
}

// how many bytes a section of a shared object has
static size_t section_bytes(const std::string& object, const std::string& name) {
    Elf64_Ehdr head;
    if (object.size() < sizeof head) return 0;
    memcpy(&head, object.data(), sizeof head);
    std::vector<Elf64_Shdr> sections(head.e_shnum);
    if (object.size() < head.e_shoff + sections.size() * sizeof(Elf64_Shdr)) return 0;
    memcpy(sections.data(), object.data() + head.e_shoff, sections.size() * sizeof(Elf64_Shdr));
    for (const Elf64_Shdr& s : sections)
        if (name == object.c_str() + sections[head.e_shstrndx].sh_offset + s.sh_name) return s.sh_size;
    return 0;
}

// ---- compiling

static std::vector<std::string> command(const Options& o, const std::string& in, const std::string& out, const std::string& folder) {
    std::vector<std::string> c = {compiler(), "-x", "c++", o.standard, "-O1", "-shared", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off",
                                  "-fno-strict-aliasing", "-fno-delete-null-pointer-checks", "-fwrapv", "-fsanitize=alignment,bounds",
                                  "-fno-sanitize-recover=all", "-fno-math-errno", "-fno-trapping-math", "-fno-exceptions", "-fno-rtti",
                                  "-fno-asynchronous-unwind-tables", "-fno-stack-protector", "-fno-threadsafe-statics", "-w", "-nostdinc",
                                  "-nostdlib", "-I" + folder};
#if defined(__x86_64__)
    // a fused multiplication is an instruction here, as there
    if (__builtin_cpu_supports("fma") && __builtin_cpu_supports("avx2")) c.insert(c.end(), {"-mfma", "-mavx2"});
#endif
    c.push_back("-D__CUDA_ARCH__=" + std::to_string(10 * o.architecture));
    c.insert(c.end(), o.passed.begin(), o.passed.end());
    c.insert(c.end(), {in, "-o", out, "-lm", "-lc"});
    return c;
}

static std::string whole_source(const nvrtcProgram_st& p, const Source& s) {
    std::string text = "#line 1 \"module.h\"\n";
    std::string module(module_text, module_text_end);
    text += module.erase(module.find("#pragma once"), 12);
    text += "#line 1 \"device.cuh\"\n" + std::string(device_text, device_text_end);
    text += "#line 1 \"device_math.cuh\"\n" + std::string(math_text, math_text_end);
    // what is only known here is dropped where it is not used, and shared memory of templates has a place of its own
    text += "namespace {\n#line 1 \"" + p.name + "\"\n" + s.text + "\n}\n";
    return text + entries(s, p.expressions);
}

static std::string letters(const std::string& bytes) {
    std::string t;
    for (unsigned char b : bytes) {
        t += (char)('a' + b / 16);
        t += (char)('a' + b % 16);
    }
    return t;
}

// what the assembler says of a kernel
static std::string usage(const Source& s, const std::string& object, const Options& o) {
    std::string log = "ptxas info    : 0 bytes gmem\n";
    const size_t common = section_bytes(object, "gpu_shared");
    for (size_t i = 0; i < s.kernels.size(); i++) {
        const std::string& name = s.kernels[i].name;
        const size_t shared = common + section_bytes(object, "gpu_shared_" + std::to_string(i));
        log += "ptxas info    : Compiling entry function '" + name + "' for 'sm_" + std::to_string(o.architecture) + "'\n";
        log += "ptxas info    : Function properties for " + name + "\n    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n";
        log += "ptxas info    : Used 32 registers, used " + std::to_string(s.waits ? 1 : 0) + " barriers";
        if (shared > 0) log += ", " + std::to_string(shared) + " bytes smem";
        log += ", " + std::to_string(528 + 8 * s.kernels[i].params) + " bytes cmem[0]\n";
    }
    return log;
}

static nvrtcResult compile(nvrtcProgram_st& p, const Options& o) {
    Source s;
    if (!read_source(p.source, s, p.log)) return NVRTC_ERROR_COMPILATION;
    const std::string text = whole_source(p, s);
    std::string key = text, object;
    for (const std::string& w : command(o, "", "", "")) key += "\n// " + w;
    for (const auto& h : p.headers) key += "\n// " + h.first + "\n" + h.second;
    const std::string kept = kept_path(key);
    if (!read_kept(kept, key, object)) {
        Folder folder;
        if (folder.path.empty()) return NVRTC_ERROR_BUILTIN_OPERATION_FAILURE;
        const std::string in = folder.file("kernel.cpp"), out = folder.file("kernel.so"), said = folder.file("log");
        for (const auto& h : p.headers) write_file(folder.file(h.first), h.second);
        write_file(in, text);
        const bool done = run(command(o, in, out, folder.path), said);
        std::string words;
        read_file(said, words);
        if (!done || !read_file(out, object)) {
            p.log = words.empty() ? "the C++ compiler " + compiler() + " does not run\n" : words;
            return NVRTC_ERROR_COMPILATION;
        }
        keep(kept, key, object);
    }
    for (size_t i = 0; i < s.kernels.size(); i++) {
        const size_t shared = section_bytes(object, "gpu_shared") + section_bytes(object, "gpu_shared_" + std::to_string(i));
        if (shared <= 49152) continue;
        char line[256];
        snprintf(line, sizeof line, "ptxas error   : Entry function '%.100s' uses too much shared data (0x%zx bytes, 0xc000 max)\n",
                 s.kernels[i].name.c_str(), shared);
        p.log = line;
        return NVRTC_ERROR_COMPILATION;
    }
    s.waits = section_bytes(object, "gpu_waits") != 0;
    SoftwareGpuImage head = {};
    memcpy(head.magic, SOFTWARE_GPU_MAGIC, sizeof SOFTWARE_GPU_MAGIC);
    head.bytes = object.size();
    head.architecture = o.architecture;
    head.binary = o.binary;
    const std::string bytes((const char*)&head, sizeof head);
    if (o.binary) p.image = bytes + object;
    head.binary = 0;
    const std::string virtual_bytes((const char*)&head, sizeof head);
    p.ptx = "//\n// " SOFTWARE_GPU_MAGIC "\n.version 8.8\n.target sm_" + std::to_string(o.architecture) + "\n.address_size 64\n// code " +
            letters(virtual_bytes + object) + "\n";
    if (o.verbose && o.binary) p.log = usage(s, object, o);
    p.compiled = true;
    return NVRTC_SUCCESS;
}

// ---- the interface

EXPORT nvrtcResult nvrtcVersion(int* major, int* minor) {
    if (major == nullptr || minor == nullptr) return NVRTC_ERROR_INVALID_INPUT;
    *major = 12;
    // a version that NVIDIA's has not: what is kept on disk is named by it
    *minor = 99;
    return NVRTC_SUCCESS;
}

EXPORT const char* nvrtcGetErrorString(int result) {
    static const char* names[] = {"NVRTC_SUCCESS", "NVRTC_ERROR_OUT_OF_MEMORY", "NVRTC_ERROR_PROGRAM_CREATION_FAILURE", "NVRTC_ERROR_INVALID_INPUT",
                                  "NVRTC_ERROR_INVALID_PROGRAM", "NVRTC_ERROR_INVALID_OPTION", "NVRTC_ERROR_COMPILATION",
                                  "NVRTC_ERROR_BUILTIN_OPERATION_FAILURE", "NVRTC_ERROR_NO_NAME_EXPRESSIONS_AFTER_COMPILATION",
                                  "NVRTC_ERROR_NO_LOWERED_NAMES_BEFORE_COMPILATION", "NVRTC_ERROR_NAME_EXPRESSION_NOT_VALID", "NVRTC_ERROR_INTERNAL_ERROR"};
    return result >= 0 && result <= 11 ? names[result] : "NVRTC_ERROR unknown";
}

EXPORT nvrtcResult nvrtcGetNumSupportedArchs(int* n) {
    if (n == nullptr) return NVRTC_ERROR_INVALID_INPUT;
    *n = 19;
    return NVRTC_SUCCESS;
}

EXPORT nvrtcResult nvrtcCreateProgram(nvrtcProgram* out, const char* source, const char* name, int headers, const char* const* texts,
                                      const char* const* names) {
    if (out == nullptr || source == nullptr || headers < 0 || (headers > 0 && (texts == nullptr || names == nullptr))) return NVRTC_ERROR_INVALID_INPUT;
    auto* p = new nvrtcProgram_st;
    p->source = source;
    p->name = name != nullptr && *name != 0 ? name : "default_program";
    for (int i = 0; i < headers; i++) p->headers.push_back({names[i], texts[i]});
    std::lock_guard<std::mutex> lock(the_lock);
    programs.insert(p);
    *out = p;
    return NVRTC_SUCCESS;
}

EXPORT nvrtcResult nvrtcDestroyProgram(nvrtcProgram* p) {
    if (p == nullptr || !known(*p)) return NVRTC_ERROR_INVALID_PROGRAM;
    std::lock_guard<std::mutex> lock(the_lock);
    programs.erase(*p);
    delete *p;
    *p = nullptr;
    return NVRTC_SUCCESS;
}

EXPORT nvrtcResult nvrtcCompileProgram(nvrtcProgram p, int count, const char* const* options) {
    if (!known(p)) return NVRTC_ERROR_INVALID_PROGRAM;
    if (count < 0 || (count > 0 && options == nullptr)) return NVRTC_ERROR_INVALID_INPUT;
    Options o;
    p->log.clear();
    for (int i = 0; i < count; i++) {
        if (option(options[i], o)) continue;
        p->log = std::string("nvrtc: error: invalid value or unrecognized option: ") + options[i] + "\n";
        return NVRTC_ERROR_INVALID_OPTION;
    }
    p->tried = true;
    return compile(*p, o);
}

static nvrtcResult give_size(size_t* n, size_t size) {
    if (n == nullptr) return NVRTC_ERROR_INVALID_INPUT;
    *n = size;
    return NVRTC_SUCCESS;
}
static nvrtcResult give(char* to, const std::string& text, size_t n) {
    if (to == nullptr) return NVRTC_ERROR_INVALID_INPUT;
    memcpy(to, text.c_str(), n);
    return NVRTC_SUCCESS;
}

EXPORT nvrtcResult nvrtcGetProgramLogSize(nvrtcProgram p, size_t* n) {
    return known(p) ? give_size(n, p->log.size() + 1) : NVRTC_ERROR_INVALID_PROGRAM;
}
EXPORT nvrtcResult nvrtcGetProgramLog(nvrtcProgram p, char* log) {
    return known(p) ? give(log, p->log, p->log.size() + 1) : NVRTC_ERROR_INVALID_PROGRAM;
}
EXPORT nvrtcResult nvrtcGetCUBINSize(nvrtcProgram p, size_t* n) {
    return known(p) && p->compiled ? give_size(n, p->image.size()) : NVRTC_ERROR_INVALID_PROGRAM;
}
EXPORT nvrtcResult nvrtcGetCUBIN(nvrtcProgram p, char* code) {
    return known(p) && p->compiled ? give(code, p->image, p->image.size()) : NVRTC_ERROR_INVALID_PROGRAM;
}
EXPORT nvrtcResult nvrtcGetPTXSize(nvrtcProgram p, size_t* n) {
    return known(p) && p->compiled ? give_size(n, p->ptx.size() + 1) : NVRTC_ERROR_INVALID_PROGRAM;
}
EXPORT nvrtcResult nvrtcGetPTX(nvrtcProgram p, char* code) {
    return known(p) && p->compiled ? give(code, p->ptx, p->ptx.size() + 1) : NVRTC_ERROR_INVALID_PROGRAM;
}

EXPORT nvrtcResult nvrtcAddNameExpression(nvrtcProgram p, const char* expression) {
    if (!known(p)) return NVRTC_ERROR_INVALID_PROGRAM;
    if (expression == nullptr) return NVRTC_ERROR_INVALID_INPUT;
    if (p->tried) return NVRTC_ERROR_NO_NAME_EXPRESSIONS_AFTER_COMPILATION;
    p->expressions.push_back(expression);
    return NVRTC_SUCCESS;
}

// the name that the driver knows a kernel by is here what it was asked by
EXPORT nvrtcResult nvrtcGetLoweredName(nvrtcProgram p, const char* expression, const char** name) {
    if (!known(p)) return NVRTC_ERROR_INVALID_PROGRAM;
    if (expression == nullptr || name == nullptr) return NVRTC_ERROR_INVALID_INPUT;
    if (!p->compiled) return NVRTC_ERROR_NO_LOWERED_NAMES_BEFORE_COMPILATION;
    for (const std::string& e : p->expressions)
        if (e == expression) {
            *name = e.c_str();
            return NVRTC_SUCCESS;
        }
    return NVRTC_ERROR_NAME_EXPRESSION_NOT_VALID;
}
