//! The text form of loop nests and recurrences, for dumps.

use super::{Affine, Inst, LoopNest, Param, Recurrence, Steps, Store};
use std::fmt;

const AXES: &[u8] = b"ijklmnopqrstuvwxyz";

/// The letter of an axis, numbered beyond the alphabet.
fn axis_name(axis: usize) -> String {
    AXES.get(axis).map_or_else(|| format!("a{axis}"), |c| char::from(*c).to_string())
}

impl fmt::Display for Affine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for (axis, s) in self.strides.iter().enumerate().filter(|(_, s)| **s != 0) {
            match (first, *s < 0) {
                (true, true) => f.write_str("-")?,
                (true, false) => {}
                (false, true) => f.write_str(" - ")?,
                (false, false) => f.write_str(" + ")?,
            }
            first = false;
            match s.unsigned_abs() {
                1 => f.write_str(&axis_name(axis))?,
                s => write!(f, "{s}{}", axis_name(axis))?,
            }
        }
        match (first, self.offset) {
            (true, offset) => write!(f, "{offset}"),
            (false, 0) => Ok(()),
            (false, offset) if offset < 0 => write!(f, " - {}", offset.unsigned_abs()),
            (false, offset) => write!(f, " + {offset}"),
        }
    }
}

impl fmt::Display for Inst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Inst::Const(literal) => write!(f, "{literal}:{}", literal.ty().dtype),
            Inst::Load { param, at } => write!(f, "p{param}[{at}]"),
            Inst::Index { dtype, at } => write!(f, "{dtype}({at})"),
            Inst::Unary(op, x) => write!(f, "{} %{x}", op.name()),
            Inst::Binary(op, x, y) => write!(f, "{} %{x} %{y}", op.name()),
            Inst::Compare(op, x, y) => write!(f, "{} %{x} %{y}", op.name()),
            Inst::Select(p, x, y) => write!(f, "select %{p} %{x} %{y}"),
            Inst::Convert(dtype, x) => write!(f, "convert {dtype} %{x}"),
            Inst::Bitcast(dtype, x) => write!(f, "bitcast_convert {dtype} %{x}"),
            Inst::Threefry(lane, [a, b, c, d]) => write!(f, "threefry2x32 {lane} %{a} %{b} %{c} %{d}"),
            Inst::Acc(i) => write!(f, "acc{i}"),
        }
    }
}

impl fmt::Display for LoopNest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        head(f, "kernel", &self.name, &self.params)?;
        for (i, axis) in self.axes.iter().enumerate() {
            writeln!(f, "  {} {} < {}", if axis.reduce { "reduce" } else { "for" }, axis_name(i), axis.extent)?;
        }
        for (i, inst) in self.body.iter().enumerate() {
            writeln!(f, "    %{i} = {inst}")?;
        }
        for (i, r) in self.reductions.iter().enumerate() {
            writeln!(f, "  acc{i} = {} %{}", r.kind.name(), r.value)?;
        }
        for (i, inst) in self.epilogue.iter().enumerate() {
            writeln!(f, "    %{} = {inst}", i + self.body.len())?;
        }
        stores(f, &self.stores)
    }
}

impl fmt::Display for Recurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        head(f, "recurrence", &self.name, &self.params)?;
        for (i, c) in self.carried.iter().enumerate() {
            writeln!(f, "  acc{i}: {} = p{}[{}]", c.dtype, c.init.0, c.init.1)?;
        }
        match self.steps {
            Steps::Known(n) => writeln!(f, "  for i < {n}")?,
            Steps::While(v, _) => writeln!(f, "  while %{v}")?,
        }
        for (i, inst) in self.body.iter().enumerate() {
            writeln!(f, "    %{i} = {inst}")?;
        }
        stores(f, &self.stores)?;
        for (i, c) in self.carried.iter().enumerate() {
            writeln!(f, "    acc{i} = %{}", c.next)?;
        }
        for (i, c) in self.carried.iter().enumerate() {
            writeln!(f, "  p{}[{}] = acc{i}", c.end.0, c.end.1)?;
        }
        Ok(())
    }
}

fn head(f: &mut fmt::Formatter<'_>, what: &str, name: &str, params: &[Param]) -> fmt::Result {
    write!(f, "{what} {name}(")?;
    for (i, p) in params.iter().enumerate() {
        write!(f, "{}p{i}: {}[{}]", if i == 0 { "" } else { ", " }, p.dtype, p.len)?;
    }
    writeln!(f, ")")
}

fn stores(f: &mut fmt::Formatter<'_>, stores: &[Store]) -> fmt::Result {
    stores.iter().try_for_each(|s| writeln!(f, "    p{}[{}] = %{}", s.param, s.at, s.value))
}

#[cfg(test)]
mod tests {
    use super::super::{Axis, Param, Reduction, Store};
    use super::*;
    use gradloom_ir::{Binary, DType, Literal, ReduceKind};

    #[test]
    fn a_nest_reads_as_its_loops() {
        let at = |offset, strides: &[i64]| Affine { offset, strides: strides.into() };
        let nest = LoopNest {
            name: "row_sum".into(),
            params: vec![Param { dtype: DType::F32, len: 12 }, Param { dtype: DType::F32, len: 4 }],
            axes: vec![Axis { extent: 4, reduce: false }, Axis { extent: 3, reduce: true }],
            body: vec![
                Inst::Load { param: 0, at: at(2, &[3, -1]) },
                Inst::Const(Literal::scalar(DType::F32, 2.0)),
                Inst::Binary(Binary::Mul, 0, 1),
            ],
            reductions: vec![Reduction { kind: ReduceKind::Sum, value: 2 }],
            epilogue: vec![Inst::Acc(0)],
            stores: vec![Store { param: 1, value: 3, at: at(0, &[1, 0]) }],
        };
        nest.verify().expect("the nest is well formed");
        let expected = "\
kernel row_sum(p0: f32[12], p1: f32[4])
  for i < 4
  reduce j < 3
    %0 = p0[3i - j + 2]
    %1 = 2.0:f32
    %2 = multiply %0 %1
  acc0 = sum %2
    %3 = acc0
    p1[i] = %3
";
        assert_eq!(nest.to_string(), expected);
    }
}
