//! A file as it is sent: its representations, their fields and their contents.

use std::io;
use std::path::Path;
use std::rc::Rc;

use corelane_eventloop::{File, FileKind, Files, Meta, Nanos};
use corelane_mempool::Shared;
use corelane_parser::http1::FieldBlock;
use corelane_parser::http1::encode::EncodeError;

use super::options::Options;
use super::range::ByteRange;
use super::validators::{Validators, is_settling};
use crate::content::Content;
use crate::negotiate::Encoding;
use crate::ready::Ready;

/// The name of a coding's siblings ends so.
pub(crate) fn suffix(coding: Encoding) -> &'static str {
    match coding {
        Encoding::Identity => "",
        Encoding::Gzip => ".gz",
        Encoding::Brotli => ".br",
        Encoding::Zstd => ".zst",
    }
}

/// What a path leads to.
pub(crate) enum Found {
    File(Located),
    /// A directory, named without the slash at its end.
    Unslashed,
    /// A directory without an index file.
    Directory,
}

/// A file and those of its siblings that may be sent in its place, as they were a moment ago.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) file: String,
    /// The file itself comes first.
    pub(crate) variants: Vec<(Encoding, Meta)>,
}

/// Looks a path up. `NotFound` also for what exists and is not to be seen that way.
pub(crate) fn locate(files: &mut dyn Files, options: &Options, path: &str) -> io::Result<Found> {
    let root = options.root;
    let missing = || io::Error::from(io::ErrorKind::NotFound);
    let is_slashed = path.is_empty() || path.ends_with('/');
    if !is_slashed {
        let meta = files.stat(root, Path::new(path))?;
        return match meta.kind {
            FileKind::Regular => Ok(Found::File(with_siblings(files, options, path, meta))),
            FileKind::Directory => Ok(Found::Unslashed),
            FileKind::Other => Err(io::ErrorKind::PermissionDenied.into()),
        };
    }
    for index in &options.indexes {
        let file = format!("{path}{index}");
        match files.stat(root, Path::new(&file)) {
            Ok(meta) if meta.kind == FileKind::Regular => {
                return Ok(Found::File(with_siblings(files, options, &file, meta)));
            }
            Ok(_) => {}
            Err(error) if is_absence(&error) => {}
            Err(error) => return Err(error),
        }
    }
    let directory = files.stat(root, Path::new(path.trim_end_matches('/')))?;
    match directory.kind {
        FileKind::Directory => Ok(Found::Directory),
        _ => Err(missing()),
    }
}

/// Whether the error says no more than that there is no such name.
pub(crate) fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | IsADirectory | InvalidFilename)
}

fn with_siblings(files: &mut dyn Files, options: &Options, file: &str, meta: Meta) -> Located {
    let mut variants = vec![(Encoding::Identity, meta)];
    let is_sibling = |coding: &Encoding| file.ends_with(suffix(*coding));
    if !options.precompressed.iter().any(is_sibling) {
        for &coding in &options.precompressed {
            let name = format!("{file}{}", suffix(coding));
            match files.stat(options.root, Path::new(&name)) {
                // One that is older was made of another state of the file.
                Ok(sibling)
                    if sibling.kind == FileKind::Regular && sibling.modified >= meta.modified =>
                {
                    variants.push((coding, sibling));
                }
                _ => {}
            }
        }
    }
    Located { file: file.to_owned(), variants }
}

/// What a request can be answered from.
pub(crate) struct Resource {
    pub(crate) located: Located,
    /// In the order of `located`.
    pub(crate) variants: Vec<Variant>,
    /// The codings there are.
    pub(crate) codings: Vec<Encoding>,
}

/// One representation.
pub(crate) struct Variant {
    pub(crate) validators: Validators,
    /// What a 200 says of it.
    pub(crate) fields: FieldBlock,
    /// What a 304 says of it (RFC 9110 §15.4.5).
    pub(crate) brief: FieldBlock,
    pub(crate) len: u64,
    pub(crate) body: Body,
    /// The answer with all of it, once its bytes are there.
    pub(crate) ready: Option<Rc<Ready>>,
}

/// Where the bytes are.
pub(crate) enum Body {
    /// Nobody has asked for them yet.
    Closed,
    Memory(Shared),
    Open(File),
}

/// Whether what was opened is what had been located.
#[derive(PartialEq, Eq)]
pub(crate) enum Loaded {
    Same,
    /// It is another state of the file. The variant describes it, and must not be kept.
    Changed,
}

impl Resource {
    /// The representations of what was located at that time.
    pub(crate) fn of(located: Located, options: &Options, wall: Nanos) -> Resource {
        let codings: Vec<_> = located.variants.iter().map(|(coding, _)| *coding).collect();
        let varies = codings.len() > 1;
        let variants = located
            .variants
            .iter()
            .map(|(coding, meta)| Variant::of(options, &located.file, *coding, meta, varies, wall))
            .collect();
        Resource { located, variants, codings }
    }

