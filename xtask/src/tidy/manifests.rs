//! Rules on Cargo manifests: versions and lints are decided once, at the workspace, and every
//! dependency has its reason in ARCHITECTURE.md.

use toml::{Table, Value};

use super::Violation;

/// Rooms of `unsafe` cannot inherit the lint that denies it (Cargo inherits all lints or none), so
/// they repeat the others.
const OWN_LINTS: &[&str] =
    &["crates/native/Cargo.toml", "crates/maps/Cargo.toml", "crates/xla/Cargo.toml"];

const DEPENDENCY_TABLES: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];

/// Checks one package: dependencies and lints come from the workspace, whose manifest is `root`.
pub fn check_package(path: &str, text: &str, root: &str) -> Vec<Violation> {
    let manifest: Table = match text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![Violation::new(path, 0, format!("not TOML: {error}"))],
    };
    let mut violations = Vec::new();
    for (name, dependency) in dependencies(&manifest) {
        if !is_true(dependency.get("workspace")) {
            violations.push(Violation::new(
                path,
                line_of(text, &name),
                format!(
                    "{name} is declared here: put its version into [workspace.dependencies] and \
                     write `{name}.workspace = true`"
                ),
            ));
        }
    }
    let lints = manifest.get("lints");
    if OWN_LINTS.contains(&path) {
        violations.extend(missing_lints(root, lints).into_iter().map(|lint| {
            Violation::new(path, 0, format!("lacks the workspace's lint {lint}: repeat it here"))
        }));
    } else if !is_true(lints.and_then(|lints| lints.get("workspace"))) {
        violations.push(Violation::new(
            path,
            0,
            "does not inherit the lints: add `[lints]` with `workspace = true`",
        ));
    }
    violations
}

/// Lints of the workspace, except the one on `unsafe`, that `own` does not set to the same level.
fn missing_lints(root: &str, own: Option<&Value>) -> Vec<String> {
    let root: Table = root.parse().unwrap_or_default();
    let shared = root.get("workspace").and_then(|workspace| workspace.get("lints"));
    let tools = shared.and_then(Value::as_table).into_iter().flatten();
    let lints = tools.flat_map(|(tool, lints)| {
        lints.as_table().into_iter().flatten().map(move |(lint, level)| (tool, lint, level))
    });
    lints
        .filter(|(tool, lint, level)| {
            let found = own.and_then(|own| own.get(tool.as_str())?.get(lint.as_str()));
            lint.as_str() != "unsafe_code" && found != Some(*level)
        })
        .map(|(tool, lint, level)| format!("{tool}.{lint} = {level}"))
        .collect()
}

/// Checks the workspace: each foreign dependency is used by some package and named, in backquotes,
/// in ARCHITECTURE.md. `manifests` are (path, text) of every manifest, `map` is ARCHITECTURE.md.
pub fn check_workspace(manifests: &[(String, String)], map: Option<&str>) -> Vec<Violation> {
    let mut violations = Vec::new();
    if map.is_none() {
        violations.push(Violation::new(
            "ARCHITECTURE.md",
            0,
            "is missing: it maps the rooms and gives the reason of each dependency",
        ));
    }
    let Some((path, text)) = manifests.iter().find(|(path, _)| path == "Cargo.toml") else {
        violations.push(Violation::new("Cargo.toml", 0, "is missing at the workspace root"));
        return violations;
    };
    let workspace: Table = match text.parse() {
        Ok(workspace) => workspace,
        Err(error) => {
            violations.push(Violation::new(path, 0, format!("not TOML: {error}")));
            return violations;
        }
    };
    let used: Vec<String> = manifests
        .iter()
        .filter_map(|(_, text)| text.parse::<Table>().ok())
        .flat_map(|manifest| dependencies(&manifest).into_iter().map(|(name, _)| name))
        .collect();
    let declared = workspace
        .get("workspace")
        .and_then(|table| table.get("dependencies"))
        .and_then(Value::as_table)
        .cloned()
        .unwrap_or_default();
    for (name, _) in declared.iter().filter(|(_, value)| value.get("path").is_none()) {
        let line = line_of(text, name);
        if !used.contains(name) {
            violations.push(Violation::new(
                path,
                line,
                format!("no package uses {name}: remove it from [workspace.dependencies]"),
            ));
        }
        if map.is_some_and(|map| !map.contains(&format!("`{name}`"))) {
            violations.push(Violation::new(
                path,
                line,
                format!("ARCHITECTURE.md does not say why `{name}` is needed: add its line there"),
            ));
        }
    }
    violations
}

