//! Models of a hub, against a server of our own: lists, hashes, broken connections, hostile names.
//! Built with the feature `remote`.

#![cfg(feature = "remote")]
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use stoa_durable::FileEntry;
use stoa_shelf::hub::{Got, Hub, HubName};
use stoa_shelf::{Shelf, ShelfError};

/// What a server is asked for: target, headers in lower case.
#[derive(Clone, Debug)]
struct Asked {
    target: String,
    headers: HashMap<String, String>,
}

fn read(stream: &TcpStream) -> Asked {
    let mut lines = BufReader::new(stream).lines().map(|line| line.unwrap_or_default());
    let first = lines.next().unwrap_or_default();
    let headers = lines.take_while(|line| !line.is_empty()).filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_lowercase(), value.trim().to_owned()))
    });
    Asked { target: first.split(' ').nth(1).unwrap_or("").to_owned(), headers: headers.collect() }
}

/// A hub with one model.
struct Server {
    root: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// What is wrong with it.
#[derive(Clone, Copy, Default)]
struct Fault {
    /// A body breaks off after so many bytes, each time.
    cut: Option<usize>,
    /// It ignores ranges.
    no_ranges: bool,
    /// It wants a token.
    gated: bool,
    /// It has no trees, only the list of siblings.
    siblings: bool,
    /// The hash it states is another one.
    wrong_hash: bool,
}

fn server(files: BTreeMap<&'static str, Vec<u8>>, fault: Fault) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let root = format!("http://{}", listener.local_addr().unwrap());
    let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
    let log = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let request = read(&stream);
            log.lock().unwrap().push(request.clone());
            let (status, headers, body, sent) = answer(&files, &request, fault);
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n",
                body.len()
            );
            // The client may have disconnected.
            let _ = stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(&body[..sent.min(body.len())]));
        }
    });
    Server { root, asked }
}

fn list(files: &BTreeMap<&'static str, Vec<u8>>, fault: Fault) -> Vec<Value> {
    let entry = |(path, bytes): (&&str, &Vec<u8>)| {
        let hash =
            if fault.wrong_hash { "0".repeat(64) } else { FileEntry::of_bytes(bytes).sha256 };
        let mut value =
            json!({ "type": "file", "path": path, "rfilename": path, "size": bytes.len() });
        if path.ends_with(".safetensors") || path.ends_with(".gguf") {
            value["lfs"] = json!({ "oid": hash, "sha256": hash, "size": bytes.len() });
        }
        value
    };
    files.iter().map(entry).collect()
}

fn answer(
    files: &BTreeMap<&'static str, Vec<u8>>,
    request: &Asked,
    fault: Fault,
) -> (&'static str, String, Vec<u8>, usize) {
    let whole = |body: Vec<u8>| ("200 OK", String::new(), body, usize::MAX);
    let path = request.target.split('?').next().unwrap_or("");
    if fault.gated && request.headers.get("authorization").is_none_or(|t| t != "Bearer secret") {
        return ("401 Unauthorized", String::new(), Vec::new(), 0);
    }
    let list = list(files, fault);
    match path {
        "/api/models/ann/small/revision/main" => {
            return whole(json!({ "sha": "c0ffee", "siblings": list }).to_string().into_bytes());
        }
        "/api/models/ann/small/tree/c0ffee" if !fault.siblings => {
            // Two pages.
            let (first, second) = list.split_at(list.len() / 2);
            let next = format!("{path}?cursor=2");
            let later = request.target.contains("cursor");
            let page = if later { second } else { first };
            let host = &request.headers["host"];
            let link = format!("Link: <http://{host}{next}>; rel=\"next\"\r\n");
            let headers = if later { String::new() } else { link };
            return ("200 OK", headers, json!(page).to_string().into_bytes(), usize::MAX);
        }
        _ => {}
    }
    let file = path.strip_prefix("/ann/small/resolve/c0ffee/").and_then(|name| files.get(name));
    let Some(bytes) = file else {
        return ("404 Not Found", String::new(), Vec::new(), 0);
    };
    let from = request.headers.get("range").filter(|_| !fault.no_ranges);
    let from =
        from.and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let sent = fault.cut.unwrap_or(usize::MAX);
    match from {
        Some(from) => ("206 Partial Content", String::new(), bytes[from..].to_vec(), sent),
        None => ("200 OK", String::new(), bytes.clone(), sent),
    }
}

