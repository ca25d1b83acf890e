//! Connections of clients: accepts them, bounds what they may cost, and lets them finish at the end.
//!
//! HTTP/1.1 and HTTP/2 with prior knowledge; what a request means is the service's business. Time limits are kept here
//! and not by hyper, whose one timer cannot tell a connection that rests from one that dribbles a head.

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};
use tower::{Service, ServiceExt};
use tracing::{debug, warn};

use crate::{
    body::{Body, BoxError},
    config, respond,
};

/// The least buffer that hyper reads heads through.
const LEAST_HEAD: usize = 8 << 10;

/// How long to wait when the system has no room for another connection.
const NO_ROOM: Duration = Duration::from_millis(100);

/// Requests that an HTTP/2 client may have open on one connection.
const STREAMS: u32 = 256;

/// Streams that an HTTP/2 client may open and cancel before we have looked at them (rapid reset), and those that we may
/// cancel for its mistakes; beyond, its connection is closed.
const RESETS: usize = 64;

/// Serves clients until `shutdown`; then no more are accepted, and open requests have the drain-timeout to finish.
pub async fn serve<S>(tcp: TcpListener, settings: &config::Listener, service: S, shutdown: impl Future<Output = ()>)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let terms = Terms {
        protocol: protocol(settings.max_header_bytes),
        max_header_bytes: settings.max_header_bytes,
        patience: Patience { head: settings.header_timeout, idle: settings.idle_timeout },
    };
    let room = Arc::new(Semaphore::new(settings.max_connections));
    let (drain, draining) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(ended) = connections.join_next() => drop(ended),
            (stream, client, permit) = accept(&tcp, &room) => {
                debug!(%client, "connected");
                let (terms, service, draining) = (terms.clone(), service.clone(), draining.clone());
                connections.spawn(async move {
                    terms.serve(stream, service, draining).await;
                    drop(permit);
                });
            }
        }
    }
    drop(tcp);
    drain.send_replace(true);
    if timeout(settings.drain_timeout, async { while connections.join_next().await.is_some() {} }).await.is_err() {
        warn!(open = connections.len(), "drain-timeout is over, closing what is open");
        connections.shutdown().await;
    }
}

/// Returns the next connection once there is room for it; until then it waits in the system's queue.
async fn accept(tcp: &TcpListener, room: &Arc<Semaphore>) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let permit = room.clone().acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match tcp.accept().await {
            Ok((stream, client)) => return (stream, client, permit),
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                sleep(NO_ROOM).await;
            }
        }
    }
}

fn protocol(max_header_bytes: usize) -> auto::Builder<TokioExecutor> {
    let mut protocol = auto::Builder::new(TokioExecutor::new());
    protocol
        .http1()
        .preserve_header_case(true)
        .auto_date_header(false)
        .header_read_timeout(None)
        .max_buf_size(max_header_bytes.max(LEAST_HEAD));
    protocol
        .http2()
        .auto_date_header(false)
        .max_header_list_size(u32::try_from(max_header_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(RESETS);
    protocol
}

/// What every connection is served by.
#[derive(Clone)]
struct Terms {
    protocol: auto::Builder<TokioExecutor>,
    max_header_bytes: usize,
    patience: Patience,
}

/// How long a client may take.
#[derive(Clone, Copy)]
struct Patience {
    head: Duration,
    idle: Duration,
}

/// What a connection is doing; its socket, its requests and its watch write and read it.
#[derive(Clone, Copy)]
struct Doing {
    open_requests: usize,
    /// The client does not take what we write.
    blocked: bool,
    /// The first bytes of a request's head are there.
    in_head: bool,
    /// HTTP/2: bytes between requests are no head.
    multiplexed: bool,
    since: Instant,
}

/// What one connection is doing. It is written several times for each request and read a few times a minute: who waits for it looks by the
/// clock, and is not told.
#[derive(Clone)]
struct Pulse(Arc<Mutex<Doing>>);

/// A socket that tells the pulse what passes.
struct Watched<T> {
    inner: T,
    pulse: Pulse,
    fresh: bool,
}

type Answering = Pin<Box<dyn Future<Output = Result<Response<Answer>, Infallible>> + Send>>;

/// The service, as one connection asks it.
struct Requests<S> {
    service: S,
    max_header_bytes: usize,
    pulse: Pulse,
}

/// A request counts as open until this is dropped.
struct Open(Pulse);

/// An answer's body, whose request is open until it ends.
struct Answer {
    body: Body,
    _open: Open,
}

// === impl Terms ===

impl Terms {
    async fn serve<S>(&self, stream: TcpStream, service: S, mut draining: watch::Receiver<bool>)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send + 'static,
    {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "the client is gone");
            return;
        }
        let pulse = Pulse::new();
        let socket = TokioIo::new(Watched { inner: stream, pulse: pulse.clone(), fresh: true });
        let requests = Requests { service, max_header_bytes: self.max_header_bytes, pulse: pulse.clone() };
        // Without upgrades: `Upgrade: h2c` is an offer that a server may ignore.
        let mut connection = std::pin::pin!(self.protocol.serve_connection(socket, requests));
        let mut told = false;
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => {
                    // The error may quote what the client sent: only its kind is logged.
                    if ended.is_err() {
                        debug!("the connection ended badly");
                    }
                    return;
                }
                _ = draining.wait_for(|draining| *draining), if !told => {
                    told = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = pulse.out_of_patience(self.patience) => return,
            }
        }
    }
}

