//! Which method and path an API has: read from the specification of OpenSearch or from the table for Elasticsearch.

use std::{collections::HashMap, fs, path::Path};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// What a client leaves as it is in a part of a path and in a value of a query.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b',').remove(b'*');
const ELASTICSEARCH: &str = include_str!("elasticsearch-apis.txt");

/// One way to call an API.
#[derive(Debug)]
struct Route {
    methods: Vec<String>,
    /// `/{index}/_search`
    path: String,
}

/// The APIs of an engine by name.
#[derive(Debug, Default)]
pub(super) struct Apis(HashMap<String, Vec<Route>>);

/// A request without its body.
#[derive(Debug, PartialEq)]
pub(super) struct Line {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
}

/// Escapes text for a path or a query.
fn escaped(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

// === impl Apis ===

impl Apis {
    pub(super) fn elasticsearch() -> Self {
        let mut apis = Self::default();
        for line in ELASTICSEARCH.lines().filter(|line| !line.starts_with('#')) {
            let [name, method, path] = line.split(' ').collect::<Vec<_>>().try_into().expect("three words a line");
            apis.0.entry(name.into()).or_default().push(Route { methods: vec![method.into()], path: path.into() });
        }
        apis
    }

    /// Reads a folder of specifications, one file an API.
    pub(super) fn opensearch(folder: &Path) -> Self {
        let mut apis = Self::default();
        for entry in fs::read_dir(folder).expect("the folder of specifications") {
            let file = entry.expect("a file").path();
            if file.extension().is_some_and(|extension| extension == "json") {
                let text = fs::read_to_string(&file).expect("a specification in UTF-8");
                apis.read(&serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display())));
            }
        }
        apis
    }

    fn read(&mut self, specification: &Value) {
        let (name, specification) = specification.as_object().and_then(|object| object.iter().next()).expect("one API a file");
        let paths = specification["url"]["paths"].as_array().into_iter().flatten();
        for path in paths.filter(|path| path.get("deprecated").is_none()) {
            let methods = path["methods"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
            let path = path["path"].as_str().expect("a path").to_owned();
            self.0.entry(name.clone()).or_default().push(Route { methods, path });
        }
    }

    /// Returns the line of a call: the path that takes most of the arguments, the others in the query.
    ///
    /// Where several methods would do, `turn` chooses, so that all of them are seen.
    pub(super) fn line(&self, api: &str, arguments: &[(String, String)], turn: usize) -> Result<Line, String> {
        let routes = self.0.get(api).ok_or_else(|| format!("no API {api}"))?;
        let given = |part: &str| arguments.iter().any(|(name, _)| name == part);
        let fitting = routes.iter().filter(|route| route.parts().all(given)).max_by_key(|route| route.parts().count());
        let route = fitting.ok_or_else(|| format!("{api} lacks a part of its path"))?;
        let mut target = route.path.clone();
        for part in route.parts() {
            let (_, value) = arguments.iter().find(|(name, _)| name == part).expect("the route fits");
            target = target.replace(&format!("{{{part}}}"), &escaped(value));
        }
        let others = arguments.iter().filter(|(name, _)| !route.parts().any(|part| part == name));
        let query: Vec<String> = others.map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
        if !query.is_empty() {
            target = format!("{target}?{}", query.join("&"));
        }
        Ok(Line { method: route.methods[turn % route.methods.len()].clone(), target })
    }
}

// === impl Route ===

impl Route {
    fn parts(&self) -> impl Iterator<Item = &str> {
        self.path.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(part, _)| part)
    }
}

#[cfg(test)]
mod tests {
    use super::{Apis, Line};

    fn line(api: &str, arguments: &[(&str, &str)]) -> Result<Line, String> {
        let arguments: Vec<_> = arguments.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Apis::elasticsearch().line(api, &arguments, 0)
    }

    #[test]
    fn the_path_takes_what_it_can_and_the_query_the_rest() {
        let expected = |method: &str, target: &str| Ok(Line { method: method.into(), target: target.into() });
        assert_eq!(line("search", &[("q", "a b&c"), ("index", "x,y*")]), expected("POST", "/x,y*/_search?q=a%20b%26c"));
        assert_eq!(line("index", &[("index", "x")]), expected("POST", "/x/_doc"));
        assert_eq!(line("index", &[("index", "x"), ("id", "a/1")]), expected("PUT", "/x/_doc/a%2F1"));
        assert_eq!(line("get", &[("index", "x")]), Err("get lacks a part of its path".into()));
        assert_eq!(line("nothing", &[]), Err("no API nothing".into()));
    }

    #[test]
    fn a_specification_gives_its_paths_but_for_deprecated_ones() {
        let mut apis = Apis::default();
        apis.read(&serde_json::json!({"search":{"url":{"paths":[
            {"path":"/_search","methods":["GET","POST"]},
            {"path":"/{index}/_search","methods":["GET","POST"]},
            {"path":"/{index}/{type}/_search","methods":["GET"],"deprecated":{"version":"7.0.0"}}]}}}));
        let arguments = [("index".to_owned(), "x".to_owned()), ("type".to_owned(), "y".to_owned())];
        assert_eq!(apis.line("search", &arguments, 0), Ok(Line { method: "GET".into(), target: "/x/_search?type=y".into() }));
        assert_eq!(apis.line("search", &[], 3), Ok(Line { method: "POST".into(), target: "/_search".into() }));
    }
}
