//! Has the engine render a template, with the client's own credentials, into the text of a search.

use std::{sync::Arc, time::Duration};

use rerank_plugin::Digest128;
use tokio::time;

use crate::{
    es::template::{self, Template},
    intercept::{
        Intercept,
        answer::{self, Answer},
        asked::Asked,
        compute::compute,
        widen::Widened,
    },
    rerank::Reason,
};

const PATH: &str = "/_render/template";

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

// === impl Rendering ===

impl Rendering<'_> {
    /// Returns the search that the engine makes of the template; what it made of an inline one before is remembered.
    ///
    /// # Errors
    /// [`Reason::NoQueryText`] where the engine renders nothing that is a search, [`Reason::Timeout`] where it does not do so in time,
    /// [`Reason::Unsupported`] for a search that its path says nothing of.
    pub async fn search(&self, intercept: &Intercept) -> Result<String, Reason> {
        let text = self.text(intercept).await?;
        let search = compute(text.len(), || self.template.search(&text)).ok_or(Reason::Internal)?;
        Ok(search.ok_or(Reason::NoQueryText)??)
    }

    async fn text(&self, intercept: &Intercept) -> Result<Arc<str>, Reason> {
        let memory = &intercept.gateway.memory;
        let name = self.name(intercept).filter(|_| self.template.is_inline);
        if let Some(known) = name.and_then(|name| memory.rendered(name)) {
            return Ok(known);
        }
        let asked = time::timeout(self.left, self.ask(intercept)).await.map_err(|_| Reason::Timeout)?;
        let text: Arc<str> = asked.ok_or(Reason::NoQueryText)?.into();
        if let Some(name) = name {
            memory.remember_rendered(name, Arc::clone(&text));
        }
        Ok(text)
    }

    fn name(&self, intercept: &Intercept) -> Option<Digest128> {
        let start = intercept.gateway.digester.start().piece(PATH.as_bytes());
        compute(self.body.len(), || start.piece(self.body).finish())
    }

    async fn ask(&self, intercept: &Intercept) -> Option<String> {
        let instead = Widened { target: PATH.to_owned(), content_type: self.content_type.clone(), body: self.body.to_vec() };
        let response = intercept.upstream.send(self.asked.instead(instead)?).await.ok()?;
        match answer::read(response, intercept.gateway.max_inspected_body, true).await {
            Answer::Hits { decoded, .. } => compute(decoded.len(), || template::rendered(&decoded)).flatten(),
            Answer::Final(_) | Answer::Refused(_) => None,
        }
    }
}
