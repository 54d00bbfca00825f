//! Random programs of the form of a rule's left side: a rule is tried, and proved, on them.

use super::matching::Bindings;
use super::rule::{Accuracy, Rule, RuleSet};
use super::term::{AttrPattern, Condition, NodePattern, Number, Pattern};
use crate::manager::Changed;
use gradloom_ir::{Attr, Builder, DType, Error, Graph, Literal, Op, Result, Type, Value, eval::eval};
use std::collections::BTreeSet;

/// Random programs that are made for one that fits.
const ATTEMPTS: usize = 2000;

/// A small generator of random numbers (splitmix64, Steele et al. 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn shape(&mut self) -> Vec<usize> {
        (0..self.below(4)).map(|_| 1 + self.below(3)).collect()
    }

    /// Some of the axes of a rank, in order.
    fn axes(&mut self, rank: usize) -> Vec<usize> {
        (0..rank).filter(|_| self.below(2) == 0).collect()
    }

    fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut p: Vec<usize> = (0..n).collect();
        (1..n).for_each(|i| p.swap(i, self.below(i + 1)));
        p
    }

    /// Numbers at the edges of what rules must mind, and ordinary ones.
    fn element(&mut self, dtype: DType) -> f64 {
        let numbers: &[f64] = match dtype {
            DType::Bool => &[0.0, 1.0],
            d if d.is_unsigned_int() => &[0.0, 1.0, 2.0, 3.0, 7.0, 100.0, 255.0],
            d if d.is_int() => &[0.0, 1.0, -1.0, 2.0, 3.0, -7.0, 100.0, -128.0],
            _ => &[0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -3.75, 7.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN],
        };
        self.pick(numbers)
    }

    fn literal(&mut self, ty: &Type, finite: bool) -> Literal {
        let mut element = || loop {
            let x = self.element(ty.dtype);
            if x.is_finite() || !finite {
                return Literal::scalar(ty.dtype, x).bytes().to_vec();
            }
        };
        let elements: Vec<u8> = (0..ty.numel()).flat_map(|_| element()).collect();
        Literal::from_bytes(ty.clone(), elements).unwrap_or_else(|| Literal::scalar(ty.dtype, 0.0))
    }
}

/// A program under way, and what the names stand for in it.
struct Instance<'a> {
    r: &'a mut Random,
    b: Builder,
    bindings: Bindings,
    /// Values that must be numbers.
    numbers: &'a BTreeSet<usize>,
}

fn ints(list: &[usize]) -> Attr {
    Attr::Ints(list.iter().map(|&x| x as i64).collect())
}

