//! Requests to a server under test.

use std::fmt;

use serde::Serialize;

/// A request to be sent to a [`TestServer`](super::TestServer). It goes out as it is written here,
/// so it may as well be wrong.
///
/// ```
/// use corelane_http::web::testing::TestRequest;
///
/// let request = TestRequest::post("/notes").json(&["a"]).header("X-Trace", "1");
/// let bytes = "POST /notes HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n\
///              X-Trace: 1\r\nContent-Length: 5\r\n\r\n[\"a\"]";
/// assert_eq!(request.bytes(), bytes.as_bytes());
/// ```
#[derive(Clone)]
pub struct TestRequest {
    method: String,
    target: String,
    version: &'static str,
    fields: Vec<(String, Vec<u8>)>,
    body: Body,
    cuts: Cuts,
}

#[derive(Clone)]
enum Body {
    None,
    Length(Vec<u8>),
    Chunked(Vec<Vec<u8>>, Vec<(String, String)>),
}

#[derive(Clone)]
enum Cuts {
    At(Vec<usize>),
    Every(usize),
}

impl TestRequest {
    /// A request for a target, by any method. `Host` is `test`, unless it is given.
    pub fn new(method: &str, target: &str) -> TestRequest {
        TestRequest {
            method: method.to_owned(),
            target: target.to_owned(),
            version: "HTTP/1.1",
            fields: Vec::new(),
            body: Body::None,
            cuts: Cuts::At(Vec::new()),
        }
    }

    /// A GET.
    pub fn get(target: &str) -> TestRequest {
        TestRequest::new("GET", target)
    }

    /// A POST.
    pub fn post(target: &str) -> TestRequest {
        TestRequest::new("POST", target)
    }

    /// A PUT.
    pub fn put(target: &str) -> TestRequest {
        TestRequest::new("PUT", target)
    }

    /// A DELETE.
    pub fn delete(target: &str) -> TestRequest {
        TestRequest::new("DELETE", target)
    }

    /// Of HTTP/1.0.
    pub fn http10(mut self) -> TestRequest {
        self.version = "HTTP/1.0";
        self
    }

    /// Adds a field.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> TestRequest {
        self.fields.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// With a body, whose length is announced.
    pub fn body(mut self, body: impl AsRef<[u8]>) -> TestRequest {
        self.body = Body::Length(body.as_ref().to_vec());
        self
    }

    /// With a value as JSON.
    ///
    /// # Panics
    /// If it cannot be written as JSON.
    pub fn json(self, value: &impl Serialize) -> TestRequest {
        let body = serde_json::to_vec(value).expect("the value can be written as JSON");
        self.header("Content-Type", "application/json").body(body)
    }

    /// With the fields of a form, which are encoded already: `name=ada&age=36`.
    pub fn form(self, encoded: &str) -> TestRequest {
        self.header("Content-Type", "application/x-www-form-urlencoded").body(encoded)
    }

    /// With a body in these chunks.
    pub fn chunked<B: AsRef<[u8]>>(mut self, chunks: &[B]) -> TestRequest {
        let chunks = chunks.iter().map(|chunk| chunk.as_ref().to_vec()).collect();
        self.body = Body::Chunked(chunks, Vec::new());
        self
    }

    /// Adds a trailer field; for bodies in chunks.
    pub fn trailer(mut self, name: &str, value: &str) -> TestRequest {
        if let Body::Chunked(_, trailers) = &mut self.body {
            trailers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Has it arrive in pieces, a millisecond apart, cut at these places of [`bytes`](Self::bytes),
    /// in ascending order.
    pub fn cut_at(mut self, places: &[usize]) -> TestRequest {
        self.cuts = Cuts::At(places.to_vec());
        self
    }

    /// Has it arrive in pieces of so many bytes, a millisecond apart.
    pub fn cut_every(mut self, bytes: usize) -> TestRequest {
        self.cuts = Cuts::Every(bytes.max(1));
        self
    }

    /// The method.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The target.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The whole request, as it is sent.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes =
            format!("{} {} {}\r\n", self.method, self.target, self.version).into_bytes();
        let mut field = |name: &str, value: &[u8]| {
            for part in [name.as_bytes(), b": ", value, b"\r\n"] {
                bytes.extend_from_slice(part);
            }
        };
        if !self.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("Host")) {
            field("Host", b"test");
        }
        for (name, value) in &self.fields {
            field(name, value);
        }
        match &self.body {
            Body::None => bytes.extend_from_slice(b"\r\n"),
            Body::Length(body) => {
                field("Content-Length", body.len().to_string().as_bytes());
                bytes.extend_from_slice(b"\r\n");
                bytes.extend_from_slice(body);
            }
            Body::Chunked(chunks, trailers) => {
                field("Transfer-Encoding", b"chunked");
                bytes.extend_from_slice(b"\r\n");
                for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
                    bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    bytes.extend_from_slice(chunk);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n");
                for (name, value) in trailers {
                    bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
                }
                bytes.extend_from_slice(b"\r\n");
            }
        }
        bytes
    }

    /// Where it is cut.
    pub(super) fn cuts(&self) -> Vec<usize> {
        match &self.cuts {
            Cuts::At(places) => places.clone(),
            Cuts::Every(step) => (*step..self.bytes().len()).step_by(*step).collect(),
        }
    }
}

impl fmt::Debug for TestRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.bytes()))
    }
}
