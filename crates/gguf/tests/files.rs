//! Files there and back, split files, and files made to do harm.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use proptest::prelude::*;
use stoa_gguf::{Array, GgufError, GgufFile, GgufWriter, Header, Metadata, Value};
use stoa_graph::{DType, Tensor, TensorType};

fn metadata() -> Metadata {
    let mut metadata = Metadata::new(Path::new(""));
    metadata.set("general.architecture", "llama");
    for (i, value) in [
        Value::U8(255),
        Value::I8(-1),
        Value::U16(65_535),
        Value::I16(-2),
        Value::U32(u32::MAX),
        Value::I32(-3),
        Value::U64(u64::MAX),
        Value::I64(-4),
        Value::F32(1.5),
        Value::F64(-2.5),
        Value::Bool(true),
        Value::String("é\0".into()),
        Value::Array(Array::Array(vec![
            Array::String(vec!["a".into(), String::new()]),
            Array::Bool(vec![true, false]),
            Array::Array(vec![Array::U8(vec![1, 2]), Array::I64(vec![])]),
        ])),
        Value::Array(Array::F64(vec![0.5, f64::INFINITY])),
    ]
    .into_iter()
    .enumerate()
    {
        metadata.set(format!("key.{i}"), value);
    }
    metadata
}

fn tensors() -> Vec<(String, Tensor)> {
    let tensor = |dtype: DType, shape: &[usize]| {
        let ty = TensorType::new(dtype, shape);
        let bytes: Vec<u8> = (0..ty.size_bytes()).map(|i| (i * 7 % 61) as u8).collect();
        (format!("{dtype}.weight"), Tensor::from_bytes(ty, &bytes).unwrap())
    };
    let mut tensors: Vec<_> = DType::ALL.into_iter().map(|ty| tensor(ty, &[3, 256])).collect();
    tensors.push(("vector".into(), Tensor::f32([5], vec![1.0; 5]).unwrap()));
    tensors.push(("four".into(), Tensor::f32([2, 1, 3, 4], vec![0.5; 24]).unwrap()));
    tensors
}

fn write(path: &Path, metadata: &Metadata, tensors: &[(String, Tensor)]) {
    let announced = tensors.iter().map(|(name, tensor)| (name.clone(), tensor.ty())).collect();
    let mut writer = GgufWriter::create(path, metadata, announced).unwrap();
    for (name, tensor) in tensors {
        writer.write(name, tensor).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn what_is_written_reads_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.gguf");
    write(&path, &metadata(), &tensors());
    let file = GgufFile::open(&path).unwrap();
    assert_eq!((file.version(), file.path()), (3, path.as_path()));
    assert_eq!(file.metadata().entries(), metadata().entries());
    assert_eq!(file.tensors().count(), tensors().len());
    for (name, tensor) in tensors() {
        assert_eq!(file.tensor(&name).unwrap(), tensor, "{name}");
    }
    let some = file.rows("q5_k.weight", 1..3).unwrap();
    let whole = file.tensor("q5_k.weight").unwrap();
    assert_eq!((some.shape(), some.bytes()), ([2, 256].as_slice(), &whole.bytes()[176..]));
    assert_eq!(file.rows("vector", 1..3).unwrap(), Tensor::f32([2], vec![1.0; 2]).unwrap());
    assert!(matches!(file.rows("q5_k.weight", 2..4), Err(GgufError::Rows { .. })));
    let missing = file.tensor("no").unwrap_err().to_string();
    assert!(missing.contains("a.gguf") && missing.contains("`no`"), "{missing}");
}

#[test]
fn the_writer_holds_to_what_it_announced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.gguf");
    let tensor = Tensor::f32([2], vec![1.0, 2.0]).unwrap();
    let announced = |names: &[&str]| names.iter().map(|n| ((*n).into(), tensor.ty())).collect();
    let create = |names| GgufWriter::create(&path, &metadata(), announced(names));
    assert!(create(&["a", "b", "a"]).unwrap_err().to_string().contains("`a` was announced twice"));
    let mut writer = create(&["a", "b"]).unwrap();
    writer.write("a", &tensor).unwrap();
    assert!(writer.write("c", &tensor).unwrap_err().to_string().contains("in place of `b`"));
    let writer = create(&["a"]).unwrap();
    assert!(writer.finish().unwrap_err().to_string().contains("`a` was announced and not given"));
    assert!(!path.exists());
}

