//! The query string of a search as its parameters: readable by name, removable without a touch on the bytes of the others.

use std::{borrow::Cow, collections::HashSet};

use percent_encoding::percent_decode_str;

/// A query string that engines may read in more than one way: a parameter that stands twice or has no name, a bare `;`
/// (a separator for some versions), a wrong escape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the query string is not plain")]
pub struct NotPlain;

/// The parameters in the order in which they stand.
#[derive(Clone, Debug)]
pub struct Params<'a>(Vec<Param<'a>>);

#[derive(Clone, Debug)]
struct Param<'a> {
    raw: &'a str,
    name: Cow<'a, str>,
    value: Cow<'a, str>,
}

// === impl Params ===

impl<'a> Params<'a> {
    /// Returns the parameters of what stands behind the `?`; `None` where there is no `?`.
    ///
    /// # Errors
    /// See [`NotPlain`].
    pub fn parse(query: Option<&'a str>) -> Result<Self, NotPlain> {
        let mut names = HashSet::new();
        let mut params = Vec::new();
        for raw in query.into_iter().flat_map(|query| query.split('&')) {
            let (name, value) = raw.split_once('=').unwrap_or((raw, ""));
            let param = Param { raw, name: decode(name)?, value: decode(value)? };
            let named = !param.name.is_empty() && names.insert(param.name.clone());
            if raw.contains(';') || !(named || raw.is_empty()) {
                return Err(NotPlain);
            }
            params.push(param);
        }
        Ok(Self(params))
    }

    /// Returns the decoded value of `name`; empty where it stands without one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|param| !param.raw.is_empty() && param.name == name).map(|param| param.value.as_ref())
    }

    /// The decoded names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|param| !param.raw.is_empty()).map(|param| param.name.as_ref())
    }

    /// Returns the query string, `?` included, without `left_out`; empty when nothing remains.
    pub fn without(&self, left_out: &[&str]) -> String {
        let kept = self.0.iter().filter(|param| !left_out.contains(&param.name.as_ref()));
        kept.enumerate().flat_map(|(place, param)| [if place == 0 { "?" } else { "&" }, param.raw]).collect()
    }
}

/// Decodes as engines do: `+` is a space.
fn decode(text: &str) -> Result<Cow<'_, str>, NotPlain> {
    let escaped = |rest: &str| rest.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    if !text.split('%').skip(1).all(escaped) {
        return Err(NotPlain);
    }
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        return percent_decode_str(&spaced).decode_utf8().map(|decoded| Cow::Owned(decoded.into_owned())).map_err(|_| NotPlain);
    }
    percent_decode_str(text).decode_utf8().map_err(|_| NotPlain)
}

#[cfg(test)]
mod tests {
    use super::Params;

    #[test]
    fn names_and_values_are_decoded() {
        let params = Params::parse(Some("q=a+b%2Bc%22&si%7Ae=3&pretty&_source=a%2Cb&preference=x=y&")).expect("plain");
        let read = ["q", "size", "pretty", "_source", "preference", "absent", ""].map(|name| params.get(name));
        assert_eq!(read, [Some("a b+c\""), Some("3"), Some(""), Some("a,b"), Some("x=y"), None, None]);
        assert_eq!(params.names().collect::<Vec<_>>(), ["q", "size", "pretty", "_source", "preference"]);
    }

    #[test]
    fn what_remains_keeps_its_bytes_and_its_order() {
        for (query, remaining) in [
            (None, ""),
            (Some(""), "?"),
            (Some("size=3"), ""),
            (Some("q=a%2Cb+%22c%22&size=3&pretty&&from=1&x=%7b"), "?q=a%2Cb+%22c%22&pretty&&x=%7b"),
            (Some("siz%65=3&routing=a|b"), "?routing=a|b"),
        ] {
            assert_eq!(Params::parse(query).expect("plain").without(&["from", "size"]), remaining, "{query:?}");
        }
    }

    #[test]
    fn what_may_be_read_in_two_ways_is_refused() {
        for query in ["size=1&size=2", "size=1&si%7ae=1", "a=1;b=2", "a;b", "=x", "%=x", "a=%4", "a=%zz", "a=%+1", "a=%ff"] {
            assert!(Params::parse(Some(query)).is_err(), "{query}");
        }
    }
}
