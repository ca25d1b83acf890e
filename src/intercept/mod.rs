//! The one middleware that is ours: plans a search, widens it, has its hits reranked, and narrows the answer to the page.

pub mod plan;
pub mod widen;
