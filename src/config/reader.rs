//! A view of a TOML file that hands out each key once, as the type that is wanted, and writes down every problem on the way.
//!
//! What a key means belongs to `raw`; nothing here knows a key by name.

use std::{
    cell::RefCell,
    net::SocketAddr,
    ops::{Range, RangeInclusive},
    time::Duration,
};

use bytesize::ByteSize;
use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

use super::Problem;

/// The problems found so far in one file.
pub(super) struct Findings<'f> {
    text: &'f str,
    problems: RefCell<Vec<Problem>>,
}

/// That a problem was written down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reported(());

/// A table whose keys are being read.
pub(super) struct Table<'f> {
    findings: &'f Findings<'f>,
    place: Place,
    entries: DeTable<'f>,
    known: Vec<&'static str>,
}

/// A value at its place.
pub(super) struct Item<'f> {
    findings: &'f Findings<'f>,
    place: Place,
    value: DeValue<'f>,
}

/// What was read under a key: a value, nothing, or something wrong that is written down already.
#[derive(Clone)]
pub(super) struct Given<'f, T> {
    findings: &'f Findings<'f>,
    place: Place,
    read: Result<Option<T>, Reported>,
}

/// Where a value stands, and how it is shown.
#[derive(Clone)]
struct Place {
    path: String,
    line: Option<usize>,
    value: Option<String>,
}

// === impl Findings ===

impl<'f> Findings<'f> {
    pub(super) fn new(text: &'f str) -> Self {
        Self { text, problems: RefCell::default() }
    }

    /// Returns the line of a byte's place, from 1.
    pub(super) fn line(text: &str, span: &Range<usize>) -> usize {
        1 + text.as_bytes().iter().take(span.start).filter(|byte| **byte == b'\n').count()
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    /// Writes the problem down, once: a value of `[defaults]` may be looked at for every rule.
    fn report(&self, place: &Place, remedy: String) -> Reported {
        let problem = Problem { path: place.path.clone(), line: place.line, value: place.value.clone(), remedy };
        let mut problems = self.problems.borrow_mut();
        if !problems.contains(&problem) {
            problems.push(problem);
        }
        Reported(())
    }
}

// === impl Table ===

impl<'f> Table<'f> {
    /// Reads the whole file.
    pub(super) fn root<T>(entries: DeTable<'f>, findings: &'f Findings<'f>, read: impl FnOnce(&mut Self) -> T) -> T {
        let place = Place { path: String::new(), line: None, value: None };
        Self { findings, place, entries, known: Vec::new() }.read_all(&[], read)
    }

    /// Reads what stands under `key`.
    pub(super) fn read<T>(&mut self, key: &'static str, read: impl FnOnce(&Item<'f>) -> Result<T, Reported>) -> Given<'f, T> {
        self.known.push(key);
        let path = joined(&self.place.path, key);
        let findings = self.findings;
        let Some((name, value)) = self.entries.remove_entry(key) else {
            let place = Place { path, line: self.place.line, value: None };
            return Given { findings, place, read: Ok(None) };
        };
        let item = Item::new(findings, path, &name.span(), value.into_inner());
        Given { findings, read: read(&item).map(Some), place: item.place }
    }

    /// Reads the table under `key`, an empty one when it is missing; `later` names keys that are known but do not work yet.
    pub(super) fn section<T>(&mut self, key: &'static str, later: &[&str], read: impl Fn(&mut Self) -> T) -> T {
        let place = Place { path: joined(&self.place.path, key), line: None, value: None };
        let findings = self.findings;
        let given = self.read(key, |item| item.table(later, &read)).optional();
        given.unwrap_or_else(|| read(&mut Self { findings, place, entries: DeTable::new(), known: Vec::new() }))
    }

    fn read_all<T>(mut self, later: &[&str], read: impl FnOnce(&mut Self) -> T) -> T {
        let all = read(&mut self);
        for name in self.entries.keys() {
            let place = Place {
                path: joined(&self.place.path, name.get_ref()),
                line: Some(Findings::line(self.findings.text, &name.span())),
                value: None,
            };
            self.findings.report(&place, unknown(name.get_ref(), &self.known, later));
        }
        all
    }
}

/// Says of an unknown key what may have been meant. Its value is not shown: it may be a secret of a newer version.
fn unknown(key: &str, known: &[&str], later: &[&str]) -> String {
    if later.contains(&key) {
        return "not supported by this version; leave it out".to_owned();
    }
    let distances = known.iter().map(|name| (strsim::damerau_levenshtein(name, key), name));
    match distances.min() {
        Some((0..=2, name)) => format!("unknown key; did you mean `{name}`?"),
        _ => format!("unknown key; known here: {}", known.join(", ")),
    }
}