/// The line, from 1, that declares the dependency `name`; 0 when none does.
pub fn line_of(text: &str, name: &str) -> usize {
    let declares = |line: &str| {
        let line = line.trim_start();
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(['.', ' ', '=']) && rest.contains('='))
            || line.starts_with('[') && line.trim_end().ends_with(&format!(".{name}]"))
    };
    text.lines().position(declares).map_or(0, |index| index + 1)
}

/// Dependencies of every kind and target, by name.
fn dependencies(manifest: &Table) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let mut take = |table: &Table| {
        for kind in DEPENDENCY_TABLES {
            if let Some(entries) = table.get(*kind).and_then(Value::as_table) {
                found.extend(entries.iter().map(|(name, value)| (name.clone(), value.clone())));
            }
        }
    };
    take(manifest);
    if let Some(targets) = manifest.get("target").and_then(Value::as_table) {
        targets.values().filter_map(Value::as_table).for_each(take);
    }
    found
}

fn is_true(value: Option<&Value>) -> bool {
    value.and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[dependencies]\nserde.workspace = true\n[lints]\nworkspace = true\n";
    const WORKSPACE: &str =
        "[workspace.dependencies]\nserde = \"1\"\nstoa-graph = { path = \"crates/graph\" }\n";

    fn workspace(root: &str, package: &str, map: Option<&str>) -> Vec<Violation> {
        let files = [("Cargo.toml", root), ("crates/a/Cargo.toml", package)];
        check_workspace(&files.map(|(path, text)| (path.to_owned(), text.to_owned())), map)
    }

    #[test]
    fn a_package_inherits() {
        assert_eq!(check_package("a/Cargo.toml", GOOD, WORKSPACE), []);
    }

    #[test]
    fn own_versions_and_own_lints_are_found() {
        let found = check_package("a/Cargo.toml", "[dependencies]\nserde = \"1\"\n", "");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].line, 2);
        let for_target =
            "[target.'cfg(unix)'.dependencies]\nlibc = \"0.2\"\n[lints]\nworkspace = true\n";
        assert_eq!(check_package("a/Cargo.toml", for_target, "").len(), 1);
        assert_eq!(check_package("a/Cargo.toml", "[[[", "").len(), 1);
    }

    #[test]
    fn a_room_of_unsafe_repeats_the_other_lints() {
        let root = "[workspace.lints.rust]\nmissing_docs = \"warn\"\nunsafe_code = \"deny\"\n";
        let good = "[lints.rust]\nmissing_docs = \"warn\"\nunsafe_code = \"allow\"\n";
        assert_eq!(check_package(OWN_LINTS[0], good, root), []);
        let found = check_package(OWN_LINTS[0], "[lints.rust]\nmissing_docs = \"allow\"\n", root);
        assert_eq!(found.len(), 1);
        assert!(found[0].message.contains("rust.missing_docs"), "{}", found[0].message);
        assert_eq!(check_package("a/Cargo.toml", good, root).len(), 1);
    }

    #[test]
    fn each_dependency_has_its_reason() {
        assert_eq!(workspace(WORKSPACE, GOOD, Some("- `serde`: reads and writes JSON")), []);
        let found = workspace(WORKSPACE, GOOD, Some("serde_json"));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].path.as_str(), found[0].line), ("Cargo.toml", 2));
        assert_eq!(workspace(WORKSPACE, GOOD, None).len(), 1);
    }

    #[test]
    fn unused_dependencies_are_found() {
        let found = workspace(WORKSPACE, "[lints]\nworkspace = true\n", Some("`serde`"));
        assert_eq!(found.len(), 1);
        assert!(found[0].message.contains("no package uses serde"), "{}", found[0].message);
    }

    #[test]
    fn declarations_are_located() {
        assert_eq!(line_of("[dependencies]\nserde_json = \"1\"\nserde = \"1\"", "serde"), 3);
        assert_eq!(line_of("[dependencies.serde]\nversion = \"1\"", "serde"), 1);
        assert_eq!(line_of("", "serde"), 0);
    }
}
