//! `stoa posts jobs`: job files for an ingest on many machines. Slurm: an array a phase, each depending on
//! the one before. Kubernetes: an indexed Job a phase, applied one after the other.
//!
//! The files hold the command that a person would give; they know nothing that the program does not say.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::Parser;
use serde_json::json;
use stoa_corpus::ingest::phases_of;
use stoa_posts::write_whole;

use super::ingest::options;
use super::{IngestArgs, JobsArgs};
use crate::cli::MachineArgs;
use crate::terminal::Terminal;

/// The options of an ingest, by themselves.
#[derive(Parser)]
#[command(name = "stoa posts ingest", no_binary_name = true)]
struct IngestLine {
    #[command(flatten)]
    ingest: IngestArgs,
    #[command(flatten)]
    machine: MachineArgs,
}

/// Runs the command.
///
/// # Errors
/// Options of the ingest that make no sense; a directory that cannot be written.
pub fn jobs(args: &JobsArgs, terminal: &Terminal) -> anyhow::Result<()> {
    ensure!(args.shards > 0, "--shards 0 does nothing; give the number of machines");
    let line = IngestLine::try_parse_from(&args.ingest)
        .context("what stands after -- is not what `stoa posts ingest` takes")?;
    ensure!(
        line.ingest.shard.is_none() && line.ingest.phase.is_none(),
        "leave out --shard and --phase: the job files set them"
    );
    let phases = phases_of(&options(&line.ingest, &line.machine)?);
    // A phase of one task needs one machine.
    let phases: Vec<(&str, usize)> = phases
        .into_iter()
        .map(|(name, single)| (name, if single { 1 } else { args.shards }))
        .collect();
    let here = std::env::current_dir().context("the current directory is gone")?;
    let mut written = Vec::new();
    let mut write = |name: String, text: String, executable: bool| {
        let path = args.to.join(name);
        write_whole(&path, text.as_bytes())?;
        if executable {
            make_executable(&path)?;
        }
        written.push(path);
        anyhow::Ok(())
    };
    write("slurm/phase.sh".to_owned(), slurm_phase(args, &here), true)?;
    write("slurm/submit.sh".to_owned(), slurm_submit(&phases), true)?;
    let mut files = Vec::new();
    for (number, (phase, machines)) in phases.iter().enumerate() {
        let name = format!("{:02}-{phase}", number + 1);
        write(
            format!("kubernetes/{name}.yaml"),
            kubernetes_job(args, &name, phase, *machines),
            false,
        )?;
        files.push(name);
    }
    write("kubernetes/run.sh".to_owned(), kubernetes_run(&files), true)?;
    let summary = json!({
        "directory": args.to, "phases": phases.len(), "shards": args.shards, "files": written,
    });
    terminal.result(&summary, || summary_text(&args.to, &written, phases.len()))
}

fn summary_text(to: &Path, written: &[PathBuf], phases: usize) -> String {
    format!(
        "{} files for {phases} phases; start with {}/slurm/submit.sh or {}/kubernetes/run.sh",
        written.len(),
        to.display(),
        to.display()
    )
}

fn make_executable(path: &Path) -> anyhow::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot make {} executable", path.display()))?;
    }
    Ok(())
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./=,:%+@".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The program with the options of the ingest; `shard` is put in as it is.
fn command(args: &JobsArgs, phase: &str, shard: &str) -> String {
    let words: Vec<String> = args.ingest.iter().map(|word| quoted(word)).collect();
    // Sources may follow an option that takes several values: the shares come first.
    format!(
        "{} posts ingest --shard \"{shard}\" --phase {phase} --threads {} {}",
        quoted(&args.program),
        args.cores,
        words.join(" ")
    )
}

/// The batch script of an array; its argument is the phase.
fn slurm_phase(args: &JobsArgs, here: &Path) -> String {
    let shard = "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT";
    format!(
        "#!/bin/bash\n\
         # One phase of an ingest, a task of the array a machine; submit.sh starts it.\n\
         # A task that is requeued does what is not done.\n\
         #SBATCH --job-name=stoa-posts\n\
         #SBATCH --ntasks=1\n\
         #SBATCH --cpus-per-task={cores}\n\
         #SBATCH --mem={memory}G\n\
         #SBATCH --time={hours}:00:00\n\
         #SBATCH --requeue\n\
         #SBATCH --open-mode=append\n\
         #SBATCH --output=%x-%A-%a.log\n\
         set -euo pipefail\n\
         phase=\"${{1:?give the name of the phase}}\"\n\
         # Paths of sources and store are as seen from here.\n\
         cd {here}\n\
         exec {command}\n",
        cores = args.cores,
        memory = args.memory,
        hours = args.hours,
        here = quoted(&here.display().to_string()),
        command = command(args, "\"$phase\"", shard),
    )
}

