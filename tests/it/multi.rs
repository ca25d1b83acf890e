//! Multi searches: each item is reranked as it would be alone, and everything around it is the engine's.

use std::time::{Duration, Instant};

use crate::support::{
    answer::{Answer, assert_same, headers, unscored, untimed},
    app::{self, Gateway, REVERSE},
    fake_engine::{Asked, FakeEngine, PRODUCTS, Product, Trouble},
    http::{Call, Reply},
};

const DOCUMENTS: usize = 120;
const WINDOW: usize = 50;
const PRODUCTS_LINE: &str = r#"{"index":"products"}"#;
const OTHER_LINE: &str = r#"{"index":"other"}"#;

fn shoes(more: &str) -> String {
    format!(r#"{{"query":{{"match":{{"title":"shoe"}}}}{more}}}"#)
}

fn lines(items: &[(&str, String)]) -> String {
    items.iter().map(|(header, body)| format!("{header}\n{body}\n")).collect()
}

fn call(lines: impl Into<Vec<u8>>) -> Call {
    Call::post("/_msearch", lines).with("content-type", "application/x-ndjson")
}

fn ids(documents: impl IntoIterator<Item = usize>) -> Vec<String> {
    documents.into_iter().map(|document| format!("id{document}")).collect()
}

/// Returns the items of an answer, each as an answer of its own.
fn items(reply: &Reply) -> Vec<Reply> {
    let text = reply.text();
    let start = text.find('[').unwrap() + 1;
    let elements: Vec<&serde_json::value::RawValue> = serde_json::from_str(&text[start - 1..=text.rfind(']').unwrap()]).unwrap();
    elements
        .into_iter()
        .map(|element| Reply { body: element.get().as_bytes().to_vec(), headers: http::HeaderMap::new(), ..reply.clone() })
        .collect()
}

/// Returns what Podium says of each item.
fn told(reply: &Reply) -> Vec<String> {
    reply.rerank_status().split(", ").map(|member| member.split(';').take(2).collect::<Vec<_>>().join(";")).collect()
}

/// Sends a call both ways; asserts that all but what items say is the same, and returns both answers' items.
async fn both(engine: &FakeEngine, gateway: &Gateway, call: &Call) -> (Reply, Vec<Reply>, Vec<Reply>) {
    let (reply, direct) = (call.send(gateway.address).await, call.send(engine.node.address).await);
    assert_eq!((reply.status, headers(&reply)), (direct.status, headers(&direct)), "{call:?}");
    let (ours, theirs) = (items(&reply), items(&direct));
    assert_eq!(ours.len(), theirs.len());
    (reply, ours, theirs)
}

fn assert_turned_round(ours: &Reply, wide: &Reply, page: std::ops::Range<usize>) {
    let (answer, expected) = (Answer::of(ours), Answer::of(wide));
    let turned: Vec<String> = expected.hits[..WINDOW].iter().rev().chain(&expected.hits[WINDOW..]).map(|hit| unscored(hit)).collect();
    assert_eq!(answer.unscored(), turned[page]);
    assert_eq!(answer.outside, expected.outside);
}

/// Asserts that a call's answer is the engine's own, but for how long each item took.
fn assert_passed(reply: &Reply, direct: &Reply) {
    let untook = |whole: &Reply| {
        let text = whole.text();
        text.split("\"took\":").map(|piece| piece.trim_start_matches(|letter: char| letter.is_ascii_digit()).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((reply.status, headers(reply), untook(reply)), (direct.status, headers(direct), untook(direct)));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_item_is_reranked_by_its_own_rule_and_page() {
    for product in PRODUCTS {
        let engine = FakeEngine::start(product, DOCUMENTS).await;
        let gateway = app::start(&engine, REVERSE).await;
        let sent = [
            (PRODUCTS_LINE, shoes("")),
            (OTHER_LINE, shoes(r#","size":3"#)),
            (r#" {"index": ["products"], "preference":"me" } "#, shoes(r#","from":45,"size":20,"_source":false"#)),
            (PRODUCTS_LINE, shoes(r#","sort":["price"]"#)),
            ("", shoes("")),
            (r#"{"index":"products,other"}"#, shoes("")),
            (PRODUCTS_LINE, shoes(r#","size":0"#)),
        ];
        for (query, gzip) in
            [("", false), ("pretty", false), ("max_concurrent_searches=2&typed_keys=true", true), ("rest_total_hits_as_int=true", true)]
        {
            let call = call(lines(&sent)).query(query).with("accept-encoding", if gzip { "gzip" } else { "identity" });
            let before = engine.count();
            let (reply, ours, theirs) = both(&engine, &gateway, &call).await;
            assert_eq!(engine.count(), before + 2, "one request through the gateway, one direct");
            assert_eq!(
                told(&reply),
                [
                    "reranked; model=\"m\"",
                    "skipped; reason=no-rule",
                    "reranked; model=\"m\"",
                    "skipped; reason=sorted",
                    "skipped; reason=no-rule",
                    "skipped; reason=mixed-rules",
                    "skipped; reason=no-page"
                ]
            );
            assert!(reply.header("server-timing").starts_with("engine;dur="));
            for left in [1, 3, 4, 5, 6] {
                assert_eq!(untimed(&ours[left].text()), untimed(&theirs[left].text()), "{left}");
            }
            let wide = |place: usize, more: &str| (sent[place].0, shoes(more));
            let wide = [wide(0, r#","size":120"#), wide(2, r#","size":120,"_source":false"#)];
            let wide = items(&Call::post("/_msearch", lines(&wide)).query(query).send(engine.node.address).await);
            assert_turned_round(&ours[0], &wide[0], 0..10);
            assert_turned_round(&ours[2], &wide[1], 45..65);
            let outside = |whole: &Reply| untimed(whole.text().split('[').next().unwrap());
            assert_eq!(outside(&reply), outside(&call.send(engine.node.address).await));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_paths_index_is_that_of_items_without_one() {
    let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
    let gateway = app::start(&engine, REVERSE).await;
    let sent = lines(&[("{}", shoes("")), (OTHER_LINE, shoes("")), ("", shoes(r#","size":1"#)), (r#"{"index":""}"#, shoes(""))]);
    for body in [sent.clone(), sent.replace('\n', "\r\n"), format!("{sent}{PRODUCTS_LINE}\n"), format!("{sent}\n")] {
        let call = Call::post("/products/_msearch", body.clone());
        let before = engine.count();
        let (reply, ours, _) = both(&engine, &gateway, &call).await;
        let reranked = "reranked; model=\"m\"";
        assert_eq!(told(&reply), [reranked, "skipped; reason=no-rule", reranked, "skipped; reason=no-rule"], "{body:?}");
        assert_eq!(Answer::of(&ours[0]).ids(), ids((40..50).rev()));
        assert_eq!(Answer::of(&ours[2]).ids(), ["id49"]);
        let seen = engine.bodies()[before].clone();
        let widened = body.replacen(&shoes(""), &shoes(r#","from":0,"size":50"#), 1).replacen(
            &shoes(r#","size":1"#),
            &shoes(r#","size":50,"from":0"#),
            1,
        );
        assert_eq!(seen, widened, "everything else is the client's bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_one_item_agree() {
    let engine = FakeEngine::start(Product::Elasticsearch, DOCUMENTS).await;
    let gateway = app::start(&engine, REVERSE).await;
    let page = |from: usize| (PRODUCTS_LINE, shoes(&format!(r#","from":{from},"size":10"#)));
    let pages = [page(0), page(10), page(20), page(30), page(40), page(0)];
    let reply = call(lines(&pages)).send(gateway.address).await;
    let seen: Vec<String> = items(&reply)[..5].iter().flat_map(|item| Answer::of(item).ids()).collect();
    assert_eq!(seen, ids((0..WINDOW).rev()));
    engine.mood().order.reverse();
    let later = call(lines(&[page(10)])).send(gateway.address).await;
    assert_eq!(Answer::of(&items(&later)[0]).ids().len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_12_an_item_that_fails_fails_alone() {
    for product in PRODUCTS {
        for status in [404, 429, 503] {
            let engine = FakeEngine::start(product, DOCUMENTS).await;
            engine.trouble(move |asked: &Asked| (asked.header.get("routing").is_some()).then_some(Trouble::Status(status)));
            let gateway = app::start(&engine, REVERSE).await;
            let sent = [(PRODUCTS_LINE, shoes("")), (r#"{"index":"products","routing":"a"}"#, shoes("")), (OTHER_LINE, shoes(""))];
            let before = engine.count();
            let (reply, ours, theirs) = both(&engine, &gateway, &call(lines(&sent))).await;
            assert_eq!(engine.count(), before + 2, "{status} is never sent again");
            assert_eq!(told(&reply), ["reranked; model=\"m\"", "skipped; reason=upstream-status", "skipped; reason=no-rule"]);
            assert_eq!(ours[1].text(), theirs[1].text());
            assert_eq!(Answer::of(&ours[0]).ids(), ids((40..50).rev()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn items_that_are_refused_are_asked_again_alone_and_remembered() {
    for trouble in [Trouble::Status(400), Trouble::Status(500), Trouble::FailedShard, Trouble::Text("7")] {
        let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
        let (remembered, told_trouble) = (!matches!(trouble, Trouble::Text(_)), trouble.clone());
        engine.trouble(move |asked: &Asked| (asked.size > 10 && asked.header.contains_key("routing")).then(|| told_trouble.clone()));
        let gateway = app::start(&engine, REVERSE).await;
        let refused = (r#"{"index":"products","routing":"a"}"#, shoes(""));
        let sent = [(PRODUCTS_LINE, shoes("")), refused.clone(), (OTHER_LINE, shoes(""))];
        for requests in [2, if remembered { 1 } else { 2 }] {
            let before = engine.count();
            let reply = call(lines(&sent)).send(gateway.address).await;
            let bodies = engine.bodies().split_off(before);
            assert_eq!(bodies.len(), requests, "{trouble:?}");
            if requests == 2 {
                assert_eq!(bodies[1], lines(std::slice::from_ref(&refused)), "the failed item alone, as it was");
            }
            let reason = if remembered { "rewrite-rejected" } else { "upstream-answer" };
            assert_eq!(
                told(&reply),
                ["reranked; model=\"m\"".to_owned(), format!("skipped; reason={reason}"), "skipped; reason=no-rule".to_owned()]
            );
            let ours = items(&reply);
            assert_eq!(Answer::of(&ours[0]).ids(), ids((40..50).rev()));
            assert_eq!(Answer::of(&ours[1]).ids(), ids(0..10), "{trouble:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_refused_as_a_whole_is_sent_again_as_it_came() {
    for product in PRODUCTS {
        let engine = FakeEngine::start(product, DOCUMENTS).await;
        let gateway = app::start(&engine, REVERSE).await;
        let unknown = lines(&[(PRODUCTS_LINE, shoes("")), (OTHER_LINE, r#"{"uhost":1}"#.to_owned())]);
        let reply = call(unknown.clone()).send(gateway.address).await;
        assert_eq!((reply.status, engine.bodies().last().unwrap()), (400, &unknown));
        assert_eq!(told(&reply), ["skipped; reason=rewrite-rejected", "skipped; reason=no-rule"]);
        assert_same(&reply, &call(unknown).send(engine.node.address).await);
    }
    // Only its widened form is refused: that is remembered.
    let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
    engine.trouble(|asked: &Asked| (asked.size > 10).then_some(Trouble::Cut));
    let gateway = app::start(&engine, REVERSE).await;
    let reply = call(lines(&[(PRODUCTS_LINE, shoes(""))])).send(gateway.address).await;
    assert_eq!(told(&reply), ["skipped; reason=upstream-answer"]);
    assert_eq!(Answer::of(&items(&reply)[0]).ids(), ids(0..10));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_lines_are_answered_by_the_engine() {
    let search = shoes("");
    let bad = [
        (String::new(), "not-json"),
        ("\n".to_owned(), "not-json"),
        (format!("{PRODUCTS_LINE}\n"), "not-json"),
        (format!("{PRODUCTS_LINE}\n{search}"), "not-json"),
        (format!("\n{PRODUCTS_LINE}\n{search}\n"), "not-json"),
        (format!("{PRODUCTS_LINE}\n\n"), "not-json"),
        (format!("{PRODUCTS_LINE}\n{search}\n\n\n"), "not-json"),
        (format!("{PRODUCTS_LINE}\n{}\n", &search[..9]), "not-json"),
        (format!("{{\"index\":\n{search}\n"), "unsupported"),
        (format!("[\"products\"]\n{search}\n"), "unsupported"),
        (format!("{{\"index\":\"products\",\"uhost\":1}}\n{search}\n"), "unsupported"),
        (format!("{{\"index\":[\"a,b\"]}}\n{search}\n"), "unsupported"),
    ];
    for product in PRODUCTS {
        let engine = FakeEngine::start(product, DOCUMENTS).await;
        let gateway = app::start(&engine, REVERSE).await;
        for (body, reason) in &bad {
            let call = call(body.clone());
            let reply = call.send(gateway.address).await;
            assert_eq!(engine.bodies().last(), Some(body), "sent as it came");
            assert!(
                told(&reply).iter().all(|told| *told == format!("skipped; reason={reason}") || told.ends_with("no-rule")),
                "{body:?} {:?}",
                told(&reply)
            );
            assert_passed(&reply, &call.send(engine.node.address).await);
        }
        let good = lines(&[(PRODUCTS_LINE, search.clone())]);
        for (call, reason) in [
            (call(good.clone()).with("rerank", "off"), "client-off"),
            (call(good.clone()).query("filter_path=took"), "unsupported"),
            (call(good.clone()).with("content-type", "application/cbor"), "not-json"),
        ] {
            let reply = call.send(gateway.address).await;
            assert_eq!(reply.rerank_status(), format!("skipped; reason={reason}"));
            assert_passed(&reply, &call.send(engine.node.address).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_budget_is_for_all_items() {
    let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
    let rules = REVERSE.replace("fake-reverse", "fake-hang").replace("\"30s\"", "\"150ms\"");
    let gateway = app::start(&engine, &rules).await;
    let sent: Vec<_> = (0..12).map(|turn| (PRODUCTS_LINE, shoes(&format!(r#","size":{}"#, turn + 5)))).collect();
    let started = Instant::now();
    let (reply, ours, theirs) = both(&engine, &gateway, &call(lines(&sent))).await;
    let took = started.elapsed();
    assert!(told(&reply).iter().all(|told| told == "skipped; reason=timeout"), "{}", reply.rerank_status());
    assert_eq!(
        ours.iter().map(|item| untimed(&item.text())).collect::<Vec<_>>(),
        theirs.iter().map(|item| untimed(&item.text())).collect::<Vec<_>>()
    );
    assert!(
        took >= Duration::from_millis(150) && took < Duration::from_millis(1200),
        "{took:?}: twelve items one after another take 1.8 s"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn models_that_are_not_there_cost_their_items_alone() {
    let sound = "[models.sound]\nkind = \"fake-reverse\"\n[[rules]]\nindex = [\"sound\"]\nmodel = \"sound\"\nfields = [\"title\"]\ntimeout = \"30s\"\ntotal-timeout = \"60s\"\n";
    for (kind, reason) in [("test-loading", "model-loading"), ("fake-panic", "model-error"), ("fake-nan", "model-error")] {
        let engine = FakeEngine::start(Product::Elasticsearch, DOCUMENTS).await;
        let gateway = app::start_at_once(&engine, &format!("{}{sound}", REVERSE.replace("fake-reverse", kind))).await;
        while gateway.missing_models().await.contains("sound") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let sent = [(PRODUCTS_LINE, shoes("")), (r#"{"index":"sound"}"#, shoes(r#","size":2"#))];
        let (mut reply, mut ours, mut theirs) = both(&engine, &gateway, &call(lines(&sent))).await;
        while reason == "model-error" && told(&reply)[0].contains("loading") {
            (reply, ours, theirs) = both(&engine, &gateway, &call(lines(&sent))).await;
        }
        assert_eq!(told(&reply), [format!("skipped; reason={reason}"), "reranked; model=\"sound\"".to_owned()]);
        assert_eq!(untimed(&ours[0].text()), untimed(&theirs[0].text()));
        assert_eq!(Answer::of(&ours[1]).ids(), ["id99", "id98"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_answers_together_stay_under_the_cap() {
    let engine = FakeEngine::start(Product::OpenSearch, DOCUMENTS).await;
    let gateway = app::start(&engine, &format!("{REVERSE}[limits]\nmax-inspected-body = \"64KiB\"\n")).await;
    // Fifty hits have some 13 KB: eight times that is too much.
    let sent: Vec<_> = (0..8).map(|turn| (PRODUCTS_LINE, shoes(&format!(r#","size":{}"#, turn + 1)))).collect();
    let first = call(lines(&sent)).send(gateway.address).await;
    assert!(told(&first).iter().all(|told| told == "skipped; reason=too-large"), "{}", first.rerank_status());
    assert_eq!(Answer::of(&items(&first)[3]).ids(), ids(0..4));
    let mut last = first;
    for _ in 0..8 {
        last = call(lines(&sent)).send(gateway.address).await;
        if told(&last).iter().all(|told| told.starts_with("reranked")) {
            break;
        }
    }
    assert!(told(&last).iter().all(|told| told.starts_with("reranked")), "{}", last.rerank_status());
    let large = "x".repeat(70 << 10);
    let reply = call(lines(&[(PRODUCTS_LINE, shoes(&format!(r#","x":"{large}""#)))])).send(gateway.address).await;
    assert_eq!((reply.status, reply.rerank_status()), (400, "skipped; reason=too-large"));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_items_are_summed_up_and_silent_rules_are_silent() {
    let engine = FakeEngine::start(Product::OpenSearch, 20).await;
    let quiet = "[[rules]]\nindex = ['quiet']\nmodel = 'm'\nfields = ['title']\nheaders = false\n";
    let gateway = app::start(&engine, &format!("{REVERSE}{quiet}")).await;
    let many: Vec<_> = (0..40).map(|turn| (if turn % 4 == 0 { OTHER_LINE } else { PRODUCTS_LINE }, shoes(""))).collect();
    let summed = call(lines(&many)).send(gateway.address).await;
    assert_eq!(summed.rerank_status(), "skipped; reason=no-rule; count=10, reranked; model=\"m\"; count=30");
    let reply = call(lines(&[(PRODUCTS_LINE, shoes("")), (r#"{"index":"quiet"}"#, shoes(""))])).send(gateway.address).await;
    assert_eq!((reply.rerank_status(), reply.header("server-timing")), ("", ""));
    assert_eq!(Answer::of(&items(&reply)[1]).ids()[0], "id19", "reranked nevertheless");
}
