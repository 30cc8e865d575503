//! Rotary frequencies: those of the paper, and scaled ones for contexts longer than a model was
//! pretrained on. What a program gets is a list of numbers.

use std::f64::consts::TAU;

use serde::{Deserialize, Serialize};
use stoa_graph::RopeSpec;

use crate::LanguageConfig;

/// How rotary frequencies are stretched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rope_type", rename_all = "lowercase", deny_unknown_fields)]
pub enum RopeScaling {
    /// Every frequency divided by `factor` (position interpolation, arXiv 2306.15595).
    Linear {
        /// How many times longer contexts are.
        factor: f64,
    },
    /// Frequencies of long waves divided by `factor`, those of short waves kept, those between
    /// interpolated (Llama 3.1: `apply_scaling` of Meta's reference).
    Llama3 {
        /// Divisor of the lowest frequencies.
        factor: f64,
        /// Waves longer than the original context by this divisor are stretched whole.
        low_freq_factor: f64,
        /// Waves shorter than the original context by this divisor are kept.
        high_freq_factor: f64,
        /// Context of pretraining.
        original_max_position_embeddings: usize,
    },
    /// NTK-aware scaling that begins beyond the context of pretraining (`dynamic` of transformers);
    /// up to there, which is as far as contexts go here, frequencies are those of the paper.
    Dynamic {
        /// How many times longer contexts may become elsewhere.
        factor: f64,
    },
    /// YaRN (arXiv 2309.00071 §3.2 and §3.4): a ramp over pairs between kept and divided
    /// frequencies, and rotated features multiplied by `attention_factor`.
    Yarn {
        /// Divisor of the lowest frequencies.
        factor: f64,
        /// Turns over the original context from which pairs are kept; 32 in the paper.
        #[serde(default = "beta_fast")]
        beta_fast: f64,
        /// Turns below which pairs are stretched whole; 1 in the paper.
        #[serde(default = "beta_slow")]
        beta_slow: f64,
        /// Context of pretraining.
        original_max_position_embeddings: usize,
        /// Factor on what is rotated of queries and keys; 0.1·ln(factor) + 1 if `None`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attention_factor: Option<f64>,
    },
    /// A divisor for each pair (LongRoPE, arXiv 2402.13753), one list for sequences up to the context of
    /// pretraining and one for longer ones. The longest sequence that a program is made for decides,
    /// once for all that it computes, as in llama.cpp; transformers decides by each call.
    LongRope {
        /// Divisors in a program for sequences of at most the original context.
        short_factor: Vec<f64>,
        /// Divisors in a program for longer sequences.
        long_factor: Vec<f64>,
        /// Context of pretraining.
        original_max_position_embeddings: usize,
        /// Factor on what is rotated of queries and keys, in either case.
        attention_factor: f64,
    },
}

const fn beta_fast() -> f64 {
    32.0
}

const fn beta_slow() -> f64 {
    1.0
}

impl RopeScaling {
    /// Whether every number makes sense.
    pub(crate) fn is_valid(&self) -> bool {
        let positive = |x: f64| x > 0.0 && x.is_finite();
        match *self {
            RopeScaling::Linear { factor } | RopeScaling::Dynamic { factor } => {
                factor >= 1.0 && factor.is_finite()
            }
            RopeScaling::Llama3 {
                factor,
                low_freq_factor: low,
                high_freq_factor: high,
                original_max_position_embeddings: original,
            } => {
                positive(factor) && positive(low) && high > low && high.is_finite() && original > 0
            }
            RopeScaling::Yarn {
                factor,
                beta_fast,
                beta_slow,
                original_max_position_embeddings: original,
                attention_factor,
            } => {
                let betas = positive(beta_fast) && positive(beta_slow);
                let sharpening = attention_factor.is_none_or(positive);
                factor >= 1.0 && factor.is_finite() && betas && sharpening && original > 0
            }
            RopeScaling::LongRope {
                ref short_factor,
                ref long_factor,
                original_max_position_embeddings: original,
                attention_factor,
            } => {
                let mut factors = short_factor.iter().chain(long_factor);
                short_factor.len() == long_factor.len()
                    && factors.all(|&factor| positive(factor))
                    && positive(attention_factor)
                    && original > 0
            }
        }
    }

