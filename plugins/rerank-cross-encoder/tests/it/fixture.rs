//! The fixtures, and copies of them that a test may change. The scripts in `tests/fixtures` wrote them.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use candle_core::{Device, Tensor, safetensors};
use rerank_cross_encoder::CrossEncoder;
use rerank_plugin::{
    Detection, Family, Fault, Folder, LoadError, LoadOptions, Loaded, Pair, Preparer, Score, Scorer, Silent, Source, Stop,
    testing::{
        MapStore,
        conformance::{document, query},
    },
};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

/// One of each family.
pub(crate) const ALL: [&str; 5] = ["bert", "xlmr", "modernbert", "debertav3", "debertav2"];

/// What the reference says of one pair.
#[derive(Deserialize)]
pub(crate) struct Expected {
    pub(crate) query: String,
    pub(crate) document: String,
    pub(crate) input_ids: Vec<u32>,
    pub(crate) logit: f32,
    pub(crate) score: f32,
}

/// What the reference says of all pairs when `config.json` says something else.
#[derive(Deserialize)]
pub(crate) struct Variant {
    pub(crate) config: HashMap<String, Value>,
    pub(crate) logits: Vec<f32>,
}

#[derive(Deserialize)]
struct Reference {
    pairs: Vec<Expected>,
    #[serde(default)]
    variants: Vec<Variant>,
}

/// A loaded model.
pub(crate) struct Model {
    pub(crate) preparer: Arc<dyn Preparer>,
    pub(crate) worker: Box<dyn Scorer>,
}

/// A copy of a fixture.
pub(crate) struct Changed(TempDir);

pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn reference(name: &str) -> Reference {
    serde_json::from_slice(&fs::read(path(name).join("expected.json")).unwrap()).unwrap()
}

pub(crate) fn expected(name: &str) -> Vec<Expected> {
    let pairs = reference(name).pairs;
    assert_eq!(pairs.len(), 6);
    pairs
}

pub(crate) fn variants(name: &str) -> Vec<Variant> {
    reference(name).variants
}

pub(crate) fn try_load(folder: &Path, set: impl FnOnce(&mut LoadOptions)) -> Result<Loaded, LoadError> {
    let mut options = LoadOptions::new(Arc::new(MapStore::default()));
    set(&mut options);
    CrossEncoder.load(&Source::Folder(Folder::open(folder)?), &options, &Silent)
}

pub(crate) fn load(folder: &Path, set: impl FnOnce(&mut LoadOptions)) -> Model {
    let Loaded::Local { preparer, mut workers } = try_load(folder, set).unwrap() else { panic!("cross-encoders are local") };
    Model { preparer, worker: workers.remove(0) }
}

/// The words of a load that fails.
pub(crate) fn refusal(folder: &Path) -> String {
    try_load(folder, |_| {}).err().expect("the load is refused").to_string()
}

pub(crate) fn detect(folder: &Path) -> Detection {
    CrossEncoder.detect(&Folder::open(folder).unwrap())
}

// === impl Model ===

impl Model {
    /// Scores pairs of a query and a document in one batch.
    pub(crate) fn try_scores(&mut self, pairs: &[(&str, &str)]) -> Vec<Result<Score, Fault>> {
        let stop = Stop::default();
        let prepare = |(asked, wanted): &(&str, &str)| {
            let asked = self.preparer.query(&query(asked)).unwrap();
            let wanted = self.preparer.document(&asked, &document(wanted)).unwrap();
            (asked, wanted)
        };
        let prepared: Vec<_> = pairs.iter().map(prepare).collect();
        let begun = |asked| self.worker.begin(&[asked], &stop).remove(0).unwrap();
        let states: Vec<_> = prepared.iter().map(|(asked, _)| asked).map(begun).collect();
        let batch: Vec<Pair<'_>> =
            states.iter().zip(&prepared).map(|(state, (_, document))| Pair { state: *state, document, stop: &stop }).collect();
        self.worker.score(&batch)
    }

    pub(crate) fn scores(&mut self, pairs: &[(&str, &str)]) -> Vec<Score> {
        self.try_scores(pairs).into_iter().map(Result::unwrap).collect()
    }

    pub(crate) fn score(&mut self, asked: &str, wanted: &str) -> f32 {
        self.scores(&[(asked, wanted)])[0].order()
    }

    /// How many tokens a pair has.
    pub(crate) fn cost(&self, asked: &str, wanted: &str) -> u32 {
        let asked = self.preparer.query(&query(asked)).unwrap();
        self.preparer.document(&asked, &document(wanted)).unwrap().cost()
    }
}

// === impl Changed ===

impl Changed {
    pub(crate) fn copy(name: &str) -> Self {
        let copy = Self(tempfile::tempdir().unwrap());
        for file in ["config.json", "tokenizer.json", "model.safetensors"] {
            fs::write(copy.path().join(file), fs::read(path(name).join(file)).unwrap()).unwrap();
        }
        copy
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn put(&self, name: &str, value: &Value) {
        fs::write(self.path().join(name), serde_json::to_vec(value).unwrap()).unwrap();
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path().join(name)).unwrap()).unwrap()
    }

    /// Writes another value into `config.json`; null takes the key out.
    pub(crate) fn config(&self, key: &str, value: Value) -> &Self {
        let mut config = self.json("config.json");
        let entries = config.as_object_mut().unwrap();
        if value.is_null() {
            entries.remove(key)
        } else {
            entries.insert(key.into(), value)
        };
        self.put("config.json", &config);
        self
    }

    pub(crate) fn tensors(&self) -> HashMap<String, Tensor> {
        safetensors::load(self.path().join("model.safetensors"), &Device::Cpu).unwrap()
    }

    pub(crate) fn write(&self, tensors: &HashMap<String, Tensor>) {
        safetensors::save(tensors, self.path().join("model.safetensors")).unwrap();
    }

    /// Puts a tensor into the weights, or takes it out.
    pub(crate) fn tensor(&self, name: &str, tensor: Option<Tensor>) -> &Self {
        let mut tensors = self.tensors();
        match tensor {
            Some(tensor) => tensors.insert(name.into(), tensor),
            None => tensors.remove(name),
        };
        self.write(&tensors);
        self
    }
}
