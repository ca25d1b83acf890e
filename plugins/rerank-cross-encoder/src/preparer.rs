//! Turns a query and a document into rows of tokens, one for each chunk of the document, cut as the reference cuts pairs.

use std::borrow::Cow;

use rerank_candle::{Chunks, PairFrame, Tokens};
use rerank_plugin::{Card, Document, Fault, Part, Prepared, PreparedQuery, Preparer, Query};

/// A query's own tokens, at most as many as a pair has room for.
struct QueryTokens(Vec<u32>);

/// A document with its query, ready to be scored: at least one row.
pub(crate) struct PairTokens {
    pub(crate) rows: Vec<PairRow>,
}

/// A query and a chunk of a document.
pub(crate) struct PairRow {
    pub(crate) tokens: Vec<u32>,
    pub(crate) types: Vec<u32>,
}

/// The side of the model that needs no device.
pub(crate) struct PairPreparer {
    card: Card,
    tokens: Tokens,
    frame: PairFrame,
    /// Tokens of both texts together.
    room: usize,
    chunks: Chunks,
}

// === impl PairPreparer ===

impl PairPreparer {
    /// Returns the preparer of pairs of at most `limit` tokens, those of the frame among them.
    pub(crate) fn new(card: Card, tokens: Tokens, (frame, limit): (PairFrame, usize), chunks: Chunks) -> Self {
        let room = limit - frame.size();
        Self { card, tokens, frame, room, chunks }
    }

    /// Returns how long a chunk may be beside a query, so that the reference would cut nothing of a document that is so long.
    fn chunk_room(&self, query: usize) -> usize {
        let once = longest_first(query, self.chunks.longest(self.room), self.room).1;
        // The odd token that a longer text has is gone when a text of that length is cut.
        longest_first(query, once, self.room).1
    }

    /// Returns a row for each chunk of a document.
    fn rows(&self, query: &[u32], document: &[u32]) -> Vec<PairRow> {
        let chunks = self.chunks.cut(document.len(), self.chunk_room(query.len()));
        chunks.into_iter().map(|chunk| self.row(query, &document[chunk])).collect()
    }

    fn row(&self, query: &[u32], chunk: &[u32]) -> PairRow {
        let (first, second) = longest_first(query.len(), chunk.len().min(self.room), self.room);
        let (tokens, types) = self.frame.join(&query[..first], &chunk[..second]);
        PairRow { tokens, types }
    }

    /// Returns the first tokens, at most `limit`, of all parts as the one text that they make, joined by line feeds.
    fn tokenise(&self, parts: &[Part], limit: usize) -> Result<Vec<u32>, Fault> {
        let texts: Result<Vec<Cow<'_, str>>, Fault> = parts.iter().map(|part| self.text(part)).collect();
        match texts?.as_slice() {
            [] => Err(Fault::Input("there is no text".into())),
            [text] => self.tokens.first(text, limit),
            texts => self.tokens.first(&texts.join("\n"), limit),
        }
    }

    /// Returns a part's text with its label, cut to its own budget.
    fn text<'a>(&self, part: &'a Part) -> Result<Cow<'a, str>, Fault> {
        let Part::Text { label, text, max_tokens } = part else {
            return Err(Fault::Input("this model reads text only".into()));
        };
        let rendered = label.as_ref().map_or(Cow::Borrowed(&**text), |label| Cow::Owned(format!("{label}: {text}")));
        let Some(limit) = max_tokens else { return Ok(rendered) };
        let end = self.tokens.cut(&rendered, *limit as usize)?.len();
        Ok(match rendered {
            Cow::Borrowed(whole) => Cow::Borrowed(&whole[..end]),
            Cow::Owned(mut whole) => {
                whole.truncate(end);
                Cow::Owned(whole)
            }
        })
    }
}

impl Preparer for PairPreparer {
    fn card(&self) -> &Card {
        &self.card
    }

    fn query(&self, query: &Query) -> Result<PreparedQuery, Fault> {
        let tokens = self.tokenise(&query.parts, self.room)?;
        if tokens.is_empty() {
            return Err(Fault::Input("the query is empty after tokenising".into()));
        }
        Ok(PreparedQuery::new(0, QueryTokens(tokens)))
    }

