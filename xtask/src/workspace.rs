//! Where the workspace is, and how its commands are started. No command here reads stdin.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// The directory of the workspace's Cargo.toml.
///
/// Cargo sets `CARGO_MANIFEST_DIR` for what it runs; it is read at run time, so that a moved
/// checkout is found where it is now.
pub fn root() -> anyhow::Result<PathBuf> {
    let manifest = env::var_os("CARGO_MANIFEST_DIR")
        .context("start this as `cargo xtask …`: CARGO_MANIFEST_DIR is not set")?;
    let parent = Path::new(&manifest).parent().context("xtask must stand in the workspace")?;
    Ok(parent.to_owned())
}

/// Cargo, as it was started for us, in the workspace root.
pub fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).stdin(Stdio::null());
    // Set by the outer `cargo run` for this package; the inner one must not inherit them.
    cargo.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_PKG_NAME");
    cargo
}

/// The `stoa` binary, built in release.
pub fn release_binary(root: &Path) -> anyhow::Result<PathBuf> {
    let mut build = cargo(root);
    build.args(["build", "--release", "--package", "stoa"]);
    check(&mut build)?;
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("cargo metadata failed")?;
    let binary = metadata.target_directory.as_std_path().join("release").join("stoa");
    Ok(binary.with_extension(env::consts::EXE_EXTENSION))
}

/// Runs `command` to its end; an error when it fails, with the command in it.
pub fn check(command: &mut Command) -> anyhow::Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// The command as one would type it.
pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_named() {
        let root = root().expect("tests run under cargo");
        assert!(root.join("Cargo.lock").exists());
        let error = check(cargo(&root).arg("no-such-command").stderr(Stdio::null()));
        let text = error.expect_err("cargo has no such command").to_string();
        assert!(text.contains("no-such-command"), "{text}");
    }
}