    /// The frequencies in place of theta^(−2i/dim).
    fn stretched(
        &self,
        theta: f64,
        dim: usize,
        context: usize,
        mut frequencies: Vec<f64>,
    ) -> Vec<f64> {
        match *self {
            RopeScaling::Dynamic { .. } => {}
            RopeScaling::Linear { factor } => {
                frequencies.iter_mut().for_each(|frequency| *frequency /= factor);
            }
            RopeScaling::LongRope {
                ref short_factor,
                ref long_factor,
                original_max_position_embeddings: original,
                ..
            } => {
                let factors = if context > original { long_factor } else { short_factor };
                frequencies.iter_mut().zip(factors).for_each(|(frequency, by)| *frequency /= by);
            }
            RopeScaling::Llama3 {
                factor,
                low_freq_factor: low,
                high_freq_factor: high,
                original_max_position_embeddings: original,
            } => {
                for frequency in &mut frequencies {
                    // Waves in the original context.
                    let waves = original as f64 * *frequency / TAU;
                    let kept = ((waves - low) / (high - low)).clamp(0.0, 1.0);
                    *frequency = mix(*frequency / factor, *frequency, kept);
                }
            }
            RopeScaling::Yarn {
                factor,
                beta_fast,
                beta_slow,
                original_max_position_embeddings: original,
                ..
            } => {
                // The pair that makes this many turns over the original context.
                let pair = |turns: f64| {
                    dim as f64 * (original as f64 / (turns * TAU)).ln() / (2.0 * theta.ln())
                };
                let first = pair(beta_fast).floor().max(0.0);
                let last = pair(beta_slow).ceil().min(dim as f64 - 1.0);
                // 0.001 as in the authors' code, for a ramp without length.
                let length = if first == last { 0.001 } else { last - first };
                for (i, frequency) in frequencies.iter_mut().enumerate() {
                    let kept = 1.0 - ((i as f64 - first) / length).clamp(0.0, 1.0);
                    *frequency = mix(*frequency / factor, *frequency, kept);
                }
            }
        }
        frequencies
    }

    /// Factor on what is rotated of queries and keys.
    pub(crate) fn attention_factor(&self) -> f64 {
        match *self {
            RopeScaling::Linear { .. }
            | RopeScaling::Dynamic { .. }
            | RopeScaling::Llama3 { .. } => 1.0,
            RopeScaling::Yarn { factor, attention_factor, .. } => {
                attention_factor.unwrap_or(0.1 * factor.ln() + 1.0)
            }
            RopeScaling::LongRope { attention_factor, .. } => attention_factor,
        }
    }

    /// How many divisors it lists, where it lists them.
    pub(crate) fn listed_pairs(&self) -> Option<usize> {
        match self {
            RopeScaling::LongRope { short_factor, .. } => Some(short_factor.len()),
            RopeScaling::Linear { .. }
            | RopeScaling::Dynamic { .. }
            | RopeScaling::Llama3 { .. }
            | RopeScaling::Yarn { .. } => None,
        }
    }
}

/// `a` at 0, `b` at 1.
fn mix(a: f64, b: f64, at: f64) -> f64 {
    a * (1.0 - at) + b * at
}

/// Base and stretching of a layer's frequencies: layers with a base of their own are not stretched.
fn positions_of(config: &LanguageConfig, layer: usize) -> (f32, Option<&RopeScaling>) {
    match config.local_rope_theta.filter(|_| config.window(layer).is_some()) {
        Some(theta) => (theta, None),
        None => (config.rope_theta, config.rope_scaling.as_ref()),
    }
}

/// What divides the frequency of each pair, in programs for the longest sequences, in layers without
/// a base of their own.
pub(crate) fn divisors(config: &LanguageConfig) -> Vec<f64> {
    let rotated = config.rotary_dim.unwrap_or(config.head_dim);
    let plain = RopeSpec::geometric(rotated, config.rope_theta, 1).frequencies.to_vec();
    let theta = f64::from(config.rope_theta);
    let scaled = match &config.rope_scaling {
        Some(scaling) => scaling.stretched(theta, rotated, config.max_time, plain.clone()),
        None => plain.clone(),
    };
    plain.into_iter().zip(scaled).map(|(plain, scaled)| plain / scaled).collect()
}

