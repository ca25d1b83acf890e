//! What became of a search: the closed list of reasons, and what `Rerank-Status` says.

use std::{fmt, sync::Arc};

/// Why a search was answered in the engine's own order. The list is closed; parts that are added later add theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No rule matches the index expression.
    NoRule,
    /// Its index expressions match different rules.
    MixedRules,
    /// No query text was found.
    NoQueryText,
    /// No hit yields any text for the model.
    NoText,
    /// An explicit order was asked for.
    Sorted,
    /// A cursor (`search_after`, `scroll`, `slice`).
    Cursor,
    /// `size: 0`.
    NoPage,
    /// Fewer than two hits.
    FewHits,
    /// The page starts behind the window.
    BeyondWindow,
    /// The body is not JSON.
    NotJson,
    /// Something that is not on the allow-list.
    Unsupported,
    /// The first hits change with their number.
    Unstable,
    /// A field that the model needs is produced by the client's request in another way.
    FieldConflict,
    /// A `filter_path` that cannot be applied here.
    FilterPath,
    /// The search or its answer is over the cap.
    TooLarge,
    /// The engine refused the widened search.
    RewriteRejected,
    /// The engine answered with an error of its own.
    UpstreamStatus,
    /// The engine's answer could not be read.
    UpstreamAnswer,
    /// `Rerank: off`.
    ClientOff,
    /// The budget ended.
    Timeout,
    /// The model's queue is full.
    QueueFull,
    /// The model is still loading.
    ModelLoading,
    /// The model could not be loaded.
    ModelUnavailable,
    /// The model failed on this search.
    ModelError,
    /// A bug of ours.
    Internal,
}

/// What became of one search.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The page is in the fused order.
    Reranked(Reranked),
    /// The page is in the engine's order.
    Skipped(Reason),
}

/// How a page was reranked.
#[derive(Clone, Debug, PartialEq)]
pub struct Reranked {
    /// The model's name in the configuration.
    pub model: Arc<str>,
    /// Hits that were up for reranking.
    pub window: usize,
    /// Hits that have a score.
    pub scored: usize,
    /// Hits whose dear part was in a cache.
    pub cached: usize,
    /// The trust of adaptive fusion.
    pub trust: Option<f64>,
}

// === impl Reason ===

impl Reason {
    /// The word in `Rerank-Status`, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoRule => "no-rule",
            Self::MixedRules => "mixed-rules",
            Self::NoQueryText => "no-query-text",
            Self::NoText => "no-text",
            Self::Sorted => "sorted",
            Self::Cursor => "cursor",
            Self::NoPage => "no-page",
            Self::FewHits => "few-hits",
            Self::BeyondWindow => "beyond-window",
            Self::NotJson => "not-json",
            Self::Unsupported => "unsupported",
            Self::Unstable => "unstable",
            Self::FieldConflict => "field-conflict",
            Self::FilterPath => "filter-path",
            Self::TooLarge => "too-large",
            Self::RewriteRejected => "rewrite-rejected",
            Self::UpstreamStatus => "upstream-status",
            Self::UpstreamAnswer => "upstream-answer",
            Self::ClientOff => "client-off",
            Self::Timeout => "timeout",
            Self::QueueFull => "queue-full",
            Self::ModelLoading => "model-loading",
            Self::ModelUnavailable => "model-unavailable",
            Self::ModelError => "model-error",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

// === impl Outcome ===

impl fmt::Display for Outcome {
    /// Writes the value of `Rerank-Status`: an item of RFC 8941, in the manner of RFC 9209.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skipped(reason) => write!(formatter, "skipped; reason={reason}"),
            Self::Reranked(Reranked { model, window, scored, cached, trust }) => {
                write!(formatter, "reranked; model=\"{model}\"; window={window}; scored={scored}; cached={cached}")?;
                trust.map_or(Ok(()), |trust| write!(formatter, "; trust={trust:.2}"))
            }
        }
    }
}
