//! From a blueprint to an application.

use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;

use corelane_eventloop::{Files, RootId};
use corelane_http::files::OptionError;
use corelane_http::middleware::MiddlewareError;
use corelane_http::web::{
    App, Endpoint, Hosts, Middleware as Link, Request, Response, RouteError, Routes,
};
use corelane_mempool::Shared as Bytes;

use super::live::Counted;
use super::middleware::Levels;
use super::source::Blueprint;
use super::{files, middleware};
use crate::config::{
    self, Config, Environment, FixedResponse, LogPath, Redirect, Route, StaticFiles,
};
use crate::logs::{AccessConfig, AccessLog, AccessLogError, AccessTarget, FormatError};

/// Why an application cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Routes contradict each other.
    #[error("{place}: {error}")]
    Route {
        /// Which part of the configuration.
        place: String,
        /// What is wrong.
        error: RouteError,
    },
    /// A middleware refuses its settings.
    #[error("{place}: {error}")]
    Middleware {
        /// Which part of the configuration.
        place: String,
        /// What is wrong.
        error: MiddlewareError,
    },
    /// The format of the access log is none.
    #[error("logs.access.format: {0}")]
    AccessFormat(FormatError),
    /// The access log cannot be opened.
    #[error("logs.access.path: {0}")]
    AccessLog(#[from] AccessLogError),
    /// Files cannot be served like that.
    #[error("{place}: {error}")]
    Files {
        /// Which part of the configuration.
        place: String,
        /// What is wrong.
        error: OptionError,
    },
    /// There is no thread to check passwords with.
    #[error("no thread to check passwords with: {0}; check the limit of processes")]
    Threads(std::io::Error),
    /// A file or folder cannot be used.
    #[error("{place}: {}: {error}", path.display())]
    File {
        /// Which part of the configuration.
        place: String,
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
}

impl BuildError {
    /// Which part of the configuration it is about; empty for none.
    pub fn place(&self) -> &str {
        match self {
            BuildError::Route { place, .. }
            | BuildError::Middleware { place, .. }
            | BuildError::Files { place, .. }
            | BuildError::File { place, .. } => place,
            BuildError::AccessFormat(_) => "logs.access.format",
            BuildError::AccessLog(_) => "logs.access.path",
            BuildError::Threads(_) => "",
        }
    }
}

/// What the lanes share of a configuration: bodies read from files, and what must count for the whole
/// process.
pub(super) struct Shared {
    bodies: HashMap<PathBuf, Bytes>,
    access: Option<(config::AccessLog, AccessLog)>,
    pub(super) links: middleware::Shared,
}

impl Shared {
    /// Reads what `config` names. What `before` has counted goes on where its settings are the same.
    pub(super) fn new(config: &Config, before: Option<&Shared>) -> Result<Shared, BuildError> {
        let access = access_log(&config.logs.access, before)?;
        let mut bodies = HashMap::new();
        for (place, route) in routes(config) {
            if let Some(path) = route.fixed.as_ref().and_then(|fixed| fixed.body_file.as_ref()) {
                let path = path.get();
                let bytes = std::fs::read(path).map_err(|error| BuildError::File {
                    place: format!("{place}.fixed.body_file"),
                    path: path.to_owned(),
                    error,
                })?;
                bodies.insert(path.to_owned(), Bytes::from(bytes));
            }
        }
        let links = middleware::Shared::after(before.map(|before| &before.links));
        Ok(Shared { bodies, access, links })
    }

    /// The access log, if there is one.
    pub(super) fn access_log(&self) -> Option<&AccessLog> {
        self.access.as_ref().map(|(_, log)| log)
    }
}

/// Opens the access log, unless it is as before.
fn access_log(
    settings: &config::AccessLog,
    before: Option<&Shared>,
) -> Result<Option<(config::AccessLog, AccessLog)>, BuildError> {
    let Some(path) = &settings.path else { return Ok(None) };
    match before.and_then(|before| before.access.as_ref()) {
        Some((same, log)) if same == settings => return Ok(Some((same.clone(), log.clone()))),
        _ => {}
    }
    let format = settings.format.parse().map_err(BuildError::AccessFormat)?;
    let target = match path {
        LogPath::Stdout => AccessTarget::Stdout,
        LogPath::Stderr => AccessTarget::Stderr,
        LogPath::File(path) => AccessTarget::File(path.clone()),
    };
    let ring_bytes = settings.buffer.get() as usize;
    let log = AccessLog::open(AccessConfig { target, format, ring_bytes })?;
    Ok(Some((settings.clone(), log)))
}

/// All routes, with where they stand in the file.
fn routes(config: &Config) -> impl Iterator<Item = (String, &Route)> {
    let own = config.routes.iter().enumerate().map(|(at, route)| (format!("routes[{at}]"), route));
    let hosts = config.hosts.iter().enumerate().flat_map(|(host, settings)| {
        let routes = settings.routes.iter().enumerate();
        routes.map(move |(at, route)| (format!("hosts[{host}].routes[{at}]"), route))
    });
    own.chain(hosts)
}

/// Builds an application for no lane, to see whether it can be built.
pub(super) fn try_out(blueprint: &Blueprint) -> Result<(), BuildError> {
    #[cfg(target_os = "linux")]
    let mut files = corelane_eventloop::OsFiles::new();
    #[cfg(not(target_os = "linux"))]
    let mut files = corelane_eventloop::MemFiles::new();
    let built = app(blueprint, &mut files, &mut Vec::new(), None);
    blueprint.shared.links.settle();
    built.map(drop)
}

/// Builds the application. The folders that it has opened are in `roots`, also if it fails.
pub(super) fn app(
    blueprint: &Blueprint,
    files: &mut dyn Files,
    roots: &mut Vec<RootId>,
    counted: Option<&Counted>,
) -> Result<App, BuildError> {
    let config = &blueprint.config;
    let suggests = config.environment == Environment::Development;
    let mut builder = Builder { shared: &blueprint.shared, files, roots, suggests, counted };
    let whole = Levels::new(&config.middleware);
    let mut rest = None;
    let mut named = Vec::new();
    for (at, host) in config.hosts.iter().enumerate() {
        let place = format!("hosts[{at}]");
        let name = host.names.first().map_or("*", |name| name.get());
        let levels = whole.clone().and(&host.middleware, &place, name);
        let names = host.names.iter().map(|name| Some(name.get().to_owned()));
        // Each name has routes of its own: they are cheap, and hold nothing that must be shared.
        for name in names.chain(host.default.then_some(None)) {
            let site = builder.site(&host.routes, levels.clone(), None, &format!("{place}."))?;
            match name {
                Some(name) => named.push((format!("{place}.names"), name, site)),
                None => rest = Some(site),
            }
        }
    }
    let rest = match rest {
        Some(rest) => rest,
        None => {
            let files = config.static_dir();
            builder.site(&config.routes, whole, files.as_ref(), "")?
        }
    };
    let mut hosts = Hosts::new(rest);
    for (place, name, site) in named {
        hosts = hosts.host(&name, site).map_err(|error| BuildError::Route { place, error })?;
    }
    let place = "routes".to_owned();
    hosts.build().map_err(|error| BuildError::Route { place, error })
}

struct Builder<'a> {
    shared: &'a Shared,
    files: &'a mut dyn Files,
    roots: &'a mut Vec<RootId>,
    /// Whether a 404 names a path that there is.
    suggests: bool,
    counted: Option<&'a Counted>,
}

