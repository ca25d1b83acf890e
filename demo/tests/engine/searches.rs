//! Searches: pages, totals, orders, and what is shown of hits.

use serde_json::{Value, json};

use crate::rig::{Rig, ids};

/// Eight shoes.
fn shop() -> Rig {
    let rig = Rig::start();
    let definition = json!({"settings": {"number_of_replicas": 0}, "mappings": {"properties": {
        "title": {"type": "text"}, "colour": {"type": "keyword"}, "price": {"type": "double"}, "stock": {"type": "integer"},
        "weight": {"type": "float"}, "new": {"type": "boolean"}, "since": {"type": "date"}}}});
    rig.ok("PUT", "/shop", &definition.to_string());
    let mut lines = String::new();
    for number in 0..8 {
        let colour = if number % 2 == 0 { "red" } else { "blue" };
        let mut document = json!({"title": format!("shoe number {number}"), "colour": colour, "weight": 9.99});
        if number < 6 {
            document["price"] = json!(100.5 - number as f64);
            document["stock"] = json!(number % 3);
            document["new"] = json!(number == 5);
            document["since"] = json!(format!("2020-01-0{}", number + 1));
        }
        lines.push_str(&format!("{{\"index\":{{\"_id\":\"{number}\"}}}}\n{document}\n"));
    }
    rig.bulk("/shop/_bulk?refresh=true", &lines);
    rig
}

