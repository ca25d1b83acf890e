//! Names: which an index may have, and random ones for documents and indices.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    iter,
};

use super::error::{ApiError, Cause};

/// How many letters the random names of indices and their folders have.
pub(super) const UUID: usize = 22;
const LONGEST: usize = 255;
const FORBIDDEN: &[char] = &['\\', '/', '*', '?', '"', '<', '>', '|', ' ', ',', '#', ':'];
/// 64 letters that need no escaping in a URL.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

/// Refuses what an index may not be called, in the engines' words.
pub(super) fn check(name: &str) -> Result<(), ApiError> {
    let problem = if name.is_empty() {
        "must not be empty".to_owned()
    } else if name.contains(['#', ':']) {
        let found = if name.contains('#') { '#' } else { ':' };
        format!("must not contain '{found}'")
    } else if name.contains(FORBIDDEN) {
        r#"must not contain the following characters [ , ", *, \, <, |, ,, >, /, ?]"#.to_owned()
    } else if name.starts_with(['_', '-', '+']) {
        "must not start with '_', '-', or '+'".to_owned()
    } else if name.len() > LONGEST {
        format!("index name is too long, ({} > {LONGEST})", name.len())
    } else if name == "." || name == ".." {
        "must not be '.' or '..'".to_owned()
    } else if name.chars().any(|letter| letter.is_uppercase()) {
        "must be lowercase".to_owned()
    } else {
        return Ok(());
    };
    let cause = Cause::new("invalid_index_name_exception", format!("Invalid index name [{name}], {problem}"));
    Err(ApiError::new(400, cause.with("index", name).with("index_uuid", "_na_")))
}

/// Returns `count` random letters. They keep names apart; they are no secret.
pub(super) fn random(count: usize) -> String {
    let numbers = iter::repeat_with(|| RandomState::new().build_hasher().finish());
    // Ten letters of 6 bits from each number.
    let letters = numbers.flat_map(|number| (0..10).map(move |place| LETTERS[(number >> (6 * place)) as usize % LETTERS.len()]));
    // A name that begins so could be taken for an endpoint or an option.
    letters.map(char::from).skip_while(|letter| ['_', '-'].contains(letter)).take(count).collect()
}

/// Whether a name may be one of the random ones of [`UUID`] letters.
pub(super) fn is_uuid(name: &str) -> bool {
    name.len() == UUID && name.bytes().all(|letter| LETTERS.contains(&letter))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{UUID, check, is_uuid, random};

    #[test]
    fn only_what_the_engines_take_is_a_name() {
        for fine in ["a", "products-2026.01", "ünicode", "1"] {
            assert_eq!(check(fine), Ok(()), "{fine}");
        }
        let long = "a".repeat(256);
        for wrong in ["", "A", "_a", "-a", "+a", "a b", "a,b", "a*", "a/b", "a#b", "a:b", ".", "..", &long] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn random_names_differ() {
        let names: HashSet<String> = (0..10_000).map(|_| random(20)).collect();
        assert_eq!(names.len(), 10_000);
        assert!(names.iter().all(|name| name.len() == 20));
        assert!(is_uuid(&random(UUID)) && !is_uuid(&random(20)) && !is_uuid("a folder of 22 letters"));
    }
}
