//! Python environments for the programs we compare with: made once, kept outside the checkout.
//!
//! An environment is a venv with pinned packages from whatever registry the machine's pip is
//! configured for; no registry is named here. It does not upgrade: other pins rebuild it. It is
//! never needed to build, test or run Stoa itself.

use std::env;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

/// Overrides the directory that environments are kept in.
pub const CACHE_VARIABLE: &str = "STOA_CACHE";
/// Overrides the interpreter that environments are made with.
pub const PYTHON_VARIABLE: &str = "STOA_PYTHON";
/// Written last, with the packages inside: an environment without it is unfinished.
const MARKER: &str = "stoa-packages.txt";

/// What can go wrong with the Python that an oracle needs.
#[derive(Debug, thiserror::Error)]
pub enum PythonEnvError {
    /// No interpreter.
    #[error(
        "no Python 3 found (tried {tried}): install Python 3.10 or newer, or name one in \
         {PYTHON_VARIABLE}"
    )]
    Missing {
        /// Commands tried, comma separated.
        tried: String,
    },
    /// The interpreter cannot make virtual environments.
    #[error(
        "`{python} -m venv {directory}` failed ({status}): install the venv module of this Python \
         (often the package python3-venv)"
    )]
    Venv {
        /// Interpreter.
        python: String,
        /// Where the environment should be.
        directory: PathBuf,
        /// How it ended.
        status: String,
    },
    /// pip refused.
    #[error(
        "pip could not install {packages} into {directory} ({status}): see its message above; the \
         machine needs a reachable package registry"
    )]
    Install {
        /// Packages asked for.
        packages: String,
        /// The environment.
        directory: PathBuf,
        /// How pip ended.
        status: String,
    },
    /// Something else lies where the environment should be.
    #[error(
        "{directory} exists and is not a Python environment: move it away, or set \
         {CACHE_VARIABLE} to another directory"
    )]
    Occupied {
        /// What was found.
        directory: PathBuf,
    },
    /// Neither the override nor a home directory is known.
    #[error("no place for the cache: set {CACHE_VARIABLE} to a directory outside the checkout")]
    NoCacheDirectory,
}

/// Makes, or finds, the environment `name` with exactly `packages` (pinned, as pip takes them) and
/// returns its interpreter. Progress goes to stderr.
pub fn ensure(name: &str, packages: &[&str]) -> anyhow::Result<PathBuf> {
    let cache = cache_directory()?;
    fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
    // Two commands may ask for one environment at the same time: the second waits.
    let lock_path = cache.join(format!("{name}.lock"));
    let lock = File::create(&lock_path)
        .with_context(|| format!("cannot create {}", lock_path.display()))?;
    lock.lock().with_context(|| format!("cannot lock {}", lock_path.display()))?;

    let directory = cache.join(name);
    let interpreter = interpreter_in(&directory);
    let wanted = marker_text(packages);
    let found = fs::read_to_string(directory.join(MARKER)).unwrap_or_default();
    if found == wanted && interpreter.exists() {
        return Ok(interpreter);
    }

    let python = find_python()?;
    if directory.exists() {
        if !directory.join("pyvenv.cfg").exists() {
            return Err(PythonEnvError::Occupied { directory }.into());
        }
        eprintln!("python: {} has other packages, rebuilding it", directory.display());
        fs::remove_dir_all(&directory)
            .with_context(|| format!("cannot remove {}", directory.display()))?;
    }
    eprintln!("python: making {} with {python}", directory.display());
    make_venv(&python, &directory)?;
    eprintln!("python: installing {} (large ones take minutes)", packages.join(" "));
    install(&interpreter, &directory, packages)?;
    write_marker(&directory, &wanted)?;
    Ok(interpreter)
}

/// `$STOA_CACHE`, else the platform's cache directory of the user, in either case for us alone.
pub fn cache_directory() -> Result<PathBuf, PythonEnvError> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set(CACHE_VARIABLE)
        .or_else(|| set("XDG_CACHE_HOME").map(|base| base.join("stoa")))
        .or_else(|| env::home_dir().map(|home| home.join(".cache").join("stoa")))
        .ok_or(PythonEnvError::NoCacheDirectory)
}

/// The packages in a stable order, one per line.
fn marker_text(packages: &[&str]) -> String {
    let mut sorted = packages.to_vec();
    sorted.sort_unstable();
    sorted.iter().map(|package| format!("{package}\n")).collect()
}

fn interpreter_in(directory: &Path) -> PathBuf {
    if cfg!(windows) {
        directory.join("Scripts").join("python.exe")
    } else {
        directory.join("bin").join("python")
    }
}

fn find_python() -> Result<String, PythonEnvError> {
    let named = env::var(PYTHON_VARIABLE).ok().filter(|value| !value.is_empty());
    let candidates = match named {
        Some(python) => vec![python],
        None => vec!["python3".to_owned(), "python".to_owned()],
    };
    candidates
        .iter()
        .find(|python| is_python3(python))
        .cloned()
        .ok_or_else(|| PythonEnvError::Missing { tried: candidates.join(", ") })
}

fn is_python3(python: &str) -> bool {
    Command::new(python)
        .args(["-c", "import sys; sys.exit(sys.version_info < (3, 10))"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn make_venv(python: &str, directory: &Path) -> anyhow::Result<()> {
    let status = Command::new(python)
        .args(["-m", "venv"])
        .arg(directory)
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("cannot start {python}"))?;
    if status.success() {
        return Ok(());
    }
    Err(PythonEnvError::Venv {
        python: python.to_owned(),
        directory: directory.to_owned(),
        status: status.to_string(),
    }
    .into())
}

fn install(interpreter: &Path, directory: &Path, packages: &[&str]) -> anyhow::Result<()> {
    // stdout of our commands is for machines, so pip talks on stderr.
    let status = Command::new(interpreter)
        .args(["-m", "pip", "install", "--no-input", "--disable-pip-version-check"])
        .args(["--progress-bar", "off"])
        .args(packages)
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("cannot start {}", interpreter.display()))?;
    if status.success() {
        return Ok(());
    }
    Err(PythonEnvError::Install {
        packages: packages.join(" "),
        directory: directory.to_owned(),
        status: status.to_string(),
    }
    .into())
}

fn write_marker(directory: &Path, text: &str) -> anyhow::Result<()> {
    let path = directory.join(MARKER);
    let temporary = directory.join(format!("{MARKER}.tmp"));
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marker_does_not_depend_on_the_order_of_packages() {
        assert_eq!(marker_text(&["b==2", "a==1"]), "a==1\nb==2\n");
        assert_ne!(marker_text(&["a==1"]), marker_text(&["a==2"]));
    }

    #[test]
    fn an_error_says_what_to_do() {
        let missing = PythonEnvError::Missing { tried: "python3, python".to_owned() };
        let text = missing.to_string();
        assert!(text.contains("python3, python") && text.contains(PYTHON_VARIABLE), "{text}");
        assert!(!is_python3("no-such-interpreter"));
    }
}
