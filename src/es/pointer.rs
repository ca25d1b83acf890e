//! JSON pointers (RFC 6901): looks one value up, and writes down where one was found.

use serde_json::value::RawValue;

use super::json::{Kind, Object, array, kind, object};

/// Returns the value at `pointer`, seen from `root`; the empty pointer is the root itself and finds nothing.
pub fn find<'a>(root: &Object<'a>, pointer: &str) -> Option<&'a RawValue> {
    let mut tokens = pointer.strip_prefix('/')?.split('/').map(|token| token.replace("~1", "/").replace("~0", "~"));
    let first = root.get(&tokens.next()?)?;
    tokens.try_fold(first, |value, token| match kind(value) {
        Kind::Object => object(value.get()).ok()?.get(&token),
        Kind::Array => array(value.get()).ok()?.get(token.parse::<usize>().ok()?).copied(),
        _ => None,
    })
}

/// Appends one step to `pointer`.
pub fn push(pointer: &mut String, token: &str) {
    pointer.push('/');
    pointer.push_str(&token.replace('~', "~0").replace('/', "~1"));
}

#[cfg(test)]
mod tests {
    use super::{find, push};
    use crate::es::json::object;

    #[test]
    fn finds_what_the_rfc_says() {
        let root = object(r#"{"a":{"b/c":[0,{"~":"x"}]},"":{"":1}}"#).expect("an object");
        let found = |pointer: &str| find(&root, pointer).map(|value| value.get());
        assert_eq!(found("/a/b~1c/1/~0"), Some("\"x\""));
        assert_eq!(found("//"), Some("1"));
        for absent in ["", "a", "/b", "/a/b", "/a/b~1c/2", "/a/b~1c/x", "/a/b~1c/0/x"] {
            assert_eq!(found(absent), None, "{absent}");
        }
    }

    #[test]
    fn steps_are_escaped() {
        let mut pointer = String::new();
        push(&mut pointer, "a/b");
        push(&mut pointer, "~1");
        assert_eq!(pointer, "/a~1b/~01");
    }
}
