//! Reverse-mode derivatives of functions that are computed by loops of unknown length.

use crate::tensor::Tensor;
use crate::transform::{custom_jvp, jvp};
use std::rc::Rc;

/// A function of several tensors of one type, elementwise.
pub(super) type Function = Rc<dyn Fn(&[Tensor]) -> Tensor>;

/// The derivative of `f` in operand `i`, by forward mode.
pub(super) fn derivative(f: &Function, i: usize) -> Function {
    let f = f.clone();
    Rc::new(move |v| {
        let one = |x: &Tensor| {
            let mut w = v.to_vec();
            w[i] = x.clone();
            f(&w)
        };
        jvp(one, &v[i], &v[i].ones_like()).1
    })
}

/// `f(v)`, which may be differentiated `order` times in reverse mode (in forward mode as often as `f` itself).
/// `slope` is the derivative in the last operand in closed form; those in the others are taken through the loops.
pub(super) fn smooth(f: &Function, slope: &Function, order: usize, v: &[Tensor]) -> Tensor {
    if order == 0 {
        return f(v);
    }
    let rule = |v: &Vec<Tensor>, dv: &Vec<Tensor>| {
        let last = v.len() - 1;
        let mut t = &dv[last] * slope(v);
        for (i, d) in dv[..last].iter().enumerate() {
            t = t + d * smooth(&derivative(f, i), &derivative(slope, i), order - 1, v);
        }
        (smooth(f, slope, order - 1, v), t)
    };
    custom_jvp(|v: &Vec<Tensor>| f(v), rule)(&v.to_vec())
}
