//! Loads a cross-encoder: one preparer for all threads, one scorer for each device.

use std::sync::Arc;

use rerank_candle::{Chunks, Devices, Hasher, PairFrame, Tokens};
use rerank_plugin::{
    Card, ControlTokens, Detection, Family, Fingerprint, Folder, LoadError, LoadOptions, Loaded, Progress, Scale, Scorer, Source,
};

use crate::{
    checkpoint::{Checkpoint, Mismatch, inspect},
    model::Model,
    preparer::PairPreparer,
    scorer::PairScorer,
};

/// Of this crate's code: raise it when the same files score differently.
const VERSION: u32 = 2;

/// Tokens of a pair, with the model's own, unless the operator says otherwise.
const PAIR_TOKENS: usize = 512;

/// The family of cross-encoders, `kind = "cross-encoder"`.
#[derive(Clone, Copy, Debug, Default)]
pub struct CrossEncoder;

// === impl CrossEncoder ===

impl Family for CrossEncoder {
    fn kind(&self) -> &'static str {
        "cross-encoder"
    }

    fn detect(&self, folder: &Folder) -> Detection {
        match inspect(folder) {
            Ok(_) => Detection::Yes,
            Err(Mismatch::Refused(error)) => Detection::Refused { reason: error.to_string() },
            Err(Mismatch::Other(_)) => Detection::No,
        }
    }

    fn cuts_chunks(&self) -> bool {
        true
    }

    fn load(&self, source: &Source, options: &LoadOptions, progress: &dyn Progress) -> Result<Loaded, LoadError> {
        let Source::Folder(folder) = source else {
            return Err(LoadError::Unsupported {
                reason: "a cross-encoder runs from a checkpoint, not behind an endpoint".into(),
                remedy: "set `source` to a folder or a hub name".into(),
            });
        };
        let checkpoint = inspect(folder).map_err(|(Mismatch::Other(error) | Mismatch::Refused(error))| error)?;
        let tokens = Tokens::read(folder, options.control_tokens)?;
        let frame = frame(folder, &checkpoint, &tokens)?;
        let limit = limit(&checkpoint, &frame, options.max_tokens)?;
        let chunks = Chunks::new(options.chunking, limit)?;
        let mut workers: Vec<Box<dyn Scorer>> = Vec::new();
        let mut digest = [0; 32];
        let devices = Devices::open(options)?;
        for weights in devices.read(folder, progress)? {
            digest = *weights.digest();
            let model = Model::build(&weights, &checkpoint, devices.dtype())?;
            workers.push(Box::new(PairScorer::new(model, devices.threads(&weights, options.threads)?, options)));
        }
        let fingerprint = fingerprint(folder, (&checkpoint, &digest), (limit, &chunks, devices.dtype().as_str()), options.control_tokens)?;
        let mut card = Card::new(self.kind(), fingerprint, Scale::Logit, limit as u32);
        card.chunking = chunks.asked();
        card.placement = Some(devices.placement().clone());
        Ok(Loaded::Local { preparer: Arc::new(PairPreparer::new(card, tokens, (frame, limit), chunks)), workers })
    }
}

/// Returns the frame of pairs, after making sure that the model knows all tokens and types.
fn frame(folder: &Folder, checkpoint: &Checkpoint, tokens: &Tokens) -> Result<PairFrame, LoadError> {
    let malformed = |reason| LoadError::Malformed { path: folder.path().join("tokenizer.json"), reason };
    let known = checkpoint.architecture.vocabulary();
    if tokens.vocabulary() > known {
        return Err(malformed(format!("it has {} tokens, and config.json says {known}", tokens.vocabulary())));
    }
    let frame = tokens.pair_frame().ok_or_else(|| malformed("it does not put one text behind another".into()))?;
    let types = checkpoint.architecture.types();
    if types > 1 && frame.largest_type() as usize >= types {
        return Err(malformed(format!("it has a token of type {}, and config.json says {types} types", frame.largest_type())));
    }
    Ok(if types > 1 { frame } else { frame.of_one_type() })
}

/// Returns how long pairs may be, or why that cannot be.
fn limit(checkpoint: &Checkpoint, frame: &PairFrame, asked: Option<u32>) -> Result<usize, LoadError> {
    let (positions, least) = (checkpoint.architecture.positions(), frame.size() + 2);
    let limit = asked.map_or(PAIR_TOKENS.min(positions), |asked| asked as usize);
    if limit > positions || limit < least {
        return Err(LoadError::Unsupported {
            reason: format!("max-tokens is {limit}, and the model takes {least} to {positions}"),
            remedy: "set `max-tokens` to a number between these".into(),
        });
    }
    Ok(limit)
}

fn fingerprint(
    folder: &Folder,
    (checkpoint, weights): (&Checkpoint, &[u8]),
    (limit, chunks, dtype): (usize, &Chunks, &str),
    control: ControlTokens,
) -> Result<Fingerprint, LoadError> {
    let control: &[u8] = match control {
        ControlTokens::Escape => b"escape",
        ControlTokens::Parse => b"parse",
    };
    let hasher = Hasher::new("cross-encoder", VERSION)
        .with("weights", weights)
        .with("tokenizer", &folder.read("tokenizer.json")?)
        .with("config", &checkpoint.config)
        .with("limit", &limit.to_le_bytes())
        .with("chunking", &chunks.fingerprint())
        .with("dtype", dtype.as_bytes())
        .with("control", control);
    Ok(hasher.finish())
}
