//! The kinds of models that a configuration may ask for.

/// A kind of model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// What is written under `kind`.
    pub name: &'static str,
    /// Whether it loads a checkpoint, so that it needs a `source`.
    pub loads: bool,
    /// Whether it may be told to cut long documents into chunks.
    pub chunks: bool,
}

/// The kinds of every build; `auto` is the one that the checkpoint tells.
pub const KINDS: &[Kind] = &[
    Kind { name: "auto", loads: true, chunks: true },
    Kind { name: "cross-encoder", loads: true, chunks: true },
    Kind { name: "embedding", loads: true, chunks: false },
    Kind { name: "qwen3", loads: true, chunks: true },
    Kind { name: "remote", loads: false, chunks: false },
];

/// The rerankers that misbehave on purpose, of builds with the feature `fake-models`.
pub const FAKE_KINDS: &[Kind] = &[
    fake("fake-identity"),
    fake("fake-reverse"),
    fake("fake-overlap"),
    fake("fake-fixed-cost"),
    fake("fake-hang"),
    fake("fake-panic"),
    fake("fake-nan"),
    fake("fake-wrong-count"),
    fake("fake-broken"),
];

const fn fake(name: &'static str) -> Kind {
    Kind { name, loads: false, chunks: false }
}

// === impl Kind ===

impl Kind {
    /// Returns the kinds that this build has.
    pub fn of_this_build() -> Vec<Self> {
        let fakes = if cfg!(feature = "fake-models") { FAKE_KINDS } else { &[] };
        [KINDS, fakes].concat()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rerank_plugin::{
        Family,
        testing::{Behaviour, Fake},
    };

    use super::FAKE_KINDS;

    #[test]
    fn the_fakes_are_those_of_the_plugin_crate() {
        let behaviours = [
            Behaviour::Identity,
            Behaviour::Reverse,
            Behaviour::Overlap,
            Behaviour::FixedCost(Duration::ZERO),
            Behaviour::Hang,
            Behaviour::Panic,
            Behaviour::Nan,
            Behaviour::WrongCount,
            Behaviour::Broken,
        ];
        let named = FAKE_KINDS.iter().map(|kind| kind.name);
        assert!(named.eq(behaviours.iter().map(|behaviour| Fake(*behaviour).kind())));
    }
}
