//! What is true of every loop nest; the list is in the module doc of [`super`].

use super::{Affine, LoopNest, Store};
use gradloom_ir::{Error, Op, Result, Type, infer};

/// Stores whose disjointness the stride rules do not show are enumerated up to this many points.
const MAX_ENUMERATED_POINTS: usize = 1 << 16;

impl LoopNest {
    /// Checks the invariants of the module doc.
    pub fn verify(&self) -> Result<()> {
        self.verify_axes()?;
        self.dtypes()?;
        self.verify_values()?;
        self.verify_stores()?;
        self.verify_bounds()
    }

    fn fail<T>(&self, what: String) -> Result<T> {
        Err(Error::internal("loop nest", format!("kernel {}: {what}", self.name)))
    }

    /// The affine functions of loads, indices and stores.
    pub(super) fn affines(&self) -> impl Iterator<Item = &Affine> {
        self.insts().filter_map(|i| i.affine()).chain(self.stores.iter().map(|s| &s.at))
    }

    /// 1, and one stride an axis.
    fn verify_axes(&self) -> Result<()> {
        if self.axes.windows(2).any(|w| w[0].reduce && !w[1].reduce) {
            return self.fail("a parallel axis follows a reduce axis".into());
        }
        if let Some(at) = self.affines().find(|at| at.strides.len() != self.axes.len()) {
            return self.fail(format!("{at:?} has not one stride for each of {} axes", self.axes.len()));
        }
        let magnitude = |at: &Affine| {
            let extents = self.axes.iter().map(|a| i128::from(a.extent.max(1) as u64));
            let reach = at.strides.iter().zip(extents).map(|(s, n)| i128::from(*s).saturating_mul(n).saturating_abs());
            reach.fold(i128::from(at.offset.unsigned_abs()), i128::saturating_add)
        };
        if let Some(at) = self.affines().find(|at| magnitude(at) > i128::from(i64::MAX)) {
            return self.fail(format!("{at} overflows"));
        }
        let points = self.axes.iter().try_fold(1i64, |n, a| n.checked_mul(i64::try_from(a.extent).ok()?));
        if points.is_none() {
            return self.fail("the number of points overflows".into());
        }
        Ok(())
    }

    /// 2 and 4; that operands are earlier values is checked by `dtypes`.
    fn verify_values(&self) -> Result<()> {
        let reduces = self.axes.iter().any(|a| a.reduce);
        let after = self.epilogue.len() + self.reductions.len();
        if !reduces && after > 0 {
            return self.fail("it has an epilogue or a reduction but no reduce axis".into());
        }
        let dtypes = self.dtypes()?;
        for r in &self.reductions {
            if r.value as usize >= self.body.len() {
                return self.fail(format!("reduced value %{} is not of the body", r.value));
            }
            let op = Op::Reduce { kind: r.kind, axes: [0].into_iter().collect() };
            infer(&op, &[Type::new(dtypes[r.value as usize], &[1])])?;
        }
        let stored = if reduces { self.body.len()..dtypes.len() } else { 0..dtypes.len() };
        for s in &self.stores {
            let Some(param) = self.params.get(s.param as usize) else {
                return self.fail(format!("stored param {} does not exist", s.param));
            };
            if !stored.contains(&(s.value as usize)) {
                return self.fail(format!("%{} cannot be stored", s.value));
            }
            let dtype = dtypes[s.value as usize];
            if param.dtype != dtype {
                return self.fail(format!("%{} of dtype {dtype} is stored to p{}: {}", s.value, s.param, param.dtype));
            }
        }
        let epilogue = self.epilogue.iter().filter_map(|i| i.affine());
        for at in epilogue.chain(self.stores.iter().map(|s| &s.at)) {
            if self.axes.iter().zip(&at.strides).any(|(a, s)| a.reduce && *s != 0) {
                return self.fail(format!("{at} moves along a reduce axis after the reduction"));
            }
        }
        Ok(())
    }

