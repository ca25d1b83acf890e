//! Decides, from a request's head alone, whether it is a search and which rule it belongs to.
//!
//! When in doubt it is no search: what passes through is never wrong.

use std::{borrow::Cow, sync::Arc};

use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;

use crate::config::Rule;

mod rules;

pub use rules::Match;

/// Where a request goes.
#[derive(Clone, Debug)]
pub enum Route {
    /// A search, to be reranked if it has a rule.
    Search(Match),
    /// Everything else: it streams through.
    Passthrough,
}

/// Returns where a request goes; `path` and `query` are as the client wrote them.
pub fn route(method: &Method, path: &str, query: Option<&str>, headers: &HeaderMap, rules: &[Arc<Rule>]) -> Route {
    if method != Method::GET && method != Method::POST {
        return Route::Passthrough;
    }
    index_of_search(path).map_or(Route::Passthrough, |index| Route::Search(rules::find(&index, query, headers, rules)))
}

/// Returns the decoded index part of `/{index}/_search`, or `*` for `/_search`; none for every other path.
///
/// Engines look for `_search` in the path as written, then decode the index: an escaped slash does not divide the path, an
/// escaped comma divides the list.
fn index_of_search(path: &str) -> Option<Cow<'_, str>> {
    let path = path.strip_prefix('/')?;
    let path = path.strip_suffix('/').unwrap_or(path);
    let index = match path.split_once('/') {
        None => return (path == "_search").then_some(Cow::Borrowed("*")),
        Some((index, "_search")) => percent_decode_str(index).decode_utf8().ok()?,
        Some(_) => return None,
    };
    // `/_alias/_search` reads the alias `_search`.
    let api = index.starts_with('_') && index != "_all";
    (!index.is_empty() && !api).then_some(index)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};

    use super::{Route, index_of_search, route};

    #[test]
    fn searches_are_told_by_their_path() {
        for (path, index) in [
            ("/_search", "*"),
            ("/_search/", "*"),
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
            assert_eq!(index_of_search(path).as_deref(), Some(index), "{path}");
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
            assert_eq!(index_of_search(path), None, "{path}");
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
            let routed = route(&method, "/products/_search", None, &HeaderMap::new(), &[]);
            assert_eq!(matches!(routed, Route::Search(_)), search, "{method}");
        }
    }
}
