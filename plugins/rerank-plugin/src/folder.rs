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

/// What the safetensors of several files are listed in.
const INDEX: &str = "model.safetensors.index.json";

/// A folder that holds a checkpoint. Its content is untrusted.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    /// The GGUF file that was chosen, whatever else the folder holds.
    gguf: Option<String>,
}

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
        if path.is_dir() { Ok(Self { path, gguf: None }) } else { Err(LoadError::NotFound { path }) }
    }

    /// Returns the folder with one of its GGUF files chosen.
    ///
    /// # Errors
    /// As [`Folder::file`].
    pub fn choose(mut self, gguf: &str) -> Result<Self, LoadError> {
        self.file(gguf)?;
        self.gguf = Some(gguf.to_owned());
        Ok(self)
    }

    /// Where the folder is.
    pub fn path(&self) -> &Path {
        &self.path
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
            return Err(LoadError::Malformed { path: self.path.clone(), reason: format!("{name:?} is not a plain file name") });
        }
        let path = self.path.join(name);
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
        serde_json::from_slice(&bytes).map_err(|error| LoadError::Malformed { path: self.path.join(name), reason: error.to_string() })
    }

    /// Returns the safetensors files, sorted: `model.safetensors`, or all that `model.safetensors.index.json` names.
    ///
    /// # Errors
    /// As [`Folder::file`] and [`Folder::json`].
    pub fn weights(&self) -> Result<Vec<PathBuf>, LoadError> {
        if !self.has(INDEX) {
            return Ok(vec![self.file("model.safetensors")?]);
        }
        let index: Index = self.json(INDEX)?;
        let names: BTreeSet<String> = index.weight_map.into_values().collect();
        if let Some(name) = names.iter().find(|name| !name.ends_with(".safetensors") || name.contains(['/', '\\'])) {
            return Err(LoadError::Malformed {
                path: self.path.join(INDEX),
                reason: format!("{name:?} is not the plain name of a safetensors file"),
            });
        }
        names.iter().map(|name| self.file(name)).collect()
    }

    /// Returns the GGUF file that is the model: the one that was chosen, or the only one where there are no safetensors.
    ///
    /// # Errors
    /// [`LoadError::Unsupported`] when the folder holds several, or parts of one; [`LoadError::Unreadable`] when it cannot be listed.
    pub fn gguf(&self) -> Result<Option<PathBuf>, LoadError> {
        let names = match &self.gguf {
            Some(name) => vec![name.clone()],
            None if self.has(INDEX) || self.has("model.safetensors") => return Ok(None),
            None => self.ggufs()?,
        };
        if let Some(part) = names.iter().find(|name| is_gguf_part(name)) {
            return Err(LoadError::Unsupported {
                reason: format!("{} is one part of a split GGUF file", self.path.join(part).display()),
                remedy: "join the parts with llama.cpp's `llama-gguf-split --merge`, or take a conversion that is one file".into(),
            });
        }
        match names.as_slice() {
            [] => Ok(None),
            [name] => self.file(name).map(Some),
            [first, ..] => Err(LoadError::Unsupported {
                reason: format!("{} holds several GGUF files: {}", self.path.display(), names.join(", ")),
                remedy: format!("name one of them, such as source = {:?}", self.path.join(first).display().to_string()),
            }),
        }
    }

    /// Returns the names of the GGUF files in the folder, sorted.
    ///
    /// # Errors
    /// [`LoadError::Unreadable`] when the folder cannot be listed.
    pub fn ggufs(&self) -> Result<Vec<String>, LoadError> {
        let listed = fs::read_dir(&self.path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let listed = listed.map_err(|source| LoadError::Unreadable { path: self.path.clone(), source })?;
        let mut names: Vec<String> = listed.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.retain(|name| is_gguf(name) && self.has(name));
        names.sort_unstable();
        Ok(names)
    }

    /// Returns the size of all weights in bytes, for progress.
    pub fn weights_size(&self) -> u64 {
        let sizes = self.weights().unwrap_or_default();
        sizes.iter().filter_map(|path| fs::metadata(path).ok()).map(|metadata| metadata.len()).sum()
    }
}

/// Returns whether a file of that name is a GGUF file.
pub fn is_gguf(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
}

/// Returns whether a file is named as llama.cpp names the parts of a split one, `…-00001-of-00003.gguf`.
pub fn is_gguf_part(name: &str) -> bool {
    let number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let stem = Path::new(name).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let parted = stem.rsplit_once("-of-").and_then(|(before, count)| Some((before.rsplit_once('-')?.1, count)));
    parted.is_some_and(|(part, count)| number(part) && number(count))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Folder, is_gguf_part};

    #[test]
    fn the_gguf_file_is_the_chosen_one_or_the_only_one_without_safetensors() {
        let within = tempfile::tempdir().expect("a folder");
        let put = |name: &str| fs::write(within.path().join(name), "").expect("written");
        let open = || Folder::open(within.path()).expect("a folder");
        assert_eq!(open().gguf().expect("none"), None);
        put("a.gguf");
        fs::create_dir(within.path().join("no.gguf")).expect("made");
        assert_eq!(open().gguf().expect("one"), Some(within.path().join("a.gguf")));
        put("b.GGUF");
        let error = open().gguf().expect_err("which one?").to_string();
        assert!(error.contains("several GGUF files: a.gguf, b.GGUF; name one of them, such as source = \"/"), "{error}");
        let chosen = |name: &str| open().choose(name).and_then(|folder| folder.gguf());
        assert_eq!(chosen("b.GGUF").expect("chosen"), Some(within.path().join("b.GGUF")));
        assert!(chosen("c.gguf").is_err() && chosen("../a.gguf").is_err());
        put("model.safetensors");
        assert_eq!(open().gguf().expect("not asked for"), None);
        assert_eq!(chosen("a.gguf").expect("chosen"), Some(within.path().join("a.gguf")));
        put("m-00001-of-00002.gguf");
        let part = chosen("m-00001-of-00002.gguf").expect_err("a part").to_string();
        assert!(part.contains("one part of a split GGUF file; join the parts"), "{part}");
    }

    #[test]
    fn parts_of_a_split_file_are_known_by_their_names() {
        assert!(["m-00001-of-00002.gguf", "m-Q8_0-00002-of-00002.gguf"].into_iter().all(is_gguf_part));
        assert!(!["m.gguf", "m-1-of-2.gguf", "00001-of-00002.gguf", "m-00001-of-0000x.gguf"].into_iter().any(is_gguf_part));
    }

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        let folder = Folder::open(env!("CARGO_MANIFEST_DIR")).expect("the crate's own folder");
        assert!(folder.has("Cargo.toml") && folder.has("src/lib.rs"));
        for name in ["../rerank-plugin/Cargo.toml", "/etc/passwd", "src/../Cargo.toml", "src\\lib.rs", "", "."] {
            assert!(folder.file(name).is_err(), "{name:?}");
        }
    }
}
