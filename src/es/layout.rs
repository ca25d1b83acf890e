//! Where the items of one level of JSON stand in its text, so that a level is cut and mended while all else stays its own bytes.
//!
//! What the items mean is left to the caller.

use std::{borrow::Cow, ops::Range};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::json;

/// One walk over a JSON text, from its start to its end. What is not descended into costs no stack, however deep it is.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    place: usize,
}

/// One object's entries or one array's elements.
#[derive(Debug)]
pub(crate) struct Layout<'a> {
    text: &'a str,
    span: Range<usize>,
    items: Vec<Item<'a>>,
}

/// An entry of an object, or an element of an array (its key is empty).
#[derive(Debug)]
pub(crate) struct Item<'a> {
    /// Unescaped.
    pub(crate) key: Cow<'a, str>,
    start: usize,
    value: Range<usize>,
}

/// What becomes of an item.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    /// It stays its own bytes.
    Keep,
    /// It goes, with its comma and white space.
    Drop,
    /// Its value becomes this text.
    Replace(String),
}

/// The text is not JSON, is not what the caller expects, or holds a key twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    place: usize,
}

// === impl Malformed ===

impl Malformed {
    /// Where the walk stopped.
    pub(crate) fn place(self) -> usize {
        self.place
    }
}

// === impl Cursor ===

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let mut cursor = Self { text, place: 0 };
        cursor.skip_space();
        cursor
    }

    /// Steps over one value of any kind.
    pub(crate) fn value(&mut self) -> Result<&'a RawValue, Malformed> {
        let mut rest = serde_json::Deserializer::from_str(&self.text[self.place..]);
        let value = <&RawValue>::deserialize(&mut rest).map_err(|_| self.malformed())?;
        self.place += value.get().len();
        Ok(value)
    }

    /// Steps through an object; `read` steps over each entry's value.
    pub(crate) fn object(&mut self, mut read: impl FnMut(&mut Self, &str) -> Result<(), Malformed>) -> Result<Layout<'a>, Malformed> {
        let layout = self.level([b'{', b'}'], |cursor| {
            let start = cursor.place;
            let key = json::string(cursor.value()?).ok_or_else(|| cursor.malformed())?;
            cursor.skip_space();
            cursor.take(b':')?;
            cursor.skip_space();
            let value = cursor.place;
            read(cursor, &key)?;
            Ok(Item { key, start, value: value..cursor.place })
        })?;
        if layout.repeats_a_key() { Err(self.malformed()) } else { Ok(layout) }
    }

    /// Steps through an array; `read` steps over each element.
    pub(crate) fn array(&mut self, mut read: impl FnMut(&mut Self) -> Result<(), Malformed>) -> Result<Layout<'a>, Malformed> {
        self.level([b'[', b']'], |cursor| {
            let start = cursor.place;
            read(cursor)?;
            Ok(Item { key: Cow::Borrowed(""), start, value: start..cursor.place })
        })
    }

    /// Checks that nothing is left.
    pub(crate) fn end(mut self) -> Result<(), Malformed> {
        self.skip_space();
        if self.place == self.text.len() { Ok(()) } else { Err(self.malformed()) }
    }

    /// All that stands ahead.
    pub(crate) fn rest(&self) -> &'a str {
        &self.text[self.place..]
    }

    /// The bytes from an earlier place on.
    pub(crate) fn since(&self, place: usize) -> &'a str {
        &self.text[place..self.place]
    }

    /// Where the walk stands.
    pub(crate) fn place(&self) -> usize {
        self.place
    }

    /// The error that says where the walk stopped.
    pub(crate) fn malformed(&self) -> Malformed {
        Malformed { place: self.place }
    }

    fn level(
        &mut self,
        [open, close]: [u8; 2],
        mut read: impl FnMut(&mut Self) -> Result<Item<'a>, Malformed>,
    ) -> Result<Layout<'a>, Malformed> {
        let start = self.place;
        let mut items = Vec::new();
        self.take(open)?;
        self.skip_space();
        if self.take(close).is_err() {
            items.push(read(self)?);
            self.skip_space();
            while self.take(close).is_err() {
                self.take(b',')?;
                self.skip_space();
                items.push(read(self)?);
                self.skip_space();
            }
        }
        Ok(Layout { text: self.text, span: start..self.place, items })
    }

    fn skip_space(&mut self) {
        let rest = &self.text.as_bytes()[self.place..];
        self.place += rest.iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count();
    }

    fn take(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.text.as_bytes().get(self.place) != Some(&byte) {
            return Err(self.malformed());
        }
        self.place += 1;
        Ok(())
    }
}

// === impl Layout ===

impl<'a> Layout<'a> {
    /// Returns the layout of the object that `text` is.
    pub(crate) fn of_object(text: &'a str) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(text);
        let layout = cursor.object(|cursor, _| cursor.value().map(drop))?;
        cursor.end().map(|()| layout)
    }

    /// Returns the layout of the array that `text` is.
    pub(crate) fn of_array(text: &'a str) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(text);
        let layout = cursor.array(|cursor| cursor.value().map(drop))?;
        cursor.end().map(|()| layout)
    }

