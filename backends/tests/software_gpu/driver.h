// The driver in software: what its files share.
#pragma once
#include "abi.h"
#include "module.h"
#include <condition_variable>
#include <cstdarg>
#include <cstdio>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#define EXPORT extern "C" __attribute__((visibility("default")))

typedef unsigned long long u64;

// ---- calls

// One lock for everything: taken by each call, and given up only while a function of the host's runs.
extern std::mutex the_lock;
// Such things are never destroyed, since threads may still run while a process ends.
extern std::condition_variable& work_done;
extern thread_local std::unique_lock<std::mutex>* held;
// whether this thread runs a function that a stream called: it may not call the driver
extern thread_local bool in_host_function;

// The beginning of every call: takes the lock and writes the line of the trace.
struct Call {
    std::unique_lock<std::mutex> lock;
    Call(const char* format, ...) __attribute__((format(printf, 2, 3)));
    ~Call();
    // whether the driver may be called at all
    CUresult permitted() const;
};

// a line on stderr: what was wrong
void complain(const char* format, ...) __attribute__((format(printf, 1, 2)));
std::string text(const char* format, ...) __attribute__((format(printf, 1, 2)));

#define TRY(expression)                       \
    do {                                      \
        const CUresult result_ = (expression); \
        if (result_ != CUDA_SUCCESS) return result_; \
    } while (0)

// refuses with a code and says why
#define REFUSE(code, ...)       \
    do {                        \
        complain(__VA_ARGS__);  \
        return code;            \
    } while (0)

// ---- devices and contexts

struct Handle {
    const char* const kind;
    bool alive = true;
    explicit Handle(const char* kind);
    virtual ~Handle() {}
};
// Whether it is a handle of this kind that has not been given back. Handles are never freed, so a stale one is known.
bool known(const void* h, const char* kind);

struct Pool : Handle {
    CUdevice device;
    u64 threshold = 0;
    int reuse[4] = {0, 1, 1, 1};
    u64 used = 0, used_high = 0;
    explicit Pool(CUdevice d) : Handle("pool"), device(d) {}
};

struct Position {
    Stream* stream;
    u64 at;
};

struct Context : Handle {
    CUdevice device;
    int retained = 0;
    CUresult lost = CUDA_SUCCESS;
    Stream* legacy;
    std::unordered_map<u64, Stream*> per_thread;
    std::vector<Stream*> streams;  // in the order of their making
    explicit Context(CUdevice d);
};

struct Device {
    Context* primary = nullptr;
    Pool* pool = nullptr;
    u64 limit = 0, used = 0;
};

extern std::vector<Device>& devices;
extern thread_local Context* current;
Device& device_of(Context* c);
// a context is current and nothing went wrong in it
CUresult ready();
// something went wrong that cannot be made good: all further calls say so
void lose(Context* c, CUresult code);

// ---- memory

struct Allocation {
    u64 address, bytes;
    u64 from, to;  // the pages it lies in
    enum State { PENDING, LIVE, FREED } state;
    bool async;
    bool given_back;  // by the host, perhaps not yet in the order of the stream
    bool touched;     // since its red zones were looked at
    Context* context;
};
// a host address for a device address: the bytes of the device lie at a fixed distance
char* host_of(u64 address);
bool is_device_address(u64 address);
u64 device_of_host(const void* p);
// the allocation that an address lies in, at, or just behind
Allocation* allocation_at(u64 address);
// what an address is, in words
std::string describe(u64 address);
// The host's address of `bytes` at `address` if they lie in one live allocation of the context. Else the context is lost.
char* range(Context* c, u64 address, u64 bytes, const char* what);
void check_red_zones();
void drop_memory(Context* c);
bool is_pinned(const void* p, u64 bytes);

// ---- streams

struct Operation {
    NodeType type;
    std::string label;
    std::function<void(Context*)> run;
    bool host = false;                 // runs a function of the host's
    std::vector<uint8_t> fingerprint;  // of what an update of a graph may not change
    Operation(NodeType t, std::string l, std::function<void(Context*)> r) : type(t), label(std::move(l)), run(std::move(r)) {}
};
typedef std::shared_ptr<const Operation> Op;

