//! Long documents, cut into chunks: each scores as if it were the document, and the best is the document's.

use std::path::Path;

use rerank_candle::Tokens;
use rerank_plugin::{
    Chunking, ControlTokens, Folder,
    testing::conformance::{self, Tolerance},
};

use crate::fixture::{ALL, Model, load, path, try_load};

const WORDS: [&str; 4] = ["gravity", "force", "china", "store"];
const QUERY: &str = "the";

fn chunked(folder: &Path, tokens: usize, overlap: usize, max: u32) -> Model {
    load(folder, |options| options.chunking = Some(Chunking { tokens: tokens as u32, overlap: overlap as u32, max }))
}

/// Returns the same words in one of eight orders. With the space before them, they are the same tokens at the beginning of a
/// text and inside one.
fn verse(number: usize) -> String {
    // 1 and 3 have no divisor in common with 4: each word comes once.
    let step = [1, 3][(number / WORDS.len()) % 2];
    (0..WORDS.len()).map(|place| format!(" {}", WORDS[(place * step + number) % WORDS.len()])).collect()
}

fn verses(numbers: std::ops::Range<usize>) -> String {
    numbers.map(verse).collect()
}

/// How many tokens a text has.
fn length(name: &str, text: &str) -> usize {
    Tokens::read(&Folder::open(path(name)).unwrap(), ControlTokens::Escape).unwrap().first(text, text.len()).unwrap().len()
}

fn assert_near(found: f32, expected: f32, of: &str) {
    assert!((found - expected).abs() <= 1e-5, "{of}: {found} and not {expected}");
}

/// Chunks of two verses, of which one overlaps.
#[test]
fn a_long_document_scores_as_the_best_of_its_chunks() {
    for name in ALL {
        let verse_length = length(name, &verse(0));
        let (mut plain, mut model) = (load(&path(name), |_| {}), chunked(&path(name), 2 * verse_length, verse_length, 4));
        let mut best_places = Vec::new();
        for start in 0..8 {
            let text = verses(start..start + 7);
            assert_eq!(length(name, &text), 7 * verse_length, "{name}: every verse has as many tokens");
            let chunks: Vec<f32> = (start..start + 4).map(|first| plain.score(QUERY, &verses(first..first + 2))).collect();
            let best = chunks.iter().copied().fold(f32::MIN, f32::max);
            assert_near(model.score(QUERY, &text), best, name);
            best_places.push(chunks.iter().position(|score| *score == best));
            let whole = model.cost(QUERY, &verses(start..start + 2));
            assert_eq!(model.cost(QUERY, &text), 4 * whole, "{name}: what is to be computed is told");
        }
        best_places.dedup();
        assert!(best_places.len() > 1, "{name}: the best chunk is not always the same");
    }
}

/// Also where a chunk may have more tokens than there is room for beside the query.
#[test]
fn a_document_that_is_no_longer_than_a_chunk_scores_as_without_chunking() {
    for name in ALL {
        let limit = load(&path(name), |_| {}).preparer.card().max_tokens as usize;
        for tokens in [8, 20, limit] {
            let (mut plain, mut model) = (load(&path(name), |_| {}), chunked(&path(name), tokens, tokens / 8, 4));
            let mut compared = 0;
            for text in (0..40).map(|words| verses(0..8).split_inclusive(' ').take(words).collect::<String>()) {
                for asked in [QUERY, &verses(0..8)] {
                    if length(name, &text) <= tokens {
                        assert_eq!(model.score(asked, &text), plain.score(asked, &text), "{name} {tokens}: {text}");
                        compared += 1;
                    }
                }
            }
            assert!(compared > 4, "{name} {tokens}: {compared}");
        }
    }
}

/// Returns whether the better of two texts is ahead of the other where it stands behind the limit, without and with chunking.
fn found_behind_the_limit((plain, model): (&mut Model, &mut Model), asked: &str) -> [bool; 2] {
    let texts = (0..8).map(|number| verses(number..number + 2));
    let mut known: Vec<(f32, String)> = texts.map(|text| (plain.score(asked, &text), text)).collect();
    known.sort_by(|one, other| other.0.total_cmp(&one.0));
    let (better, worse) = (&known[0].1, &known[1].1);
    let hidden = known.iter().map(|(_, filler)| format!("{}{better}", filler.repeat(8)));
    let hidden = hidden.min_by(|one, other| plain.score(asked, one).total_cmp(&plain.score(asked, other))).unwrap();
    [plain, model].map(|model| model.score(asked, &hidden) > model.score(asked, worse))
}

/// What these small models make of a long text has little to do with its parts, so that not every query shows it.
#[test]
fn what_is_relevant_is_found_behind_the_limit_with_chunking_alone() {
    for name in ALL {
        let chunk = 2 * length(name, &verse(0));
        let (mut plain, mut model) = (load(&path(name), |_| {}), chunked(&path(name), chunk, 0, 16));
        let asked = ["the", "force", "what is china", "store of gravity", "how much"];
        let found = asked.map(|asked| found_behind_the_limit((&mut plain, &mut model), asked));
        assert!(found.iter().all(|[_, with]| *with) && found.iter().any(|[without, _]| !without), "{name}: {found:?}");
    }
}

#[test]
fn a_document_of_a_megabyte_costs_its_chunks_alone() {
    for name in ALL {
        let model = chunked(&path(name), 20, 4, 3);
        let text = verses(0..1_000_000 / verse(0).len());
        let whole = verses(0..20);
        assert!(text.len() > 990_000 && model.cost(QUERY, &text) == model.cost(QUERY, &whole), "{name}");
        assert_eq!(model.preparer.card().chunking, Some(Chunking { tokens: 20, overlap: 4, max: 3 }));
    }
}

#[test]
fn numbers_that_cannot_be_are_refused() {
    let refused = |tokens, overlap, max| {
        let loaded = try_load(&path("bert"), |options| options.chunking = Some(Chunking { tokens, overlap, max }));
        loaded.err().expect("refused").to_string()
    };
    assert_eq!(
        refused(65, 2, 4),
        "chunking.tokens is 65, and the model reads 64 at once, with the query; set it to fewer, or raise `max-tokens` where the model takes more"
    );
    assert!(refused(20, 20, 4).contains("overlap of 20"));
    assert!(refused(20, 2, 0).contains("at most 0 chunks"));
}

#[test]
fn they_conform() {
    for name in ALL {
        let set = |options: &mut rerank_plugin::LoadOptions| {
            options.batch_tokens = 150;
            options.chunking = Some(Chunking { tokens: 16, overlap: 4, max: 3 });
        };
        conformance::check(try_load(&path(name), set).unwrap(), Tolerance::F32);
        conformance::check_chunks(|change| try_load(&path(name), change).unwrap(), Tolerance::F32);
    }
}
