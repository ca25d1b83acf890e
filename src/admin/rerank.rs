//! The rerank API: scores texts with a model of the configuration, in the shape that Cohere and Jina made common.
//!
//! Another Podium asks here (`protocol = "podium"`), and so can everything that speaks either of the two.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, Request, Response, StatusCode, header::AUTHORIZATION};
use rerank_plugin::{Deadline, Digest128, Part, Score};
use serde::{Deserialize, Serialize};
use tokio::task;

use crate::{
    admission::Memory,
    body::{Body, Collected, collect_metered},
    inference,
    models::Registry,
    rerank::{Digester, Reason},
    respond,
};

/// Documents of one call: as many as the largest window.
const MOST_DOCUMENTS: usize = 10_000;
/// What one call may take, from its head to its scores.
const LONGEST: Duration = Duration::from_secs(60);

/// The scheme of a token; its case makes no difference (RFC 9110 §11.1).
const BEARER: &str = "Bearer ";

/// What a caller is told who does not show the token.
pub(super) const UNKNOWN: &str = "show admin.token as `Authorization: Bearer …`";

/// Answers calls of the rerank API.
#[derive(Clone)]
pub struct RerankApi {
    registry: Arc<Registry>,
    digester: Digester,
    cap: usize,
    memory: Memory,
    /// Of the token; compared as digests, whose equality tells nothing of where two texts differ.
    token: Option<Digest128>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    model: Option<String>,
    query: String,
    documents: Vec<Text>,
    top_n: Option<usize>,
    #[serde(default)]
    return_documents: bool,
    instruction: Option<String>,
    max_tokens_per_doc: Option<u32>,
}

/// A document as it is sent: Jina takes either.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Bare(String),
    Object { text: String },
}

#[derive(Serialize)]
struct Answer {
    model: String,
    results: Vec<Ranked>,
}

#[derive(Serialize)]
struct Ranked {
    index: usize,
    relevance_score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<Returned>,
}

#[derive(Serialize)]
struct Returned {
    text: String,
}

/// Why a call is not answered with scores.
type Refusal = (StatusCode, String);

// === impl RerankApi ===

impl RerankApi {
    /// Scores with the models of `registry` for callers who show `token`; bodies of up to `cap` bytes are read, and no more
    /// of them than `memory` has room for.
    pub fn new(registry: Arc<Registry>, digester: Digester, (cap, memory): (usize, &Memory), token: Option<&str>) -> Self {
        let token = token.map(|token| digester.start().piece(token.as_bytes()).finish());
        Self { registry, digester, cap, memory: memory.clone(), token }
    }

    /// Answers one call.
    pub(super) async fn answer(self, request: Request<Body>) -> Response<Body> {
        let deadline = Deadline::after(LONGEST);
        if !self.knows(request.headers()) {
            return respond::rerank_refused(StatusCode::UNAUTHORIZED, UNKNOWN);
        }
        match self.rank(request.into_body(), deadline).await {
            Ok(answer) => respond::json(StatusCode::OK, &answer),
            Err((status, reason)) => respond::rerank_refused(status, &reason),
        }
    }