fn joined(path: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let key = if bare { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

// === impl Item ===

impl<'f> Item<'f> {
    fn new(findings: &'f Findings<'f>, path: String, span: &Range<usize>, value: DeValue<'f>) -> Self {
        let place = Place { path, line: Some(Findings::line(findings.text, span)), value: Some(shown(&value)) };
        Self { findings, place, value }
    }

    /// Writes down what is wrong with this value.
    pub(super) fn refuse(&self, remedy: impl Into<String>) -> Reported {
        self.findings.report(&self.place, remedy.into())
    }

    /// The same, without showing a value that may hold a secret.
    pub(super) fn refuse_unseen(&self, remedy: impl Into<String>) -> Reported {
        self.findings.report(&Place { value: None, ..self.place.clone() }, remedy.into())
    }

    /// Returns a string as it stands; `remedy` says what else to write when it is none.
    pub(super) fn text(&self, remedy: &str) -> Result<&str, Reported> {
        match &self.value {
            DeValue::String(text) => Ok(text),
            _ => Err(self.refuse(remedy)),
        }
    }

    /// The same, without showing what stands there instead.
    pub(super) fn secret_text(&self, remedy: &str) -> Result<&str, Reported> {
        match &self.value {
            DeValue::String(text) => Ok(text),
            _ => Err(self.refuse_unseen(remedy)),
        }
    }

    /// Returns a string that has something in it.
    pub(super) fn name(&self) -> Result<String, Reported> {
        let remedy = "must be a string that is not empty";
        let text = self.text(remedy)?;
        if text.is_empty() { Err(self.refuse(remedy)) } else { Ok(text.to_owned()) }
    }

    pub(super) fn flag(&self) -> Result<bool, Reported> {
        match &self.value {
            DeValue::Boolean(flag) => Ok(*flag),
            _ => Err(self.refuse("must be true or false")),
        }
    }

    /// Returns a number from 0 to 1.
    pub(super) fn share(&self) -> Result<f64, Reported> {
        let number = match &self.value {
            DeValue::Integer(number) => number.as_str().parse().ok(),
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => None,
        };
        number.filter(|number| (0.0..=1.0).contains(number)).ok_or_else(|| self.refuse("must be a number from 0 to 1"))
    }

    pub(super) fn address(&self) -> Result<SocketAddr, Reported> {
        let remedy = "must be an IP address and a port, such as \"127.0.0.1:9280\"";
        self.text(remedy)?.parse().map_err(|_| self.refuse(remedy))
    }

    /// Returns what `read` makes of each value of an array that is not empty; `remedy` says what to write when it is none.
    pub(super) fn each<T>(&self, remedy: &str, mut read: impl FnMut(&Self) -> Result<T, Reported>) -> Result<Vec<T>, Reported> {
        let items = match &self.value {
            DeValue::Array(items) if !items.is_empty() => items,
            _ => return Err(self.refuse(remedy)),
        };
        let mut all = Vec::new();
        for (number, item) in items.iter().enumerate() {
            let path = format!("{}[{number}]", self.place.path);
            all.push(read(&Self::new(self.findings, path, &item.span(), item.get_ref().clone())));
        }
        // Collected only now: every item's problems are to be found.
        all.into_iter().collect()
    }

    /// Returns the keys and values of a table whose keys are free.
    pub(super) fn entries(&self, remedy: &str) -> Result<Vec<(String, Self)>, Reported> {
        let DeValue::Table(entries) = &self.value else {
            return Err(self.refuse(remedy));
        };
        let entry = |(name, value): (&Spanned<DeString<'f>>, &Spanned<DeValue<'f>>)| {
            let path = joined(&self.place.path, name.get_ref());
            (name.get_ref().to_string(), Self::new(self.findings, path, &name.span(), value.get_ref().clone()))
        };
        Ok(entries.iter().map(entry).collect())
    }

    /// Returns what `read` makes of a table; keys that it leaves are unknown.
    pub(super) fn table<T>(&self, later: &[&str], read: impl FnOnce(&mut Table<'f>) -> T) -> Result<T, Reported> {
        let DeValue::Table(entries) = &self.value else {
            return Err(self.refuse("must be a table"));
        };
        let place = Place { value: None, ..self.place.clone() };
        Ok(Table { findings: self.findings, place, entries: entries.clone(), known: Vec::new() }.read_all(later, read))
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(&self.value, DeValue::Array(_))
    }

    pub(super) fn is_table(&self) -> bool {
        matches!(&self.value, DeValue::Table(_))
    }
}

/// Shows a value on one short line. A string that may be an address with credentials is not shown.
fn shown(value: &DeValue<'_>) -> String {
    const LONGEST: usize = 60;
    match value {
        DeValue::String(text) if text.contains('@') => "\"…\"".to_owned(),
        DeValue::String(text) if text.chars().count() > LONGEST => {
            format!("{:?}", text.chars().take(LONGEST).chain(['…']).collect::<String>())
        }
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(datetime) => datetime.to_string(),
        DeValue::Array(items) if items.is_empty() => "[]".to_owned(),
        DeValue::Array(_) => "[…]".to_owned(),
        DeValue::Table(_) => "{…}".to_owned(),
    }
}

// === readers with a parameter ===

/// Returns a reader of whole numbers within `range`.
pub(super) fn whole(range: RangeInclusive<u32>) -> impl Fn(&Item<'_>) -> Result<u32, Reported> {
    move |item| {
        let number = match &item.value {
            DeValue::Integer(number) => u32::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        let number = number.filter(|number| range.contains(number));
        number.ok_or_else(|| item.refuse(format!("must be a whole number from {} to {}", range.start(), range.end())))
    }
}

/// Returns a reader of durations within `range`.
pub(super) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&Item<'_>) -> Result<Duration, Reported> {
    let [shortest, longest] = [range.start(), range.end()].map(|bound| humantime::format_duration(*bound));
    let remedy = format!("must be a duration from {shortest} to {longest}, such as \"300ms\" or \"10s\"");
    move |item| {
        let read = humantime::parse_duration(item.text(&remedy)?).ok();
        read.filter(|read| range.contains(read)).ok_or_else(|| item.refuse(&*remedy))
    }
}

/// Returns a reader of sizes in bytes within `range`; a plain 0 is one too.
pub(super) fn size(range: RangeInclusive<u64>) -> impl Fn(&Item<'_>) -> Result<u64, Reported> {
    let [smallest, largest] = [range.start(), range.end()].map(|bound| ByteSize(*bound).display().iec());
    let remedy = format!("must be a size from {smallest} to {largest}, such as \"64MiB\"");
    move |item| {
        let read = match &item.value {
            DeValue::Integer(number) if number.as_str() == "0" => Some(0),
            DeValue::String(text) => text.parse().ok().map(|ByteSize(bytes)| bytes),
            _ => None,
        };
        read.filter(|read| range.contains(read)).ok_or_else(|| item.refuse(&*remedy))
    }
}

/// Returns a reader of `words`, that returns what belongs to the word.
pub(super) fn word<T: Copy>(words: &[(&str, T)]) -> impl Fn(&Item<'_>) -> Result<T, Reported> {
    move |item| {
        let found = match &item.value {
            DeValue::String(text) => words.iter().find(|(word, _)| word == text),
            _ => None,
        };
        let all = || words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ");
        found.map(|(_, meaning)| *meaning).ok_or_else(|| item.refuse(format!("must be {}", all())))
    }
}

// === impl Given ===

impl<T> Given<'_, T> {
    /// Returns the value, or none when it is missing or wrong.
    pub(super) fn optional(self) -> Option<T> {
        self.read.unwrap_or_default()
    }

    /// Returns the value, or `default` when it is missing (or wrong: then nobody will use it).
    pub(super) fn or(self, default: T) -> T {
        self.optional().unwrap_or(default)
    }

    /// Returns the value; writes down that it is missing.
    pub(super) fn required(self, remedy: &str) -> Result<T, Reported> {
        match self.read {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(self.findings.report(&self.place, format!("missing; {remedy}"))),
            Err(reported) => Err(reported),
        }
    }

    /// Writes down what is wrong with the value.
    pub(super) fn refuse(&self, remedy: impl Into<String>) -> Reported {
        self.findings.report(&self.place, remedy.into())
    }

    /// Returns whether something stands under the key, right or wrong.
    pub(super) fn is_given(&self) -> bool {
        !matches!(self.read, Ok(None))
    }

    /// Returns the value to be looked at.
    pub(super) fn get(&self) -> Option<&T> {
        self.read.as_ref().ok().and_then(Option::as_ref)
    }

    /// Returns this, or `default` when it is missing and `default` is not.
    pub(super) fn or_given(self, default: &Self) -> Self
    where
        T: Clone,
    {
        if !self.is_given() && default.is_given() { default.clone() } else { self }
    }
}
