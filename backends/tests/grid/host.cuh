// What a kernel finds on a GPU, on this machine: the threads of a block are fibres that take turns. A fibre goes on after a
// barrier when all of its block have come to it, after an exchange when all of its warp have.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <ucontext.h>
#include <vector>

#define __device__ static
#define __global__
#define __shared__ static
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(n)

struct Number { unsigned x; };
static Number blockIdx, threadIdx;

enum State { RUNS, AT_BARRIER, AT_EXCHANGE, ENDED };
struct Fibre {
    ucontext_t context;
    State state;
    int exchanges;
    std::vector<char> stack;
    uint64_t given[2];
};
static std::vector<Fibre> fibres;
static ucontext_t scheduler;
static void (*entry)(void**);
static void** entry_params;

static void wait(State why) {
    Fibre& f = fibres[threadIdx.x];
    f.state = why;
    swapcontext(&f.context, &scheduler);
}
static void __syncthreads() { wait(AT_BARRIER); }
template <class T> static T __shfl_xor_sync(unsigned, T x, int mask) {
    Fibre& f = fibres[threadIdx.x];
    const int turn = f.exchanges++ % 2;
    memcpy(&f.given[turn], &x, sizeof x);
    wait(AT_EXCHANGE);
    T y;
    memcpy(&y, &fibres[threadIdx.x ^ mask].given[turn], sizeof y);
    return y;
}
static void begin() {
    entry(entry_params);
    fibres[threadIdx.x].state = ENDED;
}

// whether any of the fibres `from .. to` runs
static bool run(unsigned from, unsigned to) {
    bool any = false;
    for (unsigned t = from; t < to; t++) {
        if (fibres[t].state != RUNS) continue;
        any = true;
        threadIdx.x = t;
        swapcontext(&scheduler, &fibres[t].context);
    }
    return any;
}
static bool all(unsigned from, unsigned to, State s) {
    for (unsigned t = from; t < to; t++)
        if (fibres[t].state != s && !(s == AT_BARRIER && fibres[t].state == ENDED)) return false;
    return true;
}
static void resume(unsigned from, unsigned to, State s) {
    for (unsigned t = from; t < to; t++)
        if (fibres[t].state == s) fibres[t].state = RUNS;
}

// 0, or 1 if fibres wait for each other for ever
static int launch(void (*kernel)(void**), void** params, unsigned blocks, unsigned threads) {
    entry = kernel;
    entry_params = params;
    fibres.resize(threads);
    for (unsigned b = 0; b < blocks; b++) {
        blockIdx.x = b;
        for (Fibre& f : fibres) {
            f.state = RUNS;
            f.exchanges = 0;
            f.stack.resize(1 << 16);
            getcontext(&f.context);
            f.context.uc_stack.ss_sp = f.stack.data();
            f.context.uc_stack.ss_size = f.stack.size();
            f.context.uc_link = &scheduler;
            makecontext(&f.context, begin, 0);
        }
        while (!all(0, threads, ENDED)) {
            bool goes_on = run(0, threads);
            for (unsigned w = 0; w < threads; w += 32)
                if (all(w, w + 32, AT_EXCHANGE)) {
                    resume(w, w + 32, AT_EXCHANGE);
                    goes_on = true;
                }
            if (all(0, threads, AT_BARRIER)) {
                resume(0, threads, AT_BARRIER);
                goes_on = true;
            }
            if (!goes_on) return 1;
        }
    }
    return 0;
}
