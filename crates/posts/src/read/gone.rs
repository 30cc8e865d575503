//! How networks say that a post or an account is gone: by the whole text, by a field, by structure.
//!
//! Two tables of data, a line a way: `MARKS` and those of `gone_notices`. A text counts when it is nothing but the notice, whatever its
//! case and brackets; sentences that contain such words are sentences. Single words need their brackets.

use super::gone_notices::{ALSO, Form, HELP, NOTICES, Notice};
use crate::post::Removal;
use std::collections::{HashMap, HashSet};
use std::fmt;

/// What a record says of itself, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) removal: Removal,
    pub(super) how: How,
}

/// How a record says that it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// The text is this notice.
    Text(&'static str),
    /// This field.
    Field(&'static str),
    /// The kind of the record.
    Structure(&'static str),
}

impl fmt::Display for How {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            How::Text(notice) => write!(out, "text: {notice}"),
            How::Field(path) => write!(out, "field: {path}"),
            How::Structure(kind) => write!(out, "structure: {kind}"),
        }
    }
}

/// What the value of a field must be to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// A truth value that is true.
    True,
    /// Anything but nothing: a name, a time, a list or an object with something in it.
    Filled,
    /// A truth value that is false.
    False,
    /// One of these words, whatever their case.
    Words(&'static [&'static str]),
}

/// A field by which a post is marked as gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) path: &'static str,
    pub(super) says: Says,
    pub(super) removal: Removal,
}

const fn mark(path: &'static str, says: Says, removal: Removal) -> Mark {
    Mark { path, says, removal }
}

const GONE_WORDS: &[&str] = &["deleted", "removed", "suspended", "deactivated", "banned"];
const BY_AUTHOR: &[&str] = &["deleted", "author", "user", "self"];
const BY_LAW: &[&str] = &["legal_operations", "copyright_takedown", "content_takedown"];
const NO_AUTHOR: &[&str] =
    &["[deleted]", "[removed]", "deleted account", "deleted_user", "[suspended]"];

/// Whether an author is a word for one who is gone.
pub(super) fn is_nobody(author: &str) -> bool {
    NO_AUTHOR.iter().any(|word| word.eq_ignore_ascii_case(author))
}

