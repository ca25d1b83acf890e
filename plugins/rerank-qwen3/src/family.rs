//! Loads a Qwen3 reranker: one preparer for all threads, one scorer for each device.

use std::sync::Arc;

use candle_core::DType;
use rerank_candle::{Chunks, Decoder, Devices, Hasher, Threads, Weights};
use rerank_plugin::{
    Card, ControlTokens, Detection, Family, Fingerprint, Folder, LoadError, LoadOptions, Loaded, Progress, Scale, Scorer, Source,
};

use crate::{
    checkpoint::{Answers, Checkpoint, Mismatch, TOKENIZER, Words, inspect},
    head,
    preparer::Qwen3Preparer,
    prompt::{INSTRUCTION, Prompt},
    scorer::Qwen3Scorer,
};

/// Of this crate's code: raise it when the same files give other scores.
const VERSION: u32 = 1;

/// Tokens of a pair unless the operator says otherwise, and the most that the models are made for.
const PAIR_TOKENS: usize = 4096;
const MOST_TOKENS: usize = 32_768;

/// The family of Qwen3 rerankers, `kind = "qwen3"`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Qwen3;

/// What a worker is built of, beside the weights.
struct Plan<'a> {
    checkpoint: &'a Checkpoint,
    answers: Found,
    limit: usize,
    chunks: Chunks,
    dtype: DType,
}

/// The head's answers, found.
#[derive(Clone, Copy)]
enum Found {
    Words(Words),
    Logit,
    Rows { yes: usize, no: usize },
}

// === impl Qwen3 ===

impl Family for Qwen3 {
    fn kind(&self) -> &'static str {
        "qwen3"
    }

    fn detect(&self, folder: &Folder) -> Detection {
        match inspect(folder) {
            Ok(checkpoint) => checkpoint.doubt().map_or(Detection::Yes, |reason| Detection::Refused { reason }),
            Err(Mismatch::Refused(error)) => Detection::Refused { reason: error.to_string() },
            Err(Mismatch::Other(_)) => Detection::No,
        }
    }

    fn reads_gguf(&self) -> bool {
        true
    }

    fn cuts_chunks(&self) -> bool {
        true
    }

    fn load(&self, source: &Source, options: &LoadOptions, progress: &dyn Progress) -> Result<Loaded, LoadError> {
        let Source::Folder(folder) = source else {
            return Err(LoadError::Unsupported {
                reason: "a Qwen3 reranker runs from a checkpoint, not behind an endpoint".into(),
                remedy: "set `source` to a folder or a hub name".into(),
            });
        };
        let checkpoint = inspect(folder).map_err(|(Mismatch::Other(error) | Mismatch::Refused(error))| error)?;
        let prompt = prompt(folder, &checkpoint, options.control_tokens)?;
        let limit = limit(&checkpoint, &prompt, options.max_tokens)?;
        let chunks = Chunks::new(options.chunking, limit)?;
        let answers = found(folder, &checkpoint, &prompt)?;
        let devices = Devices::open(options)?;
        let plan = Plan { checkpoint: &checkpoint, answers, limit, chunks, dtype: devices.dtype() };
        let mut workers: Vec<Box<dyn Scorer>> = Vec::new();
        let mut digest = [0; 32];
        let read = match &checkpoint.gguf {
            Some(gguf) => devices.read_gguf(gguf, progress)?,
            None => devices.read(folder, progress)?,
        };
        for mut weights in read {
            digest = *weights.digest();
            let threads = devices.threads(&weights, options.threads)?;
            workers.push(Box::new(plan.worker(&mut weights, threads, options.batch_tokens)?));
        }
        let fingerprint = plan.fingerprint(folder, &digest, options.control_tokens)?;
        let mut card = Card::new(self.kind(), fingerprint, Scale::Logit, limit as u32);
        card.takes_instruction = true;
        card.chunking = chunks.asked();
        card.placement = Some(devices.placement().clone());
        Ok(Loaded::Local { preparer: Arc::new(Qwen3Preparer::new(card, prompt, chunks)), workers })
    }
}

