//! How long each step of a program takes, beside what the machine can do.

use crate::{Prepared, Program, Step};
use gradloom_ir::{DType, Op, Result, Shape, Type};
use rayon::prelude::*;
use std::collections::HashMap;
use std::fmt::{self, Write};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Told of each step while a program runs.
pub(crate) trait Observer: Send {
    /// Runs a step, which is number `index` of `program`.
    fn step<R>(&mut self, program: &Program, index: usize, run: impl FnOnce(&mut Self) -> R) -> R;

    /// One for another thread.
    fn fork(&self) -> Self;

    /// Takes up what one of another thread was told.
    fn merge(&mut self, other: Self);
}

/// Nobody looks.
pub(crate) struct Unobserved;

impl Observer for Unobserved {
    #[inline(always)]
    fn step<R>(&mut self, _: &Program, _: usize, run: impl FnOnce(&mut Self) -> R) -> R {
        run(self)
    }

    fn fork(&self) -> Unobserved {
        Unobserved
    }

    fn merge(&mut self, _: Unobserved) {}
}

/// Runs of steps that are kept one by one, for the trace; later ones are only counted.
const MAX_EVENTS: usize = 1 << 16;

/// Measures steps.
pub(crate) struct Stopwatch {
    start: Instant,
    depth: usize,
    rows: Vec<StepProfile>,
    /// The row of a step of a program, which stays where it is while it runs.
    known: HashMap<(*const Program, usize), usize>,
    events: Vec<(usize, Duration, Duration)>,
}

// SAFETY: addresses of programs are compared, never followed.
unsafe impl Send for Stopwatch {}

impl Stopwatch {
    pub(crate) fn new() -> Stopwatch {
        Stopwatch { start: Instant::now(), depth: 0, rows: Vec::new(), known: HashMap::new(), events: Vec::new() }
    }

    pub(crate) fn finish(self) -> Profile {
        Profile { total: self.start.elapsed(), steps: self.rows, events: self.events }
    }
}

impl Observer for Stopwatch {
    fn step<R>(&mut self, program: &Program, index: usize, run: impl FnOnce(&mut Self) -> R) -> R {
        let key = (std::ptr::from_ref(program), index);
        let row = match self.known.get(&key) {
            Some(&row) => row,
            None => {
                let step = &program.steps[index];
                let (kind, name, flops) = match step {
                    Step::Kernel { name, kernel, .. } => ("kernel", name.clone(), kernel.cost),
                    Step::Library { call, .. } => ("library", call.name.clone(), call.flops),
                    Step::Host(call) => ("host", format!("{:?}", call.callback), 0),
                    Step::Control(c) => ("loop", c.describe().lines().next().unwrap_or_default().to_string(), 0),
                };
                let bytes = if kind == "loop" { 0 } else { program.step_bytes[index] };
                self.rows.push(StepProfile {
                    kind,
                    name,
                    depth: self.depth,
                    runs: 0,
                    time: Duration::ZERO,
                    flops,
                    bytes,
                });
                self.known.insert(key, self.rows.len() - 1);
                self.rows.len() - 1
            }
        };
        let start = self.start.elapsed();
        self.depth += 1;
        let result = run(self);
        self.depth -= 1;
        let time = self.start.elapsed() - start;
        self.rows[row].runs += 1;
        self.rows[row].time += time;
        if self.events.len() < MAX_EVENTS {
            self.events.push((row, start, time));
        }
        result
    }

    fn fork(&self) -> Stopwatch {
        Stopwatch { start: self.start, depth: self.depth, ..Stopwatch::new() }
    }

    fn merge(&mut self, other: Stopwatch) {
        let mut keys: Vec<_> = other.known.into_iter().collect();
        keys.sort_by_key(|&(_, row)| row);
        let mut rows = Vec::with_capacity(keys.len());
        for ((key, _), theirs) in keys.into_iter().zip(other.rows) {
            let row = *self.known.entry(key).or_insert(self.rows.len());
            match self.rows.get_mut(row) {
                Some(ours) => {
                    ours.runs += theirs.runs;
                    ours.time += theirs.time;
                }
                None => self.rows.push(theirs),
            }
            rows.push(row);
        }
        let room = MAX_EVENTS.saturating_sub(self.events.len());
        self.events.extend(other.events.into_iter().take(room).map(|(row, start, time)| (rows[row], start, time)));
    }
}

