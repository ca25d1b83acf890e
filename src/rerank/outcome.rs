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
    /// The engine is asked to rerank the hits itself.
    EngineReranked,
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
    /// A point in time that was not opened through here.
    UnknownPit,
    /// `Rerank: off`.
    ClientOff,
    /// The budget ended.
    Timeout,
    /// Not enough of the window would be scored in time, or too many searches are under way.
    Overloaded,
    /// The model's queue is full.
    QueueFull,
    /// The model is still loading.
    ModelLoading,
    /// The model could not be loaded.
    ModelUnavailable,
    /// The model failed on this search.
    ModelError,
    /// The model failed, or was too slow, too often of late; it is tried again soon.
    BreakerOpen,
    /// A bug of ours. It stays the last: [`Reason::COUNT`] relies on it.
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

/// What became of the items of a multi search, in their order.
#[derive(Clone, Copy, Debug)]
pub struct Outcomes<'a>(pub &'a [Outcome]);

/// How a page was reranked.
#[derive(Clone, Debug, PartialEq)]
pub struct Reranked {
    /// The model's name in the configuration.
    pub model: Arc<str>,
    /// Hits that were up for reranking: fewer than the rule's window where not all would have been scored in time.
    pub window: usize,
    /// Hits that have a score.
    pub scored: usize,
    /// Hits whose dear part was in a cache.
    pub cached: usize,
    /// The trust of adaptive fusion.
    pub trust: Option<f64>,
    /// Hits whose score is below the least that was asked for; `None` where none was.
    pub dropped: Option<usize>,
    /// Why not all of the window has a score that could have one; such hits keep the engine's order behind the others.
    pub late: Option<Reason>,
}

// === impl Reason ===

impl Reason {
    /// How many there are.
    pub const COUNT: usize = Self::Internal as usize + 1;

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
            Self::EngineReranked => "engine-reranked",
            Self::FieldConflict => "field-conflict",
            Self::FilterPath => "filter-path",
            Self::TooLarge => "too-large",
            Self::RewriteRejected => "rewrite-rejected",
            Self::UpstreamStatus => "upstream-status",
            Self::UpstreamAnswer => "upstream-answer",
            Self::UnknownPit => "unknown-pit",
            Self::ClientOff => "client-off",
            Self::Timeout => "timeout",
            Self::Overloaded => "overloaded",
            Self::QueueFull => "queue-full",
            Self::ModelLoading => "model-loading",
            Self::ModelUnavailable => "model-unavailable",
            Self::ModelError => "model-error",
            Self::BreakerOpen => "breaker-open",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

// === impl Reranked ===

impl Reranked {
    /// The word with which `Rerank-Status` begins.
    pub fn token(&self) -> &'static str {
        if self.late.is_some() { "partial" } else { "reranked" }
    }
}

// === impl Outcomes ===

impl Outcomes<'_> {
    /// More members than these are summed up: a header is bounded.
    const MOST_MEMBERS: usize = 16;

    /// Returns one member for what is alike, in the order of its first item, with how many items it stands for.
    fn summary(&self) -> Vec<String> {
        let mut kinds: Vec<(String, usize)> = Vec::new();
        for outcome in self.0 {
            let kind = match outcome {
                Outcome::Skipped(reason) => format!("skipped; reason={reason}"),
                Outcome::Reranked(reranked) => format!("{}; model=\"{}\"", reranked.token(), reranked.model),
            };
            match kinds.iter_mut().find(|(own, _)| *own == kind) {
                Some((_, count)) => *count += 1,
                None => kinds.push((kind, 1)),
            }
        }
        kinds.into_iter().take(Self::MOST_MEMBERS).map(|(kind, count)| format!("{kind}; count={count}")).collect()
    }
}

impl fmt::Display for Outcomes<'_> {
    /// Writes the value of `Rerank-Status` of a multi search: a list of RFC 8941, one member for each item, or the summary.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = if self.0.len() > Self::MOST_MEMBERS { self.summary() } else { self.0.iter().map(Outcome::to_string).collect() };
        formatter.write_str(&members.join(", "))
    }
}

// === impl Outcome ===

impl fmt::Display for Outcome {
    /// Writes the value of `Rerank-Status`: an item of RFC 8941, in the manner of RFC 9209.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skipped(reason) => write!(formatter, "skipped; reason={reason}"),
            Self::Reranked(reranked) => {
                let Reranked { model, window, scored, cached, trust, dropped, late } = reranked;
                write!(formatter, "{}; model=\"{model}\"; window={window}; scored={scored}; cached={cached}", reranked.token())?;
                trust.map_or(Ok(()), |trust| write!(formatter, "; trust={trust:.2}"))?;
                dropped.map_or(Ok(()), |dropped| write!(formatter, "; dropped={dropped}"))?;
                late.map_or(Ok(()), |reason| write!(formatter, "; reason={reason}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Outcomes, Reason, Reranked};

    fn reranked(cached: usize) -> Outcome {
        Outcome::Reranked(Reranked { model: "m".into(), window: 9, scored: 8, cached, trust: None, dropped: None, late: None })
    }

    #[test]
    fn a_window_that_is_not_scored_whole_says_why() {
        let Outcome::Reranked(whole) = reranked(1) else { panic!("it is reranked") };
        let partial = Outcome::Reranked(Reranked { trust: Some(0.5), late: Some(Reason::Timeout), ..whole });
        assert_eq!(partial.to_string(), "partial; model=\"m\"; window=9; scored=8; cached=1; trust=0.50; reason=timeout");
        let many = vec![partial; 17];
        assert_eq!(Outcomes(&many).to_string(), "partial; model=\"m\"; count=17");
    }

    #[test]
    fn several_outcomes_are_a_list_and_many_a_summary() {
        let few = [reranked(1), Outcome::Skipped(Reason::NoRule), reranked(2)];
        let one = |cached: usize| format!("reranked; model=\"m\"; window=9; scored=8; cached={cached}");
        assert_eq!(Outcomes(&few).to_string(), format!("{}, skipped; reason=no-rule, {}", one(1), one(2)));
        assert_eq!(Outcomes(&few[..1]).to_string(), few[0].to_string());
        let many: Vec<Outcome> = few.iter().cycle().take(1000).cloned().collect();
        assert_eq!(Outcomes(&many).to_string(), "reranked; model=\"m\"; count=667, skipped; reason=no-rule; count=333");
    }
}
