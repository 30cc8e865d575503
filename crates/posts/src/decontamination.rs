//! Training text that holds what a model will be examined on: n-gram overlap with evaluation sets.
//!
//! As in the training of GPT-3 (Brown et al. 2020, appendix C): a text is contaminated when it shares a
//! run of n words with an evaluation item. Posts are short, so items shorter than n words count
//! whole, and runs that are common speech (in many items) do not count. Words are counted by weight
//! (`units`), so that in scripts without spaces a run is of letters: 12 of Han, 16 of Khmer or Burmese, 24
//! of Kana, Thai or Lao for 8 words, and half of these for the 4 words of the shortest item.

use crate::normal_form::normal_form;
use crate::units::{Units, WORD_WEIGHT, runs};
use std::collections::HashMap;
use xxhash_rust::xxh3::xxh3_64;

/// Words in a run (Brown et al. use 8 to 13, by the items' length).
pub const RUN_WORDS: usize = 8;
/// Fewest words of an item that counts whole: shorter ones ("Yes, sure.") are in any text.
pub const MIN_WORDS: usize = 4;
const RUN_WEIGHT: usize = RUN_WORDS * WORD_WEIGHT;
const MIN_WEIGHT: usize = MIN_WORDS * WORD_WEIGHT;
/// Items that a run may stand in before it is common speech and says nothing (Brown et al.: 10).
const MAX_ITEMS: u32 = 10;

/// The runs of evaluation items.
#[derive(Clone, Debug)]
pub struct Evaluations {
    /// Hash of a run, the item it was first seen in, the items it is in.
    runs: HashMap<u64, (u32, u32)>,
    /// Lengths in units of the items shorter than a run. A unit weighs at least 1.
    short_lengths: [bool; RUN_WEIGHT],
    items: u32,
    too_short: u32,
}

/// What a text shares with the evaluations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contamination {
    /// The first item it shares a run with, by the order in which items were added.
    pub item: u32,
    /// Runs shared, of all items.
    pub shared_runs: usize,
}

impl Default for Evaluations {
    fn default() -> Evaluations {
        Evaluations::new()
    }
}

impl Evaluations {
    /// None yet.
    pub fn new() -> Evaluations {
        Evaluations {
            runs: HashMap::new(),
            short_lengths: [false; RUN_WEIGHT],
            items: 0,
            too_short: 0,
        }
    }

    /// Adds an item: a question, an answer, a whole test text. One of fewer than [`MIN_WORDS`] words is
    /// counted and not looked for.
    pub fn add(&mut self, item: &str) {
        let normal = normal_form(item);
        let text = Units::of(&normal);
        let number = self.items;
        self.items += 1;
        let weight: usize = text.weights().iter().sum();
        if weight < MIN_WEIGHT {
            self.too_short += 1;
            return;
        }
        if weight < RUN_WEIGHT {
            self.short_lengths[text.weights().len()] = true;
            self.count(xxh3_64(normal.as_bytes()), number);
            return;
        }
        for run in long_runs(&text) {
            self.count(run, number);
        }
    }

    fn count(&mut self, run: u64, number: u32) {
        let entry = self.runs.entry(run).or_insert((number, 0));
        // Several times in one item is once.
        if entry.1 == 0 || entry.0 != number {
            entry.1 += 1;
        }
    }

    /// Items added.
    pub fn items(&self) -> u32 {
        self.items
    }

    /// Items that are not looked for, because they have fewer than [`MIN_WORDS`] words.
    pub fn too_short(&self) -> u32 {
        self.too_short
    }

    /// What a text shares with the items; nothing when it is clean.
    pub fn contamination(&self, text: &str) -> Option<Contamination> {
        let normal = normal_form(text);
        let text = Units::of(&normal);
        let lengths = (1..RUN_WEIGHT).filter(|&length| self.short_lengths[length]);
        let shared: Vec<u32> = lengths
            .flat_map(|length| short_runs(&text, length))
            .chain(long_runs(&text))
            .filter_map(|run| self.runs.get(&run))
            .filter(|(_, items)| *items <= MAX_ITEMS)
            .map(|(item, _)| *item)
            .collect();
        let item = *shared.first()?;
        Some(Contamination { item, shared_runs: shared.len() })
    }
}

/// Hashes of the runs of [`RUN_WORDS`] words.
fn long_runs<'a>(text: &'a Units<'_>) -> impl Iterator<Item = u64> + 'a {
    let runs = runs(text.weights(), |weight| weight >= RUN_WEIGHT);
    runs.map(|run| xxh3_64(text.run(run).as_bytes()))
}

