//! Cuts long documents into chunks that overlap, and makes one result of what the rows of a document score.
//!
//! How a chunk becomes a row of tokens belongs to the plugins.

use std::{iter, ops::Range};

use rerank_plugin::{Chunking, Fault, LoadError, Score};

/// How the tokens of long documents are cut; or not at all.
#[derive(Clone, Copy, Debug)]
pub struct Chunks(Option<Chunking>);

/// The results of documents whose rows are scored one after the other, in one pass or in several.
pub struct Results(Vec<Open>);

/// A document of which rows are still to be scored.
#[derive(Clone)]
struct Open {
    rows: usize,
    best: Option<Score>,
    fault: Option<Fault>,
}

/// Returns how many tokens the next pass may have, when a device had no room for this one and nobody else can make it smaller: a schedule
/// takes documents out of a pass, and here all rows (document, tokens) are one document's.
pub fn smaller_pass<'a>(
    mut results: impl ExactSizeIterator<Item = &'a Result<Score, Fault>>,
    rows: impl Iterator<Item = (usize, usize)>,
) -> Option<usize> {
    let had_no_room = results.len() > 1 && results.all(|result| matches!(result, Err(Fault::Batch(_))));
    let (documents, tokens): (Vec<usize>, Vec<usize>) = rows.unzip();
    let is_one = documents.windows(2).all(|pair| pair[0] == pair[1]);
    (had_no_room && is_one).then(|| tokens.iter().sum::<usize>() / 2)
}

// === impl Chunks ===

impl Chunks {
    /// Returns how documents are cut, for a model that reads `limit` tokens at once.
    ///
    /// # Errors
    /// [`LoadError::Unsupported`] when the numbers cannot be.
    pub fn new(asked: Option<Chunking>, limit: usize) -> Result<Self, LoadError> {
        let Some(Chunking { tokens, overlap, max }) = asked else { return Ok(Self(None)) };
        let unsupported = |reason, remedy: &str| Err(LoadError::Unsupported { reason, remedy: remedy.into() });
        if tokens as usize > limit {
            let reason = format!("chunking.tokens is {tokens}, and the model reads {limit} at once, with the query");
            return unsupported(reason, "set it to fewer, or raise `max-tokens` where the model takes more");
        }
        if max == 0 || overlap >= tokens {
            let reason = format!("chunking has {tokens} tokens, an overlap of {overlap} and at most {max} chunks");
            return unsupported(reason, "set the overlap to fewer than the tokens, and at least one chunk");
        }
        Ok(Self(asked))
    }

    /// What was asked for.
    pub fn asked(&self) -> Option<Chunking> {
        self.0
    }

    /// The same as bytes, for fingerprints.
    pub fn fingerprint(&self) -> Vec<u8> {
        let numbers = self.0.map(|Chunking { tokens, overlap, max }| [tokens, overlap, max]);
        numbers.iter().flatten().flat_map(|number| number.to_le_bytes()).collect()
    }

    /// Returns the most tokens of a document in one row, where there is room for so many.
    pub fn longest(&self, room: usize) -> usize {
        self.0.map_or(room, |chunking| room.min(chunking.tokens as usize))
    }

    /// Returns how many of a document's first tokens [`Chunks::cut`] has to see, so as not to take a long document for a short one.
    pub fn wanted(&self, room: usize) -> usize {
        let Some(chunking) = self.0 else { return 0 };
        let (length, step) = self.stride(chunking, room);
        let reach = length + step * (chunking.max as usize - 1);
        reach.max(chunking.tokens as usize + 1)
    }

    /// Returns the chunks of a document of so many tokens, for rows with room for so many of them; at least one.
    ///
    /// A document that is no longer than a chunk stays whole, whatever the room, as it does without chunking. Of a longer one, where there
    /// is less room than a chunk has tokens, the chunks are as long as the room, and their overlap is smaller in proportion, so that
    /// nothing between two chunks is left out.
    pub fn cut(&self, tokens: usize, room: usize) -> Vec<Range<usize>> {
        let is_long = |chunking: &Chunking| tokens > chunking.tokens as usize && room > 0;
        let Some(chunking) = self.0.filter(is_long) else { return iter::once(0..tokens).collect() };
        let (length, step) = self.stride(chunking, room);
        // A chunk of which the one before has seen all is none.
        let says_more = |chunk: &usize| *chunk == 0 || (chunk - 1) * step + length < tokens;
        let chunk = |number: usize| number * step..tokens.min(number * step + length);
        (0..chunking.max as usize).take_while(says_more).map(chunk).collect()
    }

