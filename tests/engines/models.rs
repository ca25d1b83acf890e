//! Checkpoints of every family before real engines, each named by its `source` alone: `podium check` takes it, `podium serve` orders an
//! engine's hits as the model itself does, and `podium explain` tells of it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use podium::{
    app,
    config::{self, Config, Environment},
    models,
};
use rerank_plugin::{
    Loaded, Pair, Silent, Stop,
    testing::conformance::{document, query},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::rig::{
    engines::{Engine, on_each, say},
    gateway::{Gateway, status_of},
    http::Reply,
};

/// Every checkpoint: the alias of the index that it ranks, the kind that is to be found out, and its folder (or file) beside this repository's files.
const CHECKPOINTS: [(&str, &str, &str); 19] = [
    ("bert", "cross-encoder", "plugins/rerank-cross-encoder/tests/fixtures/bert"),
    ("xlmr", "cross-encoder", "plugins/rerank-cross-encoder/tests/fixtures/xlmr"),
    ("modernbert", "cross-encoder", "plugins/rerank-cross-encoder/tests/fixtures/modernbert"),
    ("debertav2", "cross-encoder", "plugins/rerank-cross-encoder/tests/fixtures/debertav2"),
    ("debertav3", "cross-encoder", "plugins/rerank-cross-encoder/tests/fixtures/debertav3"),
    ("qwen3-tied", "qwen3", "plugins/rerank-qwen3/tests/fixtures/tied"),
    ("qwen3-untied", "qwen3", "plugins/rerank-qwen3/tests/fixtures/untied"),
    ("gguf-q8", "qwen3", "plugins/rerank-qwen3/tests/fixtures/gguf-q8_0"),
    ("gguf-q4", "qwen3", "plugins/rerank-qwen3/tests/fixtures/gguf-q4_k_m/model.gguf"),
    ("gguf-rank", "qwen3", "plugins/rerank-qwen3/tests/fixtures/gguf-rank"),
    ("bert-cls", "embedding", "plugins/rerank-embedding/tests/fixtures/bert-cls"),
    ("modernbert-mean", "embedding", "plugins/rerank-embedding/tests/fixtures/modernbert-mean"),
    ("qwen3-last", "embedding", "plugins/rerank-embedding/tests/fixtures/qwen3-last"),
    ("xlmr-mean", "embedding", "plugins/rerank-embedding/tests/fixtures/xlmr-mean"),
    ("shared-bert", "cross-encoder", "../shared/parity/out/bert-cross-tiny"),
    ("shared-modernbert", "cross-encoder", "../shared/parity/out/modernbert-cross-tiny"),
    ("shared-xlmr", "cross-encoder", "../shared/parity/out/xlmr-cross-tiny"),
    ("shared-qwen3", "qwen3", "../shared/parity/out/qwen3-reranker-tiny"),
    ("shared-qwen3-untied", "qwen3", "../shared/parity/out/qwen3-reranker-tiny-untied"),
];
const INDEX: &str = "checkpoints";
const DOCUMENTS: usize = 20;
const PAGE: usize = 5;
const QUERY: &str = "what is the capital of china";
/// How far a served score may be from the model's own.
const TOLERANCE: f64 = 1e-5;

/// A checkpoint that is there.
struct Checkpoint {
    alias: &'static str,
    kind: &'static str,
    source: PathBuf,
    /// What the model itself says of each document.
    scores: BTreeMap<String, f64>,
}

/// Returns a document's title: the fixtures' tokenizers know few words.
fn title(number: usize) -> String {
    const WORDS: [&str; 7] = ["Beijing", "gravity", "bodies", "bartenders", "make", "sales", "china"];
    let words: Vec<&str> = (0..number % 6 + 1).map(|place| WORDS[(number * 3 + place * (number / 7 + 1)) % WORDS.len()]).collect();
    format!("{number} the capital {}", words.join(" "))
}

fn id(number: usize) -> String {
    format!("id{number}")
}

/// The models, each in a rule for the index under its own name.
fn models_and_rules(checkpoints: &[Checkpoint]) -> String {
    let mut text = format!(
        "[defaults]\nfields = ['title']\nwindow = {DOCUMENTS}\nfusion = {{ kind = 'replace' }}\ntimeout = '60s'\ntotal-timeout = '60s'\n"
    );
    for Checkpoint { alias, source, .. } in checkpoints {
        text.push_str(&format!(
            "[models.{alias}]\nsource = '{}'\n[[rules]]\nindex = ['{INDEX}-{alias}']\nmodel = '{alias}'\n",
            source.display()
        ));
    }
    text
}

/// Returns those that are there, scored by their models directly: one pair at a time, without a gateway.
fn checkpoints() -> Vec<Checkpoint> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let has_shared = root.join("../shared").exists();
    if !has_shared {
        say("skipped: no ../shared");
    }
    let there = CHECKPOINTS.into_iter().filter(|(.., folder)| has_shared || !folder.starts_with("../shared"));
    let mut all: Vec<Checkpoint> =
        there.map(|(alias, kind, folder)| Checkpoint { alias, kind, source: root.join(folder), scores: BTreeMap::new() }).collect();
    let rest = models_and_rules(&all);
    let (_folder, config) = written("127.0.0.1:1", &rest);
    let config = config::load(&config).expect("a good file");
    for checkpoint in &mut all {
        checkpoint.scores = scores(&config, checkpoint.alias);
    }
    all
}

