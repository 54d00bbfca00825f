//! Random well-formed loop nests and the contents of their buffers.

use gradloom_backends::kernel::{Affine, Axis, Inst, LoopNest, Param, Reduction, Store, Val};
use gradloom_ir::{Binary, Comparison, DType, Element, Literal, ReduceKind, Unary, with_element};

/// The splitmix64 generator.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// Which reductions a nest may have.
#[derive(Clone, Copy, PartialEq)]
pub enum Sums {
    /// No sum or product of floats: results are exact.
    Exact,
    /// At least one sum or product of floats, of values near 1.
    Float,
}

const EXTENTS: &[usize] = &[0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33];
/// The dtypes generated code computes in: nests on 16-bit floats are widened before.
const COMPUTED: [DType; 11] = [
    DType::Bool,
    DType::I8,
    DType::I16,
    DType::I32,
    DType::I64,
    DType::U8,
    DType::U16,
    DType::U32,
    DType::U64,
    DType::F32,
    DType::F64,
];
const FAMILIES: &[&[DType]] = &[
    &[DType::F32, DType::I32, DType::U32, DType::Bool],
    &[DType::F32],
    &[DType::F64, DType::I64, DType::U64, DType::Bool],
    &[DType::I8, DType::U8, DType::I16, DType::U16, DType::Bool],
    &COMPUTED,
];

/// Builds one nest.
pub struct Generator<'r> {
    pub rng: &'r mut Rng,
    nest: LoopNest,
    dtypes: Vec<DType>,
    family: &'static [DType],
    tame: bool,
}

pub fn nest(rng: &mut Rng, sums: Sums) -> LoopNest {
    let family = rng.pick(FAMILIES);
    let tame = sums == Sums::Float;
    let family = if tame { rng.pick(&[&[DType::F32][..], &[DType::F64], &[DType::F32, DType::F64]]) } else { family };
    let nest = LoopNest {
        name: "random".into(),
        params: vec![],
        axes: vec![],
        body: vec![],
        reductions: vec![],
        epilogue: vec![],
        stores: vec![],
    };
    let mut g = Generator { rng, nest, dtypes: vec![], family, tame };
    g.axes(sums);
    g.body();
    g.results();
    g.nest
}

