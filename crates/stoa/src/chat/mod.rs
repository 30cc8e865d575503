//! `stoa chat`: a conversation in the terminal or from standard input, or one answer for scripts.

mod command;
mod lines;
mod settings;
mod talk;

use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use serde_json::{Value, json};
use stoa_assistant::{Assistant, Completion, Event, FinishReason};
use stoa_dialogue::{Conversation, Message};
use stoa_runs::Loaded;

use crate::cli::{ChatArgs, MachineArgs};
use crate::interrupt::Interrupt;
use crate::terminal::{Terminal, stdout};
use crate::{clock, engine, models};

pub use lines::Lines;
pub use talk::Talk;

/// Runs the command.
///
/// # Errors
/// A model that cannot be loaded, settings outside their range.
pub fn run(args: &ChatArgs, machine: &MachineArgs, terminal: &Terminal) -> anyhow::Result<()> {
    let path = &args.model.model;
    let model = models::find(path, terminal)?;
    let options = args.model.options();
    let mut talk = Talk::new(engine::open(machine)?, model, options, &args.sampling, terminal)?;
    match &args.prompt {
        Some(prompt) => answer_once(&mut talk, args.system.as_deref(), prompt, terminal),
        None => {
            talk.begin(args.system.as_deref());
            let interrupt = Interrupt::listen()?;
            let lines = Lines::open(history(path).as_deref(), terminal)?;
            talk.converse(lines, &interrupt)
        }
    }
}

/// Where the questions of a conversation are kept: beside the files of a run, nowhere else.
fn history(model: &Path) -> Option<PathBuf> {
    model.join("checkpoints").is_dir().then(|| model.join("chat_history.txt"))
}

/// The assistant of a loaded model with a clock for the timings of its answers.
fn clocked(loaded: Loaded) -> Assistant {
    let start = Instant::now();
    loaded.assistant.with_clock(Box::new(move || start.elapsed()))
}

fn answer_once(
    talk: &mut Talk<'_>,
    system: Option<&str>,
    prompt: &str,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    let mut messages: Vec<Message> = system.into_iter().map(Message::system).collect();
    messages.push(Message::user(prompt));
    let conversation = Conversation::new(&messages, clock::now());
    let mut out = stdout();
    let mut failed = None;
    let settings = talk.settings().clone();
    let completion = talk.assistant().chat(&conversation, &settings, &mut |event| {
        if let (Event::Text(text), false) = (event, terminal.json())
            && let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush())
        {
            failed = Some(error);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    if let Some(error) = failed {
        return Err(error).context("cannot write the answer");
    }
    if terminal.json() {
        drop(out);
        let mut value = described(&completion);
        value["context"] = json!(talk.assistant().context());
        value["sampling"] = settings::described(&settings.sampling);
        return terminal.result(&value, String::new);
    }
    writeln!(out).and_then(|()| out.flush()).context("cannot write the answer")?;
    if let Some(cut) = cut_short(&completion) {
        terminal.note(cut);
    }
    Ok(())
}

/// What ended an answer that the model had not ended.
fn cut_short(completion: &Completion) -> Option<String> {
    let tokens = completion.timings.answer_tokens;
    match completion.finish {
        FinishReason::MaxTokens => {
            Some(format!("the answer is cut at {tokens} tokens; --max-tokens N allows more"))
        }
        FinishReason::ContextFull => Some(format!(
            "the answer is cut at {tokens} tokens, where the context is full; --context N asks for more"
        )),
        FinishReason::StopToken(_) | FinishReason::StopString(_) | FinishReason::Cancelled => None,
    }
}

/// A completion for machines.
fn described(completion: &Completion) -> Value {
    let finish = match &completion.finish {
        FinishReason::StopToken(_) => "stop",
        FinishReason::StopString(_) => "stop_string",
        FinishReason::MaxTokens => "length",
        FinishReason::ContextFull => "context",
        FinishReason::Cancelled => "cancelled",
    };
    json!({
        "answer": completion.text,
        "finish": finish,
        "cut_bytes": completion.cut_bytes,
        "prompt_tokens": completion.timings.prompt_tokens,
        "answer_tokens": completion.timings.answer_tokens,
        "prefill_tokens_per_second": completion.timings.prefill_tokens_per_second(),
        "decode_tokens_per_second": completion.timings.decode_tokens_per_second(),
    })
}
