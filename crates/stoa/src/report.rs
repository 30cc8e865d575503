//! What `stoa up` adds to the report of a training run: the examination, samples, where the text
//! came from.

use std::path::Path;
use std::sync::Arc;

use stoa_assistant::{Settings, ignore_events};
use stoa_dialogue::{Conversation, Message};
use stoa_graph::Engine;
use stoa_report::{Content, Figure, Language, Report, Sample, Section, Table};
use stoa_runs::{Answer, Exam, RunFiles, RunInputs, batch_assistant};
use stoa_training::{CHAT, Checkpoints, Contents, Metric, read_metrics, report};

use crate::up::Trained;
use crate::{clock, files};

/// Longest sample answer, in tokens.
const SAMPLE_TOKENS: usize = 60;

/// Answers of the trained model to some prompts, drawn greedily.
///
/// # Errors
/// What the assistant says.
pub fn samples(
    inputs: &RunInputs,
    prompts: &[String],
    engine: &Arc<dyn Engine>,
) -> anyhow::Result<Vec<(String, String)>> {
    if prompts.is_empty() {
        return Ok(Vec::new());
    }
    let (found, _) = Checkpoints::of_run(inputs.directory()).newest(CHAT, Contents::Weights)?;
    let tokenizer = inputs.tokenizer()?;
    let config = &inputs.run.model;
    let (engine, template) = (Arc::clone(engine), inputs.template().clone());
    let mut assistant = batch_assistant(engine, config, found.weights, tokenizer, template)?;
    let settings = Settings { max_tokens: SAMPLE_TOKENS, ..Settings::default() };
    let mut answered = Vec::with_capacity(prompts.len());
    for prompt in prompts {
        let messages = [Message::user(prompt)];
        let conversation = Conversation::new(&messages, clock::now());
        // A post longer than the context makes no sample.
        if let Ok(completion) = assistant.chat(&conversation, &settings, &mut ignore_events) {
            answered.push((prompt.clone(), completion.text));
        }
    }
    Ok(answered)
}

/// Bits per byte of the first evaluation of a run: the model before training.
///
/// # Errors
/// When the metrics cannot be read.
pub fn first_bits_per_byte(directory: &Path) -> anyhow::Result<Option<f64>> {
    let metrics = read_metrics(directory)?;
    Ok(metrics.iter().find_map(|metric| match metric {
        Metric::Evaluation(evaluation) => evaluation.bits_per_byte,
        Metric::Step(_) => None,
    }))
}

/// Writes `report.html`.
///
/// # Errors
/// When it or the metrics cannot be read or written.
pub fn write(
    files: &RunFiles,
    inputs: &RunInputs,
    exam: Option<&Exam>,
    samples: &[(String, String)],
    trained: &Trained,
    described: &str,
) -> anyhow::Result<()> {
    let mut figures = Vec::new();
    if let Some(exam) = exam {
        let note = format!(
            "untrained {}; always the commonest value {:.1} %",
            exam.untrained_right.unwrap_or(0),
            100.0 * exam.majority_baseline
        );
        figures.push(Figure::new(
            "right answers",
            format!("{} of {}", exam.right, exam.questions),
            note,
        ));
    }
    if let Some(after) = trained.bits_per_byte {
        let before = first_bits_per_byte(&files.directory)?;
        let note = before.map_or(String::new(), |b| format!("{b:.2} before training"));
        figures.push(Figure::new("bits per byte, held out", format!("{after:.3}"), note));
    }
    let parameters = stoa_models::parameter_count(&inputs.run.model) as f64 / 1e6;
    figures.push(Figure::new("parameters", format!("{parameters:.2} M"), ""));
    let speed = format!("{:.0}", trained.tokens_per_second);
    figures.push(Figure::new("training tokens a second", speed, ""));
    let mut sections = Vec::new();
    sections.extend(report::curves(&read_metrics(&files.directory)?));
    if let Some(exam) = exam {
        sections.push(exam_section(exam));
    }
    if !samples.is_empty() {
        let sample = |(prompt, answer): &(String, String)| Sample {
            title: prompt.chars().take(60).collect(),
            turns: vec![("user".into(), prompt.clone()), ("model".into(), answer.clone())],
        };
        sections.push(Section {
            title: "Samples".into(),
            text: "Openings of training dialogues, answered without chance.".into(),
            content: Content::Samples(samples.iter().map(sample).collect()),
        });
    }
    sections.push(Section {
        title: "run.toml".into(),
        text: "Everything that determines the result.".into(),
        content: Content::Verbatim(files::read_text(&files.run())?),
    });
    let report = Report {
        language: Language::English,
        title: "Stoa run".into(),
        summary: format!("A language model trained on {described}."),
        figures,
        sections,
    };
    files::write(&files.report(), report.to_html().as_bytes())
}

fn exam_section(exam: &Exam) -> Section {
    let by_language: Vec<String> = exam
        .by_language()
        .into_iter()
        .map(|(language, right, of)| format!("{language}: {right} of {of}"))
        .collect();
    let row = |a: &Answer| {
        let mark = if a.right { "right" } else { "wrong" };
        [&a.question, &a.answer, &a.truth, mark].map(|s: &str| s.to_owned()).to_vec()
    };
    Section {
        title: "Examination".into(),
        text: format!(
            "Questions that do not stand in the training text, marked by exact truth. {}.",
            by_language.join("; ")
        ),
        content: Content::Table(Table {
            header: ["question", "answer", "truth", "mark"].map(str::to_owned).to_vec(),
            rows: exam.answers.iter().map(row).collect(),
        }),
    }
}
