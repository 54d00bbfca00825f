// Captures of streams, graphs, and their launches.
#include "driver.h"
#include <algorithm>
#include <atomic>

static thread_local int interaction = CAPTURE_GLOBAL;
static auto& captures = *new std::vector<std::shared_ptr<Capture>>;
static u64 capture_count = 0, condition_count = 0;
thread_local std::map<u64, Graph::Condition>* conditions_now = nullptr;

bool capturing(Stream* s) { return s->capture != nullptr; }

void invalidate(const std::shared_ptr<Capture>& c) { c->invalidated = true; }

CUresult unsafe_call(const char* name) {
    for (const auto& c : captures) {
        if (c->invalidated) continue;
        const bool own = c->thread == this_thread() && c->mode != CAPTURE_RELAXED;
        const bool forbidden = interaction == CAPTURE_GLOBAL ? own || c->mode == CAPTURE_GLOBAL
                                                             : interaction == CAPTURE_THREAD_LOCAL && own;
        if (!forbidden) continue;
        invalidate(c);
        REFUSE(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "%s while a stream is captured", name);
    }
    return CUDA_SUCCESS;
}

Node* add_node(Graph* g, Op op, const std::vector<Node*>& after) {
    Node* n = new Node(g, op->type);
    n->op = std::move(op);
    n->after = after;
    n->number = g->nodes.size();
    g->nodes.push_back(n);
    return n;
}

