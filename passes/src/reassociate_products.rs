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
/// of its operands (an einsum); the cheapest order of all is found by dynamic programming over sets of operands, of many
/// operands over sets of neighbours, which is all there is to chains of matrices. Products that others use as well are
/// operands. Axes of a batch may be shared by any number of operands.
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
    /// Operands up to which any two may be multiplied first, 12 at most: the time grows as 3 to this power.
    pub operands: usize,
}

impl Default for ReassociateProducts {
    /// Nine operands: about 10,000 ways to split them, well under a millisecond.
    fn default() -> ReassociateProducts {
        ReassociateProducts { operands: 9 }
    }
}

/// More operands are not taken in any order, whatever is asked for.
const MAX_OPERANDS: usize = 12;

/// Operands whose order is decided together; of a larger tree, parts are.
const MAX_CHAIN: usize = 64;

/// How often the products of a program are gone through. Each time some get cheaper; two do for all but very long chains.
const MAX_ROUNDS: usize = 64;

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
    let mut orders: HashMap<usize, (Network, Tree)> = HashMap::new();
    for (i, node) in g.nodes().iter().enumerate().rev() {
        if inside[i] || !matches!(node.op, Op::DotGeneral { .. }) || g.ty(node.results[0]).dtype == DType::F16 {
            continue;
        }
        let Some(network) = Network::of(g, i, &definitions, &uses, &mut inside) else { continue };
        let (work, tree) = if network.operands.len() <= operands { network.any() } else { network.neighbours() };
        if work < network.work * (1.0 - 1e-9) {
            orders.insert(i, (network, tree));
        }
    }
    if orders.is_empty() {
        return Ok(None);
    }
    let (mut b, mut map) = copy_inputs(g);
    for (i, node) in g.nodes().iter().enumerate() {
        b.set_loc(&node.loc);
        match orders.get(&i) {
            Some((network, tree)) => map.push(network.emit(&mut b, tree, &map)?),
            None => {
                let args: Vec<Value> = node.args.iter().map(|a| map[a.index()]).collect();
                map.extend(b.emit_typed(node.op.clone(), &args, node.results.iter().map(|&r| g.ty(r).clone())));
            }
        }
    }
    finish(b, g, &map).map(|new| Some(crate::dead_code(&new)))
}

/// An order in which operands are multiplied.
enum Tree {
    Operand(usize),
    Product(Box<[Tree; 2]>),
}

/// Labels that a tree may have.
const MAX_LABELS: usize = Set::BITS as usize;

