//! 16-bit floats in registers: a nest on halves becomes one that computes in f32.
//!
//! Loads are widened, stores are rounded once; what lies between keeps its f32 digits. Where a lost digit could change
//! more than a last digit (comparisons, rounding functions, conversions) a value is rounded first, so that a value
//! compares equal to itself read back from memory. Afterwards 16-bit floats appear in loads, stores, bitcasts and
//! conversions from and to f32 (and from f64) alone.

use super::{Inst, LoopNest, Val};
use gradloom_ir::{Binary, DType, Literal, Result, Unary};

/// Where a value of the old nest is in the new one.
#[derive(Clone, Copy)]
struct Place {
    /// The value; of a half its f32.
    wide: Val,
    /// The half itself, where it has been made.
    narrow: Option<Val>,
    /// Whether `wide` is what rounding would give.
    exact: bool,
}

struct Widener<'a> {
    dtypes: &'a [DType],
    places: Vec<Place>,
    /// Instructions of the part being built, numbered from `base`.
    insts: Vec<Inst>,
    base: usize,
}

impl LoopNest {
    /// The nest with arithmetic on 16-bit floats done in f32; see the module doc of `widen`.
    pub(crate) fn widen_halves(self) -> Result<LoopNest> {
        if !self.params.iter().any(|p| p.dtype.is_half()) && !self.dtypes()?.iter().any(|d| d.is_half()) {
            return Ok(self);
        }
        let dtypes = self.dtypes()?;
        let mut w = Widener { dtypes: &dtypes, places: Vec::new(), insts: Vec::new(), base: 0 };
        for inst in &self.body {
            w.inst(inst);
        }
        let mut out = self.clone();
        for r in &mut out.reductions {
            r.value = w.places[r.value as usize].wide;
        }
        let in_body = self.epilogue.is_empty();
        if in_body {
            out.stores.iter_mut().for_each(|s| s.value = w.stored(s.value));
        }
        out.body = std::mem::take(&mut w.insts);
        w.base = out.body.len();
        for inst in &self.epilogue {
            w.inst(inst);
        }
        if !in_body {
            out.stores.iter_mut().for_each(|s| s.value = w.stored(s.value));
        }
        out.epilogue = w.insts;
        Ok(out)
    }
}

