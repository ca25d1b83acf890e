//! The names of all metrics, what they count and how they are labelled: what `/metrics` shows, and docs/metrics.md explains.
//!
//! **Invariant:** no label holds anything that a client sends. Labels are rules, models, routes and words of closed lists, so that the
//! number of series is bounded by the configuration.

/// Searches that have a rule, by what became of them.
pub const SEARCHES: &str = "podium_searches_total";
/// Seconds of the stages of searches that have a rule.
pub const SEARCH_SECONDS: &str = "podium_search_seconds";
/// Hits that were up for reranking in a search.
pub const WINDOW_HITS: &str = "podium_window_hits";
/// The trust that adaptive fusion last had in the model.
pub const TRUST: &str = "podium_trust";
/// Requests of clients.
pub const REQUESTS: &str = "podium_requests_total";
/// Requests that a bug of ours ended.
pub const PANICS: &str = "podium_panics_total";
/// Bytes that the cluster answered to searches with a rule.
pub const UPSTREAM_BYTES: &str = "podium_upstream_bytes_total";
/// Bytes of the pages that were made of them.
pub const PAGE_BYTES: &str = "podium_page_bytes_total";
/// Searches that the model was not asked for.
pub const SEARCHES_SHED: &str = "podium_searches_shed_total";

/// Searches that are looked into at this moment.
pub const SEARCHES_UNDER_WAY: &str = "podium_searches_under_way";
/// Bytes of them and of their answers that are held at this moment.
pub const INSPECTED_BYTES: &str = "podium_inspected_bytes";

/// Whether a model is ready.
pub const MODEL_READY: &str = "podium_model_ready";
/// Pairs that wait for a model.
pub const QUEUE_PAIRS: &str = "podium_queue_pairs";
/// Tokens that wait for a model.
pub const QUEUE_TOKENS: &str = "podium_queue_tokens";
/// Pairs in one forward pass.
pub const BATCH_PAIRS: &str = "podium_batch_pairs";
/// The share of `batch-tokens` that one forward pass used.
pub const BATCH_FILL_RATIO: &str = "podium_batch_fill_ratio";
/// The share of one forward pass that would be padding in a model that pads.
pub const BATCH_PADDING_RATIO: &str = "podium_batch_padding_ratio";
/// Seconds of one forward pass.
pub const BATCH_SECONDS: &str = "podium_batch_seconds";
/// Tokens that went through a model.
pub const SCORED_TOKENS: &str = "podium_scored_tokens_total";
/// Pairs that a model scored.
pub const SCORED_PAIRS: &str = "podium_scored_pairs_total";
/// Scores that came when their search had been answered.
pub const LATE_SCORES: &str = "podium_late_scores_total";
/// The circuit breaker's state: see the `BREAKER_` constants.
pub const BREAKER_STATE: &str = "podium_breaker_state";
/// Times that a model's worker was started again.
pub const WORKER_RESTARTS: &str = "podium_worker_restarts_total";
/// Pairs that are not scored any more because they broke the model.
pub const PAIRS_SET_ASIDE: &str = "podium_pairs_set_aside_total";

/// What was found in a cache.
pub const CACHE_HITS: &str = "podium_cache_hits_total";
/// What was looked for in a cache, and not found.
pub const CACHE_MISSES: &str = "podium_cache_misses_total";
/// Bytes in a cache.
pub const CACHE_BYTES: &str = "podium_cache_bytes";
/// Entries in a cache.
pub const CACHE_ENTRIES: &str = "podium_cache_entries";

/// This build.
pub const BUILD_INFO: &str = "podium_build_info";
/// What a rule's number stands for.
pub const RULE_INFO: &str = "podium_rule_info";

/// [`BREAKER_STATE`] where the model is asked.
pub const BREAKER_CLOSED: f64 = 0.0;
/// [`BREAKER_STATE`] where one search tries the model.
pub const BREAKER_HALF_OPEN: f64 = 1.0;
/// [`BREAKER_STATE`] where the model is left alone.
pub const BREAKER_OPEN: f64 = 2.0;

/// The label of a rule: its place in the file, from 0, as messages about the configuration write it.
pub const RULE: &str = "rule";
/// The label of a model: its name in the configuration.
pub const MODEL: &str = "model";
/// The label of what became of a search: `reranked`, `partial` or `skipped`.
pub const OUTCOME: &str = "outcome";
/// The label of a reason: a word of [`crate::rerank::Reason`], or empty.
pub const REASON: &str = "reason";
/// The label of a stage: `plan`, `upstream`, `rerank` or `total`.
pub const STAGE: &str = "stage";
/// The label of a route.
pub const ROUTE: &str = "route";
/// The label of an answer's status: `2xx` and so on, `none` where the client did not wait.
pub const STATUS_CLASS: &str = "status_class";
/// The label of a cache: one of the `CACHE_` words below.
pub const CACHE: &str = "cache";
/// The label of a version.
pub const VERSION: &str = "version";
/// The label of a rule's index patterns, as written.
pub const INDEX: &str = "index";

