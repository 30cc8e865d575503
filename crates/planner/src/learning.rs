//! The learning side of a plan: model size and tokens for a budget, what over-training costs, batch
//! and learning rate by published rules, and the total next to regulatory thresholds. Published
//! constants only, from the dated data file `data/learning.toml`; nothing is fitted here.

use serde::{Deserialize, Serialize};

use crate::error::{PlanError, Result};
use crate::model::ModelShape;
use crate::units::Flops;

/// The data file, as text.
pub const LEARNING_DATA: &str = include_str!("../data/learning.toml");

/// A law of loss over parameters and tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Law {
    /// Name.
    pub name: String,
    /// Loss that no size takes away, in nats a token.
    pub irreducible: f64,
    /// Scale of the parameter term.
    pub a: f64,
    /// Exponent of parameters.
    pub alpha: f64,
    /// Scale of the token term.
    pub b: f64,
    /// Exponent of tokens.
    pub beta: f64,
    /// Standard error of `alpha`, where printed.
    pub alpha_error: Option<f64>,
    /// Standard error of `beta`, where printed.
    pub beta_error: Option<f64>,
    /// Where.
    pub source: String,
    /// When.
    pub date: String,
}

impl Law {
    /// Loss in nats a token.
    pub fn loss(&self, params: f64, tokens: f64) -> f64 {
        self.irreducible + self.a / params.powf(self.alpha) + self.b / tokens.powf(self.beta)
    }

    /// Parameters that give the least loss for a budget C = 6·N·D (arXiv:2203.15556, equation 4).
    pub fn best_params(&self, compute: Flops) -> f64 {
        let (alpha, beta) = (self.alpha, self.beta);
        let g = (alpha * self.a / (beta * self.b)).powf(1.0 / (alpha + beta));
        g * (compute.0 / 6.0).powf(beta / (alpha + beta))
    }

    /// Compute a model of the best size would need for the loss that `params` reach with `tokens`,
    /// over what they spend: 1 at the optimum, less when over- or under-trained.
    pub fn efficiency(&self, params: f64, tokens: f64) -> f64 {
        let wanted = self.loss(params, tokens);
        let spent = 6.0 * params * tokens;
        let best = |compute: f64| {
            let n = self.best_params(Flops(compute));
            self.loss(n, compute / (6.0 * n))
        };
        // Loss of the best size falls with compute, so halving in the logarithm finds it.
        let (mut low, mut high) = (spent * 1e-6, spent);
        for _ in 0..80 {
            let middle = (low * high).sqrt();
            if best(middle) > wanted { low = middle } else { high = middle }
        }
        (high / spent).min(1.0)
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ratio {
    low: f64,
    middle: f64,
    high: f64,
    source: String,
    date: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Power {
    coefficient: f64,
    exponent: f64,
    source: String,
    date: String,
}

impl Power {
    fn at(&self, compute: Flops) -> f64 {
        self.coefficient * compute.0.powf(self.exponent)
    }
}

/// A compute threshold of a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// FLOP of training.
    pub flop: f64,
    /// What applies from there.
    pub what: String,
    /// The same in French.
    pub what_fr: String,
    /// Where.
    pub source: String,
    /// When.
    pub date: String,
}

/// Published rules.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Learning {
    law: Vec<Law>,
    tokens_per_param: Ratio,
    batch: Power,
    learning_rate: Power,
    threshold: Vec<Threshold>,
}

/// What the rules say of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LossForecast {
    /// FLOP of training: 6 for each active parameter and token, attention causal.
    pub train_flop: f64,
    /// Tokens for each parameter a token passes through.
    pub tokens_per_param: f64,
    /// Tokens that would be compute-optimal for this size: low, middle, high.
    pub optimal_tokens: [f64; 3],
    /// Loss in nats a token by each law; for comparing sizes, not a promise about any data.
    pub loss: Vec<(String, f64)>,
    /// Share of the compute that a model of the best size would need for the same loss, by law.
    pub compute_efficiency: Vec<(String, f64)>,
    /// Best size for the same compute, by law: parameters and tokens.
    pub optimum: Vec<(String, f64, f64)>,
    /// Batch in tokens by rule.
    pub batch_tokens: f64,
    /// Peak learning rate by rule.
    pub learning_rate: f64,
    /// Thresholds the run passes.
    pub thresholds_passed: Vec<Threshold>,
    /// The next threshold.
    pub next_threshold: Option<Threshold>,
}

impl Learning {
    /// The rules shipped with this crate.
    pub fn published() -> Self {
        Self::read(LEARNING_DATA, "data/learning.toml").expect("the shipped data file is tested")
    }

    /// Reads a data file of this format.
    ///
    /// # Errors
    /// When the text is not one, or an entry lacks source or date.
    pub fn read(text: &str, place: &str) -> Result<Self> {
        let malformed = |reason: String| PlanError::Malformed { place: place.to_owned(), reason };
        let mut read: Learning = toml::from_str(text).map_err(|e| malformed(e.to_string()))?;
        let rules = [
            (&read.tokens_per_param.source, &read.tokens_per_param.date),
            (&read.batch.source, &read.batch.date),
            (&read.learning_rate.source, &read.learning_rate.date),
        ];
        let laws = read.law.iter().map(|l| (&l.source, &l.date));
        let thresholds = read.threshold.iter().map(|t| (&t.source, &t.date));
        let dated = |(source, date): (&String, &String)| !source.is_empty() && date.len() == 7;
        if !rules.into_iter().chain(laws).chain(thresholds).all(dated) {
            return Err(malformed("every entry needs a source and a date like 2024-07".to_owned()));
        }
        read.threshold.sort_by(|a, b| a.flop.total_cmp(&b.flop));
        Ok(read)
    }

