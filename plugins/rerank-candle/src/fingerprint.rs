//! Hashes all that changes a model's scores into one fingerprint.

use rerank_plugin::Fingerprint;
use sha2::{Digest, Sha256};

/// Collects what a fingerprint covers, each thing under its name, so that no two collections run together.
pub struct Hasher(Sha256);

// === impl Hasher ===

impl Hasher {
    /// Begins with the family's name and the version of its code: raise the version when the same files score differently.
    pub fn new(family: &str, version: u32) -> Self {
        Self(Sha256::new()).with("family", family.as_bytes()).with("version", &version.to_le_bytes())
    }

    /// Adds one thing.
    #[must_use]
    pub fn with(mut self, name: &str, content: &[u8]) -> Self {
        for bytes in [name.as_bytes(), content] {
            self.0.update((bytes.len() as u64).to_le_bytes());
            self.0.update(bytes);
        }
        self
    }

    /// Returns the fingerprint.
    pub fn finish(self) -> Fingerprint {
        Fingerprint(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::Hasher;

    #[test]
    fn every_name_every_content_and_every_border_counts() {
        let base = || Hasher::new("family", 1);
        let all = [
            base().finish(),
            Hasher::new("family", 2).finish(),
            base().with("a", b"bc").finish(),
            base().with("ab", b"c").finish(),
            base().with("a", b"b").with("c", b"").finish(),
        ];
        for (place, one) in all.iter().enumerate() {
            assert!(!all[place + 1..].contains(one), "{place}");
        }
        assert_eq!(base().with("a", b"b").finish(), base().with("a", b"b").finish());
    }
}
