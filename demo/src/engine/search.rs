//! One search: what is asked, what is found, and the answer.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};

use super::{
    answer::{Shards, Total},
    catalog::Catalog,
    error::{ApiError, Cause},
    fields::Fields,
    highlight::Highlight,
    index::Index,
    parameters::{self, Parameters},
    query::{self, Clause, UrlQuery},
    rank::{Found, Rank, compare_keys, greater},
    schema::Schema,
    sort::{BoundKey, SortKey, SortValue},
    source_filter::SourceFilter,
    store::{View, storage},
};

/// How deep a page may lie, as `index.max_result_window`.
const DEEPEST: usize = 10_000;
const PAGE: usize = 10;
/// Up to here hits are counted unless the client says otherwise.
const COUNTED: u64 = 10_000;

/// The parameters of a URL that a search takes; those that are read nowhere change nothing here.
pub(super) const PARAMETERS: [&str; 29] = [
    "q",
    "df",
    "default_operator",
    "from",
    "size",
    "sort",
    "_source",
    "_source_includes",
    "_source_excludes",
    "track_total_hits",
    "track_scores",
    "version",
    "seq_no_primary_term",
    "ignore_unavailable",
    "allow_no_indices",
    "expand_wildcards",
    // One shard of one node, nothing cached, no aggregations: these change nothing.
    "timeout",
    "preference",
    "search_type",
    "request_cache",
    "typed_keys",
    "batched_reduce_size",
    "max_concurrent_shard_requests",
    "pre_filter_shard_size",
    "ccs_minimize_roundtrips",
    "cancel_after_time_interval",
    "phase_took",
    "source",
    "source_content_type",
];

/// One search, as it was asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Search {
    query: Option<Value>,
    text: Option<Text>,
    from: usize,
    size: Option<usize>,
    source: SourceFilter,
    fields: Option<Value>,
    highlight: Option<Value>,
    sort: Vec<SortKey>,
    track_total: TrackTotal,
    track_scores: bool,
    least_score: Option<f32>,
    shows_version: bool,
    shows_sequence: bool,
}

/// The `q` of a URL.
#[derive(Clone, Debug)]
struct Text {
    text: String,
    default_field: Option<String>,
    default_operator: Option<String>,
}

/// How far hits are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TrackTotal {
    UpTo(u64),
    All,
    Not,
}

/// The answer to a search.
#[derive(Debug, Serialize)]
pub(super) struct SearchAnswer {
    took: u64,
    timed_out: bool,
    _shards: Shards,
    hits: Hits,
}

#[derive(Debug, Serialize)]
struct Hits {
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<Total>,
    max_score: Option<f32>,
    hits: Vec<Hit>,
}

/// One hit; its keys stand in the engines' order.
#[derive(Debug, Serialize)]
struct Hit {
    _index: String,
    _id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    _version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    _seq_no: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    _primary_term: Option<u64>,
    _score: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    _source: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    fields: BTreeMap<String, Vec<Value>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    highlight: BTreeMap<String, Vec<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sort: Vec<SortValue>,
}

/// The answer to a count.
#[derive(Debug, Serialize)]
pub(super) struct Counted {
    pub(super) count: u64,
    pub(super) _shards: Shards,
}

/// A search on one index, with all that depends on its mapping.
struct Bound {
    index: Arc<Index>,
    view: View,
    clause: Clause,
    keys: Vec<BoundKey>,
    fields: Option<Fields>,
    highlight: Option<Highlight>,
}

// === impl TrackTotal ===

impl Default for TrackTotal {
    fn default() -> Self {
        Self::UpTo(COUNTED)
    }
}

impl TrackTotal {
    fn parse(json: &Value) -> Result<Self, ApiError> {
        match json {
            Value::Bool(true) => Ok(Self::All),
            Value::Bool(false) => Ok(Self::Not),
            Value::Number(number) => Self::from_number(number.as_i64()),
            Value::String(text) => Self::from_text(text),
            _ => Err(ApiError::parsing("[track_total_hits] must be a boolean or a number")),
        }
    }

