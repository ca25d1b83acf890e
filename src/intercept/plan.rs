//! Decides whether a search is reranked, and if so: which page, how many hits, which query text, and where the texts are read.
//!
//! Pure; the rewrite itself is [`widen`](super::widen)'s.

use std::collections::HashMap;

use crate::{
    config::{QueryFrom, Rule, Several},
    es::{
        allow_list, ext,
        filter_path::{self, FilterPath},
        json::{self, Object},
        media, pointer,
        query_syntax::{self, Dialect},
        query_text::{Flaw, MOST_TEXT, Survey},
        reading::{self, NoReading},
        request::{self, MAX_RESULT_WINDOW, Request, Unreadable},
        url::Params,
    },
    rerank::Reason,
};

pub use crate::es::{
    query_text::FoundText,
    reading::Reading,
    request::{Page, Widening},
};

/// Parameters that a rewrite puts into the body.
pub(super) const MOVED: [&str; 4] = ["from", "size", "source", "source_content_type"];

/// The header by which a client that the rule trusts says what it searches for.
const HEADER: &str = "Rerank-Query";

/// All that comes back.
const WHOLE: Page = Page { from: 0, size: usize::MAX };

/// What the client sent.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// The path as written.
    pub path: &'a str,
    /// What stands behind the `?`, as written.
    pub query: Option<&'a str>,
    /// `Content-Type`.
    pub content_type: Option<&'a str>,
    /// `Accept`.
    pub accept: Option<&'a str>,
    /// `Rerank-Query`.
    pub rerank_query: Option<&'a str>,
    /// The decoded body, empty where there is none.
    pub body: &'a [u8],
}

/// What earlier answers taught about searches of this kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// A whole `_source` has no text: ask for `fields`.
    pub read_fields: bool,
    /// How many hits fit under the cap.
    pub most_hits: Option<usize>,
}

/// How one search is reranked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchPlan {
    /// The page that the client gets.
    pub page: Page,
    /// Whether more is asked for than the page. Pages that come alone agree by nothing but the engine's order.
    pub widening: Widening,
    /// How many hits the engine is asked for: from the first, or from the first of the page.
    pub fetch: usize,
    /// How many of them may move; at most `fetch`.
    pub ranked: usize,
    /// What the model is asked.
    pub query_text: FoundText,
    /// Where the texts stand in the hits.
    pub reading: Reading,
    /// Whether hits come with an explanation of their scores.
    pub explain: bool,
    /// What the client wants to see of the answer; the engine is not told.
    pub filter_path: Option<FilterPath>,
    /// Bytes that are the same for all pages of one search and differ between searches.
    pub pin_subject: Vec<u8>,
}

/// Returns how `search` is reranked by `rule`, or why it is not.
///
/// # Errors
/// The reason; one that says more goes before [`Reason::Unsupported`].
pub fn plan(search: &Search<'_>, rule: &Rule, hints: &Hints) -> Result<SearchPlan, Reason> {
    let request = read(search)?;
    let body = request.body()?;
    refuse_other_orders(&request.params, &body)?;
    let page = request::page(&request.params, &body)?;
    if page.size == 0 {
        return Err(Reason::NoPage);
    }
    let (rescore_queries, rescore_window) = request::rescorers(&body)?;
    let said = ext::read(&body);
    let mut survey = Survey::new(rule.query.filters);
    survey.search(&body);
    rescore_queries.into_iter().for_each(|query| survey.aside(query));

    let limits = [rescore_window, survey.window()].into_iter().flatten();
    let window = limits.fold(rule.window.min(MAX_RESULT_WINDOW), usize::min);
    let widens = survey.widens() && said.as_ref().is_none_or(|said| said.widens);
    let widening = if widens { allow_list::widening(&request.params, &body) } else { Widening::Page };
    let (fetch, ranked) = sizes(page, widening, (window, survey.window()), hints)?;

    let leaves = survey.texts()?;
    let filter_path = request.params.get("filter_path").map_or(Ok(None), FilterPath::parse)?;
    let Some(said) = said.filter(|_| is_on_allow_list(&request.params, &body)) else { return Err(Reason::Unsupported) };
    let names = rule.fields.iter().map(|field| &field.name);
    let reading = reading::choose(&request.params, &body, names, hints.read_fields)?;
    // A pipeline may do anything to what is added, and it could not be told from the client's own any more.
    if allow_list::has_pipeline(&request.params, &body) && adds_fields(&reading) {
        return Err(Reason::FieldConflict);
    }
    let query_text = Asked { search, rule, params: &request.params, body: &body }.text(said, leaves).ok_or(Reason::NoQueryText)?;
    if query_text.text.len() > MOST_TEXT {
        return Err(Reason::Unsupported);
    }
    let explain = allow_list::explains(&request.params, &body);
    let pin_subject = pin_subject(search.path, &request.params, &body);
    Ok(SearchPlan { page, widening, fetch, ranked, query_text, reading, explain, filter_path, pin_subject })
}

