//! Chooses where a model's workers compute, and in which numbers: the same for all of them, so that their scores are the same.

use candle_core::{DType, Device as CandleDevice, utils::cuda_is_available};
use rerank_plugin::{Device, Dtype, Folder, LoadError, LoadOptions, Placement, Progress};

use crate::{Gguf, Threads, Weights, open};

/// A model's devices, opened.
pub struct Devices {
    opened: Vec<CandleDevice>,
    placement: Placement,
}

// === impl Devices ===

impl Devices {
    /// Opens the devices that are asked for. Where none is named, that is the first of CUDA, and the processor where it cannot be used.
    ///
    /// # Errors
    /// [`LoadError::Unsupported`] for a device that is named and cannot be used.
    pub fn open(options: &LoadOptions) -> Result<Self, LoadError> {
        let first = Device::Cuda(0);
        let (devices, opened, remark) = match options.devices.as_slice() {
            [] => match open(first) {
                Ok(opened) => (vec![first], vec![opened], None),
                Err(error) => (vec![Device::Cpu], vec![CandleDevice::Cpu], remark(error)),
            },
            named => (named.to_vec(), named.iter().map(|device| open(*device)).collect::<Result<_, _>>()?, None),
        };
        let dtype = options.dtype.unwrap_or(usual(&devices));
        Ok(Self { opened, placement: Placement { devices, dtype, remark } })
    }

    /// Where the model computes, for its card.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Candle's name of the numbers that it computes with.
    pub fn dtype(&self) -> DType {
        match self.placement.dtype {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::Bf16 => DType::BF16,
        }
    }

    /// Reads a checkpoint once, and returns its weights on each device.
    ///
    /// # Errors
    /// As [`Weights::read`].
    pub fn read(&self, folder: &Folder, progress: &dyn Progress) -> Result<Vec<Weights>, LoadError> {
        Weights::read_to_all(folder, &self.opened, progress)
    }

    /// The same for a decoder's GGUF file.
    ///
    /// # Errors
    /// As [`Weights::of_gguf`].
    pub fn read_gguf(&self, gguf: &Gguf, progress: &dyn Progress) -> Result<Vec<Weights>, LoadError> {
        Weights::of_gguf_to_all(gguf, &self.opened, progress)
    }

    /// Starts the threads of one worker.
    ///
    /// # Errors
    /// As [`Threads::start`].
    pub fn threads(&self, weights: &Weights, count: usize) -> Result<Threads, LoadError> {
        if weights.device().is_cuda() { Ok(Threads::none()) } else { Threads::start(count) }
    }
}

/// On a processor nothing is faster than f32, and nothing more exact; a worker on one makes all others compute as it does.
fn usual(devices: &[Device]) -> Dtype {
    if devices.contains(&Device::Cpu) { Dtype::F32 } else { Dtype::Bf16 }
}

/// Says why there is no CUDA device, where the build could use one.
fn remark(error: LoadError) -> Option<String> {
    match error {
        LoadError::Unsupported { reason, .. } if cuda_is_available() => Some(reason),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use candle_core::DType;
    use rerank_plugin::{Device, Dtype, LoadOptions, testing::MapStore};

    use super::{Devices, usual};

    #[test]
    fn a_processor_among_the_devices_makes_all_compute_in_f32() {
        assert_eq!(usual(&[Device::Cpu]), Dtype::F32);
        assert_eq!(usual(&[Device::Cuda(0), Device::Cuda(1)]), Dtype::Bf16);
        assert_eq!(usual(&[Device::Cuda(0), Device::Cpu]), Dtype::F32);
    }

    #[test]
    fn what_is_asked_for_is_opened_and_said() {
        let mut options = LoadOptions::new(Arc::new(MapStore::default()));
        let open = |asked: &LoadOptions| Devices::open(asked).map(|devices| (devices.placement().to_string(), devices.dtype()));
        assert_eq!(open(&options).expect("the processor"), ("cpu in f32".to_owned(), DType::F32));
        options.dtype = Some(Dtype::Bf16);
        assert_eq!(open(&options).expect("the processor"), ("cpu in bf16".to_owned(), DType::BF16));
        options.devices = vec![Device::Cpu, Device::Cuda(4096)];
        assert!(open(&options).expect_err("no machine has so many").to_string().contains("cuda:4096"));
        options.devices.clear();
        assert!(open(&options).is_ok(), "there is always one");
    }
}
