use std::{
    future,
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use rerank_plugin::{
    BoxFuture, Card, Deadline, Device, Document, Endpoints, Family, Fault, Fingerprint, LoadOptions, Loaded, Pair, Prepared, PreparedQuery,
    Query, RemoteScorer, Scale, Score, Scorer, Silent, Source, StateId, Stop, Vector,
    testing::{Behaviour, Fake, MapStore, Scripted, conformance},
};

use super::{Ask, Pairs, Reranker, ScoreCache, Settings};
use crate::rerank::{Digester, Reason};

fn settings(max_queue: usize, bytes: u64) -> Settings {
    Settings {
        name: Arc::from("fake"),
        device: Device::Cpu,
        batch_tokens: 64,
        max_queue,
        measure_unit: false,
        scores: ScoreCache::new(bytes, Digester::new()),
        broken: mpsc::channel().0,
    }
}

fn reranker(behaviour: Behaviour, max_queue: usize) -> Reranker {
    let settings = settings(max_queue, 0);
    let pairs = Pairs { queries: Vec::new(), documents: Vec::new() };
    Reranker::start(Fake(behaviour).loaded(), &settings, &pairs).expect("a thread")
}

fn search(count: usize) -> (Query, Vec<Document>) {
    let documents = (0..count).map(|number| conformance::document(&format!("red shoe {number}"))).collect();
    (conformance::query("red shoe 3"), documents)
}

async fn score(reranker: &Reranker, count: usize, budget: Duration) -> Result<Vec<Option<f32>>, Reason> {
    let (query, documents) = search(count);
    let scores = reranker.score(Ask::all(query, documents, Deadline::after(budget))).await?;
    Ok(scores.by_document.into_iter().map(|score| score.map(|score| score.order())).collect())
}

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn every_document_gets_its_own_score() {
    let scores = score(&reranker(Behaviour::Overlap, 100), 5, LONG).await.expect("scored");
    assert_eq!(scores, [Some(2.0 / 3.0), Some(2.0 / 3.0), Some(2.0 / 3.0), Some(1.0), Some(2.0 / 3.0)]);
}

#[tokio::test]
async fn documents_are_scored_best_hit_first() {
    let scores = score(&reranker(Behaviour::Reverse, 100), 40, LONG).await.expect("scored");
    assert!(scores.iter().enumerate().all(|(place, score)| *score == Some(place as f32 + 1.0)), "{scores:?}");
}

#[tokio::test]
async fn a_model_that_misbehaves_costs_the_search_nothing_but_its_order() {
    for behaviour in [Behaviour::Panic, Behaviour::Nan, Behaviour::WrongCount, Behaviour::Broken] {
        let model = reranker(behaviour, 100);
        for _ in 0..2 {
            assert_eq!(score(&model, 3, LONG).await, Err(Reason::ModelError), "{behaviour:?}");
        }
    }
}

#[tokio::test]
async fn case_1_and_2_the_search_is_answered_at_its_deadline() {
    for behaviour in [Behaviour::Hang, Behaviour::FixedCost(Duration::from_secs(5))] {
        let model = reranker(behaviour, 100);
        let started = Instant::now();
        assert_eq!(score(&model, 3, Duration::from_millis(50)).await, Err(Reason::Timeout), "{behaviour:?}");
        assert!(started.elapsed() < Duration::from_secs(2), "{behaviour:?}");
    }
}

#[tokio::test]
async fn work_for_a_search_that_was_answered_stops() {
    let model = reranker(Behaviour::FixedCost(Duration::from_millis(20)), 1000);
    let started = Instant::now();
    assert_eq!(score(&model, 500, Duration::from_secs(2)).await, Err(Reason::Overloaded));
    assert!(started.elapsed() < Duration::from_secs(1), "it is told as soon as one document has shown that all are too many");
    assert!(score(&model, 2, Duration::from_secs(5)).await.is_ok(), "500 documents would take 10 s");
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    assert_eq!(score(&reranker(Behaviour::Overlap, 4), 5, LONG).await, Err(Reason::QueueFull));
}

#[tokio::test]
async fn the_unit_is_the_distance_of_matched_from_unmatched_pairs() {
    let texts = ["red shoe", "history of shipping"];
    let pairs = || Pairs { queries: texts.map(conformance::query).into(), documents: texts.map(conformance::document).into() };
    let settings = Settings { measure_unit: true, ..settings(9, 0) };
    let unit = |behaviour| Reranker::start(Fake(behaviour).loaded(), &settings, &pairs()).expect("a thread").unit();
    assert_eq!(unit(Behaviour::Overlap), Some(1.0));
    assert_eq!(unit(Behaviour::Identity), None, "it cannot tell them apart");
    assert_eq!(unit(Behaviour::Panic), None);
}

fn loaded(family: &dyn Family) -> Loaded {
    let options = LoadOptions::new(Arc::new(MapStore::default()));
    family.load(&Source::Endpoints(Endpoints::default()), &options, &Silent).expect("fakes load")
}

/// Ten times as much as the model can do, for two seconds, on real threads.
#[tokio::test(flavor = "multi_thread")]
async fn under_a_flood_the_model_is_busy_with_what_will_be_in_time() {
    let scripted = Scripted::default();
    scripted.0.costs(Duration::from_millis(2), Duration::from_millis(1));
    let pairs = Pairs { queries: Vec::new(), documents: Vec::new() };
    let reranker = Arc::new(Reranker::start(loaded(&scripted), &settings(1000, 0), &pairs).expect("a thread"));
    let mut searches = Vec::new();
    let begun = Instant::now();
    // About 45 searches of 20 documents can be done in a second.
    for turn in 0..900 {
        tokio::time::sleep_until((begun + Duration::from_micros(2222) * turn).into()).await;
        let reranker = Arc::clone(&reranker);
        searches.push(tokio::spawn(async move {
            let started = Instant::now();
            let documents = (0..20).map(|number| conformance::document(&format!("red shoe {turn} {number}"))).collect();
            let ask = Ask::all(conformance::query(&format!("shoe {turn}")), documents, Deadline::after(Duration::from_millis(200)));
            (reranker.score(ask).await.map(|scores| scores.asked), started.elapsed())
        }));
    }
    let (mut served, mut late, mut shed, mut slowest) = (0, 0, 0, Duration::ZERO);
    for search in searches {
        let (ended, took) = search.await.expect("no panic");
        slowest = slowest.max(took);
        match ended {
            Ok(_) => served += 1,
            Err(Reason::Timeout) => late += 1,
            Err(reason) => {
                assert_eq!(reason, Reason::Overloaded);
                shed += 1;
            }
        }
    }
    println!("{served} served, {late} late, {shed} shed, the slowest after {slowest:?}; {} pairs scored", scripted.0.scored());
    assert!(served >= 20 && late <= served, "{served} served, {late} late, {shed} shed");
}

/// A worker that scores nothing before the other does.
struct Meeting {
    scorer: Box<dyn Scorer>,
    other: Option<Arc<Barrier>>,
}

impl Scorer for Meeting {
    fn begin(&mut self, queries: &[&PreparedQuery], stop: &Stop) -> Vec<Result<StateId, Fault>> {
        self.scorer.begin(queries, stop)
    }

    fn end(&mut self, state: StateId) {
        self.scorer.end(state);
    }

    fn score(&mut self, batch: &[Pair<'_>]) -> Vec<Result<Score, Fault>> {
        if let Some(other) = self.other.take() {
            other.wait();
        }
        self.scorer.score(batch)
    }

    fn encode(&mut self, batch: &[&Prepared], stop: &Stop) -> Option<Vec<Result<Vector, Fault>>> {
        self.scorer.encode(batch, stop)
    }

    fn reset(&mut self) -> Result<(), Fault> {
        self.scorer.reset()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_devices_work_at_the_same_time() {
    let barrier = Arc::new(Barrier::new(2));
    let copy = || {
        let Loaded::Local { preparer, mut workers } = Fake(Behaviour::Overlap).loaded() else { panic!("fakes are local") };
        (preparer, Meeting { scorer: workers.remove(0), other: Some(Arc::clone(&barrier)) })
    };
    let ((preparer, one), (_, other)) = (copy(), copy());
    let loaded = Loaded::Local { preparer, workers: vec![Box::new(one), Box::new(other)] };
    let pairs = Pairs { queries: Vec::new(), documents: Vec::new() };
    let model = Reranker::start(loaded, &settings(1000, 0), &pairs).expect("threads");
    // With one at a time, neither would ever be scored.
    let searches = tokio::join!(score(&model, 20, LONG), score(&model, 20, LONG));
    for scores in [searches.0, searches.1] {
        let scores = scores.expect("scored");
        assert!(scores.iter().enumerate().all(|(place, score)| *score == Some(if place == 3 { 1.0 } else { 2.0 / 3.0 })), "{scores:?}");
    }
}

/// A model elsewhere that answers once, and never again.
struct OnceOnly {
    card: Card,
    calls: AtomicUsize,
}

impl RemoteScorer for OnceOnly {
    fn card(&self) -> &Card {
        &self.card
    }

    fn score<'a>(&'a self, _: &'a Query, documents: &'a [Document], _: Deadline) -> BoxFuture<'a, Vec<Result<Score, Fault>>> {
        let score = || Score::new(1.0, Scale::Logit).map_err(Fault::from);
        Box::pin(async move {
            if self.calls.fetch_add(1, Ordering::Relaxed) > 0 {
                future::pending::<()>().await;
            }
            documents.iter().map(|_| score()).collect()
        })
    }
}

#[tokio::test]
async fn cached_scores_serve_a_search_whose_remote_model_is_late() {
    let scorer = OnceOnly { card: Card::new("far", Fingerprint([1; 32]), Scale::Logit, 100), calls: AtomicUsize::new(0) };
    let pairs = Pairs { queries: Vec::new(), documents: Vec::new() };
    let model = Reranker::start(Loaded::Remote(Arc::new(scorer)), &settings(100, 1 << 20), &pairs).expect("a thread");
    assert!(score(&model, 8, LONG).await.is_ok());
    let (query, documents) = search(10);
    let late = Ask::all(query, documents, Deadline::after(Duration::from_millis(50)));
    assert_eq!(model.score(late.clone()).await, Err(Reason::Timeout));
    let deadline = Deadline::after(Duration::from_millis(50));
    let partial = model.score(Ask { partial: true, least: 2, deadline, ..late }).await.expect("what is cached");
    assert_eq!((partial.asked, partial.cached, partial.late), (10, 8, Some(Reason::Timeout)));
}
