//! Indices for searches that others wrote: what a search's body names is put into mappings and documents, so that it finds hits.
//!
//! It need not be right for every search: the engine says how many hits there are, and searches without enough do not count.

mod index;
mod needs;

pub(crate) use index::{BIG, Dice, Index, PRICE, indices};
pub(crate) use needs::Needs;
