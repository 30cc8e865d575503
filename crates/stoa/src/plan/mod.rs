//! `stoa plan`: reads the question and the files it names, asks the planner, prints and writes the
//! answer. What is computed is in the planner.

mod args;
mod run_file;
mod text;
mod validate;
mod what_if;

use std::path::Path;

use anyhow::Context as _;
use stoa_planner::device_file;
use stoa_planner::hugging_face::{self, ReadModel};
use stoa_planner::launch;
use stoa_planner::plan::{Given, Knowledge, Plan, Question, answer, resolve};
use stoa_planner::report;

pub use args::PlanArgs;
use args::{LaunchKind, PlanCommand, ReportLanguage};

use crate::files;
use crate::terminal::Terminal;

/// Runs `stoa plan …`.
///
/// # Errors
/// When a file cannot be read or written, or the question has no answer: with the nearest that has.
pub fn run(args: &PlanArgs, terminal: &Terminal) -> anyhow::Result<()> {
    match &args.command {
        Some(PlanCommand::Validate { rows, leave_one_source_out }) => {
            return validate::run(rows, *leave_one_source_out, terminal);
        }
        Some(PlanCommand::Example) => {
            return terminal.result(&Question::default(), || EXAMPLE.trim_end().to_owned());
        }
        None => {}
    }
    anyhow::ensure!(
        !(args.output.what_if && terminal.json()),
        "--what-if talks and --json prints one object; give one of them"
    );
    let known = Knowledge::published();
    let (question, given) = read_question(args, terminal)?;
    let plan = make(&question, &given, &known)?;
    if let Some(path) = &args.output.report {
        let language = match args.output.report_language {
            ReportLanguage::En => report::Language::English,
            ReportLanguage::Fr => report::Language::French,
        };
        files::write(path, report::html(&plan, language).as_bytes())?;
        terminal.note(format!("report       {}", path.display()));
    }
    if let (Some(kind), Some(path)) = (args.output.launch, &args.output.launch_file) {
        let text = match kind {
            LaunchKind::Slurm => launch::slurm(&plan),
            LaunchKind::Jobset => launch::jobset(&plan),
        };
        files::write(path, text.as_bytes())?;
        terminal.note(format!("launch file  {}", path.display()));
    }
    terminal.result(&plan, || text::plan(&plan))?;
    if args.output.what_if {
        what_if::run(question, &given, plan, &known)?;
    }
    Ok(())
}

/// What is asked, and what the files it names hold: a device, and the model of a run file where no other
/// is asked for.
fn read_question(args: &PlanArgs, terminal: &Terminal) -> anyhow::Result<(Question, Given)> {
    let asked = args.question.question();
    let mut given = Given::default();
    if let Some(path) = &args.question.device_file {
        given.device =
            Some(device_file::read(&files::read_text(path)?, &path.display().to_string())?);
    }
    let Some(path) = &args.question.config else { return Ok((asked, given)) };
    let text = files::read_text(path)?;
    let base = Question::from_toml(&text, &path.display().to_string())?;
    let question = base.overridden_by(asked);
    if question.model.is_none()
        && let Some((shape, question)) = run_file::read(path, question.clone(), terminal)?
    {
        given.model = Some(shape);
        return Ok((question, given));
    }
    Ok((question, given))
}

/// Answers a question, reading the model's file where it names one.
fn make(question: &Question, given: &Given, known: &Knowledge) -> anyhow::Result<Plan> {
    let mut given = given.clone();
    if let Some(name) = question.model.as_deref() {
        let read = model_file(name)?;
        given.model_assumptions = read.as_ref().map_or_else(Vec::new, |r| r.assumptions.clone());
        given.model = read.map(|read| read.shape);
    }
    Ok(answer(&resolve(question, &given, known)?, known)?)
}

/// The model of a `config.json`, or in the directory that holds one; `None` for a name.
fn model_file(name: &str) -> anyhow::Result<Option<ReadModel>> {
    let path = Path::new(name);
    let file = if path.is_dir() { path.join("config.json") } else { path.to_owned() };
    if !file.is_file() {
        anyhow::ensure!(
            path.extension().is_none_or(|e| e != "json"),
            "no file {name}; give a Hugging Face config.json or the name of a published model"
        );
        return Ok(None);
    }
    let text = files::read_text(&file)?;
    let read = hugging_face::read(&text, &file.display().to_string())
        .with_context(|| format!("cannot plan with {}", file.display()))?;
    Ok(Some(read))
}

const EXAMPLE: &str = r#"# A plan file: `stoa plan --config FILE`. The keys may also stand in the
# [plan] table of a run file. Everything may be left out.
[plan]
model = "llama-405b"       # or a size such as "70b", or the path of a config.json
gpus = "16384:h100"
tokens = "15.6T"
seq = 8192
batch = "16M"              # tokens of a step
precision = "bf16"         # bf16, fp16, fp8, fp4
software = "megatron-core"
# layout = "tp=8,pp=16,dp=128,recompute=selective"  # what is not said is chosen
# budget = "300M$"
# deadline = "90d"
# over_training = 5        # times the compute-optimal tokens, where tokens are not given
# fabric = "meta-roce"     # network beyond the machine: fat-tree, alibaba-hpn, leaf-spine-4to1, flat
# rent = 2.5               # dollars for a device-hour
# spares = 64              # machines
# failures = 3.8           # interruptions for 1,000 machine-days
# storage = 2000           # GB/s
seed = 1
"#;
