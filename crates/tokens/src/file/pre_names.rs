//! What the names under `tokenizer.ggml.pre` mean: how text is cut, and two settings that such
//! files leave to the name. The pipelines are those of the published tokenizers that each name
//! stands for.

use serde_json::{Value, json};

use super::tables::of_spaces;
use crate::error::excerpt;
use crate::pattern::{GPT2, O200K, QWEN2};
use crate::settings::{Settings, byte_level, split_then_bytes};
use crate::{Pattern, TokensError};

/// How text is cut under a name.
#[derive(Clone, Copy)]
enum Layout {
    /// By one published pattern.
    Pattern(Pattern),
    /// By expressions, one after the other.
    Splits(&'static [&'static str]),
    /// By other steps.
    Steps(fn() -> Value),
    /// By lines, with ▁ for spaces and no byte alphabet.
    Lines,
}

/// One meaning.
#[derive(Clone, Copy)]
pub(super) struct PreName {
    names: &'static [&'static str],
    layout: Layout,
    pub(super) ignore_merges: bool,
    pub(super) add_bos: bool,
}

const fn plain(names: &'static [&'static str], layout: Layout) -> PreName {
    PreName { names, layout, ignore_merges: false, add_bos: false }
}

/// Lines, and line breaks between them.
pub(super) const LINES: &str = r"[^\n]+|[\n]+";
const GPT2_PIECES: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)";
const DEEPSEEK_TAIL: &str = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+";
const HAN_AND_KANA: &str = "[一-龥\u{3040}-ゟ゠-ヿ]+";
const BLOOM: &str = " ?[^(\\s|.,!?…。，、।۔،)]+";
const BAILING: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";
const SEED_CODER: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";
const MINICPM: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const EXAONE_MOE: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+";

/// O200k with digits one by one.
const YOUTU: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const YOUTU_SCRIPTS: &str =
    "[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥\u{3040}-ゟ゠-ヿ]+";
const JAIS2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}";
const SPARK_TAIL: &str = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+|[\r\n]|\\s+(?!\\S)|\\s+";
/// Qwen 2 without contractions.
const UFAKZEKA: &str =
    r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// O200k with Chinese characters in pieces of their own.
const KIMI_K2: &str = r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Letters as DeepSeek LLM lists them.
const DEEPSEEK_LLM_WORDS: &str = r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+";

