//! One safetensors file: its header is read and compared with its length first, so that nothing is reserved for a file that is not
//! as long as it says; then one tensor after the other, so that no more than one is in memory twice.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use candle_core::{Device, Tensor, safetensors::Load};
use rerank_plugin::{LoadError, Progress};
use safetensors::{
    SafeTensorError,
    tensor::{Metadata, TensorInfo, TensorView},
};
use sha2::Sha256;

use crate::{hashed::Hashed, weights::failed};

/// The longest header that is read; the format allows no longer ones.
const LONGEST: u64 = 100_000_000;

/// A file, of which the header is read and checked.
pub(crate) struct Shard {
    path: PathBuf,
    metadata: Metadata,
    /// Where the numbers begin.
    begins: u64,
}

// === impl Shard ===

impl Shard {
    /// Reads the header, and makes sure that the file ends where its last tensor does.
    ///
    /// # Errors
    /// [`LoadError::Malformed`] with what is wrong, [`LoadError::Unreadable`] with the system's words.
    pub(crate) fn open(path: &Path) -> Result<Self, LoadError> {
        let unreadable = |source| LoadError::Unreadable { path: path.to_owned(), source };
        let malformed = |reason| LoadError::Malformed { path: path.to_owned(), reason };
        let file = File::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let (header, begins) = header(file, length).map_err(unreadable)?.map_err(malformed)?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|error| malformed(format!("its header cannot be read: {error}")))?;
        match begins.checked_add(metadata.data_len() as u64) {
            Some(says) if says == length => Ok(Self { path: path.to_owned(), metadata, begins }),
            _ => Err(malformed(format!("it has {length} bytes, and not as many as its header says: get the file anew"))),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How many numbers it holds.
    pub(crate) fn numbers(&self) -> u64 {
        self.metadata.tensors().values().map(|info| info.shape.iter().product::<usize>() as u64).sum()
    }

    /// Reads all tensors onto each device, next to those that are there, and returns the hash of what it has seen and of this file.
    ///
    /// # Errors
    /// [`LoadError`] when the file cannot be read, a device has no room, or a tensor is there already.
    pub(crate) fn read(
        &self,
        devices: &[Device],
        all: &mut [HashMap<String, Tensor>],
        (hash, progress): (Sha256, &dyn Progress),
    ) -> Result<Sha256, LoadError> {
        let unreadable = |source| LoadError::Unreadable { path: self.path.clone(), source };
        let malformed = |reason: String| LoadError::Malformed { path: self.path.clone(), reason };
        let mut file = Hashed::open(&self.path, hash, progress).map_err(unreadable)?;
        file.skip(self.begins).map_err(unreadable)?;
        for name in self.metadata.offset_keys() {
            let Some(info) = self.metadata.info(&name) else { continue };
            let bytes = file.take((info.data_offsets.1 - info.data_offsets.0) as u64).map_err(unreadable)?;
            let view = view(info, &bytes).map_err(|error| malformed(error.to_string()))?;
            for (device, own) in devices.iter().zip(&mut *all) {
                let tensor = view.load(device).map_err(|error| failed(&self.path, &error))?;
                if own.insert(name.clone(), tensor).is_some() {
                    return Err(malformed(format!("the tensor {name} is in two files")));
                }
            }
        }
        file.finish().map_err(unreadable)
    }
}

fn view<'a>(info: &TensorInfo, bytes: &'a [u8]) -> Result<TensorView<'a>, SafeTensorError> {
    TensorView::new(info.dtype, info.shape.clone(), bytes)
}

/// Returns the header, and where the numbers behind it begin; or what is wrong.
fn header(mut file: File, length: u64) -> io::Result<Result<(Vec<u8>, u64), String>> {
    let mut first = [0; 8];
    if length < 8 {
        return Ok(Err(format!("it has {length} bytes and no header: get the file anew")));
    }
    file.read_exact(&mut first)?;
    let says = u64::from_le_bytes(first);
    if says > LONGEST || says > length - 8 {
        return Ok(Err(format!("its header has {says} bytes, and the file {length}: it is no safetensors file, or cut off")));
    }
    let mut text = Vec::new();
    file.take(says).read_to_end(&mut text)?;
    Ok(Ok((text, 8 + says)))
}
