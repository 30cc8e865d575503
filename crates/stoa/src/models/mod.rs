//! `stoa models …`: models kept by name, shown, fetched, imported and handed on.

mod args;
mod hand_on;
mod quantize;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;
use stoa_runs::{Model, ModelFacts, RunsError, card, hashes};
use stoa_shelf::hub::{ENDPOINT, Hub, HubName};
use stoa_shelf::{Entry, Keep, Shelf, Source};

use crate::cli::MachineArgs;
use crate::terminal::{Bar, Terminal};

pub use args::{
    ExportArgs, Form, GetArgs, ImportArgs, MergeArgs, ModelsCommand, QuantizeArgs, gguf_types,
};

/// Runs a command.
///
/// # Errors
/// What the command refuses.
pub fn run(
    command: &ModelsCommand,
    machine: &MachineArgs,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    match command {
        ModelsCommand::List => list(terminal),
        ModelsCommand::Show { model } => show(model, terminal),
        ModelsCommand::Get(args) => get(args, terminal),
        ModelsCommand::Import(args) => import(args, terminal),
        ModelsCommand::Export(args) => hand_on::export(args, machine, terminal),
        ModelsCommand::Quantize(args) => quantize::run(args, machine, terminal),
        ModelsCommand::Merge(args) => hand_on::merge(args, terminal),
        ModelsCommand::Card { model, out } => write_card(model, out.as_deref(), terminal),
    }
}

/// The directory of models: STOA_MODELS, else a place for data of this person.
pub fn shelf() -> Shelf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let data = || {
        variable("XDG_DATA_HOME")
            .or_else(|| variable("LOCALAPPDATA"))
            .map(PathBuf::from)
            .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".local/share")))
            .map(|data| data.join("stoa/models"))
    };
    let root = variable("STOA_MODELS").map(PathBuf::from).or_else(data);
    Shelf::at(root.unwrap_or_else(|| PathBuf::from("stoa-models")))
}

/// The model that a name or a path stands for.
///
/// # Errors
/// As [`Model::find`].
pub fn find(model: &Path, terminal: &Terminal) -> Result<Model, RunsError> {
    Model::find(model, Some(&shelf()), terminal)
}

fn list(terminal: &Terminal) -> anyhow::Result<()> {
    let shelf = shelf();
    let models = shelf.list()?;
    let value = json!({
        "directory": shelf.root(),
        "models": models.iter().map(described).collect::<Vec<_>>(),
    });
    terminal.result(&value, || {
        let line = |entry: &Entry| {
            format!(
                "{:<40} {:>9}  {:<16} {}{}",
                entry.record.name,
                megabytes(entry.bytes()),
                entry.record.licence.described(),
                entry.record.origin,
                if entry.record.linked { " (links)" } else { "" }
            )
        };
        match models.is_empty() {
            true => format!(
                "no models in {}; `stoa models get hf:ORG/NAME` fetches one, `stoa models import PATH` keeps one",
                shelf.root().display()
            ),
            false => models.iter().map(line).collect::<Vec<_>>().join("\n"),
        }
    })
}

fn described(entry: &Entry) -> serde_json::Value {
    let record = &entry.record;
    json!({
        "name": record.name,
        "folder": entry.folder,
        "origin": record.origin,
        "bytes": entry.bytes(),
        "files": record.files,
        "linked": record.linked,
        "licence": record.licence,
        "content": record.content,
    })
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn show(model: &Path, terminal: &Terminal) -> anyhow::Result<()> {
    let facts = find(model, terminal)?.facts()?;
    terminal.result(&facts, || text_of(&facts))
}

/// The facts for people.
fn text_of(facts: &ModelFacts) -> String {
    let share = |(name, count): (&String, &u64)| {
        format!("{name} {:.1} %", 100.0 * *count as f64 / facts.parameters.max(1) as f64)
    };
    let types: Vec<String> = facts.types.iter().map(share).collect();
    let mut rows = vec![
        ("path", facts.path.display().to_string()),
        ("form", facts.form.to_owned()),
        ("family", facts.family.clone()),
        ("weights", format!("{} in {}", facts.parameters, megabytes(facts.bytes))),
        ("types", types.join(", ")),
        ("context", format!("{} tokens", facts.context)),
        ("vocabulary", format!("{} tokens", facts.vocabulary)),
        (
            "shape",
            format!(
                "{} layers of width {}, {} heads, {} of keys and values",
                facts.layers, facts.hidden, facts.heads.0, facts.heads.1
            ),
        ),
        ("template", facts.template.clone()),
        ("licence", facts.licence.described()),
    ];
    if let Some(link) = &facts.licence.link {
        rows.push(("terms", link.clone()));
    }
    if !facts.licence.base_models.is_empty() {
        rows.push(("base", facts.licence.base_models.join(", ")));
    }
    if let Some(origin) = &facts.origin {
        rows.push(("origin", origin.clone()));
    }
    rows.extend(facts.notes.iter().map(|note| ("note", note.clone())));
    rows.iter().map(|(name, value)| format!("{name:<12} {value}")).collect::<Vec<_>>().join("\n")
}

/// Progress in bytes; its bar begins with the first of them.
fn byte_bar<'a>(what: &'a str, terminal: &'a Terminal) -> (impl FnMut(u64, u64) + 'a, BarEnd) {
    let bar = BarEnd::default();
    let shown = bar.clone();
    let update = move |done: u64, total: u64| {
        let mut bar = shown.0.borrow_mut();
        bar.get_or_insert_with(|| terminal.bar(what, total, "bytes")).update(done, "");
    };
    (update, bar)
}