// === impl Requests ===

impl<S> hyper::service::Service<Request<Incoming>> for Requests<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let open = self.pulse.open(request.version());
        // hyper looks at the size between reads only, so that a head of up to twice the bound can slip through.
        if head_size(&request) > self.max_header_bytes {
            return hold_open(std::future::ready(Ok(respond::head_too_large())), open);
        }
        hold_open(self.service.clone().oneshot(request.map(|body| body.map_err(BoxError::from).boxed_unsync())), open)
    }
}

/// Returns the bytes of a head as HTTP/1.1 writes it.
fn head_size(request: &Request<Incoming>) -> usize {
    const LINE: usize = " HTTP/1.1\r\n ".len();
    const HEADER: usize = ": \r\n".len();
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + HEADER).sum::<usize>();
    request.method().as_str().len() + target + LINE + headers
}

/// Keeps the request open until its answer's body ends.
fn hold_open<F>(answered: F, open: Open) -> Answering
where
    F: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    Box::pin(async move { answered.await.map(|response| response.map(|body| Answer { body, _open: open })) })
}

// === impl Doing ===

impl Doing {
    fn deadline(&self, patience: Patience) -> Option<Instant> {
        if self.open_requests > 0 || self.blocked {
            return None;
        }
        Some(self.since + if self.in_head && !self.multiplexed { patience.head } else { patience.idle })
    }
}

// === impl Pulse ===

impl Pulse {
    fn new() -> Self {
        let doing = Doing { open_requests: 0, blocked: false, in_head: false, multiplexed: false, since: Instant::now() };
        Self(Arc::new(Mutex::new(doing)))
    }

    fn open(&self, version: Version) -> Open {
        let mut doing = self.doing();
        doing.open_requests += 1;
        doing.multiplexed |= version == Version::HTTP_2;
        Open(self.clone())
    }

    fn read(&self, multiplexed: bool) {
        let mut doing = self.doing();
        doing.multiplexed |= multiplexed;
        if doing.open_requests == 0 && !doing.in_head && !doing.multiplexed {
            (doing.in_head, doing.since) = (true, Instant::now());
        }
    }

    fn written(&self, blocked: bool) {
        let mut doing = self.doing();
        if doing.blocked != blocked {
            (doing.blocked, doing.since) = (blocked, Instant::now());
        }
    }

    /// Returns when the client has rested, or dribbled at a head, for too long.
    async fn out_of_patience(&self, patience: Patience) {
        // What begins after one look cannot be over before the next.
        let between_looks = patience.head.min(patience.idle);
        loop {
            let now = Instant::now();
            let next_look = now + between_looks;
            let deadline = self.doing().deadline(patience);
            if deadline.is_some_and(|deadline| deadline <= now) {
                return;
            }
            sleep_until(deadline.map_or(next_look, |deadline| deadline.min(next_look))).await;
        }
    }

    // Held for a few instructions, none of which can panic but at a time that no clock shows.
    fn doing(&self) -> MutexGuard<'_, Doing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Open ===

impl Drop for Open {
    fn drop(&mut self) {
        let mut doing = self.0.doing();
        doing.open_requests -= 1;
        (doing.in_head, doing.since) = (false, Instant::now());
    }
}

// === impl Answer ===

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

// === impl Watched ===

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        let read = &buffer.filled()[before..];
        if !read.is_empty() {
            // No method of HTTP/1.1 begins so; a preface that comes in crumbs is taken for a slow head, which it is.
            let multiplexed = std::mem::take(&mut self.fresh) && read.starts_with(b"PRI ");
            self.pulse.read(multiplexed);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.pulse.written(polled.is_pending());
        polled
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(context, parts);
        self.pulse.written(polled.is_pending());
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
