//! The examination: questions about the square that are not in the training text, put to a model
//! and marked by truth.

use std::ops::ControlFlow;
use std::sync::Arc;

use serde::Serialize;
use stoa_assistant::{Assistant, Event, Request, Settings};
use stoa_corpus::Corpus;
use stoa_dialogue::{Conversation, LocalTime, Message};
use stoa_graph::Engine;
use stoa_models::{Weights, initialize};
use stoa_square::{Question, Square, exam, majority_baseline, mark};
use stoa_training::{CHAT, Checkpoints, Contents};

use crate::{Progress, RunFiles, RunInputs, RunsError, batch_assistant};

/// Tokens of the longest answer the square gives, with room.
const MAX_ANSWER: usize = 48;

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
    /// What the model answered.
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
            right: right(&answers),
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

fn right(answers: &[Answer]) -> usize {
    answers.iter().filter(|answer| answer.right).count()
}

/// Questions drawn by `seed`, none of which stands in the text the run was trained on.
pub fn held_out_questions(
    square: &Square,
    corpus: &Corpus,
    seed: u64,
    count: usize,
) -> Vec<Question> {
    let text = corpus.training_text();
    exam(square, seed, count, |question| text.contains(question))
}

/// Puts the questions to an assistant, to which it is `now`, and marks the answers.
///
/// # Errors
/// What the assistant refuses.
pub fn ask(
    assistant: &mut Assistant,
    questions: &[Question],
    what: &str,
    now: LocalTime,
    progress: &dyn Progress,
) -> Result<Vec<Answer>, RunsError> {
    let settings = Settings { max_tokens: MAX_ANSWER, ..Settings::default() };
    let mut requests = Vec::with_capacity(questions.len());
    for question in questions {
        let messages = [Message::user(&question.text)];
        let (prompt, _) = assistant.prompt(&Conversation::new(&messages, now), MAX_ANSWER)?;
        requests.push(Request { prompt, settings: settings.clone() });
    }
    let mut work = progress.begin(what, questions.len() as u64, "questions");
    let mut begun = vec![false; questions.len()];
    let completions = assistant.generate_batch(&requests, &mut |at, event| {
        if matches!(event, Event::Token { .. }) && !begun[at] {
            begun[at] = true;
            work.update(begun.iter().filter(|b| **b).count() as u64, "");
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
    work.finish(&format!("{} of {} right", right(&answers), answers.len()));
    Ok(answers)
}

/// Examines the trained model of a run and the same model untrained, and writes the answers into the
/// run's directory.
///
/// # Errors
/// No trained model, weights that do not fit, a file that cannot be written.
pub fn examine(
    inputs: &RunInputs,
    questions: &[Question],
    engine: &Arc<dyn Engine>,
    now: LocalTime,
    progress: &dyn Progress,
) -> Result<Exam, RunsError> {
    let config = &inputs.run.model;
    let ask = |weights: Weights, what: &str| {
        let (tokenizer, template) = (inputs.tokenizer()?, inputs.template().clone());
        let engine = Arc::clone(engine);
        let mut assistant = batch_assistant(engine, config, weights, tokenizer, template)?;
        ask(&mut assistant, questions, what, now, progress)
    };
    let untrained = ask(initialize(config, inputs.run.seed), "untrained")?;
    let (found, _) = Checkpoints::of_run(inputs.directory()).newest(CHAT, Contents::Weights)?;
    let exam = Exam::new(questions, ask(found.weights, "exam")?, Some(right(&untrained)));
    let text = serde_json::to_vec_pretty(&exam).expect("plain records");
    stoa_durable::write(&RunFiles::new(inputs.directory()).exam(), &text)?;
    Ok(exam)
}
