//! Indices: definitions, descriptions, expressions.

use serde_json::json;

use crate::rig::Rig;

#[test]
fn an_index_shows_what_it_was_made_with() {
    let rig = Rig::start();
    let mappings = json!({"properties": {"title": {"type": "text", "analyzer": "english"}, "tag": {"type": "keyword"}}});
    let made = rig.ok("PUT", "/shop", &json!({"settings": {"number_of_replicas": 0}, "mappings": mappings}).to_string());
    assert_eq!(made, json!({"acknowledged": true, "shards_acknowledged": true, "index": "shop"}));
    let described = &rig.ok("GET", "/shop", "")["shop"];
    assert_eq!((&described["mappings"], &described["aliases"]), (&mappings, &json!({})));
    assert_eq!(described["settings"]["index"]["number_of_replicas"], "0");
    assert_eq!(rig.ok("GET", "/shop/_mapping", ""), json!({"shop": {"mappings": mappings}}));
    assert_eq!(rig.call("HEAD", "/shop", "").status, 200);
    assert_eq!(rig.refused(("PUT", "/shop", ""), 400).0, "resource_already_exists_exception");
    assert_eq!(rig.ok("DELETE", "/shop", ""), json!({"acknowledged": true}));
    assert_eq!(rig.refused(("GET", "/shop", ""), 404).0, "index_not_found_exception");
}

