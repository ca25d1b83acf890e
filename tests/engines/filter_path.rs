//! Our `filter_path` against the engines' own, on the same answers.

use podium::es::filter_path::{Empty, FilterPath};
use serde_json::{Value, json};

use crate::rig::engines::{Engine, Product, on_each, say};

/// White space, long numbers and escapes stand in the documents as in anybody's.
const DOCUMENTS: [(&str, &str); 4] = [
    (
        "1",
        r#"{ "title" : "red, ]} shoe", "n" : [ { "t" : 1.0, "u" : "x" }, { "u" : "y" } ], "tags" : [ "p", "q" ], "deep" : { "er" : { "est" : [ ] } } }"#,
    ),
    ("2", r#"{"title":"blue \"shoe\"","big":12345678901234567890,"n":{"t":2},"dotted.name":"z","empty":{},"none":[],"null":null}"#),
    ("3", r#"{"title":"shoe","matrix":[[1,2],[],[{"t":3},{}]],"tags":"r","flag":true,"took":5}"#),
    ("4", r#"{"title":"green shoe","_no_id":1,"a*b":1,"é ü":"漢字 \\ \"","n":[]}"#),
];

const PATTERNS: [&str; 84] = [
    "took",
    "hits",
    "nothing",
    "took.deeper",
    "hits.hits",
    "hits.hits._id",
    "hits.hits._id,hits.hits._score",
    "hits.total",
    "hits.total.value",
    "hits.total.value.x",
    "hits.max_score",
    "_shards",
    "_shards.*",
    "_shards.f*",
    "_s*",
    "*",
    "**",
    "*.*",
    "*.*.*",
    "*.*.*.*",
    "t*",
    "*t",
    "*i*",
    "h*s.h*s",
    "**._id",
    "**._source",
    "**.title",
    "**.t",
    "**.t*",
    "hits.**.t",
    "hits.**",
    "hits.**.n.**",
    "**.n.u",
    "**.**.t",
    "hits.hits._source",
    "hits.hits._source.title",
    "hits.hits._source.n",
    "hits.hits._source.n.t",
    "hits.hits._source.n.*",
    "hits.hits._source.tags",
    "hits.hits._source.tags.p",
    "hits.hits._source.matrix",
    "hits.hits._source.matrix.t",
    "hits.hits._source.empty",
    "hits.hits._source.empty.x",
    "hits.hits._source.none",
    "hits.hits._source.null",
    "hits.hits._source.deep.er",
    "hits.hits._source.deep.er.est.x",
    r"hits.hits._source.dotted\.name",
    "hits.hits._source.dotted.name",
    r"**.dotted\.*",
    "hits.hits._source.é ü",
    "hits.hits.*e",
    "hits.hits._*",
    "hits.hits._s*.t*",
    "hits.hits.fields",
    "aggregations",
    "aggregations.*.buckets.key",
    "**.buckets",
    "aggregations.tags.meta",
    " took , hits.hits._id ,, ",
    "hits.hits,hits.hits._id",
    "hits.hits._id,hits.hits",
    "hits.hits._id,hits",
    "-took",
    "-hits",
    "-hits.hits",
    "-hits.hits._source",
    "-hits.hits._source.title",
    "-hits.hits._source.n.t",
    "-hits.hits._source.matrix.t",
    "-hits.hits._*",
    "-**.t",
    "-**.title,-**.n",
    "-**",
    "-*",
    "-_shards,-took,-timed_out",
    "-hits.hits._source.empty.x,-hits.hits._source.none.x",
    "-aggregations.**.key",
    "hits,-hits.hits",
    "hits.hits,-hits.hits._source.n,-**.tags",
    "hits.hits._source,-hits.hits._source.*",
    "**.n,**.title,-**.t,- took",
];

#[test]
fn ours_equals_the_engines_on_the_same_answer() {
    on_each(|engine| {
        let definition = r#"{"settings":{"number_of_shards":1,"number_of_replicas":0},"mappings":{"dynamic":false,"properties":{
            "title":{"type":"text"},"tags":{"type":"keyword"}}}}"#;
        engine.fill("filtered", definition, DOCUMENTS.map(|(id, document)| (id, document.to_owned())));
        let found = json!({"query":{"match":{"title":"shoe"}},"fields":["title"],"aggs":{"tags":{"terms":{"field":"tags"}}}}).to_string();
        let none = json!({"query":{"match":{"title":"nowhere"}},"aggs":{"tags":{"terms":{"field":"tags"}}}}).to_string();
        let mut compared = 0;
        let mut different = Vec::new();
        for body in [&found, &none] {
            for pretty in ["", "&pretty"] {
                let whole = engine.call("POST", &format!("/filtered/_search?typed_keys=false{pretty}"), body).text();
                for pattern in PATTERNS {
                    compared += 1;
                    different.extend(difference(engine, body, (pattern, pretty), &whole));
                }
            }
        }
        assert!(different.is_empty(), "{:?}: {} of {compared}\n{}", engine.product, different.len(), different.join("\n"));
        say(&format!("{:?}: {compared} filtered answers are the engine's own", engine.product));
    });
}

