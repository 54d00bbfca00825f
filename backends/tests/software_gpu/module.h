// What a compiled module and the driver know of each other; both are compiled with this text.
#pragma once

struct SoftwareGpuRuntime {
    void (*barrier)();
    // gives a value and takes those of all lanes, once all lanes of the mask have come
    const unsigned long long* (*exchange)(unsigned kind, unsigned mask, unsigned long long value);
    void (*set_conditional)(unsigned long long handle, unsigned value);
    // ends the launch with an error of the driver's
    void (*trap)(int code, const char* why, const char* file, unsigned line);
};

// the thread that runs
struct SoftwareGpuThread {
    unsigned thread[3], block[3], block_dim[3], grid_dim[3];
    unsigned lane;
    char* dynamic_shared;
};

struct SoftwareGpuParam {
    unsigned bytes, pointer;
};

struct SoftwareGpuKernel {
    const char* name;
    void (*thread)(void** params);
    // all threads of a block, one after the other, up or down
    void (*block)(void** params, int down);
    const SoftwareGpuParam* params;
    unsigned param_count;
    int max_threads;
    char *shared_from, *shared_to;
};

enum { SOFTWARE_GPU_VERSION = 1 };

struct SoftwareGpuModule {
    unsigned version;
    const SoftwareGpuKernel* kernels;
    unsigned kernel_count;
    SoftwareGpuThread* thread;
    const SoftwareGpuRuntime** runtime;
    // shared memory of functions that any kernel may call
    char *shared_from, *shared_to;
    // a byte for each place where threads wait for each other
    char *waits_from, *waits_to;
};

// before the bytes of a shared object: what the compiler gives in place of a cubin
struct SoftwareGpuImage {
    char magic[16];
    unsigned long long bytes;
    unsigned architecture;
    // whether it was made for one architecture alone
    unsigned binary;
};
#define SOFTWARE_GPU_MAGIC "software gpu 01"
