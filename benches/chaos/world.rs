//! What every search should have: its hits, told by its number alone, and the orders that are right for them.

use std::fmt::Write;

use bytes::Bytes;
use http::{HeaderMap, header};

use crate::load::{model::order, upstream::asked_size};

/// Hits of a whole window.
pub const WINDOW: usize = 8;

/// What a document does to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    Panic,
    Hang,
    LongHang,
    Nan,
    Batch,
    Broken,
}

/// What the answer to a search says of itself.
#[derive(Debug)]
pub struct Told<'a> {
    /// `reranked`, `partial` or `skipped`.
    pub word: &'a str,
    pub window: usize,
    pub scored: usize,
}

/// Returns the search of this number: where its question comes from, and what `size` asks for.
pub fn question(number: u64, size: usize) -> String {
    format!(r#"{{"query":{{"match":{{"text":"q{number} shoes"}}}},"size":{size}}}"#)
}

/// Answers as an engine does, with the hits of that number; each says who asked for it.
pub fn page(head: &HeaderMap, body: &[u8]) -> Bytes {
    let asked = String::from_utf8_lossy(body);
    let behind = asked.split_once(r#""text":"q"#).map_or("", |(_, behind)| behind);
    let number = behind.split(' ').next().and_then(|digits| digits.parse().ok()).unwrap_or(0);
    let who = head.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or("nobody");
    let mut page = String::from(
        r#"{"took":1,"timed_out":false,"_shards":{"total":1,"successful":1,"skipped":0,"failed":0},"hits":{"total":{"value":99,"relation":"eq"},"max_score":9.5,"hits":["#,
    );
    for place in 0..asked_size(body).min(WINDOW) {
        let comma = if place == 0 { "" } else { "," };
        let (score, text) = (9.5 - place as f32, text_of(number, place));
        write!(page, r#"{comma}{{"_index":"a","_id":"{number}-{place}","_score":{score:?},"_source":{{"who":"{who}","text":"{text}"}}}}"#)
            .expect("a string takes everything");
    }
    page.push_str("]}}");
    page.into()
}

/// Returns what is wrong with an answer, if anything.
pub fn wrong(body: &str, (number, size, who): (u64, usize, &str), told: &Told<'_>) -> Option<String> {
    let hits: Vec<&str> = body.split(r#"{"_index":"#).skip(1).collect();
    let mut places = Vec::new();
    for hit in &hits {
        let place = (0..WINDOW).find(|place| hit.contains(&format!(r#""_id":"{number}-{place}""#)));
        let Some(place) = place else { return Some(format!("a hit of another search: {hit}")) };
        if !hit.contains(&format!(r#""who":"{who}","text":"{}"}}"#, text_of(number, place))) {
            return Some(format!("another hit's source, or somebody else's: {hit}"));
        }
        places.push(place);
    }
    if places.len() != size {
        return Some(format!("{} hits of {size}", places.len()));
    }
    let right = match told.word {
        "reranked" => places == reranked(number, told)[..size],
        "partial" => is_partial(number, &places, told),
        "skipped" => places.iter().copied().eq(0..size),
        _ => false,
    };
    (!right).then(|| format!("{told:?}: {places:?}"))
}

/// Fails when a fault in an answer would not be found.
pub fn show_that_faults_are_found() {
    const NUMBER: u64 = 7;
    let head = HeaderMap::from_iter([(header::AUTHORIZATION, header::HeaderValue::from_static("u1"))]);
    let answer = |number| String::from_utf8_lossy(&page(&head, question(number, WINDOW).as_bytes())).into_owned();
    let own = answer(NUMBER);
    let told = |word: &'static str| Told { word, window: WINDOW, scored: WINDOW };
    let asked = (NUMBER, WINDOW, "u1");
    assert!(wrong(&own, asked, &told("skipped")).is_none(), "the engine's order is right for what was skipped");
    assert!(wrong(&own, asked, &told("reranked")).is_some(), "the engine's order is not that of the scores");
    assert!(wrong(&own, asked, &told("partial")).is_some(), "nor is it partial when all is scored");
    assert!(wrong(&own, (NUMBER, WINDOW, "u2"), &told("skipped")).is_some(), "somebody else's");
    assert!(wrong(&answer(NUMBER + 1), asked, &told("skipped")).is_some(), "another search's");
    assert!(wrong(&own, (NUMBER, WINDOW - 1, "u1"), &told("skipped")).is_some(), "a hit too many");
}

/// The whole order: the window by its scores, but for the one that the model cannot score.
fn reranked(number: u64, told: &Told<'_>) -> Vec<usize> {
    let unscored = (told.scored + 1 == told.window).then(|| troubled(number)).flatten().map(|(place, _)| place);
    let mut scored: Vec<usize> = (0..told.window).filter(|place| Some(*place) != unscored).collect();
    scored.sort_by(|one, other| score_of(number, *other).total_cmp(&score_of(number, *one)));
    let mut scored = scored.into_iter();
    (0..WINDOW).map(|place| if place >= told.window || Some(place) == unscored { place } else { scored.next().unwrap_or(WINDOW) }).collect()
}

/// Whether the scored ones come first, by their scores, and the rest follows as the engine had it; one that the model cannot score may stand anywhere.
fn is_partial(number: u64, places: &[usize], told: &Told<'_>) -> bool {
    let unscored = troubled(number).filter(|(_, trouble)| trouble.has_no_score()).map(|(place, _)| place);
    let others: Vec<usize> = places.iter().copied().filter(|place| Some(*place) != unscored).collect();
    let (scored, rest) = others.split_at(told.scored.min(others.len()));
    let falls = scored.is_sorted_by(|one, other| score_of(number, *one) >= score_of(number, *other));
    let once = places.len() < WINDOW || (0..WINDOW).all(|place| places.contains(&place));
    falls && rest.is_sorted() && once && told.scored >= 2
}

fn score_of(number: u64, place: usize) -> f32 {
    order(&text_of(number, place))
}

fn text_of(number: u64, place: usize) -> String {
    match troubled(number) {
        Some((troubled, trouble)) if troubled == place => format!("n{number} p{place} {}", trouble.word()),
        _ => format!("n{number} p{place}"),
    }
}

/// Returns which hit of a search is trouble, if one is, and what.
fn troubled(number: u64) -> Option<(usize, Trouble)> {
    let trouble = match number % 10_000 {
        2017 if number % 100_000 == 2017 => Trouble::LongHang,
        2100..2104 => Trouble::Hang,
        2200..2250 => Trouble::Panic,
        2300..2350 => Trouble::Nan,
        2400..2450 => Trouble::Batch,
        2500..2504 => Trouble::Broken,
        _ => return None,
    };
    Some((number as usize / 10_000 % WINDOW, trouble))
}

// === impl Trouble ===

impl Trouble {
    const ALL: [Self; 6] = [Self::Panic, Self::Hang, Self::LongHang, Self::Nan, Self::Batch, Self::Broken];

    /// Returns what a document's text tells.
    pub fn told_by(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|trouble| text.ends_with(trouble.word()))
    }

    fn word(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Hang => "hang",
            Self::LongHang => "hang long",
            Self::Nan => "nan",
            Self::Batch => "batch",
            Self::Broken => "broken",
        }
    }

    fn has_no_score(self) -> bool {
        matches!(self, Self::Panic | Self::Nan | Self::Broken)
    }
}
