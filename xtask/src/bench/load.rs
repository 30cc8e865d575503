//! Memory of loading a large model: a bf16 model with random weights is written, loaded by the
//! release binary in a process of its own, and answers a few tokens. Peak memory beyond the cache of
//! keys and values and the values of the programs must stay near the size of the weights.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::{Map, Value, json};
use stoa_random::Draws;

use super::{machine, peak_memory};
use crate::scratch::Scratch;
use crate::workspace;

/// Options of `bench load`.
#[derive(Debug, clap::Args)]
pub struct LoadArgs {
    /// Layers. Each has 46.8 million weights, the embedding 233 million: 28 layers are 1.54 billion.
    #[arg(long, default_value_t = 28)]
    layers: usize,
    /// Type that the weights are held in.
    #[arg(long, value_parser = ["bf16", "f16", "f32"], default_value = "bf16")]
    weights: String,
    /// Highest ratio of memory to weights that passes.
    #[arg(long, default_value_t = 1.1)]
    limit: f64,
}

/// The sizes of Qwen2.5-1.5B (its config.json), as a Llama without biases.
const VOCAB: usize = 151_936;
const HIDDEN: usize = 1536;
const HEADS: usize = 12;
const KV_HEADS: usize = 2;
const HEAD_DIM: usize = 128;
const INTERMEDIATE: usize = 8960;

/// Writes, loads and measures; the model is removed in any case.
pub fn run(args: &LoadArgs) -> anyhow::Result<Value> {
    let stoa = workspace::release_binary(&workspace::root()?)?;
    let scratch = Scratch::new("bench-load")?;
    let parameters = write_model(scratch.path(), args.layers)
        .with_context(|| format!("cannot write a model to {}", scratch.path().display()))?;
    let mut command = Command::new(stoa);
    command.args(["bench", "decode", "--json", "--prompt", "128", "--tokens", "8"]);
    command.args(["--weights", &args.weights, "--model"]).arg(scratch.path());
    let watched = peak_memory::run(&mut command)?;
    let report: Value = serde_json::from_str(&watched.stdout)?;
    let bytes = |key: &str| report[key].as_u64().with_context(|| format!("no {key} in the report"));
    let (weights, cache, arena) =
        (bytes("weight_bytes")?, bytes("cache_bytes")?, bytes("arena_bytes")?);
    let peak = watched.peak_rss_bytes.max(Some(bytes("peak_rss_bytes")?)).unwrap_or(0);
    ensure!(peak > 0, "this system does not report peak memory");
    let ratio = peak.saturating_sub(cache + arena) as f64 / weights as f64;
    let mib = |bytes: u64| bytes >> 20;
    eprintln!(
        "{:.2} billion weights as {}: {} MiB; peak {} MiB, of it cache {} MiB and values {} MiB; \
         the rest is {ratio:.3} of the weights",
        parameters as f64 / 1e9,
        args.weights,
        mib(weights),
        mib(peak),
        mib(cache),
        mib(arena)
    );
    ensure!(ratio <= args.limit, "memory is {ratio:.3} of the weights, more than {}", args.limit);
    Ok(json!({
        "bench": "load",
        "parameters": parameters,
        "weights": args.weights,
        "weight_bytes": weights,
        "cache_bytes": cache,
        "arena_bytes": arena,
        "peak_rss_bytes": peak,
        "ratio": ratio,
        "answer_tokens_per_second": report["answer_tokens_per_second"],
        "machine": machine::describe(),
    }))
}

/// Name and shape of each tensor, in the order of the file.
fn tensors(layers: usize) -> Vec<(String, Vec<usize>)> {
    let kv = KV_HEADS * HEAD_DIM;
    let mut list = vec![("model.embed_tokens.weight".to_owned(), vec![VOCAB, HIDDEN])];
    for layer in 0..layers {
        let parts: [(&str, &[usize]); 9] = [
            ("input_layernorm", &[HIDDEN]),
            ("self_attn.q_proj", &[HEADS * HEAD_DIM, HIDDEN]),
            ("self_attn.k_proj", &[kv, HIDDEN]),
            ("self_attn.v_proj", &[kv, HIDDEN]),
            ("self_attn.o_proj", &[HIDDEN, HEADS * HEAD_DIM]),
            ("post_attention_layernorm", &[HIDDEN]),
            ("mlp.gate_proj", &[INTERMEDIATE, HIDDEN]),
            ("mlp.up_proj", &[INTERMEDIATE, HIDDEN]),
            ("mlp.down_proj", &[HIDDEN, INTERMEDIATE]),
        ];
        list.extend(
            parts.map(|(part, shape)| {
                (format!("model.layers.{layer}.{part}.weight"), shape.to_vec())
            }),
        );
    }
    list.push(("model.norm.weight".to_owned(), vec![HIDDEN]));
    list
}

/// Writes `config.json` and `model.safetensors` (8 bytes of length, a JSON header, the tensors);
/// returns the number of weights.
fn write_model(directory: &Path, layers: usize) -> anyhow::Result<usize> {
    let config = json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": VOCAB,
        "hidden_size": HIDDEN,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_DIM,
        "intermediate_size": INTERMEDIATE,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": true,
    });
    std::fs::write(directory.join("config.json"), config.to_string())?;
    let (mut header, mut end) = (Map::new(), 0);
    let tensors = tensors(layers);
    for (name, shape) in &tensors {
        let start = end;
        end += 2 * shape.iter().product::<usize>();
        let entry = json!({ "dtype": "BF16", "shape": shape, "data_offsets": [start, end] });
        header.insert(name.clone(), entry);
    }
    let mut header = Value::Object(header).to_string();
    // Padded with spaces, so that tensors begin at a multiple of 8.
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    let file = File::create(directory.join("model.safetensors"))?;
    let mut file = BufWriter::with_capacity(1 << 20, file);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    for (name, shape) in &tensors {
        let count: usize = shape.iter().product();
        let mut draws = Draws::new(1, name);
        for _ in 0..count / 4 {
            let word = if shape.len() == 1 { ONES } else { draws.word() & FREE | SMALL };
            file.write_all(&word.to_le_bytes())?;
        }
    }
    file.flush()?;
    Ok(end / 2)
}

/// Four times 1.0 in bf16.
const ONES: u64 = 0x3f80_3f80_3f80_3f80;
/// Sign and digits of four bf16 numbers.
const FREE: u64 = 0x807f_807f_807f_807f;
/// Four times the exponent of numbers from 1/64 to 1/32.
const SMALL: u64 = 0x3c80_3c80_3c80_3c80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_has_the_size_it_is_named_for() {
        let tensors = tensors(28);
        let weights: usize = tensors.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        assert_eq!(weights, 1_543_656_960);
        // Four numbers are written at once.
        assert!(tensors.iter().all(|(_, shape)| shape.iter().product::<usize>() % 4 == 0));
    }
}
