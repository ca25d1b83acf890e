//! Connections to the nodes, kept open between requests.
//!
//! A connection has no task of its own: whoever has a request on it runs it. Bytes so go from one socket to the other within one task,
//! and nobody has to be woken for them, on another processor at worst; that is most of what a proxy in tasks costs.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, Uri, uri};
use hyper::{
    body::{Body as _, Frame, Incoming, SizeHint},
    client::conn::{
        TrySendError,
        http1::{self, Builder, SendRequest},
    },
};
use tower::{Service, ServiceExt};

use super::{
    balance::Node,
    connect::{self, Connector, Socket, UpstreamSetup},
};
use crate::{
    body::{Body, BoxError},
    config,
};

/// Shorter than the idle time of common load balancers (60 s), so that a connection is not closed while we pick it up.
const IDLE: Duration = Duration::from_secs(30);

/// Idle connections kept per node; what a burst opened beyond it is closed again.
const IDLE_PER_NODE: usize = 256;

/// The largest head of an answer, and so of the buffer that answers are read through. It is looked at between reads, so
/// that up to twice as much can come through.
const ANSWER_HEAD: usize = 128 << 10;

/// Header lines of an answer: engines send one `Warning` per deprecated thing, so that the usual 100 is too few. hyper fills
/// two lists of this length for each answer: a thousand would cost a small request a tenth of its time.
const ANSWER_HEADERS: usize = 400;

/// Where requests go out.
#[derive(Clone)]
pub(super) struct Pool {
    connector: Connector,
    protocol: Builder,
    resting: Arc<Resting>,
}

/// Why a request has no answer.
pub(super) enum Failure {
    /// There is no connection; nothing was sent.
    Unconnected(BoxError, Box<Request<Body>>),
    /// It broke off.
    Broken(hyper::Error),
}

/// The connections that nobody uses, by the node's number, the latest last.
struct Resting(Box<[Mutex<Vec<Connection>>]>);

/// One connection to a node.
struct Connection {
    requests: SendRequest<Body>,
    running: Running,
    node: usize,
    /// Since when it rests; `None` for one that had no request yet.
    since: Option<Instant>,
}

/// What moves the bytes, until it ends.
struct Running(Option<Box<http1::Connection<Socket, Body>>>);

/// An answer's body. It runs the connection that it comes from, and gives it back at its end; dropped before, it closes it.
pub(super) struct Answer {
    body: Incoming,
    connection: Option<Connection>,
    resting: Arc<Resting>,
    /// Why it broke off, to be told next.
    broken: Option<hyper::Error>,
}

// === impl Pool ===

impl Pool {
    /// Sets it up; no connection is opened yet.
    pub(super) fn new(settings: &config::Upstream) -> Result<Self, UpstreamSetup> {
        let mut protocol = Builder::new();
        protocol.preserve_header_case(true).max_buf_size(ANSWER_HEAD).max_headers(ANSWER_HEADERS);
        let resting = Resting(settings.nodes.iter().map(|_| Mutex::default()).collect());
        Ok(Self { connector: connect::build(settings)?, protocol, resting: Arc::new(resting) })
    }

    /// Sends a request, addressed to this node, and returns its answer as it comes in.
    pub(super) async fn send(&self, node: &Node, mut request: Box<Request<Body>>) -> Result<Response<Answer>, Failure> {
        loop {
            let mut connection = match self.resting.take(node.number()) {
                Some(connection) => connection,
                None => match self.connect(node).await {
                    Ok(connection) => connection,
                    Err(error) => return Err(Failure::Unconnected(error, request)),
                },
            };
            let was_kept = connection.since.is_some();
            let mut failure = match connection.exchange(*request).await {
                Ok(answer) => return Ok(answer.map(|body| Answer::new(body, connection, self.resting.clone()))),
                Err(failure) => failure,
            };
            // Only ever repeats what hyper hands back unsent, from a connection that the node closed while it lay idle.
            match failure.take_message() {
                Some(unsent) if was_kept => request = Box::new(unsent),
                _ => return Err(Failure::Broken(failure.into_error())),
            }
        }
    }

    /// Closes connections that have rested for too long, and forgets those that their node has closed.
    pub(super) fn tidy(&self) {
        for connections in &self.resting.0 {
            let mut kept = lock(connections);
            kept.retain_mut(|connection| connection.is_fresh() && connection.is_at_rest());
        }
    }

