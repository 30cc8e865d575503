//! LoRA adapters of `peft` merged into the weights of their base: W + scale·B·A for each linear layer
//! (arXiv 2106.09685 §4.1). What an adapter asks for beyond that is refused by the name of its key.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value};
use stoa_graph::Tensor;
use stoa_maps::Map as FileMap;

use crate::{ModelError, Weights, from_map};

type Result<T> = std::result::Result<T, ModelError>;

/// A LoRA adapter.
pub struct Adapter {
    /// The model it was made for, as it says.
    pub base: Option<String>,
    rank: usize,
    alpha: f64,
    rslora: bool,
    fan_in_fan_out: bool,
    alpha_pattern: Map<String, Value>,
    rank_pattern: Map<String, Value>,
    weights: Weights,
}

/// What a merge changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Matrices that a product was added to.
    pub added: Vec<String>,
    /// Tensors that were replaced whole (`modules_to_save`).
    pub replaced: Vec<String>,
}

/// Keys of `adapter_config.json` and the values with which they change nothing here.
const IDLE: &[(&str, &[&str])] = &[
    ("bias", &["\"none\""]),
    ("use_dora", &["false"]),
    ("use_qalora", &["false"]),
    ("lora_bias", &["false"]),
    ("layer_replication", &["null", "[]"]),
    ("trainable_token_indices", &["null"]),
    ("target_parameters", &["null", "[]"]),
    ("alora_invocation_tokens", &["null"]),
    ("megatron_config", &["null"]),
    ("corda_config", &["null"]),
    ("eva_config", &["null"]),
    ("lora_ga_config", &["null"]),
    ("loftq_config", &["null", "{}"]),
    ("arrow_config", &["null"]),
    ("peft_type", &["\"LORA\""]),
];

impl Adapter {
    /// Reads the directory of an adapter: `adapter_config.json` and `adapter_model.safetensors`.
    ///
    /// # Errors
    /// A file that is missing or not right; a kind of adapter that is not merged here, by its key.
    pub fn read(directory: &Path) -> Result<Self> {
        let path = directory.join("adapter_config.json");
        let text = std::fs::read_to_string(&path)
            .map_err(|source| ModelError::File { path: path.clone(), source })?;
        let file = directory.join("adapter_model.safetensors");
        let map = FileMap::open(&file)
            .map_err(|error| ModelError::File { path: error.path, source: error.source })?;
        let weights = from_map(&map).map_err(|error| error.at(&file))?;
        Self::new(&text, weights).map_err(|error| error.at(&path))
    }

    /// An adapter from the text of its configuration and its tensors.
    ///
    /// # Errors
    /// A kind of adapter that is not merged here, by its key.
    pub fn new(config: &str, weights: Weights) -> Result<Self> {
        let keys: Map<String, Value> = serde_json::from_str(config)?;
        for (key, allowed) in IDLE {
            let value = keys.get(*key).map_or("null".to_owned(), Value::to_string);
            let absent = !keys.contains_key(*key);
            if !(absent || value == "null" || allowed.contains(&value.as_str())) {
                return Err(unsupported(key, value, format!("{} is", allowed[0])));
            }
        }
        let flag = |key: &str| keys.get(key).and_then(Value::as_bool).unwrap_or(false);
        let size = keys.get("r").and_then(Value::as_u64).unwrap_or(8);
        if size == 0 {
            return Err(unsupported("r", "0".to_owned(), "a rank of 1 or more".to_owned()));
        }
        let pattern =
            |key: &str| keys.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
        Ok(Adapter {
            base: keys.get("base_model_name_or_path").and_then(Value::as_str).map(str::to_owned),
            rank: usize::try_from(size).unwrap_or(usize::MAX),
            alpha: keys.get("lora_alpha").and_then(Value::as_f64).unwrap_or(8.0),
            rslora: flag("use_rslora"),
            fan_in_fan_out: flag("fan_in_fan_out"),
            alpha_pattern: pattern("alpha_pattern"),
            rank_pattern: pattern("rank_pattern"),
            weights,
        })
    }

