//! The cases that broke others, by their numbers, on real engines: those that neither `through_gateway` nor another module here has.
//! Case 11 is the target `clients`; case 14 is about a model alone.

use serde_json::{Value, json};

use crate::rig::{
    engines::{Engine, Product, on, on_each},
    gateway::{Gateway, status_of},
    http::{self, Reply},
};

const DOCUMENTS: usize = 30;

fn rule(index: &str, model: &str, more: &str) -> String {
    format!("[[rules]]\nindex = ['{index}']\nmodel = '{model}'\n{more}\n")
}

/// Returns models of every manner, and these rules.
fn rules(rules: &[String]) -> String {
    let manners = ["reverse", "overlap", "panic", "broken", "nan", "hang"];
    let models: String = manners.map(|manner| format!("[models.{manner}]\nkind = 'fake-{manner}'\n")).concat();
    let defaults = "[defaults]\nfields = ['title']\nwindow = 20\ntimeout = '30s'\ntotal-timeout = '60s'\nfusion = { kind = 'replace' }\n";
    format!("{models}{defaults}{}", rules.concat())
}

/// Fills an index with shoes, each title longer than the one before.
fn fill(engine: &Engine, index: &str) -> String {
    let definition = r#"{"settings":{"number_of_shards":1,"number_of_replicas":0},"mappings":{"properties":{
        "title":{"type":"text"},"body":{"type":"text"},"colour":{"type":"keyword"},
        "content":{"type":"nested","properties":{"text":{"type":"text"}}}}}}"#;
    let ids: Vec<String> = (0..DOCUMENTS).map(|number| format!("id{number}")).collect();
    let documents = ids.iter().enumerate().map(|(number, id)| {
        let body = if number % 2 == 0 { "waterproof" } else { "plain" };
        let inner = if number % 3 == 0 { "sole" } else { "lace" };
        let title = format!("shoe {}", "more ".repeat(number));
        (id.as_str(), json!({"title":title,"body":body,"colour":"red","content":[{"text":inner},{"text":"made"}]}).to_string())
    });
    engine.fill(index, definition, documents);
    format!("/{index}/_search")
}

fn shoes(from: usize, size: usize) -> Value {
    json!({"query":{"match":{"title":"shoe"}},"from":from,"size":size})
}

/// Returns an answer's text without the time that it took.
fn without_took(reply: &Reply) -> String {
    let text = reply.text();
    let Some(start) = text.find("\"took\"") else { return text };
    let end = start + text[start..].find(',').expect("more comes after it");
    format!("{}{}", &text[..start], &text[end..])
}

/// Asserts that a search goes out as the engine answers it, for this reason.
fn assert_engines_own(engine: &Engine, gateway: &Gateway, (target, body): (&str, &str), reason: &str) {
    let (reply, direct) = (gateway.call("POST", target, body), engine.call("POST", target, body));
    assert_eq!(status_of(&reply), format!("skipped; reason={reason}"), "{:?} {body:.200}", engine.product);
    assert_eq!((reply.status, without_took(&reply)), (direct.status, without_took(&direct)), "{:?} {body:.200}", engine.product);
}

#[test]
fn case_1_a_model_that_dies_breaks_or_lies_costs_the_order_alone() {
    on_each(|engine| {
        let indices = ["panic", "broken", "nan"].map(|manner| (manner, format!("cases-{manner}")));
        let written = indices.each_ref().map(|(manner, index)| rule(index, manner, ""));
        let targets = indices.map(|(_, index)| fill(engine, &index));
        let gateway = Gateway::start(engine, &rules(&written));
        for target in targets {
            assert_engines_own(engine, &gateway, (&target, &shoes(3, 7).to_string()), "model-error");
        }
    });
}

#[test]
fn case_2_and_23_a_model_that_is_too_slow_and_the_pages_after() {
    on_each(|engine| {
        let target = fill(engine, "cases-hang");
        let gateway = Gateway::start(engine, &rules(&[rule("cases-hang", "hang", "timeout = '200ms'")]));
        assert_engines_own(engine, &gateway, (&target, &shoes(0, 5).to_string()), "timeout");
        let second = gateway.call("POST", &target, &shoes(5, 5).to_string());
        assert_eq!(status_of(&second), "skipped; reason=timeout", "a page after one in the engine's order stays in it");
        assert_eq!(second.ids(), engine.call("POST", &target, &shoes(5, 5).to_string()).ids());
    });
}

