//! The dtype of every value of a loop nest, by the IR's op table.

use super::{Inst, LoopNest};
use gradloom_ir::eval::ScalarOps;
use gradloom_ir::{Binary, DType, Error, Literal, Op, ReduceKind, Result, Type, infer, with_element};

impl LoopNest {
    /// The dtype of each value, through `body`, then `epilogue`.
    pub fn dtypes(&self) -> Result<Vec<DType>> {
        let mut known = Vec::with_capacity(self.body.len() + self.epilogue.len());
        for (i, inst) in self.insts().enumerate() {
            let first_visible = if i < self.body.len() { 0 } else { self.body.len() };
            let dtype = self
                .dtype_of(inst, &known, first_visible)
                .map_err(|e| e.context(&format!("instruction %{i} of kernel {}", self.name)))?;
            known.push(dtype);
        }
        Ok(known)
    }

    fn dtype_of(&self, inst: &Inst, known: &[DType], first_visible: usize) -> Result<DType> {
        let bad = |what: String| Err(Error::internal("loop nest", what));
        let operands = inst.operands();
        if let Some(v) = operands.iter().find(|v| !(first_visible..known.len()).contains(&(**v as usize))) {
            return bad(format!("%{v} is used where it is not known"));
        }
        match inst {
            Inst::Const(literal) if literal.ty().rank() == 0 => Ok(literal.ty().dtype),
            Inst::Const(literal) => bad(format!("constant {literal:?} is not a scalar")),
            Inst::Load { param, .. } => match self.params.get(*param as usize) {
                Some(p) => Ok(p.dtype),
                None => bad(format!("param {param} does not exist")),
            },
            Inst::Index { dtype, .. } => Ok(*dtype),
            Inst::Acc(i) => {
                let value = self.reductions.get(*i as usize).map(|r| r.value as usize);
                match value {
                    Some(v) if known.len() >= self.body.len() && v < self.body.len() => Ok(known[v]),
                    _ => bad(format!("accumulator {i} is not known here")),
                }
            }
            _ => dtype_of_op(inst, known),
        }
    }
}

/// The dtype of an instruction with operands, from those of the values before it.
pub(crate) fn dtype_of_op(inst: &Inst, known: &[DType]) -> Result<DType> {
    let bad = |what: String| Err(Error::internal("loop nest", what));
    let op = match inst {
        Inst::Unary(op, _) => Op::Unary(*op),
        Inst::Binary(op, ..) => Op::Binary(*op),
        Inst::Compare(op, ..) => Op::Compare(*op),
        Inst::Select(..) => Op::Select {},
        Inst::Convert(dtype, _) => Op::Convert { dtype: *dtype },
        Inst::Bitcast(dtype, _) => Op::Bitcast { dtype: *dtype },
        Inst::Threefry(lane, _) => Op::Threefry { lane: *lane },
        Inst::Const(_) | Inst::Load { .. } | Inst::Index { .. } | Inst::Acc(_) => {
            return bad(format!("{inst} has no operands"));
        }
    };
    let args: Vec<Type> = inst.operands().iter().map(|v| Type::scalar(known[*v as usize])).collect();
    match infer(&op, &args)?[0].dtype {
        d if d.is_complex() => bad(format!("{} gives {d}, and kernels compute on real numbers", op.name())),
        d => Ok(d),
    }
}

/// What a reduction of `kind` over nothing gives; the dtype was checked.
pub(crate) fn identity(kind: ReduceKind, dtype: DType) -> Literal {
    with_element!(dtype, T => {
        let one = <T as ScalarOps>::identity(kind).expect("the verifier allows the kind on the dtype");
        Literal::new(&[], &[one])
    })
}

/// The op by which a reduction of `kind` combines two values.
pub(crate) fn combiner(kind: ReduceKind) -> Binary {
    match kind {
        ReduceKind::Sum => Binary::Add,
        ReduceKind::Prod => Binary::Mul,
        ReduceKind::Max => Binary::Max,
        ReduceKind::Min => Binary::Min,
        ReduceKind::And => Binary::And,
        ReduceKind::Or => Binary::Or,
    }
}
