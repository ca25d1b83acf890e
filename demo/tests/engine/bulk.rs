//! Many changes in one request.

use serde_json::{Value, json};

use crate::rig::Rig;

fn outcomes(answer: &Value) -> Vec<(String, u64)> {
    let items = answer["items"].as_array().unwrap();
    let outcome = |item: &Value| {
        let (action, body) = item.as_object().unwrap().iter().next().unwrap();
        (action.clone(), body["status"].as_u64().unwrap())
    };
    items.iter().map(outcome).collect()
}

#[test]
fn each_line_has_its_outcome_in_order() {
    let rig = Rig::start();
    rig.ok("PUT", "/shop", r#"{"mappings":{"properties":{"n":{"type":"long"}}}}"#);
    let lines = [
        r#"{"index":{"_id":"1"}}"#,
        r#"{"n":1}"#,
        r#"{"create":{"_id":"1"}}"#,
        r#"{"n":2}"#,
        r#"{"index":{"_id":"2"}}"#,
        r#"{"n":"abc"}"#,
        r#"{"index":{"_id":"1"}}"#,
        r#"{"n":3}"#,
        r#"{"delete":{"_id":"9"}}"#,
        r#"{"index":{"_index":"other","_id":"1"}}"#,
        r#"{"n":4}"#,
        r#"{"delete":{"_index":"nope","_id":"1"}}"#,
        r#"{"index":{"_index":"BAD"}}"#,
        r#"{"n":5}"#,
        r#"{"index":{"_id":"3"}}"#,
        r#"{"n":"#,
        r#"{"delete":{"_id":"1"}}"#,
        r#"{"create":{"_id":"1"}}"#,
        r#"{"n":6}"#,
    ];
    let answer = rig.bulk("/shop/_bulk?refresh=true", &format!("{}\n", lines.join("\n")));
    let expected = [
        ("index", 201),
        ("create", 409),
        ("index", 400),
        ("index", 200),
        ("delete", 404),
        ("index", 201),
        ("delete", 404),
        ("index", 400),
        ("index", 400),
        ("delete", 200),
        ("create", 201),
    ];
    assert_eq!(outcomes(&answer), expected.map(|(action, status)| (action.to_owned(), status)));
    assert_eq!(answer["errors"], true);
    assert_eq!(answer["items"][0]["index"]["forced_refresh"], true);
    assert_eq!(rig.ok("GET", "/shop/_doc/1", "")["_source"], json!({"n": 6}));
    assert_eq!(rig.ok("GET", "/_count", "")["count"], 2);
}

#[test]
fn a_request_that_makes_no_sense_changes_nothing() {
    let rig = Rig::start();
    for (lines, named) in [
        ("", "required"),
        ("{\"index\":{\"_id\":\"1\"}}\n{}", "newline"),
        ("{\"index\":{\"_id\":\"1\"}}\n{}\n{\"update\":{\"_id\":\"1\"}}\n{\"doc\":{}}\n", "[update]"),
        ("{\"index\":{\"_id\":\"1\"}}\n{}\n{\"foo\":{}}\n{}\n", "[foo]"),
        ("{\"index\":{\"_id\":\"1\"}}\n{}\n{\"index\":{\"routing\":\"x\"}}\n{}\n", "[routing]"),
        ("{\"index\":{\"_id\":\"1\"}}\n{}\n{\"index\":{\"zz\":1}}\n{}\n", "[zz]"),
        ("{\"index\":{\"_id\":\"1\"}}\n{}\n{\"index\":{}}\n", "line [3]"),
        ("{\"index\":{\"_id\":\"1\"}}\n{}\n{\"delete\":{}}\n", "id is missing"),
        ("{\"index\":{\"_id\":\"1\"}}\n{}\nnonsense\n", "line [3]"),
        ("\n\n", "no requests"),
    ] {
        let reply = rig.send("POST", "/shop/_bulk", &[("Content-Type", "application/x-ndjson")], lines.as_bytes());
        assert_eq!(reply.status, 400, "{lines}");
        assert!(reply.text.contains(named), "{lines}: {}", reply.text);
    }
    let (_, reason) = rig.refused(("POST", "/_bulk", "{\"index\":{}}\n{}\n"), 400);
    assert!(reason.contains("index is missing"), "{reason}");
    assert_eq!(rig.call("HEAD", "/shop", "").status, 404);
}

#[test]
fn ids_may_be_numbers_or_none_and_lines_may_end_as_on_windows() {
    let rig = Rig::start();
    let answer = rig.bulk("/shop/_bulk", "{\"index\":{\"_id\":7}}\r\n{\"a\":1}\r\n{\"index\":{}}\r\n{\"a\":2}\r\n");
    assert_eq!(answer["errors"], false, "{answer}");
    assert_eq!(answer["items"][0]["index"]["_id"], "7");
    assert_eq!(rig.ok("GET", "/shop/_doc/7", "")["_source"], json!({"a": 1}));
}

#[test]
fn fields_that_a_bulk_adds_are_mapped_once_and_old_documents_stay() {
    let rig = Rig::start();
    rig.bulk("/shop/_bulk", "{\"index\":{\"_id\":\"1\"}}\n{\"a\":\"red\"}\n");
    let answer = rig.bulk(
        "/shop/_bulk?refresh=true",
        "{\"index\":{\"_id\":\"2\"}}\n{\"b\":2}\n{\"index\":{\"_id\":\"3\"}}\n{\"b\":\"text\"}\n{\"index\":{\"_id\":\"4\"}}\n{\"c\":true,\"d\":\"2020-01-01\",\"e\":1.5}\n",
    );
    assert_eq!(outcomes(&answer), [("index".to_owned(), 201), ("index".to_owned(), 400), ("index".to_owned(), 201)]);
    let properties = &rig.ok("GET", "/shop/_mapping", "")["shop"]["mappings"]["properties"];
    let kinds = ["a", "b", "c", "d", "e"].map(|field| properties[field]["type"].as_str().unwrap());
    assert_eq!(kinds, ["text", "long", "boolean", "date", "float"]);
    assert_eq!(rig.ids("/shop/_search", r#"{"query":{"match":{"a":"red"}}}"#), ["1"]);
    assert_eq!(rig.ok("GET", "/shop/_doc/1", "")["_version"], 1);
}
