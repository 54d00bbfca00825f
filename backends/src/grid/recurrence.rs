//! Loops over few numbers: one thread that keeps them in its registers.

use super::nest::{Lanes, Points};
use super::{Build, GridKernel, Memory, Reg, WARP};
use crate::kernel::{Axis, Inst, LoopNest, Recurrence, Steps};
use gradloom_ir::{Comparison, DType, Result};
use smallvec::smallvec;
use std::collections::HashMap;

/// A recurrence as a grid kernel of one block, of which one thread works.
///
/// # Errors
/// A recurrence that is not well formed.
pub fn lower_recurrence(r: &Recurrence) -> Result<GridKernel> {
    let dtypes = r.dtypes()?;
    let known = match r.steps {
        Steps::Known(n) => Some(n),
        Steps::While(..) => None,
    };
    let nest = LoopNest {
        name: r.name.clone(),
        params: r.params.clone(),
        axes: vec![Axis { extent: known.unwrap_or(1), reduce: false }],
        body: r.body.clone(),
        reductions: vec![],
        epilogue: vec![],
        stores: r.stores.clone(),
    };
    // what is the same in every step is computed once
    let mut varies = Vec::with_capacity(r.body.len());
    for inst in &r.body {
        let own = matches!(inst, Inst::Acc(_)) || inst.affine().is_some_and(|at| at.strides[0] != 0);
        varies.push(own || inst.operands().iter().any(|v| varies[*v as usize]));
    }
    let code = Points::of(&nest, dtypes);
    let mut build = Build::new(&r.name, &r.params, 1, WARP, DType::U64);
    let b = &mut build;
    let (thread, zero) = (b.thread(), b.index(0));
    let is_first = b.compare(Comparison::Eq, thread, zero);
    b.when(is_first, |b| {
        let mut once = Vec::new();
        for (v, &varies) in varies.iter().enumerate() {
            if varies {
                once.push(Lanes::new());
            } else {
                code.evaluate(b, &[zero], &[], v..v + 1, &mut once);
            }
        }
        let constant: HashMap<usize, Reg> = (0..once.len()).filter(|&v| !varies[v]).map(|v| (v, once[v][0])).collect();
        let element = |b: &mut Build, (param, at): (u32, usize)| (Memory::Param(param), b.index(at as i64));
        let mut carried: Vec<Reg> = Vec::with_capacity(r.carried.len());
        for c in &r.carried {
            let (from, at) = element(b, c.init);
            let x = b.load(from, at);
            carried.push(b.variable(x));
        }
        let accs: Vec<Lanes> = carried.iter().map(|&x| smallvec![x]).collect();
        let end = b.index(known.map_or(i64::MAX, |n| n as i64));
        let end = b.variable(end);
        let one = b.index(1);
        b.count(zero, end, one, |b, step| {
            let mut values = Vec::new();
            let rest = |b: &mut Build, from: usize, values: &mut Vec<Lanes>| {
                code.evaluate_with(b, &[step], &accs, from..r.body.len(), values, &constant);
                code.store(b, &[step], values);
                // a number may become another one that is carried: all are read before any changes
                let next: Vec<Reg> = r.carried.iter().map(|c| b.variable(values[c.next as usize][0])).collect();
                carried.iter().zip(next).for_each(|(&x, next)| b.assign(x, next));
            };
            match r.steps {
                Steps::Known(_) => rest(b, 0, &mut values),
                Steps::While(test, head) => {
                    code.evaluate_with(b, &[step], &accs, 0..head, &mut values, &constant);
                    let goes_on = values[test as usize][0];
                    b.when(goes_on, |b| rest(b, head, &mut values));
                    // the loop ends where its end is moved to the front
                    let ends = b.negated(goes_on);
                    b.when(ends, |b| b.assign(end, zero));
                }
            }
        });
        for (c, &x) in r.carried.iter().zip(&carried) {
            let (to, at) = element(b, c.end);
            b.store(to, at, x);
        }
    });
    Ok(build.finish())
}
