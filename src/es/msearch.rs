//! Multi searches: a body as pairs of lines, an answer as one element for each, and every piece its own bytes.
//!
//! Facts from `MultiSearchRequest.readMultiLineFormat` of both engines: lines end at line feeds alone, the last one included; a
//! header may be empty; a header without a body is left out; an empty first line is skipped by OpenSearch and a header on
//! Elasticsearch.

use std::{borrow::Cow, ops::Range};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::value::RawValue;

use super::{
    json::{self, Kind, kind},
    layout::{Cursor, Edit, Layout, Malformed},
    pit::{self, Pit},
    request::Unreadable,
    url::Params,
};

/// A call with more items is not looked into.
const MOST_ITEMS: usize = 1000;

/// Keys of a header line, and the parameter of `_search` that each stands for. An unknown one is an error on both engines.
const HEADER: &[(&str, &str)] = &[
    ("allowNoIndices", "allow_no_indices"),
    ("allow_no_indices", "allow_no_indices"),
    ("allow_partial_search_results", "allow_partial_search_results"),
    ("cancelAfterTimeInterval", "cancel_after_time_interval"),
    ("cancel_after_time_interval", "cancel_after_time_interval"),
    ("ccsMinimizeRoundtrips", "ccs_minimize_roundtrips"),
    ("ccs_minimize_roundtrips", "ccs_minimize_roundtrips"),
    ("expandWildcards", "expand_wildcards"),
    ("expand_wildcards", "expand_wildcards"),
    ("ignoreThrottled", "ignore_throttled"),
    ("ignoreUnavailable", "ignore_unavailable"),
    ("ignore_throttled", "ignore_throttled"),
    ("ignore_unavailable", "ignore_unavailable"),
    ("phase_took", "phase_took"),
    ("preference", "preference"),
    ("requestCache", "request_cache"),
    ("request_cache", "request_cache"),
    ("routing", "routing"),
    ("searchType", "search_type"),
    ("search_type", "search_type"),
];

/// Keys of a header line that name what is searched.
const INDEX: [&str; 2] = ["index", "indices"];

/// Parameters of the call, and whether each says something about every item.
const URL: &[(&str, bool)] = &[
    ("allow_no_indices", true),
    ("cancel_after_time_interval", true),
    ("ccs_minimize_roundtrips", true),
    ("error_trace", false),
    ("expand_wildcards", true),
    ("human", false),
    ("ignore_throttled", true),
    ("ignore_unavailable", true),
    ("max_concurrent_searches", false),
    ("max_concurrent_shard_requests", true),
    ("pre_filter_shard_size", true),
    ("pretty", false),
    ("rest_total_hits_as_int", true),
    ("routing", true),
    ("search_type", true),
    ("typed_keys", true),
];

/// The body of a multi search.
#[derive(Debug)]
pub struct MultiSearch<'a> {
    /// Its searches in their order.
    pub items: Vec<Item<'a>>,
    /// A header without a body, which engines leave out; mostly empty.
    rest: &'a [u8],
}

/// One search of a multi search: two lines without their line feeds.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    header: &'a [u8],
    /// The search's JSON.
    pub body: &'a [u8],
}

/// What a header line says.
#[derive(Debug, PartialEq, Eq)]
pub struct Header {
    /// The index expressions, joined by commas; `None` where it names none.
    pub index: Option<String>,
    /// All else that is said about the search, as the query string of a `_search` would say it.
    pub query: String,
}

/// The answer to a multi search.
#[derive(Debug)]
pub struct MultiAnswer<'a> {
    text: &'a str,
    responses: Layout<'a>,
}

/// The answer is not JSON, is cut off, or has nothing at `responses`.
#[derive(Debug, thiserror::Error)]
#[error("the answer is not that of a multi search")]
pub struct NotAMultiAnswer;

/// Returns the parameters of a call, if all of them are known here.
///
/// # Errors
/// [`Unreadable::NotPlain`] for others, and for a query string that can be read in two ways.
pub fn params(query: Option<&str>) -> Result<Params<'_>, Unreadable> {
    let params = Params::parse(query).map_err(|_| Unreadable::NotPlain)?;
    let known = params.names().all(|name| URL.iter().any(|(own, _)| *own == name));
    if known { Ok(params) } else { Err(Unreadable::NotPlain) }
}

// === impl MultiSearch ===

