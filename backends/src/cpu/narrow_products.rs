//! Products of 16-bit floats as the processor and GPUs compute them.

use super::library::multiplies_bf16;
use gradloom_ir::{DType, Graph, Node, Op, Result, Value};
use gradloom_passes::{Changed, dead_code, map_bodies, rewrite_nodes};
use std::collections::HashMap;

/// A product of fewer multiplications is not worth laying out its operands anew.
const MIN_PRODUCT: usize = 1 << 15;

/// What is computed from 16-bit floats as they are.
#[derive(Clone, Copy)]
struct Narrow {
    /// Their dtypes.
    dtypes: &'static [DType],
    /// The fewest multiplications.
    least: usize,
    /// Whether convolutions are, too.
    convolutions: bool,
}

/// Whether the op is computed from 16-bit floats if its operands are: a product in f32 of enough multiplications, or a convolution.
fn is_large_product(g: &Graph, node: &Node, Narrow { least, convolutions, .. }: Narrow) -> bool {
    let Op::DotGeneral { lhs_contract, .. } = &node.op else {
        return convolutions && matches!(node.op, Op::Convolution { .. }) && g.ty(node.results[0]).dtype == DType::F32;
    };
    let ty = g.ty(node.results[0]);
    let contracted: usize = lhs_contract.iter().map(|&a| g.ty(node.args[0]).shape[a]).product();
    ty.dtype == DType::F32 && ty.numel().saturating_mul(contracted) >= least
}

fn converts(g: &Graph, node: &Node, from: DType, to: DType) -> bool {
    matches!(node.op, Op::Convert { dtype } if dtype == to) && g.ty(node.args[0]).dtype == from
}

/// As [`narrow_products`], for GPUs: their libraries and kernels read 16-bit floats and add up in f32 whatever the size.
pub(super) fn narrow_products_for_gpu(g: &mut Graph) -> Result<Changed> {
    narrow(g, Narrow { dtypes: &[DType::F16, DType::BF16], least: 0, convolutions: true })
}

/// Takes back what `widen_sums` did to products where the processor multiplies bf16 numbers itself and adds them up in
/// f32: a product of widened operands that is read once, to be rounded, is computed from the operands as they were.
///
/// **Never** changes more than the order in which products are added, and sums that are subnormal, which become 0.
pub(super) fn narrow_products(g: &mut Graph) -> Result<Changed> {
    if !multiplies_bf16() {
        return Ok(Changed::No);
    }
    narrow(g, Narrow { dtypes: &[DType::BF16], least: MIN_PRODUCT, convolutions: false })
}

fn narrow(g: &mut Graph, which: Narrow) -> Result<Changed> {
    let inside = map_bodies(g, &mut |body| narrow(body, which))?;
    let (definitions, uses) = (g.definitions(), g.use_counts());
    let definition = |v: Value| definitions[v.index()].map(|i| &g.nodes()[i]);
    let widened = |v: &Value, from| definition(*v).is_some_and(|n| converts(g, n, from, DType::F32));
    let product_of = |node: &Node| {
        let &of = which.dtypes.iter().find(|&&d| converts(g, node, DType::F32, d))?;
        let product = definition(node.args[0])?;
        let narrow = uses[node.args[0].index()] == 1
            && is_large_product(g, product, which)
            && product.args.iter().all(|v| widened(v, of));
        narrow.then_some(product)
    };
    if !g.nodes().iter().any(|n| product_of(n).is_some()) {
        return Ok(inside);
    }
    // what widened values were widened from, in the new program
    let mut sources: HashMap<Value, Value> = HashMap::new();
    let new = rewrite_nodes(g, |b, _, node, args| {
        if which.dtypes.iter().any(|&d| converts(g, node, d, DType::F32)) {
            sources.insert(node.results[0], args[0]);
        }
        let Some(product) = product_of(node) else { return Ok(None) };
        let operands: Vec<Value> = product.args.iter().filter_map(|a| sources.get(a).copied()).collect();
        b.emit(product.op.clone(), &operands).map(Some)
    })?;
    *g = dead_code(&new);
    Ok(Changed::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradloom_ir::parse;
    use gradloom_passes::Pipeline;

    #[test]
    fn a_product_that_is_rounded_stays_narrow() {
        let text = "graph(%0: bf16[40,64], %1: bf16[64,48]) {
            %2 = dot_general(%0, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : bf16[40,48]
            %3 = tanh(%2) : bf16[40,48]
            return %3
        }";
        let mut g = parse(text).unwrap_or_else(|e| panic!("{e}"));
        let original = g.clone();
        Pipeline::lowering().run(&mut g).unwrap_or_else(|e| panic!("{e}"));
        assert!(g.to_string().contains("convert"), "{g}");
        let changed = narrow_products(&mut g).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(changed == Changed::Yes, multiplies_bf16());
        if changed == Changed::Yes {
            assert_eq!(g, original);
        }
    }

    #[test]
    fn products_and_convolutions_for_gpus_stay_narrow() {
        for dtype in ["f16", "bf16"] {
            let product = format!("graph(%0: {dtype}[2,3], %1: {dtype}[3,4]) {{
                %2 = dot_general(%0, %1) {{lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]}} : {dtype}[2,4]
                return %2
            }}");
            let convolution = format!("graph(%0: {dtype}[2,3,9], %1: {dtype}[4,3,5]) {{
                %2 = convolution(%0, %1) {{lhs_dims = [0, 1, 2], rhs_dims = [0, 1, 2], out_dims = [0, 1, 2], strides = [1],
                    padding = [(0, 0)], lhs_dilation = [1], rhs_dilation = [1], feature_groups = 1, batch_groups = 1}} : {dtype}[2,4,5]
                return %2
            }}");
            for text in [product, convolution] {
                let mut g = parse(&text).unwrap_or_else(|e| panic!("{e}"));
                let original = g.clone();
                Pipeline::lowering().run(&mut g).unwrap_or_else(|e| panic!("{e}"));
                assert!(narrow_products_for_gpu(&mut g).is_ok_and(|c| c == Changed::Yes), "{g}");
                assert_eq!(g, original);
            }
        }
    }

    #[test]
    fn a_product_that_is_read_in_f32_stays_wide() {
        for rest in ["return %4", "%5 = convert(%4) {dtype = bf16} : bf16[40,48] return %4, %5"] {
            let text = format!("graph(%0: bf16[40,64], %1: bf16[64,48]) {{
                %2 = convert(%0) {{dtype = f32}} : f32[40,64]
                %3 = convert(%1) {{dtype = f32}} : f32[64,48]
                %4 = dot_general(%2, %3) {{lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]}} : f32[40,48]
                {rest}
            }}");
            let mut g = parse(&text).unwrap_or_else(|e| panic!("{e}"));
            assert!(narrow_products(&mut g).is_ok_and(|c| c == Changed::No), "{g}");
        }
    }
}
