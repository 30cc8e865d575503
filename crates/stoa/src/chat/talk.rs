//! A conversation: its messages, its model, and what its lines ask for, one after the other.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::{Value, json};
use stoa_assistant::{Assistant, Completion, Event, FinishReason, GenerationDefaults, Settings};
use stoa_dialogue::{Conversation, Dialogue, Message, Role};
use stoa_graph::Engine;
use stoa_models::file_notes;
use stoa_runs::{Model, ModelOptions};

use super::command::{Asked, help, in_french};
use super::lines::{Line, Lines};
use super::{clocked, cut_short, described, settings};
use crate::cli::SamplingArgs;
use crate::clock;
use crate::interrupt::Interrupt;
use crate::models;
use crate::terminal::{Terminal, stdout};
use crate::tokens_command;

/// A conversation with one model at a time.
pub struct Talk<'a> {
    engine: Arc<dyn Engine>,
    model: Model,
    /// Absent only while another model takes its place.
    assistant: Option<Assistant>,
    options: ModelOptions,
    sampling: &'a SamplingArgs,
    settings: Settings,
    messages: Vec<Message>,
    /// Answers drawn: another question, another draw; the whole conversation repeats with the seed.
    drawn: u64,
    /// Answers and errors printed.
    printed: usize,
    terminal: &'a Terminal,
}

impl<'a> Talk<'a> {
    /// Loads the model.
    ///
    /// # Errors
    /// Model files that cannot be used; a model that does not fit.
    pub fn new(
        engine: Arc<dyn Engine>,
        model: Model,
        options: ModelOptions,
        sampling: &'a SamplingArgs,
        terminal: &'a Terminal,
    ) -> anyhow::Result<Self> {
        let mut talk = Talk {
            engine,
            model: model.clone(),
            assistant: None,
            options,
            sampling,
            settings: settings::resolved(sampling, &GenerationDefaults::default()),
            messages: Vec::new(),
            drawn: 0,
            printed: 0,
            terminal,
        };
        talk.load(model)?;
        Ok(talk)
    }

    /// Takes a model, in memory that no other one holds any more.
    fn load(&mut self, model: Model) -> anyhow::Result<()> {
        let loaded = model.assistant(Arc::clone(&self.engine), &self.options)?;
        // Those of a directory's configuration were given when it was found.
        let given = match &model {
            Model::Directory(directory) => file_notes(directory),
            Model::Gguf(_) => Vec::new(),
        };
        for note in loaded.notes.iter().filter(|note| !given.contains(note)) {
            self.terminal.note(note.to_string());
        }
        self.settings = settings::resolved(self.sampling, &loaded.generation);
        if let Some(note) = settings::note(self.sampling, &loaded.generation) {
            self.terminal.note(note);
        }
        tokens_command::note_left_aside(loaded.assistant.tokenizer(), self.terminal);
        let (context, most) = (loaded.need.context, loaded.assistant.config().max_time);
        if self.options.context.is_none() && context < most {
            self.terminal.note(format!(
                "context      {context} of the {most} tokens that the model is meant for, by the memory \
                 there is; --context N asks for more or less"
            ));
        }
        self.model = model;
        self.assistant = Some(clocked(loaded));
        Ok(())
    }

    /// The model that answers.
    pub fn assistant(&mut self) -> &mut Assistant {
        self.assistant.as_mut().expect("a model is loaded")
    }

    /// How answers are drawn.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Begins a conversation.
    pub fn begin(&mut self, system: Option<&str>) {
        self.messages = system.into_iter().map(Message::system).collect();
    }

