//! Products of several matrices in the order of least work.

use crate::context::PassContext;
use crate::manager::{Changed, Pass, copy_inputs, finish};
use gradloom_ir::{Builder, DType, Error, Graph, Op, Result, Shape, Value};
use std::collections::HashMap;

/// Multiplies chains and trees of `dot_general` in the order that takes the fewest multiplications.
///
/// ```text
/// (A B) v = A (B v)                (u v^T) w = u (v^T w)
/// ```
///
/// A tree of products, transposes between them included, is a sum over the axes that are contracted somewhere of products
/// of its operands (an einsum); the cheapest order of all is found by dynamic programming over sets of operands. Products
/// that others use as well are operands. Axes of a batch may be shared by any number of operands.
///
/// **Ensures** the same results up to rounding, for integers the same bits, with less work; as products of other factors
/// may leave the dtype's range, f16 stays as it is. Inside a loop, where a product is the same in every step, `hoist` should
/// have moved it out before. Idempotent: it is repeated until no tree gets cheaper.
///
/// ```
/// use gradloom_passes::{Pipeline, ReassociateProducts};
/// let mut g = gradloom_ir::parse(
///     "graph(%0: f32[9, 9], %1: f32[9, 9], %2: f32[9]) {
///         %3 = dot_general(%0, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[9, 9]
///         %4 = dot_general(%3, %2) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[9]
///         return %4
///     }",
/// )?;
/// Pipeline::empty().push(ReassociateProducts::default()).run(&mut g)?;
/// assert!(g.nodes().iter().all(|n| g.ty(n.results[0]).rank() == 1));
/// # Ok::<(), gradloom_ir::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReassociateProducts {
    /// Operands whose order is decided together, 12 at most; of a larger tree, parts are. The time grows as its power of 3.
    pub operands: usize,
}

impl Default for ReassociateProducts {
    /// Nine operands: about 10,000 ways to split them, well under a millisecond.
    fn default() -> ReassociateProducts {
        ReassociateProducts { operands: 9 }
    }
}

/// More operands are not decided together whatever is asked for.
const MAX_OPERANDS: usize = 12;

/// How often the products of a program are gone through. Each time some get cheaper; two do for all but long chains.
const MAX_ROUNDS: usize = 16;

impl Pass for ReassociateProducts {
    fn name(&self) -> &str {
        "reassociate_products"
    }

    fn run(&self, g: &mut Graph, _: &mut PassContext) -> Result<Changed> {
        let mut changed = Changed::No;
        for _ in 0..MAX_ROUNDS {
            let Some(new) = cheaper(g, self.operands.min(MAX_OPERANDS))? else { break };
            *g = new;
            changed = Changed::Yes;
        }
        Ok(changed)
    }
}

/// The program with its trees of products in cheaper orders; `None` if there is none.
fn cheaper(g: &Graph, operands: usize) -> Result<Option<Graph>> {
    let (definitions, uses) = (g.definitions(), g.use_counts());
    let mut inside = vec![false; g.nodes().len()];
    let mut orders: HashMap<usize, (Network, Orders)> = HashMap::new();
    for (i, node) in g.nodes().iter().enumerate().rev() {
        if inside[i] || !matches!(node.op, Op::DotGeneral { .. }) || g.ty(node.results[0]).dtype == DType::F16 {
            continue;
        }
        let Some(network) = Network::of(g, i, operands, &definitions, &uses, &mut inside) else { continue };
        let found = Orders::of(&network);
        if found.work() < network.work * (1.0 - 1e-9) {
            orders.insert(i, (network, found));
        }
    }
    if orders.is_empty() {
        return Ok(None);
    }
    let (mut b, mut map) = copy_inputs(g);
    for (i, node) in g.nodes().iter().enumerate() {
        b.set_loc(&node.loc);
        match orders.get(&i) {
            Some((network, order)) => map.push(network.emit(&mut b, order, &map)?),
            None => {
                let args: Vec<Value> = node.args.iter().map(|a| map[a.index()]).collect();
                map.extend(b.emit_typed(node.op.clone(), &args, node.results.iter().map(|&r| g.ty(r).clone())));
            }
        }
    }
    finish(b, g, &map).map(|new| Some(crate::dead_code(&new)))
}

/// A set of axis labels, or of operands, as bits.
type Set = u128;

