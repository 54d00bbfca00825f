//! Fourier transforms: what is transformed back is scaled by a kernel after, and what only half of is there is made whole
//! numbers of before.

use super::{Plan, Routine, Site, Transform};
use crate::grid::ops::{Operand, each, load_words, position, store_words, words};
use crate::grid::{Build, Memory, Reg};
use gradloom_ir::{Binary, Comparison, Error, FftKind, Literal, Op, Result, Type};
use smallvec::smallvec;

/// The most axes that libraries transform at once.
const MOST_AXES: usize = 3;

/// Multiplies words by a factor.
fn scaled(b: &mut Build, x: Reg, by: Option<f64>) -> Reg {
    match by {
        None => x,
        Some(by) => {
            let by = b.constant(Literal::scalar(b.dtype(x), by));
            b.binary(Binary::Mul, x, by)
        }
    }
}

/// Adds a kernel that copies an array, multiplied by a factor; `to` may be `from`.
fn copy(plan: &mut Plan, t: &Type, from: Operand, to: Operand, by: Option<f64>) -> Result<()> {
    let w = words(t);
    let in_place = from == to;
    let arrays: &[&Type] = if in_place { &[t] } else { &[t, t] };
    let target = Memory::Param(u32::from(!in_place));
    let kernel = each("scale", arrays, t.numel(), |b, number| {
        let x = load_words(b, w, Memory::Param(0), number);
        let y = x.into_iter().map(|x| scaled(b, x, by)).collect();
        store_words(b, w, target, number, y);
    })?;
    plan.kernel(kernel, if in_place { vec![to] } else { vec![from, to] });
    Ok(())
}

/// Adds a kernel that copies the half of a spectrum of real numbers that is there. Elements that the other half would repeat
/// become what real numbers have: each the mean of itself and of the conjugate of the one that it stands for.
fn half_spectrum(plan: &mut Plan, x: &Type, lengths: &[usize]) -> Result<Operand> {
    let w = words(x);
    let (rank, n) = (x.rank(), lengths[lengths.len() - 1]);
    let first = rank - lengths.len();
    let to = plan.take(x.bytes());
    let kernel = each("half_spectrum", &[x, x], x.numel(), |b, number| {
        let own = load_words(b, w, Memory::Param(0), number);
        let parts = [b.variable(own[0]), b.variable(own[1])];
        let index = b.point(number, &x.shape);
        let last = index[rank - 1];
        let zero = b.index(0);
        let mut is_own = b.compare(Comparison::Eq, last, zero);
        if n.is_multiple_of(2) {
            let middle = b.index((n / 2) as i64);
            let is_middle = b.compare(Comparison::Eq, last, middle);
            is_own = b.either(is_own, is_middle);
        }
        b.when(is_own, |b| {
            let mut other = index.clone();
            for a in first..rank - 1 {
                // n - i, and 0 for 0
                let n = b.index(x.shape[a] as i64);
                let back = b.binary(Binary::Sub, n, index[a]);
                other[a] = b.binary(Binary::Rem, back, n);
            }
            let at = position(b, &other, &x.shape);
            let other = load_words(b, w, Memory::Param(0), at);
            for (part, (op, other)) in parts.iter().zip([Binary::Add, Binary::Sub].into_iter().zip(other)) {
                let both = b.binary(op, *part, other);
                let mean = scaled(b, both, Some(0.5));
                b.assign(*part, mean);
            }
        });
        store_words(b, w, Memory::Param(1), number, smallvec![parts[0], parts[1]]);
    })?;
    plan.kernel(kernel, vec![Operand::Arg(0), to]);
    Ok(to)
}

pub(super) fn fft(site: &Site) -> Result<Option<Plan>> {
    let Op::Fft { kind, lengths } = site.op else { return Ok(None) };
    let (x, y) = (&site.args[0], &site.results[0]);
    let mut plan = Plan::default();
    if y.numel() == 0 {
        return Ok(Some(plan));
    }
    if lengths.len() > MOST_AXES {
        let what = format!("over {} axes has no form on GPUs", lengths.len());
        return Err(Error::limit(site.op.name(), what).help("transform three axes at a time"));
    }
    let batch = y.shape[..y.rank() - lengths.len()].iter().product();
    let routine = Transform { kind: *kind, dtype: x.dtype.real(), lengths: lengths[..].into(), batch };
    // libraries read and write complex numbers as one
    let complex = 2 * x.dtype.real().size();
    let from = match kind {
        FftKind::Irfft => half_spectrum(&mut plan, x, lengths)?,
        _ if site.alignment[0] < complex => {
            let own = plan.take(x.bytes());
            copy(&mut plan, x, Operand::Arg(0), own, None)?;
            own
        }
        _ => Operand::Arg(0),
    };
    let to = if site.alignment[1] < complex { plan.take(y.bytes()) } else { Operand::Result(0) };
    plan.routine(Routine::Transform(routine), vec![from, to]);
    let points: usize = lengths.iter().product();
    let by = matches!(kind, FftKind::Ifft | FftKind::Irfft).then(|| 1.0 / points as f64);
    if by.is_some() || to != Operand::Result(0) {
        copy(&mut plan, y, to, Operand::Result(0), by)?;
    }
    Ok(Some(plan))
}
