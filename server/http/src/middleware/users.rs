//! Names and hashes of passwords.

use std::collections::BTreeMap;
use std::str::FromStr;

use sha_crypt::{PasswordHashRef, PasswordVerifier, ShaCrypt};

use super::error::MiddlewareError;

/// Costs beyond these would keep a thread busy for seconds with one password.
const BCRYPT_COST_MOST: u32 = 16;
const ROUNDS_MOST: u32 = 1_000_000;

/// Who may come in: names with hashes of passwords, as `htpasswd` and `mkpasswd` make them.
///
/// | begins with | made by | |
/// |---|---|---|
/// | `$2y$`, `$2b$`, `$2a$` | bcrypt: `htpasswd -nB NAME` | up to cost 16; the first 72 bytes of a password count |
/// | `$5$`, `$6$` | SHA-256 and SHA-512 crypt: `mkpasswd -m sha512crypt` | up to a million rounds |
///
/// Plain text, MD5 (`$apr1$`, `$1$`), SHA-1 (`{SHA}`) and DES are refused: whoever reads the file
/// would soon have the passwords.
///
/// ```
/// use corelane_http::middleware::Users;
///
/// // Made by `htpasswd -nbB -C 4 ada lovelace`; use a cost of 10 or more.
/// let users: Users = "ada:$2y$04$dBI/V4bm.BX7JeLnCPg7h.vUAVPfIsxfQF0H9HxHPiGtAks.Ki2R6".parse()?;
/// assert_eq!(users.len(), 1);
/// assert!("eve:secret".parse::<Users>().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Users {
    hashes: BTreeMap<String, Hash>,
    /// What passwords of unknown users are compared with, so that those take as long.
    dummy: Option<Hash>,
}

#[derive(Clone)]
enum Hash {
    Bcrypt(String),
    Sha(String),
}

impl Users {
    /// Nobody.
    pub fn new() -> Users {
        Users::default()
    }

    /// Adds a user, or changes the hash of one.
    ///
    /// # Errors
    /// If the name has a colon or a control character, or the hash is of no kind that is safe.
    pub fn with(mut self, name: &str, hash: &str) -> Result<Users, MiddlewareError> {
        if name.contains(|byte: char| byte == ':' || byte.is_control()) {
            let reason = format!(
                "user `{}`: a name has no colon and no control character",
                name.escape_debug()
            );
            return Err(MiddlewareError::new("basic-auth", reason));
        }
        let hash = Hash::parse(hash).map_err(|reason| {
            MiddlewareError::new("basic-auth", format!("user `{name}`: {reason}"))
        })?;
        self.dummy.get_or_insert_with(|| hash.clone());
        self.hashes.insert(name.to_owned(), hash);
        Ok(self)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// True if there is nobody.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Whether this is the user's password. Takes as long as its hash is costly, by design: from 1 ms to
    /// seconds. For unknown users it takes as long as for the first that was added, so that the time
    /// tells no names where all hashes are of one kind and cost.
    pub fn verify(&self, name: &str, password: &str) -> bool {
        match (self.hashes.get(name), &self.dummy) {
            (Some(hash), _) => hash.verify(password),
            (None, Some(dummy)) => {
                std::hint::black_box(dummy.verify(password));
                false
            }
            (None, None) => false,
        }
    }
}

/// Lines of `name:hash`, as in the files of htpasswd. Empty lines, and those that begin with `#`, are
/// skipped; what follows a second colon is ignored.
impl FromStr for Users {
    type Err = MiddlewareError;

    fn from_str(text: &str) -> Result<Users, MiddlewareError> {
        let mut users = Users::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let at = |reason: String| {
                MiddlewareError::new("basic-auth", format!("line {}: {reason}", number + 1))
            };
            let Some((name, rest)) = line.split_once(':') else {
                return Err(at("there is no `name:hash`".to_owned()));
            };
            if users.hashes.contains_key(name) {
                return Err(at(format!("user `{name}` is there twice")));
            }
            let hash = rest.split(':').next().unwrap_or_default();
            users = users.with(name, hash).map_err(|error| at(error.reason))?;
        }
        Ok(users)
    }
}

/// Shows no hashes.
impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.hashes.keys()).finish()
    }
}

impl Hash {
    fn parse(hash: &str) -> Result<Hash, String> {
        let kind = |prefixes: &[&str]| prefixes.iter().any(|prefix| hash.starts_with(prefix));
        if kind(&["$2y$", "$2b$", "$2a$"]) {
            let parts: bcrypt::HashParts =
                hash.parse().map_err(|_| "the bcrypt hash is malformed".to_owned())?;
            return match parts.get_cost() {
                // A password that is wrong shows whether the rest can be read.
                0..=BCRYPT_COST_MOST => Ok(Hash::Bcrypt(hash.to_owned())),
                cost => Err(format!("bcrypt's cost is {cost}, and {BCRYPT_COST_MOST} at most")),
            };
        }
        if kind(&["$5$", "$6$"]) {
            return sha(hash).map(|()| Hash::Sha(hash.to_owned()));
        }
        let reason = if kind(&["$apr1$", "$1$"]) {
            "MD5 is too weak"
        } else if kind(&["{SHA}"]) {
            "SHA-1 without salt is too weak"
        } else if kind(&["$", "{"]) {
            "this kind of hash is not known"
        } else {
            "this is plain text, or DES, which is too weak"
        };
        Err(format!("{reason}: make a bcrypt hash, by `htpasswd -nB NAME`"))
    }

