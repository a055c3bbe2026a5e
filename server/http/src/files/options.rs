//! What a directory is served with.

use corelane_eventloop::RootId;
use corelane_parser::http1::FieldBlock;

use super::cache::CacheLimits;
use super::listing::ListingForm;
use super::media::MediaTypes;
use super::path;
use super::rules::CacheRules;
use super::service;
use crate::negotiate::Encoding;
use crate::web::{Endpoint, Routes};

/// What the service goes by.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) root: RootId,
    pub(crate) indexes: Vec<String>,
    pub(crate) shows_hidden: bool,
    /// How many names of a directory a listing shows; 0 if there are no listings.
    pub(crate) listing: usize,
    pub(crate) listing_form: ListingForm,
    pub(crate) spa: Option<String>,
    pub(crate) error_pages: Vec<(u16, String)>,
    pub(crate) rules: CacheRules,
    pub(crate) media: MediaTypes,
    pub(crate) precompressed: Vec<Encoding>,
    pub(crate) cache: CacheLimits,
}

impl Options {
    pub(crate) fn new(root: RootId) -> Options {
        Options {
            root,
            indexes: vec!["index.html".to_owned()],
            shows_hidden: false,
            listing: 0,
            listing_form: ListingForm::Preferred,
            spa: None,
            error_pages: Vec::new(),
            rules: CacheRules::default(),
            media: MediaTypes::default(),
            precompressed: vec![Encoding::Brotli, Encoding::Zstd, Encoding::Gzip],
            cache: CacheLimits::default(),
        }
    }
}

/// An option that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{option} `{value}`: {reason}")]
pub struct OptionError {
    /// Which option.
    pub option: &'static str,
    /// What it was set to.
    pub value: String,
    /// What is wrong with that.
    pub reason: String,
}

/// A service that answers GET and HEAD from a directory. The module's documentation says how.
///
/// It is a description, the same for all lanes: each makes its own endpoint of it, with a cache of
/// its own.
#[derive(Clone, Debug)]
pub struct StaticFiles {
    options: Options,
}

impl StaticFiles {
    /// What is beneath this root of the driver's files, with `index.html` as index, no listings, no
    /// hidden files, and precompressed siblings.
    pub fn new(root: RootId) -> StaticFiles {
        StaticFiles { options: Options::new(root) }
    }

