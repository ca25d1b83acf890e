//! Walks the tree of retrievers (Elasticsearch 8.14 and later), and takes the reranking one out where Podium does its work.
//!
//! Which kinds there are, and what their keys mean, is in [`query_kinds`](super::query_kinds). A tree that holds one retriever twice
//! or a kind without a row is left to the engine.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    json::{self, Kind, Object},
    query_kinds::{OF_A_RERANKER, OF_EVERY_RETRIEVER, Part, RERANKER, RETRIEVERS, RetrieverRow, Role},
    query_text::{Flaw, MOST_READ, Survey},
    request,
};

/// `rank_window_size` where it is absent (`RankBuilder.DEFAULT_RANK_WINDOW_SIZE`).
const WINDOW: usize = 10;
/// How deep a reranking retriever is looked for.
const MOST_DEPTH: usize = 64;

/// A `text_similarity_reranker` whose work can be done elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Reranker<'a> {
    /// What it reads of a hit.
    pub field: Cow<'a, str>,
    /// What it asks the model.
    pub text: Cow<'a, str>,
    /// How many hits it ranks.
    pub window: usize,
    /// The least score of a hit that stays.
    pub min_score: Option<f64>,
    /// Where `text` stands: a JSON pointer, seen from the tree.
    pub at: String,
    /// The retriever as it stands, its name included.
    pub whole: &'a str,
    /// What stands in its place when it is gone: its child, which takes over its filter.
    pub child: String,
}

// === impl Survey ===

impl Survey {
    pub(super) fn retriever(&mut self, value: &RawValue, role: Role) {
        self.deeper(|survey| {
            let Some(retriever) = survey.object(value) else { return };
            let [(name, body)] = retriever.entries() else { return survey.mark(Flaw::Foreign) };
            if name == RERANKER {
                return survey.mark(Flaw::Reranked);
            }
            let Some((row, options)) = row(name).zip(survey.object(body)) else { return survey.mark(Flaw::Foreign) };
            let known = |key: &str| row.parts.iter().chain(OF_EVERY_RETRIEVER).any(|(own, _)| *own == key);
            if !options.entries().iter().all(|(key, _)| known(key)) {
                return survey.mark(Flaw::Foreign);
            }
            survey.retrievers += 1;
            survey.within(name, |inner| {
                inner.parts(&options, row.parts, role);
                inner.parts(&options, OF_EVERY_RETRIEVER, role);
            });
            survey.retrievers -= 1;
        });
    }

    /// One of `retrievers`: bare, or with what weighs it.
    pub(super) fn entry(&mut self, value: &RawValue, role: Role) {
        match self.object(value).and_then(|entry| entry.get("retriever")) {
            Some(retriever) => self.within("retriever", |survey| survey.retriever(retriever, role)),
            None => self.retriever(value, role),
        }
    }

    /// Reads what says how a retriever ranks, or how many hits it gives, which may be said by its absence.
    pub(super) fn ranks(&mut self, options: &Object<'_>, key: &str, part: Part) {
        match part {
            Part::Window => match options.get(key).map_or(Some(WINDOW), request::count) {
                Some(window) => self.bound(window),
                None => self.mark(Flaw::Foreign),
            },
            Part::Rescorers => match request::rescorers(options) {
                Ok((queries, window)) => {
                    queries.into_iter().for_each(|query| self.aside(query));
                    self.bound(window.unwrap_or(WINDOW));
                }
                Err(_) => self.mark(Flaw::Foreign),
            },
            _ if self.retrievers < 2 && !request::sorts_by_score(options) => self.mark(Flaw::Sorted),
            _ => {}
        }
    }

    /// `rank` (Elasticsearch 8.8 to 8.15): `rrf` alone, whose window is a bound as a retriever's is.
    pub(super) fn fusion(&mut self, value: &RawValue) {
        let Some(rank) = self.object(value) else { return };
        let [(name, options)] = rank.entries() else { return self.mark(Flaw::Foreign) };
        let Some(options) = self.object(options).filter(|_| name == "rrf") else { return self.mark(Flaw::Foreign) };
        for (key, number) in options.entries() {
            match (key.as_ref(), request::count(number)) {
                ("rank_window_size" | "window_size", Some(window)) => self.bound(window),
                ("rank_constant", Some(_)) => {}
                _ => return self.mark(Flaw::Foreign),
            }
        }
        if !["rank_window_size", "window_size"].iter().any(|key| options.get(key).is_some()) {
            self.bound(WINDOW);
        }
    }
}

