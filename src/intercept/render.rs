//! Has the engine render a template, with the client's own credentials, into the text of a search.

use std::{sync::Arc, time::Duration};

use http::{Response, StatusCode};
use rerank_plugin::Digest128;
use tokio::time;

use crate::{
    body::Body,
    es::template::{self, Template},
    intercept::{
        Intercept,
        answer::{self, Answer},
        asked::Asked,
        compute::compute,
        widen::Widened,
    },
    rerank::Reason,
    respond,
};

const PATH: &str = "/_render/template";
/// What a cluster says that has too much to do, or what stands before one.
const OVERLOADED: [StatusCode; 4] =
    [StatusCode::TOO_MANY_REQUESTS, StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];

/// One template to be rendered for a client.
pub struct Rendering<'a> {
    /// The client's request.
    pub asked: &'a Asked,
    /// The template's body as the client wrote it.
    pub body: &'a [u8],
    /// What the body says.
    pub template: &'a Template<'a>,
    /// How the body is to be declared; `None`: as the request is.
    pub content_type: Option<String>,
    /// What is left of the budget.
    pub left: Duration,
}

/// Why there is no search to send.
pub enum NotRendered {
    /// The client's own request is to be sent.
    Skipped(Reason),
    /// The cluster has too much to do, or is gone: it is not asked once more, and this is the answer.
    Answer(Box<Response<Body>>),
}

// === impl Rendering ===

impl Rendering<'_> {
    /// Returns the search that the engine makes of the template; what it made of an inline one before is remembered.
    ///
    /// # Errors
    /// [`Reason::NoQueryText`] where the engine renders nothing that is a search, [`Reason::Timeout`] where it does not do so in time,
    /// [`Reason::Unsupported`] for a search that its path says nothing of; the cluster's own answer where it is overloaded or gone.
    pub async fn search(&self, intercept: &Intercept) -> Result<String, NotRendered> {
        let text = self.text(intercept).await?;
        let search = compute(text.len(), || self.template.search(&text)).ok_or(Reason::Internal)?;
        Ok(search.ok_or(Reason::NoQueryText)?.map_err(Reason::from)?)
    }

    async fn text(&self, intercept: &Intercept) -> Result<Arc<str>, NotRendered> {
        let memory = &intercept.gateway.memory;
        let name = self.name(intercept).filter(|_| self.template.is_inline);
        if let Some(known) = name.and_then(|name| memory.rendered(name)) {
            return Ok(known);
        }
        let asked = time::timeout(self.left, self.ask(intercept)).await.map_err(|_| Reason::Timeout)?;
        let text: Arc<str> = asked?.into();
        if let Some(name) = name {
            memory.remember_rendered(name, Arc::clone(&text));
        }
        Ok(text)
    }

    fn name(&self, intercept: &Intercept) -> Option<Digest128> {
        let start = intercept.gateway.digester.start().piece(PATH.as_bytes());
        compute(self.body.len(), || start.piece(self.body).finish())
    }

    async fn ask(&self, intercept: &Intercept) -> Result<String, NotRendered> {
        let instead = Widened { target: PATH.to_owned(), content_type: self.content_type.clone(), body: self.body.to_vec() };
        let instead = self.asked.instead(instead).ok_or(Reason::Internal)?;
        let failed = |error| NotRendered::Answer(Box::new(respond::upstream_error(&error)));
        let response = intercept.upstream.send(instead).await.map_err(failed)?;
        match answer::read(response, &intercept.gateway, true).await {
            Answer::Hits { decoded, .. } => {
                let rendered = compute(decoded.len(), || template::rendered(&decoded)).ok_or(Reason::Internal)?;
                Ok(rendered.ok_or(Reason::NoQueryText)?)
            }
            Answer::Final(response) if OVERLOADED.contains(&response.status()) => Err(NotRendered::Answer(Box::new(response))),
            Answer::Final(_) | Answer::Refused(_) => Err(Reason::NoQueryText.into()),
        }
    }
}

// === impl NotRendered ===

impl NotRendered {
    /// Why the search is not reranked.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Skipped(reason) => *reason,
            Self::Answer(_) => Reason::UpstreamStatus,
        }
    }

    /// The answer that there is already.
    pub fn answer(self) -> Option<Response<Body>> {
        match self {
            Self::Skipped(_) => None,
            Self::Answer(answer) => Some(*answer),
        }
    }
}

impl From<Reason> for NotRendered {
    fn from(reason: Reason) -> Self {
        Self::Skipped(reason)
    }
}
