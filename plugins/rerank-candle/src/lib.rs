//! What the plugins that run on candle share: weights, tokens, chunks, encoders, decoders, threads, devices and fingerprints.
//!
//! What a score is, and how a text becomes one, belongs to the plugins.

mod bert;
mod chunks;
mod deberta;
mod decoder;
mod device;
mod devices;
mod fingerprint;
mod frame;
mod gguf;
mod hashed;
mod kernels;
mod layers;
mod matrix;
mod modernbert;
mod packed;
mod shape;
mod shard;
mod threads;
mod tokens;
mod weights;

pub use bert::{Bert, BertShape};
pub use chunks::{Chunks, Results, smaller_pass};
pub use deberta::{Deberta, DebertaShape};
pub use decoder::{Asked, Decoder, DecoderShape, Halt, Past, Row};
pub use device::{fault, open};
pub use devices::Devices;
pub use fingerprint::Hasher;
pub use frame::PairFrame;
pub use gguf::{Gguf, Metadata};
pub use layers::{Activation, norm};
pub use modernbert::{ModernBert, ModernBertShape};
pub use packed::{Hidden, TypedRow};
pub use threads::Threads;
pub use tokens::Tokens;
pub use weights::Weights;