    /// Adds the adapter to the weights of a model. Every tensor of the adapter is used, or the merge
    /// is refused.
    ///
    /// # Errors
    /// [`ModelError::UnknownTensors`], [`ModelError::TensorShape`].
    pub fn merge(self, base: &mut Weights) -> Result<Merged> {
        let mut merged = Merged::default();
        let mut pairs: BTreeMap<String, [Option<&Tensor>; 2]> = BTreeMap::new();
        let mut unknown = BTreeSet::new();
        for (name, tensor) in &self.weights {
            let module = name.strip_prefix("base_model.model.").unwrap_or(name);
            // Names with and without that of the adapter.
            let module = module.replace(".default.", ".");
            let half = [".lora_A.weight", ".lora_B.weight"];
            if let Some(at) = half.iter().position(|end| module.ends_with(end)) {
                let target = format!("{}.weight", module.trim_end_matches(half[at]));
                pairs.entry(target).or_default()[at] = Some(tensor);
                continue;
            }
            let saved = module.replace(".modules_to_save.", ".").replace(".original_module.", ".");
            match base.get(&saved) {
                Some(before) if before.shape() == tensor.shape() => {
                    let kept = tensor.converted(before.dtype());
                    base.insert(saved.clone(), kept.map_err(conversion(&saved))?);
                    merged.replaced.push(saved);
                }
                Some(before) => return Err(shape(&saved, before, tensor)),
                None => drop(unknown.insert(name.clone())),
            }
        }
        for (target, pair) in pairs {
            match (pair, base.get(&target)) {
                ([Some(a), Some(b)], Some(before)) => {
                    let after = self.added(&target, before, a, b)?;
                    base.insert(target.clone(), after);
                    merged.added.push(target);
                }
                _ => drop(unknown.insert(target)),
            }
        }
        if unknown.is_empty() {
            Ok(merged)
        } else {
            Err(ModelError::UnknownTensors(unknown.into_iter().collect()))
        }
    }

    /// W + scale·B·A, summed in f64 and rounded to the type of W.
    fn added(&self, name: &str, base: &Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        let ([rank, inputs], [outputs, inner]) = (matrix(name, a)?, matrix(name, b)?);
        let expected = if self.fan_in_fan_out { [inputs, outputs] } else { [outputs, inputs] };
        if rank != inner || base.shape() != expected || rank != self.rank_of(name) {
            return Err(shape(name, base, b));
        }
        let alpha = of_pattern(&self.alpha_pattern, name).unwrap_or(self.alpha);
        let divisor = if self.rslora { (rank as f64).sqrt() } else { rank as f64 };
        let scale = alpha / divisor;
        let (a, b, w) = (a.to_f64(), b.to_f64(), base.to_f64());
        let mut row = vec![0.0; inputs];
        let mut delta = vec![0.0; outputs * inputs];
        for out in 0..outputs {
            row.fill(0.0);
            for k in 0..rank {
                let factor = b[out * rank + k];
                row.iter_mut().zip(&a[k * inputs..]).for_each(|(sum, x)| *sum += factor * x);
            }
            for (input, sum) in row.iter().enumerate() {
                let at =
                    if self.fan_in_fan_out { input * outputs + out } else { out * inputs + input };
                delta[at] = scale * sum;
            }
        }
        let sums = w.iter().zip(&delta).map(|(w, d)| (w + d) as f32).collect();
        let sum = Tensor::f32(base.shape(), sums).map_err(conversion(name))?;
        sum.converted(base.dtype()).map_err(conversion(name))
    }

    fn rank_of(&self, name: &str) -> usize {
        of_pattern(&self.rank_pattern, name).map_or(self.rank, |rank| rank as usize)
    }
}

/// The value of the pattern that a module's name ends with, as `peft` matches them.
fn of_pattern(pattern: &Map<String, Value>, name: &str) -> Option<f64> {
    let module = name.trim_end_matches(".weight");
    let fits = |key: &&String| {
        module == **key || module.strip_suffix(key.as_str()).is_some_and(|rest| rest.ends_with('.'))
    };
    pattern.keys().find(fits).and_then(|key| pattern[key].as_f64())
}

fn matrix(name: &str, tensor: &Tensor) -> Result<[usize; 2]> {
    <[usize; 2]>::try_from(tensor.shape()).map_err(|_| shape(name, tensor, tensor))
}

fn shape(name: &str, expected: &Tensor, found: &Tensor) -> ModelError {
    ModelError::TensorShape { name: name.to_owned(), expected: expected.ty(), found: found.ty() }
}

fn conversion(name: &str) -> impl Fn(stoa_graph::GraphError) -> ModelError + '_ {
    |source| ModelError::Conversion { name: name.to_owned(), source: Box::new(source) }
}

fn unsupported(key: &str, value: String, expected: String) -> ModelError {
    ModelError::Adapter { key: key.to_owned(), value, expected }
}

#[cfg(test)]
mod tests {
    use stoa_graph::DType;

    use super::*;

    fn tensor(shape: [usize; 2], numbers: &[f32]) -> Tensor {
        Tensor::f32(shape, numbers.to_vec()).unwrap()
    }

