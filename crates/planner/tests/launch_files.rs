//! Launch files against what Slurm and Kubernetes take: the JobSet is parsed as YAML and every field it
//! has is one of the API's (jobset.x-k8s.io/v1alpha2, batch/v1, v1), every field the API requires is
//! there; the batch script's options are options of sbatch, and bash reads it.

#![allow(clippy::unwrap_used)]

use std::process::{Command, Stdio};

use serde_yaml_ng::Value;
use stoa_planner::launch;
use stoa_planner::plan::{Given, Knowledge, Plan, Question, answer, resolve};

fn plan(model: &str, gpus: &str) -> Plan {
    let known = Knowledge::published();
    let question = Question {
        model: Some(model.to_owned()),
        gpus: Some(gpus.to_owned()),
        tokens: Some("100B".to_owned()),
        ..Question::default()
    };
    answer(&resolve(&question, &Given::default(), &known).unwrap(), &known).unwrap()
}

/// Fields an object of the API may have, and those it must have.
struct Schema {
    allowed: &'static [&'static str],
    required: &'static [&'static str],
}

fn check<'a>(value: &'a Value, place: &str, schema: &Schema) -> &'a Value {
    let map = value.as_mapping().unwrap_or_else(|| panic!("{place} is no object: {value:?}"));
    for key in map.keys() {
        let key = key.as_str().unwrap();
        assert!(schema.allowed.contains(&key), "{place} has no field {key}");
    }
    for key in schema.required {
        assert!(map.contains_key(*key), "{place} needs {key}");
    }
    value
}

/// A name as Kubernetes takes it for a part of a host name (RFC 1123).
fn assert_label(name: &str) {
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    assert!(name.len() <= 63 && name.chars().all(valid), "{name}");
    assert!(!name.starts_with('-') && !name.ends_with('-'), "{name}");
}

fn check_jobset(plan: &Plan) {
    let text = launch::jobset(plan);
    let root: Value = serde_yaml_ng::from_str(&text).unwrap();
    const KINDS: &[&str] = &["apiVersion", "kind", "metadata", "spec", "status"];
    check(&root, "JobSet", &Schema { allowed: KINDS, required: &["apiVersion", "kind", "spec"] });
    assert_eq!(root["apiVersion"], "jobset.x-k8s.io/v1alpha2");
    assert_eq!(root["kind"], "JobSet");
    let name = root["metadata"]["name"].as_str().unwrap();
    assert_label(name);
    let spec = check(
        &root["spec"],
        "spec",
        &Schema {
            allowed: &[
                "replicatedJobs",
                "network",
                "successPolicy",
                "failurePolicy",
                "startupPolicy",
                "suspend",
                "coordinator",
                "managedBy",
                "ttlSecondsAfterFinished",
                "volumeClaimPolicies",
            ],
            required: &["replicatedJobs"],
        },
    );
    check(
        &spec["failurePolicy"],
        "failurePolicy",
        &Schema { allowed: &["maxRestarts", "rules", "restartStrategy"], required: &[] },
    );
    assert!(spec["failurePolicy"]["maxRestarts"].as_u64().unwrap() >= 10);
    let job = check(
        &spec["replicatedJobs"][0],
        "replicatedJobs",
        &Schema {
            allowed: &["name", "groupName", "replicas", "template", "dependsOn"],
            required: &["name", "template"],
        },
    );
    let job_spec = check(
        &job["template"]["spec"],
        "Job spec",
        &Schema {
            allowed: &[
                "parallelism",
                "completions",
                "completionMode",
                "backoffLimit",
                "template",
                "suspend",
                "activeDeadlineSeconds",
                "ttlSecondsAfterFinished",
                "podFailurePolicy",
                "selector",
            ],
            required: &["template"],
        },
    );
    let nodes = plan.gpus.div_ceil(plan.node) as u64;
    assert_eq!(job_spec["parallelism"].as_u64(), Some(nodes));
    assert_eq!(job_spec["completions"].as_u64(), Some(nodes));
    assert_eq!(job_spec["completionMode"], "Indexed");
    // Pods are named after set, job and index; their names are host names.
    assert_label(&format!("{name}-{}-0-{nodes}-xxxxx", job["name"].as_str().unwrap()));
    let pod = check(
        &job_spec["template"]["spec"],
        "Pod spec",
        &Schema {
            allowed: &[
                "restartPolicy",
                "containers",
                "volumes",
                "nodeSelector",
                "tolerations",
                "affinity",
                "hostNetwork",
                "subdomain",
                "schedulerName",
                "priorityClassName",
            ],
            required: &["containers"],
        },
    );
    // A Job takes no other policy than these.
    assert!(["Never", "OnFailure"].contains(&pod["restartPolicy"].as_str().unwrap()));
    let container = check(
        &pod["containers"][0],
        "container",
        &Schema {
            allowed: &[
                "name",
                "image",
                "command",
                "args",
                "ports",
                "env",
                "resources",
                "volumeMounts",
            ],
            required: &["name", "image"],
        },
    );
    for variable in container["env"].as_sequence().unwrap() {
        const FIELDS: &[&str] = &["name", "value", "valueFrom"];
        check(variable, "env", &Schema { allowed: FIELDS, required: &["name", "value"] });
        assert!(variable["value"].is_string(), "values of variables are strings: {variable:?}");
    }
    let variable = |name: &str| {
        let all = container["env"].as_sequence().unwrap();
        let found = all.iter().find(|v| v["name"] == name).unwrap_or_else(|| panic!("{name}"));
        found["value"].as_str().unwrap().to_owned()
    };
    let size = |name: &str| variable(name).parse::<usize>().unwrap();
    let parallel =
        ["TENSOR_PARALLEL", "PIPELINE_PARALLEL", "CONTEXT_PARALLEL", "DATA_PARALLEL"].map(size);
    assert_eq!(parallel.iter().product::<usize>(), plan.gpus);
    assert_eq!(size("WORLD_SIZE"), plan.gpus);
    assert_eq!(variable("MASTER_ADDR"), format!("{name}-workers-0-0.{name}"));
    let limits = container["resources"]["limits"].as_mapping().unwrap();
    let per_pod: u64 = limits.values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(per_pod, plan.gpus.min(plan.node) as u64);
}

