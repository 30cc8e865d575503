//! Requests of a web server, answered as streams: with a bearer token, from a byte on, following
//! redirects, which lose the token when they lead to another host. Nothing is repeated and nothing
//! is cached: who asks knows where to continue.

use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RANGE, USER_AGENT};
use reqwest::{Client, Response};
use tokio::runtime::Runtime;

use crate::client::{SILENCE_SECONDS, choose_provider, runtime, without_queries};
use crate::{RemoteError, WebRequest, WebResponse, shown};

/// Redirects that are followed.
const REDIRECTS: usize = 10;

fn failed(address: &str, cause: impl std::fmt::Display) -> RemoteError {
    RemoteError::Failed {
        address: shown(Path::new(address)),
        cause: without_queries(&cause.to_string()),
        remedy: "check the address and the network, then run the same command again",
    }
}

/// An error with its causes, which say what the network did.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    text
}

/// Asks, and gives the head of the answer with a stream of its body.
pub(super) fn get(request: &WebRequest<'_>) -> Result<WebResponse, RemoteError> {
    choose_provider();
    let address = request.address;
    let runtime = runtime(Path::new(address))?;
    let client = Client::builder()
        .connect_timeout(Duration::from_secs(SILENCE_SECONDS))
        .read_timeout(Duration::from_secs(SILENCE_SECONDS))
        .redirect(reqwest::redirect::Policy::limited(REDIRECTS))
        .build()
        .map_err(|error| failed(address, causes(&error)))?;
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static("stoa"));
    if let Some(token) = request.bearer {
        let value = HeaderValue::from_str(&format!("Bearer {token}"));
        let mut value =
            value.map_err(|_| failed(address, "the token holds signs that no token has"))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    if request.from > 0 {
        let range = HeaderValue::from_str(&format!("bytes={}-", request.from));
        headers.insert(RANGE, range.map_err(|error| failed(address, error))?);
    }
    // The timeouts of a request begin within the runtime.
    let sent = runtime.block_on(async { client.get(address).headers(headers).send().await });
    let response = sent.map_err(|error| failed(address, causes(&error)))?;
    let header = |name: &str| {
        response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    Ok(WebResponse {
        status: response.status().as_u16(),
        length: response.content_length(),
        next: header("link").and_then(|link| next_page(&link)),
        body: Box::new(Body { response, runtime, chunk: Vec::new(), taken: 0 }),
    })
}

/// The address of `<ADDRESS>; rel="next"` in a `Link` header (RFC 8288).
fn next_page(link: &str) -> Option<String> {
    let next = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    let address = next.trim().strip_prefix('<')?;
    Some(address.split_once('>')?.0.to_owned())
}

/// The body of an answer as it comes.
struct Body {
    response: Response,
    runtime: Runtime,
    chunk: Vec<u8>,
    /// Bytes of the chunk that were given.
    taken: usize,
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.chunk.len() {
            match self.runtime.block_on(self.response.chunk()) {
                Ok(None) => return Ok(0),
                Ok(Some(chunk)) => (self.chunk, self.taken) = (chunk.to_vec(), 0),
                Err(error) => return Err(io::Error::other(without_queries(&causes(&error)))),
            }
        }
        let length = buffer.len().min(self.chunk.len() - self.taken);
        buffer[..length].copy_from_slice(&self.chunk[self.taken..self.taken + length]);
        self.taken += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_that_of_its_relation() {
        let link = "<https://h/a?cursor=1>; rel=\"prev\", <https://h/a?cursor=3>; rel=\"next\"";
        assert_eq!(next_page(link).as_deref(), Some("https://h/a?cursor=3"));
        assert_eq!(next_page("<https://h/a>; rel=\"last\""), None);
    }
}
