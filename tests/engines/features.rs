//! Features of `_search` beside the query, on real engines and through the gateway.

use std::io::Write;

use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::{Value, json};

use crate::rig::{
    engines::{Engine, Product, on_each, say},
    gateway::{Gateway, status_of},
    http::{self, Reply},
};

const DOCUMENTS: usize = 60;
const RULES: &str = r#"
[models.reverse]
kind = "fake-reverse"
[models.identity]
kind = "fake-identity"

[defaults]
fields = ["title"]
window = 40
timeout = "30s"
total-timeout = "60s"
fusion = { kind = "replace" }

[[rules]]
index = ["turned-*"]
model = "reverse"

[[rules]]
index = ["kept-*"]
model = "identity"
score = "keep"
"#;

/// Where a feature exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Both,
    Elasticsearch,
    OpenSearch,
}

/// What goes behind `_search?`, and what stands beside the query.
const FEATURES: [(On, &str, &str); 40] = [
    (On::Both, "", r#""collapse":{"field":"colour"}"#),
    (On::Both, "", r#""collapse":{"field":"colour","inner_hits":{"name":"i","size":2}},"_source":["rank"]"#),
    (On::Both, "", r#""collapse":{"field":"colour"},"_source":false,"fields":["rank"]"#),
    (On::Both, "", r#""explain":true"#),
    (On::Both, "explain=true&pretty", ""),
    (On::Both, "explain=false", r#""explain":true"#),
    (On::Both, "docvalue_fields=rank,colour", ""),
    (On::Both, "docvalue_fields=rank", r#""docvalue_fields":["colour"],"_source":false"#),
    (On::Both, "stored_fields=kept", ""),
    (On::Both, "stored_fields=kept&_source=true", r#""stored_fields":["title"]"#),
    (On::Both, "stored_fields=kept,colour", r#""fields":["title"]"#),
    (On::Both, "stats=a,b", r#""stats":["c"]"#),
    (On::Both, "suggest_field=title&suggest_text=shoo&suggest_mode=always&suggest_size=2", ""),
    (On::Both, "version=true&seq_no_primary_term=true&track_scores=true", ""),
    (On::Both, "sort=_score", ""),
    (On::Both, "sort=_score:desc&track_total_hits=true", ""),
    (On::Both, "typed_keys&rest_total_hits_as_int=true", r#""aggs":{"c":{"terms":{"field":"colour"}}}"#),
    (On::Both, "include_named_queries_score=true", ""),
    (On::Both, "terminate_after=20", r#""from":10"#),
    (On::Both, "", r#""terminate_after":20,"size":5,"_source":false"#),
    (On::Both, "batched_reduce_size=2&pre_filter_shard_size=1&max_concurrent_shard_requests=2", ""),
    (On::Both, "human&error_trace=true&ccs_minimize_roundtrips=false&allow_partial_search_results=false", ""),
    (On::Both, "filter_path=hits.hits._id,hits.total", r#""size":3"#),
    (On::Both, "filter_path=**._source.title,-hits.total&pretty", r#""size":3"#),
    (On::Both, "filter_path=-hits.hits._source,-**.value,-took", ""),
    (On::Both, "filter_path=hits.hits.fields,_shards", r#""_source":false"#),
    (On::Both, "filter_path=hits.hits._explanation.value", r#""explain":true"#),
    (On::Both, "filter_path=nothing&pretty", ""),
    (On::Both, "filter_path=-hits.hits._source.title,-hits.hits._source.none.x", r#""size":2"#),
    (On::Both, "", r#""highlight":{"fields":{"title":{}}},"suggest":{"s":{"text":"shoo","term":{"field":"title"}}}"#),
    (On::Both, "", r#""rescore":{"window_size":50,"query":{"rescore_query":{"match":{"title":"more"}}}}"#),
    (On::Both, "", r#""indices_boost":[{"kept-features":2.0}],"min_score":0.001,"post_filter":{"range":{"rank":{"gte":5}}}"#),
    (On::Elasticsearch, "", r#""runtime_mappings":{"rank":{"type":"keyword"}},"fields":["rank"]"#),
    (On::Elasticsearch, "", r#""runtime_mappings":{"price":{"type":"double"}},"docvalue_fields":["price"],"_source":false"#),
    (On::Elasticsearch, "enable_fields_emulation=true", ""),
    (On::OpenSearch, "", r#""derived":{"d":{"type":"keyword","script":{"source":"emit('a')"}}},"fields":["d"]"#),
    (On::OpenSearch, "phase_took=false&cancel_after_time_interval=10s", ""),
    (On::OpenSearch, "", r#""include_named_queries_score":true"#),
    (On::OpenSearch, "", r#""search_pipeline":{"response_processors":[]}"#),
    (On::OpenSearch, "search_pipeline=_none", ""),
];

fn with_query(more: &str) -> String {
    let query = r#""query":{"match":{"title":{"query":"shoe","_name":"n"}}}"#;
    if more.is_empty() { format!("{{{query}}}") } else { format!("{{{query},{more}}}") }
}

/// Fills an index and shows it to a test directly and through a gateway.
fn before(engine: &Engine, index: &str, test: impl Fn(&Gateway, &str)) {
    let definition = r#"{"settings":{"number_of_shards":1,"number_of_replicas":0},"mappings":{"properties":{
        "title":{"type":"text"},"colour":{"type":"keyword"},"rank":{"type":"long"},"kept":{"type":"keyword","store":true}}}}"#;
    let ids: Vec<String> = (0..DOCUMENTS).map(|number| format!("id{number}")).collect();
    let documents = ids.iter().enumerate().map(|(number, id)| {
        let title = format!("shoe {}", "more ".repeat(number));
        let colour = number % 25;
        (id.as_str(), format!(r#"{{"title":"{title}","colour":"c{colour}","rank":{number},"kept":"k","none":{{}},"price":1.0}}"#))
    });
    engine.fill(index, definition, documents);
    test(&Gateway::start(engine, RULES), &format!("/{index}/_search"));
}

/// Returns an answer's text without the time that it took, where it says so.
fn without_took(reply: &Reply) -> String {
    let text = reply.text();
    let Some(start) = text.find("\"took\"") else { return text };
    let end = start + text[start..].find([',', '}', '\n']).expect("more comes after it");
    format!("{}{}", &text[..start], &text[end..])
}

#[test]
fn an_order_that_stays_gives_the_engines_own_answer_with_every_feature() {
    on_each(|engine| {
        before(engine, "kept-features", |gateway, target| {
            let mut bytes = 0;
            for (on, parameters, more) in FEATURES {
                let there = match on {
                    On::Both => true,
                    On::Elasticsearch => engine.product == Product::Elasticsearch,
                    On::OpenSearch => engine.product == Product::OpenSearch,
                };
                if !there {
                    continue;
                }
                let (target, body) = (format!("{target}?{parameters}"), with_query(more));
                let (direct, through) = (engine.call("POST", &target, &body), gateway.call("POST", &target, &body));
                assert_eq!(direct.status, 200, "{parameters} {more}: {}", direct.text());
                assert!(status_of(&through).starts_with("reranked"), "{parameters} {more}: {}", status_of(&through));
                assert_eq!(without_took(&through), without_took(&direct), "{:?} {parameters} {more}", engine.product);
                bytes += through.body.len();
            }
            say(&format!("{:?}: {bytes} bytes of answers with {} features are the engine's own", engine.product, FEATURES.len()));
        });
    });
}

#[test]
fn explanations_are_wrapped() {
    on_each(|engine| {
        before(engine, "turned-explained", |gateway, target| {
            let body = json!({"query":{"match":{"title":"shoe"}},"explain":true,"size":5});
            let (direct, through) = (engine.call("POST", target, &body.to_string()).hits(), gateway.reranked(target, &body).hits());
            assert_eq!(
                through.iter().map(|hit| &hit["_id"]).rev().collect::<Vec<_>>(),
                direct.iter().map(|hit| &hit["_id"]).collect::<Vec<_>>()
            );
            for (hit, own) in through.iter().zip(direct.iter().rev()) {
                assert_eq!(hit["_explanation"]["value"], hit["_score"]);
                assert_eq!(hit["_explanation"]["description"], "reranked by model [reverse], from the engine's own:");
                assert_eq!(hit["_explanation"]["details"], json!([own["_explanation"]]));
            }
        });
    });
}

#[test]
fn a_profile_is_that_of_the_page() {
    on_each(|engine| {
        before(engine, "kept-profile", |gateway, target| {
            let body = json!({"query":{"match":{"title":"shoe"}},"profile":true,"size":5});
            let (direct, through) = (engine.call("POST", target, &body.to_string()), gateway.reranked(target, &body));
            let shape = |reply: &Reply| untimed(reply.json()["profile"].take());
            assert_eq!(shape(&through), shape(&direct));
            assert_eq!(through.hits(), direct.hits());
        });
    });
}

/// Numbers of a profile are times and counts of calls.
fn untimed(value: Value) -> Value {
    match value {
        Value::Number(_) => Value::Null,
        Value::Array(values) => values.into_iter().map(untimed).collect(),
        Value::Object(entries) => entries.into_iter().map(|(key, inner)| (key, untimed(inner))).collect(),
        other => other,
    }
}

#[test]
fn engines_read_these_codings() {
    on_each(|engine| {
        before(engine, "turned-codings", |gateway, target| {
            let body = br#"{"query":{"match":{"title":"shoe"}}}"#;
            let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
            let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
            gzip.write_all(body).and_then(|()| zlib.write_all(body)).expect("memory takes it");
            let zlib = zlib.finish().expect("memory takes it");
            let reads_zstd = engine.product == Product::OpenSearch;
            for (coding, packed, reads) in [
                ("gzip", gzip.finish().expect("memory takes it"), true),
                ("deflate", zlib.clone(), true),
                ("deflate", zlib[2..zlib.len() - 4].to_vec(), true),
                ("zstd", compress_to_vec(&body[..], CompressionLevel::Fastest), reads_zstd),
                ("zstd", compress_to_vec(&body[..], CompressionLevel::Uncompressed), reads_zstd),
                ("br", [&[0x38, 0x02, 0x80][..], body, &[3]].concat(), false),
            ] {
                let headers = [("Content-Type", "application/json"), ("Content-Encoding", coding)];
                let (direct, through) =
                    [engine.address, gateway.address].map(|to| http::send(to, "POST", target, &headers, &packed)).into();
                assert_eq!((direct.status == 200, through.status), (reads, direct.status), "{coding}: {}", direct.text());
                assert_eq!(status_of(&through).starts_with("reranked"), reads, "{coding}: {}", status_of(&through));
            }
            for coding in ["gzip", "deflate"] {
                let headers = [("Content-Type", "application/json"), ("Accept-Encoding", coding)];
                let (direct, through) = [engine.address, gateway.address].map(|to| http::send(to, "POST", target, &headers, body)).into();
                assert_eq!((direct.header("content-encoding"), through.header("content-encoding")), (Some(coding), Some(coding)));
                assert!(status_of(&through).starts_with("reranked"), "{coding}");
            }
        });
    });
}
