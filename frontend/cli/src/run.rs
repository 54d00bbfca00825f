//! `gradloom run`

use crate::program::{buffer, compile, literal, load, to_literal, to_tensor};
use clap::Args;
use gradloom_frontend::{DType, Device, Tensor, io};
use gradloom_ir::{Error, Graph, Literal, Result, Type, eval, with_element};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Compiles a program and runs it.
///
/// Prints one line of JSON: `compile_ms`, `step_ms` (median of the repeats), `peak_bytes` (intermediate memory) and
/// `flops`.
#[derive(Args)]
pub struct Run {
    /// StableHLO text, or a program as gradloom prints it.
    file: PathBuf,
    /// The inputs, an `.npz` with keys "0", "1", .. in the order of the program's inputs; without it seeded random ones.
    #[arg(long)]
    inputs: Option<PathBuf>,
    /// Where to write the results, an `.npz` with keys "0", "1", ..; 16-bit floats as f32.
    #[arg(long)]
    outputs: Option<PathBuf>,
    /// How often to run; the first run is not timed if there are more.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Where to run: `cpu`, `interp` (the reference interpreter: slow, and the definition of every result) or a GPU, `cuda:0`.
    #[arg(long, default_value_t = Device::Cpu)]
    device: Device,
    /// Seed of the random inputs.
    #[arg(long, default_value_t = 0)]
    seed: u32,
}

impl Run {
    /// Always true, or an error.
    pub fn execute(&self) -> Result<bool> {
        let start = Instant::now();
        let g = load(&self.file)?;
        let exe = compile(&g, self.device)?;
        let compile_ms = start.elapsed().as_secs_f64() * 1e3;
        let inputs = match &self.inputs {
            Some(path) => inputs_from(path, &g)?,
            None => {
                if g.num_inputs() > 0 {
                    eprintln!("no --inputs given: {} random ones, seed {}", g.num_inputs(), self.seed);
                }
                let types = g.input_types();
                types.iter().enumerate().map(|(i, t)| random(t, self.seed, i as u32)).collect::<Result<_>>()?
            }
        };
        let args: Vec<_> = inputs.iter().map(buffer).collect();
        let mut times = Vec::new();
        let mut outs = None;
        for _ in 0..self.repeat {
            let start = Instant::now();
            outs = Some(exe.run(&args)?);
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        let timed = &mut times[usize::from(self.repeat > 1)..];
        timed.sort_by(f64::total_cmp);
        let step_ms = timed[timed.len() / 2];
        if let (Some(path), Some(outs)) = (&self.outputs, &outs) {
            let types = g.output_types();
            // halves are written as they are read: as f32
            let stored = |x: Tensor| if x.dtype().is_half() { x.to(DType::F32) } else { x };
            let arrays = types.iter().zip(outs).map(|(t, b)| Ok(stored(to_tensor(&literal(t, b)?))));
            io::save_npz(path, &arrays.collect::<Result<Vec<Tensor>>>()?)?;
        }
        let cost = exe.cost();
        let line = serde_json::json!({
            "compile_ms": compile_ms,
            "step_ms": step_ms,
            "peak_bytes": cost.peak_bytes,
            "flops": cost.flops,
        });
        println!("{line}");
        Ok(true)
    }
}

/// The arrays of a file in the order of the program's inputs. Files hold halves as f32, or as what they are.
fn inputs_from(path: &Path, g: &Graph) -> Result<Vec<Literal>> {
    let arrays = io::load_npz(path)?;
    let types = g.input_types();
    if arrays.len() != types.len() {
        let what = format!("{} holds {} arrays, the program takes {}", path.display(), arrays.len(), types.len());
        return Err(Error::user("run", what).help("keys are \"0\", \"1\", .. in the order of the program's inputs"));
    }
    types.iter().enumerate().map(|(i, ty)| input(&arrays, i, ty, path)).collect()
}

fn input(arrays: &std::collections::BTreeMap<String, Tensor>, i: usize, ty: &Type, path: &Path) -> Result<Literal> {
    let x = arrays.get(&i.to_string());
    let x = x.ok_or_else(|| Error::user("run", format!("{} has no array \"{i}\"", path.display())))?;
    let halves = x.dtype() == DType::F32 && ty.dtype.is_half();
    let x = to_literal(&if halves { x.to(ty.dtype) } else { x.clone() })?;
    if x.ty() != ty {
        return Err(Error::user("run", format!("input {i} should be {ty}, the file has {}", x.ty())));
    }
    Ok(x)
}

/// Random elements: floats in [-1, 1), integers from 0 to 9, fair bools.
pub fn random(ty: &Type, seed: u32, stream: u32) -> Result<Literal> {
    let bits = |i: usize| eval::threefry2x32([seed, stream], [i as u32, (i >> 32) as u32])[0];
    let number = |i: usize| match ty.dtype {
        DType::Bool => f64::from(bits(i) & 1),
        d if d.is_int() => f64::from(bits(i) % 10),
        _ => f64::from(bits(i)) / 2f64.powi(31) - 1.0,
    };
    let wide: Vec<f64> = (0..ty.numel()).map(number).collect();
    with_element!(ty.dtype, T => {
        let x: Vec<T> = wide.iter().map(|&x| <T as eval::ScalarOps>::narrow(eval::Wide::Float(x))).collect();
        Ok(Literal::new(&ty.shape, &x))
    })
}
