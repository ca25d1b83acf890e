//! Loads models: finds the files, checks them, finds out the kind, and hands them to the family that runs them.
//!
//! Which models are loaded when, and what becomes of one that does not load, is not decided here.

mod downloads;
mod gguf;
mod hub;
mod registry;
mod source;
mod store;
pub mod unit;
pub mod vectors;
mod wheel;

use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
    sync::Arc,
};

use rerank_cross_encoder::CrossEncoder;
use rerank_embedding::Embedding;
use rerank_plugin::{ArtifactStore, Detection, Endpoints, Family, Folder, LoadError, LoadOptions, Loaded, Source};
use rerank_qwen3::Qwen3;
use rerank_remote::Remote;
use sha2::{Digest, Sha256};

pub use downloads::Downloads;
pub use registry::{Registry, StartError, State, Surroundings, load_now};
pub use source::{Attempt, SourceError, find};
pub use store::Store;
pub use vectors::Vectors;

use crate::{
    config::{self, Model, Secret, SecretError},
    machine::Memory,
};

/// Why a model did not load.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No family is called so.
    #[error("kind is {kind:?}, and the kinds are: auto, {known}")]
    UnknownKind {
        /// What was asked for.
        kind: String,
        /// What there is.
        known: String,
    },
    /// The configuration says how vectors are to be, and there are none.
    #[error("{key} is for kinds that make vectors (embedding), and this is a {kind}: take the key out")]
    NoVectors {
        /// What was asked for.
        key: &'static str,
        /// What the model is.
        kind: &'static str,
    },
    /// The configuration says how documents are to be cut, and the model does not cut any.
    #[error("chunking is for kinds that cut chunks (cross-encoder, qwen3), and this is of kind {kind}: take the key out{remedy}")]
    NoChunks {
        /// What the model is.
        kind: &'static str,
        /// What else may help.
        remedy: &'static str,
    },
    /// It is not said where the model is.
    #[error("source is missing: write a hub name such as \"sentence-transformers/all-MiniLM-L6-v2\", or a folder that begins with ./ or /")]
    NoSource,
    /// The token is not where the configuration says.
    #[error("token: {0}")]
    Token(#[from] SecretError),
    /// The files are nowhere.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// No family takes the checkpoint.
    #[error("{} is not a model that can be run here: {}", path.display(), reasons.join("; "))]
    Unrecognised {
        /// The checkpoint's folder.
        path: PathBuf,
        /// What the families that know it say.
        reasons: Vec<String>,
    },
    /// The weights are in a form that the family does not read.
    #[error("{} is a GGUF file, which a model of the kind {kind} is not read from: take its safetensors", path.display())]
    NoGguf {
        /// The file.
        path: PathBuf,
        /// What the model is.
        kind: &'static str,
    },
    /// The weights are not those that the configuration names.
    #[error("the sha256 of the weights in {} is {found}, and the configuration says {expected}: correct `sha256` or the files", path.display())]
    OtherWeights {
        /// The checkpoint's folder.
        path: PathBuf,
        /// What they hash to.
        found: String,
        /// What they should hash to.
        expected: String,
    },
    /// The family refused the files.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Returns all kinds of models that this build can run.
pub fn families() -> Vec<Box<dyn Family>> {
    let mut families: Vec<Box<dyn Family>> = vec![Box::new(CrossEncoder), Box::new(Embedding), Box::new(Qwen3), Box::new(Remote)];
    families.extend(fakes());
    families
}

#[cfg(feature = "fake-models")]
fn fakes() -> Vec<Box<dyn Family>> {
    use rerank_plugin::testing::{Behaviour, Fake};
    const COST: std::time::Duration = std::time::Duration::from_millis(20);
    let behaviours = [
        Behaviour::Identity,
        Behaviour::Reverse,
        Behaviour::Overlap,
        Behaviour::FixedCost(COST),
        Behaviour::Hang,
        Behaviour::Panic,
        Behaviour::Nan,
        Behaviour::WrongCount,
        Behaviour::Broken,
    ];
    behaviours.into_iter().map(|behaviour| Box::new(Fake(behaviour)) as Box<dyn Family>).collect()
}

#[cfg(not(feature = "fake-models"))]
fn fakes() -> Vec<Box<dyn Family>> {
    Vec::new()
}

/// Loads a model, and the vectors that were computed ahead for it; slow, so for a thread of its own.
///
/// # Errors
/// [`ModelError`], in words for the operator.
pub fn load(model: &Model, surroundings: &Surroundings) -> Result<Loaded, ModelError> {
    let Surroundings { families, environment, store, progress, downloads, vectors, .. } = surroundings;
    let progress = progress.as_ref();
    let named = model.kind.as_deref().map(|kind| by_kind(families, kind)).transpose()?;
    let options = options(model, Arc::new(store.clone()));
    let loaded = |loaded: Loaded| {
        if let Loaded::Local { preparer, .. } = &loaded {
            vectors.fill(preparer.card(), store);
        }
        loaded
    };
    if model.source.is_none() {
        let family = named.ok_or(ModelError::NoSource)?;
        check_keys(model, family)?;
        let endpoints = model.remote.as_ref().map_or_else(|| Ok(Endpoints::default()), endpoints)?;
        return Ok(family.load(&Source::Endpoints(endpoints), &options, progress).map(loaded)?);
    }
    let folder = find(model, environment, progress, downloads)?;
    if let Some(expected) = &model.sha256 {
        check_weights(&folder, expected)?;
    }
    let family = named.map_or_else(|| detect(families, &folder), Ok)?;
    if let Some(path) = folder.gguf()?.filter(|_| !family.reads_gguf()) {
        return Err(ModelError::NoGguf { path, kind: family.kind() });
    }
    check_keys(model, family)?;
    Ok(family.load(&Source::Folder(folder), &options, progress).map(loaded)?)
}

/// Returns the servers of a model that runs elsewhere, with their token wherever that stands.
fn endpoints(remote: &config::Remote) -> Result<Endpoints, ModelError> {
    let mut endpoints = Endpoints::default();
    endpoints.urls.clone_from(&remote.endpoints);
    endpoints.protocol.clone_from(&remote.protocol);
    endpoints.model.clone_from(&remote.model);
    endpoints.token = remote.token.as_ref().map(Secret::reveal).transpose()?.map(Arc::from);
    endpoints.batch = remote.batch;
    endpoints.ca.clone_from(&remote.ca);
    endpoints.accepts_any_certificate = !remote.verify;
    Ok(endpoints)
}

/// Refuses keys that a family without vectors, or without chunks, would ignore.
fn check_keys(model: &Model, family: &dyn Family) -> Result<(), ModelError> {
    if model.chunking.is_some() && !family.cuts_chunks() {
        let whole = ", or raise max-tokens: one vector stands for a whole document";
        return Err(ModelError::NoChunks { kind: family.kind(), remedy: if family.makes_vectors() { whole } else { "" } });
    }
    let asked = model.dimensions.map(|_| "dimensions").or(model.half_vectors.then_some("vectors"));
    match asked.filter(|_| !family.makes_vectors()) {
        Some(key) => Err(ModelError::NoVectors { key, kind: family.kind() }),
        None => Ok(()),
    }
}

fn options(model: &Model, store: Arc<dyn ArtifactStore>) -> LoadOptions {
    let mut options = LoadOptions::new(store);
    options.devices.clone_from(&model.devices);
    options.dtype = model.dtype;
    options.threads = model.threads;
    options.max_tokens = model.max_tokens;
    options.batch_tokens = model.batch_tokens;
    options.control_tokens = model.control_tokens;
    options.dimensions = model.dimensions;
    options.half_vectors = model.half_vectors;
    options.chunking = model.chunking;
    options.memory = Memory::of_this_machine().map(|memory| memory.bytes);
    options
}

fn by_kind<'a>(families: &'a [Box<dyn Family>], kind: &str) -> Result<&'a dyn Family, ModelError> {
    let found = families.iter().find(|family| family.kind() == kind);
    found.map(AsRef::as_ref).ok_or_else(|| ModelError::UnknownKind {
        kind: kind.to_owned(),
        known: families.iter().map(|family| family.kind()).collect::<Vec<_>>().join(", "),
    })
}

