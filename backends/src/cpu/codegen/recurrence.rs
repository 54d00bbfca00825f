//! Machine code of recurrences: all carried numbers are parameters of the loop's block, so they stay in registers.

use super::emit::{Emitter, Held};
use super::plan::Plan;
use crate::kernel::{Affine, Axis, Inst, LoopNest, Recurrence, Steps, Val};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{BlockArg, InstBuilder, Value, types};
use cranelift_codegen::isa::TargetFrontendConfig;
use gradloom_ir::Result;
use smallvec::smallvec;

impl Plan {
    /// A scalar loop over the steps.
    pub fn of_recurrence(r: &Recurrence) -> Result<Plan> {
        let dtypes = r.dtypes()?;
        let extent = match r.steps {
            Steps::Known(n) => n,
            Steps::While(..) => 1,
        };
        let mut levels: Vec<usize> = Vec::with_capacity(r.body.len());
        for inst in &r.body {
            let own = matches!(inst, Inst::Acc(_)) || inst.affine().is_some_and(|at| at.strides[0] != 0);
            let level = inst.operands().iter().map(|v| levels[*v as usize]).max().unwrap_or(0);
            levels.push(level.max(usize::from(own)));
        }
        let mut used = vec![false; r.body.len()];
        let roots = r.carried.iter().map(|c| c.next).chain(r.stores.iter().map(|s| s.value));
        let condition = match r.steps {
            Steps::Known(_) => None,
            Steps::While(v, _) => Some(v),
        };
        roots.chain(condition).for_each(|v| used[v as usize] = true);
        for v in (0..used.len()).rev() {
            if used[v] {
                r.body[v].operands().iter().for_each(|o| used[*o as usize] = true);
            }
        }
        let nest = LoopNest {
            name: r.name.clone(),
            params: r.params.clone(),
            axes: vec![Axis { extent, reduce: false }],
            body: r.body.clone(),
            reductions: vec![],
            epilogue: vec![],
            stores: r.stores.clone(),
        };
        let cost = extent.saturating_mul(r.body.len()) as u64;
        let varying = vec![false; r.body.len()];
        Ok(Plan { nest, dtypes, levels, varying, used, vector: None, lanes: 1, wide: false, unroll: 1, split: 0, cost })
    }
}

impl<'a> Emitter<'a> {
    /// The whole function of a recurrence.
    pub fn recurrence(mut self, r: &Recurrence, config: TargetFrontendConfig) -> Result<()> {
        self.load_params();
        self.values(0);
        let element = |i: usize| Affine { offset: i as i64, strides: smallvec![0] };
        let zero = self.b.ins().iconst(types::I64, 0);
        let mut start = vec![BlockArg::Value(zero)];
        for c in &r.carried {
            let (pointer, offset) = self.address(c.init.0, &element(c.init.1), 0);
            let x = self.load(c.dtype, pointer, offset);
            start.push(BlockArg::Value(x));
        }
        let (top, inside, after) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        self.b.append_block_param(top, types::I64);
        for c in &r.carried {
            self.b.append_block_param(top, super::emit::scalar_type(c.dtype));
        }
        self.b.ins().jump(top, &start);

        self.b.switch_to_block(top);
        let params: Vec<Value> = self.b.block_params(top).to_vec();
        let (step, carried) = (params[0], &params[1..]);
        self.index.push(step);
        self.acc = carried.iter().map(|x| smallvec![Held::Uniform(*x)]).collect();
        let (head, more) = match r.steps {
            Steps::Known(n) => (0, self.b.ins().icmp_imm_s(IntCC::SignedLessThan, step, n as i64)),
            Steps::While(v, head) => {
                self.step_values(0..head);
                (head, self.uniform(v))
            }
        };
        self.b.ins().brif(more, inside, &[], after, &[]);

        self.b.switch_to_block(inside);
        self.step_values(head..r.body.len());
        self.stores();
        let next = self.b.ins().iadd_imm_s(step, 1);
        let again: Vec<BlockArg> =
            std::iter::once(next).chain(r.carried.iter().map(|c| self.uniform(c.next))).map(BlockArg::Value).collect();
        self.b.ins().jump(top, &again);
        self.index.pop();

        self.b.switch_to_block(after);
        for (c, x) in r.carried.iter().zip(carried) {
            let (pointer, offset) = self.address(c.end.0, &element(c.end.1), 0);
            self.store(c.dtype, *x, pointer, offset);
        }
        self.b.ins().return_(&[]);
        self.b.seal_all_blocks();
        self.b.finalize(config);
        Ok(())
    }

    /// The values of a step among `range`.
    fn step_values(&mut self, range: std::ops::Range<usize>) {
        let plan = self.plan;
        for v in range.filter(|v| plan.used[*v] && plan.levels[*v] == 1) {
            self.value(v as Val);
        }
    }
}
