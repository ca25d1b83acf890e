//! What is sent by mistake or by malice, what breaks, and what happens at the end.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use podium_demo::engine::{Engine, StartError};
use serde_json::json;
use tokio::net::TcpListener;

use crate::rig::Rig;

const JSON: (&str, &str) = ("Content-Type", "application/json");

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn every_answer_names_the_product() {
    let rig = Rig::start();
    for (method, target) in [("GET", "/"), ("HEAD", "/"), ("GET", "/nope/_search"), ("GET", "/a/b/c"), ("POST", "/_cat"), ("POST", "/")] {
        let reply = rig.call(method, target, "");
        assert!(reply.head.contains("x-elastic-product: elasticsearch"), "{method} {target}: {}", reply.head);
    }
}

#[test]
fn wrong_methods_and_paths_are_answered_as_the_engines_do() {
    let rig = Rig::start();
    let wrong = rig.call("POST", "/shop", "");
    let sentence = "Incorrect HTTP method for uri [/shop] and method [POST], allowed: [GET, HEAD, PUT, DELETE]";
    assert_eq!((wrong.status, wrong.json()), (405, json!({"error": sentence, "status": 405})));
    let unknown = rig.call("GET", "/a/b/c?d=e", "");
    assert_eq!((unknown.status, unknown.json()), (400, json!({"error": "no handler found for uri [/a/b/c?d=e] and method [GET]"})));
    assert_eq!(rig.call("GET", "/_search/", "").status, 200);
}