/// A set of axis labels as bits.
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
    /// The tree of products under node `root`. Its inner products are noted as `inside`. `None` if it has fewer than three
    /// operands.
    fn of(g: &Graph, root: usize, definitions: &[Option<usize>], uses: &[u32], inside: &mut [bool]) -> Option<Network> {
        let out = g.nodes()[root].results[0];
        let mut network = Network { operands: Vec::new(), result: Vec::new(), lengths: Vec::new(), work: 0.0 };
        if g.ty(out).rank() > MAX_LABELS {
            return None;
        }
        network.result = network.labels(&g.ty(out).shape);
        let mut count = 1;
        // in the order of operands from left to right
        let mut open: Vec<(Value, Vec<usize>)> = vec![(out, network.result.clone())];
        while let Some((x, labels)) = open.pop() {
            let own = definitions[x.index()].filter(|_| x == out || uses[x.index()] == 1);
            let fits = |more: usize| count < MAX_CHAIN && network.lengths.len() + more <= MAX_LABELS;
            match own.map(|i| (i, &g.nodes()[i].op)) {
                Some((i, Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract }))
                    if fits(lhs_contract.len()) =>
                {
                    let node = &g.nodes()[i];
                    let lhs = g.ty(node.args[0]);
                    let lengths: Vec<usize> = lhs_contract.iter().map(|&a| lhs.shape[a]).collect();
                    let summed = network.labels(&lengths);
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
                Some((i, Op::Transpose { perm })) if count < MAX_CHAIN => {
                    let mut from = vec![0; perm.len()];
                    perm.iter().zip(&labels).for_each(|(&p, &l)| from[p] = l);
                    open.push((g.nodes()[i].args[0], from));
                }
                _ => network.operands.push((x, labels)),
            }
        }
        (count > 2).then_some(network)
    }

    /// New labels for axes of these lengths.
    fn labels(&mut self, lengths: &[usize]) -> Vec<usize> {
        let first = self.lengths.len();
        self.lengths.extend(lengths.iter().map(|&n| n as f64));
        (first..self.lengths.len()).collect()
    }

    /// Elements of an array with these labels.
    fn size(&self, labels: Set) -> f64 {
        self.lengths.iter().enumerate().filter(|(l, _)| labels >> l & 1 == 1).map(|(_, n)| n).product()
    }

    /// The labels of these operands that the result or others have too: those of their product.
    fn kept(&self, is_inside: impl Fn(usize) -> bool) -> Set {
        let of = |part: bool| {
            let chosen = self.operands.iter().enumerate().filter(|(i, _)| is_inside(*i) == part);
            chosen.fold(0, |labels, (_, (_, own))| labels | set(own))
        };
        of(true) & (of(false) | set(&self.result))
    }

    /// The best order of all, and its multiplications.
    fn any(&self) -> (f64, Tree) {
        let sets = 1 << self.operands.len();
        let kept: Vec<Set> = (0..sets).map(|s: usize| self.kept(|i| s >> i & 1 == 1)).collect();
        // by set of operands, its cost and its left part
        let mut best = vec![(Cost::default(), 0); sets];
        for all in (1..sets).filter(|s: &usize| !s.is_power_of_two()) {
            let first = all & all.wrapping_neg(); // the first operand stays on the left
            // the subsets in turn
            let parts = std::iter::successors(Some((all - 1) & all), |&left| (left > 0).then(|| (left - 1) & all));
            let parts = parts.filter(|left| left & first != 0);
            let ways = parts.map(|left| {
                let right = all & !left;
                let work = self.size(kept[left] | kept[right]);
                (best[left].0.and(best[right].0, work, self.size(kept[all])), left)
            });
            best[all] = least(ways);
        }
        fn tree(best: &[(Cost, usize)], all: usize) -> Tree {
            if all.is_power_of_two() {
                return Tree::Operand(all.trailing_zeros() as usize);
            }
            let left = best[all].1;
            Tree::Product(Box::new([tree(best, left), tree(best, all & !left)]))
        }
        (best[sets - 1].0.work, tree(&best, sets - 1))
    }

    /// The best order in which only neighbours are multiplied, and its multiplications.
    fn neighbours(&self) -> (f64, Tree) {
        let n = self.operands.len();
        let kept = |from: usize, to: usize| self.kept(|i| (from..to).contains(&i));
        let kept: Vec<Vec<Set>> = (0..n).map(|from| (0..=n).map(|to| kept(from, to)).collect()).collect();
        // by first operand and the one after the last, the cost and the first operand of the right part
        let mut best = vec![vec![(Cost::default(), 0); n + 1]; n];
        for length in 2..=n {
            for from in 0..=n - length {
                let to = from + length;
                let ways = (from + 1..to).map(|at| {
                    let work = self.size(kept[from][at] | kept[at][to]);
                    (best[from][at].0.and(best[at][to].0, work, self.size(kept[from][to])), at)
                });
                best[from][to] = least(ways);
            }
        }
        fn tree(best: &[Vec<(Cost, usize)>], from: usize, to: usize) -> Tree {
            if to == from + 1 {
                return Tree::Operand(from);
            }
            let at = best[from][to].1;
            Tree::Product(Box::new([tree(best, from, at), tree(best, at, to)]))
        }
        (best[0][n].0.work, tree(&best, 0, n))
    }

    /// The result, computed in that order; `map` gives the operands.
    fn emit(&self, b: &mut Builder, tree: &Tree, map: &[Value]) -> Result<Value> {
        // in how many operands a label must have been seen before it is summed over
        let mut holders = vec![0; self.lengths.len()];
        let all = self.operands.iter().flat_map(|(_, labels)| labels).chain(&self.result);
        all.for_each(|&l| holders[l] += 1);
        let (x, axes) = self.product(b, tree, map, &holders)?;
        let perm: Option<Vec<usize>> = self.result.iter().map(|&l| axes.iter().position(|a| a.label == l)).collect();
        Ok(b.transpose(x, &perm.ok_or_else(|| Error::internal("reassociate_products", "a result axis is lost"))?))
    }

    fn product(&self, b: &mut Builder, tree: &Tree, map: &[Value], holders: &[usize]) -> Result<(Value, Vec<Axis>)> {
        let parts = match tree {
            Tree::Product(parts) => parts,
            Tree::Operand(i) => {
                let (x, labels) = &self.operands[*i];
                return Ok((map[x.index()], labels.iter().map(|&label| Axis { label, seen: 1 }).collect()));
            }
        };
        let (x, left) = self.product(b, &parts[0], map, holders)?;
        let (y, right) = self.product(b, &parts[1], map, holders)?;
        let (mut batch, mut free) = (Vec::new(), Vec::new());
        let mut axes = [Shape::new(), Shape::new(), Shape::new(), Shape::new()];
        for (i, l) in left.iter().enumerate() {
            let Some(j) = right.iter().position(|r| r.label == l.label) else {
                free.push(*l);
                continue;
            };
            let seen = l.seen + right[j].seen;
            let summed = seen == holders[l.label];
            axes[2 * usize::from(summed)].push(i);
            axes[2 * usize::from(summed) + 1].push(j);
            if !summed {
                batch.push(Axis { label: l.label, seen });
            }
        }
        let on_right = right.iter().enumerate().filter(|(j, _)| !axes[1].contains(j) && !axes[3].contains(j));
        free.extend(on_right.map(|(_, r)| *r));
        let [lhs_batch, rhs_batch, lhs_contract, rhs_contract] = axes;
        let op = Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract };
        Ok((b.op(op, &[x, y]), [batch, free].concat()))
    }
}

/// An axis of an intermediate product.
#[derive(Clone, Copy)]
struct Axis {
    label: usize,
    /// Operands in it that have the label.
    seen: usize,
}

/// Multiplications, and elements of the intermediate arrays, which decide between equals.
#[derive(Clone, Copy, Default, PartialEq, PartialOrd)]
struct Cost {
    work: f64,
    elements: f64,
}

impl Cost {
    /// Of a product of two products.
    fn and(self, other: Cost, work: f64, elements: f64) -> Cost {
        Cost { work: self.work + other.work + work, elements: self.elements + other.elements + elements }
    }
}

/// The first of the cheapest.
fn least(ways: impl Iterator<Item = (Cost, usize)>) -> (Cost, usize) {
    let dearest = Cost { work: f64::INFINITY, elements: f64::INFINITY };
    ways.fold((dearest, 0), |best, way| if way.0 < best.0 || best.1 == 0 { way } else { best })
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
