//! Request heads that outlive the input they came in.

use std::ops::Range;

use corelane_parser::http1::{Field, Head, Method, Version};

/// A head in the input, or a copy of one.
#[derive(Clone, Copy)]
pub(crate) enum HeadView<'a> {
    Parsed(Head<'a>),
    Owned(&'a OwnedHead),
}

/// A copy of a head: its text in one allocation, and where its parts are.
pub(crate) struct OwnedHead {
    text: Vec<u8>,
    method: Range<u32>,
    target: Range<u32>,
    path: Range<u32>,
    query: Option<Range<u32>>,
    authority: Option<Range<u32>>,
    fields: Vec<(Range<u32>, Range<u32>)>,
    version: Version,
}

impl OwnedHead {
    pub(crate) fn of(head: &Head<'_>) -> OwnedHead {
        let mut text = Vec::with_capacity(head.bytes() + head.target().len());
        let mut put = |bytes: &[u8]| {
            let start = text.len() as u32;
            text.extend_from_slice(bytes);
            start..text.len() as u32
        };
        OwnedHead {
            method: put(head.method().as_str().as_bytes()),
            target: put(head.target().as_bytes()),
            path: put(head.path().as_bytes()),
            query: head.query().map(|query| put(query.as_bytes())),
            authority: head.authority().map(&mut put),
            fields: head
                .fields()
                .map(|field| (put(field.name.as_bytes()), put(field.value)))
                .collect(),
            version: head.version(),
            text,
        }
    }

    fn bytes(&self, range: &Range<u32>) -> &[u8] {
        self.text.get(range.start as usize..range.end as usize).unwrap_or_default()
    }

    fn str(&self, range: &Range<u32>) -> &str {
        std::str::from_utf8(self.bytes(range)).unwrap_or_default()
    }
}

/// The fields of either.
enum Fields<'a> {
    Parsed(corelane_parser::http1::Fields<'a>),
    Owned(&'a OwnedHead, usize),
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        match self {
            Fields::Parsed(fields) => fields.next(),
            Fields::Owned(head, at) => {
                let (name, value) = head.fields.get(*at)?;
                *at += 1;
                Some(Field { name: head.str(name), value: head.bytes(value) })
            }
        }
    }
}

impl<'a> HeadView<'a> {
    pub(crate) fn method(self) -> Method<'a> {
        match self {
            HeadView::Parsed(head) => head.method(),
            HeadView::Owned(head) => Method::from(head.str(&head.method)),
        }
    }

    pub(crate) fn target(self) -> &'a str {
        match self {
            HeadView::Parsed(head) => head.target(),
            HeadView::Owned(head) => head.str(&head.target),
        }
    }

    pub(crate) fn path(self) -> &'a str {
        match self {
            HeadView::Parsed(head) => head.path(),
            HeadView::Owned(head) => head.str(&head.path),
        }
    }

    pub(crate) fn query(self) -> Option<&'a str> {
        match self {
            HeadView::Parsed(head) => head.query(),
            HeadView::Owned(head) => head.query.as_ref().map(|range| head.str(range)),
        }
    }

    pub(crate) fn version(self) -> Version {
        match self {
            HeadView::Parsed(head) => head.version(),
            HeadView::Owned(head) => head.version,
        }
    }

    pub(crate) fn authority(self) -> Option<&'a str> {
        match self {
            HeadView::Parsed(head) => {
                head.authority().and_then(|bytes| std::str::from_utf8(bytes).ok())
            }
            HeadView::Owned(head) => head.authority.as_ref().map(|range| head.str(range)),
        }
    }

    pub(crate) fn fields(self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        match self {
            HeadView::Parsed(head) => Fields::Parsed(head.fields()),
            HeadView::Owned(head) => Fields::Owned(head, 0),
        }
    }
}
