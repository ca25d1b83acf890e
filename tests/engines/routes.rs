//! The other search routes of real engines behind the gateway: multi searches, points in time, templates.
//!
//! The reranker turns the window round, so every order is known.

use serde_json::{Value, json};

use crate::rig::{
    engines::{Engine, Product, on, on_each},
    gateway::{Gateway, status_of},
    http::{self, Reply},
};

const DOCUMENTS: usize = 80;
const WINDOW: usize = 50;
const RULES: &str = r#"
[models.reverse]
kind = "fake-reverse"

[[rules]]
index = ["routes-*"]
model = "reverse"
fields = ["title"]
window = 50
timeout = "30s"
total-timeout = "60s"
fusion = { kind = "replace" }
"#;
const LINES: [(&str, &str); 1] = [("Content-Type", "application/x-ndjson")];

/// Fills an index and shows it to a test through a gateway.
fn before(engine: &Engine, index: &str, test: impl Fn(&Gateway)) {
    let definition = r#"{"settings":{"number_of_shards":1,"number_of_replicas":0},"mappings":{"properties":{
        "title":{"type":"text"},"big":{"type":"long"}}}}"#;
    let ids: Vec<String> = (0..DOCUMENTS).map(|number| format!("id{number}")).collect();
    let documents = ids.iter().enumerate().map(|(number, id)| {
        let title = format!("shoe {}", "more ".repeat(number));
        (id.as_str(), format!(r#"{{"title":"{title}","big":{},"price":1.0}}"#, 9_007_199_254_740_993 + number))
    });
    engine.fill(index, definition, documents);
    test(&Gateway::start(engine, RULES));
}

fn shoes(from: usize, size: usize) -> Value {
    json!({"query":{"match":{"title":"shoe"}},"from":from,"size":size})
}

/// Returns the engine's first `count` ids with the window turned round.
fn turned_round(engine: &Engine, index: &str, count: usize) -> Vec<String> {
    let mut ids = engine.call("POST", &format!("/{index}/_search"), &shoes(0, count).to_string()).ids();
    ids[..WINDOW].reverse();
    ids
}

/// Returns a text without the times that it took.
fn untimed(reply: &Reply) -> String {
    let text = reply.text();
    let mut pieces = text.split("\"took\"");
    let first = pieces.next().expect("split gives one piece at least").to_owned();
    pieces.fold(first, |rest, piece| rest + "\"took\"" + &piece[piece.find(',').expect("more comes after it")..])
}

fn both(engine: &Engine, gateway: &Gateway, target: &str, lines: &str) -> (Reply, Reply) {
    let send = |address| http::send(address, "POST", target, &LINES, lines.as_bytes());
    (send(gateway.address), send(engine.address))
}

fn ids(item: &Value) -> Vec<String> {
    let hits = item["hits"]["hits"].as_array().unwrap_or_else(|| panic!("no hits: {item}"));
    hits.iter().map(|hit| hit["_id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn case_12_items_of_a_multi_search_are_reranked_and_fail_alone() {
    on_each(|engine| {
        engine.fill("plain-multi", "{}", [("a", r#"{"title":"shoe"}"#.to_owned())]);
        before(engine, "routes-multi", |gateway| {
            let lines = [
                json!({"index":"routes-multi"}).to_string(),
                shoes(0, 10).to_string(),
                json!({"index":"no-such-index"}).to_string(),
                shoes(0, 10).to_string(),
                json!({"index":["plain-multi"],"search_type":"dfs_query_then_fetch","request_cache":false}).to_string(),
                shoes(0, 10).to_string(),
                json!({"index":"routes-multi","preference":"me","ignore_unavailable":true}).to_string(),
                json!({"query":{"match":{"title":"shoe"}},"from":45,"size":10,"_source":false}).to_string(),
                json!({"index":"routes-multi"}).to_string(),
                json!({"query":{"match":{"title":"shoe"}},"sort":["big"]}).to_string(),
                json!({"index":"routes-multi"}).to_string(),
                json!({"query":{"script_score":{"query":{"match":{"title":"shoe"}},"script":{"source":"no such language","lang":"x"}}}})
                    .to_string(),
            ];
            let lines = lines.map(|line| line + "\n").concat();
            for query in ["", "?rest_total_hits_as_int=true&typed_keys", "?pretty&max_concurrent_searches=1"] {
                let (reply, direct) = both(engine, gateway, &format!("/_msearch{query}"), &lines);
                assert_eq!((reply.status, direct.status), (200, 200), "{}", direct.text());
                let told: Vec<String> =
                    status_of(&reply).split(", ").map(|member| member.split(';').take(2).collect::<Vec<_>>().concat()).collect();
                let reranked = "reranked model=\"reverse\"";
                assert_eq!(told[..5], [reranked, "skipped reason=no-rule", "skipped reason=no-rule", reranked, "skipped reason=sorted"]);
                let (ours, theirs) = (reply.json(), direct.json());
                let expected = turned_round(engine, "routes-multi", 60);
                assert_eq!(ids(&ours["responses"][0]), expected[..10]);
                assert_eq!(ids(&ours["responses"][3]), expected[45..55]);
                assert!(ours["responses"][3]["hits"]["hits"][0].get("fields").is_none(), "{:?}", ours["responses"][3]);
                for (item, own) in ours["responses"].as_array().expect("items").iter().zip(theirs["responses"].as_array().expect("items")) {
                    assert_eq!(item["status"], own["status"]);
                    assert_eq!(item["hits"]["total"], own["hits"]["total"]);
                }
                for left in [1, 2, 4, 5] {
                    let own = |answer: &Value| {
                        let mut item = answer["responses"][left].clone();
                        item.as_object_mut().expect("an item").remove("took");
                        item
                    };
                    assert_eq!(own(&ours), own(&theirs), "{left}");
                }
            }
        });
    });
}

#[test]
fn lines_that_engines_read_in_their_own_way_come_as_they_answer_them() {
    on_each(|engine| {
        before(engine, "routes-lines", |gateway| {
            let (header, body) = (r#"{"index":"routes-lines"}"#, r#"{"query":{"match":{"title":"shoe"}},"sort":["_doc"],"size":2}"#);
            let (search, unknown) = (r#"{"query":{"match":{"title":"shoe"}},"size":2}"#, r#"{"uhost":1}"#);
            for lines in [
                String::new(),
                "\n".to_owned(),
                format!("{header}\n{body}"),
                format!("{header}\n"),
                format!("\n{header}\n{body}\n"),
                format!("{header}\n\n"),
                format!("{header}\n{search}\n\n\n"),
                format!("[\"routes-lines\"]\n{body}\n"),
                format!("{{\"index\":\"routes-lines\",\"uhost\":1}}\n{search}\n"),
                format!("{{\"index\":null}}\n{body}\n"),
                format!("{header}\n{search}\n{header}\n{unknown}\n"),
                format!("{header}\n{}\n", &search[..20]),
            ] {
                let (reply, direct) = both(engine, gateway, "/routes-lines/_msearch", &lines);
                assert_eq!((reply.status, untimed(&reply)), (direct.status, untimed(&direct)), "{:?} {lines:?}", engine.product);
                assert!(status_of(&reply).starts_with("skipped"), "{lines:?}: {}", status_of(&reply));
            }
            let turned = turned_round(engine, "routes-lines", WINDOW);
            for lines in [
                format!("{header}\n{search}\n"),
                format!("{header}\r\n{search}\r\n"),
                format!("\n{search}\n").replacen('\n', "{}\n", 1),
                format!("{header}\n{search}\n{header}\n"),
                format!("{header}\n{search}\n\n"),
                format!("{{\"index\":[]}}\n{search}\n{header}\n{search}\n\n{search}\n"),
            ] {
                let (reply, direct) = both(engine, gateway, "/routes-lines/_msearch", &lines);
                assert_eq!((reply.status, direct.status), (200, 200), "{lines:?} {}", direct.text());
                let (ours, theirs) = (reply.json(), direct.json());
                let all = ours["responses"].as_array().expect("items");
                assert_eq!(all.len(), theirs["responses"].as_array().expect("items").len(), "{lines:?}");
                assert_eq!(ids(all.last().expect("an item")), turned[..2], "{lines:?} {}", status_of(&reply));
            }
        });
    });
}

#[test]
fn searches_in_a_point_in_time_are_reranked_and_those_of_elsewhere_pass() {
    on_each(|engine| {
        before(engine, "routes-pit", |gateway| {
            let (open, key) = match engine.product {
                Product::Elasticsearch => ("/routes-pit/_pit?keep_alive=1m", "id"),
                Product::OpenSearch => ("/routes-pit/_search/point_in_time?keep_alive=1m", "pit_id"),
            };
            let opened = |reply: Reply| reply.json()[key].as_str().expect("an id").to_owned();
            let (id, elsewhere) = (opened(gateway.call("POST", open, "")), opened(engine.call("POST", open, "")));
            let search = |pit: &str, from: usize, more: &Value| {
                let mut body = shoes(from, 10);
                body["pit"] = json!({"id":pit,"keep_alive":"1m"});
                body.as_object_mut().expect("a body").extend(more.as_object().expect("keys").clone());
                body.to_string()
            };
            let turned = turned_round(engine, "routes-pit", WINDOW);
            // What is indexed later is not in it.
            engine.bulk("routes-pit", "{\"index\":{\"_id\":\"late\"}}\n{\"title\":\"shoe\"}\n");
            let (mut ids, mut current) = (Vec::new(), id.clone());
            for from in (0..WINDOW).step_by(10) {
                let reply = gateway.call("POST", "/_search", &search(&id, from, &json!({})));
                assert!(status_of(&reply).starts_with("reranked"), "{}: {}", status_of(&reply), reply.text());
                ids.extend(reply.ids());
                current = reply.json()["pit_id"].as_str().expect("an id").to_owned();
            }
            assert_eq!(ids, turned);
            let again = gateway.call("POST", "/_search", &search(&current, 0, &json!({"_source":false})));
            assert_eq!((again.ids(), status_of(&again).starts_with("reranked")), (turned[..10].to_vec(), true));
            assert_eq!(again.json()["hits"]["hits"][0].get("fields"), None);
            let cursor = json!({"sort":[{"_score":"desc"}],"search_after":[1.0]});
            let mut after = serde_json::from_str::<Value>(&search(&id, 0, &cursor)).expect("json");
            after.as_object_mut().expect("a body").remove("from");
            let (reply, direct) =
                (gateway.call("POST", "/_search", &after.to_string()), engine.call("POST", "/_search", &after.to_string()));
            assert_eq!((status_of(&reply), reply.status), ("skipped; reason=cursor", direct.status));
            let unknown = search(&elsewhere, 0, &json!({}));
            let (passed, own) = (gateway.call("POST", "/_search", &unknown), engine.call("POST", "/_search", &unknown));
            assert_eq!((status_of(&passed), untimed(&passed)), ("skipped; reason=unknown-pit", untimed(&own)));
            let (close, body) = match engine.product {
                Product::Elasticsearch => ("/_pit", json!({"id":id})),
                Product::OpenSearch => ("/_search/point_in_time", json!({"pit_id":[id, elsewhere]})),
            };
            assert_eq!(gateway.call("DELETE", close, &body.to_string()).status, 200);
            let closed = gateway.call("POST", "/_search", &search(&id, 0, &json!({})));
            assert_eq!((status_of(&closed), closed.status), ("skipped; reason=unknown-pit", 404));
        });
    });
}

#[test]
fn template_searches_are_rendered_reranked_and_answered_in_their_shape() {
    on(Product::OpenSearch, |engine| {
        before(engine, "routes-template", |gateway| {
            let source = r#"{"query":{"match":{"title":"{{q}}"}},"from":{{from}},"size":10}"#;
            engine.ok("PUT", "/_scripts/routes-stored", &json!({"script":{"lang":"mustache","source":source}}).to_string());
            let turned = turned_round(engine, "routes-template", WINDOW);
            let target = "/routes-template/_search/template";
            for from in [0, 10, 40] {
                let params = json!({"q":"shoe","from":from});
                for body in [
                    json!({"source":source,"params":params}),
                    json!({"source":{"query":{"match":{"title":"{{q}}"}},"from":from},"params":params}),
                    json!({"id":"routes-stored","params":params}),
                ] {
                    for query in ["", "?pretty", "?rest_total_hits_as_int=true"] {
                        let target = format!("{target}{query}");
                        let reply = gateway.reranked(&target, &body);
                        assert_eq!(reply.ids(), turned[from..from + 10], "{body}");
                        let direct = engine.call("POST", &target, &body.to_string());
                        let outside = |answer: &Reply| {
                            let text = untimed(answer);
                            let hits = text.find("\"max_score\"").expect("hits");
                            (text[..hits].to_owned(), text.rsplit(']').next().expect("an end").to_owned())
                        };
                        assert_eq!(outside(&reply), outside(&direct), "{body} {query}");
                    }
                }
            }
            let header = r#"{"index":"routes-template"}"#;
            let item = |from: usize| format!("{header}\n{}\n", json!({"id":"routes-stored","params":{"q":"shoe","from":from}}));
            let (reply, direct) = both(engine, gateway, "/_msearch/template", &(item(0) + &item(20)));
            assert_eq!(status_of(&reply).matches("reranked").count(), 2, "{}: {}", status_of(&reply), reply.text());
            let (ours, theirs) = (reply.json(), direct.json());
            assert_eq!([ids(&ours["responses"][0]), ids(&ours["responses"][1])], [turned[..10].to_vec(), turned[20..30].to_vec()]);
            let keys = |answer: &Value| answer["responses"][0].as_object().expect("an item").keys().cloned().collect::<Vec<_>>();
            assert_eq!((keys(&ours), &ours["responses"][0]["status"]), (keys(&theirs), &theirs["responses"][0]["status"]));
            for (body, reason) in [
                (json!({"id":"no-such-template"}), "no-query-text"),
                (json!({"source":"{\"query\": {{q}} }","params":{"q":"x"}}), "no-query-text"),
                (json!({"source":"{{#a}}"}), "no-query-text"),
                (json!({"source":"{\"query\":{\"match\":{\"title\":\"shoe\"}},\"sort\":[\"big\"]}"}), "sorted"),
                (json!({"source":"{}","uhost":1}), "unsupported"),
            ] {
                let (passed, own) = (gateway.call("POST", target, &body.to_string()), engine.call("POST", target, &body.to_string()));
                assert_eq!(status_of(&passed), format!("skipped; reason={reason}"), "{body}");
                assert_eq!((passed.status, untimed(&passed)), (own.status, untimed(&own)), "{body}");
            }
        });
    });
}
