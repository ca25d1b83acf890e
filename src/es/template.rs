//! Search templates: what a template search says beside its template, and the search that engines make of the rendered text.
//!
//! Facts from `SearchTemplateRequest` and `TransportSearchTemplateAction` of both engines: the body's `explain` and `profile`, which
//! are false where they are absent, take the place of the rendered text's own; what the URL says of a search's body is left out.

use std::borrow::Cow;

use super::{
    json::{self, Kind, kind},
    layout::{Edit, Layout},
    request::Unreadable,
    url::Params,
};

/// The template itself, by all its names.
const SOURCE: [&str; 3] = ["inline", "source", "template"];
/// What the body says of the search, and the search's own key for it.
const FLAGS: [&str; 2] = ["explain", "profile"];

/// Parameters that mean the same for a template search and for the search that it becomes.
const URL: &[&str] = &[
    "allow_no_indices",
    "allow_partial_search_results",
    "batched_reduce_size",
    "ccs_minimize_roundtrips",
    "error_trace",
    "expand_wildcards",
    "human",
    "ignore_throttled",
    "ignore_unavailable",
    "max_concurrent_shard_requests",
    "pre_filter_shard_size",
    "preference",
    "pretty",
    "request_cache",
    "rest_total_hits_as_int",
    "routing",
    "search_type",
    "typed_keys",
];

/// The body of a template search.
#[derive(Debug)]
pub struct Template<'a> {
    /// Whether the template stands in the body; a stored one may change at any time.
    pub is_inline: bool,
    /// The template's parameters, a JSON object.
    pub params: Option<&'a str>,
    flags: Vec<&'static str>,
}

/// Checks that a template search's URL says nothing that only a template search, or only another search, understands.
///
/// # Errors
/// [`Unreadable::NotPlain`]
pub fn check_params(query: Option<&str>) -> Result<(), Unreadable> {
    let params = Params::parse(query).map_err(|_| Unreadable::NotPlain)?;
    if params.names().all(|name| URL.contains(&name)) { Ok(()) } else { Err(Unreadable::NotPlain) }
}

/// Returns the text of the search in the answer of `_render/template`.
pub fn rendered(answer: &[u8]) -> Option<String> {
    let entries = json::object(str::from_utf8(answer).ok()?).ok()?;
    entries.get("template_output").filter(|output| kind(output) == Kind::Object).map(|output| output.get().to_owned())
}

/// Returns a search's answer as OpenSearch answers a template search: the status stands at its end.
pub fn with_status(answer: Vec<u8>) -> Vec<u8> {
    let Some(text) = str::from_utf8(&answer).ok().filter(|text| !text.is_empty()) else { return answer };
    let Ok(layout) = Layout::of_object(text) else { return answer };
    let status = if layout.opening().len() > 1 { "\"status\" : 200" } else { "\"status\":200" };
    let edits: Vec<Edit> = layout.items().iter().map(|_| Edit::Keep).collect();
    let mut out = String::with_capacity(text.len() + 32);
    out.push_str(&text[..layout.span().start]);
    layout.write(&edits, Some(status), &mut out);
    out.push_str(&text[layout.span().end..]);
    out.into_bytes()
}

/// Returns the value of one of a template's parameters, where it is a text.
pub fn param(params: &str, name: &str) -> Option<String> {
    json::object(params).ok()?.get(name).and_then(json::string).map(Cow::into_owned)
}

// === impl Template ===

