//! Linear layers as one call each: what is done to each number of a product is done before it is stored, where a library does that.

use super::ALIGNMENT;
use super::library::{Layer, Site};
use super::program::Libraries;
use crate::outline::{Outlined, formed, outline};
use gradloom_ir::{Binary, Builder, Comparison, DType, Error, Graph, Node, Op, Result, Shape, Type, Value};
use gradloom_passes::cost::graph_cost;
use gradloom_passes::{Changed, dead_code, map_bodies};

/// What the compiler makes the call of.
#[derive(Clone)]
pub(super) struct LayerCall {
    pub(super) layer: Layer,
    /// What computes it where no library does.
    pub(super) meaning: Graph,
}

impl LayerCall {
    /// Arithmetic operations.
    pub(super) fn flops(&self) -> u64 {
        graph_cost(&self.meaning).flops
    }
}

/// Whether [`absorb_epilogues`] may find anything.
pub(super) fn has_product(g: &Graph) -> bool {
    let of = |n: &Node| matches!(n.op, Op::DotGeneral { .. }) || n.op.bodies().iter().any(|b| has_product(b));
    g.nodes().iter().any(of)
}

/// Outlines products with the bias that is added to each row of their results, and the rectifier after it, where a library takes
/// the product with both, or with the bias alone.
///
/// **Requires** real arrays, products of 16-bit floats as such. **Ensures** that nothing but the results of a layer is stored: the numbers
/// inside have no other readers. **Never** changes more than where 16-bit floats are rounded, and the sign of zeros.
///
/// # Errors
/// A malformed program; what a library says is wrong.
pub fn absorb_epilogues(g: &mut Graph, libraries: &dyn Libraries) -> Result<Changed> {
    let inside = map_bodies(g, &mut |body| absorb_epilogues(body, libraries))?;
    let readers = Readers::new(g);
    let mut found = Vec::new();
    for product in 0..g.nodes().len() {
        for chain in readers.chains(product) {
            if chain.is_taken(g, libraries)? {
                found.push(chain);
                break;
            }
        }
    }
    let parts: Vec<Outlined> = found.iter().map(Chain::outlined).collect();
    match outline(g, &parts, |k, b, map| found[k].emit(g, b, map))? {
        Some(new) => {
            *g = dead_code(&new);
            Ok(Changed::Yes)
        }
        None => Ok(inside),
    }
}

/// A product and what follows it.
struct Chain {
    layer: Layer,
    /// The factors, and the bias.
    args: Vec<Value>,
    /// The product first.
    nodes: Vec<usize>,
    result: Value,
    mask: Option<Mask>,
}

/// Where a rectifier's argument is not above 0, for others than the rectifier: there its result is 0 or less, too, and NaN is
/// neither.
#[derive(Clone, Copy)]
struct Mask {
    value: Value,
    /// What the argument is compared with.
    zero: Value,
}

