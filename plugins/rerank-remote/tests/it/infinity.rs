//! What Infinity was recorded to say, as a server of the protocol `jina`.

use std::time::Duration;

use rerank_plugin::{Fault, testing::conformance::document};
use serde_json::Value;

use crate::server::{Manner, Server, documents, endpoints, load, model, orders, score};

const AMPLE: Duration = Duration::from_secs(20);
const MOST: Limit = Limit { documents: 20, characters: 40 };

/// Its limits are 2048 documents and 122880 characters; smaller ones show the same.
struct Limit {
    documents: usize,
    characters: usize,
}

fn recorded(name: &str) -> &'static str {
    let all: Value = serde_json::from_str(include_str!("../recorded/infinity.json")).expect("JSON");
    all[name].to_string().leak()
}

fn limited() -> Manner {
    Manner::Limited { documents: MOST.documents, characters: MOST.characters, say: (recorded("too_many"), recorded("too_long")) }
}

#[test]
fn its_scores_are_read() {
    let server = Server::start(Manner::Say(200, recorded("scores")));
    let model = model(&[&server]);
    assert_eq!(orders(score(model.as_ref(), &documents([0.0, 0.0]), AMPLE)), [0.776_361_1, 0.746_294_44]);
}

#[test]
fn too_many_documents_are_asked_for_in_halves_and_fewer_from_then_on() {
    let server = Server::start(limited());
    let model = model(&[&server]);
    let asked: Vec<f32> = (0..64u8).map(f32::from).map(|number| number / 64.0).collect();
    for calls in [7, 4] {
        assert_eq!(orders(score(model.as_ref(), &documents(asked.iter().copied()), AMPLE)), asked);
        assert_eq!(server.calls().len(), calls);
    }
}

#[test]
fn a_document_that_is_too_long_costs_the_others_nothing() {
    let server = Server::start(limited());
    let model = model(&[&server]);
    let mut asked = documents([0.5, 0.25, 0.75, 1.0]);
    asked[1] = document(&"0.25 is far too long ".repeat(3));
    let found = score(model.as_ref(), &asked, AMPLE);
    assert!(matches!(found[1], Err(Fault::Input(_))), "{found:?}");
    assert!([0, 2, 3].iter().all(|place| found[*place].is_ok()), "{found:?}");
    server.calls();
    assert!(score(model.as_ref(), &documents([0.5; 20]), AMPLE).iter().all(Result::is_ok));
    assert_eq!(server.calls().len(), 1, "it says nothing about how many may come together");
}

#[test]
fn documents_that_are_all_too_long_are_no_fault_of_the_model() {
    let server = Server::start(limited());
    let model = model(&[&server]);
    for count in [1, 2, 3] {
        let found = score(model.as_ref(), &vec![document(&"0.25 is far too long ".repeat(3)); count], AMPLE);
        assert!(found.len() == count && found.iter().all(|result| matches!(result, Err(Fault::Input(_)))), "{found:?}");
        let last = server.calls().pop().expect("a call").body;
        assert_eq!(last["documents"][0], "a red running shoe", "what every server takes is asked for");
    }
}

#[test]
fn a_server_that_refuses_every_document_refuses_the_call() {
    let server = Server::start(Manner::Score);
    let model = model(&[&server]);
    server.behave(Manner::Say(422, recorded("too_long")));
    let found = score(model.as_ref(), &documents([0.5, 0.25, 0.75]), AMPLE);
    assert!(found.iter().all(|result| matches!(result, Err(Fault::Model(said)) if said.contains("every document"))), "{found:?}");
}

#[test]
fn a_wrong_token_is_told_at_loading() {
    let server = Server::start(Manner::Say(401, recorded("no_token")));
    let said = load(endpoints(&[&server])).err().expect("refused").to_string();
    assert!(said.contains("check `token`: {\"detail\":\"Unauthorized\"}"), "{said}");
}