fn read<'a>(search: &Search<'a>) -> Result<Request<'a>, Reason> {
    media::check(search.content_type, search.accept, !search.body.is_empty())?;
    let request = Request::read(search.query, search.body)?;
    let in_url = request.params.get("source_content_type");
    let is_json = in_url.is_none_or(|media_type| media::check(Some(media_type), Some(media_type), true).is_ok());
    if is_json && request.params.get("format").is_none() { Ok(request) } else { Err(Reason::NotJson) }
}

fn refuse_other_orders(params: &Params<'_>, body: &Object<'_>) -> Result<(), Reason> {
    if params.get("scroll").is_some() || body.get("search_after").is_some() || body.get("slice").is_some() {
        return Err(Reason::Cursor);
    }
    if request::is_by_score(params, body) { Ok(()) } else { Err(Reason::Sorted) }
}

/// Returns how many hits to ask for, and how many of them may move. They are asked for from the first to the end of the window, or of
/// the page where that ends behind it, though never more than there are (`most`); or they are those of the page, of which those may
/// move that stand in the window. Engines refuse a size beyond `most`.
fn sizes(page: Page, widening: Widening, (window, most): (usize, Option<usize>), hints: &Hints) -> Result<(usize, usize), Reason> {
    if page.from >= window {
        return Err(Reason::BeyondWindow);
    }
    let end = page.from.saturating_add(page.size);
    if end > MAX_RESULT_WINDOW || most.is_some_and(|most| page.size > most) {
        return Err(Reason::Unsupported);
    }
    match widening {
        Widening::Window => {
            let fetch = most.map_or(end, |most| end.min(most)).max(window.min(hints.most_hits.unwrap_or(window)));
            Ok((fetch, window.min(fetch)))
        }
        Widening::Page => Ok((page.size, page.size.min(window - page.from))),
    }
}

fn is_on_allow_list(params: &Params<'_>, body: &Object<'_>) -> bool {
    params.names().all(allow_list::allows_param) && body.entries().iter().all(|(key, value)| allow_list::allows_entry(key, value))
}

/// A search that is asked for its query text.
struct Asked<'a> {
    search: &'a Search<'a>,
    rule: &'a Rule,
    params: &'a Params<'a>,
    body: &'a Object<'a>,
}

// === impl Asked ===

impl Asked<'_> {
    /// Returns the query text by precedence: what says that it is one, where the rule says, what plugins take for one, the URL's `q`
    /// (which replaces the body's query), the best of the `leaves` that stand in the body.
    fn text(&self, said: ext::Said, leaves: Vec<FoundText>) -> Option<FoundText> {
        let header = self.search.rerank_query.filter(|_| self.rule.trust_client);
        let explicit = header.and_then(|text| FoundText::new(text, HEADER)).or(said.rerank);
        if let Some(text) = explicit.or_else(|| self.named()) {
            return Some(text);
        }
        if !said.typed.is_empty() {
            return settle(said.typed, self.rule.query.several);
        }
        if self.params.get("q").is_some() { from_url(self.params, "q") } else { settle(leaves, self.rule.query.several) }
    }

    /// Returns what stands where the rule says.
    fn named(&self) -> Option<FoundText> {
        match &self.rule.query.from {
            QueryFrom::Auto => None,
            QueryFrom::Pointer(at) => pointer::find(self.body, at).and_then(json::string).and_then(|text| FoundText::new(&text, at)),
            QueryFrom::UrlParam(name) => from_url(self.params, name),
        }
    }
}

fn from_url(params: &Params<'_>, name: &str) -> Option<FoundText> {
    let value = params.get(name)?;
    let at = format!("?{name}");
    if name == "q" { FoundText::new(&query_syntax::words(value, Dialect::Lucene), &at) } else { FoundText::new(value, &at) }
}

