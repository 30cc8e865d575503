//! Models that do not fit: said in words, before memory is taken.

use std::fs;
use std::path::Path;

use crate::conversation::changed;
use crate::program::{Said, run, run_with, stoa};
use crate::runs::made;

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

/// A GGUF file of as many, made of the head of a small one: keys with other sizes, and tensors of 80
/// layers that lie in a hole.
#[test]
fn a_gguf_file_of_seventy_billion_weights_is_refused_before_memory_is_taken() {
    let here = tempfile::tempdir().unwrap();
    let small = here.path().join("small.gguf");
    let export = "models export --model run --to gguf --type f16 --out";
    run(&made().directory, &format!("{export} {}", small.display())).succeeded();
    let bytes = fs::read(&small).unwrap();
    let (head, size) = seventy_billion(&bytes);
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

/// The head of the large file and its size.
fn seventy_billion(small: &[u8]) -> (Vec<u8>, u64) {
    const HIDDEN: u64 = 8192;
    const KEYS: u64 = 1024;
    const INNER: u64 = 28672;
    const LAYERS: u64 = 80;
    let find = |needle: &[u8]| small.windows(needle.len()).position(|found| found == needle);
    let named = |name: &str| [&(name.len() as u64).to_le_bytes()[..], name.as_bytes()].concat();
    let first = ["token_embd.weight", "output_norm.weight", "blk.0.attn_norm.weight"];
    let infos = first.iter().filter_map(|name| find(&named(name))).min().unwrap();
    let mut head = small[..infos].to_vec();
    for (key, value) in [
        (".block_count", LAYERS),
        (".embedding_length", HIDDEN),
        (".feed_forward_length", INNER),
        (".attention.head_count", 64),
        (".attention.head_count_kv", 8),
        (".attention.key_length", 128),
        (".attention.value_length", 128),
    ] {
        // A number of 32 bits follows the key and its type.
        let key = [key.as_bytes(), &4_u32.to_le_bytes()].concat();
        let Some(at) = find(&key) else { continue };
        head[at + key.len()..][..4].copy_from_slice(&(value as u32).to_le_bytes());
    }
    let u64_at = |at: usize| u64::from_le_bytes(small[at..at + 8].try_into().unwrap());
    let (mut tensors, mut at) = (Vec::new(), infos);
    for _ in 0..u64_at(8) {
        let length = u64_at(at) as usize;
        let name = String::from_utf8(small[at + 8..at + 8 + length].to_vec()).unwrap();
        at += 8 + length;
        let dimensions = u32::from_le_bytes(small[at..at + 4].try_into().unwrap()) as usize;
        let outer = u64_at(at + 4 + 8 * (dimensions - 1));
        at += 4 + 8 * dimensions + 4 + 8;
        let part = name.trim_end_matches(".weight").rsplit('.').next().unwrap().to_owned();
        let shape = match part.as_str() {
            "token_embd" | "output" => vec![HIDDEN, outer],
            "attn_q" | "attn_output" => vec![HIDDEN, HIDDEN],
            "attn_k" | "attn_v" => vec![HIDDEN, KEYS],
            "ffn_gate" | "ffn_up" => vec![HIDDEN, INNER],
            "ffn_down" => vec![INNER, HIDDEN],
            "attn_q_norm" | "attn_k_norm" => vec![128],
            "attn_norm" | "ffn_norm" | "output_norm" => vec![HIDDEN],
            other => panic!("what size has {other}?"),
        };
        match name.strip_prefix("blk.0.") {
            Some(rest) => {
                tensors.extend((0..LAYERS).map(|i| (format!("blk.{i}.{rest}"), shape.clone())));
            }
            None if !name.starts_with("blk.") => tensors.push((name, shape)),
            None => {}
        }
    }
    head[8..16].copy_from_slice(&(tensors.len() as u64).to_le_bytes());
    let mut offset = 0_u64;
    for (name, shape) in tensors {
        head.extend(named(&name));
        head.extend((shape.len() as u32).to_le_bytes());
        shape.iter().for_each(|size| head.extend(size.to_le_bytes()));
        // F32 is type 0, F16 type 1.
        let matrix = shape.len() > 1;
        head.extend(u32::from(matrix).to_le_bytes());
        head.extend(offset.to_le_bytes());
        let bytes = shape.iter().product::<u64>() * if matrix { 2 } else { 4 };
        offset = (offset + bytes).next_multiple_of(32);
    }
    let size = head.len().next_multiple_of(32) as u64 + offset;
    (head, size)
}
