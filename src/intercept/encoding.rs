//! Content codings: what must be undone to look inside a body, within a bound on what comes out.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use http::{HeaderMap, HeaderValue, header::CONTENT_ENCODING};

use super::compute::compute;

/// How much smaller JSON is in gzip, for telling beforehand how much work it is.
const LIKELY_RATIO: usize = 10;

/// A coding that can be undone and done again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// None.
    Identity,
    /// RFC 1952.
    Gzip,
}

/// Why a body cannot be looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It is not what its header says.
    #[error("the body is not in its content coding")]
    Broken,
    /// It decodes to more than the cap.
    #[error("the body decodes to more than the cap")]
    TooLarge,
}

// === impl Coding ===

impl Coding {
    /// Returns the coding of a message with these headers; `None` for one that is not known here.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(CONTENT_ENCODING).iter();
        let coding = match values.next().map(HeaderValue::as_bytes) {
            None => Self::Identity,
            Some(value) if value.eq_ignore_ascii_case(b"identity") => Self::Identity,
            Some(value) if value.eq_ignore_ascii_case(b"gzip") || value.eq_ignore_ascii_case(b"x-gzip") => Self::Gzip,
            Some(_) => return None,
        };
        values.next().is_none().then_some(coding)
    }

    /// Returns the body without its coding, at most `cap` bytes.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(self, body: &Bytes, cap: usize) -> Result<Bytes, DecodeError> {
        let decoded = match self {
            Self::Identity => body.clone(),
            Self::Gzip if body.is_empty() => Bytes::new(),
            Self::Gzip => {
                let inflate = || {
                    let mut decoded = Vec::new();
                    MultiGzDecoder::new(body.as_ref()).take(cap as u64 + 1).read_to_end(&mut decoded).map(|_| decoded.into())
                };
                let likely = body.len().saturating_mul(LIKELY_RATIO);
                compute(likely, inflate).and_then(Result::ok).ok_or(DecodeError::Broken)?
            }
        };
        if decoded.len() > cap { Err(DecodeError::TooLarge) } else { Ok(decoded) }
    }

    /// Returns the body in this coding.
    pub fn encode(self, body: Vec<u8>) -> Bytes {
        match self {
            Self::Identity => body.into(),
            Self::Gzip => {
                let deflate = || {
                    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                    encoder.write_all(&body).and_then(|()| encoder.finish())
                };
                compute(body.len(), deflate).and_then(Result::ok).expect("writing to memory does not fail").into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, header::CONTENT_ENCODING};

    use super::{Coding, DecodeError};

    #[test]
    fn what_was_encoded_is_decoded_within_the_cap() {
        let body = b"hit ".repeat(1000);
        let gzipped = Coding::Gzip.encode(body.clone());
        assert!(gzipped.len() < 200);
        assert_eq!(Coding::Gzip.decode(&gzipped, 4000), Ok(Bytes::from(body.clone())));
        assert_eq!(Coding::Gzip.decode(&gzipped, 3999), Err(DecodeError::TooLarge));
        assert_eq!(Coding::Gzip.decode(&gzipped.slice(..gzipped.len() - 9), 4000), Err(DecodeError::Broken));
        assert_eq!(Coding::Identity.decode(&Bytes::from(body), 10), Err(DecodeError::TooLarge));
    }

    #[test]
    fn codings_that_are_not_known_are_left_alone() {
        let coding = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            values.iter().for_each(|value| {
                headers.append(CONTENT_ENCODING, HeaderValue::from_static(value));
            });
            Coding::of(&headers)
        };
        assert_eq!((coding(&[]), coding(&["GZIP"])), (Some(Coding::Identity), Some(Coding::Gzip)));
        assert_eq!((coding(&["br"]), coding(&["gzip, gzip"]), coding(&["gzip", "gzip"])), (None, None, None));
    }
}