impl Chain {
    fn is_taken(&self, g: &Graph, libraries: &dyn Libraries) -> Result<bool> {
        let args: Vec<Type> = self.args.iter().map(|&a| g.ty(a).clone()).collect();
        let results = [g.ty(self.result).clone()];
        // as most arrays lie; where one does not, the compiler asks again
        let alignment = vec![ALIGNMENT; args.len() + 1];
        let site = Site { op: &self.layer.product, args: &args, results: &results, alignment };
        let Some(plan) = self.layer.plan(&site)? else { return Ok(false) };
        for routine in plan.routines() {
            if libraries.takes(routine)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn outlined(&self) -> Outlined {
        let zero = self.mask.map(|m| m.zero);
        Outlined { roots: self.nodes.clone(), inputs: self.args.iter().copied().chain(zero).collect() }
    }

    fn emit(&self, g: &Graph, b: &mut Builder, map: &mut [Option<Value>]) -> Result<()> {
        let types: Vec<Type> = self.args.iter().map(|&a| g.ty(a).clone()).collect();
        let missing = || Error::internal("absorb_epilogues", "an operand is not there yet");
        let args = self.args.iter().map(|a| map[a.index()].ok_or_else(missing)).collect::<Result<Vec<_>>>()?;
        let meaning = self.layer.program(&types)?;
        b.set_loc(&g.nodes()[self.nodes[0]].loc);
        let form = LayerCall { layer: self.layer.clone(), meaning: meaning.clone() };
        let out = b.emit(formed("linear_layer", meaning, form), &args)?[0];
        map[self.result.index()] = Some(out);
        if let Some(mask) = self.mask
            && let Some(zero) = map[mask.zero.index()]
        {
            map[mask.value.index()] = Some(b.compare(Comparison::Le, out, zero));
        }
        Ok(())
    }
}

/// A bias that is added to a product.
struct Sum {
    node: usize,
    bias: Value,
    axes: Shape,
}

/// A rectifier: the node that gives its results, the comparison that it selects by, and the mask that is left of that.
struct Relu {
    nodes: Vec<usize>,
    result: Value,
    mask: Option<Mask>,
}

/// A program, and which nodes read what.
struct Readers<'g> {
    g: &'g Graph,
    of: Vec<Vec<usize>>,
}

impl<'g> Readers<'g> {
    fn new(g: &'g Graph) -> Readers<'g> {
        let mut of = vec![Vec::new(); g.num_values()];
        for (i, node) in g.nodes().iter().enumerate() {
            for a in &node.args {
                if of[a.index()].last() != Some(&i) {
                    of[a.index()].push(i);
                }
            }
        }
        Readers { g, of }
    }

    /// The nodes that read a value; `None` if it is a result of the program.
    fn all(&self, v: Value) -> Option<&[usize]> {
        (!self.g.outputs().contains(&v)).then_some(&self.of[v.index()])
    }

    fn definition(&self, v: Value) -> Option<&'g Node> {
        self.g.definitions()[v.index()].map(|i| &self.g.nodes()[i])
    }

    fn is_zero(&self, v: Value) -> bool {
        match self.definition(v).map(|n| (&n.op, &n.args)) {
            Some((Op::Constant { value }, _)) => value.splat_f64() == Some(0.0),
            Some((Op::Broadcast { .. }, args)) => self.is_zero(args[0]),
            _ => false,
        }
    }

    /// What a product may be computed together with, the most first.
    fn chains(&self, product: usize) -> Vec<Chain> {
        let node = &self.g.nodes()[product];
        let is_product = matches!(node.op, Op::DotGeneral { .. });
        let takes = |d: DType| matches!(d, DType::F32 | DType::F16 | DType::BF16);
        // integers that a product widens itself are not stored as floats
        let widened = |v: &Value| {
            let is_integer = |n: &Node| !self.g.ty(n.args[0]).dtype.is_float();
            self.definition(*v).is_some_and(|n| matches!(n.op, Op::Convert { .. }) && is_integer(n))
        };
        if !is_product || !takes(self.g.ty(node.results[0]).dtype) || node.args.iter().any(widened) {
            return Vec::new();
        }
        let chain = |sum: Option<&Sum>, relu: Option<&Relu>| {
            let of_sum = sum.map(|s| self.g.nodes()[s.node].results[0]);
            Chain {
                layer: Layer { product: node.op.clone(), bias: sum.map(|s| s.axes.clone()), relu: relu.is_some() },
                args: node.args.iter().copied().chain(sum.map(|s| s.bias)).collect(),
                nodes: [product]
                    .into_iter()
                    .chain(sum.map(|s| s.node))
                    .chain(relu.iter().flat_map(|r| r.nodes.iter().copied()))
                    .collect(),
                result: relu.map(|r| r.result).or(of_sum).unwrap_or(node.results[0]),
                mask: relu.and_then(|r| r.mask),
            }
        };
        let sum = self.sum(node.results[0]);
        let sum = sum.as_ref();
        let relu = self.relu(sum.map_or(node.results[0], |s| self.g.nodes()[s.node].results[0]));
        let mut chains = Vec::new();
        chains.extend(relu.as_ref().map(|r| chain(sum, Some(r))));
        chains.extend(sum.map(|s| chain(Some(s), None)));
        chains
    }

