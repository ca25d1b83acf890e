//! What stands under `ext` of a search: texts that say what the searcher typed, and whether all of it survives a rewrite.
//!
//! To support one more key, add a row to [`KEYS`], and one to `docs/compatibility.md`. A key without a row keeps the search from
//! being rewritten.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    json::{self, Kind, Object},
    layout::{Edit, Layout},
    query_text::FoundText,
};

/// Steps of a `query_text_path`; a longer one finds nothing.
const MOST_STEPS: usize = 64;

/// One key of `ext`.
struct Row {
    name: &'static str,
    /// The key of the text that the searcher typed.
    text: Option<&'static str>,
    /// Whether the first hits stay the same when more are asked for.
    widens: bool,
    /// Where it is documented, under `docs.opensearch.org/latest/`.
    #[cfg_attr(not(test), expect(dead_code, reason = "read by people, and by the test that compares the table with the document"))]
    source: &'static str,
}

const fn row(name: &'static str, text: Option<&'static str>, widens: bool, source: &'static str) -> Row {
    Row { name, text, widens, source }
}

/// Keys of `ext` besides `rerank`, all of OpenSearch. What works on the page as a whole is not widened.
const KEYS: &[Row] = &[
    row("ubi", Some("user_query"), true, "search-plugins/ubi/schemas"),
    row("generative_qa_parameters", Some("llm_question"), false, "search-plugins/search-pipelines/rag-processor"),
    row("ltr_log", None, true, "search-plugins/ltr/logging-features"),
    row("ml_inference", None, false, "search-plugins/search-pipelines/ml-inference-search-request"),
    row("mmr", None, false, "vector-search/specialized-operations/vector-search-mmr"),
    row("personalize_request_parameters", None, false, "search-plugins/search-pipelines/personalize-search-ranking"),
];

/// The key that asks the rerank processor of OpenSearch to work.
const RERANK: &str = "rerank";

/// What `ext` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// What a reranker is to be asked (`rerank`).
    pub rerank: Option<FoundText>,
    /// What the searcher typed.
    pub typed: Vec<FoundText>,
    /// Whether the first hits stay the same when more are asked for.
    pub widens: bool,
}

/// Returns what `ext` of `body` says; none where it holds anything that has no row, or not the shape that engines take.
pub fn read(body: &Object<'_>) -> Option<Said> {
    let mut said = Said { rerank: None, typed: Vec::new(), widens: true };
    let Some(ext) = body.get("ext") else { return Some(said) };
    for (name, value) in json::object(ext.get()).ok()?.entries() {
        if name == RERANK {
            said.rerank = rerank(body, value)?;
            said.widens = false;
            continue;
        }
        let row = KEYS.iter().find(|row| row.name == name)?;
        let options = json::object(value.get()).ok()?;
        said.widens &= row.widens;
        if let Some((key, typed)) = row.text.and_then(|key| Some((key, options.get(key)?))) {
            said.typed.extend(FoundText::new(&json::string(typed).unwrap_or_default(), &format!("/ext/{name}/{key}")));
        }
    }
    Some(said)
}

/// Returns the text that the rerank processor would take, if any; none where what stands there is not its plain shape.
fn rerank(body: &Object<'_>, value: &RawValue) -> Option<Option<FoundText>> {
    let options = json::object(value.get()).ok()?;
    let [(name, context)] = options.entries() else { return None };
    let context = json::object(context.get()).ok().filter(|_| name == "query_context")?;
    let [(key, text)] = context.entries() else { return None };
    let written = json::string(text)?;
    let at = format!("/ext/{RERANK}/query_context/{key}");
    match key.as_ref() {
        "query_text" => Some(FoundText::new(&written, &at)),
        "query_text_path" => Some(text_at(body, &written).and_then(|found| FoundText::new(&found, &at))),
        _ => None,
    }
}

/// Returns the text at a dotted path into the body. OpenSearch looks it up in a form of its own, where `{"match":{"a":"text"}}` has
/// become `{"match":{"a":{"query":"text"}}}` and a clause alone an array of one: both ways are taken.
fn text_at<'a>(body: &Object<'a>, path: &str) -> Option<Cow<'a, str>> {
    let steps: Vec<&str> = path.split('.').collect();
    let (first, rest) = steps.split_first().filter(|_| steps.len() <= MOST_STEPS)?;
    let mut value = body.get(first)?;
    for (place, step) in rest.iter().enumerate() {
        value = match json::kind(value) {
            Kind::Object => match json::object(value.get()).ok()?.get(step) {
                Some(inner) => inner,
                None if *step == "0" => value,
                None => return None,
            },
            Kind::Array => json::array(value.get()).ok()?.get(step.parse::<usize>().ok()?).copied()?,
            Kind::String if place + 1 == rest.len() && matches!(*step, "query" | "value") => value,
            _ => return None,
        };
    }
    json::string(value)
}

