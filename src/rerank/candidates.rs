//! Selects the hits of a window that a model can score, and renders what it sees of them.

use std::sync::Arc;

use rerank_plugin::{Document, Part};

use crate::{
    config::Field,
    es::{hit::Hit, reading::Reading, text::Texts},
    rerank::Digester,
};

/// First-stage scores from here on are an editor's wish (pinned queries), not relevance.
const PINNED: f64 = 1e37;

/// A hit that is up for reranking.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its place in the engine's answer, from 0.
    pub place: usize,
    /// The engine's score.
    pub first_stage: Option<f64>,
    /// What the model sees of it.
    pub document: Document,
}

/// Returns whether the engine's score says that an editor put the hit there.
pub fn is_pinned(score: Option<f64>) -> bool {
    score.is_some_and(|score| score >= PINNED)
}

/// Returns those of the window's hits that are not pinned and have any text, in the engine's order.
pub fn select(window: &[Hit<'_>], fields: &[Field], reading: &Reading, digester: &Digester) -> Vec<Candidate> {
    let candidate = |(place, hit): (usize, &Hit<'_>)| {
        let parts = if is_pinned(hit.score) { Vec::new() } else { render(hit, fields, reading) };
        (!parts.is_empty()).then(|| Candidate { place, first_stage: hit.score, document: digester.document(parts) })
    };
    window.iter().enumerate().filter_map(candidate).collect()
}

/// Returns the hit's texts in the order of `fields`; several values of one field are joined by a space.
fn render(hit: &Hit<'_>, fields: &[Field], reading: &Reading) -> Vec<Part> {
    let texts = Texts::of(hit, reading);
    let part = |field: &Field| {
        let text: Arc<str> = match texts.values(&field.name).as_slice() {
            [only] => Arc::from(&**only),
            several => several.join(" ").into(),
        };
        (!text.trim().is_empty()).then_some(text).map(|text| Part::Text { label: field.label.clone(), text, max_tokens: field.max_tokens })
    };
    fields.iter().filter_map(part).collect()
}

/// Returns what the model sees of a candidate, on one line of at most so many characters.
pub fn shown(candidate: &Candidate, most: usize) -> String {
    let text = |part: &Part| match part {
        Part::Text { label: Some(label), text, .. } => format!("{label}: {text}"),
        Part::Text { label: None, text, .. } => text.to_string(),
        Part::Image(_) => "(image)".to_owned(),
        Part::Video(_) => "(video)".to_owned(),
    };
    let whole: Vec<String> = candidate.document.parts.iter().map(text).collect();
    let line = whole.join(" | ").split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = line.chars().take(most).collect();
    if cut.len() < line.len() { format!("{cut}…") } else { cut }
}
