//! Chooses the one text that the model is asked, of all that a search says.

use std::collections::HashMap;

use super::{FoundText, Search};
use crate::{
    config::{QueryFrom, Rule, Several},
    es::{
        ext,
        json::{self, Object},
        pointer,
        query_syntax::{self, Dialect},
        query_text::MOST_TEXT,
        template,
        url::Params,
    },
};

/// The header by which a client that the rule trusts says what it searches for.
const HEADER: &str = "Rerank-Query";

/// A search that is asked for its query text.
pub(super) struct Question<'a> {
    pub(super) search: &'a Search<'a>,
    pub(super) rule: &'a Rule,
    pub(super) params: &'a Params<'a>,
    pub(super) body: &'a Object<'a>,
}

// === impl Question ===

impl Question<'_> {
    /// Returns the query text by precedence: what says that it is one, where the rule says, what plugins take for one, the URL's `q`
    /// (which replaces the body's query), what a reranking retriever was to ask, the best of the `leaves` that stand in the body.
    pub(super) fn text(&self, said: ext::Said, leaves: Vec<FoundText>) -> Option<FoundText> {
        let header = self.search.rerank_query.filter(|_| self.rule.trust_client);
        let explicit = header.and_then(|text| FoundText::new(text, HEADER)).or(said.rerank).or_else(|| self.search.own?.explicit.clone());
        if let Some(text) = explicit.or_else(|| self.named()) {
            return Some(text);
        }
        if !said.typed.is_empty() {
            return settle(said.typed, self.rule.query.several);
        }
        if self.params.get("q").is_some() {
            return from_url(self.params, "q");
        }
        self.search.own.and_then(|own| own.inference.clone()).or_else(|| settle(leaves, self.rule.query.several))
    }

    /// Returns what stands where the rule says.
    fn named(&self) -> Option<FoundText> {
        match &self.rule.query.from {
            QueryFrom::Auto => None,
            QueryFrom::Pointer(at) => pointer::find(self.body, at).and_then(json::string).and_then(|text| FoundText::new(&text, at)),
            QueryFrom::UrlParam(name) => from_url(self.params, name),
            QueryFrom::TemplateParam(name) => self.search.template_params.and_then(|params| from_template(params, name)),
        }
    }
}

fn from_url(params: &Params<'_>, name: &str) -> Option<FoundText> {
    let value = params.get(name)?;
    let at = format!("?{name}");
    if name == "q" { FoundText::new(&query_syntax::words(value, Dialect::Lucene), &at) } else { FoundText::new(value, &at) }
}

/// Returns the query text in a template's parameter.
pub fn from_template(params: &str, name: &str) -> Option<FoundText> {
    let text = template::param(params, name).filter(|text| text.len() <= MOST_TEXT)?;
    FoundText::new(&text, &format!("/params/{name}"))
}

/// Returns the one text that stands for all that were found.
fn settle(found: Vec<FoundText>, several: Several) -> Option<FoundText> {
    let mut places = HashMap::new();
    let mut distinct: Vec<(usize, FoundText)> = Vec::new();
    for text in found {
        let place = *places.entry(text.text.clone()).or_insert(distinct.len());
        match distinct.get_mut(place) {
            Some((count, _)) => *count += 1,
            None => distinct.push((1, text)),
        }
    }
    if several == Several::Bypass && distinct.len() > 1 {
        return None;
    }
    if several == Several::Join {
        let text = distinct.iter().map(|(_, own)| own.text.as_str()).collect::<Vec<_>>().join(" ");
        return distinct.into_iter().next().map(|(_, first)| FoundText { text, at: first.at });
    }
    let weight = |(count, own): &(usize, FoundText)| (if several == Several::Common { *count } else { 0 }, own.text.chars().count());
    // Of equals, `max_by_key` takes the last; the first is wanted.
    distinct.into_iter().rev().max_by_key(weight).map(|(_, best)| best)
}
