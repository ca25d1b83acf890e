//! Takes over what a search asks of the engine's own reranker, where the rule says so: what asks for it goes out of the search, and
//! what it says is kept for Podium's own reranking.
//!
//! From here on the search that is left stands for the client's: it is what is widened, and what is sent where something fails. The
//! client's own bytes might be refused by a cluster without that reranker.

use std::{ops::Range, sync::Arc};

use serde_json::value::RawValue;

use super::{
    plan::{self, FoundText, Search},
    widen::Widened,
};
use crate::{
    config::{ExtRerank, Field, Rule},
    es::{
        ext, json,
        layout::{Edit, Layout},
        media,
        retriever::{self, Reranker},
    },
};

/// Parameters that hold a search's JSON.
const IN_URL: [&str; 2] = ["source", "source_content_type"];

/// What a search says of its own reranking, instead of the rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Own {
    /// `ext.rerank.query_context`
    pub explicit: Option<FoundText>,
    /// `inference_text`
    pub inference: Option<FoundText>,
    /// What the model reads of a hit.
    pub fields: Option<Vec<Field>>,
    /// How many hits are ranked, if the rule allows as many.
    pub window: Option<usize>,
    /// The least score of a hit that stays.
    pub min_score: Option<f64>,
}

/// A search without what asked the engine to rerank.
#[derive(Clone, Debug, PartialEq)]
pub struct Served {
    /// What stands for the client's search.
    pub instead: Widened,
    /// What it said.
    pub own: Own,
}

/// Returns what stands for `search`, where there is anything in it that the rule serves.
pub fn serve(search: &Search<'_>, rule: &Rule) -> Option<Served> {
    if !rule.serves() {
        return None;
    }
    let request = plan::read(search).ok()?;
    let body = request.body().ok()?;
    let found = match body.get("retriever") {
        Some(tree) if rule.serve_retrievers => retriever::reranker(tree).map(|reranker| (tree, reranker)),
        _ => None,
    };
    let rerank = if rule.ext_rerank == ExtRerank::Serve { ext::served(&body) } else { None };
    if found.is_none() && rerank.is_none() {
        return None;
    }
    let mut own = Own::default();
    let mut edit_of_ext = Edit::Keep;
    if let Some((text, edit)) = rerank {
        own.explicit = Some(text);
        edit_of_ext = edit;
    }
    let mut edit_of_tree = Edit::Keep;
    if let Some((tree, reranker)) = &found {
        own.take(reranker, rule);
        edit_of_tree = Edit::Replace(without(tree, reranker)?);
    }
    let layout = Layout::of_object(request.json()).ok()?;
    let mut edits = Vec::with_capacity(layout.items().len());
    for item in layout.items() {
        edits.push(match item.key.as_ref() {
            "ext" => std::mem::replace(&mut edit_of_ext, Edit::Keep),
            "retriever" => std::mem::replace(&mut edit_of_tree, Edit::Keep),
            _ => Edit::Keep,
        });
    }
    let mut left = String::with_capacity(request.json().len());
    layout.write(&edits, None, &mut left);
    let target = search.path.to_owned() + &request.params.without(&IN_URL);
    let content_type = search.content_type.is_none().then(|| media::of_body(search.accept).to_owned());
    Some(Served { instead: Widened { target, content_type, body: left.into_bytes() }, own })
}

/// Returns the tree with the child of the reranking retriever in its place.
fn without(tree: &RawValue, reranker: &Reranker<'_>) -> Option<String> {
    let text = tree.get();
    let start = reranker.whole.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    let place: Range<usize> = start..start + reranker.whole.len();
    let left = format!("{}{}{}", text.get(..place.start)?, reranker.child, text.get(place.end..)?);
    json::object(&left).is_ok().then_some(left)
}

// === impl Own ===

