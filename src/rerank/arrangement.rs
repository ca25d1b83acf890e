//! What a page is to look like once its hits are ranked: their order, and what is written about their scores.

use super::Ranking;

/// How all hits of one answer are arranged. Places are those of the engine's answer, before any hit moved.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrangement {
    /// The order of all hits.
    pub ranking: Ranking,
    /// Each hit's new `_score`; `None` keeps what stands there. Empty: none is new.
    pub scores: Vec<Option<f32>>,
    /// The new `max_score`; `None` keeps what stands there.
    pub max_score: Option<f32>,
    /// What each hit's `fields` gains. Empty: nothing.
    pub annotations: Vec<Option<Annotation>>,
}

/// `_rerank` of one hit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Annotation {
    /// The rerank score.
    pub score: f32,
    /// The first-stage score.
    pub previous_score: Option<f32>,
    /// The rank in the engine's order.
    pub previous_rank: usize,
}

// === impl Arrangement ===

impl Arrangement {
    /// Returns the arrangement that leaves `count` hits as the engine gave them.
    pub fn engine_order(count: usize) -> Self {
        Self { ranking: Ranking::identity(count), scores: Vec::new(), max_score: None, annotations: Vec::new() }
    }
}
