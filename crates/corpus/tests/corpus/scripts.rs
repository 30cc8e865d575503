//! Near-duplicates in scripts without spaces between words: precision and recall on generated posts.
//!
//! Truth is the exact Jaccard similarity of two texts over the units of the rule: sets of the shortest runs of
//! letters and words that weigh more than two words, at least 0.8. It is computed here from the
//! strings, without hashes or signatures. `cargo test -p stoa-corpus --test corpus scripts -- --nocapture`
//! prints the figures of docs/posts-rules.md.

use crate::copies::found_in;
use std::collections::{BTreeMap, BTreeSet};
use stoa_corpus::near::THRESHOLD;
use stoa_posts::normal_form;
use stoa_posts::units::{WORD_WEIGHT, units};
use stoa_random::Draws;

/// A script: what its invented words are made of, letters in a word, what is said between sentences.
struct Writing {
    name: &'static str,
    /// Frequent ones first.
    syllables: &'static str,
    word: [usize; 2],
    stop: &'static str,
}

const WRITINGS: [Writing; 6] = [
    Writing {
        name: "Chinese",
        syllables: "的 一 是 不 了 人 我 在 有 他 这 中 大 来 上 国 个 到 说 们 为 子 和 你 地 出 道 也 时 年 \
            得 就 那 要 下 以 生 会 自 着 去 之 过 家 学 对 可 里 后 小 么 心 多 天 而 能 好 都 然 没 \
            日 于 起 还 发 成 事 只",
        word: [1, 3],
        stop: "。",
    },
    Writing {
        name: "Japanese",
        syllables: "の に は を た が で て と し れ さ い る か ら こ な す も あ り く ま き ン ス ト ル ー \
            日 本 人 大 年 会 国 中 出 者 時 行 社 分 前 後 生 学 新 車",
        word: [1, 4],
        stop: "。",
    },
    Writing {
        name: "Thai",
        syllables: "กา ขอ คน งา จะ ชื่ ซื้ ด้ ตั ที่ นี้ บ้า ปี ผู้ พี่ ฟ้ มี ยั \
            รั เล ว่ ส ห อ น ม ก ง เป็ ได้ ให้ ไม่ โดย แล้ว คือ",
        word: [2, 4],
        stop: " ",
    },
    Writing {
        name: "Khmer",
        syllables: "កា ខ្មែ គ ង ចា ជា ដែ ត្រូ ថា ទី នៅ បា ប្រ ពី មា យើ រ លើ វ \
            ស្រុ ហើ អ្ន នឹ ន ម ល ស ក ផ្លូ ធ្វើ ចំ កុំ ឲ្យ",
        word: [2, 4],
        stop: "។ ",
    },
    Writing {
        name: "Lao",
        syllables: "ກາ ຂ້ ຄົນ ງາ ຈະ ຊື່ ຍັ ດີ ຕ້ ທີ່ ນີ້ ບໍ່ ປີ ຜູ້ ພໍ່ ມີ ຢູ່ \
            ລາ ວ່າ ສ ຫ ອ ນ ມ ກ ງ ເປັ ໄດ້ ໃຫ້ ແລ້ວ ໂຮງ",
        word: [2, 4],
        stop: " ",
    },
    Writing {
        name: "Burmese",
        syllables: "က ကို ခဲ့ ငါ စာ ဆို တယ် ထား ဒီ နေ ပါ ပြီး ဖြစ် မ မှာ များ ယူ \
            ရ လာ လုပ် သူ သည် ဟာ အ တွေ နှင့် မြို့ ကျောင်း လူ ရေး တိုင်း \
            ဘာ",
        word: [1, 3],
        stop: "။ ",
    },
];

/// Kinds of pairs: how the second post comes of the first.
const KINDS: [&str; 8] = [
    "signs, spaces, links",
    "letter replaced",
    "letter left out",
    "two letters added",
    "a word put at the end",
    "many words replaced",
    "form with other words",
    "unrelated",
];