/// The cache of scores.
pub const CACHE_SCORES: &str = "scores";
/// The cache of documents' vectors.
pub const CACHE_VECTORS: &str = "vectors";
/// The cache of whole answers.
pub const CACHE_ANSWERS: &str = "answers";
/// The page pins.
pub const CACHE_PAGES: &str = "pages";

/// How a metric is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Observations, counted by size: the upper bounds of their sizes.
    Histogram(&'static [f64]),
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// How it is measured.
    pub kind: Kind,
    /// Its labels, in the order in which they are documented.
    pub labels: &'static [&'static str],
    /// What it says, for the page and the document.
    pub help: &'static str,
}

/// From a cached score to the longest total-timeout that anybody waits for.
const SECONDS: &[f64] = &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Up to the largest window.
const HITS: &[f64] = &[2.0, 5.0, 10.0, 20.0, 35.0, 50.0, 75.0, 100.0, 150.0, 200.0, 500.0, 1000.0, 10_000.0];
const PAIRS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];
const SHARES: &[f64] = &[0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0];

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, help }
}

const fn histogram(name: &'static str, buckets: &'static [f64], labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram(buckets), labels, help }
}

/// All metrics, in the order of the document.
pub const ALL: &[Metric] = &[
    counter(SEARCHES, &[RULE, OUTCOME, REASON], "Searches that have a rule, by what became of them."),
    histogram(SEARCH_SECONDS, SECONDS, &[RULE, STAGE], "Seconds of the stages of searches that have a rule."),
    histogram(WINDOW_HITS, HITS, &[RULE], "Hits that were up for reranking in a search: the window that fitted."),
    gauge(TRUST, &[RULE], "The trust, 0 to 1, that adaptive fusion last had in the model."),
    counter(UPSTREAM_BYTES, &[RULE], "Bytes that the cluster answered to searches that were reranked, decoded."),
    counter(PAGE_BYTES, &[RULE], "Bytes of the pages that were made of those answers, before they are encoded."),
    counter(
        SEARCHES_SHED,
        &[MODEL, REASON],
        "Searches that the model was not asked for, or not any more: they would have been late, or there was no room. The cache of scores answers some.",
    ),
    counter(REQUESTS, &[ROUTE, STATUS_CLASS], "Requests of clients, by where they went and how they were answered."),
    counter(PANICS, &[], "Requests that a bug of Podium's own ended with a 500."),
    gauge(SEARCHES_UNDER_WAY, &[], "Searches that are looked into now; `max-concurrent-searches` is the bound."),
    gauge(INSPECTED_BYTES, &[], "Bytes of searches and answers that are held now; `inspected-memory` is the bound."),
    gauge(
        MODEL_READY,
        &[MODEL],
        "Whether the model is ready, or waits for its first search: 1, or 0 while it is loading or cannot be loaded.",
    ),
    gauge(QUEUE_PAIRS, &[MODEL], "Pairs that wait for the model."),
    gauge(QUEUE_TOKENS, &[MODEL], "Tokens that wait for the model."),
    histogram(BATCH_PAIRS, PAIRS, &[MODEL], "Pairs in one forward pass."),
    histogram(BATCH_FILL_RATIO, SHARES, &[MODEL], "The share of `batch-tokens` that one forward pass used."),
    histogram(BATCH_PADDING_RATIO, SHARES, &[MODEL], "The share of one forward pass that is padding, or would be in a model that pads."),
    histogram(BATCH_SECONDS, SECONDS, &[MODEL], "Seconds of one forward pass."),
    counter(SCORED_TOKENS, &[MODEL], "Tokens that went through the model."),
    counter(SCORED_PAIRS, &[MODEL], "Pairs that the model scored; what a cache knew is not among them."),
    counter(LATE_SCORES, &[MODEL], "Scores that came when their search had been answered; they fill the caches."),
    gauge(BREAKER_STATE, &[MODEL], "The circuit breaker: 0 closed, 1 half-open, 2 open."),
    counter(WORKER_RESTARTS, &[MODEL], "Times that the model was made ready again after a panic, or could not be and was loaded anew."),
    counter(PAIRS_SET_ASIDE, &[MODEL], "Pairs that are not scored for a while because they broke the model twice."),
    counter(CACHE_HITS, &[CACHE], "What was looked for in a cache and found."),
    counter(CACHE_MISSES, &[CACHE], "What was looked for in a cache and not found."),
    gauge(CACHE_BYTES, &[CACHE], "Bytes in a cache, what it costs to keep them included."),
    gauge(CACHE_ENTRIES, &[CACHE], "Entries in a cache."),
    gauge(BUILD_INFO, &[VERSION], "Always 1; the version of Podium."),
    gauge(RULE_INFO, &[RULE, INDEX, MODEL], "Always 1; what a rule's number stands for."),
];
