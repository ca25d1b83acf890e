//! The page of metrics as Prometheus reads it.
//!
//! The recorder is the program's, and so is shared by all tests: who counts takes a number of a rule, or a name of a model, that no other
//! test has.

use std::collections::{BTreeMap, BTreeSet};

use super::{app::Gateway, http::Call};

/// The page of metrics: each series, as it is written, and its value.
pub(crate) struct Page {
    pub(crate) text: String,
    pub(crate) series: BTreeMap<String, f64>,
}

impl Page {
    /// Reads the page of a gateway.
    pub(crate) async fn of(gateway: &Gateway) -> Self {
        let reply = Call::get("/metrics").send(gateway.admin).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, "text/plain; version=0.0.4; charset=utf-8"));
        let text = reply.text();
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let series = lines.map(|line| line.rsplit_once(' ').unwrap()).map(|(name, value)| (name.to_owned(), value.parse().unwrap()));
        Self { series: series.collect(), text }
    }

    /// The value of a series, 0 where there is none.
    pub(crate) fn value(&self, series: &str) -> f64 {
        self.series.get(series).copied().unwrap_or_default()
    }

    /// What of a rule's searches became this.
    pub(crate) fn searches(&self, rule: usize, outcome: &str, reason: &str) -> f64 {
        self.value(&format!(r#"podium_searches_total{{rule="{rule}",outcome="{outcome}",reason="{reason}"}}"#))
    }

    /// How many searches of a rule went through each stage: plan, upstream, rerank, total.
    pub(crate) fn stages(&self, rule: usize) -> [f64; 4] {
        ["plan", "upstream", "rerank", "total"]
            .map(|stage| self.value(&format!(r#"podium_search_seconds_count{{rule="{rule}",stage="{stage}"}}"#)))
    }

    /// The value of a series that has the rule's label alone.
    pub(crate) fn of_rule(&self, name: &str, rule: usize) -> f64 {
        self.value(&format!(r#"{name}{{rule="{rule}"}}"#))
    }

    /// The names of all metrics on the page.
    pub(crate) fn names(&self) -> BTreeSet<&str> {
        let typed = self.text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        typed.map(|line| line.split(' ').next().unwrap()).collect()
    }
}

/// Models and rules, of which the one for `products` has this number.
pub(crate) fn numbered(number: usize, models_and_rules: &str) -> String {
    let others = (0..number).map(|other| format!("[[rules]]\nindex = [\"other{other}\"]\nmodel = \"m\"\nfields = [\"title\"]\n"));
    models_and_rules
        .replace("[[rules]]\nindex = [\"products\"]", &format!("{}[[rules]]\nindex = [\"products\"]", others.collect::<String>()))
}
