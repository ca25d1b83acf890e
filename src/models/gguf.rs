//! Chooses one of a repository's GGUF files: the only one, or the one that ends with a quantisation, as in `owner/name:Q8_0`.

use std::path::Path;

use rerank_plugin::is_gguf_part;

/// No file, or no single one, is the one that is meant.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotChosen {
    #[error("there is no GGUF file")]
    None,
    #[error("there are several GGUF files ({}): write which one, as in owner/name:Q8_0", .0.join(", "))]
    Several(Vec<String>),
    #[error("no GGUF file ends with {wanted} (there are: {})", names.join(", "))]
    Lacks { wanted: String, names: Vec<String> },
    #[error("several GGUF files end with {wanted} ({}): write more of the name", names.join(", "))]
    Ambiguous { wanted: String, names: Vec<String> },
    #[error("what else the repository holds is not known here: write owner/name:{0} for this file")]
    Unsure(String),
    #[error("{0} is one part of a split GGUF file, which is not read")]
    Part(String),
}

/// Returns the name that is meant among those of a repository's GGUF files.
pub(super) fn choose(mut names: Vec<String>, wanted: Option<&str>) -> Result<String, NotChosen> {
    names.sort_unstable();
    let fits = |name: &&String| wanted.is_none_or(|wanted| ends_with(name, wanted));
    let mut found: Vec<String> = names.iter().filter(fits).cloned().collect();
    // What is written in full is not ambiguous.
    if let Some(exact) = found.iter().position(|name| wanted.is_some_and(|wanted| is_all_of(name, wanted))) {
        found = vec![found.swap_remove(exact)];
    }
    match (found.as_slice(), wanted) {
        ([name], _) if is_gguf_part(name) => Err(NotChosen::Part(name.clone())),
        ([name], _) => Ok(name.clone()),
        ([], None) => Err(NotChosen::None),
        ([], Some(_)) if names.is_empty() => Err(NotChosen::None),
        (_, None) => Err(NotChosen::Several(found)),
        ([], Some(wanted)) => Err(NotChosen::Lacks { wanted: wanted.to_owned(), names }),
        (_, Some(wanted)) => Err(NotChosen::Ambiguous { wanted: wanted.to_owned(), names: found }),
    }
}

/// Chooses among the files that are here, of a repository that may have others: only what is written in full is sure to be meant.
pub(super) fn sure(names: Vec<String>, wanted: Option<&str>) -> Result<String, NotChosen> {
    let chosen = choose(names, wanted)?;
    match wanted.is_some_and(|wanted| is_all_of(&chosen, wanted)) {
        true => Ok(chosen),
        false => Err(NotChosen::Unsure(stem(&chosen).to_owned())),
    }
}

fn stem(name: &str) -> &str {
    Path::new(name).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
}

fn is_all_of(name: &str, wanted: &str) -> bool {
    stem(name).eq_ignore_ascii_case(wanted)
}

/// Returns whether a file's name, without its extension, is `wanted` or ends with it behind a `-`, `_` or `.`, in whatever case.
fn ends_with(name: &str, wanted: &str) -> bool {
    let stem = stem(name).to_ascii_lowercase();
    let before = stem.strip_suffix(&wanted.to_ascii_lowercase());
    before.is_some_and(|before| before.is_empty() || before.ends_with(['-', '_', '.']))
}

#[cfg(test)]
mod tests {
    use super::{choose, sure};

    fn chosen(names: &[&str], wanted: Option<&str>) -> String {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        choose(names, wanted).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn the_only_file_or_the_one_of_the_quantisation_is_chosen() {
        let all = ["m-Q8_0.gguf", "m-Q4_K_M.gguf", "m.f16.gguf", "m-Q4_K.gguf"];
        assert_eq!(chosen(&all[..1], None), "m-Q8_0.gguf");
        assert_eq!(chosen(&all, Some("q8_0")), "m-Q8_0.gguf");
        assert_eq!(chosen(&all, Some("Q4_K")), "m-Q4_K.gguf");
        assert_eq!(chosen(&all, Some("F16")), "m.f16.gguf");
        assert_eq!(chosen(&all, Some("m-Q4_K_M")), "m-Q4_K_M.gguf");
        assert_eq!(chosen(&all, Some("K_M")), "m-Q4_K_M.gguf", "the end is enough while it is one file's alone");
    }

    #[test]
    fn a_name_in_full_is_one_file_whatever_else_there_is() {
        let (both, long) = (["Q8_0.gguf", "m-Q8_0.gguf"].map(str::to_owned).to_vec(), vec!["m-Q8_0.gguf".to_owned()]);
        assert_eq!(sure(both.clone(), Some("q8_0")).unwrap(), "Q8_0.gguf");
        assert_eq!(sure(both, Some("m-Q8_0")).unwrap(), "m-Q8_0.gguf");
        for wanted in [Some("Q8_0"), None] {
            assert_eq!(
                sure(long.clone(), wanted).unwrap_err().to_string(),
                "what else the repository holds is not known here: write owner/name:m-Q8_0 for this file"
            );
        }
    }

    #[test]
    fn what_is_not_one_file_is_told_with_the_choices() {
        let all = ["m-Q8_0.gguf", "m-Q4_0.gguf", "n-Q4_0.gguf"];
        assert_eq!(
            chosen(&all[..2], None),
            "there are several GGUF files (m-Q4_0.gguf, m-Q8_0.gguf): write which one, as in owner/name:Q8_0"
        );
        assert_eq!(chosen(&all[..2], Some("Q5_0")), "no GGUF file ends with Q5_0 (there are: m-Q4_0.gguf, m-Q8_0.gguf)");
        assert_eq!(chosen(&all[..2], Some("8_0")), "no GGUF file ends with 8_0 (there are: m-Q4_0.gguf, m-Q8_0.gguf)");
        assert_eq!(chosen(&all, Some("Q4_0")), "several GGUF files end with Q4_0 (m-Q4_0.gguf, n-Q4_0.gguf): write more of the name");
        assert_eq!(chosen(&[], Some("Q4_0")), "there is no GGUF file");
        assert_eq!(chosen(&[], None), "there is no GGUF file");
        let part = chosen(&["m-Q8_0-00001-of-00002.gguf"], None);
        assert_eq!(part, "m-Q8_0-00001-of-00002.gguf is one part of a split GGUF file, which is not read");
    }
}
