//! Products of matrices: axes that are walked as one become strides and transpositions; a factor that is not made of such is
//! laid out by a kernel before.

use super::{Epilogue, Factor, Plan, Product, Routine, Site};
use crate::grid::ALIGNMENT;
use crate::grid::ops::{Operand, each, load_words, store_words, words};
use gradloom_ir::{DType, Op, Result, Type, row_major_strides};

/// The most rows, columns, terms and matrices that libraries count.
const MOST: usize = i32::MAX as usize;

/// Axes walked as one.
#[derive(Clone, Copy)]
struct Walk {
    count: usize,
    /// Elements from one to the next; of no meaning where there is but one.
    stride: usize,
}

/// The axes as one, in their order, if their elements are evenly apart.
fn walk(t: &Type, axes: &[usize]) -> Option<Walk> {
    let strides = row_major_strides(&t.shape);
    let mut whole = Walk { count: 1, stride: 1 };
    for &a in axes.iter().rev().filter(|&&a| t.shape[a] != 1) {
        if whole.count == 1 {
            whole = Walk { count: t.shape[a], stride: strides[a] };
        } else if strides[a] == whole.count * whole.stride {
            whole.count *= t.shape[a];
        } else {
            return None;
        }
    }
    Some(whole)
}

/// The axes of a factor: its batch, those of the result, those that are summed over.
struct Axes {
    batch: Vec<usize>,
    free: Vec<usize>,
    depth: Vec<usize>,
}

impl Axes {
    fn new(t: &Type, batch: &[usize], depth: &[usize]) -> Axes {
        let free = (0..t.rank()).filter(|a| !batch.contains(a) && !depth.contains(a)).collect();
        Axes { batch: batch.to_vec(), free, depth: depth.to_vec() }
    }

    fn count(t: &Type, axes: &[usize]) -> usize {
        axes.iter().map(|&a| t.shape[a]).product()
    }

    /// The factor as it lies, `rows` being free axes (of the left one) or those that are summed over; `None` if libraries do not
    /// read it so.
    fn as_it_lies(&self, t: &Type, is_left: bool) -> Option<Factor> {
        let batch = walk(t, &self.batch)?;
        let (free, depth) = (walk(t, &self.free)?, walk(t, &self.depth)?);
        let (rows, columns) = if is_left { (free, depth) } else { (depth, free) };
        // of one row or column the distance to the next is as good as any that is large enough
        let leading = |across: Walk, along: Walk| match across.count {
            1 => Some(along.count),
            _ => Some(across.stride).filter(|&s| s >= along.count),
        };
        let is_dense = |along: Walk| along.count == 1 || along.stride == 1;
        let (by_columns, leading) = match (is_dense(columns), is_dense(rows)) {
            (true, _) if leading(rows, columns).is_some() => (false, leading(rows, columns)?),
            (_, true) => (true, leading(columns, rows)?),
            _ => return None,
        };
        Some(Factor { by_columns, leading, batch: if batch.count == 1 { t.numel() } else { batch.stride } })
    }

    /// The axes in the order in which a factor is laid out: the left one row after row, the right one column after column, so
    /// that its terms lie side by side.
    fn order(&self) -> Vec<usize> {
        [&self.batch[..], &self.free, &self.depth].concat()
    }
}

/// Adds a kernel that writes the elements of operand `arg` in the order of `axes`.
fn lay_out(plan: &mut Plan, arg: usize, t: &Type, axes: &[usize]) -> Result<Operand> {
    let to = Type::new(t.dtype, &axes.iter().map(|&a| t.shape[a]).collect::<Vec<_>>());
    let strides = row_major_strides(&t.shape);
    let strides: Vec<usize> = axes.iter().map(|&a| strides[a]).collect();
    let w = words(t);
    let kernel = each("lay_out", &[t, &to], t.numel(), |b, number| {
        let index = b.point(number, &to.shape);
        let from = b.place(&index, &strides);
        let element = load_words(b, w, crate::grid::Memory::Param(0), from);
        store_words(b, w, crate::grid::Memory::Param(1), number, element);
    })?;
    let own = plan.take(t.bytes());
    plan.kernel(kernel, vec![Operand::Arg(arg), own]);
    Ok(own)
}

