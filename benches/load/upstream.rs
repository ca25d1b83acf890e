//! An upstream that answers every search from memory, on a thread of its own: what is measured is not an engine.

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt::Write,
    io,
    net::{SocketAddr, TcpListener as StdListener},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, runtime};

/// Bytes of text in a hit's `_source`, where nothing else is asked for.
pub const SOURCE: usize = 2048;

/// Hits of a search that names no `size`, as engines have it.
const USUAL: usize = 10;

/// The largest request that is read.
const MOST_ASKED: usize = 1 << 20;

const PHRASE: &str = "The quick brown fox jumps over the lazy dog while the search engine ranks its hits. ";

/// Answers by their number of hits; each is made once.
#[derive(Clone)]
struct Canned {
    source: usize,
    pages: Arc<Mutex<HashMap<usize, Bytes>>>,
}

/// Starts the upstream and returns where it listens; it answers until the program ends.
///
/// Every request gets as many hits as its body's `size` says, of `source` bytes of text each.
///
/// # Errors
/// No port, or no thread.
pub fn start(source: usize) -> io::Result<SocketAddr> {
    let canned = Canned { source, pages: Arc::default() };
    start_with(move |_, body| canned.page(asked_size(body)))
}

/// Starts an upstream that answers a head and a body with this page.
///
/// # Errors
/// No port, or no thread.
pub fn start_with(page: impl Fn(&HeaderMap, &[u8]) -> Bytes + Clone + Send + 'static) -> io::Result<SocketAddr> {
    let tcp = StdListener::bind("127.0.0.1:0")?;
    tcp.set_nonblocking(true)?;
    let address = tcp.local_addr()?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("upstream".to_owned()).spawn(move || runtime.block_on(serve(tcp, page)))?;
    Ok(address)
}

async fn serve(tcp: StdListener, page: impl Fn(&HeaderMap, &[u8]) -> Bytes + Clone + Send + 'static) -> io::Result<()> {
    let tcp = TcpListener::from_std(tcp)?;
    loop {
        let (stream, _) = tcp.accept().await?;
        stream.set_nodelay(true)?;
        let page = page.clone();
        let answering = service_fn(move |request: Request<Incoming>| {
            let page = page.clone();
            async move {
                let (head, body) = request.into_parts();
                // A broken request gets the usual page; whoever sent it fails by its own count.
                let body = collect(body).await.unwrap_or_default();
                Ok::<_, Infallible>(answer(page(&head.headers, &body)))
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answering));
    }
}

fn answer(page: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(page));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json; charset=UTF-8"));
    response
}

#[expect(clippy::disallowed_methods, reason = "bounded by `Limited`")]
async fn collect(body: Incoming) -> Option<Bytes> {
    Limited::new(body, MOST_ASKED).collect().await.ok().map(|whole| whole.to_bytes())
}

/// Returns the number behind the first `"size":` of a body.
pub fn asked_size(body: &[u8]) -> usize {
    let text = String::from_utf8_lossy(body);
    let behind = text.split_once("\"size\":").map_or("", |(_, behind)| behind.trim_start());
    let end = behind.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(behind.len());
    behind[..end].parse().unwrap_or(USUAL)
}

/// Prints an answer as Elasticsearch does.
fn page(hits: usize, source: usize) -> String {
    let text = PHRASE.repeat(source / PHRASE.len());
    let mut page = String::from(r#"{"took":7,"timed_out":false,"_shards":{"total":5,"successful":5,"skipped":0,"failed":0},"hits":{"#);
    page.push_str(r#""total":{"value":1234,"relation":"eq"},"max_score":17.25,"hits":["#);
    for place in 0..hits {
        let score = 17.25 / (1 + place) as f32;
        let comma = if place == 0 { "" } else { "," };
        write!(
            page,
            r#"{comma}{{"_index":"shop","_id":"product-{place}","_score":{score:?},"_source":{{"title":"Product {place}","price":12.50,"sku":9007199254740993,"text":"{text}"}}}}"#
        )
        .expect("a string takes everything");
    }
    page.push_str("]}}");
    page
}

// === impl Canned ===

impl Canned {
    fn page(&self, hits: usize) -> Bytes {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.entry(hits).or_insert_with(|| page(hits, self.source).into()).clone()
    }
}
