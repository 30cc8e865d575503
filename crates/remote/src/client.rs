//! Remote files as streams: a stretch of bytes at a time, resumed where a connection broke.
//!
//! Credentials come from the environment alone, under the names that each network's own tools use; where
//! there are none, requests go unsigned, which is what public data asks for. No machine's metadata
//! service is asked unless the environment names one. A broken stream is opened again at the byte where
//! it broke, if the file is still the same one; what cannot be had is an error with the address and the
//! remedy. Nothing is written to a store and nothing is cached.

use crate::{Facts, RemoteError, is_web, parts, shown};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::path::Path as Key;
use object_store::{ClientOptions, GetOptions, GetRange, GetResult, ObjectStore, RetryConfig};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::Duration;
use tokio::runtime::Runtime;

/// Times a request is repeated, and times in a row that a stream is opened again without a byte between.
const TRIES: usize = 3;
/// Longest that a request is tried.
const TRY_SECONDS: u64 = 60;
/// Longest that nothing comes of a connection or a stream.
pub(crate) const SILENCE_SECONDS: u64 = 30;

/// Environment variables that say who asks, by network.
const SIGNERS_S3: [&str; 5] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_METADATA_ENDPOINT",
];
const SIGNERS_GOOGLE: [&str; 5] = [
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "SERVICE_ACCOUNT",
];
const SIGNERS_AZURE: [&str; 9] = [
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_CLIENT_ID",
    "AZURE_CLIENT_ID",
    "AZURE_STORAGE_TOKEN",
    "AZURE_FEDERATED_TOKEN_FILE",
    "IDENTITY_ENDPOINT",
];

fn any_is_set(names: &[&str]) -> bool {
    names.iter().any(|name| std::env::var_os(name).is_some())
}

/// An object or web file, ready to be asked for.
#[derive(Clone)]
struct Place {
    store: Arc<dyn ObjectStore>,
    key: Key,
    address: PathBuf,
    web: bool,
}

impl Place {
    fn of(path: &Path) -> Result<Place, RemoteError> {
        let address = shown(path);
        let (scheme, rest) =
            parts(path).ok_or_else(|| RemoteError::NoAddress { path: path.to_path_buf() })?;
        let failed = |cause: object_store::Error| failed(&address, is_web(scheme), &cause);
        let (store, key) = store(scheme, rest, path).map_err(failed)?;
        Ok(Place { store, key, address, web: is_web(scheme) })
    }

    fn failed(&self, cause: &object_store::Error) -> RemoteError {
        failed(&self.address, self.web, cause)
    }

    /// Asks for the bytes from `at` on, of the version `etag` if one is given.
    async fn get(&self, at: u64, etag: Option<String>) -> object_store::Result<GetResult> {
        let range = (at > 0).then_some(GetRange::Offset(at));
        let options = GetOptions { range, if_match: etag, ..GetOptions::default() };
        self.store.get_opts(&self.key, options).await
    }
}

/// Chooses how TLS is spoken, once.
pub(crate) fn choose_provider() {
    static PROVIDER: Once = Once::new();
    // Fails when the program has chosen one already, which is then as good.
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

/// The store of an address and the key in it.
fn store(
    scheme: &str,
    rest: &str,
    path: &Path,
) -> object_store::Result<(Arc<dyn ObjectStore>, Key)> {
    choose_provider();
    let retry = RetryConfig {
        max_retries: TRIES,
        retry_timeout: Duration::from_secs(TRY_SECONDS),
        ..RetryConfig::default()
    };
    // A whole file may take hours: only silence ends it.
    let client = ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(Duration::from_secs(SILENCE_SECONDS))
        .with_read_timeout(Duration::from_secs(SILENCE_SECONDS));
    if is_web(scheme) {
        // The whole address is the store, so that a signed link keeps its query; the key is empty.
        let client = client.with_allow_http(scheme == "http");
        let url = path.to_string_lossy();
        let url = url.split('#').next().unwrap_or("");
        let web = HttpBuilder::new().with_url(url).with_client_options(client).with_retry(retry);
        return Ok((Arc::new(web.build()?), Key::default()));
    }
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    let url = format!("{scheme}://{bucket}");
    let key = Key::parse(key)?;
    let store: Arc<dyn ObjectStore> = match scheme {
        "s3" | "s3a" => {
            let allow_http = std::env::var("AWS_ALLOW_HTTP").is_ok_and(|value| value == "true");
            let client = client.with_allow_http(allow_http);
            let builder = AmazonS3Builder::from_env().with_url(url).with_client_options(client);
            let builder =
                if any_is_set(&SIGNERS_S3) { builder } else { builder.with_skip_signature(true) };
            Arc::new(builder.with_retry(retry).build()?)
        }
        "gs" => {
            let builder =
                GoogleCloudStorageBuilder::from_env().with_url(url).with_client_options(client);
            let signed = any_is_set(&SIGNERS_GOOGLE);
            let builder = if signed { builder } else { builder.with_skip_signature(true) };
            Arc::new(builder.with_retry(retry).build()?)
        }
        _ => {
            let builder =
                MicrosoftAzureBuilder::from_env().with_url(url).with_client_options(client);
            let signed = any_is_set(&SIGNERS_AZURE);
            let builder = if signed { builder } else { builder.with_skip_signature(true) };
            Arc::new(builder.with_retry(retry).build()?)
        }
    };
    Ok((store, key))
}

/// The message of a store, with the remedy; queries, which may hold signatures, are taken out.
fn failed(address: &Path, web: bool, cause: &object_store::Error) -> RemoteError {
    use object_store::Error;
    let remedy = match cause {
        Error::NotFound { .. } => "check the address",
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } if web => {
            "the server refuses: give an address that you may read, for instance a signed link"
        }
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            "set the credentials of a reader in the environment: AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY, GOOGLE_APPLICATION_CREDENTIALS, or AZURE_STORAGE_ACCOUNT_NAME and \
             AZURE_STORAGE_ACCOUNT_KEY"
        }
        Error::Precondition { .. } => "the file changed while it was read: begin again",
        _ => {
            "check the network, the region and the endpoint, then run the same command again, or fetch \
             the file first"
        }
    };
    let cause = without_queries(&cause.to_string());
    RemoteError::Failed { address: address.to_path_buf(), cause, remedy }
}

