//! What is known of numbers without running the program: the least and the greatest of a part of an array.

use gradloom_ir::{Binary, Comparison, DType, Graph, Literal, Op, Unary, Value};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// How deep an expression is looked into.
const MAX_DEPTH: usize = 32;

/// Constants of at most this many elements are looked at.
const MAX_CONSTANT: usize = 1 << 24;

/// The least and the greatest of some elements, none of which is NaN; bools are 0 and 1.
type Bounds = (f64, f64);

const BOOL: Bounds = (0.0, 1.0);

/// Bounds of parts of the arrays of a program, as far as iotas and constants give them.
pub(super) struct Known<'a> {
    g: &'a Graph,
    definitions: Arc<[Option<usize>]>,
    /// The elements of constants, of those that were asked for.
    constants: HashMap<Value, Vec<f64>>,
}

impl<'a> Known<'a> {
    pub fn new(g: &'a Graph) -> Known<'a> {
        Known { g, definitions: g.definitions(), constants: HashMap::new() }
    }

    /// What all of these elements of an array of bools are, if that is known. A part is a range for each axis.
    pub fn always(&mut self, v: Value, part: &[Range<usize>]) -> Option<bool> {
        match self.bounds(v, part, MAX_DEPTH)? {
            (_, 0.0) => Some(false),
            (1.0, _) => Some(true),
            _ => None,
        }
    }

    fn bounds(&mut self, v: Value, part: &[Range<usize>], depth: usize) -> Option<Bounds> {
        let depth = depth.checked_sub(1)?;
        let g = self.g;
        let ty = g.ty(v);
        let node = &g.nodes()[self.definitions[v.index()]?];
        if part.iter().any(Range::is_empty) {
            return None;
        }
        let mut of = |k: usize, part: &[Range<usize>]| self.bounds(node.args[k], part, depth);
        let found = match &node.op {
            Op::Iota { axis, .. } => (part[*axis].start as f64, part[*axis].end as f64 - 1.0),
            Op::Constant { value } => self.constant(v, value, part)?,
            Op::Broadcast { dims, .. } => {
                let shape = &g.ty(node.args[0]).shape;
                let one = |(&d, &n): (&usize, &usize)| if n == 1 { 0..1 } else { part[d].clone() };
                let inner: Vec<Range<usize>> = dims.iter().zip(shape).map(one).collect();
                of(0, &inner)?
            }
            Op::Convert { dtype: DType::Bool } => match of(0, part)? {
                (0.0, 0.0) => (0.0, 0.0),
                (low, high) if low > 0.0 || high < 0.0 => (1.0, 1.0),
                _ => BOOL,
            },
            // (what is truncated has bounds that are not representable)
            Op::Convert { .. } => of(0, part)?,
            Op::Compare(c) => compared(*c, of(0, part)?, of(1, part)?),
            Op::Select {} => match of(0, part) {
                Some((1.0, _)) => of(1, part)?,
                Some((_, 0.0)) => of(2, part)?,
                _ => {
                    let (x, y) = (of(1, part)?, of(2, part)?);
                    (x.0.min(y.0), x.1.max(y.1))
                }
            },
            Op::Unary(Unary::Not) if ty.dtype == DType::Bool => {
                let (low, high) = of(0, part)?;
                (1.0 - high, 1.0 - low)
            }
            Op::Unary(Unary::Neg) => {
                let (low, high) = of(0, part)?;
                (-high, -low)
            }
            Op::Binary(op) => {
                let (x, y) = (of(0, part), of(1, part));
                match op {
                    // one side may be enough
                    Binary::And | Binary::Or if ty.dtype == DType::Bool => {
                        let (x, y) = (x.unwrap_or(BOOL), y.unwrap_or(BOOL));
                        if *op == Binary::And { (x.0.min(y.0), x.1.min(y.1)) } else { (x.0.max(y.0), x.1.max(y.1)) }
                    }
                    Binary::Add => (x?.0 + y?.0, x?.1 + y?.1),
                    Binary::Sub => (x?.0 - y?.1, x?.1 - y?.0),
                    Binary::Max => (x?.0.max(y?.0), x?.1.max(y?.1)),
                    Binary::Min => (x?.0.min(y?.0), x?.1.min(y?.1)),
                    _ => return None,
                }
            }
            _ => return None,
        };
        // rounding keeps the order of numbers, hence bounds that need none stay bounds; integers that have some do not wrap
        let exact = |x: f64| x.abs() <= (1u64 << 53) as f64 && Literal::scalar(ty.dtype, x).get_f64(0) == x;
        (exact(found.0) && exact(found.1)).then_some(found)
    }

    fn constant(&mut self, v: Value, value: &Literal, part: &[Range<usize>]) -> Option<Bounds> {
        let dtype = value.ty().dtype;
        if dtype.is_complex() {
            return None;
        }
        if let Some(x) = value.splat_f64() {
            return (!x.is_nan()).then_some((x, x));
        }
        if value.ty().numel() > MAX_CONSTANT {
            return None;
        }
        let all = self.constants.entry(v).or_insert_with(|| value.to_f64());
        let mut offsets = vec![0usize];
        for (range, &n) in part.iter().zip(&value.ty().shape) {
            offsets = offsets.iter().flat_map(|o| range.clone().map(move |i| o * n + i)).collect();
        }
        let mut found: Option<Bounds> = None;
        for x in offsets.iter().filter_map(|&o| all.get(o).copied()) {
            if x.is_nan() {
                return None;
            }
            let (low, high) = found.unwrap_or((x, x));
            found = Some((low.min(x), high.max(x)));
        }
        found
    }
}

fn compared(c: Comparison, x: Bounds, y: Bounds) -> Bounds {
    let (apart, same) = (x.1 < y.0 || y.1 < x.0, x.0 == x.1 && x == y);
    let (always, never) = match c {
        Comparison::Lt => (x.1 < y.0, x.0 >= y.1),
        Comparison::Le => (x.1 <= y.0, x.0 > y.1),
        Comparison::Gt => (x.0 > y.1, x.1 <= y.0),
        Comparison::Ge => (x.0 >= y.1, x.1 < y.0),
        Comparison::Eq => (same, apart),
        Comparison::Ne => (apart, same),
    };
    (f64::from(always), f64::from(!never))
}