impl Widener<'_> {
    fn push(&mut self, inst: Inst) -> Val {
        self.insts.push(inst);
        (self.base + self.insts.len() - 1) as Val
    }

    fn dtype(&self, v: Val) -> DType {
        self.dtypes[v as usize]
    }

    fn wide(&self, v: Val) -> Val {
        self.places[v as usize].wide
    }

    /// The value in its own dtype.
    fn stored(&mut self, v: Val) -> Val {
        let place = self.places[v as usize];
        if !self.dtype(v).is_half() {
            return place.wide;
        }
        place.narrow.unwrap_or_else(|| {
            let narrow = self.push(Inst::Convert(self.dtype(v), place.wide));
            self.places[v as usize].narrow = Some(narrow);
            narrow
        })
    }

    /// The value as f32 after rounding; one that is no half as it is.
    fn rounded(&mut self, v: Val) -> Val {
        if !self.dtype(v).is_half() || self.places[v as usize].exact {
            return self.wide(v);
        }
        let narrow = self.stored(v);
        let wide = self.push(Inst::Convert(DType::F32, narrow));
        self.places[v as usize] = Place { wide, narrow: Some(narrow), exact: true };
        wide
    }

    /// A half that `inst` gives, and its f32.
    fn half(&mut self, inst: Inst) -> Place {
        let narrow = self.push(inst);
        Place { wide: self.push(Inst::Convert(DType::F32, narrow)), narrow: Some(narrow), exact: true }
    }

    fn exact(&self, values: &[Val]) -> bool {
        values.iter().all(|v| self.places[*v as usize].exact)
    }

    fn inst(&mut self, inst: &Inst) {
        let dtype = self.dtypes[self.places.len()];
        let plain = |wide: Val, exact: bool| Place { wide, narrow: None, exact };
        let place = match *inst {
            Inst::Load { .. } if dtype.is_half() => self.half(inst.clone()),
            Inst::Const(ref c) if dtype.is_half() => {
                plain(self.push(Inst::Const(Literal::scalar(DType::F32, c.get_f64(0)))), true)
            }
            Inst::Index { ref at, .. } if dtype.is_half() => {
                let index = self.push(Inst::Index { dtype: DType::F64, at: at.clone() });
                self.half(Inst::Convert(dtype, index))
            }
            Inst::Const(_) | Inst::Load { .. } | Inst::Index { .. } | Inst::Acc(_) => {
                plain(self.push(inst.clone()), false)
            }
            Inst::Unary(op, x) => {
                use Unary::{Abs, Ceil, Floor, IsFinite, Neg, Round, RoundAway, Sign};
                let keeps = matches!(op, Neg | Abs) && self.exact(&[x]);
                let jumps = matches!(op, Ceil | Floor | IsFinite | Round | RoundAway | Sign);
                let x = if jumps { self.rounded(x) } else { self.wide(x) };
                plain(self.push(Inst::Unary(op, x)), keeps || jumps)
            }
            Inst::Binary(op, x, y) => {
                let keeps = matches!(op, Binary::Max | Binary::Min) && self.exact(&[x, y]);
                let jumps = op == Binary::Rem;
                let [x, y] = [x, y].map(|v| if jumps { self.rounded(v) } else { self.wide(v) });
                plain(self.push(Inst::Binary(op, x, y)), keeps)
            }
            Inst::Compare(op, x, y) => {
                let (x, y) = (self.rounded(x), self.rounded(y));
                plain(self.push(Inst::Compare(op, x, y)), false)
            }
            Inst::Select(p, x, y) => {
                let keeps = self.exact(&[x, y]);
                let [p, x, y] = [p, x, y].map(|v| self.wide(v));
                plain(self.push(Inst::Select(p, x, y)), keeps)
            }
            Inst::Convert(to, x) => {
                let from = self.dtype(x);
                let x = self.rounded(x);
                match (to.is_half(), from) {
                    (false, _) if to == DType::F32 && from.is_half() => plain(x, false),
                    (false, _) => plain(self.push(Inst::Convert(to, x)), false),
                    (true, from) if from.is_float() => self.half(Inst::Convert(to, x)),
                    // integers of up to 16 bits are exact in f32, the others are rounded as f64
                    (true, from) => {
                        let via = if from.size() <= 2 { DType::F32 } else { DType::F64 };
                        let x = self.push(Inst::Convert(via, x));
                        self.half(Inst::Convert(to, x))
                    }
                }
            }
            Inst::Bitcast(to, x) => {
                let x = self.stored(x);
                if to.is_half() {
                    self.half(Inst::Bitcast(to, x))
                } else {
                    plain(self.push(Inst::Bitcast(to, x)), false)
                }
            }
            Inst::Threefry(lane, args) => {
                let args = args.map(|v| self.wide(v));
                plain(self.push(Inst::Threefry(lane, args)), false)
            }
        };
        self.places.push(place);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Affine, Axis, Param, Reduction, Store};
    use super::*;
    use gradloom_ir::{Comparison, Element, ReduceKind, bf16};

    fn at(strides: &[i64]) -> Affine {
        Affine { offset: 0, strides: strides.into() }
    }

    fn bytes<T: Element>(x: &[T]) -> Vec<u8> {
        let mut out = Vec::new();
        x.iter().for_each(|x| x.push_bytes(&mut out));
        out
    }

    #[test]
    fn sums_are_kept_in_f32() {
        let nest = LoopNest {
            name: "sum".into(),
            params: [1000, 1].map(|len| Param { dtype: DType::BF16, len }).to_vec(),
            axes: vec![Axis { extent: 1, reduce: false }, Axis { extent: 1000, reduce: true }],
            body: vec![Inst::Load { param: 0, at: at(&[0, 1]) }],
            reductions: vec![Reduction { kind: ReduceKind::Sum, value: 0 }],
            epilogue: vec![Inst::Acc(0)],
            stores: vec![Store { param: 1, value: 1, at: at(&[1, 0]) }],
        };
        let wide = nest.widen_halves().expect("a well formed nest");
        let (mut x, mut y) = (bytes(&[bf16::ONE; 1000]), bytes(&[bf16::ZERO]));
        super::super::interpret(&wide, &mut [&mut x, &mut y]).expect("a well formed nest");
        assert_eq!(bf16::from_bytes(&y), bf16::from_f32(1000.0), "in bf16 the sum would stop at 256");
    }

    #[test]
    fn comparisons_see_rounded_values() {
        // x + 1/512 is 1 in bf16
        let nest = LoopNest {
            name: "compare".into(),
            params: vec![Param { dtype: DType::BF16, len: 1 }, Param { dtype: DType::Bool, len: 1 }],
            axes: vec![Axis { extent: 1, reduce: false }],
            body: vec![
                Inst::Load { param: 0, at: at(&[1]) },
                Inst::Const(Literal::scalar(DType::BF16, 1.0 / 512.0)),
                Inst::Binary(Binary::Add, 0, 1),
                Inst::Compare(Comparison::Eq, 2, 0),
            ],
            reductions: vec![],
            epilogue: vec![],
            stores: vec![Store { param: 1, value: 3, at: at(&[1]) }],
        };
        let wide = nest.widen_halves().expect("a well formed nest");
        let (mut x, mut y) = (bytes(&[bf16::ONE]), bytes(&[false]));
        super::super::interpret(&wide, &mut [&mut x, &mut y]).expect("a well formed nest");
        assert!(bool::from_bytes(&y));
    }
}
