//! The cluster: sends a request to one of its nodes and streams the answer back.
//!
//! `headers` readies the heads, `balance` chooses the node, `pool` holds the connections, `health` watches the answers.
//! **Invariant:** there is no timeout on an answer; a `_reindex` may take hours.

mod balance;
mod error;
mod headers;
mod health;
pub mod own;
mod pool;
mod unsent;
mod unverified;

use std::{convert::Infallible, sync::Arc};

use http::{Request, Response, request};
use http_body_util::BodyExt;
use tokio::{task::JoinSet, time};
use tracing::warn;

use self::{
    balance::{Node, Nodes},
    pool::Pool,
    unsent::Unsent,
};
pub use self::{error::UpstreamError, pool::UpstreamSetup};
use crate::{
    body::{self, Body},
    config,
};

/// The cluster, as one thing to send requests to.
#[derive(Clone, Debug)]
pub struct Upstream {
    nodes: Arc<Nodes>,
    pool: Pool,
}

// === impl Upstream ===

impl Upstream {
    /// Sets up the connections; none is opened yet.
    ///
    /// # Errors
    /// When the certificates of `[upstream.tls]` cannot be used.
    pub fn new(settings: &config::Upstream) -> Result<Self, UpstreamSetup> {
        Ok(Self { nodes: Arc::new(Nodes::new(&settings.nodes)), pool: pool::build(settings)? })
    }

    /// Sends a request to the least loaded node and returns its answer as it comes in. Another node is asked only when
    /// the first could not be connected to, so that nothing was sent. Dropping the answer closes its connection.
    ///
    /// # Errors
    /// When no node could be reached, or the one that was gave no answer that may be passed on.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Body>, UpstreamError> {
        let (mut head, body) = request.into_parts();
        headers::prepare(&mut head, &body)?;
        let body = Unsent::new(body);
        let mut tried = Vec::new();
        let mut failure = None;
        while let Some(node) = self.nodes.choose(&tried) {
            tried.push(node.number());
            match self.attempt(node.clone(), head.clone(), body.clone()).await {
                Err(error) if error.is_connect() && body.is_untouched() => {
                    warn!(node = %node.name(), error = &error as &dyn std::error::Error, "no connection");
                    self.nodes.eject(&node, "no connection");
                    failure = Some(error);
                }
                outcome => return outcome,
            }
        }
        Err(failure.expect("a cluster has a node, and each that was tried failed"))
    }

    /// Asks ejected nodes every second whether they are back. Never returns: give it a task of its own.
    pub async fn run_probes(self) -> Infallible {
        let mut ticks = time::interval(health::PROBE_EVERY);
        ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let mut probes = JoinSet::new();
            for node in self.nodes.all_ejected() {
                probes.spawn(time::timeout(health::PROBE_LIMIT, self.clone().probe(node)));
            }
            while probes.join_next().await.is_some() {}
        }
    }

    async fn attempt(&self, node: Arc<Node>, mut head: request::Parts, body: Unsent) -> Result<Response<Body>, UpstreamError> {
        headers::address(&mut head, &node.address)?;
        let method = head.method.clone();
        let open = node.begin();
        let sent = self.pool.request(Request::from_parts(head, body.clone())).await;
        let answer = sent.map_err(|error| UpstreamError::from_client(error, body.broke()))?;
        let (mut answered, incoming) = answer.into_parts();
        headers::accept(&mut answered)?;
        let watched = health::watch(&answered, incoming, &method, &self.nodes, open);
        Ok(Response::from_parts(answered, watched.boxed_unsync()))
    }

    /// Asks one node for its root, as a client without credentials would; the answer tells `health` what to think of it.
    async fn probe(self, node: Arc<Node>) -> bool {
        /// What a root page has at most; a longer one is not read to its end.
        const ROOT_PAGE: usize = 64 << 10;
        let (mut head, body) = Request::new(body::empty()).into_parts();
        if headers::prepare(&mut head, &body).is_err() {
            return false;
        }
        match self.attempt(node, head, Unsent::new(body)).await {
            // Read, so that a 503 shows what it is and the connection can be used again.
            Ok(answer) => body::collect_capped(answer.into_body(), ROOT_PAGE).await.is_ok(),
            Err(_) => false,
        }
    }
}
