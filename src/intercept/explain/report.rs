//! What Podium makes of one search, told step by step. Pure: it is filled in by its parent, and printed by others.

use std::time::Duration;

use serde::Serialize;

use crate::{
    config::{Fusion, Rule},
    es::{hit::Hit, reading::Reading},
    intercept::{
        plan::{SearchPlan, Widening},
        rank::Scored,
        widen::Widened,
    },
    rerank::{
        Outcome, Reason,
        arrange::Fused,
        candidates::{Candidate, shown},
    },
    route::Expression,
};

/// Characters of a hit's text that are shown.
const SHOWN: usize = 300;

/// One search, explained. What was not reached is `None` or empty.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// Path and query of the search, as it came.
    pub search: String,
    /// What `Rerank-Status` would say.
    pub rerank_status: String,
    /// Why the engine's order stays, if it does.
    pub skipped: Option<Skipped>,
    /// What went wrong on the way, in words.
    pub failure: Option<String>,
    /// What the rules say about each index expression.
    pub expressions: Vec<Expression>,
    /// The rule's place in the file, from 0.
    pub rule: Option<usize>,
    /// What the model is asked.
    pub query_text: Option<QueryText>,
    /// Which hits the engine is asked for, and which of them may move.
    pub window: Option<Window>,
    /// Where the hits' texts are read.
    pub reading: Option<Texts>,
    /// What goes to the engine instead of the search.
    pub sent: Option<Sent>,
    /// The model, and how its scores and the engine's become one.
    pub model: Option<ModelTold>,
    /// Milliseconds.
    pub times: Times,
    /// The hits that may move, in their new order.
    pub hits: Vec<Row>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
}

/// A reason in words.
#[derive(Debug, Serialize)]
pub struct Skipped {
    /// The word of `Rerank-Status`.
    pub reason: &'static str,
    /// What happened.
    pub meaning: &'static str,
    /// What can be done about it.
    pub remedy: &'static str,
}

/// The text that stands for the search.
#[derive(Debug, Serialize)]
pub struct QueryText {
    /// As the model gets it.
    pub text: String,
    /// A JSON pointer into the body, or `?name` for a URL parameter.
    pub found_at: String,
}

/// Page and window.
#[derive(Debug, Serialize)]
pub struct Window {
    /// The first hit of the client's page, from 0.
    pub from: usize,
    /// Hits of the client's page.
    pub size: usize,
    /// Whether more is asked for than the page.
    pub widened: bool,
    /// Hits that the engine is asked for.
    pub fetched: usize,
    /// How many of them may move.
    pub ranked: usize,
}

/// Where texts are read.
#[derive(Debug, Serialize)]
pub struct Texts {
    /// The rule's fields.
    pub names: Vec<String>,
    /// `_source` or `fields`.
    pub from: &'static str,
    /// Names that are added to the search's `fields`, and taken out of the answer again.
    pub added: Vec<String>,
}

/// The widened search.
#[derive(Debug, Serialize)]
pub struct Sent {
    /// Path and query.
    pub target: String,
    /// The body.
    pub body: String,
}

/// How the new order came about.
#[derive(Debug, Serialize)]
pub struct ModelTold {
    /// Its name in the configuration.
    pub name: String,
    /// `adaptive`, `weighted`, `replace` or `rrf`.
    pub fusion: Option<&'static str>,
    /// Trust in the model, for adaptive fusion.
    pub trust: Option<f64>,
    /// How much higher it scores matched than unmatched texts.
    pub unit: Option<f64>,
}

/// Where the time went, in milliseconds.
#[derive(Debug, Default, Serialize)]
pub struct Times {
    /// Until the engine's answer was there.
    pub engine_ms: Option<f64>,
    /// From there until all was scored.
    pub rerank_ms: Option<f64>,
    /// What a search of this rule has for that.
    pub timeout_ms: Option<f64>,
}

/// One hit.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Its new rank, from 1.
    pub rank: usize,
    /// Its rank in the engine's order.
    pub engine_rank: usize,
    /// `_index`
    pub index: String,
    /// `_id`
    pub id: String,
    /// The engine's score.
    pub engine_score: Option<f64>,
    /// The model's score.
    pub rerank_score: Option<f32>,
    /// What both became; the order follows it.
    pub fused_score: Option<f64>,
    /// `_score` in the answer.
    pub score: Option<f64>,
    /// What the model sees of it, shortened; nothing when it has no text or an editor put it where it is.
    pub text: Option<String>,
}