impl<'a> Template<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Unreadable::NotJson`], or [`Unreadable::NotPlain`] for what engines refuse or take by guessing.
    pub fn read(body: &'a [u8]) -> Result<Self, Unreadable> {
        let text = str::from_utf8(body).map_err(|_| Unreadable::NotJson)?;
        let entries = json::object(text).map_err(|_| Unreadable::NotJson)?;
        let (mut sources, mut ids, mut template) = (0, 0, Self { is_inline: true, params: None, flags: Vec::new() });
        for (key, value) in entries.entries() {
            match (key.as_ref(), kind(value)) {
                ("params", Kind::Object) => template.params = Some(value.get()),
                ("id", Kind::String) => ids += 1,
                (source, Kind::String | Kind::Object) if SOURCE.contains(&source) => sources += 1,
                (flag, Kind::Bool) => {
                    let flag = FLAGS.into_iter().find(|own| *own == flag).ok_or(Unreadable::NotPlain)?;
                    template.flags.extend((value.get() == "true").then_some(flag));
                }
                _ => return Err(Unreadable::NotPlain),
            }
        }
        template.is_inline = sources == 1;
        if sources + ids == 1 { Ok(template) } else { Err(Unreadable::NotPlain) }
    }

    /// Returns the search that engines make of the rendered text, on one line, where that is one object.
    ///
    /// # Errors
    /// [`Unreadable::NotPlain`] where the text names a point in time: then its path does not say what is searched.
    pub fn search(&self, text: &str) -> Option<Result<String, Unreadable>> {
        let layout = Layout::of_object(text).ok()?;
        let edits: Vec<Edit> =
            layout.items().iter().map(|item| if FLAGS.contains(&item.key.as_ref()) { Edit::Drop } else { Edit::Keep }).collect();
        let appended: Vec<String> = self.flags.iter().map(|flag| format!("\"{flag}\":true")).collect();
        let mut out = String::with_capacity(text.len() + 32);
        layout.write(&edits, Some(appended.join(",")).filter(|appended| !appended.is_empty()).as_deref(), &mut out);
        if layout.items().iter().any(|item| item.key == "pit") {
            return Some(Err(Unreadable::NotPlain));
        }
        // No string of JSON holds a bare line feed: all that are there are white space.
        Some(Ok(out.replace(['\n', '\r'], " ")))
    }

    /// Whether the body says anything of the search but its text.
    pub fn is_flagged(&self) -> bool {
        !self.flags.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Template, check_params, param, rendered, with_status};
    use crate::es::request::Unreadable;

    #[test]
    fn a_body_has_one_template_and_what_goes_with_it() {
        for (body, inline, params) in [
            (r#"{"source":"{}"}"#, true, None),
            (r#"{"inline":{"query":{}},"params":{"q":"x"}}"#, true, Some(r#"{"q":"x"}"#)),
            (r#"{"id":"t","params":{},"explain":false,"profile":true}"#, false, Some("{}")),
        ] {
            let template = Template::read(body.as_bytes()).expect(body);
            assert_eq!((template.is_inline, template.params), (inline, params), "{body}");
        }
        for body in [
            "{}",
            r#"{"params":{}}"#,
            r#"{"id":"a","source":"b"}"#,
            r#"{"source":"a","inline":"b"}"#,
            r#"{"id":1}"#,
            r#"{"source":["a"]}"#,
            r#"{"source":"a","params":null}"#,
            r#"{"source":"a","explain":"true"}"#,
            r#"{"source":"a","uhost":true}"#,
            r#"{"source":"a","uhost":1}"#,
        ] {
            assert_eq!(Template::read(body.as_bytes()).err(), Some(Unreadable::NotPlain), "{body}");
        }
        for body in ["", "[]", "{", r#"{"id":"a","id":"b"}"#, "{\"id\":\"\u{1}"] {
            assert_eq!(Template::read(body.as_bytes()).err(), Some(Unreadable::NotJson), "{body}");
        }
    }

    #[test]
    fn the_bodys_flags_take_the_place_of_the_texts() {
        let search = |body: &str, text: &str| {
            Template::read(body.as_bytes()).expect("a template").search(text).transpose().expect("no point in time")
        };
        let text = r#" {"explain":true,"query": {"a":9007199254740993123} ,"min_score":1.0,"profile":false}"#;
        assert_eq!(search(r#"{"id":"a"}"#, text).as_deref(), Some(r#"{"query": {"a":9007199254740993123} ,"min_score":1.0}"#));
        assert_eq!(search(r#"{"id":"a","profile":true}"#, "{}").as_deref(), Some(r#"{"profile":true}"#));
        assert_eq!(
            search(r#"{"id":"a","explain":true,"profile":true}"#, r#"{"size":3,"explain":true}"#).as_deref(),
            Some(r#"{"size":3,"explain":true,"profile":true}"#)
        );
        assert_eq!(search(r#"{"id":"a"}"#, "{\n\"size\":\r\n3}").as_deref(), Some("{ \"size\":  3}"));
        assert!(Template::read(br#"{"id":"a"}"#).expect("a template").search(r#"{"pit":{"id":"a"}}"#).is_some_and(|found| found.is_err()));
        for no_search in ["", "[]", r#"{"query": x }"#, r#"{"a":1,"a":2}"#, "{} {}"] {
            assert_eq!(search(r#"{"id":"a"}"#, no_search), None, "{no_search}");
        }
    }

    #[test]
    fn answers_are_read_and_ended_as_engines_do() {
        assert_eq!(rendered(br#"{"template_output": {"size": 3 }}"#).as_deref(), Some(r#"{"size": 3 }"#));
        for answer in ["", "{}", r#"{"template_output":"a"}"#, r#"{"template_output":{"query": x }}"#, r#"{"error":{},"status":404}"#] {
            assert_eq!(rendered(answer.as_bytes()), None, "{answer}");
        }
        for (answer, ended) in [
            (r#"{"took":1,"hits":{}}"#, r#"{"took":1,"hits":{},"status":200}"#),
            ("{\n  \"took\" : 1\n}\n", "{\n  \"took\" : 1,\n  \"status\" : 200\n}\n"),
            ("no json", "no json"),
        ] {
            assert_eq!(with_status(answer.into()), ended.as_bytes());
        }
        assert_eq!(param(r#"{"q":"red \"shoe\"","n":3}"#, "q").as_deref(), Some("red \"shoe\""));
        assert_eq!((param(r#"{"n":3}"#, "n"), param("[]", "q"), param("{}", "q")), (None, None, None));
    }

    #[test]
    fn parameters_that_a_template_search_leaves_out_are_not_known() {
        assert!(check_params(Some("routing=a&pretty&typed_keys=true")).is_ok() && check_params(None).is_ok());
        for query in ["size=3", "from=1", "q=x", "sort=a", "_source=a", "source={}", "scroll=1m", "filter_path=a", "explain", "a=1&a=2"] {
            assert!(check_params(Some(query)).is_err(), "{query}");
        }
    }

    proptest! {
        #[test]
        fn no_body_and_no_text_panics(body in "[{}\\[\\]\":,a0 \\\\]{0,16}", text in "[{}\\[\\]\":,a0 \\\\]{0,16}") {
            let _ = Template::read(body.as_bytes());
            let _ = rendered(body.as_bytes());
            let _ = with_status(text.clone().into_bytes());
            let _ = Template::read(br#"{"id":"a"}"#).expect("a template").search(&text);
        }
    }
}
