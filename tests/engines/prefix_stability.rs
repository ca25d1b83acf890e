//! Widening relies on it: the first N hits of a size-K answer are the size-N answer, for every query kind that is rewritten.

use serde_json::{Value, json};

use crate::rig::engines::{Engine, Product, on, on_each};

const NARROW: usize = 10;
const WIDE: usize = 100;
const DOCUMENTS: usize = 400;
/// Each upload makes a segment, and segments may be searched side by side.
const UPLOADS: usize = 4;
const WORDS: [&str; 16] = [
    "red", "blue", "green", "shoe", "shirt", "hat", "warm", "light", "winter", "summer", "running", "hiking", "leather", "cotton", "small",
    "large",
];

/// Where a kind of query exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Both,
    Only(Product),
}

struct Kind {
    name: &'static str,
    on: On,
    /// What goes behind `_search?`.
    parameters: &'static str,
    /// The body without `size`.
    body: Value,
}

fn kind(name: &'static str, query: Value) -> Kind {
    Kind { name, on: On::Both, parameters: "", body: json!({"query":query}) }
}

fn opensearch(name: &'static str, query: Value) -> Kind {
    Kind { on: On::Only(Product::OpenSearch), ..kind(name, query) }
}

/// Elasticsearch alone: OpenSearch has neighbours in a plugin, and no retrievers.
fn elasticsearch(name: &'static str, body: Value) -> Kind {
    Kind { on: On::Only(Product::Elasticsearch), body, ..kind(name, Value::Null) }
}

fn body(name: &'static str, body: Value) -> Kind {
    Kind { body, ..kind(name, Value::Null) }
}

fn parameters(name: &'static str, parameters: &'static str) -> Kind {
    Kind { parameters, ..kind(name, title_match()) }
}

fn title_match() -> Value {
    json!({"match":{"title":"red winter shoe"}})
}

#[test]
fn full_text_leaves_are_stable() {
    assert_stable("leaves", &full_text_leaves());
}

#[test]
fn other_leaves_are_stable() {
    assert_stable("terms", &other_leaves());
}

#[test]
fn containers_are_stable() {
    assert_stable("containers", &containers());
}

#[test]
fn what_stands_beside_the_query_keeps_it_stable() {
    assert_stable("beside", &beside_the_query());
}

#[test]
fn neighbours_and_retrievers_are_stable() {
    assert_stable("retrievers", &neighbours_and_retrievers());
}

#[test]
fn neighbours_without_a_number_are_not() {
    on(Product::Elasticsearch, |engine| {
        fill(engine, "unstable-neighbours", 1);
        let seen = |search: &Value, size: usize| {
            let mut sized = search.clone();
            sized["size"] = size.into();
            let answer = engine.ok("POST", "/unstable-neighbours/_search", &sized.to_string());
            let hits = answer["hits"]["hits"].as_array().expect("hits").iter().take(NARROW);
            (answer["hits"]["total"]["value"].clone(), hits.map(|hit| hit["_id"].clone()).collect::<Vec<_>>())
        };
        let query = json!({"knn":{"field":"vector","query_vector":[200,1]}});
        let standard = json!({"standard":{"query":query}});
        for search in [json!({"query":query}), json!({"knn":query["knn"]}), json!({"retriever":standard}), rescored(&standard)] {
            assert_ne!(seen(&search, NARROW), seen(&search, WIDE), "{search}");
        }
    });
}

fn rescored(child: &Value) -> Value {
    let rescore = json!({"window_size":WIDE,"query":{"rescore_query":{"match":{"body":"red hat"}}}});
    json!({"retriever":{"rescorer":{"retriever":child,"rescore":rescore}}})
}

fn neighbours_and_retrievers() -> Vec<Kind> {
    let knn = json!({"field":"vector","query_vector":[200,1],"k":150,"num_candidates":400});
    let standard = |query: &Value| json!({"standard":{"query":query}});
    vec![
        elasticsearch("knn query", json!({"query":{"knn":knn}})),
        elasticsearch("knn", json!({"knn":knn})),
        elasticsearch("knn, twice, beside a query", json!({"query":title_match(),"knn":[knn, knn]})),
        elasticsearch("retriever standard", json!({"retriever":standard(&title_match())})),
        elasticsearch("retriever knn", json!({"retriever":{"knn":knn}})),
        elasticsearch("retriever rescorer", rescored(&standard(&title_match()))),
        kind("wrapper", json!({"wrapper":{"query":"eyJtYXRjaCI6eyJ0aXRsZSI6InJlZCB3aW50ZXIgc2hvZSJ9fQ=="}})),
    ]
}