#[test]
fn case_7_a_retriever_with_a_window_of_its_own_is_not_asked_for_more() {
    on(Product::Elasticsearch, |engine| {
        let target = fill(engine, "cases-retriever");
        let gateway = Gateway::start(engine, &rules(&[rule("cases-retriever", "reverse", "")]));
        let standard = json!({"standard":{"query":{"match":{"title":"shoe"}}}});
        let second = json!({"rescore_query":{"match":{"title":"more"}}});
        let body = json!({"retriever":{"rescorer":{"retriever":standard,"rescore":{"window_size":10,"query":second}}},"size":10});
        let mut expected = engine.call("POST", &target, &body.to_string()).ids();
        expected.reverse();
        let reply = gateway.reranked(&target, &body);
        assert_eq!((reply.ids(), status_of(&reply).contains("window=10")), (expected, true));
    });
}

#[test]
fn case_8_two_fields_make_one_text_and_scores_belong_to_it() {
    on_each(|engine| {
        let target = fill(engine, "cases-fields");
        let rule = rule("cases-fields", "overlap", "fields = ['title', 'body']\nannotate = true\nquery = { url-param = 'preference' }");
        let gateway = Gateway::start(engine, &rules(&[rule]));
        let hits = gateway.reranked(&format!("{target}?preference=shoe+waterproof"), &shoes(0, 20)).hits();
        let scores: Vec<f64> = hits.iter().map(|hit| hit["fields"]["_rerank"][0]["score"].as_f64().expect("a score")).collect();
        for (hit, score) in hits.iter().zip(&scores) {
            let both = hit["_source"]["body"] == "waterproof";
            assert_eq!(*score > 0.7, both, "{hit}: both words or one");
        }
        assert!(scores.is_sorted_by(|one, next| one >= next) && scores[0] > scores[19], "{scores:?}");
    });
}

#[test]
fn case_9_nested_texts_are_read_and_not_shown() {
    on_each(|engine| {
        let target = fill(engine, "cases-nested");
        let rule = rule("cases-nested", "overlap", "fields = ['content.text']\nquery = { url-param = 'preference' }");
        let gateway = Gateway::start(engine, &rules(&[rule]));
        let mut body = shoes(0, 20);
        body["_source"] = json!(false);
        let hits = gateway.reranked(&format!("{target}?preference=sole+made"), &body).hits();
        let with_sole = |hit: &Value| hit["_id"].as_str().and_then(|id| id[2..].parse::<usize>().ok()).expect("an id").is_multiple_of(3);
        assert_eq!(hits.iter().take_while(|hit| with_sole(hit)).count(), hits.iter().filter(|hit| with_sole(hit)).count());
        assert!(hits.iter().all(|hit| hit.get("fields").is_none() && hit.get("_source").is_none()), "{hits:?}");
    });
}

#[test]
fn case_13_every_kind_of_text_that_both_engines_know_is_found() {
    on_each(|engine| {
        let target = fill(engine, "cases-kinds");
        let gateway = Gateway::start(engine, &rules(&[rule("cases-kinds", "reverse", "")]));
        let span = json!({"span_term":{"title":"shoe"}});
        let plain = json!({"match":{"title":"shoe"}});
        for query in [
            plain.clone(),
            json!({"match_phrase":{"title":"shoe"}}),
            json!({"match_phrase_prefix":{"title":{"query":"sho"}}}),
            json!({"match_bool_prefix":{"title":"sho"}}),
            json!({"multi_match":{"query":"shoe","fields":["title^2","body"]}}),
            json!({"combined_fields":{"query":"shoe","fields":["title","body"]}}),
            json!({"query_string":{"query":"title:shoe~1"}}),
            json!({"simple_query_string":{"query":"shoe*","fields":["title"]}}),
            json!({"intervals":{"title":{"any_of":{"intervals":[{"match":{"query":"shoe"}},{"prefix":{"prefix":"sho"}}]}}}}),
            json!({"more_like_this":{"fields":["title"],"like":"shoe","min_term_freq":1,"min_doc_freq":1}}),
            json!({"span_near":{"clauses":[span],"slop":1}}),
            json!({"span_first":{"match":span,"end":3}}),
            json!({"prefix":{"title":"sho"}}),
            json!({"wildcard":{"title":{"value":"sh*e"}}}),
            json!({"regexp":{"title":"sho."}}),
            json!({"fuzzy":{"title":{"value":"shoo"}}}),
            json!({"term":{"colour":"red"}}),
            json!({"terms":{"colour":["red"]}}),
            json!({"bool":{"must":plain,"filter":{"term":{"colour":"red"}}}}),
            json!({"dis_max":{"queries":[plain]}}),
            json!({"boosting":{"positive":plain,"negative":{"term":{"colour":"blue"}},"negative_boost":0.5}}),
            json!({"constant_score":{"filter":plain}}),
            json!({"function_score":{"query":plain,"functions":[{"weight":2}]}}),
            json!({"nested":{"path":"content","query":{"match":{"content.text":"made"}}}}),
            json!({"wrapper":{"query":"eyJtYXRjaCI6eyJ0aXRsZSI6InNob2UifX0="}}),
        ] {
            let body = json!({"query":query,"size":20});
            let mut expected = engine.call("POST", &target, &body.to_string()).ids();
            expected.reverse();
            assert_eq!(gateway.reranked(&target, &body).ids(), expected, "{:?} {query}", engine.product);
        }
    });
}

