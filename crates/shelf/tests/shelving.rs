//! A directory of models: imports, names, what is refused.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::fs;
use std::path::Path;

use stoa_gguf::{GgufWriter, Metadata};
use stoa_shelf::{Keep, RECORD, Shelf, ShelfError, Source, check_name, locate};

fn model(directory: &Path) -> Source {
    fs::create_dir_all(directory).unwrap();
    let header = b"\x02\0\0\0\0\0\0\0{}";
    for (name, bytes) in [
        ("config.json", &b"{\"model_type\": 1}"[..]),
        ("model.safetensors", header),
        ("tokenizer.json", b"{}"),
        ("README.md", b"---\nlicense: mit\n---\n"),
        ("LICENSE", b"terms"),
        ("optimizer.safetensors", header),
        ("pytorch_model.bin", b"\x80\x02"),
        (".hidden", b""),
    ] {
        fs::write(directory.join(name), bytes).unwrap();
    }
    Source::Directory(directory.to_owned())
}

#[test]
fn of_a_gguf_file_the_licence_is_kept_that_its_keys_state() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("small.gguf");
    let mut keys = Metadata::new(&file);
    keys.set("general.license", "other");
    keys.set("general.license.name", "lamps");
    keys.set("general.license.link", "https://terms.example/lamps");
    GgufWriter::create(&file, &keys, Vec::new()).unwrap().finish().unwrap();
    // Of another model.
    fs::write(root.path().join("README.md"), "---\nlicense: mit\n---\n").unwrap();
    let shelf = Shelf::at(root.path().join("models"));
    let import = || {
        let source = Source::Gguf(file.clone());
        shelf.import(&source, "small", Keep::Copies, "there", &mut |_, _| {}).unwrap()
    };
    let licence = import().entry.record.licence;
    assert_eq!(licence.described(), "lamps");
    assert_eq!(licence.link.as_deref(), Some("https://terms.example/lamps"));
    // A record that was written without it gets it when the same file is imported again.
    let path = shelf.folder("small").join(RECORD);
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    record["licence"] = serde_json::json!({});
    fs::write(&path, record.to_string()).unwrap();
    assert!(!shelf.list().unwrap()[0].record.licence.is_known());
    assert!(import().was_there);
    assert_eq!(shelf.list().unwrap()[0].record.licence, licence);
}

#[test]
fn a_model_is_kept_under_its_name_with_the_hashes_of_its_files() {
    let root = tempfile::tempdir().unwrap();
    let source = model(&root.path().join("there"));
    let shelf = Shelf::at(root.path().join("models"));
    assert_eq!(shelf.list().unwrap(), []);
    let mut seen = 0;
    let import = |name: &str, keep, seen: &mut u64| {
        shelf.import(&source, name, keep, "there", &mut |done, total| {
            assert!(done <= total);
            *seen = done;
        })
    };
    let imported = import("ann/small", Keep::Copies, &mut seen).unwrap();
    assert_eq!(imported.left_out, ["optimizer.safetensors", "pytorch_model.bin"]);
    assert_eq!((imported.entry.bytes(), imported.was_there), (seen, false));
    let record = &imported.entry.record;
    assert_eq!(record.files.len(), 5);
    assert_eq!((record.licence.name.as_deref(), record.linked), (Some("mit"), false));
    // The same files again are there already; others under the name are refused.
    assert!(import("ann/small", Keep::Copies, &mut seen).unwrap().was_there);
    fs::write(root.path().join("there/tokenizer.json"), "{ }").unwrap();
    let taken = import("ann/small", Keep::Copies, &mut seen).unwrap_err();
    assert!(matches!(taken, ShelfError::Taken { .. }), "{taken}");
    let linked = import("linked", Keep::Links, &mut seen).unwrap();
    assert!(linked.entry.record.linked);
    if cfg!(unix) {
        assert!(linked.entry.folder.join("config.json").symlink_metadata().unwrap().is_symlink());
    }
    let names: Vec<String> = shelf.list().unwrap().into_iter().map(|e| e.record.name).collect();
    assert_eq!(names, ["ann/small", "linked"]);
    assert_ne!(linked.entry.record.content, imported.entry.record.content);
}

#[test]
fn a_name_stands_for_its_model_and_a_path_comes_first() {
    let root = tempfile::tempdir().unwrap();
    let source = model(&root.path().join("there"));
    let shelf = Shelf::at(root.path().join("models"));
    let none = locate(Some(&shelf), Path::new("small")).unwrap_err().to_string();
    assert!(none.contains("there is no small"), "{none}");
    shelf.import(&source, "small", Keep::Copies, "x", &mut |_, _| {}).unwrap();
    let found = locate(Some(&shelf), Path::new("small")).unwrap();
    assert_eq!(found.source, Source::Directory(root.path().join("models/small")));
    let other = locate(Some(&shelf), Path::new("smal")).unwrap_err().to_string();
    assert!(other.contains("models here: small"), "{other}");
    let path = root.path().join("there");
    assert_eq!(locate(Some(&shelf), &path).unwrap().source, Source::Directory(path));
    fs::write(root.path().join("models/small").join(RECORD), "{").unwrap();
    let damaged = locate(Some(&shelf), Path::new("small")).unwrap_err().to_string();
    assert!(damaged.contains("is damaged"), "{damaged}");
}

#[test]
fn names_are_words() {
    for name in ["a", "smollm2-135m", "ann/b.c_d", "4x"] {
        check_name(name).unwrap();
    }
    for name in ["", "..", "a/../b", "/a", "a/", "a/b/c", "a b", "-a", ".a", "a--b", "a\\b", "é"] {
        assert!(check_name(name).is_err(), "{name}");
    }
}