    fn from_text(text: &str) -> Result<Self, ApiError> {
        match text {
            "" | "true" => Ok(Self::All),
            "false" => Ok(Self::Not),
            number => Self::from_number(number.parse().ok()),
        }
    }

    fn from_number(number: Option<i64>) -> Result<Self, ApiError> {
        match number {
            Some(-1) => Ok(Self::Not),
            Some(number) if number >= 0 => Ok(Self::UpTo(number.unsigned_abs())),
            _ => Err(ApiError::illegal_argument("[track_total_hits] parameter must be positive or equals to -1")),
        }
    }

    fn total(self, count: u64) -> Option<Total> {
        match self {
            Self::Not => None,
            Self::UpTo(most) if count > most => Some(Total { value: most, relation: "gte" }),
            _ => Some(Total { value: count, relation: "eq" }),
        }
    }
}

// === impl Search ===

impl Search {
    /// Reads a body and the parameters that go before it.
    pub(super) fn parse(parameters: &Parameters, body: &[u8]) -> Result<Self, ApiError> {
        let mut search = Self::default();
        for (key, value) in object(body)? {
            search.read(&key, value)?;
        }
        search.read_url(parameters)?;
        Ok(search)
    }

    fn read(&mut self, key: &str, value: Value) -> Result<(), ApiError> {
        match key {
            "query" if value.is_object() => self.query = Some(value),
            "from" => self.from = count(key, &value)?,
            "size" => self.size = Some(count(key, &value)?),
            "_source" => self.source = SourceFilter::parse(&value)?,
            "fields" => self.fields = Some(value),
            "highlight" => self.highlight = Some(value),
            "sort" => self.sort = SortKey::parse(&value)?,
            "track_total_hits" => self.track_total = TrackTotal::parse(&value)?,
            "track_scores" => self.track_scores = boolean(key, &value)?,
            "version" => self.shows_version = boolean(key, &value)?,
            "seq_no_primary_term" => self.shows_sequence = boolean(key, &value)?,
            "min_score" => self.least_score = Some(number(key, &value)? as f32),
            "timeout" => parameters::check(key, value.as_str().unwrap_or_default())?, // everything here is fast
            "explain" | "profile" if value == false => {}
            _ => return Err(unknown(key, &value)),
        }
        Ok(())
    }

    fn read_url(&mut self, parameters: &Parameters) -> Result<(), ApiError> {
        let owned = |name: &str| parameters.get(name).map(str::to_owned);
        if let Some(text) = owned("q") {
            self.text = Some(Text { text, default_field: owned("df"), default_operator: owned("default_operator") });
        }
        if let Some(from) = parameters.count("from")? {
            self.from = from;
        }
        self.size = parameters.count("size")?.or(self.size);
        if let Some(sort) = parameters.get("sort") {
            self.sort = SortKey::from_url(sort)?;
        }
        if let Some(track) = parameters.get("track_total_hits") {
            self.track_total = TrackTotal::from_text(track)?;
        }
        let source =
            SourceFilter::from_url(parameters.get("_source"), parameters.get("_source_includes"), parameters.get("_source_excludes"));
        if let Some(source) = source {
            self.source = source;
        }
        self.track_scores = parameters.flag("track_scores")?.unwrap_or(self.track_scores);
        self.shows_version = parameters.flag("version")?.unwrap_or(self.shows_version);
        self.shows_sequence = parameters.flag("seq_no_primary_term")?.unwrap_or(self.shows_sequence);
        Ok(())
    }