/// Returns what `ext` becomes, in a search whose `rerank` is served: without that key, and gone when nothing else is in it. None where
/// there is nothing to serve.
#[cfg_attr(not(test), expect(dead_code, reason = "the rewrite that serves it is built on it"))]
pub(crate) fn served(body: &Object<'_>) -> Option<(FoundText, Edit)> {
    let text = read(body)?.rerank?;
    let layout = Layout::of_object(body.get("ext")?.get()).ok()?;
    if layout.items().len() == 1 {
        return Some((text, Edit::Drop));
    }
    let edits: Vec<Edit> = layout.items().iter().map(|item| if item.key == RERANK { Edit::Drop } else { Edit::Keep }).collect();
    let mut rest = String::new();
    layout.write(&edits, None, &mut rest);
    Some((text, Edit::Replace(rest)))
}

#[cfg(test)]
mod tests {
    use super::{Edit, KEYS, Said, read, served};
    use crate::es::{json::object, query_kinds::tests::documented, query_text::FoundText};

    fn said(body: &str) -> Option<Said> {
        read(&object(body).expect("json"))
    }

    fn found(text: &str, at: &str) -> FoundText {
        FoundText { text: text.to_owned(), at: at.to_owned() }
    }

    #[test]
    fn every_row_stands_in_the_document() {
        for row in KEYS {
            documented(&format!("`ext.{}`", row.name), row.source);
        }
        documented("`ext.rerank`", "search-plugins/search-relevance/reranking-search-results");
    }

    #[test]
    fn texts_are_found_where_the_plugins_take_them() {
        let all = r#"{"ext":{"ubi":{"user_query":" red  shoes","query_id":"1"},"generative_qa_parameters":{"llm_question":"why?","llm_model":"m"}}}"#;
        let both = vec![found("red shoes", "/ext/ubi/user_query"), found("why?", "/ext/generative_qa_parameters/llm_question")];
        assert_eq!(said(all), Some(Said { rerank: None, typed: both, widens: false }));
        assert_eq!(said("{}"), Some(Said { rerank: None, typed: Vec::new(), widens: true }));
        assert_eq!(said(r#"{"ext":{"ubi":{"user_query":3},"ltr_log":{}}}"#), Some(Said { rerank: None, typed: Vec::new(), widens: true }));
        for odd in [
            r#"{"ext":{"my_plugin":{}}}"#,
            r#"{"ext":{"ubi":"x"}}"#,
            r#"{"ext":[]}"#,
            r#"{"ext":{"rerank":{}}}"#,
            r#"{"ext":{"rerank":{"query_context":{"query_text":"a","query_text_path":"b"}}}}"#,
            r#"{"ext":{"rerank":{"query_context":{"query_text":3}}}}"#,
            r#"{"ext":{"rerank":{"query_context":{"query_text":"a"},"by_field":{}}}}"#,
        ] {
            assert_eq!(said(odd), None, "{odd}");
        }
    }

    #[test]
    fn case_13_a_path_leads_into_the_body_as_opensearch_reads_it() {
        let query = r#""query":{"bool":{"must":{"match":{"title":"red"}},"should":[{"match":{"a":{"query":"blue"}}},{"term":{"b":3}}]}}"#;
        let at = |path: &str| {
            let body = format!(r#"{{{query},"ext":{{"rerank":{{"query_context":{{"query_text_path":"{path}"}}}}}}}}"#);
            said(&body).expect("plain").rerank.map(|text| text.text)
        };
        for (path, text) in [
            ("query.bool.must.match.title", "red"),
            ("query.bool.must.0.match.title.query", "red"),
            ("query.bool.should.0.match.a.query", "blue"),
        ] {
            assert_eq!(at(path).as_deref(), Some(text), "{path}");
        }
        for path in [
            "",
            ".",
            "query",
            "query.bool.should.1.term.b",
            "query.bool.should.2",
            "query.bool.should.x",
            "query.bool.must.match.title.x",
            "size",
        ] {
            assert_eq!(at(path), None, "{path}");
        }
        assert_eq!(at(&["0"; 40_000].join(".")), None);
    }

    #[test]
    fn what_is_served_is_taken_out_with_its_comma() {
        let rerank = r#""rerank":{"query_context":{"query_text":"red"}}"#;
        let edit = |ext: &str| served(&object(&format!(r#"{{"ext":{ext}}}"#)).expect("json")).map(|(text, edit)| (text.text, edit));
        let red = |edit| Some(("red".to_owned(), edit));
        assert_eq!(edit(&format!("{{ {rerank} }}")), red(Edit::Drop));
        assert_eq!(edit(&format!(r#"{{ "ubi":{{"a" : 1.0}}, {rerank} }}"#)), red(Edit::Replace(r#"{ "ubi":{"a" : 1.0} }"#.to_owned())));
        assert_eq!(edit(&format!(r#"{{{rerank},"ubi":{{}}}}"#)), red(Edit::Replace(r#"{"ubi":{}}"#.to_owned())));
        assert_eq!(edit(r#"{"ubi":{}}"#), None);
        assert_eq!(edit(&format!(r#"{{{rerank},"other":{{}}}}"#)), None, "what is not known in full is the engine's");
        assert_eq!(edit(r#"{"rerank":{"query_context":{"query_text_path":"query.x"}}}"#), None, "nothing to ask the model");
    }
}