    /// How long a chunk is, and how far behind the beginning of one the next begins.
    fn stride(&self, chunking: Chunking, room: usize) -> (usize, usize) {
        let length = self.longest(room);
        let overlap = chunking.overlap as usize * length / chunking.tokens as usize;
        (length, length - overlap)
    }
}

// === impl Results ===

impl Results {
    /// Returns the results of so many documents, of which nothing is known yet.
    pub fn new(documents: usize) -> Self {
        Self(vec![Open { rows: 0, best: None, fault: None }; documents])
    }

    /// Notes that a document's result is the best of so many rows.
    pub fn expect(&mut self, document: usize, rows: usize) {
        self.0[document].rows = rows;
    }

    /// Notes the result of one row; a fault is the document's.
    pub fn add(&mut self, document: usize, result: Result<Score, Fault>) {
        let open = &mut self.0[document];
        match result {
            Ok(score) => {
                open.rows = open.rows.saturating_sub(1);
                open.best = Some(open.best.filter(|best| best.order() >= score.order()).unwrap_or(score));
            }
            Err(fault) => open.fault = open.fault.take().or(Some(fault)),
        }
    }

    /// Returns whether scoring more of a document's rows would change nothing.
    pub fn has_failed(&self, document: usize) -> bool {
        self.0[document].fault.is_some()
    }

