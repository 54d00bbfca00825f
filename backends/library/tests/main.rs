//! Every library op against the reference evaluator or naive loops.

mod conv;
mod dot;
mod fft;
mod indexing;
mod linalg;
mod parts;
mod reduction;
mod shaping;
mod threads;
mod window;

use gradloom_ir::eval::{ScalarOps, Wide, eval_op};
use gradloom_ir::{DType, Literal, Op, Type, infer, with_element};
use gradloom_library::{LibraryCall, prepare};

/// 64-byte aligned memory.
pub(crate) struct Buffer {
    words: Vec<[u64; 8]>,
    bytes: usize,
}

impl Buffer {
    fn new(bytes: usize, fill: u8) -> Buffer {
        Buffer { words: vec![[u64::from_ne_bytes([fill; 8]); 8]; bytes / 64 + 2], bytes }
    }
    fn ptr(&mut self) -> *mut u8 {
        let p = self.words.as_mut_ptr().cast::<u8>();
        p.wrapping_add(p.align_offset(64))
    }
    fn load(&mut self, bytes: &[u8]) {
        // SAFETY: the buffer has room for `self.bytes` after its aligned start.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.ptr(), bytes.len().min(self.bytes)) }
    }
    fn bytes(&mut self) -> Vec<u8> {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts(self.ptr(), self.bytes).to_vec() }
    }
}

/// A small fixed generator (splitmix64), so that tests need no dependency.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    /// In `0..n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
    pub(crate) fn range(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as usize) as i64
    }
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
    pub(crate) fn shuffle<T>(&mut self, v: &mut [T]) {
        for i in (1..v.len()).rev() {
            v.swap(i, self.below(i + 1));
        }
    }
    /// As `literal`, with ties; floats also with NaN, infinities and zeros of both signs.
    pub(crate) fn awkward(&mut self, ty: &Type) -> Literal {
        let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1.0, -1.0, 2.5];
        self.array(ty, |rng| match ty.dtype {
            DType::Bool => rng.below(2) as f64,
            d if d.is_float() => rng.pick(&special),
            _ => rng.pick(&[0.0, 1.0, 2.0, -1.0, -3.0, 1e30, -1e30]),
        })
    }
    /// Small values: floats in [-2, 2), integers of a few units.
    pub(crate) fn literal(&mut self, ty: &Type) -> Literal {
        self.array(ty, |rng| match ty.dtype {
            DType::Bool => rng.below(2) as f64,
            d if d.is_float() => (rng.next() >> 40) as f64 / (1u64 << 22) as f64 - 2.0,
            d if d.is_unsigned_int() => rng.below(6) as f64,
            _ => rng.range(-5, 5) as f64,
        })
    }
    fn array(&mut self, ty: &Type, mut element: impl FnMut(&mut Random) -> f64) -> Literal {
        with_element!(ty.dtype, T => {
            let x: Vec<T> = (0..ty.numel()).map(|_| <T as ScalarOps>::narrow(Wide::Float(element(self)))).collect();
            Literal::new(&ty.shape, &x)
        })
    }
}

/// Prepares and runs `op`; output and scratch memory start as garbage, and a second run must agree with the first.
#[track_caller]
pub(crate) fn run(op: &Op, args: &[Literal]) -> Vec<Literal> {
    let types: Vec<Type> = args.iter().map(|a| a.ty().clone()).collect();
    let results = infer(op, &types).unwrap_or_else(|e| panic!("{op:?} {types:?}: {e}"));
    let call: LibraryCall = prepare(op, &types, &results).expect("a library op").expect("prepares");
    run_call(&call, op, args, &results, 0xFF)
}

