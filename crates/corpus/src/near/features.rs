//! What two short texts are compared by: sets of hashed shingles of characters or of words.
//!
//! Words are counted by weight (`stoa_posts::units`): in scripts without spaces a shingle is of letters, as many
//! as three words have at least.

use stoa_posts::units::{Units, WORD_WEIGHT, runs, units, weight};
use xxhash_rust::xxh3::xxh3_64;

/// From this many words on, texts have word shingles.
const WORDY: usize = 8 * WORD_WEIGHT;
/// Below this many words, texts have character shingles; both kinds between, so that a text of seven
/// words can be near one of eight.
const SHORT: usize = 10 * WORD_WEIGHT;
/// A word shingle is the shortest run that weighs more than two words: three words, four letters of Han, five
/// of Khmer or Burmese, seven of Kana, Thai or Lao.
const MORE_THAN: usize = 2 * WORD_WEIGHT;
/// Characters in character shingles.
const SHINGLE_CHARACTERS: std::ops::RangeInclusive<usize> = 3..=5;

/// The shingles of a text: sorted distinct hashes, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Runs of three to five characters, spaces included; empty for long texts.
    pub characters: Vec<u64>,
    /// Runs of three words, or of letters that weigh as much; empty for short texts.
    pub words: Vec<u64>,
    /// The normal form of a text with character shingles: they only propose, its words decide.
    pub short: String,
}

impl Features {
    /// The shingles of a normal form.
    pub fn of(normal: &str) -> Features {
        let text = Units::of(normal);
        let all: usize = text.weights().iter().sum();
        let mut features = Features::default();
        if all < SHORT {
            features.characters = character_shingles(normal);
            features.short = normal.to_string();
        }
        if all >= WORDY {
            let runs = runs(text.weights(), |weight| weight > MORE_THAN);
            features.words = distinct(runs.map(|run| xxh3_64(text.run(run).as_bytes())));
        }
        features
    }
}

/// A text shorter than a shingle is one shingle: it has a set of its own, not an empty one shared by
/// all short texts.
fn character_shingles(normal: &str) -> Vec<u64> {
    let mut starts: Vec<usize> = normal.char_indices().map(|(at, _)| at).collect();
    let characters = starts.len();
    starts.push(normal.len());
    if characters < *SHINGLE_CHARACTERS.start() {
        return if normal.is_empty() { Vec::new() } else { vec![xxh3_64(normal.as_bytes())] };
    }
    let bytes = normal.as_bytes();
    let starts = &starts;
    distinct(SHINGLE_CHARACTERS.filter(|&n| n <= characters).flat_map(move |n| {
        (0..=characters - n).map(move |first| xxh3_64(&bytes[starts[first]..starts[first + n]]))
    }))
}

