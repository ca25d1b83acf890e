//! What a request says stays in the request: no credential, cookie, query string or body in a log or an error of ours.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};

use crate::support::{
    client::{Client, exchange},
    fake_upstream::FakeUpstream,
    gateway,
    log::{self, CANARY},
    soon,
};

#[tokio::test]
async fn nothing_of_a_request_is_logged_or_answered() {
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let nodes = [
        dead,
        FakeUpstream::ok().await.address,
        FakeUpstream::once("").await.address,
        FakeUpstream::once("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n").await.address,
        FakeUpstream::once("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab").await.address,
        FakeUpstream::once("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").await.address,
    ];
    for node in nodes {
        let gateway = gateway::start(&[node, dead]).await;
        let head = format!(
            "POST /i/_search?q={CANARY} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Basic {CANARY}\r\nCookie: sid={CANARY}\r\n"
        );
        let framings = [
            format!("Content-Length: 6\r\n\r\n{CANARY}"),
            format!("Content-Length: 60\r\n\r\n{CANARY}"),
            format!("Content-Length: {CANARY}\r\n\r\n"),
            format!("Transfer-Encoding: chunked\r\n\r\n{CANARY}\r\n"),
            format!("Folded: a\r\n {CANARY}\r\n\r\n"),
        ];
        for framing in framings {
            let mut client = Client::connect(gateway.address).await;
            client.send(format!("{head}{framing}")).await;
            // Long enough for an answer; then what is not whole never will be.
            tokio::time::sleep(Duration::from_millis(20)).await;
            client.stream.shutdown().await.ok();
            assert!(!client.rest().await.contains(CANARY));
        }
        over_http2(gateway.address).await;
        exchange(gateway.address, format!("GET /{CANARY}?\"<{CANARY} HTTP/1.1\r\n\r\n")).await;
    }
    assert!(log::failed_connects() > 0, "the log is not searched");
    assert_eq!(log::leaks(), [""; 0]);
}

async fn over_http2(address: SocketAddr) {
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post(format!("http://a/_search?q={CANARY}")).header("authorization", CANARY);
    let answer = soon(client.send_request(request.body(Full::new(Bytes::from(CANARY))).unwrap())).await.unwrap();
    let mut body = answer.into_body();
    while let Some(Ok(frame)) = soon(body.frame()).await {
        assert!(!frame.into_data().is_ok_and(|chunk| chunk.windows(CANARY.len()).any(|window| window == CANARY.as_bytes())));
    }
}
