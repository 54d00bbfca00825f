//! Workers stay awake for a program, and go to sleep again. In a process of its own, since what is counted is the process's.

use gradloom_library::parts::{Product, Strides, multiply_f32, workers_awake};
use gradloom_library::{as_program, call_workers};
use std::time::{Duration, Instant};

const N: usize = 300;

/// The product of two matrices of ones, on all threads.
fn multiply() {
    let s = Strides { row: N as isize, col: 1 };
    let mut out = vec![0.0; N * N];
    let ones = vec![1.0; N * N];
    multiply_f32(Product { m: N, n: N, k: N, dst: s, lhs: s, rhs: s }, &mut out, &ones, &ones, false, true);
    assert!(out.iter().all(|&x| x == N as f32));
}

/// Until no worker looks for work; the limit is for machines that others use.
#[track_caller]
fn all_sleep() {
    let begin = Instant::now();
    while workers_awake() > 0 {
        assert!(begin.elapsed() < Duration::from_secs(20), "{} workers are awake", workers_awake());
        std::thread::yield_now();
    }
}

/// Calls workers until one looks for work; it may have left again before it is seen.
#[track_caller]
fn some_come() {
    let begin = Instant::now();
    while workers_awake() == 0 {
        assert!(begin.elapsed() < Duration::from_secs(20), "no worker comes");
        call_workers();
        std::thread::yield_now();
    }
}

#[test]
fn workers_come_and_sleep() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("a pool");
    pool.install(|| {
        as_program(|| {
            for _ in 0..50 {
                multiply();
            }
            // a step of one thread, however long: they leave, and come when they are called
            all_sleep();
            some_come();
            multiply();
            // a program in a program, and one that panics
            as_program(call_workers);
            let panics = std::panic::catch_unwind(|| as_program(|| std::panic::panic_any(1)));
            assert!(panics.is_err());
        });
        all_sleep();
        call_workers(); // no program runs
        all_sleep();
    });
}
