//! The table of query kinds and retrievers: where each holds its text, and which others it holds.
//!
//! To support one more kind, add a row to [`KINDS`] or [`RETRIEVERS`], and one to `docs/compatibility.md`. A kind without a row
//! keeps the search from being rewritten.
//!
//! Sources: `ES` stands for `elastic.co/docs/reference/query-languages/query-dsl/query-dsl-`, `ESR` for
//! `elastic.co/docs/reference/elasticsearch/rest-apis/retrievers/`, `OS` for `docs.opensearch.org/latest/query-dsl/`.

use super::query_syntax::Dialect;

use Kind::{FunctionScore, Holds, InFields, InKey, Inner, Intervals, Joins, Nearest, Silent, Syntax, TermsInFields, Wrapped};
use Part::{
    Builder, Criteria, Cursor, Entries, Fusion, Kept, Neighbours, Order, Queries, Rescorers, Retriever, Stops, SubSearches, Suggesters,
    Text, Window,
};
use Role::{Aside, Filters, Scores};
use Trust::{Exact, Full, Natural};

/// What a part of a query is for. The worst of a query and of all that hold it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// Its text says what is wanted.
    Scores,
    /// It only lets through; its text counts where the rule says so.
    Filters,
    /// Its text never counts.
    Aside,
}

/// How much a text is worth; only the best that were found count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trust {
    /// An exact value: counts when there is nothing else.
    Exact,
    /// What is to be suggested for.
    Suggested,
    /// Typed by the searcher, as far as one can tell.
    Full,
    /// Written for a model that reads whole sentences.
    Natural,
    /// Given as the searcher's words (`match_criteria`).
    Explicit,
}

/// How the text of a kind of query is found.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// No text, no queries inside.
    Silent,
    /// `{"key": "text"}`
    InKey(&'static str, Trust),
    /// `{"key": "text with operators"}`
    Syntax(&'static str, Dialect),
    /// `{"field": "text"}` or `{"field": {"key": "text"}}`, the first of these keys
    InFields(&'static [&'static str], Trust),
    /// `{"field": ["text", ..]}`: one exact text
    TermsInFields,
    /// These parts.
    Holds(&'static [(&'static str, Part)]),
    /// The same, whose texts are parts of one.
    Joins(&'static [(&'static str, Part)]),
    /// `query` and `functions`
    FunctionScore,
    /// A tree of [`INTERVALS`].
    Intervals,
    /// Vectors, `{"field": "name", ..}` or `{"name": {..}}`, with [`NEAREST`]: as many as one of [`BOUNDS`] says, or as are asked for.
    Nearest,
    /// A query itself, with `${..}` where texts may stand.
    Inner,
    /// `{"query": ".."}`, a query in base64.
    Wrapped,
}

/// What stands under one key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    /// Queries, alone or in an array.
    Queries(Role),
    /// A text.
    Text(Trust),
    /// Texts by names of the application's.
    Criteria,
    /// A model that makes a vector of a text.
    Builder,
    /// A retriever.
    Retriever,
    /// Retrievers, bare or as `{"retriever": .., "weight": ..}`.
    Entries,
    /// `rank_window_size`: how many hits there are, 10 where it is absent.
    Window,
    /// Rescorers, whose smallest window says how many hits there are.
    Rescorers,
    /// Searches for neighbours, alone or in an array.
    Neighbours,
    /// Searches in an array, each with its `query`.
    SubSearches,
    /// How several searches become one ranking, with a window of its own.
    Fusion,
    /// What is to be suggested, and for which text.
    Suggesters,
    /// An explicit order, where the retriever is the outermost.
    Order,
    /// A cursor.
    Cursor,
    /// What ends the search before all hits were seen.
    Stops,
    /// Anything: it has no text, and its effect survives the rewrite.
    Kept,
}

/// One kind of query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// Its name.
    pub(super) name: &'static str,
    /// Where its text is.
    pub(super) kind: Kind,
    /// Whether its first hits stay the same when more are asked for.
    pub(super) widens: bool,
    /// Where it is documented; names the engines that have it.
    #[cfg_attr(not(test), expect(dead_code, reason = "read by people, and by the test that compares the table with the document"))]
    pub(super) source: &'static str,
}

const fn row(name: &'static str, kind: Kind, source: &'static str) -> Row {
    Row { name, kind, widens: true, source }
}

/// A kind whose first hits change with their number.
const fn page(name: &'static str, kind: Kind, source: &'static str) -> Row {
    Row { name, kind, widens: false, source }
}

