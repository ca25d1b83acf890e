//! Content codings: what must be undone to look inside a body, within a bound on what comes out.

use std::io::{self, Read, Write};

use brotli_decompressor::Decompressor;
use bytes::Bytes;
use flate2::{
    Compression,
    read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder},
    write::{GzEncoder, ZlibEncoder},
};
use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING},
};
use ruzstd::{
    decoding::StreamingDecoder,
    encoding::{CompressionLevel, compress_to_vec},
};

use super::compute::compute;

/// How much smaller JSON is when compressed, for telling beforehand how much work it is.
const LIKELY_RATIO: usize = 10;
/// The window that a decoder of HTTP bodies must have, and the most that one of ours has (RFC 9659 §3).
const MOST_ZSTD_WINDOW: u64 = 8 << 20;
/// What brotli's decoder reads at once.
const BROTLI_BUFFER: usize = 4096;

/// A coding that can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// None.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 1950; also RFC 1951 alone, which many take for it.
    Deflate,
    /// RFC 7932. No engine reads it, and there is no encoder here.
    Brotli,
    /// RFC 8878. OpenSearch reads it, Elasticsearch does not.
    Zstd,
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
        let coding = match values.next() {
            None => Self::Identity,
            Some(value) => Self::named(value.to_str().ok()?.trim())?,
        };
        values.next().is_none().then_some(coding)
    }

    fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "" | "identity" => Some(Self::Identity),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" | "x-deflate" => Some(Self::Deflate),
            "br" => Some(Self::Brotli),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Returns the body without its coding, at most `cap` bytes.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(self, body: &Bytes, cap: usize) -> Result<Bytes, DecodeError> {
        if self == Self::Identity || body.is_empty() {
            return if body.len() > cap { Err(DecodeError::TooLarge) } else { Ok(body.clone()) };
        }
        let unpack = || self.unpack(body, cap as u64 + 1);
        let likely = body.len().saturating_mul(LIKELY_RATIO);
        let decoded = compute(likely, unpack).and_then(Result::ok).ok_or(DecodeError::Broken)?;
        if decoded.len() > cap { Err(DecodeError::TooLarge) } else { Ok(decoded.into()) }
    }

    /// Returns the first `most` bytes of what the body decodes to; what lies behind them is not decoded.
    fn unpack(self, mut body: &[u8], most: u64) -> io::Result<Vec<u8>> {
        let mut unpacked = Vec::new();
        match self {
            Self::Identity => body.take(most).read_to_end(&mut unpacked)?,
            Self::Gzip => MultiGzDecoder::new(body).take(most).read_to_end(&mut unpacked)?,
            Self::Deflate if is_zlib(body) => ZlibDecoder::new(body).take(most).read_to_end(&mut unpacked)?,
            Self::Deflate => DeflateDecoder::new(body).take(most).read_to_end(&mut unpacked)?,
            Self::Brotli => Decompressor::new(body, BROTLI_BUFFER).take(most).read_to_end(&mut unpacked)?,
            Self::Zstd => {
                while !body.is_empty() && (unpacked.len() as u64) < most {
                    let frame = StreamingDecoder::new_with_max_window_size(&mut body, MOST_ZSTD_WINDOW).map_err(io::Error::other)?;
                    frame.take(most - unpacked.len() as u64).read_to_end(&mut unpacked)?;
                }
                unpacked.len()
            }
        };
        Ok(unpacked)
    }

    /// Returns the body in this coding; `None` where there is no encoder.
    pub fn encode(self, body: Vec<u8>) -> Option<Bytes> {
        let level = Compression::fast();
        let pack = || match self {
            Self::Identity | Self::Brotli => None,
            Self::Gzip => packed(GzEncoder::new(Vec::new(), level), &body, GzEncoder::finish),
            Self::Deflate => packed(ZlibEncoder::new(Vec::new(), level), &body, ZlibEncoder::finish),
            Self::Zstd => Some(compress_to_vec(body.as_slice(), CompressionLevel::Uncompressed)),
        };
        match self {
            Self::Identity => Some(body.into()),
            _ => compute(body.len(), pack).flatten().map(Bytes::from),
        }
    }

    /// Returns the coding in which an answer that came in this one goes out.
    pub fn for_answer(self, client: &HeaderMap) -> Self {
        match self {
            Self::Identity | Self::Gzip | Self::Deflate => self,
            Self::Brotli | Self::Zstd if accepts(client, Self::Gzip) => Self::Gzip,
            Self::Brotli | Self::Zstd => Self::Identity,
        }
    }

    /// The header's value for a message in this coding.
    pub fn header(self) -> Option<HeaderValue> {
        let name = match self {
            Self::Identity => return None,
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        };
        Some(HeaderValue::from_static(name))
    }
}

