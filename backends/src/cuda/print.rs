//! Grid kernels as CUDA C.
//!
//! Each register is a variable, declared where it is first set; one that is always a constant is written as that. Arithmetic
//! is that of the op table: f32 functions are the programs of `functions`, integers wrap, and the compiler is told not to
//! contract sums and products.

use super::functions::{Function, float_literal, int_literal};
use crate::grid::{GridKernel, Memory, Reg, Source, Stmt};
use crate::kernel::Inst;
use gradloom_ir::{Binary, Comparison, DType, Element, Error, Literal, ReduceKind, Result, Unary, bf16, f16};
use std::fmt::Write;

/// What every source begins with.
const PRELUDE: &str = include_str!("prelude.cuh");

/// CUDA C.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KernelSource {
    /// The whole text: what every kernel may use, up to a line `// ----`, the functions it calls, the kernel.
    pub text: String,
    /// What the kernel is called in there.
    pub name: String,
}

/// The source of a kernel.
///
/// # Errors
/// A kernel that is not well formed; an instruction that has no form on GPUs, by name.
pub fn source(kernel: &GridKernel) -> Result<KernelSource> {
    kernel.verify()?;
    let mut p = Printer {
        kernel,
        out: String::new(),
        depth: 1,
        names: (0..kernel.registers.len()).map(|r| format!("r{r}")).collect(),
        declared: vec![false; kernel.registers.len()],
        sets: vec![0; kernel.registers.len()],
        functions: Vec::new(),
        packs: 0,
    };
    count_sets(&kernel.body, &mut p.sets);
    for (i, s) in kernel.shared.iter().enumerate() {
        p.line(&format!("__shared__ __align__(16) {} s{i}[{}];", c_type(s.dtype), s.len.max(1)));
    }
    p.statements(&kernel.body)?;
    let mut written = vec![false; kernel.params.len()];
    written_params(&kernel.body, &mut written);
    let params: Vec<String> = kernel
        .params
        .iter()
        .zip(written)
        .enumerate()
        .map(|(i, (p, written))| format!("{}{}* p{i}", if written { "" } else { "const " }, c_type(p.dtype)))
        .collect();
    let name = name(kernel);
    let mut text = String::from(PRELUDE);
    for f in &p.functions {
        let definition = f.definition();
        let definition = definition.ok_or_else(|| Error::limit(f.name(), "has no form on GPUs"))?;
        text += &format!("{definition}\n");
    }
    text += &format!(
        "// {} blocks of {} threads\nextern \"C\" __global__ void __launch_bounds__({}) {name}({}) {{\n{}}}\n",
        kernel.blocks,
        kernel.threads,
        kernel.threads,
        params.join(", "),
        p.out
    );
    Ok(KernelSource { text, name })
}

/// The kernel's name as C allows it.
fn name(kernel: &GridKernel) -> String {
    let plain: String = kernel.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(60).collect();
    format!("k_{plain}")
}

/// The type of a register and of an element; a 16-bit float is its bits.
fn c_type(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "bool",
        DType::I8 => "i8",
        DType::I16 => "i16",
        DType::I32 => "i32",
        DType::I64 => "i64",
        DType::U8 => "u8",
        DType::U16 | DType::F16 | DType::BF16 => "u16",
        DType::U32 => "u32",
        DType::U64 => "u64",
        DType::F32 => "float",
        DType::F64 => "double",
        DType::C64 | DType::C128 => unreachable!("kernels compute on real numbers, which the verifier checks"),
    }
}

fn count_sets(body: &[Stmt], sets: &mut [u32]) {
    for s in body {
        match s {
            Stmt::Set(r, _) => sets[*r as usize] += 1,
            Stmt::Load { to, .. } => to.iter().for_each(|r| sets[*r as usize] += 1),
            Stmt::For { body, .. } => count_sets(body, sets),
            Stmt::If { then, otherwise, .. } => {
                count_sets(then, sets);
                count_sets(otherwise, sets);
            }
            Stmt::Multiply { sums: written, .. } => written.iter().for_each(|&r| sets[r as usize] += 1),
            Stmt::Store { .. } | Stmt::Atomic { .. } | Stmt::Barrier => {}
        }
    }
}