fn detect<'a>(families: &'a [Box<dyn Family>], folder: &Folder) -> Result<&'a dyn Family, ModelError> {
    let mut reasons = Vec::new();
    let is_gguf = folder.gguf()?.is_some();
    for family in families.iter().filter(|family| !is_gguf || family.reads_gguf()) {
        match family.detect(folder) {
            Detection::Yes => return Ok(family.as_ref()),
            Detection::Refused { reason } => reasons.push(reason),
            Detection::No => {}
        }
    }
    if reasons.is_empty() {
        reasons.push("no kind of model knows its config.json".into());
    }
    Err(ModelError::Unrecognised { path: folder.path().to_owned(), reasons })
}

/// Compares the SHA-256 of the weights, one file after the other in the order of their names.
fn check_weights(folder: &Folder, expected: &str) -> Result<(), ModelError> {
    let mut hash = Sha256::new();
    let paths = folder.gguf()?.map_or_else(|| folder.weights(), |path| Ok(vec![path]))?;
    for path in paths {
        let read = File::open(&path).and_then(|file| hash_into(&mut hash, file));
        read.map_err(|source| LoadError::Unreadable { path, source })?;
    }
    let found = hexadecimal(&hash.finalize());
    if found.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(ModelError::OtherWeights { path: folder.path().to_owned(), found, expected: expected.to_owned() })
}

