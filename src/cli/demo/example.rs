//! The demo's `podium.toml`: what is printed is what runs, and what another cluster needs is the same with other names.

use std::net::SocketAddr;

/// The model that is taken when none is named.
pub(super) const MINILM: &str = "sentence-transformers/all-MiniLM-L6-v2";

/// The header that chooses a rule of the demo, and its values.
pub(super) const BUDGET: &str = "x-demo-budget";
pub(super) const TOO_SHORT: &str = "too-short";
pub(super) const ENDLESS: &str = "endless";

/// What differs from one run to the next.
pub(super) struct Example<'a> {
    pub(super) listener: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) node: &'a str,
    pub(super) index: &'a str,
    pub(super) source: &'a str,
}

// === impl Example ===

impl Example<'_> {
    /// Returns the file's text.
    pub(super) fn text(&self) -> String {
        let Self { listener, admin, node, index, source } = self;
        // JSON's strings are TOML's, too.
        let source = serde_json::Value::from(*source);
        format!(
            r#"[listener]
address = "{listener}"              # where your clients connect instead

[admin]
address = "{admin}"              # /health and /ready

[upstream]
nodes = ["{node}"]       # your cluster

[models.reranker]
source = {source}

[defaults]
model = "reranker"
fields = [                              # what the model reads of a hit
    "title",
    "description",
    {{ name = "category", label = "Category" }},
    {{ name = "colour", label = "Colour" }},
]

[[rules]]                               # only for this demo: no time to rerank
index = ["{index}"]
when = {{ header = {{ {BUDGET} = "{TOO_SHORT}" }} }}
timeout = "1ms"

[[rules]]                               # only for this demo: searches with time
index = ["{index}"]
when = {{ header = {{ {BUDGET} = "{ENDLESS}" }} }}
timeout = "60s"
total-timeout = "120s"

[[rules]]                               # the one rule that you need
index = ["{index}"]
"#
        )
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use super::Example;
    use crate::config::{KINDS, parse};

    #[test]
    fn the_example_is_right_and_its_last_rule_is_as_usual() {
        let example = Example {
            listener: "127.0.0.1:9280".parse().expect("an address"),
            admin: "127.0.0.1:9281".parse().expect("an address"),
            node: "https://search.example:9200/es",
            index: "podium-demo",
            source: "./a \"quoted\" folder",
        };
        let config = parse(Path::new("podium.toml"), &example.text(), KINDS).expect("a configuration");
        let timeouts: Vec<Duration> = config.rules.iter().map(|rule| rule.timeout).collect();
        assert_eq!(timeouts, [Duration::from_millis(1), Duration::from_secs(60), Duration::from_millis(300)]);
        let usual = config.rules.last().expect("three rules");
        assert!(usual.when.header.is_empty() && usual.window == 100);
        assert_eq!(config.models["reranker"].source.as_deref(), Some("./a \"quoted\" folder"));
        assert!(example.text().lines().all(|line| line.chars().count() <= 80), "it fits into 80 columns");
    }
}
