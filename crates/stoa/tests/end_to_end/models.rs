//! `stoa models`: kept by name, shown, handed on, merged with an adapter.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stoa_graph::Tensor;
use stoa_models::Weights;

use crate::program::{Said, stoa};
use crate::runs::made;

/// Runs the program with a directory of models in this one.
fn models(directory: &Path, line: &str) -> Said {
    let mut command = stoa(directory);
    command.env("STOA_MODELS", directory.join("kept")).args(line.split_whitespace());
    command.output().unwrap().into()
}

fn run_path() -> String {
    made().directory.join("run").display().to_string()
}

fn newest_checkpoint() -> PathBuf {
    let all = fs::read_dir(made().directory.join("run/checkpoints")).unwrap();
    all.map(|entry| entry.unwrap().path()).max().unwrap()
}

#[test]
fn a_kept_model_answers_by_its_name_as_by_its_path() {
    let here = tempfile::tempdir().unwrap();
    let import = format!("models import {} --name ann/lamps --json", run_path());
    let imported = models(here.path(), &import).succeeded();
    assert!(imported.err.contains("left out     optimizer.safetensors"), "{imported:#?}");
    assert!(models(here.path(), &import).succeeded().json()["was_there"].as_bool().unwrap());
    let listed = models(here.path(), "models list --json").succeeded().json();
    assert_eq!(listed["models"][0]["name"], "ann/lamps");
    let shown = models(here.path(), "models show ann/lamps --json").succeeded().json();
    assert_eq!((&shown["form"], &shown["trained_here"]), (&"directory".into(), &true.into()));
    assert!(shown["family"].as_str().unwrap().contains("Qwen3"), "{shown}");
    assert_eq!(shown["content"], listed["models"][0]["content"]);
    let ask = |model: &str| {
        let line = format!("chat --model {model} --prompt hello --temperature 0 --max-tokens 9");
        models(here.path(), &line).succeeded().out
    };
    assert_eq!(ask("ann/lamps"), ask(&run_path()));
    models(here.path(), "chat --model ann/lamp --prompt hello").refused(&["ann/lamps", "get hf:"]);
    models(here.path(), "models import nowhere").refused(&["nowhere"]);
    models(here.path(), &format!("models import {} --name ../x", run_path())).refused(&["../x"]);
    assert_eq!(models(here.path(), "models list").succeeded().out.lines().count(), 1);
}

