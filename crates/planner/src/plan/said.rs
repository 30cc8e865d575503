//! What a plan says of itself in words, in both languages of reports. No more than a pair of sentences.

use std::fmt;

use serde::{Serialize, Serializer};

/// A sentence; written out in English where no language is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// English.
    pub english: String,
    /// French.
    pub french: String,
}

impl Said {
    /// A sentence in both languages.
    pub fn new(english: impl Into<String>, french: impl Into<String>) -> Self {
        Said { english: english.into(), french: french.into() }
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.english)
    }
}

impl Serialize for Said {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.english)
    }
}
