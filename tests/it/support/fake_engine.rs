//! A search engine in miniature: it knows `from` and `size`, what of a document is shown, both products' ways to print it,
//! and how to refuse. It finds every document for every query, in an order that the test sets.

use std::{
    io::Read,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use flate2::read::GzDecoder;
use podium::es::allow_list::BODY;
use serde_json::{Map, Value};

use super::{
    fake_hits, fake_routes,
    fake_upstream::{Act, FakeUpstream, Seen},
    fake_wire,
};

/// Whose ways it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Product {
    /// Nested values grouped, chunked answers, vendor media types.
    Elasticsearch,
    /// Nested values flat, content lengths, `fields` refused without a `_source`.
    OpenSearch,
}

/// What the engine does instead of answering a search as it should.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// Answers an error.
    Status(u16),
    /// One of two shards fails: a third of the hits is missing.
    FailedShard,
    /// Breaks off in the middle of the body.
    Cut,
    /// This instead of JSON.
    Text(&'static str),
    /// Puts so many bytes into the answer.
    Bulk(usize),
    /// Takes its time.
    Slow(Duration),
}

/// How an engine is; a test may change it between searches.
pub(crate) struct Mood {
    pub(crate) product: Product,
    /// The documents, best first.
    pub(crate) order: Vec<usize>,
    /// The first-stage score of a place, as printed.
    pub(crate) score: fn(usize) -> String,
    /// Whether documents have kept their `_source`.
    pub(crate) keeps_source: bool,
    /// Looks at every search and says what goes wrong with it.
    pub(crate) trouble: Arc<Watch>,
}

/// What goes wrong with a search.
pub(crate) type Watch = dyn Fn(&Asked) -> Option<Trouble> + Send + Sync;

/// A search as the engine read it.
pub(crate) struct Asked {
    pub(crate) from: usize,
    pub(crate) size: usize,
    pub(crate) body: Map<String, Value>,
    pub(crate) params: Vec<(String, String)>,
    /// What a multi search says before it; empty otherwise.
    pub(crate) header: Map<String, Value>,
}

/// A running engine.
#[derive(Clone)]
pub(crate) struct FakeEngine {
    pub(crate) node: FakeUpstream,
    mood: Arc<Mutex<Mood>>,
}

/// The two products, for tests that both must pass.
pub(crate) const PRODUCTS: [Product; 2] = [Product::Elasticsearch, Product::OpenSearch];

/// The usual first-stage scores: descending, and with decimals.
pub(crate) fn descending(place: usize) -> String {
    format!("{:?}", 20.0 - place as f32 / 8.0)
}

// === impl FakeEngine ===

impl FakeEngine {
    /// Starts an engine with so many documents in the order of their numbers.
    pub(crate) async fn start(product: Product, documents: usize) -> Self {
        Self::start_with(Mood::of(product, documents)).await
    }

    /// Starts an engine in this mood.
    pub(crate) async fn start_with(mood: Mood) -> Self {
        let mood = Arc::new(Mutex::new(mood));
        let shared = Arc::clone(&mood);
        let node = FakeUpstream::scripted(move |number, seen| answer(&shared.lock().unwrap(), number, seen)).await;
        Self { node, mood }
    }

    /// Lets searches go wrong from now on.
    pub(crate) fn trouble(&self, trouble: impl Fn(&Asked) -> Option<Trouble> + Send + Sync + 'static) {
        self.mood().trouble = Arc::new(trouble);
    }

    /// The engine's mood, to be changed.
    pub(crate) fn mood(&self) -> MutexGuard<'_, Mood> {
        self.mood.lock().unwrap()
    }

    /// The bodies of all requests so far, decoded.
    pub(crate) fn bodies(&self) -> Vec<String> {
        self.node.seen().iter().map(|seen| String::from_utf8(fake_wire::body(seen)).unwrap()).collect()
    }

    /// How many requests came so far.
    pub(crate) fn count(&self) -> usize {
        self.node.seen().len()
    }
}

// === impl Asked ===