fn full_text_leaves() -> Vec<Kind> {
    let span = |word: &str| json!({"span_term":{"title":word}});
    vec![
        kind("match", title_match()),
        kind("match, and", json!({"match":{"body":{"query":"red shoe","operator":"and"}}})),
        kind("match, fuzzy", json!({"match":{"title":{"query":"wintr shoo","fuzziness":"AUTO"}}})),
        kind("match_phrase", json!({"match_phrase":{"body":{"query":"red shoe","slop":3}}})),
        kind("match_phrase_prefix", json!({"match_phrase_prefix":{"body":{"query":"red sh","slop":2}}})),
        kind("match_bool_prefix", json!({"match_bool_prefix":{"title":"red winter sh"}})),
        kind("multi_match, best_fields", json!({"multi_match":{"query":"red shoe","fields":["title^2","body"]}})),
        kind("multi_match, most_fields", json!({"multi_match":{"query":"red shoe","fields":["title","body"],"type":"most_fields"}})),
        kind("multi_match, cross_fields", json!({"multi_match":{"query":"red shoe","fields":["title","body"],"type":"cross_fields"}})),
        kind("multi_match, phrase", json!({"multi_match":{"query":"red shoe","fields":["title","body"],"type":"phrase","slop":3}})),
        kind("multi_match, phrase_prefix", json!({"multi_match":{"query":"red sh","fields":["body"],"type":"phrase_prefix","slop":3}})),
        kind("multi_match, bool_prefix", json!({"multi_match":{"query":"red sh","fields":["title","body"],"type":"bool_prefix"}})),
        kind("combined_fields", json!({"combined_fields":{"query":"red shoe","fields":["title","body"]}})),
        kind("query_string", json!({"query_string":{"query":"title:red OR body:(shoe AND warm~1) wint*"}})),
        kind("simple_query_string", json!({"simple_query_string":{"query":"red + shoe | winter","fields":["title","body"]}})),
        kind("intervals", json!({"intervals":{"body":{"all_of":{"intervals":[{"match":{"query":"red"}},{"match":{"query":"shoe"}}]}}}})),
        kind("span_term", span("red")),
        kind("span_or", json!({"span_or":{"clauses":[span("red"),span("hat")]}})),
        kind("span_near", json!({"span_near":{"clauses":[{"span_term":{"body":"red"}},{"span_term":{"body":"shoe"}}],"slop":8}})),
        kind("span_first", json!({"span_first":{"match":span("red"),"end":2}})),
        kind("span_not", json!({"span_not":{"include":span("red"),"exclude":span("shoe")}})),
        kind("span_multi", json!({"span_multi":{"match":{"prefix":{"title":"w"}}}})),
        kind(
            "more_like_this",
            json!({"more_like_this":{"fields":["title","body"],"like":"red winter shoe","min_term_freq":1,"min_doc_freq":1}}),
        ),
    ]
}

fn other_leaves() -> Vec<Kind> {
    vec![
        kind("match_all", json!({"match_all":{}})),
        kind("term", json!({"term":{"title":"red"}})),
        kind("term, keyword", json!({"term":{"colour":"red"}})),
        kind("terms", json!({"terms":{"colour":["red","blue"]}})),
        kind("terms_set", json!({"terms_set":{"title":{"terms":["red","shoe","hat"],"minimum_should_match_field":"least"}}})),
        kind("prefix", json!({"prefix":{"title":"w"}})),
        kind("prefix, scoring", json!({"prefix":{"title":{"value":"w","rewrite":"scoring_boolean"}}})),
        kind("wildcard", json!({"wildcard":{"title":"*er"}})),
        kind("regexp", json!({"regexp":{"title":"s.*e"}})),
        kind("fuzzy", json!({"fuzzy":{"title":{"value":"shoo"}}})),
        kind("range", json!({"range":{"rank":{"gte":10,"lt":300}}})),
        kind("exists", json!({"exists":{"field":"title"}})),
        kind("ids", json!({"ids":{"values":(0..60).map(|id| id.to_string()).collect::<Vec<_>>()}})),
        kind("distance_feature", json!({"distance_feature":{"field":"day","origin":"2026-02-01","pivot":"7d"}})),
    ]
}