impl Generator<'_> {
    fn axes(&mut self, sums: Sums) {
        let parallel = self.rng.below(4);
        let reduce = if sums == Sums::Float { 1 + self.rng.below(2) } else { self.rng.below(5).saturating_sub(2) };
        for i in 0..parallel + reduce {
            // Empty axes are rare so that most nests compute something.
            let extent = self.rng.pick(EXTENTS);
            let extent = if extent == 0 && !self.rng.chance(4) { 100 } else { extent };
            self.nest.axes.push(Axis { extent, reduce: i >= parallel });
        }
        while self.nest.axes.iter().map(|a| a.extent).product::<usize>() > 5000 {
            let i = self.rng.below(self.nest.axes.len());
            self.nest.axes[i].extent = self.rng.pick(&[1, 2, 3, 4, 5]);
        }
        // long enough for wide vectors with a rest
        if let Some(last) = self.nest.axes.last_mut().filter(|a| a.extent > 0)
            && self.rng.chance(2)
        {
            last.extent = 16 + self.rng.below(140);
        }
    }

    /// A random layout of the chosen axes in memory, all points distinct; the least element is 0.
    fn layout(&mut self, axes: &[usize]) -> Affine {
        let mut order = axes.to_vec();
        if self.rng.chance(2) {
            self.rng.shuffle(&mut order);
        }
        let mut at = Affine { offset: 0, strides: self.nest.axes.iter().map(|_| 0).collect() };
        let mut step = if self.rng.chance(6) { 2 + self.rng.below(2) as i64 } else { 1 };
        for axis in order.into_iter().rev() {
            let extent = self.nest.axes[axis].extent.max(1) as i64;
            at.strides[axis] = step;
            if self.rng.chance(6) {
                at.strides[axis] = -step;
                at.offset += step * (extent - 1);
            }
            step *= extent;
            if self.rng.chance(8) {
                step += self.rng.below(3) as i64;
            }
        }
        at
    }

    fn param(&mut self, dtype: DType, at: &mut Affine) -> u32 {
        let high = at.range(self.nest.axes.iter().map(|a| a.extent.max(1))).1 as usize;
        let before = if self.rng.chance(4) { self.rng.below(5) } else { 0 };
        at.offset += before as i64;
        let after = if self.rng.chance(4) { self.rng.below(5) } else { 0 };
        self.nest.params.push(Param { dtype, len: before + high + 1 + after });
        self.nest.params.len() as u32 - 1
    }

    /// A load along a random subset of the axes below `limit`.
    fn load(&mut self, dtype: DType, limit: usize) -> Inst {
        let axes: Vec<usize> = (0..limit).filter(|_| !self.rng.chance(4)).collect();
        let mut at = self.layout(&axes);
        let param = self.param(dtype, &mut at);
        Inst::Load { param, at }
    }

    fn constant(&mut self, dtype: DType) -> Inst {
        Inst::Const(with_element!(dtype, T => {
            let bytes = content(self.rng, dtype, 1, self.tame);
            Literal::new(&[], &[<T as Element>::from_bytes(&bytes)])
        }))
    }

    fn push(&mut self, inst: Inst, dtype: DType, epilogue: bool) -> Val {
        if epilogue {
            self.nest.epilogue.push(inst)
        } else {
            self.nest.body.push(inst)
        }
        self.dtypes.push(dtype);
        self.dtypes.len() as Val - 1
    }

    fn body(&mut self) {
        let loads = 1 + self.rng.below(3);
        let all = self.nest.axes.len();
        for _ in 0..loads {
            let dtype = self.rng.pick(self.family);
            let load = self.load(dtype, all);
            self.push(load, dtype, false);
        }
        for _ in 0..self.rng.below(9) {
            self.step(0, all, false);
        }
    }

    /// One more instruction on values from `first` on.
    fn step(&mut self, first: usize, axes: usize, epilogue: bool) {
        let x = (first + self.rng.below(self.dtypes.len() - first)) as Val;
        let dtype = self.dtypes[x as usize];
        let same: Vec<Val> =
            (first..self.dtypes.len()).filter(|v| self.dtypes[*v] == dtype).map(|v| v as Val).collect();
        let y = self.rng.pick(&same);
        let choice = self.rng.below(if self.tame { 4 } else { 12 });
        let (inst, dtype) = match choice {
            0 => {
                let dtype = self.rng.pick(self.family);
                (self.load(dtype, axes), dtype)
            }
            1 => {
                let dtype = self.rng.pick(self.family);
                (self.constant(dtype), dtype)
            }
            2 | 3 if self.tame => (Inst::Binary(self.rng.pick(&[Binary::Mul, Binary::Add, Binary::Max]), x, y), dtype),
            2..=4 => {
                let ops: Vec<Binary> = Binary::ALL
                    .iter()
                    .copied()
                    .filter(|op| op.accepts(dtype) && !op.result(dtype).is_complex())
                    .collect();
                let op = self.rng.pick(&ops);
                let shifts = [Binary::ShiftLeft, Binary::ShiftRightLogical, Binary::ShiftRightArithmetic];
                let y = if shifts.contains(&op) && self.rng.chance(2) {
                    let amount = Literal::scalar(dtype, self.rng.below(dtype.size() * 8 + 2) as f64);
                    self.push(Inst::Const(amount), dtype, epilogue)
                } else {
                    y
                };
                (Inst::Binary(op, x, y), dtype)
            }
            5 | 6 => {
                let ops: Vec<Unary> = Unary::ALL
                    .iter()
                    .copied()
                    .filter(|op| op.accepts(dtype) && !op.result(dtype).is_complex())
                    .collect();
                if ops.is_empty() {
                    return;
                }
                let op = self.rng.pick(&ops);
                (Inst::Unary(op, x), if op == Unary::IsFinite { DType::Bool } else { dtype })
            }
            7 => (Inst::Compare(self.rng.pick(Comparison::ALL), x, y), DType::Bool),
            8 => {
                let bools: Vec<Val> =
                    (first..self.dtypes.len()).filter(|v| self.dtypes[*v] == DType::Bool).map(|v| v as Val).collect();
                if bools.is_empty() {
                    return;
                }
                (Inst::Select(self.rng.pick(&bools), x, y), dtype)
            }
            9 => {
                let to = self.rng.pick(self.family);
                (Inst::Convert(to, x), to)
            }
            10 => {
                let to: Vec<DType> = COMPUTED
                    .into_iter()
                    .filter(|d| d.size() == dtype.size() && (*d == DType::Bool) == (dtype == DType::Bool))
                    .collect();
                let to = self.rng.pick(&to);
                // The bits of a computed NaN are not defined, those of a loaded one are.
                let loaded = matches!(self.inst(x), Inst::Load { .. });
                if dtype.is_float() && !to.is_float() && !loaded {
                    return;
                }
                (Inst::Bitcast(to, x), to)
            }
            _ => {
                let words: Vec<Val> =
                    (first..self.dtypes.len()).filter(|v| self.dtypes[*v] == DType::U32).map(|v| v as Val).collect();
                if words.is_empty() || self.rng.chance(3) {
                    let dtype = self.rng.pick(self.family);
                    let kept: Vec<usize> = (0..axes).filter(|_| !self.rng.chance(3)).collect();
                    let mut at = self.layout(&kept);
                    at.offset += self.rng.below(300) as i64 - 150;
                    (Inst::Index { dtype, at }, dtype)
                } else {
                    let args = [0; 4].map(|_| self.rng.pick(&words));
                    (Inst::Threefry(self.rng.below(2) as u8, args), DType::U32)
                }
            }
        };
        self.push(inst, dtype, epilogue);
    }

    fn inst(&self, v: Val) -> &Inst {
        self.nest.inst(v)
    }

    fn results(&mut self) {
        let parallel = self.nest.parallel();
        let mut first = 0;
        if parallel < self.nest.axes.len() {
            let terms: usize = self.nest.axes[parallel..].iter().map(|a| a.extent).product();
            for _ in 0..1 + self.rng.below(3) {
                // Late values are the interesting ones.
                let n = self.nest.body.len();
                let value = (n - 1 - self.rng.below(n.min(3))) as Val;
                let kinds = reductions_of(self.dtypes[value as usize], self.tame, terms);
                let kind = self.rng.pick(kinds);
                self.nest.reductions.push(Reduction { kind, value });
            }
            first = self.nest.body.len();
            for i in 0..self.nest.reductions.len() {
                let dtype = self.dtypes[self.nest.reductions[i].value as usize];
                self.push(Inst::Acc(i as u32), dtype, true);
            }
            if !self.tame {
                for _ in 0..self.rng.below(5) {
                    self.step(first, parallel, true);
                }
            }
        }
        for _ in 0..1 + self.rng.below(2) {
            let n = self.dtypes.len() - first;
            let value = (self.dtypes.len() - 1 - self.rng.below(n.min(3))) as Val;
            let mut at = self.layout(&(0..parallel).collect::<Vec<_>>());
            let param = self.param(self.dtypes[value as usize], &mut at);
            self.nest.stores.push(Store { param, value, at });
        }
    }
}

