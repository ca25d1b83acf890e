//! Recorded answers, and searches that run nowhere here, through Podium before a stub: the stub knows which page is asked for, and
//! nothing else. What comes is compared as on real engines.

mod recorded;

use std::{net::SocketAddr, sync::Arc};

use crate::{
    comparator::{Answer, Promise, Reranked, compare},
    corpus::{self, Pair, Written, say},
    page::{PageAsked, from_the_first, window_of},
    support::{
        app,
        fake_engine::{FakeEngine, PRODUCTS},
        fake_models::{self, Observed},
        fake_upstream::FakeUpstream,
        http::Call,
    },
};
use recorded::Recorded;

/// How many of the first hits Podium reranks here.
const WINDOW: usize = 20;
/// Replays that run side by side.
const SIDE_BY_SIDE: usize = 4;
/// A URL parameter that may hold any text; the rules for [`Mode::WithText`] read the query text there.
const TEXT: &str = "preference=recorded+words";
const PLAIN: &str = r#"{"query":{"match":{"text":"recorded words"}}"#;
const NO_RULE: &str = "[models.m]\nkind = 'fake-reverse'\n[[rules]]\nindex = ['no-such-index']\nmodel = 'm'\nfields = ['title']\n";

/// With what search an answer is replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// The one that stands before it.
    Own,
    /// The same with a query text, so that it is reranked wherever its form allows.
    WithText,
    /// One that is surely reranked, for the whole answer.
    Plain,
    /// The same for the hits behind the first.
    Later,
}

/// What came of replaying.
#[derive(Clone, Debug, Default)]
struct Tally {
    reranked: usize,
    untouched: usize,
    without_rule: usize,
    bytes: usize,
    failures: Vec<String>,
}

/// A search to replay, and what is known of it.
struct Replay {
    name: String,
    call: Call,
    /// The same from the first hit to the end of the window or of the page.
    wide: Call,
    /// The page that it asks for, where that is plain.
    page: Option<PageAsked>,
}

