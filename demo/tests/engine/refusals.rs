//! What no endpoint takes: paths, bodies and values that would change nothing.

use serde_json::json;

use crate::rig::Rig;

#[test]
fn endpoints_that_are_not_here_are_named() {
    let rig = Rig::start();
    for (method, target, named) in [
        ("GET", "/_cat/indices", "[_cat]"),
        ("GET", "/_nodes", "[_nodes]"),
        ("GET", "/shop/_settings", "[_settings]"),
        ("POST", "/shop/_update/1", "[_update]"),
        ("GET", "/shop/_do/1", "[_do]"),
        ("GET", "/_cluster/heal", "[_cluster/heal]"),
        ("GET", "/_cluster/settings", "[_cluster/settings]"),
        ("POST", "/_search/scroll", "[_search/scroll]"),
        ("GET", "/shop/_mapping/field/a", "[_mapping/field]"),
        ("GET", "/shop/_count/x", "[_count/x]"),
    ] {
        let (_, reason) = rig.refused((method, target, ""), 400);
        assert_eq!(reason, format!("{named} is not supported by the engine of podium demo"), "{method} {target}");
    }
    assert_eq!(rig.refused(("PUT", "/_nodes", ""), 400).0, "invalid_index_name_exception");
    for target in ["/_all", "/_all/_search", "/_cluster/health", "/_cluster/health/_all", "/_search/"] {
        rig.ok("GET", target, "");
    }
    rig.ok("PUT", "/shop/_doc/_cat", "{}");
    assert_eq!(rig.ok("GET", "/shop/_doc/_cat", "")["_id"], "_cat");
}

#[test]
fn a_body_that_nobody_reads_is_refused() {
    let rig = Rig::start();
    rig.ok("PUT", "/shop/_doc/1", "{}");
    for (method, target) in [
        ("GET", "/"),
        ("GET", "/_cluster/health"),
        ("GET", "/shop"),
        ("DELETE", "/shop"),
        ("GET", "/shop/_mapping"),
        ("POST", "/shop/_refresh"),
        ("GET", "/shop/_doc/1"),
        ("DELETE", "/shop/_doc/1"),
    ] {
        let (_, reason) = rig.refused((method, target, r#"{"foo":1}"#), 400);
        assert_eq!(reason, format!("request [{target}] does not support having a body"), "{method} {target}");
    }
    assert_eq!(rig.ok("GET", "/shop/_doc/1", "")["found"], true);
}

#[test]
fn values_of_parameters_that_change_nothing_are_looked_at() {
    let rig = Rig::start();
    for (target, named) in [
        ("/_search?pretty=maybe", "[maybe]"),
        ("/_search?timeout=banana", "[timeout]"),
        ("/_search?search_type=foo", "[foo]"),
        ("/_search?request_cache=maybe", "[request_cache]"),
        ("/_search?source=%7B%7D&source_content_type=text%2Fplain", "[text/plain]"),
    ] {
        let (_, reason) = rig.refused(("GET", target, ""), 400);
        assert!(reason.contains(named), "{target}: {reason}");
    }
    rig.refused(("PUT", "/shop?wait_for_active_shards=7", ""), 400);
    rig.ok("PUT", "/shop", "");
    rig.refused(("POST", "/shop/_search", r#"{"timeout":"banana"}"#), 400);
    for head in [r#"{"search_type":"foo"}"#, r#"{"request_cache":"maybe"}"#] {
        rig.refused(("POST", "/_msearch", &format!("{head}\n{{}}\n")), 400);
    }
    rig.ok("GET", "/_search?pretty&timeout=1s&search_type=query_then_fetch&request_cache=true", "");
}

#[test]
fn what_is_left_empty_changes_nothing() {
    let rig = Rig::start();
    rig.ok("PUT", "/shop", r#"{"settings":{"index":{}}}"#);
    rig.ok("PUT", "/shop/_doc/1?refresh=true", r#"{"boost":"a"}"#);
    assert_eq!(rig.ok("GET", "/shop/_doc/1?_source_includes=", "")["_source"], json!({"boost": "a"}));
}

#[test]
fn large_boosts_and_fields_called_so_break_nothing() {
    let rig = Rig::start();
    rig.ok("PUT", "/shop/_doc/1?refresh=true", r#"{"boost":"a"}"#);
    let large = json!({"match_all": {"boost": 3e38}});
    let found = rig.ok("POST", "/shop/_search", &json!({"query": {"bool": {"should": [large, large]}}}).to_string());
    assert_eq!(found["hits"]["hits"][0]["_score"].as_f64().map(|score| score as f32), Some(f32::MAX), "{found}");
    assert_eq!(found["hits"]["max_score"], found["hits"]["hits"][0]["_score"]);
    assert_eq!(rig.ids("/shop/_search", r#"{"query":{"terms":{"boost":["a"]}}}"#), ["1"]);
    rig.refused(("POST", "/shop/_search", r#"{"query":{"multi_match":{"query":"a","fields":["a","b"],"tie_breaker":-3}}}"#), 400);
}
