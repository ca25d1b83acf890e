//! Reads out of a search's body what a document must hold to be found by it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// How a field is mapped; of several uses the greatest wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mapped {
    /// As the engine makes of the values.
    Any,
    Keyword,
    Text,
    Bool,
    Number,
    Date,
    Ip,
    RankFeature,
    Completion,
    GeoPoint,
    GeoShape,
    Nested,
}

/// What is known of one field.
#[derive(Clone, Debug)]
pub(crate) struct Need {
    pub(crate) mapped: Mapped,
    /// Values that the search asks for.
    pub(crate) values: Vec<Value>,
}

/// What a search asks of a document, by the names of the fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct Needs {
    pub(crate) fields: BTreeMap<String, Need>,
    /// Texts that may stand in any field.
    pub(crate) anywhere: Vec<String>,
}

const FULL_TEXT: [&str; 5] = ["match", "match_phrase", "match_phrase_prefix", "match_bool_prefix", "span_term"];
const EXACT: [&str; 5] = ["term", "prefix", "wildcard", "fuzzy", "regexp"];
const IN_KEY: [&str; 5] = ["multi_match", "combined_fields", "query_string", "simple_query_string", "more_like_this"];
/// Keys under which queries stand. What must not match is not read.
const HOLDERS: [&str; 18] = [
    "must",
    "should",
    "filter",
    "queries",
    "positive",
    "query",
    "clauses",
    "include",
    "match",
    "big",
    "little",
    "functions",
    "organic",
    "bool",
    "dis_max",
    "boosting",
    "constant_score",
    "function_score",
];
const NUMERIC: [&str; 15] = [
    "avg",
    "sum",
    "min",
    "max",
    "stats",
    "extended_stats",
    "percentiles",
    "percentile_ranks",
    "histogram",
    "range",
    "boxplot",
    "median_absolute_deviation",
    "variable_width_histogram",
    "matrix_stats",
    "weighted_avg",
];
const DATED: [&str; 3] = ["date_histogram", "auto_date_histogram", "date_range"];
const PLACED: [&str; 6] = ["geo_bounds", "geohash_grid", "geotile_grid", "geohex_grid", "geo_distance", "geo_centroid"];

// === impl Needs ===

impl Needs {
    /// Reads a search's body.
    pub(crate) fn of(body: &Value) -> Self {
        let mut needs = Self::default();
        for key in ["query", "post_filter"] {
            needs.query(&body[key]);
        }
        for key in ["aggs", "aggregations"] {
            needs.aggregations(&body[key]);
        }
        for (key, mapped) in [("sort", Mapped::Keyword), ("docvalue_fields", Mapped::Keyword), ("fields", Mapped::Any)] {
            for item in list(&body[key]) {
                needs.sort_key(item, mapped);
            }
        }
        if let Some(field) = body["collapse"]["field"].as_str() {
            needs.add(field, Mapped::Keyword, []);
        }
        for name in body["highlight"]["fields"].as_object().into_iter().flat_map(Map::keys) {
            needs.add(name, Mapped::Text, []);
        }
        for rescorer in list(&body["rescore"]) {
            needs.query(&rescorer["query"]["rescore_query"]);
        }
        needs.suggesters(&body["suggest"]);
        needs.scripts(&body["script_fields"]);
        needs
    }

    fn add(&mut self, field: &str, mapped: Mapped, values: impl IntoIterator<Item = Value>) {
        let (field, _) = field.split_once('^').unwrap_or((field, ""));
        if field.is_empty() || field.contains(['*', ' ']) || field.starts_with(['_', '.']) || field.ends_with('.') || field.contains("..") {
            return;
        }
        // Strings get a `.keyword` of their own.
        let (field, mapped) = field.strip_suffix(".keyword").map_or((field, mapped), |base| (base, Mapped::Text));
        let need = self.fields.entry(field.to_owned()).or_insert(Need { mapped, values: Vec::new() });
        need.mapped = need.mapped.max(mapped);
        for value in values {
            if !need.values.contains(&value) {
                need.values.push(value);
            }
        }
    }

    fn sort_key(&mut self, item: &Value, mapped: Mapped) {
        let alone = item.as_str().or(item["field"].as_str());
        let keys = item.as_object().filter(|_| alone.is_none()).into_iter().flat_map(|keys| keys.keys().map(String::as_str));
        for name in alone.into_iter().chain(keys).filter(|name| !["_score", "_geo_distance", "_script"].contains(name)) {
            let dated = name.contains("date") || name.contains("time");
            self.add(name, if dated && mapped == Mapped::Keyword { Mapped::Date } else { mapped }, []);
        }
        if let Some(places) = item["_geo_distance"].as_object() {
            places.keys().for_each(|place| self.add(place, Mapped::GeoPoint, []));
        }
    }

