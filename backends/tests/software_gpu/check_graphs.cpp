// Captures, graphs and conditions.
#include "check.h"
#include <thread>

static CUstream stream(unsigned flags = 1) {
    CUstream s = nullptr;
    OK(cu("cuStreamCreate", &s, flags));
    return s;
}
static CUevent event() {
    CUevent e = nullptr;
    OK(cu("cuEventCreate", &e, 2u));
    return e;
}
static int fill(CUdeviceptr p, unsigned v, CUstream s) { return cu("cuMemsetD32Async", p, v, (size_t)1, s); }
static int capture(CUstream s, int mode = 0) { return cu("cuStreamBeginCapture_v2", s, mode); }
static int end(CUstream s, CUgraph* g) { return cu("cuStreamEndCapture", s, g); }
static int state(CUstream s) {
    int status = -1;
    OK(cu("cuStreamIsCapturing", s, &status));
    return status;
}
static int sync(CUstream s) { return cu("cuStreamSynchronize", s); }
static CUgraphExec instance(CUgraph g) {
    CUgraphExec e = nullptr;
    OK(cu("cuGraphInstantiateWithFlags", &e, g, 0ull));
    return e;
}

static const char* const ADD = "extern \"C\" __global__ void add(int* p, int n) { p[threadIdx.x] += n; }";

static void captured() {
    const CUfunction f = kernel(ADD, "add");
    CUstream a = stream(), b = stream();
    CUevent forked = event(), joined = event();
    CUdeviceptr p = upload(std::vector<int>{1, 2, 3, 4});
    void* host = nullptr;
    OK(cu("cuMemHostAlloc", &host, (size_t)16, 0u));
    memset(host, 0, 16);
    int n = 10;
    OK(capture(a));
    EQUAL(state(a), 1);
    OK(launch(f, 1, 2, {&p, &n}, a));
    n = 1000;
    OK(cu("cuEventRecord", forked, a));
    OK(cu("cuStreamWaitEvent", b, forked, 0u));
    EQUAL(state(b), 1);
    CUdeviceptr q = p + 8;
    OK(launch(f, 1, 2, {&q, &n}, b));
    OK(fill(p, 7, a));
    OK(cu("cuEventRecord", joined, b));
    OK(cu("cuStreamWaitEvent", a, joined, 0u));
    OK(cu("cuMemcpyDtoHAsync_v2", host, p, (size_t)16, a));
    int status = 0;
    unsigned long long id = 0;
    CUgraph seen = nullptr;
    const CUgraphNode* tips = nullptr;
    size_t count = 0;
    OK(cu("cuStreamGetCaptureInfo_v2", a, &status, &id, &seen, &tips, &count));
    CHECK(status == 1 && id != 0 && count == 1);
    const void* edges = &edges;
    OK(cu("cuStreamGetCaptureInfo_v3", a, &status, &id, &seen, &tips, &edges, &count));
    CHECK(count == 1 && edges == nullptr);
    OK(cu("cuStreamUpdateCaptureDependencies_v2", a, (CUgraphNode*)tips, (const void*)nullptr, count, 0u));
    CUgraph g = nullptr;
    OK(end(a, &g));
    CHECK(g == seen);
    EQUAL(state(a), 0);
    EQUAL(state(b), 0);
    OK(sync(a));
    EQUAL(*(int*)host, 0);
    OK(cu("cuGraphGetNodes", g, (CUgraphNode*)nullptr, &count));
    EQUAL(count, 4);
    CUgraphExec e = instance(g);
    OK(cu("cuGraphUpload", e, a));
    for (int i = 0; i < 3; i++) OK(cu("cuGraphLaunch", e, a));
    OK(sync(a));
    const int* h = (const int*)host;
    CHECK(h[0] == 7 && h[1] == 32 && h[2] == 3003 && h[3] == 3004);
    // the same graph with other numbers
    CUgraph other = nullptr;
    OK(capture(a, 2));
    n = 1;
    OK(launch(f, 1, 2, {&p, &n}, a));
    OK(cu("cuEventRecord", forked, a));
    OK(cu("cuStreamWaitEvent", b, forked, 0u));
    OK(launch(f, 1, 2, {&q, &n}, b));
    OK(fill(p, 9, a));
    OK(cu("cuEventRecord", joined, b));
    OK(cu("cuStreamWaitEvent", a, joined, 0u));
    OK(cu("cuMemcpyDtoHAsync_v2", host, p, (size_t)16, a));
    OK(end(a, &other));
    CUgraphExecUpdateResultInfo info;
    OK(cu("cuGraphExecUpdate_v2", e, other, &info));
    EQUAL(info.result, 0);
    OK(cu("cuGraphLaunch", e, b));
    OK(sync(b));
    CHECK(h[0] == 9 && h[1] == 33 && h[2] == 3004 && h[3] == 3005);
    // another one altogether
    CUgraph third = nullptr;
    OK(capture(a));
    OK(fill(p, 1, a));
    OK(end(a, &third));
    EQUAL(cu("cuGraphExecUpdate_v2", e, third, &info), CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE);
    EQUAL(info.result, 2);
    OK(cu("cuGraphDestroy", g));
    EQUAL(cu("cuGraphDestroy", g), 1);
    OK(cu("cuGraphLaunch", e, a));
    OK(cu("cuGraphExecDestroy", e));
    EQUAL(cu("cuGraphLaunch", e, a), 1);
    OK(sync(a));
}

