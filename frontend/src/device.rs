//! Where arrays are and programs run.
//!
//! Arrays stay where they were made until they are moved: by [`crate::Tree::to_device`], or by reading them. A compiled function
//! runs where its arguments are, all of them; only numbers without axes go along from the host. Outside of compiled functions an
//! operation on arrays of which one is on a GPU runs there, and the others are copied there for it.

use crate::tensor::{Repr, Tensor};
use crate::trace::{self, leaked};
use gradloom_backends::cuda::{GpuBuffer, moved};
use gradloom_backends::{Buffer, Device, Executable, Profile};
use gradloom_ir::{Error, Result, Type};
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An array's bytes.
#[derive(Clone)]
pub(crate) enum Data {
    Host(Arc<Buffer>),
    Gpu(Arc<GpuBuffer>),
}

impl Data {
    pub(crate) fn device(&self) -> Device {
        match self {
            Data::Host(_) => Device::Cpu,
            Data::Gpu(b) => Device::Cuda(b.gpu().index()),
        }
    }

    /// The bytes in the host's memory, copied there if they are not.
    pub(crate) fn host(&self) -> Result<Arc<Buffer>> {
        match self {
            Data::Host(b) => Ok(b.clone()),
            Data::Gpu(b) => b.to_host(),
        }
    }

    pub(crate) fn moved(&self, to: Device) -> Result<Data> {
        Ok(match (to.gpu()?, self) {
            (None, data) => Data::Host(data.host()?),
            (Some(gpu), Data::Host(b)) => Data::Gpu(Arc::new(GpuBuffer::upload(gpu, b.bytes())?)),
            (Some(gpu), Data::Gpu(b)) => Data::Gpu(moved(b, gpu)?),
        })
    }
}

/// The environment variable that names the device of arrays that are made.
const DEFAULT: &str = "GRADLOOM_DEVICE";

/// 0 before it was asked for, then the processor, the interpreter, or a GPU's number plus 3.
static CHOSEN: AtomicUsize = AtomicUsize::new(0);

/// Where arrays are made, and where programs run that have no arguments: the processor, if neither [`set_default_device`] nor
/// the environment variable `GRADLOOM_DEVICE` (`cpu`, `interp`, `cuda:0`) says otherwise.
///
/// # Errors
/// If the variable names no device, or one that is not there.
pub fn default_device() -> Result<Device> {
    match CHOSEN.load(Ordering::Relaxed) {
        0 => {
            let device = match std::env::var(DEFAULT) {
                Ok(name) if !name.is_empty() => {
                    name.parse().map_err(|e: Error| e.context(&format!("environment variable {DEFAULT}")))?
                }
                _ => Device::Cpu,
            };
            set_default_device(device);
            Ok(device)
        }
        1 => Ok(Device::Cpu),
        2 => Ok(Device::Interp),
        n => Ok(Device::Cuda(n - 3)),
    }
}

/// Makes arrays on `device` from now on, on all threads. Arrays that exist stay where they are.
///
/// ```
/// # use gradloom_frontend as gradloom;
/// use gradloom::{prelude::*, set_default_device};
/// if let Ok(gpu) = Device::cuda(0) {
///     set_default_device(gpu);
/// }
/// let x = Tensor::ones([2, 2]);
/// println!("computed on {}: {}", x.device(), x.matmul(&x));
/// ```
pub fn set_default_device(device: Device) {
    let code = match device {
        Device::Cpu => 1,
        Device::Interp => 2,
        Device::Cuda(i) => i + 3,
    };
    CHOSEN.store(code, Ordering::Relaxed);
}

/// Whether arrays of the host go along to a GPU.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Host {
    GoesAlong,
    Stays,
}

/// Where a program runs on these operands: on the GPU that some of them are on, else on the processor or the interpreter; if
/// all are numbers without axes, or there are none, on the default device.
///
/// # Errors
/// If they are on several devices.
pub(crate) fn device_of<'a>(op: &str, arrays: Host, operands: impl Iterator<Item = &'a Tensor>) -> Result<Device> {
    let (mut gpu, mut host) = (None, None);
    for t in operands {
        let Repr::Array(a) = t.repr() else { continue };
        match (a.data.device(), gpu) {
            (Device::Cuda(i), None) => gpu = Some((i, &a.ty)),
            (Device::Cuda(i), Some((j, other))) if i != j => {
                let what = format!("{} is on cuda:{i}, {other} on cuda:{j}", a.ty);
                return Err(Error::user(op, what).help("move one of them with `to_device`"));
            }
            (Device::Cuda(_), Some(_)) => {}
            _ if a.ty.rank() > 0 => host = Some(&a.ty),
            _ => {}
        }
    }
    match (gpu, host) {
        (Some((i, ty)), Some(other)) if arrays == Host::Stays => {
            Err(Error::user(op, format!("{ty} is on cuda:{i}, {other} in the host's memory"))
                .help("move one of them with `to_device`"))
        }
        (Some((i, _)), _) => Ok(Device::Cuda(i)),
        (None, Some(_)) => Ok(match default_device()? {
            Device::Cuda(_) => Device::Cpu,
            device => device,
        }),
        (None, None) => default_device(),
    }
}

/// Captured tensors and arguments of a program, or its results, all on one device.
pub(crate) enum Arrays {
    Host(SmallVec<[Arc<Buffer>; 8]>),
    Gpu(SmallVec<[Arc<GpuBuffer>; 8]>),
}

impl Arrays {
    /// None, for a program on `device`.
    pub(crate) fn none(device: Device) -> Arrays {
        match device {
            Device::Cpu | Device::Interp => Arrays::Host(SmallVec::new()),
            Device::Cuda(_) => Arrays::Gpu(SmallVec::new()),
        }
    }