/// Runs a prepared call with these results, and again on output memory full of `fill`.
#[track_caller]
pub(crate) fn run_call(call: &LibraryCall, op: &Op, args: &[Literal], results: &[Type], fill: u8) -> Vec<Literal> {
    let types: Vec<Type> = args.iter().map(|a| a.ty().clone()).collect();
    let mut inputs: Vec<Buffer> = args.iter().map(|a| Buffer::new(a.bytes().len(), 0xAA)).collect();
    inputs.iter_mut().zip(args).for_each(|(b, a)| b.load(a.bytes()));
    let mut scratch = Buffer::new(call.scratch_bytes, 0xFF);
    let mut go = |fill: u8| -> Vec<Vec<u8>> {
        let mut outs: Vec<Buffer> = results.iter().map(|t| Buffer::new(t.bytes(), fill)).collect();
        let ins: Vec<*const u8> = inputs.iter_mut().map(|b| b.ptr().cast_const()).collect();
        let ptrs: Vec<*mut u8> = outs.iter_mut().map(|b| b.ptr()).collect();
        // SAFETY: all buffers have the sizes of their types and are aligned.
        unsafe { call.run(&ins, &ptrs, scratch.ptr()) };
        outs.iter_mut().map(|b| b.bytes()).collect()
    };
    let first = go(0x55);
    assert_eq!(first, go(fill), "{op:?} {types:?}: two runs differ");
    inputs.iter_mut().zip(args).for_each(|(b, a)| assert_eq!(b.bytes(), a.bytes(), "{op:?} wrote to an operand"));
    first.into_iter().zip(results).map(|(b, t)| Literal::from_bytes(t.clone(), b).expect("result bytes")).collect()
}

/// The dtypes in which kernels add and compare; those of 16 bits reach them widened, complex ones in parts.
pub(crate) const COMPUTED: [DType; 11] = [
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

/// The op gives exactly what the reference evaluator gives.
#[track_caller]
pub(crate) fn check_exact(op: &Op, args: &[Literal]) {
    let types: Vec<Type> = args.iter().map(|a| a.ty().clone()).collect();
    let results = infer(op, &types).unwrap_or_else(|e| panic!("{op:?} {types:?}: {e}"));
    let want = eval_op(op, args, &results).unwrap_or_else(|e| panic!("{op:?} {types:?}: {e}"));
    let got = run(op, args);
    assert_eq!(quiet(got), quiet(want), "{op:?} on {types:?}: {args:?}");
}

/// With one representation of NaN: which of two NaN survives an addition is up to the machine.
fn quiet(values: Vec<Literal>) -> Vec<Literal> {
    let one = |x: Literal| match x.ty().dtype {
        d if d.is_float() => {
            let parts = (0..x.ty().numel()).map(|i| x.get_f64(i)).zip(x.bytes().chunks_exact(d.size()));
            let bytes = parts.flat_map(|(v, b)| if v.is_nan() { vec![0xFF; d.size()] } else { b.to_vec() }).collect();
            Literal::from_bytes(x.ty().clone(), bytes).expect("as many bytes as before")
        }
        _ => x,
    };
    values.into_iter().map(one).collect()
}

/// Exact for integers; for floats each element within `tolerance * (1 + |want|)`.
#[track_caller]
pub(crate) fn assert_close(got: &Literal, want: &Literal, tolerance: f64, what: &str) {
    assert_eq!(got.ty(), want.ty(), "{what}");
    if !got.ty().dtype.is_float() {
        assert_eq!(got.bytes(), want.bytes(), "{what}: {got:?} instead of {want:?}");
        return;
    }
    for i in 0..got.ty().numel() {
        let (g, w) = (got.get_f64(i), want.get_f64(i));
        assert!(
            (g - w).abs() <= tolerance * (1.0 + w.abs()) || g.to_bits() == w.to_bits(),
            "{what}: element {i} is {g}, not {w}"
        );
    }
}

/// A scalar literal of the value wrapped to `dtype` as integer arithmetic would.
pub(crate) fn wrapped(dtype: DType, x: f64, exact: i128) -> Vec<u8> {
    if dtype.is_float() {
        return Literal::scalar(dtype, x).bytes().to_vec();
    }
    exact.to_ne_bytes()[..dtype.size()].to_vec()
}
