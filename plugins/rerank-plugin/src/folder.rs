//! A model's folder: the only files that a plugin reads, and the checks on their names and sizes.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Read,
    path::{Component, Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};

use crate::LoadError;

/// The largest JSON file that is read into memory; real tokenizers stay under 20 MiB.
const MAX_JSON: u64 = 64 << 20;

/// A folder that holds a checkpoint. Its content is untrusted.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

#[derive(Deserialize)]
struct Index {
    weight_map: std::collections::BTreeMap<String, String>,
}

// === impl Folder ===

impl Folder {
    /// Returns the folder.
    ///
    /// # Errors
    /// [`LoadError::NotFound`] when `path` is not a folder.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, LoadError> {
        let path = path.into();
        if path.is_dir() { Ok(Self(path)) } else { Err(LoadError::NotFound { path }) }
    }

    /// Where the folder is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Returns whether the folder holds a file of that name.
    pub fn has(&self, name: &str) -> bool {
        self.file(name).is_ok()
    }

    /// Returns the path of a file.
    ///
    /// # Errors
    /// [`LoadError::Malformed`] unless `name` is plain names joined by `/`; [`LoadError::NotFound`] when it is not a file.
    pub fn file(&self, name: &str) -> Result<PathBuf, LoadError> {
        let plain = !name.contains('\\') && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if !plain || name.is_empty() {
            return Err(LoadError::Malformed { path: self.0.clone(), reason: format!("{name:?} is not a plain file name") });
        }
        let path = self.0.join(name);
        if path.is_file() { Ok(path) } else { Err(LoadError::NotFound { path }) }
    }

    /// Returns a small file's bytes.
    ///
    /// # Errors
    /// As [`Folder::file`], or the file is unreadable or over 64 MiB.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, LoadError> {
        let path = self.file(name)?;
        let unreadable = |source| LoadError::Unreadable { path: path.clone(), source };
        let mut bytes = Vec::new();
        File::open(&path).map_err(unreadable)?.take(MAX_JSON + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > MAX_JSON {
            return Err(LoadError::Malformed { path, reason: format!("larger than {} MiB", MAX_JSON >> 20) });
        }
        Ok(bytes)
    }

    /// Returns a JSON file, parsed.
    ///
    /// # Errors
    /// As [`Folder::read`], or [`LoadError::Malformed`] with the parser's words.
    pub fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, LoadError> {
        let bytes = self.read(name)?;
        serde_json::from_slice(&bytes).map_err(|error| LoadError::Malformed { path: self.0.join(name), reason: error.to_string() })
    }

    /// Returns the safetensors files, sorted: `model.safetensors`, or all that `model.safetensors.index.json` names.
    ///
    /// # Errors
    /// As [`Folder::file`] and [`Folder::json`].
    pub fn weights(&self) -> Result<Vec<PathBuf>, LoadError> {
        const INDEX: &str = "model.safetensors.index.json";
        if !self.has(INDEX) {
            return Ok(vec![self.file("model.safetensors")?]);
        }
        let index: Index = self.json(INDEX)?;
        let names: BTreeSet<String> = index.weight_map.into_values().collect();
        if let Some(name) = names.iter().find(|name| !name.ends_with(".safetensors") || name.contains(['/', '\\'])) {
            return Err(LoadError::Malformed {
                path: self.0.join(INDEX),
                reason: format!("{name:?} is not the plain name of a safetensors file"),
            });
        }
        names.iter().map(|name| self.file(name)).collect()
    }

    /// Returns the size of all weights in bytes, for progress.
    pub fn weights_size(&self) -> u64 {
        let sizes = self.weights().unwrap_or_default();
        sizes.iter().filter_map(|path| fs::metadata(path).ok()).map(|metadata| metadata.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::Folder;

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        let folder = Folder::open(env!("CARGO_MANIFEST_DIR")).expect("the crate's own folder");
        assert!(folder.has("Cargo.toml") && folder.has("src/lib.rs"));
        for name in ["../rerank-plugin/Cargo.toml", "/etc/passwd", "src/../Cargo.toml", "src\\lib.rs", "", "."] {
            assert!(folder.file(name).is_err(), "{name:?}");
        }
    }
}
