//! What rewriting one search costs, as a ratio to a `serde_json::Value` round trip of the same bytes.
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

use std::{
    hint::black_box,
    path::Path,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput};
use podium::{
    config::{self, KINDS, Rule},
    es::response::SearchResponse,
    intercept::{
        narrow::narrow,
        plan::{Hints, Page, Search, plan},
        widen::widen,
    },
    rerank::{Arrangement, Ranking},
};

/// Hits of one answer.
const HITS: usize = 100;

/// Bytes of text in a hit's `_source`.
const SOURCE: usize = 2048;

/// Rounds of the ratio; rewrite and round trip take turns in each.
const ROUNDS: usize = 201;

/// Texts as engines store them: words, characters of three bytes, and markup whose quotes, line feeds and brackets are escaped.
const TEXTS: [(&str, &str); 3] = [
    ("english", "The quick brown fox jumps over the lazy dog while the search engine ranks its hits. "),
    ("chinese", "敏捷的棕色狐狸跳过懒狗，搜索引擎正在为结果排序。"),
    ("html", r#"\u003cp class=\"lead\"\u003eFish \u0026 chips\u003c/p\u003e\n"#),
];

/// A search as shops send it.
const SEARCH: &str = r#"{"query":{"bool":{"must":[{"multi_match":{"query":"red running shoes for wet roads","fields":["title^3","text"]}}],
    "filter":[{"term":{"in_stock":true}},{"range":{"price":{"lte":150}}}]}},"aggs":{"brands":{"terms":{"field":"brand"}}},"size":10}"#;

const CONFIG: &str = "[upstream]\nnodes = ['http://127.0.0.1:9200']\n[models.m]\nsource = './m'\n\
    [[rules]]\nindex = ['shop']\nmodel = 'm'\nfields = ['title', 'text']\n";

static RULE: LazyLock<Arc<Rule>> = LazyLock::new(|| {
    let config = config::parse(Path::new("podium.toml"), CONFIG, KINDS).expect("a right configuration");
    Arc::clone(&config.rules[0])
});

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for (name, phrase) in TEXTS {
        let answer = answer(phrase);
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(answer.len() as u64));
        group.bench_function("rewrite", |bencher| bencher.iter(|| rewrite(black_box(&answer))));
        group.bench_function("round-trip", |bencher| bencher.iter(|| round_trip(black_box(&answer))));
        group.finish();
    }
    criterion.final_summary();
    for (name, phrase) in TEXTS {
        let answer = answer(phrase);
        let (rewrite, round_trip) = medians(&answer);
        let ratio = rewrite.as_secs_f64() / round_trip.as_secs_f64();
        println!("{name}: {} bytes, rewrite {rewrite:.1?}, round trip {round_trip:.1?}, ratio {ratio:.3}", answer.len());
    }
}

/// What Podium does to one search's bytes: it is planned and widened, its answer is read, all hits move and get new scores, and all
/// are printed.
fn rewrite(answer: &[u8]) -> Vec<u8> {
    let search = Search {
        path: "/shop/_search",
        query: Some("preference=feed"),
        content_type: Some("application/json"),
        accept: Some("application/json"),
        rerank_query: None,
        body: SEARCH.as_bytes(),
    };
    let plan = plan(&search, &RULE, &Hints::default()).expect("a search that is reranked");
    black_box(widen(&search, &plan));
    let response = SearchResponse::parse(answer).expect("a search response");
    let count = response.hits.len();
    let arrangement = Arrangement {
        ranking: Ranking::new((0..count).rev().collect()).expect("a permutation"),
        scores: (0..count).map(|place| Some(1.0 / (1 + place) as f32)).collect(),
        max_score: Some(1.0),
        annotations: Vec::new(),
    };
    let page = Page { from: 0, size: count };
    narrow(&response, page, &plan.reading, &arrangement)
}

/// What it is measured against.
fn round_trip(answer: &[u8]) -> Vec<u8> {
    let value: serde_json::Value = serde_json::from_slice(answer).expect("JSON");
    serde_json::to_vec(&value).expect("a value can be printed")
}

fn medians(answer: &[u8]) -> (Duration, Duration) {
    let mut rounds = [Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS)];
    for _ in 0..ROUNDS {
        for (times, run) in rounds.iter_mut().zip([rewrite, round_trip]) {
            let start = Instant::now();
            black_box(run(black_box(answer)));
            times.push(start.elapsed());
        }
    }
    let [rewrite, round_trip] = rounds.map(|mut times| {
        times.sort_unstable();
        times[ROUNDS / 2]
    });
    (rewrite, round_trip)
}

fn answer(phrase: &str) -> Vec<u8> {
    let hits: Vec<String> = (0..HITS).map(|place| hit(place, phrase)).collect();
    let head = r#"{"took":7,"timed_out":false,"_shards":{"total":5,"successful":5,"skipped":0,"failed":0},"hits":{"#;
    let total = r#""total":{"value":1234,"relation":"eq"},"max_score":17.25,"hits":["#;
    [head, total, &hits.join(","), "]}}"].concat().into_bytes()
}

fn hit(place: usize, phrase: &str) -> String {
    let text = phrase.repeat(SOURCE / phrase.len());
    let score = 17.25 / (1 + place) as f32;
    format!(
        r#"{{"_index":"shop","_id":"product-{place}","_score":{score:?},"_source":{{"title":"Product {place}","price":12.50,"sku":9007199254740993,"text":"{text}"}}}}"#
    )
}