static void refused() {
    CUstream a = stream(), b = stream(), blocking = stream(0);
    CUdeviceptr p = room(16), q;
    CUgraph g = nullptr;
    CUevent e = event();
    EQUAL(capture(nullptr), 900);
    EQUAL(end(a, &g), 401);
    // what is refused in a capture, and ends it
    const std::function<int()> refused[] = {
        [&] { return sync(a); },
        [&] { return cu("cuStreamQuery", a); },
        [&] { return cu("cuCtxSynchronize"); },
        [&] { return cu("cuMemAlloc_v2", &q, (size_t)16); },
        [&] { return cu("cuMemAllocAsync", &q, (size_t)16, a); },
        [&] { return cu("cuMemFreeAsync", p, a); },
        [&] { void* h; return cu("cuMemHostAlloc", &h, (size_t)16, 0u); },
        [&] { int h; return cu("cuMemcpyDtoH_v2", (void*)&h, p, (size_t)4); },
    };
    for (const auto& r : refused) {
        OK(capture(a));
        OK(fill(p, 1, a));
        EQUAL(r(), 900);
        EQUAL(state(a), 2);
        EQUAL(fill(p, 1, a), 901);
        EQUAL(end(a, &g), 901);
        CHECK(g == nullptr);
    }
    // other threads are not asked in the mode of one thread, and nobody in the relaxed one
    OK(capture(a, 2));
    OK(cu("cuMemAlloc_v2", &q, (size_t)16));
    OK(end(a, &g));
    CUcontext c = nullptr;
    OK(cu("cuCtxGetCurrent", &c));
    OK(capture(a, 1));
    std::thread([&] {
        OK(cu("cuCtxSetCurrent", c));
        OK(cu("cuMemAlloc_v2", &q, (size_t)16));
        EQUAL(end(a, &g), 908);
    }).join();
    int mode = 2;
    OK(cu("cuThreadExchangeStreamCaptureMode", &mode));
    EQUAL(mode, 0);
    OK(cu("cuMemAlloc_v2", &q, (size_t)16));
    OK(cu("cuThreadExchangeStreamCaptureMode", &mode));
    OK(end(a, &g));
    // the legacy stream and one that it waits for
    OK(capture(blocking));
    EQUAL(fill(p, 1, nullptr), 906);
    EQUAL(end(blocking, &g), 901);
    OK(capture(blocking));
    int h;
    EQUAL(cu("cuMemcpyDtoH_v2", (void*)&h, p, (size_t)4), 906);
    EQUAL(end(blocking, &g), 901);
    // an event of outside, and one of inside outside
    OK(cu("cuEventRecord", e, b));
    OK(capture(a));
    EQUAL(cu("cuStreamWaitEvent", a, e, 0u), 905);
    EQUAL(end(a, &g), 901);
    OK(capture(a));
    OK(cu("cuEventRecord", e, a));
    EQUAL(cu("cuEventSynchronize", e), 907);
    EQUAL(end(a, &g), 901);
    // a fork that does not come back, and an end elsewhere
    OK(capture(a));
    OK(cu("cuEventRecord", e, a));
    OK(cu("cuStreamWaitEvent", b, e, 0u));
    OK(fill(p, 1, b));
    EQUAL(end(a, &g), 904);
    OK(capture(a));
    OK(cu("cuEventRecord", e, a));
    OK(cu("cuStreamWaitEvent", b, e, 0u));
    EQUAL(end(b, &g), 903);
    EQUAL(end(a, &g), 901);
    EQUAL(capture(a, 3), 1);
    // two captures do not meet
    OK(capture(a));
    OK(capture(b));
    OK(cu("cuEventRecord", e, a));
    EQUAL(cu("cuStreamWaitEvent", b, e, 0u), 902);
    EQUAL(end(a, &g), 901);
    EQUAL(end(b, &g), 901);
    OK(sync(a));
}

static int calls = 0;
static void host_nodes() {
    CUstream a = stream();
    CUgraph g = nullptr;
    OK(capture(a));
    CUhostFn f = [](void* n) { calls += *(int*)n; };
    static int three = 3;
    OK(cu("cuLaunchHostFunc", a, f, (void*)&three));
    OK(end(a, &g));
    EQUAL(calls, 0);
    CUgraphExec e = instance(g);
    OK(cu("cuGraphLaunch", e, a));
    OK(cu("cuGraphLaunch", e, a));
    OK(sync(a));
    EQUAL(calls, 6);
}

static const char* const STEP =
    "extern \"C\" __global__ void step(int* p, unsigned long long handle, int limit) {\n"
    "    p[0] += 1;\n    cudaGraphSetConditional(handle, p[0] < limit);\n}\n"
    "extern \"C\" __global__ void set(unsigned long long handle, unsigned v) { cudaGraphSetConditional(handle, v); }";

