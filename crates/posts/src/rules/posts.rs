//! Our profile for posts: what is no speech of a person, and nothing about how people write.
//!
//! It has no rule on capitals, punctuation, hashtags, length, stop words or listed words: each of
//! those was measured to drop one side or one language more than another (docs/posts-rules.md).

use super::words::{self, Token};
use super::{Judgement, Rule, RulePost, simple};
use crate::units::{tokens, units};
use unicode_script::{Script, UnicodeScript};

pub(super) fn rules() -> Vec<Box<dyn Rule>> {
    vec![
        simple("posts/no-words", no_words),
        simple("posts/declared-bot", declared_bot),
        simple("posts/mojibake", mojibake),
        simple("posts/mixed-script", mixed_script),
    ]
}

/// Links, handles and signs are not words; emoji are: a post of emoji says something.
fn no_words(post: &RulePost<'_>) -> Judgement {
    let (mut links, mut handles, mut spoken) = (0, 0, 0);
    for token in tokens(post.text) {
        match words::kind(token) {
            Token::Link => links += 1,
            Token::Handle => handles += 1,
            // "RT" and "via" before a handle are not words either.
            Token::Word if matches!(token, "RT" | "rt" | "via" | "RT:") => {}
            Token::Word => spoken += 1,
            Token::Signs => spoken += usize::from(token.chars().any(is_pictograph)),
        }
    }
    match (spoken, links, handles) {
        (0, 0, 0) => Judgement::Drop { reason: "empty or signs only" },
        (0, 0, _) => Judgement::Drop { reason: "handles only" },
        (0, _, _) => Judgement::Drop { reason: "links only" },
        _ => Judgement::Keep,
    }
}

/// Emoji and pictographs: the blocks of symbols that people use as words.
fn is_pictograph(letter: char) -> bool {
    matches!(u32::from(letter), 0x2600..=0x27BF | 0x2B00..=0x2BFF | 0x1F000..=0x1FAFF)
}

/// Programs whose only purpose is to post without a person: feeds and rules, not schedulers for
/// texts that people write (Buffer, Hootsuite, TweetDeck).
const FEED_PROGRAMS: [&str; 8] = [
    "dlvr.it",
    "twitterfeed",
    "ifttt",
    "zapier.com",
    "feedburner",
    "rss graffiti",
    "rss app",
    "twibble.io",
];

fn declared_bot(post: &RulePost<'_>) -> Judgement {
    if post.declared_bot {
        return Judgement::Drop { reason: "the account says it is automated" };
    }
    let Some(program) = post.source_app else { return Judgement::Keep };
    // X gives the program as a link: <a href="…">Name</a>.
    let name = match (program.find('>'), program.rfind("</a>")) {
        (Some(start), Some(end)) if start < end => &program[start + 1..end],
        _ => program,
    };
    let name = name.trim().to_lowercase();
    let bot = FEED_PROGRAMS.contains(&name.as_str())
        || name
            .split(|letter: char| !letter.is_alphanumeric())
            .any(|word| matches!(word, "bot" | "bots") || word.len() > 5 && word.ends_with("bot"));
    Judgement::drop_if(bot, "posted by a program that says it is one")
}

/// Words with damaged letters from which a text is damaged: this many, and one word in three.
const DAMAGED_WORDS: usize = 2;
const DAMAGED_ONE_IN: usize = 3;

/// Replacement characters and C1 controls inside words. Alone they are mostly lost emoji, and a post
/// that lost its emoji is speech; dropping those cost one side of the troll posts 30 posts, the other 4.
fn mojibake(post: &RulePost<'_>) -> Judgement {
    if post.text.is_ascii() {
        return Judgement::Keep;
    }
    let is_damage = |letter| matches!(letter, '\u{fffd}' | '\u{80}'..='\u{9f}');
    let (mut words, mut damaged) = (0, 0);
    for unit in units(post.text).filter(|unit| unit.text.contains(char::is_alphabetic)) {
        words += 1;
        damaged += usize::from(unit.text.contains(is_damage));
    }
    Judgement::drop_if(
        damaged >= DAMAGED_WORDS && damaged * DAMAGED_ONE_IN >= words,
        "words with damaged letters",
    )
}

/// Words that mix look-alike scripts, from which a post hides its words: this many, and half of all.
const MIXED_WORDS: usize = 2;

/// Latin letters inside Cyrillic or Greek words and the reverse, where signs look alike: a means of
/// passing filters. Hashtags and words joined by digits or signs are parts of their own.
fn mixed_script(post: &RulePost<'_>) -> Judgement {
    if post.text.is_ascii() {
        return Judgement::Keep;
    }
    let (mut words, mut mixed) = (0, 0);
    for word in post.text.split(|letter: char| !letter.is_alphabetic()) {
        if word.is_empty() {
            continue;
        }
        words += 1;
        let mut scripts = [false; 3];
        for letter in word.chars() {
            match letter.script() {
                Script::Latin => scripts[0] = true,
                Script::Cyrillic => scripts[1] = true,
                Script::Greek => scripts[2] = true,
                _ => {}
            }
        }
        mixed += usize::from(scripts.iter().filter(|&&used| used).count() > 1);
    }
    Judgement::drop_if(mixed >= MIXED_WORDS && mixed * 2 >= words, "words of mixed scripts")
}
