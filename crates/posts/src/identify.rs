//! Which language a post is in, or `und`: an answer is given only where it is likely right.
//!
//! Two classifiers are asked: whichlang (16 languages of most posts) for the text and each of its halves, and
//! whatlang (69 languages, trigrams). Scripts of one language decide alone; within Cyrillic and Arabic
//! the letters that only some languages have decide short texts. Where the witnesses disagree, or the
//! text is short and they are unsure, the answer is `und`: forced guesses put small talk in languages that
//! no author uses. The rules were chosen on the figures in docs/posts-rules.md.

use crate::rules::bare_text;
use whatlang::Script;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identified {
    /// BCP 47 tag; `und` when the text does not say.
    pub language: &'static str,
    /// Letters the answer rests on, without handles, links and hashtags.
    pub letters: usize,
}

/// Below this many letters of an alphabet a text says nothing: "ok", "haha", "no".
const MIN_LETTERS: usize = 6;
/// From this many letters on agreement of both classifiers and both halves is enough, from the second
/// on that of both classifiers and one half, from the third on that of whichlang and its halves.
const AGREED_LETTERS: usize = 10;
const HALF_AGREED_LETTERS: usize = 20;
const HALVES_LETTERS: usize = 40;

/// The language of a text as posted.
pub fn identify(text: &str) -> Identified {
    let bare = bare_text(text);
    let words: Vec<&str> = bare
        .split_whitespace()
        .filter(|word| !word.starts_with(['@', '#', '＠', '＃']) && *word != "RT")
        .collect();
    let spoken = words.join(" ");
    let letters = spoken.chars().filter(|letter| letter.is_alphabetic()).count();
    let language = match whatlang::detect_script(&spoken) {
        None => "und",
        Some(Script::Latin) if letters < MIN_LETTERS => "und",
        Some(Script::Latin) => latin(&spoken, &words, letters),
        Some(Script::Cyrillic) => cyrillic(&spoken, letters),
        Some(Script::Arabic) => arabic(&spoken, letters),
        Some(Script::Devanagari | Script::Hebrew) => several(&spoken, letters),
        Some(Script::Mandarin) => whatlang(&spoken).0,
        Some(script) => script.langs().first().map_or("und", |lang| tag(lang.code())),
    };
    Identified { language, letters }
}

/// whatlang's answer and whether it calls it reliable.
fn whatlang(text: &str) -> (&'static str, bool) {
    match whatlang::detect(text) {
        Some(info) => (tag(info.lang().code()), info.is_reliable()),
        None => ("und", false),
    }
}

fn whichlang(text: &str) -> &'static str {
    tag(whichlang::detect_language(text).three_letter_code())
}

fn latin(text: &str, words: &[&str], letters: usize) -> &'static str {
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

/// Cyrillic by the letters that tell its languages apart.
fn cyrillic(text: &str, letters: usize) -> &'static str {
    let lower = text.to_lowercase();
    let has = |signs: &str| lower.contains(|letter| signs.contains(letter));
    if has("әғқңұһ") {
        return "kk";
    }
    if has("өү") {
        return "mn";
    }
    if has("ђћ") {
        return "sr";
    }
    if has("ѓќѕ") {
        return "mk";
    }
    if has("јљњџ") {
        return several_of(text, letters, &["sr", "mk"]);
    }
    if has("ў") {
        return "be";
    }
    if has("їєґ") {
        return "uk";
    }
    if has("і") {
        return if has("ыэё") { "be" } else { "uk" };
    }
    if has("ыэё") {
        return "ru";
    }
    several_of(text, letters, &["ru", "bg", "uk", "mk", "sr"])
}

/// Arabic script by the letters that tell its languages apart.
fn arabic(text: &str, letters: usize) -> &'static str {
    let has = |signs: &str| text.contains(|letter| signs.contains(letter));
    if has("ٹڈڑںے") {
        return "ur";
    }
    if has("پچژگ") {
        return if has("ہھ") { "ur" } else { "fa" };
    }
    if has("ةىأإؤئيك") && !has("یکہ") {
        return "ar";
    }
    several_of(text, letters, &["ar", "fa", "ur"])
}

fn several(text: &str, letters: usize) -> &'static str {
    let (language, reliable) = whatlang(text);
    if reliable || letters >= HALVES_LETTERS { language } else { "und" }
}

/// A reliable answer among those that the letters leave open, or any such answer on a long text.
fn several_of(text: &str, letters: usize, open: &[&str]) -> &'static str {
    let (language, reliable) = whatlang(text);
    let sure = reliable || letters >= HALF_AGREED_LETTERS;
    if sure && open.contains(&language) { language } else { "und" }
}

/// BCP 47 tag of a three-letter code of ISO 639-3; languages without a shorter tag keep theirs.
fn tag(code: &'static str) -> &'static str {
    match TAGS.binary_search_by_key(&code, |&(long, _)| long) {
        Ok(at) => TAGS[at].1,
        Err(_) => code,
    }
}

const TAGS: &[(&str, &str)] = &[
    ("afr", "af"),
    ("aka", "ak"),
    ("amh", "am"),
    ("ara", "ar"),
    ("aze", "az"),
    ("bel", "be"),
    ("ben", "bn"),
    ("bul", "bg"),
    ("cat", "ca"),
    ("ces", "cs"),
    ("cmn", "zh"),
    ("cym", "cy"),
    ("dan", "da"),
    ("deu", "de"),
    ("ell", "el"),
    ("eng", "en"),
    ("epo", "eo"),
    ("est", "et"),
    ("fin", "fi"),
    ("fra", "fr"),
    ("guj", "gu"),
    ("heb", "he"),
    ("hin", "hi"),
    ("hrv", "hr"),
    ("hun", "hu"),
    ("hye", "hy"),
    ("ind", "id"),
    ("ita", "it"),
    ("jav", "jv"),
    ("jpn", "ja"),
    ("kan", "kn"),
    ("kat", "ka"),
    ("khm", "km"),
    ("kor", "ko"),
    ("lat", "la"),
    ("lav", "lv"),
    ("lit", "lt"),
    ("mal", "ml"),
    ("mar", "mr"),
    ("mkd", "mk"),
    ("mya", "my"),
    ("nep", "ne"),
    ("nld", "nl"),
    ("nob", "nb"),
    ("ori", "or"),
    ("pan", "pa"),
    ("pes", "fa"),
    ("pol", "pl"),
    ("por", "pt"),
    ("ron", "ro"),
    ("rus", "ru"),
    ("sin", "si"),
    ("slk", "sk"),
    ("slv", "sl"),
    ("sna", "sn"),
    ("spa", "es"),
    ("srp", "sr"),
    ("swe", "sv"),
    ("tam", "ta"),
    ("tel", "te"),
    ("tgl", "tl"),
    ("tha", "th"),
    ("tuk", "tk"),
    ("tur", "tr"),
    ("ukr", "uk"),
    ("urd", "ur"),
    ("uzb", "uz"),
    ("vie", "vi"),
    ("yid", "yi"),
    ("zul", "zu"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn clear_texts_are_identified() {
        assert!(TAGS.windows(2).all(|pair| pair[0].0 < pair[1].0));
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
        ] {
            assert_eq!(identify(text).language, "und", "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn no_text_panics(text in "\\PC{0,80}|[a-zé @#日нңپह]{0,40}") {
            let found = identify(&text);
            prop_assert!((2..=3).contains(&found.language.len()));
        }
    }
}
