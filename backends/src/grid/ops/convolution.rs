//! Convolutions as products: rows are the places of the result (batch and space), columns output features, terms the places of
//! the window and the input features of a group. The left factor's elements are read where they lie in the input; padding is 0.

use super::product::{Factors, Sizes, tiled};
use super::{Launches, Operand, computed, each_by, index_within, load_computed, param, undilated};
use crate::grid::{Build, Memory, Reg};
use gradloom_ir::{Binary, Error, Literal, Op, Result, Type, conv_geometry, row_major_strides};

/// Where the element is whose index along axis `dims[i]` is `index[i]`.
fn place(b: &mut Build, t: &Type, dims: &[usize], index: &[Reg]) -> Reg {
    let strides = row_major_strides(&t.shape);
    let strides: Vec<usize> = dims.iter().map(|&d| strides[d]).collect();
    b.place(index, &strides)
}

pub(super) fn convolution(op: &Op, args: &[Type], out: &Type) -> Result<Launches> {
    let (l, r) = (&args[0], &args[1]);
    let g = conv_geometry(op, l, r)?;
    let Op::Convolution {
        lhs_dims,
        rhs_dims,
        out_dims,
        strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        feature_groups,
        batch_groups,
    } = op
    else {
        return Err(Error::internal(op.name(), "is no convolution"));
    };
    let computed = computed(out.dtype);
    let spatial = strides.len();
    // of the two kinds of groups at least one is 1
    let groups = feature_groups * batch_groups;
    let batch = g.batch / batch_groups;
    let columns = g.out_features / groups;
    let rows: Vec<usize> = [batch].into_iter().chain(g.out_spatial.iter().copied()).collect();
    let depths: Vec<usize> = g.rhs_spatial.iter().copied().chain([g.group_features]).collect();
    let s = Sizes { batch: groups, rows: rows.iter().product(), columns, depth: depths.iter().product() };
    // places in the padded and dilated input
    let extent = |a: usize| {
        let input = g.lhs_spatial[a] as i128 * lhs_dilation[a] as i128;
        let window = g.rhs_spatial[a] as i128 * rhs_dilation[a] as i128;
        input + window + i128::from(padding[a].0).abs() + i128::from(padding[a].1).abs() + strides[a] as i128
    };
    let index = index_within((0..spatial).map(extent), [l, r, out]);
    let operands = vec![Operand::Arg(0), Operand::Arg(1), Operand::Result(0)];
    if s.depth == 0 || l.numel() == 0 {
        let kernel = each_by("convolution", &[l, r, out], index, out.numel(), |b, number| {
            let zero = b.constant(Literal::scalar(out.dtype, 0.0));
            b.store(Memory::Param(2), number, zero);
        })?;
        return Ok(Launches::one(kernel, operands));
    }
    let feature = |b: &mut Build, group: Reg, column: Reg| {
        let first = b.times(group, columns as i64);
        b.binary(Binary::Add, first, column)
    };
    let f = Factors {
        left: |b: &mut Build, group: Reg, row: Reg, k: Reg| {
            let (row, k) = (b.point(row, &rows), b.point(k, &depths));
            let in_group = |b: &mut Build, groups: usize, each: usize, i: Reg| {
                if groups == 1 {
                    return i;
                }
                let first = b.times(group, each as i64);
                b.binary(Binary::Add, first, i)
            };
            let mut at = vec![in_group(b, *batch_groups, batch, row[0])];
            at.push(in_group(b, *feature_groups, g.group_features, k[spatial]));
            let mut inside = b.truth(true);
            for a in 0..spatial {
                let (start, offset) = (b.times(row[1 + a], strides[a] as i64), b.times(k[a], rhs_dilation[a] as i64));
                let i = b.binary(Binary::Add, start, offset);
                let place = b.plus(i, padding[a].0.wrapping_neg());
                let (exists, i) = undilated(b, place, g.lhs_spatial[a], lhs_dilation[a]);
                inside = b.both(inside, exists);
                at.push(i);
            }
            let x = b.constant(Literal::scalar(computed, 0.0));
            b.when(inside, |b| {
                let at = place(b, l, lhs_dims, &at);
                let element = load_computed(b, Memory::Param(0), at);
                b.assign(x, element);
            });
            x
        },
        right: |b: &mut Build, group: Reg, k: Reg, column: Reg| {
            let k = b.point(k, &depths);
            let mut at = vec![feature(b, group, column), k[spatial]];
            at.extend(&k[..spatial]);
            let at = place(b, r, rhs_dims, &at);
            load_computed(b, Memory::Param(1), at)
        },
        store: |b: &mut Build, group: Reg, row: Reg, column: Reg, sum: Reg| {
            let row = b.point(row, &rows);
            let mut at = vec![row[0], feature(b, group, column)];
            at.extend(&row[1..]);
            let at = place(b, out, out_dims, &at);
            let sum = b.converted(sum, out.dtype);
            b.store(Memory::Param(2), at, sum);
        },
    };
    let params = [l, r, out].map(param);
    Ok(Launches::one(tiled("convolution", &params, index, computed, s, &f)?, operands))
}
