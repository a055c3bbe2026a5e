//! From the middleware of a configuration to that of the library.

use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use corelane_eventloop::{ThreadPool, ThreadPoolStats};
use corelane_http::middleware::{
    BasicAuth, BodyLimit, Compress, Cors, MiddlewareError, Quota, RateLimit, RateLimiter,
    RequestId, SecurityHeaders, SetHeaders, Timeout, Users,
};
use corelane_http::negotiate::Encoding;
use corelane_http::web::Middleware as Link;

use super::build::{self, BuildError};
use super::live::Counted;
use crate::config::{self, Frame, HeaderRules, Middleware, RateKey, Toggle};

/// Clients that a rate limit tells apart.
const RATE_KEYS: usize = 1 << 16;

/// Threads that check passwords, and how many may wait for them.
const PASSWORD_THREADS: usize = 2;
const PASSWORD_QUEUE: usize = 256;

/// The middleware of the server, of a host and of a route.
#[derive(Clone)]
pub(super) struct Levels<'a>(Vec<Level<'a>>);

#[derive(Clone)]
struct Level<'a> {
    middleware: &'a Middleware,
    /// Where it stands in the file, for messages.
    place: String,
    /// Host and path: what it is known by in the next configuration, wherever it stands in that.
    subject: String,
}

