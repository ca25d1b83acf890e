//! The whole gateway as `podium serve` puts it together, with models that need no weights.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use podium::{
    app::{self, App},
    config::{Environment, FAKE_KINDS, KINDS, Kind, parse},
    models::Surroundings,
};
use rerank_plugin::{Family, Silent};

use super::{
    fake_engine::FakeEngine,
    fake_models::{self, Observed},
    http::{Call, Reply},
    log, soon,
};

/// A whole window turned round, as fast as can be.
pub(crate) const REVERSE: &str = r#"
[models.m]
kind = "fake-reverse"
[[rules]]
index = ["products"]
model = "m"
fields = ["title"]
window = 50
timeout = "30s"
total-timeout = "60s"
"#;

/// A running gateway in front of an engine.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// The kind `test-observed` tells here what it does.
    pub(crate) observed: Observed,
}

/// Starts a gateway with these models and rules, and waits until the models are there.
pub(crate) async fn start(engine: &FakeEngine, models_and_rules: &str) -> Gateway {
    let gateway = start_at_once(engine, models_and_rules).await;
    gateway.loaded().await;
    gateway
}

/// Starts a gateway with these models and rules.
pub(crate) async fn start_at_once(engine: &FakeEngine, models_and_rules: &str) -> Gateway {
    let observed = Observed::default();
    let families = fake_models::families(&observed);
    Gateway { observed, ..start_with(engine, models_and_rules, families).await }
}

/// Starts a gateway that loads models of these families.
pub(crate) async fn start_with(engine: &FakeEngine, models_and_rules: &str, families: Vec<Box<dyn Family>>) -> Gateway {
    log::search();
    start_before(engine.node.address, models_and_rules, families).await
}

/// Starts a gateway in front of whatever engine listens there. No scores are kept unless the test says so: most tests ask one model the
/// same again and again, and want its answer each time.
pub(crate) async fn start_before(node: SocketAddr, models_and_rules: &str, families: Vec<Box<dyn Family>>) -> Gateway {
    let (scores, models_and_rules) = match models_and_rules.contains("scores = ") {
        true => ("", models_and_rules.to_owned()),
        false if models_and_rules.contains("[cache]") => ("", models_and_rules.replace("[cache]", "[cache]\nscores = 0")),
        false => ("cache.scores = 0", models_and_rules.to_owned()),
    };
    let text = format!(
        "{scores}\nlistener.address = '127.0.0.1:0'\nadmin.address = '127.0.0.1:0'\nupstream.nodes = ['http://{node}']\n{models_and_rules}"
    );
    let more = fake_models::MORE_KINDS.map(|name| Kind { name, loads: false, chunks: false });
    let config = parse(Path::new("test.toml"), &text, &[KINDS, FAKE_KINDS, &more].concat()).unwrap_or_else(|problems| panic!("{problems}"));
    let usual = app::surroundings(&config, Environment::default(), Arc::new(Silent));
    let app = App::bind(config, Surroundings { families: families.into(), ..usual }).await.unwrap();
    let gateway = Gateway { address: app.address().unwrap(), admin: app.admin_address().unwrap(), observed: Observed::default() };
    tokio::spawn(app.serve(std::future::pending()));
    gateway
}

// === impl Gateway ===

impl Gateway {
    /// Waits until the models are there.
    pub(crate) async fn loaded(&self) {
        soon(async {
            while !self.missing_models().await.is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Returns what the readiness probe says is missing, empty when nothing is.
    pub(crate) async fn missing_models(&self) -> String {
        let reply = Call::get("/ready").send(self.admin).await;
        if reply.status == 200 { String::new() } else { reply.text() }
    }

    /// Sends a search of `/products`.
    pub(crate) async fn search(&self, body: &str) -> Reply {
        Call::search(body).send(self.address).await
    }
}
