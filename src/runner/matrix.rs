//! `--matrix key=a,b`: the same scenarios under several settings, run interleaved and compared with the first.

use super::folder;
use super::{RunError, RunFolder};
use crate::compare::{Axes, Comparison, Side, SideError, json, markdown};

/// One key with the values that it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dimension {
    pub key: String,
    pub values: Vec<String>,
}

/// Why a text is no dimension.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected KEY=VALUE,VALUE,… with at least two different values, as in subject.profile=development,production")]
pub struct NoDimension;

impl std::str::FromStr for Dimension {
    type Err = NoDimension;

    fn from_str(text: &str) -> Result<Self, NoDimension> {
        let (key, values) = text.split_once('=').ok_or(NoDimension)?;
        let values: Vec<String> = values.split(',').map(|value| value.trim().to_owned()).collect();
        let good = |(at, value): (usize, &String)| !value.is_empty() && !values[..at].contains(value);
        if key.trim().is_empty() || values.len() < 2 || !values.iter().enumerate().all(good) {
            return Err(NoDimension);
        }
        Ok(Self { key: key.trim().to_owned(), values })
    }
}

/// One choice of a value for every key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// `key=value`, several joined by commas: its folder's name too.
    pub name: String,
    pub set: Vec<(String, String)>,
}

/// Every combination; the last key changes fastest. Without dimensions one variant that changes nothing.
pub fn variants(dimensions: &[Dimension]) -> Vec<Variant> {
    let mut sets: Vec<Vec<(String, String)>> = vec![Vec::new()];
    for dimension in dimensions {
        let extended = |set: &Vec<(String, String)>, value: &String| {
            let mut set = set.clone();
            set.push((dimension.key.clone(), value.clone()));
            set
        };
        sets = sets.iter().flat_map(|set| dimension.values.iter().map(move |value| extended(set, value))).collect();
    }
    let name = |set: &[(String, String)]| {
        let parts: Vec<String> = set.iter().map(|(key, value)| format!("{key}={value}")).collect();
        // Quotes and slashes are for shells and paths, not for names.
        let safe = |c: char| if c.is_alphanumeric() || ".,=-_".contains(c) { c } else { '_' };
        parts.join(",").replace('"', "").chars().map(safe).collect::<String>()
    };
    sets.into_iter().map(|set| Variant { name: name(&set), set }).collect()
}

/// Compares every variant with the first, in the order of the folders, and writes `compare.json` and `compare.md` into each
/// one's folder. What was varied is the declared axis. A variant without a single result is an error.
pub fn compare(folders: &[RunFolder], dimensions: &[Dimension]) -> Result<Vec<Comparison>, MatrixError> {
    let axes = Axes::of(dimensions.iter().map(|dimension| &dimension.key));
    let side = |folder: &RunFolder| {
        let mut side = Side::read(&folder.path)?;
        // The variant's name says more than its path.
        if let Some(name) = folder.path.file_name() {
            side.name = name.to_string_lossy().into_owned();
        }
        Ok::<_, MatrixError>(side)
    };
    let (first, rest) = folders.split_first().ok_or(MatrixError::Empty)?;
    let base = side(first)?;
    let mut all = Vec::new();
    for folder in rest {
        let comparison = Comparison::of(&base, &side(folder)?, &axes, &[]);
        folder::write(&folder.path.join("compare.json"), format!("{:#}\n", json(&comparison)).as_bytes())?;
        folder::write(&folder.path.join("compare.md"), markdown(&comparison, false).as_bytes())?;
        all.push(comparison);
    }
    Ok(all)
}

/// Why variants cannot be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MatrixError {
    #[error("there are no variants")]
    Empty,
    #[error(transparent)]
    Side(#[from] SideError),
    #[error(transparent)]
    Write(#[from] RunError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_is_a_variant_with_a_name_that_is_a_folder() {
        let dimensions: Vec<Dimension> =
            ["subject.profile=development,production", "subject.client.\"reconnect.backoff.max.ms\"=500,10000"]
                .iter()
                .map(|text| text.parse().unwrap())
                .collect();
        let all = variants(&dimensions);
        let names: Vec<&str> = all.iter().map(|variant| variant.name.as_str()).collect();
        assert_eq!(names[0], "subject.profile=development,subject.client.reconnect.backoff.max.ms=500");
        assert_eq!(names[3], "subject.profile=production,subject.client.reconnect.backoff.max.ms=10000");
        assert_eq!(all[1].set[1], ("subject.client.\"reconnect.backoff.max.ms\"".to_owned(), "10000".to_owned()));
        assert_eq!(variants(&[]), [Variant { name: String::new(), set: vec![] }]);
    }

    #[test]
    fn a_dimension_has_two_different_values_at_least() {
        for wrong in ["a", "a=1", "a=1,1", "a=1,", "=1,2"] {
            assert_eq!(wrong.parse::<Dimension>(), Err(NoDimension), "{wrong}");
        }
    }
}
