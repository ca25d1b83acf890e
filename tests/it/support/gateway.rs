//! The gateway under test. One place knows how it is put together.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use podium::{config, listener, respond, upstream::Upstream};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tower::service_fn;

/// A running gateway; dropped with its runtime.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

/// What a test may set.
pub(crate) struct Settings {
    pub(crate) listener: config::Listener,
    pub(crate) upstream: config::Upstream,
}

/// Starts a gateway in front of these nodes.
pub(crate) async fn start(nodes: &[SocketAddr]) -> Gateway {
    start_with(nodes, |_| {}).await
}

/// Starts a gateway in front of these nodes, with other settings than the usual.
pub(crate) async fn start_with(nodes: &[SocketAddr], change: impl FnOnce(&mut Settings)) -> Gateway {
    super::log::search();
    let mut settings = Settings {
        listener: config::Listener {
            address: "127.0.0.1:0".parse().unwrap(),
            drain_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            max_header_bytes: 64 << 10,
            max_connections: 10_000,
        },
        upstream: config::Upstream {
            nodes: nodes.iter().map(|node| plain_node(*node)).collect(),
            connect_timeout: Duration::from_secs(1),
            tls: config::UpstreamTls { ca: None, verify: true },
            credentials: None,
        },
    };
    change(&mut settings);
    let tcp = TcpListener::bind(settings.listener.address).await.unwrap();
    let address = tcp.local_addr().unwrap();
    let upstream = Upstream::new(&settings.upstream).unwrap();
    tokio::spawn(upstream.clone().run_probes());
    let service = service_fn(move |request| {
        let upstream = upstream.clone();
        async move { Ok::<_, Infallible>(upstream.send(request).await.unwrap_or_else(|error| respond::upstream_error(&error))) }
    });
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(async move {
        let stopped = async {
            // A gateway that the test let go of serves on.
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        listener::serve(tcp, &settings.listener, service, stopped).await;
    });
    Gateway { address, stop: Some(stop), running }
}

/// Returns a node that speaks plain HTTP.
pub(crate) fn plain_node(address: SocketAddr) -> config::Node {
    config::Node { tls: false, authority: address.to_string().parse().unwrap(), prefix: String::new() }
}

// === impl Gateway ===

impl Gateway {
    /// Tells the gateway to stop, as a signal would.
    pub(crate) fn stop(&mut self) {
        self.stop.take().expect("a gateway stops once").send(()).unwrap();
    }

    /// Waits until it has drained.
    pub(crate) async fn stopped(self) {
        super::soon(self.running).await.unwrap();
    }
}
