//! What the plugins that run on candle share: weights, tokens, encoders, decoders, threads, devices and fingerprints.
//!
//! What a score is, and how a text becomes one, belongs to the plugins.

mod decoder;
mod device;
mod encoder;
mod fingerprint;
mod threads;
mod tokens;
mod weights;

pub use decoder::{Asked, Decoder, DecoderShape, Halt, Past, Row};
pub use device::open;
pub use encoder::{Encoder, Shape};
pub use fingerprint::Hasher;
pub use threads::Threads;
pub use tokens::Tokens;
pub use weights::Weights;