    /// Talks until the end is asked for or the lines end. Ctrl-C ends the answer, not the program.
    ///
    /// # Errors
    /// A terminal that cannot be used, or is closed.
    pub fn converse(&mut self, mut lines: Lines, interrupt: &Interrupt) -> anyhow::Result<()> {
        self.say(
            "Ask something. /help lists the commands, /new starts over, /quit leaves, Ctrl-C stops \
             an answer.\n",
        )?;
        loop {
            interrupt.begin_prompt();
            match lines.next()? {
                Line::End => break,
                Line::Nothing => {}
                Line::NotText { line, byte } => self.report(&format!(
                    "line {line} is not UTF-8 text at byte {byte}; it is left out"
                ))?,
                Line::Text(line) => match Asked::of(&line) {
                    Asked::Quit => break,
                    asked => self.take(&asked, interrupt)?,
                },
            }
        }
        if self.terminal.json() && self.printed == 0 {
            self.terminal.result(&json!({ "turns": 0 }), String::new)?;
        }
        lines.close();
        Ok(())
    }

    /// Does what a line asks for.
    fn take(&mut self, asked: &Asked<'_>, interrupt: &Interrupt) -> anyhow::Result<()> {
        match asked {
            Asked::Nothing | Asked::Quit => Ok(()),
            Asked::Question(text) => {
                self.messages.push(Message::user(*text));
                self.answer(interrupt)
            }
            Asked::Help => self.list_commands(),
            Asked::New => {
                self.messages.retain(|message| message.role == Role::System);
                self.done("a new conversation", &json!({ "command": "new" }))
            }
            Asked::System(text) => self.system(*text),
            Asked::Regenerate => self.regenerate(interrupt),
            Asked::Save(file) => self.save(file),
            Asked::Load(file) => self.load_conversation(file),
            Asked::Model(path) => self.change_model(path.as_deref()),
            Asked::Bare(name) => self.report(&format!("{name} needs the name of a file")),
            Asked::Unknown(word) => {
                self.report(&format!(
                    "there is no command {word}; a text that begins with / is written with // at \
                     its beginning"
                ))?;
                if self.terminal.json() { Ok(()) } else { self.list_commands() }
            }
        }
    }

    fn list_commands(&mut self) -> anyhow::Result<()> {
        let text = help(in_french());
        if self.terminal.json() {
            return self.value(&json!({ "command": "help", "commands": text }));
        }
        self.say(&format!("{text}\n"))
    }

    fn system(&mut self, text: Option<&str>) -> anyhow::Result<()> {
        let is_system = |message: &Message| message.role == Role::System;
        let Some(text) = text else {
            let system = self.messages.iter().find(|message| is_system(message));
            let system = system.map_or("none", |message| message.text()).to_owned();
            let value = json!({ "command": "system", "system": system });
            return self.done(&format!("system message: {system}"), &value);
        };
        self.messages.retain(|message| !is_system(message));
        self.messages.insert(0, Message::system(text));
        self.done("the system message is set", &json!({ "command": "system", "system": text }))
    }

    fn regenerate(&mut self, interrupt: &Interrupt) -> anyhow::Result<()> {
        let last = self.messages.iter().rposition(|message| message.role == Role::User);
        let Some(last) = last else {
            return self.report("there is no question to answer again");
        };
        self.messages.truncate(last + 1);
        self.answer(interrupt)
    }

    fn save(&mut self, file: &Path) -> anyhow::Result<()> {
        let before = std::fs::read_to_string(file).ok();
        let saved = |text: &String| serde_json::from_str::<Dialogue>(text).is_ok();
        if file.exists() && !before.as_ref().is_some_and(saved) {
            let shown = file.display();
            return self.report(&format!("{shown} holds something else; give another name"));
        }
        let dialogue = Dialogue::new(self.messages.clone());
        let line = serde_json::to_string(&dialogue).context("a conversation is JSON")? + "\n";
        if let Err(error) = stoa_durable::write(file, line.as_bytes()) {
            return self.report(&error.to_string());
        }
        let count = self.messages.len();
        let how = if before.is_some() { "saved in place of what was there" } else { "saved" };
        let value = json!({ "command": "save", "file": file, "messages": count });
        self.done(&format!("{count} messages {how}: {}", file.display()), &value)
    }

