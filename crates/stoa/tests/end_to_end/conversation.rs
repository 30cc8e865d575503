//! `stoa chat` without `--prompt`: commands, JSON, lines that are no text.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use crate::program::{Said, run, stoa};
use crate::runs::made;

/// Runs the program in a directory with this on its standard input.
fn talk(directory: &Path, arguments: &[&str], input: &[u8]) -> Said {
    let mut command = stoa(directory);
    command.args(arguments).env("LC_ALL", "C").stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap().into()
}

fn chat(directory: &Path, input: &str) -> Said {
    let run = made().directory.join("run");
    let model = run.to_str().unwrap();
    let arguments = ["chat", "--model", model, "--temperature", "0.9", "--max-tokens", "8"];
    talk(directory, &arguments, input.as_bytes())
}

#[test]
fn commands_do_not_go_to_the_model() {
    let here = tempfile::tempdir().unwrap();
    let said =
        chat(here.path(), "/help\n/frobnicate all\n/save\n/load nowhere.json\n/system\nQUIT\nx\n");
    let said = said.succeeded();
    assert_eq!(said.err, "");
    for word in
        ["/regenerate", "/save FILE", "no command /frobnicate", "/save needs", "nowhere.json"]
    {
        assert!(said.out.contains(word), "`{word}` is missing: {said:#?}");
    }
    assert_eq!(said.out.matches("this list").count(), 2, "{said:#?}");
    assert!(said.out.ends_with("(system message: none)\n"), "nothing after quit: {said:#?}");
}

#[test]
fn a_conversation_is_saved_loaded_and_answered_again() {
    let here = tempfile::tempdir().unwrap();
    let said = chat(here.path(), "/system Be brief.\n//who?\n/save talk.json\n/regenerate\n");
    assert!(said.succeeded().out.contains("(3 messages saved: talk.json)"));
    let text = fs::read_to_string(here.path().join("talk.json")).unwrap();
    let saved: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(saved["messages"][0]["content"], "Be brief.");
    assert_eq!(saved["messages"][1]["content"], "/who?");
    let said =
        chat(here.path(), "/load talk.json\n/regenerate\n/save other.json\n/new\n/save new.json\n");
    assert!(said.succeeded().out.contains("(3 messages of talk.json)"));
    let messages = |name: &str| {
        let text = fs::read_to_string(here.path().join(name)).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["messages"].clone()
    };
    // The first draw of a conversation with the same seed is the same answer.
    assert_eq!(messages("other.json"), saved["messages"]);
    assert_eq!(messages("new.json").as_array().unwrap().len(), 1);
    // What is no conversation is not written over.
    fs::write(here.path().join("notes.txt"), "mine").unwrap();
    let said = chat(here.path(), "hello\n/save notes.txt\n/save talk.json\n").succeeded();
    assert!(said.out.contains("notes.txt holds something else"), "{said:#?}");
    assert!(said.out.contains("in place of what was there"), "{said:#?}");
    assert_eq!(fs::read_to_string(here.path().join("notes.txt")).unwrap(), "mine");
}

#[test]
fn json_is_an_object_a_turn_and_a_line_that_is_no_text_ends_nothing() {
    let made = made();
    let arguments = ["chat", "--model", "run", "--max-tokens", "4", "--json"];
    let said = talk(&made.directory, &arguments, b"hello\n\xffx\n/model\nyou\n").succeeded();
    let lines: Vec<serde_json::Value> =
        said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4, "{said:#?}");
    assert!(lines[0]["answer"].is_string() && lines[3]["answer"].is_string(), "{said:#?}");
    let error = lines[1]["error"].as_str().unwrap();
    assert!(error.contains("line 2 is not UTF-8 text at byte 1"), "{error}");
    assert!(lines[2]["model"].as_str().unwrap().contains("checkpoints"), "{said:#?}");
    assert_eq!(talk(&made.directory, &arguments, b"").succeeded().json()["turns"], 0);
}

