//! Options of `stoa plan`, each declared once. No behaviour.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use stoa_planner::plan::Question;

/// Options of `stoa plan`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct PlanArgs {
    /// What else to do.
    #[command(subcommand)]
    pub command: Option<PlanCommand>,
    /// What is asked.
    #[command(flatten)]
    pub question: QuestionArgs,
    /// What to write besides the answer.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Commands other than the plan itself.
#[derive(Debug, Subcommand)]
pub enum PlanCommand {
    /// Compare the cost model with published runs: error by source, device, size and class.
    Validate {
        /// Table of runs, with a first line that names the columns.
        #[arg(long, value_name = "FILE.csv")]
        rows: PathBuf,
        /// Predict each source by constants fitted without it.
        #[arg(long)]
        leave_one_source_out: bool,
    },
    /// Print a plan file with every key, to start from.
    Example,
}

/// The question. What is left out is chosen, and listed as an assumption.
#[derive(Args, Clone, Debug)]
pub struct QuestionArgs {
    /// A published model (llama-405b, deepseek-v3, …), a size (70b), or a Hugging Face config.json;
    /// without, the compute-optimal one for budget, deadline or devices.
    #[arg(long, value_name = "MODEL", help_heading = "Run")]
    pub model: Option<String>,
    /// Devices, as 16384:h100 (also 8xrtx-4090); without the number, as many as budget or deadline ask for.
    #[arg(long, value_name = "N:TYPE", help_heading = "Run")]
    pub gpus: Option<String>,
    /// A device by its figures (TOML or JSON), which `--gpus N` then means.
    #[arg(long, value_name = "FILE", help_heading = "Run")]
    pub device_file: Option<PathBuf>,
    /// Tokens to train on, as 15T or 300B [default: what budget or deadline afford, else
    /// compute-optimal].
    #[arg(long, value_name = "T", help_heading = "Run")]
    pub tokens: Option<String>,
    /// Tokens of a sequence [default: 8192].
    #[arg(long, value_name = "N", help_heading = "Run")]
    pub seq: Option<usize>,
    /// Tokens of a step, as 16M [default: by a published rule].
    #[arg(long, value_name = "T", help_heading = "Run")]
    pub batch: Option<String>,
    /// bf16, fp16, fp8, fp8-rowwise or fp4 [default: bf16, where the device has it].
    #[arg(long, value_name = "FORMAT", help_heading = "Run")]
    pub precision: Option<String>,
    /// Training program (megatron-core, torchtitan, …) [default: present practice].
    #[arg(long, value_name = "NAME", help_heading = "Run")]
    pub software: Option<String>,
    /// Parallel sizes to take instead of searching: tp=8,pp=16,dp=128.
    #[arg(long, value_name = "SIZES", help_heading = "Run")]
    pub layout: Option<String>,
    /// A plan file, or a run file with a `[plan]` table; options override it.
    #[arg(long, value_name = "FILE", help_heading = "Run")]
    pub config: Option<PathBuf>,
    /// Most that may be spent on rent, as 100M$.
    #[arg(long, value_name = "SUM", help_heading = "Constraints")]
    pub budget: Option<String>,
    /// Longest the run may take, as 60d, 12h or 8w.
    #[arg(long, value_name = "TIME", help_heading = "Constraints")]
    pub deadline: Option<String>,
    /// Times the compute-optimal number of tokens, where tokens are not given [default: 1].
    #[arg(long, value_name = "TIMES", help_heading = "Run")]
    pub over_training: Option<f64>,
    /// Network beyond the machine: fat-tree, meta-roce, alibaba-hpn, leaf-spine-4to1, flat
    /// [default: fat-tree].
    #[arg(long, value_name = "NAME", help_heading = "Circumstances")]
    pub fabric: Option<String>,
    /// Rent of a device-hour in dollars [default: a dated range].
    #[arg(long, value_name = "DOLLARS", help_heading = "Circumstances")]
    pub rent: Option<f64>,
    /// Spare machines in addition to those that train [default: enough for two deviations of repairs].
    #[arg(long, value_name = "N", help_heading = "Circumstances")]
    pub spares: Option<usize>,
    /// Interruptions for 1,000 machine-days [default: the published range for the size].
    #[arg(long, value_name = "RATE", help_heading = "Circumstances")]
    pub failures: Option<f64>,
    /// Shared storage for checkpoints, in GB/s [default: 1 for each machine].
    #[arg(long, value_name = "GB/S", help_heading = "Circumstances")]
    pub storage: Option<f64>,
    /// Seed of everything drawn. Same question and seed, same bytes.
    #[arg(long, value_name = "N", help_heading = "Circumstances")]
    pub seed: Option<u64>,
}

/// What to write besides the answer.
#[derive(Args, Clone, Debug)]
pub struct OutputArgs {
    /// Write a self-contained HTML report with charts.
    #[arg(long, value_name = "FILE.html", help_heading = "Output")]
    pub report: Option<PathBuf>,
    /// Language of the report.
    #[arg(long, value_enum, default_value = "en", help_heading = "Output")]
    pub report_language: ReportLanguage,
    /// Write a launch file for the layout.
    #[arg(
        long,
        value_enum,
        value_name = "KIND",
        requires = "launch_file",
        help_heading = "Output"
    )]
    pub launch: Option<LaunchKind>,
    /// Where to write it.
    #[arg(long, value_name = "FILE", requires = "launch", help_heading = "Output")]
    pub launch_file: Option<PathBuf>,
    /// After the plan, change one thing at a time and see what it does.
    #[arg(long, help_heading = "Output")]
    pub what_if: bool,
}

/// Language of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportLanguage {
    /// English.
    En,
    /// French.
    Fr,
}

/// Kinds of launch files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LaunchKind {
    /// A batch script.
    Slurm,
    /// A Kubernetes JobSet.
    Jobset,
}

impl QuestionArgs {
    /// As the library asks it.
    pub fn question(&self) -> Question {
        Question {
            model: self.model.clone(),
            gpus: self.gpus.clone(),
            tokens: self.tokens.clone(),
            seq: self.seq,
            batch: self.batch.clone(),
            precision: self.precision.clone(),
            software: self.software.clone(),
            layout: self.layout.clone(),
            budget: self.budget.clone(),
            deadline: self.deadline.clone(),
            over_training: self.over_training,
            fabric: self.fabric.clone(),
            rent: self.rent,
            spares: self.spares,
            failures: self.failures,
            storage: self.storage,
            seed: self.seed,
        }
    }
}
