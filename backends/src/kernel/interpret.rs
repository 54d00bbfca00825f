//! Runs a loop nest as it reads: the oracle of every lowering.

use super::verify::advance;
use super::{Affine, Inst, LoopNest, Param, Val};
use gradloom_ir::eval::{ScalarOps, Wide, threefry2x32};
use gradloom_ir::{DType, Element, Error, Result, with_element};

/// One element: its native-endian bytes come first.
pub(crate) type Cell = [u8; 16];

pub(crate) fn cell<T: Element>(x: T) -> Cell {
    let mut bytes = Vec::with_capacity(16);
    x.push_bytes(&mut bytes);
    let mut cell = [0; 16];
    cell[..bytes.len()].copy_from_slice(&bytes);
    cell
}

pub(crate) fn element<T: Element>(cell: &Cell) -> T {
    T::from_bytes(&cell[..T::DTYPE.size()])
}

/// Runs a nest on one buffer of native-endian bytes a param.
///
/// Floats add and multiply in row-major order of the reduce axes, in their own dtype.
pub fn interpret(nest: &LoopNest, buffers: &mut [&mut [u8]]) -> Result<()> {
    nest.verify()?;
    let fits = |(b, p): (&&mut [u8], &Param)| b.len() == p.len * p.dtype.size();
    if buffers.len() != nest.params.len() || !buffers.iter().zip(&nest.params).all(fits) {
        return Err(Error::internal("loop nest", format!("buffers do not fit the params of kernel {}", nest.name)));
    }
    let run = Run { nest, dtypes: nest.dtypes()?, extents: nest.axes.iter().map(|a| a.extent).collect() };
    run.all(buffers)
}

struct Run<'a> {
    nest: &'a LoopNest,
    dtypes: Vec<DType>,
    extents: Vec<usize>,
}

impl Run<'_> {
    fn all(&self, buffers: &mut [&mut [u8]]) -> Result<()> {
        let parallel = self.nest.parallel();
        if self.extents[..parallel].contains(&0) {
            return Ok(());
        }
        let mut index = vec![0; self.extents.len()];
        loop {
            self.point(&mut index, buffers)?;
            index[parallel..].fill(0);
            if !advance(&mut index[..parallel], &self.extents[..parallel]) {
                return Ok(());
            }
        }
    }

    /// One point of the parallel axes.
    fn point(&self, index: &mut [usize], buffers: &mut [&mut [u8]]) -> Result<()> {
        let parallel = self.nest.parallel();
        let mut values = Vec::with_capacity(self.dtypes.len());
        let mut accs = Vec::new();
        for r in &self.nest.reductions {
            let first = with_element!(self.dtypes[r.value as usize], T => <T as ScalarOps>::identity(r.kind).map(cell));
            accs.push(first.ok_or_else(|| self.undefined(r.kind.name()))?);
        }
        let mut more = !self.extents[parallel..].contains(&0);
        while more {
            values.clear();
            for inst in &self.nest.body {
                values.push(self.inst(inst, values.len(), index, &values, &accs, buffers)?);
            }
            for (r, acc) in self.nest.reductions.iter().zip(&mut accs) {
                let v = r.value as usize;
                let next = with_element!(self.dtypes[v], T => {
                    <T as ScalarOps>::combine(r.kind, element(acc), element(&values[v])).map(cell)
                });
                *acc = next.ok_or_else(|| self.undefined(r.kind.name()))?;
            }
            more = advance(&mut index[parallel..], &self.extents[parallel..]);
        }
        values.resize(self.nest.body.len(), [0; 16]);
        for inst in &self.nest.epilogue {
            values.push(self.inst(inst, values.len(), index, &values, &accs, buffers)?);
        }
        for s in &self.nest.stores {
            let size = self.dtypes[s.value as usize].size();
            let at = s.at.at(index) as usize * size;
            buffers[s.param as usize][at..at + size].copy_from_slice(&values[s.value as usize][..size]);
        }
        Ok(())
    }

    fn undefined(&self, op: &str) -> Error {
        Error::internal("loop nest", format!("{op} in kernel {} is not defined on its dtype", self.nest.name))
    }

    fn inst(
        &self,
        inst: &Inst,
        number: usize,
        index: &[usize],
        values: &[Cell],
        accs: &[Cell],
        buffers: &[&mut [u8]],
    ) -> Result<Cell> {
        let dtype = self.dtypes[number];
        let result = match inst {
            Inst::Load { param, at } => {
                let start = at.at(index) as usize * dtype.size();
                Some(padded(&buffers[*param as usize][start..start + dtype.size()]))
            }
            Inst::Index { at, .. } => Some(index_cell(at, index, dtype)),
            Inst::Acc(i) => Some(accs[*i as usize]),
            _ => scalar(inst, dtype, |v| (&values[v as usize], self.dtypes[v as usize])),
        };
        result.ok_or_else(|| self.undefined(&inst.to_string()))
    }
}

