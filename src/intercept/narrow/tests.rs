use std::{path::Path, sync::Arc};

use proptest::prelude::*;

use super::{Page, Reading, narrow, present, printed};
use crate::{
    es::{filter_path::Empty, response::SearchResponse},
    intercept::plan::{Hints, plan, tests},
    rerank::{Annotation, Arrangement, Ranking},
};

/// JSON whose leaves are their text.
#[derive(Clone, Debug)]
enum Json {
    Raw(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// How an answer is printed.
#[derive(Clone, Debug)]
enum Style {
    Compact,
    /// `?pretty` of both engines.
    Pretty,
    /// These pieces of white space in turn.
    Odd(Vec<&'static str>),
}

struct Printer<'a> {
    style: &'a Style,
    turn: usize,
    out: String,
}

impl Printer<'_> {
    fn space(&mut self, pretty: &str) {
        self.turn += 1;
        match self.style {
            Style::Compact => {}
            Style::Pretty => self.out.push_str(pretty),
            Style::Odd(pieces) => self.out.push_str(pieces[self.turn % pieces.len()]),
        }
    }

    fn level<T>(&mut self, [open, close]: [char; 2], depth: usize, items: &[T], mut item: impl FnMut(&mut Self, &T)) {
        let indent = |levels: usize| format!("\n{}", "  ".repeat(levels));
        self.out.push(open);
        for (place, one) in items.iter().enumerate() {
            if place > 0 {
                self.space("");
                self.out.push(',');
            }
            self.space(&indent(depth + 1));
            item(self, one);
        }
        self.space(&if items.is_empty() { " ".to_owned() } else { indent(depth) });
        self.out.push(close);
    }

    fn value(&mut self, value: &Json, depth: usize) {
        match value {
            Json::Raw(text) => self.out.push_str(text),
            Json::Array(items) => self.level(['[', ']'], depth, items, |own, item| own.value(item, depth + 1)),
            Json::Object(entries) => self.level(['{', '}'], depth, entries, |own, (key, below)| {
                own.out.push_str(&format!("\"{key}\""));
                own.space(" ");
                own.out.push(':');
                own.space(" ");
                own.value(below, depth + 1);
            }),
        }
    }
}

fn print(value: &Json, style: &Style) -> String {
    let mut printer = Printer { style, turn: 0, out: String::new() };
    printer.space("");
    printer.value(value, 0);
    printer.space("\n");
    printer.out
}

fn raw(text: impl Into<String>) -> Json {
    Json::Raw(text.into())
}

fn object(entries: impl IntoIterator<Item = (&'static str, Json)>) -> Json {
    Json::Object(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn answer(hits: Vec<Json>, max_score: &str) -> Json {
    object([
        ("took", raw("3")),
        ("timed_out", raw("false")),
        ("_shards", object([("total", raw("1")), ("failed", raw("0"))])),
        ("hits", object([("total", object([("value", raw("10"))])), ("max_score", raw(max_score)), ("hits", Json::Array(hits))])),
        ("aggregations", object([("hits", object([("hits", Json::Array(vec![raw("1.0")]))]))])),
    ])
}

/// The answer in another order, cut.
fn arranged(hits: &[Json], order: &[usize], page: Page) -> Vec<Json> {
    order.iter().skip(page.from).take(page.size).map(|place| hits[*place].clone()).collect()
}

fn rewritten(answer: &str, page: Page, reading: &Reading, arrangement: &Arrangement) -> String {
    let response = SearchResponse::parse(answer.as_bytes()).expect("an answer");
    String::from_utf8(narrow(&response, page, reading, arrangement)).expect("UTF-8")
}

fn in_order(order: Vec<usize>) -> Arrangement {
    let count = order.len();
    Arrangement { ranking: Ranking::new(order).expect("a permutation"), ..Arrangement::engine_order(count) }
}

fn everything() -> Page {
    Page { from: 0, size: usize::MAX }
}

fn any_style() -> impl Strategy<Value = Style> {
    let odd = prop::collection::vec(prop::sample::select(vec!["", " ", "\n", "\t\r\n", "   "]), 1..5).prop_map(Style::Odd);
    prop_oneof![Just(Style::Compact), Just(Style::Pretty), odd]
}

/// Entries in any order, unknown ones, and texts that a careless scanner stumbles over.
fn any_hit() -> impl Strategy<Value = Json> {
    let sources = [
        r#"{"big":12345678901234567890123,"x":1.0,"y":1}"#,
        r#"{"\u4e2d":"漢字 \" , } ] \\","é":"\ud83d\ude00"}"#,
        r#"{"_score":7,"fields":{"a":[1]},"hits":{"hits":[]}}"#,
        "{}",
        "[[[null ]]]",
    ];
    let parts = (
        (prop::sample::select(vec!["1.0", "1", "0.30000001192092896", "null", "1e3", "9007199254740993"]), ".{0,6}"),
        (prop::sample::select(sources.to_vec()), any::<u64>(), 0_usize..7),
    );
    parts.prop_flat_map(|((score, id), (source, number, count))| {
        let id = serde_json::to_string(&id).expect("a string");
        let entries = vec![
            ("_score", raw(score)),
            ("_index", raw("\"shop\"")),
            ("_id", raw(id)),
            ("_source", raw(source)),
            ("un\\u006bnown", Json::Array(vec![raw(number.to_string()), raw("-0.0"), Json::Array(Vec::new())])),
            ("fields", object([("a", Json::Array(vec![raw("1.0")]))])),
        ];
        Just(entries).prop_shuffle().prop_map(move |shuffled| object(shuffled.into_iter().take(count)))
    })
}

fn any_hits() -> impl Strategy<Value = (Vec<Json>, Vec<usize>)> {
    prop::collection::vec(any_hit(), 0..6).prop_flat_map(|hits| {
        let order: Vec<usize> = (0..hits.len()).collect();
        (Just(hits), Just(order).prop_shuffle())
    })
}

fn any_page() -> impl Strategy<Value = Page> {
    (0_usize..8, 0_usize..8).prop_map(|(from, size)| Page { from, size })
}

proptest! {
    #[test]
    fn nothing_to_change_changes_nothing((hits, _) in any_hits(), style in any_style()) {
        let text = print(&answer(hits.clone(), "1.5"), &style);
        let kept = rewritten(&text, everything(), &Reading::Source, &Arrangement::engine_order(hits.len()));
        prop_assert_eq!(kept, text);
    }

    /// As if the engine itself had printed these hits in this order.
    #[test]
    fn a_page_is_what_the_engine_would_have_printed((hits, order) in any_hits(), page in any_page(), pretty in any::<bool>()) {
        let style = if pretty { Style::Pretty } else { Style::Compact };
        let direct = print(&answer(arranged(&hits, &order, page), "1.5"), &style);
        let text = print(&answer(hits, "1.5"), &style);
        prop_assert_eq!(rewritten(&text, page, &Reading::Source, &in_order(order)), direct);
    }

    #[test]
    fn hits_move_as_their_own_bytes((hits, order) in any_hits(), style in any_style()) {
        let text = print(&answer(hits, "1.5"), &style);
        let moved = rewritten(&text, everything(), &Reading::Source, &in_order(order.clone()));
        let (before, after) = (SearchResponse::parse(text.as_bytes()).unwrap(), SearchResponse::parse(moved.as_bytes()).unwrap());
        let expected: Vec<_> = order.iter().map(|place| before.hits[*place].raw()).collect();
        let found: Vec<_> = after.hits.iter().map(|hit| hit.raw()).collect();
        prop_assert_eq!(found, expected);
        let (old, new) = (before.array().span(), after.array().span());
        prop_assert_eq!((&moved[..new.start], &moved[new.end..]), (&text[..old.start], &text[old.end..]));
    }

    #[test]
    fn a_score_changes_itself_alone((hits, order) in any_hits(), style in any_style(), scores in prop::collection::vec(any::<f32>(), 6)) {
        let text = print(&answer(hits.clone(), "1.5"), &style);
        let new: Vec<_> = scores.into_iter().take(hits.len()).map(|score| Some(score).filter(|score| score.is_finite())).collect();
        let arrangement = Arrangement { scores: new.clone(), max_score: Some(0.75), ..in_order(order.clone()) };
        let expected = hits.into_iter().zip(&new).map(|(hit, score)| with_score(hit, *score)).collect::<Vec<_>>();
        let moved = rewritten(&text, everything(), &Reading::Source, &arrangement);
        let plain = rewritten(&print(&answer(expected, "0.75"), &style), everything(), &Reading::Source, &in_order(order));
        prop_assert_eq!(moved, plain);
    }

    #[test]
    fn a_printed_score_reads_as_itself(score in any::<f32>()) {
        let Some(text) = printed(score) else { return Err(TestCaseError::reject("not finite")) };
        prop_assert_eq!(serde_json::from_str::<f32>(&text).unwrap().to_bits(), score.to_bits());
    }
}

fn with_score(hit: Json, score: Option<f32>) -> Json {
    let (Json::Object(mut entries), Some(score)) = (hit.clone(), score) else { return hit };
    entries.iter_mut().filter(|(key, _)| key == "_score").for_each(|(_, value)| *value = raw(printed(score).expect("finite")));
    Json::Object(entries)
}

/// What a hit's fields hold: two flat ones, and nested objects that hold nested objects.
#[derive(Clone, Debug)]
struct Stored {
    flat: [bool; 2],
    ignored: [bool; 2],
    nested: Vec<Outer>,
}

/// Whether `n.t` and `n.u` are there, and for each `n.m` whether its `v` and `w` are.
#[derive(Clone, Debug)]
struct Outer {
    leaves: [bool; 2],
    inner: Vec<[bool; 2]>,
}

fn any_stored() -> impl Strategy<Value = Stored> {
    let leaves = any::<[bool; 2]>;
    let outer = (leaves(), prop::collection::vec(leaves(), 0..3)).prop_map(|(leaves, inner)| Outer { leaves, inner });
    let nested = prop::collection::vec(outer, 0..3);
    (leaves(), leaves(), nested).prop_map(|(flat, ignored, nested)| Stored { flat, ignored, nested })
}

const NAMES: [&str; 6] = ["title", "n.t", "n.u", "n.m.v", "n.m.w", "a.tag"];

type Entry = (&'static str, Json);

fn leaf(wanted: bool, key: &'static str) -> Option<Entry> {
    wanted.then(|| (key, Json::Array(vec![raw("\"x, ]}\""), raw("1.0")])))
}

/// Engines print no object and no array of fields that is empty.
fn gathered(entries: impl IntoIterator<Item = Option<Entry>>) -> Option<Json> {
    let entries: Vec<_> = entries.into_iter().flatten().collect();
    (!entries.is_empty()).then(|| object(entries))
}

fn group(key: &'static str, objects: impl Iterator<Item = Json>) -> Option<Entry> {
    let objects: Vec<_> = objects.collect();
    (!objects.is_empty()).then_some((key, Json::Array(objects)))
}

/// What Elasticsearch prints of nested objects.
fn grouped_fields(stored: &Stored, wants: &dyn Fn(&str) -> bool) -> Vec<Option<Entry>> {
    let outer = stored.nested.iter().filter_map(|Outer { leaves, inner }| {
        let inner = inner.iter().filter_map(|own| gathered([leaf(own[0] && wants("n.m.v"), "v"), leaf(own[1] && wants("n.m.w"), "w")]));
        gathered([leaf(leaves[0] && wants("n.t"), "t"), group("m", inner), leaf(leaves[1] && wants("n.u"), "u")])
    });
    vec![group("n", outer)]
}

/// What OpenSearch prints of nested objects.
fn flat_fields(stored: &Stored, wants: &dyn Fn(&str) -> bool) -> Vec<Option<Entry>> {
    let outer = |name, place: usize| leaf(wants(name) && stored.nested.iter().any(|one| one.leaves[place]), name);
    let inner = |name, place: usize| leaf(wants(name) && stored.nested.iter().flat_map(|one| &one.inner).any(|own| own[place]), name);
    vec![outer("n.t", 0), outer("n.u", 1), inner("n.m.v", 0), inner("n.m.w", 1)]
}

fn stored_hit(stored: &Stored, asked: &[&str], grouped: bool) -> Json {
    let wants = |name: &str| asked.contains(&name);
    let nested = if grouped { grouped_fields(stored, &wants) } else { flat_fields(stored, &wants) };
    let flat = |there: [bool; 2]| [leaf(there[0] && wants("title"), "title"), leaf(there[1] && wants("a.tag"), "a.tag")];
    let [title, tag] = flat(stored.flat);
    let fields = gathered([vec![title], nested, vec![tag]].concat()).map(|entries| ("fields", entries));
    let ignored = gathered(flat(stored.ignored)).map(|entries| ("ignored_field_values", entries));
    let before = [("_id", raw("\"1\"")), ("_ignored", Json::Array(vec![raw("\"title\"")]))];
    object(before.into_iter().chain(fields).chain(ignored).chain([("sort", Json::Array(vec![raw("1")]))]))
}

proptest! {
    /// What the client did not ask for leaves no trace, whichever names it asked for itself.
    #[test]
    fn added_fields_leave_no_trace(
        stored in prop::collection::vec(any_stored(), 1..3),
        added in any::<[bool; 6]>(),
        asked in any::<[bool; 6]>(),
        (grouped, pretty) in any::<(bool, bool)>(),
    ) {
        let style = if pretty { Style::Pretty } else { Style::Compact };
        let asked: Vec<_> = NAMES.into_iter().zip(asked).filter_map(|(name, wanted)| wanted.then_some(name)).collect();
        let added: Vec<_> = NAMES.into_iter().zip(added).filter_map(|(name, wanted)| (wanted && !asked.contains(&name)).then_some(name)).collect();
        let both = [asked.clone(), added.clone()].concat();
        let printed_for = |names: &[&str]| print(&answer(stored.iter().map(|one| stored_hit(one, names, grouped)).collect(), "null"), &style);
        let reading = Reading::Fields { added: added.into_iter().map(Arc::from).collect() };
        let found = rewritten(&printed_for(&both), everything(), &reading, &Arrangement::engine_order(stored.len()));
        prop_assert_eq!(found, printed_for(&asked));
    }
}

const TWO: &str =
    r#"{"hits":{"hits":[{"_id":"a","_score":2.0},{"_id":"b","_score":1,"fields":{"t":["x"],"_rerank":[0]}}],"max_score":2.0}}"#;

fn annotated_with(reading: &Reading) -> String {
    let annotation = |score, previous_score, previous_rank| Some(Annotation { score, previous_score, previous_rank });
    let annotations = vec![annotation(0.25, None, 1), annotation(1.0, Some(1.0), 2)];
    rewritten(TWO, everything(), reading, &Arrangement { annotations, ..in_order(vec![1, 0]) })
}

#[test]
fn annotations_stand_at_the_end_of_the_fields() {
    let expected = concat!(
        r#"{"hits":{"hits":[{"_id":"b","_score":1,"fields":{"t":["x"],"_rerank":[{"score":1.0,"previous_score":1.0,"previous_rank":2}]}},"#,
        r#"{"_id":"a","_score":2.0,"fields":{"_rerank":[{"score":0.25,"previous_score":null,"previous_rank":1}]}}],"max_score":2.0}}"#,
    );
    assert_eq!(annotated_with(&Reading::Source), expected);
    let stripped = annotated_with(&Reading::Fields { added: vec!["t".into()] });
    assert_eq!(stripped, expected.replace(r#""t":["x"],"#, ""));
    let emptied = annotated_with(&Reading::Fields { added: vec!["t".into(), "_rerank".into()] });
    assert_eq!(emptied, stripped);
}

#[test]
fn an_explanation_is_wrapped_where_the_score_is_new() {
    let text = concat!(
        r#"{"hits":{"max_score":2.0,"hits":[{"_id":"a","_score":2.0,"_explanation":{"value":2.0, "description":"x","details":[]}},"#,
        r#"{"_id":"b","_score":1.0,"_explanation":{"value":1.0}}]}}"#
    );
    let response = SearchResponse::parse(text.as_bytes()).expect("an answer");
    let body = r#"{"query":{"match":{"a":"x"}},"explain":true}"#;
    let mut rule = tests::rule();
    rule.instruction = Some(Arc::from("say \"what\""));
    let plan = plan(&tests::search(Some("filter_path=hits.hits,-**._id"), body), &rule, &Hints::default()).expect("reranked");
    let shown = |arrangement: &Arrangement| {
        let page = present(&response, &plan, &rule, arrangement, Empty::Kept).expect("filtered");
        String::from_utf8(page).expect("UTF-8")
    };
    let arrangement = Arrangement { scores: vec![None, Some(0.5)], ..in_order(vec![1, 0]) };
    assert_eq!(
        shown(&arrangement),
        concat!(
            r#"{"hits":{"hits":[{"_score":0.5,"_explanation":{"value":0.5,"description":"reranked by model [minilm], instruction [say \"what\"], from "#,
            r#"the engine's own:","details":[{"value":1.0}]}},{"_score":2.0,"_explanation":{"value":2.0,"description":"x","details":[]}}]}}"#
        )
    );
    assert!(!shown(&Arrangement::engine_order(2)).contains("reranked"));
}

#[test]
fn the_highest_score_is_replaced_wherever_it_stands_but_a_null_stays() {
    let arrangement = Arrangement { max_score: Some(0.5), ..Arrangement::engine_order(2) };
    let page = Page { from: 2, size: 10 };
    assert_eq!(rewritten(TWO, page, &Reading::Source, &arrangement), r#"{"hits":{"hits":[],"max_score":0.5}}"#);
    let null = TWO.replace(r#""max_score":2.0"#, r#""max_score":null"#);
    assert_eq!(rewritten(&null, page, &Reading::Source, &arrangement), r#"{"hits":{"hits":[],"max_score":null}}"#);
}

#[test]
fn scores_have_a_decimal_and_are_numbers() {
    let texts = [1.0_f32, 0.1, 0.0, 16_777_216.0, f32::NAN, f32::INFINITY].map(printed);
    assert_eq!(texts.each_ref().map(Option::as_deref), [Some("1.0"), Some("0.1"), Some("0.0"), Some("16777216.0"), None, None]);
}

/// Real answers of documentation, hand-edited some of them.
#[test]
fn real_answers_come_back_as_they_were() {
    #[derive(serde::Deserialize)]
    struct Line {
        response: String,
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let places = ["../shared", "../../shared"].map(|shared| root.join(shared).join("data/search-responses/responses.jsonl"));
    let Some(lines) = places.iter().find_map(|path| std::fs::read_to_string(path).ok()) else {
        return println!("skipped: no ../shared");
    };
    let mut hits = 0;
    for line in lines.lines() {
        let Line { response: text } = serde_json::from_str(line).expect("a line");
        let Ok(response) = SearchResponse::parse(text.as_bytes()) else { continue };
        hits += response.hits.len();
        let kept = narrow(&response, everything(), &Reading::Source, &Arrangement::engine_order(response.hits.len()));
        assert_eq!(String::from_utf8(kept).expect("UTF-8"), text);
    }
    assert!(hits > 500, "only {hits} hits were seen");
}
