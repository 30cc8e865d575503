//! `quantization_config`: what it says of weights that are stored in 8 bits with scales. Any other
//! way of storing them is refused by its name.

use serde_json::{Map, Value};
use stoa_graph::DType;

use crate::ModelError;

type Result<T> = std::result::Result<T, ModelError>;

/// What a `config.json` says of weights that are stored in 8 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EightBits {
    /// Rows and columns of a matrix that share a scale, where the file says so.
    pub block: Option<[usize; 2]>,
    /// The type that they are dequantised to: that of `torch_dtype`, f32 where it names none.
    pub dtype: DType,
}

const KEYS: [&str; 2] = ["quantization_config", "compression_config"];

/// Takes what a file says of it out of its keys.
pub(super) fn taken(file: &mut Map<String, Value>) -> Result<EightBits> {
    let mut all = KEYS.map(|key| (key, file.remove(key))).into_iter();
    let said = all.find_map(|(key, value)| Some((key, value?.as_object()?.clone())));
    let mut inner = file.get("text_config").and_then(Value::as_object).cloned();
    let said = said.or_else(|| {
        let inner = inner.as_mut()?;
        KEYS.into_iter().find_map(|key| Some((key, inner.remove(key)?.as_object()?.clone())))
    });
    let dtype = |keys: &Map<String, Value>| {
        ["dtype", "torch_dtype"].into_iter().find_map(|key| keys.get(key)?.as_str().map(named))
    };
    let dtype = dtype(file).or_else(|| dtype(inner.as_ref()?)).unwrap_or(DType::F32);
    if let (Some(inner), Some(_)) = (inner, file.get("text_config")) {
        file.insert("text_config".into(), Value::Object(inner));
    }
    let block = match said.filter(|(_, keys)| !keys.is_empty()) {
        Some((key, keys)) => Said { key, keys: &keys }.block()?,
        None => None,
    };
    Ok(EightBits { block, dtype })
}

fn named(dtype: &str) -> DType {
    match dtype.trim_start_matches("torch.") {
        "bfloat16" => DType::BF16,
        "float16" => DType::F16,
        _ => DType::F32,
    }
}

/// The object of a key.
struct Said<'a> {
    key: &'a str,
    keys: &'a Map<String, Value>,
}