fn files() -> BTreeMap<&'static str, Vec<u8>> {
    let mut weights = b"\x02\0\0\0\0\0\0\0{}".to_vec();
    weights.extend((0..50_000_u32).flat_map(u32::to_le_bytes));
    BTreeMap::from([
        ("README.md", b"---\nlicense: apache-2.0\n---\n".to_vec()),
        ("config.json", b"{}".to_vec()),
        ("model.safetensors", weights),
        ("onnx/model.onnx", vec![8, 7]),
        ("pytorch_model.bin", vec![0x80, 2]),
        ("tokenizer.json", b"{}".to_vec()),
    ])
}

fn get(server: &Server, shelf: &Path, name: &str, token: Option<&str>) -> Result<Got, ShelfError> {
    let hub = Hub { endpoint: server.root.clone(), token: token.map(str::to_owned) };
    let wanted = HubName::parse(name).unwrap();
    hub.get(&Shelf::at(shelf), &wanted, &wanted.repository, &mut |done, total| {
        assert!(done <= total);
    })
}

#[test]
fn a_model_is_fetched_and_checked() {
    let root = tempfile::tempdir().unwrap();
    for fault in [Fault::default(), Fault { siblings: true, ..Fault::default() }] {
        let server = server(files(), fault);
        let shelf = root.path().join(format!("{}", fault.siblings));
        let got = get(&server, &shelf, "hf:ann/small", None).unwrap();
        assert_eq!(got.left_out, ["onnx/model.onnx", "pytorch_model.bin"]);
        assert_eq!(got.by_size_alone, ["README.md", "config.json", "tokenizer.json"]);
        let record = &got.entry.record;
        assert_eq!(record.origin, "hf:ann/small@c0ffee");
        assert_eq!(record.licence.name.as_deref(), Some("apache-2.0"));
        let weights = fs::read(got.entry.folder.join("model.safetensors")).unwrap();
        assert_eq!(weights, files()["model.safetensors"]);
        assert!(get(&server, &shelf, "hf:ann/small", None).unwrap().was_there);
        // Nothing but the model is left, hidden or not.
        assert_eq!(fs::read_dir(&shelf).unwrap().count(), 1);
    }
}

#[test]
fn broken_connections_are_resumed_where_they_broke() {
    let root = tempfile::tempdir().unwrap();
    let cut = Fault { cut: Some(60_000), ..Fault::default() };
    let breaking = server(files(), cut);
    get(&breaking, root.path(), "hf:ann/small", None).unwrap();
    let asked = breaking.asked.lock().unwrap();
    let ranges: Vec<&str> =
        asked.iter().filter_map(|a| a.headers.get("range")).map(|r| &**r).collect();
    assert_eq!(ranges, ["bytes=60000-", "bytes=120000-", "bytes=180000-"]);
}

#[test]
fn a_download_that_was_killed_continues() {
    let root = tempfile::tempdir().unwrap();
    // What a killed process leaves: the record, and a part.
    let partial = root.path().join(".partial-ann--small");
    fs::create_dir(&partial).unwrap();
    fs::write(partial.join("download.json"), r#"{"repository":"ann/small","commit":"c0ffee"}"#)
        .unwrap();
    fs::write(partial.join("model.safetensors.part"), &files()["model.safetensors"][..150_000])
        .unwrap();
    let whole = server(files(), Fault::default());
    let got = get(&whole, root.path(), "hf:ann/small", None).unwrap();
    assert_eq!(got.resumed_bytes, 150_000);
    let asked = whole.asked.lock().unwrap();
    assert!(asked.iter().any(|a| a.headers.get("range").is_some_and(|r| r == "bytes=150000-")));
    drop(asked);
    // A server without ranges sends all again, and of another commit nothing is kept.
    for (name, commit, no_ranges) in [("a", "c0ffee", true), ("b", "other", false)] {
        let root = root.path().join(name);
        let partial = root.join(".partial-ann--small");
        fs::create_dir_all(&partial).unwrap();
        let record = json!({ "repository": "ann/small", "commit": commit }).to_string();
        fs::write(partial.join("download.json"), record).unwrap();
        fs::write(partial.join("model.safetensors.part"), [7; 90]).unwrap();
        let server = server(files(), Fault { no_ranges, ..Fault::default() });
        get(&server, &root, "hf:ann/small", None).unwrap();
    }
}

#[test]
fn a_file_that_is_not_what_the_hub_states_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let wrong = server(files(), Fault { wrong_hash: true, ..Fault::default() });
    let message = get(&wrong, root.path(), "hf:ann/small", None).unwrap_err().to_string();
    assert!(message.contains("model.safetensors") && message.contains("states"), "{message}");
    assert!(Shelf::at(root.path()).list().unwrap().is_empty());
    let part = root.path().join(".partial-ann--small/model.safetensors.part");
    assert!(!part.exists(), "what is wrong is not resumed");
}

