//! `stoa plan` as scripts and people call it: the real binary in a fresh directory.

use std::path::Path;
use std::process::{Command, Output};

fn stoa(directory: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stoa"))
        .args(args)
        .current_dir(directory)
        .output()
        .expect("the binary runs")
}

fn last_line(output: &Output) -> serde_json::Value {
    let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    serde_json::from_str(text.lines().last().expect("a last line")).expect("JSON")
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

#[test]
fn a_plan_is_one_object_and_the_same_bytes_each_time() {
    let place = folder();
    let args =
        ["plan", "--model", "llama-405b", "--gpus", "16384:h100", "--tokens", "15.6T", "--json"];
    let first = stoa(place.path(), &args);
    assert!(first.status.success());
    assert_eq!(first.stdout, stoa(place.path(), &args).stdout);
    let plan = last_line(&first);
    let layout = &plan["best"]["layout"];
    let size = |name: &str| layout[name].as_u64().expect("a size");
    assert_eq!(size("tp") * size("pp") * size("cp") * size("dp"), 16_384);
    let days = plan["days"].as_array().expect("an interval");
    assert!(days[0].as_f64() < days[1].as_f64() && days[1].as_f64() < days[2].as_f64());
    // Llama 3 405B took 30.84 million device-hours for its 15.6T tokens (its model card); the interval
    // must hold that.
    let hours = &plan["bill"]["gpu_hours"];
    let low = hours["low"].as_f64().expect("a number");
    let high = hours["high"].as_f64().expect("a number");
    assert!(low < 30.84e6 && 30.84e6 < high, "{low} {high}");
}

#[test]
fn files_are_written_whole() {
    let place = folder();
    let config = r#"{"model_type":"qwen3_moe","hidden_size":2048,"intermediate_size":6144,
        "num_hidden_layers":48,"num_attention_heads":32,"num_key_value_heads":4,"head_dim":128,
        "vocab_size":151936,"num_experts":128,"num_experts_per_tok":8,"moe_intermediate_size":768}"#;
    std::fs::write(place.path().join("config.json"), config).expect("written");
    std::fs::write(
        place.path().join("run.toml"),
        "[plan]\nmodel = \"config.json\"\ngpus = \"64:gb200\"\ntokens = \"1T\"\n",
    )
    .expect("written");
    let report = stoa(
        place.path(),
        &[
            "plan",
            "--config",
            "run.toml",
            "--report",
            "r.html",
            "--launch",
            "jobset",
            "--launch-file",
            "job.yaml",
            "--quiet",
        ],
    );
    assert!(report.status.success(), "{}", String::from_utf8_lossy(&report.stderr));
    let html = std::fs::read_to_string(place.path().join("r.html")).expect("a report");
    assert!(html.matches("<svg").count() >= 6 && html.ends_with("</html>\n"));
    // Nothing is fetched: no address, no script.
    assert!(!html.contains("http") && !html.contains("<script"));
    let job = std::fs::read_to_string(place.path().join("job.yaml")).expect("a launch file");
    assert!(job.contains("kind: JobSet") && job.contains("parallelism: 16"), "{job}");
    assert!(job.contains("nvidia.com/gpu: 4"), "{job}");
}

