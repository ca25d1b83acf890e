//! Tells whether what came through Podium is what the engine answers, and where it is not.
//!
//! Bytes are compared, not values. Not compared are the places that no two answers share (`took`, the ids of cursors) and, in a
//! reranked answer, the order of the hits inside the window and the scores.

use std::ops::Range;

use crate::{
    difference::Difference,
    raw::{self, Kind, Node},
    support::http::Reply,
};

/// Top-level values of a search's answer that differ from one answer to the next, and those of an opened point in time.
const PASSING: [&str; 4] = ["took", "_scroll_id", "pit_id", "id"];
/// Headers that Podium may add.
const OURS: [&str; 2] = ["rerank-status", "server-timing"];
/// Headers between neighbours, which say nothing of the answer. How a body is framed is compared.
const HOP_BY_HOP: [&str; 2] = ["connection", "keep-alive"];
/// Characters of a value that are shown.
const SHOWN: usize = 120;

/// One answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lowercase, in the order of their names.
    pub(crate) headers: Vec<(String, String)>,
    /// The body without its content coding.
    pub(crate) body: Vec<u8>,
    /// What `content-length` has to say.
    length: usize,
}

/// What Podium promises of one answer.
#[derive(Clone, Debug)]
pub(crate) enum Promise<'a> {
    /// The engine's bytes.
    Untouched,
    /// The engine's hits in another order.
    Reranked(Reranked<'a>),
}

/// A page of a reranked search.
#[derive(Clone, Debug)]
pub(crate) struct Reranked<'a> {
    /// The engine's answer to the same search from its first hit, at least to the end of the window and of the page.
    pub(crate) wide: &'a str,
    /// How many hits come before the page.
    pub(crate) from: usize,
    /// How many of the first hits may move.
    pub(crate) window: usize,
    /// The order that the model is known to give, as places in `wide`.
    pub(crate) order: Option<Vec<usize>>,
}

/// An answer's JSON.
struct Json<'a> {
    text: &'a str,
    root: Node,
}

/// A search's answer in pieces.
struct Page<'a> {
    /// All but the passing values, the hits and the greatest score.
    outside: String,
    max_score: Option<&'a str>,
    hits: Vec<Hit<'a>>,
}

struct Hit<'a> {
    /// Index and id as printed.
    id: String,
    score: Option<&'a str>,
    /// Its text without its score.
    unscored: String,
}

/// Returns how `through` breaks the promise; nothing when it keeps it.
pub(crate) fn compare(direct: &Answer, through: &Answer, promise: &Promise<'_>) -> Vec<Difference> {
    let mut found = compare_heads(direct, through);
    match (direct.text(), through.text()) {
        (Some(one), Some(other)) => found.extend(compare_texts(one, other, promise)),
        _ if direct.body == through.body => {}
        _ => found.push(Difference::Bytes { from: first_difference(&direct.body, &through.body) }),
    }
    found
}

/// Returns how the answer of a multi search breaks the promises of its items.
pub(crate) fn compare_items(direct: &Answer, through: &Answer, promises: &[Promise<'_>]) -> Vec<Difference> {
    let mut found = compare_heads(direct, through);
    let (Some(one), Some(other)) = (direct.json(), through.json()) else {
        found.extend(compare(direct, through, &Promise::Untouched));
        return found;
    };
    let items = [&one, &other].map(|json| json.root.get(json.text, "responses").map_or(&[][..], Node::items));
    if items[0].len() != promises.len() || items[0].len() != items[1].len() {
        found.push(Difference::Items { at: "/responses".into(), direct: items[0].len(), through: items[1].len() });
        return found;
    }
    let without_items = |json: &Json<'_>, own: &[Node]| {
        let mut edits = json.passing();
        edits.extend(own.iter().map(|item| (item.span.clone(), "0".to_owned())));
        raw::splice(json.text, edits)
    };
    compare_json(&without_items(&one, items[0]), &without_items(&other, items[1]), "", &mut found);
    for (place, ((left, right), promise)) in items[0].iter().zip(items[1]).zip(promises).enumerate() {
        let inner = compare_texts(left.text(one.text), right.text(other.text), promise);
        found.extend(inner.into_iter().map(|difference| difference.under(&format!("/responses/{place}"))));
    }
    found
}

