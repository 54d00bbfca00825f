// Streams and events. What a stream gets is queued, and done when something waits for it; what nothing orders is done in the
// order that helps least.
#include "driver.h"
#include <algorithm>
#include <chrono>
#include <thread>

static const size_t LONGEST_QUEUE = 512;

thread_local Context* running = nullptr;

Stream::Stream(Context* c, unsigned f, int p) : Handle("stream"), context(c), flags(f), priority(p) { c->streams.push_back(this); }

static bool blocking(const Stream* s) { return s != s->context->legacy && (s->flags & STREAM_NON_BLOCKING) == 0; }

CUresult stream_of(CUstream handle, Stream*& s, bool any_context) {
    if ((u64)handle == 0 || (u64)handle == 1) {
        s = current->legacy;
    } else if ((u64)handle == 2) {
        Stream*& mine = current->per_thread[this_thread()];
        if (mine == nullptr) mine = new Stream(current, 0, 0);
        s = mine;
    } else {
        if (!known(handle, "stream")) REFUSE(CUDA_ERROR_INVALID_HANDLE, "%p is no stream", (void*)handle);
        s = handle;
    }
    if (s->context != current && !any_context) REFUSE(CUDA_ERROR_INVALID_HANDLE, "a stream of a context that is not current");
    if (s->capture != nullptr && s->capture->invalidated) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    return CUDA_SUCCESS;
}

CUresult implicit_wait(Context* c, const char* name) {
    for (Stream* s : c->streams)
        if (s->alive && blocking(s) && capturing(s)) {
            invalidate(s->capture);
            REFUSE(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, "%s uses the legacy stream while a stream that waits for it is captured", name);
        }
    return unsafe_call(name);
}

CUresult submit(Stream* s, Op op, std::vector<Position> after) {
    if (capturing(s)) {
        s->tips = {add_node(s->capture->graph, op, s->tips)};
        return CUDA_SUCCESS;
    }
    Context* c = s->context;
    if (s == c->legacy) {
        for (Stream* other : c->streams) {
            if (!blocking(other)) continue;
            if (other->alive && capturing(other)) {
                invalidate(other->capture);
                REFUSE(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, "work for the legacy stream while a stream that waits for it is captured");
            }
            if (other->done < other->submitted) after.push_back({other, other->submitted});
        }
    } else if (blocking(s) && c->legacy->done < c->legacy->submitted) {
        after.push_back({c->legacy, c->legacy->submitted});
    }
    s->queue.push_back({std::move(op), std::move(after)});
    s->submitted += 1;
    if (s->queue.size() > LONGEST_QUEUE) run_to(s, s->submitted);
    return CUDA_SUCCESS;
}

void run_to(Stream* s, u64 at) {
    while (s->done < at) {
        if (s->busy) {
            // another thread runs it, and has given up the lock for a function of the host's
            work_done.wait(*held);
            continue;
        }
        s->busy = true;
        Stream::Item& item = s->queue.front();
        for (const Position& p : item.after) run_to(p.stream, p.at);
        Context* c = s->context;
        Context* outer = running;
        running = c;
        if (c->lost == CUDA_SUCCESS && item.op->run) item.op->run(c);
        running = outer;
        s->queue.pop_front();
        s->done += 1;
        s->busy = false;
        work_done.notify_all();
    }
}

void run_all(Context* c) {
    // the latest first; of a copy, since the list may change while functions of the host's run
    const std::vector<Stream*> all = c->streams;
    for (size_t i = all.size(); i-- > 0;) run_to(all[i], all[i]->submitted);
    auto drained = [](Stream* s) { return !s->alive && s->queue.empty(); };
    c->streams.erase(std::remove_if(c->streams.begin(), c->streams.end(), drained), c->streams.end());
}

CUresult after_wait(Context* c) {
    check_red_zones();
    return c->lost;
}

// ---- streams

EXPORT CUresult cuStreamCreateWithPriority(CUstream* stream, unsigned flags, int priority) {
    Call call("cuStreamCreateWithPriority %u %d", flags, priority);
    TRY(ready());
    if (stream == nullptr || flags > STREAM_NON_BLOCKING) return CUDA_ERROR_INVALID_VALUE;
    *stream = new Stream(current, flags, std::min(0, std::max(-5, priority)));
    return CUDA_SUCCESS;
}

EXPORT CUresult cuStreamCreate(CUstream* stream, unsigned flags) {
    Call call("cuStreamCreate %u", flags);
    TRY(ready());
    if (stream == nullptr || flags > STREAM_NON_BLOCKING) return CUDA_ERROR_INVALID_VALUE;
    *stream = new Stream(current, flags, 0);
    return CUDA_SUCCESS;
}

