//! Workers that stay awake between the parallel parts of a program.
//!
//! A worker of the pool that finds no work sleeps after some ten microseconds; waking it takes as long again, and several times that
//! where processors are virtual and one without work is given away. Parallel steps of a program come one after the other with
//! steps of one thread between them, so each would begin with waking the others. While a program runs, workers look for work
//! for [`PATIENCE`] instead.

use rayon::Yield;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long a worker looks for work before it leaves the processor to others: longer than most steps of one thread.
const PATIENCE: Duration = Duration::from_micros(200);

/// Programs that run now.
static PROGRAMS: AtomicUsize = AtomicUsize::new(0);

/// Workers that look for work, or do what they found.
static AWAKE: AtomicUsize = AtomicUsize::new(0);

/// Whether workers were called and none has come yet.
static CALLED: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether this thread runs a program or looks for work. What it is given to do while it waits for others must not keep it:
    /// it would look for work when what it waits for is done.
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

/// This thread counts as busy, and something of this process as `counted`, until it is dropped, by a panic too.
struct Busy {
    counted: &'static AtomicUsize,
    before: bool,
}

impl Busy {
    fn with(counted: &'static AtomicUsize) -> Busy {
        counted.fetch_add(1, Ordering::Relaxed);
        Busy { counted, before: BUSY.replace(true) }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.counted.fetch_sub(1, Ordering::Relaxed);
        BUSY.set(self.before);
    }
}

/// Runs `f`, a whole program: workers that [`call_workers`] wakes look for work until it ends.
pub fn as_program<R>(f: impl FnOnce() -> R) -> R {
    let _busy = Busy::with(&PROGRAMS);
    f()
}

/// Wakes the workers for a parallel part of a program that begins now, and for those that follow; costs nothing if they are awake.
pub fn call_workers() {
    let needless = PROGRAMS.load(Ordering::Relaxed) == 0 || AWAKE.load(Ordering::Relaxed) > 0;
    if needless || CALLED.swap(true, Ordering::Relaxed) {
        return;
    }
    let caller = rayon::current_thread_index();
    rayon::spawn_broadcast(move |worker| {
        if Some(worker.index()) != caller {
            CALLED.store(false, Ordering::Relaxed);
            look_for_work();
        }
    });
}

/// How many workers look for work, or do what they found.
pub fn workers_awake() -> usize {
    AWAKE.load(Ordering::Relaxed)
}

/// Does what is to be done on the pool until no program runs, or nothing was to be done for [`PATIENCE`].
fn look_for_work() {
    if BUSY.get() {
        return;
    }
    let _busy = Busy::with(&AWAKE);
    let mut last = Instant::now();
    while PROGRAMS.load(Ordering::Relaxed) > 0 && last.elapsed() < PATIENCE {
        if rayon::yield_now() == Some(Yield::Executed) {
            last = Instant::now();
        } else {
            thread::yield_now(); // to other processes, if there are any
        }
    }
}
