//! Putting routes together.

use std::cell::Cell;
use std::rc::Rc;

use super::app::App;
use super::chain::{Chain, Middleware, RouteLimits};
use super::endpoint::Endpoint;
use super::hosts::{Site, Table};
use super::request::Request;
use super::response::{IntoResponse, Response};
use super::router::{RouteError, Router};
use crate::metrics::{RouteId, RouteNames};

/// Routes, and the middleware before them: what an [`App`] is built from.
///
/// ```
/// use corelane_http::web::{Request, Response, Routes};
///
/// fn greet(request: &Request<'_>) -> Response {
///     Response::text(format!("hello {}\n", request.params().get("name").unwrap_or_default()))
/// }
///
/// let api = Routes::new().get("/hello/{name}", greet).named("greet");
/// let app = Routes::new().get("/", |_: &Request<'_>| "welcome\n").nest("/api", api).build()?;
/// # Ok::<(), corelane_http::web::RouteError>(())
/// ```
///
/// HEAD is answered by what answers GET, OPTIONS with the methods there are, another method with 405
/// and Allow, another path with 404; all of them pass through the middleware.
#[derive(Default)]
pub struct Routes {
    entries: Vec<Entry>,
    chain: Vec<Rc<dyn Middleware>>,
    fallback: Option<Endpoint>,
    fallback_chain: Vec<Rc<dyn Middleware>>,
    suggests: bool,
}

struct Entry {
    /// `None` for any.
    method: Option<Rc<str>>,
    pattern: String,
    name: Option<Rc<str>>,
    endpoint: Endpoint,
    /// Innermost groups last.
    chain: Vec<Rc<dyn Middleware>>,
}

/// One route, ready to run.
pub(crate) struct Route {
    pub(crate) endpoint: Endpoint,
    pub(crate) chain: Chain,
    pub(crate) limits: RouteLimits,
    /// The name or the pattern; `None` for what stands in where there is no route.
    pub(crate) label: Option<Rc<str>>,
    /// What its requests are counted under.
    pub(crate) number: Cell<RouteId>,
}

/// What can be done with the paths of one pattern.
pub(crate) struct Resource {
    methods: Vec<(Rc<str>, Rc<Route>)>,
    any: Option<Rc<Route>>,
    options: Rc<Route>,
    refusal: Rc<Route>,
}

impl Resource {
    /// What answers this method.
    #[inline]
    pub(crate) fn route(&self, method: &str) -> &Rc<Route> {
        if let Some((_, route)) = self.methods.iter().find(|(name, _)| **name == *method) {
            return route;
        }
        self.other(method)
    }

    #[cold]
    fn other(&self, method: &str) -> &Rc<Route> {
        if method == "HEAD"
            && let Some((_, route)) = self.methods.iter().find(|(name, _)| **name == *"GET")
        {
            return route;
        }
        match (&self.any, method) {
            (Some(any), _) => any,
            (None, "OPTIONS") => &self.options,
            (None, _) => &self.refusal,
        }
    }
}

impl Routes {
    /// No routes.
    pub fn new() -> Routes {
        Routes::default()
    }

