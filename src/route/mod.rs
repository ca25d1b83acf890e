//! Decides, from a request's head alone, whether it is a search and which rule it belongs to.
//!
//! When in doubt it is no search: what passes through is never wrong.

use std::{borrow::Cow, sync::Arc};

use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;

use crate::config::Rule;

mod rules;
mod why;

pub use rules::{Match, find};
pub use why::{Expression, PassedOver, why};

/// Where a request goes.
#[derive(Clone, Debug)]
pub enum Route {
    /// A search, to be reranked if it has a rule.
    Search(Match),
    /// A search of all indices, unless its body names a point in time: then of those that this was opened for.
    SearchEverywhere(Match),
    /// Several searches; each finds its own rule ([`find`]) where it names indices of its own.
    MultiSearch(Call),
    /// Opens a point in time for these index expressions.
    OpenPit(String),
    /// Closes points in time.
    ClosePit,
    /// Everything else: it streams through.
    Passthrough,
}

/// A multi search, by its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The decoded index expressions for searches that name none.
    pub index: Option<String>,
}

/// What stands in a path behind the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Search,
    MultiSearch,
    /// Elasticsearch's, and OpenSearch's word for it.
    Pit,
    PitSearch,
    AllPits,
}

/// Paths behind the index, or without one.
const VERBS: [(&str, Verb); 5] = [
    ("_search", Verb::Search),
    ("_msearch", Verb::MultiSearch),
    ("_pit", Verb::Pit),
    ("_search/point_in_time", Verb::PitSearch),
    ("_search/point_in_time/_all", Verb::AllPits),
];

/// Returns where a request goes; `path` and `query` are as the client wrote them.
pub fn route(method: &Method, path: &str, query: Option<&str>, headers: &HeaderMap, rules: &[Arc<Rule>]) -> Route {
    let Some((index, verb)) = divide(path) else { return Route::Passthrough };
    let searches = method == Method::GET || method == Method::POST;
    match (verb, index) {
        (Verb::Search, Some(index)) if searches => Route::Search(find(&index, query, headers, rules)),
        (Verb::Search, None) if searches => Route::SearchEverywhere(find("*", query, headers, rules)),
        (Verb::MultiSearch, index) if searches => Route::MultiSearch(Call { index: index.map(Cow::into_owned) }),
        (Verb::Pit | Verb::PitSearch, Some(index)) if method == Method::POST => Route::OpenPit(index.into_owned()),
        (Verb::Pit | Verb::PitSearch | Verb::AllPits, None) if method == Method::DELETE => Route::ClosePit,
        _ => Route::Passthrough,
    }
}

/// Returns the decoded index expressions of a path, `*` where it has none.
pub fn index_of(path: &str) -> Cow<'_, str> {
    divide(path).and_then(|(index, _)| index).unwrap_or(Cow::Borrowed("*"))
}