#[test]
fn packed_bodies_are_read_and_broken_ones_refused() {
    let rig = Rig::start();
    let packed = gzip(br#"{"a":1}"#);
    assert_eq!(rig.send("PUT", "/shop/_doc/1", &[JSON, ("Content-Encoding", "gzip")], &packed).status, 201);
    assert_eq!(rig.ok("GET", "/shop/_doc/1", "")["_source"], json!({"a": 1}));
    let broken = rig.send("PUT", "/shop/_doc/1", &[JSON, ("Content-Encoding", "gzip")], &packed[..packed.len() - 9]);
    assert_eq!((broken.status, broken.json()["status"].as_u64()), (400, Some(400)), "{}", broken.text);
    assert_eq!(rig.send("PUT", "/shop/_doc/1", &[JSON, ("Content-Encoding", "br")], b"{}").status, 415);
}

#[test]
fn a_body_that_unpacks_to_too_much_is_refused() {
    let rig = Rig::start();
    let bomb = gzip(&vec![b' '; (100 << 20) + 1]);
    assert!(bomb.len() < 1 << 20);
    let reply = rig.send("POST", "/shop/_search", &[JSON, ("Content-Encoding", "gzip")], &bomb);
    assert_eq!((reply.status, reply.json()["error"]["type"].as_str()), (413, Some("content_too_long_exception")));
}

#[test]
fn only_json_is_taken_and_the_vendor_type_is_answered() {
    let rig = Rig::start();
    for headers in [&[][..], &[("Content-Type", "text/plain")]] {
        assert_eq!(rig.send("POST", "/_search", headers, b"{}").status, 406);
    }
    let vendor = "application/vnd.elasticsearch+json; compatible-with=9";
    let reply = rig.send("POST", "/_search", &[("Content-Type", vendor), ("Accept", vendor)], b"{}");
    assert!(reply.head.contains("content-type: application/vnd.elasticsearch+json;compatible-with=9"), "{}", reply.head);
}

#[test]
fn deep_and_wide_requests_are_refused_and_break_nothing() {
    let rig = Rig::start();
    rig.ok("PUT", "/shop/_doc/1?refresh=true", r#"{"a":"b"}"#);
    let deep = format!("{}{}", r#"{"query":{"bool":{"must":["#.repeat(50), "]}}}".repeat(50));
    let wide = json!({"query": {"bool": {"should": vec![json!({"match": {"a": "b"}}); 1025]}}}).to_string();
    let arrays = format!(r#"{{"query":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    for body in [deep, wide, arrays, "\u{0}".to_owned(), "{\"query\":\"\\ud800\"}".to_owned()] {
        assert_eq!(rig.call("POST", "/shop/_search", &body).status, 400, "{}", &body[..body.len().min(60)]);
    }
    let document = format!("{}{}", r#"{"a":"#.repeat(200), "1".to_owned() + &"}".repeat(200));
    assert_eq!(rig.call("PUT", "/shop/_doc/2", &document).status, 400);
    assert_eq!(rig.ok("GET", "/shop/_count", "")["count"], 1);
}

#[test]
fn a_write_that_fails_is_taken_back_and_what_was_acknowledged_stays() {
    let rig = Rig::start();
    rig.ok("PUT", "/shop/_doc/1", r#"{"a":1}"#);
    // What tantivy writes next has no place to go.
    let index = std::fs::read_dir(rig.folder()).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap();
    let generation = std::fs::read_dir(&index).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap();
    let aside = index.join("aside");
    std::fs::rename(&generation, &aside).unwrap();
    let failed = rig.call("PUT", "/shop/_doc/2", r#"{"a":2}"#);
    assert!(failed.status >= 500, "{} {}", failed.status, failed.text);
    assert!(failed.json()["error"]["reason"].is_string(), "{}", failed.text);
    let items = rig.bulk("/shop/_bulk", "{\"index\":{\"_id\":\"3\"}}\n{\"a\":3}\n");
    assert_eq!(items["errors"], true, "{items}");
    std::fs::rename(&aside, &generation).unwrap();
    assert_eq!(rig.ok("PUT", "/shop/_doc/4?refresh=true", r#"{"a":4}"#)["_seq_no"], 1);
    assert_eq!(rig.ids("/shop/_search", r#"{"sort":"a"}"#), ["1", "4"]);
}

#[test]
fn writers_and_readers_at_once_lose_nothing() {
    let rig = Rig::start();
    rig.ok("PUT", "/shop", r#"{"mappings":{"properties":{"n":{"type":"long"}}}}"#);
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let rig = &rig;
            scope.spawn(move || {
                for batch in 0..5 {
                    let ids = (0..20).map(|number| format!("{writer}-{batch}-{number}"));
                    let lines: String =
                        ids.map(|id| format!("{{\"index\":{{\"_id\":\"{id}\"}}}}\n{{\"n\":{batch},\"t\":\"w{writer}\"}}\n")).collect();
                    assert_eq!(rig.bulk("/shop/_bulk?refresh=true", &lines)["errors"], false);
                    assert!(rig.ok("GET", &format!("/shop/_count?q=t:w{writer}"), "")["count"].as_u64().unwrap() >= 20 * (batch + 1));
                }
            });
        }
    });
    assert_eq!(rig.ok("GET", "/shop/_count", "")["count"], 400);
    let numbers = rig.ok("POST", "/shop/_search", r#"{"seq_no_primary_term":true,"size":400,"_source":false,"sort":"_doc"}"#);
    let numbers = numbers["hits"]["hits"].as_array().unwrap().iter().map(|hit| hit["_seq_no"].as_u64().unwrap());
    assert!(numbers.eq(0..400));
}

#[test]
fn nobody_else_is_let_in() {
    let rig = Rig::start();
    let started = rig.runtime().block_on(async {
        let everywhere = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
        Engine::start(everywhere, &rig.folder().join("more")).await
    });
    assert!(matches!(started, Err(StartError::NotLoopback(_))), "{started:?}");
    let twice = rig.runtime().block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        Engine::start(listener, rig.folder()).await
    });
    assert!(matches!(twice, Err(StartError::InUse(_))), "{twice:?}");
}

#[test]
fn a_stopped_or_dropped_engine_answers_no_more() {
    for stops in [true, false] {
        let mut rig = Rig::start();
        let address = rig.address();
        let mut resting = TcpStream::connect(address).unwrap();
        resting.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        resting.write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n").unwrap();
        let mut answer = [0; 12];
        resting.read_exact(&mut answer).unwrap();
        let engine = rig.take();
        if stops {
            rig.runtime().block_on(engine.stop());
        } else {
            let _guard = rig.runtime().enter();
            drop(engine);
        }
        let mut rest = Vec::new();
        resting.read_to_end(&mut rest).unwrap();
        // A dropped engine ends its tasks, and does not wait for them.
        let end = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok() {
            assert!(!stops && Instant::now() < end, "somebody still answers");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn what_arrives_after_the_end_is_not_written() {
    for stops in [true, false] {
        let mut rig = Rig::start();
        rig.ok("PUT", "/shop", "");
        let mut late = TcpStream::connect(rig.address()).unwrap();
        late.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        late.write_all(b"PUT /shop/_doc/1 HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\"")
            .unwrap();
        assert_eq!(rig.call("GET", "/", "").status, 200);
        let engine = rig.take();
        if stops {
            let stopping = Instant::now();
            rig.runtime().block_on(engine.stop());
            assert!(stopping.elapsed() < Duration::from_secs(8), "what does not arrive is not waited for");
        } else {
            drop(engine);
        }
        let end = Instant::now() + Duration::from_secs(10);
        while let Err(error) = rig.try_start() {
            assert!(!stops && Instant::now() < end && matches!(error, StartError::InUse(_)), "{error:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = late.write_all(b":1}");
        let mut answer = String::new();
        let _ = late.read_to_string(&mut answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert_eq!(rig.call("GET", "/shop/_doc/1", "").status, 404);
        assert_eq!(rig.ok("PUT", "/shop/_doc/1", "{}")["_version"], 1);
    }
}

#[test]
fn paths_that_are_no_text_are_refused_in_json() {
    let rig = Rig::start();
    rig.refused(("GET", "/shop/_doc/%FF", ""), 400);
}
