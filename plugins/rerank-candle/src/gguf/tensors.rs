//! Reads the tensors of a file, one after the other, and hashes the whole file on the way.

use std::{
    borrow::Cow,
    collections::HashMap,
    fs::File,
    io::{self, BufReader, Read},
    sync::Arc,
};

use candle_core::{
    DType, Device, Tensor,
    quantized::{GgmlDType, QStorage, QTensor},
};
use rerank_plugin::{LoadError, Progress};
use sha2::{Digest, Sha256};

use super::{Gguf, header::Entry};
use crate::{matrix::Stored, weights::failed};

/// How much is read between two words to the progress.
const STRIDE: usize = 4 << 20;

/// Tensors by their names in the file.
pub(crate) type Tensors = HashMap<String, Stored>;

/// A file that is hashed as it is read.
struct Hashed<'a> {
    reader: BufReader<File>,
    hash: Sha256,
    position: u64,
    progress: &'a dyn Progress,
}

// === impl Gguf ===

impl Gguf {
    /// Reads all tensors onto each device, under their names in the file, quantised ones as they are; and the file's SHA-256.
    pub(crate) fn tensors(&self, devices: &[Device], progress: &dyn Progress) -> Result<(Vec<Tensors>, [u8; 32]), LoadError> {
        let unreadable = |source| LoadError::Unreadable { path: self.path.clone(), source };
        let file = File::open(&self.path).map_err(unreadable)?;
        progress.begin("reading weights", Some(file.metadata().map_err(unreadable)?.len()));
        let mut file = Hashed { reader: BufReader::with_capacity(STRIDE, file), hash: Sha256::new(), position: 0, progress };
        let mut all = vec![Tensors::new(); devices.len()];
        for entry in &self.entries {
            file.skip(entry.start).map_err(unreadable)?;
            let bytes = file.take(entry.length).map_err(unreadable)?;
            for (device, own) in devices.iter().zip(&mut all) {
                own.insert(entry.name.clone(), stored(entry, &bytes, device).map_err(|error| failed(&self.path, &error))?);
            }
        }
        file.skip(u64::MAX).map_err(unreadable)?;
        Ok((all, file.hash.finalize().into()))
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

// === impl Hashed ===

impl Hashed<'_> {
    /// Goes on to a place in the file, or to its end.
    fn skip(&mut self, to: u64) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 16];
        while self.position < to {
            let most = buffer.len().min(usize::try_from(to - self.position).unwrap_or(usize::MAX));
            match self.reader.read(&mut buffer[..most])? {
                0 => return Ok(()),
                got => self.passed(&buffer[..got]),
            }
        }
        Ok(())
    }

    fn take(&mut self, length: u64) -> io::Result<Vec<u8>> {
        // The file was that long when its head was checked.
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        for piece in bytes.chunks_mut(STRIDE) {
            self.reader.read_exact(piece)?;
            self.passed(piece);
        }
        Ok(bytes)
    }

    fn passed(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.position += bytes.len() as u64;
        self.progress.advance(bytes.len() as u64);
    }
}