/// Returns the rows of a window in their new order; without scores in the engine's.
pub(super) fn rows(window: &[Hit<'_>], plan: &SearchPlan, candidates: &[Candidate], scored: Option<&Scored>) -> Vec<Row> {
    let order: Vec<usize> = match scored {
        Some(scored) => scored.arrangement.ranking.order()[..window.len()].to_vec(),
        None => (0..window.len()).collect(),
    };
    let row = |(position, place): (usize, usize)| {
        let hit = &window[place];
        let fused: Option<&Fused> = scored.and_then(|scored| scored.fused.iter().find(|fused| fused.place == place));
        let presented = scored.and_then(|scored| scored.arrangement.scores.get(place).copied().flatten());
        Row {
            rank: plan.skipped() + position + 1,
            engine_rank: plan.skipped() + place + 1,
            index: hit.index.to_string(),
            id: hit.id.to_string(),
            engine_score: hit.score,
            rerank_score: fused.and_then(|fused| fused.rerank).map(|score| score.order()),
            fused_score: fused.map(|fused| fused.order),
            score: presented.map(f64::from).or(hit.score),
            text: candidates.iter().find(|candidate| candidate.place == place).map(|candidate| shown(candidate, SHOWN)),
        }
    };
    order.into_iter().enumerate().map(row).collect()
}

// === impl Explanation ===

impl Explanation {
    /// Returns the explanation of a search about which only its index is known.
    pub(super) fn new(search: String, expressions: Vec<Expression>) -> Self {
        Self {
            search,
            rerank_status: String::new(),
            skipped: None,
            failure: None,
            expressions,
            rule: None,
            query_text: None,
            window: None,
            reading: None,
            sent: None,
            model: None,
            times: Times::default(),
            hits: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// The engine's order stays, for this reason.
    pub(super) fn skip(mut self, reason: Reason) -> Self {
        let words = reason.words();
        self.rerank_status = Outcome::Skipped(reason).to_string();
        self.skipped = Some(Skipped { reason: reason.as_str(), meaning: words.meaning, remedy: words.remedy });
        self
    }

    /// The engine's order stays because something failed.
    pub(super) fn fail(mut self, reason: Reason, failure: String) -> Self {
        self.failure = Some(failure);
        self.skip(reason)
    }

    pub(super) fn tell_rule(&mut self, rule: &Rule) {
        self.rule = Some(rule.number);
        self.times.timeout_ms = Some(milliseconds(rule.timeout));
        self.model = Some(ModelTold { name: rule.model.to_string(), fusion: None, trust: None, unit: None });
    }

    pub(super) fn tell_plan(&mut self, rule: &Rule, plan: &SearchPlan) {
        let names = |list: &[std::sync::Arc<str>]| list.iter().map(ToString::to_string).collect();
        let (from, added) = match &plan.reading {
            Reading::Source => ("_source", Vec::new()),
            Reading::Fields { added } => ("fields", names(added)),
        };
        self.query_text = Some(QueryText { text: plan.query_text.text.clone(), found_at: plan.query_text.at.clone() });
        self.reading = Some(Texts { names: rule.fields.iter().map(|field| field.name.to_string()).collect(), from, added });
        self.window = Some(Window {
            from: plan.page.from,
            size: plan.page.size,
            widened: plan.widening == Widening::Window,
            fetched: plan.fetch,
            ranked: plan.ranked,
        });
        if plan.page.from > 0 && plan.widening == Widening::Window {
            self.notes
                .push("a later page follows the order that the search's first page was given; this one was computed by itself".to_owned());
        }
    }

    pub(super) fn tell_sent(&mut self, widened: &Widened) {
        self.sent = Some(Sent { target: widened.target.clone(), body: String::from_utf8_lossy(&widened.body).into_owned() });
    }

    /// Tells what the model made of the window.
    pub(super) fn tell_scores(&mut self, scored: &Scored, unit: Option<f64>, took: Duration) {
        self.rerank_status = scored.pin.outcome.to_string();
        let trust = match &scored.pin.outcome {
            Outcome::Reranked(reranked) => reranked.trust,
            Outcome::Skipped(_) => None,
        };
        if let Some(model) = &mut self.model {
            (model.fusion, model.trust, model.unit) = (Some(word(scored.fusion)), trust, unit);
        }
        let rerank_ms = milliseconds(took);
        self.times.rerank_ms = Some(rerank_ms);
        if self.times.timeout_ms.is_some_and(|timeout| rerank_ms > timeout) {
            self.notes.push(
                "reranking took longer than the rule's `timeout`: a search would have kept the engine's order (timeout); what was \
                 computed is cached, so that the next one is faster"
                    .to_owned(),
            );
        }
    }
}

fn word(fusion: Fusion) -> &'static str {
    match fusion {
        Fusion::Adaptive => "adaptive",
        Fusion::Weighted { .. } => "weighted",
        Fusion::Replace => "replace",
        Fusion::Rrf => "rrf",
    }
}

pub(super) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