/// Returns how the body of a search, or an item of a multi search, breaks the promise.
pub(crate) fn compare_texts(direct: &str, through: &str, promise: &Promise<'_>) -> Vec<Difference> {
    let mut found = Vec::new();
    match promise {
        Promise::Untouched => {
            let masked = [direct, through].map(|text| Json::parse(text).map_or_else(|| text.to_owned(), |json| json.masked()));
            compare_json(&masked[0], &masked[1], "", &mut found);
        }
        Promise::Reranked(reranked) => {
            let pages = [direct, through, reranked.wide].map(|text| Json::parse(text).and_then(|json| Page::read(&json)));
            match pages {
                [Some(one), Some(other), Some(wide)] => compare_pages(&one, &other, &wide, reranked, &mut found),
                _ => compare_json(direct, through, "", &mut found),
            }
        }
    }
    found
}

fn compare_heads(direct: &Answer, through: &Answer) -> Vec<Difference> {
    let mut found = Vec::new();
    if direct.status != through.status {
        found.push(Difference::Status { direct: direct.status, through: through.status });
    }
    let names: std::collections::BTreeSet<&str> = direct.names().chain(through.names()).collect();
    for name in names {
        let values = [direct, through].map(|answer| answer.values(name));
        let difference = match values {
            [one, other] if one == other || (name == "content-length" && !one.is_empty() && !other.is_empty()) => continue,
            [_, other] if other.is_empty() => Difference::HeaderLost(name.into()),
            [one, _] if one.is_empty() => Difference::HeaderAdded(name.into()),
            [one, other] => Difference::HeaderChanged { name: name.into(), direct: one.join(", "), through: other.join(", ") },
        };
        found.push(difference);
    }
    found.extend(
        through
            .values("content-length")
            .iter()
            .filter(|value| **value != through.length.to_string())
            .map(|value| Difference::Length(format!("{value} for {} bytes", through.length))),
    );
    found
}

fn compare_pages(direct: &Page<'_>, through: &Page<'_>, wide: &Page<'_>, promise: &Reranked<'_>, found: &mut Vec<Difference>) {
    let Reranked { from, window, order, .. } = promise;
    if direct.hits.len() != through.hits.len() {
        found.push(Difference::PageLength { direct: direct.hits.len(), through: through.hits.len() });
    } else {
        compare_json(&direct.outside, &through.outside, "", found);
    }
    compare_scores(direct, through, wide, found);
    let before = found.len();
    let places = places(through, wide, found);
    if found.len() > before {
        return;
    }
    let end = from + direct.hits.len();
    let expected: Vec<usize> = match order {
        Some(order) => order.iter().copied().skip(*from).take(direct.hits.len()).collect(),
        None => (*from..end).collect(),
    };
    let known = order.is_some();
    let may_stand =
        |turn: usize, place: usize| if known || from + turn >= *window { expected.get(turn) == Some(&place) } else { place < *window };
    if known && let Some(other) = other_page(&places, order.as_deref().unwrap_or_default(), *from) {
        found.push(Difference::OtherPage { from: other });
        return;
    }
    let is_whole = known || (*from == 0 && end >= *window);
    if is_whole {
        let lost = expected.iter().filter(|place| !places.contains(place));
        found.extend(lost.map(|place| Difference::HitLost(wide.hits[*place].id.clone())));
        let misplaced = places.iter().filter(|place| !expected.contains(place));
        found.extend(misplaced.map(|place| Difference::HitMisplaced(wide.hits[*place].id.clone())));
    } else if direct.hits.len() > through.hits.len() {
        found.push(Difference::HitLost(format!("{} of the page", direct.hits.len() - through.hits.len())));
    }
    if !found.is_empty() {
        return; // one hit too few moves all that follow
    }
    for (turn, _) in places.iter().enumerate().filter(|(turn, place)| !may_stand(*turn, **place)) {
        let place = from + turn;
        found.push(if place >= *window { Difference::TailOrder { place } } else { Difference::WindowOrder { place } });
    }
}

/// Returns where the page begins that these hits are, when it is another than the one asked for.
fn other_page(places: &[usize], order: &[usize], from: usize) -> Option<usize> {
    let at = order.windows(places.len().max(1)).position(|page| page == places)?;
    (at != from).then_some(at)
}

