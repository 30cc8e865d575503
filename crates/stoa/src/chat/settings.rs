//! How answers are drawn: options first, then what the model's files ask for, then our own defaults.

use serde_json::{Value, json};
use stoa_assistant::{GenerationDefaults, Sampling, Settings};

use crate::cli::SamplingArgs;

/// What is used where neither the options nor the model's files say otherwise.
const TEMPERATURE: f32 = 0.7;

/// The settings of answers.
pub fn resolved(args: &SamplingArgs, model: &GenerationDefaults) -> Settings {
    let ours = Sampling { temperature: TEMPERATURE, seed: args.seed, ..Sampling::default() };
    let theirs = model.over(ours);
    let sampling = Sampling {
        temperature: args.temperature.unwrap_or(theirs.temperature),
        top_k: args.top_k.unwrap_or(theirs.top_k),
        top_p: args.top_p.unwrap_or(theirs.top_p),
        min_p: args.min_p.unwrap_or(theirs.min_p),
        repetition_penalty: args.repetition_penalty.unwrap_or(theirs.repetition_penalty),
        ..theirs
    };
    Settings {
        sampling,
        max_tokens: args.max_tokens,
        stop_strings: args.stop.clone(),
        ..Settings::default()
    }
}

/// What the model's files decide about these settings, for people; `None` when nothing.
pub fn note(args: &SamplingArgs, model: &GenerationDefaults) -> Option<String> {
    let number = |name: &str, option: bool, value: Option<f32>| {
        value.filter(|_| !option).map(|value| format!("{name} {value}"))
    };
    let parts: Vec<String> = [
        number("temperature", args.temperature.is_some(), model.temperature),
        number("top_k", args.top_k.is_some(), model.top_k.map(|k| k as f32)),
        number("top_p", args.top_p.is_some(), model.top_p),
        number("min_p", args.min_p.is_some(), model.min_p),
        number("repetition_penalty", args.repetition_penalty.is_some(), model.repetition_penalty),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut lines = Vec::new();
    if !parts.is_empty() {
        lines
            .push(format!("sampling     {} (of the model; options override it)", parts.join(", ")));
    }
    if !model.unused.is_empty() {
        let unused = model.unused.join(", ");
        lines.push(format!("sampling     the model also asks for what is not done here: {unused}"));
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// Settings for machines.
pub fn described(sampling: &Sampling) -> Value {
    json!({
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
        "seed": sampling.seed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_before_the_model_and_the_model_before_our_own() {
        let model = GenerationDefaults {
            temperature: Some(0.5),
            top_k: Some(20),
            unused: vec!["num_beams = 4".to_owned()],
            ..GenerationDefaults::default()
        };
        let args = SamplingArgs { top_k: Some(5), ..SamplingArgs::default() };
        let sampling = resolved(&args, &model).sampling;
        assert_eq!((sampling.temperature, sampling.top_k, sampling.top_p), (0.5, 5, 1.0));
        let note = note(&args, &model).unwrap();
        assert!(note.contains("temperature 0.5") && !note.contains("top_k"), "{note}");
        assert!(note.contains("num_beams = 4"), "{note}");
        let none = GenerationDefaults::default();
        assert_eq!(resolved(&args, &none).sampling.temperature, TEMPERATURE);
        assert_eq!(super::note(&args, &none), None);
    }
}