fn written_params(body: &[Stmt], written: &mut [bool]) {
    for s in body {
        match s {
            Stmt::Store { to: Memory::Param(p), .. } | Stmt::Atomic { to: Memory::Param(p), .. } => {
                written[*p as usize] = true;
            }
            Stmt::For { body, .. } => written_params(body, written),
            Stmt::If { then, otherwise, .. } => {
                written_params(then, written);
                written_params(otherwise, written);
            }
            _ => {}
        }
    }
}

struct Printer<'k> {
    kernel: &'k GridKernel,
    out: String,
    depth: usize,
    /// What each register is called: its number, or the constant that it always is.
    names: Vec<String>,
    declared: Vec<bool>,
    /// How many statements set each register.
    sets: Vec<u32>,
    /// What it calls, in the order of the first calls.
    functions: Vec<Function>,
    /// Accesses of several elements so far.
    packs: usize,
}

impl Printer<'_> {
    fn line(&mut self, text: &str) {
        // writing to a string does not fail
        let _ = writeln!(self.out, "{}{text}", "    ".repeat(self.depth));
    }

    fn name(&self, r: Reg) -> &str {
        &self.names[r as usize]
    }

    fn dtype(&self, r: Reg) -> DType {
        self.kernel.registers[r as usize]
    }

    /// `r3 = ..`, with the type before it where the register is new.
    fn assign(&mut self, r: Reg, value: &str) {
        let declared = std::mem::replace(&mut self.declared[r as usize], true);
        let before = match (declared, self.sets[r as usize]) {
            (true, _) => String::new(),
            (false, 1) => format!("const {} ", c_type(self.dtype(r))),
            (false, _) => format!("{} ", c_type(self.dtype(r))),
        };
        let name = self.name(r).to_string();
        self.line(&format!("{before}{name} = {value};"));
    }

    fn element(&self, m: Memory, at: Reg) -> String {
        match m {
            Memory::Param(p) => format!("p{p}[{}]", self.name(at)),
            Memory::Shared(s) => format!("s{s}[{}]", self.name(at)),
        }
    }

    fn pack(&self, m: Memory, width: usize) -> String {
        let dtype = self.kernel.array(m).map_or(DType::U8, |p| p.dtype);
        format!("Pack<{}, {width}>", c_type(dtype))
    }

    fn statements(&mut self, body: &[Stmt]) -> Result<()> {
        body.iter().try_for_each(|s| self.statement(s))
    }

    fn nested(&mut self, body: &[Stmt]) -> Result<()> {
        self.depth += 1;
        self.statements(body)?;
        self.depth -= 1;
        Ok(())
    }

    fn statement(&mut self, s: &Stmt) -> Result<()> {
        match s {
            Stmt::Set(r, Source::Scalar(Inst::Const(c))) if self.sets[*r as usize] == 1 => {
                let c = constant(c);
                self.names[*r as usize] = if c.starts_with('-') { format!("({c})") } else { c };
            }
            Stmt::Set(r, source) => {
                let value = self.value(*r, source)?;
                self.assign(*r, &value);
            }
            Stmt::Load { to, from, at } if to.len() == 1 => {
                let value = self.element(*from, *at);
                self.assign(to[0], &value);
            }
            Stmt::Load { to, from, at } => {
                let (pack, k) = (self.pack(*from, to.len()), self.packs);
                self.packs += 1;
                let first = self.element(*from, *at);
                self.line(&format!("const {pack} v{k} = *reinterpret_cast<const {pack}*>(&{first});"));
                for (i, r) in to.iter().enumerate() {
                    self.assign(*r, &format!("v{k}.e[{i}]"));
                }
            }
            Stmt::Store { to, at, values } => {
                let first = self.element(*to, *at);
                let all: Vec<String> = values.iter().map(|&r| self.name(r).to_string()).collect();
                if let [value] = &all[..] {
                    self.line(&format!("{first} = {value};"));
                } else {
                    let pack = self.pack(*to, all.len());
                    self.line(&format!("*reinterpret_cast<{pack}*>(&{first}) = {pack}{{{{{}}}}};", all.join(", ")));
                }
            }
            Stmt::Atomic { kind, to, at, value } => {
                let dtype = self.dtype(*value);
                let function = match (kind, dtype) {
                    (ReduceKind::Sum, DType::I32 | DType::U32 | DType::U64 | DType::F32 | DType::F64) => "atomicAdd",
                    (ReduceKind::Max, DType::I32 | DType::U32 | DType::I64 | DType::U64) => "atomicMax",
                    (ReduceKind::Min, DType::I32 | DType::U32 | DType::I64 | DType::U64) => "atomicMin",
                    _ => {
                        return Err(Error::limit(kind.name(), format!("on {dtype} has no atomic form on GPUs")));
                    }
                };
                let element = self.element(*to, *at);
                let value = self.name(*value);
                self.line(&format!("{function}(&{element}, {value});"));
            }
            Stmt::For { counter, from, to, step, body } => {
                self.declared[*counter as usize] = true;
                let ty = c_type(self.dtype(*counter));
                let [c, from, to, step] = [counter, from, to, step].map(|&r| self.name(r));
                self.line(&format!("for ({ty} {c} = {from}; {c} < {to}; {c} += {step}) {{"));
                self.nested(body)?;
                self.line("}");
            }
            Stmt::If { condition, then, otherwise } => {
                let condition = self.name(*condition);
                self.line(&format!("if ({condition}) {{"));
                self.nested(then)?;
                if !otherwise.is_empty() {
                    self.line("} else {");
                    self.nested(otherwise)?;
                }
                self.line("}");
            }
            Stmt::Multiply { sums, left, right } => {
                let function = match self.dtype(left[0]) {
                    DType::F16 => "multiply_f16",
                    DType::BF16 => "multiply_bf16",
                    _ => "multiply_tf32",
                };
                let words = |all: &[Reg]| -> Vec<String> {
                    let word = |rs: &[Reg]| match rs {
                        [low, high] => format!("pair({}, {})", self.name(*low), self.name(*high)),
                        rs => format!("bits<u32>({})", self.name(rs[0])),
                    };
                    all.chunks(if self.dtype(left[0]) == DType::F32 { 1 } else { 2 }).map(word).collect()
                };
                let sums: Vec<&str> = sums.iter().map(|&r| self.name(r)).collect();
                let all = format!("{}, {}, {}", sums.join(", "), words(left).join(", "), words(right).join(", "));
                self.line(&format!("{function}({all});"));
            }
            Stmt::Barrier => self.line("__syncthreads();"),
        }
        Ok(())
    }

    fn value(&mut self, r: Reg, source: &Source) -> Result<String> {
        Ok(match source {
            Source::Copy(from) => self.name(*from).to_string(),
            Source::Block => "blockIdx.x".into(),
            Source::Thread => "threadIdx.x".into(),
            Source::Exchange { of, xor } => format!("exchange({}, {xor})", self.name(*of)),
            Source::Scalar(inst) => self.scalar(self.dtype(r), inst)?,
        })
    }

    fn scalar(&mut self, dtype: DType, inst: &Inst) -> Result<String> {
        Ok(match inst {
            Inst::Const(c) => constant(c),
            Inst::Unary(op, x) => self.unary(*op, *x)?,
            Inst::Binary(op, x, y) => self.binary(*op, *x, *y)?,
            Inst::Compare(op, x, y) => {
                let op = match op {
                    Comparison::Eq => "==",
                    Comparison::Ne => "!=",
                    Comparison::Lt => "<",
                    Comparison::Le => "<=",
                    Comparison::Gt => ">",
                    Comparison::Ge => ">=",
                };
                format!("{} {op} {}", self.name(*x), self.name(*y))
            }
            Inst::Select(p, x, y) => format!("{} ? {} : {}", self.name(*p), self.name(*x), self.name(*y)),
            Inst::Convert(to, x) => self.convert(self.dtype(*x), *to, *x),
            Inst::Bitcast(_, x) => format!("bits<{}>({})", c_type(dtype), self.name(*x)),
            Inst::Threefry(lane, args) => {
                let [a, b, c, d] = args.map(|r| self.name(r));
                format!("threefry({lane}, {a}, {b}, {c}, {d})")
            }
            Inst::Load { .. } | Inst::Index { .. } | Inst::Acc(_) => unreachable!("the verifier refuses {inst}"),
        })
    }

    fn function(&mut self, f: Function, args: &str) -> String {
        if !self.functions.contains(&f) {
            self.functions.push(f);
        }
        format!("{}({args})", f.name())
    }

    fn unary(&mut self, op: Unary, x: Reg) -> Result<String> {
        let dtype = self.dtype(x);
        let x = self.name(x).to_string();
        let call = |f: &str| Ok(format!("{f}({x})"));
        match (op, dtype) {
            (Unary::Not, DType::Bool) => return Ok(format!("!{x}")),
            (Unary::Not, _) => return Ok(format!("({})~{x}", c_type(dtype))),
            (Unary::IsFinite, _) => return call("is_finite"),
            (Unary::Neg, DType::F32 | DType::F64) => return Ok(format!("-{x}")),
            _ => {}
        }
        match dtype {
            DType::F32 => match op {
                Unary::Abs => call("fabsf"),
                Unary::Sqrt => call("sqrtf"),
                Unary::Round => call("rintf"),
                Unary::Floor => call("floorf"),
                Unary::Ceil => call("ceilf"),
                _ => Ok(self.function(Function::Unary(op), &x)),
            },
            DType::F64 => match unary_f64(op) {
                Some(f) => call(f),
                None => Err(Error::limit(op.name(), "of f64 has no form on GPUs").help("compute it in f32")),
            },
            _ => match op {
                Unary::Neg => call("neg"),
                Unary::Abs => call("magnitude"),
                Unary::Sign => call("sign"),
                Unary::PopulationCount => call("ones"),
                Unary::LeadingZeros => call("leading_zeros"),
                _ => Err(Error::internal(op.name(), format!("of {dtype} is no instruction"))),
            },
        }
    }

    fn binary(&mut self, op: Binary, x: Reg, y: Reg) -> Result<String> {
        let dtype = self.dtype(x);
        let [x, y] = [x, y].map(|r| self.name(r).to_string());
        let infix = |sign: &str| Ok(format!("{x} {sign} {y}"));
        let call = |f: &str| Ok(format!("{f}({x}, {y})"));
        let none = || Err(Error::limit(op.name(), format!("of {dtype} has no form on GPUs")));
        match dtype {
            DType::Bool => match op {
                Binary::Or | Binary::Max | Binary::Add => infix("|"),
                Binary::And | Binary::Min | Binary::Mul => infix("&"),
                Binary::Xor => infix("!="),
                _ => none(),
            },
            DType::F32 | DType::F64 => match (op, dtype) {
                (Binary::Add, _) => infix("+"),
                (Binary::Sub, _) => infix("-"),
                (Binary::Mul, _) => infix("*"),
                (Binary::Div, _) => infix("/"),
                (Binary::Rem, DType::F32) => call("fmodf"),
                (Binary::Rem, _) => call("fmod"),
                (Binary::Zeta, _) => none(),
                (_, DType::F32) => Ok(self.function(Function::Binary(op), &format!("{x}, {y}"))),
                (Binary::Pow, _) => call("pow"),
                (Binary::Max, _) => call("greatest64"),
                (Binary::Min, _) => call("least64"),
                (Binary::Atan2, _) => call("atan2"),
                (Binary::NextAfter, _) => call("nextafter"),
                _ => none(),
            },
            // indices are unsigned words, whose arithmetic is C's, but for divisions by 0
            DType::U32 | DType::U64 if matches!(op, Binary::Add | Binary::Sub | Binary::Mul) => infix(match op {
                Binary::Add => "+",
                Binary::Sub => "-",
                _ => "*",
            }),
            DType::U32 | DType::U64 if op == Binary::Div && y.starts_with(|c| ('1'..='9').contains(&c)) => infix("/"),
            DType::U32 | DType::U64 if op == Binary::Rem && y.starts_with(|c| ('1'..='9').contains(&c)) => infix("%"),
            _ => match op {
                Binary::Add => call("add"),
                Binary::Sub => call("sub"),
                Binary::Mul => call("mul"),
                Binary::Div => call("quotient"),
                Binary::Rem => call("remainder_of"),
                Binary::Pow => call("power"),
                Binary::Max => call("greatest"),
                Binary::Min => call("least"),
                Binary::And => infix("&"),
                Binary::Or => infix("|"),
                Binary::Xor => infix("^"),
                Binary::ShiftLeft => call("shift_left"),
                Binary::ShiftRightLogical => call("shift_right"),
                Binary::ShiftRightArithmetic => call("shift_right_arithmetic"),
                Binary::Atan2 | Binary::NextAfter | Binary::Zeta | Binary::Complex => none(),
            },
        }
    }

    fn convert(&mut self, from: DType, to: DType, x: Reg) -> String {
        let (x, ty) = (self.name(x).to_string(), c_type(to));
        match (from, to) {
            _ if from == to => x,
            (DType::F16, _) => {
                let wide = self.function(Function::F16ToF32, &x);
                self.real(DType::F32, to, &wide)
            }
            (DType::BF16, _) => self.real(DType::F32, to, &format!("bits<float>((u32){x} << 16)")),
            (_, DType::F16 | DType::BF16) => {
                let f = if to == DType::F16 { Function::F32ToF16 } else { Function::F32ToBf16 };
                let x = match from {
                    DType::F32 => x,
                    DType::F64 => format!("to_odd({x})"),
                    _ => format!("(float){x}"),
                };
                self.function(f, &x)
            }
            _ if ty == c_type(from) => x,
            _ => self.real(from, to, &x),
        }
    }

    /// Between numbers other than 16-bit floats.
    fn real(&self, from: DType, to: DType, x: &str) -> String {
        let ty = c_type(to);
        match to {
            _ if from == to => x.to_string(),
            DType::Bool => format!("{x} != 0"),
            DType::F32 | DType::F64 => format!("({ty}){x}"),
            _ if from.is_float() => format!("truncated<{ty}>({x})"),
            _ => format!("({ty}){x}"),
        }
    }
}

