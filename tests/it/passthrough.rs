//! Everything that is not looked into: bytes in, bytes out.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    client::{Client, exchange, status},
    fake_upstream::{Act, FakeUpstream},
    gateway, soon, until,
};

#[tokio::test]
async fn a_request_arrives_as_written() {
    let node = FakeUpstream::ok().await;
    let gateway = gateway::start(&[node.address]).await;
    let request = "PUT /i/_doc/1?refresh&a=%20+b HTTP/1.1\r\nHOST: shop.example\r\nx-OPAQUE-Id: 7\r\nAccept: */*\r\nauthorization: Basic eA==\r\nX-Two: a\r\nX-Two: b\r\nContent-Length: 3\r\n\r\n{\0}";
    let mut client = Client::connect(gateway.address).await;
    client.send(request).await;
    client.read_until("ok").await;
    let expected = request.replace("shop.example", &node.address.to_string());
    let seen = node.only();
    assert_eq!(seen.head + std::str::from_utf8(&seen.body).unwrap(), expected);
}

#[tokio::test]
async fn an_answer_comes_back_as_sent() {
    let answer = "HTTP/1.1 418 Short And Stout\r\nX-elastic-product: Elasticsearch\r\nWARNING: 299 a\r\nWARNING: 299 b\r\ncontent-Type: application/vnd.elasticsearch+json;compatible-with=9\r\nContent-Length: 4\r\n\r\n{\0}\n";
    let node = FakeUpstream::always(answer).await;
    let gateway = gateway::start(&[node.address]).await;
    let mut client = Client::connect(gateway.address).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.read_until("{\0}\n").await, answer);
}

#[tokio::test]
async fn targets_go_out_as_written() {
    let node = FakeUpstream::ok().await;
    let gateway = gateway::start(&[node.address]).await;
    let targets = [
        "/a%2Cb/_search?q=x%2Cy",
        "/%3Clogs-%7Bnow%2Fd%7D%3E/_count",
        "/a/{b}|c?d={e}|f",
        "//a//b/",
        "/?",
        "/a?q=%E2%82%AC&&=",
        "/a/../b/./c",
        "/a;b@c:d",
    ];
    let mut client = Client::connect(gateway.address).await;
    for target in targets {
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        client.read_until("ok").await;
    }
    let seen: Vec<_> = node.seen().iter().map(|seen| seen.line().to_owned()).collect();
    assert_eq!(seen, targets.map(|target| format!("GET {target} HTTP/1.1")));
}

