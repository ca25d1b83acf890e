//! The embedding family on a tiny BERT whose weights come from a seed: no network, no fixture.

mod detect;
mod load;
mod score;
mod tiny;