impl Writing {
    /// Drawn roughly as Zipf's law has it.
    fn syllable(&self, draws: &mut Draws) -> &'static str {
        let syllables: Vec<&str> = self.syllables.split(' ').collect();
        let bound = 1 + draws.below(syllables.len());
        syllables[draws.below(bound)]
    }

    fn word(&self, draws: &mut Draws) -> String {
        let length = self.word[0] + draws.below(self.word[1] - self.word[0] + 1);
        (0..length).map(|_| self.syllable(draws)).collect()
    }

    fn words(&self, draws: &mut Draws) -> Vec<String> {
        let count = 15 + draws.below(60);
        (0..count).map(|_| self.word(draws)).collect()
    }

    fn text(&self, words: &[String]) -> String {
        words.chunks(9).map(|words| words.concat()).collect::<Vec<_>>().join(self.stop)
    }

    /// A post made of another.
    fn second(&self, kind: &str, words: &[String], draws: &mut Draws) -> String {
        let mut words = words.to_vec();
        let at = draws.below(words.len());
        let syllable = self.syllable(draws).to_string();
        match kind {
            "signs, spaces, links" => {
                let sign = draws.pick(&["！", "https://t.co/x ", "\n", " 🙂 ", "…"]);
                words[at].push_str(sign);
            }
            "letter replaced" => words[at] = syllable,
            "letter left out" => drop(words.remove(at)),
            "two letters added" => words[at].push_str(&syllable.repeat(2)),
            "a word put at the end" => words.push(self.word(draws)),
            "many words replaced" => {
                for word in words.iter_mut() {
                    if draws.chance(1, 8) {
                        *word = self.word(draws);
                    }
                }
            }
            "form with other words" => {
                for word in words.iter_mut().skip(1).step_by(3) {
                    *word = self.word(draws);
                }
            }
            _ => words = self.words(draws),
        }
        self.text(&words)
    }
}

/// The sets that truth is defined by.
fn shingles(text: &str) -> BTreeSet<String> {
    let normal = normal_form(text);
    let units: Vec<_> = units(&normal).collect();
    let mut shingles = BTreeSet::new();
    for start in 0..units.len() {
        let (mut shingle, mut weight) = (String::new(), 0);
        for unit in &units[start..] {
            shingle.push_str(unit.text);
            weight += unit.weight;
            if weight > 2 * WORD_WEIGHT {
                shingles.insert(shingle);
                break;
            }
        }
    }
    shingles
}

fn jaccard(one: &str, other: &str) -> f64 {
    let (one, other) = (shingles(one), shingles(other));
    one.intersection(&other).count() as f64 / one.union(&other).count() as f64
}

const PAIRS_A_KIND: usize = 60;

#[test]
fn near_duplicates_in_scripts_without_spaces() {
    for writing in &WRITINGS {
        let mut draws = Draws::new(1, writing.name);
        let mut posts = String::new();
        let mut pairs = Vec::new();
        for kind in KINDS {
            for number in 0..PAIRS_A_KIND {
                let words = writing.words(&mut draws);
                let texts = [writing.text(&words), writing.second(kind, &words, &mut draws)];
                let ids = ["a", "b"].map(|which| format!("{kind} {number}{which}"));
                for (at, (id, text)) in ids.iter().zip(&texts).enumerate() {
                    let time = 1_500_000_000 + 2 * pairs.len() + at;
                    let post = serde_json::json!({
                        "id": id, "author": id, "created_at": time, "text": text, "lang": "und",
                    });
                    posts.push_str(&format!("{post}\n"));
                }
                pairs.push((kind, ids, jaccard(&texts[0], &texts[1]) >= THRESHOLD));
            }
        }
        let found = found_in(&posts, None);
        let (mut right, mut near) = (0, 0);
        let mut by_kind: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
        for (kind, [first, second], is_near) in &pairs {
            let is_found = found.get(second).is_some_and(|(_, kept)| kept == first);
            near += usize::from(*is_near);
            right += usize::from(is_found && *is_near);
            let counts = by_kind.entry(kind).or_default();
            counts[0] += usize::from(*is_near);
            counts[1] += usize::from(is_found);
        }
        let precision = right as f64 / found.len() as f64;
        let recall = right as f64 / near as f64;
        println!(
            "{}: {} pairs, {near} near, {} found, precision {precision:.3}, recall {recall:.3}",
            writing.name,
            pairs.len(),
            found.len(),
        );
        println!("  near, found of {PAIRS_A_KIND}: {by_kind:?}");
        assert!(near >= 150 && pairs.len() - near >= 150, "{}: {near}", writing.name);
        assert!(precision >= 0.99 && recall >= 0.95, "{}", writing.name);
        // What no reader would call another post is found, what shares a form only is not.
        assert_eq!(by_kind["signs, spaces, links"], [PAIRS_A_KIND; 2]);
        assert_eq!(by_kind["form with other words"], [0; 2]);
        assert_eq!(by_kind["unrelated"], [0; 2]);
    }
}
