//! Loops: plain ones, and those whose lanes step together with what remains.

use super::emit::{Emitter, Width};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{BlockArg, InstBuilder, Value, types};

/// An end of a loop.
#[derive(Clone, Copy)]
enum Bound {
    Known(i64),
    Computed(Value),
}

/// What a loop does at an index, with values carried from one iteration to the next.
type Body<'f, 'a> = &'f mut dyn FnMut(&mut Emitter<'a>, Vec<Value>) -> Vec<Value>;

impl<'a> Emitter<'a> {
    fn bound(&mut self, bound: Bound) -> Value {
        match bound {
            Bound::Known(x) => self.b.ins().iconst(types::I64, x),
            Bound::Computed(x) => x,
        }
    }

    /// Opens the parallel loops from `depth` on and computes every point.
    pub fn parallel_loop(&mut self, depth: usize) {
        if depth == self.plan.nest.parallel() {
            self.point();
            return;
        }
        let (from, to) = if depth == self.plan.split {
            (Bound::Computed(self.range.0), Bound::Computed(self.range.1))
        } else {
            (Bound::Known(0), Bound::Known(self.plan.nest.axes[depth].extent as i64))
        };
        let mut body = |e: &mut Emitter<'a>, carried| {
            e.values(depth + 1);
            e.parallel_loop(depth + 1);
            carried
        };
        if self.plan.vector == Some(depth) {
            self.vector_loop(from, to, vec![], &mut body);
        } else {
            self.counted_loop(from, to, 1, vec![], &mut body);
        }
    }

    /// A loop over the whole of axis `depth`, which is the next to be opened.
    pub fn full_loop(&mut self, depth: usize, carried: Vec<Value>, body: Body<'_, 'a>) -> Vec<Value> {
        let (from, to) = (Bound::Known(0), Bound::Known(self.plan.nest.axes[depth].extent as i64));
        if self.plan.vector == Some(depth) {
            self.vector_loop(from, to, carried, body)
        } else {
            self.counted_loop(from, to, 1, carried, body)
        }
    }

    /// `body` at `from, from + step, .. < to`.
    fn counted_loop(
        &mut self,
        from: Bound,
        to: Bound,
        step: i64,
        carried: Vec<Value>,
        body: Body<'_, 'a>,
    ) -> Vec<Value> {
        if let (Bound::Known(from), Bound::Known(to)) = (from, to) {
            if from >= to {
                return carried;
            }
            if from + step >= to {
                let index = self.b.ins().iconst(types::I64, from);
                return self.at_index(index, carried, body);
            }
        }
        let (start, end) = (self.bound(from), self.bound(to));
        let (inside, after) = (self.b.create_block(), self.b.create_block());
        let index = self.b.append_block_param(inside, types::I64);
        for x in &carried {
            let ty = self.b.func.dfg.value_type(*x);
            self.b.append_block_param(inside, ty);
            self.b.append_block_param(after, ty);
        }
        let first = arguments(Some(start), &carried);
        if matches!((from, to), (Bound::Known(_), Bound::Known(_))) {
            self.b.ins().jump(inside, &first);
        } else {
            let any = self.b.ins().icmp(IntCC::SignedLessThan, start, end);
            self.b.ins().brif(any, inside, &first, after, &arguments(None, &carried));
        }
        self.b.switch_to_block(inside);
        let carried = self.b.block_params(inside)[1..].to_vec();
        let carried = self.at_index(index, carried, body);
        let next = self.b.ins().iadd_imm_s(index, step);
        let more = self.b.ins().icmp(IntCC::SignedLessThan, next, end);
        self.b.ins().brif(more, inside, &arguments(Some(next), &carried), after, &arguments(None, &carried));
        self.b.switch_to_block(after);
        self.b.block_params(after).to_vec()
    }

    fn at_index(&mut self, index: Value, carried: Vec<Value>, body: Body<'_, 'a>) -> Vec<Value> {
        self.index.push(index);
        let carried = body(self, carried);
        self.index.pop();
        carried
    }

    /// A loop by unrolled vectors, then by vectors, then by points, leaving out what cannot be.
    fn vector_loop(&mut self, from: Bound, to: Bound, mut carried: Vec<Value>, body: Body<'_, 'a>) -> Vec<Value> {
        let plan = self.plan;
        let extent = plan.nest.axes[plan.vector.expect("only called with a vector loop")].extent;
        let (lanes, unroll) = (plan.lanes, plan.unroll);
        let steps = [(lanes * unroll, Width::Vectors(unroll)), (lanes, Width::Vectors(1)), (1, Width::Scalar)];
        let mut from = from;
        let mut before = usize::MAX;
        for (step, width) in steps {
            // Threads cut at multiples of the longest step, so only the end of the whole loop has a rest.
            let rest = if before == usize::MAX { extent } else { extent % before };
            if rest < step || step == before {
                continue;
            }
            let until = if extent.is_multiple_of(step) { to } else { self.round_down(from, to, step as i64) };
            self.width = width;
            carried = self.counted_loop(from, until, step as i64, carried, body);
            from = until;
            before = step;
        }
        self.width = Width::Scalar;
        carried
    }

    /// The last end not after `to` that is whole steps from `from`.
    fn round_down(&mut self, from: Bound, to: Bound, step: i64) -> Bound {
        if let (Bound::Known(from), Bound::Known(to)) = (from, to) {
            return Bound::Known(from + (to - from) / step * step);
        }
        let (from, to) = (self.bound(from), self.bound(to));
        let length = self.b.ins().isub(to, from);
        let whole = self.b.ins().band_imm_s(length, -step);
        Bound::Computed(self.b.ins().iadd(from, whole))
    }
}

fn arguments(index: Option<Value>, carried: &[Value]) -> Vec<BlockArg> {
    index.iter().chain(carried).map(|x| BlockArg::Value(*x)).collect()
}