    /// Searches `indices`.
    pub(super) fn run(&self, catalog: &Catalog, indices: &[Arc<Index>]) -> Result<SearchAnswer, ApiError> {
        let started = Instant::now();
        let size = self.size.unwrap_or(PAGE);
        let limit = if size == 0 { 0 } else { self.from.saturating_add(size) };
        if indices.is_empty() {
            self.check()?;
        }
        let mut bound = Vec::with_capacity(indices.len());
        for index in indices {
            if self.from.saturating_add(size) > DEEPEST {
                return Err(too_deep(self.from.saturating_add(size)).on_index(&index.name, &index.uuid, &catalog.uuid));
            }
            bound.push(self.bind(catalog, index)?);
        }
        let scored = self.sort.is_empty() || self.is_scored();
        let (mut count, mut best_score, mut found) = (0, None, Vec::new());
        for (place, one) in bound.iter().enumerate() {
            let rank = Rank { limit, keys: one.keys.clone(), scored: scored || self.least_score.is_some(), least_score: self.least_score };
            let ranked = one.view.searcher.search(&*one.clause.query, &rank).map_err(|error| storage(&error))?;
            count += ranked.count;
            best_score = greater(best_score, ranked.best_score);
            found.extend(ranked.found.into_iter().map(|hit| (place, hit)));
        }
        if let [first, _, ..] = bound.as_slice() {
            found.sort_by(|(left_place, left), (right_place, right)| {
                compare_keys(&first.keys, left, right).then((left_place, left.sequence).cmp(&(right_place, right.sequence)))
            });
        }
        let page = found.into_iter().skip(self.from).take(size);
        let hits = page.map(|(place, hit)| self.hit(&bound[place], hit, scored)).collect::<Result<Vec<_>, _>>()?;
        let max_score = match (indices.is_empty(), self.sort.is_empty() || self.track_scores) {
            (true, _) => Some(0.0),
            (false, true) if size > 0 => best_score,
            (false, _) => None,
        };
        let hits = Hits { total: self.track_total.total(count), max_score, hits };
        Ok(SearchAnswer { took: milliseconds(started.elapsed()), timed_out: false, _shards: Shards::searched(indices.len()), hits })
    }

    fn is_scored(&self) -> bool {
        self.track_scores || self.sort.iter().any(SortKey::is_score)
    }

    fn bind(&self, catalog: &Catalog, index: &Arc<Index>) -> Result<Bound, ApiError> {
        let view = index.visible();
        let of_shard = |error: ApiError| error.on_index(&index.name, &index.uuid, &catalog.uuid);
        let clause = self.clause(&view.schema).map_err(of_shard)?;
        let bind = |key: &SortKey| key.bind(&view.schema).map_err(of_shard);
        let mut keys = self.sort.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            keys.push(BoundKey::score());
        }
        let fields = self.fields.as_ref().map(|json| Fields::parse(json, &view.schema)).transpose().map_err(of_shard)?;
        let highlight = self.highlight.as_ref().map(|json| Highlight::parse(json, &view.schema)).transpose().map_err(of_shard)?;
        Ok(Bound { index: Arc::clone(index), view, clause, keys, fields, highlight })
    }

    /// Reads what is otherwise read for each index, so that what makes no sense is told where there is none, too.
    fn check(&self) -> Result<(), ApiError> {
        let schema = Schema::new(Arc::default());
        let clause = self.clause(&schema).map(drop);
        let fields = self.fields.as_ref().map_or(Ok(()), |json| Fields::parse(json, &schema).map(drop));
        let highlight = self.highlight.as_ref().map_or(Ok(()), |json| Highlight::parse(json, &schema).map(drop));
        // What a shard would find out nobody does.
        clause.and(fields).and(highlight).or_else(|error| if error.is_on_shard() { Ok(()) } else { Err(error) })
    }

    fn clause(&self, schema: &Schema) -> Result<Clause, ApiError> {
        if let Some(Text { text, default_field, default_operator }) = &self.text {
            let query = UrlQuery { text, default_field: default_field.as_deref(), default_operator: default_operator.as_deref() };
            return query::parse_query_string(&query, schema);
        }
        match &self.query {
            Some(json) => query::parse(json, schema),
            None => query::parse(&serde_json::json!({"match_all": {}}), schema),
        }
    }

    /// Returns how many documents of `indices` match.
    pub(super) fn count(&self, catalog: &Catalog, indices: &[Arc<Index>]) -> Result<u64, ApiError> {
        if indices.is_empty() {
            self.check()?;
        }
        let counts = indices.iter().map(|index| {
            let view = index.visible();
            let clause = self.clause(&view.schema).map_err(|error| error.on_index(&index.name, &index.uuid, &catalog.uuid))?;
            let count = clause.query.count(&view.searcher).map_err(|error| storage(&error))?;
            Ok(u64::try_from(count).unwrap_or(u64::MAX))
        });
        counts.sum()
    }

    fn hit(&self, bound: &Bound, found: Found, scored: bool) -> Result<Hit, ApiError> {
        let Bound { index, view, clause, fields, highlight, .. } = bound;
        let stored = view.read(found.address).map_err(|error| storage(&error))?;
        let mut hit = Hit {
            _index: index.name.clone(),
            _id: stored.id,
            _version: None,
            _seq_no: self.shows_sequence.then_some(found.sequence),
            _primary_term: self.shows_sequence.then_some(1),
            _score: scored.then_some(found.score),
            _source: None,
            fields: BTreeMap::new(),
            highlight: BTreeMap::new(),
            sort: if self.sort.is_empty() { Vec::new() } else { found.values },
        };
        if self.shows_version {
            hit._version = Some(view.place(found.address).map_err(|error| storage(&error))?.version);
        }
        if fields.is_some() || highlight.is_some() {
            let source: Value = serde_json::from_str(stored.source.get()).unwrap_or_default();
            hit.fields = fields.as_ref().map(|fields| fields.values(&source)).unwrap_or_default();
            hit.highlight = highlight.as_ref().map(|mark| mark.fragments(&source, &clause.marks)).unwrap_or_default();
        }
        hit._source = self.source.apply(&stored.source).map(|shown| shown.into_owned());
        Ok(hit)
    }
}