    /// Whether a caller shows the token, if there is one.
    pub(super) fn knows(&self, headers: &HeaderMap) -> bool {
        let Some(token) = self.token else { return true };
        let shown = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().split_at_checked(BEARER.len()));
        shown.is_some_and(|(scheme, shown)| {
            scheme.eq_ignore_ascii_case(BEARER.as_bytes()) && self.digester.start().piece(shown).finish() == token
        })
    }

    async fn rank(&self, body: Body, deadline: Deadline) -> Result<Answer, Refusal> {
        let bad = |reason: String| (StatusCode::BAD_REQUEST, reason);
        let mut room = self.memory.room();
        let body = match collect_metered(body, self.cap, Some(LONGEST), |bytes| room.add(bytes)).await {
            // What is made of it takes as much, until the call is answered.
            Ok(Collected::Whole(body)) => room.until_dropped(body),
            Ok(Collected::TooLarge(_)) if room.was_refused() => {
                return Err((StatusCode::TOO_MANY_REQUESTS, "too much is looked into at present (inspected-memory)".to_owned()));
            }
            Ok(Collected::TooLarge(_)) => {
                return Err((StatusCode::PAYLOAD_TOO_LARGE, format!("the body has more than {} bytes", self.cap)));
            }
            Ok(Collected::TooSlow(_)) => return Err((StatusCode::REQUEST_TIMEOUT, "the body did not come in time".to_owned())),
            Err(_) => return Err(bad("the body broke off".to_owned())),
        };
        let held = body.clone();
        let read = task::spawn_blocking(move || serde_json::from_slice::<Ask>(&held)).await;
        let read = read.map_err(|_| (StatusCode::INTERNAL_SERVER_ERROR, "reading the body failed".to_owned()))?;
        let ask = read.map_err(|error| bad(format!("the body is no call of this API: {error}")))?;
        if ask.documents.len() > MOST_DOCUMENTS {
            return Err((StatusCode::PAYLOAD_TOO_LARGE, format!("there are more than {MOST_DOCUMENTS} documents")));
        }
        let model = self.model(ask.model)?;
        let texts: Vec<String> = ask.documents.into_iter().map(Text::into_string).collect();
        if let Some(empty) = texts.iter().position(|text| text.trim().is_empty()) {
            return Err(bad(format!("documents[{empty}] is empty")));
        }
        if texts.is_empty() || ask.query.trim().is_empty() {
            return Err(bad("a query and at least one document are needed".to_owned()));
        }
        let reranker = self.registry.get(&model).map_err(|reason| refused(reason, &model))?;
        if ask.instruction.is_some() && !reranker.card().takes_instruction {
            return Err(bad(format!("the model {model} takes no instruction")));
        }
        let query = self.digester.query(ask.instruction.map(Arc::from), vec![Part::text(ask.query)]);
        let document = |text: &String| {
            let part = Part::Text { label: None, text: Arc::from(text.as_str()), max_tokens: ask.max_tokens_per_doc };
            self.digester.document(vec![part])
        };
        let documents = texts.iter().map(document).collect();
        let scores = reranker.score(inference::Ask::all(query, documents, deadline)).await.map_err(|reason| refused(reason, &model))?;
        let returned = ask.return_documents.then_some(texts);
        Ok(Answer { model, results: ranked(&scores.by_document, ask.top_n, returned) })
    }

    /// Returns the model that is asked for: the only one where none is named.
    fn model(&self, named: Option<String>) -> Result<String, Refusal> {
        let known: Vec<&str> = self.registry.states().map(|(name, _)| name).collect();
        match (named, known.as_slice()) {
            (Some(name), _) if known.contains(&name.as_str()) => Ok(name),
            (None, [only]) => Ok((*only).to_owned()),
            (named, _) => {
                let missing = named.map_or_else(|| "`model` is missing".to_owned(), |name| format!("there is no model {name:?}"));
                Err((StatusCode::NOT_FOUND, format!("{missing}; the models are: {}", known.join(", "))))
            }
        }
    }
}

/// Returns the best `top` documents, best first; one that the model cannot read is last, with a score of zero.
fn ranked(scores: &[Option<Score>], top: Option<usize>, texts: Option<Vec<String>>) -> Vec<Ranked> {
    let mut texts = texts.map(|texts| texts.into_iter().map(Some).collect::<Vec<_>>());
    let mut places: Vec<usize> = (0..scores.len()).collect();
    let order = |place: usize| scores[place].map_or(f32::NEG_INFINITY, Score::order);
    places.sort_by(|one, other| order(*other).total_cmp(&order(*one)));
    places.truncate(top.unwrap_or(usize::MAX));
    let result = |index: usize| Ranked {
        index,
        relevance_score: scores[index].map_or(0.0, Score::presented),
        document: texts.as_mut().and_then(|texts| texts[index].take()).map(|text| Returned { text }),
    };
    places.into_iter().map(result).collect()
}

fn refused(reason: Reason, model: &str) -> Refusal {
    let (status, words) = match reason {
        Reason::ModelLoading => (StatusCode::SERVICE_UNAVAILABLE, "is loading"),
        Reason::ModelUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "is unavailable; /ready says why"),
        Reason::BreakerOpen => (StatusCode::SERVICE_UNAVAILABLE, "fails too often at present; it is tried again within seconds"),
        Reason::QueueFull => (StatusCode::TOO_MANY_REQUESTS, "has too many documents waiting"),
        Reason::Overloaded => (StatusCode::TOO_MANY_REQUESTS, "would not score as many in time"),
        Reason::Timeout => (StatusCode::GATEWAY_TIMEOUT, "did not score in time"),
        Reason::NoQueryText => (StatusCode::BAD_REQUEST, "cannot read the query"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "failed; the log says more"),
    };
    (status, format!("the model {model} {words}"))
}

// === impl Text ===

impl Text {
    fn into_string(self) -> String {
        match self {
            Self::Bare(text) | Self::Object { text } => text,
        }
    }
}