/// Hashes of the runs of `length` units that weigh as much as an item that counts whole.
fn short_runs<'a>(text: &'a Units<'_>, length: usize) -> impl Iterator<Item = u64> + 'a {
    let runs = text.weights().windows(length).enumerate();
    runs.filter(|(_, run)| (MIN_WEIGHT..RUN_WEIGHT).contains(&run.iter().sum()))
        .map(move |(start, _)| xxh3_64(text.run(start..start + length).as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn finds_items_in_texts() {
        let mut items = Evaluations::new();
        items.add("Which river flows under the oldest bridge of Fosford?");
        items.add("Who keeps bees?");
        items.add("How many towns are there");
        let item = |text: &str| items.contamination(text).map(|found| found.item);
        assert_eq!(
            item("so: which RIVER flows under the oldest bridge of Fosford, I ask"),
            Some(0)
        );
        assert_eq!(item("which river flows under the new bridge of Fosford"), None);
        // Three words occur in many texts; five are the whole item.
        assert_eq!(item("who keeps bees?"), None);
        assert_eq!(item("tell me how many towns are there today"), Some(2));
        assert_eq!(item(""), None);
    }

    #[test]
    fn common_speech_is_no_contamination() {
        let mut items = Evaluations::new();
        for number in 0..20 {
            items
                .add(&format!("Answer the question in one or two short sentences please {number}"));
        }
        assert_eq!(
            items.contamination("Answer the question in one or two short sentences please"),
            None
        );
    }

    /// An item in each script, among them the shortest that count: what stands before and after it in a
    /// post joins its letters.
    const ITEMS: [(&str, &str); 20] = [
        ("hi", "भारत की राजधानी क्या है"),
        ("ar", "ما هي عاصمة البلاد القديمة"),
        ("he", "מה גובהו של ההר הגבוה"),
        ("ru", "какая река течёт под мостом"),
        ("el", "ποια είναι η παλιά πόλη"),
        ("ko", "이 나라의 수도는 어디입니까"),
        ("am", "የአገሩ ዋና ከተማ ማን ነው"),
        ("ta", "நாட்டின் பழைய தலைநகரம் எது"),
        ("ka", "რომელი მდინარე მიედინება ხიდის ქვეშ"),
        ("zh, short", "水的沸点几度"),
        ("zh", "请问我国最长的河流叫什么名字，它流过哪几个省？"),
        ("ja, short", "山の高さは何メートル"),
        ("ja", "この国でいちばん長い川の名前と、その長さを答えなさい。"),
        ("th, short", "แม่น้ำสายยาวที่สุด"),
        ("th", "แม่น้ำสายใดยาวที่สุดในประเทศนี้ และไหลลงทะเลที่ไหน"),
        ("lo", "ແມ່ນ້ຳສາຍໃດຍາວທີ່ສຸດໃນປະເທດນີ້"),
        ("km", "តើទន្លេណាដែលវែងជាងគេនៅក្នុងប្រទេសនេះ"),
        ("my", "ဤနိုင်ငံတွင် အရှည်ဆုံးမြစ်မှာ အဘယ်နည်း"),
        ("bo", "རྒྱལ་ཁབ་འདིའི་རྒྱལ་ས་གང་ཡིན་ནམ"),
        ("mixed", "iPhoneの電池は何時間もちますか"),
    ];

    #[test]
    fn items_are_found_letter_for_letter_in_every_script() {
        for (script, item) in ITEMS {
            let mut items = Evaluations::new();
            items.add("Which river flows under the oldest bridge of Fosford?");
            items.add(item);
            assert_eq!(items.too_short(), 0, "{script}");
            let spaced = ["hi", "ar", "he", "ru", "el", "ko", "am", "ta", "ka"].contains(&script);
            let gap = if spaced { " " } else { "" };
            for text in [
                item.to_string(),
                format!("昨日{gap}{item}{gap}と"),
                format!("ก็ {item}{gap}ครับ"),
                format!("@ann{gap}「{item}」{gap}https://t.co/x"),
                format!("ok {item} 👍 #test"),
            ] {
                let found = items.contamination(&text).map(|found| found.item);
                assert_eq!(found, Some(1), "{script}: {text}");
            }
            // Without its first third it is another text.
            let cut = item.char_indices().nth(item.chars().count() / 3).unwrap().0;
            if script.ends_with("short") {
                assert_eq!(items.contamination(&item[cut..]), None, "{script}");
            }
            assert_eq!(items.contamination("今日は天気がいいので川まで歩いて行きました"), None);
        }
    }

    #[test]
    fn names_and_greetings_are_too_short() {
        for item in ["谢谢", "ประเทศไทย", "ありがとう", "កម្ពុជា", "ニュージーランド", "မြန်မာ"]
        {
            let mut items = Evaluations::new();
            items.add(item);
            assert_eq!((items.items(), items.too_short()), (1, 1), "{item}");
            assert_eq!(items.contamination(item), None);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
        /// Against the definition: some run of the item's words stands in the text's words.
        #[test]
        fn agrees_with_searching(item in "[ab]( [abc]){0,11}", text in "[ab]( [abc]){0,20}") {
            let mut items = Evaluations::new();
            items.add(&item);
            let (item, words): (Vec<&str>, Vec<&str>) = (item.split(' ').collect(), text.split(' ').collect());
            let length = item.len().min(RUN_WORDS);
            let slow = length >= MIN_WORDS
                && item.windows(length).any(|run| words.windows(length).any(|other| other == run));
            prop_assert_eq!(items.contamination(&text).is_some(), slow);
        }

        /// Letters weigh a part of a word, and an item stands in a text wherever its letters do.
        #[test]
        fn an_item_is_found_wherever_it_stands(
            item in "[漢字仮名]{6,30}|[のはがをに]{12,40}|[กขคงจ]{12,40}|[កខគង]{8,30}|[ကခဂ]{8,30}",
            before in "[漢のกកက]{0,5}",
            after in "[漢のกកက]{0,5}",
        ) {
            let mut items = Evaluations::new();
            items.add(&item);
            let text = format!("{before}{item}{after}");
            prop_assert!(items.contamination(&text).is_some(), "{}", text);
        }

        #[test]
        fn no_text_panics(item in "\\PC{0,60}", text in "\\PC{0,60}") {
            let mut items = Evaluations::new();
            items.add(&item);
            items.contamination(&text);
            prop_assert_eq!(items.contamination(&item).is_some(), items.too_short() == 0);
        }
    }
}
