//! How often clients may ask.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::rc::Rc;

use corelane_eventloop::Nanos;
use corelane_metrics::{CounterId, RegistryBuilder, Shard};

use super::network::Network;
use super::rate_limiter::{Allowance, RateLimiter};
use super::user::User;
use crate::web::{Before, Middleware, Request, Response};

/// Answers 429 (RFC 6585 §4) to clients that ask more often than a [`RateLimiter`] allows, with
/// Retry-After (RFC 9110 §10.2.3), RateLimit and RateLimit-Policy
/// ([draft-ietf-httpapi-ratelimit-headers-10](https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/10/)).
///
/// ```
/// use std::time::Duration;
/// use corelane_http::middleware::{Quota, RateLimit, RateLimiter};
/// use corelane_http::web::{Request, Routes};
///
/// // One for the whole process, made before the lanes; each lane gets a clone.
/// let limiter = RateLimiter::new(Quota::new(100, Duration::from_secs(60)), 100_000);
///
/// let limit = RateLimit::new(limiter.clone()).exempt(["127.0.0.0/8".parse()?]);
/// let app = Routes::new().get("/", |_: &Request<'_>| "hello\n").with(limit).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Clients are told apart by their address: an IPv6 one by its first 64 bits, which are one
/// customer's. All that come through a Unix socket are one. Behind a proxy all clients have its
/// address: tell them apart [by a field](RateLimit::by_header) that it sets.
///
/// Two of them with the same limiter and the same kind of key count together.
pub struct RateLimit {
    limiter: RateLimiter,
    key: Key,
    exempt: Vec<Network>,
    announce: bool,
    policy: String,
    published: Option<(RateLimitMetrics, Rc<Shard>)>,
}

/// The metrics of rate limits, declared once per process.
#[derive(Clone, Debug)]
pub struct RateLimitMetrics {
    refused: CounterId,
}

impl RateLimitMetrics {
    /// Requests refused by rate limits.
    pub const REFUSED: &'static str = "corelane_rate_limit_refused_total";

    /// Declares them.
    pub fn declare(builder: &mut RegistryBuilder) -> RateLimitMetrics {
        let help = "Requests refused by rate limits.";
        RateLimitMetrics { refused: builder.counter(RateLimitMetrics::REFUSED, help) }
    }
}

enum Key {
    Address,
    Header(String),
    User,
    Custom(Box<Custom>),
}

/// Writes a key; says whether there is one.
type Custom = dyn Fn(&Request<'_>, &mut dyn Hasher) -> bool;

impl RateLimit {
    /// By the client's address.
    pub fn new(limiter: RateLimiter) -> RateLimit {
        let quota = limiter.quota();
        let policy = format!("\"default\";q={};w={}", quota.burst_requests(), secs(quota.window()));
        RateLimit {
            limiter,
            key: Key::Address,
            exempt: Vec::new(),
            announce: false,
            policy,
            published: None,
        }
    }

    /// Has what it refuses counted by its lane, where all can see it: `/status` of the admin pages,
    /// for instance.
    pub fn count_into(mut self, metrics: RateLimitMetrics, shard: Rc<Shard>) -> RateLimit {
        self.published = Some((metrics, shard));
        self
    }

    /// By the value of a request field; without one, by address. Whoever can send any value has as
    /// many keys as he likes: take a field that was checked further out or is set by a proxy of yours.
    pub fn by_header(mut self, name: &str) -> RateLimit {
        self.key = Key::Header(name.to_owned());
        self
    }

    /// By the [`User`] that authentication further out has found; without one, by address.
    pub fn by_user(mut self) -> RateLimit {
        self.key = Key::User;
        self
    }

    /// By what the function returns; requests for which that is `None` are not limited.
    pub fn by<K: Hash>(mut self, key: impl Fn(&Request<'_>) -> Option<K> + 'static) -> RateLimit {
        self.key = Key::Custom(Box::new(move |request, mut hasher| match key(request) {
            Some(key) => {
                key.hash(&mut hasher);
                true
            }
            None => false,
        }));
        self
    }

    /// Does not limit clients in these networks.
    pub fn exempt(mut self, networks: impl IntoIterator<Item = Network>) -> RateLimit {
        self.exempt.extend(networks);
        self
    }

    /// Puts RateLimit and RateLimit-Policy on every response, so that clients can slow down in time;
    /// else they are on those that are refused.
    pub fn announce(mut self) -> RateLimit {
        self.announce = true;
        self
    }

    /// What stands for whoever asks; `None` if he is not limited.
    fn hash(&self, request: &Request<'_>) -> Option<u64> {
        let address = request.peer_ip().map(|address| address.to_canonical());
        if address.is_some_and(|address| self.exempt.iter().any(|net| net.contains(address))) {
            return None;
        }
        let mut hasher = self.limiter.hasher();
        let (tag, bytes): (u8, Option<Cow<'_, [u8]>>) = match &self.key {
            Key::Address => (0, None),
            Key::Header(name) => (1, request.header(name).map(Cow::Borrowed)),
            Key::User => {
                let user = request.get::<User>();
                (2, user.map(|user| Cow::Owned(user.name().as_bytes().to_vec())))
            }
            Key::Custom(write) => {
                hasher.write_u8(3);
                return write(request, &mut hasher).then(|| hasher.finish());
            }
        };
        match (bytes, address) {
            (Some(bytes), _) => (tag, bytes).hash(&mut hasher),
            (None, Some(IpAddr::V4(address))) => (4_u8, address.to_bits()).hash(&mut hasher),
            (None, Some(IpAddr::V6(address))) => (6_u8, address.to_bits() >> 64).hash(&mut hasher),
            (None, None) => 0_u8.hash(&mut hasher),
        }
        Some(hasher.finish())
    }

    fn announce_on(&self, response: &mut Response, left: &Allowance) {
        // A client that was refused can ask again long before its whole burst is there.
        let wait = if left.remaining == 0 { left.next } else { left.full };
        let limit = format!("\"default\";r={};t={}", left.remaining, secs(wait));
        response.set("RateLimit", limit);
        response.set("RateLimit-Policy", &self.policy);
    }
}

impl Middleware for RateLimit {
    fn name(&self) -> &'static str {
        "rate-limit"
    }

    fn before(&self, request: &Request<'_>) -> Before {
        self.limiter.seed(request.random());
        let Some(hash) = self.hash(request) else { return Before::Next };
        let left = self.limiter.charge(hash, request.wall());
        if left.allowed {
            return Before::Next;
        }
        if let Some((metrics, shard)) = &self.published {
            shard.add(metrics.refused, 1);
        }
        let wait = secs(left.next);
        let detail = format!("too many requests: ask again in {wait} s");
        let mut response = Response::problem(429, detail).with("Retry-After", wait.to_string());
        self.announce_on(&mut response, &left);
        Before::Answer(response)
    }

    fn after(&self, request: &Request<'_>, response: &mut Response) {
        if self.announce
            && let Some(hash) = self.hash(request)
        {
            let left = self.limiter.left(hash, request.wall());
            self.announce_on(response, &left);
        }
    }
}

/// Whole seconds, rounded up, at least one.
fn secs(time: Nanos) -> u64 {
    time.0.div_ceil(1_000_000_000).max(1)
}
