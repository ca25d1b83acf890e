//! Turns the engine's answer into the client's: the page is cut from the ranked hits, and what Podium had added goes.
//!
//! Hits move as the bytes that they are; everything outside `hits.hits` and `max_score` is copied.

use std::{ops::Range, sync::Arc};

use super::plan::{Page, SearchPlan};
use crate::{
    config::Rule,
    es::{
        filter_path::{Empty, NotFiltered},
        hit::Hit,
        layout::{Edit, Layout},
        reading::Reading,
        response::SearchResponse,
        strip::strip,
    },
    rerank::{Annotation, Arrangement},
};

/// Where annotations stand in a hit's `fields`.
const ANNOTATION: &str = "_rerank";

/// Room for what a hit may gain, and for what stands between hits.
const ROOM: usize = 128;

/// What is written into hits, and taken out of them.
struct Changes<'a> {
    added: &'a [Arc<str>],
    arrangement: &'a Arrangement,
    /// Who gave the new scores, as a JSON string.
    explanation: Option<&'a str>,
}

/// Returns the answer for the client, with all that the plan says is to be done to it; `empty` is the engine's way with `filter_path`.
///
/// # Errors
/// The client's `filter_path` cannot be applied to this answer.
///
/// # Panics
/// See [`narrow`].
pub fn present(
    response: &SearchResponse<'_>,
    plan: &SearchPlan,
    rule: &Rule,
    arrangement: &Arrangement,
    empty: Empty,
) -> Result<Vec<u8>, NotFiltered> {
    let explanation = plan.explain.then(|| explanation(rule));
    let changes = Changes { added: added(&plan.reading), arrangement, explanation: explanation.as_deref() };
    let page = print(response, plan.cut(), &changes);
    let shown = plan.filter_path.as_ref().map(|filter| filter.apply(&page, empty)).transpose()?;
    Ok(shown.unwrap_or(page).into_bytes())
}

/// Returns the answer for the client: `page` of the hits in the order, and with the scores, of `arrangement`.
///
/// An arrangement in the engine's order with a page that holds all hits, and nothing added, gives the same bytes.
///
/// # Panics
/// When the arrangement ranks another number of hits than the response has.
pub fn narrow(response: &SearchResponse<'_>, page: Page, reading: &Reading, arrangement: &Arrangement) -> Vec<u8> {
    print(response, page, &Changes { added: added(reading), arrangement, explanation: None }).into_bytes()
}

fn added(reading: &Reading) -> &[Arc<str>] {
    match reading {
        Reading::Source => &[],
        Reading::Fields { added } => added,
    }
}

/// Says as a JSON string, in the manner of engines, whose score it is that replaces the engine's.
fn explanation(rule: &Rule) -> String {
    let instruction = rule.instruction.as_ref().map_or_else(String::new, |text| format!(", instruction [{text}]"));
    serde_json::Value::from(format!("reranked by model [{}]{instruction}, from the engine's own:", rule.model)).to_string()
}

fn print(response: &SearchResponse<'_>, page: Page, changes: &Changes<'_>) -> String {
    let arrangement = changes.arrangement;
    assert_eq!(arrangement.ranking.order().len(), response.hits.len(), "a ranking ranks all hits");
    let (text, array) = (response.text(), response.array());
    let places: Vec<usize> = arrangement.ranking.page(page.from, page.size).collect();
    let max_score = response.max_score_span().zip(response.max_score.and(arrangement.max_score).and_then(printed));
    let hits: usize = places.iter().map(|place| response.hits[*place].raw().len() + ROOM).sum();
    let mut out = String::with_capacity(text.len() - array.as_str().len() + hits);
    write_outside(text, 0..array.span().start, max_score.as_ref(), &mut out);
    if places.is_empty() {
        out.push_str(&array.emptied());
    } else {
        for (turn, place) in places.into_iter().enumerate() {
            out.push_str(if turn == 0 { array.opening() } else { array.separator(turn) });
            write_hit(&response.hits[place], place, changes, &mut out);
        }
        out.push_str(array.closing());
    }
    write_outside(text, array.span().end..text.len(), max_score.as_ref(), &mut out);
    out
}

/// Copies `range` of the answer, with the new `max_score` where that lies in it.
fn write_outside(text: &str, range: Range<usize>, max_score: Option<&(Range<usize>, String)>, out: &mut String) {
    match max_score.filter(|(span, _)| range.contains(&span.start)) {
        Some((span, score)) => out.extend([&text[range.start..span.start], score, &text[span.end..range.end]]),
        None => out.push_str(&text[range]),
    }
}

fn write_hit(hit: &Hit<'_>, place: usize, changes: &Changes<'_>, out: &mut String) {
    let Changes { added, arrangement, explanation } = *changes;
    let score = arrangement.scores.get(place).copied().flatten().and_then(printed);
    let annotation = arrangement.annotations.get(place).copied().flatten().map(entry);
    let layout = hit.layout();
    let edits = layout.items().iter().map(|item| match item.key.as_ref() {
        "_score" => score.clone().map_or(Edit::Keep, Edit::Replace),
        "_explanation" => explanation.zip(score.as_deref()).map_or(Edit::Keep, |(description, score)| {
            Edit::Replace(format!(r#"{{"value":{score},"description":{description},"details":[{}]}}"#, layout.value(item)))
        }),
        "fields" => annotated(layout.value(item), strip(layout.value(item), added), annotation.as_deref()),
        "ignored_field_values" => strip(layout.value(item), added),
        _ => Edit::Keep,
    });
    let edits: Vec<Edit> = edits.collect();
    let fields = annotation.filter(|_| hit.fields.is_none()).map(|entry| format!(r#""fields":{{{entry}}}"#));
    layout.write(&edits, fields.as_deref(), out);
}

/// Returns what becomes of `fields`, of which `stripped` has become, with the annotation at its end.
fn annotated(fields: &str, stripped: Edit, annotation: Option<&str>) -> Edit {
    match (stripped, annotation) {
        (stripped, None) => stripped,
        (Edit::Drop, Some(entry)) => Edit::Replace(format!("{{{entry}}}")),
        (Edit::Keep, Some(entry)) => append(fields, entry),
        (Edit::Replace(rest), Some(entry)) => append(&rest, entry),
    }
}

fn append(fields: &str, entry: &str) -> Edit {
    let Ok(layout) = Layout::of_object(fields) else { return Edit::Keep };
    // A field of this name would make a key that stands twice.
    let edits = layout.items().iter().map(|item| if item.key == ANNOTATION { Edit::Drop } else { Edit::Keep });
    let mut text = String::with_capacity(fields.len() + entry.len() + 1);
    layout.write(&edits.collect::<Vec<_>>(), Some(entry), &mut text);
    Edit::Replace(text)
}

fn entry(annotation: Annotation) -> String {
    let number = |score: Option<f32>| score.and_then(printed).unwrap_or_else(|| "null".to_owned());
    let Annotation { score, previous_score, previous_rank } = annotation;
    let (score, previous_score) = (number(Some(score)), number(previous_score));
    format!(r#""{ANNOTATION}":[{{"score":{score},"previous_score":{previous_score},"previous_rank":{previous_rank}}}]"#)
}

/// Returns the shortest text that reads as `score` again, with a decimal as engines print it; JSON has none for infinity.
fn printed(score: f32) -> Option<String> {
    score.is_finite().then(|| format!("{score:?}"))
}

#[cfg(test)]
mod tests;
