//! Podium in front of the engine: free ports, the example configuration in a file, and the gateway that runs by this file.

use std::{
    fs,
    io::{self, ErrorKind},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time};

use super::{example::Example, steps::Steps};
use crate::{
    app::{self, App, StartError},
    config::{self, Environment, Rule},
    inference::Reranker,
    models::{Downloads, Registry, State, Surroundings},
    rerank::Digester,
};

/// Where Podium listens, if nobody else does.
const CLIENTS: u16 = 9280;
const OPERATORS: u16 = 9281;
/// Ports that are tried after the usual one.
const TRIES: u16 = 200;
/// Starts that another program may spoil by taking a port that was just found free.
const STARTS: usize = 10;
/// How often it is looked whether the model is there.
const LOOK: Duration = Duration::from_millis(50);
/// How long open requests may go on at the end.
const DRAIN: Duration = Duration::from_secs(5);

/// What is known before Podium starts.
pub(super) struct Plan<'a> {
    /// The port that was asked for.
    pub(super) port: Option<u16>,
    pub(super) node: &'a str,
    pub(super) index: &'a str,
    pub(super) source: &'a str,
    pub(super) environment: Environment,
    pub(super) downloads: Downloads,
}

/// A running gateway.
pub(super) struct Front {
    pub(super) address: SocketAddr,
    pub(super) admin: SocketAddr,
    /// The text of its configuration.
    pub(super) example: String,
    /// The rule without conditions.
    pub(super) rule: Arc<Rule>,
    pub(super) digester: Digester,
    registry: Arc<Registry>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

// === impl Front ===

impl Front {
    /// Writes the example into `folder` and starts the gateway that it describes; its model loads from then on.
    pub(super) async fn start(plan: Plan<'_>, folder: &Path, steps: &Arc<Steps>) -> anyhow::Result<Self> {
        for _ in 0..STARTS {
            let listener = match plan.port {
                Some(port) => loopback(port),
                None => bind_free(CLIENTS, &[]).await?.local_addr()?,
            };
            let admin = bind_free(OPERATORS, &[listener.port()]).await?.local_addr()?;
            match Self::start_at(&plan, [listener, admin], folder, steps).await {
                Err(error) if is_taken(&error) => match plan.port {
                    Some(port) if is_bound(listener).await => {
                        bail!("--port {port}: another program listens there; choose another port, or leave --port out")
                    }
                    _ => {}
                },
                started => return started,
            }
        }
        bail!("other programs take every port at the moment that it was found free: try again")
    }

    async fn start_at(plan: &Plan<'_>, [listener, admin]: [SocketAddr; 2], folder: &Path, steps: &Arc<Steps>) -> anyhow::Result<Self> {
        let example = Example { listener, admin, node: plan.node, index: plan.index, source: plan.source }.text();
        let file = folder.join("podium.toml");
        fs::write(&file, &example).with_context(|| format!("{} cannot be written", file.display()))?;
        let config = config::load(&file)?;
        let rule = Arc::clone(config.rules.last().context("the example has rules")?);
        let surroundings = app::surroundings(&config, plan.environment.clone(), Arc::clone(steps) as _);
        let surroundings = Surroundings { downloads: plan.downloads.clone(), ..surroundings };
        let digester = surroundings.digester.clone();
        let app = App::bind(config, surroundings).await?;
        let registry = Arc::clone(app.models());
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(app.serve(async move {
            // A sender that is gone means the end as well.
            let _ = stopped.await;
        }));
        for (usual, taken) in [(CLIENTS, listener), (OPERATORS, admin)] {
            if plan.port.is_none() && usual != taken.port() {
                steps.done(&format!("port {usual} is taken: Podium takes {}", taken.port()));
            }
        }
        Ok(Self { address: listener, admin, example, rule, digester, registry, stop, running })
    }

    /// Waits until the model is loaded.
    ///
    /// # Errors
    /// Why its first load failed.
    pub(super) async fn model(&self) -> anyhow::Result<Arc<Reranker>> {
        loop {
            match self.registry.states().find(|(name, _)| **name == *self.rule.model) {
                Some((_, State::Ready(reranker) | State::Broken(reranker))) => return Ok(reranker),
                Some((_, State::Unavailable(reason))) => bail!("{reason}"),
                Some((_, State::Idle | State::Loading)) => time::sleep(LOOK).await,
                None => bail!("the example names a model that it does not describe"),
            }
        }
    }

    /// Ends the gateway.
    pub(super) async fn stop(self) {
        // A gateway that ended by itself is what is wanted.
        let _ = self.stop.send(());
        let _ = time::timeout(DRAIN, self.running).await;
    }
}

/// Listens on the usual port on loopback, or on the next that is free.
pub(super) async fn bind_free(usual: u16, taken: &[u16]) -> anyhow::Result<TcpListener> {
    let last = usual.saturating_add(TRIES);
    for port in (usual..=last).filter(|port| !taken.contains(port)) {
        match TcpListener::bind(loopback(port)).await {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            bound => return bound.with_context(|| format!("port {port} cannot be opened")),
        }
    }
    bail!("all ports from {usual} to {last} are taken")
}

async fn is_bound(address: SocketAddr) -> bool {
    TcpListener::bind(address).await.is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
}

fn is_taken(error: &anyhow::Error) -> bool {
    let in_use = |source: &io::Error| source.kind() == ErrorKind::AddrInUse;
    matches!(error.downcast_ref(), Some(StartError::Bind { source, .. }) if in_use(source))
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
