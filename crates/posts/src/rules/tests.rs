//! What each profile says of hand-written posts, and that no text makes a rule panic.

use super::*;
use proptest::prelude::*;

fn drops(profile_name: &str, text: &str) -> Vec<&'static str> {
    let post = RulePost::of_text(text);
    let rules = profile(profile_name).expect("a profile of this name");
    rules.iter().filter(|rule| !rule.judge(&post).keeps()).map(|rule| rule.name()).collect()
}

#[test]
fn names_are_unique_and_begin_with_their_profile() {
    let mut seen = std::collections::HashSet::new();
    for name in PROFILES {
        for rule in profile(name).expect("listed") {
            assert!(rule.name().starts_with(&format!("{name}/")), "{}", rule.name());
            assert!(seen.insert(rule.name()));
        }
    }
    assert!(profile("other").is_none());
}

#[test]
fn gopher_counts() {
    assert_eq!(drops("gopher", "The bridge is old and they love it"), ["gopher/word-count",]);
    assert_eq!(
        drops("gopher", "Vive le pont #pont"),
        ["gopher/word-count", "gopher/symbols", "gopher/stop-words"]
    );
    let varied: Vec<String> = (0..60).map(|n| format!("word{}", n * n)).collect();
    assert!(drops("gopher", &format!("{} the of", varied.join(" "))).is_empty());
    assert!(drops("gopher", &"the of a b ".repeat(20)).contains(&"gopher/repetition"));
    assert!(drops("gopher", "a b").contains(&"gopher/mean-word-length"));
    assert!(drops("gopher", "1 2 3 4 lone").contains(&"gopher/alphabetic"));
    assert!(drops("gopher", "so it was…").contains(&"gopher/line-marks"));
}

#[test]
fn c4_lines() {
    assert_eq!(
        drops("c4", "One. Two! Three? Four and more words. Five of them end here."),
        [""; 0]
    );
    assert_eq!(drops("c4", "no end"), ["c4/terminal-punctuation", "c4/line-words", "c4/sentences"]);
    assert_eq!(
        drops("c4", "{x}. Enable javascript for this site."),
        ["c4/sentences", "c4/boilerplate"]
    );
    let list = Blocklist::new(["Bad Word", "worse"]);
    for (text, keeps) in [("a bad, word", false), ("WORSE", false), ("bad", true), ("", true)] {
        assert_eq!(list.judge(&RulePost::of_text(text)).keeps(), keeps, "{text}");
    }
    assert!(Blocklist::new([]).judge(&RulePost::of_text("")).keeps());
}

#[test]
fn dialogpt_filters() {
    for (text, rule) in [
        ("see http://a.b now", "dialogpt/url"),
        ("so (they) say", "dialogpt/markup"),
        ("we SHALL see", "dialogpt/capitals"),
        ("no no no way", "dialogpt/word-repetition"),
        ("word", "dialogpt/length"),
        ("an abcdefghijklmnopqrstuvwxyzabcdefghijk", "dialogpt/long-word"),
    ] {
        assert_eq!(drops("dialogpt", text), [rule], "{text}");
    }
    assert!(drops("dialogpt", "That is FINE with me").is_empty());
}

#[test]
fn our_profile_leaves_speech_alone() {
    for text in [
        "ENOUGH IS ENOUGH!!! #vote #now",
        "ok",
        "🙂🙂",
        "#MondayMotivation",
        "Да, конечно",
        "@ann mdr 😂",
        "Мой iPhone сломался",
        "lol \u{fffd}\u{fffd}",
        "東京はいい天気",
    ] {
        assert_eq!(drops("posts", text), [""; 0], "{text}");
    }
    for (text, rule) in [
        ("https://t.co/x", "posts/no-words"),
        ("RT @ann: https://t.co/x", "posts/no-words"),
        ("@ann @bob", "posts/no-words"),
        ("...", "posts/no-words"),
        ("", "posts/no-words"),
        ("caf\u{fffd} l\u{fffd} \u{fffd}t\u{fffd}", "posts/mojibake"),
        ("Sаlе оf wаtсhеs", "posts/mixed-script"),
    ] {
        assert!(drops("posts", text).contains(&rule), "{text}");
    }
}

/// A page of sentences in scripts without spaces is as long, as varied and as well closed as an English one.
const PAGES: [(&str, &str, &str); 7] = [
    ("zh", "我在{}看见那座老桥。", "东南西北城里河边山上村中市外海岸花园港口广场学校"),
    ("ja", "わたしは{}で古い橋を見た。", "東京大阪京都奈良神戸福岡札幌仙台長崎沖縄横浜"),
    ("th", "เราเห็นสะพานเก่าที่{}ในวันนี้ ", "กขคงจฉชซฌญดตถทธนบปผฝพฟ"),
    ("lo", "ພວກເຮົາເຫັນຂົວເກົ່າທີ່{}ໃນມື້ນີ້ ", "ກຂຄງຈສຊຍດຕຖທນບປຜຝພຟມຢລ"),
    ("km", "យើងបានឃើញស្ពានចាស់នៅ{}នៃទីក្រុង។", "កខគឃងចឆជឈញដឋឌឍណតថទធនបផ"),
    ("my", "ကျွန်တော်တို့သည်{}တွင်တံတားဟောင်းကိုမြင်သည်။", "ကခဂဃငစဆဇဈညတထဒဓနပဖဗဘမယရ"),
    ("bo", "ང་ཚོས་{}ནས་ཟམ་པ་རྙིང་པ་དང་ཆུ་མཐོང་།", "ཀཁགངཅཆཇཉཏཐདནཔཕབམཙཚཛཝཞཟ"),
];

