//! `stoa chat --prompt`: the answer alone, the same one for the same seed.

use crate::program::{run, run_with};
use crate::runs::{copy, made};

const ASK: &str = "chat --run run --seed 11 --temperature 0.9 --max-tokens 24 --prompt hello";

#[test]
fn the_answer_is_all_that_is_printed() {
    let made = made();
    let said = run(&made.directory, ASK).succeeded();
    let described = run(&made.directory, &format!("{ASK} --json")).succeeded().json();
    // The only message that may accompany an answer is that it was cut.
    let cut = "the answer is cut at 24 tokens; --max-tokens N allows more\n";
    assert_eq!(said.err, if described["finish"] == "length" { cut } else { "" });
    assert_eq!(said.out, format!("{}\n", described["answer"].as_str().unwrap()));
    assert!(described["answer_tokens"].as_u64().unwrap() <= 24, "{described}");
}

#[test]
fn the_same_seed_gives_the_same_text_at_any_thread_count() {
    let made = made();
    let say = |more: &str| run(&made.directory, &format!("{ASK} {more}")).succeeded().out;
    let one = say("--threads 1");
    assert_eq!(say("--threads 2"), one);
    assert_eq!(say("--threads 1"), one);
    assert!(one.trim().len() > 3, "something is said: {one:?}");
    let others = ["12", "13", "14"]
        .map(|seed| run(&made.directory, &ASK.replace("11", seed)).succeeded().out);
    assert!(others.iter().any(|other| *other != one), "another seed, another draw");
}

#[test]
fn a_checkpoint_can_be_talked_to_by_its_path() {
    let made = made();
    let newest = std::fs::read_dir(made.directory.join("run/checkpoints")).unwrap();
    let newest = newest.map(|e| e.unwrap().path()).max().unwrap();
    let newest = newest.to_str().unwrap();
    let arguments = ASK.replace("--run run", &format!("--run {newest}"));
    assert_eq!(run(&made.directory, &arguments).succeeded().out, run(&made.directory, ASK).out);
}

#[test]
fn a_template_is_chosen_by_name_or_file_and_its_variables_by_option() {
    let made = made();
    let refusal = "{{ raise_exception('deep is ' ~ deep ~ ', note is ' ~ note) }}";
    let file = made.directory.join("refusal.jinja");
    std::fs::write(&file, refusal).unwrap();
    let ask = ["chat", "--run", "run", "--prompt", "hello", "--max-tokens", "4", "--chat-template"];
    let with = |more: &[&str]| run_with(&made.directory, &[&ask[..], more].concat());
    let variables = ["--template-var", "deep=[1, true]", "--template-var", "note=a=b"];
    with(&[&["refusal.jinja"][..], &variables].concat())
        .refused(&["deep is [1, True], note is a=b"]);
    with(&["chatml"]).succeeded();
    with(&["raw"]).succeeded();
    with(&["llama3"]).refused(&["<|eot_id|>", "--chat-template raw"]);
    with(&["nowhere"]).refused(&["nowhere", "default", "chatml"]);
    with(&["raw", "--template-var", "1=2"]).refused(&["--template-var", "variable"]);
}

#[test]
fn what_the_options_forbid_is_refused_by_name() {
    let made = made();
    let cases: &[(&[&str], &[&str])] = &[
        (&["--temperature=-1"], &["temperature", "-1"]),
        (&["--top-p", "1.5"], &["top_p"]),
        (&["--stop", ""], &["stop string"]),
        (&["--max-tokens", "0"], &["max_tokens"]),
        (&["--threads", "0"], &["--threads 0", "1 to"]),
        (&["--isa", "abacus"], &["--isa", "abacus"]),
        (&["--memory-limit", "1K"], &["memory"]),
    ];
    for (option, words) in cases {
        let mut arguments = vec!["chat", "--run", "run", "--prompt", "hello"];
        arguments.extend(*option);
        run_with(&made.directory, &arguments).refused(words);
    }
    run(&made.directory, "chat --run nowhere --prompt hello")
        .refused(&["nowhere", "stoa up --dir"]);
}

#[test]
fn a_damaged_checkpoint_is_named_and_an_older_one_answers() {
    let copy = copy();
    let mut checkpoints: Vec<_> = std::fs::read_dir(copy.path().join("run/checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    checkpoints.sort();
    assert!(checkpoints.len() >= 2, "one of each stage");
    let newest = checkpoints.pop().unwrap().join("model.safetensors");
    flip_a_byte(&newest);
    let said = run(copy.path(), ASK).succeeded();
    let older = checkpoints.last().unwrap().file_name().unwrap().to_str().unwrap();
    assert!(said.err.contains("model.safetensors"), "{}", said.err);
    assert!(said.err.contains(older), "{}", said.err);
    // Named itself, the damaged one is refused.
    let path = newest.parent().unwrap().to_str().unwrap();
    run(copy.path(), &ASK.replace("--run run", &format!("--run {path}")))
        .refused(&["model.safetensors", "SHA-256"]);
    // And when none is whole, each is named.
    flip_a_byte(&checkpoints.last().unwrap().join("config.json"));
    run(copy.path(), ASK).refused(&["model.safetensors", "config.json"]);
}

/// Damages a file as a bad disk does.
pub fn flip_a_byte(path: &std::path::Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}
