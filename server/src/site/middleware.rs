//! From the middleware of a configuration to that of the library.

use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use corelane_eventloop::ThreadPool;
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

/// The middleware of the server, of a host and of a route, each with where it stands in the file.
#[derive(Clone)]
pub(super) struct Levels<'a>(Vec<(&'a Middleware, String)>);

impl<'a> Levels<'a> {
    pub(super) fn new(whole: &'a Middleware) -> Levels<'a> {
        Levels(vec![(whole, "middleware".to_owned())])
    }

    /// One level further in.
    pub(super) fn and(&self, inner: &'a Middleware, place: &str) -> Levels<'a> {
        let mut levels = self.clone();
        levels.0.push((inner, format!("{place}.middleware")));
        levels
    }

    /// What the innermost level that says anything about it says, and where it stands.
    fn find<T: Clone>(
        &self,
        key: &str,
        of: impl Fn(&'a Middleware) -> &'a Toggle<T>,
    ) -> Option<(&'a T, String)> {
        let said = |(level, _): &&(&'a Middleware, String)| !matches!(of(level), Toggle::Inherit);
        let (level, place) = self.0.iter().rev().find(said)?;
        Some((of(level).on()?, format!("{place}.{key}")))
    }
}

/// What counts for the whole process, whichever lane asks.
pub(super) struct Shared(Mutex<State>);

#[derive(Default)]
struct State {
    limiters: Vec<(String, config::RateLimit, RateLimiter)>,
    users: Vec<(String, Arc<Users>)>,
    passwords: Option<ThreadPool>,
}

impl Shared {
    /// What has been counted goes on where a limit is as before; passwords are read anew.
    pub(super) fn after(before: Option<&Shared>) -> Shared {
        let state = before.map(|before| {
            let before = before.lock();
            let (limiters, passwords) = (before.limiters.clone(), before.passwords.clone());
            State { limiters, passwords, users: Vec::new() }
        });
        Shared(Mutex::new(state.unwrap_or_default()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn limiter(&self, place: &str, settings: &config::RateLimit) -> RateLimiter {
        let mut state = self.lock();
        let same = |(other, known, _): &&(String, config::RateLimit, RateLimiter)| {
            other == place && known == settings
        };
        if let Some((.., limiter)) = state.limiters.iter().find(same) {
            return limiter.clone();
        }
        let mut quota = Quota::new(settings.rate.count, settings.rate.per);
        if let Some(burst) = settings.burst {
            quota = quota.burst(u32::try_from(burst.get()).unwrap_or(u32::MAX));
        }
        let limiter = RateLimiter::new(quota, RATE_KEYS);
        state.limiters.retain(|(other, ..)| other != place);
        state.limiters.push((place.to_owned(), settings.clone(), limiter.clone()));
        limiter
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
    if let Some((settings, place)) = levels.find("rate_limit", |level| &level.rate_limit) {
        let mut link = RateLimit::new(shared.links.limiter(&place, settings));
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

    #[test]
    fn middleware_of_a_route_replaces_that_around_it() {
        let text = r#"{
            "middleware": { "compression": true, "request_id": true, "timeout": "5s" },
            "routes": [{ "path": "/", "fixed": {},
                "middleware": { "compression": false, "timeout": "9s" } }]
        }"#;
        let config = Sources::new().text("site.json", text).load().unwrap().config;
        let levels = Levels::new(&config.middleware).and(&config.routes[0].middleware, "routes[0]");
        assert!(levels.find("compression", |level| &level.compression).is_none());
        let (id, place) = levels.find("request_id", |level| &level.request_id).unwrap();
        assert_eq!(Some(id), config.middleware.request_id.on());
        assert_eq!(place, "middleware.request_id");
        let (time, place) = levels.find("timeout", |level| &level.timeout).unwrap();
        assert_eq!((time.get().as_secs(), &place[..]), (9, "routes[0].middleware.timeout"));
        assert!(levels.find("cors", |level| &level.cors).is_none());
    }
}