struct Capture;

struct Stream : Handle {
    Context* context;
    unsigned flags;
    int priority;
    struct Item {
        Op op;
        std::vector<Position> after;
    };
    std::deque<Item> queue;
    u64 submitted = 0, done = 0;
    bool busy = false;
    u64 asked = 0;  // how far it was when it was last asked whether it is done
    std::shared_ptr<Capture> capture;
    std::vector<Node*> tips;  // what the next captured node comes after
    Stream(Context* c, unsigned flags, int priority);
};

struct Event : Handle {
    Context* context;
    unsigned flags;
    bool recorded = false;
    Position at{nullptr, 0};
    std::shared_ptr<double> time;  // in ms, when it was reached
    bool asked = false;
    std::shared_ptr<Capture> capture;  // it was last recorded in a capture
    std::vector<Node*> tips;
    Event(Context* c, unsigned f) : Handle("event"), context(c), flags(f) {}
};

// the stream of a handle, the two that have none of their own included; also refuses streams of other contexts
CUresult stream_of(CUstream handle, Stream*& stream, bool any_context = false);
// Queues an operation, or makes it a node where the stream is captured.
CUresult submit(Stream* s, Op op, std::vector<Position> after = {});
void run_to(Stream* s, u64 at);
void run_all(Context* c);
// what synchronisations end with
CUresult after_wait(Context* c);
// the context whose work this thread does
extern thread_local Context* running;
double now_ms();

// ---- captures and graphs

struct Node : Handle {
    Graph* graph;
    NodeType type;
    Op op;
    std::vector<Node*> after;
    size_t number;
    Graph* body = nullptr;  // of a conditional node, of a child graph
    int conditional = 0;
    u64 handle = 0;
    Node(Graph* g, NodeType t) : Handle("node"), graph(g), type(t) {}
};

struct Graph : Handle {
    std::vector<Node*> nodes;
    bool owned = false;  // the body of a conditional node
    struct Condition {
        unsigned value;
        bool reset;
    };
    std::map<u64, Condition> conditions;
    Context* context;
    explicit Graph(Context* c) : Handle("graph"), context(c) {}
};

struct Capture {
    u64 id;
    Graph* graph;
    Stream* origin;
    int mode;
    u64 thread;
    bool to_graph = false;  // of the caller's
    bool invalidated = false, ended = false;
    std::vector<Stream*> streams;
};

Node* add_node(Graph* g, Op op, const std::vector<Node*>& after);
bool capturing(Stream* s);
// A call that captures do not allow, such as an allocation, in the modes that forbid it.
CUresult unsafe_call(const char* name);
// The use of the legacy stream, which waits for all blocking streams.
CUresult implicit_wait(Context* c, const char* name);
void invalidate(const std::shared_ptr<Capture>& c);
u64 this_thread();

// set while a graph runs: the values of its conditions
extern thread_local std::map<u64, Graph::Condition>* conditions_now;

// ---- kernels

struct Module : Handle {
    Context* context;
    std::shared_ptr<void> library;
    SoftwareGpuModule* code = nullptr;
    std::map<std::string, Function*> functions;
    explicit Module(Context* c) : Handle("module"), context(c) {}
};

struct Function : Handle {
    Module* module;
    const SoftwareGpuKernel* kernel;
    unsigned max_dynamic;
    Function(Module* m, const SoftwareGpuKernel* k);
    unsigned static_shared() const {
        const SoftwareGpuModule& m = *module->code;
        return (unsigned)(kernel->shared_to - kernel->shared_from + (m.shared_to - m.shared_from));
    }
};

struct Launch {
    Function* function;
    unsigned grid[3], block[3], shared;
};
enum { SHARED_PER_BLOCK = 49152, SHARED_PER_BLOCK_OPTIN = 232448 };

// checks a launch and makes an operation of it
CUresult kernel_operation(const Launch& l, void** params, void** extra, Op& op);
// runs all blocks; the parameters are host addresses already
void run_kernel(Context* c, const Launch& l, SoftwareGpuModule* code, void** params);