impl<'a> MultiSearch<'a> {
    /// Divides a body into its items.
    ///
    /// # Errors
    /// [`Unreadable::NotJson`] for what engines refuse or read differently, [`Unreadable::NotPlain`] for too many items.
    pub fn read(body: &'a [u8]) -> Result<Self, Unreadable> {
        let Some(lines) = body.strip_suffix(b"\n").filter(|_| !body.starts_with(b"\n")) else { return Err(Unreadable::NotJson) };
        let (mut items, mut rest) = (Vec::new(), &body[body.len()..]);
        let mut lines = lines.split(|byte| *byte == b'\n');
        while let Some(header) = lines.next() {
            match lines.next() {
                Some(_) if items.len() == MOST_ITEMS => return Err(Unreadable::NotPlain),
                Some(search) => items.push(Item { header, body: search }),
                None => rest = &body[body.len() - header.len() - 1..],
            }
        }
        if items.is_empty() { Err(Unreadable::NotJson) } else { Ok(Self { items, rest }) }
    }

    /// Returns the call with other bodies for some of its items.
    pub fn with_bodies(&self, bodies: &[Option<Vec<u8>>]) -> Vec<u8> {
        let mut call = Vec::new();
        for (place, item) in self.items.iter().enumerate() {
            item.write(bodies.get(place).and_then(Option::as_deref), &mut call);
        }
        call.extend_from_slice(self.rest);
        call
    }

    /// Returns a call of the items at these places alone.
    pub fn only(&self, places: &[usize]) -> Vec<u8> {
        let mut call = Vec::new();
        places.iter().for_each(|place| self.items[*place].write(None, &mut call));
        call
    }
}

// === impl Item ===

impl<'a> Item<'a> {
    /// Returns the point in time that the search names, if it names one.
    pub fn pit(&self) -> Option<Pit<'a>> {
        pit::of_search(&json::object(str::from_utf8(self.body).ok()?).ok()?)
    }

    /// Reads the header; `call` holds the parameters of the whole call, which it overrides.
    ///
    /// # Errors
    /// [`Unreadable::NotPlain`] for anything but plain values of known keys.
    pub fn header(&self, call: &Params<'_>) -> Result<Header, Unreadable> {
        let line = str::from_utf8(self.header).map_err(|_| Unreadable::NotPlain)?;
        let entries = json::object(if line.trim_ascii().is_empty() { "{}" } else { line }).map_err(|_| Unreadable::NotPlain)?;
        let (mut index, mut said) = (None, Vec::new());
        for (key, value) in entries.entries() {
            let text = plain(value).ok_or(Unreadable::NotPlain)?;
            match HEADER.iter().find(|(own, _)| own == key) {
                Some((_, name)) => said.push((*name, text)),
                // Both keys are read by engines, in an order of their own.
                None if INDEX.contains(&key.as_ref()) && index.is_none() => index = Some(indices(value, text)?),
                None => return Err(Unreadable::NotPlain),
            }
        }
        let all = URL.iter().filter(|(_, every_item)| *every_item).map(|(name, _)| *name);
        let unsaid: Vec<_> = all.filter(|name| said.iter().all(|(own, _)| own != name)).collect();
        let of_call = unsaid.into_iter().filter_map(|name| Some((name, call.get(name)?.to_owned())));
        said.extend(of_call);
        let pairs = said.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
        Ok(Header { index, query: pairs.collect::<Vec<_>>().join("&") })
    }

    fn write(&self, body: Option<&[u8]>, call: &mut Vec<u8>) {
        for piece in [self.header, b"\n", body.unwrap_or(self.body), b"\n"] {
            call.extend_from_slice(piece);
        }
    }
}

/// Returns the index expressions that stand in a header: a string is divided at its commas, elements of an array are not.
fn indices(value: &RawValue, text: String) -> Result<String, Unreadable> {
    let divides = |element: &&RawValue| json::string(element).is_none_or(|name| name.contains(',') || name.is_empty());
    let elements = json::array(value.get()).unwrap_or_default();
    if elements.iter().any(divides) || matches!(kind(value), Kind::Bool | Kind::Number) { Err(Unreadable::NotPlain) } else { Ok(text) }
}

/// Returns a value as a query string writes it: an array's elements are joined by commas.
fn plain(value: &RawValue) -> Option<String> {
    match kind(value) {
        Kind::String => json::string(value).map(Cow::into_owned),
        Kind::Bool | Kind::Number => Some(value.get().to_owned()),
        Kind::Array => {
            let elements = json::array(value.get()).ok()?;
            elements.into_iter().map(json::string).collect::<Option<Vec<_>>>().map(|texts| texts.join(","))
        }
        Kind::Null | Kind::Object => None,
    }
}

