//! Elementwise ops on arrays.

use super::scalar::{ScalarOps, threefry2x32};
use super::strided::{elements, undefined};
use crate::{Binary, Comparison, DType, Literal, Result, Unary, with_element};

/// The elements of an operand whose type was checked.
fn vec<T: crate::Element>(x: &Literal) -> Vec<T> {
    elements(x).expect("operands were type checked")
}

pub(super) fn unary(op: Unary, x: &Literal) -> Result<Literal> {
    if op == Unary::IsFinite {
        let finite: Vec<bool> = x.to_f64().iter().map(|x| x.is_finite()).collect();
        return Ok(Literal::new(&x.ty().shape, &finite));
    }
    with_element!(x.ty().dtype, T => {
        let y: Option<Vec<T>> = vec::<T>(x).into_iter().map(|x| <T as ScalarOps>::unary(op, x)).collect();
        Ok(Literal::new(&x.ty().shape, &y.ok_or_else(|| undefined(op.name(), x.ty()))?))
    })
}

pub(super) fn binary(op: Binary, x: &Literal, y: &Literal) -> Result<Literal> {
    with_element!(x.ty().dtype, T => {
        let pairs = vec::<T>(x).into_iter().zip(vec::<T>(y));
        let z: Option<Vec<T>> = pairs.map(|(x, y)| <T as ScalarOps>::binary(op, x, y)).collect();
        Ok(Literal::new(&x.ty().shape, &z.ok_or_else(|| undefined(op.name(), x.ty()))?))
    })
}

pub(super) fn compare(op: Comparison, x: &Literal, y: &Literal) -> Literal {
    with_element!(x.ty().dtype, T => {
        let pairs = vec::<T>(x).into_iter().zip(vec::<T>(y));
        let z: Vec<bool> = pairs.map(|(x, y)| <T as ScalarOps>::compare(op, x, y)).collect();
        Literal::new(&x.ty().shape, &z)
    })
}

pub(super) fn select(pred: &Literal, on_true: &Literal, on_false: &Literal) -> Literal {
    with_element!(on_true.ty().dtype, T => {
        let pairs = vec::<T>(on_true).into_iter().zip(vec::<T>(on_false));
        let z: Vec<T> = vec::<bool>(pred).into_iter().zip(pairs).map(|(p, (x, y))| if p { x } else { y }).collect();
        Literal::new(&on_true.ty().shape, &z)
    })
}

pub(super) fn convert(x: &Literal, dtype: DType) -> Literal {
    if x.ty().dtype == dtype {
        return x.clone();
    }
    with_element!(x.ty().dtype, S => {
        let wide = vec::<S>(x).into_iter().map(ScalarOps::widen);
        with_element!(dtype, T => {
            Literal::new(&x.ty().shape, &wide.map(<T as ScalarOps>::narrow).collect::<Vec<T>>())
        })
    })
}

pub(super) fn threefry(lane: u8, args: &[Literal]) -> Literal {
    let [k0, k1, c0, c1] = [0, 1, 2, 3].map(|i| vec::<u32>(&args[i]));
    let y: Vec<u32> = (0..k0.len()).map(|i| threefry2x32([k0[i], k1[i]], [c0[i], c1[i]])[usize::from(lane)]).collect();
    Literal::new(&args[0].ty().shape, &y)
}
