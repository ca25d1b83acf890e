//! The engine of `podium demo` beside the real ones, on a runtime of its own.

use std::net::{Ipv4Addr, SocketAddr};

use podium_demo::engine::Engine;
use tempfile::TempDir;
use tokio::{net::TcpListener, runtime::Runtime};

/// One running embedded engine.
pub(crate) struct Embedded {
    pub(crate) address: SocketAddr,
    _engine: Engine,
    _runtime: Runtime,
    _folder: TempDir,
}

// === impl Embedded ===

impl Embedded {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
        let folder = tempfile::tempdir().expect("a folder");
        let started = runtime.block_on(async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
            Engine::start(listener, folder.path()).await
        });
        let engine = started.expect("the embedded engine starts");
        Self { address: engine.address(), _engine: engine, _runtime: runtime, _folder: folder }
    }
}