impl Own {
    fn take(&mut self, reranker: &Reranker<'_>, rule: &Rule) {
        self.inference = FoundText::new(&reranker.text, &format!("/retriever{}", reranker.at));
        // A label sets fields apart from each other, and this one is alone.
        let budget = rule.fields.iter().find(|field| *field.name == *reranker.field).and_then(|field| field.max_tokens);
        self.fields = Some(vec![Field { name: Arc::from(&*reranker.field), label: None, max_tokens: budget }]);
        self.window = Some(reranker.window);
        self.min_score = reranker.min_score;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Own, Served, serve};
    use crate::{
        config::{ExtRerank, Rule},
        es::json::object,
        intercept::{
            plan::{FoundText, Hints, Search, plan, tests},
            widen::tests::check_untouched,
        },
    };

    const CHILD: &str = r#"{"standard":{"query":{"match":{"title":"x"}}}}"#;
    const RERANK: &str = r#""rerank":{"query_context":{"query_text":"asked"}}"#;

    fn serving() -> Rule {
        Rule { serve_retrievers: true, ext_rerank: ExtRerank::Serve, ..tests::rule() }
    }

    fn reranking(child: &str, more: &str) -> String {
        format!(r#"{{"text_similarity_reranker":{{"retriever":{child},"field":"body","inference_text":"wanted"{more}}}}}"#)
    }

    fn left(body: &str) -> Option<(String, Own)> {
        let Served { instead, own } = serve(&tests::search(None, body), &serving())?;
        assert_eq!((instead.target.as_str(), instead.content_type), ("/products/_search", None));
        Some((String::from_utf8(instead.body).expect("text"), own))
    }

    #[test]
    fn what_asks_the_engine_to_rerank_goes_and_all_else_stays_its_bytes() {
        let (body, own) =
            left(&format!("{{ \"size\" : 3 ,\n\"retriever\" : {} , \"min_score\":1.0 }}\n", reranking(CHILD, ""))).expect("served");
        assert_eq!(body, format!("{{ \"size\" : 3 ,\n\"retriever\" : {CHILD} , \"min_score\":1.0 }}"));
        assert_eq!((own.window, own.min_score, own.explicit), (Some(10), None, None));
        let at = "/retriever/text_similarity_reranker/inference_text".to_owned();
        assert_eq!(own.inference, Some(FoundText { text: "wanted".to_owned(), at }));
        assert_eq!(own.fields.map(|fields| fields[0].name.to_string()).as_deref(), Some("body"));
        for (before, after) in [
            (format!(r#"{{"query":{{}},"ext":{{{RERANK}}}}}"#), r#"{"query":{}}"#),
            (format!(r#"{{"ext":{{{RERANK}}},"query":{{}}}}"#), r#"{"query":{}}"#),
            (format!(r#"{{"ext":{{{RERANK},"ubi":{{}}}},"query":{{}}}}"#), r#"{"ext":{"ubi":{}},"query":{}}"#),
        ] {
            let (rest, said) = left(&before).expect("served");
            assert_eq!((rest.as_str(), said.explicit.map(|found| found.text).as_deref()), (after, Some("asked")));
        }
    }

    #[test]
    fn a_rule_serves_what_it_says_and_nothing_else() {
        let both = format!(r#"{{"retriever":{},"ext":{{{RERANK}}}}}"#, reranking(CHILD, ""));
        let of = |serve_retrievers, ext_rerank| {
            let rule = Rule { serve_retrievers, ext_rerank, ..tests::rule() };
            serve(&tests::search(None, &both), &rule).map(|served| String::from_utf8(served.instead.body).expect("text"))
        };
        assert_eq!(of(false, ExtRerank::Forward), None);
        assert_eq!(of(true, ExtRerank::Forward), Some(format!(r#"{{"retriever":{CHILD},"ext":{{{RERANK}}}}}"#)));
        assert_eq!(of(false, ExtRerank::Serve), Some(format!(r#"{{"retriever":{}}}"#, reranking(CHILD, ""))));
        assert_eq!(of(true, ExtRerank::Serve), Some(format!(r#"{{"retriever":{CHILD}}}"#)));
        for body in ["", "{", "{}", r#"{"query":{"match":{"a":"x"}}}"#, r#"{"retriever":3,"ext":[]}"#] {
            assert_eq!(left(body), None, "{body}");
        }
    }

    #[test]
    fn a_search_in_the_url_goes_into_the_body() {
        let query =
            format!("source=%7B%22ext%22:%7B{}%7D,%22size%22:3%7D&source_content_type=application/json&q=x", RERANK.replace('"', "%22"));
        let served = serve(&tests::search(Some(&query), ""), &serving()).expect("served").instead;
        assert_eq!((served.target.as_str(), served.body.as_slice()), ("/products/_search?q=x", br#"{"size":3}"#.as_slice()));
        assert_eq!(served.content_type.as_deref(), Some("application/json"));
    }

    #[test]
    fn what_the_search_says_goes_before_the_rule() {
        let body = format!(r#"{{"retriever":{}}}"#, reranking(CHILD, r#","rank_window_size":30,"min_score":0.5"#));
        let rule = Rule { min_score: Some(0.1), ..serving() };
        let planned = |query: Option<&str>, own_rule: &Rule| {
            let Served { instead, own } = serve(&tests::search(None, &body), own_rule).expect("served");
            plan(&Search { own: Some(&own), body: &instead.body, ..tests::search(query, &body) }, own_rule, &Hints::default())
                .expect("reranked")
        };
        let found = planned(None, &rule);
        assert_eq!((found.fetch, found.ranked, found.min_score(&rule)), (30, 30, Some(0.5)));
        assert_eq!((found.query_text.text.as_str(), &*found.fields(&rule)[0].name), ("wanted", "body"));
        assert_eq!(planned(None, &Rule { window: 20, ..rule.clone() }).fetch, 20, "the rule says how much work there may be");
        assert_eq!(planned(Some("q=typed"), &rule).query_text.text, "typed");
        let other = serve(&tests::search(None, &body.replace("wanted", "else")), &rule).expect("served");
        let else_asked = Search { own: Some(&other.own), body: &other.instead.body, ..tests::search(None, &body) };
        let else_planned = plan(&else_asked, &rule, &Hints::default()).expect("reranked");
        assert_ne!(found.pin_subject, else_planned.pin_subject, "another question is another search");
    }

    fn any_query() -> impl Strategy<Value = String> {
        let leaves = vec![
            r#"{"match":{"title":{"query" :"a\u0062 ]}"}}}"#,
            r#"{"multi_match":{"query":"red","fields":["a"]}}"#,
            r#"{"query_string":{"query":"a:(b OR \"c d\")~2"}}"#,
            r#"{"term":{"a":9007199254740993}}"#,
            r#"{"knn":{"field":"v","k":5,"query_vector":[1.0,1e400]}}"#,
            r#"{"knn":{"v":{"vector":[1]}}}"#,
            r#"{"neural":{"v":{"query_text":"n"}}}"#,
            r#"{"semantic":{"field":"s","query":"s"}}"#,
            r#"{"wrapper":{"query":"eyJtYXRjaCI6eyJhIjoieCJ9fQ=="}}"#,
            r#"{"wrapper":{"query":"%%%"}}"#,
            r#"{"function_score":{"random_score":{}}}"#,
            r#"{"intervals":{"a":{"any_of":{"intervals":[{"match":{"query":"i"}}]}}}}"#,
            r#"{"unheard_of":{}}"#,
            "{}",
            "null",
        ];
        prop::sample::select(leaves).prop_map(str::to_owned).prop_recursive(5, 40, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4)
                    .prop_map(|all| format!(r#"{{"bool":{{"must":[{}],"boost":1.0}}}}"#, all.join(" , "))),
                prop::collection::vec(inner.clone(), 0..4).prop_map(|all| format!(r#"{{"hybrid":{{"queries":[{}]}}}}"#, all.join(","))),
                (inner.clone(), inner.clone())
                    .prop_map(|(one, other)| format!(r#"{{"boosting":{{"positive":{one},"negative":{other}}}}}"#)),
                inner.clone().prop_map(|one| format!(r#"{{"nested":{{"path":"p","query":{one}}}}}"#)),
                inner.prop_map(|one| format!(r#"{{"rule":{{"match_criteria":{{"user_query":"r"}},"organic":{one}}}}}"#)),
            ]
        })
    }

    fn any_tree() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            any_query().prop_map(|query| format!(r#"{{"standard":{{"query":{query} }}}}"#)),
            Just(r#"{"knn":{"field":"v","k":5,"num_candidates":9,"query_vector":[1]}}"#.to_owned()),
            Just(r#"{"unheard_of":[]}"#.to_owned()),
        ];
        leaf.prop_recursive(5, 20, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(|all| format!(r#"{{"rrf":{{"retrievers":[ {} ],"rank_window_size":30}}}}"#, all.join(","))),
                inner.clone().prop_map(|one| format!(r#"{{"linear":{{"retrievers":[{{"retriever":{one},"weight":2.0}}]}}}}"#)),
                inner.clone().prop_map(|one| format!(r#"{{"pinned":{{"ids":["1"],"retriever" : {one}}}}}"#)),
                inner.clone().prop_map(|one| format!(r#"{{"rescorer":{{"retriever":{one},"rescore":{{"window_size":20,"query":{{"rescore_query":{{"match_all":{{}}}}}}}}}}}}"#)),
                (inner, any::<bool>()).prop_map(|(one, filtered)| reranking(&one, if filtered { r#","filter":[{"term":{"a":1.0}}]"# } else { "" })),
            ]
        })
    }

    proptest! {
        /// Whatever is searched for: what is served holds nothing to rerank, and what is planned is rewritten at its page and fields alone.
        #[test]
        fn any_search_is_served_planned_and_widened_without_harm(
            query in prop::option::of(any_query()),
            tree in prop::option::of(any_tree()),
            beside in prop::sample::select(vec!["", r#","size":3,"from" : 2"#, r#","_source":false"#, r#","knn":{"field":"v"},"suggest":{"text":"s"}"#, r#","ext":{"ubi":{"user_query":"u"}}"#]),
            serves: bool,
        ) {
            let entries = [query.map(|query| format!(r#""query":{query}"#)), tree.map(|tree| format!(r#" "retriever" : {tree}"#))];
            let body = format!(r#"{{"min_score":1.0,{}"track_scores":true{beside}}}"#, entries.into_iter().flatten().map(|entry| entry + ",").collect::<String>());
            let rule = Rule { serve_retrievers: serves, ..serving() };
            let served = serve(&tests::search(None, &body), &rule);
            let own = served.as_ref().map(|served| &served.own);
            let left = served.as_ref().map_or(body.as_bytes(), |served| &served.instead.body);
            if served.is_some() {
                prop_assert!(serves && !String::from_utf8_lossy(left).contains("text_similarity_reranker"));
            }
            let asked = Search { own, body: left, ..tests::search(None, &body) };
            if let Ok(plan) = plan(&asked, &rule, &Hints::default()) {
                check_untouched(&asked, &plan);
            }
        }

        #[test]
        fn every_other_entry_keeps_its_bytes_and_its_place(places in Just((0..6).collect::<Vec<usize>>()).prop_shuffle(), count in 0_usize..6, space in "[ \n\t]{0,2}") {
            let tree = format!(r#""retriever":{}"#, reranking(CHILD, ""));
            let ext = format!(r#""ext" : {{"ubi":{{"x" : 1.0}},{space}{RERANK}}}"#);
            let entries = [r#""from": 3"#, r#""min_score" :1.0"#, r#""t\u0069meout":"}],\"""#, r#""aggs":{"b":[1e400,{}]}"#, &tree, &ext];
            let written: Vec<&str> = places.iter().take(count).map(|place| entries[*place]).collect();
            let body = format!("{space}{{{space}{}{space}}}{space}", written.join(&format!("{space},{space}")));
            let kept = |text: &str| {
                let read = object(text).expect("json");
                let others = read.entries().iter().filter(|(key, _)| key != "retriever" && key != "ext");
                others.map(|(key, value)| (key.clone().into_owned(), value.get().to_owned())).collect::<Vec<_>>()
            };
            if let Some((after, _)) = left(&body) {
                prop_assert_eq!(kept(&after), kept(&body));
                prop_assert!(!after.contains("rerank"), "{}", after);
                prop_assert_eq!(after.contains("ubi"), body.contains("ubi"));
            } else {
                prop_assert!(!body.contains("rerank"));
            }
        }
    }
}
