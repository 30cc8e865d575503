//! What is to be said to the person of how a model was read.

use std::fmt;

use serde::Serialize;

/// Something that was taken as a default, left aside, rounded or decided by a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// What it is about: a file, with a key or a tensor.
    pub about: String,
    /// What happened.
    pub text: String,
}

impl Note {
    /// A note.
    pub fn new(about: impl Into<String>, text: impl Into<String>) -> Self {
        Note { about: about.into(), text: text.into() }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.about, self.text)
    }
}
