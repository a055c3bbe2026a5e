//! Names and passwords.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use corelane_eventloop::{JobError, Nanos, ThreadPool};
use sha2::{Digest, Sha256};

use super::credentials;
use super::error::MiddlewareError;
use super::user::User;
use super::users::Users;
use crate::web::{Before, Middleware, Request, Response};

const NAME: &str = "basic-auth";

/// Lets in who knows a password (RFC 7617), and leaves a [`User`] on the request; others get 401.
///
/// Hashing a password takes long on purpose, so it is done by a [`ThreadPool`], while the lane serves
/// others; if that has too much to do, the answer is 503. Credentials that were right are remembered
/// for a while ([`remember`](BasicAuth::remember)), by a keyed SHA-256, so that only the first request
/// of a client waits. Each lane remembers its own. A user who is taken off the list gets in until the
/// application is built anew.
///
/// Passwords travel readable: use https. A [`RateLimit`](super::RateLimit) further out keeps those who
/// guess from keeping the pool busy.
///
/// ```
/// use std::sync::Arc;
/// use corelane_eventloop::ThreadPool;
/// use corelane_http::middleware::{BasicAuth, User, Users};
/// use corelane_http::web::testing::{TestRequest, TestServer};
/// use corelane_http::web::{Request, Routes};
///
/// let users: Users = "ada:$2y$04$dBI/V4bm.BX7JeLnCPg7h.vUAVPfIsxfQF0H9HxHPiGtAks.Ki2R6".parse()?;
/// // In a server: `ThreadPool::new("passwords", 2, 100)`, for all lanes.
/// let auth = BasicAuth::new("figures", Arc::new(users), ThreadPool::inline())?;
/// let who = |request: &Request<'_>| request.get::<User>().map(|user| user.name().to_owned());
/// let mut server = TestServer::new(Routes::new().get("/", who).with(auth).build()?);
///
/// let response = server.get("/");
/// let challenge = r#"Basic realm="figures", charset="UTF-8""#;
/// assert_eq!((response.status(), response.field("WWW-Authenticate")), (401, Some(challenge)));
/// // ada:lovelace
/// let request = TestRequest::get("/").header("Authorization", "Basic YWRhOmxvdmVsYWNl");
/// assert_eq!(server.send(request).text(), "ada");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct BasicAuth {
    users: Arc<Users>,
    pool: ThreadPool,
    challenge: String,
    known: Rc<RefCell<Known>>,
}

/// Credentials that were right.
struct Known {
    most: usize,
    time: Nanos,
    /// What is hashed with credentials, so that entries are of no use elsewhere.
    key: Option<u64>,
    /// By hash: until when, and who.
    entries: BTreeMap<[u8; 32], (Nanos, User)>,
}

impl BasicAuth {
    /// For these users. The realm names what is protected, for people.
    ///
    /// # Errors
    /// If the realm has a control character.
    pub fn new(
        realm: &str,
        users: Arc<Users>,
        pool: ThreadPool,
    ) -> Result<BasicAuth, MiddlewareError> {
        let Some(realm) = credentials::quoted(realm) else {
            return Err(MiddlewareError::new(NAME, "the realm has a control character"));
        };
        let known =
            Known { most: 1024, time: Nanos::from_secs(300), key: None, entries: BTreeMap::new() };
        Ok(BasicAuth {
            users,
            pool,
            challenge: format!("Basic realm={realm}, charset=\"UTF-8\""),
            known: Rc::new(RefCell::new(known)),
        })
    }

    /// How many credentials each lane remembers, and how long. By default 1,024 (of about 100 bytes)
    /// for 5 minutes; 0 for none.
    pub fn remember(self, most: usize, time: Duration) -> BasicAuth {
        {
            let mut known = self.known.borrow_mut();
            known.most = most;
            known.time = time.into();
        }
        self
    }

    fn refusal(&self) -> Response {
        refusal(&self.challenge)
    }
}

fn refusal(challenge: &str) -> Response {
    Response::problem(401, "a name and a password are needed").with("WWW-Authenticate", challenge)
}

impl Middleware for BasicAuth {
    fn name(&self) -> &'static str {
        NAME
    }

    fn before(&self, request: &Request<'_>) -> Before {
        let Some(token) = credentials::of_scheme(request, "Basic") else {
            return Before::Answer(self.refusal());
        };
        let hash = self.known.borrow_mut().hash(token, request.random());
        if let Some(user) = self.known.borrow().get(&hash, request.now()) {
            request.insert(user);
            return Before::Next;
        }
        let Some((name, password)) = credentials::basic(token) else {
            return Before::Answer(self.refusal());
        };
        let (users, user) = (self.users.clone(), User::new(name.as_str()));
        let job = self.pool.run(move || users.verify(&name, &password));
        let (known, challenge) = (self.known.clone(), self.challenge.clone());
        let (extensions, now, peer) = (request.extensions().clone(), request.now(), request.peer());
        Before::Wait(Box::pin(async move {
            match job.await {
                Ok(true) => {
                    known.borrow_mut().put(hash, user.clone(), now);
                    extensions.insert(user);
                    Ok(())
                }
                Ok(false) => {
                    tracing::info!(%peer, user = user.name(), "a password was wrong");
                    Err(refusal(&challenge))
                }
                Err(error) => Err(unavailable(&error)),
            }
        }))
    }
}

#[cold]
fn unavailable(error: &JobError) -> Response {
    tracing::warn!(%error, "a password could not be checked");
    Response::problem(503, "passwords cannot be checked now").with("Retry-After", "1")
}

impl Known {
    fn hash(&mut self, token: &[u8], random: u64) -> [u8; 32] {
        let key = *self.key.get_or_insert(random);
        Sha256::new().chain_update(key.to_ne_bytes()).chain_update(token).finalize().into()
    }

    fn get(&self, hash: &[u8; 32], now: Nanos) -> Option<User> {
        let (until, user) = self.entries.get(hash)?;
        (now < *until).then(|| user.clone())
    }

    /// In the place of one that has expired, or will be the first to.
    fn put(&mut self, hash: [u8; 32], user: User, now: Nanos) {
        if self.most == 0 {
            return;
        }
        if self.entries.len() >= self.most && !self.entries.contains_key(&hash) {
            let first = self.entries.iter().min_by_key(|(_, (until, _))| *until);
            if let Some(first) = first.map(|(hash, _)| *hash) {
                self.entries.remove(&first);
            }
        }
        self.entries.insert(hash, (now + self.time, user));
    }
}
