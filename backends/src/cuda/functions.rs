//! The functions of f32, and the conversions of 16-bit floats, as device functions: the programs of
//! [`gradloom_ir::math`], so that a GPU computes the bits that the CPU and the interpreter compute.

use gradloom_ir::math::{self, Lanes};
use gradloom_ir::{Binary, Unary};
use std::fmt::Write;

/// A function that kernels call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Function {
    Unary(Unary),
    Binary(Binary),
    F16ToF32,
    F32ToF16,
    F32ToBf16,
}

/// Where 16-bit floats are converted by instructions: on GPUs since Ampere, not in software.
const INSTRUCTIONS: &str = "defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800 && !defined(GRADLOOM_SOFTWARE_GPU)";

impl Function {
    /// What kernels call it.
    pub fn name(self) -> String {
        match self {
            Function::Unary(op) => format!("{}_f32", op.name()),
            Function::Binary(op) => format!("{}_f32", op.name()),
            Function::F16ToF32 => "f16_to_f32".into(),
            Function::F32ToF16 => "f32_to_f16".into(),
            Function::F32ToBf16 => "f32_to_bf16".into(),
        }
    }

    /// The definition; `None` for what is no straight-line program.
    pub fn definition(self) -> Option<String> {
        let mut text = Text::default();
        let (x, y) = (text.named("x"), text.named("y"));
        let (params, result, value) = match self {
            Function::Unary(op) => ("float x", "float", math::apply_unary(&mut text, op, x)?),
            Function::Binary(op) => ("float x, float y", "float", math::apply_binary(&mut text, op, x, y)?),
            Function::F16ToF32 => ("u16 x", "float", math::f16_to_f32(&mut text, x)),
            Function::F32ToF16 => ("float x", "u16", math::f32_to_f16(&mut text, x)),
            Function::F32ToBf16 => ("float x", "u16", math::f32_to_bf16(&mut text, x)),
        };
        let value = text.name(value);
        let name = self.name();
        let program =
            format!("__device__ inline {result} {name}({params}) {{\n{}    return {value};\n}}\n", text.lines);
        Some(match self.instruction() {
            None => program,
            Some(lines) => format!(
                "#if {INSTRUCTIONS}\n__device__ inline {result} {name}({params}) {{\n{lines}}}\n#else\n{program}#endif\n"
            ),
        })
    }

