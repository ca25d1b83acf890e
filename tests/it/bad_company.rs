//! Requests and answers that two readers could read in two ways, or that cost much and give nothing: refused or bounded,
//! never passed on as they are.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::support::{
    client::{Client, exchange, status},
    fake_upstream::{Act, FakeUpstream},
    gateway, soon,
};

/// Sends raw bytes; returns what came back and the requests that the node saw.
async fn outcome(request: &str) -> (String, Vec<(String, String)>) {
    let node = FakeUpstream::ok().await;
    let gateway = gateway::start(&[node.address]).await;
    let mut client = Client::connect(gateway.address).await;
    client.send(request).await;
    let answer = client.head().await;
    let host = node.address.to_string();
    let seen = node.seen().into_iter().map(|seen| (seen.head.replace(&host, "NODE"), String::from_utf8(seen.body).unwrap()));
    (answer, seen.collect())
}

/// The request is refused with this status, and the node hears nothing of it.
async fn refused(request: &str, expected: u16) {
    let (answer, seen) = outcome(request).await;
    assert!(seen.is_empty(), "{request:?}: {seen:?}");
    assert_eq!(status(&answer), expected, "{request:?}");
}

/// Returns the one request that reaches the node.
async fn passed(request: &str) -> (String, String) {
    let (answer, seen) = outcome(request).await;
    assert_eq!(status(&answer), 200, "{request:?}");
    assert_eq!(seen.len(), 1, "{request:?}: {seen:?}");
    seen.into_iter().next().unwrap()
}

/// Returns how many answers come back until the gateway hangs up.
async fn after(request: &str) -> usize {
    let node = FakeUpstream::ok().await;
    let gateway = gateway::start(&[node.address]).await;
    exchange(gateway.address, request).await.matches("HTTP/1.1 ").count()
}

#[tokio::test]
async fn heads_that_are_refused() {
    let many: String = (0..101).map(|number| format!("x-{number}: 1\r\n")).collect();
    let large = "x".repeat(1 << 20);
    let slightly = "x".repeat(64 << 10);
    let cases = [
        ("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", 400),
        ("POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\nabcde", 400),
        ("POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\nabcde", 400),
        ("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\nConnection: close\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nX-Folded: a\r\n b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n Leading: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nSpace : a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nNul: a\0b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nReturn: a\rb\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nNo colon\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\n\r\n", 400),
        ("GET /\"<> HTTP/3.0\r\n\r\n", 400),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 400),
        (&format!("GET / HTTP/1.1\r\n{many}\r\n"), 431),
        (&format!("GET / HTTP/1.1\r\nX: {large}\r\n\r\n"), 431),
        (&format!("GET / HTTP/1.1\r\nX: {slightly}\r\n\r\n"), 431),
        (&format!("GET /{large} HTTP/1.1\r\n\r\n"), 431),
    ];
    for (request, expected) in cases {
        refused(request, expected).await;
    }
}

