//! Nodes that speak TLS: who is trusted, and what an operator is told when a file is wrong.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
};

use podium::{
    config::{Node, UpstreamTls},
    upstream::Upstream,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::support::{
    client::{exchange, status},
    gateway,
};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures").join(name)
}

/// Starts a node called localhost that answers one request per connection with `ok`.
fn tls_node() -> SocketAddr {
    let certificates = CertificateDer::pem_file_iter(fixture("node.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(fixture("node.key")).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .unwrap();
    let config = Arc::new(config);
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in tcp.incoming() {
            let mut stream = rustls::StreamOwned::new(rustls::ServerConnection::new(config.clone()).unwrap(), stream.unwrap());
            if stream.read(&mut [0; 4096]).is_ok() {
                stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok").unwrap();
                stream.conn.send_close_notify();
                stream.flush().unwrap();
            }
        }
    });
    address
}

/// Returns the status of an answer from a TLS node, under these settings.
async fn status_with(name: &str, tls: UpstreamTls) -> u16 {
    let address = tls_node();
    let gateway = gateway::start_with(&[address], |settings| {
        let authority = format!("{name}:{}", address.port()).parse().unwrap();
        settings.upstream.nodes[0] = Node { tls: true, authority, prefix: String::new() };
        settings.upstream.tls = tls;
    })
    .await;
    status(&exchange(gateway.address, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await)
}

#[tokio::test]
async fn a_named_authority_is_trusted() {
    assert_eq!(status_with("localhost", UpstreamTls { ca: Some(fixture("ca.pem")), verify: true }).await, 200);
}

#[tokio::test]
async fn a_node_under_another_name_is_not() {
    assert_eq!(status_with("127.0.0.1", UpstreamTls { ca: Some(fixture("ca.pem")), verify: true }).await, 502);
}

#[tokio::test]
async fn without_verification_any_node_will_do() {
    assert_eq!(status_with("127.0.0.1", UpstreamTls { ca: None, verify: false }).await, 200);
}

#[test]
fn a_wrong_file_is_named() {
    let error = |ca: PathBuf| {
        let node = Node { tls: true, authority: "localhost:9200".parse().unwrap(), prefix: String::new() };
        let tls = UpstreamTls { ca: Some(ca), verify: true };
        let settings =
            podium::config::Upstream { nodes: vec![node], connect_timeout: std::time::Duration::from_secs(1), tls, credentials: None };
        Upstream::new(&settings).unwrap_err().to_string()
    };
    let missing = error("/nowhere/ca.pem".into());
    assert!(missing.starts_with("upstream.tls.ca: /nowhere/ca.pem holds no readable PEM certificates: "), "{missing}");
    let empty = error(fixture("make.sh"));
    assert!(empty.contains("make.sh holds no certificate"), "{empty}");
}
