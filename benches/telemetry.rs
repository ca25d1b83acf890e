//! What a search pays for being measured: its counters, its stages and the spans that nobody looks at.

use std::{hint::black_box, path::Path, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use http::StatusCode;
use podium::{
    config::{self, KINDS},
    rerank::{Outcome, Reason, Reranked},
    respond::Timing,
    telemetry::{self, MetricsPage, Requests, Searches, Stage, Way},
};
use tokio::runtime;

const CONFIG: &str = "[upstream]\nnodes = ['http://127.0.0.1:9200']\n[models.m]\nsource = './m'\n\
    [[rules]]\nindex = ['shop']\nmodel = 'm'\nfields = ['title', 'text']\n";

/// What the goal is said of: a search in two stages that wait, and one that does not.
fn search(searches: &Searches, rule: &config::Rule, outcome: &Outcome, runtime: &runtime::Runtime) {
    let measured = searches.of(rule);
    let timing = Timing { engine: Duration::from_millis(12), rerank: Duration::from_millis(30) };
    measured.plan(std::time::Instant::now(), || black_box(()));
    runtime.block_on(async {
        measured.stage(Stage::Upstream, async { black_box(()) }).await;
        measured.stage(Stage::Rerank, async { black_box(()) }).await;
    });
    measured.moved(black_box(200_000), black_box(20_000));
    measured.tell(outcome, Duration::from_millis(43), Some(timing));
}

fn measure(criterion: &mut Criterion) {
    telemetry::start(None).expect("nothing else logs");
    telemetry::record();
    let config = config::parse(Path::new("podium.toml"), CONFIG, KINDS).expect("a right configuration");
    let (searches, requests, rule) = (Searches::new(&config.rules), Requests::new(), &config.rules[0]);
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a thread");
    // As in `serve`: what was observed is counted away in the background.
    runtime.spawn(telemetry::upkeep());
    let whole = Reranked { model: "m".into(), window: 100, scored: 100, cached: 100, trust: Some(0.9), dropped: None, late: None };
    let outcomes = [
        ("reranked", Outcome::Reranked(whole.clone())),
        ("partial", Outcome::Reranked(Reranked { late: Some(Reason::Timeout), ..whole })),
        ("skipped", Outcome::Skipped(Reason::Overloaded)),
    ];
    let mut group = criterion.benchmark_group("telemetry");
    for (name, outcome) in &outcomes {
        group.bench_function(*name, |bencher| bencher.iter(|| search(&searches, rule, outcome, &runtime)));
    }
    group.bench_function("a search that is not measured", |bencher| bencher.iter(|| runtime.block_on(async { black_box(()) })));
    group.bench_function("a request that streams through", |bencher| {
        bencher.iter(|| requests.begin(black_box(Way::Passthrough)).answered(black_box(StatusCode::OK)));
    });
    let page = MetricsPage::new(|| ());
    group.bench_function("the page", |bencher| bencher.iter(|| black_box(page.text()).len()));
    group.finish();
}

criterion_group!(benches, measure);
criterion_main!(benches);
