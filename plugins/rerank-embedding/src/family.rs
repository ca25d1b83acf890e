//! Loads an embedding model: one preparer for all threads, one scorer for each device.

use std::sync::Arc;

use rerank_candle::{BertShape, Hasher, Threads, Tokens, Weights, dtype, dtype_name, open};
use rerank_plugin::{
    Card, ControlTokens, Detection, Family, Fingerprint, Folder, LoadError, LoadOptions, Loaded, Progress, Scale, Scorer, Source,
};

use crate::{
    checkpoint::{Checkpoint, Mismatch, inspect},
    encoder::Encoder,
    preparer::{EmbeddingPreparer, Limits},
    scorer::EmbeddingScorer,
};

/// Of this crate's code: raise it when the same files give other vectors.
const VERSION: u32 = 2;

/// Tokens of a document and of a query, with the model's own around them, unless the operator says otherwise.
const DOCUMENT_TOKENS: usize = 256;
const QUERY_TOKENS: usize = 64;

/// The family of bi-encoders, `kind = "embedding"`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Embedding;

// === impl Embedding ===

impl Family for Embedding {
    fn kind(&self) -> &'static str {
        "embedding"
    }

    fn detect(&self, folder: &Folder) -> Detection {
        match inspect(folder) {
            Ok(_) => Detection::Yes,
            Err(Mismatch::Refused(error)) => Detection::Refused { reason: error.to_string() },
            Err(Mismatch::Other(_)) => Detection::No,
        }
    }

    fn load(&self, source: &Source, options: &LoadOptions, progress: &dyn Progress) -> Result<Loaded, LoadError> {
        let Source::Folder(folder) = source else {
            return Err(LoadError::Unsupported {
                reason: "an embedding model runs from a checkpoint, not behind an endpoint".into(),
                remedy: "set `source` to a folder or a hub name".into(),
            });
        };
        let checkpoint = inspect(folder).map_err(|(Mismatch::Other(error) | Mismatch::Refused(error))| error)?;
        let tokens = Tokens::read(folder, options.control_tokens)?;
        let limits = limits(folder, &checkpoint.shape, &tokens, options.max_tokens)?;
        let mut workers: Vec<Box<dyn Scorer>> = Vec::new();
        let mut digest = [0; 32];
        for device in &options.devices {
            let weights = Weights::read(folder, &open(*device)?, progress)?;
            digest = *weights.digest();
            let encoder = Encoder::build(&weights, &checkpoint.shape, dtype(options.dtype))?;
            let threads = Threads::start(options.threads)?;
            workers.push(Box::new(EmbeddingScorer::new(encoder, threads, options)));
        }
        let fingerprint = fingerprint(folder, &checkpoint, &digest, (limits, options))?;
        let mut card = Card::new(self.kind(), fingerprint, Scale::Cosine, limits.document as u32);
        card.keeps_vectors = true;
        let preparer = EmbeddingPreparer::new(card, tokens, limits, Arc::clone(&options.store));
        Ok(Loaded::Local { preparer: Arc::new(preparer), workers })
    }
}

/// Returns how long texts may be, or why that cannot be.
fn limits(folder: &Folder, shape: &BertShape, tokens: &Tokens, asked: Option<u32>) -> Result<Limits, LoadError> {
    let (positions, frame) = (shape.positions(), tokens.frame());
    if tokens.vocabulary() > shape.vocabulary() {
        let reason = format!("it has {} tokens, and config.json says {}", tokens.vocabulary(), shape.vocabulary());
        return Err(LoadError::Malformed { path: folder.path().join("tokenizer.json"), reason });
    }
    let document = asked.map_or(DOCUMENT_TOKENS.min(positions), |asked| asked as usize);
    if document > positions || document <= frame {
        return Err(LoadError::Unsupported {
            reason: format!("max-tokens is {document}, and the model takes {} to {positions}", frame + 1),
            remedy: "set `max-tokens` to a number between these".into(),
        });
    }
    Ok(Limits { document, query: QUERY_TOKENS.min(positions) })
}

fn fingerprint(
    folder: &Folder,
    checkpoint: &Checkpoint,
    weights: &[u8],
    (limits, options): (Limits, &LoadOptions),
) -> Result<Fingerprint, LoadError> {
    let control: &[u8] = match options.control_tokens {
        ControlTokens::Escape => b"escape",
        ControlTokens::Parse => b"parse",
    };
    let hasher = Hasher::new("embedding", VERSION)
        .with("weights", weights)
        .with("tokenizer", &folder.read("tokenizer.json")?)
        .with("config", &checkpoint.config)
        .with("pooling", &checkpoint.pooling)
        .with("document", &limits.document.to_le_bytes())
        .with("query", &limits.query.to_le_bytes())
        .with("dtype", dtype_name(options.dtype).as_bytes())
        .with("control", control);
    Ok(hasher.finish())
}
