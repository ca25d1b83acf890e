//! What the plugins that run on candle share: weights, tokens, encoders, threads, devices and fingerprints.
//!
//! What a score is, and how a text becomes one, belongs to the plugins.

mod device;
mod encoder;
mod fingerprint;
mod threads;
mod tokens;
mod weights;

pub use device::open;
pub use encoder::{Encoder, Shape};
pub use fingerprint::Hasher;
pub use threads::Threads;
pub use tokens::Tokens;
pub use weights::Weights;
