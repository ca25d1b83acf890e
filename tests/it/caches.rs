//! What is kept between searches, for whom, and how it is emptied.

use std::time::Duration;

use http::Method;
use serde_json::Value;

use crate::support::{
    answer::{Answer, assert_same, headers},
    app::{self, Gateway, REVERSE},
    fake_engine::{FakeEngine, PRODUCTS, Product, Trouble},
    fake_models,
    fake_upstream::{Act, FakeUpstream},
    http::{Call, Reply},
    soon, until,
};

const MATCH: &str = r#"{"query":{"match":{"title":"shoe"}},"size":7}"#;
/// Tests keep none unless they say so.
const SCORES: &str = "cache.scores = '16MiB'\n";
/// A whole answer in which a shard was not waited for.
const TIMED_OUT: &str = r#"{"took":1,"timed_out":true,"_shards":{"total":2,"successful":2,"skipped":0,"failed":0},"hits":{"max_score":2.0,"hits":[
    {"_index":"products","_id":"a","_score":2.0,"_source":{"title":"one"}},{"_index":"products","_id":"b","_score":1.0,"_source":{"title":"two"}}]}}"#;

/// Rules whose answers are kept so long.
fn keeping(life: &str) -> String {
    format!("{REVERSE}answer-cache = \"{life}\"\n")
}

fn is_hit(reply: &Reply) -> bool {
    reply.rerank_status().starts_with("reranked; ") && reply.rerank_status().ends_with("; answer=hit")
}

