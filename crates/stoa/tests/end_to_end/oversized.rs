//! Models that do not fit: said in words, before memory is taken.

use std::fs;
use std::path::Path;

use crate::conversation::changed;
use crate::program::{Said, run, run_with, stoa};

#[test]
fn long_contexts_are_shortened_to_what_memory_holds() {
    let here = tempfile::tempdir().unwrap();
    changed(here.path(), |config| config["max_position_embeddings"] = 10_000_000.into());
    let ask = "chat --model m --prompt hello --max-tokens 4 --memory-limit 200M --json";
    let said = run(here.path(), ask).succeeded();
    let context = said.json()["context"].as_u64().unwrap();
    assert!((512..1_000_000).contains(&context), "{context}");
    assert!(said.err.contains("of the 10000000 tokens"), "{said:#?}");
    let all = ["chat", "--model", "m", "--prompt", "hello", "--context", "10000000"];
    run_with(here.path(), &[&all[..], &["--memory-limit", "200M"]].concat()).refused(&[
        "for the cache of 10000000 tokens",
        "200.0 MiB may be taken",
        "--context",
    ]);
    run(here.path(), "chat --model m --prompt hello --context 10000001").refused(&["context is"]);
}

/// Runs the program where it can have one GiB of memory of its own (on Linux; mapped files do not count),
/// so that taking more before it refuses would end it.
fn run_within_a_gibibyte(directory: &Path, arguments: &str) -> Said {
    let program = stoa(directory);
    let limit = if cfg!(target_os = "linux") { "ulimit -d 1048576 && " } else { "" };
    let script = format!(r#"{limit}exec "$0" $ARGUMENTS"#);
    let mut command = std::process::Command::new("sh");
    command.arg("-c").arg(script).arg(program.get_program()).env("ARGUMENTS", arguments);
    command.current_dir(directory);
    command.output().unwrap().into()
}

/// Sizes of Llama 70B, with the vocabulary of the model at hand.
const LARGE: [(&str, usize); 6] = [
    ("hidden_size", 8192),
    ("num_hidden_layers", 80),
    ("num_attention_heads", 64),
    ("num_key_value_heads", 8),
    ("head_dim", 128),
    ("intermediate_size", 28672),
];

/// A configuration of 70 billion weights beside a safetensors file that claims them, without a byte of
/// data on disk.
#[test]
fn a_directory_of_seventy_billion_weights_is_refused_before_memory_is_taken() {
    let here = tempfile::tempdir().unwrap();
    changed(here.path(), |config| {
        for (key, value) in LARGE {
            config[key] = value.into();
        }
    });
    let weights = 68_000_000_000_u64;
    let header = format!(
        r#"{{"w":{{"dtype":"F16","shape":[{weights}],"data_offsets":[0,{}]}}}}"#,
        2 * weights
    );
    let path = here.path().join("m/model.safetensors");
    fs::write(&path, [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat())
        .unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(8 + header.len() as u64 + 2 * weights).unwrap();
    let ask = "chat --model m --prompt hello --memory-limit 8G";
    run_within_a_gibibyte(here.path(), ask).refused(&[
        "needs",
        "GiB of memory",
        "B weights",
        "8.0 GiB may be taken",
    ]);
}

/// The head of a GGUF file with as many: keys and tensors of 80 layers that lie in a hole. Rows of its
/// queries and keys are in another order, which costs a copy of them once they are read.
#[test]
fn a_gguf_file_of_seventy_billion_weights_is_refused_before_memory_is_taken() {
    let here = tempfile::tempdir().unwrap();
    let (head, size) = seventy_billion();
    let path = here.path().join("large.gguf");
    fs::write(&path, head).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_len(size).unwrap();
    let ask = "chat --model large.gguf --prompt hello --memory-limit 8G";
    run_within_a_gibibyte(here.path(), ask).refused(&[
        "large.gguf",
        "GiB of memory",
        "B weights",
        "8.0 GiB may be taken",
    ]);
}

/// The head of the file and its size, by the format's description ("GGUF", ggml): magic, version,
/// counts, keys with types, tensors with dimensions (innermost first), types and offsets.
fn seventy_billion() -> (Vec<u8>, u64) {
    const LAYERS: u64 = 80;
    const F32: u32 = 0;
    const F16: u32 = 1;
    let named = |name: &str| [&(name.len() as u64).to_le_bytes()[..], name.as_bytes()].concat();
    let sizes = [
        ("block_count", LAYERS as u32),
        ("context_length", 8192),
        ("embedding_length", 8192),
        ("feed_forward_length", 28672),
        ("attention.head_count", 64),
        ("attention.head_count_kv", 8),
    ];
    // Types of keys: 4 is a number of 32 bits, 6 an f32, 8 a text.
    let mut keys = vec![[named("general.architecture"), vec![8, 0, 0, 0], named("llama")].concat()];
    keys.extend(sizes.map(|(key, value)| {
        let key = named(&format!("llama.{key}"));
        [&key[..], &4_u32.to_le_bytes(), &value.to_le_bytes()].concat()
    }));
    let eps = named("llama.attention.layer_norm_rms_epsilon");
    keys.push([&eps[..], &6_u32.to_le_bytes(), &1e-5_f32.to_le_bytes()].concat());

    let of_a_layer: [(&str, &'static [u64]); 9] = [
        ("attn_norm", &[8192]),
        ("attn_q", &[8192, 8192]),
        ("attn_k", &[8192, 1024]),
        ("attn_v", &[8192, 1024]),
        ("attn_output", &[8192, 8192]),
        ("ffn_norm", &[8192]),
        ("ffn_gate", &[8192, 28672]),
        ("ffn_up", &[8192, 28672]),
        ("ffn_down", &[28672, 8192]),
    ];
    let outside: [(&str, &'static [u64]); 3] =
        [("token_embd", &[8192, 32000]), ("output_norm", &[8192]), ("output", &[8192, 32000])];
    let mut tensors: Vec<(String, &'static [u64])> =
        outside.map(|(name, shape)| (format!("{name}.weight"), shape)).to_vec();
    for layer in 0..LAYERS {
        let within =
            |(name, shape): (&str, &'static [u64])| (format!("blk.{layer}.{name}.weight"), shape);
        tensors.extend(of_a_layer.map(within));
    }

    let mut head = [&b"GGUF"[..], &3_u32.to_le_bytes()].concat();
    head.extend((tensors.len() as u64).to_le_bytes());
    head.extend((keys.len() as u64).to_le_bytes());
    head.extend(keys.concat());
    let mut offset = 0_u64;
    for (name, shape) in tensors {
        head.extend(named(&name));
        head.extend((shape.len() as u32).to_le_bytes());
        shape.iter().for_each(|size| head.extend(size.to_le_bytes()));
        let (ty, bytes) = if shape.len() > 1 { (F16, 2) } else { (F32, 4) };
        head.extend(ty.to_le_bytes());
        head.extend(offset.to_le_bytes());
        offset = (offset + bytes * shape.iter().product::<u64>()).next_multiple_of(32);
    }
    let size = head.len().next_multiple_of(32) as u64 + offset;
    (head, size)
}