/// Every kind of query that may be rewritten.
pub(super) const KINDS: &[Row] = &[
    // full text
    row("match", InFields(&["query"], Full), "ES match-query; OS full-text/match"),
    row("match_phrase", InFields(&["query"], Full), "ES match-query-phrase; OS full-text/match-phrase"),
    row("match_phrase_prefix", InFields(&["query"], Full), "ES match-query-phrase-prefix; OS full-text/match-phrase-prefix"),
    row("match_bool_prefix", InFields(&["query"], Full), "ES match-bool-prefix-query; OS full-text/match-bool-prefix"),
    row("multi_match", InKey("query", Full), "ES multi-match-query; OS full-text/multi-match"),
    row("combined_fields", InKey("query", Full), "ES combined-fields-query; OS full-text/combined-fields"),
    row("query_string", Syntax("query", Dialect::Lucene), "ES query-string-query; OS full-text/query-string"),
    row("simple_query_string", Syntax("query", Dialect::Simple), "ES simple-query-string-query; OS full-text/simple-query-string"),
    row("kql", Syntax("query", Dialect::Kql), "ES kql-query"),
    row("intervals", Intervals, "ES intervals-query; OS full-text/intervals"),
    row("more_like_this", InKey("like", Full), "ES mlt-query; OS specialized/more-like-this"),
    // natural language
    page("semantic", InKey("query", Natural), "ES semantic-query: a dense model finds as many as are asked for"),
    row("sparse_vector", InKey("query", Natural), "ES sparse-vector-query"),
    row("text_expansion", InFields(&["model_text"], Natural), "ES text-expansion-query"),
    row("weighted_tokens", Silent, "ES weighted-tokens-query"),
    row("neural_sparse", InFields(&["query_text"], Natural), "OS specialized/neural-sparse"),
    row("neural", Nearest, "OS specialized/neural"),
    row("knn", Nearest, "ES knn-query; OS specialized/k-nn/index"),
    page("agentic", InKey("query_text", Natural), "OS specialized/agentic: a model writes the query"),
    // spans, joined in their order
    row("span_term", InFields(&["value", "term"], Full), "ES span-term-query; OS span/span-term"),
    row("span_near", Joins(&[("clauses", Queries(Scores))]), "ES span-near-query; OS span/span-near"),
    row("span_or", Joins(&[("clauses", Queries(Scores))]), "ES span-or-query; OS span/span-or"),
    row("span_not", Joins(&[("include", Queries(Scores)), ("exclude", Queries(Aside))]), "ES span-not-query; OS span/span-not"),
    row("span_first", Joins(&[("match", Queries(Scores))]), "ES span-first-query; OS span/span-first"),
    row("span_containing", Joins(SPANS_OF_TWO), "ES span-containing-query; OS span/span-containing"),
    row("span_within", Joins(SPANS_OF_TWO), "ES span-within-query; OS span/span-within"),
    row("span_multi", Joins(&[("match", Queries(Scores))]), "ES span-multi-term-query; OS span/span-multi-term"),
    row("span_field_masking", Joins(&[("query", Queries(Scores))]), "ES span-field-masking-query"),
    row("field_masking_span", Joins(&[("query", Queries(Scores))]), "ES span-field-masking-query; OS span/span-field-masking"),
    row("span_gap", Silent, "ES span-near-query; OS span/span-near"),
    // exact values, when there is nothing else
    row("term", InFields(&["value"], Exact), "ES term-query; OS term/term"),
    row("terms", TermsInFields, "ES terms-query; OS term/terms"),
    row("prefix", InFields(&["value"], Exact), "ES prefix-query; OS term/prefix"),
    row("wildcard", InFields(&["value", "wildcard"], Exact), "ES wildcard-query; OS term/wildcard"),
    row("regexp", InFields(&["value"], Exact), "ES regexp-query; OS term/regexp"),
    row("fuzzy", InFields(&["value"], Exact), "ES fuzzy-query; OS term/fuzzy"),
    // containers
    row("bool", Holds(BOOL), "ES bool-query; OS compound/bool"),
    row("dis_max", Holds(&[("queries", Queries(Scores))]), "ES dis-max-query; OS compound/disjunction-max"),
    row("boosting", Holds(&[("positive", Queries(Scores)), ("negative", Queries(Aside))]), "ES boosting-query; OS compound/boosting"),
    row("constant_score", Holds(&[("filter", Queries(Scores))]), "ES constant-score-query; OS compound/constant-score"),
    row("function_score", FunctionScore, "ES function-score-query; OS compound/function-score"),
    row("script_score", Holds(&[("query", Queries(Scores))]), "ES script-score-query; OS specialized/script-score"),
    row("nested", Holds(&[("query", Queries(Scores))]), "ES nested-query; OS joining/nested"),
    row("has_child", Holds(&[("query", Queries(Scores))]), "ES has-child-query; OS joining/has-child"),
    row("has_parent", Holds(&[("query", Queries(Scores))]), "ES has-parent-query; OS joining/has-parent"),
    row("pinned", Holds(&[("organic", Queries(Scores))]), "ES pinned-query"),
    row("rule", Holds(&[("match_criteria", Criteria), ("organic", Queries(Scores))]), "ES rule-query"),
    row("rule_query", Holds(&[("match_criteria", Criteria), ("organic", Queries(Scores))]), "ES rule-query, before 8.15"),
    page("hybrid", Holds(&[("queries", Queries(Scores)), ("filter", Queries(Filters))]), "OS compound/hybrid"),
    page("template", Inner, "OS specialized/template: a search pipeline fills it in"),
    row("wrapper", Wrapped, "ES wrapper-query; OS specialized/wrapper"),
    // without text
    row("distance_feature", Silent, "ES distance-feature-query; OS specialized/distance-feature"),
    row("exists", Silent, "ES exists-query; OS term/exists"),
    row("geo_bounding_box", Silent, "ES geo-bounding-box-query; OS geo-and-xy/geo-bounding-box"),
    row("geo_distance", Silent, "ES geo-distance-query; OS geo-and-xy/geodistance"),
    row("geo_grid", Silent, "ES geo-grid-query"),
    row("geo_polygon", Silent, "ES geo-polygon-query; OS geo-and-xy/geopolygon"),
    row("geo_shape", Silent, "ES geo-shape-query; OS geo-and-xy/geoshape"),
    row("ids", Silent, "ES ids-query; OS term/ids"),
    row("match_all", Silent, "ES match-all-query; OS match-all"),
    row("match_none", Silent, "ES match-all-query; OS match-all"),
    row("parent_id", Silent, "ES parent-id-query; OS joining/parent-id"),
    row("percolate", Silent, "ES percolate-query; OS specialized/percolate"),
    row("range", Silent, "ES range-query; OS term/range"),
    row("rank_feature", Silent, "ES rank-feature-query; OS specialized/rank-feature"),
    row("script", Silent, "ES script-query; OS specialized/script"),
    row("shape", Silent, "ES shape-query"),
    row("sltr", Silent, "OS ../search-plugins/ltr; ES the plugin elasticsearch-learning-to-rank"),
    row("terms_set", Silent, "ES terms-set-query; OS term/terms-set"),
    row("xy_shape", Silent, "OS geo-and-xy/xy"),
];

