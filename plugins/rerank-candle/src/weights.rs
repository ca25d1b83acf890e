//! Reads a checkpoint's weights: every tensor, and a hash of the files that they came from.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use candle_core::{DType, Device, Error, Shape, Tensor};
use candle_nn::{Init, VarBuilder, var_builder::SimpleBackend};
use rerank_plugin::{Folder, LoadError, Progress};
use sha2::{Digest, Sha256};

use crate::{
    Gguf,
    device::{first_line, has_no_room, is_of_device},
    gguf::gguf_name,
    matrix::{Matrix, Stored},
    shard::Shard,
};

/// What other tools write in the place of safetensors.
const PICKLES: [&str; 2] = ["pytorch_model.bin", "pytorch_model.bin.index.json"];

/// A checkpoint's tensors on a device.
pub struct Weights {
    tensors: HashMap<String, Stored>,
    device: Device,
    path: PathBuf,
    digest: [u8; 32],
    form: Form,
}

/// The form of the files, which gives the tensors their names.
#[derive(Clone, Copy)]
enum Form {
    Safetensors,
    Gguf,
}

/// Names of tensors that a model asked for.
type Names = Arc<Mutex<BTreeSet<String>>>;

/// The tensors, and which of them were asked for.
struct Recorded {
    tensors: HashMap<String, Tensor>,
    asked: Names,
}

// === impl Weights ===

impl Weights {
    /// Reads all safetensors files of a folder.
    ///
    /// # Errors
    /// [`LoadError`] that names the file which is missing, unreadable or malformed, or the pickle that stands in its place, or that the
    /// device has no room.
    pub fn read(folder: &Folder, device: &Device, progress: &dyn Progress) -> Result<Self, LoadError> {
        let mut read = Self::read_to_all(folder, std::slice::from_ref(device), progress)?;
        Ok(read.remove(0))
    }

    /// The same for several devices; each file is read once.
    pub(crate) fn read_to_all(folder: &Folder, devices: &[Device], progress: &dyn Progress) -> Result<Vec<Self>, LoadError> {
        let shards = shards(folder)?;
        progress.begin("reading weights", Some(folder.weights_size()));
        let mut all = vec![HashMap::new(); devices.len()];
        let mut hash = Sha256::new();
        for shard in &shards {
            hash = shard.read(devices, &mut all, (hash, progress))?;
        }
        let path = shards.first().map_or_else(|| folder.path(), Shard::path).to_owned();
        let digest = hash.finalize().into();
        let weights = |(device, tensors): (&Device, HashMap<String, Tensor>)| {
            let tensors = tensors.into_iter().map(|(name, tensor)| (name, Stored::Plain(tensor))).collect();
            Self { tensors, device: device.clone(), path: path.clone(), digest, form: Form::Safetensors }
        };
        Ok(devices.iter().zip(all).map(weights).collect())
    }

    /// Returns how many numbers the safetensors files of a folder hold, read from their headers.
    pub(crate) fn numbers(folder: &Folder) -> Result<u64, LoadError> {
        Ok(shards(folder)?.iter().map(Shard::numbers).sum())
    }

    /// Reads a decoder's GGUF file, of which the quantised tensors stay as they are. Its tensors are asked for by the names that
    /// safetensors give them.
    ///
    /// # Errors
    /// [`LoadError`] when it cannot be read, or that the device has no room.
    pub fn of_gguf(gguf: &Gguf, device: &Device, progress: &dyn Progress) -> Result<Self, LoadError> {
        let mut read = Self::of_gguf_to_all(gguf, std::slice::from_ref(device), progress)?;
        Ok(read.remove(0))
    }

    /// The same for several devices; the file is read once.
    pub(crate) fn of_gguf_to_all(gguf: &Gguf, devices: &[Device], progress: &dyn Progress) -> Result<Vec<Self>, LoadError> {
        let (all, digest) = gguf.tensors(devices, progress)?;
        let path = gguf.path();
        let weights =
            |(device, tensors): (&Device, _)| Self { tensors, device: device.clone(), path: path.to_owned(), digest, form: Form::Gguf };
        Ok(devices.iter().zip(all).map(weights).collect())
    }