/// The bar of [`byte_bar`], to be ended.
#[derive(Clone, Default)]
struct BarEnd(std::rc::Rc<std::cell::RefCell<Option<Bar>>>);

impl BarEnd {
    fn finish(&self, line: &str) {
        if let Some(bar) = self.0.borrow_mut().take() {
            bar.finish(line);
        }
    }
}

fn get(args: &GetArgs, terminal: &Terminal) -> anyhow::Result<()> {
    let wanted = HubName::parse(&args.model)?;
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
    let endpoint = endpoint.trim_end_matches('/').to_owned();
    let hub = Hub { endpoint, token: set("HF_TOKEN").map(|token| token.trim().to_owned()) };
    let name = args.name.clone().unwrap_or_else(|| default_name(&wanted));
    stoa_shelf::check_name(&name)?;
    let (mut update, bar) = byte_bar("fetch", terminal);
    let got = hub.get(&shelf(), &wanted, &name, &mut update)?;
    bar.finish("done");
    for file in &got.left_out {
        terminal.note(format!("left out     {file}"));
    }
    if !got.by_size_alone.is_empty() {
        let files = got.by_size_alone.join(", ");
        terminal.note(format!("checked      by size alone, for want of a stated hash: {files}"));
    }
    let mut value = described(&got.entry);
    value["was_there"] = json!(got.was_there);
    value["left_out"] = json!(got.left_out);
    value["by_size_alone"] = json!(got.by_size_alone);
    value["resumed_bytes"] = json!(got.resumed_bytes);
    terminal.result(&value, || kept_as(&got.entry, got.was_there))
}

fn counted(files: usize) -> String {
    if files == 1 { "1 file".to_owned() } else { format!("{files} files") }
}

/// What a kept model is called and how to talk to it.
fn kept_as(entry: &Entry, was_there: bool) -> String {
    let (name, how) = (&entry.record.name, if was_there { "was there already" } else { "is kept" });
    format!(
        "{name} {how}: {}, {}, licence {}; talk to it: stoa chat --model {name}",
        megabytes(entry.bytes()),
        counted(entry.record.files.len()),
        entry.record.licence.described()
    )
}

/// `ORG/NAME`, and the file's name without its ending where one is wanted.
fn default_name(wanted: &HubName) -> String {
    let Some(file) = &wanted.file else { return wanted.repository.clone() };
    let stem = file.rsplit('/').next().unwrap_or(file);
    let stem = stem.strip_suffix(".gguf").unwrap_or(stem);
    let stem = stem.split("-00001-of-").next().unwrap_or(stem);
    let (org, name) = wanted.repository.split_once('/').unwrap_or(("", &wanted.repository));
    match stem.to_lowercase().starts_with(&name.to_lowercase()) {
        true => format!("{org}/{stem}"),
        false => format!("{org}/{name}-{stem}"),
    }
}

fn import(args: &ImportArgs, terminal: &Terminal) -> anyhow::Result<()> {
    // A path, never a name: what is kept already need not be imported.
    let model = Model::find(&args.path, None, terminal)?;
    model.facts().context("it is not kept, since it cannot be read as a model")?;
    let source = match &model {
        Model::Directory(path) => Source::Directory(path.clone()),
        Model::Gguf(path) => Source::Gguf(path.clone()),
    };
    let name = match &args.name {
        Some(name) => name.clone(),
        None => name_of(&args.path)?,
    };
    let keep = if args.link { Keep::Links } else { Keep::Copies };
    let origin = std::fs::canonicalize(&args.path).unwrap_or_else(|_| args.path.clone());
    let (mut update, bar) = byte_bar("import", terminal);
    let imported =
        shelf().import(&source, &name, keep, &origin.display().to_string(), &mut update)?;
    bar.finish("done");
    for file in &imported.left_out {
        terminal.note(format!("left out     {file}"));
    }
    let mut value = described(&imported.entry);
    value["was_there"] = json!(imported.was_there);
    value["left_out"] = json!(imported.left_out);
    terminal.result(&value, || {
        let how = if args.link { "linked" } else { "copied" };
        let files = counted(imported.entry.record.files.len());
        let said = kept_as(&imported.entry, imported.was_there);
        if imported.was_there { said } else { format!("{files} {how}; {said}") }
    })
}

/// The name that a file or directory suggests.
fn name_of(path: &Path) -> anyhow::Result<String> {
    let whole = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = if whole.is_dir() { whole.file_name() } else { whole.file_stem() };
    let name = name.unwrap_or_default().to_string_lossy().into_owned();
    stoa_shelf::check_name(&name).context("give a name with --name")?;
    Ok(name)
}

fn write_card(model: &Path, out: Option<&Path>, terminal: &Terminal) -> anyhow::Result<()> {
    let model = find(model, terminal)?;
    let facts = model.facts()?;
    let provenance = model.provenance(&facts)?;
    let files = hashes(model.directory())?;
    let text = card(&facts, &provenance, &files);
    if let Some(out) = out {
        stoa_durable::write(out, text.as_bytes())?;
    }
    let value = json!({ "card": text, "file": out, "provenance": provenance });
    terminal.result(&value, || match out {
        Some(out) => format!("written: {}", out.display()),
        None => text.trim_end().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_from_what_is_fetched() {
        for (model, name) in [
            ("hf:ann/small", "ann/small"),
            ("hf:ann/small@v2", "ann/small"),
            ("hf:ann/small:Q8_0", "ann/small-Q8_0"),
            ("hf:ann/small:small-q4_0.gguf", "ann/small-q4_0"),
            ("hf:ann/small:sub/small-big-00001-of-00003.gguf", "ann/small-big"),
        ] {
            assert_eq!(default_name(&HubName::parse(model).unwrap()), name);
        }
    }
}