fn prompt(folder: &Folder, checkpoint: &Checkpoint, control: ControlTokens) -> Result<Prompt, LoadError> {
    let tokens = checkpoint.tokens(folder, ControlTokens::Parse)?;
    let (has, says) = (tokens.vocabulary(), checkpoint.shape.vocabulary());
    if has > says {
        let what = checkpoint.gguf.as_ref().map_or("config.json", |_| "token_embd.weight");
        let reason = format!("it has {has} tokens, and {what} says {says}");
        return Err(LoadError::Malformed { path: checkpoint.tokenizer(folder), reason });
    }
    Prompt::new(tokens, control, &checkpoint.tokenizer(folder))
}

/// Returns how long a pair may be, or why that cannot be.
fn limit(checkpoint: &Checkpoint, prompt: &Prompt, asked: Option<u32>) -> Result<usize, LoadError> {
    let (least, most) = (prompt.least(), MOST_TOKENS.min(checkpoint.shape.positions()));
    let limit = asked.map_or(PAIR_TOKENS.min(most), |asked| asked as usize);
    if (least..=most).contains(&limit) {
        return Ok(limit);
    }
    Err(LoadError::Unsupported {
        reason: format!("max-tokens is {limit}, and the model takes {least} to {most}"),
        remedy: "set `max-tokens` to a number between these".into(),
    })
}

fn found(folder: &Folder, checkpoint: &Checkpoint, prompt: &Prompt) -> Result<Found, LoadError> {
    match checkpoint.answers {
        Answers::Logit => Ok(Found::Logit),
        Answers::Rows { yes, no } => Ok(Found::Rows { yes, no }),
        Answers::Words(Some(words)) => Ok(Found::Words(words)),
        Answers::Words(None) => prompt.words().map(Found::Words).ok_or_else(|| LoadError::Malformed {
            path: checkpoint.tokenizer(folder),
            reason: "`yes` and `no` are not one token each".into(),
        }),
    }
}

// === impl Plan ===

impl Plan<'_> {
    fn worker(&self, weights: &mut Weights, threads: Threads, batch_tokens: u32) -> Result<Qwen3Scorer, LoadError> {
        let shape = &self.checkpoint.shape;
        let decoder = Decoder::take(weights, shape.clone(), self.limit, self.dtype)?;
        let answer = match self.answers {
            Found::Words(words) => head::take_words(weights, &decoder, shape, words)?,
            Found::Logit => head::take_logit(weights, shape)?,
            Found::Rows { yes, no } => head::take_rows(weights, shape, (yes, no))?,
        };
        weights.finish()?;
        Ok(Qwen3Scorer::new(decoder, answer, threads, batch_tokens))
    }

    fn fingerprint(&self, folder: &Folder, weights: &[u8], control: ControlTokens) -> Result<Fingerprint, LoadError> {
        let control: &[u8] = match control {
            ControlTokens::Escape => b"escape",
            ControlTokens::Parse => b"parse",
        };
        // A GGUF file is all of the model, and so its digest covers all.
        let tokenizer = self.checkpoint.gguf.as_ref().map_or_else(|| folder.read(TOKENIZER), |_| Ok(Vec::new()))?;
        let hasher = Hasher::new("qwen3", VERSION)
            .with("weights", weights)
            .with("tokenizer", &tokenizer)
            .with("config", &self.checkpoint.config)
            .with("answers", &self.checkpoint.logit_score)
            .with("instruction", INSTRUCTION.as_bytes())
            .with("limit", &self.limit.to_le_bytes())
            .with("chunking", &self.chunks.fingerprint())
            .with("dtype", self.dtype.as_str().as_bytes())
            .with("control", control);
        Ok(hasher.finish())
    }
}