fn row(name: &str) -> Option<&'static RetrieverRow> {
    RETRIEVERS.iter().find(|row| row.name == name)
}

/// Returns the one reranking retriever in the tree that `retriever` is; none where there are several or what it says is not plain.
pub fn reranker(retriever: &RawValue) -> Option<Reranker<'_>> {
    let mut finder = Finder { found: Vec::new(), read: 0 };
    finder.find(retriever, "", 0);
    let [(whole, ref at)] = finder.found[..] else { return None };
    if finder.read > MOST_READ {
        return None;
    }
    let at = format!("{at}/inference_text");
    let (name, body) = only(whole)?;
    let options = json::object(body.get()).ok().filter(|_| name == RERANKER)?;
    let plain = options.entries().iter().all(|(key, _)| OF_A_RERANKER.contains(&key.as_ref()));
    let text = |key| options.get(key).and_then(json::string).filter(|text| !text.trim().is_empty());
    let window = options.get("rank_window_size").map_or(Some(WINDOW), request::count).filter(|window| *window > 0)?;
    let min_score = match options.get("min_score") {
        None => None,
        Some(number) => Some(number.get().parse::<f64>().ok().filter(|_| json::kind(number) == Kind::Number)?),
    };
    // It speaks of one of several lists, and Podium ranks what they become together.
    if min_score.is_some() && at.contains("/retrievers/") {
        return None;
    }
    let child = filtered(options.get("retriever")?, options.get("filter"))?;
    // A pattern would ask for fields that nobody could take out again.
    let is_one = |field: &Cow<'_, str>| !field.contains('*') && field.split('.').all(|part| !part.is_empty());
    let (field, text) = (text("field").filter(is_one)?, text("inference_text")?);
    plain.then(|| Reranker { field, text, window, min_score, at, whole: whole.get(), child })
}

/// Looks for reranking retrievers in a tree.
struct Finder<'a> {
    /// Those that were found, inside others too, with JSON pointers to what they hold.
    found: Vec<(&'a RawValue, String)>,
    /// Bytes read on all levels.
    read: usize,
}

// === impl Finder ===

impl<'a> Finder<'a> {
    fn find(&mut self, retriever: &'a RawValue, at: &str, depth: usize) {
        self.read += 2 * retriever.get().len();
        let Some((name, body)) = only(retriever).filter(|_| depth < MOST_DEPTH && self.read <= MOST_READ) else { return };
        let Ok(options) = json::object(body.get()) else { return };
        let own = format!("{at}/{name}");
        if name == RERANKER {
            self.found.push((retriever, own.clone()));
        }
        let parts: &[(&str, Part)] =
            if name == RERANKER { &[("retriever", Part::Retriever)] } else { row(&name).map_or(&[][..], |row| row.parts) };
        for (key, part) in parts {
            match (options.get(key), part) {
                (Some(child), Part::Retriever) => self.find(child, &format!("{own}/{key}"), depth + 1),
                (Some(children), Part::Entries) => {
                    for (place, entry) in json::array(children.get()).unwrap_or_default().into_iter().enumerate() {
                        let wrapped = json::object(entry.get()).ok().and_then(|named| named.get("retriever"));
                        let step = if wrapped.is_some() { "/retriever" } else { "" };
                        self.find(wrapped.unwrap_or(entry), &format!("{own}/{key}/{place}{step}"), depth + 1);
                    }
                }
                _ => {}
            }
        }
    }
}

/// Returns the one entry of an object.
fn only(value: &RawValue) -> Option<(Cow<'_, str>, &RawValue)> {
    match json::object(value.get()).ok()?.entries() {
        [(name, body)] => Some((name.clone(), body)),
        _ => None,
    }
}

