//! Rules on file names, file sizes, and paths of a developer's machine written into files.

use std::path::Path;

use super::Violation;

/// Larger files belong in a generator or outside the checkout.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] =
    &["util", "utils", "common", "helper", "helpers", "misc", "manager", "managers"];

/// What may stand at the root.
const AT_THE_ROOT: &[&str] = &[
    ".cargo",
    ".ci",
    ".config",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "clippy.toml",
    "crates",
    "deny.toml",
    "docs",
    "fuzz",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "web",
    "xtask",
];

/// Where systems keep people's home directories. In parts, so that this file passes its own rule.
const HOME_PARENTS: &[&[&str]] = &[&["home"], &["Users"], &["root"]];

/// Refuses names such as `utils.rs` or `token_manager/`.
pub fn check_name(path: &str) -> Option<Violation> {
    let empty = path.split('/').find(|component| {
        let stem = component.trim_start_matches('.').split('.').next().unwrap_or_default();
        stem.split(['_', '-']).any(|word| EMPTY_NAMES.contains(&word.to_lowercase().as_str()))
    })?;
    Some(Violation::new(
        path,
        0,
        format!("`{empty}` does not say what is inside: name it after a term of the field"),
    ))
}

/// Refuses files and folders at the root that the plan does not have.
pub fn check_root(path: &str) -> Option<Violation> {
    let first = path.split('/').next().unwrap_or_default();
    (!AT_THE_ROOT.contains(&first)).then(|| {
        Violation::new(
            path,
            0,
            "has no place at the root: move it, or add it to AT_THE_ROOT in xtask/src/tidy/paths.rs",
        )
    })
}

/// Refuses files over 1 MiB.
pub fn check_size(path: &str, bytes: u64) -> Option<Violation> {
    (bytes > MAX_FILE_BYTES).then(|| {
        Violation::new(
            path,
            0,
            format!("{bytes} bytes, more than {MAX_FILE_BYTES}: generate it instead of keeping it"),
        )
    })
}

/// Refuses home directories and the place of this checkout.
pub fn check_machine_paths(path: &str, text: &str, root: &Path) -> Vec<Violation> {
    let mut forbidden: Vec<String> =
        HOME_PARENTS.iter().map(|parts| format!("/{}/", parts.join("/"))).collect();
    forbidden.extend(places_of(root));
    let mut violations = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(found) = forbidden.iter().find(|place| names_place(line, place)) {
            violations.push(Violation::new(
                path,
                index + 1,
                format!(
                    "`{found}` is a path of one machine: use a path relative to the workspace, \
                     an argument or an environment variable"
                ),
            ));
        }
    }
    violations
}

/// The checkout and the directory it stands in, unless that one is a place every machine has.
fn places_of(root: &Path) -> Vec<String> {
    let everyones = ["/", "/tmp", "/mnt", "/opt", "/srv", "/usr", "/var", "/home"];
    [Some(root), root.parent()]
        .into_iter()
        .flatten()
        .filter_map(Path::to_str)
        .filter(|place| place.starts_with('/') && !everyones.contains(place))
        .map(|place| format!("{place}/"))
        .collect()
}

/// Whether `line` has `place` at the beginning of a path (and not inside an address or another
/// path).
fn names_place(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-~/}>*".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_a_list() {
        assert_eq!(check_root("crates/graph/src/op.rs"), None);
        assert_eq!(check_root("README.md"), None);
        assert!(check_root("results").is_some());
    }

    #[test]
    fn names_must_say_something() {
        assert!(check_name("crates/x/src/utils.rs").is_some());
        assert!(check_name("crates/x/src/run_manager/mod.rs").is_some());
        assert!(check_name("crates/common/src/lib.rs").is_some());
        assert_eq!(check_name("crates/x/src/uncommon.rs"), None);
        assert_eq!(check_name(".github/workflows/ci.yml"), None);
    }

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(check_size("a.bin", MAX_FILE_BYTES), None);
        assert!(check_size("a.bin", MAX_FILE_BYTES + 1).is_some());
    }

    #[test]
    fn paths_of_a_machine_are_found() {
        let root = Path::new("/elsewhere/checkout");
        let found = |text: &str| check_machine_paths("f", text, root).len();
        assert_eq!(found(&format!("open(\"/{}/ada/x\")", "home")), 1);
        assert_eq!(found(&format!("fine\ncd /{}/.cargo", "root")), 1);
        assert_eq!(found("see /elsewhere/data"), 1);
        assert_eq!(found("https://example.org/home/page and crates/home/x"), 0);
        assert_eq!(found("$HOME/.cache, ../shared/data, /tmp/x"), 0);
    }

    #[test]
    fn a_checkout_in_a_place_everyone_has_forbids_only_itself() {
        let found = check_machine_paths("f", "/tmp/run/x\n/tmp/other", Path::new("/tmp/run"));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 1);
    }
}
