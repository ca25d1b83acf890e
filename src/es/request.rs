//! A search as the client wrote it: its parameters, its JSON wherever that stands, and the few values that a rewrite depends on.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    json::{self, Kind, Object, kind},
    url::Params,
};

/// How deep a body may be nested: well below what engines take, well above what people write.
pub(super) const MOST_NESTED: usize = 128;
/// `index.max_result_window` of an index that does not set it.
pub const MAX_RESULT_WINDOW: usize = 10_000;
/// A rescorer's `window_size` where it gives none.
const RESCORE_WINDOW: usize = 10;

/// Why a search is not looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Its body is not JSON, or has a key twice.
    #[error("the body is not json")]
    NotJson,
    /// It could be read, but only by guessing what the engine makes of it.
    #[error("the search is not plain")]
    NotPlain,
}

/// A search's parameters and the text of its JSON, which is `{}` where the client sent none.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The parameters.
    pub params: Params<'a>,
    json: Cow<'a, str>,
}

/// What the client wants to see of the ranked list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// How many hits come before it.
    pub from: usize,
    /// How many hits it has at most.
    pub size: usize,
}

/// How many hits an engine may be asked for so that the first of them are the hits that the client would get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Widening {
    /// More than the page: the whole window.
    Window,
    /// No more than the page, at the place where the client wants it: what comes back is all that may move.
    Page,
}

// === impl Request ===

impl<'a> Request<'a> {
    /// Returns the search in `query` (what stands behind the `?`) and `body` (decoded, empty where there is none).
    ///
    /// # Errors
    /// See [`Unreadable`].
    pub fn read(query: Option<&'a str>, body: &'a [u8]) -> Result<Self, Unreadable> {
        let params = Params::parse(query).map_err(|_| Unreadable::NotPlain)?;
        let json = match (params.get("source"), params.get("source_content_type")) {
            (None, None) if body.is_empty() => Cow::Borrowed("{}"),
            (None, None) => Cow::Borrowed(std::str::from_utf8(body).map_err(|_| Unreadable::NotJson)?),
            (Some(source), Some(_)) if body.is_empty() => Cow::Owned(source.to_owned()),
            _ => return Err(Unreadable::NotPlain),
        };
        let request = Self { params, json };
        request.body()?;
        if is_nested_deeper(request.json.as_bytes(), MOST_NESTED) { Err(Unreadable::NotPlain) } else { Ok(request) }
    }

    /// The text of its JSON.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// Returns the top level of its JSON.
    ///
    /// # Errors
    /// Never after [`Request::read`].
    pub fn body(&self) -> Result<Object<'_>, Unreadable> {
        json::object(&self.json).map_err(|_| Unreadable::NotJson)
    }
}

/// Returns the page that is asked for; the URL wins over the body.
///
/// # Errors
/// [`Unreadable::NotPlain`] where `from` or `size` is not a plain whole number.
pub fn page(params: &Params<'_>, body: &Object<'_>) -> Result<Page, Unreadable> {
    let number = |name, absent| match (params.get(name), body.get(name)) {
        (Some(text), _) => Some(text).filter(|text| text.bytes().all(|digit| digit.is_ascii_digit())).and_then(|text| text.parse().ok()),
        (None, Some(value)) => count(value),
        (None, None) => Some(absent),
    };
    match (number("from", 0), number("size", 10)) {
        (Some(from), Some(size)) => Ok(Page { from, size }),
        _ => Err(Unreadable::NotPlain),
    }
}

/// Whether the hits come in the order of their scores: no `sort` in URL or body but `_score`, best first.
pub fn is_by_score(params: &Params<'_>, body: &Object<'_>) -> bool {
    sorts_by_score(body) && matches!(params.get("sort"), None | Some("" | "_score" | "_score:desc"))
}

/// Whether a `sort` in `body`, if there is one, is `_score`, best first.
pub fn sorts_by_score(body: &Object<'_>) -> bool {
    body.get("sort").is_none_or(|sort| match kind(sort) {
        Kind::Array => json::array(sort.get()).is_ok_and(|keys| keys.len() < 2 && keys.into_iter().all(is_score_key)),
        _ => is_score_key(sort),
    })
}

fn is_score_key(key: &RawValue) -> bool {
    let is = |value: &RawValue, word: &str| json::string(value).is_some_and(|text| text == word);
    let Ok(named) = json::object(key.get()) else { return is(key, "_score") };
    let [(name, order)] = named.entries() else { return false };
    let descends = json::object(order.get()).map_or_else(
        |_| is(order, "desc"),
        |options| options.entries().iter().all(|(option, value)| option == "order" && is(value, "desc")),
    );
    name == "_score" && descends
}

/// Returns the queries of the body's rescorers, and how many hits the smallest rescores; beyond those, the first hits of an answer
/// change with their number.
///
/// # Errors
/// [`Unreadable::NotPlain`] where a rescorer is none of the plain kind.
pub fn rescorers<'a>(body: &Object<'a>) -> Result<(Vec<&'a RawValue>, Option<usize>), Unreadable> {
    let Some(value) = body.get("rescore") else { return Ok((Vec::new(), None)) };
    let rescorers = if kind(value) == Kind::Array { json::array(value.get()).map_err(|_| Unreadable::NotJson)? } else { vec![value] };
    let mut queries = Vec::new();
    let mut smallest = None;
    for rescorer in rescorers {
        let entries = json::object(rescorer.get()).map_err(|_| Unreadable::NotPlain)?;
        if entries.entries().iter().any(|(key, _)| key != "window_size" && key != "query") {
            return Err(Unreadable::NotPlain);
        }
        let window = entries.get("window_size").map_or(Some(RESCORE_WINDOW), count).ok_or(Unreadable::NotPlain)?;
        let query = entries.get("query").and_then(|query| json::object(query.get()).ok()?.get("rescore_query"));
        queries.push(query.ok_or(Unreadable::NotPlain)?);
        smallest = Some(smallest.map_or(window, |least: usize| least.min(window)));
    }
    Ok((queries, smallest))
}