/// The rotation of queries and keys of a layer, in a program for sequences of up to `context` tokens;
/// `None` where nothing is rotated.
pub(crate) fn rope_spec(config: &LanguageConfig, layer: usize, context: usize) -> Option<RopeSpec> {
    if !config.rotates(layer) {
        return None;
    }
    let rotated = config.rotary_dim.unwrap_or(config.head_dim);
    let (theta, scaling) = positions_of(config, layer);
    let plain = RopeSpec::geometric(rotated, theta, 1);
    let mut frequencies = plain.frequencies.to_vec();
    if let Some(scaling) = scaling {
        frequencies = scaling.stretched(f64::from(theta), rotated, context, frequencies);
    }
    let (head_dim, factor) = (config.head_dim, scaling.map_or(1.0, RopeScaling::attention_factor));
    Some(RopeSpec { head_dim, frequencies: frequencies.into(), factor, ..plain })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frequencies(rope_theta: f32, scaling: RopeScaling) -> Vec<f64> {
        let config = LanguageConfig {
            head_dim: 128,
            rope_theta,
            rope_scaling: Some(scaling),
            ..LanguageConfig::from_depth(2, 100)
        };
        rope_spec(&config, 0, 8192).unwrap().frequencies.to_vec()
    }

    #[track_caller]
    fn close(found: &[f64], expected: &[(usize, f64)]) {
        for &(i, expected) in expected {
            // Both sides take the same few steps in f64.
            assert!((found[i] / expected - 1.0).abs() < 1e-13, "{i}: {} {expected}", found[i]);
        }
    }

    #[test]
    fn llama3_is_that_of_the_reference() {
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192,
        };
        // `apply_scaling` of llama-models, models/llama3/reference_impl/model.py, run in f64.
        close(
            &frequencies(500_000.0, scaling),
            &[
                (0, 1.0),
                (10, 0.12868737343265052),
                (28, 0.003211445994752591),
                (29, 0.002166570763503359),
                (31, 0.0008567514129196321),
                (34, 0.0001785078127679964),
                (35, 9.556212353964683e-05),
                (63, 3.068925988914511e-07),
            ],
        );
    }

    #[test]
    fn yarn_is_that_of_its_authors() {
        let scaling = RopeScaling::Yarn {
            factor: 16.0,
            beta_fast: 32.0,
            beta_slow: 1.0,
            original_max_position_embeddings: 4096,
            attention_factor: None,
        };
        assert!((scaling.attention_factor() - 1.2772588722239782).abs() < 1e-15);
        // LlamaYaRNScaledRotaryEmbedding of github.com/jquesnelle/yarn, run in f64.
        close(
            &frequencies(10_000.0, scaling),
            &[
                (0, 1.0),
                (20, 0.056234132519034905),
                (21, 0.046940859997959404),
                (30, 0.00852684377296741),
                (45, 0.00015177160473182487),
                (46, 8.334508951020775e-05),
                (63, 7.217387404309114e-06),
            ],
        );
    }

    #[test]
    fn linear_divides_every_frequency() {
        let plain = RopeSpec::geometric(128, 1e4, 1);
        let found = frequencies(1e4, RopeScaling::Linear { factor: 4.0 });
        assert!(found.iter().zip(&*plain.frequencies).all(|(f, p)| *f == p / 4.0));
    }

    #[test]
    fn the_context_of_a_program_chooses_the_list() {
        let long = RopeScaling::LongRope {
            short_factor: vec![1.0; 64],
            long_factor: (1..=64).map(f64::from).collect(),
            original_max_position_embeddings: 4096,
            attention_factor: 1.5,
        };
        let config = LanguageConfig {
            head_dim: 128,
            rope_scaling: Some(long),
            ..LanguageConfig::from_depth(2, 100)
        };
        let plain = RopeSpec::geometric(128, 1e4, 1).frequencies;
        let of = |context| rope_spec(&config, 1, context).unwrap().frequencies;
        assert_eq!(of(4096), plain);
        assert!(
            of(4097).iter().zip(&*plain).enumerate().all(|(i, (a, b))| *a == b / (i + 1) as f64)
        );
        assert_eq!(rope_spec(&config, 1, 4097).unwrap().factor, 1.5);
    }

    #[test]
    fn layers_differ_by_window_and_by_list() {
        let config = LanguageConfig {
            rotary_dim: Some(8),
            local_rope_theta: Some(100.0),
            rope_scaling: Some(RopeScaling::Linear { factor: 8.0 }),
            sliding_window: Some(crate::SlidingWindow { window: 4, layers: vec![0] }),
            layers_without_positions: vec![2],
            ..LanguageConfig::from_depth(3, 100)
        };
        let local = RopeSpec::geometric(8, 100.0, 1).frequencies;
        assert_eq!(rope_spec(&config, 0, 9).unwrap().frequencies, local);
        let global = rope_spec(&config, 1, 9).unwrap();
        assert_eq!((global.frequencies[0], global.head_dim), (0.125, config.head_dim));
        assert_eq!(rope_spec(&config, 2, 9), None);
    }
}
