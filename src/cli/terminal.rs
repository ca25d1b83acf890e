//! What everything that is written to people has in common: few styles, and texts that fill their columns.

use anstyle::{AnsiColor, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

pub(super) const STRONG: Style = Style::new().bold();
pub(super) const FAINT: Style = Style::new().dimmed();
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default();

/// Returns the text cut or filled to so many columns.
pub(super) fn fitted(text: &str, columns: usize) -> String {
    let width = text.width();
    if width <= columns {
        return format!("{text}{:1$}", "", columns - width);
    }
    let (mut cut, mut used) = (String::new(), 0);
    for letter in text.chars() {
        let next = letter.width().unwrap_or(0);
        if used + next > columns - 1 {
            break;
        }
        cut.push(letter);
        used += next;
    }
    format!("{cut}…{:1$}", "", columns - 1 - used)
}

/// Returns the text in lines of at most so many columns, broken at spaces; a longer word is broken where a line ends.
pub(super) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() <= columns => line.extend([" ", word]),
            _ => lines.extend(pieces(word, columns)),
        }
    }
    lines
}

fn pieces(word: &str, columns: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for letter in word.chars() {
        match pieces.last_mut() {
            Some(piece) if piece.width() + letter.width().unwrap_or(0) <= columns => piece.push(letter),
            _ => pieces.push(letter.to_string()),
        }
    }
    pieces
}

/// Returns how many places a hit rose or fell against the engine's order, in three columns.
pub(super) fn moved(before: usize, now: usize) -> String {
    match before.cmp(&now) {
        std::cmp::Ordering::Greater => format!("{GOOD}▲{:<2}{GOOD:#}", before - now),
        std::cmp::Ordering::Less => format!("{BAD}▼{:<2}{BAD:#}", now - before),
        std::cmp::Ordering::Equal => format!("{FAINT}={FAINT:#}  "),
    }
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr;

    use super::{fitted, wrapped};

    #[test]
    fn texts_fill_their_columns_whatever_their_letters() {
        for text in ["", "short", "exactly ten", "a text that is too long", "日本語の長い題名です", "日本語のaa題", "e\u{301}tude"]
        {
            assert_eq!(fitted(text, 11).width(), 11, "{text}");
        }
        assert_eq!(fitted("a text that is too long", 11), "a text tha…");
        assert_eq!(fitted("日本語の長い題名です", 10), "日本語の… ");
    }

    #[test]
    fn lines_end_at_spaces() {
        assert_eq!(wrapped("one two  three\nfour", 9), ["one two", "three", "four"]);
        assert_eq!(wrapped("a verylongword b", 5), ["a", "veryl", "ongwo", "rd b"]);
        assert!(wrapped(" ", 5).is_empty());
    }
}