/// Sentences of a page, each with another place of three letters.
fn sentences(of: &(&str, &str, &str), count: usize) -> Vec<String> {
    let letters: Vec<char> = of.2.chars().collect();
    let at = |n: usize| letters[n % letters.len()];
    let place = |n: usize| [at(n), at(3 * n + 1), at(7 * n + 5)].iter().collect::<String>();
    (0..count).map(|n| of.1.replace("{}", &place(n))).collect()
}

#[test]
fn no_rule_drops_a_page_for_its_lack_of_spaces() {
    for page in &PAGES {
        let text = sentences(page, 12).concat();
        // Sentences of one form repeat most of their letters, as English ones would.
        let repeats = ["gopher/repetition"];
        let left: Vec<_> =
            drops("gopher", &text).into_iter().filter(|rule| !repeats.contains(rule)).collect();
        assert_eq!(left, [""; 0], "{}", page.0);
        assert_eq!(drops("c4", text.trim()), [""; 0], "{}", page.0);
        let one = sentences(page, 1).concat();
        assert_eq!(drops("dialogpt", &one), [""; 0], "{}", page.0);
        assert!(drops("gopher", &one).contains(&"gopher/word-count"), "{}", page.0);
        assert!(drops("c4", &one).contains(&"c4/sentences"), "{}", page.0);
        assert!(drops("dialogpt", &text).contains(&"dialogpt/length"), "{}", page.0);
        assert_eq!(drops("posts", &format!("{one}https://t.co/x")), [""; 0], "{}", page.0);
        assert_eq!(drops("posts", &format!("@ann{}", one.trim())), [""; 0], "{}", page.0);
    }
}

#[test]
fn gopher_finds_repetition_among_letters() {
    for page in &PAGES {
        let letters: String = (0x4e00..0x4e80).step_by(2).filter_map(char::from_u32).collect();
        let varied: String = match page.0 {
            "zh" => letters,
            _ => {
                let of: Vec<char> = page.2.chars().collect();
                (0..of.len()).flat_map(|n| [of[n], of[n * n % of.len()], of[(n + 5) % 7]]).collect()
            }
        };
        assert!(!drops("gopher", &varied).contains(&"gopher/repetition"), "{}", page.0);
        let phrase: String = varied.chars().take(24).collect();
        let text = format!("{phrase}{varied}{phrase}{phrase}");
        assert!(drops("gopher", &text).contains(&"gopher/repetition"), "{}", page.0);
    }
}

#[test]
fn listed_words_are_found_among_letters() {
    let list = Blocklist::new(["壊す", "ทำลาย", "bad word"]);
    for (text, keeps) in [
        ("橋を壊すな", false),
        ("อย่าทำลายสะพาน", false),
        ("これはbad wordです", false),
        ("橋を直す", true),
        ("bad, indeed", true),
    ] {
        assert_eq!(list.judge(&RulePost::of_text(text)).keeps(), keeps, "{text}");
    }
}

#[test]
fn bots_declare_themselves() {
    let rules = profile("posts").expect("listed");
    let dropped = |source_app: Option<&str>, declared_bot| {
        let post = RulePost { text: "some news", source_app, declared_bot, ..RulePost::default() };
        first_drop(&rules, &post).map(|(rule, _)| rule)
    };
    assert_eq!(dropped(None, false), None);
    assert_eq!(dropped(Some("Twitter Web Client"), false), None);
    assert_eq!(dropped(Some("Hootsuite"), false), None);
    assert_eq!(dropped(None, true), Some("posts/declared-bot"));
    for name in ["IFTTT", "<a href=\"http://dlvr.it\">dlvr.it</a>", "My weather bot", "newsbot"] {
        assert_eq!(dropped(Some(name), false), Some("posts/declared-bot"), "{name}");
    }
}

#[test]
fn templates_are_counted_over_shards() {
    let spam = |n: usize| format!("Win {n} prizes now http://t.co/{n}");
    let mut shards = [TemplateSpam::new(), TemplateSpam::new()];
    let texts: Vec<String> = (0..3).map(|n| spam(10_usize.pow(n))).collect();
    for (index, text) in texts.iter().enumerate() {
        shards[index % 2].observe(&RulePost { author: "a", ..RulePost::of_text(text) });
        // Another author, twice only.
        if index < 2 {
            shards[0].observe(&RulePost { author: "b", ..RulePost::of_text(text) });
        }
        shards[0].observe(&RulePost { author: "a", ..RulePost::of_text("Good morning") });
    }
    let [mut all, other] = shards;
    all.merge(other);
    let keeps = |author, text| all.judge(&RulePost { author, ..RulePost::of_text(text) }).keeps();
    assert!(!keeps("a", &texts[0]));
    assert!(keeps("b", &texts[0]));
    assert!(keeps("a", "Good morning"));
    assert!(keeps("", &texts[0]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_text_makes_a_rule_panic(text in "\\PC{0,80}|[a-c \\n.@#:/{é…\u{fffd}]{0,60}", app in "\\PC{0,20}|<a.{0,9}>.{0,9}</a>") {
        let post = RulePost { author: "a", source_app: Some(&app), ..RulePost::of_text(&text) };
        for name in PROFILES {
            for rule in profile(name).expect("listed") {
                let verdict = rule.judge(&post);
                prop_assert_eq!(verdict, rule.judge(&post));
            }
        }
        let mut spam = TemplateSpam::new();
        spam.observe(&post);
        prop_assert!(spam.judge(&post).keeps());
        Blocklist::new(["a", "b c"]).judge(&post);
        bare_text(&text);
    }
}