const BOOL: &[(&str, Part)] =
    &[("must", Queries(Scores)), ("should", Queries(Scores)), ("filter", Queries(Filters)), ("must_not", Queries(Filters))];
const SPANS_OF_TWO: &[(&str, Part)] = &[("big", Queries(Scores)), ("little", Queries(Scores))];

/// Where a search's body holds queries and texts, beside `ext`.
pub(super) const CARRIERS: &[(&str, Part)] = &[
    ("query", Queries(Scores)),
    ("retriever", Retriever),
    ("knn", Neighbours),
    ("sub_searches", SubSearches),
    ("rank", Fusion),
    ("post_filter", Queries(Aside)),
    ("suggest", Suggesters),
];

/// One kind of retriever: its keys, all of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetrieverRow {
    /// Its name.
    pub(super) name: &'static str,
    /// What stands under its keys.
    pub(super) parts: &'static [(&'static str, Part)],
    /// Where it is documented.
    #[cfg_attr(not(test), expect(dead_code, reason = "read by people, and by the test that compares the table with the document"))]
    pub(super) source: &'static str,
}

const fn retriever(name: &'static str, parts: &'static [(&'static str, Part)], source: &'static str) -> RetrieverRow {
    RetrieverRow { name, parts, source }
}

/// The retriever that reranks.
pub(super) const RERANKER: &str = "text_similarity_reranker";

/// Every retriever that may be rewritten; `text_similarity_reranker` is served or left to the engine.
#[rustfmt::skip]
pub(super) const RETRIEVERS: &[RetrieverRow] = &[
    retriever("standard", &[("query", Queries(Scores)), ("sort", Order), ("search_after", Cursor), ("terminate_after", Stops)], "ESR standard-retriever"),
    retriever("knn", &[("query_vector_builder", Builder), ("field", Kept), ("k", Kept), ("num_candidates", Kept), ("query_vector", Kept), ("similarity", Kept), ("rescore_vector", Kept), ("visit_percentage", Kept)], "ESR knn-retriever"),
    retriever("rrf", &[("retrievers", Entries), ("query", Text(Full)), ("fields", Kept), ("rank_constant", Kept), ("rank_window_size", Window)], "ESR rrf-retriever"),
    retriever("linear", &[("retrievers", Entries), ("query", Text(Full)), ("fields", Kept), ("normalizer", Kept), ("rank_window_size", Window)], "ESR linear-retriever"),
    retriever("rule", &[("retriever", Retriever), ("match_criteria", Criteria), ("ruleset_ids", Kept), ("rank_window_size", Window)], "ESR rule-retriever"),
    retriever("pinned", &[("retriever", Retriever), ("ids", Kept), ("docs", Kept), ("rank_window_size", Window)], "ESR pinned-retriever"),
    retriever("rescorer", &[("retriever", Retriever), ("rescore", Rescorers)], "ESR rescorer-retriever"),
    retriever("diversify", &[("retriever", Retriever), ("query_vector_builder", Builder), ("type", Kept), ("field", Kept), ("size", Kept), ("lambda", Kept), ("query_vector", Kept), ("rank_window_size", Window)], "ESR diversify-retriever"),
];

/// Keys of every retriever.
pub(super) const OF_EVERY_RETRIEVER: &[(&str, Part)] = &[("filter", Queries(Filters)), ("min_score", Kept), ("_name", Kept)];

/// Keys of a reranking retriever that may be served, and what they hold; any other leaves it to the engine.
pub(super) const OF_A_RERANKER: &[&str] = &[
    "retriever",
    "field",
    "inference_text",
    "inference_id",
    "rank_window_size",
    "min_score",
    "filter",
    "allow_rerank_failures",
    "chunk_rescorer",
];

/// Where a text stands in options of [`Kind::Nearest`].
pub(super) const NEAREST: &[(&str, Part)] =
    &[("query_text", Text(Natural)), ("query_vector_builder", Builder), ("filter", Queries(Filters))];

/// What says how many neighbours are looked for, whatever the search's size is.
pub(super) const BOUNDS: &[&str] = &["k", "max_distance", "min_score"];

/// Where a vector builder holds its text: its name, and the key.
pub(super) const BUILDERS: &[(&str, &str)] = &[("text_embedding", "model_text")];

/// Where a suggester holds its text, the first of these keys.
pub(super) const SUGGESTED: &[&str] = &["text", "prefix"];

/// Rules of `intervals` and the keys of their texts; what holds rules itself holds them under `intervals`.
pub(super) const INTERVALS: &[(&str, &str)] = &[("match", "query"), ("prefix", "prefix"), ("wildcard", "pattern"), ("fuzzy", "term")];
pub(super) const INTERVAL_GROUPS: &[&str] = &["all_of", "any_of"];

/// What stands beside the field in a query on one field.
pub(super) const BESIDE_FIELDS: &[&str] = &["_name", "boost", "case_insensitive", "rewrite", "value_type"];

#[cfg(test)]
pub(super) mod tests {
    use std::{collections::HashSet, sync::LazyLock};

    use super::{KINDS, RERANKER, RETRIEVERS};

    static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/compatibility.md");
        let document = std::fs::read_to_string(path).expect("docs/compatibility.md is there");
        let (_, section) = document.split_once("\n## Query text\n").expect("it has the section");
        section.split("\n## ").next().unwrap_or_default().to_owned()
    });

    /// Asserts that the row of `what` stands in the document, and that it has a source.
    pub(in crate::es) fn documented(what: &str, source: &str) {
        let row = DOCUMENT.lines().find(|line| line.starts_with(&format!("| {what} |")));
        let row = row.unwrap_or_else(|| panic!("{what} has no row in docs/compatibility.md"));
        assert!(row.contains("::") && row.split('|').count() == 6, "{row}");
        assert!(!source.is_empty(), "{what} has no source");
    }

    #[test]
    fn every_kind_stands_once_and_in_the_document() {
        let mut names = HashSet::new();
        for row in KINDS {
            assert!(names.insert(row.name), "{} stands twice", row.name);
            documented(&format!("`{}`", row.name), row.source);
            let line = DOCUMENT.lines().find(|line| line.starts_with(&format!("| `{}` |", row.name))).expect("just found");
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            for (engine, cell) in [("ES", cells[2]), ("OS", cells[3])] {
                let has = row.source.split("; ").any(|source| source.starts_with(engine)) || row.source.ends_with(engine);
                assert_eq!(has, cell != "n/a", "{line}");
                assert!(!has || row.widens != (cell == "page only"), "{line}");
            }
        }
    }

    #[test]
    fn every_retriever_stands_once_and_in_the_document() {
        let mut names = HashSet::from([RERANKER]);
        for row in RETRIEVERS {
            assert!(names.insert(row.name), "{} stands twice", row.name);
            documented(&format!("retriever `{}`", row.name), row.source);
        }
        documented(&format!("retriever `{RERANKER}`"), "ESR text-similarity-reranker-retriever");
    }
}
