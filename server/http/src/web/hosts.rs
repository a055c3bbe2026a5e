//! Which host a request is for.

use std::collections::BTreeMap;
use std::rc::Rc;

use corelane_parser::http1::Head;

use super::app::App;
use super::params::Params;
use super::router::{RouteError, Router};
use super::routes::{Resource, Route, Routes};
use crate::metrics::RouteNames;

/// The routes of one host.
pub(crate) struct Site {
    pub(crate) router: Router<Rc<Resource>>,
    pub(crate) fallback: Rc<Route>,
    /// For `OPTIONS *`, which asks for no resource (RFC 9110 §9.3.7).
    pub(crate) server: Rc<Route>,
    /// Those with a label.
    pub(crate) labelled: Vec<Rc<Route>>,
}

impl Site {
    /// The route of a request.
    #[inline]
    pub(crate) fn route<'a>(&'a self, head: &Head<'a>) -> (Rc<Route>, Params<'a>) {
        match self.router.at(head.path()) {
            Some(found) => (found.value.route(head.method().as_str()).clone(), found.params),
            None if head.path() == "*" => (self.server.clone(), Params::NONE),
            None => (self.fallback.clone(), Params::NONE),
        }
    }
}

/// Sites by the name that requests ask for.
///
/// ```
/// use corelane_http::web::{Hosts, Request, Routes};
///
/// let site = |name: &'static str| Routes::new().get("/", move |_: &Request<'_>| name);
/// let app = Hosts::new(site("any other host"))
///     .host("example.org", site("the main site"))?
///     .host("*.example.org", site("one of its branches"))?
///     .build()?;
/// # Ok::<(), corelane_http::web::RouteError>(())
/// ```
pub struct Hosts {
    rest: Routes,
    named: Vec<(String, Routes)>,
}

impl Hosts {
    /// These routes for every host that has none of its own.
    pub fn new(rest: Routes) -> Hosts {
        Hosts { rest, named: Vec::new() }
    }

    /// Routes of a host: its name in any case, without a port; or `*.` and a name, for all beneath it,
    /// of which the longest counts.
    ///
    /// # Errors
    /// If the name is none, or has routes already.
    pub fn host(mut self, name: &str, routes: Routes) -> Result<Hosts, RouteError> {
        let error =
            |reason: &str| RouteError { pattern: name.to_owned(), reason: reason.to_owned() };
        let plain = name.strip_prefix("*.").unwrap_or(name);
        let valid = |byte: u8| {
            byte.is_ascii_alphanumeric()
                || matches!(byte, b'-' | b'.' | b'_')
                || matches!(byte, b'[' | b']' | b':')
        };
        if plain.bytes().all(|byte| byte == b'.') || !plain.bytes().all(valid) {
            return Err(error("a host is a name or an address without a port, or `*.` and a name"));
        }
        let name = name.to_ascii_lowercase();
        // As they stand in a request: without the last dot, and an IPv6 address in brackets.
        let name = match name.parse::<std::net::Ipv6Addr>() {
            Ok(_) => format!("[{name}]"),
            Err(_) => name.strip_suffix('.').map(str::to_owned).unwrap_or(name),
        };
        if self.named.iter().any(|(other, _)| *other == name) {
            return Err(error("the host has routes already: put them together"));
        }
        self.named.push((name, routes));
        Ok(self)
    }

    /// Builds the application.
    ///
    /// # Errors
    /// As [`Routes::build`].
    pub fn build(self) -> Result<App, RouteError> {
        let mut table = Table { sites: vec![self.rest.site()?], ..Table::default() };
        for (name, routes) in self.named {
            let at = table.sites.len();
            table.sites.push(routes.site()?);
            match name.strip_prefix('*') {
                Some(suffix) => table.beneath.push((suffix.into(), at)),
                None => {
                    table.names.insert(name.into(), at);
                }
            }
        }
        table.beneath.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        Ok(App::new(table))
    }
}

/// All sites of an application. INVARIANT: there is one, which is the default.
#[derive(Default)]
pub(crate) struct Table {
    sites: Vec<Site>,
    names: BTreeMap<Box<str>, usize>,
    /// With the dot that they begin with; longest first.
    beneath: Vec<(Box<str>, usize)>,
}

impl Table {
    pub(crate) fn of(site: Site) -> Table {
        Table { sites: vec![site], ..Table::default() }
    }

    /// Gives each route the number that it is counted under.
    pub(crate) fn number(&self, names: &RouteNames) {
        for route in self.sites.iter().flat_map(|site| &site.labelled) {
            if let Some(label) = &route.label {
                route.number.set(names.route(label));
            }
        }
    }

    /// The site that a request is for.
    #[inline]
    pub(crate) fn site(&self, head: &Head<'_>) -> &Site {
        match self.sites.len() {
            1 => &self.sites[0],
            _ => &self.sites[self.find(head.authority().unwrap_or_default())],
        }
    }

    fn find(&self, authority: &[u8]) -> usize {
        // Host names are short: RFC 1035 §2.3.4.
        let mut name = [0; 255];
        let host = without_port(authority);
        let Some(name) = name.get_mut(..host.len()) else { return 0 };
        name.copy_from_slice(host);
        name.make_ascii_lowercase();
        let Ok(name) = std::str::from_utf8(name) else { return 0 };
        // One dot at the end says the same (RFC 3986 §3.2.2).
        let name = name.strip_suffix('.').unwrap_or(name);
        if let Some(&at) = self.names.get(name) {
            return at;
        }
        self.beneath
            .iter()
            .find(|(suffix, _)| name.len() > suffix.len() && name.ends_with(&**suffix))
            .map_or(0, |&(_, at)| at)
    }
}

/// The host of an authority: what stands before its port.
fn without_port(authority: &[u8]) -> &[u8] {
    let end = authority.iter().rposition(|&byte| matches!(byte, b':' | b']'));
    match end {
        Some(at) if authority[at] == b':' => &authority[..at],
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_by_name() {
        let mut hosts = Hosts::new(Routes::new());
        for name in ["Example.org.", "*.example.org", "*.b.example.org", "::1", "127.0.0.1"] {
            hosts = hosts.host(name, Routes::new()).unwrap();
        }
        let named: Vec<_> = hosts.named.iter().map(|(name, _)| name.clone()).collect();
        let mut table = Table { sites: Vec::new(), ..Table::default() };
        for (at, name) in named.iter().enumerate() {
            match name.strip_prefix('*') {
                Some(suffix) => table.beneath.push((suffix.into(), at + 1)),
                None => {
                    table.names.insert(name.as_str().into(), at + 1);
                }
            }
        }
        table.beneath.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        for (authority, at) in [
            ("example.org", 1),
            ("EXAMPLE.org:8080", 1),
            ("example.org.", 1),
            ("a.example.org", 2),
            ("a.b.example.org:1", 3),
            ("b.example.org", 2),
            ("[::1]", 4),
            ("[::1]:80", 4),
            ("127.0.0.1:80", 5),
            ("badexample.org", 0),
            (".example.org", 0),
            ("", 0),
            (&"x".repeat(300), 0),
        ] {
            assert_eq!(table.find(authority.as_bytes()), at, "{authority}");
        }
    }

    #[test]
    fn names_that_are_none_are_refused() {
        for name in ["", ".", "*.", "*..", "a b", "*", "ex*mple.org", "a/b"] {
            assert!(Hosts::new(Routes::new()).host(name, Routes::new()).is_err(), "{name}");
        }
        let twice = Hosts::new(Routes::new()).host("a", Routes::new()).unwrap();
        assert!(twice.host("A", Routes::new()).is_err());
    }
}
