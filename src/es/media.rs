//! Media types of a search and its answer: whether both are JSON, and what a body that Podium writes is declared as.

/// Why a search's media types forbid a look inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// The body or the answer is not JSON, or the body is not declared.
    #[error("body or answer is not json")]
    NotJson,
    /// `Content-Type` and `Accept` speak different compatibility versions: engines refuse that as soon as there is a body.
    #[error("content-type and accept differ in their version")]
    Versions,
}

/// Checks that a search and its answer are JSON; `written` says whether the client itself sent a body.
///
/// # Errors
/// See [`Mismatch`].
pub fn check(content_type: Option<&str>, accept: Option<&str>, written: bool) -> Result<(), Mismatch> {
    let answer = match accept {
        Some(accept) if !is_default(accept) => compatible_with(accept).ok_or(Mismatch::NotJson)?,
        _ => None,
    };
    match content_type {
        Some(declared) if compatible_with(declared).ok_or(Mismatch::NotJson)? == answer => Ok(()),
        Some(_) => Err(Mismatch::Versions),
        None if written => Err(Mismatch::NotJson),
        None => Ok(()),
    }
}

/// Checks that a multi search, which is lines of JSON, and its answer are JSON.
///
/// # Errors
/// See [`Mismatch`].
pub fn check_lines(content_type: Option<&str>, accept: Option<&str>) -> Result<(), Mismatch> {
    // Engines read lines from JSON's own media type, too.
    let of_lines = content_type.map(|declared| declared.to_ascii_lowercase().replacen("x-ndjson", "json", 1));
    check(of_lines.as_deref(), accept, true)
}

/// Returns the `Content-Type` of a body that the client did not send: vendor types must agree with `Accept`.
pub fn of_body(accept: Option<&str>) -> &str {
    accept.map(str::trim).filter(|accept| !is_default(accept)).unwrap_or("application/json")
}

/// Whether `Accept` leaves the choice to the engine, which then answers JSON; lists are not looked into by engines either.
fn is_default(accept: &str) -> bool {
    matches!(accept.trim(), "" | "*/*") || accept.contains(',')
}

/// Returns the version that a JSON media type names, `Some(None)` when it names none, `None` when it is not plain JSON.
fn compatible_with(media_type: &str) -> Option<Option<String>> {
    let lower = media_type.to_ascii_lowercase();
    let mut parts = lower.split(';').map(str::trim);
    let vendor = match parts.next()? {
        "application/json" => false,
        "application/vnd.elasticsearch+json" => true,
        _ => return None,
    };
    let mut version = None;
    for parameter in parts {
        match parameter.split_once('=')? {
            ("charset", "utf-8" | "\"utf-8\"") => {}
            ("compatible-with", number) if vendor && version.is_none() => version = Some(number.to_owned()),
            _ => return None,
        }
    }
    Some(version)
}

#[cfg(test)]
mod tests {
    use super::{Mismatch, check, check_lines, of_body};

    const JSON: Option<&str> = Some("application/json");
    const EIGHT: Option<&str> = Some("application/vnd.elasticsearch+json; compatible-with=8");
    const NINE: Option<&str> = Some("application/vnd.elasticsearch+json;compatible-with=9");

    #[test]
    fn body_and_answer_must_be_json_of_one_version() {
        for (content_type, accept, written, checked) in [
            (JSON, None, true, Ok(())),
            (Some("Application/JSON; charset=UTF-8"), Some("*/*"), true, Ok(())),
            (JSON, Some("application/json, text/plain, */*"), true, Ok(())),
            (EIGHT, EIGHT, true, Ok(())),
            (Some("application/vnd.elasticsearch+json; compatible-with=9; charset=utf-8"), NINE, true, Ok(())),
            (Some("application/vnd.elasticsearch+json"), JSON, true, Ok(())),
            (Some("application/json; compatible-with=9"), NINE, true, Err(Mismatch::NotJson)),
            (None, NINE, false, Ok(())),
            (None, None, false, Ok(())),
            (None, None, true, Err(Mismatch::NotJson)),
            (EIGHT, NINE, true, Err(Mismatch::Versions)),
            (JSON, NINE, false, Err(Mismatch::Versions)),
            (EIGHT, None, true, Err(Mismatch::Versions)),
            (Some("application/yaml"), None, true, Err(Mismatch::NotJson)),
            (Some("application/json; charset=utf-16"), None, true, Err(Mismatch::NotJson)),
            (Some("application/x-ndjson"), None, true, Err(Mismatch::NotJson)),
            (JSON, Some("application/cbor"), true, Err(Mismatch::NotJson)),
            (None, Some("application/yaml"), false, Err(Mismatch::NotJson)),
        ] {
            assert_eq!(check(content_type, accept, written), checked, "{content_type:?} {accept:?} {written}");
        }
    }

    #[test]
    fn lines_are_json_by_either_name() {
        let lines = Some("application/x-ndjson; charset=utf-8");
        let vendor = Some("application/vnd.elasticsearch+x-ndjson; compatible-with=9");
        for (content_type, accept, checked) in [
            (lines, None, Ok(())),
            (JSON, JSON, Ok(())),
            (vendor, NINE, Ok(())),
            (NINE, NINE, Ok(())),
            (vendor, EIGHT, Err(Mismatch::Versions)),
            (None, None, Err(Mismatch::NotJson)),
            (Some("text/x-ndjson"), None, Err(Mismatch::NotJson)),
            (lines, Some("application/smile"), Err(Mismatch::NotJson)),
        ] {
            assert_eq!(check_lines(content_type, accept), checked, "{content_type:?} {accept:?}");
        }
    }

    #[test]
    fn a_body_of_ours_is_declared_as_the_answer_is_asked_for() {
        for (accept, declared) in [
            (None, "application/json"),
            (Some(" */* "), "application/json"),
            (Some("text/html, */*"), "application/json"),
            (NINE, "application/vnd.elasticsearch+json;compatible-with=9"),
        ] {
            assert_eq!(of_body(accept), declared);
        }
    }
}
