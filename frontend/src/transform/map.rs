//! `vmap` and collectives over its named axis.

use crate::tensor::{Tensor, apply, apply_graph};
use crate::trace::{Program, fill, fill_error, template, trace_with};
use crate::tree::Tree;
use gradloom_ir::{Builder, Error, Loc, Op, ReduceKind, Result, Type, Value};
use gradloom_passes::transform as passes;
use std::sync::Arc;

/// How [`vmap_with`] maps.
#[derive(Clone, Debug, Default)]
pub struct Vmap {
    in_axes: Vec<Option<i64>>,
    out_axis: i64,
    axis_name: Option<String>,
}

impl Vmap {
    /// Axis 0 of every leaf, in and out.
    pub fn new() -> Vmap {
        Vmap::default()
    }

    /// The axis each leaf is mapped over; `None` for leaves shared by all instances. One entry for all leaves, or one
    /// for each top-level component of the argument, or one for each leaf in order.
    pub fn in_axes(mut self, axes: impl IntoIterator<Item = Option<i64>>) -> Vmap {
        self.in_axes = axes.into_iter().collect();
        self
    }

    /// Where the mapped axis goes in every result.
    pub fn out_axis(mut self, axis: i64) -> Vmap {
        self.out_axis = axis;
        self
    }

    /// The name by which [`psum`], [`axis_index`] and their like refer to the mapped axis.
    pub fn axis_name(mut self, name: &str) -> Vmap {
        self.axis_name = Some(name.to_string());
        self
    }

    /// One axis for each leaf.
    fn leaf_axes(&self, paths: &[String]) -> Result<Vec<Option<i64>>> {
        let top = |p: &String| p.split('.').next().unwrap_or_default().to_string();
        let mut tops: Vec<String> = paths.iter().map(top).collect();
        tops.dedup();
        match self.in_axes.len() {
            0 => Ok(vec![Some(0); paths.len()]),
            1 => Ok(vec![self.in_axes[0]; paths.len()]),
            n if n == paths.len() => Ok(self.in_axes.clone()),
            n if n == tops.len() => {
                let at = |p| tops.iter().position(|t| *t == top(p)).unwrap_or(0);
                Ok(paths.iter().map(|p| self.in_axes[at(p)]).collect())
            }
            n => {
                Err(Error::user("vmap", format!("{n} in_axes for {} leaves in {} components", paths.len(), tops.len()))
                    .help("give one for all, one a component of the argument, or one a leaf"))
            }
        }
    }
}

/// Maps a function over the leading axis of every leaf of its argument; results get the axis in front.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::prelude::*;
/// let x = Tensor::from_slice([2, 2], &[1.0f32, 2.0, 3.0, 4.0]);
/// let norms = vmap(|row: &Tensor| row.square().sum(..))(&x);
/// assert_eq!(norms.to_vec::<f32>().unwrap(), [5.0, 25.0]);
/// ```
#[track_caller]
pub fn vmap<A: Tree, B: Tree>(f: impl Fn(&A) -> B) -> impl Fn(&A) -> B {
    vmap_with(Vmap::new(), f)
}

/// [`vmap`] with chosen axes and an axis name.
#[track_caller]
pub fn vmap_with<A: Tree, B: Tree>(config: Vmap, f: impl Fn(&A) -> B) -> impl Fn(&A) -> B {
    let loc = Loc::caller();
    move |x| match run(&config, &f, x, &loc) {
        Ok(y) => y,
        Err(e) => fill_error(&template(x, &f), e, &loc),
    }
}

fn run<A: Tree, B: Tree>(config: &Vmap, f: &impl Fn(&A) -> B, x: &A, loc: &Loc) -> Result<B> {
    let mapped = Mapped::of(config, x.leaves(), x.paths())?;
    let t = trace_with(x, &mut |i, ty| Ok(mapped.row(i, ty)), f)?;
    Ok(fill(&t.out, mapped.apply(config, &t.program, loc)?))
}

/// The leaves that a function is mapped over.
struct Mapped {
    leaves: Vec<Tensor>,
    paths: Vec<String>,
    /// The mapped axis of each leaf.
    axes: Vec<Option<usize>>,
    /// The length of all mapped axes.
    size: usize,
}

