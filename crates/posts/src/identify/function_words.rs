//! Function words: those that a language cannot do without, of the six languages of most posts.
//!
//! Left out are words that many languages write alike (`la`, `de`, `in`, `do`, `so`), among them those of
//! Hindi in Latin letters, and those of Catalan that are Spanish too. Chosen on the figures in
//! docs/posts-rules.md.

use std::collections::HashMap;
use std::sync::LazyLock;

const FUNCTION_WORDS: [(&str, &str); 6] = [
    (
        "en",
        "about after against all always and any are at be because been before being but by \
         can can't could did does don't for from get good had has have her here him his how \
         i'm i've if into is it it's its just know make more my never new not of only our out \
         people said should some than that that's the their them then there these they think \
         this those through to today up us want was we were what when where which while who \
         why will with would you you're your",
    ),
    (
        "fr",
        "alors au aussi aux avec avoir bien c'est ce ces cette comme d'un d'une dans des du \
         elle est et faire fait il j'ai je le les leur leurs mais mes mon n'est ne nous où \
         par pas plus pour qu'il quand qui sont sur tous tout très une vous été être",
    ),
    (
        "es",
        "con cuando eso esta este esto está fue han hay las los muy más para pero por porque \
         sin sobre su sus también todo todos tú y ya yo",
    ),
    (
        "pt",
        "ao as com ela ele em está eu foi isso já mais mas meu minha muito nos não os pela \
         pelo quando seu sua são só também tem um uma você é",
    ),
    (
        "de",
        "aber als auch auf aus bei das dass dem den der die ein eine einem einen einer er es \
         für haben ich ihr im ist kann mehr mich mir mit nach nicht noch nur oder sein sich \
         sie sind so und uns vom von war was wenn werden wie wir wird zu zum zur über",
    ),
    (
        "it",
        "alla alle anche che con cosa dal dei del della delle di essere gli il nel nella non \
         per perché più quando questa questo solo sono tutti tutto è",
    ),
];

/// Longest of them in bytes, with a typographic apostrophe.
const MAX_BYTES: usize = 12;

/// The languages of a word as bits, and its number.
static WORDS: LazyLock<HashMap<&'static str, (u8, usize)>> = LazyLock::new(|| {
    let mut known = HashMap::new();
    for (place, (_, words)) in FUNCTION_WORDS.iter().enumerate() {
        for word in words.split_whitespace() {
            let number = known.len();
            known.entry(word).or_insert((0, number)).0 |= 1 << place;
        }
    }
    known
});

/// How many different function words of each language a text has.
pub(super) struct FunctionWords {
    counts: [usize; FUNCTION_WORDS.len()],
}

impl FunctionWords {
    /// Counts those among words as they stand in a text, with signs and capitals.
    pub(super) fn among(words: &[&str]) -> FunctionWords {
        let mut counts = [0; FUNCTION_WORDS.len()];
        let mut seen = Vec::new();
        let mut folded = String::with_capacity(MAX_BYTES);
        for word in words {
            let word = word.trim_matches(|sign: char| !sign.is_alphanumeric());
            if word.len() > MAX_BYTES {
                continue;
            }
            folded.clear();
            if word.is_ascii() {
                folded.push_str(word);
                folded.make_ascii_lowercase();
            } else {
                let letters = word.chars().flat_map(char::to_lowercase);
                folded
                    .extend(letters.map(|letter| if letter == '\u{2019}' { '\'' } else { letter }));
            }
            let Some(&(languages, number)) = WORDS.get(folded.as_str()) else { continue };
            if seen.contains(&number) {
                continue;
            }
            seen.push(number);
            for (place, count) in counts.iter_mut().enumerate() {
                *count += usize::from(languages >> place & 1);
            }
        }
        FunctionWords { counts }
    }

    /// Those of one language; none where its words are not known.
    pub(super) fn of(&self, language: &str) -> usize {
        let place = FUNCTION_WORDS.iter().position(|(code, _)| *code == language);
        place.map_or(0, |place| self.counts[place])
    }

    /// The language with the most, how many these are, and the most of any other language.
    pub(super) fn leading(&self) -> (&'static str, usize, usize) {
        let (mut leader, mut next) = (0, 0);
        for place in 1..self.counts.len() {
            if self.counts[place] > self.counts[leader] {
                next = self.counts[leader];
                leader = place;
            } else {
                next = next.max(self.counts[place]);
            }
        }
        (FUNCTION_WORDS[leader].0, self.counts[leader], next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_lower_case_and_short_enough_to_be_found() {
        for (language, words) in FUNCTION_WORDS {
            for word in words.split_whitespace() {
                assert!(word.len() <= MAX_BYTES - 2, "{language}: {word}");
                assert_eq!(word.to_lowercase(), word, "{language}");
                assert_eq!(FunctionWords::among(&[word]).of(language), 1, "{language}: {word}");
            }
        }
    }

    #[test]
    fn different_words_count_once_for_each_language() {
        let found = FunctionWords::among(&["The", "the,", "«was»", "don’t", "DER", "über"]);
        assert_eq!((found.of("en"), found.of("de"), found.of("it"), found.of("nl")), (3, 3, 0, 0));
        assert_eq!(found.leading(), ("en", 3, 3));
        let found = FunctionWords::among(&["los", "está", "the"]);
        assert_eq!(found.leading(), ("es", 2, 1));
        assert_eq!(FunctionWords::among(&[]).leading().1, 0);
    }
}