/// Reads the body of a count, which has a query and nothing else.
pub(super) fn parse_count(parameters: &Parameters, body: &[u8]) -> Result<Search, ApiError> {
    let mut search = Search::default();
    for (key, value) in object(body)? {
        match key.as_str() {
            "query" => search.query = Some(value),
            other => return Err(ApiError::parsing(format!("request does not support [{other}]"))),
        }
    }
    search.read_url(parameters)?;
    Ok(search)
}

/// Reads a JSON object; nothing is an empty one.
pub(super) fn object(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    if body.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(ApiError::parsing(format!("Expected [START_OBJECT] but found [{}]", token(&other)))),
        Err(error) => Err(super::index::malformed(&error)),
    }
}

/// Returns a duration as answers show it.
pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn too_deep(wanted: usize) -> ApiError {
    let reason = format!(
        "Result window is too large, from + size must be less than or equal to: [{DEEPEST}] but was [{wanted}]. See the scroll api for a \
         more efficient way to request large data sets. This limit can be set by changing the [index.max_result_window] index level \
         setting."
    );
    let cause = Cause::new("illegal_argument_exception", reason);
    ApiError::on_shard(cause)
}

/// What the engines call a value that they meet while they read.
fn token(value: &Value) -> &'static str {
    match value {
        Value::Null => "VALUE_NULL",
        Value::Bool(_) => "VALUE_BOOLEAN",
        Value::Number(_) => "VALUE_NUMBER",
        Value::String(_) => "VALUE_STRING",
        Value::Array(_) => "START_ARRAY",
        Value::Object(_) => "START_OBJECT",
    }
}

fn count(key: &str, value: &Value) -> Result<usize, ApiError> {
    let written = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return Err(unknown(key, value)),
    };
    let wrong = || ApiError::new(400, Cause::new("number_format_exception", format!("For input string: \"{written}\"")));
    let number: i32 = written.parse().map_err(|_| wrong())?;
    usize::try_from(number).map_err(|_| ApiError::illegal_argument(format!("[{key}] parameter cannot be negative, found [{number}]")))
}

/// Returns the engines' error for what they do not look for.
fn unknown(key: &str, value: &Value) -> ApiError {
    ApiError::parsing(format!("Unknown key for a {} in [{key}].", token(value)))
}

fn number(key: &str, value: &Value) -> Result<f64, ApiError> {
    value.as_f64().ok_or_else(|| ApiError::parsing(format!("[{key}] must be a number, not [{value}]")))
}

fn boolean(key: &str, value: &Value) -> Result<bool, ApiError> {
    match value {
        Value::Bool(flag) => Ok(*flag),
        Value::String(text) if text == "true" || text == "false" => Ok(text == "true"),
        _ => Err(ApiError::parsing(format!("[{key}] must be a boolean, not [{value}]"))),
    }
}