fn split(directory: &Path, part: u16, parts: u16, total: i32, tensors: &[(String, Tensor)]) {
    let mut metadata = if part == 0 { metadata() } else { Metadata::new(directory) };
    metadata.set("split.no", part);
    metadata.set("split.count", parts);
    metadata.set("split.tensors.count", total);
    let name = format!("m-{:05}-of-{parts:05}.gguf", part + 1);
    write(&directory.join(name), &metadata, tensors);
}

#[test]
fn split_files_open_from_any_part() {
    let directory = tempfile::tempdir().unwrap();
    let (path, all) = (directory.path(), tensors());
    let total = all.len() as i32;
    split(path, 0, 3, total, &[]);
    split(path, 1, 3, total, &all[..4]);
    split(path, 2, 3, total, &all[4..]);
    let part = |i: usize| path.join(format!("m-{i:05}-of-00003.gguf"));
    for i in 1..=3 {
        let file = GgufFile::open(&part(i)).unwrap();
        assert_eq!(file.metadata().text("general.architecture").unwrap(), Some("llama"));
        assert_eq!(file.paths().count(), 3);
        for (name, tensor) in &all {
            assert_eq!(file.tensor(name).unwrap(), *tensor);
        }
    }
    let refused = |i: usize| GgufFile::open(&part(i)).unwrap_err().to_string();
    split(path, 2, 3, total, &all[3..]);
    assert!(refused(1).contains("is in parts 2 and 3"), "{}", refused(1));
    split(path, 2, 3, total, &all[5..]);
    assert!(refused(2).contains("split.tensors.count"), "{}", refused(2));
    std::fs::copy(part(2), part(3)).unwrap();
    assert!(refused(1).contains("it says part 2 of 3"), "{}", refused(1));
    std::fs::remove_file(part(2)).unwrap();
    assert!(refused(1).contains("m-00002-of-00003.gguf: not found"), "{}", refused(1));
    std::fs::rename(part(1), path.join("other.gguf")).unwrap();
    let named = GgufFile::open(&path.join("other.gguf")).unwrap_err().to_string();
    assert!(named.contains("-00001-of-00003.gguf"), "{named}");
}

/// A head by hand.
#[derive(Clone, Default)]
struct Head(Vec<u8>);

impl Head {
    fn new(tensors: u64, keys: u64) -> Self {
        Head(b"GGUF".to_vec()).u32(3).u64(tensors).u64(keys)
    }
    fn u32(mut self, x: u32) -> Self {
        self.0.extend(x.to_le_bytes());
        self
    }
    fn u64(mut self, x: u64) -> Self {
        self.0.extend(x.to_le_bytes());
        self
    }
    fn text(self, text: &str) -> Self {
        let mut head = self.u64(text.len() as u64);
        head.0.extend(text.as_bytes());
        head
    }
    fn tensor(self, name: &str, dimensions: &[u64], ty: u32, offset: u64) -> Self {
        let head = self.text(name).u32(dimensions.len() as u32);
        let head = dimensions.iter().fold(head, |head, &size| head.u64(size));
        head.u32(ty).u64(offset)
    }
    /// With some bytes of data.
    fn data(mut self, len: usize) -> Self {
        self.0.resize(self.0.len().next_multiple_of(32) + len, 0);
        self
    }
    #[track_caller]
    fn refused(&self, message: &str) {
        let error = Header::read(Path::new("x.gguf"), &self.0).unwrap_err().to_string();
        assert!(error.contains(message) && error.contains("x.gguf"), "{error}");
    }
}

#[test]
fn counts_that_the_file_cannot_hold_are_refused() {
    Head::new(1 << 63, 0).data(64).refused("9223372036854775808 tensors do not fit");
    Head::new(0, u64::MAX).data(64).refused("18446744073709551615 keys do not fit");
    let key = || Head::new(0, 1).text("a");
    key().u32(8).u64(u64::MAX).data(64).refused("bytes of the value of `a` do not fit");
    key().u32(9).u32(4).u64(1 << 62).data(64).refused("elements of the value of `a` do not fit");
    Head::new(0, 1).u64(1 << 40).data(64).refused("bytes of a key do not fit");
    let nested = (0..40).fold(key().u32(9), |head, _| head.u32(9).u64(1));
    nested.data(64).refused("more than 8 arrays in arrays");
    Head::new(1, 0).text("a").u32(5).data(64).refused("5 dimensions");
}

