//! `stoa chat`: a conversation in the terminal, or one answer for scripts.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use rustyline::error::ReadlineError;
use serde_json::json;
use stoa_assistant::{Assistant, Completion, Event, FinishReason, Sampling, Settings};
use stoa_dialogue::{Conversation, Message};
use stoa_graph::Engine;
use stoa_runs::RunsError;

use crate::cli::{ChatArgs, MachineArgs, SamplingArgs};
use crate::interrupt::Interrupt;
use crate::terminal::{Terminal, stdout};
use crate::{clock, engine};

/// Runs the command.
///
/// # Errors
/// A model that cannot be loaded, settings outside their range.
pub fn run(args: &ChatArgs, machine: &MachineArgs, terminal: &Terminal) -> anyhow::Result<()> {
    let mut assistant = assistant(&args.run, engine::open(machine)?, terminal)?;
    let settings = settings(&args.sampling);
    match &args.prompt {
        Some(prompt) => answer_once(&mut assistant, args, prompt, &settings, terminal),
        None => {
            let history = args.run.join("chat_history.txt");
            let interrupt = Interrupt::listen()?;
            converse(&mut assistant, args.system.as_deref(), &settings, &history, &interrupt)
        }
    }
}

/// The assistant of a run, with a clock for the timings of answers.
///
/// # Errors
/// Model files that cannot be used.
pub fn assistant(
    run: &Path,
    engine: Arc<dyn Engine>,
    terminal: &Terminal,
) -> Result<Assistant, RunsError> {
    let start = Instant::now();
    let assistant = stoa_runs::assistant(run, engine, terminal)?;
    Ok(assistant.with_clock(Box::new(move || start.elapsed())))
}

/// The options as the assistant takes them.
pub fn settings(args: &SamplingArgs) -> Settings {
    Settings {
        sampling: Sampling {
            temperature: args.temperature,
            top_k: args.top_k,
            top_p: args.top_p,
            min_p: args.min_p,
            repetition_penalty: args.repetition_penalty,
            seed: args.seed,
            ..Sampling::default()
        },
        max_tokens: args.max_tokens,
        stop_strings: args.stop.clone(),
        ..Settings::default()
    }
}

fn answer_once(
    assistant: &mut Assistant,
    args: &ChatArgs,
    prompt: &str,
    settings: &Settings,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    let mut messages: Vec<Message> = args.system.iter().map(Message::system).collect();
    messages.push(Message::user(prompt));
    let conversation = Conversation::new(&messages, clock::now());
    let mut out = stdout();
    let mut failed = None;
    let completion = assistant.chat(&conversation, settings, &mut |event| {
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
        return terminal.result(&described(&completion), String::new);
    }
    writeln!(out).and_then(|()| out.flush()).context("cannot write the answer")
}

/// A completion for machines.
fn described(completion: &Completion) -> serde_json::Value {
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

/// A conversation until `/quit`, Ctrl-D, or the end of the input. Ctrl-C ends the answer, not the
/// program.
///
/// # Errors
/// A terminal that cannot be used, or is closed.
pub fn converse(
    assistant: &mut Assistant,
    system: Option<&str>,
    settings: &Settings,
    history: &Path,
    interrupt: &Interrupt,
) -> anyhow::Result<()> {
    let mut editor = rustyline::DefaultEditor::new().context("cannot use this terminal")?;
    // The first conversation has no history to load.
    let _ = editor.load_history(history);
    say("Ask something. /new starts over, /quit leaves, Ctrl-C stops an answer.\n")?;
    let mut messages: Vec<Message> = system.map(Message::system).into_iter().collect();
    let rules = messages.len();
    let mut turn = 0;
    loop {
        interrupt.begin_prompt();
        let line = match editor.readline("› ") {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error).context("cannot read from this terminal"),
        };
        let line = line.trim();
        match line {
            "" => continue,
            "/quit" | "/exit" => break,
            "/new" => {
                messages.truncate(rules);
                say("(a new conversation)\n")?;
                continue;
            }
            _ => {}
        }
        editor.add_history_entry(line).context("cannot keep the history")?;
        messages.push(Message::user(line));
        let mut settings = settings.clone();
        // Another question, another draw; the whole conversation repeats with the seed.
        settings.sampling.seed = settings.sampling.seed.wrapping_add(turn);
        turn += 1;
        let conversation = Conversation::new(&messages, clock::now());
        let mut said = Ok(());
        interrupt.begin_answer();
        let answer = assistant.chat(&conversation, &settings, &mut |event| {
            if let Event::Text(text) = event {
                said = say(text);
            }
            if said.is_err() || interrupt.asked() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        said?;
        match answer {
            Ok(completion) => {
                if completion.finish == FinishReason::Cancelled {
                    say(" …")?;
                }
                if completion.dropped_messages > 0 {
                    let dropped = completion.dropped_messages;
                    say(&format!("\n({dropped} older messages no longer fit)"))?;
                }
                say("\n")?;
                messages.push(Message::assistant(completion.text));
            }
            Err(error) => {
                say(&format!("error: {error}\n"))?;
                messages.pop();
            }
        }
    }
    // A history that cannot be kept is no reason to fail at the end of a conversation.
    let _ = editor.save_history(history);
    Ok(())
}

/// Text on standard output, at once.
fn say(text: &str) -> anyhow::Result<()> {
    let mut out = stdout();
    let said = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    said.context("cannot write to this terminal")
}
