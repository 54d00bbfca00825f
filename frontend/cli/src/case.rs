//! One case of JAX's harness: a program with JAX's arrays.

use crate::compare::{Numbers, apart};
use crate::judge;
use crate::program::{to_literal, to_tensor};
use crate::vectors::Frame;
use gradloom_frontend::stablehlo::{Function, load};
use gradloom_frontend::{DType, Device, Tensor, io, jit, jvp, vjp, vmap};
use gradloom_ir::{Complex, Error, Literal, Result, Type};
use std::collections::BTreeMap;
use std::path::Path;

/// A program, JAX's arrays, and where it runs.
pub struct Case {
    name: String,
    group: String,
    function: Function,
    arrays: BTreeMap<String, Tensor>,
    device: Device,
}

/// Whether values of the dtype have tangents.
fn has_tangent(ty: &Type) -> bool {
    ty.dtype.is_inexact()
}

/// The values that have tangents.
fn active(values: Vec<Tensor>, types: &[Type]) -> Vec<Tensor> {
    values.into_iter().zip(types).filter(|(_, t)| has_tangent(t)).map(|(v, _)| v).collect()
}

fn numbers(values: &[Tensor]) -> Result<Vec<Numbers>> {
    values.iter().map(|x| Ok(Numbers::of(&to_literal(x)?))).collect()
}

/// Floats as a tensor.
fn tensor(x: &Numbers) -> Tensor {
    let (shape, dtype) = (&x.ty().shape[..], x.ty().dtype);
    let wide = if dtype.is_complex() {
        Literal::new::<Complex<f64>>(shape, &x.complex())
    } else {
        Literal::new::<f64>(shape, &x.complex().iter().map(|z| z.re).collect::<Vec<_>>())
    };
    to_tensor(&wide).to(dtype)
}

impl Case {
    /// Reads the files of a case.
    pub fn open(dir: &Path, name: &str, group: &str, device: Device) -> Result<Case> {
        let function = load(dir.join(format!("{name}.mlir")))?;
        let arrays = io::load_npz(dir.join(format!("{name}.npz")))?;
        Ok(Case { name: name.to_string(), group: group.to_string(), function, arrays, device })
    }

    /// The arrays `prefix0`, `prefix1`, .. as values of these types (files hold halves as f32).
    fn values(&self, prefix: &str, types: impl Iterator<Item = DType>) -> Result<Vec<Tensor>> {
        let one = |(i, dtype): (usize, DType)| {
            let key = format!("{prefix}{i}");
            let x = self.arrays.get(&key).ok_or_else(|| Error::user("harness", format!("the file has no {key}")))?;
            let halves = x.dtype() == DType::F32 && dtype.is_half();
            Ok(if halves { x.to(dtype) } else { x.clone() })
        };
        types.enumerate().map(one).collect()
    }

    /// Tangents or cotangents: those given for values that have any, zeros elsewhere.
    fn directions(&self, given: Vec<Tensor>, types: &[Type]) -> Vec<Tensor> {
        let mut given = given.into_iter();
        let zero = |t: &Type| Tensor::zeros(&t.shape[..]).to(t.dtype);
        types.iter().map(|t| has_tangent(t).then(|| given.next()).flatten().unwrap_or_else(|| zero(t))).collect()
    }

    /// The tangents or cotangents in the file.
    fn given(&self, prefix: &str, types: &[Type]) -> Result<Vec<Tensor>> {
        self.values(prefix, types.iter().filter(|t| has_tangent(t)).map(|t| t.dtype))
    }

