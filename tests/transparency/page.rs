//! What page a search asks for, and how much of an answer Podium may put in order.

use serde_json::Value;

/// A page of hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageAsked {
    pub(crate) from: usize,
    pub(crate) size: usize,
}

/// Returns the target asking for so many hits from the first; the URL wins over the body.
pub(crate) fn from_the_first(target: &str, size: usize) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let kept = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("from=") && !pair.starts_with("size="));
    let kept: String = kept.map(|pair| format!("{pair}&")).collect();
    format!("{path}?{kept}from=0&size={size}")
}

/// Returns how many hits were up for reranking, by `Rerank-Status`; none when the search was not reranked.
pub(crate) fn window_of(status: &str) -> Option<usize> {
    let rest = status.strip_prefix("reranked; ")?;
    rest.split("; ").find_map(|part| part.strip_prefix("window=")).and_then(|window| window.parse().ok())
}

/// Whether Podium asks for more hits than the page has; where not, only the page's own are put in order.
#[cfg(feature = "real-engines")]
pub(crate) fn widens(target: &str, body: &Value) -> bool {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let in_url = ["explain=true", "search_pipeline=", "terminate_after="].iter().any(|own| query.contains(own));
    let keys = ["explain", "profile", "terminate_after", "search_pipeline", "knn"];
    let in_body = keys.iter().any(|key| body.get(key).is_some_and(|value| *value != false))
        || ["generative_qa_parameters", "rerank"].iter().any(|own| body["ext"].get(own).is_some());
    !(in_url || in_body || body["collapse"].get("inner_hits").is_some() || body["query"].get("hybrid").is_some())
}

// === impl PageAsked ===

impl PageAsked {
    /// Reads URL and body; nothing where they are not plain.
    pub(crate) fn read(target: &str, body: &[u8]) -> Option<Self> {
        let body: Value = if body.is_empty() { Value::Null } else { serde_json::from_slice(body).ok()? };
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let number = |key: &str, absent: usize| {
            let in_url = query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
            match (in_url, body.get(key)) {
                (Some(text), _) => text.parse().ok(),
                (None, Some(value)) => value.as_u64().map(|number| number as usize),
                (None, None) => Some(absent),
            }
        };
        Some(Self { from: number("from", 0)?, size: number("size", 10)? })
    }
}
