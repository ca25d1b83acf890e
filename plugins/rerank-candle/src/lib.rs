//! What the plugins that run on candle share: weights, tokens, encoders, decoders, threads, devices and fingerprints.
//!
//! What a score is, and how a text becomes one, belongs to the plugins.

mod bert;
mod deberta;
mod decoder;
mod device;
mod dtype;
mod fingerprint;
mod frame;
mod kernels;
mod layers;
mod modernbert;
mod packed;
mod shape;
mod threads;
mod tokens;
mod weights;

pub use bert::{Bert, BertShape};
pub use deberta::{Deberta, DebertaShape};
pub use decoder::{Asked, Decoder, DecoderShape, Halt, Past, Row};
pub use device::open;
pub use dtype::{dtype, dtype_name};
pub use fingerprint::Hasher;
pub use frame::PairFrame;
pub use layers::{Activation, norm};
pub use modernbert::{ModernBert, ModernBertShape};
pub use packed::{Hidden, TypedRow};
pub use threads::Threads;
pub use tokens::Tokens;
pub use weights::Weights;