impl Asked {
    /// The search's page and settings; what is wrong with it otherwise.
    pub(super) fn read(params: Vec<(String, String)>, bytes: &[u8]) -> Result<Self, String> {
        let body: Value =
            if bytes.is_empty() { Map::new().into() } else { serde_json::from_slice(bytes).map_err(|error| error.to_string())? };
        let Value::Object(body) = body else { return Err("not an object".into()) };
        let knows = |key: &str| key == "search_after" || BODY.iter().any(|(known, _)| *known == key);
        if let Some(key) = body.keys().find(|key| !knows(key)) {
            return Err(format!("unknown key [{key}]"));
        }
        let number = |key: &str, default: usize| {
            let in_url = params.iter().find(|(name, _)| name == key).map(|(_, value)| value.parse().ok());
            let written = in_url.or(body.get(key).map(|value| value.as_u64().map(|number| number as usize)));
            written.unwrap_or(Some(default)).ok_or_else(|| format!("[{key}] is no number"))
        };
        let (from, size) = (number("from", 0)?, number("size", 10)?);
        Ok(Self { from, size, body, params, header: Map::new() })
    }

    /// A parameter of the URL.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether it asks for `fields`.
    pub(crate) fn asks_fields(&self) -> bool {
        self.body.contains_key("fields")
    }
}

// === impl Mood ===

impl Mood {
    /// The usual one.
    pub(crate) fn of(product: Product, documents: usize) -> Self {
        Self { product, order: (0..documents).collect(), score: descending, keeps_source: true, trouble: Arc::new(|_| None) }
    }

    pub(super) fn trouble_of(&self, asked: &Asked) -> Option<Trouble> {
        let refused = asked.asks_fields() && !self.keeps_source && self.product == Product::OpenSearch;
        (self.trouble)(asked).or(refused.then_some(Trouble::Status(400)))
    }
}

/// Returns the parameters of a request's URL.
pub(super) fn params(seen: &Seen) -> Vec<(String, String)> {
    let target = seen.line().split(' ').nth(1).unwrap();
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let params = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    params.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn answer(mood: &Mood, number: usize, seen: &Seen) -> Vec<Act> {
    let wire = fake_wire::Wire { product: mood.product, seen };
    let path = seen.line().split([' ', '?']).nth(1).unwrap();
    if let Some(acts) = fake_routes::answer(mood, number, &wire, path) {
        return acts;
    }
    if !path.trim_end_matches('/').ends_with("/_search") {
        return wire.answer(200, br#"{"acknowledged":true,"of":"something else"}"#);
    }
    let error = |status: u16, reason: &str| {
        let reason = Value::from(reason);
        wire.answer(status, format!(r#"{{"error":{{"type":"fake","reason":{reason}}},"status":{status}}}"#).as_bytes())
    };
    let asked = match Asked::read(params(seen), &fake_wire::body(seen)) {
        Ok(asked) if asked.from.saturating_add(asked.size) > 10_000 => return error(400, "Result window is too large"),
        Ok(asked) => asked,
        Err(reason) => return error(400, &reason),
    };
    let page = fake_hits::page(mood, &asked, number);
    match mood.trouble_of(&asked) {
        None => wire.answer(200, page.as_bytes()),
        Some(Trouble::Status(status)) => error(status, "as told"),
        Some(Trouble::FailedShard) => wire.answer(200, without_a_shard(mood, &asked, number).as_bytes()),
        Some(Trouble::Slow(time)) => [vec![Act::Pause(time)], wire.answer(200, page.as_bytes())].concat(),
        Some(Trouble::Cut) => wire.cut(page.as_bytes()),
        Some(Trouble::Text(text)) => wire.answer(200, text.as_bytes()),
        Some(Trouble::Bulk(bytes)) => wire.answer(200, format!(r#"{{"bulk":"{}",{}"#, "x".repeat(bytes), &page[1..]).as_bytes()),
    }
}

/// Returns an answer that lacks a third of the hits.
pub(super) fn without_a_shard(mood: &Mood, asked: &Asked, number: usize) -> String {
    let order = mood.order.iter().copied().filter(|document| document % 3 > 0).collect();
    let fewer = Mood { order, trouble: Arc::clone(&mood.trouble), ..*mood };
    let page = fake_hits::page(&fewer, asked, number);
    page.replace(r#""failed":0"#, r#""failed":1"#).replace(r#""failed" : 0"#, r#""failed" : 1"#)
}

/// Undoes gzip.
pub(crate) fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    plain
}