/// With a filter, engines print the document again; ours stays as it was written, and means the same but for digits that they lose.
#[test]
fn ours_keeps_numbers_and_escapes_as_they_were_written() {
    on_each(|engine| {
        let document = r#"{ "a" : [ 1e3, 19.90, 0.1234567890123456789, 1E+2 ], "s" : "\u00e9\/" }"#;
        engine.fill("filtered-again", r#"{"mappings":{"enabled":false}}"#, [("1", document.to_owned())]);
        let whole = engine.call("POST", "/filtered-again/_search", "{}").text();
        assert!(whole.contains(document), "{whole}");
        let theirs = engine.call("POST", "/filtered-again/_search?filter_path=hits.hits._source", "{}").text();
        let ours = FilterPath::parse("hits.hits._source").expect("plain").expect("patterns").apply(&whole, Empty::Kept).expect("an answer");
        assert!(theirs.contains(r#"{"a":[1000.0,19.9,0.12345678901234568,100.0],"s":"é/"}"#), "{theirs}");
        assert!(ours.contains(r#"{"a":[1e3,19.90,0.1234567890123456789,1E+2],"s":"\u00e9\/"}"#), "{ours}");
        let value = |text: &str| serde_json::from_str::<Value>(text).expect("json");
        assert_eq!(value(&ours), value(&theirs));
    });
}

fn difference(engine: &Engine, body: &str, (pattern, pretty): (&str, &str), whole: &str) -> Option<String> {
    let empty = if engine.product == Product::Elasticsearch { Empty::Kept } else { Empty::Dropped };
    let encoded = pattern.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let reply = engine.call("POST", &format!("/filtered/_search?typed_keys=false&filter_path={encoded}{pretty}"), body);
    assert_eq!(reply.status, 200, "{pattern}: {}", reply.text());
    let (theirs, ours) =
        (reply.text(), FilterPath::parse(pattern).expect("plain").expect("patterns").apply(whole, empty).expect("an answer"));
    (untimed(&ours) != untimed(&theirs)).then(|| format!("{pattern}{pretty}\n  ours   {ours}\n  theirs {theirs}"))
}

/// Returns the answer without the value of its first `took`, which differs by a millisecond.
fn untimed(text: &str) -> String {
    let Some(at) = text.find("\"took\"") else { return text.to_owned() };
    let digits = text[at + 6..].find(|letter: char| letter.is_ascii_digit()).map_or(at, |start| at + 6 + start);
    let end = text[digits..].find(|letter: char| !letter.is_ascii_digit()).map_or(digits, |length| digits + length);
    format!("{}{}", &text[..digits], &text[end..])
}