/// Every name with a known meaning.
const NAMES: &[PreName] = &[
    plain(
        &["default"],
        Layout::Splits(&[r"[\p{P}\$\+<=>\^~\|]+", GPT2_PIECES, r"\p{N}+", "[0-9][0-9][0-9]"]),
    ),
    PreName {
        names: &[
            "llama3",
            "llama-v3",
            "llama-bpe",
            "falcon3",
            "falcon-h1",
            "pixtral",
            "midm-2.0",
            "lfm2",
            "jina-v5-nano",
        ],
        layout: Layout::Pattern(Pattern::Gpt4),
        ignore_merges: true,
        add_bos: true,
    },
    plain(&["dbrx", "smaug-bpe", "chatglm-bpe"], Layout::Pattern(Pattern::Gpt4)),
    PreName { ignore_merges: true, ..plain(&["glm4", "glm5"], Layout::Pattern(Pattern::Gpt4)) },
    plain(
        &[
            "gpt-2",
            "phi-2",
            "jina-es",
            "jina-de",
            "gigachat",
            "jina-v2-es",
            "jina-v2-de",
            "a.x-4.0",
            "mellum",
            "modern-bert",
            "mpt",
            "olmo",
            "jais",
            "trillion",
            "granite-docling",
            "exaone4",
            "jina-v1-en",
            "jina-v2-code",
            "roberta-bpe",
        ],
        Layout::Pattern(Pattern::Gpt2),
    ),
    plain(
        &[
            "smollm",
            "starcoder",
            "refact",
            "command-r",
            "codeshell",
            "exaone",
            "minerva-7b",
            "mellum2",
        ],
        Layout::Steps(digits_then_gpt2),
    ),
    plain(
        &[
            "qwen2",
            "deepseek-r1-qwen",
            "kormo",
            "f2llmv2",
            "stablelm2",
            "hunyuan",
            "solar-open",
            "megrez",
            "grok-2",
        ],
        Layout::Pattern(Pattern::Qwen2),
    ),
    plain(&["qwen35"], Layout::Pattern(Pattern::Qwen35)),
    plain(
        &["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"],
        Layout::Pattern(Pattern::O200k),
    ),
    PreName {
        ignore_merges: true,
        ..plain(&["granite-embed-multi-97m"], Layout::Pattern(Pattern::O200k))
    },
    PreName {
        names: &["tekken"],
        layout: Layout::Pattern(Pattern::Tekken),
        ignore_merges: true,
        add_bos: true,
    },
    plain(
        &["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"],
        Layout::Splits(&[r"\p{N}{1,3}", HAN_AND_KANA, DEEPSEEK_TAIL]),
    ),
    plain(
        &["deepseek-coder"],
        Layout::Splits(&["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", r"\p{N}"]),
    ),
    plain(
        &["deepseek-llm"],
        Layout::Splits(&[
            "[\r\n]",
            DEEPSEEK_LLM_WORDS,
            r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
            r"\s+$",
            "[一-龥ࠀ-一가-퟿]+",
            r"\p{N}+",
        ]),
    ),
    plain(&["spark2_5"], Layout::Splits(&[r"\p{N}{1,3}", HAN_AND_KANA, SPARK_TAIL, r"\p{N}"])),
    PreName { ignore_merges: true, ..plain(&["youtu"], Layout::Splits(&[YOUTU_SCRIPTS, YOUTU])) },
    plain(&["jais-2"], Layout::Splits(&[JAIS2])),
    plain(&["kimi-k2"], Layout::Splits(&[KIMI_K2])),
    plain(&["ufakzeka"], Layout::Splits(&[UFAKZEKA])),
    plain(&["laguna"], Layout::Splits(&[LINES, QWEN2])),
    plain(&["tiny_aya", "cohere2moe"], Layout::Splits(&[r"\d{1,3}(?=(?:\d{3})*\b)", O200K])),
    plain(&["superbpe"], Layout::Splits(&[r"\p{N}+", r"(?=(\d{3})+(?!\d))"])),
    PreName {
        add_bos: true,
        ..plain(
            &["chameleon"],
            Layout::Splits(&[
                "<sentinel:[0-9]+>",
                "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
                r"([\t\n]|    |  )",
                r"\p{N}",
                r"[\p{P}!-/:-@\[-`{-~]",
                GPT2,
            ]),
        )
    },
    plain(&["falcon"], Layout::Steps(falcon)),
    plain(&["poro-chat", "bloom", "gpt3-finnish"], Layout::Splits(&[BLOOM])),
    plain(&["viking"], Layout::Splits(&[BLOOM, r"\p{N}"])),
    plain(&["bailingmoe", "bailingmoe2", "llada-moe"], Layout::Splits(&[BAILING])),
    plain(&["seed-coder"], Layout::Splits(&[SEED_CODER])),
    plain(&["exaone-moe"], Layout::Splits(&[EXAONE_MOE])),
    PreName {
        ignore_merges: true,
        ..plain(&["minicpm5"], Layout::Splits(&[r"\p{N}{1,3}", MINICPM]))
    },
    plain(&["gemma4", "granite-embed-multi-311m", "sarvam-moe"], Layout::Lines),
];

impl PreName {
    /// Every meaning.
    pub(super) fn all() -> impl Iterator<Item = &'static Self> {
        NAMES.iter()
    }

    /// The first of its names, under which it is written.
    pub(super) fn name(&self) -> &'static str {
        self.names[0]
    }

    /// Whether tokens are spelled in the byte alphabet.
    pub(super) fn in_bytes(&self) -> bool {
        !matches!(self.layout, Layout::Lines)
    }

    /// The pipeline; `prefix` tells whether a space stands before text, which only lines look at.
    pub(super) fn settings(&self, prefix: bool) -> Settings {
        let mut settings = match self.layout {
            Layout::Pattern(pattern) => Settings::byte_level(pattern),
            Layout::Splits(expressions) => Settings {
                pre_tokenizer: split_then_bytes(expressions),
                ..Settings::byte_level(Pattern::Gpt2)
            },
            Layout::Steps(steps) => {
                Settings { pre_tokenizer: steps(), ..Settings::byte_level(Pattern::Gpt2) }
            }
            Layout::Lines => Settings {
                pre_tokenizer: json!({
                    "type": "Split",
                    "pattern": {"Regex": LINES},
                    "behavior": "Isolated",
                    "invert": false,
                }),
                ..of_spaces(prefix)
            },
        };
        settings.model.ignore_merges = self.ignore_merges;
        settings
    }

    /// The meaning of a name; without one, that of `default`.
    pub(super) fn find(name: Option<&str>) -> Result<Self, TokensError> {
        let name = name.unwrap_or("default");
        let found = NAMES.iter().find(|known| known.names.contains(&name));
        found.copied().ok_or_else(|| TokensError::UnsupportedTable {
            field: "tokenizer.ggml.pre",
            value: excerpt(name),
            remedy: "open the directory that the publisher ships, whose tokenizer.json says how text \
                     is cut, or convert that again",
        })
    }
}

