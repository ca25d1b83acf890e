//! Models that are read from a checkpoint, as an operator names them: by `source` alone.

use std::{sync::Arc, time::Duration};

use podium::models;
use rerank_plugin::{
    Chunking, Folder, LoadOptions, Loaded, Pair, Query, Silent, Source, Stop,
    testing::{
        MapStore,
        conformance::{document, query},
    },
};

use crate::support::{
    answer::Answer,
    app::{self, Gateway},
    fake_engine::{FakeEngine, Product},
    fake_hits::title,
    http::Call,
    soon,
};

const QWEN3: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/plugins/rerank-qwen3/tests/fixtures/tied");
const GGUF: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/plugins/rerank-qwen3/tests/fixtures/gguf-q8_0");
const EMBEDDING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/plugins/rerank-embedding/tests/fixtures/qwen3-last");
const WINDOW: usize = 10;
const INSTRUCTION: &str = "Given a query, retrieve red shoes that the capital of China relevant is";

fn file((source, more_of_model): (&str, &str), more: &str) -> String {
    format!(
        "[models.m]\n{more_of_model}source = '{source}'\n[[rules]]\nindex = ['products']\nmodel = 'm'\nfields = ['title']\nwindow = {WINDOW}\n\
         timeout = '60s'\ntotal-timeout = '60s'\n{more}"
    )
}

/// Returns the first hits' ids with their scores as the model itself orders them, best first.
fn expected(model: (&str, &str), set: fn(&mut LoadOptions), instruction: Option<&str>) -> Vec<(String, f32)> {
    expected_of(model, set, instruction, title)
}

/// The same of other texts than titles.
fn expected_of(
    (kind, folder): (&str, &str),
    set: fn(&mut LoadOptions),
    instruction: Option<&str>,
    text: fn(usize) -> String,
) -> Vec<(String, f32)> {
    let families = models::families();
    let family = families.iter().find(|family| family.kind() == kind).unwrap();
    let mut options = LoadOptions::new(Arc::new(MapStore::default()));
    set(&mut options);
    let loaded = family.load(&Source::Folder(Folder::open(folder).unwrap()), &options, &Silent).unwrap();
    let Loaded::Local { preparer, mut workers } = loaded else { panic!("it runs here") };
    let asked = preparer.query(&Query { instruction: instruction.map(Into::into), ..query("shoe") }).unwrap();
    let stop = Stop::default();
    let state = workers[0].begin(&[&asked], &stop).remove(0).unwrap();
    let mut scored: Vec<(String, f32)> = (0..WINDOW)
        .map(|number| {
            let prepared = preparer.document(&asked, &document(&text(number))).unwrap();
            let score = workers[0].score(&[Pair { state, document: &prepared, stop: &stop }]).remove(0).unwrap();
            (format!("id{number}"), score.presented())
        })
        .collect();
    scored.sort_by(|one, other| other.1.total_cmp(&one.1));
    scored
}

async fn page(gateway: &Gateway) -> Answer {
    let reply = Call::search(r#"{"query":{"match":{"title":"shoe"}}}"#).send(gateway.address).await;
    assert!(reply.rerank_status().starts_with("reranked; model=\"m\"; window=10; scored=10"), "{}", reply.rerank_status());
    Answer::of(&reply)
}

/// Compares what is served with what the model itself says, and returns the scores.
async fn served(engine: &FakeEngine, file: &str, expected: &[(String, f32)]) -> Vec<Option<f64>> {
    let gateway = app::start_with(engine, file, models::families()).await;
    gateway.loaded().await;
    let answer = page(&gateway).await;
    assert_eq!(answer.ids(), expected.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>());
    for (found, (id, score)) in answer.scores().iter().zip(expected) {
        assert!((found.unwrap() - f64::from(*score)).abs() < 1e-5, "{id}: {found:?} {score}");
    }
    answer.scores()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_qwen3_reranker_is_served_by_its_source_alone() {
    let engine = FakeEngine::start(Product::Elasticsearch, 30).await;
    let mut orders = Vec::new();
    for (kind, instruction) in [("", None), ("kind = 'qwen3'\n", Some(INSTRUCTION))] {
        let told = instruction.map_or_else(String::new, |instruction| format!("instruction = '{instruction}'"));
        orders.push(served(&engine, &file((QWEN3, kind), &told), &expected(("qwen3", QWEN3), |_| {}, instruction)).await);
    }
    assert_ne!(orders[0], orders[1], "the rule's instruction is heard");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gguf_file_is_served_by_its_source_alone() {
    let engine = FakeEngine::start(Product::Elasticsearch, 30).await;
    let expected = expected(("qwen3", GGUF), |_| {}, None);
    for source in [GGUF.to_owned(), format!("{GGUF}/model.gguf")] {
        served(&engine, &file((&source, ""), ""), &expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedding_model_is_served_by_its_source_alone_with_an_instruction_and_fewer_dimensions() {
    let engine = FakeEngine::start(Product::Elasticsearch, 30).await;
    let replace = "fusion = { kind = 'replace' }";
    let plain = served(&engine, &file((EMBEDDING, ""), replace), &expected(("embedding", EMBEDDING), |_| {}, None)).await;
    let told = expected(("embedding", EMBEDDING), |_| {}, Some(INSTRUCTION));
    let told = served(&engine, &file((EMBEDDING, ""), &format!("{replace}\ninstruction = '{INSTRUCTION}'")), &told).await;
    let set: fn(&mut LoadOptions) = |options| (options.dimensions, options.half_vectors) = (Some(8), true);
    let cut = expected(("embedding", EMBEDDING), set, None);
    let cut = served(&engine, &file((EMBEDDING, "dimensions = 8\nvectors = 'f16'\n"), replace), &cut).await;
    assert!(plain != told && plain != cut, "what is configured is heard");
}

/// The titles alone are shorter than any chunk.
#[tokio::test(flavor = "multi_thread")]
async fn chunking_is_heard_by_rerankers_and_refused_by_embedding_models() {
    let engine = FakeEngine::start(Product::Elasticsearch, 30).await;
    let chunked: fn(&mut LoadOptions) = |options| options.chunking = Some(Chunking { tokens: 8, overlap: 1, max: 4 });
    let labelled = |number| format!("{INSTRUCTION}: {}", title(number));
    let of = |set| expected_of(("qwen3", QWEN3), set, None, labelled);
    assert_ne!(of(|_| {}), of(chunked));
    let fields = format!("fields = [{{ name = 'title', label = '{INSTRUCTION}' }}]");
    let rule = file((QWEN3, "chunking = { tokens = 8 }\n"), "").replace("fields = ['title']", &fields);
    served(&engine, &rule, &of(chunked)).await;

    let gateway = app::start_with(&engine, &file((EMBEDDING, "chunking = {}\n"), ""), models::families()).await;
    let reply = Call::search(r#"{"query":{"match":{"title":"shoe"}}}"#).send(gateway.address).await;
    assert!(reply.rerank_status().starts_with("skipped; reason=model-"), "{}", reply.rerank_status());
    soon(async {
        while !gateway.missing_models().await.contains("and this is of kind embedding: take the key out, or raise max-tokens") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
