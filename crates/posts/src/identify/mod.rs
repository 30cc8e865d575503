//! Which language a post is in, or `und`: an answer is given only where it is likely right.
//!
//! The script that carries the text comes first: words of other scripts in it, as names of products are,
//! say nothing (`今日はiPhoneで…`). A script of one language decides alone; within Cyrillic, Arabic,
//! Devanagari and Hebrew the letters and words that only some languages have decide (`alphabets`). Where
//! they leave it open, two classifiers are asked: whichlang (16 languages of most posts) for the text and
//! each of its halves, and whatlang (69 languages, trigrams); in Latin letters only where function words do
//! not settle it. Where the witnesses
//! disagree, or the text is short and they are unsure, the answer is `und`: forced guesses put small talk
//! in languages that no author uses. The rules were chosen on the figures in docs/posts-rules.md.

mod alphabets;
mod classifiers;
mod function_words;
mod latin;

use crate::rules::bare_text;
use crate::units::{WORD_WEIGHT, is_mark, letter_weight, tokens};
use unicode_script::{Script, UnicodeScript};

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identified {
    /// BCP 47 tag; `und` when the text does not say.
    pub language: &'static str,
    /// Letters of the text, without handles, links and hashtags.
    pub letters: usize,
}

/// The language of a text as posted.
pub fn identify(text: &str) -> Identified {
    let bare = bare_text(text);
    let words: Vec<&str> = tokens(&bare)
        .filter(|word| !word.starts_with(['@', '#', '＠', '＃']) && *word != "RT")
        .collect();
    let alphabetic = words.iter().flat_map(|word| word.chars()).filter(|c| c.is_alphabetic());
    let (letters, ascii) = alphabetic
        .fold((0, true), |(count, ascii), letter| (count + 1, ascii && letter.is_ascii()));
    if ascii {
        // Most texts: one script, found without looking for others.
        return Identified { language: latin::latin(&words, letters), letters };
    }
    let pieces = pieces(&words);
    let language = match carrier(&pieces) {
        None => "und",
        // Nothing is taken out of a text in one script.
        Some(Script::Latin) if pieces.iter().all(|piece| piece.script == Script::Latin) => {
            latin::latin(&words, letters)
        }
        Some(script) => of_script(script, &pieces),
    };
    Identified { language, letters }
}

/// Letters of one script that follow each other in a word, with the signs among them.
struct Piece<'a> {
    script: Script,
    text: &'a str,
    letters: usize,
    kana: usize,
    /// Most letters with nothing between them.
    longest_run: usize,
    /// Whether its word has more than letters.
    has_signs: bool,
    /// What it weighs as a part of the text, by words (`units`).
    weight: usize,
}

/// A name of several letters says less of a text's language than a word in lower case: it is half of one.
const NAME_WEIGHT: usize = WORD_WEIGHT / 2;
/// A single letter, as in `µ` and in faces made of letters.
const LETTER_WEIGHT: usize = WORD_WEIGHT / 3;

fn pieces<'a>(words: &[&'a str]) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    for word in words {
        let mut start = 0;
        let mut current: Option<Script> = None;
        let has_signs = word.contains(|sign: char| !sign.is_alphabetic() && !is_mark(sign));
        for (at, letter) in word.char_indices() {
            let Some(script) = script_of(letter) else { continue };
            if let Some(before) = current.filter(|before| *before != script) {
                pieces.push(Piece::of(before, &word[start..at], has_signs));
                start = at;
            }
            current = Some(script);
        }
        pieces.extend(current.map(|script| Piece::of(script, &word[start..], has_signs)));
    }
    pieces
}

impl Piece<'_> {
    fn of(script: Script, text: &str, has_signs: bool) -> Piece<'_> {
        let (mut letters, mut kana, mut unspaced, mut name) = (0, 0, 0, false);
        let (mut run, mut longest_run) = (0, 0);
        for letter in text.chars() {
            if script_of(letter).is_none() {
                run = if letter.is_alphabetic() || is_mark(letter) { run } else { 0 };
                continue;
            }
            letters += 1;
            run += 1;
            longest_run = longest_run.max(run);
            kana += usize::from(is_kana(letter));
            unspaced += letter_weight(letter).unwrap_or(0);
            name |= script == Script::Latin && letter.is_uppercase();
        }
        let weight = match (unspaced, letters) {
            (1.., _) => unspaced,
            (0, 1) => LETTER_WEIGHT,
            _ if name => NAME_WEIGHT,
            _ => WORD_WEIGHT,
        };
        Piece { script, text, letters, kana, longest_run, has_signs, weight }
    }
}

