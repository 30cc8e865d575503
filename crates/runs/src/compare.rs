//! A written model beside what it was made from: ids of sample texts, a conversation as its template has
//! it, logits.

use std::sync::Arc;

use serde::Serialize;
use stoa_assistant::{AssistantError, TokenId};
use stoa_dialogue::{Conversation, LocalTime, Message};
use stoa_graph::Engine;

use crate::{Loaded, Model, ModelOptions, RunsError};

/// Texts whose ids are compared: words, numbers, spaces, code, scripts, characters of several parts.
const TEXTS: [&str; 10] = [
    "The quick brown fox doesn't jump over 12 lazy dogs; it's 3.14159 o'clock.",
    "  two  spaces,\ttab,\r\n\r\nnew lines   ",
    "fn main() { let x: Vec<u8> = vec![0x7f; 256]; } // 100% --flag=1",
    "Größe, façade, œuvre, São Paulo, žluťoučký kůň, İstanbul",
    "Съешь ещё этих мягких французских булок",
    "你好，世界。これはテストです。안녕하세요 세계",
    "مرحبا بالعالم שלום עולם नमस्ते दुनिया สวัสดีชาวโลก",
    "\u{1f600}\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} e\u{301} \u{feff}\u{a0}\u{2003}\u{0}",
    "https://example.org/a?b=c#d user@example.org @name #topic",
    "▁ <unk> <s> [INST] <|im_start|> \\n \u{fffd}",
];

/// Tokens whose logits are compared.
const TOKENS: usize = 48;

/// How far logits of the same weights may be apart, as a share of their standard deviation: GGUF files
/// hold divisors of frequencies and 1 + w of norms as f32, of which a last bit may be lost.
const TOLERANCE: f64 = 1e-4;

/// What came of the comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Likeness {
    /// Sample texts, and how many of them get other ids.
    pub texts: usize,
    /// Those with other ids.
    pub texts_apart: usize,
    /// Whether a conversation was rendered by both templates, and alike.
    pub conversation: bool,
    /// Tokens after which logits were compared; 0 if they were not.
    pub tokens: usize,
    /// The root mean square difference of logits as a share of their standard deviation, the greatest
    /// of all tokens; 0 if they are equal bit for bit, `None` if they were not compared.
    pub logits_apart: Option<f64>,
    /// Why logits were not compared.
    pub not_compared: Option<String>,
}

/// Compares. `notes` tells that the tokenizer was written with notes, so that ids may differ.
///
/// # Errors
/// [`RunsError::Otherwise`] for what must be alike and is not.
pub(crate) fn compare(
    source: &Model,
    written: &Model,
    engine: &Arc<dyn Engine>,
    notes: bool,
) -> Result<Likeness, RunsError> {
    let otherwise = |what: String| RunsError::Otherwise { path: written.path().to_owned(), what };
    let (theirs, ours) = (source.read()?, written.read()?);
    let ids = |text: &&&str| theirs.tokenizer.encode(text) != ours.tokenizer.encode(text);
    let texts_apart = TEXTS.iter().filter(ids).count();
    if texts_apart > 0 && !notes {
        return Err(otherwise(format!("{texts_apart} of {} texts get other ids", TEXTS.len())));
    }
    let messages =
        [Message::user("Who sells lamps?"), Message::assistant("We do."), Message::user("Where?")];
    let conversation = Conversation::new(&messages, LocalTime::from_unix(1_700_000_000, 0));
    let rendered = [&theirs, &ours]
        .map(|parts| parts.template.render(&conversation).map_err(|e| e.to_string()));
    let [their_text, our_text] = &rendered;
    if their_text.is_ok() != our_text.is_ok() || their_text.is_ok() && their_text != our_text {
        return Err(otherwise(format!("its template gives {our_text:?}, not {their_text:?}")));
    }
    let mut tokens: Vec<TokenId> = theirs.tokenizer.document_prefix().to_vec();
    tokens.extend(theirs.tokenizer.encode(TEXTS[0]));
    tokens.retain(|id| (id.0 as usize) < theirs.config.vocab);
    tokens.truncate(TOKENS.min(theirs.config.max_time.saturating_sub(1)));
    let mut likeness = Likeness {
        texts: TEXTS.len(),
        texts_apart,
        conversation: rendered[0].is_ok(),
        tokens: 0,
        logits_apart: None,
        not_compared: None,
    };
    drop((theirs, ours));
    let both = logits(source, engine, &tokens)
        .and_then(|theirs| Ok((theirs, logits(written, engine, &tokens)?)));
    let (theirs, ours) = match both {
        Ok(both) => both,
        Err(RunsError::Model { source, .. })
            if matches!(*source, AssistantError::Memory { .. }) =>
        {
            likeness.not_compared = Some(source.to_string());
            return Ok(likeness);
        }
        Err(error) => return Err(error),
    };
    let bits =
        |rows: &[Vec<f32>]| -> Vec<u32> { rows.iter().flatten().map(|x| x.to_bits()).collect() };
    let apart = if bits(&theirs.rows) == bits(&ours.rows) {
        0.0
    } else {
        theirs.rows.iter().zip(&ours.rows).map(|(a, b)| distance(a, b)).fold(0.0, f64::max)
    };
    if !ours.rows.iter().flatten().all(|x| x.is_finite()) {
        let what = "it gives logits that are not finite numbers; choose f32 or bf16, which hold \
                    greater numbers than f16";
        return Err(otherwise(what.to_owned()));
    }
    if theirs.types == ours.types && (apart.is_nan() || apart > TOLERANCE) {
        return Err(otherwise(format!("its logits are {apart:.1e} of their deviation apart")));
    }
    likeness.tokens = tokens.len();
    likeness.logits_apart = Some(apart);
    Ok(likeness)
}

struct Logits {
    /// After a quarter of the tokens, half of them, all.
    rows: Vec<Vec<f32>>,
    types: String,
}

fn logits(
    model: &Model,
    engine: &Arc<dyn Engine>,
    tokens: &[TokenId],
) -> Result<Logits, RunsError> {
    let options = ModelOptions { context: Some(tokens.len() + 1), ..ModelOptions::default() };
    let Loaded { mut assistant, matrices, .. } = model.assistant(Arc::clone(engine), &options)?;
    let parts = [4, 2, 1].map(|part| &tokens[..tokens.len().div_ceil(part)]);
    let rows = parts.into_iter().map(|tokens| assistant.logits(tokens).map_err(RunsError::from));
    Ok(Logits { rows: rows.collect::<Result<_, RunsError>>()?, types: matrices.to_string() })
}

/// Root mean square difference over the standard deviation of `a`.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    let n = a.len().max(1) as f64;
    let mean = a.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let variance = a.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
    let error =
        a.iter().zip(b).map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2)).sum::<f64>() / n;
    (error / variance).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_is_in_standard_deviations() {
        assert_eq!(distance(&[1.0, -1.0], &[1.0, -1.0]), 0.0);
        assert_eq!(distance(&[1.0, -1.0], &[2.0, 0.0]), 1.0);
        assert!(distance(&[1.0, -1.0], &[f32::NAN, 0.0]).is_nan());
    }
}