    pub(crate) fn items(&self) -> &[Item<'a>] {
        &self.items
    }

    /// Where the level stands in the text that was walked.
    pub(crate) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The level's own bytes.
    pub(crate) fn as_str(&self) -> &'a str {
        &self.text[self.span()]
    }

    /// The bytes of an item's value.
    pub(crate) fn value(&self, item: &Item<'_>) -> &'a str {
        &self.text[item.value.clone()]
    }

    /// The bracket, and the white space between it and the first item.
    pub(crate) fn opening(&self) -> &'a str {
        &self.text[self.span.start..self.items.first().map_or(self.span.start + 1, |item| item.start)]
    }

    /// The comma and the white space between the item at `place`, which is not the first, and the one before it.
    pub(crate) fn separator(&self, place: usize) -> &'a str {
        &self.text[self.items[place - 1].value.end..self.items[place].start]
    }

    /// The white space between the last item and the bracket, and the bracket.
    pub(crate) fn closing(&self) -> &'a str {
        &self.text[self.items.last().map_or(self.span.start + 1, |item| item.value.end)..self.span.end]
    }

    /// The level with nothing in it, as engines print it: `{}`, or `{ }` where they were asked for a pretty answer.
    pub(crate) fn emptied(&self) -> String {
        if self.items.is_empty() {
            return self.as_str().to_owned();
        }
        let brackets = [&self.text[self.span.start..=self.span.start], &self.text[self.span.end - 1..self.span.end]];
        brackets.join(if self.opening().len() > 1 { " " } else { "" })
    }

    /// Writes the level with each item as its edit says, and `appended` behind them.
    pub(crate) fn write(&self, edits: &[Edit], appended: Option<&str>, out: &mut String) {
        let mut empty = true;
        for (place, (item, edit)) in self.items.iter().zip(edits).enumerate().filter(|(_, (_, edit))| **edit != Edit::Drop) {
            out.push_str(if empty { self.opening() } else { self.separator(place) });
            match edit {
                Edit::Replace(value) => out.extend([&self.text[item.start..item.value.start], value]),
                Edit::Keep | Edit::Drop => out.push_str(&self.text[item.start..item.value.end]),
            }
            empty = false;
        }
        match appended {
            None if empty => return out.push_str(&self.emptied()),
            None => {}
            Some(item) if empty => out.extend([self.opening(), item]),
            Some(item) => out.extend([",", &self.opening()[1..], item]),
        }
        out.push_str(self.closing());
    }

    fn repeats_a_key(&self) -> bool {
        json::repeats(self.items.iter().map(|item| item.key.as_ref()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{Edit, Layout};

    fn edited(text: &str, edits: &[Edit], appended: Option<&str>) -> String {
        let mut out = String::new();
        Layout::of_object(text).expect("an object").write(edits, appended, &mut out);
        out
    }

    #[test]
    fn items_go_with_their_comma_and_white_space() {
        let pretty = "{\n  \"a\" : 1,\n  \"b\" : 2,\n  \"c\" : 3\n}";
        assert_eq!(edited(pretty, &[Edit::Drop, Edit::Keep, Edit::Keep], None), "{\n  \"b\" : 2,\n  \"c\" : 3\n}");
        assert_eq!(edited(pretty, &[Edit::Keep, Edit::Drop, Edit::Keep], None), "{\n  \"a\" : 1,\n  \"c\" : 3\n}");
        assert_eq!(edited(pretty, &[Edit::Keep, Edit::Keep, Edit::Drop], None), "{\n  \"a\" : 1,\n  \"b\" : 2\n}");
        assert_eq!(edited(pretty, &[Edit::Drop, Edit::Drop, Edit::Drop], None), "{ }");
        assert_eq!(edited(r#"{"a":1}"#, &[Edit::Drop], None), "{}");
    }

    #[test]
    fn values_are_replaced_and_items_appended() {
        let value = || Edit::Replace("0.5".to_owned());
        assert_eq!(edited(r#"{"a": 1 ,"b":2}"#, &[value(), Edit::Keep], None), r#"{"a": 0.5 ,"b":2}"#);
        assert_eq!(edited("{\n  \"a\" : 1\n}", &[Edit::Keep], Some("\"z\":1")), "{\n  \"a\" : 1,\n  \"z\":1\n}");
        assert_eq!(edited("{\n  \"a\" : 1\n}", &[Edit::Drop], Some("\"z\":1")), "{\n  \"z\":1\n}");
        assert_eq!(edited("{}", &[], Some("\"z\":1")), "{\"z\":1}");
        assert_eq!(edited("{ }", &[], None), "{ }");
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let twice = r#"{"a":1,"\u0061":2}"#;
        for text in ["", "[]", "{", "{}}", "{} x", r#"{"a":1,}"#, r#"{"a" 1}"#, r#"{a:1}"#, r#"{"a":1 "b":2}"#, r#"{"a":12x}"#, twice] {
            assert!(Layout::of_object(text).is_err(), "{text}");
        }
        for text in ["[1,]", "[,1]", "[1 2]", "[1", "{}"] {
            assert!(Layout::of_array(text).is_err(), "{text}");
        }
    }
}
