//! Addresses as sources, against a server of our own: streams, broken ones, refusals, signed links,
//! prefixes. Built with the feature `remote`.

#![cfg(feature = "remote")]
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use stoa_corpus::Store;
use stoa_corpus::ingest::{IngestOptions, Manifest, ingest};
use stoa_posts::{Item, PostsError, ReadOptions, scan};

/// Lines of posts.
fn lines(from: usize, count: usize) -> String {
    let line = |n: usize| {
        format!(
            "{{\"id\": \"{n}\", \"author\": \"u{}\", \"text\": \"Post number {n} comes over the wire.\"}}\n",
            n % 7
        )
    };
    (from..from + count).map(line).collect()
}

/// A request: its first line, then its headers in lower case.
struct Request {
    line: String,
    headers: HashMap<String, String>,
}

impl Request {
    fn read(stream: &TcpStream) -> Request {
        let mut lines = BufReader::new(stream).lines().map(|line| line.unwrap_or_default());
        let line = lines.next().unwrap_or_default();
        let headers = lines
            .take_while(|line| !line.is_empty())
            .filter_map(|line| {
                let (name, value) = line.split_once(':')?;
                Some((name.to_lowercase(), value.trim().to_string()))
            })
            .collect();
        Request { line, headers }
    }

    /// Path with query.
    fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or("")
    }

    /// The byte from which a range is asked for.
    fn from(&self) -> Option<usize> {
        self.headers
            .get("range")?
            .strip_prefix("bytes=")?
            .trim_end_matches('-')
            .split('-')
            .next()?
            .parse()
            .ok()
    }
}

/// An answer: status, headers, body, and how many bytes of the body are sent before the line goes dead.
struct Answer {
    status: &'static str,
    headers: String,
    body: Vec<u8>,
    sent: usize,
}

fn whole(body: impl Into<Vec<u8>>) -> Answer {
    let body = body.into();
    Answer { status: "200 OK", headers: String::new(), sent: body.len(), body }
}

fn refusal(status: &'static str) -> Answer {
    Answer { status, ..whole("") }
}

/// A server that answers by a function until the test ends; it also writes down what it was asked.
struct Server {
    root: String,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// `answer` gets the request and how often the same target was asked for before.
    fn new(answer: impl Fn(&Request, usize) -> Answer + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let root = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Request>>> = Arc::default();
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let request = Request::read(&stream);
                let mut log = log.lock().unwrap();
                let before = log.iter().filter(|other| other.target() == request.target()).count();
                let Answer { status, headers, body, sent } = answer(&request, before);
                log.push(request);
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n",
                    body.len()
                );
                // The client may have disconnected.
                let _ = stream
                    .write_all(head.as_bytes())
                    .and_then(|()| stream.write_all(&body[..sent]));
            }
        });
        Server { root, asked }
    }

    fn times(&self, target: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|request| request.target() == target).count()
    }

    fn address(&self, target: &str) -> PathBuf {
        format!("{}{target}", self.root).into()
    }
}

fn read(path: &Path) -> Result<Vec<String>, PostsError> {
    let mut ids = Vec::new();
    scan(path, &ReadOptions::default(), &AtomicU64::new(0), &mut |item| {
        if let Item::Post(post) = item {
            ids.push(post.id);
        }
        Ok(())
    })?;
    Ok(ids)
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}

#[test]
fn a_web_file_is_a_stream_compressed_or_not_and_kept_secret_where_it_must() {
    let packed = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let server = Server::new(move |request, _| match request.target() {
        "/posts.jsonl" | "/posts.jsonl?sig=secret" => whole(lines(0, 500)),
        "/posts.jsonl.gz" => whole(packed(&lines(0, 500))),
        "/archive.zip" => whole(b"PK\x03\x04 and so on".to_vec()),
        _ => refusal("404 Not Found"),
    });
    assert_eq!(read(&server.address("/posts.jsonl")).unwrap(), numbers(500));
    assert_eq!(read(&server.address("/posts.jsonl.gz")).unwrap(), numbers(500));
    let error = read(&server.address("/archive.zip")).unwrap_err();
    assert!(matches!(error, PostsError::RemoteFromItsEnd { .. }), "{error}");
    // A signed link is followed, and its signature is in no file of the store.
    let folder = tempfile::tempdir().unwrap();
    let sources = vec![server.address("/posts.jsonl?sig=secret")];
    let options = IngestOptions::new(sources, &folder.path().join("store"));
    let manifest = ingest(&options, &|_, _, _| {}).unwrap();
    assert_eq!(manifest.posts, 500);
    assert_eq!(Manifest::read(&Store::new(&options.out)).unwrap(), manifest);
    let text = std::fs::read_to_string(options.out.join("manifest.json")).unwrap();
    assert!(text.contains("/posts.jsonl") && !text.contains("secret"), "{text}");
    let posts = std::fs::read(options.out.join("posts/00000-00000.parquet")).unwrap();
    assert!(!posts.windows(6).any(|bytes| bytes == b"secret"));
}

