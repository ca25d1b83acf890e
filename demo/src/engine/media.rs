//! Media types: which bodies are read, and which type an answer gets.

use axum::http::{HeaderMap, HeaderValue, header};

use super::error::{ApiError, Cause};

const JSON: &str = "application/json";
/// What clients of Elasticsearch 8 and 9 send and expect back.
const VENDOR: &str = "application/vnd.elasticsearch+";

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Media {
    Json,
    /// With the major version that it should be compatible with.
    Vendor(u8),
}

/// Why a body cannot be read.
#[derive(Debug, PartialEq)]
pub(super) enum Refusal {
    /// A type that is not JSON: told as a bare sentence, with 406.
    NotSupported(String),
    /// A vendor type that makes no sense.
    Wrong(ApiError),
}

/// Refuses a body that is not said to be JSON, and types that contradict each other.
pub(super) fn check(headers: &HeaderMap, has_body: bool) -> Result<(), Refusal> {
    let content = headers.get(header::CONTENT_TYPE).map(text);
    let accepted = headers.get(header::ACCEPT).map(text);
    let content = match content {
        None if has_body => return Err(Refusal::NotSupported("Content-Type header [] is not supported".to_owned())),
        Some(written) if has_body => {
            let refused = || Refusal::NotSupported(format!("Content-Type header [{written}] is not supported"));
            Some(read(&written).map_err(Refusal::Wrong)?.ok_or_else(refused)?)
        }
        _ => None,
    };
    let accepted = accepted.as_deref().map(read).transpose().map_err(Refusal::Wrong)?.flatten();
    if let (Some(Media::Vendor(sent)), Some(Media::Vendor(wanted))) = (content, accepted)
        && sent != wanted
    {
        let reason = format!(
            "A compatible version is required on both Content-Type and Accept headers if either one has requested a compatible version \
             and the compatible versions must match. Accept={wanted}, Content-Type={sent}"
        );
        return Err(Refusal::Wrong(ApiError::new(400, Cause::new("status_exception", reason))));
    }
    Ok(())
}

/// Returns the type of the answer: the vendor type where one was asked for.
pub(super) fn of_answer(headers: &HeaderMap) -> HeaderValue {
    let asked = headers.get(header::ACCEPT).map(text).and_then(|accept| read(&accept).ok().flatten());
    match asked {
        Some(Media::Vendor(version)) => {
            HeaderValue::try_from(format!("{VENDOR}json;compatible-with={version}")).unwrap_or(HeaderValue::from_static(JSON))
        }
        _ => HeaderValue::from_static(JSON),
    }
}

/// Whether a body of this type is read.
pub(super) fn is_json(written: &str) -> bool {
    matches!(read(&written.trim().to_ascii_lowercase()), Ok(Some(_)))
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).trim().to_ascii_lowercase()
}

/// Reads a media type; `None` when it is not one of ours.
fn read(written: &str) -> Result<Option<Media>, ApiError> {
    let mut parts = written.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    if [JSON, "application/x-ndjson"].contains(&essence) {
        return Ok(Some(Media::Json));
    }
    if ![format!("{VENDOR}json"), format!("{VENDOR}x-ndjson")].iter().any(|vendor| vendor == essence) {
        return Ok(None);
    }
    let version = parts.find_map(|part| part.strip_prefix("compatible-with=")).map(|version| version.trim_matches('"'));
    match version {
        None => Ok(Some(Media::Json)),
        Some("8") => Ok(Some(Media::Vendor(8))),
        Some("9") => Ok(Some(Media::Vendor(9))),
        Some(other) => Err(ApiError::new(
            400,
            Cause::new("media_type_header_exception", format!("Invalid media-type value: compatible-with={other} is neither 8 nor 9")),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(content: &'static str, accept: &'static str) -> HeaderMap {
        [(header::CONTENT_TYPE, content), (header::ACCEPT, accept)]
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name, HeaderValue::from_static(value)))
            .collect()
    }

    const NINE: &str = "application/vnd.elasticsearch+json; compatible-with=9";

    #[test]
    fn only_json_is_read() {
        for fine in ["application/json", "Application/JSON; charset=UTF-8", "application/x-ndjson", NINE] {
            assert_eq!(check(&headers(fine, ""), true), Ok(()), "{fine}");
        }
        for refused in ["", "text/plain", "application/x-www-form-urlencoded", "application/yaml"] {
            assert!(matches!(check(&headers(refused, ""), true), Err(Refusal::NotSupported(_))), "{refused}");
            assert_eq!(check(&headers(refused, ""), false), Ok(()), "{refused}");
        }
        let seven = "application/vnd.elasticsearch+json; compatible-with=7";
        assert!(matches!(check(&headers(seven, ""), true), Err(Refusal::Wrong(_))));
        let eight = "application/vnd.elasticsearch+json; compatible-with=8";
        assert!(matches!(check(&headers(NINE, eight), true), Err(Refusal::Wrong(_))));
    }

    #[test]
    fn the_vendor_type_is_answered_where_it_was_asked_for() {
        assert_eq!(of_answer(&headers("", NINE)), "application/vnd.elasticsearch+json;compatible-with=9");
        assert_eq!(of_answer(&headers(NINE, "*/*")), "application/json");
        assert_eq!(of_answer(&headers("", "")), "application/json");
    }
}