/// A text whose web addresses have lost their queries.
pub(crate) fn without_queries(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let end = at + rest[at..].find([' ', '"', ')', '\n']).unwrap_or(rest.len() - at);
        let address = &rest[..end];
        let query = address[at..].find('?').map_or(end, |query| at + query);
        shown.push_str(&address[..query]);
        rest = &rest[end..];
    }
    shown + rest
}

pub(crate) fn runtime(address: &Path) -> Result<Runtime, RemoteError> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|cause| RemoteError::Failed {
        address: address.to_path_buf(),
        cause: format!("the client does not start: {cause}"),
        remedy: "run the same command again, or fetch the file first",
    })
}

/// Opens a remote file.
pub(super) fn open(path: &Path) -> Result<Box<dyn Read>, RemoteError> {
    let place = Place::of(path)?;
    let runtime = runtime(&place.address)?;
    let got = runtime.block_on(place.get(0, None)).map_err(|cause| place.failed(&cause))?;
    let (size, etag) = (got.meta.size, got.meta.e_tag.clone());
    let chunks = chunks(got);
    let chunk = Vec::new();
    Ok(Box::new(Stream { place, chunks, chunk, taken: 0, at: 0, size, etag, stalls: 0, runtime }))
}

/// Size and time of a remote file. It is asked for as for reading, since a signed link allows nothing else,
/// and let go.
pub(super) fn facts(path: &Path) -> Result<Facts, RemoteError> {
    let place = Place::of(path)?;
    let got = runtime(&place.address)?
        .block_on(place.get(0, None))
        .map_err(|cause| place.failed(&cause))?;
    let changed = u64::try_from(got.meta.last_modified.timestamp()).unwrap_or(0);
    Ok(Facts { bytes: got.meta.size, changed })
}

/// The objects below a prefix that are not empty and whose keys `wanted` takes, in order of key.
pub(super) fn list(
    path: &Path,
    wanted: &dyn Fn(&Path) -> bool,
) -> Result<Vec<PathBuf>, RemoteError> {
    let place = Place::of(path)?;
    let runtime = runtime(&place.address)?;
    let listed: Vec<_> = runtime.block_on(place.store.list(Some(&place.key)).collect());
    let mut keys = Vec::with_capacity(listed.len());
    for object in listed {
        let object = object.map_err(|cause| place.failed(&cause))?;
        // Consoles make empty objects to show a folder.
        if object.size > 0 && wanted(Path::new(object.location.as_ref())) {
            keys.push(object.location.to_string());
        }
    }
    keys.sort();
    let root = parts(path).map_or(String::new(), |(scheme, rest)| {
        format!("{scheme}://{}", rest.split('/').next().unwrap_or(""))
    });
    Ok(keys.into_iter().map(|key| PathBuf::from(format!("{root}/{key}"))).collect())
}

/// The bytes of a file as they come.
type Chunks = BoxStream<'static, object_store::Result<Vec<u8>>>;

fn chunks(got: GetResult) -> Chunks {
    got.into_stream().map(|chunk| chunk.map(Vec::from)).boxed()
}

/// A remote file being read.
struct Stream {
    place: Place,
    chunks: Chunks,
    chunk: Vec<u8>,
    /// Bytes of the chunk that were given.
    taken: usize,
    /// Bytes of the file that came.
    at: u64,
    size: u64,
    etag: Option<String>,
    /// Failures since the last byte.
    stalls: usize,
    runtime: Runtime,
}

impl Stream {
    /// Opens the stream again where it broke; an error when that cannot be, or not again.
    fn resume(&mut self, cause: &object_store::Error) -> io::Result<()> {
        self.stalls += 1;
        // Without a tag it is unknown whether it is still the same file.
        let same = self.etag.clone().filter(|_| self.stalls <= TRIES);
        let Some(etag) = same else { return Err(self.broken(cause)) };
        match self.runtime.block_on(self.place.get(self.at, Some(etag))) {
            Ok(got) => {
                self.chunks = chunks(got);
                Ok(())
            }
            Err(cause) => Err(self.broken(&cause)),
        }
    }

    fn broken(&self, cause: &object_store::Error) -> io::Error {
        let mut failed = self.place.failed(cause);
        if let RemoteError::Failed { cause, .. } = &mut failed {
            *cause = format!("broke off after {} of {} bytes: {cause}", self.at, self.size);
        }
        io::Error::other(failed)
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.chunk.len() {
            match self.runtime.block_on(self.chunks.next()) {
                None => return Ok(0),
                Some(Ok(chunk)) => {
                    self.at += chunk.len() as u64;
                    self.stalls = 0;
                    (self.chunk, self.taken) = (chunk, 0);
                }
                Some(Err(cause)) => self.resume(&cause)?,
            }
        }
        let length = buffer.len().min(self.chunk.len() - self.taken);
        buffer[..length].copy_from_slice(&self.chunk[self.taken..self.taken + length]);
        self.taken += length;
        Ok(length)
    }
}