fn containers() -> Vec<Kind> {
    let random = json!({"function_score":{"query":title_match(),"random_score":{"seed":7,"field":"rank"}}});
    vec![
        kind("bool", json!({"bool":{"must":title_match(),"should":[{"term":{"colour":"red"}}],"filter":{"range":{"rank":{"lt":390}}}}})),
        kind("bool, filters alone", json!({"bool":{"filter":{"term":{"colour":"red"}}}})),
        kind(
            "bool, minimum",
            json!({"bool":{"should":[title_match(),{"match":{"body":"hat"}},{"term":{"colour":"red"}}],"minimum_should_match":2}}),
        ),
        kind("dis_max", json!({"dis_max":{"queries":[title_match(),{"match":{"body":"hat"}}],"tie_breaker":0.3}})),
        kind("boosting", json!({"boosting":{"positive":title_match(),"negative":{"term":{"colour":"red"}},"negative_boost":0.5}})),
        kind("constant_score", json!({"constant_score":{"filter":title_match(),"boost":2.0}})),
        kind("function_score, random with a seed", random),
        kind(
            "function_score, field value",
            json!({"function_score":{"query":title_match(),"field_value_factor":{"field":"rank","modifier":"log1p"}}}),
        ),
        kind(
            "function_score, weights",
            json!({"function_score":{"query":title_match(),"functions":[
            {"filter":{"term":{"colour":"red"}},"weight":3},{"filter":{"range":{"rank":{"lt":100}}},"weight":2}],"score_mode":"sum"}}),
        ),
        kind("function_score, decay", json!({"function_score":{"query":title_match(),"gauss":{"rank":{"origin":100,"scale":50}}}})),
        kind("nested", json!({"nested":{"path":"parts","query":{"match":{"parts.text":"red hat"}},"score_mode":"max"}})),
        opensearch("script_score", json!({"script_score":{"query":title_match(),"script":{"source":"_score * doc['rank'].value % 7"}}})),
        opensearch(
            "function_score, script",
            json!({"function_score":{"query":title_match(),"script_score":{"script":"doc['rank'].value % 5"}}}),
        ),
        opensearch("has_child", json!({"has_child":{"type":"part","query":{"match":{"title":"red shoe"}},"score_mode":"sum"}})),
        opensearch("has_parent", json!({"has_parent":{"parent_type":"whole","query":title_match(),"score":true}})),
    ]
}

fn beside_the_query() -> Vec<Kind> {
    let rescored =
        |window: usize| json!({"window_size":window,"query":{"rescore_query":{"match":{"body":"red hat"}},"rescore_query_weight":3.0}});
    vec![
        parameters("q", "q=red+shoe+body:hat"),
        parameters("q with companions", "q=red+shoe&df=title&default_operator=AND&lenient=true"),
        parameters("search_type", "search_type=dfs_query_then_fetch"),
        parameters("batched_reduce_size", "batched_reduce_size=2&max_concurrent_shard_requests=1"),
        parameters("pre_filter_shard_size", "pre_filter_shard_size=1"),
        parameters("request_cache", "request_cache=true"),
        parameters("track_total_hits", "track_total_hits=false"),
        body("rescore", json!({"query":title_match(),"rescore":rescored(WIDE)})),
        body("rescore, twice", json!({"query":title_match(),"rescore":[rescored(WIDE + 50),rescored(WIDE)]})),
        body("indices_boost", json!({"query":title_match(),"indices_boost":[{"stable-*":2.0}]})),
        body("min_score", json!({"query":title_match(),"min_score":0.5})),
        body("sort by _score", json!({"query":title_match(),"sort":["_score"],"track_scores":true})),
        body("sort by _score, descending", json!({"query":title_match(),"sort":[{"_score":{"order":"desc"}}],"track_scores":true})),
        body("post_filter", json!({"query":title_match(),"post_filter":{"term":{"colour":"red"}}})),
        body("aggregations", json!({"query":title_match(),"aggs":{"colours":{"terms":{"field":"colour"}}}})),
        body("highlight", json!({"query":title_match(),"highlight":{"fields":{"title":{}}}})),
        body("suggest", json!({"query":title_match(),"suggest":{"s":{"text":"shoo","term":{"field":"title"}}}})),
        body("all hits counted", json!({"query":title_match(),"track_total_hits":true})),
        body("timeout", json!({"query":title_match(),"timeout":"10s"})),
        body("no query", json!({})),
        body("collapse", json!({"query":title_match(),"collapse":{"field":"group"}})),
        body("named queries", json!({"query":{"match":{"title":{"query":"red winter shoe","_name":"n"}}},"stats":["g"]})),
        body("fields of all kinds", json!({"query":title_match(),"fields":["title"],"docvalue_fields":["rank"],"stored_fields":["day"]})),
        parameters("named queries with scores", "include_named_queries_score=true&stats=g&track_scores=true"),
        parameters("fields in the URL", "docvalue_fields=rank&stored_fields=day&version=true&seq_no_primary_term=true"),
        parameters("suggest in the URL", "suggest_field=title&suggest_text=shoo&suggest_mode=always&suggest_size=2"),
        parameters("sort in the URL", "sort=_score:desc"),
        Kind {
            on: On::Only(Product::Elasticsearch),
            ..body("runtime_mappings", json!({"query":title_match(),"runtime_mappings":{"least":{"type":"keyword"}}}))
        },
        Kind {
            on: On::Only(Product::OpenSearch),
            ..body(
                "derived",
                json!({"query":{"bool":{"must":title_match(),"should":{"term":{"odd":"yes"}}}},
                "derived":{"odd":{"type":"keyword","script":{"source":"emit(doc['rank'].value % 2 == 1 ? 'yes' : 'no')"}}}}),
            )
        },
    ]
}

