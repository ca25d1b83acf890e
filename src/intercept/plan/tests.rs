use std::{path::Path, sync::Arc, time::Duration};

use super::{FilterPath, FoundText, Hints, Page, Reading, Search, SearchPlan, Widening, plan};
use crate::{
    config::{ExtRerank, Field, OnTimeout, QueryFrom, QueryText, Rule, ScorePolicy, Several, When},
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
        least_window: None,
        on_timeout: OnTimeout::EngineOrder,
        window: 100,
        timeout: Duration::from_millis(300),
        total_timeout: Duration::from_secs(5),
        fusion: None,
        trust: None,
        score: ScorePolicy::Replace,
        annotate: false,
        answer_cache: None,
        headers: true,
        serve_retrievers: false,
        ext_rerank: ExtRerank::Forward,
        min_score: None,
    }
}

pub(in crate::intercept) fn search<'a>(query: Option<&'a str>, body: &'a str) -> Search<'a> {
    let content_type = (!body.is_empty()).then_some("application/json");
    Search {
        path: "/products/_search",
        query,
        content_type,
        accept: None,
        rerank_query: None,
        template_params: None,
        own: None,
        body: body.as_bytes(),
    }
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
        assert_eq!((plan.widening, plan.skipped(), plan.fetch, plan.ranked), (Widening::Page, from, fetch, ranked), "{query} {entries}");
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
    for name in ["index=a", "force_synthetic_source=true", "verbose_pipeline=true", "stored_fields=_none_", "v"] {
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
    let mut text = |trust_client: bool, header: Option<&str>, query: &str, json: &str| {
        rule.trust_client = trust_client;
        let asking = Search { rerank_query: header, ..search(Some(query), json) };
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
    let of_plugins = |several: Several| {
        let mut rule = rule();
        rule.query.several = several;
        let body =
            r#"{"query":{"match":{"a":"x"}},"ext":{"ubi":{"user_query":"red"},"generative_qa_parameters":{"llm_question":"why red?"}}}"#;
        plan(&search(None, body), &rule, &Hints::default()).map(|plan| plan.query_text.text)
    };
    assert_eq!([Several::Common, Several::Join].map(of_plugins), [Ok("why red?".to_owned()), Ok("red why red?".to_owned())]);
    assert_eq!(of_plugins(Several::Bypass), Err(Reason::NoQueryText));
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
