//! Reads the engine's answer to a widened search, as far as it can be trusted.

use bytes::Bytes;
use http::{Response, StatusCode, header, response};
use http_body::Body as _;

use crate::{
    body::{Body, Collected, collect_metered},
    intercept::{
        Gateway,
        encoding::{Coding, DecodeError},
    },
    rerank::Reason,
};

/// What the engine said to a widened search.
pub enum Answer {
    /// A page of hits, to be looked into.
    Hits {
        /// Status and headers.
        head: response::Parts,
        /// How the body came.
        coding: Coding,
        /// The body, decoded.
        decoded: Bytes,
    },
    /// Something that has no hits and is the answer: an error that the original search would meet too.
    Final(Response<Body>),
    /// Nothing that may go out: the original search is to be sent instead.
    Refused(Reason),
}

/// Reads the answer, as much as the gateway looks into. A search that was not rewritten meets no error but its own.
pub async fn read(response: Response<Body>, gateway: &Gateway, rewritten: bool) -> Answer {
    let (cap, memory) = (gateway.max_inspected_body, gateway.memory());
    match response.status() {
        StatusCode::OK => {}
        _ if !rewritten => return Answer::Final(response),
        // What engines, and what stands before them, say to a body or a media type that the client's own search lacks.
        StatusCode::BAD_REQUEST
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::NOT_ACCEPTABLE
        | StatusCode::LENGTH_REQUIRED
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNSUPPORTED_MEDIA_TYPE
        | StatusCode::INTERNAL_SERVER_ERROR => return Answer::Refused(Reason::RewriteRejected),
        _ => return Answer::Final(response),
    }
    let (head, body) = response.into_parts();
    let Some(coding) = Coding::of(&head.headers).filter(|_| is_json(&head)) else { return Answer::Refused(Reason::UpstreamAnswer) };
    if body.size_hint().lower() > cap as u64 {
        return Answer::Refused(Reason::TooLarge);
    }
    let mut room = memory.room();
    let whole = match collect_metered(body, cap, None, |bytes| room.add(bytes)).await {
        Ok(Collected::Whole(whole)) => room.until_dropped(whole),
        Ok(Collected::TooLarge(_)) if room.was_refused() => return Answer::Refused(Reason::Overloaded),
        Ok(Collected::TooLarge(_) | Collected::TooSlow(_)) => return Answer::Refused(Reason::TooLarge),
        Err(_) => return Answer::Refused(Reason::UpstreamAnswer),
    };
    match coding.decode(&whole, cap) {
        Ok(decoded) => match memory.keep(decoded, &whole) {
            Some(decoded) => Answer::Hits { head, coding, decoded },
            None => Answer::Refused(Reason::Overloaded),
        },
        Err(DecodeError::TooLarge) => Answer::Refused(Reason::TooLarge),
        Err(DecodeError::Broken) => Answer::Refused(Reason::UpstreamAnswer),
    }
}

fn is_json(head: &response::Parts) -> bool {
    let media_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json") || essence.to_ascii_lowercase().ends_with("+json")
}