    /// 5
    fn verify_stores(&self) -> Result<()> {
        if self.axes.iter().any(|a| !a.reduce && a.extent == 0) {
            return Ok(());
        }
        for (i, a) in self.stores.iter().enumerate() {
            if !self.injective(a, None) && !self.distinct_by_enumeration(&[a]) {
                return self.fail(format!("p{}[{}] is not known to be another element at every point", a.param, a.at));
            }
            for b in self.stores[..i].iter().filter(|b| b.param == a.param) {
                if !self.disjoint(a, b) && !self.distinct_by_enumeration(&[a, b]) {
                    return self.fail(format!("p{}[{}] and [{}] are not known to be disjoint", a.param, a.at, b.at));
                }
            }
        }
        Ok(())
    }

    /// Whether the strides, from the least, each exceed the reach of all lesser ones: then points are distinct.
    /// `extra` is one more axis of extent 2 with this stride.
    fn injective(&self, store: &Store, extra: Option<i64>) -> bool {
        let extents = self.axes.iter().map(|a| if a.reduce { 1 } else { a.extent });
        let mut steps: Vec<(u64, u64)> = store
            .at
            .strides
            .iter()
            .zip(extents)
            .map(|(s, n)| (s.unsigned_abs(), n as u64))
            .chain(extra.map(|s| (s.unsigned_abs(), 2)))
            .filter(|(_, n)| *n > 1)
            .collect();
        steps.sort_unstable();
        let mut reach: u128 = 0;
        steps.iter().all(|(s, n)| {
            let apart = u128::from(*s) > reach;
            reach += u128::from(*s) * u128::from(n - 1);
            apart
        })
    }

    /// Whether two stores are known never to meet: by range, by residue, or as halves of one larger box.
    fn disjoint(&self, a: &Store, b: &Store) -> bool {
        let extents = || self.axes.iter().map(|x| if x.reduce { 1 } else { x.extent });
        let (a_low, a_high) = a.at.range(extents());
        let (b_low, b_high) = b.at.range(extents());
        if a_high < b_low || b_high < a_low {
            return true;
        }
        let apart = a.at.offset.abs_diff(b.at.offset);
        let gcd = a.at.strides.iter().chain(&b.at.strides).fold(0, |g, s| gcd(g, s.unsigned_abs()));
        if gcd > 1 && !apart.is_multiple_of(gcd) {
            return true;
        }
        a.at.strides == b.at.strides && i64::try_from(apart).is_ok_and(|apart| self.injective(a, Some(apart)))
    }

    fn distinct_by_enumeration(&self, stores: &[&Store]) -> bool {
        let extents: Vec<usize> = self.axes.iter().map(|a| if a.reduce { 1 } else { a.extent }).collect();
        if extents.iter().product::<usize>() > MAX_ENUMERATED_POINTS {
            return false;
        }
        let mut seen = std::collections::HashSet::new();
        let mut index = vec![0; extents.len()];
        loop {
            if !stores.iter().all(|s| seen.insert(s.at.at(&index))) {
                return false;
            }
            if !advance(&mut index, &extents) {
                return true;
            }
        }
    }

