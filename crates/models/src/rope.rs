//! Rotary frequencies: those of the paper, and scaled ones for contexts longer than a model was
//! pretrained on. What a program gets is a list of numbers.

use std::f64::consts::TAU;

use serde::{Deserialize, Serialize};
use stoa_graph::RopeSpec;

use crate::LanguageConfig;

/// How rotary frequencies are stretched.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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
    /// YaRN (arXiv 2309.00071 §3.2 and §3.4): a ramp over pairs between kept and divided
    /// frequencies, and scores sharpened by (0.1·ln(factor) + 1)².
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
            RopeScaling::Linear { factor } => factor >= 1.0 && factor.is_finite(),
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
            } => {
                let betas = positive(beta_fast) && positive(beta_slow);
                factor >= 1.0 && factor.is_finite() && betas && original > 0
            }
        }
    }

    /// The frequencies in place of theta^(−2i/dim).
    fn stretched(&self, theta: f64, dim: usize, mut frequencies: Vec<f64>) -> Vec<f64> {
        match *self {
            RopeScaling::Linear { factor } => {
                frequencies.iter_mut().for_each(|frequency| *frequency /= factor);
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

    /// Factor on the scores of attention.
    fn score_factor(&self) -> f64 {
        match *self {
            RopeScaling::Linear { .. } | RopeScaling::Llama3 { .. } => 1.0,
            RopeScaling::Yarn { factor, .. } => (0.1 * factor.ln() + 1.0).powi(2),
        }
    }
}

/// `a` at 0, `b` at 1.
fn mix(a: f64, b: f64, at: f64) -> f64 {
    a * (1.0 - at) + b * at
}

/// The rotation of queries and keys of a model.
pub(crate) fn rope_spec(config: &LanguageConfig) -> RopeSpec {
    let plain = RopeSpec::geometric(config.head_dim, config.rope_theta, 1);
    let Some(scaling) = &config.rope_scaling else { return plain };
    let (theta, frequencies) = (f64::from(config.rope_theta), plain.frequencies.to_vec());
    let frequencies = scaling.stretched(theta, config.head_dim, frequencies).into();
    RopeSpec { frequencies, ..plain }
}

/// Factor on q·k: head_dim^−½, sharpened where the scaling of positions asks for it.
pub(crate) fn score_scale(config: &LanguageConfig) -> f32 {
    let scale = (config.head_dim as f32).powf(-0.5);
    config.rope_scaling.map_or(scale, |scaling| scale * scaling.score_factor() as f32)
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
        rope_spec(&config).frequencies.to_vec()
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
        };
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
        assert!((scaling.score_factor() - 1.2772588722239782_f64.powi(2)).abs() < 1e-15);
    }

    #[test]
    fn linear_divides_every_frequency() {
        let plain = RopeSpec::geometric(128, 1e4, 1);
        let found = frequencies(1e4, RopeScaling::Linear { factor: 4.0 });
        assert!(found.iter().zip(&*plain.frequencies).all(|(f, p)| *f == p / 4.0));
    }
}
