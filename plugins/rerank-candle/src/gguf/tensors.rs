//! Reads the tensors of a file, one after the other, and hashes the whole file on the way.

use std::{borrow::Cow, collections::HashMap, fs, sync::Arc};

use candle_core::{
    DType, Device, Tensor,
    quantized::{GgmlDType, QStorage, QTensor},
};
use rerank_plugin::{LoadError, Progress};
use sha2::{Digest, Sha256};

use super::{Gguf, header::Entry};
use crate::{hashed::Hashed, matrix::Stored, weights::failed};

/// Tensors by their names in the file.
pub(crate) type Tensors = HashMap<String, Stored>;

// === impl Gguf ===

impl Gguf {
    /// Reads all tensors onto each device, under their names in the file, quantised ones as they are; and the file's SHA-256.
    pub(crate) fn tensors(&self, devices: &[Device], progress: &dyn Progress) -> Result<(Vec<Tensors>, [u8; 32]), LoadError> {
        let unreadable = |source| LoadError::Unreadable { path: self.path.clone(), source };
        progress.begin("reading weights", Some(fs::metadata(&self.path).map_err(unreadable)?.len()));
        let mut file = Hashed::open(&self.path, Sha256::new(), progress).map_err(unreadable)?;
        let mut all = vec![Tensors::new(); devices.len()];
        for entry in &self.entries {
            file.skip(entry.start).map_err(unreadable)?;
            let bytes = file.take(entry.length).map_err(unreadable)?;
            for (device, own) in devices.iter().zip(&mut all) {
                own.insert(entry.name.clone(), stored(entry, &bytes, device).map_err(|error| failed(&self.path, &error))?);
            }
        }
        let hash = file.finish().map_err(unreadable)?;
        Ok((all, hash.finalize().into()))
    }
}

fn stored(entry: &Entry, bytes: &[u8], device: &Device) -> candle_core::Result<Stored> {
    let dimensions = entry.dimensions.as_slice();
    let plain = |dtype| Tensor::from_raw_buffer(bytes, dtype, dimensions, device).map(Stored::Plain);
    match entry.kind {
        GgmlDType::F32 => plain(DType::F32),
        GgmlDType::F16 => plain(DType::F16),
        GgmlDType::BF16 => plain(DType::BF16),
        kind => {
            let storage = QStorage::from_data(Cow::Borrowed(bytes), device, kind)?;
            Ok(Stored::Quantised(Arc::new(QTensor::new(storage, dimensions)?)))
        }
    }
}
