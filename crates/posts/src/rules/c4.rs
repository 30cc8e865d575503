//! The heuristics of C4 (Raffel et al. 2020, "Exploring the limits of transfer learning with a
//! unified text-to-text transformer", section 2.2), for whole texts, as published.
//!
//! C4 drops lines and then pages; a post whose every line goes is dropped. Its list of bad words is not
//! shipped: give your own to [`Blocklist`] to audit what such a list does. Its deduplication of
//! three-sentence spans and its language filter are other stages here. Scripts without spaces between words
//! have words by weight, and sentences that end as theirs do (`units`).

use super::{Judgement, Rule, RulePost, simple};
use crate::units::{Ends, WORD_WEIGHT, ends_of, units};
use std::collections::HashSet;

const MIN_LINE_WORDS: usize = 5;
/// The first version of the paper and its published code ask for five, the journal version for
/// three; five is what users of the code run.
const MIN_SENTENCES: usize = 5;
const LINE_ENDS: [char; 5] = ['.', '!', '?', '"', '”'];
/// Signs that may close a line after the mark that ends it, in scripts without spaces.
const CLOSERS: [char; 6] = ['」', '』', '）', ')', '”', '»'];

pub(super) fn rules() -> Vec<Box<dyn Rule>> {
    vec![
        simple("c4/terminal-punctuation", terminal_punctuation),
        simple("c4/line-words", line_words),
        simple("c4/sentences", sentences),
        simple("c4/boilerplate", boilerplate),
    ]
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

/// A closing mark. The published code does not count `...`; the paper does. After a letter of a script
/// without spaces it is one of that script's marks, and needed only where the script has some.
fn ends_well(line: &str) -> bool {
    if line.ends_with(LINE_ENDS) {
        return true;
    }
    let closed = line.trim_end_matches(CLOSERS);
    let letter = closed.chars().rev().find(|letter| letter.is_alphanumeric());
    match letter.and_then(ends_of) {
        Some(Ends::Marks(marks)) => closed.ends_with(marks),
        Some(Ends::Space) => true,
        None => false,
    }
}

fn terminal_punctuation(post: &RulePost<'_>) -> Judgement {
    Judgement::drop_if(!lines(post.text).any(ends_well), "no line ends in terminal punctuation")
}

fn line_words(post: &RulePost<'_>) -> Judgement {
    let long = |line: &str| {
        let mut weight = 0;
        units(line).any(|unit| {
            weight += unit.weight;
            weight >= MIN_LINE_WORDS * WORD_WEIGHT
        })
    };
    Judgement::drop_if(!lines(post.text).any(long), "no line has five words")
}

/// Sentences end in `.`, `!` or `?` followed by white space or the end; a rest without an end is one. After
/// a letter of a script without spaces, that script's marks end one, whatever follows, or a space does.
fn sentences(post: &RulePost<'_>) -> Judgement {
    let mut count = 0;
    let mut open = false;
    let mut own: Option<Ends> = None;
    let mut letters = post.text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter.is_alphanumeric() {
            open = true;
            own = ends_of(letter);
        }
        let ends = matches!(letter, '.' | '!' | '?' | '。' | '！' | '？');
        let last = letters.peek().is_none_or(|next| next.is_whitespace() || ends && *next == '"');
        let by_own = match own {
            Some(Ends::Marks(marks)) => marks.contains(&letter),
            Some(Ends::Space) => letter.is_whitespace(),
            None => false,
        };
        let at_end = letters.peek().is_none() || letters.peek() == Some(&'\n');
        if open && (by_own || last && (ends || at_end)) {
            count += 1;
            open = false;
        }
    }
    Judgement::drop_if(count < MIN_SENTENCES, "fewer than five sentences")
}

fn boilerplate(post: &RulePost<'_>) -> Judgement {
    if post.text.contains('{') {
        return Judgement::Drop { reason: "a curly bracket" };
    }
    let lower = post.text.to_lowercase();
    if lower.contains("lorem ipsum") {
        return Judgement::Drop { reason: "lorem ipsum" };
    }
    let mut lines = lines(&lower).peekable();
    Judgement::drop_if(
        lines.peek().is_some() && lines.all(|line| line.contains("javascript")),
        "every line names javascript",
    )
}

/// Drops a post that holds a listed word or phrase; for auditing such lists, in no profile.
#[derive(Clone, Debug)]
pub struct Blocklist {
    phrases: HashSet<String>,
    most_words: usize,
}

impl Blocklist {
    /// A list of words or phrases; case does not matter.
    pub fn new<'a>(phrases: impl IntoIterator<Item = &'a str>) -> Blocklist {
        let phrases: HashSet<String> = phrases.into_iter().map(super::template::words_of).collect();
        let most_words = phrases.iter().map(|phrase| phrase.split(' ').count()).max().unwrap_or(0);
        Blocklist { phrases, most_words }
    }
}

impl Rule for Blocklist {
    fn name(&self) -> &'static str {
        "blocklist/words"
    }

    fn judge(&self, post: &RulePost<'_>) -> Judgement {
        let text = super::template::words_of(post.text);
        let words: Vec<&str> = text.split(' ').collect();
        let listed = (1..=self.most_words)
            .any(|n| words.windows(n).any(|run| self.phrases.contains(&run.join(" "))));
        Judgement::drop_if(listed && !text.is_empty(), "a listed word")
    }
}
