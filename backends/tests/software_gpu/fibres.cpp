// The threads of a block: fibres that take turns. A fibre goes on after a barrier when all of its block have come to it, after
// an exchange when all of its warp that take part have.
#include "driver.h"
#include <algorithm>
#include <csetjmp>
#include <csignal>
#include <cstring>
#include <sys/mman.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

static const size_t STACK = 128 << 10, GUARD = 4096;

enum State { RUNS, AT_BARRIER, AT_EXCHANGE, ENDED };

struct Fibre {
#if defined(__x86_64__)
    void* stack_pointer;
#else
    ucontext_t context;
#endif
    char* stack = nullptr;
    State state;
    unsigned kind, mask;
    u64 value;
    const u64* given;
    unsigned at[3];  // which thread of the block it is
};

static auto& fibres = *new std::vector<Fibre>;
static Fibre* now;
static SoftwareGpuModule* module_now;
static const SoftwareGpuKernel* kernel_now;
static void** params_now;
static char* dynamic_now;
static unsigned thread_count, live;
static sigjmp_buf way_out;
static thread_local bool in_kernel = false;
static thread_local const void* fault_at;
static thread_local int fault_signal;
static auto& trap_reason = *new std::string;
static int trap_code;
// what exchanges give: a block a meeting, used again when those that met have long read it
static u64 exchanged[64][32];
static unsigned exchange_count;

#if defined(__x86_64__)
static void* scheduler_pointer;
// saves what a call leaves alone, changes stacks, and goes on there
extern "C" void software_gpu_switch(void** from, void* to);
asm(R"(
.text
.local software_gpu_switch
.type software_gpu_switch, @function
software_gpu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size software_gpu_switch, .-software_gpu_switch
)");
static void to_fibre(Fibre& f) { software_gpu_switch(&scheduler_pointer, f.stack_pointer); }
static void to_scheduler() { software_gpu_switch(&now->stack_pointer, scheduler_pointer); }
#else
static ucontext_t scheduler_context;
static void to_fibre(Fibre& f) { swapcontext(&scheduler_context, &f.context); }
static void to_scheduler() { swapcontext(&now->context, &scheduler_context); }
#endif

static void begin() {
    for (;;) {
        kernel_now->thread(params_now);
        now->state = ENDED;
        to_scheduler();
    }
}

