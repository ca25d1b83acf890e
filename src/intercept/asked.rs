//! Keeps a client's request until it is certain that it is not needed any more, and makes of it what is sent instead.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING},
    request,
};

use crate::{
    body::{self, Body, Collected, collect_metered},
    config::Rule,
    intercept::{
        Gateway,
        compute::compute,
        encoding::{self, Coding, DecodeError},
        plan,
        serve::{Own, Served, serve},
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
    coding: Coding,
    /// The body without its content coding.
    pub decoded: Bytes,
    /// What was taken out of it, because it asked the engine to rerank.
    own: Option<Own>,
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
    /// Reads a request as large as the gateway looks into, unless it says itself that it is to be left alone.
    ///
    /// # Errors
    /// See [`Unread`].
    pub async fn read(request: Request<Body>, gateway: &Gateway, patience: Duration) -> Result<Self, Unread> {
        let cap = gateway.max_inspected_body;
        let left = |unread: Request<Body>, reason| Err(Unread::Forward(Box::new(unread), reason));
        if request.headers().get(RERANK).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"off")) {
            return left(request, Reason::ClientOff);
        }
        let (head, body) = request.into_parts();
        let mut room = gateway.memory().room();
        let body = match collect_metered(body, cap, Some(patience), |bytes| room.add(bytes)).await {
            Ok(Collected::Whole(body)) => body,
            Ok(Collected::TooLarge(body)) if room.was_refused() => return left(Request::from_parts(head, body), Reason::Overloaded),
            Ok(Collected::TooLarge(body)) => return left(Request::from_parts(head, body), Reason::TooLarge),
            Ok(Collected::TooSlow(body)) => return left(Request::from_parts(head, body), Reason::Timeout),
            Err(_) => return Err(Unread::Broken),
        };
        let body = room.until_dropped(body);
        let coding = Coding::of(&head.headers);
        match decode(coding, &body, cap).and_then(|decoded| gateway.memory().keep(decoded, &body).ok_or(Reason::Overloaded)) {
            Ok(decoded) => Ok(Self { head, body, coding: coding.unwrap_or(Coding::Identity), decoded, own: None }),
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
            template_params: None,
            own: self.own.as_ref(),
            body: &self.decoded,
        }
    }

    /// Returns what stands for the client's search, where there is anything in it that the rule serves.
    pub fn served(&self, rule: &Rule) -> Option<Self> {
        let Served { instead, own } = compute(self.decoded.len(), || serve(&self.search(), rule)).flatten()?;
        self.replaced(instead, Some(own))
    }

    /// Returns what stands for the client's request: other bytes, which are sent again too.
    pub fn replaced(&self, instead: Widened, own: Option<Own>) -> Option<Self> {
        let decoded = Bytes::from(instead.body.clone());
        let (head, body) = self.rewritten(instead)?;
        Some(Self { head, body, coding: self.coding_again(), decoded, own })
    }

    /// Returns a header's value, where it is text.
    pub fn text(&self, name: HeaderName) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Returns the client's own request once more, or what stands for it.
    pub fn again(&self) -> Request<Body> {
        Request::from_parts(self.head.clone(), body::full(self.body.clone()))
    }

    /// Returns the request that goes instead, asking for a coding that both we and the client read.
    pub fn instead(&self, widened: Widened) -> Option<Request<Body>> {
        let (mut head, body) = self.rewritten(widened)?;
        let codings = encoding::asked(&head.headers);
        set(&mut head.headers, ACCEPT_ENCODING, codings);
        Some(Request::from_parts(head, body::full(body)))
    }

    fn rewritten(&self, widened: Widened) -> Option<(request::Parts, Bytes)> {
        let mut head = self.head.clone();
        head.uri = widened.target.parse().ok()?;
        let coding = self.coding_again();
        let rewritten = coding.encode(widened.body)?;
        set(&mut head.headers, CONTENT_ENCODING, coding.header());
        let framed = !rewritten.is_empty() || head.headers.contains_key(CONTENT_LENGTH);
        head.headers.remove(TRANSFER_ENCODING);
        set(&mut head.headers, CONTENT_LENGTH, framed.then(|| HeaderValue::from(rewritten.len())));
        if let Some(content_type) = widened.content_type {
            head.headers.insert(CONTENT_TYPE, content_type.parse().ok()?);
        }
        Some((head, rewritten))
    }

    /// All engines read the other codings, and whether this one reads Zstandard is its own to say.
    fn coding_again(&self) -> Coding {
        if self.coding == Coding::Zstd { Coding::Zstd } else { Coding::Identity }
    }
}

/// Returns a request's body without its coding. No engine reads brotli.
fn decode(coding: Option<Coding>, body: &Bytes, cap: usize) -> Result<Bytes, Reason> {
    let coding = coding.filter(|coding| *coding != Coding::Brotli).ok_or(Reason::Unsupported)?;
    coding.decode(body, cap).map_err(|error| match error {
        DecodeError::Broken => Reason::NotJson,
        DecodeError::TooLarge => Reason::TooLarge,
    })
}

/// Sets a header, or takes it out.
pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    match value {
        Some(value) => drop(headers.insert(name, value)),
        None => drop(headers.remove(name)),
    }
}
