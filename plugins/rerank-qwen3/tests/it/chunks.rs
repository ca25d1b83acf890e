//! Long documents, cut into chunks: each stands in the prompt as if it were the document, and the best score is the document's.

use rerank_plugin::{
    Chunking, Fault, LoadOptions, Pair, Stop,
    testing::conformance::{self, Tolerance, document, query},
};

use crate::tiny::{Model, Tiny};

const WORDS: [&str; 6] = ["gravity", "force", "capital", "China", "bodies", "what"];
const QUERY: &str = "Explain gravity";

/// Loads the fixture with chunks of two verses, of which one overlaps.
fn chunked(tiny: &Tiny, verses: u32, overlap: u32, max: u32) -> Model {
    let verse = verse_length(&mut tiny.load(|_| {}));
    tiny.load(|options| options.chunking = Some(Chunking { tokens: verses * verse, overlap: overlap * verse, max }))
}

/// Returns verses of the same words in another order each, the first of them behind the space of the prompt.
fn verses(numbers: std::ops::Range<usize>) -> String {
    // 1 and 5 have no divisor in common with 6: each word comes once.
    let step = |number: usize| [1, 5][(number / WORDS.len()) % 2];
    let words = |number: usize| (0..WORDS.len()).map(move |place| WORDS[(place * step(number) + number) % WORDS.len()]);
    numbers.flat_map(words).collect::<Vec<_>>().join(" ")
}

fn cost(model: &Model, text: &str) -> u32 {
    let asked = model.preparer.query(&query(QUERY)).unwrap();
    model.preparer.document(&asked, &document(text)).unwrap().cost()
}

fn verse_length(model: &mut Model) -> u32 {
    cost(model, &verses(0..2)) - cost(model, &verses(0..1))
}

fn score(model: &mut Model, text: &str) -> f32 {
    model.scores(&query(QUERY), &[text])[0].order()
}

#[test]
fn a_long_document_scores_as_the_best_of_its_chunks() {
    for name in ["tied", "untied"] {
        let tiny = Tiny::copy(name);
        let (mut plain, mut model) = (tiny.load(|_| {}), chunked(&tiny, 2, 1, 4));
        let mut best_places = Vec::new();
        for start in 0..12 {
            let chunks: Vec<f32> = (start..start + 4).map(|first| score(&mut plain, &verses(first..first + 2))).collect();
            let best = chunks.iter().copied().fold(f32::MIN, f32::max);
            let text = verses(start..start + 7);
            let found = score(&mut model, &text);
            assert!((found - best).abs() <= 1e-5, "{name} {start}: {found} and not the best of {chunks:?}");
            best_places.push(chunks.iter().position(|score| *score == best));
            assert_eq!(cost(&model, &text), 4 * cost(&plain, &verses(0..2)), "each chunk has the prompt's end behind it");
        }
        best_places.dedup();
        assert!(best_places.len() > 1, "{name}: the best chunk is not always the same");
    }
}

/// Also where a chunk may have more tokens than there is room for.
#[test]
fn a_document_that_is_no_longer_than_a_chunk_scores_as_without_chunking() {
    let tiny = Tiny::copy("tied");
    for limit in [2048, 120] {
        let mut plain = tiny.load(|options| options.max_tokens = Some(limit));
        for tokens in [16, limit] {
            let set = |options: &mut LoadOptions| {
                options.max_tokens = Some(limit);
                options.chunking = Some(Chunking { tokens, overlap: tokens / 8, max: 4 });
            };
            let mut model = tiny.load(set);
            // Behind nothing, the prompt's last space is a token of its own.
            let frame = cost(&plain, "") - 1;
            let mut compared = 0;
            for words in (0..150).step_by(3) {
                let text = verses(0..30).split_inclusive(' ').take(words).collect::<String>();
                if cost(&tiny.load(|_| {}), &text) - frame <= tokens {
                    assert_eq!(score(&mut model, &text), score(&mut plain, &text), "{limit} {tokens}: {text}");
                    compared += 1;
                }
            }
            assert!(compared > 2, "{limit} {tokens}: {compared}");
        }
    }
}