/// CUDA's function of doubles; those that neither CUDA nor the prelude has are refused.
fn unary_f64(op: Unary) -> Option<&'static str> {
    Some(match op {
        Unary::Abs => "fabs",
        Unary::Sign => "sign64",
        Unary::Floor => "floor",
        Unary::Ceil => "ceil",
        Unary::Round => "rint",
        Unary::RoundAway => "round",
        Unary::Exp => "exp",
        Unary::Expm1 => "expm1",
        Unary::Log => "log",
        Unary::Log1p => "log1p",
        Unary::Sqrt => "sqrt",
        Unary::Rsqrt => "1.0 / sqrt",
        Unary::Cbrt => "cbrt",
        Unary::Sin => "sin",
        Unary::Cos => "cos",
        Unary::Tan => "tan",
        Unary::Asin => "asin",
        Unary::Acos => "acos",
        Unary::Atan => "atan",
        Unary::Sinh => "sinh",
        Unary::Cosh => "cosh",
        Unary::Tanh => "tanh",
        Unary::Asinh => "asinh",
        Unary::Acosh => "acosh",
        Unary::Atanh => "atanh",
        Unary::Logistic => "logistic64",
        Unary::Erf => "erf",
        Unary::Erfc => "erfc",
        Unary::ErfInv => "erfinv",
        Unary::Lgamma => "lgamma",
        _ => return None,
    })
}