/// Returns a retriever that lets through what `filter` lets through too: Elasticsearch hands a compound's filter to its children.
fn filtered(child: &RawValue, filter: Option<&RawValue>) -> Option<String> {
    let Some(filter) = filter else { return Some(child.get().to_owned()) };
    let (name, body) = only(child)?;
    let options = json::object(body.get()).ok().filter(|_| row(&name).is_some())?;
    let text = child.get();
    let at = |value: &RawValue| value.get().as_ptr().addr() - text.as_ptr().addr();
    Some(match options.get("filter") {
        Some(own) => {
            let both = [elements(filter), elements(own)].into_iter().filter(|one| !one.trim().is_empty()).collect::<Vec<_>>().join(",");
            format!("{}[{both}]{}", &text[..at(own)], &text[at(own) + own.get().len()..])
        }
        None => {
            let comma = if options.entries().is_empty() { "" } else { "," };
            let open = at(body) + 1;
            format!("{}\"filter\":{}{comma}{}", &text[..open], filter.get(), &text[open..])
        }
    })
}

fn elements(value: &RawValue) -> &str {
    let text = value.get();
    if json::kind(value) == Kind::Array { &text[1..text.len() - 1] } else { text }
}

#[cfg(test)]
mod tests {
    use super::{RERANKER, RETRIEVERS, Survey, reranker};
    use crate::es::{json::object, query_text::Flaw};

    const MATCH: &str = r#"{"standard":{"query":{"match":{"a":"x"}}}}"#;

