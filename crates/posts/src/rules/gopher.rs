//! The quality and repetition filters of MassiveText (Rae et al. 2021, "Scaling language models:
//! methods, analysis and insights from training Gopher", appendix A.1.1, table A1), as published.
//!
//! They were made for English web pages. On posts the word floor alone drops nearly everything; they
//! are here to be audited. Words are what white space separates; the paper does not say more. Where a
//! script sets no space between words, its letters count as the parts of words that they are (`units`), and
//! its own stop words stand beside the English ones.

use super::{Judgement, Rule, RulePost, simple};
use crate::units::{Unit, WORD_WEIGHT, is_spaced, is_unspaced, runs, units, weight};
use std::collections::HashMap;
use std::ops::Range;

const MIN_WORDS: usize = 50;
const MAX_WORDS: usize = 100_000;
const MEAN_WORD_CHARACTERS: std::ops::RangeInclusive<f64> = 3.0..=10.0;
const MAX_SYMBOLS_PER_WORD: f64 = 0.1;
const MAX_BULLET_LINES: f64 = 0.9;
const MAX_ELLIPSIS_LINES: f64 = 0.3;
const MIN_ALPHABETIC_WORDS: f64 = 0.8;
const STOP_WORDS: [&str; 8] = ["the", "be", "to", "of", "and", "that", "have", "with"];
const MIN_STOP_WORDS: usize = 2;
/// Stop words of scripts without spaces, eight each: Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan.
/// They are looked for anywhere, since no space sets them off.
const UNSPACED_STOP_WORDS: [[&str; 8]; 7] = [
    ["的", "是", "了", "在", "不", "和", "有", "我"],
    ["の", "に", "は", "を", "た", "が", "で", "て"],
    ["ที่", "การ", "และ", "ใน", "เป็น", "ของ", "มี", "ได้"],
    ["ທີ່", "ການ", "ແລະ", "ໃນ", "ເປັນ", "ຂອງ", "ມີ", "ໄດ້"],
    ["និង", "នៃ", "ជា", "ក្នុង", "ដែល", "មាន", "ការ", "បាន"],
    ["သည်", "များ", "တွင်", "ကို", "၏", "မှ", "နှင့်", "သော"],
    ["གི་", "ཀྱི་", "དང་", "ནི་", "འདི", "ནས་", "ལས་", "ཡིན"],
];

/// Table A1: most of the lines (and paragraphs) that may repeat others, and most of the characters
/// that may stand in them.
const MAX_REPEATED_LINES: f64 = 0.30;
const MAX_REPEATED_LINE_CHARACTERS: f64 = 0.20;
/// Table A1: most of the characters that may stand in the commonest n-gram, by n.
const MAX_IN_TOP_NGRAM: [(usize, f64); 3] = [(2, 0.20), (3, 0.18), (4, 0.16)];
/// Table A1: most of the characters that may stand in n-grams occurring more than once, by n.
const MAX_IN_REPEATED_NGRAMS: [(usize, f64); 6] =
    [(5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10)];

