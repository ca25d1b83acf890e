//! Measures the searches that have a rule: what became of them, how long their stages took, what they moved.

use std::{
    future::Future,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use tracing::{Instrument, Span, debug, debug_span, info, warn};

use super::names;
use crate::{
    config::Rule,
    rerank::{Outcome, Reason, Reranked},
    respond::Timing,
};

/// What a search spends its time with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// From its head until it is known what to ask the engine.
    Plan,
    /// From asking the engine until its answer, or the head of one that streams through, is there.
    Upstream,
    /// From the engine's answer until the page is ready.
    Rerank,
    /// From its head until its answer goes out.
    Total,
}

/// The searches of all rules.
pub struct Searches(Vec<OfRule>);

/// The searches of one rule. Handles are made once: a search pays for counting, and not for finding what to count.
pub struct OfRule {
    number: usize,
    stages: [Histogram; Stage::ALL.len()],
    window: Histogram,
    upstream_bytes: Counter,
    page_bytes: Counter,
    reranked: Counter,
    /// Of rules that fuse adaptively alone.
    trust: OnceLock<Gauge>,
    partial: Reasons,
    skipped: Reasons,
}

/// A counter for each reason, made when it is first needed, since most never are; and when a line of the log last said so.
struct Reasons([(OnceLock<Counter>, Seldom); Reason::COUNT]);

/// The least time between two lines of the log that say the same of two searches.
const BETWEEN_LINES: Duration = Duration::from_secs(1);

/// Lets a line through once in a while, and counts the others.
struct Seldom(Mutex<Lines>);

/// When the last line was written, and how many were not since.
struct Lines {
    last: Option<Instant>,
    held_back: u64,
}

const SKIPPED: &str = "skipped";
const PARTIAL: &str = "partial";
const RERANKED: &str = "reranked";

// === impl Stage ===

impl Stage {
    const ALL: [Self; 4] = [Self::Plan, Self::Upstream, Self::Rerank, Self::Total];

    fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Upstream => "upstream",
            Self::Rerank => "rerank",
            Self::Total => "total",
        }
    }

    /// Returns a span, which costs nothing where nobody looks.
    fn span(self) -> Span {
        match self {
            Self::Plan => debug_span!("plan"),
            Self::Upstream => debug_span!("upstream"),
            Self::Rerank => debug_span!("rerank"),
            Self::Total => debug_span!("search"),
        }
    }
}

// === impl Searches ===

impl Searches {
    /// Registers what is measured of these rules.
    pub fn new(rules: &[Arc<Rule>]) -> Self {
        Self(rules.iter().map(|rule| OfRule::new(rule)).collect())
    }

    /// Returns what is measured of a rule's searches.
    pub fn of(&self, rule: &Rule) -> &OfRule {
        &self.0[rule.number]
    }
}

// === impl OfRule ===

impl OfRule {
    fn new(rule: &Rule) -> Self {
        let label = rule.number.to_string();
        let patterns = rule.index.iter().map(String::clone).chain(rule.not_index.iter().map(|pattern| format!("-{pattern}")));
        let index = patterns.collect::<Vec<_>>().join(",");
        gauge!(names::RULE_INFO, names::RULE => label.clone(), names::INDEX => index, names::MODEL => rule.model.to_string()).set(1.0);
        let of_rule = |name: &'static str| counter!(name, names::RULE => label.clone());
        Self {
            number: rule.number,
            stages: Stage::ALL.map(|stage| histogram!(names::SEARCH_SECONDS, names::RULE => label.clone(), names::STAGE => stage.as_str())),
            window: histogram!(names::WINDOW_HITS, names::RULE => label.clone()),
            upstream_bytes: of_rule(names::UPSTREAM_BYTES),
            page_bytes: of_rule(names::PAGE_BYTES),
            reranked: counter!(names::SEARCHES, names::RULE => label.clone(), names::OUTCOME => RERANKED, names::REASON => ""),
            trust: OnceLock::new(),
            partial: Reasons::default(),
            skipped: Reasons::default(),
        }
    }

    /// Does one stage of a search, in a span of its own.
    pub async fn stage<F: Future>(&self, stage: Stage, work: F) -> F::Output {
        let started = Instant::now();
        let done = work.instrument(stage.span()).await;
        self.took(stage, started.elapsed());
        done
    }

    /// Plans a search that began then, in a span of its own.
    pub fn plan<T>(&self, started: Instant, work: impl FnOnce() -> T) -> T {
        let done = Stage::Plan.span().in_scope(work);
        self.took(Stage::Plan, started.elapsed());
        done
    }

    /// Counts a stage.
    pub fn took(&self, stage: Stage, time: Duration) {
        self.stages[stage as usize].record(time);
    }

    /// Counts what the engine sent, and what became of it.
    pub fn moved(&self, upstream: usize, page: usize) {
        self.upstream_bytes.increment(upstream as u64);
        self.page_bytes.increment(page as u64);
    }

    /// Counts a search, and writes down what became of it: loudly, if seldom, where somebody should know.
    pub fn tell(&self, outcome: &Outcome, total: Duration, timing: Option<Timing>) {
        self.took(Stage::Total, total);
        let rule = self.number;
        match outcome {
            Outcome::Reranked(reranked) => self.count_reranked(reranked),
            Outcome::Skipped(reason) => {
                let (counter, seldom) = self.skipped.of(*reason);
                counter.get_or_init(|| self.register(SKIPPED, *reason)).increment(1);
                say(rule, *reason, seldom);
            }
        }
        let engine_ms = timing.map(|timing| milliseconds(timing.engine));
        let rerank_ms = timing.map(|timing| milliseconds(timing.rerank));
        debug!(rule, %outcome, total_ms = milliseconds(total), engine_ms, rerank_ms, "search answered");
    }