/// Long options of sbatch that a script may hold (man page, Slurm 23.11).
const SBATCH: &[&str] = &[
    "job-name",
    "nodes",
    "ntasks-per-node",
    "gpus-per-node",
    "exclusive",
    "requeue",
    "open-mode",
    "time",
    "output",
    "partition",
    "account",
    "error",
    "signal",
    "cpus-per-task",
    "mem",
];

fn check_slurm(plan: &Plan) {
    let text = launch::slurm(plan);
    assert!(text.starts_with("#!/bin/bash\n"), "sbatch takes no script without it");
    let mut commands = false;
    let mut seen = Vec::new();
    for line in text.lines().skip(1) {
        if let Some(option) = line.strip_prefix("#SBATCH --") {
            assert!(!commands, "sbatch reads no options after the first command: {line}");
            let (name, value) =
                option.split_once('=').map_or((option, None), |(n, v)| (n, Some(v)));
            assert!(SBATCH.contains(&name), "{line}");
            assert!(value.is_none_or(|v| !v.is_empty() && !v.contains(' ')), "{line}");
            seen.push(name);
        } else if !line.starts_with('#') && !line.is_empty() {
            commands = true;
        }
    }
    for needed in ["job-name", "nodes", "gpus-per-node", "ntasks-per-node", "time"] {
        assert!(seen.contains(&needed), "{needed}");
    }
    let nodes = plan.gpus.div_ceil(plan.node);
    assert!(text.contains(&format!("#SBATCH --nodes={nodes}\n")));
    // bash reads it, where there is one.
    let bash = Command::new("bash").args(["-n", "/dev/stdin"]).stdin(Stdio::piped()).spawn();
    let Ok(mut bash) = bash else {
        println!("skipped: no bash");
        return;
    };
    std::io::Write::write_all(&mut bash.stdin.take().unwrap(), text.as_bytes()).unwrap();
    assert!(bash.wait().unwrap().success(), "{text}");
}

#[test]
fn launch_files_are_what_slurm_and_kubernetes_take() {
    for (model, gpus) in [("llama-8b", "4:h100"), ("llama-70b", "512:gb200"), ("1b", "8:tpu-v5p")] {
        let plan = plan(model, gpus);
        check_jobset(&plan);
        check_slurm(&plan);
    }
}
