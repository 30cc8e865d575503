//! Scripts that one language writes, and the letters and words that tell the languages of the others apart.

use super::classifiers::whatlang;
use unicode_script::Script;

/// A script and its language; `unless` are languages with letters of their own in it.
struct Alphabet {
    script: Script,
    language: &'static str,
    unless: &'static [(&'static str, &'static str)],
}

const fn one(script: Script, language: &'static str) -> Alphabet {
    Alphabet { script, language, unless: &[] }
}

const ALPHABETS: &[Alphabet] = &[
    one(Script::Han, "zh"),
    one(Script::Hangul, "ko"),
    one(Script::Thai, "th"),
    one(Script::Lao, "lo"),
    one(Script::Khmer, "km"),
    one(Script::Tibetan, "bo"),
    one(Script::Greek, "el"),
    one(Script::Georgian, "ka"),
    one(Script::Armenian, "hy"),
    one(Script::Gujarati, "gu"),
    one(Script::Gurmukhi, "pa"),
    one(Script::Kannada, "kn"),
    one(Script::Malayalam, "ml"),
    one(Script::Oriya, "or"),
    one(Script::Sinhala, "si"),
    one(Script::Tamil, "ta"),
    one(Script::Telugu, "te"),
    one(Script::Thaana, "dv"),
    one(Script::Cherokee, "chr"),
    one(Script::Yi, "ii"),
    one(Script::Nko, "nqo"),
    one(Script::Ol_Chiki, "sat"),
    one(Script::Meetei_Mayek, "mni"),
    one(Script::Mongolian, "mn"),
    Alphabet { script: Script::Bengali, language: "bn", unless: &[("ৰৱ", "as")] },
    Alphabet {
        script: Script::Ethiopic, language: "am", unless: &[("ቐቑቒቓቔቕቖቘ", "ti")]
    },
    Alphabet {
        script: Script::Myanmar,
        language: "my",
        unless: &[("ၵၶၸၺၼၽၾႁႄႅ", "shn"), ("ၚၛၜၝ", "mnw"), ("ၡၢၣၥၦ", "ksw")],
    },
];

/// Letters of a language: one of each group is in the text. The first row that holds decides; `und` is a
/// row of letters that leave it open.
struct Letters {
    language: &'static str,
    groups: &'static [&'static str],
}

const fn row(language: &'static str, groups: &'static [&'static str]) -> Letters {
    Letters { language, groups }
}

/// Whose letters are in a text, by the first row that holds.
fn by_letters(rows: &[Letters], text: &str) -> Option<&'static str> {
    let has = |signs: &&str| text.contains(|letter| signs.contains(letter));
    rows.iter().find(|row| row.groups.iter().all(has)).map(|row| row.language)
}

const CYRILLIC: &[Letters] = &[
    row("ba", &["ҙҡ"]),
    row("cv", &["ӑӗӳ"]),
    row("tg", &["ҷӣӯ"]),
    row("os", &["ӕ"]),
    row("ab", &["ҧҭҩҽ"]),
    row("sah", &["ҕҥ"]),
    row("uz", &["ў", "қғҳ"]),
    row("und", &["ҳ"]),
    row("kk", &["ұ"]),
    row("ug", &["җ", "қғ"]),
    row("kk", &["қғ"]),
    row("tt", &["җ"]),
    row("kk", &["әңһ", "і"]),
    row("tt", &["ә", "ңөүһ"]),
    row("und", &["әһ"]),
    row("ky", &["ң", "өү"]),
    row("und", &["ң"]),
    row("mn", &["өү"]),
    row("sr", &["ђћ"]),
    row("mk", &["ѓќѕ"]),
];

const ARABIC: &[Letters] = &[
    row("ug", &["ۇۈۋڭ"]),
    row("ckb", &["ڕڵێۆە"]),
    row("ps", &["ټډړږښڼېۍ"]),
    row("sd", &["ڄڃٻڀٺٽڏڳڱڻڦ"]),
    row("ur", &["ٹڈڑںے"]),
    row("ur", &["پچژگ", "ہھ"]),
    row("fa", &["پچژگ"]),
];

/// Words that one language of Devanagari cannot do without and the others do not have.
const DEVANAGARI: [(&str, &[&str]); 3] = [
    ("hi", &["है", "हैं", "में", "और", "का", "के", "से", "नहीं", "था", "हूँ", "हूं", "रहा", "रही"]),
    ("mr", &["आहे", "आहेत", "आणि", "नाही", "मध्ये", "होते", "होता", "मी", "माझा", "माझी"]),
    ("ne", &["छ", "छन्", "छैन", "पनि", "गर्न", "गर्ने", "भएको", "तथा", "हुन्छ", "मेरो"]),
];
/// Letters of Marathi that Hindi and Nepali lack.
const MARATHI: &str = "ळऱॲ";
/// Yiddish ligatures and letters with the line that Hebrew does not set.
const YIDDISH: &str =
    "\u{05f0}\u{05f1}\u{05f2}\u{05bf}\u{fb1f}\u{fb2e}\u{fb2f}\u{fb4c}\u{fb4d}\u{fb4e}";
