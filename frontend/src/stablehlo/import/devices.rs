//! Operations between devices, on one: there they hand their operand on.

use super::{Call, Lower};
use gradloom_ir::{DType, Result, Type, Values};
use smallvec::smallvec;

pub(super) const RULES: &[(&str, Lower)] = &[
    ("all_reduce", alone),
    ("all_gather", alone),
    ("all_to_all", alone),
    ("reduce_scatter", alone),
    ("collective_broadcast", alone),
    ("cross-replica-sum", alone),
    ("collective_permute", permute),
    ("partition_id", own_number),
    ("replica_id", own_number),
];

const REFUSAL: &str = "operations between several devices are not supported";

/// The operands, if every group is the one device alone.
fn alone(c: &mut Call<'_, '_>) -> Result<Values> {
    // `dense<0> : tensor<1x1xi64>`; an empty list stands for all devices there are
    let groups = c.ints_if_any(&["replica_groups"])?.unwrap_or_default();
    handed_on(c, groups.iter().all(|&device| device == 0) && groups.len() <= 1)
}

/// From the device to itself.
fn permute(c: &mut Call<'_, '_>) -> Result<Values> {
    let pairs = c.ints(&["source_target_pairs"])?;
    handed_on(c, pairs == [0, 0])
}

fn handed_on(c: &mut Call<'_, '_>, alone: bool) -> Result<Values> {
    let args = std::mem::take(&mut c.args);
    for (i, &x) in args.iter().enumerate() {
        if !alone || c.result(i)? != c.ty(x) {
            return Err(c.unsupported(REFUSAL));
        }
    }
    Ok(args.into_iter().collect())
}

fn own_number(c: &mut Call<'_, '_>) -> Result<Values> {
    Ok(smallvec![c.b().full(&Type::scalar(DType::U32), 0.0)])
}
