//! Shows a report to people: two rankings side by side and the figures, in 80 columns.

use std::fmt::{self, Write};

use anstyle::Style;

use super::report::{Compared, Hurried, Placed, Relevance, Report, Timed};
use crate::cli::terminal::{self, BAD, FAINT, GOOD, STRONG, fitted};

/// How many of the queries that gained most are shown, beside one that needed no help and one that lost.
const GAINED: usize = 3;
/// Hits of each that are shown.
const TOP: usize = 5;

/// Columns of a title on the left and on the right; with marks, moves and the line between it makes 79.
const LEFT: usize = 31;
const RIGHT: usize = 28;

/// A report as text with colours, which the stream takes out where there is no terminal.
pub(super) struct Table<'a>(pub(super) &'a Report);

/// The queries that are shown, and how they were chosen.
struct Shown<'a> {
    queries: Vec<&'a Compared>,
    rule: &'static str,
}

/// What to try while the demo runs.
pub(super) struct Invitation<'a>(pub(super) &'a Report);

// === impl Table ===

impl fmt::Display for Table<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(report) = self;
        let Shown { queries, rule } = shown(&report.queries);
        queries.iter().try_for_each(|query| ranking(out, query))?;
        writeln!(out, "{FAINT}{rule}")?;
        writeln!(out, "●●● exactly this, ●● would do, ● related, · no; ▲▼ places against the engine{FAINT:#}\n")?;
        if let Some(query) = report.queries.first() {
            writeln!(out, "{FAINT}Rerank-Status of {:?}:\n  {}{FAINT:#}\n", query.text, query.rerank_status)?;
        }
        relevance(out, &report.ndcg_at_10)?;
        times(out, &report.times)?;
        hurried(out, &report.too_short_budget)?;
        writeln!(out, "\n{FAINT}All of this was shown {:.1} s after the start.{FAINT:#}", report.seconds)
    }
}

// === impl Invitation ===

impl fmt::Display for Invitation<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { engine, podium, .. } = self.0;
        let search = format!("{}/_search?q=block+out+light+so+i+can+sleep&size=3&pretty", engine.index);
        writeln!(out, "\n{STRONG}Try it{STRONG:#}: the engine, then Podium in front of it")?;
        writeln!(out, "  curl '{}/{search}'", engine.address.trim_start_matches("http://"))?;
        writeln!(out, "  curl -i '{}/{search}'", podium.address)?;
        writeln!(out, "  curl {}/ready", podium.admin)?;
        writeln!(out, "Ctrl-C ends the demo.")
    }
}

/// Chooses by what came out, whatever the model: what gained most, what the engine had right by itself, and what lost most.
fn shown(queries: &[Compared]) -> Shown<'_> {
    let gain = |query: &Compared| query.ndcg_at_10.podium.unwrap_or(0.0) - query.ndcg_at_10.engine.unwrap_or(0.0);
    let mut by_gain: Vec<&Compared> = queries.iter().collect();
    by_gain.sort_by(|left, right| gain(right).total_cmp(&gain(left)));
    let mut right = queries.iter().filter(|query| query.ndcg_at_10.engine == Some(1.0));
    let lost = by_gain.last().copied().filter(|query| gain(query) < 0.0);
    let mut chosen: Vec<&Compared> = by_gain.iter().copied().take(GAINED).collect();
    chosen.extend(right.next());
    chosen.extend(lost.or_else(|| right.next()));
    let rule = match lost {
        Some(_) => "Shown: the three biggest gains, one that was right already, the biggest loss.",
        None => "Shown: the three biggest gains, and two that were right already; none lost.",
    };
    Shown { queries: chosen, rule }
}

fn ranking(out: &mut impl Write, query: &Compared) -> fmt::Result {
    let title = fitted(&format!("“{}”", query.text), 55);
    let ndcg = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"));
    let (engine, podium) = (ndcg(query.ndcg_at_10.engine), ndcg(query.ndcg_at_10.podium));
    writeln!(out, "{STRONG}{title}{STRONG:#} NDCG@10 {engine} → {podium}")?;
    writeln!(out, "{FAINT}{}│ through Podium{FAINT:#}", fitted("the engine alone", 6 + LEFT + 1))?;
    for row in 0..TOP {
        match query.engine.get(row) {
            Some(hit) => write!(out, "{} {} {} ", hit.rank, mark(hit.grade), fitted(&hit.title, LEFT))?,
            None => write!(out, "{:1$}", "", 6 + LEFT + 1)?,
        }
        write!(out, "{FAINT}│{FAINT:#} ")?;
        if let Some(hit) = query.podium.get(row) {
            write!(out, "{} {} {} {}", hit.rank, mark(hit.grade), fitted(&hit.title, RIGHT), moved(hit))?;
        }
        writeln!(out)?;
    }
    writeln!(out)
}

