//! The parts of a tokenizer around its model, read from data: normalizers, pre-tokenizers,
//! post-processors and decoders.
//!
//! Every source of tokenizers describes these parts as a `tokenizer.json` does; [`Pipeline`] is
//! what they compile to. Pipelines that end in the byte alphabet run on bytes, and those that cut
//! by one published expression run its machine directly.

mod decoder;
mod expression;
mod matcher;
mod normalizer;
mod part;
mod post_processor;
mod pre_tokenizer;
mod unicode_nine;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

pub(crate) use decoder::{Decoder, byte_of};
pub(crate) use matcher::Matcher;
pub(crate) use normalizer::Normalizer;
pub(crate) use part::Part;
pub(crate) use post_processor::Around;
pub(crate) use pre_tokenizer::{PreTokenizer, Prepend, for_each_piece};
pub(crate) use unicode_nine::Form;

use crate::settings::Settings;
use crate::{Pattern, TokensError};

/// What texts contained and their ids do not, counted over all texts of a tokenizer.
#[derive(Debug, Default)]
pub(crate) struct LeftOut {
    characters: AtomicU64,
    searches: AtomicU64,
}

impl LeftOut {
    pub(crate) fn count_characters(&self, count: u64) {
        self.characters.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn count_search(&self) {
        self.searches.fetch_add(1, Ordering::Relaxed);
    }

    /// Characters or bytes without a token.
    pub(crate) fn characters(&self) -> u64 {
        self.characters.load(Ordering::Relaxed)
    }

    /// Searches for a regular expression that were given up.
    pub(crate) fn searches(&self) -> u64 {
        self.searches.load(Ordering::Relaxed)
    }
}

/// What a model's tokens are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Alphabet {
    /// The 256 bytes, which the vocabulary spells in the byte alphabet.
    #[default]
    Bytes,
    /// Characters as they stand.
    Characters,
}

/// How text is cut into pieces.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cutting {
    /// By one machine; with a space before text that does not start with one.
    Machine {
        pattern: Pattern,
        prefix_space: bool,
    },
    Steps(Vec<PreTokenizer>),
}

/// The compiled parts.
#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    pub(crate) normalizers: Vec<Normalizer>,
    pub(crate) cutting: Cutting,
    pub(crate) alphabet: Alphabet,
    /// Whether text is spelled in the byte alphabet, by whatever part.
    pub(crate) spells_bytes: bool,
    pub(crate) decoder: Decoder,
    pub(crate) around: Around,
    pub(crate) left_out: Arc<LeftOut>,
}

impl Pipeline {
    /// Compiles the parts of a file.
    pub(crate) fn compile(settings: &Settings) -> Result<Self, TokensError> {
        let left_out = Arc::new(LeftOut::default());
        let part = |field, value| Part::new(field, value);
        let normalizers = Normalizer::read(&part("normalizer", &settings.normalizer), &left_out)?;
        let mut steps =
            PreTokenizer::read(&part("pre_tokenizer", &settings.pre_tokenizer), &left_out)?;
        let around = Around::read(&part("post_processor", &settings.post_processor))?;
        let spells_bytes = normalizers.iter().any(|part| matches!(part, Normalizer::ByteAlphabet))
            || steps.iter().any(|step| matches!(step, PreTokenizer::ByteAlphabet));
        let alphabet = alphabet(settings, &normalizers, &mut steps);
        let decoder = match &settings.decoder {
            Value::Null => Decoder::inverse(spells_bytes, metaspace(&steps)),
            decoder => Decoder::read(&part("decoder", decoder), &left_out)?,
        };
        let cutting = Cutting::of(steps);
        Ok(Self { normalizers, cutting, alphabet, spells_bytes, decoder, around, left_out })
    }

    /// The normalised form of a text.
    pub(crate) fn normalize<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let all = self.normalizers.iter();
        all.fold(Cow::Borrowed(text), |text, normalizer| normalizer.apply(text))
    }
}

impl Cutting {
    /// The machine that does what the steps do, or the steps.
    fn of(steps: Vec<PreTokenizer>) -> Self {
        let (prefix_space, cuts) = match steps.as_slice() {
            [PreTokenizer::PrefixSpace, cuts @ ..] => (true, cuts),
            cuts => (false, cuts),
        };
        match cuts {
            [cut] if cut.machine().is_some() => {
                Self::Machine { pattern: cut.machine().unwrap_or_default(), prefix_space }
            }
            _ => Self::Steps(steps),
        }
    }
}

/// The alphabet of the model. Where the byte alphabet is all that the last step does, the step is
/// taken away and the model runs on the bytes themselves.
fn alphabet(
    settings: &Settings,
    normalizers: &[Normalizer],
    steps: &mut Vec<PreTokenizer>,
) -> Alphabet {
    let spells = |step: &PreTokenizer| matches!(step, PreTokenizer::ByteAlphabet);
    let once = steps.iter().filter(|step| spells(step)).count() == 1;
    let last = steps.last().is_some_and(spells);
    let spelled = normalizers.iter().any(|step| matches!(step, Normalizer::ByteAlphabet));
    let model = &settings.model;
    let affix = |affix: &Option<String>| affix.as_deref().is_some_and(|affix| !affix.is_empty());
    let plain = !model.byte_fallback
        && !affix(&model.continuing_subword_prefix)
        && !affix(&model.end_of_word_suffix);
    if once && last && !spelled && plain {
        steps.pop();
        Alphabet::Bytes
    } else {
        Alphabet::Characters
    }
}

/// The sign for spaces of a pipeline, if it has one.
fn metaspace(steps: &[PreTokenizer]) -> Option<(char, Prepend)> {
    steps.iter().find_map(|step| match step {
        PreTokenizer::Metaspace { replacement, prepend, .. } => Some((*replacement, *prepend)),
        _ => None,
    })
}