    fn count_reranked(&self, reranked: &Reranked) {
        match reranked.late {
            Some(reason) => self.partial.of(reason).0.get_or_init(|| self.register(PARTIAL, reason)).increment(1),
            None => self.reranked.increment(1),
        }
        self.window.record(reranked.window as f64);
        if let Some(trust) = reranked.trust {
            self.trust.get_or_init(|| gauge!(names::TRUST, names::RULE => self.number.to_string())).set(trust);
        }
    }

    fn register(&self, outcome: &'static str, reason: Reason) -> Counter {
        counter!(names::SEARCHES, names::RULE => self.number.to_string(), names::OUTCOME => outcome, names::REASON => reason.as_str())
    }
}

/// Writes down why a search was not reranked, where somebody should know.
fn say(rule: usize, reason: Reason, seldom: &Seldom) {
    match reason {
        Reason::Internal | Reason::ModelError | Reason::UpstreamAnswer => {
            if let Some(times) = seldom.line(Instant::now()) {
                warn!(rule, %reason, times, "rerank skipped");
            }
        }
        Reason::Timeout | Reason::Overloaded | Reason::QueueFull | Reason::BreakerOpen | Reason::RewriteRejected => {
            if let Some(times) = seldom.line(Instant::now()) {
                info!(rule, %reason, times, "rerank skipped");
            }
        }
        _ => {}
    }
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 100.0
}

// === impl Reasons ===

impl Reasons {
    fn of(&self, reason: Reason) -> &(OnceLock<Counter>, Seldom) {
        &self.0[reason as usize]
    }
}

impl Default for Reasons {
    fn default() -> Self {
        Self([const { (OnceLock::new(), Seldom::new()) }; Reason::COUNT])
    }
}

// === impl Seldom ===

impl Seldom {
    const fn new() -> Self {
        Self(Mutex::new(Lines { last: None, held_back: 0 }))
    }

    /// Returns how many searches a line that is written now speaks for; `None` where it is too early for another.
    fn line(&self, now: Instant) -> Option<u64> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_early = lines.last.is_some_and(|last| now.saturating_duration_since(last) < BETWEEN_LINES);
        let times = lines.held_back + 1;
        *lines = if is_early { Lines { held_back: times, ..*lines } } else { Lines { last: Some(now), held_back: 0 } };
        (!is_early).then_some(times)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        path::Path,
        time::{Duration, Instant},
    };

    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::{Searches, Seldom};
    use crate::{
        config::{self, KINDS},
        rerank::{Outcome, Reason, Reranked},
    };

    #[test]
    fn searches_are_counted_apart_by_outcome_and_reason() {
        let text =
            "upstream.nodes = ['http://a']\nmodels.m.source = './m'\nrules = [{ index = ['a*', '-b'], model = 'm', fields = ['t'] }]\n";
        let config = config::parse(Path::new("podium.toml"), text, KINDS).expect("a right configuration");
        let recorder = PrometheusBuilder::new().build_recorder();
        let page = recorder.handle();
        let whole = Reranked { model: "m".into(), window: 40, scored: 40, cached: 0, trust: Some(0.5), dropped: None, late: None };
        metrics::with_local_recorder(&recorder, || {
            let searches = Searches::new(&config.rules);
            let outcomes = [
                Outcome::Reranked(whole.clone()),
                Outcome::Reranked(Reranked { late: Some(Reason::Timeout), trust: Some(0.7), ..whole }),
                Outcome::Skipped(Reason::Timeout),
                Outcome::Skipped(Reason::Internal),
                Outcome::Skipped(Reason::Timeout),
            ];
            outcomes.iter().for_each(|outcome| searches.of(&config.rules[0]).tell(outcome, Duration::from_millis(3), None));
        });
        let page = page.render();
        for line in [
            "podium_searches_total{rule=\"0\",outcome=\"reranked\",reason=\"\"} 1\n",
            "podium_searches_total{rule=\"0\",outcome=\"partial\",reason=\"timeout\"} 1\n",
            "podium_searches_total{rule=\"0\",outcome=\"skipped\",reason=\"timeout\"} 2\n",
            "podium_searches_total{rule=\"0\",outcome=\"skipped\",reason=\"internal\"} 1\n",
            "podium_window_hits_count{rule=\"0\"} 2\n",
            "podium_search_seconds_count{rule=\"0\",stage=\"total\"} 5\n",
            "podium_trust{rule=\"0\"} 0.7\n",
            "podium_rule_info{rule=\"0\",index=\"a*,-b\",model=\"m\"} 1\n",
        ] {
            assert!(page.contains(line), "{line}{page}");
        }
    }

    #[test]
    fn a_line_that_repeats_is_written_once_a_second_and_says_how_often() {
        let (seldom, start) = (Seldom::new(), Instant::now());
        let lines: Vec<Option<u64>> = [0, 1, 999, 1000, 1001, 5000].map(|ms| seldom.line(start + Duration::from_millis(ms))).into();
        assert_eq!(lines, [Some(1), None, None, Some(3), None, Some(2)]);
    }
}