/// Returns the one text that stands for all that were found.
fn settle(found: Vec<FoundText>, several: Several) -> Option<FoundText> {
    let mut places = HashMap::new();
    let mut distinct: Vec<(usize, FoundText)> = Vec::new();
    for text in found {
        let place = *places.entry(text.text.clone()).or_insert(distinct.len());
        match distinct.get_mut(place) {
            Some((count, _)) => *count += 1,
            None => distinct.push((1, text)),
        }
    }
    if several == Several::Bypass && distinct.len() > 1 {
        return None;
    }
    if several == Several::Join {
        let text = distinct.iter().map(|(_, own)| own.text.as_str()).collect::<Vec<_>>().join(" ");
        return distinct.into_iter().next().map(|(_, first)| FoundText { text, at: first.at });
    }
    let weight = |(count, own): &(usize, FoundText)| (if several == Several::Common { *count } else { 0 }, own.text.chars().count());
    // Of equals, `max_by_key` takes the last; the first is wanted.
    distinct.into_iter().rev().max_by_key(weight).map(|(_, best)| best)
}

fn pin_subject(path: &str, params: &Params<'_>, body: &Object<'_>) -> Vec<u8> {
    let mut subject = path.to_owned() + &params.without(&MOVED);
    for (key, value) in body.entries().iter().filter(|(key, _)| key != "from" && key != "size") {
        // No bare line feed stands in a URL or an escaped key, and a JSON value says itself where it ends: entries cannot run together.
        subject.push('\n');
        subject.push_str(&String::from_iter(key.escape_debug()));
        subject.push('\n');
        subject.push_str(value.get());
    }
    subject.into_bytes()
}

// === impl SearchPlan ===

impl SearchPlan {
    /// Whether the engine is asked for anything that the client did not ask for.
    pub fn rewrites(&self) -> bool {
        self.widening == Widening::Window || self.adds_fields()
    }

    /// Which of the ranked hits the client gets.
    pub fn cut(&self) -> Page {
        match self.widening {
            Widening::Window => self.page,
            Widening::Page => WHOLE,
        }
    }

    /// How many hits come before the first that is asked for.
    pub fn skipped(&self) -> usize {
        match self.widening {
            Widening::Window => 0,
            Widening::Page => self.page.from,
        }
    }

    pub(super) fn adds_fields(&self) -> bool {
        adds_fields(&self.reading)
    }
}

fn adds_fields(reading: &Reading) -> bool {
    matches!(reading, Reading::Fields { added } if !added.is_empty())
}

// === impl Reason ===

impl From<media::Mismatch> for Reason {
    fn from(mismatch: media::Mismatch) -> Self {
        match mismatch {
            media::Mismatch::NotJson => Self::NotJson,
            media::Mismatch::Versions => Self::Unsupported,
        }
    }
}

impl From<Unreadable> for Reason {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::NotJson => Self::NotJson,
            Unreadable::NotPlain => Self::Unsupported,
        }
    }
}

impl From<Flaw> for Reason {
    fn from(flaw: Flaw) -> Self {
        match flaw {
            Flaw::Foreign => Self::Unsupported,
            Flaw::Cursor => Self::Cursor,
            Flaw::Sorted => Self::Sorted,
            Flaw::Reranked => Self::EngineReranked,
            Flaw::Unseeded => Self::Unstable,
            Flaw::NotJson => Self::NotJson,
        }
    }
}

impl From<filter_path::NotPlain> for Reason {
    fn from(_: filter_path::NotPlain) -> Self {
        Self::FilterPath
    }
}

