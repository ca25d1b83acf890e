//! A rerank server in this process: it scores by the first number in a text, or misbehaves.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use rerank_plugin::{
    Deadline, Document, Endpoints, Family, Fault, LoadError, LoadOptions, Loaded, Query, RemoteScorer, Score, Silent, Source,
    testing::{MapStore, conformance},
};
use rerank_remote::Remote;
use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime::Runtime, sync::oneshot};

/// What the server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Scores, in the shape of Jina.
    Score,
    /// Scores at most as many documents at once, and says 413 to more.
    AtMost(usize),
    /// Refuses more documents, or one of more characters, with 422 and these words; else scores.
    Limited { documents: usize, characters: usize, say: (&'static str, &'static str) },
    /// Says this, and nothing else.
    Say(u16, &'static str),
    /// Never answers.
    Hang,
    /// Sends the caller to another place.
    Redirect,
}

/// One call, as it came.
#[derive(Clone, Debug)]
pub struct Call {
    pub path: String,
    pub token: Option<String>,
    pub body: Value,
}

/// A running server; it ends when it is dropped.
pub struct Server {
    pub address: String,
    shared: Arc<Shared>,
    _stop: oneshot::Sender<()>,
}

struct Shared {
    manner: Mutex<Manner>,
    calls: Mutex<Vec<Call>>,
    open: AtomicUsize,
}

/// Counts a call as open while it is held.
struct Open(Arc<Shared>);

// === impl Server ===

impl Server {
    pub fn start(manner: Manner) -> Self {
        let shared = Arc::new(Shared { manner: Mutex::new(manner), calls: Mutex::default(), open: AtomicUsize::new(0) });
        let (stop, stopped) = oneshot::channel::<()>();
        let (told, address) = std::sync::mpsc::channel();
        let state = Arc::clone(&shared);
        thread::spawn(move || {
            Runtime::new().expect("a runtime").block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                told.send(format!("http://{}", listener.local_addr().expect("an address"))).expect("the test waits");
                let serve = axum::serve(listener, Router::new().fallback(answer).with_state(state));
                tokio::select! { _ = serve.into_future() => {}, _ = stopped => {} }
            });
        });
        Self { address: address.recv().expect("the server starts"), shared, _stop: stop }
    }

    pub fn behave(&self, manner: Manner) {
        *self.shared.manner.lock().expect("unpoisoned") = manner;
    }

    /// Returns the calls since the last time.
    pub fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.shared.calls.lock().expect("unpoisoned"))
    }

    /// Calls that are being answered.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn answer(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).expect("a call in JSON");
    let documents: Vec<f64> = texts(&body["documents"]);
    let longest = body["documents"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::len).max();
    let token = headers.get("authorization").map(|value| value.to_str().expect("text").to_owned());
    shared.calls.lock().expect("unpoisoned").push(Call { path: uri.path().to_owned(), token, body });
    shared.open.fetch_add(1, Ordering::SeqCst);
    let _open = Open(Arc::clone(&shared));
    let manner = *shared.manner.lock().expect("unpoisoned");
    match manner {
        Manner::AtMost(most) if documents.len() > most => (StatusCode::PAYLOAD_TOO_LARGE, "batch size is over the limit").into_response(),
        Manner::Limited { documents: most, say, .. } if documents.len() > most => (StatusCode::UNPROCESSABLE_ENTITY, say.0).into_response(),
        Manner::Limited { characters, say, .. } if longest > Some(characters) => (StatusCode::UNPROCESSABLE_ENTITY, say.1).into_response(),
        Manner::Score | Manner::AtMost(_) | Manner::Limited { .. } => {
            let mut results: Vec<Value> =
                documents.iter().enumerate().map(|(index, score)| json!({ "index": index, "relevance_score": score })).collect();
            results.reverse();
            json!({ "results": results }).to_string().into_response()
        }
        Manner::Say(status, text) => (StatusCode::from_u16(status).expect("a status"), text).into_response(),
        Manner::Hang => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            StatusCode::OK.into_response()
        }
        Manner::Redirect => (StatusCode::TEMPORARY_REDIRECT, [("location", "http://127.0.0.1:1/")]).into_response(),
    }
}

/// A text's score is the number that it begins with, or a half.
fn texts(documents: &Value) -> Vec<f64> {
    let number = |text: &Value| text.as_str().and_then(|text| text.split(' ').next()?.parse().ok()).unwrap_or(0.5);
    documents.as_array().map(|all| all.iter().map(number).collect()).unwrap_or_default()
}

/// Returns endpoints that speak as Jina does.
pub fn endpoints(servers: &[&Server]) -> Endpoints {
    let mut endpoints = Endpoints::default();
    endpoints.urls = servers.iter().map(|server| server.address.clone()).collect();
    endpoints.protocol = "jina".to_owned();
    endpoints.model = Some("model".to_owned());
    endpoints.batch = 64;
    endpoints
}

pub fn load(endpoints: Endpoints) -> Result<Arc<dyn RemoteScorer>, LoadError> {
    let options = LoadOptions::new(Arc::new(MapStore::default()));
    match Remote.load(&Source::Endpoints(endpoints), &options, &Silent)? {
        Loaded::Remote(remote) => Ok(remote),
        Loaded::Local { .. } => panic!("a remote model runs elsewhere"),
    }
}

/// Returns the loaded model of servers that answer; what loading asked is forgotten.
pub fn model(servers: &[&Server]) -> Arc<dyn RemoteScorer> {
    let model = load(endpoints(servers)).expect("the servers answer");
    servers.iter().for_each(|server| drop(server.calls()));
    model
}

pub fn score(model: &dyn RemoteScorer, documents: &[Document], budget: Duration) -> Vec<Result<Score, Fault>> {
    let query: Query = conformance::query("red shoes");
    Runtime::new().expect("a runtime").block_on(model.score(&query, documents, Deadline::after(budget)))
}

/// Returns documents whose scores are the given ones.
pub fn documents(scores: impl IntoIterator<Item = f32>) -> Vec<Document> {
    scores.into_iter().map(|score| conformance::document(&format!("{score} is the score"))).collect()
}

pub fn orders(results: Vec<Result<Score, Fault>>) -> Vec<f32> {
    results.into_iter().map(|result| result.expect("a score").order()).collect()
}
