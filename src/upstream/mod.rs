//! The cluster: sends a request to one of its nodes and streams the answer back.
//!
//! `headers` readies the heads, `balance` chooses the node, `connect` opens connections, `pool` keeps them, `health` watches the answers.
//! **Invariant:** there is no timeout on an answer; a `_reindex` may take hours.

mod balance;
mod connect;
mod error;
mod headers;
mod health;
pub mod own;
mod pool;
mod unverified;

use std::{convert::Infallible, sync::Arc};

use http::{Request, Response, uri::PathAndQuery};
use http_body_util::BodyExt;
use tokio::{task::JoinSet, time};
use tracing::warn;

use self::{
    balance::{Node, Nodes},
    pool::{Failure, Pool},
};
pub use self::{connect::UpstreamSetup, error::UpstreamError};
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

/// What came of asking one node.
enum Attempt {
    Answered(Response<Body>),
    /// Nothing was sent, the request is whole.
    Unconnected(UpstreamError, Box<Request<Body>>),
}

// === impl Upstream ===

impl Upstream {
    /// Sets up the connections; none is opened yet.
    ///
    /// # Errors
    /// When the certificates of `[upstream.tls]` cannot be used.
    pub fn new(settings: &config::Upstream) -> Result<Self, UpstreamSetup> {
        Ok(Self { nodes: Arc::new(Nodes::new(&settings.nodes)), pool: Pool::new(settings)? })
    }

    /// Sends a request to the least loaded node and returns its answer as it comes in. Another node is asked only when
    /// the first could not be connected to, so that nothing was sent. Dropping the answer closes its connection.
    ///
    /// # Errors
    /// When no node could be reached, or the one that was gave no answer that may be passed on.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Body>, UpstreamError> {
        let (mut head, body) = request.into_parts();
        headers::prepare(&mut head, &body)?;
        let written = head.uri.path_and_query().cloned();
        let mut unsent = Box::new(Request::from_parts(head, body));
        let mut tried = Vec::new();
        let mut failure = None;
        while let Some(node) = self.nodes.choose(&tried) {
            tried.push(node.number());
            match self.attempt(node.clone(), unsent, written.as_ref()).await? {
                Attempt::Answered(answer) => return Ok(answer),
                Attempt::Unconnected(error, request_again) => {
                    warn!(node = %node.name(), error = &error as &dyn std::error::Error, "no connection");
                    self.nodes.eject(&node, "no connection");
                    (failure, unsent) = (Some(error), request_again);
                }
            }
        }
        Err(failure.expect("a cluster has a node, and each that was tried failed"))
    }

    /// Asks ejected nodes every second whether they are back, and closes connections that nobody needs. Never returns: give it a task of its own.
    pub async fn run_probes(self) -> Infallible {
        let mut ticks = time::interval(health::PROBE_EVERY);
        ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.pool.tidy();
            let mut probes = JoinSet::new();
            for node in self.nodes.all_ejected() {
                probes.spawn(time::timeout(health::PROBE_LIMIT, self.clone().probe(node)));
            }
            while probes.join_next().await.is_some() {}
        }
    }

    async fn attempt(
        &self,
        node: Arc<Node>,
        mut request: Box<Request<Body>>,
        written: Option<&PathAndQuery>,
    ) -> Result<Attempt, UpstreamError> {
        headers::address(&mut request, written, &node.address)?;
        let method = request.method().clone();
        let open = node.begin();
        let answer = match self.pool.send(&node, request).await {
            Ok(answer) => answer,
            Err(Failure::Unconnected(error, unsent)) => return Ok(Attempt::Unconnected(UpstreamError::unconnected(error), unsent)),
            Err(Failure::Broken(error)) => return Err(UpstreamError::broken(error)),
        };
        let (mut answered, body) = answer.into_parts();
        headers::accept(&mut answered)?;
        let watched = health::watch(&answered, body, &method, &self.nodes, open);
        Ok(Attempt::Answered(Response::from_parts(answered, watched.boxed_unsync())))
    }

    /// Asks one node for its root, as a client without credentials would; the answer tells `health` what to think of it.
    async fn probe(self, node: Arc<Node>) -> bool {
        /// What a root page has at most; a longer one is not read to its end.
        const ROOT_PAGE: usize = 64 << 10;
        let (mut head, body) = Request::new(body::empty()).into_parts();
        if headers::prepare(&mut head, &body).is_err() {
            return false;
        }
        match self.attempt(node, Box::new(Request::from_parts(head, body)), None).await {
            // Read, so that a 503 shows what it is and the connection can be used again.
            Ok(Attempt::Answered(answer)) => body::collect_capped(answer.into_body(), ROOT_PAGE).await.is_ok(),
            Ok(Attempt::Unconnected(..)) | Err(_) => false,
        }
    }
}
