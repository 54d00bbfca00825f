//! Elementwise ops on arrays.

use super::scalar::{ScalarOps, modulus, threefry2x32};
use super::strided::{elements, undefined};
use crate::{Binary, Comparison, Complex, DType, Element, Literal, Result, Unary, with_element};

/// The elements of an operand whose type was checked.
fn vec<T: Element>(x: &Literal) -> Vec<T> {
    elements(x).expect("operands were type checked")
}

pub(super) fn unary(op: Unary, x: &Literal) -> Result<Literal> {
    if op == Unary::IsFinite {
        let finite: Vec<bool> = x.to_f64().iter().map(|x| x.is_finite()).collect();
        return Ok(Literal::new(&x.ty().shape, &finite));
    }
    match x.ty().dtype {
        DType::C64 if op.result(DType::C64) == DType::F32 => return real_part::<f32>(op, x),
        DType::C128 if op.result(DType::C128) == DType::F64 => return real_part::<f64>(op, x),
        _ => {}
    }
    with_element!(x.ty().dtype, T => {
        let y: Option<Vec<T>> = vec::<T>(x).into_iter().map(|x| <T as ScalarOps>::unary(op, x)).collect();
        Ok(Literal::new(&x.ty().shape, &y.ok_or_else(|| undefined(op.name(), x.ty()))?))
    })
}

/// The functions of complex numbers with real values.
fn real_part<T: ScalarOps>(op: Unary, x: &Literal) -> Result<Literal>
where
    Complex<T>: Element,
{
    let part = |z: Complex<T>| match op {
        Unary::Real => z.re,
        Unary::Imag => z.im,
        _ => modulus(z),
    };
    Ok(Literal::new(&x.ty().shape, &vec(x).into_iter().map(part).collect::<Vec<T>>()))
}

fn complex<T: Element>(re: &Literal, im: &Literal) -> Literal
where
    Complex<T>: Element,
{
    let z = vec::<T>(re).into_iter().zip(vec::<T>(im)).map(|(re, im)| Complex { re, im });
    Literal::new(&re.ty().shape, &z.collect::<Vec<_>>())
}

pub(super) fn binary(op: Binary, x: &Literal, y: &Literal) -> Result<Literal> {
    match (op, x.ty().dtype) {
        (Binary::Complex, DType::F32) => return Ok(complex::<f32>(x, y)),
        (Binary::Complex, DType::F64) => return Ok(complex::<f64>(x, y)),
        _ => {}
    }
    with_element!(x.ty().dtype, T => {
        let pairs = vec::<T>(x).into_iter().zip(vec::<T>(y));
        let z: Option<Vec<T>> = pairs.map(|(x, y)| <T as ScalarOps>::binary(op, x, y)).collect();
        Ok(Literal::new(&x.ty().shape, &z.ok_or_else(|| undefined(op.name(), x.ty()))?))
    })
}

pub(super) fn compare(op: Comparison, x: &Literal, y: &Literal) -> Result<Literal> {
    with_element!(x.ty().dtype, T => {
        let pairs = vec::<T>(x).into_iter().zip(vec::<T>(y));
        let z: Option<Vec<bool>> = pairs.map(|(x, y)| <T as ScalarOps>::compare(op, x, y)).collect();
        Ok(Literal::new(&x.ty().shape, &z.ok_or_else(|| undefined(op.name(), x.ty()))?))
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
