//! `stoa plan` as a user and a script meet it: the same bytes whatever the threads, files that appear
//! whole, changes asked at the terminal, tables of runs with broken lines.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use crate::program::{run, run_with, stoa};

const SMALL: &str = "plan --model llama-8b --gpus 64:h100 --tokens 1T";

#[test]
fn the_same_question_has_the_same_bytes_at_any_number_of_threads() {
    let directory = tempfile::tempdir().unwrap();
    let ask = |threads: &str| {
        let output = stoa(directory.path())
            .args(SMALL.split(' ').chain(["--json"]))
            .env("STOA_THREADS", threads)
            .env("RAYON_NUM_THREADS", threads)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let first = ask("1");
    assert_eq!(first, ask("2"));
    assert_eq!(first, ask("7"));
    let said =
        run_with(directory.path(), &format!("{SMALL} --json").split(' ').collect::<Vec<_>>());
    let plan = said.succeeded().json();
    let step = plan["best"]["step_seconds"].as_f64().unwrap();
    let lanes = plan["timeline"]["lanes"].as_array().unwrap();
    assert!(!lanes.is_empty());
    for lane in lanes {
        let spans = lane["spans"].as_array().unwrap();
        let sum: f64 = spans.iter().map(|span| span["seconds"].as_f64().unwrap()).sum();
        assert!((sum / step - 1.0).abs() < 1e-9, "{sum} {step}");
    }
}

#[test]
fn reports_speak_both_languages_and_fetch_nothing() {
    let directory = tempfile::tempdir().unwrap();
    for (language, words) in [("en", ["lang=\"en\"", "A step"]), ("fr", ["lang=\"fr\"", "Un pas"])]
    {
        let line = format!("{SMALL} --report plan.html --report-language {language}");
        run(directory.path(), &line).succeeded();
        let page = fs::read_to_string(directory.path().join("plan.html")).unwrap();
        for word in words {
            assert!(page.contains(word), "{word}");
        }
        for active in ["<script", "http:", "https:", "src=", "url("] {
            assert!(!page.contains(active), "{active}");
        }
    }
}

#[test]
fn what_if_answers_each_line_and_goes_on_after_nonsense() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = stoa(directory.path())
        .args(SMALL.split(' ').chain(["--what-if"]))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let asked =
        "gpus = 128:h100\nfaster please\ngpus = 64:h1000\nprecision = fp8\nfabric = meta-roce\n\n";
    child.stdin.take().unwrap().write_all(asked.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{out}");
    // Three changes that have an answer, two that are explained, nothing after the empty line.
    assert_eq!(out.matches(" → ").count(), 3 * 4, "{out}");
    assert!(out.contains("nearest: h100") && out.contains("write a key and a value"), "{out}");
    let halved = out.split("What if?").nth(1).unwrap();
    assert!(halved.lines().find(|l| l.contains("time")).unwrap().contains("(-"), "{halved}");
}

#[test]
fn launch_files_are_written_whole_and_bash_reads_them() {
    let directory = tempfile::tempdir().unwrap();
    run(directory.path(), &format!("{SMALL} --launch slurm --launch-file train.sh")).succeeded();
    run(directory.path(), &format!("{SMALL} --launch jobset --launch-file train.yaml")).succeeded();
    let script = fs::read_to_string(directory.path().join("train.sh")).unwrap();
    assert!(script.contains("#SBATCH --nodes=8\n"));
    let set = fs::read_to_string(directory.path().join("train.yaml")).unwrap();
    assert!(set.contains("kind: JobSet"));
    run(directory.path(), &format!("{SMALL} --launch slurm")).refused(&["--launch-file"]);
}

#[test]
fn tables_of_runs_with_broken_lines_are_read_to_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let rows = "id,group,model,gpus,gpu_type,global_batch_seqs,seq,mfu_pct\n\
                a,x,llama-8b,64,h100,128,8192,40\nb,x,llama-8b,64,h9000,128,8192,40\n\
                c,y,llama-8b,lots,h100,128,8192,40\nd,y,llama-70b,256,H100-SXM5-80GB,512,8192,38\n";
    fs::write(directory.path().join("rows.csv"), rows).unwrap();
    for how in ["", " --leave-one-source-out"] {
        let said = run(directory.path(), &format!("plan validate --rows rows.csv{how} --json"));
        let report = said.succeeded().json();
        assert_eq!(report["rows"], 4);
        assert_eq!(report["count"], 2);
        assert_eq!(report["refused"].as_array().unwrap().len(), 2);
        assert_eq!(report["refused"][0]["id"], "b");
        assert!(report["interval_coverage"]["dense"]["share"].is_number());
        assert!(report["by_class"]["dense"]["mfu_median_ape_pct"].is_number());
        assert!(report["memory"]["judged"].is_number());
    }
    fs::write(directory.path().join("none.csv"), "a,b\n1,2\n").unwrap();
    run(directory.path(), "plan validate --rows none.csv").refused(&["no column `model`"]);
}

