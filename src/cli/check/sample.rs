//! Takes a sample of a rule's index, shows what the model would see of it, and predicts how long a window takes.

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use rerank_plugin::{Deadline, Document, Part};

use super::{ask, report::Rule};
use crate::{
    config,
    es::{reading::Reading, response::SearchResponse},
    inference::{Ask, Reranker},
    rerank::{Digester, candidates},
    upstream::own::OwnCalls,
};

/// Hits that are looked at; scoring them predicts the whole window.
const SAMPLE: usize = 16;
const SHOWN: usize = 3;
const SHOWN_CHARACTERS: usize = 100;
const PATIENCE: Duration = Duration::from_secs(60);

/// One rule, to be checked.
pub(super) struct Checker<'a> {
    pub(super) calls: &'a OwnCalls,
    pub(super) rule: &'a config::Rule,
    pub(super) digester: &'a Digester,
    pub(super) cap: usize,
}

// === impl Checker ===

impl Checker<'_> {
    /// Checks the rule; without a model only what it would see.
    pub(super) async fn check(&self, reranker: Option<&Reranker>) -> Rule {
        let index = self.rule.index.join(",");
        let timeout_ms = milliseconds(self.rule.timeout);
        let mut found = Rule { number: self.rule.number, index, timeout_ms, ..Rule::default() };
        match self.sample(&mut found).await {
            Ok(documents) if documents.is_empty() => {}
            Ok(documents) => self.predict(&mut found, reranker, documents).await,
            Err(warning) => found.warnings.push(warning),
        }
        found
    }

    /// Returns the sample's documents, and writes down what they look like.
    async fn sample(&self, found: &mut Rule) -> Result<Vec<Document>, String> {
        let target = format!("/{}/_search", percent_encoding::utf8_percent_encode(&found.index, percent_encoding::NON_ALPHANUMERIC));
        let search = format!(r#"{{"size":{SAMPLE}}}"#);
        let answer = ask(self.calls, Method::POST, &target, &search, self.cap).await.map_err(|error| error.to_string())?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err("the index does not exist yet".to_owned()),
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                let remedy = match self.calls.has_credentials() {
                    true => "does not let those of upstream.credentials read the index",
                    false => "wants credentials: write upstream.credentials",
                };
                return Err(format!("the cluster {remedy} ({status}); the rule was not looked at"));
            }
            status => return Err(format!("the cluster answers {status} to a search")),
        }
        let response = SearchResponse::parse(&answer.body).map_err(|error| error.to_string())?;
        found.hits = response.hits.len();
        let candidates = candidates::select(&response.hits, &self.rule.fields, &Reading::Source, self.digester);
        found.with_text = candidates.len();
        found.texts = candidates.iter().take(SHOWN).map(|candidate| candidates::shown(candidate, SHOWN_CHARACTERS)).collect();
        if found.hits == 0 {
            found.warnings.push("the index is empty".to_owned());
        } else if candidates.is_empty() {
            let names: Vec<&str> = self.rule.fields.iter().map(|field| field.name.as_ref()).collect();
            found.warnings.push(format!("no hit's _source has text in {}; searches will ask for them through `fields`", names.join(", ")));
        }
        Ok(candidates.into_iter().map(|candidate| candidate.document).collect())
    }

    /// Scores the sample for two searches: as it comes, and with what the first left for others.
    async fn predict(&self, found: &mut Rule, reranker: Option<&Reranker>, documents: Vec<Document>) {
        let Some(reranker) = reranker else { return };
        let scale = self.rule.window as f64 / documents.len() as f64;
        let mut times = [0.0; 2];
        // The same search again would find its scores.
        for (time, text) in times.iter_mut().zip(["what a client may search for", "what another may search for"]) {
            let query = self.digester.query(self.rule.instruction.clone(), vec![Part::text(text)]);
            let started = Instant::now();
            if let Err(reason) = reranker.score(Ask::all(query, documents.clone(), Deadline::after(PATIENCE))).await {
                found.warnings.push(format!("the model did not score the sample: {reason}"));
                return;
            }
            *time = milliseconds(started.elapsed()) * scale;
        }
        let [cold, warm] = times;
        (found.cold_ms, found.warm_ms) = (Some(cold), Some(warm));
        if warm > found.timeout_ms {
            found.warnings.push("even a warm window takes longer than timeout: lower window or raise timeout".to_owned());
        } else if cold > found.timeout_ms {
            found.warnings.push(
                "a cold window takes longer than timeout: first searches keep the engine's order until vectors are cached; podium warm \
                 computes them ahead"
                    .to_owned(),
            );
        }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
