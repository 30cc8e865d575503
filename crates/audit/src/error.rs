//! What can go wrong in an audit.

use thiserror::Error;

/// An audit that cannot be made, with the remedy.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum AuditError {
    /// A post described by other facets or rules than the tally has.
    #[error(
        "a post with {levels} levels and {verdicts} verdicts in a tally of {facets} facets and {rules} \
         rules; give one of each"
    )]
    Shape {
        /// Levels given.
        levels: usize,
        /// Facets of the tally.
        facets: usize,
        /// Verdicts given.
        verdicts: usize,
        /// Rules of the tally.
        rules: usize,
    },
    /// No two sides to compare.
    #[error("{found}: sides are compared, so at least two are needed; check the side column")]
    OneSide {
        /// The sides there are.
        found: String,
    },
    /// A side that no post has.
    #[error("no post is on side `{side}`; the sides are {found}")]
    NoSuchSide {
        /// The side asked for.
        side: String,
        /// The sides there are.
        found: String,
    },
    /// A setting outside its range.
    #[error("{name} = {given} makes no audit; choose {range}")]
    Setting {
        /// Name of the setting.
        name: &'static str,
        /// What was asked for.
        given: f64,
        /// What may be asked for.
        range: &'static str,
    },
    /// An unknown rule.
    #[error(
        "line {line}: there is no rule `{name}`; write a profile ({known}), `profile/rule`, or \
         `words: a, b`"
    )]
    NoSuchRule {
        /// What was written.
        name: String,
        /// Line of the list, from 1.
        line: usize,
        /// Profiles there are.
        known: String,
    },
    /// A list without rules.
    #[error("the list names no rule; write one a line, such as gopher/word-count")]
    NoRules,
}