fn packed<E: Write>(mut encoder: E, body: &[u8], finish: impl FnOnce(E) -> io::Result<Vec<u8>>) -> Option<Vec<u8>> {
    encoder.write_all(body).ok()?;
    finish(encoder).ok()
}

fn is_zlib(body: &[u8]) -> bool {
    let [method, flags, ..] = body else { return false };
    method & 0x0f == 8 && ((u16::from(*method) << 8) | u16::from(*flags)).is_multiple_of(31)
}

/// Returns what the engine is asked for: of the codings that the client takes, those that are read here, as the client put it.
///
/// A client that takes anything is given gzip.
pub fn asked(client: &HeaderMap) -> Option<HeaderValue> {
    let known = items(client).filter(|(name, _)| !name.is_empty() && Coding::named(name).is_some()).map(|(_, item)| item);
    let listed = known.collect::<Vec<_>>().join(", ");
    let list = if listed.is_empty() && accepts(client, Coding::Gzip) { "gzip".to_owned() } else { listed };
    (!list.is_empty()).then(|| HeaderValue::from_str(&list).ok()).flatten()
}

/// Whether the client takes a coding (RFC 9110 §12.5.3): named, or by `*`, and not with a weight of zero.
fn accepts(client: &HeaderMap, coding: Coding) -> bool {
    let weight = |wanted: &dyn Fn(&str) -> bool| items(client).find(|(name, _)| wanted(name)).map(|(_, item)| !is_zero(item));
    weight(&|name| Coding::named(name) == Some(coding)).or_else(|| weight(&|name| name == "*")).unwrap_or(false)
}

/// The items of `Accept-Encoding`, each with its name before it.
fn items(client: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let values = client.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|item| (item.split(';').next().unwrap_or_default().trim(), item.trim()))
}

