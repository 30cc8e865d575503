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