#[test]
fn refusals_name_the_address_and_the_remedy() {
    let server = Server::new(|request, _| match request.target() {
        "/private.jsonl?sig=secret" => refusal("403 Forbidden"),
        _ => refusal("404 Not Found"),
    });
    let missing = server.address("/missing.jsonl");
    let message = read(&missing).unwrap_err().to_string();
    assert!(message.starts_with(&missing.display().to_string()), "{message}");
    assert!(message.contains("404") && message.contains("check the address"), "{message}");
    let message = read(&server.address("/private.jsonl?sig=secret")).unwrap_err().to_string();
    assert!(message.contains("/private.jsonl: ") && message.contains("signed link"), "{message}");
    assert!(!message.contains("secret"), "{message}");
    // A refusal is final: there is no second request.
    assert_eq!(server.times("/private.jsonl?sig=secret"), 1);
    // No server listens on this port.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let message = read(Path::new(&format!("http://{closed}/a.jsonl"))).unwrap_err().to_string();
    assert!(message.contains("check the network"), "{message}");
}

#[test]
fn a_stream_that_breaks_goes_on_where_it_broke_or_says_where() {
    let tagged = |answer: Answer| Answer { headers: "ETag: \"one\"\r\n".to_string(), ..answer };
    let server = Server::new(move |request, before| {
        let text = lines(0, 3000).into_bytes();
        let half = text.len() / 2;
        match (request.target(), request.from()) {
            // No tag: it could be another file by now.
            ("/untagged.jsonl", _) => Answer { sent: half, ..whole(text) },
            ("/busy.jsonl", _) if before < 2 => refusal("503 Service Unavailable"),
            ("/busy.jsonl", _) => whole(text),
            ("/changed.jsonl", Some(_)) => refusal("412 Precondition Failed"),
            (_, None) => tagged(Answer { sent: half, ..whole(text) }),
            (_, Some(from)) => {
                let total = text.len();
                let rest = text[from..].to_vec();
                // Breaks once more on the way.
                let sent = if before == 1 { rest.len() / 2 } else { rest.len() };
                let headers = format!(
                    "ETag: \"one\"\r\nContent-Range: bytes {from}-{}/{total}\r\n",
                    total - 1
                );
                Answer { status: "206 Partial Content", headers, body: rest, sent }
            }
        }
    });
    assert_eq!(read(&server.address("/tagged.jsonl")).unwrap(), numbers(3000));
    assert_eq!(server.times("/tagged.jsonl"), 3);
    assert_eq!(read(&server.address("/busy.jsonl")).unwrap(), numbers(3000));
    for target in ["/untagged.jsonl", "/changed.jsonl"] {
        let error = read(&server.address(target)).unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, PostsError::Remote { .. }), "{message}");
        assert!(message.contains("broke off after") && message.contains(target), "{message}");
    }
}

/// Not a test of its own: the process that the next test starts with credentials in its environment. It
/// ingests a prefix of a bucket.
#[test]
#[ignore = "child process of a_prefix_is_many_sources_in_order_and_credentials_come_from_the_environment"]
fn child_that_reads_an_address() {
    let out = std::env::var("STOA_READ_TO").unwrap();
    let source = PathBuf::from(std::env::var("STOA_READ_FROM").unwrap());
    match ingest(&IngestOptions::new(vec![source], Path::new(&out)), &|_, _, _| {}) {
        Ok(manifest) => println!("read {}", manifest.posts),
        Err(error) => println!("failed {error}"),
    }
}

