//! What the tests stand on: a gateway, a fake cluster, fake engines and models, clients.

pub(crate) mod answer;
pub(crate) mod app;
pub(crate) mod client;
pub(crate) mod codings;
pub(crate) mod fake_engine;
pub(crate) mod fake_hits;
pub(crate) mod fake_index;
pub(crate) mod fake_models;
pub(crate) mod fake_routes;
pub(crate) mod fake_upstream;
pub(crate) mod fake_wire;
pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod log;
pub(crate) mod metrics;
#[cfg(feature = "demo")]
pub(crate) mod tiny_model;

use std::{future::Future, time::Duration};

/// Waits for something that comes at once unless the gateway is broken; long, because machines may be busy.
pub(crate) async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("it did not happen in time")
}

/// Waits until a condition holds.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    soon(async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
