//! Loads an embedding model: one preparer for all threads, one scorer for each device.

use std::sync::Arc;

use rerank_candle::{Devices, Hasher, Tokens};
use rerank_plugin::{
    Card, ControlTokens, Detection, Family, Fingerprint, Folder, LoadError, LoadOptions, Loaded, Progress, Scale, Scorer, Source,
};

use crate::{
    checkpoint::{Body, Checkpoint, Mismatch, inspect},
    encoder::Encoder,
    modules::Pooling,
    preparer::{EmbeddingPreparer, Limits, Reading},
    scorer::EmbeddingScorer,
};

/// Of this crate's code: raise it when the same files give other vectors.
const VERSION: u32 = 4;

/// Tokens of a document with its prompt and of a query without, with the model's own around them, unless the operator says
/// otherwise.
const DOCUMENT_TOKENS: usize = 256;
const QUERY_TOKENS: usize = 64;
/// The most tokens of a text for a decoder, whatever its file says.
const MOST_TOKENS: usize = 32_768;

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

    fn makes_vectors(&self) -> bool {
        true
    }

    fn load(&self, source: &Source, options: &LoadOptions, progress: &dyn Progress) -> Result<Loaded, LoadError> {
        let Source::Folder(folder) = source else {
            return Err(LoadError::Unsupported {
                reason: "an embedding model runs from a checkpoint, not behind an endpoint".into(),
                remedy: "set `source` to a folder or a hub name".into(),
            });
        };
        let checkpoint = inspect(folder).map_err(|(Mismatch::Other(error) | Mismatch::Refused(error))| error)?;
        let reading = reading(folder, &checkpoint, options)?;
        let dimensions = dimensions(&checkpoint.body, options.dimensions)?;
        let limits = reading.limits;
        let mut workers: Vec<Box<dyn Scorer>> = Vec::new();
        let mut digest = [0; 32];
        let devices = Devices::open(options)?;
        for weights in devices.read(folder, progress)? {
            digest = *weights.digest();
            let threads = devices.threads(&weights, options.threads)?;
            let encoder = Encoder::build(weights, &checkpoint, limits.positions, devices.dtype())?;
            workers.push(Box::new(EmbeddingScorer::new(encoder, threads, dimensions, options)));
        }
        let numbers = (limits, dimensions, devices.dtype().as_str());
        let fingerprint = fingerprint(folder, (&checkpoint, &digest), numbers, options)?;
        let mut card = Card::new(self.kind(), fingerprint, Scale::Cosine, limits.document as u32);
        card.placement = Some(devices.placement().clone());
        card.keeps_vectors = true;
        card.takes_instruction = reading.prompts.instructed("").is_some();
        let preparer = EmbeddingPreparer::new(card, reading, Arc::clone(&options.store));
        Ok(Loaded::Local { preparer: Arc::new(preparer), workers })
    }
}

/// Returns how texts become tokens, after making sure that the tokenizer does what the model needs.
fn reading(folder: &Folder, checkpoint: &Checkpoint, options: &LoadOptions) -> Result<Reading, LoadError> {
    let tokens = Tokens::read(folder, options.control_tokens)?;
    let (has, known) = (tokens.reach(), checkpoint.body.vocabulary());
    let malformed = |reason| LoadError::Malformed { path: folder.path().join("tokenizer.json"), reason };
    if has > known {
        return Err(malformed(format!("it has {has} tokens, and config.json says {known}")));
    }
    let side = match (checkpoint.modules.pooling, tokens.sides()) {
        (Pooling::First, ([], _)) => Some("before"),
        (Pooling::Last, (_, [])) => Some("behind"),
        _ => None,
    };
    if let Some(side) = side {
        let name = checkpoint.modules.pooling.name();
        return Err(malformed(format!("it puts no token of the model's own {side} texts, which the pooling {name} wants")));
    }
    let prompts = checkpoint.prompts.clone();
    for prompt in [&prompts.query, &prompts.document] {
        let control = tokens.control_token_in(prompt).filter(|_| options.control_tokens == ControlTokens::Escape);
        if let Some(token) = control {
            return Err(LoadError::Unsupported {
                reason: format!("the prompt {prompt:?} holds the control token {token:?}"),
                remedy: "set control-tokens = \"parse\", where texts come from people you trust".into(),
            });
        }
    }
    let limits = limits(&checkpoint.body, &tokens, options.max_tokens)?;
    let reading = Reading { tokens, limits, prompts, lower_case: checkpoint.modules.lower_case };
    reading.check_prompts().map(|()| reading)
}

/// Returns how long texts may be, or why that cannot be.
fn limits(body: &Body, tokens: &Tokens, asked: Option<u32>) -> Result<Limits, LoadError> {
    let (positions, frame) = (body.positions().min(MOST_TOKENS), tokens.frame());
    let document = asked.map_or(DOCUMENT_TOKENS.min(positions), |asked| asked as usize);
    if document > positions || document <= frame {
        return Err(LoadError::Unsupported {
            reason: format!("max-tokens is {document}, and the model takes {} to {positions}", frame + 1),
            remedy: "set `max-tokens` to a number between these".into(),
        });
    }
    Ok(Limits { document, query: QUERY_TOKENS.min(positions), positions })
}

/// Returns how many components a vector has, or why it cannot have so many.
fn dimensions(body: &Body, asked: Option<u32>) -> Result<usize, LoadError> {
    let (hidden, dimensions) = (body.hidden(), asked.map_or(body.hidden(), |asked| asked as usize));
    if (1..=hidden).contains(&dimensions) {
        return Ok(dimensions);
    }
    Err(LoadError::Unsupported {
        reason: format!("dimensions is {dimensions}, and the model's vectors have {hidden}"),
        remedy: "set `dimensions` to a smaller number that the model was trained for".into(),
    })
}

fn fingerprint(
    folder: &Folder,
    (checkpoint, weights): (&Checkpoint, &[u8]),
    (limits, dimensions, dtype): (Limits, usize, &str),
    options: &LoadOptions,
) -> Result<Fingerprint, LoadError> {
    let control: &[u8] = match options.control_tokens {
        ControlTokens::Escape => b"escape",
        ControlTokens::Parse => b"parse",
    };
    let hasher = Hasher::new("embedding", VERSION)
        .with("weights", weights)
        .with("tokenizer", &folder.read("tokenizer.json")?)
        .with("config", &checkpoint.config)
        .with("pooling", checkpoint.modules.pooling.name().as_bytes())
        .with("lower case", &[checkpoint.modules.lower_case.into()])
        .with("query prompt", checkpoint.prompts.query.as_bytes())
        .with("document prompt", checkpoint.prompts.document.as_bytes())
        .with("document", &limits.document.to_le_bytes())
        .with("query", &limits.query.to_le_bytes())
        .with("dimensions", &dimensions.to_le_bytes())
        .with("half", &[options.half_vectors.into()])
        .with("dtype", dtype.as_bytes())
        .with("control", control);
    Ok(hasher.finish())
}