fn scores(config: &Config, alias: &str) -> BTreeMap<String, f64> {
    let surroundings = app::surroundings(config, Environment::read(), Arc::new(Silent));
    let loaded = models::load(&config.models[alias], &surroundings).expect("the fixture loads");
    let Loaded::Local { preparer, mut workers } = loaded else { panic!("it runs here") };
    let asked = preparer.query(&query(QUERY)).expect("a query");
    let stop = Stop::default();
    let state = workers[0].begin(&[&asked], &stop).remove(0).expect("a state");
    (0..DOCUMENTS)
        .map(|number| {
            let prepared = preparer.document(&asked, &document(&title(number))).expect("a document");
            let score = workers[0].score(&[Pair { state, document: &prepared, stop: &stop }]).remove(0).expect("a score");
            (id(number), f64::from(score.presented()))
        })
        .collect()
}

fn written(upstream: &str, rest: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("podium.toml");
    fs::write(&file, format!("[upstream]\nnodes = ['http://{upstream}']\n{rest}")).expect("a file in a new folder");
    (folder, file)
}

/// Runs `podium`, which must succeed, and returns the JSON that it prints.
fn podium(config: &Path, arguments: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podium"));
    let output = command.args(arguments).arg("--json").arg("--config").arg(config).output().expect("the built binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said} {}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {said}"))
}

fn fill(engine: &Engine, checkpoints: &[Checkpoint]) {
    let aliases: serde_json::Map<String, Value> =
        checkpoints.iter().map(|checkpoint| (format!("{INDEX}-{}", checkpoint.alias), json!({}))).collect();
    let definition = json!({
        "settings": { "number_of_shards": 1, "number_of_replicas": 0 },
        "mappings": { "properties": { "title": { "type": "text" } } },
        "aliases": aliases,
    });
    let ids: Vec<String> = (0..DOCUMENTS).map(id).collect();
    let documents = ids.iter().enumerate().map(|(number, id)| (id.as_str(), json!({ "title": title(number) }).to_string()));
    engine.fill(INDEX, &definition.to_string(), documents);
}

/// Looks at what `podium check` says of every model and every rule.
fn check(file: &Path, checkpoints: &[Checkpoint]) {
    let report = podium(file, &["check"]);
    for (number, Checkpoint { alias, kind, .. }) in checkpoints.iter().enumerate() {
        let models = report["models"].as_array().expect("models");
        let model = models.iter().find(|model| model["name"] == *alias).unwrap_or_else(|| panic!("{alias}: {report}"));
        let says = model["says"].as_str().expect("words");
        assert!(model["loaded"] == true && says.starts_with(&format!("{kind}, ")), "{alias}: {model}");
        let rule = &report["rules"][number];
        assert!(rule["with_text"] == 16 && rule["cold_ms"].is_f64() && rule["warnings"] == json!([]), "{alias}: {rule}");
    }
}

