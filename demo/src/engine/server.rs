//! HTTP around the endpoints: bodies come in, answers and errors go out in the engines' way.
//!
//! Everything that an endpoint does is work for a processor or a disk, so that each request is answered on a blocking thread.

use std::{error::Error as _, future::Future, pin::Pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{MatchedPath, RawPathParams, Request, State, rejection::RawPathParamsRejection},
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use http_body_util::LengthLimitError;
use tokio::{
    select,
    sync::{Semaphore, watch},
    task,
    time::sleep,
};
use tower_http::decompression::RequestDecompressionLayer;

use super::{
    answer::{Answer, pretty},
    catalog::{Catalog, stopped},
    error::{ApiError, Cause},
    media::{self, Refusal},
    parameters::Parameters,
    routes,
};

/// The largest body, unpacked, as `http.max_content_length`.
const LARGEST_BODY: usize = 100 << 20;
/// Requests that are read and worked on at a time; more wait.
const AT_WORK: usize = 64;
/// How long what has been sent may take to arrive when the engine stops.
const ARRIVAL: Duration = Duration::from_secs(1);
/// The official clients of Elasticsearch talk to nobody who does not say this.
const PRODUCT: (HeaderName, HeaderValue) = (HeaderName::from_static("x-elastic-product"), HeaderValue::from_static("Elasticsearch"));

/// What every request is answered with.
#[derive(Clone)]
pub(super) struct Server {
    catalog: Arc<Catalog>,
    room: Arc<Semaphore>,
    /// Fails when the engine stops.
    running: watch::Receiver<()>,
}

/// A request, read.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) parameters: Parameters,
    path_values: Vec<(String, String)>,
    body: Bytes,
}

/// An endpoint: what it returns is the answer.
pub(super) type Endpoint = fn(&Catalog, &Asked) -> Result<Answer, ApiError>;

/// A path's parts; an error where they are no text.
type PathValues = Result<RawPathParams, RawPathParamsRejection>;

/// Returns the service of `catalog`.
pub(super) fn router(catalog: Arc<Catalog>, running: watch::Receiver<()>) -> Router {
    routes::all()
        .fallback(unknown)
        // Bodies may be packed; their bound is kept behind it, where they are unpacked.
        .layer(RequestDecompressionLayer::new())
        // Outermost: it names the product in every answer, and words those that axum and the layer above give.
        .layer(middleware::from_fn(in_the_engines_words))
        .with_state(Server { catalog, room: Arc::new(Semaphore::new(AT_WORK)), running })
}

/// Makes a handler of an endpoint.
pub(super) fn handler(
    endpoint: Endpoint,
) -> impl Fn(State<Server>, PathValues, Request) -> Pin<Box<dyn Future<Output = Response> + Send>> + Clone + Send + Sync + 'static {
    move |State(server), values, request| Box::pin(server.answer(endpoint, values, request))
}

// === impl Server ===

impl Server {
    async fn answer(self, endpoint: Endpoint, values: PathValues, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let parameters = Parameters::read(head.uri.path(), head.uri.query());
        let is_pretty = matches!(parameters.flag("pretty"), Ok(Some(true)));
        // Before the body is read, so that there are no more of them in memory; the semaphore is never closed.
        let place = Arc::clone(&self.room).acquire_owned().await;
        let answer = match (path_values(values), self.read(body).await) {
            (Ok(path_values), Ok(body)) => match media::check(&head.headers, !body.is_empty()) {
                Ok(()) => {
                    let asked = Asked { parameters, path_values, body };
                    work(move || {
                        // Kept until the work is done, even when the client has gone.
                        let _place = place;
                        endpoint(&self.catalog, &asked)
                    })
                    .await
                }
                Err(Refusal::NotSupported(sentence)) => Answer::sentence(StatusCode::NOT_ACCEPTABLE, &sentence),
                Err(Refusal::Wrong(error)) => Answer::failed(&error),
            },
            (Err(error), _) | (_, Err(error)) => Answer::failed(&error),
        };
        let written = if is_pretty { pretty(&answer.body) } else { answer.body };
        (answer.status, [(header::CONTENT_TYPE, media::of_answer(&head.headers))], written).into_response()
    }

    /// Reads a body up to the bound. One that is not finished ends with the engine.
    async fn read(&self, body: Body) -> Result<Bytes, ApiError> {
        let mut running = self.running.clone();
        let stopping = async move {
            let _ = running.changed().await;
            sleep(ARRIVAL).await;
        };
        let read = select! {
            biased;
            read = to_bytes(body, LARGEST_BODY) => read,
            () = stopping => return Err(stopped()),
        };
        read.map_err(|error| {
            if error.source().is_some_and(|source| source.is::<LengthLimitError>()) {
                let cause = Cause::new("content_too_long_exception", format!("the body is larger than [{LARGEST_BODY}] bytes"));
                return ApiError::new(413, cause);
            }
            ApiError::new(400, Cause::new("parse_exception", format!("the body cannot be read: {error}")))
        })
    }
}

/// Returns the parts of a path, decoded.
fn path_values(values: PathValues) -> Result<Vec<(String, String)>, ApiError> {
    match values {
        Ok(values) => Ok(values.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()),
        Err(rejection) => Err(ApiError::illegal_argument(format!("the path cannot be read: {}", rejection.body_text()))),
    }
}

/// Does what takes a processor or a disk.
async fn work(work: impl FnOnce() -> Result<Answer, ApiError> + Send + 'static) -> Answer {
    match task::spawn_blocking(work).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => Answer::failed(&error),
        Err(_) => Answer::failed(&ApiError::internal("engine_exception", "the engine failed while it worked on the request")),
    }
}

// === impl Asked ===

impl Asked {
    /// Returns a part of the path, decoded; empty where the route has no such part.
    pub(super) fn path_value(&self, wanted: &str) -> &str {
        self.path_values.iter().find(|(name, _)| name == wanted).map_or("", |(_, value)| value)
    }

    /// Returns the body, or `source` of the URL instead of none.
    pub(super) fn body(&self) -> &[u8] {
        match self.parameters.get("source") {
            Some(source) if self.body.is_empty() => source.as_bytes(),
            _ => &self.body,
        }
    }
}

/// Answers what no route takes.
async fn unknown(method: Method, uri: Uri) -> Response {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    answered(Answer::sentence(StatusCode::BAD_REQUEST, &format!("no handler found for uri [{path}] and method [{method}]")))
}

async fn in_the_engines_words(request: Request, next: Next) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = match routes::refuse(&method, uri.path()) {
        Some(error) => answered(Answer::failed(&error)),
        None => next.run(request).await,
    };
    match response.status() {
        StatusCode::METHOD_NOT_ALLOWED => {
            let list = route.map(|route| routes::allowed(route.as_str()).join(", ")).unwrap_or_default();
            let sentence = format!("Incorrect HTTP method for uri [{}] and method [{method}], allowed: [{list}]", uri.path());
            response = answered(Answer::sentence(StatusCode::METHOD_NOT_ALLOWED, &sentence));
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            response = answered(Answer::sentence(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Encoding is neither gzip nor identity"));
        }
        _ => {}
    }
    response.headers_mut().extend([PRODUCT]);
    response
}

fn answered(answer: Answer) -> Response {
    (answer.status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], answer.body).into_response()
}