fn distinct(hashes: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut hashes: Vec<u64> = hashes.collect();
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

/// The words people would count: letters of scripts without spaces make up words by their weight.
pub fn word_count(normal: &str) -> usize {
    if normal.is_empty() {
        return 0;
    }
    if normal.is_ascii() {
        return normal.bytes().filter(|&byte| byte == b' ').count() + 1;
    }
    weight(normal) / WORD_WEIGHT
}

/// The larger of the Jaccard similarities of the kinds that both texts have. That of characters counts
/// only where the words that differ are spellings of one another: in a short text one other name,
/// number or adverb says something else, however alike the letters.
pub fn similarity(left: &Features, right: &Features) -> f64 {
    let words = jaccard(&left.words, &right.words);
    let characters = jaccard(&left.characters, &right.characters);
    if characters > words && same_words(&left.short, &right.short) { characters } else { words }
}

/// Whether two texts have the same words, in order, up to spelling. A letter of a script without spaces
/// is as much as a word: another one says something else.
fn same_words(left: &str, right: &str) -> bool {
    let (mut left, mut right) = (units(left), units(right));
    loop {
        match (left.next(), right.next()) {
            (None, None) => return true,
            (Some(one), Some(other)) if one.text == other.text => {}
            (Some(one), Some(other)) if !one.is_letter() && is_spelling(one.text, other.text) => {}
            _ => return false,
        }
    }
}

/// Letters of a word for each of which one may be wrong; shorter words and numbers must agree.
const LETTERS_PER_SLIP: usize = 6;

/// Whether two words differ by slips: letters added, left out or replaced.
fn is_spelling(one: &str, other: &str) -> bool {
    if one.contains(char::is_numeric) || other.contains(char::is_numeric) {
        return false;
    }
    let one: Vec<char> = one.chars().collect();
    let other: Vec<char> = other.chars().collect();
    let slips = one.len().min(other.len()) / LETTERS_PER_SLIP;
    slips > 0 && edit_distance_at_most(&one, &other, slips)
}

/// Levenshtein distance within a band around the diagonal (Ukkonen 1985).
fn edit_distance_at_most(one: &[char], other: &[char], most: usize) -> bool {
    if one.len().abs_diff(other.len()) > most {
        return false;
    }
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.iter().enumerate() {
        let (from, to) = (at.saturating_sub(most), (at + most + 1).min(other.len()));
        let mut diagonal = row[from];
        row[from] = if from == 0 { at + 1 } else { usize::MAX / 2 };
        for place in from..to {
            let above = if place + 1 > at + most { usize::MAX / 2 } else { row[place + 1] };
            let replaced = diagonal + usize::from(*letter != other[place]);
            diagonal = row[place + 1];
            row[place + 1] = replaced.min(above + 1).min(row[place] + 1);
        }
    }
    row[other.len()] <= most
}

/// Shared over all, for sorted sets; 0 where either is empty.
fn jaccard(left: &[u64], right: &[u64]) -> f64 {
    let (mut at, mut other, mut shared) = (0, 0, 0);
    while at < left.len() && other < right.len() {
        match left[at].cmp(&right[other]) {
            std::cmp::Ordering::Less => at += 1,
            std::cmp::Ordering::Greater => other += 1,
            std::cmp::Ordering::Equal => {
                shared += 1;
                at += 1;
                other += 1;
            }
        }
    }
    let union = left.len() + right.len() - shared;
    if shared == 0 { 0.0 } else { f64::from(shared as u32) / union as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_by_length() {
        let features = |n: usize| Features::of(&vec!["word"; n].join(" "));
        assert!(features(7).words.is_empty() && !features(7).characters.is_empty());
        assert!(!features(8).words.is_empty() && !features(8).characters.is_empty());
        assert!(!features(10).words.is_empty() && features(10).characters.is_empty());
        assert_eq!(Features::of(""), Features::default());
        // Short texts have sets of their own.
        assert_ne!(Features::of("ok").characters, Features::of("no").characters);
    }

    #[test]
    fn words_distinguish_short_texts() {
        let near = |left: &str, right: &str| similarity(&Features::of(left), &Features::of(right));
        assert_eq!(near("how much is twenty times 12", "how much is twenty times 12"), 1.0);
        assert_eq!(near("how much is twenty times 12", "how much is twenty times 13"), 0.0);
        assert!(
            near("the train for sowmere leaves late", "the train for gozmere leaves late") < 0.8
        );
        assert_eq!(
            near("the market square is beautiful", "by the way the market square is beautiful"),
            0.0
        );
        assert!(
            near("everybody goes to the market tomorrow", "everybody goes to the market tomorow")
                > 0.8
        );
    }

    #[test]
    fn edit_distance_in_a_band() {
        let within = |one: &str, other: &str, most| {
            let letters = |word: &str| word.chars().collect::<Vec<char>>();
            edit_distance_at_most(&letters(one), &letters(other), most)
        };
        for (one, other, distance) in [
            ("kitten", "sitting", 3),
            ("", "", 0),
            ("abc", "", 3),
            ("tomorrow", "tomorow", 1),
            ("abcd", "badc", 3),
        ] {
            for most in 0..6 {
                assert_eq!(within(one, other, most), distance <= most, "{one} {other} {most}");
                assert_eq!(within(other, one, most), distance <= most, "{other} {one} {most}");
            }
        }
    }

    #[test]
    fn words_of_scripts_without_spaces() {
        assert_eq!(word_count("東京はいい天気です"), 4);
        assert_eq!(word_count("東京 iphone 2024 年"), 4);
        assert_eq!(word_count("ประเทศไทย"), 3);
        assert_eq!(word_count("il fait beau"), 3);
        assert_eq!(word_count("été à"), 2);
        assert_eq!(word_count(""), 0);
    }
}
