//! What a model wants around and between the two texts of a pair.

use tokenizers::Encoding;

/// A token of the model's own, and the type it has.
type Own = (u32, u32);

/// The model's own tokens of a pair, and the types of all tokens.
#[derive(Clone, Debug)]
pub struct PairFrame {
    before: Vec<Own>,
    between: Vec<Own>,
    after: Vec<Own>,
    /// Types of the tokens of the first and of the second text.
    types: [u32; 2],
}

// === impl PairFrame ===

impl PairFrame {
    /// Reads the frame off a pair; nothing when its texts have no tokens or do not stand one behind the other.
    pub(crate) fn of(pair: &Encoding) -> Option<Self> {
        let texts = pair.get_sequence_ids();
        let all: Vec<Own> = pair.get_ids().iter().copied().zip(pair.get_type_ids().iter().copied()).collect();
        let ends = |text| Some((texts.iter().position(|own| *own == Some(text))?, texts.iter().rposition(|own| *own == Some(text))?));
        let ((first, first_end), (second, second_end)) = (ends(0)?, ends(1)?);
        let between = all.get(first_end + 1..second)?;
        let whole = texts[first..=first_end].iter().chain(&texts[second..=second_end]).all(Option::is_some);
        let own = |tokens: &[Own]| tokens.to_vec();
        whole.then(|| Self {
            before: own(&all[..first]),
            between: own(between),
            after: own(&all[second_end + 1..]),
            types: [all[first].1, all[second].1],
        })
    }

    /// How many tokens of the model's own there are.
    pub fn size(&self) -> usize {
        self.before.len() + self.between.len() + self.after.len()
    }

    /// The largest type.
    pub fn largest_type(&self) -> u32 {
        let own = [&self.before, &self.between, &self.after].into_iter().flatten().map(|(_, kind)| *kind);
        own.chain(self.types).max().unwrap_or_default()
    }

    /// Returns the frame for a model that does not look at types.
    #[must_use]
    pub fn of_one_type(mut self) -> Self {
        let own = [&mut self.before, &mut self.between, &mut self.after].into_iter().flatten();
        own.for_each(|(_, kind)| *kind = 0);
        self.types = [0, 0];
        self
    }

    /// Returns the tokens of a pair, and the type of each.
    pub fn join(&self, first: &[u32], second: &[u32]) -> (Vec<u32>, Vec<u32>) {
        let text = |tokens: &[u32], kind: u32| tokens.iter().map(|token| (*token, kind)).collect::<Vec<Own>>();
        let parts =
            [self.before.clone(), text(first, self.types[0]), self.between.clone(), text(second, self.types[1]), self.after.clone()];
        parts.into_iter().flatten().unzip()
    }
}
