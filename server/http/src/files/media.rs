//! Media types by file extension.

use std::borrow::Cow;

/// Where the public table is behind the registry: newer registrations, and types that browsers go by.
const NEWER: &[(&str, &str)] = &[
    // RFC 9239.
    ("cjs", "text/javascript"),
    ("js", "text/javascript"),
    ("mjs", "text/javascript"),
    // RFC 9512, RFC 9559, RFC 8081.
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("mkv", "video/matroska"),
    ("otf", "font/otf"),
    ("collection", "font/collection"),
    // Source maps are JSON (ECMA-426); the table has another thing of that name.
    ("map", "application/json"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("m4a", "audio/mp4"),
    ("toml", "application/toml"),
    ("vcf", "text/vcard"),
    ("zst", "application/zstd"),
];

const OCTETS: &str = "application/octet-stream";

/// Which media type a file is sent with.
#[derive(Clone, Debug)]
pub(crate) struct MediaTypes {
    overrides: Vec<(String, String)>,
    charset: Option<String>,
    otherwise: String,
}

impl Default for MediaTypes {
    fn default() -> MediaTypes {
        MediaTypes {
            overrides: Vec::new(),
            charset: Some("utf-8".to_owned()),
            otherwise: OCTETS.to_owned(),
        }
    }
}

impl MediaTypes {
    pub(crate) fn set(&mut self, extension: &str, media_type: &str) {
        let extension = extension.trim_start_matches('.').to_ascii_lowercase();
        self.overrides.retain(|(known, _)| *known != extension);
        self.overrides.push((extension, media_type.to_owned()));
    }

    pub(crate) fn set_charset(&mut self, charset: Option<&str>) {
        self.charset = charset.map(str::to_owned);
    }

    pub(crate) fn set_otherwise(&mut self, media_type: &str) {
        self.otherwise = media_type.to_owned();
    }

    /// The media type of a file by its name, with a charset if it is text.
    pub(crate) fn of(&self, path: &str) -> Cow<'_, str> {
        let media_type = self.bare(path);
        match &self.charset {
            Some(charset)
                if media_type.starts_with("text/") && !media_type.contains("charset=") =>
            {
                Cow::Owned(format!("{media_type}; charset={charset}"))
            }
            _ => Cow::Borrowed(media_type),
        }
    }

    fn bare(&self, path: &str) -> &str {
        let name = path.rsplit('/').next().unwrap_or_default();
        // What begins with the dot is a name, not an extension.
        let Some(extension) = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()) else {
            return &self.otherwise;
        };
        let extension = extension.1.to_ascii_lowercase();
        if let Some((_, media_type)) = self.overrides.iter().find(|(known, _)| *known == extension)
        {
            return media_type;
        }
        let newer = NEWER.iter().find(|(known, _)| *known == extension).map(|(_, newer)| *newer);
        newer.or_else(|| mime_guess::from_ext(&extension).first_raw()).unwrap_or(&self.otherwise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions() {
        let mut types = MediaTypes::default();
        types.set(".GMI", "text/gemini");
        types.set("csv", "text/csv; charset=iso-8859-1");
        for (path, expected) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a/b.HTM", "text/html; charset=utf-8"),
            ("a.css", "text/css; charset=utf-8"),
            ("a.txt", "text/plain; charset=utf-8"),
            ("README.md", "text/markdown; charset=utf-8"),
            ("app.js", "text/javascript; charset=utf-8"),
            ("app.mjs", "text/javascript; charset=utf-8"),
            ("app.js.map", "application/json"),
            ("a.json", "application/json"),
            ("a.wasm", "application/wasm"),
            ("site.webmanifest", "application/manifest+json"),
            ("a.svg", "image/svg+xml"),
            ("a.avif", "image/avif"),
            ("a.webp", "image/webp"),
            ("a.jxl", "image/jxl"),
            ("a.png", "image/png"),
            ("a.jpeg", "image/jpeg"),
            ("favicon.ico", "image/x-icon"),
            ("a.woff2", "font/woff2"),
            ("a.otf", "font/otf"),
            ("a.mp4", "video/mp4"),
            ("a.webm", "video/webm"),
            ("a.pdf", "application/pdf"),
            ("a.tar.gz", "application/gzip"),
            ("a.zip", "application/zip"),
            ("a.xml", "text/xml; charset=utf-8"),
            ("a.atom", "application/atom+xml"),
            ("a.gmi", "text/gemini; charset=utf-8"),
            ("a.csv", "text/csv; charset=iso-8859-1"),
            ("Makefile", OCTETS),
            (".html", OCTETS),
            ("a.html/b", OCTETS),
            ("a.unheard-of", OCTETS),
            ("a.", OCTETS),
            ("", OCTETS),
        ] {
            assert_eq!(types.of(path), expected, "{path}");
        }
        types.set_charset(None);
        types.set_otherwise("text/plain");
        assert_eq!((types.of("a.html"), types.of("x")), ("text/html".into(), "text/plain".into()));
    }
}
