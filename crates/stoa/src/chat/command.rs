//! What a line of a conversation asks for: a question to the model, or a command. Carries out nothing.

use std::path::PathBuf;

/// What a line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// Nothing.
    Nothing,
    /// A question to the model.
    Question(&'a str),
    /// The list of commands.
    Help,
    /// The end.
    Quit,
    /// A new conversation.
    New,
    /// Another system message; `None` to see it.
    System(Option<&'a str>),
    /// The conversation as a file.
    Save(PathBuf),
    /// A conversation from a file.
    Load(PathBuf),
    /// Another answer to the last question.
    Regenerate,
    /// Another model; `None` to see which.
    Model(Option<PathBuf>),
    /// A command that needs something behind it.
    Bare(&'static str),
    /// No command.
    Unknown(&'a str),
}

/// A command: its names, what follows it, what it does in English and French.
pub struct Entry {
    /// Names, the usual one first.
    pub names: &'static [&'static str],
    /// What follows.
    pub argument: &'static str,
    /// In English.
    pub english: &'static str,
    /// In French.
    pub french: &'static str,
}

/// All commands.
pub const COMMANDS: &[Entry] = &[
    Entry { names: &["/help", "/?"], argument: "", english: "this list", french: "cette liste" },
    Entry {
        names: &["/new", "/clear", "/reset"],
        argument: "",
        english: "begin a new conversation; the system message stays",
        french: "commencer une nouvelle conversation ; le message système reste",
    },
    Entry {
        names: &["/system"],
        argument: "TEXT",
        english: "set what stands before the conversation; without TEXT, show it",
        french: "fixer ce qui précède la conversation ; sans TEXT, le montrer",
    },
    Entry {
        names: &["/regenerate", "/retry"],
        argument: "",
        english: "answer the last question again, otherwise",
        french: "répondre autrement à la dernière question",
    },
    Entry {
        names: &["/save"],
        argument: "FILE",
        english: "write the conversation to a file, as a line of JSON",
        french: "écrire la conversation dans un fichier, en une ligne de JSON",
    },
    Entry {
        names: &["/load"],
        argument: "FILE",
        english: "continue a conversation of a file",
        french: "reprendre la conversation d’un fichier",
    },
    Entry {
        names: &["/model"],
        argument: "MODEL",
        english: "continue with another model; without MODEL, show which",
        french: "continuer avec un autre modèle ; sans MODEL, montrer lequel",
    },
    Entry {
        names: &["/quit", "/exit", "/bye"],
        argument: "",
        english: "leave; `quit`, `exit` and Ctrl-D do it too",
        french: "quitter ; `quit`, `exit` et Ctrl-D aussi",
    },
];

/// The list of commands, in French where that is the language of the environment.
pub fn help(french: bool) -> String {
    let mut lines: Vec<String> = COMMANDS
        .iter()
        .map(|entry| {
            let call = format!("{} {}", entry.names[0], entry.argument);
            format!("{call:<14} {}", if french { entry.french } else { entry.english })
        })
        .collect();
    lines.push(
        if french {
            "Ctrl-C arrête une réponse. Un texte qui commence par / s’écrit avec // au début."
        } else {
            "Ctrl-C stops an answer. A text that begins with / is written with // at its beginning."
        }
        .to_owned(),
    );
    lines.join("\n")
}

/// Whether the environment asks for French: the first of these that is set decides (locale(7)).
pub fn in_french() -> bool {
    let names = ["LC_ALL", "LC_MESSAGES", "LANG"];
    let set = names.iter().filter_map(|name| std::env::var(name).ok());
    set.into_iter().find(|value| !value.is_empty()).is_some_and(|value| value.starts_with("fr"))
}

impl<'a> Asked<'a> {
    /// What a line asks for. Commands are the same in small and capital letters.
    pub fn of(line: &'a str) -> Self {
        let line = line.trim();
        if line.is_empty() {
            return Asked::Nothing;
        }
        if ["quit", "exit"].iter().any(|word| line.eq_ignore_ascii_case(word)) {
            return Asked::Quit;
        }
        if line.starts_with("//") {
            return Asked::Question(&line[1..]);
        }
        if !line.starts_with('/') {
            return Asked::Question(line);
        }
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = Some(rest.trim()).filter(|rest| !rest.is_empty());
        let found = COMMANDS
            .iter()
            .find(|entry| entry.names.iter().any(|name| name.eq_ignore_ascii_case(word)));
        let Some(entry) = found else { return Asked::Unknown(word) };
        let with_file = |asked: fn(PathBuf) -> Asked<'a>| {
            rest.map_or(Asked::Bare(entry.names[0]), |rest| asked(PathBuf::from(rest)))
        };
        match entry.names[0] {
            "/help" => Asked::Help,
            "/new" => Asked::New,
            "/system" => Asked::System(rest),
            "/regenerate" => Asked::Regenerate,
            "/save" => with_file(Asked::Save),
            "/load" => with_file(Asked::Load),
            "/model" => Asked::Model(rest.map(PathBuf::from)),
            _ => Asked::Quit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_questions_or_commands() {
        for (line, asked) in [
            ("  ", Asked::Nothing),
            (" hello ", Asked::Question("hello")),
            ("//etc is what?", Asked::Question("/etc is what?")),
            ("/etc is what?", Asked::Unknown("/etc")),
            ("/HELP", Asked::Help),
            ("quit", Asked::Quit),
            ("Quit", Asked::Quit),
            ("/QUIT", Asked::Quit),
            ("/exit now", Asked::Quit),
            ("quit smoking", Asked::Question("quit smoking")),
            ("/system", Asked::System(None)),
            ("/system  be brief ", Asked::System(Some("be brief"))),
            ("/save", Asked::Bare("/save")),
            ("/save a b.json", Asked::Save("a b.json".into())),
            ("/retry", Asked::Regenerate),
            ("/model", Asked::Model(None)),
        ] {
            assert_eq!(Asked::of(line), asked, "{line:?}");
        }
    }

    #[test]
    fn help_names_every_command_in_both_languages() {
        for french in [false, true] {
            let text = help(french);
            assert!(COMMANDS.iter().all(|entry| text.contains(entry.names[0])), "{text}");
        }
        assert!(help(true).contains("quitter") && help(false).contains("leave"));
    }
}
