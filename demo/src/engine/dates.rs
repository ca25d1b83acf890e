//! Dates as the engines read them by default: `strict_date_optional_time||epoch_millis`.

use std::str::FromStr;

use time::{
    Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset, format_description::BorrowedFormatItem, macros::format_description,
};

/// The format that a date field without one has.
pub const FORMAT: &str = "strict_date_optional_time||epoch_millis";
const DAY: i64 = 86_400_000;
const PRINTED: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// The milliseconds since 1970 that a text stands for: a day stands for all of its milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instants {
    /// The first of them.
    pub first: i64,
    /// The last of them.
    pub last: i64,
}

/// Reads a date, or milliseconds since 1970.
pub fn parse(text: &str) -> Option<Instants> {
    calendar(text).or_else(|| i64::from_str(text).ok().map(|millis| Instants { first: millis, last: millis }))
}

/// Reads a date, as `2024-01-31T10:20:30.123Z`; all but the year may be missing from the end on.
pub fn calendar(text: &str) -> Option<Instants> {
    let (day, clock) = text.split_once('T').map_or((text, None), |(day, clock)| (day, Some(clock)));
    let mut parts = day.splitn(3, '-');
    let year = digits(parts.next()?, 4)?;
    let month = parts.next().map(|month| digits(month, 2)).map_or(Some(None), |month| month.map(Some))?;
    let day_of_month = parts.next().map(|number| digits(number, 2)).map_or(Some(None), |number| number.map(Some))?;
    let first_day = date(year, month.unwrap_or(1), day_of_month.unwrap_or(1))?;
    let Some(clock) = clock else {
        let last_month = month.unwrap_or(12);
        let last_day = match day_of_month {
            Some(_) => first_day,
            None => date(year, last_month, i32::from(month_of(last_month)?.length(year)))?,
        };
        let last = millis(last_day.midnight().assume_utc()) + DAY - 1;
        return Some(Instants { first: millis(first_day.midnight().assume_utc()), last });
    };
    day_of_month?;
    let (clock, offset) = split_offset(clock)?;
    let (time, length) = time_of_day(clock)?;
    let first = millis(PrimitiveDateTime::new(first_day, time).assume_offset(offset));
    Some(Instants { first, last: first + length - 1 })
}

/// Prints milliseconds since 1970, as `2024-01-31T10:20:30.123Z`; years of more than four digits as the number.
pub fn print(millis: i64) -> String {
    let instant = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).ok();
    instant.and_then(|instant| instant.format(PRINTED).ok()).unwrap_or_else(|| millis.to_string())
}

fn month_of(number: i32) -> Option<Month> {
    Month::try_from(u8::try_from(number).ok()?).ok()
}

fn date(year: i32, month: i32, day: i32) -> Option<Date> {
    Date::from_calendar_date(year, month_of(month)?, u8::try_from(day).ok()?).ok()
}

fn millis(instant: OffsetDateTime) -> i64 {
    instant.unix_timestamp() * 1000 + i64::from(instant.millisecond())
}

/// Reads exactly `count` digits.
fn digits(text: &str, count: usize) -> Option<i32> {
    (text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Splits `Z`, `+02:00`, `+0200` or `+02` off.
fn split_offset(clock: &str) -> Option<(&str, UtcOffset)> {
    if let Some(clock) = clock.strip_suffix('Z') {
        return Some((clock, UtcOffset::UTC));
    }
    let Some(at) = clock.find(['+', '-']) else { return Some((clock, UtcOffset::UTC)) };
    let (clock, offset) = clock.split_at(at);
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let hours = digits(offset.get(1..3)?, 2)?;
    let minutes = match &offset[3..] {
        "" => 0,
        minutes => digits(minutes.strip_prefix(':').unwrap_or(minutes), 2)?,
    };
    (hours <= 18 && minutes < 60)
        .then(|| UtcOffset::from_whole_seconds(sign * (hours * 3600 + minutes * 60)).ok())?
        .map(|parsed| (clock, parsed))
}

/// Reads `10`, `10:20`, `10:20:30` or `10:20:30.123456789`; returns how many milliseconds it stands for, too.
fn time_of_day(clock: &str) -> Option<(Time, i64)> {
    let (clock, fraction) = clock.split_once(['.', ',']).map_or((clock, None), |(clock, fraction)| (clock, Some(fraction)));
    let numbers: Vec<_> =
        clock.split(':').map(|number| digits(number, 2).and_then(|number| u8::try_from(number).ok())).collect::<Option<_>>()?;
    let fraction_millis = match fraction {
        Some(fraction) if numbers.len() == 3 && (1..=9).contains(&fraction.len()) && fraction.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{fraction:0<3.3}").parse().ok()?
        }
        Some(_) => return None,
        None => 0,
    };
    let (minute, second, length) = match numbers[..] {
        [_] => (0, 0, 3_600_000),
        [_, minute] => (minute, 0, 60_000),
        [_, minute, second] => (minute, second, if fraction.is_some() { 1 } else { 1000 }),
        _ => return None,
    };
    Some((Time::from_hms_milli(*numbers.first()?, minute, second, fraction_millis).ok()?, length))
}

#[cfg(test)]
mod tests {
    use super::{Instants, calendar, parse, print};

    #[test]
    fn a_date_stands_for_all_of_its_milliseconds() {
        for (text, first, last) in [
            ("2024", "2024-01-01T00:00:00.000Z", "2024-12-31T23:59:59.999Z"),
            ("2024-02", "2024-02-01T00:00:00.000Z", "2024-02-29T23:59:59.999Z"),
            ("2024-12", "2024-12-01T00:00:00.000Z", "2024-12-31T23:59:59.999Z"),
            ("2024-02-29", "2024-02-29T00:00:00.000Z", "2024-02-29T23:59:59.999Z"),
            ("9999", "9999-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z"),
            ("9999-12-31", "9999-12-31T00:00:00.000Z", "9999-12-31T23:59:59.999Z"),
            ("2024-02-29T10", "2024-02-29T10:00:00.000Z", "2024-02-29T10:59:59.999Z"),
            ("2024-02-29T10:20Z", "2024-02-29T10:20:00.000Z", "2024-02-29T10:20:59.999Z"),
            ("2024-02-29T10:20:30+02:00", "2024-02-29T08:20:30.000Z", "2024-02-29T08:20:30.999Z"),
            ("2024-02-29T10:20:30.5-0130", "2024-02-29T11:50:30.500Z", "2024-02-29T11:50:30.500Z"),
            ("2024-02-29T10:20:30.123456789Z", "2024-02-29T10:20:30.123Z", "2024-02-29T10:20:30.123Z"),
            ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
            ("1704067200001", "2024-01-01T00:00:00.001Z", "2024-01-01T00:00:00.001Z"),
            ("-1", "1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
        ] {
            let Instants { first: start, last: end } = parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((print(start).as_str(), print(end).as_str()), (first, last), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_dates() {
        for text in [
            "",
            "yesterday",
            "2024-1-1",
            "2024-13",
            "2023-02-29",
            "2024-01-01 10:00",
            "2024-01T10",
            "2024-01-01T",
            "2024-01-01T25",
            "24",
            "2024-01-01T10:20:30.",
            "2024-01-01T10+é",
            "2024-01-01T10:20:30:40",
            "2024/01/01",
        ] {
            assert_eq!(calendar(text), None, "{text}");
        }
    }
}