fn constant(c: &Literal) -> String {
    let bytes = c.bytes();
    match c.ty().dtype {
        DType::Bool => bool::from_bytes(bytes).to_string(),
        DType::F32 => float_literal(f32::from_bytes(bytes)),
        DType::F64 => match f64::from_bytes(bytes) {
            x if x.is_finite() => format!("{x:?}"),
            x => format!("bits<double>(0x{:016x}ull)", x.to_bits()),
        },
        DType::F16 => format!("(u16)0x{:04x}", f16::from_bytes(bytes).to_bits()),
        DType::BF16 => format!("(u16)0x{:04x}", bf16::from_bytes(bytes).to_bits()),
        DType::I8 => format!("(i8){}", i8::from_bytes(bytes)),
        DType::I16 => format!("(i16){}", i16::from_bytes(bytes)),
        DType::I32 => int_literal(i32::from_bytes(bytes)),
        DType::I64 => match i64::from_bytes(bytes) {
            i64::MIN => "(-9223372036854775807ll - 1)".into(),
            x => format!("{x}ll"),
        },
        DType::U8 => format!("(u8){}", u8::from_bytes(bytes)),
        DType::U16 => format!("(u16){}", u16::from_bytes(bytes)),
        DType::U32 => format!("{}u", u32::from_bytes(bytes)),
        DType::U64 => format!("{}ull", u64::from_bytes(bytes)),
        DType::C64 | DType::C128 => unreachable!("kernels compute on real numbers, which the verifier checks"),
    }
}
