//! Real engines behind the gateway: what clients see is the engine's answer in another order, and nothing else.
//!
//! The reranker turns the window round, so every order is known. Numbers are those of the cases that broke others.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::rig::{
    engines::{Engine, Product, on, on_each},
    gateway::{Gateway, status_of},
    http::{self, Reply},
};

const DOCUMENTS: usize = 120;
const WINDOW: usize = 50;
const RULES: &str = r#"
[models.reverse]
kind = "fake-reverse"
[models.identity]
kind = "fake-identity"

[defaults]
fields = ["title"]
window = 50
timeout = "30s"
total-timeout = "60s"
fusion = { kind = "replace" }

[[rules]]
index = ["gateway-*"]
model = "reverse"

[[rules]]
index = ["same-*"]
model = "identity"
score = "keep"
"#;

/// Fills an index and shows it to a test directly and through a gateway.
fn before(engine: &Engine, index: &str, test: impl Fn(&Gateway, &str)) {
    let definition = r#"{"settings":{"number_of_shards":1,"number_of_replicas":0},"mappings":{"properties":{
        "title":{"type":"text"},"colour":{"type":"keyword"},"big":{"type":"long"}}}}"#;
    let ids: Vec<String> = (0..DOCUMENTS).map(|number| format!("id{number}")).collect();
    let documents = ids.iter().enumerate().map(|(number, id)| {
        let title = format!("shoe {}", "more ".repeat(number));
        let colour = if number % 2 == 0 { "red" } else { "blue" };
        let big = 9_007_199_254_740_993 + number; // no double holds it
        (id.as_str(), format!(r#"{{"title":"{title}","colour":"{colour}","big":{big},"price":1.0}}"#))
    });
    engine.fill(index, definition, documents);
    test(&Gateway::start(engine, RULES), &format!("/{index}/_search"));
}

fn shoes(from: usize, size: usize) -> Value {
    json!({"query":{"match":{"title":"shoe"}},"from":from,"size":size})
}

/// Returns a search's answer from the engine itself.
fn direct(engine: &Engine, target: &str, body: &Value) -> Reply {
    let reply = engine.call("POST", target, &body.to_string());
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply
}

/// Returns the engine's first `count` ids with the window turned round.
fn turned_round(engine: &Engine, target: &str, count: usize, window: usize) -> Vec<String> {
    let mut ids = direct(engine, target, &shoes(0, count)).ids();
    ids[..window].reverse();
    ids
}

/// Returns an answer's text without the time that it took.
fn without_took(reply: &Reply) -> String {
    let text = reply.text();
    let start = text.find("\"took\"").expect("every answer says how long it took");
    let end = start + text[start..].find(',').expect("more comes after it");
    format!("{}{}", &text[..start], &text[end..])
}

fn without_score(hit: &Value) -> Value {
    let mut hit = hit.clone();
    hit.as_object_mut().expect("a hit").remove("_score");
    hit
}

#[test]
fn case_3_pages_are_the_first_stage_set_in_the_new_order() {
    on_each(|engine| {
        before(engine, "gateway-pages", |gateway, target| {
            let pages = (0..WINDOW).step_by(10).flat_map(|from| gateway.reranked(target, &shoes(from, 10)).ids());
            assert_eq!(pages.collect::<Vec<_>>(), turned_round(engine, target, WINDOW, WINDOW));
        });
    });
}

#[test]
fn case_4_an_empty_page_a_large_page_and_one_across_the_windows_end() {
    on_each(|engine| {
        before(engine, "gateway-sizes", |gateway, target| {
            let nothing = gateway.call("POST", target, &shoes(0, 0).to_string());
            assert_eq!(status_of(&nothing), "skipped; reason=no-page");
            assert_eq!(without_took(&nothing), without_took(&direct(engine, target, &shoes(0, 0))));
            assert_eq!(gateway.reranked(target, &shoes(0, 100)).ids(), turned_round(engine, target, 100, WINDOW));
        });
        before(engine, "gateway-across", |gateway, target| {
            let across = gateway.reranked(target, &shoes(45, 10)).ids();
            assert_eq!(across, turned_round(engine, target, 55, WINDOW)[45..]);
            let behind = gateway.call("POST", target, &shoes(WINDOW, 10).to_string());
            assert_eq!(status_of(&behind), "skipped; reason=beyond-window");
            assert_eq!(behind.ids(), direct(engine, target, &shoes(WINDOW, 10)).ids());
        });
    });
}

#[test]
fn scores_descend_and_the_maximum_is_the_first_pages() {
    on_each(|engine| {
        before(engine, "gateway-scores", |gateway, target| {
            let first = gateway.reranked(target, &shoes(0, 100)).json();
            let hits = first["hits"]["hits"].as_array().expect("hits");
            let scores: Vec<f64> = hits.iter().map(|hit| hit["_score"].as_f64().expect("a score")).collect();
            assert!(scores.is_sorted_by(|left, right| left >= right), "{scores:?}");
            assert!(scores.iter().all(|score| *score >= 0.0), "{scores:?}");
            assert_eq!(first["hits"]["max_score"].as_f64(), Some(scores[0]));
            let second = gateway.reranked(target, &shoes(10, 10)).json();
            assert_eq!(second["hits"]["max_score"], first["hits"]["max_score"]);
        });
    });
}

#[test]
fn case_5_and_18_hits_keep_their_shape_whatever_is_asked_of_them() {
    let asked = [
        json!({}),
        json!({"_source":false}),
        json!({"_source":["colour"]}),
        json!({"_source":{"excludes":["title"]},"fields":["big"]}),
        json!({"_source":false,"fields":["title","colour"]}),
        json!({"_source":false,"docvalue_fields":["big"]}),
        json!({"stored_fields":["none"],"version":true,"seq_no_primary_term":true}),
        json!({"highlight":{"fields":{"title":{}}}}),
    ];
    on_each(|engine| {
        before(engine, "gateway-shapes", |gateway, target| {
            for more in &asked {
                let mut body = shoes(0, WINDOW);
                body.as_object_mut().expect("a body").extend(more.as_object().expect("keys").clone());
                let mut expected: Vec<Value> = direct(engine, target, &body).hits().iter().map(without_score).collect();
                expected.reverse();
                let got: Vec<Value> = gateway.reranked(target, &body).hits().iter().map(without_score).collect();
                assert_eq!(got, expected, "{:?} {body}", engine.product);
            }
            let text = gateway.reranked(target, &shoes(0, 10)).text();
            assert!(text.contains(r#""price":1.0"#) && text.contains("9007199254741041"), "{text}");
        });
    });
}

#[test]
fn an_order_that_stays_is_the_engines_answer_byte_for_byte() {
    let asked = [json!({}), json!({"_source":false}), json!({"_source":["big"],"fields":["colour"]})];
    on_each(|engine| {
        before(engine, "same-bytes", |gateway, target| {
            for (more, parameters) in asked.iter().flat_map(|more| ["", "?pretty"].map(|parameters| (more, parameters))) {
                let mut body = shoes(0, 10);
                body.as_object_mut().expect("a body").extend(more.as_object().expect("keys").clone());
                let target = format!("{target}{parameters}");
                let got = gateway.reranked(&target, &body);
                assert_eq!(without_took(&got), without_took(&direct(engine, &target, &body)), "{:?} {target} {body}", engine.product);
            }
        });
    });
}

#[test]
fn case_6_an_index_without_source_keeps_all_its_hits() {
    on_each(|engine| {
        let mapping = r#"{"settings":{"number_of_shards":1,"number_of_replicas":0},"mappings":{"_source":{"enabled":false}}}"#;
        let hidden = ["hidden1", "hidden2", "hidden3"].map(|id| (id, r#"{"title":"shoe"}"#.to_owned()));
        engine.fill("gateway-sourceless", mapping, hidden);
        before(engine, "gateway-sourced", |gateway, _| {
            for more in [json!({}), json!({"_source":false})] {
                let mut body = shoes(0, 10);
                body.as_object_mut().expect("a body").extend(more.as_object().expect("keys").clone());
                for target in ["/gateway-sourceless/_search", "/gateway-sourceless,gateway-sourced/_search"] {
                    for _ in 0..3 {
                        let wide = direct(engine, target, &json!({"query":body["query"],"size":WINDOW})).ids();
                        let reply = gateway.call("POST", target, &body.to_string());
                        assert_eq!(reply.json()["_shards"]["failed"], 0, "{target} {body}: {}", reply.text());
                        let got: BTreeSet<String> = reply.ids().into_iter().collect();
                        assert!(!status_of(&reply).is_empty(), "{target}");
                        assert_eq!(got.len(), reply.ids().len(), "{target} {body}");
                        assert_eq!(got.len(), wide.len().min(10), "{target} {body}");
                        assert!(got.iter().all(|id| wide.contains(id)), "{target} {body}: {got:?}");
                    }
                }
            }
        });
    });
}

#[test]
fn case_10_totals_travel_as_they_are() {
    on_each(|engine| {
        before(engine, "gateway-totals", |gateway, target| {
            for (parameters, total) in [
                ("?track_total_hits=false", Value::Null),
                ("?rest_total_hits_as_int=true", json!(DOCUMENTS)),
                ("", json!({"value":DOCUMENTS,"relation":"eq"})),
            ] {
                let reply = gateway.reranked(&format!("{target}{parameters}"), &shoes(0, 10));
                assert_eq!(reply.json()["hits"]["total"], total, "{parameters}");
            }
        });
    });
}

#[test]
fn case_19_a_pinned_document_stays_in_front() {
    on_each(|engine| {
        before(engine, "gateway-pinned", |gateway, target| {
            let pinned = json!({"constant_score":{"filter":{"ids":{"values":["id70"]}},"boost":3e38}});
            let body = json!({"query":{"bool":{"should":[pinned,{"match":{"title":"shoe"}}]}}});
            let ids = gateway.reranked(target, &body).ids();
            assert_eq!(ids[0], "id70");
            assert_ne!(ids[1..], direct(engine, target, &body).ids()[1..]);
        });
    });
}

#[test]
fn case_21_a_rescored_search_is_reranked_within_its_rescore_window() {
    on_each(|engine| {
        before(engine, "gateway-rescored", |gateway, target| {
            let mut body = shoes(0, 10);
            body["rescore"] = json!({"query":{"rescore_query":{"term":{"colour":"red"}},"rescore_query_weight":0.5}});
            let mut expected = direct(engine, target, &body).ids();
            expected.reverse();
            assert_eq!(gateway.reranked(target, &body).ids(), expected);
        });
    });
}

#[test]
fn case_22_a_script_field_of_a_needed_name_is_left_alone() {
    on(Product::OpenSearch, |engine| {
        before(engine, "gateway-script", |gateway, target| {
            let mut body = shoes(0, 10);
            body["script_fields"] = json!({"title":{"script":"'mine'"}});
            body["_source"] = json!(false);
            let reply = gateway.call("POST", target, &body.to_string());
            assert_eq!(status_of(&reply), "skipped; reason=field-conflict");
            assert_eq!(without_took(&reply), without_took(&direct(engine, target, &body)));
        });
    });
}

#[test]
fn case_24_equal_scores_leave_the_order_to_the_model() {
    on_each(|engine| {
        before(engine, "gateway-equal", |gateway, target| {
            for boost in [0.0, 1.0] {
                let query = json!({"constant_score":{"filter":{"match":{"title":"shoe"}},"boost":boost}});
                let mut expected = direct(engine, target, &json!({"query":query,"size":WINDOW})).ids();
                expected.reverse();
                assert_eq!(gateway.reranked(target, &json!({"query":query})).ids(), expected[..10]);
            }
        });
    });
}

#[test]
fn a_query_in_the_url_is_reranked_without_any_body() {
    on_each(|engine| {
        before(engine, "gateway-url", |gateway, target| {
            let reply = gateway.call("GET", &format!("{target}?q=title:shoe&size=5"), "");
            assert!(status_of(&reply).starts_with("reranked"), "{}", status_of(&reply));
            assert_eq!(reply.ids(), turned_round(engine, target, WINDOW, WINDOW)[..5]);
        });
    });
}

#[test]
fn a_compressed_answer_holds_the_same_page() {
    on_each(|engine| {
        before(engine, "gateway-gzip", |gateway, target| {
            let headers = [("Content-Type", "application/json"), ("Accept-Encoding", "gzip")];
            let packed = http::send(gateway.address, "POST", target, &headers, shoes(0, 10).to_string().as_bytes());
            assert!(status_of(&packed).starts_with("reranked"), "{}", status_of(&packed));
            assert_eq!(packed.ids(), turned_round(engine, target, WINDOW, WINDOW)[..10]);
        });
    });
}

#[test]
fn a_sorted_search_and_an_unknown_key_come_as_the_engine_answers_them() {
    on_each(|engine| {
        before(engine, "gateway-left", |gateway, target| {
            let sorted = json!({"query":{"match":{"title":"shoe"}},"sort":["big"]});
            let reply = gateway.call("POST", target, &sorted.to_string());
            assert_eq!(status_of(&reply), "skipped; reason=sorted");
            assert_eq!(without_took(&reply), without_took(&direct(engine, target, &sorted)));
            let unknown = json!({"query":{"match":{"title":"shoe"}},"uhost":"elsewhere"}).to_string();
            let refused = gateway.call("POST", target, &unknown);
            assert_eq!(refused.status, 400);
            assert_eq!(refused.text(), engine.call("POST", target, &unknown).text());
        });
    });
}

#[test]
fn what_is_no_search_is_the_engines_own_answer() {
    on_each(|engine| {
        before(engine, "gateway-other", |gateway, _| {
            for target in ["/", "/gateway-other/_count", "/gateway-other/_doc/id1", "/gateway-other/_mapping", "/_no_such_thing"] {
                let (through, straight) = (gateway.call("GET", target, ""), engine.call("GET", target, ""));
                assert_eq!((through.status, through.text()), (straight.status, straight.text()), "{:?} {target}", engine.product);
                assert_eq!(through.header("rerank-status"), None, "{target}");
            }
        });
    });
}