#[test]
fn what_a_definition_asks_in_vain_is_named() {
    let rig = Rig::start();
    for (body, named) in [
        (r#"{"foo":1}"#, "[foo]"),
        (r#"{"aliases":{"a":{}}}"#, "[aliases]"),
        (r#"{"settings":{"number_of_shards":2}}"#, "number_of_shards"),
        (r#"{"settings":{"analysis":{"analyzer":{"a":{"type":"standard"}}}}}"#, "analysis"),
        (r#"{"mappings":{"properties":{"v":{"type":"dense_vector","dims":3}}}}"#, "dense_vector"),
        (r#"{"mappings":{"properties":{"t":{"type":"text","analyzer":"klingon"}}}}"#, "klingon"),
        (r#"{"mappings":{"foo":1}}"#, "foo"),
        ("{", "parse_exception"),
        ("[]", "START_ARRAY"),
    ] {
        let reply = rig.call("PUT", "/shop", body);
        assert_eq!(reply.status, 400, "{body}");
        assert!(reply.text.contains(named), "{body}: {}", reply.text);
    }
    for name in ["A", "_a", "a*", "a,b", "-a"] {
        assert_eq!(rig.refused(("PUT", &format!("/{name}"), ""), 400).0, "invalid_index_name_exception", "{name}");
    }
    assert_eq!(rig.ok("GET", "/_mapping", ""), json!({}));
}

#[test]
fn fields_are_added_and_not_changed() {
    let rig = Rig::start();
    rig.ok("PUT", "/shop", r#"{"mappings":{"properties":{"n":{"type":"long"}}}}"#);
    rig.ok("PUT", "/shop/_doc/1?refresh=true", r#"{"n":1,"tag":"x"}"#);
    rig.ok("PUT", "/shop/_mapping", r#"{"properties":{"colour":{"type":"keyword"}}}"#);
    rig.ok("PUT", "/shop/_doc/2?refresh=true", r#"{"colour":"red"}"#);
    assert_eq!(rig.ids("/shop/_search", r#"{"query":{"term":{"colour":"red"}}}"#), ["2"]);
    assert_eq!(rig.ids("/shop/_search", r#"{"query":{"term":{"tag.keyword":"x"}}}"#), ["1"]);
    let (kind, reason) = rig.refused(("PUT", "/shop/_mapping", r#"{"properties":{"n":{"type":"keyword"}}}"#), 400);
    assert_eq!(
        (kind.as_str(), reason.as_str()),
        ("illegal_argument_exception", "mapper [n] cannot be changed from type [long] to [keyword]")
    );
    assert_eq!(rig.refused(("PUT", "/nope/_mapping", r#"{"properties":{}}"#), 404).0, "index_not_found_exception");
}

#[test]
fn expressions_name_several_indices() {
    let rig = Rig::start();
    for (number, name) in ["a1", "a2", "b1"].into_iter().enumerate() {
        rig.ok("PUT", &format!("/{name}/_doc/{number}?refresh=true"), r#"{"x":1}"#);
    }
    for (expression, expected) in
        [("a1", 1), ("a1,b1", 2), ("a*", 2), ("*", 3), ("_all", 3), ("*,-a1", 2), ("a*,b1", 3), ("zz*", 0), ("a1%2Cb1", 2)]
    {
        assert_eq!(rig.ok("GET", &format!("/{expression}/_count"), "")["count"], expected, "{expression}");
    }
    assert_eq!(rig.refused(("GET", "/a1,nope/_count", ""), 404).0, "index_not_found_exception");
    assert_eq!(rig.ok("GET", "/a1,nope/_count?ignore_unavailable=true", "")["count"], 1);
    rig.refused(("GET", "/zz*/_count?allow_no_indices=false", ""), 404);
    rig.refused(("GET", "/a*/_count?expand_wildcards=closed", ""), 400);
    rig.refused(("DELETE", "/a1,nope", ""), 404);
    for (expression, expected) in [("a1,", 1), (",b1", 1), ("a*,-", 2)] {
        assert_eq!(rig.ok("GET", &format!("/{expression}/_count"), "")["count"], expected, "{expression}");
    }
    for (method, target) in [("DELETE", "/%2C"), ("DELETE", "/,,"), ("GET", "/,/_count"), ("PUT", "/,/_mapping")] {
        let (kind, _) = rig.refused((method, target, if method == "PUT" { r#"{"properties":{}}"# } else { "" }), 400);
        assert_eq!(kind, "action_request_validation_exception", "{method} {target}");
    }
    rig.ok("PUT", "/other", "");
    rig.ok("DELETE", "/other,", "");
    assert_eq!(rig.ok("GET", "/_count", "")["count"], 3);
    rig.ok("DELETE", "/a*", "");
    assert_eq!(rig.ok("GET", "/_count", "")["count"], 1);
}

#[test]
fn indices_that_are_deleted_twice_at_once_are_deleted_once() {
    let rig = Rig::start();
    for round in 0..5 {
        for number in 0..3 {
            rig.ok("PUT", &format!("/a{number}"), "");
        }
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| rig.ok("DELETE", "/a*", ""));
            }
        });
        assert_eq!(rig.ok("GET", "/_mapping", ""), json!({}), "round {round}");
    }
}

#[test]
fn an_index_that_cannot_be_deleted_keeps_no_other_from_it() {
    let mut rig = Rig::start();
    for name in ["a1", "a2", "a3"] {
        rig.ok("PUT", &format!("/{name}/_doc/1?refresh=true"), r#"{"x":1}"#);
    }
    let folders = || std::fs::read_dir(rig.folder()).unwrap().map(|entry| entry.unwrap().path().join("index.json"));
    let manifest = folders().find(|file| std::fs::read_to_string(file).is_ok_and(|text| text.contains("\"a1\""))).unwrap();
    let text = std::fs::read(&manifest).unwrap();
    std::fs::remove_file(&manifest).unwrap();
    std::fs::create_dir(&manifest).unwrap();
    rig.refused(("DELETE", "/a*", ""), 500);
    std::fs::remove_dir(&manifest).unwrap();
    std::fs::write(&manifest, text).unwrap();
    assert_eq!(rig.ok("GET", "/a*/_count", "")["count"], 1);
    rig.restart();
    assert_eq!(rig.ok("GET", "/_mapping", "").as_object().unwrap().keys().collect::<Vec<_>>(), ["a1"]);
}

#[test]
fn what_a_crash_left_is_swept_and_what_is_not_the_engines_stays() {
    let mut rig = Rig::start();
    rig.ok("PUT", "/shop/_doc/1?refresh=true", r#"{"x":1}"#);
    let index = std::fs::read_dir(rig.folder()).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap();
    let remnant = rig.folder().join("abcdefghijklmnopqrstuv");
    let foreign = rig.folder().join("vutsrqponmlkjihgfedcba");
    for folder in [&index.join("7"), &remnant.join("0"), &foreign.join("2024"), &rig.folder().join("photos")] {
        std::fs::create_dir_all(folder).unwrap();
    }
    std::fs::write(remnant.join("index.json.new"), "{").unwrap();
    for file in ["meta.json", ".managed.json", "0123456789abcdef0123456789abcdef.store"] {
        std::fs::write(remnant.join("0").join(file), "{}").unwrap();
    }
    std::fs::write(foreign.join("2024").join("letter.txt"), "").unwrap();
    rig.restart();
    let there = [index.join("7"), remnant, foreign, rig.folder().join("photos")].map(|folder| folder.exists());
    assert_eq!(there, [false, false, true, true]);
    assert_eq!(rig.ok("GET", "/_count", "")["count"], 1);
}

#[test]
fn fields_are_added_whatever_old_documents_hold_there() {
    let rig = Rig::start();
    rig.ok("PUT", "/shop", r#"{"mappings":{"dynamic":false}}"#);
    for (id, body) in [("1", r#"{"x":"abc"}"#), ("2", r#"{"x":5}"#), ("3", r#"{"x":{"y":1}}"#), ("4", r#"{"x.y":1}"#), ("5", r#"{"o":1}"#)]
    {
        rig.ok("PUT", &format!("/shop/_doc/{id}?refresh=true"), body);
    }
    rig.ok("PUT", "/shop/_mapping", r#"{"properties":{"x":{"type":"long"},"o":{"properties":{"p":{"type":"long"}}}}}"#);
    assert_eq!(rig.ids("/shop/_search", r#"{"query":{"exists":{"field":"x"}}}"#), ["2"]);
    assert_eq!(rig.ok("GET", "/shop/_count", "")["count"], 5);
    assert_eq!(rig.ok("GET", "/shop/_doc/1", "")["_source"], json!({"x": "abc"}));
    rig.refused(("PUT", "/shop/_doc/1", r#"{"x":"abc"}"#), 400);
}

#[test]
fn the_health_is_yellow_with_replicas_and_red_without_the_index() {
    let rig = Rig::start();
    assert_eq!(rig.ok("GET", "/_cluster/health", "")["status"], "green");
    rig.ok("PUT", "/shop", "");
    assert_eq!(rig.ok("GET", "/_cluster/health?wait_for_status=yellow&timeout=1s", "")["status"], "yellow");
    let waiting = rig.call("GET", "/_cluster/health/shop?wait_for_status=green&timeout=1s", "");
    assert_eq!((waiting.status, waiting.json()["timed_out"].as_bool()), (408, Some(true)));
    assert_eq!(rig.call("GET", "/_cluster/health/nope", "").json()["status"], "red");
    rig.refused(("GET", "/_cluster/health?level=shards", ""), 400);
}

#[test]
fn indices_are_there_after_a_restart() {
    let mut rig = Rig::start();
    rig.ok(
        "PUT",
        "/shop",
        r#"{"settings":{"number_of_replicas":0},"mappings":{"properties":{"title":{"type":"text","analyzer":"english"}}}}"#,
    );
    rig.bulk(
        "/shop/_bulk",
        "{\"index\":{\"_id\":\"1\"}}\n{\"title\":\"red shoes\"}\n{\"index\":{\"_id\":\"2\"}}\n{\"title\":\"hats\",\"new\":1}\n",
    );
    rig.ok("PUT", "/shop/_doc/1", r#"{"title":"green shoes"}"#);
    let before = rig.ok("GET", "/shop", "");
    rig.restart();
    assert_eq!(rig.ok("GET", "/shop", ""), before);
    assert_eq!(rig.ids("/shop/_search", r#"{"query":{"match":{"title":"shoe"}}}"#), ["1"]);
    let read = rig.ok("GET", "/shop/_doc/1", "");
    assert_eq!((&read["_version"], &read["_seq_no"]), (&json!(2), &json!(2)));
    assert_eq!(rig.ok("PUT", "/shop/_doc/3", "{}")["_seq_no"], 3);
}
