//! Content codings as clients, engines and what stands between them use them.

use std::io::{Read, Write};

use brotli_decompressor::Decompressor;
use flate2::{
    Compression,
    read::{GzDecoder, ZlibDecoder},
    write::{GzEncoder, ZlibEncoder},
};
use ruzstd::{
    decoding::StreamingDecoder,
    encoding::{CompressionLevel, compress_to_vec},
};

/// Returns the bytes in a coding, by its name in `Content-Encoding`.
pub(crate) fn pack(coding: &str, bytes: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        "br" => stored_brotli(bytes),
        "zstd" => compress_to_vec(bytes, CompressionLevel::Fastest),
        _ => bytes.to_vec(),
    }
}

/// Undoes a coding; `None` when the bytes are not in it.
pub(crate) fn unpack(coding: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    match coding {
        "gzip" => GzDecoder::new(bytes).read_to_end(&mut plain).ok()?,
        "deflate" => ZlibDecoder::new(bytes).read_to_end(&mut plain).ok()?,
        "br" => Decompressor::new(bytes, 4096).read_to_end(&mut plain).ok()?,
        "zstd" => StreamingDecoder::new(bytes).ok()?.read_to_end(&mut plain).ok()?,
        _ => return Some(bytes.to_vec()),
    };
    Some(plain)
}

/// Brotli without compression (RFC 7932 §9.2): blocks that hold their bytes as they are.
fn stored_brotli(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    for (place, block) in bytes.chunks(1 << 16).enumerate() {
        // From the lowest bit: a window of 64 KiB (first block), not the last block, a length of four digits, the length - 1, stored.
        let (skipped, length) = (usize::from(place == 0), block.len() - 1);
        let header = ((length << 3) | (1 << 19)) << skipped;
        packed.extend_from_slice(&header.to_le_bytes()[..3]);
        packed.extend_from_slice(block);
    }
    packed.push(if bytes.is_empty() { 0b110 } else { 0b11 });
    packed
}