    fn load_conversation(&mut self, file: &Path) -> anyhow::Result<()> {
        let shown = file.display();
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) => return self.report(&format!("cannot read {shown}: {error}")),
        };
        // One line, or one object over several.
        let first = text.lines().next().unwrap_or_default();
        let found = serde_json::from_str(&text).map(|dialogue| (dialogue, 0)).or_else(|_| {
            let others = text.lines().skip(1).filter(|line| !line.trim().is_empty()).count();
            serde_json::from_str(first).map(|dialogue: Dialogue| (dialogue, others))
        });
        let (dialogue, others) = match found {
            Ok(found) => found,
            Err(error) => return self.report(&format!("{shown} is no conversation: {error}")),
        };
        self.messages = dialogue.messages;
        let tools = dialogue.tools.len();
        let mut said = format!("{} messages of {shown}", self.messages.len());
        if others > 0 {
            said += &format!("; {others} more conversations in it are left out");
        }
        if tools > 0 {
            said += &format!("; its {tools} tools are left out");
        }
        let value = json!({
            "command": "load", "file": file, "messages": self.messages.len(),
            "conversations_left_out": others, "tools_left_out": tools,
        });
        self.done(&said, &value)
    }

    fn change_model(&mut self, path: Option<&Path>) -> anyhow::Result<()> {
        if let Some(path) = path {
            let found = match models::find(path, self.terminal) {
                Ok(found) => found,
                Err(error) => return self.report(&error.to_string()),
            };
            let before = self.model.clone();
            // Two models need not fit into memory at once.
            self.assistant = None;
            if let Err(error) = self.load(found) {
                self.load(before).context("the model from before cannot be loaded again")?;
                return self.report(&format!("{error:#}"));
            }
        }
        let model = self.model.path().to_owned();
        let value = json!({ "command": "model", "model": model });
        self.done(&format!("the model is {}", model.display()), &value)
    }

    /// Answers the last question, which is taken back when that fails.
    fn answer(&mut self, interrupt: &Interrupt) -> anyhow::Result<()> {
        let mut settings = self.settings.clone();
        settings.sampling.seed = settings.sampling.seed.wrapping_add(self.drawn);
        self.drawn += 1;
        let json = self.terminal.json();
        let mut said = Ok(());
        interrupt.begin_answer();
        let conversation = Conversation::new(&self.messages, clock::now());
        let assistant = self.assistant.as_mut().expect("a model is loaded");
        let answer = assistant.chat(&conversation, &settings, &mut |event| {
            if let (Event::Text(text), false) = (event, json) {
                said = print(text);
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
                self.conclude(&completion)?;
                self.messages.push(Message::assistant(completion.text));
                Ok(())
            }
            Err(error) => {
                self.messages.pop();
                self.report(&error.to_string())
            }
        }
    }

    fn conclude(&mut self, completion: &Completion) -> anyhow::Result<()> {
        if self.terminal.json() {
            let mut value = described(completion);
            value["dropped_messages"] = json!(completion.dropped_messages);
            return self.value(&value);
        }
        if completion.finish == FinishReason::Cancelled {
            self.say(" …")?;
        }
        if completion.dropped_messages > 0 {
            let dropped = completion.dropped_messages;
            self.say(&format!("\n({dropped} older messages no longer fit)"))?;
        }
        self.say("\n")?;
        if let Some(cut) = cut_short(completion) {
            self.terminal.note(cut);
        }
        Ok(())
    }

    /// Something that was done.
    fn done(&mut self, text: &str, value: &Value) -> anyhow::Result<()> {
        if self.terminal.json() { self.value(value) } else { self.say(&format!("({text})\n")) }
    }

    /// Something that was not.
    fn report(&mut self, error: &str) -> anyhow::Result<()> {
        if self.terminal.json() {
            return self.value(&json!({ "error": error }));
        }
        self.say(&format!("error: {error}\n"))
    }

    /// A line of JSON.
    fn value(&mut self, value: &Value) -> anyhow::Result<()> {
        self.printed += 1;
        self.terminal.result(value, String::new)
    }

    /// Text for people.
    fn say(&self, text: &str) -> anyhow::Result<()> {
        if self.terminal.json() { Ok(()) } else { print(text) }
    }
}

/// Text on standard output, at once.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = stdout();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.context("cannot write to this terminal")
}
