//! Finds the text that the searcher typed inside a search, and whether the search is one whose first hits stay the same when more
//! are asked for.
//!
//! What each kind of query holds is in [`query_kinds`](super::query_kinds); [`query_walk`](super::query_walk) reads them and
//! [`retriever`](super::retriever) reads retrievers. This bounds the walk and weighs what it finds.

use serde_json::value::RawValue;

use super::{
    json::{self, Kind as Json, Object},
    pointer,
    query_kinds::{
        CARRIERS, KINDS,
        Part::{self, Queries},
        Role::{self, Aside, Filters, Scores},
        Trust,
    },
};

/// Queries and retrievers in one search; more are not looked into.
const MOST_QUERIES: usize = 10_000;
/// How deep they may hold each other, with those that stand in base64.
const MOST_DEPTH: usize = 64;
/// Bytes of text in one search; more are not looked into.
pub const MOST_TEXT: usize = 64 * 1024;
/// Bytes of a text's place: every text keeps its own, and clients name its steps.
const MOST_POINTER: usize = 4 * 1024;
/// Bytes of JSON read on all levels of one search together; more are not looked into.
pub(super) const MOST_READ: usize = 64 * 1024 * 1024;

/// Why a search with such a query is not rewritten; the last one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Flaw {
    /// A kind of query without a row, a shape that no engine takes, or too much of it.
    #[error("the query is not one that is known")]
    Foreign,
    /// A retriever with `search_after`.
    #[error("a retriever goes by a cursor")]
    Cursor,
    /// A retriever with a `sort` of its own.
    #[error("a retriever sorts its hits")]
    Sorted,
    /// A `text_similarity_reranker`.
    #[error("the engine is to rerank the hits")]
    Reranked,
    /// A `random_score` without `seed`.
    #[error("the query scores at random")]
    Unseeded,
    /// A key stands twice in it.
    #[error("the query is not json")]
    NotJson,
}

/// A text and the place where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundText {
    /// Trimmed, with single spaces.
    pub text: String,
    /// A JSON pointer into the body (through base64 as if it were JSON), `?` and a parameter of the URL, or a header's name.
    pub at: String,
}

/// What the queries of one search contain.
#[derive(Debug)]
pub struct Survey {
    filters: bool,
    pub(super) at: String,
    queries: usize,
    depth: usize,
    read: usize,
    text: usize,
    pub(super) found: Vec<(Trust, FoundText)>,
    flaw: Option<Flaw>,
    pub(super) widens: bool,
    window: Option<usize>,
    /// Whether `${..}` stands for a text that somebody else puts there.
    pub(super) in_template: bool,
    /// Retrievers around the one that is walked.
    pub(super) retrievers: usize,
}

impl FoundText {
    /// Returns `text` with single spaces, or `None` where nothing is left.
    pub fn new(text: &str, at: &str) -> Option<Self> {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        (!text.is_empty()).then(|| Self { text, at: at.to_owned() })
    }
}

// === impl Survey ===

impl Survey {
    /// Starts a survey; `filters` says whether texts in filters count too.
    pub fn new(filters: bool) -> Self {
        Self {
            filters,
            at: String::new(),
            queries: 0,
            depth: 0,
            read: 0,
            text: 0,
            found: Vec::new(),
            flaw: None,
            widens: true,
            window: None,
            in_template: false,
            retrievers: 0,
        }
    }

    /// Looks into all that a search's body says about what is wanted.
    pub fn search(&mut self, body: &Object<'_>) {
        self.parts(body, CARRIERS, Scores);
    }

    /// Looks for flaws alone in a query that says nothing about what is wanted.
    pub fn aside(&mut self, query: &RawValue) {
        self.query(query, Aside);
    }

    /// Whether the first hits stay the same when more are asked for.
    pub fn widens(&self) -> bool {
        self.widens
    }

    /// How many hits there are at most, where a retriever says so; engines refuse a `size` beyond it.
    pub fn window(&self) -> Option<usize> {
        self.window
    }

    /// Returns the texts that are worth most, in the order in which they stand.
    ///
    /// # Errors
    /// The worst [`Flaw`] of all queries.
    pub fn texts(self) -> Result<Vec<FoundText>, Flaw> {
        if let Some(flaw) = self.flaw {
            return Err(flaw);
        }
        let best = self.found.iter().map(|(trust, _)| *trust).max();
        Ok(self.found.into_iter().filter(|(trust, _)| Some(*trust) == best).map(|(_, found)| found).collect())
    }

