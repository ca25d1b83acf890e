//! How long documents are cut into chunks: `chunking = { tokens = 256, overlap = 32, max = 4 }` of a model.

use rerank_plugin::Chunking;

use super::{
    Kind,
    reader::{Item, Reported, whole},
};

/// Where nothing else is written: tokens of a chunk, how many chunks' overlaps make one chunk, and chunks of a document.
const TOKENS: u32 = 256;
const OVERLAPS: u32 = 8;
const CHUNKS: u32 = 4;

/// Reads the table of a model of this kind, if one is named, that reads at most `max_tokens` at once, if that is written.
pub(super) fn chunking(item: &Item<'_>, kind: Option<&Kind>, max_tokens: Option<u32>) -> Result<Chunking, Reported> {
    if let Some(kind) = kind.filter(|kind| !kind.chunks) {
        return Err(
            item.refuse(format!("{} cuts no chunks; leave it out, raise max-tokens, or take a cross-encoder or a qwen3", kind.name))
        );
    }
    if !item.is_table() {
        return Err(item.refuse("must be a table, such as { tokens = 256, overlap = 32, max = 4 }"));
    }
    let (tokens, overlap, max) = item.table(&[], |table| {
        let tokens = table.read("tokens", whole(8..=131_072));
        (tokens, table.read("overlap", whole(0..=131_071)), table.read("max", whole(1..=64)))
    })?;
    let length = tokens.get().copied().unwrap_or_else(|| max_tokens.map_or(TOKENS, |most| most.min(TOKENS)));
    if max_tokens.is_some_and(|most| length > most) {
        tokens
            .refuse("is more than max-tokens, so that no chunk is ever whole; write fewer, less by what queries take, or raise max-tokens");
    }
    if overlap.get().is_some_and(|overlap| *overlap >= length) {
        overlap.refuse(format!("must be fewer than the {length} tokens of a chunk, so that each chunk says something new"));
    }
    Ok(Chunking { tokens: length, overlap: overlap.or(length / OVERLAPS), max: max.or(CHUNKS) })
}
