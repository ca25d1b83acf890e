//! Every step from a whole window down to the engine's order, on real threads: what `Rerank-Status` says of it, and what is counted.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use rerank_plugin::testing::{Script, Scripted};

use crate::support::{
    answer::{Answer, assert_same},
    app::{self, Gateway},
    fake_engine::{FakeEngine, Product},
    http::{Call, Reply},
    metrics::Page,
};

const WINDOW: usize = 50;

/// A gateway whose model follows a script.
struct Stage {
    engine: FakeEngine,
    gateway: Gateway,
    script: Arc<Script>,
    /// The model's name: all tests share the program's counters.
    model: &'static str,
}

impl Stage {
    /// `rule` is added to the rule's keys, `more` stands behind it.
    async fn set(model: &'static str, rule: &str, more: &str) -> Self {
        Self::set_as(0, model, rule, more).await
    }

    /// As [`Stage::set`], with a rule of this number: counters of rules are the program's too.
    async fn set_as(number: usize, model: &'static str, rule: &str, more: &str) -> Self {
        let engine = FakeEngine::start(Product::OpenSearch, 120).await;
        let scripted = Scripted::default();
        let script = Arc::clone(&scripted.0);
        let before: String = (0..number)
            .map(|other| format!("[[rules]]\nindex = [\"other{other}\"]\nmodel = \"{model}\"\nfields = [\"title\"]\n"))
            .collect();
        let text = format!(
            "[models.{model}]\nkind = \"fake-scripted\"\n{before}[[rules]]\nindex = [\"products\"]\nmodel = \"{model}\"\nfields = [\"title\"]\n\
             fusion = {{ kind = \"replace\" }}\ntotal-timeout = \"60s\"\n{rule}\n{more}\n"
        );
        let gateway = app::start_with(&engine, &text, vec![Box::new(scripted)]).await;
        gateway.loaded().await;
        Self { engine, gateway, script, model }
    }

    async fn search(&self, word: &str) -> Reply {
        call(word).send(self.gateway.address).await
    }

    /// Asserts that a search goes out in the engine's order for this reason.
    async fn assert_skipped(&self, word: &str, reason: &str) {
        let reply = self.search(word).await;
        assert_eq!(reply.rerank_status(), format!("skipped; reason={reason}"));
        assert_same(&reply, &call(word).send(self.engine.node.address).await);
    }

