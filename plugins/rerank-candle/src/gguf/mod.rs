//! Reads GGUF files: what they say of a model, its tokenizer and its tensors.
//!
//! The reader is our own because candle's believes more than it checks: of two entries of one name it keeps the last, it divides
//! by the file's alignment, it multiplies sizes unchecked, and it makes 32 bytes of each byte of an array. What the tensors
//! mean belongs to [`Weights`](crate::Weights) and [`DecoderShape`](crate::DecoderShape).

mod bytes;
mod header;
mod kinds;
mod metadata;
mod names;
mod tensors;
#[cfg(test)]
mod tests;
mod tokenizer;

use std::path::{Path, PathBuf};

use rerank_plugin::LoadError;

pub use metadata::Metadata;

pub(crate) use names::gguf_name;

use self::header::Entry;

/// A GGUF file, of which the head is read and checked.
pub struct Gguf {
    path: PathBuf,
    metadata: Metadata,
    /// In the order in which they lie in the file.
    entries: Vec<Entry>,
}

// === impl Gguf ===

impl Gguf {
    /// Reads and checks a file's head: metadata, and where the tensors lie.
    ///
    /// # Errors
    /// [`LoadError`] that names what is wrong with it, or what is not read here.
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        header::read(path)
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says of the model.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The dimensions of a tensor, rows first, by its name in the file.
    pub fn dimensions(&self, name: &str) -> Option<&[usize]> {
        self.entries.iter().find(|entry| entry.name == name).map(|entry| entry.dimensions.as_slice())
    }

    /// Returns the error that the file does not hold what it should.
    pub fn malformed(&self, reason: impl Into<String>) -> LoadError {
        LoadError::Malformed { path: self.path.clone(), reason: reason.into() }
    }
}
