//! Bodies that travel compressed, on either side.

use crate::support::{
    answer::{Answer, assert_same},
    app::{self, REVERSE},
    codings::pack,
    fake_engine::{FakeEngine, PRODUCTS, Product, Trouble},
    http::Call,
};

const MATCH: &str = r#"{"query":{"match":{"title":"shoe"}}}"#;

fn packed(coding: &'static str, body: &str) -> Call {
    Call::post("/products/_search", pack(coding, body.as_bytes())).with("content-encoding", coding)
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_engines_read_are_looked_into() {
    let engine = FakeEngine::start(Product::OpenSearch, 60).await;
    let gateway = app::start(&engine, REVERSE).await;
    for coding in ["gzip", "deflate", "zstd", "identity"] {
        let reply = packed(coding, MATCH).send(gateway.address).await;
        assert!(reply.rerank_status().starts_with("reranked"), "{coding}: {}", reply.rerank_status());
        assert_eq!(Answer::of(&reply).ids()[0], "id49");
        let seen = engine.node.seen().pop().unwrap();
        let kept = (coding == "zstd").then_some("zstd");
        assert_eq!(seen.header("content-encoding"), kept, "whether an engine reads Zstandard is its own to say");
        assert!(engine.bodies().pop().unwrap().contains(r#""size":50"#));
    }
    let elastic = FakeEngine::start(Product::Elasticsearch, 60).await;
    let before = app::start(&elastic, REVERSE).await;
    let call = packed("zstd", MATCH);
    let reply = call.send(before.address).await;
    assert_eq!((reply.status, reply.rerank_status(), elastic.count()), (400, "skipped; reason=rewrite-rejected", 2));
    assert_same(&reply, &call.send(elastic.node.address).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_engines_do_not_read_pass_as_they_are() {
    for product in PRODUCTS {
        let engine = FakeEngine::start(product, 60).await;
        let gateway = app::start(&engine, REVERSE).await;
        for (coding, call) in [
            ("br", packed("br", MATCH)),
            ("snappy", Call::search(MATCH).with("content-encoding", "snappy")),
            (
                "gzip, gzip",
                Call::post("/products/_search", pack("gzip", &pack("gzip", MATCH.as_bytes()))).with("content-encoding", "gzip, gzip"),
            ),
        ] {
            let (direct, reply) = (call.send(engine.node.address).await, call.send(gateway.address).await);
            assert_eq!(reply.rerank_status(), "skipped; reason=unsupported", "{coding}");
            assert_same(&reply, &direct);
            let seen = engine.node.seen();
            let [.., first, second] = seen.as_slice() else { panic!("two requests") };
            assert_eq!((&first.body, first.header("content-encoding")), (&second.body, second.header("content-encoding")));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_read_in_every_coding_and_go_out_in_one_that_the_client_takes() {
    let engine = FakeEngine::start(Product::OpenSearch, 60).await;
    let gateway = app::start(&engine, REVERSE).await;
    for (comes, takes, goes) in [
        ("gzip", "gzip", "gzip"),
        ("deflate", "deflate", "deflate"),
        ("br", "br, gzip", "gzip"),
        ("br", "br", ""),
        ("zstd", "zstd, *", "gzip"),
        ("zstd", "zstd", ""),
        ("identity", "br", "identity"),
    ] {
        engine.mood().answers_in = Some(comes);
        let call = Call::search(MATCH).with("accept-encoding", takes);
        let reply = call.send(gateway.address).await;
        assert!(reply.rerank_status().starts_with("reranked"), "{comes} {takes}: {}", reply.rerank_status());
        assert_eq!((reply.header("content-encoding"), Answer::of(&reply).ids()[0].as_str()), (goes, "id49"), "{comes} {takes}");
        let skipped = call.clone().with("rerank", "off");
        assert_same(&skipped.send(gateway.address).await, &skipped.send(engine.node.address).await);
    }
    engine.mood().answers_in = Some("snappy");
    let odd = Call::search(MATCH).with("accept-encoding", "gzip");
    let reply = odd.send(gateway.address).await;
    assert_eq!(reply.rerank_status(), "skipped; reason=upstream-answer");
    assert_same(&reply, &odd.send(engine.node.address).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_is_asked_for_codings_that_podium_reads() {
    let engine = FakeEngine::start(Product::OpenSearch, 60).await;
    let gateway = app::start(&engine, REVERSE).await;
    for (takes, asked) in [("gzip, deflate, br, zstd", Some("gzip, deflate, br, zstd")), ("*", Some("gzip")), ("snappy", None)] {
        Call::search(MATCH).with("accept-encoding", takes).send(gateway.address).await;
        assert_eq!(engine.node.seen().pop().unwrap().header("accept-encoding"), asked, "{takes}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_is_forwarded_or_asked_for_again() {
    let engine = FakeEngine::start(Product::OpenSearch, 60).await;
    let gateway = app::start(&engine, &format!("{REVERSE}[limits]\nmax-inspected-body = \"64KiB\"\n")).await;
    let spaces = " ".repeat(4 << 20);
    for coding in ["gzip", "deflate", "zstd"] {
        let call = packed(coding, &format!("{MATCH}{spaces}"));
        let reply = call.send(gateway.address).await;
        assert_eq!(reply.rerank_status(), "skipped; reason=too-large", "{coding}");
        let sent = engine.node.seen().pop().unwrap();
        assert!(sent.header("content-encoding") == Some(coding) && sent.body.len() < 64 << 10, "{coding}: the client's own bytes");
    }
    engine.trouble(|asked| (asked.size > 10).then_some(Trouble::Bulk(4 << 20)));
    for coding in ["gzip", "deflate", "br", "zstd"] {
        let fresh = app::start(&engine, &format!("{REVERSE}[limits]\nmax-inspected-body = \"64KiB\"\n")).await;
        engine.mood().answers_in = Some(coding);
        let before = engine.count();
        let reply = Call::search(MATCH).with("accept-encoding", coding).send(fresh.address).await;
        assert_eq!((reply.status, reply.rerank_status(), engine.count()), (200, "skipped; reason=too-large", before + 2), "{coding}");
    }
}