    pub(super) fn query(&mut self, value: &RawValue, role: Role) {
        self.deeper(|survey| {
            let Some(query) = survey.object(value) else { return };
            let [(name, body)] = query.entries() else { return survey.mark(Flaw::Foreign) };
            let Some(row) = KINDS.iter().find(|row| row.name == name) else { return survey.mark(Flaw::Foreign) };
            survey.widens &= row.widens;
            survey.within(name, |inner| inner.kind(row.kind, body, role));
        });
    }

    /// Walks one more query or retriever, as long as there are not too many.
    pub(super) fn deeper(&mut self, walk: impl FnOnce(&mut Self)) {
        self.queries += 1;
        self.depth += 1;
        if self.queries > MOST_QUERIES || self.depth > MOST_DEPTH || self.read > MOST_READ {
            self.mark(Flaw::Foreign);
        } else {
            walk(self);
        }
        self.depth -= 1;
    }

    /// Walks these parts of an object.
    pub(super) fn parts(&mut self, body: &Object<'_>, parts: &[(&str, Part)], role: Role) {
        for (key, part) in parts {
            match (body.get(key), part) {
                (_, Part::Window | Part::Rescorers | Part::Order) => self.ranks(body, key, *part),
                (Some(value), part) => self.within(key, |survey| survey.part(value, *part, role)),
                (None, _) => {}
            }
        }
    }

    fn part(&mut self, value: &RawValue, part: Part, role: Role) {
        match part {
            Queries(own) => self.each(value, |survey, query| survey.query(query, role.max(own))),
            Part::Text(trust) => self.keep(&json::string(value).unwrap_or_default(), trust, role),
            Part::Criteria => self.criteria(value, role),
            Part::Builder => self.builder(value, role),
            Part::Retriever => self.retriever(value, role),
            Part::Entries => self.each(value, |survey, entry| survey.entry(entry, role)),
            Part::Neighbours => self.each(value, |survey, search| {
                if let Some(options) = survey.object(search) {
                    survey.neighbours(&options, role);
                }
            }),
            Part::SubSearches => self.each(value, |survey, search| {
                if let Some(search) = survey.object(search) {
                    survey.parts(&search, &[("query", Queries(Scores))], role);
                }
            }),
            Part::Fusion => self.fusion(value),
            Part::Suggesters => self.suggesters(value),
            Part::Cursor => self.mark(Flaw::Cursor),
            Part::Stops => self.widens = false,
            Part::Kept | Part::Window | Part::Rescorers | Part::Order => {}
        }
    }

    pub(super) fn text(&mut self, body: &Object<'_>, key: &str, trust: Trust, role: Role) {
        let text = body.get(key).and_then(json::string).unwrap_or_default();
        self.within(key, |survey| survey.keep(&text, trust, role));
    }

    pub(super) fn keep(&mut self, text: &str, trust: Trust, role: Role) {
        let counts = role == Scores || (role == Filters && self.filters && trust != Trust::Exact);
        if !counts {
            return;
        }
        if self.in_template && text.contains("${") {
            return;
        }
        self.text += text.len();
        if self.text > MOST_TEXT {
            return self.mark(Flaw::Foreign);
        }
        self.found.extend(FoundText::new(text, &self.at).map(|found| (trust, found)));
    }

    /// Visits a value that stands alone, or each of an array.
    pub(super) fn each(&mut self, value: &RawValue, mut visit: impl FnMut(&mut Self, &RawValue)) {
        if json::kind(value) != Json::Array {
            return visit(self, value);
        }
        for (place, member) in json::array(value.get()).unwrap_or_default().into_iter().enumerate() {
            self.within(&place.to_string(), |survey| visit(survey, member));
        }
    }

    pub(super) fn within(&mut self, step: &str, walk: impl FnOnce(&mut Self)) {
        let length = self.at.len();
        if length + step.len() > MOST_POINTER {
            return self.mark(Flaw::Foreign);
        }
        pointer::push(&mut self.at, step);
        walk(self);
        self.at.truncate(length);
    }

    pub(super) fn object<'v>(&mut self, value: &'v RawValue) -> Option<Object<'v>> {
        self.read += value.get().len();
        let flaw = if json::kind(value) == Json::Object { Flaw::NotJson } else { Flaw::Foreign };
        json::object(value.get()).map_err(|_| self.mark(flaw)).ok()
    }

    /// No more than so many hits come back.
    pub(super) fn bound(&mut self, window: usize) {
        self.window = Some(self.window.map_or(window, |known| known.min(window)));
    }

    pub(super) fn mark(&mut self, flaw: Flaw) {
        self.flaw = self.flaw.max(Some(flaw));
    }
}

#[cfg(test)]
mod tests;
