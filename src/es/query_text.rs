//! Finds the text that the searcher typed inside a query, and whether the query is one whose first hits stay the same when more
//! are asked for.
//!
//! What each kind of query holds is in [`query_kinds`](super::query_kinds); this walks it.

use serde_json::value::RawValue;

use super::{
    json::{self, Kind as Json, Object},
    pointer,
    query_kinds::{
        BESIDE_FIELDS, INTERVAL_GROUPS, INTERVALS, KINDS,
        Kind::{self, FunctionScore, Holds, InFields, InKey, Intervals, Joins, Silent, Syntax, TermsInFields},
        Role::{self, Aside, Filters, Scores},
        Trust,
    },
    query_syntax,
};

/// Queries in one search; more are not looked into.
const MOST_QUERIES: usize = 10_000;
/// Bytes of text in one search; more are not looked into.
pub const MOST_TEXT: usize = 64 * 1024;
/// Bytes of JSON read on all levels of one search together; more are not looked into.
const MOST_READ: usize = 64 * 1024 * 1024;

/// Why a search with such a query is not widened; the last one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Flaw {
    /// A kind of query without a row, a shape that no engine takes, or too much of it.
    #[error("the query is not one that is known")]
    Foreign,
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
    /// A JSON pointer into the body, or `?` and a parameter of the URL.
    pub at: String,
}

/// What the queries of one search contain.
#[derive(Debug)]
pub struct Survey {
    filters: bool,
    at: String,
    queries: usize,
    read: usize,
    text: usize,
    found: Vec<(Trust, FoundText)>,
    flaw: Option<Flaw>,
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
    /// Starts a survey; `filters` says whether texts in `bool.filter` and `bool.must_not` count too.
    pub fn new(filters: bool) -> Self {
        Self { filters, at: String::new(), queries: 0, read: 0, text: 0, found: Vec::new(), flaw: None }
    }

    /// Looks into the query that stands at `pointer` and says what is wanted.
    pub fn wanted(&mut self, pointer: &str, query: &RawValue) {
        self.within(pointer, |survey| survey.query(query, Scores));
    }

    /// Looks for flaws alone in a query that says nothing about what is wanted.
    pub fn aside(&mut self, query: &RawValue) {
        self.query(query, Aside);
    }

    /// Returns the texts that are worth most, in the order in which they stand.
    ///
    /// # Errors
    /// The worst [`Flaw`] of all queries.
    pub fn texts(self) -> Result<Vec<FoundText>, Flaw> {
        if let Some(flaw) = self.flaw {
            return Err(flaw);
        }
        let best = if self.found.iter().any(|(trust, _)| *trust == Trust::Full) { Trust::Full } else { Trust::Exact };
        Ok(self.found.into_iter().filter(|(trust, _)| *trust == best).map(|(_, found)| found).collect())
    }

    fn query(&mut self, value: &RawValue, role: Role) {
        self.queries += 1;
        if self.queries > MOST_QUERIES || self.read > MOST_READ {
            return self.mark(Flaw::Foreign);
        }
        let Some(query) = self.object(value) else { return };
        let [(name, body)] = query.entries() else { return self.mark(Flaw::Foreign) };
        match KINDS.iter().find(|(own, _)| own == name) {
            Some((_, kind)) => self.within(name, |survey| survey.kind(*kind, body, role)),
            None => self.mark(Flaw::Foreign),
        }
    }

    fn kind(&mut self, kind: Kind, value: &RawValue, role: Role) {
        let Some(body) = self.object(value) else { return };
        match kind {
            Silent => {}
            InKey(key) => self.text(&body, key, Trust::Full, role),
            Syntax(key, dialect) => {
                let text = body.get(key).and_then(json::string).unwrap_or_default();
                self.within(key, |survey| survey.keep(&query_syntax::words(&text, dialect), Trust::Full, role));
            }
            InFields(keys, trust) => self.in_fields(&body, keys, trust, role),
            TermsInFields => self.terms(&body, role),
            Holds(parts) => self.parts(&body, parts, role),
            Joins(parts) => self.joined(|survey| survey.parts(&body, parts, role)),
            FunctionScore => {
                self.parts(&body, &[("query", Scores)], role);
                self.functions(&body);
            }
            Intervals => self.joined(|survey| {
                for (field, rule) in body.entries().iter().filter(|(field, _)| !BESIDE_FIELDS.contains(&field.as_ref())) {
                    survey.within(field, |inner| inner.interval(rule, role));
                }
            }),
        }
    }

