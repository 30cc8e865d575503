//! An assumption of a plan as a sentence in both languages of reports. Nothing else.

use std::fmt;

use serde::{Serialize, Serializer};

/// A sentence; written out in English where no language is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assumption {
    /// English.
    pub english: String,
    /// French.
    pub french: String,
}

impl Assumption {
    /// A sentence in both languages.
    pub fn new(english: impl Into<String>, french: impl Into<String>) -> Self {
        Assumption { english: english.into(), french: french.into() }
    }
}

impl fmt::Display for Assumption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.english)
    }
}

impl Serialize for Assumption {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.english)
    }
}