/// Submits an array a phase, each after the one before has succeeded.
fn slurm_submit(phases: &[(&str, usize)]) -> String {
    let mut text = String::from(
        "#!/bin/bash\n\
         # Submits the phases; each waits for all tasks of the one before. Given the name of a phase it\n\
         # begins there, to resume after a failure.\n\
         set -euo pipefail\n\
         here=\"$(cd \"$(dirname \"$0\")\" && pwd)\"\n\
         from=\"${1:-}\"\n\
         after=\"\"\n\
         submit() {\n\
         \x20 if [[ -n \"$from\" && \"$from\" != \"$1\" ]]; then return; fi\n\
         \x20 from=\"\"\n\
         \x20 local dependency=()\n\
         \x20 if [[ -n \"$after\" ]]; then dependency=(\"--dependency=afterok:$after\" --kill-on-invalid-dep=yes); fi\n\
         \x20 after=$(sbatch --parsable --array=\"1-$2\" \"${dependency[@]}\" \"$here/phase.sh\" \"$1\")\n\
         \x20 after=\"${after%%;*}\"\n\
         \x20 echo \"$1: job $after, $2 tasks\"\n\
         }\n",
    );
    for (phase, machines) in phases {
        text.push_str(&format!("submit {phase} {machines}\n"));
    }
    text.push_str(
        "if [[ -n \"$from\" ]]; then echo \"no phase is called $from\" >&2; exit 2; fi\n",
    );
    text
}

/// An indexed Job of a phase.
fn kubernetes_job(args: &JobsArgs, name: &str, phase: &str, machines: usize) -> String {
    // Indices begin with 0, shards with 1.
    let shard = format!("$((JOB_COMPLETION_INDEX + 1))/{machines}");
    let command = serde_json::Value::String(format!("exec {}", command(args, phase, &shard)));
    let text = |text: &str| serde_json::Value::String(text.to_owned());
    format!(
        "apiVersion: batch/v1\n\
         kind: Job\n\
         metadata:\n\
         \x20 name: stoa-posts-{name}\n\
         spec:\n\
         \x20 completionMode: Indexed\n\
         \x20 completions: {machines}\n\
         \x20 parallelism: {machines}\n\
         \x20 backoffLimit: {retries}\n\
         \x20 activeDeadlineSeconds: {seconds}\n\
         \x20 template:\n\
         \x20   spec:\n\
         \x20     restartPolicy: Never\n\
         \x20     containers:\n\
         \x20       - name: ingest\n\
         \x20         image: {image}\n\
         \x20         command: [\"sh\", \"-c\", {command}]\n\
         \x20         workingDir: {mount}\n\
         \x20         resources:\n\
         \x20           requests: {{cpu: {cores}, memory: {memory}Gi}}\n\
         \x20           limits: {{memory: {memory}Gi}}\n\
         \x20         volumeMounts:\n\
         \x20           - name: posts\n\
         \x20             mountPath: {mount}\n\
         \x20     volumes:\n\
         \x20       - name: posts\n\
         \x20         persistentVolumeClaim:\n\
         \x20           claimName: {claim}\n",
        retries = 3 * machines,
        seconds = 3600 * args.hours,
        image = text(&args.image),
        cores = args.cores,
        memory = args.memory,
        mount = text(&args.mount),
        claim = text(&args.claim),
    )
}

/// Applies the Jobs one after the other.
fn kubernetes_run(files: &[String]) -> String {
    format!(
        "#!/bin/bash\n\
         # Runs the phases; each begins when the Job before is complete. Jobs that are there already are\n\
         # waited for; delete a failed one and run this again to resume.\n\
         set -euo pipefail\n\
         cd \"$(dirname \"$0\")\"\n\
         for name in {}; do\n\
         \x20 kubectl apply -f \"$name.yaml\"\n\
         \x20 kubectl wait --for=condition=complete --timeout=-1s \"job/stoa-posts-$name\" &\n\
         \x20 complete=$!\n\
         \x20 kubectl wait --for=condition=failed --timeout=-1s \"job/stoa-posts-$name\" >/dev/null &\n\
         \x20 failed=$!\n\
         \x20 wait -n \"$complete\" \"$failed\"\n\
         \x20 if kill -0 \"$complete\" 2>/dev/null; then\n\
         \x20   kill \"$complete\"\n\
         \x20   echo \"$name failed: kubectl logs job/stoa-posts-$name\" >&2\n\
         \x20   exit 1\n\
         \x20 fi\n\
         \x20 kill \"$failed\" 2>/dev/null || true\n\
         done\n",
        files.join(" ")
    )
}
