//! A machine whose memory is this machine's and whose kernels are emulated: what a program does on a GPU, slowly and with all
//! that a GPU would not forgive refused.

use super::program::{ALIGNMENT, Address, GridProgram, Machine};
use super::{GridKernel, emulate};
use gradloom_ir::{Error, Graph, Literal, Result, Type};
use std::collections::BTreeMap;

/// Memory and the kernels of a program.
pub struct Emulator<'k> {
    kernels: &'k [GridKernel],
    /// What is taken, by its address.
    memory: BTreeMap<Address, Vec<u8>>,
    next: Address,
    /// Bytes taken, and the most of them so far.
    bytes: usize,
    peak: usize,
}

impl<'k> Emulator<'k> {
    /// A machine for the kernels of a program.
    pub fn new(program: &'k GridProgram) -> Emulator<'k> {
        Emulator { kernels: &program.kernels, memory: BTreeMap::new(), next: ALIGNMENT as Address, bytes: 0, peak: 0 }
    }

    /// The most bytes that were in use at once.
    pub fn peak_bytes(&self) -> usize {
        self.peak
    }

    /// The piece of memory that holds an address, and how far in.
    fn find(&mut self, at: Address) -> Result<(&mut Vec<u8>, usize)> {
        match self.memory.range_mut(..=at).next_back() {
            Some((start, piece)) if at - start <= piece.len() as Address => Ok((piece, (at - start) as usize)),
            _ => Err(Error::internal("emulator", format!("nothing was taken at {at}"))),
        }
    }

    fn bytes_at(&mut self, at: Address, bytes: usize) -> Result<&mut [u8]> {
        let (piece, from) = self.find(at)?;
        let len = piece.len();
        let found = piece.get_mut(from..from + bytes);
        found.ok_or_else(|| Error::internal("emulator", format!("{bytes} bytes at {from} of a piece of {len}")))
    }
}

impl Machine for Emulator<'_> {
    fn take(&mut self, bytes: usize) -> Result<Address> {
        let at = self.next;
        self.next += (bytes.next_multiple_of(ALIGNMENT) + ALIGNMENT) as Address;
        // what nobody has written holds anything
        self.memory.insert(at, vec![0xA5; bytes]);
        self.bytes += bytes;
        self.peak = self.peak.max(self.bytes);
        Ok(at)
    }

    fn give(&mut self, at: Address) {
        self.bytes -= self.memory.remove(&at).map_or(0, |piece| piece.len());
    }

    fn launch(&mut self, kernel: usize, buffers: &[Address]) -> Result<()> {
        let kernel = &self.kernels[kernel];
        let mut copies = Vec::with_capacity(buffers.len());
        for (p, &at) in kernel.params.iter().zip(buffers) {
            copies.push(self.bytes_at(at, p.len * p.dtype.size())?.to_vec());
        }
        let before = copies.clone();
        emulate(kernel, &mut copies.iter_mut().map(|c| &mut c[..]).collect::<Vec<_>>())?;
        // of two params that share memory only one is written
        for ((after, before), &at) in copies.iter().zip(&before).zip(buffers) {
            if after != before {
                self.bytes_at(at, after.len())?.copy_from_slice(after);
            }
        }
        Ok(())
    }

    fn call(&mut self, _: usize, _: &[Address]) -> Result<()> {
        Err(Error::internal("emulator", "it has no libraries"))
    }

    fn copy(&mut self, to: Address, from: Address, bytes: usize) -> Result<()> {
        let copy = self.bytes_at(from, bytes)?.to_vec();
        self.bytes_at(to, bytes)?.copy_from_slice(&copy);
        Ok(())
    }

    fn read(&mut self, from: Address, to: &mut [u8]) -> Result<()> {
        to.copy_from_slice(self.bytes_at(from, to.len())?);
        Ok(())
    }

    fn write(&mut self, to: Address, from: &[u8]) -> Result<()> {
        self.bytes_at(to, from.len())?.copy_from_slice(from);
        Ok(())
    }
}

/// Compiles a program for a GPU and runs it on an emulated one.
///
/// ```
/// use gradloom_backends::grid::run_emulated;
/// use gradloom_ir::{Literal, parse};
/// let g = parse("graph(%0: f32[3]) { %1 = cumulative(%0) {kind = \"sum\", axis = 0, reverse = false} : f32[3] return %1 }")?;
/// let sums = run_emulated(&g, &[Literal::new(&[3], &[1f32, 2.0, 3.0])])?;
/// assert_eq!(sums, [Literal::new(&[3], &[1f32, 3.0, 6.0])]);
/// # Ok::<(), gradloom_ir::Error>(())
/// ```
///
/// # Errors
/// If an op has no form on GPUs, inputs do not fit, or a kernel does what a GPU would not forgive.
pub fn run_emulated(g: &Graph, inputs: &[Literal]) -> Result<Vec<Literal>> {
    run_program(&super::compile(g)?, &g.output_types(), inputs)
}

/// Runs a program on an emulated GPU; its results have these types.
///
/// # Errors
/// As [`run_emulated`].
pub fn run_program(program: &GridProgram, results: &[Type], inputs: &[Literal]) -> Result<Vec<Literal>> {
    let mut m = Emulator::new(program);
    let place = |m: &mut Emulator, bytes: &[u8]| {
        let at = m.take(bytes.len())?;
        m.write(at, bytes)?;
        Ok(at)
    };
    let constants: Result<Vec<Address>> = program.constants.iter().map(|c| place(&mut m, c)).collect();
    let args: Result<Vec<Address>> = inputs.iter().map(|x| place(&mut m, x.bytes())).collect();
    let outs: Result<Vec<Address>> = results.iter().map(|t| m.take(t.bytes())).collect();
    let (constants, args, outs) = (constants?, args?, outs?);
    let taken = m.memory.len();
    program.run(&mut m, &constants, &args, &outs)?;
    if m.memory.len() != taken {
        return Err(Error::internal("emulator", "memory was not given back"));
    }
    let read = |(t, at): (&Type, &Address)| {
        let bytes = m.bytes_at(*at, t.bytes())?.to_vec();
        Literal::from_bytes(t.clone(), bytes)
            .ok_or_else(|| Error::internal("emulator", "a result does not fit its type"))
    };
    results.iter().zip(&outs).map(read).collect()
}