    /// The sum that alone reads a product, if it may be that with a bias.
    fn sum(&self, product: Value) -> Option<Sum> {
        let &[i] = self.all(product)? else { return None };
        let node = &self.g.nodes()[i];
        let (true, &[x, y]) = (node.op == Op::Binary(Binary::Add), &node.args[..]) else { return None };
        let other = if x == product { y } else { x };
        if other == product {
            return None;
        }
        let (bias, axes) = match self.definition(other).map(|n| (&n.op, &n.args)) {
            Some((Op::Broadcast { dims, .. }, args)) => (args[0], dims.clone()),
            _ => (other, (0..self.g.ty(other).rank()).collect()),
        };
        Some(Sum { node: i, bias, axes })
    }

    /// The rectifier whose argument is `x`, read by nothing else, but that others may read where `x` is not above 0.
    fn relu(&self, x: Value) -> Option<Relu> {
        let node = |i: usize| &self.g.nodes()[i];
        let is_max = |n: &Node| n.op == Op::Binary(Binary::Max) && n.args.iter().any(|&a| self.is_zero(a));
        match *self.all(x)? {
            [i] if is_max(node(i)) => Some(Relu { nodes: vec![i], result: node(i).results[0], mask: None }),
            [c, s] => {
                let (compare, select) = (node(c), node(s));
                let &[condition, zero, same] = &select.args[..] else { return None };
                let is_select = matches!(select.op, Op::Select {}) && same == x && self.is_zero(zero);
                if !is_select || compare.results[0] != condition {
                    return None;
                }
                let (zero, with_equal) = match (&compare.op, &compare.args[..]) {
                    (Op::Compare(Comparison::Le), &[a, b]) if a == x => (b, true),
                    (Op::Compare(Comparison::Ge), &[a, b]) if b == x => (a, true),
                    (Op::Compare(Comparison::Lt), &[a, b]) if a == x => (b, false),
                    (Op::Compare(Comparison::Gt), &[a, b]) if b == x => (a, false),
                    _ => return None,
                };
                let is_read = self.all(condition).is_none_or(|readers| *readers != [s]);
                // below 0 itself nothing is known of what has become 0
                if !self.is_zero(zero) || (is_read && !with_equal) {
                    return None;
                }
                let mask = is_read.then_some(Mask { value: condition, zero });
                Some(Relu { nodes: vec![c, s], result: select.results[0], mask })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::library::{Product, Routine};
    use crate::grid::{Fusing, compile_with, run_program};
    use crate::outline::form_of;
    use gradloom_ir::{Literal, eval, parse};
    use std::cell::Cell;

    /// A library of some products.
    struct Takes<F>(F);

    impl<F: Fn(&Product) -> bool> Libraries for Takes<F> {
        fn takes(&self, routine: &Routine) -> Result<Option<usize>> {
            let Routine::Product(p) = routine else { return Ok(None) };
            Ok(self.0(p).then_some(0))
        }
    }

    /// A rectified layer; the mask is a result, too.
    const LAYER: &str = "graph(%0: f32[2,3], %1: f32[3,4], %2: f32[4]) {
        %3 = dot_general(%0, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[2,4]
        %4 = broadcast_in_dim(%2) {shape = [2, 4], dims = [1]} : f32[2,4]
        %5 = add(%4, %3) : f32[2,4]
        %6 = constant() {value = dense<0.0 : f32[]>} : f32[]
        %7 = broadcast_in_dim(%6) {shape = [2, 4], dims = []} : f32[2,4]
        %8 = less_equal(%5, %7) : bool[2,4]
        %9 = not(%8) : bool[2,4]
        %10 = select(%8, %7, %5) : f32[2,4]
        return %9, %10 }";

    fn graph(text: &str) -> Graph {
        parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
    }

    fn inputs() -> Vec<Literal> {
        let of = |shape: &[usize], values: &[f32]| {
            let bytes = values.iter().flat_map(|x| x.to_ne_bytes()).collect();
            Literal::from_bytes(Type::new(DType::F32, shape), bytes).unwrap_or_else(|| panic!("{shape:?}"))
        };
        vec![
            of(&[2, 3], &[1.0, -2.0, 3.0, 0.5, 0.0, -1.0]),
            of(&[3, 4], &[1.0, 2.0, -3.0, 4.0, 0.0, 1.0, 1.0, 2.0, -1.0, 0.5, 2.0, 1.0]),
            of(&[4], &[2.0, f32::NAN, 1.0, -3.0]),
        ]
    }

    /// The layers of a program that a library with these products leaves.
    fn layers(g: &mut Graph, takes: impl Fn(&Product) -> bool) -> Vec<Layer> {
        let libraries = Takes(takes);
        let before = eval::eval(g, &inputs()).unwrap_or_else(|e| panic!("{e}"));
        let changed = absorb_epilogues(g, &libraries).unwrap_or_else(|e| panic!("{e}"));
        let of = |n: &Node| form_of::<LayerCall>(g, n).unwrap_or_else(|e| panic!("{e}"));
        let layers: Vec<Layer> = g.nodes().iter().filter_map(of).map(|call| call.layer).collect();
        assert_eq!(changed == Changed::Yes, !layers.is_empty());
        let after = eval::eval(g, &inputs()).unwrap_or_else(|e| panic!("{e}\n{g}"));
        // NaN may have other bits
        assert_eq!(format!("{before:?}"), format!("{after:?}"), "{g}");
        let again = absorb_epilogues(g, &libraries).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(again, Changed::No, "{g}");
        layers
    }

    #[test]
    fn as_much_as_the_library_takes() {
        let all = layers(&mut graph(LAYER), |_| true);
        assert!(matches!(&all[..], [Layer { bias: Some(axes), relu: true, .. }] if axes[..] == [1]), "{all:?}");
        let bias = layers(&mut graph(LAYER), |p| !p.epilogue.relu);
        assert!(matches!(&bias[..], [Layer { bias: Some(_), relu: false, .. }]), "{bias:?}");
        assert!(layers(&mut graph(LAYER), |p| p.epilogue.bias.is_none()).is_empty());
    }

    /// Below 0 itself, and of 0 or less where NaN counts as such, the result says nothing.
    #[test]
    fn masks_that_the_result_does_not_tell() {
        for (from, to) in [
            ("%8 = less_equal(%5, %7)", "%8 = less(%5, %7)"),
            ("select(%8, %7, %5)", "select(%9, %5, %7)"),
            ("return %9, %10", "return %5, %10"),
        ] {
            let mut g = graph(&LAYER.replace(from, to));
            let found = layers(&mut g, |_| true);
            assert!(matches!(&found[..], [Layer { bias: Some(_), relu: false, .. }]), "{to}: {found:?}");
        }
        let mut g =
            graph(&LAYER.replace("%8 = less_equal(%5, %7)", "%8 = less(%5, %7)").replace("return %9,", "return"));
        g = dead_code(&g);
        assert!(layers(&mut g, |_| true)[0].relu);
    }

    /// What the library does not take as it lies in the end is computed by its ops.
    #[test]
    fn a_layer_without_a_library() {
        let g = graph(LAYER);
        let asked = Cell::new(0);
        // the first that is asked for is that of the pass
        let libraries = Takes(|_: &Product| asked.replace(asked.get() + 1) == 0);
        let program = compile_with(&g, Fusing::default(), &libraries).unwrap_or_else(|e| panic!("{e}"));
        assert!(asked.get() > 1 && program.calls.is_empty());
        let outs = run_program(&program, &g.output_types(), &inputs()).unwrap_or_else(|e| panic!("{e}"));
        let expected = eval::eval(&g, &inputs()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(format!("{expected:?}"), format!("{outs:?}"));
    }
}