    /// Tokens that are compute-optimal for a model of this size, in the middle of the sources.
    pub fn optimal_tokens(&self, params: f64) -> f64 {
        self.tokens_per_param.middle * params
    }

    /// Parameters and tokens that are compute-optimal for a budget, in the middle of the sources.
    pub fn optimum(&self, compute: Flops) -> (f64, f64) {
        let params = (compute.0 / (6.0 * self.tokens_per_param.middle)).sqrt();
        (params, self.tokens_per_param.middle * params)
    }

    /// Batch in tokens for a compute, rounded to a power of two. The rule was measured below 1e21 FLOP;
    /// beyond, it is held to 2^24, the batch of Llama 3 405B (arXiv:2407.21783 section 3.4.1).
    pub fn batch_tokens(&self, compute: Flops) -> f64 {
        let batch = self.batch.at(compute).clamp(65_536.0, 16_777_216.0);
        2.0_f64.powf(batch.log2().round())
    }

    /// What the rules say of a run.
    pub fn forecast(&self, model: &ModelShape, seq: usize, tokens: f64) -> LossForecast {
        let compute = model.train_flops_per_token(seq, true) * tokens;
        let params = model.active_params();
        let ratio = &self.tokens_per_param;
        let by_law = |value: &dyn Fn(&Law) -> f64| -> Vec<(String, f64)> {
            self.law.iter().map(|law| (law.name.clone(), value(law))).collect()
        };
        let passed = |t: &&Threshold| t.flop <= compute.0;
        LossForecast {
            train_flop: compute.0,
            tokens_per_param: tokens / params,
            optimal_tokens: [ratio.low, ratio.middle, ratio.high].map(|r| r * params),
            loss: by_law(&|law| law.loss(params, tokens)),
            compute_efficiency: by_law(&|law| law.efficiency(params, tokens)),
            optimum: self
                .law
                .iter()
                .map(|law| {
                    let best = law.best_params(compute);
                    (law.name.clone(), best, compute.0 / (6.0 * best))
                })
                .collect(),
            batch_tokens: self.batch_tokens(compute),
            learning_rate: self.learning_rate.at(compute),
            thresholds_passed: self.threshold.iter().filter(passed).cloned().collect(),
            next_threshold: self.threshold.iter().find(|t| t.flop > compute.0).cloned(),
        }
    }
}

/// A dense shape of about `params` parameters, in the proportions of published ones: width near 128
/// times the layers, heads of 128, feed-forward of 3.5 widths, 8 key-value heads.
pub fn shape_of_size(params: f64, vocab: usize) -> ModelShape {
    let shape = |layers: usize| {
        let hidden = (layers / 8).max(1) * 1024;
        let hidden =
            if layers < 24 { (layers * 96).next_multiple_of(128).max(256) } else { hidden };
        let ffn = (hidden * 7 / 2).next_multiple_of(256);
        let heads = hidden / 128;
        let kv_heads = if heads.is_multiple_of(8) { 8 } else { heads };
        let name = format!("dense of {} layers", layers);
        ModelShape::dense(&name, layers, hidden, ffn, heads, kv_heads, vocab)
    };
    let miss = |s: &ModelShape| (s.params() / params).ln().abs();
    let candidates = (1..=80).map(|n| shape(2 * n));
    let best = candidates.min_by(|a, b| miss(a).total_cmp(&miss(b))).expect("eighty candidates");
    ModelShape { name: format!("{:.3}B {}", best.params() / 1e9, best.name), ..best }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Models;

    #[test]
    fn chinchilla_reproduces_itself() {
        let learning = Learning::published();
        let law = &learning.law[0];
        // Gopher's budget, 5.76e23: 40 B by approach 3 (arXiv:2203.15556 table 3), within its interval.
        let best = law.best_params(Flops(5.76e23)) / 1e9;
        assert!((30.0..45.0).contains(&best), "{best}");
        // The replication finds about 20 tokens a parameter there.
        let law = &learning.law[1];
        let best = law.best_params(Flops(5.76e23));
        let ratio = 5.76e23 / (6.0 * best * best);
        assert!((15.0..30.0).contains(&ratio), "{ratio}");
        assert!((law.efficiency(best, 5.76e23 / (6.0 * best)) - 1.0).abs() < 1e-3);
        // Llama 3 8B on 15T is far over-trained.
        assert!(law.efficiency(8e9, 15e12) < 0.6);
    }

    #[test]
    fn llama_405b_passes_the_european_threshold() {
        let model = Models::published().find("llama-405b").unwrap().clone();
        let forecast = Learning::published().forecast(&model, 8192, 15.6e12);
        assert!((forecast.train_flop / 3.8e25 - 1.0).abs() < 0.05, "{}", forecast.train_flop);
        assert_eq!(forecast.thresholds_passed.len(), 2);
        assert_eq!(forecast.next_threshold.unwrap().flop, 1e26);
    }

    #[test]
    fn shapes_of_a_size_are_near_it() {
        for params in [1e8, 1e9, 7e9, 70e9, 400e9] {
            let shape = shape_of_size(params, 128_256);
            shape.check().unwrap();
            assert!((shape.params() / params).ln().abs() < 0.25, "{params} {}", shape.params());
        }
    }
}
