//! What rewriting one search costs, as a ratio to a `serde_json::Value` round trip of the same bytes.
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput};
use podium::{
    es::{reading::Reading, response::SearchResponse},
    intercept::{narrow::narrow, plan::Page},
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

/// What Podium does to one search's bytes: the answer is read, all its hits move and get new scores, and all are printed.
fn rewrite(answer: &[u8]) -> Vec<u8> {
    let response = SearchResponse::parse(answer).expect("a search response");
    let count = response.hits.len();
    let arrangement = Arrangement {
        ranking: Ranking::new((0..count).rev().collect()).expect("a permutation"),
        scores: (0..count).map(|place| Some(1.0 / (1 + place) as f32)).collect(),
        max_score: Some(1.0),
        annotations: Vec::new(),
    };
    narrow(&response, Page { from: 0, size: count }, &Reading::Source, &arrangement)
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