#[test]
fn case_15_keys_of_other_proxies_are_the_engines_to_refuse() {
    on_each(|engine| {
        let target = fill(engine, "cases-keys");
        let gateway = Gateway::start(engine, &rules(&[rule("cases-keys", "reverse", "")]));
        for key in ["uhost", "query_prep", "nboost"] {
            let mut body = shoes(0, 5);
            body[key] = json!("lambda x: x");
            assert_engines_own(engine, &gateway, (&target, &body.to_string()), "unsupported");
            assert_engines_own(engine, &gateway, (&format!("{target}?{key}=http://127.0.0.1:1"), &shoes(0, 5).to_string()), "unsupported");
        }
    });
}

#[test]
fn case_16_and_23_a_page_is_for_one_identity_and_outlives_a_refresh() {
    on_each(|engine| {
        let target = fill(engine, "cases-identity");
        let gateway = Gateway::start(engine, &rules(&[rule("cases-identity", "reverse", "")]));
        let page = |identity: &str, from: usize| {
            let headers = [("Content-Type", "application/json"), ("Authorization", identity)];
            let reply = http::send(gateway.address, "POST", &target, &headers, shoes(from, 10).to_string().as_bytes());
            assert!(status_of(&reply).starts_with("reranked"), "{}: {}", status_of(&reply), reply.text());
            reply.ids()
        };
        let first = page("Basic b25lOm9uZQ==", 0);
        engine.ok("PUT", "/cases-identity/_doc/new?refresh=true", r#"{"title":"shoe"}"#);
        let second = page("Basic b25lOm9uZQ==", 10);
        assert!(first.iter().all(|id| !second.contains(id)), "{first:?} {second:?}: no hit twice");
        assert_eq!(second.last().map(String::as_str), Some("new"), "what came later stands behind what was pinned");
        let other = [page("Basic b3RoZXI6b3RoZXI=", 10), page("Basic b3RoZXI6b3RoZXI=", 0)].concat();
        let fresh = engine.call("POST", &target, &shoes(0, 20).to_string()).ids();
        let mut expected: Vec<String> = fresh.into_iter().rev().collect();
        expected.rotate_left(10);
        assert_eq!(other, expected, "another identity's pages are computed for it");
    });
}

#[test]
fn case_17_an_error_is_not_remembered() {
    on_each(|engine| {
        engine.call("DELETE", "/cases-later", "");
        let gateway = Gateway::start(engine, &rules(&[rule("cases-later", "reverse", "")]));
        let missing = gateway.call("POST", "/cases-later/_search", &shoes(0, 5).to_string());
        assert_eq!((missing.status, status_of(&missing)), (404, "skipped; reason=upstream-status"));
        let target = fill(engine, "cases-later");
        let mut expected = engine.call("POST", &target, &shoes(0, 20).to_string()).ids();
        expected.reverse();
        assert_eq!(gateway.reranked(&target, &shoes(0, 20)).ids(), expected);
    });
}

#[test]
fn case_20_broken_bodies_are_the_engines_to_answer() {
    on_each(|engine| {
        let target = fill(engine, "cases-broken-bodies");
        let gateway = Gateway::start(engine, &rules(&[rule("cases-broken-bodies", "reverse", "")]));
        let deep = format!("{}{{\"match\":{{\"title\":\"shoe\"}}}}{}", "{\"bool\":{\"must\":".repeat(200), "}}".repeat(200));
        let long = format!(r#"{{"query":{{"match":{{"title":"{}"}}}}}}"#, "shoe ".repeat(40_000));
        for (body, reason) in [
            (r#"{"query":{"match":{"title":"shoe""#.to_owned(), "not-json"),
            ("shoe".to_owned(), "not-json"),
            (r#"{"size":1,"size":2,"query":{"match":{"title":"shoe"}}}"#.to_owned(), "not-json"),
            (format!("{{\"query\":{deep}}}"), "unsupported"),
            (long, "unsupported"),
        ] {
            assert_engines_own(engine, &gateway, (&target, &body), reason);
        }
    });
}
