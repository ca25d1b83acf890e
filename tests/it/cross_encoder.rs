//! A cross-encoder of three layers, from its folder to the client's page: `source` is all that is said of it.

use std::{sync::Arc, time::Duration};

use podium::models;
use rerank_cross_encoder::CrossEncoder;
use rerank_plugin::{
    Family, Folder, LoadOptions, Loaded, Pair, Silent, Source, Stop,
    testing::{
        MapStore,
        conformance::{document, query},
    },
};

use crate::support::{
    answer::Answer,
    app,
    fake_engine::{FakeEngine, Product},
    fake_hits::title,
};

const WINDOW: usize = 12;
const FAMILIES: [&str; 3] = ["bert", "xlmr", "modernbert"];

fn folder(family: &str) -> String {
    format!("{}/plugins/rerank-cross-encoder/tests/fixtures/{family}", env!("CARGO_MANIFEST_DIR"))
}

/// Returns what the model alone says of each of the window's documents.
fn scores(family: &str, text: &str) -> Vec<f32> {
    let source = Source::Folder(Folder::open(folder(family)).unwrap());
    let options = LoadOptions::new(Arc::new(MapStore::default()));
    let Loaded::Local { preparer, mut workers } = CrossEncoder.load(&source, &options, &Silent).unwrap() else { panic!("it runs here") };
    let (asked, stop) = (preparer.query(&query(text)).unwrap(), Stop::default());
    let prepared: Vec<_> = (0..WINDOW).map(|number| preparer.document(&asked, &document(&title(number))).unwrap()).collect();
    let state = workers[0].begin(&[&asked], &stop).remove(0).unwrap();
    let batch: Vec<Pair<'_>> = prepared.iter().map(|document| Pair { state, document, stop: &stop }).collect();
    workers[0].score(&batch).into_iter().map(|score| score.unwrap().order()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_not_there_keeps_the_engines_order() {
    let engine = FakeEngine::start(Product::OpenSearch, WINDOW).await;
    let rule = "[[rules]]\nindex = ['products']\nmodel = 'm'\nfields = ['title']\nwindow = 12";
    let model = format!("[models.m]\nsource = '{}'\ndevice = ['cpu', 'cuda:4096']\n{rule}", folder("bert"));
    let gateway = app::start_with(&engine, &model, models::families()).await;
    let mut missing = String::new();
    while !missing.contains("is unavailable") {
        tokio::time::sleep(Duration::from_millis(5)).await;
        missing = gateway.missing_models().await;
    }
    assert!(missing.contains("the device cuda:4096 cannot be used: "), "{missing}");
    let reply = gateway.search(r#"{"query":{"match":{"title":"red shoe 3"}},"size":12}"#).await;
    assert_eq!(reply.rerank_status(), "skipped; reason=model-unavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_folder_is_enough_and_the_page_has_the_models_order() {
    for family in FAMILIES {
        let engine = FakeEngine::start(Product::OpenSearch, WINDOW).await;
        let rule = "[[rules]]\nindex = ['products']\nmodel = 'm'\nfields = ['title']\nwindow = 12\ntimeout = '30s'\ntotal-timeout = '60s'";
        let gateway = app::start_with(&engine, &format!("[models.m]\nsource = '{}'\n{rule}", folder(family)), models::families()).await;
        gateway.loaded().await;
        let reply = gateway.search(r#"{"query":{"match":{"title":"red shoe 3"}},"size":12}"#).await;
        assert!(reply.rerank_status().starts_with("reranked; model=\"m\"; window=12"), "{family}: {}", reply.rerank_status());
        let order: Vec<usize> = Answer::of(&reply).ids().iter().map(|id| id["id".len()..].parse().unwrap()).collect();
        let scores = scores(family, "red shoe 3");
        let descends = order.windows(2).all(|pair| scores[pair[0]] >= scores[pair[1]] - 1e-5);
        assert!(order.len() == WINDOW && descends, "{family}: {order:?} by {scores:?}");
        assert!(!order.is_sorted(), "{family}: the engine's order is not the model's");
    }
}
