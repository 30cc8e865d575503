//! First values of parameters, as a pure function of (seed, parameter name, element index): no
//! order of drawing, so any part can be made anywhere. Scales are nanochat's (gpt.py,
//! init_weights) where the shape exports to Hugging Face.

use stoa_graph::Tensor;
use stoa_random::Stream;

use crate::parameters::{Module, Place, placed_parameters};
use crate::{LanguageConfig, MlpKind, Parameter, ParameterGroup, Weights};

/// First values of all parameters.
pub fn initialize(config: &LanguageConfig, seed: u64) -> Weights {
    placed_parameters(config)
        .into_iter()
        .map(|(place, p)| {
            let values = Distribution::of(config, place, &p).draw(seed, &p);
            let tensor = Tensor::f32(p.shape, values).expect("one value per element");
            (p.name, tensor)
        })
        .collect()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Distribution {
    Constant(f32),
    Normal { std: f64 },
    Uniform { std: f64 },
}

impl Distribution {
    fn of(config: &LanguageConfig, place: Place, parameter: &Parameter) -> Self {
        let input_std = (config.hidden as f64).powf(-0.5);
        match parameter.group {
            ParameterGroup::Norm => {
                Distribution::Constant(f32::from(u8::from(!config.norm_offset)))
            }
            ParameterGroup::Bias => Distribution::Constant(0.0),
            // GPT-2's (gpt-2, src/model.py).
            ParameterGroup::Embedding if place.module == Module::Positions => {
                Distribution::Normal { std: 0.01 }
            }
            // Blocks begin as the identity.
            ParameterGroup::OutputProjection => Distribution::Constant(0.0),
            // A tied embedding is a head too: logits must start small (GPT-2's 0.02).
            ParameterGroup::Embedding if config.tied_head => Distribution::Normal { std: 0.02 },
            ParameterGroup::Embedding => Distribution::Normal { std: 0.8 },
            ParameterGroup::Head => Distribution::Normal { std: 0.001 },
            // Squaring grows the variance, so nanochat starts up_proj at 0.4 of the others.
            ParameterGroup::InputProjection
                if place.module == Module::Up && config.mlp.kind == MlpKind::ReluSquared =>
            {
                Distribution::Uniform { std: 0.4 * input_std }
            }
            ParameterGroup::InputProjection => Distribution::Uniform { std: input_std },
        }
    }

    fn draw(self, seed: u64, parameter: &Parameter) -> Vec<f32> {
        let elements = parameter.shape.iter().product::<usize>();
        let stream = Stream::new(seed, &parameter.name);
        let unit = |index: u64| stream.unit(index);
        let indices = 0..elements as u64;
        match self {
            Distribution::Constant(value) => vec![value; elements],
            // A uniform on ±a has standard deviation a/√3.
            Distribution::Uniform { std } => {
                let bound = std * 3f64.sqrt();
                indices.map(|i| (bound * (2.0 * unit(i) - 1.0)) as f32).collect()
            }
            // Box and Muller (Ann. Math. Stat. 29, 1958); 1 − u is never 0.
            Distribution::Normal { std } => indices
                .map(|i| {
                    let (u, v) = (unit(2 * i), unit(2 * i + 1));
                    let radius = (-2.0 * (1.0 - u).ln()).sqrt();
                    (std * radius * (std::f64::consts::TAU * v).cos()) as f32
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(tensor: &Tensor) -> (f64, f64) {
        let x = tensor.to_f64();
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / x.len() as f64;
        (mean, variance.sqrt())
    }

    #[test]
    fn scales_are_those_asked_for() {
        let config = LanguageConfig::from_depth(4, 700);
        let weights = initialize(&config, 7);
        let expect = |name: &str, std: f64| {
            let (mean, found) = moments(&weights[name]);
            // 65k to 180k draws: the standard error of a standard deviation is below 0.3 %.
            assert!((found / std - 1.0).abs() < 0.015, "{name}: {found} for {std}");
            assert!(mean.abs() < 0.015 * std, "{name}: mean {mean}");
        };
        expect("model.embed_tokens.weight", 0.8);
        expect("lm_head.weight", 0.001);
        expect("model.layers.0.self_attn.q_proj.weight", 1.0 / 16.0);
        expect("model.layers.3.mlp.up_proj.weight", 1.0 / 16.0);
        assert_eq!(moments(&weights["model.layers.1.mlp.down_proj.weight"]), (0.0, 0.0));
        assert_eq!(moments(&weights["model.norm.weight"]), (1.0, 0.0));
    }

    #[test]
    fn values_depend_on_seed_name_and_index_only() {
        let config = LanguageConfig::from_depth(1, 50);
        assert_eq!(initialize(&config, 3), initialize(&config, 3));
        let name = "model.layers.0.self_attn.k_proj.weight";
        assert_ne!(initialize(&config, 3)[name], initialize(&config, 4)[name]);
        // A deeper model of other width shares nothing; one with other vocabulary shares blocks.
        let wider = LanguageConfig { vocab: 60, ..config.clone() };
        assert_eq!(initialize(&config, 3)[name], initialize(&wider, 3)[name]);
    }
}
