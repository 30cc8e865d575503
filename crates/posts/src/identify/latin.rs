//! The language of a text in Latin letters: both classifiers, the text and its halves, function words.

use super::classifiers::{whatlang, whichlang};

/// Below this many letters of an alphabet a text says nothing: "ok", "haha", "no".
const MIN_LETTERS: usize = 6;
/// From this many letters on agreement of both classifiers and both halves is enough, from the second
/// on that of both classifiers and one half, from the third on that of whichlang and its halves.
const AGREED_LETTERS: usize = 10;
const HALF_AGREED_LETTERS: usize = 20;
const HALVES_LETTERS: usize = 40;

pub(super) fn latin(text: &str, words: &[&str], letters: usize) -> &'static str {
    if letters < MIN_LETTERS {
        return "und";
    }
    let whole = whichlang(text);
    let (left, right) = words.split_at(words.len() / 2);
    let votes = [left, right].iter().filter(|half| whichlang(&half.join(" ")) == whole).count();
    // Most posts end here: trigrams are asked only where this does not settle it, for they take
    // twenty times as long.
    if votes == 2 && letters >= HALF_AGREED_LETTERS && has_function_words(whole, words) {
        return whole;
    }
    let (other, reliable) = whatlang(text);
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

/// Words that a language cannot do without and that its neighbours (Catalan, Galician, Afrikaans) lack.
const FUNCTION_WORDS: [(&str, &[&str]); 6] = [
    (
        "en",
        &[
            "the", "and", "of", "is", "you", "that", "this", "was", "have", "are", "with", "what",
            "to", "for",
        ],
    ),
    (
        "fr",
        &["les", "des", "est", "une", "pas", "pour", "dans", "vous", "c'est", "avec", "je", "qui"],
    ),
    ("es", &["los", "las", "pero", "muy", "está", "con", "por", "y", "esto"]),
    ("pt", &["não", "uma", "você", "com", "muito", "é", "eu", "mas"]),
    ("de", &["der", "und", "ist", "nicht", "das", "ich", "ein", "mit", "auf", "wir"]),
    ("it", &["il", "che", "di", "è", "non", "sono", "della", "gli"]),
];
/// Different function words that settle a language.
const MIN_FUNCTION_WORDS: usize = 2;

fn has_function_words(language: &str, words: &[&str]) -> bool {
    let Some((_, known)) = FUNCTION_WORDS.iter().find(|(code, _)| *code == language) else {
        return false;
    };
    let found = |function_word: &&&str| {
        words.iter().any(|word| {
            let word = word.trim_matches(|letter: char| !letter.is_alphanumeric());
            word.eq_ignore_ascii_case(function_word)
        })
    };
    known.iter().filter(found).take(MIN_FUNCTION_WORDS).count() == MIN_FUNCTION_WORDS
}

/// Languages of the Latin script that whichlang knows.
const WHICHLANG: [&str; 10] = ["de", "en", "es", "fr", "it", "nl", "pt", "sv", "tr", "vi"];