#[test]
fn what_is_no_model_of_this_format_is_named() {
    Head(b"PK\x03\x04aaaaaaaaaaaa".to_vec()).refused("not a GGUF file");
    Head(Vec::new()).refused("not a GGUF file");
    Head(b"GGUF".to_vec()).u32(1).data(0).refused("version 1 is not read");
    Head(b"GGUF".to_vec()).u32(3_u32.swap_bytes()).data(0).refused("big-endian");
    Head(b"GGUF".to_vec()).refused("the version takes 4 bytes");
    Head::new(0, 1).text("a").u32(13).data(64).refused("has type 13");
    let mut flag = Head::new(0, 1).text("a").u32(7);
    flag.0.extend([2; 8]);
    flag.data(0).refused("is 2, not 0 or 1");
    let mut text = Head::new(0, 1).u64(1);
    text.0.push(0xff);
    text.data(64).refused("is not UTF-8");
    let twice = Head::new(0, 2).text("a").u32(4).u32(1).text("a").u32(4).u32(1);
    twice.data(64).refused("the key `a` is there twice");
    Head::new(0, 1).text("general.alignment").u32(4).u32(24).data(64).refused("power of two");
    Head::new(0, 1).text("general.alignment").u32(4).u32(0).data(64).refused("power of two");
}

#[test]
fn tensors_that_cannot_be_are_refused() {
    let one = |dimensions: &[u64], ty, offset| {
        Head::new(1, 0).tensor("t", dimensions, ty, offset).data(256)
    };
    one(&[8, 8], 0, 0).refuse_nothing();
    one(&[u64::MAX, 2], 0, 0).refused("more bytes than can be addressed");
    one(&[1 << 31, 1 << 31, 4], 0, 0).refused("more bytes than can be addressed");
    one(&[0, 8], 0, 0).refused("a dimension of no size");
    one(&[8, 8], 0, u64::MAX - 31).refused("beyond what can be addressed");
    one(&[8, 8], 0, 32).refused("ends at byte 288 of the data, of which there are 256");
    one(&[8, 8], 0, 8).refused("no multiple of the alignment");
    one(&[31], 2, 0).refused("multiple of the 32 elements of a block");
    one(&[256], 23, 0).refused("element type 23 (IQ4_XS)");
    one(&[256], 77, 0).refused("element type 77");
    let two = |name, offset| {
        Head::new(2, 0).tensor("t", &[16], 0, 0).tensor(name, &[16], 0, offset).data(256)
    };
    two("u", 64).refuse_nothing();
    two("u", 32).refused("the tensors `t` and `u` overlap");
    two("t", 64).refused("the tensor `t` is there twice");
}

impl Head {
    #[track_caller]
    fn refuse_nothing(&self) {
        Header::read(Path::new("x.gguf"), &self.0).unwrap();
    }
}

#[test]
fn keys_of_another_type_are_named() {
    let metadata = metadata();
    assert_eq!(metadata.size("key.0").unwrap(), Some(255));
    assert_eq!(metadata.number("key.8").unwrap(), Some(1.5));
    assert_eq!(metadata.flag("key.10").unwrap(), Some(true));
    assert_eq!(metadata.size("nothing").unwrap(), None);
    let error = metadata.size("key.1").unwrap_err().to_string();
    assert!(error.contains("`key.1` is -1, not a whole number"), "{error}");
    assert!(matches!(metadata.texts("key.13"), Err(GgufError::KeyType { .. })));
    let missing = metadata.required("nothing", None::<usize>).unwrap_err().to_string();
    assert!(missing.contains("no key `nothing`"), "{missing}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    /// A whole head with some bytes changed, or cut: an error or a head, never a panic, and of what it
    /// reads no tensor leaves the file.
    #[test]
    fn damaged_heads_do_no_harm(
        changes in prop::collection::vec((0_usize..600, any::<u8>()), 0..6),
        cut in prop::option::of(0_usize..900),
    ) {
        let mut bytes = Head::new(2, 2)
            .text("general.alignment").u32(4).u32(32)
            .text("a").u32(9).u32(8).u64(2).text("xy").text("")
            .tensor("t", &[16, 2], 0, 0).tensor("u", &[32], 8, 128).data(256).0;
        for (at, byte) in changes {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        bytes.truncate(cut.unwrap_or(bytes.len()));
        if let Ok(header) = Header::read(Path::new("x.gguf"), &bytes) {
            for tensor in header.tensors {
                prop_assert!(bytes.get(tensor.range.clone()).is_some());
                prop_assert_eq!(tensor.range.len(), tensor.ty.size_bytes());
            }
        }
    }
}