impl Mapped {
    fn of(config: &Vmap, leaves: Vec<Tensor>, paths: Vec<String>) -> Result<Mapped> {
        let named = config.leaf_axes(&paths)?;
        let mut axes: Vec<Option<usize>> = Vec::with_capacity(leaves.len());
        let mut size: Option<(usize, &String)> = None;
        for ((leaf, axis), path) in leaves.iter().zip(&named).zip(&paths) {
            leaf.check()?;
            let Some(axis) = *axis else {
                axes.push(None);
                continue;
            };
            let rank = leaf.ndim() as i64;
            let a = if axis < 0 { axis + rank } else { axis };
            if a < 0 || a >= rank {
                return Err(Error::bad_axis("vmap", axis, leaf.ty_ref()));
            }
            let n = leaf.shape()[a as usize];
            match size {
                Some((m, other)) if m != n => {
                    let what = format!("mapped axes have lengths {m} (leaf `{other}`) and {n} (leaf `{path}`)");
                    return Err(
                        Error::user("vmap", what).help("use `vmap_with(Vmap::new().in_axes(..), f)` to share a leaf")
                    );
                }
                _ => size = Some((n, path)),
            }
            axes.push(Some(a as usize));
        }
        let Some((size, _)) = size else {
            return Err(Error::user("vmap", "no leaf is mapped").help("at least one in_axes entry must be an axis"));
        };
        Ok(Mapped { leaves, paths, axes, size })
    }

    /// The type of leaf `i` of one instance.
    fn row(&self, i: usize, ty: &Type) -> Type {
        let mut ty = ty.clone();
        if let Some(a) = self.axes[i] {
            ty.shape.remove(a);
        }
        ty
    }

    /// The results of all instances of the program.
    fn apply(&self, config: &Vmap, t: &Program, loc: &Loc) -> Result<Vec<Tensor>> {
        let Mapped { leaves, paths, axes, size } = self;
        let skip = t.captures.len();
        let batched: Vec<bool> = (0..t.graph.num_inputs()).map(|i| i >= skip && axes[i - skip].is_some()).collect();
        let force = vec![true; t.graph.num_outputs()];
        let g = passes::batch(&t.graph, &batched, *size, config.axis_name.as_deref(), Some(&force))?.graph;
        // a program from the leaves as they come to the results as asked for
        let mut b = Builder::new();
        let captured: Vec<Value> = t.captures.iter().map(|c| b.input(c.ty(), "")).collect();
        let given: Vec<Value> = leaves.iter().zip(paths).map(|(l, p)| b.input(l.ty(), p)).collect();
        let mut args = captured;
        for (&v, axis) in given.iter().zip(axes) {
            args.push(match axis {
                Some(a) => passes::move_axis(&mut b, v, *a, 0)?,
                None => v,
            });
        }
        let mut outs = b.inline(&g, &args)?;
        for o in &mut outs {
            let ty = b.ty(*o).clone();
            let to = if config.out_axis < 0 { config.out_axis + ty.rank() as i64 } else { config.out_axis };
            if to < 0 || to >= ty.rank() as i64 {
                return Err(Error::bad_axis("vmap", config.out_axis, &ty));
            }
            *o = passes::move_axis(&mut b, *o, 0, to as usize)?;
        }
        apply_graph(&Arc::new(b.finish(&outs)?), &t.operands(leaves.clone()), loc)
    }
}

fn collective(kind: ReduceKind, x: &Tensor, axis_name: &str, loc: &Loc) -> Tensor {
    apply(Op::AllReduce { kind, axis_name: axis_name.into() }, &[x], loc)
}

/// The sum over the mapped axis of this name.
#[track_caller]
pub fn psum(x: &Tensor, axis_name: &str) -> Tensor {
    collective(ReduceKind::Sum, x, axis_name, &Loc::caller())
}

/// The greatest over the mapped axis of this name.
#[track_caller]
pub fn pmax(x: &Tensor, axis_name: &str) -> Tensor {
    collective(ReduceKind::Max, x, axis_name, &Loc::caller())
}

/// The least over the mapped axis of this name.
#[track_caller]
pub fn pmin(x: &Tensor, axis_name: &str) -> Tensor {
    collective(ReduceKind::Min, x, axis_name, &Loc::caller())
}

/// The mean over the mapped axis of this name.
#[track_caller]
pub fn pmean(x: &Tensor, axis_name: &str) -> Tensor {
    psum(x, axis_name) / psum(&x.ones_like(), axis_name)
}

/// This instance's position (i32) along the mapped axis of this name.
#[track_caller]
pub fn axis_index(axis_name: &str) -> Tensor {
    apply(Op::AxisIndex { axis_name: axis_name.into() }, &[], &Loc::caller())
}
