//! Single documents: versions, outcomes, and what is read back.

use serde_json::json;

use crate::rig::Rig;

#[test]
fn a_document_is_created_updated_deleted_and_created_again() {
    let rig = Rig::start();
    let steps = [
        ("PUT", r#"{"a":1}"#, 201, "created"),
        ("PUT", r#"{"a":2}"#, 200, "updated"),
        ("DELETE", "", 200, "deleted"),
        ("DELETE", "", 404, "not_found"),
        ("PUT", r#"{"a":3}"#, 201, "created"),
    ];
    for (number, (method, body, status, result)) in steps.into_iter().enumerate() {
        let reply = rig.call(method, "/shop/_doc/1", body);
        let expected = json!({"_index": "shop", "_id": "1", "_version": number + 1, "result": result,
            "_shards": {"total": 2, "successful": 1, "failed": 0}, "_seq_no": number, "_primary_term": 1});
        assert_eq!((reply.status, reply.json()), (status, expected));
    }
}

#[test]
fn a_document_is_read_at_once_and_found_after_a_refresh() {
    let rig = Rig::start();
    rig.ok("PUT", "/shop", "");
    rig.ok("PUT", "/shop/_doc/1?refresh=true", r#"{"title":"red shoe"}"#);
    rig.ok("PUT", "/shop/_doc/2", r#"{"title":"blue shoe"}"#);
    assert_eq!(rig.ok("GET", "/shop/_doc/2", "")["_source"], json!({"title": "blue shoe"}));
    rig.ok("POST", "/shop/_refresh", "");
    assert_eq!(rig.ok("GET", "/shop/_count", "")["count"], 2);
    rig.ok("PUT", "/shop/_doc/2?refresh=wait_for", r#"{"title":"green shoe"}"#);
    assert_eq!(rig.ids("/shop/_search", r#"{"query":{"match":{"title":"green"}}}"#), ["2"]);
    assert!(rig.ids("/shop/_search", r#"{"query":{"match":{"title":"blue"}}}"#).is_empty());
}

#[test]
fn what_is_written_becomes_visible_by_itself() {
    let rig = Rig::start();
    rig.ok("PUT", "/shop/_doc/1", r#"{"a":1}"#);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while rig.ok("GET", "/shop/_count", "")["count"] == 0 {
        assert!(std::time::Instant::now() < end, "not visible after ten seconds");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn the_source_comes_back_byte_for_byte() {
    let rig = Rig::start();
    let source = r#"{ "price": 1.0, "big": 12345678901234567, "b": [1e3, null], "t": "é\u00e9", "a": {} }"#;
    rig.ok("PUT", "/shop/_doc/1?refresh=true", source);
    for target in ["/shop/_doc/1", "/shop/_search"] {
        assert!(rig.call("GET", target, "").text.contains(source), "{target}");
    }
}

#[test]
fn what_exists_is_not_created() {
    let rig = Rig::start();
    rig.ok("PUT", "/shop/_create/1", r#"{"a":1}"#);
    for target in ["/shop/_create/1", "/shop/_doc/1?op_type=create"] {
        let (kind, reason) = rig.refused(("PUT", target, r#"{"a":2}"#), 409);
        assert_eq!(kind, "version_conflict_engine_exception");
        assert_eq!(reason, "[1]: version conflict, document already exists (current version [1])");
    }
    assert_eq!(rig.ok("GET", "/shop/_doc/1", "")["_source"], json!({"a": 1}));
}

#[test]
fn ids_are_made_where_there_are_none_and_decoded_where_there_are() {
    let rig = Rig::start();
    let made = rig.ok("POST", "/shop/_doc", r#"{"a":1}"#)["_id"].as_str().unwrap().to_owned();
    assert_eq!(made.len(), 20);
    assert_eq!(rig.ok("GET", &format!("/shop/_doc/{made}"), "")["found"], true);
    rig.ok("PUT", "/shop/_doc/a%2Fb%20%C3%A9", r#"{"a":1}"#);
    assert_eq!(rig.ok("GET", "/shop/_doc/a%2Fb%20%C3%A9", "")["_id"], "a/b é");
    let long = "x".repeat(513);
    let (_, reason) = rig.refused(("PUT", &format!("/shop/_doc/{long}"), "{}"), 400);
    assert!(reason.contains("512"), "{reason}");
}

#[test]
fn a_missing_document_and_a_missing_index_differ() {
    let rig = Rig::start();
    rig.ok("PUT", "/shop", "");
    let missing = rig.call("GET", "/shop/_doc/1", "");
    assert_eq!((missing.status, missing.json()), (404, json!({"_index": "shop", "_id": "1", "found": false})));
    assert_eq!(rig.refused(("GET", "/nope/_doc/1", ""), 404).0, "index_not_found_exception");
    assert_eq!(rig.refused(("DELETE", "/nope/_doc/1", ""), 404).0, "index_not_found_exception");
    assert_eq!(rig.call("HEAD", "/shop/_doc/1", "").status, 404);
}

#[test]
fn what_is_no_document_is_refused() {
    let rig = Rig::start();
    rig.ok("PUT", "/shop", r#"{"mappings":{"properties":{"n":{"type":"long"}}}}"#);
    for (body, kind) in [
        ("", "parse_exception"),
        ("{", "mapper_parsing_exception"),
        ("[]", "mapper_parsing_exception"),
        ("1", "mapper_parsing_exception"),
        (r#"{"n":"abc"}"#, "mapper_parsing_exception"),
    ] {
        let reply = rig.send("PUT", "/shop/_doc/1", &[("Content-Type", "application/json")], body.as_bytes());
        assert_eq!((reply.status, reply.json()["error"]["type"].as_str()), (400, Some(kind)), "{body}: {}", reply.text);
    }
    assert_eq!(rig.call("GET", "/shop/_doc/1", "").status, 404);
    for target in ["/shop/_doc/1?routing=x", "/shop/_doc/1?if_seq_no=1", "/shop/_doc/1?op_type=x", "/shop/_doc/1?refresh=x"] {
        rig.refused(("PUT", target, "{}"), 400);
    }
}

#[test]
fn a_document_that_is_refused_maps_nothing() {
    let rig = Rig::start();
    rig.ok("PUT", "/shop", r#"{"mappings":{"properties":{"n":{"type":"long"},"title":{"type":"text"}}}}"#);
    let before = rig.ok("GET", "/shop/_mapping", "");
    rig.refused(("PUT", "/shop/_doc/1", r#"{"n":"abc","extra":"x"}"#), 400);
    let (kind, reason) = rig.refused(("PUT", "/shop/_doc/1", r#"{"title.foo":"x"}"#), 400);
    assert!(kind == "mapper_parsing_exception" && reason.contains("[title.foo]"), "{kind}: {reason}");
    let lines = "{\"index\":{\"_id\":\"1\"}}\n{\"n\":\"abc\",\"extra\":\"x\"}\n";
    assert_eq!(rig.bulk("/shop/_bulk", lines)["errors"], true);
    assert_eq!(rig.ok("GET", "/shop/_mapping", ""), before);
}