#[test]
fn demands_choose_the_cluster_and_what_cannot_be_is_explained() {
    let place = folder();
    let deadline = stoa(
        place.path(),
        &[
            "plan",
            "--model",
            "70b",
            "--gpus",
            "h100",
            "--tokens",
            "1T",
            "--deadline",
            "30d",
            "--json",
        ],
    );
    let plan = last_line(&deadline);
    assert!(plan["gpus"].as_u64().expect("devices") >= 256);
    assert!(plan["days"][1].as_f64().expect("days") <= 30.0);
    let budget = stoa(place.path(), &["plan", "--budget", "100M$", "--gpus", "h100", "--json"]);
    assert!(budget.status.success(), "{}", String::from_utf8_lossy(&budget.stderr));
    for (args, word) in [
        (&["plan", "--model", "llama-8b", "--gpus", "8:h10"][..], "nearest: h100"),
        (&["plan", "--model", "llama-8b", "--gpus", "8:h100", "--tokens", "0"], "above 0"),
        (&["plan"], "llama-405b"),
        (&["plan", "--model", "nosuch", "--gpus", "8:h100"], "or give a config.json"),
        (&["plan", "--model", "none.json", "--gpus", "8:h100"], "config.json"),
        (&["plan", "validate", "--rows", "absent.csv"], "absent.csv"),
    ] {
        let output = stoa(place.path(), args);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && message.contains(word), "{args:?}: {message}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn validation_prints_its_contract() {
    let place = folder();
    // Invented rows in the published layout of columns.
    let header = "id,group,model,arch,layers,hidden,ffn,heads,kv_heads,vocab,seq,gpus,gpu_type,tp,\
                  pp,dp,micro_batch,global_batch_seqs,precision,recompute,tokens_per_s_per_gpu,\
                  memory_gib,notes";
    let rows = "a1,one,x,dense,32,4096,14336,32,8,32000,4096,64,H100-80GB-SXM,1,1,64,1,128,bf16,selective,11000,,\n\
                a2,one,x,dense,32,4096,14336,32,8,32000,4096,128,H100-80GB-SXM,1,1,128,1,256,bf16,selective,10800,,\n\
                b1,two,x,dense,80,8192,28672,64,8,32000,4096,256,A100-80GB-SXM,8,4,8,1,256,bf16,selective,400,,\n\
                b2,two,x,dense,80,8192,28672,64,8,32000,4096,8,A100-80GB-SXM,8,1,1,1,256,bf16,none,,,out of memory\n";
    std::fs::write(place.path().join("rows.csv"), format!("{header}\n{rows}")).expect("written");
    let args = ["plan", "validate", "--rows", "rows.csv", "--leave-one-source-out", "--json"];
    let report = last_line(&stoa(place.path(), &args));
    assert_eq!(report["rows"], 4);
    assert_eq!(report["all"]["count"], 3);
    for path in [
        "/by_class/dense/mfu_median_ape_pct",
        "/by_source/one/mfu_p90_ape_pct",
        "/by_gpu/h100/count",
        "/interval_coverage/all/share",
    ] {
        assert!(report.pointer(path).is_some_and(serde_json::Value::is_number), "{path}");
    }
    assert_eq!(report["memory"]["false_fits"], 0);
    assert_eq!(report["memory"]["judged"], 4);
}

#[test]
fn the_model_of_a_run_file_is_planned() {
    let place = folder();
    // 12 × 768 with a head of its own: 85M in the blocks and 2 × 39M in embedding and head.
    let run = "[model]\ndepth = 12\nvocab = 50304\n\
               [pretrain]\nrows = 8\ntime = 512\nlength = { steps = 100000 }\n\
               [plan]\ngpus = \"8:h100\"\n";
    std::fs::write(place.path().join("run.toml"), run).expect("written");
    let planned = stoa(place.path(), &["plan", "--config", "run.toml", "--json"]);
    let output = String::from_utf8_lossy(&planned.stderr).into_owned();
    assert!(planned.status.success(), "{output}");
    assert!(output.contains("FLOP for 4096 tokens"), "{output}");
    let plan = last_line(&planned);
    assert_eq!(plan["model"]["layers"], 12);
    assert_eq!(plan["tokens"].as_f64(), Some(4096.0 * 100_000.0));
    // A table for the planner does not keep the file from training: only its data are missing.
    let trained = stoa(place.path(), &["train", "pretrain", "--config", "run.toml"]);
    let output = String::from_utf8_lossy(&trained.stderr).into_owned();
    assert!(output.contains("data.tokenizer"), "{output}");
}
