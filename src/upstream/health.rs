//! Whether a node is alive, told from its answers in passing; ejected ones are asked until they answer again.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header, response};
use hyper::body::{Frame, SizeHint};

use super::{
    balance::{InFlight, Node, Nodes},
    pool::Answer,
};
use crate::body::BoxError;

/// How often ejected nodes are asked.
pub(super) const PROBE_EVERY: Duration = Duration::from_secs(1);

/// How long one question may take, its answer's first bytes included.
pub(super) const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// Enough of a body to see how an engine's error begins, however it is indented.
const OPENING: usize = 64;

/// An answer's body, watched as it passes: its request counts as open until the body ends or is dropped, and the first
/// bytes of a 503 tell an engine (alive, the search just failed) from something that stands in for a dead one.
pub(super) struct Watched {
    body: Answer,
    suspect: Option<Suspect>,
    _open: InFlight,
}

/// A node that answered 503 with JSON: its body's opening decides.
struct Suspect {
    nodes: Arc<Nodes>,
    node: Arc<Node>,
    opening: Vec<u8>,
}

/// What an answer's head says about its node.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Alive,
    Down(&'static str),
    /// Only the body can tell.
    Open,
}

/// Judges the node by an answer's head, and returns the body that will finish the judgement.
pub(super) fn watch(head: &response::Parts, body: Answer, method: &Method, nodes: &Arc<Nodes>, open: InFlight) -> Watched {
    let suspect = match judge(head.status, &head.headers, method) {
        Verdict::Alive => {
            nodes.revive(open.node());
            None
        }
        Verdict::Down(why) => {
            nodes.eject(open.node(), why);
            None
        }
        Verdict::Open => Some(Suspect { nodes: nodes.clone(), node: open.node().clone(), opening: Vec::new() }),
    };
    Watched { body, suspect, _open: open }
}

fn judge(status: StatusCode, headers: &HeaderMap, method: &Method) -> Verdict {
    match status {
        StatusCode::BAD_GATEWAY => Verdict::Down("it answered 502"),
        StatusCode::GATEWAY_TIMEOUT => Verdict::Down("it answered 504"),
        StatusCode::SERVICE_UNAVAILABLE if !is_json(headers) => Verdict::Down("it answered 503 without an engine's JSON"),
        // No opening can be read: the media type has to do.
        StatusCode::SERVICE_UNAVAILABLE if method == Method::HEAD || headers.contains_key(header::CONTENT_ENCODING) => Verdict::Alive,
        StatusCode::SERVICE_UNAVAILABLE => Verdict::Open,
        _ => Verdict::Alive,
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let written = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = written.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type == "application/json" || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

/// Returns whether a body begins as an engine's error does; `None`: too early to tell.
fn begins_as_error(opening: &[u8]) -> Option<bool> {
    let mut rest = opening;
    for expected in [&b"{"[..], b"\"error\""] {
        rest = rest.trim_ascii_start();
        let shared = rest.len().min(expected.len());
        if rest[..shared] != expected[..shared] {
            return Some(false);
        }
        if shared < expected.len() {
            return (opening.len() >= OPENING).then_some(false);
        }
        rest = &rest[shared..];
    }
    Some(true)
}

// === impl Suspect ===

impl Suspect {
    /// Returns whether the next bytes settle it.
    fn look_at(&mut self, chunk: &[u8]) -> bool {
        let wanted = OPENING.saturating_sub(self.opening.len()).min(chunk.len());
        self.opening.extend_from_slice(&chunk[..wanted]);
        match begins_as_error(&self.opening) {
            Some(true) => self.nodes.revive(&self.node),
            Some(false) => self.convict(),
            None => return false,
        }
        true
    }

    fn convict(&self) {
        self.nodes.eject(&self.node, "it answered 503 without an engine's JSON");
    }
}

// === impl Watched ===

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = pin!(&mut self.body).poll_frame(context);
        if let (Poll::Ready(read), Some(suspect)) = (&polled, &mut self.suspect) {
            let settled = match read {
                Some(Ok(frame)) => frame.data_ref().is_some_and(|chunk| suspect.look_at(chunk)),
                None | Some(Err(_)) => {
                    suspect.convict();
                    true
                }
            };
            if settled {
                self.suspect = None;
            }
        }
        polled.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_engines_503_is_alive() {
        let json = HeaderMap::from_iter([(header::CONTENT_TYPE, "application/vnd.elasticsearch+json; compatible-with=9".parse().unwrap())]);
        let html = HeaderMap::from_iter([(header::CONTENT_TYPE, "text/html".parse().unwrap())]);
        let zipped = HeaderMap::from_iter(
            [("content-type", "application/json"), ("content-encoding", "gzip")]
                .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())),
        );
        let verdict = |status: u16, headers: &HeaderMap| judge(StatusCode::from_u16(status).unwrap(), headers, &Method::GET);
        assert!(matches!(verdict(502, &json), Verdict::Down(_)));
        assert!(matches!(verdict(504, &json), Verdict::Down(_)));
        assert!(matches!(verdict(503, &html), Verdict::Down(_)));
        assert_eq!(verdict(503, &json), Verdict::Open);
        assert_eq!(verdict(503, &zipped), Verdict::Alive);
        assert_eq!(judge(StatusCode::SERVICE_UNAVAILABLE, &json, &Method::HEAD), Verdict::Alive);
        for status in [200, 400, 401, 404, 405, 429, 500] {
            assert_eq!(verdict(status, &html), Verdict::Alive, "{status}");
        }
    }

    #[test]
    fn an_engines_error_is_known_by_its_opening() {
        assert_eq!(begins_as_error(b"{\"error\":{"), Some(true));
        assert_eq!(begins_as_error(b" {\n  \"error\" : {"), Some(true));
        assert_eq!(begins_as_error(b""), None);
        assert_eq!(begins_as_error(b"{\n \"err"), None);
        assert_eq!(begins_as_error(b"{\"message\":\"no healthy upstream\"}"), Some(false));
        assert_eq!(begins_as_error(b"<html>"), Some(false));
        assert_eq!(begins_as_error(&[b' '; OPENING]), Some(false));
    }
}
