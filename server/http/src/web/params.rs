//! The parts of a path that a route leaves open.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The parameters of the route that a path matched, in the order of the path, as they were sent: still
/// encoded. Up to three need no memory of their own.
#[derive(Clone, Default)]
pub struct Params<'a>(Kind<'a>);

#[derive(Clone, Default)]
enum Kind<'a> {
    #[default]
    None,
    /// A parameter that is all there is.
    Rest(&'a str, &'a str),
    Matched(matchit::Params<'a, 'a>),
    /// Of a path that was not in its normal form.
    Mapped(Vec<(&'a str, &'a str)>),
    Owned(&'a [(String, String)]),
}

impl<'a> Params<'a> {
    /// No parameters.
    pub const NONE: Params<'static> = Params(Kind::None);

    pub(crate) fn matched(params: matchit::Params<'a, 'a>) -> Params<'a> {
        Params(Kind::Matched(params))
    }

    pub(crate) fn rest(name: &'a str, value: &'a str) -> Params<'a> {
        Params(Kind::Rest(name, value))
    }

    pub(crate) fn mapped(params: Vec<(&'a str, &'a str)>) -> Params<'a> {
        Params(Kind::Mapped(params))
    }

    pub(crate) fn owned(params: &'a [(String, String)]) -> Params<'a> {
        Params(Kind::Owned(params))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Kind::None => 0,
            Kind::Rest(..) => 1,
            Kind::Matched(params) => params.len(),
            Kind::Mapped(params) => params.len(),
            Kind::Owned(params) => params.len(),
        }
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The parameter as it stands in the path, still encoded.
    pub fn raw(&self, name: &str) -> Option<&'a str> {
        match &self.0 {
            Kind::Rest(key, value) => (*key == name).then_some(*value),
            Kind::Matched(params) => params.get(name),
            _ => self.iter().find(|(key, _)| *key == name).map(|(_, value)| value),
        }
    }

    /// The parameter, decoded; `None` also if that is not UTF-8.
    pub fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        let raw = self.raw(name)?;
        if !raw.as_bytes().contains(&b'%') {
            return Some(Cow::Borrowed(raw));
        }
        percent_decode_str(raw).decode_utf8().ok()
    }

    /// Names and values, the latter still encoded.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a, '_> {
        let rest = match self.0 {
            Kind::Rest(name, value) => Some((name, value)),
            _ => None,
        };
        let (matched, mapped, owned) = match &self.0 {
            Kind::None | Kind::Rest(..) => (None, None, None),
            Kind::Matched(params) => (Some(params.iter()), None, None),
            Kind::Mapped(params) => (None, Some(params.iter().copied()), None),
            Kind::Owned(params) => {
                let pairs = params.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                (None, None, Some(pairs))
            }
        };
        let (matched, mapped) = (matched.into_iter().flatten(), mapped.into_iter().flatten());
        rest.into_iter().chain(matched).chain(mapped).chain(owned.into_iter().flatten())
    }

    /// Copies them, for a request that outlives its head.
    pub(crate) fn to_owned(&self) -> Vec<(String, String)> {
        self.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}
