//! Turns a query and a document into one row of tokens, cut as the reference cuts pairs.

use std::borrow::Cow;

use rerank_candle::{PairFrame, Tokens};
use rerank_plugin::{Card, Document, Fault, Part, Prepared, PreparedQuery, Preparer, Query};

/// A query's own tokens, at most as many as a pair has room for.
struct QueryTokens(Vec<u32>);

/// A pair, ready to be scored.
pub(crate) struct PairTokens {
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
}

// === impl PairPreparer ===

impl PairPreparer {
    /// Returns the preparer of pairs of at most `limit` tokens, those of the frame among them.
    pub(crate) fn new(card: Card, tokens: Tokens, frame: PairFrame, limit: usize) -> Self {
        let room = limit - frame.size();
        Self { card, tokens, frame, room }
    }

    /// Returns the tokens of all parts as the one text that they make, joined by line feeds.
    fn tokenise(&self, parts: &[Part]) -> Result<Vec<u32>, Fault> {
        let texts: Result<Vec<Cow<'_, str>>, Fault> = parts.iter().map(|part| self.text(part)).collect();
        match texts?.as_slice() {
            [] => Err(Fault::Input("there is no text".into())),
            [text] => self.tokens.first(text, self.room),
            texts => self.tokens.first(&texts.join("\n"), self.room),
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
        let tokens = self.tokenise(&query.parts)?;
        if tokens.is_empty() {
            return Err(Fault::Input("the query is empty after tokenising".into()));
        }
        Ok(PreparedQuery::new(0, QueryTokens(tokens)))
    }

    /// A document that is empty after tokenising is scored, as the reference does.
    fn document(&self, query: &PreparedQuery, document: &Document) -> Result<Prepared, Fault> {
        let QueryTokens(first) = query.inner()?;
        let second = self.tokenise(&document.parts)?;
        let (first_length, second_length) = longest_first(first.len(), second.len(), self.room);
        let (tokens, types) = self.frame.join(&first[..first_length], &second[..second_length]);
        Ok(Prepared::new(tokens.len() as u32, PairTokens { tokens, types }))
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
    use super::longest_first;

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
