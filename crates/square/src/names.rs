//! Invented names of people, places and rivers, built from syllables.
//!
//! Names begin with a consonant, so that neither language elides before them ("de Mira", never "d'"),
//! and no part of a name is used twice, so that a name points at one bearer only.

use super::lexicon::{COLLECTIONS, FOODS, INSTRUMENTS, PETS, PRODUCTS, TOOLS, TRADES};
use std::collections::BTreeSet;
use stoa_random::Draws;

const ONSETS: &[&str] = &[
    "b", "d", "f", "g", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "br", "dr", "gr",
    "kr", "tr", "st", "pl", "bl", "fl",
];
const VOWELS: &[&str] = &["a", "e", "i", "o", "u", "ai", "ou", "ei"];
const MIDDLES: &[&str] = &[
    "b", "d", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "ld", "nd", "rm", "lv", "rk",
];
const FIRST_ENDINGS: &[&str] = &["a", "o", "i", "an", "el", "is", "en", "ia", "or", "un"];
const LAST_ENDINGS: &[&str] =
    &["dan", "mar", "vik", "rel", "gard", "ton", "bek", "lund", "mond", "nez", "var", "sel", "tov"];
const PLACE_ENDINGS: &[&str] =
    &["vale", "mont", "port", "ford", "bourg", "wick", "haven", "stad", "court", "mere"];
const RIVER_ENDINGS: &[&str] = &["ne", "re", "sse", "lle", "gue", "the", "ve", "me"];

/// Words of the sentences around the names that a name part must not be mistaken for.
const TAKEN: &[&str] = &[
    "dans", "vous", "nous", "dort", "sans", "dame", "banal", "metal", "total", "piano", "polo",
    "mango", "taxi", "menu", "sofa", "radio", "soda", "panda", "pasta", "salad", "robot", "stoa",
    "mama", "papa", "papi", "bois", "mois", "trois", "mais", "paris", "boris", "venus", "basel",
    "grain", "train", "brain", "drain", "plain", "faire", "given", "taken", "seven", "token",
];

/// Hands out names that have not been used.
pub(super) struct Namer {
    draws: Draws,
    used: BTreeSet<String>,
}

impl Namer {
    /// Names for the inhabitants of a seed.
    pub(super) fn new(seed: u64) -> Namer {
        let nouns = [TRADES, PETS, FOODS, INSTRUMENTS, COLLECTIONS, TOOLS, PRODUCTS];
        let used = nouns
            .iter()
            .flat_map(|list| list.iter())
            .flat_map(|&(english, french, _)| [english.to_string(), french.to_string()])
            .chain(TAKEN.iter().map(|word| word.to_string()))
            .collect();
        Namer { draws: Draws::new(seed, "names"), used }
    }

    /// Names for people and places that are not `known` ones.
    pub(super) fn of_strangers<'a>(seed: u64, known: impl Iterator<Item = &'a String>) -> Namer {
        let mut namer = Namer::new(seed);
        namer.draws = Draws::new(seed, "strangers");
        let parts = known.flat_map(|name| name.split(' ')).map(str::to_lowercase);
        namer.used.extend(parts);
        namer
    }

    /// A person: first name and surname, both new.
    pub(super) fn person(&mut self) -> String {
        let first = self.fresh(4, 7, |draws| {
            [draws.pick(ONSETS), draws.pick(VOWELS), draws.pick(MIDDLES), draws.pick(FIRST_ENDINGS)]
                .map(|part| *part)
                .concat()
        });
        let last = self.fresh(5, 9, |draws| {
            [draws.pick(ONSETS), draws.pick(VOWELS), draws.pick(LAST_ENDINGS)]
                .map(|part| *part)
                .concat()
        });
        format!("{first} {last}")
    }

    /// A town.
    pub(super) fn place(&mut self) -> String {
        self.fresh(6, 11, |draws| {
            [draws.pick(ONSETS), draws.pick(VOWELS), draws.pick(MIDDLES), draws.pick(PLACE_ENDINGS)]
                .map(|part| *part)
                .concat()
        })
    }

    /// A river.
    pub(super) fn river(&mut self) -> String {
        self.fresh(4, 8, |draws| {
            [draws.pick(ONSETS), draws.pick(VOWELS), draws.pick(RIVER_ENDINGS)]
                .map(|part| *part)
                .concat()
        })
    }

    /// Draws until a word of `shortest..=longest` letters is new. Lists that run dry grow a syllable,
    /// so that any number of names can be had.
    fn fresh(
        &mut self,
        shortest: usize,
        longest: usize,
        draw: impl Fn(&mut Draws) -> String,
    ) -> String {
        for attempt in 0_usize.. {
            let mut word = draw(&mut self.draws);
            for _ in 0..attempt / 64 {
                word.insert_str(0, self.draws.pick::<&str>(VOWELS));
                word.insert_str(0, self.draws.pick::<&str>(ONSETS));
            }
            let longest = longest + 4 * (attempt / 64);
            if (shortest..=longest).contains(&word.len()) && self.used.insert(word.clone()) {
                let mut letters = word.chars();
                let initial = letters.next().map(|letter| letter.to_ascii_uppercase());
                return initial.into_iter().chain(letters).collect();
            }
        }
        unreachable!("the attempts of an unbounded range end only by returning")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_names_are_never_shared() {
        let mut namer = Namer::new(5);
        let mut parts = BTreeSet::new();
        for _ in 0..600 {
            for part in namer.person().split(' ') {
                assert!(parts.insert(part.to_string()), "{part} twice");
                assert!(!"aeiouh".contains(part.to_lowercase().chars().next().unwrap()));
            }
        }
        for _ in 0..100 {
            assert!(parts.insert(namer.place()));
            assert!(parts.insert(namer.river()));
        }
    }
}