    /// Returns one result for each document: [`Fault::Stopped`] for one that has rows without a score, because the best of the others may
    /// not be the best of all.
    pub fn finish(self) -> Vec<Result<Score, Fault>> {
        let result = |open: Open| match (open.fault, open.best) {
            (Some(fault), _) => Err(fault),
            (None, Some(best)) if open.rows == 0 => Ok(best),
            _ => Err(Fault::Stopped),
        };
        self.0.into_iter().map(result).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rerank_plugin::{Chunking, Fault, Scale, Score};

    use super::{Chunks, Results, smaller_pass};

    fn chunks(tokens: u32, overlap: u32, max: u32) -> Chunks {
        Chunks::new(Some(Chunking { tokens, overlap, max }), 1000).unwrap()
    }

    /// Returns where chunks begin and end.
    fn borders(chunks: &Chunks, tokens: usize, room: usize) -> Vec<(usize, usize)> {
        chunks.cut(tokens, room).into_iter().map(|chunk| (chunk.start, chunk.end)).collect()
    }

    #[test]
    fn documents_are_cut_into_chunks_that_overlap() {
        let cut = |tokens| borders(&chunks(10, 2, 3), tokens, 100);
        assert_eq!(cut(0), [(0, 0)]);
        assert_eq!(cut(10), [(0, 10)]);
        assert_eq!(cut(11), [(0, 10), (8, 11)]);
        assert_eq!(cut(18), [(0, 10), (8, 18)], "no chunk that is nothing but overlap");
        assert_eq!(cut(19), [(0, 10), (8, 18), (16, 19)]);
        assert_eq!(cut(1000), [(0, 10), (8, 18), (16, 26)]);
        assert_eq!(borders(&chunks(10, 0, 2), 21, 100), [(0, 10), (10, 20)]);
        assert_eq!(borders(&chunks(10, 9, 3), 50, 100), [(0, 10), (1, 11), (2, 12)]);
    }

    #[test]
    fn less_room_than_a_chunk_leaves_nothing_out() {
        let chunks = chunks(10, 2, 3);
        assert_eq!(borders(&chunks, 11, 5), [(0, 5), (4, 9), (8, 11)]);
        assert_eq!(borders(&chunks, 11, 4), [(0, 4), (4, 8), (8, 11)]);
        assert_eq!(borders(&chunks, 10, 5), [(0, 10)], "as without chunking");
        assert_eq!(borders(&chunks, 11, 0), [(0, 11)]);
        assert_eq!((chunks.wanted(100), chunks.wanted(5), chunks.wanted(0)), (26, 13, 11));
    }

    #[test]
    fn without_chunking_a_document_stays_whole() {
        let none = Chunks::new(None, 10).unwrap();
        assert_eq!((borders(&none, 50, 7), borders(&none, 5, 7)), (vec![(0, 50)], vec![(0, 5)]));
        assert_eq!((none.wanted(7), none.longest(7), none.asked()), (0, 7, None));
        assert!(none.fingerprint().is_empty());
    }

    #[test]
    fn numbers_that_cannot_be_are_refused() {
        for (tokens, overlap, max, words) in [
            (101, 2, 3, "chunking.tokens is 101, and the model reads 100 at once"),
            (10, 10, 3, "an overlap of 10"),
            (0, 0, 3, "has 0 tokens"),
            (10, 2, 0, "at most 0 chunks"),
        ] {
            let error = Chunks::new(Some(Chunking { tokens, overlap, max }), 100).expect_err(words).to_string();
            assert!(error.contains(words) && error.contains("; set "), "{error}");
        }
    }

    proptest! {
        #[test]
        fn chunks_lie_behind_each_other_without_holes(
            (tokens, overlap) in (1_u32..40).prop_flat_map(|tokens| (Just(tokens), 0..tokens)),
            max in 1_u32..6,
            length in 0_usize..300,
            room in 1_usize..60,
        ) {
            let chunks = chunks(tokens, overlap, max);
            let cut = chunks.cut(length, room);
            prop_assert_eq!(cut[0].start, 0);
            if length <= tokens as usize {
                prop_assert_eq!((cut.len(), cut[0].end), (1, length));
                return Ok(());
            }
            prop_assert!(cut.len() <= max as usize && cut.iter().all(|chunk| chunk.len() <= chunks.longest(room) && chunk.end <= length));
            for pair in cut.windows(2) {
                prop_assert!(pair[0].start < pair[1].start && pair[1].start <= pair[0].end && pair[0].end < pair[1].end);
            }
            let end = cut.last().map_or(0, |last| last.end);
            prop_assert!(end == length || cut.len() == max as usize, "{:?}", cut);
            // What is cut from its first tokens alone is cut alike.
            prop_assert_eq!(chunks.cut(length.min(chunks.wanted(room)), room), cut);
        }
    }

    #[test]
    fn a_document_scores_as_its_best_row_and_only_with_all_of_them() {
        let score = |order| Score::new(order, Scale::Logit).map_err(Fault::from);
        let mut results = Results::new(5);
        (0..5).for_each(|document| results.expect(document, 2));
        for (document, result) in [(0, score(-3.0)), (0, score(-2.0)), (1, score(2.0)), (1, score(1.0)), (2, score(5.0)), (3, score(9.0))] {
            results.add(document, result);
        }
        results.add(3, Err(Fault::Model("broken".into())));
        results.add(3, Err(Fault::Stopped));
        assert!(results.has_failed(3) && !results.has_failed(2));
        let expected = [score(-2.0), score(2.0), Err(Fault::Stopped), Err(Fault::Model("broken".into())), Err(Fault::Stopped)];
        assert_eq!(results.finish(), expected);
    }

    #[test]
    fn a_pass_of_one_document_is_made_smaller_here() {
        let no_room = || Err(Fault::Batch("no room".into()));
        let one = [(3, 100), (3, 60)];
        assert_eq!(smaller_pass([no_room(), no_room()].iter(), one.into_iter()), Some(80));
        assert_eq!(smaller_pass([no_room(), no_room()].iter(), [(3, 100), (4, 60)].into_iter()), None, "the schedule takes one out");
        assert_eq!(smaller_pass([no_room()].iter(), [(3, 100)].into_iter()), None, "there is no smaller pass");
        assert_eq!(smaller_pass([Err(Fault::Stopped), Err(Fault::Stopped)].iter(), one.into_iter()), None);
    }
}
