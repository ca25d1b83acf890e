//! Heads on their way through: hop-by-hop headers go, framing becomes unambiguous, everything else stays as written.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, TE, TRANSFER_ENCODING, UPGRADE},
    request, response,
    uri::PathAndQuery,
};
use hyper::upgrade::OnUpgrade;

use super::error::UpstreamError;
use crate::{body::Body, config::Node};

/// Headers of one connection only (RFC 9110 §7.6.1), besides those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 6] =
    [CONNECTION, HeaderName::from_static("keep-alive"), HeaderName::from_static("proxy-connection"), TE, TRANSFER_ENCODING, UPGRADE];

/// Names that `Connection` cannot take away. Without this list a client could strip what decides who it is (or whom a
/// trusted proxy before us says it is) and what its message means, behind the back of whoever checked the request.
const NEVER_BY_CONNECTION: [&str; 21] = [
    "accept",
    "accept-encoding",
    "authorization",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "es-security-runas-user",
    "forwarded",
    "host",
    "opendistro_security_impersonate_as",
    "securitytenant",
    "set-cookie",
    "www-authenticate",
    "x-elastic-product",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-opaque-id",
    "x-opensearch-version",
    "x-proxy-roles",
    "x-proxy-user",
];

/// Makes a client's head ready for any node: its hop ends here, its framing is the body's own.
pub(super) fn prepare(head: &mut request::Parts, body: &(impl hyper::body::Body + ?Sized)) -> Result<(), UpstreamError> {
    if head.method == Method::CONNECT {
        return Err(UpstreamError::Refused("CONNECT is for proxies that open tunnels"));
    }
    only_chunked(&head.headers).map_err(UpstreamError::Refused)?;
    let wants_trailers = names_in(&head.headers, &TE).any(|coding| coding.eq_ignore_ascii_case("trailers"));
    remove_hop_by_hop(&mut head.headers);
    if wants_trailers {
        head.headers.insert(TE, HeaderValue::from_static("trailers"));
        head.headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    // Our own server has answered it, or chose not to.
    head.headers.remove(EXPECT);
    head.extensions.remove::<OnUpgrade>();
    join_cookies(&mut head.headers);
    frame(&mut head.headers, body);
    head.version = Version::HTTP_11;
    Ok(())
}

/// Addresses a prepared head to a node: the target exactly as the client wrote it, the `Host` as the node expects it.
pub(super) fn address(head: &mut Request<Body>, written: Option<&PathAndQuery>, node: &Node) -> Result<(), UpstreamError> {
    *head.uri_mut() = target(written, node).ok_or(UpstreamError::Refused("the request target has no path"))?;
    let host = HeaderValue::from_str(node.authority.as_str()).map_err(|_| UpstreamError::Refused("the node has no valid name"))?;
    head.headers_mut().insert(HOST, host);
    Ok(())
}

fn target(written: Option<&PathAndQuery>, node: &Node) -> Option<Uri> {
    // Bytes that made a target before make one behind a prefix, unless they are too many.
    let target = match (node.prefix.as_str(), written.map_or("/", PathAndQuery::as_str)) {
        ("", _) | (_, "*") => written.cloned().unwrap_or(PathAndQuery::from_static("/")),
        (prefix, path) => PathAndQuery::try_from(format!("{prefix}{path}")).ok()?,
    };
    Some(target.into())
}

/// Makes an answer's head ready for the client, or refuses one that two readers could read in two ways.
pub(super) fn accept(head: &mut response::Parts) -> Result<(), UpstreamError> {
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(UpstreamError::Ambiguous("it switches protocols though nobody asked for it"));
    }
    only_chunked(&head.headers).map_err(UpstreamError::Ambiguous)?;
    let mut lengths = head.headers.get_all(CONTENT_LENGTH).iter();
    if let Some(length) = lengths.next() {
        if head.headers.contains_key(TRANSFER_ENCODING) {
            return Err(UpstreamError::Ambiguous("it has both content-length and transfer-encoding"));
        }
        let is_number = !length.is_empty() && length.as_bytes().iter().all(u8::is_ascii_digit);
        if lengths.next().is_some() || !is_number {
            return Err(UpstreamError::Ambiguous("its content-length is not one number"));
        }
    }
    remove_hop_by_hop(&mut head.headers);
    head.version = Version::HTTP_11;
    Ok(())
}

