//! Chooses where a model's workers compute, and in which numbers: the same for all of them, so that their scores are the same.

use std::{fs, path::Path};

use candle_core::{DType, Device as CandleDevice, utils::cuda_is_available};
use rerank_plugin::{Device, Dtype, Folder, LoadError, LoadOptions, Placement, Progress};

use crate::{Gguf, Threads, Weights, open};

/// A model's devices, opened.
pub struct Devices {
    opened: Vec<CandleDevice>,
    placement: Placement,
    /// Bytes that there are for a processor's weights.
    memory: Option<u64>,
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
        Ok(Self { opened, placement: Placement { devices, dtype, remark }, memory: options.memory })
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
    /// As [`Weights::read`], or that the machine has less memory than they take.
    pub fn read(&self, folder: &Folder, progress: &dyn Progress) -> Result<Vec<Weights>, LoadError> {
        // All are there as the files have them before the first becomes what is computed with.
        let bytes = || Ok(Weights::numbers(folder)?.saturating_mul(self.dtype().size_in_bytes() as u64).max(folder.weights_size()));
        self.fits(folder.path(), &format!(" in {}", self.placement.dtype), bytes)?;
        Weights::read_to_all(folder, &self.opened, progress)
    }

    /// The same for a decoder's GGUF file.
    ///
    /// # Errors
    /// As [`Weights::of_gguf`], or that the machine has less memory than they take.
    pub fn read_gguf(&self, gguf: &Gguf, progress: &dyn Progress) -> Result<Vec<Weights>, LoadError> {
        let size = |source| LoadError::Unreadable { path: gguf.path().to_owned(), source };
        self.fits(gguf.path(), "", || Ok(fs::metadata(gguf.path()).map_err(size)?.len()))?;
        Weights::of_gguf_to_all(gguf, &self.opened, progress)
    }

    /// Makes sure that the machine has the memory that weights take on a processor: the system ends whoever takes more, and with it
    /// searches that need no model.
    fn fits(&self, path: &Path, form: &str, bytes: impl FnOnce() -> Result<u64, LoadError>) -> Result<(), LoadError> {
        let Some(memory) = self.memory.filter(|_| self.placement.devices.contains(&Device::Cpu)) else { return Ok(()) };
        let bytes = bytes()?;
        if bytes <= memory {
            return Ok(());
        }
        let [bytes, memory] = [bytes, memory].map(|bytes| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)));
        Err(LoadError::Unsupported {
            reason: format!("{} takes {bytes}{form}, and this machine has {memory}", path.display()),
            remedy: "take a smaller model, a GGUF file (of Qwen3), or `dtype` bf16 or f16 where its files hold that, or run it elsewhere (kind remote)".into(),
        })
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
    use std::{collections::HashMap, sync::Arc};

    use candle_core::{DType, Tensor, safetensors};
    use rerank_plugin::{Device, Dtype, Folder, LoadOptions, Silent, testing::MapStore};

    use super::{Devices, usual};

    #[test]
    fn a_processor_among_the_devices_makes_all_compute_in_f32() {
        assert_eq!(usual(&[Device::Cpu]), Dtype::F32);
        assert_eq!(usual(&[Device::Cuda(0), Device::Cuda(1)]), Dtype::Bf16);
        assert_eq!(usual(&[Device::Cuda(0), Device::Cpu]), Dtype::F32);
    }

    #[test]
    fn weights_that_the_machine_has_no_memory_for_are_refused_before_they_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let tensors = HashMap::from([("a".to_owned(), Tensor::zeros((64, 64), DType::F16, &candle_core::Device::Cpu).expect("a tensor"))]);
        safetensors::save(&tensors, folder.path().join("model.safetensors")).expect("a file");
        let read_in = |dtype, memory| {
            let mut options = LoadOptions::new(Arc::new(MapStore::default()));
            (options.dtype, options.memory) = (dtype, memory);
            let devices = Devices::open(&options).expect("the processor");
            devices.read(&Folder::open(folder.path()).expect("it is there"), &Silent).map(|read| read.len())
        };
        let read = |memory| read_in(None, memory);
        // Half of what they take in f32.
        let error = read(Some(64 * 64 * 2)).expect_err("there is no room").to_string();
        assert!(error.contains(" takes 0.0 GiB in f32, and this machine has 0.0 GiB; take a smaller model"), "{error}");
        assert!(error.contains(&*folder.path().to_string_lossy()), "{error}");
        assert_eq!(read(Some(64 * 64 * 4)).expect("there is room"), 1);
        assert_eq!(read(None).expect("nobody knows"), 1);
        assert!(read_in(Some(Dtype::Bf16), Some(64 * 64 * 2)).is_err(), "the file is that long and a header longer");
        assert_eq!(read_in(Some(Dtype::Bf16), Some(64 * 64 * 3)).expect("there is room"), 1);
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