#[test]
fn an_export_holds_what_it_should_and_asks_for_the_licence() {
    let here = tempfile::tempdir().unwrap();
    let export = format!("models export --model {} --out half --type bf16 --json", run_path());
    let written = models(here.path(), &export).succeeded().json();
    assert_eq!(written["type"], "bf16");
    assert!(written["posts_by_basis"][""].as_u64().unwrap() > 0, "{written}");
    let config: Value =
        serde_json::from_slice(&fs::read(here.path().join("half/config.json")).unwrap()).unwrap();
    assert_eq!(config["torch_dtype"], "bfloat16");
    let card = fs::read_to_string(here.path().join("half/README.md")).unwrap();
    for word in ["base_model", "SHA-256", "bits per byte", "not stated |", "posts.jsonl"] {
        assert_eq!(card.contains(word), word != "base_model", "{word}: {card}");
    }
    models(here.path(), &export).refused(&["half exists already"]);
    assert_eq!(written["compared"]["conversation"], true, "{written}");
    assert!(written["compared"]["logits_apart"].as_f64().unwrap() < 0.1, "{written}");
    // It carries where it came from, and hands it on.
    let again = models(here.path(), "models export --model half --out again --json").succeeded();
    let again = again.json();
    assert_eq!(again["posts_by_basis"], written["posts_by_basis"], "{again}");
    assert_eq!(again["compared"]["logits_apart"], 0.0, "{again}");
    let carried = |name: &str| {
        let path = here.path().join(name).join("stoa-provenance.json");
        let file: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        file["provenance"].clone()
    };
    assert_eq!(carried("again"), carried("half"));
    assert_eq!(carried("half")["run"], Value::Null);
    // Of other weights it says nothing.
    let weights = here.path().join("again/model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&weights, bytes).unwrap();
    let said = models(here.path(), "models export --model again --out b");
    assert!(said.err.contains("stoa-provenance.json is left aside"), "{said:#?}");
    said.refused(&["licence"]);
    assert!(!here.path().join("b").exists());
    fs::write(here.path().join("again/LICENSE"), "terms").unwrap();
    models(here.path(), "models export --model again --out b").succeeded();
    assert_eq!(fs::read_to_string(here.path().join("b/LICENSE")).unwrap(), "terms");
    models(here.path(), &format!("models export --model {} --out c --type q8_0", run_path()))
        .refused(&["q8_0", "bf16"]);
}

#[test]
fn a_gguf_file_does_what_its_source_does_and_carries_what_it_knew() {
    let here = tempfile::tempdir().unwrap();
    let export = |ty: &str| {
        let run = run_path();
        let line =
            format!("models export --model {run} --to gguf --type {ty} --out {ty}.gguf --json");
        models(here.path(), &line).succeeded()
    };
    let exact = export("f32").json();
    assert_eq!((&exact["architecture"], &exact["notes"]), (&"qwen3".into(), &json!([])), "{exact}");
    assert_eq!(exact["compared"]["logits_apart"], 0.0, "{exact}");
    assert_eq!(exact["compared"]["texts_apart"], 0, "{exact}");
    assert_eq!(exact["compared"]["conversation"], true, "{exact}");
    for ty in ["f16", "bf16", "q8_0", "q4_0", "q4_k_m"] {
        let written = export(ty).json();
        let apart = written["compared"]["logits_apart"].as_f64().unwrap();
        assert!(apart > 0.0 && apart < 0.7, "{ty}: {written}");
        let errors = written["written"].as_array().unwrap().iter();
        assert!(errors.clone().any(|tensor| tensor["relative_error"].as_f64() > Some(0.0)));
    }
    let ask = |model: &str| {
        let line = format!("chat --model {model} --prompt hello --temperature 0 --max-tokens 9");
        models(here.path(), &line).succeeded().out
    };
    assert_eq!(ask("f32.gguf"), ask(&run_path()));
    let shown = models(here.path(), "models show q4_k_m.gguf --json").succeeded().json();
    assert_eq!(shown["form"], "gguf", "{shown}");
    // From a file to a file and to a directory: the counts of posts are still known.
    let line = "models export --model f32.gguf --to gguf --type q8_0 --out again.gguf --json";
    let again = models(here.path(), line).succeeded().json();
    assert_eq!(again["posts_by_basis"], exact["posts_by_basis"], "{again}");
    let back = models(here.path(), "models export --model f32.gguf --out back --json").succeeded();
    let back = back.json();
    assert_eq!(back["posts_by_basis"], exact["posts_by_basis"], "{back}");
    assert_eq!(back["compared"]["logits_apart"], 0.0, "{back}");
    assert_eq!(ask("back"), ask(&run_path()));
    let line = |ty: &str, out: &str| {
        format!("models export --model f32.gguf --to gguf --type {ty} --out {out}")
    };
    models(here.path(), &line("q8_0", "again.gguf")).refused(&["again.gguf exists already"]);
    models(here.path(), &line("q6_k", "x.gguf")).refused(&["q6_k", "q4_k_m"]);
    models(here.path(), "models export --model f32.gguf --type q4_k_m --out x").refused(&["bf16"]);
    assert!(!here.path().join("x.gguf").exists());
    // A licence goes from a card into the keys of a file, and from there into the record and the card.
    let head = "license: other\nlicense_name: lamps\nlicense_link: https://terms.example/lamps";
    fs::write(here.path().join("back/README.md"), format!("---\n{head}\n---\n")).unwrap();
    let line = "models export --model back --to gguf --type f32 --out stated.gguf";
    models(here.path(), line).succeeded();
    let imported = models(here.path(), "models import stated.gguf --name stated").succeeded();
    assert!(imported.out.contains("licence lamps"), "{imported:#?}");
    let licence = json!({"name": "lamps", "link": "https://terms.example/lamps"});
    let listed = models(here.path(), "models list --json").succeeded().json();
    let shown = models(here.path(), "models show stated --json").succeeded().json();
    for key in ["name", "link"] {
        assert_eq!(listed["models"][0]["licence"][key], licence[key], "{listed}");
        assert_eq!(shown["licence"][key], licence[key], "{shown}");
    }
    let card = models(here.path(), "models card stated").succeeded().out;
    assert!(card.contains("license: lamps\nlicense_link: https://terms.example/lamps"), "{card}");
}

#[test]
fn a_model_without_a_template_is_written_without_one() {
    let here = tempfile::tempdir().unwrap();
    let plain = here.path().join("plain");
    fs::create_dir(&plain).unwrap();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(newest_checkpoint().join(name), plain.join(name)).unwrap();
    }
    fs::write(plain.join("generation_config.json"), r#"{"eos_token_id": [3, 7]}"#).unwrap();
    let more = "--accept-unknown-licence";
    let there = format!("models export --model plain --to gguf --type f32 --out plain.gguf {more}");
    models(here.path(), &there).succeeded();
    models(here.path(), &format!("models export --model plain.gguf --out back {more}")).succeeded();
    let read = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(here.path().join("back").join(name)).unwrap()).unwrap()
    };
    assert!(read("tokenizer_config.json").get("chat_template").is_none());
    let ends = read("generation_config.json")["eos_token_id"].clone();
    for id in [3, 7] {
        assert!(ends.as_array().unwrap().contains(&id.into()), "{ends}");
    }
    models(here.path(), "chat --model back --prompt hello").refused(&["chat template"]);
}