/// Ingests in a process of its own with some variables set and no other credentials.
fn child(source: &str, out: &Path, variables: &[(&str, &str)]) -> String {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child_that_reads_an_address", "--ignored", "--nocapture"]);
    for (name, _) in std::env::vars() {
        if ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command.env("STOA_READ_TO", out).env("STOA_READ_FROM", source);
    let output = command.envs(variables.iter().copied()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

const LISTING: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>square</Name><Prefix>2017/</Prefix>
<KeyCount>4</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>
<Contents><Key>2017/b.jsonl</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified><ETag>"b"</ETag><Size>900</Size></Contents>
<Contents><Key>2017/a.jsonl</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified><ETag>"a"</ETag><Size>900</Size></Contents>
<Contents><Key>2017/_SUCCESS.crc</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified><ETag>"s"</ETag><Size>9</Size></Contents>
<Contents><Key>2017/c.jsonl</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified><ETag>"c"</ETag><Size>0</Size></Contents>
</ListBucketResult>"#;

#[test]
fn a_prefix_is_many_sources_in_order_and_credentials_come_from_the_environment() {
    let server = Server::new(|request, _| {
        let file = |from| Answer {
            headers: "ETag: \"x\"\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n".to_string(),
            ..whole(lines(from, 10))
        };
        match request.target() {
            _ if !request.headers.contains_key("authorization") => refusal("403 Forbidden"),
            "/square/2017/a.jsonl" => file(0),
            "/square/2017/b.jsonl" => file(10),
            target if target.starts_with("/square?") && target.contains("2017") => whole(LISTING),
            _ => refusal("404 Not Found"),
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let endpoint = [("AWS_ENDPOINT_URL", server.root.as_str()), ("AWS_ALLOW_HTTP", "true")];
    let signed = [
        endpoint[0],
        endpoint[1],
        ("AWS_ACCESS_KEY_ID", "reader"),
        ("AWS_SECRET_ACCESS_KEY", "very-secret-key"),
        ("AWS_DEFAULT_REGION", "eu-central-1"),
    ];
    let out = folder.path().join("store");
    let message = child("s3://square/2017/", &out, &signed);
    assert!(message.contains("read 20"), "{message}");
    let manifest = std::fs::read_to_string(out.join("manifest.json")).unwrap();
    let (a, b) =
        (manifest.find("s3://square/2017/a.jsonl"), manifest.find("s3://square/2017/b.jsonl"));
    assert!(a.is_some() && a < b, "{manifest}");
    assert!(!manifest.contains("very-secret-key") && !message.contains("very-secret-key"));
    // Without credentials the request goes unsigned, and the refusal says what to set.
    let message = child("s3://square/2017/a.jsonl", &folder.path().join("unsigned"), &endpoint);
    assert!(
        message.contains("s3://square/2017/a.jsonl: ") && message.contains("AWS_ACCESS_KEY_ID"),
        "{message}"
    );
    let message = child("s3://square/2018/x.jsonl", &folder.path().join("missing"), &signed);
    assert!(
        message.contains("check the address") && !message.contains("very-secret-key"),
        "{message}"
    );
}

/// Puts a body where moto keeps it; an empty place is a bucket.
fn put(port: u16, place: &str, body: &[u8]) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let head = format!(
        "PUT /square{place} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let status = BufReader::new(stream).lines().next().unwrap().unwrap();
    assert!(status.contains(" 200 "), "{place}: {status}");
}

/// The same against another's server: `cargo xtask oracle s3` makes its environment and starts this.
#[test]
#[ignore = "needs moto: cargo xtask oracle s3"]
fn a_bucket_of_moto_is_read() {
    let python = std::env::var("STOA_MOTO_PYTHON").unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut server = std::process::Command::new(python)
        .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let up = (0..300).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(200));
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    assert!(up, "moto does not answer");
    put(port, "", b"");
    // More keys than one page of a listing holds.
    for number in 0..1100 {
        put(port, &format!("/many/{number:04}.jsonl"), lines(number, 1).as_bytes());
    }
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        ("AWS_ENDPOINT_URL", &*format!("http://127.0.0.1:{port}")),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "reader"),
        ("AWS_SECRET_ACCESS_KEY", "very-secret-key"),
        ("AWS_DEFAULT_REGION", "eu-central-1"),
    ];
    let message = child("s3://square/many/", &folder.path().join("many"), &variables);
    let missing = child("s3://square/none.jsonl", &folder.path().join("none"), &variables);
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(message.contains("read 1100"), "{message}");
    assert!(missing.contains("check the address"), "{missing}");
}
