//! A transform of names: axes are given names where arguments come in, and followed through a function. Where two axes of
//! different names meet, as when rows are added to columns of the same length, it says so (after Rush 2019, "Tensor
//! Considered Harmful").

use gradloom::ir::{Op, Type};
use gradloom::{Error, Interpreter, Result, Tensor, Tree, interpret};

/// The name of each axis; none where nothing is known.
pub type Names = Vec<Option<&'static str>>;

/// The names of the axes of the results of `f`, by those of its arguments' leaves.
///
/// # Errors
/// Where axes of different names meet, with the line; those of `f`; loops whose length is not known.
pub fn axis_names<A: Tree, B: Tree>(f: impl FnOnce(&A) -> B, x: &A, names: &[&[&'static str]]) -> Result<Vec<Names>> {
    let inputs: Vec<Names> = names.iter().map(|n| n.iter().copied().map(Some).collect()).collect();
    let ranks = x.leaves().iter().map(Tensor::ndim).collect::<Vec<_>>();
    if !ranks.iter().copied().eq(inputs.iter().map(Vec::len)) {
        return Err(Error::user("axis_names", format!("names {names:?} for arguments of ranks {ranks:?}")));
    }
    interpret(&mut Naming, f, x, inputs)
}

struct Naming;

/// One name of two; different ones are an error.
fn meet(op: &Op, a: Option<&'static str>, b: Option<&'static str>) -> Result<Option<&'static str>> {
    match (a, b) {
        (Some(x), Some(y)) if x != y => {
            Err(Error::user("axis_names", format!("`{}` of axis `{x}` and axis `{y}`", op.name())))
        }
        _ => Ok(a.or(b)),
    }
}

impl Interpreter for Naming {
    type Value = Names;

    fn constant(&mut self, x: &Tensor) -> Result<Names> {
        Ok(vec![None; x.ndim()])
    }

    fn apply(&mut self, op: &Op, args: &[Names], results: &[Type]) -> Result<Vec<Names>> {
        let rank = results[0].rank();
        let names = match op {
            Op::Unary(_)
            | Op::Binary(_)
            | Op::Compare(_)
            | Op::Select {}
            | Op::Convert { .. }
            | Op::Cumulative { .. } => {
                let mut names = vec![None; rank];
                for a in args.iter().filter(|a| a.len() == rank) {
                    for (n, other) in names.iter_mut().zip(a) {
                        *n = meet(op, *n, *other)?;
                    }
                }
                names
            }
            Op::Broadcast { dims, .. } => {
                let mut names = vec![None; rank];
                dims.iter().zip(&args[0]).for_each(|(&d, &n)| names[d] = n);
                names
            }
            Op::Transpose { perm } => perm.iter().map(|&p| args[0][p]).collect(),
            Op::Reduce { axes, .. } => (0..args[0].len()).filter(|i| !axes.contains(i)).map(|i| args[0][i]).collect(),
            Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } => {
                let pairs = lhs_batch.iter().zip(rhs_batch).chain(lhs_contract.iter().zip(rhs_contract));
                let met = pairs.map(|(&l, &r)| meet(op, args[0][l], args[1][r])).collect::<Result<Vec<_>>>()?;
                let free = |names: &Names, gone: [&[usize]; 2]| -> Names {
                    (0..names.len()).filter(|i| !gone.concat().contains(i)).map(|i| names[i]).collect()
                };
                let mut names = met[..lhs_batch.len()].to_vec();
                names.extend(free(&args[0], [lhs_batch, lhs_contract]));
                names.extend(free(&args[1], [rhs_batch, rhs_contract]));
                names
            }
            Op::Slice { .. } | Op::Reverse { .. } | Op::Pad { .. } => args[0].clone(),
            _ => vec![None; rank],
        };
        Ok(results.iter().map(|ty| if ty.rank() == rank { names.clone() } else { vec![None; ty.rank()] }).collect())
    }
}
