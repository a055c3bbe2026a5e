//! A request, as handlers and middleware see it.

use std::cell::{RefCell, RefMut};
use std::net::IpAddr;
use std::rc::Rc;

use corelane_eventloop::{ConnId, Files, Nanos, Origin, Peer, Stage, Tracer};
use corelane_parser::http1::{Field, Head, Method, Version};

use super::extensions::Extensions;
use super::head::{HeadView, OwnedHead};
use super::lane::Lane;
use super::params::Params;
use crate::middleware::Id;

/// Where and when a request came in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) now: Nanos,
    pub(crate) wall: Nanos,
    pub(crate) since: Nanos,
    pub(crate) peer: Peer,
    pub(crate) origin: Origin,
    pub(crate) conn: ConnId,
    pub(crate) random: u64,
}

pub(crate) type FilesCell<'a> = RefCell<&'a mut (dyn Files + Send)>;

/// One request. Most of it is borrowed from the connection's input, so nothing is copied for a handler
/// that answers at once.
pub struct Request<'a> {
    pub(crate) head: HeadView<'a>,
    pub(crate) body: &'a [u8],
    pub(crate) params: Params<'a>,
    pub(crate) route: Option<&'a str>,
    pub(crate) place: Place,
    pub(crate) extensions: &'a Extensions,
    pub(crate) files: Option<&'a FilesCell<'a>>,
    /// Absent within a future.
    pub(crate) tracer: Option<&'a Tracer>,
}

impl<'a> Request<'a> {
    /// The method.
    pub fn method(&self) -> Method<'a> {
        self.head.method()
    }

    /// The target as sent.
    pub fn target(&self) -> &'a str {
        self.head.target()
    }

    /// The path, still encoded.
    pub fn path(&self) -> &'a str {
        self.head.path()
    }

    /// What follows the first `?`, still encoded.
    pub fn query(&self) -> Option<&'a str> {
        self.head.query()
    }

    /// The version.
    pub fn version(&self) -> Version {
        self.head.version()
    }

    /// Whom the request is for: the host, with its port if one was named. Absent in HTTP/1.0 only.
    pub fn authority(&self) -> Option<&'a str> {
        self.head.authority()
    }

    /// The value of the first field of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.head.fields().find(|field| field.name.eq_ignore_ascii_case(name)).map(|f| f.value)
    }

    /// The value of the first field of this name, if it is UTF-8.
    pub fn header_str(&self, name: &str) -> Option<&'a str> {
        std::str::from_utf8(self.header(name)?).ok()
    }

    /// The values of all fields of this name, in any case.
    pub fn headers<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let named = move |field: &Field<'a>| field.name.eq_ignore_ascii_case(name);
        self.head.fields().filter(named).map(|field| field.value)
    }

    /// All fields, in order.
    pub fn fields(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        self.head.fields()
    }

    /// The body: empty if there was none, or while middleware looks at the head alone.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The parameters of the route.
    pub fn params(&self) -> &Params<'a> {
        &self.params
    }

    /// The pattern or the name of the route, for metrics and logs; `None` if no route matched.
    pub fn route(&self) -> Option<&'a str> {
        self.route
    }

    /// The other end of the connection.
    pub fn peer(&self) -> Peer {
        self.place.peer
    }

    /// The address of the other end, unless it came through a Unix socket.
    pub fn peer_ip(&self) -> Option<IpAddr> {
        match self.place.peer {
            Peer::Ip(address) => Some(address.ip()),
            Peer::Unix => None,
        }
    }

    /// The listener that the connection came in through.
    pub fn origin(&self) -> Origin {
        self.place.origin
    }

    /// The connection.
    pub fn conn(&self) -> ConnId {
        self.place.conn
    }

    /// The lane's clock. It stands still within a turn: what a plain handler takes cannot be seen by it.
    pub fn now(&self) -> Nanos {
        self.place.now
    }

    /// Time since the Unix epoch.
    pub fn wall(&self) -> Nanos {
        self.place.wall
    }

    /// When the first byte of the request came, by the lane's clock.
    pub fn since(&self) -> Nanos {
        self.place.since
    }

    /// A number drawn for this request: for ids and sampling, not for secrets.
    pub fn random(&self) -> u64 {
        self.place.random
    }

    /// Its id, if it was given one: by [`RequestId`](crate::middleware::RequestId), or by middleware of
    /// your own.
    pub fn id(&self) -> Option<&'a Id> {
        self.extensions.id()
    }

    /// Gives it an id, for handlers and logs, unless it has one.
    pub fn set_id(&self, id: Id) {
        self.extensions.set_id(|| id);
    }

    /// What middleware and handlers have left on the request.
    pub fn extensions(&self) -> &'a Extensions {
        self.extensions
    }

    /// Leaves a value on the request, in the place of one of the same type.
    pub fn insert<T: 'static>(&self, value: T) {
        self.extensions.insert(value);
    }

    /// The value of this type that was left on the request.
    pub fn get<T: 'static>(&self) -> Option<Rc<T>> {
        self.extensions.get()
    }

    /// Adds a note to the trace of the connection, if it is traced.
    #[inline]
    pub(crate) fn note(&self, stage: Stage, event: &'static str, detail: impl FnOnce() -> String) {
        if let Some(tracer) = self.tracer {
            tracer.note(self.place.conn.key, self.place.now, stage, event, detail);
        }
    }

    /// The server's files; `None` in an `async` handler, which has them by way of its response.
    pub fn files(&self) -> Option<RefMut<'a, &'a mut (dyn Files + Send)>> {
        self.files.and_then(|files| files.try_borrow_mut().ok())
    }
}

/// A request that outlives its head: what `async` handlers get. A clone is another handle to the same
/// request.
#[derive(Clone)]
pub struct OwnedRequest(pub(crate) Rc<Owned>);

pub(crate) struct Owned {
    pub(crate) head: OwnedHead,
    pub(crate) body: Vec<u8>,
    pub(crate) params: Vec<(String, String)>,
    pub(crate) route: Option<Rc<str>>,
    pub(crate) place: Place,
    pub(crate) extensions: Extensions,
    pub(crate) lane: Lane,
}

impl Owned {
    pub(crate) fn of(
        head: &Head<'_>,
        params: Vec<(String, String)>,
        route: Option<Rc<str>>,
        place: Place,
        extensions: Extensions,
        lane: Lane,
    ) -> Owned {
        Owned {
            head: OwnedHead::of(head),
            body: Vec::new(),
            params,
            route,
            place,
            extensions,
            lane,
        }
    }

    pub(crate) fn view<'a>(&'a self, files: Option<&'a FilesCell<'a>>) -> Request<'a> {
        Request {
            head: HeadView::Owned(&self.head),
            body: &self.body,
            params: Params::owned(&self.params),
            route: self.route.as_deref(),
            place: Place { now: self.place.now.max(self.lane.local().now()), ..self.place },
            extensions: &self.extensions,
            files,
            tracer: None,
        }
    }
}

impl OwnedRequest {
    /// The request as plain handlers see it, with everything that can be asked of it.
    pub fn view(&self) -> Request<'_> {
        self.0.view(None)
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.0.body
    }

    /// The lane that serves it: its clock, its timers, and futures beside this one.
    pub fn lane(&self) -> &Lane {
        &self.0.lane
    }

    /// What middleware and handlers have left on the request.
    pub fn extensions(&self) -> &Extensions {
        &self.0.extensions
    }
}