    fn query(&mut self, query: &Value) {
        for (kind, inner) in query.as_object().into_iter().flatten() {
            self.one_query(kind, inner);
        }
    }

    fn one_query(&mut self, kind: &str, inner: &Value) {
        match kind {
            _ if inner.is_array() => list(inner).into_iter().for_each(|own| self.query(own)),
            _ if IN_KEY.contains(&kind) => self.words(kind, inner),
            "match" | "filter" if is_query(inner) => self.query(inner),
            _ if FULL_TEXT.contains(&kind) => self.in_fields(inner, Mapped::Text, &["query", "value"]),
            _ if EXACT.contains(&kind) => self.in_fields(inner, Mapped::Keyword, &["value", "wildcard"]),
            "terms" | "terms_set" => self.terms(inner),
            "range" => self.ranges(inner),
            "exists" => inner["field"].as_str().into_iter().for_each(|field| self.add(field, Mapped::Any, [])),
            "nested" => {
                inner["path"].as_str().into_iter().for_each(|path| self.add(path, Mapped::Nested, []));
                self.query(&inner["query"]);
            }
            "intervals" => self.intervals(inner),
            "geo_distance" | "geo_bounding_box" | "geo_polygon" => self.points(inner),
            "geo_shape" => self.shapes(inner),
            "rank_feature" => inner["field"].as_str().into_iter().for_each(|field| self.add(field, Mapped::RankFeature, [json!(3.5)])),
            "distance_feature" => self.near(inner),
            "gauss" | "exp" | "linear" => self.decays(inner),
            "field_value_factor" => inner["field"].as_str().into_iter().for_each(|field| self.add(field, Mapped::Number, [json!(2)])),
            "script" | "script_score" => {
                self.scripts(inner);
                self.query(&inner["query"]);
            }
            _ if HOLDERS.contains(&kind) => self.query(inner),
            _ => {}
        }
    }

    fn in_fields(&mut self, inner: &Value, mapped: Mapped, keys: &[&str]) {
        for (field, value) in inner.as_object().into_iter().flatten() {
            let value = keys.iter().find_map(|key| value.get(key)).unwrap_or(value);
            let (mapped, value) = match value {
                Value::String(_) if mapped == Mapped::Text => (mapped, value.clone()),
                // A pattern is matched by what has a letter where it has a sign.
                Value::String(text) => (mapped, json!(text.replace(['*', '?', '.', '[', ']', '+', '\\'], "a"))),
                Value::Number(_) => (Mapped::Number, value.clone()),
                Value::Bool(_) => (Mapped::Bool, value.clone()),
                _ => continue,
            };
            self.add(field, mapped, [value]);
        }
    }

    fn terms(&mut self, inner: &Value) {
        for (field, values) in inner.as_object().into_iter().flatten() {
            let values = if values.is_object() { &values["terms"] } else { values };
            if let Some(first) = list(values).first().filter(|value| !value.is_null() && !value.is_object()) {
                let mapped = if first.is_number() { Mapped::Number } else { Mapped::Keyword };
                self.add(field, mapped, values.as_array().into_iter().flatten().cloned());
            }
        }
    }

    fn words(&mut self, kind: &str, inner: &Value) {
        let Some(text) = inner["query"].as_str().or(inner["like"].as_str()) else { return };
        let is_syntax = kind.ends_with("query_string");
        let mut plain = Vec::new();
        for word in text.split_whitespace() {
            let bare = |own: &str| own.trim_matches(|letter: char| !letter.is_alphanumeric()).to_owned();
            match word.split_once(':').filter(|_| is_syntax) {
                Some((field, value)) => self.add(field.trim_start_matches(['(', '+', '-']), Mapped::Any, [json!(bare(value))]),
                None if ["AND", "OR", "NOT"].contains(&word) => {}
                None => plain.push(if is_syntax { bare(word) } else { word.to_owned() }),
            }
        }
        let plain = plain.join(" ");
        let named: Vec<&Value> = list(&inner["fields"]).into_iter().chain(inner.get("default_field")).collect();
        for field in named.iter().filter_map(|field| field.as_str()) {
            self.add(field, Mapped::Text, [json!(plain)]);
        }
        self.anywhere.push(plain);
    }