// === impl MultiAnswer ===

impl<'a> MultiAnswer<'a> {
    /// Reads an answer.
    ///
    /// # Errors
    /// See [`NotAMultiAnswer`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, NotAMultiAnswer> {
        let text = str::from_utf8(bytes).map_err(|_| NotAMultiAnswer)?;
        let mut responses = None;
        let mut cursor = Cursor::new(text);
        cursor.object(|entry, key| {
            match key {
                "responses" => responses = Some(entry.array(|element| element.value().map(drop))?),
                _ => drop(entry.value()?),
            }
            Ok(())
        })?;
        cursor.end()?;
        responses.map(|responses| Self { text, responses }).ok_or(NotAMultiAnswer)
    }

    /// The bytes of each item's answer.
    pub fn items(&self) -> impl ExactSizeIterator<Item = &'a str> {
        self.responses.items().iter().map(|item| self.responses.value(item))
    }

    /// Returns the answer with other elements at some places; every byte beside them stays.
    ///
    /// # Panics
    /// When there is not one entry for each element.
    pub fn with(&self, elements: Vec<Option<String>>) -> Vec<u8> {
        assert_eq!(elements.len(), self.items().len(), "every element is kept or replaced");
        let Range { start, end } = self.responses.span();
        let more: usize = elements.iter().flatten().map(String::len).sum();
        let mut out = String::with_capacity(self.text.len().min(more.max(4096)));
        out.push_str(&self.text[..start]);
        let edits: Vec<Edit> = elements.into_iter().map(|element| element.map_or(Edit::Keep, Edit::Replace)).collect();
        self.responses.write(&edits, None, &mut out);
        out.push_str(&self.text[end..]);
        out.into_bytes()
    }
}

impl From<Malformed> for NotAMultiAnswer {
    fn from(_: Malformed) -> Self {
        Self
    }
}