/// What one step of a program took.
#[derive(Clone, Debug)]
pub struct StepProfile {
    /// `kernel`, `library`, `host` or `loop`.
    pub kind: &'static str,
    /// What it computes, in short.
    pub name: String,
    /// Loops around it.
    pub depth: usize,
    /// How often it ran.
    pub runs: u64,
    /// All runs together, on all threads; of a loop with what is in it.
    pub time: Duration,
    /// Arithmetic operations of one run; 0 for loops, whose steps have their own.
    pub flops: u64,
    /// Bytes of what one run reads and writes; 0 for loops.
    pub bytes: u64,
}

impl StepProfile {
    /// Billions of arithmetic operations a second.
    pub fn gflops(&self) -> f64 {
        rate(self.flops * self.runs, self.time)
    }

    /// Billions of bytes a second.
    pub fn gbytes(&self) -> f64 {
        rate(self.bytes * self.runs, self.time)
    }
}

fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(1e-9) / 1e9
}

/// How long each step of one run took.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The whole run.
    pub total: Duration,
    /// The steps in the order in which they first began; those of loops below them.
    pub steps: Vec<StepProfile>,
    /// Step, start and time of single runs.
    events: Vec<(usize, Duration, Duration)>,
}

impl Profile {
    /// What was measured elsewhere: the whole run, its steps, and single runs as step, start and time.
    pub fn new(total: Duration, steps: Vec<StepProfile>, mut events: Vec<(usize, Duration, Duration)>) -> Profile {
        events.truncate(MAX_EVENTS);
        Profile { total, steps, events }
    }

    /// The trace in the format of Chrome and Perfetto: a JSON object to be opened in `ui.perfetto.dev` or
    /// `chrome://tracing`. Of loops with more than 65,536 steps it has the first.
    pub fn chrome_trace(&self) -> String {
        let mut s = String::from("{\"traceEvents\":[");
        for (i, (row, start, time)) in self.events.iter().enumerate() {
            let step = &self.steps[*row];
            let comma = if i > 0 { "," } else { "" };
            let micros = |d: &Duration| d.as_secs_f64() * 1e6;
            let _ = write!(
                s,
                "{comma}\n{{\"ph\":\"X\",\"pid\":1,\"tid\":1,\"name\":{},\"cat\":\"{}\",\"ts\":{:.3},\"dur\":{:.3},\
                 \"args\":{{\"flops\":{},\"bytes\":{}}}}}",
                json_string(&step.name),
                step.kind,
                micros(start),
                micros(time),
                step.flops,
                step.bytes
            );
        }
        s += "\n]}\n";
        s
    }
}

fn json_string(s: &str) -> String {
    let mut out = String::from('"');
    for c in s.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

impl fmt::Display for Profile {
    /// The steps, the longest first within each loop's level, with their part of the time and the rates reached.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ceilings = Ceilings::of_this_machine();
        writeln!(
            f,
            "{:.3} ms; this machine reaches {:.0} GFLOP/s in f32 products and {:.1} GB/s in copies",
            self.total.as_secs_f64() * 1e3,
            ceilings.gflops,
            ceilings.gbytes
        )?;
        writeln!(f, "{:>10} {:>6} {:>8} {:>9} {:>8}  step", "ms", "%", "runs", "GFLOP/s", "GB/s")?;
        self.rows(f, 0..self.steps.len(), 0)
    }
}

