//! Keyed hashes of what a model sees and of what names a page: texts are attacker-supplied, so the key is a secret: of this process,
//! or of the file of vectors that processes share.
//!
//! **Invariant:** vectors in files are found by these hashes. What changes them changes the version of that file's format too.

use std::{
    fmt,
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
};

use rerank_plugin::{Digest128, Document, Part, Query};
use siphasher::sip128::{Hasher128, SipHasher13};

/// Hashes with one secret key.
#[derive(Clone)]
pub struct Digester([u8; 16]);

/// One digest in the making; every piece is hashed with its length, so that pieces cannot flow into each other.
#[derive(Clone)]
pub struct Digesting(SipHasher13);

// === impl Digester ===

impl Digester {
    /// Returns a digester with a key of its own, from the system's randomness.
    pub fn new() -> Self {
        let random = || RandomState::new().build_hasher().finish();
        Self((u128::from(random()) << 64 | u128::from(random())).to_le_bytes())
    }

    /// Returns the digester whose digests are those of another process with this key.
    pub fn with_key(key: [u8; 16]) -> Self {
        Self(key)
    }

    /// The key: whoever knows it can make texts that share a digest.
    pub(crate) fn key(&self) -> [u8; 16] {
        self.0
    }

    /// Whether the other gives the same digests.
    pub fn is_like(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    /// Starts a digest.
    pub fn start(&self) -> Digesting {
        Digesting(SipHasher13::new_with_key(&self.0))
    }

    /// Returns the query of these parts with its digest.
    pub fn query(&self, instruction: Option<Arc<str>>, parts: Vec<Part>) -> Query {
        let told = instruction.iter().fold(self.start(), |digest, text| digest.piece(b"instruction").piece(text.as_bytes()));
        let digest = told.parts(&parts).finish();
        Query { instruction, parts, digest }
    }

    /// Returns the document of these parts with its digest.
    pub fn document(&self, parts: Vec<Part>) -> Document {
        let digest = self.start().parts(&parts).finish();
        Document { parts, digest }
    }
}

impl Default for Digester {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Digester {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Digester(secret)")
    }
}

// === impl Digesting ===

impl Digesting {
    /// Adds bytes as one piece.
    #[must_use]
    pub fn piece(mut self, bytes: &[u8]) -> Self {
        self.0.write_u64(bytes.len() as u64);
        self.0.write(bytes);
        self
    }

    fn parts(self, parts: &[Part]) -> Self {
        parts.iter().fold(self, |digest, part| match part {
            Part::Text { label, text, max_tokens } => digest
                .piece(b"text")
                .piece(label.as_deref().unwrap_or_default().as_bytes())
                .piece(&max_tokens.unwrap_or(u32::MAX).to_le_bytes())
                .piece(text.as_bytes()),
            Part::Image(image) => digest.piece(b"image").piece(&image.digest.0.to_le_bytes()),
            Part::Video(video) => {
                let start = digest.piece(b"video").piece(&video.fps.to_le_bytes());
                video.frames.iter().fold(start, |frames, frame| frames.piece(&frame.digest.0.to_le_bytes()))
            }
        })
    }

    /// Returns the digest.
    pub fn finish(self) -> Digest128 {
        Digest128(self.0.finish128().as_u128())
    }
}

#[cfg(test)]
mod tests {
    use rerank_plugin::Part;

    use super::Digester;

    #[test]
    fn the_digests_of_a_key_are_the_same_in_every_process_and_version() {
        let digester = Digester::with_key(*b"0123456789abcdef");
        let parts = vec![Part::text("red shoe"), Part::Text { label: Some("Brand".into()), text: "x".into(), max_tokens: Some(3) }];
        assert_eq!(format!("{:032x}", digester.document(parts).digest.0), "7af4efe0bd3b8642d2f817d78af511cc");
        assert_eq!(Digester::with_key(digester.key()).start().finish(), digester.start().finish());
    }

    #[test]
    fn what_the_model_sees_differently_has_another_digest() {
        let digester = Digester::new();
        let labelled = |label: Option<&str>, max_tokens| Part::Text { label: label.map(Into::into), text: "red".into(), max_tokens };
        let documents = [
            vec![Part::text("red")],
            vec![Part::text("red shoe")],
            vec![Part::text("red"), Part::text("shoe")],
            vec![labelled(Some("colour"), None)],
            vec![labelled(None, Some(3))],
        ];
        let digests: std::collections::HashSet<_> = documents.iter().map(|parts| digester.document(parts.clone()).digest).collect();
        assert_eq!(digests.len(), documents.len());
        assert_eq!(digester.document(vec![Part::text("red")]).digest, digester.document(vec![Part::text("red")]).digest);
        let told = [None, Some("rank"), Some("rank shoes")].map(|text| digester.query(text.map(Into::into), vec![Part::text("red")]));
        assert_eq!(told[0].digest, digester.document(vec![Part::text("red")]).digest);
        assert!(told[0].digest != told[1].digest && told[1].digest != told[2].digest && told[2].instruction.is_some());
        assert_ne!(Digester::new().document(vec![Part::text("red")]).digest, digester.document(vec![Part::text("red")]).digest);
    }
}