    /// Whether its files may change unnoticed.
    pub(crate) fn is_settling(&self, wall: Nanos) -> bool {
        self.located.variants.iter().any(|(_, meta)| is_settling(meta, wall))
    }

    /// Makes the bytes of a variant available.
    pub(crate) fn load(
        &mut self,
        at: usize,
        files: &mut dyn Files,
        options: &Options,
        wall: Nanos,
    ) -> io::Result<Loaded> {
        let (coding, meta) = self.located.variants[at];
        let variant = &mut self.variants[at];
        if !matches!(variant.body, Body::Closed) {
            return Ok(Loaded::Same);
        }
        let name = format!("{}{}", self.located.file, suffix(coding));
        let path = Path::new(&name);
        let (file, opened) = files.open(options.root, path)?;
        let mut loaded = Loaded::Same;
        if opened != meta {
            let varies = self.codings.len() > 1;
            *variant = Variant::of(options, &self.located.file, coding, &opened, varies, wall);
            loaded = Loaded::Changed;
        }
        variant.body = match usize::try_from(opened.len) {
            Ok(len) if len <= options.cache.memory_file => match read(files, &file, len)? {
                // What was changed while it was read may be of two states.
                Some(bytes) if files.stat(options.root, path).is_ok_and(|now| now == opened) => {
                    Body::Memory(Shared::from(bytes))
                }
                _ => {
                    loaded = Loaded::Changed;
                    Body::Open(file)
                }
            },
            _ => Body::Open(file),
        };
        if loaded == Loaded::Same {
            let content = variant.content(whole(variant.len));
            variant.ready = Ready::new(&variant.fields, content).map(Rc::new);
        }
        Ok(loaded)
    }
}

/// All bytes of a file; `None` if there are fewer.
fn read(files: &mut dyn Files, file: &File, len: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; len];
    let mut at = 0;
    while at < len {
        match files.read(file, at as u64, &mut bytes[at..]) {
            Ok(0) => return Ok(None),
            Ok(n) => at += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(bytes))
}

impl Variant {
    fn of(
        options: &Options,
        file: &str,
        coding: Encoding,
        meta: &Meta,
        varies: bool,
        wall: Nanos,
    ) -> Variant {
        let validators = Validators::of(meta, coding, wall);
        let mut brief = FieldBlock::new();
        let mut fields = FieldBlock::new();
        let written = describe(options, file, varies, &validators, &mut brief).and_then(|()| {
            fields = brief.clone();
            fields.add("Content-Type", options.media.of(file).as_bytes())?;
            fields.add("Accept-Ranges", b"bytes")?;
            match coding {
                Encoding::Identity => Ok(()),
                coding => fields.add("Content-Encoding", coding.as_str().as_bytes()),
            }
        });
        // Whatever comes from outside was checked when the options were set.
        debug_assert!(written.is_ok(), "{written:?}");
        Variant { validators, fields, brief, len: meta.len, body: Body::Closed, ready: None }
    }

    /// The bytes of a range, once they are loaded.
    pub(crate) fn content(&self, range: ByteRange) -> Content {
        match &self.body {
            Body::Closed => Content::Empty,
            Body::Memory(bytes) if range.len() == self.len => Content::Shared(bytes.clone()),
            Body::Memory(bytes) => {
                // In memory, so it fits.
                Content::Shared(bytes.slice(range.start as usize..range.end as usize))
            }
            Body::Open(file) => {
                Content::File { file: file.clone(), offset: range.start, len: range.len() }
            }
        }
    }

    /// What keeping it costs: bytes of memory, open files.
    pub(crate) fn cost(&self) -> (usize, usize) {
        let ready = self.ready.as_ref().map_or(0, |ready| ready.bytes());
        let fields = self.fields.as_bytes().len() + self.brief.as_bytes().len() + ready;
        match &self.body {
            Body::Closed => (fields, 0),
            Body::Memory(bytes) => (fields + bytes.len(), 0),
            Body::Open(_) => (fields, 1),
        }
    }
}

fn describe(
    options: &Options,
    file: &str,
    varies: bool,
    validators: &Validators,
    fields: &mut FieldBlock,
) -> Result<(), EncodeError> {
    fields.add("ETag", validators.etag.as_bytes())?;
    if let Some(date) = validators.date() {
        fields.add("Last-Modified", date.as_bytes())?;
    }
    if let Some(value) = options.rules.of(file) {
        fields.add("Cache-Control", value.as_bytes())?;
    }
    if varies {
        fields.add("Vary", b"Accept-Encoding")?;
    }
    Ok(())
}

/// The whole of so many bytes.
pub(crate) fn whole(len: u64) -> ByteRange {
    ByteRange { start: 0, end: len }
}