#[tokio::test]
async fn absolute_targets_and_the_asterisk() {
    let node = FakeUpstream::ok().await;
    let gateway = gateway::start(&[node.address]).await;
    let mut client = Client::connect(gateway.address).await;
    client.send("GET http://elsewhere:1/a%2F?b HTTP/1.1\r\nHost: a\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.read_until("ok").await;
    client.read_until("ok").await;
    let seen = node.seen();
    assert_eq!(seen[0].line(), "GET /a%2F?b HTTP/1.1");
    assert_eq!(seen[0].header("host"), Some(node.address.to_string().as_str()));
    assert_eq!(seen[1].line(), "OPTIONS * HTTP/1.1");
}

#[tokio::test]
async fn a_prefix_goes_before_the_path() {
    let node = FakeUpstream::ok().await;
    let gateway = gateway::start_with(&[node.address], |settings| settings.upstream.nodes[0].prefix = "/es".to_owned()).await;
    exchange(gateway.address, "GET //a%2F?b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!(node.only().line(), "GET /es//a%2F?b HTTP/1.1");
}

#[tokio::test]
async fn a_head_answer_keeps_its_length_and_the_connection() {
    let node = FakeUpstream::always("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n").await;
    let gateway = gateway::start(&[node.address]).await;
    let mut client = Client::connect(gateway.address).await;
    for _ in 0..2 {
        client.send("HEAD /i HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.read_until("\r\n\r\n").await, "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n");
    }
}

#[tokio::test]
async fn chunks_and_trailers_pass_both_ways() {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n";
    let node = FakeUpstream::always(answer).await;
    let gateway = gateway::start(&[node.address]).await;
    let request = "POST /_bulk HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE, close\r\nTransfer-Encoding: chunked\r\nTrailer: X-Md\r\n\r\n4\r\nabcd\r\n0\r\nX-Md: 1\r\n\r\n";
    let answered = exchange(gateway.address, request).await;
    assert!(answered.contains("Trailer: X-Sum\r\n"), "{answered}");
    assert!(answered.contains("abc") && answered.ends_with("de\r\n0\r\nx-sum: 5\r\n\r\n"), "{answered}");
    let seen = node.only();
    assert_eq!(String::from_utf8(seen.body.clone()).unwrap(), "4\r\nabcd\r\n0\r\nx-md: 1\r\n\r\n");
    assert_eq!(seen.header("te"), Some("trailers"));
}

#[tokio::test]
async fn a_get_keeps_its_body_whatever_frames_it() {
    let node = FakeUpstream::ok().await;
    let gateway = gateway::start(&[node.address]).await;
    let mut client = Client::connect(gateway.address).await;
    client.send("GET /_search HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}").await;
    client.read_until("ok").await;
    client.send("GET /_search HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n").await;
    client.read_until("ok").await;
    client.send("GET /_search HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.read_until("ok").await;
    let bodies: Vec<_> = node.seen().into_iter().map(|seen| String::from_utf8(seen.body).unwrap()).collect();
    assert_eq!(bodies, ["{}", "2\r\n{}\r\n0\r\n\r\n", ""]);
    assert_eq!(node.seen()[2].header("content-length"), None);
}

#[tokio::test]
async fn encoded_bytes_stay_encoded() {
    let zipped = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0xe5, 2, 0];
    let mut answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 14\r\n\r\n".to_vec();
    answer.extend_from_slice(&zipped);
    let written = answer.clone();
    let node = FakeUpstream::scripted(move |_, _| vec![Act::Write(written.clone())]).await;
    let gateway = gateway::start(&[node.address]).await;
    let mut request = b"POST /_bulk HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 14\r\n\r\n".to_vec();
    request.extend_from_slice(&zipped);
    let mut client = Client::connect(gateway.address).await;
    client.send(&request).await;
    let mut read = vec![0; answer.len()];
    soon(client.stream.read_exact(&mut read)).await.unwrap();
    assert_eq!(read, answer);
    assert_eq!(node.only().body, zipped);
}

#[tokio::test]
async fn expect_is_answered_here() {
    let node = FakeUpstream::ok().await;
    let gateway = gateway::start(&[node.address]).await;
    let mut client = Client::connect(gateway.address).await;
    client.send("PUT /i HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n").await;
    assert_eq!(client.read_until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("{}").await;
    client.read_until("\r\n\r\nok").await;
    let seen = node.only();
    assert_eq!((seen.header("expect"), seen.body.as_slice()), (None, &b"{}"[..]));
}

#[tokio::test]
async fn an_upgrade_offer_is_ignored() {
    let node = FakeUpstream::ok().await;
    let gateway = gateway::start(&[node.address]).await;
    let mut client = Client::connect(gateway.address).await;
    let offer =
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAA\r\n\r\n";
    client.send(offer).await;
    assert!(client.read_until("\r\n\r\nok").await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(node.only().head, format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", node.address));
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.read_until("ok").await;
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_request() {
    let waiting = FakeUpstream::scripted(|_, _| vec![Act::Hold]).await;
    let streaming = FakeUpstream::scripted(|_, _| vec![Act::text("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"), Act::Hold]).await;
    for (node, comes_first) in [(waiting, None), (streaming, Some("ab"))] {
        let gateway = gateway::start(&[node.address]).await;
        let mut client = Client::connect(gateway.address).await;
        client.send("POST /_reindex HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}").await;
        if let Some(text) = comes_first {
            client.read_until(text).await;
        }
        until(|| node.seen().len() == 1).await;
        assert_eq!(node.closed(), 0);
        drop(client);
        until(|| node.closed() == 1).await;
    }
}

#[tokio::test]
async fn a_slow_reader_slows_the_node() {
    const ALL: usize = 256 << 20;
    let node =
        FakeUpstream::scripted(|_, _| vec![Act::text(format!("HTTP/1.1 200 OK\r\nContent-Length: {ALL}\r\n\r\n")), Act::Flood(ALL)]).await;
    let gateway = gateway::start(&[node.address]).await;
    let mut client = Client::connect(gateway.address).await;
    client.send("GET /_search/scroll HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.read_until("\r\n\r\n").await;
    let before = settled(|| node.flooded()).await;
    assert!(before < ALL / 4, "the gateway took {before} bytes that nobody read");
    soon(client.stream.read_exact(&mut vec![0; before + (1 << 20)])).await.unwrap();
    until(|| node.flooded() > before).await;
}

#[tokio::test]
async fn a_slow_node_slows_the_client() {
    let node = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = gateway::start(&[node.local_addr().unwrap()]).await;
    let mut client = Client::connect(gateway.address).await;
    client.send(format!("POST /_bulk HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 1_usize << 30)).await;
    let (_held, _) = soon(node.accept()).await.unwrap();
    let block = vec![b'x'; 64 << 10];
    let mut sent = 0;
    while let Ok(written) = tokio::time::timeout(Duration::from_millis(300), client.stream.write(&block)).await {
        sent += written.unwrap();
        assert!(sent < 64 << 20, "the gateway took {sent} bytes that nobody read");
    }
}

#[tokio::test]
async fn an_answer_may_come_before_the_request_is_whole() {
    let node = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = gateway::start(&[node.local_addr().unwrap()]).await;
    let mut client = Client::connect(gateway.address).await;
    client.send("POST /_bulk HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc").await;
    let (mut stream, _) = soon(node.accept()).await.unwrap();
    soon(stream.read_exact(&mut [0; 16])).await.unwrap();
    stream.write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno").await.unwrap();
    assert_eq!(status(&client.read_until("\r\n\r\nno").await), 413);
}

#[tokio::test]
async fn two_requests_in_one_packet_are_two_answers_in_order() {
    let node = FakeUpstream::scripted(|number, _| vec![Act::text(format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}"))]).await;
    let gateway = gateway::start(&[node.address]).await;
    let answers = exchange(
        gateway.address,
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nxGET /b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(answers.starts_with("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n0HTTP/1.1 200 OK\r\n"), "{answers}");
    assert!(answers.ends_with("\r\n\r\n1"), "{answers}");
}

#[tokio::test]
async fn http_1_0_gets_an_answer_it_understands() {
    let node = FakeUpstream::always("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n").await;
    let gateway = gateway::start(&[node.address]).await;
    let answer = exchange(gateway.address, "GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(status(&answer), 200);
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    assert_eq!(node.only().line(), "GET / HTTP/1.1");
}

/// Returns a number once it has stopped growing.
async fn settled(number: impl Fn() -> usize) -> usize {
    let mut last = (0, 0);
    while last.1 < 20 {
        tokio::time::sleep(Duration::from_millis(15)).await;
        let now = number();
        last = if now > 0 && now == last.0 { (now, last.1 + 1) } else { (now, 0) };
    }
    last.0
}
