//! Searches that are explained instead of answered: by the header `Rerank-Dry-Run`, and by `podium explain`.

use serde_json::{Value, json};

use crate::support::{
    answer::Answer,
    app::{self, REVERSE},
    fake_engine::{FakeEngine, Mood, Product},
    http::Call,
};

const MATCH: &str = r#"{"query":{"match":{"title":"shoe red"}}}"#;

fn trusting(rules: &str) -> String {
    rules.replace("window = 50", "window = 50\ntrust-client = true")
}

fn dry_run(body: &str) -> Call {
    Call::search(body).with("rerank-dry-run", "true")
}

async fn told(call: &Call, gateway: &app::Gateway) -> Value {
    let reply = call.send(gateway.address).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/json"), "{}", reply.text());
    serde_json::from_str(&reply.text()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_every_step_of_the_search() {
    let engine = FakeEngine::start(Product::OpenSearch, 60).await;
    let gateway = app::start(&engine, &trusting(REVERSE)).await;
    let told = told(&dry_run(MATCH).query("size=5&from=5"), &gateway).await;
    assert_eq!(told["search"], "/products/_search?size=5&from=5");
    assert_eq!(told["rerank_status"], "reranked; model=\"m\"; window=50; scored=50; cached=0");
    assert_eq!(told["expressions"], json!([{"expression": "products", "rule": 0, "pattern": "products", "passed_over": []}]));
    assert_eq!(told["query_text"], json!({"text": "shoe red", "found_at": "/query/match/title"}));
    assert_eq!(told["window"], json!({"from": 5, "size": 5, "widened": true, "fetched": 50, "ranked": 50}));
    assert_eq!(told["reading"], json!({"names": ["title"], "from": "_source", "added": []}));
    assert_eq!(told["sent"]["target"], "/products/_search");
    assert_eq!(told["model"], json!({"name": "m", "fusion": "replace", "trust": null, "unit": null}));
    assert!(told["times"]["engine_ms"].as_f64() > Some(0.0) && told["times"]["timeout_ms"] == 30_000.0, "{}", told["times"]);
    assert!(told["notes"][0].as_str().unwrap().starts_with("a later page follows"), "{}", told["notes"]);
    let hits = told["hits"].as_array().unwrap();
    let first = &hits[0];
    assert_eq!((hits.len(), &first["id"], &first["rank"], &first["engine_rank"]), (50, &json!("id49"), &json!(1), &json!(50)));
    assert_eq!((&first["text"], &first["engine_score"], &first["rerank_score"]), (&json!("shoe 49"), &json!(13.875), &json!(50.0)));
    assert_eq!(first["fused_score"], first["rerank_score"]);
    // The page that the client would have got is in it.
    let page = Answer::of(&Call::search(MATCH).query("size=5&from=5").send(gateway.address).await);
    let ids: Vec<&str> = hits[5..10].iter().map(|hit| hit["id"].as_str().unwrap()).collect();
    assert_eq!(page.ids(), ids);
    let asked = engine.node.seen();
    assert!(asked.iter().all(|seen| seen.header("rerank-dry-run").is_none()), "the header ends here");
    assert_eq!(engine.bodies()[0], told["sent"]["body"].as_str().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_trust_or_another_value_the_header_is_the_engines() {
    let engine = FakeEngine::start(Product::OpenSearch, 60).await;
    for (rules, value) in [(REVERSE.to_owned(), "true"), (trusting(REVERSE), "no")] {
        let gateway = app::start(&engine, &rules).await;
        let reply = Call::search(MATCH).with("rerank-dry-run", value).send(gateway.address).await;
        assert!(reply.rerank_status().starts_with("reranked"), "{}", reply.rerank_status());
        assert_eq!(Answer::of(&reply).ids()[0], "id49");
        assert_eq!(engine.node.seen().last().unwrap().header("rerank-dry-run"), Some(value));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_would_be_forwarded_says_why_and_what_to_do() {
    let engine = FakeEngine::start(Product::OpenSearch, 60).await;
    let gateway = app::start(&engine, &trusting(REVERSE)).await;
    let told = told(&dry_run(r#"{"query":{"match":{"title":"red"}},"sort":"price"}"#), &gateway).await;
    assert_eq!(told["rerank_status"], "skipped; reason=sorted");
    assert_eq!(told["skipped"]["meaning"], "the client sorts by something else than `_score`");
    assert_eq!(told["skipped"]["remedy"], "nothing: it is the client's wish");
    assert_eq!((&told["failure"], &told["hits"], &told["query_text"]), (&Value::Null, &json!([]), &Value::Null));
    assert_eq!(engine.count(), 0, "there is nothing to ask the engine");
}

#[tokio::test(flavor = "multi_thread")]
async fn hits_without_text_and_errors_of_the_engine_are_told() {
    let engine = FakeEngine::start_with(Mood { keeps_source: false, ..Mood::of(Product::Elasticsearch, 3) }).await;
    let gateway = app::start(&engine, &trusting(REVERSE)).await;
    let silent = told(&dry_run(MATCH), &gateway).await;
    assert_eq!(silent["skipped"]["reason"], "no-text");
    assert_eq!(silent["reading"], json!({"names": ["title"], "from": "fields", "added": ["title"]}), "asked again");
    assert!(silent["notes"][0].as_str().unwrap().starts_with("no hit's `_source` has text"), "{}", silent["notes"]);
    let texts: Vec<&Value> = silent["hits"].as_array().unwrap().iter().map(|hit| &hit["text"]).collect();
    assert_eq!(texts, [&Value::Null; 3]);
    engine.trouble(|_| Some(crate::support::fake_engine::Trouble::Status(503)));
    let broken = told(&dry_run(MATCH), &gateway).await;
    assert_eq!(broken["skipped"]["reason"], "upstream-status");
    assert!(broken["failure"].as_str().unwrap().contains("503"), "{}", broken["failure"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_learnt_from_a_dry_run() {
    let engine = FakeEngine::start(Product::OpenSearch, 60).await;
    let rules = trusting(REVERSE).replace("fake-reverse", "fake-overlap") + "fusion = { kind = \"adaptive\" }\n";
    let gateway = app::start(&engine, &rules).await;
    let trust = |told: &Value| told["model"]["trust"].as_f64().unwrap();
    let start = trust(&told(&dry_run(MATCH), &gateway).await);
    assert_eq!(trust(&told(&dry_run(MATCH), &gateway).await), start);
    Call::search(MATCH).send(gateway.address).await;
    assert_ne!(trust(&told(&dry_run(MATCH), &gateway).await), start, "a search teaches");
}

#[cfg(feature = "demo")]
mod command_line {
    use std::{
        fs,
        io::Write,
        process::{Command, Output, Stdio},
    };

    use serde_json::Value;
    use tempfile::TempDir;
    use unicode_width::UnicodeWidthStr;

    use crate::support::{
        fake_engine::{FakeEngine, Product},
        tiny_model,
    };

    /// A folder with a configuration and the tiny model.
    struct Place {
        folder: TempDir,
        _model: TempDir,
    }

    impl Place {
        fn new(node: &str) -> Self {
            let (folder, model) = (tempfile::tempdir().unwrap(), tiny_model::write());
            let source = model.path().display();
            let text = format!(
                "[upstream]\nnodes = ['http://{node}']\n[models.tiny]\nsource = '{source}'\n[[rules]]\nindex = ['products']\n\
                 model = 'tiny'\nfields = ['title', 'text']\nwindow = 20\ntimeout = '60s'\n"
            );
            fs::write(folder.path().join("podium.toml"), text).unwrap();
            Self { folder, _model: model }
        }

        /// Runs `podium explain` with these arguments and this text on its standard input.
        async fn explain(&self, arguments: &'static [&'static str], input: &'static str) -> Output {
            let folder = self.folder.path().to_owned();
            let run = move || {
                let mut command = Command::new(env!("CARGO_BIN_EXE_podium"));
                command.arg("explain").args(arguments).current_dir(folder);
                let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
                child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
                child.wait_with_output().unwrap()
            };
            tokio::task::spawn_blocking(run).await.unwrap()
        }
    }

    fn text(output: &Output) -> &str {
        str::from_utf8(&output.stdout).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn people_get_a_table_of_80_columns() {
        let engine = FakeEngine::start(Product::OpenSearch, 30).await;
        let place = Place::new(&engine.node.address.to_string());
        let output = place.explain(&["--index", "products", "--query", "red shoe", "--size", "3"], "").await;
        let shown = text(&output);
        assert_eq!((output.status.code(), str::from_utf8(&output.stderr).unwrap()), (Some(0), ""), "{shown}");
        for line in [
            "search     /products/_search?size=3\n",
            "rule       products: rules[0], by its pattern products\n",
            "query      “red shoe”, found at /query/multi_match/query\n",
            "window     20 hits are fetched, 20 may move; the page is 1 to 3\n",
            "reading    title, text from _source\n",
            "status     reranked; model=\"tiny\"; window=20; scored=20; cached=0; trust=0.44\n",
        ] {
            assert!(shown.contains(line), "{line}{shown}");
        }
        let rows: Vec<&str> = shown.lines().skip_while(|line| !line.starts_with(" now  was")).collect();
        assert_eq!(rows.len(), 4, "the page under its heads: {shown}");
        assert!(rows[1].starts_with("   1 ") && rows[1].contains(" id") && rows[1].contains("shoe "), "{}", rows[1]);
        let widest = shown.lines().map(UnicodeWidthStr::width).max();
        assert!(widest <= Some(80) && !shown.contains('\u{1b}'), "{widest:?} {shown}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn programs_get_json_and_reasons_are_no_failure() {
        let engine = FakeEngine::start(Product::Elasticsearch, 30).await;
        let place = Place::new(&engine.node.address.to_string());
        let output = place.explain(&["--index", "products", "--url-query", "q=title:shoe", "--json"], "").await;
        let told: Value = serde_json::from_str(text(&output)).unwrap();
        assert_eq!(
            (output.status.code(), &told["query_text"]["text"], &told["query_text"]["found_at"]),
            (Some(0), &"shoe".into(), &"?q".into())
        );
        assert_eq!(told["hits"].as_array().unwrap().len(), 20);
        let sorted = r#"{"query":{"match":{"title":"red"}},"sort":"price"}"#;
        let forwarded = place.explain(&["--index", "products", "--body", "-"], sorted).await;
        assert_eq!(forwarded.status.code(), Some(0));
        let why = "status     skipped; reason=sorted\nwhy        the client sorts by something else";
        assert!(text(&forwarded).contains(why), "{}", text(&forwarded));
        let without_rule = place.explain(&["--index", "other", "--query", "x"], "").await;
        assert_eq!(without_rule.status.code(), Some(0));
        let reason = "rule       other: none\nstatus     skipped; reason=no-rule\n";
        assert!(text(&without_rule).contains(reason), "{}", text(&without_rule));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_cluster_or_a_model_that_is_not_there_is_a_failure() {
        let place = Place::new("127.0.0.1:1");
        let no_cluster = place.explain(&["--index", "products", "--query", "x"], "").await;
        assert_eq!(no_cluster.status.code(), Some(1));
        assert!(text(&no_cluster).contains("failed     could not connect to the cluster"), "{}", text(&no_cluster));
        let config = place.folder.path().join("podium.toml");
        let without = fs::read_to_string(&config).unwrap().replace("source = '", "source = './nowhere");
        fs::write(&config, without).unwrap();
        let no_model = place.explain(&["--index", "products", "--query", "x"], "").await;
        assert_eq!(no_model.status.code(), Some(1));
        assert!(text(&no_model).contains("failed     model tiny: "), "{}", text(&no_model));
    }
}