/// Where an answer comes from.
#[derive(Clone, Copy)]
struct Addresses {
    stub: SocketAddr,
    all: SocketAddr,
    none: SocketAddr,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_pair_is_replayed() {
    let recordings: Arc<Vec<Recorded>> = Arc::new(corpus::pairs().into_iter().map(Recorded::of).collect());
    let known = Arc::clone(&recordings);
    let stub = FakeUpstream::scripted(move |_, seen| recorded::answer(&known, seen)).await;
    let rules: String = recordings.iter().enumerate().map(|(number, own)| rules(number, own)).collect();
    let addresses = Addresses { stub: stub.address, all: gateway(stub.address, &rules).await, none: gateway(stub.address, NO_RULE).await };
    let modes = [Mode::Own, Mode::WithText, Mode::Plain, Mode::Later];
    let tally = side_by_side(recordings.len(), move |number| {
        let recordings = Arc::clone(&recordings);
        async move {
            let mut tally = Tally::default();
            for mode in modes {
                let Some(replay) = replay_of(&recordings[number].pair, number, mode) else { continue };
                let wide =
                    |count: usize| recordings[number].page(replay.page.filter(|_| matches!(mode, Mode::Own | Mode::WithText)), 0, count);
                tally.add(replay.run(addresses, wide).await);
            }
            tally
        }
    })
    .await;
    tally.say("golden: recorded pairs");
    let (pairs, with_search) = (corpus::pairs().len(), corpus::pairs().iter().filter(|pair| pair.search.is_some()).count());
    assert_eq!(tally.failures, [] as [&str; 0]);
    assert_eq!(tally.without_rule, 2 * pairs + 2 * with_search);
    assert!(pairs == 0 || (pairs >= 407 && tally.reranked >= 500 && tally.untouched >= 400), "{tally:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rally_search_is_replayed() {
    let searches = Arc::new(corpus::rally());
    let rule = |query: &str, mode: &str| {
        format!(
            "[[rules]]\nindex = ['*']\nwhen = {{ header = {{ x-mode = '{mode}' }} }}\nmodel = 'm'\nfields = ['title']\nwindow = {WINDOW}\n{LONG}{query}\n"
        )
    };
    let rules = format!("{MODEL}{}{}", rule("", "Own"), rule(IN_URL, "WithText"));
    let mut whole = Tally::default();
    for product in PRODUCTS {
        let engine = FakeEngine::start(product, 60).await;
        let node = engine.node.address;
        let addresses = Addresses { stub: node, all: gateway(node, &rules).await, none: gateway(node, NO_RULE).await };
        let own = Arc::clone(&searches);
        let tally = side_by_side(searches.len(), move |number| {
            let search = own[number].clone();
            async move {
                let mut tally = Tally::default();
                for mode in [Mode::Own, Mode::WithText] {
                    let replay = Replay::of(&search, number, mode);
                    let wide = replay.wide.send(addresses.stub).await.text();
                    tally.add(replay.run(addresses, |_| wide.clone()).await);
                }
                tally
            }
        });
        whole.add(tally.await);
    }
    whole.say("golden: rally searches");
    assert_eq!(whole.failures, [] as [&str; 0]);
    assert_eq!(whole.without_rule, 4 * searches.len());
    assert!(searches.is_empty() || (searches.len() >= 223 && whole.reranked >= 100), "{whole:?}");
}

const MODEL: &str = "[models.m]\nkind = 'fake-reverse'\n";
const IN_URL: &str = "query = { url-param = 'preference' }";
const LONG: &str = "timeout = '30s'\ntotal-timeout = '60s'\n";

/// Starts a gateway before the stub.
pub(crate) async fn gateway(stub: SocketAddr, rules: &str) -> SocketAddr {
    let gateway = app::start_before(stub, rules, fake_models::families(&Observed::default())).await;
    gateway.loaded().await;
    gateway.address
}

/// Returns the rules for one recording: its hits name the fields.
fn rules(number: usize, recorded: &Recorded) -> String {
    let fields: Vec<String> = recorded.text_fields().iter().map(|name| format!("{name:?}")).collect();
    let rule = |query: &str, mode: &str| {
        let when = format!("when = {{ header = {{ x-pair = '{number}'{mode} }} }}");
        let fields = fields.join(", ");
        format!("[[rules]]\nindex = ['*']\n{when}\nmodel = 'm'\nfields = [{fields}]\nwindow = {WINDOW}\n{LONG}{query}\n")
    };
    let model = if number == 0 { MODEL } else { "" };
    format!("{model}{}{}", rule(IN_URL, ", x-mode = 'WithText'"), rule("", ""))
}

fn replay_of(pair: &Pair, number: usize, mode: Mode) -> Option<Replay> {
    let plain = |page: &str| Written {
        name: format!("answer {number}"),
        method: "POST".into(),
        target: "/recorded/_search".into(),
        body: format!("{PLAIN}{page}}}"),
    };
    let replay = |search: &Written| Replay::of(search, number, mode);
    match mode {
        Mode::Own | Mode::WithText => pair.search.as_ref().map(replay),
        Mode::Plain => Some(replay(&plain(r#","size":50"#))),
        Mode::Later => Some(replay(&plain(r#","from":1,"size":3"#))),
    }
}

/// Runs `job` for each number below `count` and adds up what comes of it.
async fn side_by_side<F: Future<Output = Tally> + Send + 'static>(count: usize, job: impl Fn(usize) -> F + Send + Sync + 'static) -> Tally {
    let job = Arc::new(job);
    let workers = (0..SIDE_BY_SIDE).map(|worker| {
        let own = Arc::clone(&job);
        tokio::spawn(async move {
            let mut tally = Tally::default();
            for number in (worker..count).step_by(SIDE_BY_SIDE) {
                tally.add(own(number).await);
            }
            tally
        })
    });
    let workers: Vec<_> = workers.collect();
    let mut whole = Tally::default();
    for worker in workers {
        whole.add(worker.await.unwrap());
    }
    whole
}

// === impl Replay ===

impl Replay {
    fn of(search: &Written, number: usize, mode: Mode) -> Self {
        let mark = if search.target.contains('?') { '&' } else { '?' };
        let target = if mode == Mode::WithText { format!("{}{mark}{TEXT}", search.target) } else { search.target.clone() };
        let page = PageAsked::read(&target, search.body.as_bytes());
        let call_of = |own: &str| {
            let call = if search.body.is_empty() { Call::get(own) } else { Call::post(own, search.body.as_str()) };
            let call = call.by(search.method.parse().unwrap()).with("x-pair", &number.to_string()).with("x-mode", &format!("{mode:?}"));
            if number.is_multiple_of(3) { call.with("accept-encoding", "gzip") } else { call }
        };
        let name = format!("{} ({mode:?})", search.name);
        let end = page.map_or(WINDOW, |page| WINDOW.max(page.from + page.size));
        Self { name, call: call_of(&target), wide: call_of(&from_the_first(&target, end)), page }
    }

    /// Sends the search to the stub, through Podium with rules, and through Podium without.
    async fn run(&self, addresses: Addresses, wide: impl Fn(usize) -> String) -> Tally {
        let answer = async |address| Answer::of(&self.call.send(address).await);
        let (direct, all, none) = (answer(addresses.stub).await, answer(addresses.all).await, answer(addresses.none).await);
        let mut tally = Tally { without_rule: 1, bytes: direct.body.len() + all.body.len() + none.body.len(), ..Tally::default() };
        let status = all.header("rerank-status");
        let wide_text;
        let promise = match (self.page, window_of(status)) {
            (Some(page), Some(window)) => {
                tally.reranked = 1;
                wide_text = wide(WINDOW.max(page.from + page.size));
                Promise::Reranked(Reranked { wide: &wide_text, from: page.from, window, order: None })
            }
            _ => {
                tally.untouched = 1;
                Promise::Untouched
            }
        };
        let mut tell = |what: &str, found: Vec<crate::difference::Difference>| {
            if !found.is_empty() {
                tally.failures.push(format!("{}: {what}: {status}: {found:?}", self.name));
            }
        };
        tell("with a rule", compare(&direct, &all, &promise));
        tell("without a rule", compare(&direct, &none, &Promise::Untouched));
        // Only lines say which indices a multi search is for.
        const WITHOUT_RULE: [&str; 4] = ["", "skipped; reason=no-rule", "skipped; reason=mixed-rules", "skipped; reason=not-json"];
        if !WITHOUT_RULE.contains(&none.header("rerank-status")) {
            tally.failures.push(format!("{}: without a rule: {}", self.name, none.header("rerank-status")));
        }
        tally
    }
}

// === impl Tally ===

impl Tally {
    fn add(&mut self, other: Self) {
        self.reranked += other.reranked;
        self.untouched += other.untouched;
        self.without_rule += other.without_rule;
        self.bytes += other.bytes;
        self.failures.extend(other.failures);
    }

    fn say(&self, what: &str) {
        let Self { reranked, untouched, without_rule, bytes, failures } = self;
        say(&format!(
            "{what}: {reranked} reranked and {untouched} untouched under rules, {without_rule} without a rule; {bytes} bytes; {} differ",
            failures.len()
        ));
    }
}