    /// A document that is empty after tokenising is scored, as the reference does.
    fn document(&self, query: &PreparedQuery, document: &Document) -> Result<Prepared, Fault> {
        let QueryTokens(first) = query.inner()?;
        let wanted = self.chunks.wanted(self.chunk_room(first.len())).max(self.room);
        let rows = self.rows(first, &self.tokenise(&document.parts, wanted)?);
        let cost = rows.iter().map(|row| row.tokens.len() as u32).sum();
        Ok(Prepared::new(cost, PairTokens { rows }))
    }
}

/// Returns how much of two texts fits into `room`: tokens are taken from the longer one until both are equally long.
///
/// Both lengths are at most `room`. Where both texts are longer than that, an odd token is the second's; the reference gives
/// it to the longer one.
fn longest_first(first: usize, second: usize, room: usize) -> (usize, usize) {
    if first + second <= room {
        return (first, second);
    }
    let shorter = first.min(second).min(room / 2);
    if first <= second { (shorter, room - shorter) } else { (room - shorter, shorter) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rerank_candle::{Chunks, Tokens};
    use rerank_plugin::{Card, Chunking, ControlTokens, Fingerprint, Folder, Scale};

    use super::{PairPreparer, longest_first};

    /// Numbers from which the tokens of queries and of documents are taken here.
    const QUERY: u32 = 1000;
    const DOCUMENT: u32 = 2000;

    fn preparer(limit: usize, chunking: Option<Chunking>) -> PairPreparer {
        let folder = Folder::open(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/bert")).unwrap();
        let tokens = Tokens::read(&folder, ControlTokens::Escape).unwrap();
        let frame = tokens.pair_frame().unwrap();
        let card = Card::new("cross-encoder", Fingerprint([0; 32]), Scale::Logit, limit as u32);
        PairPreparer::new(card, tokens, (frame, limit), Chunks::new(chunking, limit).unwrap())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn beside_a_query_of_any_length_nothing_of_a_document_is_left_out(
            limit in 7_usize..40,
            query in 1_u32..40,
            (tokens, overlap) in (2_u32..40).prop_flat_map(|tokens| (Just(tokens), 0..tokens)),
            document in 0_u32..200,
        ) {
            let tokens = tokens.min(limit as u32);
            let chunked = preparer(limit, Some(Chunking { tokens, overlap: overlap.min(tokens - 1), max: 1000 }));
            let query: Vec<u32> = (QUERY..QUERY + query).take(chunked.room).collect();
            let document: Vec<u32> = (DOCUMENT..DOCUMENT + document).collect();
            let rows = chunked.rows(&query, &document);
            prop_assert!(rows.iter().all(|row| row.tokens.len() <= limit && row.tokens.contains(&QUERY)));
            if document.len() <= tokens as usize {
                let plain = preparer(limit, None).rows(&query, &document);
                prop_assert_eq!(rows.len(), 1);
                prop_assert_eq!(&rows[0].tokens, &plain[0].tokens);
                return Ok(());
            }
            let mut seen = DOCUMENT;
            for row in rows {
                let own: Vec<u32> = row.tokens.into_iter().filter(|token| *token >= DOCUMENT).collect();
                prop_assert!(own[0] <= seen && own[own.len() - 1] >= seen, "{:?} behind {}", own, seen);
                prop_assert!(own.windows(2).all(|pair| pair[1] == pair[0] + 1));
                seen = own[own.len() - 1] + 1;
            }
            prop_assert_eq!(seen as usize, DOCUMENT as usize + document.len());
        }
    }

    #[test]
    fn the_longer_text_is_cut_first() {
        for (first, second, room, expected) in [
            (3, 4, 10, (3, 4)),
            (3, 9, 10, (3, 7)),
            (9, 3, 10, (7, 3)),
            (8, 9, 10, (5, 5)),
            (8, 9, 11, (5, 6)),
            (9, 8, 11, (6, 5)),
            (11, 11, 11, (5, 6)),
            (0, 9, 4, (0, 4)),
            (9, 0, 4, (4, 0)),
        ] {
            assert_eq!(longest_first(first, second, room), expected, "{first} {second} {room}");
        }
    }
}