impl Instance<'_> {
    /// A value of that type and form; `None` if there is none, or none was hit upon.
    fn value(&mut self, p: &Pattern, ty: &Type) -> Option<Value> {
        match p {
            Pattern::Value(i) => {
                if let Some(x) = self.bindings.values[*i] {
                    return (self.b.ty(x) == ty).then_some(x);
                }
                let x = if self.numbers.contains(i) {
                    let number = self.r.pick(&[0.0, 1.0, -1.0, 2.0, 4.0, 0.5, 3.0]);
                    self.full(Literal::scalar(ty.dtype, number), ty)
                } else {
                    self.b.input(ty.clone(), "")
                };
                self.bindings.values[*i] = Some(x);
                Some(x)
            }
            Pattern::Number(n, name) => {
                let n = match *n {
                    Number::Is(0.0) if ty.dtype.is_float() && self.r.below(2) == 0 => Number::Zero { negative: true },
                    n => n,
                };
                let x = n.literal_of(ty.dtype).map(|c| self.full(c, ty))?;
                if let Some(i) = name {
                    self.bindings.values[*i] = Some(x);
                }
                Some(x)
            }
            Pattern::Node(p) => {
                let x = self.node(p, ty)?;
                if let Some(i) = p.result {
                    if self.bindings.values[i].is_some() {
                        return None;
                    }
                    self.bindings.values[i] = Some(x);
                }
                Some(x)
            }
        }
    }

    fn full(&mut self, c: Literal, ty: &Type) -> Value {
        let c = self.b.literal(c);
        self.b.broadcast(c, &ty.shape, &[])
    }

    fn node(&mut self, p: &NodePattern, ty: &Type) -> Option<Value> {
        let name = self.r.pick(&p.ops);
        let (mut attrs, types) = self.operands(name, p.args.len(), ty, &p.attrs)?;
        for (attribute, pattern) in &p.attrs {
            let (_, made) = attrs.iter_mut().find(|(n, _)| n == attribute)?;
            match pattern {
                AttrPattern::Is(a) => *made = a.clone(),
                AttrPattern::Capture(i) => match &self.bindings.attrs[*i] {
                    Some(bound) => *made = bound.clone(),
                    None => self.bindings.attrs[*i] = Some(made.clone()),
                },
            }
        }
        let op = Op::from_attrs(name, |n| attrs.iter().find(|(a, _)| *a == n).map(|(_, a)| a.clone())).ok()?;
        let args: Vec<Value> = p.args.iter().zip(&types).map(|(p, t)| self.value(p, t)).collect::<Option<_>>()?;
        let results = self.b.emit(op, &args).ok()?;
        // attributes that the rule prescribes may make another type of it
        (results.len() == 1 && self.b.ty(results[0]) == ty).then(|| results[0])
    }

    /// Attributes and operand types with which the op gives a value of that type.
    fn operands(
        &mut self,
        name: &'static str,
        count: usize,
        ty: &Type,
        prescribed: &[(String, AttrPattern)],
    ) -> Option<(Vec<(&'static str, Attr)>, Vec<Type>)> {
        let r = &mut *self.r;
        let is = |n: &str| {
            prescribed.iter().find(|(a, _)| *a == n).and_then(|(_, p)| match p {
                AttrPattern::Is(a) => Some(a.clone()),
                AttrPattern::Capture(_) => None,
            })
        };
        let rank = ty.shape.len();
        let any = |r: &mut Random| r.pick(&DType::ALL);
        let same = |n: usize| vec![ty.clone(); n];
        let with = |shape: &[usize]| Type::new(ty.dtype, shape);
        Some(match name {
            "convert" => (vec![("dtype", Attr::DType(ty.dtype))], vec![ty.with_dtype(any(r))]),
            "bitcast_convert" => {
                let from = DType::ALL.into_iter().filter(|d| d.size() == ty.dtype.size()).collect::<Vec<_>>();
                (vec![("dtype", Attr::DType(ty.dtype))], vec![ty.with_dtype(r.pick(&from))])
            }
            "real" | "imag" | "abs" if ty.dtype.is_float() && r.below(2) == 0 => {
                let complex = if ty.dtype == DType::F64 { DType::C128 } else { DType::C64 };
                (Vec::new(), vec![ty.with_dtype(complex); count])
            }
            "complex" if ty.dtype.is_complex() => (Vec::new(), vec![ty.with_dtype(ty.dtype.real()); count]),
            "is_finite" => (Vec::new(), vec![ty.with_dtype(any(r))]),
            "select" => (Vec::new(), vec![ty.with_dtype(DType::Bool), ty.clone(), ty.clone()]),
            n if gradloom_ir::Comparison::from_name(n).is_some() => {
                let from = ty.with_dtype(any(r));
                (Vec::new(), vec![from; count])
            }
            "transpose" => {
                let perm = r.permutation(rank);
                let mut from = vec![0; rank];
                perm.iter().enumerate().for_each(|(i, &p)| from[p] = ty.shape[i]);
                (vec![("perm", ints(&perm))], vec![with(&from)])
            }
            "reshape" => {
                let mut from = ty.shape.to_vec();
                match r.below(3) {
                    0 => from = vec![ty.numel()],
                    1 => from.insert(r.below(rank + 1), 1),
                    _ => from.reverse(),
                }
                (vec![("shape", ints(&ty.shape))], vec![with(&from)])
            }
            "broadcast_in_dim" => {
                let dims = if is("dims") == Some(ints(&[])) { Vec::new() } else { r.axes(rank) };
                let from: Vec<usize> = dims.iter().map(|&d| ty.shape[d]).collect();
                (vec![("shape", ints(&ty.shape)), ("dims", ints(&dims))], vec![with(&from)])
            }
            "reverse" => (vec![("axes", ints(&r.axes(rank)))], same(1)),
            "slice" => {
                let low: Vec<usize> = (0..rank).map(|_| r.below(3)).collect();
                let step: Vec<usize> = (0..rank).map(|_| 1 + r.below(2)).collect();
                let limit: Vec<usize> =
                    (0..rank).map(|i| low[i] + ty.shape[i].saturating_sub(1) * step[i] + ty.shape[i].min(1)).collect();
                let from: Vec<usize> = limit.iter().map(|l| l + r.below(2)).collect();
                (vec![("start", ints(&low)), ("limit", ints(&limit)), ("stride", ints(&step))], vec![with(&from)])
            }
            "concatenate" => {
                let axis = r.below(rank);
                let mut left = *ty.shape.get(axis)?;
                let mut types = Vec::new();
                for i in 0..count {
                    let n = if i + 1 == count { left } else { r.below(left + 1) };
                    left -= n;
                    let mut shape = ty.shape.to_vec();
                    shape[axis] = n;
                    types.push(with(&shape));
                }
                (vec![("axis", Attr::Int(axis as i64))], types)
            }
            "reduce" => {
                let none = is("axes") == Some(ints(&[]));
                let mut from = ty.shape.to_vec();
                let mut axes = Vec::new();
                for _ in 0..if none { 0 } else { 1 + r.below(2) } {
                    let at = r.below(from.len() + 1);
                    axes.iter_mut().for_each(|a| *a += usize::from(*a >= at));
                    from.insert(at, 1 + r.below(3));
                    axes.push(at);
                }
                let kinds = ["sum", "prod", "max", "min", "and", "or"];
                let kind = is("kind").unwrap_or_else(|| Attr::Str(r.pick(&kinds).into()));
                (vec![("kind", kind), ("axes", ints(&axes))], vec![with(&from)])
            }
            "cumulative" => {
                let kind = is("kind").unwrap_or_else(|| Attr::Str(r.pick(&["sum", "prod", "max", "min"]).into()));
                let axis = Attr::Int(r.below(rank) as i64);
                (vec![("kind", kind), ("axis", axis), ("reverse", Attr::Bool(r.below(2) == 0))], same(1))
            }
            "dot_general" => {
                // matrices and vectors, with or without a batch
                let batch = r.below(rank.min(2) + 1).min(rank);
                let left = batch + r.below(rank - batch + 1);
                let k = 1 + r.below(3);
                let (mut lhs, mut rhs) = (ty.shape[..left].to_vec(), ty.shape[..batch].to_vec());
                rhs.extend(&ty.shape[left..]);
                let (l, s) = (batch + r.below(lhs.len() - batch + 1), batch + r.below(rhs.len() - batch + 1));
                lhs.insert(l, k);
                rhs.insert(s, k);
                let axes: Vec<usize> = (0..batch).collect();
                let attrs = vec![
                    ("lhs_batch", ints(&axes)),
                    ("rhs_batch", ints(&axes)),
                    ("lhs_contract", ints(&[l])),
                    ("rhs_contract", ints(&[s])),
                ];
                (attrs, vec![with(&lhs), with(&rhs)])
            }
            n if Op::signature(n).is_some_and(|(_, attrs)| attrs.is_empty()) => (Vec::new(), same(count)),
            _ => return None,
        })
    }
}

