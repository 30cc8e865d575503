//! Who may work in a store directory at a time: one machine with all of it, or several with a share each.
//!
//! Locks are those of the file system; they end with the process. On shared storage it must support
//! them between machines, as NFS 4 and the parallel file systems do.

use super::options::Plan;
use super::share::Share;
use super::workdir::Work;
use crate::error::CorpusError;
use crate::store::Store;
use std::fs::File;
use std::path::Path;
use stoa_posts::write_whole;

/// Locks that are held as long as this is.
pub(super) struct Locks {
    _held: Vec<File>,
}

fn open(path: &Path) -> Result<File, CorpusError> {
    let path = path.to_path_buf();
    File::create(&path).map_err(|cause| CorpusError::Io { path, cause })
}

/// Opens the directory for this plan and share alone. `prepare` runs while no other process begins.
pub(super) fn begin<T>(
    store: &Store,
    work: &Work,
    own: Share,
    prepare: impl FnOnce() -> Result<T, CorpusError>,
) -> Result<(Locks, T), CorpusError> {
    for folder in ["sources", "rejects", "complete"] {
        let path = work.folder(folder);
        std::fs::create_dir_all(&path).map_err(|cause| CorpusError::Io { path, cause })?;
    }
    let path = work.folder("beginning");
    let beginning = open(&path)?;
    beginning.lock().map_err(|cause| CorpusError::Io { path, cause })?;
    let busy = || CorpusError::Busy { path: store.root().to_path_buf() };
    let all = open(&work.folder("lock"))?;
    let machines = work.folder("machines");
    let alone = all.try_lock().is_ok();
    if alone {
        // No other process is at work: the number of machines may be another than before.
        write_whole(&machines, work.durability, own.of.to_string().as_bytes())?;
    }
    let mut held = Vec::new();
    if own != Share::ALL {
        if alone {
            all.unlock().map_err(|cause| CorpusError::Io { path: work.folder("lock"), cause })?;
        }
        let of = std::fs::read_to_string(&machines).unwrap_or_default();
        if of != own.of.to_string() {
            return Err(busy());
        }
        all.try_lock_shared().map_err(|_| busy())?;
        let mine = open(&work.folder(&format!("lock-{}-of-{}", own.index + 1, own.of)))?;
        mine.try_lock().map_err(|_| busy())?;
        held.push(mine);
    } else if !alone {
        return Err(busy());
    }
    held.push(all);
    plan(store, work, alone)?;
    let prepared = prepare()?;
    Ok((Locks { _held: held }, prepared))
}

/// Writes the plan, or compares it with the one that is there. One whose work came to nothing, as when
/// its sources could not be read, gives way to another where no one else is at work.
fn plan(store: &Store, work: &Work, alone: bool) -> Result<(), CorpusError> {
    let path = work.folder("plan.json");
    let text = serde_json::to_vec_pretty(&work.plan)
        .map_err(|cause| CorpusError::Io { path: path.clone(), cause: cause.into() })?;
    match std::fs::read(&path) {
        Ok(before) if before == text => Ok(()),
        Ok(_) if alone && nothing_done(work) => {
            let path = work.folder("rejects");
            std::fs::remove_dir_all(&path)
                .and_then(|()| std::fs::create_dir(&path))
                .map_err(|cause| CorpusError::Io { path, cause })?;
            Ok(write_whole(&work.folder("plan.json"), work.durability, &text)?)
        }
        Ok(before) => {
            let before = serde_json::from_slice::<Plan>(&before);
            let path = store.root().to_path_buf();
            match before.is_ok_and(|before| before.asks_as(&work.plan)) {
                true => Err(CorpusError::OlderWork { state: store.state(), path }),
                false => Err(CorpusError::OtherIngest { path }),
            }
        }
        Err(_) => Ok(write_whole(&path, work.durability, &text)?),
    }
}

/// Whether no source has been read to its end and no part of a phase is complete.
fn nothing_done(work: &Work) -> bool {
    ["sources", "complete"].into_iter().all(|folder| {
        std::fs::read_dir(work.folder(folder)).is_ok_and(|mut entries| entries.next().is_none())
    })
}