fn mark(grade: u8) -> String {
    let (dots, style) = match grade {
        0 => ("·  ", FAINT),
        1 => ("●  ", Style::new()),
        2 => ("●● ", GOOD),
        _ => ("●●●", GOOD),
    };
    format!("{style}{dots}{style:#}")
}

/// Returns how many places a hit rose or fell against the engine's order, in three columns.
fn moved(hit: &Placed) -> String {
    hit.engine_rank.map_or_else(|| "new".to_owned(), |before| terminal::moved(before, hit.rank))
}

fn relevance(out: &mut impl Write, relevance: &Relevance) -> fmt::Result {
    let Relevance { gain, queries, reranked, engine, podium, better, same, worse, out_of_reach } = relevance;
    let change = podium - engine;
    let style = if change < 0.0 { BAD } else { GOOD };
    writeln!(out, "{STRONG}NDCG@10 over {queries} judged queries{STRONG:#} ({gain} gain; {reranked} reranked)")?;
    writeln!(out, "  the engine alone {engine:.3}   through Podium {podium:.3}   {style}{change:+.3}{style:#}")?;
    writeln!(out, "  better {better}, same {same} ({out_of_reach} of them with nothing relevant in the window), worse {worse}\n")
}

fn times(out: &mut impl Write, times: &[Timed]) -> fmt::Result {
    writeln!(
        out,
        "{STRONG}{}{STRONG:#}{FAINT}{:>9} {:>10} {:>13}{FAINT:#}",
        fitted("Time per search (medians)", 43),
        "whole",
        "reranking",
        "cached"
    )?;
    for timed in times {
        let what = format!("{} × {}", timed.searches, timed.what);
        let rerank = timed.median_rerank_ms.map_or_else(String::new, |rerank| format!("{rerank:.1} ms"));
        let cached = if timed.scored == 0 { String::new() } else { format!("{} of {}", timed.cached, timed.scored) };
        writeln!(out, "  {}{:>9} {rerank:>10} {cached:>13}", fitted(&what, 41), format!("{:.1} ms", timed.median_ms))?;
        if timed.scored > 0 && timed.reranked < timed.searches {
            writeln!(out, "    {BAD}{} of these kept the engine's order{BAD:#}", timed.searches - timed.reranked)?;
        }
    }
    writeln!(out)
}

fn hurried(out: &mut impl Write, hurried: &Hurried) -> fmt::Result {
    let Hurried { text, timeout_ms, ms, rerank_status, in_engine_order, in_time, .. } = hurried;
    writeln!(out, "{STRONG}Without enough time{STRONG:#} (timeout = \"{timeout_ms}ms\"): “{text}”")?;
    // The status of a search that was in time is long.
    let gap = if *in_time { "\n  " } else { " " };
    writeln!(out, "  after {ms:.1} ms   Rerank-Status:{gap}{rerank_status}")?;
    let order = if *in_engine_order { "the engine's own order, hit for hit" } else { "another order than the engine's" };
    let luck = if *in_time { " – this machine was fast enough" } else { "" };
    writeln!(out, "  {order}{luck}")
}

#[cfg(test)]
mod tests {
    use super::shown;
    use crate::cli::demo::report::{Compared, Pair};

    fn compared(id: &str, engine: f64, podium: f64) -> Compared {
        let ndcg_at_10 = Pair { engine: Some(engine), podium: Some(podium) };
        let ms = Pair { engine: 1.0, podium: 2.0 };
        let (id, text, rerank_status) = (id.to_owned(), "text".to_owned(), "reranked".to_owned());
        Compared { id, text, ndcg_at_10, ms, rerank_status, in_window: true, engine: Vec::new(), podium: Vec::new() }
    }

    fn ids(queries: &[Compared]) -> Vec<&str> {
        shown(queries).queries.into_iter().map(|query| query.id.as_str()).collect()
    }

    #[test]
    fn what_is_shown_is_chosen_by_what_came_out() {
        let mut queries: Vec<Compared> = [
            ("a", 1.0, 1.0),
            ("b", 0.2, 0.3),
            ("c", 0.1, 0.9),
            ("d", 0.5, 0.7),
            ("e", 0.4, 0.8),
            ("f", 1.0, 1.0),
            ("g", 0.9, 0.8),
            ("h", 0.9, 0.6),
        ]
        .into_iter()
        .map(|(id, engine, podium)| compared(id, engine, podium))
        .collect();
        assert_eq!(ids(&queries), ["c", "e", "d", "a", "h"]);
        queries.truncate(6);
        assert_eq!(ids(&queries), ["c", "e", "d", "a", "f"], "none lost");
    }
}
