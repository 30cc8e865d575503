//! The house rules that a machine can check, each with its remedy. What rustc, clippy and rustfmt
//! check already is left to them.
//!
//! Rules are pure functions from text to violations; this file alone reads the checkout.

mod ignored;
mod manifests;
mod paths;
mod rooms;
mod rust_text;
mod sources;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

pub use ignored::{NEEDS_DATA, find as ignored_tests};

/// A rule broken at a place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Path from the workspace root.
    pub path: String,
    /// Line, from 1; 0 when the whole file is meant.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

impl Violation {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(out, "{}: {}", self.path, self.message),
            line => write!(out, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// Checks the checkout at `root`; prints every violation and fails if there is one.
pub fn run(root: &Path) -> anyhow::Result<()> {
    let files = checked_in_files(root)?;
    let mut violations = Vec::new();
    let mut manifests = Vec::new();

    for path in &files {
        let full = root.join(path);
        // Listed by git but deleted in the work tree.
        let Ok(metadata) = fs::metadata(&full) else { continue };
        violations.extend(paths::check_name(path));
        violations.extend(paths::check_root(path));
        violations.extend(paths::check_size(path, metadata.len()));
        let bytes = fs::read(&full).with_context(|| format!("cannot read {}", full.display()))?;
        // Binary files have no lines to check.
        let Ok(text) = String::from_utf8(bytes) else { continue };
        violations.extend(paths::check_machine_paths(path, &text, root));
        if path.ends_with(".rs") {
            violations.extend(sources::check(path, &text));
            violations.extend(ignored::check(path, &text));
        }
        // The fuzz targets are a workspace of their own, which inherits nothing.
        if path.ends_with("Cargo.toml") && !path.starts_with("fuzz/") {
            manifests.push((path.clone(), text));
        }
    }

    let map = fs::read_to_string(root.join("ARCHITECTURE.md")).ok();
    violations.extend(manifests::check_workspace(&manifests, map.as_deref()));
    let workspace = manifests.iter().find(|(path, _)| path == "Cargo.toml");
    let workspace = workspace.map_or("", |(_, text)| text.as_str());
    for (path, text) in manifests.iter().filter(|(path, _)| path != "Cargo.toml") {
        violations.extend(manifests::check_package(path, text, workspace));
    }
    violations.extend(rooms::check(&edges(root)?));

    violations.sort();
    for violation in &violations {
        println!("{violation}");
    }
    if !violations.is_empty() {
        bail!("tidy: {} violations in {} files", violations.len(), files.len());
    }
    eprintln!("tidy: {} files in order", files.len());
    Ok(())
}

/// Files that are, or are about to be, in version control.
pub fn checked_in_files(root: &Path) -> anyhow::Result<BTreeSet<String>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("cannot start git: tidy checks the files that git knows")?;
    if !output.status.success() {
        bail!(
            "git ls-files failed in {}: {}",
            root.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let listing = String::from_utf8(output.stdout).context("a path in git is not UTF-8")?;
    Ok(listing.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
}

/// Dependencies between packages of the workspace.
fn edges(root: &Path) -> anyhow::Result<Vec<rooms::Edge>> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("cargo metadata failed")?;
    let members: BTreeSet<String> =
        metadata.packages.iter().map(|package| package.name.to_string()).collect();
    let mut edges = Vec::new();
    for package in &metadata.packages {
        let manifest = package.manifest_path.strip_prefix(&metadata.workspace_root);
        let manifest = manifest.unwrap_or(&package.manifest_path).to_string();
        let text = fs::read_to_string(&package.manifest_path)
            .with_context(|| format!("cannot read {}", package.manifest_path))?;
        for dependency in &package.dependencies {
            if members.contains(&dependency.name) {
                edges.push(rooms::Edge {
                    line: manifests::line_of(&text, &dependency.name),
                    manifest: manifest.clone(),
                    from: package.name.to_string(),
                    to: dependency.name.clone(),
                    only_in_tests: dependency.kind == cargo_metadata::DependencyKind::Development,
                });
            }
        }
        // A room without dependencies must still have its place in the plan.
        edges.push(rooms::Edge {
            line: 0,
            manifest,
            from: package.name.to_string(),
            to: package.name.to_string(),
            only_in_tests: false,
        });
    }
    Ok(edges)
}
