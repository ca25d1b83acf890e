//! `podium warm`: the binary reads an index that a fake cluster has, and a gateway begins with what it computed.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::Duration,
};

use podium::models;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    app,
    fake_engine::{PRODUCTS, Product},
    fake_index::FakeIndex,
    fake_upstream::Act,
    http::Call,
    soon, until,
};

/// A BERT of three layers that makes vectors.
const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/plugins/rerank-embedding/tests/fixtures/bert-cls");
const CROSS_ENCODER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/plugins/rerank-cross-encoder/tests/fixtures/bert");
const WINDOW: usize = 20;

/// A folder with a configuration, and a file of vectors one day.
struct Rig {
    folder: TempDir,
    node: SocketAddr,
}

/// Documents that are easily read in a wrong way: escapes, several values, a fraction, texts that are alike, none at all.
fn documents(count: usize, fields: &str) -> Vec<String> {
    let price = |number: usize| if fields.contains("price") { format!(r#","price":{number}.50"#) } else { String::new() };
    let document = |number: usize| match number % 10 {
        7 => r#"{"brand":"of nothing"}"#.to_owned(),
        8 => r#"{"title":"the same red shoe"}"#.to_owned(),
        _ => {
            format!(r#"{{"stock": 1.10, "title" : ["shoe {number}", "caf\u00e9 \"{number}\""], "brand": "b\/{number}"{}}}"#, price(number))
        }
    };
    (0..count).map(document).collect()
}

// === impl Rig ===

impl Rig {
    /// Writes a configuration with a rule of these fields.
    fn new(index: &FakeIndex, fields: &str) -> Self {
        let rig = Self { folder: tempfile::tempdir().unwrap(), node: index.node.address };
        let text = format!("[upstream]\nnodes = ['http://{}']\n{}", rig.node, rig.rest(fields));
        rig.configure(&text);
        rig
    }

    fn configure(&self, text: &str) {
        fs::write(self.folder.path().join("podium.toml"), text).unwrap();
    }

    /// All of the configuration but the cluster.
    fn rest(&self, fields: &str) -> String {
        format!(
            "[cache]\nvectors-file = '{}'\n[models.m]\nsource = '{MODEL}'\n[[rules]]\nindex = ['products']\nmodel = 'm'\nfields = {fields}\n\
             window = {WINDOW}\nfusion = {{ kind = 'replace' }}\ntimeout = '60s'\ntotal-timeout = '60s'\n",
            self.file().display()
        )
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("vectors.bin")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_podium"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Runs `podium` with these arguments, while the fakes of this runtime go on.
    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// Warms `products` and returns the report.
    async fn warm(&self, more: &[&str]) -> Value {
        let output = self.run(&[&["warm", "--index", "products", "--json"], more].concat()).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    /// Returns the exit code and what was said of a warm-up that cannot be.
    async fn refused(&self, more: &[&str]) -> (i32, String) {
        let output = self.run(&[&["warm"], more].concat()).await;
        assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap().trim_end().to_owned())
    }

    /// Starts a gateway and returns what it says of searches.
    async fn statuses(&self, fields: &str, bodies: &[&str]) -> Vec<String> {
        let gateway = app::start_before(self.node, &self.rest(fields), models::families()).await;
        gateway.loaded().await;
        let mut statuses = Vec::new();
        for body in bodies {
            statuses.push(Call::search(body).send(gateway.address).await.rerank_status().to_owned());
        }
        statuses
    }
}

fn counts(report: &Value) -> Value {
    assert_eq!((&report["finished"], &report["failure"]), (&json!(true), &Value::Null), "{report}");
    json!(["documents", "computed", "known", "alike", "without_text", "refused"].map(|key| report[key].as_u64().unwrap()))
}

const SEARCH: &str = r#"{"query":{"match":{"title":"red shoe"}}}"#;
const ALL_CACHED: &str = "reranked; model=\"m\"; window=20; scored=18; cached=18";

#[tokio::test(flavor = "multi_thread")]
async fn the_first_search_after_a_warm_up_finds_every_vector() {
    for product in PRODUCTS {
        let fields = "['title', { name = 'brand', label = 'Brand', max-tokens = 8 }]";
        let index = FakeIndex::start(product, documents(330, fields)).await;
        let rig = Rig::new(&index, fields);
        let cold = rig.statuses(fields, &[SEARCH]).await;
        assert_eq!(cold, ["reranked; model=\"m\"; window=20; scored=20; cached=0"], "without a file of vectors");
        let report = rig.warm(&[]).await;
        assert_eq!(counts(&report), json!([330, 266, 0, 64, 0, 0]), "{product:?}");
        assert_eq!((report["vectors"].as_u64(), report["pauses"].as_u64()), (Some(266), Some(0)));
        let file = fs::read(rig.file()).unwrap();
        assert_eq!(report["bytes"].as_u64(), Some(file.len() as u64));
        assert_eq!(rig.statuses(fields, &[SEARCH]).await, ["reranked; model=\"m\"; window=20; scored=20; cached=20"], "{product:?}");
        assert_eq!(counts(&rig.warm(&[]).await), json!([330, 0, 330, 0, 0, 0]), "nothing is computed twice");
        assert_eq!(fs::read(rig.file()).unwrap(), file);
        assert_eq!(index.open_points(), 0, "what was opened is closed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_engine_would_print_in_its_own_way_is_read_as_it_was_indexed() {
    let fields = "['title', 'price']";
    let index = FakeIndex::start(Product::OpenSearch, documents(30, fields)).await;
    let rig = Rig::new(&index, fields);
    assert_eq!(counts(&rig.warm(&[]).await), json!([30, 25, 0, 2, 3, 0]));
    assert_eq!(rig.statuses(fields, &[SEARCH]).await, [ALL_CACHED], "1.50 was not read as 1.5");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_hits_have_no_source_texts_are_read_through_fields() {
    let index = FakeIndex::start(Product::Elasticsearch, documents(30, "")).await;
    index.change(|mood| mood.keeps_source = false);
    let rig = Rig::new(&index, "['title']");
    assert_eq!(counts(&rig.warm(&[]).await), json!([30, 25, 0, 2, 3, 0]));
    let through_fields = r#"{"query":{"match":{"title":"red shoe"}},"_source":false}"#;
    assert_eq!(rig.statuses("['title']", &[through_fields]).await, [ALL_CACHED]);
}

#[tokio::test(flavor = "multi_thread")]
async fn slices_and_engines_of_old_lose_no_document() {
    let index = FakeIndex::start(Product::OpenSearch, documents(777, "")).await;
    let expected = json!([777, 624, 0, 76, 77, 0]);
    assert_eq!(counts(&Rig::new(&index, "['title']").warm(&["--slices", "3"]).await), expected);
    index.change(|mood| mood.knows_shard_doc = false);
    let report = Rig::new(&index, "['title']").warm(&[]).await;
    // Where two shards share a place, some are read twice.
    assert_eq!((report["computed"].as_u64(), report["finished"].as_bool()), (Some(624), Some(true)), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_has_too_much_to_do_is_asked_again_later() {
    let index = FakeIndex::start(Product::Elasticsearch, documents(300, "")).await;
    let busy = "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    index.change(|mood| mood.trouble = Box::new(move |asked| (asked == 4).then(|| vec![Act::text(busy)])));
    let report = Rig::new(&index, "['title']").warm(&[]).await;
    assert_eq!(counts(&report), json!([300, 241, 0, 29, 30, 0]));
    assert_eq!(report["pauses"].as_u64(), Some(1));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_warm_up_keeps_what_it_has_and_goes_on_from_there() {
    let index = FakeIndex::start(Product::Elasticsearch, documents(300, "")).await;
    // The second page of the reading never comes.
    index.change(|mood| mood.trouble = Box::new(|asked| (asked == 4).then(|| vec![Act::Hold])));
    let rig = Rig::new(&index, "['title']");
    let mut command = rig.command(&["warm", "--index", "products", "--json"]);
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    let is_asked = || index.node.seen().iter().filter(|seen| seen.line().contains(" /_search ")).count() >= 4;
    until(is_asked).await;
    // The first page's vectors are soon computed; they are written at the end at the latest.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let signalled = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(signalled.success());
    let output = soon(tokio::task::spawn_blocking(move || child.wait_with_output().unwrap())).await.unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["failure"]), (Some(1), &json!("interrupted")));
    let kept = report["vectors"].as_u64().unwrap();
    assert!(kept > 0 && kept < 241, "{report}");
    assert_eq!(index.open_points(), 0, "the point in time was given back");
    index.change(|mood| mood.trouble = Box::new(|_| None));
    let rest = rig.warm(&[]).await;
    assert_eq!((rest["computed"].as_u64(), rest["vectors"].as_u64()), (Some(241 - kept), Some(241)), "{rest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_said_used_as_far_as_it_goes_and_repaired() {
    let index = FakeIndex::start(Product::Elasticsearch, documents(30, "")).await;
    let rig = Rig::new(&index, "['title']");
    rig.warm(&[]).await;
    let whole = fs::read(rig.file()).unwrap();
    fs::write(rig.file(), &whole[..whole.len() - 100]).unwrap();
    let [cold] = rig.statuses("['title']", &[SEARCH]).await.try_into().unwrap();
    assert!(cold.ends_with("scored=18; cached=0"), "its one segment is not whole: {cold}");
    let said = String::from_utf8(rig.run(&["check"]).await.stdout).unwrap();
    assert!(
        said.contains("vectors.bin is damaged (it breaks off at byte 44): what stands before is used, podium warm repairs it"),
        "{said}"
    );
    let output = rig.run(&["warm", "--index", "products"]).await;
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("vectors.bin was damaged (it breaks off at byte 44): it is cut off there"), "{told}");
    assert_eq!(rig.statuses("['title']", &[SEARCH]).await, [ALL_CACHED]);
    let checked = String::from_utf8(rig.run(&["check"]).await.stdout).unwrap();
    assert!(checked.contains("vectors.bin: 25 vectors of fingerprint "), "{checked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_told_what_was_done() {
    let index = FakeIndex::start(Product::Elasticsearch, documents(30, "")).await;
    let rig = Rig::new(&index, "['title']");
    let output = rig.run(&["warm", "--index", "products"]).await;
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(output.status.code(), Some(0), "{err}");
    let file = rig.file();
    assert_eq!(err, format!("{0} is new\nrules[0] on products: title by model m; 0 vectors are there\n", file.display()));
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("products: 30 documents read; 25 vectors computed in "), "{out}");
    assert!(lines[0].ends_with("; 2 alike to another; 3 without text in the rule's fields"), "{out}");
    assert_eq!(lines[1], format!("{}: 25 vectors of model m, 1 MiB; podium serve reads it when it starts", file.display()));
    assert_eq!(lines.len(), 2, "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_warmed_is_said_with_the_remedy() {
    let index = FakeIndex::start(Product::Elasticsearch, documents(3, "")).await;
    let rig = Rig::new(&index, "['title']");
    let upstream = format!("[upstream]\nnodes = ['http://{}']\n", index.node.address);
    let usual = format!("{upstream}{}", rig.rest("['title']"));
    let products = ["--index", "products"];
    let no_file = usual.replace("vectors-file", "#");
    let when = usual.replace("model = 'm'", "model = 'm'\nwhen = { header = { x-a = 'b' } }");
    let two_rules = format!("{usual}[[rules]]\nindex = ['news']\nmodel = 'm'\nfields = ['title']\n");
    let remote = usual.replace(&format!("source = '{MODEL}'"), "kind = 'remote'\nprotocol = 'tei'\nendpoints = ['http://127.0.0.1:1']");
    let cross = usual.replace(MODEL, CROSS_ENCODER);
    let ahead = "which computes nothing ahead of a search: only embedding models keep vectors of documents";
    for (config, arguments, code, expected) in [
        (
            &no_file,
            &products[..],
            2,
            "cache.vectors-file is missing: write where the vectors are to be kept, such as vectors-file = \"vectors.bin\"".to_owned(),
        ),
        (
            &usual,
            &["--index", "shop"],
            2,
            "no rule is for shop, as text: name it as searches do, or widen the `index` of a rule".to_owned(),
        ),
        (&when, &products, 2, "rules[0] is for some searches of products (`when`): write --rule 0".to_owned()),
        (&two_rules, &["--index", "products,news"], 2, "products,news belongs to different rules: warm its parts one by one".to_owned()),
        (&usual, &["--index", "products", "--rule", "1"], 2, "there is no rules[1]: the file has 1".to_owned()),
        (&usual, &["--index", "shop", "--rule", "0"], 2, "rules[0] is not for shop: its patterns are products".to_owned()),
        (&remote, &products, 1, format!("model m is of kind remote, {ahead}")),
        (&cross, &products, 1, format!("model m is of kind cross-encoder, {ahead}")),
        (&two_rules, &["--index", "news"], 1, "/news/_count answers 404 Not Found: no such index".to_owned()),
    ] {
        rig.configure(config);
        let (ended, said) = rig.refused(arguments).await;
        assert_eq!((ended, said.lines().last()), (code, Some(expected.as_str())), "{arguments:?}");
    }
    rig.configure(&usual);
    fs::write(rig.file(), "something else").unwrap();
    let (code, said) = rig.refused(&products).await;
    let remedy = "is not a file of vectors: name another in cache.vectors-file, or move this one away";
    assert_eq!((code, said), (1, format!("{} {remedy}", rig.file().display())));
    assert_eq!(fs::read(rig.file()).unwrap(), b"something else", "it is left as it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn podiums_own_calls_carry_its_credentials_and_clients_their_own() {
    let index = FakeIndex::start(Product::OpenSearch, documents(30, "")).await;
    let rig = Rig::new(&index, "['title']");
    let credentials = "[upstream.credentials]\nuser = 'podium'\npassword = { file = './password' }\n";
    fs::write(rig.folder.path().join("password"), "tweety-pass\n").unwrap();
    rig.configure(&format!("[upstream]\nnodes = ['http://{}']\n{credentials}{}", rig.node, rig.rest("['title']")));
    assert_eq!(counts(&rig.warm(&[]).await), json!([30, 25, 0, 2, 3, 0]));
    rig.run(&["check"]).await;
    let basic = "Basic cG9kaXVtOnR3ZWV0eS1wYXNz";
    let own: Vec<Option<String>> = index.node.seen().iter().map(|seen| seen.header("authorization").map(str::to_owned)).collect();
    assert!(own.len() > 5 && own.iter().all(|header| header.as_deref() == Some(basic)), "{own:?}");
    let served = format!("upstream.credentials = {{ user = 'podium', password = 'tweety-pass' }}\n{}", rig.rest("['title']"));
    let gateway = app::start_before(rig.node, &served, models::families()).await;
    gateway.loaded().await;
    let before = index.node.seen().len();
    gateway.search(SEARCH).await;
    Call::search(SEARCH).with("authorization", "Bearer own").send(gateway.address).await;
    let seen: Vec<Option<String>> =
        index.node.seen()[before..].iter().map(|seen| seen.header("authorization").map(str::to_owned)).collect();
    assert_eq!(seen, [None, Some("Bearer own".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_wants_credentials_says_what_to_write() {
    let index = FakeIndex::start(Product::Elasticsearch, documents(3, "")).await;
    let answer = "HTTP/1.1 401 Unauthorized\r\nX-elastic-product: Elasticsearch\r\nContent-Length: 2\r\n\r\n{}";
    let guarded = crate::support::fake_upstream::FakeUpstream::always(answer).await;
    let rig = Rig::new(&index, "['title']");
    let rest = rig.rest("['title']");
    let upstream = format!("[upstream]\nnodes = ['http://{}']\n", guarded.address);
    rig.configure(&format!("{upstream}{rest}"));
    let (code, said) = rig.refused(&["--index", "products"]).await;
    assert_eq!((code, said.as_str()), (1, "/products/_count answers 401 Unauthorized: write upstream.credentials"));
    rig.configure(&format!("{upstream}credentials = {{ api-key = 'wrong' }}\n{rest}"));
    let refused = rig.refused(&["--index", "products"]).await;
    let remedy = "those of upstream.credentials need to read the index and to open points in time";
    assert_eq!(refused, (1, format!("/products/_count answers 401 Unauthorized: {remedy}")));
    assert!(!rig.file().exists(), "nothing was begun");
}