/// Returns the status that one item's answer gives; 200 where it gives none.
pub fn status(element: &str) -> Option<u64> {
    json::object(element).ok()?.get("status").map_or(Some(200), json::count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Header, MultiAnswer, MultiSearch, params, status};
    use crate::es::request::Unreadable;

    fn header(line: &str, query: Option<&str>) -> Result<Header, Unreadable> {
        let body = format!("{line}\n{{}}\n");
        let first = if body.starts_with('\n') { format!("{{}}\n{{}}\n{body}") } else { body };
        MultiSearch::read(first.as_bytes()).expect("lines").items.last().expect("an item").header(&params(query).expect("plain"))
    }

    #[test]
    fn lines_are_pairs_and_keep_their_bytes() {
        for (body, bodies) in [
            ("{}\n{\"a\":1}\n", vec!["{\"a\":1}"]),
            ("{}\r\n{\"a\":1}\r\n", vec!["{\"a\":1}\r"]),
            ("{}\n{}\n\n{\"b\": 2 }\n", vec!["{}", "{\"b\": 2 }"]),
            ("{}\n{}\n{\"index\":\"left out\"}\n", vec!["{}"]),
            ("{}\n{}\n\n", vec!["{}"]),
            ("{}\n\n", vec![""]),
        ] {
            let call = MultiSearch::read(body.as_bytes()).expect(body);
            assert_eq!(call.items.iter().map(|item| str::from_utf8(item.body).expect("text")).collect::<Vec<_>>(), bodies, "{body:?}");
            assert_eq!(call.with_bodies(&[]), body.as_bytes(), "{body:?}");
        }
    }

    #[test]
    fn what_engines_refuse_or_read_differently_is_no_call() {
        for body in ["", "\n", "{}", "{}\n", "{}\n{}", "\n{}\n{}\n", "{}\n{\"a\":1}\n{}"] {
            assert_eq!(MultiSearch::read(body.as_bytes()).err(), Some(Unreadable::NotJson), "{body:?}");
        }
        assert_eq!(MultiSearch::read("{}\n".repeat(2002).as_bytes()).err(), Some(Unreadable::NotPlain));
        assert_eq!(MultiSearch::read("{}\n".repeat(2001).as_bytes()).map(|call| call.items.len()).ok(), Some(1000));
    }

    #[test]
    fn a_header_says_what_is_searched_and_how() {
        for (line, query, index, said) in [
            ("{}", None, None, ""),
            ("", None, None, ""),
            (" \r", Some("max_concurrent_searches=2&pretty"), None, ""),
            (r#"{"index":"a,b*"}"#, None, Some("a,b*"), ""),
            (r#"{"indices":["a","b*"]}"#, None, Some("a,b*"), ""),
            (r#"{"index":[]}"#, None, Some(""), ""),
            (
                r#"{"index":"a","preference":"me & you","searchType":"dfs_query_then_fetch"}"#,
                None,
                Some("a"),
                "preference=me%20%26%20you&search_type=dfs%5Fquery%5Fthen%5Ffetch",
            ),
            (
                r#"{"expand_wildcards":["open","closed"],"request_cache":true}"#,
                None,
                None,
                "expand_wildcards=open%2Cclosed&request_cache=true",
            ),
            (r#"{"routing":"a"}"#, Some("routing=b&typed_keys=true"), None, "routing=a&typed_keys=true"),
        ] {
            assert_eq!(header(line, query), Ok(Header { index: index.map(str::to_owned), query: said.to_owned() }), "{line}");
        }
        for line in [
            "[\"a\"]",
            "{",
            r#"{"index":null}"#,
            r#"{"index":{"a":1}}"#,
            r#"{"index":["a,b"]}"#,
            r#"{"index":[1]}"#,
            r#"{"index":1}"#,
            r#"{"index":"a","indices":"b"}"#,
            r#"{"index":"a","index":"b"}"#,
            r#"{"type":"a"}"#,
            r#"{"search_pipeline":"a"}"#,
            r#"{"routing":null}"#,
        ] {
            assert_eq!(header(line, None), Err(Unreadable::NotPlain), "{line}");
        }
        for query in ["filter_path=a", "q=x", "source={}", "size=3", "routing=a&routing=b"] {
            assert!(params(Some(query)).is_err(), "{query}");
        }
    }

    #[test]
    fn an_answer_is_replaced_element_by_element() {
        let text = "{\n  \"took\" : 3,\n  \"responses\" : [\n    {\"a\":1},\n    {\"status\":404}\n  ],\n \"x\":9007199254740993}";
        let answer = MultiAnswer::parse(text.as_bytes()).expect("an answer");
        assert_eq!(answer.items().map(status).collect::<Vec<_>>(), [Some(200), Some(404)]);
        assert_eq!(answer.with(vec![None, None]), text.as_bytes());
        let replaced = text.replace("{\"a\":1}", "{\"b\":1.0}");
        assert_eq!(answer.with(vec![Some("{\"b\":1.0}".to_owned()), None]), replaced.as_bytes());
        for (element, given) in [("1", None), (r#"{"status":"4"}"#, None), (r#"{"a":1,"a":2}"#, None)] {
            assert_eq!(status(element), given, "{element}");
        }
        for no_answer in
            ["", "[]", "{}", r#"{"responses":{}}"#, r#"{"responses":[],"responses":[]}"#, r#"{"responses":[1}"#, r#"{"responses":[]} x"#]
        {
            assert!(MultiAnswer::parse(no_answer.as_bytes()).is_err(), "{no_answer}");
        }
        assert!(text.char_indices().skip(1).all(|(end, _)| MultiAnswer::parse(&text.as_bytes()[..end]).is_err()));
    }

    proptest! {
        #[test]
        fn no_byte_of_a_call_is_lost(body in "([{}a\"\r \n]{0,6}\n){0,9}[{}\n]?", changed: bool) {
            let Ok(call) = MultiSearch::read(body.as_bytes()) else { return Ok(()) };
            prop_assert_eq!(call.with_bodies(&vec![None; call.items.len()]), body.as_bytes());
            let all: Vec<usize> = (0..call.items.len()).collect();
            prop_assert!(body.as_bytes().starts_with(&call.only(&all)));
            let bodies = vec![changed.then(|| b"{}".to_vec()); call.items.len()];
            let again = call.with_bodies(&bodies);
            // A first line that is empty was refused, so that the lines stay where they were.
            prop_assert_eq!(MultiSearch::read(&again).expect("the same lines").items.len(), call.items.len());
            for item in &call.items {
                let _ = item.header(&params(None).expect("plain"));
            }
        }

        #[test]
        fn no_answer_panics(text in "[{}\\[\\]\":,a1 ]{0,24}") {
            if let Ok(answer) = MultiAnswer::parse(format!("{{\"responses\":[{text}]}}").as_bytes()) {
                answer.items().for_each(|element| {
                    let _ = status(element);
                });
            }
        }
    }
}
