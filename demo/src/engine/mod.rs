//! A small search engine that speaks a documented subset of the Elasticsearch API; what it does not know, it refuses by name.

mod analysis;
mod answer;
mod bulk;
mod catalog;
mod dates;
mod documents;
mod error;
mod fields;
mod highlight;
mod index;
mod indices;
mod mapping;
mod media;
mod multi_search;
mod names;
mod parameters;
mod porter;
mod query;
mod rank;
mod root;
mod routes;
mod schema;
mod search;
mod server;
mod settings;
mod sort;
mod source_filter;
mod store;
mod values;

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::serve::ListenerExt;
use tokio::{
    net::TcpListener,
    runtime::Handle,
    sync::watch,
    task::{self, JoinHandle},
    time::{MissedTickBehavior, interval, timeout},
};

use self::{catalog::Catalog, error::ApiError};

/// How often what was written becomes visible by itself, as in the engines.
const REFRESH_EVERY: Duration = Duration::from_secs(1);
/// How long open requests may take when the engine stops.
const DRAIN: Duration = Duration::from_secs(10);

/// A running engine; dropping it ends its tasks. Its files stay in the folder it was given.
pub struct Engine {
    address: SocketAddr,
    catalog: Arc<Catalog>,
    /// Ends the server when it is dropped: no connection is accepted, and each ends with the request that it is at.
    running: Option<watch::Sender<()>>,
    runtime: Handle,
    server: JoinHandle<io::Result<()>>,
    refresher: JoinHandle<()>,
}

/// Why an engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Anybody can write to it, so that it may not be reached from elsewhere.
    #[error("the engine answers on a loopback address only, not on {0}")]
    NotLoopback(SocketAddr),
    /// The listener has no address.
    #[error("the listener has no address")]
    Address(#[source] io::Error),
    /// The folder cannot be made or read.
    #[error("the folder {folder} cannot be used")]
    Folder {
        /// Which one.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another engine is at work there.
    #[error("the folder {0} is used by another engine")]
    InUse(PathBuf),
    /// An index cannot be opened.
    #[error("the index in {folder} cannot be opened")]
    Index {
        /// Where it lies.
        folder: PathBuf,
        /// Why.
        source: ApiError,
    },
}

// === impl Engine ===

impl Engine {
    /// Opens the indices in `folder`, which is made when it is missing, and serves them on a loopback address.
    pub async fn start(listener: TcpListener, folder: &Path) -> Result<Self, StartError> {
        let address = listener.local_addr().map_err(StartError::Address)?;
        if !address.ip().is_loopback() {
            return Err(StartError::NotLoopback(address));
        }
        let path = folder.to_owned();
        let opened = task::spawn_blocking(move || Catalog::open(&path)).await;
        let catalog = Arc::new(opened.map_err(|panicked| StartError::Folder { folder: folder.to_owned(), source: panicked.into() })??);
        let (running, mut stopping) = watch::channel(());
        let listener = listener.tap_io(|stream| {
            // Answers are small: waiting for more to send would only be slow. Without it they come all the same.
            let _ = stream.set_nodelay(true);
        });
        let served = axum::serve(listener, server::router(Arc::clone(&catalog), stopping.clone())).with_graceful_shutdown(async move {
            // Nothing is ever sent: it fails when the engine lets go of the other end.
            let _ = stopping.changed().await;
        });
        let server = tokio::spawn(async move { served.await });
        let refresher = tokio::spawn(refresh(Arc::clone(&catalog)));
        Ok(Self { address, catalog, running: Some(running), runtime: Handle::current(), server, refresher })
    }

    /// Returns where it is reached.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers what has been asked, takes nothing more, and returns when all is on disk.
    pub async fn stop(mut self) {
        drop(self.running.take());
        if timeout(DRAIN, &mut self.server).await.is_err() {
            tracing::warn!("requests are still open, they are left behind");
        }
        let catalog = Arc::clone(&self.catalog);
        if task::spawn_blocking(move || catalog.close()).await.is_err() {
            tracing::warn!("the indices were not closed in order");
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Engine").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.refresher.abort();
        // Connections outlive the server, each with the catalog: what comes through them now is refused, and the folder is free.
        let catalog = Arc::clone(&self.catalog);
        self.runtime.spawn_blocking(move || catalog.close());
    }
}

/// Makes what was written visible, again and again. A refresh only exchanges what is ready: it needs no thread of its own.
async fn refresh(catalog: Arc<Catalog>) {
    let mut ticks = interval(REFRESH_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        catalog.refresh_all();
    }
}