fn hash_into(hash: &mut Sha256, mut from: impl Read) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            got => hash.update(&buffer[..got]),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use rerank_plugin::{Chunking, ControlTokens, Device, Dtype, Silent, testing::MapStore};
    use tempfile::TempDir;

    use super::{Downloads, Store, Surroundings, Vectors, check_keys, families, load, options};
    use crate::{
        config::{KINDS, Model},
        inference::ScoreCache,
        rerank::Digester,
    };

    const CHUNKING: Chunking = Chunking { tokens: 100, overlap: 7, max: 3 };

    fn model(kind: Option<&str>, folder: Option<&TempDir>, sha256: Option<&str>) -> Model {
        Model {
            name: "model".into(),
            kind: kind.map(Into::into),
            source: folder.map(|folder| folder.path().display().to_string()),
            revision: "main".into(),
            devices: Vec::new(),
            dtype: None,
            threads: 1,
            max_tokens: None,
            batch_tokens: 16384,
            max_queue: 1,
            lazy: false,
            control_tokens: ControlTokens::Escape,
            dimensions: None,
            half_vectors: false,
            chunking: None,
            sha256: sha256.map(Into::into),
            remote: None,
        }
    }

    fn refused(kind: Option<&str>, folder: Option<&TempDir>, sha256: Option<&str>) -> String {
        let surroundings = Surroundings {
            families: families().into(),
            environment: Arc::default(),
            store: Store::new(1 << 20),
            vectors: Vectors::default(),
            scores: ScoreCache::new(0, Digester::new()),
            digester: Digester::new(),
            progress: Arc::new(Silent),
            downloads: Downloads::default(),
        };
        load(&model(kind, folder, sha256), &surroundings).err().expect("the model is refused").to_string()
    }

    #[test]
    fn what_is_configured_reaches_the_family() {
        let set = Model {
            devices: vec![Device::Cuda(1), Device::Cpu],
            dtype: Some(Dtype::F16),
            threads: 3,
            max_tokens: Some(99),
            batch_tokens: 7,
            control_tokens: ControlTokens::Parse,
            dimensions: Some(64),
            half_vectors: true,
            chunking: Some(CHUNKING),
            ..model(None, None, None)
        };
        let options = options(&set, Arc::new(MapStore::default()));
        assert_eq!((options.threads, options.max_tokens, options.batch_tokens), (3, Some(99), 7));
        assert_eq!((options.devices, options.dtype), (vec![Device::Cuda(1), Device::Cpu], Some(Dtype::F16)));
        assert_eq!(options.control_tokens, ControlTokens::Parse);
        assert_eq!((options.dimensions, options.half_vectors, options.chunking), (Some(64), true, Some(CHUNKING)));
    }

    #[test]
    fn what_is_said_of_vectors_is_for_kinds_that_make_them() {
        let plain = model(None, None, None);
        let cut = Model { dimensions: Some(64), ..plain.clone() };
        let rounded = Model { half_vectors: true, ..plain.clone() };
        for family in families() {
            let told = [&cut, &rounded].map(|set| check_keys(set, family.as_ref()).is_ok());
            assert_eq!(told, [family.kind() == "embedding"; 2], "{}", family.kind());
            assert!(check_keys(&plain, family.as_ref()).is_ok());
        }
        let refused = check_keys(&cut, &super::Qwen3).expect_err("a reranker has no vectors").to_string();
        assert_eq!(refused, "dimensions is for kinds that make vectors (embedding), and this is a qwen3: take the key out");
    }

    #[test]
    fn what_is_said_of_chunks_is_for_kinds_that_cut_them() {
        let set = Model { chunking: Some(CHUNKING), ..model(None, None, None) };
        for family in families() {
            let kind = family.kind();
            assert_eq!(check_keys(&set, family.as_ref()).is_ok(), ["cross-encoder", "qwen3"].contains(&kind), "{kind}");
            // The configuration says it where the kind is written, and loading where the checkpoint tells the kind.
            let known = KINDS.iter().find(|known| known.name == kind);
            assert!(known.is_none_or(|known| known.chunks == family.cuts_chunks()), "{kind}");
        }
        let refused = check_keys(&set, &super::Embedding).expect_err("a vector is of all").to_string();
        assert_eq!(
            refused,
            "chunking is for kinds that cut chunks (cross-encoder, qwen3), and this is of kind embedding: take the key out, or raise \
             max-tokens: one vector stands for a whole document"
        );
    }

    #[test]
    fn a_model_that_does_not_load_says_why() {
        assert!(refused(Some("magic"), None, None).starts_with("kind is \"magic\", and the kinds are: auto, cross-encoder, embedding"));
        assert!(refused(None, None, None).contains("source is missing"));
        assert!(refused(Some("embedding"), None, None).contains("set `source`"));

        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.json"), r#"{ "model_type": "whisper" }"#).unwrap();
        assert!(refused(None, Some(&folder), None).contains("no kind of model knows its config.json"));
        assert!(refused(Some("embedding"), Some(&folder), None).contains("a whisper without modules.json is not an embedding model"));
        fs::write(folder.path().join("config.json"), r#"{ "model_type": "bert" }"#).unwrap();
        assert!(refused(None, Some(&folder), None).contains("modules.json and 1_Pooling/config.json are missing"));

        fs::write(folder.path().join("model.safetensors"), "abc").unwrap();
        let other = refused(None, Some(&folder), Some("00"));
        assert!(
            other.contains("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad, and the configuration says 00"),
            "{other}"
        );
        fs::rename(folder.path().join("model.safetensors"), folder.path().join("m.gguf")).unwrap();
        assert_eq!(refused(None, Some(&folder), Some("00")), other, "a GGUF file is hashed too");
        let gguf = refused(None, Some(&folder), None);
        assert!(gguf.contains("m.gguf: it is no GGUF file"), "{gguf}");
        let kind = refused(Some("cross-encoder"), Some(&folder), None);
        assert!(kind.contains("m.gguf is a GGUF file, which a model of the kind cross-encoder is not read from"), "{kind}");
        fs::rename(folder.path().join("m.gguf"), folder.path().join("model.safetensors")).unwrap();
        let right = refused(None, Some(&folder), Some("BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"));
        assert!(right.contains("modules.json and 1_Pooling/config.json are missing"), "{right}");
    }
}