#[test]
fn equal_scores_keep_the_order_of_writing() {
    let rig = shop();
    let all = r#"{"query":{"match":{"title":"shoe"}}}"#;
    assert_eq!(rig.ids("/shop/_search", all), ["0", "1", "2", "3", "4", "5", "6", "7"]);
    rig.ok("PUT", "/shop/_doc/2?refresh=true", r#"{"title":"shoe number 2"}"#);
    assert_eq!(rig.ids("/shop/_search", all).last().map(String::as_str), Some("2"));
    assert_eq!(rig.ids("/shop/_search", ""), ["0", "1", "3", "4", "5", "6", "7", "2"]);
}

#[test]
fn pages_are_cut_from_one_order() {
    let rig = shop();
    let page = |from: usize, size: usize| rig.ids("/shop/_search", &json!({"from": from, "size": size}).to_string());
    assert_eq!(page(0, 3), ["0", "1", "2"]);
    assert_eq!(page(6, 5), ["6", "7"]);
    assert!(page(8, 5).is_empty());
    let nothing = rig.ok("POST", "/shop/_search", r#"{"size":0}"#);
    assert_eq!(nothing["hits"], json!({"total": {"value": 8, "relation": "eq"}, "max_score": null, "hits": []}));
    assert_eq!(ids(&rig.ok("GET", "/shop/_search?from=7&size=1", r#"{"from":0,"size":8}"#)), ["7"]);
    assert_eq!(rig.ids("/shop/_search", r#"{"from":9990,"size":10}"#), Vec::<String>::new());
    let (_, reason) = rig.refused(("POST", "/shop/_search", r#"{"from":9991,"size":10}"#), 400);
    assert!(reason.contains("[10000] but was [10001]"), "{reason}");
    for wrong in [r#"{"size":-1}"#, r#"{"from":-1}"#, r#"{"size":"x"}"#, r#"{"size":1.5}"#, r#"{"size":{}}"#, r#"{"size":99999999999}"#] {
        rig.refused(("POST", "/shop/_search", wrong), 400);
    }
}

#[test]
fn totals_are_counted_as_far_as_asked() {
    let rig = shop();
    for (asked, expected) in [
        (json!(true), json!({"value": 8, "relation": "eq"})),
        (json!(8), json!({"value": 8, "relation": "eq"})),
        (json!(3), json!({"value": 3, "relation": "gte"})),
        (json!(false), Value::Null),
    ] {
        let answer = rig.ok("POST", "/shop/_search", &json!({"track_total_hits": asked}).to_string());
        assert_eq!(answer["hits"].get("total").unwrap_or(&Value::Null), &expected, "{asked}");
        assert_eq!(answer["hits"]["hits"].as_array().unwrap().len(), 8);
    }
    rig.refused(("POST", "/shop/_search", r#"{"track_total_hits":-2}"#), 400);
}

#[test]
fn hits_are_sorted_by_every_kind_of_field() {
    let rig = shop();
    for (sort, expected) in [
        (json!(["price"]), ["5", "4", "3", "2", "1", "0", "6", "7"]),
        (json!([{"price": "desc"}]), ["0", "1", "2", "3", "4", "5", "6", "7"]),
        (json!([{"price": {"order": "asc", "missing": "_first"}}]), ["6", "7", "5", "4", "3", "2", "1", "0"]),
        (json!([{"stock": "desc"}, {"price": "asc"}]), ["5", "2", "4", "1", "3", "0", "6", "7"]),
        (json!([{"colour": "asc"}, {"_doc": "desc"}]), ["7", "5", "3", "1", "6", "4", "2", "0"]),
        (json!([{"new": "desc"}, "since"]), ["5", "0", "1", "2", "3", "4", "6", "7"]),
        (json!({"since": {"order": "desc"}}), ["5", "4", "3", "2", "1", "0", "6", "7"]),
        (json!("_doc"), ["0", "1", "2", "3", "4", "5", "6", "7"]),
    ] {
        let body = json!({"sort": sort}).to_string();
        assert_eq!(rig.ids("/shop/_search", &body), expected, "{sort}");
        let paged = json!({"sort": sort, "from": 2, "size": 3}).to_string();
        assert_eq!(rig.ids("/shop/_search", &paged), expected[2..5], "{sort}");
    }
    assert_eq!(ids(&rig.ok("GET", "/shop/_search?sort=stock:desc,price:asc&size=2", "")), ["5", "2"]);
}

#[test]
fn a_sorted_hit_shows_its_values_and_no_score_unless_asked() {
    let rig = shop();
    let body = json!({"sort": ["stock", "since", "colour", "weight", "new"], "query": {"match": {"title": "7"}}, "_source": false});
    let answer = rig.ok("POST", "/shop/_search", &body.to_string());
    let sort = json!([i32::MAX, i64::MAX, "blue", 9.99, i32::MAX]);
    let hit = json!({"_index": "shop", "_id": "7", "_score": null, "sort": sort});
    assert_eq!(answer["hits"], json!({"total": {"value": 1, "relation": "eq"}, "max_score": null, "hits": [hit]}));
    let scored = rig.ok("POST", "/shop/_search", r#"{"sort":["price"],"track_scores":true,"query":{"match":{"title":"7"}}}"#);
    assert!(scored["hits"]["max_score"].as_f64().unwrap() > 0.5, "{scored}");
    assert_eq!(scored["hits"]["hits"][0]["sort"], json!(["Infinity"]));
    let by_score = rig.ok("POST", "/shop/_search", r#"{"sort":[{"_score":"desc"}],"query":{"match":{"title":"7"}}}"#);
    assert_eq!(by_score["hits"]["hits"][0].get("sort"), None);
}

#[test]
fn what_cannot_be_sorted_by_is_refused() {
    let rig = shop();
    for (sort, named) in [
        (json!(["title"]), "Text fields are not optimised"),
        (json!(["nope"]), "No mapping found for [nope]"),
        (json!([{"price": "up"}]), "up"),
        (json!([{"price": {"mode": "avg"}}]), "[mode]"),
        (json!([{"price": {"missing": 7}}]), "[missing]"),
        (json!([7]), "sort"),
    ] {
        let (_, reason) = rig.refused(("POST", "/shop/_search", &json!({"sort": sort}).to_string()), 400);
        assert!(reason.contains(named), "{sort}: {reason}");
    }
    let reply = rig.call("POST", "/shop/_search", r#"{"sort":["nope"]}"#).json();
    assert_eq!(reply["error"]["type"], "search_phase_execution_exception");
    assert_eq!(reply["error"]["failed_shards"][0]["index"], "shop");
}

#[test]
fn what_a_search_asks_in_vain_is_named() {
    let rig = shop();
    for key in
        ["aggs", "knn", "collapse", "rescore", "search_after", "pit", "post_filter", "suggest", "script_fields", "stored_fields", "slice"]
    {
        let (_, reason) = rig.refused(("POST", "/shop/_search", &json!({key: {}}).to_string()), 400);
        assert!(reason.contains(&format!("[{key}]")), "{reason}");
    }
    assert_eq!(
        rig.refused(("POST", "/shop/_search", r#"{"foo":1}"#), 400),
        ("parsing_exception".to_owned(), "Unknown key for a VALUE_NUMBER in [foo].".to_owned())
    );
    for parameter in ["scroll=1m", "routing=a", "filter_path=hits", "rest_total_hits_as_int=true", "foo"] {
        let name = parameter.split('=').next().unwrap();
        let (_, reason) = rig.refused(("POST", &format!("/shop/_search?{parameter}"), ""), 400);
        assert!(reason.contains(&format!("[{name}]")), "{reason}");
    }
    for target in
        ["/_search/scroll", "/shop/_pit", "/shop/_update/1", "/_cat/indices", "/shop/_delete_by_query", "/_aliases", "/shop/_settings"]
    {
        let (_, reason) = rig.refused(("POST", target, "{}"), 400);
        assert!(reason.contains("is not supported by the engine of podium demo"), "{target}: {reason}");
    }
}

#[test]
fn versions_numbers_and_least_scores_are_shown_on_request() {
    let rig = shop();
    let body = r#"{"version":true,"seq_no_primary_term":true,"size":1,"_source":["colour"]}"#;
    let hit = &rig.ok("POST", "/shop/_search", body)["hits"]["hits"][0];
    let expected = json!({"_index": "shop", "_id": "0", "_version": 1, "_seq_no": 0, "_primary_term": 1, "_score": 1.0,
        "_source": {"colour": "red"}});
    assert_eq!(hit, &expected);
    assert_eq!(rig.ok("POST", "/shop/_search", r#"{"min_score":1.5}"#)["hits"]["total"]["value"], 0);
    assert_eq!(rig.ids("/shop/_search", r#"{"min_score":0.5,"query":{"match":{"title":"number 3"}}}"#), ["3"]);
}

#[test]
fn several_indices_answer_as_one() {
    let rig = shop();
    rig.ok("PUT", "/other/_doc/x?refresh=true", r#"{"price":97.0,"title":"shoe"}"#);
    let answer = rig.ok("POST", "/shop,other/_search", r#"{"sort":[{"price":"desc"}],"size":5}"#);
    assert_eq!(ids(&answer), ["0", "1", "2", "3", "x"]);
    assert_eq!(answer["_shards"], json!({"total": 2, "successful": 2, "skipped": 0, "failed": 0}));
    assert_eq!(answer["hits"]["total"]["value"], 9);
    let none = rig.ok("GET", "/zz*/_search", "");
    assert_eq!(none["hits"]["max_score"], 0.0);
}

#[test]
fn many_searches_are_answered_in_order() {
    let rig = shop();
    let lines = [
        r#"{"index":"shop"}"#,
        r#"{"size":1}"#,
        r#"{"index":"nope"}"#,
        r#"{}"#,
        r#"{}"#,
        r#"{"size":0}"#,
        r#"{"index":["shop","nope"],"ignore_unavailable":true}"#,
        r#"{"sort":["nope"]}"#,
    ];
    let body = format!("{}\n", lines.join("\n"));
    let reply = rig.send("POST", "/shop/_msearch", &[("Content-Type", "application/x-ndjson")], body.as_bytes()).json();
    let responses = reply["responses"].as_array().unwrap();
    let statuses: Vec<u64> = responses.iter().map(|response| response["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 404, 200, 400]);
    assert_eq!(responses[0]["hits"]["hits"][0]["_id"], "0");
    assert_eq!(responses[1]["error"]["type"], "index_not_found_exception");
    for (wrong, named) in [
        ("{}\n{\"foo\":1}\n", "[foo]"),
        ("{\"foo\":1}\n{}\n", "[foo]"),
        ("{}\n{}", "newline"),
        ("", "no requests"),
        ("{}\n{\"query\":{\"foo\":{}}}\n", "[foo]"),
        ("{}\n", "line [1]"),
        ("{}\n{}\n{\"index\":\"shop\"}\n", "line [3]"),
        ("{\"index\":\"\"}\n{}\n", "[index]"),
        ("\n", "no requests"),
    ] {
        let refused = rig.send("POST", "/shop/_msearch", &[("Content-Type", "application/x-ndjson")], wrong.as_bytes());
        assert_eq!(refused.status, 400, "{wrong}: {}", refused.text);
        assert!(refused.text.contains(named), "{wrong}: {}", refused.text);
    }
}

#[test]
fn what_makes_no_sense_is_told_where_there_is_nothing_to_search() {
    let rig = Rig::start();
    for (body, named) in [
        (r#"{"query":{"foo":{}}}"#, "[foo]"),
        (r#"{"query":{"match":{"a":{"query":"b","foo":1}}}}"#, "[foo]"),
        (r#"{"query":{"match_all":{}},"fields":[{"fild":"a"}]}"#, "[fild]"),
        (r#"{"query":{"match_all":{}},"highlight":{"foo":1}}"#, "[foo]"),
    ] {
        for target in ["/zz*/_search", "/_search", "/zz*/_count"] {
            let reply = rig.call("POST", target, body);
            assert_eq!(reply.status, 400, "{target} {body}: {}", reply.text);
            assert!(reply.text.contains(named) || target.ends_with("_count"), "{target} {body}: {}", reply.text);
        }
    }
    assert_eq!(rig.ok("POST", "/zz*/_search", r#"{"query":{"term":{"n":"x"}},"sort":"n"}"#)["hits"]["total"]["value"], 0);
}

#[test]
fn keys_whose_order_counts_are_given_as_a_list() {
    let rig = shop();
    for sort in [r#"{"price":"asc","stock":"desc"}"#, r#"[{"price":"asc","stock":"desc"}]"#] {
        let (_, reason) = rig.refused(("POST", "/shop/_search", &format!(r#"{{"sort":{sort}}}"#)), 400);
        assert!(reason.contains("list") && reason.contains("[sort]"), "{reason}");
    }
}

#[test]
fn endless_lists_of_fields_are_refused() {
    let rig = shop();
    let patterns = |count: usize| vec![json!({"*": {}}); count];
    for body in [
        json!({"highlight": {"fields": patterns(1025)}}),
        json!({"fields": vec!["*"; 1025]}),
        json!({"query": {"multi_match": {"query": "a", "fields": vec!["*"; 1025]}}}),
        json!({"query": {"query_string": {"query": "a", "fields": vec!["*"; 1025]}}}),
    ] {
        let (_, reason) = rig.refused(("POST", "/shop/_search", &body.to_string()), 400);
        assert!(reason.contains("[1024]"), "{reason}");
    }
    rig.ok("POST", "/shop/_search", &json!({"highlight": {"fields": patterns(1024)}}).to_string());
}