EXPORT CUresult cuStreamDestroy_v2(CUstream stream) {
    Call call("cuStreamDestroy_v2 %p", (void*)stream);
    TRY(ready());
    if ((u64)stream <= 2) return CUDA_ERROR_INVALID_HANDLE;
    if (!known(stream, "stream")) REFUSE(CUDA_ERROR_INVALID_HANDLE, "%p is no stream", (void*)stream);
    if (stream->capture != nullptr) invalidate(stream->capture);
    // what it holds is still done, when something waits for the context
    stream->alive = false;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuStreamSynchronize(CUstream stream) {
    Call call("cuStreamSynchronize %p", (void*)stream);
    TRY(ready());
    Stream* s;
    TRY(stream_of(stream, s, true));
    if (capturing(s)) {
        invalidate(s->capture);
        REFUSE(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "cuStreamSynchronize of a stream that is captured");
    }
    if (s == s->context->legacy) {
        TRY(implicit_wait(s->context, "cuStreamSynchronize"));
        const std::vector<Stream*> all = s->context->streams;
        for (size_t i = all.size(); i-- > 0;)
            if (blocking(all[i])) run_to(all[i], all[i]->submitted);
    }
    run_to(s, s->submitted);
    return after_wait(s->context);
}

EXPORT CUresult cuStreamQuery(CUstream stream) {
    Call call("cuStreamQuery %p", (void*)stream);
    TRY(ready());
    Stream* s;
    TRY(stream_of(stream, s, true));
    if (capturing(s)) {
        invalidate(s->capture);
        REFUSE(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "cuStreamQuery of a stream that is captured");
    }
    if (s->done == s->submitted) return CUDA_SUCCESS;
    // so that a host that asks again and again sees it end
    run_to(s, s->submitted);
    const CUresult result = after_wait(s->context);
    return result != CUDA_SUCCESS ? result : CUDA_ERROR_NOT_READY;
}

EXPORT CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags) {
    Call call("cuStreamWaitEvent %p %p", (void*)stream, (void*)event);
    TRY(ready());
    Stream* s;
    TRY(stream_of(stream, s));
    if (!known(event, "event")) REFUSE(CUDA_ERROR_INVALID_HANDLE, "%p is no event", (void*)event);
    if (flags > 1) return CUDA_ERROR_INVALID_VALUE;
    if (!event->recorded) return CUDA_SUCCESS;
    if (event->capture != nullptr) {
        const std::shared_ptr<Capture>& c = event->capture;
        if (c->ended) REFUSE(CUDA_ERROR_INVALID_VALUE, "waiting for an event of a capture that has ended");
        if (c->invalidated) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
        if (s->capture != nullptr && s->capture != c) {
            invalidate(c);
            invalidate(s->capture);
            REFUSE(CUDA_ERROR_STREAM_CAPTURE_MERGE, "waiting for an event of another capture");
        }
        if (s->capture == nullptr) {
            if (s == s->context->legacy) REFUSE(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, "the legacy stream cannot join a capture");
            s->capture = c;
            s->tips.clear();
            c->streams.push_back(s);
        }
        for (Node* n : event->tips)
            if (std::find(s->tips.begin(), s->tips.end(), n) == s->tips.end()) s->tips.push_back(n);
        return CUDA_SUCCESS;
    }
    if (capturing(s)) {
        invalidate(s->capture);
        REFUSE(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "a captured stream waits for an event outside of the capture");
    }
    if (event->at.stream->done >= event->at.at) return CUDA_SUCCESS;
    return submit(s, std::make_shared<Operation>(NODE_EMPTY, "wait", nullptr), {event->at});
}

// ---- events

EXPORT CUresult cuEventCreate(CUevent* event, unsigned flags) {
    Call call("cuEventCreate %u", flags);
    TRY(ready());
    if (event == nullptr || flags > 7 || ((flags & EVENT_INTERPROCESS) && !(flags & EVENT_DISABLE_TIMING))) return CUDA_ERROR_INVALID_VALUE;
    *event = new Event(current, flags);
    return CUDA_SUCCESS;
}

