//! Loops and branches inside of captured graphs: nodes that the GPU repeats, or skips, by a number that a kernel sets.
//!
//! A conditional node holds a graph of its own. What it does is captured into that graph from a second stream, while the
//! first goes on after the node. Drivers have such nodes since CUDA 12.4.

use super::gpu::{Gpu, Queue, driver_error};
use super::modules::{Function, load, param};
use super::nvrtc::Nvrtc;
use crate::grid::Address;
use cudarc::driver::{DriverError, result, sys};
use gradloom_ir::{Error, Result};

/// The first driver whose graphs have conditional nodes.
const SINCE: i32 = 12040;

/// `set_loop` hands a flag to its node, `set_branch` whether an index, clamped, names the node's branch.
const KERNELS: &str = r#"#ifndef GRADLOOM_SOFTWARE_GPU
extern "C" __device__ void cudaGraphSetConditional(unsigned long long handle, unsigned int value);
#endif
extern "C" __global__ void set_loop(unsigned long long handle, const bool* flag) {
    cudaGraphSetConditional(handle, *flag ? 1u : 0u);
}
extern "C" __global__ void set_branch(unsigned long long handle, const int* index, int branch, int last) {
    const int i = *index < 0 ? 0 : *index > last ? last : *index;
    cudaGraphSetConditional(handle, i == branch ? 1u : 0u);
}
"#;

/// The kernels that set conditions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conditions {
    set_loop: Function,
    set_branch: Function,
}

impl Conditions {
    /// In the thread's current context; `None` if the driver has no conditional nodes.
    pub(super) fn load(gpu: &Gpu) -> Result<Option<Conditions>> {
        let mut version = 0;
        // SAFETY: the place is written.
        let known = unsafe { sys::cuDriverGetVersion(&mut version) }.result();
        known.map_err(|e| driver_error("the driver's version is not known", e))?;
        if version < SINCE {
            return Ok(None);
        }
        // the driver links the function that sets a condition when it loads PTX
        let code = Nvrtc::find()?.compile_for_linking(KERNELS, gpu.architecture())?;
        let failed = |e| driver_error("kernels that set conditions cannot be loaded", e);
        // SAFETY: the code is a whole module that ends with a zero byte.
        let [set_loop, set_branch] = unsafe { load(&code, [c"set_loop", c"set_branch"]) }.map_err(failed)?;
        Ok(Some(Conditions { set_loop, set_branch }))
    }
}

/// What decides whether a node's graph runs.
#[derive(Clone, Copy)]
pub(super) enum Condition {
    /// Again and again while the bool at the address is true.
    While(Address),
    /// Once, if the i32 at `index`, clamped to `0..=last`, is `branch`.
    Branch { index: Address, branch: i32, last: i32 },
}

impl Condition {
    /// Queues the kernel that sets the node's condition.
    fn set(self, kernels: &Conditions, handle: u64, stream: sys::CUstream) -> std::result::Result<(), DriverError> {
        let (function, mut params) = match &self {
            Condition::While(flag) => (kernels.set_loop, vec![param(&handle), param(flag)]),
            Condition::Branch { index, branch, last } => {
                (kernels.set_branch, vec![param(&handle), param(index), param(branch), param(last)])
            }
        };
        // SAFETY: the params are those of the kernel, and live until they are read, before this returns.
        unsafe { function.launch(1, 1, stream, &mut params) }
    }
}

/// The graph that a stream is captured into, and the nodes that what comes next follows.
fn captured(stream: sys::CUstream) -> std::result::Result<(sys::CUgraph, Vec<sys::CUgraphNode>), DriverError> {
    let mut status = sys::CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE;
    let (mut graph, mut nodes, mut count) = (std::ptr::null_mut(), std::ptr::null(), 0);
    // SAFETY: all places are written; the nodes are the driver's and are copied before it is called again.
    unsafe {
        let id = std::ptr::null_mut();
        sys::cuStreamGetCaptureInfo_v2(stream, &mut status, id, &mut graph, &mut nodes, &mut count).result()?;
        let nodes = if count == 0 { Vec::new() } else { std::slice::from_raw_parts(nodes, count).to_vec() };
        Ok((graph, nodes))
    }
}

/// Adds a node under a condition to what the queue's stream captures, and captures `body` into it.
pub(super) fn conditional(
    gpu: &Gpu,
    queue: &mut Queue,
    condition: Condition,
    body: &mut dyn FnMut(&mut Queue) -> Result<()>,
) -> Result<()> {
    let kernels = gpu.conditions().ok_or_else(|| Error::internal("cuda", "the driver has no conditional nodes"))?;
    let failed = |e| driver_error("a loop or branch cannot be captured", e);
    let outer = queue.stream;
    let depth = queue.streams.iter().position(|&s| s == outer).map_or(0, |i| i + 1);
    let inner = *queue.streams.get(depth).ok_or_else(|| Error::internal("cuda", "loops are nested too deep"))?;
    let (graph, _) = captured(outer).map_err(failed)?;
    let mut handle = 0;
    // SAFETY: the graph is being captured; the context is the GPU's.
    unsafe { sys::cuGraphConditionalHandleCreate(&mut handle, graph, gpu.context(), 0, 0) }.result().map_err(failed)?;
    condition.set(&kernels, handle, outer).map_err(failed)?;
    let (graph, after) = captured(outer).map_err(failed)?;
    let (kind, repeats) = match condition {
        Condition::While(_) => (sys::CUgraphConditionalNodeType::CU_GRAPH_COND_TYPE_WHILE, true),
        Condition::Branch { .. } => (sys::CUgraphConditionalNodeType::CU_GRAPH_COND_TYPE_IF, false),
    };
    // SAFETY: of the params, which are plain numbers, those of a conditional node are set and read; the driver gives the
    // node's graph back in them, and keeps it as long as the node. Capturing on the inner stream ends whatever `body` returns.
    let (done, ended) = unsafe {
        let mut params: sys::CUgraphNodeParams = std::mem::zeroed();
        params.type_ = sys::CUgraphNodeType::CU_GRAPH_NODE_TYPE_CONDITIONAL;
        params.__bindgen_anon_1.conditional = sys::CUDA_CONDITIONAL_NODE_PARAMS {
            handle,
            type_: kind,
            size: 1,
            phGraph_out: std::ptr::null_mut(),
            ctx: gpu.context(),
        };
        let mut node = std::ptr::null_mut();
        let added =
            sys::cuGraphAddNode_v2(&mut node, graph, after.as_ptr(), std::ptr::null(), after.len(), &mut params);
        added.result().map_err(failed)?;
        let set = sys::CUstreamUpdateCaptureDependencies_flags::CU_STREAM_SET_CAPTURE_DEPENDENCIES as u32;
        sys::cuStreamUpdateCaptureDependencies(outer, &mut node, 1, set).result().map_err(failed)?;
        let own = *params.__bindgen_anon_1.conditional.phGraph_out;
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        sys::cuStreamBeginCaptureToGraph(inner, own, std::ptr::null(), std::ptr::null(), 0, mode)
            .result()
            .map_err(failed)?;
        queue.stream = inner;
        let mut done = body(queue);
        if done.is_ok() && repeats {
            done = condition.set(&kernels, handle, inner).map_err(failed);
        }
        queue.stream = outer;
        (done, result::stream::end_capture(inner))
    };
    done?;
    ended.map(drop).map_err(failed)
}
