//! Sorting.

use super::writer::Writer;
use gradloom_ir::{Comparison, Result, Type, Value, Values};

/// By the first `num_keys` operands: NaN last, -0 before 0.
pub(super) fn lower(w: &mut Writer, axis: usize, num_keys: usize, args: &[Value], types: &[Type]) -> Result<Values> {
    let params: Vec<Type> = types.iter().flat_map(|t| [Type::scalar(t.dtype), Type::scalar(t.dtype)]).collect();
    let attrs = format!("dimension = {axis} : i64, is_stable = true");
    w.combining("sort", args, &attrs, params, types, |w, p| {
        let mut keys = Vec::new();
        for pair in p.chunks_exact(2).take(num_keys) {
            if w.dtype(pair[0]).is_complex() {
                let real = Type::scalar(w.dtype(pair[0]).real());
                for part in ["real", "imag"] {
                    keys.push([0, 1].map(|i| w.one(part, &[pair[i]], "", &real)));
                }
            } else {
                keys.push([pair[0], pair[1]]);
            }
        }
        // the last key first: equal keys leave the decision to those after them
        let mut less = None;
        for [x, y] in keys.into_iter().rev() {
            let (x, y) = (orderly(w, x), orderly(w, y));
            let kind = if w.dtype(x).is_float() { Some("TOTALORDER") } else { None };
            let mut compare = |op| match kind {
                Some(kind) => w.compare_as(op, x, y, kind),
                None => w.compare(op, x, y),
            };
            let first = compare(Comparison::Lt);
            less = Some(match less {
                None => first,
                Some(rest) => {
                    let equal = compare(Comparison::Eq);
                    w.select(equal, rest, first)
                }
            });
        }
        Ok(less.into_iter().collect())
    })
}

/// One NaN for all, the one that is last.
fn orderly(w: &mut Writer, x: Value) -> Value {
    let dtype = w.dtype(x);
    if !dtype.is_float() {
        return x;
    }
    let unknown = w.compare(Comparison::Ne, x, x);
    let nan = w.full(&Type::scalar(dtype), f64::NAN);
    w.select(unknown, nan, x)
}
