//! A stub that has one answer for each search, and gives of it the page that is asked for.

use serde_json::Value;

use crate::{
    corpus::Pair,
    page::PageAsked,
    raw,
    support::{
        fake_engine::PRODUCTS,
        fake_upstream::{Act, Seen},
        fake_wire::{self, Wire},
    },
};

/// How many hits come behind the recorded ones, where those fill the page.
const MORE: usize = 60;
/// How many of a hit's texts a rule names.
const FIELDS: usize = 3;

/// A recorded answer, and its hits one by one.
pub(super) struct Recorded {
    pub(super) pair: Pair,
    hits: Option<Hits>,
}

struct Hits {
    /// The answer to the first hit, from the last on, and what stands between two.
    before: String,
    after: String,
    between: String,
    all: Vec<String>,
}

/// Answers a request that names its recording.
pub(super) fn answer(recordings: &[Recorded], seen: &Seen) -> Vec<Act> {
    let number: usize = seen.header("x-pair").and_then(|number| number.parse().ok()).unwrap_or_default();
    let target = seen.line().split(' ').nth(1).unwrap_or_default();
    let recorded = &recordings[number];
    let is_own = seen.header("x-mode").is_some_and(|mode| mode.ends_with("Own") || mode == "WithText");
    let own = recorded.pair.search.as_ref().filter(|_| is_own).and_then(|search| PageAsked::read(&search.target, search.body.as_bytes()));
    let text = match PageAsked::read(target, &fake_wire::body(seen)) {
        Some(asked) => recorded.page(own, asked.from, asked.size),
        None => recorded.pair.answer.clone(),
    };
    Wire { product: PRODUCTS[number % PRODUCTS.len()], seen, coding: None }.answer(200, text.as_bytes())
}

// === impl Recorded ===

impl Recorded {
    pub(super) fn of(pair: Pair) -> Self {
        let hits = Hits::read(&pair.answer);
        Self { pair, hits }
    }

    /// Returns these hits of the ranked list, in which the recorded ones are the page `own`.
    pub(super) fn page(&self, own: Option<PageAsked>, from: usize, size: usize) -> String {
        let Some(hits) = self.hits.as_ref().filter(|hits| !hits.all.is_empty()) else { return self.pair.answer.clone() };
        let own = own.unwrap_or(PageAsked { from: 0, size: 0 });
        let behind = if hits.all.len() >= own.size { MORE } else { 0 };
        let first = (0..own.from).map(|turn| renamed(&hits.all[0], &format!("-{turn}")));
        let last = (0..behind).map(|turn| renamed(&hits.all[hits.all.len() - 1], &format!("+{turn}")));
        let page: Vec<String> = first.chain(hits.all.iter().cloned()).chain(last).skip(from).take(size).collect();
        if page.is_empty() {
            return format!("{}{}", hits.before.trim_end(), hits.after.trim_start());
        }
        format!("{}{}{}", hits.before, page.join(&hits.between), hits.after)
    }

    /// Returns names of texts in the hits.
    pub(super) fn text_fields(&self) -> Vec<String> {
        let mut names = Vec::new();
        for hit in self.hits.iter().flat_map(|hits| &hits.all) {
            let hit: Value = serde_json::from_str(hit).unwrap_or_default();
            let texts =
                hit["_source"].as_object().into_iter().flatten().filter(|(_, value)| value.as_str().is_some_and(|text| !text.is_empty()));
            names.extend(texts.map(|(name, _)| name.clone()).filter(|name| !name.is_empty() && !name.contains(['*', '.'])));
        }
        names.sort();
        names.dedup();
        names.truncate(FIELDS);
        if names.is_empty() { vec!["title".into()] } else { names }
    }
}

/// Returns the hit under another id.
fn renamed(hit: &str, mark: &str) -> String {
    let Some(id) = raw::parse(hit).and_then(|node| node.get(hit, "_id").cloned()) else { return hit.to_owned() };
    let new = format!("\"{}{mark}\"", id.text(hit).trim_matches('"'));
    raw::splice(hit, vec![(id.span, new)])
}

// === impl Hits ===

impl Hits {
    fn read(answer: &str) -> Option<Self> {
        let root = raw::parse(answer)?;
        let list = root.at(answer, &["hits", "hits"])?;
        let items = list.items();
        let (Some(first), Some(last)) = (items.first(), items.last()) else {
            return Some(Self { before: String::new(), after: String::new(), between: String::new(), all: Vec::new() });
        };
        let gap = &answer[list.span.start + 1..first.span.start];
        let between = items.get(1).map_or_else(|| format!(",{gap}"), |second| answer[first.span.end..second.span.start].to_owned());
        let all = items.iter().map(|item| item.text(answer).to_owned()).collect();
        Some(Self { before: answer[..first.span.start].to_owned(), after: answer[last.span.end..].to_owned(), between, all })
    }
}