/// Returns where each hit stands in the engine's order, without those that are changed, doubled or foreign.
fn places(through: &Page<'_>, wide: &Page<'_>, found: &mut Vec<Difference>) -> Vec<usize> {
    let mut places = Vec::new();
    for (turn, hit) in through.hits.iter().enumerate() {
        let same_id: Vec<usize> = (0..wide.hits.len()).filter(|place| wide.hits[*place].id == hit.id).collect();
        let unused: Vec<usize> = same_id.iter().copied().filter(|place| !places.contains(place)).collect();
        match unused.iter().find(|place| wide.hits[**place].unscored == hit.unscored).or(unused.first()) {
            Some(place) => {
                compare_json(&wide.hits[*place].unscored, &hit.unscored, &format!("/hits/hits/{turn}"), found);
                places.push(*place);
            }
            None if same_id.is_empty() => found.push(Difference::HitForeign(hit.id.clone())),
            None => found.push(Difference::HitDoubled(hit.id.clone())),
        }
    }
    places
}

fn compare_scores(direct: &Page<'_>, through: &Page<'_>, wide: &Page<'_>, found: &mut Vec<Difference>) {
    let is_null = |score: Option<&str>| score == Some("null");
    if is_null(direct.max_score) != is_null(through.max_score) {
        found.push(Difference::ScoreNull("/hits/max_score".into()));
    }
    let mut last = f64::INFINITY;
    for (place, hit) in through.hits.iter().enumerate() {
        let own = wide.hits.iter().find(|own| own.id == hit.id);
        if own.is_some_and(|own| is_null(own.score) != is_null(hit.score)) {
            found.push(Difference::ScoreNull(format!("/hits/hits/{place}/_score")));
        }
        let Some(score) = hit.score.and_then(|score| score.parse::<f64>().ok()) else { continue };
        if score > last {
            found.push(Difference::ScoreOrder { place });
        }
        last = score;
    }
}

/// Compares two texts: their bytes, and where those differ their values.
fn compare_json(direct: &str, through: &str, at: &str, found: &mut Vec<Difference>) {
    if direct == through {
        return;
    }
    let from = first_difference(direct.as_bytes(), through.as_bytes());
    let (Some(one), Some(other)) = (Json::parse(direct), Json::parse(through)) else {
        found.push(Difference::Bytes { from });
        return;
    };
    let before = found.len();
    compare_nodes((&one, &one.root), (&other, &other.root), at, found);
    if found.len() == before {
        found.push(Difference::Spacing { from });
    }
}

fn compare_nodes(direct: (&Json<'_>, &Node), through: (&Json<'_>, &Node), at: &str, found: &mut Vec<Difference>) {
    let ((one, left), (other, right)) = (direct, through);
    match (&left.kind, &right.kind) {
        (Kind::Object(lefts), Kind::Object(rights)) => {
            let names = |json: &Json<'_>, entries: &[raw::Entry]| -> Vec<String> {
                entries.iter().map(|entry| entry.name(json.text).to_owned()).collect()
            };
            let (expected, given) = (names(one, lefts), names(other, rights));
            let path = |name: &String| format!("{at}/{name}");
            let before = found.len();
            found.extend(expected.iter().filter(|name| !given.contains(name)).map(path).map(Difference::KeyLost));
            found.extend(given.iter().filter(|name| !expected.contains(name)).map(path).map(Difference::KeyAdded));
            if found.len() == before && expected != given {
                found.push(Difference::KeyOrder(at.to_owned()));
            }
            for (name, entry) in expected.iter().zip(lefts) {
                if let Some(value) = right.get(other.text, name) {
                    compare_nodes((one, &entry.value), (other, value), &path(name), found);
                }
            }
        }
        (Kind::Array(lefts), Kind::Array(rights)) => {
            if lefts.len() != rights.len() {
                found.push(Difference::Items { at: at.to_owned(), direct: lefts.len(), through: rights.len() });
                return;
            }
            for (place, (left_item, right_item)) in lefts.iter().zip(rights).enumerate() {
                compare_nodes((one, left_item), (other, right_item), &format!("{at}/{place}"), found);
            }
        }
        _ => found.extend(compare_leaves(left.text(one.text), right.text(other.text), at)),
    }
}

fn compare_leaves(left: &str, right: &str, at: &str) -> Option<Difference> {
    if left == right {
        return None;
    }
    let (at, direct, through) = (at.to_owned(), shown(left), shown(right));
    let is_whole = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    Some(match (left.parse::<f64>(), right.parse::<f64>()) {
        (Ok(one), Ok(other)) if one == other && is_whole(left) && is_whole(right) => Difference::Rounded { at, direct, through },
        (Ok(one), Ok(other)) if one == other => Difference::Reprinted { at, direct, through },
        _ => Difference::Value { at, direct, through },
    })
}

fn shown(text: &str) -> String {
    let cut: String = text.chars().take(SHOWN).collect();
    if cut.len() < text.len() { cut + "…" } else { cut }
}