/// Fields of JSON and columns of tables, by every network. Paths are those of `fields`; of several that
/// hold, the first decides.
pub(super) const MARKS: &[Mark] = &[
    // X: API v1.1 and v2, GraphQL, scrapers.
    mark("withheld", Says::Filled, Removal::Withheld),
    mark("withheld.country_codes", Says::Filled, Removal::Withheld),
    mark("withheld_copyright", Says::True, Removal::Withheld),
    mark("withheld_in_countries", Says::Filled, Removal::Withheld),
    mark("withheldInCountries", Says::Filled, Removal::Withheld),
    mark("user.protected", Says::True, Removal::Protected),
    mark("author.protected", Says::True, Removal::Protected),
    mark("user.suspended", Says::True, Removal::Suspended),
    mark("author.suspended", Says::True, Removal::Suspended),
    mark("__typename", Says::Words(&["TweetTombstone", "TweetUnavailable"]), Removal::Dropped),
    mark("_type", Says::Words(&["snscrape.modules.twitter.Tombstone"]), Removal::Dropped),
    // Reddit: the API, Pushshift, Arctic Shift.
    mark("removed_by_category", Says::Words(BY_AUTHOR), Removal::Deleted),
    mark("removed_by_category", Says::Words(BY_LAW), Removal::Withheld),
    mark("removed_by_category", Says::Filled, Removal::Dropped),
    mark("removed_by", Says::Filled, Removal::Dropped),
    mark("banned_by", Says::Filled, Removal::Dropped),
    mark("banned_at_utc", Says::Filled, Removal::Dropped),
    mark("removal_reason", Says::Filled, Removal::Dropped),
    mark("mod_removed", Says::True, Removal::Dropped),
    mark("user_removed", Says::True, Removal::Deleted),
    mark("_meta.removal_type", Says::Words(BY_AUTHOR), Removal::Deleted),
    mark("_meta.removal_type", Says::Filled, Removal::Dropped),
    mark("_meta.was_deleted_later", Says::True, Removal::Deleted),
    mark("author", Says::Words(NO_AUTHOR), Removal::Deleted),
    mark("author.name", Says::Words(NO_AUTHOR), Removal::Deleted),
    // Bluesky.
    mark("notFound", Says::True, Removal::Deleted),
    mark("blocked", Says::True, Removal::Protected),
    mark("labels.0.val", Says::Words(&["!takedown", "!hide", "!suspend"]), Removal::Dropped),
    // Mastodon, Lemmy, ActivityPub.
    mark("account.suspended", Says::True, Removal::Suspended),
    mark("type", Says::Words(&["Tombstone"]), Removal::Deleted),
    mark("creator.deleted", Says::True, Removal::Deleted),
    mark("creator.banned", Says::True, Removal::Suspended),
    // Any source.
    mark("tombstone", Says::Filled, Removal::Deleted),
    mark("deleted", Says::True, Removal::Deleted),
    mark("is_deleted", Says::True, Removal::Deleted),
    mark("isDeleted", Says::True, Removal::Deleted),
    mark("deleted_at", Says::Filled, Removal::Deleted),
    mark("deletedAt", Says::Filled, Removal::Deleted),
    mark("deleted_utc", Says::Filled, Removal::Deleted),
    mark("deletion_date", Says::Filled, Removal::Deleted),
    mark("removed", Says::True, Removal::Dropped),
    mark("is_removed", Says::True, Removal::Dropped),
    mark("isRemoved", Says::True, Removal::Dropped),
    mark("removed_at", Says::Filled, Removal::Dropped),
    mark("removedAt", Says::Filled, Removal::Dropped),
    mark("taken_down", Says::True, Removal::Dropped),
    mark("takendown", Says::True, Removal::Dropped),
    mark("is_available", Says::False, Removal::Dropped),
    mark("is_suspended", Says::True, Removal::Suspended),
    mark("suspended", Says::True, Removal::Suspended),
    mark("status", Says::Words(GONE_WORDS), Removal::Deleted),
    mark("account_status", Says::Words(GONE_WORDS), Removal::Suspended),
    mark("user.status", Says::Words(GONE_WORDS), Removal::Suspended),
    mark("user.is_deleted", Says::True, Removal::Deleted),
    mark("author.is_deleted", Says::True, Removal::Deleted),
    mark("user.deleted", Says::True, Removal::Deleted),
    mark("author.deleted", Says::True, Removal::Deleted),
];

/// Longest text that can be a notice, in bytes.
const LONGEST_NOTICE: usize = 600;

/// The notices, ready to be looked up.
#[derive(Clone, Debug)]
pub(super) struct GoneTexts {
    whole: HashMap<&'static str, &'static Notice>,
    openings: Vec<&'static Notice>,
    /// How the notices begin, so that most texts are done with at once.
    starts: HashSet<[char; 3]>,
    /// Most words of a notice that is a whole text.
    longest: usize,
}

impl Default for GoneTexts {
    fn default() -> GoneTexts {
        let whole: HashMap<_, _> = NOTICES
            .iter()
            .filter(|notice| notice.form != Form::Opening)
            .map(|notice| (notice.words, notice))
            .collect();
        GoneTexts {
            longest: whole.keys().map(|words| words.len()).max().unwrap_or(0),
            openings: NOTICES.iter().filter(|notice| notice.form == Form::Opening).collect(),
            starts: NOTICES.iter().map(|notice| start(notice.words)).collect(),
            whole,
        }
    }
}