    /// Adds an array that is on the device.
    fn push(&mut self, data: Data) -> Result<()> {
        match (self, data) {
            (Arrays::Host(all), Data::Host(b)) => all.push(b),
            (Arrays::Gpu(all), Data::Gpu(b)) => all.push(b),
            _ => return Err(Error::internal("call", "arrays are on several devices")),
        }
        Ok(())
    }

    /// These and the given ones, which must be on the device or go along.
    pub(crate) fn and(&self, device: Device, more: impl IntoIterator<Item = Tensor>) -> Result<Arrays> {
        let mut all = match self {
            Arrays::Host(b) => Arrays::Host(b.clone()),
            Arrays::Gpu(b) => Arrays::Gpu(b.clone()),
        };
        more.into_iter().try_for_each(|t| all.push(t.into_data(device)?))?;
        Ok(all)
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Arrays::Host(b) => b.len(),
            Arrays::Gpu(b) => b.len(),
        }
    }

    /// Runs a program on these; with `keep`, those after the first `keep` may be overwritten where nobody else holds them.
    pub(crate) fn run(self, exe: &Executable, keep: Option<usize>) -> Result<Arrays> {
        match (self, keep) {
            (Arrays::Host(b), None) => exe.run(&b).map(Arrays::Host),
            (Arrays::Host(b), Some(keep)) => exe.run_donating(b, keep).map(Arrays::Host),
            (Arrays::Gpu(b), None) => exe.run_on_gpu(&b).map(Arrays::Gpu),
            (Arrays::Gpu(b), Some(keep)) => exe.run_donating_on_gpu(&b, keep).map(Arrays::Gpu),
        }
    }

    pub(crate) fn profile(&self, exe: &Executable) -> Result<Profile> {
        match self {
            Arrays::Host(b) => exe.profile(b),
            Arrays::Gpu(b) => exe.profile_on_gpu(b),
        }
    }

    /// As tensors of these types.
    pub(crate) fn tensors<'a>(self, types: impl Iterator<Item = &'a Type>) -> impl Iterator<Item = Tensor> {
        let data: SmallVec<[Data; 8]> = match self {
            Arrays::Host(b) => b.into_iter().map(Data::Host).collect(),
            Arrays::Gpu(b) => b.into_iter().map(Data::Gpu).collect(),
        };
        data.into_iter().zip(types).map(|(d, t)| Tensor::from_data(t.clone(), d))
    }
}

impl Tensor {
    /// Where its elements are: the processor, whose memory the interpreter uses too, or a GPU. A traced tensor is where its
    /// program will run, which nobody knows yet: the processor, as far as this tells.
    pub fn device(&self) -> Device {
        match self.repr() {
            Repr::Array(a) => a.data.device(),
            _ => Device::Cpu,
        }
    }

    /// A new array: on the default device, unless it is a number without axes, which goes where it is needed.
    pub(crate) fn created(ty: Type, buffer: Arc<Buffer>) -> Tensor {
        let data = match default_device() {
            Ok(Device::Cuda(_)) if ty.rank() == 0 => Ok(Data::Host(buffer)),
            Ok(device @ Device::Cuda(_)) => Data::Host(buffer).moved(device),
            Ok(_) => Ok(Data::Host(buffer)),
            Err(e) => Err(e),
        };
        match data {
            Ok(data) => Tensor::from_data(ty, data),
            Err(e) => Tensor::failed(e),
        }
    }

    /// The same array on the GPU that another is on, if that is on one.
    pub(crate) fn beside(&self, other: &Tensor) -> Result<Tensor> {
        match (self.repr(), other.device()) {
            // what is recorded is not anywhere yet
            (Repr::Array(_), gpu @ Device::Cuda(_)) if !trace::active() => self.moved(gpu),
            _ => Ok(self.clone()),
        }
    }

    /// The array that a number has become, in the host's memory if the array that it is to be combined with is there.
    pub(crate) fn back_beside(self, other: &Tensor) -> Result<Tensor> {
        match (other.repr(), self.device()) {
            (Repr::Array(a), Device::Cuda(_)) if a.ty.rank() > 0 && a.data.device() == Device::Cpu => {
                self.moved(Device::Cpu)
            }
            _ => Ok(self),
        }
    }

    /// The same array on a device.
    pub(crate) fn moved(&self, to: Device) -> Result<Tensor> {
        match self.repr() {
            Repr::Array(a) if a.data.device() == to => Ok(self.clone()),
            Repr::Array(a) => Ok(Tensor::from_data(a.ty.clone(), a.data.moved(to)?)),
            Repr::Traced(t) => Err(Error::user("to_device", format!("a traced {} is where its program runs", t.ty))
                .help("move arrays outside the traced function, and choose the device with `jit(f).on(device)`")),
            Repr::Error(e) => Err((**e).clone()),
        }
    }

    /// The array as a program on `device` takes it: it must be there, or be a number without axes.
    pub(crate) fn into_data(self, device: Device) -> Result<Data> {
        let (ty, data) = match self.into_repr() {
            Repr::Array(a) => match Arc::try_unwrap(a) {
                Ok(a) => (a.ty, a.data),
                Err(a) => (a.ty.clone(), a.data.clone()),
            },
            Repr::Traced(t) => return Err(leaked(&t.ty)),
            Repr::Error(e) => return Err((*e).clone()),
        };
        match (data.device(), device) {
            (Device::Cpu, Device::Cpu | Device::Interp) => Ok(data),
            (from, to) if from == to => Ok(data),
            (Device::Cpu, to) if ty.rank() == 0 => data.moved(to),
            (from, to) => Err(Error::user("call", format!("the program runs on {to}, its argument {ty} is on {from}"))
                .help("move the arguments there with `to_device`")),
        }
    }
}