    fn weights(entries: &[(&str, Tensor)]) -> Weights {
        entries.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.clone())).collect()
    }

    const Q: &str = "model.layers.0.self_attn.q_proj";

    fn base() -> Weights {
        let q = tensor([2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        weights(&[(&format!("{Q}.weight"), q), ("lm_head.weight", tensor([1, 3], &[0.0; 3]))])
    }

    fn pair() -> Weights {
        let name = |half: &str| format!("base_model.model.{Q}.lora_{half}.weight");
        weights(&[
            (&name("A"), tensor([1, 3], &[1.0, 10.0, 100.0])),
            (&name("B"), tensor([2, 1], &[1.0, -1.0])),
        ])
    }

    fn merged(config: &str, adapter: Weights) -> Result<(Weights, Merged)> {
        let mut model = base();
        let merged = Adapter::new(config, adapter)?.merge(&mut model)?;
        Ok((model, merged))
    }

    #[test]
    fn products_are_added_with_their_scale() {
        for (config, scale) in [
            (r#"{"r": 1, "lora_alpha": 2, "bias": "none"}"#, 2.0),
            (r#"{"r": 1, "lora_alpha": 3, "use_rslora": true}"#, 3.0),
            (r#"{"r": 1, "lora_alpha": 2, "alpha_pattern": {"q_proj": 4}}"#, 4.0),
            (r#"{"r": 7, "lora_alpha": 2, "rank_pattern": {"self_attn.q_proj": 1}}"#, 2.0),
        ] {
            let (model, merged) = merged(config, pair()).unwrap();
            let sum: Vec<f32> = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
                .into_iter()
                .zip([1.0, 10.0, 100.0, -1.0, -10.0, -100.0])
                .map(|(w, d): (f32, f32)| w + scale * d)
                .collect();
            assert_eq!(model[&format!("{Q}.weight")].as_f32().unwrap(), sum, "{config}");
            assert_eq!(merged.added, [format!("{Q}.weight")]);
        }
    }

    #[test]
    fn ranks_of_more_than_one_scale_by_them() {
        let name = |half: &str| format!("base_model.model.{Q}.lora_{half}.default.weight");
        let adapter = || {
            weights(&[
                (&name("A"), tensor([4, 3], &[1.0; 12])),
                (&name("B"), tensor([2, 4], &[1.0; 8])),
            ])
        };
        let first =
            |config: &str| merged(config, adapter()).unwrap().0[&format!("{Q}.weight")].to_f64()[0];
        // 1 + 8/4·4 and 1 + 8/√4·4.
        assert_eq!(first(r#"{"r": 4, "lora_alpha": 8}"#), 9.0);
        assert_eq!(first(r#"{"r": 4, "lora_alpha": 8, "use_rslora": true}"#), 17.0);
    }

    #[test]
    fn whole_modules_are_replaced_and_transposed_ones_added_to() {
        let mut adapter = pair();
        let head = "base_model.model.lm_head.modules_to_save.default.weight";
        adapter.insert(head.to_owned(), tensor([1, 3], &[7.0, 8.0, 9.0]));
        let (model, merged) = merged(r#"{"r": 1, "lora_alpha": 1}"#, adapter).unwrap();
        assert_eq!(model["lm_head.weight"].as_f32().unwrap(), [7.0, 8.0, 9.0]);
        assert_eq!(merged.replaced, ["lm_head.weight"]);
        // [in, out]: GPT-2's Conv1D.
        let mut conv = weights(&[(&format!("{Q}.weight"), tensor([3, 2], &[0.0; 6]))]);
        let adapter = Adapter::new(r#"{"r": 1, "lora_alpha": 1, "fan_in_fan_out": true}"#, pair());
        adapter.unwrap().merge(&mut conv).unwrap();
        let sum = conv[&format!("{Q}.weight")].as_f32().unwrap().to_vec();
        assert_eq!(sum, [1.0, -1.0, 10.0, -10.0, 100.0, -100.0]);
    }

    #[test]
    fn half_precision_stays_half_precision() {
        let mut model = base();
        let name = format!("{Q}.weight");
        model.insert(name.clone(), model[&name].converted(DType::BF16).unwrap());
        Adapter::new(r#"{"r": 1, "lora_alpha": 1}"#, pair()).unwrap().merge(&mut model).unwrap();
        assert_eq!(model[&name].dtype(), DType::BF16);
        assert_eq!(model[&name].to_f64()[0], 2.0);
    }

    #[test]
    fn what_is_not_merged_is_refused_by_name() {
        let refused = |config: &str, adapter: Weights| {
            merged(config, adapter).err().map(|error| error.to_string()).unwrap_or_default()
        };
        for (key, value) in [
            ("use_dora", "true"),
            ("bias", "\"all\""),
            ("peft_type", "\"IA3\""),
            ("layer_replication", "[[0, 1]]"),
            ("r", "0"),
        ] {
            let message = refused(&format!("{{\"{key}\": {value}}}"), pair());
            assert!(message.contains(key), "{key}: {message}");
        }
        let plain = r#"{"r": 1}"#;
        let mut other = pair();
        other.insert("base_model.model.other.lora_A.weight".to_owned(), tensor([1, 3], &[0.0; 3]));
        assert!(refused(plain, other).contains("other"));
        let mut half = pair();
        half.remove(&format!("base_model.model.{Q}.lora_B.weight"));
        assert!(refused(plain, half).contains("q_proj"));
        assert!(refused(r#"{"r": 2}"#, pair()).contains("q_proj"));
    }
}