#[test]
fn what_is_relevant_is_found_behind_the_limit_with_chunking_alone() {
    let tiny = Tiny::copy("tied");
    let verse = verse_length(&mut tiny.load(|_| {}));
    let limit = cost(&tiny.load(|_| {}), &verses(0..4)) + tiny.load(|_| {}).preparer.query(&query(QUERY)).unwrap().cost();
    let load = |chunking| tiny.load(|options| (options.max_tokens, options.chunking) = (Some(limit), chunking));
    let (mut plain, mut model) = (load(None), load(Some(Chunking { tokens: 2 * verse, overlap: 0, max: 16 })));
    let mut known: Vec<(f32, String)> =
        (0..12).map(|number| verses(number..number + 2)).map(|text| (score(&mut plain, &text), text)).collect();
    known.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (worst, second, best) = (&known[0].1, &known[known.len() - 2].1, &known[known.len() - 1].1);
    let hidden = format!("{}{best}", format!("{worst} ").repeat(6));
    let [without, with] = [&mut plain, &mut model].map(|model| score(model, &hidden) > score(model, second));
    assert!(!without && with, "{without} {with}");
}

#[test]
fn a_document_of_a_megabyte_costs_its_chunks_alone() {
    let model = chunked(&Tiny::copy("tied"), 2, 1, 3);
    let text = verses(0..25_000);
    assert!(text.len() > 900_000 && cost(&model, &text) == cost(&model, &verses(0..9)));
    assert_eq!(model.preparer.card().chunking.map(|chunking| chunking.max), Some(3));
}

/// Whoever stops anywhere gets whole results or none.
#[test]
fn a_document_of_which_a_part_is_scored_has_no_score() {
    let tiny = Tiny::copy("tied");
    let mut model = tiny.load(|options| {
        options.batch_tokens = 64;
        options.chunking = Some(Chunking { tokens: 16, overlap: 0, max: 4 });
    });
    let asked = model.preparer.query(&query(QUERY)).unwrap();
    let documents: Vec<_> =
        (0..4).map(|number| model.preparer.document(&asked, &document(&verses(number..number + 12))).unwrap()).collect();
    let state = model.worker.begin(&[&asked], &Stop::default()).remove(0).unwrap();
    let mut results = |stop: &Stop| {
        let batch: Vec<_> = documents.iter().map(|document| Pair { state, document, stop }).collect();
        model.worker.score(&batch)
    };
    let whole = results(&Stop::default());
    let (mut stopped, mut kept) = (0, 0);
    for looks in 0..120 {
        for (result, full) in results(&Stop::after(looks)).iter().zip(&whole) {
            match result {
                Ok(score) => {
                    kept += 1;
                    assert!((score.order() - full.as_ref().unwrap().order()).abs() <= 1e-5, "after {looks} looks");
                }
                other => {
                    stopped += 1;
                    assert_eq!(*other, Err(Fault::Stopped));
                }
            }
        }
    }
    assert!(stopped > 50 && kept > 50, "{stopped} {kept}");
}

#[test]
fn numbers_that_cannot_be_are_refused() {
    let tiny = Tiny::copy("tied");
    let refused = |tokens, overlap| {
        let loaded = tiny.try_load(|options| options.chunking = Some(Chunking { tokens, overlap, max: 4 }));
        loaded.err().expect("refused").to_string()
    };
    assert!(refused(2049, 2).contains("chunking.tokens is 2049, and the model reads 2048 at once"));
    assert!(refused(20, 20).contains("overlap of 20"));
}

#[test]
fn it_conforms() {
    for (name, batch_tokens) in [("tied", 16384), ("untied", 100)] {
        let set = |options: &mut LoadOptions| {
            options.batch_tokens = batch_tokens;
            options.chunking = Some(Chunking { tokens: 40, overlap: 8, max: 3 });
        };
        let tiny = Tiny::copy(name);
        conformance::check(tiny.try_load(set).unwrap(), Tolerance::F32);
        conformance::check_chunks(|change| tiny.try_load(change).unwrap(), Tolerance::F32);
    }
}
