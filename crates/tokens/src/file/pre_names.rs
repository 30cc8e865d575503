//! What the names under `tokenizer.ggml.pre` mean: how text is cut, and two settings that such
//! files leave to the name. The pipelines are those of the published tokenizers that each name
//! stands for.

use serde_json::{Value, json};

use crate::settings::byte_level;
use crate::{Pattern, TokensError};

/// How text is cut under a name.
#[derive(Clone, Copy)]
pub(super) enum Layout {
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
    pub(super) layout: Layout,
    pub(super) ignore_merges: bool,
    pub(super) add_bos: bool,
}

const fn plain(names: &'static [&'static str], layout: Layout) -> PreName {
    PreName { names, layout, ignore_merges: false, add_bos: false }
}

const GPT2_PIECES: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)";
const DEEPSEEK_TAIL: &str = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+";
const HAN_AND_KANA: &str = "[一-龥\u{3040}-ゟ゠-ヿ]+";
const BLOOM: &str = " ?[^(\\s|.,!?…。，、।۔،)]+";
const BAILING: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";
const SEED_CODER: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";
const MINICPM: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const EXAONE_MOE: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+";

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
    plain(&["gemma4"], Layout::Lines),
];

impl PreName {
    /// The meaning of a name; without one, that of `default`.
    pub(super) fn find(name: Option<&str>) -> Result<Self, TokensError> {
        let name = name.unwrap_or("default");
        let found = NAMES.iter().find(|known| known.names.contains(&name));
        found.copied().ok_or_else(|| TokensError::Unsupported {
            field: "tokenizer.ggml.pre".to_owned(),
            value: format!("{name:?}"),
            supported: NAMES
                .iter()
                .flat_map(|known| known.names)
                .copied()
                .collect::<Vec<_>>()
                .join(", "),
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
