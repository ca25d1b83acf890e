//! The whole gateway in this process, for models of the benchmark's own; dropping it ends it.

use std::{io, net::SocketAddr, path::Path, sync::Arc, thread, time::Duration};

use podium::{
    app::{self, App},
    config::{Environment, KINDS, Kind, parse},
    models::Surroundings,
};
use rerank_plugin::{Family, Silent};
use tokio::{runtime, sync::oneshot};

use super::podium::wait_until_ready;

/// One running gateway.
pub struct Gateway {
    /// Where clients connect.
    pub address: SocketAddr,
    /// Where operators connect.
    pub admin: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    running: Option<thread::JoinHandle<()>>,
}

// === impl Gateway ===

impl Gateway {
    /// Starts it in front of `upstream` with these models and rules (TOML), and returns once every model is there.
    ///
    /// # Errors
    /// The configuration is wrong, it does not start, or is not ready in a minute.
    pub fn start(upstream: SocketAddr, models_and_rules: &str, families: Vec<Box<dyn Family>>) -> io::Result<Self> {
        let text = format!(
            "listener = {{ address = '127.0.0.1:0', drain-timeout = '1s' }}\nadmin.address = '127.0.0.1:0'\nupstream.nodes = ['http://{upstream}']\n{models_and_rules}"
        );
        let own: Vec<Kind> = families.iter().map(|family| Kind { name: family.kind(), loads: false, chunks: false }).collect();
        let config = parse(Path::new("benchmark.toml"), &text, &[KINDS, &own].concat()).map_err(io::Error::other)?;
        let usual = app::surroundings(&config, Environment::read(), Arc::new(Silent));
        let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
        let bound = App::bind(config, Surroundings { families: families.into(), ..usual });
        let app = runtime.block_on(bound).map_err(io::Error::other)?;
        let (address, admin) = (app.address()?, app.admin_address()?);
        let (stop, stopped) = oneshot::channel::<()>();
        let running = thread::Builder::new().name("gateway".to_owned()).spawn(move || {
            runtime.block_on(app.serve(async move { drop(stopped.await) }));
            // A model that hangs must not keep the benchmark from ending.
            runtime.shutdown_timeout(Duration::from_secs(1));
        })?;
        wait_until_ready(admin)?;
        Ok(Self { address, admin, stop: Some(stop), running: Some(running) })
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(running) = self.running.take() {
            // A panic of the gateway has been printed.
            drop(running.join());
        }
    }
}
