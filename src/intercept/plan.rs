//! What the client asked for.

/// The client's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Hits before it.
    pub from: usize,
    /// Hits on it, at most.
    pub size: usize,
}
