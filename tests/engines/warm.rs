//! `podium warm` on real engines: it reads every document once, and what it computes is what searches look for.

use std::{fs, process::Command};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::rig::{
    engines::{Engine, on_each, say},
    gateway::{Gateway, status_of},
};

/// A BERT of three layers that makes vectors.
const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/plugins/rerank-embedding/tests/fixtures/bert-cls");
const DOCUMENTS: usize = 230;
const WINDOW: usize = 50;

/// A folder with a configuration and a file of vectors.
struct Rig {
    folder: TempDir,
    rest: String,
}

// === impl Rig ===

impl Rig {
    fn new(engine: &Engine, index: &str, fields: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("vectors.bin");
        let rest = format!(
            "[cache]\nvectors-file = '{}'\n[models.m]\nsource = '{MODEL}'\n[[rules]]\nindex = ['{index}']\nmodel = 'm'\nfields = {fields}\n\
             window = {WINDOW}\nfusion = {{ kind = 'replace' }}\ntimeout = '60s'\ntotal-timeout = '60s'\n",
            file.display()
        );
        let text = format!("[upstream]\nnodes = ['http://{}']\n{rest}", engine.address);
        fs::write(folder.path().join("podium.toml"), text).expect("a file in a new folder");
        Self { folder, rest }
    }

    fn warm(&self, index: &str, more: &[&str]) -> Value {
        let arguments = [&["warm", "--index", index, "--json"], more].concat();
        let output = Command::new(env!("CARGO_BIN_EXE_podium"))
            .args(arguments)
            .current_dir(self.folder.path())
            .output()
            .expect("the built binary runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
        assert_eq!(report["finished"], true, "{report}");
        report
    }
}

fn fill(engine: &Engine, index: &str) {
    let definition = r#"{"settings":{"number_of_shards":3,"number_of_replicas":0},"mappings":{"properties":{
        "title":{"type":"text"},"n":{"type":"nested","properties":{"t":{"type":"text"}}},"price":{"type":"double"},"rank":{"type":"long"}}}}"#;
    let ids: Vec<String> = (0..DOCUMENTS).map(|number| format!("id{number}")).collect();
    let documents = ids.iter().enumerate().map(|(number, id)| {
        let title = format!(r#"["shoe {number}", "caf\u00e9 \"{number}\" <b>"]"#);
        (id.as_str(), format!(r#"{{"title":{title},"n":[{{"t":"one {number}"}},{{"t":"two"}}],"price":{number}.50,"rank":{number}}}"#))
    });
    engine.fill(index, definition, documents);
}

fn counted(report: &Value) -> Value {
    json!(["documents", "computed", "known", "alike", "without_text", "refused"].map(|key| report[key].clone()))
}

#[test]
fn after_a_warm_up_the_first_search_finds_every_vector() {
    on_each(|engine| {
        let index = "warmed";
        fill(engine, index);
        // Nested values come in the order of their objects, and numbers as they were indexed: through `_source` and from a part of it alike.
        for (fields, more) in [("['title', 'n.t', 'rank']", &[][..]), ("['title', 'price']", &["--slices", "4"])] {
            let rig = Rig::new(engine, index, fields);
            assert_eq!(counted(&rig.warm(index, more)), json!([DOCUMENTS, DOCUMENTS, 0, 0, 0, 0]), "{:?} {fields}", engine.product);
            let gateway = Gateway::start(engine, &rig.rest);
            let reply = gateway.reranked(&format!("/{index}/_search"), &json!({"query":{"match":{"title":"shoe"}}}));
            let expected = format!("reranked; model=\"m\"; window={WINDOW}; scored={WINDOW}; cached={WINDOW}");
            assert_eq!(status_of(&reply), expected, "{:?} {fields}", engine.product);
            assert_eq!(counted(&rig.warm(index, &[])), json!([DOCUMENTS, 0, DOCUMENTS, 0, 0, 0]), "nothing is computed twice");
        }
        say(&format!("{:?}: {DOCUMENTS} documents in 3 shards were read once each, as one part and as four", engine.product));
    });
}

#[test]
fn texts_that_searches_read_through_fields_are_the_same_texts() {
    on_each(|engine| {
        let index = "warmed-fields";
        fill(engine, index);
        let rig = Rig::new(engine, index, "['title', 'rank']");
        rig.warm(index, &[]);
        let gateway = Gateway::start(engine, &rig.rest);
        let reply = gateway.reranked(&format!("/{index}/_search"), &json!({"query":{"match":{"title":"shoe"}},"_source":false}));
        assert!(status_of(&reply).ends_with(&format!("cached={WINDOW}")), "{:?}: {}", engine.product, status_of(&reply));
    });
}
