//! Keeps a client's request until it is certain that it is not needed any more, and makes of it what is sent instead.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING},
    request,
};

use crate::{
    body::{self, Body, Collected, collect_patiently},
    intercept::{
        encoding::{Coding, DecodeError},
        plan,
        widen::Widened,
    },
    rerank::Reason,
};

const RERANK: HeaderName = HeaderName::from_static("rerank");
const RERANK_QUERY: HeaderName = HeaderName::from_static("rerank-query");

/// A request as the client sent it, read whole.
pub struct Asked {
    /// Method, target and headers.
    pub head: request::Parts,
    body: Bytes,
    /// The body without its content coding.
    pub decoded: Bytes,
}

/// A request that was not read whole.
pub enum Unread {
    /// It is to be passed on as it is.
    Forward(Box<Request<Body>>, Reason),
    /// It broke off.
    Broken,
}

// === impl Asked ===

impl Asked {
    /// Reads a request of at most `cap` decoded bytes, unless it says itself that it is to be left alone.
    ///
    /// # Errors
    /// See [`Unread`].
    pub async fn read(request: Request<Body>, cap: usize, patience: Duration) -> Result<Self, Unread> {
        let left = |unread: Request<Body>, reason| Err(Unread::Forward(Box::new(unread), reason));
        if request.headers().get(RERANK).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"off")) {
            return left(request, Reason::ClientOff);
        }
        let (head, body) = request.into_parts();
        let body = match collect_patiently(body, cap, patience).await {
            Ok(Collected::Whole(body)) => body,
            Ok(Collected::TooLarge(body)) => return left(Request::from_parts(head, body), Reason::TooLarge),
            Ok(Collected::TooSlow(body)) => return left(Request::from_parts(head, body), Reason::Timeout),
            Err(_) => return Err(Unread::Broken),
        };
        match decode(&head.headers, &body, cap) {
            Ok(decoded) => Ok(Self { head, body, decoded }),
            Err(reason) => left(Request::from_parts(head, body::full(body)), reason),
        }
    }

    /// The path as written.
    pub fn path(&self) -> &str {
        self.head.uri.path()
    }

    /// The request as a search.
    pub fn search(&self) -> plan::Search<'_> {
        plan::Search {
            path: self.path(),
            query: self.head.uri.query(),
            content_type: self.text(CONTENT_TYPE),
            accept: self.text(ACCEPT),
            rerank_query: self.head.headers.get(RERANK_QUERY).and_then(|value| str::from_utf8(value.as_bytes()).ok()),
            body: &self.decoded,
        }
    }

    /// Returns a header's value, where it is text.
    pub fn text(&self, name: HeaderName) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Returns the client's own request once more.
    pub fn again(&self) -> Request<Body> {
        Request::from_parts(self.head.clone(), body::full(self.body.clone()))
    }

    /// Returns the request that goes instead, asking for a coding that both we and the client read.
    pub fn instead(&self, widened: Widened) -> Option<Request<Body>> {
        let mut head = self.head.clone();
        head.uri = widened.target.parse().ok()?;
        head.headers.remove(CONTENT_ENCODING);
        head.headers.remove(TRANSFER_ENCODING);
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(widened.body.len()));
        if let Some(content_type) = widened.content_type {
            head.headers.insert(CONTENT_TYPE, content_type.parse().ok()?);
        }
        if accepts_gzip(&head.headers) {
            head.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        } else {
            head.headers.remove(ACCEPT_ENCODING);
        }
        Some(Request::from_parts(head, body::full(widened.body)))
    }
}

fn decode(headers: &HeaderMap, body: &Bytes, cap: usize) -> Result<Bytes, Reason> {
    let coding = Coding::of(headers).ok_or(Reason::Unsupported)?;
    coding.decode(body, cap).map_err(|error| match error {
        DecodeError::Broken => Reason::NotJson,
        DecodeError::TooLarge => Reason::TooLarge,
    })
}

/// Returns whether the client takes gzip (RFC 9110 §12.5.3): named, or by `*`, and not with a weight of zero.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let weight = |name: &str| {
        let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).find_map(|item| {
            let mut pieces = item.split(';').map(str::trim);
            let named = pieces.next().is_some_and(|coding| coding.eq_ignore_ascii_case(name));
            let zero = pieces.any(|piece| piece.strip_prefix("q=").is_some_and(|weight| weight.parse() == Ok(0.0)));
            named.then_some(!zero)
        })
    };
    weight("gzip").or_else(|| weight("*")).unwrap_or(false)
}