impl Builder<'_> {
    /// The routes of one host.
    fn site(
        &mut self,
        settings: &[Route],
        levels: Levels<'_>,
        static_dir: Option<&StaticFiles>,
        place: &str,
    ) -> Result<Routes, BuildError> {
        let mut routes = Routes::new();
        let paths: Vec<&str> = settings.iter().map(|route| route.path.get()).collect();
        for (at, route) in settings.iter().enumerate() {
            let place = format!("{place}routes[{at}]");
            let links = self.links(levels.and(&route.middleware, &place, route.path.get()))?;
            let name = route.name.as_deref().unwrap_or(route.path.get());
            routes = routes.nest("", around(self.endpoints(route, &paths, &place)?, name, links));
        }
        if let Some(settings) = static_dir {
            let links = self.links(levels.clone())?;
            let files = self.files("/", settings, "static_dir")?;
            routes = routes.nest("", around(files, "static_dir", links));
        }
        for link in self.links(levels)? {
            routes = routes.with_fallback(link);
        }
        Ok(if self.suggests { routes.suggesting() } else { routes })
    }

    /// The middleware of the innermost level.
    fn links(&mut self, levels: Levels<'_>) -> Result<Vec<Rc<dyn Link>>, BuildError> {
        middleware::links(&levels, self.shared, self.counted)
    }

    /// What a route does.
    fn endpoints(
        &mut self,
        route: &Route,
        paths: &[&str],
        place: &str,
    ) -> Result<Routes, BuildError> {
        let path = route.path.get();
        if let Some(settings) = &route.files {
            return self.files(path, settings, &format!("{place}.static"));
        }
        let endpoint = match (&route.fixed, &route.redirect) {
            (Some(settings), _) => fixed(settings, self.shared),
            (None, Some(settings)) => redirect(settings),
            // The configuration was checked: there is one of them.
            (None, None) => return Ok(Routes::new()),
        };
        let mut routes = Routes::new();
        // For operators, all that is left may be nothing.
        if let Some((above, "")) =
            path.split_once("{*").and_then(|(above, rest)| Some((above, rest.split_once('}')?.1)))
            && !paths.contains(&above)
        {
            routes = routes.any(above, endpoint.clone());
        }
        Ok(routes.any(path, endpoint))
    }

    /// The files of a folder, beneath a path.
    fn files(
        &mut self,
        path: &str,
        settings: &StaticFiles,
        place: &str,
    ) -> Result<Routes, BuildError> {
        let dir = settings.dir.get();
        let root = self.files.open_root_with(dir, files::links(settings)).map_err(|error| {
            BuildError::File { place: format!("{place}.dir"), path: dir.to_owned(), error }
        })?;
        self.roots.push(root);
        let service = files::service(root, settings)
            .map_err(|error| BuildError::Files { place: place.to_owned(), error })?;
        Ok(service.mount(Routes::new(), path.trim_end_matches('/')))
    }
}

