//! From a cluster to its loop nest.

use super::cluster::{Cluster, Clustered, split_axes};
use crate::kernel::{Affine, Axis, Inst, LoopNest, Param, Reduction, Store, Val};
use gradloom_ir::{Binary, DType, Error, Graph, Literal, Node, Op, Result, Shape, Unary, Value, row_major_strides};
use smallvec::{SmallVec, smallvec};
use std::collections::HashMap;

/// A loop nest and the stored values its params stand for.
pub(crate) struct Kernel {
    pub nest: LoopNest,
    /// The value of each param; the written ones come last.
    pub params: Vec<Value>,
    /// How many params, at the end, are written.
    pub written: usize,
    /// Read params every read of which is at the index at which the write `.1` (position among the params) happens.
    pub in_place: Vec<(usize, usize)>,
}

/// For each axis of a value, its index as an affine function of the loops.
type Index = SmallVec<[Affine; 6]>;

struct Builder<'a> {
    g: &'a Graph,
    definitions: &'a [Option<usize>],
    c: &'a Clustered,
    cluster: &'a Cluster,
    axes: usize,
    params: Vec<Value>,
    body: Vec<Inst>,
    epilogue: Vec<Inst>,
    reductions: Vec<Reduction>,
    /// Accumulators of the reduced roots.
    accumulators: HashMap<Value, u32>,
    known: HashMap<(Value, Index, bool), Val>,
    in_epilogue: bool,
}

/// Which roots must be written to memory: those read outside the cluster.
pub(super) fn kernel(
    g: &Graph,
    definitions: &[Option<usize>],
    c: &Clustered,
    cluster: &Cluster,
    written: &[Value],
) -> Result<Kernel> {
    let rank = cluster.shape.len();
    // loops: kept axes first, reduced ones last, as the kernel IR wants them
    let kept: Vec<usize> = (0..rank).filter(|a| !cluster.reduced.contains(a)).collect();
    let order: Vec<usize> = kept.iter().chain(&cluster.reduced).copied().collect();
    let axes: Vec<Axis> =
        order.iter().map(|&a| Axis { extent: cluster.shape[a], reduce: cluster.reduced.contains(&a) }).collect();
    let mut b = Builder {
        g,
        definitions,
        c,
        cluster,
        axes: rank,
        params: Vec::new(),
        body: Vec::new(),
        epilogue: Vec::new(),
        reductions: Vec::new(),
        accumulators: HashMap::new(),
        known: HashMap::new(),
        in_epilogue: false,
    };
    let loop_of = |axis: usize| order.iter().position(|&a| a == axis).expect("every axis has a loop");
    let full: Index = (0..rank).map(|a| b.loop_index(loop_of(a))).collect();
    let outer: Index = kept.iter().map(|&a| b.loop_index(loop_of(a))).collect();
    let mut stores: Vec<Stored> = Vec::new();
    if cluster.reduced.is_empty() {
        for &r in &cluster.roots {
            let values = b.parts(r, &full)?;
            if let [v] = values[..] {
                b.known.insert((r, full.clone(), false), v);
            }
            if written.contains(&r) {
                stores.push(Stored { root: r, values });
            }
        }
    } else {
        for &r in &cluster.roots {
            let node = &g.nodes()[definitions[r.index()].expect("a root is computed")];
            if let Op::Reduce { kind, axes } = &node.op
                && !axes.is_empty()
            {
                let value = b.value(node.args[0], &full)?;
                b.accumulators.insert(r, b.reductions.len() as u32);
                b.reductions.push(Reduction { kind: *kind, value });
            }
        }
        b.in_epilogue = true;
        for &r in &cluster.roots {
            let values = match b.accumulators.get(&r) {
                Some(&k) => smallvec![b.push(Inst::Acc(k))],
                None => b.parts(r, &outer)?,
            };
            if let [v] = values[..] {
                b.known.insert((r, outer.clone(), true), v);
            }
            if written.contains(&r) {
                stores.push(Stored { root: r, values });
            }
        }
    }
    let body_len = b.body.len() as Val;
    let read_params = b.params.len();
    let at_root = if cluster.reduced.is_empty() { full } else { outer };
    let mut nest_stores: Vec<Store> = Vec::new();
    for (i, stored) in stores.iter().enumerate() {
        let at = b.linear(&at_root, &row_major_strides(&g.ty(stored.root).shape));
        let parts = stored.values.len();
        for (part, &value) in stored.values.iter().enumerate() {
            let at = if parts == 1 { at.clone() } else { part_of(&at, part) };
            nest_stores.push(Store { param: (read_params + i) as u32, value, at });
        }
    }
    let in_place = b.in_place(&nest_stores, &stores, read_params);
    let mut params = b.params;
    params.extend(stores.iter().map(|s| s.root));
    let written = stores.len();
    // epilogue values were numbered from EPILOGUE on while the body's length was not known
    let epilogue = b.epilogue.into_iter().map(|i| renumber(i, body_len)).collect();
    let fix = |v: Val| if v >= EPILOGUE { v - EPILOGUE + body_len } else { v };
    let nest = LoopNest {
        name: name(g, definitions, cluster),
        params: params
            .iter()
            .map(|&v| {
                let dtype = g.ty(v).dtype;
                Param { dtype: dtype.real(), len: g.ty(v).numel() * if dtype.is_complex() { 2 } else { 1 } }
            })
            .collect(),
        axes,
        body: b.body,
        reductions: b.reductions,
        epilogue,
        stores: nest_stores.into_iter().map(|s| Store { value: fix(s.value), ..s }).collect(),
    };
    Ok(Kernel { nest: nest.widen_halves()?, params, written, in_place })
}

