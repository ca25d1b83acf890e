//! What the demo found, for programs; `table` shows it to people.

use serde::Serialize;

/// Everything.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) podium: Podium,
    pub(super) engine: EngineFacts,
    pub(super) model: Model,
    /// The text of `podium.toml`.
    pub(super) configuration: String,
    pub(super) ndcg_at_10: Relevance,
    pub(super) times: Vec<Timed>,
    pub(super) too_short_budget: Hurried,
    /// From the start of the program to the end of the measurements.
    pub(super) seconds: f64,
    pub(super) queries: Vec<Compared>,
}

/// Where Podium is.
#[derive(Debug, Serialize)]
pub(super) struct Podium {
    pub(super) version: &'static str,
    pub(super) address: String,
    pub(super) admin: String,
}

/// What it stands before.
#[derive(Debug, Serialize)]
pub(super) struct EngineFacts {
    pub(super) product: String,
    pub(super) address: String,
    pub(super) embedded: bool,
    pub(super) index: String,
    pub(super) products: usize,
}

/// What scores.
#[derive(Debug, Serialize)]
pub(super) struct Model {
    pub(super) source: String,
    pub(super) kind: String,
    pub(super) fingerprint: String,
    pub(super) max_tokens: u32,
    pub(super) window: usize,
    /// Of the warming up: products whose vectors were computed, and how long that took.
    pub(super) vectors: usize,
    pub(super) vectors_seconds: f64,
}

/// What the engine alone reached, and Podium.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Pair<T> {
    pub(super) engine: T,
    pub(super) podium: T,
}

/// NDCG@10 over all judged queries.
#[derive(Debug, Serialize)]
pub(super) struct Relevance {
    pub(super) gain: &'static str,
    pub(super) queries: usize,
    pub(super) reranked: usize,
    pub(super) engine: f64,
    pub(super) podium: f64,
    pub(super) better: usize,
    pub(super) same: usize,
    pub(super) worse: usize,
    /// Queries with nothing relevant among the hits of the window, which no other order can help.
    pub(super) out_of_reach: usize,
}

/// How long searches of one sort took, from the request to the last byte of the answer.
#[derive(Debug, Serialize)]
pub(super) struct Timed {
    pub(super) what: &'static str,
    pub(super) searches: usize,
    pub(super) reranked: usize,
    pub(super) median_ms: f64,
    pub(super) median_rerank_ms: Option<f64>,
    /// Hits that the model scored: of a search, and of all together; and how many of all had a vector already.
    pub(super) median_scored: usize,
    pub(super) scored: usize,
    pub(super) cached: usize,
}

/// A search without enough time.
#[derive(Debug, Serialize)]
pub(super) struct Hurried {
    pub(super) text: String,
    pub(super) timeout_ms: u32,
    pub(super) ms: f64,
    pub(super) rerank_status: String,
    pub(super) in_engine_order: bool,
    /// Whether the model was faster than thought.
    pub(super) in_time: bool,
    pub(super) titles: Vec<String>,
}

/// One judged query.
#[derive(Debug, Serialize)]
pub(super) struct Compared {
    pub(super) id: String,
    pub(super) text: String,
    pub(super) ndcg_at_10: Pair<Option<f64>>,
    pub(super) ms: Pair<f64>,
    pub(super) rerank_status: String,
    /// Whether anything relevant is among the hits that are reranked.
    pub(super) in_window: bool,
    pub(super) engine: Vec<Placed>,
    pub(super) podium: Vec<Placed>,
}

/// One product on a page.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Placed {
    pub(super) rank: usize,
    /// Its place in the engine's own order, if it is within the window.
    pub(super) engine_rank: Option<usize>,
    /// 3 (exactly this), 2 (would do), 1 (related), 0.
    pub(super) grade: u8,
    pub(super) id: String,
    pub(super) title: String,
}
