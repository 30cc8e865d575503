//! The filters of DialoGPT's Reddit corpus (Zhang et al. 2020, section 3.1), as its published
//! extraction applies them to a response.
//!
//! The paper's list of offensive phrases and of common words is not shipped; its check of the pair of
//! source and response is applied to the response alone, because a rule here sees one post. Scripts without
//! spaces have words by weight (`units`), and no long or repeated ones.

use super::words::{self, Token};
use super::{Judgement, Rule, RulePost, simple};
use crate::units::{WORD_WEIGHT, tokens, units, weight};

/// Shortest turn that becomes a target, in words.
const MIN_WORDS: usize = 2;
/// Longest turn that becomes a target, in words (the extraction's default).
const MAX_WORDS: usize = 30;
/// Longest word, in characters.
const MAX_WORD: usize = 30;
/// Capitals in a row that count as yelling.
const CAPITALS: usize = 5;

pub(super) fn rules() -> Vec<Box<dyn Rule>> {
    vec![
        simple("dialogpt/url", url),
        simple("dialogpt/markup", markup),
        simple("dialogpt/capitals", capitals),
        simple("dialogpt/word-repetition", word_repetition),
        simple("dialogpt/length", length),
        simple("dialogpt/long-word", long_word),
    ]
}

fn url(post: &RulePost<'_>) -> Judgement {
    let linked = tokens(post.text).any(|token| words::kind(token) == Token::Link);
    Judgement::drop_if(linked, "a link")
}

fn markup(post: &RulePost<'_>) -> Judgement {
    Judgement::drop_if(post.text.contains(['[', ']', '(', ')']), "brackets")
}

fn capitals(post: &RulePost<'_>) -> Judgement {
    let mut run = 0;
    let yells = post.text.bytes().any(|byte| {
        run = if byte.is_ascii_uppercase() { run + 1 } else { 0 };
        run >= CAPITALS
    });
    Judgement::drop_if(yells, "five capitals in a row")
}

fn word_repetition(post: &RulePost<'_>) -> Judgement {
    let words: Vec<_> = units(post.text).collect();
    let repeats = words
        .windows(3)
        .any(|run| run[0].text == run[1].text && run[1].text == run[2].text && !run[0].is_letter());
    Judgement::drop_if(repeats, "one word three times in a row")
}

fn length(post: &RulePost<'_>) -> Judgement {
    let weight = weight(post.text);
    if weight < MIN_WORDS * WORD_WEIGHT {
        return Judgement::Drop { reason: "fewer than two words" };
    }
    Judgement::drop_if(weight > MAX_WORDS * WORD_WEIGHT, "more than 30 words")
}

fn long_word(post: &RulePost<'_>) -> Judgement {
    let long = units(post.text).any(|word| word.text.chars().nth(MAX_WORD).is_some());
    Judgement::drop_if(long, "a word of more than 30 letters")
}