fn first_difference(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).position(|(left, right)| left != right).unwrap_or(one.len().min(other.len()))
}

// === impl Answer ===

impl Answer {
    /// Takes a reply; a body that broke off has a wrong length.
    pub(crate) fn of(reply: &Reply) -> Self {
        let names =
            reply.headers.iter().map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        let mut headers: Vec<(String, String)> = names.collect();
        headers.sort();
        let body = match reply.header("content-encoding") {
            "gzip" => crate::support::codings::unpack("gzip", &reply.body).expect("gzip"),
            _ => reply.body.clone(),
        };
        Self { status: reply.status, headers, body, length: if reply.broken { usize::MAX } else { reply.body.len() } }
    }

    /// Changes the body, as something between Podium and the client would.
    pub(crate) fn set_body(&mut self, text: &str) {
        self.body = text.as_bytes().to_vec();
        self.length = text.len();
        for (name, value) in &mut self.headers {
            if name == "content-length" {
                *value = text.len().to_string();
            }
        }
    }

    /// The body in UTF-8.
    pub(crate) fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.body).ok()
    }

    /// A header's value, empty when it is not there.
    pub(crate) fn header(&self, wanted: &str) -> &str {
        self.headers.iter().find(|(name, _)| name == wanted).map_or("", |(_, value)| value)
    }

    fn json(&self) -> Option<Json<'_>> {
        self.text().and_then(Json::parse)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().map(|(name, _)| name.as_str()).filter(|name| !OURS.contains(name) && !HOP_BY_HOP.contains(name))
    }

    fn values(&self, wanted: &str) -> Vec<&str> {
        self.headers.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.as_str()).collect()
    }
}

// === impl Json ===

impl<'a> Json<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        raw::parse(text).map(|root| Self { text, root })
    }

    /// The text without its passing values, in itself and in the items of a multi search.
    fn masked(&self) -> String {
        raw::splice(self.text, self.passing())
    }

    fn passing(&self) -> Vec<(Range<usize>, String)> {
        let entries = self.root.entries().iter().filter(|entry| PASSING.contains(&entry.name(self.text)));
        entries.filter(|entry| entry.value.kind == Kind::Leaf).map(|entry| (entry.value.span.clone(), "0".to_owned())).collect()
    }
}

// === impl Page ===

impl<'a> Page<'a> {
    fn read(json: &Json<'a>) -> Option<Self> {
        let outer = json.root.get(json.text, "hits")?;
        let list = outer.get(json.text, "hits").filter(|list| matches!(list.kind, Kind::Array(_)))?;
        let max_score = outer.get(json.text, "max_score");
        let mut edits = json.passing();
        edits.extend(list.items().iter().chain(max_score).map(|node| (node.span.clone(), "0".to_owned())));
        let hits = list.items().iter().map(|hit| Hit::read(json, hit)).collect();
        Some(Self { outside: raw::splice(json.text, edits), max_score: max_score.map(|score| score.text(json.text)), hits })
    }
}

// === impl Hit ===

impl<'a> Hit<'a> {
    fn read(json: &Json<'a>, hit: &Node) -> Self {
        let named = |key: &str| hit.get(json.text, key).map_or("", |value| value.text(json.text).trim_matches('"'));
        let score = hit.get(json.text, "_score");
        let start = hit.span.start;
        let mut edits: Vec<(Range<usize>, String)> = score.into_iter().map(|score| (score.span.clone(), "0".to_owned())).collect();
        if let Some((outer, own)) = hit.get(json.text, "_explanation").and_then(|outer| Some((outer, wrapped(json, outer, score?)?))) {
            edits.push((outer.span.clone(), own.to_owned()));
        }
        let edits = edits.into_iter().map(|(span, new)| (span.start - start..span.end - start, new)).collect();
        Self {
            id: format!("{}/{}", named("_index"), named("_id")),
            score: score.map(|score| score.text(json.text)),
            unscored: raw::splice(hit.text(json.text), edits),
        }
    }
}

/// Returns the engine's own explanation out of Podium's, which must explain the hit's score.
fn wrapped<'a>(json: &Json<'a>, outer: &Node, score: &Node) -> Option<&'a str> {
    let is_ours = outer.get(json.text, "description")?.text(json.text).starts_with("\"reranked by model [");
    let explains = outer.get(json.text, "value")?.text(json.text) == score.text(json.text);
    let [own] = outer.get(json.text, "details")?.items() else { return None };
    (is_ours && explains).then(|| own.text(json.text))
}