fn is_zero(item: &str) -> bool {
    item.split(';').skip(1).any(|piece| piece.trim().strip_prefix("q=").is_some_and(|weight| weight.trim().parse() == Ok(0.0)))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{
        HeaderMap, HeaderValue,
        header::{ACCEPT_ENCODING, CONTENT_ENCODING},
    };

    use super::{Coding, DecodeError, asked};

    /// `"hit "` a thousand times, by other people's encoders (node's zlib, zstd 1.5).
    const BROTLI: &str = "1b9f0ff8a541d0d2e8c4690180d501800d";
    const ZSTD: &str = "28b52ffd04685d00002068697420010099e75f2294ea0b19";
    /// 64 MiB of spaces.
    const BROTLI_BOMB: &str = "cbffff3ff82540e2b14020f7fe8fffff7ff04b00c4611180eefd1fffffffe0970088c30200ddfb3ffeffffc12f0110870500baf77ffcffff835f02200e0b0074effff8ffff07bf04401c1600e8defff1ffff0f7e0980382c00d0bdffcbffff3ffc1200715800a07bff07";

    fn bytes(hex: &str) -> Bytes {
        (0..hex.len()).step_by(2).map(|place| u8::from_str_radix(&hex[place..place + 2], 16).unwrap()).collect::<Vec<_>>().into()
    }

    fn headers(name: http::HeaderName, values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn what_was_encoded_is_decoded_within_the_cap() {
        let body = b"hit ".repeat(1000);
        for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd] {
            let packed = match coding {
                Coding::Brotli => bytes(BROTLI),
                _ => coding.encode(body.clone()).expect("an encoder"),
            };
            assert_eq!(coding.decode(&packed, 4000), Ok(Bytes::from(body.clone())), "{coding:?}");
            assert_eq!(coding.decode(&packed, 3999), Err(DecodeError::TooLarge), "{coding:?}");
            assert_eq!(coding.decode(&packed.slice(..packed.len() - 9), 4000), Err(DecodeError::Broken), "{coding:?}");
            assert_eq!(coding.decode(&Bytes::from(body.clone()), 4000), Err(DecodeError::Broken), "{coding:?}");
            assert_eq!(coding.decode(&Bytes::new(), 0), Ok(Bytes::new()), "{coding:?}");
        }
        assert!(Coding::Gzip.encode(body.clone()).expect("an encoder").len() < 200);
        assert_eq!(Coding::Identity.decode(&Bytes::from(body), 10), Err(DecodeError::TooLarge));
    }

    #[test]
    fn encoders_of_others_are_understood() {
        let body = Bytes::from(b"hit ".repeat(1000));
        assert_eq!(Coding::Zstd.decode(&bytes(ZSTD), 4000), Ok(body.clone()));
        let twice = [bytes(ZSTD), bytes(ZSTD)].concat().into();
        assert_eq!(Coding::Zstd.decode(&twice, 8000).map(|both| both.len()), Ok(8000), "frame behind frame");
        assert_eq!(Coding::Zstd.decode(&twice, 7999), Err(DecodeError::TooLarge));
        let zlib = Coding::Deflate.encode(body.to_vec()).expect("an encoder");
        assert_eq!(Coding::Deflate.decode(&zlib.slice(2..zlib.len() - 4), 4000), Ok(body), "deflate without its envelope");
    }

    /// Each of these is some kilobytes and decodes to 64 MiB or more; what is decoded of it ends at the cap.
    #[test]
    fn a_bomb_is_not_decoded_further_than_the_cap() {
        let spaces = vec![b' '; 64 << 20];
        let run = [&[0x02, 0, 0x10][..], b" "].concat(); // a block of 128 KiB, of one letter
        let zstd = [&[0x28, 0xb5, 0x2f, 0xfd, 0, 0x38][..], &run.repeat(512)].concat();
        for (coding, bomb) in [
            (Coding::Gzip, Coding::Gzip.encode(spaces.clone()).expect("an encoder")),
            (Coding::Deflate, Coding::Deflate.encode(spaces).expect("an encoder")),
            (Coding::Brotli, bytes(BROTLI_BOMB)),
            (Coding::Zstd, Bytes::from(zstd)),
        ] {
            assert!(bomb.len() < 1 << 20, "{coding:?}: {}", bomb.len());
            assert_eq!(coding.unpack(&bomb, 1001).expect("a body").len(), 1001, "{coding:?}");
            assert_eq!(coding.decode(&bomb, 1000), Err(DecodeError::TooLarge), "{coding:?}");
        }
        // A window of 64 MiB, asked for by six bytes.
        let window = Bytes::from_static(&[0x28, 0xb5, 0x2f, 0xfd, 0, 0x80]);
        assert_eq!(Coding::Zstd.decode(&window, 1000), Err(DecodeError::Broken));
    }

    #[test]
    fn codings_that_are_not_known_are_left_alone() {
        let coding = |values: &[&'static str]| Coding::of(&headers(CONTENT_ENCODING, values));
        assert_eq!(
            (coding(&[]), coding(&[""]), coding(&["identity"])),
            (Some(Coding::Identity), Some(Coding::Identity), Some(Coding::Identity))
        );
        assert_eq!(
            (coding(&["GZIP"]), coding(&["x-deflate"]), coding(&["br"])),
            (Some(Coding::Gzip), Some(Coding::Deflate), Some(Coding::Brotli))
        );
        assert_eq!((coding(&["snappy"]), coding(&["gzip, gzip"]), coding(&["gzip", "gzip"])), (None, None, None));
    }

    #[test]
    fn the_engine_is_asked_for_what_the_client_takes_and_podium_reads() {
        for (client, engine) in [
            (&["gzip, deflate, br, zstd"][..], Some("gzip, deflate, br, zstd")),
            (&["deflate, snappy, gzip;q=0.5"], Some("deflate, gzip;q=0.5")),
            (&["br;q=1.0, gzip;q=0.8, *;q=0.1"], Some("br;q=1.0, gzip;q=0.8")),
            (&["gzip", "deflate"], Some("gzip, deflate")),
            (&["*"], Some("gzip")),
            (&["*;q=0"], None),
            (&["snappy"], None),
            (&[], None),
        ] {
            let list = asked(&headers(ACCEPT_ENCODING, client));
            assert_eq!(list.as_ref().map(|list| list.to_str().unwrap()), engine, "{client:?}");
        }
    }

    #[test]
    fn an_answer_goes_out_in_a_coding_that_the_client_takes() {
        for (came, client, goes) in [
            (Coding::Deflate, "deflate", Coding::Deflate),
            (Coding::Brotli, "br, gzip", Coding::Gzip),
            (Coding::Brotli, "br, gzip;q=0, *", Coding::Identity),
            (Coding::Zstd, "br, *;q=0.5", Coding::Gzip),
            (Coding::Zstd, "zstd", Coding::Identity),
        ] {
            assert_eq!(came.for_answer(&headers(ACCEPT_ENCODING, &[client])), goes, "{came:?} {client}");
        }
    }
}