/// Returns the whole number, not negative, that `value` is.
pub fn count(value: &RawValue) -> Option<usize> {
    json::count(value).and_then(|number| usize::try_from(number).ok())
}

pub(super) fn is_nested_deeper(json: &[u8], most: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > most {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{Page, Request, Unreadable, is_by_score, page, rescorers};

    fn read<'a>(query: Option<&'a str>, body: &'a str) -> Request<'a> {
        Request::read(query, body.as_bytes()).expect("plain")
    }

    #[test]
    fn json_stands_in_the_body_or_in_the_url() {
        let source = Some("source=%7B%22size%22:3%7D&source_content_type=application/json");
        for (query, body, json) in [(None, "", "{}"), (None, " {\"size\":3} ", " {\"size\":3} "), (source, "", r#"{"size":3}"#)] {
            assert_eq!(read(query, body).json(), json);
        }
        for (query, body) in
            [(source, "{}"), (Some("source={}"), ""), (Some("source_content_type=application/json"), ""), (Some("a=1&a=2"), "")]
        {
            assert_eq!(Request::read(query, body.as_bytes()).err(), Some(Unreadable::NotPlain), "{query:?} {body}");
        }
    }

    #[test]
    fn case_20_malformed_truncated_and_deeply_nested_bodies() {
        let deep = |levels: usize| format!("{{\"aggs\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(Request::read(None, deep(127).as_bytes()).is_ok());
        assert_eq!(Request::read(None, deep(10_000).as_bytes()).err(), Some(Unreadable::NotPlain));
        let bodies: [&[u8]; 8] =
            [b" ", b"[]", b"{\"size\":", b"{\"size\":1,\"size\":2}", b"{\"a\":\"\xff\"}", b"{} {}", b"size: 3", b"\xef\xbb\xbf{}"];
        for body in bodies {
            assert_eq!(Request::read(None, body).err(), Some(Unreadable::NotJson), "{body:?}");
        }
        let brackets = format!(r#"{{"a":"\"{}"}}"#, "[".repeat(500));
        assert!(Request::read(None, brackets.as_bytes()).is_ok(), "brackets in strings nest nothing");
    }

    #[test]
    fn the_page_comes_from_the_url_then_the_body() {
        for (query, body, from, size) in [
            (None, "", 0, 10),
            (None, r#"{"from":5,"size":0}"#, 5, 0),
            (Some("size=2"), r#"{"from":5,"size":1}"#, 5, 2),
            (Some("from=7"), "", 7, 10),
        ] {
            let request = read(query, body);
            assert_eq!(page(&request.params, &request.body().expect("json")), Ok(Page { from, size }));
        }
        for (query, body) in [
            (None, r#"{"size":"3"}"#),
            (None, r#"{"size":-1}"#),
            (None, r#"{"size":3.0}"#),
            (None, r#"{"from":null}"#),
            (Some("size=%2B3"), ""),
            (Some("size="), ""),
            (Some("from=99999999999999999999"), ""),
        ] {
            let request = read(query, body);
            assert!(page(&request.params, &request.body().expect("json")).is_err(), "{query:?} {body}");
        }
    }

    #[test]
    fn only_the_best_score_first_is_no_sort() {
        let by_score = |query, body| {
            let request = read(query, body);
            is_by_score(&request.params, &request.body().expect("json"))
        };
        for body in [
            "{}",
            r#"{"sort":"_score"}"#,
            r#"{"sort":["_score"]}"#,
            r#"{"sort":{"_score":"desc"}}"#,
            r#"{"sort":[{"_score":{"order":"desc"}}]}"#,
            r#"{"sort":[{"_score":{}}]}"#,
            r#"{"sort":[]}"#,
        ] {
            assert!(by_score(None, body), "{body}");
        }
        for body in [
            r#"{"sort":"date"}"#,
            r#"{"sort":["_score","date"]}"#,
            r#"{"sort":{"_score":"asc"}}"#,
            r#"{"sort":[{"_score":{"order":"asc"}}]}"#,
            r#"{"sort":{"_score":"desc","date":"asc"}}"#,
            r#"{"sort":[{"_score":{"order":"desc","mode":"x"}}]}"#,
            r#"{"sort":null}"#,
        ] {
            assert!(!by_score(None, body), "{body}");
        }
        assert!(by_score(Some("sort=_score:desc"), "") && !by_score(Some("sort=date:asc"), "") && !by_score(Some("sort=_score:asc"), ""));
    }

    #[test]
    fn the_smallest_rescore_window_counts() {
        let read_window = |rescore: &str| {
            let json = format!(r#"{{"rescore":{rescore}}}"#);
            let request = read(None, &json);
            rescorers(&request.body().expect("json")).map(|(queries, window)| (queries.len(), window))
        };
        let query = r#""query":{"rescore_query":{"match_all":{}},"query_weight":2}"#;
        assert_eq!(read_window(&format!("{{{query}}}")), Ok((1, Some(10))));
        assert_eq!(read_window(&format!(r#"[{{{query},"window_size":70}},{{"window_size":50,{query}}}]"#)), Ok((2, Some(50))));
        assert_eq!(read_window("[]"), Ok((0, None)));
        for odd in [r#"{"window_size":"9"}"#, "{}", "[1]", r#"{"learning_to_rank":{}}"#, &format!(r#"{{{query},"window_size":1.5}}"#)] {
            assert!(read_window(odd).is_err(), "{odd}");
        }
    }
}