EXPORT CUresult cuEventDestroy_v2(CUevent event) {
    Call call("cuEventDestroy_v2 %p", (void*)event);
    TRY(ready());
    if (!known(event, "event")) REFUSE(CUDA_ERROR_INVALID_HANDLE, "%p is no event", (void*)event);
    event->alive = false;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuEventRecord(CUevent event, CUstream stream) {
    Call call("cuEventRecord %p %p", (void*)event, (void*)stream);
    TRY(ready());
    if (!known(event, "event")) REFUSE(CUDA_ERROR_INVALID_HANDLE, "%p is no event", (void*)event);
    Stream* s;
    TRY(stream_of(stream, s, true));
    if (s->context != event->context) REFUSE(CUDA_ERROR_INVALID_HANDLE, "an event and a stream of different contexts");
    event->recorded = true;
    event->asked = false;
    if (capturing(s)) {
        event->capture = s->capture;
        event->tips = s->tips;
        return CUDA_SUCCESS;
    }
    event->capture = nullptr;
    auto time = std::make_shared<double>(-1);
    event->time = time;
    TRY(submit(s, std::make_shared<Operation>(NODE_EMPTY, "event", [time](Context*) { *time = now_ms(); })));
    event->at = {s, s->submitted};
    return CUDA_SUCCESS;
}

static CUresult event_known(CUevent event) {
    TRY(ready());
    if (!known(event, "event")) REFUSE(CUDA_ERROR_INVALID_HANDLE, "%p is no event", (void*)event);
    if (event->recorded && event->capture != nullptr) {
        invalidate(event->capture);
        REFUSE(CUDA_ERROR_CAPTURED_EVENT, "waiting for an event that was recorded in a capture");
    }
    return CUDA_SUCCESS;
}

static bool reached(const Event* e) { return !e->recorded || e->at.stream->done >= e->at.at; }

EXPORT CUresult cuEventQuery(CUevent event) {
    Call call("cuEventQuery %p", (void*)event);
    TRY(event_known(event));
    TRY(unsafe_call("cuEventQuery"));
    if (reached(event)) return CUDA_SUCCESS;
    run_to(event->at.stream, event->at.at);
    const CUresult result = after_wait(event->context);
    return result != CUDA_SUCCESS ? result : CUDA_ERROR_NOT_READY;
}

EXPORT CUresult cuEventSynchronize(CUevent event) {
    Call call("cuEventSynchronize %p", (void*)event);
    TRY(event_known(event));
    TRY(unsafe_call("cuEventSynchronize"));
    if (!reached(event)) run_to(event->at.stream, event->at.at);
    return after_wait(event->context);
}

static CUresult elapsed(float* ms, CUevent from, CUevent to) {
    TRY(event_known(from));
    TRY(event_known(to));
    if (ms == nullptr) return CUDA_ERROR_INVALID_VALUE;
    for (Event* e : {from, to})
        if (!e->recorded || (e->flags & EVENT_DISABLE_TIMING)) REFUSE(CUDA_ERROR_INVALID_HANDLE, "the time of an event that has none");
    if (!reached(from) || !reached(to)) return CUDA_ERROR_NOT_READY;
    *ms = (float)(*to->time - *from->time);
    return CUDA_SUCCESS;
}
EXPORT CUresult cuEventElapsedTime(float* ms, CUevent from, CUevent to) {
    Call call("cuEventElapsedTime");
    return elapsed(ms, from, to);
}
EXPORT CUresult cuEventElapsedTime_v2(float* ms, CUevent from, CUevent to) {
    Call call("cuEventElapsedTime_v2");
    return elapsed(ms, from, to);
}

// ---- functions of the host's

// A host may wait for such a function without a call to the driver, so a thread sees to it that it runs.
static void run_soon(Stream* s, u64 at) {
    std::thread([s, at] {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        std::unique_lock<std::mutex> lock(the_lock);
        held = &lock;
        run_to(s, at);
        held = nullptr;
    }).detach();
}

EXPORT CUresult cuLaunchHostFunc(CUstream stream, CUhostFn function, void* data) {
    Call call("cuLaunchHostFunc %p", (void*)stream);
    TRY(ready());
    Stream* s;
    TRY(stream_of(stream, s));
    if (function == nullptr) return CUDA_ERROR_INVALID_VALUE;
    auto op = std::make_shared<Operation>(NODE_HOST, "function of the host's", [function, data](Context*) {
        std::unique_lock<std::mutex>* mine = held;
        mine->unlock();
        in_host_function = true;
        function(data);
        in_host_function = false;
        mine->lock();
        held = mine;
    });
    op->host = true;
    TRY(submit(s, op));
    if (!capturing(s)) run_soon(s, s->submitted);
    return CUDA_SUCCESS;
}

// ---- work of libraries

// Queues `run` on a copy of the data, as the work of the library's function `name`.
EXPORT CUresult softwareGpuEnqueue(CUstream stream, const char* name, void (*run)(void*), const void* data, size_t bytes) {
    Call call("%s %p", name, (void*)stream);
    TRY(ready());
    Stream* s;
    TRY(stream_of(stream, s));
    auto mine = std::make_shared<std::vector<char>>((const char*)data, (const char*)data + bytes);
    const std::string label = name;
    auto op = std::make_shared<Operation>(NODE_KERNEL, label, [=](Context*) { run(mine->data()); });
    op->fingerprint.assign(label.begin(), label.end());
    return submit(s, op);
}

// Within `run`: the host's address of device memory, null (and the context lost) where it is none.
EXPORT void* softwareGpuTranslate(CUdeviceptr p, size_t bytes, const char* what) {
    return running != nullptr ? range(running, p, bytes, what) : nullptr;
}

// Whether an address lies in memory of the device that the host has not given back; at the time of a call.
EXPORT int softwareGpuIsMemory(CUdeviceptr p, size_t bytes) {
    std::unique_lock<std::mutex> lock(the_lock);
    Allocation* m = allocation_at(p);
    return m != nullptr && !m->given_back && p + bytes <= m->address + m->bytes;
}
