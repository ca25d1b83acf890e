//! Nodes that are down, slow to connect, broken or back again; and what clients are told.

use std::{net::SocketAddr, time::Duration};

use podium::config::UpstreamTls;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::support::{
    client::{Client, exchange, status},
    fake_upstream::{Act, FakeUpstream},
    gateway, soon, until,
};

const GET: &str = "GET /i/_search?q=canary HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Returns an address that refuses connections.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// Returns the body of an answer.
fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test]
async fn no_node_is_a_502_in_the_engines_shape() {
    let gateway = gateway::start(&[nobody().await]).await;
    let answer = exchange(gateway.address, GET).await;
    assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\r\ncontent-type: application/json\r\n"), "{answer}");
    let expected = r#"{"error":{"type":"upstream_connect_exception","reason":"could not connect to the cluster"},"status":502}"#;
    assert_eq!(body(&answer), expected);
}

#[tokio::test]
async fn a_tls_handshake_counts_as_connecting() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = gateway::start_with(&[silent.local_addr().unwrap()], |settings| {
        settings.upstream.nodes[0].tls = true;
        settings.upstream.tls = UpstreamTls { ca: None, verify: false };
        settings.upstream.connect_timeout = Duration::from_millis(50);
    })
    .await;
    let answer = exchange(gateway.address, GET).await;
    assert_eq!(status(&answer), 504);
    assert!(body(&answer).starts_with(r#"{"error":{"type":"upstream_connect_timeout_exception""#), "{answer}");
}

#[tokio::test]
async fn another_node_gets_the_whole_request_when_nothing_was_sent() {
    let node = FakeUpstream::ok().await;
    let gateway = gateway::start(&[nobody().await, node.address]).await;
    let request = "POST /i/_doc HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc";
    for _ in 0..3 {
        let mut client = Client::connect(gateway.address).await;
        client.send(request).await;
        client.send("def").await;
        client.read_until("ok").await;
    }
    assert!(node.seen().iter().all(|seen| seen.body == b"abcdef"));
    assert_eq!(node.seen().len(), 3);
}

#[tokio::test]
async fn nothing_is_sent_twice() {
    let cut = |_: usize, _: &_| vec![Act::Close];
    let nodes = [FakeUpstream::scripted(cut).await, FakeUpstream::scripted(cut).await];
    let gateway = gateway::start(&[nodes[0].address, nodes[1].address]).await;
    let answer = exchange(gateway.address, "POST /i/_doc HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx").await;
    assert_eq!(status(&answer), 502);
    assert!(body(&answer).starts_with(r#"{"error":{"type":"upstream_cut_exception""#), "{answer}");
    assert_eq!(nodes[0].seen().len() + nodes[1].seen().len(), 1);
}

#[tokio::test]
async fn nothing_is_sent_twice_on_a_connection_that_was_kept_open() {
    let node = FakeUpstream::scripted(|number, _| match number {
        0 => vec![Act::text("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")],
        _ => vec![Act::Close],
    })
    .await;
    let gateway = gateway::start(&[node.address]).await;
    assert_eq!(status(&exchange(gateway.address, GET).await), 200);
    assert_eq!(status(&exchange(gateway.address, GET).await), 502);
    assert_eq!(node.seen().len(), 2);
}

#[tokio::test]
async fn a_connection_is_used_again_once_its_answer_is_read() {
    let node = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = gateway::start(&[node.local_addr().unwrap()]).await;
    let asking = tokio::spawn(async move {
        for _ in 0..3 {
            assert_eq!(status(&exchange(gateway.address, GET).await), 200);
        }
    });
    // A second connection would never be answered.
    let (mut stream, _) = soon(node.accept()).await.unwrap();
    for _ in 0..3 {
        soon(stream.read(&mut [0; 1024])).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    }
    soon(asking).await.unwrap();
}

#[tokio::test]
async fn what_is_left_of_a_request_follows_after_an_early_answer() {
    const ALL: usize = 1 << 20;
    let node = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = gateway::start(&[node.local_addr().unwrap()]).await;
    let mut client = Client::connect(gateway.address).await;
    client.send(format!("POST /_bulk HTTP/1.1\r\nHost: a\r\nContent-Length: {ALL}\r\n\r\nabc")).await;
    let (mut stream, _) = soon(node.accept()).await.unwrap();
    let mut seen = String::new();
    while !seen.ends_with("\r\n\r\nabc") {
        let mut part = [0; 1024];
        let count = soon(stream.read(&mut part)).await.unwrap();
        seen.push_str(std::str::from_utf8(&part[..count]).unwrap());
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    client.read_until("\r\n\r\nok").await;
    let rest = vec![b'x'; ALL - 3];
    let mut received = vec![0; ALL - 3];
    let (sent, _) = soon(async { tokio::join!(client.stream.write_all(&rest), stream.read_exact(&mut received)) }).await;
    sent.unwrap();
    assert_eq!(received, rest);
}

#[tokio::test]
async fn a_cut_answer_is_cut_for_the_client() {
    let heads = ["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"];
    for head in heads {
        let node = FakeUpstream::once(head).await;
        let gateway = gateway::start(&[node.address]).await;
        let mut client = Client::connect(gateway.address).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = client.rest().await;
        assert!(answer.contains("abc"), "{answer}");
        assert!(!answer.contains("0\r\n\r\n") && !answer.contains("Content-Length: 3"), "it looks whole: {answer}");
    }
}

#[tokio::test]
async fn a_cut_upload_is_cut_for_the_node() {
    for framing in ["Content-Length: 9\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"] {
        let node = FakeUpstream::ok().await;
        let gateway = gateway::start(&[node.address]).await;
        let mut client = Client::connect(gateway.address).await;
        client.send(format!("POST /_bulk HTTP/1.1\r\nHost: a\r\n{framing}")).await;
        drop(client);
        // The fake counts a request only when it is whole.
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert_eq!(node.seen().len(), 0);
        // The fault is the client's: the only node serves on.
        assert_eq!(status(&exchange(gateway.address, GET).await), 200);
    }
}

#[tokio::test]
async fn load_is_spread_by_open_requests() {
    let slow = |_: usize, _: &_| vec![Act::text("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"), Act::Hold];
    let nodes = [FakeUpstream::scripted(slow).await, FakeUpstream::scripted(slow).await];
    let gateway = gateway::start(&[nodes[0].address, nodes[1].address]).await;
    let mut clients = Vec::new();
    for open in 1..=6 {
        let mut client = Client::connect(gateway.address).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        client.read_until("\r\n\r\no").await;
        clients.push(client);
        let loads = [nodes[0].seen().len(), nodes[1].seen().len()];
        assert!(loads[0] + loads[1] == open && loads[0].abs_diff(loads[1]) <= 1, "{loads:?}");
    }
}

/// Sends requests one after the other and returns how many each of the two nodes got.
async fn shares(gateway: &gateway::Gateway, nodes: &[FakeUpstream; 2]) -> [usize; 2] {
    let before = nodes.each_ref().map(|node| node.seen().len());
    for _ in 0..6 {
        exchange(gateway.address, GET).await;
    }
    [nodes[0].seen().len() - before[0], nodes[1].seen().len() - before[1]]
}

#[tokio::test]
async fn an_engines_503_does_not_eject_its_node() {
    let red =
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 26\r\n\r\n{ \"error\":{},\"status\":503 }";
    let nodes = [FakeUpstream::always(red).await, FakeUpstream::ok().await];
    let gateway = gateway::start(&[nodes[0].address, nodes[1].address]).await;
    assert_eq!(shares(&gateway, &nodes).await, [3, 3]);
}

#[tokio::test]
async fn what_stands_in_for_a_dead_engine_ejects_its_node() {
    let stand_ins = [
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\nbusy",
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"message\":1}",
        "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n",
    ];
    for stand_in in stand_ins {
        let nodes = [FakeUpstream::always(stand_in).await, FakeUpstream::ok().await];
        let gateway = gateway::start(&[nodes[0].address, nodes[1].address]).await;
        let shares = shares(&gateway, &nodes).await;
        assert!(shares[1] >= 5, "{stand_in}: {shares:?}");
    }
}

#[tokio::test]
async fn a_node_that_is_back_is_used_again() {
    let address = nobody().await;
    let node = FakeUpstream::ok().await;
    let gateway = gateway::start(&[address, node.address]).await;
    for _ in 0..2 {
        assert_eq!(status(&exchange(gateway.address, GET).await), 200);
    }
    let back = FakeUpstream::at(address, |_, _| vec![Act::text("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")]).await;
    until(|| !back.seen().is_empty()).await;
    assert_eq!(back.seen()[0].line(), "GET / HTTP/1.1");
    assert_eq!(back.seen()[0].head, format!("GET / HTTP/1.1\r\nhost: {address}\r\n\r\n"));
    soon(async {
        while back.seen().iter().all(|seen| seen.line() == "GET / HTTP/1.1") {
            exchange(gateway.address, GET).await;
        }
    })
    .await;
}