impl GoneTexts {
    /// Whether the whole of a text is a notice that a post or account is gone.
    pub(super) fn find(&self, text: &str) -> Option<Gone> {
        if text.len() > LONGEST_NOTICE {
            return None;
        }
        if !self.starts.contains(&start(text)) {
            return None;
        }
        let in_brackets = is_bracketed(text.trim());
        let plain = canonical(text);
        let found = self.of_whole(&plain, in_brackets).or_else(|| {
            let holds = |words: &str| {
                let also = ALSO.iter().find(|(opening, _)| *opening == words);
                also.is_none_or(|(_, also)| also.iter().any(|also| plain.contains(also)))
            };
            let begins = |notice: &&&Notice| {
                plain.starts_with(notice.words)
                    && !text.trim().contains('\n')
                    && holds(notice.words)
            };
            self.openings.iter().find(begins).copied()
        })?;
        Some(Gone { removal: found.removal, how: How::Text(found.words) })
    }

    fn of_whole(&self, plain: &str, in_brackets: bool) -> Option<&'static Notice> {
        // No notice is longer than the longest with a link to help after it.
        if plain.len() > self.longest + 64 {
            return None;
        }
        let counts = |notice: &&Notice| notice.form == Form::Whole || in_brackets;
        let found = |words: &str| self.whole.get(words).copied().filter(counts);
        found(plain).or_else(|| {
            let stop = |letter: char| matches!(letter, '.' | '。' | '!' | '…' | ' ' | ':');
            let short = plain.trim_end_matches(stop);
            let helped = HELP.iter().find_map(|help| short.strip_suffix(help));
            let short = helped.map_or(short, |short| short.trim_end_matches(stop));
            found(short).filter(|notice| notice.form == Form::Whole)
        })
    }
}

fn is_bracket(letter: char) -> bool {
    matches!(
        letter,
        '[' | ']'
            | '('
            | ')'
            | '{'
            | '}'
            | '<'
            | '>'
            | '【'
            | '】'
            | '（'
            | '）'
            | '［'
            | '］'
            | '〔'
            | '〕'
            | '「'
            | '」'
            | '«'
            | '»'
            | '‹'
            | '›'
            | '〈'
            | '〉'
            | '＜'
            | '＞'
    )
}

/// What stands around the words of a notice: brackets, emphasis of Markdown, quotation marks.
fn is_framing(letter: char) -> bool {
    is_bracket(letter)
        || letter.is_whitespace()
        || matches!(
            letter,
            '*' | '_' | '~' | '`' | '\\' | '"' | '“' | '”' | '\u{200b}'..='\u{200f}'
        )
}

/// The first letters of a text in lower case, without what stands around them.
fn start(text: &str) -> [char; 3] {
    let mut letters = text.chars().filter(|&letter| !is_framing(letter)).map(small);
    std::array::from_fn(|_| letters.next().unwrap_or('\0'))
}

/// A letter in lower case; of several the first.
fn small(letter: char) -> char {
    match letter {
        '’' | '‘' => '\'',
        letter => letter.to_lowercase().next().unwrap_or(letter),
    }
}

fn is_bracketed(text: &str) -> bool {
    let text = text.trim_matches(|letter| is_framing(letter) && !is_bracket(letter));
    text.starts_with(is_bracket) && text.ends_with(is_bracket)
}

/// A text in lower case, without brackets, emphasis and the targets of links, spaces single.
fn canonical(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == ']' && letters.peek() == Some(&'(') {
            // The target of a link in Markdown.
            letters.by_ref().find(|&letter| letter == ')');
            continue;
        }
        if letter.is_whitespace() {
            if !plain.is_empty() && !plain.ends_with(' ') {
                plain.push(' ');
            }
        } else if matches!(letter, '’' | '‘') {
            plain.push('\'');
        } else if !is_framing(letter) {
            plain.extend(letter.to_lowercase());
        }
    }
    plain.truncate(plain.trim_end().len());
    plain
}

/// Accounts that are programs by their name, in lower case.
const BOT_NAMES: &[&str] = &["automoderator"];
/// Sentences by which programs declare themselves.
const BOT_SENTENCES: &[&str] = &[
    "I am a bot, and this action was performed automatically",
    "I'm a bot, and this action was performed automatically",
    "This message was posted by a bot",
];