/// The value of an instruction on values, of the dtype it gives; `None` if it is no such instruction or not defined on its
/// operands.
pub(crate) fn scalar<'a>(inst: &Inst, dtype: DType, of: impl Fn(Val) -> (&'a Cell, DType)) -> Option<Cell> {
    match inst {
        Inst::Const(literal) => Some(padded(literal.bytes())),
        Inst::Load { .. } | Inst::Index { .. } | Inst::Acc(_) => None,
        Inst::Unary(gradloom_ir::Unary::IsFinite, x) => {
            let (x, from) = of(*x);
            let wide = with_element!(from, T => <T as ScalarOps>::widen(element(x)));
            Some(cell(matches!(wide, Wide::Float(x) if x.is_finite())))
        }
        Inst::Unary(op, x) => with_element!(dtype, T => <T as ScalarOps>::unary(*op, element(of(*x).0)).map(cell)),
        Inst::Binary(op, x, y) => with_element!(dtype, T => {
            <T as ScalarOps>::binary(*op, element(of(*x).0), element(of(*y).0)).map(cell)
        }),
        Inst::Compare(op, x, y) => with_element!(of(*x).1, T => {
            <T as ScalarOps>::compare(*op, element(of(*x).0), element(of(*y).0)).map(cell)
        }),
        Inst::Select(p, x, y) => Some(*if element(of(*p).0) { of(*x).0 } else { of(*y).0 }),
        Inst::Convert(_, x) => {
            let (x, from) = of(*x);
            let wide = with_element!(from, T => <T as ScalarOps>::widen(element(x)));
            Some(if from == dtype { *x } else { narrow(wide, dtype) })
        }
        Inst::Bitcast(_, x) => Some(*of(*x).0),
        Inst::Threefry(lane, args) => {
            let [k0, k1, c0, c1] = args.map(|v| element(of(v).0));
            Some(cell(threefry2x32([k0, k1], [c0, c1])[usize::from(*lane)]))
        }
    }
}

pub(crate) fn padded(bytes: &[u8]) -> Cell {
    let mut cell = [0; 16];
    cell[..bytes.len()].copy_from_slice(bytes);
    cell
}

fn narrow(wide: Wide, dtype: DType) -> Cell {
    with_element!(dtype, T => cell(<T as ScalarOps>::narrow(wide)))
}

fn index_cell(at: &Affine, index: &[usize], dtype: DType) -> Cell {
    narrow(Wide::Int(at.at(index).into()), dtype)
}

#[cfg(test)]
mod tests {
    use super::super::{Axis, Reduction, Store};
    use super::*;
    use gradloom_ir::{Binary, ReduceKind};

    fn at(offset: i64, strides: &[i64]) -> Affine {
        Affine { offset, strides: strides.into() }
    }

    fn bytes<T: Element>(x: &[T]) -> Vec<u8> {
        let mut out = Vec::new();
        x.iter().for_each(|x| x.push_bytes(&mut out));
        out
    }

    /// sum_k a[i, k] b[k, j], plus i
    #[test]
    fn a_matrix_product() {
        let nest = LoopNest {
            name: "product".into(),
            params: [6, 6, 4].map(|len| Param { dtype: DType::F64, len }).to_vec(),
            axes: [2, 2, 3].iter().enumerate().map(|(i, n)| Axis { extent: *n, reduce: i == 2 }).collect(),
            body: vec![
                Inst::Load { param: 0, at: at(0, &[3, 0, 1]) },
                Inst::Load { param: 1, at: at(0, &[0, 1, 2]) },
                Inst::Binary(Binary::Mul, 0, 1),
            ],
            reductions: vec![Reduction { kind: ReduceKind::Sum, value: 2 }],
            epilogue: vec![
                Inst::Acc(0),
                Inst::Index { dtype: DType::F64, at: at(0, &[1, 0, 0]) },
                Inst::Binary(Binary::Add, 3, 4),
            ],
            stores: vec![Store { param: 2, value: 5, at: at(0, &[2, 1, 0]) }],
        };
        let mut a = bytes(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let mut b = bytes(&[1.0, 0.0, 0.0, 1.0, 2.0, 2.0]);
        let mut c = bytes(&[0.0; 4]);
        interpret(&nest, &mut [&mut a, &mut b, &mut c]).expect("a well formed nest");
        assert_eq!(c, bytes(&[7.0, 8.0, 17.0, 18.0]));
        let error = interpret(&nest, &mut [&mut a, &mut b]).expect_err("a buffer is missing").to_string();
        assert!(error.contains("buffers do not fit"), "{error}");
    }

    #[test]
    fn nothing_reduces_to_the_identity() {
        let nest = LoopNest {
            name: "empty".into(),
            params: vec![Param { dtype: DType::I16, len: 0 }, Param { dtype: DType::I16, len: 2 }],
            axes: vec![Axis { extent: 2, reduce: false }, Axis { extent: 0, reduce: true }],
            body: vec![Inst::Load { param: 0, at: at(0, &[0, 1]) }],
            reductions: vec![Reduction { kind: ReduceKind::Max, value: 0 }],
            epilogue: vec![Inst::Acc(0)],
            stores: vec![Store { param: 1, value: 1, at: at(0, &[1, 0]) }],
        };
        let mut out = bytes(&[0i16; 2]);
        interpret(&nest, &mut [&mut [], &mut out]).expect("a well formed nest");
        assert_eq!(out, bytes(&[i16::MIN; 2]));
    }
}
