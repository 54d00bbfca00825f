// The kernels that the project prints: the examples beside its tests, compiled and run.
#include "check.h"
#include <chrono>

static std::string file(const std::string& path) {
    std::string text;
    FILE* f = fopen((SOURCE_FOLDER "/../../" + path).c_str(), "r");
    if (f == nullptr) {
        failures++;
        fprintf(stderr, "there is no %s\n", path.c_str());
        return text;
    }
    for (int c; (c = fgetc(f)) != EOF;) text += (char)c;
    fclose(f);
    return text;
}

struct Printed {
    CUfunction function;
    unsigned blocks, threads;
};

static Printed printed(const char* name) {
    std::string text = file(std::string("tests/grid/golden/") + name + ".txt");
    text = file("src/cuda/prelude.cuh") + text.substr(text.find("----\n") + 5);
    Printed p = {nullptr, 0, 0};
    const size_t said = text.rfind("// ", text.find("__global__"));
    sscanf(text.c_str() + said, "// %u blocks of %u threads", &p.blocks, &p.threads);
    const size_t at = text.find(" k_"), end = text.find('(', at);
    p.function = kernel(text, text.substr(at + 1, end - at - 1).c_str());
    return p;
}

static std::vector<float> some(size_t n) {
    std::vector<float> v(n);
    unsigned state = 1;
    for (float& x : v) {
        state = state * 1664525u + 1013904223u;
        x = (float)(int)(state >> 8) / 8388608.0f - 1.0f;
    }
    return v;
}

static void sums() {
    const Printed p = printed("column_sums");
    const auto in = some(4096 * 300);
    CUdeviceptr from = upload(in), to = room(1200);
    OK(launch(p.function, p.blocks, p.threads, {&from, &to}));
    const auto out = download<float>(to, 300);
    for (int j = 0; j < 300; j++) {
        double sum = 0;
        for (int i = 0; i < 4096; i++) sum += (double)in[i * 300 + j];
        NEAR(out[j], sum, 1e-3);
    }
}

static void maxima() {
    const Printed p = printed("long_row_maximum");
    const auto in = some(8 * 5000);
    CUdeviceptr from = upload(in), to = room(32);
    OK(launch(p.function, p.blocks, p.threads, {&from, &to}));
    const auto out = download<float>(to, 8);
    for (int i = 0; i < 8; i++) {
        float most = -2;
        for (int j = 0; j < 5000; j++) most = std::fmax(most, in[i * 5000 + j]);
        NEAR(out[i], most, 0);
    }
}

static void moments() {
    const Printed p = printed("row_moments");
    const auto in = some(512 * 768);
    CUdeviceptr from = upload(in), to = room(2048), squares = room(2048);
    OK(launch(p.function, p.blocks, p.threads, {&from, &to, &squares}));
    const auto out = download<float>(to, 512), out2 = download<float>(squares, 512);
    for (int i = 0; i < 512; i++) {
        double a = 0, b = 0;
        for (int j = 0; j < 768; j++) a += (double)in[i * 768 + j], b += (double)in[i * 768 + j] * in[i * 768 + j];
        NEAR(out[i], a, 1e-3);
        NEAR(out2[i], b, 1e-3);
    }
}

static void gelu() {
    const Printed p = printed("bias_gelu");
    const auto in = some(64 * 256), bias = some(256);
    CUdeviceptr from = upload(in), with = upload(bias), to = room(64 * 256 * 4);
    OK(launch(p.function, p.blocks, p.threads, {&from, &with, &to}));
    const auto out = download<float>(to, 64 * 256);
    for (int i = 0; i < 64 * 256; i++) {
        const double x = (double)in[i] + (double)bias[i % 256];
        NEAR(out[i], 0.5 * x * std::erf(x), 1e-6);
    }
}

static void all_compile() {
    for (const char* name : {"bf16_scale", "random_bits", "transposed_sum"}) {
        const auto from = std::chrono::steady_clock::now();
        CHECK(printed(name).function != nullptr);
        const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - from).count();
        if (getenv("CHECK_ALOUD") != nullptr) fprintf(stderr, "%s: %.0f ms\n", name, ms);
    }
}

void check_printed() {
    apart("column sums", [] { begin(); sums(); });
    apart("row maxima", [] { begin(); maxima(); });
    apart("row moments", [] { begin(); moments(); });
    apart("bias and gelu", [] { begin(); gelu(); });
    apart("printed kernels", [] { begin(); all_compile(); });
}