impl Said<'_> {
    /// The block that shares a scale, where the method is one that is read.
    fn block(&self) -> Result<Option<[usize; 2]>> {
        let text = |key: &str| self.keys.get(key).and_then(Value::as_str).unwrap_or_default();
        match text("quant_method") {
            "fp8" | "fbgemm_fp8" => self.pair("weight_block_size", self.keys),
            "modelopt" if text("quant_algo") == "FP8" => Ok(None),
            "modelopt" => Err(self.refused("quant_algo", "FP8")),
            "bitsandbytes" if self.keys.get("load_in_8bit") == Some(&Value::Bool(true)) => Ok(None),
            "bitsandbytes" => Err(self.refused("load_in_8bit", "true: 4 bits are not read")),
            "compressed-tensors" => self.compressed(),
            _ => Err(self.refused(
                "quant_method",
                "fp8, fbgemm_fp8, compressed-tensors, modelopt with FP8 or bitsandbytes with \
                 load_in_8bit; weights of fewer bits are read from GGUF files",
            )),
        }
    }

    /// Files of compressed-tensors: groups of modules, each with its weights of 8 bits.
    fn compressed(&self) -> Result<Option<[usize; 2]>> {
        const FORMATS: [&str; 4] = ["float-quantized", "int-quantized", "naive-quantized", "dense"];
        let known = |value: &Value| value.as_str().is_some_and(|name| FORMATS.contains(&name));
        let said = |value: Option<&Value>| value.is_some_and(|value| !value.is_null());
        if !self.keys.get("format").is_none_or(known) {
            return Err(self.refused("format", &FORMATS.join(", ")));
        }
        let sparse = self.keys.get("sparsity_config").and_then(|config| config.get("format"));
        if sparse.is_some_and(|format| format != "dense") {
            return Err(self.refused("sparsity_config", "dense weights"));
        }
        let transforms = self.keys.get("transform_config").and_then(|c| c.get("config_groups"));
        if transforms.and_then(Value::as_object).is_some_and(|groups| !groups.is_empty()) {
            return Err(self.refused("transform_config", "weights without rotations"));
        }
        let mut block = None;
        let groups = self.keys.get("config_groups").and_then(Value::as_object);
        for group in groups.into_iter().flat_map(Map::values) {
            if said(group.get("format")) && !group.get("format").is_some_and(known) {
                return Err(self.refused("config_groups", &FORMATS.join(", ")));
            }
            let Some(weights) = group.get("weights").and_then(Value::as_object) else { continue };
            if weights.get("num_bits").is_some_and(|bits| *bits != 8) {
                return Err(self.refused("config_groups", "weights of 8 bits"));
            }
            let own = self.pair("block_structure", weights)?;
            if block.is_some() && own.is_some() && block != own {
                return Err(self.refused("config_groups", "one block_structure"));
            }
            block = block.or(own);
        }
        Ok(block)
    }

    /// Two sizes, where they are given.
    fn pair(&self, name: &str, keys: &Map<String, Value>) -> Result<Option<[usize; 2]>> {
        let Some(given) = keys.get(name).filter(|value| !value.is_null()) else { return Ok(None) };
        let sizes = given.as_array().filter(|sizes| sizes.len() == 2);
        let size = |value: &Value| value.as_u64().filter(|&n| n > 0)?.try_into().ok();
        let pair = sizes.and_then(|sizes| Some([size(&sizes[0])?, size(&sizes[1])?]));
        pair.map(Some).ok_or_else(|| self.unsupported(name, given, "two sizes above 0"))
    }

    fn refused(&self, name: &str, expected: &str) -> ModelError {
        self.unsupported(name, self.keys.get(name).unwrap_or(&Value::Null), expected)
    }

    fn unsupported(&self, name: &str, value: &Value, expected: &str) -> ModelError {
        ModelError::Unsupported {
            key: format!("{}.{name}", self.key),
            value: value.to_string(),
            expected: expected.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(file: Value) -> Result<EightBits> {
        taken(&mut file.as_object().cloned().unwrap())
    }

    #[test]
    fn blocks_and_types_are_read() {
        let none = EightBits { block: None, dtype: DType::F32 };
        assert_eq!(read(json!({"quantization_config": null})).unwrap(), none);
        assert_eq!(read(json!({"quantization_config": {}})).unwrap(), none);
        let fp8 = json!({"torch_dtype": "bfloat16", "quantization_config": {
            "quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 64],
            "activation_scheme": "dynamic"}});
        let expected = EightBits { block: Some([128, 64]), dtype: DType::BF16 };
        assert_eq!(read(fp8.clone()).unwrap(), expected);
        // Where a model that also reads pictures has it.
        let mut file = Map::from_iter([("text_config".to_owned(), fp8)]);
        assert_eq!(taken(&mut file).unwrap(), expected);
        assert_eq!(file["text_config"], json!({"torch_dtype": "bfloat16"}));
        let compressed = json!({"dtype": "float16", "compression_config": {
            "quant_method": "compressed-tensors", "format": "float-quantized",
            "config_groups": {"group_0": {"weights": {
                "num_bits": 8, "strategy": "block", "block_structure": [16, 32]}}}}});
        let expected = EightBits { block: Some([16, 32]), dtype: DType::F16 };
        assert_eq!(read(compressed).unwrap(), expected);
        for known in [
            json!({"quant_method": "fbgemm_fp8"}),
            json!({"quant_method": "modelopt", "quant_algo": "FP8"}),
            json!({"quant_method": "bitsandbytes", "load_in_8bit": true}),
        ] {
            assert_eq!(read(json!({"quantization_config": known})).unwrap(), none);
        }
    }

    #[test]
    fn other_ways_are_refused_by_name() {
        for (said, words) in [
            (json!({"quant_method": "gptq", "bits": 4}), ["quant_method` = \"gptq\"", "GGUF"]),
            (json!({"bits": 4}), ["quant_method` = null", "fp8"]),
            (json!({"quant_method": "mxfp4"}), ["\"mxfp4\"", "bitsandbytes"]),
            (json!({"quant_method": "modelopt", "quant_algo": "NVFP4"}), ["\"NVFP4\"", "FP8"]),
            (json!({"quant_method": "bitsandbytes", "load_in_4bit": true}), ["load_in_8bit", "4"]),
            (
                json!({"quant_method": "compressed-tensors", "format": "pack-quantized"}),
                ["\"pack-quantized\"", "int-quantized"],
            ),
            (
                json!({"quant_method": "compressed-tensors", "format": "int-quantized",
                    "config_groups": {"group_0": {"weights": {"num_bits": 4}}}}),
                ["config_groups", "8 bits"],
            ),
            (
                json!({"quant_method": "compressed-tensors",
                    "sparsity_config": {"format": "sparse-24-bitmask"}}),
                ["sparsity_config", "dense"],
            ),
            (json!({"quant_method": "fp8", "weight_block_size": [0, 128]}), ["[0,128]", "two"]),
        ] {
            let message = read(json!({"quantization_config": said})).unwrap_err().to_string();
            for word in words {
                assert!(message.contains(word), "{word}: {message}");
            }
        }
    }
}
