//! Normal form of a nest's loops.

use super::{Axis, LoopNest};
use std::cmp::Reverse;

impl LoopNest {
    /// The same nest with fewer loops, in an order that walks memory forwards.
    ///
    /// Requires: a verified nest. Ensures: no axis of extent 1; parallel axes ordered by falling stride of the first
    /// store, reduce axes by falling stride of the loads; adjacent axes of a kind that every access walks as one are
    /// one. Never: changes what is stored, but for the order in which a reduction combines.
    pub fn collapse(&self) -> LoopNest {
        let mut nest = self.clone();
        nest.keep_axes(|_, extent| extent != 1);
        nest.sort_axes();
        let mut i = 0;
        while i + 1 < nest.axes.len() {
            if nest.walks_as_one(i) {
                nest.merge_with_next(i);
            } else {
                i += 1;
            }
        }
        nest
    }

    fn keep_axes(&mut self, keep: impl Fn(usize, usize) -> bool) {
        // The last reduce axis stays: without one there could be no epilogue.
        let last_reduce = self.axes.iter().rposition(|a| a.reduce);
        let any_other =
            self.axes.iter().enumerate().any(|(i, a)| a.reduce && Some(i) != last_reduce && keep(i, a.extent));
        let order: Vec<usize> = (0..self.axes.len())
            .filter(|&i| keep(i, self.axes[i].extent) || (Some(i) == last_reduce && !any_other))
            .collect();
        self.permute(&order);
    }

    /// Makes axis `i` what was axis `order[i]`; axes that `order` lacks have extent 1.
    pub(crate) fn permute(&mut self, order: &[usize]) {
        self.axes = order.iter().map(|&i| self.axes[i]).collect();
        let insts = self.body.iter_mut().chain(&mut self.epilogue).filter_map(|i| i.affine_mut());
        for at in insts.chain(self.stores.iter_mut().map(|s| &mut s.at)) {
            at.strides = order.iter().map(|&i| at.strides[i]).collect();
        }
    }

    /// Inserts a loop along which nothing moves.
    pub(crate) fn insert_axis(&mut self, at: usize, axis: Axis) {
        self.axes.insert(at, axis);
        let insts = self.body.iter_mut().chain(&mut self.epilogue).filter_map(|i| i.affine_mut());
        for affine in insts.chain(self.stores.iter_mut().map(|s| &mut s.at)) {
            affine.strides.insert(at, 0);
        }
    }

    /// Makes a loop two: the axis steps by `inner`, which divides its extent, and a new one after it steps within.
    pub(crate) fn split_axis(&mut self, axis: usize, inner: usize) {
        let reduce = self.axes[axis].reduce;
        self.axes[axis].extent /= inner;
        self.axes.insert(axis + 1, Axis { extent: inner, reduce });
        let insts = self.body.iter_mut().chain(&mut self.epilogue).filter_map(|i| i.affine_mut());
        for at in insts.chain(self.stores.iter_mut().map(|s| &mut s.at)) {
            let stride = at.strides[axis];
            at.strides[axis] = stride * inner as i64;
            at.strides.insert(axis + 1, stride);
        }
    }

    fn sort_axes(&mut self) {
        let stored = |i: usize| self.stores.first().map_or(0, |s| s.at.strides[i].unsigned_abs());
        let loaded = |i: usize| {
            self.body.iter().filter_map(|inst| inst.affine()).map(|at| u128::from(at.strides[i].unsigned_abs())).sum()
        };
        let mut order: Vec<usize> = (0..self.axes.len()).collect();
        order.sort_by_key(|&i| {
            let reduce = self.axes[i].reduce;
            let stride: u128 = if reduce { loaded(i) } else { u128::from(stored(i)) };
            (reduce, Reverse(stride))
        });
        self.permute(&order);
    }

    fn walks_as_one(&self, i: usize) -> bool {
        let (outer, inner) = (self.axes[i], self.axes[i + 1]);
        outer.reduce == inner.reduce
            && self
                .affines()
                .all(|at| i128::from(at.strides[i]) == i128::from(at.strides[i + 1]) * inner.extent as i128)
    }

    fn merge_with_next(&mut self, i: usize) {
        self.axes[i + 1].extent *= self.axes[i].extent;
        let order: Vec<usize> = (0..self.axes.len()).filter(|&k| k != i).collect();
        self.permute(&order);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Affine, Inst, Param, Reduction, Store};
    use super::*;
    use gradloom_ir::{DType, ReduceKind};

    fn copy(extents: &[usize], from: &[i64], to: &[i64]) -> LoopNest {
        let at = |s: &[i64]| Affine { offset: 0, strides: s.into() };
        LoopNest {
            name: "copy".into(),
            params: vec![Param { dtype: DType::F32, len: extents.iter().product() }; 2],
            axes: extents.iter().map(|extent| Axis { extent: *extent, reduce: false }).collect(),
            body: vec![Inst::Load { param: 0, at: at(from) }],
            reductions: vec![],
            epilogue: vec![],
            stores: vec![Store { param: 1, value: 0, at: at(to) }],
        }
    }

    fn loops(nest: &LoopNest) -> String {
        let nest = nest.collapse();
        nest.verify().expect("collapsing keeps a nest well formed");
        let text = nest.to_string();
        text.lines().skip(1).map(str::trim).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn a_contiguous_copy_has_one_axis() {
        let nest = copy(&[2, 1, 3, 4], &[12, 5, 4, 1], &[12, 12, 4, 1]);
        assert_eq!(loops(&nest), "for i < 24; %0 = p0[i]; p1[i] = %0");
        let nest = copy(&[4, 3], &[1, 4], &[1, 4]);
        assert_eq!(loops(&nest), "for i < 12; %0 = p0[i]; p1[i] = %0");
    }

    #[test]
    fn a_transposition_stores_forwards() {
        let nest = copy(&[3, 4], &[4, 1], &[1, 3]);
        assert_eq!(loops(&nest), "for i < 4; for j < 3; %0 = p0[i + 4j]; p1[3i + j] = %0");
    }

    #[test]
    fn reduce_axes_merge_and_one_stays() {
        let mut nest = copy(&[5, 2, 3], &[6, 3, 1], &[1, 0, 0]);
        nest.axes[1].reduce = true;
        nest.axes[2].reduce = true;
        nest.reductions.push(Reduction { kind: ReduceKind::Sum, value: 0 });
        nest.epilogue.push(Inst::Acc(0));
        nest.stores[0].value = 1;
        assert_eq!(loops(&nest), "for i < 5; reduce j < 6; %0 = p0[6i + j]; acc0 = sum %0; %1 = acc0; p1[i] = %1");
        nest.axes[1].extent = 1;
        nest.axes[2].extent = 1;
        assert!(loops(&nest).starts_with("for i < 5; reduce j < 1; "));
        nest.axes[2].extent = 0;
        assert!(loops(&nest).starts_with("for i < 5; reduce j < 0; "));
    }
}
