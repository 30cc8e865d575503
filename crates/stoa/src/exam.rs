//! The examination: questions about the square that are not in the training text, put to a model
//! and marked by truth.

use std::ops::ControlFlow;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use stoa_assistant::{Assistant, Event, Request, Settings};
use stoa_corpus::Corpus;
use stoa_dialogue::{ChatTemplate, Conversation, Message};
use stoa_square::{Question, Square, SquareConfig, exam, majority_baseline, mark};

use crate::cli::MachineArgs;
use crate::files::{self, RunFiles};
use crate::terminal::Terminal;
use crate::{clock, engine, model};

/// Where a run's text came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum TextSource {
    /// The sample square of this seed.
    Square {
        /// Its seed.
        seed: u64,
    },
    /// Files of posts.
    Posts {
        /// Their paths, as given.
        files: Vec<String>,
    },
}

/// A marked examination.
#[derive(Clone, Debug, Serialize)]
pub struct Exam {
    /// Questions asked.
    pub questions: usize,
    /// Answers that name the truth and nothing else of its kind.
    pub right: usize,
    /// The same for the model before training, when it was asked.
    pub untrained_right: Option<usize>,
    /// Share that always naming the commonest value would get right.
    pub majority_baseline: f64,
    /// Every question with its answer.
    pub answers: Vec<Answer>,
}

/// One answered question.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    /// The question.
    pub question: String,
    /// Language code.
    pub language: String,
    /// What it asks for.
    pub kind: String,
    /// The truth.
    pub truth: String,
    /// What the model said.
    pub answer: String,
    /// Whether that is right.
    pub right: bool,
}

impl Exam {
    /// An examination from its answers.
    pub fn new(
        questions: &[Question],
        answers: Vec<Answer>,
        untrained_right: Option<usize>,
    ) -> Self {
        Exam {
            questions: questions.len(),
            right: answers.iter().filter(|a| a.right).count(),
            untrained_right,
            majority_baseline: majority_baseline(questions),
            answers,
        }
    }

    /// Right answers and questions of each language, in the order they first appear.
    pub fn by_language(&self) -> Vec<(String, usize, usize)> {
        let mut rows: Vec<(String, usize, usize)> = Vec::new();
        for answer in &self.answers {
            let at = rows.iter().position(|(l, _, _)| *l == answer.language).unwrap_or_else(|| {
                rows.push((answer.language.clone(), 0, 0));
                rows.len() - 1
            });
            rows[at].1 += usize::from(answer.right);
            rows[at].2 += 1;
        }
        rows
    }
}

/// Questions drawn by `seed`, none of which stands in the text the run was trained on.
///
/// # Errors
/// When the square cannot be made.
pub fn questions(square: &Square, corpus: &Corpus, seed: u64, count: usize) -> Vec<Question> {
    let text = corpus.training_text();
    exam(square, seed, count, |question| text.contains(question))
}

/// Puts the questions to an assistant and marks the answers.
///
/// # Errors
/// What the assistant says.
pub fn ask(
    assistant: &mut Assistant,
    questions: &[Question],
    what: &str,
    terminal: &Terminal,
) -> anyhow::Result<Vec<Answer>> {
    let settings = Settings { max_tokens: MAX_ANSWER, ..Settings::default() };
    let mut requests = Vec::with_capacity(questions.len());
    for question in questions {
        let messages = [Message::user(&question.text)];
        let conversation = Conversation::new(&messages, clock::now());
        let (prompt, _) = assistant.prompt(&conversation, MAX_ANSWER)?;
        requests.push(Request { prompt, settings: settings.clone() });
    }
    let mut bar = terminal.bar(what, questions.len() as u64, "questions");
    let mut begun = vec![false; questions.len()];
    let completions = assistant.generate_batch(&requests, &mut |at, event| {
        if matches!(event, Event::Token { .. }) && !begun[at] {
            begun[at] = true;
            bar.update(begun.iter().filter(|b| **b).count() as u64, "");
        }
        ControlFlow::Continue(())
    })?;
    let answers: Vec<Answer> = questions
        .iter()
        .zip(completions)
        .map(|(question, completion)| Answer {
            question: question.text.clone(),
            language: question.language.code().to_owned(),
            kind: question.kind.clone(),
            truth: question.answer.clone(),
            right: mark(question, &completion.text),
            answer: completion.text,
        })
        .collect();
    let right = answers.iter().filter(|a| a.right).count();
    bar.finish(&format!("{right} of {} right", answers.len()));
    Ok(answers)
}

/// Tokens of the longest answer the square gives, with room.
const MAX_ANSWER: usize = 48;

/// `stoa eval exam`.
///
/// # Errors
/// A run that is not of a square, or whose model cannot be loaded.
pub fn run(
    run: &Path,
    seed: u64,
    count: usize,
    machine: &MachineArgs,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    let files = RunFiles::new(run);
    let text = files::read_text(&files.source())
        .with_context(|| format!("{} is not a run of `stoa up`", run.display()))?;
    let source: TextSource = serde_json::from_str(&text)?;
    let TextSource::Square { seed: square_seed } = source else {
        anyhow::bail!("{} was trained on posts, about which no truth is known", run.display());
    };
    let square = Square::generate(square_seed, &SquareConfig::default())?;
    // The dialogues follow from the seed; the documents are those the run was trained on.
    let corpus =
        Corpus { documents: files::read_lines(&files.documents())?, dialogues: square.dialogues() };
    let questions = questions(&square, &corpus, seed, count);
    let directory = model::directory(run, terminal)?;
    let (config, weights) = stoa_models::load(&directory)?;
    let template = ChatTemplate::read(&directory)?;
    let tokenizer = stoa_tokens::Tokenizer::open(&files.tokenizer())?;
    let engine = engine::open(machine)?;
    let mut assistant = model::examinee(engine, &config, weights, tokenizer, template)?;
    let answers = ask(&mut assistant, &questions, "exam", terminal)?;
    let exam = Exam::new(&questions, answers, None);
    terminal.result(&exam, || text_of(&exam))
}

/// The examination for people: every answer, then the sums.
fn text_of(exam: &Exam) -> String {
    let mut lines: Vec<String> = exam
        .answers
        .iter()
        .map(|a| format!("{} {} — {}", if a.right { "✓" } else { "✗" }, a.question, a.answer))
        .collect();
    for (language, right, of) in exam.by_language() {
        lines.push(format!("{language}: {right} of {of}"));
    }
    lines.push(format!(
        "{} of {} right; always naming the commonest value would get {:.1} %",
        exam.right,
        exam.questions,
        100.0 * exam.majority_baseline
    ));
    lines.join("\n")
}
