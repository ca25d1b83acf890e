//! Reads each kind of query in its own shape, and the parts of a search that are no queries but hold texts.
//!
//! Retrievers are [`retriever`](super::retriever)'s.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::value::RawValue;

use super::{
    json::{self, Kind as Json, Object},
    query_kinds::{
        BESIDE_FIELDS, BOUNDS, BUILDERS, INTERVAL_GROUPS, INTERVALS,
        Kind::{self, FunctionScore, Holds, InFields, InKey, Inner, Intervals, Joins, Nearest, Silent, Syntax, TermsInFields, Wrapped},
        NEAREST,
        Part::Queries,
        Role::{self, Aside, Scores},
        SUGGESTED, Trust,
    },
    query_syntax,
    query_text::{Flaw, FoundText, Survey},
    request,
};

// === impl Survey ===

impl Survey {
    pub(super) fn kind(&mut self, kind: Kind, value: &RawValue, role: Role) {
        if let Inner = kind {
            let outside = std::mem::replace(&mut self.in_template, true);
            self.query(value, role);
            self.in_template = outside;
            return;
        }
        let Some(body) = self.object(value) else { return };
        match kind {
            Silent | Inner => {}
            InKey(key, trust) => self.text(&body, key, trust, role),
            Syntax(key, dialect) => {
                let text = body.get(key).and_then(json::string).unwrap_or_default();
                self.within(key, |survey| survey.keep(&query_syntax::words(&text, dialect), Trust::Full, role));
            }
            InFields(keys, trust) => self.in_fields(&body, keys, trust, role),
            TermsInFields => self.terms(&body, role),
            Holds(parts) => self.parts(&body, parts, role),
            Joins(parts) => self.joined(|survey| survey.parts(&body, parts, role)),
            FunctionScore => {
                self.parts(&body, &[("query", Queries(Scores))], role);
                self.functions(&body);
            }
            Intervals => self.joined(|survey| {
                for (field, rule) in body.entries().iter().filter(|(field, _)| !BESIDE_FIELDS.contains(&field.as_ref())) {
                    survey.within(field, |inner| inner.interval(rule, role));
                }
            }),
            Nearest => self.nearest(&body, role),
            Wrapped => self.wrapped(&body, role),
        }
    }

    fn functions(&mut self, body: &Object<'_>) {
        self.random(body);
        let Some(functions) = body.get("functions") else { return };
        self.each(functions, |survey, value| {
            let Some(function) = survey.object(value) else { return };
            survey.random(&function);
            survey.parts(&function, &[("filter", Queries(Aside))], Aside);
        });
    }

    fn random(&mut self, function: &Object<'_>) {
        let Some(random) = function.get("random_score").and_then(|random| self.object(random)) else { return };
        if random.get("seed").is_none_or(|seed| json::kind(seed) == Json::Null) {
            self.mark(Flaw::Unseeded);
        }
    }

    /// Elasticsearch names the field under `field`, OpenSearch has it as the key.
    fn nearest(&mut self, body: &Object<'_>, role: Role) {
        if body.get("field").is_some_and(|field| json::kind(field) == Json::String) {
            return self.neighbours(body, role);
        }
        for (field, value) in body.entries().iter().filter(|(field, _)| !BESIDE_FIELDS.contains(&field.as_ref())) {
            let Some(options) = self.object(value) else { return };
            self.within(field, |survey| survey.neighbours(&options, role));
        }
    }

    pub(super) fn neighbours(&mut self, options: &Object<'_>, role: Role) {
        self.widens &= BOUNDS.iter().any(|bound| options.get(bound).is_some());
        self.parts(options, NEAREST, role);
    }

    pub(super) fn builder(&mut self, value: &RawValue, role: Role) {
        let Some(builder) = self.object(value) else { return };
        for (name, key) in BUILDERS {
            let Some(options) = builder.get(name).and_then(|options| self.object(options)) else { continue };
            self.within(name, |survey| survey.text(&options, key, Trust::Natural, role));
        }
    }

    /// The names are the application's; those that say `query`, as in all documentation, hold what was typed.
    pub(super) fn criteria(&mut self, value: &RawValue, role: Role) {
        let Some(criteria) = self.object(value) else { return };
        let names_query = |name: &str| name.contains("query");
        let named = criteria.entries().iter().any(|(name, _)| names_query(name));
        for (name, criterion) in criteria.entries().iter().filter(|(name, _)| !named || names_query(name)) {
            self.within(name, |survey| {
                survey.each(criterion, |inner, text| inner.keep(&json::string(text).unwrap_or_default(), Trust::Explicit, role))
            });
        }
    }

    pub(super) fn suggesters(&mut self, value: &RawValue) {
        let Some(suggest) = self.object(value) else { return };
        for (name, own) in suggest.entries() {
            self.within(name, |survey| {
                if json::kind(own) != Json::Object {
                    return if name == "text" {
                        survey.keep(&json::string(own).unwrap_or_default(), Trust::Suggested, Scores)
                    };
                }
                let Some(suggester) = survey.object(own) else { return };
                if let Some(key) = SUGGESTED.iter().find(|key| suggester.get(key).is_some()) {
                    survey.text(&suggester, key, Trust::Suggested, Scores);
                }
            });
        }
    }

    fn wrapped(&mut self, body: &Object<'_>, role: Role) {
        let encoded = body.get("query").and_then(json::string).unwrap_or_default();
        let decoded = STANDARD.decode(encoded.as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let decoded = decoded.filter(|decoded| !request::is_nested_deeper(decoded.as_bytes(), request::MOST_NESTED));
        match decoded.as_deref().map(serde_json::from_str::<&RawValue>) {
            Some(Ok(query)) => self.within("query", |survey| survey.query(query, role)),
            _ => self.mark(Flaw::Foreign),
        }
    }

    fn in_fields(&mut self, body: &Object<'_>, keys: &[&str], trust: Trust, role: Role) {
        for (field, value) in body.entries().iter().filter(|(field, _)| !BESIDE_FIELDS.contains(&field.as_ref())) {
            if json::kind(value) != Json::Object {
                self.within(field, |survey| survey.keep(&json::string(value).unwrap_or_default(), trust, role));
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
        self.deeper(|survey| {
            let Some(rules) = survey.object(value) else { return };
            for (name, rule) in rules.entries() {
                if let Some((_, key)) = INTERVALS.iter().find(|(own, _)| own == name) {
                    let Some(options) = survey.object(rule) else { return };
                    survey.within(name, |inner| inner.text(&options, key, Trust::Full, role));
                } else if INTERVAL_GROUPS.contains(&name.as_ref()) {
                    let Some(group) = survey.object(rule) else { return };
                    let Some(members) = group.get("intervals") else { return survey.mark(Flaw::Foreign) };
                    survey.each(members, |inner, member| inner.interval(member, role));
                }
            }
        });
    }

    /// Makes one text of those that `walk` finds.
    fn joined(&mut self, walk: impl FnOnce(&mut Self)) {
        let first = self.found.len();
        walk(self);
        let parts: Vec<String> = self.found.drain(first..).map(|(_, found)| found.text).collect();
        self.found.extend(FoundText::new(&parts.join(" "), &self.at).map(|found| (Trust::Full, found)));
    }
}