/// Refuses transfer codings that hyper leaves on the body: without the header, which ends here, nobody could undo them.
fn only_chunked(headers: &HeaderMap) -> Result<(), &'static str> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err("its transfer-encoding is not just chunked"),
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = names_in(headers, &CONNECTION)
        .filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok())
        .filter(|name| !NEVER_BY_CONNECTION.contains(&name.as_str()))
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

/// Returns the members of a comma list, over all lines of the header.
fn names_in<'a>(headers: &'a HeaderMap, header: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(header).iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')).map(str::trim)
}

/// HTTP/2 may split one cookie header into many; HTTP/1.1 knows only one (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(mut joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        joined.set_sensitive(true);
        headers.insert(COOKIE, joined);
    }
}

/// Says the body's length as it is, and chunks what has none: hyper would drop the body of a `GET` otherwise.
fn frame(headers: &mut HeaderMap, body: &(impl hyper::body::Body + ?Sized)) {
    match body.size_hint().exact() {
        Some(0) if !headers.contains_key(CONTENT_LENGTH) => {}
        Some(length) => {
            headers.insert(CONTENT_LENGTH, length.into());
        }
        None => {
            headers.remove(CONTENT_LENGTH);
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        task::{Context, Poll},
    };

    use bytes::Bytes;
    use http::Request;
    use http_body_util::BodyExt;
    use hyper::body::Frame;
    use proptest::prelude::*;

    use super::*;
    use crate::body::{Body, BoxError, empty, full};

    /// A body that does not know its length.
    struct Unknown;

    impl hyper::body::Body for Unknown {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            Poll::Ready(None)
        }
    }

    fn prepared(request: request::Builder, body: Body) -> Result<request::Parts, UpstreamError> {
        let (mut head, body) = request.body(body).unwrap().into_parts();
        prepare(&mut head, &body)?;
        Ok(head)
    }

    fn node(prefix: &str) -> Node {
        Node { tls: false, authority: "node:9200".parse().unwrap(), prefix: prefix.to_owned() }
    }

    fn accepted(response: response::Builder) -> Result<response::Parts, UpstreamError> {
        let (mut head, ()) = response.body(()).unwrap().into_parts();
        accept(&mut head)?;
        Ok(head)
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn hop_by_hop_headers_go_and_what_connection_names_with_them() {
        let request = Request::builder()
            .header("connection", "close, X-Hop")
            .header("connection", "x-other")
            .header("x-hop", "1")
            .header("x-other", "1")
            .header("keep-alive", "timeout=5")
            .header("proxy-connection", "close")
            .header("upgrade", "h2c")
            .header("http2-settings", "AAMAAABkAAQ")
            .header("expect", "100-continue")
            .header("te", "gzip")
            .header("x-end", "1");
        let head = prepared(request, empty()).unwrap();
        let mut left = names(&head.headers);
        left.sort_unstable();
        assert_eq!(left, ["http2-settings", "x-end"]);
    }

    #[test]
    fn connection_cannot_name_identity_or_framing_away() {
        for name in NEVER_BY_CONNECTION {
            let request = Request::builder().header("connection", name.to_uppercase()).header(name, "5");
            assert!(prepared(request, full("abcde")).unwrap().headers.contains_key(name), "{name}");
        }
    }

    #[test]
    fn te_trailers_is_asked_anew_for_the_next_hop() {
        let head = prepared(Request::builder().header("te", "gzip;q=1, Trailers").header("connection", "te"), empty()).unwrap();
        assert_eq!(head.headers["te"], "trailers");
        assert_eq!(head.headers["connection"], "te");
    }

    #[test]
    fn framing_follows_the_body() {
        let unknown = || Unknown.boxed_unsync();
        let get = prepared(Request::get("/").header("content-length", "9"), unknown()).unwrap();
        assert_eq!(names(&get.headers), ["transfer-encoding"]);
        assert_eq!(prepared(Request::post("/").header("content-length", "9"), full("abc")).unwrap().headers["content-length"], "3");
        assert!(prepared(Request::get("/"), empty()).unwrap().headers.is_empty());
        assert_eq!(prepared(Request::post("/").header("content-length", "0"), empty()).unwrap().headers["content-length"], "0");
    }

    #[test]
    fn transfer_codings_that_nobody_could_undo_are_refused() {
        for coding in ["gzip, chunked", "chunked, chunked", "identity", "xchunked", ""] {
            let error = prepared(Request::post("/").header("transfer-encoding", coding), empty()).unwrap_err();
            assert!(matches!(error, UpstreamError::Refused(_)), "{coding}");
            let answer = accepted(http::Response::builder().header("transfer-encoding", coding)).unwrap_err();
            assert!(matches!(answer, UpstreamError::Ambiguous(_)), "{coding}");
        }
        assert!(accepted(http::Response::builder().header("transfer-encoding", "Chunked")).unwrap().headers.is_empty());
    }

    #[test]
    fn answers_with_two_lengths_are_refused() {
        let two = http::Response::builder().header("content-length", "5").header("content-length", "5");
        let list = http::Response::builder().header("content-length", "5, 5");
        let signed = http::Response::builder().header("content-length", "+5");
        let both = http::Response::builder().header("content-length", "5").header("transfer-encoding", "chunked");
        for answer in [two, list, signed, both] {
            assert!(matches!(accepted(answer).unwrap_err(), UpstreamError::Ambiguous(_)));
        }
        assert!(matches!(accepted(http::Response::builder().status(101)).unwrap_err(), UpstreamError::Ambiguous(_)));
        assert_eq!(accepted(http::Response::builder().header("content-length", "5")).unwrap().headers["content-length"], "5");
    }

    #[test]
    fn crumbs_become_one_cookie() {
        let head = prepared(Request::builder().header("cookie", "a=1").header("cookie", "b=2"), empty()).unwrap();
        assert_eq!(head.headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2"]);
    }

    #[test]
    fn targets_go_out_as_written() {
        let as_sent = |target: &str, prefix: &str| {
            let mut request = Request::builder().uri(target).body(empty()).unwrap();
            let written = request.uri().path_and_query().cloned();
            address(&mut request, written.as_ref(), &node(prefix)).unwrap();
            assert_eq!(request.headers()["host"], "node:9200");
            request.uri().to_string()
        };
        for target in ["/", "/a%2Cb/_search?q=a%20b&", "/%3Clogs-%7Bnow%2Fd%7D%3E/_search", "//a//b", "/{x}|y?z={}|", "/?", "/a?b?c", "*"] {
            assert_eq!(as_sent(target, ""), target);
        }
        assert_eq!(as_sent("http://elsewhere:80/a%2F?q=1", ""), "/a%2F?q=1");
        assert_eq!(as_sent("http://elsewhere", ""), "/");
        assert_eq!(as_sent("//a?x=%2C", "/es"), "/es//a?x=%2C");
        assert_eq!(as_sent("*", "/es"), "*");
    }

    proptest! {
        #[test]
        fn any_path_that_parses_goes_out_as_written(target in "/[!-\"$->@-~]{0,20}(\\?[!-\"$-~]{0,20})?", prefix in "(/[a-z]{1,5})?") {
            if let Ok(uri) = target.parse::<Uri>() {
                let sent = super::target(uri.path_and_query(), &node(&prefix)).unwrap();
                prop_assert_eq!(sent.path_and_query().unwrap().as_str(), format!("{prefix}{target}"));
            }
        }
    }
}
