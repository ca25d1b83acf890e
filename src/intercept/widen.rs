//! Rewrites a planned search: from the first hit to the last of the window, with the fields that the model needs. A page that comes alone
//! stays where it is.
//!
//! **Invariant:** every other byte of the body and every other parameter stays as written.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::plan::{MOVED, Search, SearchPlan, Widening};
use crate::es::{json, media, reading::Reading, request::Request};

/// What goes to the engine instead of the client's search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Widened {
    /// Path and query.
    pub target: String,
    /// `Content-Type` to set where the client sent none.
    pub content_type: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// One change: `text` instead of the bytes from `start` to `end`.
struct Edit {
    start: usize,
    end: usize,
    text: String,
}

/// Returns `search` as `plan` needs it.
///
/// # Panics
/// When `plan` was made of another search.
pub fn widen(search: &Search<'_>, plan: &SearchPlan) -> Widened {
    let request = Request::read(search.query, search.body).expect("a planned search has been read before");
    let moved = moved(plan);
    // The whole answer is needed here, and filtered here.
    let target = search.path.to_owned() + &request.params.without(&[moved, &["filter_path"]].concat());
    if moved.is_empty() {
        return Widened { target, content_type: None, body: search.body.to_vec() };
    }
    let content_type = search.content_type.is_none().then(|| media::of_body(search.accept).to_owned());
    Widened { target, content_type, body: body(&request, plan).into_bytes() }
}

/// Returns the parameters that give way to the body; none where the body stays as it is.
fn moved(plan: &SearchPlan) -> &'static [&'static str] {
    match plan.widening {
        Widening::Window => &MOVED,
        Widening::Page if plan.adds_fields() => &MOVED[2..],
        Widening::Page => &[],
    }
}

fn body(request: &Request<'_>, plan: &SearchPlan) -> String {
    let json = request.json();
    let entries = request.body().expect("a request that was read has a body");
    let mut edits = Vec::new();
    let mut appended = Vec::new();
    let page: &[_] = if plan.widening == Widening::Window { &[("from", 0), ("size", plan.fetch)] } else { &[] };
    for (key, number) in page {
        match entries.get(key) {
            Some(value) => edits.push(replace(json, value, number.to_string())),
            None => appended.push(format!("\"{key}\":{number}")),
        }
    }
    if let Reading::Fields { added } = &plan.reading
        && !added.is_empty()
    {
        let names = names(added);
        match entries.get("fields") {
            Some(value) => edits.push(extend(json, value, &names)),
            None => appended.push(format!("\"fields\":[{names}]")),
        }
    }
    if !appended.is_empty() {
        let end = json.rfind('}').expect("an object ends in a brace");
        let comma = if entries.entries().is_empty() { "" } else { "," };
        edits.push(Edit { start: end, end, text: format!("{comma}{}", appended.join(",")) });
    }
    edits.sort_by_key(|edit| edit.start);
    apply(json, &edits)
}

fn names(added: &[Arc<str>]) -> String {
    added.iter().map(|name| serde_json::Value::from(&**name).to_string()).collect::<Vec<_>>().join(",")
}

fn replace(json: &str, value: &RawValue, text: String) -> Edit {
    let start = value.get().as_ptr().addr() - json.as_ptr().addr();
    Edit { start, end: start + value.get().len(), text }
}

/// Puts `names` behind the last value of an array.
fn extend(json: &str, array: &RawValue, names: &str) -> Edit {
    let is_empty = json::array(array.get()).is_ok_and(|values| values.is_empty());
    let whole = replace(json, array, format!("{}{names}", if is_empty { "" } else { "," }));
    Edit { start: whole.end - 1, end: whole.end - 1, ..whole }
}