    /// What differs from JAX in one transform; `None` if nothing does.
    pub fn difference(&self, transform: &str) -> Result<Option<String>> {
        let g = self.function.graph();
        let (inputs, outputs) = (g.input_types(), g.output_types());
        let device = self.device;
        let xs = |prefix: &str| self.values(prefix, inputs.iter().map(|t| t.dtype));
        let f = |x: &Vec<Tensor>| self.function.call(x);
        match transform {
            "value" => {
                let ys = jit(f).on(device).call(&xs("in")?)?;
                let frame = self.frame("out", &ys)?;
                self.compare(transform, "out", ys, frame.as_ref(), true)
            }
            "jvp" => {
                let args = (xs("in")?, self.directions(self.given("dx", &inputs)?, &inputs));
                let (ys, dys) = jit(|(x, dx): &(Vec<Tensor>, Vec<Tensor>)| jvp(f, x, dx)).on(device).call(&args)?;
                let frame = self.frame("out", &ys)?;
                self.compare(transform, "dy", active(dys, &outputs), frame.as_ref(), true)
            }
            "vjp" => {
                let x = xs("in")?;
                let mut given = self.given("ct", &outputs)?;
                let frame = self.frame("out", &jit(f).on(device).call(&x)?)?;
                if let Some(frame) = &frame {
                    given = frame.to_ours(&numbers(&given)?).iter().map(tensor).collect();
                }
                let args = (x, self.directions(given, &outputs));
                let pulled = |(x, ct): &(Vec<Tensor>, Vec<Tensor>)| {
                    let (_, pull) = vjp(f, x);
                    pull(ct)
                };
                let gs = jit(pulled).on(device).call(&args)?;
                self.compare(transform, "g", active(gs, &inputs), frame.as_ref(), false)
            }
            _ => {
                let ys = jit(vmap(f)).on(device).call(&xs("vin")?)?;
                let frame = self.frame("vout", &ys)?;
                self.compare(transform, "vout", ys, frame.as_ref(), true)
            }
        }
    }

    /// How our choice among equally good results becomes JAX's.
    fn frame(&self, prefix: &str, got: &[Tensor]) -> Result<Option<Frame>> {
        let want = self.values(prefix, got.iter().map(Tensor::dtype))?;
        Ok(Frame::new(&self.group, &numbers(got)?, &numbers(&want)?))
    }

    /// Compares results with the file's; `framed` if they are vectors themselves, or their tangents.
    fn compare(
        &self,
        transform: &str,
        prefix: &str,
        got: Vec<Tensor>,
        frame: Option<&Frame>,
        framed: bool,
    ) -> Result<Option<String>> {
        let want = numbers(&self.values(prefix, got.iter().map(Tensor::dtype))?)?;
        let (mut got, mut want) = (numbers(&got)?, want);
        if let (Some(frame), true) = (frame, framed) {
            got = frame.to_theirs(&got);
            if transform == "jvp" {
                (got, want) = (frame.without_phase(&got), frame.without_phase(&want));
            }
        }
        if judge::reads_one_triangle(&self.group) && transform == "vjp" {
            let parts = |xs: Vec<Numbers>| xs.iter().map(judge::hermitian_part).collect();
            (got, want) = (parts(got), parts(want));
        }
        let g = self.function.graph();
        let inputs = self.values("in", g.input_types().iter().map(|t| t.dtype))?;
        let inputs = numbers(&inputs)?;
        let known = |name: &str| to_literal(self.arrays.get(name)?).ok().as_ref().map(Numbers::of);
        let all = g.input_types().into_iter().chain(g.output_types());
        let narrowest = all.map(|t| judge::relative(t.dtype)).fold(0.0, f64::max);
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            let allowed = judge::tolerance(&self.group, transform, &self.name, got.ty().dtype, narrowest);
            let leeway = match frame {
                Some(frame) if framed => frame.leeway(i, transform == "jvp"),
                Some(frame) => vec![frame.worst(); want.ty().numel()],
                None => judge::leeway((&self.group, transform, &self.name), i, &inputs, &known, want),
            };
            if let Some(why) = apart(allowed, got, want, Some(&leeway)) {
                return Ok(Some(format!("{prefix}{i}: {why}")));
            }
        }
        Ok(None)
    }
}
