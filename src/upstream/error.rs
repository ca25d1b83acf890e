//! Why the cluster gave no answer: whose fault it is, in words that hold nothing of the request.

use std::error::Error as StdError;

use crate::body::BoxError;

/// Why a request has no answer from the cluster.
///
/// **Invariant:** no variant displays a header, a query string or a body; the source may name addresses.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No connection to any node; nothing was sent.
    #[error("could not connect to the cluster")]
    Connect(#[source] BoxError),
    /// No connection to any node in time; nothing was sent.
    #[error("could not connect to the cluster in time")]
    ConnectTimeout(#[source] BoxError),
    /// The connection broke after something had been sent, before an answer came.
    #[error("the connection to the cluster broke before an answer came")]
    Cut(#[source] hyper::Error),
    /// The answer breaks the rules of HTTP.
    #[error("the cluster's answer is not valid HTTP")]
    Malformed(#[source] hyper::Error),
    /// The answer's head can be read in more than one way.
    #[error("the cluster's answer is refused: {0}")]
    Ambiguous(&'static str),
    /// The client's own body broke off or was malformed.
    #[error("the request's body broke off")]
    RequestBody(#[source] hyper::Error),
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
    /// Returns why there is no connection.
    pub(super) fn unconnected(error: BoxError) -> Self {
        if find_timeout(&*error) { Self::ConnectTimeout(error) } else { Self::Connect(error) }
    }

    /// Returns why an exchange broke off.
    pub(super) fn broken(error: hyper::Error) -> Self {
        match error {
            // The one thing of ours that hyper asks while it sends is the request's body.
            own if own.is_user() => Self::RequestBody(own),
            parsed if parsed.is_parse() => Self::Malformed(parsed),
            cut => Self::Cut(cut),
        }
    }
}

fn find_timeout(error: &(dyn StdError + 'static)) -> bool {
    error.is::<ConnectTimedOut>() || error.source().is_some_and(find_timeout)
}
