//! The page of metrics that Prometheus reads, and the recorder behind it, of which a program has one.

use std::{
    convert::Infallible,
    sync::{Arc, OnceLock},
    time::Duration,
};

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::{task, time};

use super::names::{self, Kind};

/// How often observations are counted into their buckets when nobody looks at the page: what waits for it takes memory.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// What stands before and behind each metric on the page.
const BETWEEN: &str = "\n\n";

/// The page, and what is measured only when somebody looks at it.
#[derive(Clone)]
pub struct MetricsPage {
    look: Arc<dyn Fn() + Send + Sync>,
}

/// Begins to record; once is enough, and more does no harm.
///
/// **Invariant:** it comes before the first metric is registered, since a handle that is made earlier counts for nobody.
pub fn record() {
    recorder();
}

/// Keeps what was observed small. Never returns: give it a task of its own.
pub async fn upkeep() -> Infallible {
    let mut ticks = time::interval(UPKEEP_EVERY);
    ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // A panic of the exporter is its own; the next round tries again.
        let _ = task::spawn_blocking(|| recorder().run_upkeep()).await;
    }
}

fn recorder() -> &'static PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(install)
}

fn install() -> PrometheusHandle {
    let bounds = names::ALL.iter().filter_map(|metric| match metric.kind {
        Kind::Histogram(bounds) => Some((metric.name, bounds)),
        Kind::Counter | Kind::Gauge => None,
    });
    let builder = bounds.fold(PrometheusBuilder::new(), |builder, (name, bounds)| {
        builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), bounds).expect("a histogram of ours has bounds")
    });
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    // Where a program that holds Podium records already, its own page shows our metrics, and ours is empty.
    if metrics::set_global_recorder(recorder).is_ok() {
        describe();
        gauge!(names::BUILD_INFO, names::VERSION => env!("CARGO_PKG_VERSION")).set(1.0);
        // Its only other place is the panic: a counter is to be there before it counts.
        counter!(names::PANICS).absolute(0);
    }
    handle
}

fn describe() {
    for metric in names::ALL {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, metric.help),
            Kind::Histogram(_) => describe_histogram!(metric.name, metric.help),
        }
    }
}

/// Returns the page with its metrics in the order of their names, and their series in that of their labels, so that two pages can
/// be compared; the buckets of a histogram keep their own.
fn sorted(page: &str) -> String {
    let mut metrics: Vec<Vec<&str>> = page.split(BETWEEN).filter(|text| !text.is_empty()).map(|text| text.lines().collect()).collect();
    metrics.sort_unstable();
    for lines in &mut metrics {
        let series = lines.iter().position(|line| !line.starts_with('#')).unwrap_or(lines.len());
        if !lines[..series].iter().any(|line| line.ends_with(" histogram")) {
            lines[series..].sort_unstable();
        }
    }
    metrics.iter().flat_map(|lines| lines.iter().flat_map(|line| [*line, "\n"]).chain(["\n"])).collect()
}

// === impl MetricsPage ===

impl MetricsPage {
    /// Returns the page; `look` is called before it is written, to set what need not be known in between.
    pub fn new(look: impl Fn() + Send + Sync + 'static) -> Self {
        Self { look: Arc::new(look) }
    }

    /// Returns the page as Prometheus reads it.
    pub fn text(&self) -> String {
        (self.look)();
        sorted(&recorder().render())
    }
}

#[cfg(test)]
mod tests {
    use super::sorted;

    #[test]
    fn metrics_are_in_the_order_of_their_names_and_series_in_that_of_their_labels() {
        let counter = ["# HELP b x\n# TYPE b counter\n", "b{one=\"1\"} 1\n", "b{one=\"2\"} 0\n"];
        let histogram = "# HELP a x\n# TYPE a histogram\na_bucket{le=\"2\"} 1\na_bucket{le=\"10\"} 2\na_sum 5\na_count 2\n";
        let page = format!("{}{}{}\n{histogram}\n", counter[0], counter[2], counter[1]);
        assert_eq!(sorted(&page), format!("{histogram}\n{}\n", counter.concat()));
    }
}