/// The loop nest of a program whose outputs have one shape, with nothing in memory but inputs and outputs.
///
/// # Errors
/// An op that is no part of loop nests.
pub(crate) fn nest_of(g: &Graph) -> Result<Kernel> {
    let mut stored = vec![false; g.num_values()];
    g.inputs().chain(g.outputs().iter().copied()).for_each(|v| stored[v.index()] = true);
    let (alias, first) = (vec![None; g.num_values()], vec![0; g.num_values()]);
    let c = Clustered { steps: Vec::new(), stored, alias, first };
    let shape = g.outputs().first().map(|&o| g.ty(o).shape.clone()).unwrap_or_default();
    let cluster = Cluster::new(shape, g.outputs().iter().copied().collect());
    kernel(g, &g.definitions(), &c, &cluster, g.outputs())
}

/// A root to be written, and its value; of a complex root the two parts.
struct Stored {
    root: Value,
    values: SmallVec<[Val; 2]>,
}

/// Where part 0 or 1 of the complex number at `at` is among the numbers of its array.
fn part_of(at: &Affine, part: usize) -> Affine {
    Affine { offset: at.offset * 2 + part as i64, strides: at.strides.iter().map(|s| s * 2).collect() }
}

/// Numbers of epilogue values while the nest is being built.
const EPILOGUE: Val = 1 << 31;

fn renumber(i: Inst, body_len: Val) -> Inst {
    let f = |v: Val| if v >= EPILOGUE { v - EPILOGUE + body_len } else { v };
    match i {
        Inst::Unary(u, a) => Inst::Unary(u, f(a)),
        Inst::Binary(o, a, b) => Inst::Binary(o, f(a), f(b)),
        Inst::Compare(o, a, b) => Inst::Compare(o, f(a), f(b)),
        Inst::Select(p, a, b) => Inst::Select(f(p), f(a), f(b)),
        Inst::Convert(d, a) => Inst::Convert(d, f(a)),
        Inst::Bitcast(d, a) => Inst::Bitcast(d, f(a)),
        Inst::Threefry(l, a) => Inst::Threefry(l, a.map(f)),
        Inst::Const(_) | Inst::Load { .. } | Inst::Index { .. } | Inst::Acc(_) => i,
    }
}

/// The ops of the roots, for dumps and profiles.
fn name(g: &Graph, definitions: &[Option<usize>], cluster: &Cluster) -> String {
    let ops: Vec<&str> =
        cluster.roots.iter().filter_map(|r| definitions[r.index()]).map(|i| g.nodes()[i].op.name()).collect();
    ops.join("_")
}