    /// Where they are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The SHA-256 of the files, in the order of their names.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Takes one tensor out, converted to `dtype`.
    ///
    /// # Errors
    /// [`LoadError`] when it is missing, has other dimensions, or holds something else than numbers that are read.
    pub fn take(&mut self, name: &str, dimensions: &[usize], dtype: DType) -> Result<Tensor, LoadError> {
        let stored = self.take_stored(name, dimensions)?;
        stored.plain(dtype).map_err(|error| self.failed(&error))
    }

    /// Takes one tensor out and returns some of its rows, converted to `dtype`.
    ///
    /// # Errors
    /// As [`Weights::take`], or when there is no such row.
    pub fn take_rows(&mut self, name: &str, dimensions: &[usize], rows: &[u32], dtype: DType) -> Result<Tensor, LoadError> {
        let matrix = self.take_matrix(name, dimensions, dtype)?;
        let places = Tensor::new(rows, &self.device);
        places.and_then(|places| matrix.rows(&places)).map_err(|error| self.failed(&error))
    }

    /// Takes the weights of a product out, which are computed in `dtype`.
    pub(crate) fn take_matrix(&mut self, name: &str, dimensions: &[usize], dtype: DType) -> Result<Matrix, LoadError> {
        let stored = self.take_stored(name, dimensions)?;
        stored.matrix(dtype).map_err(|error| self.failed(&error))
    }

    fn take_stored(&mut self, name: &str, dimensions: &[usize]) -> Result<Stored, LoadError> {
        let name = self.form.name(name);
        let stored = self.tensors.remove(&name).ok_or_else(|| self.malformed(format!("the tensor {name} is missing")))?;
        if stored.dims() != dimensions {
            let says = self.form.says();
            return Err(self.malformed(format!("{name} is {:?}, and {says} says {dimensions:?}", stored.dims())));
        }
        match &stored {
            Stored::Plain(tensor) if !matches!(tensor.dtype(), DType::F32 | DType::F16 | DType::BF16) => {
                Err(self.malformed(format!("{name} holds {:?}, and only f32, f16 and bf16 are read", tensor.dtype())))
            }
            _ => Ok(stored),
        }
    }

    /// Puts `prefix` before the names of all tensors that are left, for checkpoints that leave it out.
    pub fn prefix(&mut self, prefix: &str) {
        let tensors = std::mem::take(&mut self.tensors);
        self.tensors = tensors.into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)).collect();
    }

    /// Returns whether there is a tensor of that name, not taken yet.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(&self.form.name(name))
    }

    /// Makes sure that every tensor was taken.
    ///
    /// # Errors
    /// [`LoadError::Malformed`] that names one which is left: the model would run without it.
    pub fn finish(&self) -> Result<(), LoadError> {
        let says = self.form.says();
        let left = self.tensors.keys().min().map(|name| self.malformed(format!("{says} does not account for the tensor {name}")));
        left.map_or(Ok(()), Err)
    }

    /// Returns the error that these weights do not hold what they should.
    pub fn malformed(&self, reason: String) -> LoadError {
        LoadError::Malformed { path: self.path.clone(), reason }
    }

    /// Returns why nothing could be made of these weights: what candle says of them, or that their device has no room.
    pub fn failed(&self, error: &Error) -> LoadError {
        failed(&self.path, error)
    }

    /// Builds a model of the tensors, converted to `dtype`. A tensor that the model does not ask for is an error too, unless
    /// `spare` knows it: what is left over may be what makes the model another one.
    ///
    /// # Errors
    /// [`LoadError::Malformed`] with candle's words when a tensor is missing or has another shape, or with the name of one
    /// that is left over.
    pub fn build<M>(
        &self,
        dtype: DType,
        spare: impl Fn(&str) -> bool,
        build: impl FnOnce(VarBuilder<'static>) -> candle_core::Result<M>,
    ) -> Result<M, LoadError> {
        let asked = Names::default();
        let plain = |(name, stored): (&String, &Stored)| match stored {
            Stored::Plain(tensor) => Some((name.clone(), tensor.clone())),
            Stored::Quantised(_) => None,
        };
        let recorded = Recorded { tensors: self.tensors.iter().filter_map(plain).collect(), asked: Arc::clone(&asked) };
        let tensors = VarBuilder::from_backend(Box::new(recorded), dtype, self.device.clone());
        let model = build(tensors).map_err(|error| self.failed(&error))?;
        let asked = locked(&asked);
        match self.tensors.keys().filter(|name| !asked.contains(*name) && !spare(name)).min() {
            Some(name) => Err(self.malformed(format!("the tensor {name} is no part of the model that config.json describes"))),
            None => Ok(model),
        }
    }
}