/// Returns the hits by their ids, without what a reranker changes.
fn hits_of(reply: &Reply) -> BTreeMap<String, Value> {
    let bare = |mut hit: Value| {
        let id = hit["_id"].as_str().expect("an id").to_owned();
        hit["_score"].take();
        (id, hit)
    };
    reply.hits().into_iter().map(bare).collect()
}

/// Compares what is served with what the engine has and what the model says.
fn compare(checkpoint: &Checkpoint, direct: &Reply, reply: &Reply) {
    let Checkpoint { alias, scores, .. } = checkpoint;
    assert_eq!(hits_of(reply), hits_of(direct), "{alias}: the same hits");
    let (all, engines) = (reply.json(), direct.json());
    assert_eq!(all["hits"]["total"], engines["hits"]["total"], "{alias}");
    let ids = reply.ids();
    assert_eq!(ids.len(), DOCUMENTS, "{alias}");
    assert!(ids.windows(2).all(|two| scores[&two[0]] >= scores[&two[1]] - TOLERANCE), "{alias}: {ids:?} by {scores:?}");
    for hit in reply.hits() {
        let (id, found) = (hit["_id"].as_str().expect("an id"), hit["_score"].as_f64().expect("a score"));
        assert!((found - scores[id]).abs() < TOLERANCE, "{alias}: {id}: {found}, and the model says {}", scores[id]);
    }
    assert_ne!(ids, direct.ids(), "{alias}: the engine's order is not the model's");
}

fn serve(engine: &Engine, checkpoints: &[Checkpoint], rest: &str) {
    let gateway = Gateway::start(engine, rest);
    let search = |size: usize| json!({ "query": { "match": { "title": QUERY } }, "size": size });
    for checkpoint in checkpoints {
        let alias = checkpoint.alias;
        let target = format!("/{INDEX}-{alias}/_search");
        let direct = engine.call("POST", &target, &search(DOCUMENTS).to_string());
        let reply = gateway.reranked(&target, &search(DOCUMENTS));
        let expected = format!("reranked; model=\"{alias}\"; window={DOCUMENTS}; scored={DOCUMENTS}; cached=");
        assert!(status_of(&reply).starts_with(&expected), "{alias}: {}", status_of(&reply));
        compare(checkpoint, &direct, &reply);
        let page = gateway.reranked(&target, &search(PAGE));
        assert_eq!(page.ids(), reply.ids()[..PAGE], "{alias}: a page is the beginning of the whole");
    }
}

fn explain(file: &Path, checkpoints: &[Checkpoint]) {
    for Checkpoint { alias, scores, .. } in checkpoints {
        let told = podium(file, &["explain", "--index", &format!("{INDEX}-{alias}"), "--query", QUERY]);
        let hits = told["hits"].as_array().expect("hits");
        assert_eq!(hits.len(), DOCUMENTS, "{alias}: {told}");
        for hit in hits {
            let (id, found) = (hit["id"].as_str().expect("an id"), hit["score"].as_f64().expect("a score"));
            assert!((found - scores[id]).abs() < TOLERANCE, "{alias}: {id}: {hit}");
        }
    }
}

#[test]
fn every_family_is_checked_served_and_explained_by_its_source_alone() {
    let checkpoints = checkpoints();
    on_each(|engine| {
        fill(engine, &checkpoints);
        let rest = models_and_rules(&checkpoints);
        let (_folder, file) = written(&engine.address.to_string(), &rest);
        check(&file, &checkpoints);
        serve(engine, &checkpoints, &rest);
        explain(&file, &checkpoints);
        say(&format!(
            "{:?}: {} checkpoints, each by its source alone, order the hits as their models do",
            engine.product,
            checkpoints.len()
        ));
    });
}