fn apply(json: &str, edits: &[Edit]) -> String {
    let mut written = String::with_capacity(json.len() + 64);
    let mut place = 0;
    for edit in edits {
        written.push_str(&json[place..edit.start]);
        written.push_str(&edit.text);
        place = edit.end;
    }
    written.push_str(&json[place..]);
    written
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::{Search, SearchPlan, Widened, widen};
    use crate::{
        es::request::{Page, Request, page},
        intercept::plan::{Hints, plan, tests},
    };

    const MATCH: &str = r#""query":{"match":{"title":"x"}}"#;

    fn widened(search: &Search<'_>, hints: Hints) -> Widened {
        widen(search, &plan(search, &tests::rule(), &hints).expect("reranked"))
    }

    fn body(query: Option<&str>, body: &str) -> String {
        String::from_utf8(widened(&tests::search(query, body), Hints::default()).body).expect("text")
    }

    /// Asserts that `from`, `size` and `fields` alone differ, and the first two not where the page comes alone.
    pub(in crate::intercept) fn check_untouched(search: &Search<'_>, plan: &SearchPlan) {
        let widened = widen(search, plan);
        let before = Request::read(search.query, search.body).expect("read");
        let target = widened.target.split_once('?').map(|(_, query)| query.to_owned());
        let after = Request::read(target.as_deref(), &widened.body).expect("json");
        let others = |request: &Request<'_>| {
            let object = request.body().expect("json");
            let kept = object.entries().iter().filter(|(key, _)| !["from", "size", "fields"].contains(&key.as_ref()));
            kept.map(|(key, value)| (key.clone().into_owned(), value.get().to_owned())).collect::<Vec<_>>()
        };
        assert_eq!(others(&before), others(&after));
        let page = page(&after.params, &after.body().expect("json")).expect("plain");
        assert_eq!(page, Page { from: plan.skipped(), size: plan.fetch });
    }

    #[test]
    fn values_are_replaced_in_place_or_appended() {
        for (query, before, after) in [
            (None, format!("{{{MATCH}}}"), format!(r#"{{{MATCH},"from":0,"size":100}}"#)),
            (None, format!(" {{ \"size\" : 3 ,{MATCH} , \"from\":12 }}\n"), format!(" {{ \"size\" : 100 ,{MATCH} , \"from\":0 }}\n")),
            (Some("size=30"), format!(r#"{{"s\u0069ze":3,{MATCH}}}"#), format!(r#"{{"s\u0069ze":100,{MATCH},"from":0}}"#)),
            (Some("q=x"), String::new(), r#"{"from":0,"size":100}"#.to_owned()),
            (Some("q=x"), "{ }".to_owned(), r#"{ "from":0,"size":100}"#.to_owned()),
        ] {
            assert_eq!(body(query, &before), after);
        }
    }

    #[test]
    fn the_engine_is_not_told_what_is_filtered_here() {
        let search = tests::search(Some("filter_path=hits.hits._id&q=x&pretty"), "");
        assert_eq!(widened(&search, Hints::default()).target, "/products/_search?q=x&pretty");
        let alone = tests::search(Some("q=x&terminate_after=3&filter_path=took"), "");
        assert_eq!(widened(&alone, Hints::default()).target, "/products/_search?q=x&terminate_after=3");
    }

    #[test]
    fn a_page_that_comes_alone_stays_where_it_is() {
        let profiled = format!(r#" {{"profile":true,{MATCH},"from":3}} "#);
        let as_written = widened(&tests::search(Some("size=4&pretty"), &profiled), Hints::default());
        assert_eq!(as_written, Widened { target: "/products/_search?size=4&pretty".to_owned(), content_type: None, body: profiled.into() });
        let bare = widened(&tests::search(Some("q=x&terminate_after=3&from=1"), ""), Hints::default());
        assert_eq!((bare.target.as_str(), bare.content_type, bare.body.len()), ("/products/_search?q=x&terminate_after=3&from=1", None, 0));
        let filtered = widened(&tests::search(Some("q=x&terminate_after=3&from=1&_source=a"), ""), Hints::default());
        assert_eq!(filtered.target, "/products/_search?q=x&terminate_after=3&from=1&_source=a");
        assert_eq!(filtered.body, br#"{"fields":["title","content.text"]}"#);
        assert_eq!(filtered.content_type.as_deref(), Some("application/json"));
        let in_url = tests::search(
            Some("q=x&explain=true&source=%7B%22size%22:3,%22_source%22:%22a%22%7D&source_content_type=application/json&from=1"),
            "",
        );
        let moved = widened(&in_url, Hints::default());
        assert_eq!(moved.target, "/products/_search?q=x&explain=true&from=1");
        assert_eq!(moved.body, br#"{"size":3,"_source":"a","fields":["title","content.text"]}"#);
    }

    #[test]
    fn fields_are_added_to_those_of_the_client() {
        for (before, after) in [
            ("", r#","_source":false,"from":0,"size":100,"fields":["title","content.text"]}"#),
            (r#","fields":[ ]"#, r#","fields":[ "title","content.text"],"_source":false,"from":0,"size":100}"#),
            (
                r#","fields":["a", {"field":"title"} ]"#,
                r#","fields":["a", {"field":"title"} ,"content.text"],"_source":false,"from":0,"size":100}"#,
            ),
            (r#","fields":["*"]"#, r#","fields":["*"],"_source":false,"from":0,"size":100}"#),
        ] {
            assert_eq!(body(None, &format!(r#"{{{MATCH}{before},"_source":false}}"#)), format!("{{{MATCH}{after}"));
        }
    }

    #[test]
    fn case_18_long_numbers_stay_as_written() {
        let filter = r#""post_filter":{"term":{"id":9007199254740993}},"min_score":1.0,"indices_boost":[{"a":1e0}]"#;
        let wide = body(None, &format!("{{{filter},{MATCH}}}"));
        assert_eq!(wide, format!(r#"{{{filter},{MATCH},"from":0,"size":100}}"#));
    }

    #[test]
    fn the_url_loses_only_what_went_into_the_body() {
        let source = "source=%7B%22size%22%3A3%7D&routing=a%2Cb&q=%22x+y%22&source_content_type=application%2Fjson&from=2&pretty";
        let search = tests::search(Some(source), "");
        let wide = widened(&search, Hints::default());
        assert_eq!(wide.target, "/products/_search?routing=a%2Cb&q=%22x+y%22&pretty");
        assert_eq!(wide.body, br#"{"size":100,"from":0}"#);
        assert_eq!(wide.content_type.as_deref(), Some("application/json"));
        let only_size = tests::search(Some("size=3"), r#"{"query":{"match":{"a":"x"}}}"#);
        assert_eq!(
            (widened(&only_size, Hints::default()).target.as_str(), widened(&only_size, Hints::default()).content_type),
            ("/products/_search", None)
        );
        let vendor = "application/vnd.elasticsearch+json; compatible-with=9";
        let asking = Search { accept: Some(vendor), ..tests::search(Some("q=x"), "") };
        assert_eq!(widened(&asking, Hints::default()).content_type.as_deref(), Some(vendor));
    }

    proptest! {
        #[test]
        fn every_other_entry_keeps_its_bytes_and_its_place(
            places in Just((0..9).collect::<Vec<usize>>()).prop_shuffle(),
            count in 0_usize..9,
            space in "[ \n\t]{0,2}",
            read_fields: bool,
        ) {
            let entries = [
                r#""from": 3"#, r#""size":1"#, r#""fields":["a" , {"field":"t*"}]"#, r#""min_score" :1.0"#, r#""t\u0069meout":"}],\"""#,
                r#""aggs":{"b":[1e400,{}]}"#, r#""_source":[ "a" ]"#, r#""docvalue_fields":["z"]"#, r#""track_total_hits":12345678901234567890"#,
            ];
            let mut written = vec![MATCH];
            written.extend(places.iter().take(count).map(|place| entries[*place]));
            let body = format!("{space}{{{space}{}{space}}}{space}", written.join(&format!("{space},{space}")));
            let search = tests::search(None, &body);
            let plan = plan(&search, &tests::rule(), &Hints { read_fields, most_hits: None }).expect("reranked");
            check_untouched(&search, &plan);
        }

        #[test]
        fn no_body_and_no_url_panics(query in "[a-z%=&;+0-9]{0,12}", body in "[{}\\[\\]\":,a0 \\\\]{0,16}") {
            let search = tests::search(Some(&query), &body);
            if let Ok(plan) = plan(&search, &tests::rule(), &Hints::default()) {
                check_untouched(&search, &plan);
            }
        }
    }
}