/// An einsum: operands by the labels of their axes. Labels that the result lacks are summed over.
struct Network {
    /// Values of the program, with a label an axis.
    operands: Vec<(Value, Vec<usize>)>,
    /// The labels of the result's axes.
    result: Vec<usize>,
    /// By label, the length of its axes.
    lengths: Vec<f64>,
    /// Multiplications as it stands.
    work: f64,
}

impl Network {
    /// The tree of products under node `root`, with `limit` operands at most. Its inner products are noted as `inside`.
    /// `None` if it has fewer than three operands.
    fn of(
        g: &Graph,
        root: usize,
        limit: usize,
        definitions: &[Option<usize>],
        uses: &[u32],
        inside: &mut [bool],
    ) -> Option<Network> {
        let out = g.nodes()[root].results[0];
        let mut network = Network { operands: Vec::new(), result: Vec::new(), lengths: Vec::new(), work: 0.0 };
        network.result = g.ty(out).shape.iter().map(|&n| network.label(n)).collect::<Option<_>>()?;
        let mut count = 1;
        // in the order of operands from left to right
        let mut open: Vec<(Value, Vec<usize>)> = vec![(out, network.result.clone())];
        while let Some((x, labels)) = open.pop() {
            let own = definitions[x.index()].filter(|_| x == out || uses[x.index()] == 1);
            match own.map(|i| (i, &g.nodes()[i].op)) {
                Some((i, Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract })) if count < limit => {
                    let node = &g.nodes()[i];
                    let lhs = g.ty(node.args[0]);
                    let summed: Vec<usize> =
                        lhs_contract.iter().map(|&a| network.label(lhs.shape[a])).collect::<Option<_>>()?;
                    let (batch, free) = labels.split_at(lhs_batch.len());
                    let rank = |side: usize| g.ty(node.args[side]).rank();
                    let free_on_left = rank(0) - lhs_batch.len() - lhs_contract.len();
                    let left = named(rank(0), lhs_batch, batch, lhs_contract, &summed, &free[..free_on_left])?;
                    let right = named(rank(1), rhs_batch, batch, rhs_contract, &summed, &free[free_on_left..])?;
                    network.work += network.size(set(&left) | set(&right));
                    open.push((node.args[1], right));
                    open.push((node.args[0], left));
                    inside[i] = true;
                    count += 1;
                }
                Some((i, Op::Transpose { perm })) if count < limit => {
                    let mut from = vec![0; perm.len()];
                    perm.iter().zip(&labels).for_each(|(&p, &l)| from[p] = l);
                    open.push((g.nodes()[i].args[0], from));
                }
                _ => network.operands.push((x, labels)),
            }
        }
        (count > 2).then_some(network)
    }

    /// A new label; `None` if there are as many as a set can hold.
    fn label(&mut self, length: usize) -> Option<usize> {
        self.lengths.push(length as f64);
        (self.lengths.len() <= Set::BITS as usize).then_some(self.lengths.len() - 1)
    }

    /// Elements of an array with these labels.
    fn size(&self, labels: Set) -> f64 {
        self.lengths.iter().enumerate().filter(|(l, _)| labels >> l & 1 == 1).map(|(_, n)| n).product()
    }

    /// The labels that a product of these operands has: those of the result and of other operands.
    fn kept(&self, operands: usize) -> Set {
        let of = |part: bool| {
            let chosen = self.operands.iter().enumerate().filter(|(i, _)| (operands >> i & 1 == 1) == part);
            chosen.fold(0, |labels, (_, (_, own))| labels | set(own))
        };
        of(true) & (of(false) | set(&self.result))
    }

    /// The result, computed in the best order; `map` gives the operands.
    fn emit(&self, b: &mut Builder, orders: &Orders, map: &[Value]) -> Result<Value> {
        let (x, labels) = self.product(b, orders, map, orders.splits.len() - 1)?;
        let at = |l: &usize| labels.iter().position(|m| m == l);
        let perm: Option<Vec<usize>> = self.result.iter().map(at).collect();
        Ok(b.transpose(x, &perm.ok_or_else(|| Error::internal("reassociate_products", "a result axis is lost"))?))
    }

    fn product(&self, b: &mut Builder, orders: &Orders, map: &[Value], operands: usize) -> Result<(Value, Vec<usize>)> {
        if operands.is_power_of_two() {
            let (x, labels) = &self.operands[operands.trailing_zeros() as usize];
            return Ok((map[x.index()], labels.clone()));
        }
        let (x, left) = self.product(b, orders, map, orders.splits[operands])?;
        let (y, right) = self.product(b, orders, map, operands & !orders.splits[operands])?;
        let kept = self.kept(operands);
        let is_kept = |l: &usize| kept >> l & 1 == 1;
        let (batch, summed): (Vec<usize>, Vec<usize>) =
            left.iter().copied().filter(|l| right.contains(l)).partition(is_kept);
        let axes = |of: &[usize], labels: &[usize]| -> Shape {
            labels.iter().filter_map(|l| of.iter().position(|m| m == l)).collect()
        };
        let op = Op::DotGeneral {
            lhs_batch: axes(&left, &batch),
            rhs_batch: axes(&right, &batch),
            lhs_contract: axes(&left, &summed),
            rhs_contract: axes(&right, &summed),
        };
        let free =
            |of: &[usize], others: &[usize]| of.iter().copied().filter(|l| !others.contains(l)).collect::<Vec<_>>();
        let labels = [batch, free(&left, &right), free(&right, &left)].concat();
        Ok((b.op(op, &[x, y]), labels))
    }
}