impl Builder<'_> {
    fn constant(&self, offset: i64) -> Affine {
        Affine { offset, strides: SmallVec::from_elem(0, self.axes) }
    }

    fn loop_index(&self, axis: usize) -> Affine {
        let mut a = self.constant(0);
        a.strides[axis] = 1;
        a
    }

    fn push(&mut self, i: Inst) -> Val {
        let (list, base) = if self.in_epilogue { (&mut self.epilogue, EPILOGUE) } else { (&mut self.body, 0) };
        list.push(i);
        base + (list.len() - 1) as Val
    }

    /// `sum(index[i] * strides[i])`
    fn linear(&self, index: &[Affine], strides: &[usize]) -> Affine {
        let mut sum = self.constant(0);
        for (a, &s) in index.iter().zip(strides) {
            sum.offset += a.offset * s as i64;
            for (x, y) in sum.strides.iter_mut().zip(&a.strides) {
                *x += y * s as i64;
            }
        }
        sum
    }

    /// Where in its memory the element of a value at an index is.
    fn element(&self, v: Value, index: &[Affine]) -> Affine {
        let mut at = self.linear(index, &row_major_strides(&self.g.ty(v).shape));
        at.offset += self.c.first[v.index()] as i64;
        at
    }

    /// The value of a root at an index, computed from its operands; the two parts of a complex one.
    fn parts(&mut self, root: Value, index: &Index) -> Result<SmallVec<[Val; 2]>> {
        let node = self.definitions[root.index()].map(|i| &self.g.nodes()[i]);
        match node {
            Some(Node { op: Op::Binary(Binary::Complex), args, .. }) => {
                Ok(smallvec![self.value(args[0], index)?, self.value(args[1], index)?])
            }
            _ => Ok(smallvec![self.computed(root, index)?]),
        }
    }

    /// One part of a stored complex number.
    fn part(&mut self, z: Value, part: usize, index: &Index) -> Result<Val> {
        if let Some(Node { op: Op::Binary(Binary::Complex), args, .. }) =
            self.definitions[z.index()].map(|i| &self.g.nodes()[i])
        {
            return self.value(args[part], index);
        }
        let at = self.element(z, index);
        let memory = self.c.alias[z.index()].unwrap_or(z);
        let param = self.param(memory);
        Ok(self.push(Inst::Load { param, at: part_of(&at, part) }))
    }

    /// The position of a stored value among the params.
    fn param(&mut self, memory: Value) -> u32 {
        let found = self.params.iter().position(|&p| p == memory);
        found.unwrap_or_else(|| {
            self.params.push(memory);
            self.params.len() - 1
        }) as u32
    }

    /// The value at an index: read if stored, else computed.
    fn value(&mut self, v: Value, index: &Index) -> Result<Val> {
        let key = (v, index.clone(), self.in_epilogue);
        if let Some(&known) = self.known.get(&key) {
            return Ok(known);
        }
        let memory = self.c.alias[v.index()].or(self.c.stored[v.index()].then_some(v));
        let result = match memory {
            Some(m) => {
                if let Some(value) = self.splat(m) {
                    self.push(Inst::Const(value))
                } else {
                    let param = self.param(m);
                    let at = self.element(v, index);
                    self.push(Inst::Load { param, at })
                }
            }
            None => self.computed(v, index)?,
        };
        self.known.insert(key, result);
        Ok(result)
    }

    /// The one element of a constant array all of whose elements are it.
    fn splat(&self, v: Value) -> Option<Literal> {
        match &self.g.nodes()[self.definitions[v.index()]?].op {
            Op::Constant { value } => value.splat_value(),
            _ => None,
        }
    }

    /// The value at an index, computed from its operands.
    fn computed(&mut self, v: Value, index: &Index) -> Result<Val> {
        let i = self.definitions[v.index()].ok_or_else(|| Error::internal("fuse", "an input is not stored"))?;
        let g = self.g;
        let node = &g.nodes()[i];
        let shape_of = |k: usize| -> &Shape { &g.ty(node.args[k]).shape };
        let inst = match &node.op {
            Op::Unary(Unary::Real) => return self.part(node.args[0], 0, index),
            Op::Unary(Unary::Imag) => return self.part(node.args[0], 1, index),
            Op::Unary(u) => Inst::Unary(*u, self.value(node.args[0], index)?),
            Op::Binary(o) => {
                let (a, b) = (self.value(node.args[0], index)?, self.value(node.args[1], index)?);
                Inst::Binary(*o, a, b)
            }
            Op::Compare(o) => {
                let (a, b) = (self.value(node.args[0], index)?, self.value(node.args[1], index)?);
                Inst::Compare(*o, a, b)
            }
            Op::Select {} => {
                let p = self.value(node.args[0], index)?;
                let (a, b) = (self.value(node.args[1], index)?, self.value(node.args[2], index)?);
                Inst::Select(p, a, b)
            }
            Op::Convert { dtype } if g.ty(node.args[0]).dtype == *dtype => return self.value(node.args[0], index),
            Op::Convert { dtype } => Inst::Convert(*dtype, self.value(node.args[0], index)?),
            Op::Bitcast { dtype } => Inst::Bitcast(*dtype, self.value(node.args[0], index)?),
            Op::Threefry { lane } => {
                let mut a = [0; 4];
                for (slot, &arg) in a.iter_mut().zip(&node.args) {
                    *slot = self.value(arg, index)?;
                }
                Inst::Threefry(*lane, a)
            }
            Op::Constant { value } => match value.splat_value() {
                Some(s) => Inst::Const(s),
                // an array without elements: nothing is ever computed
                None => Inst::Const(Literal::scalar(value.ty().dtype, 0.0)),
            },
            Op::Iota { dtype, axis, .. } => Inst::Index { dtype: *dtype, at: index[*axis].clone() },
            Op::Broadcast { dims, .. } => {
                let from = shape_of(0);
                let result = &g.ty(v).shape;
                let inner: Index = dims
                    .iter()
                    .enumerate()
                    .map(|(k, &d)| if from[k] == result[d] { index[d].clone() } else { self.constant(0) })
                    .collect();
                return self.value(node.args[0], &inner);
            }
            Op::Transpose { perm } => {
                let mut inner: Index = SmallVec::from_elem(self.constant(0), perm.len());
                for (k, &p) in perm.iter().enumerate() {
                    inner[p] = index[k].clone();
                }
                return self.value(node.args[0], &inner);
            }
            Op::Slice { start, stride, .. } => {
                let inner: Index = (0..index.len())
                    .map(|k| {
                        let mut a = index[k].clone();
                        a.strides.iter_mut().for_each(|s| *s *= stride[k] as i64);
                        a.offset = a.offset * stride[k] as i64 + start[k] as i64;
                        a
                    })
                    .collect();
                return self.value(node.args[0], &inner);
            }
            Op::Reverse { axes } => {
                let inner: Index = (0..index.len())
                    .map(|k| {
                        let mut a = index[k].clone();
                        if axes.contains(&k) {
                            a.strides.iter_mut().for_each(|s| *s = -*s);
                            a.offset = shape_of(0)[k] as i64 - 1 - a.offset;
                        }
                        a
                    })
                    .collect();
                return self.value(node.args[0], &inner);
            }
            Op::Reshape { shape } => {
                let from = shape_of(0).clone();
                let groups = split_axes(&from, shape)
                    .ok_or_else(|| Error::internal("fuse", "a reshape that merges axes was inlined"))?;
                let inner: Index = groups
                    .iter()
                    .map(|group| {
                        let lengths: Shape = group.iter().map(|&a| shape[a]).collect();
                        let parts: Index = group.iter().map(|&a| index[a].clone()).collect();
                        self.linear(&parts, &row_major_strides(&lengths))
                    })
                    .collect();
                return self.value(node.args[0], &inner);
            }
            // over no axes
            Op::Reduce { axes, .. } if axes.is_empty() => return self.value(node.args[0], index),
            Op::Reduce { .. } if self.accumulators.contains_key(&v) => Inst::Acc(self.accumulators[&v]),
            op => {
                return Err(
                    Error::internal("fuse", format!("{} cannot be part of a loop nest", op.name())).at(&node.loc)
                );
            }
        };
        Ok(self.push(inst))
    }

    /// Pairs of a read and a written param that may be one buffer: of one size, and every read is of the element
    /// about to be written.
    fn in_place(&self, stores: &[Store], roots: &[Stored], first: usize) -> Vec<(usize, usize)> {
        let mut pairs = Vec::new();
        let loads = |p: usize| {
            self.body.iter().chain(&self.epilogue).filter_map(move |i| match i {
                Inst::Load { param, at } if *param as usize == p => Some(at),
                _ => None,
            })
        };
        if !self.cluster.reduced.is_empty() {
            return pairs; // reads of the body come many times before the one write
        }
        let size = |v: Value| -> (usize, DType) { (self.g.ty(v).numel(), self.g.ty(v).dtype) };
        let is_complex = |v: Value| self.g.ty(v).dtype.is_complex();
        for (p, &v) in self.params.iter().enumerate() {
            for s in stores {
                let r = roots[s.param as usize - first].root;
                // the parts of a complex number are read and written one after the other
                if is_complex(v) || is_complex(r) {
                    continue;
                }
                if size(v).0 == size(r).0 && size(v).1.size() == size(r).1.size() && loads(p).all(|at| *at == s.at) {
                    pairs.push((p, s.param as usize));
                }
            }
        }
        pairs
    }
}
