//! Takes a template search through the gateway: it is rendered by the engine, and then a search like any other.
//!
//! Where the engine does not render it, the client's own request goes out, and the page that comes back is reranked by the template
//! parameter that the rule names.

use std::{sync::Arc, time::Instant};

use http::{Request, Response, header};

use crate::{
    body::Body,
    config::{QueryFrom, Rule},
    es::{media, template},
    intercept::{
        Intercept,
        asked::{Asked, Unread},
        compute::compute,
        item::Item,
        plan,
        render::{NotRendered, Rendering},
        reuse::{self, Make},
        search::{Search, Shape},
    },
    rerank::{Outcome, Reason},
    respond,
};

/// One template search that has a rule.
pub struct Template {
    intercept: Intercept,
    rule: Arc<Rule>,
    started: Instant,
    search: Search,
}

// === impl Template ===

impl Template {
    /// The budget starts now, when the head was read.
    pub fn new(intercept: Intercept, rule: Arc<Rule>) -> Self {
        let started = Instant::now();
        Self { search: Search::since(intercept.clone(), Arc::clone(&rule), started), intercept, rule, started }
    }

    /// Answers the search.
    pub async fn answer(self, request: Request<Body>) -> Response<Body> {
        match Asked::read(request, &self.intercept.gateway, self.rule.total_timeout).await {
            Ok(asked) => reuse::answer(self, asked).await,
            Err(Unread::Forward(request, reason)) => self.search.forward(*request, reason).await,
            Err(Unread::Broken) => respond::request_body_broken(),
        }
    }

    async fn take(&self, asked: &Asked, read: &template::Template<'_>) -> Response<Body> {
        let search = &self.search;
        let path = searched_path(asked.path());
        let left = self.rule.total_timeout.saturating_sub(self.started.elapsed());
        let rendering = Rendering { asked, body: &asked.decoded, template: read, content_type: None, left };
        let body = match rendering.search(&self.intercept).await {
            Ok(body) => body,
            Err(NotRendered::Answer(answer)) => return search.finish(*answer, &Outcome::Skipped(Reason::UpstreamStatus), None),
            Err(NotRendered::Skipped(Reason::NoQueryText)) => return self.page(asked, read, &path).await,
            Err(NotRendered::Skipped(reason)) => return search.resend(asked, reason).await,
        };
        let wish = plan::Search { path: &path, template_params: read.params, body: body.as_bytes(), ..asked.search() };
        let gateway = &self.intercept.gateway;
        let item = Item { gateway, rule: &self.rule, headers: &asked.head.headers, search: wish, path: &path };
        match gateway.searches.of(&self.rule).plan(self.started, || item.plan(gateway.max_inspected_body)) {
            Ok(planned) => search.send(asked, item, planned, Shape::Template).await,
            Err(reason) => search.resend(asked, reason).await,
        }
    }

    /// Sends the client's own request, and has the page that comes back ranked by the parameter that the rule names.
    async fn page(&self, asked: &Asked, read: &template::Template<'_>, path: &str) -> Response<Body> {
        let named = match &self.rule.query.from {
            QueryFrom::TemplateParam(name) => read.params.and_then(|params| plan::from_template(params, name)),
            QueryFrom::Auto | QueryFrom::Pointer(_) | QueryFrom::UrlParam(_) => None,
        };
        let search = &self.search;
        let Some(text) = named else { return search.resend(asked, Reason::NoQueryText).await };
        // An explanation or a profile is of a search that is not known here.
        if read.is_flagged() {
            return search.resend(asked, Reason::Unsupported).await;
        }
        let gateway = &self.intercept.gateway;
        let item = Item { gateway, rule: &self.rule, headers: &asked.head.headers, search: asked.search(), path };
        let planned = gateway.searches.of(&self.rule).plan(self.started, || item.plan_page(text));
        search.send(asked, item, planned, Shape::Own).await
    }
}

impl Make for Template {
    fn search(&self) -> &Search {
        &self.search
    }

    fn again(&self) -> Self {
        Self::new(self.intercept.clone(), Arc::clone(&self.rule))
    }

    async fn make(&self, asked: &Asked) -> Response<Body> {
        match compute(asked.decoded.len(), || read(asked)).ok_or(Reason::Internal).flatten() {
            Ok(read) => self.take(asked, &read).await,
            Err(reason) => self.search.resend(asked, reason).await,
        }
    }
}

/// Checks that a template search is one that can be rendered and sent as a search.
fn read(asked: &Asked) -> Result<template::Template<'_>, Reason> {
    media::check(asked.text(header::CONTENT_TYPE), asked.text(header::ACCEPT), true)?;
    template::check_params(asked.head.uri.query())?;
    Ok(template::Template::read(&asked.decoded)?)
}

/// Returns the path of the search, or the searches, that a template search becomes.
pub(super) fn searched_path(path: &str) -> String {
    let path = path.strip_suffix('/').unwrap_or(path);
    path.strip_suffix("/template").unwrap_or(path).to_owned()
}