fn shards(folder: &Folder) -> Result<Vec<Shard>, LoadError> {
    let paths = folder.weights().map_err(|error| instead(folder, error))?;
    paths.iter().map(|path| Shard::open(path)).collect()
}

pub(crate) fn failed(path: &Path, error: &Error) -> LoadError {
    let (words, path) = (first_line(error), path.to_owned());
    if has_no_room(error) {
        return LoadError::Unsupported {
            reason: format!("{} does not fit into the device's memory ({words})", path.display()),
            remedy: "use another device, such as cpu, or bf16 where `dtype` is f32, or end what else runs there (`nvidia-smi` shows it)"
                .into(),
        };
    }
    if is_of_device(error) {
        let remedy = "see `nvidia-smi` and the kernel's log, or use the device cpu".into();
        return LoadError::Unsupported { reason: format!("the device failed under {} ({words})", path.display()), remedy };
    }
    LoadError::Malformed { path, reason: words }
}

/// Says what stands in the place of safetensors where that is why there are no weights.
fn instead(folder: &Folder, error: LoadError) -> LoadError {
    let LoadError::NotFound { .. } = error else { return error };
    if let Some(pickle) = PICKLES.into_iter().find(|name| folder.has(name)) {
        return LoadError::Unsupported {
            reason: format!("{} has {pickle} and no model.safetensors, and a pickle can run any code", folder.path().display()),
            remedy: "convert it to safetensors, or name a revision that has them".into(),
        };
    }
    match folder.gguf() {
        Ok(Some(gguf)) => LoadError::Unsupported {
            reason: format!("{} is a GGUF file, which only Qwen3 is read from", gguf.display()),
            remedy: "take the model's safetensors".into(),
        },
        _ => error,
    }
}

// === impl Form ===

impl Form {
    /// Returns the name that a tensor has in such files.
    fn name(self, name: &str) -> String {
        match self {
            Self::Safetensors => name.to_owned(),
            Self::Gguf => gguf_name(name),
        }
    }

    /// What describes the tensors.
    fn says(self) -> &'static str {
        match self {
            Self::Safetensors => "config.json",
            Self::Gguf => "its metadata",
        }
    }
}

fn locked(names: &Names) -> MutexGuard<'_, BTreeSet<String>> {
    names.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Recorded ===

impl SimpleBackend for Recorded {
    fn get(&self, shape: Shape, name: &str, init: Init, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        locked(&self.asked).insert(name.to_owned());
        let held = self.tensors.get(name).map(Tensor::dtype);
        if let Some(held) = held.filter(|held| !matches!(held, DType::F64 | DType::F32 | DType::F16 | DType::BF16)) {
            candle_core::bail!("{name} holds {held:?}, and only f64, f32, f16 and bf16 are read");
        }
        SimpleBackend::get(&self.tensors, shape, name, init, dtype, device)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        locked(&self.asked).insert(name.to_owned());
        self.tensors.get_unchecked(name, dtype, device)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }
}