pub(super) fn rules() -> Vec<Box<dyn Rule>> {
    vec![
        simple("gopher/word-count", word_count),
        simple("gopher/mean-word-length", mean_word_length),
        simple("gopher/symbols", symbols),
        simple("gopher/line-marks", line_marks),
        simple("gopher/alphabetic", alphabetic),
        simple("gopher/stop-words", stop_words),
        simple("gopher/repetition", repetition),
    ]
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn word_count(post: &RulePost<'_>) -> Judgement {
    let weight = weight(post.text);
    if weight < MIN_WORDS * WORD_WEIGHT {
        return Judgement::Drop { reason: "fewer than 50 words" };
    }
    Judgement::drop_if(weight > MAX_WORDS * WORD_WEIGHT, "more than 100,000 words")
}

/// Of the words of scripts with spaces; a text with less than half its words in these has no word length.
fn mean_word_length(post: &RulePost<'_>) -> Judgement {
    let (mut words, mut characters, mut unspaced) = (0, 0, 0);
    for unit in units(post.text) {
        if unit.is_letter() {
            unspaced += unit.weight;
        } else {
            words += 1;
            characters += unit.text.chars().count();
        }
    }
    if unspaced > words * WORD_WEIGHT {
        return Judgement::Keep;
    }
    let mean = share(characters, words);
    Judgement::drop_if(!MEAN_WORD_CHARACTERS.contains(&mean), "mean word length not 3 to 10")
}

fn symbols(post: &RulePost<'_>) -> Judgement {
    // A share of words is one of weights, exactly: both sides are multiplied by the weight of a word.
    let words = weight(post.text);
    let hashes = WORD_WEIGHT * post.text.matches('#').count();
    let ellipses =
        WORD_WEIGHT * (post.text.matches("...").count() + post.text.matches('…').count());
    if share(hashes, words) > MAX_SYMBOLS_PER_WORD {
        return Judgement::Drop { reason: "more than one hash sign in ten words" };
    }
    Judgement::drop_if(
        share(ellipses, words) > MAX_SYMBOLS_PER_WORD,
        "more than one ellipsis in ten words",
    )
}

fn line_marks(post: &RulePost<'_>) -> Judgement {
    let lines: Vec<&str> =
        post.text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let bullets = lines.iter().filter(|line| line.starts_with(['•', '●', '‣', '*', '-'])).count();
    let ellipses = lines.iter().filter(|line| line.ends_with("...") || line.ends_with('…')).count();
    if share(bullets, lines.len()) > MAX_BULLET_LINES {
        return Judgement::Drop { reason: "more than 90 % bullet lines" };
    }
    Judgement::drop_if(
        share(ellipses, lines.len()) > MAX_ELLIPSIS_LINES,
        "more than 30 % of lines end in an ellipsis",
    )
}

fn alphabetic(post: &RulePost<'_>) -> Judgement {
    let (mut words, mut lettered) = (0, 0);
    for unit in units(post.text) {
        words += unit.weight;
        lettered += if unit.text.chars().any(char::is_alphabetic) { unit.weight } else { 0 };
    }
    Judgement::drop_if(
        share(lettered, words) < MIN_ALPHABETIC_WORDS,
        "fewer than 80 % of words have a letter",
    )
}

fn stop_words(post: &RulePost<'_>) -> Judgement {
    let english = STOP_WORDS.iter().filter(|stop_word| {
        post.text
            .split_whitespace()
            .map(|word| word.trim_matches(|letter: char| !letter.is_alphanumeric()))
            .any(|word| word.eq_ignore_ascii_case(stop_word))
    });
    let english = english.count();
    if is_spaced(post.text) || !post.text.contains(is_unspaced) {
        let few = english < MIN_STOP_WORDS;
        return Judgement::drop_if(few, "fewer than two English stop words");
    }
    let others = UNSPACED_STOP_WORDS.iter().flatten();
    let others = others.filter(|stop_word| post.text.contains(**stop_word)).count();
    Judgement::drop_if(english + others < MIN_STOP_WORDS, "fewer than two stop words")
}

fn repetition(post: &RulePost<'_>) -> Judgement {
    if repeats(post.text.lines()) {
        return Judgement::Drop { reason: "repeated lines" };
    }
    if repeats(post.text.split("\n\n")) {
        return Judgement::Drop { reason: "repeated paragraphs" };
    }
    let (words, weights): (Vec<&str>, Vec<usize>) =
        units(post.text).map(|Unit { text, weight }| (text, weight)).unzip();
    let ngrams = |n: usize| runs(&weights, move |weight| weight >= n * WORD_WEIGHT);
    // A run of two words stands in every longer run: where none repeats, no run does.
    let mut pairs: Vec<&[&str]> = ngrams(2).map(|run| &words[run]).collect();
    pairs.sort_unstable();
    if pairs.windows(2).all(|pair| pair[0] != pair[1]) {
        return Judgement::Keep;
    }
    let lengths: Vec<usize> = words.iter().map(|word| word.chars().count()).collect();
    let all: usize = lengths.iter().sum();
    for (n, most) in MAX_IN_TOP_NGRAM {
        if share(in_top_ngram(&words, ngrams(n)), all) > most {
            return Judgement::Drop { reason: "one short n-gram fills the text" };
        }
    }
    for (n, most) in MAX_IN_REPEATED_NGRAMS {
        if share(in_repeated_ngrams(&words, &lengths, ngrams(n)), all) > most {
            return Judgement::Drop { reason: "repeated n-grams" };
        }
    }
    Judgement::Keep
}

/// Whether too many pieces, or too many of their characters, are copies of an earlier piece.
fn repeats<'a>(pieces: impl Iterator<Item = &'a str>) -> bool {
    let mut seen = std::collections::HashSet::new();
    let (mut count, mut copies, mut characters, mut copied) = (0, 0, 0, 0);
    for piece in pieces.map(str::trim).filter(|piece| !piece.is_empty()) {
        let length = piece.chars().count();
        count += 1;
        characters += length;
        if !seen.insert(piece) {
            copies += 1;
            copied += length;
        }
    }
    share(copies, count) > MAX_REPEATED_LINES
        || share(copied, characters) > MAX_REPEATED_LINE_CHARACTERS
}

/// Characters in all places of the commonest n-gram that occurs more than once; 0 when none does.
fn in_top_ngram(words: &[&str], ngrams: impl Iterator<Item = Range<usize>>) -> usize {
    let mut counts: HashMap<&[&str], usize> = HashMap::new();
    for run in ngrams {
        *counts.entry(&words[run]).or_insert(0) += 1;
    }
    counts
        .into_iter()
        .filter(|&(_, count)| count > 1)
        .map(|(window, count)| {
            let length = window.iter().map(|word| word.chars().count()).sum::<usize>();
            (count, length)
        })
        .max()
        .map_or(0, |(count, length)| count * length)
}

/// Characters covered by n-grams that stood earlier in the text, each place counted once.
fn in_repeated_ngrams(
    words: &[&str],
    lengths: &[usize],
    ngrams: impl Iterator<Item = Range<usize>>,
) -> usize {
    let mut seen = std::collections::HashSet::new();
    let mut covered = vec![false; words.len()];
    for run in ngrams {
        if !seen.insert(&words[run.clone()]) {
            covered[run].fill(true);
        }
    }
    covered.iter().zip(lengths).filter(|&(&inside, _)| inside).map(|(_, length)| length).sum()
}