#[test]
fn an_adapter_is_merged_into_the_weights_of_its_base() {
    let here = tempfile::tempdir().unwrap();
    let base = newest_checkpoint();
    let before = stoa_models::load(&base).unwrap().weights;
    let name = "model.layers.0.self_attn.q_proj";
    let [rows, columns] = before[&format!("{name}.weight")].shape().to_vec()[..] else {
        panic!("a matrix")
    };
    let adapter = here.path().join("adapter");
    fs::create_dir(&adapter).unwrap();
    let config =
        r#"{"peft_type": "LORA", "r": 1, "lora_alpha": 2, "base_model_name_or_path": "x/y"}"#;
    fs::write(adapter.join("adapter_config.json"), config).unwrap();
    let half = |half: &str| format!("base_model.model.{name}.lora_{half}.weight");
    let factors = Weights::from([
        (half("A"), Tensor::f32([1, columns], vec![0.5; columns]).unwrap()),
        (half("B"), Tensor::f32([rows, 1], vec![0.25; rows]).unwrap()),
    ]);
    stoa_models::save(&adapter.join("adapter_model.safetensors"), &factors).unwrap();
    let line = format!("models merge --base {} --adapter adapter --out merged", base.display());
    let said = models(here.path(), &format!("{line} --json")).succeeded();
    assert_eq!(said.json()["added"][0], format!("{name}.weight"));
    assert!(said.err.contains("x/y"), "{said:#?}");
    let after = stoa_models::load(&here.path().join("merged")).unwrap().weights;
    for (tensor, value) in &after {
        let added = if tensor.starts_with(name) { 0.25 } else { 0.0 };
        let (old, new) = (before[tensor].to_f64(), value.to_f64());
        // Sums are rounded to f32 once.
        assert!(old.iter().zip(&new).all(|(o, n)| (o + added - n).abs() < 1e-6), "{tensor}");
    }
    models(here.path(), "chat --model merged --prompt hello --max-tokens 3").succeeded();
    models(here.path(), &line).refused(&["merged exists already"]);
    fs::write(adapter.join("adapter_config.json"), r#"{"r": 1, "use_dora": true}"#).unwrap();
    let other = line.replace("--out merged", "--out other");
    models(here.path(), &other).refused(&["use_dora", "adapter_config.json"]);
    models(here.path(), "chat --model adapter --prompt hello").refused(&["LoRA", "models merge"]);
}

#[test]
fn smaller_weights_are_measured_before_they_are_chosen() {
    let here = tempfile::tempdir().unwrap();
    fs::copy(made().directory.join("posts.jsonl"), here.path().join("text")).unwrap();
    let line = format!("models quantize --model {} --to q8_0 --text text --json", run_path());
    let report = models(here.path(), &line).succeeded().json();
    let number = |key: &str| report[key].as_f64().unwrap();
    assert!(number("bytes_after") < 0.3 * number("bytes_before"), "{report}");
    // Eight bits cost next to nothing.
    let (before, after) = (number("bits_per_byte_before"), number("bits_per_byte_after"));
    assert!((after / before - 1.0).abs() < 0.02, "{before} {after}");
    let error = report["tensors"][0]["relative_error"].as_f64().unwrap();
    assert!(error > 0.0 && error < 0.02, "{report}");
    assert!(report["file"].is_null(), "{report}");
    // The mixture measured without a file, and written into one, costs the same.
    let line = format!("models quantize --model {} --to q4_k_m --text text --json", run_path());
    let measured = models(here.path(), &line).succeeded().json();
    let written = models(here.path(), &format!("{line} --out small.gguf")).succeeded().json();
    for key in ["tensors", "bytes_after", "bits_per_byte_after"] {
        assert_eq!(written[key], measured[key], "{key}");
    }
    assert_eq!(written["file"]["compared"]["texts_apart"], 0, "{written}");
    models(here.path(), "chat --model small.gguf --prompt hello --max-tokens 3").succeeded();
}

#[test]
fn a_build_without_addresses_says_how_to_get_one() {
    let here = tempfile::tempdir().unwrap();
    models(here.path(), "models get hf:ann").refused(&["hf:ORG/NAME"]);
    if !cfg!(feature = "remote") {
        models(here.path(), "models get hf:ann/small").refused(&["--features remote"]);
    }
}
