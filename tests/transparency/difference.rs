//! What may be different between two answers.

/// What is not as it should be. Places are JSON pointers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    Status {
        direct: u16,
        through: u16,
    },
    HeaderLost(String),
    HeaderAdded(String),
    HeaderChanged {
        name: String,
        direct: String,
        through: String,
    },
    /// `content-length` is not the body's length, or the body broke off.
    Length(String),
    /// Bodies that are not both JSON differ from this byte on.
    Bytes {
        from: usize,
    },
    KeyLost(String),
    KeyAdded(String),
    KeyOrder(String),
    /// Another number of items.
    Items {
        at: String,
        direct: usize,
        through: usize,
    },
    /// An integer of the same double.
    Rounded {
        at: String,
        direct: String,
        through: String,
    },
    /// The same number in other characters.
    Reprinted {
        at: String,
        direct: String,
        through: String,
    },
    Value {
        at: String,
        direct: String,
        through: String,
    },
    /// The same JSON in another layout, from this byte on.
    Spacing {
        from: usize,
    },
    PageLength {
        direct: usize,
        through: usize,
    },
    HitLost(String),
    HitDoubled(String),
    /// A hit that the engine does not give at all.
    HitForeign(String),
    /// The hits of the page that begins here.
    OtherPage {
        from: usize,
    },
    /// A hit of another page.
    HitMisplaced(String),
    /// A hit behind the window is not the engine's.
    TailOrder {
        place: usize,
    },
    /// A hit inside the window is not the model's.
    WindowOrder {
        place: usize,
    },
    /// A score is above the one before it.
    ScoreOrder {
        place: usize,
    },
    /// A score, or the greatest, is null on one side only.
    ScoreNull(String),
}

// === impl Difference ===

impl Difference {
    /// The same at a place below `path`.
    pub(crate) fn under(self, path: &str) -> Self {
        let below = |at: String| format!("{path}{at}");
        match self {
            Self::KeyLost(at) => Self::KeyLost(below(at)),
            Self::KeyAdded(at) => Self::KeyAdded(below(at)),
            Self::KeyOrder(at) => Self::KeyOrder(below(at)),
            Self::ScoreNull(at) => Self::ScoreNull(below(at)),
            Self::Items { at, direct, through } => Self::Items { at: below(at), direct, through },
            Self::Rounded { at, direct, through } => Self::Rounded { at: below(at), direct, through },
            Self::Reprinted { at, direct, through } => Self::Reprinted { at: below(at), direct, through },
            Self::Value { at, direct, through } => Self::Value { at: below(at), direct, through },
            other => other,
        }
    }
}
