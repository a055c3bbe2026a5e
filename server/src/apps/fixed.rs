//! A server that gives every request the same answer.

use corelane_http::{Context, Handler, Replied, Reply, RouteId, RouteNames};
use corelane_mempool::Shared;
use corelane_parser::http1::encode::EncodeError;
use corelane_parser::http1::{Head, HttpDate, Prerendered};

/// A body up to this size is kept behind its head, so that the whole answer is one copy; a larger one
/// is sent from where it is, shared by all connections.
const INLINE: usize = 1024;

/// Answers every request, whatever its method and path, with one fixed response.
///
/// ```
/// use corelane::apps::fixed::Fixed;
/// let fixed = Fixed::new(200, &[("Content-Type", "text/plain")], b"Vrypt".to_vec())?;
/// assert!(Fixed::new(200, &[("Bad Name", "x")], Vec::new()).is_err());
/// # let _ = fixed;
/// # Ok::<(), corelane_parser::http1::encode::EncodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Fixed {
    status: u16,
    rendered: Prerendered,
    body: Option<Shared>,
    route: RouteId,
}

impl Fixed {
    /// Renders the response.
    ///
    /// # Errors
    /// If the status is none, a field is malformed or belongs to the protocol, or the status forbids
    /// a body and there is one.
    pub fn new(status: u16, fields: &[(&str, &str)], body: Vec<u8>) -> Result<Fixed, EncodeError> {
        if status < 200 {
            return Err(EncodeError::Status);
        }
        if body.len() <= INLINE {
            let rendered = Prerendered::new(status, fields, &body)?;
            return Ok(Fixed { status, rendered, body: None, route: RouteId::default() });
        }
        if matches!(status, 204 | 304) {
            return Err(EncodeError::BodyForbidden);
        }
        let rendered = Prerendered::without_body(status, fields, body.len() as u64)?;
        Ok(Fixed { status, rendered, body: Some(Shared::from(body)), route: RouteId::default() })
    }
}

impl Handler for Fixed {
    type Request = ();

    fn name_routes(&mut self, routes: &RouteNames) {
        self.route = routes.route("fixed");
    }

    #[inline]
    fn begin(&mut self, _head: &Head<'_>, _context: &mut Context<'_>) {}

    #[inline]
    fn reply(&mut self, _request: (), reply: Reply<'_>) -> Replied {
        let reply = reply.of_route(self.route);
        match &self.body {
            None => reply.prerendered(&self.rendered, self.status),
            Some(body) => reply.shared(&self.rendered, self.status, body),
        }
    }

    fn date(&mut self, date: &HttpDate) {
        self.rendered.set_date(date);
    }
}