/// Returns the decoded index part of a path, if it has one, and what stands behind it; none for paths that are of no interest.
///
/// Seen on both engines: they look for `_search` in the path as written, take one slash behind it, and then decode the index,
/// so that an escaped slash does not divide the path and an escaped comma divides the list. `//_search` searches too; it streams
/// through.
fn divide(path: &str) -> Option<(Option<Cow<'_, str>>, Verb)> {
    let path = path.strip_prefix('/')?;
    let path = path.strip_suffix('/').unwrap_or(path);
    let verb = |rest: &str| VERBS.iter().find(|(own, _)| *own == rest).map(|(_, verb)| *verb);
    if let Some(verb) = verb(path) {
        return Some((None, verb));
    }
    let (written, rest) = path.split_once('/')?;
    let verb = verb(rest)?;
    let index = percent_decode_str(written).decode_utf8().ok()?;
    // Engines refuse such a search, or it is an API of a later version.
    let no_index = index.is_empty() || (index.starts_with('_') && index != "_all");
    (!no_index).then_some((Some(index), verb))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};

    use super::{Call, Route, Verb, divide, route};

    fn searched(path: &str) -> Option<String> {
        divide(path).filter(|(_, verb)| *verb == Verb::Search).map(|(index, _)| index.as_deref().unwrap_or("everything").to_owned())
    }

    #[test]
    fn searches_are_told_by_their_path() {
        for (path, index) in [
            ("/_search", "everything"),
            ("/_search/", "everything"),
            ("/products/_search", "products"),
            ("/products/_search/", "products"),
            ("/_all/_search", "_all"),
            ("/a,b/_search", "a,b"),
            ("/a%2Cb/_search", "a,b"),
            ("/%3Clogs-%7Bnow%2Fd%7D%3E/_search", "<logs-{now/d}>"),
            ("/a+b/_search", "a+b"),
            ("/%C3%A9t%C3%A9/_search", "été"),
            ("/%2500/_search", "%00"),
        ] {
            assert_eq!(searched(path).as_deref(), Some(index), "{path}");
        }
    }

    #[test]
    fn other_paths_are_no_searches() {
        for path in [
            "",
            "/",
            "*",
            "_search",
            "//_search",
            "/products//_search",
            "//products/_search",
            "/products/_search//",
            "/products",
            "/products/_count",
            "/products/%5Fsearch",
            "/%5Fsearch",
            "/products/type/_search",
            "/products/_search/template",
            "/products/_search/point_in_time",
            "/_search/scroll",
            "/_search/template",
            "/_msearch",
            "/products/_msearch",
            "/_async_search",
            "/products/_async_search",
            "/_alias/_search",
            "/%5Falias/_search",
            "/_scripts/_search",
            "/products/_SEARCH",
            "/%ff/_search",
        ] {
            assert_eq!(searched(path), None, "{path}");
        }
    }

    #[test]
    fn only_get_and_post_search() {
        for (method, search) in [
            (Method::GET, true),
            (Method::POST, true),
            (Method::HEAD, false),
            (Method::PUT, false),
            (Method::DELETE, false),
            (Method::OPTIONS, false),
        ] {
            for path in ["/products/_search", "/_search", "/_msearch", "/products/_msearch"] {
                let routed = route(&method, path, None, &HeaderMap::new(), &[]);
                assert_eq!(!matches!(routed, Route::Passthrough), search, "{method} {path}");
            }
        }
    }

    #[test]
    fn multi_searches_and_points_in_time_are_told_by_method_and_path() {
        let routed = |method: &Method, path: &str| route(method, path, None, &HeaderMap::new(), &[]);
        let call = |path: &str| match routed(&Method::POST, path) {
            Route::MultiSearch(call) => Some(call),
            _ => None,
        };
        assert_eq!(call("/_msearch"), Some(Call { index: None }));
        assert_eq!(call("/a%2Cb/_msearch/"), Some(Call { index: Some("a,b".to_owned()) }));
        for (path, index) in [("/a/_pit", "a"), ("/%3Ca-%7Bnow%7D%3E/_pit", "<a-{now}>"), ("/a,b/_search/point_in_time", "a,b")] {
            assert!(matches!(routed(&Method::POST, path), Route::OpenPit(opened) if opened == index), "{path}");
            assert!(matches!(routed(&Method::DELETE, path), Route::Passthrough), "{path}");
        }
        for path in ["/_pit", "/_search/point_in_time", "/_search/point_in_time/_all"] {
            assert!(matches!(routed(&Method::DELETE, path), Route::ClosePit), "{path}");
            assert!(matches!(routed(&Method::POST, path), Route::Passthrough), "{path}");
            assert!(matches!(routed(&Method::GET, path), Route::Passthrough), "{path}");
        }
        for path in ["/_search/scroll", "/a/_search/scroll", "/a/b/_msearch", "/_cat/_pit", "/a/_search/point_in_time/_all/x"] {
            assert!(matches!(routed(&Method::POST, path), Route::Passthrough), "{path}");
        }
    }
}
