use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;

use super::{Flaw, FoundText, KINDS, MOST_DEPTH, MOST_POINTER, MOST_QUERIES, MOST_TEXT, Survey};
use crate::es::{json::object, query_kinds::Kind};

fn walked(body: &str, filters: bool) -> Survey {
    let mut survey = Survey::new(filters);
    survey.search(&object(body).unwrap_or_else(|error| panic!("{error}: {body}")));
    survey
}

fn survey(query: &str, filters: bool) -> Result<Vec<FoundText>, Flaw> {
    walked(&format!(r#"{{"query":{query}}}"#), filters).texts()
}

fn texts_of(body: &str) -> Vec<String> {
    walked(body, false).texts().unwrap_or_else(|flaw| panic!("{flaw}: {body}")).into_iter().map(|found| found.text).collect()
}

fn texts(query: &str) -> Vec<String> {
    texts_of(&format!(r#"{{"query":{query}}}"#))
}

fn widens(query: &str) -> bool {
    walked(&format!(r#"{{"query":{query}}}"#), false).widens()
}

/// A query of each kind that has a text of its own, and that text.
const LEAVES: &[(&str, &str)] = &[
    (r#"{"match":{"title":"red shoes"}}"#, "red shoes"),
    (r#"{"match":{"title":{"query":" red \u0073hoes ","operator":"and"}}}"#, "red shoes"),
    (r#"{"match_phrase":{"title":{"query":"red shoes","slop":2}}}"#, "red shoes"),
    (r#"{"match_phrase_prefix":{"title":"red sh"}}"#, "red sh"),
    (r#"{"match_bool_prefix":{"title":{"query":"red sh"}}}"#, "red sh"),
    (r#"{"multi_match":{"query":"red shoes","fields":["a","b^2"],"type":"cross_fields"}}"#, "red shoes"),
    (r#"{"combined_fields":{"query":"red shoes","fields":["a"]}}"#, "red shoes"),
    (r#"{"query_string":{"query":"title:(red AND shoes~1) -blue","default_field":"a"}}"#, "red shoes"),
    (r#"{"simple_query_string":{"query":"\"red shoes\" | boots*"}}"#, "red shoes boots"),
    (r#"{"more_like_this":{"fields":["a"],"like":"red shoes"}}"#, "red shoes"),
    (r#"{"intervals":{"a":{"match":{"query":"red shoes","max_gaps":2},"boost":2}}}"#, "red shoes"),
    (
        r#"{"intervals":{"a":{"all_of":{"ordered":true,"intervals":[{"match":{"query":"red"}},{"any_of":{"intervals":[{"prefix":{"prefix":"sho"}},{"wildcard":{"pattern":"bo*"}},{"fuzzy":{"term":"clog"}}]}}]}}}}"#,
        "red sho bo* clog",
    ),
    (r#"{"span_term":{"a":"red"}}"#, "red"),
    (r#"{"span_term":{"a":{"value":"red","boost":2}}}"#, "red"),
    (
        r#"{"span_near":{"clauses":[{"span_term":{"a":"red"}},{"span_gap":{"a":1}},{"span_multi":{"match":{"prefix":{"a":{"value":"sho"}}}}}],"slop":1}}"#,
        "red sho",
    ),
    (
        r#"{"span_not":{"include":{"span_or":{"clauses":[{"span_term":{"a":"x"}},{"span_term":{"a":"y"}}]}},"exclude":{"span_term":{"a":"z"}}}}"#,
        "x y",
    ),
    (r#"{"span_first":{"match":{"span_term":{"a":"x"}},"end":3}}"#, "x"),
    (r#"{"span_containing":{"little":{"span_term":{"a":"y"}},"big":{"span_term":{"a":"x"}}}}"#, "x y"),
    (r#"{"span_within":{"little":{"span_term":{"a":"y"}},"big":{"span_term":{"a":"x"}}}}"#, "x y"),
    (r#"{"field_masking_span":{"query":{"span_term":{"a":"x"}},"field":"b"}}"#, "x"),
    (r#"{"term":{"a":"red"}}"#, "red"),
    (r#"{"term":{"a":{"value":"red","_name":"n"},"_name":"no text","boost":2}}"#, "red"),
    (r#"{"terms":{"a":["red","blue",3],"boost":1}}"#, "red blue"),
    (r#"{"prefix":{"a":"re"}}"#, "re"),
    (r#"{"wildcard":{"a":{"wildcard":"r*d"}}}"#, "r*d"),
    (r#"{"regexp":{"a":{"value":"r.d"}}}"#, "r.d"),
    (r#"{"fuzzy":{"a":{"value":"rad"}}}"#, "rad"),
    (r#"{"kql":{"query":"title:red and price > 3 or shoes"}}"#, "red shoes"),
    (r#"{"semantic":{"field":"s","query":"red shoes"}}"#, "red shoes"),
    (r#"{"sparse_vector":{"field":"s","inference_id":"e","query":"red shoes"}}"#, "red shoes"),
    (r#"{"text_expansion":{"s":{"model_id":"e","model_text":"red shoes"}}}"#, "red shoes"),
    (r#"{"neural":{"v":{"query_text":"red shoes","query_image":"iVBOR","model_id":"m","k":5}}}"#, "red shoes"),
    (r#"{"neural_sparse":{"v":{"query_text":"red shoes","model_id":"m"}}}"#, "red shoes"),
    (r#"{"agentic":{"query_text":"red shoes","query_fields":["a"]}}"#, "red shoes"),
    (r#"{"knn":{"field":"v","k":5,"query_vector_builder":{"text_embedding":{"model_id":"m","model_text":"red shoes"}}}}"#, "red shoes"),
    (r#"{"span_or":{"clauses":[{"span_term":{"a":"x"}}]}}"#, "x"),
    (r#"{"span_field_masking":{"query":{"span_term":{"a":"x"}},"field":"b"}}"#, "x"),
];

#[test]
fn case_13_every_kind_yields_its_text() {
    for (query, found) in LEAVES {
        assert_eq!(texts(query), [*found], "{query}");
    }
}

/// A query of each kind that holds others, and the texts in it.
const CONTAINERS: &[(&str, &[&str])] = &[
    (r#"{"bool":{"must":{"match":{"a":"x"}},"should":[{"match":{"a":"y"}},{"match_all":{}}]}}"#, &["x", "y"]),
    (r#"{"bool":{"filter":[{"match":{"a":"x"}}],"must_not":{"match":{"a":"y"}}}}"#, &[]),
    (r#"{"bool":{"filter":{"bool":{"must":{"match":{"a":"x"}}}},"must":{"match":{"a":"y"}}}}"#, &["y"]),
    (r#"{"dis_max":{"queries":[{"match":{"a":"x"}},{"match":{"b":"x"}}]}}"#, &["x", "x"]),
    (r#"{"boosting":{"positive":{"match":{"a":"x"}},"negative":{"match":{"a":"y"}},"negative_boost":0.5}}"#, &["x"]),
    (r#"{"constant_score":{"filter":{"match":{"a":"x"}}}}"#, &["x"]),
    (
        r#"{"function_score":{"query":{"match":{"a":"x"}},"functions":[{"filter":{"match":{"a":"y"}},"weight":2},{"random_score":{"seed":1,"field":"_seq_no"}}]}}"#,
        &["x"],
    ),
    (r#"{"script_score":{"query":{"match":{"a":"x"}},"script":{"source":"1"}}}"#, &["x"]),
    (r#"{"nested":{"path":"p","query":{"match":{"p.a":"x"}}}}"#, &["x"]),
    (r#"{"has_child":{"type":"c","query":{"match":{"a":"x"}}}}"#, &["x"]),
    (r#"{"has_parent":{"parent_type":"c","query":{"match":{"a":"x"}}}}"#, &["x"]),
    (r#"{"pinned":{"ids":["1"],"organic":{"match":{"a":"x"}}}}"#, &["x"]),
    (r#"{"rule":{"ruleset_ids":["r"],"match_criteria":{"country":"us","user_query":"red"},"organic":{"match":{"a":"x"}}}}"#, &["red"]),
    (r#"{"rule_query":{"ruleset_id":"r","match_criteria":{"a":["red",3],"b":"us"},"organic":{"match":{"a":"x"}}}}"#, &["red", "us"]),
    (r#"{"hybrid":{"queries":[{"match":{"a":"x"}},{"neural":{"v":{"query_text":"x y"}}}],"filter":{"match":{"a":"z"}}}}"#, &["x y"]),
    (r#"{"template":{"bool":{"must":[{"match":{"a":"${ext.text}"}},{"match":{"a":"x"}}]}}}"#, &["x"]),
    (r#"{"wrapper":{"query":"eyAibWF0Y2giOiB7ICJ0aXRsZSI6ICJoZWFkcGhvbmVzIiB9IH0="}}"#, &["headphones"]),
];

#[test]
fn case_13_containers_are_walked_where_they_score() {
    for (query, found) in CONTAINERS {
        assert_eq!(texts(query), *found, "{query}");
    }
}

#[test]
fn case_13_no_kind_is_left_out() {
    let shown = |name: &str| {
        LEAVES
            .iter()
            .map(|(query, _)| query)
            .chain(CONTAINERS.iter().map(|(query, _)| query))
            .any(|query| query.contains(&format!("\"{name}\":")))
    };
    for row in KINDS.iter().filter(|row| !matches!(row.kind, Kind::Silent)) {
        assert!(shown(row.name), "{}", row.name);
    }
    for row in KINDS.iter().filter(|row| matches!(row.kind, Kind::Silent)) {
        assert_eq!(
            texts(&format!(r#"{{"{}":{{"a":"text","query":"text","script":{{}}}}}}"#, row.name)),
            Vec::<String>::new(),
            "{}",
            row.name
        );
    }
}

#[test]
fn first_hits_that_change_with_their_number_are_told() {
    for query in [
        r#"{"knn":{"field":"v","query_vector":[1]}}"#,
        r#"{"knn":{"field":"v","query_vector":[1],"num_candidates":50}}"#,
        r#"{"knn":{"v":{"vector":[1]}}}"#,
        r#"{"neural":{"v":{"query_text":"x"}}}"#,
        r#"{"semantic":{"field":"s","query":"x"}}"#,
        r#"{"agentic":{"query_text":"x"}}"#,
        r#"{"hybrid":{"queries":[]}}"#,
        r#"{"template":{"match":{"a":"x"}}}"#,
    ] {
        for whole in [
            query.to_owned(),
            format!(r#"{{"bool":{{"filter":[{query}]}}}}"#),
            format!(r#"{{"boosting":{{"positive":{{"match":{{"a":"x"}}}},"negative":{query}}}}}"#),
        ] {
            assert!(!widens(&whole), "{whole}");
        }
    }
    for query in [
        r#"{"knn":{"field":"v","query_vector":[1],"k":5}}"#,
        r#"{"knn":{"v":{"vector":[1],"k":5}}}"#,
        r#"{"knn":{"v":{"vector":[1],"min_score":0.5}}}"#,
        r#"{"neural":{"v":{"query_text":"x","max_distance":3}}}"#,
        r#"{"neural_sparse":{"v":{"query_text":"x"}}}"#,
        r#"{"sparse_vector":{"field":"s","query":"x"}}"#,
        r#"{"bool":{"must":{"match":{"a":"hybrid"}}}}"#,
    ] {
        assert!(widens(query), "{query}");
    }
    assert!(!walked(r#"{"knn":[{"field":"v","query_vector":[1],"k":5},{"field":"w","query_vector":[1]}]}"#, false).widens());
}

#[test]
fn the_best_level_counts_wherever_it_stands() {
    let builder = |text: &str| format!(r#"{{"field":"v","k":5,"query_vector_builder":{{"text_embedding":{{"model_text":"{text}"}}}}}}"#);
    for (body, found) in [
        (r#"{"query":{"bool":{"should":[{"match":{"a":"x"}},{"semantic":{"field":"s","query":"a b"}},{"term":{"a":"t"}}]}}}"#.to_owned(), vec!["a b"]),
        (format!(r#"{{"query":{{"match":{{"a":"x"}}}},"knn":{}}}"#, builder("v")), vec!["v"]),
        (format!(r#"{{"knn":[{},{}]}}"#, builder("v"), builder("w")), vec!["v", "w"]),
        (r#"{"knn":{"field":"v","query_vector":[1],"k":5,"filter":{"match":{"a":"x"}}}}"#.to_owned(), vec![]),
        (r#"{"sub_searches":[{"query":{"match":{"a":"x"}}},{"query":{"match":{"b":"y"}}}],"rank":{"rrf":{}}}"#.to_owned(), vec!["x", "y"]),
        (r#"{"query":{"match_all":{}},"suggest":{"text":"sheos","s":{"term":{"field":"a"}}}}"#.to_owned(), vec!["sheos"]),
        (r#"{"query":{"term":{"a":"t"}},"suggest":{"s":{"prefix":"sh","completion":{}},"u":{"text":"sho"}}}"#.to_owned(), vec!["sh", "sho"]),
        (r#"{"query":{"match":{"a":"x"}},"suggest":{"text":"sheos"}}"#.to_owned(), vec!["x"]),
        (r#"{"query":{"bool":{"must":{"match":{"a":"x"}},"should":{"rule":{"match_criteria":{"query_string":"q"},"organic":{"match":{"a":"x"}}}}}}}"#.to_owned(), vec!["q"]),
    ] {
        assert_eq!(texts_of(&body), found, "{body}");
    }
}

#[test]
fn case_20_what_is_wrapped_is_walked_within_the_same_bounds() {
    let wrap = |query: &str| format!(r#"{{"wrapper":{{"query":"{}"}}}}"#, STANDARD.encode(query));
    assert_eq!(survey(&wrap(r#"{"match":{"a":"x"}}"#), false).expect("known")[0].at, "/query/wrapper/query/match/a");
    assert_eq!(survey(&wrap(r#"{"function_score":{"random_score":{}}}"#), false), Err(Flaw::Unseeded));
    let mut nested = r#"{"match":{"a":"x"}}"#.to_owned();
    for _ in 0..20 {
        nested = wrap(&nested);
    }
    assert_eq!(texts(&nested), ["x"]);
    let deep = format!("{}{}{}", r#"{"bool":{"must":"#.repeat(MOST_DEPTH), r#"{"match_all":{}}"#, "}}".repeat(MOST_DEPTH));
    assert_eq!(survey(&wrap(&deep), false), Err(Flaw::Foreign));
    for garbage in ["", "!!!", "e", "YWJj", "//79", "eyJtYXRjaCI6", r"eyAi\n"] {
        assert_eq!(survey(&format!(r#"{{"wrapper":{{"query":"{garbage}"}}}}"#), false), Err(Flaw::Foreign), "{garbage}");
    }
    assert_eq!(survey(r#"{"wrapper":{"query":{"match":{"a":"x"}}}}"#, false), Err(Flaw::Foreign));
    assert_eq!(survey(&wrap(&format!(r#"{{"match":{{"a":"{}"}}}}"#, "x".repeat(MOST_TEXT + 1))), false), Err(Flaw::Foreign));
}

#[test]
fn case_20_what_a_client_names_and_nests_costs_no_more_than_it_sends() {
    let wrap = |query: &str| format!(r#"{{"wrapper":{{"query":"{}"}}}}"#, STANDARD.encode(query));
    let groups = |levels: usize| {
        let (open, close) = (r#"{"all_of":{"intervals":"#.repeat(levels), "}}".repeat(levels));
        format!(r#"{{"intervals":{{"f":{open}{{"match":{{"query":"x"}}}}{close}}}}}"#)
    };
    assert_eq!(texts(&groups(8)), ["x"]);
    for deep in [groups(20_000), wrap(&groups(20_000)), groups(MOST_DEPTH)] {
        assert_eq!(survey(&deep, false), Err(Flaw::Foreign), "{deep:.80}");
    }
    let name = "n".repeat(MOST_POINTER);
    assert_eq!(survey(&format!(r#"{{"match":{{"{name}":"x"}}}}"#), false), Err(Flaw::Foreign));
    let numbers: Vec<String> = (0..200_000).map(|number| format!(r#""f{number}":1"#)).collect();
    assert_eq!(texts(&format!(r#"{{"match":{{{}}}}}"#, numbers.join(","))), [""; 0]);
}

proptest! {
    #[test]
    fn no_query_panics(pieces in prop::collection::vec(prop::sample::select(vec![
        "{", "}", "[", "]", ":", ",", "\"query\"", "\"knn\"", "\"field\"", "\"bool\"", "\"must\"", "\"retriever\"", "\"rrf\"", "\"retrievers\"", "\"rank_window_size\"",
        "\"wrapper\"", "\"eyJhIjoxfQ==\"", "\"template\"", "\"suggest\"", "\"text\"", "\"rank\"", "\"rescorer\"", "\"rescore\"", "1", "-1", "null", "1e999",
    ]), 0..24)) {
        let body = format!("{{{}}}", pieces.concat());
        if let Ok(read) = object(&body) {
            let mut survey = Survey::new(true);
            survey.search(&read);
            let _ = (survey.widens(), survey.window(), survey.texts());
        }
    }
}

#[test]
fn what_is_no_text_is_not_taken_for_one() {
    for query in [
        r#"{"match_all":{}}"#,
        r#"{"match":{"a":3}}"#,
        r#"{"match":{"a":"  "}}"#,
        r#"{"match":{"a":{"query":true}}}"#,
        r#"{"more_like_this":{"like":[{"_id":"1"}]}}"#,
        r#"{"terms":{"a":{"index":"i","id":"1","path":"p"}}}"#,
        r#"{"range":{"a":{"gte":"now"}}}"#,
        r#"{"query_string":{"query":"*:*"}}"#,
    ] {
        assert_eq!(texts(query), Vec::<String>::new(), "{query}");
    }
}

#[test]
fn exact_values_count_only_alone_and_where_they_score() {
    assert_eq!(texts(r#"{"bool":{"must":[{"term":{"a":"x"}},{"match":{"a":"y"}}]}}"#), ["y"]);
    assert_eq!(texts(r#"{"bool":{"must":{"term":{"a":"x"}},"filter":{"term":{"a":"y"}}}}"#), ["x"]);
}

#[test]
fn a_rule_may_take_filters_too() {
    let query = r#"{"bool":{"filter":[{"match":{"a":"x"}},{"term":{"a":"z"}}],"must_not":{"match":{"a":"y"}}}}"#;
    let found = survey(query, true).expect("known").into_iter().map(|found| found.text).collect::<Vec<_>>();
    assert_eq!(found, ["x", "y"]);
}

#[test]
fn the_place_is_a_json_pointer() {
    let at = |query| survey(query, false).expect("known").swap_remove(0).at;
    assert_eq!(at(r#"{"bool":{"must":[{"match_all":{}},{"match":{"a/b":{"query":"x"}}}]}}"#), "/query/bool/must/1/match/a~1b/query");
    assert_eq!(at(r#"{"intervals":{"a":{"match":{"query":"x"}}}}"#), "/query/intervals");
}

#[test]
fn flaws_are_found_everywhere() {
    let deep = |query: &str| {
        [
            query.to_owned(),
            format!(r#"{{"bool":{{"filter":[{query}]}}}}"#),
            format!(r#"{{"boosting":{{"positive":{{"match_all":{{}}}},"negative":{query}}}}}"#),
            format!(r#"{{"function_score":{{"functions":[{{"filter":{query},"weight":1}}]}}}}"#),
            format!(r#"{{"bool":{{"must":[{{"match":{{"a":"x"}}}},{query},{{"unheard_of":{{}}}}]}}}}"#),
        ]
    };
    for (query, flaw) in [
        (r#"{"function_score":{"random_score":{}}}"#, Flaw::Unseeded),
        (r#"{"function_score":{"functions":[{"random_score":{"seed":null}}]}}"#, Flaw::Unseeded),
        (r#"{"match":{"a":"x","a":"y"}}"#, Flaw::NotJson),
    ] {
        for whole in deep(query) {
            assert_eq!(survey(&whole, false), Err(flaw), "{whole}");
        }
    }
    for query in [
        r#"{"unheard_of":{"field":"v"}}"#,
        r#"{"knn":[]}"#,
        r#"{"neural":{"v":3}}"#,
        r#"{"text_similarity_reranker":{}}"#,
        "{}",
        r#"{"match":"x"}"#,
        "[[]]",
        "null",
    ] {
        for whole in deep(query) {
            assert_eq!(survey(&whole, false), Err(Flaw::Foreign), "{whole}");
        }
    }
    assert_eq!(survey(r#"{"match":{"a":"x"},"term":{"a":"x"}}"#, false), Err(Flaw::Foreign));
}

#[test]
fn case_20_gigantic_queries_are_left_alone() {
    let many = |count: usize| format!(r#"{{"bool":{{"should":[{}]}}}}"#, vec![r#"{"match":{"a":"x"}}"#; count].join(","));
    assert_eq!(survey(&many(MOST_QUERIES - 1), false).map(|found| found.len()), Ok(MOST_QUERIES - 1));
    assert_eq!(survey(&many(MOST_QUERIES), false), Err(Flaw::Foreign));
    let long = |length: usize| format!(r#"{{"match":{{"a":"{}"}}}}"#, "x".repeat(length));
    assert_eq!(survey(&long(MOST_TEXT), false).map(|found| found.len()), Ok(1));
    assert_eq!(survey(&long(MOST_TEXT + 1), false), Err(Flaw::Foreign));
}