/// Alef with a vowel point: alone in Yiddish, among other points in pointed Hebrew.
const POINTED_ALEF: [&str; 2] = ["\u{05d0}\u{05b7}", "\u{05d0}\u{05b8}"];
const HEBREW_POINTS: &str = "\u{05b0}\u{05b6}\u{05b9}";

/// From this many letters on an unsure answer of the classifier counts: among languages that letters leave
/// open, and among all that a script has.
const OPEN_LETTERS: usize = 20;
const SCRIPT_LETTERS: usize = 40;

/// The language of words in one script other than Latin; `und` where they do not say.
pub(super) fn language(script: Script, text: &str, words: &[&str], letters: usize) -> &'static str {
    match script {
        Script::Cyrillic => cyrillic(&text.to_lowercase(), letters),
        Script::Arabic => arabic(text, letters),
        Script::Devanagari => devanagari(text, words, letters),
        Script::Hebrew => hebrew(text, letters),
        _ => {
            let Some(of) = ALPHABETS.iter().find(|of| of.script == script) else { return "und" };
            let own =
                of.unless.iter().find(|(signs, _)| text.contains(|sign| signs.contains(sign)));
            own.map_or(of.language, |(_, language)| language)
        }
    }
}

fn cyrillic(lower: &str, letters: usize) -> &'static str {
    if let Some(language) = by_letters(CYRILLIC, lower) {
        return language;
    }
    let has = |signs: &str| lower.contains(|letter| signs.contains(letter));
    if has("јљњџ") {
        return several_of(lower, letters, &["sr", "mk"]);
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
    if has_vowel_er(lower) {
        return "bg";
    }
    several_of(lower, letters, &["ru", "bg", "uk", "mk", "sr"])
}

/// Whether the hard sign is a vowel, as in Bulgarian: in Russian it stands between a consonant and one of
/// four vowels.
fn has_vowel_er(lower: &str) -> bool {
    lower.match_indices('ъ').any(|(at, sign)| {
        let next = lower[at + sign.len()..].chars().next();
        next.is_some_and(|next| next.is_alphabetic() && !"еёюя".contains(next))
    })
}

fn arabic(text: &str, letters: usize) -> &'static str {
    if let Some(language) = by_letters(ARABIC, text) {
        return language;
    }
    let has = |signs: &str| text.contains(|letter| signs.contains(letter));
    if has("ةىأإؤئيك") && !has("یکہ") {
        return "ar";
    }
    several_of(text, letters, &["ar", "fa", "ur"])
}

fn devanagari(text: &str, words: &[&str], letters: usize) -> &'static str {
    let (language, reliable) = whatlang(text);
    if reliable {
        return language;
    }
    if text.contains(|letter| MARATHI.contains(letter)) {
        return "mr";
    }
    let bare = |word: &&str| word.trim_matches(|sign: char| !is_devanagari(sign)).to_string();
    let words: Vec<String> = words.iter().map(bare).collect();
    let own = |(_, known): &&(&str, &[&str])| {
        known.iter().any(|word| words.iter().any(|other| other == word))
    };
    let mut found = DEVANAGARI.iter().filter(own);
    match (found.next(), found.next()) {
        (Some((language, _)), None) => language,
        _ if letters >= SCRIPT_LETTERS => language,
        _ => "und",
    }
}

fn is_devanagari(letter: char) -> bool {
    // The danda ends a sentence, as a full stop does.
    matches!(letter, '\u{0900}'..='\u{0963}')
}

/// Hebrew unless the letters or the classifier say that it is Yiddish.
fn hebrew(text: &str, letters: usize) -> &'static str {
    let has = |signs: &str| text.contains(|letter| signs.contains(letter));
    let pointed = POINTED_ALEF.iter().any(|alef| text.contains(alef));
    if has(YIDDISH) || pointed && !has(HEBREW_POINTS) {
        return "yi";
    }
    match whatlang(text) {
        ("yi", reliable) => {
            if reliable || letters >= OPEN_LETTERS {
                "yi"
            } else {
                "und"
            }
        }
        _ => "he",
    }
}

/// A reliable answer among those that the letters leave open, or any such answer on a long text.
fn several_of(text: &str, letters: usize, open: &[&str]) -> &'static str {
    let (language, reliable) = whatlang(text);
    let sure = reliable || letters >= OPEN_LETTERS;
    if sure && open.contains(&language) { language } else { "und" }
}