impl From<NoReading> for Reason {
    fn from(missing: NoReading) -> Self {
        match missing {
            NoReading::Conflict(_) => Self::FieldConflict,
            NoReading::NotPlain => Self::Unsupported,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::{path::Path, sync::Arc, time::Duration};

    use super::{FilterPath, FoundText, Hints, Page, Reading, Search, SearchPlan, Widening, plan};
    use crate::{
        config::{Field, QueryFrom, QueryText, Rule, ScorePolicy, Several, When},
        rerank::Reason,
    };

    const MATCH: &str = r#""query":{"match":{"title":"red shoes"}}"#;

    pub(in crate::intercept) fn rule() -> Rule {
        let field = |name: &str| Field { name: Arc::from(name), label: None, max_tokens: None };
        Rule {
            number: 0,
            index: vec!["*".to_owned()],
            not_index: Vec::new(),
            when: When::default(),
            model: Arc::from("minilm"),
            instruction: None,
            fields: vec![field("title"), field("content.text")],
            query: QueryText { from: QueryFrom::Auto, several: Several::Common, filters: false },
            trust_client: false,
            window: 100,
            timeout: Duration::from_millis(300),
            total_timeout: Duration::from_secs(5),
            fusion: None,
            trust: None,
            score: ScorePolicy::Replace,
            annotate: false,
            headers: true,
        }
    }

    pub(in crate::intercept) fn search<'a>(query: Option<&'a str>, body: &'a str) -> Search<'a> {
        let content_type = (!body.is_empty()).then_some("application/json");
        Search { path: "/products/_search", query, content_type, accept: None, rerank_query: None, body: body.as_bytes() }
    }

    fn planned(query: &str, entries: &str) -> Result<SearchPlan, Reason> {
        let body = format!("{{{entries}}}");
        plan(&search(Some(query), &body), &rule(), &Hints::default())
    }

    fn with_match(query: &str, entries: &str) -> Result<SearchPlan, Reason> {
        planned(query, &format!("{MATCH}{}{entries}", if entries.is_empty() { "" } else { "," }))
    }

    #[test]
    fn a_plain_search_is_planned_whole() {
        let plan = with_match("", "").expect("reranked");
        assert_eq!((plan.page, plan.fetch, plan.ranked), (Page { from: 0, size: 10 }, 100, 100));
        assert_eq!(plan.query_text, FoundText { text: "red shoes".to_owned(), at: "/query/match/title".to_owned() });
        assert_eq!(plan.reading, Reading::Source);
    }

    #[test]
    fn case_4_pages_and_the_window() {
        for (entries, fetch, ranked) in [
            (r#""size":100"#, 100, 100),
            (r#""from":45,"size":10"#, 100, 100),
            (r#""from":95,"size":10"#, 105, 100),
            (r#""size":1000"#, 1000, 100),
            (r#""from":99,"size":1"#, 100, 100),
            (r#""from":0,"size":10000"#, 10_000, 100),
        ] {
            let plan = with_match("", entries).expect(entries);
            assert_eq!((plan.fetch, plan.ranked), (fetch, ranked), "{entries}");
        }
        assert_eq!(with_match("", r#""size":0"#).err(), Some(Reason::NoPage));
        assert_eq!(with_match("", r#""from":100"#).err(), Some(Reason::BeyondWindow));
        assert_eq!(with_match("", r#""size":10001"#).err(), Some(Reason::Unsupported));
        assert_eq!(with_match("from=20&size=2", r#""from":1000,"size":0"#).map(|plan| plan.page), Ok(Page { from: 20, size: 2 }));
    }

    #[test]
    fn case_21_a_rescorer_bounds_the_window() {
        let rescore = |window: &str| format!(r#""rescore":{{{window}"query":{{"rescore_query":{{"match":{{"title":"x"}}}}}}}}"#);
        let first = with_match("", &rescore("")).expect("reranked");
        assert_eq!((first.fetch, first.ranked, first.query_text.text.as_str()), (10, 10, "red shoes"));
        let straddling = with_match("", &format!(r#"{},"from":5"#, rescore(""))).expect("reranked");
        assert_eq!((straddling.fetch, straddling.ranked), (15, 10));
        let wide = with_match("", &rescore(r#""window_size":500,"#)).expect("reranked");
        assert_eq!((wide.fetch, wide.ranked), (100, 100));
        assert_eq!(with_match("from=10", &rescore("")).err(), Some(Reason::BeyondWindow));
        let random = r#""rescore":{"query":{"rescore_query":{"function_score":{"random_score":{}}}}}"#;
        assert_eq!(with_match("", random).err(), Some(Reason::Unstable));
    }

    #[test]
    fn hints_bound_the_widening_but_never_the_page() {
        let body = format!(r#"{{{MATCH},"size":20}}"#);
        for (most_hits, fetch, ranked) in [(None, 100, 100), (Some(50), 50, 50), (Some(3), 20, 20), (Some(1000), 100, 100)] {
            let plan = plan(&search(None, &body), &rule(), &Hints { read_fields: true, most_hits }).expect("reranked");
            assert_eq!((plan.fetch, plan.ranked), (fetch, ranked), "{most_hits:?}");
            assert!(matches!(plan.reading, Reading::Fields { .. }));
        }
    }

    #[test]
    fn a_page_that_comes_alone_is_asked_for_as_the_client_asked() {
        for (query, entries, from, fetch, ranked) in [
            ("", r#""profile":true"#, 0, 10, 10),
            ("", r#""terminate_after":100,"size":200"#, 0, 200, 100),
            ("search_pipeline=p&from=95", "", 95, 10, 5),
            ("terminate_after=5", r#""from":20,"size":5"#, 20, 5, 5),
            ("", r#""search_pipeline":"p""#, 0, 10, 10),
            ("", r#""collapse":{"field":"a","inner_hits":{"name":"b"}}"#, 0, 10, 10),
        ] {
            let plan = with_match(query, entries).expect(entries);
            assert_eq!(
                (plan.widening, plan.skipped(), plan.fetch, plan.ranked),
                (Widening::Page, from, fetch, ranked),
                "{query} {entries}"
            );
            assert_eq!((plan.cut(), plan.rewrites()), (Page { from: 0, size: usize::MAX }, false), "{query} {entries}");
        }
        assert!(with_match("", r#""profile":true,"_source":false"#).expect("reranked").rewrites());
        let plan = with_match("", r#""profile":false,"terminate_after":0,"collapse":{"field":"a"},"from":3"#).expect("reranked");
        assert_eq!((plan.widening, plan.skipped(), plan.fetch, plan.cut()), (Widening::Window, 0, 100, plan.page));
        assert_eq!(with_match("search_pipeline=p&from=100", "").err(), Some(Reason::BeyondWindow));
    }

    #[test]
    fn every_reason_is_given() {
        for (query, entries, reason) in [
            ("", r#""sort":["date"]"#, Reason::Sorted),
            ("sort=date:asc", "", Reason::Sorted),
            ("", r#""sort":["date"],"search_after":[1]"#, Reason::Cursor),
            ("", r#""slice":{"id":0,"max":2}"#, Reason::Cursor),
            ("scroll=1m", "", Reason::Cursor),
            ("format=yaml", "", Reason::NotJson),
            ("", r#""size":0,"knn":{}"#, Reason::NoPage),
            ("size=0", r#""size":3"#, Reason::NoPage),
            ("", r#""from":100,"explain":true"#, Reason::BeyondWindow),
            ("", r#""post_filter":{"function_score":{"random_score":{}}},"collapse":{"field":"a"}"#, Reason::Unstable),
            ("", r#""_source":false,"script_fields":{"title":{"script":"1"}}"#, Reason::FieldConflict),
            ("filter_path=a..b", "", Reason::FilterPath),
            ("filter_path=-&nonsense", "", Reason::FilterPath),
            ("stored_fields=title", "", Reason::FieldConflict),
            ("search_pipeline=p&_source=false", "", Reason::FieldConflict),
            ("", r#""size":"3""#, Reason::Unsupported),
            ("", r#""size":-1"#, Reason::Unsupported),
            ("", r#""from":1.0"#, Reason::Unsupported),
            ("pretty&pretty", "", Reason::Unsupported),
            ("", r#""stored_fields":"_none_""#, Reason::Unsupported),
            ("", r#""post_filter":{"unheard_of":{"field":"v"}}"#, Reason::Unsupported),
            ("", r#""ext":{"unheard_of":{}}"#, Reason::Unsupported),
            ("", r#""retriever":{"text_similarity_reranker":{}}"#, Reason::EngineReranked),
            ("", r#""retriever":{"standard":{"query":{"match_all":{}},"sort":["date"]}}"#, Reason::Sorted),
            ("", r#""retriever":{"rrf":{"retrievers":[{"standard":{"search_after":[1]}}]}}"#, Reason::Cursor),
        ] {
            assert_eq!(with_match(query, entries).err(), Some(reason), "{query} {entries}");
        }
        for key in ["retriever", "sub_searches", "explain", "profile", "terminate_after", "rank", "verbose_pipeline", "nonsense"] {
            assert_eq!(with_match("", &format!(r#""{key}":{{}}"#)).err(), Some(Reason::Unsupported), "{key}");
        }
        for name in ["index=a", "verbose_pipeline=true", "stored_fields=_none_", "v"] {
            assert_eq!(with_match(name, "").err(), Some(Reason::Unsupported), "{name}");
        }
        assert_eq!(planned("", r#""query":{"match_all":{}}"#).err(), Some(Reason::NoQueryText));
        assert_eq!(plan(&search(None, ""), &rule(), &Hints::default()).err(), Some(Reason::NoQueryText));
        assert_eq!(planned("", &format!("{MATCH},{MATCH}")).err(), Some(Reason::NotJson));
        assert_eq!(plan(&search(None, "size: 3"), &rule(), &Hints::default()).err(), Some(Reason::NotJson));
    }

    #[test]
    fn what_is_on_the_list_is_reranked() {
        let entries = r#""_source":true,"fields":["x"],"docvalue_fields":["y"],"script_fields":{},"track_total_hits":false,"track_scores":true,
            "min_score":0.5,"highlight":{},"aggs":{},"aggregations":{},"suggest":{},"timeout":"1s","sort":["_score"],"version":true,
            "seq_no_primary_term":true,"indices_boost":[{"a":1}],"post_filter":{"term":{"a":"b"}},"rescore":[],"stats":["g"],
            "runtime_mappings":{},"derived":{},"collapse":{"field":"z"},"include_named_queries_score":true,"explain":false"#;
        let query = "docvalue_fields=a&sort=_score&stats=g&version=true&track_scores=true&suggest_field=a&suggest_text=b&phase_took\
            &preference=a&routing=b&search_type=dfs_query_then_fetch&request_cache=true&ignore_unavailable=true&allow_no_indices=true\
            &expand_wildcards=open&pretty&human&error_trace&rest_total_hits_as_int=true&typed_keys&timeout=1s&batched_reduce_size=2";
        assert!(with_match(query, entries).is_ok());
    }

    #[test]
    fn what_is_done_to_the_answer_is_planned() {
        let plan = with_match("filter_path=hits.hits._id,-took&explain=true", r#""explain":false"#).expect("reranked");
        assert_eq!((plan.explain, plan.widening, plan.rewrites()), (true, Widening::Page, false));
        assert_eq!(plan.filter_path, FilterPath::parse("hits.hits._id,-took").expect("plain"));
        let plain = with_match("filter_path=&explain", r#""explain":true"#).expect("reranked");
        assert_eq!((plain.explain, plain.widening, plain.filter_path), (false, Widening::Window, None));
    }

    #[test]
    fn case_15_keys_of_other_proxies_have_no_effect() {
        for key in ["uhost", "uport", "query_prep", "topn", "nboost"] {
            assert_eq!(with_match(&format!("{key}=1"), "").err(), Some(Reason::Unsupported));
            assert_eq!(with_match("", &format!(r#""{key}":"x""#)).err(), Some(Reason::Unsupported));
        }
    }

    #[test]
    fn media_types_decide_whether_it_is_json() {
        let body = format!("{{{MATCH}}}");
        let vendor = "application/vnd.elasticsearch+json; compatible-with=9";
        for (content_type, accept, reason) in [
            (Some(vendor), Some(vendor), None),
            (Some("application/yaml"), None, Some(Reason::NotJson)),
            (Some("application/json"), Some("application/cbor"), Some(Reason::NotJson)),
            (None, None, Some(Reason::NotJson)),
            (Some("application/json"), Some(vendor), Some(Reason::Unsupported)),
        ] {
            let declared = Search { content_type, accept, ..search(None, &body) };
            assert_eq!(plan(&declared, &rule(), &Hints::default()).err(), reason, "{content_type:?} {accept:?}");
        }
        let source = |media_type| format!("source=%7B%7D&q=x&source_content_type={media_type}");
        assert_eq!(plan(&search(Some(&source("application/yaml")), ""), &rule(), &Hints::default()).err(), Some(Reason::NotJson));
        assert!(plan(&search(Some(&source("application%2Fjson")), ""), &rule(), &Hints::default()).is_ok());
    }

    #[test]
    fn the_query_text_follows_its_precedence() {
        let text = |from: QueryFrom, query: &str, entries: &str| {
            let mut rule = rule();
            rule.query.from = from;
            let body = format!("{{{entries}}}");
            plan(&search(Some(query), &body), &rule, &Hints::default()).map(|plan| (plan.query_text.text, plan.query_text.at))
        };
        let found = |words: &str, at: &str| Ok((words.to_owned(), at.to_owned()));
        let pointer = || QueryFrom::Pointer("/query/match/title".to_owned());
        assert_eq!(text(QueryFrom::Auto, "q=title:%22blue+hat%22", MATCH), found("blue hat", "?q"));
        assert_eq!(text(QueryFrom::Auto, "q=*", MATCH), Err(Reason::NoQueryText), "q replaces the body's query");
        assert_eq!(text(pointer(), "q=blue", MATCH), found("red shoes", "/query/match/title"));
        assert_eq!(text(pointer(), "q=blue", ""), found("blue", "?q"));
        assert_eq!(text(QueryFrom::UrlParam("preference".to_owned()), "preference=a%20%20b", MATCH), found("a b", "?preference"));
        assert_eq!(text(QueryFrom::UrlParam("preference".to_owned()), "", MATCH), found("red shoes", "/query/match/title"));
        let long = format!("q={}", "x".repeat(100_000));
        assert_eq!(text(QueryFrom::Auto, &long, ""), Err(Reason::Unsupported));
    }

    #[test]
    fn what_says_more_goes_first() {
        let rerank = r#""rerank":{"query_context":{"query_text":"rerank"}}"#;
        let ubi = r#""ubi":{"user_query":"typed"}"#;
        let body = format!(r#"{{{MATCH},"ext":{{{rerank},{ubi}}},"suggest":{{"text":"suggest"}}}}"#);
        let without = |part: &str| body.replace(&format!("{part},"), "");
        let mut rule = rule();
        rule.query.from = QueryFrom::UrlParam("preference".to_owned());
        let mut text = |trust_client: bool, header: Option<&str>, query: &str, body: &str| {
            rule.trust_client = trust_client;
            let asking = Search { rerank_query: header, ..search(Some(query), body) };
            let text = plan(&asking, &rule, &Hints::default()).expect("reranked").query_text;
            (text.text, text.at)
        };
        let found = |words: &str, at: &str| (words.to_owned(), at.to_owned());
        let all = "q=q&preference=rule";
        assert_eq!(text(true, Some(" head  er"), all, &body), found("head er", "Rerank-Query"));
        assert_eq!(text(true, Some(" "), all, &body), found("rerank", "/ext/rerank/query_context/query_text"));
        assert_eq!(text(false, Some("header"), all, &body), found("rerank", "/ext/rerank/query_context/query_text"));
        assert_eq!(text(false, None, all, &without(rerank)), found("rule", "?preference"));
        assert_eq!(text(false, None, "q=q", &without(rerank)), found("typed", "/ext/ubi/user_query"));
        let plain = format!(r#"{{{MATCH},"suggest":{{"text":"suggest"}}}}"#);
        assert_eq!(text(false, None, "q=q", &plain), found("q", "?q"));
        assert_eq!(text(false, None, "", &plain), found("red shoes", "/query/match/title"));
        assert_eq!(text(false, None, "", &plain.replace(MATCH, r#""query":{"match_all":{}}"#)), found("suggest", "/suggest/text"));
        assert_eq!(text(false, None, "", &plain.replace("suggest\"}", "\"}")), found("red shoes", "/query/match/title"));
    }

    #[test]
    fn case_7_retrievers_bound_the_window_and_what_is_asked_for() {
        let rrf = |window: &str| format!(r#"{{"retriever":{{"rrf":{{"retrievers":[{{"standard":{{{MATCH}}}}}]{window}}}}}}}"#);
        let planned = |query: &str, window: &str| plan(&search(Some(query), &rrf(window)), &rule(), &Hints::default());
        for (query, window, fetch, ranked) in [
            ("", "", 10, 10),
            ("size=5", r#","rank_window_size":20"#, 20, 20),
            ("size=20&from=10", r#","rank_window_size":20"#, 20, 20),
            ("", r#","rank_window_size":500"#, 100, 100),
            ("from=95", r#","rank_window_size":500"#, 105, 100),
        ] {
            let plan = planned(query, window).expect("reranked");
            assert_eq!((plan.widening, plan.fetch, plan.ranked), (Widening::Window, fetch, ranked), "{query} {window}");
        }
        assert_eq!(planned("size=11", "").err(), Some(Reason::Unsupported), "the engine refuses it");
        assert_eq!(planned("from=10", "").err(), Some(Reason::BeyondWindow));
    }

    #[test]
    fn what_changes_with_the_number_of_hits_is_not_widened() {
        for body in [
            r#"{"knn":{"field":"v","query_vector":[1]},"query":{"match":{"a":"x"}}}"#,
            r#"{"query":{"hybrid":{"queries":[{"match":{"a":"x"}}]}}}"#,
            r#"{"query":{"match":{"a":"x"}},"ext":{"rerank":{"query_context":{"query_text":"x"}}}}"#,
            r#"{"query":{"match":{"a":"x"}},"ext":{"mmr":{}}}"#,
        ] {
            assert_eq!(plan(&search(None, body), &rule(), &Hints::default()).expect("reranked").widening, Widening::Page, "{body}");
        }
        let fixed = r#"{"knn":{"field":"v","query_vector":[1],"k":5},"query":{"match":{"a":"x"}},"ext":{"ubi":{}}}"#;
        assert_eq!(plan(&search(None, fixed), &rule(), &Hints::default()).expect("reranked").widening, Widening::Window);
    }

    #[test]
    fn several_texts_become_one() {
        let text = |several: Several, texts: &[&str]| {
            let mut rule = rule();
            rule.query.several = several;
            let leaves: Vec<_> = texts.iter().map(|text| format!(r#"{{"match":{{"a":"{text}"}}}}"#)).collect();
            let body = format!(r#"{{"query":{{"bool":{{"should":[{}]}}}}}}"#, leaves.join(","));
            plan(&search(None, &body), &rule, &Hints::default()).ok().map(|plan| plan.query_text.text)
        };
        let texts = ["red", "red shoes", " red", "blue shoes now"];
        for (several, chosen) in [
            (Several::Common, Some("red")),
            (Several::Longest, Some("blue shoes now")),
            (Several::Join, Some("red red shoes blue shoes now")),
            (Several::Bypass, None),
        ] {
            assert_eq!(text(several, &texts).as_deref(), chosen, "{several:?}");
        }
        assert_eq!(text(Several::Common, &["ab", "cde", "fgh"]).as_deref(), Some("cde"), "the longest, then the first");
        assert_eq!(text(Several::Bypass, &["red  shoes", "red shoes"]).as_deref(), Some("red shoes"));
    }

    #[test]
    fn pages_of_one_search_share_their_pin_and_other_searches_do_not() {
        let pin = |query: Option<&str>, body: &str| plan(&search(query, body), &rule(), &Hints::default()).expect("reranked").pin_subject;
        let body = format!("{{{MATCH}}}");
        let first = pin(None, &body);
        assert_eq!(first, pin(Some("from=10"), &format!(r#"{{"size":20, {MATCH},"from":3}}"#)));
        let source = format!("source={}&source_content_type=application/json&size=5", body.replace(' ', "%20"));
        assert_eq!(first, pin(Some(&source), ""));
        for (query, entries) in [(Some("routing=a"), ""), (None, r#","min_score":1"#), (Some("q=red"), "")] {
            assert_ne!(first, pin(query, &format!("{{{MATCH}{entries}}}")), "{query:?} {entries}");
        }
    }

    /// Documented searches and benchmark searches, where the folder that holds them is there.
    #[test]
    fn real_searches_are_planned_or_given_a_reason() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let Some(shared) = ["../shared", "../../shared"].map(|way| root.join(way)).into_iter().find(|shared| shared.is_dir()) else {
            println!("skipped: no ../shared");
            return;
        };
        for (file, least_reranked) in [("data/search-responses/requests.jsonl", 0.2), ("data/rally-bodies/bodies.jsonl", 0.05)] {
            let lines = std::fs::read_to_string(shared.join(file)).expect(file);
            let mut outcomes = std::collections::BTreeMap::new();
            for line in lines.lines() {
                let record = crate::es::json::object(line).expect("a line of json");
                let body = record.get("body").map(|body| body.get()).filter(|body| *body != "null").unwrap_or_default();
                let wish = search(None, body);
                let outcome = plan(&wish, &rule(), &Hints::default());
                if let Ok(plan) = &outcome {
                    super::super::widen::tests::check_untouched(&wish, plan);
                }
                *outcomes.entry(outcome.err().map_or("reranked", Reason::as_str)).or_insert(0.0) += 1.0;
            }
            println!("{file}: {outcomes:?}");
            let share = |outcome| outcomes.get(outcome).copied().unwrap_or(0.0) / outcomes.values().sum::<f64>();
            assert!(share("reranked") > least_reranked && share("not-json") < 0.01, "{outcomes:?}");
        }
    }
}
