//! An op as a loop nest: differences of neighbours along the last axis of f32s, `y[.., i] = x[.., i+1] - x[.., i]`.

use gradloom::ir::{Binary, DType, Type};
use gradloom::kernel::{Affine, Axis, Inst, LoopNest, Param, Store};
use gradloom::prelude::*;
use gradloom::{CustomOp, Error, Result, UserOp, custom_op};

/// `[.., n]` to `[.., n - 1]`.
pub struct FirstDifference;

/// The op, to be called with one array.
pub fn first_difference() -> UserOp {
    custom_op(FirstDifference)
}

impl CustomOp for FirstDifference {
    fn name(&self) -> &str {
        "first_difference"
    }

    fn shape(&self, args: &[Type]) -> Result<Vec<Type>> {
        match args {
            [x] if x.dtype == DType::F32 && x.shape.last().is_some_and(|&n| n > 0) => {
                let (&n, rows) = x.shape.split_last().unwrap_or((&1, &[]));
                Ok(vec![x.with_shape(&[rows, &[n - 1]].concat())])
            }
            _ => Err(Error::user("first_difference", format!("takes one array of f32, at least 1 long, got {args:?}"))),
        }
    }

    fn kernel(&self, args: &[Type]) -> Option<LoopNest> {
        let n = *args[0].shape.last()?;
        let rows = args[0].numel() / n;
        let at = |offset: i64, row: usize| Affine { offset, strides: [row as i64, 1].into_iter().collect() };
        let param = |len: usize| Param { dtype: DType::F32, len };
        Some(LoopNest {
            name: "first_difference".into(),
            params: vec![param(rows * n), param(rows * (n - 1))],
            axes: [rows, n - 1].map(|extent| Axis { extent, reduce: false }).to_vec(),
            body: vec![
                Inst::Load { param: 0, at: at(1, n) },
                Inst::Load { param: 0, at: at(0, n) },
                Inst::Binary(Binary::Sub, 0, 1),
            ],
            reductions: vec![],
            epilogue: vec![],
            stores: vec![Store { param: 1, value: 2, at: at(0, n - 1) }],
        })
    }

    /// Each difference is the later element and the earlier one taken away.
    fn vjp(&self, _x: &[Tensor], _y: &[Tensor], ct: &[Tensor]) -> Option<Vec<Tensor>> {
        let axis = ct[0].ndim() - 1;
        let side = |before: i64, after: i64| {
            let mut pads = vec![(0, 0); axis + 1];
            pads[axis] = (before, after);
            ct[0].pad(&pads, 0.0)
        };
        Some(vec![side(1, 0) - side(0, 1)])
    }
}