/// How often the engine was asked while `call` was sent.
async fn asked(engine: &FakeEngine, gateway: &Gateway, call: &Call) -> usize {
    let before = engine.count();
    assert!(call.send(gateway.address).await.status > 0);
    engine.count() - before
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_given_once_more_to_whoever_asks_the_same() {
    for product in PRODUCTS {
        let engine = FakeEngine::start(product, 120).await;
        let gateway = app::start(&engine, &keeping("1h")).await;
        for call in [Call::search(MATCH), Call::search(MATCH).query("pretty"), Call::search(MATCH).with("accept-encoding", "gzip")] {
            let first = call.send(gateway.address).await;
            let count = engine.count();
            let second = call.send(gateway.address).await;
            assert_eq!(second.rerank_status(), format!("{}; answer=hit", first.rerank_status()));
            assert_eq!((second.status, headers(&second), &second.body), (200, headers(&first), &first.body));
            assert_eq!((second.header("server-timing"), engine.count()), ("", count), "nobody was asked");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_16_nothing_is_served_across_identities_or_requests() {
    let engine = FakeEngine::start(Product::Elasticsearch, 120).await;
    let gateway = app::start(&engine, &keeping("1h")).await;
    let call = Call::search(MATCH);
    let own = |name: &'static str, value: &str| Call::search(MATCH).with(name, value);
    let others = [
        call.clone(),
        own("authorization", "Basic Ym9i"),
        own("authorization", "Basic ZXZl"),
        own("cookie", "sid=1"),
        own("es-security-runas-user", "bob"),
        own("x-proxy-user", "bob"),
        own("x-forwarded-for", "10.0.0.1"),
        own("x-nobody-knows-it", "1"),
        own("accept-encoding", "gzip"),
        own("user-agent", "curl"),
        Call::search(&MATCH.replace("shoe", "boot")),
        Call::search(&MATCH.replace(":7", ": 7")),
        Call::search(&MATCH.replace('7', "8")),
        call.clone().query("preference=a"),
        call.clone().by(Method::GET),
    ];
    for other in &others {
        assert_eq!(asked(&engine, &gateway, other).await, 1, "{other:?}");
    }
    for other in &others {
        assert_eq!(asked(&engine, &gateway, other).await, 0, "{other:?}");
    }
    for fresh in [own("cache-control", "max-age=0, no-cache"), own("pragma", "no-cache"), own("cache-control", "no-store")] {
        assert_eq!([asked(&engine, &gateway, &fresh).await, asked(&engine, &gateway, &fresh).await], [1, 1], "{fresh:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_16_whatever_happens_at_the_same_time_everybody_meets_their_own_answer() {
    const HIT: &str = r#"{"_index":"products","_id":"WHO","_score":1.0,"_source":{"title":"WHO"}}"#;
    let node = FakeUpstream::scripted(|_, seen| {
        let hits = [HIT, HIT].join(",").replace("WHO", seen.header("authorization").unwrap_or("nobody"));
        let page =
            format!(r#"{{"took":1,"timed_out":false,"_shards":{{"total":1,"failed":0}},"hits":{{"max_score":1.0,"hits":[{hits}]}}}}"#);
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", page.len());
        vec![Act::Pause(Duration::from_millis(2)), Act::text(head + &page)]
    })
    .await;
    let gateway = app::start_before(node.address, &keeping("15ms"), fake_models::families(&Default::default())).await;
    gateway.loaded().await;
    let clients = (0..24).map(|client| {
        let (address, admin) = (gateway.address, gateway.admin);
        tokio::spawn(async move {
            let (mut hits, who) = (0, format!("who{}", client % 6));
            for round in 0..40 {
                let reply = Call::search(MATCH).with("authorization", &who).send(address).await;
                assert_eq!(Answer::of(&reply).ids(), [who.as_str(), who.as_str()]);
                hits += usize::from(is_hit(&reply));
                if client == 0 && round % 10 == 9 {
                    Call::get("/caches/answers").by(Method::DELETE).send(admin).await;
                }
                tokio::time::sleep(Duration::from_millis(round % 7)).await;
            }
            hits
        })
    });
    let hits: usize = futures_util::future::try_join_all(clients).await.unwrap().into_iter().sum();
    assert!((1..24 * 40).contains(&hits), "{hits}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_is_sent_back_its_own_ids_and_not_those_of_the_first() {
    let engine = FakeEngine::start(Product::OpenSearch, 120).await;
    let gateway = app::start(&engine, &keeping("1h")).await;
    let named = |id: &str| Call::search(MATCH).with("x-opaque-id", id).with("traceparent", id);
    assert_eq!(named("one").send(gateway.address).await.header("x-opaque-id"), "one");
    let other = named("two").send(gateway.address).await;
    assert_eq!((is_hit(&other), other.header("x-opaque-id")), (true, "two"));
    let unnamed = Call::search(MATCH).send(gateway.address).await;
    assert_eq!((is_hit(&unnamed), unnamed.header("x-opaque-id")), (false, ""), "the engine would send nothing back");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_17_errors_and_answers_in_part_are_never_kept() {
    let troubles = [
        Trouble::Status(429),
        Trouble::Status(503),
        Trouble::Status(404),
        Trouble::Status(400),
        Trouble::FailedShard,
        Trouble::Cut,
        Trouble::Text("{}"),
        Trouble::Text(TIMED_OUT),
        Trouble::Text("{\"_clusters\":{\"total\":2,\"successful\":1,\"skipped\":1},\"hits\":{\"hits\":[]}}"),
    ];
    for trouble in troubles {
        let engine = FakeEngine::start(Product::OpenSearch, 120).await;
        let gateway = app::start(&engine, &keeping("1h")).await;
        let wrong = trouble.clone();
        engine.trouble(move |_| Some(wrong.clone()));
        let call = Call::search(MATCH);
        for _ in 0..2 {
            let reply = call.send(gateway.address).await;
            assert!(!reply.rerank_status().contains("answer=hit"), "{trouble:?}: {}", reply.rerank_status());
        }
        engine.trouble(|_| None);
        let sound = call.send(gateway.address).await;
        assert!(sound.status == 200 && sound.rerank_status().starts_with("reranked; ") && !is_hit(&sound), "{trouble:?}");
        assert!(is_hit(&call.send(gateway.address).await), "{trouble:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_was_not_reranked_is_never_kept() {
    for kind in ["fake-panic", "fake-nan", "test-missing"] {
        let engine = FakeEngine::start(Product::Elasticsearch, 120).await;
        let gateway = app::start_at_once(&engine, &keeping("1h").replace("fake-reverse", kind)).await;
        assert_eq!([asked(&engine, &gateway, &Call::search(MATCH)).await, asked(&engine, &gateway, &Call::search(MATCH)).await], [1, 1]);
    }
    let engine = FakeEngine::start(Product::Elasticsearch, 120).await;
    let gateway = app::start(&engine, &keeping("1h")).await;
    let off = Call::search(MATCH).with("rerank", "off");
    for call in [off, Call::search(r#"{"query":{"match_all":{}}}"#), Call::post("/products/_count", r#"{"query":{"match_all":{}}}"#)] {
        assert_eq!([asked(&engine, &gateway, &call).await, asked(&engine, &gateway, &call).await], [1, 1], "{call:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_meant_for_one_client_is_never_kept() {
    let page = TIMED_OUT.replace("\"timed_out\":true", "\"timed_out\":false");
    for (header, kept) in
        [("x: y", true), ("Set-Cookie: sid=1", false), ("Cache-Control: no-store", false), ("Cache-Control: private", false)]
    {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
        let node = FakeUpstream::always(format!("{head}{header}\r\nContent-Length: {}\r\n\r\n{page}", page.len())).await;
        let gateway = app::start_before(node.address, &keeping("1h"), fake_models::families(&Default::default())).await;
        gateway.loaded().await;
        gateway.search(MATCH).await;
        assert_eq!(is_hit(&gateway.search(MATCH).await), kept, "{header}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_searches_for_the_same_are_one() {
    let engine = FakeEngine::start(Product::OpenSearch, 120).await;
    engine.trouble(|_| Some(Trouble::Slow(Duration::from_millis(1500))));
    let gateway = app::start(&engine, &keeping("1h")).await;
    let call = Call::search(MATCH);
    let replies = futures_util::future::join_all((0..20).map(|_| call.send(gateway.address))).await;
    assert_eq!(engine.count(), 1);
    assert_eq!(replies.iter().filter(|reply| is_hit(reply)).count(), 19);
    assert!(replies.iter().all(|reply| reply.body == replies[0].body));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_over_its_time_is_given_out_while_the_next_is_made() {
    let engine = FakeEngine::start(Product::OpenSearch, 120).await;
    let gateway = app::start(&engine, &keeping("2s")).await;
    let call = Call::search(MATCH);
    let first = call.send(gateway.address).await;
    tokio::time::sleep(Duration::from_millis(2300)).await;
    let stale = call.send(gateway.address).await;
    assert!(is_hit(&stale) && stale.body == first.body);
    until(|| engine.count() == 2).await;
    soon(async {
        while call.send(gateway.address).await.body == first.body {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(is_hit(&call.send(gateway.address).await));
    assert_eq!(engine.count(), 2, "one search made the next");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_made_again_is_not_given_out_any_more() {
    let engine = FakeEngine::start(Product::OpenSearch, 120).await;
    let gateway = app::start(&engine, &keeping("3s")).await;
    let call = Call::search(MATCH).with("authorization", "Bearer revoked-soon");
    call.send(gateway.address).await;
    engine.trouble(|_| Some(Trouble::Status(401)));
    tokio::time::sleep(Duration::from_millis(3200)).await;
    assert!(is_hit(&call.send(gateway.address).await), "it is over its time, and nobody knows better yet");
    soon(async {
        while call.send(gateway.address).await.status == 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_same(&call.send(gateway.address).await, &call.send(engine.node.address).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_template_searches_are_kept_too() {
    let engine = FakeEngine::start(Product::OpenSearch, 120).await;
    let gateway = app::start(&engine, &keeping("1h")).await;
    let template = r#"{"source":{"query":{"match":{"title":"{{q}}"}}},"params":{"q":"shoe"}}"#;
    let call = Call::post("/products/_search/template", template);
    let first = call.send(gateway.address).await;
    assert!(first.rerank_status().starts_with("reranked; "), "{}", first.rerank_status());
    let (count, second) = (engine.count(), call.send(gateway.address).await);
    assert_eq!((is_hit(&second), &second.body, engine.count()), (true, &first.body, count));
}

#[tokio::test(flavor = "multi_thread")]
async fn caches_are_measured_and_emptied_by_name_or_all_at_once() {
    let engine = FakeEngine::start(Product::OpenSearch, 120).await;
    let gateway = app::start(&engine, &keeping("1h")).await;
    let call = Call::search(MATCH);
    call.send(gateway.address).await;
    let entries = async |order: Call| {
        let reply = order.send(gateway.admin).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let sizes: Value = serde_json::from_str(&reply.text()).unwrap();
        ["answers", "pages"].map(|name| sizes[name]["entries"].as_u64())
    };
    let empty = |path: &str| Call::get(path).by(Method::DELETE);
    assert_eq!(entries(Call::get("/caches")).await, [Some(1), Some(1)]);
    assert_eq!(entries(empty("/caches/pages")).await, [None, Some(1)], "what was there is told");
    assert!(is_hit(&call.send(gateway.address).await), "the others are left alone");
    assert_eq!(entries(empty("/caches/answers")).await, [Some(1), None]);
    assert_eq!(asked(&engine, &gateway, &call).await, 1);
    assert_eq!(entries(empty("/caches")).await, [Some(1), Some(1)]);
    assert_eq!(entries(Call::get("/caches")).await, [Some(0), Some(0)]);
    assert_eq!(asked(&engine, &gateway, &call).await, 1);
    assert_eq!(
        [empty("/caches/nothing").send(gateway.admin).await.status, Call::post("/caches", "").send(gateway.admin).await.status],
        [404; 2]
    );
}

/// What `Rerank-Status` says of the cache.
async fn cached(gateway: &Gateway, call: &Call) -> String {
    let reply = call.send(gateway.address).await;
    let status = reply.rerank_status().to_owned();
    status.split("; ").find_map(|part| part.strip_prefix("cached=")).unwrap_or_else(|| panic!("{status}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_scored_once_is_not_scored_again_until_the_cache_is_emptied() {
    let engine = FakeEngine::start(Product::OpenSearch, 120).await;
    let gateway = app::start(&engine, &format!("{SCORES}{}", REVERSE.replace("fake-reverse", "test-observed"))).await;
    let (call, other) = (Call::search(MATCH), Call::search(&MATCH.replace("shoe", "boot")));
    assert_eq!((cached(&gateway, &call).await, gateway.observed.documents()), ("0".to_owned(), 50));
    for asked in [call.clone(), call.clone().with("authorization", "Basic ZXZl"), call.clone().query("preference=other")] {
        assert_eq!((cached(&gateway, &asked).await, gateway.observed.documents()), ("50".to_owned(), 50), "whoever asks");
    }
    assert_eq!((cached(&gateway, &other).await, gateway.observed.documents()), ("0".to_owned(), 100));
    // Half of the window is new.
    engine.mood().order = (25..120).collect();
    assert_eq!((cached(&gateway, &call).await, gateway.observed.documents()), ("25".to_owned(), 125), "only what is missing");
    let emptied = Call::get("/caches/scores").by(Method::DELETE).send(gateway.admin).await.text();
    assert!(emptied.starts_with(r#"{"scores":{"entries":125,"bytes":"#), "{emptied}");
    assert_eq!((cached(&gateway, &call).await, gateway.observed.documents()), ("0".to_owned(), 175));
}

#[tokio::test(flavor = "multi_thread")]
async fn scores_may_be_kept_for_each_identity_alone() {
    let engine = FakeEngine::start(Product::Elasticsearch, 120).await;
    let gateway = app::start(&engine, &format!("{SCORES}cache.scores-scope = 'identity'\n{REVERSE}")).await;
    let by = |who: &str, id: &str| Call::search(MATCH).with("authorization", who).with("x-opaque-id", id);
    assert_eq!(cached(&gateway, &by("Basic Ym9i", "1")).await, "0");
    assert_eq!(cached(&gateway, &by("Basic Ym9i", "2")).await, "50");
    assert_eq!(cached(&gateway, &by("Basic ZXZl", "3")).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_bytes_no_score_is_kept() {
    let engine = FakeEngine::start(Product::Elasticsearch, 120).await;
    let gateway = app::start(&engine, &format!("cache.scores = 0\n{REVERSE}")).await;
    assert_eq!([cached(&gateway, &Call::search(MATCH)).await, cached(&gateway, &Call::search(MATCH)).await], ["0", "0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_empties_caches_shows_the_token() {
    let engine = FakeEngine::start(Product::OpenSearch, 120).await;
    let gateway = app::start(&engine, &format!("admin.token = 'hunter2'\n{REVERSE}")).await;
    for call in [Call::get("/caches"), Call::get("/caches").by(Method::DELETE)] {
        assert_eq!(call.send(gateway.admin).await.status, 401);
        assert_eq!(call.clone().with("authorization", "Bearer hunter3").send(gateway.admin).await.status, 401);
        assert_eq!(call.with("authorization", "Bearer hunter2").send(gateway.admin).await.status, 200);
    }
}