/// The script of a letter; Kana, Han and Bopomofo are written together and count as one, as Han. Nothing
/// for what is no letter or is of every script.
fn script_of(letter: char) -> Option<Script> {
    if !letter.is_alphabetic() {
        return None;
    }
    if letter.is_ascii() {
        return Some(Script::Latin);
    }
    match letter.script() {
        Script::Common | Script::Inherited | Script::Unknown => None,
        Script::Hiragana | Script::Katakana | Script::Bopomofo => Some(Script::Han),
        script => Some(script),
    }
}

fn is_kana(letter: char) -> bool {
    !letter.is_ascii() && matches!(letter.script(), Script::Hiragana | Script::Katakana)
}

/// Latin words, by weight, for each of the other script's from which these are what is inserted: names
/// of products stand in texts of all scripts, words of other scripts seldom in texts of Latin.
const LATIN_CARRIES: usize = 2;

/// The script that carries a text: the weightiest one that is not Latin, unless Latin outweighs it twice.
fn carrier(pieces: &[Piece<'_>]) -> Option<Script> {
    let mut weights: Vec<(Script, usize)> = Vec::new();
    for piece in pieces {
        match weights.iter_mut().find(|(script, _)| *script == piece.script) {
            Some((_, weight)) => *weight += piece.weight,
            None => weights.push((piece.script, piece.weight)),
        }
    }
    let latin = weights.iter().find(|(script, _)| *script == Script::Latin).map_or(0, |of| of.1);
    let others = weights.iter().filter(|(script, _)| *script != Script::Latin);
    match others.max_by_key(|(_, weight)| *weight) {
        Some(&(script, weight)) if latin < LATIN_CARRIES * weight => Some(script),
        _ => (latin > 0).then_some(Script::Latin),
    }
}

/// Letters in a row below which a script other than Latin carries nothing where there are signs: faces are
/// made of single ones.
const MIN_RUN: usize = 2;
/// Han letters for each of Kana from which Kana are inserts.
const HAN_PER_KANA: usize = 10;

/// The language of the pieces of one script in a text of several, or in one of another than Latin.
fn of_script(script: Script, pieces: &[Piece<'_>]) -> &'static str {
    let own: Vec<&Piece<'_>> = pieces.iter().filter(|piece| piece.script == script).collect();
    if own.iter().all(|piece| piece.longest_run < MIN_RUN && piece.has_signs) {
        return "und";
    }
    let words: Vec<&str> = own.iter().map(|piece| piece.text).collect();
    let letters = own.iter().map(|piece| piece.letters).sum();
    if script == Script::Latin {
        return latin::latin(&words, letters);
    }
    let kana: usize = own.iter().map(|piece| piece.kana).sum();
    if kana * HAN_PER_KANA > letters {
        return "ja";
    }
    alphabets::language(script, &words.join(" "), &words, letters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn clear_texts_are_identified() {
        for (text, expected) in [
            ("What do they say of the bridge in the old town?", "en"),
            ("Que dit-on du pont dans la vieille ville ce soir ?", "fr"),
            ("Wer weiß das schon genau, wir jedenfalls nicht.", "de"),
            ("Nie wiem, co o tym myśleć, ale to było piękne.", "pl"),
            ("Не знаю, что об этом думать, мы ещё посмотрим", "ru"),
            ("Не знаю, що про це думати, їх не було", "uk"),
            ("東京はいい天気です", "ja"),
            ("今天天气很好", "zh"),
            ("오늘 날씨가 좋네요", "ko"),
            ("σήμερα", "el"),
            ("@ann https://t.co/x merci beaucoup pour cette belle soirée #fete", "fr"),
        ] {
            assert_eq!(identify(text).language, expected, "{text}");
        }
    }

    #[test]
    fn und_where_the_text_does_not_show_it() {
        for text in [
            "",
            "ok",
            "haha",
            "@ann @bob",
            "https://t.co/x",
            "🙂🙂",
            "12:30",
            "lol no",
            "#MondayMotivation",
            "(´･ω･`)",
            "ಠ_ಠ",
            "ლ(ಠ益ಠლ)",
            "¯\\_(ツ)_/¯",
        ] {
            assert_eq!(identify(text).language, "und", "{text}");
        }
    }

    /// Words of another script in a text, as names are.
    #[test]
    fn the_script_of_the_sentence_decides() {
        for (text, expected) in [
            ("週末はZoomでmeetingしてからNetflixを見ます", "ja"),
            ("Android Studio Kotlin Java Python Rust 勉強中です", "ja"),
            ("Happy birthday おめでとう happy", "ja"),
            ("我在Google上搜索python教程", "zh"),
            ("어제 Netflix에서 Squid Game 봤다", "ko"),
            ("เมื่อวาน download แอป TikTok มาแล้ว", "th"),
            ("ຂ້ອຍມັກ Facebook ແລະ YouTube", "lo"),
            ("ខ្ញុំប្រើ Facebook រាល់ថ្ងៃ", "km"),
            ("ကျွန်တော် Facebook သုံးတယ်", "my"),
            ("Скачал новый Windows Update и всё сломалось", "ru"),
            ("Завантажив Windows Update, і ґрунтовно", "uk"),
            ("קניתי אתמול iPhone חדש", "he"),
            ("איך האָב געקויפט אַ נײַעם iPhone", "yi"),
            ("اشتريت iPhone جديدة من Apple Store", "ar"),
            ("من گوشی iPhone خریدم", "fa"),
            ("میں نے iPhone خریدا ہے", "ur"),
            ("मैं Netflix पर फिल्म देख रहा हूँ", "hi"),
            ("Αγόρασα ένα iPhone από το Apple Store", "el"),
            ("მე ვიყიდე iPhone და MacBook", "ka"),
            ("Ես գնեցի iPhone", "hy"),
            ("I love the word 木漏れ日 so much, it is beautiful and I use it", "en"),
            ("so happy for you that you have this (ﾉ◕ヮ◕)ﾉ and it is good", "en"),
        ] {
            assert_eq!(identify(text).language, expected, "{text}");
        }
    }

    #[test]
    fn letters_that_one_language_has_decide() {
        for (text, expected) in [
            ("ў хаце", "be"),
            ("їжак", "uk"),
            ("ћирилица", "sr"),
            ("ноќ", "mk"),
            ("ъгъл", "bg"),
            ("объезд", "und"),
            ("қазақ", "kk"),
            ("ҡала", "ba"),
            ("җир", "tt"),
            ("өглөө", "mn"),
            ("пәң үй", "tt"),
            ("ښه", "ps"),
            ("ژیان ێ", "ckb"),
            ("پنجره", "fa"),
            ("لڑکی", "ur"),
            ("ຂອບໃຈ", "lo"),
            ("བོད་སྐད", "bo"),
            ("ትግርኛ ቐ", "ti"),
            ("አማርኛ", "am"),
            ("অসমীয়া ৰাজ্য", "as"),
            ("မြန်မာ", "my"),
            ("עברית", "he"),
            ("中文", "zh"),
            ("かな", "ja"),
            ("み", "ja"),
            ("OK了", "zh"),
            ("中華人民共和國的歷史悠久而且文化豐富の", "zh"),
        ] {
            assert_eq!(identify(text).language, expected, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
        /// Texts without other letters than those of ASCII are taken for Latin without cutting them.
        #[test]
        fn ascii_letters_are_latin(text in "[a-zA-Z0-9 .,’🙂…-]{0,40}") {
            let words: Vec<&str> = text.split_whitespace().collect();
            let pieces = pieces(&words);
            prop_assert!(pieces.iter().all(|piece| piece.script == Script::Latin));
            prop_assert_eq!(carrier(&pieces).is_none(), pieces.is_empty());
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,80}|[a-zéA @#日かнңپहקกກကក가]{0,40}") {
            let found = identify(&text);
            prop_assert!((2..=3).contains(&found.language.len()));
        }
    }
}