    /// The files that a directory is answered with: the first that is there. Default `index.html`.
    ///
    /// # Errors
    /// If one is not the name of a file.
    pub fn index<S: AsRef<str>>(
        mut self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<StaticFiles, OptionError> {
        let name = |name: S| file("index", name.as_ref());
        self.options.indexes = names.into_iter().map(name).collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// Whether files and directories whose names begin with a dot are there for clients. Default no,
    /// but for `/.well-known` (RFC 8615).
    pub fn hidden(mut self, shown: bool) -> StaticFiles {
        self.options.shows_hidden = shown;
        self
    }

    /// Lists directories that have no index file, in HTML or JSON: their first so many names, hidden
    /// ones counted. Each costs a system call, so a listing of 1,000 holds its lane up for about a
    /// millisecond. Default 0: no listings.
    pub fn listing(mut self, names: usize) -> StaticFiles {
        self.options.listing = names;
        self
    }

    /// In which form directories are listed. Default: as the client prefers.
    pub fn listing_form(mut self, form: ListingForm) -> StaticFiles {
        self.options.listing_form = form;
        self
    }

    /// Answers navigation (GET with `text/html` in Accept) to what does not exist with this file, and
    /// 200: for applications that route in the browser.
    ///
    /// # Errors
    /// If it is not the path of a file beneath the root.
    pub fn spa(mut self, path: &str) -> Result<StaticFiles, OptionError> {
        self.options.spa = Some(file("spa", path)?);
        Ok(self)
    }

    /// The body of error answers of this status, with which files are refused: 403, 404, 500 or 503. A
    /// file beneath the root, with the media type of its name. For other errors there is
    /// [`ErrorPages`](crate::middleware::ErrorPages).
    ///
    /// # Errors
    /// If it is not the path of a file beneath the root, or the status is another.
    pub fn error_page(mut self, status: u16, path: &str) -> Result<StaticFiles, OptionError> {
        if !matches!(status, 403 | 404 | 500 | 503) {
            let why = "files are refused with 403, 404, 500 and 503";
            return Err(error("error_page", &status.to_string(), why));
        }
        let path = file("error_page", path)?;
        self.options.error_pages.retain(|(known, _)| *known != status);
        self.options.error_pages.push((status, path));
        Ok(self)
    }

    /// Sends files that match a glob with this Cache-Control; of several, the first counts. A glob
    /// without a slash is about the name of the file, others about its path beneath the root: `*.html`,
    /// `assets/**/*.{js,css}`. Without a rule there is no such field, and clients revalidate by rules
    /// of their own.
    ///
    /// ```
    /// use corelane_http::files::StaticFiles;
    ///
    /// let files = StaticFiles::new(0)
    ///     .cache_control("*.html", "no-cache")?
    ///     .cache_control("assets/**", "public, max-age=31536000, immutable")?;
    /// # Ok::<(), corelane_http::files::OptionError>(())
    /// ```
    ///
    /// # Errors
    /// If the glob is malformed or the value cannot stand in a field.
    pub fn cache_control(mut self, glob: &str, value: &str) -> Result<StaticFiles, OptionError> {
        if let Err(wrong) = fast_glob::validate(glob) {
            return Err(error("cache_control", glob, &wrong.to_string()));
        }
        field("cache_control", value)?;
        self.options.rules.add(glob, value);
        Ok(self)
    }

    /// The media type of files with this extension, in any case, before that of the public table.
    ///
    /// # Errors
    /// If it cannot stand in a field.
    pub fn media_type(
        mut self,
        extension: &str,
        media_type: &str,
    ) -> Result<StaticFiles, OptionError> {
        field("media_type", media_type)?;
        self.options.media.set(extension, media_type);
        Ok(self)
    }

    /// The media type of files whose extension says nothing. Default `application/octet-stream`.
    ///
    /// # Errors
    /// If it cannot stand in a field.
    pub fn default_media_type(mut self, media_type: &str) -> Result<StaticFiles, OptionError> {
        field("default_media_type", media_type)?;
        self.options.media.set_otherwise(media_type);
        Ok(self)
    }

    /// The charset that files of type `text/*` are said to have; none at all if `None`. Default
    /// `utf-8`.
    ///
    /// # Errors
    /// If it cannot stand in a field.
    pub fn charset(mut self, charset: Option<&str>) -> Result<StaticFiles, OptionError> {
        charset.map_or(Ok(()), |charset| field("charset", charset))?;
        self.options.media.set_charset(charset);
        Ok(self)
    }

    /// The codings for which `name.br`, `name.zst` and `name.gz` are sent in the place of `name` to
    /// clients that accept them, by weight and then in this order. Default all three, Brotli first.
    pub fn precompressed(mut self, codings: impl IntoIterator<Item = Encoding>) -> StaticFiles {
        let is_coding = |coding: &Encoding| *coding != Encoding::Identity;
        self.options.precompressed = codings.into_iter().filter(is_coding).collect();
        self
    }

    /// How much each lane remembers of files.
    pub fn cache(mut self, limits: CacheLimits) -> StaticFiles {
        self.options.cache = limits;
        self
    }

    /// The endpoint of one lane. It answers for what its route's parameter `path` stands for, for the
    /// root where there is none, and for the whole path as a [fallback](Routes::fallback).
    pub fn endpoint(&self) -> Endpoint {
        service::endpoint(self.options.clone())
    }

    /// Adds routes of one lane for everything beneath a prefix, which is empty or begins with `/` and
    /// does not end with it. They share one endpoint, and so one cache.
    ///
    /// ```
    /// use corelane_http::files::StaticFiles;
    /// use corelane_http::web::{Request, Routes};
    ///
    /// let routes = Routes::new().get("/api", |_: &Request<'_>| "hello");
    /// let app = StaticFiles::new(0).mount(routes, "/assets").build()?;
    /// # Ok::<(), corelane_http::web::RouteError>(())
    /// ```
    pub fn mount(&self, mut routes: Routes, prefix: &str) -> Routes {
        let endpoint = self.endpoint();
        if !prefix.is_empty() {
            // A directory named without its slash.
            routes = routes.on("GET", prefix, service::slashed());
        }
        let root = format!("{prefix}/");
        let rest = format!("{prefix}/{{*path}}");
        routes.on("GET", &root, endpoint.clone()).on("GET", &rest, endpoint)
    }
}

/// Checks the path of a file beneath the root.
fn file(option: &'static str, path: &str) -> Result<String, OptionError> {
    let relative = path.trim_start_matches('/');
    let is_plain = !relative.contains('%') && path::decode(relative, false).is_some();
    if relative.is_empty() || relative.ends_with('/') || !is_plain {
        return Err(error(option, path, "it is not the path of a file beneath the root"));
    }
    Ok(relative.to_owned())
}

/// Checks what will be the value of a field, or a part of it.
fn field(option: &'static str, value: &str) -> Result<(), OptionError> {
    FieldBlock::new()
        .add("Option", value.as_bytes())
        .map_err(|wrong| error(option, value, &wrong.to_string()))
}

fn error(option: &'static str, value: &str, reason: &str) -> OptionError {
    OptionError { option, value: value.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_cannot_be_are_refused() {
        let files = || StaticFiles::new(0);
        for name in ["", "/", "..", "a/../b", "a//b", "a/", "%61"] {
            assert!(files().index([name]).is_err(), "{name}");
            assert!(files().spa(name).is_err(), "{name}");
            assert!(files().error_page(404, name).is_err(), "{name}");
        }
        assert!(files().error_page(304, "a").is_err());
        assert!(files().cache_control("a[", "no-cache").is_err());
        assert!(files().cache_control("a", "no-cache\r\nX: y").is_err());
        assert!(files().media_type("a", "a\n").is_err());
        assert!(files().charset(Some("\0")).is_err());
        let wrong = files().spa("../x").unwrap_err().to_string();
        assert_eq!(wrong, "spa `../x`: it is not the path of a file beneath the root");
        let files = files().index(["/a/b", "c"]).unwrap().precompressed([Encoding::Identity]);
        assert_eq!(files.options.indexes, ["a/b", "c"]);
        assert!(files.options.precompressed.is_empty());
    }
}