/// Each digit alone, then GPT-2's pieces: SmolLM, StarCoder, Command-R.
fn digits_then_gpt2() -> Value {
    json!({
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Digits", "individual_digits": true},
            byte_level(false, true, true),
        ],
    })
}

/// Falcon 7B and 40B.
fn falcon() -> Value {
    json!({
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Punctuation", "behavior": "Contiguous"},
            byte_level(false, true, true),
            {"type": "Digits", "individual_digits": false},
            {
                "type": "Split",
                "pattern": {"Regex": "[0-9][0-9][0-9]"},
                "behavior": "Isolated",
                "invert": false,
            },
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{Cutting, Pipeline, for_each_piece};
    use crate::settings::{Settings, split_then_bytes};

    /// The pieces that the expressions of a name cut.
    fn pieces(expressions: &[&str], text: &str) -> Vec<String> {
        let settings = Settings {
            pre_tokenizer: split_then_bytes(expressions),
            ..Settings::byte_level(Pattern::Gpt2)
        };
        let pipeline = Pipeline::compile(&settings).expect("expressions that compile");
        let Cutting::Steps(steps) = pipeline.cutting else {
            panic!("a published pattern stands among expressions")
        };
        let mut pieces = Vec::new();
        for_each_piece(&steps, text, true, &mut |text, start, end| {
            pieces.push(text[start..end].to_owned());
        });
        pieces
    }

    #[test]
    fn every_name_has_one_meaning_and_keeps_all_text() {
        let all: Vec<&str> = NAMES.iter().flat_map(|known| known.names).copied().collect();
        let text = "Straße\u{301} 漢字 12345\r\n\t  don't!? <sentinel:7> 한국어  ";
        for name in &all {
            assert_eq!(all.iter().filter(|other| *other == name).count(), 1, "{name}");
            if let Layout::Splits(expressions) = PreName::find(Some(name)).expect("known").layout {
                assert_eq!(pieces(expressions, text).concat(), text, "{name}");
            }
        }
    }

    /// Pieces that `tokenizers` 0.23.3 cuts by the same expressions.
    #[test]
    fn names_cut_as_their_expressions_say() {
        let cases: [(&str, &str, &[&str]); 10] = [
            ("kimi-k2", "你好abc漢1234 don't", &["你好", "abc", "漢", "123", "4", " don't"]),
            // The range from colon to tilde of its punctuation holds the ASCII letters.
            ("deepseek-llm", " Straße 漢字1!\n", &[" Stra", "ß", "e", " ", "漢字", "1", "!", "\n"]),
            ("superbpe", "1234567 ab", &["1", "234", "567", " ab"]),
            ("tiny_aya", "1234567 ab", &["1", "234", "567", " ab"]),
            ("jais-2", "a     b", &["a", "    ", " b"]),
            ("youtu", "한국어abc don't 12", &["한국어", "abc", " don't", " ", "1", "2"]),
            ("ufakzeka", "Ali'nin 12", &["Ali", "'nin", " ", "1", "2"]),
            ("laguna", "a\n\nb", &["a", "\n\n", "b"]),
            ("spark2_5", "x=1234\r\n", &["x", "=", "1", "2", "3", "4", "\r", "\n"]),
            ("chameleon", "IMGIMGABZ a1!", &["IMGIMGABZ", " a", "1", "!"]),
        ];
        for (name, text, expected) in cases {
            let Layout::Splits(expressions) = PreName::find(Some(name)).expect("known").layout
            else {
                panic!("{name} is no list of expressions")
            };
            assert_eq!(pieces(expressions, text), expected, "{name}");
        }
    }
}
