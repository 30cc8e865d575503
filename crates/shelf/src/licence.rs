//! The licence that the files of a model state: in the head of its `README.md`, as the hub has it, or
//! as a file of terms. States what is written; judges nothing.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What is known of a model's licence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Licence {
    /// Its identifier, as stated: `apache-2.0`, `llama3.2`, `other`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The models it was made from, as stated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub base_models: Vec<String>,
    /// Files of terms and notices beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
}

/// Longest head of a README that is read.
const HEAD_LINES: usize = 400;

impl Licence {
    /// The licence that the files of a directory state.
    pub fn of_directory(directory: &Path) -> Self {
        let readme = fs::read_to_string(directory.join("README.md")).unwrap_or_default();
        let mut licence = Self::of_card(&readme);
        let names = fs::read_dir(directory).into_iter().flatten().filter_map(|entry| {
            let name = entry.ok()?.file_name().to_string_lossy().into_owned();
            Self::is_terms(&name).then_some(name)
        });
        licence.files = names.collect();
        licence.files.sort();
        licence
    }

    /// Whether a file of this name holds terms or notices.
    pub fn is_terms(name: &str) -> bool {
        let upper = name.to_uppercase();
        let terms = ["LICENSE", "LICENCE", "NOTICE", "COPYING", "USE_POLICY"];
        terms.iter().any(|begin| upper.starts_with(begin))
    }

    /// What the head of a model card states: `license`, `license_name` and `base_model` between lines
    /// of `---`. Scalars and plain lists; a value in another form counts as not stated.
    pub fn of_card(text: &str) -> Self {
        let mut licence = Licence::default();
        let mut lines = text.trim_start_matches('\u{feff}').lines();
        if lines.next().map(str::trim_end) != Some("---") {
            return licence;
        }
        let head: Vec<&str> =
            lines.take(HEAD_LINES).take_while(|line| line.trim_end() != "---").collect();
        let mut own_name = None;
        for (at, line) in head.iter().enumerate() {
            let Some((key, value)) = line.split_once(':') else { continue };
            match key {
                "license" | "licence" => licence.name = scalar(value),
                "license_name" => own_name = scalar(value),
                "base_model" => licence.base_models = scalar_or_list(value, &head[at + 1..]),
                _ => {}
            }
        }
        // `license: other` with a name of its own.
        if licence.name.as_deref() == Some("other") && own_name.is_some() {
            licence.name = own_name;
        }
        licence
    }

    /// Whether it is stated at all. `other` and `unknown` without a file of terms state nothing.
    pub fn is_known(&self) -> bool {
        match self.name.as_deref() {
            None | Some("unknown" | "other") => !self.files.is_empty(),
            Some(_) => true,
        }
    }

    /// For people.
    pub fn described(&self) -> String {
        match (&self.name, self.files.first()) {
            (Some(name), _) => name.clone(),
            (None, Some(file)) => format!("see {file}"),
            (None, None) => "not stated".to_owned(),
        }
    }
}

fn scalar(value: &str) -> Option<String> {
    let value = value.split(" #").next().unwrap_or_default().trim();
    let value = value.trim_matches(['"', '\'']);
    let plain = !value.is_empty() && !value.starts_with(['[', '{', '|', '>', '&', '*']);
    plain.then(|| value.to_owned())
}

fn scalar_or_list(value: &str, following: &[&str]) -> Vec<String> {
    if let Some(list) = value.trim().strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
        return list.split(',').filter_map(scalar).collect();
    }
    if let Some(one) = scalar(value) {
        return vec![one];
    }
    let items = following.iter().map_while(|line| line.trim_start().strip_prefix("- "));
    items.filter_map(scalar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_state_licences() {
        let card = "---\nlanguage:\n- en\nlicense: apache-2.0 # as stated\nbase_model:\n- a/b\n- \"c/d\"\n---\n# x\nlicense: mit\n";
        let licence = Licence::of_card(card);
        assert_eq!(licence.name.as_deref(), Some("apache-2.0"));
        assert_eq!(licence.base_models, ["a/b", "c/d"]);
        assert!(licence.is_known());
        let own =
            Licence::of_card("---\nlicense: other\nlicense_name: tongyi\nbase_model: [x/y]\n---");
        assert_eq!(
            (own.name.as_deref(), &own.base_models[..]),
            (Some("tongyi"), &["x/y".to_owned()][..])
        );
        for unknown in
            ["", "# no head\nlicense: mit", "---\nlicense: unknown\n---", "---\nlicense:\n---"]
        {
            assert!(!Licence::of_card(unknown).is_known(), "{unknown}");
        }
        assert!(!Licence::of_card("---\nlicense: other\n---").is_known());
    }

    #[test]
    fn a_file_of_terms_is_a_licence() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("LICENSE.txt"), "terms").unwrap();
        fs::write(directory.path().join("NOTICE"), "by whom").unwrap();
        let licence = Licence::of_directory(directory.path());
        assert!(licence.is_known());
        assert_eq!(licence.files, ["LICENSE.txt", "NOTICE"]);
        assert_eq!(licence.described(), "see LICENSE.txt");
    }
}