#[test]
fn another_model_takes_over_and_one_that_cannot_leaves_the_first() {
    let made = made();
    let newest = fs::read_dir(made.directory.join("run/checkpoints")).unwrap();
    let oldest = newest.map(|entry| entry.unwrap().path()).min().unwrap();
    let input = format!("/model nowhere\nhello\n/model {}\nhello\n", oldest.display());
    let arguments = ["chat", "--model", "run", "--max-tokens", "4"];
    let said = talk(&made.directory, &arguments, input.as_bytes()).succeeded();
    assert!(said.out.contains("there is no nowhere"), "{said:#?}");
    assert!(said.out.contains(&format!("(the model is {})", oldest.display())), "{said:#?}");
}

/// A copy of a checkpoint whose configuration is changed, without the manifest that would say so.
pub fn changed(directory: &Path, change: impl Fn(&mut serde_json::Value)) {
    let newest = fs::read_dir(made().directory.join("run/checkpoints")).unwrap();
    let newest = newest.map(|entry| entry.unwrap().path()).max().unwrap();
    fs::create_dir(directory.join("m")).unwrap();
    for name in ["model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        if newest.join(name).exists() {
            fs::copy(newest.join(name), directory.join("m").join(name)).unwrap();
        }
    }
    let text = fs::read_to_string(newest.join("config.json")).unwrap();
    let mut config = serde_json::from_str(&text).unwrap();
    change(&mut config);
    fs::write(directory.join("m/config.json"), config.to_string()).unwrap();
}

#[test]
fn the_models_own_sampling_is_used_shown_and_overridden() {
    let here = tempfile::tempdir().unwrap();
    changed(here.path(), |_| {});
    let text = r#"{"do_sample": true, "temperature": 0.25, "top_k": 9, "num_beams": 4}"#;
    fs::write(here.path().join("m/generation_config.json"), text).unwrap();
    let ask = "chat --model m --prompt hello --max-tokens 4 --top-k 3 --json";
    let said = run(here.path(), ask).succeeded();
    let sampling = &said.json()["sampling"];
    assert_eq!((&sampling["temperature"], &sampling["top_k"]), (&0.25.into(), &3.into()));
    assert!(said.err.contains("temperature 0.25") && !said.err.contains("top_k"), "{said:#?}");
    assert!(said.err.contains("num_beams = 4"), "{said:#?}");
}

#[test]
fn contradictions_of_a_models_files_are_said() {
    let here = tempfile::tempdir().unwrap();
    changed(here.path(), |_| {});
    fs::write(here.path().join("m/added_tokens.json"), r#"{"<new>": 7}"#).unwrap();
    let words = ["added_tokens.json", "tokenizer.json counts"];
    let said = run(here.path(), "chat --model m --prompt hello --max-tokens 4").succeeded();
    assert!(words.iter().all(|word| said.err.contains(word)), "{said:#?}");
    let shown = run(here.path(), "models show m --json").succeeded().json();
    let notes = shown["notes"].to_string();
    assert!(words.iter().all(|word| notes.contains(word)), "{shown}");
}

#[test]
fn logits_and_bits_per_byte_are_printed_for_scripts() {
    let made = made();
    let said = run(&made.directory, "eval logits --model run --ids 1,2,3 --json").succeeded();
    let logits = said.json()["logits"].clone();
    let longer = run(&made.directory, "eval logits --model run --ids 3,2,1 --json").succeeded();
    assert!(logits.as_array().unwrap().len() > 256, "{logits}");
    assert_ne!(logits, longer.json()["logits"]);
    run(&made.directory, "eval logits --model run --ids 1,99999").refused(&["token 99999"]);
    run(&made.directory, "eval logits --model run --ids 1,x").refused(&["x"]);
    let of = |file: &str| {
        let said = run(&made.directory, &format!("eval bpb --model run {file} --json"));
        said.succeeded().json()["bits_per_byte"].as_f64().unwrap()
    };
    let noise: String = (0..3000_u32).map(|i| char::from(33 + (i * i * 31 % 90) as u8)).collect();
    let noise_file = tempfile::NamedTempFile::new().unwrap();
    fs::write(noise_file.path(), noise).unwrap();
    let known = of("posts.jsonl");
    assert!(known > 0.0 && known < of(noise_file.path().to_str().unwrap()), "{known}");
    run(&made.directory, "eval bpb --model run nowhere.txt").refused(&["nowhere.txt"]);
}