static CUgraph condition(CUgraph g, CUgraphConditionalHandle h, int type, std::vector<CUgraphNode> after, CUgraphNode& node) {
    CUgraphNodeParams params;
    memset(&params, 0, sizeof params);
    params.type = 13;
    params.conditional.handle = h;
    params.conditional.type = type;
    params.conditional.size = 1;
    OK(cu("cuGraphAddNode_v2", &node, g, (const CUgraphNode*)after.data(), (const void*)nullptr, after.size(), &params));
    return params.conditional.phGraph_out[0];
}

// a loop in a stream that is captured, and an alternative made by hand
static void conditions() {
    const CUfunction step = kernel(STEP, "step"), set = kernel(STEP, "set"), add = kernel(ADD, "add");
    CUstream a = stream(), inner = stream();
    CUdeviceptr p = upload(std::vector<int>{0, 0}), q = p + 4;
    OK(capture(a));
    OK(fill(p, 3, a));
    int status;
    unsigned long long id;
    CUgraph g = nullptr;
    const CUgraphNode* tips = nullptr;
    size_t count = 0;
    OK(cu("cuStreamGetCaptureInfo_v2", a, &status, &id, &g, &tips, &count));
    CUgraphConditionalHandle h = 0, unused = 0;
    OK(cu("cuGraphConditionalHandleCreate", &h, g, (CUcontext)nullptr, 1u, 1u));
    OK(cu("cuGraphConditionalHandleCreate", &unused, g, (CUcontext)nullptr, 1u, 1u));
    CUgraphNode node = nullptr;
    CUgraph body = condition(g, h, 1, std::vector<CUgraphNode>(tips, tips + count), node);
    OK(cu("cuStreamUpdateCaptureDependencies", a, &node, (size_t)1, 1u));
    OK(cu("cuStreamBeginCaptureToGraph", inner, body, (const CUgraphNode*)nullptr, (const void*)nullptr, (size_t)0, 2));
    int n = 100, limit = 8;
    OK(launch(add, 1, 1, {&q, &n}, inner));
    OK(launch(step, 1, 1, {&p, &h, &limit}, inner));
    CUgraph same = nullptr;
    OK(end(inner, &same));
    CHECK(same == body);
    n = 1;
    OK(launch(add, 1, 1, {&p, &n}, a));
    OK(end(a, &g));
    CUgraphExec e = instance(g);
    OK(cu("cuGraphLaunch", e, a));
    OK(sync(a));
    auto seen = download<int>(p, 2);
    EQUAL(seen[0], 9);
    EQUAL(seen[1], 500);
    OK(cu("cuGraphLaunch", e, a));
    OK(sync(a));
    seen = download<int>(p, 2);
    EQUAL(seen[0], 9);
    EQUAL(seen[1], 1000);
    EQUAL(cu("cuGraphDestroy", body), 1);

    CUgraph made = nullptr;
    OK(cu("cuGraphCreate", &made, 0u));
    OK(cu("cuGraphConditionalHandleCreate", &h, made, (CUcontext)nullptr, 0u, 1u));
    unsigned value = 1;
    void* setting[] = {&h, &value};
    CUgraphNodeParams params;
    memset(&params, 0, sizeof params);
    params.type = 0;
    params.kernel = {set, 1, 1, 1, 1, 1, 1, 0, setting, nullptr, nullptr, nullptr};
    CUgraphNode first = nullptr, second = nullptr, third = nullptr;
    OK(cu("cuGraphAddNode", &first, made, (const CUgraphNode*)nullptr, (size_t)0, &params));
    CUgraph branch = condition(made, h, 0, {first}, second);
    void* adding[] = {&q, &n};
    params.kernel = {add, 1, 1, 1, 1, 1, 1, 0, adding, nullptr, nullptr, nullptr};
    OK(cu("cuGraphAddNode", &third, branch, (const CUgraphNode*)nullptr, (size_t)0, &params));
    CUgraphExec alternative = instance(made);
    OK(cu("cuGraphLaunch", alternative, a));
    OK(sync(a));
    EQUAL(download<int>(q, 1)[0], 1001);
    // one handle, one node
    params.type = 13;
    params.conditional = {h, 0, 1, nullptr, nullptr};
    EQUAL(cu("cuGraphAddNode", &third, made, (const CUgraphNode*)nullptr, (size_t)0, &params), 1);
    params.conditional = {12345, 0, 1, nullptr, nullptr};
    EQUAL(cu("cuGraphAddNode", &third, made, (const CUgraphNode*)nullptr, (size_t)0, &params), 1);
    // a condition that no graph has
    OK(launch(set, 1, 1, {&h, &value}, a));
    EQUAL(sync(a), 719);
}

void check_graphs() {
    apart("captures", [] { begin(); captured(); });
    apart("refused in captures", [] { begin(); refused(); });
    apart("functions of the host's in graphs", [] { begin(); host_nodes(); });
    apart("conditions", [] { begin(); conditions(); });
}