    fn walked(retriever: &str) -> Survey {
        let mut survey = Survey::new(false);
        survey.search(&object(&format!(r#"{{"retriever":{retriever}}}"#)).unwrap_or_else(|error| panic!("{error}: {retriever}")));
        survey
    }

    /// A tree of each kind, the texts in it, and how many hits it gives at most.
    fn trees() -> Vec<(String, Vec<&'static str>, Option<usize>)> {
        let builder = r#""query_vector_builder":{"text_embedding":{"model_id":"m","model_text":"n l"}}"#;
        vec![
            (MATCH.to_owned(), vec!["x"], None),
            (
                r#"{"standard":{"query":{"match":{"a":"x"}},"filter":{"match":{"a":"f"}},"sort":["_score"],"min_score":1}}"#.to_owned(),
                vec!["x"],
                None,
            ),
            (format!(r#"{{"knn":{{"field":"v","k":5,"num_candidates":9,{builder}}}}}"#), vec!["n l"], None),
            (r#"{"knn":{"field":"v","k":5,"num_candidates":9,"query_vector":[1]}}"#.to_owned(), vec![], None),
            (
                format!(r#"{{"rrf":{{"retrievers":[{MATCH},{{"retriever":{MATCH},"weight":2}}],"rank_constant":1}}}}"#),
                vec!["x", "x"],
                Some(10),
            ),
            (
                format!(
                    r#"{{"linear":{{"retrievers":[{{"retriever":{MATCH},"weight":1,"normalizer":"minmax"}}],"rank_window_size":50}}}}"#
                ),
                vec!["x"],
                Some(50),
            ),
            (
                r#"{"linear":{"query":"red shoes","fields":["a^2","s"],"normalizer":"minmax","rank_window_size":20}}"#.to_owned(),
                vec!["red shoes"],
                Some(20),
            ),
            (r#"{"rrf":{"query":"red shoes","rank_window_size":7}}"#.to_owned(), vec!["red shoes"], Some(7)),
            (
                format!(r#"{{"rule":{{"retriever":{MATCH},"ruleset_ids":["r"],"match_criteria":{{"query_string":"typed"}}}}}}"#),
                vec!["typed"],
                Some(10),
            ),
            (format!(r#"{{"pinned":{{"retriever":{MATCH},"ids":["1"],"rank_window_size":30}}}}"#), vec!["x"], Some(30)),
            (
                format!(
                    r#"{{"rescorer":{{"retriever":{MATCH},"rescore":{{"window_size":40,"query":{{"rescore_query":{{"match":{{"a":"y"}}}}}}}}}}}}"#
                ),
                vec!["x"],
                Some(40),
            ),
            (
                format!(r#"{{"rescorer":{{"retriever":{MATCH},"rescore":[{{"query":{{"rescore_query":{{"match_all":{{}}}}}}}}]}}}}"#),
                vec!["x"],
                Some(10),
            ),
            (
                format!(r#"{{"diversify":{{"type":"mmr","field":"v","lambda":0.5,"size":5,"retriever":{MATCH},{builder}}}}}"#),
                vec!["n l"],
                Some(10),
            ),
            (
                format!(
                    r#"{{"rrf":{{"retrievers":[{{"linear":{{"retrievers":[{MATCH}],"rank_window_size":20}}}}],"rank_window_size":15}}}}"#
                ),
                vec!["x"],
                Some(15),
            ),
        ]
    }

    #[test]
    fn case_13_every_retriever_is_walked() {
        for (tree, found, window) in trees() {
            let survey = walked(&tree);
            assert_eq!((survey.window(), survey.widens()), (window, true), "{tree}");
            let texts: Vec<_> = survey.texts().unwrap_or_else(|flaw| panic!("{flaw}: {tree}")).into_iter().map(|text| text.text).collect();
            assert_eq!(texts, found, "{tree}");
        }
        for row in RETRIEVERS {
            assert!(trees().iter().any(|(tree, ..)| tree.contains(&format!("{{\"{}\":", row.name))), "{}", row.name);
        }
    }

    /// A child of a retriever with a window is asked for as many hits as that says; yet its neighbours follow the search's own size
    /// (seen on Elasticsearch 9.5.3).
    #[test]
    fn a_window_does_not_fix_what_children_look_for() {
        let semantic = r#"{"standard":{"query":{"semantic":{"field":"s","query":"x"}}}}"#;
        let rescore = r#""rescore":{"window_size":40,"query":{"rescore_query":{"match_all":{}}}}"#;
        for tree in [
            semantic.to_owned(),
            format!(r#"{{"rrf":{{"retrievers":[{semantic}]}}}}"#),
            format!(r#"{{"rescorer":{{"retriever":{semantic},{rescore}}}}}"#),
            r#"{"standard":{"query":{"match":{"a":"x"}},"terminate_after":9}}"#.to_owned(),
        ] {
            assert!(!walked(&tree).widens(), "{tree}");
        }
    }

    #[test]
    fn what_is_not_known_in_full_is_left_alone() {
        for (tree, flaw) in [
            (r#"{"unheard_of":{}}"#.to_owned(), Flaw::Foreign),
            ("{}".to_owned(), Flaw::Foreign),
            ("[]".to_owned(), Flaw::Foreign),
            (format!(r#"{{"rrf":{{"retrievers":[{MATCH}],"rank_window_size":"9"}}}}"#), Flaw::Foreign),
            (format!(r#"{{"rrf":{{"retrievers":[{MATCH}],"surprise":1}}}}"#), Flaw::Foreign),
            (r#"{"rrf":{"retrievers":[{"retriever":{"unheard_of":{}}}]}}"#.to_owned(), Flaw::Foreign),
            (format!(r#"{{"rescorer":{{"retriever":{MATCH},"rescore":{{"learning_to_rank":{{}}}}}}}}"#), Flaw::Foreign),
            (r#"{"standard":{"query":{"match":{"a":"x"}},"collapse":{"field":"b"}}}"#.to_owned(), Flaw::Foreign),
            (r#"{"standard":{"query":{"match":{"a":"x"}},"sort":["date"]}}"#.to_owned(), Flaw::Sorted),
            (r#"{"standard":{"query":{"match":{"a":"x"}},"search_after":[1]}}"#.to_owned(), Flaw::Cursor),
            (format!(r#"{{"rrf":{{"retrievers":[{{"{RERANKER}":{{}}}}]}}}}"#), Flaw::Reranked),
            (format!(r#"{{"pinned":{{"retriever":{MATCH},"retriever":{MATCH}}}}}"#), Flaw::NotJson),
        ] {
            assert_eq!(walked(&tree).texts(), Err(flaw), "{tree}");
        }
        let sorted = r#"{"rrf":{"retrievers":[{"standard":{"query":{"match":{"a":"x"}},"sort":["date"]}}]}}"#;
        assert!(walked(sorted).texts().is_ok(), "a child's order is not the answer's");
        let deep = format!("{}{MATCH}{}", r#"{"rrf":{"retrievers":[{"retriever":"#.repeat(80), "}]}}".repeat(80));
        assert_eq!(walked(&deep).texts(), Err(Flaw::Foreign));
    }

    fn served(retriever: &str) -> Option<(String, String, usize, Option<f64>, String)> {
        let body = format!(r#"{{"retriever":{retriever}}}"#);
        let read = object(&body).expect("json");
        let found = reranker(read.get("retriever")?)?;
        let after = body.replacen(found.whole, &found.child, 1);
        Some((found.field.into_owned(), found.text.into_owned(), found.window, found.min_score, after))
    }

    fn reranking(child: &str, more: &str) -> String {
        format!(r#"{{"{RERANKER}":{{"retriever":{child},"field":"t","inference_text":"q","inference_id":"i"{more}}}}}"#)
    }

    #[test]
    fn the_reranking_retriever_gives_way_to_its_child() {
        let kept = |window, min_score, after: String| Some(("t".to_owned(), "q".to_owned(), window, min_score, after));
        assert_eq!(served(&reranking(MATCH, "")), kept(10, None, format!(r#"{{"retriever":{MATCH}}}"#)));
        let options = r#","rank_window_size":50,"min_score":0.5,"allow_rerank_failures":true,"chunk_rescorer":{"size":1}"#;
        assert_eq!(served(&reranking(MATCH, options)), kept(50, Some(0.5), format!(r#"{{"retriever":{MATCH}}}"#)));
        let inside = |inner: &str| format!(r#"{{"rrf":{{"retrievers":[{{"retriever":{inner},"weight":2}},{MATCH}]}}}}"#);
        assert_eq!(served(&inside(&reranking(MATCH, ""))), kept(10, None, format!(r#"{{"retriever":{}}}"#, inside(MATCH))));
        let pinned = |inner: &str| format!(r#"{{"pinned":{{"ids":["1"],"retriever":{inner}}}}}"#);
        assert_eq!(served(&inside(&reranking(MATCH, r#","min_score":0.5"#))), None, "it speaks of one list of several");
        for field in ["*", "t*", "a..b", ".a"] {
            assert_eq!(served(&reranking(MATCH, "").replace(r#""t""#, &format!("\"{field}\""))), None, "{field}");
        }
        assert_eq!(served(&pinned(&reranking(MATCH, ""))), kept(10, None, format!(r#"{{"retriever":{}}}"#, pinned(MATCH))));
    }

    #[test]
    fn its_filter_goes_to_its_child() {
        let after = |child: &str, filter: &str| served(&reranking(child, &format!(r#","filter":{filter}"#))).map(|(.., after)| after);
        let term = r#"{"term":{"b":1}}"#;
        let standard = |options: &str| Some(format!(r#"{{"retriever":{{"standard":{options}}}}}"#));
        assert_eq!(after(MATCH, term), standard(&format!(r#"{{"filter":{term},"query":{{"match":{{"a":"x"}}}}}}"#)));
        assert_eq!(after(r#"{"standard":{}}"#, term), standard(&format!(r#"{{"filter":{term}}}"#)));
        assert_eq!(
            after(r#"{"standard":{"filter":[ {"ids":{}} ]}}"#, term),
            standard(&format!(r#"{{"filter":[{term}, {{"ids":{{}}}} ]}}"#))
        );
        assert_eq!(after(r#"{"standard":{"filter":{"ids":{}}}}"#, "[]"), standard(r#"{"filter":[{"ids":{}}]}"#));
        assert_eq!(after(r#"{"unheard_of":{}}"#, term), None);
    }

    #[test]
    fn what_cannot_be_served_in_full_is_the_engines() {
        for tree in [
            MATCH.to_owned(),
            "[]".to_owned(),
            reranking(&reranking(MATCH, ""), ""),
            format!(r#"{{"rrf":{{"retrievers":[{},{}]}}}}"#, reranking(MATCH, ""), reranking(MATCH, "")),
            reranking(MATCH, r#","_name":"n""#),
            reranking(MATCH, r#","rank_window_size":0"#),
            reranking(MATCH, r#","rank_window_size":"9""#),
            reranking(MATCH, r#","min_score":"9""#),
            reranking("3", r#","filter":{}"#),
            format!(r#"{{"{RERANKER}":{{"retriever":{MATCH},"inference_text":"q"}}}}"#),
            format!(r#"{{"{RERANKER}":{{"retriever":{MATCH},"field":"t","inference_text":" "}}}}"#),
            format!(r#"{{"{RERANKER}":{{"field":"t","inference_text":"q"}}}}"#),
            format!(r#"{{"unheard_of":{{"retriever":{}}}}}"#, reranking(MATCH, "")),
        ] {
            assert_eq!(served(&tree), None, "{tree}");
        }
    }
}
