//! Products in 16-bit floats, sums and functions that need the digits in f32.

use crate::manager::{Changed, Pass, copy_inputs, replace};
use crate::{PassContext, dead_code};
use gradloom_ir::{Binary, Builder, DType, Error, Graph, Literal, Node, Op, ReduceKind, Result, Unary, Value, Values};
use smallvec::SmallVec;
use std::sync::Arc;

/// Computes f32 programs in `compute` where that is safe (Micikevicius et al. 2018, arXiv 1710.03740), by the lists of
/// `torch.autocast`:
///
/// - products of matrices and convolutions take operands rounded to `compute`, sum in f32 and round once;
/// - what moves, compares or chooses elements stays in `compute` where all its operands are there; additions,
///   multiplications and functions of bounded slope do so on the way to another product. Constants that `compute` represents
///   count as being there, and so do biases (inputs that are broadcast and added); an operand of full size in f32 makes it
///   f32;
/// - everything else is f32: sums, exponentials, logarithms, powers, quotients, decompositions, random numbers, calls of
///   the host, and what goes into and out of nested programs.
///
/// ```text
/// graph(%0: f32[8,4], %1: f32[4,4], %2: f32[4]) {     graph(%0: f32[8,4], %1: f32[4,4], %2: f32[4]) {
///   %3 = dot_general(%0, %1) : f32[8,4]                 %3 = convert(%0) : bf16[8,4]
///   %4 = broadcast_in_dim(%2) : f32[8,4]                %4 = convert(%1) : bf16[4,4]
///   %5 = add(%3, %4) : f32[8,4]                         %5 = dot_general(%3, %4) : bf16[8,4]
///   %6 = tanh(%5) : f32[8,4]                            %6 = convert(%2) : bf16[4]
///   %7 = dot_general(%6, %1) : f32[8,4]                 %7 = broadcast_in_dim(%6) : bf16[8,4]
///   %8 = exponential(%7) : f32[8,4]                     %8 = add(%5, %7) : bf16[8,4]
///   return %8                                           %9 = tanh(%8) : bf16[8,4]
/// }                                                     %10 = dot_general(%9, %4) : bf16[8,4]
///                                                       %11 = convert(%10) : f32[8,4]
///                                                       %12 = exponential(%11) : f32[8,4]
///                                                       return %12
///                                                     }
/// ```
///
/// **Ensures** that no product of f32 arrays is left, but inner products (without an axis of the result of their own), which
/// are sums; that each value is converted once; inputs and outputs keep their types, so weights and gradients stay in f32.
/// **Never** changes f64, complex numbers, or what is in 16 bits already.
///
/// In f16, gradients below 6e-8 become 0: multiply the loss before it is differentiated (loss scaling). bf16 has the
/// range of f32. The pass does the same to any program, and on gradients as a part of one compiled step it cannot tell an
/// optimizer's arithmetic from the model's; to keep that in f32 entirely, run it on the loss alone, before it is
/// differentiated.
///
/// ```
/// use gradloom_passes::{MixedPrecision, Pipeline};
/// let text = "graph(%0: f32[8,4], %1: f32[4,3]) {
///     %2 = dot_general(%0, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[8,3]
///     return %2
/// }";
/// let mut g = gradloom_ir::parse(text)?;
/// Pipeline::empty().push(MixedPrecision::default()).run(&mut g)?;
/// assert!(g.to_string().contains(": bf16[8,3]"));
/// # Ok::<(), gradloom_ir::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MixedPrecision {
    /// [`DType::BF16`] or [`DType::F16`]; another one is an error of the pipeline.
    pub compute: DType,
}

impl Default for MixedPrecision {
    fn default() -> MixedPrecision {
        MixedPrecision { compute: DType::BF16 }
    }
}

impl Pass for MixedPrecision {
    fn name(&self) -> &str {
        "mixed_precision"
    }

    fn run(&self, g: &mut Graph, _: &mut PassContext) -> Result<Changed> {
        if !self.compute.is_half() {
            let what = format!("{} is no float of 16 bits", self.compute);
            return Err(Error::user("mixed_precision", what).help("compute in bf16 or f16"));
        }
        if !g.nodes().iter().any(|n| is_product(g, n)) {
            return Ok(Changed::No);
        }
        let (b, map) = copy_inputs(g);
        let known = map.into_iter().map(|v| Known { wide: Some(v), low: None, is_low: false }).collect();
        let (definitions, awaited) = (g.definitions(), awaited(g));
        let mut r = Rewriter { g, compute: self.compute, b, definitions, awaited, known };
        for node in g.nodes() {
            r.b.set_loc(&node.loc);
            r.node(node)?;
        }
        let outputs: Vec<Value> = g.outputs().iter().map(|&v| r.wide(v)).collect();
        let new = dead_code(&r.b.finish(&outputs)?);
        Ok(replace(g, new))
    }
}

