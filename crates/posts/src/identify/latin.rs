//! The language of a text in Latin letters: function words, then both classifiers on the text and its halves.

use super::classifiers::{whatlang, whichlang};
use super::function_words::FunctionWords;

/// Below this many letters of an alphabet a text says nothing: "ok", "haha", "no".
const MIN_LETTERS: usize = 6;
/// From this many letters on agreement of both classifiers and both halves is enough, from the second
/// on that of both classifiers and one half, from the third on that of whichlang and its halves.
const AGREED_LETTERS: usize = 10;
const HALF_AGREED_LETTERS: usize = 20;
const HALVES_LETTERS: usize = 40;

/// Different function words that settle a language without a classifier, unless there is one of another
/// language for every so many of them.
const SETTLING_WORDS: usize = 3;
const FOREIGN_WORDS: usize = 5;
/// Function words that settle it where whichlang agrees with both halves of a long text, and in a shorter
/// one: one in so many words.
const AGREED_WORDS: usize = 2;
const WORDS_OF_A_TEXT: usize = 5;

/// The language of words of so many letters.
pub(super) fn latin(words: &[&str], letters: usize) -> &'static str {
    if letters < MIN_LETTERS {
        return "und";
    }
    let known = FunctionWords::among(words);
    if letters >= HALF_AGREED_LETTERS {
        // Most posts end here: classifiers take many times as long.
        let (language, most, next) = known.leading();
        if most >= SETTLING_WORDS && most >= FOREIGN_WORDS * next {
            return language;
        }
    }
    let text = words.join(" ");
    let whole = whichlang(&text);
    let (left, right) = words.split_at(words.len() / 2);
    let votes = [left, right].iter().filter(|half| whichlang(&half.join(" ")) == whole).count();
    let own = known.of(whole);
    let usual = own > 0 && own * WORDS_OF_A_TEXT >= words.len()
        || own >= AGREED_WORDS && letters >= HALVES_LETTERS;
    if votes == 2 && letters >= HALF_AGREED_LETTERS && usual {
        return whole;
    }
    let (other, reliable) = whatlang(&text);
    if other == whole {
        let enough = reliable
            || votes == 2 && letters >= AGREED_LETTERS
            || votes == 1 && letters >= HALF_AGREED_LETTERS;
        return if enough { whole } else { "und" };
    }
    let within = WHICHLANG.contains(&other);
    if within && votes == 2 && letters >= HALVES_LETTERS {
        return whole;
    }
    // A reliable trigram answer stands against whichlang where that cannot know the language, or
    // where its own halves disagree.
    if reliable && (!within || votes < 2 && letters < HALVES_LETTERS) { other } else { "und" }
}

/// Languages of the Latin script that whichlang knows.
const WHICHLANG: [&str; 10] = ["de", "en", "es", "fr", "it", "nl", "pt", "sv", "tr", "vi"];