/// Values of which a condition says that they are numbers.
fn numbers(c: &Condition, out: &mut BTreeSet<usize>) {
    match c {
        Condition::All(all) => all.iter().for_each(|c| numbers(c, out)),
        Condition::Property(name, i) if name == "const" => {
            out.insert(*i);
        }
        _ => {}
    }
}

/// A random program of the form of the rule's left side.
fn instance(rule: &Rule, p: &NodePattern, r: &mut Random) -> Option<Graph> {
    let mut numbers_of = BTreeSet::new();
    numbers(rule.condition(), &mut numbers_of);
    let says = |op: &&str| gradloom_ir::Comparison::from_name(op).is_some() || *op == "is_finite";
    let dtype = if p.ops.iter().all(says) { DType::Bool } else { r.pick(&DType::ALL) };
    let ty = Type::new(dtype, &r.shape());
    let mut bindings = Bindings::default();
    bindings.values.resize(rule.names.values.len(), None);
    bindings.attrs.resize(rule.names.attrs.len(), None);
    let mut instance = Instance { r, b: Builder::new(), bindings, numbers: &numbers_of };
    let x = instance.node(p, &ty)?;
    instance.b.finish(&[x]).ok()
}

/// The next program to which the rule applies, and what it makes of it. `Ok(None)` if none was found; whether any program
/// had the form at all goes to `formed`.
fn next(rule: &Rule, set: &RuleSet, r: &mut Random, formed: &mut bool) -> Result<Option<(Graph, Graph)>> {
    let Some(p) = rule.pattern() else { return Ok(None) };
    for _ in 0..ATTEMPTS {
        let Some(before) = instance(rule, p, r) else { continue };
        *formed = true;
        let mut after = before.clone();
        if once(&mut after, set)? == Changed::Yes {
            return Ok(Some((before, after)));
        }
    }
    Ok(None)
}

/// The rules at every node once; a rule that turns its sides round and round ends.
fn once(g: &mut Graph, set: &RuleSet) -> Result<Changed> {
    match super::sweep(g, set, |_, _, _, _| Ok(None))? {
        Some(new) if new != *g => {
            *g = new;
            Ok(Changed::Yes)
        }
        _ => Ok(Changed::No),
    }
}

fn without_form(rule: &Rule) -> Error {
    Error::user("rule", format!("`{}`: no program has the form of the left side", rule.text()))
        .help("operands or attributes of one of its ops do not fit together")
}