impl<'a> Levels<'a> {
    pub(super) fn new(whole: &'a Middleware) -> Levels<'a> {
        let (place, subject) = ("middleware".to_owned(), String::new());
        Levels(vec![Level { middleware: whole, place, subject }])
    }

    /// One level further in: that of a host, by its name, or of a route, by its path.
    pub(super) fn and(&self, middleware: &'a Middleware, place: &str, name: &str) -> Levels<'a> {
        let mut levels = self.clone();
        let around = self.0.last().map_or("", |level| &level.subject);
        let (place, subject) = (format!("{place}.middleware"), format!("{around} {name}"));
        levels.0.push(Level { middleware, place, subject });
        levels
    }

    /// What the innermost level that says anything about it says, and where it stands.
    fn find<T: Clone>(
        &self,
        key: &str,
        of: impl Fn(&'a Middleware) -> &'a Toggle<T>,
    ) -> Option<(&'a T, String)> {
        let level = self.said(&of)?;
        Some((of(level.middleware).on()?, format!("{}.{key}", level.place)))
    }

    fn said<T: 'a>(&self, of: impl Fn(&'a Middleware) -> &'a Toggle<T>) -> Option<&Level<'a>> {
        let says = |level: &&Level<'a>| !matches!(of(level.middleware), Toggle::Inherit);
        self.0.iter().rev().find(says)
    }
}

/// What counts for the whole process, whichever lane asks.
pub(super) struct Shared(Mutex<State>);

#[derive(Default)]
struct State {
    limiters: Vec<Limiter>,
    /// Those of the configuration before, of which this one may go on with some.
    former: Vec<Limiter>,
    users: Vec<(String, Arc<Users>)>,
    passwords: Option<ThreadPool>,
}

/// One rate limit, and what counts for it.
#[derive(Clone)]
struct Limiter {
    subject: String,
    settings: config::RateLimit,
    limiter: RateLimiter,
}

impl Shared {
    /// What has been counted goes on where a limit is as before; passwords are read anew.
    pub(super) fn after(before: Option<&Shared>) -> Shared {
        let state = before.map(|before| {
            let before = before.lock();
            let (former, passwords) = (before.limiters.clone(), before.passwords.clone());
            State { former, passwords, ..State::default() }
        });
        Shared(Mutex::new(state.unwrap_or_default()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything was built once: what it has not asked for is nobody's.
    pub(super) fn settle(&self) {
        self.lock().former.clear();
    }

    fn limiter(&self, subject: &str, settings: &config::RateLimit) -> RateLimiter {
        let mut state = self.lock();
        let same = |known: &&Limiter| known.subject == subject && known.settings == *settings;
        if let Some(known) = state.limiters.iter().find(same) {
            return known.limiter.clone();
        }
        let limiter = match state.former.iter().find(same) {
            Some(known) => known.limiter.clone(),
            None => {
                let mut quota = Quota::new(settings.rate.count, settings.rate.per);
                if let Some(burst) = settings.burst {
                    quota = quota.burst(u32::try_from(burst.get()).unwrap_or(u32::MAX));
                }
                RateLimiter::new(quota, RATE_KEYS)
            }
        };
        let (subject, settings) = (subject.to_owned(), settings.clone());
        state.limiters.push(Limiter { subject, settings, limiter: limiter.clone() });
        limiter
    }

    /// What the threads do that check passwords, if there are any.
    pub(super) fn passwords(&self) -> Option<ThreadPoolStats> {
        self.lock().passwords.as_ref().map(ThreadPool::stats)
    }

    fn basic_auth(
        &self,
        place: &str,
        settings: &config::BasicAuth,
    ) -> Result<BasicAuth, BuildError> {
        let failed = |error| BuildError::Middleware { place: place.to_owned(), error };
        let mut state = self.lock();
        let known = state.users.iter().find(|(other, _)| other == place);
        let users = match known {
            Some((_, users)) => users.clone(),
            None => {
                let mut users = Users::new();
                if let Some(path) = &settings.htpasswd {
                    let text = std::fs::read_to_string(path.get()).map_err(|error| {
                        let place = format!("{place}.htpasswd");
                        BuildError::File { place, path: path.get().to_owned(), error }
                    })?;
                    users = text.parse().map_err(failed)?;
                }
                for (name, hash) in &settings.users {
                    users = users.with(name, hash.get()).map_err(failed)?;
                }
                let users = Arc::new(users);
                state.users.push((place.to_owned(), users.clone()));
                users
            }
        };
        let pool = match &state.passwords {
            Some(pool) => pool.clone(),
            None => {
                let pool = ThreadPool::new("passwords", PASSWORD_THREADS, PASSWORD_QUEUE)
                    .map_err(BuildError::Threads)?;
                state.passwords.insert(pool).clone()
            }
        };
        BasicAuth::new(&settings.realm, users, pool).map_err(failed)
    }
}

/// The links of a chain, outermost first.
pub(super) fn links(
    levels: &Levels<'_>,
    shared: &build::Shared,
    counted: Option<&Counted>,
) -> Result<Vec<Rc<dyn Link>>, BuildError> {
    let mut links: Vec<Rc<dyn Link>> = Vec::new();
    let failed = |place: String| move |error| BuildError::Middleware { place, error };
    if let Some((settings, _)) = levels.find("request_id", |level| &level.request_id) {
        let trust = settings.trust;
        links.push(Rc::new(RequestId::new().trust_if(move |_| trust)));
    }
    if let Some((settings, place)) =
        levels.find("security_headers", |level| &level.security_headers)
    {
        links.push(Rc::new(security_headers(settings).map_err(failed(place))?));
    }
    if let Some((settings, place)) = levels.find("headers", |level| &level.headers) {
        links.push(Rc::new(header_rules(settings).map_err(failed(place))?));
    }
    if let Some((settings, place)) = levels.find("cors", |level| &level.cors) {
        links.push(Rc::new(cors(settings).map_err(failed(place))?));
    }
    if let Some((settings, _)) = levels.find("rate_limit", |level| &level.rate_limit) {
        let level = levels.said(|level| &level.rate_limit);
        let subject = level.map_or("", |level| &level.subject);
        let mut link = RateLimit::new(shared.links.limiter(subject, settings));
        if let Some((metrics, shard)) = counted {
            link = link.count_into(metrics.clone(), shard.clone());
        }
        links.push(Rc::new(match &settings.key {
            RateKey::Ip => link,
            RateKey::Header(name) => link.by_header(name),
        }));
    }
    if let Some((settings, place)) = levels.find("basic_auth", |level| &level.basic_auth) {
        links.push(Rc::new(shared.links.basic_auth(&place, settings)?));
    }
    if let Some((settings, place)) = levels.find("compression", |level| &level.compression) {
        links.push(Rc::new(compression(settings).map_err(failed(place))?));
    }
    if let Some((time, _)) = levels.find("timeout", |level| &level.timeout) {
        links.push(Rc::new(Timeout::new(time.get())));
    }
    if let Some((bytes, _)) = levels.find("body_limit", |level| &level.body_limit) {
        links.push(Rc::new(BodyLimit::new(bytes.get())));
    }
    Ok(links)
}

fn compression(settings: &config::Compression) -> Result<Compress, MiddlewareError> {
    let order: Vec<Encoding> = settings
        .encodings
        .iter()
        .map(|coding| match coding {
            config::Encoding::Brotli => Encoding::Brotli,
            config::Encoding::Zstd => Encoding::Zstd,
            config::Encoding::Gzip => Encoding::Gzip,
        })
        .collect();
    Compress::new().encodings(&order).min_bytes(settings.min_size.get()).types(&settings.types)
}

fn security_headers(
    settings: &config::SecurityHeaders,
) -> Result<SecurityHeaders, MiddlewareError> {
    let mut link = SecurityHeaders::none();
    if settings.nosniff {
        link = link.set("X-Content-Type-Options", "nosniff")?;
    }
    match settings.frame {
        Frame::Deny => link = link.set("X-Frame-Options", "DENY")?,
        Frame::SameOrigin => link = link.set("X-Frame-Options", "SAMEORIGIN")?,
        Frame::Off => {}
    }
    if let Some(policy) = &settings.referrer_policy {
        link = link.set("Referrer-Policy", policy)?;
    }
    if let Some(policy) = &settings.content_security_policy {
        link = link.set("Content-Security-Policy", policy)?;
    }
    if let Some(max_age) = settings.hsts {
        link = link.hsts(max_age.get());
    }
    Ok(link)
}

fn header_rules(settings: &HeaderRules) -> Result<SetHeaders, MiddlewareError> {
    let mut link = SetHeaders::new();
    for name in &settings.remove {
        link = link.remove(name);
    }
    for (name, value) in &settings.add {
        link = link.set(name, value)?;
    }
    Ok(link)
}

fn cors(settings: &config::Cors) -> Result<Cors, MiddlewareError> {
    let mut link = Cors::builder()
        .methods(settings.methods.iter().cloned())
        .request_headers(settings.headers.iter().cloned())
        .expose(settings.expose.iter().cloned())
        .max_age(settings.max_age.get());
    link = match settings.origins.iter().any(|origin| origin.get() == "*") {
        true => link.any_origin(),
        false => link.origins(settings.origins.iter().map(|origin| origin.get())),
    };
    if settings.credentials {
        link = link.credentials();
    }
    link.build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;
    use corelane_eventloop::Nanos;

    #[test]
    fn middleware_of_a_route_replaces_that_around_it() {
        let text = r#"{
            "middleware": { "compression": true, "request_id": true, "timeout": "5s" },
            "routes": [{ "path": "/", "fixed": {},
                "middleware": { "compression": false, "timeout": "9s" } }]
        }"#;
        let config = Sources::new().text("site.json", text).load().unwrap().config;
        let route = &config.routes[0];
        let levels = Levels::new(&config.middleware).and(&route.middleware, "routes[0]", "/");
        assert!(levels.find("compression", |level| &level.compression).is_none());
        let (id, place) = levels.find("request_id", |level| &level.request_id).unwrap();
        assert_eq!(Some(id), config.middleware.request_id.on());
        assert_eq!(place, "middleware.request_id");
        let (time, place) = levels.find("timeout", |level| &level.timeout).unwrap();
        assert_eq!((time.get().as_secs(), &place[..]), (9, "routes[0].middleware.timeout"));
        assert!(levels.find("cors", |level| &level.cors).is_none());
    }

    #[test]
    fn limiters_are_known_by_what_they_are_for_and_kept_for_as_long_as_they_are_used() {
        let limit = |rate: &str| {
            let text = format!(r#"{{ "middleware": {{ "rate_limit": {{ "rate": "{rate}" }} }} }}"#);
            let config = Sources::new().text("site.json", text).load().unwrap().config;
            config.middleware.rate_limit.on().unwrap().clone()
        };
        let (slow, fast) = (limit("1/h"), limit("9/s"));
        let first = Shared::after(None);
        let ask = |shared: &Shared, subject: &str, settings| {
            shared.limiter(subject, settings).check("peer", Nanos::ZERO).allowed
        };
        assert!(ask(&first, "a /x", &slow));
        // Another lane has the same; another route, or limit, has its own.
        assert!(!ask(&first, "a /x", &slow));
        assert!(ask(&first, "a /y", &slow));
        assert!(ask(&first, "a /x", &fast));
        first.settle();
        let second = Shared::after(Some(&first));
        assert!(!ask(&second, "a /x", &slow));
        second.settle();
        let left = |state: &State| (state.limiters.len(), state.former.len());
        assert_eq!(left(&second.lock()), (1, 0));
        assert!(ask(&second, "a /y", &slow));
    }
}
