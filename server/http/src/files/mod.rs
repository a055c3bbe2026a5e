//! Files beneath a directory, as a service.
//!
//! [`StaticFiles`] describes it; each lane makes an endpoint of it, or mounts it among its routes:
//!
//! ```
//! use corelane_eventloop::OsFiles;
//! use corelane_http::files::StaticFiles;
//! use corelane_http::web::Routes;
//!
//! // The driver's files, given to the lane; root 0 is the directory that was added first.
//! let mut files = OsFiles::new();
//! let root = files.add_root(&std::env::temp_dir())?;
//!
//! let site = StaticFiles::new(root).listing(1000).cache_control("*.html", "no-cache")?;
//! let app = site.mount(Routes::new(), "").build()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is sent
//!
//! | request for | answer |
//! |---|---|
//! | a file | 200 with its media type, ETag, Last-Modified, Accept-Ranges |
//! | a directory without the slash | 301 to the path with it; the query is kept |
//! | a directory | its index file, else a listing if that is on, else 404 |
//! | a file with a slash behind it | 404 |
//! | what is hidden, or a path with `..`, `\`, an encoded slash or NUL in it | 404 |
//! | what may not be read, a device, socket or pipe, a link out of the root | 403 |
//! | what is not there | the application's page for navigation, if one is set; else 404 |
//!
//! # Validators and conditions
//!
//! Conditions are looked at in the order of RFC 9110 §13.2.2. The ETag is strong, made of the time of
//! the last change in nanoseconds and the length, and of another value for each coding. A file that
//! was changed less than two seconds ago may change again without that showing, so its ETag is weak,
//! of a value that it loses afterwards, and it has no Last-Modified. A file whose time of change is
//! before 1990 (packages made reproducible set it to 0 or 1 in every version) is told apart by what
//! the kernel sets, its number and the time of its last renaming or change.
//!
//! # Ranges
//!
//! For GET: one range, several (`multipart/byteranges`), 416 if none of them is there. More than 16
//! ranges, or ranges that are together as long as the file, are answered with the whole file
//! (RFC 9110 §14.2, §17.15).
//!
//! # Precompressed siblings
//!
//! `app.js.br`, `.zst` and `.gz` are sent in the place of `app.js` to clients that accept them, unless
//! they are older than it. Where there is one, the answer varies by Accept-Encoding.
//!
//! # Listings
//!
//! HTML, or JSON for `?format=json` or by Accept. `?sort=name|size|date&order=asc|desc` sorts them;
//! directories come first. JSON is
//! `{"path": "/a/", "entries": [{"name", "type": "file" | "directory", "size", "modified"}], "truncated"}`,
//! with sizes in bytes, for files only, and times of ISO 8601 in UTC. Names that are not UTF-8 are left
//! out.
//!
//! # What a lane remembers
//!
//! Small files whole, larger ones open, both with their fields ([`CacheLimits`]), so that a request for
//! what is fresh makes no system call but the sending. What is remembered is looked at again after
//! [`CacheLimits::fresh`]: for that long a change may go unseen. A file that was changed less than two
//! seconds ago is not remembered at all.
//!
//! # What to know
//!
//! - Names are looked up, and small files read, on the lane itself; data of larger ones is read by the
//!   kernel when it is sent. A disk that is slow to answer holds up the lane's other connections.
//! - A file that is replaced by renaming goes on to be sent as it was. One that is written to in place
//!   while it is sent may arrive as a mixture, as from any server that does not copy: even what the
//!   kernel has taken and the client has not is still the file's own pages. If it shrinks, the
//!   connection is closed, because its length was promised; if it grows, what was promised is sent.
//! - Symbolic links are followed within the root, or not at all:
//!   [`Links`](corelane_eventloop::Links) says so when the root is added.

mod answer;
mod cache;
mod conditions;
mod listing;
mod media;
mod multipart;
mod options;
mod page;
mod path;
mod range;
mod resource;
mod rules;
mod service;
mod validators;

pub use cache::CacheLimits;
pub use listing::ListingForm;
pub use options::{OptionError, StaticFiles};
