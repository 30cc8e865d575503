//! A guess of the language from stop words, for sources that do not say.
//!
//! It knows English and French and says `Undetermined` for anything short or unclear; a real
//! classifier belongs to the full pipeline.

use crate::post::Language;

const ENGLISH: &[&str] = &[
    "the", "and", "of", "to", "is", "in", "that", "it", "for", "you", "was", "with", "are", "this",
    "have", "not", "be", "my", "i", "he", "she", "they", "what", "we",
];
const FRENCH: &[&str] = &[
    "le", "la", "les", "et", "de", "des", "du", "est", "une", "un", "que", "pour", "pas", "dans",
    "qui", "vous", "je", "il", "elle", "nous", "ce", "au", "avec", "sur", "ne",
];
/// Fewest stop words of the winning language, and how many times the other's it must have.
const FEWEST_HITS: usize = 2;
const TIMES_THE_OTHER: usize = 2;

/// The language of a text.
pub(crate) fn guess(text: &str) -> Language {
    let lower = text.to_lowercase();
    let (mut english, mut french) = (0, 0);
    for word in lower.split(|letter: char| !letter.is_alphabetic()) {
        english += usize::from(ENGLISH.contains(&word));
        french += usize::from(FRENCH.contains(&word));
    }
    if english >= FEWEST_HITS && english >= TIMES_THE_OTHER * french {
        Language::English
    } else if french >= FEWEST_HITS && french >= TIMES_THE_OTHER * english {
        Language::French
    } else {
        Language::Undetermined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_only_what_is_clear() {
        assert_eq!(guess("What do they say of the bridge?"), Language::English);
        assert_eq!(guess("Que dit-on du pont dans la ville ?"), Language::French);
        assert_eq!(guess("ok"), Language::Undetermined);
        assert_eq!(guess("Wer weiß das schon genau"), Language::Undetermined);
    }
}