/// What becomes of an op.
#[derive(Clone, Copy, PartialEq)]
enum Family {
    /// It multiplies and adds up: its operands are rounded.
    Product,
    /// It takes what there is, and loses nothing.
    Moves,
    /// It takes what there is and rounds, which on the way to a product happens anyway.
    Rounds,
    /// It needs the digits, or the range, of f32.
    Wide,
}

fn family(op: &Op) -> Family {
    use Family::{Moves, Product, Rounds, Wide};
    match op {
        Op::DotGeneral { .. } | Op::Convolution { .. } => Product,
        Op::Unary(Unary::Tanh | Unary::Logistic | Unary::Erf) => Rounds,
        Op::Binary(Binary::Add | Binary::Sub | Binary::Mul) => Rounds,
        Op::Unary(Unary::Neg | Unary::Abs | Unary::Sign | Unary::IsFinite) => Moves,
        Op::Unary(Unary::Floor | Unary::Ceil | Unary::Round | Unary::RoundAway) => Moves,
        Op::Binary(Binary::Max | Binary::Min) => Moves,
        Op::Reduce { kind: ReduceKind::Max | ReduceKind::Min, .. }
        | Op::ReduceWindow { kind: ReduceKind::Max | ReduceKind::Min, .. } => Moves,
        Op::Compare(_)
        | Op::Select {}
        | Op::Convert { .. }
        | Op::Broadcast { .. }
        | Op::Reshape { .. }
        | Op::Transpose { .. }
        | Op::Slice { .. }
        | Op::Pad { .. }
        | Op::Concatenate { .. }
        | Op::Reverse { .. }
        | Op::DynamicSlice { .. }
        | Op::DynamicUpdateSlice {}
        | Op::Gather { .. }
        | Op::ArgReduce { .. }
        | Op::SelectAndGather { .. } => Moves,
        Op::Unary(_)
        | Op::Binary(_)
        | Op::Constant { .. }
        | Op::Iota { .. }
        | Op::Bitcast { .. }
        | Op::Threefry { .. }
        | Op::Scatter { .. }
        | Op::Reduce { .. }
        | Op::Cumulative { .. }
        | Op::ReduceWindow { .. }
        | Op::SelectAndScatter { .. }
        | Op::Sort { .. }
        | Op::Fft { .. }
        | Op::AllReduce { .. }
        | Op::AxisIndex { .. }
        | Op::Barrier {}
        | Op::HostCall { .. }
        | Op::Custom { .. }
        | gradloom_ir::linalg_ops!()
        | gradloom_ir::body_ops!() => Wide,
    }
}

/// Whether the node is a product of f32 arrays that is more than a sum: an axis of its result comes from one operand alone.
fn is_product(g: &Graph, node: &Node) -> bool {
    if family(&node.op) != Family::Product || g.ty(node.results[0]).dtype != DType::F32 {
        return false;
    }
    match &node.op {
        Op::DotGeneral { lhs_batch, .. } => g.ty(node.results[0]).rank() > lhs_batch.len(),
        _ => true,
    }
}

/// By value: whether a product reads it, or what takes what there is on the way to one.
fn awaited(g: &Graph) -> Vec<bool> {
    let mut awaited = vec![false; g.num_values()];
    for node in g.nodes().iter().rev() {
        let reads = match family(&node.op) {
            Family::Product => is_product(g, node),
            Family::Moves | Family::Rounds => node.results.iter().any(|r| awaited[r.index()]),
            Family::Wide => false,
        };
        if reads {
            node.args.iter().for_each(|a| awaited[a.index()] = true);
        }
    }
    awaited
}

/// Whether the op gives all elements of its operand and no others, at other places or several times.
fn moves_all(op: &Op) -> bool {
    matches!(op, Op::Reshape { .. } | Op::Transpose { .. } | Op::Broadcast { .. })
}

/// What a value of the program has become.
#[derive(Clone, Copy)]
struct Known {
    /// In its own dtype, if that has been made.
    wide: Option<Value>,
    /// In 16 bits, if that has been made.
    low: Option<Value>,
    /// Whether it was computed in 16 bits, and not rounded for one that reads it.
    is_low: bool,
}

