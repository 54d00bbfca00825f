//! A product and what is done to each of its numbers before it is stored, as one routine.

use super::{Bias, Does, Epilogue, Plan, Routine, Site, product};
use crate::grid::ops::Operand;
use gradloom_ir::{Builder, Comparison, Error, Graph, Op, Result, Shape, Type};

/// `relu(left right + bias)`, on the factors and the bias, if there is one.
#[derive(Clone, PartialEq, Debug)]
pub struct Layer {
    /// The product.
    pub product: Op,
    /// The axes of the result that those of the bias are.
    pub bias: Option<Shape>,
    /// Whether what is not above 0 becomes 0; NaN stays NaN.
    pub relu: bool,
}

impl Layer {
    /// What it computes of operands of these types, in ops.
    ///
    /// # Errors
    /// Operands that do not go together.
    pub fn program(&self, args: &[Type]) -> Result<Graph> {
        let (mut b, inputs) = Builder::with_inputs(args);
        let missing = || Error::internal("dot_general", "a layer lacks an operand");
        let factors = inputs.get(..2).ok_or_else(missing)?;
        let mut out = b.emit(self.product.clone(), factors)?[0];
        if let Some(axes) = &self.bias {
            let shape = b.ty(out).shape.clone();
            let bias = b.broadcast(*inputs.get(2).ok_or_else(missing)?, &shape, axes);
            out = b.add(out, bias);
        }
        if self.relu {
            let zero = b.full_like(out, 0.0);
            let is_below = b.compare(Comparison::Le, out, zero);
            out = b.select(is_below, zero, out);
        }
        b.finish(&[out])
    }

    /// How a library computes it on the operands and the result of `site`; `None` if none has a form of it.
    ///
    /// # Errors
    /// As [`super::plans`].
    pub fn plan(&self, site: &Site) -> Result<Option<Plan>> {
        let (args, out) = (site.args, &site.results[0]);
        let Op::DotGeneral { lhs_batch, lhs_contract, .. } = &self.product else { return Ok(None) };
        let bias = match &self.bias {
            Some(axes) => {
                let rows = args[0].rank() - lhs_contract.len();
                match bias(&args[2], axes, out, lhs_batch.len(), rows) {
                    Some(batch) => {
                        // that of the second product's, too
                        let apart = 1 << (batch * out.dtype.size()).trailing_zeros().min(8);
                        Some(Bias { batch, alignment: site.alignment[2].min(apart) })
                    }
                    None => return Ok(None),
                }
            }
            None => None,
        };
        let of_result = site.alignment.last().copied().unwrap_or(1);
        let product = Site {
            op: &self.product,
            args: &args[..2],
            results: site.results,
            alignment: vec![site.alignment[0], site.alignment[1], of_result],
        };
        let Some(mut plan) = product::dot_general(&product)? else { return Ok(None) };
        if let Some((Does::Routine(Routine::Product(p)), buffers)) = plan.steps.last_mut() {
            p.epilogue = Epilogue { bias, relu: self.relu };
            buffers.extend(bias.map(|_| Operand::Arg(2)));
        }
        Ok(Some(plan))
    }
}

/// Elements from the bias of one product of a batch to that of the next, if there is one number a column, side by side: of a result
/// whose first `batches` axes are the batch, and whose axes from `rows` on are columns.
fn bias(bias: &Type, axes: &[usize], out: &Type, batches: usize, rows: usize) -> Option<usize> {
    if bias.dtype != out.dtype {
        return None;
    }
    let counts = |a: &usize| out.shape[*a] != 1;
    let own: Vec<usize> = axes.iter().zip(&bias.shape).filter(|&(_, &n)| n != 1).map(|(&a, _)| a).collect();
    let columns: Vec<usize> = (rows..out.rank()).filter(counts).collect();
    if own == columns {
        return Some(0);
    }
    let all: Vec<usize> = (0..batches).filter(counts).chain(columns.iter().copied()).collect();
    (own == all).then(|| columns.iter().map(|&a| out.shape[a]).product())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradloom_ir::DType;

    #[test]
    fn biases_that_libraries_read() {
        let of = |shape: &[usize], axes: &[usize], out: &[usize], batches, rows| {
            bias(&Type::new(DType::F32, shape), axes, &Type::new(DType::F32, out), batches, rows)
        };
        // the same for all rows, whatever their number
        assert_eq!(of(&[6], &[1], &[5, 6], 0, 1), Some(0));
        assert_eq!(of(&[6], &[2], &[3, 5, 6], 0, 2), Some(0));
        assert_eq!(of(&[2, 6], &[1, 2], &[5, 2, 6], 0, 1), Some(0));
        assert_eq!(of(&[1, 6], &[0, 1], &[1, 6], 0, 1), Some(0));
        assert_eq!(of(&[1, 6], &[0, 1], &[5, 6], 0, 1), Some(0));
        // the same for the batch, and not
        assert_eq!(of(&[6], &[2], &[3, 5, 6], 1, 2), Some(0));
        assert_eq!(of(&[3, 6], &[0, 2], &[3, 5, 6], 1, 2), Some(6));
        // along the rows, along both, one number, in another order
        assert_eq!(of(&[5], &[0], &[5, 6], 0, 1), None);
        assert_eq!(of(&[5, 6], &[0, 1], &[5, 6], 0, 1), None);
        assert_eq!(of(&[], &[], &[5, 6], 0, 1), None);
        assert_eq!(of(&[6, 3], &[2, 0], &[3, 5, 6], 1, 2), None);
        assert_eq!(of(&[1], &[1], &[5, 6], 0, 1), None);
    }
}