fn assert_stable(name: &str, kinds: &[Kind]) {
    on_each(|engine| {
        let mut unstable = Vec::new();
        for shards in [1, 3] {
            let index = format!("stable-{name}-{shards}");
            fill(engine, &index, shards);
            let present = kinds.iter().filter(|kind| kind.on == On::Both || kind.on == On::Only(engine.product));
            unstable.extend(present.filter_map(|kind| difference(engine, &index, kind)));
        }
        assert!(unstable.is_empty(), "{:?}:\n{}", engine.product, unstable.join("\n"));
    });
}

/// Returns what differs between the first hits of a wide and a narrow answer.
fn difference(engine: &Engine, index: &str, kind: &Kind) -> Option<String> {
    let first = |size: usize| -> Vec<String> {
        let mut sized = kind.body.clone();
        sized["size"] = size.into();
        let reply = engine.call("POST", &format!("/{index}/_search?{}", kind.parameters), &sized.to_string());
        assert_eq!(reply.status, 200, "{:?} {}: {}", engine.product, kind.name, reply.text());
        reply.hits().iter().map(|hit| format!("{}:{}", hit["_id"], hit["_score"])).collect()
    };
    let (narrow, wide) = (first(NARROW), first(WIDE));
    assert!(wide.len() > NARROW, "{:?} {} finds {} hits: nothing is compared", engine.product, kind.name, wide.len());
    (wide[..NARROW] != narrow).then(|| format!("{index} {}\n  {narrow:?}\n  {:?}", kind.name, &wide[..NARROW]))
}

fn fill(engine: &Engine, index: &str, shards: usize) {
    let join = match engine.product {
        Product::OpenSearch => json!({"type":"join","relations":{"whole":"part"}}),
        Product::Elasticsearch => json!({"type":"object","enabled":false}), // its join module is not among the jars
    };
    let vector = match engine.product {
        Product::OpenSearch => json!({"type":"float"}), // its k-NN plugin is not among the jars
        Product::Elasticsearch => json!({"type":"dense_vector","dims":2,"similarity":"l2_norm"}),
    };
    let properties = json!({
        "vector":vector,
        "title":{"type":"text"},"body":{"type":"text"},"colour":{"type":"keyword"},"rank":{"type":"long"},"group":{"type":"long"},"least":{"type":"long"},
        "day":{"type":"date"},"parts":{"type":"nested","properties":{"text":{"type":"text"}}},"relation":join,
    });
    let settings = json!({"number_of_shards":shards,"number_of_replicas":0});
    engine.fill(index, &json!({"settings":settings,"mappings":{"properties":properties}}).to_string(), []);
    let numbers: Vec<usize> = (0..DOCUMENTS).collect();
    for upload in numbers.chunks(DOCUMENTS / UPLOADS) {
        let lines: String = upload.iter().map(|number| document(engine.product, *number)).collect();
        engine.bulk(index, &lines);
    }
}

/// Few words and two lengths give many equal scores; the longer bodies give distinct ones.
fn document(product: Product, number: usize) -> String {
    let mut seed = number as u64 + 1;
    let mut words = |count: usize| -> String {
        let drawn = (0..count).map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            WORDS[(seed >> 33) as usize % WORDS.len()]
        });
        drawn.collect::<Vec<_>>().join(" ")
    };
    let parent = number - number % 2;
    let relation = match (product, number == parent) {
        (Product::Elasticsearch, _) => json!({}),
        (Product::OpenSearch, true) => json!("whole"),
        (Product::OpenSearch, false) => json!({"name":"part","parent":parent.to_string()}),
    };
    let document = json!({
        "title":words(3 + number % 2 * 2),"body":words(8 + number % 23),"colour":WORDS[number % 3],"rank":number,"group":number % 40,"least":1 + number % 2,
        "day":format!("2026-{:02}-{:02}", 1 + number % 12, 1 + number % 28),"parts":[{"text":words(2)},{"text":words(4)}],"relation":relation,
        "vector":[number, 1],
    });
    format!("{{\"index\":{{\"_id\":\"{number}\",\"routing\":\"{parent}\"}}}}\n{document}\n")
}
