//! Event files against a reader written from the format's definition, apart from the writer.

#![allow(clippy::unwrap_used)]

use stoa_training::EventFile;

/// CRC-32C bit by bit (RFC 3720 appendix B.4), masked as TFRecord has it.
fn masked(data: &[u8]) -> u32 {
    let mut crc = !0u32;
    for &byte in data {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    let crc = !crc;
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Records of a file, checksums verified.
fn records(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_at(8);
        let n = u64::from_le_bytes(length.try_into().unwrap()) as usize;
        let word = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
        assert_eq!(word(0), masked(length));
        assert_eq!(word(4 + n), masked(&rest[4..4 + n]));
        records.push(rest[4..4 + n].to_vec());
        bytes = &rest[8 + n..];
    }
    records
}

/// A field of a protocol-buffer message.
#[derive(Debug, PartialEq)]
enum Field {
    Varint(u64),
    Double(f64),
    Float(f32),
    Bytes(Vec<u8>),
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Field)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let mut take = |n: usize| {
            let (head, rest) = bytes.split_at(n);
            bytes = rest;
            head
        };
        let field = match key & 7 {
            1 => Field::Double(f64::from_le_bytes(take(8).try_into().unwrap())),
            5 => Field::Float(f32::from_le_bytes(take(4).try_into().unwrap())),
            0 => Field::Varint(varint(&mut bytes)),
            2 => {
                let n = varint(&mut bytes) as usize;
                let (head, rest) = bytes.split_at(n);
                bytes = rest;
                Field::Bytes(head.to_vec())
            }
            other => panic!("wire type {other}"),
        };
        fields.push((key >> 3, field));
    }
    fields
}

#[test]
fn events_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut events = EventFile::create(directory.path(), 1.7e9, 301).unwrap();
    events.scalars(1.7e9 + 1.0, 301, &[("train/loss", 2.5), ("train/lr", 0.02)]).unwrap();
    events.scalars(1.7e9 + 2.0, 302, &[("train/loss", f32::NAN)]).unwrap();
    let path = std::fs::read_dir(directory.path()).unwrap().next().unwrap().unwrap().path();
    assert!(path.file_name().unwrap().to_str().unwrap().starts_with("events.out.tfevents.17"));
    let records = records(&std::fs::read(path).unwrap());
    assert_eq!(records.len(), 4);
    let version = Field::Bytes(b"brain.Event:2".to_vec());
    assert_eq!(fields(&records[0]), [(1, Field::Double(1.7e9)), (3, version)]);
    // SessionLog.status = START at step 301: readers drop what an earlier file has from there on.
    let start = fields(&records[1]);
    assert_eq!(start[1..], [(2, Field::Varint(301)), (7, Field::Bytes(vec![8, 1]))]);
    let event = fields(&records[2]);
    assert_eq!(event[..2], [(1, Field::Double(1.7e9 + 1.0)), (2, Field::Varint(301))]);
    let (5, Field::Bytes(summary)) = &event[2] else { panic!("{event:?}") };
    let values: Vec<_> = fields(summary)
        .into_iter()
        .map(|(number, value)| match value {
            Field::Bytes(bytes) if number == 1 => fields(&bytes),
            other => panic!("{other:?}"),
        })
        .collect();
    let tag = |name: &str| (1, Field::Bytes(name.as_bytes().to_vec()));
    assert_eq!(values[0], [tag("train/loss"), (2, Field::Float(2.5))]);
    assert_eq!(values[1], [tag("train/lr"), (2, Field::Float(0.02))]);
}
