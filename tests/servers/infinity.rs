//! Infinity, which speaks nearly as Jina does.

use std::{
    fmt::Write,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use podium::{
    app,
    config::{Config, Environment, KINDS, parse},
    models::{self, ModelError},
};
use rerank_plugin::{
    Deadline, Fault, Loaded, Pair, Silent, Stop,
    testing::conformance::{document, query},
};
use tempfile::TempDir;

use crate::{
    server::{Server, checkpoint, say},
    support::{
        app::{Gateway, start_with},
        fake_engine::{FakeEngine, Product},
        soon,
    },
};

const QUERY: &str = "what is the capital of china?";
const TOKEN: &str = "sesame";
/// As many characters as a text may have there, and as many documents as a call may have.
const MOST_CHARACTERS: usize = 8192 * 15;
const MOST_DOCUMENTS: usize = 2048;
const RULE: &str =
    "[[rules]]\nindex = ['products']\nmodel = 'far'\nfields = ['title']\nwindow = 20\ntimeout = '30s'\ntotal-timeout = '60s'\n";

fn start(folder: &TempDir, port: u16) -> Server {
    Server::start("infinity", folder.path(), port, &["--api-key", TOKEN])
}

/// The model `far` on these servers, and `near` from the same checkpoint, and the same as `parsed` with its control tokens parsed.
fn models(addresses: &[&str], folder: &Path, more: &str) -> String {
    let endpoints = addresses.iter().fold(String::new(), |mut all, address| {
        write!(all, "'{address}/rerank', ").unwrap();
        all
    });
    let folder = folder.display();
    format!(
        "[models.far]\nkind = 'remote'\nprotocol = 'jina'\nmodel = 'model'\nendpoints = [{endpoints}]\n{more}\
         [models.near]\nsource = '{folder}'\n[models.parsed]\nsource = '{folder}'\ncontrol-tokens = 'parse'\n"
    )
}

fn token() -> String {
    format!("token = '{TOKEN}'\n")
}

fn load(file: &str, name: &str) -> Result<Loaded, ModelError> {
    let config: Config = parse(Path::new("test.toml"), &format!("upstream.nodes = ['http://127.0.0.1:1']\n{file}"), KINDS).unwrap();
    let surroundings = app::surroundings(&config, Environment::default(), Arc::new(Silent));
    // What runs elsewhere is asked on a runtime of its own.
    tokio::task::block_in_place(|| models::load(&config.models[name], &surroundings))
}

/// Scores with a model that runs elsewhere.
async fn far(file: &str, texts: &[String]) -> Vec<Result<f32, Fault>> {
    let Loaded::Remote(scorer) = load(file, "far").unwrap() else { panic!("it runs elsewhere") };
    let documents: Vec<_> = texts.iter().map(|text| document(text)).collect();
    let scores = scorer.score(&query(QUERY), &documents, Deadline::after(Duration::from_secs(300))).await;
    scores.into_iter().map(|score| score.map(|score| score.presented())).collect()
}

/// Scores with a model that runs here.
fn here(file: &str, name: &str, texts: &[String]) -> Vec<f32> {
    let Loaded::Local { preparer, mut workers } = load(file, name).unwrap() else { panic!("it runs here") };
    let (asked, stop) = (preparer.query(&query(QUERY)).unwrap(), Stop::default());
    let state = workers[0].begin(&[&asked], &stop).remove(0).unwrap();
    let mut score = |text: &String| {
        let prepared = preparer.document(&asked, &document(text)).unwrap();
        workers[0].score(&[Pair { state, document: &prepared, stop: &stop }]).remove(0).unwrap().presented()
    };
    texts.iter().map(&mut score).collect()
}

fn texts() -> Vec<String> {
    const WORDS: [&str; 9] = ["Beijing", "gravity", "bartenders", "make", "sales", "北京", "café", "capital,", "CHINA"];
    let text =
        |number: usize| (0..number % 90 + 1).map(|place| WORDS[(number * 7 + place * place) % WORDS.len()]).collect::<Vec<_>>().join(" ");
    (0..200).map(text).collect()
}

fn furthest(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max)
}

async fn status(gateway: &Gateway) -> String {
    gateway.search(r#"{"query":{"match":{"title":"red shoe"}}}"#).await.rerank_status().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn its_scores_are_those_of_podium_and_its_limits_are_kept() {
    let folder = checkpoint();
    let server = start(&folder, 0);
    let models = models(&[&server.address], folder.path(), &token());
    let texts = texts();
    let scores: Vec<f32> = far(&models, &texts).await.into_iter().map(Result::unwrap).collect();
    let apart = furthest(&scores, &here(&models, "near", &texts));
    say(&format!("Infinity and Podium, {} documents, most of them cut at 64 tokens: max |Δ| {apart:.1e}", texts.len()));
    assert!(apart < 1e-5);

    let typed = ["the capital [SEP] of china".to_owned()];
    let there = far(&models, &typed).await.remove(0).unwrap();
    let [escaped, parsed] = ["near", "parsed"].map(|name| (there - here(&models, name, &typed)[0]).abs());
    say(&format!("a control token that somebody typed: |Δ| {parsed:.1e} from `parse`, {escaped:.1e} from `escape`"));
    assert!(parsed < 1e-5 && escaped > 1e-4);

    let long = ["short".to_owned(), "a ".repeat(MOST_CHARACTERS / 2) + "end", "another".to_owned()];
    let found = far(&models, &long).await;
    assert!(found[0].is_ok() && found[2].is_ok(), "one that is too long costs the others nothing: {found:?}");
    assert!(matches!(found[1], Err(Fault::Input(_))), "{found:?}");

    let many: Vec<String> = (0..MOST_DOCUMENTS + 2).map(|number| format!("{number}")).collect();
    let at_once = models.replace(&token(), &format!("{}batch = 4096\n", token()));
    assert!(far(&at_once, &many).await.iter().all(Result::is_ok), "a call of too many is asked for in halves");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_is_a_reason_and_one_that_comes_back_is_used() {
    let folder = checkpoint();
    let server = start(&folder, 0);
    let wrong = load(&models(&[&server.address], folder.path(), "token = 'other'\n"), "far").err().unwrap().to_string();
    assert!(wrong.contains("401 Unauthorized, check `token`: {\"detail\":\"Unauthorized\"}"), "{wrong}");
    let path = load(&models(&[&format!("{}/v1", server.address)], folder.path(), &token()), "far").err().unwrap().to_string();
    assert!(path.contains("404 Not Found, check `endpoints`"), "{path}");
    // A server of one model answers to any name.
    assert!(load(&models(&[&server.address], folder.path(), &token()).replace("'model'", "'other'"), "far").is_ok());

    let engine = FakeEngine::start(Product::OpenSearch, 20).await;
    let text = models(&["http://127.0.0.1:9", &server.address], folder.path(), &token()) + RULE;
    let gateway = start_with(&engine, &text, models::families()).await;
    gateway.loaded().await;
    let fine = "reranked; model=\"far\"; window=20; scored=20; cached=0";
    for _ in 0..10 {
        assert_eq!(status(&gateway).await, fine, "of two endpoints one is there");
    }
    let port = server.port();
    drop(server);
    assert_eq!(status(&gateway).await, "skipped; reason=model-error");
    let _server = start(&folder, port);
    let begun = Instant::now();
    // It rested for as long as it was seen to be gone, and the breaker is tried within seconds.
    soon(async {
        while status(&gateway).await != fine {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    say(&format!("a server that came back was used after {:.1} s", begun.elapsed().as_secs_f64()));
}
