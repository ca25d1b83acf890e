//! `minimum_should_match`: how many of the optional clauses have to match.

use crate::engine::error::Cause;

/// Returns how many of `optional` clauses `specification` asks for: `2`, `-1`, `75%`, `-25%`, `2<75%`, `2<-25% 9<-3`.
pub(super) fn required(optional: usize, specification: &str) -> Result<usize, Cause> {
    let compact = specification.split('<').map(str::trim).collect::<Vec<_>>().join("<");
    if !compact.contains('<') {
        return simple(optional, &compact);
    }
    let mut count = optional;
    for condition in compact.split_whitespace() {
        let (bound, wanted) = condition.split_once('<').ok_or_else(|| no_number(condition))?;
        if i64::try_from(optional).is_ok_and(|optional| number(bound).is_ok_and(|bound| optional <= bound)) {
            return Ok(count);
        }
        number(bound)?;
        count = simple(optional, wanted)?;
    }
    Ok(count)
}

fn simple(optional: usize, wanted: &str) -> Result<usize, Cause> {
    let all = i64::try_from(optional).unwrap_or(i64::MAX);
    let wanted = match wanted.strip_suffix('%') {
        Some(percent) => all.saturating_mul(number(percent)?) / 100,
        None => number(wanted)?,
    };
    let count = if wanted < 0 { all.saturating_add(wanted) } else { wanted };
    Ok(usize::try_from(count).unwrap_or(0))
}

fn number(text: &str) -> Result<i64, Cause> {
    text.parse::<i32>().map(i64::from).map_err(|_| no_number(text))
}

fn no_number(text: &str) -> Cause {
    Cause::new("number_format_exception", format!("For input string: \"{text}\""))
}

#[cfg(test)]
mod tests {
    use super::required;

    #[test]
    fn every_form_is_understood() {
        for (optional, specification, expected) in [
            (5, "2", 2),
            (5, "-1", 4),
            (5, "-9", 0),
            (3, "5", 5),
            (4, "75%", 3),
            (5, "75%", 3),
            (5, "-25%", 4),
            (3, "150%", 4),
            (3, "-150%", 0),
            (2, "2<75%", 2),
            (4, "2<75%", 3),
            (2, "2<-25% 9<-3", 2),
            (9, "2<-25% 9<-3", 7),
            (12, "2<-25% 9<-3", 9),
            (4, " 2 < 75% ", 3),
            (0, "2", 2),
            (0, "75%", 0),
        ] {
            assert_eq!(required(optional, specification), Ok(expected), "{specification} of {optional}");
        }
    }

    #[test]
    fn other_texts_are_no_numbers() {
        for specification in ["abc", "", "2<", "<2", "2%%", "1.5", "2 3", "x<3", "99999999999"] {
            assert!(required(3, specification).is_err(), "{specification}");
        }
    }
}