    fn ranges(&mut self, inner: &Value) {
        for (field, bounds) in inner.as_object().into_iter().flatten() {
            let low = ["gte", "gt", "from"].iter().find_map(|key| bounds.get(key)).filter(|bound| !bound.is_null());
            let high = ["lte", "lt", "to"].iter().find_map(|key| bounds.get(key)).filter(|bound| !bound.is_null());
            let above = bounds.get("gt").is_some();
            let chosen = match (low, high) {
                (Some(Value::Number(low)), Some(Value::Number(high))) => between(low.as_f64(), high.as_f64()),
                (Some(Value::Number(low)), None) => json!(low.as_f64().unwrap_or_default().floor() + 1.0),
                (None, Some(Value::Number(high))) => json!(high.as_f64().unwrap_or_default().ceil() - 1.0),
                (Some(Value::String(low)), high) if !low.starts_with("now") => {
                    let high = high.and_then(Value::as_str).filter(|high| above && !high.contains(['n', '|']));
                    json!(high.unwrap_or(low).split("||").next())
                }
                (_, Some(Value::String(high))) if !high.starts_with("now") => json!(high.split("||").next()),
                _ => Value::Null,
            };
            let is_address = chosen.as_str().is_some_and(|text| text.matches('.').count() == 3);
            let mapped = match chosen {
                Value::String(_) if is_address => Mapped::Ip,
                Value::Number(_) => Mapped::Number,
                _ => Mapped::Date,
            };
            self.add(field, mapped, Some(chosen).filter(|value| !value.is_null()));
        }
    }

    fn intervals(&mut self, inner: &Value) {
        for (field, rule) in inner.as_object().into_iter().flatten() {
            let mut texts = Vec::new();
            texts_under(rule, &["query", "prefix", "pattern", "term"], &mut texts);
            self.add(field, Mapped::Text, [json!(texts.join(" "))]);
        }
    }

    fn points(&mut self, inner: &Value) {
        for (field, place) in
            inner.as_object().into_iter().flatten().filter(|(_, place)| place.is_object() || place.is_array() || place.is_string())
        {
            let corners: Vec<(f64, f64)> = match place {
                Value::Object(parts) if parts.get("lat").is_none() => {
                    parts.values().flat_map(|part| point(part).into_iter().chain(list(part).into_iter().filter_map(point))).collect()
                }
                one => point(one).into_iter().collect(),
            };
            if !corners.is_empty() {
                let mean = |pick: fn(&(f64, f64)) -> f64| corners.iter().map(pick).sum::<f64>() / corners.len() as f64;
                self.add(field, Mapped::GeoPoint, [json!({"lat": mean(|own| own.0), "lon": mean(|own| own.1)})]);
            }
        }
    }

    fn shapes(&mut self, inner: &Value) {
        for (field, asked) in inner.as_object().into_iter().flatten() {
            if asked["shape"].is_object() {
                self.add(field, Mapped::GeoShape, [asked["shape"].clone()]);
            }
        }
    }

    fn near(&mut self, inner: &Value) {
        let Some(field) = inner["field"].as_str() else { return };
        match point(&inner["origin"]) {
            Some((lat, lon)) => self.add(field, Mapped::GeoPoint, [json!({"lat": lat, "lon": lon})]),
            None => self.add(field, Mapped::Date, inner["origin"].as_str().filter(|text| !text.starts_with("now")).map(Value::from)),
        }
    }

    fn decays(&mut self, inner: &Value) {
        for (field, settings) in inner.as_object().into_iter().flatten().filter(|(_, settings)| settings.is_object()) {
            let origin = &settings["origin"];
            match (point(origin), origin) {
                (Some((lat, lon)), _) => self.add(field, Mapped::GeoPoint, [json!({"lat": lat, "lon": lon})]),
                (None, Value::Number(_)) => self.add(field, Mapped::Number, [origin.clone()]),
                _ => self.add(field, Mapped::Date, origin.as_str().filter(|text| !text.starts_with("now")).map(Value::from)),
            }
        }
    }

    fn scripts(&mut self, inner: &Value) {
        let mut sources = Vec::new();
        texts_under(inner, &["source", "script"], &mut sources);
        for source in sources {
            for piece in source.split("doc[").skip(1) {
                let name = piece.trim_start_matches(['\'', '"']).split(['\'', '"']).next().unwrap_or_default();
                self.add(name, Mapped::Any, [json!(3)]);
            }
        }
    }

