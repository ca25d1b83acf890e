//! Servers that misbehave, and configurations that cannot work: each is a named error.

use std::time::Duration;

use rerank_plugin::{Family, Fault, LoadOptions, Silent, Source, testing::MapStore};
use rerank_remote::Remote;

use crate::server::{Manner, Server, documents, endpoints, load, model, score};

fn fault(manner: Manner) -> Fault {
    let server = Server::start(Manner::Score);
    let model = model(&[&server]);
    server.behave(manner);
    let mut results = score(model.as_ref(), &documents([0.5, 0.75]), Duration::from_secs(5));
    assert_eq!(results.len(), 2, "one result for each document");
    results.swap_remove(0).expect_err("no score")
}

#[test]
fn every_bad_answer_is_named() {
    for (manner, words) in [
        (Manner::Say(200, r#"{"results":[{"index":0,"relevance_score":0.5}]}"#), "1 scores for 2 documents"),
        (Manner::Say(200, r#"{"results":[{"index":0,"relevance_score":NaN},{"index":1,"relevance_score":1}]}"#), "not JSON"),
        (Manner::Say(200, r#"{"results":[{"index":0,"relevance_score":1e39},{"index":1,"relevance_score":1}]}"#), "not a finite number"),
        (Manner::Say(200, "<!doctype html><title>Sign in</title>"), "not JSON"),
        (Manner::Say(401, "who are you"), "check `token`"),
        (Manner::Say(404, "no such model"), "check `endpoints`, `protocol` and `model`"),
        (Manner::Say(400, "bad"), "400"),
        (Manner::Say(500, "oops"), "500"),
        (Manner::Say(424, "no device"), "424"),
        (Manner::Redirect, "307"),
    ] {
        match fault(manner) {
            Fault::Model(said) => {
                assert!(said.contains(words), "{manner:?}: {said}");
                let quoted = matches!(manner, Manner::Say(_, body) if said.contains(body));
                assert!(!quoted, "what the server says may be what it was asked: {said}");
            }
            other => panic!("{manner:?}: {other:?}"),
        }
    }
    assert!(matches!(fault(Manner::Say(429, "slow down")), Fault::Busy(_)), "too much to do is no fault of the model");
    assert!(matches!(fault(Manner::Say(413, "too long")), Fault::Model(_)), "all are refused");
}

#[test]
fn a_server_that_is_gone_is_a_fault_of_the_model() {
    let server = Server::start(Manner::Score);
    let model = model(&[&server]);
    drop(server);
    std::thread::sleep(Duration::from_millis(100));
    let results = score(model.as_ref(), &documents([0.5]), Duration::from_secs(5));
    assert!(matches!(&results[0], Err(Fault::Model(said)) if said.contains("does not answer")), "{results:?}");
}

#[test]
fn what_cannot_work_is_refused_at_loading() {
    let server = Server::start(Manner::Say(403, "no"));
    let refused = |change: &dyn Fn(&mut rerank_plugin::Endpoints)| {
        let mut asked = endpoints(&[&server]);
        change(&mut asked);
        load(asked).err().expect("refused").to_string()
    };
    for (message, words) in [
        (refused(&|_| {}), "check `token`: no"),
        (refused(&|asked| asked.protocol = "grpc".to_owned()), "the protocols are cohere, jina"),
        (refused(&|asked| asked.model = None), "write `model`"),
        (refused(&|asked| asked.urls = Vec::new()), "write `endpoints`"),
        (refused(&|asked| asked.urls = vec!["ftp://host".to_owned()]), "http://host:port"),
        (refused(&|asked| asked.urls = vec!["http://127.0.0.1:1".to_owned()]), "does not answer"),
        (refused(&|asked| asked.token = Some("a\nb".into())), "check `token`"),
        (refused(&|asked| asked.ca = Some("/nowhere/ca.pem".into())), "/nowhere/ca.pem"),
    ] {
        assert!(message.contains(words), "{message}");
        assert!(!message.contains("a\nb"), "{message}");
    }
    let options = LoadOptions::new(std::sync::Arc::new(MapStore::default()));
    let folder = rerank_plugin::Folder::open(std::path::Path::new(env!("CARGO_MANIFEST_DIR"))).expect("a folder");
    let files = Remote.load(&Source::Folder(folder), &options, &Silent).err().expect("refused").to_string();
    assert!(files.contains("`endpoints`"), "{files}");
}

#[test]
fn a_busy_server_is_no_reason_against_the_model() {
    let server = Server::start(Manner::Say(429, "later"));
    assert!(load(endpoints(&[&server])).is_ok());
}
