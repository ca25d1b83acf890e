//! Connections of clients: HTTP/2, time limits, how many there may be, and how they end.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, time::timeout};

use crate::support::{
    client::{Client, status},
    fake_upstream::{Act, FakeUpstream},
    gateway, soon, until,
};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

async fn http2(address: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test]
async fn http_2_with_prior_knowledge() {
    let node = FakeUpstream::always("HTTP/1.1 201 Made\r\nX-Elastic-Product: Elasticsearch\r\nContent-Length: 2\r\n\r\nok").await;
    let gateway = gateway::start(&[node.address]).await;
    let mut client = http2(gateway.address).await;
    let request = Request::post("http://any.example/i/_doc?a=%2C").header("cookie", "a=1").header("cookie", "b=2");
    let answer = soon(client.send_request(request.body(Full::from("{}")).unwrap())).await.unwrap();
    assert_eq!(answer.status(), 201);
    let names: Vec<_> = answer.headers().keys().map(|name| name.as_str().to_owned()).collect();
    assert_eq!(names, ["x-elastic-product", "content-length"]);
    assert_eq!(soon(answer.into_body().frame()).await.unwrap().unwrap().into_data().unwrap(), "ok");
    let seen = node.only();
    let expected = format!("POST /i/_doc?a=%2C HTTP/1.1\r\ncookie: a=1; b=2\r\ncontent-length: 2\r\nhost: {}\r\n\r\n", node.address);
    assert_eq!((seen.head, seen.body), (expected, b"{}".to_vec()));
}

#[tokio::test]
async fn a_cut_answer_resets_its_stream() {
    let node = FakeUpstream::once("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
    let gateway = gateway::start(&[node.address]).await;
    let mut client = http2(gateway.address).await;
    let request = Request::get("http://any.example/").body(Full::default()).unwrap();
    let mut body = soon(client.send_request(request)).await.unwrap().into_body();
    let mut last = soon(body.frame()).await;
    while matches!(last, Some(Ok(_))) {
        last = soon(body.frame()).await;
    }
    assert!(matches!(last, Some(Err(_))), "the stream ended as if it were whole");
}

#[tokio::test]
async fn a_connection_may_rest_longer_than_a_head_may_take() {
    let node = FakeUpstream::ok().await;
    let gateway = gateway::start_with(&[node.address], |settings| {
        settings.listener.header_timeout = Duration::from_millis(50);
        settings.listener.idle_timeout = Duration::from_millis(600);
    })
    .await;
    let mut client = Client::connect(gateway.address).await;
    for _ in 0..2 {
        client.send(GET).await;
        client.read_until("ok").await;
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    client.send(GET).await;
    assert_eq!(status(&client.rest().await), 200);
}

#[tokio::test]
async fn no_answer_is_too_slow() {
    let node = FakeUpstream::scripted(|_, _| {
        let pause = Act::Pause(Duration::from_millis(200));
        vec![pause.clone(), Act::text("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"), pause, Act::text("k")]
    })
    .await;
    let gateway = gateway::start_with(&[node.address], |settings| {
        settings.listener.header_timeout = Duration::from_millis(50);
        settings.listener.idle_timeout = Duration::from_millis(50);
        settings.upstream.connect_timeout = Duration::from_millis(100);
    })
    .await;
    let mut client = Client::connect(gateway.address).await;
    client.send(GET).await;
    client.read_until("ok").await;
}

#[tokio::test]
async fn one_connection_too_many_waits_for_its_turn() {
    let node = FakeUpstream::ok().await;
    let gateway = gateway::start_with(&[node.address], |settings| settings.listener.max_connections = 1).await;
    let mut first = Client::connect(gateway.address).await;
    first.send(GET).await;
    first.read_until("ok").await;
    let mut second = Client::connect(gateway.address).await;
    second.send(GET).await;
    assert!(timeout(Duration::from_millis(100), second.stream.readable()).await.is_err());
    drop(first);
    second.read_until("ok").await;
}

#[tokio::test]
async fn open_requests_finish_after_the_signal() {
    let node = FakeUpstream::scripted(|_, _| {
        vec![Act::text("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"), Act::Pause(Duration::from_millis(150)), Act::text("k")]
    })
    .await;
    let mut gateway = gateway::start(&[node.address]).await;
    let mut busy = Client::connect(gateway.address).await;
    busy.send(GET).await;
    busy.read_until("\r\n\r\no").await;
    let resting = Client::connect(gateway.address).await;
    gateway.stop();
    assert_eq!(resting.rest().await, "");
    assert_eq!(busy.rest().await, "k");
    let address = gateway.address;
    gateway.stopped().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn the_drain_timeout_ends_what_does_not_end() {
    let node = FakeUpstream::scripted(|_, _| vec![Act::Hold]).await;
    let mut gateway = gateway::start_with(&[node.address], |settings| settings.listener.drain_timeout = Duration::from_millis(50)).await;
    let mut client = Client::connect(gateway.address).await;
    client.send(GET).await;
    until(|| node.seen().len() == 1).await;
    gateway.stop();
    gateway.stopped().await;
    assert_eq!(client.rest().await, "");
    until(|| node.closed() == 1).await;
}
