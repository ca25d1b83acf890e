//! Why the cluster gave no answer: whose fault it is, in words that hold nothing of the request.

use std::error::Error as StdError;

use hyper_util::client::legacy;

/// Why a request has no answer from the cluster.
///
/// **Invariant:** no variant displays a header, a query string or a body; the source may name addresses.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No connection to any node; nothing was sent.
    #[error("could not connect to the cluster")]
    Connect(#[source] legacy::Error),
    /// No connection to any node in time; nothing was sent.
    #[error("could not connect to the cluster in time")]
    ConnectTimeout(#[source] legacy::Error),
    /// The connection broke after something had been sent, before an answer came.
    #[error("the connection to the cluster broke before an answer came")]
    Cut(#[source] legacy::Error),
    /// The answer breaks the rules of HTTP.
    #[error("the cluster's answer is not valid HTTP")]
    Malformed(#[source] legacy::Error),
    /// The answer's head can be read in more than one way.
    #[error("the cluster's answer is refused: {0}")]
    Ambiguous(&'static str),
    /// The client's own body broke off or was malformed.
    #[error("the request's body broke off")]
    RequestBody(#[source] legacy::Error),
    /// The request cannot be passed on.
    #[error("the request is refused: {0}")]
    Refused(&'static str),
}

/// A connect that took longer than `connect-timeout`.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("not connected within the connect-timeout")]
pub(super) struct ConnectTimedOut;

// === impl UpstreamError ===

impl UpstreamError {
    /// Returns what a client's error means; `body_broke` says that the request's own body failed first.
    pub(super) fn from_client(error: legacy::Error, body_broke: bool) -> Self {
        if body_broke {
            return Self::RequestBody(error);
        }
        if error.is_connect() {
            return if find::<ConnectTimedOut>(&error).is_some() { Self::ConnectTimeout(error) } else { Self::Connect(error) };
        }
        match find::<hyper::Error>(&error) {
            Some(cause) if cause.is_parse() => Self::Malformed(error),
            _ => Self::Cut(error),
        }
    }

    /// Returns whether no connection came about, so that nothing was sent.
    pub(super) fn is_connect(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::ConnectTimeout(_))
    }
}

/// Returns the first cause of this type.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    match error.downcast_ref() {
        Some(found) => Some(found),
        None => find(error.source()?),
    }
}
