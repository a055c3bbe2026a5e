//! What answers requests.

use corelane_parser::http1::{Head, HttpDate};

use crate::reply::{Replied, Reply};

/// Answers the requests of one lane: once per request, in order, after its body has arrived whole and
/// been checked.
///
/// ```
/// use corelane_http::{Handler, Replied, Reply};
/// use corelane_parser::http1::Head;
///
/// /// Answers with the path of the request and the size of its body.
/// struct Mirror;
///
/// impl Handler for Mirror {
///     type Request = (String, usize);
///     fn begin(&mut self, head: &Head<'_>) -> (String, usize) {
///         (head.path().to_owned(), 0)
///     }
///     fn body(&mut self, request: &mut (String, usize), data: &[u8]) {
///         request.1 += data.len();
///     }
///     fn reply(&mut self, (path, size): (String, usize), reply: Reply<'_>) -> Replied {
///         let body = format!("{path}: {size} bytes\n");
///         reply.send(200, &[("Content-Type", "text/plain")], body.as_bytes())
///     }
/// }
/// ```
pub trait Handler {
    /// What is kept of a request while its body arrives. `()` if nothing is needed.
    type Request;

    /// A request's head is there. It is a view of the input, and gone once this returns.
    fn begin(&mut self, head: &Head<'_>) -> Self::Request;

    /// Whether the body of this request, which has one, is wanted. Asked once, after
    /// [`begin`](Handler::begin) and before the client is told to go on (`Expect: 100-continue`).
    /// If not, [`reply`](Handler::reply) comes at once, and the connection closes after the answer
    /// (RFC 9110 §10.1.1).
    fn wants_body(&mut self, request: &Self::Request) -> bool {
        let _ = request;
        true
    }

    /// The next piece of the request's body.
    fn body(&mut self, request: &mut Self::Request, data: &[u8]) {
        let _ = (request, data);
    }

    /// The request is complete: answer it. The return value is what the methods of [`Reply`] return,
    /// so that no request can be left without an answer.
    fn reply(&mut self, request: Self::Request, reply: Reply<'_>) -> Replied;

    /// A new second has begun; comes before the first answer of that second. The place to set the
    /// date of prerendered answers.
    fn date(&mut self, date: &HttpDate) {
        let _ = date;
    }
}