#[tokio::test]
async fn bodies_that_never_become_whole() {
    for chunks in [
        "zz\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcX\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        "3\nabc\n0\n\n",
        "-3\r\nabc\r\n0\r\n\r\n",
    ] {
        let (_, seen) = outcome(&format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")).await;
        assert!(seen.is_empty(), "{chunks:?}: {seen:?}");
    }
}

#[tokio::test]
async fn two_lengths_become_one() {
    let both = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let expected = ("POST /a HTTP/1.1\r\nHost: NODE\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), "0\r\n\r\n".to_owned());
    assert_eq!(passed(both).await, expected);
    let swapped = both.replace("Content-Length: 5\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 5");
    assert_eq!(passed(&swapped).await, expected);
    assert_eq!(after(both).await, 1);
    assert_eq!(after(&swapped).await, 1);
    let twice = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab";
    assert_eq!(passed(twice).await, ("POST /a HTTP/1.1\r\nHost: NODE\r\nContent-Length: 2\r\n\r\n".to_owned(), "ab".to_owned()));
}

#[tokio::test]
async fn lines_that_end_early_go_out_whole() {
    let (head, _) = passed("GET /a HTTP/1.1\nHost: a\nX-One: 1\n\n").await;
    assert_eq!(head, "GET /a HTTP/1.1\r\nHost: NODE\r\nX-One: 1\r\n\r\n");
}

#[tokio::test]
async fn connection_cannot_take_identity_away() {
    let (head, _) =
        passed("GET /a HTTP/1.1\r\nHost: a\r\nConnection: Authorization, X-Hop, close\r\nAuthorization: Basic eA==\r\nX-Hop: 1\r\n\r\n")
            .await;
    assert_eq!(head, "GET /a HTTP/1.1\r\nHost: NODE\r\nAuthorization: Basic eA==\r\n\r\n");
}

#[tokio::test]
async fn a_dribbled_head_is_given_up() {
    let node = FakeUpstream::ok().await;
    let gateway = gateway::start_with(&[node.address], |settings| settings.listener.header_timeout = Duration::from_millis(100)).await;
    let mut client = Client::connect(gateway.address).await;
    let begun = std::time::Instant::now();
    client.send("GET / HTTP/1.1\r\n").await;
    soon(async {
        while client.stream.write_all(b"X: y\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert!(begun.elapsed() >= Duration::from_millis(100));
    assert!(node.seen().is_empty());
}

#[tokio::test]
async fn answers_that_are_refused() {
    let large = "x".repeat(1 << 20);
    let cases = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nabcde",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nabcde",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabcde",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-Folded: a\r\n b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nSpace : a\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nNul: \0\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        "\x16\x03\x01garbage\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "",
        &format!("HTTP/1.1 200 OK\r\nX: {large}\r\n\r\n"),
    ];
    for answer in cases {
        let node = FakeUpstream::once(answer).await;
        let gateway = gateway::start(&[node.address]).await;
        let got = exchange(gateway.address, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        assert_eq!(status(&got), 502, "{:?}", &answer[..answer.len().min(100)]);
        assert!(got.contains("{\"error\":{\"type\":\"upstream_"), "{got}");
    }
}

#[tokio::test]
async fn answers_that_are_put_right() {
    let many: String = (0..300).map(|number| format!("Warning: 299 {number}\r\n")).collect();
    let cases = [
        ("HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        ("HTTP/1.0 200 OK\r\n\r\nok", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        (
            "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        ),
        (
            &format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 2\r\n\r\nok"),
            &format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 2\r\n\r\nok"),
        ),
    ];
    for (answer, expected) in cases {
        let node = FakeUpstream::once(answer).await;
        let gateway = gateway::start(&[node.address]).await;
        let mut client = Client::connect(gateway.address).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let last_line = expected.trim_end().rsplit("\r\n").next().unwrap();
        let end = &expected[expected.rfind(last_line).unwrap()..];
        assert_eq!(client.read_until(end).await, expected);
    }
}

#[tokio::test]
async fn more_than_was_promised_goes_to_nobody() {
    let node =
        FakeUpstream::always("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison").await;
    let gateway = gateway::start(&[node.address]).await;
    let mut client = Client::connect(gateway.address).await;
    for _ in 0..20 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.read_until("\r\n\r\nok").await, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
}

#[tokio::test]
async fn a_head_that_breaks_off_is_a_502() {
    let node = FakeUpstream::scripted(|_, _| vec![Act::text("HTTP/1.1 200 OK\r\nContent-"), Act::Close]).await;
    let gateway = gateway::start(&[node.address]).await;
    let answer = exchange(gateway.address, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!(status(&answer), 502);
}

/// Frames of HTTP/2 (RFC 9113 §4.1).
mod frames {
    pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const CONTINUATION: u8 = 9;

    pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    /// `GET / http a` by the static table, the authority as a literal.
    pub(super) const GET: &[u8] = b"\x82\x84\x86\x01\x01a";
}

/// Writes frames until the gateway hangs up, at most so many bytes; returns how many it took.
async fn flood(next: impl Fn(u32) -> Vec<u8>, most: usize) -> usize {
    let node = FakeUpstream::scripted(|_, _| vec![Act::Hold]).await;
    let gateway = gateway::start(&[node.address]).await;
    let client = Client::connect(gateway.address).await;
    let (mut read, mut write) = client.stream.into_split();
    let reader = tokio::spawn(async move { tokio::io::copy(&mut read, &mut tokio::io::sink()).await });
    let mut sent = 0;
    soon(write.write_all(frames::PREFACE)).await.unwrap();
    for number in 0.. {
        let frame = next(number);
        sent += frame.len();
        if sent > most || soon(write.write_all(&frame)).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    soon(reader).await.unwrap().ok();
    sent
}

#[tokio::test]
async fn rapid_resets_end_the_connection() {
    let reset = |number: u32| {
        let stream = 2 * number + 1;
        let mut bytes = frames::frame(frames::HEADERS, 0b101, stream, frames::GET);
        bytes.extend(frames::frame(frames::RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        bytes
    };
    let sent = flood(reset, 64 << 20).await;
    assert!(sent < 32 << 20, "{sent} bytes of resets were taken");
}

#[tokio::test]
async fn endless_continuations_end_the_connection() {
    let piece = vec![0; 16 << 10];
    let next = move |number: u32| match number {
        0 => frames::frame(frames::HEADERS, 0, 1, frames::GET),
        _ => frames::frame(frames::CONTINUATION, 0, 1, &piece),
    };
    let sent = flood(next, 64 << 20).await;
    assert!(sent < 16 << 20, "{sent} bytes of a head were taken");
}
