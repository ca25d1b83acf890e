//! The fixtures, and copies of them that a test may change.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use candle_core::{Device, Tensor, safetensors};
use rerank_embedding::Embedding;
use rerank_plugin::{
    Detection, Document, Family, Folder, LoadError, LoadOptions, Loaded, Pair, Prepared, PreparedQuery, Query, Silent, Source, Stop,
    testing::{
        MapStore,
        conformance::{document, query},
    },
};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use crate::tiny::Model;

/// One of each body.
pub(crate) const ALL: [&str; 4] = ["xlmr-mean", "bert-cls", "modernbert-mean", "qwen3-last"];

/// What the reference says.
#[derive(Deserialize)]
pub(crate) struct Reference {
    pub(crate) documents: Vec<String>,
    pub(crate) cases: Vec<Case>,
}

/// One query and the documents.
#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) query: String,
    pub(crate) instruction: Option<String>,
    pub(crate) dimensions: Option<u32>,
    pub(crate) query_ids: Vec<u32>,
    pub(crate) document_ids: Vec<Vec<u32>>,
    pub(crate) cosines: Vec<f32>,
}

/// A copy of a fixture.
pub(crate) struct Changed(TempDir);

pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

pub(crate) fn reference(name: &str) -> Reference {
    let reference: Reference = serde_json::from_slice(&fs::read(path(name).join("expected.json")).unwrap()).unwrap();
    assert!(reference.cases.len() >= 3 && reference.documents.len() == 5, "{name}");
    reference
}

pub(crate) fn try_load(folder: &Path, set: impl FnOnce(&mut LoadOptions)) -> Result<(Loaded, Arc<MapStore>), LoadError> {
    let store = Arc::new(MapStore::default());
    let mut options = LoadOptions::new(store.clone());
    set(&mut options);
    Ok((Embedding.load(&Source::Folder(Folder::open(folder)?), &options, &Silent)?, store))
}

pub(crate) fn load(folder: &Path, set: impl FnOnce(&mut LoadOptions)) -> Model {
    let (Loaded::Local { preparer, mut workers }, store) = try_load(folder, set).unwrap() else { panic!("embeddings are local") };
    Model { preparer, worker: workers.remove(0), store }
}

/// The words of a load that fails.
pub(crate) fn refusal(folder: &Path) -> String {
    try_load(folder, |_| {}).err().expect("the load is refused").to_string()
}

pub(crate) fn detect(folder: &Path) -> Detection {
    Embedding.detect(&Folder::open(folder).unwrap())
}

/// A query with an instruction.
pub(crate) fn asked(text: &str, instruction: Option<&str>) -> Query {
    let digest = query(&format!("{text}{instruction:?}")).digest;
    Query { instruction: instruction.map(Arc::from), digest, ..query(text) }
}

// === impl Case ===

impl Case {
    pub(crate) fn asked(&self) -> Query {
        asked(&self.query, self.instruction.as_deref())
    }
}

// === impl Model ===

impl Model {
    /// Cosines of a query and documents, all in one batch.
    pub(crate) fn cosines(&mut self, wanted: &Query, texts: &[String]) -> Vec<f32> {
        let stop = Stop::default();
        let prepared = self.preparer.query(wanted).unwrap();
        let of = |text: &String| self.preparer.document(&prepared, &document(text)).unwrap();
        let documents: Vec<Prepared> = texts.iter().map(of).collect();
        let state = self.worker.begin(&[&prepared], &stop).remove(0).unwrap();
        let batch: Vec<Pair<'_>> = documents.iter().map(|document| Pair { state, document, stop: &stop }).collect();
        let scores = self.worker.score(&batch);
        self.worker.end(state);
        scores.into_iter().map(|score| score.unwrap().order()).collect()
    }

    /// How many tokens a query has.
    pub(crate) fn query_cost(&self, wanted: &Query) -> u32 {
        self.preparer.query(wanted).unwrap().cost()
    }

    /// How many tokens a document has.
    pub(crate) fn document_cost(&self, wanted: &Document) -> u32 {
        self.preparer.document(&PreparedQuery::new(0, ()), wanted).unwrap().cost()
    }
}

// === impl Changed ===

impl Changed {
    pub(crate) fn copy(name: &str) -> Self {
        let copy = Self(tempfile::tempdir().unwrap());
        fs::create_dir(copy.path().join("1_Pooling")).unwrap();
        for file in [
            "config.json",
            "tokenizer.json",
            "model.safetensors",
            "modules.json",
            "1_Pooling/config.json",
            "config_sentence_transformers.json",
            "sentence_bert_config.json",
        ] {
            fs::write(copy.path().join(file), fs::read(path(name).join(file)).unwrap()).unwrap();
        }
        copy
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes another value into a file; null takes the key out.
    pub(crate) fn set(&self, file: &str, key: &str, value: Value) -> &Self {
        let mut all: Value = serde_json::from_slice(&fs::read(self.path().join(file)).unwrap()).unwrap();
        let entries = all.as_object_mut().unwrap();
        if value.is_null() {
            entries.remove(key)
        } else {
            entries.insert(key.into(), value)
        };
        fs::write(self.path().join(file), serde_json::to_vec(&all).unwrap()).unwrap();
        self
    }

    /// Puts a name before those of all tensors.
    pub(crate) fn below(&self, prefix: &str) -> &Self {
        let tensors = safetensors::load(self.path().join("model.safetensors"), &Device::Cpu).unwrap();
        let tensors = tensors.into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)).collect();
        safetensors::save(&tensors, self.path().join("model.safetensors")).unwrap();
        self
    }

    /// Keeps the first rows of a tensor.
    pub(crate) fn cut_rows(&self, name: &str, rows: usize) -> &Self {
        let mut tensors = safetensors::load(self.path().join("model.safetensors"), &Device::Cpu).unwrap();
        let cut = tensors[name].narrow(0, 0, rows).unwrap().contiguous().unwrap();
        tensors.insert(name.into(), cut);
        safetensors::save(&tensors, self.path().join("model.safetensors")).unwrap();
        self
    }

    /// Puts a tensor of ones into the weights.
    pub(crate) fn tensor(&self, name: &str, dimensions: &[usize]) -> &Self {
        let mut tensors = safetensors::load(self.path().join("model.safetensors"), &Device::Cpu).unwrap();
        tensors.insert(name.into(), Tensor::ones(dimensions, candle_core::DType::F32, &Device::Cpu).unwrap());
        safetensors::save(&tensors, self.path().join("model.safetensors")).unwrap();
        self
    }
}
