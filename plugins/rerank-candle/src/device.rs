//! Opens devices, and says in an operator's words why one cannot be used, or had no room.
//!
//! **Invariant:** nothing here, and nothing that calls it, asks which features it was built with; candle answers that.

use std::{
    any::Any,
    cell::Cell,
    panic::{self, AssertUnwindSafe, PanicHookInfo, catch_unwind},
    sync::Once,
};

use candle_core::{DType, Device as CandleDevice, Error, Tensor, utils::cuda_is_available};
use rerank_plugin::{Device, Fault, LoadError};

/// What CUDA's libraries say when memory is not enough.
const NO_ROOM: [&str; 3] = ["CUDA_ERROR_OUT_OF_MEMORY", "CUBLAS_STATUS_ALLOC_FAILED", "CURAND_STATUS_ALLOCATION_FAILED"];
/// What all that they say begins with.
const OF_CUDA: [&str; 3] = ["CUDA_ERROR_", "CUBLAS_STATUS_", "CURAND_STATUS_"];

/// Why a device cannot be used: what is in the way, and what to do about it.
#[derive(Debug)]
struct Refusal {
    reason: String,
    remedy: &'static str,
}

// === errors ===

/// Whether a CUDA device had too little memory, and smaller work may succeed.
pub(crate) fn has_no_room(error: &Error) -> bool {
    let words = error.to_string();
    NO_ROOM.iter().any(|code| words.contains(code))
}

/// Whether the error is a device's, and not one of what it was given.
pub(crate) fn is_of_device(error: &Error) -> bool {
    let words = error.to_string();
    OF_CUDA.iter().any(|begins| words.contains(begins))
}

