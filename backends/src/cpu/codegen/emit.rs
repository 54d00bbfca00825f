//! The state of the emitter, memory access, and values by level. Loops are in `loops`, reductions in `reduce`.

use super::externs::Externs;
use super::lanes::Target;
use super::plan::{Plan, is_native};
use crate::kernel::{Affine, Inst, Val};
use cranelift_codegen::ir::{ConstantData, Endianness, InstBuilder, MemFlagsData, Type, Value, types};
use cranelift_codegen::isa::TargetFrontendConfig;
use cranelift_frontend::FunctionBuilder;
use cranelift_module::Module;
use gradloom_ir::{DType, Literal, Result};
use smallvec::{SmallVec, smallvec};

/// One scalar a lane.
pub(super) type LaneValues = SmallVec<[Value; 4]>;

/// How a value of the nest is held.
#[derive(Clone, Debug)]
pub(super) enum Held {
    /// One scalar for all lanes.
    Uniform(Value),
    /// A vector register; bools as masks of the lane's width.
    Vector(Value),
    /// Scalars, for dtypes of which a vector does not fill a register.
    Lanes(LaneValues),
}

/// What the innermost open vector loop steps over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Width {
    /// Single points.
    Scalar,
    /// This many vectors.
    Vectors(usize),
}

pub(super) struct Emitter<'a> {
    pub b: FunctionBuilder<'a>,
    pub plan: &'a Plan,
    pub externs: Externs<'a>,
    pub has_fma: bool,
    pub target: Target,
    /// Pointers to the params.
    base: Vec<Value>,
    /// Index of each open loop.
    pub index: Vec<Value>,
    pub width: Width,
    /// Each value, once a vector of the iteration if it varies.
    held: Vec<SmallVec<[Held; 4]>>,
    /// Results of the reductions of the current point.
    pub acc: Vec<SmallVec<[Held; 4]>>,
    /// The range of the split loop.
    pub range: (Value, Value),
}

/// The Cranelift type of a scalar; of a 16-bit float that of its bits with zeros above.
pub(super) fn scalar_type(dtype: DType) -> Type {
    match dtype {
        DType::Bool | DType::I8 | DType::U8 => types::I8,
        DType::I16 | DType::U16 => types::I16,
        DType::I32 | DType::U32 | DType::F16 | DType::BF16 => types::I32,
        DType::I64 | DType::U64 => types::I64,
        DType::F32 => types::F32,
        DType::F64 => types::F64,
        DType::C64 | DType::C128 => unreachable!("kernels compute on real numbers"),
    }
}

/// The Cranelift type of a native vector.
pub(super) fn vector_type(dtype: DType, lanes: usize) -> Type {
    match (dtype, lanes) {
        (DType::F32, _) => types::F32X4,
        (DType::F64, _) => types::F64X2,
        (_, 4) => types::I32X4,
        _ => types::I64X2,
    }
}

/// Flags of a bitcast between vectors: lane 0 is the first in memory.
pub(super) fn lane_order() -> MemFlagsData {
    MemFlagsData::new().with_endianness(Endianness::Little)
}