    /// GET, and HEAD, of a path ([`Router`] says how patterns look), by a plain function.
    pub fn get<R: IntoResponse>(
        self,
        pattern: &str,
        f: impl Fn(&Request<'_>) -> R + 'static,
    ) -> Routes {
        self.on("GET", pattern, Endpoint::new(f))
    }

    /// POST.
    pub fn post<R: IntoResponse>(
        self,
        pattern: &str,
        f: impl Fn(&Request<'_>) -> R + 'static,
    ) -> Routes {
        self.on("POST", pattern, Endpoint::new(f))
    }

    /// PUT.
    pub fn put<R: IntoResponse>(
        self,
        pattern: &str,
        f: impl Fn(&Request<'_>) -> R + 'static,
    ) -> Routes {
        self.on("PUT", pattern, Endpoint::new(f))
    }

    /// PATCH.
    pub fn patch<R: IntoResponse>(
        self,
        pattern: &str,
        f: impl Fn(&Request<'_>) -> R + 'static,
    ) -> Routes {
        self.on("PATCH", pattern, Endpoint::new(f))
    }

    /// DELETE.
    pub fn delete<R: IntoResponse>(
        self,
        pattern: &str,
        f: impl Fn(&Request<'_>) -> R + 'static,
    ) -> Routes {
        self.on("DELETE", pattern, Endpoint::new(f))
    }

    /// A method, in capitals as it is sent, of a path, by any kind of endpoint. A known method in other
    /// letters is refused when the routes are built: methods are told apart by case (RFC 9110 §9.1).
    pub fn on(mut self, method: &str, pattern: &str, endpoint: Endpoint) -> Routes {
        self.add(Some(method.into()), pattern, endpoint);
        self
    }

    /// Every method of a path that has no endpoint of its own.
    pub fn any(mut self, pattern: &str, endpoint: Endpoint) -> Routes {
        self.add(None, pattern, endpoint);
        self
    }

    /// What answers where no pattern matches. By default 404.
    pub fn fallback(mut self, endpoint: Endpoint) -> Routes {
        self.fallback = Some(endpoint);
        self
    }

    /// Where no pattern matches, and there is no fallback, has the 404 name a path that does:
    /// [`Router::suggest`]. For development: strangers need not be told which paths there are.
    ///
    /// ```
    /// use corelane_http::web::testing::TestServer;
    /// use corelane_http::web::{Request, Routes};
    ///
    /// let routes = Routes::new().get("/api/items", |_: &Request<'_>| "[]");
    /// let mut server = TestServer::new(routes.suggesting().build()?);
    /// let response = server.get("/api//items/");
    /// assert_eq!(response.status(), 404);
    /// assert!(response.text().contains("did you mean /api/items?"));
    /// # Ok::<(), corelane_http::web::RouteError>(())
    /// ```
    pub fn suggesting(mut self) -> Routes {
        self.suggests = true;
        self
    }

    /// Names the route added last, for metrics and logs; without a name it goes by its pattern. `none` and
    /// `other` are taken ([`RouteNames::RESERVED`](crate::RouteNames::RESERVED)): [`Routes::build`] refuses them.
    pub fn named(mut self, name: &str) -> Routes {
        if let Some(entry) = self.entries.last_mut() {
            entry.name = Some(name.into());
        }
        self
    }

    /// Names all of these routes that have no name yet.
    pub fn all_named(mut self, name: &str) -> Routes {
        let name: Rc<str> = name.into();
        for entry in &mut self.entries {
            entry.name.get_or_insert_with(|| name.clone());
        }
        self
    }

    /// Puts middleware before all of these routes, whenever they were or will be added, further in
    /// than what was put before them already.
    pub fn with(mut self, middleware: impl Middleware + 'static) -> Routes {
        self.chain.push(Rc::new(middleware));
        self
    }

    /// Puts middleware before the route added last only.
    pub fn with_last(mut self, middleware: impl Middleware + 'static) -> Routes {
        if let Some(entry) = self.entries.last_mut() {
            entry.chain.push(Rc::new(middleware));
        }
        self
    }

    /// Puts middleware before the fallback only.
    pub fn with_fallback(mut self, middleware: impl Middleware + 'static) -> Routes {
        self.fallback_chain.push(Rc::new(middleware));
        self
    }

    /// Adds other routes beneath a prefix, which is empty or begins with `/` and does not end with it. Their
    /// middleware stands behind that of these routes. A route `/` of theirs is the prefix itself.
    /// Their fallback is not taken over.
    pub fn nest(mut self, prefix: &str, routes: Routes) -> Routes {
        for mut entry in routes.entries {
            let whole = entry.pattern == "/" && !prefix.is_empty();
            let rest = if whole { "" } else { &entry.pattern };
            entry.pattern = format!("{prefix}{rest}");
            entry.chain.splice(0..0, routes.chain.iter().cloned());
            self.entries.push(entry);
        }
        self
    }

    fn add(&mut self, method: Option<Rc<str>>, pattern: &str, endpoint: Endpoint) {
        let pattern = pattern.to_owned();
        self.entries.push(Entry { method, pattern, name: None, endpoint, chain: Vec::new() });
    }

    /// Builds the application.
    ///
    /// # Errors
    /// If a pattern is malformed, or two routes stand for the same method of the same paths.
    pub fn build(self) -> Result<App, RouteError> {
        Ok(App::new(Table::of(self.site()?)))
    }

    /// The fallback alone.
    pub(crate) fn bare_site() -> Site {
        let route = |endpoint| {
            let (chain, limits) = (Rc::new([]), RouteLimits::default());
            Rc::new(Route { endpoint, chain, limits, label: None, number: Cell::default() })
        };
        let server = route(options(allow(&[]).into()));
        let fallback = route(Endpoint::of_head(not_found));
        Site { router: Router::new(), fallback, server, labelled: Vec::new() }
    }

    pub(crate) fn site(self) -> Result<Site, RouteError> {
        let Routes { entries, mut chain, fallback, fallback_chain, suggests } = self;
        let route = |endpoint: Endpoint, chain: Vec<Rc<dyn Middleware>>, label| {
            let mut limits = RouteLimits::default();
            chain.iter().for_each(|link| link.configure(&mut limits));
            // Middleware is to see every request.
            let shortcut = endpoint.shortcut.clone().filter(|_| chain.is_empty());
            let endpoint = Endpoint { shortcut, ..endpoint };
            Rc::new(Route { endpoint, chain: chain.into(), limits, label, number: Cell::default() })
        };
        let server = options(allow(&entries).into());
        // In the order of their first route.
        let mut patterns: Vec<(String, Vec<Entry>)> = Vec::new();
        for entry in entries {
            match patterns.iter_mut().find(|(pattern, _)| *pattern == entry.pattern) {
                Some((_, others)) => others.push(entry),
                None => patterns.push((entry.pattern.clone(), vec![entry])),
            }
        }
        let (mut router, mut labelled) = (Router::new(), Vec::new());
        // What is suggested is found in a table of its own: requests that find their route do not pay.
        let mut known = Router::new();
        for (pattern, entries) in patterns {
            if suggests {
                known.insert(&pattern, ())?;
            }
            let allow: Rc<str> = allow(&entries).into();
            let mut group = chain.clone();
            group.extend(entries.first().iter().flat_map(|entry| entry.chain.iter().cloned()));
            let mut resource = Resource {
                methods: Vec::new(),
                any: None,
                options: route(options(allow.clone()), group.clone(), None),
                refusal: route(refusal(allow), group, None),
            };
            for entry in entries {
                let mut links = chain.clone();
                links.extend(entry.chain);
                let label = label(entry.name, &pattern)?;
                let route = route(entry.endpoint, links, Some(label));
                labelled.push(route.clone());
                if let Some(method) = entry.method.as_deref()
                    && method != method.to_ascii_uppercase()
                    && METHODS.contains(&&*method.to_ascii_uppercase())
                {
                    let reason = format!("the method `{method}` is written in capitals");
                    return Err(RouteError { pattern, reason });
                }
                let taken = match &entry.method {
                    Some(method) => resource.methods.iter().any(|(other, _)| other == method),
                    None => resource.any.is_some(),
                };
                if taken {
                    let method = entry.method.as_deref().unwrap_or("every method");
                    let reason = format!("{method} has an endpoint already: remove one of the two");
                    return Err(RouteError { pattern, reason });
                }
                match entry.method {
                    Some(method) => resource.methods.push((method, route)),
                    None => resource.any = Some(route),
                }
            }
            router.insert(&pattern, Rc::new(resource))?;
        }
        let fallback = fallback.unwrap_or_else(|| match suggests {
            true => Endpoint::of_head(move |request: &Request<'_>| suggestion(&known, request)),
            false => Endpoint::of_head(not_found),
        });
        chain.extend(fallback_chain);
        let server = route(server, chain.clone(), None);
        Ok(Site { router, fallback: route(fallback, chain, None), server, labelled })
    }
}

/// The methods that are known by name (RFC 9110 §9.3, RFC 5789).
const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];

fn not_found(_: &Request<'_>) -> Response {
    Response::problem(404, "there is nothing at this path")
}

/// The suggestion is part of a JSON string: nothing in it is markup.
fn suggestion(known: &Router<()>, request: &Request<'_>) -> Response {
    match known.suggest(request.path()) {
        Some(other) => {
            let detail = format!("there is nothing at this path: did you mean {other}?");
            Response::problem(404, detail)
        }
        None => not_found(request),
    }
}

/// What an endpoint for every method is said to take.
const EVERY: [&str; 6] = ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"];

/// The methods of a resource, or of all there are, for Allow (RFC 9110 §10.2.1).
fn allow(entries: &[Entry]) -> String {
    let mut methods: Vec<&str> =
        entries.iter().filter_map(|entry| entry.method.as_deref()).collect();
    if entries.iter().any(|entry| entry.method.is_none()) {
        methods.extend(EVERY);
    }
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.push("OPTIONS");
    methods.sort_unstable();
    methods.dedup();
    methods.join(", ")
}

fn options(allow: Rc<str>) -> Endpoint {
    Endpoint::of_head(move |_: &Request<'_>| Response::new(204).with("Allow", &*allow))
}

fn refusal(allow: Rc<str>) -> Endpoint {
    Endpoint::of_head(move |request: &Request<'_>| {
        let detail = format!("{} is not among its methods: {allow}", request.method().as_str());
        Response::problem(405, detail).with("Allow", &*allow)
    })
}

/// What a route is called in metrics and logs.
fn label(name: Option<Rc<str>>, pattern: &str) -> Result<Rc<str>, RouteError> {
    match name {
        None => Ok(pattern.into()),
        Some(name) if RouteNames::RESERVED.contains(&&*name) => {
            let reason = format!(
                "the name `{name}` stands for requests of no route, or of many: choose another"
            );
            Err(RouteError { pattern: pattern.into(), reason })
        }
        Some(name) => Ok(name),
    }
}