    fn parts(&mut self, body: &Object<'_>, parts: &[(&str, Role)], role: Role) {
        for (key, own) in parts {
            let Some(value) = body.get(key) else { continue };
            self.within(key, |survey| survey.each(value, |inner, query| inner.query(query, role.max(*own))));
        }
    }

    fn functions(&mut self, body: &Object<'_>) {
        self.random(body);
        let Some(functions) = body.get("functions") else { return };
        self.each(functions, |survey, value| {
            let Some(function) = survey.object(value) else { return };
            survey.random(&function);
            survey.parts(&function, &[("filter", Aside)], Aside);
        });
    }

    fn random(&mut self, function: &Object<'_>) {
        let Some(random) = function.get("random_score").and_then(|random| self.object(random)) else { return };
        if random.get("seed").is_none_or(|seed| json::kind(seed) == Json::Null) {
            self.mark(Flaw::Unseeded);
        }
    }

    fn in_fields(&mut self, body: &Object<'_>, keys: &[&str], trust: Trust, role: Role) {
        for (field, value) in body.entries().iter().filter(|(field, _)| !BESIDE_FIELDS.contains(&field.as_ref())) {
            if json::kind(value) != Json::Object {
                self.text(body, field, trust, role);
                continue;
            }
            let Some(options) = self.object(value) else { return };
            if let Some(key) = keys.iter().find(|key| options.get(key).is_some()) {
                self.within(field, |survey| survey.text(&options, key, trust, role));
            }
        }
    }

    fn terms(&mut self, body: &Object<'_>, role: Role) {
        if role != Scores {
            return;
        }
        for (field, value) in body.entries() {
            let terms = json::array(value.get()).unwrap_or_default();
            let text = terms.into_iter().filter_map(json::string).collect::<Vec<_>>().join(" ");
            self.within(field, |survey| survey.keep(&text, Trust::Exact, role));
        }
    }

    fn interval(&mut self, value: &RawValue, role: Role) {
        let Some(rules) = self.object(value) else { return };
        for (name, rule) in rules.entries() {
            if let Some((_, key)) = INTERVALS.iter().find(|(own, _)| own == name) {
                let Some(options) = self.object(rule) else { return };
                self.within(name, |survey| survey.text(&options, key, Trust::Full, role));
            } else if INTERVAL_GROUPS.contains(&name.as_ref()) {
                let Some(group) = self.object(rule) else { return };
                let Some(members) = group.get("intervals") else { return self.mark(Flaw::Foreign) };
                self.each(members, |survey, member| survey.interval(member, role));
            }
        }
    }

    /// Makes one text of those that `walk` finds.
    fn joined(&mut self, walk: impl FnOnce(&mut Self)) {
        let first = self.found.len();
        walk(self);
        let parts: Vec<String> = self.found.drain(first..).map(|(_, found)| found.text).collect();
        self.found.extend(FoundText::new(&parts.join(" "), &self.at).map(|found| (Trust::Full, found)));
    }

    fn text(&mut self, body: &Object<'_>, key: &str, trust: Trust, role: Role) {
        let text = body.get(key).and_then(json::string).unwrap_or_default();
        self.within(key, |survey| survey.keep(&text, trust, role));
    }

    fn keep(&mut self, text: &str, trust: Trust, role: Role) {
        let counts = role == Scores || (role == Filters && self.filters && trust == Trust::Full);
        if !counts {
            return;
        }
        self.text += text.len();
        if self.text > MOST_TEXT {
            return self.mark(Flaw::Foreign);
        }
        self.found.extend(FoundText::new(text, &self.at).map(|found| (trust, found)));
    }

