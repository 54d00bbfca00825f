//! One op being lowered: its operands, attributes and result types, with errors that say where.

use super::super::constant::dense;
use super::super::syntax::{Attr, Operation, Type as TextType};
use super::super::types::array;
use super::{Body, Closure, Importer};
use gradloom_ir::{Builder, DType, Error, Literal, Op, Result, Shape, Type, Value, Values};

pub(in super::super) struct Call<'i, 'm> {
    pub(super) im: &'i mut Importer<'m>,
    pub(super) op: &'m Operation<'m>,
    pub(super) args: Vec<Value>,
}

impl<'m> Call<'_, 'm> {
    pub(super) fn error(&self, message: impl AsRef<str>) -> Error {
        self.im.source.error(self.op.at, format!("{}: {}", self.op.name, message.as_ref()))
    }

    pub(super) fn unsupported(&self, message: impl AsRef<str>) -> Error {
        self.im.source.unsupported(self.op.at, format!("{}: {}", self.op.name, message.as_ref()))
    }

    pub(super) fn body(&mut self) -> &mut Body {
        self.im.body()
    }

    pub(super) fn b(&mut self) -> &mut Builder {
        &mut self.im.body().b
    }

    pub(super) fn ty(&self, v: Value) -> Type {
        self.im.body_ref().b.ty(v).clone()
    }

    /// The operands, if there are as many.
    pub(super) fn args<const N: usize>(&self) -> Result<[Value; N]> {
        let got = self.args.len();
        self.args.as_slice().try_into().map_err(|_| self.error(format!("takes {N} operands, got {got}")))
    }

    /// The node `op` on all operands, of which there must be `n`.
    pub(super) fn emit(&mut self, op: Op, n: usize) -> Result<Values> {
        if self.args.len() != n {
            return Err(self.error(format!("takes {n} operands, got {}", self.args.len())));
        }
        let args = std::mem::take(&mut self.args);
        self.b().emit(op, &args)
    }

    /// The node `op` on the given operands.
    pub(super) fn node(&mut self, op: Op, args: &[Value]) -> Result<Values> {
        self.b().emit(op, args)
    }

    /// The declared type of result `i`.
    pub(super) fn result(&self, i: usize) -> Result<Type> {
        let types = self.op.result_types().and_then(|t| t.get(i));
        let ty = types.ok_or_else(|| self.error("the result types are missing"))?;
        array(self.im.source, ty, self.op.at)
    }

    /// The region at `i` as a program.
    pub(super) fn closure(&mut self, i: usize) -> Result<Closure> {
        let region = self.op.regions.get(i).ok_or_else(|| self.error(format!("region {i} is missing")))?;
        self.im.closure(region)
    }

    /// The first attribute that has one of these names.
    pub(super) fn attr(&self, names: &[&str]) -> Option<&'m Attr<'m>> {
        names.iter().find_map(|n| self.op.attr(n))
    }

    fn missing(&self, names: &[&str]) -> Error {
        self.error(format!("the attribute `{}` is missing", names[0]))
    }

    /// An attribute's integers; `[]`, `array<i64: ..>`, `dense<..>` and single numbers alike.
    pub(super) fn integers(&self, attr: &Attr<'_>) -> Result<Vec<i64>> {
        let wrong = || self.error(format!("{attr:?} stands where integers are expected"));
        let parse = |text: &str| text.parse::<i64>().ok();
        match attr {
            Attr::Number(text) => Ok(vec![parse(text).ok_or_else(wrong)?]),
            Attr::List(items) => {
                let nested = items.iter().map(|i| self.integers(i)).collect::<Result<Vec<_>>>()?;
                Ok(nested.concat())
            }
            Attr::Word("true") => Ok(vec![1]),
            Attr::Word("false") => Ok(vec![0]),
            Attr::Dense(inside, at, Some(TextType::Tensor { dims, element })) => {
                let integer = matches!(*element, "index" | "i64" | "i32" | "i1");
                let dims: Option<Vec<usize>> = dims.iter().copied().collect();
                let dims = dims.filter(|_| integer).ok_or_else(wrong)?;
                let count = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n <= 1 << 16);
                count.ok_or_else(wrong)?;
                let dtype = if *element == "i1" { DType::Bool } else { DType::I64 };
                let values = dense(self.im.source, inside, *at, &Type::new(dtype, &dims))?;
                Ok(values.to_f64().iter().map(|&x| x as i64).collect())
            }
            _ => Err(wrong()),
        }
    }

    /// The integers of the attribute, if it is there.
    pub(super) fn ints_if_any(&self, names: &[&str]) -> Result<Option<Vec<i64>>> {
        self.attr(names).map(|a| self.integers(a)).transpose()
    }

    pub(super) fn ints(&self, names: &[&str]) -> Result<Vec<i64>> {
        self.ints_if_any(names)?.ok_or_else(|| self.missing(names))
    }

    pub(super) fn to_shape(&self, ints: &[i64]) -> Result<Shape> {
        let shape: Result<Shape, _> = ints.iter().map(|&i| usize::try_from(i)).collect();
        shape.map_err(|_| self.error(format!("{ints:?} has a negative entry")))
    }

    pub(super) fn shape(&self, names: &[&str]) -> Result<Shape> {
        self.to_shape(&self.ints(names)?)
    }

    /// The attribute as lengths; `n` times `default` if it is not there.
    pub(super) fn shape_or(&self, names: &[&str], n: usize, default: usize) -> Result<Shape> {
        match self.ints_if_any(names)? {
            Some(ints) => self.to_shape(&ints),
            None => Ok(Shape::from_elem(default, n)),
        }
    }

    pub(super) fn int(&self, names: &[&str]) -> Result<i64> {
        match self.ints(names)?[..] {
            [i] => Ok(i),
            _ => Err(self.error(format!("`{}` should be one integer", names[0]))),
        }
    }

    pub(super) fn axis(&self, names: &[&str]) -> Result<usize> {
        let i = self.int(names)?;
        usize::try_from(i).map_err(|_| self.error(format!("axis {i} is negative")))
    }

    /// Padding before and after each of `n` axes; none if the attribute is not there.
    pub(super) fn pairs_or_zero(&self, names: &[&str], n: usize) -> Result<Vec<(i64, i64)>> {
        let Some(ints) = self.ints_if_any(names)? else { return Ok(vec![(0, 0); n]) };
        if ints.len() != 2 * n {
            return Err(self.error(format!("`{}` should have {n} pairs", names[0])));
        }
        Ok(ints.chunks_exact(2).map(|p| (p[0], p[1])).collect())
    }

    pub(super) fn flag(&self, names: &[&str]) -> bool {
        matches!(self.attr(names), Some(Attr::Word("true") | Attr::Unit))
    }

    /// The word of `LT`, `#stablehlo<comparison_direction LT>` or the bare word at `i` of a pretty form.
    pub(super) fn word(&self, names: &[&str], i: usize) -> Option<&'m str> {
        match self.attr(names) {
            Some(Attr::Word(w) | Attr::Str(w)) => Some(w),
            Some(Attr::Named(_, others)) => match others.last() {
                Some(Attr::Word(w)) => Some(w),
                _ => None,
            },
            _ => self.op.words.get(i).copied(),
        }
    }

    /// A named part of an attribute like `#stablehlo.gather<offset_dims = [0]>` as lengths; none if it is not there.
    pub(super) fn part(&self, parts: &[(&str, Attr<'_>)], name: &str) -> Result<Shape> {
        match parts.iter().find(|(n, _)| *n == name) {
            Some((_, a)) => self.to_shape(&self.integers(a)?),
            None => Ok(Shape::new()),
        }
    }

    /// The value if it is a constant scalar.
    pub(super) fn literal(&self, v: Value) -> Option<Literal> {
        let constant = self.im.body_ref().constants.get(&v)?;
        (constant.shape.is_none() && constant.literal.ty().rank() == 0).then(|| constant.literal.clone())
    }
}