#[test]
fn impossible_questions_name_the_nearest_possible() {
    let directory = tempfile::tempdir().unwrap();
    for (line, word) in [
        ("plan --model llama-70b --budget 50$", "a model of about"),
        ("plan --model llama-70b --gpus 256:h100 --tokens 0", "above 0"),
        ("plan --gpus 256:h10", "nearest: h100"),
        ("plan --model llama-405b --gpus 8:h100 --tokens 1T", "nearest possible"),
        ("plan --model 70b --gpus 64:h100 --tokens 15T --deadline 3d", "devices, or"),
        ("plan", "deadline or devices"),
        ("plan --model llama-8b --gpus 8:v100 --tokens 1B --precision bf16", "precision fp16"),
        ("plan --model llama-8b --gpus 8:h100 --tokens 1B --software mega", "nearest: mega"),
        ("plan --model llama-8b --gpus h100:8 --tokens 1B", "as 8:h100"),
        ("plan --model mistral-8b --gpus 8:h100 --tokens 1B", "nearest: mistral-7b"),
    ] {
        run(directory.path(), line).refused(&[word]);
    }
}

#[test]
fn every_line_of_the_example_can_be_asked() {
    let directory = tempfile::tempdir().unwrap();
    let example = run(directory.path(), "plan example").succeeded().out;
    let line = |key: &str| {
        let start = format!("# {key} = ");
        let found = example.lines().find(|line| line.starts_with(&start));
        found.unwrap_or_else(|| panic!("no {key} in {example}")).trim_start_matches("# ").to_owned()
    };
    for key in ["layout", "fabric", "rent", "spares", "failures", "storage", "budget"] {
        fs::write(directory.path().join("plan.toml"), format!("{example}\n{}\n", line(key)))
            .unwrap();
        run(directory.path(), "plan --config plan.toml --json").succeeded();
    }
}

#[test]
fn small_runs_are_shown_in_units_that_fit() {
    let directory = tempfile::tempdir().unwrap();
    let line = "plan --model llama-8b --gpus 8xh100 --tokens 10M --batch 65536";
    let shown = run(directory.path(), line).succeeded().out;
    for word in ["10M tokens", " min (", "Wh (", " kW"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    for word in ["0.000T", "0.0 days", "0 MWh", "$0 ("] {
        assert!(!shown.contains(word), "{word}: {shown}");
    }
}

#[test]
fn devices_and_configurations_are_read_from_files_and_what_was_assumed_is_listed() {
    let directory = tempfile::tempdir().unwrap();
    let card =
        "name = \"card\"\nbf16_tflops = 200\nmemory_gib = 96\nhbm_gb_s = 2000\nwatts = 400\n";
    fs::write(directory.path().join("card.toml"), card).unwrap();
    let config = r#"{"model_type":"qwen2","num_hidden_layers":8,"hidden_size":512,"num_attention_heads":8,
        "intermediate_size":1024,"vocab_size":32000,"num_key_value_heads":2,"extra":1}"#;
    fs::write(directory.path().join("config.json"), config).unwrap();
    let line = "plan --model config.json --device-file card.toml --gpus 8 --tokens 1B --json";
    let plan = run(directory.path(), line).succeeded().json();
    assert_eq!(plan["gpu"], "card");
    let listed = plan["assumptions"].to_string();
    for word in
        ["card: `node` not given", "`tie_word_embeddings` not given: false", "not read: `extra`"]
    {
        assert!(listed.contains(word), "{word}: {listed}");
    }
    let probability = plan["best"]["fits_probability"].as_f64().unwrap();
    assert!((0.95..=1.0).contains(&probability), "{probability}");
    let bert = r#"{"model_type":"bert","num_hidden_layers":12,"hidden_size":768}"#;
    fs::write(directory.path().join("bert.json"), bert).unwrap();
    run(directory.path(), "plan --model bert.json --gpus 8:h100 --tokens 1B").refused(&[
        "bert",
        "not understood",
        "encoder",
    ]);
    fs::write(directory.path().join("card.toml"), card.replace("200", "-1")).unwrap();
    run(directory.path(), line).refused(&["card.toml", "bf16_tflops"]);
}
