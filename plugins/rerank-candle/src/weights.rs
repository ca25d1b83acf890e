//! Reads safetensors: every tensor, and a hash of the files that they came from.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor, safetensors};
use candle_nn::VarBuilder;
use rerank_plugin::{Folder, LoadError, Progress};
use sha2::{Digest, Sha256};

/// How much is read between two words to the progress.
const STRIDE: usize = 4 << 20;

/// A checkpoint's tensors on a device.
pub struct Weights {
    tensors: HashMap<String, Tensor>,
    device: Device,
    path: PathBuf,
    digest: [u8; 32],
}

// === impl Weights ===

impl Weights {
    /// Reads all safetensors files of a folder.
    ///
    /// # Errors
    /// [`LoadError`] that names the file which is missing, unreadable or malformed.
    pub fn read(folder: &Folder, device: &Device, progress: &dyn Progress) -> Result<Self, LoadError> {
        let paths = folder.weights()?;
        progress.begin("reading weights", Some(folder.weights_size()));
        let mut tensors = HashMap::new();
        let mut hash = Sha256::new();
        for path in &paths {
            let bytes = read(path, progress).map_err(|source| LoadError::Unreadable { path: path.clone(), source })?;
            hash.update(&bytes);
            let read = safetensors::load_buffer(&bytes, device);
            tensors.extend(read.map_err(|error| LoadError::Malformed { path: path.clone(), reason: error.to_string() })?);
        }
        let path = paths.into_iter().next().unwrap_or_else(|| folder.path().to_owned());
        Ok(Self { tensors, device: device.clone(), path, digest: hash.finalize().into() })
    }

    /// The SHA-256 of the files, in the order of their names.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Builds a model of the tensors, converted to `dtype`.
    ///
    /// # Errors
    /// [`LoadError::Malformed`] with candle's words when a tensor is missing or has another shape.
    pub fn build<M>(&self, dtype: DType, build: impl FnOnce(VarBuilder<'static>) -> candle_core::Result<M>) -> Result<M, LoadError> {
        let tensors = VarBuilder::from_tensors(self.tensors.clone(), dtype, &self.device);
        build(tensors).map_err(|error| LoadError::Malformed { path: self.path.clone(), reason: error.to_string() })
    }
}

fn read(path: &Path, progress: &dyn Progress) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::with_capacity(usize::try_from(file.metadata()?.len()).unwrap_or_default());
    loop {
        let got = (&mut file).take(STRIDE as u64).read_to_end(&mut bytes)?;
        if got == 0 {
            return Ok(bytes);
        }
        progress.advance(got as u64);
    }
}