/// Returns the error's first line; the others are a backtrace.
pub(crate) fn first_line(error: &Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Returns what a scorer answers when a pass fails so: a device that has no room for it may have some for half of it.
pub fn fault(error: &Error) -> Fault {
    let words = first_line(error).into();
    if has_no_room(error) { Fault::Batch(words) } else { Fault::Model(words) }
}

// === opening ===

/// Returns candle's handle of a device, which has computed something already.
///
/// # Errors
/// [`LoadError::Unsupported`] for a device that cannot be used.
pub fn open(device: Device) -> Result<CandleDevice, LoadError> {
    let opened = match device {
        Device::Cpu => Ok(CandleDevice::Cpu),
        Device::Cuda(_) if !cuda_is_available() => Err(Refusal {
            reason: "this build runs on the processor only".to_owned(),
            remedy: "use one that was built with the feature `cuda`, or the device cpu",
        }),
        Device::Cuda(number) => open_cuda(number),
    };
    let said = |Refusal { reason, remedy }| LoadError::Unsupported {
        reason: format!("the device {device} cannot be used: {reason}"),
        remedy: remedy.to_owned(),
    };
    opened.map_err(said)
}

/// A stream of its own orders what is computed, whichever thread asks for it.
fn open_cuda(number: usize) -> Result<CandleDevice, Refusal> {
    let opened = quietly(|| {
        let device = CandleDevice::new_cuda_with_stream(number)?;
        try_out(&device).map(|()| device)
    });
    match opened {
        Ok(Ok(device)) => Ok(device),
        Ok(Err(error)) => Err(refused(&first_line(&error))),
        Err(panicked) => Err(panicked_with(panicked.as_ref())),
    }
}

/// Computes a little of each sort, so that a driver which does not take this build's code says so now, and compiles it now.
fn try_out(device: &CandleDevice) -> candle_core::Result<()> {
    let ones = (Tensor::zeros((2, 2), DType::F32, device)? + 1.0)?;
    let twos = ones.matmul(&ones)?.index_select(&Tensor::new(&[1u32, 0], device)?, 0)?;
    let sum = (twos.exp()? + &ones)?.to_dtype(DType::BF16)?.to_dtype(DType::F32)?.sum_all()?.to_scalar::<f32>()?;
    if (sum - 33.5).abs() < 1.0 { Ok(()) } else { candle_core::bail!("it computes wrong: {sum} and not 33.6") }
}

fn refused(error: &str) -> Refusal {
    let says = |codes: &[&str]| codes.iter().any(|code| error.contains(code));
    let (reason, remedy) = if says(&["CUDA_ERROR_NO_DEVICE", "CUDA_ERROR_INVALID_DEVICE"]) {
        ("there is no such device", "see what `nvidia-smi -L` lists and CUDA_VISIBLE_DEVICES leaves of it, or use the device cpu")
    } else if says(&NO_ROOM) {
        ("its memory is taken", "end what runs there (`nvidia-smi` shows it), or use another device")
    } else if says(&["UNSUPPORTED_PTX_VERSION", "NO_BINARY_FOR_GPU", "INVALID_PTX", "SYSTEM_DRIVER_MISMATCH", "NOT_FOUND"]) {
        ("it does not take this build's code", "update the driver, or build for the device's compute capability (docs/gpu.md)")
    } else {
        ("it fails", "see `nvidia-smi` and the kernel's log, or use the device cpu")
    };
    Refusal { reason: format!("{reason} ({error})"), remedy }
}

/// CUDA's libraries are opened when they are first used, and cudarc panics where one is missing.
fn panicked_with(panicked: &(dyn Any + Send)) -> Refusal {
    const DRIVER: &str = "cuda";
    let words = panicked.downcast_ref::<String>().map(String::as_str).or_else(|| panicked.downcast_ref::<&str>().copied());
    let words = words.unwrap_or_default().lines().next().unwrap_or_default();
    match words.split_once("dynamically load the \"").and_then(|(_, rest)| rest.split_once('"')) {
        Some((DRIVER, _)) => Refusal {
            reason: "libcuda is missing, which comes with NVIDIA's driver".to_owned(),
            remedy: "install the driver (a container is given the device with `--gpus all`), or use the device cpu",
        },
        Some((library, _)) => Refusal {
            reason: format!("lib{library} is missing, which comes with CUDA's libraries"),
            remedy: "install those of CUDA 13 and put their folder into LD_LIBRARY_PATH, or use the device cpu",
        },
        None => Refusal { reason: format!("its driver is not usable ({words})"), remedy: "update the driver, or use the device cpu" },
    }
}

thread_local! {
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`, and returns its panic, which is not printed: it is said better.
fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        let usual = panic::take_hook();
        let hook = move |info: &PanicHookInfo<'_>| {
            if !IS_QUIET.get() {
                usual(info);
            }
        };
        panic::set_hook(Box::new(hook));
    });
    IS_QUIET.set(true);
    let ended = catch_unwind(AssertUnwindSafe(work));
    IS_QUIET.set(false);
    ended
}

#[cfg(test)]
mod tests {
    use candle_core::{Device as CandleDevice, Error};
    use rerank_plugin::{Device, Fault};

    use super::{fault, has_no_room, is_of_device, panicked_with, quietly, refused, try_out};

    #[test]
    fn a_device_that_cannot_be_used_is_named_with_a_remedy() {
        assert!(super::open(Device::Cpu).is_ok());
        // With the feature `cuda`, no machine has so many.
        let error = super::open(Device::Cuda(4096)).expect_err("there is none").to_string();
        assert!(error.starts_with("the device cuda:4096 cannot be used: ") && error.contains("the device cpu"), "{error}");
    }

    #[test]
    fn what_is_tried_out_computes_right() {
        try_out(&CandleDevice::Cpu).expect("the processor computes");
    }

    #[test]
    fn libraries_that_are_missing_are_named() {
        let said = |library: &str| {
            let panic = || panic!("Unable to dynamically load the \"{library}\" shared library - searched for library names: [..]");
            panicked_with(quietly(panic).expect_err("it panicked").as_ref()).reason
        };
        assert_eq!(said("cuda"), "libcuda is missing, which comes with NVIDIA's driver");
        assert_eq!(said("cublas"), "libcublas is missing, which comes with CUDA's libraries");
        let other = panicked_with(quietly(|| panic!("no symbol")).expect_err("it panicked").as_ref());
        assert_eq!(other.reason, "its driver is not usable (no symbol)");
        assert_eq!(quietly(|| 3).expect("no panic"), 3);
    }

    #[test]
    fn what_the_driver_says_is_put_into_words() {
        for (code, words) in [
            ("CUDA_ERROR_INVALID_DEVICE", "there is no such device"),
            ("CUDA_ERROR_OUT_OF_MEMORY", "its memory is taken"),
            ("CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "it does not take this build's code"),
            ("CUDA_ERROR_ECC_UNCORRECTABLE", "it fails"),
        ] {
            let error = format!("DriverError({code}, \"…\")");
            assert_eq!(refused(&error).reason, format!("{words} ({error})"));
        }
    }

    #[test]
    fn a_pass_without_room_is_too_large_and_any_other_fault_is_the_models() {
        let error = |code: &str| Error::Msg(format!("DriverError({code}, \"…\")\n   0: somewhere"));
        let (full, ill, other) = (error("CUDA_ERROR_OUT_OF_MEMORY"), error("CUDA_ERROR_ILLEGAL_ADDRESS"), Error::Msg("shapes".into()));
        assert_eq!([&full, &ill, &other].map(has_no_room), [true, false, false]);
        assert_eq!([&full, &ill, &other].map(is_of_device), [true, true, false]);
        assert_eq!(fault(&full), Fault::Batch("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"…\")".into()));
        assert!(matches!((fault(&ill), fault(&other)), (Fault::Model(_), Fault::Model(_))));
    }
}
