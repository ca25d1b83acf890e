//! Copies of the fixtures that a test may change, and the models that they load as.

use std::{collections::HashMap, fs, path::Path, sync::Arc};

use candle_core::{Device, Tensor, safetensors};
use rerank_plugin::{
    Family, Fault, Folder, LoadError, LoadOptions, Loaded, Pair, Preparer, Query, Score, Scorer, Silent, Source, Stop,
    testing::{MapStore, conformance::document},
};
use rerank_qwen3::Qwen3;
use serde_json::Value;
use tempfile::TempDir;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
const WEIGHTS: &str = "model.safetensors";

/// A folder with a checkpoint.
pub(crate) struct Tiny(TempDir);

/// The tiny model, loaded.
pub(crate) struct Model {
    pub(crate) preparer: Arc<dyn Preparer>,
    pub(crate) worker: Box<dyn Scorer>,
}

// === impl Tiny ===

impl Tiny {
    /// Copies the fixture `tied` or `untied`.
    pub(crate) fn copy(name: &str) -> Self {
        let tiny = Self(tempfile::tempdir().unwrap());
        for file in ["config.json", "tokenizer.json", WEIGHTS] {
            fs::copy(format!("{FIXTURES}/{name}/{file}"), tiny.path().join(file)).unwrap();
        }
        tiny
    }

    /// Returns the reference's scores.
    pub(crate) fn expected(name: &str) -> Value {
        serde_json::from_slice(&fs::read(format!("{FIXTURES}/{name}/expected.json")).unwrap()).unwrap()
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn folder(&self) -> Folder {
        Folder::open(self.path()).unwrap()
    }

    pub(crate) fn put(&self, name: &str, value: &Value) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, serde_json::to_vec(value).unwrap()).unwrap();
    }

    /// Changes one JSON file.
    pub(crate) fn edit(&self, name: &str, edit: impl FnOnce(&mut Value)) {
        let mut value = serde_json::from_slice(&fs::read(self.path().join(name)).unwrap()).unwrap();
        edit(&mut value);
        self.put(name, &value);
    }

    pub(crate) fn set(&self, key: &str, value: Value) {
        self.edit("config.json", |config| config[key] = value);
    }

    pub(crate) fn weights(&self) -> HashMap<String, Tensor> {
        safetensors::load(self.path().join(WEIGHTS), &Device::Cpu).unwrap()
    }

    /// Changes the tensors.
    pub(crate) fn change(&self, change: impl FnOnce(&mut HashMap<String, Tensor>)) {
        let mut weights = self.weights();
        change(&mut weights);
        safetensors::save(&weights, self.path().join(WEIGHTS)).unwrap();
    }

    /// Splits the tensors over two files with an index.
    pub(crate) fn shard(&self) {
        let weights = self.weights();
        let half = |odd: bool| weights.iter().enumerate().filter(move |(number, _)| (number % 2 == 1) == odd).map(|(_, entry)| entry);
        let mut map = serde_json::Map::new();
        for (file, odd) in [("model-00001-of-00002.safetensors", false), ("model-00002-of-00002.safetensors", true)] {
            let part: HashMap<String, Tensor> = half(odd).map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
            map.extend(part.keys().map(|name| (name.clone(), file.into())));
            safetensors::save(&part, self.path().join(file)).unwrap();
        }
        fs::remove_file(self.path().join(WEIGHTS)).unwrap();
        self.put("model.safetensors.index.json", &serde_json::json!({ "metadata": {}, "weight_map": map }));
    }

    pub(crate) fn try_load(&self, set: impl FnOnce(&mut LoadOptions)) -> Result<Loaded, LoadError> {
        let mut options = LoadOptions::new(Arc::new(MapStore::default()));
        set(&mut options);
        Qwen3.load(&Source::Folder(self.folder()), &options, &Silent)
    }

    pub(crate) fn load(&self, set: impl FnOnce(&mut LoadOptions)) -> Model {
        let Loaded::Local { preparer, mut workers } = self.try_load(set).unwrap() else { panic!("it runs here") };
        Model { preparer, worker: workers.remove(0) }
    }

    /// Returns what the load is refused with.
    pub(crate) fn error(&self) -> String {
        self.try_load(|_| {}).err().expect("the load is refused").to_string()
    }
}

// === impl Model ===

impl Model {
    pub(crate) fn results(&mut self, query: &Query, documents: &[&str]) -> Vec<Result<Score, Fault>> {
        let query = self.preparer.query(query).unwrap();
        let documents: Vec<_> = documents.iter().map(|text| self.preparer.document(&query, &document(text)).unwrap()).collect();
        let stop = Stop::default();
        let state = self.worker.begin(&[&query], &stop).remove(0).unwrap();
        let batch: Vec<Pair<'_>> = documents.iter().map(|document| Pair { state, document, stop: &stop }).collect();
        let results = self.worker.score(&batch);
        self.worker.end(state);
        results
    }

    pub(crate) fn scores(&mut self, query: &Query, documents: &[&str]) -> Vec<Score> {
        self.results(query, documents).into_iter().map(Result::unwrap).collect()
    }
}