/// Whether the account is a program, by its name or by what it says of itself.
pub(super) fn declares_bot(author: &str, text: &str) -> bool {
    BOT_NAMES.iter().any(|name| author.eq_ignore_ascii_case(name))
        || (text.contains("bot") && BOT_SENTENCES.iter().any(|words| text.contains(words)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn notices_are_in_their_own_form() {
        for notice in NOTICES {
            assert_eq!(canonical(notice.words), notice.words, "{notice:?}");
        }
        let texts = GoneTexts::default();
        let distinct: HashSet<&str> = NOTICES.iter().map(|notice| notice.words).collect();
        assert_eq!(distinct.len(), NOTICES.len());
        assert_eq!(texts.whole.len() + texts.openings.len(), NOTICES.len());
        for (words, _) in ALSO {
            assert!(distinct.contains(words), "{words}");
        }
    }

    #[test]
    fn notices_in_any_dress() {
        let texts = GoneTexts::default();
        let removal = |text: &str| texts.find(text).map(|gone| gone.removal);
        for (text, expected) in [
            ("[deleted]", Removal::Deleted),
            ("[ DELETED ]", Removal::Deleted),
            ("(removed)", Removal::Dropped),
            ("*[Removed]*", Removal::Dropped),
            ("Deleted by user", Removal::Deleted),
            ("[deleted by user]", Removal::Deleted),
            (
                "[ Removed by Reddit on account of violating the [content policy](/help/x). ]",
                Removal::Dropped,
            ),
            ("[ Removed by Reddit in response to a copyright notice. ]", Removal::Withheld),
            ("This Post is from a suspended account. Learn more", Removal::Suspended),
            ("This Tweet was deleted by the Tweet author.", Removal::Deleted),
            ("You’re unable to view this Post because the owner limits it", Removal::Protected),
            ("This Tweet from @Ann has been withheld in France", Removal::Withheld),
            ("Ce Tweet n’est pas disponible.", Removal::Dropped),
            ("【已删除】", Removal::Deleted),
            ("[Удалено]", Removal::Deleted),
        ] {
            assert_eq!(removal(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn sentences_are_no_notices() {
        let texts = GoneTexts::default();
        for text in [
            "deleted",
            "Removed.",
            "I deleted by user account yesterday",
            "This post was deleted by its author, and I miss it",
            "[deleted] my old posts",
            "Why is this video unavailable in my country?",
            "This post from @ann is the best of the year",
            "Comment removed by moderator: what a surprise, and what a rule",
            "(dead) tired",
            "",
            "[]",
        ] {
            assert_eq!(texts.find(text), None, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        /// Every notice is found whatever its case, brackets and spaces, and never within a sentence.
        #[test]
        fn dress_does_not_matter(at in 0..NOTICES.len(), frame in 0..4_usize, spaces in 0..3_usize, upper in any::<bool>()) {
            let texts = GoneTexts::default();
            let notice = NOTICES[at];
            let words = match ALSO.iter().find(|(words, _)| *words == notice.words) {
                Some((words, also)) => format!("{words} {}", also[0]),
                None => notice.words.to_string(),
            };
            // Only letters whose upper case has one way back to lower case.
            let raised = words.to_uppercase();
            let words = if upper && raised.to_lowercase() == words { raised } else { words };
            let (open, close) = [("[", "]"), ("(", ")"), ("*{", "}*"), ("<", ">")][frame];
            let space = " ".repeat(spaces);
            let text = format!("{open}{space}{words}{space}{close}");
            prop_assert_eq!(texts.find(&text).map(|gone| gone.removal), Some(notice.removal));
            if notice.form == Form::Whole {
                prop_assert_eq!(texts.find(&format!("{words} as they wrote about the harbour")), None);
                prop_assert_eq!(texts.find(&format!("They wrote: {words}")), None);
            }
        }

        /// How texts begin excludes nothing that the slow way finds.
        #[test]
        fn texts_that_begin_otherwise_are_none(text in "\\PC{0,40}") {
            let texts = GoneTexts::default();
            let plain = canonical(&text);
            let slow = NOTICES.iter().any(|notice| notice.form == Form::Whole && notice.words == plain);
            prop_assert!(!slow || texts.find(&text).is_some());
        }
    }
}