#[test]
fn a_token_is_shown_to_the_hub_and_to_nobody_else() {
    let root = tempfile::tempdir().unwrap();
    let gated = server(files(), Fault { gated: true, ..Fault::default() });
    let message = get(&gated, root.path(), "hf:ann/small", None).unwrap_err().to_string();
    assert!(message.contains("status 401") && message.contains("HF_TOKEN"), "{message}");
    let message = get(&gated, root.path(), "hf:ann/small", Some("wrong")).unwrap_err().to_string();
    assert!(!message.contains("wrong"), "{message}");
    get(&gated, root.path(), "hf:ann/small", Some("secret")).unwrap();
}

#[test]
fn one_file_is_named_whole_or_in_part() {
    let root = tempfile::tempdir().unwrap();
    let gguf = |end: u8| [b"GGUF\x03\0\0\0".to_vec(), vec![end; 100]].concat();
    let files = BTreeMap::from([
        ("LICENSE", b"terms".to_vec()),
        ("small-Q4_0.gguf", gguf(4)),
        ("small-Q8_0.gguf", gguf(8)),
        ("big-00001-of-00002.gguf", gguf(1)),
        ("big-00002-of-00002.gguf", gguf(2)),
        ("pytorch_model.bin", vec![0x80, 2]),
    ]);
    let server = server(files, Fault::default());
    let names = |shelf: &str, name: &str| {
        let got = get(&server, &root.path().join(shelf), name, None)?;
        Ok::<_, ShelfError>(got.entry.record.files.into_keys().collect::<Vec<_>>())
    };
    assert_eq!(names("a", "hf:ann/small:q8_0").unwrap(), ["LICENSE", "small-Q8_0.gguf"]);
    assert_eq!(names("b", "hf:ann/small:small-Q4_0.gguf").unwrap(), ["LICENSE", "small-Q4_0.gguf"]);
    assert_eq!(names("c", "hf:ann/small:big").unwrap().len(), 3);
    let refused = |name: &str| names("d", name).unwrap_err().to_string();
    assert!(refused("hf:ann/small").contains("hf:ann/small:big-00001-of-00002.gguf"));
    assert!(refused("hf:ann/small:small").contains("small-Q4_0.gguf, small-Q8_0.gguf"));
    assert!(refused("hf:ann/small:q5_k").contains("no file `q5_k`"));
    assert!(refused("hf:ann/small:pytorch_model.bin").contains("pickle"));
    assert!(refused("hf:ann/none").contains("status 404"));
}

#[test]
fn names_of_the_hub_do_not_leave_the_folder() {
    let root = tempfile::tempdir().unwrap();
    for name in
        ["model-/../../../out.safetensors", "model-\\..\\out.safetensors", "model-/.x.safetensors"]
    {
        let files = BTreeMap::from([
            (name, b"\x02\0\0\0\0\0\0\0{}".to_vec()),
            ("model.safetensors.index.json", b"{}".to_vec()),
        ]);
        let server = server(files, Fault::default());
        let message = get(&server, &root.path().join("s"), "hf:ann/small", None).unwrap_err();
        assert!(matches!(message, ShelfError::UnsafeName(_)), "{message}");
    }
    assert!(!root.path().join("out.safetensors").exists());
    for name in
        ["ann/small", "hf:small", "hf:../x", "hf:a/../b", "hf:a/b:", "hf:a/b@../c", "hf:a/b/c"]
    {
        assert!(HubName::parse(name).is_err(), "{name}");
    }
    let name = HubName::parse("hf:a/b@refs/pr/1:Q8_0").unwrap();
    assert_eq!((name.revision.as_str(), name.file.as_deref()), ("refs/pr/1", Some("Q8_0")));
}
