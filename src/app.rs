//! The composition root: builds every part from the configuration and joins them. Read this first.
//!
//! ```text
//! client ─► listener ─► catch-panic ─► intercept ─► upstream ─► cluster
//!                                         └─► rerank ─► inference ─► plugins
//! ```
//!
//! **Invariant:** only this module sees everything, and nothing but the command line imports it.

use std::{
    any::Any,
    future::{self, Future},
    io,
    net::SocketAddr,
    sync::Arc,
};

use http_body_util::BodyExt;
use metrics::{counter, gauge};
use rerank_plugin::Progress;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tower::ServiceBuilder;
use tower_http::{catch_panic::CatchPanicLayer, map_response_body::MapResponseBodyLayer};
use tracing::info;

use crate::{
    admin::{self, Admin, RerankApi},
    cached::{Cached, Caches},
    config::{Config, Environment, Secret, SecretError},
    inference::ScoreCache,
    intercept::{Gateway, Intercept},
    listener,
    models::{self, Downloads, Registry, State, Store, Surroundings, Vectors},
    respond,
    telemetry::{self, MetricsPage, names},
    upstream::{Upstream, UpstreamSetup},
};

/// A gateway whose ports are open; [`App::serve`] answers on them.
pub struct App {
    config: Config,
    clients: TcpListener,
    operators: TcpListener,
    upstream: Upstream,
    registry: Arc<Registry>,
    gateway: Arc<Gateway>,
    rerank: RerankApi,
    caches: Caches,
}

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port could not be opened.
    #[error("{key} = \"{address}\": {source}; choose another address, or stop the program that listens there")]
    Bind {
        /// The configuration's key.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The admin port's token is not where the configuration says.
    #[error("admin.token: {0}")]
    Token(SecretError),
    /// The connection to the cluster could not be set up.
    #[error(transparent)]
    Upstream(#[from] UpstreamSetup),
    /// The system has no thread to give.
    #[error("no thread for loading a model: {0}")]
    Thread(io::Error),
}

/// Returns what loading the models of this build needs.
pub fn surroundings(config: &Config, environment: Environment, progress: Arc<dyn Progress>) -> Surroundings {
    telemetry::record();
    let vectors = Vectors::open_or_log(config.cache.vectors_file.as_deref());
    // Vectors of another process are found by its digests.
    let digester = vectors.digester().cloned().unwrap_or_default();
    Surroundings {
        families: models::families().into(),
        environment: Arc::new(environment),
        store: Store::new(config.cache.vectors),
        vectors,
        scores: ScoreCache::new(config.cache.scores, digester.clone()),
        digester,
        progress,
        downloads: Downloads::default(),
    }
}

// === impl App ===

impl App {
    /// Opens the ports, then starts to load the models; a cluster that is down or a model that is missing stops nothing.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn bind(config: Config, surroundings: Surroundings) -> Result<Self, StartError> {
        telemetry::record();
        let token = config.admin.token.as_ref().map(Secret::reveal).transpose().map_err(StartError::Token)?;
        let clients = bind("listener.address", config.listener.address).await?;
        let operators = bind("admin.address", config.admin.address).await?;
        let upstream = Upstream::new(&config.upstream)?;
        let registry = Arc::new(Registry::start(&config, &surroundings).map_err(StartError::Thread)?);
        let digester = surroundings.digester;
        let cap = config.limits.max_inspected_body;
        let gateway = Arc::new(Gateway::new(&config, Arc::clone(&registry), digester.clone()));
        let rerank = RerankApi::new(Arc::clone(&registry), digester, (cap, gateway.memory()), token.as_deref());
        let of_models: [(_, Box<dyn Cached>); 2] =
            [(names::CACHE_SCORES, Box::new(surroundings.scores)), (names::CACHE_VECTORS, Box::new(surroundings.store))];
        let caches = Caches::new(of_models.into_iter().chain(gateway.caches()).collect());
        Ok(Self { config, clients, operators, upstream, registry, gateway, rerank, caches })
    }

    /// Where clients connect.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.clients.local_addr()
    }

    /// Where operators connect.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn admin_address(&self) -> io::Result<SocketAddr> {
        self.operators.local_addr()
    }

    /// The models, and where each stands.
    pub fn models(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Answers until `shutdown`, then drains.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send + 'static) {
        let Self { config, clients, operators, upstream, registry, gateway, rerank, caches } = self;
        let (drain, draining) = watch::channel(false);
        let mut beside = JoinSet::new();
        beside.spawn(async move {
            shutdown.await;
            info!("draining");
            drain.send_replace(true);
        });
        let probes = upstream.clone();
        beside.spawn(async move { match probes.run_probes().await {} });
        beside.spawn(async { match telemetry::upkeep().await {} });
        let metrics = metrics(Arc::clone(&registry), Arc::clone(&gateway), caches.clone());
        let pages = Admin::new(missing(registry, draining.clone()), rerank, metrics, caches);
        let admin = config.admin.clone();
        // Operators are answered to the end: this task is given up when the listener has drained.
        beside.spawn(async move { admin::serve(operators, &admin, pages, future::pending()).await });

        let service = ServiceBuilder::new()
            // The layer below boxes bodies in a type of its own.
            .layer(MapResponseBodyLayer::new(BodyExt::boxed_unsync))
            // A bug in our own code answers that one request with a 500 of ours, and leaves the others alone.
            .layer(CatchPanicLayer::custom(|_: Box<dyn Any + Send>| {
                counter!(names::PANICS).increment(1);
                respond::internal()
            }))
            .service(Intercept::new(upstream, gateway));
        listener::serve(clients, &config.listener, service, drained(draining)).await;
    }
}

async fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Bind { key, address, source })
}

async fn drained(mut draining: watch::Receiver<bool>) {
    // A sender that is gone means that the gateway is going down as well.
    let _ = draining.wait_for(|draining| *draining).await;
}

/// Returns the question what is missing before the gateway does its whole job.
fn missing(registry: Arc<Registry>, draining: watch::Receiver<bool>) -> admin::Readiness {
    Arc::new(move || {
        let models = registry.states().filter_map(|(name, state)| match state {
            // One that waits for its first search keeps nobody waiting.
            State::Ready(_) | State::Idle => None,
            State::Broken(_) => Some(format!("model {name} broke and is loaded anew")),
            State::Loading => Some(format!("model {name} is loading")),
            State::Unavailable(reason) => Some(format!("model {name} is unavailable: {reason}")),
        });
        models.chain(draining.borrow().then(|| "draining".to_owned())).collect()
    })
}

/// Returns the page of metrics, on which what has a size now is measured when somebody looks.
fn metrics(registry: Arc<Registry>, gateway: Arc<Gateway>, caches: Caches) -> MetricsPage {
    MetricsPage::new(move || {
        for (name, state) in registry.states() {
            // One that waits for its first search is as it should be.
            let ready = matches!(state, State::Ready(_) | State::Idle);
            gauge!(names::MODEL_READY, names::MODEL => name.to_owned()).set(f64::from(u8::from(ready)));
            let (pairs, tokens) = if let State::Ready(reranker) = state { reranker.waiting() } else { (0, 0) };
            gauge!(names::QUEUE_PAIRS, names::MODEL => name.to_owned()).set(pairs as f64);
            gauge!(names::QUEUE_TOKENS, names::MODEL => name.to_owned()).set(tokens as f64);
        }
        let (searches, bytes) = gateway.under_way();
        gauge!(names::SEARCHES_UNDER_WAY).set(searches as f64);
        gauge!(names::INSPECTED_BYTES).set(bytes as f64);
        caches.measure();
    })
}