    /// What the page of metrics says of a counter of the model.
    async fn counted(&self, name: &str) -> f64 {
        let page = Call::get("/metrics").send(self.gateway.admin).await.text();
        let of_model = |line: &&str| line.starts_with(name) && line.contains(&format!("model=\"{}\"", self.model));
        page.lines().filter(of_model).filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    /// Lets the model show how fast it is.
    async fn measure(&self) {
        for turn in 0..6 {
            self.search(&format!("shoe {turn}")).await;
        }
    }
}

fn call(word: &str) -> Call {
    Call::search(&format!(r#"{{"query":{{"match":{{"title":"{word}"}}}},"size":60}}"#))
}

/// Returns a number of `Rerank-Status`.
fn number(reply: &Reply, name: &str) -> usize {
    let status = reply.rerank_status();
    let found = status.split("; ").find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    found.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{name} in {status}"))
}

/// Asserts that an answer has the hits that the engine's has, with scores that descend.
async fn assert_permutation(stage: &Stage, word: &str, reply: &Reply) {
    let (own, direct) = (Answer::of(reply), Answer::of(&call(word).send(stage.engine.node.address).await));
    let set = |answer: &Answer| answer.ids().into_iter().collect::<BTreeSet<_>>();
    assert_eq!((own.ids().len(), set(&own)), (60, set(&direct)));
    let scores = own.scores();
    assert!(scores.is_sorted_by(|one, other| one >= other), "{scores:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn step_1_a_whole_window() {
    let stage = Stage::set("whole", "window = 50\ntimeout = '30s'", "").await;
    let reply = stage.search("shoe 7").await;
    assert_eq!(reply.rerank_status(), "reranked; model=\"whole\"; window=50; scored=50; cached=0");
    assert_permutation(&stage, "shoe 7", &reply).await;
    assert_eq!((stage.counted("podium_scored_pairs_total").await, stage.counted("podium_breaker_state").await), (50.0, 0.0));
    assert!(stage.counted("podium_batch_pairs_count").await >= 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn step_2_a_smaller_window() {
    let stage = Stage::set_as(40, "smaller", "window = { min = 5, max = 50 }\ntimeout = '600ms'", "").await;
    stage.script.costs(Duration::ZERO, Duration::from_millis(30));
    stage.measure().await;
    // Twenty of them fit; a machine with much else to do may need another try.
    let mut windows = Vec::new();
    for turn in 10..20 {
        let reply = stage.search(&format!("shoe {turn}")).await;
        if reply.rerank_status().starts_with("reranked") {
            assert_permutation(&stage, &format!("shoe {turn}"), &reply).await;
            assert_eq!(number(&reply, "window"), number(&reply, "scored"));
            windows.push(number(&reply, "window"));
        }
    }
    assert!(!windows.is_empty() && windows.iter().all(|window| (5..30).contains(window)), "{windows:?}");
    let page = Page::of(&stage.gateway).await;
    assert!(page.value(r#"podium_window_hits_bucket{rule="40",le="35"}"#) >= windows.len() as f64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_smaller_window_is_not_kept_as_an_answer() {
    let stage = Stage::set("unkept", "window = { min = 5, max = 50 }\ntimeout = '600ms'\nanswer-cache = '1h'", "").await;
    stage.script.costs(Duration::ZERO, Duration::from_millis(30));
    stage.measure().await;
    let mut smaller = 0;
    for turn in 10..20 {
        let replies = [stage.search(&format!("shoe {turn}")).await, stage.search(&format!("shoe {turn}")).await];
        smaller += usize::from(replies[0].rerank_status().starts_with("reranked") && number(&replies[0], "window") < WINDOW);
        assert!(!replies[1].rerank_status().ends_with("answer=hit"), "{}", replies[1].rerank_status());
    }
    assert!(smaller > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn step_3_what_is_scored_when_the_time_is_over() {
    let stage = Stage::set_as(41, "partial", "window = { min = 2, max = 50 }\non-timeout = 'partial'\ntimeout = '500ms'", "").await;
    // Nothing is known of the model yet, so that all is tried.
    stage.script.costs(Duration::ZERO, Duration::from_millis(20));
    let reply = stage.search("shoe 3").await;
    assert!(reply.rerank_status().starts_with("partial; model=\"partial\"; window=50; scored="), "{}", reply.rerank_status());
    assert!(reply.rerank_status().ends_with("; reason=timeout"), "{}", reply.rerank_status());
    assert!((2..30).contains(&number(&reply, "scored")), "{}", reply.rerank_status());
    assert_permutation(&stage, "shoe 3", &reply).await;
    assert_eq!(Answer::of(&reply).ids()[0], "id3", "it is among the first, which are scored first");
    assert_eq!(Page::of(&stage.gateway).await.searches(41, "partial", "timeout"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn step_4_cached_scores_alone_and_step_5_the_engines_order() {
    let second = "[[rules]]\nindex = [\"wide\"]\nmodel = \"cached\"\nfields = [\"title\"]\nfusion = { kind = \"replace\" }\nwindow = 55\n\
                  on-timeout = 'partial'\ntimeout = '30s'\ntotal-timeout = '60s'\n[cache]\nscores = \"16MiB\"";
    let stage = Stage::set("cached", "window = 50\ntimeout = '30s'", second).await;
    assert!(stage.search("shoe 1").await.rerank_status().contains("scored=50; cached=0"));
    stage.script.breaks(true);
    // With the one that it scored they are ten.
    for turn in 0..9 {
        stage.assert_skipped(&format!("boot {turn}"), "model-error").await;
    }
    stage.assert_skipped("boot", "breaker-open").await;
    assert_eq!(stage.counted("podium_breaker_state").await, 2.0);
    let known = stage.search("shoe 1").await;
    assert_eq!(known.rerank_status(), "reranked; model=\"cached\"; window=50; scored=50; cached=50");
    let wide = Call::post("/wide/_search", r#"{"query":{"match":{"title":"shoe 1"}},"size":60}"#).send(stage.gateway.address).await;
    assert_eq!(wide.rerank_status(), "partial; model=\"cached\"; window=55; scored=50; cached=50; reason=breaker-open");
    // A second later one search tries the model, which still fails; then it is left alone for two.
    tokio::time::sleep(Duration::from_millis(1050)).await;
    stage.assert_skipped("sandal", "model-error").await;
    stage.assert_skipped("sandal", "breaker-open").await;
    stage.script.breaks(false);
    tokio::time::sleep(Duration::from_millis(2050)).await;
    assert!(stage.search("sandal").await.rerank_status().starts_with("reranked"));
    assert_eq!(stage.counted("podium_breaker_state").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_would_be_late_is_shed_at_once() {
    let stage = Stage::set("shed", "window = 50\ntimeout = '400ms'", "").await;
    stage.script.costs(Duration::ZERO, Duration::from_millis(20));
    stage.measure().await;
    let scored = stage.script.scored();
    let begun = Instant::now();
    stage.assert_skipped("boot", "overloaded").await;
    assert!(begun.elapsed() < Duration::from_millis(400), "{:?}", begun.elapsed());
    assert!(stage.script.scored() <= scored + 5, "and costs next to nothing");
    assert!(stage.counted("podium_searches_shed_total").await >= 1.0);
    assert_eq!(stage.counted("podium_breaker_state").await, 0.0, "that is no fault of the model");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_late_is_kept_for_the_next_search() {
    let stage = Stage::set("late", "window = 50\ntimeout = '300ms'", "[cache]\nscores = \"16MiB\"").await;
    stage.script.costs(Duration::ZERO, Duration::from_millis(10));
    let reply = stage.search("shoe 2").await;
    assert!(reply.rerank_status().starts_with("skipped"), "500 ms do not fit into 300: {}", reply.rerank_status());
    while stage.counted("podium_scored_pairs_total").await < WINDOW as f64 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let again = stage.search("shoe 2").await;
    assert_eq!(again.rerank_status(), "reranked; model=\"late\"; window=50; scored=50; cached=50");
    assert!(stage.counted("podium_late_scores_total").await > 0.0);
    assert_eq!(stage.script.scored(), WINDOW, "nothing is scored twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_hangs_is_left_alone_until_it_comes_back() {
    let stage = Stage::set("hangs", "window = 50\ntimeout = '300ms'", "").await;
    stage.measure().await;
    stage.script.hangs(true);
    let mut reasons = Vec::new();
    while reasons.last().is_none_or(|last| last != "skipped; reason=breaker-open") {
        reasons.push(stage.search(&format!("boot {}", reasons.len())).await.rerank_status().to_owned());
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(reasons.len() < 60, "{reasons:?}");
    }
    assert!(reasons.iter().any(|reason| reason.ends_with("timeout")), "{reasons:?}");
    assert_eq!(stage.counted("podium_breaker_state").await, 2.0);
    stage.script.hangs(false);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let mut status = String::new();
    for turn in 0..5 {
        status = stage.search(&format!("sandal {turn}")).await.rerank_status().to_owned();
    }
    assert!(status.starts_with("reranked"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_makes_the_model_panic_is_left_out_and_the_others_are_scored() {
    let stage = Stage::set("panics", "window = 50\ntimeout = '30s'", "").await;
    stage.script.panics_on(Some("17"));
    for word in ["shoe", "boot"] {
        let reply = stage.search(word).await;
        assert_eq!(reply.rerank_status(), "reranked; model=\"panics\"; window=50; scored=49; cached=0");
        assert_permutation(&stage, word, &reply).await;
    }
    assert_eq!(stage.counted("podium_pairs_set_aside_total").await, 2.0, "a pair is a text and a query");
    assert!(stage.counted("podium_worker_restarts_total").await >= 4.0);
    assert_eq!(stage.counted("podium_breaker_state").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_is_too_much_for_the_device_is_made_smaller() {
    let stage = Stage::set("much", "window = 50\ntimeout = '30s'", "").await;
    stage.script.takes_at_most(3);
    for word in ["shoe", "boot"] {
        assert_eq!(stage.search(word).await.rerank_status(), "reranked; model=\"much\"; window=50; scored=50; cached=0");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_breaks_for_good_answers_from_the_cache_until_it_is_loaded_anew() {
    let stage = Stage::set("rebuilt", "window = 50\ntimeout = '30s'", "[cache]\nscores = \"16MiB\"").await;
    assert!(stage.search("shoe").await.rerank_status().starts_with("reranked"));
    stage.script.panics_on(Some("9"));
    stage.script.fails_to_reset(true);
    stage.assert_skipped("boot", "model-error").await;
    stage.script.panics_on(None);
    stage.assert_skipped("boot", "model-unavailable").await;
    assert!(stage.gateway.missing_models().await.contains("model rebuilt broke and is loaded anew"));
    assert!(stage.search("shoe").await.rerank_status().ends_with("scored=50; cached=50"));
    stage.gateway.loaded().await;
    assert_eq!(stage.search("boot").await.rerank_status(), "reranked; model=\"rebuilt\"; window=50; scored=50; cached=0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lazy_model_is_loaded_for_the_first_search() {
    let engine = FakeEngine::start(Product::OpenSearch, 120).await;
    let text = "[models.lazy]\nkind = \"fake-scripted\"\nload = \"lazy\"\n[[rules]]\nindex = [\"products\"]\nmodel = \"lazy\"\nfields = [\"title\"]\n\
                timeout = \"30s\"\ntotal-timeout = \"60s\"";
    let gateway = app::start_with(&engine, text, vec![Box::new(Scripted::default())]).await;
    assert_eq!(gateway.missing_models().await, "", "nobody waits for it");
    assert_eq!(call("shoe").send(gateway.address).await.rerank_status(), "skipped; reason=model-loading");
    gateway.loaded().await;
    assert!(call("boot").send(gateway.address).await.rerank_status().starts_with("reranked"));
}