static CUresult begin_capture(CUstream stream, int mode, Graph* graph, const std::vector<Node*>& after) {
    Stream* s;
    TRY(stream_of(stream, s));
    if (mode < CAPTURE_GLOBAL || mode > CAPTURE_RELAXED) return CUDA_ERROR_INVALID_VALUE;
    if (s == current->legacy) REFUSE(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "the legacy stream cannot be captured");
    if (capturing(s)) REFUSE(CUDA_ERROR_ILLEGAL_STATE, "the stream is captured already");
    auto c = std::make_shared<Capture>();
    c->id = ++capture_count;
    c->to_graph = graph != nullptr;
    c->graph = graph != nullptr ? graph : new Graph(current);
    c->origin = s;
    c->mode = mode;
    c->thread = this_thread();
    c->streams = {s};
    captures.push_back(c);
    s->capture = c;
    s->tips = after;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuStreamBeginCapture_v2(CUstream stream, int mode) {
    Call call("cuStreamBeginCapture_v2 %p %d", (void*)stream, mode);
    TRY(ready());
    return begin_capture(stream, mode, nullptr, {});
}

static bool comes_before(const Node* n, const std::vector<Node*>& tips) {
    for (const Node* t : tips)
        if (t == n || comes_before(n, t->after)) return true;
    return false;
}

EXPORT CUresult cuStreamEndCapture(CUstream stream, CUgraph* graph) {
    Call call("cuStreamEndCapture %p", (void*)stream);
    TRY(ready());
    if ((u64)stream <= 2 || !known(stream, "stream")) return CUDA_ERROR_INVALID_HANDLE;
    if (graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *graph = nullptr;
    const std::shared_ptr<Capture> c = stream->capture;
    if (c == nullptr) REFUSE(CUDA_ERROR_ILLEGAL_STATE, "the end of a capture that was not begun");
    if (c->mode != CAPTURE_RELAXED && c->thread != this_thread())
        REFUSE(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, "a capture is ended by another thread than began it");
    if (c->origin != stream) {
        invalidate(c);
        REFUSE(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, "a capture is ended in another stream than it began in");
    }
    bool joined = true;
    for (Stream* s : c->streams)
        for (Node* n : s->tips) joined = joined && comes_before(n, stream->tips);
    for (Stream* s : c->streams) {
        s->capture = nullptr;
        s->tips.clear();
    }
    c->ended = true;
    captures.erase(std::find(captures.begin(), captures.end(), c));
    if (c->invalidated) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    if (!joined) REFUSE(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, "a stream that joined the capture was not waited for");
    *graph = c->graph;
    return CUDA_SUCCESS;
}

// the state of a stream, which may be one whose capture has become invalid
static CUresult capture_state(CUstream stream, Stream*& s, int* status) {
    TRY(ready());
    if (status == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const CUresult result = stream_of(stream, s);
    if (result != CUDA_SUCCESS && result != CUDA_ERROR_STREAM_CAPTURE_INVALIDATED) return result;
    *status = s->capture == nullptr ? CAPTURE_NONE : s->capture->invalidated ? CAPTURE_INVALIDATED : CAPTURE_ACTIVE;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuStreamIsCapturing(CUstream stream, int* status) {
    Call call("cuStreamIsCapturing %p", (void*)stream);
    Stream* s;
    return capture_state(stream, s, status);
}

static CUresult capture_info(CUstream stream, int* status, u64* id, CUgraph* graph, const CUgraphNode** tips, size_t* count) {
    Stream* s;
    TRY(capture_state(stream, s, status));
    if (*status != CAPTURE_ACTIVE) return CUDA_SUCCESS;
    if (id != nullptr) *id = s->capture->id;
    if (graph != nullptr) *graph = s->capture->graph;
    if (tips != nullptr) *tips = s->tips.data();
    if (count != nullptr) *count = s->tips.size();
    return CUDA_SUCCESS;
}

EXPORT CUresult cuStreamGetCaptureInfo_v2(CUstream stream, int* status, u64* id, CUgraph* graph, const CUgraphNode** tips, size_t* count) {
    Call call("cuStreamGetCaptureInfo_v2 %p", (void*)stream);
    return capture_info(stream, status, id, graph, tips, count);
}

EXPORT CUresult cuStreamGetCaptureInfo_v3(CUstream stream, int* status, u64* id, CUgraph* graph, const CUgraphNode** tips, const void** edges, size_t* count) {
    Call call("cuStreamGetCaptureInfo_v3 %p", (void*)stream);
    if (edges != nullptr) *edges = nullptr;
    return capture_info(stream, status, id, graph, tips, count);
}

EXPORT CUresult cuThreadExchangeStreamCaptureMode(int* mode) {
    Call call("cuThreadExchangeStreamCaptureMode");
    TRY(call.permitted());
    if (mode == nullptr || *mode < CAPTURE_GLOBAL || *mode > CAPTURE_RELAXED) return CUDA_ERROR_INVALID_VALUE;
    std::swap(*mode, interaction);
    return CUDA_SUCCESS;
}

static CUresult nodes_known(Graph* g, const CUgraphNode* nodes, size_t n) {
    if (n > 0 && nodes == nullptr) return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < n; i++)
        if (!known(nodes[i], "node") || nodes[i]->graph != g) REFUSE(CUDA_ERROR_INVALID_VALUE, "a node of another graph");
    return CUDA_SUCCESS;
}

static CUresult update_dependencies(CUstream stream, CUgraphNode* nodes, size_t n, unsigned flags) {
    TRY(ready());
    Stream* s;
    TRY(stream_of(stream, s));
    if (!capturing(s)) return CUDA_ERROR_ILLEGAL_STATE;
    if (flags > 1) return CUDA_ERROR_INVALID_VALUE;
    TRY(nodes_known(s->capture->graph, nodes, n));
    if (flags == 1) s->tips.clear();
    for (size_t i = 0; i < n; i++) s->tips.push_back(nodes[i]);
    return CUDA_SUCCESS;
}

EXPORT CUresult cuStreamUpdateCaptureDependencies(CUstream stream, CUgraphNode* nodes, size_t n, unsigned flags) {
    Call call("cuStreamUpdateCaptureDependencies %p", (void*)stream);
    return update_dependencies(stream, nodes, n, flags);
}

EXPORT CUresult cuStreamUpdateCaptureDependencies_v2(CUstream stream, CUgraphNode* nodes, const void*, size_t n, unsigned flags) {
    Call call("cuStreamUpdateCaptureDependencies_v2 %p", (void*)stream);
    return update_dependencies(stream, nodes, n, flags);
}

EXPORT CUresult cuStreamBeginCaptureToGraph(CUstream stream, CUgraph graph, const CUgraphNode* after, const void*, size_t n, int mode) {
    Call call("cuStreamBeginCaptureToGraph %p", (void*)stream);
    TRY(ready());
    if (!known(graph, "graph")) return CUDA_ERROR_INVALID_VALUE;
    TRY(nodes_known(graph, after, n));
    return begin_capture(stream, mode, graph, n > 0 ? std::vector<Node*>(after, after + n) : std::vector<Node*>());
}

// ---- graphs

EXPORT CUresult cuGraphCreate(CUgraph* graph, unsigned flags) {
    Call call("cuGraphCreate %u", flags);
    TRY(ready());
    if (graph == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    *graph = new Graph(current);
    return CUDA_SUCCESS;
}

static void destroy(Graph* g) {
    g->alive = false;
    for (Node* n : g->nodes) {
        n->alive = false;
        if (n->body != nullptr) destroy(n->body);
    }
}

EXPORT CUresult cuGraphDestroy(CUgraph graph) {
    Call call("cuGraphDestroy");
    TRY(ready());
    if (!known(graph, "graph")) REFUSE(CUDA_ERROR_INVALID_VALUE, "%p is no graph", (void*)graph);
    if (graph->owned) REFUSE(CUDA_ERROR_INVALID_VALUE, "the body of a conditional node belongs to its graph");
    destroy(graph);
    return CUDA_SUCCESS;
}

EXPORT CUresult cuGraphGetNodes(CUgraph graph, CUgraphNode* nodes, size_t* count) {
    Call call("cuGraphGetNodes");
    TRY(ready());
    if (!known(graph, "graph") || count == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (nodes != nullptr) {
        for (size_t i = 0; i < *count; i++) nodes[i] = i < graph->nodes.size() ? graph->nodes[i] : nullptr;
        *count = std::min(*count, graph->nodes.size());
    } else {
        *count = graph->nodes.size();
    }
    return CUDA_SUCCESS;
}

EXPORT CUresult cuGraphConditionalHandleCreate(CUgraphConditionalHandle* handle, CUgraph graph, CUcontext context, unsigned value, unsigned flags) {
    Call call("cuGraphConditionalHandleCreate %u %u", value, flags);
    TRY(ready());
    if (handle == nullptr || !known(graph, "graph") || flags > 1) return CUDA_ERROR_INVALID_VALUE;
    if (context != nullptr && !known(context, "context")) return CUDA_ERROR_INVALID_VALUE;
    *handle = ++condition_count + 0x100000000ull;
    graph->conditions[*handle] = {value, flags == 1};
    return CUDA_SUCCESS;
}

static CUresult add(CUgraphNode* out, CUgraph graph, const CUgraphNode* after, size_t n, CUgraphNodeParams* p) {
    TRY(ready());
    if (out == nullptr || p == nullptr || !known(graph, "graph")) return CUDA_ERROR_INVALID_VALUE;
    TRY(nodes_known(graph, after, n));
    const std::vector<Node*> before = n > 0 ? std::vector<Node*>(after, after + n) : std::vector<Node*>();
    if (p->type == NODE_EMPTY) {
        *out = add_node(graph, std::make_shared<Operation>(NODE_EMPTY, "nothing", nullptr), before);
        return CUDA_SUCCESS;
    }
    if (p->type == NODE_KERNEL) {
        const CUkernelNodeParams& k = p->kernel;
        Op op;
        TRY(kernel_operation({k.func, {k.gridDimX, k.gridDimY, k.gridDimZ}, {k.blockDimX, k.blockDimY, k.blockDimZ}, k.sharedMemBytes},
                             k.kernelParams, k.extra, op));
        *out = add_node(graph, op, before);
        return CUDA_SUCCESS;
    }
    if (p->type != NODE_CONDITIONAL) REFUSE(CUDA_ERROR_NOT_SUPPORTED, "a node of type %d, which is not here", p->type);
    CUconditionalNodeParams& c = p->conditional;
    if ((c.type != CONDITIONAL_IF && c.type != CONDITIONAL_WHILE) || c.size != 1) return CUDA_ERROR_INVALID_VALUE;
    if (graph->conditions.count(c.handle) == 0)
        REFUSE(CUDA_ERROR_INVALID_VALUE, "a conditional node with a handle that was not made for its graph");
    for (Node* other : graph->nodes)
        if (other->type == NODE_CONDITIONAL && other->handle == c.handle)
            REFUSE(CUDA_ERROR_INVALID_VALUE, "two conditional nodes of one handle");
    Node* node = add_node(graph, std::make_shared<Operation>(NODE_CONDITIONAL, "condition", nullptr), before);
    node->conditional = c.type;
    node->handle = c.handle;
    node->body = new Graph(graph->context);
    node->body->owned = true;
    static std::deque<Graph*> bodies;  // the caller reads the array after the call
    bodies.push_back(node->body);
    c.phGraph_out = &bodies.back();
    *out = node;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuGraphAddNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* after, size_t n, CUgraphNodeParams* p) {
    Call call("cuGraphAddNode %d", p != nullptr ? p->type : -1);
    return add(node, graph, after, n, p);
}

EXPORT CUresult cuGraphAddNode_v2(CUgraphNode* node, CUgraph graph, const CUgraphNode* after, const void*, size_t n, CUgraphNodeParams* p) {
    Call call("cuGraphAddNode_v2 %d", p != nullptr ? p->type : -1);
    return add(node, graph, after, n, p);
}

// ---- graphs that can be launched

struct Step {
    Op op;
    NodeType type;
    std::vector<size_t> after;  // by number
    int conditional;
    u64 handle;
    std::shared_ptr<struct Program> body;
};
// the nodes of a graph, in an order that keeps to the dependencies, else the latest first
struct Program {
    std::vector<Step> steps;  // by number
    std::vector<size_t> order;
    std::map<u64, Graph::Condition> conditions;
};

struct GraphExec : Handle {
    Context* context;
    std::shared_ptr<Program> program;
    std::map<u64, Graph::Condition> conditions;  // their values as the last launch left them
    GraphExec(Context* c, std::shared_ptr<Program> p) : Handle("exec"), context(c), program(std::move(p)) {}
};

static CUresult program_of(Graph* g, bool within, std::shared_ptr<Program>& out) {
    auto p = std::make_shared<Program>();
    p->conditions = g->conditions;
    for (Node* n : g->nodes) {
        Step s{n->op, n->type, {}, n->conditional, n->handle, nullptr};
        for (Node* a : n->after) s.after.push_back(a->number);
        if (within && n->type == NODE_HOST) REFUSE(CUDA_ERROR_NOT_SUPPORTED, "a function of the host's in the body of a conditional node");
        if (n->body != nullptr) {
            TRY(program_of(n->body, true, s.body));
            p->conditions.insert(s.body->conditions.begin(), s.body->conditions.end());
        }
        p->steps.push_back(std::move(s));
    }
    std::vector<bool> done(p->steps.size());
    auto can = [&](size_t i) {
        return !done[i] && std::all_of(p->steps[i].after.begin(), p->steps[i].after.end(), [&](size_t a) { return done[a]; });
    };
    std::vector<size_t> waits(p->steps.size());
    std::vector<std::vector<size_t>> followers(p->steps.size());
    std::vector<size_t> open;
    for (size_t i = 0; i < p->steps.size(); i++) {
        waits[i] = p->steps[i].after.size();
        for (size_t a : p->steps[i].after) followers[a].push_back(i);
        if (can(i)) open.push_back(i);
    }
    while (!open.empty()) {
        auto latest = std::max_element(open.begin(), open.end());
        const size_t i = *latest;
        open.erase(latest);
        p->order.push_back(i);
        for (size_t f : followers[i])
            if (--waits[f] == 0) open.push_back(f);
    }
    if (p->order.size() != p->steps.size()) REFUSE(CUDA_ERROR_INVALID_VALUE, "the nodes of a graph wait for each other");
    out = p;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuGraphInstantiateWithFlags(CUgraphExec* exec, CUgraph graph, u64 flags) {
    Call call("cuGraphInstantiateWithFlags %llu", flags);
    TRY(ready());
    if (exec == nullptr || !known(graph, "graph")) return CUDA_ERROR_INVALID_VALUE;
    // freeing at launch, uploading, priorities of nodes; launches from the device are not here
    if ((flags & ~11ull) != 0) return CUDA_ERROR_INVALID_VALUE;
    std::shared_ptr<Program> p;
    TRY(program_of(graph, false, p));
    *exec = new GraphExec(current, p);
    (*exec)->conditions = p->conditions;
    return CUDA_SUCCESS;
}

static void run_program(Context* c, const Program& p);

static void run_step(Context* c, const Step& s) {
    if (s.type == NODE_CONDITIONAL) {
        const unsigned& value = (*conditions_now)[s.handle].value;
        if (s.conditional == CONDITIONAL_IF && value != 0) run_program(c, *s.body);
        while (s.conditional == CONDITIONAL_WHILE && value != 0 && c->lost == CUDA_SUCCESS) run_program(c, *s.body);
    } else if (s.op->run) {
        s.op->run(c);
    }
}

static void run_program(Context* c, const Program& p) {
    for (size_t i : p.order)
        if (c->lost == CUDA_SUCCESS) run_step(c, p.steps[i]);
}

EXPORT CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream) {
    Call call("cuGraphLaunch %zu %p", known(exec, "exec") ? exec->program->steps.size() : 0, (void*)stream);
    TRY(ready());
    if (!known(exec, "exec")) REFUSE(CUDA_ERROR_INVALID_VALUE, "%p is no graph that can be launched", (void*)exec);
    Stream* s;
    TRY(stream_of(stream, s));
    const std::shared_ptr<Program> p = exec->program;
    bool host = false;
    for (const Step& step : p->steps) host = host || (step.op != nullptr && step.op->host);
    auto op = std::make_shared<Operation>(NODE_GRAPH, "graph", [exec, p](Context* c) {
        for (const auto& each : p->conditions)
            if (each.second.reset) exec->conditions[each.first] = each.second;
        std::map<u64, Graph::Condition>* outer = conditions_now;
        conditions_now = &exec->conditions;
        run_program(c, *p);
        conditions_now = outer;
    });
    op->host = host;
    return submit(s, op);
}

EXPORT CUresult cuGraphUpload(CUgraphExec exec, CUstream stream) {
    Call call("cuGraphUpload %p", (void*)stream);
    TRY(ready());
    if (!known(exec, "exec")) return CUDA_ERROR_INVALID_VALUE;
    Stream* s;
    return stream_of(stream, s);
}

EXPORT CUresult cuGraphExecDestroy(CUgraphExec exec) {
    Call call("cuGraphExecDestroy");
    TRY(ready());
    if (!known(exec, "exec")) REFUSE(CUDA_ERROR_INVALID_VALUE, "%p is no graph that can be launched", (void*)exec);
    exec->alive = false;
    return CUDA_SUCCESS;
}

// what an update may not change: 0, or the number that says what it was
static int difference(const Program& a, const Program& b, size_t& at) {
    enum { TOPOLOGY = 2, TYPE = 3, PARAMETERS = 5, NOT_SUPPORTED = 6 };
    at = 0;
    if (a.steps.size() != b.steps.size()) return TOPOLOGY;
    for (size_t i = 0; i < a.steps.size(); i++) {
        const Step &x = a.steps[i], &y = b.steps[i];
        at = i;
        if (x.after != y.after) return TOPOLOGY;
        if (x.type != y.type) return TYPE;
        if (x.type == NODE_CONDITIONAL) return NOT_SUPPORTED;
        if (x.op != nullptr && y.op != nullptr && x.type == NODE_MEMCPY && x.op->fingerprint != y.op->fingerprint) return PARAMETERS;
    }
    return 0;
}

EXPORT CUresult cuGraphExecUpdate_v2(CUgraphExec exec, CUgraph graph, CUgraphExecUpdateResultInfo* info) {
    Call call("cuGraphExecUpdate_v2");
    TRY(ready());
    if (!known(exec, "exec") || !known(graph, "graph") || info == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *info = {0, nullptr, nullptr};
    std::shared_ptr<Program> p;
    TRY(program_of(graph, false, p));
    size_t at;
    info->result = difference(*exec->program, *p, at);
    if (info->result != 0) {
        if (at < graph->nodes.size()) info->errorNode = graph->nodes[at];
        return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
    }
    exec->program = p;
    return CUDA_SUCCESS;
}