    /// The same by an instruction of GPUs, which knows one NaN alone.
    fn instruction(self) -> Option<&'static str> {
        Some(match self {
            Function::F16ToF32 => {
                "    float y;
    asm(\"cvt.f32.f16 %0, %1;\" : \"=f\"(y) : \"h\"(x));
    return (x & 0x7fffu) > 0x7c00u ? bits<float>((u32)(x & 0x8000u) << 16 | 0x7f800000u | (u32)(x & 0x3ffu) << 13) : y;
"
            }
            Function::F32ToF16 => {
                "    u16 y;
    asm(\"cvt.rn.f16.f32 %0, %1;\" : \"=h\"(y) : \"f\"(x));
    const u32 b = bits<u32>(x);
    return x == x ? y : (u16)((b >> 16 & 0x8000u) | 0x7e00u | (b >> 13 & 0x3ffu));
"
            }
            Function::F32ToBf16 => {
                "    u16 y;
    asm(\"cvt.rn.bf16.f32 %0, %1;\" : \"=h\"(y) : \"f\"(x));
    return x == x ? y : (u16)(bits<u32>(x) >> 16 | 0x40u);
"
            }
            Function::Unary(_) | Function::Binary(_) => return None,
        })
    }
}

/// A machine that writes down what it is told to do.
#[derive(Default)]
struct Text {
    lines: String,
    names: Vec<String>,
}

/// A value, by its position among the names.
type V = usize;

impl Text {
    fn named(&mut self, name: &str) -> V {
        self.names.push(name.to_string());
        self.names.len() - 1
    }

    fn name(&self, v: V) -> &str {
        &self.names[v]
    }

    fn define(&mut self, ty: &str, expression: String) -> V {
        let v = self.named(&format!("v{}", self.names.len()));
        // writing to a string does not fail
        let _ = writeln!(self.lines, "    const {ty} {} = {expression};", self.names[v]);
        v
    }

    fn float(&mut self, a: V, op: &str, b: V) -> V {
        self.define("float", format!("{} {op} {}", self.name(a), self.name(b)))
    }

    fn call(&mut self, function: &str, args: &[V]) -> V {
        let args: Vec<&str> = args.iter().map(|&a| self.name(a)).collect();
        self.define("float", format!("{function}({})", args.join(", ")))
    }

    /// An operation that wraps, on the unsigned numbers of the same bits.
    fn int(&mut self, a: V, op: &str, b: V) -> V {
        self.define("i32", format!("(i32)((u32){} {op} (u32){})", self.name(a), self.name(b)))
    }

    fn truth(&mut self, a: V, op: &str, b: V) -> V {
        self.define("bool", format!("{} {op} {}", self.name(a), self.name(b)))
    }

    fn choose(&mut self, ty: &str, m: V, a: V, b: V) -> V {
        self.define(ty, format!("{} ? {} : {}", self.name(m), self.name(a), self.name(b)))
    }
}

/// A float constant as C reads it, exactly.
pub(super) fn float_literal(x: f32) -> String {
    if x.is_finite() { format!("{x:?}f") } else { format!("bits<float>(0x{:08x}u)", x.to_bits()) }
}

/// An integer constant as C reads it.
pub(super) fn int_literal(x: i32) -> String {
    if x == i32::MIN { "(-2147483647 - 1)".into() } else { x.to_string() }
}

impl Lanes for Text {
    type F = V;
    type I = V;
    type M = V;

    fn f(&mut self, x: f32) -> V {
        self.named(&float_literal(x))
    }
    fn i(&mut self, x: i32) -> V {
        self.named(&int_literal(x))
    }
    fn add(&mut self, a: V, b: V) -> V {
        self.float(a, "+", b)
    }
    fn sub(&mut self, a: V, b: V) -> V {
        self.float(a, "-", b)
    }
    fn mul(&mut self, a: V, b: V) -> V {
        self.float(a, "*", b)
    }
    fn div(&mut self, a: V, b: V) -> V {
        self.float(a, "/", b)
    }
    fn fma(&mut self, a: V, b: V, c: V) -> V {
        self.call("fmaf", &[a, b, c])
    }
    fn sqrt(&mut self, a: V) -> V {
        self.call("sqrtf", &[a])
    }
    fn neg(&mut self, a: V) -> V {
        self.call("-", &[a])
    }
    fn abs(&mut self, a: V) -> V {
        self.call("fabsf", &[a])
    }
    fn round(&mut self, a: V) -> V {
        self.call("rintf", &[a])
    }
    fn to_int(&mut self, a: V) -> V {
        self.define("i32", format!("(i32){}", self.name(a)))
    }
    fn to_float(&mut self, a: V) -> V {
        self.define("float", format!("(float){}", self.name(a)))
    }
    fn bits(&mut self, a: V) -> V {
        self.define("i32", format!("bits<i32>({})", self.name(a)))
    }
    fn from_bits(&mut self, a: V) -> V {
        self.define("float", format!("bits<float>((i32){})", self.name(a)))
    }
    fn iadd(&mut self, a: V, b: V) -> V {
        self.int(a, "+", b)
    }
    fn isub(&mut self, a: V, b: V) -> V {
        self.int(a, "-", b)
    }
    fn iand(&mut self, a: V, b: V) -> V {
        self.int(a, "&", b)
    }
    fn ior(&mut self, a: V, b: V) -> V {
        self.int(a, "|", b)
    }
    fn ixor(&mut self, a: V, b: V) -> V {
        self.int(a, "^", b)
    }
    fn ishl(&mut self, a: V, by: u32) -> V {
        self.define("i32", format!("(i32)((u32){} << {by})", self.name(a)))
    }
    fn isar(&mut self, a: V, by: u32) -> V {
        self.define("i32", format!("(i32){} >> {by}", self.name(a)))
    }
    fn lt(&mut self, a: V, b: V) -> V {
        self.truth(a, "<", b)
    }
    fn eq(&mut self, a: V, b: V) -> V {
        self.truth(a, "==", b)
    }
    fn ieq(&mut self, a: V, b: V) -> V {
        self.truth(a, "==", b)
    }
    fn and(&mut self, a: V, b: V) -> V {
        self.truth(a, "&&", b)
    }
    fn or(&mut self, a: V, b: V) -> V {
        self.truth(a, "||", b)
    }
    fn select(&mut self, m: V, a: V, b: V) -> V {
        self.choose("float", m, a, b)
    }
    fn iselect(&mut self, m: V, a: V, b: V) -> V {
        self.choose("i32", m, a, b)
    }
}