    async fn connect(&self, node: &Node) -> Result<Connection, BoxError> {
        let scheme = if node.address.tls { uri::Scheme::HTTPS } else { uri::Scheme::HTTP };
        let mut parts = uri::Parts::default();
        (parts.scheme, parts.authority) = (Some(scheme), Some(node.address.authority.clone()));
        parts.path_and_query = Some(uri::PathAndQuery::from_static("/"));
        let mut connector = self.connector.clone();
        let socket = connector.ready().await?.call(Uri::from_parts(parts)?).await?;
        let (requests, running) = self.protocol.handshake(socket).await?;
        Ok(Connection { requests, running: Running(Some(Box::new(running))), node: node.number(), since: None })
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Pool").finish_non_exhaustive()
    }
}

// === impl Resting ===

impl Resting {
    /// Returns the connection of this node that was used last.
    fn take(&self, node: usize) -> Option<Connection> {
        let mut connections = lock(&self.0[node]);
        let latest = connections.pop()?;
        if latest.is_fresh() {
            return Some(latest);
        }
        // All others have rested for longer.
        connections.clear();
        None
    }

    fn give(&self, mut connection: Connection) {
        connection.since = Some(Instant::now());
        let mut connections = lock(&self.0[connection.node]);
        if connections.len() < IDLE_PER_NODE {
            connections.push(connection);
        }
    }
}

// A panic while it was held leaves a list of whole connections.
fn lock(connections: &Mutex<Vec<Connection>>) -> MutexGuard<'_, Vec<Connection>> {
    connections.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Connection ===

impl Connection {
    /// Sends a request and returns the head of its answer.
    async fn exchange(&mut self, request: Request<Body>) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        let mut answered = pin!(self.requests.try_send_request(request));
        std::future::poll_fn(|context| {
            // How it ends is told to who waits for the answer.
            let _ = self.running.poll(context);
            answered.as_mut().poll(context)
        })
        .await
    }

    /// Returns whether the last answer is read to its end and the next request can go out; false as well for a connection that ended.
    fn is_at_rest(&mut self) -> bool {
        // Nobody is to be woken: it moves when it is asked again.
        self.running.poll(&mut Context::from_waker(Waker::noop())).is_pending() && self.requests.is_ready()
    }

    fn is_fresh(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() < IDLE)
    }
}

// === impl Running ===

impl Running {
    /// Moves bytes, and returns whether it has ended.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(connection) = &mut self.0 else { return Poll::Ready(()) };
        let polled = Pin::new(&mut **connection).poll(context).map(drop);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

// === impl Answer ===

impl Answer {
    fn new(body: Incoming, connection: Connection, resting: Arc<Resting>) -> Self {
        let mut answer = Self { body, connection: Some(connection), resting, broken: None };
        if answer.body.is_end_stream() {
            answer.give_back();
        }
        answer
    }

    /// Gives the connection back once its answer is read; what is left of the request is sent on, for engines may answer before they have read it.
    fn give_back(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        if connection.is_at_rest() {
            self.resting.give(connection);
        } else if !connection.requests.is_closed() {
            let resting = self.resting.clone();
            tokio::spawn(async move {
                let Connection { requests, running, .. } = &mut connection;
                let at_rest = std::future::poll_fn(|context| match running.poll(context) {
                    Poll::Ready(()) => Poll::Ready(false),
                    Poll::Pending => requests.poll_ready(context).map(|ready| ready.is_ok()),
                });
                if at_rest.await {
                    resting.give(connection);
                }
            });
        }
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let mut polled = Pin::new(&mut self.body).poll_frame(context);
        if let (true, Some(connection)) = (polled.is_pending(), &mut self.connection) {
            // How it ends is told to the body.
            let _ = connection.running.poll(context);
            polled = Pin::new(&mut self.body).poll_frame(context);
        }
        match polled {
            Poll::Ready(Some(Err(error))) => {
                (self.connection, self.broken) = (None, Some(error));
                // A moment later: hyper drops what it has not yet written, and what came before goes to the client.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(None) => self.give_back(),
            Poll::Ready(Some(Ok(_))) if self.body.is_end_stream() => self.give_back(),
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
