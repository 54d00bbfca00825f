//! Programs that a GPU must compute as the interpreter does. Whoever includes this has `oracle` and `rows` beside it.

use super::oracle::mixed::{self, Palette};
use super::oracle::programs::looped;
use super::{oracle, rows};
use gradloom_backends::cuda::{Gpu, GpuBuffer};
use gradloom_backends::{Device, compile_for};
use gradloom_ir::eval::eval;
use gradloom_ir::{DType, Error, Graph, Literal, Result};
use gradloom_passes::{PassContext, Pipeline};
use rayon::prelude::*;
use std::fmt;
use std::sync::Arc;

/// Arrays on a GPU.
pub fn uploaded(gpu: &'static Gpu, inputs: &[Literal]) -> Vec<Arc<GpuBuffer>> {
    let upload = |x: &Literal| GpuBuffer::upload(gpu, x.bytes()).map(Arc::new);
    inputs.iter().map(upload).collect::<Result<_>>().unwrap_or_else(|e| panic!("{e}"))
}

/// What a program's results hold.
pub fn read(g: &Graph, outs: &[Arc<GpuBuffer>]) -> Result<Vec<Literal>> {
    let read = |(t, o): (_, &Arc<GpuBuffer>)| {
        let bytes = o.to_host()?.bytes().to_vec();
        Literal::from_bytes(t, bytes).ok_or_else(|| Error::internal("run", "a result has another size than its type"))
    };
    g.output_types().into_iter().zip(outs).map(read).collect()
}

/// A program with inputs, and how close its results must be.
pub struct Trial {
    name: String,
    program: Graph,
    inputs: Vec<Literal>,
    tolerance: f64,
}

/// Of the table of ops, on each dtype, every `each`th row.
pub fn of_ops(each: usize) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (d, dtype) in DType::ALL.into_iter().enumerate() {
        let tolerance = match dtype {
            DType::F16 => 0.02,
            DType::BF16 => 0.15,
            DType::F32 | DType::C64 => 2e-4,
            _ => 1e-9,
        };
        for row in rows::table().iter().skip(d % each).step_by(each) {
            let rows::Instance::Row(row) = rows::on_dtype(row, dtype) else { continue };
            let inputs = rows::Random(7).point(&row);
            trials.push(Trial { name: row.text.to_string(), program: row.graph, inputs, tolerance });
        }
    }
    trials
}

/// Loops, and programs of mixed ops.
pub fn generated(loops: u64, mixed: u64) -> Vec<Trial> {
    let looped = (0..loops).map(|seed| {
        let program = looped(&mut oracle::Random(seed));
        let inputs = oracle::inputs(seed, &program, false);
        Trial { name: format!("loop {seed}"), program, inputs, tolerance: 1e-9 }
    });
    let mixed = (0..mixed).map(|seed| {
        let palette = Palette::nth(seed as usize, false);
        let program = mixed::program(&mut oracle::Random(1000 + seed), palette);
        let inputs = mixed::inputs(seed, &program);
        Trial { name: format!("mixed {seed}"), program, inputs, tolerance: palette.tolerance() }
    });
    looped.chain(mixed).collect()
}

/// What came of trials.
#[derive(Default)]
pub struct Outcome {
    /// How many gave what the interpreter gives.
    pub ran: usize,
    /// What has no form on GPUs.
    pub refused: Vec<String>,
    /// What went wrong.
    pub failed: Vec<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failed.iter().try_for_each(|e| writeln!(f, "FAILED {e}"))?;
        write!(f, "{} passed, {} failed, {} without a form on GPUs", self.ran, self.failed.len(), self.refused.len())
    }
}

enum Ended {
    Passed,
    Refused(String),
}

/// Runs each program kernel by kernel, captured, and as what was captured.
pub fn outcome(trials: &[Trial], gpu: &'static Gpu) -> Outcome {
    let ended: Vec<std::result::Result<Ended, String>> = trials.par_iter().map(|t| tried(t, gpu)).collect();
    let mut outcome = Outcome::default();
    for (t, ended) in trials.iter().zip(ended) {
        match ended {
            Ok(Ended::Passed) => outcome.ran += 1,
            Ok(Ended::Refused(why)) => outcome.refused.push(why),
            Err(why) => outcome.failed.push(format!("{}: {why}", t.name)),
        }
    }
    outcome
}

fn tried(t: &Trial, gpu: &'static Gpu) -> std::result::Result<Ended, String> {
    let said = |e: Error| e.to_string();
    let expected = eval(&t.program, &t.inputs).map_err(said)?;
    let mut g = t.program.clone();
    Pipeline::standard().run_with(&mut g, &mut PassContext::new()).map_err(said)?;
    let exe = match compile_for(&g, Device::Cuda(gpu.index())) {
        Ok(exe) => exe,
        Err(e) if e.to_string().contains("no form on GPUs") => return Ok(Ended::Refused(e.to_string())),
        Err(e) => return Err(format!("{e}\n{g}")),
    };
    let args = uploaded(gpu, &t.inputs);
    let compare = |turn: &str, outs: &[Literal]| {
        for (e, o) in expected.iter().zip(outs) {
            if !oracle::agree(e, o, Some(t.tolerance)) {
                return Err(format!("{turn}\n{g}\nexpected {e:?}\ngot {o:?}"));
            }
        }
        Ok(())
    };
    for turn in ["kernel by kernel", "captured", "again"] {
        let outs = exe.run_on_gpu(&args).and_then(|outs| read(&g, &outs)).map_err(said)?;
        compare(turn, &outs)?;
    }
    let outs = exe.run_donating_on_gpu(&args, 0).and_then(|outs| read(&g, &outs)).map_err(said)?;
    compare("in the memory of arguments", &outs)?;
    Ok(Ended::Passed)
}
