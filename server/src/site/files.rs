//! Static files, as configured.

use corelane_eventloop::{Links, RootId};
use corelane_http::files::{CacheLimits, ListingForm, OptionError, StaticFiles};
use corelane_http::negotiate::Encoding;

use crate::config::{self, Listing, Symlinks};

/// How many names a listing shows.
const LISTED: usize = 10_000;

/// What becomes of symbolic links.
pub(super) fn links(settings: &config::StaticFiles) -> Links {
    match settings.symlinks {
        Symlinks::Inside => Links::Within,
        Symlinks::Deny => Links::Never,
        Symlinks::Follow => Links::Anywhere,
    }
}

/// The files of a root.
pub(super) fn service(
    root: RootId,
    settings: &config::StaticFiles,
) -> Result<StaticFiles, OptionError> {
    let mut files = StaticFiles::new(root)
        .index(settings.index.iter().map(|name| name.get()))?
        .hidden(settings.hidden)
        .listing(if settings.listing == Listing::Off { 0 } else { LISTED })
        .listing_form(match settings.listing {
            Listing::Html => ListingForm::Html,
            Listing::Json => ListingForm::Json,
            Listing::Off | Listing::Auto => ListingForm::Preferred,
        })
        .charset(settings.charset.as_deref())?
        .precompressed(settings.precompressed.iter().map(|coding| match coding {
            config::Encoding::Brotli => Encoding::Brotli,
            config::Encoding::Zstd => Encoding::Zstd,
            config::Encoding::Gzip => Encoding::Gzip,
        }))
        .cache(CacheLimits { bytes: settings.max_cache.get() as usize, ..CacheLimits::default() });
    if let Some(file) = &settings.fallback {
        files = files.spa(file.get())?;
    }
    for (status, file) in &settings.errors {
        // What is no number was refused when the configuration was read.
        files = files.error_page(status.parse().unwrap_or(0), file.get())?;
    }
    for rule in &settings.cache_control {
        files = files.cache_control(rule.files.get(), &rule.value)?;
    }
    Ok(files)
}
