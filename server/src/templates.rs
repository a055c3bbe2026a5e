//! Templates from a directory. Their names are their paths in it: `users/list.html`.
//!
//! ```no_run
//! use corelane_http::web::{Request, Routes};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let routes = || -> Result<_, Box<dyn std::error::Error + Send + Sync>> {
//!         let templates = corelane::templates::load("templates")?;
//!         let page = move |_: &Request<'_>| templates.render("index.html", &"");
//!         Ok(Routes::new().get("/", page).build()?)
//!     };
//!     Ok(corelane::web::serve("127.0.0.1:8080", routes)?)
//! }
//! ```

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use corelane_http::web::{TemplateError, Templates};

/// Files in a directory of templates, at most.
const FILES_MAX: usize = 10_000;

/// Why templates cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file or a directory cannot be read.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A template is malformed.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// There are more than 10,000 files.
    #[error("{} has more than 10,000 files", path.display())]
    TooMany {
        /// The directory.
        path: PathBuf,
    },
}

/// Reads all files beneath a directory, but for those whose names begin with a dot. Links are not
/// followed.
///
/// # Errors
/// If one cannot be read, or is malformed.
pub fn load(directory: impl AsRef<Path>) -> Result<Templates, LoadError> {
    let directory = directory.as_ref();
    let mut templates = Templates::new();
    let mut left = vec![PathBuf::new()];
    let mut files = 0;
    while let Some(inner) = left.pop() {
        let path = directory.join(&inner);
        let failed = |error| LoadError::Io { path: path.clone(), error };
        for entry in fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            if name.starts_with('.') {
                continue;
            }
            let relative = inner.join(&name);
            if kind.is_dir() {
                left.push(relative);
            } else if kind.is_file() {
                files += 1;
                if files > FILES_MAX {
                    return Err(LoadError::TooMany { path: directory.to_owned() });
                }
                let source = fs::read_to_string(entry.path())
                    .map_err(|error| LoadError::Io { path: entry.path(), error })?;
                templates = templates.add(&relative.to_string_lossy(), &source)?;
            }
        }
    }
    Ok(templates)
}

/// Templates that are read whenever they are used, so that changes show at once. For development: it
/// blocks the lane, and clients are told what is wrong with a template.
pub fn reloading(directory: impl Into<PathBuf>) -> Templates {
    let directory = directory.into();
    Templates::reloading(move |name| {
        let name = Path::new(name);
        let within = name.components().all(|part| matches!(part, Component::Normal(_)));
        within.then(|| fs::read_to_string(directory.join(name)).ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use corelane_http::web::IntoResponse;

    use super::*;

    #[test]
    fn templates_are_named_by_their_paths() {
        let directory =
            std::env::temp_dir().join(format!("corelane-templates-{}", std::process::id()));
        fs::create_dir_all(directory.join("users")).unwrap();
        fs::write(directory.join("users/list.html"), "{{ n }}").unwrap();
        fs::write(directory.join(".hidden.html"), "{% if %}").unwrap();
        let values = std::collections::BTreeMap::from([("n", 7)]);
        let status = |templates: &Templates, name: &str| {
            templates.render(name, &values).into_response().status()
        };
        let loaded = load(&directory).unwrap();
        let live = reloading(&directory);
        for templates in [&loaded, &live] {
            assert_eq!(status(templates, "users/list.html"), 200);
            assert_eq!(status(templates, "users/../users/list.html"), 500);
        }
        fs::write(directory.join("users/list.html"), "{% if %}").unwrap();
        assert_eq!(
            (status(&loaded, "users/list.html"), status(&live, "users/list.html")),
            (200, 500)
        );
        let malformed = load(&directory).err().unwrap().to_string();
        assert!(malformed.starts_with("template `users/list.html`, line 1"), "{malformed}");
        fs::remove_dir_all(&directory).unwrap();
        assert!(load(&directory).is_err());
    }
}
