//! Launch files for a planned layout: a Slurm batch script and a Kubernetes JobSet. They start one
//! process for each machine's devices with the environment names of torchrun; what they start is
//! the reader's program, named by TRAIN_COMMAND.

use std::fmt::Write as _;

use crate::layout::{Recompute, Sharding};
use crate::plan::Plan;

/// Settings of the layout as environment variables.
fn environment(plan: &Plan) -> Vec<(&'static str, String)> {
    let layout = &plan.best.layout;
    let sharding = match layout.sharding {
        Sharding::None => "none",
        Sharding::Optimizer => "optimizer",
        Sharding::Gradients => "gradients",
        Sharding::Full => "full",
    };
    let recompute = match layout.recompute {
        Recompute::None => "none",
        Recompute::Selective => "selective",
        Recompute::Full => "full",
    };
    vec![
        ("TENSOR_PARALLEL", layout.tp.to_string()),
        ("PIPELINE_PARALLEL", layout.pp.to_string()),
        ("VIRTUAL_STAGES", layout.vpp.to_string()),
        ("DATA_PARALLEL", layout.dp.to_string()),
        ("CONTEXT_PARALLEL", layout.cp.to_string()),
        ("EXPERT_PARALLEL", layout.ep.to_string()),
        ("SHARDING", sharding.to_owned()),
        ("RECOMPUTE", recompute.to_owned()),
        ("MICRO_BATCH", layout.micro_batch.to_string()),
        ("GLOBAL_BATCH", plan.best.global_batch.to_string()),
        ("SEQUENCE_LENGTH", plan.seq.to_string()),
        ("TRAIN_STEPS", format!("{:.0}", plan.steps.ceil())),
        ("CHECKPOINT_EVERY_STEPS", checkpoint_steps(plan).to_string()),
        ("LEARNING_RATE", format!("{:.2e}", plan.forecast.learning_rate)),
    ]
}

fn checkpoint_steps(plan: &Plan) -> u64 {
    (plan.reliability.interval_seconds / plan.best.step_seconds.0).round().max(1.0) as u64
}

fn devices_per_node(plan: &Plan, node: usize) -> usize {
    plan.gpus.min(node)
}

/// A name that batch systems and Kubernetes accept.
fn job_name(plan: &Plan) -> String {
    let name: String = plan
        .model
        .name
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let name = name.trim_matches('-').chars().take(30).collect::<String>();
    format!("train-{}", name.trim_end_matches('-'))
}

/// A Slurm batch script.
pub fn slurm(plan: &Plan) -> String {
    let per_node = devices_per_node(plan, plan.node);
    let nodes = plan.gpus.div_ceil(plan.node);
    let hours = (plan.days[2] * 24.0).ceil();
    let mut text = format!(
        "#!/bin/bash\n\
         # {} on {} × {}: {}\n\
         # {} spare machines are planned: ask for them in the reservation, not in this job.\n\
         #SBATCH --job-name={}\n\
         #SBATCH --nodes={nodes}\n\
         #SBATCH --ntasks-per-node=1\n\
         #SBATCH --gpus-per-node={per_node}\n\
         #SBATCH --exclusive\n\
         #SBATCH --requeue\n\
         #SBATCH --open-mode=append\n\
         #SBATCH --time={hours}:00:00\n\
         #SBATCH --output=%x-%j.log\n\
         set -euo pipefail\n\
         : \"${{TRAIN_COMMAND:?set TRAIN_COMMAND to what trains, reading the variables below}}\"\n\n",
        plan.model.name,
        plan.gpus,
        plan.gpu,
        plan.best.layout,
        plan.reliability.spare_nodes,
        job_name(plan),
    );
    text += "MASTER_ADDR=$(scontrol show hostnames \"$SLURM_JOB_NODELIST\" | head -n 1)\n";
    text += "export MASTER_ADDR MASTER_PORT=29500\n";
    let _ =
        writeln!(text, "export NNODES={nodes} NPROC_PER_NODE={per_node} WORLD_SIZE={}", plan.gpus);
    for (name, value) in environment(plan) {
        let _ = writeln!(text, "export {name}={value}");
    }
    text += "\n# A machine that fails ends the step; the job is requeued and resumes from the last\n\
             # checkpoint.\n\
             srun --kill-on-bad-exit=1 bash -c 'export NODE_RANK=$SLURM_NODEID; exec $TRAIN_COMMAND'\n";
    text
}

/// A Kubernetes JobSet (jobset.x-k8s.io/v1alpha2): one job of as many pods as machines, recreated as
/// a whole when one fails.
pub fn jobset(plan: &Plan) -> String {
    let per_node = devices_per_node(plan, plan.node);
    let nodes = plan.gpus.div_ceil(plan.node);
    let name = job_name(plan);
    let restarts = (plan.reliability.interruptions[1] * 2.0).ceil().max(10.0);
    let mut text = format!(
        "# {} on {} × {}: {}\n\
         apiVersion: jobset.x-k8s.io/v1alpha2\n\
         kind: JobSet\n\
         metadata:\n\
         \x20 name: {name}\n\
         spec:\n\
         \x20 failurePolicy:\n\
         \x20   maxRestarts: {restarts}\n\
         \x20 replicatedJobs:\n\
         \x20   - name: workers\n\
         \x20     replicas: 1\n\
         \x20     template:\n\
         \x20       spec:\n\
         \x20         parallelism: {nodes}\n\
         \x20         completions: {nodes}\n\
         \x20         completionMode: Indexed\n\
         \x20         backoffLimit: 0\n\
         \x20         template:\n\
         \x20           spec:\n\
         \x20             restartPolicy: Never\n\
         \x20             containers:\n\
         \x20               - name: trainer\n\
         \x20                 image: TRAIN_IMAGE # replace with your image\n\
         \x20                 command: [\"bash\", \"-c\", \"export NODE_RANK=$JOB_COMPLETION_INDEX; exec $TRAIN_COMMAND\"]\n\
         \x20                 ports:\n\
         \x20                   - containerPort: 29500\n\
         \x20                 env:\n",
        plan.model.name, plan.gpus, plan.gpu, plan.best.layout,
    );
    let first_pod = format!("{name}-workers-0-0.{name}");
    let fixed = [
        ("TRAIN_COMMAND", "train # replace with your command".to_owned()),
        ("MASTER_ADDR", first_pod),
        ("MASTER_PORT", "29500".to_owned()),
        ("NNODES", nodes.to_string()),
        ("NPROC_PER_NODE", per_node.to_string()),
        ("WORLD_SIZE", plan.gpus.to_string()),
    ];
    for (name, value) in fixed.into_iter().chain(environment(plan)) {
        let (value, comment) =
            value.split_once(" # ").map_or((value.as_str(), ""), |(v, c)| (v, c));
        let comment = if comment.is_empty() { String::new() } else { format!(" # {comment}") };
        let _ = writeln!(text, "                    - name: {name}");
        let _ = writeln!(text, "                      value: \"{value}\"{comment}");
    }
    let resource = if plan.gpu.starts_with("tpu") {
        "google.com/tpu"
    } else if plan.gpu.starts_with("mi") {
        "amd.com/gpu"
    } else {
        "nvidia.com/gpu"
    };
    let _ = writeln!(text, "                  resources:");
    let _ = writeln!(text, "                    limits:");
    let _ = writeln!(text, "                      {resource}: {per_node}");
    text
}
