//! Cross-encoders: the model reads a query and a document together, and one number comes out.
//!
//! BERT, XLM-RoBERTa, ModernBERT and DeBERTa-v2 with a head for sequence classification; all others are refused by name.

mod checkpoint;
mod family;
mod model;
mod preparer;
mod scorer;

pub use family::CrossEncoder;