    /// 6
    fn verify_bounds(&self) -> Result<()> {
        let empty = |reduce| self.axes.iter().any(|a| a.reduce == reduce && a.extent == 0);
        if let Some(p) = self.params.iter().find(|p| p.len > isize::MAX as usize / p.dtype.size()) {
            return self.fail(format!("a buffer of {} {} does not fit in memory", p.len, p.dtype));
        }
        if empty(false) {
            return Ok(());
        }
        let check = |param: u32, at: &Affine| {
            // After an empty reduction the epilogue still runs, so extents count as at least 1 here.
            let (low, high) = at.range(self.axes.iter().map(|a| a.extent.max(1)));
            let len = self.params[param as usize].len;
            if low < 0 || high >= len as i128 {
                return self.fail(format!("p{param}[{at}] reaches {low}..={high} of {len} elements"));
            }
            Ok(())
        };
        let body = if empty(true) { &[][..] } else { &self.body[..] };
        for inst in body.iter().chain(&self.epilogue) {
            if let super::Inst::Load { param, at } = inst {
                check(*param, at)?;
            }
        }
        self.stores.iter().try_for_each(|s| check(s.param, &s.at))
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Steps to the next point in row-major order; false after the last one.
pub(super) fn advance(index: &mut [usize], extents: &[usize]) -> bool {
    for (i, n) in index.iter_mut().zip(extents).rev() {
        *i += 1;
        if *i < *n {
            return true;
        }
        *i = 0;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::{Axis, Inst, Param, Reduction};
    use super::*;
    use gradloom_ir::{Binary, DType, ReduceKind};

    fn at(offset: i64, strides: &[i64]) -> Affine {
        Affine { offset, strides: strides.into() }
    }

    fn copy(extents: &[usize], from: Affine, to: Affine) -> LoopNest {
        LoopNest {
            name: "copy".into(),
            params: vec![Param { dtype: DType::F32, len: 12 }; 2],
            axes: extents.iter().map(|extent| Axis { extent: *extent, reduce: false }).collect(),
            body: vec![Inst::Load { param: 0, at: from }],
            reductions: vec![],
            epilogue: vec![],
            stores: vec![Store { param: 1, value: 0, at: to }],
        }
    }

    #[track_caller]
    fn refused(nest: &LoopNest, text: &str) {
        let error = nest.verify().expect_err("the nest is broken").to_string();
        assert!(error.contains(text), "{error}");
    }

    #[test]
    fn bounds() {
        copy(&[3, 4], at(0, &[4, 1]), at(0, &[1, 3])).verify().expect("a transposition");
        copy(&[3, 4], at(11, &[-4, -1]), at(0, &[4, 1])).verify().expect("a reversal");
        copy(&[0, 4], at(100, &[4, 1]), at(-7, &[1, 3])).verify().expect("nothing is touched");
        refused(&copy(&[3, 4], at(1, &[4, 1]), at(0, &[4, 1])), "reaches 1..=12 of 12");
        refused(&copy(&[3, 4], at(0, &[-1, 1]), at(0, &[4, 1])), "reaches -2..=3");
    }

    #[test]
    fn stores_are_distinct() {
        refused(&copy(&[3, 4], at(0, &[4, 1]), at(0, &[2, 1])), "another element");
        refused(&copy(&[3, 4], at(0, &[4, 1]), at(0, &[0, 1])), "another element");
        copy(&[2, 3], at(0, &[3, 1]), at(0, &[3, 2])).verify().expect("distinct, though the strides interleave");
        let mut twice = copy(&[3], at(0, &[1]), at(0, &[2]));
        twice.stores.push(Store { param: 1, value: 0, at: at(1, &[2]) });
        twice.verify().expect("even and odd elements");
        twice.stores[1].at = at(2, &[2]);
        refused(&twice, "disjoint");
    }

    #[test]
    fn values() {
        let mut nest = copy(&[3], at(0, &[1]), at(0, &[1]));
        nest.body.push(Inst::Binary(Binary::Add, 0, 1));
        refused(&nest, "%1 is used where it is not known");
        nest.body[1] = Inst::Binary(Binary::And, 0, 0);
        refused(&nest, "dtype f32 is not allowed");
        nest.body[1] = Inst::Convert(DType::I32, 0);
        nest.stores[0].value = 1;
        refused(&nest, "%1 of dtype i32 is stored to p1: f32");
        nest.stores[0] = Store { param: 1, value: 0, at: at(0, &[1]) };
        nest.reductions.push(Reduction { kind: ReduceKind::Sum, value: 0 });
        refused(&nest, "no reduce axis");
        nest.axes.push(Axis { extent: 2, reduce: true });
        refused(&nest, "one stride");
    }
}