/// Tries a rule on some programs: its sides must have one type.
pub(super) fn check_types(rule: &Rule, programs: usize) -> Result<()> {
    if rule.pattern().is_none_or(|p| !can_be_made(p)) {
        return Ok(());
    }
    let set = RuleSet::unchecked("rule", vec![rule.clone()]);
    let mut formed = false;
    for seed in 0..programs {
        if next(rule, &set, &mut Random(seed as u64), &mut formed)?.is_none() {
            break;
        }
    }
    if formed { Ok(()) } else { Err(without_form(rule)) }
}

/// Whether operands of all ops of the pattern can be drawn.
fn can_be_made(p: &NodePattern) -> bool {
    const SHAPED: [&str; 12] = [
        "convert",
        "bitcast_convert",
        "select",
        "transpose",
        "reshape",
        "broadcast_in_dim",
        "reverse",
        "slice",
        "concatenate",
        "reduce",
        "cumulative",
        "dot_general",
    ];
    let plain = |op: &&str| SHAPED.contains(op) || Op::signature(op).is_some_and(|(_, attrs)| attrs.is_empty());
    p.ops.iter().all(plain) && p.args.iter().all(|a| if let Pattern::Node(n) = a { can_be_made(n) } else { true })
}

/// See [`Rule::prove`].
pub(super) fn prove(rule: &Rule, programs: usize, seed: u64) -> Result<usize> {
    let set = RuleSet::unchecked("rule", vec![rule.clone()]);
    let mut formed = false;
    for i in 0..programs {
        let mut r = Random(seed.wrapping_mul(1_000_003).wrapping_add(i as u64));
        let Some((before, after)) = next(rule, &set, &mut r, &mut formed)? else {
            return if i > 0 { Ok(i) } else { Err(without_form(rule)) };
        };
        holds_on(rule, &before, &after, &mut r)?;
    }
    Ok(programs)
}

/// See [`Rule::prove_on`].
pub(super) fn prove_on(rule: &Rule, before: &Graph, seed: u64) -> Result<Option<Graph>> {
    let mut after = before.clone();
    if once(&mut after, &RuleSet::unchecked("rule", vec![rule.clone()]))? == Changed::No {
        return Ok(None);
    }
    let after = crate::dead_code(&after);
    holds_on(rule, before, &after, &mut Random(seed))?;
    Ok(Some(after))
}

/// Whether a program and what a rule made of it give the same results: of finite numbers, and of others if they must.
fn holds_on(rule: &Rule, before: &Graph, after: &Graph, r: &mut Random) -> Result<()> {
    for finite in if rule.holds_of_all_numbers() { &[false, true][..] } else { &[true] } {
        let inputs: Vec<Literal> = before.inputs().map(|x| r.literal(before.ty(x), *finite)).collect();
        let (old, new) = (eval(before, &inputs)?, eval(after, &inputs)?);
        if !old.iter().zip(&new).all(|(a, b)| alike(a, b, rule.accuracy())) {
            let what = format!(
                "`{}` does not hold: on {inputs:?}\n{before}\ngives {old:?}, and\n{after}\ngives {new:?}",
                rule.text()
            );
            return Err(Error::user("rule", what));
        }
    }
    Ok(())
}

/// Whether two results are the same: bits but for NaNs, or up to rounding.
fn alike(a: &Literal, b: &Literal, accuracy: Accuracy) -> bool {
    let exact = accuracy == Accuracy::Bits;
    if a.ty() != b.ty() {
        return false;
    }
    let tolerance = match a.ty().dtype.real() {
        _ if exact || !a.ty().dtype.is_inexact() => 0.0,
        DType::F64 => 1e-9,
        DType::F32 => 1e-4,
        _ => 0.05,
    };
    let near = |x: f64, y: f64| {
        (accuracy == Accuracy::Finite && !x.is_finite())
            || (x.is_nan() && y.is_nan())
            || (x == y && (!exact || x.is_sign_negative() == y.is_sign_negative()))
            || (!exact && (x - y).abs() <= tolerance * (1.0 + x.abs().max(y.abs())))
    };
    // of complex numbers the signs of zero parts, and the parts of what is not finite, are those of one formula or another
    let parts = if a.ty().dtype.is_complex() { 2 } else { 1 };
    let number = |x: &[f64], y: &[f64]| {
        let lost = |z: &[f64]| parts == 2 && z.iter().any(|z| !z.is_finite());
        (lost(x) && lost(y)) || x.iter().zip(y).all(|(&x, &y)| near(x, y) || (parts == 2 && x == y))
    };
    let (x, y) = (a.to_numbers(), b.to_numbers());
    a.bytes() == b.bytes() || x.chunks(parts).zip(y.chunks(parts)).all(|(x, y)| number(x, y))
}