    fn verify(&self, password: &str) -> bool {
        match self {
            Hash::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
            Hash::Sha(hash) => {
                let hash = PasswordHashRef::new(hash);
                hash.is_ok_and(|hash| {
                    ShaCrypt::default().verify_password(password.as_bytes(), hash).is_ok()
                })
            }
        }
    }
}

/// Checks `$6$rounds=5000$salt$hash`.
fn sha(hash: &str) -> Result<(), String> {
    let malformed = || "the SHA-crypt hash is malformed".to_owned();
    let mut parts = hash.split('$').skip(1);
    let length = if parts.next() == Some("5") { 43 } else { 86 };
    let mut salt = parts.next().ok_or_else(malformed)?;
    if let Some(rounds) = salt.strip_prefix("rounds=") {
        match rounds.parse() {
            Ok(1_000..=ROUNDS_MOST) => salt = parts.next().ok_or_else(malformed)?,
            _ => return Err(format!("its rounds are not within 1000 to {ROUNDS_MOST}")),
        }
    }
    let digest = parts.next().ok_or_else(malformed)?;
    let good = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"./".contains(&b));
    let whole = parts.next().is_none() && digest.len() == length;
    (whole && salt.len() <= 16 && good(salt) && good(digest)).then_some(()).ok_or_else(malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By htpasswd and mkpasswd.
    const FILE: &str = "
# people
bc:$2y$05$ELg3P0ERbU1mzYSs/aSXVut5YWWcJ9ZwTWpKDf.2n2Fo2V1Ixx/wy
s5:$5$saltstring$sOFRiuqOzKEQCZAIFmMrCbPuMEMUPOi/BmBpBwWMgW3
s6:$6$QPm.fFnMXDpn1234$M4BphZy9Dop.jjKlVZTh0KA7gqLucXvdzjolsMbLCEcIKNdHcdNTeRHS2NCwLzJytgQSYwi7DLCnS0rv4MnzA0
r6:$6$rounds=1000$ab$6siT6kEe.1DPpWeZHRA83jYusU2Lll4w8COyGS4PvAsXq4XJtz1Zpbh3ppcVuDYhszQbdBfvngvV1rqVBXbce1:Comment
";

    #[test]
    fn hashes_of_other_programs_are_understood() {
        let users: Users = FILE.parse().unwrap();
        assert_eq!(users.len(), 4);
        for name in ["bc", "s5", "s6", "r6"] {
            assert!(users.verify(name, "open sesame"), "{name}");
            assert!(!users.verify(name, "open Sesame"), "{name}");
            assert!(!users.verify(name, ""), "{name}");
        }
        assert!(!users.verify("nobody", "open sesame"));
        assert_eq!(format!("{users:?}"), r#"{"bc", "r6", "s5", "s6"}"#);
        assert!(!Users::new().verify("", ""));
    }

    #[test]
    fn what_is_unsafe_or_malformed_is_refused() {
        for (line, reason) in [
            ("ada", "there is no `name:hash`"),
            ("ada:secret", "plain text"),
            ("ada:", "plain text"),
            ("ada:rl4hYzDpHWd8s", "DES"),
            ("ada:$apr1$abc$def", "MD5"),
            ("ada:$1$abc$def", "MD5"),
            ("ada:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "SHA-1"),
            ("ada:$argon2id$v=19$x", "not known"),
            ("ada:$2y$05$short", "malformed"),
            ("ada:$2y$31$dBI/V4bm.BX7JeLnCPg7h.vUAVPfIsxfQF0H9HxHPiGtAks.Ki2R6", "cost is 31"),
            ("ada:$6$salt", "malformed"),
            ("ada:$6$salt$short", "malformed"),
            ("ada:$6$rounds=999999999$salt$x", "rounds"),
            ("ada:$6$rounds=5$salt$x", "rounds"),
            ("bc:x\nbc:x", "line 1"),
        ] {
            let error = line.parse::<Users>().unwrap_err().to_string();
            assert!(error.starts_with("basic-auth: line 1: ") && error.contains(reason), "{error}");
        }
        let twice = FILE.to_owned() + FILE;
        assert!(twice.parse::<Users>().unwrap_err().to_string().contains("is there twice"));
        assert!(Users::new().with("a:b", "").is_err() && Users::new().with("a\n", "").is_err());
    }

    proptest! {
        #[test]
        fn no_file_is_too_odd(text in "([a-z]{0,3}:?[$2yb56]{0,4}[a-zA-Z0-9./$=]{0,70}\n?){0,4}", other in ".{0,99}") {
            let _ = other.parse::<Users>();
            if let Ok(users) = text.parse::<Users>() {
                prop_assert!(!format!("{users:?}").contains('$'), "{text}");
            }
        }
    }
}