    /// Visits a value that stands alone, or each of an array.
    fn each(&mut self, value: &RawValue, mut visit: impl FnMut(&mut Self, &RawValue)) {
        if json::kind(value) != Json::Array {
            return visit(self, value);
        }
        for (place, member) in json::array(value.get()).unwrap_or_default().into_iter().enumerate() {
            self.within(&place.to_string(), |survey| visit(survey, member));
        }
    }

    fn within(&mut self, step: &str, walk: impl FnOnce(&mut Self)) {
        let length = self.at.len();
        pointer::push(&mut self.at, step);
        walk(self);
        self.at.truncate(length);
    }

    fn object<'v>(&mut self, value: &'v RawValue) -> Option<Object<'v>> {
        self.read += value.get().len();
        let flaw = if json::kind(value) == Json::Object { Flaw::NotJson } else { Flaw::Foreign };
        json::object(value.get()).map_err(|_| self.mark(flaw)).ok()
    }

    fn mark(&mut self, flaw: Flaw) {
        self.flaw = self.flaw.max(Some(flaw));
    }
}

#[cfg(test)]
mod tests {
    use super::{Flaw, FoundText, MOST_QUERIES, MOST_TEXT, Survey};
    use crate::es::json::object;

    fn survey(query: &str, filters: bool) -> Result<Vec<FoundText>, Flaw> {
        let body = format!(r#"{{"query":{query}}}"#);
        let mut survey = Survey::new(filters);
        survey.wanted("query", object(&body).expect("json").get("query").expect("a query"));
        survey.texts()
    }

    fn texts(query: &str) -> Vec<String> {
        survey(query, false).unwrap_or_else(|flaw| panic!("{flaw}: {query}")).into_iter().map(|found| found.text).collect()
    }

    #[test]
    fn case_13_every_kind_yields_its_text() {
        for (query, found) in [
            (r#"{"match":{"title":"red shoes"}}"#, "red shoes"),
            (r#"{"match":{"title":{"query":" red \u0073hoes ","operator":"and"}}}"#, "red shoes"),
            (r#"{"match_phrase":{"title":{"query":"red shoes","slop":2}}}"#, "red shoes"),
            (r#"{"match_phrase_prefix":{"title":"red sh"}}"#, "red sh"),
            (r#"{"match_bool_prefix":{"title":{"query":"red sh"}}}"#, "red sh"),
            (r#"{"multi_match":{"query":"red shoes","fields":["a","b^2"],"type":"cross_fields"}}"#, "red shoes"),
            (r#"{"combined_fields":{"query":"red shoes","fields":["a"]}}"#, "red shoes"),
            (r#"{"query_string":{"query":"title:(red AND shoes~1) -blue","default_field":"a"}}"#, "red shoes"),
            (r#"{"simple_query_string":{"query":"\"red shoes\" | boots*"}}"#, "red shoes boots"),
            (r#"{"more_like_this":{"fields":["a"],"like":"red shoes"}}"#, "red shoes"),
            (r#"{"intervals":{"a":{"match":{"query":"red shoes","max_gaps":2},"boost":2}}}"#, "red shoes"),
            (
                r#"{"intervals":{"a":{"all_of":{"ordered":true,"intervals":[{"match":{"query":"red"}},{"any_of":{"intervals":[{"prefix":{"prefix":"sho"}},{"wildcard":{"pattern":"bo*"}},{"fuzzy":{"term":"clog"}}]}}]}}}}"#,
                "red sho bo* clog",
            ),
            (r#"{"span_term":{"a":"red"}}"#, "red"),
            (r#"{"span_term":{"a":{"value":"red","boost":2}}}"#, "red"),
            (
                r#"{"span_near":{"clauses":[{"span_term":{"a":"red"}},{"span_gap":{"a":1}},{"span_multi":{"match":{"prefix":{"a":{"value":"sho"}}}}}],"slop":1}}"#,
                "red sho",
            ),
            (
                r#"{"span_not":{"include":{"span_or":{"clauses":[{"span_term":{"a":"x"}},{"span_term":{"a":"y"}}]}},"exclude":{"span_term":{"a":"z"}}}}"#,
                "x y",
            ),
            (r#"{"span_first":{"match":{"span_term":{"a":"x"}},"end":3}}"#, "x"),
            (r#"{"span_containing":{"little":{"span_term":{"a":"y"}},"big":{"span_term":{"a":"x"}}}}"#, "x y"),
            (r#"{"span_within":{"little":{"span_term":{"a":"y"}},"big":{"span_term":{"a":"x"}}}}"#, "x y"),
            (r#"{"field_masking_span":{"query":{"span_term":{"a":"x"}},"field":"b"}}"#, "x"),
            (r#"{"term":{"a":"red"}}"#, "red"),
            (r#"{"term":{"a":{"value":"red","_name":"n"},"_name":"no text","boost":2}}"#, "red"),
            (r#"{"terms":{"a":["red","blue",3],"boost":1}}"#, "red blue"),
            (r#"{"prefix":{"a":"re"}}"#, "re"),
            (r#"{"wildcard":{"a":{"wildcard":"r*d"}}}"#, "r*d"),
            (r#"{"regexp":{"a":{"value":"r.d"}}}"#, "r.d"),
            (r#"{"fuzzy":{"a":{"value":"rad"}}}"#, "rad"),
        ] {
            assert_eq!(texts(query), [found], "{query}");
        }
    }

    #[test]
    fn case_13_containers_are_walked_where_they_score() {
        for (query, found) in [
            (r#"{"bool":{"must":{"match":{"a":"x"}},"should":[{"match":{"a":"y"}},{"match_all":{}}]}}"#, vec!["x", "y"]),
            (r#"{"bool":{"filter":[{"match":{"a":"x"}}],"must_not":{"match":{"a":"y"}}}}"#, vec![]),
            (r#"{"bool":{"filter":{"bool":{"must":{"match":{"a":"x"}}}},"must":{"match":{"a":"y"}}}}"#, vec!["y"]),
            (r#"{"dis_max":{"queries":[{"match":{"a":"x"}},{"match":{"b":"x"}}]}}"#, vec!["x", "x"]),
            (r#"{"boosting":{"positive":{"match":{"a":"x"}},"negative":{"match":{"a":"y"}},"negative_boost":0.5}}"#, vec!["x"]),
            (r#"{"constant_score":{"filter":{"match":{"a":"x"}}}}"#, vec!["x"]),
            (
                r#"{"function_score":{"query":{"match":{"a":"x"}},"functions":[{"filter":{"match":{"a":"y"}},"weight":2},{"random_score":{"seed":1,"field":"_seq_no"}}]}}"#,
                vec!["x"],
            ),
            (r#"{"script_score":{"query":{"match":{"a":"x"}},"script":{"source":"1"}}}"#, vec!["x"]),
            (r#"{"nested":{"path":"p","query":{"match":{"p.a":"x"}}}}"#, vec!["x"]),
            (r#"{"has_child":{"type":"c","query":{"match":{"a":"x"}}}}"#, vec!["x"]),
            (r#"{"has_parent":{"parent_type":"c","query":{"match":{"a":"x"}}}}"#, vec!["x"]),
        ] {
            assert_eq!(texts(query), found, "{query}");
        }
    }

    #[test]
    fn what_is_no_text_is_not_taken_for_one() {
        for query in [
            r#"{"match_all":{}}"#,
            r#"{"match":{"a":3}}"#,
            r#"{"match":{"a":"  "}}"#,
            r#"{"match":{"a":{"query":true}}}"#,
            r#"{"more_like_this":{"like":[{"_id":"1"}]}}"#,
            r#"{"terms":{"a":{"index":"i","id":"1","path":"p"}}}"#,
            r#"{"range":{"a":{"gte":"now"}}}"#,
            r#"{"query_string":{"query":"*:*"}}"#,
        ] {
            assert_eq!(texts(query), Vec::<String>::new(), "{query}");
        }
    }

    #[test]
    fn exact_values_count_only_alone_and_where_they_score() {
        assert_eq!(texts(r#"{"bool":{"must":[{"term":{"a":"x"}},{"match":{"a":"y"}}]}}"#), ["y"]);
        assert_eq!(texts(r#"{"bool":{"must":{"term":{"a":"x"}},"filter":{"term":{"a":"y"}}}}"#), ["x"]);
    }

    #[test]
    fn a_rule_may_take_filters_too() {
        let query = r#"{"bool":{"filter":[{"match":{"a":"x"}},{"term":{"a":"z"}}],"must_not":{"match":{"a":"y"}}}}"#;
        let found = survey(query, true).expect("known").into_iter().map(|found| found.text).collect::<Vec<_>>();
        assert_eq!(found, ["x", "y"]);
    }

    #[test]
    fn the_place_is_a_json_pointer() {
        let at = |query| survey(query, false).expect("known").swap_remove(0).at;
        assert_eq!(at(r#"{"bool":{"must":[{"match_all":{}},{"match":{"a/b":{"query":"x"}}}]}}"#), "/query/bool/must/1/match/a~1b/query");
        assert_eq!(at(r#"{"intervals":{"a":{"match":{"query":"x"}}}}"#), "/query/intervals");
    }

    #[test]
    fn flaws_are_found_everywhere() {
        let deep = |query: &str| {
            [
                query.to_owned(),
                format!(r#"{{"bool":{{"filter":[{query}]}}}}"#),
                format!(r#"{{"boosting":{{"positive":{{"match_all":{{}}}},"negative":{query}}}}}"#),
                format!(r#"{{"function_score":{{"functions":[{{"filter":{query},"weight":1}}]}}}}"#),
                format!(r#"{{"bool":{{"must":[{{"match":{{"a":"x"}}}},{query},{{"knn":{{}}}}]}}}}"#),
            ]
        };
        for (query, flaw) in [
            (r#"{"function_score":{"random_score":{}}}"#, Flaw::Unseeded),
            (r#"{"function_score":{"functions":[{"random_score":{"seed":null}}]}}"#, Flaw::Unseeded),
            (r#"{"match":{"a":"x","a":"y"}}"#, Flaw::NotJson),
        ] {
            for whole in deep(query) {
                assert_eq!(survey(&whole, false), Err(flaw), "{whole}");
            }
        }
        for query in
            [r#"{"knn":{"field":"v"}}"#, r#"{"hybrid":{"queries":[]}}"#, r#"{"neural":{}}"#, "{}", r#"{"match":"x"}"#, "[[]]", "null"]
        {
            for whole in deep(query) {
                assert_eq!(survey(&whole, false), Err(Flaw::Foreign), "{whole}");
            }
        }
        assert_eq!(survey(r#"{"match":{"a":"x"},"term":{"a":"x"}}"#, false), Err(Flaw::Foreign));
    }

    #[test]
    fn case_20_gigantic_queries_are_left_alone() {
        let many = |count: usize| format!(r#"{{"bool":{{"should":[{}]}}}}"#, vec![r#"{"match":{"a":"x"}}"#; count].join(","));
        assert_eq!(survey(&many(MOST_QUERIES - 1), false).map(|found| found.len()), Ok(MOST_QUERIES - 1));
        assert_eq!(survey(&many(MOST_QUERIES), false), Err(Flaw::Foreign));
        let long = |length: usize| format!(r#"{{"match":{{"a":"{}"}}}}"#, "x".repeat(length));
        assert_eq!(survey(&long(MOST_TEXT), false).map(|found| found.len()), Ok(1));
        assert_eq!(survey(&long(MOST_TEXT + 1), false), Err(Flaw::Foreign));
    }
}