pub(super) fn dot_general(site: &Site) -> Result<Option<Plan>> {
    let Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } = site.op else { return Ok(None) };
    let (l, r, out) = (&site.args[0], &site.args[1], &site.results[0]);
    let is_float = matches!(out.dtype, DType::F16 | DType::BF16 | DType::F32 | DType::F64);
    if !is_float || l.dtype != out.dtype || r.dtype != out.dtype {
        return Ok(None);
    }
    // in the order in which the left factor has them, terms may lie side by side that do not in the given order
    let mut terms: Vec<(usize, usize)> = lhs_contract.iter().copied().zip(rhs_contract.iter().copied()).collect();
    terms.sort_unstable();
    let (lhs_terms, rhs_terms): (Vec<usize>, Vec<usize>) = terms.into_iter().unzip();
    let axes = [Axes::new(l, lhs_batch, &lhs_terms), Axes::new(r, rhs_batch, &rhs_terms)];
    let sizes = [
        Axes::count(l, &axes[0].batch),
        Axes::count(l, &axes[0].free),
        Axes::count(r, &axes[1].free),
        Axes::count(l, &axes[0].depth),
    ];
    if sizes.iter().any(|&n| n == 0 || n > MOST) {
        return Ok(None);
    }
    let [batch, rows, columns, depth] = sizes;
    let mut plan = Plan::default();
    let mut alignment = [site.alignment[0], site.alignment[1], site.alignment[2]];
    let mut factors = Vec::with_capacity(2);
    let mut buffers = Vec::with_capacity(3);
    for (arg, (t, axes)) in [l, r].into_iter().zip(&axes).enumerate() {
        if let Some(f) = axes.as_it_lies(t, arg == 0).filter(|f| f.leading <= MOST) {
            factors.push(f);
            buffers.push(Operand::Arg(arg));
            continue;
        }
        buffers.push(lay_out(&mut plan, arg, t, &axes.order())?);
        alignment[arg] = ALIGNMENT;
        let free = if arg == 0 { rows } else { columns };
        factors.push(Factor { by_columns: arg == 1, leading: depth, batch: free * depth });
    }
    buffers.push(Operand::Result(0));
    let (left, right) = (factors[0], factors[1]);
    let epilogue = Epilogue::default();
    let product = Product { dtype: out.dtype, batch, rows, columns, depth, left, right, epilogue, alignment };
    plan.routine(Routine::Product(product), buffers);
    Ok(Some(plan))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::library::Does;
    use gradloom_ir::parse;

    /// The plan of the only op of a program.
    fn planned(text: &str) -> Plan {
        let g = parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let (args, results) = (g.input_types(), g.output_types());
        let site = Site { op: &g.nodes()[0].op, args: &args, results: &results, alignment: vec![256; 3] };
        dot_general(&site).unwrap_or_else(|e| panic!("{e}")).unwrap_or_else(|| panic!("no plan\n{text}"))
    }

    fn product(plan: &Plan) -> &Product {
        match plan.steps.last() {
            Some((Does::Routine(Routine::Product(p)), _)) => p,
            other => panic!("{other:?}"),
        }
    }

    /// A matrix product of matrices that stand in a batch of heads between rows and columns is one batch of strides.
    #[test]
    fn heads_are_a_stride() {
        let plan = planned(
            "graph(%0: f32[64,8,16], %1: f32[32,8,16]) {
                %2 = dot_general(%0, %1) {lhs_batch = [1], rhs_batch = [1], lhs_contract = [2], rhs_contract = [2]} : f32[8,64,32]
                return %2 }",
        );
        assert!(plan.scratch.is_empty());
        let p = product(&plan);
        assert_eq!((p.batch, p.rows, p.columns, p.depth), (8, 64, 32, 16));
        assert_eq!(p.left, Factor { by_columns: false, leading: 128, batch: 16 });
        assert_eq!(p.right, Factor { by_columns: true, leading: 128, batch: 16 });
    }

    /// Axes that are summed over are one where both factors have them in one order, given in another.
    #[test]
    fn terms_in_another_order_are_one_axis() {
        let plan = planned(
            "graph(%0: f64[5,2,7], %1: f64[2,7,6]) {
                %2 = dot_general(%0, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [2, 1], rhs_contract = [1, 0]} : f64[5,6]
                return %2 }",
        );
        assert!(plan.scratch.is_empty());
        let p = product(&plan);
        assert_eq!((p.depth, p.left.leading, p.right.leading), (14, 14, 6));
    }

    /// A factor that no library reads as it lies is laid out before; the other is not.
    #[test]
    fn one_factor_is_laid_out() {
        let plan = planned(
            "graph(%0: f32[5,7,3], %1: f32[3,7,6]) {
                %2 = dot_general(%0, %1) {lhs_batch = [2], rhs_batch = [0], lhs_contract = [1], rhs_contract = [1]} : f32[3,5,6]
                return %2 }",
        );
        assert_eq!((plan.steps.len(), &plan.scratch[..]), (2, &[5 * 7 * 3 * 4][..]));
        let p = product(&plan);
        assert_eq!(p.left, Factor { by_columns: false, leading: 7, batch: 35 });
        assert_eq!(p.right, Factor { by_columns: false, leading: 6, batch: 42 });
    }

    /// A single row or column may have any distance to the next.
    #[test]
    fn single_rows_and_columns() {
        let plan = planned(
            "graph(%0: f32[1,7], %1: f32[7,1]) {
                %2 = dot_general(%0, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[1,1]
                return %2 }",
        );
        let p = product(&plan);
        assert!(p.left.leading >= if p.left.by_columns { p.rows } else { p.depth });
        assert!(p.right.leading >= if p.right.by_columns { p.depth } else { p.columns });
    }
}
