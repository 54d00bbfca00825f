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