    fn suggesters(&mut self, inner: &Value) {
        for own in inner.as_object().into_iter().flat_map(Map::values).filter(|own| own.is_object()) {
            for (kind, mapped) in [("term", Mapped::Text), ("phrase", Mapped::Text), ("completion", Mapped::Completion)] {
                let text = own["prefix"].as_str().or(own["text"].as_str()).or(inner["text"].as_str()).unwrap_or("some");
                own[kind]["field"].as_str().into_iter().for_each(|field| self.add(field, mapped, [json!(text)]));
            }
        }
    }

    fn aggregations(&mut self, inner: &Value) {
        for own in inner.as_object().into_iter().flat_map(Map::values) {
            for (kind, settings) in own.as_object().into_iter().flatten() {
                self.aggregation(kind, settings);
            }
        }
    }

    fn aggregation(&mut self, kind: &str, settings: &Value) {
        let mapped = match kind {
            _ if NUMERIC.contains(&kind) => Mapped::Number,
            _ if DATED.contains(&kind) => Mapped::Date,
            _ if PLACED.contains(&kind) => Mapped::GeoPoint,
            "ip_range" | "ip_prefix" => Mapped::Ip,
            "significant_text" => Mapped::Text,
            _ => Mapped::Keyword,
        };
        match kind {
            "aggs" | "aggregations" => self.aggregations(settings),
            "filter" => self.query(settings),
            "filters" | "adjacency_matrix" => {
                settings["filters"].as_object().into_iter().flat_map(Map::values).for_each(|own| self.query(own))
            }
            "nested" => settings["path"].as_str().into_iter().for_each(|path| self.add(path, Mapped::Nested, [])),
            "composite" => {
                for (source_kind, source) in list(&settings["sources"])
                    .into_iter()
                    .flat_map(|source| source.as_object().into_iter().flat_map(Map::values))
                    .flat_map(|own| own.as_object().into_iter().flatten())
                {
                    self.aggregation(source_kind, source);
                }
            }
            "multi_terms" => list(&settings["terms"]).into_iter().for_each(|own| self.aggregation("terms", own)),
            _ => {
                let named = settings["field"].as_str().into_iter().chain(list(&settings["fields"]).into_iter().filter_map(Value::as_str));
                let inner = ["value", "weight"].into_iter().filter_map(|key| settings[key]["field"].as_str());
                named.chain(inner).collect::<BTreeSet<_>>().into_iter().for_each(|field| self.add(field, mapped, []));
            }
        }
    }
}

/// Whether this is a query itself (`span_first.match`, `filter`) and no object of fields.
fn is_query(inner: &Value) -> bool {
    let known = |kind: &String| {
        [
            &FULL_TEXT[..],
            &EXACT,
            &IN_KEY,
            &HOLDERS,
            &[
                "range",
                "exists",
                "nested",
                "terms",
                "script",
                "geo_distance",
                "geo_bounding_box",
                "geo_shape",
                "geo_polygon",
                "span_near",
                "span_or",
                "knn",
            ],
        ]
        .iter()
        .any(|kinds| kinds.contains(&kind.as_str()))
    };
    inner.as_object().is_some_and(|keys| keys.len() == 1 && keys.keys().all(known) && keys.values().all(Value::is_object))
}

fn between(low: Option<f64>, high: Option<f64>) -> Value {
    let (low, high) = (low.unwrap_or_default(), high.unwrap_or_default());
    let middle = (low + high) / 2.0;
    // A whole number where one lies between.
    if middle.floor() > low { json!(middle.floor() as i64) } else { json!(middle) }
}

fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Null => Vec::new(),
        alone => vec![alone],
    }
}

fn point(value: &Value) -> Option<(f64, f64)> {
    match value {
        Value::Object(parts) => Some((parts.get("lat")?.as_f64()?, parts.get("lon")?.as_f64()?)),
        Value::Array(pair) if pair.len() == 2 => Some((pair[1].as_f64()?, pair[0].as_f64()?)),
        Value::String(text) => text.split_once(',').and_then(|(lat, lon)| Some((lat.trim().parse().ok()?, lon.trim().parse().ok()?))),
        _ => None,
    }
}

fn texts_under(value: &Value, keys: &[&str], texts: &mut Vec<String>) {
    match value {
        Value::Object(entries) => {
            for (key, inner) in entries {
                match inner {
                    Value::String(text) if keys.contains(&key.as_str()) => texts.push(text.clone()),
                    other => texts_under(other, keys, texts),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| texts_under(item, keys, texts)),
        _ => {}
    }
}