static void prepare(Fibre& f, unsigned t) {
    if (f.stack == nullptr) {
        f.stack = (char*)mmap(nullptr, STACK + GUARD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        mprotect(f.stack, GUARD, PROT_NONE);
    }
#if defined(__x86_64__)
    // Six registers and where to go; the stack is aligned as at the entry of a function. It does not begin at the same place
    // of a page as the others do, which would be the same place of the cache.
    void** top = (void**)(f.stack + GUARD + STACK - t % 61 * 192) - 1;
    *--top = (void*)begin;
    for (int i = 0; i < 6; i++) *--top = nullptr;
    f.stack_pointer = top;
#else
    getcontext(&f.context);
    f.context.uc_stack.ss_sp = f.stack + GUARD;
    f.context.uc_stack.ss_size = STACK;
    f.context.uc_link = nullptr;
    makecontext(&f.context, begin, 0);
#endif
}

// ---- what kernels call

static void trap(int code, const char* why, const char* file, unsigned line) {
    trap_reason = line > 0 ? text("%s (%s:%u)", why, file, line) : why;
    trap_code = code;
    siglongjmp(way_out, 2);
}
static void leave(const char* why) { trap(CUDA_ERROR_LAUNCH_FAILED, why, "", 0); }

static void barrier() {
    now->state = AT_BARRIER;
    to_scheduler();
}

static const u64* exchange(unsigned kind, unsigned mask, u64 value) {
    const unsigned lane = module_now->thread->lane;
    if ((mask >> lane & 1) == 0) leave("a thread that is not in its own mask takes part in an exchange");
    now->state = AT_EXCHANGE;
    now->kind = kind;
    now->mask = mask;
    now->value = value;
    to_scheduler();
    return now->given;
}

static void set_conditional(u64 handle, unsigned value) {
    if (conditions_now == nullptr) leave("a condition is set outside of a graph");
    auto found = conditions_now->find(handle);
    if (found == conditions_now->end()) leave("a condition is set that is not of the graph that runs");
    found->second.value = value;
}

extern const SoftwareGpuRuntime the_runtime;
const SoftwareGpuRuntime the_runtime = {barrier, exchange, set_conditional, trap};

// ---- the schedule of a block

static void set_thread(unsigned t) {
    SoftwareGpuThread& s = *module_now->thread;
    for (int i = 0; i < 3; i++) s.thread[i] = fibres[t].at[i];
    s.lane = t % 32;
}

static void run_fibre(unsigned t) {
    now = &fibres[t];
    set_thread(t);
    to_fibre(*now);
    if (now->state == ENDED) live -= 1;
}

// lets those of a warp go on that all have come to the same exchange; whether any could
static bool meet(unsigned from, unsigned to) {
    bool any = false;
    for (unsigned t = from; t < to; t++) {
        Fibre& f = fibres[t];
        if (f.state != AT_EXCHANGE) continue;
        bool all = true;
        for (unsigned u = from; u < to; u++)
            if (f.mask >> (u - from) & 1) {
                const Fibre& other = fibres[u];
                if (other.state == ENDED) leave("an exchange is waited for by some threads of a warp, and others have ended");
                if (other.state == AT_EXCHANGE && other.mask == f.mask && other.kind != f.kind)
                    leave("threads of a warp wait for each other in different exchanges");
                all = all && other.state == AT_EXCHANGE && other.mask == f.mask;
            }
        if (!all) continue;
        u64* block = exchanged[exchange_count++ % 64];
        memset(block, 0xa5, sizeof exchanged[0]);
        const unsigned mask = f.mask;
        for (unsigned u = from; u < to; u++)
            if (mask >> (u - from) & 1) {
                block[u - from] = fibres[u].value;
                fibres[u].given = block;
                fibres[u].state = RUNS;
            }
        any = true;
    }
    return any;
}

// Runs a warp until all of it waits for others, or has ended.
static void run_warp(unsigned from, unsigned to, bool down) {
    do {
        for (unsigned i = from; i < to; i++) {
            const unsigned t = down ? to - 1 - (i - from) : i;
            if (fibres[t].state == RUNS) run_fibre(t);
        }
    } while (meet(from, to));
}

static void run_block(bool down) {
    for (unsigned t = 0; t < thread_count; t++) {
        prepare(fibres[t], t);
        fibres[t].state = RUNS;
    }
    live = thread_count;
    const unsigned warps = (thread_count + 31) / 32;
    while (live > 0) {
        for (unsigned i = 0; i < warps; i++) {
            const unsigned w = down ? warps - 1 - i : i;
            run_warp(w * 32, std::min(thread_count, w * 32 + 32), down);
        }
        if (live == 0) break;
        for (unsigned t = 0; t < thread_count; t++) {
            if (fibres[t].state == AT_EXCHANGE) leave("an exchange is waited for by some threads of a warp, and others wait elsewhere");
            if (fibres[t].state == ENDED) leave("a barrier is waited for by some threads of a block, and others have ended");
            fibres[t].state = RUNS;
        }
    }
}

// ---- faults

static struct sigaction before[NSIG];

static void on_fault(int signal, siginfo_t* info, void* context) {
    if (in_kernel) {
        fault_at = info->si_addr;
        fault_signal = signal;
        siglongjmp(way_out, 1);
    }
    const struct sigaction& old = before[signal];
    if (old.sa_flags & SA_SIGINFO) return old.sa_sigaction(signal, info, context);
    if (old.sa_handler != SIG_DFL && old.sa_handler != SIG_IGN) return old.sa_handler(signal);
    // the instruction is done again, and ends the process
    ::signal(signal, SIG_DFL);
}

static void catch_faults() {
    static bool caught = false;
    if (!caught) {
        caught = true;
        for (int s : {SIGSEGV, SIGBUS, SIGFPE}) {
            struct sigaction a = {};
            a.sa_sigaction = on_fault;
            a.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
            sigaction(s, &a, &before[s]);
        }
    }
    // a fibre whose stack is full cannot take a signal on it
    stack_t has;
    if (sigaltstack(nullptr, &has) == 0 && (has.ss_flags & SS_DISABLE)) {
        stack_t s = {};
        s.ss_size = 64 << 10;
        s.ss_sp = mmap(nullptr, s.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        sigaltstack(&s, nullptr);
    }
}

static bool on_a_stack(const void* p) {
    for (const Fibre& f : fibres)
        if (f.stack != nullptr && (const char*)p >= f.stack && (const char*)p < f.stack + GUARD) return true;
    return false;
}

static void explain(Context* c, const Launch& l, int how) {
    const SoftwareGpuThread& s = *module_now->thread;
    const std::string where = text("kernel %s, block %u %u %u of %u %u %u, thread %u %u %u of %u %u %u", l.function->kernel->name, s.block[0],
                                   s.block[1], s.block[2], s.grid_dim[0], s.grid_dim[1], s.grid_dim[2], s.thread[0], s.thread[1],
                                   s.thread[2], s.block_dim[0], s.block_dim[1], s.block_dim[2]);
    if (how == 2) {
        complain("%s: %s", where.c_str(), trap_reason.c_str());
        return lose(c, trap_code);
    }
    if (fault_signal == SIGFPE) {
        complain("%s: a division of integers by zero, or one that wraps", where.c_str());
        return lose(c, CUDA_ERROR_LAUNCH_FAILED);
    }
    if (on_a_stack(fault_at)) {
        complain("%s: more than %zu bytes of local memory", where.c_str(), STACK);
        return lose(c, CUDA_ERROR_LAUNCH_FAILED);
    }
    const u64 device = device_of_host(fault_at);
    if (device != 0)
        complain("%s: an access to %s", where.c_str(), describe(device).c_str());
    else if (fault_at >= dynamic_now && fault_at < dynamic_now + 2 * SHARED_PER_BLOCK_OPTIN)
        complain("%s: an access behind the %u bytes of dynamic shared memory", where.c_str(), l.shared);
    else
        complain("%s: an access to %s", where.c_str(), describe((u64)fault_at).c_str());
    lose(c, CUDA_ERROR_ILLEGAL_ADDRESS);
}

// ---- a launch

// dynamic shared memory ends where a page ends, with nothing behind it
static char* dynamic_shared(unsigned n) {
    static const size_t room = (SHARED_PER_BLOCK_OPTIN + 8191) / 4096 * 4096;
    static char* pages = nullptr;
    if (pages == nullptr) {
        pages = (char*)mmap(nullptr, room * 3, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        mprotect(pages, room, PROT_READ | PROT_WRITE);
    }
    return pages + room - (n + 15) / 16 * 16;
}

static void run_blocks(const Launch& l, bool waits) {
    SoftwareGpuThread& s = *module_now->thread;
    char *from = kernel_now->shared_from, *to = kernel_now->shared_to;
    const u64 count = (u64)l.grid[0] * l.grid[1] * l.grid[2];
    for (u64 i = 0; i < count; i++) {
        // nothing says in which order blocks run
        const u64 b = count - 1 - i;
        s.block[0] = (unsigned)(b % l.grid[0]);
        s.block[1] = (unsigned)(b / l.grid[0] % l.grid[1]);
        s.block[2] = (unsigned)(b / l.grid[0] / l.grid[1]);
        // shared memory holds nothing in particular at first
        if (from != to) memset(from, 0xa5, (size_t)(to - from));
        if (module_now->shared_from != module_now->shared_to)
            memset(module_now->shared_from, 0xa5, (size_t)(module_now->shared_to - module_now->shared_from));
        if (l.shared > 0) memset(s.dynamic_shared, 0xa5, l.shared);
        const bool down = i % 2 == 0;
        if (waits)
            run_block(down);
        else
            kernel_now->block(params_now, down);
    }
}

void run_kernel(Context* c, const Launch& l, SoftwareGpuModule* code, void** params) {
    module_now = code;
    kernel_now = l.function->kernel;
    params_now = params;
    SoftwareGpuThread& s = *code->thread;
    memcpy(s.block_dim, l.block, sizeof s.block_dim);
    memcpy(s.grid_dim, l.grid, sizeof s.grid_dim);
    thread_count = l.block[0] * l.block[1] * l.block[2];
    if (fibres.size() < thread_count) fibres.resize(thread_count);
    for (unsigned t = 0; t < thread_count; t++) {
        fibres[t].at[0] = t % l.block[0];
        fibres[t].at[1] = t / l.block[0] % l.block[1];
        fibres[t].at[2] = t / l.block[0] / l.block[1];
    }
    s.dynamic_shared = dynamic_now = dynamic_shared(l.shared);
    catch_faults();
    const int how = sigsetjmp(way_out, 0);
    if (how == 0) {
        in_kernel = true;
        run_blocks(l, code->waits_from != code->waits_to);
    }
    in_kernel = false;
    if (how != 0) explain(c, l, how);
}
