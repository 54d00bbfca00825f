//! Memory of compiled programs: a steady-state call allocates only its results, and intermediates share one arena.

use gradloom_backends::{Buffer, Device, Executable, compile_for};
use gradloom_ir::parse;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|c| c.set(c.get() + 1));
        // SAFETY: the caller's contract is that of the system's allocator.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(p, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn exe(text: &str) -> Executable {
    compile_for(&parse(text).unwrap_or_else(|e| panic!("{e}")), Device::Cpu).unwrap_or_else(|e| panic!("{e}"))
}

/// Allocations of one call after the first two.
fn allocations(exe: &Executable, args: &[Arc<Buffer>]) -> usize {
    let mut count = 0;
    for _ in 0..3 {
        let before = COUNT.get();
        exe.run(args).unwrap_or_else(|e| panic!("{e}"));
        count = COUNT.get() - before;
    }
    count
}

#[test]
fn a_steady_state_call_allocates_only_its_results() {
    let arg = || vec![Arc::new(Buffer::zeroed(4 * 64))];
    let one = exe("graph(%0: f32[64]) { %1 = sine(%0) : f32[64] return %1 }");
    let many = exe("graph(%0: f32[64]) {
        %1 = sort(%0) {axis = 0, num_keys = 1} : f32[64]
        %2 = cumulative(%1) {kind = \"sum\", axis = 0, reverse = false} : f32[64]
        %3 = reduce(%2) {kind = \"sum\", axes = [0]} : f32[]
        %4 = broadcast_in_dim(%3) {shape = [64], dims = []} : f32[64]
        %5 = multiply(%2, %4) : f32[64]
        %6, %7 = scan(%5, %5) {body = graph(%0: f32[64], %1: f32[]) {
            %2 = reverse(%0) {axes = [0]} : f32[64]
            %3 = cumulative(%2) {kind = \"max\", axis = 0, reverse = false} : f32[64]
            return %3, %1
        }, length = 64, reverse = false, consts = 0, carry = 1} : f32[64], f32[64]
        %8 = add(%6, %7) : f32[64]
        return %8
    }");
    assert_eq!(allocations(&many, &arg()), allocations(&one, &arg()));
}

#[test]
fn a_chain_of_large_arrays_needs_two_places() {
    // sorts are never fused, so each link of the chain is stored
    let mut text = String::from("graph(%0: f32[4096]) {");
    for i in 0..20 {
        text += &format!(" %{} = sort(%{i}) {{axis = 0, num_keys = 1}} : f32[4096]", i + 1);
    }
    let exe = exe(&(text + " return %20 }"));
    // two arrays take turns; the rest is what a sort itself needs
    let array = 4 * 4096;
    assert!(exe.cost().peak_bytes <= 6 * array, "{}", exe.cost());
    assert_eq!(exe.cost().kernels, 20);
}

/// Runs on `0, 1, ..` as plain arguments, as the interpreter does, and with arguments that may be overwritten.
fn check(text: &str) -> Executable {
    let g = parse(text).unwrap_or_else(|e| panic!("{e}"));
    let (exe, interp) = (exe(text), compile_for(&g, Device::Interp).unwrap_or_else(|e| panic!("{e}")));
    let numbers =
        |n: usize| (0..n).map(|i| (i * 37 % 101) as f32 - 50.0).flat_map(f32::to_ne_bytes).collect::<Vec<u8>>();
    let args =
        || g.input_types().iter().map(|t| Arc::new(Buffer::from_bytes(&numbers(t.bytes() / 4)))).collect::<Vec<_>>();
    let run = |e: &Executable| e.run(&args()).unwrap_or_else(|e| panic!("{e}"));
    let want = run(&interp);
    // twice: a frame is used again
    for got in [run(&exe), run(&exe), exe.run_donating(args().into(), 0).unwrap_or_else(|e| panic!("{e}"))] {
        for (w, g) in want.iter().zip(&got) {
            let numbers = |b: &Buffer| -> Vec<f32> {
                b.bytes().chunks_exact(4).map(|c| f32::from_ne_bytes([c[0], c[1], c[2], c[3]])).collect()
            };
            let (w, g) = (numbers(w), numbers(g));
            assert!(w.iter().zip(&g).all(|(w, g)| (w - g).abs() <= 1e-3 * (1.0 + w.abs())), "{text}");
        }
    }
    exe
}

#[test]
fn intermediates_lie_in_results_that_are_not_written_yet() {
    let exe = check(
        "graph(%0: f32[64,64]) {
            %1 = dot_general(%0, %0) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[64,64]
            %2 = reduce(%1) {kind = \"max\", axes = [1]} : f32[64]
            %3 = broadcast_in_dim(%2) {shape = [64, 64], dims = [0]} : f32[64,64]
            %4 = add(%0, %3) : f32[64,64]
            return %4
        }",
    );
    assert!(exe.cost().peak_bytes < 4 * 64 * 64, "{}", exe.cost());
}

#[test]
fn rows_of_a_scan_are_written_where_they_were_read() {
    let array = 4 * 64 * 64 * 32;
    let exe = check(
        "graph(%0: f32[32,64,64], %1: f32[64,64]) {
            %2 = dot_general(%0, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [2], rhs_contract = [0]} : f32[32,64,64]
            %3 = scan(%1, %2) {body = graph(%0: f32[64,64], %1: f32[64,64]) {
                %2 = dot_general(%0, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[64,64]
                %3 = tanh(%2) : f32[64,64]
                %4 = add(%3, %1) : f32[64,64]
                return %4
            }, length = 32, reverse = false, consts = 1, carry = 0} : f32[32,64,64]
            %4 = dot_general(%3, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [2], rhs_contract = [0]} : f32[32,64,64]
            %5 = reduce(%4) {kind = \"max\", axes = [0]} : f32[64,64]
            %6 = reduce(%3) {kind = \"max\", axes = [0]} : f32[64,64]
            return %5, %6
        }",
    );
    // the last product has a place of its own
    assert!(exe.cost().peak_bytes < 2 * array + (1 << 18), "{}", exe.cost());
}

#[test]
fn complex_transforms_work_in_place() {
    let exe = check(
        "graph(%0: f32[64,128], %1: f32[64,128]) {
            %2 = complex(%0, %1) : c64[64,128]
            %3 = fft(%2) {kind = \"fft\", lengths = [128]} : c64[64,128]
            %4 = reduce(%3) {kind = \"sum\", axes = [0]} : c64[128]
            %5 = real(%4) : f32[128]
            return %5
        }",
    );
    assert!(exe.cost().peak_bytes < 8 * 64 * 128 * 3 / 2, "{}", exe.cost());
}
