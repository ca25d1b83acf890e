//! A node that answers as it is told: slowly, cut off, with garbage, with lies about its length. It speaks TCP, not HTTP,
//! so that nothing puts right what a test wants wrong.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What a node does for one request, step by step.
#[derive(Clone)]
pub(crate) enum Act {
    /// Writes these bytes.
    Write(Vec<u8>),
    /// Does nothing for a while.
    Pause(Duration),
    /// Does nothing until the gateway closes the connection.
    Hold,
    /// Writes as many bytes as it gets rid of, counted in `flooded`.
    Flood(usize),
    /// Closes the connection.
    Close,
}

/// A request as it came over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Up to and with the empty line.
    pub(crate) head: String,
    /// What followed, chunk marks included.
    pub(crate) body: Vec<u8>,
}

/// A node of the cluster.
#[derive(Clone)]
pub(crate) struct FakeUpstream {
    pub(crate) address: SocketAddr,
    inner: Arc<Inner>,
}

/// What to do for a request, by its number.
type Script = dyn Fn(usize, &Seen) -> Vec<Act> + Send + Sync;

struct Inner {
    answer: Box<Script>,
    seen: Mutex<Vec<Seen>>,
    closed: AtomicUsize,
    flooded: AtomicUsize,
}

// === impl Act ===

impl Act {
    /// Writes a text.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Write(text.into().into_bytes())
    }
}

// === impl Seen ===

impl Seen {
    /// The first line.
    pub(crate) fn line(&self) -> &str {
        self.head.split("\r\n").next().unwrap()
    }

    /// The value of a header, by its name in lowercase.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.split("\r\n").skip(1).filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

// === impl FakeUpstream ===

impl FakeUpstream {
    /// Starts a node that answers every request with `ok`.
    pub(crate) async fn ok() -> Self {
        Self::always("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await
    }

    /// Starts a node that writes the same text for every request.
    pub(crate) async fn always(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::scripted(move |_, _| vec![Act::text(text.clone())]).await
    }

    /// Starts a node that writes the text and closes the connection.
    pub(crate) async fn once(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::scripted(move |_, _| vec![Act::text(text.clone()), Act::Close]).await
    }

    /// Starts a node that is told what to do for each request, by its number.
    pub(crate) async fn scripted(answer: impl Fn(usize, &Seen) -> Vec<Act> + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), answer).await
    }

    /// Starts a node at this address.
    pub(crate) async fn at(address: SocketAddr, answer: impl Fn(usize, &Seen) -> Vec<Act> + Send + Sync + 'static) -> Self {
        let tcp = TcpListener::bind(address).await.unwrap();
        let inner = Inner { answer: Box::new(answer), seen: Mutex::default(), closed: AtomicUsize::new(0), flooded: AtomicUsize::new(0) };
        let node = Self { address: tcp.local_addr().unwrap(), inner: Arc::new(inner) };
        let served = node.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = tcp.accept().await {
                let server = served.clone();
                tokio::spawn(async move {
                    server.converse(stream).await;
                    server.inner.closed.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        node
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.inner.seen.lock().unwrap().clone()
    }

    /// The only request so far.
    pub(crate) fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.into_iter().next().unwrap()
    }

    /// Connections that are over.
    pub(crate) fn closed(&self) -> usize {
        self.inner.closed.load(Ordering::SeqCst)
    }

    /// Bytes that a flood has written so far.
    pub(crate) fn flooded(&self) -> usize {
        self.inner.flooded.load(Ordering::SeqCst)
    }

    async fn converse(&self, mut stream: TcpStream) {
        let mut ahead = Vec::new();
        while let Some(seen) = read_request(&mut stream, &mut ahead).await {
            let number = {
                let mut all = self.inner.seen.lock().unwrap();
                all.push(seen.clone());
                all.len() - 1
            };
            for act in (self.inner.answer)(number, &seen) {
                if !self.act(&mut stream, act).await {
                    return;
                }
            }
        }
    }

    /// Does one step; returns whether the connection goes on.
    async fn act(&self, stream: &mut TcpStream, act: Act) -> bool {
        match act {
            Act::Write(bytes) => stream.write_all(&bytes).await.is_ok(),
            Act::Pause(time) => {
                tokio::time::sleep(time).await;
                true
            }
            Act::Hold => {
                while stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {}
                false
            }
            Act::Flood(bytes) => {
                let block = vec![b'x'; 64 << 10];
                let mut left = bytes;
                while left > 0 {
                    let Ok(written) = stream.write(&block[..left.min(block.len())]).await else { return false };
                    self.inner.flooded.fetch_add(written, Ordering::SeqCst);
                    left -= written;
                }
                true
            }
            Act::Close => false,
        }
    }
}

/// Reads one request as its head frames it; `None` when the connection ends before it is whole.
async fn read_request(stream: &mut TcpStream, ahead: &mut Vec<u8>) -> Option<Seen> {
    let head_end = read_to(stream, ahead, 0, b"\r\n\r\n").await?;
    let head = String::from_utf8(ahead[..head_end].to_vec()).expect("the gateway writes heads in ASCII");
    let mut seen = Seen { head, body: Vec::new() };
    let end = if seen.header("transfer-encoding").is_some() {
        chunked_end(stream, ahead, head_end).await?
    } else {
        let length: usize = seen.header("content-length").map_or(0, |length| length.parse().unwrap());
        while ahead.len() < head_end + length {
            read_more(stream, ahead).await?;
        }
        head_end + length
    };
    seen.body = ahead[head_end..end].to_vec();
    ahead.drain(..end);
    Some(seen)
}

async fn chunked_end(stream: &mut TcpStream, ahead: &mut Vec<u8>, start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        let line_end = read_to(stream, ahead, at, b"\r\n").await?;
        let size = usize::from_str_radix(std::str::from_utf8(&ahead[at..line_end - 2]).unwrap(), 16).unwrap();
        if size == 0 {
            let mut line_start = line_end;
            loop {
                let end = read_to(stream, ahead, line_start, b"\r\n").await?;
                if end == line_start + 2 {
                    return Some(end);
                }
                line_start = end;
            }
        }
        at = line_end + size + 2;
        while ahead.len() < at {
            read_more(stream, ahead).await?;
        }
    }
}

/// Returns where the next `mark` ends.
async fn read_to(stream: &mut TcpStream, ahead: &mut Vec<u8>, from: usize, mark: &[u8]) -> Option<usize> {
    loop {
        if let Some(at) = ahead[from..].windows(mark.len()).position(|window| window == mark) {
            return Some(from + at + mark.len());
        }
        read_more(stream, ahead).await?;
    }
}

async fn read_more(stream: &mut TcpStream, ahead: &mut Vec<u8>) -> Option<()> {
    stream.read_buf(ahead).await.is_ok_and(|read| read > 0).then_some(())
}
