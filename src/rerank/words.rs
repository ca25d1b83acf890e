//! What each reason means, and what can be done about it: docs/configuration.md for the terminal.

use super::Reason;

/// A reason, explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    /// What happened.
    pub meaning: &'static str,
    /// What an operator can do.
    pub remedy: &'static str,
}

const fn words(meaning: &'static str, remedy: &'static str) -> Words {
    Words { meaning, remedy }
}

// === impl Reason ===

impl Reason {
    /// Returns the reason in words.
    pub fn words(self) -> Words {
        match self {
            Self::NoRule => words("no rule's `index` matches the search's, as text", "`podium check`; widen the pattern"),
            Self::MixedRules => words("the search's indices match different rules", "one rule for both"),
            Self::NoQueryText => words("nothing in the search reads like a query", "`query = { pointer = … }`"),
            Self::NoText => words("no hit has text in the rule's `fields`", "`podium check` shows what was found"),
            Self::Sorted => words("the client sorts by something else than `_score`", "nothing: it is the client's wish"),
            Self::Cursor => words("`search_after`, `scroll` or `slice`", "nothing: reordering would repeat or lose hits"),
            Self::NoPage => words("`size: 0`", "nothing"),
            Self::FewHits => words("fewer than two hits, or fewer than two that have text", "nothing"),
            Self::BeyondWindow => words("the page starts behind `window`", "a larger `window`"),
            Self::NotJson => words("the body is not plain JSON", "JSON, each key once, without comments"),
            Self::Unsupported => {
                words("the search uses something that Podium does not know in full", "compatibility.md lists what it knows")
            }
            Self::EngineReranked => {
                words("a `text_similarity_reranker` that the rule does not serve, or not in this form", "`serve-retrievers = true`")
            }
            Self::Unstable => words("the first hits change with their number (`random_score` without a seed)", "give a seed"),
            Self::FieldConflict => {
                words("the client itself produces a field of the rule in another form", "another field, or another name in the client")
            }
            Self::TooLarge => words("the search or its answer is over `max-inspected-body`", "raise it, or lower `window`"),
            Self::RewriteRejected => {
                words("the engine refuses the wider search; believed for five minutes", "`podium check`; often `_source` is disabled")
            }
            Self::UpstreamStatus => words("the engine answered with an error", "the engine's answer says more"),
            Self::UpstreamAnswer => {
                words("the engine's answer was cut off or not JSON", "look at what stands between Podium and the engine")
            }
            Self::FilterPath => {
                words("a `filter_path` that engines read in ways of their own, or a very long one", "fewer and plainer patterns")
            }
            Self::UnknownPit => words(
                "the point in time was not opened through this Podium, or is over",
                "balance clients so that one client meets one Podium",
            ),
            Self::ClientOff => words("the client sent `Rerank: off`", "nothing: it is the client's wish"),
            Self::Timeout => words("`timeout` or `total-timeout` ended", "a smaller `window`, `max-tokens`; more `threads`"),
            Self::Overloaded => words(
                "not all of `window`, or not even `window.min` hits, would be scored in time, or a bound of `[limits]` is reached",
                "more capacity; a smaller `window`, or a range; `podium warm`",
            ),
            Self::QueueFull => words("`max-queue` documents wait already, or a remote model's server has too much to do", "more capacity"),
            Self::ModelLoading => words("the model is not there yet", "wait; `/ready` on the admin port says when"),
            Self::ModelUnavailable => {
                words("the model could not be loaded; it is tried again", "`podium check`; `/ready` on the admin port says why")
            }
            Self::ModelError => words("the model failed on this search", "the log says how"),
            Self::BreakerOpen => {
                words("the model failed too often of late, or hangs; it is tried again within seconds", "the log says how it failed")
            }
            Self::Internal => words("a bug of Podium", "the log says more; please report it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Reason;

    /// All reasons; a variant that is missing here is missed by the document's row.
    const ALL: [Reason; Reason::COUNT] = [
        Reason::NoRule,
        Reason::MixedRules,
        Reason::NoQueryText,
        Reason::NoText,
        Reason::Sorted,
        Reason::Cursor,
        Reason::NoPage,
        Reason::FewHits,
        Reason::BeyondWindow,
        Reason::NotJson,
        Reason::Unsupported,
        Reason::EngineReranked,
        Reason::Unstable,
        Reason::FieldConflict,
        Reason::TooLarge,
        Reason::RewriteRejected,
        Reason::UpstreamStatus,
        Reason::UpstreamAnswer,
        Reason::FilterPath,
        Reason::UnknownPit,
        Reason::ClientOff,
        Reason::Timeout,
        Reason::Overloaded,
        Reason::QueueFull,
        Reason::ModelLoading,
        Reason::ModelUnavailable,
        Reason::ModelError,
        Reason::BreakerOpen,
        Reason::Internal,
    ];

    #[test]
    fn the_document_says_the_same() {
        let document = include_str!("../../docs/configuration.md");
        let (_, table) = document.split_once("## Why a search was not reranked").expect("the list of reasons");
        let written: BTreeSet<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
        let row = |reason: Reason| format!("| `{reason}` | {} | {} |", reason.words().meaning, reason.words().remedy);
        let known: BTreeSet<String> = ALL.into_iter().map(row).collect();
        assert_eq!(known.iter().map(String::as_str).collect::<BTreeSet<_>>(), written);
    }
}