/// Long products of floats are left out: whether they overflow on the way depends on the order.
fn reductions_of(dtype: DType, tame: bool, terms: usize) -> &'static [ReduceKind] {
    use ReduceKind::*;
    match dtype {
        _ if tame && terms > 40 => &[Sum, Max],
        _ if tame => &[Sum, Prod, Max],
        DType::Bool => &[Max, Min, And, Or],
        DType::F32 | DType::F64 => &[Max, Min],
        _ => &[Sum, Prod, Max, Min, And, Or],
    }
}

/// Bytes of `n` elements: ordinary values and the ends of the range, or values near 1.
pub fn content(rng: &mut Rng, dtype: DType, n: usize, tame: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..n {
        let bits = rng.next();
        let small = (rng.below(2001) as f64 - 1000.0) / 100.0;
        let kind = rng.below(10);
        let special = [0.0, -0.0, 1.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e30, 1e-42][rng.below(9)];
        let float = match kind {
            _ if tame => 0.75 + (bits >> 40) as f64 / (1u64 << 25) as f64,
            0 => special,
            _ => small,
        };
        match dtype {
            DType::Bool => out.push((bits & 1) as u8),
            DType::F32 if kind == 1 && !tame => out.extend((bits as u32).to_ne_bytes()),
            DType::F32 => out.extend((float as f32).to_ne_bytes()),
            DType::F64 if kind == 1 && !tame => out.extend(bits.to_ne_bytes()),
            DType::F64 => out.extend(float.to_ne_bytes()),
            _ if kind < 3 => out.extend(&bits.to_ne_bytes()[..dtype.size()]),
            // The least and greatest values, 0 and -1, and their neighbours.
            _ if kind < 5 => {
                let edge = [0, 1u64 << (dtype.size() * 8 - 1)][rng.below(2)];
                let x = edge.wrapping_add(bits % 3).wrapping_sub(1);
                out.extend(&x.to_ne_bytes()[..dtype.size()]);
            }
            _ => out.extend(
                &((bits % 41) as i64 - if dtype.is_signed_int() { 20 } else { 0 }).to_ne_bytes()[..dtype.size()],
            ),
        }
    }
    out
}