impl<'a> Emitter<'a> {
    pub fn new(mut b: FunctionBuilder<'a>, module: &'a mut dyn Module, plan: &'a Plan, has_fma: bool) -> Emitter<'a> {
        let entry = b.create_block();
        b.append_block_params_for_function_params(entry);
        b.switch_to_block(entry);
        let params = b.block_params(entry);
        let range = (params[1], params[2]);
        Emitter {
            b,
            plan,
            has_fma,
            target: if module.isa().name() == "x64" { Target::X64 } else { Target::Other },
            externs: Externs::new(module),
            base: Vec::new(),
            index: Vec::new(),
            width: Width::Scalar,
            held: vec![SmallVec::new(); plan.levels.len()],
            acc: Vec::new(),
            range,
        }
    }

    /// The whole function.
    pub fn function(mut self, config: TargetFrontendConfig) -> Result<()> {
        let nest = &self.plan.nest;
        if !nest.axes.iter().any(|a| !a.reduce && a.extent == 0) {
            self.load_params();
            self.values(0);
            self.parallel_loop(0);
        }
        self.b.ins().return_(&[]);
        self.b.seal_all_blocks();
        self.b.finalize(config);
        Ok(())
    }

    /// Loads the pointers to the params.
    pub fn load_params(&mut self) {
        let entry = self.b.current_block().expect("`new` opened the entry block");
        let table = self.b.block_params(entry)[0];
        let flags = MemFlagsData::trusted().with_readonly().with_can_move();
        for i in 0..self.plan.nest.params.len() {
            let pointer = self.b.ins().load(types::I64, flags, table, 8 * i as i32);
            self.base.push(pointer);
        }
    }

    /// Emits the body values that can be known with `level` loops open, and not before.
    pub fn values(&mut self, level: usize) {
        let plan = self.plan;
        for v in 0..plan.nest.body.len() {
            if plan.used[v] && plan.levels[v] == level {
                self.value(v as Val);
            }
        }
    }

    /// Emits the epilogue.
    pub fn epilogue(&mut self) {
        let plan = self.plan;
        for v in plan.nest.body.len()..plan.levels.len() {
            if plan.used[v] {
                self.value(v as Val);
            }
        }
    }

    pub fn value(&mut self, v: Val) {
        let vectors = match self.width {
            Width::Vectors(n) if self.plan.varying[v as usize] => n,
            _ => 1,
        };
        let varies = self.width != Width::Scalar && self.plan.varying[v as usize];
        self.held[v as usize] =
            (0..vectors).map(|u| if varies { self.lanes_of(v, u) } else { Held::Uniform(self.scalar_of(v)) }).collect();
    }

    /// How vector number `u` of a value is held.
    pub fn held(&self, v: Val, u: usize) -> &Held {
        let vectors = &self.held[v as usize];
        &vectors[u.min(vectors.len() - 1)]
    }

    /// A value that does not vary, or the one point of a scalar loop.
    pub fn uniform(&self, v: Val) -> Value {
        match self.held(v, 0) {
            Held::Uniform(x) => *x,
            other => unreachable!("%{v} varies but is used where nothing does: {other:?}"),
        }
    }

    fn scalar_of(&mut self, v: Val) -> Value {
        let plan = self.plan;
        let dtype = plan.dtypes[v as usize];
        match plan.nest.inst(v) {
            Inst::Const(literal) => self.constant(literal),
            Inst::Load { param, at } => {
                let (pointer, offset) = self.address(*param, at, 0);
                self.load(dtype, pointer, offset)
            }
            Inst::Index { dtype, at } => {
                let x = self.affine(at);
                self.convert(DType::I64, *dtype, x)
            }
            Inst::Acc(i) => match &self.acc[*i as usize][0] {
                Held::Uniform(x) => *x,
                other => unreachable!("a varying accumulator in a scalar epilogue: {other:?}"),
            },
            inst => {
                let args: SmallVec<[Value; 4]> = inst.operands().iter().map(|o| self.uniform(*o)).collect();
                self.scalar_inst(v, &args)
            }
        }
    }

    fn lanes_of(&mut self, v: Val, u: usize) -> Held {
        let plan = self.plan;
        let dtype = plan.dtypes[v as usize];
        match plan.nest.inst(v) {
            Inst::Const(literal) => Held::Uniform(self.constant(literal)),
            Inst::Load { param, at } => self.load_lanes(*param, at, dtype, u),
            Inst::Index { dtype, at } => self.index_lanes(*dtype, at, u),
            Inst::Acc(i) => {
                let vectors = &self.acc[*i as usize];
                vectors[u.min(vectors.len() - 1)].clone()
            }
            inst => {
                let operands = inst.operands();
                if let Some(x) = self.vector_inst(v, &operands, u) {
                    return Held::Vector(x);
                }
                let args: SmallVec<[LaneValues; 4]> = operands.iter().map(|o| self.lane_values(*o, u)).collect();
                let results = (0..plan.lanes)
                    .map(|lane| {
                        let args: SmallVec<[Value; 4]> = args.iter().map(|a| a[lane]).collect();
                        self.scalar_inst(v, &args)
                    })
                    .collect();
                self.assemble(dtype, results)
            }
        }
    }

    /// A scalar constant.
    pub fn constant(&mut self, literal: &Literal) -> Value {
        let mut bytes = [0; 8];
        bytes[..literal.bytes().len()].copy_from_slice(literal.bytes());
        let bits = u64::from_le_bytes(bytes);
        match literal.ty().dtype {
            DType::F32 => self.b.ins().f32const(f32::from_bits(bits as u32)),
            DType::F64 => self.b.ins().f64const(f64::from_bits(bits)),
            dtype => self.b.ins().iconst(scalar_type(dtype), bits as i64),
        }
    }

    /// A vector of equal lanes from the bytes of one.
    pub fn splat_bytes(&mut self, ty: Type, lane: &[u8]) -> Value {
        let bytes = lane.repeat(16 / lane.len());
        let constant = self.b.func.dfg.constants.insert(ConstantData::from(&bytes[..]));
        self.b.ins().vconst(ty, constant)
    }

    // ---- addresses ----

    /// `x * factor` for a constant.
    fn times(&mut self, x: Value, factor: i64) -> Value {
        match factor {
            1 => x,
            f if f > 0 && f & (f - 1) == 0 => self.b.ins().ishl_imm_u(x, i64::from(f.trailing_zeros())),
            f => self.b.ins().imul_imm_s(x, f),
        }
    }

    /// An affine function of the open loops' indices, as i64.
    fn affine(&mut self, at: &Affine) -> Value {
        let mut sum = self.b.ins().iconst(types::I64, at.offset);
        for i in 0..self.index.len() {
            if at.strides[i] != 0 {
                let step = self.times(self.index[i], at.strides[i]);
                sum = self.b.ins().iadd(sum, step);
            }
        }
        sum
    }

    /// Address and constant offset of an element, `extra` elements further.
    pub fn address(&mut self, param: u32, at: &Affine, extra: i64) -> (Value, i32) {
        let size = self.plan.nest.params[param as usize].dtype.size() as i64;
        let mut pointer = self.base[param as usize];
        for i in 0..self.index.len() {
            if at.strides[i] != 0 {
                let step = self.times(self.index[i], at.strides[i] * size);
                pointer = self.b.ins().iadd(pointer, step);
            }
        }
        let offset = (at.offset + extra) * size;
        match i32::try_from(offset) {
            Ok(offset) => (pointer, offset),
            Err(_) => {
                let offset = self.b.ins().iconst(types::I64, offset);
                (self.b.ins().iadd(pointer, offset), 0)
            }
        }
    }

    // ---- memory by vectors ----

    /// Elements from lane to lane.
    fn lane_stride(&self, at: &Affine) -> i64 {
        self.plan.vector.map_or(0, |v| at.strides[v])
    }

    /// How many elements vector number `u` starts after the first.
    fn vector_start(&self, at: &Affine, u: usize) -> i64 {
        self.lane_stride(at) * (u * self.plan.lanes) as i64
    }

    /// A scalar in memory.
    pub fn load(&mut self, dtype: DType, pointer: Value, offset: i32) -> Value {
        let flags = MemFlagsData::trusted();
        if dtype.is_half() {
            return self.b.ins().uload16(types::I32, flags, pointer, offset);
        }
        self.b.ins().load(scalar_type(dtype), flags, pointer, offset)
    }

    pub fn store(&mut self, dtype: DType, x: Value, pointer: Value, offset: i32) {
        let flags = MemFlagsData::trusted();
        if dtype.is_half() {
            self.b.ins().istore16(flags, x, pointer, offset);
        } else {
            self.b.ins().store(flags, x, pointer, offset);
        }
    }

    fn load_lanes(&mut self, param: u32, at: &Affine, dtype: DType, u: usize) -> Held {
        let lanes = self.plan.lanes;
        let stride = self.lane_stride(at);
        let start = self.vector_start(at, u);
        if stride.abs() == 1 && is_native(dtype, lanes) {
            let first = if stride == 1 { start } else { start + 1 - lanes as i64 };
            let (pointer, offset) = self.address(param, at, first);
            let flags = MemFlagsData::new().with_notrap();
            let x = if dtype == DType::Bool {
                let packed = self.b.ins().load(packed_bools(lanes), flags, pointer, offset);
                self.unpack_bools(packed)
            } else if dtype.is_half() {
                self.b.ins().uload16x4(flags, pointer, offset)
            } else {
                self.b.ins().load(vector_type(dtype, lanes), flags, pointer, offset)
            };
            return Held::Vector(if stride == 1 { x } else { self.reverse(x) });
        }
        let values = (0..lanes as i64)
            .map(|lane| {
                let (pointer, offset) = self.address(param, at, start + lane * stride);
                self.load(dtype, pointer, offset)
            })
            .collect();
        self.assemble(dtype, values)
    }

    /// Writes what the current iteration stores. All loads of the iteration come before.
    pub fn stores(&mut self) {
        let plan = self.plan;
        for s in &plan.nest.stores {
            let dtype = plan.dtypes[s.value as usize];
            let Width::Vectors(vectors) = self.width else {
                self.store_scalar(s.param, &s.at, s.value);
                continue;
            };
            for u in 0..vectors {
                self.store_lanes(s.param, &s.at, dtype, s.value, u);
            }
        }
    }

    pub fn store_scalar(&mut self, param: u32, at: &Affine, v: Val) {
        let (pointer, offset) = self.address(param, at, 0);
        let x = self.uniform(v);
        self.store(self.plan.dtypes[v as usize], x, pointer, offset);
    }

    fn store_lanes(&mut self, param: u32, at: &Affine, dtype: DType, v: Val, u: usize) {
        let lanes = self.plan.lanes;
        let stride = self.lane_stride(at);
        let start = self.vector_start(at, u);
        if stride.abs() == 1 && is_native(dtype, lanes) {
            let first = if stride == 1 { start } else { start + 1 - lanes as i64 };
            let mut x = self.vector(v, u);
            if stride == -1 {
                x = self.reverse(x);
            }
            if dtype == DType::Bool {
                x = self.pack_bools(x);
            } else if dtype.is_half() {
                let packed = self.b.ins().unarrow(x, x);
                let packed = self.b.ins().bitcast(types::I64X2, lane_order(), packed);
                x = self.b.ins().extractlane(packed, 0);
            }
            let (pointer, offset) = self.address(param, at, first);
            self.b.ins().store(MemFlagsData::new().with_notrap(), x, pointer, offset);
            return;
        }
        let values = self.lane_values(v, u);
        for (lane, x) in values.into_iter().enumerate() {
            let (pointer, offset) = self.address(param, at, start + lane as i64 * stride);
            self.store(dtype, x, pointer, offset);
        }
    }

    fn index_lanes(&mut self, dtype: DType, at: &Affine, u: usize) -> Held {
        let lanes = self.plan.lanes;
        let stride = self.lane_stride(at);
        let start = self.vector_start(at, u);
        let base = self.affine(at);
        if dtype.is_int() && is_native(dtype, lanes) {
            // Wrapping sums of truncated terms are the truncated sum.
            let ty = vector_type(dtype, lanes);
            let base = self.convert(DType::I64, dtype, base);
            let base = self.b.ins().splat(ty, base);
            let steps = (0..lanes as i64).map(|lane| start + lane * stride);
            let bytes: Vec<u8> = steps.flat_map(|s| s.to_le_bytes().into_iter().take(dtype.size())).collect();
            let constant = self.b.func.dfg.constants.insert(ConstantData::from(&bytes[..]));
            let steps = self.b.ins().vconst(ty, constant);
            return Held::Vector(self.b.ins().iadd(base, steps));
        }
        let values = (0..lanes as i64)
            .map(|lane| {
                let step = self.b.ins().iconst(types::I64, start + lane * stride);
                let x = self.b.ins().iadd(base, step);
                self.convert(DType::I64, dtype, x)
            })
            .collect();
        self.assemble(dtype, values)
    }

    // ---- lanes ----

    /// A value of a native dtype as a vector.
    pub fn vector(&mut self, v: Val, u: usize) -> Value {
        let held = self.held(v, u).clone();
        if let (Held::Uniform(_), Inst::Const(literal)) = (&held, self.plan.nest.inst(v)) {
            let dtype = literal.ty().dtype;
            let ty = vector_type(dtype, self.plan.lanes);
            if dtype == DType::Bool {
                let all = if literal.bytes()[0] == 0 { 0 } else { 0xff };
                return self.splat_bytes(ty, &[all]);
            }
            return self.splat_bytes(ty, literal.bytes());
        }
        self.as_vector(self.plan.dtypes[v as usize], &held)
    }

    /// A held value of a native dtype as a vector.
    pub fn as_vector(&mut self, dtype: DType, held: &Held) -> Value {
        let ty = vector_type(dtype, self.plan.lanes);
        match held {
            Held::Vector(x) => *x,
            Held::Uniform(x) if dtype == DType::Bool => {
                let mask = self.bool_to_mask(*x);
                self.b.ins().splat(ty, mask)
            }
            Held::Uniform(x) => self.b.ins().splat(ty, *x),
            Held::Lanes(_) => unreachable!("lanes of {dtype} fill a register"),
        }
    }

    /// A value as one scalar a lane.
    pub fn lane_values(&mut self, v: Val, u: usize) -> LaneValues {
        let held = self.held(v, u).clone();
        self.as_lanes(self.plan.dtypes[v as usize], &held)
    }

    /// A held value as one scalar a lane.
    pub fn as_lanes(&mut self, dtype: DType, held: &Held) -> LaneValues {
        match held {
            Held::Uniform(x) => smallvec![*x; self.plan.lanes],
            Held::Lanes(values) => values.clone(),
            Held::Vector(x) => (0..self.plan.lanes as u8)
                .map(|lane| {
                    let x = self.b.ins().extractlane(*x, lane);
                    if dtype == DType::Bool { self.mask_to_bool(x) } else { x }
                })
                .collect(),
        }
    }

    /// Scalars as a vector where the dtype has one.
    pub fn assemble(&mut self, dtype: DType, values: LaneValues) -> Held {
        let lanes = self.plan.lanes;
        if !is_native(dtype, lanes) {
            return Held::Lanes(values);
        }
        let ty = vector_type(dtype, lanes);
        let mut vector = None;
        for (lane, x) in values.into_iter().enumerate() {
            let x = if dtype == DType::Bool { self.bool_to_mask(x) } else { x };
            vector = Some(match vector {
                None => self.b.ins().scalar_to_vector(ty, x),
                Some(v) => self.b.ins().insertlane(v, x, lane as u8),
            });
        }
        Held::Vector(vector.expect("a vector has lanes"))
    }

    /// 0 or 1 as no bits or all bits of a lane.
    fn bool_to_mask(&mut self, x: Value) -> Value {
        let ty = vector_type(DType::Bool, self.plan.lanes).lane_type();
        let wide = self.b.ins().uextend(ty, x);
        self.b.ins().ineg(wide)
    }

    /// No bits or all bits of a lane as 0 or 1.
    fn mask_to_bool(&mut self, x: Value) -> Value {
        let byte = self.b.ins().ireduce(types::I8, x);
        self.b.ins().ineg(byte)
    }

    fn reverse(&mut self, x: Value) -> Value {
        let ty = self.b.func.dfg.value_type(x);
        let size = ty.lane_type().bytes() as u8;
        let mask: Vec<u8> = (0..16).map(|i| (16 / size - 1 - i / size) * size + i % size).collect();
        let mask = self.b.func.dfg.immediates.push(ConstantData::from(&mask[..]));
        let bytes = self.b.ins().bitcast(types::I8X16, lane_order(), x);
        let bytes = self.b.ins().shuffle(bytes, bytes, mask);
        self.b.ins().bitcast(ty, lane_order(), bytes)
    }

    /// Bytes 0 or 1, one a lane, as a mask.
    fn unpack_bools(&mut self, packed: Value) -> Value {
        let wide = if self.plan.lanes == 4 { packed } else { self.b.ins().uextend(types::I32, packed) };
        let x = self.b.ins().scalar_to_vector(types::I32X4, wide);
        let x = self.b.ins().bitcast(types::I8X16, lane_order(), x);
        let x = self.b.ins().uwiden_low(x);
        let x = self.b.ins().uwiden_low(x);
        let x = if self.plan.lanes == 4 { x } else { self.b.ins().uwiden_low(x) };
        self.b.ins().ineg(x)
    }

    /// The inverse of `unpack_bools`.
    fn pack_bools(&mut self, mask: Value) -> Value {
        let mask = if self.plan.lanes == 4 { mask } else { self.b.ins().bitcast(types::I32X4, lane_order(), mask) };
        // From 64-bit lanes each bool comes twice.
        let x = self.b.ins().snarrow(mask, mask);
        let x = self.b.ins().snarrow(x, x);
        let x = self.b.ins().bitcast(types::I32X4, lane_order(), x);
        let x = self.b.ins().extractlane(x, 0);
        let x = self.b.ins().band_imm_u(x, 0x0101_0101);
        if self.plan.lanes == 4 {
            return x;
        }
        let second = self.b.ins().ushr_imm_u(x, 8);
        self.b.ins().ireduce(types::I16, second)
    }
}

/// The integer that holds a bool a lane.
fn packed_bools(lanes: usize) -> Type {
    if lanes == 4 { types::I32 } else { types::I16 }
}
