//! The parts of a path that a route leaves open.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The parameters of the route that a path matched, still encoded, in the order of the path.
#[derive(Clone)]
pub struct Params<'a>(Kind<'a>);

#[derive(Clone)]
enum Kind<'a> {
    None,
    Matched(matchit::Params<'a, 'a>),
    Owned(&'a [(String, String)]),
}

impl<'a> Params<'a> {
    /// No parameters.
    pub const NONE: Params<'static> = Params(Kind::None);

    pub(crate) fn matched(params: matchit::Params<'a, 'a>) -> Params<'a> {
        Params(Kind::Matched(params))
    }

    pub(crate) fn owned(params: &'a [(String, String)]) -> Params<'a> {
        Params(Kind::Owned(params))
    }

    /// The parameter as it stands in the path, still encoded.
    pub fn raw(&self, name: &str) -> Option<&'a str> {
        match &self.0 {
            Kind::None => None,
            Kind::Matched(params) => {
                params.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
            }
            Kind::Owned(params) => {
                params.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
            }
        }
    }

    /// The parameter, decoded; `None` also if that is not UTF-8.
    pub fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        percent_decode_str(self.raw(name)?).decode_utf8().ok()
    }

    /// Copies them, for a request that outlives its head.
    pub(crate) fn to_owned(&self) -> Vec<(String, String)> {
        match &self.0 {
            Kind::None => Vec::new(),
            Kind::Matched(params) => {
                params.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
            }
            Kind::Owned(params) => params.to_vec(),
        }
    }
}
