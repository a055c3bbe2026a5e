//! Building what is compared, and finding it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// Where the programs are.
#[derive(Debug)]
pub struct Binaries {
    /// The workspace.
    pub root: PathBuf,
    /// Cargo's target directory.
    target: PathBuf,
}

impl Binaries {
    /// Finds everything relative to this program.
    ///
    /// # Errors
    /// When this program is not an optimised one in cargo's target directory.
    pub fn locate() -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("own path")?;
        let profile = program.parent().context("own directory")?;
        if profile.file_name().is_none_or(|name| name != "release") {
            bail!("only optimised programs are worth comparing: run it by cargo run --release");
        }
        let target = profile.parent().context("target directory")?.to_owned();
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = package.parent().context("workspace")?.to_owned();
        Ok(Self { root, target })
    }

    /// Builds a program of this workspace.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn build(&self, package: &str, program: &str) -> anyhow::Result<()> {
        if !self.cargo(&self.target, &["-p", package, "--bin", program])? {
            bail!("cannot build {program}: cargo build --release -p {package} says why");
        }
        Ok(())
    }

    /// Builds the rivals. Those built before will do where that is not possible.
    ///
    /// # Errors
    /// When cargo cannot be started.
    pub fn build_rivals(&self) -> anyhow::Result<()> {
        let manifest = self.root.join("benches/rivals/Cargo.toml");
        let manifest = manifest.to_string_lossy();
        if !self.cargo(&self.rivals(), &["--locked", "--manifest-path", &manifest])? {
            println!("the rivals could not be built; those built before are used");
        }
        Ok(())
    }

    /// A program of this workspace.
    ///
    /// # Errors
    /// When it has not been built.
    pub fn own(&self, name: &str) -> anyhow::Result<PathBuf> {
        existing(self.target.join("release").join(name), name)
    }

    /// A program of the package `benches/rivals`.
    ///
    /// # Errors
    /// When it has not been built.
    pub fn rival(&self, name: &str) -> anyhow::Result<PathBuf> {
        existing(self.rivals().join("release").join(name), name)
    }

    /// A server among the scripts of `benches/rivals`.
    #[must_use]
    pub fn script(&self, name: &str) -> PathBuf {
        self.root.join("benches/rivals/scripts").join(name)
    }

    /// A program on the search path.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn installed(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        // Where Debian keeps servers, which is not on everyone's search path.
        let also = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
        std::env::split_paths(&path)
            .chain(also)
            .map(|directory| directory.join(name))
            .find(|file| file.is_file())
            .with_context(|| {
                let package = if name == "node" { "nodejs" } else { name };
                format!("{name} is not installed (apt-get install {package})")
            })
    }

    /// A program that `cargo install` puts beside what is built here.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn peer(&self, name: &str) -> anyhow::Result<PathBuf> {
        let file = self.target.join("peers/bin").join(name);
        if file.is_file() {
            return Ok(file);
        }
        self.installed(name).map_err(|_| {
            let target = self.target.display();
            anyhow::anyhow!(
                "{name} is not installed (cargo install --locked --root {target}/peers {name})"
            )
        })
    }

    fn rivals(&self) -> PathBuf {
        self.target.join("rivals")
    }

    fn cargo(&self, target: &Path, arguments: &[&str]) -> anyhow::Result<bool> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(["build", "--release", "--target-dir"])
            .arg(target)
            .args(arguments)
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .status()
            .context("cannot start cargo")?;
        Ok(status.success())
    }
}

fn existing(path: PathBuf, name: &str) -> anyhow::Result<PathBuf> {
    if path.is_file() {
        return Ok(path);
    }
    bail!("{name} has not been built ({} is missing; run without --no-build)", path.display())
}