struct Rewriter<'g> {
    g: &'g Graph,
    compute: DType,
    b: Builder,
    definitions: Arc<[Option<usize>]>,
    /// By value of the program, as [`awaited`] says.
    awaited: Vec<bool>,
    /// By value of the program.
    known: Vec<Known>,
}

impl<'g> Rewriter<'g> {
    fn node(&mut self, node: &'g Node) -> Result<()> {
        let in_low = match family(&node.op) {
            Family::Product => is_product(self.g, node),
            Family::Moves => self.follows(node),
            Family::Rounds => self.awaited[node.results[0].index()] && self.follows(node),
            Family::Wide => false,
        };
        let args: SmallVec<[Value; 4]> =
            node.args.iter().map(|&a| if in_low && self.is_f32(a) { self.low(a) } else { self.wide(a) }).collect();
        let results: Values = match &node.op {
            // it may be in that dtype already
            Op::Convert { dtype } => [self.b.convert(args[0], *dtype)].into_iter().collect(),
            op => self.b.emit(op.clone(), &args)?,
        };
        for (&old, &new) in node.results.iter().zip(&results) {
            let is_low = self.b.ty(new).dtype != self.g.ty(old).dtype;
            self.known.push(Known { wide: (!is_low).then_some(new), low: is_low.then_some(new), is_low });
        }
        Ok(())
    }

    /// Whether an op that takes what there is finds its operands in 16 bits, or as good as that.
    fn follows(&self, node: &Node) -> bool {
        let is_low = |a: Value| self.known[a.index()].is_low;
        let yields = |a: Value| self.is_exact(a) || (node.op == Op::Binary(Binary::Add) && self.is_bias(a));
        // a square is a power: it leaves the range of f16 soon
        let square = node.op == Op::Binary(Binary::Mul) && node.args[0] == node.args[1];
        let mut floats = node.args.iter().copied().filter(|&a| self.is_f32(a));
        !square && floats.clone().any(is_low) && floats.all(|a| is_low(a) || yields(a))
    }

    /// The value in its own dtype.
    fn wide(&mut self, v: Value) -> Value {
        let Known { wide, low, .. } = self.known[v.index()];
        let x = wide.unwrap_or_else(|| {
            self.b.convert(low.expect("a value is there in one dtype or the other"), self.g.ty(v).dtype)
        });
        self.known[v.index()].wide = Some(x);
        x
    }

    /// The f32 value in 16 bits. What only moves elements follows the conversion, so that all of its uses share that.
    fn low(&mut self, mut v: Value) -> Value {
        let mut moves = Vec::new();
        let mut x = loop {
            if let Some(x) = self.known[v.index()].low {
                break x;
            }
            match self.definition(v) {
                Some(node) if moves_all(&node.op) => {
                    moves.push(node);
                    v = node.args[0];
                }
                _ => {
                    let x = self.wide(v);
                    let x = self.b.convert(x, self.compute);
                    self.known[v.index()].low = Some(x);
                    break x;
                }
            }
        };
        for node in moves.into_iter().rev() {
            x = self.b.op(node.op.clone(), &[x]);
            self.known[node.results[0].index()].low = Some(x);
        }
        x
    }

    fn is_f32(&self, v: Value) -> bool {
        self.g.ty(v).dtype == DType::F32
    }

    fn definition(&self, v: Value) -> Option<&'g Node> {
        self.definitions[v.index()].map(|i| &self.g.nodes()[i])
    }

    /// Whether every element is one number, which 16 bits represent.
    fn is_exact(&self, mut v: Value) -> bool {
        while let Some(node) = self.definition(v) {
            match &node.op {
                op if moves_all(op) => v = node.args[0],
                Op::Constant { value } => {
                    return value.splat_f64().is_some_and(|x| Literal::scalar(self.compute, x).get_f64(0) == x);
                }
                _ => return false,
            }
        }
        false
    }

    /// Whether the elements are those of an input, or a part of one, each of them several times.
    fn is_bias(&self, mut v: Value) -> bool {
        let mut repeated = false;
        while let Some(node) = self.definition(v) {
            match node.op {
                Op::Broadcast { .. } => repeated |= self.g.ty(node.args[0]).numel() < self.g.ty(v).numel(),
                Op::Slice { .. } | Op::DynamicSlice { .. } => {}
                ref op if moves_all(op) => {}
                _ => return false,
            }
            v = node.args[0];
        }
        repeated
    }
}
