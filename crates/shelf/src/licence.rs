//! The licence that the files of a model state: in the head of its `README.md`, as the hub has it, as a
//! file of terms, or in keys of a GGUF file. States what is written; judges nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use stoa_gguf::{GgufFile, Metadata};

use crate::source::{Recognised, Source, recognise};

/// What is known of a model's licence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Licence {
    /// Its identifier, as stated: `apache-2.0`, `llama3.2`, `other`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The address of its terms, as stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// The models it was made from, as stated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub base_models: Vec<String>,
    /// Files of terms and notices beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
}

/// Longest head of a README that is read.
const HEAD_LINES: usize = 400;

/// Beginning of keys of a GGUF file with the texts of terms and notices, by the names of their files.
pub const GGUF_TERMS: &str = "stoa.terms.";

/// Terms and notices in a GGUF file, by the names of their files. Names that lead elsewhere are none.
pub fn terms_of_gguf(keys: &Metadata) -> BTreeMap<String, String> {
    let named = keys.entries().iter().filter_map(|(key, _)| {
        let name = key.strip_prefix(GGUF_TERMS)?;
        let plain = Licence::is_terms(name) && !name.contains(['/', '\\']);
        plain.then(|| Some((name.to_owned(), keys.text(key).ok()??.to_owned())))?
    });
    named.collect()
}

impl Licence {
    /// The licence of the model in a folder that holds nothing else.
    pub(crate) fn of_folder(folder: &Path) -> Self {
        match recognise(folder) {
            Ok(Recognised { source: Source::Gguf(path), .. }) => Self::of_gguf(&path),
            _ => Self::of_directory(folder),
        }
    }

    /// The licence that a GGUF file states, else the one that other files of its folder state: what the file
    /// itself says counts, since others in its directory may belong to other models.
    pub fn of_gguf(path: &Path) -> Self {
        let own = GgufFile::open(path).map(|file| Self::of_keys(file.metadata()));
        own.ok().filter(Self::is_known).unwrap_or_else(|| {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            Self::of_directory(parent.unwrap_or(Path::new(".")))
        })
    }

    /// The licence that the keys of a GGUF file state: `general.license`, `general.license.name` where
    /// that names none, `general.license.link`, `general.base_model.*`, and terms in the file.
    pub fn of_keys(keys: &Metadata) -> Self {
        let text = |key: &str| {
            let text = keys.text(key).ok().flatten().map(str::trim)?;
            (!text.is_empty()).then(|| text.to_owned())
        };
        let count = keys.size("general.base_model.count").ok().flatten().unwrap_or(0).min(64);
        let base = |at: usize| {
            let name = text(&format!("general.base_model.{at}.name"))?;
            Some(match text(&format!("general.base_model.{at}.organization")) {
                Some(organization) => format!("{organization}/{name}"),
                None => name,
            })
        };
        Licence {
            name: named(text("general.license"), text("general.license.name")),
            link: text("general.license.link").filter(|link| is_address(link)),
            base_models: (0..count).filter_map(base).collect(),
            files: terms_of_gguf(keys).into_keys().collect(),
        }
    }

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

    /// What the head of a model card states: `license`, `license_name`, `license_link` and `base_model`
    /// between lines of `---`. Scalars and plain lists; a value in another form counts as not stated.
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
                "license_link" => licence.link = scalar(value).filter(|link| is_address(link)),
                "base_model" => licence.base_models = scalar_or_list(value, &head[at + 1..]),
                _ => {}
            }
        }
        licence.name = named(licence.name, own_name);
        licence
    }

    /// Whether it is stated at all. `other` and `unknown` without terms or their address state nothing.
    pub fn is_known(&self) -> bool {
        !names_none(self.name.as_deref()) || !self.files.is_empty() || self.link.is_some()
    }

    /// For people.
    pub fn described(&self) -> String {
        match (&self.name, self.files.first().or(self.link.as_ref())) {
            (Some(name), _) => name.clone(),
            (None, Some(place)) => format!("see {place}"),
            (None, None) => "not stated".to_owned(),
        }
    }
}

/// Whether an identifier leaves open which licence it is.
fn names_none(name: Option<&str>) -> bool {
    matches!(name, None | Some("unknown" | "other"))
}

/// The identifier, or where that leaves it open the name that the licence has of its own.
fn named(identifier: Option<String>, own_name: Option<String>) -> Option<String> {
    if names_none(identifier.as_deref()) { own_name.or(identifier) } else { identifier }
}

/// Whether a place means the same on other machines: not the name of a file.
fn is_address(place: &str) -> bool {
    place.contains("://")
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
        let beside = Licence::of_card("---\nlicense: other\nlicense_link: LICENSE\n---");
        assert!(!beside.is_known(), "{beside:?}");
        let linked =
            Licence::of_card("---\nlicense: other\nlicense_link: https://terms.example/a\n---");
        assert_eq!(linked.link.as_deref(), Some("https://terms.example/a"));
        assert!(linked.is_known());
    }

    #[test]
    fn keys_of_a_gguf_file_state_licences() {
        let of = |entries: &[(&str, &str)]| {
            let mut keys = Metadata::new(Path::new("model.gguf"));
            entries.iter().for_each(|(key, value)| keys.set(*key, *value));
            Licence::of_keys(&keys)
        };
        let plain = of(&[("general.license", "apache-2.0"), ("general.license.name", "Apache 2")]);
        assert_eq!(plain.described(), "apache-2.0");
        let link = ("general.license.link", "https://terms.example/a");
        for identifier in ["", "other", "unknown"] {
            let own = of(&[
                ("general.license", identifier),
                ("general.license.name", "tongyi"),
                link,
                ("stoa.terms.LICENSE", "terms"),
                ("stoa.terms.../LICENSE", "terms"),
            ]);
            assert_eq!(own.described(), "tongyi");
            assert_eq!(own.link.as_deref(), Some(link.1));
            assert_eq!(own.files, ["LICENSE"]);
        }
        let linked = of(&[link]);
        assert!(linked.is_known());
        assert_eq!(linked.described(), format!("see {}", link.1));
        for unknown in [&[("general.license.link", "LICENSE")][..], &[("general.license", " ")]] {
            assert!(!of(unknown).is_known(), "{unknown:?}");
        }
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
