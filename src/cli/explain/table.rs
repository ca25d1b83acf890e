//! Shows an explanation to people, in 80 columns.

use std::fmt;

use serde_json::value::RawValue;

use crate::{
    cli::terminal::{BAD, FAINT, STRONG, fitted, moved, wrapped},
    intercept::explain::{Explanation, ModelTold, Row, Window},
    route::Expression,
};

const WIDTH: usize = 80;
/// Columns of a line's name.
const NAME: usize = 10;
/// Characters of the search that is sent.
const SENT: usize = 280;
/// Columns of an id, and of what the model sees of its hit.
const ID: usize = 10;
const TEXT: usize = 27;

/// An explanation as text with colours, which the stream takes out where there is no terminal.
pub(super) struct Table<'a>(pub(super) &'a Explanation);

/// A line's name, and its text.
struct Line<'a>(&'a str, String);

// === impl Table ===

impl fmt::Display for Table<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(told) = self;
        write!(out, "{}", Line("search", told.search.clone()))?;
        told.expressions.iter().try_for_each(|expression| write!(out, "{}", Line("rule", of_rule(expression))))?;
        if let Some(query) = &told.query_text {
            write!(out, "{}", Line("query", format!("“{}”, found at {}", query.text, query.found_at)))?;
        }
        if let Some(window) = &told.window {
            write!(out, "{}", Line("window", of_window(window)))?;
        }
        if let Some(reading) = &told.reading {
            let names = reading.names.join(", ");
            let added = if reading.added.is_empty() { String::new() } else { format!("; added: {}", reading.added.join(", ")) };
            write!(out, "{}", Line("reading", format!("{names} from {}{added}", reading.from)))?;
        }
        if let Some(sent) = &told.sent {
            write!(out, "{}", Line("sent", shortened(&format!("{} {}", sent.target, compact(&sent.body)), SENT)))?;
        }
        outcome(out, told)?;
        told.notes.iter().try_for_each(|note| write!(out, "{}", Line("note", note.clone())))?;
        if told.hits.is_empty() { Ok(()) } else { hits(out, told) }
    }
}

fn outcome(out: &mut fmt::Formatter<'_>, told: &Explanation) -> fmt::Result {
    if let Some(ModelTold { name, fusion: Some(fusion), trust, unit }) = &told.model {
        let trust = trust.map_or_else(String::new, |trust| format!(", trust {trust:.2}"));
        let unit = unit.map_or_else(String::new, |unit| format!(", unit {unit:.2}"));
        write!(out, "{}", Line("model", format!("{name}, {fusion} fusion{trust}{unit}")))?;
    }
    let times = &told.times;
    if let Some(engine) = times.engine_ms {
        let rerank = times.rerank_ms.map_or_else(String::new, |rerank| format!(", reranking {rerank:.1} ms"));
        let timeout = times.timeout_ms.map_or_else(String::new, |timeout| format!(" (timeout {timeout:.0} ms)"));
        write!(out, "{}", Line("time", format!("engine {engine:.1} ms{rerank}{timeout}")))?;
    }
    write!(out, "{}", Line("status", told.rerank_status.clone()))?;
    if let Some(failure) = &told.failure {
        write!(out, "{BAD}{}{BAD:#}", Line("failed", failure.clone()))?;
    }
    if let Some(skipped) = &told.skipped {
        write!(out, "{}", Line("why", skipped.meaning.to_owned()))?;
        write!(out, "{}", Line("what to do", skipped.remedy.to_owned()))?;
    }
    Ok(())
}

fn of_rule(expression: &Expression) -> String {
    let Expression { expression, rule, pattern, passed_over } = expression;
    let taken = match (rule, pattern) {
        (Some(rule), Some(pattern)) => format!("{expression}: rules[{rule}], by its pattern {pattern}"),
        _ => format!("{expression}: none"),
    };
    let over = passed_over.iter().map(|over| format!("; not rules[{}]: {}", over.rule, over.because));
    taken + &over.collect::<String>()
}

fn of_window(window: &Window) -> String {
    let Window { from, size, widened, fetched, ranked } = window;
    let page = format!("the page is {} to {}", from + 1, from + size);
    if *widened {
        format!("{fetched} hits are fetched, {ranked} may move; {page}")
    } else {
        format!("{page}, nothing more is fetched (the search would find something else); {ranked} of it may move")
    }
}

/// Prints the hits of the page in the order that the client gets, or would get without a page: those of the window.
fn hits(out: &mut fmt::Formatter<'_>, told: &Explanation) -> fmt::Result {
    let (from, size) = told.window.as_ref().map_or((0, usize::MAX), |window| (window.from, window.size));
    let on_page = |row: &&Row| row.rank > from && row.rank - from <= size;
    writeln!(out, "\n{FAINT} now  was         engine    model    fused {} text{FAINT:#}", fitted("id", ID))?;
    for row in told.hits.iter().filter(on_page) {
        let number = |score: Option<f64>| score.map_or_else(|| "–".to_owned(), |score| format!("{score:.3}"));
        let (engine, model, fused) = (number(row.engine_score), number(row.rerank_score.map(f64::from)), number(row.fused_score));
        let text = row.text.as_deref().unwrap_or("(not scored: no text, or put there by an editor)");
        writeln!(
            out,
            "{STRONG}{:>4}{STRONG:#} {:>4} {} {engine:>9} {model:>8} {fused:>8} {} {}",
            row.rank,
            row.engine_rank,
            moved(row.engine_rank, row.rank),
            fitted(&row.id, ID),
            fitted(text, TEXT).trim_end()
        )?;
    }
    Ok(())
}

/// Returns a body on one line.
fn compact(body: &str) -> String {
    // What is not JSON stays as it is.
    serde_json::from_str::<&RawValue>(body).map_or(body, RawValue::get).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.to_owned() } else { text.chars().take(most).chain(['…']).collect() }
}

// === impl Line ===

impl fmt::Display for Line<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(name, text) = self;
        let lines = wrapped(text, WIDTH - NAME - 1);
        for (number, line) in lines.iter().enumerate() {
            let name = if number == 0 { name } else { "" };
            writeln!(out, "{FAINT}{}{FAINT:#} {line}", fitted(name, NAME))?;
        }
        Ok(())
    }
}