/// Routes of one name, with their middleware.
fn around(routes: Routes, name: &str, links: Vec<Rc<dyn Link>>) -> Routes {
    links.into_iter().fold(routes.all_named(name), Routes::with)
}

/// The same answer every time.
fn fixed(settings: &FixedResponse, shared: &Shared) -> Endpoint {
    let mut response = Response::new(settings.status.get() as u16);
    let body = match (&settings.body, &settings.body_file) {
        (Some(text), _) => Bytes::from(text.clone().into_bytes()),
        (None, Some(path)) => shared.bodies.get(path.get()).cloned().unwrap_or(Bytes::EMPTY),
        (None, None) => Bytes::EMPTY,
    };
    if !body.is_empty() {
        response.set("Content-Type", "text/plain; charset=utf-8");
    }
    for (name, value) in &settings.headers {
        response.set(name, value);
    }
    let (status, fields) = (response.status(), response.fields().clone());
    Endpoint::of_head(move |_: &Request<'_>| {
        let mut response = Response::new(status).with_content(body.clone());
        *response.fields_mut() = fields.clone();
        response
    })
}

/// Sends elsewhere; `{name}` in the target is the parameter of the path, as it was sent.
fn redirect(settings: &Redirect) -> Endpoint {
    let (to, status) = (settings.to.get().to_owned(), settings.status.get());
    Endpoint::of_head(move |request: &Request<'_>| {
        let mut location = String::with_capacity(to.len() + 32);
        let mut rest = &to[..];
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            location.push_str(before);
            location.push_str(request.params().raw(name).unwrap_or_default());
            rest = after;
        }
        location.push_str(rest);
        // `//host` would name another host where a path was meant, and so would `/\host`, to browsers. A
        // target that says so itself is right.
        let slashes = |url: &str| url.len() - url.trim_start_matches(['/', '\\']).len();
        if slashes(&to) == 1 && slashes(&location) > 1 {
            location.replace_range(..slashes(&location), "/");
        }
        Response::redirect(status, &location)
    })
}
