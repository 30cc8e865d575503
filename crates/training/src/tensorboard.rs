//! Scalars as a TensorBoard event file: protocol-buffer `Event` messages (tensorflow's
//! event.proto, summary.proto) in TFRecord framing (record_writer.h). Writes only; knows scalars
//! only.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::TrainingError;
use crate::error::io;

/// An event file being written.
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Starts a file in `directory`. Events of earlier files from `step` on are void: a resumed run
    /// makes them again.
    ///
    /// # Errors
    /// [`TrainingError::File`].
    pub fn create(directory: &Path, unix_seconds: f64, step: u64) -> Result<Self, TrainingError> {
        std::fs::create_dir_all(directory).map_err(io("creating", directory))?;
        // Readers order the files of a run by name; the step keeps two of one second apart.
        let name = format!("events.out.tfevents.{:010}.stoa.{step}", unix_seconds as u64);
        let path = directory.join(name);
        let file = File::create(&path).map_err(io("creating", &path))?;
        let mut events = EventFile { path, file };
        let mut version = event(unix_seconds, None);
        put_bytes(&mut version, 3, b"brain.Event:2");
        events.write(&version)?;
        // SessionLog { status = START }: readers drop older events of this step and later.
        let mut start = event(unix_seconds, Some(step));
        put_bytes(&mut start, 7, &[1 << 3, 1]);
        events.write(&start)?;
        Ok(events)
    }

    /// Appends scalars of a step.
    ///
    /// # Errors
    /// [`TrainingError::File`].
    pub fn scalars(
        &mut self,
        unix_seconds: f64,
        step: u64,
        scalars: &[(&str, f32)],
    ) -> Result<(), TrainingError> {
        let mut summary = Vec::new();
        for (tag, value) in scalars {
            let mut entry = Vec::new();
            put_bytes(&mut entry, 1, tag.as_bytes());
            entry.push(2 << 3 | FIXED32);
            entry.extend(value.to_le_bytes());
            put_bytes(&mut summary, 1, &entry);
        }
        let mut message = event(unix_seconds, Some(step));
        put_bytes(&mut message, 5, &summary);
        self.write(&message)
    }

    fn write(&mut self, message: &[u8]) -> Result<(), TrainingError> {
        self.file.write_all(&record(message)).map_err(io("writing", &self.path))
    }
}

/// Wire types of the protocol-buffer encoding.
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;
const FIXED32: u8 = 5;

/// The start of an `Event`: wall_time = 1, step = 2.
fn event(unix_seconds: f64, step: Option<u64>) -> Vec<u8> {
    let mut message = vec![1 << 3 | FIXED64];
    message.extend(unix_seconds.to_le_bytes());
    if let Some(step) = step {
        message.push(2 << 3 | VARINT);
        put_varint(&mut message, step);
    }
    message
}

fn put_bytes(message: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    message.push(field << 3 | BYTES);
    put_varint(message, bytes.len() as u64);
    message.extend(bytes);
}

fn put_varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

/// A TFRecord: length, its checksum, data, its checksum.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut record = length.to_vec();
    record.extend(masked_checksum(&length).to_le_bytes());
    record.extend(data);
    record.extend(masked_checksum(data).to_le_bytes());
    record
}

/// CRC-32C, rotated and offset so that checksums of data that hold checksums stay sound (crc32c.h).
fn masked_checksum(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_record_is_what_tensorflow_writes() {
        // An empty TFRecord and one of "brain.Event:2" at time 0, as written by
        // tensorboard's RecordWriter (tensorboard 2.20).
        assert_eq!(
            record(b""),
            [0, 0, 0, 0, 0, 0, 0, 0, 0x29, 0x03, 0x98, 0x07, 0xd8, 0xea, 0x82, 0xa2]
        );
    }

    #[test]
    fn varints_are_little_groups_of_seven() {
        let encoded = |value| {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            bytes
        };
        assert_eq!(encoded(0), [0]);
        assert_eq!(encoded(300), [0xac, 0x02]);
        assert_eq!(encoded(u64::MAX).len(), 10);
    }
}