impl Profile {
    /// The steps of this range, which begins at this depth, longest first, each with its own below it.
    fn rows(&self, f: &mut fmt::Formatter<'_>, range: std::ops::Range<usize>, depth: usize) -> fmt::Result {
        let mut heads: Vec<usize> = range.clone().filter(|&i| self.steps[i].depth == depth).collect();
        let end = |i: usize| (i + 1..range.end).find(|&j| self.steps[j].depth <= depth).unwrap_or(range.end);
        let ends: HashMap<usize, usize> = heads.iter().map(|&i| (i, end(i))).collect();
        heads.sort_by_key(|&i| std::cmp::Reverse(self.steps[i].time));
        for i in heads {
            let s = &self.steps[i];
            let number = |x: f64| if x > 0.0 { format!("{x:.1}") } else { String::new() };
            writeln!(
                f,
                "{:10.4} {:6.1} {:8} {:>9} {:>8}  {}{} {}",
                s.time.as_secs_f64() * 1e3,
                100.0 * s.time.as_secs_f64() / self.total.as_secs_f64().max(1e-12),
                s.runs,
                number(s.gflops()),
                number(s.gbytes()),
                "  ".repeat(depth),
                s.kind,
                s.name
            )?;
            self.rows(f, i + 1..ends[&i], depth + 1)?;
        }
        Ok(())
    }
}

/// What the machine reaches with all threads.
#[derive(Clone, Copy, Debug)]
pub struct Ceilings {
    /// Billions of operations a second in a product of large f32 matrices.
    pub gflops: f64,
    /// Billions of bytes a second read and written by a copy that does not fit in a cache.
    pub gbytes: f64,
}

impl Ceilings {
    /// Measured on the first call, which takes a fraction of a second.
    pub fn of_this_machine() -> Ceilings {
        static MEASURED: OnceLock<Ceilings> = OnceLock::new();
        *MEASURED.get_or_init(|| Ceilings { gflops: measured_product().unwrap_or(0.0), gbytes: measured_copy() })
    }
}

fn fastest(runs: usize, mut run: impl FnMut()) -> Duration {
    let time = |_| {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    (0..runs).map(time).min().unwrap_or_default()
}

fn measured_product() -> Result<f64> {
    const N: usize = 768;
    let axes = |a: usize| Shape::from_slice(&[a]);
    let none = Shape::new();
    let op = Op::DotGeneral { lhs_batch: none.clone(), rhs_batch: none, lhs_contract: axes(1), rhs_contract: axes(0) };
    let ty = Type::new(DType::F32, &[N, N]);
    let call = Prepared::new(op, vec![ty.clone(), ty.clone()], std::slice::from_ref(&ty), None)?;
    let x = crate::Buffer::from_slice(&vec![0.5f32; N * N]);
    let (out, scratch) = (crate::Buffer::try_uninit(ty.bytes())?, crate::Buffer::try_uninit(call.scratch_bytes)?);
    let time = fastest(5, || {
        // SAFETY: operands and result have the types the call was prepared for, and the scratch its size.
        unsafe { call.run(&[x.as_ptr(), x.as_ptr()], &[out.as_mut_ptr()], scratch.as_mut_ptr()) }
    });
    Ok(rate(call.flops, time))
}

fn measured_copy() -> f64 {
    const BYTES: usize = 64 << 20;
    const BLOCK: usize = 1 << 20;
    let (from, mut to) = (vec![1u8; BYTES], vec![2u8; BYTES]);
    let time = fastest(4, || {
        to.par_chunks_mut(BLOCK).zip(from.par_chunks(BLOCK)).for_each(|(to, from)| to.copy_from_slice(from));
    });
    rate(2 * BYTES as u64, time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_nests_loops_and_writes_json() {
        let step = |kind, name: &str, depth, ms| StepProfile {
            kind,
            name: name.into(),
            depth,
            runs: 2,
            time: Duration::from_millis(ms),
            flops: 1_000_000,
            bytes: 0,
        };
        let steps =
            vec![step("kernel", "short \"q\"", 0, 1), step("loop", "long", 0, 9), step("kernel", "in it", 1, 5)];
        let events = vec![(0, Duration::ZERO, Duration::from_millis(1))];
        let p = Profile { total: Duration::from_millis(10), steps, events };
        let text = p.to_string();
        let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("no {what} in {text}"));
        assert!(at("loop long") < at("  kernel in it") && at("  kernel in it") < at("kernel short"), "{text}");
        assert!(text.contains("    9.0000   90.0        2       0.2"), "{text}");
        assert!(p.chrome_trace().contains(r#""name":"short \"q\"","cat":"kernel","ts":0.000,"dur":1000.000"#));
    }
}
