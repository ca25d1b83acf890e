//! Writes a query and its documents as the plain texts that a server takes.

use rerank_plugin::{Document, Fault, Part, Query};
use unicode_segmentation::UnicodeSegmentation;

/// Returns the query's texts, joined by line feeds.
pub(crate) fn query(query: &Query) -> Result<String, Fault> {
    parts(&query.parts)
}

/// Returns the document's texts with their labels, joined by line feeds; at most `max_words` words where that is set.
///
/// The server's tokenizer is not known here, so budgets are in words of Unicode (UAX #29): at least as long as as many tokens.
pub(crate) fn document(document: &Document, max_words: Option<u32>) -> Result<String, Fault> {
    parts(&document.parts).map(|text| cut(&text, max_words).to_owned())
}

fn parts(parts: &[Part]) -> Result<String, Fault> {
    let mut texts = Vec::with_capacity(parts.len());
    for part in parts {
        let Part::Text { label, text, max_tokens } = part else { return Err(Fault::Input("a remote model reads text alone".into())) };
        let text = cut(text, *max_tokens);
        texts.push(label.as_ref().map_or_else(|| text.to_owned(), |label| format!("{label}: {text}")));
    }
    Ok(texts.join("\n"))
}

fn cut(text: &str, words: Option<u32>) -> &str {
    let Some(words) = words else { return text };
    let end = text.unicode_word_indices().nth(words as usize).map_or(text.len(), |(start, _)| start);
    text[..end].trim_end()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rerank_plugin::{Digest128, Document, Fault, Image, Part};

    use super::{cut, document};

    #[test]
    fn labels_and_budgets_are_kept() {
        let part =
            |label: Option<&str>, text: &str, max_tokens| Part::Text { label: label.map(Arc::from), text: Arc::from(text), max_tokens };
        let parts = vec![part(Some("Title"), "Red running shoe", Some(2)), part(None, "for wet roads", None)];
        let whole = Document { parts, digest: Digest128(0) };
        assert_eq!(document(&whole, None), Ok("Title: Red running\nfor wet roads".to_owned()));
        assert_eq!(document(&whole, Some(4)), Ok("Title: Red running\nfor".to_owned()));
    }

    #[test]
    fn words_are_those_of_unicode() {
        assert_eq!(cut("one two", Some(2)), "one two");
        assert_eq!(cut("one, two", Some(1)), "one,");
        assert_eq!(cut("红色的鞋", Some(2)), "红色");
        assert_eq!(cut("", Some(1)), "");
    }

    #[test]
    fn an_image_is_no_text() {
        let image = Part::Image(Arc::new(Image { bytes: Arc::from([]), digest: Digest128(0) }));
        assert!(matches!(document(&Document { parts: vec![image], digest: Digest128(0) }, None), Err(Fault::Input(_))));
    }
}
