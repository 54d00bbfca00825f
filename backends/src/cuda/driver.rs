//! NVIDIA's driver: whether there is a GPU.

use cudarc::driver::{result, sys};
use gradloom_ir::{Error, Result};

/// Looks for the driver and for GPU number `index`.
///
/// # Errors
/// If there is no driver (the names of the library that were looked for), or no such GPU.
pub fn find(index: usize) -> Result<()> {
    let fail = |what: String, help: &str| Err(Error::limit("device", format!("cuda:{index}: {what}")).help(help));
    // SAFETY: loading the library runs NVIDIA's initialisers, which ask for nothing.
    if !unsafe { sys::is_culib_present() } {
        let names = cudarc::get_lib_name_candidates("cuda").join(", ");
        let help = "install NVIDIA's driver, or use Device::cpu()";
        return fail(format!("NVIDIA's driver was not found under any of the names {names}"), help);
    }
    let count = result::init().and_then(|()| result::device::get_count());
    match count {
        Ok(n) if (index as i128) < i128::from(n) => Ok(()),
        Ok(n) => fail(format!("there are {n} GPUs"), "use one of them, or Device::cpu()"),
        Err(e) => fail(format!("the driver says {e}"), "see that the driver runs, or use Device::cpu()"),
    }
}
