//! Parts of matrices as tensor cores take them.

use crate::grid::{Build, Reg, Source, Stmt, TF32_IGNORED};
use crate::kernel::Inst;
use gradloom_ir::{Binary, DType, Literal, Unary};
use smallvec::SmallVec;

/// How f32 are multiplied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Precision {
    /// As two numbers each.
    Full,
    /// Without the last bits.
    Short,
}

/// How a factor lies in shared memory: place after place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Layout {
    pub dtype: DType,
    /// Elements of a place, zeros at the end included: as many as products take at once, several times.
    pub terms: usize,
    /// Elements from a place to the next.
    pub stride: usize,
}

impl Layout {
    pub fn new(dtype: DType, length: usize) -> Layout {
        let mut layout = Layout { dtype, terms: 0, stride: 0 };
        layout.terms = length.next_multiple_of(layout.depth());
        // 16 bytes more: threads that read a place each read from different banks of the memory
        layout.stride = layout.terms + 16 / dtype.size();
        layout
    }

    /// Terms of a product.
    pub fn depth(self) -> usize {
        if self.dtype.is_half() { 16 } else { 8 }
    }

    /// Neighbours among the terms that a thread holds.
    pub fn pair(self) -> usize {
        if self.dtype.is_half() { 2 } else { 1 }
    }

    pub fn bytes(self, places: usize) -> usize {
        places * self.stride * self.dtype.size()
    }
}

/// What a thread holds of a matrix.
pub(super) enum Fragment {
    /// 16-bit floats, or f32 without their last bits.
    Short(SmallVec<[Reg; 8]>),
    /// f32: the short number, and what it lacks.
    Two { high: SmallVec<[Reg; 8]>, low: SmallVec<[Reg; 8]> },
}

/// An f32 without the bits that tensor cores do not read.
fn shortened(b: &mut Build, x: Reg) -> Reg {
    let bits = b.set(DType::U32, Source::Scalar(Inst::Bitcast(DType::U32, x)));
    let mask = b.constant(Literal::new(&[], &[u32::MAX << TF32_IGNORED]));
    let bits = b.binary(Binary::And, bits, mask);
    b.set(DType::F32, Source::Scalar(Inst::Bitcast(DType::F32, bits)))
}

/// Elements as a fragment.
pub(super) fn fragment_of(b: &mut Build, elements: &[Reg], precision: Precision) -> Fragment {
    if b.dtype(elements[0]).is_half() {
        return Fragment::Short(elements.into());
    }
    let high: SmallVec<[Reg; 8]> = elements.iter().map(|&x| shortened(b, x)).collect();
    if precision == Precision::Short {
        return Fragment::Short(high);
    }
    let zero = b.constant(Literal::new(&[], &[0f32]));
    let low = elements.iter().zip(&high).map(|(&x, &high)| {
        let rest = b.binary(Binary::Sub, x, high);
        let rest = shortened(b, rest);
        // an infinity lacks nothing
        let is_finite = b.set(DType::Bool, Source::Scalar(Inst::Unary(Unary::IsFinite, x)));
        b.select(is_finite, rest, zero)
    });
    let low = low.collect();
    Fragment::Two { high, low }
}

/// Adds the product of two matrices to `sums`. Of two numbers each, the product of what both lack is left out: it is smaller than the
/// last digit.
pub(super) fn multiply(b: &mut Build, sums: [Reg; 4], left: &Fragment, right: &Fragment) {
    let mut add = |left: &SmallVec<[Reg; 8]>, right: &SmallVec<[Reg; 8]>| {
        b.push(Stmt::Multiply { sums, left: left.clone(), right: right.iter().copied().collect() });
    };
    match (left, right) {
        (Fragment::Short(left), Fragment::Short(right)) => add(left, right),
        (Fragment::Two { high, low }, Fragment::Two { high: right_high, low: right_low }) => {
            add(low, right_high);
            add(high, right_low);
            add(high, right_high);
        }
        (Fragment::Short(short), Fragment::Two { high, low }) => {
            add(short, low);
            add(short, high);
        }
        (Fragment::Two { high, low }, Fragment::Short(short)) => {
            add(low, short);
            add(high, short);
        }
    }
}
