//! What `podium demo` needs besides Podium: a small search engine in this process and a sample shop.

pub mod engine;
pub mod shop;
