//! The small languages within a scenario's text values: durations, sizes, names. Pure functions from text.

use std::time::Duration;

/// Nothing in a scenario lasts longer. Sums and multiples of such durations stay far from overflow.
pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A duration: number and unit, or several ("1m 30s"). Units are us, ms, s, m, h. The error says what is wrong.
pub fn duration(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err("it is empty".into());
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let tail = tail.trim_start();
        let letters = tail.find(|c: char| !c.is_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        if number.is_empty() {
            return Err("it does not begin with a number".into());
        }
        let nanos = match unit {
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3_600e9,
            "" => return Err("it has no unit".into()),
            other => return Err(format!("`{other}` is not a unit")),
        };
        let number: f64 = number.parse().map_err(|_| format!("`{number}` is not a number"))?;
        let part = number * nanos;
        if part > LONGEST.as_nanos() as f64 {
            return Err("it is longer than 24 hours".into());
        }
        total += Duration::from_nanos(part.round() as u64);
        if total > LONGEST {
            return Err("it is longer than 24 hours".into());
        }
        rest = tail.trim_start();
    }
    Ok(total)
}

/// A size in bytes: a whole number and a unit. KiB and so on are 1024 each, KB and so on 1000.
pub fn size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err("it does not begin with a whole number".into());
    }
    let factor: u64 = match unit.trim() {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "" => return Err("it has no unit".into()),
        other => return Err(format!("`{other}` is not a unit")),
    };
    let number: u64 = number.parse().map_err(|_| "the number is too large".to_owned())?;
    number.checked_mul(factor).filter(|bytes| i64::try_from(*bytes).is_ok()).ok_or_else(|| "it is too large".into())
}

/// Lower-case letters, digits and single hyphens, beginning with a letter.
pub fn is_kebab_case(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.split('-').all(|w| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
}

/// The nearest kebab-case name to any text; empty if nothing of it can stay.
pub fn to_kebab_case(text: &str) -> String {
    let mut out = String::new();
    let mut before = ' ';
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            if c.is_ascii_uppercase() && (before.is_ascii_lowercase() || before.is_ascii_digit()) {
                out.push('-');
            }
            out.push(c.to_ascii_lowercase());
        } else if !out.ends_with('-') {
            out.push('-');
        }
        before = c;
    }
    out.trim_start_matches(|c: char| !c.is_ascii_lowercase()).trim_end_matches('-').into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::duration_text;
    use proptest::prelude::*;

    #[test]
    fn durations_have_a_unit_and_may_have_several() {
        let ms = Duration::from_millis;
        for (text, expected) in [
            ("250ms", ms(250)),
            ("6s", ms(6_000)),
            ("2m", ms(120_000)),
            ("1.5s", ms(1_500)),
            ("1m 30s", ms(90_000)),
            ("1m30s", ms(90_000)),
            (" 3 s ", ms(3_000)),
            ("0s", ms(0)),
            ("50us", Duration::from_micros(50)),
            ("24h", LONGEST),
        ] {
            assert_eq!(duration(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_says_why() {
        for (text, why) in [
            ("", "empty"),
            ("6", "no unit"),
            ("6 parsecs", "`parsecs` is not a unit"),
            ("-1s", "begin with a number"),
            ("1.2.3s", "`1.2.3` is not a number"),
            (".s", "`.` is not a number"),
            ("25h", "24 hours"),
            ("99999999999999999999999999h", "24 hours"),
            ("1m 30", "no unit"),
        ] {
            let error = duration(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn sizes_are_binary_or_decimal_as_their_unit_says() {
        assert_eq!(size("256B"), Ok(256));
        assert_eq!(size("4KiB"), Ok(4_096));
        assert_eq!(size("4 KB"), Ok(4_000));
        assert_eq!(size("1MiB"), Ok(1 << 20));
        for bad in ["256", "KiB", "1.5KiB", "9999999999GiB", "-1B", "4kib", "99999999999999999999B"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_kebab_case_or_can_be_made_so() {
        assert!(is_kebab_case("leader-network-partition") && is_kebab_case("kafka-4"));
        for (bad, good) in [("LeaderCut", "leader-cut"), ("leader_cut", "leader-cut"), ("a--b", "a-b"), ("-a-", "a")] {
            assert!(!is_kebab_case(bad), "{bad}");
            assert_eq!(to_kebab_case(bad), good);
        }
        assert!(!is_kebab_case("") && !is_kebab_case("4-brokers"));
    }

    proptest! {
        #[test]
        fn a_duration_s_text_means_that_duration(millis in 0u64..86_400_000) {
            let d = Duration::from_millis(millis);
            prop_assert_eq!(duration(&duration_text(d)), Ok(d));
        }

        #[test]
        fn no_text_makes_a_value_panic(text in "\\PC{0,12}|[0-9.]{0,30}[a-zA-Zµ]{0,3}") {
            let _ = (duration(&text), size(&text), is_kebab_case(&text));
            let kebab = to_kebab_case(&text);
            prop_assert!(kebab.is_empty() || is_kebab_case(&kebab), "{kebab}");
        }
    }
}