/// The labels of an operand's axes: those of the batch and of the sum at their axes, the free ones at the others in order.
fn named(
    rank: usize,
    batch: &[usize],
    batch_labels: &[usize],
    summed: &[usize],
    summed_labels: &[usize],
    free: &[usize],
) -> Option<Vec<usize>> {
    let mut free = free.iter().copied();
    let find = |axes: &[usize], labels: &[usize], a: usize| axes.iter().position(|&x| x == a).map(|i| labels[i]);
    (0..rank)
        .map(|a| find(batch, batch_labels, a).or_else(|| find(summed, summed_labels, a)).or_else(|| free.next()))
        .collect()
}

fn set(labels: &[usize]) -> Set {
    labels.iter().fold(0, |set, l| set | 1 << l)
}

/// By set of operands, the best way to multiply them.
struct Orders {
    /// The part that is the left factor.
    splits: Vec<usize>,
    /// Multiplications, and elements of the intermediate arrays, which decide between equals.
    cost: Vec<(f64, f64)>,
}

impl Orders {
    fn of(network: &Network) -> Orders {
        let sets = 1 << network.operands.len();
        let kept: Vec<Set> = (0..sets).map(|s| network.kept(s)).collect();
        let mut orders = Orders { splits: vec![0; sets], cost: vec![(0.0, 0.0); sets] };
        for all in (1..sets).filter(|s: &usize| !s.is_power_of_two()) {
            let first = all & all.wrapping_neg(); // the first operand stays on the left
            let own = network.size(kept[all]);
            let mut best = (f64::INFINITY, f64::INFINITY);
            let mut left = all;
            // the subsets in turn
            while left > 0 {
                left = (left - 1) & all;
                if left & first == 0 {
                    continue;
                }
                let right = all & !left;
                let work = network.size(kept[left] | kept[right]);
                let [l, r] = [orders.cost[left], orders.cost[right]];
                let cost = (l.0 + r.0 + work, l.1 + r.1 + own);
                if cost < best {
                    (best, orders.splits[all]) = (cost, left);
                }
            }
            orders.cost[all] = best;
        }
        orders
    }

    fn work(&self) -> f64 {
        self.cost.last().map_or(f64::INFINITY, |c| c.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chain of matrices: the parenthesisation of Cormen et al., Introduction to Algorithms, section 15.2.
    #[test]
    fn the_textbook_chain() {
        let lengths = [30.0, 35.0, 15.0, 5.0, 10.0, 20.0, 25.0];
        let operands = (0..6).map(|i| (Value::from_index(i), vec![i, i + 1])).collect();
        let network = Network { operands, result: vec![0, 6], lengths: lengths.to_vec(), work: 0.0 };
        let orders = Orders::of(&network);
        assert_eq!(orders.work(), 15125.0);
        assert_eq!(orders.splits.last(), Some(&0b000111));
        assert_eq!((orders.splits[0b000111], orders.splits[0b111000]), (0b001, 0b011000));
    }
}
